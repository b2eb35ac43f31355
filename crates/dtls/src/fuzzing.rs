//! Fuzz bodies, which also run as seeded unit tests. Arithmetic that anybody can forge stands in for the ciphers,
//! so that a fuzzer gets past tags and Finished messages.

use alloc::boxed::Box;
use alloc::collections::VecDeque;
use alloc::sync::Arc;
use alloc::vec::Vec;
use core::net::SocketAddr;

use bartizan_crypto::{INSECURE, PublicShare, Random, Secret, SecretBytes};
use bartizan_wire::record as wire;

use crate::codec::Reader;
use crate::handshake::extension::{Extensions, kind};
use crate::handshake::message::Fragment;
use crate::handshake::reassembly::Reassembly;
use crate::handshake::{certificate, exchange, hello, negotiation, ticket};
use crate::limits::{CERTIFICATE_MESSAGE_BYTES_MAX, CERTIFICATES_MAX, SAVED_SESSION_BYTES_MAX};
use crate::route::{Forwarder, RouteConfig, Routes, ShardMap};
use crate::rrc::Message;
use crate::{
    AlertDescription, CertificateType, CipherSuite, ClientAuthentication, ClientConfig, ClientResumption, Connection,
    ConnectionId, Credential, Endpoint, EndpointConfig, EndpointEvent, Instant, KeyExchange, MaxFragmentLength,
    PeerVerifier, PskEntry, PublicKey, ResumableSession, Resumption, SavedSession, SessionId, SessionState,
    SignatureScheme, Sleeper, SoftwareKey, VerifiedPeer,
};

/// Any bytes as records; the first says how long a Connection ID is.
pub fn records(data: &[u8]) {
    let Some((cid_len, rest)) = data.split_first() else {
        return;
    };
    let mut datagram = rest.to_vec();
    let mut rest = &mut datagram[..];
    while let Ok((record, more)) = wire::split(rest, usize::from(*cid_len)) {
        assert!(record.header.sequence < 1 << 48);
        rest = more;
    }
    routes(*cid_len, &mut datagram);
}

/// Any bytes as a datagram with a Connection ID of ours, as one that was forwarded, and as a path message.
fn routes(choice: u8, datagram: &mut [u8]) {
    let key =
        RouteConfig { nonce_bytes: 1 + usize::from(choice % 8), ..RouteConfig::new(1, Secret::new([choice; 16])) };
    if let Ok(routes) = Routes::sealed(&key) {
        let routes = routes.accepting_plain();
        if let Some(route) = routes.route_of(datagram).or(routes.decode(datagram)) {
            let again = routes.issue(route.session, &mut Counter(choice));
            assert_eq!(routes.session_of(again.as_slice()), Some(route.session));
        }
    }
    if let Some(message) = Message::decode(datagram).filter(|message| *message != Message::Unknown) {
        assert_eq!(message.encode(), datagram);
    }
    let _ = Forwarder::new(&INSECURE, Secret::new([choice; 32])).unwrap(datagram);
}

/// Any bytes as handshake messages, and as fragments to be put together.
pub fn messages(data: &[u8]) {
    if let Ok(hello) = hello::ClientHello::decode(data) {
        let _ = hello.signals_renegotiation();
        extensions(&hello.extensions);
    }
    if let Ok(hello) = hello::ServerHello::decode(data) {
        extensions(&hello.extensions);
    }
    certificates(data);
    let _ = hello::decode_verify_request(data);
    for suite in CipherSuite::ALL {
        let _ = exchange::decode_server(suite, data);
        let _ = exchange::decode_client(suite, data);
    }
    let mut reassembly = Reassembly::new(0);
    reassembly.expect_certificates();
    let mut reader = Reader::new(data);
    while let Ok(fragment) = Fragment::read(&mut reader) {
        reassembly.accept(&fragment);
        while let Some(message) = reassembly.next() {
            assert!(message.body.len() <= CERTIFICATE_MESSAGE_BYTES_MAX);
        }
    }
}

