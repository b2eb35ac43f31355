//! The peers of this repository, `peer-mbed` and `peer-wolfssl`: one command line, one fact on each line.

use std::net::SocketAddr;
use std::time::Duration;

use anyhow::{Context, Result, bail};
use bartizan_peer_common::{Role, to_hex};

use super::process::Process;
use super::{Serving, TRIES, Told, after, messages, program, words};
use crate::{Cell, Credentials, IDENTITY, PSK_HEX};

const HANDSHAKE_MAX: Duration = Duration::from_secs(60);

pub fn converse(cell: &Cell, credentials: &Credentials, address: SocketAddr) -> Result<Told> {
    let wait = if cell.loss > 0 { "300" } else { "4000" };
    let mut arguments = words(&["client", &address.to_string(), "--interactive", "--wait-ms", wait]);
    arguments.extend(common(cell, credentials, Role::Client, 5));
    let mut process = Process::start(&program(cell.outside).context("not built")?, &arguments)?;
    if process.hear(HANDSHAKE_MAX, |line| (line == "ready").then_some(())).is_none() {
        bail!("no handshake:\n{}", process.transcript());
    }
    for (at, message) in messages(cell).iter().enumerate() {
        if at == 1 && cell.rebind {
            process.say("rebind")?;
        }
        if at == 1 && cell.update {
            process.say("update")?;
        }
        exchange(&mut process, message)?;
    }
    process.finish(Duration::from_secs(10))?;
    Ok(told(process.heard()))
}

fn exchange(process: &mut Process, message: &str) -> Result<()> {
    let hex = to_hex(message.as_bytes());
    for _ in 0..TRIES {
        process.say(&format!("send {hex}"))?;
        // Something is printed for each order; an answer to an earlier try is as good as one to this.
        let answer = |line: &str| (line == "timeout" || line.starts_with("recv ")).then(|| line.to_owned());
        let Some(line) = process.hear(Duration::from_secs(10), answer) else { break };
        if line.strip_prefix("recv ") == Some(&hex) {
            return Ok(());
        }
    }
    bail!("{message:?} was not answered:\n{}", process.transcript())
}

pub fn serve(cell: &Cell, credentials: &Credentials) -> Result<Serving> {
    // Longer than our client waits before it tries again.
    let mut arguments = words(&["server", "127.0.0.1:0", "--echo", "1000", "--wait-ms", "8000"]);
    arguments.extend(common(cell, credentials, Role::Server, 6));
    if cell.update {
        arguments.push("--update".to_owned());
    }
    let mut process = Process::start(&program(cell.outside).context("not built")?, &arguments)?;
    let bound = |line: &str| line.strip_prefix("bound ").and_then(|address| address.parse().ok());
    let Some(address) = process.hear(Duration::from_secs(20), bound) else {
        bail!("does not say where it is bound:\n{}", process.transcript());
    };
    Ok(Serving { address, process, read: told })
}

fn common(cell: &Cell, credentials: &Credentials, role: Role, cid_bytes: u8) -> Vec<String> {
    let mut arguments = words(&["--version", cell.version.name(), "--auth", cell.auth.name(), "--facts"]);
    arguments.extend(words(&["--suite", cell.suite.name()]));
    if cell.auth.has_psk() {
        arguments.extend(words(&["--identity", IDENTITY, "--psk", PSK_HEX]));
    } else {
        let [certificate, key, trusted] = credentials.of(role, cell.auth);
        arguments.extend(words(&["--cert", &certificate, "--key", &key, "--peer", &trusted]));
    }
    if let Some(group) = cell.group {
        arguments.extend(words(&["--group", group.name()]));
    }
    if cell.cid {
        arguments.extend(words(&["--cid", &cid_bytes.to_string()]));
    }
    arguments
}

fn told(lines: &[String]) -> Told {
    let connected = after(lines, "connected ");
    let (suite, cid) = connected.as_deref().and_then(|rest| rest.split_once(' ')).unzip();
    Told {
        suite: suite.map(|name| name.replace('-', "_")),
        cid: cid.map(|cid| cid == "cid=on"),
        group: after(lines, "group "),
        exporter: after(lines, "exporter "),
    }
}
