//! What a critical reader of DTLS 1.3 found, each with the test that failed before: nobody on the way may end, take
//! over, wear out or use what is not his.
#![allow(clippy::unwrap_used, reason = "tests")]

mod support;
#[path = "support/unified.rs"]
mod unified;

use std::sync::Arc;

use bartizan_crypto::{INSECURE, RUSTCRYPTO, Secret};
use bartizan_dtls::*;
use bartizan_wire::event::RecordRejection;
use support::records::{message, plain};
use support::*;
use unified::{ACK, DATA, HANDSHAKE, sealed, sealed_with_length};

const KEY_UPDATE: u8 = 24;
const NEW_CONNECTION_ID: u8 = 10;

fn config() -> ClientConfig {
    ClientConfig {
        versions: Versions::DTLS_1_3,
        suites: vec![CipherSuite::Aes128Ccm8Sha256],
        groups: vec![],
        ..client_config("meter-1", 1)
    }
}

/// A world in which records can be made up.
fn arithmetic() -> World {
    World::calm(EndpointConfig { provider: &INSECURE, ..server_config() })
}

fn insecure(own_cid: Option<ConnectionId>) -> ClientConfig {
    ClientConfig { provider: &INSECURE, own_cid, ..config() }
}

fn last(world: &World, up: bool) -> Vec<u8> {
    world.tape.iter().rfind(|(direction, ..)| *direction == up).unwrap().2.clone()
}

fn datagrams(world: &World, up: bool) -> usize {
    world.tape.iter().filter(|(direction, ..)| *direction == up).count()
}

/// A client whose Finished is on its way.
fn before_finished(config: ClientConfig) -> (World, usize, Vec<u8>) {
    let mut world = World::calm(server_config());
    let client = world.connect(config);
    world.run(45);
    let finished = last(&world, true);
    (world, client, finished)
}

/// The server's Connection ID, which every record upwards carries.
fn cid_of(world: &World) -> Vec<u8> {
    last(world, true)[1..9].to_vec()
}

fn knows(world: &World, reason: RecordRejection) -> bool {
    world
        .server_events
        .iter()
        .any(|event| matches!(event, EndpointEvent::Rejected { reason: each, .. } if *each == reason))
}

#[test]
fn a_replayed_finished_is_not_answered() {
    let mut world = World::calm(server_config());
    let client = world.connect(config());
    world.run(45);
    let (finished, from) = (last(&world, true), world.clients[client].address);
    world.run(10_000);
    let before = datagrams(&world, false);
    for _ in 0..5 {
        world.inject(from, &finished);
        world.inject(address(666), &finished);
    }
    assert_eq!(datagrams(&world, false), before, "each answer would cost a number of the lease");
    assert!(knows(&world, RecordRejection::Replayed));
}

/// A client may send data right behind its last flight, so data is no proof that it has the ACK (RFC 9147 section 5.8.1).
#[test]
fn data_does_not_end_the_answers_to_a_last_flight_that_is_repeated() {
    let (mut world, client, _) = before_finished(config());
    world.weather.loss_percent = 100;
    world.run(5_000);
    let repetitions: Vec<_> = world.tape.iter().rev().filter(|(up, ..)| *up).take(2).cloned().collect();
    world.weather.loss_percent = 0;
    world.run(10_000);
    world.exchange(client, b"reading");
    assert_eq!(world.received(), [b"reading"]);
    for ((_, from, late), answers) in repetitions.iter().zip([1, 0]) {
        let before = datagrams(&world, false);
        world.inject(*from, late);
        assert_eq!(datagrams(&world, false), before + answers);
        world.pass(limits::LAST_FLIGHT_MS);
        world.exchange(client, b"reading");
    }
}

//= test rfc9147#4.5.3-1
#[test]
fn forgeries_count_in_the_handshake_too() {
    let most = u64::from(limits::FORGERIES_MAX_CCM_8);
    for forgeries in [most - 1, most] {
        let (mut world, client, mut forged) = before_finished(config());
        *forged.last_mut().unwrap() ^= 1;
        let from = world.clients[client].address;
        (0..forgeries).for_each(|_| world.inject(from, &forged));
        assert_eq!(world.server.handshakes(), usize::from(forgeries < most));

        let mut world = World::calm(server_config());
        let client = world.connect(config());
        world.run(35);
        let mut forged = last(&world, false);
        *forged.last_mut().unwrap() ^= 1;
        (0..forgeries).for_each(|_| world.inject_to_client(client, &forged));
        assert_eq!(world.clients[client].closed().is_none(), forgeries < most);
    }
}

