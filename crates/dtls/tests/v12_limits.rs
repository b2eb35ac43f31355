//! Record sizes, forgeries, short keys and configurations that cannot be secure: both sides of each bound.
#![allow(clippy::unwrap_used, reason = "tests")]

mod support;

use bartizan_crypto::{AWS_LC, RUSTCRYPTO};
use bartizan_dtls::*;
use bartizan_wire::event::{HandshakeFailure, RecordRejection};
use support::people::*;
use support::*;

fn refused(result: Result<Endpoint, Error>) -> &'static str {
    match result {
        Err(Error::Misuse(why)) => why,
        other => panic!("{:?}", other.map(|_| ())),
    }
}

fn server(config: EndpointConfig) -> Result<Endpoint, Error> {
    Endpoint::server(config, Box::new(Rng(1)))
}

fn client(config: ClientConfig) -> Result<Connection, Error> {
    Connection::connect(config, Instant::default(), &mut Rng(1))
}

#[test]
fn servers_that_cannot_be_secure_say_why() {
    let base = || EndpointConfig::new(&AWS_LC);
    let own = || Some(SERVER.credential(X509));
    let certified = ECDSA_SUITES.to_vec();
    let why = refused(server(EndpointConfig { suites: certified.clone(), ..base() }));
    assert!(why.contains("no credential"), "{why}");
    let why = refused(server(EndpointConfig { credential: own(), ..base() }));
    assert!(why.contains("anonymous"), "{why}");
    let asked = ClientAuthentication::None;
    assert!(
        server(EndpointConfig { credential: own(), client_authentication: asked, suites: certified, ..base() }).is_ok()
    );
    let why = refused(server(EndpointConfig { nat: true, ..base() }));
    assert!(why.contains("NAT"), "{why}");
    assert!(server(EndpointConfig { nat: true, require_cid: true, ..base() }).is_ok());
    for (limit, fits) in [(63, false), (64, true), (16_384, true), (16_385, false)] {
        assert_eq!(server(EndpointConfig { record_size_limit: Some(limit), ..base() }).is_ok(), fits);
    }
    for (most, fits) in [(0, false), (1, true), (limits::FORGERIES_MAX_CCM_8_MOST, true)] {
        assert_eq!(server(EndpointConfig { ccm_8_forgeries_max: most, ..base() }).is_ok(), fits);
    }
}

#[test]
fn clients_that_cannot_be_secure_say_why() {
    let psk = |bytes: usize| SecretBytes::new(&vec![1; bytes]).unwrap();
    for (bytes, fits) in [(0, false), (1, false), (15, false), (16, true), (64, true)] {
        assert_eq!(client(ClientConfig { psk: psk(bytes), ..client_config("meter-1", 1) }).is_ok(), fits);
    }
    let base = || usual().1;
    assert!(client(base()).is_ok());
    assert!(client(ClientConfig { verifier: None, ..base() }).is_err(), "nobody is believed");
    assert!(client(ClientConfig { groups: vec![], ..base() }).is_err());
    assert!(client(ClientConfig { credential: base().credential, ..client_config("meter-1", 1) }).is_err());
    for (own_cid, fits) in [(None, false), (Some(ConnectionId::EMPTY), true)] {
        assert_eq!(client(ClientConfig { nat: true, own_cid, ..base() }).is_ok(), fits);
    }
    for (length, fits) in [(0, false), (1, true), (255, true), (256, false)] {
        assert_eq!(client(ClientConfig { server_name: Some("n".repeat(length)), ..base() }).is_ok(), fits);
    }
    for (limit, fits) in [(63, false), (64, true)] {
        assert_eq!(client(ClientConfig { record_size_limit: Some(limit), ..base() }).is_ok(), fits);
    }
}

#[test]
fn behind_a_nat_a_server_without_connection_ids_is_refused() {
    let mut world = World::calm(server_config());
    let client = world.connected(ClientConfig { nat: true, ..client_config("meter-1", 1) });
    assert!(world.clients[client].closed().is_none());
}

