//! From a leaf to a key that is believed (RFC 5280 section 6), for manufacturers' identities (IEEE 802.1AR) and for
//! gateways. Chains of DICE layers have rules of their own: [`crate::dice::x509`].

use bartizan_crypto::Provider;
use bartizan_wire::UnixMillis;

use super::{Certificate, Constraints};
use crate::der::{self, Reader};
use crate::{Error, PublicKey, limits};

/// 2.5.29.17, subjectAltName, which some mark critical.
const ALTERNATIVE_NAME: &[u8] = b"\x55\x1D\x11";
/// 2.5.4.5, serialNumber.
const SERIAL_NUMBER: &[u8] = b"\x55\x04\x05";
/// PrintableString, beside UTF8String the form of a serialNumber.
const PRINTABLE_STRING: u8 = 0x13;

/// A key that is believed, known beforehand.
#[derive(Clone, Copy, Debug)]
pub struct Anchor<'a> {
    pub key: PublicKey,
    /// Its encoded name; without one only the signature decides.
    pub subject: Option<&'a [u8]>,
}

impl<'a> Anchor<'a> {
    /// The anchor that a certificate is, without verifying anything of it: whoever handed it in vouches for it.
    ///
    /// # Errors
    /// `Misbehaved` if its key may not certify; otherwise by fault.
    pub fn of_certificate(bytes: &'a [u8]) -> Result<Self, Error> {
        let (certificate, constraints) = read(bytes)?;
        if !constraints.certifies() {
            return Err(Error::Misbehaved("a certificate whose key may not certify others"));
        }
        Ok(Self { key: certificate.key()?, subject: Some(certificate.subject) })
    }
}

/// What the leaf's key is to be used for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Purpose {
    /// To prove who holds it.
    Authenticate,
    /// To certify others: the key of a device's secret, which certifies its first layer.
    Certify,
}

/// The leaf of a chain that holds.
#[derive(Clone, Copy, Debug)]
pub struct Leaf<'a> {
    pub certificate: Certificate<'a>,
    pub key: PublicKey,
}

impl<'a> Leaf<'a> {
    /// The serialNumber of its subject (RFC 5280 appendix A.1), by which IEEE 802.1AR names a device.
    ///
    /// # Errors
    /// `Malformed` if the name is, or has two.
    pub fn serial_number(&self) -> Result<Option<&'a str>, Error> {
        serial_number(self.certificate.subject)
    }
}

/// Verifies that `chain`, in DER and leaf first, hangs on `anchor`. A copy of the anchor at its end is no harm. `now` is
/// `None` for who has no clock: days are not looked at then.
///
/// # Errors
/// `Untrusted` if it hangs on something else or a certificate's days are over, `Misbehaved` if a key is used for what it
/// is not; otherwise by fault.
pub fn verify<'a>(
    provider: &Provider,
    chain: &[&'a [u8]],
    anchor: &Anchor<'_>,
    purpose: Purpose,
    now: Option<UnixMillis>,
) -> Result<Leaf<'a>, Error> {
    if chain.len() > limits::CHAIN_MAX {
        return Err(Error::Unavailable("a chain that is longer than is taken"));
    }
    let (first, above) = chain.split_first().ok_or(Error::Malformed("a chain without certificates"))?;
    let (certificate, constraints) = read(first)?;
    let leaf = Leaf { certificate, key: certificate.key()? };
    let may = match purpose {
        Purpose::Authenticate => constraints.authenticates(),
        Purpose::Certify => constraints.certifies(),
    };
    if !may {
        return Err(Error::Misbehaved("a leaf whose key is for another use"));
    }
    let mut below = certificate;
    let mut depth = 0_u64;
    for bytes in above {
        check_time(&below, now)?;
        if hangs_on(&below, anchor) && below.verify(provider, &anchor.key).is_ok() {
            return Ok(leaf);
        }
        let (issuer, constraints) = read(bytes)?;
        if issuer.subject != below.issuer {
            return Err(Error::Misbehaved("an issuer that is not the subject above it"));
        }
        if !constraints.certifies() || constraints.path_length.is_some_and(|length| length < depth) {
            return Err(Error::Misbehaved("a certificate whose issuer may not certify it"));
        }
        below.verify(provider, &issuer.key()?)?;
        (below, depth) = (issuer, depth.saturating_add(1));
    }
    check_time(&below, now)?;
    if !hangs_on(&below, anchor) {
        return Err(Error::Untrusted("a chain that hangs on another key"));
    }
    below.verify(provider, &anchor.key)?;
    Ok(leaf)
}

fn hangs_on(certificate: &Certificate<'_>, anchor: &Anchor<'_>) -> bool {
    anchor.subject.is_none_or(|subject| subject == certificate.issuer)
}

fn check_time(certificate: &Certificate<'_>, now: Option<UnixMillis>) -> Result<(), Error> {
    now.map_or(Ok(()), |now| certificate.check_time(now))
}

/// A certificate with what bounds its key; every critical extension is understood.
fn read(bytes: &[u8]) -> Result<(Certificate<'_>, Constraints<'_>), Error> {
    let certificate = Certificate::read(bytes)?;
    let mut constraints = Constraints::default();
    for (index, extension) in certificate.extensions().enumerate() {
        let extension = extension?;
        if index == limits::EXTENSIONS_MAX {
            return Err(Error::Unavailable("more certificate extensions than are taken"));
        }
        if certificate.extensions().take(index).flatten().any(|earlier| earlier.name == extension.name) {
            return Err(Error::Malformed("a certificate with the same extension twice"));
        }
        let known = constraints.take(&extension)? || extension.name == ALTERNATIVE_NAME;
        if extension.critical && !known {
            return Err(Error::Unsupported("a critical extension that is not known"));
        }
    }
    Ok((certificate, constraints))
}

fn serial_number(name: &[u8]) -> Result<Option<&str>, Error> {
    let mut found = None;
    let mut sets = Reader::new(Reader::only(name, der::SEQUENCE)?);
    while !sets.is_empty() {
        let mut set = Reader::new(sets.take(der::SET)?);
        while !set.is_empty() {
            let mut pair = Reader::new(set.take(der::SEQUENCE)?);
            let (kind, value) = (pair.take(der::OBJECT)?, pair.element()?);
            pair.end()?;
            if kind != SERIAL_NUMBER {
                continue;
            }
            if !matches!(value.tag, PRINTABLE_STRING | der::UTF8_STRING) || found.is_some() {
                return Err(Error::Malformed("a name with two serial numbers, or one that is no text"));
            }
            found = Some(der::text(value.value)?);
        }
    }
    Ok(found)
}
