//! The CoAP endpoint against messages written by hand, byte for byte as RFC 7252, 7641 and 7959 say.

#![allow(clippy::unwrap_used, reason = "a test that cannot go on says where")]

use bartizan_device::exchange::Endpoint;
use bartizan_device::limits::{INCOMING_MAX, REQUESTS_MAX};
use bartizan_device::{ClientEvent, Code, ExchangeConfig, Failure, Instant, Observe, Reply, Request};
use bartizan_wire::coap::{Block, Builder, MessageView, OptionNumber, Type, empty};

const fn at(ms: u64) -> Instant {
    Instant::from_millis(ms)
}

fn endpoint() -> Endpoint {
    endpoint_with(ExchangeConfig::default())
}

fn endpoint_with(config: ExchangeConfig) -> Endpoint {
    let mut rng = |out: &mut [u8]| out.fill(7);
    let mut endpoint = Endpoint::new(config, &mut rng);
    endpoint.open();
    endpoint
}

/// A message of the peer.
fn message(kind: Type, code: Code, id: u16, token: &[u8], rest: fn(Builder<'_>) -> Builder<'_>) -> Vec<u8> {
    let mut buffer = [0; 2048];
    let builder = Builder::new(&mut buffer, kind, code, id, token);
    rest(builder).finish().unwrap().to_vec()
}

/// The peer's answer to `request`, piggybacked.
fn answer(request: &[u8], code: Code, rest: fn(Builder<'_>) -> Builder<'_>) -> Vec<u8> {
    let view = MessageView::parse(request).unwrap();
    message(Type::Acknowledgement, code, view.message_id(), view.token(), rest)
}

fn response_of(event: Option<ClientEvent>) -> (Code, Vec<u8>) {
    match event {
        Some(ClientEvent::Response { code, payload, .. }) => (code, payload),
        other => panic!("no response but {other:?}"),
    }
}

#[test]
fn a_report_and_its_piggybacked_answer() {
    let mut device = endpoint();
    let id = device.request(Request::post("/meter?u=l", 50, b"{}")).unwrap();
    let sent = device.poll_transmit(at(0)).unwrap();
    let view = MessageView::parse(&sent).unwrap();
    assert_eq!((view.kind(), view.code()), (Type::Confirmable, Code::POST));
    assert_eq!(view.target().to_string(), "/meter?u=l");
    assert_eq!((view.content_format(), view.payload()), (Some(50), &b"{}"[..]));
    assert_eq!(device.poll_transmit(at(0)), None);

    device.handle(at(50), &answer(&sent, Code::CHANGED, |b| b));
    assert_eq!(
        device.poll(),
        Some(ClientEvent::Response {
            request: id,
            code: Code::CHANGED,
            content_format: None,
            payload: vec![],
            location: None,
            max_age: None,
        })
    );
    assert!(device.is_idle());
    assert_eq!(device.poll_timeout(), None);
}

#[test]
fn a_registration_learns_its_location() {
    let mut device = endpoint();
    device.request(Request::post("/rd?ep=m7&lt=60", 40, b"</3/0>")).unwrap();
    let sent = device.poll_transmit(at(0)).unwrap();
    device.handle(
        at(1),
        &answer(&sent, Code::CREATED, |b| {
            b.option(OptionNumber::LOCATION_PATH, b"rd").option(OptionNumber::LOCATION_PATH, b"5a3f")
        }),
    );
    let Some(ClientEvent::Response { location, .. }) = device.poll() else {
        panic!("no response");
    };
    assert_eq!(location.as_deref(), Some("/rd/5a3f"));
}

fn echo_of(sent: &[u8]) -> Option<Vec<u8>> {
    MessageView::parse(sent).unwrap().option(OptionNumber::ECHO).map(<[u8]>::to_vec)
}

/// RFC 9175 section 2.3.
#[test]
fn a_request_that_is_to_be_fresh_is_repeated_once_with_the_echo_value() {
    let mut device = endpoint();
    device.request(Request::post("/valve?to=half", 50, b"{}")).unwrap();
    let sent = device.poll_transmit(at(0)).unwrap();
    assert_eq!(echo_of(&sent), None);
    let prove_it = answer(&sent, Code::UNAUTHORIZED, |b| b.option(OptionNumber::ECHO, b"07:41:12"));
    device.handle(at(50), &prove_it);
    let fresh = device.poll_transmit(at(50)).unwrap();
    let (old, new) = (MessageView::parse(&sent).unwrap(), MessageView::parse(&fresh).unwrap());
    assert_eq!(echo_of(&fresh).as_deref(), Some(&b"07:41:12"[..]));
    assert_eq!((new.code(), new.payload(), new.content_format()), (Code::POST, &b"{}"[..], Some(50)));
    assert_eq!(new.target().to_string(), "/valve?to=half");
    assert_ne!((new.message_id(), new.token()), (old.message_id(), old.token()));

    device.handle(at(60), &prove_it); // the network has it twice
    assert_eq!((device.poll_transmit(at(60)), device.poll()), (None, None));
    device.handle(at(90), &answer(&fresh, Code::CHANGED, |b| b));
    assert_eq!(response_of(device.poll()), (Code::CHANGED, vec![]));
    assert!(device.is_idle());
}

#[test]
fn who_is_not_content_with_a_fresh_request_is_not_asked_for_ever() {
    let mut device = endpoint();
    device.request(Request::post("/a", 0, b"1")).unwrap();
    for (round, value) in [b"1".as_slice(), b"2"].into_iter().enumerate() {
        let sent = device.poll_transmit(at(0)).unwrap();
        assert_eq!(echo_of(&sent).is_some(), round == 1);
        let view = MessageView::parse(&sent).unwrap();
        let mut buffer = [0; 64];
        let again =
            Builder::new(&mut buffer, Type::Acknowledgement, Code::UNAUTHORIZED, view.message_id(), view.token())
                .option(OptionNumber::ECHO, value);
        device.handle(at(0), again.finish().unwrap());
    }
    assert_eq!(device.poll_transmit(at(0)), None);
    assert_eq!(response_of(device.poll()).0, Code::UNAUTHORIZED);
}

#[test]
fn a_refusal_without_a_valid_echo_value_is_told_at_once() {
    let no_echo: [fn(Builder<'_>) -> Builder<'_>; 3] = [
        |b| b,
        // Unknown to the builder, which would refuse these lengths: option 252 of 0 and of 41 bytes, by hand.
        |b| b.payload(b"MARK0"),
        |b| b.payload(b"MARK1"),
    ];
    for (rest, option) in no_echo.into_iter().zip([None, Some(0), Some(41)]) {
        let mut device = endpoint();
        device.request(Request::get("/a")).unwrap();
        let sent = device.poll_transmit(at(0)).unwrap();
        let mut refused = answer(&sent, Code::UNAUTHORIZED, rest);
        if let Some(length) = option {
            refused.truncate(refused.len() - 6); // the payload and its marker
            let head = if length == 0 { vec![0xd0, 239] } else { vec![0xdd, 239, length - 13] };
            refused.extend(head.into_iter().chain(vec![7; usize::from(length)]));
            assert_eq!(MessageView::parse(&refused).unwrap().option(OptionNumber::ECHO).unwrap().len(), length.into());
        }
        device.handle(at(0), &refused);
        assert_eq!(device.poll_transmit(at(0)), None, "{option:?}");
        assert_eq!(response_of(device.poll()).0, Code::UNAUTHORIZED);
    }
}

#[test]
fn an_echo_value_goes_to_nobody_but_the_association_that_it_came_from() {
    let mut device = endpoint();
    device.request(Request::post("/a", 0, b"1")).unwrap();
    let sent = device.poll_transmit(at(0)).unwrap();
    device.handle(at(0), &answer(&sent, Code::UNAUTHORIZED, |b| b.option(OptionNumber::ECHO, b"old")));
    assert!(echo_of(&device.poll_transmit(at(0)).unwrap()).is_some());
    device.close();
    device.open();
    let sent = device.poll_transmit(at(1)).unwrap();
    assert_eq!(echo_of(&sent), None);
    device.handle(at(1), &answer(&sent, Code::UNAUTHORIZED, |b| b.option(OptionNumber::ECHO, b"new")));
    let fresh = device.poll_transmit(at(1)).unwrap();
    assert_eq!(echo_of(&fresh).as_deref(), Some(&b"new"[..]), "whoever forgot us may ask once more");
}

/// Also of RFC 9175 section 2.3: it saves the next request a refusal.
#[test]
fn an_echo_value_that_comes_with_an_answer_goes_with_the_next_request_alone() {
    let mut device = endpoint();
    for (round, expected) in [None, Some(&b"ahead"[..]), None].into_iter().enumerate() {
        device.request(Request::post("/a", 0, b"1")).unwrap();
        let sent = device.poll_transmit(at(0)).unwrap();
        assert_eq!(echo_of(&sent).as_deref(), expected, "request {round}");
        let ahead: fn(Builder<'_>) -> Builder<'_> = match round {
            0 => |b| b.option(OptionNumber::ECHO, b"ahead"),
            _ => |b| b,
        };
        device.handle(at(0), &answer(&sent, Code::CHANGED, ahead));
        assert_eq!(response_of(device.poll()).0, Code::CHANGED);
    }
}

#[test]
fn the_block_that_is_to_be_fresh_is_repeated_and_the_longest_value_fits_beside_it() {
    let mut device = endpoint();
    device.request(Request::post(&format!("/{}", "p".repeat(40)), 0, &[9; 2500])).unwrap();
    let mut sent = device.poll_transmit(at(0)).unwrap();
    let mut next = 0;
    while let Some(block) = MessageView::parse(&sent).unwrap().block1() {
        assert_eq!(block.num(), next);
        assert!(sent.len() <= ExchangeConfig::default().message_bytes, "{} bytes", sent.len());
        if block.num() == 1 && echo_of(&sent).is_none() {
            device.handle(at(0), &answer(&sent, Code::UNAUTHORIZED, |b| b.option(OptionNumber::ECHO, &[3; 40])));
        } else if block.more() {
            let view = MessageView::parse(&sent).unwrap();
            let (kind, id) = (Type::Acknowledgement, view.message_id());
            let mut buffer = [0; 64];
            let taken = Builder::new(&mut buffer, kind, Code::CONTINUE, id, view.token()).block1(block);
            device.handle(at(0), taken.finish().unwrap());
            next += 1;
        } else {
            device.handle(at(0), &answer(&sent, Code::CHANGED, |b| b));
            break;
        }
        sent = device.poll_transmit(at(0)).unwrap();
    }
    assert!(next > 1);
    assert_eq!(response_of(device.poll()).0, Code::CHANGED);
}

/// RFC 7252 section 4.2 and 4.8.2: five transmissions, gaps doubling from between 2 and 3 s.
#[test]
fn silence_is_met_with_four_repetitions_a_second_association_and_then_the_truth() {
    let mut device = endpoint();
    device.handle(at(0), &empty(Type::NonConfirmable, 1)); // the peer has been heard
    let id = device.request(Request::get("/a")).unwrap();
    let mut sent_at = vec![0];
    let first = device.poll_transmit(at(0)).unwrap();
    while !device.is_silent() {
        let due = device.poll_timeout().unwrap();
        device.handle_timeout(due);
        if let Some(repeated) = device.poll_transmit(due) {
            assert_eq!(repeated, first);
            sent_at.push(due.as_millis());
        }
    }
    let gaps: Vec<u64> = sent_at.windows(2).map(|pair| pair[1] - pair[0]).collect();
    assert_eq!(gaps.len(), 4);
    assert!((2000..=3000).contains(&gaps[0]), "{gaps:?}");
    assert!(gaps.windows(2).all(|pair| pair[1] == 2 * pair[0]), "{gaps:?}");
    assert_eq!((device.poll(), device.poll_transmit(at(99_999))), (None, None));

    device.close();
    device.open();
    let again = device.poll_transmit(at(100_000)).unwrap();
    assert_ne!(again, first, "another message id");
    while device.poll_timeout().is_some() {
        device.handle_timeout(device.poll_timeout().unwrap());
        device.poll_transmit(at(200_000));
    }
    let reason = Failure::TimedOut;
    assert_eq!(device.poll(), Some(ClientEvent::Failed { request: id, reason }));
}

#[test]
fn an_unheard_peer_is_given_up_sooner() {
    let mut device = endpoint();
    device.request(Request::get("/a")).unwrap();
    device.poll_transmit(at(0)).unwrap();
    let mut repeats = 0;
    while !device.is_silent() {
        let due = device.poll_timeout().unwrap();
        device.handle_timeout(due);
        repeats += usize::from(device.poll_transmit(due).is_some());
    }
    assert_eq!(repeats, usize::from(ExchangeConfig::default().retransmit_max_unheard));
}

/// RFC 7252 section 5.2.2: acknowledged now, answered later, and the answer repeated.
#[test]
fn a_separate_answer_is_acknowledged_each_time_and_told_once() {
    let mut device = endpoint();
    device.request(Request::get("/slow")).unwrap();
    let sent = device.poll_transmit(at(0)).unwrap();
    let view = MessageView::parse(&sent).unwrap();
    device.handle(at(10), &empty(Type::Acknowledgement, view.message_id()));
    assert_eq!(device.poll(), None);
    assert_eq!(device.poll_timeout(), Some(at(10 + 93_000)));

    let separate = message(Type::Confirmable, Code::CONTENT, 0xad7b, view.token(), |b| b.payload(b"22.3 C"));
    for _ in 0..2 {
        device.handle(at(5_000), &separate);
        assert_eq!(device.poll_transmit(at(5_000)), Some(vec![0x60, 0, 0xad, 0x7b]));
    }
    assert_eq!(response_of(device.poll()), (Code::CONTENT, b"22.3 C".to_vec()));
    assert_eq!(device.poll(), None);
}

#[test]
fn an_acknowledged_request_does_not_wait_for_ever() {
    let mut device = endpoint();
    let id = device.request(Request::get("/slow")).unwrap();
    let sent = device.poll_transmit(at(0)).unwrap();
    let message_id = MessageView::parse(&sent).unwrap().message_id();
    device.handle(at(0), &empty(Type::Acknowledgement, message_id));
    device.handle_timeout(at(92_999));
    assert_eq!(device.poll(), None);
    device.handle_timeout(at(93_000));
    let reason = Failure::TimedOut;
    assert_eq!(device.poll(), Some(ClientEvent::Failed { request: id, reason }));
}

#[test]
fn what_makes_no_sense_is_reset_or_ignored() {
    let mut device = endpoint();
    // A ping, and a confirmable message with a format error.
    device.handle(at(0), &empty(Type::Confirmable, 5));
    assert_eq!(device.poll_transmit(at(0)), Some(vec![0x70, 0, 0, 5]));
    device.handle(at(0), b"\x40\x01\x00\x06\xff");
    assert_eq!(device.poll_transmit(at(0)), Some(vec![0x70, 0, 0, 6]));
    // Answers that nobody asked for.
    device.handle(at(0), &message(Type::Confirmable, Code::CONTENT, 7, b"?", |b| b));
    assert_eq!(device.poll_transmit(at(0)), Some(vec![0x70, 0, 0, 7]));
    device.handle(at(0), &message(Type::NonConfirmable, Code::CONTENT, 8, b"?", |b| b));
    assert_eq!(device.poll_transmit(at(0)), Some(vec![0x70, 0, 0, 8]));
    // Never answered: malformed and not confirmable, acknowledgements out of the blue, other versions.
    for bytes in [&b"\x50\x01\x00\x06\xff"[..], b"\x60\x45\x00\x09\xffx", b"\x60\x01\x00\x09", b"\x80\x01\x00\x09", b""]
    {
        device.handle(at(0), bytes);
        assert_eq!(device.poll_transmit(at(0)), None, "{bytes:02x?}");
    }
    assert_eq!(device.poll(), None);
}

#[test]
fn a_reset_ends_a_request() {
    let mut device = endpoint();
    let id = device.request(Request::get("/a")).unwrap();
    let sent = device.poll_transmit(at(0)).unwrap();
    let message_id = MessageView::parse(&sent).unwrap().message_id();
    device.handle(at(0), &empty(Type::Reset, message_id));
    let reason = Failure::Reset;
    assert_eq!(device.poll(), Some(ClientEvent::Failed { request: id, reason }));
}

/// RFC 7252 section 4.7: NSTART is 1.
#[test]
fn one_request_is_out_at_a_time() {
    let mut device = endpoint();
    for _ in 0..2 {
        device.request(Request::get("/a")).unwrap();
    }
    let first = device.poll_transmit(at(0)).unwrap();
    assert_eq!(device.poll_transmit(at(0)), None);
    device.handle(at(1), &answer(&first, Code::CONTENT, |b| b));
    assert!(device.poll_transmit(at(1)).is_some());
}

#[test]
fn requests_have_a_limit_on_both_sides() {
    let mut device = endpoint();
    for _ in 0..REQUESTS_MAX {
        device.request(Request::get("/a")).unwrap();
    }
    assert!(device.request(Request::get("/a")).is_err());
    for index in 0..=INCOMING_MAX as u16 {
        device.handle(at(0), &message(Type::NonConfirmable, Code::GET, index, b"t", |b| b.uri_path("x")));
    }
    let commands = core::iter::from_fn(|| device.poll()).count();
    assert_eq!(commands, INCOMING_MAX);
    let refusal = device.poll_transmit(at(0)).unwrap();
    assert_eq!(MessageView::parse(&refusal).unwrap().code(), Code::SERVICE_UNAVAILABLE);
}

/// 5.03 with Max-Age, RFC 7252 section 5.9.3.4: later, at a time of its own, and not for ever.
#[test]
fn a_busy_gateway_is_asked_again_later() {
    let mut device = endpoint();
    device.request(Request::get("/a")).unwrap();
    let mut now = at(0);
    for _ in 0..ExchangeConfig::default().refusals_max {
        let sent = device.poll_transmit(now).unwrap();
        device.handle(now, &answer(&sent, Code::SERVICE_UNAVAILABLE, |b| b.max_age(20)));
        let Some(ClientEvent::Deferred { until, .. }) = device.poll() else {
            panic!("not deferred");
        };
        assert!((20_000..=30_000).contains(&until.since(now)));
        assert_eq!(device.poll_transmit(now), None);
        now = until;
        device.handle_timeout(now);
    }
    let sent = device.poll_transmit(now).unwrap();
    device.handle(now, &answer(&sent, Code::SERVICE_UNAVAILABLE, |b| b.max_age(20)));
    assert_eq!(response_of(device.poll()).0, Code::SERVICE_UNAVAILABLE);
}

/// RFC 7252 section 4.5: the command is delivered once, its answer as often as it is asked for.
#[test]
fn a_repeated_command_is_answered_and_not_obeyed_again() {
    let mut device = endpoint();
    let command = message(Type::Confirmable, Code::PUT, 9, b"c", |b| b.target("/valve").payload(b"open"));
    device.handle(at(0), &command);
    device.handle(at(10), &command);
    let Some(ClientEvent::Command(told)) = device.poll() else {
        panic!("no command");
    };
    assert_eq!((told.method, &told.path[..], &told.payload[..]), (Code::PUT, "/valve", &b"open"[..]));
    assert_eq!((device.poll(), device.poll_transmit(at(10))), (None, None));
    device.respond(at(20), told.id, &Reply::new(Code::CHANGED)).unwrap();
    let response = device.poll_transmit(at(20));
    assert_eq!(response, Some(message(Type::Acknowledgement, Code::CHANGED, 9, b"c", |b| b)));
    device.handle(at(30), &command);
    assert_eq!(device.poll_transmit(at(30)), response);
    assert_eq!(device.poll(), None);
    assert!(device.respond(at(40), told.id, &Reply::new(Code::CHANGED)).is_err());
}

#[test]
fn a_slow_application_has_its_command_acknowledged_first() {
    let mut device = endpoint();
    device.handle(at(0), &message(Type::Confirmable, Code::GET, 9, b"c", |b| b.target("/x")));
    let Some(ClientEvent::Command(told)) = device.poll() else {
        panic!("no command");
    };
    assert_eq!(device.poll_timeout(), Some(at(1_000)));
    device.handle_timeout(at(1_000));
    assert_eq!(device.poll_transmit(at(1_000)), Some(empty(Type::Acknowledgement, 9).to_vec()));
    device.respond(at(2_000), told.id, &Reply::content(0, b"late")).unwrap();
    let separate = device.poll_transmit(at(2_000)).unwrap();
    let view = MessageView::parse(&separate).unwrap();
    assert_eq!((view.kind(), view.token(), view.payload()), (Type::Confirmable, &b"c"[..], &b"late"[..]));
    device.handle(at(2_100), &empty(Type::Acknowledgement, view.message_id()));
    assert!(device.is_idle());
}

#[test]
fn an_unknown_critical_option_is_refused() {
    let mut device = endpoint();
    device.handle(at(0), &message(Type::Confirmable, Code::GET, 1, b"", |b| b.option(OptionNumber::IF_MATCH, b"")));
    let refusal = device.poll_transmit(at(0)).unwrap();
    assert_eq!(MessageView::parse(&refusal).unwrap().code(), Code::BAD_OPTION);
    assert_eq!(device.poll(), None);
}

/// RFC 7959 section 3.3 (figure 8): late negotiation to smaller blocks.
#[test]
fn an_upload_follows_the_peer_to_smaller_blocks() {
    let mut device = endpoint();
    let body: Vec<u8> = (0..3000_u32).map(|i| i as u8).collect();
    device.request(Request::post("/log", 42, &body)).unwrap();
    let first = device.poll_transmit(at(0)).unwrap();
    let view = MessageView::parse(&first).unwrap();
    assert_eq!((view.block1(), view.size1()), (Block::new(0, true, 6), Some(3000)));
    assert_eq!(view.payload(), &body[..1024]);
    device.handle(at(0), &answer(&first, Code::CONTINUE, |b| b.block1(Block::new(0, true, 5).unwrap())));
    let mut got = body[..1024].to_vec();
    loop {
        let sent = device.poll_transmit(at(0)).unwrap();
        let view = MessageView::parse(&sent).unwrap();
        let block = view.block1().unwrap();
        assert_eq!((block.szx(), block.offset()), (5, got.len()));
        got.extend_from_slice(view.payload());
        let mut buffer = [0; 64];
        let code = if block.more() { Code::CONTINUE } else { Code::CHANGED };
        let reply = Builder::new(&mut buffer, Type::Acknowledgement, code, view.message_id(), view.token())
            .block1(block)
            .finish()
            .unwrap();
        device.handle(at(0), reply);
        if !block.more() {
            break;
        }
    }
    assert_eq!(got, body);
    assert_eq!(response_of(device.poll()).0, Code::CHANGED);
}

#[test]
fn a_changed_body_under_download_is_noticed() {
    let mut device = endpoint();
    let id = device.request(Request::get("/fw")).unwrap();
    let first = device.poll_transmit(at(0)).unwrap();
    device.handle(
        at(0),
        &answer(&first, Code::CONTENT, |b| {
            b.block2(Block::new(0, true, 0).unwrap()).option(OptionNumber::ETAG, b"1").payload(&[1; 16])
        }),
    );
    let second = device.poll_transmit(at(0)).unwrap();
    assert_eq!(MessageView::parse(&second).unwrap().block2(), Block::new(1, false, 0));
    device.handle(
        at(0),
        &answer(&second, Code::CONTENT, |b| {
            b.block2(Block::new(1, false, 0).unwrap()).option(OptionNumber::ETAG, b"2").payload(b"x")
        }),
    );
    let reason = Failure::Misbehaved;
    assert_eq!(device.poll(), Some(ClientEvent::Failed { request: id, reason }));
}

/// RFC 7641 section 3: fresh notifications are told, stale ones are not, the end is.
#[test]
fn an_observation_lives_from_registration_to_its_last_answer() {
    let mut device = endpoint();
    let id = device.observe("/price").unwrap();
    let sent = device.poll_transmit(at(0)).unwrap();
    let view = MessageView::parse(&sent).unwrap();
    assert_eq!(view.observe(), Some(0));
    let token = view.token().to_vec();
    device.handle(at(0), &answer(&sent, Code::CONTENT, |b| b.observe(12).payload(b"1")));
    device.handle(at(5), &message(Type::NonConfirmable, Code::CONTENT, 1, &token, |b| b.observe(14).payload(b"3")));
    device.handle(at(6), &message(Type::NonConfirmable, Code::CONTENT, 2, &token, |b| b.observe(13).payload(b"2")));
    let told: Vec<_> = core::iter::from_fn(|| device.poll())
        .map(|event| match event {
            ClientEvent::Notification { payload, .. } => payload,
            other => panic!("{other:?}"),
        })
        .collect();
    assert_eq!(told, [b"1".to_vec(), b"3".to_vec()]);
    assert!(device.is_idle(), "a standing observation may sleep");

    device.cancel(id).unwrap();
    let sent = device.poll_transmit(at(10)).unwrap();
    let view = MessageView::parse(&sent).unwrap();
    assert_eq!((view.observe(), view.token()), (Some(1), &token[..]));
    device.handle(at(11), &answer(&sent, Code::CONTENT, |b| b.payload(b"4")));
    assert_eq!(response_of(device.poll()), (Code::CONTENT, b"4".to_vec()));
}

/// RFC 7641 section 4.2: registered by a GET, told by number, ended by a Reset.
#[test]
fn a_gateway_observes_until_it_resets() {
    let mut device = endpoint();
    device.handle(at(0), &message(Type::Confirmable, Code::GET, 1, b"ob", |b| b.target("/3303/0/5700").observe(0)));
    let Some(ClientEvent::Command(told)) = device.poll() else {
        panic!("no command");
    };
    assert_eq!(told.observe, Some(Observe::Register));
    device.respond(at(0), told.id, &Reply::content(0, b"20")).unwrap();
    let first = device.poll_transmit(at(0)).unwrap();
    assert_eq!(MessageView::parse(&first).unwrap().observe(), Some(1));

    device.notify(at(9), told.id, &Reply::content(0, b"21"), false).unwrap();
    let second = device.poll_transmit(at(9)).unwrap();
    let view = MessageView::parse(&second).unwrap();
    assert_eq!((view.kind(), view.observe(), view.token()), (Type::NonConfirmable, Some(2), &b"ob"[..]));
    device.handle(at(10), &empty(Type::Reset, view.message_id()));
    let observer = told.id;
    assert_eq!(device.poll(), Some(ClientEvent::ObserverGone { observer }));
    assert!(device.notify(at(11), observer, &Reply::content(0, b"22"), false).is_err());
}

/// RFC 7641 section 4.5: at least once a day the observer must prove that it is there.
#[test]
fn a_notification_a_day_is_confirmable_and_its_silence_ends_the_observation() {
    let mut device = endpoint();
    device.handle(at(0), &message(Type::Confirmable, Code::GET, 1, b"ob", |b| b.target("/t").observe(0)));
    let Some(ClientEvent::Command(told)) = device.poll() else {
        panic!("no command");
    };
    device.respond(at(0), told.id, &Reply::content(0, b"20")).unwrap();
    device.poll_transmit(at(0)).unwrap();
    let day = 24 * 60 * 60 * 1000;
    device.notify(at(day), told.id, &Reply::content(0, b"21"), false).unwrap();
    let sent = device.poll_transmit(at(day)).unwrap();
    assert_eq!(MessageView::parse(&sent).unwrap().kind(), Type::Confirmable);
    while let Some(due) = device.poll_timeout() {
        device.handle_timeout(due);
        device.poll_transmit(due);
    }
    let observer = told.id;
    assert_eq!(device.poll(), Some(ClientEvent::ObserverGone { observer }));
}

#[test]
fn a_body_above_the_limit_is_refused_and_forgotten() {
    let mut device = endpoint();
    let mut refused = None;
    for num in 0..=64 {
        let mut buffer = [0; 1200];
        let block = Block::new(num, num < 64, 6).unwrap();
        let part = Builder::new(&mut buffer, Type::Confirmable, Code::PUT, num as u16, b"t")
            .target("/fw")
            .block1(block)
            .payload(if num < 64 { &[0; 1024] } else { b"one more" })
            .finish()
            .unwrap();
        device.handle(at(0), part);
        let sent = device.poll_transmit(at(0)).unwrap();
        let code = MessageView::parse(&sent).unwrap().code();
        if code != Code::CONTINUE {
            refused = Some((num, code));
        }
    }
    assert_eq!(refused, Some((64, Code::REQUEST_ENTITY_TOO_LARGE)));
    assert_eq!(device.poll(), None);
}