#[test]
fn a_short_key_from_the_caller_counts_as_none_and_is_named() {
    for (bytes, fits) in [(15, false), (16, true)] {
        let psk = SecretBytes::new(&vec![7; bytes]).unwrap();
        let mut world = World::calm(server_config());
        world.keys.insert(b"meter-1".to_vec(), (psk, 1));
        let padded = SecretBytes::new(&[7; 16]).unwrap();
        let client = world.connect(ClientConfig { psk: padded, ..client_config("meter-1", 1) });
        world.run(300_000);
        assert_eq!(world.clients[client].connection.is_connected(), fits);
        let misused = |event: &EndpointEvent| matches!(event, EndpointEvent::Misused { principal: 1, .. });
        assert_eq!(world.count(misused), usize::from(!fits));
        let unknown = |event: &EndpointEvent| {
            matches!(event, EndpointEvent::HandshakeFailed { reason: HandshakeFailure::UnknownIdentity, .. })
        };
        assert_eq!(world.count(unknown), usize::from(!fits));
    }
}

/// Of two suites with the same key exchange the one with the long tag is taken, whatever the client's order.
#[test]
fn long_tags_win() {
    let short = [CipherSuite::EcdheEcdsaAes128Ccm8, CipherSuite::EcdhePskAes128Ccm8Sha256, CipherSuite::PskAes128Ccm8];
    for short in short {
        let long = CipherSuite::ALL
            .into_iter()
            .filter(|suite| suite.key_exchange() == short.key_exchange() && suite.cipher() != Cipher::Aes128Ccm8);
        for long in long {
            let psk = client_config("meter-1", 1).psk;
            let identity = b"meter-1".to_vec();
            let (server, client) = usual();
            let mut world = World::calm(server);
            let client = world.connected(ClientConfig { suites: vec![short, long], psk, identity, ..client });
            world.exchange(client, b"x");
            assert_eq!(world.server.session(world.session()).unwrap().suite, long);
        }
    }
}

/// Lengths of the contents of the records of epoch 0 in a direction.
fn clear_lengths(world: &World, up: bool) -> Vec<usize> {
    let mut lengths = Vec::new();
    for (_, _, data) in world.tape.iter().filter(|(direction, ..)| *direction == up) {
        let mut rest = &data[..];
        while rest.len() >= 13 && rest[3..5] == [0, 0] {
            let length = usize::from(u16::from_be_bytes([rest[11], rest[12]]));
            lengths.push(length);
            rest = &rest[13 + length..];
        }
    }
    lengths
}

//= test rfc8449#4-1
#[test]
fn record_size_limits_hold_both_ways() {
    for own_cid in [None, ConnectionId::new(b"device-7")] {
        for suite in [CipherSuite::PskAes128Ccm8, CipherSuite::EcdhePskAes256GcmSha384] {
            let config = EndpointConfig { record_size_limit: Some(100), ..server_config() };
            let mut world = World::calm(config);
            let client = ClientConfig { record_size_limit: Some(80), own_cid, ..with_suite(suite) };
            let client = world.connected(client);
            let (now, session) = (world.instant(), world.session());
            // The content type of a record with a Connection ID is encrypted, too.
            let inner = usize::from(own_cid.is_some());
            let up = world.clients[client].connection.send_bytes_max();
            let down = world.server.send_bytes_max(session);
            assert_eq!((up, down), (100 - inner, 80 - inner));
            assert!(world.clients[client].connection.send(now, &vec![1; up + 1]).is_err());
            assert!(world.server.send(now, session, &vec![1; down + 1]).is_err());
            world.echo = false;
            world.exchange(client, &vec![1; up]);
            assert_eq!(world.received(), [vec![1; up]]);
            world.server.send(now, session, &vec![2; down]).unwrap();
            world.pump();
            world.run(1_000);
            assert_eq!(world.clients[client].data(), [vec![2; down]]);
            // A saved association and a restarted server remember.
            let saved = world.clients[client].connection.save().unwrap().to_bytes();
            assert!(saved.len() <= 224);
            let saved = SavedSession::from_bytes(&saved).unwrap();
            let mut resumed = Connection::resume(with_suite(suite), saved, now).unwrap();
            let _ = resumed.save();
            assert_eq!(resumed.send_bytes_max(), up);
            world.restart();
            assert_eq!(world.server.send_bytes_max(session), down);
        }
    }
}

