//! The CoAP proxy against libcoap's server, and against an origin of the test's own that looks closely.
#![allow(
    clippy::unwrap_used,
    clippy::disallowed_methods,
    clippy::disallowed_types,
    reason = "a test that cannot go on says where, and owns its sockets and files"
)]

mod support;

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use bartizan_server::app::path::{Message, Reply, UpstreamError};
use bartizan_server::upstream::{Responded, Upstream};
use bartizan_wire::coap::{self, Builder, Code, Header, MessageView, OptionNumber, Type};
use bytes::Bytes;
use support::{context, device, folder, free_udp_port, open, outside, until};
use tokio::net::UdpSocket;

const LIBCOAP: &str = "/usr/bin/coap-server-notls";
const LIBCOAP_DTLS: &str = "/usr/bin/coap-server-openssl";
const LIBCOAP_GNUTLS: &str = "/usr/bin/coap-server-gnutls";

fn request(code: Code, target: &str, token: &[u8], observe: Option<u32>, payload: &[u8]) -> Message {
    let mut buffer = [0; 1024];
    let mut builder = Builder::new(&mut buffer, Type::NonConfirmable, code, 4711, token).target(target);
    if let Some(observe) = observe {
        builder = builder.observe(observe);
    }
    let bytes = Bytes::copy_from_slice(builder.payload(payload).finish().unwrap());
    Message {
        code: code.0,
        path: target.into(),
        content_format: None,
        payload: Bytes::copy_from_slice(payload),
        coap: Some(bytes),
        trusted: None,
    }
}

fn get(target: &str) -> Message {
    request(Code::GET, target, b"get", None, b"")
}

async fn content(upstream: &Upstream, message: Message) -> Reply {
    let reply = upstream.deliver(&device(1), message).await.unwrap();
    assert_eq!(reply.code, Code::CONTENT.0, "{reply:?}");
    reply
}

/// libcoap's example server, once it answers.
async fn libcoap(port: u16) -> Option<support::Outside> {
    let server = outside(LIBCOAP, &["-A", "127.0.0.1", "-p", &port.to_string(), "-d", "10"])?;
    let probe = open(&format!("coap://127.0.0.1:{port}?pool=127.0.2.1"), context().0).await;
    until("libcoap's start", async || probe.deliver(&device(9), get("/")).await.is_ok()).await;
    Some(server)
}

#[tokio::test]
async fn libcoap_answers_stores_and_takes_its_time() {
    let port = free_udp_port();
    let Some(_server) = libcoap(port).await else { return };
    let upstream = open(&format!("coap://127.0.0.1:{port}?pool=127.0.2.2"), context().0).await;
    let index = content(&upstream, get("/.well-known/core")).await;
    assert_eq!(index.content_format, Some(40));
    let put = request(Code::PUT, "/meter", b"put", None, b"{\"l\":7}");
    let created = upstream.deliver(&device(1), put).await.unwrap();
    assert_eq!(created.code, Code::CREATED.0);
    assert_eq!(content(&upstream, get("/meter")).await.payload, Bytes::from_static(b"{\"l\":7}"));
    // A separate response, a second after the acknowledgement.
    let separate = content(&upstream, request(Code::GET, "/async?1", b"tok", None, b"")).await;
    let view = separate.coap.unwrap();
    assert_eq!(MessageView::parse(&view).unwrap().token(), b"tok");
    let missing = upstream.deliver(&device(1), get("/nothing-here")).await.unwrap();
    assert_eq!(missing.code, Code::NOT_FOUND.0);
}

