//! Who observes resources of ours (RFC 7641 section 4).

use alloc::string::String;
use alloc::vec::Vec;

use bartizan_dtls::Instant;

use crate::event::IncomingId;
use crate::limits::OBSERVERS_MAX;

/// An observation by the peer.
#[derive(Debug)]
pub(super) struct Observer {
    pub(super) id: IncomingId,
    pub(super) token: Vec<u8>,
    pub(super) target: String,
    /// Of the latest notification.
    pub(super) sequence: u32,
    pub(super) message_id: Option<u16>,
    /// When a confirmable notification was last sent.
    pub(super) confirmed: Instant,
}

#[derive(Debug)]
pub(super) struct Observers(Vec<Observer>);

impl Observers {
    pub(super) const fn new() -> Self {
        Self(Vec::new())
    }

    /// Adds an observation, or renews the one with the same token and target; returns the id of the one
    /// that it replaces, or an error if there are too many.
    pub(super) fn add(&mut self, observer: Observer) -> Result<Option<IncomingId>, ()> {
        let same = |known: &Observer| known.token == observer.token && known.target == observer.target;
        if let Some(known) = self.0.iter_mut().find(|known| same(known)) {
            let sequence = known.sequence;
            let replaced = core::mem::replace(known, observer);
            known.sequence = sequence;
            return Ok(Some(replaced.id));
        }
        if self.0.len() >= OBSERVERS_MAX || self.0.try_reserve(1).is_err() {
            return Err(());
        }
        self.0.push(observer);
        Ok(None)
    }

    pub(super) fn find_mut(&mut self, id: IncomingId) -> Option<&mut Observer> {
        self.0.iter_mut().find(|observer| observer.id == id)
    }

    /// The observation whose latest notification went in this message.
    pub(super) fn last_told_in(&self, message_id: u16) -> Option<IncomingId> {
        let told = |observer: &&Observer| observer.message_id == Some(message_id);
        self.0.iter().find(told).map(|observer| observer.id)
    }

    pub(super) fn with_token(&self, token: &[u8], target: &str) -> Option<IncomingId> {
        let same = |observer: &&Observer| observer.token == token && observer.target == target;
        self.0.iter().find(same).map(|observer| observer.id)
    }

    pub(super) fn remove(&mut self, id: IncomingId) -> bool {
        let before = self.0.len();
        self.0.retain(|observer| observer.id != id);
        self.0.len() < before
    }

    pub(super) fn drain(&mut self) -> impl Iterator<Item = IncomingId> + '_ {
        self.0.drain(..).map(|observer| observer.id)
    }

    pub(super) fn iter(&self) -> impl Iterator<Item = &Observer> {
        self.0.iter()
    }
}
