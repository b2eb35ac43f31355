//! Flaws that DTLS implementations have had, tried on this one (docs/attacks.md has the stories).
//!
//! Ciphers are arithmetic in most of these tests: whatever a state machine lets through also opens, so that nothing
//! but the state machine stands in the way.
#![allow(clippy::unwrap_used, reason = "tests")]

mod support;

use bartizan_crypto::INSECURE;
use bartizan_dtls::*;
use bartizan_wire::event::RecordRejection;
use support::records::{Record, message, plain, sealed, split};
use support::*;

const HANDSHAKE: u8 = 22;
const DATA: u8 = 23;
const HEARTBEAT: u8 = 24;

const KEY_EXCHANGE: u8 = 16;
const FINISHED: u8 = 20;

fn insecure_client(suite: CipherSuite) -> ClientConfig {
    ClientConfig { provider: &INSECURE, own_cid: None, ..with_suite(suite) }
}

fn insecure_server() -> EndpointConfig {
    EndpointConfig { provider: &INSECURE, ..server_config() }
}

/// What a server may say to a client.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Said {
    Hello,
    KeyExchange,
    HelloDone,
    ChangeCipherSpec,
    Finished,
    Data,
    HelloRequest,
}

/// A server that knows the key and says its messages in the order it is told to.
struct Liar {
    suite: CipherSuite,
    transcript: Vec<u8>,
    master: [u8; 48],
    messages: u8,
    records: u8,
}

impl Liar {
    fn say(&mut self, what: Said) -> Vec<u8> {
        self.records += 1;
        let ecdhe = self.suite.is_ecdhe();
        let (kind, body) = match what {
            Said::ChangeCipherSpec => return plain(20, self.records, &[1]),
            Said::Data => return sealed(b"", self.records, DATA, b"who says that?"),
            Said::Hello => (2, self.hello()),
            Said::KeyExchange if ecdhe => (12, [&[0, 0, 3, 0, 29, 32][..], &[4; 32]].concat()),
            Said::KeyExchange => (12, vec![0, 0]),
            Said::HelloDone => (14, Vec::new()),
            Said::HelloRequest => (0, Vec::new()),
            Said::Finished => (FINISHED, self.prf("server finished", 12)),
        };
        let message = message(kind, self.messages, &body);
        self.messages += 1;
        self.transcript.extend_from_slice(&message);
        match what {
            Said::Finished => sealed(b"", self.records, HANDSHAKE, &message),
            _ => plain(HANDSHAKE, self.records, &message),
        }
    }

    /// With extended master secret, and nothing else that could be left out.
    fn hello(&self) -> Vec<u8> {
        let [high, low] = self.suite.code().to_be_bytes();
        [&[0xFE, 0xFD][..], &[9; 32], &[0, high, low, 0, 0, 4, 0, 23, 0, 0]].concat()
    }

    /// What the client answers: the keys follow from its key exchange.
    fn hear(&mut self, datagram: &[u8]) {
        for record in split(datagram, 0).into_iter().filter(|record| record.kind == HANDSHAKE) {
            match record.epoch {
                0 => self.transcript.extend_from_slice(&record.body),
                _ => self.transcript.extend_from_slice(&record.body[8..record.body.len() - 8]),
            }
            if record.body[0] == KEY_EXCHANGE && record.epoch == 0 {
                let other: &[u8] = if self.suite.is_ecdhe() { &[1; 32] } else { &[0; 16] };
                let premaster = [&[0, other.len() as u8], other, &[0, 16], &[1; 16]].concat();
                let master = self.expand(&premaster, "extended master secret", 48);
                self.master.copy_from_slice(&master);
            }
        }
    }

    fn prf(&self, label: &str, length: usize) -> Vec<u8> {
        self.expand(&self.master, label, length)
    }

    /// RFC 5246 section 5, seeded by all messages so far.
    fn expand(&self, secret: &[u8], label: &str, length: usize) -> Vec<u8> {
        let hash = (INSECURE.sha256)(&[&self.transcript]);
        let mut out = Vec::new();
        let mut a = (INSECURE.hmac_sha256)(secret, &[label.as_bytes(), &hash]);
        while out.len() < length {
            out.extend((INSECURE.hmac_sha256)(secret, &[&a, label.as_bytes(), &hash]));
            a = (INSECURE.hmac_sha256)(secret, &[&a]);
        }
        out.truncate(length);
        out
    }
}

/// After how many of the messages the client takes the server for the true one.
fn client_connects(suite: CipherSuite, order: &[Said]) -> Option<usize> {
    connects(insecure_client(suite), suite, order)
}

