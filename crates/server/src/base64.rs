//! Base64 (RFC 4648 section 4), padded.

const DIGITS: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";

#[must_use]
pub fn encode(bytes: &[u8]) -> String {
    let mut text = String::with_capacity(bytes.len().div_ceil(3).saturating_mul(4));
    for chunk in bytes.chunks(3) {
        let bits = (0..3).fold(0_usize, |bits, at| bits << 8 | usize::from(chunk.get(at).copied().unwrap_or(0)));
        for at in 0..4 {
            let digit = DIGITS.get(bits >> (18 - 6 * at) & 63).copied().unwrap_or(b'=');
            text.push(if at <= chunk.len() { char::from(digit) } else { '=' });
        }
    }
    text
}

/// The same in lines of 64 characters, each ended.
#[must_use]
pub fn encode_lines(bytes: &[u8]) -> String {
    let text = encode(bytes);
    let mut out = String::with_capacity(text.len() + text.len() / 64 + 1);
    let mut rest = text.as_str();
    while !rest.is_empty() {
        let (line, after) = rest.split_at(rest.len().min(64));
        out.extend([line, "\n"]);
        rest = after;
    }
    out
}

/// What the text stands for; line breaks and spaces mean nothing. `None` if it is not in the one form: padding that is
/// missing, or bits that say nothing and are set.
#[must_use]
pub fn decode(text: &[u8]) -> Option<Vec<u8>> {
    let digits: Vec<u8> = text.iter().copied().filter(|byte| !b" \t\r\n".contains(byte)).collect();
    let mut out = Vec::with_capacity(digits.len() / 4 * 3);
    let mut chunks = digits.chunks(4).peekable();
    while let Some(chunk) = chunks.next() {
        let padding = chunk.iter().rev().take_while(|digit| **digit == b'=').count();
        if chunk.len() != 4 || padding > 2 || (padding > 0 && chunks.peek().is_some()) {
            return None;
        }
        let value = |digit: &u8| DIGITS.iter().position(|known| known == digit);
        let bits = chunk.iter().take(4 - padding).try_fold(0_usize, |bits, digit| Some(bits << 6 | value(digit)?))?;
        let bits = bits << (6 * padding);
        let bytes = u32::try_from(bits).ok()?.to_be_bytes();
        let (kept, rest) = bytes.get(1..)?.split_at_checked(3 - padding)?;
        if rest.iter().any(|byte| *byte != 0) {
            return None;
        }
        out.extend_from_slice(kept);
    }
    Some(out)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// RFC 4648 section 10.
    #[test]
    fn it_matches_its_rfc_both_ways() {
        for (plain, text) in [
            ("", ""),
            ("f", "Zg=="),
            ("fo", "Zm8="),
            ("foo", "Zm9v"),
            ("foob", "Zm9vYg=="),
            ("fooba", "Zm9vYmE="),
            ("foobar", "Zm9vYmFy"),
        ] {
            assert_eq!(encode(plain.as_bytes()), text);
            assert_eq!(decode(text.as_bytes()).as_deref(), Some(plain.as_bytes()));
        }
        assert_eq!(decode(b" Zm9v\r\nYmE=\n").as_deref(), Some(&b"fooba"[..]));
    }

    #[test]
    fn other_spellings_are_refused() {
        for bad in ["Z", "Zg", "Zg=", "Zh==", "Zg==Zg==", "====", "Zm9-", "Zm9_", "=Zm9", "Zm=v", "Zm9="] {
            assert_eq!(decode(bad.as_bytes()), None, "{bad}");
        }
        for length in 0..200 {
            let bytes: Vec<u8> = (0..length).map(|byte| byte as u8 ^ 0xA5).collect();
            assert_eq!(decode(encode_lines(&bytes).as_bytes()), Some(bytes));
        }
    }
}
