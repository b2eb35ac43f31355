//! A gateway of real parts, and a network between it and one client, in virtual time.

use std::collections::HashMap;
use std::net::SocketAddr;

use bartizan_crypto::RUSTCRYPTO;
use bartizan_device::exchange::Endpoint as Coap;
use bartizan_device::{
    Client, ClientConfig, ClientEvent, Code, Config, ExchangeConfig, IncomingId, Instant, Observe, Psk, Random, Reply,
    Request, SecretBytes,
};
use bartizan_dtls::{CipherSuite, Endpoint, EndpointConfig, EndpointEvent, PskEntry, SessionId, Versions};
use bartizan_wire::event::RecordRejection;

/// Randomness by seed (SplitMix64).
pub fn rng(seed: u64) -> impl Random + Send + 'static {
    let mut source = Seeded(seed);
    move |out: &mut [u8]| out.fill_with(|| source.next() as u8)
}

struct Seeded(u64);

impl Seeded {
    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mixed = (self.0 ^ (self.0 >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        let mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        mixed ^ (mixed >> 31)
    }
}

pub const IDENTITY: &[u8] = b"meter-7";

pub fn psk() -> SecretBytes {
    SecretBytes::new(b"sixteen bytes or more").expect("short enough")
}

const KEY_PATH: &str = "/.well-known/bartizan/key";

/// Another one for each that was used.
fn next_key(known: &[Psk]) -> Psk {
    let last = known.first().map_or(0, |psk| psk.identity[0]);
    let identity = vec![last.wrapping_add(1); 24];
    Psk { key: SecretBytes::new(&[last; 32]).expect("short enough"), identity }
}

/// As the gateway writes it down (docs/attestation.md).
fn key_reply(psk: &Psk) -> Reply {
    let (identity, key) = (psk.identity.as_slice(), psk.key.expose());
    let map = [&b"\xa2\x68identity\x58\x18"[..], identity, b"\x63key\x58\x20", key].concat();
    Reply { code: Code::CHANGED, content_format: Some(60), payload: map }
}

pub fn config() -> Config {
    Config::new(ClientConfig::new(&RUSTCRYPTO, IDENTITY, psk()))
}

/// DTLS sessions with a CoAP endpoint each. Answers every request 2.04 and writes it down.
pub struct Gateway {
    dtls: Endpoint,
    coap: HashMap<SessionId, Coap>,
    /// Path and payload of every request taken.
    pub taken: Vec<(String, Vec<u8>)>,
    /// Records that were taken for repetitions: what a sequence number used twice shows as.
    pub replayed: usize,
    /// What the endpoints told beside requests.
    pub heard: Vec<ClientEvent>,
    /// Who observes a resource of the gateway.
    observer: Option<(SessionId, IncomingId)>,
    /// The device's keys: one, and while it changes it a second that no handshake has used yet.
    pub known: Vec<Psk>,
    pub pending: Option<Psk>,
    /// What a question for a key is answered, unless it is with one.
    pub refuse_keys: Option<Code>,
}

impl Gateway {
    fn new(seed: u64) -> Self {
        let config = EndpointConfig::new(&RUSTCRYPTO);
        Self {
            dtls: Endpoint::server(config, Box::new(rng(seed))).expect("the configuration works"),
            coap: HashMap::new(),
            taken: Vec::new(),
            replayed: 0,
            heard: Vec::new(),
            observer: None,
            known: vec![Psk { identity: IDENTITY.to_vec(), key: psk() }],
            pending: None,
            refuse_keys: None,
        }
    }

    /// A command to the only device.
    pub fn ask(&mut self, request: Request) {
        self.only().request(request).expect("there is room");
    }

    pub fn observe(&mut self, path: &str) {
        self.only().observe(path).expect("there is room");
    }

