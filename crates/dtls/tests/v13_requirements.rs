//! What RFC 9147 demands and no other test shows, read off the wire where ciphers are arithmetic.
#![allow(clippy::unwrap_used, reason = "tests")]

mod support;
#[path = "support/unified.rs"]
mod unified;

use bartizan_crypto::INSECURE;
use bartizan_dtls::*;
use support::records::{message, plain};
use support::*;
use unified::{ACK, ALERT, DATA, HANDSHAKE, Seen, ack, acked, sealed, sealed_with_length, split};

const CLIENT_HELLO: u8 = 1;
const SERVER_HELLO: u8 = 2;
const REQUEST_CONNECTION_ID: u8 = 9;
const NEW_CONNECTION_ID: u8 = 10;
const FINISHED: u8 = 20;
const KEY_UPDATE: u8 = 24;
const COOKIE: u16 = 44;

fn config(own_cid: Option<ConnectionId>) -> ClientConfig {
    ClientConfig {
        provider: &INSECURE,
        versions: Versions::DTLS_1_3,
        suites: vec![CipherSuite::Aes128Ccm8Sha256],
        groups: vec![],
        own_cid,
        rrc: false,
        ..client_config("meter-1", 1)
    }
}

fn world() -> World {
    let mut world = World::calm(EndpointConfig { provider: &INSECURE, ..server_config() });
    world.echo = false;
    world
}

fn with_cids() -> Option<ConnectionId> {
    ConnectionId::new(b"device-7")
}

/// A connected client without Connection IDs, from whom and to whom records can be made up.
fn connected() -> (World, usize) {
    let mut world = world();
    let client = world.connected(config(None));
    (world, client)
}

/// All records of one direction from a place on the tape on; both sides have Connection IDs of 8 bytes, or none.
fn records(world: &World, up: bool, from: usize) -> Vec<Seen> {
    let datagrams = world.tape.iter().skip(from).filter(|(direction, ..)| *direction == up);
    datagrams.flat_map(|(.., data)| split(data, 8)).collect()
}

fn handshake(world: &World, up: bool, kind: u8) -> Vec<Seen> {
    let mut found = records(world, up, 0);
    found.retain(|record| record.kind == HANDSHAKE && record.content[0] == kind);
    found
}

fn says(world: &mut World, client: usize, number: u8, kind: u8, content: &[u8]) -> Vec<Seen> {
    let (from, at) = (world.clients[client].address, world.tape.len());
    world.inject(from, &sealed(&[], 3, number, kind, content));
    records(world, false, at)
}

/// Where the extension list of a hello's body begins, and what its fields before were: session id, cookie.
type Extensions = Vec<(u16, Vec<u8>)>;

fn hello(record: &Seen) -> (Vec<u8>, Vec<u8>, Extensions) {
    let body = &record.content[12..];
    let number = |at: usize| usize::from(u16::from_be_bytes([body[at], body[at + 1]]));
    let session_id = body[35..35 + usize::from(body[34])].to_vec();
    let mut at = 35 + session_id.len();
    let mut cookie = Vec::new();
    if record.content[0] == CLIENT_HELLO {
        cookie = body[at + 1..at + 1 + usize::from(body[at])].to_vec();
        at += 1 + cookie.len();
        at += 2 + number(at);
        at += 1 + usize::from(body[at]);
    } else {
        at += 3;
    }
    at += 2;
    let mut extensions = Vec::new();
    while at < body.len() {
        let length = number(at + 2);
        extensions.push((number(at) as u16, body[at + 4..at + 4 + length].to_vec()));
        at += 4 + length;
    }
    (session_id, cookie, extensions)
}

//= test rfc9147#4-2
//= test rfc9147#4-4
//= test rfc9147#4-5
//= test rfc9147#4-6
//= test rfc9147#4.3-1
//= test rfc9147#4.3-2
//= test rfc9147#4.3-3
//= test rfc9147#5-2
//= test rfc9147#5.2-2
#[test]
fn records_stand_whole_in_their_datagram_under_one_name() {
    let mut world = world();
    let client = world.connected(config(with_cids()));
    world.exchange(client, b"x");
    let (now, session) = (world.instant(), world.session());
    world.server.send(now, session, b"y").unwrap();
    world.server.update_keys(now, session).unwrap();
    world.pump();
    world.run(10_000);
    for (up, _, data) in &world.tape {
        let records = split(data, 8);
        let names: Vec<_> = records.iter().filter(|one| one.epoch != 0).map(|one| one.cid.clone().unwrap()).collect();
        assert!(names.windows(2).all(|pair| pair[0] == pair[1]));
        assert!(*up || names.iter().all(|name| name == b"device-7"));
        assert!(records.iter().rev().skip(1).all(|record| record.has_length));
        for record in records {
            assert!(matches!(record.kind, HANDSHAKE | DATA | ACK), "neither ChangeCipherSpec nor anything else");
            assert!(record.epoch != 0 || record.bytes[1..3] == [0xFE, 0xFD]);
            assert!(record.kind != HANDSHAKE || record.content[0] != 3, "no HelloVerifyRequest");
        }
    }
}

