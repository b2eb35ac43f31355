//! What a suspected device may try with a chain of X.509 certificates.

#![allow(clippy::unwrap_used, reason = "a test that cannot go on says where")]

mod common;

use bartizan_crypto::{AWS_LC, RUSTCRYPTO};
use bartizan_trust::dice::{self, Chain};
use bartizan_trust::evidence::{Mode, Profile};
use bartizan_trust::{Error, PublicKey, limits};
use bartizan_wire::UnixMillis;
use common::NOW;
use common::build::{
    BASIC_CONSTRAINTS, Draft, ECDSA_WITH_SHA256, ED25519, KEY_USAGE, OPEN_DICE, Pair, SIGNS, TCB_INFO, der, extension,
    key_id, name, open_input, tcb_info,
};

const AUTHORITY_KEY_ID: &[u8] = b"\x55\x1D\x23";
const SUBJECT_KEY_ID: &[u8] = b"\x55\x1D\x0E";
const EXTENDED_KEY_USAGE: &[u8] = b"\x55\x1D\x25";
const POLICIES: &[u8] = b"\x55\x1D\x20";
const UEID: &[u8] = b"\x67\x81\x05\x05\x04\x04";
const MULTI_TCB_INFO: &[u8] = b"\x67\x81\x05\x05\x04\x05";

fn verify(certificates: &[Vec<u8>], root: Option<&PublicKey>) -> Result<Chain, Error> {
    let certificates: Vec<&[u8]> = certificates.iter().map(Vec::as_slice).collect();
    dice::x509::verify(&AWS_LC, &certificates, root, NOW)
}

fn pairs(p256: bool) -> [Pair; 4] {
    [1, 2, 3, 4].map(|number| Pair::new(number, p256))
}

/// A TCG chain to be: self-signed root, two embedded CAs, a leaf that only signs. Number n is signed by `signer(n)`.
fn drafts(pairs: &[Pair; 4]) -> [Draft; 4] {
    let keys = pairs.each_ref().map(Pair::public);
    [
        Draft::authority(&keys[0], &keys[0], vec![]),
        Draft::authority(&keys[0], &keys[1], vec![tcb_info(1, 1, &[0])]),
        Draft::authority(&keys[1], &keys[2], vec![tcb_info(2, 2, &[0])]),
        Draft::leaf(&keys[2], &keys[3], vec![tcb_info(3, 3, &[0])]),
    ]
}

fn sign(pairs: &[Pair; 4], drafts: &[Draft; 4]) -> Vec<Vec<u8>> {
    drafts.iter().enumerate().map(|(index, draft)| draft.signed(&pairs[index.saturating_sub(1)])).collect()
}

fn good(p256: bool) -> Vec<Vec<u8>> {
    sign(&pairs(p256), &drafts(&pairs(p256)))
}

/// The outcome of a chain with one draft changed before everything is properly signed.
fn changed(number: usize, change: impl FnOnce(&mut Draft)) -> Result<Chain, Error> {
    let pairs = pairs(false);
    let mut drafts = drafts(&pairs);
    change(&mut drafts[number]);
    verify(&sign(&pairs, &drafts), None)
}

fn with(more: Vec<u8>) -> impl FnOnce(&mut Draft) {
    |draft| draft.extensions.push(more)
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
        let pairs = pairs(p256);
        let chain = verify(&good(p256), None).unwrap();
        let root = pairs[0].public();
        assert_eq!(verify(&good(p256)[1..], Some(&root)), Ok(chain.clone()));
        assert_eq!((chain.profile, chain.identity), (Profile::TcgDice, root.thumbprint(&RUSTCRYPTO)));
        assert_eq!(chain.leaf, pairs[3].public());
        let codes: Vec<u8> = chain.layers.iter().map(|layer| layer.digests[0].bytes[0]).collect();
        assert_eq!(codes, [1, 2, 3]);
        assert_eq!(chain.layers[0].vendor.as_deref(), Some("acme"));
        assert_eq!(chain.layers[0].mode, Mode::Normal);
    }
}

