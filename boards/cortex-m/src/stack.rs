//! How deep the stack was: unused memory is painted before, and looked at after.

use core::arch::asm;
use core::ptr::{read_volatile, write_volatile};

use crate::board;

const PAINT: u32 = 0x5AFE_57AC;
/// What the painter itself may use below the caller's stack pointer, in words.
const MARGIN_WORDS: usize = 16;

/// Paints everything below the caller's frame.
#[inline(never)]
pub fn paint() {
    let (bottom, _) = board::stack();
    // SAFETY: only memory below this function's own frame is written.
    unsafe {
        let mut word = pointer().sub(MARGIN_WORDS);
        while word > bottom {
            word = word.sub(1);
            write_volatile(word, PAINT);
        }
    }
}

/// Bytes from the top of memory to the deepest word that was used since [`paint`].
#[inline(never)]
pub fn depth() -> usize {
    let (bottom, top) = board::stack();
    let mut word = bottom;
    // SAFETY: reads between the last static and the top of memory.
    unsafe {
        while word < top && read_volatile(word) == PAINT {
            word = word.add(1);
        }
    }
    top as usize - word as usize
}

fn pointer() -> *mut u32 {
    let pointer: *mut u32;
    // SAFETY: reads a register.
    unsafe { asm!("mov {}, sp", out(reg) pointer, options(nomem, nostack, preserves_flags)) };
    pointer
}
