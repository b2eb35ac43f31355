//! Fuzz bodies for DTLS 1.3, beside those of [`crate::fuzzing`] and in their manner.

use alloc::boxed::Box;
use alloc::collections::VecDeque;
use alloc::sync::Arc;
use alloc::vec::Vec;
use core::net::SocketAddr;

use bartizan_crypto::{INSECURE, Random, Secret, SecretBytes};

use crate::codec::Reader;
use crate::fuzzing::changed;
use crate::handshake::hello::ClientHello;
use crate::limits::REASSEMBLY_13_BYTES_MAX;
use crate::v13::messages::{self, Fragment};
use crate::v13::offer::{Offer, leading_cookie, offers_dtls_1_3};
use crate::v13::reassembly::Reassembly;
use crate::v13::record::{Protection, split};
use crate::v13::schedule::RecordKey;
use crate::v13::{ack, hello};
use crate::{
    AlertDescription, CipherSuite, ClientConfig, Connection, Credential, Endpoint, EndpointConfig, EndpointEvent,
    Group, Instant, PinnedKeys, PskEntry, SavedSession, SessionId, SessionState, SignatureScheme, SoftwareKey,
    Versions,
};

/// Any bytes as records with a unified header; the first says how long a Connection ID is.
pub fn records(data: &[u8]) {
    let Some((cid_len, rest)) = data.split_first() else {
        return;
    };
    let suite = CipherSuite::Aes128Ccm8Sha256;
    let key = RecordKey::derive(&INSECURE, suite, &crate::hash::Digest::of(&[7; 32]));
    let protection = Protection { provider: &INSECURE, suite, key: key.as_ref() };
    let mut datagram = rest.to_vec();
    let mut rest = &mut datagram[..];
    while let Ok((mut record, more)) = split(rest, usize::from(*cid_len)) {
        let _ = record.connection_id().map(<[u8]>::len);
        if let Some(sequence) = record.sequence(&protection, u64::from(*cid_len) << 8) {
            let _ = record.open(&protection, sequence);
        }
        rest = more;
    }
}

/// Any bytes as handshake messages and ACKs, and as fragments to be put together.
pub fn messages(data: &[u8]) {
    if let Ok(hello) = ClientHello::decode(data) {
        let _ = offers_dtls_1_3(&hello);
        if let Ok(offer) = Offer::read(&hello) {
            let with_share = Group::ALL.iter().filter(|group| offer.share(**group).is_some());
            assert!(with_share.count() <= Group::ALL.len());
            let _ = Group::ALL.map(|group| offer.has_group(group));
        }
    }
    let _ = leading_cookie(data);
    let _ = hello::ServerHello::decode(data).map(|hello| hello.is_retry());
    let _ = (hello::decode_share(data), hello::decode_cookie(data));
    let _ = (messages::decode_extensions(data), messages::decode_certificate_request(data));
    let _ = (messages::decode_certificates(data), messages::decode_certificate_verify(data));
    let _ = (messages::decode_key_update(data), messages::decode_new_connection_id(data));
    let _ = ack::decode(data).map(Iterator::count);
    let mut reassembly = Reassembly::new(0, REASSEMBLY_13_BYTES_MAX);
    let mut reader = Reader::new(data);
    while let Ok(fragment) = Fragment::read(&mut reader) {
        reassembly.accept(&fragment);
        while let Some(message) = reassembly.next() {
            assert!(message.body.len() <= REASSEMBLY_13_BYTES_MAX);
        }
    }
}

/// A server and a client, between whom the bytes decide what arrives, changed or not, and what is made up.
pub fn associations(data: &[u8]) {
    let mut bytes = data.iter().copied();
    let mut table = Table::new(usize::from(bytes.next().unwrap_or_default()));
    while let Some(action) = bytes.next() {
        let mut next = || usize::from(bytes.next().unwrap_or_default());
        match action % 12 {
            0..=2 => table.take_up(None),
            3..=5 => table.take_down(None),
            6 => table.take_up(Some((next() << 3 | next() & 7, next()))),
            7 => table.take_down(Some((next() << 3 | next() & 7, next()))),
            8 => {
                let length = next();
                let made_up: Vec<u8> = (0..length).map(|_| next() as u8).collect();
                match length % 2 {
                    0 => table.arrive_at_server(made_up),
                    _ => table.arrive_at_client(made_up),
                }
            }
            9 => table.pass(next() as u64 * 100),
            10 => table.answer(next()),
            _ => table.speak(next()),
        }
        table.settle();
    }
}

