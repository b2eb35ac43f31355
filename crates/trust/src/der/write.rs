//! DER to be signed or sent: each function makes one whole element.

use alloc::vec::Vec;

use super::{BIT_STRING, GENERALIZED_TIME, INTEGER, UTC_TIME};
use crate::x509::Second;

/// An element with the parts, one behind the other, as its value.
#[must_use]
pub fn element(tag: u8, parts: &[&[u8]]) -> Vec<u8> {
    let length = parts.iter().fold(0_usize, |sum, part| sum.saturating_add(part.len()));
    let mut out = Vec::with_capacity(length.saturating_add(6));
    out.push(tag);
    match u8::try_from(length) {
        Ok(short @ 0..=0x7F) => out.push(short),
        _ => {
            let bytes = length.to_be_bytes();
            let zeros = bytes.iter().take_while(|byte| **byte == 0).count();
            let count = bytes.len() - zeros;
            out.push(0x80 | u8::try_from(count).unwrap_or(8));
            out.extend(bytes.iter().skip(zeros));
        }
    }
    parts.iter().for_each(|part| out.extend_from_slice(part));
    out
}

/// An INTEGER that is not negative, from its bytes, the highest first.
#[must_use]
pub fn unsigned(bytes: &[u8]) -> Vec<u8> {
    let zeros = bytes.iter().take_while(|byte| **byte == 0).count();
    match bytes.split_at_checked(zeros).map_or(bytes, |(_, rest)| rest) {
        [] => element(INTEGER, &[&[0]]),
        rest @ [0x80..=0xFF, ..] => element(INTEGER, &[&[0], rest]),
        rest => element(INTEGER, &[rest]),
    }
}

/// A BIT STRING of whole bytes.
#[must_use]
pub fn whole_bytes(bytes: &[u8]) -> Vec<u8> {
    element(BIT_STRING, &[&[0], bytes])
}

/// A time as certificates write it: UTCTime from 1950 to 2049, GeneralizedTime otherwise (RFC 5280 section 4.1.2.5).
#[must_use]
pub fn time(at: Second) -> Vec<u8> {
    let digits = digits(at);
    match digits.split_first_chunk() {
        Some((b"20", rest)) if rest < b"5" => element(UTC_TIME, &[rest, b"Z"]),
        Some((b"19", rest)) if rest >= b"5" => element(UTC_TIME, &[rest, b"Z"]),
        _ => element(GENERALIZED_TIME, &[&digits, b"Z"]),
    }
}

/// A GeneralizedTime in UTC to the second. Years before 0 and behind 9999, which it cannot say, become those.
#[must_use]
pub fn generalized_time(at: Second) -> Vec<u8> {
    element(GENERALIZED_TIME, &[&digits(at), b"Z"])
}

/// Year, month, day, hour, minute and second.
fn digits(at: Second) -> [u8; 14] {
    let parts = at.parts();
    let mut digits = [b'0'; 14];
    let widths = [4, 2, 2, 2, 2, 2];
    let mut places = digits.iter_mut();
    for (part, width) in parts.into_iter().zip(widths) {
        let mut power = 10_u64.pow(width);
        for _ in 0..width {
            power /= 10;
            if let Some(place) = places.next() {
                *place = b'0' + u8::try_from(part / power.max(1) % 10).unwrap_or(0);
            }
        }
    }
    digits
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::der::{OCTET_STRING, Reader};
    use alloc::vec;

    #[test]
    fn what_is_written_is_read() {
        for length in [0, 1, 127, 128, 255, 256, 65_535, 65_536] {
            let value = vec![7; length];
            let (half, rest) = value.split_at(length / 2);
            let bytes = element(OCTET_STRING, &[half, rest]);
            assert_eq!(Reader::only(&bytes, OCTET_STRING), Ok(&value[..]), "{length}");
        }
    }

    #[test]
    fn numbers_are_in_their_shortest_form() {
        for (bytes, written) in [
            (&[][..], &[2, 1, 0][..]),
            (&[0, 0], &[2, 1, 0]),
            (&[0x7F], &[2, 1, 0x7F]),
            (&[0x80], &[2, 2, 0, 0x80]),
            (&[0, 0, 0x80, 1], &[2, 3, 0, 0x80, 1]),
            (&[0, 1, 2], &[2, 2, 1, 2]),
        ] {
            assert_eq!(unsigned(bytes), written);
        }
    }

    #[test]
    fn times_are_said_as_they_are_read() {
        for second in [0, 1_521_763_199, 2_524_607_999, -631_152_000, 1_709_208_000, 951_868_800, 253_402_300_799] {
            let written = generalized_time(Second(second));
            assert_eq!(Second::read(&mut Reader::new(&written)), Ok(Second(second)), "{second}");
            let written = time(Second(second));
            assert_eq!(Second::read(&mut Reader::new(&written)), Ok(Second(second)), "{second}");
            let short = (-631_152_000..2_524_608_000).contains(&second);
            assert_eq!(written.first() == Some(&UTC_TIME), short, "{second}");
        }
        assert_eq!(generalized_time(Second(1_521_763_199)), b"\x18\x0F20180322235959Z");
        assert_eq!(generalized_time(Second(i64::MAX)), b"\x18\x0F99991231235959Z");
        assert_eq!(generalized_time(Second(i64::MIN)), b"\x18\x0F00000101000000Z");
    }
}
