//! Attestation results there and back, as others write them, and as an attacker would.
#![allow(clippy::unwrap_used, reason = "a test that cannot go on says where")]

use bartizan_crypto::{AWS_LC, RUSTCRYPTO, Secret};
use bartizan_trust::appraisal::{Trust, Vector};
use bartizan_trust::cose::{Shape, SigningKey, put_signed};
use bartizan_trust::result::{Appraisal, Ear, PROFILE, VerifierId, from_base64url, to_base64url};
use bartizan_trust::{Error, Identity, PublicKey, limits};
use bartizan_wire::{Attestation, UnixMillis};
use minicbor::Encoder;
use minicbor::data::Tag;

mod common;

const NOW: UnixMillis = UnixMillis(1_800_000_000_000);
const SECRET: [u8; 32] = [5; 32];

fn rng(out: &mut [u8]) {
    out.fill(7);
}

fn public() -> PublicKey {
    SigningKey::P256(&Secret::new(SECRET)).public(&RUSTCRYPTO).unwrap()
}

fn ear() -> Ear {
    let mut vector = Vector::default();
    (vector.instance_identity, vector.executables) = (Trust::APPROVED, Trust::UNRECOGNISED);
    Ear {
        issued: NOW.0 / 1000,
        expires: Some(NOW.0 / 1000 + 60),
        verifier: VerifierId { developer: "bartizan.io".into(), build: "bartizan \"1\"\n".into() },
        nonce: Some(vec![9; 16]),
        appraisals: vec![(
            "wm-1".into(),
            Appraisal {
                status: Attestation::Warning,
                vector,
                policies: vec!["wm-100/3".into()],
                identity: Some(Identity([7; 32])),
                reasons: vec!["Layer 1 (firmware): unbekannt – \u{1F4A7}.".into()],
            },
        )],
    }
}

fn jwt(ear: &Ear) -> String {
    ear.to_jwt(&RUSTCRYPTO, &SigningKey::P256(&Secret::new(SECRET)), &mut rng).unwrap()
}

fn cwt(ear: &Ear) -> Vec<u8> {
    ear.to_cwt(&RUSTCRYPTO, &SigningKey::P256(&Secret::new(SECRET)), &mut rng).unwrap()
}

fn read_jwt(token: &str) -> Result<Ear, Error> {
    Ear::from_jwt(&AWS_LC, token, &public(), NOW)
}

fn read_cwt(bytes: &[u8]) -> Result<Ear, Error> {
    Ear::from_cwt(&AWS_LC, bytes, &public(), NOW)
}

/// Any claims under a good signature.
fn signed(header: &str, claims: &str) -> String {
    let text = [to_base64url(header.as_bytes()), to_base64url(claims.as_bytes())].join(".");
    let key = Secret::new(SECRET);
    let signature = SigningKey::P256(&key).sign(&AWS_LC, &mut rng, text.as_bytes()).unwrap();
    [text, to_base64url(&signature)].join(".")
}

fn signed_claims(claims: &str) -> Result<Ear, Error> {
    read_jwt(&signed(r#"{"alg":"ES256"}"#, claims))
}

/// A result by another verifier, with this as its only appraisal.
fn foreign(appraisal: &str) -> Result<Ear, Error> {
    signed_claims(&format!(
        r#"{{"eat_profile":"{PROFILE}","iat":1800000000,"ear_verifier_id":{{"developer":"d","build":"b"}},
            "unknown":[1.5,null],"submods":{{"x":{appraisal}}}}}"#
    ))
}

#[test]
fn a_result_is_the_same_behind_both_forms() {
    let mut small = ear();
    (small.expires, small.nonce) = (None, None);
    let appraisal = &mut small.appraisals[0].1;
    (appraisal.identity, appraisal.vector) = (None, Vector::default());
    appraisal.reasons.clear();
    appraisal.policies.clear();
    for ear in [ear(), small] {
        assert_eq!(read_jwt(&jwt(&ear)), Ok(ear.clone()));
        assert_eq!(read_cwt(&cwt(&ear)), Ok(ear.clone()));
        let key = Secret::new(SECRET);
        let key = SigningKey::Ed25519(&key);
        let public = key.public(&RUSTCRYPTO).unwrap();
        let (token, bytes) = (ear.to_jwt(&RUSTCRYPTO, &key, &mut rng), ear.to_cwt(&RUSTCRYPTO, &key, &mut rng));
        assert_eq!(Ear::from_jwt(&AWS_LC, &token.unwrap(), &public, NOW), Ok(ear.clone()));
        assert_eq!(Ear::from_cwt(&AWS_LC, &bytes.unwrap(), &public, NOW), Ok(ear));
    }
}

