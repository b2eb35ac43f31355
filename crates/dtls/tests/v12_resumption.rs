//! Sessions of DTLS 1.2 that go on by id or ticket: with whom, for how long, and against whose wish.
#![allow(clippy::unwrap_used, reason = "tests")]

mod support;

use bartizan_dtls::*;
use support::people::*;
use support::*;

const HOUR_MS: u64 = 3_600_000;

fn policies() -> [Resumption; 2] {
    [Resumption::SessionIds { sessions_max: 8, lifetime_ms: HOUR_MS }, Resumption::Tickets { lifetime_ms: HOUR_MS }]
}

fn servers() -> Vec<EndpointConfig> {
    let config = |resumption| EndpointConfig { resumption, ..usual().0 };
    policies().into_iter().map(config).collect()
}

/// One client with a key and one with a certificate.
fn clients() -> Vec<ClientConfig> {
    let ask = |config| ClientConfig { resumption: ClientResumption::Ask, ..config };
    vec![ask(client_config("meter-1", 1)), ask(usual().1)]
}

fn offering(config: &ClientConfig, session: &ResumableSession) -> ClientConfig {
    ClientConfig { resumption: ClientResumption::Offer(session.clone()), ..config.clone() }
}

/// A world in which a client has connected, and the session that it may resume.
fn world_with_session(server: &EndpointConfig, client: &ClientConfig) -> (World, ResumableSession) {
    let mut world = World::calm(server.clone());
    let index = world.connected(client.clone());
    world.exchange(index, b"first");
    assert!(!world.clients[index].connection.is_resumed());
    let session = world.clients[index].connection.resumable().unwrap().clone();
    (world, session)
}

fn requests(world: &World) -> Vec<u64> {
    let principal = |event: &EndpointEvent| match event {
        EndpointEvent::ResumptionRequested { principal, .. } => Some(*principal),
        _ => None,
    };
    world.server_events.iter().filter_map(principal).collect()
}

#[test]
fn a_session_goes_on_with_the_same_principal_and_fresh_keys() {
    for server in servers() {
        for client in clients() {
            for own_cid in [None, Some(ConnectionId::EMPTY), ConnectionId::new(b"device-7")] {
                let client = ClientConfig { own_cid, ..client.clone() };
                let (mut world, session) = world_with_session(&server, &client);
                let old = world.session();
                let before = world.server.session(old).unwrap();
                let first_bytes: usize = world.tape.iter().map(|(_, _, data)| data.len()).sum();
                let mark = world.tape.len();
                let stored = ResumableSession::from_bytes(&session.to_bytes()).unwrap();
                let index = world.connected(offering(&client, &stored));
                let connection = &world.clients[index].connection;
                assert!(connection.is_resumed());
                assert_eq!(connection.peer(), world.clients[0].connection.peer());
                let bytes: usize = world.tape[mark..].iter().map(|(_, _, data)| data.len()).sum();
                assert!(bytes < first_bytes, "{bytes} < {first_bytes}");
                world.exchange(index, b"second");
                assert_eq!(world.clients[index].data(), [b"second"]);
                let new = world.session();
                let after = world.server.session(new).unwrap();
                assert_ne!(old, new, "the new association has taken the place of the old one");
                assert_eq!((after.principal, after.suite), (before.principal, before.suite));
                assert_eq!((after.principal, after.authentication), (1, before.authentication));
                assert_ne!(after.exporter, before.exporter, "the exporter is fresh");
                assert_eq!(world.clients[index].connection.exporter(), Some(&after.exporter));
                assert_eq!(requests(&world), [1]);
                // And once more, with what the second handshake left.
                let again = world.clients[index].connection.resumable().unwrap().clone();
                let index = world.connected(offering(&client, &again));
                assert!(world.clients[index].connection.is_resumed());
            }
        }
    }
}

#[test]
fn without_being_asked_for_nothing_can_be_resumed() {
    let mut world = World::calm(usual().0);
    let index = world.connected(clients()[1].clone());
    assert!(world.clients[index].connection.resumable().is_none(), "the server is off");
    for server in servers() {
        let mut world = World::calm(server);
        let index = world.connected(usual().1);
        assert!(world.clients[index].connection.resumable().is_none(), "the client is off");
    }
}

