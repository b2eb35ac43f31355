//! Strong devices at the MQTT door: clients that others wrote, isolation, commands, and those who break the protocol.
#![allow(
    clippy::disallowed_methods,
    clippy::disallowed_types,
    clippy::unwrap_used,
    reason = "a test owns its sockets, files and clock, and says where it cannot go on"
)]

use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::sync::Arc;
use std::time::Duration;

use bartizan_server::app::authorities::Bundle;
use bartizan_server::app::certificates::{Enrolled, Reason};
use bartizan_server::app::{Actor, App, AppOptions, NewCommand, NewDevice, Paging};
use bartizan_server::ca::{self, Authority, Serial, Validity, hierarchy};
use bartizan_server::clock::Clock;
use bartizan_server::device_tls::{self, Certificate};
use bartizan_server::mqtt::{Door, DoorHandle, DoorOptions, Ended};
use bartizan_server::store::MasterKey;
use bartizan_wire::{DeviceKey, TenantId, UnixMillis};
use bytes::Bytes;
use rcgen::{CertificateParams, KeyPair};
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, CertificateSigningRequestDer, PrivateKeyDer, ServerName};
use rustls::{ClientConfig, RootCertStore};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::process::Command;
use tokio_rustls::TlsConnector;
use tokio_rustls::client::TlsStream;

const PATIENCE: Duration = Duration::from_secs(30);

fn ada() -> Actor {
    Actor("ada".into())
}

/// A door with an authority of its own, and a log that the messages go to.
struct Harbour {
    app: Arc<App>,
    tenant: TenantId,
    door: DoorHandle,
    folder: tempfile::TempDir,
}

