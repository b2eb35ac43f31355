//! What DTLS 1.3, encrypted Connection IDs and the check of new addresses are at the gateway.
#![allow(
    clippy::disallowed_methods,
    clippy::disallowed_types,
    clippy::unwrap_used,
    reason = "a test owns its sockets, files and clock, and says where it cannot go on"
)]

#[path = "gateway/scene.rs"]
mod scene;

use std::net::SocketAddr;
use std::time::Duration;

use bartizan_crypto::RUSTCRYPTO;
use bartizan_dtls::{
    ClientConfig, Connection, Endpoint, EndpointConfig, EndpointEvent, PskEntry, SecretBytes, SessionId, Version,
};
use bartizan_server::app::NewCommand;
use bartizan_server::gateway::Dropped;
use bartizan_server::gateway::journal::{Entry, Folder, Journal, Notice, Window};
use bartizan_server::store::MasterKey;
use bartizan_wire::coap::{Builder, Code, MessageView, Type};
use bartizan_wire::{Access, DeviceKey};

use scene::*;

const BOTH: [Version; 2] = [Version::Dtls12, Version::Dtls13];

#[tokio::test]
async fn a_device_reports_sleeps_moves_and_is_answered_in_one_datagram_each_way() {
    for (place, version) in BOTH.into_iter().enumerate() {
        let scene = Scene::new().await;
        let (key, mut meter) = scene.meter_of("meter-1", version).await;
        assert_eq!(meter.post("/v", "1").await.code, Code::CHANGED);
        for round in 1..=3 {
            meter.sleep_and_wake().await;
            assert_eq!(meter.post("/v", "2").await.code, Code::CHANGED);
            assert_eq!((meter.sent.len(), meter.received), (1, 1), "{version:?}");
            assert_eq!(scene.gateway.counters().rebindings, round);
        }
        assert_eq!(scene.delivered().len(), 4);
        let counters = scene.gateway.counters();
        assert_eq!((counters.handshakes_by_version[place], counters.handshakes), (1, 1));
        assert_eq!(counters.path_checks, [0; 3], "a short answer asks nobody where he is");
        let session = scene.app.show_device(key).await.unwrap().session.unwrap();
        assert_eq!((&session.version[..], session.connection_id), (version.name(), true));
    }
}

#[tokio::test]
async fn with_the_key_alone_and_with_every_suite_of_dtls_1_3() {
    let scene = Scene::new().await;
    let (_, psk) = scene.add("meter-1").await;
    let address = scene.gateway.local_addr();
    let config = config_of("meter-1", &psk, Version::Dtls13);
    let suites = bartizan_dtls::CipherSuite::ALL.into_iter().filter(|suite| suite.version() == Version::Dtls13);
    for suite in suites {
        for groups in [Vec::new(), config.groups.clone()] {
            let config = ClientConfig { suites: vec![suite], groups, ..config.clone() };
            let mut meter = Device::connect_with(address, config, PATIENCE).await.expect("a handshake");
            assert_eq!(meter.post("/v", "1").await.code, Code::CHANGED, "{suite}");
        }
    }
}

#[tokio::test]
async fn a_wrong_key_and_an_unknown_name_fail_alike_in_dtls_1_3() {
    let scene = Scene::new().await;
    let (key, mut meter) = scene.meter_of("meter-1", Version::Dtls13).await;
    for name in ["meter-1", "nobody"] {
        let config = config_of(name, &[9; 16], Version::Dtls13);
        let patience = Duration::from_millis(1_500);
        assert!(Device::connect_with(scene.gateway.local_addr(), config, patience).await.is_none());
    }
    assert_eq!(scene.gateway.counters().handshakes, 1);
    assert_eq!(meter.post("/v", "1").await.code, Code::CHANGED, "the device that was named goes on");
    assert_eq!(scene.app.device(key).unwrap().access(), Access::Full);
}

/// The Connection ID of a record that the device has sent.
fn cid_of(datagram: &[u8]) -> &[u8] {
    let at = if datagram[0] == 25 { 11 } else { 1 };
    &datagram[at..at + 10]
}

