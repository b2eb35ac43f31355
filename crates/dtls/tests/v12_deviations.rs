//! Where DTLS 1.2 here once deviated from its RFCs, or trusted what anybody can send.
#![allow(clippy::unwrap_used, reason = "tests")]

mod support;

use bartizan_crypto::INSECURE;
use bartizan_dtls::*;
use bartizan_wire::event::RecordRejection;
use support::records::{Record, message, plain, sealed, split};
use support::*;

const SUITE: CipherSuite = CipherSuite::PskAes128Ccm8;
const HELLO_REQUEST: u8 = 0;
const VERIFY_REQUEST: u8 = 3;
const FINISHED: u8 = 20;

type Extensions = Vec<(u16, Vec<u8>)>;

fn insecure(own_cid: Option<ConnectionId>) -> (World, ClientConfig) {
    let world = World::calm(EndpointConfig { provider: &INSECURE, ..server_config() });
    (world, ClientConfig { provider: &INSECURE, own_cid, rrc: false, ..with_suite(SUITE) })
}

fn last(world: &World, up: bool) -> Vec<u8> {
    world.tape.iter().rfind(|(direction, ..)| *direction == up).unwrap().2.clone()
}

/// A client whose last flight is lost, and the records of it.
fn before_finished(own_cid: Option<ConnectionId>) -> (World, usize, Vec<Record>) {
    let (mut world, config) = insecure(own_cid);
    let client = world.connect(config);
    world.run(35);
    world.weather.loss_percent = 100;
    world.run(10);
    let flight = split(&last(&world, true), 8);
    assert_eq!(flight.len(), 3);
    (world, client, flight)
}

/// A ServerHello of either version, alone in its record, with other extensions.
fn with_extensions(hello: &Record, change: impl Fn(&mut Extensions)) -> Vec<u8> {
    let number = |bytes: &[u8]| bytes.iter().fold(0, |sum, byte| sum << 8 | usize::from(*byte));
    let length = number(&hello.body[1..4]);
    let body = &hello.body[12..12 + length];
    let at = 2 + 32 + 1 + usize::from(body[34]) + 2 + 1;
    let (mut rest, mut list) = (&body[at + 2..], Extensions::new());
    while !rest.is_empty() {
        let length = number(&rest[2..4]);
        list.push((number(&rest[..2]) as u16, rest[4..4 + length].to_vec()));
        rest = &rest[4 + length..];
    }
    change(&mut list);
    let put =
        |(kind, body): &(u16, Vec<u8>)| [&kind.to_be_bytes(), &(body.len() as u16).to_be_bytes(), &body[..]].concat();
    let list: Vec<u8> = list.iter().flat_map(put).collect();
    let body = [&body[..at], &(list.len() as u16).to_be_bytes(), &list].concat();
    plain(22, 9, &message(hello.body[0], hello.body[5], &body))
}

/// How a client ends whose ServerHello was changed, and the alert that it leaves with.
fn ends(versions: Versions, own_cid: Option<ConnectionId>, change: impl Fn(&mut Extensions)) -> (CloseReason, u8) {
    let suites = vec![CipherSuite::Aes128Ccm8Sha256, SUITE];
    let groups = vec![];
    let config = ClientConfig { versions, suites, groups, own_cid, rrc: false, ..client_config("meter-1", 1) };
    ends_with(config, change)
}

fn ends_with(config: ClientConfig, change: impl Fn(&mut Extensions)) -> (CloseReason, u8) {
    let mut world = World::calm(server_config());
    let client = world.connect(config);
    world.run(25);
    world.weather.loss_percent = 100;
    world.run(10);
    let datagram = last(&world, false);
    let length = usize::from(u16::from_be_bytes([datagram[11], datagram[12]]));
    let hello = split(&datagram[..13 + length], 0).remove(0);
    let hello = with_extensions(&hello, change);
    world.inject_to_client(client, &hello);
    let closed = world.clients[client].closed().unwrap();
    (closed, *last(&world, true).last().unwrap())
}

#[test]
fn a_server_whose_connection_id_is_too_long_to_be_held_is_not_taken_for_one_without() {
    for versions in [Versions::DTLS_1_2, Versions::DTLS_1_3] {
        let (closed, _) = ends(versions, Some(ConnectionId::EMPTY), |list| {
            let cid = list.iter_mut().find(|(kind, _)| *kind == 54).unwrap();
            cid.1 = [&[21], &[7; 21][..]].concat();
        });
        assert!(matches!(closed, CloseReason::Failed(Error::Unsupported(_))), "{versions:?} {closed:?}");
    }
}

#[test]
fn extensions_out_of_place_have_alerts_of_their_own() {
    for versions in [Versions::DTLS_1_2, Versions::DTLS_1_3] {
        let (_, alert) = ends(versions, None, |list| list.push((54, vec![1, 7])));
        assert_eq!(alert, AlertDescription::UNSUPPORTED_EXTENSION.0);
        let (_, alert) = ends(versions, None, |list| list.push(list[0].clone()));
        assert_eq!(alert, AlertDescription::DECODE_ERROR.0);
    }
}

//= test rfc8449#5-2
//= test rfc8449#5-s1
#[test]
fn two_limits_in_one_answer_end_the_handshake() {
    let config = ClientConfig {
        record_size_limit: Some(300),
        max_fragment_length: Some(MaxFragmentLength::Bytes512),
        ..with_suite(SUITE)
    };
    let (closed, alert) = ends_with(config, |list| list.push((1, vec![1])));
    assert!(matches!(closed, CloseReason::Failed(Error::Misbehaved(_))));
    assert_eq!(alert, AlertDescription::ILLEGAL_PARAMETER.0);
}

