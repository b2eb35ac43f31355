//! The smallest client, and the smallest attester: what they take of a Cortex-M3. `cargo xtask size` builds, runs and measures it; where that
//! cannot be done the reason is shown and the figures are left out.

use anyhow::Context;
use serde_json::Value;

use crate::report::Figure;

const FIGURES: [(&str, &str); 10] = [
    ("dtls.client_code_bytes", "flash of a whole PSK+CID image on a Cortex-M3: client, ciphers, allocator, start-up"),
    ("dtls.client_stack_bytes", "its deepest stack during handshake and first exchange, in an emulator"),
    ("dtls.client_heap_bytes", "the buffer that its handshake and first exchange need"),
    ("dtls.saved_session_bytes", "what it keeps over a sleep, server's Connection ID of 8 bytes"),
    ("dtls.wake_code_bytes", "flash of an image that only wakes up and sleeps"),
    ("dtls.wake_stack_bytes", "deepest stack of a wake-up"),
    ("dtls.wake_heap_bytes", "heap that a wake-up uses"),
    (
        "trust.attest_code_bytes",
        "flash of an image that measures three layers, certifies them and attests once, Ed25519",
    ),
    ("trust.attest_stack_bytes", "deepest stack of that"),
    ("trust.attest_instructions", "instructions of that, in an emulator"),
];

pub fn run() -> anyhow::Result<Vec<Figure>> {
    let file = tempfile::NamedTempFile::new()?;
    let status = std::process::Command::new(std::env::var("CARGO").unwrap_or_else(|_| "cargo".to_owned()))
        .args(["run", "--quiet", "--package", "xtask", "--", "--no-install", "size", "--json"])
        .arg(file.path())
        .stdout(std::process::Stdio::null())
        .status()?;
    if !status.success() {
        eprintln!(
            "left out: the smallest client (the reason stands above; `cargo xtask size` installs what is missing)"
        );
        return Ok(Vec::new());
    }
    let measured: Value = serde_json::from_slice(&std::fs::read(file.path())?)?;
    let figure = |(name, what): (&'static str, &str)| {
        let value = measured.get(name).and_then(Value::as_f64).with_context(|| format!("no figure {name}"))?;
        Ok(Figure::new(name, value, what))
    };
    FIGURES.into_iter().map(figure).collect()
}
