//! What an attacker on the network tries, and what it gets: a counter.
#![allow(clippy::unwrap_used, reason = "tests")]

mod support;

use bartizan_crypto::INSECURE;
use bartizan_dtls::*;
use bartizan_wire::event::{HandshakeFailure, RecordRejection};
use support::*;

fn last_upward(world: &World) -> Vec<u8> {
    let found = world.tape.iter().rev().find(|(up, ..)| *up);
    found.expect("a datagram").2.clone()
}

fn last_downward(world: &World) -> Vec<u8> {
    let found = world.tape.iter().rev().find(|(up, ..)| !*up);
    found.expect("a datagram").2.clone()
}

/// A connected client with and without Connection ID, and a record of it that was delivered.
fn worlds() -> Vec<(World, usize)> {
    let configs =
        [None, Some(ConnectionId::EMPTY)].map(|own_cid| ClientConfig { own_cid, ..client_config("meter-1", 1) });
    let world = |config| {
        let mut world = World::calm(server_config());
        let client = world.connected(config);
        world.exchange(client, b"reading");
        world.server_events.clear();
        (world, client)
    };
    configs.into_iter().map(world).collect()
}

//= test rfc6347#4.1.2.6-2
#[test]
fn a_replayed_record_is_counted_and_never_delivered() {
    for (mut world, client) in worlds() {
        let record = world.tape.iter().rfind(|(up, ..)| *up).unwrap().2.clone();
        let from = world.clients[client].address;
        world.inject(from, &record);
        let replayed = EndpointEvent::Rejected { remote: from, claimed: Some(1), reason: RecordRejection::Replayed };
        assert_eq!(world.server_events, [replayed]);
        let down = last_downward(&world);
        world.inject_to_client(client, &down);
        let last = world.clients[client].events.last().unwrap();
        assert_eq!(*last, ConnectionEvent::Rejected(RecordRejection::Replayed));
    }
}

//= test rfc9146#6-4
//= test rfc6347#4.1.2.6-4
//= test rfc6347#4.1.2.6-5
//= test rfc6347#4.1.2.7-s1
//= test rfc6347#5-s2
#[test]
fn every_bit_flip_and_every_truncation_is_refused() {
    for (mut world, client) in worlds() {
        let from = world.clients[client].address;
        world.weather.loss_percent = 100;
        world.send(client, b"never arrives");
        let record = last_upward(&world);
        for bit in 0..record.len() * 8 {
            let mut forged = record.clone();
            forged[bit / 8] ^= 1 << (bit % 8);
            world.inject(from, &forged);
        }
        for length in 1..record.len() {
            world.inject(from, &record[..length]);
        }
        assert_eq!(world.received(), Vec::<Vec<u8>>::new());
        let rejections = rejections(&world);
        assert!(rejections.len() >= record.len() * 8 + record.len() - 1, "each is counted");
        assert!(rejections.contains(&RecordRejection::Forged));
        assert!(rejections.contains(&RecordRejection::Malformed));
        // And none of it has cost the true record its place.
        world.inject(from, &record);
        assert_eq!(world.received(), [b"never arrives"]);
    }
}

#[test]
fn the_client_refuses_flipped_bits_too() {
    for (mut world, client) in worlds() {
        world.echo = false;
        let (now, session) = (world.instant(), world.session());
        world.weather.loss_percent = 100;
        world.server.send(now, session, b"open the valve").unwrap();
        world.pump();
        let record = last_downward(&world);
        let before = world.clients[client].data();
        for bit in 0..record.len() * 8 {
            let mut forged = record.clone();
            forged[bit / 8] ^= 1 << (bit % 8);
            world.inject_to_client(client, &forged);
        }
        assert_eq!(world.clients[client].data(), before);
        world.inject_to_client(client, &record);
        assert_eq!(world.clients[client].data().last().unwrap(), b"open the valve");
    }
}

#[test]
fn a_stale_or_foreign_connection_id_leads_nowhere() {
    let mut world = World::calm(server_config());
    let client = world.connected(client_config("meter-1", 1));
    world.weather.loss_percent = 100;
    world.send(client, b"x");
    let record = last_upward(&world);
    world.server_events.clear();
    // The Connection ID stands in bytes 11 to 18: config byte, slot, generation.
    for at in 11..19 {
        let mut other = record.clone();
        other[at] ^= 1;
        world.inject(address(9), &other);
    }
    assert_eq!(rejections(&world), [RecordRejection::UnknownConnectionId; 8]);
    let session = world.session();
    let now = world.instant();
    world.server.close(now, session, AlertDescription::CLOSE_NOTIFY);
    world.server_events.clear();
    world.inject(address(9), &record);
    let unknown = [RecordRejection::UnknownConnectionId];
    assert_eq!(rejections(&world), unknown, "the generation has ended");
}

