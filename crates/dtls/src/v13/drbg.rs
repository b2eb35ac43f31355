//! Randomness for what is made later than the caller's source is at hand.

use bartizan_crypto::{Provider, Random, Secret};

/// Blocks of HMAC-SHA-256 under a seed from the caller's source.
pub(crate) struct Drbg {
    provider: &'static Provider,
    seed: Secret<32>,
    counter: u64,
}

impl Drbg {
    pub fn new(provider: &'static Provider, rng: &mut dyn Random) -> Self {
        let mut seed = Secret::new([0; 32]);
        rng.fill(seed.expose_mut());
        Self { provider, seed, counter: 0 }
    }
}

impl Random for Drbg {
    fn fill(&mut self, out: &mut [u8]) {
        for chunk in out.chunks_mut(32) {
            let block = (self.provider.hmac_sha256)(self.seed.expose(), &[b"dtls 1.3", &self.counter.to_be_bytes()]);
            chunk.iter_mut().zip(block).for_each(|(to, from)| *to = from);
            self.counter = self.counter.wrapping_add(1);
        }
    }
}
