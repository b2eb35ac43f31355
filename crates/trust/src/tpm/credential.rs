//! Credentials that only one TPM can open, and only for one key of it (Part 1 section 24).
//!
//! The secret inside proves two things at once: who opens it holds the private endorsement key, and a key of this very
//! name is loaded beside it.

use alloc::vec::Vec;

use bartizan_crypto::{Aes128Block, Provider, Random, Secret};

use super::public::{Name, Public};
use crate::Error;

/// Length of the secret in a credential: the longest that a TPM takes under names by SHA-256.
pub const CREDENTIAL_BYTES: usize = 32;

/// What TPM2_ActivateCredential takes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Credential {
    /// TPMS_ID_OBJECT (Part 2 section 12.4.2): the integrity HMAC with its size, and the identity encrypted.
    pub object: Vec<u8>,
    /// TPMS_ECC_POINT: the public half of the key that the seed was agreed with.
    pub secret: Vec<u8>,
}

impl Credential {
    /// Protects `secret` for the TPM of `endorsement` if it has loaded the key called `name`.
    ///
    /// # Errors
    /// `Misbehaved` or `Unsupported` if no credential can be made under this key, `Unavailable` without P-256.
    pub fn make(
        provider: &Provider,
        random: &mut dyn Random,
        endorsement: &Public,
        name: &Name,
        secret: &Secret<CREDENTIAL_BYTES>,
    ) -> Result<Self, Error> {
        endorsement.check_endorsement_key()?;
        if provider.secp256r1.is_none() {
            return Err(Error::Unavailable("no key agreement on P-256"));
        }
        let pair = (provider.secp256r1.generate)(random);
        let shared = (provider.secp256r1.agree)(&pair.private, &endorsement.point);
        let shared = shared.ok_or(Error::Misbehaved("an endorsement key that is no point of its curve"))?;
        let [x, y] = coordinates(pair.public.as_slice()).ok_or(Error::Unavailable("no key agreement on P-256"))?;
        let [own_x, _] = coordinates(&endorsement.point).ok_or(Error::Malformed("no point"))?;
        let seed = kdf_e(provider, &shared, b"IDENTITY\0", x, own_x);
        let object = protect(provider, &seed, name, secret);
        Ok(Self { object, secret: [sized(x), sized(y)].concat() })
    }
}

/// Encrypts, then authenticates (Part 1 sections 24.4 and 24.5).
fn protect(provider: &Provider, seed: &Secret<32>, name: &Name, secret: &Secret<CREDENTIAL_BYTES>) -> Vec<u8> {
    let storage = kdf_a(provider, seed, b"STORAGE\0", name.as_slice(), 128);
    let mut identity = sized(secret.expose());
    encrypt_cfb(&storage, &mut identity);
    let integrity = kdf_a(provider, seed, b"INTEGRITY\0", b"", 256);
    let mac = (provider.hmac_sha256)(integrity.expose(), &[&identity, name.as_slice()]);
    [sized(&mac), identity].concat()
}

/// KDFe with SHA-256 (Part 1 section 11.4.10.3), for which one round is enough.
fn kdf_e(provider: &Provider, shared: &Secret<32>, label: &[u8], x: &[u8], own_x: &[u8]) -> Secret<32> {
    Secret::new((provider.sha256)(&[&1u32.to_be_bytes(), shared.expose(), label, x, own_x]))
}

/// KDFa with SHA-256 (section 11.4.10.2), for which one round is enough: up to 256 bits.
fn kdf_a(provider: &Provider, seed: &Secret<32>, label: &[u8], context: &[u8], bits: u32) -> Secret<32> {
    let parts: [&[u8]; 4] = [&1u32.to_be_bytes(), label, context, &bits.to_be_bytes()];
    Secret::new((provider.hmac_sha256)(seed.expose(), &parts))
}

/// AES-128-CFB (NIST SP 800-38A) under the first half of `key`, from zero: the key is used once.
fn encrypt_cfb(key: &Secret<32>, bytes: &mut [u8]) {
    let Some(key) = key.expose().first_chunk::<16>() else { return };
    let cipher = Aes128Block::new(key);
    let mut feedback = [0; 16];
    for chunk in bytes.chunks_mut(16) {
        cipher.encrypt(&mut feedback);
        chunk.iter_mut().zip(&mut feedback).for_each(|(byte, mask)| {
            *byte ^= *mask;
            *mask = *byte;
        });
    }
}

fn coordinates(point: &[u8]) -> Option<[&[u8]; 2]> {
    let (x, y) = point.strip_prefix(&[4])?.split_at_checked(32)?;
    Some([x, y])
}

/// A TPM2B; nothing here is longer than a hash.
fn sized(bytes: &[u8]) -> Vec<u8> {
    let length = u16::try_from(bytes.len()).unwrap_or(u16::MAX);
    [&length.to_be_bytes(), bytes].concat()
}
