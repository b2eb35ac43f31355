//! Everything at once, by seed: bad weather, NAT rebinding, sleeping and waking, power cuts, reconnects and server
//! restarts. What must hold in any order: no nonce twice, no message delivered twice, no device stranded.
#![allow(clippy::unwrap_used, reason = "tests")]

mod support;

use std::collections::{BTreeMap, BTreeSet};

use bartizan_dtls::*;
use support::*;

const DEVICES: usize = 4;
const STEPS: usize = 60;

/// A fleet with what each device keeps in flash.
struct Fleet {
    world: World,
    flash: BTreeMap<usize, Vec<u8>>,
    sent: u32,
    port: u16,
}

impl Fleet {
    fn new(seed: u64) -> Self {
        let path_check = [PathCheck::Basic, PathCheck::Enhanced, PathCheck::Off][seed as usize % 3];
        let config = EndpointConfig { lease: 16, path_check, ..server_config() };
        let mut world = World::new(seed, ROUGH, config);
        world.echo = false;
        for device in 0..DEVICES {
            world.connect(device_config(device));
        }
        Self { world, flash: BTreeMap::new(), sent: 0, port: 30_000 }
    }

    fn step(&mut self) {
        let device = self.world.rng.below(DEVICES as u64) as usize;
        match self.world.rng.below(20) {
            0 => self.world.restart(),
            1 | 2 => {
                self.port += 1;
                self.world.rebind(device, self.port);
            }
            3 => self.reconnect(device),
            4 | 5 => self.power_cut(device),
            6 => self.speak_down(),
            _ => self.report(device),
        }
        let pause = self.world.rng.below(3_000);
        self.world.pass(pause);
    }

    /// Each report says who sends it and is unlike all others.
    fn report(&mut self, device: usize) {
        let now = self.world.instant();
        self.sent += 1;
        let text = format!("{device}:{}", self.sent);
        let connection = &mut self.world.clients[device].connection;
        if connection.is_closed() {
            return self.reconnect(device);
        }
        if connection.is_connected() && connection.send(now, text.as_bytes()).is_err() {
            self.flash.insert(device, connection.save().unwrap().to_bytes());
        }
        self.world.pump();
    }

    fn speak_down(&mut self) {
        let now = self.world.instant();
        let sessions: Vec<_> = self.world.server.sessions().collect();
        for session in sessions {
            // A lease that is used up is a reason to wait, not to fail.
            let length = self.world.rng.below(300) as usize;
            let _ = self.world.server.send(now, session, &vec![0; length]);
        }
        self.world.pump();
    }

    fn reconnect(&mut self, device: usize) {
        let now = self.world.instant();
        let connection = Connection::connect(device_config(device), now, &mut self.world.rng).unwrap();
        self.world.clients[device].connection = connection;
        self.flash.remove(&device);
        self.world.pump();
    }

    /// What is in flash is all that is left; a device without anything in flash begins anew.
    fn power_cut(&mut self, device: usize) {
        let now = self.world.instant();
        let saved = match self.flash.get(&device) {
            Some(bytes) => SavedSession::from_bytes(bytes).unwrap(),
            None => match self.world.clients[device].connection.save() {
                Some(saved) => saved,
                None => return self.reconnect(device),
            },
        };
        let mut connection = Connection::resume(device_config(device), saved, now).unwrap();
        self.flash.insert(device, connection.save().unwrap().to_bytes());
        self.world.clients[device].connection = connection;
    }

    /// In good weather every device gets through again, with a new handshake if its association is gone.
    fn recover(&mut self) {
        self.world.weather = CALM;
        self.world.run(400_000);
        for device in 0..DEVICES {
            let before = self.world.received().len();
            self.report(device);
            self.world.run(400_000);
            if self.world.received().len() == before {
                self.reconnect(device);
                self.world.run(10_000);
                self.report(device);
                self.world.run(10_000);
            }
            assert!(self.world.received().len() > before, "device {device} is stranded");
        }
        assert_eq!(self.world.server.sessions().count(), DEVICES, "old associations are gone");
    }

    fn assert_nothing_twice(&self) {
        let received = self.world.received();
        let distinct: BTreeSet<_> = received.iter().collect();
        assert_eq!(distinct.len(), received.len(), "a message was delivered twice");
        // A flight may answer the stale hello of an earlier handshake under its Connection ID, with other keys.
        let established = |(up, _, data): &&(bool, std::net::SocketAddr, Vec<u8>)| *up && data[0] == 25;
        let nonces: Vec<_> = self.world.tape.iter().filter(established).flat_map(nonces_of).collect();
        let distinct: BTreeSet<_> = nonces.iter().collect();
        assert_eq!(distinct.len(), nonces.len(), "a nonce was used twice");
    }
}

fn device_config(device: usize) -> ClientConfig {
    let own_cid = [Some(ConnectionId::EMPTY), ConnectionId::new(b"dev")][device % 2];
    let suites = vec![CipherSuite::PSK_DTLS_1_2[device % 10]];
    let number = device as u8 + 1;
    ClientConfig { own_cid, suites, lease: 8, ..client_config(&format!("meter-{number}"), number) }
}

#[test]
fn a_fleet_in_any_weather() {
    for seed in 0..150 {
        let mut fleet = Fleet::new(seed);
        for _ in 0..STEPS {
            fleet.step();
        }
        fleet.recover();
        fleet.assert_nothing_twice();
        assert!(fleet.world.received().len() > DEVICES, "seed {seed}");
    }
}
