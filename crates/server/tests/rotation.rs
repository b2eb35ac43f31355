//! Devices change their pre-shared key over their own association: who is given one, what ends, and what survives.
#![allow(
    clippy::disallowed_methods,
    clippy::disallowed_types,
    clippy::unwrap_used,
    reason = "a test owns its sockets, files and clock, and says where it cannot go on"
)]

#[path = "gateway/scene.rs"]
mod scene;

use std::time::Duration;

use bartizan_crypto::RUSTCRYPTO;
use bartizan_dtls::{CipherSuite, ClientConfig, Connection, Group, Instant, SecretBytes, Version};
use bartizan_server::gateway::Dropped;
use bartizan_wire::coap::Code;
use bartizan_wire::{Access, DeviceKey};

use scene::*;

const PATH: &str = "/.well-known/bartizan/key";
const BOTH: [Version; 2] = [Version::Dtls12, Version::Dtls13];

/// A pre-shared key and its name.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Psk {
    identity: String,
    key: Vec<u8>,
}

/// With an ephemeral exchange in both versions.
fn config(psk: &Psk, version: Version) -> ClientConfig {
    let mut config = config_of(&psk.identity, &psk.key, version);
    if version == Version::Dtls12 {
        config.suites = vec![CipherSuite::EcdhePskAes128Ccm8Sha256];
    }
    config
}

async fn connect(scene: &Scene, psk: &Psk, version: Version) -> Option<Device> {
    Device::connect_with(scene.gateway.local_addr(), config(psk, version), PATIENCE).await
}

/// As long as a handshake on loopback may take that comes to nothing.
async fn is_refused(scene: &Scene, psk: &Psk, version: Version) -> bool {
    let patience = Duration::from_millis(1_200);
    Device::connect_with(scene.gateway.local_addr(), config(psk, version), patience).await.is_none()
}

async fn meter(scene: &Scene, name: &str, version: Version) -> (DeviceKey, Psk, Device) {
    let (key, bytes) = scene.add(name).await;
    let psk = Psk { identity: name.into(), key: bytes };
    let device = connect(scene, &psk, version).await.expect("a handshake");
    (key, psk, device)
}

async fn ask(device: &mut Device) -> Response {
    let request = device.request_as(Code::POST, PATH, 42, b"");
    device.exchange(&request).await.expect("an answer")
}

/// `{"identity": bytes, "key": bytes}`.
fn psk_in(answer: &Response) -> Psk {
    assert_eq!((answer.code, answer.max_age), (Code::CHANGED, Some(0)), "{answer:?}");
    let rest = answer.payload.strip_prefix(b"\xa2\x68identity\x58\x18").unwrap();
    let (identity, rest) = rest.split_at(24);
    let key = rest.strip_prefix(b"\x63key\x58\x20").unwrap();
    assert_eq!(key.len(), 32);
    Psk { identity: String::from_utf8(identity.to_vec()).unwrap(), key: key.to_vec() }
}

async fn is_closed(device: &mut Device) -> bool {
    device.wait(Duration::from_secs(5), |device| device.closed).await
}

#[tokio::test]
async fn the_first_handshake_with_the_new_key_is_the_end_of_the_old_one() {
    for version in BOTH {
        let scene = Scene::new().await;
        let (key, old, mut device) = meter(&scene, "meter-1", version).await;
        let new = psk_in(&ask(&mut device).await);
        assert_eq!(psk_in(&ask(&mut device).await), new, "asked again in the same association");
        let mut second = connect(&scene, &old, version).await.expect("the old key is good until then");
        assert_eq!(second.post("/v", "1").await.code, Code::CHANGED);

        let mut renewed = connect(&scene, &new, version).await.expect("a handshake with the new key");
        assert_eq!(renewed.post("/v", "2").await.code, Code::CHANGED);
        assert!(is_closed(&mut second).await, "every older association ends");
        assert!(is_refused(&scene, &old, version).await);
        let shown = scene.app.show_device(key).await.unwrap();
        assert_eq!((shown.identity, shown.key.number), (new.identity.clone(), 1));
        assert_eq!(renewed.post("/v", "3").await.code, Code::CHANGED, "and the new one goes on");
        let device = scene.app.device(key).unwrap();
        until("what is left is cleared away", async || !device.is_key_replaced()).await;
        drop(device);

        let scene = scene.restart().await;
        assert_eq!(renewed.post("/v", "4").await.code, Code::CHANGED, "over a restart too");
        assert!(is_refused(&scene, &old, version).await);
        assert!(connect(&scene, &new, version).await.is_some());
    }
}

