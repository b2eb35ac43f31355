//! The verifier's half: which verdict a heartbeat prolongs, if any.

use alloc::vec::Vec;

use bartizan_crypto::{Provider, Secret, constant_time_eq};
use bartizan_wire::{Attestation, UnixMillis};

use super::PROTECTED;
use crate::cbor::Strict;
use crate::cose::{self, Envelope, Shape};
use crate::eat::{Claims, Nonce};
use crate::evidence::{ChainName, KID};
use crate::{Error, Evidence, PublicKey, limits};

/// A heartbeat taken apart, and not verified.
#[derive(Clone, Copy, Debug)]
pub struct Heartbeat<'a> {
    envelope: Envelope<'a>,
    /// Of a signed one.
    chain: Option<&'a ChainName>,
    nonce: Nonce<'a>,
    boot: Boot<&'a [u8]>,
}

/// What tells one start of a device from the others.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Boot<B> {
    Count(u64),
    Seed(B),
}

/// A verdict over full evidence, as far as heartbeats prolong it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Standing {
    tier: Attestation,
    since: UnixMillis,
    challenged: UnixMillis,
    chain: ChainName,
    boot: Boot<Vec<u8>>,
}

/// What the heartbeat is proven with.
#[derive(Clone, Copy, Debug)]
pub enum Proof<'a> {
    /// The leaf key of the chain that the verdict's evidence came under, for a COSE_Sign1.
    Leaf(&'a PublicKey),
    /// [`super::key`], for a COSE_Mac0.
    Key(&'a Secret<32>),
}

/// What the verifier knows of the session that the heartbeat came over.
#[derive(Clone, Copy, Debug)]
pub struct Expected<'a> {
    /// The challenge.
    pub nonce: &'a [u8],
    /// When it was issued.
    pub challenged: UnixMillis,
    /// [`crate::challenge::binding`] of the session.
    pub binding: &'a [u8; 32],
}

/// Whether this is a COSE_Mac0 as heartbeats are, well made or not, under whichever HMAC (RFC 9053 section 3.1): evidence
/// never is.
#[must_use]
pub fn is_tagged(bytes: &[u8]) -> bool {
    bytes.len() <= limits::HEARTBEAT_BYTES_MAX
        && Strict::new(bytes)
            .and_then(|item| Envelope::read(Shape::Mac0, item))
            .is_ok_and(|envelope| (cose::HMAC_256_64..=cose::HMAC_512).contains(&envelope.algorithm))
}

impl<'a> Heartbeat<'a> {
    /// All that needs no signature.
    ///
    /// # Errors
    /// `Misbehaved` if it says more or less than a heartbeat does, otherwise by fault; see [`Error`].
    pub fn read(bytes: &'a [u8]) -> Result<Self, Error> {
        if bytes.len() > limits::HEARTBEAT_BYTES_MAX {
            return Err(Error::Unavailable("a heartbeat longer than is taken"));
        }
        let envelope = envelope(Strict::new(bytes)?)?;
        let payload = Strict::new(envelope.payload)?;
        let claims = Claims::read(payload)?;
        let nonce = claims.nonce.ok_or(Error::Misbehaved("a heartbeat without a nonce"))?;
        let boot = match (claims.boot_count, claims.boot_seed) {
            (Some(count), None) => Boot::Count(count),
            (None, Some(seed)) => Boot::Seed(seed),
            _ => return Err(Error::Misbehaved("a heartbeat that does not say of which start it is")),
        };
        // Nonce and start: whatever more it said would be believed without evidence.
        if payload.map().is_none_or(|claims| claims.count() != 2) {
            return Err(Error::Misbehaved("a heartbeat that says more than that"));
        }
        let chain = match envelope.shape {
            Shape::Sign1 => Some(chain_name(envelope.unprotected)?),
            Shape::Mac0 if envelope.protected != PROTECTED || envelope.unprotected.bytes() != [0xA0] => {
                return Err(Error::Misbehaved("a heartbeat with other headers than its algorithm"));
            }
            Shape::Mac0 => None,
        };
        match (chain, nonce.binding) {
            (Some(_), None) => Err(Error::Misbehaved("a signed heartbeat without a session binding")),
            (None, Some(_)) => Err(Error::Misbehaved("a heartbeat that is bound to its session twice")),
            _ => Ok(Self { envelope, chain, nonce, boot }),
        }
    }