//= test rfc9147#4.1-1
//= test rfc9147#4.1-2
//= test rfc9147#4.1-3
//= test rfc9147#4.1-4
#[test]
fn the_first_byte_says_what_a_record_is() {
    for first in 0..=255_u8 {
        let (mut world, client) = connected();
        let from = world.clients[client].address;
        let mut datagram = plain(first, 9, &[2, 40]);
        if first & 0xE0 == 0x20 {
            datagram = sealed_with_length(&[], 3, 70, DATA, b"first");
            datagram[0] = first;
        }
        datagram.extend_from_slice(&sealed(&[], 3, 71, DATA, b"behind it"));
        world.inject(from, &datagram);
        let received = world.received();
        let expected: &[&[u8]] = match first {
            // With a length, and without what the header does not have: the epoch, one byte of number.
            0b0010_0111 => &[b"first", b"behind it"],
            20..=23 | 26 | 27 => &[b"behind it"],
            _ if first & 0xE0 == 0x20 => continue,
            _ => &[],
        };
        assert_eq!(received, expected, "{first}");
        assert_eq!(world.server.sessions().count(), 1);
    }
}

//= test rfc9147#4.2.1-1
//= test rfc9147#5.5-5
//= test rfc9147#5.5-1
//= test rfc9147#5.5-2
#[test]
fn what_is_sent_again_is_the_same_in_the_same_epoch() {
    for up in [true, false] {
        let mut world = world();
        world.confirm = false;
        world.connect(ClientConfig { groups: vec![Group::X25519MlKem768], mtu: 300, ..config(None) });
        world.run(35);
        world.weather.loss_percent = if up { 0 } else { 100 };
        world.run(20_000);
        let mut first = std::collections::BTreeMap::new();
        let (mut repeated, mut ends) = (0, std::collections::BTreeMap::new());
        for record in records(&world, up, 0).iter().filter(|record| record.kind == HANDSHAKE) {
            let mut rest = &record.content[..];
            while !rest.is_empty() {
                let number = |at: usize| rest[at..at + 3].iter().fold(0, |sum, byte| sum << 8 | usize::from(*byte));
                let (offset, length) = (number(6), number(9));
                let key = (rest[4..6].to_vec(), offset);
                let seen = (record.epoch, rest[..12 + length].to_vec());
                match first.get(&key) {
                    Some(before) => {
                        assert_eq!(*before, seen);
                        repeated += 1;
                    }
                    None => {
                        let end: usize = ends.insert(rest[4..6].to_vec(), offset + length).unwrap_or(0);
                        assert_eq!(offset, end, "fragments meet, and do not overlap");
                        first.insert(key, seen);
                    }
                }
                rest = &rest[12 + length..];
            }
        }
        assert!(repeated > 2, "{up} {repeated}");
    }
}

/// The lease makes numbers leap, as many sleeps would.
//= test rfc9147#4.2.1-2
//= test rfc9147#4.5.3-s1
#[test]
fn a_key_is_replaced_in_time_and_never_used_up() {
    let (mut world, client) = connected();
    let config = ClientConfig { lease: limits::RECORDS_PER_KEY, ..config(None) };
    let sleep = |world: &mut World| {
        let saved = world.clients[client].connection.save().unwrap();
        let mut connection = Connection::resume(config.clone(), saved, world.instant()).unwrap();
        connection.save().unwrap();
        world.clients[client].connection = connection;
    };
    sleep(&mut world);
    world.send(client, b"under the old key");
    sleep(&mut world);
    let at = world.tape.len();
    world.weather.loss_percent = 100;
    let now = world.instant();
    world.clients[client].connection.send(now, b"x").ok();
    world.pump();
    let updates = records(&world, true, at);
    assert!(updates.iter().any(|record| record.kind == HANDSHAKE && record.content[0] == KEY_UPDATE));
    for _ in 0..3 {
        sleep(&mut world);
    }
    let used_up = world.clients[client].connection.send(now, b"x");
    assert!(matches!(used_up, Err(Error::Unavailable(_))));
}