fn connects(config: ClientConfig, suite: CipherSuite, order: &[Said]) -> Option<usize> {
    let now = Instant::from_millis(1);
    let mut client = Connection::connect(config, now, &mut Rng(7)).unwrap();
    let mut liar = Liar { suite, transcript: Vec::new(), master: [0; 48], messages: 0, records: 0 };
    for (step, what) in order.iter().enumerate() {
        while let Some(datagram) = client.poll_transmit(now) {
            liar.hear(&datagram);
        }
        client.handle(now, &mut liar.say(*what));
        while let Some(event) = client.poll() {
            assert!(!matches!(event, ConnectionEvent::Data(_)), "data before the handshake is over: {order:?}");
        }
        if client.is_connected() {
            return Some(step + 1);
        }
    }
    None
}

#[test]
fn no_order_of_messages_but_the_right_one_connects_a_client() {
    use Said::{ChangeCipherSpec, Data, Finished, Hello, HelloDone, HelloRequest, KeyExchange};
    let alphabet = [Hello, KeyExchange, HelloDone, ChangeCipherSpec, Finished, Data, HelloRequest];
    let with_exchange = vec![Hello, KeyExchange, HelloDone, ChangeCipherSpec, Finished];
    let without_exchange = vec![Hello, HelloDone, ChangeCipherSpec, Finished];
    let suites = [
        (CipherSuite::PskAes128Ccm8, vec![with_exchange.clone(), without_exchange]),
        (CipherSuite::EcdhePskAes128Ccm8Sha256, vec![with_exchange]),
    ];
    for (suite, right) in suites {
        assert!(right.iter().all(|order| client_connects(suite, order) == Some(order.len())), "{suite}");
        for order in sequences(&alphabet, 5) {
            let Some(end) = client_connects(suite, &order) else { continue };
            // What is refused and forgotten may stand between: data, requests, a ChangeCipherSpec before its time.
            let last = order[..end].iter().rposition(|what| *what == ChangeCipherSpec);
            let mut counted = order[..end].to_vec();
            let mut at = 0;
            counted.retain(|what| {
                at += 1;
                match what {
                    Data | HelloRequest => false,
                    ChangeCipherSpec => last == Some(at - 1),
                    _ => true,
                }
            });
            assert!(right.contains(&counted), "{suite}: {order:?}");
        }
    }
}

/// A server of DTLS 1.2 need not ask for a cookie (RFC 6347 section 4.2.1).
#[test]
fn a_client_of_both_versions_falls_back_on_a_hello_without_a_cookie() {
    use Said::{ChangeCipherSpec, Finished, Hello, HelloDone, KeyExchange};
    let suite = CipherSuite::PskAes128Ccm8;
    let config = ClientConfig {
        versions: Versions::BOTH,
        suites: vec![CipherSuite::Aes128Ccm8Sha256, suite],
        groups: vec![],
        ..insecure_client(suite)
    };
    let order = [Hello, KeyExchange, HelloDone, ChangeCipherSpec, Finished];
    assert_eq!(connects(config.clone(), suite, &order), Some(5));
    let only = ClientConfig { versions: Versions::DTLS_1_3, ..config.clone() };
    assert_eq!(connects(only, suite, &order), None);
    assert_eq!(connects(config, suite, &[KeyExchange, Hello, HelloDone, ChangeCipherSpec, Finished]), None);
}

/// An endpoint that has answered the hellos of a client, and the three records of the client's last flight.
/// Everything is the same each time.
fn server_awaiting_keys() -> (Endpoint, Vec<Record>) {
    let now = Instant::from_millis(1);
    let mut server = Endpoint::server(insecure_server(), Box::new(Rng(1))).unwrap();
    let config = insecure_client(CipherSuite::PskAes128Ccm8);
    let mut client = Connection::connect(config, now, &mut Rng(7)).unwrap();
    for _ in 0..2 {
        server.handle(now, address(1), &mut client.poll_transmit(now).unwrap());
        client.handle(now, &mut server.poll_transmit().unwrap().data);
    }
    let flight = split(&client.poll_transmit(now).unwrap(), 0);
    assert_eq!((flight.len(), server.handshakes()), (3, 1));
    (server, flight)
}

