//! Request targets: from options to text and back (RFC 7252 sections 6.4 and 6.5).

use core::fmt::{self, Write as _};

use super::option::Values;

/// Path and query of a request. Its `Display` percent-encodes what the syntax of URIs needs encoded, so
/// that different options never read the same.
#[derive(Clone, Debug)]
pub struct Target<'a> {
    path: Values<'a>,
    query: Values<'a>,
}

impl<'a> Target<'a> {
    pub(super) const fn new(path: Values<'a>, query: Values<'a>) -> Self {
        Self { path, query }
    }
}

impl fmt::Display for Target<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut segments = self.path.clone().peekable();
        if segments.peek().is_none() {
            f.write_char('/')?;
        }
        for segment in segments {
            f.write_char('/')?;
            escape(f, segment, b"")?;
        }
        for (index, part) in self.query.clone().enumerate() {
            f.write_char(if index == 0 { '?' } else { '&' })?;
            escape(f, part, b"/?")?;
        }
        Ok(())
    }
}

/// Writes `bytes` with everything percent-encoded but unreserved characters, sub-delimiters without `&`,
/// `:`, `@` and those in `also`.
fn escape(f: &mut fmt::Formatter<'_>, bytes: &[u8], also: &[u8]) -> fmt::Result {
    for byte in bytes {
        let plain = byte.is_ascii_alphanumeric() || b"-._~!$'()*+,;=:@".contains(byte) || also.contains(byte);
        if plain {
            f.write_char(char::from(*byte))?;
        } else {
            f.write_char('%')?;
            f.write_char(hex_digit(byte >> 4))?;
            f.write_char(hex_digit(byte & 0b1111))?;
        }
    }
    Ok(())
}

const fn hex_digit(nibble: u8) -> char {
    match nibble {
        0..=9 => (b'0' + nibble) as char,
        _ => (b'A' + (nibble & 0b1111) - 10) as char,
    }
}

/// Undoes percent-encoding into `out`; `None` if an escape is broken or the result does not fit.
pub(super) fn unescape<'o>(text: &[u8], out: &'o mut [u8]) -> Option<&'o [u8]> {
    let mut rest = text;
    let mut length = 0_usize;
    while let Some((&first, behind)) = rest.split_first() {
        let (byte, behind) = match (first, behind) {
            (b'%', [high, low, behind @ ..]) => ((hex_value(*high)? << 4) | hex_value(*low)?, behind),
            (b'%', _) => return None,
            (byte, behind) => (byte, behind),
        };
        *out.get_mut(length)? = byte;
        length = length.saturating_add(1);
        rest = behind;
    }
    out.get(..length)
}

const fn hex_value(digit: u8) -> Option<u8> {
    match digit {
        b'0'..=b'9' => Some(digit - b'0'),
        b'a'..=b'f' => Some(digit - b'a' + 10),
        b'A'..=b'F' => Some(digit - b'A' + 10),
        _ => None,
    }
}
