//! A driver that owns time and the network: one endpoint, many clients, latency, loss, reordering, duplication,
//! NAT rebinding and restarts, all from one seed.
#![allow(dead_code, reason = "each test file uses another part")]
#![allow(clippy::unwrap_used, reason = "a test driver")]

pub mod journal;
pub mod ledger;
pub mod people;
pub mod records;
pub mod watched;

use std::cmp::Reverse;
use std::collections::{BTreeMap, BTreeSet, BinaryHeap, VecDeque};
use std::net::SocketAddr;

use bartizan_crypto::{AWS_LC, Provider, RUSTCRYPTO, Random, SecretBytes};
use bartizan_dtls::*;
use bartizan_wire::event::{HandshakeFailure, RecordRejection};

use journal::Journal;
use ledger::Ledger;

/// SplitMix64: enough for a simulation, and every failure is a seed.
#[derive(Clone)]
pub struct Rng(pub u64);

impl Rng {
    pub fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9E37_79B9_7F4A_7C15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
        z ^ (z >> 31)
    }

    pub fn below(&mut self, end: u64) -> u64 {
        self.next() % end
    }

    pub fn chance(&mut self, percent: u64) -> bool {
        self.below(100) < percent
    }
}

impl Random for Rng {
    fn fill(&mut self, out: &mut [u8]) {
        out.iter_mut().for_each(|byte| *byte = self.next() as u8);
    }
}

/// How the network treats a datagram.
#[derive(Clone, Copy)]
pub struct Weather {
    pub loss_percent: u64,
    pub duplicate_percent: u64,
    pub latency_ms: (u64, u64),
}

pub const CALM: Weather = Weather { loss_percent: 0, duplicate_percent: 0, latency_ms: (10, 10) };

pub const ROUGH: Weather = Weather { loss_percent: 20, duplicate_percent: 10, latency_ms: (10, 400) };

/// What is on its way.
#[derive(PartialEq, Eq, PartialOrd, Ord)]
struct Flying {
    at: u64,
    number: u64,
    to_server: bool,
    client: SocketAddr,
    data: Vec<u8>,
}

pub struct Client {
    pub connection: Connection,
    pub address: SocketAddr,
    pub events: Vec<ConnectionEvent>,
    /// Nothing reaches a device that sleeps.
    pub asleep: bool,
}

impl Client {
    pub fn data(&self) -> Vec<Vec<u8>> {
        let data = |event: &ConnectionEvent| match event {
            ConnectionEvent::Data(data) => Some(data.clone()),
            _ => None,
        };
        self.events.iter().filter_map(data).collect()
    }

    pub fn closed(&self) -> Option<CloseReason> {
        self.events.iter().find_map(|event| match event {
            ConnectionEvent::Closed(reason) => Some(*reason),
            _ => None,
        })
    }
}

/// What a server keeps on disk.
#[derive(Default)]
pub struct Disk {
    pub states: BTreeMap<SessionId, Vec<u8>>,
    pub windows: BTreeMap<SessionId, ReplayWindow>,
    pub leases: BTreeMap<SessionId, u64>,
    pub remotes: BTreeMap<SessionId, SocketAddr>,
}

/// See [`World::meddle`].
pub type Meddle = Box<dyn FnMut(usize, &mut Vec<u8>)>;

pub struct World {
    pub now: u64,
    pub rng: Rng,
    pub weather: Weather,
    pub config: EndpointConfig,
    pub server: Endpoint,
    pub clients: Vec<Client>,
    pub keys: BTreeMap<Vec<u8>, (SecretBytes, u64)>,
    pub server_events: Vec<EndpointEvent>,
    pub disk: Disk,
    /// `None`: everything is durable at once.
    pub journal: Option<Journal>,
    /// Who watches what goes to whom.
    pub ledger: Option<Ledger>,
    /// Whether the server sends application data back.
    pub echo: bool,
    /// Whether the server makes associations durable by itself.
    pub confirm: bool,
    /// Somebody on the path, who sees every datagram with its number.
    pub meddle: Option<Meddle>,
    /// Principals whose sessions may not be resumed.
    pub gone: BTreeSet<u64>,
    /// Every datagram that was sent: to the server or not, the client's address, the bytes.
    pub tape: Vec<(bool, SocketAddr, Vec<u8>)>,
    flying: BinaryHeap<Reverse<Flying>>,
    number: u64,
    port: u16,
}

