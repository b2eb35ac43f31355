//! What is sent together, and repeated until it is acknowledged: only what is missing (RFC 9147 section 5.8).

use alloc::collections::VecDeque;
use alloc::vec::Vec;

use super::messages::{Fragment, HEADER_BYTES};
use crate::limits::SENT_RECORDS_MAX;

/// Least useful part of a message in a datagram that already holds something.
const CHUNK_BYTES_MIN: usize = 32;

/// A message of ours.
#[derive(Debug)]
pub(crate) struct Outgoing {
    pub kind: u8,
    pub sequence: u16,
    pub epoch: u16,
    pub body: Vec<u8>,
}

/// Part of a message, as it was cut when the flight was first sent.
#[derive(Clone, Copy, Debug)]
struct Piece {
    message: usize,
    offset: usize,
    length: usize,
    acked: bool,
}

/// Messages, the pieces that they were cut into, and which record carried which.
#[derive(Debug, Default)]
pub(crate) struct Flight {
    messages: Vec<Outgoing>,
    pieces: Vec<Piece>,
    sent: VecDeque<(u64, usize)>,
}

/// Makes records.
pub(crate) trait Sealer {
    /// How many bytes a record of this epoch is longer than its content.
    fn overhead(&self, epoch: u16) -> usize;

    /// Most bytes that the peer takes in one record of this epoch.
    fn content_max(&self, epoch: u16) -> usize;

    /// A record and its number; `None` if there is no number left, or no key.
    fn seal(&mut self, epoch: u16, content: &[u8]) -> Option<(u64, Vec<u8>)>;
}

impl Flight {
    pub const EMPTY: Self = Self { messages: Vec::new(), pieces: Vec::new(), sent: VecDeque::new() };

    pub fn clear(&mut self) {
        *self = Self::default();
    }

    pub fn push(&mut self, message: Outgoing) {
        self.messages.push(message);
        self.pieces.clear();
    }

    /// What is sent.
    pub fn messages(&self) -> &[Outgoing] {
        &self.messages
    }
    //= rfc9147#7.2-1
    /// Whether everything was sent and acknowledged.
    pub fn is_acked(&self) -> bool {
        !self.pieces.is_empty() && self.pieces.iter().all(|piece| piece.acked)
    }

    //= rfc9147#7.2-2
    /// Notes what the peer has; whether that was news.
    pub fn on_ack(&mut self, numbers: impl Iterator<Item = u64>) -> bool {
        let mut news = false;
        for number in numbers {
            for (_, index) in self.sent.iter().filter(|(sent, _)| *sent == number) {
                if let Some(piece) = self.pieces.get_mut(*index) {
                    news |= !core::mem::replace(&mut piece.acked, true);
                }
            }
        }
        news
    }

    /// Notes that the peer has all messages of an epoch: it uses keys that only they could give it.
    pub fn on_epoch(&mut self, epoch: u16) {
        for piece in &mut self.pieces {
            let message = self.messages.get(piece.message);
            piece.acked |= message.is_some_and(|message| message.epoch == epoch);
        }
    }

    //= rfc9147#4-6
    //= rfc9147#4.2.1-1
    //= rfc9147#5.5-5
    /// Datagrams with all that is not acknowledged, under fresh record numbers.
    pub fn transmit(&mut self, mtu: usize, sealer: &mut dyn Sealer) -> Vec<Vec<u8>> {
        let mut packer = Packer::new(mtu, sealer, &mut self.sent);
        match self.pieces.is_empty() {
            true => cut(&self.messages, &mut self.pieces, &mut packer),
            false => repeat(&self.messages, &self.pieces, &mut packer),
        }
        packer.finish()
    }
}

