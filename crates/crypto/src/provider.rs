//! What a provider is: every primitive by name, so that an audit can take one apart field by field.

use crate::limits::PUBLIC_SHARE_BYTES_MAX;
use crate::{Random, Secret};

/// A set of primitives. Passed explicitly, compared with others in tests, never looked up globally.
pub struct Provider {
    /// Which implementation this is, for logs and reports.
    pub name: &'static str,
    /// SHA-256 over the concatenation of the parts.
    pub sha256: fn(parts: &[&[u8]]) -> [u8; 32],
    /// HMAC-SHA-256 (RFC 2104) over the concatenation of the parts. Keys of any length.
    pub hmac_sha256: fn(key: &[u8], parts: &[&[u8]]) -> [u8; 32],
    /// AES-128-CCM with an 8-byte tag (RFC 6655).
    pub aes_128_ccm_8: Aead,
    /// AES-128-GCM (RFC 5288).
    pub aes_128_gcm: Aead,
    /// ChaCha20-Poly1305 (RFC 8439).
    pub chacha20_poly1305: Aead,
    /// X25519 (RFC 7748).
    pub x25519: KeyAgreement,
    /// ECDH on P-256, public shares as uncompressed points (RFC 8422).
    pub secp256r1: KeyAgreement,
}

impl core::fmt::Debug for Provider {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        write!(f, "Provider({})", self.name)
    }
}

/// An authenticated cipher with a 12-byte nonce, working in place.
#[derive(Clone, Copy)]
pub struct Aead {
    /// Key length in bytes; [`Self::seal`] and [`Self::open`] fail on any other.
    pub key_len: usize,
    /// Tag length in bytes.
    pub tag_len: usize,
    /// Encrypts all but the last `tag_len` bytes of `buffer` and writes the tag there. `None` if the key has
    /// another length or the buffer cannot hold a tag.
    pub seal: Seal,
    /// Checks and decrypts `buffer` (ciphertext, then tag) in place; the plaintext is all but the last `tag_len`
    /// bytes. After an error the buffer's content means nothing.
    pub open: Open,
}

/// See [`Aead::seal`].
pub type Seal = fn(key: &[u8], nonce: &[u8; 12], aad: &[u8], buffer: &mut [u8]) -> Option<()>;
/// See [`Aead::open`].
pub type Open = fn(key: &[u8], nonce: &[u8; 12], aad: &[u8], buffer: &mut [u8]) -> Result<(), Forged>;

/// The tag does not belong to this key, nonce, additional data and ciphertext.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Forged;

impl core::fmt::Display for Forged {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        f.write_str("the authentication tag does not match")
    }
}

impl core::error::Error for Forged {}

/// An ephemeral Diffie-Hellman key agreement.
#[derive(Clone, Copy)]
pub struct KeyAgreement {
    /// Length of a public share in bytes.
    pub public_len: usize,
    /// Makes a fresh key pair.
    pub generate: fn(random: &mut dyn Random) -> KeyPair,
    /// The shared secret, or `None` if the peer's share is not a valid one (wrong length, not on the curve, or of
    /// small order, which would make the secret public).
    pub agree: fn(private: &Secret<32>, peer: &[u8]) -> Option<Secret<32>>,
}

/// A private key with the share that the peer gets.
#[derive(Debug)]
pub struct KeyPair {
    pub private: Secret<32>,
    pub public: PublicShare,
}

/// A public share in its wire form.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct PublicShare {
    bytes: [u8; PUBLIC_SHARE_BYTES_MAX],
    length: u8,
}

impl PublicShare {
    /// Copies `bytes`, of which at most [`PUBLIC_SHARE_BYTES_MAX`] count.
    #[must_use]
    pub fn new(bytes: &[u8]) -> Self {
        let mut share = Self { bytes: [0; PUBLIC_SHARE_BYTES_MAX], length: 0 };
        for (to, from) in share.bytes.iter_mut().zip(bytes) {
            *to = *from;
            share.length += 1;
        }
        share
    }

    #[must_use]
    pub fn as_slice(&self) -> &[u8] {
        self.bytes.get(..usize::from(self.length)).unwrap_or_default()
    }
}
