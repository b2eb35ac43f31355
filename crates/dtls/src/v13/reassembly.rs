//! Putting fragments together, in order (RFC 9147 section 5.5).
//!
//! What comes before keys is not authenticated, so memory is bounded whatever a message claims, and a fragment that
//! contradicts what came before replaces it.

use alloc::collections::VecDeque;
use alloc::vec::Vec;

use super::messages::{Fragment, Message};
use crate::Error;
use crate::codec::Reader;
use crate::limits::HANDSHAKE_MESSAGES_AHEAD_MAX;

/// Messages that are not complete, or not yet due.
#[derive(Debug)]
pub(crate) struct Reassembly {
    due: u16,
    /// Longest message, and most bytes of all that wait.
    bytes_max: usize,
    partials: VecDeque<Partial>,
}

#[derive(Debug)]
struct Partial {
    kind: u8,
    sequence: u16,
    /// As long as what has come needs, not as the message claims.
    body: Vec<u8>,
    length: usize,
    /// What is there: ascending, apart from each other.
    have: Vec<(usize, usize)>,
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

/// What became of the fragments of one record.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Taken {
    /// None was refused: the record may be acknowledged.
    pub whole: bool,
    /// One was kept.
    pub kept: bool,
    /// One belongs to a message that has been dealt with.
    pub old: bool,
}

impl Reassembly {
    /// Expects the message numbered `due` next, and keeps no more than `bytes_max`.
    pub const fn new(due: u16, bytes_max: usize) -> Self {
        Self { due, bytes_max, partials: VecDeque::new() }
    }

    /// The number of the next message.
    pub const fn due(&self) -> u16 {
        self.due
    }

    /// Whether nothing waits.
    pub fn is_empty(&self) -> bool {
        self.partials.is_empty()
    }
    //= rfc9147#5.2-1
    pub const fn is_old(&self, fragment: &Fragment<'_>) -> bool {
        fragment.sequence < self.due
    }

    //= rfc9147#5.5-3
    pub fn accept(&mut self, fragment: &Fragment<'_>) -> Accepted {
        if self.is_old(fragment) {
            return Accepted::Old;
        }
        let too_far = fragment.sequence - self.due > HANDSHAKE_MESSAGES_AHEAD_MAX;
        if too_far || fragment.length > self.bytes_max {
            return Accepted::Refused;
        }
        match self.keep(fragment) {
            Some(()) => Accepted::Kept,
            None => Accepted::Refused,
        }
    }

    /// Takes in all fragments of a record.
    pub fn accept_record(&mut self, content: &[u8]) -> Result<Taken, Error> {
        let mut taken = Taken { whole: true, kept: false, old: false };
        let mut reader = Reader::new(content);
        while !reader.is_empty() {
            match self.accept(&Fragment::read(&mut reader)?) {
                Accepted::Kept => taken.kept = true,
                Accepted::Old => taken.old = true,
                //= rfc9147#7-1
                //= rfc9147#7-2
                Accepted::Refused => taken.whole = false,
            }
        }
        Ok(taken)
    }

    //= rfc9147#5.2-s1
    /// The message that is due, once it is complete.
    pub fn next(&mut self) -> Option<Message> {
        let due = self.due;
        let is_next = |partial: &Partial| partial.sequence == due && partial.is_complete();
        let index = self.partials.iter().position(is_next)?;
        let partial = self.partials.remove(index)?;
        self.due = self.due.checked_add(1)?;
        Some(Message { kind: partial.kind, sequence: partial.sequence, body: partial.body })
    }

    /// The same, but only if its body is one of these.
    pub fn next_if(&mut self, suits: impl Fn(&[u8]) -> bool) -> Option<Message> {
        let due = self.due;
        let is_next = |partial: &&Partial| partial.sequence == due && partial.is_complete();
        self.partials.iter().find(is_next).filter(|partial| suits(&partial.body))?;
        self.next()
    }