#[test]
fn no_flipped_bit_passes() {
    for p256 in [false, true] {
        let pairs = pairs(p256);
        let certificates = [&good(p256)[1..3], &[]].concat();
        assert!(verify(&certificates, Some(&pairs[0].public())).is_ok());
        for number in 0..certificates.len() {
            for bit in 0..certificates[number].len() * 8 {
                let mut flipped = certificates.clone();
                flipped[number][bit / 8] ^= 1 << (bit % 8);
                assert!(verify(&flipped, Some(&pairs[0].public())).is_err(), "bit {bit} of {number}");
            }
        }
    }
}

#[test]
fn certificates_missing_reordered_or_doubled() {
    let good = good(false);
    for missing in 0..3 {
        let mut fewer = good.clone();
        fewer.remove(missing);
        assert!(verify(&fewer, None).is_err(), "without {missing}");
    }
    for (one, other) in [(0, 1), (1, 2), (2, 3), (0, 3)] {
        let mut swapped = good.clone();
        swapped.swap(one, other);
        assert!(verify(&swapped, None).is_err(), "{one} and {other}");
    }
    for number in 0..4 {
        let mut doubled = good.clone();
        doubled.insert(number, good[number].clone());
        assert!(verify(&doubled, None).is_err(), "{number} twice");
    }
    assert_refused(verify(&good[..1], None), Error::Misbehaved, "without a layer");
    assert_refused(verify(&[], None), Error::Malformed, "without certificates");
}

#[test]
fn nothing_in_a_chain_is_an_anchor() {
    let stranger = Pair::new(77, false).public();
    assert_refused(verify(&good(false), Some(&stranger)), Error::Untrusted, "another device's root");
    assert_refused(verify(&good(false)[1..], Some(&stranger)), Error::Untrusted, "does not verify");
    assert_refused(verify(&good(false)[1..], None), Error::Untrusted, "nobody's");
    // A device that makes itself a root of the same name is another device.
    let pairs = pairs(false);
    let impostor = Pair::new(66, false);
    let mut drafts = drafts(&pairs);
    drafts[0] = Draft::authority(&pairs[0].public(), &pairs[0].public(), vec![]);
    drafts[0].key = common::build::spki(&impostor.public());
    let mut certificates = sign(&pairs, &drafts);
    assert_refused(verify(&certificates, None), Error::Untrusted, "does not verify");
    certificates[0] = drafts[0].signed(&impostor);
    certificates[1] = drafts[1].signed(&impostor);
    assert_ne!(verify(&certificates, None).unwrap().identity, verify(&good(false), None).unwrap().identity);
    assert!(verify(&certificates, Some(&pairs[0].public())).is_err());
}

#[test]
fn forged_and_substituted_layers() {
    let pairs = pairs(false);
    let drafts = drafts(&pairs);
    let mut forged = good(false);
    forged[2] = drafts[2].signed(&Pair::new(66, false));
    assert_refused(verify(&forged, None), Error::Untrusted, "does not verify");
    let mut mixed = good(false);
    let tampered = Pair::new(66, false).public();
    mixed[2] = Draft::authority(&pairs[1].public(), &tampered, vec![tcb_info(2, 66, &[0])]).signed(&pairs[1]);
    assert_refused(verify(&mixed, None), Error::Misbehaved, "issuer");
    assert_refused(changed(2, |draft| draft.issuer = name("x")), Error::Misbehaved, "issuer");
    assert_refused(changed(2, |draft| draft.subject = vec![0x30, 0]), Error::Misbehaved, "empty name");
}

#[test]
fn certificates_have_their_days() {
    for number in 0..4 {
        let expired = changed(number, |draft| draft.not_after = b"\x17\x0D260101000000Z".to_vec());
        assert_refused(expired, Error::Untrusted, "has expired");
        let early = changed(number, |draft| draft.not_before = b"\x18\x0F20300101000000Z".to_vec());
        assert_refused(early, Error::Untrusted, "not valid yet");
    }
    // Both ends belong to it, to the second.
    let pairs = pairs(false);
    let mut drafts = drafts(&pairs);
    drafts[3].not_before = b"\x17\x0D260101000000Z".to_vec();
    drafts[3].not_after = b"\x17\x0D260101000001Z".to_vec();
    let certificates = sign(&pairs, &drafts);
    let certificates: Vec<&[u8]> = certificates.iter().map(Vec::as_slice).collect();
    let at = |ms| dice::x509::verify(&AWS_LC, &certificates, None, UnixMillis(ms)).is_ok();
    let begins = 1_767_225_600_000;
    assert_eq!([begins - 1, begins, begins + 1999, begins + 2000].map(at), [false, true, true, false]);
    assert!(!at(u64::MAX));
}