//= test rfc9146#6-1
//= test rfc9146#6-2
#[test]
fn an_address_moves_only_with_an_authentic_and_newest_record() {
    let mut world = World::calm(server_config());
    let client = world.connected(client_config("meter-1", 1));
    let session = world.session();
    world.weather.loss_percent = 100;
    world.send(client, b"older");
    let older = last_upward(&world);
    world.send(client, b"newer");
    let newer = last_upward(&world);
    let (home, nat, thief) = (world.clients[client].address, address(7_001), address(7_002));
    let remote = |world: &World| world.server.session(session).unwrap().remote;

    let mut forged = newer.clone();
    *forged.last_mut().unwrap() ^= 1;
    world.inject(thief, &forged);
    assert_eq!(remote(&world), home, "a forgery moves nothing");
    world.inject(nat, &newer);
    assert_eq!(remote(&world), nat);
    world.inject(thief, &older);
    assert_eq!(remote(&world), nat, "an older record is delivered, but moves nothing");
    world.inject(thief, &newer);
    assert_eq!(remote(&world), nat, "a replay moves nothing");
    let rebound = EndpointEvent::Rebound { session, principal: 1, from: home, to: nat };
    assert_eq!(world.count(|event| *event == rebound), 1);
    let any = |event: &EndpointEvent| matches!(event, EndpointEvent::Rebound { .. });
    assert_eq!(world.count(any), 1);
    assert_eq!(world.received(), [&b"newer"[..], b"older"]);
}

#[test]
fn a_changed_source_port_costs_no_handshake_and_the_answer_finds_it() {
    let mut world = World::calm(server_config());
    let client = world.connected(client_config("meter-1", 1));
    let datagrams = world.tape.len();
    world.rebind(client, 7_001);
    world.exchange(client, b"from elsewhere");
    assert_eq!(world.clients[client].data(), [b"from elsewhere"]);
    assert_eq!(world.tape.len(), datagrams + 2);
}

//= test rfc6347#4.1.2.1-1
#[test]
fn a_wrong_key_and_an_unknown_identity_look_the_same_from_outside() {
    let outside = |config: ClientConfig| {
        let mut world = World::calm(server_config());
        let client = world.connect(config);
        world.run(400_000);
        let shape = world.tape.iter().map(|(up, _, data)| (*up, data.len()));
        let shape: Vec<_> = shape.collect();
        (shape, world.clients[client].closed(), failures(&world), world.now)
    };
    let (wrong, wrong_close, wrong_reason, wrong_end) = outside(client_config("meter-1", 99));
    let (unknown, unknown_close, unknown_reason, unknown_end) = outside(client_config("meter-0", 99));
    assert_eq!((wrong, wrong_close, wrong_end), (unknown, unknown_close, unknown_end));
    assert_eq!(wrong_reason, [HandshakeFailure::WrongKey]);
    assert_eq!(unknown_reason, [HandshakeFailure::UnknownIdentity]);
    let alert = CloseReason::Alert(AlertDescription::BAD_RECORD_MAC);
    assert_eq!(wrong_close, Some(alert));
}

#[test]
fn one_forged_finished_does_not_end_a_handshake() {
    let mut world = World::calm(server_config());
    let client = world.connect(client_config("meter-1", 1));
    world.run(35);
    world.weather.loss_percent = 100;
    world.run(10);
    let flight = last_upward(&world);
    let mut forged = flight.clone();
    *forged.last_mut().unwrap() ^= 1;
    let from = world.clients[client].address;
    world.inject(from, &forged);
    assert_eq!(failures(&world), [HandshakeFailure::WrongKey]);
    world.inject(from, &flight);
    let establishing = |event: &EndpointEvent| matches!(event, EndpointEvent::Established { .. });
    assert_eq!(world.count(establishing), 1);
}

