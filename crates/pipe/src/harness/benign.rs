//! How the innocent behave: on time, late, in bursts, twice, and after an outage all at once.

use bartizan_wire::event::{Direction, Message, kind_hash};
use bartizan_wire::{DeviceKey, Event, EventKind, Subject, TypeId, UnixMillis};

use super::random::Seeded;
use super::world::Kind;

pub(super) const MINUTE_MS: u64 = 60_000;
pub(super) const HOUR_MS: u64 = 60 * MINUTE_MS;
pub(super) const DAY_MS: u64 = 24 * HOUR_MS;

const UPSTREAM: u32 = 0x0a00_0001;

/// One benign device.
#[derive(Clone, Debug)]
pub(super) struct Actor {
    pub(super) key: DeviceKey,
    pub(super) kind: Kind,
    /// Street lights are switched by zone; locks differ in how much they are used.
    zone: u64,
    busyness: f64,
    /// The attacker controls what the device sends until then, and its own reports cease.
    pub(super) taken_until: UnixMillis,
    offline_until: UnixMillis,
    missed: u32,
    network: u32,
    switched: u64,
}

/// What an actor does at one moment: events, some a little later, and the time of its next turn.
pub(super) struct Turn<'a> {
    pub(super) now: UnixMillis,
    pub(super) random: &'a mut Seeded,
    pub(super) out: &'a mut Vec<Event>,
}

impl Actor {
    pub(super) fn new(id: u64, kind: Kind, random: &mut Seeded) -> Self {
        Self {
            key: DeviceKey::new(1, id),
            kind,
            zone: random.below(8),
            busyness: random.pareto(1.0, 1.5).min(20.0),
            taken_until: UnixMillis(0),
            offline_until: UnixMillis(0),
            missed: 0,
            network: random.below(500) as u32,
            switched: 0,
        }
    }

    pub(super) fn subject(&self) -> Subject {
        Subject::Device { key: self.key, device_type: self.kind.type_id() }
    }

    /// The mean time between reports in milliseconds.
    pub(super) fn period_ms(&self) -> f64 {
        match self.kind {
            Kind::Meter => HOUR_MS as f64,
            Kind::Light => 15.0 * MINUTE_MS as f64,
            Kind::Lock => 4.0 * HOUR_MS as f64,
            Kind::Sensor => 30.0 * MINUTE_MS as f64,
        }
    }

    /// A message as this device sends them.
    pub(super) fn report(&self, random: &mut Seeded) -> Message {
        let (path, low, high): (&[u8], f64, f64) = match self.kind {
            Kind::Meter => (b"/water", 24.0, 40.0),
            Kind::Light => (b"/light", 16.0, 28.0),
            Kind::Lock => (b"/lock", 18.0, 60.0),
            Kind::Sensor => (b"/sensor", 12.0, 120.0),
        };
        Message {
            direction: Direction::Up,
            kind: kind_hash(&[b"POST", path]),
            payload_bytes: random.between(low, high) as u16,
            peer: UPSTREAM,
        }
    }

    /// Its first turn: devices are not in step.
    pub(super) fn first_turn(&self, random: &mut Seeded) -> UnixMillis {
        UnixMillis(random.between(0.0, self.period_ms()) as u64)
    }

    pub(super) fn go_offline(&mut self, until: UnixMillis) {
        self.offline_until = self.offline_until.max(until);
    }

    /// One turn; returns the time of the next.
    pub(super) fn act(&mut self, turn: &mut Turn<'_>) -> UnixMillis {
        if turn.now < self.taken_until {
            return self.taken_until.plus(self.period_ms() as u64);
        }
        if turn.now < self.offline_until {
            self.missed += 1;
        } else {
            self.come_back(turn);
            self.behave(turn);
        }
        self.maybe_fail(turn);
        self.next_turn(turn)
    }

    /// After an outage: a handshake, and what was missed, quickly.
    fn come_back(&mut self, turn: &mut Turn<'_>) {
        if self.missed == 0 {
            return;
        }
        self.say(turn, 0.0, EventKind::Established { suite: 0xc0a8, connection_id: true });
        let mut delay = 500.0;
        for _ in 0..self.missed.min(48) {
            delay += turn.random.between(300.0, 8_000.0);
            self.send(turn, delay);
        }
        self.missed = 0;
    }

    fn behave(&mut self, turn: &mut Turn<'_>) {
        match self.kind {
            Kind::Meter => self.send(turn, 0.0),
            Kind::Light => self.shine(turn),
            Kind::Lock => self.ride(turn),
            Kind::Sensor => self.burst(turn),
        }
        if turn.random.chance(0.003) {
            let delay = turn.random.between(2_000.0, 9_000.0);
            self.send(turn, delay);
        }
    }

