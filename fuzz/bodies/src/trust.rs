//! Evidence of devices that are suspected, with signatures that anybody can forge.

use bartizan_crypto::INSECURE;
use bartizan_trust::cbor::Strict;
use bartizan_trust::der::{self, Reader};
use bartizan_trust::dice::{self, Chain, tcb};
use bartizan_trust::x509::Certificate;
use bartizan_trust::{PublicKey, cose, limits};
use bartizan_wire::UnixMillis;
use minicbor::Encoder;

const NOW: UnixMillis = UnixMillis(1_790_000_000_000);

/// A DICE chain in CBOR.
pub fn cbor_chain(bytes: &[u8]) {
    let Ok(item) = Strict::new(bytes) else { return };
    let _ = PublicKey::from_cose_key(item);
    if let Ok(chain) = dice::cbor::verify(&INSECURE, item) {
        check(&chain);
    }
}

/// Certificates one after the other, as a chain and each by itself; and the same bytes as an extension.
pub fn x509_chain(bytes: &[u8]) {
    let (mut reader, mut certificates) = (Reader::new(bytes), Vec::new());
    while let Ok(element) = reader.element() {
        certificates.push(element.whole);
    }
    for certificate in certificates.iter().filter_map(|bytes| Certificate::read(bytes).ok()) {
        let _ = (certificate.key(), certificate.cmw());
    }
    if let Ok(chain) = dice::x509::verify(&INSECURE, &certificates, None, NOW) {
        check(&chain);
    }
    if let Ok(info) = tcb::read(bytes) {
        assert!(info.layer.digests.len() <= limits::DIGESTS_MAX);
    }
    let _ = (tcb::read_several(bytes), PublicKey::from_spki(bytes));
}

/// Whatever is believed has its limits.
fn check(chain: &Chain) {
    assert!((1..=limits::LAYERS_MAX).contains(&chain.layers.len()));
    for layer in &chain.layers {
        assert!(layer.digests.len() <= limits::DIGESTS_MAX);
        let digests = layer.digests.iter().chain(&layer.config).chain(&layer.authority);
        assert!(digests.into_iter().all(|digest| digest.bytes.len() <= limits::DIGEST_BYTES_MAX));
        let names = [&layer.vendor, &layer.model, &layer.component, &layer.version];
        assert!(names.into_iter().flatten().all(|name| name.len() <= limits::NAME_BYTES_MAX));
    }
}

/// The insecure signature of everything.
pub(crate) const SIGNATURE: [u8; 64] = [0x5A; 64];

fn keys() -> [PublicKey; 3] {
    [1, 2, 3].map(|byte| PublicKey::Ed25519([byte; 32]))
}

pub(crate) fn encoded(put: impl FnOnce(&mut Encoder<&mut Vec<u8>>)) -> Vec<u8> {
    let mut out = Vec::new();
    put(&mut Encoder::new(&mut out));
    out
}

pub(crate) const TO_MEMORY: &str = "memory takes everything";

fn cose_key(key: &PublicKey) -> Vec<u8> {
    let PublicKey::Ed25519(bytes) = key else { return Vec::new() };
    encoded(|to| {
        to.map(3).and_then(|to| to.i8(1)?.i8(1)?.i8(-1)?.i8(6)?.i8(-2)?.bytes(bytes)).expect(TO_MEMORY);
    })
}

fn cbor_certificate(issuer: &PublicKey, subject: &PublicKey) -> Vec<u8> {
    let names = [issuer, subject].map(|key| dice::key_id(&INSECURE, key));
    let [issuer, name] = names.each_ref().map(|name| std::str::from_utf8(name).expect("hexadecimal digits"));
    let config = b"\xA2\x3A\x00\x01\x11\x71\x62fw\x3A\x00\x01\x11\x74\x07"; // {-70002: "fw", -70005: 7}
    let claims = encoded(|to| {
        to.map(10)
            .and_then(|to| {
                to.i8(1)?.str(issuer)?.i8(2)?.str(name)?.i32(-4_670_545)?.bytes(&[1; 64])?;
                to.i32(-4_670_547)?.bytes(&(INSECURE.sha512)(&[config]))?.i32(-4_670_548)?.bytes(config)?;
                to.i32(-4_670_549)?.bytes(&[2; 64])?.i32(-4_670_551)?.bytes(&[1])?;
                to.i32(-4_670_552)?.bytes(&cose_key(subject))?.i32(-4_670_553)?.bytes(&[0x20])?;
                to.i32(-4_670_554)?.str("android.16")
            })
            .expect(TO_MEMORY);
    });
    let protected = encoded(|to| {
        to.map(1).and_then(|to| to.i8(1)?.i64(cose::EDDSA)).expect(TO_MEMORY);
    });
    encoded(|to| {
        to.array(4).and_then(|to| to.bytes(&protected)?.map(0)?.bytes(&claims)?.bytes(&SIGNATURE)).expect(TO_MEMORY);
    })
}

