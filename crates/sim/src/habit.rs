//! When the innocent speak, and what they say.

use std::collections::VecDeque;

use bartizan_wire::UnixMillis;

use crate::city::{DeviceSpec, Kind};
use crate::random::Seeded;

const SECOND_MS: f64 = 1_000.0;
const MINUTE_MS: f64 = 60.0 * SECOND_MS;
const HOUR_MS: f64 = 60.0 * MINUTE_MS;
const DAY_MS: u64 = 24 * 3_600_000;

/// The next time a device wakes up to report something.
#[derive(Clone, Debug, PartialEq)]
pub struct Wake {
    /// The city's milliseconds from now.
    pub after_ms: u64,
    pub path: &'static str,
    /// What is reported, as members of a JSON object.
    pub fields: String,
    /// The network gave it another port meanwhile.
    pub moves: bool,
}

/// One device's habits. It is asked for the next wake-up after each one; being late moves the rest, so that a
/// slow machine never makes an innocent device hurry.
#[derive(Clone, Debug)]
pub struct Habit {
    kind: Kind,
    random: Seeded,
    /// Street lights are switched by zone.
    zone: u64,
    /// Some bicycles are ridden more than others.
    busyness: f64,
    begun: bool,
    /// What is left of a ride or a switching: gaps and reports.
    planned: VecDeque<(f64, &'static str, String)>,
    /// Litres, positions: something that grows.
    count: u64,
    lit: Option<bool>,
}

impl Habit {
    #[must_use]
    pub fn new(seed: u64, device: &DeviceSpec) -> Self {
        let mut random = Seeded::new(seed).fork(device.number as u64).fork(1);
        Self {
            kind: device.kind,
            zone: random.below(8),
            busyness: random.between(0.5, 3.0),
            count: random.below(100_000),
            random,
            begun: false,
            planned: VecDeque::new(),
            lit: None,
        }
    }

    /// What comes next, told at `now`.
    pub fn next(&mut self, now: UnixMillis) -> Wake {
        if self.planned.is_empty() {
            self.plan(now);
        }
        let (gap, path, fields) = self.planned.pop_front().expect("invariant: a plan has at least one report");
        let moves = self.random.chance(match self.kind {
            Kind::Lock => 0.5,
            Kind::Meter | Kind::Light => 0.05,
        });
        Wake { after_ms: gap.max(SECOND_MS) as u64, path, fields, moves }
    }

    fn plan(&mut self, now: UnixMillis) {
        let gap = if std::mem::replace(&mut self.begun, true) { self.gap(now) } else { self.first_gap() };
        match self.kind {
            Kind::Meter => self.read(gap),
            Kind::Light => self.shine(now, gap),
            Kind::Lock => self.ride(gap),
        }
    }

    /// Devices are not in step.
    fn first_gap(&mut self) -> f64 {
        match self.kind {
            Kind::Light => self.random.between(0.0, 15.0 * MINUTE_MS),
            Kind::Meter | Kind::Lock => self.random.between(0.0, HOUR_MS),
        }
    }

    fn gap(&mut self, now: UnixMillis) -> f64 {
        match self.kind {
            Kind::Meter => self.random.normal(HOUR_MS, 0.02 * HOUR_MS),
            Kind::Light => self.random.normal(15.0 * MINUTE_MS, 0.3 * MINUTE_MS),
            Kind::Lock => {
                let mean = 4.0 * HOUR_MS / self.busyness / hurry(now);
                self.random.exponential(mean).clamp(5.0 * MINUTE_MS, 6.0 * HOUR_MS)
            }
        }
    }

    /// A reading; now and then it is repeated, as meters do that are not sure of their radio.
    fn read(&mut self, gap: f64) {
        self.count += self.random.below(90);
        let fields = format!("\"litres\":{}", self.count);
        self.planned.push_back((gap, "/meter/volume", fields.clone()));
        if self.random.chance(0.01) {
            let again = self.random.between(2.0 * SECOND_MS, 9.0 * SECOND_MS);
            self.planned.push_back((again, "/meter/volume", fields));
        }
    }

