//! Message deduplication (RFC 7252 section 4.5): a repeated message is answered as the first time and
//! does nothing else.

use alloc::vec::Vec;

use bartizan_dtls::Instant;

use crate::bounded::{Queue, copy};
use crate::limits::SEEN_MAX;

/// EXCHANGE_LIFETIME with the default transmission parameters (RFC 7252 section 4.8.2), in milliseconds.
pub(super) const EXCHANGE_LIFETIME_MS: u64 = 247_000;

/// The latest message ids of the peer and what was answered.
#[derive(Debug)]
pub(super) struct Seen(Queue<Entry>);

#[derive(Debug)]
struct Entry {
    message_id: u16,
    at: Instant,
    answer: Option<Vec<u8>>,
}

/// What is known about a message id.
pub(super) enum Sighting {
    First,
    /// Seen before; the answer to repeat, unless none was given yet.
    Repeated(Option<Vec<u8>>),
}

impl Seen {
    pub(super) const fn new() -> Self {
        Self(Queue::new(SEEN_MAX))
    }

    /// Looks a message id up and remembers it.
    pub(super) fn sight(&mut self, now: Instant, message_id: u16) -> Sighting {
        let alive = |entry: &Entry| entry.message_id == message_id && now.since(entry.at) < EXCHANGE_LIFETIME_MS;
        if let Some(entry) = self.0.find(alive) {
            return Sighting::Repeated(entry.answer.as_deref().and_then(copy));
        }
        self.0.push_over(Entry { message_id, at: now, answer: None });
        Sighting::First
    }

    /// Keeps the answer to the latest message with this id.
    pub(super) fn answered(&mut self, message_id: u16, answer: &[u8]) {
        if let Some(entry) = self.0.find_mut(|entry| entry.message_id == message_id) {
            entry.answer = copy(answer);
        }
    }

    /// Puts back an answer that was given before a sleep.
    pub(super) fn restore(&mut self, now: Instant, message_id: u16, answer: &[u8]) {
        self.0.push_over(Entry { message_id, at: now, answer: copy(answer) });
    }

    /// The latest answers, newest first.
    pub(super) fn answers(&self) -> impl Iterator<Item = (u16, &[u8])> {
        self.0.iter().rev().filter_map(|entry| Some((entry.message_id, entry.answer.as_deref()?)))
    }

    pub(super) fn clear(&mut self) {
        self.0.clear();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_id_is_new_again_after_its_lifetime() {
        let mut seen = Seen::new();
        let at = Instant::from_millis;
        assert!(matches!(seen.sight(at(0), 7), Sighting::First));
        seen.answered(7, b"yes");
        let last = at(EXCHANGE_LIFETIME_MS - 1);
        assert!(matches!(seen.sight(last, 7), Sighting::Repeated(Some(a)) if a == b"yes"));
        assert!(matches!(seen.sight(at(EXCHANGE_LIFETIME_MS), 7), Sighting::First));
    }

    #[test]
    fn the_oldest_makes_room() {
        let mut seen = Seen::new();
        for id in 0..=SEEN_MAX as u16 {
            seen.sight(Instant::from_millis(0), id);
        }
        assert!(matches!(seen.sight(Instant::from_millis(0), 1), Sighting::Repeated(None)));
        assert!(matches!(seen.sight(Instant::from_millis(0), 0), Sighting::First));
    }
}
