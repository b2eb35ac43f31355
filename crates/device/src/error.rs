//! What a caller did wrong or cannot have now. What happens on the network comes as events instead.

use core::fmt;

/// Why a call was not carried out.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Error {
    /// Saved bytes that are not a sleeping client of this version.
    Malformed(&'static str),
    /// The request cannot be expressed, or its subject does not exist.
    Misuse(&'static str),
    /// A limit of [`crate::limits`] is reached; it may work later.
    Unavailable(&'static str),
    /// The association could not be begun or continued.
    Dtls(bartizan_dtls::Error),
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Malformed(what) => write!(f, "malformed: {what}"),
            Self::Misuse(what) => write!(f, "misuse: {what}"),
            Self::Unavailable(what) => write!(f, "unavailable: {what}"),
            Self::Dtls(_) => f.write_str("the association failed"),
        }
    }
}

impl core::error::Error for Error {
    fn source(&self) -> Option<&(dyn core::error::Error + 'static)> {
        match self {
            Self::Dtls(error) => Some(error),
            Self::Malformed(_) | Self::Misuse(_) | Self::Unavailable(_) => None,
        }
    }
}

impl From<bartizan_dtls::Error> for Error {
    fn from(error: bartizan_dtls::Error) -> Self {
        Self::Dtls(error)
    }
}
