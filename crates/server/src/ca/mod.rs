//! Certificate authorities: whose certificates they are, what they say, and how they are taken back.
//!
//! ```text
//!  root (offline, in files) ─▶ issuing authority of one tenant (key sealed) ─▶ device certificates, days
//!                                      └─▶ revocation list, OCSP
//! ```
//!
//! Everything here is pure: no store, no clock, no randomness but that of keys and signatures. Start at [`Authority`] and
//! [`Csr`]; [`hierarchy`] makes authorities. [`installation`] is the other authority, which only signs the certificate
//! that the API shows.
//!
//! Certificates are written with the DER writer of `bartizan_trust`, so that names go from one certificate into the next
//! byte for byte; keys are behind rcgen's `SigningKey`, so that they can live elsewhere.

mod authority;
mod crl;
pub mod hierarchy;
pub mod installation;
mod key;
mod ocsp;
mod pkcs7;
#[cfg(test)]
mod tests;
mod write;

pub use authority::{Authority, Csr, Serial, Subject, Validity};
pub use crl::Revoked;
pub use key::Key;
pub use ocsp::{Status, Unanswered};
pub use pkcs7::certs_only;
pub use write::pem;

/// Why there is no certificate, list or answer.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Error {
    /// What was handed in is not what it should be, or not to be believed.
    #[error(transparent)]
    Refused(#[from] bartizan_trust::Error),
    /// The key is another one than the certificate's.
    #[error("the key is not that of the certificate")]
    OtherKey,
    /// The authority is not valid then, or would not be for as long as was asked.
    #[error("the authority is not valid then")]
    NotValid,
    #[error("the key cannot be used: {0}")]
    Key(String),
}

impl From<rcgen::Error> for Error {
    fn from(error: rcgen::Error) -> Self {
        Self::Key(error.to_string())
    }
}
