//! What the hellos settle besides suite and group: kinds of certificates, record sizes, signature schemes, names.

use alloc::vec::Vec;

use super::extension::{Extensions, Writer, kind};
use crate::codec::{Reader, put_u16, put_vec8, put_vec16, u16s};
use crate::limits::{PLAINTEXT_BYTES_MAX, RECORD_SIZE_LIMIT_MIN};
use crate::{CertificateType, Error, SignatureScheme};

const DEFAULT_KINDS: [u8; 1] = [CertificateType::X509 as u8];

/// The longest that DTLS 1.3 encrypts: content and its type (RFC 8449 section 4).
pub(crate) const PLAINTEXT_13_BYTES_MAX: u16 = PLAINTEXT_BYTES_MAX as u16 + 1;

/// The most that either side may put into one record.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct RecordLimits {
    /// What we may send: content, and for records with a Connection ID its type and padding too (RFC 8449 section 4:
    /// all that is encrypted).
    pub send: u16,
    /// What the peer may send.
    pub receive: u16,
    /// Whether this holds for records in the clear as well (RFC 6066 section 4; RFC 8449 leaves them out).
    pub in_the_clear: bool,
}

impl RecordLimits {
    /// Nothing was negotiated.
    pub const NONE: Self =
        Self { send: PLAINTEXT_BYTES_MAX as u16, receive: PLAINTEXT_BYTES_MAX as u16, in_the_clear: false };

    /// The same for DTLS 1.3, whose type is encrypted, too (RFC 8446 section 5.4).
    pub const NONE_13: Self =
        Self { send: PLAINTEXT_13_BYTES_MAX, receive: PLAINTEXT_13_BYTES_MAX, in_the_clear: false };

    /// Most content of one record of a flight in the clear.
    pub fn clear_bytes_max(&self) -> usize {
        match self.in_the_clear {
            true => usize::from(self.send),
            false => PLAINTEXT_BYTES_MAX,
        }
    }
}

/// A fragment length that a client may ask for (RFC 6066 section 4).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[repr(u8)]
pub enum MaxFragmentLength {
    Bytes512 = 1,
    Bytes1024 = 2,
    Bytes2048 = 3,
    Bytes4096 = 4,
}

impl MaxFragmentLength {
    /// In bytes.
    #[must_use]
    pub const fn bytes(self) -> u16 {
        256 << self as u8
    }

    const fn from_code(code: u8) -> Option<Self> {
        match code {
            1 => Some(Self::Bytes512),
            2 => Some(Self::Bytes1024),
            3 => Some(Self::Bytes2048),
            4 => Some(Self::Bytes4096),
            _ => None,
        }
    }
}

/// A record_size_limit (RFC 8449 section 4). One that is larger than the protocol allows is no error, and no limit.
pub(crate) fn record_size_limit(extensions: &Extensions<'_>) -> Result<Option<u16>, Error> {
    Ok(record_size_limit_13(extensions)?.map(|limit| limit.min(PLAINTEXT_BYTES_MAX as u16)))
}

/// The same of DTLS 1.3, where one byte more is encrypted.
pub(crate) fn record_size_limit_13(extensions: &Extensions<'_>) -> Result<Option<u16>, Error> {
    let Some(body) = extensions.body(kind::RECORD_SIZE_LIMIT) else {
        return Ok(None);
    };
    let mut reader = Reader::new(body);
    let limit = reader.u16()?;
    reader.finish()?;
    match limit {
        //= rfc8449#4-7
        0..RECORD_SIZE_LIMIT_MIN => Err(Error::Misbehaved("a record size limit below 64")),
        //= rfc8449#4-3
        //= rfc8449#4-4
        limit => Ok(Some(limit.min(PLAINTEXT_13_BYTES_MAX))),
    }
}

/// A max_fragment_length (RFC 6066 section 4).
pub(crate) fn max_fragment_length(extensions: &Extensions<'_>) -> Result<Option<MaxFragmentLength>, Error> {
    match extensions.body(kind::MAX_FRAGMENT_LENGTH) {
        None => Ok(None),
        Some([code]) => {
            let length = MaxFragmentLength::from_code(*code);
            length.map(Some).ok_or(Error::Misbehaved("an unknown max_fragment_length"))
        }
        Some(_) => Err(Error::Malformed("an extension has the wrong length")),
    }
}

pub(crate) fn put_record_size_limit(writer: &mut Writer, limit: u16) {
    writer.put(kind::RECORD_SIZE_LIMIT, &limit.to_be_bytes());
}

pub(crate) fn put_max_fragment_length(writer: &mut Writer, length: MaxFragmentLength) {
    writer.put(kind::MAX_FRAGMENT_LENGTH, &[length as u8]);
}

/// The kinds of certificates that a client lists; X.509 alone if it says nothing (RFC 7250 section 4.1).
pub(crate) fn offered_kinds<'a>(extensions: &Extensions<'a>, which: u16) -> Result<&'a [u8], Error> {
    let Some(body) = extensions.body(which) else {
        return Ok(&DEFAULT_KINDS);
    };
    let mut reader = Reader::new(body);
    let kinds = reader.vec8()?;
    reader.finish()?;
    match kinds {
        [] => Err(Error::Malformed("a list of no certificate types")),
        kinds => Ok(kinds),
    }
}

/// The kind of certificates that a server chose; X.509 if it says nothing.
pub(crate) fn chosen_kind(extensions: &Extensions<'_>, which: u16) -> Result<CertificateType, Error> {
    match extensions.body(which) {
        None => Ok(CertificateType::X509),
        Some([code]) => {
            CertificateType::from_code(*code).ok_or(Error::Misbehaved("a certificate type that was not offered"))
        }
        Some(_) => Err(Error::Malformed("an extension has the wrong length")),
    }
}

