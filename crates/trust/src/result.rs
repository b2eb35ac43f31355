//! The attestation result: an EAR (draft-ietf-rats-ear-04) with the tiers and the vector of AR4SI, as JWT or CWT.
//!
//! What is written here is read by relying parties; what other verifiers wrote is read under a configured key. A result
//! is as good as its worst part: a status cannot speak better than its vector.

pub(crate) mod base64;
mod cbor_form;
pub(crate) mod json;
mod json_form;

use alloc::string::{String, ToString};
use alloc::vec::Vec;

use bartizan_crypto::{Provider, Random};
use bartizan_wire::{Attestation, UnixMillis};
use minicbor::Encoder;

use crate::appraisal::{Vector, Verdict};
use crate::cbor::Strict;
use crate::cose::{self, EDDSA, ES256, Envelope, Shape, SigningKey};
use crate::{Error, Identity, PublicKey, limits};

pub use base64::{decode as from_base64url, encode as to_base64url};

/// The profile of results written here.
pub const PROFILE: &str = "tag:ietf.org,2026:rats/ear#04";
/// Profiles that others still write; the newest writes its names with `_`, the oldest with `.`.
const OLDER: [&str; 2] = ["tag:ietf.org,2026:rats/ear#03", "tag:github.com,2023:veraison/ear"];
/// How far another verifier's clock may be ahead.
const SKEW_S: u64 = 60;
const SHAPE: Error = Error::Malformed("no attestation result");

/// An attestation result.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Ear {
    /// Seconds after 1970.
    pub issued: u64,
    /// When nobody shall rely on it any more, in seconds after 1970.
    pub expires: Option<u64>,
    pub verifier: VerifierId,
    /// The relying party's or the verifier's challenge.
    pub nonce: Option<Vec<u8>>,
    /// At least one, each under its attester's name.
    pub appraisals: Vec<(String, Appraisal)>,
}

/// Who made a result, and with what.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct VerifierId {
    pub developer: String,
    pub build: String,
}

/// What is said of one attester.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Appraisal {
    pub status: Attestation,
    pub vector: Vector,
    pub policies: Vec<String>,
    /// Who it is, as a UEID of type 1 (RFC 9711 section 4.2.1).
    pub identity: Option<Identity>,
    /// What speaks against it, in sentences.
    pub reasons: Vec<String>,
}

impl Appraisal {
    #[must_use]
    pub fn of(verdict: &Verdict, identity: Identity, policy: &str) -> Self {
        Self {
            status: verdict.tier,
            vector: verdict.vector,
            policies: Vec::from([policy.to_string()]),
            identity: Some(identity),
            reasons: verdict.reasons.iter().map(ToString::to_string).collect(),
        }
    }

    /// The worse of status and vector. A vector that says nothing takes nothing away.
    #[must_use]
    pub fn tier(&self) -> Attestation {
        match self.vector.tier() {
            Attestation::None => self.status,
            vector => worse(self.status, vector),
        }
    }
}

impl Ear {
    /// The worst of all attesters; one that nothing is said of is no affirmed one.
    #[must_use]
    pub fn tier(&self) -> Attestation {
        self.appraisals.iter().map(|(_, appraisal)| appraisal.tier()).reduce(worse).unwrap_or(Attestation::None)
    }

    /// As a JWT (RFC 7519).
    ///
    /// # Errors
    /// `Misuse` if the key is none.
    pub fn to_jwt(&self, provider: &Provider, key: &SigningKey<'_>, random: &mut dyn Random) -> Result<String, Error> {
        let header = match key {
            SigningKey::P256(_) => r#"{"alg":"ES256","typ":"JWT"}"#,
            SigningKey::Ed25519(_) => r#"{"alg":"EdDSA","typ":"JWT"}"#,
        };
        let mut token = to_base64url(header.as_bytes());
        token.push('.');
        token.push_str(&to_base64url(json_form::write(self).as_bytes()));
        let signature = key.sign(provider, random, token.as_bytes())?;
        token.push('.');
        token.push_str(&to_base64url(&signature));
        Ok(token)
    }