//= test rfc8449#4-5
/// A peer that does not keep to what it agreed to: its limit is lifted by taking the words out of its mouth.
#[test]
fn an_authentic_record_that_is_too_long_ends_the_association() {
    for own_cid in [None, ConnectionId::new(b"device-7")] {
        let config = EndpointConfig { record_size_limit: Some(100), ..server_config() };
        let mut world = World::calm(config);
        let suite = CipherSuite::PskAes128Ccm8;
        let client = world.connected(ClientConfig { record_size_limit: Some(80), own_cid, ..with_suite(suite) });
        let now = world.instant();
        let mut saved = world.clients[client].connection.save().unwrap().to_bytes();
        let end = saved.len();
        saved[end - 4..].copy_from_slice(&[0x40, 0, 0x40, 0]);
        let saved = SavedSession::from_bytes(&saved).unwrap();
        let mut unbound = Connection::resume(with_suite(suite), saved, now).unwrap();
        let _ = unbound.save();
        let inner = usize::from(own_cid.is_some());
        unbound.send(now, &vec![1; 101 - inner]).unwrap();
        let record = unbound.poll_transmit(now).unwrap();
        let from = world.clients[client].address;
        world.inject(from, &record);
        world.run(1_000);
        assert_eq!(world.received(), Vec::<Vec<u8>>::new());
        assert_eq!(world.server.sessions().count(), 0);
        let overflow = CloseReason::Alert(AlertDescription::RECORD_OVERFLOW);
        assert_eq!(world.clients[client].closed(), Some(overflow));
    }
}

#[test]
fn fragment_lengths_hold_for_every_record() {
    for (length, bytes) in [(MaxFragmentLength::Bytes512, 512), (MaxFragmentLength::Bytes1024, 1024)] {
        let own = SERVER.with_chain(X509, &[1500, 1500]);
        let server = EndpointConfig { mtu: 4000, ..certified_server(own, X509) };
        let mut world = World::calm(server);
        let client = certified_client(Some(METER.with_chain(X509, &[1500, 1500])), X509);
        let client = world.connected(ClientConfig { max_fragment_length: Some(length), mtu: 4000, ..client });
        for up in [true, false] {
            let longest = clear_lengths(&world, up).into_iter().max().unwrap();
            assert_eq!(longest, bytes, "full records, and none longer");
        }
        let session = world.session();
        assert_eq!(world.clients[client].connection.send_bytes_max(), bytes - 1);
        // The client's Connection ID is empty, so the server's records have no inner type.
        assert_eq!(world.server.send_bytes_max(session), bytes);
        world.exchange(client, &vec![1; bytes - 1]);
        assert_eq!(world.clients[client].data(), [vec![1; bytes - 1]]);
    }
}

//= test rfc8449#5-1
#[test]
fn of_two_limits_the_newer_counts() {
    let mut world = World::calm(server_config());
    let limits = ClientConfig {
        record_size_limit: Some(300),
        max_fragment_length: Some(MaxFragmentLength::Bytes512),
        ..with_suite(CipherSuite::PskAes128Ccm8)
    };
    world.connected(limits);
    assert_eq!(world.server.send_bytes_max(world.session()), 300);
}

/// Records that do not open, with numbers that have not been seen.
fn forge(record: &[u8], number: u32) -> Vec<u8> {
    let mut forged = record.to_vec();
    forged[7..11].copy_from_slice(&(1_000 + number).to_be_bytes());
    forged
}

#[test]
fn forgeries_end_an_association_with_short_tags_at_their_limit() {
    for own_cid in [None, Some(ConnectionId::EMPTY)] {
        for most in [1, 7, limits::FORGERIES_MAX_CCM_8, 1000] {
            let config = EndpointConfig { ccm_8_forgeries_max: most, ..server_config() };
            let mut world = World::calm(config);
            let client = world.connected(ClientConfig { own_cid, ..with_suite(CipherSuite::PskAes128Ccm8) });
            world.exchange(client, b"reading");
            let record = world.tape.iter().rfind(|(up, ..)| *up).unwrap().2.clone();
            let home = world.clients[client].address;
            // From anywhere, where a Connection ID leads; else from home.
            let from = |number: u32| if own_cid.is_some() { address(number as u16 + 1) } else { home };
            for number in 1..u32::from(most) {
                world.inject(from(number), &forge(&record, number));
            }
            assert_eq!(world.server.sessions().count(), 1, "one below the limit");
            world.exchange(client, b"still here");
            world.inject(from(0), &forge(&record, 0));
            assert_eq!(world.server.sessions().count(), 0);
            let closed = |event: &EndpointEvent| {
                matches!(event, EndpointEvent::Closed { principal: 1, reason: CloseReason::Forgeries, .. })
            };
            assert_eq!(world.count(closed), 1);
            // The device is told in a record that nobody else can make, and can begin anew at once.
            world.run(1_000);
            let told = CloseReason::Alert(AlertDescription::BAD_RECORD_MAC);
            assert_eq!(world.clients[client].closed(), Some(told));
        }
    }
}

