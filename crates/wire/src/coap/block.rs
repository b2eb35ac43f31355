//! Block options (RFC 7959 section 2.2).

use super::option::decode_uint;

/// Which part of a body a message carries or asks for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Block {
    num: u32,
    more: bool,
    szx: u8,
}

impl Block {
    /// Largest block number.
    pub const NUM_MAX: u32 = (1 << 20) - 1;
    /// Size exponent of the largest block, 1024 bytes; 7 is reserved over UDP.
    pub const SZX_MAX: u8 = 6;

    /// Block `num` of size `2^(szx + 4)`; `None` if a number does not fit its field.
    #[must_use]
    pub const fn new(num: u32, more: bool, szx: u8) -> Option<Self> {
        if num > Self::NUM_MAX || szx > Self::SZX_MAX {
            return None;
        }
        Some(Self { num, more, szx })
    }

    /// Reads an option value; `None` above three bytes or with the reserved size exponent 7.
    #[must_use]
    pub fn parse(value: &[u8]) -> Option<Self> {
        if value.len() > 3 {
            return None;
        }
        let bits = decode_uint(value)?;
        Self::new(bits >> 4, bits & 0b1000 != 0, (bits & 0b111) as u8)
    }

    /// The option value as a number.
    #[must_use]
    pub const fn to_uint(self) -> u32 {
        (self.num << 4) | ((self.more as u32) << 3) | self.szx as u32
    }

    #[must_use]
    pub const fn num(self) -> u32 {
        self.num
    }

    /// In a message that carries the block: more blocks follow.
    #[must_use]
    pub const fn more(self) -> bool {
        self.more
    }

    #[must_use]
    pub const fn szx(self) -> u8 {
        self.szx
    }

    /// Bytes of a full block: 16 to 1024.
    #[must_use]
    pub const fn size(self) -> usize {
        16 << self.szx
    }

    /// Where the block starts in the body, in bytes.
    #[must_use]
    pub const fn offset(self) -> usize {
        (self.num as usize) << (self.szx + 4)
    }

    /// The largest size exponent whose blocks have at most `bytes` bytes, never below 16 bytes.
    #[must_use]
    pub const fn szx_for(bytes: usize) -> u8 {
        let mut szx = Self::SZX_MAX;
        while szx > 0 && (16 << szx) > bytes {
            szx -= 1;
        }
        szx
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_bounds_hold_on_both_sides() {
        assert!(Block::new(Block::NUM_MAX, true, 6).is_some());
        assert_eq!(Block::new(Block::NUM_MAX + 1, true, 6), None);
        assert_eq!(Block::new(0, false, 7), None);
        assert_eq!(Block::parse(&[7]), None);
        assert_eq!(Block::parse(&[0; 4]), None);
        assert_eq!(Block::parse(&[]), Block::new(0, false, 0));
    }

    #[test]
    fn the_examples_of_rfc_7959_read_as_written() {
        // Section 2.2: "num/more/size", e.g. 1/1/128.
        let block = Block::new(1, true, 3).unwrap();
        assert_eq!((block.size(), block.offset()), (128, 128));
        assert_eq!(block.to_uint(), 0b1_1011);
        assert_eq!(Block::parse(&[0b1_1011]), Some(block));
    }

    #[test]
    fn a_size_is_never_above_what_was_asked() {
        assert_eq!(Block::szx_for(1024), 6);
        assert_eq!(Block::szx_for(1023), 5);
        assert_eq!(Block::szx_for(16), 0);
        assert_eq!(Block::szx_for(0), 0);
    }
}
