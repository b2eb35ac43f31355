//! Peers that move, peers that seem to move, and what may go where until that is known (RFC 9853, RFC 9146 section 6).
#![allow(clippy::unwrap_used, reason = "tests")]

mod support;

use std::net::SocketAddr;

use bartizan_dtls::*;
use bartizan_wire::event::RecordRejection;
use support::*;

const LONG: [u8; 500] = [7; 500];

fn without_check() -> ClientConfig {
    ClientConfig { rrc: false, ..client_config("meter-1", 1) }
}

/// Both versions.
fn checked() -> [ClientConfig; 2] {
    let old = client_config("meter-1", 1);
    let suites = vec![CipherSuite::Aes128GcmSha256];
    [old.clone(), ClientConfig { versions: Versions::DTLS_1_3, suites, ..old }]
}

fn enhanced() -> EndpointConfig {
    EndpointConfig { path_check: PathCheck::Enhanced, ..server_config() }
}

/// A world with one connected client that has said something, and whose server says nothing by itself.
fn quiet(config: EndpointConfig, client: ClientConfig) -> (World, usize) {
    let mut world = World::calm(config);
    world.echo = false;
    let client = world.connected(client);
    world.exchange(client, b"hello");
    (world, client)
}

/// A record of the client's that has not left for the network yet.
fn caught(world: &mut World, client: usize, data: &[u8]) -> Vec<u8> {
    let now = world.instant();
    let connection = &mut world.clients[client].connection;
    connection.send(now, data).unwrap();
    connection.poll_transmit(now).unwrap()
}

fn server_sends(world: &mut World, data: &[u8]) -> Result<(), Error> {
    let (now, session) = (world.instant(), world.session());
    let sent = world.server.send(now, session, data);
    world.pump();
    sent
}

fn remote(world: &World) -> SocketAddr {
    world.server.session(world.session()).unwrap().remote
}

fn outcomes(world: &World) -> Vec<(SocketAddr, PathOutcome)> {
    let outcome = |event: &EndpointEvent| match event {
        EndpointEvent::PathChecked { address, outcome, .. } => Some((*address, *outcome)),
        _ => None,
    };
    world.server_events.iter().filter_map(outcome).collect()
}

fn bytes_to(world: &World, to: SocketAddr) -> usize {
    world.tape.iter().filter(|(up, client, _)| !up && *client == to).map(|(.., data)| data.len()).sum()
}

#[test]
fn a_sleeper_gets_its_answer_at_every_new_address_and_pays_for_nothing_else() {
    for config in [client_config("meter-1", 1), without_check()] {
        let mut world = World::calm(server_config());
        let client = world.connected(config);
        world.tape.clear();
        for night in 0..20 {
            world.rebind(client, 20_000 + night);
            world.exchange(client, b"17.5 m3");
            world.pass(60_000);
        }
        assert_eq!(world.clients[client].data().len(), 20);
        assert_eq!(world.tape.len(), 40, "one datagram up and one down a night");
        assert!(outcomes(&world).is_empty());
    }
}

//= test rfc9853#4-1
//= test rfc9853#5.2-1
//= test rfc9853#5.4-1
//= test rfc9853#5.4-2
#[test]
fn a_long_answer_waits_for_one_question() {
    for config in checked() {
        let (mut world, client) = quiet(server_config(), config);
        world.rebind(client, 4_242);
        world.exchange(client, b"what now?");
        let before = world.tape.len();
        server_sends(&mut world, &LONG).unwrap();
        assert!(bytes_to(&world, address(4_242)) < 100, "only a challenge");
        world.run(1_000);
        assert_eq!(world.clients[client].data(), [LONG]);
        assert_eq!(outcomes(&world), [(address(4_242), PathOutcome::Validated)]);
        assert_eq!(world.tape.len(), before + 3, "a challenge, a response, the answer");
        server_sends(&mut world, &LONG).unwrap();
        assert_eq!(world.tape.len(), before + 4, "and the next one leaves at once");
    }
}

//= test rfc9853#5.5-s2
//= test rfc9853#5.3-1
#[test]
fn a_lost_question_is_asked_again_and_a_silent_address_is_given_up() {
    let (mut world, client) = quiet(server_config(), client_config("meter-1", 1));
    world.rebind(client, 4_242);
    world.exchange(client, b"what now? (long enough for three questions in return)");
    world.weather.loss_percent = 100;
    server_sends(&mut world, &LONG).unwrap();
    world.weather.loss_percent = 0;
    world.run(10_000);
    assert_eq!(world.clients[client].data(), [LONG]);

    world.rebind(client, 4_243);
    world.exchange(client, b"and now? (long enough for three questions in return, too)");
    world.rebind(client, 4_244); // it is gone before anything arrives
    let before = world.tape.len();
    server_sends(&mut world, &LONG).unwrap();
    world.run(60_000);
    assert_eq!(world.tape.len(), before + usize::from(limits::PATH_CHALLENGES_MAX));
    assert_eq!(outcomes(&world).last(), Some(&(address(4_243), PathOutcome::Unanswered)));
    world.exchange(client, b"here!");
    server_sends(&mut world, &LONG).unwrap();
    world.run(1_000);
    assert_eq!(world.clients[client].data().len(), 2, "what was held then is lost, what comes now is not");
}

