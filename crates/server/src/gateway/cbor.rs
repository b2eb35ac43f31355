//! The little CBOR (RFC 8949) that the server speaks to devices, written by hand.

pub fn text(out: &mut Vec<u8>, text: &str) {
    head(out, 3, text.len() as u32);
    out.extend_from_slice(text.as_bytes());
}

pub fn bytes(out: &mut Vec<u8>, bytes: &[u8]) {
    head(out, 2, bytes.len() as u32);
    out.extend_from_slice(bytes);
}

pub fn boolean(out: &mut Vec<u8>, is: bool) {
    out.push(if is { 0xf5 } else { 0xf4 });
}

pub fn unsigned(out: &mut Vec<u8>, number: u32) {
    head(out, 0, number);
}

fn head(out: &mut Vec<u8>, major: u8, number: u32) {
    let major = major << 5;
    match number {
        0..=23 => out.push(major | number as u8),
        24..=0xff => out.extend_from_slice(&[major | 24, number as u8]),
        0x100..=0xffff => {
            out.push(major | 25);
            out.extend_from_slice(&(number as u16).to_be_bytes());
        }
        _ => {
            out.push(major | 26);
            out.extend_from_slice(&number.to_be_bytes());
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_and_lengths_change_their_form_where_rfc_8949_says() {
        let head = |number| {
            let mut out = Vec::new();
            unsigned(&mut out, number);
            out
        };
        assert_eq!(head(23), [0x17]);
        assert_eq!(head(24), [0x18, 24]);
        assert_eq!(head(255), [0x18, 255]);
        assert_eq!(head(256), [0x19, 1, 0]);
        assert_eq!(head(65_536), [0x1a, 0, 1, 0, 0]);
    }
}
