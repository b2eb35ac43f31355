//! PSA tokens of TF-M, and Veraison's claim sets, good and bad.

use bartizan_crypto::AWS_LC;
use bartizan_trust::cbor::Strict;
use bartizan_trust::evidence::{Digest, HashAlgorithm, Mode, Profile};
use bartizan_trust::psa::{self, Claims, Edition, Lifecycle, Token};
use bartizan_trust::{Error, Identity, PublicKey, limits};
use serde_json::Value;

use crate::notation::{self, base64, bytes, cbor, int, map, text};
use crate::vectors;

/// The registered key of the device that the tokens are from.
fn key() -> Option<PublicKey> {
    let (_, pem) = vectors("psatoken/tf-m", "public_key.pem").pop()?;
    let pem = String::from_utf8(pem).unwrap();
    let der = base64(&pem.lines().filter(|line| !line.starts_with('-')).collect::<String>());
    Some(PublicKey::P256(der[der.len() - 65..].try_into().unwrap()))
}

fn digest(start: &[u8], digest: &Digest) -> bool {
    digest.algorithm == HashAlgorithm::Sha256 && digest.bytes.len() == 32 && digest.bytes.starts_with(start)
}

#[test]
fn tokens_of_tf_m_verify_and_become_evidence() {
    let Some(key) = key() else { return };
    let identity = key.thumbprint(&AWS_LC);
    for (name, token) in vectors("psatoken/tf-m", "_sign1.bin") {
        let claims = Token::read(&token).unwrap().verify(&AWS_LC, &key).unwrap();
        let edition = if name.starts_with("psa-iot-1") { Edition::Legacy } else { Edition::Draft };
        assert_eq!((claims.edition, claims.lifecycle, claims.client), (edition, Lifecycle::Secured, 3002));
        assert_eq!(claims.certification, Some("0604565272829-10010"));
        assert_eq!(claims.service, Some("www.trustedfirmware.org"));
        assert!(claims.instance.starts_with(&[1, 0xFA, 0x58]));

        let evidence = psa::open(&AWS_LC, &token, &key, identity).unwrap();
        assert_eq!((evidence.profile, evidence.identity), (Profile::Psa, identity));
        assert_eq!((evidence.nonce, evidence.binding), (vec![0; 64], None));
        assert!(evidence.boot_seed.unwrap().starts_with(&[0xA0, 0xA1, 0xA2]));
        let [secure, other] = &evidence.layers[..] else { panic!("{} layers", evidence.layers.len()) };
        assert_eq!((secure.component.as_deref(), secure.version.as_deref()), (Some("SPE"), Some("1.6.0")));
        assert_eq!((other.component.as_deref(), other.mode), (Some("NSPE"), Mode::Normal));
        assert!(digest(&[0x08, 0x7D, 0x13], &other.digests[0]) && other.digests.len() == 1);
        assert!(digest(&[0xBF, 0xE6, 0xD8], secure.authority.as_ref().unwrap()));
        assert!(other.model.as_ref().unwrap().starts_with("aaaaaaaaaaaaaaaabbbbbbbb"));
    }
}

#[test]
fn no_bit_of_a_token_may_change() {
    let Some(key) = key() else { return };
    for (name, token) in vectors("psatoken/tf-m", "_sign1.bin") {
        for bit in 0..token.len() * 8 {
            let mut changed = token.clone();
            changed[bit / 8] ^= 1 << (bit % 8);
            let opened = psa::open(&AWS_LC, &changed, &key, Identity([7; 32]));
            assert!(opened.is_err(), "{name}, bit {bit}");
        }
    }
}

#[test]
fn another_key_and_another_envelope_are_refused() {
    let Some(key) = key() else { return };
    let PublicKey::P256(mut point) = key else { panic!("not P-256") };
    point[64] ^= 1;
    for (name, token) in vectors("psatoken/tf-m", ".bin") {
        let token = Token::read(&token);
        if name.ends_with("_mac0.bin") {
            assert!(matches!(token, Err(Error::Malformed(_))), "{name}");
        } else {
            let other = token.unwrap().verify(&AWS_LC, &PublicKey::P256(point));
            assert!(matches!(other, Err(Error::Untrusted(_))), "{name}");
        }
    }
    for (_, token) in vectors("psatoken/tf-m", "_sign1.bin") {
        assert!(matches!(Token::read(&token[1..]), Err(Error::Malformed(_))), "RFC 9783 wants the tag");
        assert!(Token::read(&[&[0xD2], &token[..]].concat()).is_err(), "twice is no better");
        assert!(matches!(Token::read(&[0; 16 * 1024 + 1]), Err(Error::Unavailable(_))));
    }
}

fn claims(item: &[u8]) -> Result<(), Error> {
    Claims::read(Strict::new(item).unwrap()).map(|_| ())
}

