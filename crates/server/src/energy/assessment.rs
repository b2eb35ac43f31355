//! The answer: every scheme's bytes and energy, where the saving holds, and what it hangs on.

use bartizan_dtls::Error;
use serde::Serialize;

use super::measure::{Flight, Measured, measure, shake_hands};
use super::model::{Constants, HEADER_BYTES, Life, NRF9160, NRF9160_LEAST_SQUARES, Traffic, WakeUp};
use super::scheme::{self, How, Scheme};

/// What the server answers a report with.
pub const ANSWER_BYTES: u32 = 5;
/// While it sends, at best: 1,000 bits in four resource units of a millisecond (3GPP TS 36.213, category NB1).
const PEAK_BITS_PER_S: f64 = 250_000.0;
/// What has to be possible at the edge of coverage, 20 dB below GPRS's (3GPP TR 45.820).
const EDGE_BITS_PER_S: f64 = 160.0;

/// Sleep floors of the grid and the plot, with what has them.
pub const FLOORS: [(f64, &str); 4] = [
    (2.7, "the nRF9160's modem alone"),
    (14.0, "nRF9160 feather v5"),
    (40.0, "Thingy:91"),
    (100.0, "a board not made for sleeping"),
];

/// Intervals of the grid.
pub const INTERVALS: [(u64, &str); 6] =
    [(900, "15 min"), (3_600, "1 h"), (14_400, "4 h"), (43_200, "12 h"), (86_400, "1 day"), (604_800, "1 week")];

/// What is asked.
#[derive(Clone, Copy, Debug, PartialEq, Serialize)]
pub struct Question {
    #[serde(flatten)]
    pub life: Life,
    /// Application bytes of a report, up to [`limits::ENERGY_PAYLOAD_BYTES_MAX`](crate::limits::ENERGY_PAYLOAD_BYTES_MAX).
    pub payload_bytes: u32,
}

impl Question {
    pub const DEFAULT: Self = Self { life: Life::HOURLY, payload_bytes: 5 };
}

/// Where a row's bytes come from.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Origin {
    Measured,
    Published,
}

/// One scheme.
#[derive(Clone, Debug, Serialize)]
pub struct Row {
    pub id: &'static str,
    pub name: &'static str,
    pub origin: Origin,
    /// The publication.
    pub note: Option<&'static str>,
    pub cost: Cost,
}

/// What a scheme costs.
#[derive(Clone, Debug, Serialize)]
pub struct Cost {
    /// Empty if only sums were published.
    pub flights: Vec<Flight>,
    pub handshake: Traffic,
    pub wake_up: Traffic,
    pub energy: WakeUp,
    pub report_mwh: f64,
    pub interval_mwh: f64,
    /// Against a full PSK handshake in DTLS 1.2 for every report.
    pub saving_percent: f64,
    pub battery_years: f64,
    /// Sending time of the bytes up: at the modem's peak rate, and at the least that is asked of a network.
    pub airtime_peak_ms: f64,
    pub airtime_edge_s: f64,
}

/// The saving of the Connection ID when one assumption is another.
#[derive(Clone, Debug, Serialize)]
pub struct Swing {
    pub assumption: String,
    pub saving_percent: f64,
}

#[derive(Clone, Debug, Serialize)]
pub struct Assessment {
    pub question: Question,
    pub constants: Constants,
    pub schemes: Vec<Row>,
    /// The saving of a Connection ID against a full PSK handshake for every report, both DTLS 1.2.
    pub cid_saving_percent: f64,
    /// By floor ([`FLOORS`]), then by interval ([`INTERVALS`]).
    pub grid: Vec<Vec<f64>>,
    pub swings: Vec<Swing>,
    /// Our handshake with what the smallest published one has: an identity of one byte, and a Connection ID.
    pub like_the_best: Vec<Flight>,
}

/// The two schemes that are compared.
#[derive(Clone, Copy)]
pub struct Pair {
    pub full: Traffic,
    pub cid: Traffic,
}

impl Pair {
    /// # Errors
    /// What the state machines say if they do not come to terms.
    pub fn measure(payload_bytes: u32) -> Result<Self, Error> {
        let traffic = |id| -> Result<Traffic, Error> {
            let scheme = scheme::ALL.iter().find(|scheme| scheme.id == id);
            let measured = scheme.map(|scheme| run(scheme, payload_bytes)).transpose()?.flatten();
            Ok(measured.ok_or(Error::Misuse("the scheme is not measured"))?.wake_up)
        };
        Ok(Self { full: traffic(scheme::FULL_PSK)?, cid: traffic(scheme::CID)? })
    }

    /// In percent.
    #[must_use]
    pub fn saving(&self, constants: &Constants, life: &Life) -> f64 {
        life.saving_percent(constants.wake_up(self.cid).total(), constants.wake_up(self.full).total())
    }
}