/// RFC 7250 section 4.1: a client with X.509 alone leaves the extension out.
pub(crate) fn put_offered_kinds(writer: &mut Writer, which: u16, kinds: impl Iterator<Item = CertificateType>) {
    let codes: Vec<u8> = kinds.map(|kind| kind as u8).collect();
    if !codes.is_empty() && codes != DEFAULT_KINDS {
        let mut body = Vec::new();
        put_vec8(&mut body, &codes);
        writer.put(which, &body);
    }
}

pub(crate) fn put_chosen_kind(writer: &mut Writer, which: u16, kind: CertificateType) {
    writer.put(which, &[kind as u8]);
}

/// Whether the peer takes signatures of this scheme. RFC 5246 section 7.4.1.4.1: without the extension it means SHA-1,
/// which nobody here makes.
pub(crate) fn takes_signatures(extensions: &Extensions<'_>, scheme: SignatureScheme) -> bool {
    let body = extensions.body(kind::SIGNATURE_ALGORITHMS).unwrap_or_default();
    let list = Reader::new(body).vec16().unwrap_or_default();
    u16s(list).any(|code| code == scheme.code())
}

pub(crate) fn put_signature_schemes(writer: &mut Writer) {
    let mut body = Vec::new();
    put_vec16(&mut body, &super::certificate::schemes());
    writer.put(kind::SIGNATURE_ALGORITHMS, &body);
}

/// RFC 6066 section 3: one host name.
pub(crate) fn put_server_name(writer: &mut Writer, name: &str) {
    let mut entry = Vec::new();
    entry.push(0);
    put_u16(&mut entry, name.len() as u16);
    entry.extend_from_slice(name.as_bytes());
    let mut body = Vec::new();
    put_vec16(&mut body, &entry);
    writer.put(kind::SERVER_NAME, &body);
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(writer: Writer, look: impl Fn(&Extensions<'_>)) {
        let mut bytes = Vec::new();
        writer.finish(&mut bytes);
        look(&Extensions::read(&mut Reader::new(&bytes)).unwrap());
    }

    //= test rfc8449#4-3
    //= test rfc8449#4-4
    //= test rfc8449#4-7
    #[test]
    fn record_size_limits_on_both_sides_of_their_bounds() {
        for (limit, expected) in [(63, None), (64, Some(64)), (16_384, Some(16_384)), (16_385, Some(16_384))] {
            let mut writer = Writer::default();
            put_record_size_limit(&mut writer, limit);
            read(writer, |extensions| assert_eq!(record_size_limit(extensions).ok().flatten(), expected));
        }
        for (limit, expected) in [(63, None), (64, Some(64)), (16_385, Some(16_385)), (16_386, Some(16_385))] {
            let mut writer = Writer::default();
            put_record_size_limit(&mut writer, limit);
            read(writer, |extensions| assert_eq!(record_size_limit_13(extensions).ok().flatten(), expected));
        }
        read(Writer::default(), |extensions| assert_eq!(record_size_limit(extensions), Ok(None)));
    }

    #[test]
    fn fragment_lengths_are_the_four_of_rfc_6066() {
        for (code, bytes) in [(1, 512), (2, 1024), (3, 2048), (4, 4096)] {
            let length = MaxFragmentLength::from_code(code).unwrap();
            assert_eq!(length.bytes(), bytes);
            let mut writer = Writer::default();
            put_max_fragment_length(&mut writer, length);
            read(writer, |extensions| assert_eq!(max_fragment_length(extensions), Ok(Some(length))));
        }
        for body in [&[0][..], &[5], &[], &[1, 1]] {
            let mut writer = Writer::default();
            writer.put(kind::MAX_FRAGMENT_LENGTH, body);
            read(writer, |extensions| assert!(max_fragment_length(extensions).is_err()));
        }
    }

    #[test]
    fn certificate_types_default_to_x509() {
        let which = kind::CLIENT_CERTIFICATE_TYPE;
        read(Writer::default(), |extensions| {
            assert_eq!(offered_kinds(extensions, which), Ok(&[0][..]));
            assert_eq!(chosen_kind(extensions, which), Ok(CertificateType::X509));
        });
        let mut writer = Writer::default();
        put_offered_kinds(&mut writer, which, [CertificateType::X509].into_iter());
        let mut bytes = Vec::new();
        writer.finish(&mut bytes);
        assert!(bytes.is_empty());
        let mut writer = Writer::default();
        put_offered_kinds(&mut writer, which, [CertificateType::RawPublicKey, CertificateType::X509].into_iter());
        read(writer, |extensions| assert_eq!(offered_kinds(extensions, which), Ok(&[2, 0][..])));
        let mut writer = Writer::default();
        put_chosen_kind(&mut writer, which, CertificateType::RawPublicKey);
        read(writer, |extensions| assert_eq!(chosen_kind(extensions, which), Ok(CertificateType::RawPublicKey)));
        let mut writer = Writer::default();
        writer.put(which, &[1]);
        read(writer, |extensions| assert!(chosen_kind(extensions, which).is_err()));
    }

    #[test]
    fn signature_schemes_are_taken_as_said() {
        let mut writer = Writer::default();
        put_signature_schemes(&mut writer);
        read(writer, |extensions| {
            assert!(SignatureScheme::ALL.into_iter().all(|scheme| takes_signatures(extensions, scheme)));
        });
        read(Writer::default(), |extensions| {
            assert!(!SignatureScheme::ALL.into_iter().any(|scheme| takes_signatures(extensions, scheme)));
        });
    }
}
