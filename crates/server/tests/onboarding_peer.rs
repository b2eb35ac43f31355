//! Debian's libcoap as the client of EST over CoAPs: another implementation of DTLS, CoAP and blocks, and OpenSSL's of
//! requests and certificates.
#![allow(
    clippy::disallowed_methods,
    clippy::disallowed_types,
    clippy::unwrap_used,
    reason = "a test owns its sockets, files and processes, and says where it cannot go on"
)]
#![cfg(feature = "demo")]

#[path = "gateway/joining.rs"]
mod joining;
#[path = "gateway/scene.rs"]
mod scene;

use std::path::Path;
use std::process::Stdio;

use bartizan_server::app::onboarding::NewManufacturer;
use bartizan_server::ca::pem;
use tokio::process::Command;

use joining::*;
use scene::*;

const CLIENTS: [&str; 2] = ["/usr/bin/coap-client-openssl", "/usr/bin/coap-client-gnutls"];

/// Runs a program and answers whether it succeeded, and what it printed.
async fn run(program: &str, arguments: &[&str]) -> (bool, Vec<u8>) {
    let mut command = Command::new(program);
    command.args(arguments).stdin(Stdio::null()).kill_on_drop(true);
    let done = tokio::time::timeout(PATIENCE, command.output()).await.expect("it ends").unwrap();
    let printed = if done.stdout.is_empty() { done.stderr } else { done.stdout };
    (done.status.success(), printed)
}

/// A client with a certificate and its key in files.
struct Peer<'a> {
    program: &'a str,
    certificate: String,
    key: String,
    gateway: String,
    folder: &'a Path,
}

impl Peer<'_> {
    /// Asks for a resource and answers the body, which comes in blocks of 256 bytes.
    async fn ask(&self, method: &str, name: &str, more: &[&str]) -> Vec<u8> {
        let out = self.folder.join(format!("{name}.out"));
        let (path, uri) = (out.to_str().unwrap(), format!("coaps://{}/.well-known/est/{name}", self.gateway));
        let fixed = ["-c", &self.certificate, "-j", &self.key, "-n", "-b", "256", "-B", "10", "-m", method, "-o", path];
        let arguments: Vec<&str> = fixed.into_iter().chain(more.iter().copied()).chain([uri.as_str()]).collect();
        let (_, said) = run(self.program, &arguments).await;
        std::fs::read(&out)
            .unwrap_or_else(|error| panic!("{} {name}: {error}: {}", self.program, String::from_utf8_lossy(&said)))
    }
}

#[tokio::test]
async fn libcoap_joins_by_its_manufacturer_s_certificate() {
    let mut ran = 0;
    for (number, program) in CLIENTS.into_iter().enumerate() {
        if !Path::new(program).exists() {
            eprintln!("SKIPPED: {program} is not installed (cargo xtask test installs it)");
            continue;
        }
        join_with(program, number).await;
        ran += 1;
    }
    eprintln!("{ran} of {} clients have joined", CLIENTS.len());
}

async fn join_with(program: &str, number: usize) {
    let scene = joined_scene().await;
    let maker = Maker::new();
    let new = NewManufacturer { name: "Acme".into(), pem: maker.pem() };
    scene.app.add_manufacturer(&ada(), scene.tenant, &new).await.unwrap();
    let serial = format!("MX-{number}");
    let csv = std::io::Cursor::new(format!("name,type,manufacturer,serial_number\nm,{METER},Acme,{serial}\n"));
    scene.app.import_orders(&ada(), scene.tenant, csv).await.unwrap();

    let folder = tempfile::tempdir().unwrap();
    let file = |name: &str| folder.path().join(name).to_str().unwrap().to_owned();
    let (certificate, key) = maker.files(&serial);
    std::fs::write(file("idevid.pem"), pem("CERTIFICATE", &certificate)).unwrap();
    std::fs::write(file("idevid.key"), key).unwrap();
    let gateway = scene.gateway.local_addr().to_string();
    let peer = Peer {
        program,
        certificate: file("idevid.pem"),
        key: file("idevid.key"),
        gateway: gateway.clone(),
        folder: folder.path(),
    };
    let attributes = peer.ask("get", "att", &[]).await;
    assert_eq!(attributes, bartizan_server::app::enrolment::CSR_ATTRIBUTES);
    let authorities = peer.ask("get", "crts", &["-A", "281"]).await;
    std::fs::write(file("crts.der"), &authorities).unwrap();
    let (good, listed) = run("openssl", &["pkcs7", "-inform", "DER", "-in", &file("crts.der"), "-print_certs"]).await;
    assert!(good && String::from_utf8_lossy(&listed).contains("city issuing CA"), "{program}");
    std::fs::write(file("cas.pem"), &listed).unwrap();

    let (made, csr, own) = (file("own.key"), file("csr.der"), file("own.pem"));
    let asked = ["req", "-new", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes", "-subj", "/CN=x"];
    let asked: Vec<&str> = asked.into_iter().chain(["-keyout", &made, "-outform", "DER", "-out", &csr]).collect();
    assert!(run("openssl", &asked).await.0);
    let plain = peer.ask("post", "sen", &["-t", "286", "-A", "287", "-f", &csr]).await;
    std::fs::write(&own, pem("CERTIFICATE", &plain)).unwrap();
    let verify = ["verify", "-purpose", "sslclient", "-CAfile", &file("cas.pem"), &own];
    let (good, said) = run("openssl", &verify).await;
    assert!(good, "{}", String::from_utf8_lossy(&said));

    // With its own certificate it is the device, and renews.
    let device = Peer { program, certificate: own, key: made, gateway, folder: folder.path() };
    let renewed = device.ask("post", "sren", &["-t", "286", "-A", "287", "-f", &csr]).await;
    assert_ne!(renewed, plain);
    let view = scene.app.show_device(scene.app.device_key(scene.tenant, "m").await.unwrap()).await.unwrap();
    assert_eq!((view.lifecycle.as_str(), view.access.as_str()), ("active", "full"));
}
