//! Every bound of `bartizan_device::limits`, from both sides.

#![allow(clippy::unwrap_used, reason = "a test that cannot go on says where")]

use bartizan_device::exchange::Endpoint;
use bartizan_device::limits::{
    BODY_BYTES_MAX, EVENTS_MAX, HOLD_OFF_S_MAX, NSTART_MAX, OBSERVERS_MAX, OUTBOUND_MAX, READY_MAX, TARGET_BYTES_MAX,
};
use bartizan_device::{ClientEvent, Code, Error, ExchangeConfig, Failure, IncomingId, Instant, Reply, Request};
use bartizan_wire::coap::{Block, Builder, MessageView, Type, empty};

const NOW: Instant = Instant::from_millis(0);

fn endpoint() -> Endpoint {
    endpoint_with(ExchangeConfig::default())
}

fn endpoint_with(config: ExchangeConfig) -> Endpoint {
    let mut endpoint = Endpoint::new(config, &mut |out: &mut [u8]| out.fill(3));
    endpoint.open();
    endpoint
}

fn built(builder: Builder<'_>) -> Vec<u8> {
    builder.finish().unwrap().to_vec()
}

/// A confirmable GET of the peer, with an Observe option or without.
fn get(id: u16, observe: bool) -> Vec<u8> {
    let mut buffer = [0; 64];
    let builder = Builder::new(&mut buffer, Type::Confirmable, Code::GET, id, &id.to_be_bytes()).target("/t");
    built(if observe { builder.observe_register(true) } else { builder })
}

fn command(endpoint: &mut Endpoint) -> IncomingId {
    match endpoint.poll() {
        Some(ClientEvent::Command(command)) => command.id,
        other => panic!("no command but {other:?}"),
    }
}

#[test]
fn observers() {
    let mut device = endpoint();
    for index in 0..=OBSERVERS_MAX {
        device.handle(NOW, &get(index as u16, true));
        let id = command(&mut device);
        device.respond(NOW, id, &Reply::content(0, b"1")).unwrap();
        let answer = device.poll_transmit(NOW).unwrap();
        let observed = MessageView::parse(&answer).unwrap().observe().is_some();
        assert_eq!(observed, index < OBSERVERS_MAX, "the one too many gets its answer and no more");
        assert_eq!(device.notify(NOW, id, &Reply::content(0, b"2"), false).is_ok(), observed);
        device.poll_transmit(NOW);
    }
}

#[test]
fn answers_that_wait_for_their_turn() {
    let mut device = endpoint();
    // One is out and keeps the others waiting.
    for index in 0..=OUTBOUND_MAX + 1 {
        device.handle(NOW, &get(index as u16, false));
        let id = command(&mut device);
        device.handle_timeout(Instant::from_millis(1_000));
        let outcome = device.respond(NOW, id, &Reply::new(Code::CONTENT));
        let fits = index <= OUTBOUND_MAX;
        assert_eq!(outcome.is_ok(), fits, "{index}");
        assert!(fits || matches!(outcome, Err(Error::Unavailable(_))));
        while device.poll_transmit(NOW).is_some() {}
    }
}

#[test]
fn datagrams_that_are_ready() {
    let mut device = endpoint();
    for id in 0..=READY_MAX as u16 {
        device.handle(NOW, &empty(Type::Confirmable, id));
    }
    let resets: Vec<_> = std::iter::from_fn(|| device.poll_transmit(NOW)).collect();
    assert_eq!(resets.len(), READY_MAX);
    assert_eq!(resets[0], empty(Type::Reset, 1), "the oldest gave way");
}

#[test]
fn events_that_nobody_fetches() {
    let mut device = endpoint();
    device.observe("/o").unwrap();
    let sent = device.poll_transmit(NOW).unwrap();
    let token = MessageView::parse(&sent).unwrap().token().to_vec();
    for index in 0..=EVENTS_MAX as u16 {
        let mut buffer = [0; 32];
        let builder = Builder::new(&mut buffer, Type::NonConfirmable, Code::CONTENT, index, &token);
        device.handle(NOW, &built(builder.observe(u32::from(index)).payload(&index.to_be_bytes())));
    }
    device.handle(NOW, &get(999, false));
    let answer = std::iter::from_fn(|| device.poll_transmit(NOW)).last().unwrap();
    assert_eq!(MessageView::parse(&answer).unwrap().code(), Code::SERVICE_UNAVAILABLE, "no room to tell of it");
    let events: Vec<_> = std::iter::from_fn(|| device.poll()).collect();
    assert_eq!(events.len(), EVENTS_MAX);
    assert!(matches!(&events[0], ClientEvent::Notification { payload, .. } if payload == &[0, 1]));
}

