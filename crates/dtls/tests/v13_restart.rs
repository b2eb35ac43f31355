//! DTLS 1.3 over sleep, restarts and key updates: no number twice, no replay delivered, nobody stranded.
#![allow(clippy::unwrap_used, reason = "tests")]

mod support;

use bartizan_dtls::*;
use support::journal::Journal;
use support::*;

fn config() -> ClientConfig {
    ClientConfig {
        versions: Versions::DTLS_1_3,
        suites: vec![CipherSuite::Aes128Ccm8Sha256],
        groups: vec![],
        ..client_config("meter-1", 1)
    }
}

/// Every record that the server has opened had a number of its own.
fn assert_no_number_twice(world: &World) {
    let number = |event: &EndpointEvent| match event {
        EndpointEvent::Data { sequence, session, .. } => Some((*session, *sequence)),
        _ => None,
    };
    let all: Vec<_> = world.server_events.iter().filter_map(number).collect();
    let mut distinct = all.clone();
    distinct.sort_unstable();
    distinct.dedup();
    assert_eq!(distinct.len(), all.len());
}

/// A reading goes up and its echo comes down: had either side used a number again, the other would have refused it.
fn assert_alive(world: &mut World, client: usize, reading: &[u8]) {
    world.exchange(client, reading);
    assert_eq!(world.received().last().unwrap(), reading);

    assert_eq!(world.clients[client].data().last().unwrap(), reading);
}

#[test]
fn a_server_restart_strands_nobody() {
    for own_cid in [None, Some(ConnectionId::EMPTY)] {
        let mut world = World::calm(server_config());
        let client = world.connected(ClientConfig { own_cid, ..config() });
        world.exchange(client, b"before");
        let replay = world.tape.iter().rfind(|(up, ..)| *up).unwrap().2.clone();
        for round in 0..20_u8 {
            world.restart();
            assert_alive(&mut world, client, &[round]);
        }
        let from = world.clients[client].address;
        let received = world.received().len();
        world.inject(from, &replay);
        assert_eq!(world.received().len(), received, "an old record after the restart");
        assert_eq!(world.count(|event| matches!(event, EndpointEvent::Establishing { .. })), 1);
        assert_no_number_twice(&world);
    }
}

#[test]
fn a_restart_before_the_ack_arrives_is_made_good() {
    for restart in [false, true] {
        let mut world = World::calm(server_config());
        let client = world.connect(config());
        // Everything the server says after the client's last flight is lost.
        world.run(45);
        world.weather.loss_percent = 100;
        world.run(500);
        assert!(!world.clients[client].connection.is_connected());
        world.weather.loss_percent = 0;
        if restart {
            world.restart();
        }
        world.run(20_000);
        assert!(world.clients[client].connection.is_connected(), "{:?}", world.clients[client].events);
        assert_alive(&mut world, client, b"hello");
        assert_eq!(world.count(|event| matches!(event, EndpointEvent::Establishing { .. })), 1);
        let rejected = |event: &EndpointEvent| matches!(event, EndpointEvent::Rejected { .. });
        assert_eq!(world.count(rejected), 0, "{:?}", world.server_events);
    }
}

#[test]
fn nothing_leaves_before_it_is_durable() {
    let mut world = World::calm(server_config());
    world.confirm = false;
    let client = world.connect(config());
    world.run(45);
    let datagrams = world.tape.iter().filter(|(up, ..)| !up).count();
    world.run(60_000);
    assert_eq!(world.tape.iter().filter(|(up, ..)| !up).count(), datagrams);
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
    world.connected(config());
}

#[test]
fn the_client_updates_its_keys() {
    let mut world = World::calm(server_config());
    let client = world.connected(config());
    for round in 0..5_u8 {
        let now = world.instant();
        world.clients[client].connection.update_keys(now).unwrap();
        assert_alive(&mut world, client, &[round]);
        world.restart();
        assert_alive(&mut world, client, &[round, round]);
    }
    assert_no_number_twice(&world);
}

#[test]
fn the_server_updates_its_keys() {
    let mut world = World::calm(server_config());
    let client = world.connected(config());
    let session = world.session();
    for round in 0..5_u8 {
        let now = world.instant();
        world.server.update_keys(now, session).unwrap();
        world.pump();
        assert_alive(&mut world, client, &[round]);
        assert!(world.server.lease(session).unwrap() >> 48 == u64::from(round) + 4, "the lease names the epoch");
        world.restart();
        assert_alive(&mut world, client, &[round, round]);
    }
}

#[test]
fn a_restart_in_the_middle_of_a_key_update_loses_nothing() {
    for lost in 0..4 {
        for server_side in [false, true] {
            let mut world = World::calm(server_config());
            let client = world.connected(config());
            let (now, session) = (world.instant(), world.session());
            world.weather.loss_percent = 100;
            match server_side {
                true => world.server.update_keys(now, session).unwrap(),
                false => world.clients[client].connection.update_keys(now).unwrap(),
            }
            world.pump();
            world.weather.loss_percent = 0;
            if lost < 3 {
                world.run(1_000 + 5 * lost);
            }
            world.restart();
            world.run(30_000);
            for round in 0..3_u8 {
                assert_alive(&mut world, client, &[round]);
            }
            let now = world.instant();
            world.server.update_keys(now, session).unwrap();
            world.pump();
            for round in 3..6_u8 {
                assert_alive(&mut world, client, &[round]);
            }
            assert_no_number_twice(&world);
        }
    }
}