//= test rfc9147#4.5.3-1
//= test rfc9147#4.5.3-s2
/// RFC 9147 section 4.5.3 counts per key: new keys in time, and a forger gets nowhere.
#[test]
fn an_association_evades_a_forger_by_new_keys() {
    let mut world = World::calm(server_config());
    let client = world.connected(config());
    for round in 0..10_u8 {
        world.exchange(client, &[round]);
        let (mut up, mut down, from) = (last(&world, true), last(&world, false), world.clients[client].address);
        *up.last_mut().unwrap() ^= 1;
        *down.last_mut().unwrap() ^= 1;
        // Numbers that have not been seen: their replay would be told without a cipher.
        for _ in 0..u64::from(limits::FORGERIES_MAX_CCM_8) * 5 / 8 {
            up[9] = up[9].wrapping_add(1);
            down[1] = down[1].wrapping_add(1);
            world.inject(from, &up);
            world.inject_to_client(client, &down);
        }
        world.run(10_000);
        world.exchange(client, &[round, round]);
        assert_eq!(world.clients[client].data().last().unwrap(), &[round, round]);
    }
    assert_eq!(world.server.sessions().count(), 1);
}

/// Both sides in turn hear an alert that nobody of the two has sent, and then something under keys.
#[test]
fn an_alert_in_the_clear_is_forgotten_once_the_peer_speaks_under_keys() {
    let alert = plain(21, 9, &[2, 40]);
    let pair = |byte| {
        let key = SoftwareKey::new(SignatureScheme::Ed25519, Secret::new([byte; 32]));
        (key.public(&RUSTCRYPTO).unwrap(), Arc::new(key))
    };
    let ((server_public, server_key), (client_public, client_key)) = (pair(1), pair(2));
    let believes = |public: &PublicKey| -> Arc<dyn PeerVerifier> { Arc::new(PinnedKeys::new([(*public, 1)])) };
    let server = EndpointConfig {
        verifier: Some(believes(&client_public)),
        credential: Some(Credential::raw_public_key(server_public, server_key).unwrap()),
        ..server_config()
    };
    let client = ClientConfig {
        psk: SecretBytes::new(&[]).unwrap(),
        verifier: Some(believes(&server_public)),
        credential: Some(Credential::raw_public_key(client_public, client_key).unwrap()),
        groups: vec![Group::X25519],
        mtu: 190,
        ..config()
    };
    let mut world = World::calm(server);
    let client = world.connect(client);
    world.run(35);
    world.weather.loss_percent = 100;
    let before = world.tape.len();
    world.run(10);
    let flight: Vec<_> = world.tape[before..].iter().map(|(.., data)| data.clone()).collect();
    assert!(flight.len() > 1, "the client's flight takes more than one datagram");
    let from = world.clients[client].address;
    world.inject(from, &alert);
    world.inject(from, &flight[0]);
    world.inject(from, &alert);
    world.weather.loss_percent = 0;
    world.run(60_000);
    assert!(world.clients[client].connection.is_connected(), "{:?}", world.server_events);

    let mut world = World::calm(server_config());
    world.confirm = false;
    let client = world.connect(config());
    world.run(45);
    world.inject_to_client(client, &alert);
    world.run(5_000);
    assert_eq!(world.clients[client].closed(), None, "a server that has keys would use them");
}

#[test]
fn an_association_is_where_its_cookie_came_from_not_where_its_finished_did() {
    let (mut world, client, finished) = before_finished(config());
    let home = world.clients[client].address;
    world.inject(address(666), &finished);
    let session = world.session();
    assert_eq!(world.server.session(session).unwrap().remote, home);
    world.run(10_000);
    assert!(world.clients[client].connection.is_connected());
    assert!(!world.tape.iter().any(|(up, to, _)| !up && *to == address(666)));
    world.exchange(client, b"hello");
    assert_eq!(world.clients[client].data(), [b"hello"]);
}

/// The other side of it: a client that has truly moved since its cookie gets its ACK at the second asking.
#[test]
fn a_client_that_moves_in_its_handshake_still_connects() {
    let (mut world, client, _) = before_finished(config());
    world.rebind(client, 4_242);
    world.run(20_000);
    assert!(world.clients[client].connection.is_connected());
    world.exchange(client, b"hello");
    assert_eq!(world.clients[client].data(), [b"hello"]);
    assert_eq!(world.server.session(world.session()).unwrap().remote, address(4_242));
}

