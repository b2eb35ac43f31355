//! An independent DTLS 1.2 peer with Connection ID: Mbed TLS, driven from the command line.
//!
//! As a client it is a device that is not ours; as a server, a gateway that is not ours. Each line it prints is one
//! fact, for tests to read: `bound`, `connected`, `recv`, `timeout`, `rebound`, `closed`.
#![allow(
    clippy::disallowed_methods,
    clippy::disallowed_types,
    clippy::unwrap_used,
    reason = "a program of its own: it owns sockets, the clock and randomness"
)]

mod arguments;
mod bench;
mod mbed;
mod transport;

use std::io::{BufRead, Write};
use std::net::UdpSocket;
use std::time::Duration;

use anyhow::{Context, Result, bail};

use crate::arguments::{Arguments, Role, Step};
use crate::mbed::{Peer, Settings};
use crate::transport::Transport;

fn main() -> Result<()> {
    let words: Vec<String> = std::env::args().skip(1).collect();
    if words.iter().any(|word| word == "--help") || words.is_empty() {
        print!("{}", arguments::USAGE);
        return Ok(());
    }
    if let [role, sessions] = words.as_slice()
        && role == "bench"
    {
        print!("{}", bench::run(sessions.parse().context("bench SESSIONS")?)?);
        return Ok(());
    }
    let arguments = Arguments::parse(&words)?;
    match arguments.role {
        Role::Client => client(arguments),
        Role::Server => server(arguments),
    }
}

fn client(arguments: Arguments) -> Result<()> {
    let transport = Transport::towards(arguments.bind.as_str(), arguments.address, arguments.loss())?;
    say(&format!("bound {}", transport.local_address()?));
    let mut peer = Peer::new(settings(&arguments), transport, Duration::from_millis(arguments.wait_ms))?;
    peer.handshake()?;
    say(&peer.facts()?);
    for step in &arguments.steps {
        act(&mut peer, step)?;
    }
    if arguments.interactive {
        for line in std::io::stdin().lock().lines() {
            act(&mut peer, &Step::parse(&line?)?)?;
        }
    }
    peer.close();
    Ok(())
}

fn act(peer: &mut Peer, step: &Step) -> Result<()> {
    match step {
        Step::Send(bytes) => {
            peer.write(bytes)?;
            receive(peer)
        }
        Step::Receive => receive(peer),
        Step::Rebind => {
            let address = peer.transport().rebind()?;
            say(&format!("rebound {address}"));
            Ok(())
        }
        Step::Quit => std::process::exit(0), // without close_notify, as a device whose power is cut
    }
}

fn receive(peer: &mut Peer) -> Result<()> {
    match peer.read()? {
        Some(bytes) => say(&format!("recv {}", arguments::to_hex(&bytes))),
        None => say("timeout"),
    }
    Ok(())
}

/// Serves one association at a time: answers each message with itself until `--echo` messages were answered.
fn server(arguments: Arguments) -> Result<()> {
    let socket = UdpSocket::bind(arguments.address).context("cannot bind")?;
    say(&format!("bound {}", socket.local_addr()?));
    let transport = Transport::serving(socket, arguments.loss())?;
    let mut peer = Peer::new(settings(&arguments), transport, Duration::from_millis(arguments.wait_ms))?;
    peer.handshake()?;
    say(&peer.facts()?);
    for _ in 0..arguments.echo {
        let Some(bytes) = peer.read()? else { bail!("no message came in time") };
        say(&format!("recv {}", arguments::to_hex(&bytes)));
        peer.write(&bytes)?;
    }
    peer.close();
    Ok(())
}

fn settings(arguments: &Arguments) -> Settings {
    Settings {
        is_server: arguments.role == Role::Server,
        suite: arguments.suite,
        identity: arguments.identity.clone(),
        psk: arguments.psk.clone(),
        own_cid: arguments.cid.map(|length| (0..length).map(|at| 0xc0 ^ at).collect()),
    }
}

fn say(line: &str) {
    println!("{line}");
    let _ = std::io::stdout().flush(); // the reader is a test at the end of a pipe
}