#[tokio::test]
async fn libcoap_notifies_until_the_device_is_forgotten() {
    let port = free_udp_port();
    let Some(_server) = libcoap(port).await else { return };
    let (context, mut downlink) = context();
    let upstream = open(&format!("coap://127.0.0.1:{port}?pool=127.0.2.3"), context).await;
    content(&upstream, request(Code::GET, "/time", b"obs", Some(0), b"")).await;
    for _ in 0..2 {
        let notification = tokio::time::timeout(Duration::from_secs(10), downlink.recv()).await.unwrap().unwrap();
        assert_eq!(notification.device, device(1).key);
        let view = MessageView::parse(&notification.coap).unwrap();
        assert_eq!((view.token(), view.code()), (&b"obs"[..], Code::CONTENT));
        assert!(view.observe().is_some());
    }
    upstream.forget(device(1).key);
    while downlink.try_recv().is_ok() {}
    let silence = tokio::time::timeout(Duration::from_secs(3), downlink.recv()).await;
    assert!(silence.is_err(), "the device was notified after it was forgotten");
}

async fn over_dtls(program: &str, pool: &str) {
    let port = free_udp_port();
    let key = "9d7fb7a1c2e3445566778899aabbccdd";
    let arguments = ["-A", "127.0.0.1", "-p", &port.to_string(), "-k", "secretsecretsecretsecret", "-h", "hint"];
    let Some(_server) = outside(program, &arguments) else { return };
    let (_folder, path) = folder();
    let hex: String = b"secretsecretsecretsecret".iter().map(|byte| format!("{byte:02x}")).collect();
    std::fs::write(path.join("psk"), format!("device-1,{hex}\ndevice-2,{key}\n")).unwrap();
    let psk_file = path.join("psk").display().to_string();
    let config = format!("coaps://127.0.0.1:{}?pool={pool}&identity={{device}}&psk_file={psk_file}", port + 1);
    let upstream = open(&config, context().0).await;
    until("the handshake", async || upstream.deliver(&device(1), get("/")).await.is_ok()).await;
    content(&upstream, get("/.well-known/core")).await;
    let wrong_key = upstream.deliver(&device(2), get("/")).await;
    assert!(matches!(wrong_key, Err(UpstreamError::Unavailable(_))), "{wrong_key:?}");
    let no_key = upstream.deliver(&device(3), get("/")).await;
    assert!(matches!(no_key, Err(UpstreamError::Unavailable(ref why)) if why.contains("device-3")), "{no_key:?}");
}

#[tokio::test]
async fn an_origin_with_openssl_is_reached_over_dtls() {
    over_dtls(LIBCOAP_DTLS, "127.0.2.4/31").await;
}

#[tokio::test]
async fn an_origin_with_gnutls_is_reached_over_dtls() {
    over_dtls(LIBCOAP_GNUTLS, "127.0.2.6/31").await;
}

/// An origin that the test plays itself.
struct Origin(UdpSocket);

impl Origin {
    async fn new() -> (Self, u16) {
        let socket = UdpSocket::bind("127.0.0.1:0").await.unwrap();
        let port = socket.local_addr().unwrap().port();
        (Self(socket), port)
    }

    async fn receive(&self) -> (Vec<u8>, SocketAddr) {
        let mut buffer = vec![0; 2048];
        let received = tokio::time::timeout(Duration::from_secs(10), self.0.recv_from(&mut buffer)).await;
        let (length, from) = received.expect("the proxy sent nothing for 10 s").unwrap();
        buffer.truncate(length);
        (buffer, from)
    }

    async fn send(&self, to: SocketAddr, bytes: &[u8]) {
        self.0.send_to(bytes, to).await.unwrap();
    }

    /// Answers the next request; returns it and where it came from.
    async fn answer(&self, code: Code, location: &[&str]) -> (Vec<u8>, SocketAddr) {
        let (received, from) = self.receive().await;
        let view = MessageView::parse(&received).unwrap();
        let mut buffer = [0; 256];
        let mut builder = Builder::new(&mut buffer, Type::Acknowledgement, code, view.message_id(), view.token());
        for segment in location {
            builder = builder.option(OptionNumber::LOCATION_PATH, segment.as_bytes());
        }
        self.send(from, builder.finish().unwrap()).await;
        (received, from)
    }
}

