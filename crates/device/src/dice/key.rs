//! Key pairs from secrets, and the names that certificates give them.

use bartizan_crypto::{Provider, Random, Secret};
use bartizan_trust::PublicKey;
use bartizan_trust::cose::SigningKey;
use zeroize::Zeroizing;

use super::Error;
use super::cdi::kdf;

/// What layers sign with.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Algorithm {
    /// ECDSA with SHA-256 on P-256.
    P256,
    Ed25519,
}

/// The Open Profile's ASYM_SALT.
const KEY_SALT: [u8; 64] = [
    0x63, 0xB6, 0xA0, 0x4D, 0x2C, 0x07, 0x7F, 0xC1, 0x0F, 0x63, 0x9F, 0x21, 0xDA, 0x79, 0x38, 0x44, 0x35, 0x6C, 0xC2,
    0xB0, 0xB4, 0x41, 0xB3, 0xA7, 0x71, 0x24, 0x03, 0x5C, 0x03, 0xF8, 0xE1, 0xBE, 0x60, 0x35, 0xD3, 0x1F, 0x28, 0x28,
    0x21, 0xA7, 0x45, 0x0A, 0x02, 0x22, 0x2A, 0xB1, 0xB3, 0xCF, 0xF1, 0x67, 0x9B, 0x05, 0xAB, 0x1C, 0xA5, 0xD1, 0xAF,
    0xFB, 0x78, 0x9C, 0xCD, 0x2B, 0x0B, 0x3B,
];

/// The Open Profile's ID_SALT.
const ID_SALT: [u8; 64] = [
    0xDB, 0xDB, 0xAE, 0xBC, 0x80, 0x20, 0xDA, 0x9F, 0xF0, 0xDD, 0x5A, 0x24, 0xC8, 0x3A, 0xA5, 0xA5, 0x42, 0x86, 0xDF,
    0xC2, 0x63, 0x03, 0x1E, 0x32, 0x9B, 0x4D, 0xA1, 0x48, 0x43, 0x06, 0x59, 0xFE, 0x62, 0xCD, 0xB5, 0xB7, 0xE1, 0xE0,
    0x0F, 0xC6, 0x80, 0x30, 0x67, 0x11, 0xEB, 0x44, 0x4A, 0xF7, 0x72, 0x09, 0x35, 0x94, 0x96, 0xFC, 0xFF, 0x1D, 0xB9,
    0x52, 0x0B, 0xA5, 0x1C, 0x7B, 0x29, 0xEA,
];

/// Each candidate is refused with a chance of 2⁻³².
const CANDIDATES_MAX: usize = 8;

/// A layer's key pair.
pub struct KeyPair {
    algorithm: Algorithm,
    private: Secret<32>,
    public: PublicKey,
}

impl KeyPair {
    pub(super) fn derive(provider: &Provider, algorithm: Algorithm, secret: &Secret<32>) -> Result<Self, Error> {
        Self::from_seed(provider, algorithm, &kdf(provider, secret.expose(), &KEY_SALT, b"Key Pair")?)
    }

    /// The same seed gives the same pair. For Ed25519 it is the private key; for P-256 the private key is the first
    /// candidate of RFC 6979 section 3.2's generator (HMAC-SHA-512, seeded with the seed) that is one.
    ///
    /// # Errors
    /// `Misuse` if the provider lacks the algorithm.
    pub fn from_seed(provider: &Provider, algorithm: Algorithm, seed: &Secret<32>) -> Result<Self, Error> {
        match algorithm {
            Algorithm::Ed25519 => Self::new(provider, algorithm, seed.clone()),
            Algorithm::P256 => p256_from_seed(provider, seed),
        }
    }

    fn new(provider: &Provider, algorithm: Algorithm, private: Secret<32>) -> Result<Self, Error> {
        let public = signing(algorithm, &private).public(provider)?;
        Ok(Self { algorithm, private, public })
    }

    #[must_use]
    pub const fn public(&self) -> &PublicKey {
        &self.public
    }

