//! Devices on real sockets through the gateway: what passes, what does not, and who pays for it.
#![allow(
    clippy::disallowed_methods,
    clippy::disallowed_types,
    clippy::unwrap_used,
    reason = "a test owns its sockets, files and clock, and says where it cannot go on"
)]

#[path = "gateway/scene.rs"]
mod scene;

use std::sync::Arc;
use std::time::Duration;

use bartizan_server::app::SourceVerdict;
use bartizan_server::gateway::Dropped;
use bartizan_wire::coap::{Block, Builder, Code, MessageView, Type, empty};
use bartizan_wire::{Access, Source};
use tokio::net::UdpSocket;

use scene::*;

#[tokio::test]
async fn telemetry_reaches_the_upstream_before_the_device_is_acknowledged() {
    let scene = Scene::new().await;
    let (_, mut meter) = scene.meter("meter-1").await;
    let response = meter.post("/meter/volume", r#"{"litres":3}"#).await;
    assert_eq!((response.kind, response.code), (Type::Acknowledgement, Code::CHANGED));
    let delivered = scene.delivered();
    assert_eq!(delivered.len(), 1, "the line was on disk when the device heard 2.04");
    assert!(delivered[0].contains("meter-1") && delivered[0].contains("litres"), "{}", delivered[0]);
    let counters = scene.gateway.counters();
    assert_eq!((counters.handshakes, counters.records, counters.sessions), (1, 1, 1));
}

#[tokio::test]
async fn a_request_repeated_in_a_new_record_is_delivered_once() {
    let scene = Scene::new().await;
    let (_, mut meter) = scene.meter("meter-1").await;
    let message = meter.request(Code::POST, "/v", b"1");
    let first = meter.exchange(&message).await.unwrap();
    let second = meter.exchange(&message).await.unwrap();
    assert_eq!(first, second);
    assert_eq!(scene.delivered().len(), 1);
    assert_eq!(scene.gateway.counters().dropped(Dropped::CoapDuplicate), 1);
}

#[tokio::test]
async fn a_replayed_record_is_neither_delivered_nor_answered_and_its_device_goes_on() {
    let scene = Scene::new().await;
    let (key, mut meter) = scene.meter("meter-1").await;
    meter.sent.clear();
    assert_eq!(meter.post("/v", "1").await.code, Code::CHANGED);
    let captured = meter.sent.clone();

    let attacker = UdpSocket::bind("127.0.0.1:0").await.unwrap();
    for datagram in captured.iter().cycle().take(20) {
        attacker.send_to(datagram, scene.gateway.local_addr()).await.unwrap();
    }
    until("the replays are counted", async || scene.gateway.counters().dropped(Dropped::RecordReplayed) == 20).await;
    let mut buffer = [0; 64];
    let heard = tokio::time::timeout(SILENCE, attacker.recv_from(&mut buffer)).await;
    assert!(heard.is_err(), "the attacker is not answered");
    assert_eq!(scene.delivered().len(), 1);
    assert_eq!(meter.post("/v", "2").await.code, Code::CHANGED);
    assert_eq!(scene.app.device(key).unwrap().access(), Access::Full);
    assert_eq!(scene.gateway.counters().rebindings, 0, "a replay moves nobody's address");
}

#[tokio::test]
async fn a_wrong_key_and_an_unknown_name_fail_alike() {
    let scene = Scene::new().await;
    let (key, mut meter) = scene.meter("meter-1").await;
    let address = scene.gateway.local_addr();
    let patience = Duration::from_millis(1_500);
    assert!(Device::connect_within(address, "meter-1", &[9; 16], patience).await.is_none());
    assert!(Device::connect_within(address, "nobody", &[9; 16], patience).await.is_none());
    assert_eq!(scene.gateway.counters().handshakes, 1);
    assert_eq!(meter.post("/v", "1").await.code, Code::CHANGED, "the device that was named goes on");
    assert_eq!(scene.app.device(key).unwrap().access(), Access::Full);
}

#[tokio::test]
async fn a_new_source_port_keeps_the_association() {
    let scene = Scene::new().await;
    let (_, mut meter) = scene.meter("meter-1").await;
    assert_eq!(meter.post("/v", "1").await.code, Code::CHANGED);
    for round in 1..=3 {
        meter.rebind().await;
        assert_eq!(meter.post("/v", "2").await.code, Code::CHANGED);
        assert_eq!(scene.gateway.counters().rebindings, round);
    }
    assert_eq!(scene.gateway.counters().handshakes, 1);
}

#[tokio::test]
async fn an_isolated_device_reaches_only_its_status_until_it_is_released() {
    let scene = Scene::new().await;
    let (key, mut meter) = scene.meter("meter-1").await;
    let (_, mut innocent) = scene.meter("meter-2").await;
    assert_eq!(meter.post("/v", "1").await.code, Code::CHANGED);
    scene.app.isolate(&ada(), key, "tampered with", false).await.unwrap();
    assert_eq!(meter.post("/v", "2").await.code, Code::FORBIDDEN);
    let status = meter.status().await;
    assert_eq!(status.code, Code::CONTENT);
    let shown: serde_json::Value = serde_json::from_str(status.text()).unwrap();
    assert_eq!(shown["access"], "quarantined");
    assert!(shown["reason"].as_str().unwrap().contains("tampered with"), "{shown}");
    assert_eq!(shown["retry_after_s"], 900);
    assert_eq!(innocent.post("/v", "1").await.code, Code::CHANGED);

    scene.app.release(&ada(), key, "repaired").await.unwrap();
    assert_eq!(meter.post("/v", "3").await.code, Code::CHANGED);
    assert_eq!(scene.delivered().len(), 3);
    assert_eq!(scene.gateway.counters().handshakes, 2, "the association stayed");
    let enforced = scene.gateway.enforced();
    assert!(enforced.iter().any(|entry| entry.device == key && entry.access == Access::Quarantined));
}

#[tokio::test]
async fn a_blocked_device_is_cut_off_and_cannot_come_back() {
    let scene = Scene::new().await;
    let (key, psk) = scene.add("meter-1").await;
    let address = scene.gateway.local_addr();
    let mut meter = Device::connect(address, "meter-1", &psk).await.unwrap();
    assert_eq!(meter.post("/v", "1").await.code, Code::CHANGED);
    scene.app.isolate(&ada(), key, "stolen", true).await.unwrap();
    assert!(meter.wait(PATIENCE, |meter| meter.closed).await, "the device is told");
    until("the association is gone", async || scene.gateway.counters().sessions == 0).await;
    let patience = Duration::from_millis(1_500);
    assert!(Device::connect_within(address, "meter-1", &psk, patience).await.is_none());
    scene.app.release(&ada(), key, "found again").await.unwrap();
    let mut meter = Device::connect(address, "meter-1", &psk).await.expect("it may come back");
    assert_eq!(meter.post("/v", "2").await.code, Code::CHANGED);
}

#[tokio::test]
async fn what_the_upstream_cannot_take_is_5_03_and_nothing_is_lost_silently() {
    let folder = Arc::new(tempfile::tempdir().unwrap());
    let nowhere = format!("log:{}", folder.path().join("missing/city.ndjson").display());
    let scene = Scene::with_upstream(folder, &nowhere).await;
    let (_, mut meter) = scene.meter("meter-1").await;
    let response = meter.post("/v", "1").await;
    assert_eq!((response.code, response.max_age), (Code::SERVICE_UNAVAILABLE, Some(30)));
    std::fs::create_dir(scene.folder.path().join("missing")).unwrap();
    until("the upstream is back", async || meter.post("/v", "2").await.code == Code::CHANGED).await;
}

#[tokio::test]
async fn pings_and_nonsense_are_answered_as_rfc_7252_says() {
    let scene = Scene::new().await;
    let (_, mut meter) = scene.meter("meter-1").await;
    meter.send(&empty(Type::Confirmable, 7)).await;
    assert_eq!(meter.next(PATIENCE).await.unwrap(), empty(Type::Reset, 7));
    meter.send(&[0x4f, 2, 1, 2]).await;
    assert_eq!(meter.next(PATIENCE).await.unwrap(), empty(Type::Reset, 0x0102));
    meter.send(b"\xff\xff").await;
    assert_eq!(meter.next(SILENCE).await, None);
    assert_eq!(scene.gateway.counters().dropped(Dropped::CoapMalformed), 2);
    assert_eq!(meter.post("/v", "1").await.code, Code::CHANGED);
}

#[tokio::test]
async fn a_command_leaves_at_the_next_record_and_shows_as_acknowledged() {
    let scene = Scene::of_sleepers().await;
    let (key, mut meter) = scene.meter("meter-1").await;
    let command = bartizan_server::app::NewCommand {
        method: Code::PUT.0,
        path: "/valve".into(),
        content_format: Some(0),
        payload: "shut".into(),
        coap: None,
        expires_in_ms: 60_000,
    };
    let queued = scene.app.send_command(&ada(), key, command).await.unwrap();
    assert_eq!(meter.next(SILENCE).await, None, "a sleeper is not called");
    meter.send(&empty(Type::Confirmable, 7)).await; // any authentic record wakes the queue
    let message = loop {
        let message = meter.next(PATIENCE).await.expect("the command comes");
        if MessageView::parse(&message).unwrap().code().is_request() {
            break message;
        }
    };
    let view = MessageView::parse(&message).unwrap();
    assert_eq!((view.code(), view.target().to_string()), (Code::PUT, "/valve".into()));
    let mut buffer = [0; 32];
    let answer = Builder::new(&mut buffer, Type::Acknowledgement, Code::CHANGED, view.message_id(), view.token());
    meter.send(answer.finish().unwrap()).await;
    until("the command shows as acknowledged", async || {
        let commands = scene.app.commands(key, &Default::default()).await.unwrap();
        commands.items.iter().any(|shown| shown.id == queued.id && shown.state == "acknowledged")
    })
    .await;
    meter.send(&empty(Type::Confirmable, 8)).await;
    assert_eq!(meter.next(PATIENCE).await.unwrap(), empty(Type::Reset, 8));
    assert_eq!(meter.next(SILENCE).await, None, "it is not sent again");
}

#[tokio::test]
async fn a_port_in_use_is_one_clear_line() {
    let scene = Scene::new().await;
    let folder = tempfile::tempdir().unwrap();
    let options = bartizan_server::gateway::GatewayOptions::new(
        scene.gateway.local_addr(),
        folder.path(),
        bartizan_server::store::MasterKey::from_bytes([42; 32]),
    );
    let error = bartizan_server::gateway::Gateway::start(scene.app.clone(), options).await.err().unwrap();
    let text = error.to_string();
    assert!(text.contains("cannot listen on UDP 127.0.0.1:") && !text.contains('\n'), "{text}");
}

#[tokio::test]
async fn a_command_to_a_device_that_is_awake_does_not_wait() {
    let scene = Scene::new().await;
    let (key, mut meter) = scene.meter("meter-1").await;
    assert_eq!(meter.post("/v", "1").await.code, Code::CHANGED);
    let command = bartizan_server::app::NewCommand {
        method: Code::GET.0,
        path: "/3/0/9".into(),
        content_format: None,
        payload: Default::default(),
        coap: None,
        expires_in_ms: 60_000,
    };
    scene.app.send_command(&ada(), key, command).await.unwrap();
    let message = meter.next(PATIENCE).await.expect("the command comes by itself");
    assert_eq!(MessageView::parse(&message).unwrap().code(), Code::GET);
    meter.send(&empty(Type::Reset, MessageView::parse(&message).unwrap().message_id())).await;
    until("the rejection shows", async || {
        let commands = scene.app.commands(key, &Default::default()).await.unwrap();
        commands.items[0].state == "refused"
    })
    .await;
}

#[tokio::test]
async fn a_device_that_floods_is_isolated_by_the_judge_and_an_innocent_one_is_not() {
    let scene = Scene::new().await;
    let (key, mut meter) = scene.meter("meter-1").await;
    let (_, mut innocent) = scene.meter("meter-2").await;
    assert_eq!(innocent.post("/v", "1").await.code, Code::CHANGED);
    let mut passed = 0;
    let refused = loop {
        let response = meter.post("/v", "flood").await;
        if response.code != Code::CHANGED || passed == 2_000 {
            break response;
        }
        passed += 1;
    };
    assert_eq!(refused.code, Code::FORBIDDEN, "after {passed} messages");
    let status = meter.status().await;
    assert!(status.text().contains("quarantined"), "{}", status.text());
    assert_eq!(innocent.post("/v", "2").await.code, Code::CHANGED);
    assert_eq!(scene.delivered().len(), passed + 2, "nothing of it passed after the decision");
    scene.app.release(&ada(), key, "looked at").await.unwrap();
    assert_ne!(meter.post("/v", "1").await.code, Code::FORBIDDEN);
}

#[tokio::test]
async fn draining_finishes_what_was_taken() {
    let scene = Scene::new().await;
    let (_, mut meter) = scene.meter("meter-1").await;
    let message = meter.request(Code::POST, "/v", b"last");
    meter.send(&message).await;
    until("the record was taken", async || scene.gateway.counters().records == 1).await;
    let Scene { gateway, folder, .. } = scene;
    gateway.drain(PATIENCE).await;
    let answer = meter.next(PATIENCE).await.expect("it is answered");
    assert_eq!(MessageView::parse(&answer).unwrap().code(), Code::CHANGED);
    let log = std::fs::read_to_string(folder.path().join("city.ndjson")).unwrap();
    assert_eq!(log.lines().count(), 1);
}

#[tokio::test]
async fn a_source_that_replays_is_limited_and_the_device_behind_the_same_address_goes_on() {
    let scene = Scene::new().await;
    let (key, mut meter) = scene.meter("meter-1").await;
    meter.sent.clear();
    assert_eq!(meter.post("/v", "1").await.code, Code::CHANGED);
    let captured = meter.sent.pop().unwrap();
    let attacker = UdpSocket::bind("127.0.0.1:0").await.unwrap();
    let source = Source::of(attacker.local_addr().unwrap());
    until("the source is limited", async || {
        attacker.send_to(&captured, scene.gateway.local_addr()).await.unwrap();
        scene.app.source_verdict(source) == SourceVerdict::Drop
    })
    .await;
    let (_, psk) = scene.add("meter-2").await;
    let patience = Duration::from_millis(1_000);
    let address = scene.gateway.local_addr();
    assert!(Device::connect_within(address, "meter-2", &psk, patience).await.is_none());
    assert!(scene.gateway.counters().dropped(Dropped::SourceLimited) > 0, "dropped unread");
    assert_eq!(meter.post("/v", "2").await.code, Code::CHANGED, "its association costs nothing unproven");
    assert_eq!(scene.app.device(key).unwrap().access(), Access::Full);
}

#[tokio::test]
async fn a_telemetry_body_in_blocks_reaches_the_log_whole() {
    let scene = Scene::new().await;
    let (_, mut meter) = scene.meter("meter-1").await;
    let body = "0123456789abcdef".repeat(5);
    for number in 0..3_u32 {
        let (start, end) = (number as usize * 32, body.len().min(number as usize * 32 + 32));
        let block = Block::new(number, end < body.len(), 1).unwrap();
        let mut buffer = [0; 128];
        let message = Builder::new(&mut buffer, Type::Confirmable, Code::POST, 700 + number as u16, b"blk")
            .target("/v")
            .block1(block)
            .payload(&body.as_bytes()[start..end])
            .finish()
            .unwrap()
            .to_vec();
        let expected = if block.more() { Code::CONTINUE } else { Code::CHANGED };
        assert_eq!(meter.exchange(&message).await.unwrap().code, expected);
    }
    let delivered = scene.delivered();
    assert_eq!(delivered.len(), 1);
    assert!(delivered[0].contains(&body) || delivered[0].len() > body.len(), "{}", delivered[0]);
}

#[tokio::test]
async fn noise_is_counted_and_harms_nobody() {
    let scene = Scene::new().await;
    let (_, mut meter) = scene.meter("meter-1").await;
    let attacker = UdpSocket::bind("127.0.0.1:0").await.unwrap();
    let mut seed = 2026_u64;
    let mut random = || {
        seed = seed.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (seed >> 33) as usize
    };
    meter.sent.clear();
    assert_eq!(meter.post("/v", "1").await.code, Code::CHANGED);
    let record = meter.sent.pop().unwrap();
    for _ in 0..2_000 {
        let mut datagram = record.clone();
        for _ in 0..=random() % 4 {
            let at = random() % datagram.len();
            datagram[at] ^= 1 << (random() % 8);
        }
        datagram.truncate(random() % (datagram.len() + 1));
        attacker.send_to(&datagram, scene.gateway.local_addr()).await.unwrap();
    }
    assert_eq!(meter.post("/v", "2").await.code, Code::CHANGED);
    assert_eq!(scene.delivered().len(), 2);
    let counters = scene.gateway.counters();
    assert!(counters.dropped.iter().map(|(_, count)| count).sum::<u64>() > 100, "{counters:?}");
    assert_eq!((counters.rebindings, counters.sessions), (0, 1));
}

#[tokio::test]
async fn a_new_key_ends_the_association_of_the_old_one() {
    let scene = Scene::new().await;
    let (key, mut meter) = scene.meter("meter-1").await;
    assert_eq!(meter.post("/v", "1").await.code, Code::CHANGED);
    let fresh = scene.app.rotate_key(&ada(), key).await.unwrap();
    assert!(meter.wait(PATIENCE, |meter| meter.closed).await, "the device is told");
    let address = scene.gateway.local_addr();
    let mut meter = Device::connect(address, "meter-1", &unhex(&fresh)).await.expect("the new key works");
    assert_eq!(meter.post("/v", "2").await.code, Code::CHANGED);
}

#[tokio::test]
async fn the_longest_silent_association_makes_room() {
    let scene = Scene::of_places(16).await;
    let mut meters = Vec::new();
    for number in 0..20 {
        let (_, mut meter) = scene.meter(&format!("meter-{number}")).await;
        assert_eq!(meter.post("/v", "1").await.code, Code::CHANGED);
        if number > 0 {
            let first: &mut Device = &mut meters[0];
            assert_eq!(first.post("/v", "1").await.code, Code::CHANGED, "one that speaks stays");
        }
        meters.push(meter);
    }
    let counters = scene.gateway.counters();
    assert!(counters.sessions < 16, "{counters:?}");
    assert!(counters.dropped(Dropped::SessionsFull) >= 5, "{counters:?}");
    assert!(meters[1].wait(PATIENCE, |meter| meter.closed).await, "the silent one is told");
}
