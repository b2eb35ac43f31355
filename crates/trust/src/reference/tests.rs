use alloc::format;
use alloc::vec;

use super::*;
use crate::evidence::HashAlgorithm;

const DEVICE: Identity = Identity([7; 32]);

fn digest(byte: u8) -> Digest {
    Digest { algorithm: HashAlgorithm::Sha256, bytes: vec![byte; 32] }
}

fn class() -> Class {
    Class::new("Acme", "WM-100")
}

fn value(tag: &str, tag_version: u64, version: &str, byte: u8) -> Value {
    Value {
        class: class(),
        instance: None,
        component: "firmware".into(),
        version: Some(version.into()),
        security_version: Some(SecurityVersion::Exact(3)),
        digests: vec![digest(byte)],
        source: Source::Corim {
            manifest: "acme".into(),
            tag: tag.into(),
            tag_version,
            signer: "Acme release key".into(),
        },
        withdrawn: false,
    }
}

fn manifest(since: u64, tag: &str, version: u64, values: Vec<Value>) -> Manifest {
    let content = [version as u8 ^ values.len() as u8; 32];
    let tags = vec![ManifestTag { id: tag.into(), version, content, replaces: vec![], values }];
    Manifest { id: "acme".into(), since: Some(UnixMillis(since)), signer: "Acme release key".into(), tags }
}

fn found(store: &ReferenceValues, byte: u8) -> usize {
    store.find(&class(), "firmware", &digest(byte), &DEVICE).count()
}

#[test]
fn a_newer_tag_supersedes_and_an_older_one_is_refused() {
    let mut store = ReferenceValues::new();
    let first = manifest(5, "t", 1, vec![value("t", 1, "2.0", 1)]);
    assert_eq!(store.import(first.clone()), Ok(1));
    assert_eq!(store.import(first.clone()), Ok(0));
    let second = manifest(6, "t", 2, vec![value("t", 2, "2.1", 2)]);
    assert_eq!(store.import(second), Ok(1));
    assert_eq!((found(&store, 1), found(&store, 2), store.len()), (0, 1, 1));
    let before = store.clone();
    assert!(matches!(store.import(first), Err(Fault::RolledBack { have: 6, got: 5, .. })));
    let old_tag = manifest(7, "t", 1, vec![value("t", 1, "2.0", 1)]);
    assert!(matches!(store.import(old_tag), Err(Fault::RolledBack { have: 2, got: 1, .. })));
    let other = manifest(7, "t", 2, vec![value("t", 2, "2.1", 2), value("t", 2, "2.2", 3)]);
    assert!(matches!(store.import(other), Err(Fault::RolledBack { have: 2, got: 2, .. })));
    assert_eq!(store, before);
}

#[test]
fn a_tag_stays_its_signers() {
    let mut store = ReferenceValues::new();
    store.import(manifest(5, "t", 1, vec![value("t", 1, "2.0", 1)])).unwrap();
    let mut stolen = manifest(6, "t", 2, vec![]);
    (stolen.signer, stolen.id) = ("Mallory".into(), "mallory".into());
    assert!(matches!(store.import(stolen.clone()), Err(Fault::OtherSigner(..))));
    (stolen.id, stolen.tags) = ("acme".into(), vec![]);
    assert!(matches!(store.import(stolen), Err(Fault::OtherSigner(..))));
}

#[test]
fn a_tag_takes_the_place_of_others_of_its_signer() {
    let mut store = ReferenceValues::new();
    store.import(manifest(5, "t", 1, vec![value("t", 1, "2.0", 1)])).unwrap();
    let mut next = manifest(6, "u", 1, vec![value("u", 1, "2.0", 9)]);
    next.tags[0].replaces = vec!["t".into(), "never seen".into()];
    let stolen = Manifest { id: "other".into(), signer: "Mallory".into(), ..next.clone() };
    assert!(matches!(store.import(stolen), Err(Fault::OtherSigner(..))));
    assert_eq!(store.import(next), Ok(1));
    assert_eq!((found(&store, 1), found(&store, 9)), (0, 1));
    for ended in ["t", "never seen"] {
        let again = manifest(7, ended, 2, vec![value(ended, 2, "1.9", 3)]);
        assert_eq!(store.import(again), Err(Fault::Revoked(ended.into())));
    }
}