fn extensions(extensions: &Extensions<'_>) {
    let _ = negotiation::record_size_limit(extensions).map(|limit| assert!(limit.is_none_or(|limit| limit >= 64)));
    let _ = negotiation::max_fragment_length(extensions);
    for which in [kind::CLIENT_CERTIFICATE_TYPE, kind::SERVER_CERTIFICATE_TYPE] {
        let _ = negotiation::offered_kinds(extensions, which).map(|kinds| assert!(!kinds.is_empty()));
        let _ = negotiation::chosen_kind(extensions, which);
    }
    for scheme in SignatureScheme::ALL {
        let _ = negotiation::takes_signatures(extensions, scheme);
    }
}

/// Any bytes as certificates, keys, requests, signatures and tickets; what reads must write itself again.
fn certificates(data: &[u8]) {
    for kind in [CertificateType::X509, CertificateType::RawPublicKey] {
        if let Ok(chain) = certificate::decode(kind, data) {
            assert!(chain.len() <= CERTIFICATES_MAX);
            let chain: Vec<_> = chain.into_iter().map(<[u8]>::to_vec).collect();
            assert_eq!(certificate::encode(kind, &chain), data);
        }
    }
    if let Some(key) = PublicKey::from_spki(data) {
        assert_eq!(key.to_spki(), data);
    }
    let _ = certificate::decode_request(data, Some(SignatureScheme::Ed25519));
    let _ = ticket::decode(data);
    if let Ok(signed) = certificate::Signed::decode(data) {
        let _ = signed.verify(&INSECURE, &fuzz_key(), data);
    }
}

/// Any bytes as what was stored; what reads must write itself again.
pub fn stored(data: &[u8]) {
    if let Ok(saved) = SavedSession::from_bytes(data) {
        // One of the layout before writes itself in today's.
        assert!(saved.to_bytes().get(1..data.len()) == data.get(1..));
        wake_up(saved, data);
    }
    if let Ok(session) = ResumableSession::from_bytes(data) {
        assert_eq!(session.to_bytes(), data);
    }
    if let Ok(state) = SessionState::from_bytes(data) {
        let _ = state.to_bytes();
    }
    if let Ok(map) = ShardMap::from_bytes(data) {
        assert_eq!(ShardMap::from_bytes(&map.to_bytes()), Ok(map));
    }
}

/// A wake-up of what was stored, with any bytes as the answer.
fn wake_up(saved: SavedSession, answer: &[u8]) {
    let mut flash = Vec::new();
    let mut store = |bytes: &[u8]| {
        assert!(bytes.len() <= SAVED_SESSION_BYTES_MAX);
        flash = bytes.to_vec();
        Ok(())
    };
    let mut sleeper = Sleeper::wake(&INSECURE, saved, 2, &mut store).expect("the store takes everything");
    let mut buffer = [0; 80];
    let record = sleeper.seal(b"x", &mut buffer).map(<[u8]>::to_vec).unwrap_or_default();
    for mut datagram in [answer.to_vec(), record] {
        let mut rest = &mut datagram[..];
        while let Some(outcome) = sleeper.open(&mut rest) {
            core::hint::black_box(outcome.is_ok());
        }
    }
    let asleep = !sleeper.is_closed();
    assert_eq!(sleeper.sleep(store).is_ok(), asleep);
    assert!(SavedSession::from_bytes(&flash).is_ok());
}

