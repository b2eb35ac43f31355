//! Known answers of open-dice, which nobody here wrote: the same secrets, and certificates that are the same byte for
//! byte up to a signature that has randomness in it.

#![allow(clippy::disallowed_methods, reason = "vectors are files")]
#![allow(clippy::unwrap_used, reason = "a test that cannot go on says where")]

use std::path::PathBuf;

use bartizan_crypto::{RUSTCRYPTO, Secret};
use bartizan_device::dice::{Algorithm, Cdi, Config, Inputs, KeyPair, cbor, x509};
use bartizan_trust::PublicKey;

/// `None`, and a word about it, where the vectors are not.
fn vector(name: &str) -> Option<Vec<u8>> {
    let root = std::env::var_os("BARTIZAN_VECTORS")
        .map_or_else(|| PathBuf::from(concat!(env!("CARGO_MANIFEST_DIR"), "/../../../shared/vectors")), PathBuf::from);
    let folder = root.join("trust/open-dice");
    if !folder.is_dir() {
        eprintln!("skipped: no vectors in {}", folder.display());
        return None;
    }
    Some(std::fs::read(folder.join(name)).unwrap())
}

/// The inputs that open-dice's tests make of a name: SHA-512 of a counted-up hash.
fn made(seed: &str, length: usize) -> Vec<u8> {
    let mut context = (RUSTCRYPTO.sha512)(&[seed.as_bytes()]);
    let mut out = Vec::new();
    while out.len() < length {
        out.extend((RUSTCRYPTO.sha512)(&[&context]));
        let counter = u64::from_le_bytes(context[..8].try_into().unwrap()).wrapping_add(1);
        context[..8].copy_from_slice(&counter.to_le_bytes());
    }
    out.truncate(length);
    out
}

fn made_64(seed: &str) -> [u8; 64] {
    made(seed, 64).try_into().unwrap()
}

#[derive(Clone, Copy)]
enum Case {
    Zero,
    HashOnly,
    Descriptor,
}

struct Descriptors {
    code: Vec<u8>,
    config: Vec<u8>,
    authority: Vec<u8>,
}

impl Case {
    const ALL: [Self; 3] = [Self::Zero, Self::HashOnly, Self::Descriptor];

    fn name(self) -> &'static str {
        match self {
            Self::Zero => "ZeroInput",
            Self::HashOnly => "HashOnlyInput",
            Self::Descriptor => "DescriptorInput",
        }
    }

    fn cdi(self) -> Cdi {
        let secret = |seed| match self {
            Self::Zero => Secret::new([0; 32]),
            _ => Secret::new(made(seed, 32).try_into().unwrap()),
        };
        Cdi::new(secret("cdi_attest"), secret("cdi_seal"))
    }

    fn descriptors(self) -> Descriptors {
        let long = |length| if matches!(self, Self::Descriptor) { length } else { 0 };
        Descriptors {
            code: made("code_desc", long(100)),
            config: made("config_desc", long(40)),
            authority: made("authority_desc", long(65)),
        }
    }

    fn inputs(self, descriptors: &Descriptors) -> Inputs<'_> {
        match self {
            Self::Zero => Inputs::default(),
            Self::HashOnly => Inputs {
                code: made_64("code_hash"),
                config: Config::Inline(made_64("inline_config")),
                authority: made_64("authority_hash"),
                ..Inputs::default()
            },
            Self::Descriptor => Inputs {
                code: made_64("code_hash"),
                code_descriptor: &descriptors.code,
                config: Config::Descriptor(&descriptors.config),
                authority: made_64("authority_hash"),
                authority_descriptor: &descriptors.authority,
                ..Inputs::default()
            },
        }
    }

    /// The key that certifies, and the key of the next layer.
    fn keys(self, algorithm: Algorithm) -> (KeyPair, KeyPair) {
        let descriptors = self.descriptors();
        let authority = self.cdi().key_pair(&RUSTCRYPTO, algorithm).unwrap();
        let next = self.cdi().next(&RUSTCRYPTO, &self.inputs(&descriptors)).unwrap();
        (authority, next.key_pair(&RUSTCRYPTO, algorithm).unwrap())
    }
}

fn rng(out: &mut [u8]) {
    out.fill(7);
}

#[test]
fn the_secrets_are_those_of_open_dice() {
    for case in Case::ALL {
        let Some(attest) = vector(&format!("kExpectedCdiAttest_{}.bin", case.name())) else { return };
        let seal = vector(&format!("kExpectedCdiSeal_{}.bin", case.name())).unwrap();
        let descriptors = case.descriptors();
        let next = case.cdi().next(&RUSTCRYPTO, &case.inputs(&descriptors)).unwrap();
        assert_eq!((next.expose().0.expose()[..] == attest, next.expose().1.expose()[..] == seal), (true, true));
    }
}

