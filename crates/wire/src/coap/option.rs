//! Options: their numbers, their properties, and how they lie in a message (RFC 7252 sections 3.1, 5.4).

use crate::error::Malformed;
use crate::limits::COAP_ECHO_BYTES_MAX;

/// An option's number, whose low bits tell how to treat an option one does not know.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct OptionNumber(pub u16);

impl OptionNumber {
    pub const IF_MATCH: Self = Self(1);
    pub const URI_HOST: Self = Self(3);
    pub const ETAG: Self = Self(4);
    pub const IF_NONE_MATCH: Self = Self(5);
    /// RFC 7641.
    pub const OBSERVE: Self = Self(6);
    pub const URI_PORT: Self = Self(7);
    pub const LOCATION_PATH: Self = Self(8);
    /// RFC 8613.
    pub const OSCORE: Self = Self(9);
    pub const URI_PATH: Self = Self(11);
    pub const CONTENT_FORMAT: Self = Self(12);
    pub const MAX_AGE: Self = Self(14);
    pub const URI_QUERY: Self = Self(15);
    /// RFC 8768.
    pub const HOP_LIMIT: Self = Self(16);
    pub const ACCEPT: Self = Self(17);
    pub const LOCATION_QUERY: Self = Self(20);
    /// RFC 7959.
    pub const BLOCK2: Self = Self(23);
    /// RFC 7959.
    pub const BLOCK1: Self = Self(27);
    /// RFC 7959.
    pub const SIZE2: Self = Self(28);
    pub const PROXY_URI: Self = Self(35);
    pub const PROXY_SCHEME: Self = Self(39);
    pub const SIZE1: Self = Self(60);
    /// RFC 9175.
    pub const ECHO: Self = Self(252);
    /// RFC 7967.
    pub const NO_RESPONSE: Self = Self(258);
    /// RFC 9175.
    pub const REQUEST_TAG: Self = Self(292);

    /// An unknown critical option makes the message unacceptable; an elective one is ignored.
    #[must_use]
    pub const fn is_critical(self) -> bool {
        self.0 & 1 != 0
    }

    /// A proxy that does not know this option must not forward the message.
    #[must_use]
    pub const fn is_unsafe_to_forward(self) -> bool {
        self.0 & 2 != 0
    }

    /// Not part of the cache key (only meaningful for options that are safe to forward).
    #[must_use]
    pub const fn is_no_cache_key(self) -> bool {
        self.0 & 0x1e == 0x1c
    }

    /// Length bounds and repeatability of an option whose definition we know.
    pub(super) const fn definition(self) -> Option<Definition> {
        Some(match self {
            Self::IF_MATCH => Definition::many(0, 8),
            Self::URI_HOST => Definition::one(1, 255),
            Self::ETAG => Definition::many(1, 8),
            Self::IF_NONE_MATCH => Definition::one(0, 0),
            Self::OBSERVE => Definition::one(0, 3),
            Self::URI_PORT | Self::CONTENT_FORMAT | Self::ACCEPT => Definition::one(0, 2),
            Self::LOCATION_PATH | Self::URI_PATH | Self::URI_QUERY | Self::LOCATION_QUERY => Definition::many(0, 255),
            Self::OSCORE => Definition::one(0, 255),
            Self::MAX_AGE | Self::SIZE1 | Self::SIZE2 => Definition::one(0, 4),
            Self::HOP_LIMIT => Definition::one(1, 1),
            Self::BLOCK1 | Self::BLOCK2 => Definition::one(0, 3),
            Self::PROXY_URI => Definition::one(1, 1034),
            Self::PROXY_SCHEME => Definition::one(1, 255),
            Self::ECHO => Definition::one(1, COAP_ECHO_BYTES_MAX),
            Self::NO_RESPONSE => Definition::one(0, 1),
            Self::REQUEST_TAG => Definition::many(0, 8),
            _ => return None,
        })
    }
}

/// What an option's definition says of its values (RFC 7252 table 4).
#[derive(Clone, Copy)]
pub(super) struct Definition {
    pub repeatable: bool,
    bytes_min: usize,
    bytes_max: usize,
}

impl Definition {
    const fn one(bytes_min: usize, bytes_max: usize) -> Self {
        Self { repeatable: false, bytes_min, bytes_max }
    }

    const fn many(bytes_min: usize, bytes_max: usize) -> Self {
        Self { repeatable: true, bytes_min, bytes_max }
    }

    pub(super) const fn allows(self, length: usize) -> bool {
        self.bytes_min <= length && length <= self.bytes_max
    }
}

/// One option of a message.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct OptionView<'a> {
    pub number: OptionNumber,
    pub value: &'a [u8],
}

/// The options of a message in ascending order of their numbers.
#[derive(Clone, Debug)]
pub struct Options<'a> {
    /// Checked by `MessageView::parse` or written by `Builder`.
    rest: &'a [u8],
    number: u16,
}

impl<'a> Options<'a> {
    pub(super) const fn new(checked: &'a [u8]) -> Self {
        Self { rest: checked, number: 0 }
    }

    /// The bytes not read yet.
    pub(super) const fn rest(&self) -> &'a [u8] {
        self.rest
    }
}

impl<'a> Iterator for Options<'a> {
    type Item = OptionView<'a>;

    fn next(&mut self) -> Option<OptionView<'a>> {
        let Ok(Step::Option { delta, value, rest }) = step(self.rest) else {
            self.rest = &[];
            return None;
        };
        let number = self.number.checked_add(delta)?;
        self.number = number;
        self.rest = rest;
        Some(OptionView { number: OptionNumber(number), value })
    }
}

/// The values of every option with one number, in order.
#[derive(Clone, Debug)]
pub struct Values<'a> {
    pub(super) options: Options<'a>,
    pub(super) number: OptionNumber,
}

