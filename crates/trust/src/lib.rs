//! Is this signed thing to be believed? Evidence, endorsements and attestation results in the words of RFC 9334.
//!
//! ```text
//!  evidence (EAT under a DICE chain) ─▶ Evidence ─▶ appraisal ─▶ Verdict ─▶ attestation result (EAR)
//!  endorsements (signed CoRIM) ─▶ reference values ───┘   └── policy of the device's class
//! ```
//!
//! Start at [`Evidence`], which is what every evidence format becomes. Nothing that arrives inside evidence is ever a
//! trust anchor: an [`Identity`] is proven by the chain and compared with what provisioning has registered.
//!
//! Signature primitives come from the caller's [`bartizan_crypto::Provider`]; there is no clock and no I/O here.
#![no_std]

#[cfg(feature = "verifier")]
extern crate alloc;

#[cfg(feature = "verifier")]
pub mod appraisal;
pub mod cbor;
pub mod challenge;
pub mod cmw;
#[cfg(feature = "verifier")]
pub mod corim;
pub mod cose;
pub mod der;
#[cfg(feature = "verifier")]
pub mod dice;
pub mod eat;
pub mod epoch;
mod error;
#[cfg(feature = "verifier")]
pub mod evidence;
pub mod heartbeat;
pub mod key;
pub mod limits;
#[cfg(feature = "verifier")]
pub mod psa;
#[cfg(feature = "verifier")]
pub mod reference;
#[cfg(feature = "verifier")]
pub mod result;
pub mod voucher;
pub mod x509;

pub use error::Error;
#[cfg(feature = "verifier")]
pub use evidence::{Evidence, Layer};
pub use key::{Identity, PublicKey};
