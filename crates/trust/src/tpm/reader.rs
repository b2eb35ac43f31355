//! TPM structures: big-endian numbers, and buffers with their size before them.

use crate::Error;

/// What is left to read.
#[derive(Clone, Copy, Debug)]
pub(super) struct Reader<'a>(&'a [u8]);

impl<'a> Reader<'a> {
    pub const fn new(bytes: &'a [u8]) -> Self {
        Self(bytes)
    }

    pub fn take(&mut self, count: usize) -> Result<&'a [u8], Error> {
        let (taken, rest) =
            self.0.split_at_checked(count).ok_or(Error::Malformed("a TPM structure that ends early"))?;
        self.0 = rest;
        Ok(taken)
    }

    fn array<const N: usize>(&mut self) -> Result<[u8; N], Error> {
        self.take(N)?.try_into().map_err(|_| Error::Malformed("a TPM structure that ends early"))
    }

    pub fn u8(&mut self) -> Result<u8, Error> {
        self.array().map(u8::from_be_bytes)
    }

    pub fn u16(&mut self) -> Result<u16, Error> {
        self.array().map(u16::from_be_bytes)
    }

    pub fn u32(&mut self) -> Result<u32, Error> {
        self.array().map(u32::from_be_bytes)
    }

    pub fn u64(&mut self) -> Result<u64, Error> {
        self.array().map(u64::from_be_bytes)
    }

    /// Event logs are little-endian.
    pub fn u16_le(&mut self) -> Result<u16, Error> {
        self.array().map(u16::from_le_bytes)
    }

    /// Likewise.
    pub fn u32_le(&mut self) -> Result<u32, Error> {
        self.array().map(u32::from_le_bytes)
    }

    /// A TPM2B of at most `most` bytes.
    pub fn sized(&mut self, most: usize) -> Result<&'a [u8], Error> {
        let length = usize::from(self.u16()?);
        if length > most {
            return Err(Error::Unavailable("a TPM buffer longer than is taken"));
        }
        self.take(length)
    }

    pub const fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    pub const fn end(self) -> Result<(), Error> {
        if self.0.is_empty() { Ok(()) } else { Err(Error::Malformed("bytes behind a TPM structure")) }
    }
}

/// A number of up to 32 bytes, padded: implementations leave leading zeros out, or not.
pub(super) fn number(bytes: &[u8]) -> Result<[u8; 32], Error> {
    let mut out = [0; 32];
    let start = out.len().checked_sub(bytes.len()).ok_or(Error::Malformed("a number larger than its curve's"))?;
    out.iter_mut().skip(start).zip(bytes).for_each(|(to, from)| *to = *from);
    Ok(out)
}