#[test]
fn a_principal_that_is_gone_must_show_itself_again() {
    for server in servers() {
        for client in clients() {
            let (mut world, session) = world_with_session(&server, &client);
            world.gone.insert(1);
            let index = world.connected(offering(&client, &session));
            assert!(!world.clients[index].connection.is_resumed(), "a full handshake");
            assert_eq!(requests(&world), [1]);
            // With a key that has been withdrawn the full handshake does not succeed either.
            world.keys.clear();
            if client.identity.is_empty() {
                continue;
            }
            let index = world.connect(offering(&client, &session));
            world.run(300_000);
            assert!(!world.clients[index].connection.is_connected());
        }
    }
}

#[test]
fn old_and_foreign_sessions_lead_to_full_handshakes() {
    for server in servers() {
        for client in clients() {
            let (mut world, session) = world_with_session(&server, &client);
            world.pass(HOUR_MS);
            let index = world.connected(offering(&client, &session));
            assert!(!world.clients[index].connection.is_resumed(), "too old");
            let session = world.clients[index].connection.resumable().unwrap().clone();
            world.restart();
            let index = world.connected(offering(&client, &session));
            assert!(!world.clients[index].connection.is_resumed(), "the endpoint's memory and keys are new");
            assert_eq!(requests(&world), []);
        }
    }
}

#[test]
fn a_name_without_its_secret_gets_nobody_in() {
    for server in servers() {
        for client in clients() {
            let (mut world, session) = world_with_session(&server, &client);
            // The name stands in the clear; the secret does not. (Bytes 3 to 51 are the secret.)
            let mut stolen = session.to_bytes();
            stolen[3..51].fill(7);
            let thief = offering(&client, &ResumableSession::from_bytes(&stolen).unwrap());
            let index = world.connect(thief);
            world.run(300_000);
            assert!(!world.clients[index].connection.is_connected());
            assert_eq!(world.server.sessions().count(), 1, "the owner's association is as it was");
            world.exchange(0, b"still here");
            assert_eq!(world.received().last().unwrap(), b"still here");
        }
    }
}

#[test]
fn somebody_elses_ticket_does_not_make_you_somebody_else() {
    for server in servers() {
        let client =
            |n: u8| ClientConfig { resumption: ClientResumption::Ask, ..client_config(&format!("meter-{n}"), n) };
        let (mut world, theirs) = world_with_session(&server, &client(2));
        let own = world.connected(client(1));
        let own = world.clients[own].connection.resumable().unwrap().clone();
        // The name of theirs with the secret of ours.
        let (theirs, own) = (theirs.to_bytes(), own.to_bytes());
        let mixed = [&own[..51], &theirs[51..]].concat();
        let index = world.connect(offering(&client(1), &ResumableSession::from_bytes(&mixed).unwrap()));
        world.run(300_000);
        assert!(!world.clients[index].connection.is_connected());
        let principals = world.server.sessions().map(|session| world.server.session(session).unwrap().principal);
        assert_eq!(principals.collect::<Vec<_>>(), [2, 1]);
    }
}

#[test]
fn a_ticket_with_a_bit_changed_leads_to_a_full_handshake() {
    let (server, client) = (&servers()[1], &clients()[1]);
    let (mut world, session) = world_with_session(server, client);
    let bytes = session.to_bytes();
    for at in [bytes.len() - 1, bytes.len() - 40, bytes.len() - 80, bytes.len() - 99] {
        let mut changed = bytes.clone();
        changed[at] ^= 1;
        let index = world.connected(offering(client, &ResumableSession::from_bytes(&changed).unwrap()));
        assert!(!world.clients[index].connection.is_resumed());
    }
    assert_eq!(requests(&world), []);
}

/// Whoever recorded a resumption can send its hello again, and get a handshake that nobody finishes.
#[test]
fn a_replayed_resumption_establishes_nothing() {
    for server in servers() {
        let client = clients()[0].clone();
        let (mut world, session) = world_with_session(&server, &client);
        let mark = world.tape.len();
        let index = world.connected(offering(&client, &session));
        world.exchange(index, b"x");
        let recorded: Vec<_> = world.tape[mark..].iter().filter(|(up, ..)| *up).cloned().collect();
        let established = |world: &World| world.count(|event| matches!(event, EndpointEvent::Establishing { .. }));
        let before = established(&world);
        for (_, from, data) in recorded {
            world.inject(from, &data);
            world.inject(address(9), &data);
        }
        world.run(300_000);
        assert_eq!(established(&world), before);
        assert_eq!(world.received().len(), 2, "nothing is delivered twice");
        world.exchange(index, b"y");
        assert_eq!(world.received().last().unwrap(), b"y");
    }
}