//= test rfc9147#4.5.2-1
#[test]
fn the_alert_for_forgeries_is_fatal() {
    let (mut world, client) = connected();
    let from = world.clients[client].address;
    let mut forged = sealed(&[], 3, 70, DATA, b"x");
    *forged.last_mut().unwrap() = 0;
    for _ in 0..limits::FORGERIES_MAX_CCM_8 {
        world.inject(from, &forged);
    }
    let last = records(&world, false, 0).pop().unwrap();
    assert_eq!((last.kind, &last.content[..]), (ALERT, &[2, AlertDescription::BAD_RECORD_MAC.0][..]));
}

//= test rfc9147#5-1
//= test rfc9147#5.3-4
#[test]
fn legacy_fields_have_no_meaning() {
    let mut world = world();
    world.weather.loss_percent = 100;
    let client = world.connect(config(None));
    let (from, first) = (world.clients[client].address, handshake(&world, true, CLIENT_HELLO).remove(0));
    let body = &first.content[12..];
    let with = |session_id: &[u8], cookie: &[u8]| {
        let lengths = [session_id.len() as u8, cookie.len() as u8];
        let front = [&body[..34], &lengths[..1], session_id, &lengths[1..], cookie, &body[36..]].concat();
        plain(22, 0, &message(CLIENT_HELLO, 0, &front))
    };
    world.inject(from, &with(&[7; 32], &[]));
    let retry = records(&world, false, 0).pop().unwrap();
    assert_eq!(retry.content[0], SERVER_HELLO);
    assert!(hello(&retry).0.is_empty());
    world.inject(from, &with(&[], b"cookie"));
    let alert = records(&world, false, 0).pop().unwrap();
    assert_eq!((alert.kind, &alert.content[..]), (ALERT, &[2, AlertDescription::ILLEGAL_PARAMETER.0][..]));
}

//= test rfc9147#5.1-1
//= test rfc9147#5.1-2
//= test rfc9147#5.1-3
//= test rfc9147#5.1-4
//= test rfc9147#5.3-1
//= test rfc9147#5.3-2
//= test rfc9147#5.3-3
//= test rfc9147#11-1
#[test]
fn the_second_hello_is_the_first_with_the_cookie() {
    let (mut world, client) = connected();
    world.exchange(client, b"x");
    let hellos = handshake(&world, true, CLIENT_HELLO);
    let retry = handshake(&world, false, SERVER_HELLO).remove(0);
    let [first, second] = &hellos[..] else { panic!("{} hellos", hellos.len()) };
    for record in [first, second] {
        assert_eq!(record.content[12..14], [0xFE, 0xFD]);
        assert!(hello(record).0.is_empty() && hello(record).1.is_empty());
    }
    assert_eq!(first.content[14..46], second.content[14..46], "the random");
    let (before, mut after) = (hello(first).2, hello(second).2);
    let cookie = after.iter().position(|(kind, _)| *kind == COOKIE).unwrap();
    let asked = hello(&retry).2.into_iter().find(|(kind, _)| *kind == COOKIE).unwrap();
    assert_eq!(after.remove(cookie), asked);
    let kinds = |list: &[(u16, Vec<u8>)]| list.iter().map(|(kind, _)| *kind).collect::<Vec<_>>();
    assert_eq!(kinds(&before), kinds(&after));
    let differ = before.iter().zip(&after).filter(|(one, other)| one != other);
    assert_eq!(kinds(&differ.map(|(one, _)| one.clone()).collect::<Vec<_>>()), [41], "the binder, which signs both");
}

