//! Certificates, and what else an authority signs, in DER (RFC 5280).

use bartizan_crypto::AWS_LC;
use bartizan_trust::der::write::{element, time, unsigned, whole_bytes};
use bartizan_trust::der::{BOOLEAN, INTEGER, OBJECT, OCTET_STRING, SEQUENCE, SET, UTF8_STRING};
use bartizan_trust::x509::algorithm_of;

use super::{Error, Key, Serial, Validity};

/// Object identifiers of names (X.520), their values.
pub const COMMON_NAME: &[u8] = b"\x55\x04\x03";
pub const ORGANISATION: &[u8] = b"\x55\x04\x0A";

/// Key usages (RFC 5280 section 4.2.1.3), as the BIT STRING's value.
pub const DIGITAL_SIGNATURE: &[u8] = &[7, 0x80];
pub const SIGNS_CERTIFICATES: &[u8] = &[1, 0x06];
/// The same, and answers of OCSP.
pub const ISSUES: &[u8] = &[1, 0x86];

/// id-kp-clientAuth.
pub const CLIENT_AUTH: &[u8] = b"\x2B\x06\x01\x05\x05\x07\x03\x02";

const SUBJECT_KEY_ID: &[u8] = b"\x55\x1D\x0E";
const KEY_USAGE: &[u8] = b"\x55\x1D\x0F";
const ALTERNATIVE_NAME: &[u8] = b"\x55\x1D\x11";
const BASIC_CONSTRAINTS: &[u8] = b"\x55\x1D\x13";
const DISTRIBUTION_POINTS: &[u8] = b"\x55\x1D\x1F";
pub const AUTHORITY_KEY_ID: &[u8] = b"\x55\x1D\x23";
const EXTENDED_KEY_USAGE: &[u8] = b"\x55\x1D\x25";
/// id-pe-authorityInfoAccess with id-ad-ocsp and id-ad-caIssuers.
const INFO_ACCESS: &[u8] = b"\x2B\x06\x01\x05\x05\x07\x01\x01";
const OCSP: &[u8] = b"\x2B\x06\x01\x05\x05\x07\x30\x01";
const CA_ISSUERS: &[u8] = b"\x2B\x06\x01\x05\x05\x07\x30\x02";

/// What stands in a certificate beside names, key and days.
pub struct Content<'a> {
    pub serial: &'a Serial,
    pub issuer: &'a [u8],
    pub subject: &'a [u8],
    pub validity: Validity,
    pub key_info: &'a [u8],
    pub extensions: Vec<Vec<u8>>,
}

/// A certificate signed with `key`.
pub fn certificate(content: &Content<'_>, key: &Key) -> Result<Vec<u8>, Error> {
    let days = element(SEQUENCE, &[&time(content.validity.from()), &time(content.validity.to())]);
    let tbs = [
        &element(0xA0, &[&[INTEGER, 1, 2]])[..],
        &unsigned(&content.serial.0),
        algorithm_of(key.public()),
        content.issuer,
        &days,
        content.subject,
        content.key_info,
        &element(0xA3, &[&element(SEQUENCE, &parts(&content.extensions))]),
    ];
    signed(&element(SEQUENCE, &tbs), key)
}

/// SEQUENCE { what is signed, AlgorithmIdentifier, BIT STRING }.
pub fn signed(tbs: &[u8], key: &Key) -> Result<Vec<u8>, Error> {
    let signature = whole_bytes(&key.sign(tbs)?);
    Ok(element(SEQUENCE, &[tbs, algorithm_of(key.public()), &signature]))
}

pub fn parts(elements: &[Vec<u8>]) -> Vec<&[u8]> {
    elements.iter().map(Vec::as_slice).collect()
}

