use super::*;
use bartizan_wire::coap::{Builder, Code, OptionNumber};

const TIMING: Timing = Timing { ack_timeout: Duration::from_secs(2), answer: Duration::from_secs(20) };

struct Bench {
    endpoint: Endpoint<u32>,
    now: Instant,
    offered: Vec<Vec<u8>>,
    takes: bool,
}

impl Bench {
    fn new() -> Self {
        Self {
            endpoint: Endpoint::new(TIMING, 0x1234_5678_9abc_def0),
            now: Instant::now(),
            offered: vec![],
            takes: true,
        }
    }

    fn request(&mut self, message: &[u8], handle: u32) -> Vec<u8> {
        self.endpoint.request(self.now, message, handle).unwrap();
        self.sent().pop().unwrap()
    }

    fn receive(&mut self, datagram: &[u8]) -> Seen {
        let (offered, takes) = (&mut self.offered, self.takes);
        self.endpoint.handle(self.now, datagram, &mut |coap| {
            if takes {
                offered.push(coap.to_vec());
            }
            takes
        })
    }

    fn sent(&mut self) -> Vec<Vec<u8>> {
        let mut sent = vec![];
        while let Some(output) = self.endpoint.poll() {
            match output {
                Output::Transmit(bytes) => sent.push(bytes.to_vec()),
                Output::Answered(..) => panic!("answered"),
            }
        }
        sent
    }

    fn answered(&mut self) -> Vec<(u32, Result<Bytes, &'static str>)> {
        let mut answered = vec![];
        while let Some(output) = self.endpoint.poll() {
            if let Output::Answered(handle, outcome) = output {
                answered.push((handle, outcome));
            }
        }
        answered
    }

    /// Lets time pass until nothing is due; returns what was sent and after how long.
    fn run(&mut self) -> Vec<(Duration, Vec<u8>)> {
        let (start, mut sent) = (self.now, vec![]);
        while let Some(at) = self.endpoint.next_timeout() {
            self.now = at;
            self.endpoint.handle_timeout(at);
            while let Some(Output::Transmit(bytes)) = self.endpoint.outputs.front() {
                sent.push((at - start, bytes.to_vec()));
                self.endpoint.outputs.pop_front();
            }
        }
        sent
    }
}

fn message(kind: Type, code: Code, id: u16, token: &[u8], observe: Option<u32>) -> Vec<u8> {
    let mut buffer = [0; 64];
    let mut builder = Builder::new(&mut buffer, kind, code, id, token);
    if let Some(observe) = observe {
        builder = builder.observe(observe);
    }
    builder.payload(b"x").finish().unwrap().to_vec()
}

fn id_of(message: &[u8]) -> u16 {
    Header::parse(message).unwrap().message_id
}

fn get(token: &[u8], observe: Option<u32>) -> Vec<u8> {
    message(Type::NonConfirmable, Code::GET, 7, token, observe)
}

#[test]
fn a_request_passes_unchanged_but_for_its_hop() {
    let mut bench = Bench::new();
    let mut buffer = [0; 128];
    let original = Builder::new(&mut buffer, Type::NonConfirmable, Code::POST, 7, b"token")
        .target("/a/b?c=d")
        .option(OptionNumber(65_000), b"unknown")
        .payload(b"payload")
        .finish()
        .unwrap()
        .to_vec();
    let sent = bench.request(&original, 1);
    assert_eq!(Header::parse(&sent).unwrap().kind, Type::Confirmable);
    assert_eq!(sent[4..], original[4..]);
    assert_eq!(sent[1], original[1]);
}

#[test]
fn piggybacked_and_separate_responses_are_paired() {
    let mut bench = Bench::new();
    let first = bench.request(&get(b"a", None), 1);
    let second = bench.request(&get(b"b", None), 2);
    let piggybacked = message(Type::Acknowledgement, Code::CONTENT, id_of(&first), b"a", None);
    assert_eq!(bench.receive(&piggybacked), Seen::Ours);
    assert_eq!(bench.answered(), [(1, Ok(piggybacked.into()))]);
    assert_eq!(bench.receive(&coap::empty(Type::Acknowledgement, id_of(&second))), Seen::Ours);
    let separate = message(Type::Confirmable, Code::CONTENT, 99, b"b", None);
    assert_eq!(bench.receive(&separate), Seen::Ours);
    let Some(Output::Transmit(ack)) = bench.endpoint.poll() else { panic!("no acknowledgement") };
    assert_eq!(ack[..], coap::empty(Type::Acknowledgement, 99));
    assert_eq!(bench.answered(), [(2, Ok(separate.clone().into()))]);
    // The origin missed our acknowledgement and repeats itself.
    assert_eq!(bench.receive(&separate), Seen::Ours);
    assert_eq!(bench.sent(), [coap::empty(Type::Acknowledgement, 99)]);
}

