//! CBOR from the notations that vectors are written in: the diagnostic one (RFC 8949 section 8), as much of it as they
//! use, and base64 within JSON.

use crate::common::hex;

/// One item of diagnostic notation.
pub fn cbor(text: &str) -> Vec<u8> {
    let mut rest = text.as_bytes();
    let out = item(&mut rest);
    assert_eq!(next(&mut rest), None, "text behind the item");
    out
}

pub fn head(major: u8, argument: u64) -> Vec<u8> {
    let major = major << 5;
    let bytes = argument.to_be_bytes();
    match argument {
        0..=23 => vec![major | bytes[7]],
        24..=0xFF => vec![major | 24, bytes[7]],
        0x100..=0xFFFF => [&[major | 25], &bytes[6..]].concat(),
        0x1_0000..=0xFFFF_FFFF => [&[major | 26], &bytes[4..]].concat(),
        _ => [&[major | 27], &bytes[..]].concat(),
    }
}

pub fn int(value: i64) -> Vec<u8> {
    if value < 0 { head(1, !value as u64) } else { head(0, value as u64) }
}

pub fn bytes(value: &[u8]) -> Vec<u8> {
    [head(2, value.len() as u64), value.to_vec()].concat()
}

pub fn text(value: &str) -> Vec<u8> {
    [head(3, value.len() as u64), value.as_bytes().to_vec()].concat()
}

pub fn array(items: &[Vec<u8>]) -> Vec<u8> {
    [head(4, items.len() as u64), items.concat()].concat()
}

pub fn map(pairs: &[(Vec<u8>, Vec<u8>)]) -> Vec<u8> {
    let mut out = head(5, pairs.len() as u64);
    pairs.iter().for_each(|(key, value)| out.extend([&key[..], value].concat()));
    out
}

fn item(rest: &mut &[u8]) -> Vec<u8> {
    match next(rest).unwrap() {
        b'{' => {
            skip(rest, 1);
            let mut pairs = Vec::new();
            while !closes(rest, b'}') {
                let key = item(rest);
                assert_eq!(next(rest), Some(b':'));
                skip(rest, 1);
                pairs.push((key, item(rest)));
            }
            map(&pairs)
        }
        b'[' => {
            skip(rest, 1);
            let mut items = Vec::new();
            while !closes(rest, b']') {
                items.push(item(rest));
            }
            array(&items)
        }
        b'"' => text(&String::from_utf8(until(rest, 1, b'"')).unwrap()),
        b'h' => bytes(&hex(&String::from_utf8(until(rest, 2, b'\'')).unwrap())),
        _ => {
            let length = rest.iter().take_while(|byte| b"-0123456789".contains(byte)).count();
            let number = std::str::from_utf8(&rest[..length]).unwrap().parse().unwrap();
            skip(rest, length);
            int(number)
        }
    }
}

/// The next byte that is neither space nor within a comment.
fn next(rest: &mut &[u8]) -> Option<u8> {
    loop {
        match rest.first()? {
            b'/' => drop(until(rest, 1, b'/')),
            byte if byte.is_ascii_whitespace() => skip(rest, 1),
            byte => return Some(*byte),
        }
    }
}

/// Whether the list ends here; takes the comma if it does not, and the end if it does.
fn closes(rest: &mut &[u8], end: u8) -> bool {
    if next(rest) == Some(b',') {
        skip(rest, 1);
    }
    let ends = next(rest) == Some(end);
    skip(rest, usize::from(ends));
    ends
}

fn until(rest: &mut &[u8], skipped: usize, end: u8) -> Vec<u8> {
    skip(rest, skipped);
    let length = rest.iter().position(|byte| *byte == end).unwrap();
    let out = rest[..length].to_vec();
    skip(rest, length + 1);
    out
}

fn skip(rest: &mut &[u8], count: usize) {
    *rest = &rest[count..];
}

pub fn base64(text: &str) -> Vec<u8> {
    const LETTERS: &[u8] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    let (mut bits, mut held, mut out) = (0_u32, 0, Vec::new());
    for letter in text.bytes().filter(|letter| *letter != b'=') {
        bits = bits << 6 | LETTERS.iter().position(|known| *known == letter).unwrap() as u32;
        held += 6;
        if held >= 8 {
            held -= 8;
            out.push((bits >> held) as u8);
        }
    }
    out
}
