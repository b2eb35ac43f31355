//! Events and findings in CBOR: `bartizan_wire::{Event, Finding}`.

use bartizan_wire::event::kind_hash;
use bartizan_wire::{Event, Finding};

use crate::keep;
use crate::memory::{input, output};

/// # Safety
/// As [`input`] and [`output`].
#[unsafe(no_mangle)]
pub unsafe extern "C" fn event_cbor(data: *const u8, length: usize, out: *mut u8, out_length: usize) {
    // SAFETY: as promised.
    let (bytes, out) = unsafe { (input(data, length), output(out, out_length)) };
    keep(kind_hash(&[bytes, bytes]));
    if let Ok(event) = Event::decode(bytes) {
        keep(event.device());
        keep(event.encode(out));
    }
}

/// # Safety
/// As [`input`] and [`output`].
#[unsafe(no_mangle)]
pub unsafe extern "C" fn finding_cbor(data: *const u8, length: usize, out: *mut u8, out_length: usize) {
    // SAFETY: as promised.
    let (bytes, out) = unsafe { (input(data, length), output(out, out_length)) };
    if let Ok(finding) = Finding::decode(bytes) {
        keep(finding.encode(out));
    }
}
