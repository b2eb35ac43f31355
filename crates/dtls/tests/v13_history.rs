//! Every order of messages of DTLS 1.3 but the right one connects nobody. Ciphers are arithmetic, and the liar knows the
//! keys: his Finished fits whatever he has said, so that nothing but the state machine stands in his way.
#![allow(clippy::unwrap_used, reason = "tests")]

mod support;
#[path = "support/unified.rs"]
mod unified;

use bartizan_crypto::INSECURE;
use bartizan_dtls::*;
use support::people::{METER, SERVER, X509, certified_client, certified_server};
use support::records::{message, plain};
use support::*;
use unified::{ACK, DATA, HANDSHAKE, ack, sealed, split};

const SUITE: CipherSuite = CipherSuite::Aes128Ccm8Sha256;
const SERVER_HELLO: u8 = 2;

/// What a liar may say.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Said {
    Hello,
    Extensions,
    Request,
    Certificate,
    NoCertificate,
    Verify,
    Finished,
    KeyUpdate,
    Data,
}

use ClientAuthentication::{Optional, Required};
use Said::{Certificate, Data, Extensions, Finished, Hello, KeyUpdate, NoCertificate, Request, Verify};

fn client(psk: bool) -> ClientConfig {
    let base = match psk {
        true => ClientConfig { groups: vec![], ..client_config("meter-1", 1) },
        false => ClientConfig { groups: vec![Group::X25519], ..certified_client(Some(METER.credential(X509)), X509) },
    };
    let versions = Versions::DTLS_1_3;
    ClientConfig { provider: &INSECURE, versions, suites: vec![SUITE], own_cid: None, ..base }
}

fn server(client_authentication: ClientAuthentication) -> EndpointConfig {
    let base = EndpointConfig { client_authentication, ..certified_server(SERVER.credential(X509), X509) };
    EndpointConfig { provider: &INSECURE, suites: vec![SUITE], groups: vec![Group::X25519], ..base }
}

/// One side of a handshake that says its messages in the order it is told to.
struct Liar {
    psk: bool,
    is_server: bool,
    transcript: Vec<u8>,
    /// The hash of the hellos.
    hellos: Option<[u8; 32]>,
    messages: u8,
    records: u8,
    heard: Vec<(u64, u64)>,
}

impl Liar {
    const fn new(psk: bool, is_server: bool, messages: u8) -> Self {
        Self { psk, is_server, transcript: Vec::new(), hellos: None, messages, records: 40, heard: Vec::new() }
    }

    fn say(&mut self, what: Said) -> Vec<u8> {
        self.records += 1;
        let (kind, body) = match what {
            Data => return sealed(&[], 3, self.records, DATA, b"who says that?"),
            Hello => (SERVER_HELLO, self.hello()),
            Extensions => (8, vec![0, 0]),
            Request => (13, vec![0, 0, 8, 0, 13, 0, 4, 0, 2, 4, 3]),
            Certificate => (11, self.certificate()),
            NoCertificate => (11, vec![0; 4]),
            Verify => (15, [&[4, 3, 0, 64][..], &[0x5A; 64]].concat()),
            Finished => (20, self.finished().to_vec()),
            KeyUpdate => (24, vec![0]),
        };
        let message = message(kind, self.messages, &body);
        self.messages += 1;
        self.note(&message);
        match what {
            Hello => plain(HANDSHAKE, self.records, &message),
            _ => sealed(&[], 2, self.records, HANDSHAKE, &message),
        }
    }

    /// With the version, and what the key exchange needs.
    fn hello(&self) -> Vec<u8> {
        let version = [0, 43, 0, 2, 0xFE, 0xFC];
        let exchange = match self.psk {
            true => vec![0, 41, 0, 2, 0, 0],
            false => [&[0, 51, 0, 36, 0, 29, 0, 32][..], &[4; 32]].concat(),
        };
        let [high, low] = SUITE.code().to_be_bytes();
        let length = [0, (version.len() + exchange.len()) as u8];
        [&[0xFE, 0xFD][..], &[9; 32], &[0, high, low, 0], &length, &version, &exchange].concat()
    }

    fn certificate(&self) -> Vec<u8> {
        let one = if self.is_server { SERVER.certificate(300) } else { METER.certificate(300) };
        let length = |length: usize| (length as u32).to_be_bytes()[1..].to_vec();
        [vec![0], length(one.len() + 5), length(one.len()), one, vec![0, 0]].concat()
    }

