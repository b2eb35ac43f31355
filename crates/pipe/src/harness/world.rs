//! A labelled world: benign devices, and attacks laid over some of them.

use std::cmp::Reverse;
use std::collections::{BTreeMap, BTreeSet, BinaryHeap};

use bartizan_wire::{DeviceKey, Event, EventKind, Subject, UnixMillis};

use super::attack::Attack;
use super::benign::{Actor, DAY_MS, HOUR_MS, MINUTE_MS, Turn};
use super::random::Seeded;

/// Kinds of benign device.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Kind {
    /// Reports each hour.
    Meter,
    /// Reports each quarter of an hour; is switched at dusk and dawn by zone.
    Light,
    /// Speaks when it is used; most at rush hour, some a lot.
    Lock,
    /// Heavy-tailed in gaps and bursts.
    Sensor,
}

/// What a world is made of. Equal configurations make equal worlds.
#[derive(Clone, Debug, PartialEq)]
pub struct WorldConfig {
    pub seed: u64,
    pub meters: usize,
    pub lights: usize,
    pub locks: usize,
    pub sensors: usize,
    pub days: f64,
    /// The gateway is restarted about once in this many days; all devices come back at about the same time.
    pub restart_every_days: f64,
    pub attacks: Vec<Attack>,
}

impl WorldConfig {
    /// No devices and no attacks, for one day.
    #[must_use]
    pub const fn empty(seed: u64) -> Self {
        Self {
            seed,
            meters: 0,
            lights: 0,
            locks: 0,
            sensors: 0,
            days: 1.0,
            restart_every_days: 10.0,
            attacks: Vec::new(),
        }
    }

    /// The city of the demo: bicycle locks, water meters and street lights.
    #[must_use]
    pub fn city(seed: u64, devices: usize, days: f64) -> Self {
        let third = devices / 3;
        Self { meters: third, lights: third, locks: devices - 2 * third, days, ..Self::empty(seed) }
    }

    #[must_use]
    pub fn with(mut self, attack: Attack) -> Self {
        self.attacks.push(attack);
        self
    }

    #[must_use]
    pub const fn devices(&self) -> usize {
        self.meters + self.lights + self.locks + self.sensors
    }

    /// The devices that an attack takes over or names: from the end of their kind, none twice.
    #[must_use]
    pub fn victims(&self, attack: usize) -> Vec<DeviceKey> {
        let wanted = &self.attacks[attack];
        let taken: usize = self.attacks[..attack]
            .iter()
            .filter(|other| other.victims == wanted.victims)
            .map(|other| other.devices)
            .sum();
        let (first, count) = self.range(wanted.victims);
        (first..first + count).rev().skip(taken).take(wanted.devices).map(|id| DeviceKey::new(1, id as u64)).collect()
    }

    fn range(&self, kind: Kind) -> (usize, usize) {
        match kind {
            Kind::Meter => (0, self.meters),
            Kind::Light => (self.meters, self.lights),
            Kind::Lock => (self.meters + self.lights, self.locks),
            Kind::Sensor => (self.meters + self.lights + self.locks, self.sensors),
        }
    }

    /// Any minute of a day in 2026: engines' windows stand at fixed times, and worlds must not stand with them.
    fn begins(&self) -> UnixMillis {
        UnixMillis(EPOCH_MS + Seeded::new(!self.seed).below(DAY_MS))
    }

    pub(super) fn ends(&self) -> UnixMillis {
        self.begins().plus((self.days * DAY_MS as f64) as u64)
    }
}

/// A midnight in 2026, so that times look like times.
const EPOCH_MS: u64 = 20_454 * DAY_MS;

/// One event, and the number of the attack it belongs to.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Labelled {
    pub event: Event,
    pub attack: Option<usize>,
}

/// The events of a world in order of time.
pub struct World {
    config: WorldConfig,
    random: Seeded,
    actors: Vec<Actor>,
    due: BinaryHeap<Reverse<Due>>,
    sequence: u64,
    made: Vec<Event>,
    ends: UnixMillis,
}

/// Something due at a time; the sequence keeps what is simultaneous in the order it was made.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
struct Due {
    at: UnixMillis,
    sequence: u64,
    what: What,
}

