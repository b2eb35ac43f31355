//! Connection IDs of DTLS 1.3 that change (RFC 9147 section 9): nobody who watches can link two wake-ups, and no number of
//! a message is lost or used twice on the way, whoever restarts when.
#![allow(clippy::unwrap_used, reason = "tests")]

mod support;

use std::collections::BTreeSet;

use bartizan_crypto::Secret;
use bartizan_dtls::*;
use support::*;

fn config(connection_ids: u8) -> ClientConfig {
    ClientConfig {
        versions: Versions::DTLS_1_3,
        suites: vec![CipherSuite::Aes128Ccm8Sha256],
        groups: vec![],
        connection_ids,
        ..client_config("meter-1", 1)
    }
}

/// Connection IDs are encrypted, with nonces of four bytes.
fn sealed_routes() -> EndpointConfig {
    let route = RouteConfig { nonce_bytes: 4, ..RouteConfig::new(1, Secret::new([7; 16])) };
    EndpointConfig { routes: Routes::sealed(&route).unwrap(), ..server_config() }
}

const CID_BYTES: usize = 13;

/// The Connection IDs of records that went up since `from`.
fn cids_since(world: &World, from: usize) -> BTreeSet<Vec<u8>> {
    let up = world.tape.iter().skip(from).filter(|(up, _, data)| *up && data[0] & 0xF0 == 0x30);
    up.map(|(_, _, data)| data[1..=CID_BYTES].to_vec()).collect()
}

/// The device sleeps and wakes; what it says is echoed. Returns the Connection IDs that were seen while it was awake.
fn wake(world: &mut World, client: usize, config: &ClientConfig, reading: &[u8]) -> BTreeSet<Vec<u8>> {
    let flash = world.clients[client].connection.save().unwrap().to_bytes();
    assert!(flash.len() <= limits::SAVED_SESSION_BYTES_MAX);
    let from = world.tape.len();
    let saved = SavedSession::from_bytes(&flash).unwrap();
    let now = world.instant();
    world.clients[client].connection = Connection::resume(config.clone(), saved, now).unwrap();
    world.clients[client].connection.save().unwrap();
    world.exchange(client, reading);
    assert_eq!(world.clients[client].data().last().unwrap(), reading);
    assert_eq!(world.received().last().unwrap(), reading);
    cids_since(world, from)
}

#[test]
fn no_two_wake_ups_share_a_connection_id() {
    for count in [1, 4, limits::CONNECTION_IDS_REQUESTED_MAX] {
        let mut world = World::calm(sealed_routes());
        let config = config(count);
        let client = world.connected(config.clone());
        let mut seen = cids_since(&world, 0);
        assert_eq!(seen.len(), 1);
        for round in 0..20_u8 {
            let now = wake(&mut world, client, &config, &[round]);
            assert_eq!(now.len(), 1, "one at a time");
            assert!(seen.is_disjoint(&now), "{count}, round {round}");
            seen.extend(now);
        }
        assert_eq!(world.count(|event| matches!(event, EndpointEvent::Rejected { .. })), 0);
    }
}

#[test]
fn nobody_asks_by_default_and_routes_in_the_clear_give_nothing_new() {
    for (server, count) in [(sealed_routes(), 0), (server_config(), 2)] {
        let mut world = World::calm(server);
        let config = config(count);
        let client = world.connected(config.clone());
        // The shorter of the two kinds, or the front of the longer.
        let front = |cids: BTreeSet<Vec<u8>>| cids.into_iter().map(|cid| cid[..8].to_vec()).collect::<BTreeSet<_>>();
        let first = front(wake(&mut world, client, &config, b"one"));
        assert_eq!(front(wake(&mut world, client, &config, b"two")), first);
        assert!(!world.clients[client].connection.use_spare_connection_id());
    }
}

