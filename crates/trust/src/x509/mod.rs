//! X.509 version 3 certificates (RFC 5280), as much of them as the identities of devices need. What is read here is
//! well-formed and no more; who may sign what is for whoever verifies a chain.

pub mod device;
pub mod extension;
#[cfg(feature = "verifier")]
pub mod ocsp;
pub mod path;
mod request;

use bartizan_wire::UnixMillis;

use crate::der::{self, Reader};
use crate::{Error, PublicKey};
pub use extension::{Cmw, Constraints, Extension};
pub use request::Request;

/// A certificate taken apart, and not verified.
#[derive(Clone, Copy, Debug)]
pub struct Certificate<'a> {
    /// The bytes that are signed.
    pub signed: &'a [u8],
    /// The AlgorithmIdentifier, the same within and without what is signed.
    pub algorithm: &'a [u8],
    pub signature: &'a [u8],
    /// The value of the INTEGER.
    pub serial: &'a [u8],
    /// Encoded names. Two are the same if their bytes are.
    pub issuer: &'a [u8],
    pub subject: &'a [u8],
    pub not_before: Second,
    pub not_after: Second,
    /// SubjectPublicKeyInfo.
    pub key_info: &'a [u8],
    extensions: &'a [u8],
}

impl<'a> Certificate<'a> {
    /// # Errors
    /// `Malformed` if the bytes are not one certificate in DER, `Unsupported` if it is not of version 3 or has unique
    /// identifiers.
    pub fn read(bytes: &'a [u8]) -> Result<Self, Error> {
        let mut outer = Reader::new(Reader::only(bytes, der::SEQUENCE)?);
        let signed = outer.element()?;
        let algorithm = outer.element()?;
        let signature = der::whole_bytes(outer.take(der::BIT_STRING)?)?;
        outer.end()?;
        if signed.tag != der::SEQUENCE {
            return Err(Error::Malformed("no certificate"));
        }
        let mut inner = Reader::new(signed.value);
        if inner.optional(0xA0)? != Some(&[der::INTEGER, 1, 2]) {
            return Err(Error::Unsupported("a certificate that is not of version 3"));
        }
        let serial = der::integer(inner.take(der::INTEGER)?)?;
        if inner.element()?.whole != algorithm.whole {
            return Err(Error::Malformed("two signature algorithms in one certificate"));
        }
        let issuer = name(&mut inner)?;
        let mut validity = Reader::new(inner.take(der::SEQUENCE)?);
        let (not_before, not_after) = (Second::read(&mut validity)?, Second::read(&mut validity)?);
        validity.end()?;
        let subject = name(&mut inner)?;
        let key_info = inner.element()?.whole;
        let extensions = match inner.element()? {
            element if element.tag == 0xA3 => Reader::only(element.value, der::SEQUENCE)?,
            _ => return Err(Error::Unsupported("unique identifiers in a certificate")),
        };
        inner.end()?;
        let signed = signed.whole;
        let algorithm = algorithm.whole;
        Ok(Self { signed, algorithm, signature, serial, issuer, subject, not_before, not_after, key_info, extensions })
    }

    /// # Errors
    /// As [`PublicKey::from_spki`].
    pub fn key(&self) -> Result<PublicKey, Error> {
        PublicKey::from_spki(self.key_info)
    }

    /// Its extensions in their order, each of which may be broken; nothing follows a broken one.
    pub fn extensions(&self) -> impl Iterator<Item = Result<Extension<'a>, Error>> + use<'a> {
        extensions(self.extensions)
    }