#[tokio::test]
async fn an_association_without_an_ephemeral_exchange_is_given_no_key() {
    let scene = Scene::new().await;
    let (key, bytes) = scene.add("meter-1").await;
    let plain = config_of("meter-1", &bytes, Version::Dtls12);
    let newer = ClientConfig { groups: Vec::<Group>::new(), ..config_of("meter-1", &bytes, Version::Dtls13) };
    for config in [plain, newer] {
        let mut device = Device::connect_with(scene.gateway.local_addr(), config, PATIENCE).await.unwrap();
        let answer = ask(&mut device).await;
        assert_eq!(answer.code, Code::FORBIDDEN);
        assert!(answer.text().contains("TLS_ECDHE_PSK"), "{}", answer.text());
        let mut restarted = scene.app.show_device(key).await.unwrap();
        assert_eq!(restarted.key.pending_since.take(), None);
    }
}

#[tokio::test]
async fn what_is_no_question_for_a_key_is_refused() {
    let scene = Scene::new().await;
    let (_, _, mut device) = meter(&scene, "meter-1", Version::Dtls13).await;
    for (code, format, payload, expected) in [
        (Code::GET, 42, &b""[..], Code::METHOD_NOT_ALLOWED),
        (Code::PUT, 42, b"", Code::METHOD_NOT_ALLOWED),
        (Code::POST, 50, b"{}", Code::UNSUPPORTED_CONTENT_FORMAT),
        (Code::POST, 42, &[1; 15], Code::BAD_REQUEST),
        (Code::POST, 42, &[1; 65], Code::BAD_REQUEST),
        (Code::POST, 42, &[1; 16], Code::CHANGED),
    ] {
        let request = device.request_as(code, PATH, format, payload);
        assert_eq!(device.exchange(&request).await.unwrap().code, expected, "{code:?} {payload:?}");
    }
}

#[tokio::test]
async fn an_isolated_device_is_given_none_and_goes_on_with_its_own() {
    let scene = Scene::new().await;
    let (key, old, mut device) = meter(&scene, "meter-1", Version::Dtls13).await;
    scene.app.isolate(&ada(), key, "tampered with", false).await.unwrap();
    assert_eq!(ask(&mut device).await.code, Code::FORBIDDEN);
    scene.app.release(&ada(), key, "repaired").await.unwrap();
    let new = psk_in(&ask(&mut device).await);
    // It never stores it.
    assert!(connect(&scene, &old, Version::Dtls13).await.is_some());
    assert!(connect(&scene, &new, Version::Dtls13).await.is_some());
}

#[tokio::test]
async fn a_person_asks_and_the_status_says_so_until_it_is_done() {
    let scene = Scene::new().await;
    let (key, _, mut device) = meter(&scene, "meter-1", Version::Dtls12).await;
    let rotate =
        |status: &Response| serde_json::from_str::<serde_json::Value>(status.text()).unwrap()["rotate"] == true;
    assert!(!rotate(&device.status().await));
    scene.app.ask_for_key(&ada(), key, 24).await.unwrap();
    assert!(rotate(&device.status().await));
    assert_eq!(device.post("/v", "1").await.code, Code::CHANGED, "nothing is held back for it");
    let new = psk_in(&ask(&mut device).await);
    assert!(rotate(&device.status().await), "it has it, but has not used it");
    let mut renewed = connect(&scene, &new, Version::Dtls12).await.unwrap();
    assert!(!rotate(&renewed.status().await));
    assert_eq!(scene.app.device(key).unwrap().access(), Access::Full);
}

/// Unknown name, wrong key, used-up name, and a name whose key was handed out and then replaced by another.
#[tokio::test]
async fn from_outside_a_used_up_key_looks_like_any_wrong_one() {
    for version in BOTH {
        let scene = Scene::new().await;
        let (_, old, mut device) = meter(&scene, "meter-1", version).await;
        let void = psk_in(&ask(&mut device).await);
        let mut again = connect(&scene, &old, version).await.unwrap();
        let new = psk_in(&ask(&mut again).await);
        let renewed = connect(&scene, &new, version).await.unwrap();
        let wrong = |identity: &str| Psk { identity: identity.into(), key: vec![9; 32] };
        let mut heard = Vec::new();
        for psk in [&wrong("nobody"), &wrong(&new.identity), &wrong("meter-1"), &old, &void] {
            heard.push(answers(&scene, psk, version).await);
        }
        assert!(heard.iter().all(|one| *one == heard[0]), "{version:?}: {heard:?}");
        let counters = scene.gateway.counters();
        assert_eq!(counters.handshakes, 3, "{version:?}");
        assert!(counters.dropped(Dropped::HandshakeRefused) == 0);
        drop(renewed);
    }
}

/// The lengths of what the gateway says to a client that repeats nothing.
async fn answers(scene: &Scene, psk: &Psk, version: Version) -> Vec<usize> {
    let socket = tokio::net::UdpSocket::bind("127.0.0.1:0").await.unwrap();
    let start = Instant::from_millis(0);
    let mut fill = |out: &mut [u8]| getrandom::fill(out).unwrap();
    let mut connection = Connection::connect(config(psk, version), start, &mut fill).unwrap();
    let mut lengths = Vec::new();
    loop {
        while let Some(datagram) = connection.poll_transmit(start) {
            socket.send_to(&datagram, scene.gateway.local_addr()).await.unwrap();
        }
        let mut buffer = [0; 2048];
        match tokio::time::timeout(SILENCE, socket.recv_from(&mut buffer)).await {
            Ok(received) => {
                let length = received.unwrap().0;
                lengths.push(length);
                connection.handle(start, &mut buffer[..length]);
            }
            Err(_) => return lengths,
        }
    }
}

