//! What a provider is: every primitive by name, so that an audit can take one apart field by field.

use crate::limits::{KEM_CIPHERTEXT_BYTES, KEM_PUBLIC_BYTES, PUBLIC_SHARE_BYTES_MAX, SIGNATURE_BYTES_MAX};
use crate::{Random, Secret};

/// A set of primitives. Passed explicitly, compared with others in tests, never looked up globally.
pub struct Provider {
    /// Which implementation this is, for logs and reports.
    pub name: &'static str,
    /// SHA-256 over the concatenation of the parts.
    pub sha256: fn(parts: &[&[u8]]) -> [u8; 32],
    /// HMAC-SHA-256 (RFC 2104) over the concatenation of the parts. Keys of any length.
    pub hmac_sha256: fn(key: &[u8], parts: &[&[u8]]) -> [u8; 32],
    /// SHA-384 over the concatenation of the parts.
    pub sha384: fn(parts: &[&[u8]]) -> [u8; 48],
    /// HMAC-SHA-384 (RFC 2104) over the concatenation of the parts. Keys of any length.
    pub hmac_sha384: fn(key: &[u8], parts: &[&[u8]]) -> [u8; 48],
    /// SHA-512 over the concatenation of the parts.
    pub sha512: fn(parts: &[&[u8]]) -> [u8; 64],
    /// HMAC-SHA-512 (RFC 2104) over the concatenation of the parts. Keys of any length.
    pub hmac_sha512: fn(key: &[u8], parts: &[&[u8]]) -> [u8; 64],
    /// AES-128-CCM with an 8-byte tag (RFC 6655).
    pub aes_128_ccm_8: Aead,
    /// AES-128-CCM with a 16-byte tag (RFC 6655).
    pub aes_128_ccm: Aead,
    /// AES-128-GCM (RFC 5288).
    pub aes_128_gcm: Aead,
    /// AES-256-GCM (RFC 5288).
    pub aes_256_gcm: Aead,
    /// ChaCha20-Poly1305 (RFC 8439).
    pub chacha20_poly1305: Aead,
    /// X25519 (RFC 7748).
    pub x25519: KeyAgreement,
    /// ECDH on P-256, public shares as uncompressed points (RFC 8422).
    pub secp256r1: KeyAgreement,
    /// ML-KEM-768 (FIPS 203).
    pub ml_kem_768: Kem,
    /// ECDSA on P-256 with SHA-256 (FIPS 186-5): public keys as uncompressed points, signatures in DER (RFC 3279
    /// section 2.2.3).
    pub ecdsa_p256_sha256: SignatureAlgorithm,
    /// ECDSA on P-384 with SHA-384: verification only, for what others' hardware signed. Only the server's provider
    /// has it; the devices' believes nothing.
    pub ecdsa_p384_sha384_verify: Verify,
    /// Ed25519 (RFC 8032): public keys of 32 bytes, signatures of 64. Verification is strict.
    pub ed25519: SignatureAlgorithm,
}

impl Provider {
    /// This provider with only what a client needs that has a pre-shared key and the two AES-CCM ciphers. All else
    /// refuses, so that a linker leaves the code behind it out of a small device:
    ///
    /// ```
    /// use bartizan_crypto::{Provider, RUSTCRYPTO};
    ///
    /// static DEVICE: Provider = RUSTCRYPTO.only_psk_ccm();
    /// ```
    #[must_use]
    pub const fn only_psk_ccm(&self) -> Self {
        Self {
            name: self.name,
            sha256: self.sha256,
            hmac_sha256: self.hmac_sha256,
            // A hash cannot refuse. Nothing is ever protected under this one: its suites' cipher refuses.
            sha384: |_| [0; 48],
            hmac_sha384: |_, _| [0; 48],
            sha512: |_| [0; 64],
            hmac_sha512: |_, _| [0; 64],
            aes_128_ccm_8: self.aes_128_ccm_8,
            aes_128_ccm: self.aes_128_ccm,
            aes_128_gcm: Aead::NONE,
            aes_256_gcm: Aead::NONE,
            chacha20_poly1305: Aead::NONE,
            x25519: KeyAgreement::NONE,
            secp256r1: KeyAgreement::NONE,
            ml_kem_768: Kem::NONE,
            ecdsa_p256_sha256: SignatureAlgorithm::NONE,
            ecdsa_p384_sha384_verify: SignatureAlgorithm::NONE.verify,
            ed25519: SignatureAlgorithm::NONE,
        }
    }
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
    /// The mask that hides sequence numbers (RFC 9147 section 4.2.3): the cipher's block function under a key of
    /// its own, over the first 16 bytes of a record's ciphertext. `None` if the key has another length.
    pub mask: Mask,
}

