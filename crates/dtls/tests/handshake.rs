//! Client and server against each other: every suite, Connection IDs both ways, any weather.
#![allow(clippy::unwrap_used, reason = "tests")]

mod support;

use bartizan_crypto::{AWS_LC, RUSTCRYPTO};
use bartizan_dtls::*;
use support::*;

fn cids() -> [Option<ConnectionId>; 3] {
    [None, Some(ConnectionId::EMPTY), Some(ConnectionId::new(b"device-7").unwrap())]
}

#[test]
fn every_suite_with_and_without_connection_ids() {
    for suite in CipherSuite::PSK_DTLS_1_2 {
        for own_cid in cids() {
            for provider in [&RUSTCRYPTO, &AWS_LC] {
                let mut world = World::calm(server_config());
                let client = world.connected(ClientConfig { own_cid, provider, ..with_suite(suite) });
                let expected = ConnectionEvent::Connected { suite, peer_cid: own_cid.is_some() };
                assert_eq!(world.clients[client].events, [expected]);
                world.exchange(client, b"17.5 m3");
                assert_eq!(world.received(), [b"17.5 m3"]);
                assert_eq!(world.clients[client].data(), [b"17.5 m3"]);
                let session = world.session();
                let info = world.server.session(session).unwrap();
                assert_eq!((info.suite, info.principal), (suite, 1));
                let exporter = world.clients[client].connection.exporter();
                assert_eq!(exporter, Some(&info.exporter));
            }
        }
    }
}

#[test]
fn the_server_prefers_and_the_client_need_not_agree() {
    let config =
        EndpointConfig { suites: vec![CipherSuite::PskAes128GcmSha256, CipherSuite::PskAes128Ccm8], ..server_config() };
    let mut world = World::calm(config);
    world.connected(client_config("meter-1", 1));
    let info = world.server.session(world.session()).unwrap();
    assert_eq!(info.suite, CipherSuite::PskAes128GcmSha256);
}

//= test rfc6347#4.2.6-1
#[test]
fn any_weather_at_any_mtu() {
    for seed in 0..120 {
        let suite = CipherSuite::PSK_DTLS_1_2[seed as usize % 10];
        let mtu = [128, 200, 1200][seed as usize % 3];
        let own_cid = cids()[(seed as usize / 2) % 3];
        let config = EndpointConfig { mtu, ..server_config() };
        let mut world = World::new(seed, ROUGH, config);
        let client = world.connect(ClientConfig { own_cid, mtu, ..with_suite(suite) });
        world.run(400_000);
        let state = &world.clients[client];
        if !state.connection.is_connected() {
            // Seven transmissions of several datagrams can all be lost; the client must know.
            assert_eq!(state.closed(), Some(CloseReason::TimedOut), "seed {seed}");
            continue;
        }
        for number in 0..10_u8 {
            world.exchange(client, &[number; 20]);
        }
        let mut received = world.received();
        let total = received.len();
        received.sort();
        received.dedup();
        assert_eq!(received.len(), total, "seed {seed}: nothing arrives twice");
        assert!(total > 2, "seed {seed}: most arrive");
    }
}

#[test]
fn bad_weather_seldom_stops_a_handshake() {
    let connected = |seed: &u64| {
        let mut world = World::new(*seed, ROUGH, server_config());
        let client = world.connect(client_config("meter-1", 1));
        world.run(400_000);
        world.clients[client].connection.is_connected()
    };
    let count = (0..100).filter(connected).count();
    assert!(count >= 95, "{count} of 100");
}

//= test rfc6347#4.2.1-s4
//= test rfc6347#5-s1
#[test]
fn a_handshake_costs_few_bytes_and_the_cookie_round_does_not_amplify() {
    let mut world = World::calm(server_config());
    world.connected(with_suite(CipherSuite::PskAes128Ccm8));
    let sizes: Vec<_> = world.tape.iter().map(|(up, _, data)| (*up, data.len())).collect();
    assert_eq!(sizes.len(), 6, "{sizes:?}");
    assert!(sizes[1].1 <= sizes[0].1, "the answer is smaller than the question");
    let total: usize = sizes.iter().map(|(_, size)| size).sum();
    assert!(total < 650, "{total}");
}

//= test rfc6347#4.2.4-1
#[test]
fn a_repeated_finished_brings_the_servers_again() {
    let mut world = World::calm(server_config());
    let client = world.connect(client_config("meter-1", 1));
    // Everything the server says after the client's last flight is lost.
    world.run(45);
    world.weather.loss_percent = 100;
    world.run(1_000);
    let established = |event: &EndpointEvent| matches!(event, EndpointEvent::Established { .. });
    assert_eq!(world.count(established), 1);
    assert!(!world.clients[client].connection.is_connected());
    world.weather.loss_percent = 0;
    world.run(10_000);
    assert!(world.clients[client].connection.is_connected());
    world.exchange(client, b"hello");
    assert_eq!(world.clients[client].data(), [b"hello"]);
    assert_eq!(world.count(established), 1);
    let rejected = |event: &EndpointEvent| matches!(event, EndpointEvent::Rejected { .. });
    assert_eq!(world.count(rejected), 0, "{:?}", world.server_events);
}

//= test rfc6347#4.2.1-s3
#[test]
fn a_server_without_cookies_for_others_keeps_no_state() {
    let mut world = World::calm(server_config());
    world.weather.loss_percent = 100;
    for _ in 0..50 {
        world.connect(client_config("meter-1", 1));
    }
    let hellos: Vec<_> = world.tape.clone();
    for (_, from, data) in hellos {
        world.inject(from, &data);
    }
    assert_eq!(world.server.handshakes(), 0);
    assert_eq!(world.server_events, []);
}

#[test]
fn both_ends_say_goodbye() {
    let mut world = World::calm(server_config());
    let client = world.connected(client_config("meter-1", 1));
    let now = world.instant();
    world.clients[client].connection.close(now);
    world.pump();
    world.run(1_000);
    let by_peer = |event: &EndpointEvent| matches!(event, EndpointEvent::Closed { reason: CloseReason::Peer, .. });
    assert_eq!(world.count(by_peer), 1);
    assert_eq!(world.server.sessions().count(), 0);

    let client = world.connected(client_config("meter-2", 2));
    let session = world.session();
    world.server.close(now, session, AlertDescription::ACCESS_DENIED);
    world.pump();
    world.run(1_000);
    let reason = CloseReason::Alert(AlertDescription::ACCESS_DENIED);
    assert_eq!(world.clients[client].closed(), Some(reason));
}
