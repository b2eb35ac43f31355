//! Carried evidence: an EAT signed by the leaf key of a DICE chain, with that chain or its name beside it.
//!
//! ```text
//! COSE_Sign1 = [ protected { 1: alg },
//!                unprotected { 33: X.509 chain | -70001: CBOR chain | 4: SHA-256 of either },   one of them
//!                payload: EAT claims,
//!                signature of the chain's leaf key ]
//! ```
//!
//! The unprotected header is signed by nobody, so it may hold nothing else: a chain proves itself, and its name only
//! finds one that did.

use alloc::vec::Vec;

use bartizan_crypto::Provider;
use bartizan_wire::UnixMillis;

use super::Evidence;
use crate::cbor::Strict;
use crate::cose::{Envelope, Shape};
use crate::dice::{self, Chain};
use crate::eat::{self, Claims, Nonce};
use crate::{Error, limits};

/// Header `kid` (RFC 9052 section 3.1).
pub const KID: i64 = 4;
/// Header `x5chain` (RFC 9360 section 2).
pub const X5CHAIN: i64 = 33;
/// Our private header: a chain of the Open Profile for DICE in CBOR, its UDS key first.
pub const DICE_CHAIN: i64 = -70001;

/// The chain is named, and not known here: ask the device for the whole of it.
pub const UNKNOWN_CHAIN: Error = Error::Untrusted("a DICE chain that is named and not known");

/// The name of a chain: SHA-256 over its item in the header.
pub type ChainName = [u8; 32];

/// Takes carried evidence apart, verifies its chain and under the chain's leaf key its token. `cached` finds a chain that
/// was verified before by its name; its owner forgets chains by the time that their certificates end.
///
/// # Errors
/// [`UNKNOWN_CHAIN`], and by fault; see [`Error`].
pub fn open(
    provider: &Provider,
    bytes: &[u8],
    cached: &dyn Fn(&ChainName) -> Option<Chain>,
    now: UnixMillis,
) -> Result<Evidence, Error> {
    let carried = Carried::read(bytes, now)?;
    carried.verify(provider, carried.chain(provider, cached, now)?)
}

/// Carried evidence taken apart, and not verified. For a verifier that looks at the nonce before it spends signatures
/// on whoever floods it, or keeps the chain to know it again.
#[derive(Clone, Copy, Debug)]
pub struct Carried<'a> {
    envelope: Envelope<'a>,
    chain: Carrying<'a>,
    claims: Claims<'a>,
    nonce: Nonce<'a>,
}

#[derive(Clone, Copy, Debug)]
enum Carrying<'a> {
    X509(Strict<'a>),
    Cbor(Strict<'a>),
    Name(&'a ChainName),
}

impl<'a> Carried<'a> {
    /// All that needs no signature.
    ///
    /// # Errors
    /// By fault; see [`Error`].
    pub fn read(bytes: &'a [u8], now: UnixMillis) -> Result<Self, Error> {
        if bytes.len() > limits::EVIDENCE_BYTES_MAX {
            return Err(Error::Unavailable("evidence longer than is taken"));
        }
        let envelope = Envelope::read(Shape::Sign1, Strict::new(bytes)?)?;
        let chain = Carrying::read(envelope.unprotected)?;
        let claims = Claims::read(Strict::new(envelope.payload)?)?;
        if claims.profile != Some(eat::DICE_PROFILE) {
            return Err(Error::Unsupported("an EAT profile that is not ours"));
        }
        check_time(&claims, now)?;
        let nonce = claims.nonce.ok_or(Error::Misbehaved("evidence without a nonce"))?;
        Ok(Self { envelope, chain, claims, nonce })
    }

    /// What the evidence answers, as anybody may claim.
    #[must_use]
    pub const fn nonce(&self) -> Nonce<'a> {
        self.nonce
    }

    /// What the chain will be called, or is called already.
    #[must_use]
    pub fn chain_name(&self, provider: &Provider) -> ChainName {
        match self.chain {
            Carrying::X509(item) | Carrying::Cbor(item) => (provider.sha256)(&[item.bytes()]),
            Carrying::Name(name) => *name,
        }
    }

    /// The chain as it came, for who wants to keep it: [`verify_chain`] takes it. `None` if it is only named.
    #[must_use]
    pub const fn chain_item(&self) -> Option<&'a [u8]> {
        match self.chain {
            Carrying::X509(item) | Carrying::Cbor(item) => Some(item.bytes()),
            Carrying::Name(_) => None,
        }
    }

    /// The chain, verified now or found among those that were.
    ///
    /// # Errors
    /// As [`open`].
    pub fn chain(
        &self,
        provider: &Provider,
        cached: &dyn Fn(&ChainName) -> Option<Chain>,
        now: UnixMillis,
    ) -> Result<Chain, Error> {
        match self.chain {
            Carrying::Name(name) => cached(name).ok_or(UNKNOWN_CHAIN),
            Carrying::Cbor(item) => verify_cbor(provider, item),
            Carrying::X509(item) => verify_x509(provider, item, now),
        }
    }

    /// The normal form of what the holder of the chain's leaf key signed.
    ///
    /// # Errors
    /// `Untrusted` if it is not that key's.
    pub fn verify(&self, provider: &Provider, chain: Chain) -> Result<Evidence, Error> {
        self.envelope.verify(provider, &chain.leaf, b"")?;
        Ok(Evidence {
            profile: chain.profile,
            identity: chain.identity,
            layers: chain.layers,
            nonce: self.nonce.challenge.to_vec(),
            binding: self.nonce.binding.copied(),
            boot_count: self.claims.boot_count,
            boot_seed: self.claims.boot_seed.map(<[u8]>::to_vec),
            security_version: self.claims.security_version,
            security_floor: self.claims.security_floor,
        })
    }
}

