//! From C pointers to slices: the only place with `unsafe` beside the panic handler.

use core::slice;

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
