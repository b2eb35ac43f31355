//! Mbed TLS as a DTLS 1.2 peer with Connection ID, driven from the command line as every peer is: see
//! `bartizan_peer_common`, or ask it with `--help`. `peer-mbed bench SESSIONS` says what a
//! server's sessions, handshakes and records cost.
#![allow(clippy::disallowed_methods, reason = "a program of its own: it owns the clock and randomness")]

mod bench;
mod mbed;

use anyhow::Context;

fn main() -> anyhow::Result<()> {
    let words: Vec<String> = std::env::args().skip(1).collect();
    if let [role, sessions] = words.as_slice()
        && role == "bench"
    {
        print!("{}", bench::run(sessions.parse().context("bench SESSIONS")?)?);
        return Ok(());
    }
    bartizan_peer_common::run(mbed::Mbed::new)
}
