//! Everything at once, by seed, in DTLS 1.2 and 1.3: loss, reordering, duplication and delay, NAT rebinding with and without
//! a check, devices that sleep, lose power and begin anew, a server that is killed at any moment with a disk slower than
//! the network, new keys and Connection IDs, and somebody who says again what was said before.
//!
//! What must hold after every step: no nonce twice under a key for different bytes, nothing delivered twice or that was
//! never sent or in another's name, no more than three times its bytes to an address that nobody vouches for. In the end:
//! nobody stranded, nothing left in the server's tables.
//!
//! `BARTIZAN_CHAOS_SEEDS=100000` goes on beyond the seeds of every run; `BARTIZAN_CHAOS_SEED=7` runs one. A seed that fails
//! goes into `chaos/regressions.txt`.
#![allow(clippy::unwrap_used, reason = "tests")]

mod support;

use std::collections::{BTreeMap, BTreeSet};

use bartizan_crypto::Secret;
use bartizan_dtls::*;
use support::journal::{ANSWER, Journal};
use support::ledger::Ledger;
use support::watched::{WATCHED, forget_nonces};
use support::*;

const SEEDS: u64 = 600;
const DEVICES: usize = 4;
const STEPS: usize = 60;
/// As a gateway keeps some places free for handshakes.
const SESSIONS_KEPT: usize = 16;
const STORM: Weather = Weather { loss_percent: 50, duplicate_percent: 30, latency_ms: (10, 6_000) };

/// What a device keeps where power cuts do no harm, and what it has heard since it last lost its memory.
#[derive(Default)]
struct Device {
    flash: Option<Vec<u8>>,
    heard: BTreeSet<Vec<u8>>,
    listened: usize,
}

struct Fleet {
    world: World,
    seed: u64,
    devices: Vec<Device>,
    /// Who has sent what to the server, and what the server has sent to whom.
    up: BTreeMap<Vec<u8>, usize>,
    down: BTreeSet<Vec<u8>>,
    delivered: BTreeSet<Vec<u8>>,
    count: u32,
    port: u16,
}

impl Fleet {
    fn new(seed: u64) -> Self {
        forget_nonces();
        let mut world = World::new(seed, ROUGH, gateway_config(seed));
        let sync_ms = [(0, 0), (1, 20), (5, 400)][(seed / 2 % 3) as usize];
        world.journal = Some(Journal::new(sync_ms, 300));
        world.ledger = Some(Ledger::default());
        let mut fleet = Self {
            world,
            seed,
            devices: Vec::new(),
            up: BTreeMap::new(),
            down: BTreeSet::new(),
            delivered: BTreeSet::new(),
            count: 0,
            port: 30_000,
        };
        for device in 0..DEVICES {
            fleet.devices.push(Device::default());
            fleet.world.connect(device_config(seed, device));
        }
        fleet
    }

    fn step(&mut self) {
        let device = self.world.rng.below(DEVICES as u64) as usize;
        match self.world.rng.below(32) {
            0 => self.world.kill(),
            1 | 2 => self.move_away(device),
            3 => self.reconnect(device),
            4 | 5 => self.power_cut(device),
            6..=8 => self.sleep(device),
            9..=12 => self.wake(device),
            13 | 14 => self.speak_down(),
            15 | 16 => self.change_keys(device),
            17 | 18 => self.change_connection_ids(device),
            19 | 20 => self.say_again(),
            21 => self.world.weather = [CALM, ROUGH, ROUGH, STORM][self.world.rng.below(4) as usize],
            22 => self.pass(300_000),
            _ => drop(self.report(device)),
        }
        let pause = 1 + self.world.rng.below(3_000);
        self.pass(pause);
        self.make_room();
    }

    fn pass(&mut self, ms: u64) {
        self.world.pump();
        self.world.pass(ms);
        self.check();
    }

