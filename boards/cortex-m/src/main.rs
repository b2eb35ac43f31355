//! Firmware for a Cortex-M3: a DTLS client with a pre-shared key and Connection IDs that shakes hands once and then
//! lives by wake-ups. It measures itself: `cargo xtask size` builds it, runs it in an emulator and prints what it
//! says of its flash, its stack and its heap.
//!
//! Start at [`client`]. [`heap`] is the one buffer that the handshake works in, [`board`] the chip, [`line`] the
//! serial line that stands in for a radio. Built without its features the image is the frame alone, whose size
//! `cargo xtask size` shows for comparison.
#![no_std]
#![no_main]
#![cfg_attr(not(any(feature = "handshake", feature = "wake")), allow(dead_code, reason = "the frame alone"))]

#[cfg(feature = "handshake")]
extern crate alloc;

mod board;
#[cfg(any(feature = "handshake", feature = "wake"))]
mod client;
#[cfg(any(feature = "handshake", feature = "wake"))]
mod flash;
mod heap;
mod line;
#[cfg(feature = "handshake")]
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