/// Runs what can be run, and reckons.
///
/// # Errors
/// What the state machines say if they do not come to terms.
pub fn assess(question: Question) -> Result<Assessment, Error> {
    let life = question.life;
    let pair = Pair::measure(question.payload_bytes)?;
    let schemes: Result<_, Error> = scheme::ALL.iter().map(|scheme| row(scheme, question, &pair)).collect();
    let at = |(floor, _): &(f64, _)| {
        let saving = |(interval_s, _): &(u64, _)| {
            pair.saving(&NRF9160, &Life { interval_s: *interval_s, sleep_ua: *floor, ..life })
        };
        INTERVALS.iter().map(saving).collect()
    };
    Ok(Assessment {
        question,
        constants: NRF9160,
        schemes: schemes?,
        cid_saving_percent: pair.saving(&NRF9160, &life),
        grid: FLOORS.iter().map(at).collect(),
        swings: swings(question, &pair)?,
        like_the_best: like_the_best()?,
    })
}

impl Assessment {
    #[must_use]
    pub fn row(&self, id: &str) -> Option<&Row> {
        self.schemes.iter().find(|row| row.id == id)
    }

    /// The rows with their costs.
    pub fn costs(&self) -> impl Iterator<Item = (&Row, &Cost)> {
        self.schemes.iter().map(|row| (row, &row.cost))
    }
}

/// What a scheme puts on the air; `None` if it is not ours to run.
fn run(scheme: &Scheme, payload_bytes: u32) -> Result<Option<Measured>, Error> {
    let (opening, (client, server)) = match &scheme.how {
        How::Run { opening, ends } => (*opening, ends()?),
        How::Published(_) => return Ok(None),
    };
    measure(&client, &server, opening, payload_bytes as usize, ANSWER_BYTES as usize).map(Some)
}

fn row(scheme: &Scheme, question: Question, pair: &Pair) -> Result<Row, Error> {
    let (origin, note, measured) = match &scheme.how {
        How::Run { .. } => (Origin::Measured, None, run(scheme, question.payload_bytes)?),
        How::Published(published) => {
            let wake_up = published.wake_up(question.payload_bytes, ANSWER_BYTES);
            let sums = Measured { flights: Vec::new(), handshake: published.handshake, wake_up };
            (Origin::Published, Some(published.source), Some(sums))
        }
    };
    let measured = measured.ok_or(Error::Misuse("the scheme is not measured"))?;
    Ok(Row { id: scheme.id, name: scheme.name, origin, note, cost: cost(measured, &question.life, pair) })
}

/// The flights of the handshake alone.
fn like_the_best() -> Result<Vec<Flight>, Error> {
    let (client, server) = scheme::like_the_best()?;
    shake_hands(&client, &server)
}

fn cost(Measured { flights, handshake, wake_up }: Measured, life: &Life, pair: &Pair) -> Cost {
    let energy = NRF9160.wake_up(wake_up);
    let report_mwh = energy.total();
    let bits = f64::from(wake_up.up.on_air()) * 8.0;
    Cost {
        flights,
        handshake,
        wake_up,
        energy,
        report_mwh,
        interval_mwh: life.interval_mwh(report_mwh),
        saving_percent: life.saving_percent(report_mwh, NRF9160.wake_up(pair.full).total()),
        battery_years: life.years(report_mwh),
        airtime_peak_ms: bits / PEAK_BITS_PER_S * 1_000.0,
        airtime_edge_s: bits / EDGE_BITS_PER_S,
    }
}

/// How dear a radio is elsewhere, times [`NRF9160`]: Røstad's thesis has about a fifth for a report with release
/// assistance, Nordic's product specification about twice for a location update at full power.
pub const RADIOS: [f64; 2] = [0.2, 2.0];

/// One constant times a factor.
type Change = fn(Constants, f64) -> Constants;

const CHANGES: [(&str, Change); 3] = [
    ("a wake-up", |old, factor| Constants { wake_mwh: old.wake_mwh * factor, ..old }),
    ("a byte up", |old, factor| Constants { byte_up_mwh: old.byte_up_mwh * factor, ..old }),
    ("a round trip", |old, factor| Constants { round_trip_mwh: old.round_trip_mwh * factor, ..old }),
];

fn swings(question: Question, pair: &Pair) -> Result<Vec<Swing>, Error> {
    let life = question.life;
    let mut swings = Vec::new();
    let mut say = |assumption: String, saving_percent| swings.push(Swing { assumption, saving_percent });
    say("as stated".to_owned(), pair.saving(&NRF9160, &life));
    for (what, change) in CHANGES {
        for (factor, word) in [(0.5, "half"), (2.0, "twice")] {
            say(format!("{what} costs {word}"), pair.saving(&change(NRF9160, factor), &life));
        }
    }
    for (factor, word) in RADIOS.into_iter().zip(["a fifth", "twice"]) {
        say(format!("all three cost {word}"), pair.saving(&NRF9160.times(factor), &life));
    }
    let headers = Constants { wake_mwh: NRF9160.wake_mwh - NRF9160.byte_up_mwh * f64::from(HEADER_BYTES), ..NRF9160 };
    say("the published bytes are without IP and UDP headers".to_owned(), pair.saving(&headers, &life));
    say("the least-squares line through all four points".to_owned(), pair.saving(&NRF9160_LEAST_SQUARES, &life));
    for supply_v in [3.3, 4.2] {
        say(format!("the device sleeps at {supply_v} V"), pair.saving(&NRF9160, &Life { supply_v, ..life }));
    }
    for payload in [64, 200] {
        let saving = Pair::measure(payload)?.saving(&NRF9160, &life);
        say(format!("a report has {payload} bytes"), saving);
    }
    Ok(swings)
}
