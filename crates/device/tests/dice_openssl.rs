//! X.509 chains of the engine before somebody else's eyes: OpenSSL's command line.

#![allow(clippy::unwrap_used, reason = "a test that cannot go on says where")]
#![allow(clippy::disallowed_methods, reason = "another program reads files")]

use std::path::Path;
use std::process::Command;

use bartizan_crypto::{RUSTCRYPTO, Secret};
use bartizan_device::dice::{Algorithm, Code, Component, Form, Layer, Mode, SoftwareBoard, measured_boot};
use bartizan_trust::cbor::Strict;

fn rng(out: &mut [u8]) {
    out.fill(7);
}

/// The chain's certificates, the leaf first.
fn certificates(form: Form, algorithm: Algorithm) -> Vec<Vec<u8>> {
    let layer = |code| Layer {
        code: Code::Verified([code; 64]),
        component: Component { name: "layer", version: "1", security_version: Some(200), ..Component::default() },
        authority: [9; 64],
        mode: Mode::Normal,
        hidden: None,
    };
    let layers = [layer(1), layer(2), layer(3)];
    let mut chain = [0; 4_000];
    let mut board = SoftwareBoard::new(Secret::new([5; 32]), 0, 0);
    let attester = measured_boot(&RUSTCRYPTO, &mut rng, &mut board, (form, algorithm), &layers, &mut chain).unwrap();
    let items = Strict::new(attester.chain()).unwrap().array().unwrap();
    items.map(|item| item.byte_string().unwrap().to_vec()).collect()
}

fn openssl(folder: &Path, arguments: &[&str]) -> (bool, String) {
    let output = Command::new("openssl").current_dir(folder).args(arguments).output().unwrap();
    (output.status.success(), String::from_utf8_lossy(&[output.stdout, output.stderr].concat()).into_owned())
}

#[test]
fn openssl_verifies_the_chains() {
    if Command::new("openssl").arg("version").output().is_err() {
        eprintln!("skipped: no openssl here");
        return;
    }
    let folder = std::env::temp_dir().join(format!("bartizan-dice-{}", std::process::id()));
    std::fs::create_dir_all(&folder).unwrap();
    for form in [Form::X509, Form::Tcg] {
        for algorithm in [Algorithm::Ed25519, Algorithm::P256] {
            let chain = certificates(form, algorithm);
            assert_eq!(chain.len(), 4);
            for (index, certificate) in chain.iter().enumerate() {
                std::fs::write(folder.join(format!("{index}.der")), certificate).unwrap();
                let (der, pem) = (format!("{index}.der"), format!("{index}.pem"));
                let (read, said) = openssl(&folder, &["x509", "-inform", "DER", "-in", &der, "-out", &pem]);
                assert!(read, "{said}");
            }
            let between = ["1.pem", "2.pem"].map(|name| std::fs::read(folder.join(name)).unwrap());
            std::fs::write(folder.join("between.pem"), between.concat()).unwrap();
            let verify = |root: &str, leaf: &str| {
                let arguments =
                    ["verify", "-x509_strict", "-ignore_critical", "-CAfile", root, "-untrusted", "between.pem", leaf];
                openssl(&folder, &arguments)
            };
            let (good, said) = verify("3.pem", "0.pem");
            assert!(good, "{form:?} {algorithm:?}: {said}");
            // And it is no matter of course: without the layer between, nothing verifies.
            std::fs::write(folder.join("between.pem"), &between[1]).unwrap();
            assert!(!verify("3.pem", "0.pem").0);
        }
    }
    std::fs::remove_dir_all(&folder).unwrap();
}