impl Harbour {
    async fn new() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let key = MasterKey::from_bytes([42; 32]);
        let app = App::open(AppOptions::new(folder.path().join("data"), key, Clock::real())).await.unwrap();
        let upstream = format!("log:{}", folder.path().join("log").display());
        app.add_tenant(&ada(), "harbour", upstream.parse().unwrap()).await.unwrap();
        let tenant = app.tenant_id("harbour").await.unwrap();
        set_up_authority(&app, tenant).await;
        let file = |name: &str| folder.path().join(name);
        let server = ca::installation::issue(&[], (app.clock().now().0 / 1000) as i64).unwrap();
        std::fs::write(file("ca.pem"), server.ca_certificate).unwrap();
        std::fs::write(file("server.pem"), server.server_certificate).unwrap();
        std::fs::write(file("server.key"), server.server_key).unwrap();
        let tls = device_tls::tls(&app, &file("server.pem"), &file("server.key"), Certificate::Required).unwrap();
        let options = DoorOptions { listen: SocketAddr::from(([127, 0, 0, 1], 0)), connections_max: 64, tls };
        let door = Door::start(Arc::clone(&app), options).await.unwrap();
        Self { app, tenant, door, folder }
    }

    fn file(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    /// A device with a certificate in files of its name.
    async fn device(&self, name: &str) -> DeviceKey {
        let device = NewDevice { name: name.into(), device_type: "crane".into(), ..NewDevice::default() };
        self.app.add_device(&ada(), self.tenant, device).await.unwrap();
        let key = self.app.device_key(self.tenant, name).await.unwrap();
        let device = self.app.load_device(key).await.unwrap().unwrap();
        let private = self.private_key(name);
        let csr = CertificateParams::default().serialize_request(&private).unwrap();
        let issued = self.app.issue_certificate(&device, csr.der(), Enrolled::Secret).await.unwrap();
        std::fs::write(self.file(&format!("{name}.pem")), ca::pem("CERTIFICATE", &issued)).unwrap();
        key
    }

    fn private_key(&self, name: &str) -> KeyPair {
        let key = KeyPair::generate().unwrap();
        std::fs::write(self.file(&format!("{name}.key")), key.serialize_pem()).unwrap();
        key
    }

    /// A program of mosquitto's as this device.
    fn mosquitto(&self, program: &str, name: &str, version: &str) -> Command {
        let mut command = Command::new(program);
        command.args(["-h", "localhost", "-p", &self.door.local_addr().port().to_string(), "-V", version]);
        command.arg("--cafile").arg(self.file("ca.pem"));
        command.arg("--cert").arg(self.file(&format!("{name}.pem")));
        command.arg("--key").arg(self.file(&format!("{name}.key")));
        command.stdout(Stdio::piped()).stderr(Stdio::piped()).kill_on_drop(true);
        command
    }

    async fn connect(&self, name: &str) -> TlsStream<TcpStream> {
        let mut roots = RootCertStore::empty();
        roots.add(CertificateDer::from_pem_file(self.file("ca.pem")).unwrap()).unwrap();
        let chain = vec![CertificateDer::from_pem_file(self.file(&format!("{name}.pem"))).unwrap()];
        let key = PrivateKeyDer::from_pem_file(self.file(&format!("{name}.key"))).unwrap();
        let config = ClientConfig::builder_with_provider(provider())
            .with_safe_default_protocol_versions()
            .unwrap()
            .with_root_certificates(roots)
            .with_client_auth_cert(chain, key)
            .unwrap();
        let stream = TcpStream::connect(self.door.local_addr()).await.unwrap();
        TlsConnector::from(Arc::new(config)).connect(ServerName::try_from("localhost").unwrap(), stream).await.unwrap()
    }

    fn lines(&self) -> Vec<serde_json::Value> {
        let text = std::fs::read_to_string(self.file("log")).unwrap_or_default();
        text.lines().map(|line| serde_json::from_str(line).unwrap()).collect()
    }

    fn ended(&self, why: Ended) -> u64 {
        let (_, counted) = self.door.meter()();
        counted.ended.iter().find(|(reason, _)| *reason == why).unwrap().1
    }

    async fn until(&self, what: &str, mut holds: impl FnMut(&Self) -> bool) {
        let end = std::time::Instant::now() + PATIENCE;
        while !holds(self) {
            assert!(std::time::Instant::now() < end, "{what} did not happen");
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
    }
}

/// A root of this test's, and the tenant's authority under it.
async fn set_up_authority(app: &App, tenant: TenantId) {
    let now = app.clock().now();
    let serial = |number: u8| Serial::new([number; 16]);
    let validity = Validity { not_before: now, not_after: UnixMillis(now.0 + 86_400_000_000) };
    let (key, _) = ca::Key::generate().unwrap();
    let root = hierarchy::root("root", &key, &serial(1), validity).unwrap();
    let root = Authority::new(root, key).unwrap();
    let asked = app.request_authority(&ada(), tenant).await.unwrap();
    let request = CertificateSigningRequestDer::from_pem_slice(asked.request.as_bytes()).unwrap();
    let signed = hierarchy::sign(&root, &request, &serial(2), validity).unwrap();
    let certificates = ca::pem("CERTIFICATE", &signed) + &ca::pem("CERTIFICATE", root.certificate());
    app.install_authority(&ada(), tenant, &Bundle { certificates }).await.unwrap();
}

fn provider() -> Arc<rustls::crypto::CryptoProvider> {
    Arc::new(rustls::crypto::aws_lc_rs::default_provider())
}

fn installed() -> bool {
    let installed = Path::new("/usr/bin/mosquitto_pub").exists();
    if !installed {
        eprintln!("skipped: mosquitto-clients is not installed");
    }
    installed
}

/// CONNECT of MQTT 5.0 (`level` 5) or 3.1.1 (4), without a client identifier.
fn connect(level: u8) -> Vec<u8> {
    let mut body = b"\x00\x04MQTT".to_vec();
    body.extend([level, 2, 0, 60]);
    body.extend(if level == 5 { &[0, 0, 0][..] } else { &[0, 0][..] });
    [&[0x10, body.len() as u8][..], &body].concat()
}

/// What comes until the other side closes.
async fn rest(stream: &mut TlsStream<TcpStream>) -> Vec<u8> {
    let mut out = Vec::new();
    let _ = tokio::time::timeout(PATIENCE, stream.read_to_end(&mut out)).await.expect("it closes");
    out
}

/// Sends CONNECT and takes the CONNACK, whose reason has to be zero.
async fn let_in(stream: &mut TlsStream<TcpStream>, level: u8) {
    stream.write_all(&connect(level)).await.unwrap();
    let mut head = [0; 2];
    stream.read_exact(&mut head).await.unwrap();
    let mut body = vec![0; usize::from(head[1])];
    stream.read_exact(&mut body).await.unwrap();
    assert_eq!((head[0], body[1]), (0x20, 0), "{body:?}");
}

#[tokio::test]
async fn mosquittos_messages_reach_the_upstream_before_they_are_acknowledged() {
    if !installed() {
        return;
    }
    let harbour = Harbour::new().await;
    harbour.device("crane-1").await;
    for (version, payload) in [("mqttv311", "12.5"), ("mqttv5", "12.6")] {
        let mut publish = harbour.mosquitto("mosquitto_pub", "crane-1", version);
        let output = publish.args(["-q", "1", "-t", "load/hook", "-m", payload]).output().await.unwrap();
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    }
    let lines = harbour.lines();
    assert_eq!(lines.len(), 2, "{lines:?}");
    assert!(lines.iter().all(|line| line["device"] == "crane-1" && line["path"] == "/load/hook"), "{lines:?}");
    harbour.until("the end of both", |harbour| harbour.ended(Ended::Device) == 2).await;
}

#[tokio::test]
async fn a_command_reaches_the_device_that_subscribed_and_is_acknowledged() {
    if !installed() {
        return;
    }
    let harbour = Harbour::new().await;
    let key = harbour.device("crane-1").await;
    let mut subscribe = harbour.mosquitto("mosquitto_sub", "crane-1", "mqttv5");
    let listening = subscribe.args(["-q", "1", "-t", "commands/#", "-C", "2", "-v"]).spawn().unwrap();
    for path in ["/hook/lower", "/hook/raise"] {
        let command = NewCommand {
            method: 2,
            path: path.into(),
            content_format: None,
            payload: Bytes::from_static(b"3"),
            coap: None,
            expires_in_ms: 60_000,
        };
        harbour.app.send_command(&ada(), key, command).await.unwrap();
    }
    let heard = tokio::time::timeout(PATIENCE, listening.wait_with_output()).await.expect("two commands").unwrap();
    let heard = String::from_utf8(heard.stdout).unwrap();
    assert_eq!(heard, "commands/POST/hook/lower 3\ncommands/POST/hook/raise 3\n");
    harbour.until("the end", |harbour| harbour.ended(Ended::Device) == 1).await;
    let page = harbour.app.commands(key, &Default::default()).await.unwrap();
    let states: Vec<_> = page.items.iter().map(|command| command.state.as_str()).collect();
    assert_eq!(states[1..], ["acknowledged"], "{states:?}"); // the newest first; its acknowledgement may be cut off
}

#[tokio::test]
async fn who_is_isolated_is_cut_off_and_does_not_come_in_again() {
    let harbour = Harbour::new().await;
    let key = harbour.device("crane-1").await;
    let mut stream = harbour.connect("crane-1").await;
    let_in(&mut stream, 5).await;
    harbour.app.isolate(&ada(), key, "it moves by itself", false).await.unwrap();
    assert_eq!(rest(&mut stream).await[..3], [0xE0, 1, 0x98], "DISCONNECT: administrative action");
    let mut again = harbour.connect("crane-1").await;
    again.write_all(&connect(5)).await.unwrap();
    assert_eq!(rest(&mut again).await[..4], [0x20, 3, 0, 0x87], "CONNACK: not authorised");
    let mut old = harbour.connect("crane-1").await;
    old.write_all(&connect(4)).await.unwrap();
    assert_eq!(rest(&mut old).await, [0x20, 2, 0, 5], "the same in 3.1.1");
    assert_eq!((harbour.ended(Ended::Isolated), harbour.ended(Ended::Refused)), (1, 2));
    assert!(harbour.lines().is_empty());
}

#[tokio::test]
async fn nobody_is_let_in_by_a_certificate_that_is_not_a_devices() {
    let harbour = Harbour::new().await;
    let key = harbour.private_key("stranger");
    let own = CertificateParams::default().self_signed(&key).unwrap();
    std::fs::write(harbour.file("stranger.pem"), own.pem()).unwrap();
    let mut stream = harbour.connect("stranger").await; // in TLS 1.3 the client is done before it is judged
    let _ = stream.write_all(&connect(5)).await;
    assert_eq!(rest(&mut stream).await, b"");
    harbour.until("its end", |harbour| harbour.ended(Ended::Handshake) == 1).await;
    let (open, counted) = harbour.door.meter()();
    assert_eq!((open, counted.opened), (0, 0));
}

#[tokio::test]
async fn a_certificate_that_is_taken_back_ends_the_connection_and_opens_no_other() {
    let harbour = Harbour::new().await;
    harbour.device("crane-1").await;
    let mut stream = harbour.connect("crane-1").await;
    let_in(&mut stream, 5).await;
    let page = harbour.app.certificates(harbour.tenant, &Default::default(), &Paging::default()).await.unwrap();
    let serial = &page.items[0].serial;
    harbour.app.revoke_certificate(&ada(), harbour.tenant, serial, Reason::KeyCompromise).await.unwrap();
    assert_eq!(rest(&mut stream).await[..3], [0xE0, 1, 0x98]);
    let mut again = harbour.connect("crane-1").await;
    let _ = again.write_all(&connect(5)).await;
    assert_eq!(rest(&mut again).await, b"");
    harbour.until("its end", |harbour| harbour.ended(Ended::Handshake) == 1).await;
}

#[tokio::test]
async fn a_device_has_one_connection_and_the_newest_counts() {
    let harbour = Harbour::new().await;
    let key = harbour.device("crane-1").await;
    let mut first = harbour.connect("crane-1").await;
    let_in(&mut first, 5).await;
    let mut second = harbour.connect("crane-1").await;
    let_in(&mut second, 4).await;
    assert_eq!(rest(&mut first).await[..3], [0xE0, 1, 0x8E], "DISCONNECT: taken over");
    assert!(harbour.app.show_device(key).await.unwrap().session.is_some(), "the newer one goes on");
    second.write_all(&[0xC0, 0]).await.unwrap();
    let mut pong = [0; 2];
    second.read_exact(&mut pong).await.unwrap();
    assert_eq!(pong, [0xD0, 0]);
    second.write_all(&[0xE0, 0]).await.unwrap();
    assert_eq!(rest(&mut second).await, b"");
    harbour.until("its end", |harbour| harbour.ended(Ended::Device) == 1).await;
    assert!(harbour.app.show_device(key).await.unwrap().session.is_none());
}

#[tokio::test]
async fn what_is_not_offered_or_makes_no_sense_ends_the_connection_in_words() {
    let harbour = Harbour::new().await;
    harbour.device("crane-1").await;
    let cases: [(&str, &[u8], u8); 7] = [
        ("quality of service 2", b"\x34\x07\x00\x01t\x00\x01\x00x", 0x9B),
        ("a retained message", b"\x31\x05\x00\x01t\x00x", 0x9A),
        ("a topic alias", b"\x30\x08\x00\x01t\x03\x23\x00\x01x", 0x82),
        ("a packet that is too long", b"\x30\xFF\xFF\xFF\x7F", 0x95),
        ("a length without an end", b"\x30\xFF\xFF\xFF\xFF", 0x81),
        ("another CONNECT", b"\x10\x0D\x00\x04MQTT\x05\x02\x00\x3C\x00\x00\x00", 0x82),
        ("no packet at all", b"\x00\x00", 0x81),
    ];
    for (what, bytes, reason) in cases {
        let mut stream = harbour.connect("crane-1").await;
        let_in(&mut stream, 5).await;
        stream.write_all(bytes).await.unwrap();
        let said = rest(&mut stream).await;
        assert_eq!(said.get(..3), Some(&[0xE0, 1, reason][..]), "{what}: {said:02x?}");
    }
    for first in [&b"\xC0\x00"[..], b"GET / HTTP/1.1\r\n\r\n", b"\x10\x0C\x00\x04MQTT\x06\x02\x00\x3C\x00\x00"] {
        let mut stream = harbour.connect("crane-1").await;
        stream.write_all(first).await.unwrap();
        assert_eq!(rest(&mut stream).await, b"");
    }
    harbour.until("all ends", |harbour| harbour.ended(Ended::Fault) == 10).await;
    assert!(harbour.lines().is_empty());
}

/// xorshift64*
fn random(state: &mut u64) -> u64 {
    *state ^= *state >> 12;
    *state ^= *state << 25;
    *state ^= *state >> 27;
    state.wrapping_mul(0x2545_F491_4F6C_DD1D)
}

#[tokio::test]
async fn random_packets_are_read_or_refused() {
    let harbour = Harbour::new().await;
    let mut seed = 7;
    for round in 0..40 {
        let name = format!("crane-{round}"); // one alone would be found to reconnect too often
        harbour.device(&name).await;
        let mut stream = harbour.connect(&name).await;
        let_in(&mut stream, if round % 2 == 0 { 5 } else { 4 }).await;
        for _ in 0..40 {
            let length = random(&mut seed) as usize % 40;
            let mut packet = vec![random(&mut seed) as u8, length as u8];
            packet.extend(
                (0..length).map(|_| if random(&mut seed).is_multiple_of(3) { random(&mut seed) as u8 } else { 0 }),
            );
            if stream.write_all(&packet).await.is_err() {
                break;
            }
        }
        drop(stream);
    }
    harbour.until("all ends", |harbour| harbour.door.meter()().0 == 0).await;
    assert_eq!(harbour.door.meter()().1.opened, 40);
    let Harbour { door, .. } = harbour;
    door.drain(PATIENCE).await;
}
