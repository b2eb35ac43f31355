//! The Open Profile for DICE 2.5 in its CBOR form: every certificate an untagged COSE_Sign1 over a CWT (RFC 8392).

use alloc::vec::Vec;

use bartizan_crypto::Provider;

use super::open::{self, Inputs, Name};
use super::{Chain, distinct};
use crate::cbor::Strict;
use crate::cose::{Envelope, Shape};
use crate::evidence::{Mode, Profile};
use crate::{Error, PublicKey, limits};

const ISSUER: i64 = 1;
const SUBJECT: i64 = 2;
/// Rules that nobody here can keep: the profile's devices have no clock, and write none of these.
const AUDIENCE: i64 = 3;
const EXPIRES: i64 = 4;
const BEGINS: i64 = 5;
/// From here down to the mode are the claims that only layers have.
const CODE_HASH: i64 = -4_670_545;
const CODE_DESCRIPTOR: i64 = -4_670_546;
const CONFIG_HASH: i64 = -4_670_547;
const CONFIG_DESCRIPTOR: i64 = -4_670_548;
const AUTHORITY_HASH: i64 = -4_670_549;
const AUTHORITY_DESCRIPTOR: i64 = -4_670_550;
const MODE: i64 = -4_670_551;
const SUBJECT_PUBLIC_KEY: i64 = -4_670_552;
const KEY_USAGE: i64 = -4_670_553;
const PROFILE_NAME: i64 = -4_670_554;
/// keyCertSign, bit 5 from the lowest.
const CERTIFICATE_SIGNING: u8 = 1 << 5;

/// Verifies `[COSE_Key of the UDS key, certificate, …, certificate of the leaf]`. The key may stand in a certificate
/// that it has signed itself, which adds nothing to it. Costs one signature for each certificate, after all else.
///
/// # Errors
/// `Misbehaved` if a certificate is missing, out of order, not one of a layer, or for another use; `Untrusted` if a
/// signature is another key's; otherwise by fault.
pub fn verify(provider: &Provider, chain: Strict<'_>) -> Result<Chain, Error> {
    const NO_CHAIN: Error = Error::Malformed("no chain of a key and certificates");
    if chain.bytes().len() > limits::EVIDENCE_BYTES_MAX {
        return Err(Error::Unavailable("a chain that is longer than is taken"));
    }
    let mut items = chain.array().ok_or(NO_CHAIN)?;
    if items.len() > limits::CHAIN_MAX as u64 + 1 {
        return Err(Error::Unavailable("more certificates than are taken"));
    }
    let root = Root::read(items.next().ok_or(NO_CHAIN)?)?;
    let certificates = items.map(Certificate::read).collect::<Result<Vec<_>, _>>()?;
    let leaf = certificates.last().ok_or(Error::Misbehaved("a chain without a layer"))?.key;
    check_names(provider, &root, &certificates)?;
    distinct(core::iter::once(&root.key).chain(certificates.iter().map(|certificate| &certificate.key)))?;
    let mut name = Name::Open;
    let mut layers = Vec::with_capacity(certificates.len());
    for certificate in &certificates {
        let inputs = certificate.inputs.ok_or(Error::Misbehaved("a certificate that is not one of a layer"))?;
        name.follow(inputs.name)?;
        layers.push(inputs.layer(provider)?);
    }

    let mut signer = root.key;
    for certificate in root.certificate.iter().chain(&certificates) {
        certificate.envelope.verify(provider, &signer, b"")?;
        signer = certificate.key;
    }
    Ok(Chain {
        profile: Profile::OpenDiceCbor,
        identity: root.key.thumbprint(provider),
        layers,
        leaf,
        valid_until: None,
    })
}

/// What a chain begins with.
struct Root<'a> {
    key: PublicKey,
    certificate: Option<Certificate<'a>>,
}

impl<'a> Root<'a> {
    fn read(item: Strict<'a>) -> Result<Self, Error> {
        if item.map().is_some() {
            return Ok(Self { key: PublicKey::from_cose_key(item)?, certificate: None });
        }
        let certificate = Certificate::read(item)?;
        if certificate.issuer != certificate.subject || certificate.inputs.is_some() {
            return Err(Error::Misbehaved("a chain that begins with another certificate than its root's"));
        }
        Ok(Self { key: certificate.key, certificate: Some(certificate) })
    }
}

/// Names are made from keys, so each certificate can only follow the one before it.
fn check_names(provider: &Provider, root: &Root<'_>, certificates: &[Certificate<'_>]) -> Result<(), Error> {
    let mut issuer = open::key_id(provider, &root.key);
    if root.certificate.as_ref().is_some_and(|certificate| certificate.subject.as_bytes() != issuer) {
        return Err(Error::Misbehaved("a subject that is not named by its key"));
    }
    for certificate in certificates {
        if certificate.issuer.as_bytes() != issuer {
            return Err(Error::Misbehaved("an issuer that is not the subject before it"));
        }
        issuer = open::key_id(provider, &certificate.key);
        if certificate.subject.as_bytes() != issuer {
            return Err(Error::Misbehaved("a subject that is not named by its key"));
        }
    }
    Ok(())
}

