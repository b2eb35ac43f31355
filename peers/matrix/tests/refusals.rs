//! What a peer that we refuse learns from it.
#![allow(clippy::disallowed_methods, clippy::disallowed_types, reason = "a test that runs programs")]

use std::process::Command;

use bartizan_peer_common::{Auth, Role, Suite, Version};
use bartizan_peer_matrix::ours::Server;
use bartizan_peer_matrix::{Cell, Credentials, IDENTITY, Outside, PSK_HEX, program};

/// The client must not learn whether its identity is unknown or its key is wrong.
#[test]
fn a_wrong_key_and_an_unknown_identity_look_alike_to_mbed() {
    if program(Outside::Mbed).is_none() {
        println!("SKIPPED: peer-mbed is not built: `cargo xtask test` builds it");
        return;
    }
    let wrong = refused(IDENTITY, "ffffffffffffffffffffffffffffffff");
    let unknown = refused("nobody", PSK_HEX);
    assert_eq!(wrong, unknown);
    assert!(wrong.contains("handshake failed"), "{wrong}");
}

/// What Mbed TLS says when our endpoint refuses it.
fn refused(identity: &str, psk: &str) -> String {
    let cell = Cell {
        outside: Outside::Mbed,
        version: Version::Dtls12,
        auth: Auth::Psk,
        suite: Suite::Ccm8,
        group: None,
        cid: true,
        rebind: false,
        update: false,
        loss: 0,
        ours: Role::Server,
    };
    let server = Server::start(&cell, &Credentials::new().expect("credentials")).expect("a server");
    let address = server.address().to_string();
    let output = Command::new(program(Outside::Mbed).expect("seen before"))
        .args(["client", &address, "--identity", identity, "--psk", psk, "--cid", "0"])
        .env("RUST_BACKTRACE", "0")
        .output()
        .expect("it runs");
    assert!(!output.status.success());
    assert_eq!(server.stop().handshakes, 0);
    String::from_utf8_lossy(&output.stderr).into_owned()
}