/// The records of the client's last flight: ClientKeyExchange, ChangeCipherSpec, Finished.
fn last_flight() -> (World, std::net::SocketAddr, [Vec<u8>; 3]) {
    let mut world = World::calm(server_config());
    let client = world.connect(client_config("meter-1", 1));
    world.run(35);
    world.weather.loss_percent = 100;
    world.run(10);
    let flight = last_upward(&world);
    let length = |at: usize| 13 + usize::from(u16::from_be_bytes([flight[at + 11], flight[at + 12]]));
    let first = length(0);
    let second = first + length(first);
    let records = [&flight[..first], &flight[first..second], &flight[second..]];
    let from = world.clients[client].address;
    (world, from, records.map(<[u8]>::to_vec))
}

fn established(world: &World) -> usize {
    world.count(|event| matches!(event, EndpointEvent::Established { .. }))
}

#[test]
fn change_cipher_spec_before_the_key_exchange_is_refused_and_forgotten() {
    let (mut world, from, [exchange, change, finished]) = last_flight();
    world.inject(from, &change);
    assert_eq!(rejections(&world), [RecordRejection::Unexpected]);
    world.inject(from, &finished);
    world.inject(from, &exchange);
    world.inject(from, &finished);
    assert_eq!(established(&world), 0, "the early ChangeCipherSpec does not count");
    world.inject(from, &change);
    assert_eq!(established(&world), 1);
}

#[test]
fn a_finished_without_a_key_exchange_is_refused() {
    let (mut world, from, [_, change, finished]) = last_flight();
    for _ in 0..3 {
        world.inject(from, &change);
        world.inject(from, &finished);
    }
    assert_eq!(established(&world), 0);
    assert_eq!(world.server.sessions().count(), 0);
    assert!(rejections(&world).iter().all(|reason| *reason == RecordRejection::Unexpected));
}

#[test]
fn a_key_exchange_out_of_order_waits_for_its_turn() {
    let (mut world, from, [exchange, change, finished]) = last_flight();
    world.inject(from, &exchange);
    world.inject(from, &finished);
    world.inject(from, &change);
    assert_eq!(established(&world), 1, "Finished may overtake ChangeCipherSpec");
}

#[test]
fn alerts_in_the_clear_do_not_end_an_association() {
    for (mut world, client) in worlds() {
        let from = world.clients[client].address;
        for description in [0, 10, 20, 40, 80, 90] {
            for level in [1, 2] {
                let alert = [21, 0xFE, 0xFD, 0, 0, 0, 0, 0, 0, 0, 99, 0, 2, level, description];
                world.inject(from, &alert);
                world.inject_to_client(client, &alert);
            }
        }
        assert_eq!(rejections(&world).len(), 12);
        world.exchange(client, b"still here");
        assert_eq!(world.clients[client].data().last().unwrap(), b"still here");
    }
}

#[test]
fn an_alert_in_the_clear_ends_a_handshake_only_if_silence_follows() {
    let alert = [21, 0xFE, 0xFD, 0, 0, 0, 0, 0, 0, 0, 99, 0, 2, 2, 40];
    let mut world = World::calm(server_config());
    let client = world.connect(client_config("meter-1", 1));
    world.inject_to_client(client, &alert);
    world.inject(world.clients[client].address, &alert);
    world.run(5_000);
    assert!(world.clients[client].connection.is_connected());

    world.weather.loss_percent = 100;
    let client = world.connect(client_config("meter-1", 1));
    world.inject_to_client(client, &alert);
    assert_eq!(world.clients[client].closed(), None);
    world.run(5_000);
    let reason = CloseReason::Alert(AlertDescription::HANDSHAKE_FAILURE);
    assert_eq!(world.clients[client].closed(), Some(reason));
}

//= test rfc6347#4.1-s1
#[test]
fn plaintext_after_finished_is_refused() {
    for (mut world, client) in worlds() {
        let from = world.clients[client].address;
        let mut plain = vec![23, 0xFE, 0xFD, 0, 0, 0, 0, 0, 0, 0, 99, 0, 3];
        plain.extend_from_slice(b"lie");
        world.inject(from, &plain);
        world.inject_to_client(client, &plain);
        assert_eq!(world.received(), Vec::<Vec<u8>>::new());
        assert_eq!(rejections(&world), [RecordRejection::Unexpected]);
        assert_eq!(world.clients[client].data(), [b"reading"]);
    }
}

