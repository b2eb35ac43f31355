//! What a suspected device may try with a CBOR chain.

#![allow(clippy::unwrap_used, reason = "a test that cannot go on says where")]

mod common;

use bartizan_crypto::{AWS_LC, RUSTCRYPTO};
use bartizan_trust::cbor::Strict;
use bartizan_trust::dice::{self, Chain};
use bartizan_trust::evidence::Mode;
use bartizan_trust::{Error, PublicKey, limits};
use common::build::{self, Claims, Pair, array, bytes, certificate, claims, cose_key, protected, set, sign1, text};

fn verify_bytes(chain: &[u8]) -> Result<Chain, Error> {
    dice::cbor::verify(&AWS_LC, Strict::new(chain)?)
}

fn verify(items: &[Vec<u8>]) -> Result<Chain, Error> {
    verify_bytes(&array(items))
}

fn pairs(p256: bool) -> [Pair; 4] {
    [1, 2, 3, 4].map(|number| Pair::new(number, p256))
}

/// Root key and three layers, of which `change` may change one's claims before they are signed.
fn items(p256: bool, changed: usize, change: impl Fn(&mut Claims)) -> Vec<Vec<u8>> {
    let pairs = pairs(p256);
    let mut items = vec![cose_key(&pairs[0].public())];
    for (index, pair) in pairs.windows(2).enumerate() {
        let mut claims = claims(&pair[0].public(), &pair[1].public(), index as u8);
        if index == changed {
            change(&mut claims);
        }
        items.push(certificate(&pair[0], &claims));
    }
    items
}

fn good(p256: bool) -> Vec<Vec<u8>> {
    items(p256, 9, |_| {})
}

/// The outcome of a chain whose second layer has other claims, properly signed.
fn changed(change: impl Fn(&mut Claims)) -> Result<Chain, Error> {
    verify(&items(false, 1, change))
}