    /// Tells the only observer a new value.
    pub fn tell(&mut self, now: Instant, value: &[u8]) {
        let (session, observer) = self.observer.expect("somebody observes");
        let coap = self.coap.get_mut(&session).expect("its session stands");
        coap.notify(now, observer, &Reply::content(0, value), true).expect("it observes");
    }

    fn only(&mut self) -> &mut Coap {
        self.coap.values_mut().next().expect("a device is connected")
    }

    fn work(&mut self, now: Instant) {
        while let Some(event) = self.dtls.poll() {
            self.take(now, event);
        }
        for (session, coap) in &mut self.coap {
            coap.handle_timeout(now);
            while let Some(event) = coap.poll() {
                match event {
                    ClientEvent::Command(command) => {
                        if command.observe == Some(Observe::Register) {
                            self.observer = Some((*session, command.id));
                        }
                        let reply = match (command.path.as_str(), self.refuse_keys) {
                            (KEY_PATH, None) => key_reply(self.pending.get_or_insert_with(|| next_key(&self.known))),
                            (KEY_PATH, Some(code)) => Reply::new(code),
                            _ => Reply::new(Code::CHANGED),
                        };
                        coap.respond(now, command.id, &reply).expect("just asked");
                        self.taken.push((command.path, command.payload));
                    }
                    other => self.heard.push(other),
                }
            }
            while let Some(message) = coap.poll_transmit(now) {
                // A session that was closed meanwhile takes no more.
                let _ = self.dtls.send(now, *session, &message);
            }
        }
    }

    fn take(&mut self, now: Instant, event: EndpointEvent) {
        match event {
            EndpointEvent::PskRequested { handshake, identity, .. } => {
                let known = self.known.iter().map(|psk| (psk, 0));
                let keys = known.chain(self.pending.iter().map(|psk| (psk, 1)));
                let entry = keys.rev().find(|(psk, _)| psk.identity == identity);
                let entry = entry.map(|(psk, tag)| PskEntry { key: psk.key.clone(), principal: 7, tag });
                self.dtls.provide_psk(now, handshake, entry);
            }
            EndpointEvent::Establishing { session, tag, .. } => {
                if let Some(pending) = self.pending.take_if(|_| tag == 1) {
                    self.known = vec![pending];
                }
                self.dtls.confirm_durable(now, session);
            }
            EndpointEvent::Established { session, .. } => {
                let mut coap = Coap::new(ExchangeConfig::default(), &mut rng(3));
                coap.open();
                self.coap.insert(session, coap);
            }
            EndpointEvent::Data { session, data, .. } => {
                if let Some(coap) = self.coap.get_mut(&session) {
                    coap.handle(now, &data);
                }
            }
            EndpointEvent::Rejected { reason: RecordRejection::Replayed, .. } => self.replayed += 1,
            EndpointEvent::LeaseLow { session, upto } => self.dtls.extend_lease(session, upto),
            EndpointEvent::Closed { session, .. } => drop(self.coap.remove(&session)),
            _ => {}
        }
    }

    fn due(&self) -> Option<Instant> {
        let coap = self.coap.values().filter_map(Coap::poll_timeout);
        self.dtls.poll_timeout().into_iter().chain(coap).min()
    }
}

pub struct World {
    pub now: Instant,
    pub config: Config,
    pub gateway: Gateway,
    /// Where the device's datagrams come from.
    pub address: SocketAddr,
    pub loss_percent: u64,
    pub unplugged: bool,
    /// Datagrams up and down.
    pub count: [usize; 2],
    /// Sequence numbers of every protected record of the device, in the order of sending.
    pub protected_sequences: Vec<[u8; 6]>,
    source: Seeded,
    random: Box<dyn Random>,
}

/// Longer than every timer of both sides.
const HORIZON_MS: u64 = 900_000;

impl World {
    pub fn new() -> Self {
        Self {
            now: Instant::from_millis(1),
            config: config(),
            gateway: Gateway::new(1),
            address: "192.0.2.7:4000".parse().expect("an address"),
            loss_percent: 0,
            unplugged: false,
            count: [0, 0],
            protected_sequences: Vec::new(),
            source: Seeded(0),
            random: Box::new(rng(11)),
        }
    }

