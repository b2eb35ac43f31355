//! OpenSSL's command line against our stack: no Connection ID, but a third implementation of everything else, and
//! the one with P-256 as its wish.
#![allow(clippy::disallowed_methods, clippy::disallowed_types, reason = "real sockets and a real clock")]

mod support;

use bartizan_dtls::CipherSuite;
use support::{openssl_as_client, openssl_as_server, openssl_exports_the_same};

const CCM8: (CipherSuite, &str) = (CipherSuite::PskAes128Ccm8, "PSK-AES128-CCM8");
const GCM: (CipherSuite, &str) = (CipherSuite::PskAes128GcmSha256, "PSK-AES128-GCM-SHA256");
const CHACHA: (CipherSuite, &str) = (CipherSuite::EcdhePskChacha20Poly1305Sha256, "ECDHE-PSK-CHACHA20-POLY1305");

#[test]
fn ccm8_client() {
    openssl_as_client(CCM8.0, CCM8.1, "X25519");
}

#[test]
fn gcm_client() {
    openssl_as_client(GCM.0, GCM.1, "X25519");
}

#[test]
fn ecdhe_chacha_client_with_x25519() {
    openssl_as_client(CHACHA.0, CHACHA.1, "X25519");
}

#[test]
fn ecdhe_chacha_client_with_p256() {
    openssl_as_client(CHACHA.0, CHACHA.1, "P-256");
}

#[test]
fn ccm8_server() {
    openssl_as_server(CCM8.0, CCM8.1, "X25519");
}

#[test]
fn gcm_server() {
    openssl_as_server(GCM.0, GCM.1, "X25519");
}

#[test]
fn ecdhe_chacha_server_with_x25519() {
    openssl_as_server(CHACHA.0, CHACHA.1, "X25519");
}

#[test]
fn ecdhe_chacha_server_with_p256() {
    openssl_as_server(CHACHA.0, CHACHA.1, "P-256");
}

#[test]
fn the_exported_keying_material_is_the_same() {
    openssl_exports_the_same(CCM8.0, CCM8.1);
    openssl_exports_the_same(CHACHA.0, CHACHA.1);
}