//= test rfc9853#5-1
//= test rfc9147#11-4
#[test]
fn an_unvalidated_address_gets_three_times_what_came_and_not_a_byte_more() {
    let victim = address(666);
    for (config, client) in [
        (server_config(), client_config("meter-1", 1)),
        (server_config(), without_check()),
        (enhanced(), client_config("meter-1", 1)),
    ] {
        let (mut world, client) = quiet(config, client);
        let record = caught(&mut world, client, b"give me everything");
        world.inject(victim, &record);
        assert_eq!(remote(&world), victim);
        world.clients[client].address = address(1); // hears nothing any more
        for length in (0..200).rev() {
            let _ = server_sends(&mut world, &vec![0; length]);
        }
        world.run(100_000);
        let now = world.instant();
        let session = world.session();
        world.server.close(now, session, AlertDescription::CLOSE_NOTIFY);
        world.pump();
        let bytes = bytes_to(&world, victim);
        assert!(bytes > record.len() && bytes <= 3 * record.len(), "{bytes} for {}", record.len());
    }
}

#[test]
fn a_peer_that_cannot_be_asked_is_believed_at_its_next_record() {
    let no_check = EndpointConfig { path_check: PathCheck::Off, ..server_config() };
    for (config, client) in [(server_config(), without_check()), (no_check, client_config("meter-1", 1))] {
        let (mut world, client) = quiet(config, client);
        world.rebind(client, 4_242);
        world.exchange(client, b"block 1, please");
        server_sends(&mut world, &LONG).unwrap();
        world.run(1_000);
        assert!(world.clients[client].data().is_empty());
        world.exchange(client, b"block 1, please");
        assert_eq!(world.clients[client].data(), [LONG], "its CoAP asks again anyway");
        server_sends(&mut world, &LONG).unwrap();
        world.run(1_000);
        assert_eq!(world.clients[client].data().len(), 2);

        world.rebind(client, 4_243);
        world.exchange(client, b"block 2, please");
        server_sends(&mut world, &LONG).unwrap();
        world.run(limits::PATH_HOLD_MS + 1_000);
        assert_eq!(outcomes(&world).last(), Some(&(address(4_243), PathOutcome::Unanswered)));
    }
}

//= test rfc9853#5.2-3
//= test rfc9146#6-3
//= test rfc9147#11-4
#[test]
fn somebody_who_passes_on_a_record_from_his_own_address_is_found_out() {
    for config in checked() {
        let (mut world, client) = quiet(enhanced(), config);
        let (home, attacker) = (world.clients[client].address, address(666));
        let record = caught(&mut world, client, b"17.6 m3");
        world.inject(attacker, &record);
        assert_eq!(remote(&world), attacker, "it was authentic, and the newest");
        server_sends(&mut world, b"2.04").unwrap();
        assert!(bytes_to(&world, attacker) > 0, "it may have been the device, which waits for its answer");
        world.inject(home, &record);
        let last = world.server_events.last().unwrap();
        assert!(matches!(last, EndpointEvent::Rejected { reason: RecordRejection::Replayed, .. }));
        server_sends(&mut world, &LONG).unwrap();
        world.run(1_000);
        assert_eq!(outcomes(&world), [(attacker, PathOutcome::Refused)]);
        assert_eq!(remote(&world), home);
        assert_eq!(world.clients[client].data(), [LONG], "what was too long for the attacker went home");
        assert!(bytes_to(&world, attacker) <= 3 * record.len());
    }
}

//= test rfc9853#5.2-5
#[test]
fn under_the_enhanced_check_a_device_that_moved_is_asked_at_both_ends() {
    let (mut world, client) = quiet(enhanced(), client_config("meter-1", 1));
    world.rebind(client, 4_242);
    world.exchange(client, b"17.6 m3");
    assert_eq!(remote(&world), address(4_242));
    assert!(world.poll_server_is_idle());
    server_sends(&mut world, &LONG).unwrap();
    world.run(1_000);
    assert_eq!(world.clients[client].data(), [LONG], "validated before anything was held");
}

