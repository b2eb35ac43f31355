//! Handshakes a second, and what of them is bare cryptography.

use super::bare;
use super::world::{BATCH, Kind, Server};
use crate::cpu;
use crate::report::Figure;

/// Figures of one kind: handshakes, their ratio to the bare cryptography, and how many are made.
const KINDS: [(Kind, &str, &str, u32); 5] = [
    (Kind::Psk, "dtls.handshakes_psk_per_s_core", "dtls.handshakes_psk_ratio_to_bare_crypto", 10_000),
    (Kind::EcdhePsk, "dtls.handshakes_ecdhe_psk_per_s_core", "dtls.handshakes_ecdhe_psk_ratio_to_bare_crypto", 4_000),
    (
        Kind::EcdsaMutual,
        "dtls.handshakes_ecdsa_mutual_per_s_core",
        "dtls.handshakes_ecdsa_mutual_ratio_to_bare_crypto",
        2_000,
    ),
    (Kind::Psk13, "dtls.handshakes_psk13_per_s_core", "dtls.handshakes_psk13_ratio_to_bare_crypto", 10_000),
    (Kind::Hybrid13, "dtls.handshakes_hybrid13_per_s_core", "dtls.handshakes_hybrid13_ratio_to_bare_crypto", 2_000),
];

pub fn run() -> anyhow::Result<Vec<Figure>> {
    let mut figures = Vec::new();
    for (kind, name, ratio, count) in KINDS {
        let rate = handshakes(kind, count)?;
        let work = bare::handshake(kind);
        let bare = work.per_second(count);
        let suite = kind.suite().name();
        figures.push(Figure::new(
            name,
            rate,
            format!("{kind:?}, {suite}, with cookie, {count} clients, server's side only"),
        ));
        figures.push(Figure::new(ratio, rate / bare, format!("the same over {bare:.0} times {work} a second")));
    }
    Ok(figures)
}

fn handshakes(kind: Kind, count: u32) -> anyhow::Result<f64> {
    let mut server = Server::new(count + BATCH, kind)?;
    for first in (0..count).step_by(BATCH as usize) {
        server.admit(first, BATCH.min(count - first), kind)?;
    }
    Ok(cpu::per_second(server.established, server.spent))
}