#[track_caller]
fn assert_refused(outcome: Result<Chain, Error>, expected: fn(&'static str) -> Error, words: &str) {
    let error = outcome.expect_err(words);
    let (Error::Malformed(text)
    | Error::Misbehaved(text)
    | Error::Untrusted(text)
    | Error::Unsupported(text)
    | Error::Misuse(text)
    | Error::Unavailable(text)) = error;
    assert!(error == expected(text) && text.contains(words), "{error} is not {words}");
}

#[test]
fn a_good_chain_says_who_and_what() {
    for p256 in [false, true] {
        let chain = verify(&good(p256)).unwrap();
        let pairs = pairs(p256);
        assert_eq!(chain.identity, pairs[0].public().thumbprint(&RUSTCRYPTO));
        assert_eq!(chain.leaf, pairs[3].public());
        let codes: Vec<u8> = chain.layers.iter().map(|layer| layer.digests[0].bytes[0]).collect();
        assert_eq!(codes, [0, 1, 2]);
        let layer = &chain.layers[1];
        assert_eq!((layer.component.as_deref(), layer.version.as_deref()), (Some("fw"), Some("1.2")));
        assert_eq!((layer.security_version, layer.mode), (Some(7), Mode::Normal));
        assert_eq!(dice::cbor::verify(&RUSTCRYPTO, Strict::new(&array(&good(p256))).unwrap()), Ok(chain));
    }
}

#[test]
fn no_flipped_bit_passes() {
    for p256 in [false, true] {
        let items = good(p256);
        let key_ends = 1 + items[0].len();
        let chain = array(&items);
        let whole = verify_bytes(&chain).unwrap();
        for bit in 0..chain.len() * 8 {
            let mut flipped = chain.clone();
            flipped[bit / 8] ^= 1 << (bit % 8);
            match verify_bytes(&flipped) {
                Err(_) => {}
                Ok(same) => assert!(same == whole && bit / 8 < key_ends, "bit {bit} of {} bytes", chain.len()),
            }
        }
    }
}

#[test]
fn certificates_missing_reordered_or_doubled() {
    let good = good(false);
    for missing in 0..4 {
        let mut fewer = good.clone();
        fewer.remove(missing);
        // Without the last it is another device state's chain, with another leaf.
        assert!(missing == 3 || verify(&fewer).is_err(), "without {missing}");
    }
    for (one, other) in [(1, 2), (2, 3), (1, 3), (0, 1)] {
        let mut swapped = good.clone();
        swapped.swap(one, other);
        assert!(verify(&swapped).is_err(), "{one} and {other}");
    }
    let mut doubled = good.clone();
    doubled.insert(2, good[2].clone());
    assert_refused(verify(&doubled), Error::Misbehaved, "issuer");
    assert_refused(verify(&good[..1]), Error::Misbehaved, "without a layer");
    assert!(verify(&[]).is_err());
    assert!(verify_bytes(&[0xA0]).is_err());
}

#[test]
fn a_chain_of_another_root_is_another_device() {
    let mut other = good(false);
    other[0] = cose_key(&Pair::new(77, false).public());
    assert_refused(verify(&other), Error::Misbehaved, "issuer");
    // The same names over a forged signature.
    let pairs = pairs(false);
    let mut forged = good(false);
    forged[1] = certificate(&Pair::new(77, false), &claims(&pairs[0].public(), &pairs[1].public(), 0));
    assert_refused(verify(&forged), Error::Untrusted, "does not verify");
}

#[test]
fn a_layer_of_another_chain_does_not_fit() {
    // Tampered firmware (code 66) under its own key; the rest from the healthy device.
    let pairs = pairs(false);
    let tampered = Pair::new(66, false);
    let mut mixed = good(false);
    mixed[2] = certificate(&pairs[1], &claims(&pairs[1].public(), &tampered.public(), 66));
    assert_refused(verify(&mixed), Error::Misbehaved, "issuer");
    // It claims the healthy layer's key: then only whoever holds that key can go on.
    mixed[2] = certificate(&tampered, &claims(&pairs[1].public(), &pairs[2].public(), 1));
    assert_refused(verify(&mixed), Error::Untrusted, "does not verify");
}

#[test]
fn a_root_certificate_names_its_key_and_nothing_else() {
    let pairs = pairs(false);
    let key = pairs[0].public();
    let mut own = claims(&key, &key, 0);
    own.retain(|(label, _)| matches!(label, 1 | 2 | -4_670_552 | -4_670_553));
    let mut chain = good(false);
    chain[0] = certificate(&pairs[0], &own);
    assert_eq!(verify(&chain), verify(&good(false)));
    chain[0] = certificate(&Pair::new(77, false), &own);
    assert_refused(verify(&chain), Error::Untrusted, "does not verify");
    chain[0] = certificate(&pairs[0], &claims(&key, &key, 0));
    assert_refused(verify(&chain), Error::Misbehaved, "begins with another");
    chain[0] = good(false)[0].clone();
    chain[1] = certificate(&pairs[0], &own);
    assert!(verify(&chain).is_err());
}

#[test]
fn wrong_usage_and_missing_claims() {
    let usage = -4_670_553;
    for bad in [&[0x01][..], &[0x21], &[0x80], &[], &[0x20, 1], &[0x20, 0, 0]] {
        assert_refused(changed(|claims| set(claims, usage, bytes(bad))), Error::Misbehaved, "another use");
    }
    assert!(changed(|claims| set(claims, usage, bytes(&[0x20, 0]))).is_ok());
    for label in [1, 2, -4_670_545, -4_670_548, -4_670_549, -4_670_551, -4_670_552, usage] {
        assert_refused(changed(|claims| claims.retain(|(name, _)| *name != label)), Error::Malformed, "claim missing");
    }
    let measured = |claims: &mut Claims| claims.retain(|(name, _)| matches!(name, 1 | 2 | -4_670_552 | -4_670_553));
    assert_refused(changed(measured), Error::Misbehaved, "not one of a layer");
    for bound in [3, 4, 5] {
        assert_refused(changed(|claims| set(claims, bound, vec![0x1A, 1, 0, 0, 0])), Error::Unsupported, "times");
    }
}

#[test]
fn configurations_are_those_of_their_hashes() {
    let (hash, descriptor) = (-4_670_547, -4_670_548);
    assert_refused(changed(|claims| set(claims, hash, bytes(&[1; 64]))), Error::Misbehaved, "configuration");
    let newer = b"\xA1\x3A\x00\x01\x11\x74\x18\x63";
    assert_refused(changed(|claims| set(claims, descriptor, bytes(newer))), Error::Misbehaved, "configuration");
    // Without a hash the Open Profile's configuration has no names in it; Android's has.
    let unhashed = |claims: &mut Claims| claims.retain(|(name, _)| *name != hash);
    assert_eq!(changed(unhashed).unwrap().layers[1].security_version, None);
    // Android's profile is stated from the second layer on: a chain may go from the one to the other.
    let pairs = pairs(false);
    let mut named = claims(&pairs[0].public(), &pairs[1].public(), 0);
    unhashed(&mut named);
    set(&mut named, -4_670_554, text("android.15"));
    let chain = verify(&[cose_key(&pairs[0].public()), certificate(&pairs[0], &named)]).unwrap();
    assert_eq!(chain.layers[0].security_version, Some(7));
    assert_refused(changed(|claims| set(claims, -4_670_545, bytes(&[1; 63]))), Error::Malformed, "no algorithm");
    assert_refused(changed(|claims| set(claims, -4_670_545, bytes(&[1; 32]))), Error::Misbehaved, "different ways");
}

#[test]
fn modes_and_profiles() {
    let mode = -4_670_551;
    for (value, expected) in [(0, Mode::NotConfigured), (2, Mode::Debug), (3, Mode::Recovery), (9, Mode::NotConfigured)]
    {
        assert_eq!(changed(|claims| set(claims, mode, bytes(&[value]))).unwrap().layers[1].mode, expected);
        assert_eq!(changed(|claims| set(claims, mode, vec![value])).unwrap().layers[1].mode, expected);
    }
    for bad in [bytes(&[]), bytes(&[0, 1]), vec![0x20]] {
        assert_refused(changed(|claims| set(claims, mode, bad.clone())), Error::Malformed, "claim");
    }
    assert_refused(changed(|claims| set(claims, -4_670_554, text("x"))), Error::Unsupported, "profile");
    let pairs = pairs(false);
    let named = |names: [&str; 2]| {
        let mut items = vec![cose_key(&pairs[0].public())];
        for (pair, name) in pairs.windows(2).zip(names) {
            let mut claims = claims(&pair[0].public(), &pair[1].public(), 1);
            set(&mut claims, -4_670_554, text(name));
            set(&mut claims, mode, if name == "android.14" { vec![1] } else { bytes(&[1]) });
            items.push(certificate(&pair[0], &claims));
        }
        verify(&items)
    };
    assert!(named(["android.14", "android.16"]).is_ok());
    assert_refused(named(["android.16", "android.15"]), Error::Misbehaved, "older");
}

#[test]
fn algorithms_are_the_keys() {
    let pairs = pairs(false);
    let payload = build::map(&claims(&pairs[0].public(), &pairs[1].public(), 0));
    // alg ES256, none, HMAC; alg twice; crit; not a map.
    for header in [&[0xA1, 1, 0x26][..], &[0xA1, 1, 0], &[0xA1, 1, 5], &[0xA0], &[0xA2, 1, 0x27, 1, 0x27]] {
        assert!(verify(&[cose_key(&pairs[0].public()), sign1(&pairs[0], header, &[0xA0], &payload)]).is_err());
    }
    let critical = sign1(&pairs[0], &[0xA3, 1, 0x27, 2, 0x81, 0x18, 99, 0x18, 99, 0], &[0xA0], &payload);
    assert_refused(verify(&[cose_key(&pairs[0].public()), critical]), Error::Unsupported, "critical");
    let loose = sign1(&pairs[0], &protected(&pairs[0]), &[0xA1, 4, 0x41, 0], &payload);
    assert_refused(verify(&[cose_key(&pairs[0].public()), loose]), Error::Misbehaved, "nobody signed");
    let tagged = [&[0xD2][..], &good(false)[1]].concat();
    assert!(verify(&[cose_key(&pairs[0].public()), tagged]).is_err());
}

#[test]
fn keys_are_public_verify_and_of_their_kind() {
    let key = |bytes: &[u8]| PublicKey::from_cose_key(Strict::new(bytes).unwrap());
    let x = [7; 32];
    let okp = |front: &[u8], back: &[u8]| [front, &[0x21, 0x58, 32], &x, back].concat();
    assert_eq!(key(&okp(&[0xA3, 1, 1, 0x20, 6], &[])), Ok(PublicKey::Ed25519(x)));
    assert_eq!(key(&okp(&[0xA4, 1, 1, 0x20, 6], &[4, 0x82, 1, 2])), Ok(PublicKey::Ed25519(x)));
    for (bad, class) in [
        (okp(&[0xA4, 1, 1, 0x20, 6], &[0x23, 0x41, 1]), "private"),
        (okp(&[0xA4, 1, 1, 0x20, 6], &[4, 0x81, 1]), "may not verify"),
        (okp(&[0xA4, 1, 1, 0x20, 6], &[4, 2]), "may not verify"),
        (okp(&[0xA4, 1, 1, 0x20, 6], &[3, 0x26]), "another algorithm"),
        (okp(&[0xA4, 1, 1, 0x20, 6], &[0x22, 0x41, 1]), "another kind"),
        (okp(&[0xA4, 1, 1, 0x20, 6], &[5, 0x41, 1]), "a member"),
        ([&[0xA3, 1, 1, 0x20, 6, 0x21, 0x58, 32, 1][..], &[0; 31]].concat(), "anybody"),
        (okp(&[0xA3, 1, 1, 0x20, 4], &[]), "another kind"),
        (okp(&[0xA3, 1, 2, 0x20, 1], &[]), "missing"),
        (okp(&[0xA4, 1, 2, 0x20, 1], &[0x22, 0xF5]), "compressed"),
        (okp(&[0xA4, 1, 2, 0x20, 1], &[0x22, 0x41, 1]), "missing"),
    ] {
        let error = key(&bad).unwrap_err();
        assert!(error.to_string().contains(class), "{error} is not {class}");
    }
}

#[test]
fn only_one_encoding_is_read() {
    let chain = array(&good(false));
    let mut indefinite = chain.clone();
    indefinite[0] = 0x9F;
    indefinite.push(0xFF);
    assert_refused(verify_bytes(&indefinite), Error::Malformed, "indefinite");
    let longer = [&[0x98, 4][..], &chain[1..]].concat();
    assert_refused(verify_bytes(&longer), Error::Malformed, "shortest");
    assert_refused(verify_bytes(&[&chain[..], &[0]].concat()), Error::Malformed, "behind");
    let double = |claims: &mut Claims| claims.push((-4_670_545, bytes(&[9; 64])));
    assert_refused(changed(double), Error::Malformed, "same key twice");
    let pairs = pairs(false);
    let payload = build::map(&claims(&pairs[0].public(), &pairs[1].public(), 0));
    let open_ended = [&[0xBF][..], &payload[1..], &[0xFF]].concat();
    let signed = sign1(&pairs[0], &protected(&pairs[0]), &[0xA0], &open_ended);
    assert_refused(verify(&[cose_key(&pairs[0].public()), signed]), Error::Malformed, "indefinite");
}

#[test]
fn claims_may_stand_in_any_order() {
    let reversed = changed(|claims| claims.reverse()).unwrap();
    assert_eq!(reversed, verify(&good(false)).unwrap());
}

#[test]
fn as_many_certificates_as_the_limit_says() {
    let long = |count: usize| {
        let pairs: Vec<Pair> = (0..=count).map(|number| Pair::new(1 + number as u8, false)).collect();
        let certify = |pair: &[Pair]| certificate(&pair[0], &claims(&pair[0].public(), &pair[1].public(), 0));
        let mut items = vec![cose_key(&pairs[0].public())];
        items.extend(pairs.windows(2).map(certify));
        verify(&items)
    };
    assert_eq!(long(limits::CHAIN_MAX).unwrap().layers.len(), limits::CHAIN_MAX);
    assert_refused(long(limits::CHAIN_MAX + 1), Error::Unavailable, "more certificates");
    let padded = |padding: usize| array(&items(false, 1, |claims| set(claims, 99, bytes(&vec![0; padding]))));
    let fits = 15_000 + limits::EVIDENCE_BYTES_MAX - padded(15_000).len();
    assert_eq!(padded(fits).len(), limits::EVIDENCE_BYTES_MAX);
    assert!(verify_bytes(&padded(fits)).is_ok());
    assert_refused(verify_bytes(&padded(fits + 1)), Error::Unavailable, "longer");
}

#[test]
fn a_chain_that_turns_round_is_refused() {
    let pairs = pairs(false);
    let [one, other] = [pairs[0].public(), pairs[1].public()];
    let round = [
        cose_key(&one),
        certificate(&pairs[0], &claims(&one, &other, 0)),
        certificate(&pairs[1], &claims(&other, &one, 1)),
    ];
    assert_refused(verify(&round), Error::Misbehaved, "same key twice");
    let itself = [cose_key(&one), certificate(&pairs[0], &claims(&one, &one, 0))];
    assert_refused(verify(&itself), Error::Misbehaved, "same key twice");
}

#[test]
fn random_bytes_are_refused() {
    let chain = array(&good(false));
    let mut seed = 7_u64;
    let mut random = || {
        seed = seed.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (seed >> 33) as usize
    };
    for _ in 0..4000 {
        let mut bytes = chain.clone();
        bytes.truncate(random() % (chain.len() + 1));
        for _ in 0..=random() % 8 {
            let at = random() % bytes.len().max(1);
            if let Some(byte) = bytes.get_mut(at) {
                *byte = random() as u8;
            }
        }
        assert!(bytes == chain || verify_bytes(&bytes).is_err());
    }
}
