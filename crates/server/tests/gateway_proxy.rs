//! A CoAP server behind the gateway, and devices that it asks, observes and is observed by.
#![allow(
    clippy::disallowed_methods,
    clippy::disallowed_types,
    clippy::unwrap_used,
    reason = "a test owns its sockets, files and clock, and says where it cannot go on"
)]

#[path = "gateway/scene.rs"]
mod scene;

use std::net::SocketAddr;
use std::sync::Arc;

use bartizan_device::exchange::Endpoint;
use bartizan_device::{ClientEvent, ExchangeConfig, Request};
use bartizan_wire::coap::{Builder, Code, MessageView, OptionNumber, Type, empty};
use tokio::net::UdpSocket;

use scene::*;

/// The operator's CoAP server: one socket, driven by the test.
struct Origin {
    socket: UdpSocket,
}

impl Origin {
    async fn new() -> Self {
        Self { socket: UdpSocket::bind("127.0.0.1:0").await.unwrap() }
    }

    async fn scene(&self) -> Scene {
        let folder = Arc::new(tempfile::tempdir().unwrap());
        let port = self.socket.local_addr().unwrap().port();
        let upstream = format!("coap://127.0.0.1:{port}?pool=127.0.2.0/28&ports=20000-20999");
        Scene::with_upstream(folder, &upstream).await
    }

    /// The next message, and which device's own address it came from.
    async fn next(&self) -> (Vec<u8>, SocketAddr) {
        let mut buffer = vec![0; 2048];
        let received = tokio::time::timeout(PATIENCE, self.socket.recv_from(&mut buffer)).await;
        let (length, from) = received.expect("the origin hears something").unwrap();
        buffer.truncate(length);
        (buffer, from)
    }

    /// The next message that is not a bare acknowledgement.
    async fn next_message(&self) -> (Vec<u8>, SocketAddr) {
        loop {
            let (message, from) = self.next().await;
            if !MessageView::parse(&message).unwrap().code().is_empty() {
                return (message, from);
            }
        }
    }

    async fn send(&self, to: SocketAddr, message: &[u8]) {
        self.socket.send_to(message, to).await.unwrap();
    }

    /// Answers a request with its acknowledgement.
    async fn answer(&self, to: SocketAddr, request: &[u8], code: Code, observe: Option<u32>) {
        let view = MessageView::parse(request).unwrap();
        let mut buffer = [0; 256];
        let mut reply = Builder::new(&mut buffer, Type::Acknowledgement, code, view.message_id(), view.token());
        if let Some(sequence) = observe {
            reply = reply.observe(sequence);
        }
        let reply = reply.payload(b"from the origin").finish().unwrap();
        self.send(to, reply).await;
    }
}

fn message(kind: Type, code: Code, id: u16, token: &[u8], observe: Option<u32>, target: &str) -> Vec<u8> {
    let mut buffer = [0; 256];
    let mut builder = Builder::new(&mut buffer, kind, code, id, token).target(target);
    if let Some(value) = observe {
        builder = builder.observe(value);
    }
    let builder = if code.is_response() { builder.payload(b"21.5") } else { builder };
    builder.finish().unwrap().to_vec()
}

#[tokio::test]
async fn each_device_has_its_own_address_upstream_and_hears_the_origins_answer() {
    let origin = Origin::new().await;
    let scene = origin.scene().await;
    let mut meters = [scene.meter("meter-1").await.1, scene.meter("meter-2").await.1];
    let mut seen = Vec::new();
    for which in [0, 1, 0] {
        let meter = &mut meters[which];
        let request = meter.request(Code::POST, "/v?unit=l", b"7");
        let (response, from) = tokio::join!(meter.exchange(&request), async {
            let (asked, from) = origin.next_message().await;
            let view = MessageView::parse(&asked).unwrap();
            assert_eq!((view.code(), view.payload()), (Code::POST, &b"7"[..]));
            assert_eq!(view.target().to_string(), "/v?unit=l");
            origin.answer(from, &asked, Code::CHANGED, None).await;
            from
        });
        let response = response.unwrap();
        assert_eq!((response.code, response.text()), (Code::CHANGED, "from the origin"));
        seen.push(from);
    }
    assert_eq!(seen[0], seen[2]);
    assert_ne!(seen[0], seen[1]);
}

/// An origin that wants to know that a request is fresh (RFC 9175) is answered by the device itself: Echo passes both
/// ways.
#[tokio::test]
async fn an_origin_that_asks_for_a_fresh_request_gets_one_from_the_device() {
    let origin = Origin::new().await;
    let scene = origin.scene().await;
    let (_, mut meter) = scene.meter("meter-1").await;
    let mut coap = Endpoint::new(ExchangeConfig::default(), &mut |out: &mut [u8]| out.fill(7));
    coap.open();
    coap.request(Request::post("/valve", 50, b"{}")).unwrap();
    let now = bartizan_device::Instant::from_millis(0);
    meter.send(&coap.poll_transmit(now).unwrap()).await;
    for (code, expected) in [(Code::UNAUTHORIZED, None), (Code::CHANGED, Some(&b"fresh"[..]))] {
        let (asked, from) = origin.next_message().await;
        let view = MessageView::parse(&asked).unwrap();
        assert_eq!((view.code(), view.payload(), view.echo()), (Code::POST, &b"{}"[..], expected));
        let mut buffer = [0; 64];
        let mut reply = Builder::new(&mut buffer, Type::Acknowledgement, code, view.message_id(), view.token());
        if code == Code::UNAUTHORIZED {
            reply = reply.option(OptionNumber::ECHO, b"fresh");
        }
        origin.send(from, reply.finish().unwrap()).await;
        let mut answered = false;
        while !answered {
            let heard = meter.next(PATIENCE).await.expect("the origin's answer");
            answered = MessageView::parse(&heard).unwrap().code() == code;
            coap.handle(now, &heard);
            while let Some(message) = coap.poll_transmit(now) {
                meter.send(&message).await;
            }
        }
    }
    let Some(ClientEvent::Response { code, .. }) = coap.poll() else { panic!("no answer") };
    assert_eq!(code, Code::CHANGED);
}

