//! Handshake messages of DTLS 1.3 but the hellos (RFC 8446 sections 4.3 to 4.6, RFC 9147 sections 5.2, 7 and 9).

use alloc::vec::Vec;

use super::spares::Spares;
use crate::codec::{Reader, put_u16, put_u24, put_vec8, put_vec16};
use crate::credential::{Credential, SignatureScheme};
use crate::handshake::extension::{Extensions, Writer};
use crate::{ConnectionId, Error, limits};

/// HandshakeType (RFC 8446 section 4, RFC 9147 section 5.2). The numbers are IANA's.
pub(crate) mod kind {
    pub const CLIENT_HELLO: u8 = 1;
    pub const SERVER_HELLO: u8 = 2;
    pub const HELLO_VERIFY_REQUEST: u8 = 3;
    pub const NEW_SESSION_TICKET: u8 = 4;
    pub const ENCRYPTED_EXTENSIONS: u8 = 8;
    pub const REQUEST_CONNECTION_ID: u8 = 9;
    pub const NEW_CONNECTION_ID: u8 = 10;
    pub const CERTIFICATE: u8 = 11;
    pub const CERTIFICATE_REQUEST: u8 = 13;
    pub const CERTIFICATE_VERIFY: u8 = 15;
    pub const FINISHED: u8 = 20;
    pub const KEY_UPDATE: u8 = 24;
    pub const MESSAGE_HASH: u8 = 254;
}

/// Length of a handshake header.
pub(crate) const HEADER_BYTES: usize = 12;

/// A piece of a message as it stands in a record (RFC 9147 section 5.2).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Fragment<'a> {
    pub kind: u8,
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
        let kind = reader.u8()?;
        let length = reader.u24()? as usize;
        let sequence = reader.u16()?;
        let offset = reader.u24()? as usize;
        let body_len = reader.u24()? as usize;
        let body = reader.take(body_len)?;
        if offset.checked_add(body.len()).is_none_or(|end| end > length) {
            return Err(Error::Malformed("a fragment reaches beyond its message"));
        }
        Ok(Self { kind, length, sequence, offset, body })
    }

    /// Writes a fragment's header.
    pub fn put_header(out: &mut Vec<u8>, kind: u8, length: usize, sequence: u16, offset: usize, body_len: usize) {
        out.push(kind);
        put_u24(out, length);
        put_u16(out, sequence);
        put_u24(out, offset);
        put_u24(out, body_len);
    }
}

/// A whole message.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Message {
    pub kind: u8,
    pub sequence: u16,
    pub body: Vec<u8>,
}

/// EncryptedExtensions (RFC 8446 section 4.3.1).
pub(crate) fn encode_extensions(writer: Writer) -> Vec<u8> {
    let mut out = Vec::new();
    writer.finish(&mut out);
    if out.is_empty() {
        put_u16(&mut out, 0);
    }
    out
}

pub(crate) fn decode_extensions(body: &[u8]) -> Result<Extensions<'_>, Error> {
    let mut reader = Reader::new(body);
    if reader.is_empty() {
        return Err(Error::Malformed("EncryptedExtensions without a list"));
    }
    let extensions = Extensions::read(&mut reader)?;
    reader.finish()?;
    Ok(extensions)
}

/// CertificateRequest (RFC 8446 section 4.3.2): its context, and what signatures the server takes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct CertificateRequest<'a> {
    pub context: &'a [u8],
    /// A list of u16.
    pub schemes: &'a [u8],
}

pub(crate) fn encode_certificate_request() -> Vec<u8> {
    use crate::handshake::extension::kind::SIGNATURE_ALGORITHMS;
    let mut out = Vec::new();
    put_vec8(&mut out, &[]);
    let mut writer = Writer::default();
    writer.put(SIGNATURE_ALGORITHMS, &encode_schemes());
    writer.finish(&mut out);
    out
}

pub(crate) fn decode_certificate_request(body: &[u8]) -> Result<CertificateRequest<'_>, Error> {
    use crate::handshake::extension::kind::SIGNATURE_ALGORITHMS;
    let mut reader = Reader::new(body);
    let context = reader.vec8()?;
    let extensions = Extensions::read(&mut reader)?;
    reader.finish()?;
    let schemes = extensions
        .body(SIGNATURE_ALGORITHMS)
        .ok_or(Error::Misbehaved("a CertificateRequest without signature algorithms"))?;
    Ok(CertificateRequest { context, schemes: decode_list(schemes)? })
}

