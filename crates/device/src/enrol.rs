//! Joining: a device that nobody has touched finds out whom it belongs to, and gets its operational certificate.
//!
//! ```text
//!  first contact ─ GET voucher ─▶ Owner::accept ─▶ PinnedDomain     (believes nobody yet: asks for the voucher, no more)
//!  second contact, which must be PinnedDomain ─ starts, request ─▶ certificate
//!  from then on: the certificate's credential, and PinnedDomain for the gateway
//! ```
//!
//! The device shows its DICE chain ([`Attester::credential`](crate::attest::Attester::credential)) or the certificate of
//! its manufacturer until it has its own. A device that was given its voucher at the factory begins with the second
//! contact. One whose answer is 5.03 asks again after Max-Age: the [`Client`](crate::Client) does so by itself.

use alloc::sync::Arc;
use alloc::vec::Vec;

use bartizan_crypto::Provider;
use bartizan_dtls::{AlertDescription, CertificateType, Credential, PeerVerifier, SignatureScheme, VerifiedPeer};
use bartizan_trust::der::{self, Reader};
use bartizan_trust::voucher::Voucher;
use bartizan_trust::x509::Certificate;
use bartizan_trust::x509::path::{self, Anchor, Purpose};
use bartizan_trust::{Error, PublicKey, limits};
use bartizan_wire::UnixMillis;
use bartizan_wire::coap::{Code, content_format};
use minicbor::encode::write::Cursor;

use crate::bounded::copy;
use crate::dice::KeyPair;
use crate::event::Request;

const VOUCHER_PATH: &str = "/.well-known/bartizan/onboarding";
const NO_MEMORY: Error = Error::Unavailable("no memory");
/// application/pkcs7-mime; smime-type=certs-only, application/pkcs10 and application/pkix-cert (RFC 9148 section 8.1).
const CERTS_ONLY: u16 = 281;
const PKCS10: u16 = 286;
const PKIX_CERT: u16 = 287;

/// Asks for the manufacturer's voucher.
#[must_use]
pub fn voucher_request() -> Request {
    Request::get(VOUCHER_PATH)
}

/// Says how often the device was started and what its last start drew, so that a second device with its secret is told
/// from it. `boot_count` is `None` on boards without a counter; `boot_seed` is
/// [`Attester::boot_seed`](crate::attest::Attester::boot_seed).
#[must_use]
pub fn starts(boot_count: Option<u64>, boot_seed: &[u8; 16]) -> Request {
    let mut body = [0; 32]; // an array, the longest count, and the seed with its head: 27 bytes
    let mut to = minicbor::Encoder::new(Cursor::new(&mut body[..]));
    let put = |to: &mut minicbor::Encoder<Cursor<&mut [u8]>>| {
        match boot_count {
            Some(count) => to.array(2)?.u64(count)?,
            None => to.array(2)?.null()?,
        };
        to.bytes(boot_seed).map(drop)
    };
    let length = put(&mut to).map_or(0, |()| to.writer().position());
    Request::post(VOUCHER_PATH, content_format::CBOR, body.get(..length).unwrap_or_default())
}

/// Asks for the owner's authorities.
#[must_use]
pub fn authorities_request() -> Request {
    Request::get("/.well-known/est/crts")
}

/// Asks for the first certificate. `csr` is what
/// [`certification_request`](crate::dice::certification_request) made.
#[must_use]
pub fn enrolment(csr: &[u8]) -> Request {
    Request::post("/.well-known/est/sen", PKCS10, csr)
}

/// Asks for the next certificate, in an association of the one before.
#[must_use]
pub fn renewal(csr: &[u8]) -> Request {
    Request::post("/.well-known/est/sren", PKCS10, csr)
}

/// The certificate that an answer brings: keep it. It must be one over `key`.
///
/// # Errors
/// `Misbehaved` if the answer is none or is about another key, `Malformed` if it cannot be read.
pub fn certificate(code: Code, format: Option<u16>, payload: &[u8], key: &PublicKey) -> Result<Vec<u8>, Error> {
    if !code.is_success() {
        return Err(Error::Misbehaved("an answer without a certificate"));
    }
    let der = match format {
        Some(PKIX_CERT) => payload,
        Some(CERTS_ONLY) => first_of(payload)?,
        _ => return Err(Error::Misbehaved("an answer of another format than a certificate's")),
    };
    if Certificate::read(der)?.key()? != *key {
        return Err(Error::Misbehaved("a certificate for another key"));
    }
    copy(der).ok_or(NO_MEMORY)
}

/// The first certificate of a PKCS#7 without signers (RFC 5652 section 5.1).
fn first_of(pkcs7: &[u8]) -> Result<&[u8], Error> {
    const EXPLICIT: u8 = 0xA0;
    let mut outer = Reader::new(Reader::only(pkcs7, der::SEQUENCE)?);
    outer.take(der::OBJECT)?;
    let mut signed = Reader::new(Reader::only(outer.take(EXPLICIT)?, der::SEQUENCE)?);
    signed.take(der::INTEGER)?;
    signed.take(der::SET)?;
    signed.take(der::SEQUENCE)?;
    Ok(Reader::new(signed.take(EXPLICIT)?).element()?.whole)
}

/// What a device shows once it has joined.
///
/// # Errors
/// `Misuse` if the certificate does not fit the limits of DTLS.
pub fn credential(certificate: Vec<u8>, key: &KeyPair) -> Result<Credential, Error> {
    let signer = Arc::new(key.dtls_key());
    Credential::x509(alloc::vec![certificate], signer).map_err(|_| Error::Misuse("a certificate that is too long"))
}