//= test rfc6347#4.2.8-s1
#[test]
fn a_restarted_client_keeps_its_old_association_until_the_new_one_is_used() {
    for own_cid in [None, Some(ConnectionId::EMPTY)] {
        let config = ClientConfig { own_cid, ..client_config("meter-1", 1) };
        let mut world = World::calm(server_config());
        let old = world.connected(config.clone());
        world.exchange(old, b"one");
        let new = world.connected(config);
        assert_eq!(world.server.sessions().count(), 2);
        world.exchange(old, b"two");
        assert_eq!(world.clients[old].data(), [b"one", b"two"]);
        world.exchange(new, b"three");
        assert_eq!(world.server.sessions().count(), 1);
        assert_eq!(world.clients[new].data(), [b"three"]);
        let closed =
            |event: &EndpointEvent| matches!(event, EndpointEvent::Closed { reason: CloseReason::Replaced, .. });
        assert_eq!(world.count(closed), 1);
    }
}

//= test rfc6347#4.2.8-1
#[test]
fn an_impostor_with_the_wrong_key_leaves_the_association_alone() {
    let mut world = World::calm(server_config());
    let client = world.connected(ClientConfig { own_cid: None, ..client_config("meter-1", 1) });
    world.exchange(client, b"one");
    // From the very address of the device.
    let impostor = world.connect(ClientConfig { own_cid: None, ..client_config("meter-1", 66) });
    world.clients[impostor].address = world.clients[client].address;
    let parked = std::mem::replace(&mut world.clients[client].address, address(1));
    world.run(300_000);
    assert!(world.clients[impostor].closed().is_some());
    world.clients[impostor].address = address(2);
    world.clients[client].address = parked;
    world.exchange(client, b"two");
    assert_eq!(world.clients[client].data(), [b"one", b"two"]);
}

/// A protected record as anybody can make it where ciphers are arithmetic: any tag of 0x5A opens.
fn sealed(cid: &[u8], sequence: u8, kind: u8, content: &[u8]) -> Vec<u8> {
    let inner = if cid.is_empty() { 0 } else { 1 };
    let outer = if cid.is_empty() { kind } else { 25 };
    let mut record = vec![outer, 0xFE, 0xFD, 0, 1, 0, 0, 0, 0, 0, sequence];
    record.extend_from_slice(cid);
    record.extend_from_slice(&(8 + content.len() as u16 + inner + 8).to_be_bytes());
    record.extend_from_slice(&[0, 1, 0, 0, 0, 0, 0, sequence]);
    record.extend_from_slice(content);
    record.extend_from_slice(&vec![kind; usize::from(inner)]);
    record.extend_from_slice(&[0x5A; 8]);
    record
}

//= test rfc6347#4.1-1
//= test rfc6347#4.1-5
#[test]
fn renegotiation_is_answered_with_no() {
    let mut world = World::calm(EndpointConfig { provider: &INSECURE, ..server_config() });
    let config = ClientConfig { provider: &INSECURE, ..with_suite(CipherSuite::PskAes128Ccm8) };
    let client = world.connected(config);
    let from = world.clients[client].address;
    world.exchange(client, b"reading");
    world.server_events.clear();
    let cid = world.tape.iter().rfind(|(up, ..)| *up).unwrap().2[11..19].to_vec();
    // The client's own hello, protected: what a renegotiation begins with (RFC 5246 section 7.4.1.2).
    let hello = world.tape[0].2[13..].to_vec();
    world.inject(from, &sealed(&cid, 50, 22, &hello));
    assert_eq!(rejections(&world), [RecordRejection::Unexpected]);
    assert_eq!(world.server.handshakes(), 0);
    let answer = last_downward(&world);
    let no_renegotiation = [1, AlertDescription::NO_RENEGOTIATION.0];
    assert_eq!((answer[0], &answer[21..23]), (21, &no_renegotiation[..]));
    // HelloRequest, with which a server asks for one (section 7.4.1.1).
    world.inject_to_client(client, &sealed(&[], 50, 22, &[0; 12]));
    let answer = last_upward(&world);
    assert_eq!((answer[0], &answer[29..32]), (25, &[1, AlertDescription::NO_RENEGOTIATION.0, 21][..]));
    world.exchange(client, b"still here");
    assert_eq!(world.clients[client].data().last().unwrap(), b"still here");
    // The helper makes what opens: as application data the same bytes are delivered.
    world.inject(from, &sealed(&cid, 60, 23, b"made up"));
    assert_eq!(world.received().last().unwrap(), b"made up");
}

