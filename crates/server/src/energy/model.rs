//! The arithmetic: what a wake-up and a sleep cost, from bytes, round trips and published measurements.
//!
//! ```text
//! wake-up  = wake + per_byte_up × (UDP payload up + 28 × datagrams up) + round_trip × round trips
//! interval = wake-up + sleep current × supply voltage × interval
//! ```
//!
//! Downlink bytes cost nothing of their own: the published points do not tell them from the wait for them.

use serde::Serialize;

/// IPv4 (20) and UDP (8) headers of each datagram.
pub const HEADER_BYTES: u32 = 28;

/// What leaves in one direction.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Load {
    pub datagrams: u32,
    /// UDP payload.
    pub bytes: u32,
}

impl Load {
    /// With the IP and UDP headers.
    #[must_use]
    pub const fn on_air(self) -> u32 {
        self.bytes.saturating_add(self.datagrams.saturating_mul(HEADER_BYTES))
    }
}

/// What a wake-up, or a part of it, puts on the air.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Traffic {
    pub up: Load,
    pub down: Load,
    /// How often the device waits for an answer.
    pub round_trips: u32,
}

impl Traffic {
    /// UDP payload both ways.
    #[must_use]
    pub const fn bytes(self) -> u32 {
        self.up.bytes.saturating_add(self.down.bytes)
    }
}

/// What a modem costs.
#[derive(Clone, Copy, Debug, PartialEq, Serialize)]
pub struct Constants {
    /// From power saving mode to connected and back, without data.
    pub wake_mwh: f64,
    /// For each byte up, headers included.
    pub byte_up_mwh: f64,
    /// For each wait for an answer.
    pub round_trip_mwh: f64,
}

/// Where [`MEASURED`] and [`NRF9160`] come from.
pub const SOURCE: &str = "A. Kraus, zephyr-coaps-client, docu/POWERCONSUMPTION.md, \"nRF9160-DK, NB-IoT with PSM and RAI\", \
     commit cb193e4";

/// A nRF9160 on NB-IoT with power saving mode and release assistance: the line through the three measurements with
/// data of [`MEASURED`].
pub const NRF9160: Constants = Constants { wake_mwh: 0.050, byte_up_mwh: 0.000_125, round_trip_mwh: 0.040 };

/// The least-squares line through all four of [`MEASURED`]: a dearer wake-up, cheaper bytes.
pub const NRF9160_LEAST_SQUARES: Constants =
    Constants { wake_mwh: 0.200 / 3.0, byte_up_mwh: 0.000_075, round_trip_mwh: 0.130 / 3.0 };

/// A published measurement.
#[derive(Clone, Copy, Debug, PartialEq, Serialize)]
pub struct Point {
    pub what: &'static str,
    pub bytes_up: u32,
    pub round_trips: u32,
    pub mwh: f64,
}

/// Power Profiler Kit II at 5 V, summer 2022, south of Germany ([`SOURCE`]). The bytes are as published ("about"),
/// and taken to be what is on the air.
pub const MEASURED: [Point; 4] = [
    Point { what: "wake-up without data", bytes_up: 0, round_trips: 0, mwh: 0.070 },
    Point { what: "one message of 200 bytes, no answer", bytes_up: 200, round_trips: 0, mwh: 0.075 },
    Point { what: "one message of 400 bytes, no answer", bytes_up: 400, round_trips: 0, mwh: 0.100 },
    Point { what: "400 bytes up, 40 bytes answered", bytes_up: 400, round_trips: 1, mwh: 0.140 },
];

impl Constants {
    /// Everything that is spent on the radio, `factor` times.
    #[must_use]
    pub fn times(self, factor: f64) -> Self {
        let Self { wake_mwh, byte_up_mwh, round_trip_mwh } = self;
        Self { wake_mwh: wake_mwh * factor, byte_up_mwh: byte_up_mwh * factor, round_trip_mwh: round_trip_mwh * factor }
    }

    #[must_use]
    pub fn wake_up(&self, traffic: Traffic) -> WakeUp {
        self.parts(traffic.up.on_air(), traffic.round_trips)
    }

    /// What the model says of a published measurement, in mWh.
    #[must_use]
    pub fn predicted(&self, point: &Point) -> f64 {
        self.parts(point.bytes_up, point.round_trips).total()
    }

    fn parts(&self, on_air_up: u32, round_trips: u32) -> WakeUp {
        WakeUp {
            wake_mwh: self.wake_mwh,
            bytes_mwh: self.byte_up_mwh * f64::from(on_air_up),
            round_trips_mwh: self.round_trip_mwh * f64::from(round_trips),
        }
    }
}

/// The energy of one wake-up, in its parts.
#[derive(Clone, Copy, Debug, PartialEq, Serialize)]
pub struct WakeUp {
    pub wake_mwh: f64,
    pub bytes_mwh: f64,
    pub round_trips_mwh: f64,
}

impl WakeUp {
    #[must_use]
    pub fn total(&self) -> f64 {
        self.wake_mwh + self.bytes_mwh + self.round_trips_mwh
    }
}

/// How a device lives.
#[derive(Clone, Copy, Debug, PartialEq, Serialize)]
pub struct Life {
    /// One report each.
    pub interval_s: u64,
    /// Current of the whole device while it sleeps.
    pub sleep_ua: f64,
    pub supply_v: f64,
    /// Capacity as printed on the battery.
    pub battery_mah: f64,
}

/// How much of a battery's printed capacity reaches the device: regulator, cold, age. Kraus (see [`SOURCE`])
/// reckons with the same.
pub const BATTERY_SHARE: f64 = 0.8;

