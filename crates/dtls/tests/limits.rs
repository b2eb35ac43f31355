//! Both sides of the limits that show through the public API. (Those of reassembly, transcript, identities and
//! Connection IDs stand beside their code.)
#![allow(clippy::unwrap_used, reason = "tests")]

mod support;

use bartizan_crypto::AWS_LC;
use bartizan_dtls::*;
use bartizan_wire::event::RecordRejection;
use support::*;

fn server(config: EndpointConfig) -> Result<Endpoint, Error> {
    Endpoint::server(config, Box::new(Rng(1)))
}

fn client(config: ClientConfig) -> Result<Connection, Error> {
    Connection::connect(config, Instant::default(), &mut Rng(1))
}

#[test]
fn configurations_within_bounds_only() {
    let base = || EndpointConfig::new(&AWS_LC);
    for (mtu, fits) in [(127, false), (128, true), (16_673, true), (16_674, false)] {
        assert_eq!(server(EndpointConfig { mtu, ..base() }).is_ok(), fits);
        let config = ClientConfig { mtu, ..client_config("meter-1", 1) };
        assert_eq!(client(config).is_ok(), fits);
    }
    for (sessions_max, fits) in [(0, false), (1, true), (1 << 24, true), ((1 << 24) + 1, false)] {
        assert_eq!(server(EndpointConfig { sessions_max, ..base() }).is_ok(), fits);
    }
    for (lease, fits) in [(0, false), (1, true), (limits::SEQUENCE_MAX + 1, false)] {
        assert_eq!(server(EndpointConfig { lease, ..base() }).is_ok(), fits);
    }
    assert!(server(EndpointConfig { suites: vec![], ..base() }).is_err());
    assert!(server(EndpointConfig { handshakes_max: 0, ..base() }).is_err());
    assert!(server(EndpointConfig { retransmit_ms: 0, ..base() }).is_err());
    for (length, fits) in [(limits::IDENTITY_BYTES_MAX, true), (limits::IDENTITY_BYTES_MAX + 1, false)] {
        let config = client_config(&"i".repeat(length), 1);
        assert_eq!(client(config).is_ok(), fits);
    }
    let no_key = SecretBytes::new(b"").unwrap();
    assert!(client(ClientConfig { psk: no_key, ..client_config("meter-1", 1) }).is_err());
    assert!(client(ClientConfig { suites: vec![], ..client_config("meter-1", 1) }).is_err());
    assert!(ConnectionId::new(&[1; 20]).is_some() && ConnectionId::new(&[1; 21]).is_none());
}

#[test]
fn the_longest_identity_and_key_work() {
    let mut world = World::calm(server_config());
    let identity = "i".repeat(limits::IDENTITY_BYTES_MAX);
    let psk = SecretBytes::new(&[5; 64]).unwrap();
    world.keys.insert(identity.clone().into_bytes(), (psk.clone(), 77));
    // One suite, so that the hello fits one datagram.
    let suites = vec![CipherSuite::EcdhePskChacha20Poly1305Sha256];
    let client = world.connected(ClientConfig { psk, suites, mtu: 128, ..client_config(&identity, 1) });
    world.exchange(client, b"hello");
    assert_eq!(world.clients[client].data(), [b"hello"]);
}

//= test rfc6347#4.1.1.1-s2
#[test]
fn data_up_to_the_mtu() {
    let mut world = World::calm(server_config());
    let client = world.connected(with_suite(CipherSuite::PskAes128Ccm8));
    let (now, session) = (world.instant(), world.session());
    let most = world.clients[client].connection.send_bytes_max();
    assert_eq!(most, 1200 - 38);
    world.exchange(client, &vec![7; most]);
    assert_eq!(world.received(), [vec![7; most]]);
    let longer = world.clients[client].connection.send(now, &vec![7; most + 1]);
    assert!(matches!(longer, Err(Error::Misuse(_))));
    let most = world.server.send_bytes_max(session);
    assert!(world.server.send(now, session, &vec![7; most]).is_ok());
    assert!(matches!(world.server.send(now, session, &vec![7; most + 1]), Err(Error::Misuse(_))));
    world.exchange(client, b"");
    assert_eq!(world.received().last().unwrap(), b"", "an empty record is a record");
}

#[test]
fn records_in_one_datagram() {
    let mut world = World::calm(server_config());
    let client = world.connected(client_config("meter-1", 1));
    world.echo = false;
    world.weather.loss_percent = 100;
    let mut datagram = Vec::new();
    for number in 0..=limits::RECORDS_PER_DATAGRAM_MAX as u8 {
        world.send(client, &[number]);
        datagram.extend_from_slice(&world.tape.last().unwrap().2);
    }
    world.inject(address(5), &datagram);
    assert_eq!(world.received().len(), limits::RECORDS_PER_DATAGRAM_MAX);
}

#[test]
fn a_caller_that_does_not_poll_costs_no_memory() {
    let mut server = server(server_config()).unwrap();
    for _ in 0..3 * limits::EVENTS_MAX {
        server.handle(Instant::default(), address(1), &mut [0; 5]);
    }
    let events = std::iter::from_fn(|| server.poll()).count();
    assert_eq!(events, limits::EVENTS_MAX);
}

#[test]
fn cookies_without_end_end() {
    let mut world = World::calm(server_config());
    world.weather.loss_percent = 100;
    let client = world.connect(client_config("meter-1", 1));
    let request = |cookie: u8| {
        let mut datagram = vec![22, 0xFE, 0xFD, 0, 0, 0, 0, 0, 0, 0, 0, 0, 16];
        datagram.extend_from_slice(&[3, 0, 0, 4, 0, 0, 0, 0, 0, 0, 0, 4, 0xFE, 0xFF, 1, cookie]);
        datagram
    };
    for _ in 0..9 {
        world.inject_to_client(client, &request(1));
    }
    assert_eq!(world.clients[client].closed(), None, "repetitions change nothing");
    for cookie in 1..=limits::VERIFY_REQUESTS_MAX {
        world.inject_to_client(client, &request(cookie));
    }
    assert_eq!(world.clients[client].closed(), None);
    world.inject_to_client(client, &request(99));
    let reason = world.clients[client].closed();
    assert!(matches!(reason, Some(CloseReason::Failed(Error::Misbehaved(_)))), "{reason:?}");
}

#[test]
fn a_client_gives_up_after_its_last_transmission() {
    let mut world = World::calm(server_config());
    world.weather.loss_percent = 100;
    let client = world.connect(client_config("meter-1", 1));
    world.run(1_000_000);
    assert_eq!(world.clients[client].closed(), Some(CloseReason::TimedOut));
    assert_eq!(world.tape.len(), limits::CLIENT_TRANSMISSIONS_MAX as usize);
    // 1 + 2 + 4 + 8 + 16 + 32 + 60 seconds.
    assert_eq!(world.now, 1_000 + 123_000);
}

#[test]
fn a_hello_in_fragments_is_refused_without_state() {
    let mut world = World::calm(server_config());
    world.weather.loss_percent = 100;
    world.connect(client_config("meter-1", 1));
    let hello = world.tape[0].2.clone();
    let mut fragment = hello[..13 + 12 + 20].to_vec();
    fragment[11..13].copy_from_slice(&32_u16.to_be_bytes());
    fragment[22..25].copy_from_slice(&[0, 0, 20]);
    world.inject(address(1), &fragment);
    let rejected = EndpointEvent::Rejected { remote: address(1), claimed: None, reason: RecordRejection::Unexpected };
    assert_eq!(world.server_events, [rejected]);
    assert_eq!(world.tape.len(), 1, "no answer");
}
