//! Two endpoints over a network that loses, repeats, delays and reorders, by seed: every request ends,
//! every body arrives whole, no command is obeyed twice.

#![allow(clippy::unwrap_used, reason = "a test that cannot go on says where")]

use bartizan_device::exchange::Endpoint;
use bartizan_device::{ClientEvent, Code, ExchangeConfig, Failure, Instant, Reply, Request};

/// SplitMix64, so that a failure is a seed.
#[derive(Clone)]
struct Seeded(u64);

impl Seeded {
    fn below(&mut self, bound: u64) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mixed = (self.0 ^ (self.0 >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        let mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        (mixed ^ (mixed >> 31)) % bound
    }

    fn bytes(&mut self, length: u64) -> Vec<u8> {
        (0..length).map(|_| self.below(256) as u8).collect()
    }
}

struct World {
    rng: Seeded,
    now: Instant,
    ends: [Endpoint; 2],
    /// Arrival, addressee, bytes.
    flying: Vec<(Instant, usize, Vec<u8>)>,
    loss_percent: u64,
    /// When the application wants to go on.
    alarm: Option<Instant>,
}

impl World {
    fn new(seed: u64, loss_percent: u64) -> Self {
        let mut rng = Seeded(seed);
        let config = ExchangeConfig {
            // Within EXCHANGE_LIFETIME, as deduplication needs it.
            ack_timeout_ms: 1_000,
            retransmit_max: 6,
            retransmit_max_unheard: 6,
            ..ExchangeConfig::default()
        };
        let mut source = rng.clone();
        let mut random = move |out: &mut [u8]| out.fill_with(|| source.below(256) as u8);
        let mut ends = [(); 2].map(|()| Endpoint::new(config.clone(), &mut random));
        ends.iter_mut().for_each(Endpoint::open);
        rng.below(2);
        Self { rng, now: Instant::from_millis(0), ends, flying: Vec::new(), loss_percent, alarm: None }
    }

    /// Moves on to the next thing that happens; `false` when all is still.
    fn step(&mut self) -> bool {
        for from in 0..2 {
            while let Some(message) = self.ends[from].poll_transmit(self.now) {
                let copies = if self.rng.below(100) < 10 { 2 } else { 1 };
                for _ in 0..copies {
                    if self.rng.below(100) >= self.loss_percent {
                        let arrival = self.now.plus(20 + self.rng.below(400));
                        self.flying.push((arrival, 1 - from, message.clone()));
                    }
                }
            }
        }
        let arrival = self.flying.iter().map(|(arrival, ..)| *arrival);
        let timers = self.ends.iter().filter_map(Endpoint::poll_timeout);
        let Some(next) = arrival.chain(timers).chain(self.alarm).min() else {
            return false;
        };
        self.now = self.now.max(next);
        if let Some(index) = self.flying.iter().position(|(arrival, ..)| *arrival <= self.now) {
            let (_, to, message) = self.flying.swap_remove(index);
            self.ends[to].handle(self.now, &message);
        }
        for end in &mut self.ends {
            end.handle_timeout(self.now);
        }
        true
    }
}

/// One request with a body of some length, answered with one of another length after a pause. Whether the
/// answer came; if it did, it is the right one.
fn transfer(seed: u64, loss_percent: u64) -> bool {
    let mut world = World::new(seed, loss_percent);
    let lengths = [0, 5, 64, 1023, 1024, 1025, 5000];
    let pick = |rng: &mut Seeded| lengths[rng.below(lengths.len() as u64) as usize];
    let (up, down) = (pick(&mut world.rng), pick(&mut world.rng));
    let (sent, replied) = (world.rng.bytes(up), world.rng.bytes(down));
    let pause_ms = world.rng.below(4000);
    let mut request = Request::post("/a/b?c=d", 42, &sent);
    request.confirmable = true;
    world.ends[0].request(request).unwrap();

    let (mut commands, mut answer, mut due) = (0, None, None);
    while world.step() {
        while let Some(event) = world.ends[1].poll() {
            let ClientEvent::Command(command) = event else {
                panic!("seed {seed}: {event:?}");
            };
            assert_eq!(command.payload, sent, "seed {seed}");
            commands += 1;
            world.alarm = Some(world.now.plus(pause_ms));
            due = Some(command.id);
        }
        if let Some(id) = due
            && world.alarm <= Some(world.now)
        {
            let reply = Reply { code: Code::CHANGED, content_format: Some(42), payload: replied.clone() };
            world.ends[1].respond(world.now, id, &reply).unwrap();
            (due, world.alarm) = (None, None);
        }
        if let Some(event) = world.ends[0].poll() {
            answer = Some(event);
        }
    }
    match answer {
        Some(ClientEvent::Response { code, payload, .. }) => {
            assert_eq!((code, payload), (Code::CHANGED, replied), "seed {seed}");
            assert_eq!(commands, 1, "seed {seed}");
            true
        }
        Some(ClientEvent::Failed { reason: Failure::TimedOut, .. }) => {
            assert!(commands <= 1, "seed {seed}");
            false
        }
        None if world.ends[0].is_silent() => {
            assert!(commands <= 1, "seed {seed}");
            false
        }
        other => panic!("seed {seed}: {other:?}"),
    }
}

#[test]
fn a_clean_network_carries_every_body() {
    assert!((0..100).all(|seed| transfer(seed, 0)));
}

#[test]
fn a_bad_network_carries_nearly_every_body_and_none_wrongly() {
    let carried = (1000..1300).filter(|seed| transfer(*seed, 20)).count();
    assert!(carried >= 290, "{carried} of 300");
}

#[test]
fn a_terrible_network_is_given_up_honestly() {
    let carried = (2000..2200).filter(|seed| transfer(*seed, 50)).count();
    assert!((20..180).contains(&carried), "{carried} of 200");
}