#[tokio::test]
async fn an_observation_of_the_device_is_carried_both_ways_and_ends_with_quarantine() {
    let origin = Origin::new().await;
    let scene = origin.scene().await;
    let (key, mut meter) = scene.meter("meter-1").await;
    let register = message(Type::Confirmable, Code::GET, 500, b"obs", Some(0), "/cfg");
    let (granted, from) = tokio::join!(meter.exchange(&register), async {
        let (asked, from) = origin.next_message().await;
        origin.answer(from, &asked, Code::CONTENT, Some(1)).await;
        (MessageView::parse(&asked).unwrap().token().to_vec(), from)
    });
    assert_eq!(granted.unwrap().code, Code::CONTENT);
    let (token, from) = from;

    let news = message(Type::NonConfirmable, Code::CONTENT, 900, &token, Some(2), "");
    origin.send(from, &news).await;
    let heard = meter.next(PATIENCE).await.expect("the notification arrives while the device is awake");
    let view = MessageView::parse(&heard).unwrap();
    assert_eq!((view.token(), view.observe(), view.payload()), (&b"obs"[..], Some(2), &b"21.5"[..]));

    scene.app.isolate(&ada(), key, "tampered with", false).await.unwrap();
    let last = meter.next(PATIENCE).await.expect("the observation ends");
    let view = MessageView::parse(&last).unwrap();
    assert_eq!((view.code(), view.token(), view.observe()), (Code::FORBIDDEN, &b"obs"[..], None));
    let news = message(Type::NonConfirmable, Code::CONTENT, 901, &token, Some(3), "");
    origin.send(from, &news).await;
    assert_eq!(meter.next(SILENCE).await, None, "nothing more is carried down");
}

#[tokio::test]
async fn the_origin_asks_and_observes_the_device_until_quarantine() {
    let origin = Origin::new().await;
    let scene = origin.scene().await;
    let (key, mut meter) = scene.meter("meter-1").await;
    let register = meter.request(Code::POST, "/rd?ep=meter-1", b"");
    let (response, from) = tokio::join!(meter.exchange(&register), async {
        let (asked, from) = origin.next_message().await;
        origin.answer(from, &asked, Code::CREATED, None).await;
        from
    });
    assert_eq!(response.unwrap().code, Code::CREATED);

    // The device is awake: the request does not wait for its next record.
    origin.send(from, &message(Type::Confirmable, Code::GET, 77, b"read", Some(0), "/3/0/9")).await;
    let asked = meter.next(PATIENCE).await.expect("the origin's request arrives");
    let view = MessageView::parse(&asked).unwrap();
    assert_eq!((view.code(), view.target().to_string()), (Code::GET, "/3/0/9".into()));
    let answer = message(Type::Acknowledgement, Code::CONTENT, view.message_id(), view.token(), Some(1), "");
    let token = view.token().to_vec();
    meter.send(&answer).await;
    let (heard, _) = origin.next_message().await;
    let view = MessageView::parse(&heard).unwrap();
    assert_eq!((view.token(), view.code(), view.payload()), (&b"read"[..], Code::CONTENT, &b"21.5"[..]));

    meter.send(&message(Type::Confirmable, Code::CONTENT, 4000, &token, Some(2), "")).await;
    let (heard, _) = origin.next_message().await;
    assert_eq!(MessageView::parse(&heard).unwrap().observe(), Some(2));
    origin.send(from, &empty(Type::Acknowledgement, MessageView::parse(&heard).unwrap().message_id())).await;
    let acknowledged = meter.next(PATIENCE).await.unwrap();
    assert_eq!(acknowledged, empty(Type::Acknowledgement, 4000));

    scene.app.isolate(&ada(), key, "tampered with", false).await.unwrap();
    meter.send(&message(Type::Confirmable, Code::CONTENT, 4001, &token, Some(3), "")).await;
    assert_eq!(meter.next(PATIENCE).await.unwrap(), empty(Type::Reset, 4001), "the observation is cancelled");
    origin.send(from, &message(Type::Confirmable, Code::GET, 78, b"more", None, "/3/0/9")).await;
    assert_eq!(meter.next(SILENCE).await, None, "no downlink in quarantine");
}

#[tokio::test]
async fn a_foreign_endpoint_name_is_refused() {
    let origin = Origin::new().await;
    let scene = origin.scene().await;
    let (_, mut meter) = scene.meter("meter-1").await;
    let response = meter.post("/rd?ep=meter-2", "").await;
    assert_eq!(response.code, Code::FORBIDDEN);
}
