//! Certificates that a tenant's authority issues to devices, and those of such authorities.
//!
//! Who a device is stands in a URI among its alternative names, `urn:bartizan:device:TENANT:DEVICE`. The tenant is
//! believed only because of who signed.

use bartizan_crypto::{Provider, constant_time_eq};
use bartizan_wire::{DeviceKey, UnixMillis};

use super::Certificate;
use super::extension::{self, Constraints, EXTENDED_KEY_USAGE, KEY_USAGE, SUBJECT_ALTERNATIVE_NAME};
use crate::der::{self, Reader};
use crate::{Error, PublicKey, limits};

/// What the URI begins with.
pub const URI_PREFIX: &str = "urn:bartizan:device:";
/// id-kp-clientAuth, 1.3.6.1.5.5.7.3.2.
const CLIENT_AUTH: &[u8] = b"\x2B\x06\x01\x05\x05\x07\x03\x02";

/// A certificate that may issue devices' certificates.
#[derive(Clone, Copy, Debug)]
pub struct Authority<'a> {
    pub certificate: Certificate<'a>,
    pub key: PublicKey,
    pub key_id: &'a [u8],
    /// Authorities that may stand below it.
    pub path_length: Option<u64>,
}

impl<'a> Authority<'a> {
    /// # Errors
    /// `Misbehaved` if it is not for an authority, has no identifier of its key or has a critical extension that is
    /// not known.
    pub fn read(bytes: &'a [u8]) -> Result<Self, Error> {
        let certificate = Certificate::read(bytes)?;
        let (mut constraints, mut purposes) = (Constraints::default(), false);
        each_once(&certificate, |extension| {
            purposes |= extension.name == EXTENDED_KEY_USAGE;
            constraints.take(extension)
        })?;
        let key_id =
            constraints.subject_key.ok_or(Error::Misbehaved("an authority without an identifier of its key"))?;
        if !constraints.certifies() || purposes {
            return Err(Error::Misbehaved("a certificate that may not issue others"));
        }
        Ok(Self { certificate, key: certificate.key()?, key_id, path_length: constraints.path_length })
    }

    /// Whether `self` was issued by `issuer`, which may have authorities below it: names, identifiers and signature.
    ///
    /// # Errors
    /// `Untrusted` if it was not.
    pub fn issued_by(&self, provider: &Provider, issuer: &Authority<'_>) -> Result<(), Error> {
        let own = self.certificate.issuer == self.certificate.subject;
        if !own && issuer.path_length == Some(0) {
            return Err(Error::Misbehaved("an authority below one that may have none"));
        }
        issued(provider, &self.certificate, issuer)
    }
}

/// A device's certificate that is believed.
#[derive(Clone, Copy, Debug)]
pub struct Verified<'a> {
    pub certificate: Certificate<'a>,
    pub device: DeviceKey,
}

/// Verifies a device's certificate under the authority that must have issued it. The authority's own days are for the
/// caller to look at.
///
/// # Errors
/// `Untrusted` if somebody else signed it or `now` is outside its days, `Misbehaved` if it is for another use or names
/// no device or several.
pub fn verify<'a>(
    provider: &Provider,
    certificate: &Certificate<'a>,
    issuer: &Authority<'_>,
    now: UnixMillis,
) -> Result<Verified<'a>, Error> {
    certificate.check_time(now)?;
    let device = device_of(certificate)?;
    issued(provider, certificate, issuer)?;
    Ok(Verified { certificate: *certificate, device })
}

