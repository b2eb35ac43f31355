//! The bytes of learnt state: little-endian fields under a version and a checksum.

use bartizan_wire::{DeviceKey, UnixMillis};

use crate::error::Error;

const MAGIC: [u8; 4] = *b"BZPJ";
pub(crate) const VERSION: u16 = 1;
const CHECKSUM_BYTES: usize = 8;
const NUMBER_MAX: f32 = 1e12;

/// Appends fields.
pub(crate) struct Writer {
    bytes: Vec<u8>,
}

impl Writer {
    pub(crate) fn new() -> Self {
        let mut bytes = MAGIC.to_vec();
        bytes.extend(VERSION.to_le_bytes());
        Self { bytes }
    }

    pub(crate) fn u8(&mut self, value: u8) {
        self.bytes.push(value);
    }

    pub(crate) fn u16(&mut self, value: u16) {
        self.bytes.extend(value.to_le_bytes());
    }

    pub(crate) fn u32(&mut self, value: u32) {
        self.bytes.extend(value.to_le_bytes());
    }

    pub(crate) fn u64(&mut self, value: u64) {
        self.bytes.extend(value.to_le_bytes());
    }

    pub(crate) fn f32(&mut self, value: f32) {
        self.u32(value.to_bits());
    }

    pub(crate) fn f64(&mut self, value: f64) {
        self.u64(value.to_bits());
    }

    pub(crate) fn count(&mut self, count: usize) {
        self.u32(count as u32);
    }

    pub(crate) fn device(&mut self, key: DeviceKey) {
        self.u32(key.tenant.0);
        self.u64(key.device.0);
    }

    pub(crate) fn finish(mut self) -> Vec<u8> {
        let sum = checksum(&self.bytes);
        self.u64(sum);
        self.bytes
    }
}

/// Takes fields, each with its check.
pub(crate) struct Reader<'a> {
    bytes: &'a [u8],
    at: usize,
}

impl<'a> Reader<'a> {
    /// Checks version and checksum; the body follows.
    pub(crate) fn open(bytes: &'a [u8]) -> Result<Self, Error> {
        let whole = Self { bytes, at: 0 };
        let body = bytes.len().checked_sub(CHECKSUM_BYTES).ok_or_else(|| whole.fault("too short"))?;
        let mut reader = Self { bytes: &bytes[..body], at: 0 };
        if reader.take::<4>()? != MAGIC {
            return Err(whole.fault("not saved profiles"));
        }
        let found = reader.u16()?;
        if found != VERSION {
            return Err(Error::Unsupported { found, known: VERSION });
        }
        if checksum(&bytes[..body]).to_le_bytes() != bytes[body..] {
            return Err(whole.fault("the checksum does not match"));
        }
        Ok(reader)
    }

    pub(crate) fn fault(&self, what: &'static str) -> Error {
        Error::Malformed { at: self.at, what }
    }

    fn take<const N: usize>(&mut self) -> Result<[u8; N], Error> {
        let end = self.at.saturating_add(N);
        let field = self.bytes.get(self.at..end).and_then(|field| field.try_into().ok());
        let field = field.ok_or_else(|| self.fault("cut short"))?;
        self.at = end;
        Ok(field)
    }

    pub(crate) fn u8(&mut self) -> Result<u8, Error> {
        Ok(u8::from_le_bytes(self.take()?))
    }

    pub(crate) fn u16(&mut self) -> Result<u16, Error> {
        Ok(u16::from_le_bytes(self.take()?))
    }

    pub(crate) fn u32(&mut self) -> Result<u32, Error> {
        Ok(u32::from_le_bytes(self.take()?))
    }

    pub(crate) fn u64(&mut self) -> Result<u64, Error> {
        Ok(u64::from_le_bytes(self.take()?))
    }

    /// A number that is not negative, and no greater than anything that is counted or timed here: what follows
    /// from it by arithmetic stays finite.
    pub(crate) fn positive(&mut self) -> Result<f32, Error> {
        let value = f32::from_bits(self.u32()?);
        if (0.0..=NUMBER_MAX).contains(&value) { Ok(value) } else { Err(self.fault("not a count")) }
    }

    pub(crate) fn finite(&mut self) -> Result<f64, Error> {
        let value = f64::from_bits(self.u64()?);
        if value.is_finite() { Ok(value) } else { Err(self.fault("not a number")) }
    }

    pub(crate) fn time(&mut self) -> Result<UnixMillis, Error> {
        Ok(UnixMillis(self.u64()?))
    }

    /// A number of entries, of which each takes at least one byte.
    pub(crate) fn count(&mut self) -> Result<usize, Error> {
        let count = self.u32()? as usize;
        let rest = self.bytes.len() - self.at;
        if count <= rest { Ok(count) } else { Err(self.fault("more entries than bytes")) }
    }

    pub(crate) fn device(&mut self) -> Result<DeviceKey, Error> {
        Ok(DeviceKey::new(self.u32()?, self.u64()?))
    }

    pub(crate) fn finish(self) -> Result<(), Error> {
        if self.at == self.bytes.len() { Ok(()) } else { Err(self.fault("bytes after the end")) }
    }
}

/// 64-bit FNV-1a: against damage, not against forgery (the file is the operator's own).
fn checksum(bytes: &[u8]) -> u64 {
    bytes.iter().fold(0xcbf2_9ce4_8422_2325, |hash, byte| (hash ^ u64::from(*byte)).wrapping_mul(0x0000_0100_0000_01b3))
}
