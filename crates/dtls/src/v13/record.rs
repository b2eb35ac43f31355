//! Protected records (RFC 9147 section 4): unified header, encrypted sequence numbers.

use alloc::vec::Vec;

use bartizan_crypto::Provider;
use bartizan_wire::event::RecordRejection;
use bartizan_wire::record::ContentType;

use crate::key::RecordKeyRef;
use crate::limits::SEQUENCE_MAX;
use crate::{CipherSuite, ConnectionId, Error, limits};

/// Acknowledgements (RFC 9147 section 7).
pub(crate) const ACK: ContentType = ContentType(26);

/// The bits of a unified header's first byte (RFC 9147 figure 3).
const FIXED_MASK: u8 = 0b1110_0000;
const FIXED: u8 = 0b0010_0000;
const HAS_CID: u8 = 0b0001_0000;
const LONG_SEQUENCE: u8 = 0b0000_1000;
const HAS_LENGTH: u8 = 0b0000_0100;
const EPOCH_MASK: u8 = 0b0000_0011;

/// What a mask is made from: the first bytes of the ciphertext, which is never shorter.
const SAMPLE_BYTES: usize = 16;
/// The first sequence numbers fit one byte whatever the receiver has seen: it takes the candidate that is nearest to
/// what it expects, and none of theirs is nearer.
const SHORT_SEQUENCE_END: u64 = 128;

/// Epoch and sequence number in one number that only rises (RFC 9147 section 4): what windows and leases count in.
pub(crate) const fn number(epoch: u16, sequence: u64) -> u64 {
    (epoch as u64) << 48 | sequence & SEQUENCE_MAX
}

pub(crate) const fn epoch_of(number: u64) -> u16 {
    (number >> 48) as u16
}

pub(crate) const fn sequence_of(number: u64) -> u64 {
    number & SEQUENCE_MAX
}

/// Whether a record with this first byte has a unified header (RFC 9147 section 4.1).
pub(crate) const fn is_unified(first: u8) -> bool {
    first & FIXED_MASK == FIXED
}

/// One direction of one epoch.
pub(crate) struct Protection<'a> {
    pub provider: &'static Provider,
    pub suite: CipherSuite,
    pub key: RecordKeyRef<'a>,
}

/// Where a record stands in its datagram.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Place {
    /// The datagram ends with it: its length goes without saying.
    Last,
    /// Others may follow.
    Coalesced,
}

/// A record that has not been opened.
pub(crate) struct Sealed<'a> {
    bytes: &'a mut [u8],
    cid_len: usize,
    sequence_len: usize,
    header_len: usize,
}

/// Cuts the first record, which has a unified header, off a datagram. `cid_len` is how long the Connection IDs are
/// that we gave out.
pub(crate) fn split(datagram: &mut [u8], cid_len: usize) -> Result<(Sealed<'_>, &mut [u8]), RecordRejection> {
    let malformed = RecordRejection::Malformed;
    let first = *datagram.first().ok_or(malformed)?;
    let cid_len = if first & HAS_CID != 0 { cid_len } else { 0 };
    let sequence_len = if first & LONG_SEQUENCE != 0 { 2 } else { 1 };
    let length_at = 1 + cid_len + sequence_len;
    let (header_len, end) = match first & HAS_LENGTH {
        0 => (length_at, datagram.len()),
        _ => {
            let length = datagram.get(length_at..).and_then(|rest| rest.first_chunk::<2>()).ok_or(malformed)?;
            (length_at + 2, length_at + 2 + usize::from(u16::from_be_bytes(*length)))
        }
    };
    //= rfc9147#4.3-1
    //= rfc9147#4.3-2
    let (bytes, rest) = datagram.split_at_mut_checked(end).ok_or(malformed)?;
    //= rfc9147#4.2.3-1
    if bytes.len() < header_len + SAMPLE_BYTES {
        return Err(malformed);
    }
    Ok((Sealed { bytes, cid_len, sequence_len, header_len }, rest))
}

/// The Connection ID of the first record, if that has a unified header and one.
pub(crate) fn leading_cid(datagram: &[u8], cid_len: usize) -> Option<&[u8]> {
    let first = *datagram.first()?;
    let named = is_unified(first) && first & HAS_CID != 0;
    datagram.get(1..1 + cid_len).filter(|_| named)
}

