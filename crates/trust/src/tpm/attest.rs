//! What a TPM signs: quotes (TPMS_ATTEST), and their signatures (TPMT_SIGNATURE).

use bartizan_crypto::Provider;

use super::Clock;
use super::public::{ALG_ECDSA, ALG_SHA256, Public};
use super::reader::{Reader, number};
use super::registers::Selection;
use crate::{Error, limits};

/// TPM_GENERATED_VALUE: a restricted key signs nothing from outside that begins so (Part 2 section 6.2).
const GENERATED: u32 = 0xFF54_4347;
/// TPM_ST_ATTEST_QUOTE.
const QUOTE: u16 = 0x8018;

/// A quote (Part 2 section 10.12), read and not verified.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Quote<'a> {
    /// The qualified name of the key that signed.
    pub signer: &'a [u8],
    /// What the caller of the TPM gave: here the binding of challenge and session.
    pub extra: &'a [u8],
    pub clock: Clock,
    pub firmware: u64,
    pub selection: Selection,
    /// Over the selected registers, one after the other.
    pub digest: &'a [u8],
    bytes: &'a [u8],
}

impl<'a> Quote<'a> {
    /// # Errors
    /// `Malformed` if it is none, `Misbehaved` if no TPM made it, `Unsupported` if it is of registers of several banks.
    pub fn read(bytes: &'a [u8]) -> Result<Self, Error> {
        let mut from = Reader::new(bytes);
        if from.u32()? != GENERATED {
            return Err(Error::Misbehaved("a quote that was not made within a TPM"));
        }
        if from.u16()? != QUOTE {
            return Err(Error::Misbehaved("an attestation of a TPM that is no quote"));
        }
        let signer = from.sized(limits::TPM_NAME_BYTES_MAX)?;
        let extra = from.sized(limits::TPM_NAME_BYTES_MAX)?;
        let clock = Clock::read(&mut from)?;
        let firmware = from.u64()?;
        let selection = Selection::read(&mut from)?;
        let digest = from.sized(limits::DIGEST_BYTES_MAX)?;
        from.end()?;
        Ok(Self { signer, extra, clock, firmware, selection, digest, bytes })
    }

    /// Whether `key`, a child of `parent` in the endorsement hierarchy, signed it. In any other hierarchy a TPM hides
    /// how often it started (Part 1 section 36.7).
    ///
    /// # Errors
    /// `Untrusted` if it did not.
    pub fn verify(
        &self,
        provider: &Provider,
        key: &Public,
        parent: &Public,
        signature: &Signature,
    ) -> Result<(), Error> {
        if !key.qualified_name(provider, parent).is(self.signer) {
            return Err(Error::Untrusted("a quote by another key, or by one that is no child of the endorsement key"));
        }
        key.key().verify(provider, self.bytes, &signature.0)
    }
}

/// ECDSA with SHA-256, R and S side by side.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Signature(pub [u8; 64]);

impl Signature {
    /// # Errors
    /// `Unsupported` if it is by another algorithm, `Malformed` if it is none.
    pub fn read(bytes: &[u8]) -> Result<Self, Error> {
        let mut from = Reader::new(bytes);
        if (from.u16()?, from.u16()?) != (ALG_ECDSA, ALG_SHA256) {
            return Err(Error::Unsupported("a TPM signature by another algorithm than ECDSA with SHA-256"));
        }
        let (r, s) = (number(from.sized(32)?)?, number(from.sized(32)?)?);
        from.end()?;
        let mut out = [0; 64];
        out.iter_mut().zip(r.iter().chain(&s)).for_each(|(to, from)| *to = *from);
        Ok(Self(out))
    }
}
