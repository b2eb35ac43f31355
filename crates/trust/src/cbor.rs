//! CBOR (RFC 8949) that can be read in one way only.
//!
//! [`Strict::new`] walks over the whole item first: preferred (shortest) integers and lengths, nothing of indefinite
//! length, no duplicate keys, bounded nesting, nothing behind the end. What signs and what is judged are then the same
//! bytes with the same meaning for everybody. Keys need not be sorted: several published formats are not.

use minicbor::Decoder;

use crate::{Error, limits};

const BROKEN: Error = Error::Malformed("CBOR that ends too early or is no CBOR");

/// One item, checked.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Strict<'a>(&'a [u8]);

impl<'a> Strict<'a> {
    /// # Errors
    /// `Malformed` if the bytes are not exactly one item that keeps the module's rules, `Unavailable` if it nests too
    /// deep or a map is too large.
    pub fn new(bytes: &'a [u8]) -> Result<Self, Error> {
        let (item, rest) = Self::first(bytes)?;
        if rest.is_empty() { Ok(item) } else { Err(Error::Malformed("bytes behind the CBOR item")) }
    }

    /// The first of a sequence (RFC 8742) of items, and what follows it.
    ///
    /// # Errors
    /// As [`Self::new`].
    pub fn first(bytes: &'a [u8]) -> Result<(Self, &'a [u8]), Error> {
        let end = end_of(bytes, limits::NESTING_MAX)?;
        let (item, rest) = bytes.split_at_checked(end).ok_or(BROKEN)?;
        Ok((Self(item), rest))
    }

    #[must_use]
    pub const fn bytes(self) -> &'a [u8] {
        self.0
    }

    #[must_use]
    pub fn decoder(self) -> Decoder<'a> {
        Decoder::new(self.0)
    }

    /// The item's value without its tag, if that is its tag.
    #[must_use]
    pub fn untagged(self, tag: u64) -> Option<Self> {
        let (major, argument, rest) = head(self.0).ok()?;
        (major == 6 && argument == tag).then_some(Self(rest))
    }

    /// Elements of an array; `None` if it is none.
    #[must_use]
    pub fn array(self) -> Option<Items<'a>> {
        let (major, left, rest) = head(self.0).ok()?;
        (major == 4).then_some(Items { left, rest })
    }

    /// Keys and values of a map; `None` if it is none.
    #[must_use]
    pub fn map(self) -> Option<Pairs<'a>> {
        let (major, left, rest) = head(self.0).ok()?;
        (major == 5).then_some(Pairs(Items { left: left.saturating_mul(2), rest }))
    }

    /// The value under an integer key of a map.
    #[must_use]
    pub fn under(self, key: i64) -> Option<Self> {
        self.map()?.find(|(name, _)| name.int() == Some(key)).map(|(_, value)| value)
    }

    /// The value under a text key of a map.
    #[must_use]
    pub fn under_text(self, key: &str) -> Option<Self> {
        self.map()?.find(|(name, _)| name.text() == Some(key)).map(|(_, value)| value)
    }

    #[must_use]
    pub fn int(self) -> Option<i64> {
        self.decoder().i64().ok()
    }

    #[must_use]
    pub fn uint(self) -> Option<u64> {
        self.decoder().u64().ok()
    }

    #[must_use]
    pub fn byte_string(self) -> Option<&'a [u8]> {
        self.decoder().bytes().ok()
    }

    #[must_use]
    pub fn text(self) -> Option<&'a str> {
        self.decoder().str().ok()
    }

    #[must_use]
    pub fn boolean(self) -> Option<bool> {
        self.decoder().bool().ok()
    }
}

/// See [`Strict::array`].
#[derive(Clone, Copy, Debug)]
pub struct Items<'a> {
    left: u64,
    rest: &'a [u8],
}

impl Items<'_> {
    /// How many are left.
    #[must_use]
    pub const fn len(&self) -> u64 {
        self.left
    }

    #[must_use]
    pub const fn is_empty(&self) -> bool {
        self.left == 0
    }
}

impl<'a> Iterator for Items<'a> {
    type Item = Strict<'a>;

