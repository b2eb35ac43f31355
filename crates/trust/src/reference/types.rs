//! The parts of a store of reference values.

use alloc::boxed::Box;
use alloc::string::String;
use alloc::vec::Vec;
use core::fmt;

use bartizan_wire::UnixMillis;

use crate::evidence::{Digest, HashAlgorithm};
use crate::{Identity, limits};

/// The make of a device type, as its order and its reference values name it.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Class {
    pub vendor: String,
    pub model: String,
}

impl Class {
    #[must_use]
    pub fn new(vendor: &str, model: &str) -> Self {
        Self { vendor: vendor.into(), model: model.into() }
    }
}

impl fmt::Display for Class {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} {}", self.vendor, self.model)
    }
}

/// What one component of a class may measure.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Value {
    pub class: Class,
    /// The one device that it is for; `None` for every device of the class.
    pub instance: Option<Identity>,
    pub component: String,
    pub version: Option<String>,
    pub security_version: Option<SecurityVersion>,
    /// Of one and the same code, by several algorithms. At least one.
    pub digests: Vec<Digest>,
    pub source: Source,
    /// Taken back by its issuer: it vouches for nothing any more.
    pub withdrawn: bool,
}

impl Value {
    pub(super) fn covers(&self, device: &Identity) -> bool {
        self.instance.is_none_or(|instance| instance == *device)
    }

    pub(super) fn names(&self, component: &str, version: &str) -> bool {
        self.component == component && self.version.as_deref() == Some(version)
    }

    /// Names within their limits, and one digest of an algorithm that has its length.
    pub(crate) fn check(&self) -> Result<(), Fault> {
        let names = [&self.class.vendor, &self.class.model, &self.component].into_iter().chain(&self.version);
        let mut names = names.chain(self.source.names());
        if names.any(|name| !(1..=limits::NAME_BYTES_MAX).contains(&name.len())) {
            return Err(Fault::Unusable("a name that is empty or too long"));
        }
        if self.digests.is_empty() {
            return Err(Fault::Unusable("no digest"));
        }
        for (place, digest) in self.digests.iter().enumerate() {
            if digest.bytes.len() != digest.algorithm.length() {
                return Err(Fault::Unusable("a digest of another length than its algorithm's"));
            }
            if self.digests.iter().take(place).any(|earlier| earlier.algorithm == digest.algorithm) {
                return Err(Fault::Unusable("two digests by one algorithm, of which one must be of other code"));
            }
        }
        Ok(())
    }

    /// Two statements that cannot both be true: one version of one component with different code, or one code with
    /// different versions.
    pub(super) fn contradicts(&self, other: &Self) -> bool {
        if self.component != other.component || self.instance != other.instance {
            return false;
        }
        let same_code = self.digests.iter().any(|digest| other.digests.contains(digest));
        let differ = |digest: &Digest| {
            other.digests.iter().any(|that| that.algorithm == digest.algorithm && that.bytes != digest.bytes)
        };
        let same_version = self.version.is_some() && self.version == other.version;
        let renamed = self.version.is_some() && other.version.is_some() && self.version != other.version;
        let numbered = match (self.security_version, other.security_version) {
            (Some(SecurityVersion::Exact(one)), Some(SecurityVersion::Exact(two))) => one != two,
            (Some(SecurityVersion::Exact(one)), Some(SecurityVersion::AtLeast(least)))
            | (Some(SecurityVersion::AtLeast(least)), Some(SecurityVersion::Exact(one))) => one < least,
            _ => false,
        };
        // Code that only shares one of its digests with other code was changed in between, or a hash is broken.
        same_version && (numbered || self.digests.iter().any(differ))
            || same_code && (renamed || numbered || self.digests.iter().any(differ))
    }
}

/// The anti-rollback number of a reference value (CoRIM section 5.1.4.1.4.3).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum SecurityVersion {
    Exact(u64),
    AtLeast(u64),
}

impl SecurityVersion {
    #[must_use]
    pub const fn admits(self, observed: u64) -> bool {
        match self {
            Self::Exact(exact) => observed == exact,
            Self::AtLeast(least) => observed >= least,
        }
    }
}

impl fmt::Display for SecurityVersion {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Exact(exact) => write!(f, "{exact}"),
            Self::AtLeast(least) => write!(f, "{least} or later"),
        }
    }
}

/// Who says so.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Source {
    /// A tag of a signed manifest.
    Corim { manifest: String, tag: String, tag_version: u64, signer: String },
    /// An image that was measured here, by this person or build.
    Measured { by: String },
}

impl Source {
    #[must_use]
    pub fn signer(&self) -> &str {
        match self {
            Self::Corim { signer, .. } => signer,
            Self::Measured { by } => by,
        }
    }

