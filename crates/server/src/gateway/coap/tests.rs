//! The layer in virtual time, as a device sees it.

use bartizan_wire::coap::{Block, Builder, Code, MessageView, OptionNumber, Type, empty};
use bartizan_wire::event::CommandState;
use bartizan_wire::{Access, CommandId, DeviceKey, UnixMillis};
use bytes::Bytes;

use super::*;
use crate::app::path::{Outcome, Reply};
use crate::app::{Issuer, PendingCommand};
use crate::limits::{COAP_BODY_BYTES_MAX, COAP_SEEN_PER_DEVICE_MAX};

/// One device and the gateway's side of its association.
struct Scene {
    now: u64,
    access: Access,
    transparent: bool,
    shared: Shared,
    peer: Peer,
}

impl Scene {
    fn new() -> Self {
        Self { now: 1_000, access: Access::Full, transparent: false, shared: Shared::new(42), peer: Peer::default() }
    }

    fn proxy() -> Self {
        Self { transparent: true, ..Self::new() }
    }

    fn turn(&mut self, act: impl FnOnce(&mut Peer, &mut Turn<'_>)) -> Vec<Step> {
        let mut steps = Vec::new();
        let mut turn = Turn {
            applicant: false,
            now: self.now,
            access: self.access,
            transparent: self.transparent,
            shared: &mut self.shared,
            steps: &mut steps,
        };
        act(&mut self.peer, &mut turn);
        steps
    }

    fn receive(&mut self, message: &[u8]) -> Vec<Step> {
        let message = Bytes::copy_from_slice(message);
        self.turn(|peer, turn| peer.receive(turn, message))
    }

    fn answer(&mut self, exchange: Exchange, answer: Answer) -> Vec<Step> {
        self.turn(|peer, turn| peer.answer(turn, exchange, answer))
    }

    fn wait(&mut self, ms: u64) -> Vec<Step> {
        self.now += ms;
        self.turn(|peer, turn| peer.handle_timeout(turn))
    }

    /// Sends a request and answers what was submitted; the response's bytes.
    fn exchange(&mut self, message: &[u8], answer: Answer) -> Vec<u8> {
        let exchange = submitted(&self.receive(message)).0;
        sent(self.answer(exchange, answer))
    }
}

fn request(build: impl FnOnce(Builder<'_>) -> Builder<'_>, kind: Type, code: Code, id: u16) -> Vec<u8> {
    let mut buffer = vec![0; 2048];
    let builder = Builder::new(&mut buffer, kind, code, id, b"tok");
    build(builder).finish().unwrap().to_vec()
}

fn post(id: u16) -> Vec<u8> {
    request(|b| b.target("/meter?x=1").content_format(50).payload(b"{}"), Type::Confirmable, Code::POST, id)
}

fn submitted(steps: &[Step]) -> (Exchange, &crate::app::path::Message) {
    match steps {
        [Step::Submit { exchange, message }] => (*exchange, message),
        other => panic!("not one submission: {other:?}"),
    }
}

/// The only datagram among the steps.
fn sent(steps: Vec<Step>) -> Vec<u8> {
    let mut datagrams = steps.into_iter().filter_map(|step| match step {
        Step::Send(message) => Some(message),
        _ => None,
    });
    let first = datagrams.next().expect("something was sent");
    assert_eq!(datagrams.next(), None, "only one datagram");
    first
}

fn changed() -> Answer {
    Answer::new(Code::CHANGED)
}

#[test]
fn a_request_is_carried_on_and_answered_with_its_acknowledgement() {
    let mut scene = Scene::new();
    let steps = scene.receive(&post(7));
    let (exchange, message) = submitted(&steps);
    assert_eq!((message.code, &*message.path), (2, "/meter?x=1"));
    assert_eq!((message.content_format, &message.payload[..]), (Some(50), &b"{}"[..]));
    let reply = sent(scene.answer(exchange, changed()));
    let view = MessageView::parse(&reply).unwrap();
    assert_eq!((view.kind(), view.message_id()), (Type::Acknowledgement, 7));
    assert_eq!((view.code(), view.token()), (Code::CHANGED, &b"tok"[..]));
}

#[test]
fn a_duplicate_is_carried_on_once_and_told_the_same() {
    let mut scene = Scene::new();
    let steps = scene.receive(&post(7));
    let exchange = submitted(&steps).0;
    assert_eq!(scene.receive(&post(7)), [Step::Shed(Shed::Duplicate)]);
    let reply = sent(scene.answer(exchange, changed()));
    assert_eq!(sent(scene.receive(&post(7))), reply);
    scene.wait(246_000);
    assert_eq!(sent(scene.receive(&post(7))), reply);
    scene.wait(1_001);
    submitted(&scene.receive(&post(7))); // EXCHANGE_LIFETIME is over: a new message
}

#[test]
fn a_slow_upstream_is_answered_apart_and_until_acknowledged() {
    let mut scene = Scene::new();
    let steps = scene.receive(&post(7));
    let exchange = submitted(&steps).0;
    let acknowledgement = empty(Type::Acknowledgement, 7);
    assert_eq!(sent(scene.wait(1_000)), acknowledgement);
    assert_eq!(sent(scene.receive(&post(7))), acknowledgement);
    let reply = sent(scene.answer(exchange, changed()));
    let id = MessageView::parse(&reply).unwrap().message_id();
    assert_eq!(MessageView::parse(&reply).unwrap().kind(), Type::Confirmable);
    for wait in [3_000, 6_000, 12_000, 24_000] {
        assert_eq!(sent(scene.wait(wait)), reply);
    }
    assert_eq!(scene.receive(&empty(Type::Acknowledgement, id)), []);
    assert_eq!(scene.wait(100_000), []);
    assert_eq!(sent(scene.receive(&post(7))), acknowledgement);
}

#[test]
fn repeating_ends_after_four_times() {
    let mut scene = Scene::new();
    let steps = scene.receive(&post(7));
    let exchange = submitted(&steps).0;
    scene.wait(1_000);
    scene.answer(exchange, changed());
    let repeated: usize = (0..200).map(|_| scene.wait(1_000).len()).sum();
    assert_eq!(repeated, 4);
}

#[test]
fn a_non_confirmable_request_is_answered_in_kind_and_once() {
    let mut scene = Scene::new();
    let message = request(|b| b.target("/t"), Type::NonConfirmable, Code::POST, 9);
    let reply = scene.exchange(&message, changed());
    assert_eq!(MessageView::parse(&reply).unwrap().kind(), Type::NonConfirmable);
    assert_eq!(scene.receive(&message), [Step::Shed(Shed::Duplicate)]);
}

#[test]
fn what_the_upstream_did_not_accept_is_5_03_with_a_time() {
    let mut scene = Scene::new();
    let reply = scene.exchange(&post(7), Outcome::Unavailable.into());
    let view = MessageView::parse(&reply).unwrap();
    assert_eq!((view.code(), view.max_age()), (Code::SERVICE_UNAVAILABLE, Some(30)));
    let limited = scene.exchange(&post(8), Outcome::Forbidden(Access::Limited).into());
    let view = MessageView::parse(&limited).unwrap();
    assert_eq!((view.code(), view.max_age()), (Code::TOO_MANY_REQUESTS, Some(30)));
}

#[test]
fn pings_malformed_and_stray_messages_are_treated_as_rfc_7252_says() {
    let mut scene = Scene::new();
    assert_eq!(scene.receive(&empty(Type::Confirmable, 3)), [Step::Send(empty(Type::Reset, 3).to_vec())]);
    let reset = Step::Send(empty(Type::Reset, 0x0102).to_vec());
    let malformed = Step::Shed(Shed::Malformed);
    assert_eq!(scene.receive(&[0x4f, 1, 1, 2]), [Step::Shed(Shed::Malformed), reset]);
    assert_eq!(scene.receive(&[0x5f, 1, 1, 2]), [malformed]); // not confirmable: ignored
    assert_eq!(scene.receive(&[0x80, 1, 1, 2]), [Step::Shed(Shed::Malformed)]); // version 2
    assert_eq!(scene.receive(&[0x40]), [Step::Shed(Shed::Malformed)]);
    assert_eq!(scene.receive(&empty(Type::Acknowledgement, 5)), [Step::Shed(Shed::Stray)]);
    assert_eq!(scene.receive(&empty(Type::Reset, 5)), [Step::Shed(Shed::Stray)]);
    assert!(scene.peer.is_idle());
}

#[test]
fn unknown_critical_options_are_refused_and_elective_ones_ignored() {
    let mut scene = Scene::new();
    let odd = |b: Builder<'_>| -> Vec<u8> { b.option(OptionNumber(65001), b"?").finish().unwrap().to_vec() };
    let mut buffer = [0; 64];
    let message = odd(Builder::new(&mut buffer, Type::Confirmable, Code::POST, 1, b""));
    let reply = sent(scene.receive(&message));
    assert_eq!(MessageView::parse(&reply).unwrap().code(), Code::BAD_OPTION);
    let mut buffer = [0; 64];
    let message = odd(Builder::new(&mut buffer, Type::NonConfirmable, Code::POST, 2, b""));
    assert_eq!(scene.receive(&message), [Step::Shed(Shed::Unsupported)]);
    let elective = request(|b| b.option(OptionNumber(65000), b"?"), Type::Confirmable, Code::POST, 3);
    submitted(&scene.receive(&elective));
    let proxied = request(|b| b.option(OptionNumber::PROXY_URI, b"coap://x"), Type::Confirmable, Code::GET, 4);
    let reply = sent(scene.receive(&proxied));
    assert_eq!(MessageView::parse(&reply).unwrap().code(), Code::PROXYING_NOT_SUPPORTED);
    let conditional = request(|b| b.option(OptionNumber::IF_MATCH, b"e"), Type::Confirmable, Code::PUT, 5);
    let reply = sent(scene.receive(&conditional));
    assert_eq!(MessageView::parse(&reply).unwrap().code(), Code::BAD_OPTION);
    submitted(&Scene::proxy().receive(&conditional));
}

#[test]
fn a_quarantined_device_reaches_only_its_status() {
    let mut scene = Scene::new();
    scene.access = Access::Quarantined;
    let steps = scene.receive(&post(7));
    assert_eq!(steps[0], Step::Shed(Shed::Refused));
    let reply = sent(steps);
    assert_eq!(MessageView::parse(&reply).unwrap().code(), Code::FORBIDDEN);
    assert_eq!(sent(scene.receive(&post(7))), reply, "a duplicate is told the same");

    let status = |accept: Option<u16>, id| {
        request(
            |b| match accept {
                Some(format) => b.target("/.well-known/bartizan/status").accept(format),
                None => b.target("/.well-known/bartizan/status"),
            },
            Type::Confirmable,
            Code::GET,
            id,
        )
    };
    for (accept, expected, id) in
        [(None, StatusFormat::Json, 10), (Some(50), StatusFormat::Json, 11), (Some(60), StatusFormat::Cbor, 12)]
    {
        let steps = scene.receive(&status(accept, id));
        let [Step::Status { exchange, format }] = steps[..] else {
            panic!("{steps:?}");
        };
        assert_eq!(format, expected);
        let reply = sent(scene.answer(exchange, Answer::new(Code::CONTENT)));
        assert_eq!(MessageView::parse(&reply).unwrap().code(), Code::CONTENT);
    }
    let reply = sent(scene.receive(&status(Some(40), 13)));
    assert_eq!(MessageView::parse(&reply).unwrap().code(), Code::NOT_ACCEPTABLE);
    let put = request(|b| b.target("/.well-known/bartizan/status"), Type::Confirmable, Code::PUT, 14);
    let reply = sent(scene.receive(&put));
    assert_eq!(MessageView::parse(&reply).unwrap().code(), Code::METHOD_NOT_ALLOWED);
}

#[test]
fn a_device_with_too_many_open_requests_is_told_5_03() {
    let mut scene = Scene::new();
    for id in 0..COAP_SEEN_PER_DEVICE_MAX as u16 {
        submitted(&scene.receive(&post(id)));
    }
    let steps = scene.receive(&post(100));
    assert_eq!(steps[0], Step::Shed(Shed::Busy));
    let reply = sent(steps);
    assert_eq!(MessageView::parse(&reply).unwrap().code(), Code::SERVICE_UNAVAILABLE);
}

fn block_of(body: &[u8], number: u32, szx: u8, id: u16) -> Vec<u8> {
    let size = 16 << szx;
    let start = number as usize * size;
    let end = body.len().min(start + size);
    let block = Block::new(number, end < body.len(), szx).unwrap();
    request(|b| b.target("/fw").block1(block).payload(&body[start..end]), Type::Confirmable, Code::PUT, id)
}

#[test]
fn a_body_in_blocks_is_carried_on_whole() {
    let mut scene = Scene::new();
    let body: Vec<u8> = (0..150).collect();
    for number in 0..2 {
        let reply = sent(scene.receive(&block_of(&body, number, 2, number as u16)));
        let view = MessageView::parse(&reply).unwrap();
        assert_eq!((view.code(), view.block1().unwrap().num()), (Code::CONTINUE, number));
    }
    let steps = scene.receive(&block_of(&body, 2, 2, 2));
    let (exchange, message) = submitted(&steps);
    assert_eq!(message.payload, body);
    let reply = sent(scene.answer(exchange, changed()));
    assert_eq!(MessageView::parse(&reply).unwrap().block1().unwrap().num(), 2);
    assert_eq!(scene.shared.bodies.bytes(), 0);
}

#[test]
fn blocks_that_do_not_fit_are_refused() {
    let mut scene = Scene::new();
    let body = vec![7; 200];
    let code = |steps: Vec<Step>| MessageView::parse(&sent(steps)).unwrap().code();
    let missing = scene.receive(&block_of(&body, 1, 2, 1));
    assert_eq!(code(missing), Code::REQUEST_ENTITY_INCOMPLETE);
    scene.receive(&block_of(&body, 0, 2, 2));
    let gap = scene.receive(&block_of(&body, 2, 2, 3));
    assert_eq!(code(gap), Code::REQUEST_ENTITY_INCOMPLETE);
    let short = Block::new(0, true, 2).unwrap();
    let short = request(|b| b.target("/fw").block1(short).payload(b"x"), Type::Confirmable, Code::PUT, 4);
    assert_eq!(code(scene.receive(&short)), Code::BAD_REQUEST);
    assert_eq!(scene.shared.bodies.bytes(), 0);
}

#[test]
fn bodies_stand_on_their_limit() {
    let code = |length: usize| {
        let mut scene = Scene::new();
        let body = vec![7; length];
        let last = length.div_ceil(1024) as u32;
        let mut steps = Vec::new();
        for number in 0..last {
            steps = scene.receive(&block_of(&body, number, 6, number as u16));
        }
        match &steps[..] {
            [Step::Submit { message, .. }] => Ok(message.payload.len()),
            _ => Err(MessageView::parse(&sent(steps)).unwrap().code()),
        }
    };
    assert_eq!(code(COAP_BODY_BYTES_MAX), Ok(COAP_BODY_BYTES_MAX));
    assert_eq!(code(COAP_BODY_BYTES_MAX + 1), Err(Code::REQUEST_ENTITY_TOO_LARGE));
    let mut scene = Scene::new();
    let first = Block::new(0, true, 0).unwrap();
    let announced =
        request(|b| b.target("/fw").block1(first).size1(1 << 20).payload(&[0; 16]), Type::Confirmable, Code::PUT, 1);
    let reply = sent(scene.receive(&announced));
    assert_eq!(MessageView::parse(&reply).unwrap().code(), Code::REQUEST_ENTITY_TOO_LARGE);
}

#[test]
fn an_abandoned_body_gives_its_memory_back() {
    let mut scene = Scene::new();
    scene.receive(&block_of(&[7; 200], 0, 2, 1));
    assert_eq!(scene.shared.bodies.bytes(), 64);
    scene.wait(247_001);
    assert_eq!(scene.shared.bodies.bytes(), 0);
    assert!(scene.peer.is_idle());
}

#[test]
fn a_long_answer_leaves_in_blocks_from_one_upstream_exchange() {
    let mut scene = Scene::new();
    let body: Bytes = (0..=255).cycle().take(2_500).collect::<Vec<u8>>().into();
    let get = |number: u32, id| {
        let block = Block::new(number, false, 6).unwrap();
        request(|b| b.target("/cfg").block2(block), Type::Confirmable, Code::GET, id)
    };
    let answer = Answer { payload: body.clone(), ..Answer::new(Code::CONTENT) };
    let mut parts = vec![scene.exchange(&get(0, 1), answer)];
    parts.push(sent(scene.receive(&get(1, 2))));
    parts.push(sent(scene.receive(&get(2, 3))));
    let mut whole = Vec::new();
    for (number, part) in parts.iter().enumerate() {
        let view = MessageView::parse(part).unwrap();
        let block = view.block2().unwrap();
        assert_eq!((block.num() as usize, block.more()), (number, number < 2));
        whole.extend_from_slice(view.payload());
    }
    assert_eq!(whole, body);
    let reply = sent(scene.receive(&get(3, 4)));
    assert_eq!(MessageView::parse(&reply).unwrap().code(), Code::BAD_REQUEST);
}

fn origin(kind: Type, token: &[u8], observe: Option<u32>) -> Bytes {
    let mut buffer = [0; 64];
    let builder = Builder::new(&mut buffer, kind, Code::CONTENT, 0x7777, token);
    let builder = match observe {
        Some(sequence) => builder.observe(sequence),
        None => builder,
    };
    Bytes::copy_from_slice(builder.payload(b"21.5").finish().unwrap())
}

fn replied(coap: Bytes) -> Answer {
    let reply = Reply { code: coap[1], content_format: None, payload: Bytes::new(), coap: Some(coap) };
    Outcome::Replied(reply).into()
}

#[test]
fn an_observation_at_the_upstream_ends_with_a_final_4_03_on_quarantine() {
    let mut scene = Scene::proxy();
    let get = request(|b| b.target("/temp").observe_register(true), Type::Confirmable, Code::GET, 1);
    let reply = scene.exchange(&get, replied(origin(Type::Acknowledgement, b"other", Some(1))));
    let view = MessageView::parse(&reply).unwrap();
    assert_eq!((view.kind(), view.message_id()), (Type::Acknowledgement, 1));
    assert_eq!((view.token(), view.observe()), (&b"tok"[..], Some(1)));
    let steps = scene.turn(|peer, turn| peer.notify(turn, &origin(Type::NonConfirmable, b"tok", Some(2))));
    let notification = sent(steps);
    let view = MessageView::parse(&notification).unwrap();
    assert_eq!((view.kind(), view.payload()), (Type::NonConfirmable, &b"21.5"[..]));

    scene.access = Access::Quarantined;
    let last = sent(scene.turn(|peer, turn| peer.cut_off(turn)));
    let view = MessageView::parse(&last).unwrap();
    assert_eq!((view.code(), view.token(), view.observe()), (Code::FORBIDDEN, &b"tok"[..], None));
    let steps = scene.turn(|peer, turn| peer.notify(turn, &origin(Type::NonConfirmable, b"tok", Some(3))));
    assert_eq!(steps, [Step::Shed(Shed::Refused)]);
    scene.wait(247_001);
    assert!(scene.peer.is_idle());
}

#[test]
fn notifications_of_the_device_reach_who_asked_and_are_reset_in_quarantine() {
    let mut scene = Scene::proxy();
    let notification = |kind, id| {
        let mut buffer = [0; 64];
        let builder = Builder::new(&mut buffer, kind, Code::CONTENT, id, b"srv");
        builder.observe(3).payload(b"1").finish().unwrap().to_vec()
    };
    let steps = scene.receive(&notification(Type::Confirmable, 50));
    let [Step::Respond { exchange, .. }] = steps[..] else {
        panic!("{steps:?}");
    };
    assert_eq!(scene.receive(&notification(Type::Confirmable, 50)), [Step::Shed(Shed::Duplicate)]);
    let steps = scene.turn(|peer, turn| peer.taken(turn, exchange, true));
    assert_eq!(steps, [Step::Send(empty(Type::Acknowledgement, 50).to_vec())]);

    let steps = scene.receive(&notification(Type::NonConfirmable, 51));
    let [Step::Respond { exchange, .. }] = steps[..] else {
        panic!("{steps:?}");
    };
    let steps = scene.turn(|peer, turn| peer.taken(turn, exchange, false));
    assert_eq!(steps, [Step::Send(empty(Type::Reset, 51).to_vec())]);

    scene.access = Access::Quarantined;
    assert_eq!(
        scene.receive(&notification(Type::Confirmable, 52)),
        [Step::Shed(Shed::Refused), Step::Send(empty(Type::Reset, 52).to_vec())]
    );
}

fn command(id: u64, payload: &[u8]) -> PendingCommand {
    PendingCommand {
        id: CommandId(id),
        device: DeviceKey::new(1, 1),
        state: CommandState::Queued,
        issuer: Issuer::Person("ada".into()),
        method: Code::PUT.0,
        path: "/valve?now=1".into(),
        content_format: Some(0),
        payload: Bytes::copy_from_slice(payload),
        coap: None,
        created: UnixMillis(0),
        expires: UnixMillis(u64::MAX),
    }
}

fn respond(kind: Type, id: u16, token: &[u8], code: Code) -> Vec<u8> {
    let mut buffer = [0; 64];
    let builder = Builder::new(&mut buffer, kind, code, id, token);
    builder.finish().unwrap().to_vec()
}

fn command_of(scene: &mut Scene, command: &PendingCommand) -> Vec<u8> {
    sent(scene.turn(|peer, turn| assert!(peer.command(turn, command))))
}

#[test]
fn a_command_leaves_as_a_request_and_its_answer_is_told() {
    let mut scene = Scene::new();
    let message = command_of(&mut scene, &command(5, b"shut"));
    let view = MessageView::parse(&message).unwrap();
    assert_eq!((view.kind(), view.code()), (Type::Confirmable, Code::PUT));
    assert_eq!(view.target().to_string(), "/valve?now=1");
    assert_eq!(view.payload(), b"shut");
    assert!(!scene.peer.takes_command(), "one at a time");
    let reply = respond(Type::Acknowledgement, view.message_id(), view.token(), Code::CHANGED);
    let steps = scene.receive(&reply);
    assert!(matches!(steps[..], [Step::Answered { command: CommandId(5), code: Code::CHANGED, .. }]), "{steps:?}");
    assert!(scene.peer.is_idle());
}

#[test]
fn a_command_acknowledged_first_may_be_answered_apart() {
    let mut scene = Scene::new();
    let message = command_of(&mut scene, &command(5, b"shut"));
    let view = MessageView::parse(&message).unwrap();
    assert_eq!(scene.receive(&empty(Type::Acknowledgement, view.message_id())), []);
    assert_eq!(scene.wait(60_000), [], "not repeated");
    let steps = scene.receive(&respond(Type::Confirmable, 900, view.token(), Code::CHANGED));
    assert_eq!(steps[0], Step::Send(empty(Type::Acknowledgement, 900).to_vec()));
    assert!(matches!(steps[1], Step::Answered { .. }));
}

#[test]
fn a_sleeper_gets_its_command_again_with_the_same_names() {
    let mut scene = Scene::new();
    let first = command_of(&mut scene, &command(5, b"shut"));
    for _ in 0..5 {
        scene.wait(48_000);
    }
    assert!(scene.peer.takes_command(), "given up until its next record");
    assert_eq!(command_of(&mut scene, &command(5, b"shut")), first);
    // After a restart nothing but the token tells which command is answered.
    let mut restarted = Scene::new();
    let token = MessageView::parse(&first).unwrap().token().to_vec();
    let steps = restarted.receive(&respond(Type::NonConfirmable, 901, &token, Code::BAD_REQUEST));
    assert!(matches!(steps[..], [Step::Answered { command: CommandId(5), .. }]), "{steps:?}");
}

#[test]
fn a_reset_command_is_told_and_quarantine_takes_commands_back() {
    let mut scene = Scene::new();
    let message = command_of(&mut scene, &command(5, b"shut"));
    let id = MessageView::parse(&message).unwrap().message_id();
    let steps = scene.receive(&empty(Type::Reset, id));
    assert_eq!(steps, [Step::Reset { command: CommandId(5) }]);
    command_of(&mut scene, &command(6, b"shut"));
    scene.access = Access::Quarantined;
    scene.turn(|peer, turn| peer.cut_off(turn));
    assert_eq!(scene.wait(10_000), [], "no longer repeated");
    assert_eq!(scene.turn(|peer, turn| assert!(peer.command(turn, &command(7, b"x")))), []);
}

#[test]
fn a_long_command_goes_in_blocks() {
    let mut scene = Scene::new();
    let body = vec![9; 1_300];
    let mut message = command_of(&mut scene, &command(5, &body));
    let mut whole = Vec::new();
    for number in 0..3 {
        let view = MessageView::parse(&message).unwrap();
        let block = view.block1().unwrap();
        assert_eq!((block.num(), block.more()), (number, number < 2));
        whole.extend_from_slice(view.payload());
        let mut buffer = [0; 64];
        let code = if block.more() { Code::CONTINUE } else { Code::CHANGED };
        let reply = Builder::new(&mut buffer, Type::Acknowledgement, code, view.message_id(), view.token())
            .block1(block)
            .finish()
            .unwrap()
            .to_vec();
        let steps = scene.receive(&reply);
        match block.more() {
            true => message = sent(steps),
            false => assert!(matches!(steps[..], [Step::Answered { code: Code::CHANGED, .. }])),
        }
    }
    assert_eq!(whole, body);
}

#[test]
fn a_command_of_the_upstream_keeps_its_token() {
    let mut scene = Scene::proxy();
    let asked = request(|b| b.target("/3/0/9"), Type::NonConfirmable, Code::GET, 0x1111);
    let forwarded = PendingCommand { coap: Some(asked.into()), issuer: Issuer::Upstream, ..command(5, b"") };
    let message = command_of(&mut scene, &forwarded);
    let view = MessageView::parse(&message).unwrap();
    assert_eq!((view.kind(), view.token()), (Type::Confirmable, &b"tok"[..]));
    assert_eq!(view.target().to_string(), "/3/0/9");
    let bad = PendingCommand { coap: Some(Bytes::from_static(b"\xff")), ..command(6, b"") };
    scene.turn(|peer, turn| assert!(!peer.command(turn, &bad)));
}

#[test]
fn no_bytes_make_the_layer_panic_or_grow() {
    let mut dice = Shared::new(2026);
    for round in 0..20_000_u32 {
        let mut scene = if round % 2 == 0 { Scene::new() } else { Scene::proxy() };
        for _ in 0..4 {
            let mut message = post(dice.dice() as u16 % 4);
            for _ in 0..dice.dice() % 4 {
                let at = dice.dice() as usize % message.len();
                message[at] = dice.dice() as u8;
            }
            message.truncate(dice.dice() as usize % (message.len() + 1));
            scene.receive(&message);
            scene.wait(u64::from(dice.dice() % 100_000));
        }
        scene.wait(300_000);
        scene.wait(300_000);
        assert_eq!(scene.shared.bodies.bytes(), 0);
    }
}