const HOURS_PER_YEAR: f64 = 8_766.0;

impl Life {
    /// Hourly reports; the sleep floor and the battery of a Thingy:91 (see [`SOURCE`]); 3.7 V (Nordic's Online Power
    /// Profiler and Røstad's thesis measure at that).
    pub const HOURLY: Self = Self { interval_s: 3_600, sleep_ua: 40.0, supply_v: 3.7, battery_mah: 1_350.0 };

    /// "every hour", "every 90 s".
    #[must_use]
    pub fn every(&self) -> String {
        match self.interval_s {
            3_600 => "every hour".to_owned(),
            86_400 => "every day".to_owned(),
            s if s.is_multiple_of(86_400) => format!("every {} days", s / 86_400),
            s if s.is_multiple_of(3_600) => format!("every {} hours", s / 3_600),
            s if s.is_multiple_of(60) => format!("every {} min", s / 60),
            s => format!("every {s} s"),
        }
    }

    #[must_use]
    pub fn hours(&self) -> f64 {
        self.interval_s as f64 / 3_600.0
    }

    /// Energy of sleeping through one interval.
    #[must_use]
    pub fn sleep_mwh(&self) -> f64 {
        self.sleep_ua * 1e-3 * self.supply_v * self.hours()
    }

    /// Energy of one interval: the sleep and the report at its end.
    #[must_use]
    pub fn interval_mwh(&self, wake_up_mwh: f64) -> f64 {
        wake_up_mwh + self.sleep_mwh()
    }

    /// How much less an interval costs with `cheap` wake-ups than with `dear` ones, in percent.
    #[must_use]
    pub fn saving_percent(&self, cheap_mwh: f64, dear_mwh: f64) -> f64 {
        100.0 * (1.0 - self.interval_mwh(cheap_mwh) / self.interval_mwh(dear_mwh))
    }

    /// How long the battery lasts, without its self-discharge.
    #[must_use]
    pub fn years(&self, wake_up_mwh: f64) -> f64 {
        let store_mwh = self.battery_mah * self.supply_v * BATTERY_SHARE;
        store_mwh / self.interval_mwh(wake_up_mwh) * self.hours() / HOURS_PER_YEAR
    }

    /// The longest interval, in hours, at which the saving is still `percent`; none if it never is.
    #[must_use]
    pub fn hours_at_saving(&self, cheap_mwh: f64, dear_mwh: f64, percent: f64) -> Option<f64> {
        let dear_interval = (dear_mwh - cheap_mwh) * 100.0 / percent;
        let hours = (dear_interval - dear_mwh) / (self.sleep_ua * 1e-3 * self.supply_v);
        (hours > 0.0).then_some(hours)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn near(value: f64, expected: f64, tolerance: f64) {
        assert!((value - expected).abs() <= tolerance, "{value} is not {expected} ± {tolerance}");
    }

    #[test]
    fn the_published_points_with_data_are_met_and_the_bare_wake_up_is_not() {
        let [bare, with_data @ ..] = &MEASURED;
        for point in with_data {
            near(NRF9160.predicted(point), point.mwh, 0.001 * point.mwh);
        }
        // A wake-up without data is a location update, which needs more signalling than the line's start.
        near(NRF9160.predicted(bare) / bare.mwh, 0.714, 0.001);
    }

    #[test]
    fn the_other_line_is_the_least_squares_one() {
        let cost = |constants: &Constants| -> f64 {
            MEASURED.iter().map(|point| (constants.predicted(point) - point.mwh).powi(2)).sum()
        };
        let best = cost(&NRF9160_LEAST_SQUARES);
        for factor in [0.99, 1.01] {
            let Constants { wake_mwh, byte_up_mwh, round_trip_mwh } = NRF9160_LEAST_SQUARES;
            for other in [
                Constants { wake_mwh: wake_mwh * factor, ..NRF9160_LEAST_SQUARES },
                Constants { byte_up_mwh: byte_up_mwh * factor, ..NRF9160_LEAST_SQUARES },
                Constants { round_trip_mwh: round_trip_mwh * factor, ..NRF9160_LEAST_SQUARES },
            ] {
                assert!(cost(&other) > best, "{other:?}");
            }
        }
    }

    #[test]
    fn an_interval_is_its_report_and_its_sleep() {
        let life = Life { interval_s: 7_200, sleep_ua: 50.0, supply_v: 4.0, battery_mah: 1_000.0 };
        near(life.sleep_mwh(), 0.4, 1e-12);
        near(life.saving_percent(0.1, 0.6), 50.0, 1e-9);
        // 3200 mWh in steps of 0.5 mWh, two hours each.
        near(life.years(0.1), 12_800.0 / HOURS_PER_YEAR, 1e-9);
        near(life.hours_at_saving(0.1, 0.6, 50.0).unwrap(), 2.0, 1e-9);
        assert_eq!(life.hours_at_saving(0.1, 0.2, 60.0), None);
    }

    #[test]
    fn intervals_are_said_as_people_say_them() {
        let every = |interval_s| Life { interval_s, ..Life::HOURLY }.every();
        let said = [90, 900, 3_600, 14_400, 86_400, 604_800].map(every);
        assert_eq!(said, ["every 90 s", "every 15 min", "every hour", "every 4 hours", "every day", "every 7 days"]);
    }

    #[test]
    fn headers_count_once_a_datagram() {
        assert_eq!(Load { datagrams: 3, bytes: 261 }.on_air(), 345);
        assert_eq!(Load { datagrams: u32::MAX, bytes: u32::MAX }.on_air(), u32::MAX);
    }
}
