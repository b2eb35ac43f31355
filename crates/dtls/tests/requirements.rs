//! What RFC 6347 and RFC 9146 demand and no other test shows, read off the wire.
#![allow(clippy::unwrap_used, reason = "tests")]

mod support;

use bartizan_crypto::INSECURE;
use bartizan_dtls::*;
use bartizan_wire::event::RecordRejection;
use support::records::{Record, around_cookie, message, plain, sealed, split};
use support::*;

const CLIENT_HELLO: u8 = 1;
const SERVER_HELLO: u8 = 2;
const VERIFY_REQUEST: u8 = 3;
const KEY_EXCHANGE: u8 = 16;

/// All records of one direction, in the order in which they were sent.
fn sent(world: &World, upwards: bool, cid_len: usize) -> Vec<Record> {
    let datagrams = world.tape.iter().filter(|(up, ..)| *up == upwards);
    datagrams.flat_map(|(.., data)| split(data, cid_len)).collect()
}

/// The handshake messages of epoch 0 of one direction, by type.
fn messages(world: &World, upwards: bool, kind: u8) -> Vec<Record> {
    let mut records = sent(world, upwards, if upwards { 8 } else { 0 });
    records.retain(|record| record.epoch == 0 && record.kind == 22 && record.body[0] == kind);
    records
}

/// A world in which records can be made up, and a client in it that has sent its last flight, which is lost.
fn before_finished() -> (World, usize, Vec<Record>) {
    let mut world = World::calm(EndpointConfig { provider: &INSECURE, ..server_config() });
    let config = ClientConfig { provider: &INSECURE, own_cid: None, ..with_suite(CipherSuite::PskAes128Ccm8) };
    let client = world.connect(config);
    world.run(35);
    world.weather.loss_percent = 100;
    world.run(10);
    let flight = split(&world.tape.last().unwrap().2, 0);
    assert_eq!(flight.len(), 3);
    (world, client, flight)
}

//= test rfc6347#4.2.1-1
//= test rfc6347#4.2.1-4
//= test rfc6347#4.2.1-10
//= test rfc6347#5-1
#[test]
fn the_second_hello_is_the_first_with_the_cookie() {
    for suite in CipherSuite::PSK_DTLS_1_2 {
        let mut world = World::calm(server_config());
        world.connected(with_suite(suite));
        let hellos = messages(&world, true, CLIENT_HELLO);
        let [first, second] = &hellos[..] else { panic!("{} hellos", hellos.len()) };
        let (front, none, back) = around_cookie(&first.body[12..]);
        let (front_again, cookie, back_again) = around_cookie(&second.body[12..]);
        assert_eq!((front, back), (front_again, back_again));
        assert!(none.is_empty());
        let request = &messages(&world, false, VERIFY_REQUEST)[0].body;
        assert_eq!(cookie, &request[15..]);
    }
}

#[test]
fn a_client_may_order_its_extensions_anew() {
    let mut world = World::calm(server_config());
    world.weather.loss_percent = 100;
    let client = world.connect(with_suite(CipherSuite::PskAes128Ccm8));
    let from = world.clients[client].address;
    let first = world.tape[0].2.clone();
    world.inject(from, &first);
    let request = messages(&world, false, VERIFY_REQUEST).pop().unwrap();
    world.inject_to_client(client, &request.bytes);
    let mut second = world.tape.last().unwrap().2.clone();
    let back = around_cookie(&second[25..]).2.len();
    let extensions = second.len() - back;
    // Behind the list of suites, the list of compression methods and the length of all extensions.
    let suites = usize::from(u16::from_be_bytes([second[extensions], second[extensions + 1]]));
    let extensions = extensions + 2 + suites + 2 + 2;
    let first = 4 + usize::from(second[extensions + 3]);
    assert!(second.len() > extensions + first, "there is more than one");
    second[extensions..].rotate_left(first);
    world.inject(from, &second);
    assert_eq!(messages(&world, false, SERVER_HELLO).len(), 1);
}

