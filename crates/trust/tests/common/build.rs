//! Certificates of either family with any fault that a test wants.

use bartizan_crypto::{RUSTCRYPTO, Secret};
use bartizan_trust::PublicKey;
use bartizan_trust::cose::{self, Shape, SigningKey};
use minicbor::encode::Encoder;

/// A key pair of one layer, by a number.
pub struct Pair {
    secret: Secret<32>,
    p256: bool,
}

impl Pair {
    pub fn new(number: u8, p256: bool) -> Self {
        Self { secret: Secret::new([number; 32]), p256 }
    }

    pub fn key(&self) -> SigningKey<'_> {
        super::signing(&self.secret, self.p256)
    }

    pub fn public(&self) -> PublicKey {
        self.key().public(&RUSTCRYPTO).unwrap()
    }

    /// COSE's form.
    pub fn sign(&self, message: &[u8]) -> Vec<u8> {
        self.key().sign(&RUSTCRYPTO, &mut |out: &mut [u8]| out.fill(9), message).unwrap().to_vec()
    }
}

pub fn key_id(key: &PublicKey) -> String {
    const SALT: &str = "dbdbaebc8020da9ff0dd5a24c83aa5a54286dfc263031e329b4da148430659fe\
                        62cdb5b7e1e00fc680306711eb444af77209359496fcff1db9520ba51c7b29ea";
    let raw = match key {
        PublicKey::P256(point) => &point[1..],
        PublicKey::P384(point) => &point[1..],
        PublicKey::Ed25519(bytes) => &bytes[..],
    };
    let mut id = super::hkdf(&RUSTCRYPTO, raw, &super::hex(SALT), b"ID");
    id[0] &= 0x7F;
    id[..20].iter().map(|byte| format!("{byte:02x}")).collect()
}

pub fn cose_key(key: &PublicKey) -> Vec<u8> {
    let mut out = Vec::new();
    let mut to = Encoder::new(&mut out);
    match key {
        PublicKey::Ed25519(x) => {
            to.map(5).unwrap().i8(1).unwrap().i8(1).unwrap().i8(3).unwrap().i64(cose::EDDSA).unwrap();
            to.i8(4).unwrap().array(1).unwrap().i8(2).unwrap();
            to.i8(-1).unwrap().i8(6).unwrap().i8(-2).unwrap().bytes(x).unwrap();
        }
        PublicKey::P256(point) => {
            to.map(4).unwrap().i8(1).unwrap().i8(2).unwrap().i8(-1).unwrap().i8(1).unwrap();
            to.i8(-2).unwrap().bytes(&point[1..33]).unwrap().i8(-3).unwrap().bytes(&point[33..]).unwrap();
        }
        PublicKey::P384(_) => unreachable!("nobody here signs with P-384"),
    }
    out
}

/// Claims by their labels, already encoded, so that a test can change, drop, double and reorder them.
pub type Claims = Vec<(i64, Vec<u8>)>;

pub fn encoded(put: impl FnOnce(&mut Encoder<&mut Vec<u8>>)) -> Vec<u8> {
    let mut out = Vec::new();
    put(&mut Encoder::new(&mut out));
    out
}

pub fn bytes(bytes: &[u8]) -> Vec<u8> {
    encoded(|to| drop(to.bytes(bytes)))
}

pub fn text(text: &str) -> Vec<u8> {
    encoded(|to| drop(to.str(text)))
}

/// The claims of a layer in the order of the Open Profile's reference. Its code's hash is `code` 64 times.
pub fn claims(issuer: &PublicKey, subject: &PublicKey, code: u8) -> Claims {
    // {-70002: "fw", -70003: "1.2", -70005: 7}
    let config = b"\xA3\x3A\x00\x01\x11\x71\x62fw\x3A\x00\x01\x11\x72\x631.2\x3A\x00\x01\x11\x74\x07";
    vec![
        (1, text(&key_id(issuer))),
        (2, text(&key_id(subject))),
        (-4_670_545, bytes(&[code; 64])),
        (-4_670_548, bytes(config)),
        (-4_670_547, bytes(&(RUSTCRYPTO.sha512)(&[config]))),
        (-4_670_549, bytes(&[0xAA; 64])),
        (-4_670_551, bytes(&[1])),
        (-4_670_552, bytes(&cose_key(subject))),
        (-4_670_553, bytes(&[0x20])),
    ]
}