#[test]
fn a_cookie_that_was_seen_does_not_displace_the_handshake_it_began() {
    let mut world = World::calm(server_config());
    let client = world.connect(config());
    world.run(25);
    let (mut hello, from) = (last(&world, true), world.clients[client].address);
    world.run(10);
    assert_eq!(world.server.handshakes(), 1);
    hello[13 + 12 + 2] ^= 1; // the random
    world.inject(from, &hello);
    assert_eq!(world.server.handshakes(), 1);
    world.run(10_000);
    assert!(world.clients[client].connection.is_connected());
    let failed = |event: &EndpointEvent| matches!(event, EndpointEvent::HandshakeFailed { .. });
    assert_eq!(world.count(failed), 0);
}

#[test]
fn a_client_that_begins_anew_with_a_hello_in_fragments_need_not_wait_for_the_old_one_to_end() {
    let hybrid = ClientConfig { groups: vec![Group::X25519MlKem768], mtu: 400, ..config() };
    let mut world = World::calm(server_config());
    let old = world.connect(hybrid.clone());
    let here = world.clients[old].address;
    world.run(35);
    world.weather.loss_percent = 100;
    world.run(10);
    assert_eq!(world.server.handshakes(), 1);
    let now = world.instant();
    world.clients[old].connection.close(now);
    world.clients[old].address = address(9);
    let new = world.connect(ClientConfig { retransmit_ms: 300, ..hybrid });
    world.clients[new].address = here;
    world.weather.loss_percent = 0;
    world.run(900);
    assert!(world.clients[new].connection.is_connected(), "{:?}", world.clients[new].events);
}

/// RFC 9147 section 9.1, in the handshake as after it.
//= test rfc9147#9.1-1
#[test]
fn a_connection_id_that_nobody_negotiated_is_refused() {
    let mut world = arithmetic();
    let client = world.connect(insecure(None));
    world.run(35);
    let finished_of = |world: &mut World| {
        world.run(10);
        unified::split(&last(world, true), 8).remove(0)
    };
    let finished = finished_of(&mut world);
    let hello = unified::split(&world.tape.iter().rfind(|(up, ..)| !up).unwrap().2, 0);
    assert!(hello.iter().all(|record| record.cid.is_none()));
    // To the client: an alert under a Connection ID that it never gave out.
    let named = sealed(b"x", 2, 40, unified::ALERT, &[2, 40]);
    world.inject_to_client(client, &named);
    assert_eq!(world.clients[client].closed(), None);
    let from = world.clients[client].address;
    world.inject(from, &sealed(&[0; 8], 2, 40, finished.kind, &finished.content));
    assert!(knows(&world, RecordRejection::UnknownConnectionId));
    world.run(10_000);
    assert!(world.clients[client].connection.is_connected());
    let named = sealed(&[0; 8], 3, 40, DATA, b"x");
    world.inject(from, &named);
    assert_eq!(world.received(), Vec::<Vec<u8>>::new());
}

/// RFC 9147 section 4: a datagram is one association's.
//= test rfc9147#4-7
#[test]
fn a_datagram_ends_where_it_names_another_association() {
    let mut world = arithmetic();
    world.echo = false;
    let mut parts = Vec::new();
    for n in 1..=2_u8 {
        let identity = format!("meter-{n}").into_bytes();
        let client = world.connected(ClientConfig { identity, psk: key(n), ..insecure(Some(ConnectionId::EMPTY)) });
        world.exchange(client, b"x");
        parts.push(cid_of(&world));
    }
    let before = world.received().len();
    let from = world.clients[0].address;
    let mixed = [
        sealed_with_length(&parts[0], 3, 60, DATA, b"one"),
        sealed_with_length(&parts[0], 3, 61, DATA, b"two"),
        sealed_with_length(&parts[1], 3, 60, DATA, b"of another"),
        sealed(&parts[0], 3, 62, DATA, b"behind it"),
    ];
    world.inject(from, &mixed.concat());
    assert_eq!(world.received()[before..], [b"one", b"two"]);
}

#[test]
fn a_connection_id_to_be_used_at_once_that_we_cannot_hold_ends_the_association() {
    for (length, survives) in [(20_u8, true), (21, false)] {
        let mut world = arithmetic();
        let client = world.connected(insecure(Some(ConnectionId::EMPTY)));
        let mut body = vec![0, length + 1, length];
        body.extend(std::iter::repeat_n(7, usize::from(length)));
        body.push(0);
        let number = 2; // behind the server's own messages, which the client has seen
        for number in number..12 {
            world.inject_to_client(
                client,
                &sealed(&[], 3, 40 + number, HANDSHAKE, &message(NEW_CONNECTION_ID, number, &body)),
            );
        }
        assert_eq!(world.clients[client].closed().is_none(), survives, "{length}");
    }
}