/// What the device knows of its owner before it has met: what its manufacturer gave it.
#[derive(Clone, Copy, Debug)]
pub struct Owner<'a> {
    /// The manufacturer's key, under which vouchers are signed.
    pub manufacturer: &'a PublicKey,
    /// The device's own serial number; for DICE devices their identity in hex, in lower case.
    pub serial_number: &'a str,
    /// What a voucher must answer, if the device has asked for one.
    pub nonce: Option<&'a [u8]>,
    /// The time, if the device has a clock. Without one only a voucher with its nonce is believed.
    pub now: Option<UnixMillis>,
}

impl Owner<'_> {
    /// Believes the voucher, or not; who is believed then.
    ///
    /// # Errors
    /// `Untrusted` if another key signed it, it is for another device, it has expired, or nobody can say whether it has.
    pub fn accept(&self, provider: &'static Provider, voucher: &[u8]) -> Result<PinnedDomain, Error> {
        let mut room = Vec::new();
        room.try_reserve_exact(limits::VOUCHER_BYTES_MAX).map_err(|_| NO_MEMORY)?;
        room.resize(limits::VOUCHER_BYTES_MAX, 0);
        let voucher = Voucher::open(provider, voucher, self.manufacturer, &mut room)?;
        if voucher.serial_number != self.serial_number {
            return Err(Error::Untrusted("a voucher for another device"));
        }
        match (voucher.nonce, self.nonce) {
            (Some(given), Some(own)) if bartizan_crypto::constant_time_eq(given, own) => {}
            (Some(_), _) => return Err(Error::Untrusted("a voucher that answers another nonce")),
            (None, _) => {
                let now = self.now.ok_or(Error::Untrusted("a voucher that ends, and no clock to tell when"))?;
                voucher.check_time(now)?;
            }
        }
        PinnedDomain::new(provider, voucher.pinned_domain_cert, self.now)
    }
}

/// Believes the owner's certificate, or what hangs on it, and nothing else. Keep [`Self::certificate`]: the gateway is
/// known by it from now on.
pub struct PinnedDomain {
    provider: &'static Provider,
    certificate: Vec<u8>,
    now: Option<UnixMillis>,
}

impl PinnedDomain {
    /// # Errors
    /// `Malformed` if it is no certificate, otherwise by fault.
    pub fn new(provider: &'static Provider, certificate: &[u8], now: Option<UnixMillis>) -> Result<Self, Error> {
        Certificate::read(certificate)?.key()?;
        Ok(Self { provider, certificate: copy(certificate).ok_or(NO_MEMORY)?, now })
    }

    /// In DER.
    #[must_use]
    pub fn certificate(&self) -> &[u8] {
        &self.certificate
    }

    fn believe(&self, chain: &[&[u8]]) -> Result<PublicKey, Error> {
        let leaf = chain.first().ok_or(Error::Malformed("a chain without certificates"))?;
        if *leaf == self.certificate.as_slice() {
            let own = Certificate::read(leaf)?;
            self.now.map_or(Ok(()), |now| own.check_time(now))?;
            return own.key();
        }
        let anchor = Anchor::of_certificate(&self.certificate)?;
        path::verify(self.provider, chain, &anchor, Purpose::Authenticate, self.now).map(|leaf| leaf.key)
    }
}

impl PeerVerifier for PinnedDomain {
    fn verify(&self, kind: CertificateType, chain: &[&[u8]]) -> Result<VerifiedPeer, AlertDescription> {
        if kind != CertificateType::X509 {
            return Err(AlertDescription::UNSUPPORTED_CERTIFICATE);
        }
        let key = self.believe(chain).map_err(|_| AlertDescription::UNKNOWN_CA)?;
        peer(&key).ok_or(AlertDescription::UNSUPPORTED_CERTIFICATE)
    }

    fn kinds(&self) -> &[CertificateType] {
        &[CertificateType::X509]
    }
}

/// For the first contact alone: takes anybody's certificate, for nobody is known yet. Ask for the voucher over it and for
/// nothing else, and believe nothing but a voucher that [`Owner::accept`] takes.
pub struct FirstContact;

impl PeerVerifier for FirstContact {
    fn verify(&self, _: CertificateType, chain: &[&[u8]]) -> Result<VerifiedPeer, AlertDescription> {
        let leaf = chain.first().ok_or(AlertDescription::BAD_CERTIFICATE)?;
        let key = Certificate::read(leaf).and_then(|leaf| leaf.key()).map_err(|_| AlertDescription::BAD_CERTIFICATE)?;
        peer(&key).ok_or(AlertDescription::UNSUPPORTED_CERTIFICATE)
    }

    fn kinds(&self) -> &[CertificateType] {
        &[CertificateType::X509]
    }
}

/// There is one owner: its number says nothing.
fn peer(key: &PublicKey) -> Option<VerifiedPeer> {
    let (scheme, bytes): (_, &[u8]) = match key {
        PublicKey::P256(point) => (SignatureScheme::EcdsaSecp256r1Sha256, point),
        PublicKey::Ed25519(bytes) => (SignatureScheme::Ed25519, bytes),
        PublicKey::P384(_) => return None,
    };
    let key = bartizan_dtls::PublicKey { scheme, bytes: bartizan_crypto::PublicShare::new(bytes) };
    Some(VerifiedPeer { principal: 0, key })
}