    /// One for each way to speak: DTLS 1.2, DTLS 1.3 with an ephemeral exchange and without.
    pub fn of_each_version() -> [Self; 3] {
        let mut worlds = [Self::new(), Self::new(), Self::new()];
        let [_, newer @ ..] = &mut worlds;
        for world in newer.iter_mut() {
            world.config.dtls.versions = Versions::DTLS_1_3;
            world.config.dtls.suites = vec![CipherSuite::Aes128Ccm8Sha256];
        }
        worlds[2].config.dtls.groups.clear();
        worlds
    }

    pub fn seed(&mut self, seed: u64) {
        self.source = Seeded(seed);
    }

    pub fn connect(&mut self) -> Client {
        Client::new(self.config.clone(), self.now, &mut *self.random).expect("the configuration works")
    }

    /// The gateway starts again from nothing; what it took stays in the books.
    pub fn forget_gateway(&mut self) {
        let taken = std::mem::take(&mut self.gateway.taken);
        self.gateway = Gateway::new(self.source.next());
        self.gateway.taken = taken;
    }

    /// Moves datagrams and time until the client wants nothing more (its own timers are all that ends a
    /// wait) or a command wants an answer, and returns what it told.
    pub fn run(&mut self, client: &mut Client) -> Vec<ClientEvent> {
        let mut events = Vec::new();
        let end = self.now.plus(HORIZON_MS);
        loop {
            let mut moved = self.carry_up(client);
            self.gateway.work(self.now);
            moved |= self.carry_down(client);
            events.extend(std::iter::from_fn(|| client.poll()));
            if events.iter().any(|event| matches!(event, ClientEvent::Command(_))) {
                return events;
            }
            if moved {
                continue;
            }
            let due = client.poll_timeout().into_iter().chain(self.gateway.due()).min();
            let Some(due) = due.filter(|due| *due <= end) else {
                return events;
            };
            let asks = client.poll_timeout().is_some() || !client.is_idle();
            let waits = !self.gateway.coap.values().all(Coap::is_idle);
            if !asks && !waits {
                return events;
            }
            self.now = self.now.max(due);
            if client.poll_timeout().is_some_and(|due| due <= self.now) {
                client.handle_timeout(self.now, &mut *self.random);
            }
            self.gateway.dtls.handle_timeout(self.now);
        }
    }

    fn carry_up(&mut self, client: &mut Client) -> bool {
        let mut moved = false;
        while let Some(mut datagram) = client.poll_transmit(self.now) {
            moved = true;
            self.count[0] += 1;
            self.note_sequence(&datagram);
            if !self.is_lost() {
                self.gateway.dtls.handle(self.now, self.address, &mut datagram);
            }
        }
        moved
    }

    fn carry_down(&mut self, client: &mut Client) -> bool {
        let mut moved = false;
        while let Some(mut transmit) = self.gateway.dtls.poll_transmit() {
            moved = true;
            self.count[1] += 1;
            if transmit.to == self.address && !self.is_lost() {
                client.handle(self.now, &mut transmit.data);
            }
        }
        moved
    }

    /// Records of DTLS 1.2 with a Connection ID show their epoch and sequence number (RFC 9146 section 4); those of DTLS
    /// 1.3 hide it.
    fn note_sequence(&mut self, datagram: &[u8]) {
        if let [25, _, _, 0, 1, sequence @ ..] = datagram
            && let Some(sequence) = sequence.first_chunk()
        {
            self.protected_sequences.push(*sequence);
        }
    }

    fn is_lost(&mut self) -> bool {
        self.unplugged || self.source.next() % 100 < self.loss_percent
    }
}