/// Delivers while the origin answers once.
async fn exchange(upstream: &Upstream, id: u64, origin: &Origin, message: Message) -> (Reply, SocketAddr) {
    let device = device(id);
    let (reply, (_, from)) = tokio::join!(upstream.deliver(&device, message), origin.answer(Code::CHANGED, &[]));
    (reply.unwrap(), from)
}

#[tokio::test]
async fn a_device_keeps_its_address_across_sessions_and_restarts() {
    let (origin, port) = Origin::new().await;
    let (context, _downlink) = context();
    let config = format!("coap://127.0.0.1:{port}?pool=127.0.3.0/29&ports=20000-20003");
    let mut before = vec![];
    for _restart in 0..2 {
        let upstream = open(&config, context.clone()).await;
        let mut addresses = vec![];
        for id in 1..=12 {
            let (_, from) = exchange(&upstream, id, &origin, get("/")).await;
            upstream.forget(device(id).key);
            let (_, again) = exchange(&upstream, id, &origin, get("/")).await;
            assert_eq!(from, again);
            addresses.push(from);
        }
        upstream.drain().await;
        assert!(before.is_empty() || before == addresses);
        before = addresses;
    }
    before.sort();
    before.dedup();
    assert_eq!(before.len(), 12, "two devices shared an address");
}

#[tokio::test]
async fn a_full_pool_and_too_many_busy_sockets_refuse_visibly() {
    let (origin, port) = Origin::new().await;
    let upstream = open(&format!("coap://127.0.0.1:{port}?pool=127.0.3.9&ports=20000-20001"), context().0).await;
    for id in [1, 2] {
        exchange(&upstream, id, &origin, get("/")).await;
    }
    let refused = upstream.deliver(&device(3), get("/")).await;
    assert!(matches!(refused, Err(UpstreamError::Exhausted(_))), "{refused:?}");
    exchange(&upstream, 1, &origin, get("/")).await;

    let upstream = open(&format!("coap://127.0.0.1:{port}?pool=127.0.3.10&sockets=1"), context().0).await;
    let first = device(1);
    let (waiting, refused) = tokio::join!(upstream.deliver(&first, get("/")), async {
        let (received, from) = origin.receive().await;
        let refused = upstream.deliver(&device(2), get("/")).await;
        let reply = [0x63, 0x45, received[2], received[3], b'g', b'e', b't'];
        origin.send(from, &reply).await;
        refused
    });
    assert!(matches!(refused, Err(UpstreamError::Exhausted(_))), "{refused:?}");
    assert!(waiting.is_ok());
    tokio::time::sleep(Duration::from_millis(120)).await;
    exchange(&upstream, 2, &origin, get("/")).await;
    assert_eq!(upstream.counted().exhausted, 1);
}

#[tokio::test]
async fn an_origin_that_is_down_is_unavailable_and_then_back() {
    let port = free_udp_port();
    let upstream = open(&format!("coap://127.0.0.1:{port}?pool=127.0.3.11"), context().0).await;
    let refused = upstream.deliver(&device(1), get("/")).await;
    let Err(UpstreamError::Unavailable(why)) = refused else { panic!("{refused:?}") };
    assert!(why.contains("is it running?"), "{why}");
    let silent = UdpSocket::bind(("127.0.0.1", port)).await.unwrap();
    let refused = upstream.deliver(&device(1), get("/")).await;
    assert!(matches!(refused, Err(UpstreamError::Unavailable(_))), "{refused:?}");
    let mut buffer = [0; 64];
    while silent.try_recv(&mut buffer).is_ok() {}
    exchange(&upstream, 1, &Origin(silent), get("/")).await;
}

#[tokio::test]
async fn a_lost_request_is_repeated_and_a_repeated_response_acknowledged_again() {
    let (origin, port) = Origin::new().await;
    let upstream = open(&format!("coap://127.0.0.1:{port}?pool=127.0.3.12"), context().0).await;
    let device = device(1);
    let (reply, ()) = tokio::join!(upstream.deliver(&device, get("/")), async {
        let (lost, _) = origin.receive().await;
        let (again, from) = origin.receive().await;
        assert_eq!(lost, again);
        origin.send(from, &coap::empty(Type::Acknowledgement, Header::parse(&again).unwrap().message_id)).await;
        let separate = [0x43, 0x45, 0xab, 0xcd, b'g', b'e', b't', 0xff, b'!'];
        for _ in 0..2 {
            origin.send(from, &separate).await;
            assert_eq!(origin.receive().await.0, coap::empty(Type::Acknowledgement, 0xabcd));
        }
    });
    assert_eq!(reply.unwrap().payload, Bytes::from_static(b"!"));
}