#[test]
fn only_authorities_certify() {
    let basic = |value: &[u8]| extension(BASIC_CONSTRAINTS, true, value);
    for number in 0..3 {
        assert_refused(changed(number, |draft| draft.extensions[0] = basic(b"\x30\x00")), Error::Misbehaved, "may not");
        let signs = |draft: &mut Draft| draft.extensions[1] = extension(KEY_USAGE, true, SIGNS);
        assert_refused(changed(number, signs), Error::Misbehaved, "may not certify");
        let without = |index: usize| changed(number, |draft| drop(draft.extensions.remove(index)));
        assert_refused(without(0), Error::Misbehaved, "may not certify");
        assert_refused(without(1), Error::Misbehaved, "may not certify");
    }
    // A leaf that signs one more certificate.
    let pairs = pairs(false);
    let further = Pair::new(5, false);
    let mut longer = good(false);
    longer.push(Draft::leaf(&pairs[3].public(), &further.public(), vec![tcb_info(4, 4, &[0])]).signed(&pairs[3]));
    assert_refused(verify(&longer, None), Error::Misbehaved, "may not certify");
    // A leaf that may neither sign nor certify.
    let agrees = |draft: &mut Draft| draft.extensions[1] = extension(KEY_USAGE, true, b"\x03\x02\x03\x08");
    assert_refused(changed(3, agrees), Error::Misbehaved, "may not sign evidence");
}

#[test]
fn paths_end_where_they_should() {
    let length = |length: u8| extension(BASIC_CONSTRAINTS, true, &[0x30, 6, 1, 1, 0xFF, 2, 1, length]);
    for (number, least) in [(0, 2), (1, 1), (2, 0)] {
        assert!(changed(number, |draft| draft.extensions[0] = length(least)).is_ok(), "{number}");
        if least > 0 {
            let short = changed(number, |draft| draft.extensions[0] = length(least - 1));
            assert_refused(short, Error::Misbehaved, "goes on");
        }
    }
    let odd = extension(BASIC_CONSTRAINTS, true, b"\x30\x03\x02\x01\x00");
    assert_refused(changed(3, |draft| draft.extensions[0] = odd), Error::Malformed, "path length");
}

#[test]
fn whoever_names_purposes_is_held_to_them() {
    let purpose = |number: u8| der(6, &[b"\x67\x81\x05\x05\x04\x64", &[number]]);
    let extended = |numbers: &[u8]| {
        let names: Vec<u8> = numbers.iter().flat_map(|number| purpose(*number)).collect();
        extension(EXTENDED_KEY_USAGE, false, &der(0x30, &[&names]))
    };
    assert!(changed(1, with(extended(&[7, 12]))).is_ok());
    assert_refused(changed(1, with(extended(&[7, 9]))), Error::Misbehaved, "may not certify");
    for attests in [8, 9] {
        assert!(changed(3, with(extended(&[attests]))).is_ok());
    }
    for other in [6, 7, 10, 11, 12, 13] {
        assert_refused(changed(3, with(extended(&[other]))), Error::Misbehaved, "may not sign evidence");
    }
    let client = der(0x30, &[&der(6, &[b"\x2B\x06\x01\x05\x05\x07\x03\x02"])]);
    assert!(changed(3, with(extension(EXTENDED_KEY_USAGE, false, &client))).is_err());
    let any = der(0x30, &[&der(6, &[b"\x55\x1D\x25\x00"])]);
    assert!(changed(3, with(extension(EXTENDED_KEY_USAGE, false, &any))).is_ok());
    let policy = |number: u8| extension(POLICIES, true, &der(0x30, &[&der(0x30, &[&purpose(number)])]));
    assert!(changed(3, with(policy(8))).is_ok());
    assert!(changed(3, with(policy(6))).is_err());
}