#[test]
fn bodies_of_ours() {
    let mut device = endpoint();
    assert!(device.request(Request::post("/a", 42, &vec![0; BODY_BYTES_MAX])).is_ok());
    let above = device.request(Request::post("/a", 42, &vec![0; BODY_BYTES_MAX + 1]));
    assert!(matches!(above, Err(Error::Misuse(_))));
}

#[test]
fn bodies_of_the_peer() {
    for (bytes, fits) in [(BODY_BYTES_MAX, true), (BODY_BYTES_MAX + 1, false)] {
        let mut device = endpoint();
        device.request(Request::get("/fw")).unwrap();
        let event = loop {
            if let Some(event) = device.poll() {
                break event;
            }
            let sent = device.poll_transmit(NOW).unwrap();
            let view = MessageView::parse(&sent).unwrap();
            let num = view.block2().map_or(0, Block::num);
            let start = num as usize * 1024;
            let length = (bytes - start).min(1024);
            let mut buffer = [0; 1200];
            let kind = Type::Acknowledgement;
            let builder = Builder::new(&mut buffer, kind, Code::CONTENT, view.message_id(), view.token());
            let block = Block::new(num, start + length < bytes, 6).unwrap();
            device.handle(NOW, &built(builder.block2(block).payload(&vec![1; length])));
        };
        match event {
            ClientEvent::Response { payload, .. } => assert!(fits && payload.len() == bytes),
            ClientEvent::Failed { reason, .. } => assert!(!fits && reason == Failure::TooLarge),
            other => panic!("{other:?}"),
        }
    }
}

#[test]
fn targets() {
    let of_length = |length: usize| {
        let mut path = "/a".repeat(length / 2);
        path.push_str(&"b".repeat(length - path.len()));
        path
    };
    let mut device = endpoint();
    // So many segments are more than a message may have options, so these are long ones.
    let long = |length: usize| {
        let path = format!("/{}/{}/{}", "a".repeat(200), "b".repeat(200), "c".repeat(length - 403));
        assert_eq!(path.len(), length);
        path
    };
    assert!(device.request(Request::get(&long(TARGET_BYTES_MAX))).is_ok());
    assert!(device.request(Request::get(&long(TARGET_BYTES_MAX + 1))).is_err());
    assert!(device.request(Request::get(&of_length(256))).is_err(), "128 options");

    for (length, code) in [(TARGET_BYTES_MAX, None), (TARGET_BYTES_MAX + 1, Some(Code::BAD_REQUEST))] {
        let mut buffer = [0; 1024];
        let builder = Builder::new(&mut buffer, Type::Confirmable, Code::GET, length as u16, b"t");
        device.handle(NOW, &built(builder.target(&long(length))));
        let told = std::iter::from_fn(|| device.poll()).any(|event| matches!(event, ClientEvent::Command(_)));
        assert_eq!(told, code.is_none());
        if code.is_some() {
            let answer = device.poll_transmit(NOW).unwrap();
            assert_eq!(Some(MessageView::parse(&answer).unwrap().code()), code);
        }
    }
}

#[test]
fn hold_offs() {
    let mut device = endpoint();
    device.request(Request::get("/a")).unwrap();
    let sent = device.poll_transmit(NOW).unwrap();
    let view = MessageView::parse(&sent).unwrap();
    let mut buffer = [0; 32];
    let kind = Type::Acknowledgement;
    let builder = Builder::new(&mut buffer, kind, Code::TOO_MANY_REQUESTS, view.message_id(), view.token());
    device.handle(NOW, &built(builder.max_age(u32::MAX)));
    let Some(ClientEvent::Deferred { until, .. }) = device.poll() else {
        panic!("not deferred");
    };
    let longest = u64::from(HOLD_OFF_S_MAX) * 1000;
    assert!((longest..=longest * 3 / 2).contains(&until.as_millis()));
}

#[test]
fn messages_at_once() {
    for (nstart, allowed) in [(0, 1), (1, 1), (3, 3), (NSTART_MAX, NSTART_MAX), (NSTART_MAX + 1, NSTART_MAX)] {
        let mut device = endpoint_with(ExchangeConfig { nstart, ..ExchangeConfig::default() });
        for _ in 0..NSTART_MAX + 2 {
            device.request(Request::get("/a")).unwrap();
        }
        assert_eq!(std::iter::from_fn(|| device.poll_transmit(NOW)).count(), allowed);
    }
}