    fn next(&mut self) -> Option<Strict<'a>> {
        self.left = self.left.checked_sub(1)?;
        let (item, rest) = Strict::first(self.rest).ok()?;
        self.rest = rest;
        Some(item)
    }
}

/// See [`Strict::map`].
#[derive(Clone, Copy, Debug)]
pub struct Pairs<'a>(Items<'a>);

impl<'a> Iterator for Pairs<'a> {
    type Item = (Strict<'a>, Strict<'a>);

    fn next(&mut self) -> Option<Self::Item> {
        Some((self.0.next()?, self.0.next()?))
    }
}

/// Major type, argument, and what follows the head.
fn head(bytes: &[u8]) -> Result<(u8, u64, &[u8]), Error> {
    let (first, rest) = bytes.split_first().ok_or(BROKEN)?;
    let (major, info) = (first >> 5, first & 0x1F);
    let length = match info {
        0..=23 => return Ok((major, u64::from(info), rest)),
        24..=27 => 1_usize << (info - 24),
        _ => return Err(Error::Malformed("CBOR of indefinite length or with a reserved head")),
    };
    let (argument, rest) = rest.split_at_checked(length).ok_or(BROKEN)?;
    let argument = argument.iter().fold(0_u64, |value, byte| value << 8 | u64::from(*byte));
    let least = match length {
        1 => 24,
        _ => 1_u64 << (length * 4),
    };
    // Floats (major type 7) have a meaning of their own for the lengths 2 to 8; simple values begin at 32.
    let shortest = match major {
        7 => length > 1 || argument >= 32,
        _ => argument >= least,
    };
    if shortest { Ok((major, argument, rest)) } else { Err(Error::Malformed("CBOR that is not in its shortest form")) }
}

/// Where the first item ends.
fn end_of(bytes: &[u8], depth: usize) -> Result<usize, Error> {
    let (major, argument, rest) = head(bytes)?;
    let after_head = bytes.len() - rest.len();
    let length = || usize::try_from(argument).ok().filter(|length| *length <= rest.len()).ok_or(BROKEN);
    match major {
        2 => Ok(after_head + length()?),
        3 => {
            let length = length()?;
            let text = rest.get(..length).and_then(|text| core::str::from_utf8(text).ok());
            text.map(|_| after_head + length).ok_or(Error::Malformed("CBOR text that is not UTF-8"))
        }
        4..=6 => {
            let depth = depth.checked_sub(1).ok_or(Error::Unavailable("CBOR that nests deeper than is taken"))?;
            let inner = match major {
                4 => end_of_items(rest, argument, depth)?,
                5 => end_of_map(rest, argument, depth)?,
                _ => end_of(rest, depth)?,
            };
            Ok(after_head + inner)
        }
        _ => Ok(after_head),
    }
}

fn end_of_items(bytes: &[u8], count: u64, depth: usize) -> Result<usize, Error> {
    // Every item has a byte at least: a count beyond that ends with the first missing one.
    let mut at = 0;
    for _ in 0..count {
        at += end_of(bytes.get(at..).ok_or(BROKEN)?, depth)?;
    }
    Ok(at)
}

fn end_of_map(bytes: &[u8], count: u64, depth: usize) -> Result<usize, Error> {
    let count = usize::try_from(count).ok().filter(|count| *count <= limits::MAP_ENTRIES_MAX);
    let count = count.ok_or(Error::Unavailable("a CBOR map with more entries than are taken"))?;
    // Nearly all maps are small, and room for the keys of large ones costs time and stack.
    match count {
        0..=16 => end_of_map_of::<16>(bytes, count, depth),
        _ => end_of_map_of::<{ limits::MAP_ENTRIES_MAX }>(bytes, count, depth),
    }
}