impl<'a> Sealed<'a> {
    fn first(&self) -> u8 {
        self.bytes.first().copied().unwrap_or_default()
    }

    /// Bytes of the whole record.
    pub const fn len(&self) -> usize {
        self.bytes.len()
    }

    /// How much is encrypted, type and padding included (RFC 8449 section 4), if it is authentic.
    pub fn inner_len(&self, provider: &Provider, suite: CipherSuite) -> usize {
        self.bytes.len().saturating_sub(self.header_len + suite.aead(provider).tag_len)
    }

    /// The low bits of the epoch.
    pub fn epoch_bits(&self) -> u8 {
        self.first() & EPOCH_MASK
    }

    /// Whether the record's epoch may be `epoch`.
    pub fn may_be_of(&self, epoch: u16) -> bool {
        u16::from(self.epoch_bits()) == epoch & u16::from(EPOCH_MASK)
    }

    /// `None` if the record carries no Connection ID.
    pub fn connection_id(&self) -> Option<&[u8]> {
        (self.first() & HAS_CID != 0).then(|| self.bytes.get(1..1 + self.cid_len).unwrap_or_default())
    }

    /// The whole record as it came.
    pub fn bytes(&self) -> &[u8] {
        self.bytes
    }

    /// Uncovers the sequence number (RFC 9147 sections 4.2.2 and 4.2.3), of which the record holds the end; `expected`
    /// is one more than the highest that was ever opened.
    pub fn sequence(&mut self, protection: &Protection<'_>, expected: u64) -> Option<u64> {
        let aead = protection.suite.aead(protection.provider);
        let (header, body) = self.bytes.split_at_mut_checked(self.header_len)?;
        let mask = (aead.mask)(protection.key.sn(aead.key_len), body.first_chunk()?)?;
        let covered = header.iter_mut().skip(1 + self.cid_len).take(self.sequence_len);
        let mut end = 0;
        for (byte, mask) in covered.zip(mask) {
            *byte ^= mask;
            end = end << 8 | u64::from(*byte);
        }
        let bits = if self.sequence_len == 1 { 8 } else { 16 };
        Some(nearest(expected, end, bits))
    }

    /// Checks and decrypts the record, whose number has been uncovered; returns the real content type and the content.
    pub fn open(self, protection: &Protection<'_>, sequence: u64) -> Result<(ContentType, &'a [u8]), RecordRejection> {
        let aead = protection.suite.aead(protection.provider);
        let (header, body) = self.bytes.split_at_mut_checked(self.header_len).ok_or(RecordRejection::Malformed)?;
        let inner_len = body
            .len()
            .checked_sub(aead.tag_len)
            // RFC 8446 section 5.4: content, type and padding together.
            .filter(|length| *length <= limits::PLAINTEXT_BYTES_MAX + 1)
            .ok_or(RecordRejection::Malformed)?;
        let nonce = protection.key.nonce(sequence);
        (aead.open)(protection.key.key(aead.key_len), &nonce, header, body).map_err(|_| RecordRejection::Forged)?;
        content_of(body.get(..inner_len).unwrap_or_default())
    }
}

//= rfc9147#4.2.2-s1
/// The number that ends in `end` and is nearest to `expected`.
const fn nearest(expected: u64, end: u64, bits: u32) -> u64 {
    let span = 1 << bits;
    let candidate = expected & !(span - 1) | end;
    if candidate > expected && candidate - expected > span / 2 && candidate >= span {
        return candidate - span;
    }
    if expected > candidate && expected - candidate > span / 2 && candidate + span <= SEQUENCE_MAX {
        return candidate + span;
    }
    candidate
}

/// RFC 8446 section 5.2: the real type follows the content, then any number of zeros.
fn content_of(inner: &[u8]) -> Result<(ContentType, &[u8]), RecordRejection> {
    let end = inner.iter().rposition(|byte| *byte != 0).ok_or(RecordRejection::Unexpected)?;
    let (content, kind) = inner
        .split_at_checked(end)
        .and_then(|(content, rest)| Some((content, *rest.first()?)))
        .ok_or(RecordRejection::Unexpected)?;
    match ContentType(kind) {
        // RFC 8446 section 5.4: only application data may be empty.
        ContentType::ALERT | ContentType::HANDSHAKE if content.is_empty() => Err(RecordRejection::Unexpected),
        kind @ (ContentType::ALERT | ContentType::HANDSHAKE | ContentType::APPLICATION_DATA | ACK) => {
            Ok((kind, content))
        }
        kind @ ContentType::RETURN_ROUTABILITY_CHECK => Ok((kind, content)),
        _ => Err(RecordRejection::Unexpected),
    }
}

