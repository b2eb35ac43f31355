//! Record protection (RFC 6347 section 4.1.2, RFC 9146 sections 4 and 5).

use alloc::vec::Vec;

use bartizan_crypto::Provider;
use bartizan_wire::event::RecordRejection;
use bartizan_wire::record::{ContentType, DTLS_1_2, HEADER_BYTES, Header, Record};

use crate::codec::{TOO_SHORT, Writer};
use crate::key::RecordKeyRef;
use crate::{CipherSuite, ConnectionId, Error, limits};

//= rfc6347#4.1-1
//= rfc6347#4.1-5
/// The epoch of everything that is protected: there is no renegotiation.
pub(crate) const EPOCH: u16 = 1;

/// The longest additional data: RFC 9146 section 5.3 with a Connection ID of the longest length.
const AAD_BYTES_MAX: usize = 8 + 1 + 1 + 1 + 2 + 8 + limits::CONNECTION_ID_BYTES_MAX + 2;

/// One direction of an association.
pub(crate) struct Protection<'a> {
    pub provider: &'static Provider,
    pub suite: CipherSuite,
    pub key: RecordKeyRef<'a>,
}

impl Protection<'_> {
    /// How many bytes a record to a peer with this Connection ID is longer than its content.
    pub fn overhead(&self, cid: &ConnectionId) -> usize {
        let inner_type = usize::from(!cid.is_empty());
        let cipher = self.suite.explicit_nonce_len() + self.suite.aead(self.provider).tag_len;
        HEADER_BYTES + cid.len() + inner_type + cipher
    }

    /// How much was encrypted: the content, and with a Connection ID its type and padding.
    pub fn inner_len(&self, record: &Record<'_>) -> usize {
        let cipher = self.suite.explicit_nonce_len() + self.suite.aead(self.provider).tag_len;
        record.fragment.len().saturating_sub(cipher)
    }

    /// A whole record. An empty `cid` means a record without one.
    pub fn seal(
        &self,
        cid: &ConnectionId,
        content_type: ContentType,
        sequence: u64,
        content: &[u8],
    ) -> Result<Vec<u8>, Error> {
        let length = content.len().saturating_add(self.overhead(cid));
        let mut out = Vec::new();
        out.try_reserve_exact(length).map_err(|_| Error::Unavailable("no memory for a record"))?;
        out.resize(length, 0);
        self.seal_into(cid, content_type, sequence, content, &mut out)?;
        Ok(out)
    }

    /// The same into the front of `out`; returns the record's length.
    pub fn seal_into(
        &self,
        cid: &ConnectionId,
        content_type: ContentType,
        sequence: u64,
        content: &[u8],
        out: &mut [u8],
    ) -> Result<usize, Error> {
        //= rfc9146#3-3
        //= rfc9146#3-4
        let header = Header {
            content_type: match cid.is_empty() {
                true => content_type,
                false => ContentType::TLS12_CID,
            },
            version: DTLS_1_2,
            epoch: EPOCH,
            sequence,
        };
        let aead = self.suite.aead(self.provider);
        let inner_type = [content_type.0];
        let inner_type = inner_type.get(..usize::from(!cid.is_empty())).unwrap_or_default();
        let sequence = header.sequence_bytes();
        let explicit = sequence.get(..self.suite.explicit_nonce_len()).unwrap_or_default();
        let inner_len = content.len().saturating_add(inner_type.len());
        let body_len = inner_len.saturating_add(explicit.len() + aead.tag_len);
        let body_len = u16::try_from(body_len).map_err(|_| Error::Misuse("longer than a record can be"))?;
        let [front @ .., high, low] = header.encode(body_len);
        let mut writer = Writer::new(out);
        //= rfc9146#3-2
        for part in [&front, cid.as_slice(), &[high, low], explicit] {
            writer.put(part)?;
        }
        let (mut rest, start) = writer.into_rest();
        let sealed_len = inner_len + aead.tag_len;
        let body = rest.split_off_mut(..sealed_len).ok_or(TOO_SHORT)?;
        let mut writer = Writer::new(body);
        writer.put(content)?;
        writer.put(inner_type)?;
        let nonce = self.nonce(sequence);
        let (aad, aad_len) = additional_data(&header, cid.as_slice(), inner_len);
        let aad = aad.get(..aad_len).unwrap_or_default();
        (aead.seal)(self.key.key(aead.key_len), &nonce, aad, body)
            .ok_or(Error::Misuse("the record cannot be sealed"))?;
        Ok(start + sealed_len)
    }

    /// Checks and decrypts a record in place; returns the real content type and the content.
    pub fn open<'r>(&self, record: Record<'r>) -> Result<(ContentType, &'r [u8]), RecordRejection> {
        let aead = self.suite.aead(self.provider);
        let explicit_len = self.suite.explicit_nonce_len();
        let (explicit, body) = record.fragment.split_at_mut_checked(explicit_len).ok_or(RecordRejection::Malformed)?;
        let inner_len = body
            .len()
            .checked_sub(aead.tag_len)
            //= rfc9146#5-2
            .filter(|length| *length <= limits::PLAINTEXT_BYTES_MAX)
            .ok_or(RecordRejection::Malformed)?;
        let nonce = match <[u8; 8]>::try_from(&*explicit) {
            Ok(explicit) => self.nonce(explicit),
            Err(_) => self.nonce(record.header.sequence_bytes()),
        };
        let (aad, aad_len) = additional_data(&record.header, record.connection_id, inner_len);
        let aad = aad.get(..aad_len).unwrap_or_default();
        //= rfc6347#4.1.2.6-4
        (aead.open)(self.key.key(aead.key_len), &nonce, aad, body).map_err(|_| RecordRejection::Forged)?;
        let inner = body.get(..inner_len).unwrap_or_default();
        content_of(record.header.content_type, inner)
    }

    /// RFC 5288 section 3 and RFC 6655 section 3: salt, then the explicit part.
    /// RFC 7905 section 2: the IV, with the padded sequence number on top.
    fn nonce(&self, sequence: [u8; 8]) -> [u8; 12] {
        let mut nonce = *self.key.iv();
        let tail = nonce.iter_mut().skip(4).zip(sequence);
        match self.suite.explicit_nonce_len() {
            0 => tail.for_each(|(to, from)| *to ^= from),
            _ => tail.for_each(|(to, from)| *to = from),
        }
        nonce
    }
}