/// A name of UTF-8 texts in their order.
pub fn name(texts: &[(&[u8], &str)]) -> Vec<u8> {
    let one = |(kind, text): &(&[u8], &str)| {
        let pair = element(SEQUENCE, &[&element(OBJECT, &[kind]), &element(UTF8_STRING, &[text.as_bytes()])]);
        element(SET, &[&pair])
    };
    element(SEQUENCE, &parts(&texts.iter().map(one).collect::<Vec<_>>()))
}

/// The identifier of a key: the first 160 bits of SHA-256 over it (RFC 7093 section 2, method 1).
pub fn key_id(key_info: &[u8]) -> Vec<u8> {
    let key = bits_of(key_info).unwrap_or(key_info);
    (AWS_LC.sha256)(&[key]).get(..20).unwrap_or_default().to_vec()
}

/// The key within a SubjectPublicKeyInfo, without its algorithm.
pub fn bits_of(key_info: &[u8]) -> Option<&[u8]> {
    use bartizan_trust::der::{self, Reader};
    let mut info = Reader::new(Reader::only(key_info, SEQUENCE).ok()?);
    info.take(SEQUENCE).ok()?;
    der::whole_bytes(info.take(der::BIT_STRING).ok()?).ok()
}

pub fn extension(name: &[u8], critical: bool, value: &[u8]) -> Vec<u8> {
    let flag: &[u8] = if critical { &[BOOLEAN, 1, 0xFF] } else { &[] };
    element(SEQUENCE, &[&element(OBJECT, &[name]), flag, &element(OCTET_STRING, &[value])])
}

pub fn authority_constraints(path_length: Option<u8>) -> Vec<u8> {
    let length = path_length.map(|length| unsigned(&[length])).unwrap_or_default();
    extension(BASIC_CONSTRAINTS, true, &element(SEQUENCE, &[&[BOOLEAN, 1, 0xFF], &length]))
}

pub fn end_constraints() -> Vec<u8> {
    extension(BASIC_CONSTRAINTS, true, &element(SEQUENCE, &[]))
}

pub fn key_usage(bits: &[u8]) -> Vec<u8> {
    extension(KEY_USAGE, true, &element(bartizan_trust::der::BIT_STRING, &[bits]))
}

pub fn purpose(name: &[u8]) -> Vec<u8> {
    extension(EXTENDED_KEY_USAGE, false, &element(SEQUENCE, &[&element(OBJECT, &[name])]))
}

pub fn uri_name(uri: &str) -> Vec<u8> {
    extension(ALTERNATIVE_NAME, false, &element(SEQUENCE, &[&element(0x86, &[uri.as_bytes()])]))
}

pub fn subject_key(id: &[u8]) -> Vec<u8> {
    extension(SUBJECT_KEY_ID, false, &element(OCTET_STRING, &[id]))
}

pub fn authority_key(id: &[u8]) -> Vec<u8> {
    extension(AUTHORITY_KEY_ID, false, &element(SEQUENCE, &[&element(0x80, &[id])]))
}

/// Where the revocation list is.
pub fn distribution_point(uri: &str) -> Vec<u8> {
    let names = element(0xA0, &[&element(0xA0, &[&element(0x86, &[uri.as_bytes()])])]);
    extension(DISTRIBUTION_POINTS, false, &element(SEQUENCE, &[&element(SEQUENCE, &[&names])]))
}

/// Where OCSP answers, and where the authority's certificate is.
pub fn info_access(ocsp: &str, issuers: &str) -> Vec<u8> {
    let at =
        |method: &[u8], uri: &str| element(SEQUENCE, &[&element(OBJECT, &[method]), &element(0x86, &[uri.as_bytes()])]);
    extension(INFO_ACCESS, false, &element(SEQUENCE, &[&at(OCSP, ocsp), &at(CA_ISSUERS, issuers)]))
}

/// PEM (RFC 7468).
#[must_use]
pub fn pem(label: &str, der: &[u8]) -> String {
    format!("-----BEGIN {label}-----\n{}-----END {label}-----\n", crate::base64::encode_lines(der))
}
