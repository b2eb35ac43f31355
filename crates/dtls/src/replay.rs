//! Anti-replay (RFC 6347 section 4.1.2.6).

//= rfc9147#4.5.1-s1
//= rfc6347#4.1.2.6-1
//= rfc6347#4.1.2.6-3
//= rfc6347#4.1.2.6-s2
/// Which of the last 64 sequence numbers have been seen.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct ReplayWindow {
    /// The highest sequence number seen; meaningless while `bits` is zero.
    pub top: u64,
    /// Bit `n` stands for `top - n`.
    pub bits: u64,
}

impl ReplayWindow {
    /// Whether `sequence` is neither seen nor too old to tell.
    #[must_use]
    pub const fn is_fresh(&self, sequence: u64) -> bool {
        if self.is_newest(sequence) {
            return true;
        }
        let age = self.top - sequence;
        age < 64 && self.bits & (1 << age) == 0
    }

    /// Whether `sequence` is newer than everything seen.
    #[must_use]
    pub const fn is_newest(&self, sequence: u64) -> bool {
        self.bits == 0 || sequence > self.top
    }

    /// Notes `sequence`, which must belong to an authentic record.
    pub const fn mark(&mut self, sequence: u64) {
        if self.bits == 0 {
            self.bits = 1;
            self.top = sequence;
        } else if sequence > self.top {
            let ahead = sequence - self.top;
            self.bits = if ahead < 64 { self.bits << ahead } else { 0 } | 1;
            self.top = sequence;
        } else if self.top - sequence < 64 {
            self.bits |= 1 << (self.top - sequence);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    //= test rfc6347#4.1.2.6-1
    //= test rfc6347#4.1.2.6-2
    #[test]
    fn sees_each_number_once_within_the_window() {
        let mut window = ReplayWindow::default();
        for sequence in [0, 5, 3, 70, 64, 7] {
            assert!(window.is_fresh(sequence), "{sequence}");
            window.mark(sequence);
            assert!(!window.is_fresh(sequence), "{sequence}");
        }
        assert!(!window.is_fresh(6), "70 - 64 is too old to tell");
        assert!(window.is_fresh(8));
        assert_eq!(window.top, 70);
    }

    //= test rfc9147#4.5.1-s1
    //= test rfc6347#4.1.2.6-3
    //= test rfc6347#4.1.2.6-s2
    #[test]
    fn agrees_with_a_set_on_any_order() {
        extern crate std;
        let mut seed = 7_u64;
        let mut seen = std::collections::BTreeSet::new();
        let mut window = ReplayWindow::default();
        for _ in 0..20_000 {
            seed = seed.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
            let sequence = window.top.saturating_sub(80) + (seed >> 33) % 120;
            let old = !seen.is_empty() && window.top >= sequence && window.top - sequence >= 64;
            assert_eq!(window.is_fresh(sequence), !old && !seen.contains(&sequence));
            if window.is_fresh(sequence) {
                window.mark(sequence);
                seen.insert(sequence);
            }
        }
    }

    #[test]
    fn a_far_leap_forgets_everything_older() {
        let mut window = ReplayWindow::default();
        window.mark(1);
        window.mark((1 << 48) - 1);
        assert!(!window.is_fresh(1) && !window.is_fresh((1 << 48) - 1));
        assert!(window.is_fresh((1 << 48) - 2));
    }
}
