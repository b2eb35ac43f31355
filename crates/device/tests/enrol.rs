//! Joining, without a gateway: requests that others can read, and whom a device takes for its owner.

#![allow(clippy::unwrap_used, reason = "a test that cannot go on says where")]

use bartizan_crypto::{AWS_LC, RUSTCRYPTO, Secret};
use bartizan_device::Code;
use bartizan_device::dice::{Algorithm, KeyPair, certification_request, x509};
use bartizan_device::enrol::{self, FirstContact, Owner, PinnedDomain};
use bartizan_dtls::{AlertDescription, CertificateType, PeerVerifier};
use bartizan_trust::cose::SigningKey;
use bartizan_trust::voucher::{Assertion, Voucher};
use bartizan_trust::x509::Request;
use bartizan_trust::{Error, PublicKey};
use bartizan_wire::UnixMillis;

const NOW: UnixMillis = UnixMillis(1_795_000_000_000);
const DAY_MS: u64 = 86_400_000;
const SERIAL: &str = "MX-0815";

fn rng(out: &mut [u8]) {
    out.fill(7);
}

fn pair(algorithm: Algorithm, seed: u8) -> KeyPair {
    KeyPair::from_seed(&RUSTCRYPTO, algorithm, &Secret::new([seed; 32])).unwrap()
}

/// A self-signed certificate; what it is for does not matter here.
fn certificate(seed: u8) -> Vec<u8> {
    let key = pair(Algorithm::P256, seed);
    let mut out = [0; 1024];
    let length = x509::certificate(&RUSTCRYPTO, &mut rng, &key, key.public(), &x509::Content::Root, &mut out).unwrap();
    out[..length].to_vec()
}

const MANUFACTURER: [u8; 32] = [9; 32];

fn manufacturer() -> PublicKey {
    SigningKey::P256(&Secret::new(MANUFACTURER)).public(&RUSTCRYPTO).unwrap()
}

fn signed(voucher: &Voucher<'_>, secret: [u8; 32]) -> Vec<u8> {
    let secret = Secret::new(secret);
    let (mut room, mut out) = ([0; 4096], [0; 2048]);
    let length = voucher.sign(&RUSTCRYPTO, &mut rng, &SigningKey::P256(&secret), &mut room, &mut out).unwrap();
    out[..length].to_vec()
}

fn voucher(pinned: &[u8]) -> Voucher<'_> {
    Voucher {
        serial_number: SERIAL,
        assertion: Assertion::Verified,
        created: NOW,
        expires: Some(NOW.plus(DAY_MS)),
        nonce: None,
        pinned_domain_cert: pinned,
        idevid_issuer: None,
    }
}

#[test]
fn a_request_is_read_and_its_signature_holds() {
    for algorithm in [Algorithm::P256, Algorithm::Ed25519] {
        let key = pair(algorithm, 3);
        let mut out = [0; 320];
        let length = certification_request(&RUSTCRYPTO, &mut rng, &key, &mut out).unwrap();
        let request = Request::open(&AWS_LC, &out[..length]).unwrap();
        assert_eq!(PublicKey::from_spki(request.key_info), Ok(*key.public()));
        let mut changed = out;
        changed[length - 1] ^= 1;
        assert!(Request::open(&AWS_LC, &changed[..length]).is_err());
        for room in 0..length {
            let refused = certification_request(&RUSTCRYPTO, &mut rng, &key, &mut out[..room]);
            assert!(matches!(refused, Err(Error::Unavailable(_))), "{room}");
        }
    }
}

