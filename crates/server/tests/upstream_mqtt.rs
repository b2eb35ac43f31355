//! The MQTT upstream against Debian's Mosquitto.
#![allow(
    clippy::unwrap_used,
    clippy::disallowed_methods,
    clippy::disallowed_types,
    reason = "a test that cannot go on says where, and owns its sockets and files"
)]

mod support;

use std::path::Path;
use std::process::Stdio;

use bartizan_server::app::path::{Message, UpstreamError};
use bartizan_server::upstream::{Retraction, Upstream};
use bartizan_wire::UnixMillis;
use support::{Outside, context, device, folder, free_tcp_port, message, open, outside, until};
use tokio::io::{AsyncBufReadExt, BufReader};

const MOSQUITTO: &str = "/usr/sbin/mosquitto";
const SUBSCRIBER: &str = "/usr/bin/mosquitto_sub";

fn broker(folder: &Path, config: &str) -> Option<Outside> {
    let file = folder.join("mosquitto.conf");
    // Debian's Mosquitto gives up root for a user that could not read the test's folder.
    std::fs::write(&file, format!("{config}\nuser root\n")).unwrap();
    outside(MOSQUITTO, &["-c", file.to_str().unwrap()])
}

async fn listens(port: u16) {
    until("the broker's start", async || tokio::net::TcpStream::connect(("127.0.0.1", port)).await.is_ok()).await;
}

/// Delivers until the broker is back; the devices behind do the same.
async fn deliver_until_accepted(upstream: &Upstream, payload: &str) {
    until("delivery", async || upstream.deliver(&device(7), message("/state?x=1", payload)).await.is_ok()).await;
}

#[tokio::test]
async fn messages_arrive_under_the_devices_topic() {
    let ((_folder, path), port) = (folder(), free_tcp_port());
    let Some(_broker) = broker(&path, &format!("listener {port} 127.0.0.1\nallow_anonymous true")) else { return };
    listens(port).await;
    if !Path::new(SUBSCRIBER).exists() {
        eprintln!("SKIPPED: {SUBSCRIBER} is not installed (cargo xtask test installs it)");
        return;
    }
    let mut subscriber = tokio::process::Command::new(SUBSCRIBER)
        .args(["-p", &port.to_string(), "-t", "bartizan/#", "-t", "ready", "-v", "-q", "1"])
        .stdout(Stdio::piped())
        .kill_on_drop(true)
        .spawn()
        .unwrap();
    let mut lines = BufReader::new(subscriber.stdout.take().unwrap()).lines();
    let upstream = open(&format!("mqtt://127.0.0.1:{port}"), context().0).await;
    // The subscriber is ready once it hears something.
    let probe = open(&format!("mqtt://127.0.0.1:{port}?topic=ready"), context().0).await;
    loop {
        probe.deliver(&device(1), message("/", "")).await.unwrap();
        let heard = tokio::time::timeout(std::time::Duration::from_millis(200), lines.next_line()).await;
        if heard.is_ok() {
            break;
        }
    }
    for n in 0..20 {
        let reply = upstream.deliver(&device(7), message("/state?x=1", &format!("{{\"n\":{n}}}"))).await.unwrap();
        assert_eq!(reply.code, 0x44);
    }
    let mut heard = vec![];
    while heard.len() < 20 {
        let line = lines.next_line().await.unwrap().unwrap();
        if !line.starts_with("ready") {
            heard.push(line);
        }
    }
    let expected: Vec<String> = (0..20).map(|n| format!("bartizan/city/meter/device-7/state {{\"n\":{n}}}")).collect();
    assert_eq!(heard, expected);
    upstream.drain().await;
    assert!(upstream.deliver(&device(7), message("/state", "late")).await.is_err());
}

#[tokio::test]
async fn what_is_not_to_be_trusted_is_retained_and_said_of_each_message() {
    let ((_folder, path), port) = (folder(), free_tcp_port());
    let Some(_broker) = broker(&path, &format!("listener {port} 127.0.0.1\nallow_anonymous true")) else { return };
    listens(port).await;
    if !Path::new(SUBSCRIBER).exists() {
        eprintln!("SKIPPED: {SUBSCRIBER} is not installed (cargo xtask test installs it)");
        return;
    }
    let upstream = open(&format!("mqtt://127.0.0.1:{port}"), context().0).await;
    deliver_until_accepted(&upstream, "1").await;
    let (at, since) = (UnixMillis(1_795_420_510_042), UnixMillis(1_795_420_000_000));
    for trusted in [false, true] {
        upstream.retract(&device(7), Retraction { at, since, trusted }).await.unwrap();
    }
    // Who subscribes later hears the last of it.
    let mut subscriber = tokio::process::Command::new(SUBSCRIBER)
        .args(["-V", "5", "-p", &port.to_string(), "-t", "bartizan/#", "-q", "1", "-F", "%r %t %P %p"])
        .stdout(Stdio::piped())
        .kill_on_drop(true)
        .spawn()
        .unwrap();
    let mut lines = BufReader::new(subscriber.stdout.take().unwrap()).lines();
    let told = lines.next_line().await.unwrap().unwrap();
    let payload = told.strip_prefix("1 bartizan/city/meter/device-7/$trust  ").expect(&told);
    let told: serde_json::Value = serde_json::from_str(payload).unwrap();
    assert_eq!((told["trusted"].as_bool(), told["device"].as_str()), (Some(true), Some("device-7")));
    assert_eq!(told["untrusted_since"].as_str(), Some("2026-11-23T07:46:40.000Z"));
    assert_eq!(told["trusted_since"].as_str(), Some("2026-11-23T07:55:10.042Z"));
    let doubtful = Message { trusted: Some(false), ..message("/state", "2") };
    upstream.deliver(&device(7), doubtful).await.unwrap();
    let line = lines.next_line().await.unwrap().unwrap();
    assert_eq!(line, "0 bartizan/city/meter/device-7/state trusted:false 2");
}