//= test rfc9147#5.1-5
//= test rfc9147#11-2
//= test rfc9147#11-3
#[test]
fn a_wrong_cookie_is_answered_with_illegal_parameter() {
    let mut world = world();
    let client = world.connect(config(None));
    world.run(15);
    world.weather.loss_percent = 100;
    world.run(10);
    let second = handshake(&world, true, CLIENT_HELLO).pop().unwrap();
    let cookie = hello(&second).2.into_iter().find(|(kind, _)| *kind == COOKIE).unwrap().1;
    let at = second.bytes.windows(cookie.len()).position(|bytes| bytes == cookie).unwrap();
    let from = world.clients[client].address;
    for byte in at + 2..at + cookie.len() {
        let mut forged = second.bytes.clone();
        forged[byte] ^= 0x80;
        world.inject(from, &forged);
        let alert = records(&world, false, 0).pop().unwrap();
        assert_eq!((alert.kind, &alert.content[..]), (ALERT, &[2, AlertDescription::ILLEGAL_PARAMETER.0][..]));
    }
    world.inject(address(9_999), &second.bytes);
    assert_eq!(world.server.handshakes(), 0);
    world.inject(from, &second.bytes);
    assert_eq!(world.server.handshakes(), 1);
}

//= test rfc9147#5.1-6
//= test rfc9147#5.2-1
#[test]
fn a_second_retry_request_ends_the_handshake_and_a_repeated_one_does_nothing() {
    let mut world = world();
    let client = world.connect(config(None));
    world.run(25);
    world.weather.loss_percent = 100;
    let retry = handshake(&world, false, SERVER_HELLO).remove(0);
    let at = world.tape.len();
    world.inject_to_client(client, &retry.bytes);
    assert_eq!((world.clients[client].closed(), world.tape.len()), (None, at));
    world.inject_to_client(client, &plain(22, 9, &message(SERVER_HELLO, 1, &retry.content[12..])));
    assert!(matches!(world.clients[client].closed(), Some(CloseReason::Failed(Error::Misbehaved(_)))));
    let alert = records(&world, true, at).pop().unwrap();
    assert_eq!((alert.kind, &alert.content[..]), (ALERT, &[2, AlertDescription::UNEXPECTED_MESSAGE.0][..]));
}

/// Twice TCP's maximum segment lifetime is four minutes.
//= test rfc9147#5.8.1-1
//= test rfc9147#7.1-2
#[test]
fn a_repeated_finished_is_acknowledged_for_minutes() {
    let (mut world, client) = connected();
    let finished = handshake(&world, true, FINISHED).remove(0);
    world.pass(4 * 60_000 + 1);
    let (from, at) = (world.clients[client].address, world.tape.len());
    world.inject(from, &sealed(&[], 2, 60, HANDSHAKE, &finished.content));
    let answer = records(&world, false, at).remove(0);
    assert_eq!((answer.kind, answer.epoch, acked(&answer.content)), (ACK, 3, vec![(2, 60)]));
}

//= test rfc9147#5.8.1-2
#[test]
fn data_that_comes_before_finished_waits() {
    let mut world = world();
    let client = world.connect(config(None));
    world.run(35);
    world.inject_to_client(client, &sealed(&[], 3, 5, DATA, b"early"));
    assert_eq!(world.clients[client].events, []);
    world.run(10_000);
    let events = &world.clients[client].events;
    assert!(matches!(events[0], ConnectionEvent::Connected { .. }));
    assert_eq!(events[1..], [ConnectionEvent::Data(b"early".to_vec())]);
    // The server has no association to read it with.
    let mut world = self::world();
    let client = world.connect(config(None));
    world.run(45);
    let from = world.clients[client].address;
    world.inject(from, &sealed(&[], 3, 5, DATA, b"early"));
    assert_eq!(world.received(), Vec::<Vec<u8>>::new());
}

//= test rfc9147#5.8.4-1
//= test rfc9147#8-1
//= test rfc9147#8-2
//= test rfc9147#8-3
#[test]
fn one_key_update_at_a_time_and_new_keys_only_when_it_is_acknowledged() {
    let (mut world, client) = connected();
    let (now, session, from) = (world.instant(), world.session(), world.clients[client].address);
    let at = world.tape.len();
    world.weather.loss_percent = 100;
    for _ in 0..3 {
        world.server.update_keys(now, session).unwrap();
        world.server.send(now, session, b"still the old keys").unwrap();
        world.pump();
    }
    let sent = records(&world, false, at);
    assert!(sent.iter().all(|record| record.epoch == 3));
    let updates: Vec<_> = sent.iter().filter(|record| record.kind == HANDSHAKE).collect();
    assert_eq!(updates.len(), 1);
    world.inject(from, &sealed(&[], 3, 70, ACK, &ack(&[(3, updates[0].sequence)])));
    let at = world.tape.len();
    world.server.send(now, session, b"the new keys").unwrap();
    world.pump();
    assert_eq!(records(&world, false, at)[0].epoch, 0, "epoch 4 by its low bits");
    // The other direction: the old keys open until a record comes under the new ones.
    let answer = says(&mut world, client, 71, HANDSHAKE, &message(KEY_UPDATE, 3, &[0]));
    assert_eq!((answer[0].kind, acked(&answer[0].content)), (ACK, vec![(3, 71)]));
    says(&mut world, client, 72, DATA, b"old");
    world.inject(from, &sealed(&[], 4, 0, DATA, b"new"));
    says(&mut world, client, 73, DATA, b"too late");
    assert_eq!(world.received(), [b"old", b"new"]);
}