//= rfc9147#5.5-1
//= rfc9147#5.5-2
fn cut(messages: &[Outgoing], pieces: &mut Vec<Piece>, packer: &mut Packer<'_>) {
    for (index, message) in messages.iter().enumerate() {
        let mut offset = 0;
        loop {
            let rest = message.body.len().saturating_sub(offset);
            let space = packer.make_room(message.epoch, HEADER_BYTES + rest.min(CHUNK_BYTES_MIN));
            // The configuration does not allow such an MTU; a loop without progress would be worse.
            let length = rest.min(space.saturating_sub(HEADER_BYTES).max(1));
            packer.put(message, offset, length, pieces.len());
            pieces.push(Piece { message: index, offset, length, acked: false });
            offset += length;
            if offset >= message.body.len() {
                break;
            }
        }
    }
}

//= rfc9147#5.8.1-s1
//= rfc9147#7.2-s1
fn repeat(messages: &[Outgoing], pieces: &[Piece], packer: &mut Packer<'_>) {
    for (index, piece) in pieces.iter().enumerate().filter(|(_, piece)| !piece.acked) {
        if let Some(message) = messages.get(piece.message) {
            packer.make_room(message.epoch, HEADER_BYTES + piece.length);
            packer.put(message, piece.offset, piece.length, index);
        }
    }
}

/// Fills records, and datagrams with records.
struct Packer<'a> {
    mtu: usize,
    sealer: &'a mut dyn Sealer,
    sent: &'a mut VecDeque<(u64, usize)>,
    done: Vec<Vec<u8>>,
    datagram: Vec<u8>,
    epoch: u16,
    content: Vec<u8>,
    inside: Vec<usize>,
}

impl<'a> Packer<'a> {
    fn new(mtu: usize, sealer: &'a mut dyn Sealer, sent: &'a mut VecDeque<(u64, usize)>) -> Self {
        Self {
            mtu,
            sealer,
            sent,
            done: Vec::new(),
            datagram: Vec::new(),
            epoch: 0,
            content: Vec::new(),
            inside: Vec::new(),
        }
    }

    /// How much fits the current record, having begun another if that is less than `least`.
    fn make_room(&mut self, epoch: u16, least: usize) -> usize {
        // Messages in the clear have a record each, as every implementation sends them.
        if epoch != self.epoch || epoch == 0 {
            self.end_record();
            self.epoch = epoch;
        }
        if self.room() < least {
            self.end_record();
        }
        if self.room() < least {
            self.end_datagram();
        }
        self.room()
    }

    //= rfc9147#4.3-s1
    fn room(&self) -> usize {
        let used = self.datagram.len() + self.content.len() + self.sealer.overhead(self.epoch);
        let content = self.sealer.content_max(self.epoch).saturating_sub(self.content.len());
        self.mtu.saturating_sub(used).min(content)
    }

    fn put(&mut self, message: &Outgoing, offset: usize, length: usize, piece: usize) {
        let body = message.body.get(offset..offset.saturating_add(length)).unwrap_or_default();
        let whole = message.body.len();
        Fragment::put_header(&mut self.content, message.kind, whole, message.sequence, offset, body.len());
        self.content.extend_from_slice(body);
        self.inside.push(piece);
    }

    //= rfc9147#4.3-3
    fn end_record(&mut self) {
        let content = core::mem::take(&mut self.content);
        let inside = core::mem::take(&mut self.inside);
        if content.is_empty() {
            return;
        }
        if let Some((number, record)) = self.sealer.seal(self.epoch, &content) {
            self.datagram.extend_from_slice(&record);
            inside.into_iter().for_each(|piece| self.note(number, piece));
        }
    }

    fn note(&mut self, number: u64, piece: usize) {
        if self.sent.len() >= SENT_RECORDS_MAX {
            self.sent.pop_front();
        }
        self.sent.push_back((number, piece));
    }

    fn end_datagram(&mut self) {
        self.end_record();
        if !self.datagram.is_empty() {
            self.done.push(core::mem::take(&mut self.datagram));
        }
    }

    fn finish(mut self) -> Vec<Vec<u8>> {
        self.end_datagram();
        self.done
    }
}

#[cfg(test)]
mod tests {
    use super::super::reassembly::Reassembly;
    use super::*;
    use crate::codec::Reader;

