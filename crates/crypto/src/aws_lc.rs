//! AWS-LC: what servers link. It has no AES-CCM, which comes from RustCrypto.

use aws_lc_rs::{aead, agreement, digest, hmac, kem, rand, signature};

use crate::ed25519::is_weak_ed25519;
use crate::limits::KEM_CIPHERTEXT_BYTES;
use crate::rustcrypto::{AES_128_CCM, AES_128_CCM_8, ML_KEM_768, aes_mask, chacha20_mask};
use crate::{
    Aead, Forged, Kem, KeyAgreement, KeyPair, Provider, PublicShare, Random, Secret, Signature, SignatureAlgorithm,
};

/// AWS-LC where it has the primitive, RustCrypto for AES-CCM, for single blocks, and for keys that are made from a
/// seed.
pub static AWS_LC: Provider = Provider {
    name: "aws-lc",
    sha256,
    hmac_sha256,
    sha384,
    hmac_sha384,
    sha512,
    hmac_sha512,
    aes_128_ccm_8: AES_128_CCM_8,
    aes_128_ccm: AES_128_CCM,
    aes_128_gcm: Aead {
        key_len: 16,
        tag_len: 16,
        seal: |key, nonce, aad, buffer| seal(&aead::AES_128_GCM, key, nonce, aad, buffer),
        open: |key, nonce, aad, buffer| open(&aead::AES_128_GCM, key, nonce, aad, buffer),
        mask: aes_mask::<aes::Aes128>,
    },
    aes_256_gcm: Aead {
        key_len: 32,
        tag_len: 16,
        seal: |key, nonce, aad, buffer| seal(&aead::AES_256_GCM, key, nonce, aad, buffer),
        open: |key, nonce, aad, buffer| open(&aead::AES_256_GCM, key, nonce, aad, buffer),
        mask: aes_mask::<aes::Aes256>,
    },
    chacha20_poly1305: Aead {
        key_len: 32,
        tag_len: 16,
        seal: |key, nonce, aad, buffer| seal(&aead::CHACHA20_POLY1305, key, nonce, aad, buffer),
        open: |key, nonce, aad, buffer| open(&aead::CHACHA20_POLY1305, key, nonce, aad, buffer),
        mask: chacha20_mask,
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
    ml_kem_768: Kem { generate: ML_KEM_768.generate, encapsulate, decapsulate: ML_KEM_768.decapsulate },
    ecdsa_p256_sha256: SignatureAlgorithm { public: p256_public, sign: p256_sign, verify: p256_verify },
    ecdsa_p384_sha384_verify: p384_verify,
    ed25519: SignatureAlgorithm { public: ed25519_public, sign: ed25519_sign, verify: ed25519_verify },
};

/// SHA-1 over the concatenation of the parts, by which OCSP names authorities (RFC 5019 section 2.1.1). It protects
/// nothing there, and is for nothing else.
#[must_use]
pub fn sha1_name(parts: &[&[u8]]) -> [u8; 20] {
    let mut hash = digest::Context::new(&digest::SHA1_FOR_LEGACY_USE_ONLY);
    parts.iter().for_each(|part| hash.update(part));
    copied(hash.finish().as_ref())
}

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

fn sha384(parts: &[&[u8]]) -> [u8; 48] {
    let mut context = digest::Context::new(&digest::SHA384);
    for part in parts {
        context.update(part);
    }
    copied(context.finish().as_ref())
}

fn hmac_sha384(key: &[u8], parts: &[&[u8]]) -> [u8; 48] {
    let mut context = hmac::Context::with_key(&hmac::Key::new(hmac::HMAC_SHA384, key));
    for part in parts {
        context.update(part);
    }
    copied(context.sign().as_ref())
}

fn sha512(parts: &[&[u8]]) -> [u8; 64] {
    let mut context = digest::Context::new(&digest::SHA512);
    for part in parts {
        context.update(part);
    }
    copied(context.finish().as_ref())
}

fn hmac_sha512(key: &[u8], parts: &[&[u8]]) -> [u8; 64] {
    let mut context = hmac::Context::with_key(&hmac::Key::new(hmac::HMAC_SHA512, key));
    for part in parts {
        context.update(part);
    }
    copied(context.sign().as_ref())
}

fn copied<const N: usize>(digest: &[u8]) -> [u8; N] {
    digest.try_into().expect("invariant: the hash has its length")
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

fn encapsulate(_random: &mut dyn Random, public: &[u8]) -> Option<([u8; KEM_CIPHERTEXT_BYTES], Secret<32>)> {
    let key = kem::EncapsulationKey::new(&kem::ML_KEM_768, public).ok()?;
    let (ciphertext, shared) = key.encapsulate().ok()?;
    Some((ciphertext.as_ref().try_into().ok()?, Secret::new(shared.as_ref().try_into().ok()?)))
}

fn p256_public(private: &Secret<32>) -> Option<PublicShare> {
    let key = agreement::PrivateKey::from_private_key(&agreement::ECDH_P256, private.expose()).ok()?;
    Some(PublicShare::new(key.compute_public_key().ok()?.as_ref()))
}

fn p256_sign(private: &Secret<32>, _random: &mut dyn Random, message: &[u8]) -> Option<Signature> {
    let algorithm = &signature::ECDSA_P256_SHA256_ASN1_SIGNING;
    let public = p256_public(private)?;
    let key = signature::EcdsaKeyPair::from_private_key_and_public_key(algorithm, private.expose(), public.as_slice())
        .ok()?;
    Signature::new(key.sign(&rand::SystemRandom::new(), message).ok()?.as_ref())
}

fn p256_verify(public: &[u8], message: &[u8], signature: &[u8]) -> Result<(), Forged> {
    // RFC 5480 section 2.2: the uncompressed form is the one that every implementation has.
    if public.len() != 65 || public.first() != Some(&4) {
        return Err(Forged);
    }
    let key = signature::UnparsedPublicKey::new(&signature::ECDSA_P256_SHA256_ASN1, public);
    key.verify(message, signature).map_err(|_| Forged)
}

fn p384_verify(public: &[u8], message: &[u8], signature: &[u8]) -> Result<(), Forged> {
    if public.len() != 97 || public.first() != Some(&4) {
        return Err(Forged);
    }
    let key = signature::UnparsedPublicKey::new(&signature::ECDSA_P384_SHA384_ASN1, public);
    key.verify(message, signature).map_err(|_| Forged)
}

fn ed25519_public(private: &Secret<32>) -> Option<PublicShare> {
    use signature::KeyPair as _;
    let key = signature::Ed25519KeyPair::from_seed_unchecked(private.expose()).ok()?;
    Some(PublicShare::new(key.public_key().as_ref()))
}

fn ed25519_sign(private: &Secret<32>, _random: &mut dyn Random, message: &[u8]) -> Option<Signature> {
    let key = signature::Ed25519KeyPair::from_seed_unchecked(private.expose()).ok()?;
    Signature::new(key.try_sign(message).ok()?.as_ref())
}

/// AWS-LC believes keys of small order and such an R, which a strict verification does not.
fn ed25519_verify(public: &[u8], message: &[u8], signature: &[u8]) -> Result<(), Forged> {
    let points = [Some(public), signature.get(..32)];
    if points.iter().any(|point| point.and_then(|point| point.try_into().ok()).is_none_or(is_weak_ed25519)) {
        return Err(Forged);
    }
    signature::UnparsedPublicKey::new(&signature::ED25519, public).verify(message, signature).map_err(|_| Forged)
}
