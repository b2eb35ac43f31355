//! EST over HTTPS with curl and openssl as the device, and the binary as it is typed on the other side.
#![allow(
    clippy::disallowed_methods,
    clippy::disallowed_types,
    clippy::unwrap_used,
    reason = "a test owns its sockets, files and clock, and says where it cannot go on"
)]

mod support;

use std::path::{Path, PathBuf};
use std::process::{Child, Command, Output, Stdio};

use serde_json::Value;
use support::{free_tcp_port, free_udp_port};

const PROGRAMS: [&str; 2] = ["/usr/bin/curl", "/usr/bin/openssl"];

/// An installation with a tenant and a root, whose server runs.
struct World {
    folder: tempfile::TempDir,
    port: u16,
    api: u16,
    server: Option<Child>,
}

impl Drop for World {
    fn drop(&mut self) {
        self.stop();
    }
}

impl World {
    /// `None` where an outside program is missing.
    fn new() -> Option<Self> {
        if let Some(missing) = PROGRAMS.iter().find(|program| !Path::new(program).exists()) {
            eprintln!("SKIPPED: {missing} is not installed (cargo xtask test installs it)");
            return None;
        }
        let mut world =
            Self { folder: tempfile::tempdir().unwrap(), port: free_tcp_port(), api: free_tcp_port(), server: None };
        world.bartizan(&["init"]);
        let config = format!(
            "[api]\nlisten = \"127.0.0.1:{}\"\n[gateway]\nlisten = \"127.0.0.1:{}\"\n[est]\nlisten = \"127.0.0.1:{}\"\n",
            world.api,
            free_udp_port(),
            world.port
        );
        std::fs::write(world.path("data/config.toml"), config).unwrap();
        let upstream = format!("log:{}", world.path("log.ndjson").display());
        world.bartizan(&["tenant", "add", "water", "--upstream", &upstream]);
        for name in ["meter", "valve"] {
            world.bartizan(&["device", "add", name, "--type", "thing"]);
        }
        let root = world.path("root").display().to_string();
        world.bartizan(&["ca", "setup", "--root", &root, "--no-passphrase"]);
        world.start();
        Some(world)
    }

    fn start(&mut self) {
        let mut command = self.command();
        let child = command.arg("serve").stdout(Stdio::null()).stderr(Stdio::null()).spawn().unwrap();
        self.server = Some(child);
        for _ in 0..600 {
            if std::net::TcpStream::connect(("127.0.0.1", self.port)).is_ok() {
                return;
            }
            std::thread::sleep(std::time::Duration::from_millis(50));
        }
        panic!("the server did not listen for EST");
    }

    fn stop(&mut self) {
        if let Some(mut server) = self.server.take() {
            let _ = server.kill();
            let _ = server.wait();
        }
    }

    fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    fn command(&self) -> Command {
        let mut command = Command::new(env!("CARGO_BIN_EXE_bartizan"));
        command.arg("--data-dir").arg(self.path("data"));
        command
    }

    fn bartizan(&self, arguments: &[&str]) -> String {
        said(self.command().args(arguments).output().unwrap())
    }

    fn json(&self, arguments: &[&str]) -> Value {
        serde_json::from_str(&self.bartizan(&[arguments, &["-o", "json"]].concat())).unwrap()
    }

    /// A device's one-time secret as curl takes it.
    fn secret(&self, device: &str) -> String {
        let secret = self.json(&["certificate", "token", device]);
        format!("{}:{}", secret["user"].as_str().unwrap(), secret["password"].as_str().unwrap())
    }

    fn openssl(&self, arguments: &[&str]) -> Output {
        Command::new(PROGRAMS[1]).args(arguments).current_dir(self.folder.path()).output().unwrap()
    }

    /// Makes `NAME.key` and the request `NAME.csr`, in base64.
    fn request(&self, name: &str, subject: &str, uri: Option<&str>) {
        let key = format!("{name}.key");
        if !self.path(&key).exists() {
            said(self.openssl(&["ecparam", "-name", "prime256v1", "-genkey", "-noout", "-out", &key]));
        }
        let der = format!("{name}.der");
        let uri = uri.map(|uri| format!("subjectAltName=URI:{uri}"));
        let mut arguments = vec!["req", "-new", "-key", &key, "-subj", subject, "-outform", "DER", "-out", &der];
        if let Some(uri) = &uri {
            arguments.extend(["-addext", uri]);
        }
        said(self.openssl(&arguments));
        said(self.openssl(&["base64", "-in", &der, "-out", &format!("{name}.csr")]));
    }