    /// What it answers, as anybody may claim.
    #[must_use]
    pub const fn challenge(&self) -> &'a [u8] {
        self.nonce.challenge
    }

    /// What a signed one calls the chain of its key.
    #[must_use]
    pub const fn chain_name(&self) -> Option<&'a ChainName> {
        self.chain
    }

    /// Whether [`Proof::Key`] proves it, not a leaf key.
    #[must_use]
    pub const fn is_tagged(&self) -> bool {
        self.chain.is_none()
    }

    fn verify(&self, provider: &Provider, proof: Proof<'_>) -> Result<(), Error> {
        match (self.envelope.shape, proof) {
            (Shape::Sign1, Proof::Leaf(key)) => self.envelope.verify(provider, key, b""),
            (Shape::Mac0, Proof::Key(key)) => self.envelope.verify_mac(provider, key.expose(), b""),
            _ => Err(Error::Untrusted("a heartbeat that is proven in another way")),
        }
    }
}

impl Standing {
    /// What heartbeats may prolong after a verdict of this tier over `evidence`, which answered a challenge of
    /// `challenged` under the chain of this name. `None` if nothing may: the verdict is a bad one, or the evidence does
    /// not say of which start it is.
    #[must_use]
    pub fn begin(tier: Attestation, evidence: &Evidence, chain: ChainName, challenged: UnixMillis) -> Option<Self> {
        if !matches!(tier, Attestation::Affirming | Attestation::Warning) {
            return None;
        }
        let seed = evidence.boot_seed.as_ref();
        let boot = evidence.boot_count.map(Boot::Count).or_else(|| seed.map(|seed| Boot::Seed(seed.clone())))?;
        Some(Self { tier, since: challenged, challenged, chain, boot })
    }

    /// Prolongs it by a heartbeat: the same verdict with a younger [`Self::challenged`], never an older one. Whether the
    /// device's access changed since is for its owner to ask: what ended the verdict ends this.
    ///
    /// # Errors
    /// `Untrusted` if the heartbeat is another start's, firmware's, session's, challenge's or key's. It then says
    /// nothing, and the verdict stands as it did.
    pub fn prolong(
        &self,
        provider: &Provider,
        heartbeat: &Heartbeat<'_>,
        proof: Proof<'_>,
        expected: &Expected<'_>,
    ) -> Result<Self, Error> {
        if heartbeat.chain.is_some_and(|chain| *chain != self.chain) {
            return Err(Error::Untrusted("a heartbeat of other firmware than the evidence's"));
        }
        let same_start = match (&self.boot, heartbeat.boot) {
            (Boot::Count(ours), Boot::Count(count)) => *ours == count,
            (Boot::Seed(ours), Boot::Seed(seed)) => constant_time_eq(ours, seed),
            _ => false,
        };
        if !same_start {
            return Err(Error::Untrusted("a heartbeat of another start than the evidence's"));
        }
        if !limits::NONCE_BYTES.contains(&expected.nonce.len())
            || !constant_time_eq(heartbeat.nonce.challenge, expected.nonce)
        {
            return Err(Error::Untrusted("a heartbeat that answers another challenge"));
        }
        if heartbeat.nonce.binding.is_some_and(|binding| !constant_time_eq(binding, expected.binding)) {
            return Err(Error::Untrusted("a heartbeat of another session"));
        }
        heartbeat.verify(provider, proof)?;
        Ok(Self { challenged: self.challenged.max(expected.challenged), ..self.clone() })
    }

    /// That of the verdict; no heartbeat changes it.
    #[must_use]
    pub const fn tier(&self) -> Attestation {
        self.tier
    }

    /// When the device last proved that it goes on: when the newest challenge that it answered was issued.
    #[must_use]
    pub const fn challenged(&self) -> UnixMillis {
        self.challenged
    }

    /// When the challenge of the full evidence was issued: no heartbeat changes it, so a policy can ask for more.
    #[must_use]
    pub const fn since(&self) -> UnixMillis {
        self.since
    }
}

/// The two shapes look the same without a tag; their algorithms do not.
fn envelope(item: Strict<'_>) -> Result<Envelope<'_>, Error> {
    if item.untagged(17).is_some() {
        return Envelope::read(Shape::Mac0, item);
    }
    let signed = Envelope::read(Shape::Sign1, item)?;
    if signed.algorithm == cose::HMAC_256_64 { Envelope::read(Shape::Mac0, item) } else { Ok(signed) }
}

fn chain_name(unprotected: Strict<'_>) -> Result<&ChainName, Error> {
    const SHAPE: Error = Error::Misbehaved("a signed heartbeat whose unprotected header is not its chain's name");
    let mut headers = unprotected.map().ok_or(SHAPE)?;
    match (headers.next(), headers.next()) {
        (Some((label, name)), None) if label.int() == Some(KID) => {
            name.byte_string().and_then(|name| name.try_into().ok()).ok_or(SHAPE)
        }
        _ => Err(SHAPE),
    }
}