    /// The conceptual message (RFC 9999) that it carries.
    ///
    /// # Errors
    /// `Malformed` if the extension is.
    pub fn cmw(&self) -> Result<Option<Cmw<'a>>, Error> {
        for extension in self.extensions() {
            let extension = extension?;
            if extension.name == extension::CMW {
                return Cmw::read(extension.value).map(Some);
            }
        }
        Ok(None)
    }

    /// Checks the signature. The key decides over the algorithm; the certificate may only agree.
    ///
    /// # Errors
    /// `Untrusted` if algorithm or signature are another key's.
    pub fn verify(&self, provider: &bartizan_crypto::Provider, key: &PublicKey) -> Result<(), Error> {
        if self.algorithm != algorithm_of(key) {
            return Err(Error::Untrusted("a signature of another algorithm than its key's"));
        }
        key.verify_der(provider, self.signed, self.signature)
    }

    /// The last moment of its days; those without an end (RFC 5280 section 4.1.2.5) end in the year 9999.
    #[must_use]
    pub fn valid_until(&self) -> UnixMillis {
        UnixMillis(u64::try_from(self.not_after.0).unwrap_or(0).saturating_mul(1000).saturating_add(999))
    }

    /// # Errors
    /// `Untrusted` outside its days.
    pub fn check_time(&self, now: UnixMillis) -> Result<(), Error> {
        let now = i64::try_from(now.0 / 1000).unwrap_or(i64::MAX);
        if now < self.not_before.0 {
            return Err(Error::Untrusted("a certificate that is not valid yet"));
        }
        if now > self.not_after.0 {
            return Err(Error::Untrusted("a certificate that has expired"));
        }
        Ok(())
    }
}

/// Each of them may be broken; nothing follows a broken one.
fn extensions<'a>(bytes: &'a [u8]) -> impl Iterator<Item = Result<Extension<'a>, Error>> + use<'a> {
    let mut reader = Reader::new(bytes);
    core::iter::from_fn(move || {
        if reader.is_empty() {
            return None;
        }
        let extension = Extension::read(&mut reader);
        if extension.is_err() {
            reader = Reader::new(&[]);
        }
        Some(extension)
    })
}

/// The AlgorithmIdentifier of a key's signatures (RFC 5758 section 3.2, RFC 8410 section 3).
#[must_use]
pub const fn algorithm_of(key: &PublicKey) -> &'static [u8] {
    match key {
        PublicKey::P256(_) => b"\x30\x0A\x06\x08\x2A\x86\x48\xCE\x3D\x04\x03\x02",
        PublicKey::P384(_) => b"\x30\x0A\x06\x08\x2A\x86\x48\xCE\x3D\x04\x03\x03",
        PublicKey::Ed25519(_) => b"\x30\x05\x06\x03\x2B\x65\x70",
    }
}

/// A name, which must name something: the empty one would follow every other empty one.
fn name<'a>(reader: &mut Reader<'a>) -> Result<&'a [u8], Error> {
    let name = reader.element()?;
    if name.tag != der::SEQUENCE {
        return Err(Error::Malformed("a certificate without a name"));
    }
    if name.value.is_empty() {
        return Err(Error::Misbehaved("a certificate with an empty name"));
    }
    Ok(name.whole)
}

/// Seconds since the Unix epoch, negative before it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Second(pub i64);

impl Second {
    /// UTCTime or GeneralizedTime in UTC with seconds and no fraction (RFC 5280 section 4.1.2.5). Which of the two
    /// stands for which years is not looked at: published certificates differ.
    pub(crate) fn read(reader: &mut Reader<'_>) -> Result<Self, Error> {
        const NO_TIME: Error = Error::Malformed("a time that is none");
        let element = reader.element()?;
        let digits = element.value.strip_suffix(b"Z").ok_or(NO_TIME)?;
        let (year, rest) = match (element.tag, digits.len()) {
            (der::UTC_TIME, 12) => {
                let (year, rest) = digits.split_at(2);
                let year = number(year).ok_or(NO_TIME)?;
                (year + if year < 50 { 2000 } else { 1900 }, rest)
            }
            (der::GENERALIZED_TIME, 14) => {
                let (year, rest) = digits.split_at(4);
                (number(year).ok_or(NO_TIME)?, rest)
            }
            _ => return Err(NO_TIME),
        };
        let mut parts = rest.chunks(2).map(number);
        let mut part = |range: core::ops::RangeInclusive<i64>| {
            parts.next().flatten().filter(|part| range.contains(part)).ok_or(NO_TIME)
        };
        let (month, day) = (part(1..=12)?, part(1..=31)?);
        if day > days_of(year, month) {
            return Err(NO_TIME);
        }
        let (hour, minute, second) = (part(0..=23)?, part(0..=59)?, part(0..=59)?);
        Ok(Self(days_before(year, month, day) * 86_400 + hour * 3600 + minute * 60 + second))
    }

