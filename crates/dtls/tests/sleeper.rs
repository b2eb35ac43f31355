//! A wake-up without a heap, against a server that cannot tell it from a connection.
#![allow(clippy::unwrap_used, reason = "tests")]

mod support;

use std::collections::BTreeSet;

use bartizan_crypto::RUSTCRYPTO;
use bartizan_dtls::*;
use bartizan_wire::event::RecordRejection;
use support::*;

/// A device's flash.
struct Flash(Vec<u8>);

impl Flash {
    fn store(&mut self) -> impl FnMut(&[u8]) -> Result<(), Error> {
        |bytes| {
            self.0 = bytes.to_vec();
            Ok(())
        }
    }
}

/// A world in which one client has just shaken hands, and what its device saved.
fn asleep(config: ClientConfig) -> (World, usize, Flash) {
    let mut world = World::calm(server_config());
    let client = world.connected(config);
    let flash = Flash(world.clients[client].connection.save().unwrap().to_bytes());
    (world, client, flash)
}

fn dtls_1_3(suite: CipherSuite) -> ClientConfig {
    ClientConfig { versions: Versions::DTLS_1_3, suites: vec![suite], ..client_config("meter-1", 1) }
}

fn both_versions() -> [ClientConfig; 2] {
    [client_config("meter-1", 1), dtls_1_3(CipherSuite::Aes128Ccm8Sha256)]
}

fn wake(flash: &mut Flash) -> Sleeper {
    let saved = SavedSession::from_bytes(&flash.0).unwrap();
    Sleeper::wake(&RUSTCRYPTO, saved, 4, flash.store()).unwrap()
}

/// Brings a record to the server from a new address, and returns the answer as it comes back.
fn exchange(world: &mut World, record: &[u8], port: u16) -> Vec<u8> {
    let from = address(port);
    world.tape.clear();
    world.inject(from, record);
    world.tape.iter().find(|(up, to, _)| !up && *to == from).expect("an answer").2.clone()
}

fn open_all(sleeper: &mut Sleeper, datagram: &[u8]) -> Vec<Result<Vec<u8>, String>> {
    let mut bytes = datagram.to_vec();
    let mut rest = &mut bytes[..];
    let mut found = Vec::new();
    while let Some(outcome) = sleeper.open(&mut rest) {
        found.push(match outcome {
            Ok(Received::Data(data)) => Ok(data.to_vec()),
            other => Err(format!("{other:?}")),
        });
    }
    found
}

#[test]
fn thirty_wake_ups_without_a_handshake_or_a_nonce_twice() {
    for suite in CipherSuite::PSK_DTLS_1_2 {
        let (mut world, _, mut flash) = asleep(with_suite(suite));
        let mut sent = BTreeSet::new();
        for day in 1..=30_u8 {
            let mut sleeper = wake(&mut flash);
            let mut buffer = [0; 80];
            let record = sleeper.seal(&[day; 20], &mut buffer).unwrap().to_vec();
            assert_eq!(record.len(), 20 + sleeper.overhead());
            assert!(sent.insert(record[..19].to_vec()), "a nonce was used twice");
            let answer = exchange(&mut world, &record, 20_000 + u16::from(day));
            assert_eq!(open_all(&mut sleeper, &answer), [Ok(vec![day; 20])]);
            assert_eq!(world.received().last().unwrap(), &[day; 20]);
            // Every third day the power fails before the device lies down again.
            if day % 3 != 0 {
                sleeper.sleep(flash.store()).unwrap();
            }
        }
        assert_eq!(world.count(|event| matches!(event, EndpointEvent::Establishing { .. })), 1);
    }
}

#[test]
fn dtls_1_3_wakes_up_as_well() {
    let suites = CipherSuite::ALL.into_iter().filter(|suite| suite.version() == Version::Dtls13);
    for suite in suites {
        let (mut world, _, mut flash) = asleep(dtls_1_3(suite));
        for day in 1..=30_u8 {
            let mut sleeper = wake(&mut flash);
            // Three a day, so that sequence numbers outgrow one byte.
            for hour in 0..3_u8 {
                let data = vec![day; usize::from(hour) * 10];
                let mut buffer = [0; 80];
                let record = sleeper.seal(&data, &mut buffer).unwrap().to_vec();
                assert!(record.len() <= data.len().max(7) + sleeper.overhead());
                let answer = exchange(&mut world, &record, 20_000 + u16::from(day));
                assert_eq!(open_all(&mut sleeper, &answer), [Ok(data.clone())]);
                assert_eq!(*world.received().last().unwrap(), data);
            }
            // Every third day the power fails before the device lies down again.
            if day % 3 != 0 {
                sleeper.sleep(flash.store()).unwrap();
            }
        }
        assert_eq!(world.count(|event| matches!(event, EndpointEvent::Establishing { .. })), 1);
        assert_eq!(world.count(|event| matches!(event, EndpointEvent::Rejected { .. })), 0, "a number was used twice");
    }
}

