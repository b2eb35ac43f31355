//! The command line of crate `purecrypto`: DTLS 1.2 and 1.3 with Connection ID, with certificates only.

use std::net::SocketAddr;
use std::time::Duration;

use anyhow::{Context, Result, bail};
use bartizan_peer_common::{Group, Role, Suite, Version};

use super::process::Process;
use super::{MESSAGES, Serving, Told, after, program, words};
use crate::credentials::SERVER_NAME;
use crate::{Cell, Credentials};

/// Room for its first hello with a hybrid share and a Connection ID in one fragment: a server that keeps nothing before
/// a cookie has come back cannot put fragments together.
const MTU: &str = "1450";

/// Single-shot: it reads its whole input, says it, and after a change of its port says it again.
pub fn converse(cell: &Cell, credentials: &Credentials, address: SocketAddr) -> Result<Told> {
    let mut arguments = words(&["s_client", "-connect", &address.to_string(), "-servername", SERVER_NAME]);
    arguments.extend(words(&["-CAfile", &credentials.path("authority.pem")]));
    arguments.extend(words(&["-read_timeout", "1", "-resend", "25"]));
    arguments.extend(common(cell, credentials, Role::Client));
    if cell.cid {
        arguments.extend(words(&["-cid", "c1d2e3"]));
    }
    if cell.rebind {
        arguments.push("-rebind".to_owned());
    }
    let mut process = Process::start(&program(cell.outside).context("not built")?, &arguments)?;
    let message = MESSAGES[0];
    process.say(message)?;
    process.finish(Duration::from_secs(90))?;
    let answered = process.heard().iter().filter(|line| line.contains(message)).count();
    if answered < if cell.rebind { 2 } else { 1 } {
        bail!("answered {answered} times:\n{}", process.transcript());
    }
    Ok(told(process.heard()))
}

pub fn serve(cell: &Cell, credentials: &Credentials) -> Result<Serving> {
    let mut arguments = words(&["s_server", "-accept", "0", "-Verify", &credentials.path("authority.pem")]);
    arguments.extend(common(cell, credentials, Role::Server));
    if cell.cid {
        arguments.extend(words(&["-cid_len", "4"]));
    }
    let mut process = Process::start(&program(cell.outside).context("not built")?, &arguments)?;
    let bound = |line: &str| line.strip_prefix("listening on ")?.split(' ').next()?.parse().ok();
    let Some(address) = process.hear(Duration::from_secs(20), bound) else {
        bail!("does not say where it is bound:\n{}", process.transcript());
    };
    Ok(Serving { address, process, read: told })
}

fn common(cell: &Cell, credentials: &Credentials, role: Role) -> Vec<String> {
    let path = |name: &str| credentials.path(&format!("{}.{name}", role.name()));
    let version = if cell.version == Version::Dtls12 { "-dtls1_2" } else { "-dtls1_3" };
    let mut arguments = words(&[version, "-cert", &path("pem"), "-key", &path("key.pem"), "-mtu", MTU]);
    if let Some(group) = cell.group {
        let name = match group {
            Group::P256 => "secp256r1",
            // In DTLS 1.2 the list also names the curves of certificates (RFC 8422 section 5.1.1).
            Group::X25519 if cell.version == Version::Dtls12 => "x25519:secp256r1",
            Group::X25519 => "x25519",
            Group::X25519MlKem768 => "X25519MLKEM768",
        };
        arguments.extend(words(&["-groups", name]));
    }
    if cell.version == Version::Dtls13 {
        arguments.extend(words(&["-ciphersuites", suite(cell.suite)]));
    }
    arguments
}

/// In 1.2 it offers what it has, and ours is the side that wants one of them.
const fn suite(suite: Suite) -> &'static str {
    match suite {
        Suite::Ccm8 => "TLS_AES_128_CCM_8_SHA256",
        Suite::Ccm => "TLS_AES_128_CCM_SHA256",
        Suite::Gcm => "TLS_AES_128_GCM_SHA256",
        Suite::Gcm256 => "TLS_AES_256_GCM_SHA384",
        Suite::Chacha => "TLS_CHACHA20_POLY1305_SHA256",
    }
}

fn told(lines: &[String]) -> Told {
    let suite = after(lines, "cipher suite: ");
    let cid = suite.as_ref().map(|_| after(lines, "connection id: rx=").is_some());
    Told { suite, cid, group: after(lines, "key exchange: "), exporter: None }
}
