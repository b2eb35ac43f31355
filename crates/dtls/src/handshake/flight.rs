//! A flight: what is sent together and repeated together, in as few datagrams as the MTU allows.

use alloc::collections::VecDeque;
use alloc::vec::Vec;

use bartizan_wire::record::{ContentType, HEADER_BYTES as RECORD_HEADER_BYTES};

use super::message;
use crate::limits::PLAINTEXT_BYTES_MAX;
use crate::record;

/// One element of a flight.
#[derive(Debug)]
pub(crate) enum Item {
    /// A message in one piece, header included, for epoch 0.
    Plain(Vec<u8>),
    ChangeCipherSpec,
    /// A message in one piece for epoch 1.
    Protected(Vec<u8>),
}

/// Least useful part of a message in a datagram that already holds something.
const CHUNK_BYTES_MIN: usize = 32;

/// Packs records into datagrams. Sequence numbers are fresh for each repetition (RFC 6347 section 4.1).
pub(crate) struct Packer<'a> {
    mtu: usize,
    /// Most bytes of one record's content in the clear (RFC 6066 section 4).
    fragment_max: usize,
    sequence: &'a mut u64,
    current: Vec<u8>,
    done: VecDeque<Vec<u8>>,
}

impl<'a> Packer<'a> {
    /// `sequence` is the next record number of epoch 0.
    pub fn new(mtu: usize, sequence: &'a mut u64) -> Self {
        Self { mtu, fragment_max: PLAINTEXT_BYTES_MAX, sequence, current: Vec::new(), done: VecDeque::new() }
    }

    /// The same with shorter records.
    pub const fn with_fragments_of(mut self, fragment_max: usize) -> Self {
        self.fragment_max = fragment_max;
        self
    }

    //= rfc6347#4.2.5-1
    /// Adds a whole flight; `protect` seals a message of epoch 1 into a record.
    pub fn flight(&mut self, items: &[Item], mut protect: impl FnMut(&[u8]) -> Option<Vec<u8>>) {
        for item in items {
            match item {
                Item::Plain(message) => self.message(message),
                Item::ChangeCipherSpec => self.change_cipher_spec(),
                Item::Protected(message) => {
                    if let Some(record) = protect(message) {
                        self.record(record);
                    }
                }
            }
        }
    }

    //= rfc6347#4.1.1-s1
    //= rfc6347#4.2.3-1
    //= rfc6347#4.2.3-2
    //= rfc6347#4.2.3-3
    //= rfc6347#4.2.3-s1
    /// Adds a message of epoch 0, in fragments if need be.
    pub fn message(&mut self, message: &[u8]) {
        let Some((header, body)) = message.split_first_chunk::<{ message::HEADER_BYTES }>() else {
            return;
        };
        let [kind, _, _, _, sequence_high, sequence_low, ..] = *header;
        let sequence = u16::from_be_bytes([sequence_high, sequence_low]);
        let mut offset = 0;
        loop {
            let rest = body.get(offset..).unwrap_or_default();
            let space = self.space_for(rest.len());
            let chunk = rest.get(..space).unwrap_or(rest);
            let length = message::HEADER_BYTES + chunk.len();
            let number = self.next_sequence();
            record::put_plain(&mut self.current, ContentType::HANDSHAKE, number, length);
            let out = &mut self.current;
            message::put_header(out, kind, body.len(), sequence, offset, chunk.len());
            out.extend_from_slice(chunk);
            offset += chunk.len();
            if offset >= body.len() {
                return;
            }
        }
    }

    pub fn change_cipher_spec(&mut self) {
        let number = self.next_sequence();
        self.record(record::plain(ContentType::CHANGE_CIPHER_SPEC, number, &[1]));
    }

    /// Adds a finished record.
    pub fn record(&mut self, record: Vec<u8>) {
        //= rfc6347#4.1.1-1
        if self.current.len() + record.len() > self.mtu {
            self.flush();
        }
        self.current.extend_from_slice(&record);
    }

    /// The datagrams.
    pub fn finish(mut self) -> VecDeque<Vec<u8>> {
        self.flush();
        self.done
    }

    /// How much of a message's `rest` fits, having begun a new datagram if too little would.
    fn space_for(&mut self, rest: usize) -> usize {
        let headers = RECORD_HEADER_BYTES + message::HEADER_BYTES;
        let least = headers + rest.min(CHUNK_BYTES_MIN);
        if self.mtu.saturating_sub(self.current.len()) < least {
            self.flush();
        }
        let space = self.mtu.saturating_sub(self.current.len() + headers);
        let space = space.min(self.fragment_max.saturating_sub(message::HEADER_BYTES));
        // The configuration does not allow such an MTU; a loop without progress would be worse.
        space.max(1)
    }

    fn flush(&mut self) {
        if !self.current.is_empty() {
            self.done.push_back(core::mem::take(&mut self.current));
        }
    }

    fn next_sequence(&mut self) -> u64 {
        let number = *self.sequence;
        *self.sequence += 1;
        number
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::handshake::message::{Fragment, Kind, encode};
    use crate::handshake::reassembly::Reassembly;
    use bartizan_wire::record::split;

    //= test rfc6347#4.1.1-1
    //= test rfc6347#4.1.1-s1
    //= test rfc6347#4.2.3-1
    //= test rfc6347#4.2.3-3
    #[test]
    fn fragments_fit_the_mtu_and_reassemble() {
        let body: Vec<u8> = (0..700).map(|index| index as u8).collect();
        for mtu in [128, 200, 512, 1200] {
            let mut sequence = 5;
            let mut packer = Packer::new(mtu, &mut sequence);
            packer.message(&encode(Kind::ServerHello, 0, b"first"));
            packer.message(&encode(Kind::ClientKeyExchange, 1, &body));
            let mut reassembly = Reassembly::new(0);
            for mut datagram in packer.finish() {
                assert!(datagram.len() <= mtu, "{} > {mtu}", datagram.len());
                let mut rest = &mut datagram[..];
                while !rest.is_empty() {
                    let (record, more) = split(rest, 0).unwrap();
                    let mut reader = crate::codec::Reader::new(record.fragment);
                    reassembly.accept(&Fragment::read(&mut reader).unwrap());
                    rest = more;
                }
            }
            assert_eq!(reassembly.next().unwrap().body, b"first");
            assert_eq!(reassembly.next().unwrap().body, body);
        }
    }

    #[test]
    fn a_small_flight_is_one_datagram() {
        let mut sequence = 0;
        let mut packer = Packer::new(1200, &mut sequence);
        let items = [
            Item::Plain(encode(Kind::ClientKeyExchange, 1, b"id")),
            Item::ChangeCipherSpec,
            Item::Protected(encode(Kind::Finished, 2, &[0; 12])),
        ];
        packer.flight(&items, |message| Some(message.to_vec()));
        assert_eq!(packer.finish().len(), 1);
        assert_eq!(sequence, 2);
    }
}
