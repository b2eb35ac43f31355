//! Both sides of DTLS over a network in the attacker's hands. The provider is the insecure one, so that
//! mutated records get past the ciphers and reach what is behind them.

use std::net::SocketAddr;

use bartizan_crypto::{INSECURE, SecretBytes};
use bartizan_device::{Client, Config};
use bartizan_dtls::{
    ClientConfig, Connection, ConnectionEvent, Endpoint, EndpointConfig, EndpointEvent, Instant, PskEntry,
};

use crate::script::Script;

fn random(out: &mut [u8]) {
    out.fill(5);
}

fn psk() -> SecretBytes {
    SecretBytes::new(b"sixteen bytes or more").expect("short enough")
}

/// Whose incoming datagrams the script attacks.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Victim {
    Client,
    Server,
}

/// Attacks a client.
pub fn client(bytes: &[u8]) {
    World::new().run(bytes, Victim::Client);
}

/// Attacks a server.
pub fn server(bytes: &[u8]) {
    World::new().run(bytes, Victim::Server);
}

struct World {
    now: Instant,
    client: Connection,
    server: Endpoint,
    address: SocketAddr,
    /// Application data that arrived, at the client and at the server.
    arrived: [usize; 2],
}

/// Steps of a script beyond which nothing new happens.
const STEPS_MAX: usize = 200;

impl World {
    fn new() -> Self {
        let now = Instant::from_millis(1);
        let config = ClientConfig::new(&INSECURE, b"device", psk());
        Self {
            now,
            client: Connection::connect(config, now, &mut random).expect("the configuration works"),
            server: server_endpoint(),
            address: "192.0.2.7:4000".parse().expect("an address"),
            arrived: [0, 0],
        }
    }

    fn run(&mut self, bytes: &[u8], victim: Victim) {
        let mut script = Script::new(bytes);
        for _ in 0..STEPS_MAX {
            let mut moved = false;
            while let Some(datagram) = self.client.poll_transmit(self.now) {
                moved = true;
                self.deliver(&mut script, datagram, Victim::Server, victim);
            }
            while let Some(transmit) = self.server.poll_transmit() {
                moved = true;
                self.deliver(&mut script, transmit.data, Victim::Client, victim);
            }
            self.drain();
            if !moved {
                if script.is_over() {
                    return;
                }
                self.idle(&mut script, victim);
            }
        }
    }

    /// Hands a datagram over as the script says: whole, twice, changed, cut, or not at all.
    fn deliver(&mut self, script: &mut Script<'_>, datagram: Vec<u8>, to: Victim, victim: Victim) {
        let mut copies = vec![datagram];
        if to == victim {
            match script.byte() % 8 {
                1 => copies.clear(),
                2 => copies.push(copies[0].clone()),
                3 => change(&mut copies[0], script),
                4 => {
                    let length = copies[0].len();
                    copies[0].truncate(usize::from(script.short()) % (length + 1));
                }
                5 => {
                    let mut changed = copies[0].clone();
                    change(&mut changed, script);
                    copies.insert(0, changed);
                }
                6 => copies[0].extend_from_slice(script.bytes()),
                _ => {}
            }
        }
        for mut copy in copies {
            match to {
                Victim::Client => self.client.handle(self.now, &mut copy),
                Victim::Server => self.server.handle(self.now, self.address, &mut copy),
            }
        }
    }

    /// Nothing is under way: time passes, data is sent, or bytes come out of nowhere.
    fn idle(&mut self, script: &mut Script<'_>, victim: Victim) {
        match script.byte() % 5 {
            0 => {
                self.now = self.now.plus(u64::from(script.short()));
                self.client.handle_timeout(self.now);
                self.server.handle_timeout(self.now);
            }
            1 => drop(self.client.send(self.now, script.bytes())),
            2 => {
                let session = self.server.sessions().next();
                if let Some(session) = session {
                    let _ = self.server.send(self.now, session, script.bytes());
                }
            }
            3 => {
                let mut datagram = script.bytes().to_vec();
                match victim {
                    Victim::Client => self.client.handle(self.now, &mut datagram),
                    Victim::Server => self.server.handle(self.now, self.address, &mut datagram),
                }
            }
            _ => self.address.set_port(4000 + u16::from(script.byte() % 4)),
        }
    }

    fn drain(&mut self) {
        while let Some(event) = self.client.poll() {
            if let ConnectionEvent::Data(data) = event {
                assert!(data.len() <= 1 << 14);
                self.arrived[0] += 1;
            }
        }
        while let Some(event) = self.server.poll() {
            if let EndpointEvent::Data { .. } = event {
                self.arrived[1] += 1;
            }
            answer(&mut self.server, self.now, event);
        }
    }
}

