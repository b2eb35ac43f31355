//! Handshake message headers (RFC 6347 section 4.2.2).

use alloc::vec::Vec;

use crate::Error;
use crate::codec::{Reader, put_u16, put_u24};

/// Length of a handshake header.
pub(crate) const HEADER_BYTES: usize = 12;

/// The handshake messages of DTLS 1.2; others have no number here and are unexpected.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
pub(crate) enum Kind {
    HelloRequest = 0,
    ClientHello = 1,
    ServerHello = 2,
    HelloVerifyRequest = 3,
    NewSessionTicket = 4,
    Certificate = 11,
    ServerKeyExchange = 12,
    CertificateRequest = 13,
    ServerHelloDone = 14,
    CertificateVerify = 15,
    ClientKeyExchange = 16,
    Finished = 20,
}

impl Kind {
    pub const fn from_code(code: u8) -> Option<Self> {
        match code {
            0 => Some(Self::HelloRequest),
            1 => Some(Self::ClientHello),
            2 => Some(Self::ServerHello),
            3 => Some(Self::HelloVerifyRequest),
            4 => Some(Self::NewSessionTicket),
            11 => Some(Self::Certificate),
            12 => Some(Self::ServerKeyExchange),
            13 => Some(Self::CertificateRequest),
            14 => Some(Self::ServerHelloDone),
            15 => Some(Self::CertificateVerify),
            16 => Some(Self::ClientKeyExchange),
            20 => Some(Self::Finished),
            _ => None,
        }
    }
}

/// A piece of a message as it stands in a record.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Fragment<'a> {
    pub kind: Kind,
    /// Length of the whole message's body.
    pub length: usize,
    pub sequence: u16,
    /// Where `body` begins within the message's body.
    pub offset: usize,
    pub body: &'a [u8],
}

impl<'a> Fragment<'a> {
    /// Reads the next fragment of a record; one record may hold several.
    pub fn read(reader: &mut Reader<'a>) -> Result<Self, Error> {
        let kind = Kind::from_code(reader.u8()?);
        let length = reader.u24()? as usize;
        let sequence = reader.u16()?;
        let offset = reader.u24()? as usize;
        let body_len = reader.u24()? as usize;
        let body = reader.take(body_len)?;
        if offset.checked_add(body.len()).is_none_or(|end| end > length) {
            return Err(Error::Malformed("a fragment reaches beyond its message"));
        }
        Ok(Self {
            kind: kind.ok_or(Error::Unsupported("an unknown handshake message"))?,
            length,
            sequence,
            offset,
            body,
        })
    }

    /// The body, if this fragment is the whole message.
    pub fn whole(&self) -> Option<&'a [u8]> {
        (self.body.len() == self.length).then_some(self.body)
    }
}

/// A whole message.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Message {
    pub kind: Kind,
    pub sequence: u16,
    pub body: Vec<u8>,
}

//= rfc6347#4.2.6-1
/// A message in one piece, as transcripts hash it and records carry it.
pub(crate) fn encode(kind: Kind, sequence: u16, body: &[u8]) -> Vec<u8> {
    let mut out = Vec::with_capacity(HEADER_BYTES + body.len());
    put_header(&mut out, kind as u8, body.len(), sequence, 0, body.len());
    out.extend_from_slice(body);
    out
}

/// The header of a fragment.
pub(crate) fn put_header(
    out: &mut Vec<u8>,
    kind: u8,
    length: usize,
    sequence: u16,
    offset: usize,
    fragment_len: usize,
) {
    out.push(kind);
    put_u24(out, length);
    put_u16(out, sequence);
    put_u24(out, offset);
    put_u24(out, fragment_len);
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reads_what_it_writes() {
        let bytes = encode(Kind::Finished, 3, b"body");
        let fragment = Fragment::read(&mut Reader::new(&bytes)).unwrap();
        assert_eq!((fragment.kind, fragment.sequence), (Kind::Finished, 3));
        assert_eq!(fragment.whole(), Some(&b"body"[..]));
        for length in 0..bytes.len() {
            assert!(Fragment::read(&mut Reader::new(&bytes[..length])).is_err());
        }
    }

    #[test]
    fn a_fragment_stays_within_its_message() {
        let mut bytes = Vec::new();
        put_header(&mut bytes, 20, 5, 0, 2, 4);
        bytes.extend_from_slice(b"abcd");
        assert!(Fragment::read(&mut Reader::new(&bytes)).is_err());
    }
}
