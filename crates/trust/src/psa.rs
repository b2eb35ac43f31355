//! The PSA attestation token (RFC 9783): what chips with Arm's Platform Security Architecture say about themselves.
//!
//! One key signs the whole token, and no chain says whose it is: [`Token::instance`] tells which registered key to
//! verify under, [`Token::verify`] gives the claims, [`Claims::into_evidence`] their normal form under the identity that
//! the registration names. The legacy profile PSA_IOT_PROFILE_1 and the last drafts' profile are read too; RFC 9783
//! section 4.6 recommends it.
//!
//! RFC 9783 section 5.1.1 lets a token have integers that are longer than they need be. They are refused here, as
//! everywhere in this crate: what is judged can be read in one way only. TF-M makes none.

mod components;
mod lifecycle;

use alloc::string::{String, ToString};
use alloc::vec::Vec;
use core::fmt::Write as _;

use bartizan_crypto::Provider;

pub use components::Component;
pub use lifecycle::Lifecycle;

use crate::cbor::Strict;
use crate::cose::{Envelope, Shape};
use crate::evidence::{Evidence, Profile};
use crate::{Error, Identity, Layer, PublicKey, limits};

/// `eat_profile` of RFC 9783 section 5.2.
pub const TFM_PROFILE: &str = "tag:psacertified.org,2023:psa#tfm";
/// What the drafts before it said.
const DRAFT_PROFILE: &str = "http://arm.com/psa/2.0.0";
/// In the legacy profile claim, or that claim is missing.
const LEGACY_PROFILE: &str = "PSA_IOT_PROFILE_1";
/// CoAP Content-Formats of tokens of RFC 9783 and of the legacy profile (RFC 9783 section 8.3).
pub const CONTENT_FORMAT: u16 = 10003;
pub const LEGACY_CONTENT_FORMAT: u16 = 10004;

/// Which claim keys and rules a token follows.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Edition {
    /// `PSA_IOT_PROFILE_1`.
    Legacy,
    /// `http://arm.com/psa/2.0.0`: RFC 9783, but the boot seed has a key of its own.
    Draft,
    /// RFC 9783.
    Rfc9783,
}

const PROFILE_KEY: i64 = 265;
const LEGACY_PROFILE_KEY: i64 = -75000;
const LEGACY_INSTANCE_KEY: i64 = -75009;

/// Claim keys (RFC 9783 table 2): nonce, instance, implementation, lifecycle, client, boot seed, certification,
/// components, none of them, verification service. The last but one is no claim of RFC 9783 and has no key there.
type Keys = [Option<i64>; 10];

const LEGACY: Keys = [
    Some(-75008),
    Some(LEGACY_INSTANCE_KEY),
    Some(-75003),
    Some(-75002),
    Some(-75001),
    Some(-75004),
    Some(-75005),
    Some(-75006),
    Some(-75007),
    Some(-75010),
];
const DRAFT: Keys = rfc_keys(2397);
const RFC9783: Keys = rfc_keys(268);

const fn rfc_keys(boot_seed: i64) -> Keys {
    [Some(10), Some(256), Some(2396), Some(2395), Some(2394), Some(boot_seed), Some(2398), Some(2399), None, Some(2400)]
}

/// The values under these keys, in one pass over the map.
fn values<'a, const N: usize>(item: Strict<'a>, keys: &[Option<i64>; N]) -> [Option<Strict<'a>>; N] {
    let mut out = [None; N];
    for (key, value) in item.map().into_iter().flatten() {
        let Some(key) = key.int() else { continue };
        if let Some((_, place)) = keys.iter().zip(&mut out).find(|(known, _)| **known == Some(key)) {
            *place = Some(value);
        }
    }
    out
}

/// A token taken apart, and not verified.
#[derive(Clone, Debug)]
pub struct Token<'a> {
    envelope: Envelope<'a>,
    claims: Claims<'a>,
}

/// The claims of a token.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Claims<'a> {
    pub edition: Edition,
    /// The challenge: 32, 48 or 64 bytes. There is no place for a session's binding beside it; hash both into one.
    pub nonce: &'a [u8],
    /// Names the signing key: 0x01 and 32 bytes.
    pub instance: &'a [u8; 33],
    /// Names the make of the chip's root of trust.
    pub implementation: &'a [u8; 32],
    pub lifecycle: Lifecycle,
    /// Who asked for the token on the device: negative outside the secure world, positive within it, never 0. Compare
    /// it with the caller that you expect: one must not answer for the other (RFC 9783 section 4.1.2).
    pub client: i32,
    pub boot_seed: Option<&'a [u8]>,
    /// An EAN-13 with five digits of version behind a dash; legacy tokens may have the EAN-13 alone.
    pub certification: Option<&'a str>,
    /// Where the device thinks it is verified: a hint, and nobody's to follow unasked.
    pub service: Option<&'a str>,
    /// In the order of the token. Empty only if a legacy token says that nothing is measured.
    pub components: Vec<Component<'a>>,
}

