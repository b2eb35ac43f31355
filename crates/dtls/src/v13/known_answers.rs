//! The published illustrated DTLS 1.3 handshake (dtls.xargs.org): its keys, secrets and records.

use alloc::vec::Vec;

use bartizan_crypto::{AWS_LC, Provider, RUSTCRYPTO, Secret};
use bartizan_wire::record::ContentType;

use super::ack;
use super::messages::{Fragment, kind};
use super::record::{ACK, Protection, number, split};
use super::schedule::{RecordKey, Schedule, verify_data};
use super::transcript::Transcript;
use crate::CipherSuite;
use crate::codec::Reader;
use crate::hash::{Digest, Hash};

const SUITE: CipherSuite = CipherSuite::Aes128GcmSha256;
const CLIENT_HELLO: &str = "16fefd0000000000000000009d010000910000000000000091fefde0e1e2e3e4e5e6e7e8e9eaebecedeeeff0f1f2\
    f3f4f5f6f7f8f9fafbfcfdfeff0000000613011302130301000061003300260024001d0020358072d6365880d1aeea329adf9121383851ed21a2\
    8e3b75e965d0d2cd166254002b000302fefc000d0020001e06030503040302030806080b0805080a080408090601050104010301020100160000\
    000a00040002001d";
const SERVER_HELLO: &str = "16fefd00000000000000000062020000560000000000000056fefd707172737475767778797a7b7c7d7e7f808182\
    838485868788898a8b8c8d8e8f00130100002e00330024001d00209fd7ad6dcff4298dd3f96d5b1b2af910a0535b1488d7f8fabb349a982880b6\
    15002b0002fefc";
/// Over the hellos, and over all up to the server's Finished.
const HELLO_HASH: &str = "aee8eba0d2ee87052fbbc6864c1514c5a927d6f0ffb4f7954c7f379d95f1b1d7";
const HANDSHAKE_HASH: &str = "77ff5eee528abc269960b0ea316eb8578dc8325d86ec1336ffe4b2941e26d82b";
const SERVER_PRIVATE: &str = "909192939495969798999a9b9c9d9e9fa0a1a2a3a4a5a6a7a8a9aaabacadaeaf";
const CLIENT_PUBLIC: &str = "358072d6365880d1aeea329adf9121383851ed21a28e3b75e965d0d2cd166254";
const SHARED: &str = "df4a291baa1eb7cfa6934b29b474baad2697e29f1f920dcc77c8a0a088447624";
const CLIENT_HANDSHAKE: &str = "33e472fb8d821b0193314626bebee307ccbd1aeb3d3a17ba468888ffc5246da1";
const SERVER_HANDSHAKE: &str = "8ad7990b9d249bcbaa0805d8d3f3ad2259e75f3a42c5d84db3ea3c6ee57b3d38";
const CLIENT_TRAFFIC: &str = "a9185352f61134f1d24eaa4a930fff2edca40ce8c06420848deb27699e9baf2c";
const SERVER_TRAFFIC: &str = "4ab12ae4022fc013eca21abb071e13aa24a150e3876c660fe0ed10a8eebd8f17";

fn bytes(hex: &str) -> Vec<u8> {
    let digits: Vec<u8> = hex.bytes().filter(|byte| !byte.is_ascii_whitespace()).collect();
    let nibble = |digit: u8| char::from(digit).to_digit(16).unwrap() as u8;
    digits.chunks(2).map(|pair| nibble(pair[0]) << 4 | nibble(pair[1])).collect()
}

fn digest(hex: &str) -> Digest {
    Digest::of(&bytes(hex))
}

/// Record and handshake header off, and the message into the transcript.
fn append(transcript: &mut Transcript, datagram: &str) {
    let datagram = bytes(datagram);
    let fragment = Fragment::read(&mut Reader::new(&datagram[13..])).unwrap();
    assert_eq!(fragment.length, fragment.body.len());
    transcript.append(fragment.kind, fragment.body).unwrap();
}

/// The schedule after the hellos.
fn handshake_stage(provider: &'static Provider) -> Schedule {
    let private = Secret::new(bytes(SERVER_PRIVATE).try_into().unwrap());
    let shared = (provider.x25519.agree)(&private, &bytes(CLIENT_PUBLIC)).unwrap();
    assert_eq!(shared.expose().as_slice(), bytes(SHARED));
    let mut schedule = Schedule::start(provider, Hash::Sha256, None);
    schedule.advance(Some(shared.expose()));
    schedule
}