#[test]
fn resumption_in_any_weather() {
    let mut resumed = 0;
    for seed in 0..60 {
        let server = servers()[seed as usize % 2].clone();
        let client = clients()[seed as usize / 2 % 2].clone();
        let own_cid = [None, Some(ConnectionId::EMPTY), ConnectionId::new(b"device-7")][seed as usize % 3];
        let client = ClientConfig { own_cid, ..client };
        let mut world = World::new(seed, CALM, server);
        let first = world.connected(client.clone());
        let session = world.clients[first].connection.resumable().unwrap().clone();
        world.weather = ROUGH;
        let index = world.connect(offering(&client, &session));
        world.run(400_000);
        if !world.clients[index].connection.is_connected() {
            assert_eq!(world.clients[index].closed(), Some(CloseReason::TimedOut), "seed {seed}");
            continue;
        }
        resumed += usize::from(world.clients[index].connection.is_resumed());
        world.weather = CALM;
        world.exchange(index, b"one");
        world.exchange(index, b"two");
        assert_eq!(world.clients[index].data(), [b"one", b"two"], "seed {seed}");
    }
    assert!(resumed >= 55, "{resumed} of 60");
}

/// The last word is the client's: if it is lost, the server asks again.
#[test]
fn a_lost_last_flight_comes_again() {
    for server in servers() {
        let client = clients()[0].clone();
        let (mut world, session) = world_with_session(&server, &client);
        let mark = world.tape.len();
        world.meddle = Some(Box::new(move |number, data: &mut Vec<u8>| {
            // Hello, request, hello, the server's flight, and then the client's.
            if number == mark + 4 {
                data.clear();
            }
        }));
        let index = world.connected(offering(&client, &session));
        let established = |world: &World| world.count(|event| matches!(event, EndpointEvent::Established { .. }));
        assert_eq!(established(&world), 2);
        world.exchange(index, b"second");
        assert_eq!(world.clients[index].data(), [b"second"]);
    }
}

#[test]
fn a_session_that_ended_badly_is_not_resumed() {
    let (server, client) = (&servers()[0], &clients()[0]);
    for (why, resumed) in [(AlertDescription::CLOSE_NOTIFY, true), (AlertDescription::ACCESS_DENIED, false)] {
        let (mut world, session) = world_with_session(server, client);
        let (now, old) = (world.instant(), world.session());
        world.server.close(now, old, why);
        world.pump();
        let index = world.connected(offering(client, &session));
        assert_eq!(world.clients[index].connection.is_resumed(), resumed);
    }
}

#[test]
fn the_cache_forgets_the_oldest() {
    let resumption = Resumption::SessionIds { sessions_max: 2, lifetime_ms: HOUR_MS };
    let server = EndpointConfig { resumption, ..server_config() };
    let client = |n: u8| ClientConfig { resumption: ClientResumption::Ask, ..client_config(&format!("meter-{n}"), n) };
    let (mut world, first) = world_with_session(&server, &client(1));
    let sessions: Vec<_> = [2, 3]
        .map(|n| {
            let index = world.connected(client(n));
            world.clients[index].connection.resumable().unwrap().clone()
        })
        .into();
    let mut is_resumed = |n: u8, session: &ResumableSession| {
        let index = world.connected(offering(&client(n), session));
        world.clients[index].connection.is_resumed()
    };
    assert!(is_resumed(3, &sessions[1]));
    assert!(is_resumed(2, &sessions[0]));
    assert!(!is_resumed(1, &first));
}

/// The same clients with both versions to offer.
fn of_both_versions(config: &ClientConfig) -> ClientConfig {
    let suites = CipherSuite::ALL.to_vec();
    ClientConfig { versions: Versions::BOTH, suites, groups: vec![Group::X25519, Group::Secp256r1], ..config.clone() }
}

