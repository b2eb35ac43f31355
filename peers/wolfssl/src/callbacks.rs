//! What wolfSSL calls back into: the socket and the pre-shared key.

use core::ffi::{CStr, c_char, c_int, c_uchar, c_uint, c_void};
use std::time::Duration;

use bartizan_peer_common::Transport;
use wolfssl_sys::*;

/// Boxed by its owner, so that its address stays.
pub struct Shared {
    pub transport: Transport,
    /// How long to wait for the next datagram.
    pub wait: Duration,
    /// None came within `wait`.
    pub timed_out: bool,
    pub identity: Vec<u8>,
    pub psk: Vec<u8>,
    pub suite: &'static CStr,
}

/// # Safety
/// `context` is the [`Shared`] given to `wolfSSL_SetIOWriteCtx`; `bytes` points at `length` readable bytes.
pub unsafe extern "C" fn send(_: *mut WOLFSSL, bytes: *mut c_char, length: c_int, context: *mut c_void) -> c_int {
    // SAFETY: by the contract above.
    let (shared, datagram) =
        unsafe { (&mut *context.cast::<Shared>(), core::slice::from_raw_parts(bytes.cast::<u8>(), length as usize)) };
    shared.transport.send(datagram).map_or(IOerrors_WOLFSSL_CBIO_ERR_GENERAL, |taken| taken as c_int)
}

/// # Safety
/// `context` is the [`Shared`] given to `wolfSSL_SetIOReadCtx`; `bytes` points at `length` writable bytes.
pub unsafe extern "C" fn receive(_: *mut WOLFSSL, bytes: *mut c_char, length: c_int, context: *mut c_void) -> c_int {
    // SAFETY: by the contract above.
    let (shared, buffer) = unsafe {
        (&mut *context.cast::<Shared>(), core::slice::from_raw_parts_mut(bytes.cast::<u8>(), length as usize))
    };
    let received = shared.transport.receive(buffer, shared.wait);
    shared.timed_out = received.is_none();
    received.map_or(IOerrors_WOLFSSL_CBIO_ERR_WANT_READ, |taken| taken as c_int)
}

/// # Safety
/// As for [`client_13`].
pub unsafe extern "C" fn client_12(
    ssl: *mut WOLFSSL,
    _hint: *const c_char,
    identity: *mut c_char,
    identity_max: c_uint,
    key: *mut c_uchar,
    key_max: c_uint,
) -> c_uint {
    // SAFETY: by the contract above.
    unsafe {
        let shared = shared(ssl);
        if !copy(&[shared.identity.as_slice(), b"\0"].concat(), identity.cast(), identity_max) {
            return 0;
        }
        give(shared, key, key_max)
    }
}

/// # Safety
/// The association's callback context is its [`Shared`]; `identity` and `key` point at as many writable bytes as their
/// limits say, and `suite` at a pointer.
pub unsafe extern "C" fn client_13(
    ssl: *mut WOLFSSL,
    hint: *const c_char,
    identity: *mut c_char,
    identity_max: c_uint,
    key: *mut c_uchar,
    key_max: c_uint,
    suite: *mut *const c_char,
) -> c_uint {
    // SAFETY: by the contract above.
    unsafe {
        *suite = shared(ssl).suite.as_ptr();
        client_12(ssl, hint, identity, identity_max, key, key_max)
    }
}

/// # Safety
/// As for [`server_13`].
pub unsafe extern "C" fn server_12(
    ssl: *mut WOLFSSL,
    identity: *const c_char,
    key: *mut c_uchar,
    key_max: c_uint,
) -> c_uint {
    // SAFETY: by the contract above.
    unsafe {
        let shared = shared(ssl);
        if CStr::from_ptr(identity).to_bytes() != shared.identity {
            return 0;
        }
        give(shared, key, key_max)
    }
}

/// # Safety
/// The association's callback context is its [`Shared`]; `identity` is a C string, `key` points at `key_max` writable
/// bytes, and `suite` at a pointer.
pub unsafe extern "C" fn server_13(
    ssl: *mut WOLFSSL,
    identity: *const c_char,
    key: *mut c_uchar,
    key_max: c_uint,
    suite: *mut *const c_char,
) -> c_uint {
    // SAFETY: by the contract above.
    unsafe {
        *suite = shared(ssl).suite.as_ptr();
        server_12(ssl, identity, key, key_max)
    }
}

/// # Safety
/// The association's callback context is its [`Shared`].
unsafe fn shared<'a>(ssl: *mut WOLFSSL) -> &'a Shared {
    // SAFETY: by the contract above.
    unsafe { &*wolfSSL_get_psk_callback_ctx(ssl).cast::<Shared>() }
}

/// # Safety
/// `key` points at `key_max` writable bytes.
unsafe fn give(shared: &Shared, key: *mut c_uchar, key_max: c_uint) -> c_uint {
    // SAFETY: by the contract above.
    if unsafe { copy(&shared.psk, key, key_max) } { shared.psk.len() as c_uint } else { 0 }
}

/// # Safety
/// `to` points at `max` writable bytes.
unsafe fn copy(bytes: &[u8], to: *mut u8, max: c_uint) -> bool {
    let fits = bytes.len() <= max as usize;
    if fits {
        // SAFETY: by the contract above.
        unsafe { core::ptr::copy_nonoverlapping(bytes.as_ptr(), to, bytes.len()) };
    }
    fits
}