#[test]
fn claim_sets_are_what_their_names_say() {
    for (name, notation) in vectors("psatoken/cbor", ".diag") {
        let notation = String::from_utf8(notation).unwrap();
        // As it stands; with the boot seed where the RFC has it; and with the RFC's profile in addition.
        let rfc = notation.replace("2397:", "268:").replace("http://arm.com/psa/2.0.0", psa::TFM_PROFILE);
        for form in [&notation, &rfc] {
            let read = claims(&cbor(form));
            match name.contains("Missing") || name.contains("Invalid") {
                true => assert_eq!(read, Err(Error::Misbehaved("no PSA nonce of 32, 48 or 64 bytes")), "{name}"),
                false => assert_eq!(read, Ok(()), "{name}"),
            }
        }
    }
}

/// Veraison's claim sets in JSON say no keys of CBOR: they are tried under those of both profiles.
fn from_json(json: &Value, legacy: bool) -> Vec<u8> {
    const NAMES: [(&str, i64, i64); 11] = [
        ("psa-nonce", -75008, 10),
        ("psa-instance-id", -75009, 256),
        ("psa-client-id", -75001, 2394),
        ("psa-security-lifecycle", -75002, 2395),
        ("psa-implementation-id", -75003, 2396),
        ("psa-boot-seed", -75004, 2397),
        ("psa-software-components", -75006, 2399),
        ("psa-no-software-measurements", -75007, -75007),
        ("psa-verification-service-indicator", -75010, 2400),
        ("psa-profile", -75000, 0),
        ("eat-profile", 0, 265),
    ];
    let mut names = NAMES.to_vec();
    let reference = if json["psa-hwver"].is_null() || !legacy { "psa-certification-reference" } else { "psa-hwver" };
    names.push((reference, -75005, 2398));
    let pairs = names.into_iter().filter_map(|(name, old, new)| {
        let key = if legacy { old } else { new };
        let value = json.get(name).filter(|_| key != 0)?;
        let is_text = ["profile", "indicator", "hwver", "reference"].iter().any(|word| name.contains(word));
        Some((int(key), item(value, is_text)))
    });
    map(&pairs.collect::<Vec<_>>())
}

fn item(value: &Value, is_text: bool) -> Vec<u8> {
    match value {
        Value::Number(number) => int(number.as_i64().unwrap()),
        Value::String(word) if is_text => text(word),
        Value::String(word) => bytes(&base64(word)),
        Value::Array(list) => notation::array(&list.iter().map(|value| item(value, false)).collect::<Vec<_>>()),
        Value::Object(component) => {
            let key = |name: &str| match name {
                "measurement-type" => 1,
                "measurement-value" => 2,
                "signer-id" => 5,
                _ => panic!("{name}"),
            };
            let pairs = component.iter().map(|(name, value)| (int(key(name)), item(value, name == "measurement-type")));
            map(&pairs.collect::<Vec<_>>())
        }
        _ => panic!("{value}"),
    }
}

/// What the error must speak of.
fn reason(name: &str) -> &'static str {
    let reasons = [
        ("boot-seed", "boot seed"),
        ("client-id", "client id"),
        ("hardware-version", "certification"),
        ("implementation-id", "implementation id"),
        ("instance-id", "instance id"),
        ("nonce", "nonce"),
        ("profile", "profile"),
        ("lifecycle", "lifecycle"),
        ("measurement-value", "measurement"),
        ("signer-id", "signer id"),
        ("sw-component", "software components"),
        ("vsi", "verification service"),
    ];
    reasons.iter().find(|(part, _)| name.contains(part)).unwrap().1
}

#[test]
fn claim_sets_in_json_fail_for_their_reason() {
    for (name, json) in vectors("psatoken/json", ".json") {
        let json: Value = serde_json::from_slice(&json).unwrap();
        for legacy in [true, false] {
            let read = claims(&from_json(&json, legacy));
            let good = match name.as_str() {
                "test-token-valid-full.json" => true,
                "test-token-valid-minimalist-p2.json" => !legacy,
                // A claim set without a profile is of the legacy one; without a boot seed only of the newer.
                "test-profile-valid-missing.json" | "test-profile-invalid-missing.json" => legacy,
                "test-boot-seed-invalid-missing.json" => !legacy,
                name => name.contains("-valid-") && legacy,
            };
            match read {
                Ok(()) => assert!(good, "{name}, legacy {legacy}"),
                Err(error) if good => panic!("{name}, legacy {legacy}: {error}"),
                Err(error) if legacy || json.get("eat-profile").is_some() => {
                    let expected = if name.contains("-valid-") { "boot seed" } else { reason(&name) };
                    assert!(error.to_string().contains(expected), "{name}, legacy {legacy}: {error}");
                }
                Err(error) => assert!(error.to_string().contains("profile"), "{name}: {error}"),
            }
        }
    }
}

