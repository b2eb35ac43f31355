//! The whole thing as a person runs it: the binary `bartizan`, an independent C client with Connection ID, and
//! `kill -9`.
#![allow(
    clippy::disallowed_methods,
    clippy::disallowed_types,
    clippy::unwrap_used,
    reason = "a test owns its sockets, files and clock, and says where it cannot go on"
)]

#[path = "gateway/scene.rs"]
mod scene;

use std::io::{BufRead, BufReader, Write};
use std::net::UdpSocket;
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStdin, ChildStdout, Command, Stdio};
use std::time::{Duration, Instant};

use bartizan_wire::coap::{Builder, Code, MessageView, Type};

use scene::{Device, unhex};

/// A data directory, and the server on it.
struct Site {
    folder: tempfile::TempDir,
    /// The data directory, in the folder.
    dir: PathBuf,
    gateway: String,
    api: String,
    server: Option<Child>,
}

impl Site {
    fn new() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let port = UdpSocket::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
        let api = std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
        let dir = folder.path().join("site");
        let (gateway, api) = (format!("127.0.0.1:{port}"), format!("127.0.0.1:{api}"));
        let site = Self { folder, dir, gateway, api, server: None };
        site.run(&["init"]);
        site
    }

    fn command(&self, arguments: &[&str]) -> Command {
        let mut command = Command::new(env!("CARGO_BIN_EXE_bartizan"));
        command
            .arg("--data-dir")
            .arg(&self.dir)
            .args(arguments)
            .env("BARTIZAN_GATEWAY__LISTEN", &self.gateway)
            .env("BARTIZAN_API__LISTEN", &self.api)
            .env_remove("RUST_LOG");
        command
    }

    /// Runs a verb to its end and answers what it printed.
    fn run(&self, arguments: &[&str]) -> String {
        let output = self.command(arguments).output().unwrap();
        let (out, error) = (String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
        assert!(output.status.success(), "bartizan {arguments:?}: {out}{error}");
        out.into_owned()
    }

    fn serve(&mut self) {
        let endpoint = self.dir.join("run/endpoint.json");
        let _ = std::fs::remove_file(&endpoint); // of a server that was killed
        let mut server = self.command(&["serve"]).stdout(Stdio::null()).stderr(Stdio::null()).spawn().unwrap();
        let start = Instant::now();
        while !endpoint.exists() {
            assert_eq!(server.try_wait().unwrap(), None, "the server ended");
            assert!(start.elapsed() < Duration::from_secs(60), "the server does not serve");
            std::thread::sleep(Duration::from_millis(50));
        }
        self.server = Some(server);
    }

    /// `kill -9`.
    fn kill(&mut self) {
        if let Some(mut server) = self.server.take() {
            server.kill().unwrap();
            server.wait().unwrap();
        }
    }

    /// Adds tenant, type and one meter; answers its key in hex.
    fn add_meter(&self) -> String {
        let log = format!("log:{}", self.log().display());
        self.run(&["tenant", "add", "water", "--upstream", &log]);
        self.run(&["type", "add", "water-meter"]);
        let added = self.run(&["-o", "json", "device", "add", "meter-7", "--type", "water-meter"]);
        let added: serde_json::Value = serde_json::from_str(&added).unwrap();
        added["psk"].as_str().unwrap().to_owned()
    }

    fn log(&self) -> PathBuf {
        self.folder.path().join("messages.ndjson")
    }

    fn delivered(&self) -> usize {
        std::fs::read_to_string(self.log()).unwrap_or_default().lines().count()
    }
}

impl Drop for Site {
    fn drop(&mut self) {
        self.kill();
    }
}

/// Mbed TLS as a device.
struct Peer {
    child: Child,
    orders: ChildStdin,
    facts: BufReader<ChildStdout>,
    next_id: u16,
}