impl Protection<'_> {
    /// How many bytes the longest record to a peer with this Connection ID is longer than its content.
    pub fn overhead(&self, cid: &ConnectionId, place: Place) -> usize {
        let length = if place == Place::Coalesced { 2 } else { 0 };
        1 + cid.len() + 2 + length + 1 + self.suite.aead(self.provider).tag_len
    }

    //= rfc9147#4-5
    /// A whole record. An empty `cid` means a record without one.
    pub fn seal(
        &self,
        cid: &ConnectionId,
        number: u64,
        place: Place,
        kind: ContentType,
        content: &[u8],
    ) -> Result<Vec<u8>, Error> {
        let aead = self.suite.aead(self.provider);
        let sequence = sequence_of(number);
        let mut out = Vec::new();
        out.try_reserve_exact(content.len() + self.overhead(cid, place) + SAMPLE_BYTES)
            .map_err(|_| Error::Unavailable("no memory for a record"))?;
        // RFC 9147 section 4.2.3: pad what is shorter than a sample.
        //= rfc9147#4.2.3-2
        let body_len = (content.len() + 1 + aead.tag_len).max(SAMPLE_BYTES);
        let body_len = u16::try_from(body_len).map_err(|_| Error::Misuse("longer than a record can be"))?;
        let short = sequence < SHORT_SEQUENCE_END;
        put_header(&mut out, cid, number, place, body_len);
        let header_len = out.len();
        out.extend_from_slice(content);
        out.push(kind.0);
        out.resize(header_len + usize::from(body_len), 0);
        let no_seal = Error::Misuse("the record cannot be sealed");
        let (header, body) = out.split_at_mut_checked(header_len).ok_or(no_seal)?;
        let nonce = self.key.nonce(sequence);
        (aead.seal)(self.key.key(aead.key_len), &nonce, header, body).ok_or(no_seal)?;
        let sample = body.first_chunk().ok_or(no_seal)?;
        let mask = (aead.mask)(self.key.sn(aead.key_len), sample).ok_or(no_seal)?;
        let covered = header.iter_mut().skip(1 + cid.len()).take(if short { 1 } else { 2 });
        covered.zip(mask).for_each(|(byte, mask)| *byte ^= mask);
        Ok(out)
    }
}

fn put_header(out: &mut Vec<u8>, cid: &ConnectionId, number: u64, place: Place, body_len: u16) {
    let short = sequence_of(number) < SHORT_SEQUENCE_END;
    let mut first = FIXED | epoch_of(number) as u8 & EPOCH_MASK;
    first |= if cid.is_empty() { 0 } else { HAS_CID };
    first |= if short { 0 } else { LONG_SEQUENCE };
    //= rfc9147#4-4
    first |= if place == Place::Coalesced { HAS_LENGTH } else { 0 };
    out.push(first);
    out.extend_from_slice(cid.as_slice());
    let [.., high, low] = number.to_be_bytes();
    match short {
        true => out.push(low),
        false => out.extend_from_slice(&[high, low]),
    }
    if place == Place::Coalesced {
        out.extend_from_slice(&body_len.to_be_bytes());
    }
}

#[cfg(test)]
mod tests {
    use super::super::schedule::{EPOCH_APPLICATION, RecordKey};
    use super::*;
    use crate::Version;
    use crate::hash::Digest;
    use bartizan_crypto::RUSTCRYPTO;

    fn suites() -> impl Iterator<Item = CipherSuite> {
        CipherSuite::ALL.into_iter().filter(|suite| suite.version() == Version::Dtls13)
    }