    /// What EST answers: status and body. `operation` may begin with a label.
    fn est(&self, operation: &str, more: &[&str]) -> (u16, String) {
        let url = format!("https://127.0.0.1:{}/.well-known/est/{operation}", self.port);
        let mut command = Command::new(PROGRAMS[0]);
        command.current_dir(self.folder.path()).args(["--silent", "--cacert", "data/ca.pem", "-w", "\n%{http_code}"]);
        let output = command.args(more).arg(url).output().unwrap();
        let text = String::from_utf8(output.stdout).unwrap();
        let (body, status) = text.rsplit_once('\n').unwrap();
        (status.parse().unwrap(), body.to_owned())
    }

    /// Gets a file of the authority from the API's listener, with no credential.
    fn pki(&self, path: &str, file: &str) -> u16 {
        let url = format!("https://127.0.0.1:{}/pki/{path}", self.api);
        let arguments = ["--silent", "--cacert", "data/ca.pem", "-o", file, "-w", "%{http_code}", &url];
        let output = Command::new(PROGRAMS[0]).args(arguments).current_dir(self.folder.path()).output().unwrap();
        String::from_utf8(output.stdout).unwrap().parse().unwrap()
    }

    /// Posts `NAME.csr`.
    fn post(&self, operation: &str, name: &str, more: &[&str]) -> (u16, String) {
        let body = format!("@{name}.csr");
        let fixed = ["--data-binary", &body, "-H", "Content-Type: application/pkcs10"];
        self.est(operation, &[&fixed, more].concat())
    }

    /// Writes the certificates of a certs-only answer to `FILE`, as PEM, by openssl's reading.
    fn keep(&self, body: &str, file: &str) {
        std::fs::write(self.path("answer.b64"), body).unwrap();
        said(self.openssl(&["base64", "-d", "-in", "answer.b64", "-out", "answer.p7"]));
        said(self.openssl(&["pkcs7", "-inform", "DER", "-in", "answer.p7", "-print_certs", "-out", file]));
    }

