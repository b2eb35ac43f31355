//! Doors for the link-time proof in `proof/`: everything behind the public face that reads an attacker's bytes
//! or decides what may follow, and does not allocate. No product enables the feature that opens them.
//!
//! Each door takes raw input, walks through all it can reach, and keeps the results alive with
//! [`black_box`](core::hint::black_box), so that the optimiser must keep every path.

use core::hint::black_box;
use core::net::SocketAddr;

use bartizan_crypto::{Provider, Random, Secret, SecretBytes};
use bartizan_wire::record;

use crate::alert::Alert;
use crate::client::phase::{Path as ClientPath, Phase as ClientPhase};
use crate::codec::Reader;
use crate::handshake::certificate::{self, Signed};
use crate::handshake::exchange::{choose_group, decode_client, decode_server};
use crate::handshake::extension::Extensions;
use crate::handshake::hello::{ClientHello, ServerHello, decode_verify_request};
use crate::handshake::message::{Fragment, Kind};
use crate::handshake::timer::Timer;
use crate::handshake::{negotiation, ticket};
use crate::hash::Digest;
use crate::key::RecordKeyRef;
use crate::record::Protection;
use crate::route::{RouteConfig, Routes, ShardMap};
use crate::schedule::{self, Randoms, Side, TrafficKey};
use crate::server::address::PackedAddress;
use crate::server::cookie::Cookies;
use crate::server::phase::{Path as ServerPath, Phase as ServerPhase, Step};
use crate::v13::established::Reading;
use crate::{
    AlertDescription, CipherSuite, Group, Instant, ReplayWindow, SavedSession, SessionState, SignatureScheme, Sleeper,
    v13,
};

fn keep<T>(value: T) {
    black_box(value);
}

/// Handshake headers and the bodies of both hellos.
pub fn handshake_messages(bytes: &[u8], suite: u16) {
    let mut reader = Reader::new(bytes);
    while let Ok(fragment) = Fragment::read(&mut reader) {
        keep((fragment, fragment.whole()));
    }
    if let Ok(hello) = ClientHello::decode(bytes) {
        keep((
            hello,
            hello.offers(suite),
            hello.signals_renegotiation(),
            choose_group(&Group::ALL, hello.extensions.groups),
        ));
    }
    keep(ServerHello::decode(bytes));
    keep(decode_verify_request(bytes));
    if let Ok(extensions) = Extensions::read(&mut Reader::new(bytes)) {
        keep(negotiation::record_size_limit(&extensions));
        keep(negotiation::max_fragment_length(&extensions));
        keep(negotiation::offered_kinds(&extensions, suite));
        keep(negotiation::chosen_kind(&extensions, suite));
        keep(negotiation::takes_signatures(&extensions, SignatureScheme::Ed25519));
        keep(extensions);
    }
}

/// Key exchange messages and alerts.
pub fn exchanges_and_alerts(bytes: &[u8], suite: u16) {
    if let Some(suite) = CipherSuite::from_code(suite) {
        keep(decode_server(suite, bytes));
        keep(decode_client(suite, bytes));
        keep((suite.name(), suite.code(), suite.is_ecdhe()));
    }
    keep(certificate::decode_request(bytes, Some(SignatureScheme::Ed25519)));
    keep(Signed::decode(bytes));
    keep(ticket::decode(bytes));
    if let Some(alert) = Alert::decode(bytes) {
        keep((alert.encode(), alert.description.name(), Alert::of(alert.description)));
    }
    keep(crate::Error::Malformed("").alert() == AlertDescription::DECODE_ERROR);
}

/// Both transition tables, on any state and any step of any kind of handshake.
pub fn transitions(phase: u8, step: u8, message: u8, path: u8, ticket: bool) {
    let [phase, step, path] = [phase, step, path].map(usize::from);
    if let (Some(phase), Some(message), Some(path)) =
        (ClientPhase::ALL.get(phase), Kind::from_code(message), ClientPath::ALL.get(path))
    {
        keep(phase.after(message, *path, ticket));
    }
    if let (Some(phase), Some(step), Some(path)) =
        (ServerPhase::ALL.get(phase), Step::ALL.get(step), ServerPath::ALL.get(path))
    {
        keep((phase.after(*step, *path), phase.reads_messages()));
    }
}

/// Opening a datagram's records, whatever the ciphers behind `provider` say.
pub fn open_records(
    provider: &'static Provider,
    suite: CipherSuite,
    key: &[u8; 44],
    mut datagram: &mut [u8],
    cid_len: usize,
) {
    let key = TrafficKey::from_bytes(key);
    while let Ok((record, rest)) = record::split(datagram, cid_len) {
        keep(record.header.sequence_bytes());
        keep(Protection { provider, suite, key: key.as_ref() }.open(record));
        datagram = rest;
    }
}

/// Opening a datagram's records of DTLS 1.3, once each.
pub fn open_records_13(
    provider: &'static Provider,
    suite: CipherSuite,
    key: &[u8; 44],
    mut datagram: &mut [u8],
    cid_len: usize,
) {
    let key = TrafficKey::from_bytes(key);
    let key = key.as_ref();
    let reading = Reading { provider, suite, key: RecordKeyRef { sn: key.key, ..key }, epoch: 3 };
    let mut window = ReplayWindow::default();
    keep(v13::record::leading_cid(datagram, cid_len).map(<[u8]>::len));
    while let Ok((record, rest)) = v13::record::split(datagram, cid_len) {
        keep((record.connection_id().map(<[u8]>::len), record.inner_len(provider, suite)));
        let opened = reading.open(&mut window, record);
        keep(opened.map(|opened| (opened.number, opened.newest, opened.kind, opened.content.len())));
        datagram = rest;
    }
}

