//! The one place where wall-clock time is read.

use bartizan_wire::UnixMillis;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::time::{Instant, SystemTime, UNIX_EPOCH};

/// Tells event time: the wall clock, or in the demo a clock that runs faster than it.
///
/// Protocol timers never use it; they run on the real monotonic clock.
#[derive(Clone, Debug)]
pub struct Clock(Kind);

#[derive(Clone, Debug)]
enum Kind {
    Real,
    Scaled { start: UnixMillis, origin: Instant, scale: u32 },
    ByHand(Arc<AtomicU64>),
}

impl Clock {
    #[must_use]
    pub const fn real() -> Self {
        Self(Kind::Real)
    }

    /// A clock that shows `start` now and then runs `scale` times as fast as real time.
    #[must_use]
    pub fn scaled(start: UnixMillis, scale: u32) -> Self {
        Self(Kind::Scaled { start, origin: Instant::now(), scale: scale.max(1) })
    }

    /// A clock that stands still until [`Clock::advance`]; clones move together. For tests.
    #[must_use]
    pub fn by_hand(start: UnixMillis) -> Self {
        Self(Kind::ByHand(Arc::new(AtomicU64::new(start.0))))
    }

    /// Moves a clock that stands still; others move by themselves.
    pub fn advance(&self, ms: u64) {
        if let Kind::ByHand(hand) = &self.0 {
            hand.fetch_add(ms, Relaxed);
        }
    }

    #[must_use]
    pub fn now(&self) -> UnixMillis {
        match &self.0 {
            Kind::Real => UnixMillis(millis_since_epoch()),
            Kind::ByHand(hand) => UnixMillis(hand.load(Relaxed)),
            Kind::Scaled { start, origin, scale } => {
                let elapsed_us = u64::try_from(origin.elapsed().as_micros()).unwrap_or(u64::MAX);
                start.plus(elapsed_us.saturating_mul(u64::from(*scale)) / 1000)
            }
        }
    }

    /// Event milliseconds that pass in one real millisecond.
    #[must_use]
    pub const fn scale(&self) -> u32 {
        match &self.0 {
            Kind::Real | Kind::ByHand(_) => 1,
            Kind::Scaled { scale, .. } => *scale,
        }
    }
}

/// A clock before 1970 reads as 1970: events then sort first instead of failing.
fn millis_since_epoch() -> u64 {
    SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |since| u64::try_from(since.as_millis()).unwrap_or(u64::MAX))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_scaled_clock_starts_where_it_is_told_and_runs_ahead() {
        let clock = Clock::scaled(UnixMillis(1_000_000), 1000);
        let first = clock.now();
        std::thread::sleep(std::time::Duration::from_millis(5));
        assert!(first.0 >= 1_000_000);
        assert!(clock.now().since(first) >= 5_000);
    }

    #[test]
    fn the_real_clock_shows_this_century() {
        assert!(Clock::real().now().0 > 1_700_000_000_000);
    }
}