impl Aead {
    /// A cipher that a provider does not have: seals and opens nothing.
    pub const NONE: Self =
        Self { key_len: 0, tag_len: 0, seal: |_, _, _, _| None, open: |_, _, _, _| Err(Forged), mask: |_, _| None };

    /// Whether this is [`Self::NONE`].
    #[must_use]
    pub const fn is_none(&self) -> bool {
        self.key_len == 0
    }
}

/// See [`Aead::seal`].
pub type Seal = fn(key: &[u8], nonce: &[u8; 12], aad: &[u8], buffer: &mut [u8]) -> Option<()>;
/// See [`Aead::open`].
pub type Open = fn(key: &[u8], nonce: &[u8; 12], aad: &[u8], buffer: &mut [u8]) -> Result<(), Forged>;

/// See [`Aead::mask`].
pub type Mask = fn(key: &[u8], sample: &[u8; 16]) -> Option<[u8; 16]>;

/// The tag or signature does not belong to this key and these bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Forged;

impl core::fmt::Display for Forged {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        f.write_str("the authentication tag or signature does not match")
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

impl KeyAgreement {
    /// A key agreement that a provider does not have: it agrees with nobody.
    pub const NONE: Self = Self {
        public_len: 0,
        generate: |_| KeyPair { private: Secret::new([0; 32]), public: PublicShare::new(&[]) },
        agree: |_, _| None,
    };

    /// Whether this is [`Self::NONE`].
    #[must_use]
    pub const fn is_none(&self) -> bool {
        self.public_len == 0
    }
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

/// A key encapsulation mechanism with public keys and ciphertexts of ML-KEM-768's sizes.
#[derive(Clone, Copy)]
pub struct Kem {
    /// Makes a fresh key pair.
    pub generate: fn(random: &mut dyn Random) -> KemKeyPair,
    /// A fresh secret and the ciphertext that carries it to the holder of `public`; `None` if that is not a valid
    /// key. AWS-LC draws from its own source of randomness here and leaves `random` alone.
    pub encapsulate: Encapsulate,
    /// The secret in `ciphertext`, or `None` if that has the wrong length. A forged ciphertext yields a secret that
    /// nobody else has (FIPS 203, implicit rejection).
    pub decapsulate: fn(private: &Secret<64>, ciphertext: &[u8]) -> Option<Secret<32>>,
}

impl Kem {
    /// A mechanism that a provider does not have: its public key is none, and it yields no secret.
    pub const NONE: Self = Self {
        generate: |_| KemKeyPair { private: Secret::new([0; 64]), public: [0; KEM_PUBLIC_BYTES] },
        encapsulate: |_, _| None,
        decapsulate: |_, _| None,
    };
}

/// See [`Kem::encapsulate`].
pub type Encapsulate = fn(random: &mut dyn Random, public: &[u8]) -> Option<([u8; KEM_CIPHERTEXT_BYTES], Secret<32>)>;

/// A private key, as the seed of FIPS 203, with its public key.
pub struct KemKeyPair {
    pub private: Secret<64>,
    pub public: [u8; KEM_PUBLIC_BYTES],
}

/// A signature algorithm whose private keys are 32 bytes: a scalar or a seed, big-endian.
#[derive(Clone, Copy)]
pub struct SignatureAlgorithm {
    /// The public key of `private`; `None` if that is no private key.
    pub public: fn(private: &Secret<32>) -> Option<PublicShare>,
    /// Signs; `None` if `private` is no private key. ECDSA mixes `random` into its nonce where the implementation
    /// does not draw it itself.
    pub sign: fn(private: &Secret<32>, random: &mut dyn Random, message: &[u8]) -> Option<Signature>,
    /// Checks `signature` over `message`.
    pub verify: Verify,
}

impl SignatureAlgorithm {
    /// An algorithm that a provider does not have: signs nothing, believes nothing.
    pub const NONE: Self = Self { public: |_| None, sign: |_, _, _| None, verify: |_, _, _| Err(Forged) };
}

/// See [`SignatureAlgorithm::verify`].
pub type Verify = fn(public: &[u8], message: &[u8], signature: &[u8]) -> Result<(), Forged>;

/// A signature in its wire form.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Signature {
    bytes: [u8; SIGNATURE_BYTES_MAX],
    length: u8,
}

impl Signature {
    /// Copies `bytes`; `None` if there are more than [`SIGNATURE_BYTES_MAX`].
    #[must_use]
    pub fn new(bytes: &[u8]) -> Option<Self> {
        let mut signature = Self { bytes: [0; SIGNATURE_BYTES_MAX], length: u8::try_from(bytes.len()).ok()? };
        signature.bytes.get_mut(..bytes.len())?.copy_from_slice(bytes);
        Some(signature)
    }

    #[must_use]
    pub fn as_slice(&self) -> &[u8] {
        self.bytes.get(..usize::from(self.length)).unwrap_or_default()
    }
}