#[inline(never)]
fn end_of_map_of<const MOST: usize>(bytes: &[u8], count: usize, depth: usize) -> Result<usize, Error> {
    let mut keys = [&bytes[..0]; MOST];
    let mut at = 0;
    for index in 0..count {
        let rest = bytes.get(at..).ok_or(BROKEN)?;
        let key = rest.get(..end_of(rest, depth)?).ok_or(BROKEN)?;
        if keys.iter().take(index).any(|earlier| *earlier == key) {
            return Err(Error::Malformed("a CBOR map with the same key twice"));
        }
        if let Some(place) = keys.get_mut(index) {
            *place = key;
        }
        at += key.len();
        at += end_of(bytes.get(at..).ok_or(BROKEN)?, depth)?;
    }
    Ok(at)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn fault(bytes: &[u8]) -> Error {
        Strict::new(bytes).unwrap_err()
    }

    #[test]
    fn one_item_in_one_form() {
        for good in [&[0x17][..], &[0x18, 0x18], &[0xF5], &[0xF9, 0, 0], &[0x82, 1, 0x41, 9], &[0xA2, 2, 1, 1, 2]] {
            assert!(Strict::new(good).is_ok(), "{good:02x?}");
        }
        for bad in [
            &[][..],
            &[0x18],
            &[0x18, 0x17],
            &[0x19, 0, 0xFF],
            &[0x1B, 0, 0, 0, 0, 0xFF, 0xFF, 0xFF, 0xFF],
            &[0x5F, 0x41, 1, 0xFF],
            &[0x9F, 1, 0xFF],
            &[0x82, 1],
            &[0x42, 1],
            &[0x61, 0xFF],
            &[0xF8, 0x1F],
            &[0x1C],
            &[1, 1],
        ] {
            assert!(matches!(fault(bad), Error::Malformed(_)), "{bad:02x?}");
        }
    }

    #[test]
    fn no_key_comes_twice() {
        assert_eq!(fault(&[0xA2, 1, 1, 1, 2]), Error::Malformed("a CBOR map with the same key twice"));
        assert_eq!(fault(&[0x81, 0xA2, 0x61, b'a', 1, 0x61, b'a', 2]), fault(&[0xA2, 1, 1, 1, 2]));
        for count in [15, 16, 17, limits::MAP_ENTRIES_MAX as u16] {
            // Keys from 256 on, all of three bytes.
            let map = |last: u16| {
                let mut bytes = alloc::vec::Vec::new();
                let mut to = minicbor::Encoder::new(&mut bytes);
                to.map(u64::from(count)).unwrap();
                for key in (1..count).chain([last]) {
                    to.u16(256 + key).unwrap().bool(true).unwrap();
                }
                bytes
            };
            assert!(Strict::new(&map(count)).is_ok(), "{count}");
            assert!((1..count).all(|key| fault(&map(key)) == fault(&[0xA2, 1, 1, 1, 2])), "{count}");
        }
    }

    #[test]
    fn nesting_and_maps_end_at_their_limits() {
        let nested = |depth: usize| {
            let mut bytes = [0x81; limits::NESTING_MAX + 2];
            bytes[depth] = 0;
            bytes
        };
        let at = limits::NESTING_MAX;
        assert!(Strict::new(&nested(at)[..=at]).is_ok());
        assert!(matches!(fault(&nested(at + 1)[..=at + 1]), Error::Unavailable(_)));
        assert!(matches!(fault(&[0xB9, 0xFF, 0xFF]), Error::Unavailable(_)));
        assert!(matches!(fault(&[0x9B, 0xFF, 0xFF, 0xFF, 0xFF, 0xFF, 0xFF, 0xFF, 0xFF]), Error::Malformed(_)));
    }

    #[test]
    fn values_are_found_under_their_keys() {
        let item = Strict::new(&[0xA3, 1, 0x41, 7, 0x61, b'k', 0xD2, 0x81, 5, 0x20, 0xF5]).unwrap();
        assert_eq!(item.under(1).unwrap().byte_string(), Some(&[7][..]));
        assert_eq!(item.under(-1).unwrap().boolean(), Some(true));
        let tagged = item.under_text("k").unwrap();
        assert!(tagged.untagged(17).is_none());
        let mut array = tagged.untagged(18).unwrap().array().unwrap();
        assert_eq!((array.len(), array.next().unwrap().uint(), array.next()), (1, Some(5), None));
    }
}