#[test]
fn critical_extensions_are_known_or_refused() {
    let unknown = b"\x2B\x06\x01\x04\x01\x82\x37\x01";
    for number in 0..4 {
        assert!(changed(number, with(extension(unknown, false, b"\x05\x00"))).is_ok());
        let critical = changed(number, with(extension(unknown, true, b"\x05\x00")));
        assert_refused(critical, Error::Unsupported, "critical");
    }
    let cmw = b"\x2B\x06\x01\x05\x05\x07\x01\x23";
    assert!(changed(3, with(extension(cmw, false, b"\x04\x01\xA0"))).is_ok());
    assert_refused(changed(3, with(extension(cmw, true, b"\x04\x01\xA0"))), Error::Unsupported, "critical");
    assert!(changed(3, with(extension(cmw, false, b"\x05\x00"))).is_err());
    let twice = changed(3, with(extension(KEY_USAGE, true, SIGNS)));
    assert_refused(twice, Error::Malformed, "same extension twice");
    let false_stated = der(0x30, &[&der(6, &[unknown]), b"\x01\x01\x00", &der(4, &[b"\x05\x00"])]);
    assert_refused(changed(3, with(false_stated)), Error::Malformed, "default");
}

#[test]
fn as_many_extensions_and_certificates_as_the_limits_say() {
    let filled = |count: usize| {
        changed(3, |draft| {
            for number in draft.extensions.len()..count {
                draft.extensions.push(extension(&[0x2B, number as u8], false, b"\x05\x00"));
            }
        })
    };
    assert!(filled(limits::EXTENSIONS_MAX).is_ok());
    assert_refused(filled(limits::EXTENSIONS_MAX + 1), Error::Unavailable, "extensions");
    let long = |count: usize| {
        let pairs: Vec<Pair> = (0..=count).map(|number| Pair::new(1 + number as u8, false)).collect();
        let root = pairs[0].public();
        let certify = |pair: &[Pair]| {
            Draft::authority(&pair[0].public(), &pair[1].public(), vec![open_input(1)]).signed(&pair[0])
        };
        let certificates: Vec<_> = pairs.windows(2).map(certify).collect();
        verify(&certificates, Some(&root))
    };
    assert_eq!(long(limits::CHAIN_MAX).unwrap().layers.len(), limits::CHAIN_MAX);
    assert_refused(long(limits::CHAIN_MAX + 1), Error::Unavailable, "longer");
    let padded = changed(3, with(extension(&[0x2B, 1], false, &vec![0; limits::EVIDENCE_BYTES_MAX])));
    assert_refused(padded, Error::Unavailable, "longer");
    let eleven = |layers: u8| {
        let info = der(0x30, &[b"\x83\x01\x07"]);
        let list = extension(MULTI_TCB_INFO, true, &der(0x30, &[&info.repeat(usize::from(layers))]));
        changed(2, |draft| draft.extensions[2] = list)
    };
    let fits = limits::LAYERS_MAX as u8 - 2;
    assert_eq!(eleven(fits).unwrap().layers.len(), limits::LAYERS_MAX);
    assert_refused(eleven(fits + 1), Error::Unavailable, "more layers");
}

#[test]
fn algorithms_are_the_keys() {
    let pairs = pairs(false);
    let drafts = drafts(&pairs);
    for (inner, outer, class) in [
        (ECDSA_WITH_SHA256, ECDSA_WITH_SHA256, "another algorithm"),
        (ED25519, ECDSA_WITH_SHA256, "two signature algorithms"),
        (
            b"\x30\x07\x06\x03\x2B\x65\x70\x05\x00".as_slice(),
            b"\x30\x07\x06\x03\x2B\x65\x70\x05\x00",
            "another algorithm",
        ),
    ] {
        let mut certificates = good(false);
        certificates[2] = drafts[2].signed_as(&pairs[1], inner, outer);
        let error = verify(&certificates, None).unwrap_err();
        assert!(error.to_string().contains(class), "{error} is not {class}");
    }
    // An Ed25519 key's bytes under another algorithm's name.
    let x448 = der(0x30, &[b"\x30\x05\x06\x03\x2B\x65\x6F", &der(3, &[&[0], &[7; 32]])]);
    assert_refused(changed(3, |draft| draft.key = x448), Error::Unsupported, "another kind");
    let compressed = der(
        0x30,
        &[
            b"\x30\x13\x06\x07\x2A\x86\x48\xCE\x3D\x02\x01\x06\x08\x2A\x86\x48\xCE\x3D\x03\x01\x07",
            &der(3, &[&[0, 2], &[7; 32]]),
        ],
    );
    assert_refused(changed(3, |draft| draft.key = compressed), Error::Unsupported, "compressed");
    let weak = der(0x30, &[ED25519, &der(3, &[&[0, 1], &[0; 31]])]);
    assert_refused(changed(3, |draft| draft.key = weak), Error::Misbehaved, "anybody");
    let short = der(0x30, &[ED25519, &der(3, &[&[0], &[7; 31]])]);
    assert_refused(changed(3, |draft| draft.key = short), Error::Malformed, "another length");
}

