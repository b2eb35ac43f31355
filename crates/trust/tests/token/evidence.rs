//! Carried evidence, from the device's hand to its normal form.

use std::cell::Cell;

use bartizan_crypto::{AWS_LC, RUSTCRYPTO};
use bartizan_trust::dice::Chain;
use bartizan_trust::eat::{Claims, DICE_PROFILE, Nonce};
use bartizan_trust::evidence::{self, Carried, ChainName, Mode, Profile, UNKNOWN_CHAIN};
use bartizan_trust::{Error, Evidence, Layer, PublicKey, limits};

use crate::common::NOW;
use crate::common::build::{self, Pair};
use crate::maker::{Device, claims};
use crate::notation::{array, bytes, int, map, text};
use crate::vectors;

fn open(evidence: &[u8]) -> Result<Evidence, Error> {
    evidence::open(&AWS_LC, evidence, &|_| None, NOW)
}

fn device() -> Device {
    Device::new(Profile::OpenDiceCbor, true, 1)
}

/// A chain as the verifier keeps it.
fn kept(leaf: PublicKey) -> Chain {
    let layers = vec![Layer { mode: Mode::Normal, ..Layer::default() }];
    Chain { profile: Profile::OpenDiceCbor, identity: leaf.thumbprint(&AWS_LC), layers, leaf, valid_until: None }
}

#[test]
fn full_evidence_becomes_what_chain_and_token_say() {
    for (family, device) in Device::each() {
        let bytes = device.full(&claims());
        let opened = open(&bytes).unwrap();
        assert_eq!((opened.profile, opened.identity), (family, device.uds.public().thumbprint(&AWS_LC)));
        let [first, second] = &opened.layers[..] else { panic!("{} layers", opened.layers.len()) };
        assert!(first.digests.iter().any(|digest| digest.bytes.starts_with(&[0x11; 32])));
        assert!(second.digests.iter().any(|digest| digest.bytes.starts_with(&[0x22; 32])));
        assert_eq!((&opened.nonce[..], opened.binding), (&[0xC4; 16][..], Some([0xB1; 32])));
        assert_eq!((opened.boot_count, opened.boot_seed.as_deref()), (Some(41), Some(&[5; 16][..])));
        assert_eq!((opened.security_version, opened.security_floor), (Some(3), Some(2)));
        assert_eq!(open(&[&[0xD2], &bytes[..]].concat()), Ok(opened), "the COSE tag says nothing more");
    }
}

#[test]
fn brief_evidence_finds_the_chain_by_its_name() {
    for (_, device) in Device::each() {
        let full = device.full(&claims());
        let carried = Carried::read(&full, NOW).unwrap();
        let name = carried.chain_name(&RUSTCRYPTO);
        let chain = carried.chain(&AWS_LC, &|_| None, NOW).unwrap();
        let brief = device.brief(&claims());
        assert_eq!(Carried::read(&brief, NOW).unwrap().chain_name(&RUSTCRYPTO), name);
        assert_eq!(Carried::read(&brief, NOW).unwrap().nonce(), claims().nonce.unwrap());
        let asked = Cell::new(None);
        let cached = |wanted: &ChainName| {
            asked.set(Some(*wanted));
            (*wanted == name).then(|| chain.clone())
        };
        assert_eq!(evidence::open(&AWS_LC, &brief, &cached, NOW), open(&full));
        assert_eq!(asked.get(), Some(name));
        assert_eq!(open(&brief), Err(UNKNOWN_CHAIN));
    }
}

/// Well below the 1,024 bytes that CoAP can carry without blocks (RFC 7252 section 4.6).
#[test]
fn brief_evidence_is_small() {
    let bytes = device().brief(&claims());
    assert!(bytes.len() <= 260, "{} bytes", bytes.len());
}

#[test]
fn no_flipped_bit_changes_what_evidence_says() {
    for (family, device) in Device::each() {
        let full = device.full(&claims());
        let good = open(&full).unwrap();
        let mut harmless = 0;
        for bit in 0..full.len() * 8 {
            let mut changed = full.clone();
            changed[bit / 8] ^= 1 << (bit % 8);
            if let Ok(opened) = open(&changed) {
                assert_eq!(opened, good, "{family:?}: bit {bit}");
                harmless += 1;
            }
        }
        // The device's key stands in a CBOR chain unsigned, with members beside it that say nothing.
        assert!(
            harmless <= if family == Profile::OpenDiceCbor { 2 } else { 0 },
            "{family:?}: {harmless} bits may change"
        );
        let chain = Carried::read(&full, NOW).unwrap().chain(&AWS_LC, &|_| None, NOW).unwrap();
        let brief = device.brief(&claims());
        for bit in 0..brief.len() * 8 {
            let mut changed = brief.clone();
            changed[bit / 8] ^= 1 << (bit % 8);
            // Even by a verifier that takes every name for this chain.
            match evidence::open(&AWS_LC, &changed, &|_| Some(chain.clone()), NOW) {
                Ok(opened) => assert_eq!(opened, good, "bit {bit}"),
                Err(error) => assert_ne!(error, UNKNOWN_CHAIN),
            }
            assert!(open(&changed).is_err(), "bit {bit}");
        }
    }
}

