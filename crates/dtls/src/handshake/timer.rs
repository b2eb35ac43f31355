//! When to repeat a flight (RFC 6347 section 4.2.4.1).

use crate::Instant;
use crate::limits::RETRANSMIT_MS_MAX;

/// Doubles from its initial value with each repetition.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Timer {
    pub deadline: Instant,
    interval_ms: u64,
    initial_ms: u64,
    /// How often the flight has been sent.
    pub transmissions: u32,
}

impl Timer {
    /// A flight has just been sent for the first time.
    pub const fn start(now: Instant, initial_ms: u64) -> Self {
        Self { deadline: now.plus(initial_ms), interval_ms: initial_ms, initial_ms, transmissions: 1 }
    }

    /// The next flight has just been sent for the first time.
    pub const fn restart(&mut self, now: Instant) {
        *self = Self::start(now, self.initial_ms);
    }

    //= rfc9147#5.8.2-s1
    //= rfc6347#4.2.4.1-s1
    /// The flight has just been repeated because the timer ran out.
    pub fn back_off(&mut self, now: Instant) {
        let longest = RETRANSMIT_MS_MAX.max(self.initial_ms);
        self.interval_ms = self.interval_ms.saturating_mul(2).min(longest);
        self.deadline = now.plus(self.interval_ms);
        self.transmissions += 1;
    }

    /// Whether the peer's repetition may be answered out of turn: at most once in half an interval, so that
    /// repetitions of both sides do not feed each other.
    pub fn may_answer(&self, now: Instant) -> bool {
        let sent = self.deadline.as_millis().saturating_sub(self.interval_ms);
        now.since(Instant::from_millis(sent)) >= self.interval_ms / 2
    }

    /// The flight has just been repeated because the peer repeated its own.
    pub const fn answered(&mut self, now: Instant) {
        self.deadline = now.plus(self.interval_ms);
        self.transmissions += 1;
    }

    pub fn is_due(&self, now: Instant) -> bool {
        now >= self.deadline
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    //= test rfc9147#5.8.2-s1
    //= test rfc6347#4.2.4.1-s1
    #[test]
    fn doubles_from_one_second_to_sixty() {
        let mut now = Instant::from_millis(5);
        let mut timer = Timer::start(now, 1_000);
        let mut waits = alloc::vec::Vec::new();
        for _ in 0..8 {
            waits.push(timer.deadline.since(now));
            now = timer.deadline;
            timer.back_off(now);
        }
        assert_eq!(waits, [1_000, 2_000, 4_000, 8_000, 16_000, 32_000, 60_000, 60_000]);
        timer.restart(now);
        assert_eq!(timer.deadline.since(now), 1_000);
    }

    #[test]
    fn a_slow_network_may_start_beyond_the_longest() {
        let mut timer = Timer::start(Instant::default(), 90_000);
        timer.back_off(timer.deadline);
        assert_eq!(timer.deadline.as_millis(), 180_000);
    }
}
