//! What of an endpoint survives a sleep: numbers that must not repeat, observations in both directions, and the
//! answers that a peer may ask for again.

use alloc::vec::Vec;

use bartizan_dtls::Instant;

use super::Endpoint;
use super::observers::Observer;
use super::requests::Phase;
use crate::bounded::{copy, copy_text};
use crate::event::{IncomingId, RequestId};
use crate::limits::{SAVED_ANSWER_BYTES_MAX, SAVED_ANSWERS_MAX};

impl Endpoint {
    /// Message ids that a sleeping endpoint skips, because it may use them after it was saved.
    const MESSAGE_IDS_AHEAD: u16 = 256;

    /// Writes the endpoint down. `ahead`: the endpoint itself goes on, and whoever is woken from these
    /// bytes (after a crash) must not use its numbers.
    pub(crate) fn save(&self, ahead: bool, out: &mut Writer) {
        let skip = if ahead { Self::MESSAGE_IDS_AHEAD } else { 0 };
        out.u16(self.next_message_id.wrapping_add(skip));
        out.u16(self.next_token.wrapping_add(skip));
        out.u32(self.next_id.wrapping_add(u32::from(skip)));
        out.u8(self.observers.iter().count() as u8);
        for observer in self.observers.iter() {
            out.u32(observer.id.0);
            out.u32(observer.sequence.wrapping_add(u32::from(skip)) & 0x00ff_ffff);
            out.bytes(&observer.token);
            out.bytes(observer.target.as_bytes());
        }
        let standing = self.requests.iter().filter(|pending| pending.phase == Phase::Observing);
        out.u8(standing.clone().count() as u8);
        for pending in standing {
            out.u32(pending.id.0);
            out.u16(pending.token);
            out.u16(pending.block_token);
            out.bytes(pending.request.path.as_bytes());
        }
        let short = |(_, answer): &(u16, &[u8])| answer.len() <= SAVED_ANSWER_BYTES_MAX;
        let answers: Vec<_> = self.seen.answers().filter(short).take(SAVED_ANSWERS_MAX).collect();
        out.u8(answers.len() as u8);
        for (message_id, answer) in answers.into_iter().rev() {
            out.u16(message_id);
            out.bytes(answer);
        }
    }

    /// Takes over what [`Self::save`] wrote; `None` if the bytes are not that.
    pub(crate) fn restore(&mut self, now: Instant, saved: &mut Reader<'_>) -> Option<()> {
        self.next_message_id = saved.u16()?;
        self.next_token = saved.u16()?;
        self.next_id = saved.u32()?;
        for _ in 0..saved.u8()? {
            let observer = Observer {
                id: IncomingId(saved.u32()?),
                sequence: saved.u32()?,
                token: copy(saved.bytes()?)?,
                target: copy_text(saved.text()?)?,
                message_id: None,
                confirmed: now,
            };
            self.observers.add(observer).ok()?;
        }
        for _ in 0..saved.u8()? {
            let (id, tokens) = (RequestId(saved.u32()?), [saved.u16()?, saved.u16()?]);
            self.observe_still(id, saved.text()?, tokens)?;
        }
        for _ in 0..saved.u8()? {
            let message_id = saved.u16()?;
            self.seen.restore(now, message_id, saved.bytes()?);
        }
        Some(())
    }
}

/// Writes numbers big-endian and byte strings behind their length.
pub(crate) struct Writer(pub(crate) Vec<u8>);

impl Writer {
    pub(crate) fn u8(&mut self, number: u8) {
        self.0.push(number);
    }

    pub(crate) fn u16(&mut self, number: u16) {
        self.0.extend_from_slice(&number.to_be_bytes());
    }

    pub(crate) fn u32(&mut self, number: u32) {
        self.0.extend_from_slice(&number.to_be_bytes());
    }

    pub(crate) fn bytes(&mut self, bytes: &[u8]) {
        // Everything saved is far shorter than 64 KiB; what is not would be cut and fail to restore.
        let length = u16::try_from(bytes.len()).unwrap_or(u16::MAX);
        self.u16(length);
        self.0.extend_from_slice(bytes);
    }
}

/// Reads what [`Writer`] wrote.
pub(crate) struct Reader<'a>(pub(crate) &'a [u8]);

impl<'a> Reader<'a> {
    pub(crate) fn u8(&mut self) -> Option<u8> {
        self.array::<1>().map(|[number]| number)
    }

    pub(crate) fn u16(&mut self) -> Option<u16> {
        self.array().map(u16::from_be_bytes)
    }

    pub(crate) fn u32(&mut self) -> Option<u32> {
        self.array().map(u32::from_be_bytes)
    }

    pub(crate) fn bytes(&mut self) -> Option<&'a [u8]> {
        let length = self.u16()?;
        let (bytes, rest) = self.0.split_at_checked(usize::from(length))?;
        self.0 = rest;
        Some(bytes)
    }

    pub(crate) fn text(&mut self) -> Option<&'a str> {
        core::str::from_utf8(self.bytes()?).ok()
    }

    fn array<const N: usize>(&mut self) -> Option<[u8; N]> {
        let (array, rest) = self.0.split_first_chunk()?;
        self.0 = rest;
        Some(*array)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::limits::SEEN_MAX;

    fn endpoint() -> Endpoint {
        Endpoint::new(crate::ExchangeConfig::default(), &mut |out: &mut [u8]| out.fill(1))
    }

    fn slept(endpoint: &Endpoint, ahead: bool) -> Endpoint {
        let mut writer = Writer(Vec::new());
        endpoint.save(ahead, &mut writer);
        let mut awake = self::endpoint();
        let mut reader = Reader(&writer.0);
        awake.restore(Instant::from_millis(5), &mut reader).unwrap();
        assert!(reader.0.is_empty());
        awake
    }

    #[test]
    fn the_latest_short_answers_survive() {
        let mut endpoint = endpoint();
        for id in 0..SEEN_MAX as u16 {
            endpoint.seen.sight(Instant::from_millis(1), id);
            let length = if id == 14 { SAVED_ANSWER_BYTES_MAX + 1 } else { SAVED_ANSWER_BYTES_MAX };
            endpoint.seen.answered(id, &alloc::vec![7; length]);
        }
        let kept: Vec<u16> = slept(&endpoint, false).seen.answers().map(|(id, _)| id).collect();
        assert_eq!(kept, [15, 13, 12, 11]);
        assert_eq!(kept.len(), SAVED_ANSWERS_MAX);
    }

    #[test]
    fn numbers_go_on_after_a_sleep_and_leap_after_a_crash() {
        let mut endpoint = endpoint();
        let last = endpoint.take_message_id();
        assert_eq!(slept(&endpoint, false).take_message_id(), last.wrapping_add(1));
        let leapt = slept(&endpoint, true).take_message_id();
        assert_eq!(leapt.wrapping_sub(last), Endpoint::MESSAGE_IDS_AHEAD + 1);
    }

    #[test]
    fn cut_and_foreign_bytes_are_refused() {
        let mut writer = Writer(Vec::new());
        endpoint().save(false, &mut writer);
        for length in 0..writer.0.len() {
            let mut reader = Reader(&writer.0[..length]);
            assert!(endpoint().restore(Instant::from_millis(0), &mut reader).is_none());
        }
    }
}
