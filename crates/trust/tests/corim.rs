//! Signed CoRIMs: vectors that others made, our profile's rules, and what an attacker would try.
#![allow(
    clippy::disallowed_methods,
    clippy::unwrap_used,
    reason = "a test reads its vectors, and says where it cannot go on"
)]

use std::path::Path;

use bartizan_crypto::{AWS_LC, RUSTCRYPTO, Secret};
use bartizan_trust::cbor::Strict;
use bartizan_trust::corim::{Signer, open};
use bartizan_trust::cose::{Shape, SigningKey, put_signed};
use bartizan_trust::reference::{Class, Fault, ReferenceValues, SecurityVersion};
use bartizan_trust::result::from_base64url;
use bartizan_trust::{Error, Identity, PublicKey};
use bartizan_wire::UnixMillis;
use minicbor::Encoder;
use minicbor::data::Tag;

mod common;

const NOW: UnixMillis = UnixMillis(1_800_000_000_000);
const DEVICE: Identity = Identity([7; 32]);

fn key(byte: u8) -> Secret<32> {
    Secret::new([byte; 32])
}

fn public(byte: u8) -> PublicKey {
    SigningKey::P256(&key(byte)).public(&RUSTCRYPTO).unwrap()
}

fn acme() -> [Signer<'static>; 1] {
    [Signer { name: "Acme release key", key: public(1) }]
}

