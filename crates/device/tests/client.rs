//! The whole client against a real DTLS server and a CoAP peer behind it, over a network in virtual time.

#![allow(clippy::unwrap_used, reason = "a test that cannot go on says where")]

mod world;

use bartizan_device::{Client, ClientEvent, Code, Failure, Instant, Observe, Reply, Request};
use bartizan_dtls::{CipherSuite, Version, Versions};
use world::{World, config, rng};

fn responses(events: &[ClientEvent]) -> Vec<Code> {
    let code = |event: &ClientEvent| match event {
        ClientEvent::Response { code, .. } => Some(*code),
        _ => None,
    };
    events.iter().filter_map(code).collect()
}

fn report() -> Request {
    Request::post("/meter/volume", 50, br#"{"litres":3}"#)
}

#[test]
fn a_meter_connects_and_reports_over_every_suite() {
    let newer = CipherSuite::ALL.into_iter().filter(|suite| suite.version() == Version::Dtls13);
    for suite in newer.chain(CipherSuite::PSK_DTLS_1_2) {
        let mut world = World::new();
        world.config.dtls.versions = Versions { min: suite.version(), max: suite.version() };
        world.config.dtls.suites = vec![suite];
        let mut client = world.connect();
        client.request(world.now, report()).unwrap();
        let events = world.run(&mut client);
        assert_eq!(events.first(), Some(&ClientEvent::Connected { suite, connection_id: true }));
        assert_eq!(responses(&events), [Code::CHANGED]);
        assert_eq!(world.gateway.taken, [("/meter/volume".to_owned(), br#"{"litres":3}"#.to_vec())]);
        assert!(client.is_idle());
    }
}

/// The point of a Connection ID (RFC 9146): awake, one datagram each way, asleep, from any address.
#[test]
fn a_wake_up_costs_one_datagram_each_way_from_any_address() {
    for mut world in World::of_each_version() {
        let mut client = world.connect();
        world.run(&mut client);
        let mut saved = client.sleep().unwrap();
        for port in [4001, 4002, 4003] {
            world.address.set_port(port);
            world.now = world.now.plus(3_600_000);
            let (mut client, _keep) = Client::wake(world.config.clone(), &saved, world.now, &mut rng(7)).unwrap();
            world.count = [0, 0];
            client.request(world.now, report()).unwrap();
            assert_eq!(responses(&world.run(&mut client)), [Code::CHANGED]);
            assert_eq!(world.count, [1, 1]);
            saved = client.sleep().unwrap();
        }
    }
}

/// What a device has saved is of one version; with the other it connects anew.
#[test]
fn a_device_that_learns_dtls_1_3_does_not_wake_an_association_of_dtls_1_2() {
    let [mut older, newer, _] = World::of_each_version();
    let mut client = older.connect();
    older.run(&mut client);
    let saved = client.sleep().unwrap();
    assert!(Client::wake(newer.config.clone(), &saved, older.now, &mut rng(7)).is_err());
    older.config = newer.config;
    let mut client = older.connect();
    client.request(older.now, report()).unwrap();
    assert_eq!(responses(&older.run(&mut client)), [Code::CHANGED]);
}

#[test]
fn no_sequence_number_comes_twice_though_the_device_crashes_at_every_wake_up() {
    for (place, mut world) in World::of_each_version().into_iter().enumerate() {
        let mut client = world.connect();
        world.run(&mut client);
        let mut saved = client.sleep().unwrap();
        for _ in 0..5 {
            let (mut client, keep) = Client::wake(world.config.clone(), &saved, world.now, &mut rng(7)).unwrap();
            client.request(world.now, report()).unwrap();
            world.run(&mut client);
            // Power fails before `sleep`: all that is left is what was kept before the first datagram.
            saved = keep;
        }
        assert_eq!(world.gateway.taken.len(), 5, "each report arrived");
        assert_eq!(world.gateway.replayed, 0, "and none was taken for a repetition");
        let sequences = &world.protected_sequences;
        let distinct: std::collections::BTreeSet<_> = sequences.iter().collect();
        assert!(sequences.len() >= 5 || place > 0, "DTLS 1.3 hides them");
        assert_eq!(distinct.len(), sequences.len());
    }
}

/// The oracle of the test above does see a number that is used twice.
#[test]
fn a_device_woken_twice_from_the_same_bytes_is_taken_for_a_repetition() {
    for mut world in World::of_each_version() {
        let mut client = world.connect();
        world.run(&mut client);
        let saved = client.sleep().unwrap();
        for _ in 0..2 {
            let (mut client, _keep) = Client::wake(world.config.clone(), &saved, world.now, &mut rng(7)).unwrap();
            client.request(world.now, Request { confirmable: false, ..report() }).unwrap();
            world.run(&mut client);
        }
        assert!(world.gateway.replayed > 0);
    }
}

/// "No device stranded behind an unknown CID."
#[test]
fn a_gateway_that_forgot_everything_is_found_again_by_itself() {
    for mut world in World::of_each_version() {
        let mut client = world.connect();
        world.run(&mut client);
        let saved = client.sleep().unwrap();
        world.forget_gateway();

        let (mut client, _keep) = Client::wake(world.config.clone(), &saved, world.now, &mut rng(7)).unwrap();
        client.request(world.now, report()).unwrap();
        let events = world.run(&mut client);
        assert_eq!(responses(&events), [Code::CHANGED], "{events:?}");
        assert!(matches!(events[0], ClientEvent::Connected { .. }));
        assert_eq!(world.gateway.taken.len(), 1);
        assert!(world.now.as_millis() < 60_000, "after {} ms", world.now.as_millis());
    }
}

#[test]
fn a_report_sent_once_finds_the_gateway_again_too() {
    let mut world = World::new();
    let mut client = world.connect();
    world.run(&mut client);
    let saved = client.sleep().unwrap();
    world.forget_gateway();
    let (mut client, _keep) = Client::wake(world.config.clone(), &saved, world.now, &mut rng(7)).unwrap();
    client.request(world.now, Request { confirmable: false, ..report() }).unwrap();
    assert_eq!(responses(&world.run(&mut client)), [Code::CHANGED]);
}

#[test]
fn an_unreachable_gateway_is_tried_at_growing_distances_and_then_given_up() {
    let mut world = World::new();
    world.unplugged = true;
    let mut client = world.connect();
    let request = client.request(world.now, report()).unwrap();
    let events = world.run(&mut client);
    let retries: Vec<_> = events
        .iter()
        .filter_map(|event| match event {
            ClientEvent::Disconnected { retry_at, .. } => Some(*retry_at),
            _ => None,
        })
        .collect();
    assert_eq!(retries.len(), usize::from(world.config.handshakes_max));
    assert_eq!(retries.last(), Some(&None), "nothing waits any more, so nothing is tried");
    assert!(events.contains(&ClientEvent::Failed { request, reason: Failure::Unreachable }));

    world.unplugged = false;
    world.now = world.now.plus(3_600_000);
    client.request(world.now, report()).unwrap();
    assert_eq!(responses(&world.run(&mut client)), [Code::CHANGED]);
}

#[test]
fn a_wrong_key_never_connects() {
    let mut world = World::new();
    world.config.dtls.psk = bartizan_device::SecretBytes::new(b"another sixteen bytes").unwrap();
    let mut client = world.connect();
    let request = client.request(world.now, report()).unwrap();
    let events = world.run(&mut client);
    assert!(events.contains(&ClientEvent::Failed { request, reason: Failure::Unreachable }));
    assert!(!events.iter().any(|event| matches!(event, ClientEvent::Connected { .. })));
    assert_eq!(world.gateway.taken, []);
}

#[test]
fn a_command_reaches_the_device_and_its_answer_the_gateway() {
    let mut world = World::new();
    let mut client = world.connect();
    world.run(&mut client);
    world.gateway.ask(Request { method: Code::PUT, ..Request::post("/valve?to=half", 0, b"open") });
    let events = world.run(&mut client);
    let [ClientEvent::Command(command)] = &events[..] else {
        panic!("{events:?}");
    };
    assert_eq!((&command.path[..], &command.payload[..]), ("/valve?to=half", &b"open"[..]));
    client.respond(world.now, command.id, &Reply::new(Code::CHANGED)).unwrap();
    world.run(&mut client);
    assert_eq!(responses(&world.gateway.heard), [Code::CHANGED]);
}

#[test]
fn an_observation_of_the_gateway_survives_the_devices_sleep() {
    let mut world = World::new();
    let mut client = world.connect();
    world.run(&mut client);
    world.gateway.observe("/3303/0/5700");
    let events = world.run(&mut client);
    let [ClientEvent::Command(command)] = &events[..] else {
        panic!("{events:?}");
    };
    assert_eq!(command.observe, Some(Observe::Register));
    let observer = command.id;
    client.respond(world.now, observer, &Reply::content(0, b"20")).unwrap();
    world.run(&mut client);

    let saved = client.sleep().unwrap();
    world.now = world.now.plus(3_600_000);
    let (mut client, _keep) = Client::wake(world.config.clone(), &saved, world.now, &mut rng(7)).unwrap();
    client.notify(world.now, observer, &Reply::content(0, b"21"), false).unwrap();
    world.run(&mut client);
    let told: Vec<_> = world
        .gateway
        .heard
        .iter()
        .filter_map(|event| match event {
            ClientEvent::Notification { payload, .. } => Some(&payload[..]),
            _ => None,
        })
        .collect();
    assert_eq!(told, [b"20", b"21"]);
}

#[test]
fn an_observation_of_the_device_survives_its_sleep_and_a_new_association() {
    let mut world = World::new();
    let mut client = world.connect();
    let price = client.observe(world.now, "/price").unwrap();
    world.run(&mut client);
    assert!(client.is_idle());
    let (mut client, _keep) =
        Client::wake(world.config.clone(), &client.sleep().unwrap(), world.now, &mut rng(7)).unwrap();
    world.gateway.tell(world.now, b"12");
    let told = |events: &[ClientEvent], wanted: &[u8]| {
        events.iter().any(|event| {
            matches!(event, ClientEvent::Notification { request, payload, .. } if *request == price && payload == wanted)
        })
    };
    assert!(told(&world.run(&mut client), b"12"));

    world.forget_gateway();
    client.request(world.now, report()).unwrap();
    assert_eq!(responses(&world.run(&mut client)), [Code::CHANGED]);
    world.gateway.tell(world.now, b"13");
    assert!(told(&world.run(&mut client), b"13"), "registered again by itself");
}

#[test]
fn damaged_and_foreign_bytes_do_not_wake_a_client() {
    let mut world = World::new();
    let mut client = world.connect();
    world.run(&mut client);
    let saved = client.sleep().unwrap();
    let wake = |bytes: &[u8]| Client::wake(config(), bytes, Instant::from_millis(0), &mut rng(1)).map(drop);
    assert!(wake(&saved).is_ok());
    for cut in 0..saved.len() {
        assert!(wake(&saved[..cut]).is_err(), "cut at {cut}");
    }
    let mut other = saved.to_vec();
    other[0] ^= 1;
    assert!(wake(&other).is_err());
}

/// Everything at once: handshakes, reports, sleep and restarts of the gateway over a network that loses a
/// fifth of all datagrams. Reports may fail honestly; none is taken for another.
#[test]
fn a_season_on_a_bad_network() {
    for version in 0..3 {
        let (mut done, mut failed) = (0, 0);
        for seed in 0..20 {
            season(version, seed, &mut done, &mut failed);
        }
        assert!(done >= 190, "way {version}: {done} done, {failed} failed");
    }
}

fn season(version: usize, seed: u64, done: &mut usize, failed: &mut usize) {
    let mut world = World::of_each_version().into_iter().nth(version).unwrap();
    world.seed(seed);
    world.loss_percent = 20;
    let mut client = world.connect();
    for day in 0..10 {
        let payload = format!("{seed}/{day}");
        client.request(world.now, Request::post("/day", 0, payload.as_bytes())).unwrap();
        let events = world.run(&mut client);
        match responses(&events)[..] {
            [Code::CHANGED] => *done += 1,
            [] => *failed += 1,
            ref other => panic!("seed {seed}: {other:?}"),
        }
        if day % 4 == 3 {
            world.forget_gateway();
        }
        world.now = world.now.plus(86_400_000);
        client = match client.sleep() {
            Some(saved) => Client::wake(world.config.clone(), &saved, world.now, &mut rng(day)).unwrap().0,
            None => world.connect(),
        };
    }
    let mut taken: Vec<_> = world.gateway.taken.iter().map(|(_, payload)| payload.clone()).collect();
    taken.dedup();
    let distinct: std::collections::BTreeSet<_> = taken.iter().cloned().collect();
    assert_eq!(distinct.len(), taken.len(), "seed {seed}: {taken:?}");
}
