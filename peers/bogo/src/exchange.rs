//! One connection with the runner: shake hands, send back what comes with every bit turned, say goodbye.

use std::collections::VecDeque;
use std::io;

use bartizan_dtls::Instant;

use crate::flags::{DTLS_1_2, Refusal, Settings};
use crate::peer::{Peer, Seen};
use crate::transport::{Command, Transport};

/// A record header and an alert.
const PLAIN_ALERT_BYTES: usize = 13 + 2;
const NS_PER_MS: u64 = 1_000_000;
/// More timeouts than any side of ours waits for.
const SILENT_TIMEOUTS_MAX: usize = 32;
/// What a shim that writes first writes.
const INITIAL_WRITE: &str = "hello";

/// Why a connection did not go as it should.
pub enum Failure {
    Refused(Refusal),
    /// In words of ours, which the runner's configuration maps to BoringSSL's.
    Failed(String),
}

impl From<io::Error> for Failure {
    fn from(error: io::Error) -> Self {
        Self::Failed(format!("transport: {error}"))
    }
}

/// Runs the whole connection at the time `clock_ns`, which moves on as the runner says.
pub fn run(settings: &Settings, transport: Transport, clock_ns: &mut u64) -> Result<(), Failure> {
    let now = Instant::from_millis(*clock_ns / NS_PER_MS);
    let peer = Peer::new(settings, now).map_err(Failure::Refused)?;
    let mut exchange =
        Exchange { settings, transport, peer, clock_ns: *clock_ns, seen: VecDeque::new(), notes: Vec::new() };
    let outcome = exchange.connect().and_then(|()| exchange.converse());
    *clock_ns = exchange.clock_ns;
    let notes = std::mem::take(&mut exchange.notes);
    exchange.transport.finish();
    outcome.map_err(|failure| explain(failure, notes))
}

/// A connection that goes nowhere because records were dropped says so.
fn explain(failure: Failure, mut notes: Vec<String>) -> Failure {
    match failure {
        Failure::Failed(why) => {
            notes.dedup();
            Failure::Failed(std::iter::once(why).chain(notes).collect::<Vec<_>>().join("\n"))
        }
        other => other,
    }
}

/// The alert that a datagram carries in the clear; those that end a handshake come alone.
fn plain_alert(datagram: &[u8]) -> Option<u8> {
    match datagram {
        [21, _, _, 0, 0, .., 0, 2, 2, description] if datagram.len() == PLAIN_ALERT_BYTES => Some(*description),
        _ => None,
    }
}

struct Exchange<'a> {
    settings: &'a Settings,
    transport: Transport,
    peer: Peer,
    clock_ns: u64,
    seen: VecDeque<Seen>,
    /// Why records were dropped and what alerts were sent in the clear: said when the connection fails.
    notes: Vec<String>,
}