async fn cid(scene: &Scene, meter: &mut Device) -> Vec<u8> {
    meter.sent.clear();
    assert_eq!(meter.post("/v", "1").await.code, Code::CHANGED, "{:?}", scene.gateway.counters());
    cid_of(&meter.sent[0]).to_vec()
}

#[tokio::test]
async fn connection_ids_of_neighbours_and_of_one_device_share_no_structure() {
    let scene = Scene::new().await;
    let mut cids = Vec::new();
    for number in 0..6 {
        let (_, mut meter) = scene.meter_of(&format!("meter-{number}"), BOTH[number % 2]).await;
        cids.push(cid(&scene, &mut meter).await);
    }
    let (_, psk) = scene.add("again").await;
    for version in BOTH {
        let mut meter = Device::connect_over(scene.gateway.local_addr(), "again", &psk, version).await.unwrap();
        cids.push(cid(&scene, &mut meter).await);
    }
    for (place, one) in cids.iter().enumerate() {
        assert_eq!(one[0], cids[0][0], "which key, and how long: the same for all");
        for other in &cids[place + 1..] {
            let differing: u32 = one[1..].iter().zip(&other[1..]).map(|(a, b)| (a ^ b).count_ones()).sum();
            // 36 of 72 bits on average. Slot numbers of neighbours in the clear differ in one or two.
            assert!((16..=56).contains(&differing), "{one:02x?} {other:02x?}");
        }
    }
}

fn long_command() -> NewCommand {
    NewCommand {
        method: Code::PUT.0,
        path: "/schedule".into(),
        content_format: Some(0),
        payload: vec![b'x'; 500].into(),
        coap: None,
        expires_in_ms: 60_000,
    }
}

#[tokio::test]
async fn a_long_command_waits_until_a_new_address_is_checked() {
    for version in BOTH {
        let scene = Scene::new().await;
        let (key, mut meter) = scene.meter_of("meter-1", version).await;
        assert_eq!(meter.post("/v", "1").await.code, Code::CHANGED);
        meter.sleep_and_wake().await;
        assert_eq!(meter.post("/v", "2").await.code, Code::CHANGED);
        assert_eq!(scene.gateway.counters().path_checks, [0; 3]);
        scene.app.send_command(&ada(), key, long_command()).await.unwrap();
        let message = meter.next(PATIENCE).await.expect("the command comes after the check");
        assert_eq!(MessageView::parse(&message).unwrap().payload().len(), 500);
        assert_eq!(scene.gateway.counters().path_checks, [1, 0, 0], "{version:?}");
        assert_eq!(scene.gateway.counters().dropped(Dropped::NotSealed), 0);
    }
}

/// Somebody passes a device's record on from his own address and hopes for more than he sent.
#[tokio::test]
async fn an_address_that_does_not_answer_gets_no_more_than_three_times_what_came_from_there() {
    for version in BOTH {
        let scene = Scene::new().await;
        let (key, mut meter) = scene.meter_of("meter-1", version).await;
        assert_eq!(meter.post("/v", "1").await.code, Code::CHANGED);
        meter.sent.clear();
        let message = meter.request(Code::POST, "/v", b"2");
        let home = meter.gateway;
        meter.gateway = nowhere().await; // the record is overheard, and gets lost
        meter.send(&message).await;
        meter.gateway = home;
        let record = meter.sent.pop().unwrap();
        let attacker = tokio::net::UdpSocket::bind("127.0.0.1:0").await.unwrap();
        attacker.send_to(&record, home).await.unwrap();
        until("it is taken", async || scene.gateway.counters().rebindings == 1).await;
        scene.app.send_command(&ada(), key, long_command()).await.unwrap();
        let mut received = 0;
        let mut buffer = [0; 2048];
        while let Ok(Ok((length, _))) = tokio::time::timeout(SILENCE * 4, attacker.recv_from(&mut buffer)).await {
            received += length;
        }
        assert!(received <= 3 * record.len(), "{received} for {}", record.len());
        until("the check is given up", async || scene.gateway.counters().path_checks[2] > 0).await;
        assert_eq!(meter.post("/v", "3").await.code, Code::CHANGED, "the device is back with its next record");
    }
}

