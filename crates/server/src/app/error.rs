//! What can go wrong in a use case, split by fault.

use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

/// Why a use case did not happen. The class decides the HTTP status.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The request's own content is wrong (400/422).
    #[error("{0}")]
    Malformed(String),
    /// Lines of an import are wrong; nothing was imported (422).
    #[error("{} of the import's lines are wrong; nothing was imported", .0.total)]
    Import(BadLines),
    /// The peer or caller did what it must not (403).
    #[error("{0}")]
    Misbehaved(String),
    /// Something signed that is not believed: an unknown signer, a validity that is over (422).
    #[error("{0}")]
    Untrusted(String),
    /// Known, but not offered here (501/422).
    #[error("{0}")]
    Unsupported(String),
    #[error(transparent)]
    Misuse(#[from] Misuse),
    /// Storage or an upstream failed, or the server is full (503).
    #[error("{0}")]
    Unavailable(String),
}

impl From<crate::store::Error> for Error {
    /// What the operator reads in the log is more than what the client sees: file names and SQL stay here.
    fn from(error: crate::store::Error) -> Self {
        use crate::store::Error as Store;
        match error {
            Store::Malformed(lines) => Self::Import(lines),
            Store::Misuse(what) => Misuse::Exists(what).into(),
            Store::Unavailable(cause) => {
                tracing::error!(%cause, "storage failed");
                Self::Unavailable("storage failed; the server's log says why".into())
            }
            error => Self::Unavailable(error.to_string()),
        }
    }
}

/// A well-formed request that does not fit the present state.
#[derive(Debug, thiserror::Error, PartialEq, Eq)]
pub enum Misuse {
    /// There is no such thing (404). Says what, never what else exists.
    #[error("there is no {0}")]
    Unknown(String),
    /// The name or identity is taken (409).
    #[error("{0}")]
    Exists(String),
    /// The state forbids it, e.g. releasing a retired device (409).
    #[error("{0}")]
    Conflict(String),
    /// It was changed since the caller read it: If-Match failed (412).
    #[error("it was changed meanwhile; read it again")]
    Stale,
    /// A bounded queue or table is full (429).
    #[error("{0}")]
    Full(String),
}

/// The wrong lines of an import: a bounded list and the count of all.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct BadLines {
    pub total: u64,
    pub lines: Vec<BadLine>,
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct BadLine {
    /// 1 is the header.
    pub line: u64,
    pub error: String,
}
