//! What an attacker on the network tries against DTLS 1.3, and what it gets: a counter.
#![allow(clippy::unwrap_used, reason = "tests")]

mod support;

use bartizan_dtls::*;
use bartizan_wire::event::{HandshakeFailure, RecordRejection};
use support::*;

fn config() -> ClientConfig {
    ClientConfig {
        versions: Versions::DTLS_1_3,
        suites: vec![CipherSuite::Aes128Ccm8Sha256],
        groups: vec![Group::X25519],
        ..client_config("meter-1", 1)
    }
}

fn hybrid() -> ClientConfig {
    ClientConfig { groups: vec![Group::X25519MlKem768], ..config() }
}

fn last(world: &World, up: bool) -> Vec<u8> {
    world.tape.iter().rfind(|(direction, ..)| *direction == up).unwrap().2.clone()
}

//= test rfc9147#4.5.1-1
//= test rfc9147#4.5.1-2
#[test]
fn a_replayed_record_is_counted_and_never_delivered() {
    for own_cid in [None, Some(ConnectionId::EMPTY)] {
        let mut world = World::calm(server_config());
        let client = world.connected(ClientConfig { own_cid, ..config() });
        world.exchange(client, b"reading");
        world.server_events.clear();
        let (record, from) = (last(&world, true), world.clients[client].address);
        world.inject(from, &record);
        let replayed = EndpointEvent::Rejected { remote: from, claimed: Some(1), reason: RecordRejection::Replayed };
        assert_eq!(world.server_events, [replayed]);
        let down = last(&world, false);
        world.inject_to_client(client, &down);
        let event = world.clients[client].events.last().unwrap();
        assert_eq!(*event, ConnectionEvent::Rejected(RecordRejection::Replayed));
    }
}

//= test rfc9147#4.5.1-3
//= test rfc9147#4.5.2-s1
//= test rfc9147#11-s3
#[test]
fn every_bit_flip_and_every_truncation_is_refused() {
    for own_cid in [None, Some(ConnectionId::EMPTY)] {
        let suites = vec![CipherSuite::Aes128GcmSha256];
        let mut world = World::calm(server_config());
        let client = world.connected(ClientConfig { own_cid, suites, ..config() });
        world.weather.loss_percent = 100;
        world.send(client, b"never arrives");
        let (record, from) = (last(&world, true), world.clients[client].address);
        for bit in 0..record.len() * 8 {
            let mut forged = record.clone();
            forged[bit / 8] ^= 1 << (bit % 8);
            world.inject(from, &forged);
        }
        for length in 1..record.len() {
            world.inject(from, &record[..length]);
        }
        assert_eq!(world.received(), Vec::<Vec<u8>>::new());
        assert!(rejections(&world).contains(&RecordRejection::Forged));
        // And none of it has cost the true record its place.
        world.inject(from, &record);
        assert_eq!(world.received(), [b"never arrives"]);
    }
}

//= test rfc9147#4.5.3-2
//= test rfc9147#4.5.3-3
/// RFC 9147 section 4.5.3: with an 8-byte tag there is an end to guessing, on either side.
#[test]
fn an_association_ends_at_the_limit_of_forgeries() {
    let most = limits::FORGERIES_MAX_CCM_8;
    for forgeries in [most - 1, most] {
        let mut world = World::calm(server_config());
        let client = world.connected(config());
        world.weather.loss_percent = 100;
        world.send(client, b"x");
        let (mut record, from) = (last(&world, true), world.clients[client].address);
        *record.last_mut().unwrap() ^= 1;
        (0..forgeries).for_each(|_| world.inject(from, &record));
        assert_eq!(world.server.sessions().count(), usize::from(forgeries < most));

        let mut world = World::calm(server_config());
        let client = world.connected(config());
        world.exchange(client, b"x");
        let (now, session) = (world.instant(), world.session());
        world.weather.loss_percent = 100;
        world.server.send(now, session, b"x").unwrap();
        world.pump();
        let mut record = last(&world, false);
        *record.last_mut().unwrap() ^= 1;
        (0..forgeries).for_each(|_| world.inject_to_client(client, &record));
        assert_eq!(world.clients[client].closed().is_none(), forgeries < most);
    }
}

