//! The vocabulary of Bartizan: what happened ([`Event`]), what an engine thinks of it ([`Finding`]),
//! and what a device may do ([`Access`]). Every other crate speaks in these words.
//!
//! ```text
//!  bytes ─▶ Event ─▶ engines ─▶ Finding ─▶ Hold ─▶ Access
//! ```
//!
//! The crate is `no_std`, allocates nothing, and its decoders hold no panic path (`proof/` links them
//! with a panic handler that does not exist). The codecs that several crates read live here too:
//! [`coap`] and the DTLS [`record`] header.
#![no_std]

mod cbor;
pub mod coap;
mod error;
pub mod event;
pub mod finding;
pub mod id;
pub mod limits;
pub mod posture;
pub mod record;
pub mod time;

pub use error::{Error, Malformed, Misuse, Unsupported};
pub use event::{Event, EventKind, Subject};
pub use finding::{Engine, Expected, Feature, Finding, Severity, Technique, Unit};
pub use id::{CommandId, DeviceId, DeviceKey, Source, TenantId, TypeId};
pub use posture::{Access, Attestation, Cause, Exit, Grade, Lifecycle, Update};
pub use time::UnixMillis;