#[test]
fn new_keys_wait_for_somebody_with_a_heap() {
    let config = dtls_1_3(CipherSuite::Aes128Ccm8Sha256);
    let (mut world, client, mut flash) = asleep(config.clone());
    let home = world.clients[client].address;
    let (now, session) = (world.instant(), world.session());
    world.tape.clear();
    world.server.update_keys(now, session).unwrap();
    world.pump();
    let update = world.tape.first().unwrap().2.clone();
    let mut sleeper = wake(&mut flash);
    assert_eq!(open_all(&mut sleeper, &update), [Err("Err(Unexpected)".into())]);
    let mut buffer = [0; 80];
    let record = sleeper.seal(b"asleep", &mut buffer).unwrap().to_vec();
    world.echo = true;
    let answer = exchange(&mut world, &record, home.port());
    assert!(open_all(&mut sleeper, &answer).contains(&Ok(b"asleep".to_vec())), "under the old keys");
    sleeper.sleep(flash.store()).unwrap();
    let saved = SavedSession::from_bytes(&flash.0).unwrap();
    let mut connection = Connection::resume(config, saved, world.instant()).unwrap();
    connection.save().unwrap();
    world.clients[client].connection = connection;
    world.run(100_000);
    world.exchange(client, b"awake");
    assert_eq!(world.clients[client].data().last().unwrap(), b"awake");
}

#[test]
fn a_sleeper_and_a_connection_continue_each_other() {
    let own_cids = [None, Some(ConnectionId::EMPTY), ConnectionId::new(b"mine")];
    let configs = both_versions().into_iter().flat_map(|config| own_cids.map(|cid| (config.clone(), cid)));
    for (config, own_cid) in configs {
        let config = ClientConfig { own_cid, ..config };
        let (mut world, client, mut flash) = asleep(config.clone());
        let home = world.clients[client].address.port();
        let mut sleeper = wake(&mut flash);
        let mut buffer = [0; 80];
        let record = sleeper.seal(b"asleep", &mut buffer).unwrap().to_vec();
        let answer = exchange(&mut world, &record, home);
        assert_eq!(open_all(&mut sleeper, &answer), [Ok(b"asleep".to_vec())]);
        sleeper.sleep(flash.store()).unwrap();
        let saved = SavedSession::from_bytes(&flash.0).unwrap();
        let mut connection = Connection::resume(config, saved, world.instant()).unwrap();
        connection.save().unwrap();
        world.clients[client].connection = connection;
        world.run(10_000);
        world.exchange(client, b"awake");
        assert_eq!(world.clients[client].data().last().unwrap(), b"awake");
    }
}

#[test]
fn nothing_is_sealed_before_the_reservation_is_stored() {
    for config in both_versions() {
        let (_, _, mut flash) = asleep(config);
        let saved = SavedSession::from_bytes(&flash.0).unwrap();
        let refused = Sleeper::wake(&RUSTCRYPTO, saved, 4, |_| Err(Error::Unavailable("the flash is worn out")));
        assert_eq!(refused.unwrap_err(), Error::Unavailable("the flash is worn out"));

        let mut sleeper = wake(&mut flash);
        let mut buffer = [0; 80];
        for left in (0..4).rev() {
            sleeper.seal(b"x", &mut buffer).unwrap();
            assert_eq!(sleeper.sends_left(), left);
        }
        assert!(matches!(sleeper.seal(b"x", &mut buffer), Err(Error::Unavailable(_))));
        sleeper.reserve(9, |_| Err(Error::Unavailable("no"))).unwrap_err();
        assert_eq!(sleeper.sends_left(), 0, "a reservation that was not stored is none");
        sleeper.reserve(2, flash.store()).unwrap();
        assert_eq!(sleeper.sends_left(), 2);
    }
}