impl Exchange<'_> {
    fn connect(&mut self) -> Result<(), Failure> {
        loop {
            match self.next()? {
                Some(Seen::Connected { suite }) => {
                    let expected = self.settings.expect_cipher;
                    if expected.is_some_and(|code| code != suite.code()) {
                        return Err(Failure::Failed(format!("the suite is {suite}")));
                    }
                    let version = self.settings.expect_version;
                    if version.is_some_and(|version| version != DTLS_1_2) {
                        return Err(Failure::Failed("the version is 1.2".to_owned()));
                    }
                    return Ok(());
                }
                Some(Seen::Closed(Ok(()))) => return Err(Failure::Failed("closed in the handshake".to_owned())),
                Some(_) => {}
                None => return Err(self.silence()),
            }
        }
    }

    /// The runner has gone in the middle of the handshake. The stack may have heard why: it believes an alert in the
    /// clear once nothing else comes, so time must pass.
    fn silence(&mut self) -> Failure {
        for _ in 0..SILENT_TIMEOUTS_MAX {
            let Some(at) = self.peer.timeout() else { break };
            self.peer.handle_timeout(at);
            self.peer.poll(at, &mut self.seen);
            while let Some(seen) = self.seen.pop_front() {
                if let Seen::Closed(Err(why)) = seen {
                    return Failure::Failed(why);
                }
            }
        }
        Failure::Failed("the runner went away in the handshake".to_owned())
    }

    fn converse(&mut self) -> Result<(), Failure> {
        if self.settings.shim_writes_first {
            let text = self.settings.initial_write.as_deref().unwrap_or(INITIAL_WRITE).as_bytes().to_vec();
            for _ in 0..self.settings.initial_write_count.unwrap_or(1) {
                self.send(&text)?;
            }
        }
        if self.settings.shim_shuts_down {
            return self.shut_down();
        }
        loop {
            match self.next()? {
                Some(Seen::Data(mut data)) if !data.is_empty() => {
                    data.iter_mut().for_each(|byte| *byte ^= 0xFF);
                    self.send(&data)?;
                }
                Some(Seen::Closed(Ok(()))) => return Ok(()),
                Some(_) => {}
                None => return Err(Failure::Failed("the runner went away without close_notify".to_owned())),
            }
        }
    }

    fn shut_down(&mut self) -> Result<(), Failure> {
        self.peer.close(self.now());
        while self.next()?.is_some() {}
        Ok(())
    }

    fn send(&mut self, data: &[u8]) -> Result<(), Failure> {
        self.peer.send(self.now(), data).map_err(|error| Failure::Failed(error.to_string()))?;
        self.flush()
    }

    /// The next thing that happened to the connection; `None` once the runner has gone.
    fn next(&mut self) -> Result<Option<Seen>, Failure> {
        loop {
            self.flush()?;
            match self.seen.pop_front() {
                Some(Seen::Dropped(why)) => {
                    self.notes.push(format!("dropped: {why}"));
                    continue;
                }
                Some(Seen::Closed(Err(why))) => return Err(Failure::Failed(why)),
                Some(other) => return Ok(Some(other)),
                None => {}
            }
            match self.transport.receive()? {
                Command::End => return Ok(None),
                command => self.obey(command)?,
            }
        }
    }

    fn obey(&mut self, command: Command) -> Result<(), Failure> {
        match command {
            Command::Datagram(mut datagram) => self.peer.handle(self.now(), &mut datagram),
            Command::Pass { ns } => {
                self.clock_ns = self.clock_ns.saturating_add(ns);
                self.peer.handle_timeout(self.now());
            }
            Command::ExpectTimeout { ns } => self.expect_timeout(ns)?,
            Command::Mtu(_) => return Err(lacking("an MTU that changes")),
            Command::FirstTimeout { .. } => return Err(lacking("a first timeout that changes")),
            Command::End => {}
        }
        Ok(())
    }

    fn expect_timeout(&self, ns: Option<u64>) -> Result<(), Failure> {
        let deadline = self.peer.timeout().map(|at| at.as_millis().saturating_mul(NS_PER_MS));
        let actual = deadline.map(|at| at.saturating_sub(self.clock_ns));
        if actual != ns {
            return Err(Failure::Failed(format!("the next timeout is in {actual:?} ns, not {ns:?}")));
        }
        Ok(())
    }

    /// Sends what the stack has to send, and takes in what it has to say.
    fn flush(&mut self) -> Result<(), Failure> {
        let now = self.now();
        self.peer.poll(now, &mut self.seen);
        while let Some(datagram) = self.peer.datagram(now) {
            self.notes.extend(plain_alert(&datagram).map(|number| format!("sent alert {number}")));
            self.transport.send(&datagram)?;
        }
        Ok(())
    }

    fn now(&self) -> Instant {
        Instant::from_millis(self.clock_ns / NS_PER_MS)
    }
}

fn lacking(what: &str) -> Failure {
    Failure::Refused(Refusal::Unimplemented(what.to_owned()))
}
