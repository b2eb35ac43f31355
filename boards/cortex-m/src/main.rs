//! Firmware for a Cortex-M3: a DTLS client with a pre-shared key and Connection IDs that shakes hands once and then
//! lives by wake-ups. It measures itself: `cargo xtask size` builds it, runs it in an emulator and prints what it
//! says of its flash, its stack and its heap.
//!
//! Built with the feature `attest` it does instead what a device does to be believed: see `attest`.
//!
//! Start at [`client`]. [`heap`] is the one buffer that the handshake works in, [`board`] the chip, [`line`] the
//! serial line that stands in for a radio. Built without its features the image is the frame alone, whose size
//! `cargo xtask size` shows for comparison.
#![no_std]
#![no_main]
#![cfg_attr(not(any(feature = "handshake", feature = "wake")), allow(dead_code, reason = "the frame alone"))]

#[cfg(feature = "handshake")]
extern crate alloc;

#[cfg(feature = "attest")]
mod attest;
mod board;
#[cfg(any(feature = "handshake", feature = "wake"))]
mod client;
#[cfg(any(feature = "handshake", feature = "wake"))]
mod flash;
mod heap;
mod line;
#[cfg(any(feature = "handshake", feature = "attest"))]
mod random;
mod stack;

use core::ptr::addr_of_mut;

use crate::line::{DONE, Line, SEED};

/// All that the handshake may allocate.
const HEAP_BYTES: usize = 8 * 1024;
/// Longest UDP payload either way.
const DATAGRAM_BYTES: usize = 512;
#[cfg(feature = "wake")]
const WAKE_UPS: usize = 3;

static mut HEAP_BUFFER: [u64; HEAP_BYTES / 8] = [0; HEAP_BYTES / 8];
static mut DATAGRAM_BUFFER: [u8; DATAGRAM_BYTES] = [0; DATAGRAM_BYTES];

pub fn main() -> ! {
    // SAFETY: borrowed here and nowhere else, and `main` runs once.
    let (heap_buffer, buffer) = unsafe {
        let heap: *mut u8 = addr_of_mut!(HEAP_BUFFER).cast();
        (core::slice::from_raw_parts_mut(heap, HEAP_BYTES), &mut *addr_of_mut!(DATAGRAM_BUFFER))
    };
    heap::supply(heap_buffer);
    let mut line = Line::default();
    let succeeded = live(&mut line, buffer);
    line.send(DONE, &[&[u8::from(succeeded)]]);
    loop {
        board::tick();
    }
}

fn live(line: &mut Line, buffer: &mut [u8]) -> bool {
    let Some(Ok(seed)) = line.receive(SEED, buffer, u64::MAX).map(|seed| <[u8; 32]>::try_from(&*seed)) else {
        return false;
    };
    core::hint::black_box(seed);
    line.figure("static_bytes", board::static_bytes());
    #[cfg(feature = "attest")]
    if !attest_once(line, seed) {
        return false;
    }
    #[cfg(any(feature = "handshake", feature = "wake"))]
    let mut flash = core::hint::black_box(flash::Flash::EMPTY);
    #[cfg(feature = "handshake")]
    {
        stack::paint();
        let outcome = client::first_time(line, &mut flash, buffer, &mut random::Seeded::new(seed));
        line.figure("handshake_stack_bytes", stack::depth());
        line.figure("handshake_heap_bytes", heap::usage().extent);
        line.figure("handshake_heap_peak_bytes", heap::usage().peak);
        line.figure("handshake_allocations", heap::usage().allocations);
        line.figure("saved_session_bytes", flash.bytes().len());
        if outcome.is_err() {
            return false;
        }
    }
    #[cfg(feature = "wake")]
    {
        let before = heap::usage().allocations;
        stack::paint();
        for _ in 0..WAKE_UPS {
            if client::wake_up(line, &mut flash, buffer).is_err() {
                return false;
            }
        }
        line.figure("wake_stack_bytes", stack::depth());
        line.figure("wake_allocations", heap::usage().allocations - before);
    }
    true
}

/// Measures a start with its evidence.
#[cfg(feature = "attest")]
fn attest_once(line: &Line, seed: [u8; 32]) -> bool {
    static mut BUFFERS: [[u8; attest::BUFFER_BYTES]; 2] = [[0; attest::BUFFER_BYTES]; 2];
    // SAFETY: borrowed here and nowhere else, and this runs once.
    let [chain, out] = unsafe { &mut *addr_of_mut!(BUFFERS) };
    let mut random = random::Seeded::new(seed);
    board::start_counting();
    board::spend_instructions(board::CALIBRATION_INSTRUCTIONS);
    line.figure("calibration_ticks", board::counted());
    stack::paint();
    board::start_counting();
    let outcome = attest::start_and_attest(&mut random, chain, out);
    line.figure("attest_ticks", board::counted());
    line.figure("attest_stack_bytes", stack::depth());
    line.figure("attest_allocations", heap::usage().allocations);
    let Ok(length) = outcome else { return false };
    line.figure("evidence_bytes", length);
    let (evidence, _) = out.split_at(length);
    line.send(line::EVIDENCE, &[evidence]);
    true
}