    /// A report, and at dusk and dawn the zone's command with its answer.
    fn shine(&mut self, turn: &mut Turn<'_>) {
        self.send(turn, 0.0);
        let half_day = turn.now.0.saturating_sub(self.zone * MINUTE_MS * 7) / (DAY_MS / 2);
        if half_day == self.switched {
            return;
        }
        self.switched = half_day;
        let delay = turn.random.between(10_000.0, 40_000.0);
        let command = Message {
            direction: Direction::Down,
            kind: kind_hash(&[b"PUT", b"/light/on"]),
            payload_bytes: 2,
            peer: UPSTREAM,
        };
        self.say(turn, delay, EventKind::Message(command));
        let answer = Message {
            direction: Direction::Up,
            kind: kind_hash(&[b"2.04", b"/light/on"]),
            payload_bytes: 0,
            ..command
        };
        self.say(turn, delay + 1_500.0, EventKind::Message(answer));
        self.send(turn, delay + 4_000.0);
    }

    /// A heartbeat, or a ride: unlock, some positions, lock; sometimes a rider who tries again and again.
    fn ride(&mut self, turn: &mut Turn<'_>) {
        self.send(turn, 0.0);
        let mut delay = 0.0;
        if turn.random.chance(0.02) {
            for _ in 0..turn.random.below(7) {
                delay += turn.random.between(3_000.0, 15_000.0);
                self.send(turn, delay);
            }
        }
        if turn.random.chance(0.5) {
            self.network = turn.random.below(500) as u32;
            self.say(turn, delay + 100.0, EventKind::Rebound { network: self.network });
        }
        let ends = delay + turn.random.pareto(4.0, 1.6).min(180.0) * MINUTE_MS as f64;
        loop {
            delay += turn.random.between(2.0, 5.0) * MINUTE_MS as f64;
            if delay >= ends {
                break;
            }
            self.send(turn, delay);
        }
        self.send(turn, ends);
        self.send(turn, ends + 2_000.0);
    }

    /// A heavy-tailed number of messages, close together.
    fn burst(&mut self, turn: &mut Turn<'_>) {
        let messages = turn.random.pareto(1.0, 1.8).min(200.0) as u32;
        let mut delay = 0.0;
        for _ in 0..messages {
            self.send(turn, delay);
            delay += turn.random.exponential(12_000.0);
        }
    }

    /// Radio is lost for an hour or for days, once in two months; now and then a device restarts.
    fn maybe_fail(&mut self, turn: &mut Turn<'_>) {
        let turns_per_day = DAY_MS as f64 / self.period_ms();
        if turn.random.chance(1.0 / 60.0 / turns_per_day) {
            let hours = turn.random.pareto(1.0, 1.2).min(72.0);
            self.go_offline(turn.now.plus((hours * HOUR_MS as f64) as u64));
        }
    }

    fn next_turn(&mut self, turn: &mut Turn<'_>) -> UnixMillis {
        let gap = match self.kind {
            Kind::Meter | Kind::Light if turn.random.chance(0.001) => turn.random.between(0.0, self.period_ms()),
            Kind::Meter | Kind::Light => turn.random.normal(self.period_ms(), self.period_ms() * 0.02),
            Kind::Lock => {
                let rides = 4.0 * HOUR_MS as f64 / self.busyness / hurry(turn.now);
                turn.random.exponential(rides).clamp(MINUTE_MS as f64, 6.0 * HOUR_MS as f64)
            }
            Kind::Sensor => turn.random.pareto(6.0 * MINUTE_MS as f64, 1.3).min(DAY_MS as f64),
        };
        turn.now.plus(gap.max(1_000.0) as u64)
    }

    fn send(&self, turn: &mut Turn<'_>, delay_ms: f64) {
        let report = self.report(turn.random);
        self.say(turn, delay_ms, EventKind::Message(report));
    }

    fn say(&self, turn: &mut Turn<'_>, delay_ms: f64, kind: EventKind) {
        turn.out.push(Event { at: turn.now.plus(delay_ms as u64), subject: self.subject(), kind });
    }
}

/// How busy the hour is: two rush hours, and the night.
fn hurry(at: UnixMillis) -> f64 {
    match at.0 % DAY_MS / HOUR_MS {
        7 | 8 | 17 | 18 => 5.0,
        0..=5 => 0.15,
        _ => 1.0,
    }
}

impl Kind {
    /// The number of this kind as a device type.
    #[must_use]
    pub const fn type_id(self) -> TypeId {
        TypeId(self as u32 + 1)
    }
}