/// A whole record of epoch 0.
pub(crate) fn plain(content_type: ContentType, sequence: u64, fragment: &[u8]) -> Vec<u8> {
    let mut out = Vec::with_capacity(HEADER_BYTES + fragment.len());
    put_plain(&mut out, content_type, sequence, fragment.len());
    out.extend_from_slice(fragment);
    out
}

/// The header of a record of epoch 0 in front of `length` bytes.
pub(crate) fn put_plain(out: &mut Vec<u8>, content_type: ContentType, sequence: u64, length: usize) {
    //= rfc9147#4-2
    let header = Header { content_type, version: DTLS_1_2, epoch: 0, sequence };
    out.extend_from_slice(&header.encode(length as u16));
}

/// RFC 5246 section 6.2.3.3 without, RFC 9146 section 5.3 with a Connection ID.
fn additional_data(header: &Header, cid: &[u8], inner_len: usize) -> ([u8; AAD_BYTES_MAX], usize) {
    let mut out = [0; AAD_BYTES_MAX];
    let sequence = header.sequence_bytes();
    let kind = [header.content_type.0];
    let version = header.version.to_be_bytes();
    let length = (inner_len as u16).to_be_bytes();
    let placeholder = [0xFF; 8];
    let cid_len = [cid.len() as u8];
    //= rfc9146#3-7
    //= rfc9146#3-8
    //= rfc9146#5-1
    let parts: [&[u8]; 8] = if header.content_type == ContentType::TLS12_CID {
        [&placeholder, &kind, &cid_len, &kind, &version, &sequence, cid, &length]
    } else {
        [&sequence, &kind, &version, &length, &[], &[], &[], &[]]
    };
    let bytes = parts.iter().flat_map(|part| part.iter());
    out.iter_mut().zip(bytes).for_each(|(to, from)| *to = *from);
    (out, parts.iter().map(|part| part.len()).sum())
}

/// RFC 9146 section 4: in a DTLSInnerPlaintext the real type follows the content, then any number of zeros.
fn content_of(outer: ContentType, inner: &[u8]) -> Result<(ContentType, &[u8]), RecordRejection> {
    if outer != ContentType::TLS12_CID {
        return within_limits(outer, inner);
    }
    let end = inner.iter().rposition(|byte| *byte != 0);
    let (content, kind) =
        end.and_then(|end| Some((inner.get(..end)?, *inner.get(end)?))).ok_or(RecordRejection::Unexpected)?;
    within_limits(ContentType(kind), content)
}