#[derive(Clone, Copy)]
enum What {
    Turn(usize),
    Say(Labelled),
    Strike { attack: usize, actor: usize, until: UnixMillis },
    Restart,
}

// The order of what is due is settled by its sequence number alone.
impl PartialEq for What {
    fn eq(&self, _: &Self) -> bool {
        true
    }
}
impl Eq for What {}
impl PartialOrd for What {
    fn partial_cmp(&self, other: &Self) -> Option<std::cmp::Ordering> {
        Some(self.cmp(other))
    }
}
impl Ord for What {
    fn cmp(&self, _: &Self) -> std::cmp::Ordering {
        std::cmp::Ordering::Equal
    }
}

impl World {
    #[must_use]
    pub fn new(config: &WorldConfig) -> Self {
        let mut random = Seeded::new(config.seed);
        let kinds = [Kind::Meter, Kind::Light, Kind::Lock, Kind::Sensor];
        let mut actors = Vec::with_capacity(config.devices());
        for kind in kinds {
            let (first, count) = config.range(kind);
            actors.extend((first..first + count).map(|id| Actor::new(id as u64, kind, &mut random)));
        }
        let mut world = Self {
            config: config.clone(),
            random,
            actors,
            due: BinaryHeap::new(),
            sequence: 0,
            made: Vec::new(),
            ends: config.ends(),
        };
        world.begin();
        world
    }

    fn begin(&mut self) {
        let begins = self.config.begins();
        for actor in 0..self.actors.len() {
            let at = self.actors[actor].first_turn(&mut self.random);
            self.push(begins.plus(at.0), What::Turn(actor));
        }
        for attack in 0..self.config.attacks.len() {
            let Attack { starts_h, lasts_h, .. } = self.config.attacks[attack];
            let at = begins.plus((starts_h * HOUR_MS as f64) as u64);
            let until = at.plus((lasts_h * HOUR_MS as f64) as u64);
            for victim in self.config.victims(attack) {
                self.push(at, What::Strike { attack, actor: victim.device.0 as usize, until });
            }
        }
        self.plan_restart(begins);
    }

    fn plan_restart(&mut self, now: UnixMillis) {
        let mean = self.config.restart_every_days * DAY_MS as f64;
        let gap = self.random.exponential(mean);
        self.push(now.plus(gap as u64), What::Restart);
    }

    fn push(&mut self, at: UnixMillis, what: What) {
        self.sequence += 1;
        self.due.push(Reverse(Due { at, sequence: self.sequence, what }));
    }

    fn turn(&mut self, now: UnixMillis, actor: usize) {
        let Self { actors, random, made, .. } = self;
        let next = actors[actor].act(&mut Turn { now, random, out: made });
        let made = std::mem::take(&mut self.made);
        for event in &made {
            self.push(event.at, What::Say(Labelled { event: *event, attack: None }));
        }
        self.made = made;
        self.made.clear();
        self.push(next, What::Turn(actor));
    }

    fn strike(&mut self, now: UnixMillis, attack: usize, actor: usize, until: UnixMillis) -> Labelled {
        let plan = &self.config.attacks[attack];
        let victim = &mut self.actors[actor];
        if plan.is_authenticated() {
            victim.taken_until = until;
        }
        let event = plan.event(now, victim, &mut self.random);
        let pace = plan.pace_ms(victim);
        let next = now.plus(self.random.normal(pace, pace * 0.1).max(1.0) as u64);
        if next < until {
            self.push(next, What::Strike { attack, actor, until });
        }
        Labelled { event, attack: Some(attack) }
    }

    fn restart(&mut self, now: UnixMillis) {
        for actor in &mut self.actors {
            let minutes = self.random.between(5.0, 30.0);
            actor.go_offline(now.plus((minutes * MINUTE_MS as f64) as u64));
        }
        self.plan_restart(now);
    }
}

impl Iterator for World {
    type Item = Labelled;

    fn next(&mut self) -> Option<Labelled> {
        loop {
            let Reverse(Due { at, what, .. }) = self.due.pop()?;
            if at >= self.ends {
                return None;
            }
            match what {
                What::Turn(actor) => self.turn(at, actor),
                What::Restart => self.restart(at),
                What::Say(labelled) => return Some(labelled),
                What::Strike { attack, actor, until } => return Some(self.strike(at, attack, actor, until)),
            }
        }
    }
}

