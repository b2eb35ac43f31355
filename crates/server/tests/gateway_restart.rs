//! Associations outlive the server: after a restart in order, and after a `kill -9`.
#![allow(
    clippy::disallowed_methods,
    clippy::disallowed_types,
    clippy::unwrap_used,
    reason = "a test owns its sockets, files and clock, and says where it cannot go on"
)]

#[path = "gateway/scene.rs"]
mod scene;

use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use bartizan_dtls::Version;
use bartizan_server::gateway::{Dropped, Gateway, GatewayOptions};
use bartizan_server::store::MasterKey;
use bartizan_wire::coap::Code;
use tokio::net::UdpSocket;

use scene::*;

#[tokio::test]
async fn a_device_goes_on_after_a_restart_without_a_handshake() {
    let scene = Scene::new().await;
    let (key, mut meter) = scene.meter("meter-1").await;
    assert_eq!(meter.post("/v", "1").await.code, Code::CHANGED);
    let scene = scene.restart().await;
    assert_eq!(meter.post("/v", "2").await.code, Code::CHANGED);
    meter.rebind().await;
    assert_eq!(meter.post("/v", "3").await.code, Code::CHANGED);
    assert_eq!(scene.gateway.counters().handshakes, 0);
    assert_eq!(scene.delivered().len(), 3);
    assert!(scene.app.show_device(key).await.unwrap().session.is_some());
}

#[tokio::test]
async fn after_a_kill_no_nonce_repeats_no_replay_is_delivered_and_nobody_is_stranded() {
    for version in [Version::Dtls12, Version::Dtls13] {
        outlive_a_kill(version).await;
    }
}

async fn outlive_a_kill(version: Version) {
    let scene = Scene::new().await;
    let (_, mut meter) = scene.meter_of("meter-1", version).await;
    let mut sequences = Vec::new();
    meter.sent.clear();
    for round in 0..5 {
        assert_eq!(meter.post("/v", &round.to_string()).await.code, Code::CHANGED);
    }
    sequences.append(&mut meter.heard);
    let captured = meter.sent.clone();
    let crashed = scene.crash().await;

    let attacker = UdpSocket::bind("127.0.0.1:0").await.unwrap();
    for datagram in &captured {
        attacker.send_to(datagram, crashed.gateway.local_addr()).await.unwrap();
    }
    until("all replays are refused", async || {
        crashed.gateway.counters().dropped(Dropped::RecordReplayed) == captured.len() as u64
    })
    .await;
    assert_eq!(crashed.delivered().len(), 5);

    meter.gateway = crashed.gateway.local_addr();
    for round in 5..8 {
        assert_eq!(meter.post("/v", &round.to_string()).await.code, Code::CHANGED);
        meter.sleep_and_wake().await;
    }
    sequences.append(&mut meter.heard);
    let mut distinct = sequences.clone();
    distinct.sort_unstable();
    distinct.dedup();
    assert_eq!(distinct.len(), sequences.len(), "the server used a sequence number twice: {sequences:?}");
    assert_eq!(meter.repeated, 0, "the device's own window says so, too, also where nobody else can see the numbers");
    assert_eq!((crashed.delivered().len(), crashed.gateway.counters().handshakes), (8, 0));
}

/// The oracle of the test above does see a number that is used twice: two servers that both go on from one image.
#[tokio::test]
async fn two_servers_on_one_image_would_repeat_numbers() {
    for version in [Version::Dtls12, Version::Dtls13] {
        let scene = Scene::new().await;
        let (_, mut meter) = scene.meter_of("meter-1", version).await;
        assert_eq!(meter.post("/v", "1").await.code, Code::CHANGED);
        let (image, twin) = (scene.crash().await, scene.crash().await);
        meter.gateway = image.gateway.local_addr();
        assert_eq!(meter.post("/v", "2").await.code, Code::CHANGED);
        meter.gateway = twin.gateway.local_addr();
        let message = meter.request(Code::POST, "/v", b"3");
        meter.send(&message).await;
        assert_eq!(meter.next(SILENCE).await, None);
        assert_eq!(meter.repeated, 1);
    }
}

