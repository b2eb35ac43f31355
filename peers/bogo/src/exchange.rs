//! One connection with the runner: shake hands, send back what comes with every bit turned, say goodbye.

use std::collections::VecDeque;
use std::io;

use bartizan_dtls::{CipherSuite, Instant, Version};

use crate::credentials;
use crate::flags::{DTLS_1_2, DTLS_1_3, Refusal, Settings};
use crate::peer::{Past, Peer, Seen};
use crate::transport::{Command, Transport};

/// A record header and an alert.
const PLAIN_ALERT_BYTES: usize = 13 + 2;
/// Behind a record header, a message header and a version; and how a HelloRetryRequest's begins.
const RETRY_RANDOM_AT: usize = 13 + 12 + 2;
const RETRY_RANDOM: [u8; 8] = [0xCF, 0x21, 0xAD, 0x74, 0xE5, 0x9A, 0x61, 0x11];
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

/// Runs the whole connection at the time `clock_ns`, which moves on as the runner says. `resumes`: whether one after
/// the first must go on with its session.
pub fn run(
    settings: &Settings,
    transport: Transport,
    clock_ns: &mut u64,
    past: Past,
    resumes: Option<bool>,
) -> Result<Past, Failure> {
    let now = Instant::from_millis(*clock_ns / NS_PER_MS);
    let before = past.connections();
    let peer = Peer::new(settings, now, past).map_err(Failure::Refused)?;
    let mut exchange = Exchange {
        settings,
        transport,
        peer,
        clock_ns: *clock_ns,
        seen: VecDeque::new(),
        notes: Vec::new(),
        resumes,
        retried: false,
    };
    let outcome = exchange.connect().and_then(|()| exchange.converse());
    *clock_ns = exchange.clock_ns;
    let Exchange { transport, peer, notes, .. } = exchange;
    transport.finish();
    outcome.map_err(|failure| explain(failure, notes))?;
    Ok(peer.into_past(before))
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

/// Whether a datagram begins with a HelloRetryRequest: it shows by its random (RFC 8446 section 4.1.3).
fn is_retry(datagram: &[u8]) -> bool {
    let hello = datagram.first_chunk().is_some_and(|[kind]| *kind == 22) && datagram.get(13) == Some(&2);
    hello && datagram.get(RETRY_RANDOM_AT..).is_some_and(|random| random.starts_with(&RETRY_RANDOM))
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
    resumes: Option<bool>,
    /// There was a HelloRetryRequest.
    retried: bool,
}

impl Exchange<'_> {
    fn connect(&mut self) -> Result<(), Failure> {
        loop {
            match self.next()? {
                Some(Seen::Connected { suite, resumed }) => return self.check(suite, resumed),
                Some(Seen::Closed(Ok(()))) => return Err(Failure::Failed("closed in the handshake".to_owned())),
                Some(_) => {}
                None => return Err(self.silence()),
            }
        }
    }

    /// Whether what came out is what the case expects.
    fn check(&self, suite: CipherSuite, resumed: bool) -> Result<(), Failure> {
        let settings = self.settings;
        let version = if suite.version() == Version::Dtls13 { DTLS_1_3 } else { DTLS_1_2 };
        if self.resumes == Some(true) && version == DTLS_1_3 {
            return Err(lacking("resumption in DTLS 1.3"));
        }
        let leaf = self.peer.leaf.lock().expect("nobody panics with it").clone();
        let scheme = leaf.as_ref().map(|(_, scheme)| scheme.code());
        let wanted = settings.expect_peer_cert_file.as_deref().map(credentials::first).transpose();
        let wanted = wanted.map_err(Failure::Refused)?;
        let differs = [
            (settings.expect_cipher.is_some_and(|code| code != suite.code()), "suite"),
            (settings.expect_version.is_some_and(|expected| expected != version), "version"),
            (settings.expect_hrr && !self.retried || settings.expect_no_hrr && self.retried, "way to a hello"),
            (self.resumes.is_some_and(|resumes| resumes != resumed), "way to a session"),
            (settings.expect_peer_signature_algorithm.is_some_and(|code| Some(code) != scheme), "signature"),
            (wanted.is_some_and(|wanted| Some(wanted) != leaf.map(|(leaf, _)| leaf)), "certificate"),
        ];
        match differs.iter().find(|(differs, _)| *differs) {
            Some((_, what)) => Err(Failure::Failed(format!("another {what} than expected: {suite}, {resumed}"))),
            None => Ok(()),
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
            if self.settings.key_update_before_read {
                self.update_keys()?;
            }
            match self.next()? {
                Some(Seen::Data(mut data)) if !data.is_empty() => {
                    if self.settings.key_update {
                        self.update_keys()?;
                    }
                    data.iter_mut().for_each(|byte| *byte ^= 0xFF);
                    self.send(&data)?;
                }
                Some(Seen::Closed(Ok(()))) => return Ok(()),
                Some(_) => {}
                None if self.settings.check_close_notify => {
                    return Err(Failure::Failed("the runner went away without close_notify".to_owned()));
                }
                None => return Ok(()),
            }
        }
    }

    fn shut_down(&mut self) -> Result<(), Failure> {
        self.peer.close(self.now());
        while self.next()?.is_some() {}
        Ok(())
    }

    fn update_keys(&mut self) -> Result<(), Failure> {
        self.peer.update_keys(self.now()).map_err(|error| Failure::Failed(error.to_string()))?;
        self.flush()
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
            Command::Datagram(mut datagram) => {
                self.retried |= is_retry(&datagram);
                self.peer.handle(self.now(), &mut datagram);
            }
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
            self.retried |= is_retry(&datagram);
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
