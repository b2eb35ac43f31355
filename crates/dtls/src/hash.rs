//! The two hashes that suites use, behind one face.

use bartizan_crypto::Provider;
use zeroize::{Zeroize, ZeroizeOnDrop};

/// Length of the longest digest.
pub(crate) const DIGEST_BYTES_MAX: usize = 48;

/// The hash of a cipher suite.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Hash {
    Sha256,
    Sha384,
}

/// A digest, a MAC or a secret of the key schedule: as long as the hash that made it.
#[derive(Clone, Zeroize, ZeroizeOnDrop)]
pub(crate) struct Digest {
    bytes: [u8; DIGEST_BYTES_MAX],
    length: u8,
}

impl Hash {
    /// Length of a digest.
    pub const fn len(self) -> usize {
        match self {
            Self::Sha256 => 32,
            Self::Sha384 => 48,
        }
    }

    /// Over the concatenation of the parts.
    pub fn digest(self, provider: &Provider, parts: &[&[u8]]) -> Digest {
        match self {
            Self::Sha256 => Digest::of(&(provider.sha256)(parts)),
            Self::Sha384 => Digest::of(&(provider.sha384)(parts)),
        }
    }

    /// HMAC over the concatenation of the parts.
    pub fn hmac(self, provider: &Provider, key: &[u8], parts: &[&[u8]]) -> Digest {
        match self {
            Self::Sha256 => Digest::of(&(provider.hmac_sha256)(key, parts)),
            Self::Sha384 => Digest::of(&(provider.hmac_sha384)(key, parts)),
        }
    }
}

impl Digest {
    pub const EMPTY: Self = Self { bytes: [0; DIGEST_BYTES_MAX], length: 0 };

    /// As many zeros as the hash has bytes.
    pub const fn zeros(hash: Hash) -> Self {
        Self { bytes: [0; DIGEST_BYTES_MAX], length: hash.len() as u8 }
    }

    /// Copies `bytes`, of which at most [`DIGEST_BYTES_MAX`] count.
    pub fn of(bytes: &[u8]) -> Self {
        let mut digest = Self::EMPTY;
        for (to, from) in digest.bytes.iter_mut().zip(bytes) {
            *to = *from;
            digest.length += 1;
        }
        digest
    }

    pub fn as_slice(&self) -> &[u8] {
        self.bytes.get(..usize::from(self.length)).unwrap_or_default()
    }
}

impl core::fmt::Debug for Digest {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        write!(f, "Digest(<{} bytes>)", self.length)
    }
}
