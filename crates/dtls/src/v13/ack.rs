//! Acknowledgements (RFC 9147 section 7).

use alloc::collections::VecDeque;
use alloc::vec::Vec;

use super::record::{epoch_of, number, sequence_of};
use crate::Error;
use crate::codec::{Reader, put_u16};
use crate::limits::{ACKS_MAX, SEQUENCE_MAX};

/// The records of a flight that have been taken in and not been answered yet.
#[derive(Debug, Default)]
pub(crate) struct Acks(VecDeque<u64>);

impl Acks {
    /// Notes a record. The oldest make room: whoever sent so many will repeat them.
    pub fn note(&mut self, number: u64) {
        if self.0.contains(&number) {
            return;
        }
        if self.0.len() >= ACKS_MAX {
            self.0.pop_front();
        }
        if self.0.try_reserve(1).is_ok() {
            self.0.push_back(number);
        }
    }

    pub fn clear(&mut self) {
        self.0.clear();
    }

    //= rfc9147#7.1-s2
    /// The content of an ACK for the newest that fit `bytes_max`.
    pub fn encode(&self, bytes_max: usize) -> Vec<u8> {
        let fit = (bytes_max.saturating_sub(2) / 16).min(self.0.len());
        let mut numbers: Vec<u64> = self.0.iter().rev().take(fit).copied().collect();
        numbers.sort_unstable();
        let mut out = Vec::with_capacity(2 + 16 * fit);
        put_u16(&mut out, (16 * fit) as u16);
        for number in numbers {
            out.extend_from_slice(&u64::from(epoch_of(number)).to_be_bytes());
            out.extend_from_slice(&sequence_of(number).to_be_bytes());
        }
        out
    }
}

/// The numbers of an ACK, those that no record can have left out.
pub(crate) fn decode(content: &[u8]) -> Result<impl Iterator<Item = u64> + '_, Error> {
    let mut reader = Reader::new(content);
    let list = reader.vec16()?;
    reader.finish()?;
    if list.len() % 16 != 0 {
        return Err(Error::Malformed("an ACK has an impossible length"));
    }
    let mut list = Reader::new(list);
    let next = move || Some((list.u64().ok()?, list.u64().ok()?));
    Ok(core::iter::from_fn(next).filter_map(|(epoch, sequence)| {
        let epoch = u16::try_from(epoch).ok()?;
        (sequence <= SEQUENCE_MAX).then_some(number(epoch, sequence))
    }))
}

#[cfg(test)]
mod tests {
    use super::*;

    //= test rfc9147#7.1-s2
    #[test]
    fn reads_what_it_writes_and_forgets_the_oldest() {
        let mut acks = Acks::default();
        for sequence in (0..ACKS_MAX as u64 + 3).rev() {
            acks.note(number(2, sequence));
            acks.note(number(2, sequence));
        }
        let content = acks.encode(4096);
        let read: Vec<u64> = decode(&content).unwrap().collect();
        let expected: Vec<u64> = (0..ACKS_MAX as u64).map(|sequence| number(2, sequence)).collect();
        assert_eq!(read, expected);
        assert_eq!(decode(&acks.encode(40)).unwrap().collect::<Vec<_>>(), [number(2, 0), number(2, 1)]);
        for length in 0..content.len() {
            assert!(decode(&content[..length]).is_err());
        }
    }

    #[test]
    fn impossible_numbers_are_left_out() {
        let mut content = alloc::vec![0, 32];
        for value in [1_u64 << 16, 0, 2, SEQUENCE_MAX + 1] {
            content.extend_from_slice(&value.to_be_bytes());
        }
        assert_eq!(decode(&content).unwrap().count(), 0);
        assert!(decode(&[0, 8, 0, 0, 0, 0, 0, 0, 0, 0]).is_err());
    }
}