    /// What openssl says about a client's certificate in `FILE` under the root.
    fn verifies(&self, file: &str) -> bool {
        let arguments = [
            "verify",
            "-purpose",
            "sslclient",
            "-x509_strict",
            "-CAfile",
            "root/root.pem",
            "-untrusted",
            "ca.pem",
            file,
        ];
        let output = self.openssl(&arguments);
        eprintln!("{}{}", String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
        output.status.success()
    }
}

/// What a program printed; it must have succeeded.
fn said(output: Output) -> String {
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8(output.stdout).unwrap()
}

#[test]
fn a_device_enrols_with_its_secret_and_renews_with_its_certificate() {
    let Some(world) = World::new() else { return };
    let (status, body) = world.est("cacerts", &[]);
    assert_eq!(status, 200, "{body}");
    world.keep(&body, "ca.pem");
    assert_eq!(world.est("water/cacerts", &[]).0, 200);
    assert_eq!(world.est("fire/cacerts", &[]).0, 404);
    let (status, body) = world.est("csrattrs", &[]);
    assert_eq!(status, 200);
    std::fs::write(world.path("attributes.b64"), body).unwrap();
    said(world.openssl(&["base64", "-d", "-in", "attributes.b64", "-out", "attributes.der"]));
    let attributes = said(world.openssl(&["asn1parse", "-inform", "DER", "-in", "attributes.der"]));
    assert!(attributes.contains("prime256v1") && attributes.contains("ecdsa-with-SHA256"), "{attributes}");

    world.request("meter", "/CN=whatever", None);
    assert_eq!(world.post("simpleenroll", "meter", &[]).0, 401);
    let secret = world.secret("meter");
    assert_eq!(world.post("simpleenroll", "meter", &["-u", "1.1:wrong"]).0, 401);
    let (status, body) = world.post("water/simpleenroll", "meter", &["-u", &secret]);
    assert_eq!(status, 200, "{body}");
    world.keep(&body, "meter.pem");
    assert!(world.verifies("meter.pem"));
    let text = said(world.openssl(&["x509", "-in", "meter.pem", "-noout", "-text"]));
    for part in ["CN = meter", "URI:urn:bartizan:device:1:1", "TLS Web Client Authentication", "CA:FALSE"] {
        assert!(text.contains(part), "{part}: {text}");
    }
    assert_eq!(world.post("simpleenroll", "meter", &["-u", &secret]).0, 401, "it works once");

    let own = ["--cert", "meter.pem", "--key", "meter.key"];
    world.request("again", "/CN=meter", Some("urn:bartizan:device:1:1"));
    assert_eq!(world.post("simplereenroll", "again", &[]).0, 403, "only with the certificate");
    for version in ["--tlsv1.3", "--tls-max=1.2"] {
        let arguments: Vec<&str> = own.iter().copied().chain(version.split('=')).collect();
        let (status, body) = world.post("simplereenroll", "again", &arguments);
        assert_eq!(status, 200, "{version}: {body}");
        world.keep(&body, "again.pem");
        assert!(world.verifies("again.pem"));
    }
    for (subject, uri) in [
        ("/CN=valve", Some("urn:bartizan:device:1:1")),
        ("/CN=meter", Some("urn:bartizan:device:1:2")),
        ("/CN=meter", None),
    ] {
        world.request("other", subject, uri);
        assert_eq!(world.post("simplereenroll", "other", &own).0, 400, "{subject} {uri:?}");
    }
    assert_eq!(world.json(&["certificate", "list", "--device", "meter"]).as_array().unwrap().len(), 3);
}

#[test]
fn who_is_isolated_or_revoked_renews_nothing() {
    let Some(world) = World::new() else { return };
    world.keep(&world.est("cacerts", &[]).1, "ca.pem");
    world.request("meter", "/CN=meter", Some("urn:bartizan:device:1:1"));
    let (_, body) = world.post("simpleenroll", "meter", &["-u", &world.secret("meter")]);
    world.keep(&body, "meter.pem");
    let own = ["--cert", "meter.pem", "--key", "meter.key"];

    world.bartizan(&["device", "isolate", "meter", "--reason", "odd"]);
    let (status, body) = world.post("simplereenroll", "meter", &own);
    assert_eq!(status, 403, "{body}");
    assert!(body.contains("quarantined"), "{body}");
    world.bartizan(&["device", "release", "meter", "--reason", "fine"]);
    assert_eq!(world.post("simplereenroll", "meter", &own).0, 200);

    let all = world.json(&["certificate", "list", "--device", "meter"]);
    let first = all.as_array().unwrap().last().unwrap()["serial"].as_str().unwrap().to_owned();
    world.bartizan(&["certificate", "revoke", &first, "--reason", "key-compromise"]);
    let (status, _) = world.post("simplereenroll", "meter", &own);
    assert_eq!(status, 0, "the handshake fails");
    assert_eq!(world.est("cacerts", &[]).0, 200, "and others are served");
}

#[test]
fn a_key_is_made_for_a_device_that_cannot() {
    let Some(world) = World::new() else { return };
    world.keep(&world.est("cacerts", &[]).1, "ca.pem");
    world.request("valve", "/CN=valve", None);
    let (status, body) = world.post("serverkeygen", "valve", &["-u", &world.secret("valve")]);
    assert_eq!(status, 200, "{body}");
    let parts: Vec<&str> = body.split("\r\n\r\n").collect();
    assert!(parts[0].contains("application/pkcs8") && parts[2].contains("application/pkcs7-mime"), "{body}");
    // openssl wants a line's end after base64.
    let text = |part: &str| format!("{part}\n");
    world.keep(&text(parts[3]), "valve.pem");
    assert!(world.verifies("valve.pem"));
    std::fs::write(world.path("key.b64"), text(parts[1])).unwrap();
    said(world.openssl(&["base64", "-d", "-in", "key.b64", "-out", "key.p8"]));
    said(world.openssl(&["pkey", "-inform", "DER", "-in", "key.p8", "-out", "made.key"]));
    let key = said(world.openssl(&["pkey", "-in", "made.key", "-pubout"]));
    assert_eq!(key, said(world.openssl(&["x509", "-in", "valve.pem", "-noout", "-pubkey"])));
}

/// The list and OCSP, as openssl reads them under the root.
impl World {
    /// Whether openssl takes `FILE` by the authority's newest list.
    fn listed_as_good(&self, file: &str) -> bool {
        assert_eq!(self.pki("1/crl.der", "list.der"), 200);
        let list = self.openssl(&["crl", "-inform", "DER", "-in", "list.der", "-CAfile", "ca.pem", "-out", "list.pem"]);
        let text = String::from_utf8(list.stderr).unwrap();
        assert!(list.status.success() && text.contains("verify OK"), "{text}");
        let fixed = ["verify", "-x509_strict", "-crl_check", "-CRLfile", "list.pem", "-CAfile", "root/root.pem"];
        let output = self.openssl(&[&fixed[..], &["-untrusted", "ca.pem", file]].concat());
        let text = String::from_utf8(output.stderr).unwrap();
        assert!(output.status.success() || text.contains("certificate revoked"), "{text}");
        output.status.success()
    }