#[test]
fn a_response_with_another_token_or_id_is_not_taken() {
    let mut bench = Bench::new();
    let sent = bench.request(&get(b"a", None), 1);
    let id = id_of(&sent);
    assert_eq!(bench.receive(&message(Type::Acknowledgement, Code::CONTENT, id, b"b", None)), Seen::Stray);
    assert_eq!(bench.receive(&message(Type::Acknowledgement, Code::CONTENT, id ^ 1, b"a", None)), Seen::Stray);
    assert_eq!(bench.receive(&message(Type::NonConfirmable, Code::CONTENT, 5, b"b", None)), Seen::Stray);
    assert_eq!(bench.sent(), [coap::empty(Type::Reset, 5)]);
    assert!(bench.answered().is_empty());
}

#[test]
fn a_silent_origin_hears_five_times_and_then_the_device_hears_of_it() {
    let mut bench = Bench::new();
    bench.endpoint.timing.answer = Duration::from_secs(100);
    let sent = bench.request(&get(b"a", None), 1);
    let again = bench.run();
    assert_eq!(again.len(), 4);
    assert!(again.iter().all(|(_, bytes)| *bytes == sent));
    let waits: Vec<f64> = again.iter().map(|(at, _)| at.as_secs_f64()).collect();
    assert!((2.0..=3.0).contains(&waits[0]));
    for (n, wait) in waits.iter().enumerate() {
        let expected = waits[0] * f64::from((1 << (n + 1)) - 1);
        assert!((wait - expected).abs() < 0.001, "{waits:?}");
    }
    assert_eq!(bench.answered(), [(1, Err("the origin does not acknowledge"))]);
}

#[test]
fn an_acknowledged_request_is_not_repeated_but_ends_in_time() {
    let mut bench = Bench::new();
    let sent = bench.request(&get(b"a", None), 1);
    bench.receive(&coap::empty(Type::Acknowledgement, id_of(&sent)));
    let start = bench.now;
    assert!(bench.run().is_empty());
    assert_eq!(bench.now - start, TIMING.answer);
    assert_eq!(bench.answered(), [(1, Err("the origin did not answer in time"))]);
}

#[test]
fn a_reset_and_an_unreachable_origin_end_requests_at_once() {
    let mut bench = Bench::new();
    let sent = bench.request(&get(b"a", None), 1);
    bench.receive(&coap::empty(Type::Reset, id_of(&sent)));
    assert_eq!(bench.answered(), [(1, Err("the origin reset the exchange"))]);
    bench.request(&get(b"a", None), 2);
    bench.endpoint.fail("gone");
    assert_eq!(bench.answered(), [(2, Err("gone"))]);
    assert_eq!(bench.endpoint.next_timeout(), None);
}

#[test]
fn notifications_pass_until_the_observation_ends() {
    let mut bench = Bench::new();
    let sent = bench.request(&get(b"a", Some(0)), 1);
    bench.receive(&message(Type::Acknowledgement, Code::CONTENT, id_of(&sent), b"a", Some(1)));
    assert_eq!(bench.answered().len(), 1);
    assert_eq!(bench.endpoint.attached(), 1);
    let notification = message(Type::Confirmable, Code::CONTENT, 50, b"a", Some(2));
    assert_eq!(bench.receive(&notification), Seen::Offered);
    assert_eq!(bench.sent(), [coap::empty(Type::Acknowledgement, 50)]);
    assert_eq!(bench.receive(&notification), Seen::Ours, "a repetition is acknowledged, not passed again");
    assert_eq!(bench.offered.len(), 1);
    bench.sent();
    let last = message(Type::NonConfirmable, Code::NOT_FOUND, 51, b"a", None);
    assert_eq!(bench.receive(&last), Seen::Offered);
    assert_eq!(bench.receive(&message(Type::Confirmable, Code::CONTENT, 52, b"a", Some(3))), Seen::Stray);
    assert_eq!(bench.sent(), [coap::empty(Type::Reset, 52)]);
}

#[test]
fn a_notification_that_nobody_takes_is_not_acknowledged() {
    let mut bench = Bench::new();
    let sent = bench.request(&get(b"a", Some(0)), 1);
    bench.receive(&message(Type::Acknowledgement, Code::CONTENT, id_of(&sent), b"a", Some(1)));
    bench.answered();
    let notification = message(Type::Confirmable, Code::CONTENT, 50, b"a", Some(2));
    bench.takes = false;
    assert_eq!(bench.receive(&notification), Seen::Shed);
    assert!(bench.sent().is_empty());
    bench.takes = true;
    assert_eq!(bench.receive(&notification), Seen::Offered);
}

