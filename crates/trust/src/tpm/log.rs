//! Event logs of firmware that measures into a TPM: what led to the registers' values.
//!
//! "TCG PC Client Platform Firmware Profile", section 10: a header in the old form that names the digests' lengths,
//! then events in the crypto-agile form (TCG_PCR_EVENT2), little-endian.

use alloc::vec::Vec;

use bartizan_crypto::Provider;

use super::reader::Reader;
use super::registers::Bank;
use crate::{Error, limits};

/// Says something, and is measured into nothing.
const NO_ACTION: u32 = 3;
const SPEC_ID: &[u8] = b"Spec ID Event03\0";
const STARTUP_LOCALITY: &[u8] = b"StartupLocality\0";
/// Length of a digest in the header's form: SHA-1.
const OLD_DIGEST_BYTES: usize = 20;

/// A log, read for one bank. Nothing in it is signed: [`Self::replay`] says what it would lead to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct EventLog<'a> {
    bank: Bank,
    /// Where register 0 began, if the TPM was started from another locality than 0.
    locality: u8,
    events: Vec<Event<'a>>,
}

/// One event.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Event<'a> {
    pub register: u32,
    /// See [`kind_of`]. No register vouches for it.
    pub kind: u32,
    /// What the register was extended by.
    pub digest: &'a [u8],
}

impl<'a> EventLog<'a> {
    /// # Errors
    /// `Malformed` if it is none, `Unsupported` if it has no digests of this bank, `Unavailable` if it is too long.
    pub fn read(bytes: &'a [u8], bank: Bank) -> Result<Self, Error> {
        if bytes.len() > limits::TPM_LOG_BYTES_MAX {
            return Err(Error::Unavailable("an event log longer than is taken"));
        }
        let mut from = Reader::new(bytes);
        let lengths = Lengths::read(&mut from, bank)?;
        let mut log = Self { bank, locality: 0, events: Vec::new() };
        while !from.is_empty() {
            log.read_event(&mut from, &lengths)?;
        }
        Ok(log)
    }

    fn read_event(&mut self, from: &mut Reader<'a>, lengths: &Lengths) -> Result<(), Error> {
        let (register, kind) = (from.u32_le()?, from.u32_le()?);
        let digest = lengths.digest(from, self.bank)?;
        let length = from.u32_le()?;
        let data = from.take(usize::try_from(length).map_err(|_| Error::Malformed("an event's length"))?)?;
        if kind == NO_ACTION {
            if let Some([locality]) = data.strip_prefix(STARTUP_LOCALITY) {
                self.locality = *locality;
            }
            return Ok(());
        }
        if self.events.len() >= limits::TPM_EVENTS_MAX {
            return Err(Error::Unavailable("more events than are taken"));
        }
        self.events.try_reserve(1).map_err(|_| Error::Unavailable("no memory for an event log"))?;
        self.events.push(Event { register, kind, digest });
        Ok(())
    }

    /// Of one register, in their order.
    pub fn of(&self, register: u8) -> impl Iterator<Item = &Event<'a>> {
        self.events.iter().filter(move |event| event.register == u32::from(register))
    }

    /// The value that the events of a register lead to; `None` if there are none.
    #[must_use]
    pub fn replay(&self, provider: &Provider, register: u8) -> Option<Vec<u8>> {
        let mut events = self.of(register).peekable();
        events.peek()?;
        let mut value = alloc::vec![0; self.bank.hash().length()];
        if let (0, Some(last)) = (register, value.last_mut()) {
            *last = self.locality;
        }
        events.for_each(|event| self.bank.extend(provider, &mut value, event.digest));
        Some(value)
    }
}

/// What digests each event has: algorithm and length.
struct Lengths(Vec<(u16, u16)>);

impl Lengths {
    /// TCG_EfiSpecIDEvent, in an event of the old form.
    fn read(from: &mut Reader<'_>, bank: Bank) -> Result<Self, Error> {
        let (register, kind) = (from.u32_le()?, from.u32_le()?);
        from.take(OLD_DIGEST_BYTES)?;
        let length = from.u32_le()?;
        let data = from.take(usize::try_from(length).map_err(|_| Error::Malformed("an event's length"))?)?;
        let mut header = Reader::new(data);
        if (register, kind) != (0, NO_ACTION) || header.take(SPEC_ID.len()).ok() != Some(SPEC_ID) {
            return Err(Error::Unsupported("an event log that is not crypto-agile"));
        }
        header.take(4 + 4)?; // platform class, version, errata, size of a native integer
        let count = header.u32_le()?;
        if !(1..=limits::TPM_BANKS_MAX).contains(&count) {
            return Err(Error::Malformed("an event log with too many digests of each event, or none"));
        }
        let pairs = (0..count).map(|_| Ok((header.u16_le()?, header.u16_le()?)));
        let lengths = Self(pairs.collect::<Result<_, Error>>()?);
        let vendor = usize::from(header.u8()?);
        header.take(vendor)?;
        header.end()?;
        match lengths.of(bank.algorithm()) {
            Some(length) if usize::from(length) == bank.hash().length() => Ok(lengths),
            Some(_) => Err(Error::Malformed("an event log whose digests have another length than their hash's")),
            None => Err(Error::Unsupported("an event log without digests of the quoted bank")),
        }
    }

    fn of(&self, algorithm: u16) -> Option<u16> {
        self.0.iter().find(|(known, _)| *known == algorithm).map(|(_, length)| *length)
    }

    /// TPML_DIGEST_VALUES: each algorithm of the header once.
    fn digest<'a>(&self, from: &mut Reader<'a>, bank: Bank) -> Result<&'a [u8], Error> {
        let count = from.u32_le()?;
        if !(1..=limits::TPM_BANKS_MAX).contains(&count) {
            return Err(Error::Malformed("an event with too many digests, or none"));
        }
        let mut found = None;
        for _ in 0..count {
            let algorithm = from.u16_le()?;
            let length = self.of(algorithm).ok_or(Error::Malformed("a digest that the log's header does not name"))?;
            let digest = from.take(usize::from(length))?;
            if algorithm == bank.algorithm() && found.replace(digest).is_some() {
                return Err(Error::Malformed("two digests of one event by one algorithm"));
            }
        }
        found.ok_or(Error::Malformed("an event without a digest of the quoted bank"))
    }
}

/// What an event's type means, in plain words.
#[must_use]
pub const fn kind_of(kind: u32) -> &'static str {
    match kind {
        0x0000_0001 => "firmware code",
        0x0000_0004 => "separator",
        0x0000_0005 => "action",
        0x0000_0007 => "root of trust",
        0x0000_0008 => "version of the root of trust",
        0x0000_0009 => "processor microcode",
        0x0000_000A => "platform flags",
        0x0000_000B => "table of devices",
        0x0000_000C => "measurement by the boot loader",
        0x0000_000D => "boot loader",
        0x0000_000F | 0x0000_0010 => "another processor's code or settings",
        0x8000_0001 => "Secure Boot variable",
        0x8000_0002 | 0x8000_000C => "boot variable",
        0x8000_0003 => "boot application",
        0x8000_0004 => "boot driver",
        0x8000_0005 => "runtime driver",
        0x8000_0006 => "partition table",
        0x8000_0007 => "firmware action",
        0x8000_0008 | 0x8000_000A => "firmware volume",
        0x8000_0009 | 0x8000_000B => "firmware tables",
        0x8000_0010 => "early root of trust",
        0x8000_00E0 => "Secure Boot authority",
        _ => "event",
    }
}