impl<'a> Iterator for Values<'a> {
    type Item = &'a [u8];

    fn next(&mut self) -> Option<&'a [u8]> {
        let number = self.number;
        // Options are in ascending order, so the first larger number ends the search.
        self.options
            .by_ref()
            .take_while(|option| option.number <= number)
            .find(|option| option.number == number)
            .map(|option| option.value)
    }
}

/// What comes next where an option may start.
pub(super) enum Step<'a> {
    Option {
        delta: u16,
        value: &'a [u8],
        rest: &'a [u8],
    },
    /// The payload marker; the payload behind it, not empty.
    Payload(&'a [u8]),
    End,
}

/// Reads one option, or the payload marker.
pub(super) fn step(bytes: &[u8]) -> Result<Step<'_>, Malformed> {
    let Some((&first, rest)) = bytes.split_first() else {
        return Ok(Step::End);
    };
    if first == PAYLOAD_MARKER {
        return match rest {
            [] => Err(Malformed::EmptyPayload),
            payload => Ok(Step::Payload(payload)),
        };
    }
    let (delta, rest) = extended(first >> 4, rest)?;
    let (length, rest) = extended(first & 0b1111, rest)?;
    let delta = u16::try_from(delta).map_err(|_| Malformed::OptionNumber)?;
    let (value, rest) = rest.split_at_checked(length as usize).ok_or(Malformed::Truncated)?;
    Ok(Step::Option { delta, value, rest })
}

pub(super) const PAYLOAD_MARKER: u8 = 0xff;

/// A delta or length: a nibble and up to two more bytes.
fn extended(nibble: u8, rest: &[u8]) -> Result<(u32, &[u8]), Malformed> {
    match nibble {
        0..=12 => Ok((u32::from(nibble), rest)),
        13 => {
            let (&byte, rest) = rest.split_first().ok_or(Malformed::Truncated)?;
            Ok((u32::from(byte).saturating_add(13), rest))
        }
        14 => {
            let (&bytes, rest) = rest.split_first_chunk().ok_or(Malformed::Truncated)?;
            Ok((u32::from(u16::from_be_bytes(bytes)).saturating_add(269), rest))
        }
        _ => Err(Malformed::OptionNibble),
    }
}

/// A `uint` option value: big-endian, at most four bytes, leading zeros allowed (RFC 7252 section 3.2).
#[must_use]
pub fn decode_uint(value: &[u8]) -> Option<u32> {
    if value.len() > 4 {
        return None;
    }
    Some(value.iter().fold(0, |number, byte| (number << 8) | u32::from(*byte)))
}

/// The shortest form of a `uint` option value: bytes, and how many leading ones to leave out.
pub(super) const fn encode_uint(number: u32) -> ([u8; 4], usize) {
    (number.to_be_bytes(), (number.leading_zeros() / 8) as usize)
}

/// The bytes in front of an option's value: at most five.
pub(super) struct OptionHead {
    bytes: [u8; 5],
    length: usize,
}

impl OptionHead {
    pub(super) fn new(delta: u16, value_length: u16) -> Self {
        let mut head = Self { bytes: [0; 5], length: 1 };
        let delta_nibble = head.extend(delta);
        let length_nibble = head.extend(value_length);
        let [first, ..] = &mut head.bytes;
        *first = (delta_nibble << 4) | length_nibble;
        head
    }

    pub(super) fn as_slice(&self) -> &[u8] {
        self.bytes.get(..self.length).unwrap_or(&[])
    }

    fn extend(&mut self, number: u16) -> u8 {
        match number {
            0..=12 => number as u8,
            13..=268 => {
                self.push(number.saturating_sub(13) as u8);
                13
            }
            _ => {
                let [high, low] = number.saturating_sub(269).to_be_bytes();
                self.push(high);
                self.push(low);
                14
            }
        }
    }

    fn push(&mut self, byte: u8) {
        if let Some(place) = self.bytes.get_mut(self.length) {
            *place = byte;
            self.length = self.length.saturating_add(1);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn properties_follow_the_number() {
        assert!(OptionNumber::URI_PATH.is_critical() && OptionNumber::URI_PATH.is_unsafe_to_forward());
        assert!(!OptionNumber::ETAG.is_critical());
        assert!(OptionNumber::SIZE1.is_no_cache_key());
        assert!(OptionNumber::MAX_AGE.is_unsafe_to_forward());
        // RFC 9175 table 1: a proxy that does not know Echo passes it on, and it does not make a resource another.
        let echo = OptionNumber::ECHO;
        assert!(!echo.is_critical() && !echo.is_unsafe_to_forward() && echo.is_no_cache_key());
    }

    #[test]
    fn uint_values_are_short_and_read_with_leading_zeros() {
        let (bytes, skip) = encode_uint(0);
        assert_eq!(&bytes[skip..], b"");
        let (bytes, skip) = encode_uint(256);
        assert_eq!(&bytes[skip..], [1, 0]);
        assert_eq!(decode_uint(&[]), Some(0));
        assert_eq!(decode_uint(&[0, 0, 1, 0]), Some(256));
        assert_eq!(decode_uint(&[0; 5]), None);
    }

    #[test]
    fn heads_switch_their_form_at_13_and_269() {
        let shown = |delta, length| OptionHead::new(delta, length).as_slice().len();
        assert_eq!(OptionHead::new(12, 12).as_slice(), [0xcc]);
        assert_eq!(OptionHead::new(13, 12).as_slice(), [0xdc, 0]);
        assert_eq!(OptionHead::new(268, 0).as_slice(), [0xd0, 255]);
        assert_eq!(OptionHead::new(269, 13).as_slice(), [0xed, 0, 0, 0]);
        assert_eq!(shown(65535, 1034), 5);
    }
}