const HERE: SocketAddr = SocketAddr::new(core::net::IpAddr::V4(core::net::Ipv4Addr::LOCALHOST), 7);
const HANDSHAKES_MAX: u32 = 3;
const SESSIONS_MAX: u32 = 5;

struct Counter(u8);

impl Random for Counter {
    fn fill(&mut self, out: &mut [u8]) {
        for byte in out {
            self.0 = self.0.wrapping_add(1);
            *byte = self.0;
        }
    }
}

struct Table {
    now: Instant,
    variant: usize,
    server: Endpoint,
    client: Connection,
    up: VecDeque<Vec<u8>>,
    down: VecDeque<Vec<u8>>,
    questions: VecDeque<EndpointEvent>,
    sessions: Vec<SessionId>,
    port: u16,
}

impl Table {
    fn new(variant: usize) -> Self {
        let server = EndpointConfig {
            sessions_max: SESSIONS_MAX,
            handshakes_max: HANDSHAKES_MAX,
            lease: 4,
            credential: Some(credential()),
            verifier: Some(verifier()),
            ..EndpointConfig::new(&INSECURE)
        };
        Self {
            now: Instant::default(),
            variant,
            server: Endpoint::server(server, Box::new(Counter(1))).expect("a sound configuration"),
            client: connect(Instant::default(), variant),
            up: VecDeque::new(),
            down: VecDeque::new(),
            questions: VecDeque::new(),
            sessions: Vec::new(),
            port: 7,
        }
    }

    fn take_up(&mut self, change: Option<(usize, usize)>) {
        if let Some(datagram) = self.up.pop_front() {
            self.arrive_at_server(changed(datagram, change));
        }
    }

    fn take_down(&mut self, change: Option<(usize, usize)>) {
        if let Some(datagram) = self.down.pop_front() {
            self.arrive_at_client(changed(datagram, change));
        }
    }

    fn arrive_at_server(&mut self, mut datagram: Vec<u8>) {
        let from = SocketAddr::new(HERE.ip(), self.port);
        self.server.handle(self.now, from, &mut datagram);
    }

    fn arrive_at_client(&mut self, mut datagram: Vec<u8>) {
        self.client.handle(self.now, &mut datagram);
    }

    fn pass(&mut self, ms: u64) {
        self.now = self.now.plus(ms);
        self.server.handle_timeout(self.now);
        self.client.handle_timeout(self.now);
    }

    /// Answers the oldest question of the server, one way or the other.
    fn answer(&mut self, how: usize) {
        match self.questions.pop_front() {
            Some(EndpointEvent::PskRequested { handshake, .. }) => {
                let key = SecretBytes::new(&[1; 16]);
                let entry = key.map(|key| PskEntry { key, principal: 7, tag: 0 });
                self.server.provide_psk(self.now, handshake, entry.filter(|_| !how.is_multiple_of(8)));
            }
            Some(EndpointEvent::Establishing { session, .. }) => {
                self.sessions.push(session);
                let state = self.server.state(session).map(|state| state.to_bytes());
                let again = state.as_deref().map(SessionState::from_bytes);
                assert!(again.is_none_or(|again| again.is_ok_and(|again| Some(again.to_bytes()) == state)));
                match how % 8 {
                    0 => self.server.abandon(session),
                    _ => self.server.confirm_durable(self.now, session),
                }
            }
            Some(EndpointEvent::StateChanged { session, .. }) => self.server.confirm_durable(self.now, session),
            Some(EndpointEvent::LeaseLow { session, upto }) => self.server.extend_lease(session, upto),
            _ => {}
        }
    }

    /// Either side does something of its own accord.
    fn speak(&mut self, what: usize) {
        let session = self.sessions.get(what / 8 % self.sessions.len().max(1)).copied();
        match what % 8 {
            0 | 1 => drop(self.client.send(self.now, b"reading")),
            2 => drop(session.map(|session| self.server.send(self.now, session, b"command"))),
            3 => drop(self.client.update_keys(self.now)),
            4 => drop(session.map(|session| self.server.update_keys(self.now, session))),
            5 if what < 64 => self.client = connect(self.now, self.variant + what),
            5 => self.port ^= 1,
            6 => self.sleep(),
            _ if what > 200 => self.client.close(self.now),
            _ if what > 150 => {
                let why = AlertDescription::CLOSE_NOTIFY;
                let _ = session.map(|session| self.server.close(self.now, session, why));
            }
            _ => {}
        }
    }