    fn finished(&self) -> [u8; 32] {
        let none = (INSECURE.sha256)(&[]);
        let psk = if self.psk { [1; 16].to_vec() } else { vec![0; 32] };
        let early = (INSECURE.hmac_sha256)(&[0; 32], &[&psk]);
        let salt = expand(&early, "derived", &none);
        let shared = if self.psk { [0; 32] } else { [1; 32] };
        let secret = (INSECURE.hmac_sha256)(&salt, &[&shared]);
        let label = if self.is_server { "s hs traffic" } else { "c hs traffic" };
        let base = expand(&secret, label, &self.hellos.unwrap_or_default());
        let key = expand(&base, "finished", &[]);
        (INSECURE.hmac_sha256)(&key, &[&(INSECURE.sha256)(&[&self.transcript])])
    }

    /// A message goes into the transcript as TLS would have it (RFC 9147 section 5.2).
    fn note(&mut self, message: &[u8]) {
        if message[0] == SERVER_HELLO && message[14..18] == [0xCF, 0x21, 0xAD, 0x74] {
            let first = (INSECURE.sha256)(&[&self.transcript]);
            self.transcript = [&[254, 0, 0, 32][..], &first].concat();
        }
        self.transcript.extend_from_slice(&message[..4]);
        self.transcript.extend_from_slice(&message[12..]);
        if message[0] == SERVER_HELLO && self.hellos.is_none() && message[14..18] != [0xCF, 0x21, 0xAD, 0x74] {
            self.hellos = Some((INSECURE.sha256)(&[&self.transcript]));
        }
    }

    /// Messages of the other side, and records to be acknowledged.
    fn hear(&mut self, datagram: &[u8]) {
        for record in split(datagram, 0).into_iter().filter(|record| record.kind == HANDSHAKE) {
            if record.epoch == 2 {
                self.heard.push((2, record.sequence));
            }
            let mut rest = &record.content[..];
            while rest.len() >= 12 {
                let length = 12 + usize::from(rest[10]) * 256 + usize::from(rest[11]);
                self.note(&rest[..length]);
                rest = &rest[length..];
            }
        }
    }
}

/// HKDF-Expand-Label for 32 bytes (RFC 8446 section 7.1, RFC 9147 section 5.9).
fn expand(secret: &[u8; 32], label: &str, context: &[u8]) -> [u8; 32] {
    let label = [b"dtls13", label.as_bytes()].concat();
    let parts: [&[u8]; 6] = [&[0, 32], &[label.len() as u8], &label, &[context.len() as u8], context, &[1]];
    (INSECURE.hmac_sha256)(secret, &parts)
}

/// After how many of the messages the client takes the server for the true one.
fn client_connects(config: &ClientConfig, psk: bool, order: &[Said]) -> Option<usize> {
    let now = Instant::from_millis(1);
    let mut client = Connection::connect(config.clone(), now, &mut Rng(7)).unwrap();
    let mut liar = Liar::new(psk, true, 0);
    for (step, what) in order.iter().enumerate() {
        while let Some(datagram) = client.poll_transmit(now) {
            // What the client says after the server's hello is no part of what the server signs.
            if liar.hellos.is_none() {
                liar.hear(&datagram);
            }
        }
        client.handle(now, &mut liar.say(*what));
        let mut flight = Vec::new();
        while let Some(datagram) = client.poll_transmit(now) {
            let records =
                split(&datagram, 0).into_iter().filter(|record| record.epoch == 2 && record.kind == HANDSHAKE);
            flight.extend(records.map(|record| (2, record.sequence)));
        }
        if !flight.is_empty() {
            liar.records += 1;
            client.handle(now, &mut sealed(&[], 2, liar.records, ACK, &ack(&flight)));
        }
        while let Some(event) = client.poll() {
            let early = matches!(event, ConnectionEvent::Data(_)) && !client.is_connected();
            assert!(!early, "data before the handshake is over: {order:?}");
        }
        if client.is_connected() {
            return Some(step + 1);
        }
    }
    None
}

/// Without what is refused or put aside: data does not move a handshake.
fn without_data(order: &[Said]) -> Vec<Said> {
    order.iter().copied().filter(|what| *what != Data).collect()
}