#[test]
fn long_tags_give_no_lever() {
    for suite in [CipherSuite::PskAes128GcmSha256, CipherSuite::PskAes128Ccm, CipherSuite::PskChacha20Poly1305Sha256] {
        let mut world = World::calm(server_config());
        let client = world.connected(with_suite(suite));
        world.exchange(client, b"reading");
        let record = world.tape.iter().rfind(|(up, ..)| *up).unwrap().2.clone();
        for number in 0..2_000 {
            world.inject(address(9), &forge(&record, number));
        }
        world.exchange(client, b"still here");
        assert_eq!(world.received().last().unwrap(), b"still here");
    }
}

#[test]
fn replays_and_wrong_connection_ids_are_not_counted_as_forgeries() {
    let mut world = World::calm(EndpointConfig { ccm_8_forgeries_max: 1, ..server_config() });
    let client = world.connected(with_suite(CipherSuite::PskAes128Ccm8));
    world.exchange(client, b"reading");
    let record = world.tape.iter().rfind(|(up, ..)| *up).unwrap().2.clone();
    for _ in 0..10 {
        world.inject(address(9), &record);
        let mut elsewhere = record.clone();
        elsewhere[14] ^= 1;
        world.inject(address(9), &elsewhere);
    }
    assert_eq!(world.server.sessions().count(), 1);
}

#[test]
fn the_client_counts_too() {
    let mut world = World::calm(server_config());
    let cid = ConnectionId::new(b"abc");
    let client = world.connected(ClientConfig { own_cid: cid, ..with_suite(CipherSuite::PskAes128Ccm8) });
    world.exchange(client, b"reading");
    let record = world.tape.iter().rfind(|(up, ..)| !*up).unwrap().2.clone();
    for number in 1..u32::from(limits::FORGERIES_MAX_CCM_8) {
        world.inject_to_client(client, &forge(&record, number));
    }
    assert!(world.clients[client].connection.is_connected());
    world.inject_to_client(client, &forge(&record, 0));
    let forged = ConnectionEvent::Rejected(RecordRejection::Forged);
    assert_eq!(world.clients[client].events.iter().filter(|event| **event == forged).count(), 128);
    assert_eq!(world.clients[client].closed(), Some(CloseReason::Forgeries));
    world.run(1_000);
    assert_eq!(world.server.sessions().count(), 0, "the server was told");
}

/// A Certificate has room only where it was asked for.
#[test]
fn a_long_message_has_no_room_where_no_certificate_was_asked_for() {
    let mut world = World::calm(EndpointConfig { handshakes_max: 1, ..server_config() });
    let client = world.connect(with_suite(CipherSuite::PskAes128Ccm8));
    world.run(35);
    assert_eq!(world.server.handshakes(), 1);
    let home = world.clients[client].address;
    let fragment = |kind: u8, length: u32| {
        let mut out = vec![22, 0xFE, 0xFD, 0, 0, 0, 0, 0, 0, 0, 9, 0, 13, kind];
        out.extend_from_slice(&length.to_be_bytes()[1..]);
        out.extend_from_slice(&[0, 2, 0, 0, 0, 0, 0, 1, 7]);
        out
    };
    let rejected = |world: &World| world.count(|event| matches!(event, EndpointEvent::Rejected { .. }));
    for (kind, length, refused) in [(11, 2048, 0), (11, 2049, 1), (11, 6144, 2), (16, 2049, 3), (16, 1 << 23, 4)] {
        world.inject(home, &fragment(kind, length));
        assert_eq!(rejected(&world), refused, "{kind} {length}");
    }
    // The message that is due takes the place of the forged one.
    world.run(300_000);
    assert!(world.clients[client].connection.is_connected());
}

#[test]
fn both_providers_agree_on_limits() {
    for provider in [&RUSTCRYPTO, &AWS_LC] {
        let mut world = World::calm(EndpointConfig { provider, record_size_limit: Some(64), ..server_config() });
        let client = world.connected(ClientConfig { provider, ..with_suite(CipherSuite::PskAes128Ccm) });
        assert_eq!(world.clients[client].connection.send_bytes_max(), 1200 - 13 - 8 - 1 - 8 - 16, "not asked for");
    }
}