impl<'a> Token<'a> {
    /// Reads a token: a COSE_Sign1 with its tag (RFC 9783 section 5.1.1).
    ///
    /// # Errors
    /// `Malformed` if it is none, `Misbehaved` if a claim is missing or breaks its rule, `Unsupported` if the profile is
    /// another, `Unavailable` beyond a limit.
    pub fn read(bytes: &'a [u8]) -> Result<Self, Error> {
        if bytes.len() > limits::EVIDENCE_BYTES_MAX {
            return Err(Error::Unavailable("evidence longer than is taken"));
        }
        let untagged = Strict::new(bytes)?.untagged(18).ok_or(Error::Malformed("a PSA token without its COSE tag"))?;
        if untagged.array().is_none() {
            return Err(Error::Malformed("a PSA token with two COSE tags"));
        }
        let envelope = Envelope::read(Shape::Sign1, untagged)?;
        let claims = Claims::read(Strict::new(envelope.payload)?)?;
        Ok(Self { envelope, claims })
    }

    /// Whose key the token claims to be signed with. Look it up among the registered ones.
    #[must_use]
    pub fn instance(&self) -> &'a [u8; 33] {
        self.claims.instance
    }

    /// What the token answers, as anybody may claim.
    #[must_use]
    pub fn nonce(&self) -> &'a [u8] {
        self.claims.nonce
    }

    /// The claims, if this key signed them.
    ///
    /// # Errors
    /// `Untrusted` if it did not.
    pub fn verify(self, provider: &Provider, key: &PublicKey) -> Result<Claims<'a>, Error> {
        self.envelope.verify(provider, key, b"")?;
        Ok(self.claims)
    }
}

impl<'a> Claims<'a> {
    /// Reads a claims set by the rules of its profile.
    ///
    /// # Errors
    /// As [`Token::read`].
    pub fn read(item: Strict<'a>) -> Result<Self, Error> {
        let edition = Edition::of(item)?;
        let [nonce, instance, implementation, lifecycle, client, seed, certification, components, none, service] =
            values(item, edition.keys());
        let bytes = |item: Option<Strict<'a>>| item.and_then(Strict::byte_string);
        let nonce = bytes(nonce).filter(|nonce| is_hash(nonce));
        let instance = bytes(instance).and_then(|id| <&[u8; 33]>::try_from(id).ok());
        let implementation = bytes(implementation).and_then(|id| id.try_into().ok());
        let lifecycle = lifecycle.and_then(Strict::uint).and_then(Lifecycle::new);
        let client = client.and_then(Strict::int).and_then(|id| i32::try_from(id).ok());
        Ok(Self {
            edition,
            nonce: nonce.ok_or(Error::Misbehaved("no PSA nonce of 32, 48 or 64 bytes"))?,
            instance: instance
                .filter(|id| id.first() == Some(&1))
                .ok_or(Error::Misbehaved("no PSA instance id of 0x01 and 32 bytes"))?,
            implementation: implementation.ok_or(Error::Misbehaved("no PSA implementation id of 32 bytes"))?,
            lifecycle: lifecycle.ok_or(Error::Misbehaved("no PSA lifecycle that is defined"))?,
            client: client
                .filter(|id| *id != 0 && *id != i32::MIN)
                .ok_or(Error::Misbehaved("no PSA client id but 0"))?,
            boot_seed: edition.boot_seed(seed.map(Strict::byte_string))?,
            certification: edition.certification(certification)?,
            service: service_of(service)?,
            components: Edition::components(components, none)?,
        })
    }

    /// The normal form, under the identity that is registered for the key that verified the token. Each component is a
    /// layer under the implementation's id in hexadecimal digits as its model; no component, no layer.
    ///
    /// # Errors
    /// `Unavailable` without memory.
    pub fn into_evidence(self, identity: Identity) -> Result<Evidence, Error> {
        let mut model = String::new();
        model.try_reserve(64).map_err(|_| NO_MEMORY)?;
        self.implementation.iter().try_for_each(|byte| write!(model, "{byte:02x}")).map_err(|_| NO_MEMORY)?;
        let mut layers = Vec::new();
        layers.try_reserve_exact(self.components.len()).map_err(|_| NO_MEMORY)?;
        layers.extend(self.components.iter().map(|component| Layer {
            model: Some(model.clone()),
            component: component.kind.map(ToString::to_string),
            version: component.version.map(ToString::to_string),
            digests: alloc::vec![component.measurement()],
            authority: Some(component.signer()),
            mode: self.lifecycle.mode(),
            ..Layer::default()
        }));
        Ok(Evidence {
            profile: Profile::Psa,
            identity,
            layers,
            nonce: self.nonce.to_vec(),
            binding: None,
            boot_count: None,
            boot_seed: self.boot_seed.map(<[u8]>::to_vec),
            security_version: None,
            security_floor: None,
        })
    }
}