//= test rfc6347#4.2.1-7
//= test rfc6347#4.2.1-8
//= test rfc6347#4.2.1-9
#[test]
fn the_server_counts_on_from_the_hello_it_answers() {
    let mut world = World::calm(server_config());
    world.weather.loss_percent = 100;
    let client = world.connect(with_suite(CipherSuite::EcdhePskAes128Ccm8Sha256));
    let from = world.clients[client].address;
    let numbered = |datagram: &[u8], number: u8| {
        let mut datagram = datagram.to_vec();
        datagram[10] = number;
        datagram
    };
    let first = world.tape[0].2.clone();
    world.inject(from, &numbered(&first, 77));
    let request = messages(&world, false, VERIFY_REQUEST).pop().unwrap();
    assert_eq!((request.sequence, request.fragment().1), (77, 0));
    world.inject_to_client(client, &request.bytes);
    let second = world.tape.last().unwrap().2.clone();
    world.inject(from, &numbered(&second, 90));
    let answers = sent(&world, false, 0);
    assert_eq!(answers[1].fragment().0, SERVER_HELLO);
    world.run(4_000);
    let numbers: Vec<u64> = sent(&world, false, 0).iter().skip(1).map(|record| record.sequence).collect();
    assert!(numbers.len() >= 6, "the flight of three was repeated");
    assert_eq!(numbers, (90..90 + numbers.len() as u64).collect::<Vec<_>>());
}

//= test rfc6347#4.2.1-2
//= test rfc6347#4.2.1-3
//= test rfc6347#4.2.1-s1
#[test]
fn the_version_of_a_cookie_request_means_nothing() {
    let mut world = World::calm(server_config());
    world.connected(client_config("meter-1", 1));
    assert_eq!(messages(&world, false, VERIFY_REQUEST)[0].body[12..14], [0xFE, 0xFF]);
    assert_eq!(messages(&world, true, CLIENT_HELLO)[1].body[12..14], [0xFE, 0xFD]);
    assert_eq!(messages(&world, false, SERVER_HELLO)[0].body[12..14], [0xFE, 0xFD]);
    // A server that says DTLS 1.2 in it gets the same answer.
    world.weather.loss_percent = 100;
    let client = world.connect(client_config("meter-1", 1));
    world.inject_to_client(client, &plain(22, 0, &message(VERIFY_REQUEST, 0, &[0xFE, 0xFD, 1, 42])));
    let hello = messages(&world, true, CLIENT_HELLO).pop().unwrap();
    assert_eq!(hello.body[12..14], [0xFE, 0xFD]);
    assert_eq!(around_cookie(&hello.body[12..]).1, [42]);
}

//= test rfc6347#4.2.1-s5
//= test rfc6347#4.2.1-s6
#[test]
fn a_wrong_cookie_brings_a_request_and_another_request_another_hello() {
    let mut world = World::calm(server_config());
    world.weather.loss_percent = 100;
    let client = world.connect(client_config("meter-1", 1));
    world.inject_to_client(client, &plain(22, 0, &message(VERIFY_REQUEST, 0, &[0xFE, 0xFF, 2, 1, 2])));
    let from = world.clients[client].address;
    let wrong = world.tape.last().unwrap().2.clone();
    world.inject(from, &wrong);
    assert_eq!((world.server.handshakes(), world.server_events.len()), (0, 0));
    let request = messages(&world, false, VERIFY_REQUEST).pop().unwrap();
    world.inject_to_client(client, &request.bytes);
    let right = world.tape.last().unwrap().2.clone();
    assert_ne!(right, wrong);
    world.inject(from, &right);
    assert_eq!(world.server.handshakes(), 1);
}