/// After how many of the records the server takes the client for the true one.
fn server_establishes(order: &[&str]) -> Option<usize> {
    let now = Instant::from_millis(1);
    let (mut server, flight) = server_awaiting_keys();
    for (step, what) in order.iter().enumerate() {
        let mut record = match *what {
            "key exchange" => flight[0].bytes.clone(),
            "change cipher spec" => flight[1].bytes.clone(),
            "finished" => flight[2].bytes.clone(),
            "finished in place of the key exchange" => sealed(b"", 70, HANDSHAKE, &message(FINISHED, 2, &[0; 12])),
            "data" => sealed(b"", 71, DATA, b"who says that?"),
            "plain data" => plain(DATA, 72, b"who says that?"),
            "hello done" => plain(HANDSHAKE, 73, &message(14, 2, b"")),
            "certificate" => plain(HANDSHAKE, 74, &message(11, 2, &[0, 0, 0])),
            other => panic!("{other}"),
        };
        server.handle(now, address(1), &mut record);
        let mut established = false;
        while let Some(event) = server.poll() {
            match event {
                EndpointEvent::PskRequested { handshake, .. } => {
                    server.provide_psk(now, handshake, Some(PskEntry { key: key(1), principal: 1, tag: 0 }));
                }
                EndpointEvent::Establishing { session, .. } => server.confirm_durable(now, session),
                EndpointEvent::Established { .. } => established = true,
                EndpointEvent::Data { .. } => panic!("data before the handshake is over: {order:?}"),
                _ => {}
            }
        }
        if established {
            return Some(step + 1);
        }
    }
    None
}

#[test]
fn no_order_of_messages_but_the_right_one_establishes_a_client() {
    let alphabet = [
        "key exchange",
        "change cipher spec",
        "finished",
        "finished in place of the key exchange",
        "data",
        "plain data",
        "hello done",
        "certificate",
    ];
    assert_eq!(server_establishes(&["key exchange", "change cipher spec", "finished"]), Some(3));
    let mut established = 0;
    for order in sequences(&alphabet, 4) {
        let Some(end) = server_establishes(&order) else { continue };
        established += 1;
        let after = |first: &str, then: &str| {
            let start = order[..end].iter().position(|what| *what == first)?;
            order[start..end].iter().position(|what| *what == then)
        };
        assert!(after("key exchange", "change cipher spec").is_some(), "{order:?}");
        assert!(after("key exchange", "finished").is_some(), "{order:?}");
    }
    assert!(established > 2, "a record may be lost, come twice or overtake another");
}

#[test]
fn plaintext_before_finished_is_refused_at_every_moment() {
    let mut world = World::calm(server_config());
    let client = world.connect(client_config("meter-1", 1));
    let from = world.clients[client].address;
    let lie = plain(DATA, 99, b"lie");
    for _ in 0..60 {
        world.inject(from, &lie);
        world.inject_to_client(client, &lie);
        world.pass(1);
    }
    assert!(world.clients[client].connection.is_connected(), "{:?}", world.clients[client].events);
    assert_eq!((world.received(), world.clients[client].data()), (Vec::new(), Vec::new()));
    assert_eq!(rejections(&world), [RecordRejection::Unexpected; 60]);
}

#[test]
fn a_record_has_no_second_life_in_another_epoch_or_association() {
    for own_cid in [None, Some(ConnectionId::EMPTY)] {
        let config = ClientConfig { own_cid, ..client_config("meter-1", 1) };
        let mut world = World::calm(server_config());
        let old = world.connected(config.clone());
        let from = world.clients[old].address;
        world.exchange(old, b"reading");
        let record = world.tape.iter().rfind(|(up, ..)| *up).unwrap().2.clone();
        let answer = world.tape.last().unwrap().2.clone();
        for epoch in [0_u16, 2, 3, 256, 0xFFFF] {
            for (record, up) in [(&record, true), (&answer, false)] {
                let mut moved = record.clone();
                moved[3..5].copy_from_slice(&epoch.to_be_bytes());
                if up {
                    world.inject(from, &moved);
                } else {
                    world.inject_to_client(old, &moved);
                }
            }
        }
        // The next association of the same device, whose numbers begin at zero again.
        world.weather.loss_percent = 100;
        world.send(old, b"of the old one");
        let late = world.tape.last().unwrap().2.clone();
        world.weather.loss_percent = 0;
        let new = world.connected(config);
        world.exchange(new, b"again");
        let mine = world.tape.iter().rfind(|(up, ..)| *up).unwrap().2.clone();
        let from = world.clients[new].address;
        let sequence = |record: &[u8]| record[10];
        assert!(sequence(&late) > sequence(&mine), "its number would be fresh");
        let mut moved = late.clone();
        if own_cid.is_some() {
            moved[11..19].copy_from_slice(&mine[11..19]);
        }
        world.inject(from, &moved);
        assert_eq!(rejections(&world).last(), Some(&RecordRejection::Forged));
        assert_eq!(world.received(), [&b"reading"[..], b"again"]);
        assert_eq!(world.clients[old].data(), [b"reading"]);
    }
}