#[tokio::test]
async fn who_passes_records_on_from_an_address_of_his_own_is_found_out() {
    for version in BOTH {
        let scene = Scene::of_the_wary().await;
        let (_, mut meter) = scene.meter_of("meter-1", version).await;
        assert_eq!(meter.post("/v", "1").await.code, Code::CHANGED);
        meter.sent.clear();
        let message = meter.request(Code::POST, "/v", b"2");
        let home = meter.gateway;
        meter.gateway = nowhere().await;
        meter.send(&message).await;
        meter.gateway = home;
        let record = meter.sent.pop().unwrap();
        let attacker = tokio::net::UdpSocket::bind("127.0.0.1:0").await.unwrap();
        attacker.send_to(&record, home).await.unwrap();
        // The device, still at its old address, answers the question there, and may hear its answer after all.
        meter.wait(SILENCE, |_| false).await;
        until("he is found out", async || scene.gateway.counters().path_checks == [0, 1, 0]).await;
        assert_eq!(scene.gateway.counters().dropped(Dropped::RecordReplayed), 1, "held against his address");
        assert_eq!(meter.post("/v", "3").await.code, Code::CHANGED);
        assert_eq!(scene.gateway.counters().rebindings, 1, "the device never moved");
        // A device that does move is asked, answers, and is where it is.
        meter.rebind().await;
        assert_eq!(meter.post("/v", "4").await.code, Code::CHANGED);
        meter.wait(SILENCE * 4, |_| false).await;
        assert_eq!(scene.gateway.counters().path_checks, [1, 1, 0]);
    }
}

async fn nowhere() -> SocketAddr {
    tokio::net::UdpSocket::bind("127.0.0.1:0").await.unwrap().local_addr().unwrap()
}

/// A session as servers wrote it down before there were encrypted Connection IDs, DTLS 1.3 and certificates.
struct Old {
    connection: Connection,
    config: ClientConfig,
    session: SessionId,
    state: Vec<u8>,
    window: Window,
    lease: u64,
}

fn fill(out: &mut [u8]) {
    getrandom::fill(out).unwrap();
}

/// Shakes hands in memory with a server of then.
fn old_session(key: DeviceKey, psk: &[u8]) -> Old {
    let start = bartizan_dtls::Instant::from_millis(0);
    let secret = SecretBytes::new(psk).unwrap();
    let config = ClientConfig { rrc: false, ..config_of("meter-1", psk, Version::Dtls12) };
    let mut connection = Connection::connect(config.clone(), start, &mut fill).unwrap();
    let mut server = Endpoint::server(EndpointConfig::new(&RUSTCRYPTO), Box::new(fill)).unwrap();
    let from = "127.0.0.1:9".parse().unwrap();
    let principal = u64::from(key.tenant.0) << 40 | key.device.0;
    let mut session = None;
    while !connection.is_connected() {
        while let Some(mut datagram) = connection.poll_transmit(start) {
            server.handle(start, from, &mut datagram);
        }
        while let Some(event) = server.poll() {
            match event {
                EndpointEvent::PskRequested { handshake, .. } => {
                    server.provide_psk(start, handshake, Some(PskEntry { key: secret.clone(), principal, tag: 0 }));
                }
                EndpointEvent::Establishing { session: id, .. } => server.confirm_durable(start, id),
                EndpointEvent::Established { session: id, .. } => session = Some(id),
                _ => {}
            }
        }
        while let Some(mut transmit) = server.poll_transmit() {
            connection.handle(start, &mut transmit.data);
        }
        while connection.poll().is_some() {}
    }
    let session = session.unwrap();
    let window = server.window(session).unwrap();
    let mut state = server.state(session).unwrap().to_bytes();
    // The first layout: no authentication, no sign of resumption, no limits of records.
    state[0] = 1;
    state.truncate(state.len() - 6);
    Old {
        connection,
        config,
        session,
        state,
        window: Window { top: window.top, bits: window.bits },
        lease: server.lease(session).unwrap(),
    }
}