//= test rfc6347#4.1-4
#[test]
fn sending_stops_at_the_last_sequence_number() {
    let mut world = World::calm(server_config());
    let config = ClientConfig { lease: limits::SEQUENCE_MAX - 2, ..client_config("meter-1", 1) };
    let client = world.connected(config.clone());
    world.exchange(client, b"one");
    let session = world.session();
    // The server keeps the end of a lease in 48 bits and gives up the last number for it.
    world.disk.leases.insert(session, limits::SEQUENCE_MAX - 1);
    world.restart();
    let now = world.instant();
    world.server.send(now, session, b"last").unwrap();
    world.server.extend_lease(session, u64::MAX);
    assert!(matches!(world.server.send(now, session, b"more"), Err(Error::Unavailable(_))));
    world.pump();
    world.run(1_000);
    assert_eq!(world.clients[client].data().last().unwrap(), b"last");
    assert_eq!(sent(&world, false, 0).last().unwrap().sequence, limits::SEQUENCE_MAX - 1);

    // Numbers 0 and 1 are used and all but the last are reserved: what wakes up has one left.
    let saved = world.clients[client].connection.save().unwrap();
    let mut connection = Connection::resume(config, saved, now).unwrap();
    connection.save().unwrap();
    connection.send(now, b"last").unwrap();
    let refused = connection.send(now, b"more");
    assert!(matches!(refused, Err(Error::Unavailable(_))), "{refused:?}");
}

//= test rfc6347#4.2.4-2
#[test]
fn data_before_finished_is_dropped_by_both_sides() {
    let (mut world, client, flight) = before_finished();
    let from = world.clients[client].address;
    world.inject_to_client(client, &sealed(b"", 9, 23, b"early"));
    assert_eq!(world.clients[client].events, [ConnectionEvent::Rejected(RecordRejection::Unexpected)]);
    world.inject(from, &flight[0].bytes);
    world.inject(from, &flight[1].bytes);
    world.inject(from, &sealed(b"", 9, 23, b"early"));
    assert_eq!(rejections(&world), [RecordRejection::Unexpected]);
    world.inject(from, &flight[2].bytes);
    assert_eq!(world.server.sessions().count(), 1);
    assert_eq!(world.received(), Vec::<Vec<u8>>::new());
    // The helper makes what opens.
    world.inject(from, &sealed(b"", 10, 23, b"late"));
    assert_eq!(world.received(), [b"late"]);
}

//= test rfc6347#4.1-2
//= test rfc6347#4.2.5-1
#[test]
fn a_repeated_flight_of_epoch_0_brings_the_whole_answer_again() {
    let (mut world, client, flight) = before_finished();
    let theirs = world.tape.iter().rfind(|(up, ..)| !*up).unwrap().2.clone();
    world.now += 600;
    let datagrams = world.tape.len();
    world.inject_to_client(client, &theirs);
    assert_eq!(world.tape.len(), datagrams + 1);
    let again = split(&world.tape.last().unwrap().2, 0);
    let shape = |flight: &[Record]| flight.iter().map(|record| (record.kind, record.epoch)).collect::<Vec<_>>();
    assert_eq!(shape(&again), [(22, 0), (20, 0), (22, 1)]);
    assert_eq!(shape(&again), shape(&flight));
    assert!(again.iter().zip(&flight).all(|(new, old)| new.sequence > old.sequence));
    // The server's Finished, too, comes behind its ChangeCipherSpec, the first time and when it is repeated.
    let from = world.clients[client].address;
    let datagram = |flight: &[Record]| flight.iter().flat_map(|record| record.bytes.clone()).collect::<Vec<_>>();
    for flight in [&flight, &again] {
        world.inject(from, &datagram(flight));
        let answer = split(&world.tape.last().unwrap().2, 0);
        assert_eq!(shape(&answer), [(20, 0), (22, 1)]);
    }
    assert_eq!(rejections(&world), []);
}

