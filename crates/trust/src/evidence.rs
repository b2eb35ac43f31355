//! What every evidence format becomes before it is judged.

mod open;

use alloc::string::String;
use alloc::vec::Vec;

pub use open::{Carried, ChainName, DICE_CHAIN, KID, UNKNOWN_CHAIN, X5CHAIN, open, verify_chain};

use crate::Identity;

/// Claims whose signatures have been verified down to `identity`. Whether that identity is a registered one, whether
/// nonce and binding are the expected ones, and whether the layers are good is for the verifier to say.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Evidence {
    pub profile: Profile,
    pub identity: Identity,
    /// In the order of boot: the first is what the hardware measured.
    pub layers: Vec<Layer>,
    /// The challenge that the attester answers (RFC 9711 section 4.1).
    pub nonce: Vec<u8>,
    /// The second nonce: a value that only the ends of the session know that carries the evidence.
    pub binding: Option<[u8; 32]>,
    /// RFC 9711 section 4.2.10. Rises with every start; without it clones are hard to tell.
    pub boot_count: Option<u64>,
    /// RFC 9711 section 4.2.11: random, the same until the next start.
    pub boot_seed: Option<Vec<u8>>,
    /// The active security version that the whole claims, and the floor below which the boot loader starts nothing.
    pub security_version: Option<u64>,
    pub security_floor: Option<u64>,
}

/// Which rules the evidence follows.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Profile {
    /// An EAT under a CBOR chain of the Open Profile for DICE.
    OpenDiceCbor,
    /// An EAT under its X.509 form.
    OpenDiceX509,
    /// An EAT under an X.509 chain with TCG's DiceTcbInfo.
    TcgDice,
    /// The PSA token (RFC 9783).
    Psa,
    /// A quote of a TPM 2.0.
    Tpm,
}

/// One layer: the code that the layer before it started.
#[derive(Clone, Debug, PartialEq, Eq, Default)]
pub struct Layer {
    pub vendor: Option<String>,
    pub model: Option<String>,
    /// What the code is called, such as `bootloader` or `firmware`.
    pub component: Option<String>,
    pub version: Option<String>,
    pub security_version: Option<u64>,
    /// Of the code (FWIDs); of several, all are of the same code.
    pub digests: Vec<Digest>,
    /// Of the configuration that it started with.
    pub config: Option<Digest>,
    /// Of the key or authority that its secure boot obeys.
    pub authority: Option<Digest>,
    pub mode: Mode,
    pub account: Account,
}

/// What led to the digest of a layer that several things are measured into: a register of a TPM.
#[derive(Clone, Debug, PartialEq, Eq, Default)]
pub enum Account {
    /// Nothing says so.
    #[default]
    None,
    /// These, one after the other; their digests lead to the layer's.
    Events(Vec<Measured>),
    /// Somebody says so, and it is not true.
    Contradicts,
}

/// One thing that was measured. Only the digest is vouched for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Measured {
    pub what: &'static str,
    pub digest: Digest,
}

/// A digest and how it was made.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Digest {
    pub algorithm: HashAlgorithm,
    pub bytes: Vec<u8>,
}

/// Named Information hash algorithms (RFC 6920 section 9.4) by their number. Digests are only compared here, so that
/// those of SHA-3, which some devices measure with, need no implementation of it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum HashAlgorithm {
    Sha256 = 1,
    Sha384 = 7,
    Sha512 = 8,
    Sha3_256 = 10,
    Sha3_384 = 11,
    Sha3_512 = 12,
}

/// The mode that a layer was started in, as DICE names them.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Default)]
pub enum Mode {
    /// At least one of the device's security mechanisms is not set up.
    #[default]
    NotConfigured,
    Normal,
    Debug,
    /// Started to be repaired.
    Recovery,
}

impl Mode {
    /// As people read it.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::NotConfigured => "not configured",
            Self::Normal => "normal",
            Self::Debug => "debug",
            Self::Recovery => "recovery",
        }
    }
}

impl HashAlgorithm {
    /// Its name in the Named Information registry.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Sha256 => "sha-256",
            Self::Sha384 => "sha-384",
            Self::Sha512 => "sha-512",
            Self::Sha3_256 => "sha3-256",
            Self::Sha3_384 => "sha3-384",
            Self::Sha3_512 => "sha3-512",
        }
    }

    /// In bytes.
    #[must_use]
    pub const fn length(self) -> usize {
        match self {
            Self::Sha256 | Self::Sha3_256 => 32,
            Self::Sha384 | Self::Sha3_384 => 48,
            Self::Sha512 | Self::Sha3_512 => 64,
        }
    }
}

/// `sha-512:` and the bytes in hex.
impl core::fmt::Display for Digest {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        write!(f, "{}:", self.algorithm.name())?;
        self.bytes.iter().try_for_each(|byte| write!(f, "{byte:02x}"))
    }
}