#[test]
fn a_device_that_speaks_from_its_old_address_has_never_moved() {
    let (mut world, client) = quiet(enhanced(), client_config("meter-1", 1));
    let home = world.clients[client].address;
    let record = caught(&mut world, client, b"17.6 m3");
    world.weather.loss_percent = 100; // the question to the old address is lost
    world.inject(address(666), &record);
    world.weather.loss_percent = 0;
    world.exchange(client, b"17.7 m3");
    assert_eq!(remote(&world), home);
    server_sends(&mut world, &LONG).unwrap();
    world.run(5_000);
    assert_eq!(world.clients[client].data(), [LONG]);
}

//= test rfc9853#5.4-4
//= test rfc9853#5.4-3
#[test]
fn an_answer_from_elsewhere_proves_nothing() {
    let (mut world, client) = quiet(server_config(), client_config("meter-1", 1));
    world.rebind(client, 4_242);
    world.exchange(client, b"what now? (long enough for three questions in return)");
    server_sends(&mut world, &LONG).unwrap();
    let (_, to, challenge) = world.tape.last().unwrap().clone();
    assert_eq!(to, address(4_242));
    let now = world.instant();
    world.clients[client].connection.handle(now, &mut challenge.clone());
    let response = world.clients[client].connection.poll_transmit(now).unwrap();
    world.inject(address(666), &response);
    assert!(outcomes(&world).is_empty());
    assert_eq!(remote(&world), address(4_242), "and moves nobody");
    world.run(10_000);
    assert_eq!(outcomes(&world), [(address(4_242), PathOutcome::Validated)]);
}

/// The first record of a datagram moves the peer and is answered; the others cannot know of the answer.
#[test]
fn a_datagram_is_no_answer_to_what_it_set_off() {
    let [_, client] = checked();
    let (mut world, client) = quiet(server_config(), ClientConfig { rrc: false, ..client });
    let now = world.instant();
    let connection = &mut world.clients[client].connection;
    connection.save().unwrap();
    connection.request_connection_ids(now, 1).unwrap();
    connection.save().unwrap();
    let datagram = caught(&mut world, client, b"and a question in front");
    let before = world.received().len();
    world.inject(address(666), &datagram);
    assert_eq!((remote(&world), world.received().len()), (address(666), before + 1));
    server_sends(&mut world, &LONG).unwrap();
    world.run(60_000);
    let went = world.tape.iter().filter(|(up, to, _)| !up && *to == address(666)).map(|(.., data)| data.len());
    assert!((1..=3 * datagram.len()).contains(&went.sum()), "{} bytes came", datagram.len());
}

#[test]
fn so_many_records_wait_and_the_next_is_refused() {
    let (mut world, client) = quiet(server_config(), client_config("meter-1", 1));
    world.rebind(client, 4_242);
    world.exchange(client, b"what now?");
    world.weather.loss_percent = 100;
    for _ in 0..limits::PATH_HELD_RECORDS_MAX {
        server_sends(&mut world, &LONG).unwrap();
    }
    assert!(matches!(server_sends(&mut world, &LONG), Err(Error::Unavailable(_))));
    assert!(server_sends(&mut world, b"short").is_ok(), "what the address may have need not wait");
}

#[test]
fn the_check_survives_a_restart_and_an_application_may_have_its_own() {
    let (mut world, client) = quiet(server_config(), client_config("meter-1", 1));
    world.restart();
    world.rebind(client, 4_242);
    world.exchange(client, b"what now?");
    server_sends(&mut world, &LONG).unwrap();
    world.run(1_000);
    assert_eq!(outcomes(&world), [(address(4_242), PathOutcome::Validated)]);

    world.rebind(client, 4_243);
    world.exchange(client, b"with an Echo option");
    let (now, session) = (world.instant(), world.session());
    world.server.confirm_path(now, session, address(4_242));
    world.server.confirm_path(now, session, address(4_243));
    let before = world.tape.len();
    server_sends(&mut world, &LONG).unwrap();
    assert_eq!(world.tape.len(), before + 1, "no question");
}

//= test rfc9853#3-2
//= test rfc9853#3-3
#[test]
fn nobody_is_asked_who_did_not_agree_to_it() {
    for (config, client) in
        [(enhanced(), without_check()), (enhanced(), ClientConfig { own_cid: None, ..without_check() })]
    {
        let (mut world, client) = quiet(config, client);
        let before = world.tape.len();
        world.exchange(client, b"here");
        server_sends(&mut world, &LONG).unwrap();
        world.run(10_000);
        assert_eq!(world.tape.len(), before + 2);
    }
}