pub fn key(byte: u8) -> SecretBytes {
    SecretBytes::new(&[byte; 16]).unwrap()
}

pub fn address(port: u16) -> SocketAddr {
    SocketAddr::from(([127, 0, 0, 1], port))
}

pub fn server_config() -> EndpointConfig {
    EndpointConfig { sessions_max: 64, handshakes_max: 16, ..EndpointConfig::new(&AWS_LC) }
}

pub fn client_config(identity: &str, byte: u8) -> ClientConfig {
    ClientConfig::new(&RUSTCRYPTO, identity.as_bytes(), key(byte))
}

/// The same with one suite only.
pub fn with_suite(suite: CipherSuite) -> ClientConfig {
    ClientConfig { suites: vec![suite], ..client_config("meter-1", 1) }
}

pub fn with_provider(provider: &'static Provider) -> ClientConfig {
    ClientConfig { provider, ..client_config("meter-1", 1) }
}

impl World {
    pub fn new(seed: u64, weather: Weather, config: EndpointConfig) -> Self {
        let server = Endpoint::server(config.clone(), Box::new(Rng(seed ^ 1))).unwrap();
        let keys = (1..=9_u8).map(|n| (format!("meter-{n}").into_bytes(), (key(n), u64::from(n))));
        Self {
            now: 1_000,
            rng: Rng(seed),
            weather,
            config,
            server,
            clients: Vec::new(),
            keys: keys.collect(),
            server_events: Vec::new(),
            disk: Disk::default(),
            journal: None,
            ledger: None,
            echo: true,
            confirm: true,
            meddle: None,
            gone: BTreeSet::new(),
            tape: Vec::new(),
            flying: BinaryHeap::new(),
            number: 0,
            port: 10_000,
        }
    }

    pub fn calm(config: EndpointConfig) -> Self {
        Self::new(7, CALM, config)
    }

    pub fn instant(&self) -> Instant {
        Instant::from_millis(self.now)
    }

    /// Starts a handshake; returns the client's index.
    pub fn connect(&mut self, config: ClientConfig) -> usize {
        let index = self.clients.len();
        self.port += 1;
        let address = address(self.port);
        let now = self.instant();
        let connection = Connection::connect(config, now, &mut self.rng).unwrap();
        self.clients.push(Client { connection, address, events: Vec::new(), asleep: false });
        self.pump();
        index
    }

    /// A client that is connected already.
    pub fn connected(&mut self, config: ClientConfig) -> usize {
        let index = self.connect(config);
        self.run(200_000);
        let client = &self.clients[index];
        assert!(client.connection.is_connected(), "{:?}", client.events);
        index
    }

    pub fn send(&mut self, client: usize, data: &[u8]) {
        let now = self.instant();
        self.clients[client].connection.send(now, data).unwrap();
        self.pump();
    }

    /// Sends and lets everything settle.
    pub fn exchange(&mut self, client: usize, data: &[u8]) {
        self.send(client, data);
        self.run(10_000);
    }

    /// The client's datagrams come from another port from now on.
    pub fn rebind(&mut self, client: usize, port: u16) {
        self.clients[client].address = address(port);
    }

    /// Puts a datagram into the network as if `from` had sent it.
    pub fn inject(&mut self, from: SocketAddr, data: &[u8]) {
        self.arrive(from, &mut data.to_vec());
        self.pump();
    }

    fn arrive(&mut self, from: SocketAddr, data: &mut [u8]) {
        if let Some(ledger) = &mut self.ledger {
            ledger.came(from, data);
        }
        let now = self.instant();
        self.server.handle(now, from, data);
    }

    pub fn inject_to_client(&mut self, client: usize, data: &[u8]) {
        let now = self.instant();
        self.clients[client].connection.handle(now, &mut data.to_vec());
        self.pump();
    }

    /// Runs until nothing more would happen, or for `ms`.
    pub fn run(&mut self, ms: u64) {
        let end = self.now + ms;
        while let Some(at) = self.next_moment().filter(|at| *at <= end) {
            self.now = self.now.max(at);
            self.deliver();
            self.time_out();
            self.commit();
            self.pump();
        }
    }

    /// As [`Self::run`], then the clock stands at the end.
    pub fn pass(&mut self, ms: u64) {
        let end = self.now + ms;
        self.run(ms);
        self.now = end;
    }

