//! Randomness from one seed: HMAC over a counter. The chip has no source of its own, so the other end of the line
//! sends the seed; a board with one reads it there.

use bartizan_crypto::{RUSTCRYPTO, Random};

pub struct Seeded {
    seed: [u8; 32],
    counter: u32,
}

impl Seeded {
    pub const fn new(seed: [u8; 32]) -> Self {
        Self { seed, counter: 0 }
    }
}

impl Random for Seeded {
    fn fill(&mut self, out: &mut [u8]) {
        for chunk in out.chunks_mut(32) {
            let block = (RUSTCRYPTO.hmac_sha256)(&self.seed, &[&self.counter.to_be_bytes()]);
            chunk.iter_mut().zip(block).for_each(|(to, from)| *to = from);
            self.counter += 1;
        }
    }
}