#[tokio::test]
async fn a_killed_broker_is_unavailable_and_then_back() {
    let ((_folder, path), port) = (folder(), free_tcp_port());
    let config = format!("listener {port} 127.0.0.1\nallow_anonymous true");
    let Some(mut first) = broker(&path, &config) else { return };
    listens(port).await;
    let upstream = open(&format!("mqtt://localhost:{port}"), context().0).await;
    deliver_until_accepted(&upstream, "1").await;
    first.kill();
    let refused = upstream.deliver(&device(7), message("/state", "2")).await;
    assert!(matches!(refused, Err(UpstreamError::Unavailable(_))), "{refused:?}");
    let refused = upstream.deliver(&device(7), message("/state", "3")).await;
    assert!(matches!(refused, Err(UpstreamError::Unavailable(_))), "{refused:?}");
    let _second = broker(&path, &config).unwrap();
    deliver_until_accepted(&upstream, "4").await;
    let counted = upstream.counted();
    assert!(counted.connections >= 2 && counted.disconnections >= 1 && counted.unavailable >= 2, "{counted:?}");
}

#[tokio::test]
async fn a_topic_that_the_broker_forbids_is_not_acknowledged() {
    let ((_folder, path), port) = (folder(), free_tcp_port());
    let acl = path.join("acl");
    std::fs::write(&acl, "topic write bartizan/city/meter/device-7/#\n").unwrap();
    let config = format!("listener {port} 127.0.0.1\nallow_anonymous true\nacl_file {}", acl.display());
    let Some(_broker) = broker(&path, &config) else { return };
    listens(port).await;
    let upstream = open(&format!("mqtt://127.0.0.1:{port}"), context().0).await;
    deliver_until_accepted(&upstream, "mine").await;
    let refused = upstream.deliver(&device(8), message("/state", "not mine")).await;
    let Err(UpstreamError::Unavailable(why)) = refused else { panic!("{refused:?}") };
    assert!(why.contains("does not let us publish"), "{why}");
}

#[tokio::test]
async fn a_request_that_asks_something_is_not_for_a_broker() {
    let upstream = open("mqtt://127.0.0.1:9", context().0).await;
    let get = bartizan_server::app::path::Message { code: 1, ..message("/state", "") };
    assert_eq!(upstream.deliver(&device(7), get).await.unwrap().code, 0x85);
}

/// A CA and a broker's certificate under it, made for one test.
fn certificates(folder: &Path) {
    let mut ca = rcgen::CertificateParams::new(vec![]).unwrap();
    ca.is_ca = rcgen::IsCa::Ca(rcgen::BasicConstraints::Unconstrained);
    let ca_key = rcgen::KeyPair::generate().unwrap();
    let issuer = rcgen::CertifiedIssuer::self_signed(ca, ca_key).unwrap();
    let key = rcgen::KeyPair::generate().unwrap();
    let params = rcgen::CertificateParams::new(vec!["localhost".into()]).unwrap();
    let certificate = params.signed_by(&key, &issuer).unwrap();
    std::fs::write(folder.join("ca.pem"), issuer.pem()).unwrap();
    std::fs::write(folder.join("broker.pem"), certificate.pem()).unwrap();
    std::fs::write(folder.join("broker.key"), key.serialize_pem()).unwrap();
}

#[tokio::test]
async fn tls_and_a_password_are_used_and_their_absence_is_refused() {
    let ((_folder, path), port) = (folder(), free_tcp_port());
    let ((_other_folder, other), shown) = (folder(), path.display());
    certificates(&path);
    certificates(&other);
    std::fs::write(path.join("password"), "open sesame\n").unwrap();
    std::fs::write(path.join("wrong"), "open barley\n").unwrap();
    let made = std::process::Command::new("/usr/bin/mosquitto_passwd")
        .args(["-b", "-c", path.join("passwd").to_str().unwrap(), "city", "open sesame"])
        .status();
    if !made.is_ok_and(|status| status.success()) {
        eprintln!("SKIPPED: mosquitto_passwd is not installed (cargo xtask test installs it)");
        return;
    }
    let config = format!(
        "listener {port} 127.0.0.1\nallow_anonymous false\npassword_file {shown}/passwd\n\
         certfile {shown}/broker.pem\nkeyfile {shown}/broker.key"
    );
    let Some(_broker) = broker(&path, &config) else { return };
    listens(port).await;
    let address = format!("mqtts://localhost:{port}?username=city");
    let good = open(&format!("{address}&ca={shown}/ca.pem&password_file={shown}/password"), context().0).await;
    deliver_until_accepted(&good, "secret").await;
    for wrong in [
        format!("{address}&ca={shown}/ca.pem&password_file={shown}/wrong"),
        format!("{address}&ca={}/ca.pem&password_file={shown}/password", other.display()),
        format!("mqtts://localhost:{port}?ca={shown}/ca.pem"),
        format!("mqtt://localhost:{port}?username=city&password_file={shown}/password"),
    ] {
        let upstream = open(&wrong, context().0).await;
        for _ in 0..3 {
            assert!(upstream.deliver(&device(7), message("/state", "x")).await.is_err(), "{wrong}");
        }
    }
}
