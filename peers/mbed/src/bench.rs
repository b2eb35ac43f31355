//! What Mbed TLS costs a server: memory a session, handshakes and records a second of CPU time. Both sides talk
//! through memory; only the server's calls are timed. One configuration serves all sessions, as a server would.
#![allow(unsafe_code, reason = "Mbed TLS is a C library")]

use core::ffi::{c_int, c_uchar, c_void};
use std::collections::VecDeque;
use std::time::Duration;

use anyhow::{Result, bail, ensure};
use bartizan_peer_common::bench::{self, PAYLOAD, RECORDS_PER_SESSION, cpu_time};
use mbedtls_rs_sys::*;

use crate::mbed::{check, is_again, random};

const CID_BYTES: usize = 8;

/// `NAME VALUE` lines.
///
/// # Errors
/// If a handshake does not end, or a record does not open.
pub fn run(sessions: usize) -> Result<String> {
    let (server, client) = (Config::new(true)?, Config::new(false)?);
    let establish = |spent: &mut Duration| Session::establish(&server, &client, spent);
    bench::run("mbedtls-3.6", sessions, establish, Session::read)
}

/// Which way datagrams go.
#[derive(Default)]
struct Wire {
    incoming: VecDeque<Vec<u8>>,
    outgoing: VecDeque<Vec<u8>>,
}

/// One side's configuration, shared by all its contexts.
struct Config {
    is_server: bool,
    config: Box<mbedtls_ssl_config>,
    _suites: Box<[c_int; 2]>,
}

impl Config {
    fn new(is_server: bool) -> Result<Self> {
        let suites = Box::new([0xC0A8, 0]);
        // SAFETY: initialisers expect zeroed structures; the boxes live as long as the configuration.
        unsafe {
            let mut config: Box<mbedtls_ssl_config> = Box::new(core::mem::zeroed());
            let pointer: *mut mbedtls_ssl_config = &mut *config;
            check(psa_crypto_init(), "psa_crypto_init")?;
            mbedtls_ssl_config_init(pointer);
            check(mbedtls_ssl_config_defaults(pointer, c_int::from(is_server), 1, 0), "config_defaults")?;
            mbedtls_ssl_conf_rng(pointer, Some(random), core::ptr::null_mut());
            mbedtls_ssl_conf_ciphersuites(pointer, suites.as_ptr());
            // Without cookies: what they cost is the same small hash everywhere.
            mbedtls_ssl_conf_dtls_cookies(pointer, None, None, core::ptr::null_mut());
            let (psk, identity) = ([0x42_u8; 16], *b"meter");
            check(mbedtls_ssl_conf_psk(pointer, psk.as_ptr(), 16, identity.as_ptr(), identity.len()), "conf_psk")?;
            let own = if is_server { CID_BYTES } else { 0 };
            check(mbedtls_ssl_conf_cid(pointer, own, MBEDTLS_SSL_UNEXPECTED_CID_IGNORE as c_int), "conf_cid")?;
            Ok(Self { is_server, config, _suites: suites })
        }
    }

    fn context(&self, wire: &mut Wire) -> Result<Box<mbedtls_ssl_context>> {
        let wire: *mut Wire = wire;
        let own = if self.is_server { CID_BYTES } else { 0 };
        // SAFETY: configuration and wire are boxed and outlive the context.
        unsafe {
            let mut context: Box<mbedtls_ssl_context> = Box::new(core::mem::zeroed());
            mbedtls_ssl_init(&mut *context);
            check(mbedtls_ssl_setup(&mut *context, &*self.config), "setup")?;
            mbedtls_ssl_set_timer_cb(&mut *context, wire.cast(), Some(no_timer), Some(never));
            mbedtls_ssl_set_bio(&mut *context, wire.cast(), Some(send), Some(receive), None);
            let mut cid = [0; CID_BYTES];
            random(core::ptr::null_mut(), cid.as_mut_ptr(), CID_BYTES);
            check(mbedtls_ssl_set_cid(&mut *context, 1, cid.as_ptr(), own), "set_cid")?;
            Ok(context)
        }
    }
}