#[test]
fn a_device_that_moves_goes_on_under_another() {
    let mut world = World::calm(sealed_routes());
    let client = world.connected(config(0));
    let now = world.instant();
    world.clients[client].connection.request_connection_ids(now, 2).unwrap();
    world.clients[client].connection.request_connection_ids(now, 2).unwrap();
    world.pump();
    world.run(10_000);
    for port in [20_001, 20_002] {
        let before = cids_since(&world, 0);
        let from = world.tape.len();
        assert!(world.clients[client].connection.use_spare_connection_id());
        world.rebind(client, port);
        world.exchange(client, b"from elsewhere");
        assert!(before.is_disjoint(&cids_since(&world, from)));
    }
    assert!(!world.clients[client].connection.use_spare_connection_id(), "two were asked for");
    assert_eq!(world.received().len(), 2);
    assert_eq!(world.clients[client].data().len(), 2);
}

#[test]
fn a_server_renews_a_connection_id_at_once() {
    let mut world = World::calm(sealed_routes());
    let client = world.connected(config(0));
    let session = world.session();
    for round in 0..4_u8 {
        let before = cids_since(&world, 0);
        let now = world.instant();
        world.server.renew_connection_id(now, session).unwrap();
        assert!(world.server.renew_connection_id(now, session).is_err(), "one at a time");
        world.pump();
        world.run(10_000);
        let from = world.tape.len();
        world.exchange(client, &[round]);
        assert!(before.is_disjoint(&cids_since(&world, from)));
    }
    let mut without = World::calm(server_config());
    without.connected(ClientConfig { own_cid: None, ..config(0) });
    let (now, session) = (without.instant(), without.session());
    assert!(without.server.renew_connection_id(now, session).is_err());
    assert!(without.clients[0].connection.request_connection_ids(now, 1).is_err());
}

#[test]
fn what_nobody_may_ask_is_refused() {
    let mut world = World::calm(sealed_routes());
    let client = world.connected(config(0));
    let now = world.instant();
    let connection = &mut world.clients[client].connection;
    assert!(connection.request_connection_ids(now, 0).is_err());
    assert!(connection.request_connection_ids(now, limits::CONNECTION_IDS_REQUESTED_MAX + 1).is_err());
    let too_many = config(limits::CONNECTION_IDS_REQUESTED_MAX + 1);
    assert!(Connection::connect(too_many, now, &mut Rng(1)).is_err());
    let old = world.connected(client_config("meter-2", 2));
    assert!(world.clients[old].connection.request_connection_ids(now, 1).is_err(), "DTLS 1.2");
    assert!(world.server.renew_connection_id(now, SessionId { slot: 60, generation: 0 }).is_err());
}

#[test]
fn nothing_is_given_before_the_state_is_kept() {
    let mut world = World::calm(sealed_routes());
    let client = world.connected(config(0));
    world.confirm = false;
    let now = world.instant();
    world.clients[client].connection.request_connection_ids(now, 1).unwrap();
    world.pump();
    world.run(60_000);
    assert_eq!(world.count(|event| matches!(event, EndpointEvent::StateChanged { .. })), 1);
    assert!(!world.clients[client].connection.use_spare_connection_id());
    let (now, session) = (world.instant(), world.session());
    world.server.confirm_durable(now, session);
    world.pump();
    world.run(10_000);
    assert!(world.clients[client].connection.use_spare_connection_id());
}