    /// Year, month, day, hour, minute and second of the years 0 to 9999; the nearest of them otherwise.
    #[cfg(feature = "verifier")]
    pub(crate) fn parts(self) -> [u64; 6] {
        let seconds = self.0.clamp(days_before(0, 1, 1) * 86_400, days_before(9999, 12, 31) * 86_400 + 86_399);
        let (days, second) = (seconds.div_euclid(86_400), seconds.rem_euclid(86_400));
        // Too early by a year at most: the mean year has 365.2425 days.
        let mut year = (days + 719_528) * 400 / 146_097;
        year -= i64::from(days_before(year, 1, 1) > days);
        year += i64::from(year < 9999 && days_before(year + 1, 1, 1) <= days);
        let month = (2..=12).take_while(|month| days_before(year, *month, 1) <= days).count() + 1;
        let month = i64::try_from(month).unwrap_or(12);
        let day = days - days_before(year, month, 1) + 1;
        [year, month, day, second / 3600, second / 60 % 60, second % 60].map(|part| u64::try_from(part).unwrap_or(0))
    }
}

pub(crate) fn number(digits: &[u8]) -> Option<i64> {
    digits.iter().try_fold(0, |number, digit| digit.is_ascii_digit().then(|| number * 10 + i64::from(digit - b'0')))
}

const fn is_leap(year: i64) -> bool {
    year % 4 == 0 && (year % 100 != 0 || year % 400 == 0)
}

pub(crate) const fn days_of(year: i64, month: i64) -> i64 {
    match month {
        2 => 28 + is_leap(year) as i64,
        4 | 6 | 9 | 11 => 30,
        _ => 31,
    }
}

/// Days from the Unix epoch to a date of the years 0 to 9999.
pub(crate) fn days_before(year: i64, month: i64, day: i64) -> i64 {
    let earlier = year - 1;
    let years = year * 365 + earlier.div_euclid(4) - earlier.div_euclid(100) + earlier.div_euclid(400);
    let months: i64 = (1..month).map(|month| days_of(year, month)).sum();
    // The same sum for the first of January 1970.
    years + months + day - 1 - 719_527
}

#[cfg(test)]
mod tests {
    use super::*;

    fn time(tag: u8, text: &str) -> Option<i64> {
        let mut bytes = alloc::vec![tag, text.len() as u8];
        bytes.extend_from_slice(text.as_bytes());
        Second::read(&mut Reader::new(&bytes)).ok().map(|second| second.0)
    }

    /// What `date -u -d … +%s` says.
    #[test]
    fn every_day_has_its_parts() {
        for day in (-719_528..=2_932_896).step_by(97).chain(-719_528..-719_100).chain(10_000..12_000) {
            let [year, month, date, hour, minute, second] = Second(day * 86_400 + 3_725).parts();
            assert_eq!(days_before(year as i64, month as i64, date as i64), day);
            assert_eq!((hour, minute, second), (1, 2, 5));
        }
    }

    #[test]
    fn seconds_since_the_epoch() {
        assert_eq!(time(0x17, "700101000000Z"), Some(0));
        assert_eq!(time(0x17, "180322235959Z"), Some(1_521_763_199));
        assert_eq!(time(0x17, "491231235959Z"), Some(2_524_607_999));
        assert_eq!(time(0x17, "500101000000Z"), Some(-631_152_000));
        assert_eq!(time(0x18, "20240229120000Z"), Some(1_709_208_000));
        assert_eq!(time(0x18, "20000301000000Z"), Some(951_868_800));
        assert_eq!(time(0x18, "99991231235959Z"), Some(253_402_300_799));
        assert_eq!(time(0x18, "00000101000000Z"), Some(-62_167_219_200));
        for bad in ["20230229120000Z", "20241301000000Z", "20240100000000Z", "20240101240000Z", "20240101000000"] {
            assert_eq!(time(0x18, bad), None, "{bad}");
        }
        for bad in ["2401010000Z", "240101000000+", "24010100000 Z", "240101000060Z"] {
            assert_eq!(time(0x17, bad), None, "{bad}");
        }
    }
}