#[test]
fn strange_contents_of_authentic_records_are_refused() {
    let mut world = World::calm(EndpointConfig { provider: &INSECURE, ..server_config() });
    let config = ClientConfig { provider: &INSECURE, ..with_suite(CipherSuite::PskAes128Ccm8) };
    let client = world.connected(config);
    let from = world.clients[client].address;
    world.exchange(client, b"reading");
    world.server_events.clear();
    let cid = world.tape.iter().rfind(|(up, ..)| *up).unwrap().2[11..19].to_vec();
    // ChangeCipherSpec, an alert of one byte, a record within a record, no type at all, an unknown type.
    let contents = [(20, &[1][..]), (21, &[1]), (25, b"x"), (0, b""), (99, b"x")];
    for (number, (kind, content)) in contents.into_iter().enumerate() {
        world.inject(from, &sealed(&cid, 50 + number as u8, kind, content));
    }
    use RecordRejection::{Malformed, Unexpected};
    assert_eq!(rejections(&world), [Unexpected, Malformed, Unexpected, Unexpected, Unexpected]);
    world.exchange(client, b"still here");
    assert_eq!(world.clients[client].data().last().unwrap(), b"still here");
}

//= test rfc9146#3-5
//= test rfc9146#3-6
#[test]
fn once_negotiated_a_connection_id_is_on_every_record() {
    let mut world = World::calm(EndpointConfig { provider: &INSECURE, ..server_config() });
    let own_cid = ConnectionId::new(b"abc");
    let config = ClientConfig { provider: &INSECURE, own_cid, ..with_suite(CipherSuite::PskAes128Ccm8) };
    let client = world.connected(config);
    let from = world.clients[client].address;
    world.server_events.clear();
    world.inject(from, &sealed(b"", 50, 23, b"without"));
    assert_eq!(rejections(&world), [RecordRejection::Unexpected]);
    for (cid, reason) in [(&b""[..], RecordRejection::Unexpected), (b"abd", RecordRejection::UnknownConnectionId)] {
        world.inject_to_client(client, &sealed(cid, 50, 23, b"x"));
        assert_eq!(*world.clients[client].events.last().unwrap(), ConnectionEvent::Rejected(reason));
    }
    world.inject_to_client(client, &sealed(b"abc", 50, 23, b"command"));
    assert_eq!(world.clients[client].data(), [b"command"]);
}

#[test]
fn handshakes_are_bounded_and_the_oldest_makes_room() {
    let mut world = World::calm(EndpointConfig { handshakes_max: 4, ..server_config() });
    // Clients that stop after their second hello.
    for _ in 0..4 {
        world.connect(client_config("meter-1", 1));
        world.run(35);
        world.clients.clear();
    }
    assert_eq!(world.server.handshakes(), 4);
    world.connect(client_config("meter-1", 1));
    world.run(35);
    world.clients.clear();
    assert_eq!(world.server.handshakes(), 4);
    assert_eq!(failures(&world), [HandshakeFailure::Overloaded], "all are too young to go");
    world.pass(2_500);
    assert_eq!(world.server.handshakes(), 4);
    world.connect(client_config("meter-1", 1));
    world.run(35);
    assert_eq!(world.server.handshakes(), 4);
    assert_eq!(failures(&world), [HandshakeFailure::Overloaded; 2], "the oldest had its chance");
    world.run(1_000);
    assert!(world.clients[0].connection.is_connected());
}

#[test]
fn sessions_are_bounded() {
    let mut world = World::calm(EndpointConfig { sessions_max: 2, ..server_config() });
    for name in ["meter-1", "meter-2"] {
        world.connected(client_config(name, name.as_bytes()[6] - b'0'));
    }
    let third = world.connect(client_config("meter-3", 3));
    world.run(400_000);
    assert_eq!(world.clients[third].closed(), Some(CloseReason::TimedOut));
    assert!(failures(&world).contains(&HandshakeFailure::Overloaded));
    let now = world.instant();
    world.server.close(now, world.session(), AlertDescription::CLOSE_NOTIFY);
    world.connected(client_config("meter-3", 3));
}

#[test]
fn a_silent_client_is_forgotten() {
    let mut world = World::calm(server_config());
    world.connect(client_config("meter-1", 1));
    world.run(35);
    assert_eq!(world.server.handshakes(), 1);
    world.clients.clear();
    world.run(1_000_000);
    assert_eq!(world.server.handshakes(), 0);
    assert_eq!(failures(&world), [HandshakeFailure::TimedOut]);
}

