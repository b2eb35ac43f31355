//! base64url without padding (RFC 4648 section 5), in one form only.

use alloc::string::String;
use alloc::vec::Vec;

const ALPHABET: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_";

#[must_use]
pub fn encode(bytes: &[u8]) -> String {
    let mut out = String::with_capacity(bytes.len().div_ceil(3) * 4);
    for chunk in bytes.chunks(3) {
        let word = chunk.iter().fold(0_u32, |word, byte| word << 8 | u32::from(*byte)) << (8 * (3 - chunk.len()));
        for place in 0..=chunk.len() {
            let digit = (word >> (18 - 6 * place)) & 0x3F;
            out.extend(ALPHABET.get(digit as usize).map(|digit| char::from(*digit)));
        }
    }
    out
}

/// `None` for other characters, padding, or bits behind the last byte: a text that differs is never the same bytes.
#[must_use]
pub fn decode(text: &str) -> Option<Vec<u8>> {
    let mut out = Vec::new();
    out.try_reserve_exact(text.len() / 4 * 3 + 2).ok()?;
    for chunk in text.as_bytes().chunks(4) {
        let mut word = 0_u32;
        for digit in chunk {
            word = word << 6 | value(*digit)?;
        }
        let spare = match chunk.len() {
            4 => 0,
            3 => 2,
            2 => 4,
            _ => return None,
        };
        if word & ((1 << spare) - 1) != 0 {
            return None;
        }
        let [_, bytes @ ..] = (word >> spare).to_be_bytes();
        out.extend(bytes.iter().skip(4 - chunk.len()));
    }
    Some(out)
}

const fn value(digit: u8) -> Option<u32> {
    let value = match digit {
        b'A'..=b'Z' => digit - b'A',
        b'a'..=b'z' => digit - b'a' + 26,
        b'0'..=b'9' => digit - b'0' + 52,
        b'-' => 62,
        b'_' => 63,
        _ => return None,
    };
    Some(value as u32)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_length_there_and_back_and_no_second_form() {
        for length in 0..70 {
            let bytes: Vec<u8> = (0_u8..length).map(|byte| byte.wrapping_mul(37)).collect();
            assert_eq!(decode(&encode(&bytes)), Some(bytes));
        }
        assert_eq!(encode(b"\xfb\xff\xfe"), "-__-");
        for bad in ["A", "AB=", "AB==", "A+", "A/", "AB", "AAB", "AAAAA", "A A", "é"] {
            assert_eq!(decode(bad), None, "{bad}");
        }
    }
}