//= test rfc9147#5.3-2
#[test]
fn a_client_of_both_versions_offers_its_session_in_the_hello_of_both() {
    for server in servers() {
        for client in clients() {
            let client = of_both_versions(&client);
            let only_1_2 = EndpointConfig { versions: Versions::DTLS_1_2, ..server.clone() };
            let (mut world, mut session) = world_with_session(&only_1_2, &client);
            for round in 0..2 {
                let index = world.connected(offering(&client, &session));
                let connection = &world.clients[index].connection;
                assert!(connection.is_resumed());
                assert_eq!(connection.peer(), world.clients[0].connection.peer());
                session = connection.resumable().unwrap().clone();
                world.exchange(index, b"again");
                assert_eq!(world.clients[index].data(), [b"again"]);
                assert_eq!(requests(&world).len(), 1 + round);
            }
            world.gone.insert(1);
            let index = world.connected(offering(&client, &session));
            assert!(!world.clients[index].connection.is_resumed(), "a full handshake of DTLS 1.2");
        }
    }
}

/// RFC 9147 section 5: it does not say the session id again, and the handshake is like any other.
#[test]
fn a_server_of_dtls_1_3_pays_no_heed_to_the_session() {
    for server in servers() {
        for client in clients() {
            let (mut world, session) = world_with_session(&server, &client);
            for own_cid in [None, ConnectionId::new(b"device-7")] {
                let mark = world.tape.len();
                let client = ClientConfig { own_cid, ..of_both_versions(&client) };
                let index = world.connected(offering(&client, &session));
                let hello = &world.tape[mark].2;
                assert_eq!(hello[13 + 12 + 34], 32, "the session's id, or one for its ticket");
                assert!(!world.clients[index].connection.is_resumed());
                assert!(world.clients[index].connection.resumable().is_none());
                world.exchange(index, b"again");
                assert_eq!(world.clients[index].data(), [b"again"]);
                let info = world.server.session(world.session()).unwrap();
                assert_eq!((info.suite.version(), info.principal), (Version::Dtls13, 1));
                assert!(requests(&world).is_empty());
            }
        }
    }
}

#[test]
fn sessions_in_the_hello_of_both_versions_in_any_weather() {
    let mut together = 0;
    for seed in 0..40 {
        let versions = [Versions::DTLS_1_2, Versions::BOTH][seed as usize % 2];
        let server = EndpointConfig { versions, ..servers().remove(seed as usize / 2 % 2) };
        let (mut world, session) = world_with_session(&server, &clients()[seed as usize / 4 % 2]);
        world.weather = ROUGH;
        world.rng = Rng(seed);
        let client = of_both_versions(&clients()[seed as usize / 4 % 2]);
        let index = world.connect(offering(&client, &session));
        world.run(600_000);
        let state = &world.clients[index];
        if !state.connection.is_connected() {
            assert_eq!(state.closed(), Some(CloseReason::TimedOut), "seed {seed}");
            continue;
        }
        together += 1;
        assert_eq!(state.connection.is_resumed(), versions == Versions::DTLS_1_2, "seed {seed}");
        world.weather = CALM;
        world.exchange(index, b"again");
        assert!(world.clients[index].data().contains(&b"again".to_vec()), "seed {seed}");
    }
    assert!(together >= 35, "{together} of 40");
}

/// A hello has one datagram. What does not fit is not offered, and nothing else is lost.
#[test]
fn a_session_that_is_too_long_for_the_hello_is_left_out() {
    let tickets = EndpointConfig { versions: Versions::DTLS_1_2, ..servers().remove(1) };
    let client = of_both_versions(&clients()[1]);
    let (mut world, session) = world_with_session(&tickets, &client);
    let mut outcomes = Vec::new();
    for mtu in 300..700 {
        let Ok(_) = Connection::connect(ClientConfig { mtu, ..client.clone() }, Instant::from_millis(1), &mut Rng(1))
        else {
            continue;
        };
        let mark = world.tape.len();
        let index = world.connected(ClientConfig { mtu, ..offering(&client, &session) });
        assert!(world.tape[mark].2.len() <= mtu);
        outcomes.push(world.clients[index].connection.is_resumed());
    }
    outcomes.dedup();
    assert_eq!(outcomes, [false, true]);
}