#[test]
fn profiles_do_not_mix() {
    let Some((_, notation)) = vectors("psatoken/cbor", "P1ClaimsTFM.diag").pop() else { return };
    let notation = String::from_utf8(notation).unwrap();
    let both = notation.replacen('{', "{ 265: \"tag:psacertified.org,2023:psa#tfm\",", 1);
    assert_eq!(claims(&cbor(&both)), Err(Error::Misbehaved("PSA claims of two profiles")));
    let other = notation.replace("PSA_IOT_PROFILE_1", "PSA_IOT_PROFILE_2");
    assert!(matches!(claims(&cbor(&other)), Err(Error::Unsupported(_))));
    let zero = notation.replace("-75001: 3002", "-75001: 0");
    assert_eq!(claims(&cbor(&zero)), Err(Error::Misbehaved("no PSA client id but 0")));
    let wide = notation.replace("-75001: 3002", "-75001: 2147483648");
    assert!(claims(&cbor(&wide)).is_err());
}

/// A small token of RFC 9783 with some claims of another kind.
fn with(changes: &[(i64, Vec<u8>)]) -> Result<(), Error> {
    let mut all = vec![
        (10, bytes(&[1; 32])),
        (256, bytes(&[1; 33])),
        (265, text(psa::TFM_PROFILE)),
        (268, bytes(&[1; 8])),
        (2394, int(-1)),
        (2395, int(0x3000)),
        (2396, bytes(&[1; 32])),
        (2399, notation::array(&[component(1, 32, 32)])),
    ];
    all.retain(|(key, _)| changes.iter().all(|(changed, _)| changed != key));
    all.extend_from_slice(changes);
    claims(&map(&all.into_iter().map(|(key, value)| (int(key), value)).collect::<Vec<_>>()))
}

/// With a type, a measurement and a signer of these lengths.
fn component(kind: usize, value: usize, signer: usize) -> Vec<u8> {
    map(&[(int(1), text(&"B".repeat(kind))), (int(2), bytes(&vec![2; value])), (int(5), bytes(&vec![5; signer]))])
}

#[test]
fn lengths_and_numbers_hold_on_both_sides() {
    assert_eq!(with(&[]), Ok(()));
    let hashes = [(31, false), (32, true), (33, false), (47, false), (48, true), (63, false), (64, true), (65, false)];
    for (length, good) in hashes {
        assert_eq!(with(&[(10, bytes(&vec![1; length]))]).is_ok(), good, "a nonce of {length}");
        for parts in [component(1, length, 32), component(1, 32, length)] {
            assert_eq!(with(&[(2399, notation::array(&[parts]))]).is_ok(), good, "a component's hash of {length}");
        }
    }
    for (length, good) in [(0, false), (7, false), (8, true), (32, true), (33, false)] {
        assert_eq!(with(&[(268, bytes(&vec![1; length]))]).is_ok(), good, "a boot seed of {length}");
    }
    for (client, good) in [(0, false), (1, true), (i64::from(i32::MAX), true), (1 << 31, false), (-1, true)] {
        assert_eq!(with(&[(2394, int(client))]).is_ok(), good, "client {client}");
    }
    for (client, good) in [(1 - (1_i64 << 31), true), (-(1_i64 << 31), false)] {
        assert_eq!(with(&[(2394, int(client))]).is_ok(), good, "client {client}");
    }
    for (length, good) in [(0, false), (1, true), (limits::URL_BYTES_MAX, true), (limits::URL_BYTES_MAX + 1, false)] {
        assert_eq!(with(&[(2400, text(&"u".repeat(length)))]).is_ok(), good, "a service of {length}");
    }
    for (length, good) in [(limits::NAME_BYTES_MAX, true), (limits::NAME_BYTES_MAX + 1, false)] {
        let named = notation::array(&[component(length, 32, 32)]);
        assert_eq!(with(&[(2399, named)]).is_ok(), good, "a component's name of {length}");
    }
    for (count, good) in [(0, false), (1, true), (limits::LAYERS_MAX, true), (limits::LAYERS_MAX + 1, false)] {
        let many = notation::array(&vec![component(1, 32, 32); count]);
        assert_eq!(with(&[(2399, many)]).is_ok(), good, "{count} components");
    }
    for (reference, good) in
        [("1234567890123-12345", true), ("1234567890123", false), ("1234567890123-1234", false), ("-", false)]
    {
        assert_eq!(with(&[(2398, text(reference))]).is_ok(), good, "{reference}");
    }
}

/// RFC 9783 retired the claim that nothing is measured; there it is a claim like any that nobody knows.
#[test]
fn a_token_without_components_is_a_legacy_one() {
    assert_eq!(with(&[(-75007, int(1))]), Ok(()));
    let none = claims(&map(&[(int(265), text(psa::TFM_PROFILE)), (int(-75007), int(1))]));
    assert!(matches!(none, Err(Error::Misbehaved(_))));
    assert_eq!(with(&[(2398, int(1))]), Err(Error::Misbehaved("a PSA certification reference that is none")));
    assert_eq!(with(&[(268, int(1))]), Err(Error::Misbehaved("no PSA boot seed of the length it must have")));
}