/// RFC 8446 section 5.4: only application data may be empty. An ACK for nothing would be one for each forgery.
#[test]
fn an_empty_handshake_record_is_not_acknowledged() {
    let mut world = arithmetic();
    let client = world.connected(insecure(None));
    let from = world.clients[client].address;
    let before = datagrams(&world, false);
    world.inject(from, &sealed(&[], 3, 70, HANDSHAKE, b""));
    assert_eq!(datagrams(&world, false), before);
    assert!(knows(&world, RecordRejection::Unexpected));
}

/// RFC 8446 section 5.4: content, type and padding are 2^14 + 1 bytes at most.
#[test]
fn padding_has_an_end() {
    for (length, fits) in [(16_385_usize, true), (16_386, false)] {
        let mut world = arithmetic();
        world.echo = false;
        let client = world.connected(insecure(None));
        let mut content = b"padded".to_vec();
        content.push(DATA);
        content.resize(length - 1, 0);
        // The type is the last byte that is not zero; behind it stands what looks like one.
        let mut record = sealed(&[], 3, 70, 0, &content);
        let at = record.len() - 9;
        record[at] = 0;
        let from = world.clients[client].address;
        world.inject(from, &record);
        assert_eq!(world.received().len(), usize::from(fits), "{length}");
    }
}

/// A record that was passed on from elsewhere draws no more there than three times itself, messages after the
/// handshake and their repetitions included.
#[test]
fn a_passed_on_record_draws_no_repetitions() {
    let mut world = World::calm(server_config());
    world.echo = false;
    let client = world.connected(ClientConfig { rrc: false, ..config() });
    world.exchange(client, b"x");
    let (now, session) = (world.instant(), world.session());
    world.weather.loss_percent = 100;
    world.send(client, b"passed on");
    let (record, victim) = (last(&world, true), address(666));
    world.server.update_keys(now, session).unwrap();
    world.pump();
    world.inject(victim, &record);
    world.run(200_000);
    let bytes: usize = world.tape.iter().filter(|(up, to, _)| !up && *to == victim).map(|(.., data)| data.len()).sum();
    assert!(bytes <= 3 * record.len(), "{bytes} for {}", record.len());
}

//= test rfc9147#4-1
/// RFC 6347 section 4.1: a record number is never used again. The server counts on from the hello's.
#[test]
fn a_hello_with_one_of_the_last_record_numbers_is_not_answered() {
    for versions in [Versions::DTLS_1_2, Versions::DTLS_1_3] {
        let mut world = World::calm(server_config());
        world.weather.loss_percent = 100;
        let suites = vec![CipherSuite::Aes128Ccm8Sha256, CipherSuite::PskAes128Ccm8];
        world.connect(ClientConfig { versions, suites, ..config() });
        let (hello, from) = (last(&world, true), world.clients[0].address);
        let numbered = |number: u64| {
            let mut hello = hello.clone();
            hello[5..11].copy_from_slice(&number.to_be_bytes()[2..]);
            hello
        };
        let end = limits::HELLO_SEQUENCE_MAX;
        for (number, answers) in [(end, 1), (end + 1, 0), (limits::SEQUENCE_MAX, 0)] {
            let before = datagrams(&world, false);
            world.inject(from, &numbered(number));
            assert_eq!(datagrams(&world, false), before + answers, "{versions:?} {number}");
        }
    }
}

fn update(number: u8, request: u8) -> Vec<u8> {
    message(KEY_UPDATE, number, &[request])
}

/// Whoever floods with KeyUpdates gets an ACK for each and one update at a time, and no memory.
#[test]
fn a_flood_of_key_updates_costs_an_ack_each() {
    let mut world = arithmetic();
    world.echo = false;
    let client = world.connected(insecure(None));
    let from = world.clients[client].address;
    world.weather.loss_percent = 100;
    let before = datagrams(&world, false);
    for number in 0..60_u8 {
        world.inject(from, &sealed(&[], 3, 64 + number, HANDSHAKE, &update(2 + number, 1)));
    }
    let sent = world.tape.iter().filter(|(up, ..)| !up).skip(before);
    let kinds: Vec<u8> = sent.map(|(.., data)| unified::split(data, 0).remove(0).kind).collect();
    assert_eq!(kinds.iter().filter(|kind| **kind == HANDSHAKE).count(), 1, "one of our own");
    assert_eq!(kinds.iter().filter(|kind| **kind == ACK).count(), 60);
    assert_eq!(world.server.sessions().count(), 1);
}