/// A `kill -9` after every step of a change, with the device going on as its firmware would.
#[tokio::test]
async fn no_crash_leaves_a_device_outside_or_an_old_association_alive() {
    for version in BOTH {
        let scene = Scene::new().await;
        let (key, old, mut device) = meter(&scene, "meter-1", version).await;
        let asked = psk_in(&ask(&mut device).await);
        let crashed = scene.crash().await;
        assert!(connect(&crashed, &old, version).await.is_some(), "if it was not stored");
        let mut renewed = connect(&crashed, &asked, version).await.expect("if it was stored");
        assert_eq!(renewed.post("/v", "1").await.code, Code::CHANGED);
        assert!(is_refused(&crashed, &old, version).await);

        // The same on the first server, which dies when the key is in use and nothing more has been done.
        let tenant = scene.app.device(key).unwrap();
        let number = scene.app.credential(asked.identity.as_bytes()).await.unwrap().unwrap().number;
        assert!(scene.app.use_key(&tenant, number).await.unwrap());
        drop(tenant);
        let crashed = scene.crash().await;
        device.gateway = crashed.gateway.local_addr();
        let request = device.request(Code::POST, "/v", b"2");
        device.send(&request).await;
        assert!(device.next(Duration::from_secs(1)).await.is_none(), "the association of the old key is gone");
        assert!(crashed.delivered().is_empty());
        assert!(is_refused(&crashed, &old, version).await);
        let mut renewed = connect(&crashed, &asked, version).await.expect("a handshake");
        assert_eq!(renewed.post("/v", "3").await.code, Code::CHANGED);
        let device = crashed.app.device(key).unwrap();
        until("what is left is cleared away", async || !device.is_key_replaced()).await;
    }
}

#[tokio::test]
async fn a_person_s_key_ends_the_associations_of_the_old_one_over_a_crash_too() {
    let scene = Scene::new().await;
    let (key, old, mut device) = meter(&scene, "meter-1", Version::Dtls12).await;
    let image = scene.crash_image(); // with the association, and the old key
    let fresh = scene.app.rotate_key(&ada(), key).await.unwrap();
    assert!(is_closed(&mut device).await);
    let new = Psk { identity: old.identity.clone(), key: unhex(&fresh) };
    assert!(connect(&scene, &new, Version::Dtls12).await.is_some());
    drop(image);
    assert!(is_refused(&scene, &old, Version::Dtls12).await);
}

/// Somebody who has begun a handshake with the old key comes to its end after the new one was used.
#[tokio::test]
async fn a_handshake_that_began_with_the_old_key_ends_with_it() {
    let scene = Scene::new().await;
    let (key, old, mut device) = meter(&scene, "meter-1", Version::Dtls12).await;
    let new = psk_in(&ask(&mut device).await);
    let address = scene.gateway.local_addr();
    let slow = ClientConfig {
        psk: SecretBytes::new(&old.key).unwrap(),
        ..ClientConfig::new(&RUSTCRYPTO, old.identity.as_bytes(), SecretBytes::new(&old.key).unwrap())
    };
    // Its last flight is held back until the new key is in use.
    let socket = tokio::net::UdpSocket::bind("127.0.0.1:0").await.unwrap();
    let start = Instant::from_millis(0);
    let mut fill = |out: &mut [u8]| getrandom::fill(out).unwrap();
    let mut connection = Connection::connect(slow, start, &mut fill).unwrap();
    let mut buffer = [0; 2048];
    for _ in 0..2 {
        while let Some(datagram) = connection.poll_transmit(start) {
            socket.send_to(&datagram, address).await.unwrap();
        }
        let (length, _) = socket.recv_from(&mut buffer).await.unwrap();
        connection.handle(start, &mut buffer[..length]);
    }
    while let Ok(Ok((length, _))) = tokio::time::timeout(SILENCE, socket.recv_from(&mut buffer)).await {
        connection.handle(start, &mut buffer[..length]);
    }
    let last: Vec<_> = std::iter::from_fn(|| connection.poll_transmit(start)).collect();
    assert!(!last.is_empty() && !connection.is_connected());
    let mut renewed = connect(&scene, &new, Version::Dtls12).await.unwrap();
    for datagram in last {
        socket.send_to(&datagram, address).await.unwrap();
    }
    while let Ok(Ok((length, _))) = tokio::time::timeout(SILENCE, socket.recv_from(&mut buffer)).await {
        connection.handle(start, &mut buffer[..length]);
    }
    assert!(!connection.is_connected());
    assert_eq!(renewed.post("/v", "1").await.code, Code::CHANGED);
    assert_eq!(scene.app.show_device(key).await.unwrap().key.number, 1);
}