#[test]
fn clients_that_lack_what_is_required_are_told() {
    let world_of = |config: EndpointConfig, client: ClientConfig| {
        let mut world = World::calm(config);
        let client = world.connect(client);
        world.run(400_000);
        let reason = CloseReason::Alert(AlertDescription::HANDSHAKE_FAILURE);
        assert_eq!(world.clients[client].closed(), Some(reason));
        assert!(failures(&world).contains(&HandshakeFailure::NoCommonGround));
    };
    world_of(
        EndpointConfig { require_cid: true, ..server_config() },
        ClientConfig { own_cid: None, ..client_config("meter-1", 1) },
    );
    world_of(
        EndpointConfig { suites: vec![CipherSuite::PskAes128GcmSha256], ..server_config() },
        with_suite(CipherSuite::PskAes128Ccm8),
    );
    // A hello whose extended master secret extension has another number.
    let mut world = World::calm(server_config());
    world.connect(client_config("meter-1", 1));
    world.weather.loss_percent = 100;
    let mut hello = world.tape[0].2.clone();
    let at = hello.windows(4).position(|four| four == [0, 23, 0, 0]).unwrap();
    hello[at] = 0x7F;
    world.inject(address(3), &hello);
    let request = last_downward(&world);
    let cookie = request[request.len() - 16..].to_vec();
    // The cookie goes behind the random and the empty session id: 13 + 12 + 2 + 32 + 1.
    hello[60] = 16;
    hello.splice(61..61, cookie);
    for at in [12, 16, 24] {
        hello[at] += 16;
    }
    world.inject(address(3), &hello);
    assert_eq!(failures(&world), [HandshakeFailure::NoCommonGround]);
}

/// The hello in a datagram, with `more` behind its extensions.
fn with_extensions(hello: &[u8], more: &[[u8; 4]]) -> Vec<u8> {
    let mut out = [hello, &more.concat()].concat();
    let added = out.len() - hello.len();
    let mut at = 25 + 34;
    at += 1 + usize::from(out[at]);
    at += 1 + usize::from(out[at]);
    at += 2 + usize::from(u16::from_be_bytes([out[at], out[at + 1]]));
    at += 1 + usize::from(out[at]);
    // The record, the message, its one fragment, the extensions.
    for at in [11, 15, 23, at] {
        let length = u16::from_be_bytes([out[at], out[at + 1]]) + added as u16;
        out[at..at + 2].copy_from_slice(&length.to_be_bytes());
    }
    out
}

/// RFC 8446 section 4.2: no extension stands twice. Whoever sends such a hello is told, with fewer bytes than he spent.
#[test]
fn a_hello_that_says_something_twice_is_refused_with_an_alert() {
    let suites = vec![CipherSuite::EcdheEcdsaAes128Ccm8, CipherSuite::Aes128Ccm8Sha256];
    for versions in [Versions::DTLS_1_2, Versions::DTLS_1_3, Versions::BOTH] {
        for others in [Versions::DTLS_1_2, Versions::DTLS_1_3, Versions::BOTH] {
            // With certificates: a pre-shared key of DTLS 1.3 would have to be the last extension.
            let (server, client) = people::usual();
            let mut world = World::calm(EndpointConfig { versions, ..server });
            world.weather.loss_percent = 100;
            world.connect(ClientConfig { versions: others, suites: suites.clone(), ..client });
            let (_, from, hello) = world.tape[0].clone();
            world.inject(from, &with_extensions(&hello, &[[0x40, 1, 0, 0], [0x40, 1, 0, 0]]));
            let (up, to, answer) = world.tape.last().unwrap().clone();
            assert!(!up && to == from);
            assert_eq!((answer[0], &answer[13..]), (21, &[2, AlertDescription::DECODE_ERROR.0][..]));
            assert!(answer.len() < hello.len());
            assert_eq!(rejections(&world), [RecordRejection::Malformed]);
            // Two different ones that nobody knows do no harm: without a cookie the answer is a request for one.
            if versions == others {
                world.inject(from, &with_extensions(&hello, &[[0x40, 1, 0, 0], [0x40, 2, 0, 0]]));
                assert_eq!(world.tape.last().unwrap().2[0], 22);
            }
            assert_eq!(world.server.handshakes(), 0);
        }
    }
}