#[test]
fn parts_of_two_devices_do_not_fit() {
    let [one, two] = [1, 11].map(|number| Device::new(Profile::OpenDiceCbor, true, number));
    let untrusted = |opened: Result<Evidence, Error>| matches!(opened, Err(Error::Untrusted(_)));
    let foreign = two.evidence(&map(&[(int(-70001), one.chain.clone())]), &claims());
    assert!(untrusted(open(&foreign)), "another device's chain");
    let brief = one.brief(&claims());
    let wrong = |leaf| evidence::open(&AWS_LC, &brief, &|_| Some(kept(leaf)), NOW);
    assert!(wrong(one.leaf.public()).is_ok());
    assert!(untrusted(wrong(two.leaf.public())), "a chain of another name");
    assert!(untrusted(wrong(Pair::new(3, false).public())), "a key of another algorithm");
    let upper = Device { leaf: Pair::new(2, true), ..device() };
    assert!(untrusted(open(&upper.full(&claims()))), "a key from the middle of the chain");
    let uds = Device { leaf: Pair::new(1, true), ..device() };
    assert!(untrusted(open(&uds.full(&claims()))), "the device's own key");
}

#[test]
fn the_unprotected_header_is_the_chain_alone() {
    let device = device();
    let chain = || device.chain.clone();
    let name = bytes(&[7; 32]);
    for (header, fault) in [
        (map(&[]), "no chain"),
        (map(&[(int(-70001), chain()), (int(4), name.clone())]), "two"),
        (map(&[(int(-70001), chain()), (int(99), int(1))]), "something else beside it"),
        (map(&[(int(99), chain())]), "another label"),
        (map(&[(int(4), bytes(&[7; 31]))]), "a short name"),
        (map(&[(int(4), int(1))]), "a name that is none"),
        (map(&[(int(33), int(1))]), "no certificate"),
        (map(&[(int(33), array(&[bytes(&[1])]))]), "one certificate in a list"),
        (map(&[(int(33), array(&vec![bytes(&[1]); 9]))]), "nine certificates"),
        (map(&[(int(33), bytes(&[0x30, 0]))]), "an empty certificate"),
        (int(1), "no map"),
    ] {
        let evidence = device.evidence(&header, &claims());
        let refused = evidence::open(&AWS_LC, &evidence, &|_| Some(kept(device.leaf.public())), NOW);
        assert!(refused.is_err(), "{fault}");
    }
}

#[test]
fn claims_that_evidence_must_have() {
    let device = device();
    let cached = |_: &ChainName| Some(kept(device.leaf.public()));
    let open = |claims: Claims<'_>| evidence::open(&AWS_LC, &device.brief(&claims), &cached, NOW);
    assert!(open(claims()).is_ok());
    let bare = Nonce { challenge: &[1; 8], binding: None };
    assert_eq!(open(Claims { nonce: Some(bare), ..claims() }).unwrap().binding, None);
    assert!(matches!(open(Claims { nonce: None, ..claims() }), Err(Error::Misbehaved(_))));
    assert!(matches!(open(Claims { profile: None, ..claims() }), Err(Error::Unsupported(_))));
    assert!(matches!(open(Claims { profile: Some("tag:other,2026:x"), ..claims() }), Err(Error::Unsupported(_))));
    let now_s = NOW.0 / 1000;
    for (expires_s, not_before_s, good) in [
        (Some(now_s), None, false),
        (Some(now_s + 1), None, true),
        (None, Some(now_s), true),
        (None, Some(now_s + 1), false),
    ] {
        let opened = open(Claims { expires_s, not_before_s, ..claims() });
        assert_eq!(opened.is_ok(), good, "{expires_s:?} {not_before_s:?}");
    }
}

#[test]
fn evidence_ends_at_its_limit() {
    let device = device();
    let cached = |_: &ChainName| Some(kept(device.leaf.public()));
    // What is signed may carry claims of others; they only cost bytes.
    let padded = |length: usize| {
        let payload =
            map(&[(int(10), bytes(&[1; 8])), (int(265), text(DICE_PROFILE)), (int(-90000), bytes(&vec![0; length]))]);
        let header = map(&[(int(4), bytes(&[7; 32]))]);
        build::sign1(&device.leaf, &build::protected(&device.leaf), &header, &payload)
    };
    let limit = limits::EVIDENCE_BYTES_MAX;
    let fits = limit - (padded(1000).len() - 1000);
    assert_eq!(padded(fits).len(), limit);
    assert!(evidence::open(&AWS_LC, &padded(fits), &cached, NOW).is_ok());
    let refused = evidence::open(&AWS_LC, &padded(fits + 1), &cached, NOW);
    assert!(matches!(refused, Err(Error::Unavailable(_))));
}

/// Eight X.509 certificates of others: their leaf key is not ours, but the chain is taken apart and verified.
#[test]
fn an_x5chain_has_its_leaf_first() {
    let files = vectors("veraison-dice/open", ".cert");
    let x509 = |part: &str| {
        let files = files.iter().filter(move |(name, _)| name.starts_with("_X509_") && name.contains(part));
        files.map(|(_, bytes)| bytes.clone()).collect::<Vec<_>>()
    };
    let ordered = [x509("uds_cert"), x509("full_cert_chain")].concat();
    if ordered.is_empty() {
        return;
    }
    let list = |certificates: &[Vec<u8>]| {
        array(&certificates.iter().map(|certificate| bytes(certificate)).collect::<Vec<_>>())
    };
    let device = device();
    let carried = |list: Vec<u8>| device.evidence(&map(&[(int(33), list)]), &claims());
    let leaf_first: Vec<_> = ordered.iter().rev().cloned().collect();
    let evidence = carried(list(&leaf_first));
    let chain = Carried::read(&evidence, NOW).unwrap().chain(&AWS_LC, &|_| None, NOW).unwrap();
    assert_eq!((chain.profile, chain.layers.len()), (Profile::OpenDiceX509, 7));
    assert!(matches!(open(&evidence), Err(Error::Untrusted(_))), "its leaf did not sign this");
    let evidence = carried(list(&ordered));
    assert!(Carried::read(&evidence, NOW).unwrap().chain(&AWS_LC, &|_| None, NOW).is_err(), "the wrong way around");
}
