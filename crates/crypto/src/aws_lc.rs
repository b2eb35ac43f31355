//! AWS-LC: what servers link. It has no AES-CCM, which comes from RustCrypto.

use aws_lc_rs::{aead, agreement, digest, hmac};

use crate::rustcrypto::AES_128_CCM_8;
use crate::{Aead, Forged, KeyAgreement, KeyPair, Provider, PublicShare, Random, Secret};

/// AWS-LC where it has the primitive, RustCrypto for AES-CCM.
pub static AWS_LC: Provider = Provider {
    name: "aws-lc",
    sha256,
    hmac_sha256,
    aes_128_ccm_8: AES_128_CCM_8,
    aes_128_gcm: Aead {
        key_len: 16,
        tag_len: 16,
        seal: |key, nonce, aad, buffer| seal(&aead::AES_128_GCM, key, nonce, aad, buffer),
        open: |key, nonce, aad, buffer| open(&aead::AES_128_GCM, key, nonce, aad, buffer),
    },
    chacha20_poly1305: Aead {
        key_len: 32,
        tag_len: 16,
        seal: |key, nonce, aad, buffer| seal(&aead::CHACHA20_POLY1305, key, nonce, aad, buffer),
        open: |key, nonce, aad, buffer| open(&aead::CHACHA20_POLY1305, key, nonce, aad, buffer),
    },
    x25519: KeyAgreement {
        public_len: 32,
        generate: |random| generate(&agreement::X25519, random),
        agree: |private, peer| agree(&agreement::X25519, private, peer),
    },
    secp256r1: KeyAgreement {
        public_len: 65,
        generate: |random| generate(&agreement::ECDH_P256, random),
        agree: p256_agree,
    },
};

fn sha256(parts: &[&[u8]]) -> [u8; 32] {
    let mut context = digest::Context::new(&digest::SHA256);
    for part in parts {
        context.update(part);
    }
    copied(context.finish().as_ref())
}

fn hmac_sha256(key: &[u8], parts: &[&[u8]]) -> [u8; 32] {
    let mut context = hmac::Context::with_key(&hmac::Key::new(hmac::HMAC_SHA256, key));
    for part in parts {
        context.update(part);
    }
    copied(context.sign().as_ref())
}

fn copied(digest: &[u8]) -> [u8; 32] {
    digest.try_into().expect("invariant: SHA-256 has 32 bytes")
}

fn key_of(algorithm: &'static aead::Algorithm, key: &[u8]) -> Option<aead::LessSafeKey> {
    Some(aead::LessSafeKey::new(aead::UnboundKey::new(algorithm, key).ok()?))
}

fn seal(
    algorithm: &'static aead::Algorithm,
    key: &[u8],
    nonce: &[u8; 12],
    aad: &[u8],
    buffer: &mut [u8],
) -> Option<()> {
    let nonce = aead::Nonce::assume_unique_for_key(*nonce);
    let (body, space) = buffer.split_last_chunk_mut::<16>()?;
    let tag = key_of(algorithm, key)?.seal_in_place_separate_tag(nonce, aead::Aad::from(aad), body).ok()?;
    space.copy_from_slice(tag.as_ref());
    Some(())
}

fn open(
    algorithm: &'static aead::Algorithm,
    key: &[u8],
    nonce: &[u8; 12],
    aad: &[u8],
    buffer: &mut [u8],
) -> Result<(), Forged> {
    let nonce = aead::Nonce::assume_unique_for_key(*nonce);
    key_of(algorithm, key)
        .ok_or(Forged)?
        .open_in_place(nonce, aead::Aad::from(aad), buffer)
        .map(|_| ())
        .map_err(|_| Forged)
}

/// Draws until the number is a private key of the group: all but one in 2^32 draws are.
fn generate(algorithm: &'static agreement::Algorithm, random: &mut dyn Random) -> KeyPair {
    loop {
        let mut private = Secret::new([0; 32]);
        random.fill(private.expose_mut());
        let public = agreement::PrivateKey::from_private_key(algorithm, private.expose())
            .map_err(|_| ())
            .and_then(|key| key.compute_public_key().map_err(|_| ()));
        if let Ok(public) = public {
            let public = PublicShare::new(public.as_ref());
            return KeyPair { private, public };
        }
    }
}

fn p256_agree(private: &Secret<32>, peer: &[u8]) -> Option<Secret<32>> {
    // RFC 8422 section 5.4: the uncompressed form only.
    if peer.len() != 65 || peer.first() != Some(&4) {
        return None;
    }
    agree(&agreement::ECDH_P256, private, peer)
}

fn agree(algorithm: &'static agreement::Algorithm, private: &Secret<32>, peer: &[u8]) -> Option<Secret<32>> {
    let private = agreement::PrivateKey::from_private_key(algorithm, private.expose()).ok()?;
    let peer = agreement::UnparsedPublicKey::new(algorithm, peer);
    let shared = agreement::agree(&private, peer, (), |shared| shared.try_into().map(Secret::new).map_err(|_| ()));
    // RFC 7748 section 6.1: an all-zero secret means a share of small order.
    shared.ok().filter(|secret| *secret != Secret::new([0; 32]))
}