/// A copy of a data directory may be long overtaken, or still be: nothing is sealed under its keys and no record opened,
/// and the device finds its way back by itself.
#[tokio::test]
async fn from_a_copied_folder_no_association_comes_back() {
    for version in [Version::Dtls12, Version::Dtls13] {
        let scene = Scene::new().await;
        let (_, psk) = scene.add("meter-1").await;
        let connect = async |gateway| Device::connect_over(gateway, "meter-1", &psk, version).await.unwrap();
        let mut meter = connect(scene.gateway.local_addr()).await;
        assert_eq!(meter.post("/v", "1").await.code, Code::CHANGED);
        let copy = scene.start_copy().await;
        assert_eq!(copy.gateway.counters().sessions, 0);
        // The original has leased and used further numbers.
        assert_eq!(meter.post("/v", "2").await.code, Code::CHANGED);

        let attacker = UdpSocket::bind("127.0.0.1:0").await.unwrap();
        let captured = meter.sent.clone();
        for datagram in &captured {
            attacker.send_to(datagram, copy.gateway.local_addr()).await.unwrap();
        }
        let (before, original) = (meter.received, meter.gateway);
        meter.gateway = copy.gateway.local_addr();
        let message = meter.request(Code::POST, "/v", b"3");
        meter.send(&message).await;
        assert_eq!(meter.next(SILENCE).await, None);
        assert_eq!((meter.received, meter.repeated), (before, 0), "not even an alert is sealed");
        assert_eq!(copy.delivered().len(), 1, "only what the folder held when it was copied");

        let mut again = connect(copy.gateway.local_addr()).await;
        assert_eq!(again.post("/v", "4").await.code, Code::CHANGED);
        // It stays so: the next start finds its own journal and nothing of the copy.
        let copy = copy.restart().await;
        assert_eq!(copy.gateway.counters().sessions, 1);
        assert_eq!(again.post("/v", "5").await.code, Code::CHANGED);
        assert_eq!((copy.gateway.counters().sessions, copy.gateway.counters().handshakes), (1, 0));
        meter.gateway = original;
        assert_eq!(meter.post("/v", "6").await.code, Code::CHANGED, "the original goes on");
    }
}

#[tokio::test]
async fn a_folder_that_was_moved_goes_on() {
    let scene = Scene::new().await;
    let (_, mut meter) = scene.meter("meter-1").await;
    assert_eq!(meter.post("/v", "1").await.code, Code::CHANGED);
    let (data, elsewhere) = (scene.folder.path().join("data"), scene.folder.path().join("elsewhere"));
    let moved = || {
        std::fs::rename(&data, &elsewhere).unwrap();
        std::fs::create_dir(&data).unwrap();
        std::fs::rename(&elsewhere, &data).unwrap();
    };
    let scene = scene.restart_after(moved).await;
    assert_eq!(meter.post("/v", "2").await.code, Code::CHANGED);
    assert_eq!(scene.gateway.counters().handshakes, 0);
}

/// Also not if the files are copied over those that are there, which then keep their inodes.
#[tokio::test]
async fn from_a_folder_that_was_put_back_no_association_comes_back() {
    for emptied in [true, false] {
        let scene = Scene::new().await;
        let (_, mut meter) = scene.meter("meter-1").await;
        assert_eq!(meter.post("/v", "1").await.code, Code::CHANGED);
        let (kept, folder) = (scene.crash_image(), sessions(scene.folder.path()));
        assert_eq!(meter.post("/v", "2").await.code, Code::CHANGED);
        let put_back = || {
            if emptied {
                std::fs::remove_dir_all(&folder).unwrap();
                std::fs::create_dir(&folder).unwrap();
            }
            for file in std::fs::read_dir(sessions(kept.path())).unwrap().map(Result::unwrap) {
                std::fs::copy(file.path(), folder.join(file.file_name())).unwrap();
            }
        };
        let scene = scene.restart_after(put_back).await;
        assert_eq!(scene.gateway.counters().sessions, 0, "emptied: {emptied}");
        let message = meter.request(Code::POST, "/v", b"3");
        meter.send(&message).await;
        assert_eq!(meter.next(SILENCE).await, None);
        assert_eq!((meter.repeated, scene.delivered().len()), (0, 2));
    }
}

