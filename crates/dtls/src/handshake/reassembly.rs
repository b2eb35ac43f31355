//! Putting fragments together, in order (RFC 6347 section 4.2.3).
//!
//! Nothing here is authenticated yet, so memory is bounded whatever a message claims, and a fragment that
//! contradicts what came before replaces it: a forged first fragment then costs a retransmission, not the handshake.

use alloc::collections::VecDeque;
use alloc::vec::Vec;

use super::message::{Fragment, Kind, Message};
use crate::limits::{
    CERTIFICATE_MESSAGE_BYTES_MAX, HANDSHAKE_MESSAGE_BYTES_MAX, HANDSHAKE_MESSAGES_AHEAD_MAX, REASSEMBLY_BYTES_MAX,
    REASSEMBLY_BYTES_MAX_WITH_CERTIFICATES,
};

/// Messages that are not complete, or not yet due.
#[derive(Debug)]
pub(crate) struct Reassembly {
    due: u16,
    partials: VecDeque<Partial>,
    /// Whether a Certificate may come: only then is there room for one.
    certificates: bool,
}

#[derive(Debug)]
struct Partial {
    kind: Kind,
    sequence: u16,
    body: Vec<u8>,
    /// One bit for each byte of `body`.
    have: Vec<u8>,
    missing: usize,
}

/// What became of a fragment.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Accepted {
    Kept,
    /// Belongs to a message that has been dealt with: the peer repeats its flight.
    Old,
    /// Too long, too far ahead, or no memory.
    Refused,
}

impl Reassembly {
    /// Expects the message numbered `due` next.
    pub const fn new(due: u16) -> Self {
        Self { due, partials: VecDeque::new(), certificates: false }
    }

    /// Forgets what is there and expects the message numbered `due` next.
    pub fn restart(&mut self, due: u16) {
        self.due = due;
        self.partials.clear();
    }

    /// A Certificate may come from now on.
    pub const fn expect_certificates(&mut self) {
        self.certificates = true;
    }

    const fn longest(&self, kind: Kind) -> usize {
        match kind {
            Kind::Certificate if self.certificates => CERTIFICATE_MESSAGE_BYTES_MAX,
            _ => HANDSHAKE_MESSAGE_BYTES_MAX,
        }
    }

    const fn budget(&self) -> usize {
        match self.certificates {
            true => REASSEMBLY_BYTES_MAX_WITH_CERTIFICATES,
            false => REASSEMBLY_BYTES_MAX,
        }
    }

    /// Whether the fragment belongs to a message that has been dealt with.
    pub const fn is_old(&self, fragment: &Fragment<'_>) -> bool {
        fragment.sequence < self.due
    }

    /// Whether the fragment belongs to the message that is due.
    pub const fn is_due(&self, fragment: &Fragment<'_>) -> bool {
        fragment.sequence == self.due
    }

    pub fn accept(&mut self, fragment: &Fragment<'_>) -> Accepted {
        //= rfc6347#4.2.2-1
        if self.is_old(fragment) {
            return Accepted::Old;
        }
        let too_far = fragment.sequence - self.due > HANDSHAKE_MESSAGES_AHEAD_MAX;
        if too_far || fragment.length > self.longest(fragment.kind) {
            return Accepted::Refused;
        }
        //= rfc6347#4.2.2-s1
        match self.partial_for(fragment) {
            Some(partial) => {
                partial.add(fragment);
                Accepted::Kept
            }
            None => Accepted::Refused,
        }
    }

    /// The message that is due, once it is complete.
    pub fn next(&mut self) -> Option<Message> {
        let due = self.due;
        let is_next = |partial: &Partial| partial.sequence == due && partial.missing == 0;
        let index = self.partials.iter().position(is_next)?;
        let partial = self.partials.remove(index)?;
        self.due = self.due.checked_add(1)?;
        Some(Message { kind: partial.kind, sequence: partial.sequence, body: partial.body })
    }

    fn partial_for(&mut self, fragment: &Fragment<'_>) -> Option<&mut Partial> {
        self.partials.retain(|partial| partial.sequence != fragment.sequence || partial.agrees(fragment));
        let same = |partial: &Partial| partial.sequence == fragment.sequence;
        if let Some(index) = self.partials.iter().position(same) {
            return self.partials.get_mut(index);
        }
        self.make_room(fragment)?;
        self.partials.try_reserve(1).ok()?;
        self.partials.push_back(Partial::new(fragment)?);
        self.partials.back_mut()
    }