#[test]
fn a_heartbeat_is_never_answered() {
    // A request of one byte that claims sixteen thousand (RFC 6520).
    let request = [&[1, 0x40, 0, b'?'][..], &[0; 16]].concat();
    let mut world = World::calm(insecure_server());
    let client = world.connect(insecure_client(CipherSuite::PskAes128Ccm8));
    let from = world.clients[client].address;
    let mut fair = 0;
    for moment in 0..60_u8 {
        world.weather.loss_percent = 0;
        world.pass(1);
        let datagrams = world.tape.len();
        for bytes in [plain(HEARTBEAT, 100 + moment, &request), sealed(b"", 100 + moment, HEARTBEAT, &request)] {
            world.inject(from, &bytes);
            world.inject_to_client(client, &bytes);
        }
        assert_eq!(world.tape.len(), datagrams, "no answer");
        fair += 1;
    }
    assert_eq!(rejections(&world).len(), 2 * fair);
    world.exchange(client, b"still here");
    assert_eq!(world.clients[client].data(), [b"still here"]);
    // And a client that offers the extension is not told that it is there.
    let extension = [0, 15, 0, 1, 1];
    assert!(world.tape.iter().all(|(up, _, data)| *up || !data.windows(5).any(|bytes| bytes == extension)));
}

#[test]
fn a_cookie_is_worth_one_handshake_for_two_minutes_at_one_address() {
    let mut world = World::calm(server_config());
    let client = world.connected(client_config("meter-1", 1));
    let home = world.clients[client].address;
    let hello = world.tape.iter().filter(|(up, ..)| *up).nth(1).unwrap().2.clone();
    for _ in 0..100 {
        world.inject(home, &hello);
    }
    assert_eq!(world.server.handshakes(), 1, "one place, however often it comes");
    for port in 1..100 {
        world.inject(address(port), &hello);
    }
    assert_eq!(world.server.handshakes(), 1, "elsewhere it only brings another cookie");
    world.exchange(client, b"still here");
    assert_eq!(world.clients[client].data(), [b"still here"]);
    world.pass(2 * limits::COOKIE_SECRET_MS);
    assert_eq!(world.server.handshakes(), 0);
    world.inject(home, &hello);
    assert_eq!(world.server.handshakes(), 0, "too old");
}

#[test]
fn fragments_that_lie_about_their_message_cost_nothing() {
    let mut world = World::calm(server_config());
    let client = world.connect(client_config("meter-1", 1));
    world.run(35);
    world.weather.loss_percent = 100;
    world.run(10);
    let flight = world.tape.iter().rfind(|(up, ..)| *up).unwrap().2.clone();
    let from = world.clients[client].address;
    // Length, offset and fragment length of a key exchange: beyond its end, at odds with each other, enormous.
    let lies: [(u32, u32, &[u8]); 7] = [
        (4, 0, b"12345678"),
        (4, 3, b"12"),
        (8, 0, b"1234"),
        (2000, 1990, b"0123456789"),
        (limits::HANDSHAKE_MESSAGE_BYTES_MAX as u32 + 1, 0, b"1"),
        (0xFF_FFFF, 0xFF_FFFF, b""),
        (0xFF_FFFF, 0xFF_FFFE, b"1"),
    ];
    for (number, (length, offset, body)) in lies.into_iter().enumerate() {
        let mut fragment = message(KEY_EXCHANGE, 2, body);
        fragment[1..4].copy_from_slice(&length.to_be_bytes()[1..]);
        fragment[6..9].copy_from_slice(&offset.to_be_bytes()[1..]);
        world.inject(from, &plain(HANDSHAKE, 50 + number as u8, &fragment));
    }
    world.inject(from, &flight);
    assert_eq!(world.server.sessions().count(), 1);
}

#[test]
fn a_datagram_full_of_hello_requests_is_read_once() {
    let requests: Vec<u8> = (0..100).flat_map(|_| message(0, 0, b"")).collect();
    let mut world = World::calm(insecure_server());
    let client = world.connected(insecure_client(CipherSuite::PskAes128Ccm8));
    let datagrams = world.tape.len();
    world.inject_to_client(client, &sealed(b"", 30, HANDSHAKE, &requests));
    assert_eq!(world.tape.len(), datagrams + 1, "one answer for a record");
    world.exchange(client, b"still here");
    assert_eq!(world.clients[client].data(), [b"still here"]);
}

#[test]
fn every_suite_is_an_aead() {
    let known = (0..=u16::MAX).filter_map(CipherSuite::from_code);
    for suite in known {
        let name = suite.name();
        assert!(["_CCM", "_GCM", "_CHACHA20_POLY1305"].iter().any(|aead| name.contains(aead)), "{name}");
        assert!(!name.contains("CBC") && !name.contains("NULL"), "{name}");
    }
}
