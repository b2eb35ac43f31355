//! wolfSSL's names for cipher suites.

use core::ffi::CStr;

use anyhow::{Result, bail};
use bartizan_peer_common::{Auth, Suite, Version};

/// # Errors
/// If wolfSSL does not have the suite.
pub fn name(version: Version, auth: Auth, suite: Suite) -> Result<&'static CStr> {
    Ok(match (version, auth, suite) {
        (Version::Dtls13, _, Suite::Ccm8) => c"TLS13-AES128-CCM-8-SHA256",
        (Version::Dtls13, _, Suite::Ccm) => c"TLS13-AES128-CCM-SHA256",
        (Version::Dtls13, _, Suite::Gcm) => c"TLS13-AES128-GCM-SHA256",
        (Version::Dtls13, _, Suite::Gcm256) => c"TLS13-AES256-GCM-SHA384",
        (Version::Dtls13, _, Suite::Chacha) => c"TLS13-CHACHA20-POLY1305-SHA256",
        (Version::Dtls12, Auth::Psk, Suite::Ccm8) => c"PSK-AES128-CCM-8",
        (Version::Dtls12, Auth::Psk, Suite::Ccm) => c"PSK-AES128-CCM",
        (Version::Dtls12, Auth::Psk, Suite::Gcm) => c"PSK-AES128-GCM-SHA256",
        (Version::Dtls12, Auth::Psk, Suite::Gcm256) => c"PSK-AES256-GCM-SHA384",
        (Version::Dtls12, Auth::Psk, Suite::Chacha) => c"PSK-CHACHA20-POLY1305",
        (Version::Dtls12, Auth::EcdhePsk, Suite::Gcm) => c"ECDHE-PSK-AES128-GCM-SHA256",
        (Version::Dtls12, Auth::EcdhePsk, Suite::Chacha) => c"ECDHE-PSK-CHACHA20-POLY1305",
        (Version::Dtls12, Auth::EcdhePsk, _) => bail!("wolfSSL does not have this suite"),
        (Version::Dtls12, Auth::Ecdsa | Auth::Rpk, Suite::Ccm8) => c"ECDHE-ECDSA-AES128-CCM-8",
        (Version::Dtls12, Auth::Ecdsa | Auth::Rpk, Suite::Ccm) => c"ECDHE-ECDSA-AES128-CCM",
        (Version::Dtls12, Auth::Ecdsa | Auth::Rpk, Suite::Gcm) => c"ECDHE-ECDSA-AES128-GCM-SHA256",
        (Version::Dtls12, Auth::Ecdsa | Auth::Rpk, Suite::Gcm256) => c"ECDHE-ECDSA-AES256-GCM-SHA384",
        (Version::Dtls12, Auth::Ecdsa | Auth::Rpk, Suite::Chacha) => c"ECDHE-ECDSA-CHACHA20-POLY1305",
    })
}