    /// A state report, and at dusk and dawn one more when the lamp is switched.
    fn shine(&mut self, now: UnixMillis, gap: f64) {
        let lit = is_night(now.0.saturating_sub(self.zone * 4 * 60_000));
        let watts = if lit { 40 + self.random.below(8) } else { self.random.below(2) };
        let fields = format!("\"on\":{lit},\"watts\":{watts}");
        self.planned.push_back((gap, "/light/state", fields.clone()));
        if self.lit.replace(lit).is_some_and(|before| before != lit) {
            let soon = self.random.between(20.0 * SECOND_MS, 90.0 * SECOND_MS);
            self.planned.push_back((soon, "/light/state", fields));
        }
    }

    /// A heartbeat, or a ride: unlock, some positions, lock.
    fn ride(&mut self, gap: f64) {
        self.count += 1;
        self.planned.push_back((gap, "/lock/event", "\"event\":\"alive\",\"battery\":87".into()));
        if self.random.chance(0.4) {
            return;
        }
        self.planned.push_back((
            self.random.between(5.0, 20.0) * SECOND_MS,
            "/lock/event",
            "\"event\":\"unlocked\"".into(),
        ));
        for _ in 0..1 + self.random.below(6) {
            let place = format!(
                "\"lat\":{:.4},\"lon\":{:.4}",
                self.random.between(52.4, 52.6),
                self.random.between(13.2, 13.5)
            );
            self.planned.push_back((self.random.between(3.0, 6.0) * MINUTE_MS, "/lock/position", place));
        }
        self.planned.push_back((
            self.random.between(1.0, 6.0) * MINUTE_MS,
            "/lock/event",
            "\"event\":\"locked\"".into(),
        ));
    }
}

/// How busy the hour is: two rush hours, and the night.
fn hurry(at: UnixMillis) -> f64 {
    match at.0 % DAY_MS / 3_600_000 {
        7 | 8 | 17 | 18 => 4.0,
        0..=5 => 0.2,
        _ => 1.0,
    }
}

/// From 18:30 to 06:30.
fn is_night(at_ms: u64) -> bool {
    let minute = at_ms % DAY_MS / 60_000;
    !(390..1_110).contains(&minute)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::city::City;

    /// Two days of one device from midnight.
    fn days(seed: u64, kind: Kind) -> Vec<(u64, Wake)> {
        let city = City::plan(seed, 10);
        let mut habit = Habit::new(seed, city.of_kind(kind).next().unwrap());
        let (mut now, mut wakes) = (UnixMillis(20_000 * DAY_MS), vec![]);
        while now.0 < 20_002 * DAY_MS {
            let wake = habit.next(now);
            now = now.plus(wake.after_ms);
            wakes.push((now.0, wake));
        }
        wakes
    }

    #[test]
    fn a_seed_makes_one_schedule() {
        for kind in [Kind::Lock, Kind::Meter, Kind::Light] {
            assert_eq!(days(5, kind), days(5, kind));
            assert_ne!(days(5, kind), days(6, kind));
        }
    }

    #[test]
    fn meters_report_hourly_with_a_rare_repetition() {
        let wakes = days(5, Kind::Meter);
        let hourly = wakes.iter().filter(|(_, wake)| wake.after_ms > 10_000).count();
        assert!((46..=50).contains(&hourly), "{hourly}");
        let gaps = wakes.iter().skip(1).map(|(_, wake)| wake.after_ms).filter(|gap| *gap > 10_000);
        assert!(gaps.into_iter().all(|gap| (3_150_000..4_050_000).contains(&gap)));
    }

    #[test]
    fn lights_report_every_quarter_and_are_switched_twice_a_day() {
        let wakes = days(5, Kind::Light);
        let switched = wakes.iter().skip(1).filter(|(_, wake)| wake.after_ms < 120_000).count();
        assert_eq!(switched, 4);
        assert!((180..=200).contains(&(wakes.len() - switched)), "{}", wakes.len());
    }

    #[test]
    fn locks_are_busiest_at_rush_hour_and_move() {
        let per_hour = |hours: std::ops::Range<u64>| {
            let (mut count, span) = (0, hours.end - hours.start);
            for seed in 0..40 {
                let inside = |at: &u64| hours.contains(&(at % DAY_MS / 3_600_000));
                count += days(seed, Kind::Lock).iter().filter(|(at, _)| inside(at)).count() as u64;
            }
            count / span
        };
        assert!(per_hour(8..9) > 2 * per_hour(10..15));
        assert!(per_hour(10..15) > 2 * per_hour(1..5));
        assert!(days(5, Kind::Lock).iter().any(|(_, wake)| wake.moves));
    }
}