    fn next_moment(&self) -> Option<u64> {
        let flying = self.flying.peek().map(|Reverse(flying)| flying.at);
        let server = self.server.poll_timeout().map(Instant::as_millis);
        let clients = self.clients.iter().filter(|client| !client.asleep);
        let clients = clients.filter_map(|client| client.connection.poll_timeout());
        let clients = clients.map(Instant::as_millis).min();
        let journal = self.journal.as_ref().and_then(Journal::due);
        [flying, server, clients, journal].into_iter().flatten().min()
    }

    fn deliver(&mut self) {
        while self.flying.peek().is_some_and(|Reverse(flying)| flying.at <= self.now) {
            let Reverse(mut flying) = self.flying.pop().unwrap();
            let now = self.instant();
            let receives = |client: &&mut Client| client.address == flying.client && !client.asleep;
            if flying.to_server {
                self.arrive(flying.client, &mut flying.data);
            } else if let Some(client) = self.clients.iter_mut().find(receives) {
                client.connection.handle(now, &mut flying.data);
            }
            self.pump();
        }
    }

    fn time_out(&mut self) {
        let now = self.instant();
        self.server.handle_timeout(now);
        for client in self.clients.iter_mut().filter(|client| !client.asleep) {
            if client.connection.poll_timeout().is_some_and(|at| at <= now) {
                client.connection.handle_timeout(now);
            }
        }
    }

    /// Answers events and launches datagrams until both sides are quiet.
    pub fn pump(&mut self) {
        let now = self.instant();
        while let Some(event) = self.server.poll() {
            self.answer(&event);
            if let (Some(ledger), EndpointEvent::PathChecked { address, outcome: PathOutcome::Validated, .. }) =
                (&mut self.ledger, &event)
            {
                ledger.trust(*address);
            }
            self.server_events.push(event);
        }
        while let Some(transmit) = self.server.poll_transmit() {
            assert!(transmit.data.len() <= self.config.mtu);
            if let Some(ledger) = &mut self.ledger {
                ledger.went(transmit.to, &transmit.data);
            }
            self.launch(false, transmit.to, transmit.data);
        }
        for index in 0..self.clients.len() {
            while let Some(event) = self.clients[index].connection.poll() {
                self.clients[index].events.push(event);
            }
            while let Some(data) = self.clients[index].connection.poll_transmit(now) {
                self.launch(true, self.clients[index].address, data);
            }
        }
        self.flush();
    }

    fn answer(&mut self, event: &EndpointEvent) {
        let now = self.instant();
        match event {
            EndpointEvent::PskRequested { handshake, identity, .. } => {
                let entry = self.keys.get(identity).map(|(key, principal)| PskEntry {
                    key: key.clone(),
                    principal: *principal,
                    tag: u32::try_from(*principal).unwrap() + 1_000,
                });
                self.server.provide_psk(now, *handshake, entry);
            }
            EndpointEvent::ResumptionRequested { handshake, principal, .. } => {
                let allowed = !self.gone.contains(principal);
                self.server.provide_resumption(now, *handshake, allowed);
            }
            _ if self.journal.is_some() => self.record(event),
            EndpointEvent::Establishing { session, .. } => {
                let state = self.server.state(*session).unwrap();
                self.disk.states.insert(*session, state.to_bytes());
                let lease = self.server.lease(*session).unwrap();
                self.disk.leases.insert(*session, lease);
                let window = self.server.window(*session).unwrap();
                self.disk.windows.insert(*session, window);
                let remote = self.server.session(*session).unwrap().remote;
                self.disk.remotes.insert(*session, remote);
                if self.confirm {
                    self.server.confirm_durable(now, *session);
                }
            }
            EndpointEvent::StateChanged { session, .. } if self.confirm => {
                let state = self.server.state(*session).unwrap();
                self.disk.states.insert(*session, state.to_bytes());
                self.server.confirm_durable(now, *session);
            }
            EndpointEvent::LeaseLow { session, upto } => {
                self.disk.leases.insert(*session, *upto);
                self.server.extend_lease(*session, *upto);
            }
            EndpointEvent::Data { session, data, .. } => {
                let window = self.server.window(*session).unwrap();
                self.disk.windows.insert(*session, window);
                if self.echo {
                    self.server.send(now, *session, data).unwrap();
                }
            }
            EndpointEvent::Rebound { session, to, .. } => {
                self.disk.remotes.insert(*session, *to);
            }
            EndpointEvent::Closed { session, .. } => {
                self.disk.states.remove(session);
            }
            _ => {}
        }
    }

