//! What wolfSSL costs a server: memory a session, handshakes and records a second of CPU time. Both sides talk through
//! memory; only the server's calls are timed. One context serves all sessions.

use core::ffi::{CStr, c_char, c_int, c_uchar, c_uint, c_void};
use std::collections::VecDeque;
use std::time::Duration;

use anyhow::{Result, bail, ensure};
use bartizan_peer_common::bench::{self, PAYLOAD, RECORDS_PER_SESSION, cpu_time};
use wolfssl_sys::*;

const SUITE: &CStr = c"PSK-AES128-CCM-8";
const KEY: [u8; 16] = [0x42; 16];
const CID_BYTES: usize = 8;

/// `NAME VALUE` lines.
///
/// # Errors
/// If a handshake does not end, or a record does not open.
pub fn run(sessions: usize) -> Result<String> {
    let (server, client) = (Context::new(true)?, Context::new(false)?);
    let establish = |spent: &mut Duration| Session::establish(&server, &client, spent);
    bench::run("wolfssl-5.9", sessions, establish, Session::read)
}

/// Which way datagrams go.
#[derive(Default)]
struct Wire {
    incoming: VecDeque<Vec<u8>>,
    outgoing: VecDeque<Vec<u8>>,
}

/// One side's settings, shared by all its associations.
struct Context {
    is_server: bool,
    context: *mut WOLFSSL_CTX,
}

impl Context {
    fn new(is_server: bool) -> Result<Self> {
        // SAFETY: plain constructors and setters; wolfSSL copies what it is given.
        unsafe {
            wolfSSL_Init();
            let context = wolfSSL_CTX_new(match is_server {
                true => wolfDTLSv1_2_server_method(),
                false => wolfDTLSv1_2_client_method(),
            });
            ensure!(!context.is_null(), "no context");
            wolfSSL_CTX_SetIORecv(context, Some(receive));
            wolfSSL_CTX_SetIOSend(context, Some(send));
            ensure!(wolfSSL_CTX_set_cipher_list(context, SUITE.as_ptr()) == 1, "cipher list");
            match is_server {
                true => wolfSSL_CTX_set_psk_server_callback(context, Some(server_key)),
                false => wolfSSL_CTX_set_psk_client_callback(context, Some(client_key)),
            }
            Ok(Self { is_server, context })
        }
    }

    fn association(&self, wire: &mut Wire) -> Result<*mut WOLFSSL> {
        let wire: *mut c_void = (&raw mut *wire).cast();
        let mut cid = [self.context as usize as u8; CID_BYTES];
        // SAFETY: the wire is boxed and outlives the association; the Connection ID is copied.
        unsafe {
            let ssl = wolfSSL_new(self.context);
            ensure!(!ssl.is_null(), "no association");
            wolfSSL_SetIOReadCtx(ssl, wire);
            wolfSSL_SetIOWriteCtx(ssl, wire);
            wolfSSL_dtls_set_using_nonblock(ssl, 1);
            ensure!(wolfSSL_dtls_cid_use(ssl) == 1, "Connection ID");
            let length = if self.is_server { CID_BYTES } else { 0 };
            ensure!(wolfSSL_dtls_cid_set(ssl, cid.as_mut_ptr(), length as c_uint) == 1, "Connection ID");
            Ok(ssl)
        }
    }
}

/// A server's association, and records that wait for it.
struct Session {
    ssl: *mut WOLFSSL,
    wire: Box<Wire>,
    waiting: Vec<Vec<u8>>,
}

