//! Tokens, wrappers and carried evidence, with signatures that anybody can forge.

use bartizan_crypto::INSECURE;
use bartizan_trust::cbor::Strict;
use bartizan_trust::cmw::{Cmw, Collection};
use bartizan_trust::eat::{self, Claims, Nonce};
use bartizan_trust::evidence::{self, Carried};
use bartizan_trust::{Identity, PublicKey, limits, psa};
use bartizan_wire::UnixMillis;
use minicbor::Encoder;

use crate::trust::{SIGNATURE, TO_MEMORY, cbor_seeds, encoded};

const NOW: UnixMillis = UnixMillis(1_790_000_000_000);

/// Carried evidence, and its parts by themselves.
pub fn carried(bytes: &[u8]) {
    if let Ok(carried) = Carried::read(bytes, NOW) {
        let _ = carried.chain_name(&INSECURE);
        assert!(limits::NONCE_BYTES.contains(&carried.nonce().challenge.len()));
        if let Ok(evidence) = evidence::open(&INSECURE, bytes, &|_| None, NOW) {
            assert_eq!(evidence.nonce, carried.nonce().challenge);
            assert_eq!(evidence.binding.as_ref(), carried.nonce().binding);
        }
    }
    let Ok(item) = Strict::new(bytes) else { return };
    if let Ok(claims) = Claims::read(item) {
        let again = written(&claims);
        assert_eq!(Strict::new(&again).and_then(Claims::read), Ok(claims), "claims read again");
    }
    if let Ok(Cmw::Collection(collection)) = Cmw::read(item) {
        walk(&collection, limits::COLLECTION_DEPTH_MAX);
        let _ = collection.fits_json();
    }
}

fn walk(collection: &Collection<'_>, depth: usize) {
    assert!(depth > 0, "deeper than the limit");
    assert!(collection.entries().count() > 0, "an empty collection");
    for (label, entry) in collection.entries() {
        assert_eq!(collection.under(label), Some(entry));
        if let Cmw::Collection(inner) = entry {
            walk(&inner, depth - 1);
        }
    }
}

/// A PSA token, and its claims by themselves.
pub fn psa_token(bytes: &[u8]) {
    if let Ok(item) = Strict::new(bytes) {
        let _ = psa::Claims::read(item);
    }
    let Ok(evidence) = psa::open(&INSECURE, bytes, &PublicKey::Ed25519([1; 32]), Identity([1; 32])) else { return };
    assert_eq!(evidence.identity, Identity([1; 32]), "an identity comes from outside");
    assert!(evidence.layers.len() <= limits::LAYERS_MAX && matches!(evidence.nonce.len(), 32 | 48 | 64));
}

fn written(claims: &Claims<'_>) -> Vec<u8> {
    encoded(|to| claims.write(to).expect("what was read can be written"))
}

/// `{1: -8}`, the headers given, the payload and the insecure signature.
fn sign1(unprotected: &[u8], payload: &[u8]) -> Vec<u8> {
    let front = encoded(|to| {
        to.array(4).and_then(|to| to.bytes(b"\xA1\x01\x27")).expect(TO_MEMORY);
    });
    let back = encoded(|to| {
        to.bytes(payload).and_then(|to| to.bytes(&SIGNATURE)).expect(TO_MEMORY);
    });
    [&front[..], unprotected, &back].concat()
}

#[must_use]
pub fn carried_seeds() -> Vec<Vec<u8>> {
    let claims = Claims {
        nonce: Some(Nonce { challenge: &[7; 16], binding: Some(&[9; 32]) }),
        profile: Some(eat::DICE_PROFILE),
        boot_count: Some(300),
        boot_seed: Some(&[3; 16]),
        software_version: Some(eat::SoftwareVersion { version: "1.2", scheme: Some(1) }),
        security_version: Some(2),
        security_floor: Some(1),
        ..Claims::default()
    };
    let claims = written(&claims);
    let chain = cbor_seeds().swap_remove(0);
    let full = sign1(&[b"\xA1\x3A\x00\x01\x11\x70", &chain[..]].concat(), &claims);
    assert!(evidence::open(&INSECURE, &full, &|_| None, NOW).is_ok());
    let brief = sign1(&[b"\xA1\x04\x58\x20", &[5; 32][..]].concat(), &claims);
    let wrapped = b"\xA2\x68__cmwc_t\x652.1.4\x61a\xA1\x20\x83\x19\x01\x07\x41\x07\x04".to_vec();
    vec![full, brief, claims, wrapped, b"\xDA\x63\x74\x02\x09\x45token".to_vec()]
}

#[must_use]
pub fn psa_seeds() -> Vec<Vec<u8>> {
    let new = [10, 256, 2394, 2395, 2396, 268, 2398, 2399, 265];
    let old = [-75008, -75009, -75001, -75002, -75003, -75004, -75005, -75006, -75000];
    [(new, psa::TFM_PROFILE), (old, "PSA_IOT_PROFILE_1")]
        .map(|(keys, profile)| {
            let token = [&[0xD2][..], &sign1(&[0xA0], &encoded(|to| put_psa(to, keys, profile)))].concat();
            psa::Token::read(&token).expect("a good token");
            token
        })
        .to_vec()
}

fn put_psa(to: &mut Encoder<&mut Vec<u8>>, keys: [i64; 9], profile: &str) {
    let [nonce, instance, client, lifecycle, implementation, seed, certification, components, profile_key] = keys;
    to.map(9)
        .and_then(|to| {
            to.i64(nonce)?.bytes(&[1; 32])?.i64(instance)?.bytes(&[1; 33])?.i64(client)?.i8(-1)?;
            to.i64(lifecycle)?.u16(0x3000)?.i64(implementation)?.bytes(&[1; 32])?.i64(seed)?.bytes(&[1; 32])?;
            to.i64(certification)?.str("1234567890123-12345")?.i64(components)?.array(1)?.map(5)?;
            to.u8(1)?.str("BL")?.u8(2)?.bytes(&[2; 32])?.u8(4)?.str("1.2")?.u8(5)?.bytes(&[5; 32])?;
            to.u8(6)?.str("sha-256")?.i64(profile_key)?.str(profile)
        })
        .expect(TO_MEMORY);
}