//= test rfc8449#4-2
//= test rfc8449#4-6
#[test]
fn no_limit_beyond_the_bounds_is_advertised() {
    for (limit, fits) in [(63, false), (64, true), (16_384, true), (16_385, false)] {
        let config = ClientConfig { record_size_limit: Some(limit), ..with_suite(SUITE) };
        assert_eq!(Connection::connect(config, Instant::default(), &mut Rng(1)).is_ok(), fits, "{limit}");
        let config = EndpointConfig { record_size_limit: Some(limit), ..server_config() };
        assert_eq!(Endpoint::server(config, Box::new(Rng(1))).is_ok(), fits, "{limit}");
    }
}

//= test rfc6347#4.2.3-4
#[test]
fn a_finished_in_fragments_is_put_together() {
    let (mut world, client, flight) = before_finished(None);
    let from = world.clients[client].address;
    let finished = &flight[2].body[8..flight[2].body.len() - 8];
    assert_eq!((finished.len(), finished[0]), (24, FINISHED));
    let part = |at: usize, end: usize| {
        let header = [&finished[..6], &[0, 0, at as u8, 0, 0, (end - at) as u8]].concat();
        [&header, &finished[12 + at..12 + end]].concat()
    };
    world.inject(from, &[&flight[0].bytes[..], &flight[1].bytes].concat());
    world.inject(from, &sealed(&[], 0, 22, &part(5, 12)));
    assert_eq!(world.server.handshakes(), 1);
    world.inject(from, &sealed(&[], 1, 22, &part(0, 7)));
    assert_eq!(world.server.sessions().count(), 1, "{:?}", world.server_events);
}

/// A Connection ID leads to a handshake from anywhere; what does not open there is nobody's fault but the sender's.
#[test]
fn forged_records_from_elsewhere_do_not_end_a_handshake() {
    let mut world = World::calm(server_config());
    let client = world.connect(with_suite(SUITE));
    world.run(35);
    world.weather.loss_percent = 100;
    world.run(10);
    let flight = split(&last(&world, true), 8);
    let from = world.clients[client].address;
    world.inject(from, &[&flight[0].bytes[..], &flight[1].bytes].concat());
    let before = world.tape.len();
    let mut forged = flight[2].bytes.clone();
    *forged.last_mut().unwrap() ^= 1;
    for _ in 0..10 {
        world.inject(address(666), &forged);
    }
    assert_eq!(world.tape.len(), before, "and nobody is told");
    assert_eq!(world.server.handshakes(), 1);
    world.inject(from, &flight[2].bytes);
    assert_eq!(world.server.sessions().count(), 1);
}

/// RFC 5246 section 7.4.1.1: a client that is in a handshake ignores it.
#[test]
fn a_hello_request_in_the_handshake_is_ignored() {
    for moment in [5, 15, 25, 35, 45] {
        let mut world = World::calm(server_config());
        let client = world.connect(with_suite(SUITE));
        world.run(moment);
        for number in 0..4 {
            world.inject_to_client(client, &plain(22, 9, &message(HELLO_REQUEST, number, b"")));
        }
        world.run(10_000);
        assert!(world.clients[client].connection.is_connected(), "{moment}: {:?}", world.clients[client].events);
    }
}

#[test]
fn a_hello_verify_request_with_an_empty_cookie_is_answered() {
    let mut world = World::calm(server_config());
    world.weather.loss_percent = 100;
    let client = world.connect(with_suite(SUITE));
    let request = plain(22, 0, &message(VERIFY_REQUEST, 0, &[0xFE, 0xFF, 0]));
    let before = world.tape.len();
    world.inject_to_client(client, &request);
    let again = split(&last(&world, true), 0).remove(0);
    assert_eq!((world.tape.len(), again.fragment().0, again.fragment().1), (before + 1, 1, 1));
    world.inject_to_client(client, &request);
    assert_eq!(world.tape.len(), before + 1, "the same once more is a repetition");
}

/// RFC 6347 section 4.1: what comes behind our ChangeCipherSpec is of epoch 1.
#[test]
fn an_alert_behind_our_change_cipher_spec_is_sealed() {
    let (mut world, client, _) = before_finished(None);
    let server = [plain(20, 8, &[1]), sealed(&[], 0, 22, &message(FINISHED, 4, &[0; 12]))];
    // The number of its Finished depends on the suite; the others are out of place, which ends it as well.
    for number in 2..6 {
        let finished = sealed(&[], number, 22, &message(FINISHED, number, &[0; 12]));
        world.inject_to_client(client, &[&server[0][..], &finished].concat());
    }
    assert!(matches!(world.clients[client].closed(), Some(CloseReason::Failed(_))));
    let alert = split(&last(&world, true), 0).remove(0);
    assert_eq!((alert.kind, alert.epoch), (21, 1));
}

//= test rfc9146#5-2
#[test]
fn content_type_and_padding_together_have_an_end() {
    for (length, fits) in [(limits::PLAINTEXT_BYTES_MAX - 1, true), (limits::PLAINTEXT_BYTES_MAX, false)] {
        let (mut world, config) = insecure(Some(ConnectionId::EMPTY));
        world.echo = false;
        let client = world.connected(config);
        world.exchange(client, b"x");
        let cid = split(&last(&world, true), 8).remove(0).cid;
        let from = world.clients[client].address;
        world.inject(from, &sealed(&cid, 40, 23, &vec![7; length]));
        assert_eq!(world.received().len(), 1 + usize::from(fits));
        let refused =
            |event: &EndpointEvent| matches!(event, EndpointEvent::Rejected { reason: RecordRejection::Malformed, .. });
        assert_eq!(world.count(refused), usize::from(!fits));
    }
}
