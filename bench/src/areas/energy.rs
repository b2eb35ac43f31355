//! What a Connection ID saves a sleeping device: bytes of our own stack, energy from published measurements.
//!
//! Nothing here depends on the machine. The model and its sources are in docs/energy.md.

use bartizan_server::energy::model::{Life, NRF9160};
use bartizan_server::energy::{Pair, Question};

use crate::report::Figure;

pub fn run() -> anyhow::Result<Vec<Figure>> {
    let pair = Pair::measure(Question::DEFAULT.payload_bytes)?;
    let Life { sleep_ua, supply_v, .. } = Life::HOURLY;
    let figure = |name, value, what: &str| Figure::new(name, value, what);
    Ok(vec![
        Figure::new(
            "energy.cid_saving_hourly_percent",
            pair.saving(&NRF9160, &Life::HOURLY),
            format!(
                "hourly report, {sleep_ua} µA asleep at {supply_v} V, against a full PSK handshake with cookie each \
                 time; bytes measured, energy by the model of energy.md"
            ),
        ),
        figure(
            "energy.psk_wake_up_bytes",
            f64::from(pair.full.bytes()),
            "UDP payload both ways of a DTLS 1.2 PSK handshake with cookie, a 5-byte report and its answer",
        ),
        figure(
            "energy.cid_wake_up_bytes",
            f64::from(pair.cid.bytes()),
            "the same with the gateway's Connection ID of 10 bytes: one datagram each way",
        ),
    ])
}
