//! Mbed TLS 3.6 behind a safe face: one association over one [`Transport`].
#![allow(unsafe_code, reason = "Mbed TLS is a C library")]

use core::ffi::{CStr, c_int, c_uchar, c_void};
use std::time::{Duration, Instant};

use anyhow::{Result, bail};
use bartizan_peer_common::{Arguments, Auth, Facts, Group, Peer, Role, Transport, Version};
use mbedtls_rs_sys::*;

const AUTHMODE_REQUIRED: c_int = 2;

/// What Mbed TLS calls back into; boxed so that its address stays.
struct Shared {
    transport: Transport,
    timer: Option<(Instant, Duration, Duration)>,
    wait: Duration,
}

/// One association. Fields that C code points at are boxed and never moved.
pub struct Mbed {
    arguments: Arguments,
    config: Box<mbedtls_ssl_config>,
    context: Box<mbedtls_ssl_context>,
    cookies: Box<mbedtls_ssl_cookie_ctx>,
    suites: Box<[c_int; 2]>,
    groups: Box<[u16; 3]>,
    certificate: Box<mbedtls_x509_crt>,
    key: Box<mbedtls_pk_context>,
    authority: Box<mbedtls_x509_crt>,
    shared: Box<Shared>,
}

impl Mbed {
    /// # Errors
    /// If Mbed TLS does not take a setting.
    pub fn new(arguments: Arguments, transport: Transport) -> Result<Self> {
        if arguments.version != Version::Dtls12 || arguments.auth == Auth::Rpk {
            bail!("Mbed TLS has neither DTLS 1.3 nor raw public keys");
        }
        let suite = arguments.suite.code(arguments.version, arguments.auth);
        // RFC 8422 lets one list name the curves of the exchange and of the certificates.
        let for_certificates = if arguments.auth == Auth::Ecdsa { Group::P256.code() } else { 0 };
        let shared = Shared { transport, timer: None, wait: arguments.wait };
        // SAFETY: Mbed TLS's own initialisers expect zeroed structures.
        let mut peer = unsafe {
            Self {
                suites: Box::new([c_int::from(suite), 0]),
                groups: Box::new([arguments.group.code(), for_certificates, 0]),
                arguments,
                config: Box::new(core::mem::zeroed()),
                context: Box::new(core::mem::zeroed()),
                cookies: Box::new(core::mem::zeroed()),
                certificate: Box::new(core::mem::zeroed()),
                key: Box::new(core::mem::zeroed()),
                authority: Box::new(core::mem::zeroed()),
                shared: Box::new(shared),
            }
        };
        peer.configure()?;
        peer.set_up()?;
        Ok(peer)
    }

    fn configure(&mut self) -> Result<()> {
        let (server, datagram) = (c_int::from(self.arguments.role == Role::Server), 1);
        let config: *mut mbedtls_ssl_config = &mut *self.config;
        let cid_bytes = self.arguments.own_cid.as_ref().map_or(0, Vec::len);
        // SAFETY: everything pointed at is boxed in `self` and lives as long as the configuration.
        unsafe {
            check(psa_crypto_init(), "psa_crypto_init")?;
            mbedtls_ssl_config_init(config);
            check(mbedtls_ssl_config_defaults(config, server, datagram, 0), "config_defaults")?;
            mbedtls_ssl_conf_rng(config, Some(random), core::ptr::null_mut());
            mbedtls_ssl_conf_ciphersuites(config, self.suites.as_ptr());
            mbedtls_ssl_conf_groups(config, self.groups.as_ptr());
            mbedtls_ssl_conf_read_timeout(config, self.shared.wait.as_millis() as u32);
            mbedtls_ssl_conf_handshake_timeout(config, 300, 20_000);
            check(mbedtls_ssl_conf_cid(config, cid_bytes, MBEDTLS_SSL_UNEXPECTED_CID_IGNORE as c_int), "conf_cid")?;
        }
        if self.arguments.auth.has_psk() { self.configure_psk() } else { self.configure_certificates() }?;
        if self.arguments.role == Role::Server { self.configure_cookies() } else { Ok(()) }
    }