#[test]
fn no_order_of_messages_but_the_right_one_connects_a_client() {
    let short = vec![Hello, Extensions, Finished];
    let unasked = vec![Hello, Extensions, Certificate, Verify, Finished];
    let asked = vec![Hello, Extensions, Request, Certificate, Verify, Finished];
    let alphabet = [Hello, Extensions, Request, Certificate, Verify, Finished, Data];
    for (psk, right) in [(true, vec![short]), (false, vec![unasked, asked])] {
        let config = client(psk);
        for order in &right {
            assert_eq!(client_connects(&config, psk, order), Some(order.len()), "{order:?}");
        }
        let mut connected = 0;
        for order in sequences(&alphabet, if psk { 4 } else { 5 }) {
            let Some(end) = client_connects(&config, psk, &order) else { continue };
            connected += 1;
            assert!(right.contains(&without_data(&order[..end])), "{psk}: {order:?}");
        }
        assert!(connected > 0);
        // One message left out, twice, or in place of another.
        for order in &right {
            for at in 0..order.len() {
                let mut without = order.clone();
                without.remove(at);
                let mut twice = order.clone();
                twice.insert(at, order[at]);
                let other = alphabet.iter().filter(|other| **other != Data && **other != order[at]).map(|other| {
                    let mut changed = order.clone();
                    changed[at] = *other;
                    changed
                });
                for wrong in other.chain([without, twice]).filter(|wrong| !right.contains(wrong)) {
                    let end = client_connects(&config, psk, &wrong);
                    let is_right = end.is_some_and(|end| right.contains(&without_data(&wrong[..end])));
                    assert!(end.is_none() || is_right, "{psk}: {wrong:?}");
                }
            }
        }
    }
}

/// A server that has answered the hellos of a client, and somebody who goes on in the client's place.
fn server_awaiting_the_client(psk: bool, policy: ClientAuthentication) -> (Endpoint, Liar) {
    let now = Instant::from_millis(1);
    let mut server = Endpoint::server(server(policy), Box::new(Rng(1))).unwrap();
    let mut client = Connection::connect(client(psk), now, &mut Rng(7)).unwrap();
    let mut liar = Liar::new(psk, false, 2);
    for _ in 0..2 {
        let mut hello = client.poll_transmit(now).unwrap();
        liar.hear(&hello);
        server.handle(now, address(1), &mut hello);
        while let Some(event) = server.poll() {
            if let EndpointEvent::PskRequested { handshake, .. } = event {
                server.provide_psk(now, handshake, Some(PskEntry { key: key(1), principal: 1, tag: 0 }));
            }
        }
        while let Some(mut transmit) = server.poll_transmit() {
            liar.hear(&transmit.data);
            client.handle(now, &mut transmit.data);
        }
    }
    assert_eq!(server.handshakes(), 1);
    (server, liar)
}

/// After how many of the messages the server takes the client for the true one.
fn server_establishes(psk: bool, policy: ClientAuthentication, order: &[Said]) -> Option<usize> {
    let now = Instant::from_millis(1);
    let (mut server, mut liar) = server_awaiting_the_client(psk, policy);
    for (step, what) in order.iter().enumerate() {
        server.handle(now, address(1), &mut liar.say(*what));
        while let Some(event) = server.poll() {
            match event {
                EndpointEvent::Establishing { .. } => return Some(step + 1),
                EndpointEvent::Data { .. } => panic!("data before the handshake is over: {order:?}"),
                _ => {}
            }
        }
    }
    None
}

#[test]
fn no_order_of_messages_but_the_right_one_establishes_a_client() {
    let alphabet = [Certificate, NoCertificate, Verify, Finished, KeyUpdate, Extensions, Hello, Data];
    let shown = vec![Certificate, Verify, Finished];
    for (psk, policy, right) in [
        (true, Required, vec![vec![Finished]]),
        (false, ClientAuthentication::None, vec![vec![Finished]]),
        (false, Optional, vec![shown.clone(), vec![NoCertificate, Finished]]),
        (false, Required, vec![shown]),
    ] {
        for order in &right {
            assert_eq!(server_establishes(psk, policy, order), Some(order.len()), "{order:?}");
        }
        for order in sequences(&alphabet, 3) {
            let Some(end) = server_establishes(psk, policy, &order) else { continue };
            // A hello in the clear is read apart from what is protected, and led nowhere.
            assert!(right.contains(&without_data(&order[..end])), "{psk} {policy:?}: {order:?}");
        }
    }
}
