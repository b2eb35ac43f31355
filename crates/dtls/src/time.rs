//! Monotonic time as the caller tells it.

/// Milliseconds since an origin that the caller chooses; it must not run backwards.
///
/// Sessions keep the time they were last heard, so a caller that restores sessions chooses an origin that its
/// restarts share, or reads the times after a restart as meaningless.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Instant(u64);

impl Instant {
    #[must_use]
    pub const fn from_millis(ms: u64) -> Self {
        Self(ms)
    }

    #[must_use]
    pub const fn as_millis(self) -> u64 {
        self.0
    }

    /// This point moved `ms` milliseconds into the future, stopping at the end of time.
    #[must_use]
    pub const fn plus(self, ms: u64) -> Self {
        Self(self.0.saturating_add(ms))
    }

    /// Milliseconds from `earlier` to `self`; zero if `earlier` is later.
    #[must_use]
    pub const fn since(self, earlier: Self) -> u64 {
        self.0.saturating_sub(earlier.0)
    }
}