#[test]
fn a_voucher_counts_for_this_device_from_this_manufacturer_and_now() {
    let (manufacturer, pinned) = (manufacturer(), certificate(1));
    let owner = Owner { manufacturer: &manufacturer, serial_number: SERIAL, nonce: None, now: Some(NOW) };
    let accept = |owner: Owner<'_>, voucher: &Voucher<'_>, secret| {
        owner.accept(&RUSTCRYPTO, &signed(voucher, secret)).map(|domain| domain.certificate().to_vec())
    };
    assert_eq!(accept(owner, &voucher(&pinned), MANUFACTURER), Ok(pinned.clone()));
    let untrusted = |accepted| assert!(matches!(accepted, Err(Error::Untrusted(_))), "{accepted:?}");
    untrusted(accept(owner, &voucher(&pinned), [8; 32]));
    untrusted(accept(owner, &Voucher { serial_number: "MX-0816", ..voucher(&pinned) }, MANUFACTURER));
    untrusted(accept(Owner { now: Some(NOW.plus(DAY_MS + 1)), ..owner }, &voucher(&pinned), MANUFACTURER));
    untrusted(accept(Owner { now: None, ..owner }, &voucher(&pinned), MANUFACTURER));

    // A device without a clock asks with a nonce of its own.
    let nonce = [5; 16];
    let fresh = Voucher { nonce: Some(&nonce), expires: None, ..voucher(&pinned) };
    let asked = Owner { nonce: Some(&nonce), now: None, ..owner };
    assert_eq!(accept(asked, &fresh, MANUFACTURER), Ok(pinned.clone()));
    untrusted(accept(Owner { nonce: Some(&[6; 16]), ..asked }, &fresh, MANUFACTURER));
    untrusted(accept(owner, &fresh, MANUFACTURER));
    assert!(accept(owner, &voucher(&[0x30, 0]), MANUFACTURER).is_err(), "no certificate is pinned");
}

#[test]
fn the_pinned_certificate_is_believed_and_nobody_else_s() {
    let (own, other) = (certificate(1), certificate(2));
    let domain = PinnedDomain::new(&RUSTCRYPTO, &own, Some(NOW)).unwrap();
    let kind = CertificateType::X509;
    let believed = domain.verify(kind, &[&own]).unwrap();
    assert_eq!(
        believed.key.bytes.as_slice(),
        match pair(Algorithm::P256, 1).public() {
            PublicKey::P256(point) => point.as_slice(),
            _ => unreachable!(),
        }
    );
    assert_eq!(domain.verify(kind, &[&other]), Err(AlertDescription::UNKNOWN_CA));
    assert_eq!(domain.verify(kind, &[&other, &own]), Err(AlertDescription::UNKNOWN_CA));
    assert_eq!(domain.verify(kind, &[]), Err(AlertDescription::UNKNOWN_CA));
    assert!(domain.verify(CertificateType::RawPublicKey, &[&own]).is_err());
    assert!(FirstContact.verify(kind, &[&other]).is_ok());
    assert!(FirstContact.verify(kind, &[b"no certificate"]).is_err());
}

#[test]
fn an_answer_brings_a_certificate_over_the_own_key_or_none() {
    let (own, other) = (certificate(1), certificate(2));
    let key = *pair(Algorithm::P256, 1).public();
    let read = |code, format, payload: &[u8]| enrol::certificate(code, format, payload, &key);
    assert_eq!(read(Code::CHANGED, Some(287), &own), Ok(own.clone()));
    assert!(matches!(read(Code::CHANGED, Some(287), &other), Err(Error::Misbehaved(_))));
    assert!(read(Code::CHANGED, Some(60), &own).is_err());
    assert!(read(Code::SERVICE_UNAVAILABLE, Some(287), &own).is_err());
    for length in 0..own.len() {
        assert!(read(Code::CHANGED, Some(287), &own[..length]).is_err());
        assert!(read(Code::CHANGED, Some(281), &own[..length]).is_err());
    }
}

#[test]
fn starts_are_said_in_a_few_bytes() {
    let said = enrol::starts(Some(u64::MAX), &[7; 16]);
    assert_eq!((said.payload.len(), said.payload[0]), (27, 0x82));
    assert_eq!(enrol::starts(None, &[7; 16]).payload[1], 0xF6);
}