    /// The tag's name, if it has one.
    #[must_use]
    pub fn tag(&self) -> Option<&str> {
        match self {
            Self::Corim { tag, .. } => Some(tag),
            Self::Measured { .. } => None,
        }
    }

    fn names(&self) -> impl Iterator<Item = &String> {
        let (first, more) = match self {
            Self::Corim { manifest, tag, signer, .. } => (manifest, Some([tag, signer])),
            Self::Measured { by } => (by, None),
        };
        core::iter::once(first).chain(more.into_iter().flatten())
    }
}

impl fmt::Display for Source {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Corim { manifest, tag, tag_version, signer } => {
                write!(f, "tag {tag} version {tag_version} of manifest {manifest}, signed by {signer}")
            }
            Self::Measured { by } => write!(f, "an image measured by {by}"),
        }
    }
}

/// What a status is kept for.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Generation {
    /// Component and version.
    Version(String, String),
    Digest(String, Digest),
}

/// Whether a generation may still run. A campaign opens a window with it and closes it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Default)]
pub enum Status {
    #[default]
    Allowed,
    /// Runs, with a warning, before this time, and is forbidden from then on.
    DeprecatedUntil(UnixMillis),
    Forbidden,
}

impl Status {
    /// What it means at `now`, in a word.
    #[must_use]
    pub fn name(self, now: UnixMillis) -> &'static str {
        match self.strictness(now).0 {
            0 => "allowed",
            1 => "deprecated",
            _ => "forbidden",
        }
    }

    /// Orders by what it means at `now`, then by what comes sooner.
    pub(crate) fn strictness(self, now: UnixMillis) -> (u8, u64) {
        match self {
            Self::Allowed => (0, 0),
            Self::DeprecatedUntil(end) if now < end => (1, u64::MAX - end.0),
            Self::DeprecatedUntil(_) => (2, 0),
            Self::Forbidden => (3, 0),
        }
    }
}

/// A signed manifest, taken apart and verified.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Manifest {
    pub id: String,
    /// When its validity begins.
    pub since: Option<UnixMillis>,
    /// The name that the signer's key was configured under.
    pub signer: String,
    pub tags: Vec<ManifestTag>,
}

/// One tag of a manifest, with the values that it vouches for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ManifestTag {
    pub id: String,
    pub version: u64,
    /// SHA-256 over the tag, so that one version cannot come with two contents.
    pub content: [u8; 32],
    /// Tags that this one takes the place of.
    pub replaces: Vec<String>,
    pub values: Vec<Value>,
}

/// Two sources that contradict each other over one version.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Conflict {
    pub component: String,
    pub version: Option<String>,
    pub have: Source,
    pub got: Source,
}

/// Why reference values are not taken.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Fault {
    Conflict(Box<Conflict>),
    /// Of a tag, an older version than was imported, or the same with another content; of a manifest, an older
    /// validity.
    RolledBack {
        name: String,
        have: u64,
        got: u64,
    },
    /// This tag was revoked.
    Revoked(String),
    /// This tag or manifest has been signed by somebody else (named second) so far.
    OtherSigner(String, String),
    /// The value itself cannot be used.
    Unusable(&'static str),
    /// A limit is reached.
    Full(&'static str),
    /// The document that carries the values is not to be believed.
    Document(crate::Error),
}

impl From<crate::Error> for Fault {
    fn from(error: crate::Error) -> Self {
        Self::Document(error)
    }
}

impl fmt::Display for Fault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Conflict(conflict) => {
                let Conflict { component, version, have, got } = &**conflict;
                let version = version.as_deref().unwrap_or("(no version)");
                write!(f, "two sources disagree over {component} {version}: {have}; and {got}")
            }
            Self::RolledBack { name, have, got } if have == got => {
                write!(f, "{name} version {got} was imported before with another content")
            }
            Self::RolledBack { name, have, got } => {
                write!(f, "{name} version {got} is older than version {have}, which was imported before")
            }
            Self::Revoked(tag) => write!(f, "tag {tag} was revoked"),
            Self::OtherSigner(tag, signer) => write!(f, "{tag} belongs to the signer {signer}"),
            Self::Unusable(what) => write!(f, "a reference value that cannot be used: {what}"),
            Self::Full(what) => write!(f, "a limit is reached: {what}"),
            Self::Document(error) => write!(f, "{error}"),
        }
    }
}

impl core::error::Error for Fault {}

/// The algorithm with this number (RFC 6920 section 9.4).
pub(crate) const fn algorithm(number: u64) -> Option<HashAlgorithm> {
    match number {
        1 => Some(HashAlgorithm::Sha256),
        7 => Some(HashAlgorithm::Sha384),
        8 => Some(HashAlgorithm::Sha512),
        10 => Some(HashAlgorithm::Sha3_256),
        11 => Some(HashAlgorithm::Sha3_384),
        12 => Some(HashAlgorithm::Sha3_512),
        _ => None,
    }
}