/// A manifest that can be broken in one place each.
#[derive(Clone)]
struct Spec {
    id: &'static str,
    tag: &'static str,
    tag_version: u64,
    begin: u64,
    end: u64,
    version: &'static str,
    digest: u8,
    content_type: &'static str,
    /// What follows the three pairs of the map of measurement values, and how many pairs that is.
    more_values: (u64, &'static [u8]),
    /// The same of the manifest's own map.
    more_manifest: (u64, &'static [u8]),
    more_environment: (u64, &'static [u8]),
    payload_tag: u64,
}

const GOOD: Spec = Spec {
    id: "acme-wm",
    tag: "wm-firmware",
    tag_version: 1,
    begin: 1_700_000_000,
    end: 1_900_000_000,
    version: "2.1",
    digest: 21,
    content_type: "application/rim+cbor",
    more_values: (0, &[]),
    more_manifest: (0, &[]),
    more_environment: (0, &[]),
    payload_tag: 501,
};

impl Spec {
    fn comid(&self) -> Vec<u8> {
        let mut out = Vec::new();
        let mut to = Encoder::new(&mut out);
        to.map(2).unwrap().u8(1).unwrap().map(2).unwrap();
        to.u8(0).unwrap().str(self.tag).unwrap().u8(1).unwrap().u64(self.tag_version).unwrap();
        to.u8(4).unwrap().map(1).unwrap().u8(0).unwrap().array(1).unwrap().array(2).unwrap();
        to.map(1 + self.more_environment.0).unwrap().u8(0).unwrap().map(2).unwrap();
        to.u8(1).unwrap().str("Acme").unwrap().u8(2).unwrap().str("WM-100").unwrap();
        to.writer_mut().extend_from_slice(self.more_environment.1);
        to.array(1).unwrap().map(2).unwrap().u8(0).unwrap().str("firmware").unwrap().u8(1).unwrap();
        to.map(3 + self.more_values.0).unwrap().u8(0).unwrap().map(1).unwrap().u8(0).unwrap();
        to.str(self.version).unwrap().u8(1).unwrap().tag(Tag::new(552)).unwrap().u8(6).unwrap();
        to.u8(2).unwrap().array(1).unwrap().array(2).unwrap().u8(1).unwrap().bytes(&[self.digest; 32]).unwrap();
        to.writer_mut().extend_from_slice(self.more_values.1);
        out
    }

    fn payload(&self) -> Vec<u8> {
        let mut out = Vec::new();
        let mut to = Encoder::new(&mut out);
        to.tag(Tag::new(self.payload_tag)).unwrap().map(3 + self.more_manifest.0).unwrap();
        to.u8(0).unwrap().str(self.id).unwrap().u8(1).unwrap().array(1).unwrap();
        to.tag(Tag::new(506)).unwrap().bytes(&self.comid()).unwrap().u8(4).unwrap().map(2).unwrap();
        to.u8(0).unwrap().tag(Tag::new(1)).unwrap().u64(self.begin).unwrap();
        to.u8(1).unwrap().tag(Tag::new(1)).unwrap().u64(self.end).unwrap();
        to.writer_mut().extend_from_slice(self.more_manifest.1);
        out
    }

    fn signed(&self, by: u8) -> Vec<u8> {
        sign(&self.payload(), self.content_type, by)
    }
}

fn sign(payload: &[u8], content_type: &str, by: u8) -> Vec<u8> {
    let mut meta = Vec::new();
    let mut to = Encoder::new(&mut meta);
    to.map(1).unwrap().u8(0).unwrap().map(1).unwrap().u8(0).unwrap().str("Acme").unwrap();
    let mut protected = Vec::new();
    let mut to = Encoder::new(&mut protected);
    to.map(3).unwrap().u8(1).unwrap().i8(-7).unwrap().u8(3).unwrap().str(content_type).unwrap();
    to.u8(8).unwrap().bytes(&meta).unwrap();
    let mut signed = Vec::new();
    put_signed(&mut Encoder::new(&mut signed), Shape::Sign1, &protected, b"", payload).unwrap();
    let signature = SigningKey::P256(&key(by)).sign(&AWS_LC, &mut |out: &mut [u8]| out.fill(7), &signed).unwrap();
    let mut out = Vec::new();
    let mut to = Encoder::new(&mut out);
    to.tag(Tag::new(18)).unwrap().array(4).unwrap().bytes(&protected).unwrap().map(0).unwrap();
    to.bytes(payload).unwrap().bytes(&signature).unwrap();
    out
}

fn fault(spec: &Spec) -> Error {
    open(&AWS_LC, &spec.signed(1), &acme(), NOW).unwrap_err()
}

#[test]
fn a_signed_manifest_becomes_reference_values() {
    let mut store = ReferenceValues::new();
    let manifest = open(&AWS_LC, &GOOD.signed(1), &acme(), NOW).unwrap();
    assert_eq!(manifest.since, Some(UnixMillis(1_700_000_000_000)));
    assert_eq!(store.import(manifest), Ok(1));
    let value = store.of_class(&Class::new("Acme", "WM-100")).next().unwrap();
    assert_eq!((value.component.as_str(), value.version.as_deref()), ("firmware", Some("2.1")));
    assert_eq!(value.security_version, Some(SecurityVersion::Exact(6)));
    assert_eq!(value.source.to_string(), "tag wm-firmware version 1 of manifest acme-wm, signed by Acme release key");
}

#[test]
fn another_tenants_key_signs_nothing_here() {
    let by_another = open(&AWS_LC, &GOOD.signed(2), &acme(), NOW).unwrap_err();
    assert_eq!(by_another, Error::Untrusted("a CoRIM that no configured signer signed"));
    assert!(matches!(open(&AWS_LC, &GOOD.signed(1), &[], NOW), Err(Error::Untrusted(_))));
    assert!(matches!(open(&AWS_LC, &GOOD.payload(), &acme(), NOW), Err(Error::Untrusted(_))));
    let ed25519 = SigningKey::Ed25519(&key(1)).public(&RUSTCRYPTO).unwrap();
    let signers = [Signer { name: "another algorithm", key: ed25519 }];
    assert!(matches!(open(&AWS_LC, &GOOD.signed(1), &signers, NOW), Err(Error::Untrusted(_))));
}

#[test]
fn a_manifest_that_was_rolled_back_is_refused() {
    let mut store = ReferenceValues::new();
    let mut import = |spec: Spec| store.import(open(&AWS_LC, &spec.signed(1), &acme(), NOW).unwrap());
    let second = Spec { tag_version: 2, begin: 1_700_000_002, version: "2.2", digest: 22, ..GOOD };
    assert_eq!((import(GOOD), import(second.clone()), import(second)), (Ok(1), Ok(1), Ok(0)));
    assert!(matches!(import(GOOD), Err(Fault::RolledBack { .. })));
    // A fresh validity around an old tag, and an old validity around a fresh tag.
    assert!(matches!(import(Spec { begin: 1_700_000_003, ..GOOD }), Err(Fault::RolledBack { have: 2, got: 1, .. })));
    assert!(matches!(import(Spec { tag_version: 3, ..GOOD }), Err(Fault::RolledBack { .. })));
    let other_content = Spec { tag_version: 2, begin: 1_700_000_003, version: "2.3", digest: 23, ..GOOD };
    assert!(matches!(import(other_content), Err(Fault::RolledBack { have: 2, got: 2, .. })));
}

#[test]
fn two_manifests_that_disagree_are_both_named() {
    let mut store = ReferenceValues::new();
    let mut import = |spec: Spec| store.import(open(&AWS_LC, &spec.signed(1), &acme(), NOW).unwrap());
    import(GOOD).unwrap();
    let fault = import(Spec { id: "other", tag: "evil", digest: 66, ..GOOD }).unwrap_err().to_string();
    assert!(fault.contains("wm-firmware") && fault.contains("evil"), "{fault}");
}

#[test]
fn validity_has_two_ends() {
    let now = NOW.0 / 1000;
    let good = |spec: Spec| open(&AWS_LC, &spec.signed(1), &acme(), NOW).is_ok();
    assert!(good(Spec { begin: now, ..GOOD }) && good(Spec { end: now, ..GOOD }));
    for spec in [Spec { begin: now + 1, ..GOOD }, Spec { end: now - 1, ..GOOD }] {
        assert_eq!(fault(&spec), Error::Untrusted("a CoRIM whose validity is over or has not begun"));
    }
}

#[test]
fn what_is_not_appraised_is_not_skipped() {
    let flags = (1, &[3, 0xA1, 3, 0xF5][..]);
    let unknown = (1, &[0x18, 99, 1][..]);
    let negative = (1, &[0x20, 1][..]);
    let named = (1, &[0x61, b'x', 1][..]);
    for more_values in [flags, unknown, negative, named] {
        assert!(matches!(fault(&Spec { more_values, ..GOOD }), Error::Unsupported(_)), "{more_values:?}");
    }
    let name = (1, &[11, 0x61, b'x'][..]);
    assert!(open(&AWS_LC, &Spec { more_values: name, ..GOOD }.signed(1), &acme(), NOW).is_ok());
    let profile = (1, &[3, 0xD8, 32, 0x65, b'x', b':', b'/', b'/', b'y'][..]);
    for more_manifest in [profile, unknown] {
        assert!(matches!(fault(&Spec { more_manifest, ..GOOD }), Error::Unsupported(_)), "{more_manifest:?}");
    }
    let group = (1, &[2, 0xD9, 0x02, 0x30, 0x41, 1][..]);
    assert!(matches!(fault(&Spec { more_environment: group, ..GOOD }), Error::Unsupported(_)));
    assert!(matches!(fault(&Spec { content_type: "application/eat+cwt", ..GOOD }), Error::Malformed(_)));
    assert!(matches!(fault(&Spec { payload_tag: 500, ..GOOD }), Error::Malformed(_)));
}

#[test]
fn a_link_replaces_supplements_or_is_refused() {
    let link = |relation: u8| {
        let mut comid = GOOD.comid();
        comid[0] = 0xA3;
        comid.extend([3, 0x81, 0xA2, 0, 0x63, b'o', b'l', b'd', 1, relation]);
        open(&AWS_LC, &sign(&manifest_of(&comid), GOOD.content_type, 1), &acme(), NOW)
    };
    assert_eq!(link(0).unwrap().tags[0].replaces, [""; 0]);
    assert_eq!(link(1).unwrap().tags[0].replaces, ["old"]);
    assert!(matches!(link(2), Err(Error::Unsupported(_))));
}

#[test]
fn a_value_of_one_device_names_it_by_its_keys_thumbprint() {
    let mut instance = vec![1, 0xD9, 0x02, 0x30, 0x58, 32];
    instance.extend([7; 32]);
    let spec = Spec { more_environment: (1, instance.leak()), ..GOOD };
    let mut store = ReferenceValues::new();
    store.import(open(&AWS_LC, &spec.signed(1), &acme(), NOW).unwrap()).unwrap();
    let value = store.of_class(&Class::new("Acme", "WM-100")).next().unwrap();
    assert_eq!(value.instance, Some(DEVICE));
    let short = (1, &[1, 0xD9, 0x02, 0x30, 0x41, 7][..]);
    assert!(matches!(fault(&Spec { more_environment: short, ..GOOD }), Error::Malformed(_)));
}

#[test]
fn a_signed_manifest_reads_in_one_way() {
    let good = GOOD.payload();
    let comid = GOOD.comid();
    // Signed by the right key: the signer's mistake, or a trap for a second reader.
    let refused = |payload: &[u8]| open(&AWS_LC, &sign(payload, GOOD.content_type, 1), &acme(), NOW).unwrap_err();
    assert!(open(&AWS_LC, &sign(&good, GOOD.content_type, 1), &acme(), NOW).is_ok());
    let find = |bytes: &[u8], what: &[u8]| bytes.windows(what.len()).position(|window| window == what).unwrap();
    // An indefinite map for the manifest.
    let mut indefinite = good.clone();
    indefinite[3] = 0xBF;
    indefinite.push(0xFF);
    assert!(matches!(refused(&indefinite), Error::Malformed(_)));
    // Its id twice.
    let mut twice = good.clone();
    twice[3] = 0xA4;
    twice.extend([0, 0x61, b'x']);
    assert_eq!(refused(&twice), Error::Malformed("a CBOR map with the same key twice"));
    assert!(matches!(refused(&[&good[..], &[0]].concat()), Error::Malformed(_)));
    // The same inside the tag, which is a byte string to whoever reads the manifest only.
    let inside = |change: &dyn Fn(&mut Vec<u8>)| {
        let mut inner = comid.clone();
        change(&mut inner);
        let at = find(&good, &comid);
        let mut payload = good[..at - 2].to_vec();
        Encoder::new(&mut payload).bytes(&inner).unwrap();
        payload.extend_from_slice(&good[at + comid.len()..]);
        refused(&payload)
    };
    assert_eq!(
        inside(&|inner| {
            inner[0] = 0xA3;
            inner.extend([1, 0xA1, 0, 0x61, b'z']);
        }),
        Error::Malformed("a CBOR map with the same key twice")
    );
    assert!(matches!(inside(&|inner| inner.push(0)), Error::Malformed(_)));
    // A security version that is not in its shortest form.
    let svn = find(&comid, &[0xD9, 0x02, 0x28, 6]);
    assert!(matches!(
        inside(&|inner| {
            inner[svn + 3] = 0x18;
            inner.insert(svn + 4, 6);
        }),
        Error::Malformed(_)
    ));
}

#[test]
fn no_flipped_bit_brings_a_value_in() {
    let good = GOOD.signed(1);
    for bit in 0..good.len() * 8 {
        let mut changed = good.clone();
        changed[bit / 8] ^= 1 << (bit % 8);
        assert!(open(&AWS_LC, &changed, &acme(), NOW).is_err(), "bit {bit}");
    }
    for length in 0..good.len() {
        assert!(open(&AWS_LC, &good[..length], &acme(), NOW).is_err());
    }
}

#[test]
fn any_signed_bytes_are_read_or_refused() {
    let mut random = common::Xorshift(4);
    let good = GOOD.payload();
    for _ in 0..600 {
        let mut payload = good.clone();
        for _ in 0..=random.below(3) {
            let at = random.below(payload.len());
            match random.below(3) {
                0 => payload[at] = random.next() as u8,
                1 => drop(payload.remove(at)),
                _ => payload.insert(at, random.next() as u8),
            }
        }
        if let Ok(manifest) = open(&AWS_LC, &sign(&payload, GOOD.content_type, 1), &acme(), NOW) {
            let _ = ReferenceValues::new().import(manifest);
        }
    }
}

/// The encoder of the `corim` crate, which is not ours.
#[test]
fn what_another_encoder_builds_is_imported() {
    use corim::builder::{ComidBuilder, CorimBuilder};
    use corim::types::common::{MeasuredElement, TagIdChoice};
    use corim::types::corim::CorimId;
    use corim::types::environment::EnvironmentMap;
    use corim::types::measurement::{Digest, MeasurementMap, MeasurementValuesMap, SvnChoice};
    use corim::types::triples::ReferenceTriple;

    let mut mval = MeasurementValuesMap::new();
    mval.digests = Some(vec![Digest::new(7, vec![0xAA; 48])]);
    mval.svn = Some(SvnChoice::MinValue(3));
    let mkey = Some(MeasuredElement::Text("bootloader".into()));
    let measurement = MeasurementMap { mkey, mval, authorized_by: None };
    let triple = ReferenceTriple::new(EnvironmentMap::for_class("Acme", "WM-100"), vec![measurement]);
    let comid = ComidBuilder::new(TagIdChoice::Uuid([0x11; 16])).set_tag_version(4).add_reference_triple(triple);
    let payload = CorimBuilder::new(CorimId::Text("acme-boot".into())).add_comid_tag(comid.build().unwrap()).unwrap();
    let bytes = sign(&payload.build_bytes().unwrap(), GOOD.content_type, 1);
    let manifest = open(&AWS_LC, &bytes, &acme(), NOW).unwrap();
    assert_eq!((manifest.since, manifest.tags[0].version), (None, 4));
    assert_eq!(manifest.tags[0].id, "11111111-1111-1111-1111-111111111111");
    assert_eq!(manifest.tags[0].values[0].security_version, Some(SecurityVersion::AtLeast(3)));
    assert_eq!(ReferenceValues::new().import(manifest), Ok(1));
}

/// Veraison's key.
fn veraison() -> PublicKey {
    let coordinate = |text| from_base64url(text).unwrap();
    let (x, y) = ("MKBCTNIcKUSDii11ySs3526iDZ8AiTo7Tu6KPAqv7D4", "4Etl6SRW2YiLUrN5vfvVHuhp7x8PxltmWWlbbM4IFyM");
    PublicKey::P256([vec![4], coordinate(x), coordinate(y)].concat().try_into().unwrap())
}

#[test]
fn veraisons_signed_manifests_verify_and_the_one_without_a_profile_is_imported() {
    let Some(folder) = common::vectors("veraison-corim/corim") else { return };
    let signers = [Signer { name: "Veraison", key: veraison() }];
    // In the middle of their validity.
    let now = UnixMillis(1_700_000_000_000);
    let read = |name: &str| common::read(&folder, name);
    let manifest = open(&AWS_LC, &read("signed-good-corim.cbor"), &signers, now).unwrap();
    assert_eq!(manifest.id, "test corim id");
    let mut store = ReferenceValues::new();
    assert_eq!(store.import(manifest), Ok(3));
    let values: Vec<_> = store.of_class(&Class::new("ACME", "RoadRunner")).collect();
    assert_eq!(values.len(), 3);
    assert_eq!(values[0].component, "31fb5abf-023e-4992-aa4e-95f9c1503bfa");
    for name in ["signed-example-corim.cbor", "signed-corim-with-extensions.cbor"] {
        // The signature is good: it is the profile that is not ours.
        let refused = open(&AWS_LC, &read(name), &signers, now).unwrap_err();
        assert!(matches!(refused, Error::Unsupported(_)), "{name}: {refused}");
    }
    for name in ["unsigned-good-corim.cbor", "corim-1.cbor", "corim-2.cbor"] {
        assert!(matches!(open(&AWS_LC, &read(name), &signers, now), Err(Error::Untrusted(_))), "{name}");
    }
    let late = open(&AWS_LC, &read("signed-good-corim.cbor"), &signers, NOW).unwrap_err();
    assert_eq!(late, Error::Untrusted("a CoRIM whose validity is over or has not begun"));
}

#[test]
fn veraisons_unsigned_manifests_are_read_once_somebody_signs_them() {
    let Some(folder) = common::vectors("veraison-corim/corim") else { return };
    let opened = |name: &str| {
        let payload = common::read(&folder, name);
        open(&AWS_LC, &sign(&payload, GOOD.content_type, 1), &acme(), UnixMillis(1_700_000_000_000))
    };
    let manifest = opened("corim-2.cbor").unwrap();
    let values: Vec<_> = manifest.tags[0].values.iter().map(|value| value.component.as_str()).collect();
    assert_eq!(values, ["1", "2", "2.1"]);
    assert!(opened("unsigned-good-corim.cbor").is_ok());
    // Of profiles of their own.
    for name in ["corim-design-cd.cbor", "corim-firmware-cd.cbor", "unsigned-example-corim.cbor"] {
        assert!(matches!(opened(name), Err(Error::Unsupported(_))), "{name}");
    }
}

/// Every sample, in a manifest that we signed: imported, or refused for a reason that its name tells.
#[test]
fn veraisons_samples_are_imported_or_refused() {
    let Some(folder) = common::vectors("veraison-corim") else { return };
    let opened = |path: &Path, wrap: fn(&[u8]) -> Vec<u8>| {
        let bytes = std::fs::read(path).unwrap();
        assert!(Strict::new(&bytes).is_ok(), "{}", path.display());
        open(&AWS_LC, &sign(&wrap(&bytes), GOOD.content_type, 1), &acme(), UnixMillis(1_700_000_000_000))
    };
    let mut imported = Vec::new();
    for path in common::files(&folder.join("comid"), "cbor") {
        match opened(&path, manifest_of) {
            Ok(manifest) => {
                ReferenceValues::new().import(manifest).unwrap();
                imported.push(path.file_stem().unwrap().to_string_lossy().into_owned());
            }
            // Endorsements, keys, domains, registers, flags and raw values, or no vendor and model: not ours to appraise.
            Err(Error::Unsupported(_) | Error::Misbehaved(_)) => {}
            Err(error) => panic!("{}: {error}", path.display()),
        }
    }
    assert_eq!(imported, ["comid-1", "comid-1a", "comid-2b", "comid-firmware-cd"]);
    for path in ["coev", "coserv"].iter().flat_map(|name| common::files(&folder.join(name), "cbor")) {
        assert!(matches!(opened(&path, <[u8]>::to_vec), Err(Error::Malformed(_))), "{}", path.display());
    }
    for path in common::files(&folder.join("profile-psa"), "cbor") {
        assert!(matches!(opened(&path, <[u8]>::to_vec), Err(Error::Unsupported(_))), "{}", path.display());
    }
}

/// A manifest around one tag.
fn manifest_of(comid: &[u8]) -> Vec<u8> {
    let mut out = Vec::new();
    let mut to = Encoder::new(&mut out);
    to.tag(Tag::new(501)).unwrap().map(2).unwrap().u8(0).unwrap().str("x").unwrap().u8(1).unwrap().array(1).unwrap();
    to.tag(Tag::new(506)).unwrap().bytes(comid).unwrap();
    out
}