//= test rfc6347#4.2.3-2
//= test rfc6347#4.2.3-3
//= test rfc6347#4.2.3-s1
#[test]
fn fragments_follow_each_other_without_a_gap() {
    let mut world = World::calm(server_config());
    let identity = "i".repeat(limits::IDENTITY_BYTES_MAX);
    world.keys.insert(identity.clone().into_bytes(), (key(1), 77));
    // One suite, so that the hello fits one datagram.
    let suites = vec![CipherSuite::EcdhePskChacha20Poly1305Sha256];
    world.connected(ClientConfig { suites, mtu: 128, ..client_config(&identity, 1) });
    let mut due = 0;
    let pieces = messages(&world, true, KEY_EXCHANGE);
    assert!(pieces.len() > 2);
    for piece in pieces {
        let (_, _, offset, length) = piece.fragment();
        assert_eq!((offset, length), (due, piece.body.len() - 12));
        due += length;
    }
    assert_eq!(due, 2 + limits::IDENTITY_BYTES_MAX + 33, "length, identity, share");
}

//= test rfc6347#4.2.7-s1
#[test]
fn a_hello_without_common_ground_is_told_so_every_time() {
    let suites = vec![CipherSuite::PskAes128GcmSha256];
    let mut world = World::calm(EndpointConfig { suites, ..server_config() });
    let client = world.connect(with_suite(CipherSuite::PskAes128Ccm8));
    world.run(35);
    let hello = messages(&world, true, CLIENT_HELLO).pop().unwrap();
    let from = world.clients[client].address;
    for _ in 0..3 {
        world.inject(from, &hello.bytes);
        let answer = split(&world.tape.last().unwrap().2, 0);
        let fatal = [2, AlertDescription::HANDSHAKE_FAILURE.0];
        assert_eq!((answer[0].kind, &answer[0].body[..]), (21, &fatal[..]));
    }
}

//= test rfc6347#4.2.8-2
#[test]
fn a_new_association_of_an_address_leaves_no_way_to_the_old_one() {
    let config = ClientConfig { own_cid: None, ..client_config("meter-1", 1) };
    let mut world = World::calm(server_config());
    let old = world.connected(config.clone());
    let home = world.clients[old].address;
    world.exchange(old, b"before");
    world.weather.loss_percent = 100;
    world.send(old, b"of the old one");
    let late = world.tape.last().unwrap().2.clone();
    world.weather.loss_percent = 0;
    world.clients[old].address = address(1);
    let new = world.connect(config);
    world.clients[new].address = home;
    world.run(300_000);
    assert!(world.clients[new].connection.is_connected());
    world.inject(home, &late);
    assert_eq!(rejections(&world).last(), Some(&RecordRejection::Forged));
    world.exchange(new, b"after");
    assert_eq!(world.received(), [&b"before"[..], b"after"]);
    assert_eq!(world.server.sessions().count(), 1);
}

//= test rfc6347#4.1.2.1-s1
//= test rfc6347#4.1.2.6-s1
#[test]
fn records_that_do_not_verify_or_come_again_are_dropped_without_a_word() {
    let mut world = World::calm(server_config());
    let client = world.connected(client_config("meter-1", 1));
    world.exchange(client, b"reading");
    let from = world.clients[client].address;
    let up = world.tape.iter().rfind(|(up, ..)| *up).unwrap().2.clone();
    let down = world.tape.last().unwrap().2.clone();
    let datagrams = world.tape.len();
    world.server_events.clear();
    // A replay that was tampered with as well is told by its number: no cipher ran.
    let mut tampered = up.clone();
    *tampered.last_mut().unwrap() ^= 1;
    world.inject(from, &tampered);
    assert_eq!(rejections(&world), [RecordRejection::Replayed]);
    // Record number 200, nobody's tag.
    let number = 200;
    for record in [&up, &down] {
        let mut forged = record.clone();
        forged[10] = number;
        world.inject(from, &forged);
        world.inject_to_client(client, &forged);
    }
    assert!(rejections(&world).contains(&RecordRejection::Forged));
    let told = world.clients[client].events.last().unwrap();
    assert_eq!(*told, ConnectionEvent::Rejected(RecordRejection::Forged));
    assert_eq!(world.tape.len(), datagrams, "not a word");
    world.exchange(client, b"still here");
    assert_eq!(world.clients[client].data().last().unwrap(), b"still here");
}