    fn configure_psk(&mut self) -> Result<()> {
        let Arguments { psk, identity, .. } = &self.arguments;
        let config: *mut mbedtls_ssl_config = &mut *self.config;
        // SAFETY: both are copied.
        let code = unsafe { mbedtls_ssl_conf_psk(config, psk.as_ptr(), psk.len(), identity.as_ptr(), identity.len()) };
        check(code, "conf_psk")
    }

    /// Own certificate and key, and the authority that the other side's certificate must come from.
    fn configure_certificates(&mut self) -> Result<()> {
        let Arguments { certificate, key, trusted, .. } = &self.arguments;
        let config: *mut mbedtls_ssl_config = &mut *self.config;
        // SAFETY: what is parsed is boxed in `self` and lives as long as the configuration.
        unsafe {
            mbedtls_x509_crt_init(&mut *self.certificate);
            mbedtls_x509_crt_init(&mut *self.authority);
            mbedtls_pk_init(&mut *self.key);
            let (bytes, length) = (certificate.as_ptr(), certificate.len());
            check(mbedtls_x509_crt_parse_der(&mut *self.certificate, bytes, length), "certificate")?;
            let (bytes, length) = (trusted.as_ptr(), trusted.len());
            check(mbedtls_x509_crt_parse_der(&mut *self.authority, bytes, length), "authority")?;
            let (bytes, length, none) = (key.as_ptr(), key.len(), core::ptr::null_mut());
            check(mbedtls_pk_parse_key(&mut *self.key, bytes, length, none, 0, Some(random), none.cast()), "key")?;
            check(mbedtls_ssl_conf_own_cert(config, &mut *self.certificate, &mut *self.key), "conf_own_cert")?;
            mbedtls_ssl_conf_ca_chain(config, &mut *self.authority, core::ptr::null_mut());
            mbedtls_ssl_conf_authmode(config, AUTHMODE_REQUIRED);
        }
        Ok(())
    }

    fn configure_cookies(&mut self) -> Result<()> {
        let cookies: *mut mbedtls_ssl_cookie_ctx = &mut *self.cookies;
        // SAFETY: the cookie context is boxed in `self`.
        unsafe {
            mbedtls_ssl_cookie_init(cookies);
            check(mbedtls_ssl_cookie_setup(cookies, Some(random), core::ptr::null_mut()), "cookie_setup")?;
            mbedtls_ssl_conf_dtls_cookies(
                &mut *self.config,
                Some(mbedtls_ssl_cookie_write),
                Some(mbedtls_ssl_cookie_check),
                cookies.cast(),
            );
        }
        Ok(())
    }

    fn set_up(&mut self) -> Result<()> {
        let shared: *mut Shared = &mut *self.shared;
        // SAFETY: `shared` and the configuration are boxed in `self` and live as long as the context.
        unsafe {
            mbedtls_ssl_init(&mut *self.context);
            check(mbedtls_ssl_setup(&mut *self.context, &*self.config), "setup")?;
            mbedtls_ssl_set_mtu(&mut *self.context, self.arguments.mtu);
            if self.arguments.role == Role::Client {
                // No name to check: who may answer is said by the authority alone.
                check(mbedtls_ssl_set_hostname(&mut *self.context, core::ptr::null()), "set_hostname")?;
            }
            mbedtls_ssl_set_timer_cb(&mut *self.context, shared.cast(), Some(set_timer), Some(read_timer));
            mbedtls_ssl_set_bio(&mut *self.context, shared.cast(), Some(send), None, Some(receive));
        }
        self.identify()
    }

