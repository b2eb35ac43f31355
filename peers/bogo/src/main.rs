//! A shim between BoringSSL's protocol test runner ("BoGo") and our DTLS stack.
//!
//! The runner starts this program once for each case, plays the other side of the protocol over a TCP connection,
//! and misbehaves as the case wants. What went wrong is said on standard error and by the exit code: 1 for a
//! connection that failed, 89 for a case that needs what is not there. `cargo xtask test --step bogo` runs all of
//! it; `disabled.toml` says which cases are left out, and why.
#![allow(
    clippy::disallowed_methods,
    clippy::disallowed_types,
    reason = "a program of its own: it owns a socket and randomness"
)]

mod credentials;
mod exchange;
mod flags;
mod peer;
mod transport;

use std::io::Write;
use std::process::ExitCode;

use exchange::Failure;
use flags::{Flags, Refusal};
use peer::Past;
use transport::Transport;

/// What the runner counts as "not implemented".
const EXIT_UNIMPLEMENTED: u8 = 89;

fn main() -> ExitCode {
    let words: Vec<String> = std::env::args().skip(1).collect();
    let outcome = Flags::parse(&words).map_err(Failure::Refused).and_then(|flags| run(&flags));
    match outcome {
        Ok(()) => ExitCode::SUCCESS,
        Err(Failure::Refused(Refusal::Unimplemented(what))) => {
            note(&what);
            eprintln!("{}", Refusal::Unimplemented(what));
            ExitCode::from(EXIT_UNIMPLEMENTED)
        }
        Err(Failure::Refused(refusal)) => {
            eprintln!("{refusal}");
            ExitCode::FAILURE
        }
        Err(Failure::Failed(why)) => {
            eprintln!("{why}");
            ExitCode::FAILURE
        }
    }
}

/// The runner does not pass on why a case is not implemented, so it goes to a file, in one write of one line.
fn note(what: &str) {
    let Some(file) = std::env::var_os("BOGO_REASONS") else { return };
    let opened = std::fs::OpenOptions::new().append(true).create(true).open(file);
    if let Ok(mut opened) = opened {
        let _ = opened.write_all(format!("{what}\n").as_bytes());
    }
}

fn run(flags: &Flags) -> Result<(), Failure> {
    if flags.is_handshaker_supported {
        println!("No");
        return Ok(());
    }
    let mut past = Past::default();
    let mut clock_ns = 0;
    for number in 0..=flags.resume_count {
        let settings = if number == 0 { &flags.first } else { &flags.resumed };
        let transport = Transport::connect(flags.port, flags.ipv6, flags.shim_id)?;
        let resumes = (number > 0).then_some(!settings.expect_session_miss);
        past = exchange::run(settings, transport, &mut clock_ns, past, resumes)?;
    }
    Ok(())
}
