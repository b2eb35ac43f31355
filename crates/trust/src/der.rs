//! DER (ITU-T X.690) that can be read in one way only, as much of it as certificates need: tags of one byte, definite
//! lengths in their shortest form. Reading borrows and allocates nothing.

#[cfg(feature = "verifier")]
pub mod write;

use crate::Error;

pub const BOOLEAN: u8 = 0x01;
pub const INTEGER: u8 = 0x02;
pub const BIT_STRING: u8 = 0x03;
pub const OCTET_STRING: u8 = 0x04;
pub const OBJECT: u8 = 0x06;
pub const ENUMERATED: u8 = 0x0A;
pub const UTF8_STRING: u8 = 0x0C;
pub const UTC_TIME: u8 = 0x17;
pub const GENERALIZED_TIME: u8 = 0x18;
pub const SEQUENCE: u8 = 0x30;
pub const SET: u8 = 0x31;

const BROKEN: Error = Error::Malformed("DER that ends too early");
const SHAPE: Error = Error::Malformed("DER with another element than its format has there");

/// Elements one after the other.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Reader<'a>(&'a [u8]);

/// One element.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Element<'a> {
    pub tag: u8,
    pub value: &'a [u8],
    /// With tag and length.
    pub whole: &'a [u8],
}

impl<'a> Reader<'a> {
    #[must_use]
    pub const fn new(bytes: &'a [u8]) -> Self {
        Self(bytes)
    }

    /// The value of the one element that `bytes` are.
    ///
    /// # Errors
    /// `Malformed` if they are not exactly one element with this tag.
    pub fn only(bytes: &'a [u8], tag: u8) -> Result<&'a [u8], Error> {
        let mut reader = Self(bytes);
        let value = reader.take(tag)?;
        reader.end()?;
        Ok(value)
    }

    #[must_use]
    pub const fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// # Errors
    /// `Malformed` if there is none, or its tag or length is not in the one form.
    pub fn element(&mut self) -> Result<Element<'a>, Error> {
        let whole = self.0;
        let [tag, first, rest @ ..] = whole else { return Err(BROKEN) };
        if tag & 0x1F == 0x1F {
            return Err(Error::Unsupported("a DER tag of several bytes"));
        }
        let (length, rest) = match *first {
            0..=0x7F => (usize::from(*first), rest),
            0x81..=0x83 => long_length(usize::from(first & 0x7F), rest)?,
            _ => return Err(Error::Malformed("a DER length that is indefinite or too large")),
        };
        let (value, after) = rest.split_at_checked(length).ok_or(BROKEN)?;
        let (whole, _) = whole.split_at_checked(whole.len() - after.len()).ok_or(BROKEN)?;
        self.0 = after;
        Ok(Element { tag: *tag, value, whole })
    }

    /// The value of the next element, which must have this tag.
    ///
    /// # Errors
    /// `Malformed` otherwise.
    pub fn take(&mut self, tag: u8) -> Result<&'a [u8], Error> {
        let element = self.element()?;
        if element.tag == tag { Ok(element.value) } else { Err(SHAPE) }
    }

    /// The value of the next element if it has this tag; else nothing is read.
    ///
    /// # Errors
    /// `Malformed` if it has and is broken.
    pub fn optional(&mut self, tag: u8) -> Result<Option<&'a [u8]>, Error> {
        if self.0.first() == Some(&tag) { self.take(tag).map(Some) } else { Ok(None) }
    }

    /// # Errors
    /// `Malformed` if anything is left.
    pub const fn end(self) -> Result<(), Error> {
        if self.0.is_empty() { Ok(()) } else { Err(Error::Malformed("bytes behind the last DER element")) }
    }
}

fn long_length(count: usize, rest: &[u8]) -> Result<(usize, &[u8]), Error> {
    let (bytes, rest) = rest.split_at_checked(count).ok_or(BROKEN)?;
    let length = bytes.iter().fold(0, |length, byte| length << 8 | usize::from(*byte));
    let shortest = length > 0x7F && bytes.first() != Some(&0);
    if shortest { Ok((length, rest)) } else { Err(Error::Malformed("a DER length that is not in its shortest form")) }
}

/// A BOOLEAN's value.
///
/// # Errors
/// `Malformed` if it is neither of the two.
pub const fn boolean(value: &[u8]) -> Result<bool, Error> {
    match value {
        [0] => Ok(false),
        [0xFF] => Ok(true),
        _ => Err(Error::Malformed("a DER BOOLEAN that is neither true nor false")),
    }
}

/// Whether it stands there as TRUE. DER leaves out what is the default, so FALSE may not stand there.
///
/// # Errors
/// `Malformed` if it does, or it is no BOOLEAN.
pub fn stated(value: Option<&[u8]>) -> Result<bool, Error> {
    match value.map(boolean).transpose()? {
        Some(false) => Err(Error::Malformed("DER that states a default")),
        stated => Ok(stated.is_some()),
    }
}

/// An INTEGER's bytes, in their shortest form.
///
/// # Errors
/// `Malformed` if they are not.
pub const fn integer(value: &[u8]) -> Result<&[u8], Error> {
    match value {
        [] | [0, 0..=0x7F, ..] | [0xFF, 0x80..=0xFF, ..] => {
            Err(Error::Malformed("a DER INTEGER that is not in its shortest form"))
        }
        _ => Ok(value),
    }
}

