//! Keys as people write them: hex or base64.

use zeroize::Zeroizing;

use crate::limits::{PSK_BYTES_MAX, PSK_BYTES_MIN};

/// A PSK from hex or base64 (standard or URL alphabet, padding optional). What could be both is hex, unless it
/// says `base64:`; `hex:` is allowed too.
///
/// # Errors
/// What is wrong with it, as a sentence; never any part of the key.
pub fn decode_psk(text: &[u8]) -> Result<Zeroizing<Vec<u8>>, String> {
    let decoded = if let Some(rest) = text.strip_prefix(b"hex:") {
        from_hex(rest)
    } else if let Some(rest) = text.strip_prefix(b"base64:") {
        from_base64(rest)
    } else {
        from_hex(text).or_else(|| from_base64(text))
    };
    let psk = Zeroizing::new(decoded.ok_or("the psk is neither hex nor base64")?);
    check_psk(&psk)?;
    Ok(psk)
}

/// Whether a key has an acceptable length and is not one byte repeated (an unfilled cell, a default).
///
/// # Errors
/// What is wrong with it, as a sentence.
pub fn check_psk(psk: &[u8]) -> Result<(), String> {
    if psk.len() < PSK_BYTES_MIN {
        return Err(format!("the psk has {} bytes; at least {PSK_BYTES_MIN} are needed", psk.len()));
    }
    if psk.len() > PSK_BYTES_MAX {
        return Err(format!("the psk has {} bytes; at most {PSK_BYTES_MAX} are allowed", psk.len()));
    }
    if psk.iter().all(|byte| *byte == psk[0]) {
        return Err("the psk is one byte repeated".into());
    }
    Ok(())
}

/// Bytes from hex digits of either case; `None` if it is not that.
#[must_use]
pub fn from_hex(text: &[u8]) -> Option<Vec<u8>> {
    if !text.len().is_multiple_of(2) {
        return None;
    }
    let digit = |byte: u8| char::from(byte).to_digit(16).map(|value| value as u8);
    text.chunks_exact(2).map(|pair| Some(digit(pair[0])? << 4 | digit(pair[1])?)).collect()
}

#[must_use]
pub fn to_hex(bytes: &[u8]) -> String {
    const DIGITS: &[u8; 16] = b"0123456789abcdef";
    bytes.iter().flat_map(|byte| [byte >> 4, byte & 15]).map(|nibble| char::from(DIGITS[usize::from(nibble)])).collect()
}

/// Bytes from base64 (RFC 4648 sections 4 and 5); `None` if it is not that, or its last bits are not zero.
fn from_base64(text: &[u8]) -> Option<Vec<u8>> {
    let digits = text.strip_suffix(b"==").or_else(|| text.strip_suffix(b"=")).unwrap_or(text);
    let padded = digits.len() != text.len();
    if digits.len() % 4 == 1 || padded && !text.len().is_multiple_of(4) {
        return None;
    }
    let mut out = Vec::with_capacity(digits.len() * 3 / 4);
    for group in digits.chunks(4) {
        let mut bits = 0_u32;
        for byte in group {
            bits = bits << 6 | u32::from(base64_digit(*byte)?);
        }
        bits <<= 6 * (4 - group.len());
        let bytes = bits.to_be_bytes();
        let (kept, rest) = bytes[1..].split_at(group.len() - 1);
        if rest.iter().any(|byte| *byte != 0) {
            return None;
        }
        out.extend_from_slice(kept);
    }
    Some(out)
}

const fn base64_digit(byte: u8) -> Option<u8> {
    match byte {
        b'A'..=b'Z' => Some(byte - b'A'),
        b'a'..=b'z' => Some(byte - b'a' + 26),
        b'0'..=b'9' => Some(byte - b'0' + 52),
        b'+' | b'-' => Some(62),
        b'/' | b'_' => Some(63),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    /// RFC 4648 section 10.
    #[test]
    fn base64_vectors() {
        for (text, plain) in [
            ("", ""),
            ("Zg==", "f"),
            ("Zm8=", "fo"),
            ("Zm9v", "foo"),
            ("Zm9vYg==", "foob"),
            ("Zm9vYmE=", "fooba"),
            ("Zm9vYmFy", "foobar"),
            ("Zm9vYg", "foob"),
        ] {
            assert_eq!(from_base64(text.as_bytes()).as_deref(), Some(plain.as_bytes()), "{text}");
        }
        assert_eq!(from_base64(b"-_-_"), from_base64(b"+/+/"));
        for wrong in ["Z", "Zg=", "Zh==", "Zm9=", "Zm9v=", "Z===", "Zm 9", "===="] {
            assert_eq!(from_base64(wrong.as_bytes()), None, "{wrong}");
        }
    }

    #[test]
    fn lengths_are_checked_on_both_sides() {
        let of = |length: usize| to_hex(&(0..length).map(|byte| byte as u8).collect::<Vec<_>>());
        assert!(decode_psk(of(15).as_bytes()).unwrap_err().contains("at least 16"));
        assert_eq!(decode_psk(of(16).as_bytes()).unwrap().len(), 16);
        assert_eq!(decode_psk(of(64).as_bytes()).unwrap().len(), 64);
        assert!(decode_psk(of(65).as_bytes()).unwrap_err().contains("at most 64"));
    }

    #[test]
    fn unfilled_keys_are_refused_and_prefixes_decide() {
        assert!(decode_psk(&[b'0'; 32]).unwrap_err().contains("repeated"));
        assert_eq!(decode_psk(b"base64:00112233445566778899aabbccddeeff").unwrap().len(), 24);
        assert_eq!(decode_psk(b"hex:00112233445566778899AABBCCDDEEFF").unwrap().len(), 16);
        assert!(decode_psk(b"hex:not").is_err());
        assert!(!decode_psk(b"c2VjcmV0!c2VjcmV0").unwrap_err().contains("c2Vj"));
    }

    proptest! {
        #[test]
        fn hex_goes_there_and_back(bytes in prop::collection::vec(any::<u8>(), 0..80)) {
            prop_assert_eq!(from_hex(to_hex(&bytes).as_bytes()), Some(bytes.clone()));
            prop_assert_eq!(from_hex(to_hex(&bytes).to_uppercase().as_bytes()), Some(bytes));
        }

        #[test]
        fn any_text_is_decoded_or_refused(text in prop::collection::vec(any::<u8>(), 0..100)) {
            if let Ok(psk) = decode_psk(&text) {
                prop_assert!((PSK_BYTES_MIN..=PSK_BYTES_MAX).contains(&psk.len()));
            }
        }
    }
}
