//! Associations over restarts of either side: no nonce twice, no replay delivered, no device stranded.
#![allow(clippy::unwrap_used, reason = "tests")]

mod support;

use std::collections::BTreeSet;

use bartizan_dtls::*;
use support::*;

fn assert_no_nonce_twice(world: &World) {
    let all: Vec<_> = world.tape.iter().flat_map(nonces_of).collect();
    let distinct: BTreeSet<_> = all.iter().collect();
    assert_eq!(distinct.len(), all.len(), "a nonce was used twice");
}

#[test]
fn a_server_restart_strands_nobody() {
    for own_cid in [None, Some(ConnectionId::EMPTY)] {
        let mut world = World::calm(server_config());
        let client = world.connected(ClientConfig { own_cid, ..client_config("meter-1", 1) });
        world.exchange(client, b"before");
        let replay = world.tape.iter().rfind(|(up, ..)| *up).unwrap().2.clone();
        let handshakes = |world: &World| world.count(|event| matches!(event, EndpointEvent::Establishing { .. }));
        for round in 0..20_u8 {
            world.restart();
            world.exchange(client, &[round]);
            assert_eq!(world.clients[client].data().last().unwrap(), &[round]);
        }
        let from = world.clients[client].address;
        let received = world.received().len();
        world.inject(from, &replay);
        assert_eq!(world.received().len(), received, "an old record after the restart");
        assert_eq!(handshakes(&world), 1);
        assert_no_nonce_twice(&world);
    }
}

#[test]
fn a_restart_before_the_finished_arrives_is_made_good() {
    let mut world = World::calm(server_config());
    let client = world.connect(client_config("meter-1", 1));
    world.run(45);
    world.weather.loss_percent = 100;
    world.run(500);
    assert!(!world.clients[client].connection.is_connected());
    world.weather.loss_percent = 0;
    world.restart();
    world.run(20_000);
    assert!(world.clients[client].connection.is_connected(), "{:?}", world.clients[client].events);
    world.exchange(client, b"hello");
    assert_eq!(world.clients[client].data(), [b"hello"]);
    let first = |event: &EndpointEvent| matches!(event, EndpointEvent::Establishing { .. });
    assert_eq!(world.count(first), 1);
    assert_no_nonce_twice(&world);
}

#[test]
fn nothing_leaves_before_it_is_durable() {
    let mut world = World::calm(server_config());
    world.confirm = false;
    let client = world.connect(client_config("meter-1", 1));
    world.run(60_000);
    assert!(!world.clients[client].connection.is_connected());
    let establishing = |event: &EndpointEvent| match event {
        EndpointEvent::Establishing { session, .. } => Some(*session),
        _ => None,
    };
    let session = world.server_events.iter().find_map(establishing).unwrap();
    let now = world.instant();
    assert!(world.server.send(now, session, b"x").is_err());
    world.server.abandon(session);
    assert!(world.server.state(session).is_none());
    world.confirm = true;
    world.run(400_000);
    assert!(!world.clients[client].connection.is_connected(), "its association is gone");
    world.connected(client_config("meter-1", 1));
}

#[test]
fn sending_stops_at_the_lease_and_goes_on_with_a_new_one() {
    let config = EndpointConfig { lease: 8, ..server_config() };
    let mut world = World::calm(config);
    let client = world.connected(client_config("meter-1", 1));
    let (session, now) = (world.session(), world.instant());
    // Number 0 was the Finished; nobody answers LeaseLow while the world is not pumped.
    let sent = (0..20).take_while(|_| world.server.send(now, session, b"x").is_ok()).count();
    assert_eq!(sent, 7);
    let refused = world.server.send(now, session, b"x");
    assert!(matches!(refused, Err(Error::Unavailable(_))), "{refused:?}");
    world.pump();
    let low = |event: &EndpointEvent| *event == EndpointEvent::LeaseLow { session, upto: 16 };
    assert_eq!(world.count(low), 1);
    assert!(world.server.send(now, session, b"x").is_ok());
    world.run(1_000);
    assert_eq!(world.clients[client].data().len(), 8);
    assert_no_nonce_twice(&world);
}