    fn keep(&mut self, fragment: &Fragment<'_>) -> Option<()> {
        self.partials.retain(|partial| partial.sequence != fragment.sequence || partial.agrees(fragment));
        let same = |partial: &Partial| partial.sequence == fragment.sequence;
        if !self.partials.iter().any(same) {
            self.make_room(fragment)?;
            self.partials.try_reserve(1).ok()?;
            self.partials.push_back(Partial::new(fragment));
        }
        self.partials.iter_mut().find(|partial| same(partial))?.add(fragment)
    }

    /// The due message displaces those ahead of it; others wait for room.
    fn make_room(&mut self, fragment: &Fragment<'_>) -> Option<()> {
        let claimed = |all: &VecDeque<Partial>| all.iter().map(|one| one.length).sum::<usize>();
        while claimed(&self.partials).saturating_add(fragment.length) > self.bytes_max {
            if fragment.sequence != self.due {
                return None;
            }
            self.partials.pop_back()?;
        }
        Some(())
    }
}

impl Partial {
    const fn new(fragment: &Fragment<'_>) -> Self {
        Self {
            kind: fragment.kind,
            sequence: fragment.sequence,
            body: Vec::new(),
            length: fragment.length,
            have: Vec::new(),
        }
    }

    fn agrees(&self, fragment: &Fragment<'_>) -> bool {
        self.kind == fragment.kind && self.length == fragment.length
    }

    fn is_complete(&self) -> bool {
        self.length == 0 || self.have.first() == Some(&(0, self.length))
    }

    //= rfc9147#5.5-4
    /// Bytes that are there already stay as they are.
    fn add(&mut self, fragment: &Fragment<'_>) -> Option<()> {
        let (start, end) = (fragment.offset, fragment.offset.checked_add(fragment.body.len())?);
        if self.body.len() < end {
            self.body.try_reserve(end - self.body.len()).ok()?;
            self.body.resize(end, 0);
        }
        let have = &self.have;
        let missing = |index: usize| !have.iter().any(|(from, to)| (*from..*to).contains(&index));
        let places = self.body.iter_mut().enumerate().skip(start);
        for ((index, place), byte) in places.zip(fragment.body) {
            if missing(index) {
                *place = *byte;
            }
        }
        self.note(start, end)
    }