//= test rfc9147#5.9-1
#[test]
fn secrets_and_keys() {
    for provider in [&RUSTCRYPTO, &AWS_LC] {
        let mut transcript = Transcript::default();
        append(&mut transcript, CLIENT_HELLO);
        append(&mut transcript, SERVER_HELLO);
        let hello = transcript.hash(provider, Hash::Sha256);
        assert_eq!(hello.as_slice(), bytes(HELLO_HASH));
        let mut schedule = handshake_stage(provider);
        assert_eq!(schedule.derive("c hs traffic", &hello).as_slice(), bytes(CLIENT_HANDSHAKE));
        assert_eq!(schedule.derive("s hs traffic", &hello).as_slice(), bytes(SERVER_HANDSHAKE));
        schedule.advance(None);
        let handshake = digest(HANDSHAKE_HASH);
        assert_eq!(schedule.derive("c ap traffic", &handshake).as_slice(), bytes(CLIENT_TRAFFIC));
        assert_eq!(schedule.derive("s ap traffic", &handshake).as_slice(), bytes(SERVER_TRAFFIC));
        let key = RecordKey::derive(provider, SUITE, &digest(CLIENT_TRAFFIC));
        let key = key.as_ref();
        assert_eq!(key.key(16), bytes("9ba90dbce8857bc1fcb81d41a0465cfe"));
        assert_eq!(key.nonce(0).as_slice(), bytes("682219974631fa0656ee4eff"));
        assert_eq!(key.sn(16), bytes("5cb5bd8bac29777c650c0dde22d16d47"));
    }
}

#[test]
fn records() {
    let cases = [
        (
            SERVER_HANDSHAKE,
            0,
            ContentType::HANDSHAKE,
            "2e79fa002fee9dcff3f8679a4859fe68377fb34ada85df879c673e501d7a4e8f1950e0fcf67fe442e7d7d2b8a3d5fa59\
             574ffd00",
            "0800001200010000000000120010000a000c000a0017001d00180019 0100",
        ),
        (
            SERVER_HANDSHAKE,
            3,
            ContentType::HANDSHAKE,
            "2e0bb8003da44135732a099823b8a5f61a2b35ce921a89abb152f876cd26797dc3ed73d917b299c16928b9cf9e58d1cd\
             58686b8b90ce9fe6454e0cef9efc40f2397a",
            "1400002000040000000000201d89aa62e5f88a0fc952884715d8acb3798659afb9e7789a8db2b3816ba45246",
        ),
        (
            CLIENT_HANDSHAKE,
            0,
            ContentType::HANDSHAKE,
            "2ec248003d8a2cd52d5000f8786afb47cdf0b8f2b81342b00c43dce64b1d0194d2e201f681750978528bbe26af796124\
             01c007a2c5f75f7cffb7465bc01d23d8511f",
            "1400002000010000000000206f2801396b0e90ebb4a3ba384abcfc6b24201abd81b316b2391da378377facf5",
        ),
        (
            SERVER_TRAFFIC,
            0,
            ACK,
            "2f31500023ea80ab8e08c93895418d243571ea6de7d863ee84230bb6043cb384df94b6da285a3bc4",
            "001000000000000000020000000000000000",
        ),
        (
            CLIENT_TRAFFIC,
            0,
            ContentType::APPLICATION_DATA,
            "2f683f00157d72278b6c649f1e7b56b3cad411faf7bd518bfb15",
            "70696e67",
        ),
        (
            SERVER_TRAFFIC,
            1,
            ContentType::APPLICATION_DATA,
            "2fa2580015f5bd33f27b72780e351fa00703fb9f658c689f95ae",
            "706f6e67",
        ),
        (SERVER_TRAFFIC, 2, ContentType::ALERT, "2f690c0013dd8cd07daa964fd1ab508825378fc96fa8b1e8", "0100"),
    ];
    for (secret, sequence, kind, record, content) in cases {
        let key = RecordKey::derive(&RUSTCRYPTO, SUITE, &digest(secret));
        let protection = Protection { provider: &RUSTCRYPTO, suite: SUITE, key: key.as_ref() };
        let mut datagram = bytes(record);
        let (mut sealed, rest) = split(&mut datagram, 0).unwrap();
        assert!(rest.is_empty());
        assert_eq!(sealed.sequence(&protection, 0), Some(sequence));
        let opened = sealed.open(&protection, sequence).unwrap();
        assert_eq!(opened, (kind, &*bytes(content)));
        if kind == ACK {
            assert_eq!(ack::decode(opened.1).unwrap().collect::<Vec<_>>(), [number(2, 0)]);
        }
    }
}

#[test]
fn the_clients_finished() {
    let verify = verify_data(&RUSTCRYPTO, Hash::Sha256, &digest(CLIENT_HANDSHAKE), &digest(HANDSHAKE_HASH));
    assert_eq!(verify.as_slice(), bytes("6f2801396b0e90ebb4a3ba384abcfc6b24201abd81b316b2391da378377facf5"));
    assert_eq!(kind::FINISHED, 20);
}