/// A JSON parser that is not ours reads the claims that the draft names.
#[test]
fn the_claims_are_those_of_the_draft() {
    let token = jwt(&ear());
    let claims = from_base64url(token.split('.').nth(1).unwrap()).unwrap();
    let claims: serde_json::Value = serde_json::from_slice(&claims).unwrap();
    assert_eq!(claims["eat_profile"], "tag:ietf.org,2026:rats/ear#04");
    assert_eq!(
        (&claims["iat"], &claims["ear_verifier_id"]["build"]),
        (&1_800_000_000.into(), &"bartizan \"1\"\n".into())
    );
    let appraisal = &claims["submods"]["wm-1"];
    assert_eq!(appraisal["ear_status"], "warning");
    assert_eq!(appraisal["ear_trustworthiness_vector"]["executables"], 33);
    assert_eq!(appraisal["ear_appraisal_policy_ids"][0], "wm-100/3");
    assert_eq!(appraisal["ear_verifier_claims"]["bartizan.reasons"][0], ear().appraisals[0].1.reasons[0]);
}

#[test]
fn no_flipped_bit_of_a_result_is_believed() {
    let (token, bytes) = (jwt(&ear()), cwt(&ear()));
    for bit in 0..token.len() * 8 {
        let mut changed = token.clone().into_bytes();
        changed[bit / 8] ^= 1 << (bit % 8);
        if let Ok(text) = core::str::from_utf8(&changed) {
            assert!(read_jwt(text).is_err(), "bit {bit}");
        }
    }
    for bit in 0..bytes.len() * 8 {
        let mut changed = bytes.clone();
        changed[bit / 8] ^= 1 << (bit % 8);
        // The tag's number (18) is outside what is signed; another tag is no COSE_Sign1.
        assert!(read_cwt(&changed).is_err(), "bit {bit}");
    }
    for length in 0..bytes.len() {
        assert!(read_cwt(&bytes[..length]).is_err());
    }
}