/// A chain by itself, as it stands in the header of evidence: the two forms are told apart by what they begin with.
///
/// # Errors
/// As [`open`].
pub fn verify_chain(provider: &Provider, item: &[u8], now: UnixMillis) -> Result<Chain, Error> {
    let item = Strict::new(item)?;
    let first = item.array().and_then(|mut elements| elements.next());
    match first.is_some_and(|first| first.map().is_some()) {
        true => verify_cbor(provider, item),
        false => verify_x509(provider, item, now),
    }
}

fn verify_cbor(provider: &Provider, item: Strict<'_>) -> Result<Chain, Error> {
    dice::cbor::verify(provider, item)
}

/// Nothing that comes with evidence is an anchor: without a root the chain names a device, and no more.
fn verify_x509(provider: &Provider, item: Strict<'_>, now: UnixMillis) -> Result<Chain, Error> {
    dice::x509::verify(provider, &certificates(item)?, None, now)
}

impl<'a> Carrying<'a> {
    fn read(unprotected: Strict<'a>) -> Result<Self, Error> {
        const SHAPE: Error = Error::Misbehaved("evidence whose unprotected header is not its chain alone");
        let mut headers = unprotected.map().ok_or(SHAPE)?;
        let (Some((label, value)), None) = (headers.next(), headers.next()) else { return Err(SHAPE) };
        match label.int() {
            Some(X5CHAIN) => Ok(Self::X509(value)),
            Some(DICE_CHAIN) => Ok(Self::Cbor(value)),
            Some(KID) => {
                let name = value.byte_string().and_then(|name| name.try_into().ok());
                name.map(Self::Name).ok_or(Error::Malformed("the name of a DICE chain that is not 32 bytes long"))
            }
            _ => Err(SHAPE),
        }
    }
}

/// COSE_X509 (RFC 9360 section 2): one certificate bare, several as a list with the leaf first. Comes out root-most first.
fn certificates(item: Strict<'_>) -> Result<Vec<&[u8]>, Error> {
    const SHAPE: Error = Error::Malformed("an x5chain that is no list of certificates");
    let mut certificates = Vec::new();
    certificates.try_reserve_exact(limits::CHAIN_MAX).map_err(|_| Error::Unavailable("no memory for a chain"))?;
    match item.array() {
        None => certificates.push(item.byte_string().ok_or(SHAPE)?),
        Some(list) if list.len() < 2 => return Err(SHAPE),
        Some(list) if list.len() > limits::CHAIN_MAX as u64 => {
            return Err(Error::Unavailable("more certificates than are taken"));
        }
        Some(list) => {
            for certificate in list {
                certificates.push(certificate.byte_string().ok_or(SHAPE)?);
            }
        }
    }
    certificates.reverse();
    Ok(certificates)
}

/// Tokens of devices with a clock may end (RFC 8392 section 3.1.4); what such a device says is kept.
fn check_time(claims: &Claims<'_>, now: UnixMillis) -> Result<(), Error> {
    let now_s = now.0 / 1000;
    if claims.expires_s.is_some_and(|end_s| now_s >= end_s) {
        return Err(Error::Untrusted("evidence that has expired"));
    }
    if claims.not_before_s.is_some_and(|start_s| now_s < start_s) {
        return Err(Error::Untrusted("evidence from the future"));
    }
    Ok(())
}
