//! wolfSSL behind a safe face: one association over one [`Transport`].

use core::ffi::{CStr, c_int, c_long, c_void};
use std::time::{Duration, Instant};

use anyhow::{Result, bail};
use bartizan_peer_common::{Arguments, Auth, Facts, Group, Peer, Role, Transport, Version};
use wolfssl_sys::*;

use crate::callbacks::{self, Shared};
use crate::suites;

/// wolfSSL counts its timeouts in seconds, from one upwards; tests count them in these.
const TICK: Duration = Duration::from_millis(300);
const HANDSHAKE_MAX: Duration = Duration::from_secs(40);
const EXPORTER_LABEL: &CStr = c"EXPORTER-bartizan-session";
const ASN1: c_int = 2;
const VERIFY_PEER_AND_FAIL_WITHOUT: c_int = 1 | 2;
const RAW_PUBLIC_KEY: [i8; 1] = [2];

pub struct Wolf {
    arguments: Arguments,
    context: *mut WOLFSSL_CTX,
    ssl: *mut WOLFSSL,
    shared: Box<Shared>,
}

impl Wolf {
    /// # Errors
    /// If wolfSSL does not take a setting.
    pub fn new(arguments: Arguments, transport: Transport) -> Result<Self> {
        let suite = suites::name(arguments.version, arguments.auth, arguments.suite)?;
        let shared = Shared {
            transport,
            wait: TICK,
            timed_out: false,
            identity: arguments.identity.clone(),
            psk: arguments.psk.clone(),
            suite,
        };
        // SAFETY: plain constructors; wolfSSL takes the method's ownership.
        let context = unsafe {
            wolfSSL_Init();
            wolfSSL_CTX_new(match (arguments.role, arguments.version) {
                (Role::Server, Version::Dtls12) => wolfDTLSv1_2_server_method(),
                (Role::Server, Version::Dtls13) => wolfDTLSv1_3_server_method(),
                (Role::Client, Version::Dtls12) => wolfDTLSv1_2_client_method(),
                (Role::Client, Version::Dtls13) => wolfDTLSv1_3_client_method(),
            })
        };
        if context.is_null() {
            bail!("no context");
        }
        let mut peer = Self { arguments, context, ssl: core::ptr::null_mut(), shared: Box::new(shared) };
        peer.configure()?;
        peer.set_up()?;
        Ok(peer)
    }

    fn configure(&mut self) -> Result<()> {
        let (version, auth) = (self.arguments.version, self.arguments.auth);
        // SAFETY: the context lives as long as `self`; buffers are copied by wolfSSL.
        unsafe {
            wolfSSL_CTX_SetIORecv(self.context, Some(callbacks::receive));
            wolfSSL_CTX_SetIOSend(self.context, Some(callbacks::send));
            check(wolfSSL_CTX_set_cipher_list(self.context, self.shared.suite.as_ptr()), "cipher list")?;
            check(wolfSSL_CTX_dtls_set_mtu(self.context, self.arguments.mtu), "mtu")?;
            if version == Version::Dtls13 && self.arguments.role == Role::Server {
                wolfSSL_CTX_no_ticket_TLSv13(self.context);
            }
            match (version, auth) {
                (Version::Dtls13, Auth::Psk) => zero(wolfSSL_CTX_no_dhe_psk(self.context), "psk_ke")?,
                (Version::Dtls13, Auth::EcdhePsk) => zero(wolfSSL_CTX_only_dhe_psk(self.context), "psk_dhe_ke")?,
                _ => {}
            }
        }
        self.offer_group()?;
        if auth.has_psk() { self.use_psk() } else { self.use_keys() }
            .and_then(|()| if auth == Auth::Rpk { self.use_raw_public_keys() } else { Ok(()) })
    }