    /// Each report says who sends it and is unlike all others.
    fn report(&mut self, device: usize) -> Vec<u8> {
        self.count += 1;
        let text = format!("{device}:{}", self.count).into_bytes();
        self.wake(device);
        let now = self.world.instant();
        let connection = &mut self.world.clients[device].connection;
        if connection.is_closed() {
            self.reconnect(device);
        } else if connection.is_connected() {
            if connection.send(now, &text).is_err() {
                self.devices[device].flash = Some(connection.save().unwrap().to_bytes());
                connection.send(now, &text).unwrap();
            }
            self.up.insert(text.clone(), device);
        }
        text
    }

    fn speak_down(&mut self) {
        let now = self.world.instant();
        let sessions: Vec<_> = self.world.server.sessions().collect();
        for session in sessions {
            self.count += 1;
            let mut text = format!("command {}", self.count).into_bytes();
            self.down.insert(text.clone());
            text.push(ANSWER);
            text.resize(text.len() + self.world.rng.below(300) as usize, 0);
            // A lease that is used up is a reason to wait, not to fail.
            let _ = self.world.server.send(now, session, &text);
        }
    }

    /// Behind another address that nobody has had before.
    fn move_away(&mut self, device: usize) {
        self.port += 1;
        self.world.rebind(device, self.port);
        let config = device_config(self.seed, device);
        if !config.rrc || self.world.config.path_check == PathCheck::Off {
            self.world.ledger.as_mut().unwrap().unaskable.insert(address(self.port));
        }
    }

    fn reconnect(&mut self, device: usize) {
        let now = self.world.instant();
        let config = device_config(self.seed, device);
        let connection = Connection::connect(config, now, &mut self.world.rng).unwrap();
        self.world.clients[device].connection = connection;
        self.world.clients[device].asleep = false;
        self.devices[device].flash = None;
    }

    /// Everything is written down; nothing is heard until the device wakes.
    fn sleep(&mut self, device: usize) {
        let client = &mut self.world.clients[device];
        if let Some(saved) = client.connection.save().filter(|_| !client.asleep) {
            client.asleep = true;
            self.devices[device].flash = Some(saved.to_bytes());
        }
    }

    fn wake(&mut self, device: usize) {
        if self.world.clients[device].asleep {
            self.world.clients[device].asleep = false;
            self.resume(device);
            if self.world.rng.chance(70) {
                self.move_away(device);
            }
        }
    }

    /// What is in flash is all that is left; a device without anything in flash begins anew.
    fn power_cut(&mut self, device: usize) {
        self.devices[device].heard.clear();
        match self.devices[device].flash {
            Some(_) => self.resume(device),
            None => self.reconnect(device),
        }
        self.world.clients[device].asleep = false;
    }

    fn resume(&mut self, device: usize) {
        let now = self.world.instant();
        let saved = SavedSession::from_bytes(self.devices[device].flash.as_ref().unwrap()).unwrap();
        let config = device_config(self.seed, device);
        let mut connection = Connection::resume(config, saved, now).unwrap();
        self.devices[device].flash = Some(connection.save().unwrap().to_bytes());
        self.world.clients[device].connection = connection;
    }

    /// DTLS 1.2 says no.
    fn change_keys(&mut self, device: usize) {
        let now = self.world.instant();
        if self.world.rng.chance(50) && !self.world.clients[device].asleep {
            let _ = self.world.clients[device].connection.update_keys(now);
        }
        let sessions: Vec<_> = self.world.server.sessions().filter(|session| session.slot % 2 == 0).collect();
        for session in sessions {
            let _ = self.world.server.update_keys(now, session);
        }
    }

    fn change_connection_ids(&mut self, device: usize) {
        let now = self.world.instant();
        let what = self.world.rng.below(3);
        let client = &mut self.world.clients[device];
        match what {
            0 if !client.asleep => drop(client.connection.request_connection_ids(now, 2)),
            1 if !client.asleep => drop(client.connection.use_spare_connection_id()),
            _ => {
                let sessions: Vec<_> = self.world.server.sessions().collect();
                for session in sessions {
                    let _ = self.world.server.renew_connection_id(now, session);
                }
            }
        }
    }