/// Both sides count their messages over restarts: whatever is lost, keys and Connection IDs change afterwards.
#[test]
fn restarts_and_losses_at_any_moment_strand_nobody() {
    for moment in 0..14 {
        for (server_dies, client_dies) in [(true, false), (false, true), (true, true)] {
            let mut world = World::calm(sealed_routes());
            let config = config(2);
            let client = world.connected(config.clone());
            wake(&mut world, client, &config, b"asleep once");
            let flash = world.clients[client].connection.save().unwrap().to_bytes();
            world.send(client, b"on its way");
            let (now, session) = (world.instant(), world.session());
            world.clients[client].connection.use_spare_connection_id();
            world.clients[client].connection.use_spare_connection_id();
            world.clients[client].connection.request_connection_ids(now, 2).unwrap();
            let flash =
                if moment % 2 == 0 { flash } else { world.clients[client].connection.save().unwrap().to_bytes() };
            world.send(client, b"with a question");
            world.run(5 * moment);
            world.weather.loss_percent = if moment % 3 == 0 { 100 } else { 0 };
            world.run(10);
            world.weather.loss_percent = 0;
            if server_dies {
                world.restart();
            }
            if client_dies {
                let saved = SavedSession::from_bytes(&flash).unwrap();
                let resumed = Connection::resume(config.clone(), saved, now).unwrap();
                world.clients[client].connection = resumed;
                world.clients[client].connection.save().unwrap();
            }
            let what = format!("{moment}, {server_dies}, {client_dies}");
            for round in 0..8_u8 {
                let now = world.instant();
                match round {
                    2 => world.server.update_keys(now, session).unwrap(),
                    4 => world.clients[client].connection.update_keys(now).unwrap(),
                    6 => drop(world.server.renew_connection_id(now, session)),
                    _ => {}
                }
                world.pump();
                world.run(20_000);
                world.clients[client].connection.save().unwrap();
                world.exchange(client, &[round]);
                assert_eq!(world.received().last().unwrap(), &[round], "{what}");
                assert_eq!(world.clients[client].data().last().unwrap(), &[round], "{what}");
            }
            assert!(world.server.lease(session).unwrap() >> 48 > 3, "{what}: the keys have changed");
            assert!(wake(&mut world, client, &config, b"awake").len() == 1, "{what}");
        }
    }
}

#[test]
fn bad_weather_only_delays_them() {
    for seed in 0..40 {
        let mut world = World::new(seed, ROUGH, sealed_routes());
        let config = config(3);
        let client = world.connect(config.clone());
        world.run(400_000);
        if !world.clients[client].connection.is_connected() {
            continue;
        }
        for round in 0..12_u8 {
            let saved = world.clients[client].connection.save().unwrap();
            let now = world.instant();
            world.clients[client].connection = Connection::resume(config.clone(), saved, now).unwrap();
            world.clients[client].connection.save().unwrap();
            world.exchange(client, &[round; 20]);
            if round % 4 == 3 {
                world.restart();
            }
            assert!(world.clients[client].closed().is_none(), "seed {seed}: {:?}", world.clients[client].events);
        }
        world.weather = CALM;
        world.run(120_000);
        let mut seen = wake(&mut world, client, &config, b"calm");
        for round in 0..6_u8 {
            seen.extend(wake(&mut world, client, &config, &[round]));
        }
        assert!(seen.len() >= 6, "seed {seed}: {} of 7", seen.len());
    }
}

/// What a fresh Connection ID for each wake-up costs, in bytes of UDP payload.
#[test]
fn what_they_cost() {
    let cost = |count: u8| {
        let mut world = World::calm(sealed_routes());
        let config = config(count);
        let client = world.connected(config.clone());
        wake(&mut world, client, &config, b"settle");
        let from = world.tape.len();
        for _ in 0..12 {
            wake(&mut world, client, &config, b"17.5 m3");
        }
        let bytes: usize = world.tape.iter().skip(from).map(|(.., data)| data.len()).sum();
        (bytes / 12, (world.tape.len() - from) as f64 / 12.0)
    };
    let costs = [0, 1, 4].map(cost);
    println!("bytes and datagrams of a wake-up: {costs:?}");
    assert!(costs[0].0 < costs[2].0 && costs[2].0 < costs[1].0, "{costs:?}");
    assert!(costs[1].0 - costs[0].0 <= 180 && costs[2].0 - costs[0].0 <= 80, "{costs:?}");
}
