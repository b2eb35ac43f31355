//! Errors by fault.

use core::fmt;

/// Why something is not believed, by whose fault. The text names the thing, in words for a log.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Error {
    /// The bytes are not what their format says they are.
    Malformed(&'static str),
    /// Well-formed, but it breaks a rule of its profile: a leaf that signs, layers out of order.
    Misbehaved(&'static str),
    /// A signature, MAC or identity is not the one it must be.
    Untrusted(&'static str),
    /// An algorithm, profile or version that is not ours.
    Unsupported(&'static str),
    /// The caller asked for something that cannot be.
    Misuse(&'static str),
    /// A limit was reached.
    Unavailable(&'static str),
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Malformed(what) => write!(f, "malformed: {what}"),
            Self::Misbehaved(what) => write!(f, "against the rules: {what}"),
            Self::Untrusted(what) => write!(f, "not to be believed: {what}"),
            Self::Unsupported(what) => write!(f, "not supported: {what}"),
            Self::Misuse(what) => write!(f, "misuse: {what}"),
            Self::Unavailable(what) => write!(f, "a limit is reached: {what}"),
        }
    }
}

impl core::error::Error for Error {}