    /// Records are a byte for the epoch, two for the length, and the content.
    struct Clear(u64);

    impl Sealer for Clear {
        fn overhead(&self, _: u16) -> usize {
            3
        }

        fn content_max(&self, epoch: u16) -> usize {
            if epoch == 0 { usize::MAX } else { 300 }
        }

        fn seal(&mut self, epoch: u16, content: &[u8]) -> Option<(u64, Vec<u8>)> {
            self.0 += 1;
            let length = (content.len() as u16).to_be_bytes();
            Some((self.0, [&[epoch as u8], &length[..], content].concat()))
        }
    }

    fn flight() -> Flight {
        let mut flight = Flight::default();
        let message =
            |kind, sequence, epoch, length| Outgoing { kind, sequence, epoch, body: alloc::vec![kind; length] };
        flight.push(message(2, 0, 0, 90));
        flight.push(message(8, 1, 2, 10));
        flight.push(message(11, 2, 2, 700));
        flight.push(message(20, 3, 2, 32));
        flight
    }

    fn records(datagram: &[u8]) -> Vec<(u8, Vec<u8>)> {
        let mut reader = Reader::new(datagram);
        core::iter::from_fn(|| Some((reader.u8().ok()?, reader.vec16().ok()?.to_vec()))).collect()
    }

    //= test rfc9147#4.3-s1
    #[test]
    fn fragments_fit_the_mtu_and_reassemble() {
        for mtu in [128, 200, 512, 1200] {
            let mut flight = flight();
            let mut reassembly = Reassembly::new(0, 4096);
            for datagram in flight.transmit(mtu, &mut Clear(0)) {
                assert!(datagram.len() <= mtu, "{} > {mtu}", datagram.len());
                for (epoch, content) in records(&datagram) {
                    assert!(epoch == 0 || content.len() <= 300);
                    let mut reader = Reader::new(&content);
                    while !reader.is_empty() {
                        reassembly.accept(&Fragment::read(&mut reader).unwrap());
                    }
                }
            }
            let bodies = core::iter::from_fn(|| reassembly.next()).map(|message| message.body.len());
            assert_eq!(bodies.collect::<Vec<_>>(), [90, 10, 700, 32]);
        }
    }

    #[test]
    fn small_messages_share_a_record() {
        let mut flight = flight();
        let datagrams = flight.transmit(1200, &mut Clear(0));
        assert_eq!(datagrams.len(), 1);
        let epochs: Vec<u8> = records(&datagrams[0]).iter().map(|(epoch, _)| *epoch).collect();
        assert_eq!(epochs, [0, 2, 2, 2]);
    }

    #[test]
    fn who_uses_the_keys_has_the_message_that_gave_them() {
        let mut flight = flight();
        flight.transmit(1200, &mut Clear(0));
        flight.on_epoch(0);
        let again = flight.transmit(1200, &mut Clear(0));
        assert!(again.iter().flat_map(|datagram| records(datagram)).all(|(epoch, _)| epoch == 2));
        assert!(!again.is_empty());
        flight.on_epoch(2);
        assert!(flight.is_acked());
    }

    //= test rfc9147#5.8.1-s1
    //= test rfc9147#7.2-s1
    #[test]
    fn only_what_is_missing_is_sent_again() {
        let mut flight = flight();
        let mut clear = Clear(0);
        let first = flight.transmit(200, &mut clear);
        let last = clear.0;
        assert!(!flight.on_ack([last + 1].into_iter()), "a number that was never used");
        assert!(flight.on_ack((1..last - 1).chain([last])));
        assert!(!flight.on_ack([last].into_iter()), "no news");
        let again = flight.transmit(200, &mut clear);
        assert_eq!(again.len(), 1);
        assert!(again[0].len() < first.iter().map(Vec::len).sum());
        assert!(!flight.is_acked());
        assert!(flight.on_ack([clear.0].into_iter()), "either transmission counts");
        assert!(flight.is_acked());
        assert!(flight.transmit(200, &mut clear).is_empty());
    }
}