    /// After HelloVerifyRequest the server forgets everything and waits for the ClientHello with the cookie.
    fn reset(&mut self) -> Result<()> {
        // SAFETY: the context was set up by `new`.
        unsafe { check(mbedtls_ssl_session_reset(&mut *self.context), "session_reset")? };
        self.identify()
    }

    /// What a reset forgets: our Connection ID, and whom cookies are made for.
    fn identify(&mut self) -> Result<()> {
        let cid = self.arguments.own_cid.clone().unwrap_or_default();
        let enabled = c_int::from(self.arguments.own_cid.is_some());
        // SAFETY: both values are copied by Mbed TLS.
        unsafe {
            check(mbedtls_ssl_set_cid(&mut *self.context, enabled, cid.as_ptr(), cid.len()), "set_cid")?;
            if let (true, Some(remote)) = (self.arguments.role == Role::Server, self.shared.transport.remote()) {
                let id = remote.to_string();
                check(mbedtls_ssl_set_client_transport_id(&mut *self.context, id.as_ptr(), id.len()), "transport_id")?;
            }
        }
        Ok(())
    }
}

impl Peer for Mbed {
    fn handshake(&mut self) -> Result<()> {
        loop {
            // SAFETY: the context was set up by `new`.
            let code = unsafe { mbedtls_ssl_handshake(&mut *self.context) };
            if code == 0 {
                return Ok(());
            } else if code == MBEDTLS_ERR_SSL_HELLO_VERIFY_REQUIRED as c_int {
                self.reset()?;
            } else if !is_again(code) {
                bail!("handshake failed: -0x{:04x}", -code);
            }
        }
    }

    fn facts(&mut self) -> Result<Facts> {
        let (mut enabled, mut cid, mut length) = (0, [0_u8; 32], 0_usize);
        // SAFETY: the out-pointers live through the calls, and the names are static.
        let (version, suite) = unsafe {
            check(
                mbedtls_ssl_get_peer_cid(&mut *self.context, &mut enabled, cid.as_mut_ptr(), &mut length),
                "get_peer_cid",
            )?;
            (
                CStr::from_ptr(mbedtls_ssl_get_version(&*self.context)).to_string_lossy().into_owned(),
                CStr::from_ptr(mbedtls_ssl_get_ciphersuite(&*self.context)).to_string_lossy().into_owned(),
            )
        };
        let agreed = enabled == MBEDTLS_SSL_CID_ENABLED as c_int;
        Ok(Facts {
            version,
            suite,
            group: None,
            own_cid: self.arguments.own_cid.clone().filter(|_| agreed),
            peer_cid: agreed.then(|| cid.iter().copied().take(length).collect()),
            exporter: None, // not in 3.6
        })
    }

    fn write(&mut self, bytes: &[u8]) -> Result<()> {
        // SAFETY: `bytes` outlives the call.
        let code = unsafe { mbedtls_ssl_write(&mut *self.context, bytes.as_ptr(), bytes.len()) };
        if code < 0 {
            bail!("write failed: -0x{:04x}", -code);
        }
        Ok(())
    }

    fn read(&mut self) -> Result<Option<Vec<u8>>> {
        let mut buffer = vec![0; 16_384];
        let deadline = Instant::now() + self.shared.wait;
        loop {
            // SAFETY: `buffer` outlives the call.
            let code = unsafe { mbedtls_ssl_read(&mut *self.context, buffer.as_mut_ptr(), buffer.len()) };
            if code > 0 {
                buffer.truncate(code as usize);
                return Ok(Some(buffer));
            }
            let timed_out = code == MBEDTLS_ERR_SSL_TIMEOUT as c_int;
            if timed_out || (is_again(code) && Instant::now() >= deadline) {
                return Ok(None);
            } else if !is_again(code) {
                bail!("closed -0x{:04x}", -code);
            }
        }
    }

    fn update_keys(&mut self) -> Result<()> {
        bail!("DTLS 1.2 has no key update")
    }