    /// The due message displaces those ahead of it; others wait for room.
    fn make_room(&mut self, fragment: &Fragment<'_>) -> Option<()> {
        let held = |all: &VecDeque<Partial>| all.iter().map(|one| one.body.len()).sum::<usize>();
        while held(&self.partials) + fragment.length > self.budget() {
            if fragment.sequence != self.due {
                return None;
            }
            self.partials.pop_back()?;
        }
        Some(())
    }
}

impl Partial {
    fn new(fragment: &Fragment<'_>) -> Option<Self> {
        Some(Self {
            kind: fragment.kind,
            sequence: fragment.sequence,
            body: try_zeros(fragment.length)?,
            have: try_zeros(fragment.length.div_ceil(8))?,
            missing: fragment.length,
        })
    }

    fn agrees(&self, fragment: &Fragment<'_>) -> bool {
        self.kind == fragment.kind && self.body.len() == fragment.length
    }

    //= rfc6347#4.2.3-5
    /// Bytes that are there already stay as they are.
    fn add(&mut self, fragment: &Fragment<'_>) {
        let places = self.body.iter_mut().enumerate().skip(fragment.offset);
        for ((index, place), byte) in places.zip(fragment.body) {
            let Some(bits) = self.have.get_mut(index / 8) else {
                return;
            };
            if *bits & (1 << (index % 8)) == 0 {
                *bits |= 1 << (index % 8);
                *place = *byte;
                self.missing -= 1;
            }
        }
    }
}

fn try_zeros(length: usize) -> Option<Vec<u8>> {
    let mut zeros = Vec::new();
    zeros.try_reserve_exact(length).ok()?;
    zeros.resize(length, 0);
    Some(zeros)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn piece(sequence: u16, length: usize, offset: usize, body: &[u8]) -> Fragment<'_> {
        Fragment { kind: Kind::ClientKeyExchange, length, sequence, offset, body }
    }

    //= test rfc6347#4.2.2-1
    //= test rfc6347#4.2.3-5
    #[test]
    fn overlapping_fragments_in_any_order_make_the_message() {
        let mut reassembly = Reassembly::new(1);
        reassembly.accept(&piece(1, 6, 4, b"ef"));
        reassembly.accept(&piece(1, 6, 0, b"abc"));
        assert_eq!(reassembly.next(), None);
        reassembly.accept(&piece(1, 6, 1, b"XXdX"));
        assert_eq!(reassembly.next().unwrap().body, b"abcdef");
        assert_eq!(reassembly.accept(&piece(1, 6, 0, b"abc")), Accepted::Old);
    }

    //= test rfc6347#4.2.2-s1
    #[test]
    fn messages_come_out_in_order() {
        let mut reassembly = Reassembly::new(0);
        reassembly.accept(&piece(1, 1, 0, b"b"));
        assert_eq!(reassembly.next(), None);
        reassembly.accept(&piece(0, 0, 0, b""));
        assert_eq!(reassembly.next().unwrap().sequence, 0);
        assert_eq!(reassembly.next().unwrap().sequence, 1);
    }

    #[test]
    fn a_contradicting_fragment_starts_the_message_again() {
        let mut reassembly = Reassembly::new(0);
        reassembly.accept(&piece(0, 100, 0, b"forged"));
        reassembly.accept(&piece(0, 4, 0, b"true"));
        assert_eq!(reassembly.next().unwrap().body, b"true");
    }

    #[test]
    fn memory_is_bounded_and_the_due_message_goes_first() {
        let mut reassembly = Reassembly::new(0);
        let long = HANDSHAKE_MESSAGE_BYTES_MAX;
        assert_eq!(reassembly.accept(&piece(0, long + 1, 0, b"")), Accepted::Refused);
        assert_eq!(reassembly.accept(&piece(1, long, 0, b"")), Accepted::Kept);
        assert_eq!(reassembly.accept(&piece(2, long, 0, b"")), Accepted::Kept);
        assert_eq!(reassembly.accept(&piece(3, 1, 0, b"")), Accepted::Refused);
        assert_eq!(reassembly.accept(&piece(0, long, 0, b"")), Accepted::Kept);
        assert_eq!(reassembly.partials.len(), 2);
        let ahead = HANDSHAKE_MESSAGES_AHEAD_MAX;
        assert_eq!(reassembly.accept(&piece(ahead + 1, 0, 0, b"")), Accepted::Refused);
        assert_eq!(reassembly.accept(&piece(ahead, 0, 0, b"")), Accepted::Kept);
    }
}
