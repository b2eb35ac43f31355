//! Limits on what speaks without being authenticated.

use bartizan_wire::{Event, Source, UnixMillis};

use crate::config::SourceConfig;
use crate::judge::Verdict;

/// What the gateway does with an unauthenticated datagram of a source.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum SourceVerdict {
    Allow,
    Drop,
}

/// Counts the misdeeds of unauthenticated sources, names them, and limits them for a while.
pub struct SourceLimiter {
    config: SourceConfig,
}

impl SourceLimiter {
    #[must_use]
    pub fn new(config: SourceConfig) -> Self {
        Self { config }
    }

    /// Takes one event; those that speak for a device are no business of the limiter.
    pub fn observe(&mut self, event: &Event, out: &mut dyn FnMut(Verdict)) {
        let _ = (&self.config, event, out);
    }

    /// May this source cost us work at `now`?
    #[must_use]
    pub fn verdict(&self, source: Source, now: UnixMillis) -> SourceVerdict {
        let _ = (source, now);
        SourceVerdict::Allow
    }

    /// A device has proved its key from this address: it is shared with the innocent, so it is given more room.
    pub fn vouch(&mut self, source: Source, now: UnixMillis) {
        let _ = (source, now);
    }

    /// Sources limited at `now`, with the end of their limit.
    pub fn limited(&self, now: UnixMillis) -> impl Iterator<Item = (Source, UnixMillis)> + '_ {
        let _ = now;
        std::iter::empty()
    }
}
