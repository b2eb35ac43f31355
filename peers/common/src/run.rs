//! What a peer does, whichever library it is made of.
//!
//! Each line on standard output is one fact, for tests to read: `bound`, `connected`, `version`, `group`, `cid`,
//! `exporter`, `ready` (no more of these), `recv`, `timeout`, `rebound`, `updated`.

use std::io::{BufRead, Write};
use std::net::UdpSocket;

use anyhow::{Context, Result, bail};

use crate::arguments::{Arguments, Step, USAGE, to_hex};
use crate::transport::Transport;
use crate::vocabulary::Role;

/// What is known of an association after its handshake.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Facts {
    pub version: String,
    /// The library's name for it: IANA's, perhaps with other dashes.
    pub suite: String,
    pub group: Option<String>,
    /// The Connection ID in what we receive; `None` if the extension was not agreed on.
    pub own_cid: Option<Vec<u8>>,
    /// The Connection ID in what we send.
    pub peer_cid: Option<Vec<u8>>,
    /// 32 bytes of keying material under the label `EXPORTER-bartizan-session` (RFC 5705).
    pub exporter: Option<Vec<u8>>,
}

/// One association of an outside library over one [`Transport`].
pub trait Peer {
    /// # Errors
    /// If it fails, with the library's reason.
    fn handshake(&mut self) -> Result<()>;

    /// # Errors
    /// If the library does not tell.
    fn facts(&mut self) -> Result<Facts>;

    /// # Errors
    /// If the association is closed.
    fn write(&mut self, bytes: &[u8]) -> Result<()>;

    /// The next message; `None` if none came in time.
    ///
    /// # Errors
    /// If the association is closed.
    fn read(&mut self) -> Result<Option<Vec<u8>>>;

    /// New keys for what is sent.
    ///
    /// # Errors
    /// If the library or the version has no such thing.
    fn update_keys(&mut self) -> Result<()>;

    /// Sends close_notify.
    fn close(&mut self);

    fn transport(&mut self) -> &mut Transport;
}

/// A peer's whole `main`: `new` makes the association, before its handshake.
///
/// # Errors
/// If the words make no sense, or the association failed.
pub fn run<P: Peer>(new: impl FnOnce(Arguments, Transport) -> Result<P>) -> Result<()> {
    let words: Vec<String> = std::env::args().skip(1).collect();
    if words.iter().any(|word| word == "--help") || words.is_empty() {
        print!("{USAGE}");
        return Ok(());
    }
    let arguments = Arguments::parse(&words)?;
    match arguments.role {
        Role::Client => client(arguments, new),
        Role::Server => server(arguments, new),
    }
}

fn client<P: Peer>(mut arguments: Arguments, new: impl FnOnce(Arguments, Transport) -> Result<P>) -> Result<()> {
    let transport = Transport::towards(&arguments.bind, arguments.address, arguments.loss())?;
    say(&format!("bound {}", transport.local_address()?));
    let (steps, interactive, facts) = (std::mem::take(&mut arguments.steps), arguments.interactive, arguments.facts);
    let mut peer = new(arguments, transport)?;
    peer.handshake()?;
    say_facts(&peer.facts()?, facts);
    for step in &steps {
        act(&mut peer, step)?;
    }
    if interactive {
        for line in std::io::stdin().lock().lines() {
            act(&mut peer, &Step::parse(&line?)?)?;
        }
    }
    peer.close();
    Ok(())
}

fn act(peer: &mut impl Peer, step: &Step) -> Result<()> {
    match step {
        Step::Send(bytes) => {
            peer.write(bytes)?;
            receive(peer)?;
        }
        Step::Receive => receive(peer)?,
        Step::Rebind => {
            let address = peer.transport().rebind()?;
            say(&format!("rebound {address}"));
        }
        Step::Update => {
            peer.update_keys()?;
            say("updated");
        }
        Step::Quit => std::process::exit(0), // without close_notify, as a device whose power is cut
    }
    Ok(())
}

fn receive(peer: &mut impl Peer) -> Result<()> {
    match peer.read()? {
        Some(bytes) => say(&format!("recv {}", to_hex(&bytes))),
        None => say("timeout"),
    }
    Ok(())
}

/// Serves one association: answers each message with itself until `--echo` messages were answered.
fn server<P: Peer>(arguments: Arguments, new: impl FnOnce(Arguments, Transport) -> Result<P>) -> Result<()> {
    let socket = UdpSocket::bind(arguments.address).context("cannot bind")?;
    say(&format!("bound {}", socket.local_addr()?));
    let transport = Transport::serving(socket, arguments.loss())?;
    let (echo, facts, update) = (arguments.echo, arguments.facts, arguments.steps.contains(&Step::Update));
    let mut peer = new(arguments, transport)?;
    peer.handshake()?;
    say_facts(&peer.facts()?, facts);
    for at in 0..echo {
        let Some(bytes) = peer.read()? else { bail!("no message came in time") };
        say(&format!("recv {}", to_hex(&bytes)));
        peer.write(&bytes)?;
        if at == 0 && update {
            act(&mut peer, &Step::Update)?;
        }
    }
    peer.close();
    Ok(())
}

fn say_facts(facts: &Facts, all: bool) {
    let state = if facts.own_cid.is_some() || facts.peer_cid.is_some() { "on" } else { "off" };
    say(&format!("connected {} cid={state}", facts.suite));
    if !all {
        return;
    }
    say(&format!("version {}", facts.version));
    if let Some(group) = &facts.group {
        say(&format!("group {group}"));
    }
    let hex = |cid: &Option<Vec<u8>>| cid.as_deref().map_or("none".to_owned(), to_hex);
    say(&format!("cid own={} peer={}", hex(&facts.own_cid), hex(&facts.peer_cid)));
    if let Some(exporter) = &facts.exporter {
        say(&format!("exporter {}", to_hex(exporter)));
    }
    say("ready");
}

fn say(line: &str) {
    println!("{line}");
    let _ = std::io::stdout().flush(); // the reader is a test at the end of a pipe
}
