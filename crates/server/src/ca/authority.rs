//! The issuing authority of a tenant, and what it issues to devices.

use bartizan_crypto::AWS_LC;
use bartizan_trust::PublicKey;
use bartizan_trust::x509::{self, Certificate, Second, device};
use bartizan_wire::{DeviceKey, UnixMillis};

use super::write::{self, Content};
use super::{Error, Key};

/// Characters of a common name at most (RFC 5280 appendix A.1, ub-common-name).
const COMMON_NAME_CHARS_MAX: usize = 64;

/// The number of a certificate among its authority's: 16 bytes, positive, not to be guessed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Serial(pub [u8; 16]);

impl Serial {
    /// From 16 random bytes, of which 126 bits stay.
    #[must_use]
    pub const fn new(mut random: [u8; 16]) -> Self {
        // The sign bit is clear and the next is set, so that it always has 16 bytes.
        random[0] = random[0] & 0x3F | 0x40;
        Self(random)
    }

    /// As it stands in a certificate; `None` if it is not one of ours.
    #[must_use]
    pub fn read(value: &[u8]) -> Option<Self> {
        value.try_into().ok().map(Self).filter(|serial| serial.0[0] & 0xC0 == 0x40)
    }

    /// 32 hexadecimal digits of either case.
    #[must_use]
    pub fn from_hex(text: &str) -> Option<Self> {
        let plain = text.len() == 32 && text.bytes().all(|byte| byte.is_ascii_hexdigit());
        let number = u128::from_str_radix(text, 16).ok().filter(|_| plain)?;
        Self::read(&number.to_be_bytes())
    }
}

impl std::fmt::Display for Serial {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{:032x}", u128::from_be_bytes(self.0))
    }
}

/// From when to when, both included.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Validity {
    pub not_before: UnixMillis,
    pub not_after: UnixMillis,
}

impl Validity {
    /// The days of a certificate.
    pub(super) fn of(certificate: &Certificate<'_>) -> Self {
        Self { not_before: millis(certificate.not_before), not_after: millis(certificate.not_after) }
    }

    pub(super) fn from(self) -> Second {
        second(self.not_before)
    }

    pub(super) fn to(self) -> Second {
        second(self.not_after)
    }
}

fn second(at: UnixMillis) -> Second {
    Second(i64::try_from(at.0 / 1000).unwrap_or(i64::MAX))
}

fn millis(at: Second) -> UnixMillis {
    UnixMillis(u64::try_from(at.0).unwrap_or(0).saturating_mul(1000))
}

/// A request for a certificate whose maker was shown to have the private key.
#[derive(Clone, Debug)]
pub struct Csr<'a>(x509::Request<'a>);

impl<'a> Csr<'a> {
    /// Reads a PKCS#10 request in DER and verifies its signature.
    ///
    /// # Errors
    /// `Refused` if it is broken, of another kind of key than P-256 or Ed25519, or not signed with its own key.
    pub fn open(der: &'a [u8]) -> Result<Self, Error> {
        let request = x509::Request::open(&AWS_LC, der)?;
        if let PublicKey::P384(_) = request.key {
            return Err(bartizan_trust::Error::Unsupported("a key that is neither on P-256 nor of Ed25519").into());
        }
        Ok(Self(request))
    }

    /// The encoded name that was asked for. What is issued holds the device's own.
    #[must_use]
    pub const fn subject(&self) -> &'a [u8] {
        self.0.subject
    }

    /// SubjectPublicKeyInfo in DER.
    #[must_use]
    pub const fn key_info(&self) -> &'a [u8] {
        self.0.key_info
    }

    /// Whether it asks for exactly what stands in `certificate` (RFC 7030 section 4.2.2).
    ///
    /// # Errors
    /// `Refused` if either cannot be read.
    pub fn renews(&self, certificate: &[u8]) -> Result<bool, Error> {
        let certificate = Certificate::read(certificate)?;
        Ok(self.0.renews(&certificate)?)
    }
}