/// Why a labelled set says nothing about an engine.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Shortcut {
    #[error("`{attack}`: {device:?} never behaves well before the attack, so its name alone gives it away")]
    AttackOnlyDevice { attack: &'static str, device: DeviceKey },
    #[error("`{attack}` is about pace, but sends {what} that no benign device of the type does")]
    AttackOnlyShape { attack: &'static str, what: &'static str },
    #[error("`{attack}` has no benign events at its time, so the clock alone gives it away")]
    AttackOnlyTime { attack: &'static str },
    #[error("`{attack}` does nothing")]
    NoAttack { attack: &'static str },
}

/// What was seen of one attack and of the benign, to compare.
#[derive(Default)]
struct Seen {
    shapes: BTreeMap<u32, BTreeSet<(u32, u32)>>,
    sizes: BTreeMap<u32, (u16, u16)>,
    devices: BTreeSet<DeviceKey>,
    first: Option<UnixMillis>,
    last: Option<UnixMillis>,
}

/// Checks that each attack can be told only by what it is meant to show. One pass over the events.
///
/// # Errors
/// The first [`Shortcut`] found.
pub fn refuse_shortcuts(attacks: &[Attack], events: impl Iterator<Item = Labelled>) -> Result<(), Shortcut> {
    let mut benign = Seen::default();
    let mut benign_before: Vec<BTreeSet<DeviceKey>> = vec![BTreeSet::new(); attacks.len()];
    let mut attacked: Vec<Seen> = attacks.iter().map(|_| Seen::default()).collect();
    for labelled in events {
        match labelled.attack {
            None => benign.note(&labelled.event),
            Some(number) => {
                if attacked[number].first.is_none() {
                    benign_before[number] = benign.devices.clone();
                }
                attacked[number].note(&labelled.event);
            }
        }
    }
    let pairs = attacks.iter().zip(&attacked).zip(&benign_before);
    pairs.into_iter().try_for_each(|((attack, seen), before)| compare(attack, seen, &benign, before))
}

fn compare(attack: &Attack, seen: &Seen, benign: &Seen, before: &BTreeSet<DeviceKey>) -> Result<(), Shortcut> {
    let attack_name = attack.name;
    let (Some(first), Some(_)) = (seen.first, seen.last) else {
        return Err(Shortcut::NoAttack { attack: attack_name });
    };
    if benign.first.is_none_or(|t| t > first) || benign.last.is_none_or(|t| t < first) {
        return Err(Shortcut::AttackOnlyTime { attack: attack_name });
    }
    if let Some(device) = seen.devices.iter().find(|device| !before.contains(device)) {
        return Err(Shortcut::AttackOnlyDevice { attack: attack_name, device: *device });
    }
    if !attack.is_about_pace() {
        return Ok(());
    }
    for (device_type, shapes) in &seen.shapes {
        if benign.shapes.get(device_type).is_none_or(|known| !shapes.is_subset(known)) {
            return Err(Shortcut::AttackOnlyShape { attack: attack_name, what: "kinds or peers" });
        }
        let (known, used) = (benign.sizes.get(device_type), seen.sizes.get(device_type));
        if let (Some(known), Some(used)) = (known, used)
            && (used.0 < known.0 || used.1 > known.1)
        {
            return Err(Shortcut::AttackOnlyShape { attack: attack_name, what: "sizes" });
        }
    }
    Ok(())
}

impl Seen {
    fn note(&mut self, event: &Event) {
        self.first = self.first.or(Some(event.at));
        self.last = Some(event.at);
        let Subject::Device { key, device_type } = event.subject else {
            return;
        };
        self.devices.insert(key);
        if let EventKind::Message(message) = event.kind {
            self.shapes.entry(device_type.0).or_default().insert((message.kind, message.peer));
            let sizes = self.sizes.entry(device_type.0).or_insert((u16::MAX, 0));
            *sizes = (sizes.0.min(message.payload_bytes), sizes.1.max(message.payload_bytes));
        }
    }
}