const NO_MEMORY: Error = Error::Unavailable("no memory for evidence");

/// Verifies a token under the key that is registered for its instance, which gives it its identity.
///
/// # Errors
/// As [`Token::read`] and [`Token::verify`].
pub fn open(provider: &Provider, bytes: &[u8], key: &PublicKey, identity: Identity) -> Result<Evidence, Error> {
    Token::read(bytes)?.verify(provider, key)?.into_evidence(identity)
}

impl Edition {
    /// Each edition has a profile claim of its own, and a token has one of them at most.
    fn of(item: Strict<'_>) -> Result<Self, Error> {
        if item.map().is_none() {
            return Err(Error::Malformed("PSA claims that are no map"));
        }
        let [profile, legacy, instance] =
            values(item, &[Some(PROFILE_KEY), Some(LEGACY_PROFILE_KEY), Some(LEGACY_INSTANCE_KEY)]);
        match (profile.map(named), legacy.map(named)) {
            (Some(TFM_PROFILE), None) => Ok(Self::Rfc9783),
            (Some(DRAFT_PROFILE), None) => Ok(Self::Draft),
            (None, Some(LEGACY_PROFILE)) => Ok(Self::Legacy),
            (None, None) if instance.is_some() => Ok(Self::Legacy),
            (None, None) => Err(Error::Misbehaved("PSA claims without a profile")),
            (Some(_), Some(_)) => Err(Error::Misbehaved("PSA claims of two profiles")),
            _ => Err(Error::Unsupported("a PSA profile that is not ours")),
        }
    }

    const fn keys(self) -> &'static Keys {
        match self {
            Self::Legacy => &LEGACY,
            Self::Draft => &DRAFT,
            Self::Rfc9783 => &RFC9783,
        }
    }

    /// 8 to 32 bytes or missing; 32 in a legacy token.
    fn boot_seed(self, seed: Option<Option<&[u8]>>) -> Result<Option<&[u8]>, Error> {
        let good = match (self, seed.map(|seed| seed.map(<[u8]>::len))) {
            (Self::Legacy, length) => length == Some(Some(32)),
            (_, None) => true,
            (_, Some(length)) => length.is_some_and(|length| (8..=32).contains(&length)),
        };
        if good { Ok(seed.flatten()) } else { Err(Error::Misbehaved("no PSA boot seed of the length it must have")) }
    }

    fn certification(self, item: Option<Strict<'_>>) -> Result<Option<&str>, Error> {
        const SHAPE: Error = Error::Misbehaved("a PSA certification reference that is none");
        let digits = |text: &str, count| text.len() == count && text.bytes().all(|byte| byte.is_ascii_digit());
        let Some(item) = item else { return Ok(None) };
        let text = item.text().ok_or(SHAPE)?;
        let good = match text.split_once('-') {
            Some((product, version)) => digits(product, 13) && digits(version, 5),
            None => self == Self::Legacy && digits(text, 13),
        };
        if good { Ok(Some(text)) } else { Err(SHAPE) }
    }

    /// At least one component; a legacy token may say instead that there are none.
    fn components<'a>(list: Option<Strict<'a>>, none: Option<Strict<'a>>) -> Result<Vec<Component<'a>>, Error> {
        match (list, none) {
            (Some(list), None) => components::read(list),
            (None, Some(none)) if none.uint() == Some(1) => Ok(Vec::new()),
            (None, _) => Err(Error::Misbehaved("PSA claims without software components")),
            (Some(_), Some(_)) => Err(Error::Misbehaved("PSA claims with software components and without")),
        }
    }
}

fn service_of(item: Option<Strict<'_>>) -> Result<Option<&str>, Error> {
    let Some(item) = item else { return Ok(None) };
    let text = item.text().filter(|text| (1..=limits::URL_BYTES_MAX).contains(&text.len()));
    text.map(Some).ok_or(Error::Misbehaved("a PSA verification service that is empty or too long"))
}

/// A profile's name, or nothing that names one.
fn named(profile: Strict<'_>) -> &str {
    profile.text().unwrap_or_default()
}

/// `psa-hash-type` of RFC 9783 section 4.
fn is_hash(bytes: &[u8]) -> bool {
    matches!(bytes.len(), 32 | 48 | 64)
}