impl Peer {
    fn connect(program: &Path, site: &Site, psk: &str) -> Self {
        let mut child = Command::new(program)
            .args(["client", &site.gateway, "--identity", "meter-7", "--psk", psk])
            .args(["--cid", "0", "--wait-ms", "15000", "--interactive"])
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        let orders = child.stdin.take().unwrap();
        let facts = BufReader::new(child.stdout.take().unwrap());
        let mut peer = Self { child, orders, facts, next_id: 0 };
        assert!(peer.fact().starts_with("bound"));
        let connected = peer.fact();
        assert!(connected.starts_with("connected"), "{connected}");
        peer
    }

    fn fact(&mut self) -> String {
        let mut line = String::new();
        self.facts.read_line(&mut line).unwrap();
        line.trim().to_owned()
    }

    fn order(&mut self, order: &str) -> String {
        writeln!(self.orders, "{order}").unwrap();
        self.fact()
    }

    /// One exchange: the response's code and payload.
    fn exchange(&mut self, code: Code, target: &str) -> (Code, String) {
        self.next_id += 1;
        let mut buffer = [0; 256];
        let builder = Builder::new(&mut buffer, Type::Confirmable, code, self.next_id, &self.next_id.to_be_bytes());
        let message = builder.target(target).payload(b"3").finish().unwrap();
        let answer = self.order(&format!("send {}", hex(message)));
        let answer = unhex(answer.strip_prefix("recv ").unwrap_or_else(|| panic!("no answer: {answer}")));
        let view = MessageView::parse(&answer).unwrap();
        (view.code(), String::from_utf8_lossy(view.payload()).into_owned())
    }

    fn post(&mut self) -> Code {
        self.exchange(Code::POST, "/meter/volume").0
    }
}