/// An INTEGER that is not negative.
///
/// # Errors
/// `Malformed` if it is negative or not in its shortest form, `Unavailable` above 64 bits.
pub fn unsigned(value: &[u8]) -> Result<u64, Error> {
    let bytes = integer(value)?;
    if bytes.first().is_some_and(|first| first & 0x80 != 0) {
        return Err(Error::Malformed("a negative number where there can be none"));
    }
    let bytes = bytes.strip_prefix(&[0]).unwrap_or(bytes);
    if bytes.len() > 8 {
        return Err(Error::Unavailable("a number of more than 64 bits"));
    }
    Ok(bytes.iter().fold(0, |number, byte| number << 8 | u64::from(*byte)))
}

/// A BIT STRING of whole bytes.
///
/// # Errors
/// `Malformed` if some of its bits are unused.
pub const fn whole_bytes(value: &[u8]) -> Result<&[u8], Error> {
    match value {
        [0, bytes @ ..] => Ok(bytes),
        _ => Err(Error::Malformed("a BIT STRING that is not of whole bytes")),
    }
}

/// A BIT STRING of named bits, of which at most 32: bit 0 is the highest of the result. Bits at its end that are zero
/// may stand there, for some formats want a fixed width.
///
/// # Errors
/// `Malformed` if unused bits are set or are said to be where none are, `Unavailable` above 32 bits.
pub fn named_bits(value: &[u8]) -> Result<u32, Error> {
    let (unused, bytes) = value.split_first().ok_or(BROKEN)?;
    let last = bytes.last().copied().unwrap_or(0);
    let padding = 1_u8.checked_shl(u32::from(*unused)).map_or(0xFF, |bit| bit.wrapping_sub(1));
    if *unused > 7 || last & padding != 0 || (bytes.is_empty() && *unused != 0) {
        return Err(Error::Malformed("a BIT STRING with unused bits that are used"));
    }
    if bytes.len() > 4 {
        return Err(Error::Unavailable("more than 32 named bits"));
    }
    let mut out = [0; 4];
    for (to, byte) in out.iter_mut().zip(bytes) {
        *to = *byte;
    }
    Ok(u32::from_be_bytes(out))
}

/// UTF-8 text.
///
/// # Errors
/// `Malformed` if it is none.
pub fn text(value: &[u8]) -> Result<&str, Error> {
    core::str::from_utf8(value).map_err(|_| Error::Malformed("DER text that is not UTF-8"))
}

#[cfg(test)]
mod tests {
    use super::*;
    use alloc::vec;
    use alloc::vec::Vec;

    #[test]
    fn one_form_of_every_length() {
        let whole = |head: &[u8], length: usize| {
            let mut bytes = head.to_vec();
            bytes.resize(head.len() + length, 7);
            bytes
        };
        for (head, length) in [(&[4, 0][..], 0), (&[4, 0x7F], 127), (&[4, 0x81, 0x80], 128), (&[4, 0x82, 1, 0], 256)] {
            let bytes = whole(head, length);
            assert_eq!(Reader::only(&bytes, OCTET_STRING).unwrap().len(), length);
            assert!(Reader::only(&bytes, SEQUENCE).is_err());
            assert!(Reader::only(&bytes[..bytes.len() - 1], OCTET_STRING).is_err());
        }
        for (head, length) in [(&[4, 0x81, 0x7F][..], 127), (&[4, 0x82, 0, 0x80], 128), (&[4, 0x80], 2)] {
            assert!(Reader::only(&whole(head, length), OCTET_STRING).is_err(), "{head:02x?}");
        }
        assert!(Reader::new(&[0x1F, 0x81, 1, 0]).element().is_err());
        assert!(Reader::new(&[4, 0x84, 0, 0, 0, 1, 0]).element().is_err());
        assert!(Reader::only(&[4, 0, 0], OCTET_STRING).is_err());
    }

    #[test]
    fn numbers_and_booleans_have_one_form() {
        assert_eq!(unsigned(&[0]), Ok(0));
        assert_eq!(unsigned(&[0, 0x80]), Ok(128));
        assert_eq!(unsigned(&[0, 0xFF, 255, 255, 255, 255, 255, 255, 255]), Ok(u64::MAX));
        assert!(matches!(unsigned(&[1, 0, 0, 0, 0, 0, 0, 0, 0]), Err(Error::Unavailable(_))));
        for bad in [&[][..], &[0, 0x7F], &[0xFF, 0x80], &[0x80]] {
            assert!(matches!(unsigned(bad), Err(Error::Malformed(_))), "{bad:02x?}");
        }
        assert_eq!((stated(None), stated(Some(&[0xFF]))), (Ok(false), Ok(true)));
        assert!(stated(Some(&[0])).is_err() && stated(Some(&[1])).is_err() && stated(Some(&[])).is_err());
    }

    #[test]
    fn named_bits_count_from_the_top() {
        assert_eq!(named_bits(&[2, 0x04]), Ok(0x0400_0000));
        assert_eq!(named_bits(&[0, 0xD0, 0, 0, 1]), Ok(0xD000_0001));
        assert_eq!(named_bits(&[0]), Ok(0));
        for bad in [&[][..], &[1], &[8, 0], &[3, 0x04]] {
            assert!(named_bits(bad).is_err(), "{bad:02x?}");
        }
        assert!(matches!(named_bits(&[0, 0, 0, 0, 0, 0]), Err(Error::Unavailable(_))));
    }

    #[test]
    fn random_bytes_are_read_or_refused() {
        let mut state = 0x9E37_79B9_u32;
        for round in 0..20_000_usize {
            let bytes: Vec<u8> = (0..round % 40)
                .map(|_| {
                    state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
                    (state >> 24) as u8
                })
                .collect();
            let mut reader = Reader::new(&bytes);
            let mut read = vec![];
            while let Ok(element) = reader.element() {
                read.extend_from_slice(element.whole);
                let _ = (unsigned(element.value), named_bits(element.value), boolean(element.value));
            }
            assert!(bytes.starts_with(&read));
        }
    }
}
