//! From C pointers to slices, and an allocator that has nothing to give.

use core::alloc::{GlobalAlloc, Layout};
use core::ptr::null_mut;
use core::slice;

/// Never gives memory. What allocates without a way to fail ends in the panic handler, so the proof holds for
/// code that allocates only if it can do without.
struct Empty;

#[global_allocator]
static EMPTY: Empty = Empty;

// SAFETY: no memory is ever given, so none can be misused.
unsafe impl GlobalAlloc for Empty {
    unsafe fn alloc(&self, _: Layout) -> *mut u8 {
        null_mut()
    }

    unsafe fn dealloc(&self, _: *mut u8, _: Layout) {}
}

/// Bytes from outside.
///
/// # Safety
/// `data` points to `length` readable bytes that nobody writes meanwhile.
pub unsafe fn input<'a>(data: *const u8, length: usize) -> &'a [u8] {
    if data.is_null() {
        return &[];
    }
    // SAFETY: as the caller promises; null was handled.
    unsafe { slice::from_raw_parts(data, length) }
}

/// A buffer from outside.
///
/// # Safety
/// `data` points to `length` bytes that nobody else touches meanwhile.
pub unsafe fn output<'a>(data: *mut u8, length: usize) -> &'a mut [u8] {
    if data.is_null() {
        return &mut [];
    }
    // SAFETY: as the caller promises; null was handled.
    unsafe { slice::from_raw_parts_mut(data, length) }
}
