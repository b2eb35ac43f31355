//! Both sides of DTLS over a network in the attacker's hands. The provider is the insecure one, so that
//! mutated records get past the ciphers and reach what is behind them.

use std::net::SocketAddr;

use bartizan_crypto::{INSECURE, SecretBytes};
use bartizan_device::{Client, Config};
use bartizan_dtls::{
    CipherSuite, ClientConfig, Connection, ConnectionEvent, Endpoint, EndpointConfig, EndpointEvent, Instant, PskEntry,
    Version, Versions,
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

/// Attacks a client of DTLS 1.2.
pub fn client(bytes: &[u8]) {
    World::new(Versions::DTLS_1_2).run(bytes, Victim::Client);
}

/// Attacks a server of a DTLS 1.2 client.
pub fn server(bytes: &[u8]) {
    World::new(Versions::DTLS_1_2).run(bytes, Victim::Server);
}

/// Attacks a client of DTLS 1.3.
pub fn client_13(bytes: &[u8]) {
    World::new(Versions::DTLS_1_3).run(bytes, Victim::Client);
}

/// Attacks a server of a DTLS 1.3 client.
pub fn server_13(bytes: &[u8]) {
    World::new(Versions::DTLS_1_3).run(bytes, Victim::Server);
}

struct World {
    now: Instant,
    client: Connection,
    server: Endpoint,
    address: SocketAddr,
    /// Application data that arrived, at the client and at the server.
    arrived: [usize; 2],
    /// Every datagram as it was sent, and to whom.
    tape: Vec<(Victim, Vec<u8>)>,
}

/// Steps of a script beyond which nothing new happens.
const STEPS_MAX: usize = 200;

impl World {
    fn new(versions: Versions) -> Self {
        let now = Instant::from_millis(1);
        let mut config = ClientConfig { versions, ..ClientConfig::new(&INSECURE, b"device", psk()) };
        config.suites.extend(CipherSuite::ALL.into_iter().rev().filter(|suite| suite.version() == Version::Dtls13));
        Self {
            now,
            client: Connection::connect(config, now, &mut random).expect("the configuration works"),
            server: server_endpoint(),
            address: "192.0.2.7:4000".parse().expect("an address"),
            arrived: [0, 0],
            tape: Vec::new(),
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
        self.tape.push((to, datagram.clone()));
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
        let session = self.server.sessions().next();
        match script.byte() % 9 {
            0 => {
                self.now = self.now.plus(u64::from(script.short()));
                self.client.handle_timeout(self.now);
                self.server.handle_timeout(self.now);
            }
            1 => drop(self.client.send(self.now, script.bytes())),
            2 => {
                let data = script.bytes();
                let _ = session.map(|session| self.server.send(self.now, session, data));
            }
            3 => {
                let mut datagram = script.bytes().to_vec();
                match victim {
                    Victim::Client => self.client.handle(self.now, &mut datagram),
                    Victim::Server => self.server.handle(self.now, self.address, &mut datagram),
                }
            }
            // DTLS 1.2 has none of these, and says so.
            4 => drop(self.client.update_keys(self.now)),
            5 => drop(session.map(|session| self.server.update_keys(self.now, session))),
            6 => drop(self.client.request_connection_ids(self.now, 1 + script.byte() % 4)),
            7 => drop(session.map(|session| self.server.renew_connection_id(self.now, session))),
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
            let entry = (identity == b"device").then(|| PskEntry { key: psk(), principal: 1, tag: 0 });
            server.provide_psk(now, handshake, entry);
        }
        EndpointEvent::Establishing { session, .. } => {
            assert!(server.state(session).is_some(), "an establishing session can be made durable");
            server.confirm_durable(now, session);
        }
        EndpointEvent::StateChanged { session, .. } => server.confirm_durable(now, session),
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

/// Scripts: all goes well; data both ways; keys and Connection IDs change; each kind of trouble early and late.
#[must_use]
pub fn seeds() -> Vec<Vec<u8>> {
    let trouble = (1..=6).map(|kind| [&[0, 0, kind][..], &[1, 0, 40, 255, kind, 0, 0, 30, 7]].concat());
    honest_scripts().chain(trouble).collect()
}

/// How many bytes a handshake takes depends on whose datagrams are attacked, so what comes after it begins late and
/// later; and either what goes up takes a byte for its delivery, or what goes down.
fn honest_scripts() -> impl Iterator<Item = Vec<u8>> {
    let scripts = [
        [1, 1, b'a', 2, 1, b'b', 0].repeat(3),
        [1, 1, b'a', 0, 2, 1, b'b'].repeat(3),
        [4, 0, 5, 0, 6, 1, 0, 7, 0, 1, 1, b'a', 2, 1, b'b', 0].repeat(3),
        [4, 0, 5, 0, 6, 1, 0, 7, 0, 1, 1, b'a', 0, 2, 1, b'b'].repeat(3),
    ];
    let after = move |quiet: usize| scripts.clone().map(|script| [&vec![0; quiet][..], &script].concat());
    std::iter::once(vec![0; 40]).chain((4..12).flat_map(after))
}

/// The datagrams of an honest association, and to whom they went.
fn honest(versions: Versions) -> Vec<(Victim, Vec<u8>)> {
    let mut world = World::new(versions);
    for script in honest_scripts() {
        world.run(&script, Victim::Client);
    }
    world.tape
}

/// The plain handshake messages of an honest client, without their record headers.
#[must_use]
pub fn message_seeds() -> Vec<Vec<u8>> {
    let datagrams = honest(Versions::DTLS_1_2);
    let hello = datagrams.first().and_then(|(_, datagram)| datagram.get(13..)).unwrap_or_default();
    // With its handshake header, and without.
    vec![hello.to_vec(), hello.get(12..).unwrap_or_default().to_vec()]
}

/// The handshake messages of both sides, with their headers and without. The length of what is in front depends on what
/// stands there; where the guess is wrong, the seed is a mutation.
#[must_use]
pub fn message_13_seeds() -> Vec<Vec<u8>> {
    const HEADER_BYTES: usize = 5;
    let mut seeds = Vec::new();
    for (to, datagram) in honest(Versions::DTLS_1_3) {
        let front = match (datagram.first().is_some_and(|first| first & 0xE0 == 0x20), to) {
            (false, _) => 13,
            (true, Victim::Client) => HEADER_BYTES,
            (true, Victim::Server) => HEADER_BYTES + CID_BYTES,
        };
        let message = datagram.get(front..).unwrap_or_default();
        seeds.extend([message.to_vec(), message.get(12..).unwrap_or_default().to_vec()]);
    }
    seeds
}

/// What a server makes, where routes are in the clear.
const CID_BYTES: usize = 8;

/// Datagrams behind the length of their Connection IDs.
#[must_use]
pub fn record_13_seeds() -> Vec<Vec<u8>> {
    let with_length = |(to, datagram): (Victim, Vec<u8>)| {
        let cid_len = if to == Victim::Server { CID_BYTES as u8 } else { 0 };
        [&[cid_len], &datagram[..]].concat()
    };
    honest(Versions::DTLS_1_3).into_iter().map(with_length).collect()
}

/// What both sides store of one association, in either version.
#[must_use]
pub fn stored_seeds() -> Vec<Vec<u8>> {
    let stored = |versions| {
        let mut world = World::new(versions);
        world.run(&[], Victim::Client);
        let saved = world.client.save().expect("the handshake is finished");
        let session = world.server.sessions().next().expect("the handshake is finished");
        let state = world.server.state(session).expect("the session exists");
        [saved.to_bytes(), state.to_bytes()]
    };
    [Versions::DTLS_1_2, Versions::DTLS_1_3].into_iter().flat_map(stored).collect()
}

/// What the client may be, then datagrams taken up and down in turn and questions answered; then changed, lost and
/// repeated ones.
#[must_use]
pub fn association_seeds() -> Vec<Vec<u8>> {
    let honest = [0, 10, 1, 3].repeat(10);
    let with_variant = |variant: u8| [&[variant], &honest[..]].concat();
    let odd = (6..12).map(|action| [&[0], &honest[..20], &[action, 30, 7, 0, 3]].concat());
    (0..6).map(with_variant).chain(odd).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A body that never gets beyond the first flight attacks nothing.
    #[test]
    fn the_seeds_reach_application_data_both_ways() {
        for versions in [Versions::DTLS_1_2, Versions::DTLS_1_3] {
            for victim in [Victim::Client, Victim::Server] {
                let mut arrived = [0, 0];
                for seed in seeds() {
                    let mut world = World::new(versions);
                    world.run(&seed, victim);
                    arrived = [arrived[0] + world.arrived[0], arrived[1] + world.arrived[1]];
                }
                assert!(arrived[0] > 0 && arrived[1] > 0, "{versions:?}: {arrived:?}");
            }
        }
    }

    /// Both sides change keys: epochs beyond that of the first application data.
    #[test]
    fn the_seeds_reach_other_epochs_of_dtls_1_3() {
        let low_bits = |to| {
            let protected = move |(whom, datagram): (Victim, Vec<u8>)| (whom == to).then(|| datagram[0]);
            let first = honest(Versions::DTLS_1_3).into_iter().filter_map(protected);
            first.filter(|first| first & 0xE0 == 0x20).map(|first| first & 3).collect::<Vec<_>>()
        };
        for to in [Victim::Client, Victim::Server] {
            assert!(low_bits(to).contains(&0), "epoch 4");
        }
    }
}
