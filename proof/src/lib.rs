//! Every function of the device crates that reads what an attacker may have written, exported so that the
//! linker must keep it, under a panic handler that calls a function which does not exist.
//!
//! If the optimiser leaves a single call to the panic handler anywhere in these functions, the library has
//! an undefined symbol and does not link. So a linked library is the proof that none of them can panic,
//! whatever its input. README.md says how to run it and what it does not cover.
#![no_std]

mod cbor;
mod coap;
mod dice;
mod dtls;
mod memory;
mod words;

use core::hint::black_box;
use core::panic::PanicInfo;

unsafe extern "C" {
    /// Defined nowhere, on purpose.
    fn bartizan_panic_path_remains() -> !;
}

#[panic_handler]
fn panic(_: &PanicInfo<'_>) -> ! {
    // SAFETY: never called in a library that links.
    unsafe { bartizan_panic_path_remains() }
}

/// Keeps a result alive: the optimiser must assume that everything in it is looked at.
fn keep<T>(value: T) {
    black_box(value);
}

/// The proof's own test: with this function the library must not link.
#[cfg(feature = "negative-control")]
#[unsafe(no_mangle)]
pub extern "C" fn negative_control(at: usize) -> u8 {
    let bytes = black_box([1_u8, 2, 3]);
    bytes[at]
}