fn cbor_certificate(case: Case, algorithm: Algorithm, profile: Option<&str>) -> Vec<u8> {
    let descriptors = case.descriptors();
    let (authority, next) = case.keys(algorithm);
    let mut out = [0; 1_000];
    let inputs = case.inputs(&descriptors);
    let length =
        cbor::certificate(&RUSTCRYPTO, &mut rng, &authority, next.public(), &inputs, profile, &mut out).unwrap();
    // Not a byte more than the certificate is needed.
    let mut tight = vec![0; length];
    cbor::certificate(&RUSTCRYPTO, &mut rng, &authority, next.public(), &inputs, profile, &mut tight).unwrap();
    assert_eq!(tight, out[..length]);
    for short in (0..length).step_by(37).chain([length - 1]) {
        let room = &mut [0; 1_100][..short];
        let made = cbor::certificate(&RUSTCRYPTO, &mut rng, &authority, next.public(), &inputs, profile, room);
        assert!(made.is_err(), "{short}");
    }
    tight
}

#[test]
fn cbor_certificates_with_ed25519_are_the_same() {
    for case in Case::ALL {
        for (file, profile) in [("Android", Some("android.18")), ("", None)] {
            if file.is_empty() && matches!(case, Case::Descriptor) {
                continue; // open-dice has no such certificate
            }
            let Some(expected) = vector(&format!("kExpectedCborEd25519Cert_{file}{}.cbor", case.name())) else {
                return;
            };
            assert_eq!(cbor_certificate(case, Algorithm::Ed25519, profile), expected, "{file}{}", case.name());
        }
    }
}

#[test]
fn cbor_certificates_with_p256_differ_by_their_signature_only() {
    for case in Case::ALL {
        let Some(expected) = vector(&format!("kExpectedCborP256Cert_{}.cbor", case.name())) else { return };
        let ours = cbor_certificate(case, Algorithm::P256, Some("opendice.example"));
        let signed = expected.len() - 64;
        assert_eq!((ours.len(), &ours[..signed]), (expected.len(), &expected[..signed]));
        let (authority, _) = case.keys(Algorithm::P256);
        for certificate in [&ours, &expected] {
            use bartizan_trust::cbor::Strict;
            use bartizan_trust::cose::{Envelope, Shape};
            let envelope = Envelope::read(Shape::Sign1, Strict::new(certificate).unwrap()).unwrap();
            envelope.verify(&RUSTCRYPTO, authority.public(), b"").unwrap();
        }
    }
}

fn x509_certificate(case: Case, algorithm: Algorithm, profile_name: Option<&str>) -> Vec<u8> {
    let descriptors = case.descriptors();
    let (authority, next) = case.keys(algorithm);
    let inputs = case.inputs(&descriptors);
    let content = x509::Content::Open { inputs: &inputs, profile_name };
    let mut out = [0; 1_100];
    let length = x509::certificate(&RUSTCRYPTO, &mut rng, &authority, next.public(), &content, &mut out).unwrap();
    for short in 0..600 {
        let room = &mut [0; 1_100][..short];
        assert!(x509::certificate(&RUSTCRYPTO, &mut rng, &authority, next.public(), &content, room).is_err());
    }
    out[..length].to_vec()
}

#[test]
fn x509_certificates_with_ed25519_are_the_same() {
    for case in Case::ALL {
        let Some(expected) = vector(&format!("kExpectedX509Ed25519Cert_{}.der", case.name())) else { return };
        assert_eq!(x509_certificate(case, Algorithm::Ed25519, None), expected, "{}", case.name());
    }
}

#[test]
fn x509_certificates_with_p256_differ_by_their_signature_only() {
    for case in Case::ALL {
        let Some(expected) = vector(&format!("kExpectedX509P256Cert_{}.der", case.name())) else { return };
        let ours = x509_certificate(case, Algorithm::P256, Some("opendice.example"));
        let (signed, signature) = taken_apart(&expected);
        let (our_signed, our_signature) = taken_apart(&ours);
        assert_eq!(our_signed, signed, "{}", case.name());
        let (authority, _) = case.keys(Algorithm::P256);
        let PublicKey::P256(key) = authority.public() else { panic!("another key") };
        for signature in [signature, our_signature] {
            (RUSTCRYPTO.ecdsa_p256_sha256.verify)(key, signed, signature).unwrap();
        }
    }
}

/// What is signed, and the signature in DER.
fn taken_apart(certificate: &[u8]) -> (&[u8], &[u8]) {
    let length = usize::from(u16::from_be_bytes([certificate[6], certificate[7]]));
    let (signed, rest) = certificate[4..].split_at(length + 4);
    (signed, &rest[12 + 3..])
}