#[tokio::test]
async fn the_origin_reaches_the_device_and_hears_its_answer() {
    let (origin, port) = Origin::new().await;
    let (context, mut downlink) = context();
    let upstream = open(&format!("coap://127.0.0.1:{port}?pool=127.0.3.13"), context).await;
    let (_, from) = exchange(&upstream, 1, &origin, get("/")).await;
    let asks = [0x42, 0x01, 0x00, 0x09, b'o', b'k', 0xb1, b'3'];
    origin.send(from, &asks).await;
    assert_eq!(origin.receive().await.0, coap::empty(Type::Acknowledgement, 9));
    let request = downlink.recv().await.unwrap();
    assert_eq!((request.device, &request.coap[..]), (device(1).key, &asks[..]));
    let answer = Bytes::from_static(&[0x62, 0x45, 0x12, 0x34, b'o', b'k', 0xff, b'5']);
    assert_eq!(upstream.respond(&device(1), answer.clone()).await, Responded::Sent);
    let (heard, _) = origin.receive().await;
    assert_eq!(heard[4..], answer[4..]);
    assert_eq!(upstream.respond(&device(1), answer.clone()).await, Responded::NotAsked);
    assert_eq!(upstream.respond(&device(2), answer).await, Responded::NotAsked);
}

#[tokio::test]
async fn a_foreign_endpoint_name_or_registration_is_refused_and_never_sent() {
    let (origin, port) = Origin::new().await;
    let upstream = open(&format!("coap://127.0.0.1:{port}?pool=127.0.3.14"), context().0).await;
    let register = |name: &str| request(Code::POST, &format!("/rd?ep={name}&lt=300"), b"reg", None, b"</3/0>");
    let refused = upstream.deliver(&device(2), register("urn:dev:1")).await;
    assert_eq!(refused, Err(UpstreamError::Refused("urn:dev:1".into())));
    let first = device(1);
    let (reply, (received, _)) =
        tokio::join!(upstream.deliver(&first, register("urn:dev:1")), origin.answer(Code::CREATED, &["rd", "x1"]));
    assert_eq!(reply.unwrap().code, Code::CREATED.0);
    assert_eq!(received[4..], register("urn:dev:1").coap.unwrap()[4..]);
    let update = request(Code::POST, "/rd/x1", b"upd", None, b"");
    assert_eq!(upstream.deliver(&device(2), update.clone()).await, Err(UpstreamError::Refused("/rd/x1".into())));
    exchange(&upstream, 1, &origin, update).await;
    assert_eq!(upstream.counted().refused, 2);
}

#[tokio::test]
async fn draining_waits_for_the_origins_answer() {
    let (origin, port) = Origin::new().await;
    let upstream = Arc::new(open(&format!("coap://127.0.0.1:{port}?pool=127.0.3.15"), context().0).await);
    let delivering = tokio::spawn({
        let upstream = Arc::clone(&upstream);
        async move { upstream.deliver(&device(1), get("/")).await }
    });
    let (received, from) = origin.receive().await;
    let draining = tokio::spawn({
        let upstream = Arc::clone(&upstream);
        async move { upstream.drain().await }
    });
    tokio::time::sleep(Duration::from_millis(100)).await;
    assert!(!draining.is_finished());
    origin.send(from, &[0x63, 0x45, received[2], received[3], b'g', b'e', b't']).await;
    draining.await.unwrap();
    assert!(delivering.await.unwrap().is_ok());
    assert!(upstream.deliver(&device(1), get("/")).await.is_err());
}