/// One certificate taken apart, and not verified.
struct Certificate<'a> {
    envelope: Envelope<'a>,
    issuer: &'a str,
    subject: &'a str,
    key: PublicKey,
    /// Of a layer; the root has none.
    inputs: Option<Inputs<'a>>,
}

impl<'a> Certificate<'a> {
    fn read(item: Strict<'a>) -> Result<Self, Error> {
        if item.array().is_none() {
            return Err(Error::Malformed("a certificate that is no untagged COSE_Sign1"));
        }
        let envelope = Envelope::read(Shape::Sign1, item)?;
        if envelope.unprotected.bytes() != [0xA0] {
            return Err(Error::Misbehaved("a certificate with headers that nobody signed"));
        }
        let claims = Claims::read(Strict::new(envelope.payload)?)?;
        check_usage(claims.usage.ok_or(SHAPE)?)?;
        Ok(Self {
            envelope,
            issuer: claims.issuer.ok_or(SHAPE)?,
            subject: claims.subject.ok_or(SHAPE)?,
            key: PublicKey::from_cose_key(Strict::new(claims.key.ok_or(SHAPE)?)?)?,
            inputs: claims.inputs()?,
        })
    }
}

const SHAPE: Error = Error::Malformed("a certificate with a claim missing or of another type");

/// The claims that are known, each of its type. Others say nothing here (RFC 8392 section 3).
#[derive(Default)]
struct Claims<'a> {
    issuer: Option<&'a str>,
    subject: Option<&'a str>,
    code: Option<&'a [u8]>,
    config_hash: Option<&'a [u8]>,
    config: Option<&'a [u8]>,
    authority: Option<&'a [u8]>,
    mode: Option<Strict<'a>>,
    key: Option<&'a [u8]>,
    usage: Option<&'a [u8]>,
    profile: Option<&'a str>,
    /// Whether any is there that only layers have.
    measures: bool,
}

impl<'a> Claims<'a> {
    fn read(item: Strict<'a>) -> Result<Self, Error> {
        let mut claims = Self::default();
        for (label, value) in item.map().ok_or(SHAPE)? {
            let Some(label) = label.int() else { continue };
            let bytes = || value.byte_string().ok_or(SHAPE).map(Some);
            let text = || value.text().ok_or(SHAPE).map(Some);
            match label {
                ISSUER => claims.issuer = text()?,
                SUBJECT => claims.subject = text()?,
                AUDIENCE | EXPIRES | BEGINS => {
                    return Err(Error::Unsupported("a CBOR certificate with times or an audience"));
                }
                CODE_HASH => claims.code = bytes()?,
                CONFIG_HASH => claims.config_hash = bytes()?,
                CONFIG_DESCRIPTOR => claims.config = bytes()?,
                AUTHORITY_HASH => claims.authority = bytes()?,
                // They say more about what was hashed, which is its maker's business.
                CODE_DESCRIPTOR | AUTHORITY_DESCRIPTOR => drop(bytes()?),
                MODE => claims.mode = Some(value),
                SUBJECT_PUBLIC_KEY => claims.key = bytes()?,
                KEY_USAGE => claims.usage = bytes()?,
                PROFILE_NAME => claims.profile = text()?,
                _ => {}
            }
            claims.measures |= (MODE..=CODE_HASH).contains(&label);
        }
        Ok(claims)
    }

    /// Those of a layer; the root has none.
    fn inputs(&self) -> Result<Option<Inputs<'a>>, Error> {
        let name = Name::read(self.profile)?;
        if !self.measures {
            return Ok(None);
        }
        Ok(Some(Inputs {
            name,
            code: self.code.ok_or(SHAPE)?,
            config: self.config.ok_or(SHAPE)?,
            config_hash: self.config_hash,
            authority: self.authority.ok_or(SHAPE)?,
            mode: mode(self.mode.ok_or(SHAPE)?, name).ok_or(SHAPE)?,
        }))
    }
}

/// Every key of the profile signs certificates and may do nothing else. A second byte may follow (bits 8 to 15).
const fn check_usage(usage: &[u8]) -> Result<(), Error> {
    match usage {
        [CERTIFICATE_SIGNING] | [CERTIFICATE_SIGNING, 0] => Ok(()),
        _ => Err(Error::Misbehaved("a key for another use than to certify")),
    }
}

/// One byte; in the first version of the Android profile, which need not be named, also a number.
fn mode(claim: Strict<'_>, name: Name) -> Option<Mode> {
    match claim.byte_string() {
        Some([mode]) => Some(open::mode(u64::from(*mode))),
        Some(_) => None,
        None if name <= Name::Android(14) => claim.uint().map(open::mode),
        None => None,
    }
}