#[tokio::test]
async fn a_device_blocked_while_the_server_was_down_is_cut_off_at_its_start() {
    let scene = Scene::new().await;
    let (key, mut meter) = scene.meter("meter-1").await;
    assert_eq!(meter.post("/v", "1").await.code, Code::CHANGED);
    // The decision reached the disk, the association's end did not.
    let before = scene.crash_image();
    scene.app.isolate(&ada(), key, "stolen", true).await.unwrap();
    let image = scene.crash_image();
    std::fs::remove_dir_all(sessions(image.path())).unwrap();
    std::fs::rename(sessions(before.path()), sessions(image.path())).unwrap();
    let crashed = scene.start_image(image).await;
    meter.gateway = crashed.gateway.local_addr();
    let message = meter.request(Code::POST, "/v", b"2");
    meter.send(&message).await;
    until("the association is gone", async || crashed.gateway.counters().sessions == 0).await;
    assert_eq!(crashed.delivered().len(), 1);
}

#[tokio::test]
async fn a_closed_association_does_not_come_back() {
    let scene = Scene::new().await;
    let (_, mut meter) = scene.meter("meter-1").await;
    assert_eq!(meter.post("/v", "1").await.code, Code::CHANGED);
    meter.close().await;
    until("the association is gone", async || scene.gateway.counters().sessions == 0).await;
    let scene = scene.restart().await;
    assert_eq!(scene.gateway.counters().sessions, 0);
}

#[tokio::test]
async fn another_key_and_a_damaged_journal_are_refused_in_one_line() {
    let scene = Scene::new().await;
    let (_, mut meter) = scene.meter("meter-1").await;
    assert_eq!(meter.post("/v", "1").await.code, Code::CHANGED);
    assert_eq!(meter.post("/v", "2").await.code, Code::CHANGED);
    let image = scene.crash_image();
    let start = async |key: [u8; 32]| {
        let listen = "127.0.0.1:0".parse().unwrap();
        let options = GatewayOptions::new(listen, sessions(image.path()), MasterKey::from_bytes(key));
        Gateway::start_on(Arc::clone(&scene.app), options, image.disk()).await.err().map(|error| error.to_string())
    };
    let wrong = start([1; 32]).await.unwrap();
    assert!(wrong.contains("another key") && !wrong.contains('\n'), "{wrong}");

    let file = std::fs::read_dir(sessions(image.path())).unwrap().next().unwrap().unwrap().path();
    let mut bytes = std::fs::read(&file).unwrap();
    bytes[100] ^= 1;
    std::fs::write(&file, bytes).unwrap();
    let damaged = start([42; 32]).await.unwrap();
    assert!(damaged.contains("damaged") && damaged.contains("sessions-"), "{damaged}");
}

#[tokio::test]
async fn on_a_full_disk_nothing_is_delivered_or_promised_until_there_is_room() {
    let (scene, full) = Scene::on_small_disk().await;
    let (_, mut meter) = scene.meter("meter-1").await;
    assert_eq!(meter.post("/v", "1").await.code, Code::CHANGED);
    let (_, psk) = scene.add("meter-2").await;
    full.store(true, Ordering::Relaxed);

    let message = meter.request(Code::POST, "/v", b"2");
    meter.send(&message).await;
    until("it is told why", async || scene.gateway.unready().is_some()).await;
    let why = scene.gateway.unready().unwrap();
    assert!(why.contains("the session journal cannot be written"), "{why}");
    assert_eq!(meter.next(SILENCE).await, None);
    assert_eq!(scene.delivered().len(), 1);
    let address = scene.gateway.local_addr();
    let patience = Duration::from_millis(1_500);
    assert!(Device::connect_within(address, "meter-2", &psk, patience).await.is_none(), "no Finished leaves");

    full.store(false, Ordering::Relaxed);
    let response = meter.exchange(&message).await.expect("what was held is answered");
    assert_eq!(response.code, Code::CHANGED);
    until("it is ready again", async || scene.gateway.unready().is_none()).await;
    assert_eq!(scene.delivered().len(), 2, "once, although the device repeated it");
    assert!(Device::connect(address, "meter-2", &psk).await.is_some());
    let scene = scene.restart().await;
    assert_eq!(meter.post("/v", "3").await.code, Code::CHANGED);
    assert_eq!(scene.delivered().len(), 3);
}