fn change(datagram: &mut [u8], script: &mut Script<'_>) {
    for _ in 0..=script.byte() % 3 {
        let at = usize::from(script.short()) % datagram.len().max(1);
        if let Some(byte) = datagram.get_mut(at) {
            *byte = script.byte();
        }
    }
}

fn server_endpoint() -> Endpoint {
    let mut config = EndpointConfig::new(&INSECURE);
    config.sessions_max = 8;
    config.handshakes_max = 8;
    Endpoint::server(config, Box::new(random)).expect("the configuration works")
}

/// Does what a gateway does with an event.
fn answer(server: &mut Endpoint, now: Instant, event: EndpointEvent) {
    match event {
        EndpointEvent::PskRequested { handshake, identity, .. } => {
            let entry = (identity == b"device").then(|| PskEntry { key: psk(), principal: 1 });
            server.provide_psk(now, handshake, entry);
        }
        EndpointEvent::Establishing { session, .. } => {
            assert!(server.state(session).is_some(), "an establishing session can be made durable");
            server.confirm_durable(now, session);
        }
        EndpointEvent::LeaseLow { session, upto } => server.extend_lease(session, upto),
        _ => {}
    }
}

/// A client that connected, and went to sleep: its saved bytes.
pub(crate) fn sleeping_client(config: Config) -> Vec<u8> {
    let mut now = Instant::from_millis(1);
    let mut client = Client::new(config, now, &mut random).expect("the configuration works");
    let mut server = server_endpoint();
    let address: SocketAddr = "192.0.2.7:4000".parse().expect("an address");
    for _ in 0..50 {
        while let Some(mut datagram) = client.poll_transmit(now) {
            server.handle(now, address, &mut datagram);
        }
        while let Some(event) = server.poll() {
            answer(&mut server, now, event);
        }
        while let Some(mut transmit) = server.poll_transmit() {
            client.handle(now, &mut transmit.data);
        }
        now = now.plus(1);
    }
    client.sleep().expect("the handshake is finished").to_vec()
}

/// Scripts: all goes well; each kind of trouble early and late; data both ways.
#[must_use]
pub fn seeds() -> Vec<Vec<u8>> {
    let quiet = vec![0; 40];
    let data = [&[0; 8][..], &[1, 3, b'a', b'b', b'c', 0, 2, 3, b'd', b'e', b'f', 0].repeat(3)].concat();
    let trouble = (1..=6).map(|kind| [&[0, 0, kind][..], &[1, 0, 40, 255, kind, 0, 0, 30, 7]].concat());
    [quiet, data].into_iter().chain(trouble).collect()
}

/// The plain handshake messages of an honest client, without their record headers.
#[must_use]
pub fn message_seeds() -> Vec<Vec<u8>> {
    let mut world = World::new();
    let first = world.client.poll_transmit(world.now).expect("a hello");
    let body = |datagram: &[u8]| datagram.get(13..).unwrap_or_default().to_vec();
    // With its handshake header, and without.
    vec![body(&first), body(&first).get(12..).unwrap_or_default().to_vec()]
}

/// What both sides store of one association.
#[must_use]
pub fn stored_seeds() -> Vec<Vec<u8>> {
    let mut world = World::new();
    world.run(&[], Victim::Client);
    let saved = world.client.save().expect("the handshake is finished");
    let session = world.server.sessions().next().expect("the handshake is finished");
    let state = world.server.state(session).expect("the session exists");
    vec![saved.to_bytes(), state.to_bytes()]
}

/// Datagrams taken up and down in turn, then changed, lost and repeated ones.
#[must_use]
pub fn association_seeds() -> Vec<Vec<u8>> {
    let honest = [0, 3].repeat(20);
    let odd = (6..12).map(|action| [&honest[..16], &[action, 30, 7, 0, 3]].concat());
    std::iter::once(honest.clone()).chain(odd).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A body that never gets beyond the first flight attacks nothing.
    #[test]
    fn the_seeds_reach_application_data_both_ways() {
        for victim in [Victim::Client, Victim::Server] {
            let mut arrived = [0, 0];
            for seed in seeds() {
                let mut world = World::new();
                world.run(&seed, victim);
                arrived = [arrived[0] + world.arrived[0], arrived[1] + world.arrived[1]];
            }
            assert!(arrived[0] > 0 && arrived[1] > 0, "{arrived:?}");
        }
    }
}