//= test rfc6347#4.1.2.7-1
#[test]
fn the_alert_for_a_finished_that_does_not_open_is_fatal() {
    let mut world = World::calm(server_config());
    world.connect(client_config("meter-1", 99));
    world.run(400_000);
    let alerts: Vec<Record> = sent(&world, false, 0).into_iter().filter(|record| record.kind == 21).collect();
    assert_eq!(alerts.len(), 1);
    assert_eq!(alerts[0].body, [2, AlertDescription::BAD_RECORD_MAC.0]);
}

//= test rfc6347#4.1.2.2-1
#[test]
fn no_suite_has_rc4() {
    // TLS_RSA_WITH_RC4_128_MD5 and _SHA, and the RC4 suites of DH, ECDH, ECDHE, PSK, DHE_PSK, RSA_PSK, ECDHE_PSK.
    let rc4 = [4, 5, 0x18, 0xC002, 0xC007, 0xC00C, 0xC011, 0xC016, 0x8A, 0x8E, 0x92, 0xC033];
    assert!(rc4.into_iter().all(|code| CipherSuite::from_code(code).is_none()));
    assert!(CipherSuite::ALL.iter().all(|suite| !suite.name().contains("RC4")));
}

//= test rfc9146#3-1
//= test rfc9146#3-2
//= test rfc9146#3-3
//= test rfc9146#3-4
#[test]
fn records_have_the_format_that_their_receiver_asked_for() {
    for length in 0..=limits::CONNECTION_ID_BYTES_MAX {
        let cid: Vec<u8> = (0..length as u8).collect();
        let own_cid = ConnectionId::new(&cid);
        let mut world = World::calm(server_config());
        let client = world.connected(ClientConfig { own_cid, ..client_config("meter-1", 1) });
        world.exchange(client, b"reading");
        assert_eq!(world.clients[client].data(), [b"reading"]);

        let hello = &messages(&world, true, CLIENT_HELLO)[0].body;
        let mut extension = vec![0, 54, 0, 1 + length as u8, length as u8];
        extension.extend_from_slice(&cid);
        assert!(hello.windows(extension.len()).any(|bytes| bytes == extension));

        let upwards = sent(&world, true, 8);
        assert!(upwards.iter().all(|record| (record.kind == 25) == (record.epoch == 1)));
        let downwards = sent(&world, false, length);
        let protected: Vec<&Record> = downwards.iter().filter(|record| record.epoch == 1).collect();
        assert!(protected.len() >= 2);
        assert!(protected.iter().all(|record| (record.kind == 25) == (length > 0) && record.cid == cid));
        assert!(downwards.iter().all(|record| record.epoch == 1 || record.kind != 25));
    }
    let mut world = World::calm(server_config());
    let client = world.connected(ClientConfig { own_cid: None, ..client_config("meter-1", 1) });
    world.exchange(client, b"reading");
    let all = [sent(&world, true, 0), sent(&world, false, 0)].concat();
    assert!(all.iter().any(|record| record.epoch == 1) && all.iter().all(|record| record.kind != 25));
}

//= test rfc9147#4.4-1
//= test rfc6347#4.1.1.1-1
//= test rfc9146#5-2
#[test]
fn the_longest_record_stays_within_its_bound() {
    let mtu = limits::MTU_MAX;
    let mut world = World::calm(EndpointConfig { mtu, ..server_config() });
    let client = world.connected(ClientConfig { mtu, ..client_config("meter-1", 1) });
    let most = world.clients[client].connection.send_bytes_max();
    world.exchange(client, &vec![7; most]);
    assert_eq!(world.received(), [vec![7; most]]);
    let longest = sent(&world, true, 8).into_iter().map(|record| record.body.len()).max().unwrap();
    assert!(longest <= limits::PLAINTEXT_BYTES_MAX + 256);
    assert!(most < limits::PLAINTEXT_BYTES_MAX, "the content type is within the bound, too");
}