/// The content of signature_algorithms.
pub(crate) fn encode_schemes() -> Vec<u8> {
    let mut list = Vec::new();
    SignatureScheme::ALL.iter().for_each(|scheme| put_u16(&mut list, scheme.code()));
    let mut out = Vec::new();
    put_vec16(&mut out, &list);
    out
}

/// A list of u16 behind its length: what several extensions hold.
pub(crate) fn decode_list(body: &[u8]) -> Result<&[u8], Error> {
    let mut reader = Reader::new(body);
    let list = reader.vec16()?;
    reader.finish()?;
    match list.is_empty() || list.len() % 2 != 0 {
        true => Err(Error::Malformed("a list has an impossible length")),
        false => Ok(list),
    }
}

/// Certificate (RFC 8446 section 4.4.2); an empty chain means "I have none".
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Certificates<'a> {
    pub context: &'a [u8],
    pub chain: Vec<&'a [u8]>,
}

pub(crate) fn encode_certificates(context: &[u8], credential: Option<&Credential>) -> Vec<u8> {
    let mut list = Vec::new();
    for certificate in credential.map(|credential| &*credential.chain).unwrap_or_default() {
        put_u24(&mut list, certificate.len());
        list.extend_from_slice(certificate);
        put_u16(&mut list, 0);
    }
    let mut out = Vec::new();
    put_vec8(&mut out, context);
    put_u24(&mut out, list.len());
    out.extend_from_slice(&list);
    out
}

pub(crate) fn decode_certificates(body: &[u8]) -> Result<Certificates<'_>, Error> {
    let mut reader = Reader::new(body);
    let context = reader.vec8()?;
    let length = reader.u24()? as usize;
    let mut list = Reader::new(reader.take(length)?);
    reader.finish()?;
    let mut chain = Vec::new();
    let mut bytes = 0_usize;
    while !list.is_empty() {
        let length = list.u24()? as usize;
        let certificate = list.take(length)?;
        list.vec16()?;
        bytes = bytes.saturating_add(certificate.len());
        if certificate.is_empty() {
            return Err(Error::Malformed("an empty certificate"));
        }
        if chain.len() >= limits::CERTIFICATES_MAX || bytes > limits::CHAIN_BYTES_MAX {
            return Err(Error::Unsupported("the certificate chain is too long"));
        }
        chain.push(certificate);
    }
    Ok(Certificates { context, chain })
}

/// Whose CertificateVerify it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Side {
    Client,
    Server,
}

/// What a CertificateVerify signs (RFC 8446 section 4.4.3).
pub(crate) fn signed_content(side: Side, transcript: &[u8]) -> Vec<u8> {
    let context: &[u8] = match side {
        Side::Client => b"TLS 1.3, client CertificateVerify\0",
        Side::Server => b"TLS 1.3, server CertificateVerify\0",
    };
    [&[0x20; 64], context, transcript].concat()
}

pub(crate) fn encode_certificate_verify(scheme: SignatureScheme, signature: &[u8]) -> Vec<u8> {
    let mut out = Vec::new();
    put_u16(&mut out, scheme.code());
    put_vec16(&mut out, signature);
    out
}

pub(crate) fn decode_certificate_verify(body: &[u8]) -> Result<(SignatureScheme, &[u8]), Error> {
    let mut reader = Reader::new(body);
    let scheme = SignatureScheme::from_code(reader.u16()?);
    let signature = reader.vec16()?;
    reader.finish()?;
    Ok((scheme.ok_or(Error::Misbehaved("a signature scheme that was not offered"))?, signature))
}

/// KeyUpdate (RFC 8446 section 4.6.3): whether the peer wants the same of us.
pub(crate) fn decode_key_update(body: &[u8]) -> Result<bool, Error> {
    match *body {
        [0] => Ok(false),
        [1] => Ok(true),
        [_] => Err(Error::Misbehaved("a KeyUpdate with an unknown request")),
        _ => Err(Error::Malformed("a KeyUpdate of the wrong length")),
    }
}