fn within_limits(kind: ContentType, content: &[u8]) -> Result<(ContentType, &[u8]), RecordRejection> {
    match kind {
        _ if content.len() > limits::PLAINTEXT_BYTES_MAX => Err(RecordRejection::Unexpected),
        ContentType::TLS12_CID => Err(RecordRejection::Unexpected),
        kind if kind.is_known() => Ok((kind, content)),
        _ => Err(RecordRejection::Unexpected),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::schedule::TrafficKey;
    use bartizan_crypto::RUSTCRYPTO;
    use bartizan_wire::record;

    fn key() -> TrafficKey {
        TrafficKey::from_bytes(&core::array::from_fn(|index| index as u8))
    }

    fn open(suite: CipherSuite, cid_len: usize, bytes: &mut [u8]) -> Result<Vec<u8>, RecordRejection> {
        let (record, _) = record::split(bytes, cid_len).map_err(|_| RecordRejection::Malformed)?;
        let key = key();
        let protection = Protection { provider: &RUSTCRYPTO, suite, key: key.as_ref() };
        let (kind, content) = protection.open(record)?;
        assert_eq!(kind, ContentType::APPLICATION_DATA);
        Ok(content.to_vec())
    }

    #[test]
    fn every_suite_opens_what_it_sealed_and_no_bit_of_it_may_change() {
        for suite in CipherSuite::ALL {
            for cid in [&b""[..], b"12345678"] {
                let cid = ConnectionId::new(cid).unwrap();
                let key = key();
                let protection = Protection { provider: &RUSTCRYPTO, suite, key: key.as_ref() };
                let sealed = protection.seal(&cid, ContentType::APPLICATION_DATA, 9, b"hello").unwrap();
                assert_eq!(sealed.len(), 5 + protection.overhead(&cid));
                assert_eq!(open(suite, cid.len(), &mut sealed.clone()).unwrap(), b"hello");
                for bit in 0..sealed.len() * 8 {
                    let mut changed = sealed.clone();
                    changed[bit / 8] ^= 1 << (bit % 8);
                    assert!(open(suite, cid.len(), &mut changed).is_err(), "{suite} {bit}");
                }
            }
        }
    }

    #[test]
    fn a_buffer_is_long_enough_or_refused() {
        let key = key();
        let cid = ConnectionId::new(b"12345678").unwrap();
        for suite in CipherSuite::ALL {
            let protection = Protection { provider: &RUSTCRYPTO, suite, key: key.as_ref() };
            let data = ContentType::APPLICATION_DATA;
            let expected = protection.seal(&cid, data, 9, b"hello").unwrap();
            let mut buffer = [0xEE; 80];
            for length in 0..expected.len() {
                let refused = protection.seal_into(&cid, data, 9, b"hello", &mut buffer[..length]);
                assert_eq!(refused, Err(TOO_SHORT), "{suite} {length}");
            }
            let length = protection.seal_into(&cid, data, 9, b"hello", &mut buffer).unwrap();
            assert_eq!(buffer[..length], expected);
            assert!(buffer[length..].iter().all(|byte| *byte == 0xEE), "nothing beyond the record is touched");
        }
        let protection = Protection { provider: &RUSTCRYPTO, suite: CipherSuite::PskAes128Ccm8, key: key.as_ref() };
        assert!(protection.seal(&cid, ContentType::APPLICATION_DATA, 9, &[0; 0x1_0000]).is_err());
    }

    #[test]
    fn a_wake_up_costs_the_bytes_that_were_published() {
        let key = key();
        let protection = Protection { provider: &RUSTCRYPTO, suite: CipherSuite::PskAes128Ccm8, key: key.as_ref() };
        let cid = ConnectionId::new(&[1; 8]).unwrap();
        assert_eq!(protection.overhead(&cid), 13 + 8 + 8 + 1 + 8);
    }

    #[test]
    fn inner_plaintext_is_stripped_of_its_padding() {
        let app = ContentType::APPLICATION_DATA;
        let cid = ContentType::TLS12_CID;
        assert_eq!(content_of(cid, b"ab\x17\0\0"), Ok((app, &b"ab"[..])));
        assert_eq!(content_of(cid, b"\x17"), Ok((app, &b""[..])));
        assert_eq!(content_of(cid, b"\0\0\0"), Err(RecordRejection::Unexpected));
        assert_eq!(content_of(cid, b""), Err(RecordRejection::Unexpected));
        assert_eq!(content_of(cid, b"ab\x19"), Err(RecordRejection::Unexpected));
        assert_eq!(content_of(app, b"ab\0"), Ok((app, &b"ab\0"[..])));
    }
}
