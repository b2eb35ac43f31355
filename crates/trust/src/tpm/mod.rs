//! TPM 2.0 as the root of strong devices: quotes, event logs, and keys that are shown to be in one TPM.
//!
//! ```text
//!  EK public (identity, provisioned) ◀── activated for ── AK ── signs ──▶ quote ── over ──▶ PCR values ◀── event log
//! ```
//!
//! Start at [`Message`], which is what a device sends. The identity is the thumbprint of the endorsement key (EK), as it
//! was registered. An attestation key (AK) is believed once the EK's TPM has opened a [`Credential`] for it; the quote
//! then says by the AK's qualified name that the AK is a child of that EK. Registers become the layers `pcr-0`, `pcr-1`
//! and so on.
//!
//! Structures are those of "TPM 2.0 Library, Part 2", logs those of the "PC Client Platform Firmware Profile". One kind
//! of key is read: ECC on P-256, names by SHA-256. No C, no TPM.

mod attest;
mod clock;
mod credential;
mod evidence;
mod log;
mod message;
mod public;
mod reader;
mod registers;

pub use attest::{Quote, Signature};
pub use clock::Clock;
pub use credential::{CREDENTIAL_BYTES, Credential};
pub use evidence::{Carried, component_of};
pub use log::{Event, EventLog, kind_of};
pub use message::{
    ACTIVATION, Activation, CHALLENGED_CREDENTIAL, CONTENT_FORMAT, ENROLMENT, EVIDENCE, Enrolment, Message,
};
pub use public::{Attributes, Name, Public};
pub use registers::{Bank, Registers, Selection};
