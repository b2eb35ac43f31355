//! What is issued, against the strict reader of `bartizan_trust` and the paths of rustls.

use std::sync::Arc;
use std::time::Duration;

use bartizan_crypto::AWS_LC;
use bartizan_trust::x509::{Certificate, device};
use bartizan_wire::{DeviceKey, TenantId, UnixMillis};
use rcgen::{CertificateParams, KeyPair, PKCS_ECDSA_P256_SHA256, PKCS_ECDSA_P384_SHA384, PKCS_ED25519};
use rustls::pki_types::{CertificateDer, UnixTime};
use rustls::server::WebPkiClientVerifier;

use super::*;

const NOW: UnixMillis = UnixMillis(1_795_420_510_042);
const DAY: u64 = 86_400_000;
const METER: Subject<'static> = Subject { device: DeviceKey::new(7, 42), name: "meter-42" };

fn days(from: u64, to: u64) -> Validity {
    Validity { not_before: UnixMillis(NOW.0 + from * DAY), not_after: UnixMillis(NOW.0 + to * DAY) }
}

fn serial(byte: u8) -> Serial {
    Serial::new([byte; 16])
}

/// A root, and an issuing authority of tenant 7.
fn authorities(path: &str) -> (Authority, Authority) {
    let (root_key, _) = Key::generate().unwrap();
    let root = hierarchy::root(path, &root_key, &serial(1), days(0, 3650)).unwrap();
    let root = Authority::new(root, root_key).unwrap();
    let (key, private) = Key::generate().unwrap();
    let request = hierarchy::request(&hierarchy::issuing_name(TenantId(7), "water", 1), &key).unwrap();
    let issuing = hierarchy::sign(&root, &request, &serial(2), days(0, 1000)).unwrap();
    (root, Authority::new(issuing, Key::from_pkcs8(&private).unwrap()).unwrap())
}

fn csr(algorithm: &'static rcgen::SignatureAlgorithm) -> Vec<u8> {
    let key = KeyPair::generate_for(algorithm).unwrap();
    CertificateParams::default().serialize_request(&key).unwrap().der().to_vec()
}

fn issued(issuing: &Authority) -> Vec<u8> {
    let der = csr(&PKCS_ECDSA_P256_SHA256);
    let csr = Csr::open(&der).unwrap();
    issuing.issue(&csr, &METER, &serial(9), days(0, 90)).unwrap()
}

/// Whether rustls finds a path from the root.
fn path(root: &[u8], between: &[&[u8]], leaf: &[u8], day: u64) -> bool {
    let der = |bytes: &[u8]| CertificateDer::from(bytes.to_vec());
    let mut roots = rustls::RootCertStore::empty();
    roots.add(der(root)).unwrap();
    let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
    let verifier = WebPkiClientVerifier::builder_with_provider(Arc::new(roots), provider).build().unwrap();
    let between: Vec<_> = between.iter().map(|bytes| der(bytes)).collect();
    let at = UnixTime::since_unix_epoch(Duration::from_millis(NOW.0 + day * DAY));
    verifier.verify_client_cert(&der(leaf), &between, at).is_ok()
}

#[test]
fn a_device_s_certificate_is_believed_by_us_and_by_rustls() {
    let (root, issuing) = authorities("root");
    let leaf = issued(&issuing);
    let authority = device::Authority::read(issuing.certificate()).unwrap();
    let read = Certificate::read(&leaf).unwrap();
    let verified = device::verify(&AWS_LC, &read, &authority, NOW).unwrap();
    assert_eq!(verified.device, METER.device);
    assert_eq!(Serial::read(read.serial), Some(serial(9)));
    authority.issued_by(&AWS_LC, &device::Authority::read(root.certificate()).unwrap()).unwrap();
    for (day, good) in [(0, true), (89, true), (91, false)] {
        assert_eq!(path(root.certificate(), &[issuing.certificate()], &leaf, day), good, "{day}");
        let at = UnixMillis(NOW.0 + day * DAY);
        assert_eq!(device::verify(&AWS_LC, &read, &authority, at).is_ok(), good, "{day}");
    }
    let (stranger, other) = authorities("root");
    assert!(!path(stranger.certificate(), &[issuing.certificate()], &leaf, 1));
    assert!(device::verify(&AWS_LC, &read, &device::Authority::read(other.certificate()).unwrap(), NOW).is_err());
}