    /// Somebody has kept what he saw, and says it again from where it came or from an address of his own.
    fn say_again(&mut self) {
        for _ in 0..self.world.rng.below(6) {
            let number = self.world.rng.below(self.world.tape.len() as u64) as usize;
            let (up, whose, data) = self.world.tape[number].clone();
            if up {
                self.port += 1;
                let from = if self.world.rng.chance(50) { whose } else { address(self.port) };
                self.world.inject(from, &data);
            } else {
                let device = self.world.rng.below(DEVICES as u64) as usize;
                if !self.world.clients[device].asleep {
                    self.world.inject_to_client(device, &data);
                }
            }
        }
    }

    /// As a gateway does: the longest silent associations go where few places are free.
    fn make_room(&mut self) {
        let seen = |session| (self.world.server.session(session).unwrap().last_seen, session);
        let mut by_age: Vec<_> = self.world.server.sessions().map(seen).collect();
        by_age.sort_unstable();
        let now = self.world.instant();
        for (_, session) in by_age.iter().take(by_age.len().saturating_sub(SESSIONS_KEPT)) {
            self.world.server.close(now, *session, AlertDescription::CLOSE_NOTIFY);
        }
    }

    /// What must hold at any moment. Nonces and amplification are checked where they are used.
    fn check(&mut self) {
        let delivered = std::mem::take(&mut self.world.journal.as_mut().unwrap().delivered);
        for delivery in delivered {
            let text = String::from_utf8_lossy(&delivery.data).into_owned();
            let sender = self.up.get(&delivery.data);
            assert_eq!(sender.map(|device| *device as u64 + 1), Some(delivery.principal), "{text} is not his");
            assert!(self.delivered.insert(delivery.data), "{text} was delivered twice");
        }
        for (device, kept) in self.devices.iter_mut().enumerate() {
            let data = self.world.clients[device].data();
            for answer in data.into_iter().skip(kept.listened) {
                kept.listened += 1;
                let text = answer.split(|byte| *byte == ANSWER).next().unwrap().to_vec();
                let shown = String::from_utf8_lossy(&text).into_owned();
                let meant = self.delivered.contains(&text) && self.up.get(&text) == Some(&device);
                assert!(meant || self.down.contains(&text), "{shown} was never said to {device}");
                assert!(kept.heard.insert(text), "{shown} was heard twice by {device}");
            }
        }
        assert!(self.world.server.handshakes() <= self.world.config.handshakes_max as usize);
    }

    /// In good weather every device gets through again, at once or after one new handshake.
    fn recover(&mut self) {
        self.world.weather = CALM;
        self.world.journal.as_mut().unwrap().answer_bytes_max = 0;
        for device in 0..DEVICES {
            if !self.gets_through(device) {
                self.reconnect(device);
                self.pass(15_000);
                assert!(
                    self.gets_through(device),
                    "device {device} is stranded: {:?}",
                    self.world.clients[device].connection
                );
            }
        }
    }

    fn gets_through(&mut self, device: usize) -> bool {
        let text = self.report(device);
        self.pass(20_000);
        self.delivered.contains(&text) && self.devices[device].heard.contains(&text)
    }

    /// Nobody is there any more, and nothing that would show that anybody was.
    fn leave(&mut self) {
        assert_eq!(self.world.server.sessions().count(), DEVICES, "old associations are gone");
        let now = self.world.instant();
        for client in &mut self.world.clients {
            client.connection.save(); // a goodbye wants a number, too
            client.connection.close(now);
        }
        self.pass(10_000);
        // A device that has given up waiting for an answer may have left without a word.
        let sessions: Vec<_> = self.world.server.sessions().collect();
        let silent = self.world.clients.iter().filter(|client| client.closed() == Some(CloseReason::TimedOut)).count();
        assert!(sessions.len() <= silent, "goodbyes were not heard");
        for session in sessions {
            self.world.server.close(self.world.instant(), session, AlertDescription::CLOSE_NOTIFY);
        }
        self.pass(600_000);
        let left = (self.world.server.sessions().count(), self.world.server.handshakes());
        assert_eq!(left, (0, 0), "associations and handshakes");
        assert_eq!(self.world.server.poll_timeout(), None, "nothing to wait for");
        assert!(self.world.disk.states.is_empty(), "nothing on the disk");
    }
}

