//! Secrets at rest: PSKs in the registry, sessions in the journal.
//!
//! AES-256-GCM-SIV (RFC 8452): a journal is rewritten for ever under one key, and a nonce that a restored
//! machine image draws twice must cost no more than telling equal plaintexts apart.
//! Layout: version byte, 12-byte nonce, ciphertext, 16-byte tag.

use alloc::vec::Vec;

use aws_lc_rs::{aead, hmac};

use crate::limits::AT_REST_BYTES_MAX;
use crate::{Random, Secret};

const VERSION: u8 = 1;
const NONCE: usize = 12;
const TAG: usize = 16;

/// How many bytes sealing adds.
pub const OVERHEAD: usize = 1 + NONCE + TAG;

/// A 256-bit key for data at rest.
#[derive(Clone, Debug)]
pub struct Key(Secret<32>);

impl Key {
    #[must_use]
    pub const fn from_bytes(bytes: [u8; 32]) -> Self {
        Self(Secret::new(bytes))
    }

    /// Draws a fresh key.
    #[must_use]
    pub fn generate(random: &mut dyn Random) -> Self {
        let mut key = Secret::new([0; 32]);
        random.fill(key.expose_mut());
        Self(key)
    }

    /// A key for one purpose, so that a value sealed for one can never be opened as another.
    #[must_use]
    pub fn derive(&self, purpose: &str) -> Self {
        let key = hmac::Key::new(hmac::HMAC_SHA256, self.0.expose());
        let tag = hmac::sign(&key, purpose.as_bytes());
        let bytes = tag.as_ref().try_into();
        Self(Secret::new(bytes.expect("invariant: HMAC-SHA-256 has 32 bytes")))
    }

    /// The key's bytes, to be written to a key file.
    #[must_use]
    pub const fn expose(&self) -> &[u8; 32] {
        self.0.expose()
    }

    fn cipher(&self) -> aead::LessSafeKey {
        let key = aead::UnboundKey::new(&aead::AES_256_GCM_SIV, self.0.expose());
        aead::LessSafeKey::new(key.expect("invariant: the key has 32 bytes"))
    }
}

/// Appends `plain` sealed to `out`. `aad` binds it to its place (table, row) and is needed to open it.
///
/// # Panics
/// If `plain` is longer than [`AT_REST_BYTES_MAX`].
pub fn seal(key: &Key, random: &mut dyn Random, aad: &[u8], plain: &[u8], out: &mut Vec<u8>) {
    assert!(plain.len() <= AT_REST_BYTES_MAX, "too long to be sealed");
    let mut nonce = [0; NONCE];
    random.fill(&mut nonce);
    out.reserve(plain.len() + OVERHEAD);
    out.push(VERSION);
    out.extend_from_slice(&nonce);
    let start = out.len();
    out.extend_from_slice(plain);
    let nonce = aead::Nonce::assume_unique_for_key(nonce);
    let body = out.get_mut(start..).unwrap_or_default();
    let tag = key
        .cipher()
        .seal_in_place_separate_tag(nonce, aead::Aad::from(aad), body)
        .expect("invariant: the length is within the cipher's");
    out.extend_from_slice(tag.as_ref());
}

/// The plaintext, or `None` if `sealed` is not what [`seal`] made with this key and `aad`.
#[must_use]
pub fn open(key: &Key, aad: &[u8], sealed: &[u8]) -> Option<Vec<u8>> {
    let (&version, rest) = sealed.split_first()?;
    let (nonce, body) = rest.split_first_chunk::<NONCE>()?;
    if version != VERSION || body.len() > AT_REST_BYTES_MAX + TAG {
        return None;
    }
    let mut buffer = Vec::new();
    buffer.try_reserve_exact(body.len()).ok()?;
    buffer.extend_from_slice(body);
    let nonce = aead::Nonce::assume_unique_for_key(*nonce);
    let length = key.cipher().open_in_place(nonce, aead::Aad::from(aad), &mut buffer).ok()?.len();
    buffer.truncate(length);
    Some(buffer)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn counting() -> impl FnMut(&mut [u8]) {
        let mut next = 0_u8;
        move |out: &mut [u8]| {
            for byte in out {
                *byte = next;
                next = next.wrapping_add(1);
            }
        }
    }

    fn sealed(aad: &[u8], plain: &[u8]) -> (Key, Vec<u8>) {
        let mut random = counting();
        let key = Key::generate(&mut random);
        let mut out = Vec::new();
        seal(&key, &mut random, aad, plain, &mut out);
        (key, out)
    }

    #[test]
    fn opens_what_it_sealed() {
        let (key, value) = sealed(b"psk:7", b"secret");
        assert_eq!(value.len(), 6 + OVERHEAD);
        assert_eq!(open(&key, b"psk:7", &value).unwrap(), b"secret");
    }

    #[test]
    fn another_place_purpose_or_bit_does_not_open() {
        let (key, value) = sealed(b"psk:7", b"secret");
        assert_eq!(open(&key, b"psk:8", &value), None);
        assert_eq!(open(&key.derive("journal"), b"psk:7", &value), None);
        for bit in 0..value.len() * 8 {
            let mut changed = value.clone();
            changed[bit / 8] ^= 1 << (bit % 8);
            assert_eq!(open(&key, b"psk:7", &changed), None, "bit {bit}");
        }
        for length in 0..value.len() {
            assert_eq!(open(&key, b"psk:7", &value[..length]), None);
        }
    }

    #[test]
    fn purposes_have_their_own_keys() {
        let key = Key::from_bytes([7; 32]);
        assert_ne!(key.derive("a").expose(), key.derive("b").expose());
        assert_eq!(key.derive("a").expose(), key.derive("a").expose());
    }

    /// RFC 8452 appendix C.2: AEAD_AES_256_GCM_SIV, 8-byte plaintext without additional data.
    #[test]
    fn matches_rfc_8452() {
        let mut bytes = [0; 32];
        bytes[0] = 1;
        let mut nonce = [0; 12];
        nonce[0] = 3;
        let mut out = Vec::new();
        let mut random = |out: &mut [u8]| out.copy_from_slice(&nonce);
        let plain = [1, 0, 0, 0, 0, 0, 0, 0];
        seal(&Key::from_bytes(bytes), &mut random, b"", &plain, &mut out);
        let expected = [
            0xc2, 0xef, 0x32, 0x8e, 0x5c, 0x71, 0xc8, 0x3b, 0x84, 0x31, 0x22, 0x13, 0x0f, 0x73, 0x64, 0xb7, 0x61, 0xe0,
            0xb9, 0x74, 0x27, 0xe3, 0xdf, 0x28,
        ];
        assert_eq!(&out[13..], expected);
    }
}