/// A server and an honest client, between whom the bytes decide what arrives, changed or not, and what is made up.
pub fn associations(data: &[u8]) {
    let mut bytes = data.iter().copied();
    let mut table = Table::new(usize::from(bytes.next().unwrap_or_default()));
    while let Some(action) = bytes.next() {
        let mut next = || usize::from(bytes.next().unwrap_or_default());
        match action % 12 {
            0..=2 => table.take_up(None),
            3..=5 => table.take_down(None),
            6 => table.take_up(Some((next(), next()))),
            7 => table.take_down(Some((next(), next()))),
            8 => {
                let length = next();
                let made_up = (0..length).map(|_| next() as u8).collect();
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
    server: Endpoint,
    client: Connection,
    up: VecDeque<Vec<u8>>,
    down: VecDeque<Vec<u8>>,
    questions: VecDeque<EndpointEvent>,
    sessions: Vec<SessionId>,
    resumable: Option<ResumableSession>,
    port: u16,
}

impl Table {
    fn new(variant: usize) -> Self {
        let policies = [
            Resumption::Off,
            Resumption::SessionIds { sessions_max: 2, lifetime_ms: 60_000 },
            Resumption::Tickets { lifetime_ms: 60_000 },
        ];
        let demands = [ClientAuthentication::Optional, ClientAuthentication::Required, ClientAuthentication::None];
        let config = EndpointConfig {
            credential: Some(credential()),
            verifier: Some(Arc::new(Believer)),
            resumption: policies.get(variant % 3).copied().unwrap_or(Resumption::Off),
            client_authentication: demands.get(variant / 3 % 3).copied().unwrap_or(ClientAuthentication::None),
            record_size_limit: (variant / 9).is_multiple_of(2).then_some(64),
            ccm_8_forgeries_max: 3,
            sessions_max: SESSIONS_MAX,
            handshakes_max: HANDSHAKES_MAX,
            lease: 4,
            ..EndpointConfig::new(&INSECURE)
        };
        let server = Endpoint::server(config, Box::new(Counter(1)));
        Self {
            now: Instant::default(),
            server: server.expect("a sound configuration"),
            client: connect(Instant::default(), variant, None),
            up: VecDeque::new(),
            down: VecDeque::new(),
            questions: VecDeque::new(),
            sessions: Vec::new(),
            resumable: None,
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
                let entry = entry.filter(|_| !how.is_multiple_of(8));
                self.server.provide_psk(self.now, handshake, entry);
            }
            Some(EndpointEvent::ResumptionRequested { handshake, .. }) => {
                self.server.provide_resumption(self.now, handshake, !how.is_multiple_of(4));
            }
            Some(EndpointEvent::Establishing { session, .. }) => {
                self.sessions.push(session);
                let state = self.server.state(session);
                state.into_iter().for_each(|state| stored(&state.to_bytes()));
                match how % 8 {
                    0 => self.server.abandon(session),
                    _ => self.server.confirm_durable(self.now, session),
                }
            }
            Some(EndpointEvent::LeaseLow { session, upto }) => {
                self.server.extend_lease(session, upto);
            }
            _ => {}
        }
    }

    /// Either side does something of its own accord.
    fn speak(&mut self, what: usize) {
        let session = self.sessions.get(what % self.sessions.len().max(1)).copied();
        match what % 8 {
            0..=2 => drop(self.client.send(self.now, b"reading")),
            3 => drop(session.map(|session| self.server.send(self.now, session, b"command"))),
            4 => self.client = connect(self.now, what, self.resumable.take()),
            5 => self.port ^= 1,
            6 => {
                if let Some(saved) = self.client.save() {
                    let suites = CipherSuite::ALL.to_vec();
                    let config = ClientConfig { suites, ..config(what) };
                    let resumed = Connection::resume(config, saved, self.now);
                    self.client = resumed.expect("a sound configuration");
                    drop(self.client.save());
                }
            }
            _ if what > 200 => self.client.close(self.now),
            _ if what > 150 => drop(session.map(|session| {
                let why = AlertDescription::CLOSE_NOTIFY;
                self.server.close(self.now, session, why);
            })),
            _ => {}
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
        if let Some(session) = self.client.resumable() {
            stored(&session.to_bytes());
            self.resumable = Some(session.clone());
        }
        assert!(self.server.handshakes() <= HANDSHAKES_MAX as usize);
        assert!(self.server.sessions().count() <= SESSIONS_MAX as usize);
    }
}

fn config(variant: usize) -> ClientConfig {
    let psk = SecretBytes::new(&[1; 16]).expect("16 bytes");
    let own_cid = [None, Some(ConnectionId::EMPTY), ConnectionId::new(b"abc"), ConnectionId::new(&[9; 20])];
    let certified = variant / 5 % 2 == 1;
    let mut config = ClientConfig {
        own_cid: own_cid.get(variant / 8 % 4).copied().flatten(),
        // A hello must fit: it cannot be answered in pieces.
        mtu: if variant.is_multiple_of(3) { 256 } else { 1200 },
        record_size_limit: variant.is_multiple_of(7).then_some(64),
        max_fragment_length: variant.is_multiple_of(4).then_some(MaxFragmentLength::Bytes512),
        resumption: ClientResumption::Ask,
        ..ClientConfig::new(&INSECURE, b"device", psk)
    };
    if certified {
        config.verifier = Some(Arc::new(Believer));
        config.credential = (!variant.is_multiple_of(2)).then(credential);
        let certified = |suite: &CipherSuite| suite.key_exchange() == KeyExchange::EcdheEcdsa;
        config.suites = CipherSuite::ALL.into_iter().filter(certified).collect();
    }
    config
}

/// Believes nearly everybody.
struct Believer;

impl PeerVerifier for Believer {
    fn verify(&self, _: CertificateType, chain: &[&[u8]]) -> Result<VerifiedPeer, AlertDescription> {
        match chain.first().and_then(|leaf| leaf.first()) {
            Some(0x30) => Ok(VerifiedPeer { principal: 8, key: fuzz_key() }),
            _ => Err(AlertDescription::BAD_CERTIFICATE),
        }
    }

    fn kinds(&self) -> &[CertificateType] {
        &[CertificateType::X509, CertificateType::RawPublicKey]
    }
}

fn fuzz_key() -> PublicKey {
    PublicKey { scheme: SignatureScheme::EcdsaSecp256r1Sha256, bytes: PublicShare::new(&[4; 65]) }
}

fn credential() -> Credential {
    let key = SoftwareKey::new(SignatureScheme::EcdsaSecp256r1Sha256, Secret::new([1; 32]));
    Credential::raw_public_key(fuzz_key(), Arc::new(key)).expect("of one kind")
}

fn connect(now: Instant, variant: usize, resumable: Option<ResumableSession>) -> Connection {
    let mut config = config(variant);
    if let Some(session) = resumable.filter(|session| config.suites.contains(&session.suite())) {
        config.resumption = ClientResumption::Offer(session);
    }
    let connection = Connection::connect(config, now, &mut Counter(variant as u8));
    connection.expect("a sound configuration")
}

pub(crate) fn changed(mut datagram: Vec<u8>, change: Option<(usize, usize)>) -> Vec<u8> {
    match change {
        Some((at, 0)) => datagram.truncate(at),
        Some((at, xor)) => {
            let length = datagram.len().max(1);
            let byte = datagram.get_mut(at % length);
            byte.into_iter().for_each(|byte| *byte ^= xor as u8);
        }
        None => {}
    }
    datagram
}

#[cfg(test)]
pub(crate) mod tests {
    use super::*;

    pub(crate) fn seeded(body: fn(&[u8]), rounds: u64, length: usize) {
        for seed in 0..rounds {
            let mut state = seed;
            let mut next = || {
                state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
                (state >> 33) as u8
            };
            let length = length * usize::from(next()) / 255;
            let bytes: Vec<u8> = (0..length).map(|_| next()).collect();
            body(&bytes);
        }
    }

    #[test]
    fn records_by_seed() {
        seeded(records, 5_000, 64);
    }

    #[test]
    fn messages_by_seed() {
        seeded(messages, 5_000, 200);
    }

    #[test]
    fn stored_by_seed() {
        seeded(stored, 5_000, 220);
    }

    #[test]
    fn associations_by_seed() {
        seeded(associations, 4_000, 400);
    }

    /// The body is worth its name only if bytes exist that lead through it.
    #[test]
    fn the_body_reaches_established_and_resumed_associations() {
        for variant in 0..36 {
            let mut table = Table::new(variant);
            for attempt in 1..=2 {
                table.settle();
                for _ in 0..12 {
                    table.take_up(None);
                    table.settle();
                    table.answer(1);
                    table.settle();
                    table.take_down(None);
                    table.settle();
                }
                // A client with nothing to show, where all must show something.
                let refused = variant / 5 % 2 == 1 && variant % 2 == 0 && variant / 3 % 3 == 1;
                assert_eq!(table.client.is_connected(), !refused, "{variant} {attempt}");
                assert_eq!(table.client.is_resumed(), attempt == 2 && variant % 3 > 0 && !refused, "{variant}");
                table.port += 1;
                table.client = connect(table.now, variant, table.resumable.take());
            }
        }
    }
}