/// The device that a certificate names, if it is one for a device; not verified.
///
/// # Errors
/// `Misbehaved` if it is for another use or names no device or several.
pub fn device_of(certificate: &Certificate<'_>) -> Result<DeviceKey, Error> {
    let (mut constraints, mut device, mut purposes) = (Constraints::default(), None, false);
    let mut usage = false;
    each_once(certificate, |extension| {
        match extension.name {
            SUBJECT_ALTERNATIVE_NAME => device = named(extension.value)?,
            EXTENDED_KEY_USAGE => purposes = extension::names_purpose(extension.value, CLIENT_AUTH)?,
            KEY_USAGE => {
                usage = true;
                return constraints.take(extension);
            }
            _ => return constraints.take(extension),
        }
        Ok(true)
    })?;
    if constraints.authority || !purposes || !usage || !constraints.signs() {
        return Err(Error::Misbehaved("a certificate that is not for a client"));
    }
    device.ok_or(Error::Misbehaved("a certificate that names no device"))
}

/// Names, identifiers and signature.
fn issued(provider: &Provider, certificate: &Certificate<'_>, issuer: &Authority<'_>) -> Result<(), Error> {
    const OTHER: Error = Error::Untrusted("a certificate of another authority");
    let mut constraints = Constraints::default();
    for extension in certificate.extensions() {
        constraints.take(&extension?)?;
    }
    let named = constraints.authority_key.is_none_or(|id| constant_time_eq(id, issuer.key_id));
    if certificate.issuer != issuer.certificate.subject || !named {
        return Err(OTHER);
    }
    certificate.verify(provider, &issuer.key)
}

/// Hands each extension to `take`, which answers whether it knows it.
fn each_once<'a>(
    certificate: &Certificate<'a>,
    mut take: impl FnMut(&super::Extension<'a>) -> Result<bool, Error>,
) -> Result<(), Error> {
    for (at, extension) in certificate.extensions().enumerate() {
        let extension = extension?;
        if at >= limits::EXTENSIONS_MAX {
            return Err(Error::Unavailable("more extensions than are taken"));
        }
        let earlier = certificate.extensions().take(at).flatten();
        if earlier.into_iter().any(|earlier| earlier.name == extension.name) {
            return Err(Error::Misbehaved("an extension that stands there twice"));
        }
        if !take(&extension)? && extension.critical {
            return Err(Error::Misbehaved("a critical extension that is not known"));
        }
    }
    Ok(())
}

/// The one device among the alternative names.
fn named(value: &[u8]) -> Result<Option<DeviceKey>, Error> {
    /// uniformResourceIdentifier (RFC 5280 section 4.2.1.6).
    const URI: u8 = 0x86;
    let mut names = Reader::new(Reader::only(value, der::SEQUENCE)?);
    let mut found = None;
    while !names.is_empty() {
        let name = names.element()?;
        let Some(rest) = name.value.strip_prefix(URI_PREFIX.as_bytes()).filter(|_| name.tag == URI) else { continue };
        let device = device_in(rest).ok_or(Error::Malformed("a device's URI that is none"))?;
        if found.replace(device).is_some() {
            return Err(Error::Misbehaved("a certificate that names several devices"));
        }
    }
    Ok(found)
}

/// `TENANT:DEVICE`, decimal and in one form each.
fn device_in(text: &[u8]) -> Option<DeviceKey> {
    let (tenant, device) = core::str::from_utf8(text).ok()?.split_once(':')?;
    let plain = |text: &str| text.bytes().all(|byte| byte.is_ascii_digit()) && (text == "0" || !text.starts_with('0'));
    let numbers = plain(tenant) && plain(device);
    numbers.then(|| Some(DeviceKey::new(tenant.parse().ok()?, device.parse().ok()?)))?
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_device_has_one_uri() {
        assert_eq!(device_in(b"7:42"), Some(DeviceKey::new(7, 42)));
        assert_eq!(device_in(b"4294967295:18446744073709551615"), Some(DeviceKey::new(u32::MAX, u64::MAX)));
        for bad in ["", ":", "7", "7:", ":42", "07:42", "7:042", "+7:42", "7:42:1", "4294967296:1", "7:x", " 7:42"] {
            assert_eq!(device_in(bad.as_bytes()), None, "{bad}");
        }
    }
}
