//! Questions about certificates: requests of OCSP (RFC 6960 section 4.1).

use alloc::vec::Vec;

use crate::der::{self, Reader};
use crate::{Error, limits};

/// id-pkix-ocsp-nonce, 1.3.6.1.5.5.7.48.1.2.
pub const NONCE: &[u8] = b"\x2B\x06\x01\x05\x05\x07\x30\x01\x02";

/// How a question hashes the names and keys of authorities.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Hash {
    /// What most clients use, and RFC 5019 section 2.1.1 demands. It protects nothing here.
    Sha1,
    Sha256,
    Other,
}

/// Which certificate is asked about.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct CertificateId<'a> {
    pub hash: Hash,
    pub issuer_name: &'a [u8],
    pub issuer_key: &'a [u8],
    /// The value of the INTEGER.
    pub serial: &'a [u8],
    /// All of it in DER, to be repeated in the answer.
    pub whole: &'a [u8],
}

/// A request taken apart. A signature on it is not looked at: anybody may ask.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct OcspRequest<'a> {
    pub ids: Vec<CertificateId<'a>>,
    /// The value of the nonce's extension.
    pub nonce: Option<&'a [u8]>,
}

impl<'a> OcspRequest<'a> {
    /// # Errors
    /// `Malformed` if the bytes are not one request in DER, `Unavailable` if it asks too much.
    pub fn read(bytes: &'a [u8]) -> Result<Self, Error> {
        let mut outer = Reader::new(Reader::only(bytes, der::SEQUENCE)?);
        let mut inner = Reader::new(outer.take(der::SEQUENCE)?);
        outer.optional(0xA0)?;
        outer.end()?;
        inner.optional(0xA0)?;
        inner.optional(0xA1)?;
        let ids = questions(inner.take(der::SEQUENCE)?)?;
        let nonce = inner.optional(0xA2)?.map(nonce).transpose()?.flatten();
        inner.end()?;
        Ok(Self { ids, nonce })
    }
}

fn questions(bytes: &[u8]) -> Result<Vec<CertificateId<'_>>, Error> {
    let (mut list, mut ids) = (Reader::new(bytes), Vec::new());
    while !list.is_empty() {
        if ids.len() >= limits::OCSP_QUESTIONS_MAX {
            return Err(Error::Unavailable("more questions than are answered at once"));
        }
        let mut question = Reader::new(list.take(der::SEQUENCE)?);
        ids.push(CertificateId::read(question.element()?)?);
        question.optional(0xA0)?;
        question.end()?;
    }
    if ids.is_empty() { Err(Error::Malformed("a request that asks nothing")) } else { Ok(ids) }
}

impl<'a> CertificateId<'a> {
    fn read(element: der::Element<'a>) -> Result<Self, Error> {
        const SHA1: &[u8] = b"\x2B\x0E\x03\x02\x1A";
        const SHA256: &[u8] = b"\x60\x86\x48\x01\x65\x03\x04\x02\x01";
        if element.tag != der::SEQUENCE {
            return Err(Error::Malformed("no identifier of a certificate"));
        }
        let mut parts = Reader::new(element.value);
        let hash = match Reader::new(parts.take(der::SEQUENCE)?).take(der::OBJECT)? {
            SHA1 => Hash::Sha1,
            SHA256 => Hash::Sha256,
            _ => Hash::Other,
        };
        let (issuer_name, issuer_key) = (parts.take(der::OCTET_STRING)?, parts.take(der::OCTET_STRING)?);
        let serial = der::integer(parts.take(der::INTEGER)?)?;
        parts.end()?;
        Ok(Self { hash, issuer_name, issuer_key, serial, whole: element.whole })
    }
}

/// The nonce among the extensions, if it is there and of a length that is echoed (RFC 9654 section 2.1).
fn nonce(bytes: &[u8]) -> Result<Option<&[u8]>, Error> {
    let mut list = Reader::new(Reader::only(bytes, der::SEQUENCE)?);
    let mut found = None;
    while !list.is_empty() {
        let extension = super::Extension::read(&mut list)?;
        if extension.name == NONCE && found.replace(extension.value).is_some() {
            return Err(Error::Malformed("two nonces"));
        }
    }
    match found {
        Some(value) if value.len() > limits::OCSP_NONCE_BYTES_MAX => Err(Error::Malformed("a nonce that is too long")),
        found => Ok(found),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    use crate::der::write::{element, unsigned};

    fn id(hash: &[u8]) -> Vec<u8> {
        let hash = element(der::SEQUENCE, &[&element(der::OBJECT, &[hash]), &[5, 0]]);
        let octets = |byte: u8| element(der::OCTET_STRING, &[&[byte; 20]]);
        element(der::SEQUENCE, &[&hash, &octets(1), &octets(2), &unsigned(&[3])])
    }

    fn request(ids: &[Vec<u8>], nonce: Option<usize>) -> Vec<u8> {
        let questions: Vec<_> = ids.iter().map(|id| element(der::SEQUENCE, &[id])).collect();
        let questions: Vec<&[u8]> = questions.iter().map(Vec::as_slice).collect();
        let nonce = nonce.map(|length| {
            let value = element(der::OCTET_STRING, &[&alloc::vec![9; length]]);
            let one = element(der::SEQUENCE, &[&element(der::OBJECT, &[NONCE]), &value]);
            element(0xA2, &[&element(der::SEQUENCE, &[&one])])
        });
        let list = element(der::SEQUENCE, &questions);
        element(der::SEQUENCE, &[&element(der::SEQUENCE, &[&list, &nonce.unwrap_or_default()])])
    }

    #[test]
    fn questions_are_read_up_to_their_bounds() {
        let (sha1, other) = (id(b"\x2B\x0E\x03\x02\x1A"), id(b"\x2A"));
        let bytes = request(&[sha1.clone(), other], Some(16));
        let read = OcspRequest::read(&bytes).unwrap();
        assert_eq!(read.ids.iter().map(|id| id.hash).collect::<Vec<_>>(), [Hash::Sha1, Hash::Other]);
        assert_eq!((read.ids[0].whole, read.ids[0].serial, read.nonce), (&sha1[..], &[3][..], Some(&[9; 16][..])));
        let many = |count| alloc::vec![sha1.clone(); count];
        assert!(OcspRequest::read(&request(&many(limits::OCSP_QUESTIONS_MAX), None)).is_ok());
        assert!(OcspRequest::read(&request(&many(limits::OCSP_QUESTIONS_MAX + 1), None)).is_err());
        assert!(OcspRequest::read(&request(&[], None)).is_err());
        for (length, good) in [(limits::OCSP_NONCE_BYTES_MAX, true), (limits::OCSP_NONCE_BYTES_MAX + 1, false)] {
            assert_eq!(OcspRequest::read(&request(&many(1), Some(length))).is_ok(), good);
        }
        for cut in 0..bytes.len() {
            assert!(OcspRequest::read(&bytes[..cut]).is_err());
        }
    }

    #[test]
    fn random_bytes_are_read_or_refused() {
        let mut state = 1_u32;
        for round in 0..5_000_usize {
            let bytes: Vec<u8> = (0..round % 64)
                .map(|at| {
                    state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
                    if at % 3 == 0 { 0x30 } else { (state >> 26) as u8 }
                })
                .collect();
            let _ = OcspRequest::read(&bytes);
        }
    }
}
