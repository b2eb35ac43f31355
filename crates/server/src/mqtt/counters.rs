//! What the door counts.

use std::sync::atomic::{AtomicU64, Ordering::Relaxed};

/// Why a connection ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(usize)]
pub enum Ended {
    /// The device said so, or closed it.
    Device,
    /// No word within one and a half times its keep-alive.
    Silent,
    /// No TLS handshake, or no certificate that is believed.
    Handshake,
    /// Its source is limited: it got no handshake.
    SourceLimited,
    /// Its access does not allow it.
    Refused,
    TakenOver,
    Isolated,
    /// Against the protocol.
    Fault,
    /// The upstream did not take a message.
    Upstream,
    Stopping,
}

impl Ended {
    pub const ALL: [Self; 10] = [
        Self::Device,
        Self::Silent,
        Self::Handshake,
        Self::SourceLimited,
        Self::Refused,
        Self::TakenOver,
        Self::Isolated,
        Self::Fault,
        Self::Upstream,
        Self::Stopping,
    ];

    /// As metrics name it.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Device => "device",
            Self::Silent => "silent",
            Self::Handshake => "handshake",
            Self::SourceLimited => "source_limited",
            Self::Refused => "refused",
            Self::TakenOver => "taken_over",
            Self::Isolated => "isolated",
            Self::Fault => "fault",
            Self::Upstream => "upstream",
            Self::Stopping => "stopping",
        }
    }
}

/// Counters since start.
#[derive(Debug, Default)]
pub struct Counters {
    pub(super) opened: AtomicU64,
    pub(super) messages: AtomicU64,
    ended: [AtomicU64; Ended::ALL.len()],
}

/// Their values.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Counted {
    /// Connections that were let in.
    pub opened: u64,
    /// Messages that the upstream accepted.
    pub messages: u64,
    pub ended: Vec<(Ended, u64)>,
}

impl Counters {
    pub(super) fn ended(&self, why: Ended) {
        if let Some(counter) = self.ended.get(why as usize) {
            counter.fetch_add(1, Relaxed);
        }
    }

    #[must_use]
    pub fn counted(&self) -> Counted {
        let ended = Ended::ALL.into_iter().zip(self.ended.iter().map(|counter| counter.load(Relaxed)));
        Counted { opened: self.opened.load(Relaxed), messages: self.messages.load(Relaxed), ended: ended.collect() }
    }
}