#[tokio::test]
async fn a_journal_that_cannot_be_written_at_the_start_is_one_clear_line() {
    let scene = Scene::new().await;
    let blocked = scene.folder.path().join("a file");
    std::fs::write(&blocked, b"").unwrap();
    let options =
        GatewayOptions::new("127.0.0.1:0".parse().unwrap(), blocked.join("sessions"), MasterKey::from_bytes([42; 32]));
    let error = Gateway::start(Arc::clone(&scene.app), options).await.err().unwrap().to_string();
    assert!(error.contains("the folder for sessions") && !error.contains('\n'), "{error}");
}

#[tokio::test]
async fn a_device_without_connection_id_is_known_by_its_address_also_after_a_restart() {
    let scene = Scene::new().await;
    let (_, psk) = scene.add("meter-1").await;
    let address = scene.gateway.local_addr();
    let mut meter = Device::connect_without_cid(address, "meter-1", &psk).await.unwrap();
    assert_eq!(meter.post("/v", "1").await.code, Code::CHANGED);
    let scene = scene.restart().await;
    assert_eq!(meter.post("/v", "2").await.code, Code::CHANGED);
    meter.rebind().await;
    let message = meter.request(Code::POST, "/v", b"3");
    meter.send(&message).await;
    assert_eq!(meter.next(SILENCE).await, None, "another address could be anybody");
    assert_eq!(scene.delivered().len(), 2);
    let mut again = Device::connect_without_cid(address, "meter-1", &psk).await.expect("it makes a handshake");
    assert_eq!(again.post("/v", "3").await.code, Code::CHANGED);
}

#[tokio::test]
async fn a_device_that_forgot_its_association_replaces_it() {
    let scene = Scene::new().await;
    let (key, psk) = scene.add("meter-1").await;
    let address = scene.gateway.local_addr();
    let mut before = Device::connect(address, "meter-1", &psk).await.unwrap();
    assert_eq!(before.post("/v", "1").await.code, Code::CHANGED);
    let mut after = Device::connect(address, "meter-1", &psk).await.unwrap();
    assert_eq!(before.post("/v", "2").await.code, Code::CHANGED, "the old one serves until the new one does");
    assert_eq!(after.post("/v", "3").await.code, Code::CHANGED);
    let message = before.request(Code::POST, "/v", b"nobody's");
    before.send(&message).await;
    assert_eq!(before.next(SILENCE).await, None, "the old one is over");
    let scene = scene.restart().await;
    assert_eq!(after.post("/v", "4").await.code, Code::CHANGED);
    assert_eq!(scene.gateway.counters().sessions, 1);
    assert!(scene.app.show_device(key).await.unwrap().session.is_some());
}

#[tokio::test]
async fn a_journal_that_is_rewritten_under_traffic_keeps_every_association() {
    let scene = Scene::of_short_journals().await;
    let mut meters = Vec::new();
    for number in 0..4 {
        meters.push(scene.meter(&format!("meter-{number}")).await.1);
    }
    let mut asleep = scene.meter("asleep").await.1;
    let journals = || -> Vec<_> {
        let files = std::fs::read_dir(sessions(scene.folder.path())).unwrap();
        files.map(|file| file.unwrap().file_name().into_string().unwrap()).collect()
    };
    let first = journals();
    let mut seen = std::collections::BTreeSet::new();
    for round in 0..60 {
        for meter in &mut meters {
            assert_eq!(meter.post("/v", &round.to_string()).await.code, Code::CHANGED);
        }
        seen.extend(journals());
        if round % 20 == 10 {
            let image = scene.crash().await;
            assert_eq!(image.gateway.counters().sessions, 5, "a crash in the middle of it");
        }
    }
    assert!(seen.len() >= first.len() + 3, "it was rewritten: {seen:?}");
    assert!(journals().len() <= 2, "older files go");
    let scene = scene.restart().await;
    for meter in meters.iter_mut().chain([&mut asleep]) {
        assert_eq!(meter.post("/v", "after").await.code, Code::CHANGED);
    }
    assert_eq!(scene.gateway.counters().handshakes, 0);
}