    fn note(&mut self, start: usize, end: usize) -> Option<()> {
        if start == end {
            return Some(());
        }
        let (mut start, mut end) = (start, end);
        self.have.retain(|(from, to)| {
            let apart = *to < start || end < *from;
            if !apart {
                start = start.min(*from);
                end = end.max(*to);
            }
            apart
        });
        if self.have.len() >= crate::limits::FRAGMENT_GAPS_MAX {
            return None;
        }
        self.have.try_reserve(1).ok()?;
        let at = self.have.iter().take_while(|(from, _)| *from < start).count();
        self.have.insert(at, (start, end));
        Some(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const MAX: usize = 4096;

    fn piece(sequence: u16, length: usize, offset: usize, body: &[u8]) -> Fragment<'_> {
        Fragment { kind: 11, length, sequence, offset, body }
    }

    //= test rfc9147#5.5-4
    #[test]
    fn overlapping_fragments_in_any_order_make_the_message() {
        let mut reassembly = Reassembly::new(1, MAX);
        reassembly.accept(&piece(1, 6, 4, b"ef"));
        reassembly.accept(&piece(1, 6, 0, b"abc"));
        assert_eq!(reassembly.next(), None);
        reassembly.accept(&piece(1, 6, 1, b"XXdX"));
        assert_eq!(reassembly.next().unwrap().body, b"abcdef");
        assert_eq!(reassembly.accept(&piece(1, 6, 0, b"abc")), Accepted::Old);
    }

    //= test rfc9147#5.5-3
    #[test]
    fn any_order_of_any_pieces_makes_the_message() {
        let whole: Vec<u8> = (0..200).map(|index| index as u8).collect();
        for seed in 0..200_u64 {
            let mut state = seed;
            let mut below = |end: u64| {
                state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
                (state >> 33) % end
            };
            let mut reassembly = Reassembly::new(0, MAX);
            let message = (0..10_000).find_map(|_| {
                let start = below(200) as usize;
                let end = (start + 1 + below(30) as usize).min(200);
                reassembly.accept(&piece(0, 200, start, &whole[start..end]));
                reassembly.next()
            });
            assert_eq!(message.unwrap().body, whole);
        }
    }

    //= test rfc9147#5.2-s1
    #[test]
    fn messages_come_out_in_order() {
        let mut reassembly = Reassembly::new(0, MAX);
        reassembly.accept(&piece(1, 1, 0, b"b"));
        assert_eq!(reassembly.next(), None);
        reassembly.accept(&piece(0, 0, 0, b""));
        assert_eq!(reassembly.next().unwrap().sequence, 0);
        assert_eq!(reassembly.next().unwrap().sequence, 1);
        assert!(reassembly.partials.is_empty());
    }

    #[test]
    fn a_contradicting_fragment_starts_the_message_again() {
        let mut reassembly = Reassembly::new(0, MAX);
        reassembly.accept(&piece(0, 100, 0, b"forged"));
        reassembly.accept(&piece(0, 4, 0, b"true"));
        assert_eq!(reassembly.next().unwrap().body, b"true");
    }

    #[test]
    fn memory_is_bounded_and_the_due_message_goes_first() {
        let mut reassembly = Reassembly::new(0, MAX);
        assert_eq!(reassembly.accept(&piece(0, MAX + 1, 0, b"")), Accepted::Refused);
        assert_eq!(reassembly.accept(&piece(1, MAX / 2, 0, b"x")), Accepted::Kept);
        assert_eq!(reassembly.accept(&piece(2, MAX / 2, 0, b"x")), Accepted::Kept);
        assert_eq!(reassembly.accept(&piece(3, 1, 0, b"x")), Accepted::Refused);
        assert_eq!(reassembly.accept(&piece(0, MAX / 2, 0, b"x")), Accepted::Kept);
        assert_eq!(reassembly.partials.len(), 2);
        assert_eq!(reassembly.partials.back().unwrap().body.len(), 1, "only what has come");
        let ahead = HANDSHAKE_MESSAGES_AHEAD_MAX;
        assert_eq!(reassembly.accept(&piece(ahead + 1, 0, 0, b"")), Accepted::Refused);
        assert_eq!(reassembly.accept(&piece(ahead, 0, 0, b"")), Accepted::Kept);
    }

    //= test rfc9147#7-1
    //= test rfc9147#7-2
    #[test]
    fn a_record_of_which_a_part_was_refused_is_not_whole() {
        let record = |numbers: &[u16]| {
            let mut content = Vec::new();
            for number in numbers {
                Fragment::put_header(&mut content, 11, 0, *number, 0, 0);
            }
            content
        };
        let mut reassembly = Reassembly::new(1, MAX);
        let taken = |whole, kept, old| Ok(Taken { whole, kept, old });
        assert_eq!(reassembly.accept_record(&record(&[1, 2])), taken(true, true, false));
        assert_eq!(reassembly.accept_record(&record(&[0])), taken(true, false, true));
        assert_eq!(reassembly.accept_record(&record(&[0, 1, 9])), taken(false, true, true));
        assert!(reassembly.accept_record(&record(&[1])[1..]).is_err());
    }

    #[test]
    fn the_number_of_gaps_is_bounded() {
        let mut reassembly = Reassembly::new(0, MAX);
        let gaps = crate::limits::FRAGMENT_GAPS_MAX;
        for index in 0..=gaps {
            let expected = if index < gaps { Accepted::Kept } else { Accepted::Refused };
            assert_eq!(reassembly.accept(&piece(0, MAX, 2 * index, b"x")), expected);
        }
    }
}