#[test]
fn the_window_holds_over_a_sleep() {
    for config in both_versions() {
        let (mut world, _, mut flash) = asleep(config);
        let mut sleeper = wake(&mut flash);
        let mut buffer = [0; 80];
        let record = sleeper.seal(b"once", &mut buffer).unwrap().to_vec();
        let answer = exchange(&mut world, &record, 20_001);
        assert_eq!(open_all(&mut sleeper, &answer), [Ok(b"once".to_vec())]);
        sleeper.sleep(flash.store()).unwrap();
        let mut sleeper = wake(&mut flash);
        let replayed = format!("{:?}", Err::<Received<'_>, _>(RecordRejection::Replayed));
        assert_eq!(open_all(&mut sleeper, &answer), [Err(replayed)]);
    }
}

#[test]
fn a_question_about_the_path_is_answered_and_the_long_answer_comes() {
    both_versions().into_iter().for_each(a_question_is_answered);
}

fn a_question_is_answered(config: ClientConfig) {
    const LONG: [u8; 500] = [7; 500];
    let (mut world, _, mut flash) = asleep(config);
    world.echo = false;
    let from = address(20_001);
    let mut sleeper = wake(&mut flash);
    let mut buffer = [0; 80];
    let record = sleeper.seal(b"what now?", &mut buffer).unwrap().to_vec();
    world.inject(from, &record);
    world.tape.clear();
    let (now, session) = (world.instant(), world.session());
    world.server.send(now, session, &LONG).unwrap();
    world.pump();
    let mut question = world.tape.first().unwrap().2.clone();
    let mut rest = &mut question[..];
    let Some(Ok(Received::PathChallenge(challenge))) = sleeper.open(&mut rest) else {
        panic!("no challenge");
    };
    let length = sleeper.overhead() + 9;
    assert!(sleeper.answer(challenge, &mut buffer[..length - 1]).is_err());
    let answer = sleeper.answer(challenge, &mut buffer[..length]).unwrap().to_vec();
    world.tape.clear();
    world.inject(from, &answer);
    let outcome =
        |event: &EndpointEvent| matches!(event, EndpointEvent::PathChecked { outcome: PathOutcome::Validated, .. });
    assert_eq!(world.count(outcome), 1);
    let held = world.tape.iter().find(|(up, ..)| !up).unwrap().2.clone();
    assert_eq!(open_all(&mut sleeper, &held), [Ok(LONG.to_vec())]);
}

#[test]
fn a_bad_record_hides_none_behind_it() {
    let (mut world, _, mut flash) = asleep(client_config("meter-1", 1));
    let mut sleeper = wake(&mut flash);
    let mut buffer = [0; 80];
    let record = sleeper.seal(b"hello", &mut buffer).unwrap().to_vec();
    let answer = exchange(&mut world, &record, 20_001);
    let mut forged = answer.clone();
    *forged.last_mut().unwrap() ^= 1;
    let plain = [23, 254, 253, 0, 0, 0, 0, 0, 0, 0, 0, 0, 1, 7];
    let datagram = [&forged[..], &plain, &answer, &answer, b"rest"].concat();
    let found = open_all(&mut sleeper, &datagram);
    let reasons: Vec<_> = found.iter().map(|outcome| outcome.as_ref().map(Vec::as_slice)).collect();
    let [forged, unexpected, replayed, malformed] =
        ["Forged", "Unexpected", "Replayed", "Malformed"].map(|reason| format!("Err({reason})"));
    assert_eq!(reasons, [Err(&forged), Err(&unexpected), Ok(&b"hello"[..]), Err(&replayed), Err(&malformed)]);
}

#[test]
fn close_notify_ends_it_either_way() {
    both_versions().into_iter().for_each(either_way);
}

fn either_way(config: ClientConfig) {
    let (mut world, _, mut flash) = asleep(config.clone());
    let session = world.session();
    let mut sleeper = wake(&mut flash);
    let mut buffer = [0; 80];
    world.tape.clear();
    let now = world.instant();
    world.server.close(now, session, AlertDescription::CLOSE_NOTIFY);
    world.pump();
    let goodbye = world.tape.first().unwrap().2.clone();
    let mut bytes = goodbye.clone();
    assert_eq!(sleeper.open(&mut &mut bytes[..]), Some(Ok(Received::Closed(CloseReason::Peer))));
    assert!(sleeper.is_closed());
    assert!(matches!(sleeper.seal(b"x", &mut buffer), Err(Error::Misuse(_))));
    sleeper.close(&mut buffer).unwrap();
    assert!(matches!(sleeper.sleep(flash.store()), Err(Error::Misuse(_))), "there is nothing to keep");

    let (mut world, _, mut flash) = asleep(config);
    let mut sleeper = wake(&mut flash);
    let goodbye = sleeper.close(&mut buffer).unwrap().to_vec();
    world.inject(address(20_001), &goodbye);
    assert_eq!(world.count(|event| matches!(event, EndpointEvent::Closed { .. })), 1);
    assert!(sleeper.is_closed());
}

#[test]
fn what_a_small_provider_lacks_is_refused_before_it_is_offered() {
    static PSK_CCM: Provider = RUSTCRYPTO.only_psk_ccm();
    let config = |suites| ClientConfig { suites, ..with_provider(&PSK_CCM) };
    for suites in [vec![CipherSuite::PskAes128GcmSha256], vec![CipherSuite::EcdhePskAes128Ccm8Sha256]] {
        let refused = Connection::connect(config(suites), Instant::from_millis(0), &mut Rng(1));
        assert!(matches!(refused, Err(Error::Misuse(_))));
    }
    let config = config(vec![CipherSuite::PskAes128Ccm8]);
    let mut world = World::calm(server_config());
    let client = world.connected(config);
    world.exchange(client, b"hello");
    assert_eq!(world.clients[client].data(), [b"hello"]);
}