    fn close(&mut self) {
        // SAFETY: the context was set up by `new`.
        unsafe { mbedtls_ssl_close_notify(&mut *self.context) };
    }

    fn transport(&mut self) -> &mut Transport {
        &mut self.shared.transport
    }
}

pub fn is_again(code: c_int) -> bool {
    code == MBEDTLS_ERR_SSL_WANT_READ as c_int || code == MBEDTLS_ERR_SSL_WANT_WRITE as c_int
}

pub fn check(code: c_int, what: &str) -> Result<()> {
    if code != 0 {
        bail!("{what}: -0x{:04x}", -code);
    }
    Ok(())
}

/// # Safety
/// `context` is the `Shared` given to `mbedtls_ssl_set_bio`; `bytes` points at `length` readable bytes.
unsafe extern "C" fn send(context: *mut c_void, bytes: *const c_uchar, length: usize) -> c_int {
    // SAFETY: by the contract above.
    let (shared, datagram) = unsafe { (&mut *context.cast::<Shared>(), core::slice::from_raw_parts(bytes, length)) };
    shared.transport.send(datagram).map_or(-1, |taken| taken as c_int)
}

/// # Safety
/// `context` is the `Shared` given to `mbedtls_ssl_set_bio`; `bytes` points at `length` writable bytes.
unsafe extern "C" fn receive(context: *mut c_void, bytes: *mut c_uchar, length: usize, wait_ms: u32) -> c_int {
    // SAFETY: by the contract above.
    let (shared, buffer) = unsafe { (&mut *context.cast::<Shared>(), core::slice::from_raw_parts_mut(bytes, length)) };
    let wait = if wait_ms == 0 { shared.wait } else { Duration::from_millis(u64::from(wait_ms)) };
    shared.transport.receive(buffer, wait).map_or(MBEDTLS_ERR_SSL_TIMEOUT as c_int, |taken| taken as c_int)
}

/// # Safety
/// `context` is the `Shared` given to `mbedtls_ssl_set_timer_cb`.
unsafe extern "C" fn set_timer(context: *mut c_void, intermediate_ms: u32, final_ms: u32) {
    // SAFETY: by the contract above.
    let shared = unsafe { &mut *context.cast::<Shared>() };
    let ms = |value: u32| Duration::from_millis(u64::from(value));
    shared.timer = (final_ms != 0).then(|| (Instant::now(), ms(intermediate_ms), ms(final_ms)));
}

/// -1: no timer; 0: running; 1: intermediate delay passed; 2: final delay passed.
///
/// # Safety
/// `context` is the `Shared` given to `mbedtls_ssl_set_timer_cb`.
unsafe extern "C" fn read_timer(context: *mut c_void) -> c_int {
    // SAFETY: by the contract above.
    let shared = unsafe { &*context.cast::<Shared>() };
    let Some((start, intermediate, last)) = shared.timer else { return -1 };
    let passed = start.elapsed();
    c_int::from(passed >= intermediate) + c_int::from(passed >= last)
}

/// # Safety
/// `bytes` points at `length` writable bytes.
pub unsafe extern "C" fn random(_: *mut c_void, bytes: *mut c_uchar, length: usize) -> c_int {
    // SAFETY: by the contract above.
    let out = unsafe { core::slice::from_raw_parts_mut(bytes, length) };
    getrandom::fill(out).map_or(-1, |()| 0)
}

/// The symbol by which PSA asks for randomness.
///
/// # Safety
/// `bytes` points at `length` writable bytes and `filled` at a `usize`.
#[unsafe(no_mangle)]
unsafe extern "C" fn mbedtls_psa_external_get_random(
    context: *mut c_void,
    bytes: *mut c_uchar,
    length: usize,
    filled: *mut usize,
) -> c_int {
    // SAFETY: by the contract above.
    unsafe {
        *filled = length;
        random(context, bytes, length)
    }
}