    fn sleep(&mut self) {
        let Some(saved) = self.client.save() else {
            return;
        };
        let bytes = saved.to_bytes();
        let saved = SavedSession::from_bytes(&bytes).expect("what was saved reads");
        assert_eq!(saved.to_bytes(), bytes);
        let config = config(self.variant);
        if let Ok(resumed) = Connection::resume(config, saved, self.now) {
            self.client = resumed;
            drop(self.client.save());
        }
    }

    fn settle(&mut self) {
        while let Some(event) = self.server.poll() {
            self.questions.push_back(event);
        }
        while let Some(transmit) = self.server.poll_transmit() {
            self.down.push_back(transmit.data);
        }
        while let Some(datagram) = self.client.poll_transmit(self.now) {
            self.up.push_back(datagram);
        }
        while self.client.poll().is_some() {}
        assert!(self.server.handshakes() <= HANDSHAKES_MAX as usize);
        assert!(self.server.sessions().count() <= SESSIONS_MAX as usize);
    }
}

fn key() -> Arc<SoftwareKey> {
    Arc::new(SoftwareKey::new(SignatureScheme::Ed25519, Secret::new([4; 32])))
}

fn credential() -> Credential {
    let public = key().public(&INSECURE).expect("any key is one");
    Credential::raw_public_key(public, key()).expect("a key of its kind")
}

fn verifier() -> Arc<PinnedKeys> {
    let public = key().public(&INSECURE).expect("any key is one");
    Arc::new(PinnedKeys::new([(public, 9)]))
}

/// Pre-shared keys or raw public keys, any group, one version or both.
fn config(variant: usize) -> ClientConfig {
    let psk = SecretBytes::new(&[1; 16]).expect("16 bytes");
    let groups = [&[][..], &[Group::X25519], &[Group::X25519MlKem768], &[Group::Secp256r1, Group::X25519]];
    let own_cid = [None, Some(crate::ConnectionId::EMPTY), crate::ConnectionId::new(b"abc")];
    let with_key = variant % 5 == 4;
    let groups = groups.get(variant % 4).filter(|groups| !with_key || !groups.is_empty());
    ClientConfig {
        versions: if variant % 3 == 2 { Versions::BOTH } else { Versions::DTLS_1_3 },
        suites: CipherSuite::ALL.into_iter().rev().collect(),
        groups: groups.map_or(alloc::vec![Group::X25519], |groups| groups.to_vec()),
        own_cid: own_cid.get(variant / 4 % 3).copied().flatten(),
        mtu: if variant % 7 == 3 { 400 } else { 1200 },
        psk: if with_key { SecretBytes::new(b"").expect("short") } else { psk.clone() },
        credential: with_key.then(credential),
        verifier: if with_key { Some(verifier()) } else { None },
        ..ClientConfig::new(&INSECURE, b"device", psk)
    }
}

fn connect(now: Instant, variant: usize) -> Connection {
    let connection = Connection::connect(config(variant), now, &mut Counter(variant as u8));
    connection.expect("a sound configuration")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::fuzzing::tests::seeded;

    #[test]
    fn records_by_seed() {
        seeded(records, 20_000, 64);
    }

    #[test]
    fn messages_by_seed() {
        seeded(messages, 10_000, 200);
    }

    #[test]
    fn associations_by_seed() {
        seeded(associations, 6_000, 400);
    }

    /// The body is worth its name only if bytes exist that lead through it.
    #[test]
    fn the_body_reaches_an_established_association() {
        for variant in 0..60 {
            let mut table = Table::new(variant);
            table.settle();
            for _ in 0..40 {
                table.take_up(None);
                table.settle();
                table.answer(1);
                table.settle();
                table.take_down(None);
                table.settle();
            }
            assert!(table.client.is_connected(), "{variant}");
            assert_eq!(table.server.sessions().count(), 1);
        }
    }
}