#[test]
fn measurements_are_one_profiles_and_in_order() {
    assert_refused(changed(2, with(open_input(1))), Error::Misbehaved, "in two ways");
    assert_refused(changed(2, |draft| draft.extensions[2] = open_input(1)), Error::Misbehaved, "");
    assert_refused(changed(2, |draft| draft.extensions[2] = tcb_info(0, 2, &[0])), Error::Misbehaved, "out of order");
    for (flags, expected) in [([4, 0x10], Mode::Debug), ([5, 0x20], Mode::Recovery), ([7, 0x80], Mode::NotConfigured)] {
        let chain = changed(2, |draft| draft.extensions[2] = tcb_info(2, 2, &flags)).unwrap();
        assert_eq!(chain.layers[1].mode, expected);
    }
    let nothing = [1, 2, 3];
    let pairs = pairs(false);
    let mut drafts = drafts(&pairs);
    for number in nothing {
        drafts[number].extensions.truncate(2);
    }
    assert_refused(verify(&sign(&pairs, &drafts), None), Error::Misbehaved, "without a layer");
    let broken = extension(TCB_INFO, true, b"\x30\x03\x83\x02\x00");
    assert_refused(changed(2, |draft| draft.extensions[2] = broken), Error::Malformed, "");
}

#[test]
fn a_chain_names_one_device() {
    let ueid = |last: u8| extension(UEID, false, &der(0x30, &[&der(4, &[&[1; 16], &[last]])]));
    let pairs = pairs(false);
    let named = |numbers: [u8; 2]| {
        let mut drafts = drafts(&pairs);
        drafts[1].extensions.push(ueid(numbers[0]));
        drafts[3].extensions.push(ueid(numbers[1]));
        verify(&sign(&pairs, &drafts), None)
    };
    assert!(named([1, 1]).is_ok());
    assert_refused(named([1, 2]), Error::Misbehaved, "two devices");
    let short = extension(UEID, false, b"\x30\x03\x04\x01\x01");
    assert_refused(changed(3, with(short)), Error::Malformed, "UEID");
    let key = |name: &[u8], text: &str| {
        let value = if name == SUBJECT_KEY_ID {
            der(4, &[text.as_bytes()])
        } else {
            der(0x30, &[&der(0x80, &[text.as_bytes()])])
        };
        extension(name, false, &value)
    };
    let identified = |subject: &str, authority: &str| {
        let mut drafts = drafts(&pairs);
        drafts[1].extensions.push(key(SUBJECT_KEY_ID, subject));
        drafts[2].extensions.push(key(AUTHORITY_KEY_ID, authority));
        verify(&sign(&pairs, &drafts), None)
    };
    assert!(identified("a", "a").is_ok());
    assert_refused(identified("a", "b"), Error::Misbehaved, "names another key");
}

/// Root, two layers, and every key an authority.
fn open_chain(change: impl FnOnce(&mut [Draft; 3])) -> Result<Chain, Error> {
    let pairs = pairs(true);
    let keys = pairs.each_ref().map(Pair::public);
    let mut drafts = [
        Draft::authority(&keys[0], &keys[0], vec![]),
        Draft::authority(&keys[0], &keys[1], vec![open_input(1)]),
        Draft::authority(&keys[1], &keys[2], vec![open_input(2)]),
    ];
    change(&mut drafts);
    let certificates: Vec<_> =
        drafts.iter().enumerate().map(|(index, draft)| draft.signed(&pairs[index.saturating_sub(1)])).collect();
    verify(&certificates, None)
}