/// Records that are no data move no window on the disk: what they said of keys is forgotten.
#[test]
fn a_killed_server_follows_keys_that_it_has_forgotten() {
    for in_between in [true, false] {
        let mut world = World::calm(server_config());
        world.journal = Some(Journal::new((5, 5), 0));
        let client = world.connected(config());
        assert_arrives(&mut world, client, b"under the first keys");
        let now = world.instant();
        world.clients[client].connection.update_keys(now).unwrap();
        world.run(10_000);
        world.clients[client].connection.save().unwrap();
        world.clients[client].connection.update_keys(now).unwrap();
        world.run(10_000);
        world.kill();
        if in_between {
            assert_arrives(&mut world, client, b"under the second");
        }
        world.clients[client].connection.save().unwrap();
        assert_arrives(&mut world, client, b"under the third");
        let last = world.server_events.iter().rev().find_map(|event| match event {
            EndpointEvent::Data { sequence, .. } => Some(sequence >> 48),
            _ => None,
        });
        assert_eq!(last, Some(5), "an epoch");
    }
}

fn assert_arrives(world: &mut World, client: usize, reading: &[u8]) {
    world.exchange(client, reading);
    assert_eq!(world.received().last().unwrap(), reading);
}

#[test]
fn keys_change_in_bad_weather_and_both_ways_at_once() {
    for seed in 0..60 {
        let mut world = World::new(seed, ROUGH, server_config());
        let client = world.connect(config());
        world.run(400_000);
        if !world.clients[client].connection.is_connected() {
            continue;
        }
        let session = world.session();
        let mut arrived = 0;
        for round in 0..30_u8 {
            let now = world.instant();
            if round % 5 == 0 {
                let _ = world.clients[client].connection.update_keys(now);
                let _ = world.server.update_keys(now, session);
                world.pump();
            }
            let before = world.clients[client].data().len();
            world.exchange(client, &[round; 30]);
            arrived += world.clients[client].data().len() - before;
            assert!(world.clients[client].closed().is_none(), "seed {seed}: {:?}", world.clients[client].events);
        }
        assert!(arrived >= 8, "seed {seed}: {arrived} of 30");
        world.weather = CALM;
        world.run(120_000);
        assert_alive(&mut world, client, b"the last");
    }
}

#[test]
fn a_device_sleeps_and_wakes_without_a_handshake() {
    for suite in [CipherSuite::Aes128Ccm8Sha256, CipherSuite::Aes128GcmSha256, CipherSuite::Aes256GcmSha384] {
        let mut world = World::calm(server_config());
        let config = ClientConfig { suites: vec![suite], ..config() };
        let client = world.connected(config.clone());
        world.exchange(client, b"day 0");
        let mut flash = world.clients[client].connection.save().unwrap().to_bytes();
        assert!(flash.len() <= 256, "{}", flash.len());
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
            assert_alive(&mut world, client, &[day]);
            // Every third day the power fails after sending: what was saved on waking is all there is.
            if day % 3 != 0 {
                flash = world.clients[client].connection.save().unwrap().to_bytes();
            }
        }
        assert_eq!(world.tape.len(), datagrams + 60, "one record up, one down");
        assert_no_number_twice(&world);
    }
}

#[test]
fn a_saved_connection_updates_its_keys_with_its_next_lease() {
    let mut world = World::calm(server_config());
    let client = world.connected(config());
    world.clients[client].connection.save().unwrap();
    let now = world.instant();
    world.clients[client].connection.update_keys(now).unwrap();
    assert_alive(&mut world, client, b"under the old keys");
    let flash = world.clients[client].connection.save().unwrap().to_bytes();
    assert_alive(&mut world, client, b"under the new keys");
    let saved = SavedSession::from_bytes(&flash).unwrap();
    let mut connection = Connection::resume(config(), saved, now).unwrap();
    connection.save().unwrap();
    world.clients[client].connection = connection;
    assert_alive(&mut world, client, b"after sleep");
    let epochs = world.server_events.iter().filter_map(|event| match event {
        EndpointEvent::Data { sequence, .. } => Some(sequence >> 48),
        _ => None,
    });
    assert_eq!(epochs.collect::<Vec<_>>(), [3, 4, 4]);
}

//= test rfc9147#4.4-s1
#[test]
fn a_wake_up_costs_no_more_than_was_published() {
    let mut world = World::calm(server_config());
    let client = world.connected(ClientConfig { suites: vec![CipherSuite::Aes128GcmSha256], ..config() });
    world.exchange(client, b"msg 0");
    let sizes: Vec<_> = world.tape.iter().rev().take(2).map(|(up, _, data)| (*up, data.len())).collect();
    assert_eq!(sizes, [(false, 24), (true, 32)], "published: 27 down, 33 up");
}

#[test]
fn what_is_kept_reads_what_it_wrote() {
    for suite in [CipherSuite::Aes128Ccm8Sha256, CipherSuite::Aes256GcmSha384] {
        for own_cid in [None, Some(ConnectionId::EMPTY), ConnectionId::new(&[9; 20])] {
            let mut world = World::calm(server_config());
            let client = world.connected(ClientConfig { own_cid, suites: vec![suite], ..config() });
            let saved = world.clients[client].connection.save().unwrap();
            let bytes = saved.to_bytes();
            assert_eq!(SavedSession::from_bytes(&bytes).unwrap().to_bytes(), bytes);
            assert!((0..bytes.len()).all(|length| SavedSession::from_bytes(&bytes[..length]).is_err()));
            let session = world.session();
            let bytes = world.server.state(session).unwrap().to_bytes();
            assert!(bytes.len() <= 288, "a server keeps a little more than a device: {}", bytes.len());
            let state = SessionState::from_bytes(&bytes).unwrap();
            assert_eq!(state.to_bytes(), bytes);
            assert!((0..bytes.len()).all(|length| SessionState::from_bytes(&bytes[..length]).is_err()));
        }
    }
}
