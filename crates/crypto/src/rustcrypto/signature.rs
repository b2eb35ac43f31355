//! ECDSA on P-256 and Ed25519.

use ed25519_dalek::{Signer, SigningKey as EdSigningKey, VerifyingKey as EdVerifyingKey};
use p256::ecdsa::signature::hazmat::RandomizedPrehashSigner;
use p256::ecdsa::{DerSignature, SigningKey, VerifyingKey, signature::Verifier};
use p256::elliptic_curve::rand_core::{TryCryptoRng, TryRng};

use crate::{Forged, PublicShare, Random, Secret, Signature, SignatureAlgorithm};

pub(super) const ECDSA_P256_SHA256: SignatureAlgorithm =
    SignatureAlgorithm { public: p256_public, sign: p256_sign, verify: p256_verify };

pub(super) const ED25519: SignatureAlgorithm =
    SignatureAlgorithm { public: ed25519_public, sign: ed25519_sign, verify: ed25519_verify };

fn p256_public(private: &Secret<32>) -> Option<PublicShare> {
    let key = SigningKey::from_slice(private.expose()).ok()?;
    Some(PublicShare::new(key.verifying_key().to_sec1_point(false).as_bytes()))
}

/// RFC 6979 with added randomness (its section 3.6): neither a weak source nor a repeated message gives the key away.
fn p256_sign(private: &Secret<32>, random: &mut dyn Random, message: &[u8]) -> Option<Signature> {
    let key = SigningKey::from_slice(private.expose()).ok()?;
    let digest = (super::RUSTCRYPTO.sha256)(&[message]);
    let signature: DerSignature = key.sign_prehash_with_rng(&mut Source(random), &digest).ok()?;
    Signature::new(signature.as_bytes())
}

fn p256_verify(public: &[u8], message: &[u8], signature: &[u8]) -> Result<(), Forged> {
    // RFC 5480 section 2.2: the uncompressed form is the one that every implementation has.
    if public.len() != 65 || public.first() != Some(&4) {
        return Err(Forged);
    }
    let key = VerifyingKey::from_sec1_bytes(public).map_err(|_| Forged)?;
    let signature = DerSignature::from_bytes(signature).map_err(|_| Forged)?;
    key.verify(message, &signature).map_err(|_| Forged)
}

fn ed25519_public(private: &Secret<32>) -> Option<PublicShare> {
    Some(PublicShare::new(EdSigningKey::from_bytes(private.expose()).verifying_key().as_bytes()))
}

fn ed25519_sign(private: &Secret<32>, _random: &mut dyn Random, message: &[u8]) -> Option<Signature> {
    let signature = EdSigningKey::from_bytes(private.expose()).try_sign(message).ok()?;
    Signature::new(&signature.to_bytes())
}

fn ed25519_verify(public: &[u8], message: &[u8], signature: &[u8]) -> Result<(), Forged> {
    let key = EdVerifyingKey::from_bytes(public.try_into().map_err(|_| Forged)?).map_err(|_| Forged)?;
    let signature = ed25519_dalek::Signature::from_slice(signature).map_err(|_| Forged)?;
    key.verify_strict(message, &signature).map_err(|_| Forged)
}

/// The caller's randomness in the shape that the signer asks for.
struct Source<'a>(&'a mut dyn Random);

impl TryRng for Source<'_> {
    type Error = core::convert::Infallible;

    fn try_next_u32(&mut self) -> Result<u32, Self::Error> {
        let mut bytes = [0; 4];
        self.0.fill(&mut bytes);
        Ok(u32::from_le_bytes(bytes))
    }

    fn try_next_u64(&mut self) -> Result<u64, Self::Error> {
        let mut bytes = [0; 8];
        self.0.fill(&mut bytes);
        Ok(u64::from_le_bytes(bytes))
    }

    fn try_fill_bytes(&mut self, out: &mut [u8]) -> Result<(), Self::Error> {
        self.0.fill(out);
        Ok(())
    }
}

impl TryCryptoRng for Source<'_> {}