#[test]
fn the_open_profiles_layers_are_all_there() {
    let chain = open_chain(|_| {}).unwrap();
    assert_eq!((chain.profile, chain.layers.len()), (Profile::OpenDiceX509, 2));
    assert_eq!(chain.layers[1].digests[0].bytes, [2; 64]);
    let unmeasured = open_chain(|drafts| drafts[1].extensions.truncate(2));
    assert_refused(unmeasured, Error::Misbehaved, "not one of a layer");
    let measured_root = open_chain(|drafts| drafts[0].extensions.push(open_input(9)));
    assert_refused(measured_root, Error::Misbehaved, "measures itself");
    let signer = open_chain(|drafts| drafts[2].extensions[1] = extension(KEY_USAGE, true, SIGNS));
    assert_refused(signer, Error::Misbehaved, "another use");
    let mixed = open_chain(|drafts| drafts[2].extensions[2] = tcb_info(2, 2, &[0]));
    assert_refused(mixed, Error::Misbehaved, "not one of a layer");
}

#[test]
fn the_open_profiles_inputs_are_all_there() {
    let octets = |number: u8, bytes: &[u8]| der(0xA0 | number, &[&der(4, &[bytes])]);
    let mode = der(0xA6, &[&[0x0A, 1, 1]]);
    let members = [octets(0, &[1; 64]), octets(3, &[2; 64]), octets(4, &[3; 64]), mode];
    let input = |members: &[Vec<u8>]| extension(OPEN_DICE, true, &der(0x30, &[&members.concat()]));
    let outcome = |members: &[Vec<u8>]| open_chain(|drafts| drafts[2].extensions[2] = input(members));
    assert!(outcome(&members).is_ok());
    for missing in 0..members.len() {
        let mut fewer = members.to_vec();
        fewer.remove(missing);
        assert_refused(outcome(&fewer), Error::Malformed, "member missing");
    }
    let mut more = members.to_vec();
    more.insert(1, octets(2, &[7; 64]));
    assert_refused(outcome(&more), Error::Misbehaved, "configuration");
    more[1] = octets(2, &(RUSTCRYPTO.sha512)(&[&[2; 64]]));
    assert!(outcome(&more).is_ok());
    more.push(der(0xA7, &[&der(0x0C, &[b"other"])]));
    assert_refused(outcome(&more), Error::Unsupported, "profile");
    let mut number = members.to_vec();
    number[3] = der(0xA6, &[&[2, 1, 2]]);
    assert_eq!(outcome(&number).unwrap().layers[1].mode, Mode::Debug);
    number[3] = der(0xA6, &[&[1, 1, 0xFF]]);
    assert_refused(outcome(&number), Error::Malformed, "mode");
}

#[test]
fn a_chain_that_turns_round_is_refused() {
    let [first, second] = [1, 2].map(|number| Pair::new(number, false));
    let [one, other] = [first.public(), second.public()];
    let layer = |number: u8| vec![tcb_info(number, number, &[0])];
    let round = [
        Draft::authority(&one, &one, vec![]).signed(&first),
        Draft::authority(&one, &other, layer(1)).signed(&first),
        Draft::authority(&other, &one, layer(2)).signed(&second),
    ];
    assert_refused(verify(&round, None), Error::Misbehaved, "same key twice");
    assert_ne!(key_id(&one), key_id(&other));
}

#[test]
fn random_bytes_are_refused() {
    let good = good(true);
    let mut seed = 7_u64;
    let mut random = || {
        seed = seed.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (seed >> 33) as usize
    };
    for _ in 0..4000 {
        let mut certificates = good.clone();
        let bytes = &mut certificates[random() % 4];
        bytes.truncate(random() % (bytes.len() + 1));
        for _ in 0..=random() % 8 {
            let at = random() % bytes.len().max(1);
            if let Some(byte) = bytes.get_mut(at) {
                *byte = random() as u8;
            }
        }
        assert!(certificates == good || verify(&certificates, None).is_err());
    }
    assert!(verify(&good, None).is_ok());
}