#[test]
fn the_key_decides_over_the_algorithm() {
    let claims = from_base64url(jwt(&ear()).split('.').nth(1).unwrap()).unwrap();
    let claims = String::from_utf8(claims).unwrap();
    assert!(read_jwt(&signed(r#"{"alg":"ES256"}"#, &claims)).is_ok());
    for header in
        [r#"{"alg":"none"}"#, r#"{"alg":"HS256"}"#, r#"{"alg":"EdDSA"}"#, "{}", r#"{"alg":"ES256","crit":["x"]}"#]
    {
        assert!(read_jwt(&signed(header, &claims)).is_err(), "{header}");
    }
    let unsigned = [to_base64url(br#"{"alg":"none"}"#), to_base64url(claims.as_bytes()), String::new()].join(".");
    assert!(read_jwt(&unsigned).is_err());
    let other = SigningKey::P256(&Secret::new([6; 32])).public(&RUSTCRYPTO).unwrap();
    assert!(matches!(Ear::from_jwt(&AWS_LC, &jwt(&ear()), &other, NOW), Err(Error::Untrusted(_))));
    assert!(matches!(Ear::from_cwt(&AWS_LC, &cwt(&ear()), &other, NOW), Err(Error::Untrusted(_))));
}

/// The example of RFC 7515 appendix A.3: its signature is good, and it is no attestation result.
#[test]
fn a_signature_that_others_made() {
    let (x, y) = ("f83OJ3D2xF1Bg8vub9tLe1gHMzV76e8Tus9uPHvRVEU", "x_FEzRu9m36HLN_tue659LNpXW6pCyStikYjKIWI5a0");
    let point = [vec![4], from_base64url(x).unwrap(), from_base64url(y).unwrap()].concat();
    let key = PublicKey::P256(point.try_into().unwrap());
    let token = "eyJhbGciOiJFUzI1NiJ9.eyJpc3MiOiJqb2UiLA0KICJleHAiOjEzMDA4MTkzODAsDQogImh0dHA6Ly9leGFtcGxlLmNvbS9pc19yb2\
                 90Ijp0cnVlfQ.DtEhU3ljbEg8L38VWAfUAqOyKAM6-Xx-F4GawxaepmXFCgfTjDxw5djxLa8ISlSApmWQxfKTUJqPP3-Kg6NU1Q";
    assert!(matches!(Ear::from_jwt(&AWS_LC, token, &key, NOW), Err(Error::Malformed(_))));
    assert!(matches!(Ear::from_jwt(&AWS_LC, &token.replace("eyJpc3", "eyJpc4"), &key, NOW), Err(Error::Untrusted(_))));
}

#[test]
fn a_result_has_its_time() {
    let at = |seconds: u64| UnixMillis((NOW.0 / 1000 + seconds) * 1000);
    let with = |now| {
        (Ear::from_jwt(&AWS_LC, &jwt(&ear()), &public(), now), Ear::from_cwt(&AWS_LC, &cwt(&ear()), &public(), now))
    };
    assert!(matches!(with(at(59)), (Ok(_), Ok(_))));
    assert!(matches!(with(at(60)), (Err(Error::Untrusted(_)), Err(Error::Untrusted(_)))));
    let ahead = |seconds| read_jwt(&jwt(&Ear { issued: NOW.0 / 1000 + seconds, expires: None, ..ear() }));
    assert!(ahead(60).is_ok());
    assert!(matches!(ahead(61), Err(Error::Untrusted(_))));
}

#[test]
fn a_result_is_as_good_as_its_worst_part() {
    let tier = |appraisal: &str| foreign(appraisal).unwrap().tier();
    assert_eq!(tier(r#"{"ear_status":"affirming"}"#), Attestation::Affirming);
    assert_eq!(tier(r#"{"ear_status":2,"ear_trustworthiness_vector":{"hardware":2}}"#), Attestation::Affirming);
    assert_eq!(
        tier(r#"{"ear_status":"affirming","ear_trustworthiness_vector":{"hardware":32}}"#),
        Attestation::Warning
    );
    let contradictory = r#"{"ear_status":"affirming","ear_trustworthiness_vector":{"executables":99,"hardware":2}}"#;
    assert_eq!(tier(contradictory), Attestation::Contraindicated);
    assert_eq!(tier(r#"{"ear_status":"none","ear_trustworthiness_vector":{"hardware":2}}"#), Attestation::None);
    let two = r#"{"ear_status":"affirming"},"y":{"ear_status":"none"}"#;
    assert_eq!(tier(two), Attestation::None);
}

#[test]
fn what_is_not_understood_is_refused() {
    for bad in [
        r#"{}"#,
        r#"{"ear_status":"good"}"#,
        r#"{"ear_status":3}"#,
        r#"{"ear.status":"affirming"}"#,
        r#"{"ear_status":"affirming","ear_status":"none"}"#,
        r#"{"ear_status":"affirming","ear_trustworthiness_vector":{"hardware":128}}"#,
        r#"{"ear_status":"affirming","ear_trustworthiness_vector":{"hardware":"2"}}"#,
        r#"{"ear_status":"affirming","ear_trustworthiness_vector":{"newest":96}}"#,
    ] {
        assert!(matches!(foreign(bad), Err(Error::Malformed(_))), "{bad}");
    }
    let profile = |name: &str| {
        signed_claims(&format!(
            r#"{{"eat_profile":"{name}","iat":1,"ear.verifier-id":{{"developer":"d","build":"b"}},
                "submods":{{"x":{{"ear.status":"affirming","ear.trustworthiness-vector":{{"hardware":2}},
                "ear.appraisal-policy-id":"p"}}}}}}"#
        ))
    };
    let old = profile("tag:github.com,2023:veraison/ear").unwrap();
    assert_eq!((old.tier(), old.appraisals[0].1.policies.as_slice()), (Attestation::Affirming, &["p".into()][..]));
    assert!(matches!(profile("tag:example.com,2026:mine"), Err(Error::Unsupported(_))));
    assert!(matches!(profile(PROFILE), Err(Error::Malformed(_))));
}

#[test]
fn a_result_ends_at_its_limit() {
    let long = |length: usize| "a".repeat(length);
    assert!(matches!(read_jwt(&long(limits::RESULT_BYTES_MAX)), Err(Error::Malformed(_))));
    assert!(matches!(read_jwt(&long(limits::RESULT_BYTES_MAX + 1)), Err(Error::Unavailable(_))));
    assert!(matches!(read_cwt(&[0; limits::RESULT_BYTES_MAX + 1]), Err(Error::Unavailable(_))));
}

#[test]
fn any_signed_claims_are_read_or_refused() {
    let mut random = common::Xorshift(9);
    let token = jwt(&ear());
    let claims = from_base64url(token.split('.').nth(1).unwrap()).unwrap();
    let bytes = cwt(&ear());
    let payload = bytes.windows(2).position(|pair| pair == [0xA6, 0x04]).unwrap();
    let payload = bytes[payload..bytes.len() - 66].to_vec();
    for _ in 0..400 {
        let mut changed = [claims.clone(), payload.clone()];
        for bytes in &mut changed {
            for _ in 0..=random.below(3) {
                let at = random.below(bytes.len());
                match random.below(3) {
                    0 => bytes[at] = random.next() as u8,
                    1 => drop(bytes.remove(at)),
                    _ => bytes.insert(at, random.next() as u8),
                }
            }
        }
        let _ = signed_claims(&String::from_utf8_lossy(&changed[0]));
        let key = Secret::new(SECRET);
        let (mut to_sign, mut out) = (Vec::new(), Vec::new());
        put_signed(&mut Encoder::new(&mut to_sign), Shape::Sign1, b"\xA1\x01\x26", b"", &changed[1]).unwrap();
        let signature = SigningKey::P256(&key).sign(&AWS_LC, &mut rng, &to_sign).unwrap();
        let mut to = Encoder::new(&mut out);
        to.tag(Tag::new(18)).unwrap().array(4).unwrap().bytes(b"\xA1\x01\x26").unwrap().map(0).unwrap();
        to.bytes(&changed[1]).unwrap().bytes(&signature).unwrap();
        let _ = read_cwt(&out);
    }
    let mut to_sign = Vec::new();
    put_signed(&mut Encoder::new(&mut to_sign), Shape::Sign1, b"\xA1\x01\x26", b"", &payload).unwrap();
    public().verify(&AWS_LC, &to_sign, &bytes[bytes.len() - 64..]).unwrap();
}