#[test]
fn deregistering_ends_the_observation() {
    let mut bench = Bench::new();
    for (observe, attached) in [(0, 1), (1, 0)] {
        let sent = bench.request(&get(b"a", Some(observe)), observe);
        let seen = (observe == 0).then_some(9);
        bench.receive(&message(Type::Acknowledgement, Code::CONTENT, id_of(&sent), b"a", seen));
        bench.answered();
        assert_eq!(bench.endpoint.attached(), attached);
    }
}

#[test]
fn the_origins_request_is_answered_by_the_device() {
    let mut bench = Bench::new();
    let request = message(Type::Confirmable, Code::GET, 9, b"o", None);
    assert_eq!(bench.receive(&request), Seen::Offered);
    assert_eq!(bench.sent(), [coap::empty(Type::Acknowledgement, 9)]);
    assert_eq!(bench.receive(&request), Seen::Ours);
    assert_eq!((bench.sent().len(), bench.offered.len()), (1, 1));
    let response = message(Type::Acknowledgement, Code::CONTENT, 77, b"o", None);
    assert_eq!(bench.endpoint.respond(bench.now, &response), Responded::Sent);
    let sent = bench.sent().pop().unwrap();
    assert_eq!(Header::parse(&sent).unwrap().kind, Type::Confirmable);
    assert_eq!(sent[4..], response[4..]);
    assert_eq!(bench.endpoint.respond(bench.now, &response), Responded::NotAsked, "it was answered");
    assert_eq!(bench.run().len(), 4, "the answer is repeated until it is acknowledged");
}

#[test]
fn the_device_notifies_until_the_origin_resets() {
    let mut bench = Bench::new();
    bench.receive(&message(Type::NonConfirmable, Code::GET, 9, b"o", Some(0)));
    let notification = message(Type::Confirmable, Code::CONTENT, 1, b"o", Some(5));
    for _ in 0..3 {
        assert_eq!(bench.endpoint.respond(bench.now, &notification), Responded::Sent);
        let sent = bench.sent().pop().unwrap();
        bench.receive(&coap::empty(Type::Acknowledgement, id_of(&sent)));
    }
    bench.endpoint.respond(bench.now, &notification);
    let sent = bench.sent().pop().unwrap();
    assert_eq!(bench.receive(&coap::empty(Type::Reset, id_of(&sent))), Seen::Ours);
    assert_eq!(bench.endpoint.respond(bench.now, &notification), Responded::Cancelled);
    assert_eq!(bench.endpoint.respond(bench.now, &notification), Responded::NotAsked);
}

#[test]
fn everything_is_bounded() {
    let mut bench = Bench::new();
    for n in 0..limits::PROXY_REQUESTS_PER_DEVICE_MAX as u32 {
        bench.request(&get(&n.to_be_bytes(), Some(0)), n);
    }
    assert!(bench.endpoint.request(bench.now, &get(b"zz", None), 0).is_err());
    bench.endpoint.fail("over");
    bench.answered();
    for n in 0..200_u16 {
        bench.receive(&message(Type::Confirmable, Code::GET, n, &n.to_be_bytes(), None));
        bench.endpoint.respond(bench.now, &message(Type::Confirmable, Code::CONTENT, n, &n.to_be_bytes(), Some(1)));
        let sent = bench.request(&get(&n.to_le_bytes(), Some(0)), 0);
        bench.receive(&message(Type::Acknowledgement, Code::CONTENT, id_of(&sent), &n.to_le_bytes(), Some(1)));
        bench.answered();
    }
    let endpoint = &bench.endpoint;
    assert_eq!(endpoint.asked.len(), limits::PROXY_ASKED_PER_DEVICE_MAX);
    assert_eq!(endpoint.observations.len(), limits::PROXY_OBSERVATIONS_PER_DEVICE_MAX);
    assert_eq!(endpoint.recent.len(), limits::PROXY_RECENT_PER_DEVICE_MAX);
    assert!(endpoint.responses.len() <= limits::PROXY_RESPONSES_PER_DEVICE_MAX);
}

#[test]
fn no_datagram_does_harm() {
    let mut random = 1_u64;
    let mut bench = Bench::new();
    let valid = message(Type::Confirmable, Code::CONTENT, 50, b"a", Some(2));
    for round in 0..20_000 {
        random = random.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
        let mut datagram = valid.clone();
        let (at, value) = ((random >> 40) as usize % datagram.len(), (random >> 32) as u8);
        datagram[at] = value;
        datagram.truncate(if round % 3 == 0 { at } else { valid.len() });
        bench.receive(&datagram);
        bench.endpoint.handle_timeout(bench.now);
        bench.endpoint.outputs.clear();
    }
    assert!(bench.endpoint.asked.len() <= limits::PROXY_ASKED_PER_DEVICE_MAX);
}
