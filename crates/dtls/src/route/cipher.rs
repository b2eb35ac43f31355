//! How Connection IDs are encrypted: draft-ietf-quic-load-balancers sections 5.4.1 and 5.4.2.

use bartizan_crypto::Aes128Block;

/// Shortest block in bytes that the draft allows, first octet not included.
#[cfg(test)]
const BLOCK_BYTES_MIN: usize = 5;
/// Longest block in bytes.
pub(crate) const BLOCK_BYTES_MAX: usize = 19;
const HALF_BYTES_MAX: usize = BLOCK_BYTES_MAX.div_ceil(2);

/// Encrypts a block in place: once through AES if it has 16 bytes, in four passes otherwise.
pub(crate) fn encrypt(key: &Aes128Block, block: &mut [u8]) {
    if let Ok(block) = block.try_into() {
        return key.encrypt(block);
    }
    let mut halves = Halves::of(block);
    (1..=4).for_each(|pass| halves.mix(key, pass));
    halves.join(block);
}

/// What [`encrypt`] did, undone.
pub(crate) fn decrypt(key: &Aes128Block, block: &mut [u8]) {
    if let Ok(block) = block.try_into() {
        return key.decrypt(block);
    }
    let mut halves = Halves::of(block);
    (1..=4).rev().for_each(|pass| halves.mix(key, pass));
    halves.join(block);
}

/// A block in two halves of the same length. Of an odd number of bytes, the one in the middle is shared: its high
/// bits belong to the left half, its low bits to the right one.
struct Halves {
    left: [u8; HALF_BYTES_MAX],
    right: [u8; HALF_BYTES_MAX],
    length: usize,
}

impl Halves {
    fn of(block: &[u8]) -> Self {
        let mut halves = Self { left: [0; HALF_BYTES_MAX], right: [0; HALF_BYTES_MAX], length: block.len() };
        let (half, right_at) = (halves.half(), halves.right_at());
        halves.left.iter_mut().zip(block).take(half).for_each(|(to, from)| *to = *from);
        halves.right.iter_mut().zip(block.iter().skip(right_at)).for_each(|(to, from)| *to = *from);
        halves.clear_strangers();
        halves
    }

    fn join(&self, block: &mut [u8]) {
        block.fill(0);
        block.iter_mut().zip(&self.left).take(self.half()).for_each(|(to, from)| *to |= from);
        block.iter_mut().skip(self.right_at()).zip(&self.right).for_each(|(to, from)| *to |= from);
    }

    /// One pass: odd ones change the right half by the left one, even ones the left half by the right one.
    fn mix(&mut self, key: &Aes128Block, pass: u8) {
        let (half, length) = (self.half(), self.length as u8);
        let (from, to) = match pass % 2 {
            1 => (&self.left, &mut self.right),
            _ => (&self.right, &mut self.left),
        };
        let mut expanded = [0; 16];
        expanded.iter_mut().zip(from).take(half).for_each(|(to, from)| *to = *from);
        let [.., length_at, pass_at] = &mut expanded;
        (*length_at, *pass_at) = (length, pass);
        key.encrypt(&mut expanded);
        to.iter_mut().zip(expanded).take(half).for_each(|(to, from)| *to ^= from);
        self.clear_strangers();
    }

    /// The half of the middle byte that is the other half's.
    fn clear_strangers(&mut self) {
        if self.length % 2 == 1 {
            let last = self.half().saturating_sub(1);
            self.left.iter_mut().skip(last).take(1).for_each(|byte| *byte &= 0xF0);
            self.right.iter_mut().take(1).for_each(|byte| *byte &= 0x0F);
        }
    }

    const fn half(&self) -> usize {
        self.length.div_ceil(2)
    }

    const fn right_at(&self) -> usize {
        self.length / 2
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use alloc::vec::Vec;

    fn hex(text: &str) -> Vec<u8> {
        (0..text.len()).step_by(2).map(|at| u8::from_str_radix(&text[at..at + 2], 16).unwrap()).collect()
    }

    /// draft-ietf-quic-load-balancers: section 5.4.2.4, and appendix B.2 (key, server id and nonce, Connection ID
    /// without its first octet).
    #[test]
    fn the_drafts_vectors() {
        let example = "fdf726a9893ec05c0632d3956680baf0";
        let key = "8f95f09245765f80256934e50c66207f";
        let vectors = [
            (example, "31441a9c69c275", "67947d29be054a"),
            (key, "ed793aee080dbf", "20b1d07b359d3c"),
            (key, "ed793a51d49b8f5fab65ee080dbf48", "cc381bc74cb4fbad2823a3d1f8fed2"),
            (key, "ed793a51d49b8f5fee080dbf48c0d1e5", "4dd2d05a7b0de9b2b9907afb5ecf8cc3"),
            (key, "ed793a51d49b8f5fabee080dbf48c0d1e55d", "5779c9cc86beb3a3a4a3ca96fce4bfe0cdbc"),
        ];
        for (key, plain, sealed) in vectors {
            let key = Aes128Block::new(&hex(key).try_into().unwrap());
            let mut block = hex(plain);
            encrypt(&key, &mut block);
            assert_eq!(block, hex(sealed), "{plain}");
            decrypt(&key, &mut block);
            assert_eq!(block, hex(plain));
        }
    }

    #[test]
    fn every_length_comes_back() {
        let key = Aes128Block::new(&[7; 16]);
        for length in BLOCK_BYTES_MIN..=BLOCK_BYTES_MAX {
            let plain: Vec<u8> = (0..length).map(|index| index as u8 | 0x90).collect();
            let mut block = plain.clone();
            encrypt(&key, &mut block);
            assert_ne!(block, plain);
            decrypt(&key, &mut block);
            assert_eq!(block, plain);
        }
    }
}