impl Drop for Peer {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

/// The peer is built beside the server by `cargo xtask test`; it needs clang and cmake.
fn peer_program() -> Option<PathBuf> {
    let program = Path::new(env!("CARGO_BIN_EXE_bartizan")).with_file_name("peer-mbed");
    if !program.exists() {
        eprintln!("SKIPPED: {} is not built (cargo xtask test builds it)", program.display());
        return None;
    }
    Some(program)
}

#[test]
fn an_independent_client_reports_moves_outlives_a_kill_is_isolated_and_released() {
    let Some(program) = peer_program() else { return };
    let mut site = Site::new();
    let psk = site.add_meter();
    site.serve();
    let mut meter = Peer::connect(&program, &site, &psk);
    assert_eq!(meter.post(), Code::CHANGED);
    assert!(meter.order("rebind").starts_with("rebound"));
    assert_eq!(meter.post(), Code::CHANGED, "from another port, without a handshake");
    assert_eq!(site.delivered(), 2);

    for round in 3..=4 {
        site.kill();
        site.serve();
        assert_eq!(meter.post(), Code::CHANGED, "after kill -9, without a handshake");
        assert_eq!(site.delivered(), round);
    }

    let passed = (0..500).take_while(|_| meter.post() == Code::CHANGED).count();
    assert!(passed < 500, "a flood goes unnoticed");
    assert_eq!(meter.post(), Code::FORBIDDEN);
    let (code, status) = meter.exchange(Code::GET, "/.well-known/bartizan/status");
    assert_eq!(code, Code::CONTENT);
    assert!(status.contains("quarantined"), "{status}");
    let shown = site.run(&["device", "show", "meter-7"]);
    assert!(shown.contains("quarantined"), "{shown}");

    site.run(&["device", "release", "meter-7", "--reason", "looked at"]);
    let code = meter.post();
    assert_ne!(code, Code::FORBIDDEN, "released");
    if code != Code::CHANGED {
        assert_eq!(code, Code::TOO_MANY_REQUESTS, "probation lets it in at a limited rate");
    }
}

/// The server is killed at six moments while a device reports; the device only repeats itself, as RFC 7252 has
/// it, and never makes a handshake.
#[tokio::test(flavor = "multi_thread")]
async fn killed_at_any_moment_nothing_acknowledged_is_lost_and_no_nonce_repeats() {
    let mut site = Site::new();
    let psk = unhex(&site.add_meter());
    site.serve();
    let mut meter = Device::connect(site.gateway.parse().unwrap(), "meter-7", &psk).await.expect("a handshake");
    let mut acknowledged = Vec::new();
    for (round, wait_ms) in [3, 11, 29, 1, 47, 18].into_iter().enumerate() {
        let killer = std::thread::spawn(move || {
            std::thread::sleep(Duration::from_millis(wait_ms));
            site.kill();
            site.serve();
            site
        });
        for number in 0..3 {
            let body = format!("round {round} number {number}");
            let message = meter.request(Code::POST, "/v", body.as_bytes());
            assert_eq!(meter.insist(&message).await.code, Code::CHANGED);
            acknowledged.push(body);
        }
        site = killer.join().unwrap();
    }
    let log = std::fs::read_to_string(site.log()).unwrap();
    for body in acknowledged {
        assert!(log.contains(&body) || log.contains(&hex(body.as_bytes())), "{body:?} was acknowledged and is lost");
    }
    let mut heard = meter.heard.clone();
    heard.sort_unstable();
    heard.dedup();
    assert_eq!(heard.len(), meter.heard.len(), "a sequence number was used twice: {:?}", meter.heard);
}

/// A backup has no associations, and those in a copied data directory may be overtaken: neither is gone on with, also
/// after a `kill -9`, and the device finds its way back by a handshake. The original goes on as ever.
#[tokio::test(flavor = "multi_thread")]
async fn no_association_comes_back_from_a_backup_or_a_copied_directory() {
    let mut site = Site::new();
    let psk = unhex(&site.add_meter());
    let gateway = site.gateway.parse().unwrap();
    site.serve();
    let mut meter = Device::connect(gateway, "meter-7", &psk).await.expect("a handshake");
    assert_eq!(meter.post("/v", "1").await.code, Code::CHANGED);
    let (original, backup) = (site.dir.clone(), site.folder.path().join("backup"));
    site.run(&["backup", backup.to_str().unwrap()]);
    assert!(original.join("data/sessions").exists() && !backup.join("data/sessions").exists());
    let copied = site.folder.path().join("copied");
    copy_all(&original, &copied); // while it runs
    assert_eq!(meter.post("/v", "2").await.code, Code::CHANGED);
    site.kill();
    let copied_later = site.folder.path().join("copied later");
    copy_all(&original, &copied_later);

    let restored = site.folder.path().join("restored");
    site.dir.clone_from(&restored);
    let key = original.join("master.key");
    site.run(&["restore", backup.to_str().unwrap(), "--key", key.to_str().unwrap()]);
    let mut delivered = site.delivered();
    for dir in [restored, copied, copied_later] {
        site.dir.clone_from(&dir);
        site.serve();
        let message = meter.request(Code::POST, "/v", b"3");
        let received = meter.received;
        meter.send(&message).await;
        assert_eq!(meter.next(scene::SILENCE).await, None, "{}", dir.display());
        assert_eq!((meter.received, meter.repeated, site.delivered()), (received, 0, delivered), "{}", dir.display());
        let mut again = Device::connect(gateway, "meter-7", &psk).await.expect("a handshake");
        assert_eq!(again.post("/v", "4").await.code, Code::CHANGED);
        site.kill();
        site.serve();
        assert_eq!(again.post("/v", "5").await.code, Code::CHANGED, "this one is the server's own: {}", dir.display());
        delivered += 2;
        site.kill();
    }

    site.dir = original;
    site.serve();
    assert_eq!(meter.post("/v", "6").await.code, Code::CHANGED, "without a handshake");
    assert_eq!(meter.repeated, 0);
}

/// With every time and right kept, as an operator would.
fn copy_all(from: &Path, to: &Path) {
    assert!(Command::new("cp").arg("-a").args([from, to]).status().unwrap().success());
}