    /// What OCSP says of `FILE`, asked by openssl with these options and carried by curl.
    fn asked(&self, file: &str, how: &[&str], by_path: bool) -> String {
        let fixed = ["ocsp", "-issuer", "issuing.pem"];
        let request = [&fixed[..], how, &["-cert", file, "-reqout", "question.der"]].concat();
        said(self.openssl(&request));
        if by_path {
            let question = said(self.openssl(&["base64", "-A", "-in", "question.der"]));
            let question = question.trim().replace('+', "%2B").replace('=', "%3D");
            assert_eq!(self.pki(&format!("1/ocsp/{question}"), "answer.der"), 200);
        } else {
            let url = format!("https://127.0.0.1:{}/pki/1/ocsp", self.port);
            let arguments = ["--silent", "--fail", "--cacert", "data/ca.pem", "--data-binary", "@question.der"];
            let kind = ["-H", "Content-Type: application/ocsp-request", "-o", "answer.der", &url];
            let arguments = [&arguments[..], &kind].concat();
            said(Command::new(PROGRAMS[0]).args(arguments).current_dir(self.folder.path()).output().unwrap());
        }
        // Without the option it would look for a nonce other than the question's.
        let answer = ["-no_nonce", "-cert", file, "-respin", "answer.der", "-reqin", "question.der"];
        let trust = ["-CAfile", "root/root.pem", "-verify_other", "issuing.pem"];
        let output = self.openssl(&[&fixed[..], how, &answer, &trust].concat());
        let verified = String::from_utf8(output.stderr.clone()).unwrap();
        assert!(verified.contains("Response verify OK"), "{verified}");
        said(output)
    }
}

#[test]
fn openssl_learns_from_the_list_and_from_ocsp_what_was_taken_back() {
    let Some(world) = World::new() else { return };
    world.keep(&world.est("cacerts", &[]).1, "ca.pem");
    assert_eq!(world.pki("1/ca.der", "issuing.der"), 200);
    said(world.openssl(&["x509", "-inform", "DER", "-in", "issuing.der", "-out", "issuing.pem"]));
    for name in ["meter", "valve"] {
        world.request(name, "/CN=whatever", None);
        let (status, body) = world.post("simpleenroll", name, &["-u", &world.secret(name)]);
        assert_eq!(status, 200, "{body}");
        world.keep(&body, &format!("{name}.pem"));
        assert!(world.listed_as_good(&format!("{name}.pem")));
        assert!(world.asked(&format!("{name}.pem"), &[], false).contains(": good"));
    }

    let all = world.json(&["certificate", "list", "--device", "meter"]);
    let serial = all[0]["serial"].as_str().unwrap();
    world.bartizan(&["certificate", "revoke", serial, "--reason", "key-compromise"]);
    assert!(!world.listed_as_good("meter.pem"), "at once, not with the next day's list");
    assert!(world.listed_as_good("valve.pem"));
    let text = said(world.openssl(&["crl", "-in", "list.pem", "-noout", "-text"]));
    assert!(text.contains("Key Compromise") && text.contains("CRL Number"), "{text}");
    for how in [&[][..], &["-sha256"], &["-no_nonce"]] {
        for by_path in [false, true] {
            let said = world.asked("meter.pem", how, by_path);
            assert!(said.contains(": revoked") && said.contains("keyCompromise"), "{how:?} {said}");
            assert!(world.asked("valve.pem", how, by_path).contains(": good"), "{how:?}");
        }
    }
    assert!(
        world.asked("issuing.pem", &[], false).contains(": unknown"),
        "the root's certificate is not ours to judge"
    );
    for missing in ["2/crl.der", "2/ca.der", "one/crl.der"] {
        assert_eq!(world.pki(missing, "nothing"), 404, "{missing}");
    }
    assert_eq!(world.pki("1/ocsp/AAAA", "answer.der"), 200);
    assert_eq!(std::fs::read(world.path("answer.der")).unwrap(), [0x30, 3, 0x0A, 1, 1], "malformedRequest");
}
