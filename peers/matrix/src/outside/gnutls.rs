//! GnuTLS's `gnutls-cli` and `gnutls-serv`, which Debian has: DTLS 1.2 without Connection ID, with raw public keys.

use std::net::SocketAddr;
use std::time::Duration;

use anyhow::{Context, Result};
use bartizan_peer_common::{Auth, Group, Role, Suite};

use super::openssl::exchange;
use super::process::{Process, free_port};
use super::{Serving, Told, after, messages, program, words};
use crate::credentials::SERVER_NAME;
use crate::{Cell, Credentials, IDENTITY, PSK_HEX};

pub fn converse(cell: &Cell, credentials: &Credentials, address: SocketAddr) -> Result<Told> {
    let mut arguments = words(&["--udp", "--port", &address.port().to_string(), "--mtu", "1400"]);
    arguments.extend(words(&["--priority", &priority(cell)]));
    arguments.extend(words(&["--keymatexport", "EXPORTER-bartizan-session", "--keymatexportsize", "32"]));
    match cell.auth {
        Auth::Psk | Auth::EcdhePsk => {
            arguments.extend(words(&["--pskusername", IDENTITY, "--pskkey", PSK_HEX]));
        }
        Auth::Ecdsa => arguments.extend(words(&["--verify-hostname", SERVER_NAME])),
        Auth::Rpk => arguments.push("--insecure".to_owned()), // it can only pin what it saw before
    }
    arguments.extend(keys(cell, credentials, Role::Client));
    arguments.push("127.0.0.1".to_owned());
    let mut process = Process::start(&program(cell.outside).context("not installed")?, &arguments)?;
    for message in messages(cell) {
        exchange(cell, &mut process, message)?;
    }
    process.finish(Duration::from_secs(10))?; // at the end of its input it says close_notify
    Ok(told(process.heard()))
}

pub fn serve(cell: &Cell, credentials: &Credentials) -> Result<Serving> {
    let port = free_port()?;
    let mut arguments = words(&["--udp", "--port", &port.to_string(), "--mtu", "1400", "--echo"]);
    arguments.extend(words(&["--priority", &priority(cell)]));
    if cell.auth.has_psk() {
        arguments.extend(words(&["--pskpasswd", &credentials.path("psk")]));
    } else {
        arguments.push("--require-client-cert".to_owned());
    }
    arguments.extend(keys(cell, credentials, Role::Server));
    let client = program(cell.outside).context("not installed")?;
    let mut process = Process::start(&client.with_file_name("gnutls-serv"), &arguments)?;
    process.hear(Duration::from_secs(5), |line| line.contains("ready").then_some(()));
    Ok(Serving { address: SocketAddr::from(([127, 0, 0, 1], port)), process, read: told })
}

fn keys(cell: &Cell, credentials: &Credentials, role: Role) -> Vec<String> {
    let path = |name: &str| credentials.path(&format!("{}.{name}", role.name()));
    match cell.auth {
        Auth::Psk | Auth::EcdhePsk => Vec::new(),
        Auth::Ecdsa => {
            let authority = credentials.path("authority.pem");
            let (certificate, key) = (path("pem"), path("key.pem"));
            words(&["--x509certfile", &certificate, "--x509keyfile", &key, "--x509cafile", &authority])
        }
        Auth::Rpk => words(&["--rawpkfile", &path("public.pem"), "--rawpkkeyfile", &path("key.pem")]),
    }
}

fn priority(cell: &Cell) -> String {
    let exchange = match cell.auth {
        Auth::Psk => "+PSK",
        Auth::EcdhePsk => "+ECDHE-PSK",
        Auth::Ecdsa => "+ECDHE-ECDSA:+CTYPE-X509",
        Auth::Rpk => "+ECDHE-ECDSA:+CTYPE-CLI-RAWPK:+CTYPE-SRV-RAWPK",
    };
    let cipher = match cell.suite {
        Suite::Ccm8 => "AES-128-CCM-8",
        Suite::Ccm => "AES-128-CCM",
        Suite::Gcm => "AES-128-GCM",
        Suite::Gcm256 => "AES-256-GCM",
        Suite::Chacha => "CHACHA20-POLY1305",
    };
    let group = match cell.group {
        Some(Group::P256) => "+GROUP-SECP256R1",
        _ => "+GROUP-X25519:+GROUP-SECP256R1",
    };
    format!("NONE:+VERS-DTLS1.2:+{cipher}:+AEAD:{exchange}:{group}:+SIGN-ECDSA-SHA256:+COMP-NULL")
}

fn told(lines: &[String]) -> Told {
    Told { exporter: after(lines, "- Key material: ").map(|hex| hex.to_lowercase()), ..Told::default() }
}