/// NewConnectionId (RFC 9147 section 9): the first of the new ones that we can hold, and whether it is to be used at
/// once.
pub(crate) fn decode_new_connection_id(body: &[u8]) -> Result<(Spares, bool), Error> {
    let mut reader = Reader::new(body);
    let mut list = Reader::new(reader.vec16()?);
    let usage = reader.u8()?;
    reader.finish()?;
    let mut cids = Spares::default();
    while !list.is_empty() {
        if let Some(cid) = ConnectionId::new(list.vec8()?) {
            cids.push(cid);
        }
    }
    match usage {
        // RFC 9147 section 9: one of these or none at all.
        0 if cids.is_empty() => Err(Error::Unsupported("no Connection ID that we can hold")),
        0 => Ok((cids, true)),
        1 => Ok((cids, false)),
        _ => Err(Error::Misbehaved("a NewConnectionId with an unknown usage")),
    }
}

pub(crate) fn encode_new_connection_id(cids: &[ConnectionId], at_once: bool) -> Vec<u8> {
    let mut list = Vec::new();
    cids.iter().for_each(|cid| put_vec8(&mut list, cid.as_slice()));
    let mut out = Vec::new();
    put_vec16(&mut out, &list);
    out.push(u8::from(!at_once));
    out
}

pub(crate) fn encode_request_connection_id(count: u8) -> Vec<u8> {
    alloc::vec![count]
}

/// RequestConnectionId (RFC 9147 section 9): how many.
pub(crate) fn decode_request_connection_id(body: &[u8]) -> Result<u8, Error> {
    match *body {
        [number] => Ok(number),
        _ => Err(Error::Malformed("a RequestConnectionId of the wrong length")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn fragments_read_what_they_write_and_stay_within_their_message() {
        let mut bytes = Vec::new();
        Fragment::put_header(&mut bytes, kind::FINISHED, 6, 3, 2, 4);
        bytes.extend_from_slice(b"body");
        let fragment = Fragment::read(&mut Reader::new(&bytes)).unwrap();
        assert_eq!((fragment.kind, fragment.sequence, fragment.offset), (20, 3, 2));
        assert_eq!(fragment.body, b"body");
        for length in 0..bytes.len() {
            assert!(Fragment::read(&mut Reader::new(&bytes[..length])).is_err());
        }
        bytes[3] = 5;
        assert!(Fragment::read(&mut Reader::new(&bytes)).is_err());
    }

    #[test]
    fn connection_ids_read_what_they_write() {
        let cids = [ConnectionId::new(b"first").unwrap(), ConnectionId::new(b"second").unwrap()];
        let body = encode_new_connection_id(&cids, true);
        let (mut decoded, at_once) = decode_new_connection_id(&body).unwrap();
        assert_eq!((decoded.take(), decoded.take(), decoded.take()), (Some(cids[0]), Some(cids[1]), None));
        assert!(at_once);
        for length in 0..body.len() {
            assert!(decode_new_connection_id(&body[..length]).is_err());
        }
        assert_eq!(decode_new_connection_id(&[0, 0, 1]), Ok((Spares::default(), false)));
        assert!(decode_new_connection_id(&[0, 0, 2]).is_err());
        assert!(decode_new_connection_id(&[0, 0, 0]).is_err(), "nothing to use at once");
    }

    #[test]
    fn certificate_chains_stop_at_their_limits() {
        let chain = |count: usize, size: usize| {
            let mut list = Vec::new();
            for _ in 0..count {
                put_u24(&mut list, size);
                list.resize(list.len() + size, 7);
                put_u16(&mut list, 0);
            }
            let mut out = alloc::vec![0];
            put_u24(&mut out, list.len());
            out.extend_from_slice(&list);
            decode_certificates(&out).map(|read| read.chain.len())
        };
        assert_eq!(chain(0, 0), Ok(0));
        assert_eq!(chain(limits::CERTIFICATES_MAX, 10), Ok(limits::CERTIFICATES_MAX));
        assert!(chain(limits::CERTIFICATES_MAX + 1, 10).is_err());
        assert_eq!(chain(1, limits::CHAIN_BYTES_MAX), Ok(1));
        assert!(chain(1, limits::CHAIN_BYTES_MAX + 1).is_err());
        assert!(chain(1, 0).is_err());
    }
}