//= test rfc9147#5.10-1
#[test]
fn nothing_counts_behind_a_closure_alert() {
    let (mut world, client) = connected();
    let from = world.clients[client].address;
    let datagram = [sealed_with_length(&[], 3, 70, ALERT, &[1, 0]), sealed(&[], 3, 71, DATA, b"x")].concat();
    world.inject(from, &datagram);
    assert_eq!((world.received().len(), world.server.sessions().count()), (0, 0));
    world.inject_to_client(client, &datagram);
    assert_eq!(world.clients[client].closed(), Some(CloseReason::Peer));
    assert!(world.clients[client].data().is_empty());
}

//= test rfc9147#5.11-1
//= test rfc9147#5.11-2
#[test]
fn a_new_handshake_from_an_address_takes_the_old_associations_place_at_its_end() {
    let (mut world, old) = connected();
    world.exchange(old, b"old");
    let here = world.clients[old].address;
    let first = world.session();
    world.clients[old].address = address(9);
    world.weather.loss_percent = 100;
    let new = world.connect(config(None));
    world.clients[new].address = here;
    let hello = handshake(&world, true, CLIENT_HELLO).pop().unwrap();
    world.inject(here, &hello.bytes);
    world.inject(here, &sealed(&[], 3, 70, DATA, b"still here"));
    assert_eq!(world.received(), [&b"old"[..], b"still here"]);
    world.weather.loss_percent = 0;
    world.run(20_000);
    assert!(world.clients[new].connection.is_connected());
    world.exchange(new, b"new");
    assert_eq!(world.received().last().unwrap(), b"new");
    assert_eq!(world.server.sessions().count(), 1);
    assert!(world.server.session(first).is_none());
}

//= test rfc9147#7-3
//= test rfc9147#7-4
//= test rfc9147#7.1-1
//= test rfc9147#7.1-3
#[test]
fn acks_name_handshake_records_only_in_an_epoch_that_is_high_enough() {
    let (mut world, client) = connected();
    world.exchange(client, b"data is never acknowledged");
    says(&mut world, client, 80, ALERT, &[1, 90]);
    let acks: Vec<_> = records(&world, false, 0).into_iter().filter(|record| record.kind == ACK).collect();
    let finished = handshake(&world, true, FINISHED).remove(0);
    assert_eq!(acks.len(), 1, "of the last flight");
    assert_eq!((acks[0].epoch, acked(&acks[0].content)), (3, vec![(2, finished.sequence)]));
    // Half a flight: the answer is of epoch 2, as are the records.
    let mut world = self::world();
    let client = world.connect(config(None));
    world.run(25);
    world.weather.loss_percent = 100;
    world.run(10);
    let flight = split(&world.tape.last().unwrap().2, 0);
    world.inject_to_client(client, &flight[0].bytes);
    let at = world.tape.len();
    let part = [&flight[1].content[..6 + 6 + usize::from(flight[1].content[11])]].concat();
    world.inject_to_client(client, &sealed(&[], 2, 9, HANDSHAKE, &part));
    world.run(300);
    let acks: Vec<_> = records(&world, true, at).into_iter().filter(|record| record.kind == ACK).collect();
    assert_eq!((acks[0].epoch, acked(&acks[0].content)), (2, vec![(2, 9)]));
}

