//! Platform configuration registers (PCRs): which were quoted, what they hold, how they come to it.

use alloc::vec::Vec;

use bartizan_crypto::{Provider, constant_time_eq};

use super::public::{ALG_SHA256, ALG_SHA384};
use super::reader::Reader;
use crate::Error;
use crate::evidence::{Digest, HashAlgorithm};

/// Registers by the hash that extends them.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Bank {
    Sha256,
    Sha384,
}

impl Bank {
    pub(super) const fn from_algorithm(algorithm: u16) -> Option<Self> {
        match algorithm {
            ALG_SHA256 => Some(Self::Sha256),
            ALG_SHA384 => Some(Self::Sha384),
            _ => None,
        }
    }

    pub(super) const fn algorithm(self) -> u16 {
        match self {
            Self::Sha256 => ALG_SHA256,
            Self::Sha384 => ALG_SHA384,
        }
    }

    #[must_use]
    pub const fn hash(self) -> HashAlgorithm {
        match self {
            Self::Sha256 => HashAlgorithm::Sha256,
            Self::Sha384 => HashAlgorithm::Sha384,
        }
    }

    pub(super) fn extend(self, provider: &Provider, value: &mut Vec<u8>, digest: &[u8]) {
        match self {
            Self::Sha256 => *value = (provider.sha256)(&[value, digest]).to_vec(),
            Self::Sha384 => *value = (provider.sha384)(&[value, digest]).to_vec(),
        }
    }
}

/// TPML_PCR_SELECTION (Part 2 section 10.9.7) of one bank.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Selection {
    pub bank: Bank,
    bits: u32,
}

impl Selection {
    /// These registers; numbers beyond 23 are none.
    #[must_use]
    pub fn new(bank: Bank, registers: &[u8]) -> Self {
        let bits = registers.iter().filter(|number| **number < 24).fold(0, |bits, number| bits | 1 << number);
        Self { bank, bits }
    }

    pub(super) fn read(from: &mut Reader<'_>) -> Result<Self, Error> {
        if from.u32()? != 1 {
            return Err(Error::Unsupported("a quote of registers of no bank or of several"));
        }
        let bank = Bank::from_algorithm(from.u16()?);
        let bank = bank.ok_or(Error::Unsupported("a quote of another bank than SHA-256 and SHA-384"))?;
        let length = usize::from(from.u8()?);
        if length > 4 {
            return Err(Error::Malformed("a selection of registers that no TPM has"));
        }
        let bytes = from.take(length)?;
        let bits = bytes.iter().rev().fold(0, |bits, byte| bits << 8 | u32::from(*byte));
        if bits == 0 || bits >= 1 << 24 {
            return Err(Error::Misbehaved("a quote of no register, or of one that no TPM has"));
        }
        Ok(Self { bank, bits })
    }

    /// Their numbers, rising.
    pub fn registers(self) -> impl Iterator<Item = u8> {
        (0..24).filter(move |number| self.bits >> number & 1 == 1)
    }
}

/// Values of registers, rising by their numbers, each of the length that its bank's hash has.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Registers {
    pub(super) bank: Bank,
    pub(super) values: Vec<(u8, Vec<u8>)>,
}

impl Registers {
    /// # Errors
    /// `Malformed` if they are not rising, `Misbehaved` if they are of another length.
    pub(super) fn new(bank: Bank, values: Vec<(u8, Vec<u8>)>) -> Result<Self, Error> {
        if !values.is_sorted_by(|(one, _), (two, _)| one < two) {
            return Err(Error::Malformed("registers that are not in their order"));
        }
        if values.iter().any(|(_, value)| value.len() != bank.hash().length()) {
            return Err(Error::Misbehaved("a register of another length than its bank's"));
        }
        Ok(Self { bank, values })
    }

    /// Whether these are the registers that were quoted, with the values that they had.
    ///
    /// # Errors
    /// `Untrusted` if they are not.
    pub fn check(&self, provider: &Provider, selection: Selection, digest: &[u8]) -> Result<(), Error> {
        const OTHER: Error = Error::Untrusted("registers that are not the quoted ones");
        let numbers = self.values.iter().map(|(number, _)| *number);
        if self.bank != selection.bank || !numbers.eq(selection.registers()) {
            return Err(OTHER);
        }
        let parts: Vec<&[u8]> = self.values.iter().map(|(_, value)| value.as_slice()).collect();
        // The quote's own hash is that of its signature.
        if constant_time_eq(&(provider.sha256)(&parts), digest) { Ok(()) } else { Err(OTHER) }
    }

    pub(super) fn digest(&self, value: &[u8]) -> Digest {
        Digest { algorithm: self.bank.hash(), bytes: value.to_vec() }
    }
}