#[must_use]
pub fn cbor_seeds() -> Vec<Vec<u8>> {
    let [root, first, second] = keys();
    let items = [cose_key(&root), cbor_certificate(&root, &first), cbor_certificate(&first, &second)];
    let chain = [&[0x83][..], &items.concat()].concat();
    let verified = dice::cbor::verify(&INSECURE, Strict::new(&chain).expect("CBOR"));
    assert_eq!(verified.map(|chain| chain.layers.len()), Ok(2));
    vec![chain, items[1].clone(), items[0].clone()]
}

fn element(tag: u8, parts: &[&[u8]]) -> Vec<u8> {
    let value = parts.concat();
    let [high, low] = u16::try_from(value.len()).expect("short").to_be_bytes();
    let length = match (high, low) {
        (0, 0..=0x7F) => vec![low],
        (0, _) => vec![0x81, low],
        _ => vec![0x82, high, low],
    };
    [&[tag][..], &length, &value].concat()
}

fn extension(name: &[u8], value: &[u8]) -> Vec<u8> {
    element(der::SEQUENCE, &[&element(der::OBJECT, &[name]), b"\x01\x01\xFF", &element(der::OCTET_STRING, &[value])])
}

fn certificate(issuer: &str, subject: &str, key: &PublicKey, more: &[u8]) -> Vec<u8> {
    const ED25519: &[u8] = b"\x30\x05\x06\x03\x2B\x65\x70";
    const VALIDITY: &[u8] = b"\x30\x20\x17\x0D180322235959Z\x18\x0F99991231235959Z";
    let PublicKey::Ed25519(bytes) = key else { return Vec::new() };
    let name = |text: &str| {
        let attribute = element(der::SEQUENCE, &[b"\x06\x03\x55\x04\x05", &element(0x13, &[text.as_bytes()])]);
        element(der::SEQUENCE, &[&element(der::SET, &[&attribute])])
    };
    let extensions = [
        extension(b"\x55\x1D\x13", b"\x30\x03\x01\x01\xFF"),
        extension(b"\x55\x1D\x0F", b"\x03\x02\x02\x04"),
        more.to_vec(),
    ];
    let signed = element(
        der::SEQUENCE,
        &[
            b"\xA0\x03\x02\x01\x02\x02\x01\x05",
            ED25519,
            &name(issuer),
            VALIDITY,
            &name(subject),
            &element(der::SEQUENCE, &[ED25519, &element(der::BIT_STRING, &[&[0], bytes])]),
            &element(0xA3, &[&element(der::SEQUENCE, &[&extensions.concat()])]),
        ],
    );
    element(der::SEQUENCE, &[&signed, ED25519, &element(der::BIT_STRING, &[&[0], &SIGNATURE])])
}

#[must_use]
pub fn x509_seeds() -> Vec<Vec<u8>> {
    let [root, first, second] = keys();
    let sha256 = b"\x06\x09\x60\x86\x48\x01\x65\x03\x04\x02\x01";
    let fwid = element(der::SEQUENCE, &[sha256, &element(der::OCTET_STRING, &[&[1; 32]])]);
    let members: [&[u8]; 6] = [
        b"\x80\x04acme",
        b"\x83\x01\x07",
        b"\x84\x01\x01",
        &element(0xA6, &[&fwid]),
        b"\x87\x02\x04\x10",
        b"\x89\x02fw",
    ];
    let info = element(der::SEQUENCE, &members);
    let tcg = extension(b"\x67\x81\x05\x05\x04\x01", &info);
    let octets = |tag: u8, bytes: &[u8]| element(tag, &[&element(der::OCTET_STRING, &[bytes])]);
    let inputs =
        [octets(0xA0, &[1; 64]), octets(0xA3, &[2; 64]), octets(0xA4, &[3; 64]), b"\xA6\x03\x0A\x01\x01".to_vec()];
    let open = extension(b"\x2B\x06\x01\x04\x01\xD6\x79\x02\x01\x18", &element(der::SEQUENCE, &[&inputs.concat()]));
    let chain = |more: &[u8]| {
        let certificates = [
            certificate("0", "0", &root, b""),
            certificate("0", "1", &first, more),
            certificate("1", "2", &second, more),
        ];
        let borrowed = certificates.each_ref().map(Vec::as_slice);
        let verified = dice::x509::verify(&INSECURE, &borrowed, None, NOW);
        assert_eq!(verified.map(|chain| chain.layers.len()), Ok(2));
        certificates.concat()
    };
    vec![chain(&tcg), chain(&open), info]
}