    #[must_use]
    pub const fn algorithm(&self) -> Algorithm {
        self.algorithm
    }

    /// 64 bytes, as COSE has them.
    ///
    /// # Errors
    /// `Misuse` if the provider lacks the algorithm.
    pub fn sign(&self, provider: &Provider, random: &mut dyn Random, message: &[u8]) -> Result<[u8; 64], Error> {
        signing(self.algorithm, &self.private).sign(provider, random, message)
    }

    /// The same pair for DTLS.
    #[cfg(feature = "client")]
    #[must_use]
    pub fn dtls_key(&self) -> bartizan_dtls::SoftwareKey {
        let scheme = match self.algorithm {
            Algorithm::P256 => bartizan_dtls::SignatureScheme::EcdsaSecp256r1Sha256,
            Algorithm::Ed25519 => bartizan_dtls::SignatureScheme::Ed25519,
        };
        bartizan_dtls::SoftwareKey::new(scheme, self.private.clone())
    }

    #[must_use]
    pub fn id(&self, provider: &Provider) -> CertificateId {
        CertificateId::of(provider, &self.public)
    }
}

/// Layers have no keys on P-384; no provider signs with them.
pub(super) const NO_LAYER_KEY: Error = Error::Misuse("a key that layers do not have");

const fn signing(algorithm: Algorithm, private: &Secret<32>) -> SigningKey<'_> {
    match algorithm {
        Algorithm::P256 => SigningKey::P256(private),
        Algorithm::Ed25519 => SigningKey::Ed25519(private),
    }
}

fn p256_from_seed(provider: &Provider, seed: &Secret<32>) -> Result<KeyPair, Error> {
    let hmac = |key: &[u8; 64], parts: &[&[u8]]| Zeroizing::new((provider.hmac_sha512)(key, parts));
    let (mut key, mut value) = (Zeroizing::new([0; 64]), Zeroizing::new([1; 64]));
    for round in [0, 1] {
        key = hmac(&key, &[&*value, &[round], seed.expose()]);
        value = hmac(&key, &[&*value]);
    }
    let mut failed = Error::Misuse("no private key");
    for _ in 0..CANDIDATES_MAX {
        value = hmac(&key, &[&*value]);
        let mut candidate = Secret::new([0; 32]);
        for (to, from) in candidate.expose_mut().iter_mut().zip(value.iter()) {
            *to = *from;
        }
        match KeyPair::new(provider, Algorithm::P256, candidate) {
            Ok(pair) => return Ok(pair),
            Err(error) => failed = error,
        }
        key = hmac(&key, &[&*value, &[0]]);
        value = hmac(&key, &[&*value]);
    }
    Err(failed)
}

/// How certificates name a key: the Open Profile's UDS_ID and CDI_ID.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct CertificateId(pub [u8; 20]);

impl CertificateId {
    #[must_use]
    pub fn of(provider: &Provider, key: &PublicKey) -> Self {
        let bytes: &[u8] = match key {
            PublicKey::P256([_, coordinates @ ..]) => coordinates,
            PublicKey::P384([_, coordinates @ ..]) => coordinates,
            PublicKey::Ed25519(bytes) => bytes,
        };
        // Of a public thing; without SHA-512 no key came this far.
        let mut id = kdf(provider, bytes, &ID_SALT, b"ID").map_or([0; 20], |id| *id.expose());
        id[0] &= 0x7F; // a positive serial number
        Self(id)
    }

    /// In lower-case hexadecimal digits.
    #[must_use]
    pub fn hex(&self) -> [u8; 40] {
        const fn digit(value: u8) -> u8 {
            if value < 10 { b'0' + value } else { b'a' + value - 10 }
        }
        let mut out = [0; 40];
        for (to, byte) in out.chunks_exact_mut(2).zip(self.0) {
            to.copy_from_slice(&[digit(byte >> 4), digit(byte & 0xF)]);
        }
        out
    }
}
