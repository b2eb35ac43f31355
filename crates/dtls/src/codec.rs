//! Reading and writing TLS's presentation language (RFC 5246 section 4), without a panic path.

use alloc::vec::Vec;

use crate::Error;

const TRUNCATED: Error = Error::Malformed("the bytes end too early");

/// Reads from the front of a slice.
#[derive(Clone, Copy)]
pub(crate) struct Reader<'a>(&'a [u8]);

impl<'a> Reader<'a> {
    pub const fn new(bytes: &'a [u8]) -> Self {
        Self(bytes)
    }

    pub const fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    pub const fn rest(&self) -> &'a [u8] {
        self.0
    }

    pub fn take(&mut self, length: usize) -> Result<&'a [u8], Error> {
        let (head, rest) = self.0.split_at_checked(length).ok_or(TRUNCATED)?;
        self.0 = rest;
        Ok(head)
    }

    pub fn array<const N: usize>(&mut self) -> Result<[u8; N], Error> {
        let (head, rest) = self.0.split_first_chunk::<N>().ok_or(TRUNCATED)?;
        self.0 = rest;
        Ok(*head)
    }

    pub fn u8(&mut self) -> Result<u8, Error> {
        self.array().map(u8::from_be_bytes)
    }

    pub fn u16(&mut self) -> Result<u16, Error> {
        self.array().map(u16::from_be_bytes)
    }

    pub fn u24(&mut self) -> Result<u32, Error> {
        let [a, b, c] = self.array()?;
        Ok(u32::from_be_bytes([0, a, b, c]))
    }

    pub fn u32(&mut self) -> Result<u32, Error> {
        self.array().map(u32::from_be_bytes)
    }

    pub fn u64(&mut self) -> Result<u64, Error> {
        self.array().map(u64::from_be_bytes)
    }

    /// A vector with a length of one byte.
    pub fn vec8(&mut self) -> Result<&'a [u8], Error> {
        let length = self.u8()?;
        self.take(usize::from(length))
    }

    /// A vector with a length of two bytes.
    pub fn vec16(&mut self) -> Result<&'a [u8], Error> {
        let length = self.u16()?;
        self.take(usize::from(length))
    }

    /// # Errors
    /// If anything is left.
    pub fn finish(self) -> Result<(), Error> {
        match self.0 {
            [] => Ok(()),
            _ => Err(Error::Malformed("bytes are left over")),
        }
    }
}

pub(crate) const TOO_SHORT: Error = Error::Misuse("the buffer is too short");

/// Writes to the front of a buffer that the caller supplied.
pub(crate) struct Writer<'a> {
    rest: &'a mut [u8],
    written: usize,
}

impl<'a> Writer<'a> {
    pub const fn new(buffer: &'a mut [u8]) -> Self {
        Self { rest: buffer, written: 0 }
    }

    pub fn put(&mut self, bytes: &[u8]) -> Result<(), Error> {
        let space = self.rest.split_off_mut(..bytes.len()).ok_or(TOO_SHORT)?;
        space.iter_mut().zip(bytes).for_each(|(to, from)| *to = *from);
        self.written += bytes.len();
        Ok(())
    }

    /// How many bytes there are.
    pub const fn written(&self) -> usize {
        self.written
    }

    /// What is left of the buffer, and how much was written in front of it.
    pub const fn into_rest(self) -> (&'a mut [u8], usize) {
        (self.rest, self.written)
    }
}

/// The u16 values of a list.
pub(crate) fn u16s(list: &[u8]) -> impl Iterator<Item = u16> {
    list.chunks_exact(2).filter_map(|pair| match *pair {
        [high, low] => Some(u16::from_be_bytes([high, low])),
        _ => None,
    })
}

pub(crate) fn put_u16(out: &mut Vec<u8>, value: u16) {
    out.extend_from_slice(&value.to_be_bytes());
}

pub(crate) fn put_u24(out: &mut Vec<u8>, value: usize) {
    let [.., a, b, c] = (value as u32).to_be_bytes();
    out.extend_from_slice(&[a, b, c]);
}

/// A vector with a length of one byte; `bytes` is ours and known to be short.
pub(crate) fn put_vec8(out: &mut Vec<u8>, bytes: &[u8]) {
    debug_assert!(bytes.len() <= 0xFF);
    out.push(bytes.len() as u8);
    out.extend_from_slice(bytes);
}

/// A vector with a length of two bytes; `bytes` is ours and known to be short.
pub(crate) fn put_vec16(out: &mut Vec<u8>, bytes: &[u8]) {
    debug_assert!(bytes.len() <= 0xFFFF);
    put_u16(out, bytes.len() as u16);
    out.extend_from_slice(bytes);
}

/// A copy, or `None` if there is no memory for it.
pub(crate) fn try_copy(bytes: &[u8]) -> Option<Vec<u8>> {
    let mut copy = Vec::new();
    copy.try_reserve_exact(bytes.len()).ok()?;
    copy.extend_from_slice(bytes);
    Some(copy)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn vectors_round_trip_and_truncations_are_errors() {
        let mut out = Vec::new();
        put_vec8(&mut out, b"ab");
        put_vec16(&mut out, b"cde");
        put_u24(&mut out, 0x01_02_03);
        let mut reader = Reader::new(&out);
        assert_eq!(reader.vec8().unwrap(), b"ab");
        assert_eq!(reader.vec16().unwrap(), b"cde");
        assert!(reader.finish().is_err());
        assert_eq!(reader.u24().unwrap(), 0x01_02_03);
        assert!(reader.finish().is_ok());
        assert_eq!(Reader::new(&[3, 1, 2]).vec8(), Err(TRUNCATED));
    }
}
