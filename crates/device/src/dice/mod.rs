//! A device's identity, made anew at every start: the engine of DICE, and measured boot.
//!
//! ```text
//!  Board ─ Uds ─▶ Cdi ─ next(layer 1) ─▶ Cdi ─ next(layer 2) ─▶ Cdi ─▶ Attester
//!                  │ certifies            │ certifies            │ signs
//!                  ▼                      ▼                      ▼
//!        certificate of layer 1  certificate of layer 2    evidence (EAT)
//! ```
//!
//! A [`Cdi`] holds two secrets. The one for attestation depends on everything that was started and how; the one for
//! sealing only on who may sign it, the mode and hidden inputs, so that it outlives updates. Neither is ever copied:
//! [`Cdi::next`] uses its predecessor up, and all secrets are zeroed when they go.
//!
//! Start at [`measured_boot`], which does all layers in one place (software roots, simulators, meters of one image).
//! Boot loaders that start each other use [`Cdi::next`], [`cbor::certificate`] or [`x509::certificate`], and hand over
//! with [`Cdi::leave`] and [`Cdi::take`]. This module needs no heap; certificates go into the caller's buffer.
//!
//! The rules are the Open Profile for DICE 2.5 with SHA-512 and HKDF-SHA512. [`Algorithm`] has P-256 and Ed25519. The
//! profile also names ML-DSA: a third variant there, with AKP in COSE_Keys and RFC 9881 in X.509, is the place for it
//! once providers sign with it; its seeds are 32 bytes, too, so nothing that is derived here changes.

use core::cell::Cell;

mod board;
mod boot;
pub mod cbor;
mod cdi;
mod der;
mod inputs;
mod key;
mod request;
mod tcb;
pub mod x509;

pub use bartizan_trust::Error;
pub use board::{Board, SoftwareBoard};
pub use boot::{Code, Form, Layer, measured_boot};
pub use cdi::{Cdi, Uds};
pub use inputs::{Component, Config, Descriptor, Inputs, Mode};
pub use key::{Algorithm, CertificateId, KeyPair};
pub use request::certification_request;

const NO_ROOM: Error = Error::Unavailable("the buffer is too small");

/// Moves `length` bytes from `from` down to `to`. Unlike `copy_within` it cannot panic.
fn move_down(bytes: &mut [u8], from: usize, length: usize, to: usize) -> Result<(), Error> {
    let cells = Cell::from_mut(bytes).as_slice_of_cells();
    let moved = cells.get(from..).and_then(|rest| rest.get(..length)).ok_or(NO_ROOM)?;
    for (to, from) in cells.get(to..).ok_or(NO_ROOM)?.iter().zip(moved) {
        to.set(from.get());
    }
    Ok(())
}