//= test rfc9147#7.2-1
//= test rfc9147#7.2-2
//= test rfc9147#7.2-3
#[test]
fn what_was_acknowledged_is_not_sent_again() {
    let (mut world, client) = connected();
    let (now, session, from) = (world.instant(), world.session(), world.clients[client].address);
    world.weather.loss_percent = 100;
    let at = world.tape.len();
    world.server.update_keys(now, session).unwrap();
    world.pump();
    world.run(5_000);
    let sent = records(&world, false, at);
    assert!(sent.len() > 2, "repeated");
    // An ACK of the first transmission counts as well as one of the last.
    world.inject(from, &sealed(&[], 3, 70, ACK, &ack(&[(3, sent[0].sequence)])));
    let at = world.tape.len();
    world.run(100_000);
    assert_eq!(world.tape.len(), at);
    // The server's flight is acknowledged by the client's, the client's by the server's: nothing goes twice.
    let (world, _) = connected();
    assert_eq!((handshake(&world, true, CLIENT_HELLO).len(), handshake(&world, true, FINISHED).len()), (2, 1));
    assert_eq!(handshake(&world, false, SERVER_HELLO).len(), 2);
}

//= test rfc9147#9-1
//= test rfc9147#9-2
#[test]
fn connection_ids_change_and_are_given_out_one_message_at_a_time() {
    let mut world = world();
    let client = world.connected(config(with_cids()));
    world.exchange(client, b"x");
    let at = world.tape.len();
    let body = [0, 9, 8, 1, 2, 3, 4, 5, 6, 7, 8, 0];
    for number in 2..5 {
        let new = message(NEW_CONNECTION_ID, number, &body);
        world.inject_to_client(client, &sealed(b"device-7", 3, 70 + number, HANDSHAKE, &new));
    }
    world.weather.loss_percent = 100;
    world.send(client, b"under the new name");
    let renamed = records(&world, true, at);
    assert_eq!(renamed.last().unwrap().cid.as_deref(), Some(&[1, 2, 3, 4, 5, 6, 7, 8][..]));

    let mut world = self::world();
    let client = world.connected(config(with_cids()));
    world.exchange(client, b"x");
    let cid = records(&world, true, 0).pop().unwrap().cid.unwrap();
    let (from, at) = (world.clients[client].address, world.tape.len());
    world.weather.loss_percent = 100;
    for number in 2..5 {
        let request = message(REQUEST_CONNECTION_ID, number, &[2]);
        world.inject(from, &sealed(&cid, 3, 70 + number, HANDSHAKE, &request));
    }
    let given = records(&world, false, at);
    let given = given.iter().filter(|record| record.kind == HANDSHAKE);
    assert!(given.clone().all(|record| record.content[0] == NEW_CONNECTION_ID));
    assert_eq!(given.count(), 1);
}

//= test rfc9147#9-3
//= test rfc9147#9-5
//= test rfc9147#9-7
//= test rfc9147#9-8
#[test]
fn connection_ids_that_were_not_negotiated_end_the_association() {
    for (kind, body) in [(NEW_CONNECTION_ID, &[0, 2, 1, 7, 1][..]), (REQUEST_CONNECTION_ID, &[1])] {
        let (mut world, client) = connected();
        let answer = says(&mut world, client, 70, HANDSHAKE, &message(kind, 3, body));
        let (answer, sessions) = (answer.last().cloned(), world.server.sessions().count());
        let alert = answer.map(|record| (record.kind, record.content));
        assert_eq!((alert, sessions), (Some((ALERT, vec![2, AlertDescription::UNEXPECTED_MESSAGE.0])), 0), "{kind}");

        let (mut world, client) = connected();
        for number in 0..9 {
            world.inject_to_client(client, &sealed(&[], 3, 70 + number, HANDSHAKE, &message(kind, number, body)));
        }
        assert!(world.clients[client].closed().is_some());
        let alert = records(&world, true, 0).pop().unwrap();
        assert_eq!((alert.kind, &alert.content[..]), (ALERT, &[2, AlertDescription::UNEXPECTED_MESSAGE.0][..]));
    }
}

//= test rfc9853#3-1
#[test]
fn the_path_check_is_offered_beside_a_connection_id_only() {
    for own_cid in [None, Some(ConnectionId::EMPTY)] {
        let mut world = world();
        world.weather.loss_percent = 100;
        world.connect(ClientConfig { rrc: true, ..config(own_cid) });
        let kinds = hello(&handshake(&world, true, CLIENT_HELLO)[0]).2.into_iter().map(|(kind, _)| kind);
        let found: Vec<u16> = kinds.filter(|kind| [54, 61].contains(kind)).collect();
        assert_eq!(found, if own_cid.is_some() { vec![54, 61] } else { vec![] });
    }
}
