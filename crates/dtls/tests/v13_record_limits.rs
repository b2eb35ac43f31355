//! record_size_limit in DTLS 1.3 (RFC 8449): the type counts, the handshake's own records keep to it, and it outlives sleep
//! and restarts.
#![allow(clippy::unwrap_used, reason = "tests")]

mod support;
#[path = "support/unified.rs"]
mod unified;

use bartizan_crypto::INSECURE;
use bartizan_dtls::*;
use support::people::{METER, SERVER, X509, certified_client, certified_server};
use support::*;
use unified::{DATA, sealed, split};

const SUITE: CipherSuite = CipherSuite::Aes128Ccm8Sha256;

fn server(limit: Option<u16>) -> EndpointConfig {
    let base = certified_server(SERVER.credential(X509), X509);
    let groups = vec![Group::X25519];
    EndpointConfig { provider: &INSECURE, suites: vec![SUITE], groups, record_size_limit: limit, ..base }
}

fn client(psk: bool, limit: Option<u16>) -> ClientConfig {
    let base = match psk {
        true => ClientConfig { groups: vec![], ..client_config("meter-1", 1) },
        false => ClientConfig { groups: vec![Group::X25519], ..certified_client(Some(METER.credential(X509)), X509) },
    };
    let (versions, suites) = (Versions::DTLS_1_3, vec![SUITE]);
    ClientConfig { provider: &INSECURE, versions, suites, own_cid: None, record_size_limit: limit, ..base }
}

/// The most that one protected record held in this direction, type included.
fn longest(world: &World, up: bool) -> usize {
    let datagrams = world.tape.iter().filter(|(direction, ..)| *direction == up);
    let records = datagrams.flat_map(|(.., data)| split(data, 0)).filter(|record| record.epoch > 0);
    records.map(|record| record.content.len() + 1).max().unwrap()
}

#[test]
fn both_sides_keep_to_what_the_other_takes() {
    for psk in [true, false] {
        let mut world = World::calm(server(Some(200)));
        let config = client(psk, Some(100));
        let index = world.connected(config.clone());
        let session = world.session();
        for _ in 0..2 {
            assert_eq!(world.clients[index].connection.send_bytes_max(), 199);
            assert_eq!(world.server.send_bytes_max(session), 99);
            let now = world.instant();
            assert!(world.clients[index].connection.send(now, &[1; 200]).is_err());
            assert!(world.server.send(now, session, &[1; 100]).is_err());
            world.exchange(index, &[2; 99]);
            assert_eq!(world.clients[index].data().last().unwrap(), &[2; 99]);
            world.echo = false;
            world.exchange(index, &[3; 199]);
            assert_eq!(world.received().last().unwrap(), &[3; 199]);
            world.echo = true;
            // Asleep, and back; the server, too.
            let bytes = world.clients[index].connection.save().unwrap().to_bytes();
            let saved = SavedSession::from_bytes(&bytes).unwrap();
            world.clients[index].connection = Connection::resume(config.clone(), saved, now).unwrap();
            world.clients[index].connection.save().unwrap();
            world.restart();
        }
        assert!(longest(&world, true) <= 200 && longest(&world, false) <= 100, "{psk}");
        assert!(psk || longest(&world, false) > 80, "certificates were cut");
    }
}

#[test]
fn longer_records_are_dropped() {
    let mut world = World::calm(server(Some(200)));
    let index = world.connected(client(true, Some(100)));
    let from = world.clients[index].address;
    world.echo = false;
    for (number, length, delivered) in [(60, 99, true), (61, 100, false), (62, 300, false)] {
        let before = world.clients[index].data().len();
        world.inject_to_client(index, &sealed(&[], 3, number, DATA, &vec![7; length]));
        assert_eq!(world.clients[index].data().len() > before, delivered, "{length}");
    }
    for (number, length, delivered) in [(60, 199, true), (61, 200, false), (62, 300, false)] {
        let before = world.received().len();
        world.inject(from, &sealed(&[], 3, number, DATA, &vec![7; length]));
        assert_eq!(world.received().len() > before, delivered, "{length}");
    }
}

#[test]
fn nobody_answers_what_was_not_asked() {
    let mut world = World::calm(server(Some(200)));
    let index = world.connected(client(true, None));
    let most = world.clients[index].connection.send_bytes_max();
    assert!(most > 1000 && world.server.send_bytes_max(world.session()) > 1000);
    let mut world = World::calm(server(None));
    let index = world.connected(client(true, Some(64)));
    assert_eq!(world.server.send_bytes_max(world.session()), 63);
    assert_eq!(world.clients[index].connection.send_bytes_max(), most);
    world.exchange(index, &[1; 63]);
    assert_eq!(world.clients[index].data(), [[1; 63]]);
}