    fn offer_group(&mut self) -> Result<()> {
        let group = self.arguments.group.code();
        // SAFETY: the list is copied.
        unsafe {
            if self.arguments.version == Version::Dtls13 {
                return check(wolfSSL_CTX_set_groups(self.context, &mut c_int::from(group), 1), "group");
            }
            check(wolfSSL_CTX_UseSupportedCurve(self.context, group), "group")?;
            if group != Group::P256.code() && !self.arguments.auth.has_psk() {
                // For the certificates: RFC 8422 lets one list name the curves of both.
                check(wolfSSL_CTX_UseSupportedCurve(self.context, Group::P256.code()), "group")?;
            }
        }
        Ok(())
    }

    fn use_psk(&mut self) -> Result<()> {
        // SAFETY: the callbacks' contract is met by `set_up`.
        unsafe {
            match (self.arguments.role, self.arguments.version) {
                (Role::Client, Version::Dtls12) => {
                    wolfSSL_CTX_set_psk_client_callback(self.context, Some(callbacks::client_12))
                }
                (Role::Client, Version::Dtls13) => {
                    wolfSSL_CTX_set_psk_client_tls13_callback(self.context, Some(callbacks::client_13))
                }
                (Role::Server, Version::Dtls12) => {
                    wolfSSL_CTX_set_psk_server_callback(self.context, Some(callbacks::server_12))
                }
                (Role::Server, Version::Dtls13) => {
                    wolfSSL_CTX_set_psk_server_tls13_callback(self.context, Some(callbacks::server_13))
                }
            }
        }
        Ok(())
    }

    /// Own certificate or public key, own private key, and whom to trust.
    fn use_keys(&mut self) -> Result<()> {
        let Arguments { certificate, key, trusted, .. } = &self.arguments;
        // SAFETY: buffers are copied.
        unsafe {
            let (bytes, length) = (certificate.as_ptr(), certificate.len() as c_long);
            check(wolfSSL_CTX_use_certificate_buffer(self.context, bytes, length, ASN1), "certificate")?;
            let (bytes, length) = (key.as_ptr(), key.len() as c_long);
            check(wolfSSL_CTX_use_PrivateKey_buffer(self.context, bytes, length, ASN1), "key")?;
            if self.arguments.auth == Auth::Ecdsa {
                let (bytes, length) = (trusted.as_ptr(), trusted.len() as c_long);
                check(wolfSSL_CTX_load_verify_buffer(self.context, bytes, length, ASN1), "authority")?;
            }
            wolfSSL_CTX_set_verify(self.context, VERIFY_PEER_AND_FAIL_WITHOUT, None);
        }
        Ok(())
    }

    fn use_raw_public_keys(&mut self) -> Result<()> {
        let trusted = &self.arguments.trusted;
        // SAFETY: buffers are copied.
        unsafe {
            check(wolfSSL_CTX_set_client_cert_type(self.context, RAW_PUBLIC_KEY.as_ptr(), 1), "client type")?;
            check(wolfSSL_CTX_set_server_cert_type(self.context, RAW_PUBLIC_KEY.as_ptr(), 1), "server type")?;
            check(wolfSSL_CTX_set_expected_rpk(self.context, trusted.as_ptr(), trusted.len() as u32), "expected key")
        }
    }

    fn set_up(&mut self) -> Result<()> {
        let shared: *mut c_void = (&raw mut *self.shared).cast();
        // SAFETY: `shared` is boxed in `self` and lives as long as the association.
        unsafe {
            self.ssl = wolfSSL_new(self.context);
            if self.ssl.is_null() {
                bail!("no association");
            }
            wolfSSL_SetIOReadCtx(self.ssl, shared);
            wolfSSL_SetIOWriteCtx(self.ssl, shared);
            wolfSSL_dtls_set_using_nonblock(self.ssl, 1);
            wolfSSL_KeepArrays(self.ssl); // for the exporter
            if self.arguments.auth.has_psk() {
                check(wolfSSL_set_psk_callback_ctx(self.ssl, shared), "key")?;
            }
            if self.arguments.version == Version::Dtls13 && self.arguments.role == Role::Server {
                check(wolfSSL_dtls13_allow_ch_frag(self.ssl, 1), "fragments")?;
            }
            if let Some(cid) = &mut self.arguments.own_cid {
                check(wolfSSL_dtls_cid_use(self.ssl), "Connection ID")?;
                check(wolfSSL_dtls_cid_set(self.ssl, cid.as_mut_ptr(), cid.len() as u32), "Connection ID")?;
            }
        }
        Ok(())
    }