#[test]
fn two_associations_of_a_principal_keep_their_order_over_a_restart() {
    for seed in 0..8 {
        let mut world = World::new(seed, CALM, server_config());
        let old = world.connected(client_config("meter-1", 1));
        world.exchange(old, b"one");
        let new = world.connected(client_config("meter-1", 1));
        world.restart();
        assert_eq!(world.server.sessions().count(), 2);
        world.exchange(old, b"two");
        assert_eq!(world.clients[old].data(), [b"one", b"two"]);
        world.exchange(new, b"three");
        assert_eq!(world.server.sessions().count(), 1);
        assert_eq!(world.clients[new].data(), [b"three"]);
        // The next association of the principal replaces this one.
        let third = world.connected(client_config("meter-1", 1));
        world.exchange(third, b"four");
        assert_eq!(world.server.sessions().count(), 1);
    }
}

#[test]
fn session_states_read_what_they_write() {
    let mut world = World::calm(server_config());
    world.connected(client_config("meter-1", 1));
    let session = world.session();
    let bytes = world.server.state(session).unwrap().to_bytes();
    assert!(bytes.len() <= 256, "{}", bytes.len());
    let state = SessionState::from_bytes(&bytes).unwrap();
    assert_eq!((state.id(), state.principal()), (session, 1));
    assert_eq!(state.to_bytes(), bytes);
    for length in 0..bytes.len() {
        assert!(SessionState::from_bytes(&bytes[..length]).is_err());
    }
    let mut other = bytes.clone();
    other[0] += 1;
    assert!(SessionState::from_bytes(&other).is_err());
    // Where the association lives already it cannot come back.
    let window = world.server.window(session).unwrap();
    assert!(world.server.restore(state, window, 9, address(1)).is_err());
}

#[test]
fn a_device_sleeps_and_wakes_without_a_handshake() {
    for suite in CipherSuite::PSK_DTLS_1_2 {
        let mut world = World::calm(server_config());
        let config = with_suite(suite);
        let client = world.connected(config.clone());
        world.exchange(client, b"day 0");
        let mut flash = world.clients[client].connection.save().unwrap().to_bytes();
        assert!(flash.len() <= 256);
        let datagrams = world.tape.len();
        for day in 1..=30_u8 {
            let saved = SavedSession::from_bytes(&flash).unwrap();
            let now = world.instant();
            let mut connection = Connection::resume(config.clone(), saved, now).unwrap();
            let early = connection.send(now, b"x");
            assert!(matches!(early, Err(Error::Unavailable(_))), "not before it is saved");
            flash = connection.save().unwrap().to_bytes();
            world.clients[client].connection = connection;
            world.rebind(client, 20_000 + u16::from(day));
            world.exchange(client, &[day]);
            assert_eq!(world.clients[client].data().last().unwrap(), &[day]);
            // Every third day the power fails after sending: what was saved on waking is all there is.
            if day % 3 != 0 {
                flash = world.clients[client].connection.save().unwrap().to_bytes();
            }
        }
        assert_eq!(world.tape.len(), datagrams + 60, "one record up, one down");
        assert_no_nonce_twice(&world);
    }
}

#[test]
fn a_saved_connection_stops_at_its_lease() {
    let mut world = World::calm(server_config());
    let config = ClientConfig { lease: 3, ..client_config("meter-1", 1) };
    let client = world.connected(config);
    let now = world.instant();
    let connection = &mut world.clients[client].connection;
    assert_eq!(connection.sends_left(), None);
    connection.save().unwrap();
    assert_eq!(connection.sends_left(), Some(3));
    for _ in 0..3 {
        connection.send(now, b"x").unwrap();
    }
    assert!(matches!(connection.send(now, b"x"), Err(Error::Unavailable(_))));
    connection.save().unwrap();
    connection.send(now, b"x").unwrap();
}

#[test]
fn saved_sessions_read_what_they_write() {
    for own_cid in [None, Some(ConnectionId::EMPTY), ConnectionId::new(&[9; 20])] {
        let mut world = World::calm(server_config());
        let client = world.connected(ClientConfig { own_cid, ..client_config("meter-1", 1) });
        let saved = world.clients[client].connection.save().unwrap();
        let bytes = saved.to_bytes();
        assert_eq!(SavedSession::from_bytes(&bytes).unwrap().to_bytes(), bytes);
        for length in 0..bytes.len() {
            assert!(SavedSession::from_bytes(&bytes[..length]).is_err());
        }
    }
}
