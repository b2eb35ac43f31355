//! wolfSSL as a DTLS 1.2 and 1.3 peer with Connection ID, driven from the command line as every peer is: see
//! `bartizan_peer_common`, or ask it with `--help`. Licence: see LICENCE.md.
#![allow(clippy::disallowed_methods, reason = "a program of its own: it owns the clock")]

mod bench;
mod callbacks;
mod suites;
mod wolf;

fn main() -> anyhow::Result<()> {
    let words: Vec<String> = std::env::args().skip(1).collect();
    if let [role, sessions] = words.as_slice()
        && role == "bench"
    {
        print!("{}", bench::run(sessions.parse()?)?);
        return Ok(());
    }
    bartizan_peer_common::run(wolf::Wolf::new)
}