/// Whose certificate it will be.
#[derive(Clone, Copy, Debug)]
pub struct Subject<'a> {
    pub device: DeviceKey,
    pub name: &'a str,
}

impl Subject<'_> {
    /// `urn:bartizan:device:TENANT:DEVICE`
    #[must_use]
    pub fn uri(&self) -> String {
        format!("{}{}:{}", device::URI_PREFIX, self.device.tenant.0, self.device.device.0)
    }

    fn encoded(&self) -> Vec<u8> {
        let name: String = self.name.chars().take(COMMON_NAME_CHARS_MAX).collect();
        write::name(&[(write::COMMON_NAME, &name)])
    }
}

/// An authority that signs: its certificate and its key.
#[derive(Clone, Debug)]
pub struct Authority {
    certificate: Vec<u8>,
    pub(super) key: Key,
    /// Encoded; goes into what it issues byte for byte.
    pub(super) name: Vec<u8>,
    pub(super) key_id: Vec<u8>,
    validity: Validity,
    path_length: Option<u64>,
    /// Where its revocation list, OCSP and certificate are found: `URL/crl.der`, `URL/ocsp`, `URL/ca.der`.
    places: Option<String>,
}

impl Authority {
    /// # Errors
    /// `Refused` if the certificate is none of an authority, `OtherKey` if the key is another's.
    pub fn new(certificate: Vec<u8>, key: Key) -> Result<Self, Error> {
        let read = device::Authority::read(&certificate)?;
        if read.certificate.key_info != key.info() {
            return Err(Error::OtherKey);
        }
        let (name, key_id) = (read.certificate.subject.to_vec(), read.key_id.to_vec());
        let (validity, path_length) = (Validity::of(&read.certificate), read.path_length);
        Ok(Self { certificate, key, name, key_id, validity, path_length, places: None })
    }

    /// Names the places where its revocation list, OCSP and certificate are, for all that it issues from now on.
    #[must_use]
    pub fn with_places(mut self, url: Option<String>) -> Self {
        self.places = url;
        self
    }

    /// DER.
    #[must_use]
    pub fn certificate(&self) -> &[u8] {
        &self.certificate
    }

    #[must_use]
    pub const fn validity(&self) -> Validity {
        self.validity
    }

    pub(super) const fn path_length(&self) -> Option<u64> {
        self.path_length
    }

    #[must_use]
    pub const fn is_valid(&self, at: UnixMillis) -> bool {
        self.validity.not_before.0 <= at.0 && at.0 <= self.validity.not_after.0
    }

    /// Issues a device's certificate in DER: for the key of the request, and otherwise ours to say. It ends with the
    /// authority if it would outlive it.
    ///
    /// # Errors
    /// `NotValid` if the authority is not valid at its beginning.
    pub fn issue(
        &self,
        csr: &Csr<'_>,
        subject: &Subject<'_>,
        serial: &Serial,
        validity: Validity,
    ) -> Result<Vec<u8>, Error> {
        let not_before = validity.not_before.max(self.validity.not_before);
        let not_after = validity.not_after.min(self.validity.not_after);
        if not_before > not_after {
            return Err(Error::NotValid);
        }
        let mut extensions = vec![
            write::end_constraints(),
            write::key_usage(write::DIGITAL_SIGNATURE),
            write::purpose(write::CLIENT_AUTH),
            write::uri_name(&subject.uri()),
            write::subject_key(&write::key_id(csr.key_info())),
            write::authority_key(&self.key_id),
        ];
        if let Some(url) = &self.places {
            extensions.push(write::distribution_point(&format!("{url}/crl.der")));
            extensions.push(write::info_access(&format!("{url}/ocsp"), &format!("{url}/ca.der")));
        }
        let content = Content {
            serial,
            issuer: &self.name,
            subject: &subject.encoded(),
            validity: Validity { not_before, not_after },
            key_info: csr.key_info(),
            extensions,
        };
        write::certificate(&content, &self.key)
    }
}