#[test]
fn requests_of_other_keys_or_of_others_keys_are_refused() {
    assert!(Csr::open(&csr(&PKCS_ED25519)).is_ok());
    assert!(Csr::open(&csr(&PKCS_ECDSA_P384_SHA384)).is_err());
    let good = csr(&PKCS_ECDSA_P256_SHA256);
    for at in 0..good.len() {
        let mut bad = good.clone();
        bad[at] ^= 1;
        assert!(Csr::open(&bad).is_err(), "byte {at}");
        assert!(Csr::open(&good[..at]).is_err(), "{at} bytes");
    }
}

#[test]
fn nothing_outlives_its_authority_nor_begins_before_it() {
    let (_, issuing) = authorities("root");
    let der = csr(&PKCS_ECDSA_P256_SHA256);
    let csr = Csr::open(&der).unwrap();
    let leaf = issuing.issue(&csr, &METER, &serial(9), days(990, 2000)).unwrap();
    assert_eq!(Validity::of(&Certificate::read(&leaf).unwrap()).not_after, issuing.validity().not_after);
    assert_eq!(issuing.issue(&csr, &METER, &serial(9), days(1001, 2000)), Err(Error::NotValid));
}

#[test]
fn a_leaf_is_no_authority_and_an_issuing_authority_has_none_below() {
    let (_, issuing) = authorities("root");
    let (key, _) = Key::generate().unwrap();
    let request = hierarchy::request(&hierarchy::issuing_name(TenantId(7), "water", 2), &key).unwrap();
    assert!(hierarchy::sign(&issuing, &request, &serial(3), days(0, 10)).is_err());
    assert!(device::Authority::read(&issued(&issuing)).is_err());
    assert_eq!(Authority::new(issuing.certificate().to_vec(), key).err(), Some(Error::OtherKey));
}

#[test]
fn a_new_root_is_believed_under_the_old_one_and_the_other_way_round() {
    let ((old, old_issuing), (new, new_issuing)) = (authorities("old"), authorities("new"));
    let new_with_old = hierarchy::cross_sign(&old, new.certificate(), &serial(4)).unwrap();
    let old_with_new = hierarchy::cross_sign(&new, old.certificate(), &serial(5)).unwrap();
    let (old_leaf, new_leaf) = (issued(&old_issuing), issued(&new_issuing));
    let (old_ca, new_ca) = (old_issuing.certificate(), new_issuing.certificate());
    for (root, between, leaf) in [
        (&old, &[old_ca][..], &old_leaf),
        (&old, &[new_ca, &new_with_old], &new_leaf),
        (&new, &[new_ca], &new_leaf),
        (&new, &[old_ca, &old_with_new], &old_leaf),
    ] {
        assert!(path(root.certificate(), between, leaf, 1));
    }
    assert!(!path(old.certificate(), &[new_ca], &new_leaf, 1));
}

#[test]
fn serials_have_sixteen_bytes_and_one_spelling() {
    for random in [[0; 16], [0xFF; 16]] {
        let serial = Serial::new(random);
        assert_eq!(Serial::from_hex(&serial.to_string()), Some(serial));
        assert_eq!(Serial::read(&serial.0), Some(serial));
    }
    for bad in ["", "+0000000000000000000000000000000", &"0".repeat(32), &"4".repeat(31), &"4".repeat(33)] {
        assert_eq!(Serial::from_hex(bad), None, "{bad}");
    }
}