    /// Reads a JWT that a verifier with this key signed. Whether it is about this device and answers this challenge is
    /// for the caller to compare: [`Appraisal::identity`] and `nonce`.
    ///
    /// # Errors
    /// `Untrusted` if it is signed by another key, over, or from the future; `Malformed` or `Unsupported` if it is no
    /// result that is understood.
    pub fn from_jwt(provider: &Provider, token: &str, key: &PublicKey, now: UnixMillis) -> Result<Self, Error> {
        within(token.len())?;
        let (signed, signature) = token.rsplit_once('.').ok_or(SHAPE)?;
        let (header, payload) = signed.split_once('.').ok_or(SHAPE)?;
        let header = json::read(&from_base64url(header).ok_or(SHAPE)?)?;
        let algorithm = match header.under("alg").and_then(json::Value::text) {
            Some("ES256") => ES256,
            Some("EdDSA" | "Ed25519") => EDDSA,
            _ => return Err(Error::Unsupported("a JWT without an algorithm that is ours")),
        };
        if header.under("crit").is_some() || header.under("b64").is_some() {
            return Err(Error::Unsupported("critical JWT headers"));
        }
        if algorithm != cose::algorithm_of(key) {
            return Err(Error::Untrusted("a signature of another algorithm than its key's"));
        }
        key.verify(provider, signed.as_bytes(), &from_base64url(signature).ok_or(SHAPE)?)?;
        json_form::read(&json::read(&from_base64url(payload).ok_or(SHAPE)?)?)?.at(now)
    }

    /// As a CWT (RFC 8392) in a tagged COSE_Sign1.
    ///
    /// # Errors
    /// `Misuse` if the key is none.
    pub fn to_cwt(&self, provider: &Provider, key: &SigningKey<'_>, random: &mut dyn Random) -> Result<Vec<u8>, Error> {
        let protected: &[u8] = match key {
            SigningKey::P256(_) => b"\xA1\x01\x26",
            SigningKey::Ed25519(_) => b"\xA1\x01\x27",
        };
        let payload = cbor_form::write(self);
        let full = |_| Error::Unavailable("no memory for a result");
        let (mut signed, mut out) = (Vec::new(), Vec::new());
        cose::put_signed(&mut Encoder::new(&mut signed), Shape::Sign1, protected, b"", &payload).map_err(full)?;
        let signature = key.sign(provider, random, &signed)?;
        let mut to = Encoder::new(&mut out);
        to.tag(minicbor::data::Tag::new(18)).and_then(|to| to.array(4)).map_err(full)?;
        to.bytes(protected).and_then(|to| to.map(0)).map_err(full)?;
        to.bytes(&payload).and_then(|to| to.bytes(&signature)).map_err(full)?;
        Ok(out)
    }

    /// Reads a CWT that a verifier with this key signed; see [`Self::from_jwt`].
    ///
    /// # Errors
    /// As [`Self::from_jwt`].
    pub fn from_cwt(provider: &Provider, bytes: &[u8], key: &PublicKey, now: UnixMillis) -> Result<Self, Error> {
        within(bytes.len())?;
        let item = Strict::new(bytes)?;
        let envelope = Envelope::read(Shape::Sign1, item.untagged(61).unwrap_or(item))?;
        envelope.verify(provider, key, b"")?;
        cbor_form::read(Strict::new(envelope.payload)?)?.at(now)
    }

    /// Only what holds now.
    fn at(self, now: UnixMillis) -> Result<Self, Error> {
        let now = now.0 / 1000;
        if self.issued > now.saturating_add(SKEW_S) {
            return Err(Error::Untrusted("an attestation result from the future"));
        }
        if self.expires.is_some_and(|end| end <= now) {
            return Err(Error::Untrusted("an attestation result that is over"));
        }
        Ok(self)
    }
}

fn within(length: usize) -> Result<(), Error> {
    match length <= limits::RESULT_BYTES_MAX {
        true => Ok(()),
        false => Err(Error::Unavailable("an attestation result that is longer than is taken")),
    }
}

fn worse(one: Attestation, two: Attestation) -> Attestation {
    let rank = |tier| match tier {
        Attestation::Affirming => 0,
        Attestation::None => 1,
        Attestation::Warning => 2,
        Attestation::Contraindicated => 3,
    };
    if rank(one) >= rank(two) { one } else { two }
}

fn tier_named(name: &str) -> Option<Attestation> {
    Attestation::from_name(name)
}

/// A tier by the number that AR4SI gives it.
fn tier_numbered(number: i64) -> Option<Attestation> {
    match number {
        0 => Some(Attestation::None),
        2 => Some(Attestation::Affirming),
        32 => Some(Attestation::Warning),
        96 => Some(Attestation::Contraindicated),
        _ => None,
    }
}

/// The identity as a UEID, and back.
fn to_ueid(identity: Identity) -> [u8; 33] {
    let mut out = [1; 33];
    for (to, from) in out.iter_mut().skip(1).zip(identity.0) {
        *to = from;
    }
    out
}

fn from_ueid(ueid: &[u8]) -> Option<Identity> {
    ueid.strip_prefix(&[1])?.try_into().ok().map(Identity)
}

fn profile(name: &str) -> Result<bool, Error> {
    match name == PROFILE || OLDER.contains(&name) {
        true => Ok(name.starts_with("tag:ietf.org")),
        false => Err(Error::Unsupported("an attestation result of another profile")),
    }
}
