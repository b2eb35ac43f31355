//! Spread in time, so that a fleet that lost its gateway does not come back in one instant.

use bartizan_dtls::Random;

/// A small generator (SplitMix64) seeded once from the caller's randomness. It decides about delays and
/// first numbers only; nothing secret comes from it.
#[derive(Clone, Debug)]
pub(crate) struct Jitter(u64);

impl Jitter {
    pub(crate) fn seeded(rng: &mut dyn Random) -> Self {
        let mut seed = [0; 8];
        rng.fill(&mut seed);
        Self(u64::from_le_bytes(seed))
    }

    pub(crate) const fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mixed = (self.0 ^ (self.0 >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        let mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        mixed ^ (mixed >> 31)
    }

    /// `ms` stretched by a random factor of 1 to 1.5 (RFC 7252 section 4.2: ACK_RANDOM_FACTOR).
    pub(crate) const fn stretch(&mut self, ms: u64) -> u64 {
        let share = self.next() % 1025;
        ms.saturating_add((ms / 2).saturating_mul(share) / 1024)
    }
}

/// Doubles `base` `times` times, up to `max`.
pub(crate) const fn doubled(base: u64, times: u8, max: u64) -> u64 {
    let factor = 1_u64 << if times < 32 { times } else { 32 };
    let delay = base.saturating_mul(factor);
    if delay < max { delay } else { max }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn delays_stay_between_once_and_one_and_a_half_times() {
        let mut jitter = Jitter(7);
        let delays: alloc::vec::Vec<u64> = (0..1000).map(|_| jitter.stretch(2000)).collect();
        assert!(delays.iter().all(|ms| (2000..=3000).contains(ms)));
        assert!(delays.iter().any(|ms| *ms < 2100) && delays.iter().any(|ms| *ms > 2900));
    }

    #[test]
    fn doubling_ends_at_the_maximum() {
        assert_eq!(doubled(2, 3, 100), 16);
        assert_eq!(doubled(2, 200, 100), 100);
    }
}