#[test]
fn a_wrong_key_and_an_unknown_identity_look_the_same_from_outside() {
    let outside = |identity: &str| {
        let mut world = World::calm(server_config());
        let client = world.connect(ClientConfig { psk: key(99), identity: identity.into(), ..config() });
        world.run(400_000);
        let shape = world.tape.iter().map(|(up, _, data)| (*up, data.len()));
        let last = last(&world, false);
        let close = world.clients[client].closed();
        (shape.collect::<Vec<_>>(), close, world.now, last[13..].to_vec(), failures(&world))
    };
    let (shape, close, end, alert, wrong) = outside("meter-1");
    let unknown = outside("meter-0");
    assert_eq!((shape, close, end, alert), (unknown.0, unknown.1, unknown.2, unknown.3));
    assert_eq!(close, Some(CloseReason::Alert(AlertDescription::DECRYPT_ERROR)));
    assert_eq!(wrong, [HandshakeFailure::WrongKey]);
    assert_eq!(unknown.4, [HandshakeFailure::UnknownIdentity]);
}

//= test rfc9147#5.1-s1
//= test rfc9147#5.1-s2
//= test rfc9147#11-s1
#[test]
fn without_a_cookie_nothing_is_kept_and_nothing_amplified() {
    for config in [config(), hybrid()] {
        let mut world = World::calm(server_config());
        world.weather.loss_percent = 100;
        for _ in 0..50 {
            world.connect(config.clone());
        }
        let hellos: Vec<_> = world.tape.clone();
        for (_, from, data) in hellos {
            world.inject(from, &data);
            assert!(last(&world, false).len() <= data.len(), "the answer is no longer than the question");
        }
        assert_eq!(world.server.handshakes(), 0);
        assert_eq!(world.server_events, []);
    }
}

#[test]
fn a_cookie_is_good_for_its_address_only_and_makes_one_handshake() {
    for config in [config(), hybrid()] {
        let mut world = World::calm(server_config());
        world.connect(config);
        world.run(15);
        world.weather.loss_percent = 100;
        world.run(10);
        // The second hello, in one datagram or in several.
        let first = world.tape.iter().position(|(up, ..)| !up).unwrap();
        let second: Vec<_> = world.tape[first + 1..].iter().map(|(_, _, data)| data.clone()).collect();
        second.iter().for_each(|datagram| world.inject(address(9_999), datagram));
        assert_eq!(world.server.handshakes(), 0, "another address");
        let from = world.clients[0].address;
        for _ in 0..3 {
            second.iter().for_each(|datagram| world.inject(from, datagram));
            assert_eq!(world.server.handshakes(), 1);
        }
        let asked = |event: &EndpointEvent| matches!(event, EndpointEvent::PskRequested { .. });
        assert_eq!(world.count(asked), 1, "repetitions change nothing");
    }
}

#[test]
fn later_fragments_of_a_hello_are_not_kept_before_the_first() {
    let mut world = World::calm(server_config());
    world.connect(ClientConfig { mtu: 400, ..hybrid() });
    world.run(15);
    world.weather.loss_percent = 100;
    world.run(10);
    let first = world.tape.iter().position(|(up, ..)| !up).unwrap();
    let second: Vec<_> = world.tape[first + 1..].iter().map(|(_, _, data)| data.clone()).collect();
    assert!(second.len() >= 4, "{}", second.len());
    let from = world.clients[0].address;
    second[1..].iter().for_each(|datagram| world.inject(from, datagram));
    assert_eq!(world.server.handshakes(), 0);
    let asked = |event: &EndpointEvent| matches!(event, EndpointEvent::PskRequested { .. });
    second.iter().for_each(|datagram| world.inject(from, datagram));
    assert_eq!((world.server.handshakes(), world.count(asked)), (1, 1));
}

#[test]
fn a_forged_binder_ends_in_an_alert() {
    let mut world = World::calm(server_config());
    world.connect(config());
    world.run(15);
    world.weather.loss_percent = 100;
    world.run(10);
    let (mut hello, from) = (last(&world, true), world.clients[0].address);
    *hello.last_mut().unwrap() ^= 1;
    world.inject(from, &hello);
    assert_eq!(failures(&world), [HandshakeFailure::WrongKey]);
    assert_eq!(world.server.handshakes(), 0);
    *hello.last_mut().unwrap() ^= 1;
    world.inject(from, &hello);
    assert_eq!(world.server.handshakes(), 1, "the true one finds its place all the same");
}