fn gateway_config(seed: u64) -> EndpointConfig {
    let versions = [Versions::DTLS_1_2, Versions::DTLS_1_3, Versions::BOTH][(seed % 3) as usize];
    let path_check = [PathCheck::Basic, PathCheck::Enhanced, PathCheck::Off][(seed / 3 % 3) as usize];
    let route = RouteConfig { nonce_bytes: 4, ..RouteConfig::new(1, Secret::new([7; 16])) };
    let routes = if seed % 4 == 3 { Routes::plain() } else { Routes::sealed(&route).unwrap() };
    EndpointConfig { provider: &WATCHED, versions, path_check, routes, lease: 16, sessions_max: 40, ..server_config() }
}

/// Each device in another way, as the gateway can.
fn device_config(seed: u64, device: usize) -> ClientConfig {
    let versions = match seed % 3 {
        0 => [Versions::DTLS_1_2, Versions::BOTH][device % 2],
        1 => [Versions::DTLS_1_3, Versions::BOTH][device % 2],
        _ => [Versions::DTLS_1_2, Versions::DTLS_1_3, Versions::BOTH, Versions::DTLS_1_3][device],
    };
    let which = seed as usize / 3 + device;
    let old = CipherSuite::PSK_DTLS_1_2[which % CipherSuite::PSK_DTLS_1_2.len()];
    let new: Vec<_> = CipherSuite::ALL.into_iter().filter(|suite| suite.version() == Version::Dtls13).collect();
    let own_cid = match which % 11 {
        0 => None,
        1..=6 => Some(ConnectionId::EMPTY),
        _ => ConnectionId::new(b"dev"),
    };
    let number = device as u8 + 1;
    ClientConfig {
        provider: &WATCHED,
        versions,
        suites: vec![new[which % new.len()], old],
        groups: if old.is_ecdhe() || which.is_multiple_of(4) { vec![Group::X25519] } else { vec![] },
        own_cid,
        rrc: !which.is_multiple_of(5),
        connection_ids: if which.is_multiple_of(3) { 2 } else { 0 },
        lease: 8,
        ..client_config(&format!("meter-{number}"), number)
    }
}

/// Says which seed it was.
struct Told(u64);

impl Drop for Told {
    fn drop(&mut self) {
        if std::thread::panicking() {
            eprintln!("seed {} fails: BARTIZAN_CHAOS_SEED={0}", self.0);
        }
    }
}

fn run(seed: u64) {
    let _told = Told(seed);
    let mut fleet = Fleet::new(seed);
    for _ in 0..STEPS {
        fleet.step();
    }
    fleet.recover();
    assert!(fleet.delivered.len() >= DEVICES);
    fleet.leave();
    assert!(forget_nonces() > DEVICES);
}

fn number_in(variable: &str) -> Option<u64> {
    std::env::var(variable).ok().map(|text| text.parse().unwrap())
}

#[test]
fn a_fleet_in_any_weather() {
    if let Some(seed) = number_in("BARTIZAN_CHAOS_SEED") {
        return run(seed);
    }
    (0..number_in("BARTIZAN_CHAOS_SEEDS").unwrap_or(SEEDS)).for_each(run);
}

#[test]
fn what_once_failed() {
    let lines = include_str!("chaos/regressions.txt").lines().filter(|line| !line.starts_with('#'));
    lines.for_each(|line| run(line.split_whitespace().next().unwrap().parse().unwrap()));
}