impl Session {
    /// A handshake; the client is gone afterwards, but for the records it sealed.
    fn establish(server: &Context, client: &Context, spent: &mut Duration) -> Result<Self> {
        let (mut up, mut down) = (Box::<Wire>::default(), Box::<Wire>::default());
        let ours = server.association(&mut down)?;
        let theirs = client.association(&mut up)?;
        let (mut ours_done, mut theirs_done) = (false, false);
        for _ in 0..32 {
            // SAFETY: both associations were made above.
            theirs_done = theirs_done || unsafe { step(theirs, wolfSSL_connect)? };
            down.incoming.append(&mut up.outgoing);
            let before = cpu_time();
            // SAFETY: as above.
            ours_done = ours_done || unsafe { step(ours, wolfSSL_accept)? };
            *spent += cpu_time() - before;
            up.incoming.append(&mut down.outgoing);
        }
        ensure!(ours_done && theirs_done, "the handshake does not end");
        for _ in 0..RECORDS_PER_SESSION {
            // SAFETY: the payload outlives the call.
            let code = unsafe { wolfSSL_write(theirs, PAYLOAD.as_ptr().cast(), PAYLOAD.len() as c_int) };
            ensure!(code == PAYLOAD.len() as c_int, "write: {code}");
        }
        // SAFETY: not used again.
        unsafe { wolfSSL_free(theirs) };
        Ok(Self { ssl: ours, wire: down, waiting: up.outgoing.drain(..).collect() })
    }

    fn read(&mut self) -> Result<()> {
        self.wire.incoming.extend(self.waiting.pop());
        let mut buffer = [0; 256];
        // SAFETY: `buffer` outlives the call.
        let code = unsafe { wolfSSL_read(self.ssl, buffer.as_mut_ptr().cast(), buffer.len() as c_int) };
        ensure!(code == PAYLOAD.len() as c_int, "read: {code}");
        Ok(())
    }
}

/// Whether the handshake is finished.
///
/// # Safety
/// `ssl` is an association, and `call` one of wolfSSL's two handshakes.
unsafe fn step(ssl: *mut WOLFSSL, call: unsafe extern "C" fn(*mut WOLFSSL) -> c_int) -> Result<bool> {
    // SAFETY: by the contract above.
    unsafe {
        let code = call(ssl);
        match wolfSSL_get_error(ssl, code) {
            _ if code == 1 => Ok(true),
            error if error == WOLFSSL_ERROR_WANT_READ as c_int => Ok(false),
            error => bail!("handshake: {error}"),
        }
    }
}

/// # Safety
/// `context` is a [`Wire`]; `bytes` points at `length` readable bytes.
unsafe extern "C" fn send(_: *mut WOLFSSL, bytes: *mut c_char, length: c_int, context: *mut c_void) -> c_int {
    // SAFETY: by the contract above.
    let (wire, datagram) =
        unsafe { (&mut *context.cast::<Wire>(), core::slice::from_raw_parts(bytes.cast::<u8>(), length as usize)) };
    wire.outgoing.push_back(datagram.to_vec());
    length
}

/// # Safety
/// `context` is a [`Wire`]; `bytes` points at `length` writable bytes.
unsafe extern "C" fn receive(_: *mut WOLFSSL, bytes: *mut c_char, length: c_int, context: *mut c_void) -> c_int {
    // SAFETY: by the contract above.
    let (wire, buffer) =
        unsafe { (&mut *context.cast::<Wire>(), core::slice::from_raw_parts_mut(bytes.cast::<u8>(), length as usize)) };
    let Some(datagram) = wire.incoming.pop_front() else { return IOerrors_WOLFSSL_CBIO_ERR_WANT_READ };
    let taken = datagram.len().min(buffer.len());
    buffer[..taken].copy_from_slice(&datagram[..taken]);
    taken as c_int
}

/// # Safety
/// `identity` and `key` point at as many writable bytes as their limits say.
unsafe extern "C" fn client_key(
    ssl: *mut WOLFSSL,
    _: *const c_char,
    identity: *mut c_char,
    identity_max: c_uint,
    key: *mut c_uchar,
    key_max: c_uint,
) -> c_uint {
    let name = b"meter\0";
    if (identity_max as usize) < name.len() {
        return 0;
    }
    // SAFETY: by the contract above.
    unsafe {
        core::ptr::copy_nonoverlapping(name.as_ptr(), identity.cast(), name.len());
        server_key(ssl, identity, key, key_max)
    }
}

/// # Safety
/// `key` points at `key_max` writable bytes.
unsafe extern "C" fn server_key(_: *mut WOLFSSL, _: *const c_char, key: *mut c_uchar, key_max: c_uint) -> c_uint {
    if (key_max as usize) < KEY.len() {
        return 0;
    }
    // SAFETY: by the contract above.
    unsafe { core::ptr::copy_nonoverlapping(KEY.as_ptr(), key, KEY.len()) };
    KEY.len() as c_uint
}
