//! A device takes another key: over whichever association, whatever is lost, and however it crashes.

#![allow(clippy::unwrap_used, reason = "a test that cannot go on says where")]

#[allow(dead_code, reason = "each test binary uses its part")]
mod world;

use bartizan_device::{CipherSuite, Client, ClientEvent, Code, Psk, Request};
use bartizan_dtls::{SecretBytes, Version, Versions};
use world::{IDENTITY, World, psk, rng};

fn report() -> Request {
    Request::post("/meter/volume", 50, br#"{"litres":3}"#)
}

fn old() -> Psk {
    Psk { identity: IDENTITY.to_vec(), key: psk() }
}

fn new_key(events: &[ClientEvent]) -> Option<Psk> {
    events.iter().find_map(|event| match event {
        ClientEvent::NewKey { key, .. } => Some(key.clone()),
        _ => None,
    })
}

fn acknowledged(events: &[ClientEvent]) -> usize {
    events.iter().filter(|event| matches!(event, ClientEvent::Response { code: Code::CHANGED, .. })).count()
}

fn is_proven(events: &[ClientEvent]) -> bool {
    events.contains(&ClientEvent::KeyProven)
}

fn worlds() -> Vec<World> {
    let newer = CipherSuite::ALL.into_iter().filter(|suite| suite.version() == Version::Dtls13);
    let older = CipherSuite::PSK_DTLS_1_2.into_iter().filter(|suite| suite.is_ecdhe());
    let world = |suite: CipherSuite| {
        let mut world = World::new();
        world.config.dtls.versions = Versions { min: suite.version(), max: suite.version() };
        world.config.dtls.suites = vec![suite];
        world
    };
    newer.chain(older).map(world).collect()
}

#[test]
fn a_key_is_asked_for_used_and_proven_over_every_ephemeral_suite() {
    for mut world in worlds() {
        let mut client = world.connect();
        client.request_key(world.now, &[]).unwrap();
        let key = new_key(&world.run(&mut client)).expect("a key");
        assert_eq!(Some(&key), world.gateway.pending.as_ref());
        client.use_key(world.now, key.clone());
        client.request(world.now, report()).unwrap();
        let events = world.run(&mut client);
        assert!(is_proven(&events), "{events:?}");
        assert_eq!((acknowledged(&events), world.gateway.known.clone()), (1, vec![key]));
    }
}

#[test]
fn a_device_with_a_cheap_association_makes_one_that_is_worth_a_key() {
    let mut world = World::new();
    world.config.dtls.suites = vec![CipherSuite::PskAes128Ccm8];
    let mut client = world.connect();
    client.request(world.now, report()).unwrap();
    world.run(&mut client);
    let saved = client.sleep().unwrap();
    world.config.dtls.suites.push(CipherSuite::EcdhePskAes128Ccm8Sha256);
    let (mut client, _) = Client::wake(world.config.clone(), &saved, world.now, &mut rng(7)).unwrap();
    client.request_key(world.now, &[9; 16]).unwrap();
    let events = world.run(&mut client);
    assert!(
        events
            .iter()
            .any(|event| matches!(event, ClientEvent::Connected { suite: CipherSuite::EcdhePskAes128Ccm8Sha256, .. }))
    );
    assert!(new_key(&events).is_some(), "{events:?}");
    world.config.dtls.suites.truncate(1);
    let mut poor = world.connect();
    assert!(poor.request_key(world.now, &[]).is_err(), "it has no suite for that");
}

#[test]
fn a_refusal_is_told_as_it_is() {
    let mut world = World::new();
    world.gateway.refuse_keys = Some(Code::CONFLICT);
    let mut client = world.connect();
    client.request_key(world.now, &[]).unwrap();
    let events = world.run(&mut client);
    assert!(events.iter().any(|event| matches!(event, ClientEvent::Response { code: Code::CONFLICT, .. })));
}

#[test]
fn a_key_that_the_gateway_does_not_know_leads_back_to_the_old_one() {
    let mut world = World::new();
    let mut client = world.connect();
    world.run(&mut client);
    client.use_key(world.now, Psk { identity: b"elsewhere".to_vec(), key: SecretBytes::new(&[1; 32]).unwrap() });
    client.request(world.now, report()).unwrap();
    let events = world.run(&mut client);
    assert_eq!(acknowledged(&events), 1, "{events:?}");
    assert!(!is_proven(&events));
    client.request_key(world.now, &[]).unwrap();
    let key = new_key(&world.run(&mut client)).expect("a key");
    client.use_key(world.now, key);
    client.request(world.now, report()).unwrap();
    let events = world.run(&mut client);
    assert!(is_proven(&events) && acknowledged(&events) == 1, "{events:?}");
}

/// What the firmware has stored when it crashes, and what the gateway has heard by then.
#[test]
fn wherever_it_crashes_it_comes_back_with_one_of_its_keys() {
    for heard in [false, true] {
        let mut world = World::new();
        let mut client = world.connect();
        client.request_key(world.now, &[]).unwrap();
        let key = new_key(&world.run(&mut client)).expect("a key");
        if heard {
            client.use_key(world.now, key.clone());
            world.run(&mut client);
            assert_eq!(world.gateway.known, std::slice::from_ref(&key));
        }
        drop(client);
        // It has stored both, and knows no more.
        world.config.fallback = Some(old());
        world.config.dtls.identity.clone_from(&key.identity);
        world.config.dtls.psk = key.key;
        let mut client = world.connect();
        client.request(world.now, report()).unwrap();
        let events = world.run(&mut client);
        assert!(is_proven(&events) && acknowledged(&events) == 1, "{events:?}");
        // Before it was stored, only the old one is there.
        if !heard {
            let mut world = World::new();
            let mut client = world.connect();
            client.request_key(world.now, &[]).unwrap();
            world.run(&mut client);
            let mut client: Client = world.connect();
            client.request(world.now, report()).unwrap();
            assert_eq!(acknowledged(&world.run(&mut client)), 1);
        }
    }
}

#[test]
fn keys_change_over_a_network_that_loses_a_third() {
    for seed in 0..12 {
        let mut world = World::new();
        world.seed(seed);
        world.loss_percent = 33;
        let mut client = world.connect();
        let mut changes = 0;
        for _ in 0..40 {
            if client.request_key(world.now, &[]).is_err() {
                continue;
            }
            let Some(key) = new_key(&world.run(&mut client)) else { continue };
            client.use_key(world.now, key);
            client.request(world.now, report()).unwrap();
            changes += usize::from(is_proven(&world.run(&mut client)));
            if changes == 3 {
                break;
            }
        }
        assert_eq!(changes, 3, "seed {seed}");
    }
}
