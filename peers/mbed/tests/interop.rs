//! Mbed TLS against our stack, both ways round: suites × Connection ID × a changed source port × lost datagrams.
#![allow(clippy::disallowed_methods, clippy::disallowed_types, reason = "real sockets and a real clock")]

mod support;

use bartizan_dtls::CipherSuite;
use support::{Cell, mbed_as_client, mbed_as_server};

/// One test a cell and direction, so that a failure names itself.
macro_rules! cells {
    ($($name:ident: $suite:ident $mbed:literal cid $cid:literal rebind $rebind:literal loss $loss:literal;)+) => {
        mod mbed_is_the_client {
            use super::*;
            //= test rfc6347#4.2.6-1
            //= test rfc6347#4.2.6-2
            //= test rfc9146#3-7
            //= test rfc9146#3-8
            //= test rfc9146#5-1
            $(#[test] fn $name() {
                mbed_as_client(&Cell { suite: CipherSuite::$suite, name: $mbed, cid: $cid, rebind: $rebind, loss: $loss });
            })+
        }
        mod mbed_is_the_server {
            use super::*;
            //= test rfc6347#4.2.6-1
            //= test rfc6347#4.2.6-2
            //= test rfc9146#3-7
            //= test rfc9146#3-8
            //= test rfc9146#5-1
            $(#[test] fn $name() {
                mbed_as_server(&Cell { suite: CipherSuite::$suite, name: $mbed, cid: $cid, rebind: $rebind, loss: $loss });
            })+
        }
    };
}

cells! {
    ccm8: PskAes128Ccm8 "ccm8" cid false rebind false loss 0;
    ccm8_loss: PskAes128Ccm8 "ccm8" cid false rebind false loss 20;
    ccm8_cid: PskAes128Ccm8 "ccm8" cid true rebind false loss 0;
    ccm8_cid_rebind: PskAes128Ccm8 "ccm8" cid true rebind true loss 0;
    ccm8_cid_loss: PskAes128Ccm8 "ccm8" cid true rebind false loss 20;
    gcm: PskAes128GcmSha256 "gcm" cid false rebind false loss 0;
    gcm_loss: PskAes128GcmSha256 "gcm" cid false rebind false loss 20;
    gcm_cid: PskAes128GcmSha256 "gcm" cid true rebind false loss 0;
    gcm_cid_rebind: PskAes128GcmSha256 "gcm" cid true rebind true loss 0;
    gcm_cid_loss: PskAes128GcmSha256 "gcm" cid true rebind false loss 20;
    ecdhe_chacha: EcdhePskChacha20Poly1305Sha256 "ecdhe-chacha" cid false rebind false loss 0;
    ecdhe_chacha_loss: EcdhePskChacha20Poly1305Sha256 "ecdhe-chacha" cid false rebind false loss 20;
    ecdhe_chacha_cid: EcdhePskChacha20Poly1305Sha256 "ecdhe-chacha" cid true rebind false loss 0;
    ecdhe_chacha_cid_rebind: EcdhePskChacha20Poly1305Sha256 "ecdhe-chacha" cid true rebind true loss 0;
    ecdhe_chacha_cid_loss: EcdhePskChacha20Poly1305Sha256 "ecdhe-chacha" cid true rebind false loss 20;
}

/// The client must not learn whether its identity is unknown or its key is wrong.
#[test]
fn a_wrong_key_and_an_unknown_identity_look_alike_to_mbed() {
    let wrong = support::refused("Client_identity", "ffffffffffffffffffffffffffffffff");
    let unknown = support::refused("nobody", support::PSK_HEX);
    assert_eq!(wrong, unknown);
    assert!(wrong.contains("handshake failed"), "{wrong}");
}
