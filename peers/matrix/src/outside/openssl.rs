//! OpenSSL's `s_client` and `s_server`, which Debian has: DTLS 1.2 without Connection ID.

use std::net::SocketAddr;
use std::time::Duration;

use anyhow::{Context, Result, bail};
use bartizan_peer_common::{Auth, Group, Role, Suite};

use super::process::{Process, free_port};
use super::{MARK, Serving, TRIES, Told, after, messages, program, words};
use crate::credentials::SERVER_NAME;
use crate::{Cell, Credentials, IDENTITY, PSK_HEX};

pub fn converse(cell: &Cell, credentials: &Credentials, address: SocketAddr) -> Result<Told> {
    let mut arguments = words(&["s_client", "-connect", &address.to_string()]);
    arguments.extend(common(cell, credentials, Role::Client)?);
    if cell.auth.has_psk() {
        arguments.extend(words(&["-psk_identity", IDENTITY]));
    } else {
        arguments.extend(words(&["-verify_hostname", SERVER_NAME]));
    }
    let mut process = Process::start(&program(cell.outside).context("not installed")?, &arguments)?;
    for message in messages(cell) {
        exchange(cell, &mut process, message)?;
    }
    process.say("Q")?; // it says close_notify and ends
    process.finish(Duration::from_secs(10))?;
    Ok(told(process.heard()))
}

/// Whoever prints it, the message came back.
pub(super) fn exchange(cell: &Cell, process: &mut Process, message: &str) -> Result<()> {
    let wait = Duration::from_millis(if cell.loss > 0 { 1000 } else { 5000 });
    for _ in 0..TRIES {
        process.say(message)?;
        if process.hear(wait, |line| line.contains(message).then_some(())).is_some() {
            return Ok(());
        }
    }
    bail!("{message:?} was not answered:\n{}", process.transcript())
}

pub fn serve(cell: &Cell, credentials: &Credentials) -> Result<Serving> {
    let port = free_port()?;
    let mut arguments = words(&["s_server", "-accept", &port.to_string(), "-listen"]);
    arguments.extend(common(cell, credentials, Role::Server)?);
    arguments.extend(words(if cell.auth.has_psk() { &["-nocert"] } else { &["-Verify", "2"] }));
    let process = Process::start(&program(cell.outside).context("not installed")?, &arguments)?;
    let mut process = process.echo(MARK)?;
    if process.hear(Duration::from_secs(20), |line| line.contains("ACCEPT").then_some(())).is_none() {
        bail!("does not listen:\n{}", process.transcript());
    }
    Ok(Serving { address: SocketAddr::from(([127, 0, 0, 1], port)), process, read: told })
}

fn common(cell: &Cell, credentials: &Credentials, role: Role) -> Result<Vec<String>> {
    // OpenSSL calls an 8-byte tag too weak for its default level.
    let cipher = format!("{}:@SECLEVEL=0", suite(cell)?);
    let mut arguments = words(&["-dtls1_2", "-cipher", &cipher, "-mtu", "1400"]);
    arguments.extend(words(&["-keymatexport", "EXPORTER-bartizan-session", "-keymatexportlen", "32"]));
    if let Some(group) = cell.group {
        let names = match group {
            Group::P256 => "P-256",
            _ if cell.auth == Auth::Ecdsa => "X25519:P-256", // the second is for the certificates
            _ => "X25519",
        };
        arguments.extend(words(&["-groups", names]));
    }
    if cell.auth.has_psk() {
        arguments.extend(words(&["-psk", PSK_HEX]));
    } else {
        let path = |name: String| credentials.path(&name);
        let (certificate, key) = (path(format!("{}.pem", role.name())), path(format!("{}.key.pem", role.name())));
        arguments.extend(words(&["-cert", &certificate, "-key", &key, "-verify_return_error"]));
        arguments.extend(words(&["-CAfile", &credentials.path("authority.pem")]));
    }
    Ok(arguments)
}

fn suite(cell: &Cell) -> Result<String> {
    let exchange = match cell.auth {
        Auth::Psk => "PSK",
        Auth::EcdhePsk => "ECDHE-PSK",
        Auth::Ecdsa => "ECDHE-ECDSA",
        Auth::Rpk => bail!("OpenSSL 3.0 has no raw public keys"),
    };
    let cipher = match cell.suite {
        Suite::Ccm8 => "AES128-CCM8",
        Suite::Ccm => "AES128-CCM",
        Suite::Gcm => "AES128-GCM-SHA256",
        Suite::Gcm256 => "AES256-GCM-SHA384",
        Suite::Chacha => "CHACHA20-POLY1305",
    };
    Ok(format!("{exchange}-{cipher}"))
}

fn told(lines: &[String]) -> Told {
    Told { exporter: after(lines, "Keying material: ").map(|hex| hex.to_lowercase()), ..Told::default() }
}