#[tokio::test]
async fn sessions_from_before_connection_ids_were_encrypted_go_on() {
    let scene = Scene::new().await;
    let (key, psk) = scene.add("meter-1").await;
    let Old { connection, config, session, state, window, lease } = old_session(key, &psk);
    let image = scene.crash_image();
    std::fs::remove_dir_all(sessions(image.path())).unwrap();
    let folder = Folder::open(&sessions(image.path())).unwrap();
    let sealed_under = MasterKey::from_bytes([42; 32]).derive("bartizan session journal");
    let (mut journal, _) = Journal::open(folder, sealed_under, Box::new(fill), 0).unwrap();
    let address = "127.0.0.1:9".parse().unwrap();
    journal.record(&Entry::Session { session: session.to_u64(), state: &state, window, lease, address });
    journal.complete();
    assert!(journal.flush());
    assert!(matches!(journal.notice().await, Notice::Durable { .. }));
    drop(journal);

    let scene = scene.start_image(image).await;
    assert_eq!(scene.gateway.counters().sessions, 1);
    let mut meter = Device::connected(scene.gateway.local_addr(), connection, config).await;
    for round in ["1", "2"] {
        meter.sent.clear();
        assert_eq!(meter.post("/v", round).await.code, Code::CHANGED);
        assert_eq!(meter.sent[0][11], 1, "in the plain format");
        meter.sleep_and_wake().await;
    }
    assert_eq!(scene.gateway.counters().handshakes, 0);
    // The next association has an encrypted one.
    let mut meter = Device::connect_over(scene.gateway.local_addr(), "meter-1", &psk, Version::Dtls12).await.unwrap();
    assert_ne!(cid(&scene, &mut meter).await[0], 1);
}

/// A device behind a limited address must not suffer for its neighbour, whichever version it speaks.
#[tokio::test]
async fn a_device_of_dtls_1_3_behind_a_limited_address_goes_on() {
    let scene = Scene::new().await;
    let (_, mut meter) = scene.meter_of("meter-1", Version::Dtls13).await;
    meter.sent.clear();
    assert_eq!(meter.post("/v", "1").await.code, Code::CHANGED);
    let captured = meter.sent.pop().unwrap();
    let attacker = tokio::net::UdpSocket::bind("127.0.0.1:0").await.unwrap();
    let source = bartizan_wire::Source::of(attacker.local_addr().unwrap());
    until("the source is limited", async || {
        attacker.send_to(&captured, scene.gateway.local_addr()).await.unwrap();
        scene.app.source_verdict(source) == bartizan_server::app::SourceVerdict::Drop
    })
    .await;
    assert_eq!(meter.post("/v", "2").await.code, Code::CHANGED);
    assert_eq!(scene.gateway.counters().dropped(Dropped::SourceLimited), 0);
}

/// Answers a command of the gateway.
#[tokio::test]
async fn a_command_to_a_device_of_dtls_1_3_is_acknowledged() {
    let scene = Scene::new().await;
    let (key, mut meter) = scene.meter_of("meter-1", Version::Dtls13).await;
    assert_eq!(meter.post("/v", "1").await.code, Code::CHANGED);
    scene.app.send_command(&ada(), key, long_command()).await.unwrap();
    let message = meter.next(PATIENCE).await.expect("it comes by itself");
    let view = MessageView::parse(&message).unwrap();
    let mut buffer = [0; 32];
    let answer = Builder::new(&mut buffer, Type::Acknowledgement, Code::CHANGED, view.message_id(), view.token());
    meter.send(answer.finish().unwrap()).await;
    until("the command shows as acknowledged", async || {
        let commands = scene.app.commands(key, &Default::default()).await.unwrap();
        commands.items[0].state == "acknowledged"
    })
    .await;
}