pub fn set(claims: &mut Claims, label: i64, value: Vec<u8>) {
    match claims.iter_mut().find(|(name, _)| *name == label) {
        Some((_, old)) => *old = value,
        None => claims.push((label, value)),
    }
}

/// A COSE_Sign1 over a payload under any protected header.
pub fn sign1(signer: &Pair, protected: &[u8], unprotected: &[u8], payload: &[u8]) -> Vec<u8> {
    let signed = encoded(|to| cose::put_signed(to, Shape::Sign1, protected, b"", payload).unwrap());
    let proof = signer.sign(&signed);
    [&[0x84][..], &bytes(protected), unprotected, &bytes(payload), &bytes(&proof)].concat()
}

pub fn protected(signer: &Pair) -> Vec<u8> {
    encoded(|to| drop(to.map(1).unwrap().i8(1).unwrap().i64(signer.key().algorithm())))
}

pub fn map(claims: &Claims) -> Vec<u8> {
    encoded(|to| {
        to.map(claims.len() as u64).unwrap();
        for (label, value) in claims {
            to.i64(*label).unwrap().writer_mut().extend_from_slice(value);
        }
    })
}

pub fn certificate(signer: &Pair, claims: &Claims) -> Vec<u8> {
    sign1(signer, &protected(signer), &[0xA0], &map(claims))
}

pub fn array(items: &[Vec<u8>]) -> Vec<u8> {
    let mut out = encoded(|to| drop(to.array(items.len() as u64)));
    items.iter().for_each(|item| out.extend_from_slice(item));
    out
}

/// One DER element.
pub fn der(tag: u8, parts: &[&[u8]]) -> Vec<u8> {
    let value = parts.concat();
    let length = match value.len() {
        length @ 0..=127 => vec![length as u8],
        length @ 128..=255 => vec![0x81, length as u8],
        length => vec![0x82, (length >> 8) as u8, length as u8],
    };
    [&[tag][..], &length, &value].concat()
}

pub const ECDSA_WITH_SHA256: &[u8] = b"\x30\x0A\x06\x08\x2A\x86\x48\xCE\x3D\x04\x03\x02";
pub const ED25519: &[u8] = b"\x30\x05\x06\x03\x2B\x65\x70";

pub fn spki(key: &PublicKey) -> Vec<u8> {
    match key {
        PublicKey::Ed25519(bytes) => der(0x30, &[ED25519, &der(3, &[&[0], bytes])]),
        PublicKey::P256(point) => {
            let names = b"\x06\x07\x2A\x86\x48\xCE\x3D\x02\x01\x06\x08\x2A\x86\x48\xCE\x3D\x03\x01\x07";
            der(0x30, &[&der(0x30, &[names]), &der(3, &[&[0], point])])
        }
        PublicKey::P384(_) => unreachable!("nobody here signs with P-384"),
    }
}

pub fn name(text: &str) -> Vec<u8> {
    der(0x30, &[&der(0x31, &[&der(0x30, &[b"\x06\x03\x55\x04\x05", &der(0x13, &[text.as_bytes()])])])])
}

pub fn extension(name: &[u8], critical: bool, value: &[u8]) -> Vec<u8> {
    let critical: &[u8] = if critical { b"\x01\x01\xFF" } else { b"" };
    der(0x30, &[&der(6, &[name]), critical, &der(4, &[value])])
}

pub const BASIC_CONSTRAINTS: &[u8] = b"\x55\x1D\x13";
pub const KEY_USAGE: &[u8] = b"\x55\x1D\x0F";
pub const CA: &[u8] = b"\x30\x03\x01\x01\xFF";
pub const NO_CA: &[u8] = b"\x30\x00";
pub const CERTIFIES: &[u8] = b"\x03\x02\x02\x04";
pub const SIGNS: &[u8] = b"\x03\x02\x07\x80";
pub const TCB_INFO: &[u8] = b"\x67\x81\x05\x05\x04\x01";
pub const OPEN_DICE: &[u8] = b"\x2B\x06\x01\x04\x01\xD6\x79\x02\x01\x18";