#[test]
fn two_sources_that_disagree_are_both_named() {
    let mut store = ReferenceValues::new();
    store.import(manifest(5, "t", 1, vec![value("t", 1, "2.0", 1)])).unwrap();
    for wrong in [
        value("u", 1, "2.0", 9),
        value("u", 1, "2.1", 1),
        Value { security_version: Some(SecurityVersion::Exact(4)), ..value("u", 1, "2.0", 1) },
        Value { security_version: Some(SecurityVersion::AtLeast(4)), ..value("u", 1, "2.0", 1) },
    ] {
        let fault = store.import(manifest(6, "u", 1, vec![wrong])).unwrap_err().to_string();
        assert!(fault.contains("tag t version 1") && fault.contains("tag u version 1"), "{fault}");
    }
    assert_eq!(store.import(manifest(6, "u", 1, vec![value("u", 1, "2.0", 1)])), Ok(1));
    // A value of one device only is no contradiction to that of its class.
    let own = Value { instance: Some(DEVICE), ..value("v", 1, "2.0", 9) };
    assert_eq!(store.import(manifest(7, "v", 1, vec![own])), Ok(1));
    let other = store.find(&class(), "firmware", &digest(9), &Identity([8; 32])).count();
    assert_eq!((found(&store, 9), other), (1, 0));
}

#[test]
fn what_is_revoked_vouches_for_nothing_and_does_not_return() {
    let mut store = ReferenceValues::new();
    store.import(manifest(5, "t", 1, vec![value("t", 1, "2.0", 1)])).unwrap();
    assert_eq!((store.revoke("t"), store.revoke("u")), (1, 0));
    assert_eq!((found(&store, 1), store.len()), (0, 0));
    assert_eq!(store.of_version(&class(), "firmware", "2.0", &DEVICE).count(), 1);
    assert_eq!(store.import(manifest(6, "t", 2, vec![])), Err(Fault::Revoked("t".into())));
}

#[test]
fn values_that_cannot_be_used_are_refused() {
    let mut store = ReferenceValues::new();
    let good = || value("t", 1, "2.0", 1);
    let long = |length| Value { component: "c".repeat(length), ..good() };
    let with = |digests| Value { digests, ..good() };
    let short = Digest { algorithm: HashAlgorithm::Sha384, bytes: vec![1; 32] };
    let twice = vec![digest(1), digest(2)];
    for bad in [long(0), long(limits::NAME_BYTES_MAX + 1), with(vec![]), with(vec![short]), with(twice)] {
        assert!(matches!(store.add(bad), Err(Fault::Unusable(_))));
    }
    let both = vec![digest(1), Digest { algorithm: HashAlgorithm::Sha384, bytes: vec![1; 48] }];
    assert_eq!(store.add(with(both)), Ok(()));
    assert_eq!(store.add(Value { version: None, ..long(limits::NAME_BYTES_MAX) }), Ok(()));
}

#[test]
fn a_stored_store_is_the_same_and_no_byte_of_it_panics() {
    let mut store = ReferenceValues::new();
    store.import(manifest(5, "t", 1, vec![value("t", 1, "2.0", 1)])).unwrap();
    let own = Value { instance: Some(DEVICE), version: None, security_version: None, ..value("u", 1, "", 4) };
    store.import(manifest(6, "u", 1, vec![own])).unwrap();
    store.add(Value { source: Source::Measured { by: "build 7".into() }, ..value("", 0, "3.0", 5) }).unwrap();
    store.revoke("u");
    store.set_status(&class(), "firmware", "2.0", Status::DeprecatedUntil(UnixMillis(77))).unwrap();
    store.set_digest_status(&class(), "firmware", digest(9), Status::Forbidden).unwrap();
    store.raise_floor(&class(), 2);
    let bytes = store.encode();
    assert_eq!(ReferenceValues::decode(&bytes), Ok(store.clone()));
    for at in 0..bytes.len() {
        let _ = ReferenceValues::decode(&bytes[..at]);
        for bit in 0..8 {
            let mut changed = bytes.clone();
            changed[at] ^= 1 << bit;
            let _ = ReferenceValues::decode(&changed);
        }
    }
}

#[test]
fn thousands_of_values_are_found_by_their_digests() {
    let mut store = ReferenceValues::new();
    let values = (0_u32..5000).map(|number| {
        let mut value = value("t", 1, &format!("1.{number}"), 0);
        value.digests[0].bytes[..4].copy_from_slice(&number.to_be_bytes());
        value
    });
    assert_eq!(store.import(manifest(1, "t", 1, values.collect())), Ok(5000));
    let mut wanted = digest(0);
    wanted.bytes[..4].copy_from_slice(&4321_u32.to_be_bytes());
    let found: Vec<_> = store.find(&class(), "firmware", &wanted, &DEVICE).collect();
    assert_eq!(found.len(), 1);
    assert_eq!(found[0].version.as_deref(), Some("1.4321"));
}