/// What DTLS 1.3 has of messages that are read where they lie: hellos, fragments, ACKs, keys and Connection IDs.
pub fn messages_13(bytes: &[u8], code: u16) {
    let mut reader = Reader::new(bytes);
    while let Ok(fragment) = v13::messages::Fragment::read(&mut reader) {
        keep(fragment);
    }
    if let Ok(numbers) = v13::ack::decode(bytes) {
        keep(numbers.fold(0, |sum, number| sum ^ number));
    }
    keep(v13::messages::decode_key_update(bytes));
    keep(v13::messages::decode_new_connection_id(bytes));
    keep(v13::messages::decode_request_connection_id(bytes));
    keep(v13::hello::ServerHello::decode(bytes).map(|hello| hello.is_retry()));
    keep(v13::offer::leading_cookie(bytes).map(<[u8]>::len));
    if let Ok(hello) = ClientHello::decode(bytes)
        && v13::offer::offers_dtls_1_3(&hello)
        && let Ok(offer) = v13::offer::Offer::read(&hello)
    {
        let group = Group::from_code(code).unwrap_or(Group::X25519);
        keep((offer.has_group(group), offer.share(group), offer.takes_scheme(code), offer.record_size_limit));
        keep(offer.psk.map(|psk| psk.hash()));
    }
}

/// A whole wake-up: from saved bytes over records out and in to bytes that are saved again.
pub fn wake_up(provider: &'static Provider, saved: &[u8], data: &[u8], buffer: &mut [u8], mut datagram: &mut [u8]) {
    let stored = |bytes: &[u8]| match black_box(bytes) {
        [] => Err(crate::Error::Unavailable("")),
        _ => Ok(()),
    };
    let Ok(saved) = SavedSession::from_bytes(saved) else {
        return;
    };
    let Ok(mut sleeper) = Sleeper::wake(provider, saved, data.len() as u64, stored) else {
        return;
    };
    keep((sleeper.sends_left(), sleeper.overhead(), *sleeper.exporter()));
    keep(sleeper.seal(data, buffer));
    while let Some(outcome) = sleeper.open(&mut datagram) {
        keep(outcome);
    }
    keep(sleeper.is_closed());
    keep(sleeper.reserve(1, stored));
    keep(sleeper.close(buffer));
    keep(sleeper.sleep(stored));
}

/// Stateless cookies.
pub fn cookies(provider: &'static Provider, rng: &mut dyn Random, now: Instant, remote: SocketAddr, hello: &[u8]) {
    let mut cookies = Cookies::new(provider, rng);
    if let Ok(hello) = ClientHello::decode(hello) {
        keep(cookies.make(now, rng, remote, &hello));
        keep(cookies.verify(now, rng, remote, &hello));
    }
    keep(PackedAddress::pack(remote).unpack());
}

/// The key schedule and both verify_data.
pub fn key_schedule(provider: &'static Provider, suite: CipherSuite, psk: &[u8], shared: &[u8; 32], hash: &[u8; 32]) {
    let Some(psk) = SecretBytes::new(psk) else {
        return;
    };
    let randoms = Randoms { client: *hash, server: *shared };
    let digest = Digest::of(hash);
    for shared in [None, Some(Secret::new(*shared))] {
        let keys = schedule::derive(provider, suite, Some(&psk), shared.as_ref(), &randoms, &digest);
        keep(schedule::verify_data(provider, suite.hash(), &keys.master, Side::Client, &digest));
        keep(schedule::verify_data(provider, suite.hash(), &keys.master, Side::Server, &digest));
        keep((keys.client.to_bytes(), keys.server.to_bytes()));
        keep(keys.exporter);
    }
}

/// Associations as they come back from flash or disk, and the Connection IDs that name them.
pub fn stored(bytes: &[u8], config: u8) {
    if let Ok(saved) = SavedSession::from_bytes(bytes) {
        keep((saved.suite(), saved.has_peer_cid()));
        keep(saved);
    }
    if let Ok(state) = SessionState::from_bytes(bytes) {
        keep((state.id(), state.principal()));
        keep(state);
    }
    let key = RouteConfig::new(config, Secret::new([config; 16]));
    if let Ok(routes) = Routes::sealed(&key) {
        let routes = routes.accepting_plain();
        keep(routes.route_of(bytes));
        keep(routes.decode(bytes).map(|route| routes.issue(route.session, &mut |out: &mut [u8]| out.fill(config))));
    }
    keep(ShardMap::from_bytes(bytes).map(|map| map.owner(u16::from(config))));
}

/// Retransmission timers.
pub fn timers(now: Instant, later: Instant, initial_ms: u64) {
    let mut timer = Timer::start(now, initial_ms);
    timer.back_off(later);
    keep((timer.is_due(later), timer.may_answer(later)));
    timer.answered(later);
    timer.restart(now);
    keep(timer);
}