/// An X.509 certificate to be, of which a test may change every part.
#[derive(Clone)]
pub struct Draft {
    pub issuer: Vec<u8>,
    pub subject: Vec<u8>,
    pub not_before: Vec<u8>,
    pub not_after: Vec<u8>,
    pub key: Vec<u8>,
    pub extensions: Vec<Vec<u8>>,
}

impl Draft {
    pub fn new(issuer: &PublicKey, subject: &PublicKey, extensions: Vec<Vec<u8>>) -> Self {
        Self {
            issuer: name(&key_id(issuer)),
            subject: name(&key_id(subject)),
            not_before: b"\x17\x0D180322235959Z".to_vec(),
            not_after: b"\x18\x0F99991231235959Z".to_vec(),
            key: spki(subject),
            extensions,
        }
    }

    /// The first two extensions are basicConstraints and keyUsage.
    pub fn authority(issuer: &PublicKey, subject: &PublicKey, more: Vec<Vec<u8>>) -> Self {
        let standard = [extension(BASIC_CONSTRAINTS, true, CA), extension(KEY_USAGE, true, CERTIFIES)];
        Self::new(issuer, subject, standard.into_iter().chain(more).collect())
    }

    pub fn leaf(issuer: &PublicKey, subject: &PublicKey, more: Vec<Vec<u8>>) -> Self {
        let standard = [extension(BASIC_CONSTRAINTS, true, NO_CA), extension(KEY_USAGE, true, SIGNS)];
        Self::new(issuer, subject, standard.into_iter().chain(more).collect())
    }

    pub fn signed(&self, signer: &Pair) -> Vec<u8> {
        let algorithm = match signer.public() {
            PublicKey::P256(_) => ECDSA_WITH_SHA256,
            _ => ED25519,
        };
        self.signed_as(signer, algorithm, algorithm)
    }

    pub fn signed_as(&self, signer: &Pair, inner: &[u8], outer: &[u8]) -> Vec<u8> {
        let validity = der(0x30, &[&self.not_before, &self.not_after]);
        let extensions = der(0xA3, &[&der(0x30, &[&self.extensions.concat()])]);
        let front: [&[u8]; 3] = [b"\xA0\x03\x02\x01\x02", b"\x02\x01\x05", inner];
        let tbs = der(0x30, &[&front.concat(), &self.issuer, &validity, &self.subject, &self.key, &extensions]);
        let raw = signer.sign(&tbs);
        let signature = match signer.public() {
            PublicKey::P256(_) => cose::to_der(&raw).unwrap().as_slice().to_vec(),
            _ => raw,
        };
        der(0x30, &[&tbs, outer, &der(3, &[&[0], &signature])])
    }
}

/// A DiceTcbInfo extension: security version, layer, one SHA-256 digest, flags.
pub fn tcb_info(layer: u8, code: u8, flags: &[u8]) -> Vec<u8> {
    let sha256 = b"\x06\x09\x60\x86\x48\x01\x65\x03\x04\x02\x01";
    let fwid = der(0x30, &[sha256, &der(4, &[&[code; 32]])]);
    let info = der(
        0x30,
        &[
            &der(0x80, &[b"acme"]),
            &der(0x83, &[&[7]]),
            &der(0x84, &[&[layer]]),
            &der(0xA6, &[&fwid]),
            &der(0x87, &[flags]),
        ],
    );
    extension(TCB_INFO, true, &info)
}

/// An OpenDiceInput extension.
pub fn open_input(code: u8) -> Vec<u8> {
    let octets = |number: u8, bytes: &[u8]| der(0xA0 | number, &[&der(4, &[bytes])]);
    let input =
        der(0x30, &[&octets(0, &[code; 64]), &octets(3, &[2; 64]), &octets(4, &[3; 64]), &der(0xA6, &[&[0x0A, 1, 1]])]);
    extension(OPEN_DICE, true, &input)
}
