//! Points in time. Nothing in this crate reads a clock: callers pass `now`.

/// Milliseconds since the Unix epoch, UTC. It orders events and stands in records that people read.
///
/// Protocol timers use a monotonic clock instead (`bartizan_dtls::Instant`).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct UnixMillis(pub u64);

impl UnixMillis {
    /// Milliseconds from `earlier` to `self`; zero if the clock went backwards.
    #[must_use]
    pub const fn since(self, earlier: Self) -> u64 {
        self.0.saturating_sub(earlier.0)
    }

    /// This point moved `ms` milliseconds into the future, stopping at the end of time.
    #[must_use]
    pub const fn plus(self, ms: u64) -> Self {
        Self(self.0.saturating_add(ms))
    }
}