/// A server's context, and records that wait for it.
struct Session {
    context: Box<mbedtls_ssl_context>,
    wire: Box<Wire>,
    waiting: Vec<Vec<u8>>,
}

impl Session {
    /// A handshake; the client is gone afterwards, but for the records it sealed.
    fn establish(server: &Config, client: &Config, spent: &mut Duration) -> Result<Self> {
        let (mut up, mut down) = (Box::<Wire>::default(), Box::<Wire>::default());
        let mut ours = server.context(&mut down)?;
        let mut theirs = client.context(&mut up)?;
        let (mut ours_done, mut theirs_done) = (false, false);
        for _ in 0..32 {
            theirs_done = theirs_done || step(&mut theirs)?;
            down.incoming.append(&mut up.outgoing);
            let before = cpu_time();
            ours_done = ours_done || step(&mut ours)?;
            *spent += cpu_time() - before;
            up.incoming.append(&mut down.outgoing);
        }
        ensure!(ours_done && theirs_done, "the handshake does not end");
        for _ in 0..RECORDS_PER_SESSION {
            // SAFETY: the payload outlives the call.
            let code = unsafe { mbedtls_ssl_write(&mut *theirs, PAYLOAD.as_ptr(), PAYLOAD.len()) };
            ensure!(code == PAYLOAD.len() as c_int, "write: -0x{:04x}", -code);
        }
        // SAFETY: the context was set up and is not used again.
        unsafe { mbedtls_ssl_free(&mut *theirs) };
        Ok(Self { context: ours, wire: down, waiting: up.outgoing.drain(..).collect() })
    }

    fn read(&mut self) -> Result<()> {
        self.wire.incoming.extend(self.waiting.pop());
        let mut buffer = [0; 256];
        // SAFETY: `buffer` outlives the call.
        let code = unsafe { mbedtls_ssl_read(&mut *self.context, buffer.as_mut_ptr(), buffer.len()) };
        ensure!(code == PAYLOAD.len() as c_int, "read: -0x{:04x}", -code);
        Ok(())
    }
}

/// Whether the handshake is finished.
fn step(context: &mut mbedtls_ssl_context) -> Result<bool> {
    // SAFETY: the context was set up by `Config::context`.
    match unsafe { mbedtls_ssl_handshake(context) } {
        0 => Ok(true),
        code if is_again(code) => Ok(false),
        code => bail!("handshake: -0x{:04x}", -code),
    }
}

/// # Safety
/// `context` is a `Wire`; `bytes` points at `length` readable bytes.
unsafe extern "C" fn send(context: *mut c_void, bytes: *const c_uchar, length: usize) -> c_int {
    // SAFETY: by the contract above.
    let (wire, datagram) = unsafe { (&mut *context.cast::<Wire>(), core::slice::from_raw_parts(bytes, length)) };
    wire.outgoing.push_back(datagram.to_vec());
    length as c_int
}

/// # Safety
/// `context` is a `Wire`; `bytes` points at `length` writable bytes.
unsafe extern "C" fn receive(context: *mut c_void, bytes: *mut c_uchar, length: usize) -> c_int {
    // SAFETY: by the contract above.
    let (wire, buffer) = unsafe { (&mut *context.cast::<Wire>(), core::slice::from_raw_parts_mut(bytes, length)) };
    let Some(datagram) = wire.incoming.pop_front() else { return MBEDTLS_ERR_SSL_WANT_READ as c_int };
    let taken = datagram.len().min(buffer.len());
    buffer[..taken].copy_from_slice(&datagram[..taken]);
    taken as c_int
}

unsafe extern "C" fn no_timer(_: *mut c_void, _: u32, _: u32) {}

unsafe extern "C" fn never(_: *mut c_void) -> c_int {
    0
}
