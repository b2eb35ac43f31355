//! Evidence of a TPM: a quote with the registers that it is of, and what led to them.

use alloc::format;
use alloc::string::String;
use alloc::vec::Vec;

use bartizan_crypto::Provider;
use minicbor::Encoder;

use super::Clock;
use super::attest::{Quote, Signature};
use super::log::{EventLog, kind_of};
use super::message::{EVIDENCE, Enrolment, Parts, wrap};
use super::public::{Name, copy};
use super::registers::Registers;
use crate::evidence::{Account, Evidence, Layer, Measured, Mode, Profile};
use crate::{Error, limits};

/// Evidence taken apart, and not verified.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Carried<'a> {
    pub keys: Enrolment<'a>,
    pub quote: Quote<'a>,
    signature: Signature,
    registers: Registers,
    log: Option<EventLog<'a>>,
}

/// What a register is called as a layer.
#[must_use]
pub fn component_of(register: u8) -> String {
    format!("pcr-{register}")
}

impl<'a> Carried<'a> {
    pub(super) fn read(parts: &mut Parts<'a>) -> Result<Self, Error> {
        let keys = Enrolment::read(parts)?;
        let quote = Quote::read(parts.bytes()?)?;
        let signature = Signature::read(parts.bytes()?)?;
        let registers = read_registers(parts, &quote)?;
        let log = parts.bytes()?;
        let log = if log.is_empty() { None } else { Some(EventLog::read(log, quote.selection.bank)?) };
        Ok(Self { keys, quote, signature, registers, log })
    }

    /// The normal form of what the TPM said, if its key is the one that was activated for the endorsement key.
    ///
    /// # Errors
    /// `Untrusted` if it is not, or if something is not the TPM's.
    pub fn verify(&self, provider: &Provider, activated: &Name) -> Result<(Evidence, Clock), Error> {
        if !self.keys.key.name(provider).is(activated.as_slice()) {
            return Err(Error::Untrusted(
                "an attestation key that was not activated for this device's endorsement key",
            ));
        }
        self.claimed(provider)
    }

    /// The same for a key that nobody activated: **whoever made the key may have made up its TPM, too**, and the
    /// identity is a claim. To look at, not to believe.
    ///
    /// # Errors
    /// `Untrusted` if it contradicts itself.
    pub fn claimed(&self, provider: &Provider) -> Result<(Evidence, Clock), Error> {
        let Self { keys, quote, signature, registers, .. } = self;
        quote.verify(provider, &keys.key, &keys.endorsement, signature)?;
        registers.check(provider, quote.selection, quote.digest)?;
        let layers = registers.values.iter().map(|(number, value)| self.layer(provider, *number, value)).collect();
        let evidence = Evidence {
            profile: Profile::Tpm,
            identity: keys.endorsement.identity(provider),
            layers,
            nonce: keys.challenge.to_vec(),
            // Made of session and challenge; what else the TPM was given binds to nothing.
            binding: quote.extra.try_into().ok(),
            boot_count: Some(u64::from(quote.clock.resets)),
            boot_seed: None,
            security_version: None,
            security_floor: None,
        };
        Ok((evidence, quote.clock))
    }

    fn layer(&self, provider: &Provider, number: u8, value: &[u8]) -> Layer {
        let replayed = self.log.as_ref().and_then(|log| Some((log, log.replay(provider, number)?)));
        let account = match replayed {
            None => Account::None,
            Some((_, end)) if end != value => Account::Contradicts,
            Some((log, _)) => {
                let events = log.of(number);
                Account::Events(
                    events
                        .map(|event| Measured {
                            what: kind_of(event.kind),
                            digest: self.registers.digest(event.digest),
                        })
                        .collect(),
                )
            }
        };
        Layer {
            component: Some(component_of(number)),
            digests: alloc::vec![self.registers.digest(value)],
            mode: Mode::Normal,
            account,
            ..Layer::default()
        }
    }

    /// Writes evidence: `keys` as in [`Enrolment::write`], the TPM's quote and signature (TPMS_ATTEST, TPMT_SIGNATURE),
    /// the registers' values rising by number, and the log or nothing.
    #[must_use]
    pub fn write(
        [challenge, endorsement, key]: [&[u8]; 3],
        [quote, signature]: [&[u8]; 2],
        registers: &[(u8, Vec<u8>)],
        log: &[u8],
    ) -> Vec<u8> {
        let mut value = Vec::new();
        let write = |to: &mut Encoder<&mut Vec<u8>>| -> Result<(), minicbor::encode::Error<core::convert::Infallible>> {
            to.array(7)?;
            for part in [challenge, endorsement, key, quote, signature] {
                to.bytes(part)?;
            }
            to.array(registers.len() as u64)?;
            for (number, value) in registers {
                to.array(2)?.u8(*number)?.bytes(value)?;
            }
            to.bytes(log)?;
            Ok(())
        };
        write(&mut Encoder::new(&mut value)).expect("invariant: a vector takes everything");
        wrap(EVIDENCE, &value)
    }
}

fn read_registers<'a>(parts: &mut Parts<'a>, quote: &Quote<'a>) -> Result<Registers, Error> {
    const SHAPE: Error = Error::Malformed("registers that are no pairs of a number and a value");
    let list = parts.array()?;
    if list.len() > limits::TPM_REGISTERS_MAX {
        return Err(Error::Unavailable("more registers than are taken"));
    }
    let mut values = Vec::new();
    for pair in list {
        let mut pair = pair.array().filter(|pair| pair.len() == 2).ok_or(SHAPE)?;
        let number = pair.next().and_then(|number| u8::try_from(number.uint()?).ok()).ok_or(SHAPE)?;
        let value = pair.next().and_then(|value| value.byte_string()).ok_or(SHAPE)?;
        values.push((number, copy(value)?));
    }
    Registers::new(quote.selection.bank, values)
}
