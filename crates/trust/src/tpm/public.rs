//! Public areas of keys (TPMT_PUBLIC), and the names that they give.

use alloc::vec::Vec;
use core::fmt;

use bartizan_crypto::{Provider, constant_time_eq};

use super::reader::{Reader, number};
use crate::{Error, Identity, PublicKey, limits};

/// TPM_ALG_ID (Part 2 section 6.3), as far as they are read here.
pub(super) const ALG_RSA: u16 = 0x0001;
pub(super) const ALG_SHA256: u16 = 0x000B;
pub(super) const ALG_SHA384: u16 = 0x000C;
pub(super) const ALG_ECDSA: u16 = 0x0018;
const ALG_AES: u16 = 0x0006;
const ALG_NULL: u16 = 0x0010;
const ALG_ECC: u16 = 0x0023;
const ALG_CFB: u16 = 0x0043;
/// TPM_ECC_CURVE (section 6.4).
const CURVE_P256: u16 = 0x0003;
/// TPM_RH_ENDORSEMENT: its handle is its name (Part 1 section 16).
const ENDORSEMENT: [u8; 4] = [0x40, 0, 0, 0x0B];

/// An ECC key on P-256, as its TPM describes it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Public {
    pub attributes: Attributes,
    /// The uncompressed point.
    pub point: [u8; 65],
    symmetric: Symmetric,
    scheme: Scheme,
    bytes: Vec<u8>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Symmetric {
    None,
    Aes128Cfb,
    Other,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Scheme {
    None,
    EcdsaSha256,
    Other,
}

/// TPMA_OBJECT (section 8.3).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Attributes(pub u32);

impl Attributes {
    pub const FIXED_TPM: Self = Self(1 << 1);
    pub const FIXED_PARENT: Self = Self(1 << 4);
    pub const SENSITIVE_DATA_ORIGIN: Self = Self(1 << 5);
    pub const RESTRICTED: Self = Self(1 << 16);
    pub const DECRYPT: Self = Self(1 << 17);
    pub const SIGN: Self = Self(1 << 18);

    const BORN_HERE: Self = Self(Self::FIXED_TPM.0 | Self::FIXED_PARENT.0 | Self::SENSITIVE_DATA_ORIGIN.0);

    /// Whether all of `other` are set.
    #[must_use]
    pub const fn hold(self, other: Self) -> bool {
        self.0 & other.0 == other.0
    }
}

impl Public {
    /// # Errors
    /// `Unsupported` if it is of another kind than is read here, `Malformed` if it is none.
    pub fn read(bytes: &[u8]) -> Result<Self, Error> {
        let mut from = Reader::new(bytes);
        match from.u16()? {
            ALG_ECC => {}
            ALG_RSA => return Err(Error::Unsupported("an RSA key of a TPM; make it an ECC key on P-256")),
            _ => return Err(Error::Unsupported("a TPM object that is no asymmetric key")),
        }
        if from.u16()? != ALG_SHA256 {
            return Err(Error::Unsupported("a TPM key that is not named by SHA-256"));
        }
        let attributes = Attributes(from.u32()?);
        from.sized(limits::DIGEST_BYTES_MAX)?; // its policy is part of its name, and nothing else to us
        let (symmetric, scheme) = (Symmetric::read(&mut from)?, Scheme::read(&mut from)?);
        if from.u16()? != CURVE_P256 {
            return Err(Error::Unsupported("a TPM key on another curve than P-256"));
        }
        if from.u16()? != ALG_NULL {
            return Err(Error::Unsupported("a TPM key with a key derivation scheme"));
        }
        let (x, y) = (number(from.sized(32)?)?, number(from.sized(32)?)?);
        from.end()?;
        let mut point = [4; 65];
        point.iter_mut().skip(1).zip(x.iter().chain(&y)).for_each(|(to, from)| *to = *from);
        Ok(Self { attributes, point, symmetric, scheme, bytes: copy(bytes)? })
    }

    /// As it was read.
    #[must_use]
    pub fn bytes(&self) -> &[u8] {
        &self.bytes
    }

    /// Part 1 section 16: the hash of all that is public of it, attributes included.
    #[must_use]
    pub fn name(&self, provider: &Provider) -> Name {
        Name::of((provider.sha256)(&[&self.bytes]))
    }

    #[must_use]
    pub const fn key(&self) -> PublicKey {
        PublicKey::P256(self.point)
    }

    /// Who the TPM is, if this is its endorsement key.
    #[must_use]
    pub fn identity(&self, provider: &Provider) -> Identity {
        self.key().thumbprint(provider)
    }

    /// Part 1 section 16, "Qualified Name", of a child of the endorsement key `parent`.
    #[must_use]
    pub fn qualified_name(&self, provider: &Provider, parent: &Self) -> Name {
        let above = Name::of((provider.sha256)(&[&ENDORSEMENT, parent.name(provider).as_slice()]));
        Name::of((provider.sha256)(&[above.as_slice(), self.name(provider).as_slice()]))
    }

    /// A key that opens credentials and nothing else, as the TCG's EK profile has it.
    ///
    /// # Errors
    /// `Misbehaved` if it may do something else, or might be in two TPMs.
    pub fn check_endorsement_key(&self) -> Result<(), Error> {
        let good = Attributes(Attributes::BORN_HERE.0 | Attributes::RESTRICTED.0 | Attributes::DECRYPT.0);
        if !self.attributes.hold(good) || self.attributes.hold(Attributes::SIGN) {
            return Err(Error::Misbehaved(
                "an endorsement key that is not fixed to its TPM and restricted to decryption",
            ));
        }
        match self.symmetric {
            Symmetric::Aes128Cfb => Ok(()),
            _ => Err(Error::Unsupported("an endorsement key that protects by another cipher than AES-128-CFB")),
        }
    }

    /// A key that signs only what its TPM says itself, and was never outside of it. With one that is not restricted,
    /// software could sign whatever looks like a quote.
    ///
    /// # Errors
    /// `Misbehaved` if it may do something else.
    pub fn check_attestation_key(&self) -> Result<(), Error> {
        let good = Attributes(Attributes::BORN_HERE.0 | Attributes::RESTRICTED.0 | Attributes::SIGN.0);
        if !self.attributes.hold(good) || self.attributes.hold(Attributes::DECRYPT) {
            return Err(Error::Misbehaved("an attestation key that is not fixed to its TPM and restricted to signing"));
        }
        match self.scheme {
            Scheme::EcdsaSha256 => Ok(()),
            _ => Err(Error::Unsupported("an attestation key that does not sign by ECDSA with SHA-256")),
        }
    }
}

impl Symmetric {
    /// TPMT_SYM_DEF_OBJECT (section 11.1.7).
    fn read(from: &mut Reader<'_>) -> Result<Self, Error> {
        let algorithm = from.u16()?;
        if algorithm == ALG_NULL {
            return Ok(Self::None);
        }
        let (bits, mode) = (from.u16()?, from.u16()?);
        Ok(if (algorithm, bits, mode) == (ALG_AES, 128, ALG_CFB) { Self::Aes128Cfb } else { Self::Other })
    }
}

impl Scheme {
    /// TPMT_ECC_SCHEME (section 11.2.5.6), of which those with a hash alone are read.
    fn read(from: &mut Reader<'_>) -> Result<Self, Error> {
        match from.u16()? {
            ALG_NULL => Ok(Self::None),
            ALG_ECDSA if from.u16()? == ALG_SHA256 => Ok(Self::EcdsaSha256),
            ALG_ECDSA => Ok(Self::Other),
            _ => Err(Error::Unsupported("a TPM key with another scheme than ECDSA")),
        }
    }
}

/// What a TPM calls an object: its hash algorithm, SHA-256, and the hash.
#[derive(Clone, Copy, PartialEq, Eq)]
pub struct Name([u8; Self::BYTES]);

impl Name {
    pub const BYTES: usize = 34;

    fn of(hash: [u8; 32]) -> Self {
        let mut out = [0; Self::BYTES];
        let [high, low] = ALG_SHA256.to_be_bytes();
        out.iter_mut().zip([high, low].into_iter().chain(hash)).for_each(|(to, from)| *to = from);
        Self(out)
    }

    /// As it is stored or written in hexadecimal digits.
    #[must_use]
    pub fn from_slice(bytes: &[u8]) -> Option<Self> {
        let bytes: [u8; Self::BYTES] = bytes.try_into().ok()?;
        bytes.starts_with(&ALG_SHA256.to_be_bytes()).then_some(Self(bytes))
    }

    #[must_use]
    pub const fn as_slice(&self) -> &[u8] {
        &self.0
    }

    /// In constant time: the comparison decides over trust.
    #[must_use]
    pub fn is(&self, other: &[u8]) -> bool {
        constant_time_eq(&self.0, other)
    }
}

impl fmt::Display for Name {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.iter().try_for_each(|byte| write!(f, "{byte:02x}"))
    }
}

impl fmt::Debug for Name {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Name({self})")
    }
}

/// A copy whose length an attacker may have chosen.
pub(super) fn copy(bytes: &[u8]) -> Result<Vec<u8>, Error> {
    let mut out = Vec::new();
    out.try_reserve_exact(bytes.len()).map_err(|_| Error::Unavailable("no memory for a TPM structure"))?;
    out.extend_from_slice(bytes);
    Ok(out)
}