    fn launch(&mut self, to_server: bool, client: SocketAddr, mut data: Vec<u8>) {
        self.tape.push((to_server, client, data.clone()));
        if let Some(meddle) = &mut self.meddle {
            meddle(self.tape.len() - 1, &mut data);
        }
        if self.rng.chance(self.weather.loss_percent) {
            return;
        }
        let copies = 1 + u64::from(self.rng.chance(self.weather.duplicate_percent));
        for _ in 0..copies {
            let (least, most) = self.weather.latency_ms;
            let at = self.now + least + self.rng.below(most - least + 1);
            self.number += 1;
            self.flying.push(Reverse(Flying { at, number: self.number, to_server, client, data: data.clone() }));
        }
    }

    /// The server dies and comes back with what is on disk.
    pub fn restart(&mut self) {
        self.server = Endpoint::server(self.config.clone(), Box::new(Rng(self.rng.next()))).unwrap();
        for (session, bytes) in &self.disk.states {
            let state = SessionState::from_bytes(bytes).unwrap();
            let remote = self.disk.remotes.get(session).copied().unwrap_or(address(1));
            let lease = self.disk.leases[session];
            let window = self.disk.windows[session];
            let restored = self.server.restore(state, window, lease, remote).unwrap();
            assert_eq!(restored, *session);
            let upto = lease + self.config.lease;
            self.disk.leases.insert(*session, upto);
        }
        let leases: VecDeque<_> = self.disk.leases.clone().into_iter().collect();
        for (session, upto) in leases {
            self.server.extend_lease(session, upto);
        }
    }

    pub fn received(&self) -> Vec<Vec<u8>> {
        let data = |event: &EndpointEvent| match event {
            EndpointEvent::Data { data, .. } => Some(data.clone()),
            _ => None,
        };
        self.server_events.iter().filter_map(data).collect()
    }

    /// Whether the server waits for nothing.
    pub fn poll_server_is_idle(&self) -> bool {
        self.server.poll_timeout().is_none()
    }

    pub fn count(&self, matches: impl Fn(&EndpointEvent) -> bool) -> usize {
        self.server_events.iter().filter(|event| matches(event)).count()
    }

    pub fn session(&self) -> SessionId {
        self.server.sessions().next().expect("a session")
    }
}

/// Why the server has dropped records.
pub fn rejections(world: &World) -> Vec<RecordRejection> {
    let reason = |event: &EndpointEvent| match event {
        EndpointEvent::Rejected { reason, .. } => Some(*reason),
        _ => None,
    };
    world.server_events.iter().filter_map(reason).collect()
}

/// Why handshakes with the server have come to nothing.
pub fn failures(world: &World) -> Vec<HandshakeFailure> {
    let reason = |event: &EndpointEvent| match event {
        EndpointEvent::HandshakeFailed { reason, .. } => Some(*reason),
        _ => None,
    };
    world.server_events.iter().filter_map(reason).collect()
}

/// Every sequence of up to `length` out of `alphabet`.
pub fn sequences<T: Copy>(alphabet: &[T], length: usize) -> Vec<Vec<T>> {
    let mut all = vec![Vec::new()];
    let mut from = 0;
    for _ in 0..length {
        let to = all.len();
        for shorter in from..to {
            let longer = alphabet.iter().map(|one| [&all[shorter][..], &[*one]].concat());
            all.extend(longer.collect::<Vec<_>>());
        }
        from = to;
    }
    all
}

/// Direction, epoch, sequence number and Connection ID of every protected record in a datagram. Upwards the
/// Connection ID names the key; downwards only a world with one association can be checked.
pub fn nonces_of((up, _, data): &(bool, SocketAddr, Vec<u8>)) -> Vec<(bool, Vec<u8>)> {
    let mut found = Vec::new();
    let mut rest = &data[..];
    while rest.len() > 13 {
        let cid = match (rest[0], up) {
            (25, true) => 8,
            (25, false) => 3,
            _ => 0,
        };
        let length = usize::from(u16::from_be_bytes([rest[11 + cid], rest[12 + cid]]));
        if rest[3..5] == [0, 1] {
            found.push((*up, rest[3..11 + cid].to_vec()));
        }
        rest = &rest[13 + cid + length..];
    }
    found
}
