//! Handshakes and idle sessions of the server's half of DTLS, without sockets: clients and server exchange
//! datagrams in memory, and only the server's CPU time counts.

use std::net::{Ipv4Addr, SocketAddr};
use std::time::Duration;

use anyhow::{Context, ensure};
use bartizan_crypto::{AWS_LC, RUSTCRYPTO};
use bartizan_dtls::{
    CipherSuite, ClientConfig, Connection, ConnectionEvent, Endpoint, EndpointConfig, EndpointEvent, Instant, PskEntry,
    SecretBytes,
};

use super::measure_apart;
use crate::cpu;
use crate::report::Figure;

const IDLE_SESSIONS: u32 = 100_000;
const PSK: [u8; 16] = [0x42; 16];
/// Clients that shake hands side by side: enough that reading the CPU clock costs nothing.
const BATCH: u32 = 500;

pub fn run() -> anyhow::Result<Vec<Figure>> {
    let psk = CipherSuite::PskAes128Ccm8;
    let ecdhe = CipherSuite::EcdhePskChacha20Poly1305Sha256;
    Ok(vec![
        handshakes("dtls.psk_handshakes_per_s_core", psk, 10_000)?,
        handshakes("dtls.ecdhe_psk_handshakes_per_s_core", ecdhe, 4_000)?,
        Figure::new(
            "dtls.idle_session_rss_bytes",
            measure_apart("job:idle-sessions")?,
            format!("resident memory of a process that holds {IDLE_SESSIONS} sessions, over their number"),
        ),
    ])
}

fn handshakes(name: &'static str, suite: CipherSuite, count: u32) -> anyhow::Result<Figure> {
    let mut server = Server::new(count + BATCH)?;
    for first in (0..count).step_by(BATCH as usize) {
        server.admit(first, BATCH.min(count - first), suite)?;
    }
    let rate = cpu::per_second(server.established, server.spent);
    Ok(Figure::new(name, rate, format!("{} with cookie, {count} clients, server's side only", suite.name())))
}

/// Makes sessions, and says what one costs.
pub fn hold_idle_sessions(_: &[String]) -> anyhow::Result<()> {
    let mut server = Server::new(IDLE_SESSIONS)?;
    for first in (0..IDLE_SESSIONS).step_by(BATCH as usize) {
        server.admit(first, BATCH, CipherSuite::PskAes128Ccm8)?;
    }
    ensure!(server.endpoint.sessions().count() == IDLE_SESSIONS as usize, "not all sessions are held");
    println!("{}", cpu::resident_bytes()? as f64 / f64::from(IDLE_SESSIONS));
    Ok(())
}

/// The server's half, with the CPU time it used.
struct Server {
    endpoint: Endpoint,
    spent: Duration,
    established: u64,
}

/// A client's half, at its own address.
struct Client {
    connection: Connection,
    address: SocketAddr,
    connected: bool,
}

impl Server {
    fn new(sessions_max: u32) -> anyhow::Result<Self> {
        let config = EndpointConfig { sessions_max, handshakes_max: 2 * BATCH, ..EndpointConfig::new(&AWS_LC) };
        let endpoint = Endpoint::server(config, Box::new(random)).context("endpoint")?;
        Ok(Self { endpoint, spent: Duration::ZERO, established: 0 })
    }

    /// Brings `count` clients through their handshakes; the clients are gone afterwards, their sessions stay.
    fn admit(&mut self, first: u32, count: u32, suite: CipherSuite) -> anyhow::Result<()> {
        let mut clients =
            (first..first + count).map(|number| Client::new(number, suite)).collect::<Result<Vec<_>, _>>()?;
        for _ in 0..8 {
            let mut datagrams: Vec<(SocketAddr, Vec<u8>)> = clients.iter_mut().flat_map(Client::datagrams).collect();
            if datagrams.is_empty() {
                break;
            }
            let before = cpu::of_thread();
            let answers = self.serve(&mut datagrams);
            self.spent += cpu::of_thread() - before;
            for (to, mut data) in answers {
                clients[index(to, first)].connection.handle(now(), &mut data);
            }
        }
        let connected = clients.iter_mut().filter_map(|client| client.is_connected().then_some(())).count();
        ensure!(connected == count as usize, "only {connected} of {count} clients connected");
        Ok(())
    }

    /// What a server does with datagrams, with keys at hand and a journal that costs nothing.
    fn serve(&mut self, datagrams: &mut [(SocketAddr, Vec<u8>)]) -> Vec<(SocketAddr, Vec<u8>)> {
        let mut answers = Vec::with_capacity(datagrams.len());
        for (from, data) in datagrams {
            self.endpoint.handle(now(), *from, data);
            while let Some(event) = self.endpoint.poll() {
                self.answer(event);
            }
            while let Some(transmit) = self.endpoint.poll_transmit() {
                answers.push((transmit.to, transmit.data));
            }
        }
        answers
    }

    fn answer(&mut self, event: EndpointEvent) {
        match event {
            EndpointEvent::PskRequested { handshake, identity, .. } => {
                let number = identity.try_into().map_or(0, u32::from_be_bytes);
                let entry = PskEntry { key: psk(), principal: u64::from(number) };
                self.endpoint.provide_psk(now(), handshake, Some(entry));
            }
            EndpointEvent::Establishing { session, .. } => self.endpoint.confirm_durable(now(), session),
            EndpointEvent::Established { .. } => self.established += 1,
            _ => {}
        }
    }
}

impl Client {
    fn new(number: u32, suite: CipherSuite) -> anyhow::Result<Self> {
        let psk = psk();
        let config = ClientConfig { suites: vec![suite], ..ClientConfig::new(&RUSTCRYPTO, &number.to_be_bytes(), psk) };
        let connection = Connection::connect(config, now(), &mut random).context("client")?;
        Ok(Self { connection, address: address(number), connected: false })
    }

    fn datagrams(&mut self) -> Vec<(SocketAddr, Vec<u8>)> {
        std::iter::from_fn(|| self.connection.poll_transmit(now())).map(|data| (self.address, data)).collect()
    }

    fn is_connected(&mut self) -> bool {
        while let Some(event) = self.connection.poll() {
            self.connected |= matches!(event, ConnectionEvent::Connected { .. });
        }
        self.connected
    }
}

fn psk() -> SecretBytes {
    SecretBytes::new(&PSK).expect("invariant: 16 bytes are a key")
}

/// Each client has an address of its own.
fn address(number: u32) -> SocketAddr {
    (Ipv4Addr::from(0x0a00_0000 + number), 5684).into()
}

fn index(address: SocketAddr, first: u32) -> usize {
    match address {
        SocketAddr::V4(v4) => (v4.ip().to_bits() - 0x0a00_0000 - first) as usize,
        SocketAddr::V6(_) => 0,
    }
}

/// Nothing here takes long enough for a timer.
fn now() -> Instant {
    Instant::from_millis(1_000)
}

fn random(out: &mut [u8]) {
    getrandom::fill(out).expect("invariant: the system has randomness");
}
