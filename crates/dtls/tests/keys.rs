//! Which of a principal's keys a handshake was made with, and whether it has an ephemeral exchange.
#![allow(clippy::unwrap_used, reason = "tests")]

mod support;

use bartizan_dtls::*;
use support::*;

/// Of DTLS 1.3, with a group and without; of DTLS 1.2, every suite with a pre-shared key.
fn configs() -> Vec<(ClientConfig, bool)> {
    let newer = |groups: Vec<Group>| ClientConfig {
        versions: Versions::DTLS_1_3,
        suites: vec![CipherSuite::Aes128Ccm8Sha256],
        groups,
        ..client_config("meter-1", 1)
    };
    let older = |suite: CipherSuite| ClientConfig { suites: vec![suite], ..client_config("meter-1", 1) };
    let older = CipherSuite::PSK_DTLS_1_2.into_iter().map(|suite| (older(suite), suite.is_ecdhe()));
    older.chain([(newer(vec![]), false), (newer(Group::CLASSICAL.to_vec()), true)]).collect()
}

#[test]
fn the_key_s_number_comes_back_when_the_client_has_proved_it() {
    for (config, _) in configs() {
        let mut world = World::calm(server_config());
        world.connected(config);
        let tags: Vec<_> = world.server_events.iter().filter_map(tag_of).collect();
        let (_, principal) = world.keys[&b"meter-1".to_vec()].clone();
        assert_eq!(tags, [u32::try_from(principal).unwrap() + 1_000]);
    }
}

fn tag_of(event: &EndpointEvent) -> Option<u32> {
    match event {
        EndpointEvent::Establishing { tag, .. } => Some(*tag),
        _ => None,
    }
}

#[test]
fn an_ephemeral_exchange_is_told_over_a_restart_too() {
    for (config, ephemeral) in configs() {
        let suite = config.suites.clone();
        let mut world = World::calm(server_config());
        world.connected(config);
        for _ in 0..2 {
            let session = world.server.sessions().next().unwrap();
            assert_eq!(world.server.session(session).unwrap().forward_secret, ephemeral, "{suite:?}");
            world.restart();
        }
    }
}