    /// After a call that could not go on: waits over, so that wolfSSL sends again what was lost.
    fn again(&mut self, code: c_int) -> Result<()> {
        // SAFETY: the association was made by `set_up`.
        unsafe {
            let error = wolfSSL_get_error(self.ssl, code);
            if error != WOLFSSL_ERROR_WANT_READ as c_int {
                bail!("{} {error}", describe(error));
            }
            if self.shared.timed_out {
                self.shared.timed_out = false;
                let code = wolfSSL_dtls_got_timeout(self.ssl);
                let error = wolfSSL_get_error(self.ssl, code);
                if code != 1 && error != WOLFSSL_ERROR_WANT_READ as c_int && error != 0 {
                    bail!("gave up: {} {error}", describe(error));
                }
            }
        }
        Ok(())
    }

    fn tick(&self) -> Duration {
        // SAFETY: the association was made by `set_up`.
        let (units, quick) =
            unsafe { (wolfSSL_dtls_get_current_timeout(self.ssl), wolfSSL_dtls13_use_quick_timeout(self.ssl) == 1) };
        let tick = TICK * units.clamp(1, 32) as u32;
        if quick { tick / 4 } else { tick }
    }

    /// Own and peer's, if they were agreed on.
    fn connection_ids(&mut self) -> Result<Option<(Vec<u8>, Vec<u8>)>> {
        let (mut own, mut peer) = (vec![0; 255], vec![0; 255]);
        let (mut own_length, mut peer_length) = (0, 0);
        // SAFETY: the out-pointers live through the calls.
        unsafe {
            if wolfSSL_dtls_cid_is_enabled(self.ssl) != 1 {
                return Ok(None);
            }
            check(wolfSSL_dtls_cid_get_rx_size(self.ssl, &mut own_length), "own Connection ID")?;
            check(wolfSSL_dtls_cid_get_tx_size(self.ssl, &mut peer_length), "peer's Connection ID")?;
            if own_length > 0 {
                check(wolfSSL_dtls_cid_get_rx(self.ssl, own.as_mut_ptr(), 255), "own Connection ID")?;
            }
            if peer_length > 0 {
                check(wolfSSL_dtls_cid_get_tx(self.ssl, peer.as_mut_ptr(), 255), "peer's Connection ID")?;
            }
        }
        own.truncate(own_length as usize);
        peer.truncate(peer_length as usize);
        Ok(Some((own, peer)))
    }

    fn exporter(&mut self) -> Option<Vec<u8>> {
        let (mut out, label) = (vec![0; 32], EXPORTER_LABEL.to_bytes().len());
        // SAFETY: `out` and the label outlive the call; there is no context.
        let code = unsafe {
            let (out, length) = (out.as_mut_ptr(), out.len());
            wolfSSL_export_keying_material(
                self.ssl,
                out,
                length,
                EXPORTER_LABEL.as_ptr(),
                label,
                core::ptr::null(),
                0,
                0,
            )
        };
        (code == 1).then_some(out)
    }
}

impl Peer for Wolf {
    fn handshake(&mut self) -> Result<()> {
        let deadline = Instant::now() + HANDSHAKE_MAX;
        loop {
            self.shared.wait = self.tick();
            // SAFETY: the association was made by `set_up`.
            let code = unsafe {
                match self.arguments.role {
                    Role::Client => wolfSSL_connect(self.ssl),
                    Role::Server => wolfSSL_accept(self.ssl),
                }
            };
            if code == 1 {
                return Ok(());
            }
            if let Err(error) = self.again(code) {
                bail!("handshake failed: {error}");
            }
            if Instant::now() >= deadline {
                bail!("handshake failed: too slow");
            }
        }
    }