    fn open(
        protection: &Protection<'_>,
        cid_len: usize,
        expected: u64,
        bytes: &mut [u8],
    ) -> Result<(u64, Vec<u8>), RecordRejection> {
        let (mut record, rest) = split(bytes, cid_len)?;
        if !rest.is_empty() {
            return Err(RecordRejection::Malformed);
        }
        let sequence = record.sequence(protection, expected).unwrap();
        let (kind, content) = record.open(protection, sequence)?;
        assert_eq!(kind, ContentType::APPLICATION_DATA);
        Ok((sequence, content.to_vec()))
    }

    #[test]
    fn every_suite_opens_what_it_sealed_and_no_bit_of_it_may_change() {
        for suite in suites() {
            let key = RecordKey::derive(&RUSTCRYPTO, suite, &Digest::of(&[7; 48]));
            let protection = Protection { provider: &RUSTCRYPTO, suite, key: key.as_ref() };
            for (cid, sequence) in [(&b""[..], 0), (b"12345678", 127), (b"", 128), (b"1234", 0xFFFF_FFFF)] {
                let cid = ConnectionId::new(cid).unwrap();
                for place in [Place::Last, Place::Coalesced] {
                    let number = number(EPOCH_APPLICATION, sequence);
                    let app = ContentType::APPLICATION_DATA;
                    let sealed = protection.seal(&cid, number, place, app, b"12345678").unwrap();
                    let overhead = protection.overhead(&cid, place);
                    assert_eq!(sealed.len(), 8 + overhead - usize::from(sequence < 128));
                    let opened = open(&protection, cid.len(), sequence, &mut sealed.clone());
                    assert_eq!(opened, Ok((sequence, b"12345678".to_vec())));
                    for bit in 0..sealed.len() * 8 {
                        let mut changed = sealed.clone();
                        changed[bit / 8] ^= 1 << (bit % 8);
                        // The epoch's bits choose a key, and there is only one here.
                        let refused = open(&protection, cid.len(), sequence, &mut changed);
                        assert!(refused.is_err(), "{suite} {bit}");
                    }
                }
            }
        }
    }

    //= test rfc9147#4.2.3-2
    #[test]
    fn the_shortest_record_still_has_a_sample() {
        let suite = CipherSuite::Aes128Ccm8Sha256;
        let key = RecordKey::derive(&RUSTCRYPTO, suite, &Digest::of(&[7; 32]));
        let protection = Protection { provider: &RUSTCRYPTO, suite, key: key.as_ref() };
        let app = ContentType::APPLICATION_DATA;
        let mut sealed = protection.seal(&ConnectionId::EMPTY, 5, Place::Last, app, b"").unwrap();
        assert_eq!(sealed.len(), 2 + SAMPLE_BYTES);
        assert_eq!(open(&protection, 0, 0, &mut sealed), Ok((5, Vec::new())));
    }

    //= test rfc9147#4.2.2-s1
    #[test]
    fn the_nearest_number_is_taken() {
        assert_eq!(nearest(0, 5, 8), 5);
        assert_eq!(nearest(300, 44, 8), 300);
        assert_eq!(nearest(255, 1, 8), 257);
        assert_eq!(nearest(256, 255, 8), 255);
        assert_eq!(nearest(10, 250, 8), 250, "there is none below zero");
        assert_eq!(nearest(0x1_0000, 0xFFFF, 16), 0xFFFF);
        assert_eq!(nearest(SEQUENCE_MAX, 0, 16), SEQUENCE_MAX & !0xFFFF);
        for expected in 0..=SHORT_SEQUENCE_END {
            for sent in 0..SHORT_SEQUENCE_END {
                assert_eq!(nearest(expected, sent, 8), sent);
            }
        }
    }

    //= test rfc9147#4.2.3-1
    #[test]
    fn truncations_are_malformed() {
        let suite = CipherSuite::Aes128GcmSha256;
        let key = RecordKey::derive(&RUSTCRYPTO, suite, &Digest::of(&[7; 32]));
        let protection = Protection { provider: &RUSTCRYPTO, suite, key: key.as_ref() };
        let app = ContentType::APPLICATION_DATA;
        let cid = ConnectionId::new(b"12345678").unwrap();
        let sealed = protection.seal(&cid, 5, Place::Coalesced, app, b"x").unwrap();
        for length in 0..sealed.len() {
            let mut cut = sealed.clone();
            assert!(split(&mut cut[..length], 8).is_err());
        }
    }
}