/// RFC 8446 section 4.1.3: somebody between the two takes DTLS 1.3 out of every hello.
#[test]
fn a_downgrade_is_noticed() {
    let mut world = World::calm(server_config());
    world.weather.loss_percent = 100;
    let suites = vec![CipherSuite::Aes128Ccm8Sha256, CipherSuite::PskAes128Ccm8];
    world.connect(ClientConfig { versions: Versions::BOTH, suites, ..config() });
    let from = world.clients[0].address;
    for _ in 0..2 {
        let mut hello = last(&world, true);
        let at = hello.windows(4).position(|bytes| bytes == [0xFE, 0xFC, 0xFE, 0xFD]).unwrap();
        hello[at] = 0x5A;
        let before = world.tape.len();
        world.inject(from, &hello);
        let answers: Vec<_> = world.tape[before..].iter().map(|(_, _, data)| data.clone()).collect();
        answers.iter().for_each(|answer| world.inject_to_client(0, answer));
    }
    let closed = world.clients[0].closed();
    assert_eq!(closed, Some(CloseReason::Failed(Error::Misbehaved("a downgrade to DTLS 1.2"))));
}

//= test rfc9147#5.2-3
#[test]
fn both_versions_in_one_hello_find_what_the_server_has() {
    let both = |versions| {
        let suites = vec![CipherSuite::Aes128Ccm8Sha256, CipherSuite::EcdhePskAes128Ccm8Sha256];
        let mut world = World::calm(EndpointConfig { versions, ..server_config() });
        let client = world.connected(ClientConfig { versions: Versions::BOTH, suites, ..config() });
        world.exchange(client, b"hello");
        assert_eq!(world.clients[client].data(), [b"hello"]);
        world.server.session(world.session()).unwrap().suite
    };
    assert_eq!(both(Versions::BOTH), CipherSuite::Aes128Ccm8Sha256);
    assert_eq!(both(Versions::DTLS_1_3), CipherSuite::Aes128Ccm8Sha256);
    assert_eq!(both(Versions::DTLS_1_2), CipherSuite::EcdhePskAes128Ccm8Sha256);
}

#[test]
fn versions_that_do_not_meet_end_in_an_alert() {
    let ends = |server, client: ClientConfig| {
        let mut world = World::calm(EndpointConfig { versions: server, ..server_config() });
        let client = world.connect(client);
        world.run(400_000);
        assert_eq!(world.server.handshakes(), 0);
        world.clients[client].closed()
    };
    let alert = ends(Versions::DTLS_1_3, client_config("meter-1", 1));
    assert_eq!(alert, Some(CloseReason::Alert(AlertDescription::PROTOCOL_VERSION)));
    assert!(matches!(ends(Versions::DTLS_1_2, config()), Some(CloseReason::Alert(_) | CloseReason::TimedOut)));
}

/// ACKs in the clear say nothing, whoever sends them; nor does anything else in the clear once there are keys.
#[test]
fn forged_acks_and_alerts_do_not_stop_a_handshake() {
    for seed in 0..10 {
        let mut world = World::new(seed, CALM, server_config());
        let client = world.connect(config());
        for _ in 0..8 {
            let from = world.clients[client].address;
            for epoch in [0, 2] {
                let mut forged = vec![26, 0xFE, 0xFD, 0, epoch, 0, 0, 0, 0, 0, 9, 0, 18, 0, 16];
                forged.extend_from_slice(&[0; 16]);
                world.inject(from, &forged);
                world.inject_to_client(client, &forged);
            }
            let alert = [21, 0xFE, 0xFD, 0, 0, 0, 0, 0, 0, 0, 9, 0, 2, 2, 40];
            world.inject(from, &alert);
            world.inject_to_client(client, &alert);
            world.run(7);
        }
        world.run(60_000);
        assert!(world.clients[client].connection.is_connected());
        world.exchange(client, b"hello");
        assert_eq!(world.clients[client].data(), [b"hello"]);
    }
}

#[test]
fn a_handshake_costs_few_bytes() {
    let mut world = World::calm(server_config());
    let suites = vec![CipherSuite::Aes128Ccm8Sha256];
    world.connected(ClientConfig { suites, groups: vec![], ..config() });
    let sizes: Vec<_> = world.tape.iter().map(|(up, _, data)| (*up, data.len())).collect();
    assert_eq!(sizes.len(), 6, "{sizes:?}");
    let total: usize = sizes.iter().map(|(_, size)| size).sum();
    assert!(total < 740, "{total}: {sizes:?}");
}

#[test]
fn a_hello_that_does_not_fit_is_refused_by_its_sender() {
    let connect =
        |mtu| Connection::connect(ClientConfig { mtu, ..config() }, Instant::default(), &mut Rng(1)).map(|_| ());
    assert!(connect(300).is_ok());
    assert!(matches!(connect(128), Err(Error::Misuse(_))));
}