    fn facts(&mut self) -> Result<Facts> {
        let (own_cid, peer_cid) = self.connection_ids()?.unzip();
        let exporter = self.exporter();
        // SAFETY: the names are static strings.
        let (version, suite, group) = unsafe {
            let [high, low] = (wolfSSL_get_current_cipher_suite(self.ssl) as u16).to_be_bytes();
            (
                text(wolfSSL_get_version(self.ssl)),
                text(wolfSSL_get_cipher_name_iana_from_suite(high, low)),
                text(wolfSSL_get_curve_name(self.ssl)),
            )
        };
        let group = Some(group).filter(|group| !group.is_empty());
        Ok(Facts { version, suite, group, own_cid, peer_cid, exporter })
    }

    fn write(&mut self, bytes: &[u8]) -> Result<()> {
        // SAFETY: `bytes` outlives the call.
        let code = unsafe { wolfSSL_write(self.ssl, bytes.as_ptr().cast(), bytes.len() as c_int) };
        if code <= 0 {
            // SAFETY: the association was made by `set_up`.
            bail!("write failed: {}", describe(unsafe { wolfSSL_get_error(self.ssl, code) }));
        }
        Ok(())
    }

    fn read(&mut self) -> Result<Option<Vec<u8>>> {
        let mut buffer = vec![0; 16_384];
        let deadline = Instant::now() + self.arguments.wait;
        loop {
            let left = deadline.saturating_duration_since(Instant::now());
            if left.is_zero() {
                return Ok(None);
            }
            self.shared.wait = left.min(self.tick());
            // SAFETY: `buffer` outlives the call.
            let code = unsafe { wolfSSL_read(self.ssl, buffer.as_mut_ptr().cast(), buffer.len() as c_int) };
            if code > 0 {
                buffer.truncate(code as usize);
                return Ok(Some(buffer));
            }
            if let Err(error) = self.again(code) {
                bail!("closed: {error}");
            }
        }
    }

    fn update_keys(&mut self) -> Result<()> {
        // SAFETY: the association was made by `set_up`.
        check(unsafe { wolfSSL_update_keys(self.ssl) }, "key update")
    }

    fn close(&mut self) {
        // SAFETY: the association was made by `set_up`.
        unsafe { wolfSSL_shutdown(self.ssl) };
    }

    fn transport(&mut self) -> &mut Transport {
        &mut self.shared.transport
    }
}

impl Drop for Wolf {
    fn drop(&mut self) {
        // SAFETY: both were made by wolfSSL or are null, which it takes.
        unsafe {
            wolfSSL_free(self.ssl);
            wolfSSL_CTX_free(self.context);
        }
    }
}

/// wolfSSL answers 1 for success, and what it is for otherwise.
fn check(code: c_int, what: &str) -> Result<()> {
    if code != 1 {
        bail!("{what}: {} {code}", describe(code));
    }
    Ok(())
}

/// As [`check`], for the calls that answer 0 for success.
fn zero(code: c_int, what: &str) -> Result<()> {
    check(if code == 0 { 1 } else { code }, what)
}

fn describe(error: c_int) -> String {
    // SAFETY: the reason is a static string.
    unsafe { text(wolfSSL_ERR_reason_error_string(error as core::ffi::c_ulong)) }
}

/// # Safety
/// `pointer` is null or a C string.
unsafe fn text(pointer: *const core::ffi::c_char) -> String {
    if pointer.is_null() {
        return String::new();
    }
    // SAFETY: by the contract above.
    unsafe { CStr::from_ptr(pointer) }.to_string_lossy().into_owned()
}
