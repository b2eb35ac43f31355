//! A server and its clients in memory.

use std::net::{Ipv4Addr, SocketAddr};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use anyhow::{Context, ensure};
use bartizan_crypto::{AWS_LC, RUSTCRYPTO, Secret};
use bartizan_dtls::{
    AlertDescription, CertificateType, CipherSuite, ClientConfig, Connection, ConnectionEvent, Credential, Endpoint,
    EndpointConfig, EndpointEvent, Group, Instant, PeerVerifier, PskEntry, PublicKey, RouteConfig, Routes, SecretBytes,
    SignatureScheme, SoftwareKey, VerifiedPeer, Versions,
};

use crate::cpu;

const PSK: [u8; 16] = [0x42; 16];
/// Clients that shake hands side by side: enough that reading the CPU clock costs nothing.
pub const BATCH: u32 = 500;

/// A kind of handshake. All have a cookie and a Connection ID.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    Psk,
    EcdhePsk,
    /// Raw public keys on P-256, both ways.
    EcdsaMutual,
    Psk13,
    /// A pre-shared key, and X25519 with ML-KEM-768.
    Hybrid13,
}

impl Kind {
    pub const fn suite(self) -> CipherSuite {
        match self {
            Self::Psk => CipherSuite::PskAes128Ccm8,
            Self::EcdhePsk => CipherSuite::EcdhePskChacha20Poly1305Sha256,
            Self::EcdsaMutual => CipherSuite::EcdheEcdsaAes128Ccm8,
            Self::Psk13 => CipherSuite::Aes128Ccm8Sha256,
            Self::Hybrid13 => CipherSuite::Aes128GcmSha256,
        }
    }

    fn client(self, number: u32) -> anyhow::Result<ClientConfig> {
        let suites = vec![self.suite()];
        let identity = number.to_be_bytes();
        let config = ClientConfig { suites, ..ClientConfig::new(&RUSTCRYPTO, &identity, psk()) };
        Ok(match self {
            Self::Psk | Self::EcdhePsk => config,
            Self::EcdsaMutual => ClientConfig {
                psk: SecretBytes::EMPTY,
                identity: Vec::new(),
                credential: Some(credential(7)?),
                verifier: Some(Arc::new(Anybody::default())),
                ..config
            },
            Self::Psk13 => ClientConfig { versions: Versions::DTLS_1_3, groups: Vec::new(), ..config },
            Self::Hybrid13 => {
                ClientConfig { versions: Versions::DTLS_1_3, groups: vec![Group::X25519MlKem768], ..config }
            }
        })
    }
}

/// A raw public key of ours.
fn credential(byte: u8) -> anyhow::Result<Credential> {
    let key = SoftwareKey::new(SignatureScheme::EcdsaSecp256r1Sha256, Secret::new([byte; 32]));
    let public = key.public(&AWS_LC).context("a private key")?;
    Credential::raw_public_key(public, Arc::new(key)).context("a credential")
}

/// Believes every key, and takes each for another peer: what is measured is DTLS, not a trust store.
#[derive(Default)]
struct Anybody(AtomicU64);

impl PeerVerifier for Anybody {
    fn verify(&self, _: CertificateType, chain: &[&[u8]]) -> Result<VerifiedPeer, AlertDescription> {
        let key = chain.first().and_then(|spki| PublicKey::from_spki(spki));
        let key = key.ok_or(AlertDescription::UNSUPPORTED_CERTIFICATE)?;
        Ok(VerifiedPeer { principal: self.0.fetch_add(1, Ordering::Relaxed), key })
    }

    fn kinds(&self) -> &[CertificateType] {
        &[CertificateType::RawPublicKey]
    }
}

/// What a gateway is configured with, Connection IDs sealed.
pub fn server_config(sessions_max: u32) -> anyhow::Result<EndpointConfig> {
    let routes = Routes::sealed(&RouteConfig::new(1, Secret::new([9; 16]))).context("routes")?;
    Ok(EndpointConfig { sessions_max, handshakes_max: 2 * BATCH, routes, ..EndpointConfig::new(&AWS_LC) })
}

/// The server's half, with the CPU time it used.
pub struct Server {
    pub endpoint: Endpoint,
    pub spent: Duration,
    pub established: u64,
}

impl Server {
    pub fn new(sessions_max: u32, kind: Kind) -> anyhow::Result<Self> {
        let mut config = server_config(sessions_max)?;
        if kind == Kind::EcdsaMutual {
            config.credential = Some(credential(8)?);
            config.verifier = Some(Arc::new(Anybody::default()));
        }
        let endpoint = Endpoint::server(config, Box::new(random)).context("endpoint")?;
        Ok(Self { endpoint, spent: Duration::ZERO, established: 0 })
    }

    /// Brings `count` clients through their handshakes.
    pub fn admit(&mut self, first: u32, count: u32, kind: Kind) -> anyhow::Result<Vec<Client>> {
        let mut clients =
            (first..first + count).map(|number| Client::new(number, kind)).collect::<Result<Vec<_>, _>>()?;
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
        ensure!(connected == count as usize, "{kind:?}: only {connected} of {count} clients connected");
        Ok(clients)
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
                let entry = PskEntry { key: psk(), principal: u64::from(number), tag: 0 };
                self.endpoint.provide_psk(now(), handshake, Some(entry));
            }
            EndpointEvent::Establishing { session, .. } => self.endpoint.confirm_durable(now(), session),
            EndpointEvent::Established { .. } => self.established += 1,
            _ => {}
        }
    }
}

/// A client's half, at its own address.
pub struct Client {
    pub connection: Connection,
    pub address: SocketAddr,
    connected: bool,
}

impl Client {
    fn new(number: u32, kind: Kind) -> anyhow::Result<Self> {
        let connection = Connection::connect(kind.client(number)?, now(), &mut random).context("client")?;
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

    /// One record with this content.
    pub fn record(&mut self, content: &[u8]) -> anyhow::Result<Vec<u8>> {
        self.connection.send(now(), content).context("send")?;
        self.connection.poll_transmit(now()).context("no datagram")
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
pub fn now() -> Instant {
    Instant::from_millis(1_000)
}

pub fn random(out: &mut [u8]) {
    getrandom::fill(out).expect("invariant: the system has randomness");
}
