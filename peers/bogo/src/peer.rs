//! Our stack behind one face, whichever side it plays.

use std::collections::VecDeque;
use std::net::SocketAddr;
use std::sync::Arc;

use bartizan_crypto::{AWS_LC, Provider, RUSTCRYPTO, SecretBytes};
use bartizan_dtls::{
    AlertDescription, CipherSuite, ClientConfig, CloseReason, Connection, ConnectionEvent, Endpoint, EndpointConfig,
    EndpointEvent, Error, Group, Instant, PeerVerifier, PskEntry, SessionId, Versions, limits,
};

use crate::credentials::{self, Verifier};
use crate::flags::{DTLS_1_2, DTLS_1_3, Refusal, Settings};

/// What the stack has: each turns true with the work that brings it.
const HAS_CERTIFICATES: bool = false;
const HAS_DTLS_1_3: bool = false;

/// BoringSSL's first retransmission timeout, which the runner's schedule begins with.
const FIRST_TIMEOUT_MS: u64 = 400;
/// The runner is the only peer of an endpoint.
const RUNNER: ([u8; 4], u16) = ([127, 0, 0, 1], 4433);

/// What happened.
#[derive(Debug)]
pub enum Seen {
    Connected {
        suite: CipherSuite,
    },
    Data(Vec<u8>),
    /// A record or message was dropped, and why.
    Dropped(String),
    /// It is over: by the peer's close_notify or ours, or else for this reason.
    Closed(Result<(), String>),
}

/// One association with the runner.
pub enum Peer {
    Client(Box<Connection>),
    Server(Box<Server>),
}

/// An endpoint with at most one session of interest.
pub struct Server {
    endpoint: Endpoint,
    session: Option<SessionId>,
    psk: Option<SecretBytes>,
    identity: Vec<u8>,
}

impl Peer {
    /// # Errors
    /// What the settings ask of the stack and it does not have.
    pub fn new(settings: &Settings, now: Instant) -> Result<Self, Refusal> {
        check(settings)?;
        if settings.server { Self::server(settings) } else { Self::client(settings, now) }
    }

    fn server(settings: &Settings) -> Result<Self, Refusal> {
        let psk = psk(settings)?;
        let config = EndpointConfig {
            versions: versions(settings)?,
            groups: groups(settings)?,
            credential: credentials::own(settings)?,
            verifier: settings.asks_for_certificate().then(|| verifier(settings)),
            mtu: mtu(settings),
            retransmit_ms: retransmit_ms(settings),
            ..EndpointConfig::new(provider(true))
        };
        let endpoint = Endpoint::server(config, Box::new(random)).map_err(refused)?;
        let identity = settings.psk_identity.as_bytes().to_vec();
        Ok(Self::Server(Box::new(Server { endpoint, session: None, psk, identity })))
    }

    fn client(settings: &Settings, now: Instant) -> Result<Self, Refusal> {
        let psk = psk(settings)?;
        let with_psk = psk.is_some();
        let psk = psk.or_else(|| SecretBytes::new(&[])).ok_or_else(|| unimplemented("an empty key"))?;
        let config = ClientConfig {
            versions: versions(settings)?,
            groups: groups(settings)?,
            credential: credentials::own(settings)?,
            verifier: (!with_psk).then(|| verifier(settings)),
            // The runner fills extensions of its own into every corner; ours only where the case is about it.
            own_cid: None,
            mtu: mtu(settings),
            retransmit_ms: retransmit_ms(settings),
            ..ClientConfig::new(provider(false), settings.psk_identity.as_bytes(), psk)
        };
        let config = if with_psk { config } else { ClientConfig { suites: CipherSuite::ALL.to_vec(), ..config } };
        let connection = Connection::connect(config, now, &mut random).map_err(refused)?;
        Ok(Self::Client(Box::new(connection)))
    }

    pub fn handle(&mut self, now: Instant, datagram: &mut [u8]) {
        match self {
            Self::Client(connection) => connection.handle(now, datagram),
            Self::Server(server) => server.endpoint.handle(now, runner(), datagram),
        }
    }

    pub fn handle_timeout(&mut self, now: Instant) {
        match self {
            Self::Client(connection) => connection.handle_timeout(now),
            Self::Server(server) => server.endpoint.handle_timeout(now),
        }
    }

    pub fn timeout(&self) -> Option<Instant> {
        match self {
            Self::Client(connection) => connection.poll_timeout(),
            Self::Server(server) => server.endpoint.poll_timeout(),
        }
    }

    pub fn datagram(&mut self, now: Instant) -> Option<Vec<u8>> {
        match self {
            Self::Client(connection) => connection.poll_transmit(now),
            Self::Server(server) => server.endpoint.poll_transmit().map(|transmit| transmit.data),
        }
    }

    pub fn send(&mut self, now: Instant, data: &[u8]) -> Result<(), Error> {
        match self {
            Self::Client(connection) => connection.send(now, data),
            Self::Server(server) => {
                let session = server.session.ok_or(Error::Misuse("not connected"))?;
                server.endpoint.send(now, session, data)
            }
        }
    }

    pub fn close(&mut self, now: Instant) {
        match self {
            Self::Client(connection) => connection.close(now),
            Self::Server(server) => {
                if let Some(session) = server.session {
                    server.endpoint.close(now, session, AlertDescription::CLOSE_NOTIFY);
                }
            }
        }
    }

    /// Answers what the stack asks, and says what happened.
    pub fn poll(&mut self, now: Instant, seen: &mut VecDeque<Seen>) {
        match self {
            Self::Client(connection) => seen.extend(std::iter::from_fn(|| connection.poll()).map(of_client)),
            Self::Server(server) => {
                while let Some(event) = server.endpoint.poll() {
                    seen.extend(server.on_event(now, event));
                }
            }
        }
    }
}

impl Server {
    fn on_event(&mut self, now: Instant, event: EndpointEvent) -> Option<Seen> {
        match event {
            EndpointEvent::PskRequested { handshake, identity, .. } => {
                let known = self.psk.clone().filter(|_| identity == self.identity);
                let entry = known.map(|key| PskEntry { key, principal: 1 });
                self.endpoint.provide_psk(now, handshake, entry);
                None
            }
            EndpointEvent::Establishing { session, .. } | EndpointEvent::StateChanged { session, .. } => {
                self.endpoint.confirm_durable(now, session);
                None
            }
            EndpointEvent::LeaseLow { session, upto } => {
                self.endpoint.extend_lease(session, upto);
                None
            }
            EndpointEvent::Established { session, suite, .. } => {
                self.session = Some(session);
                Some(Seen::Connected { suite })
            }
            EndpointEvent::Data { data, .. } => Some(Seen::Data(data)),
            EndpointEvent::Closed { .. } => Some(Seen::Closed(Ok(()))),
            EndpointEvent::HandshakeFailed { reason, .. } => Some(Seen::Closed(Err(format!("handshake: {reason:?}")))),
            EndpointEvent::Rejected { reason, .. } => Some(Seen::Dropped(format!("{reason:?}"))),
            EndpointEvent::ResumptionRequested { handshake, .. } => {
                self.endpoint.provide_resumption(now, handshake, true);
                None
            }
            EndpointEvent::Misused { error, .. } => Some(Seen::Closed(Err(error.to_string()))),
            EndpointEvent::Rebound { .. } | EndpointEvent::Misrouted { .. } | EndpointEvent::PathChecked { .. } => None,
        }
    }
}

fn of_client(event: ConnectionEvent) -> Seen {
    match event {
        ConnectionEvent::Connected { suite, .. } => Seen::Connected { suite },
        ConnectionEvent::Data(data) => Seen::Data(data),
        ConnectionEvent::Rejected(reason) => Seen::Dropped(format!("{reason:?}")),
        ConnectionEvent::Closed(reason) => Seen::Closed(match reason {
            CloseReason::Local | CloseReason::Peer => Ok(()),
            CloseReason::Alert(alert) => Err(format!("received alert {}", alert.0)),
            CloseReason::Failed(error) => Err(error.to_string()),
            CloseReason::TimedOut => Err("timed out".to_owned()),
            CloseReason::Forgeries => Err("too many forgeries".to_owned()),
            CloseReason::Replaced => Err("replaced".to_owned()),
        }),
    }
}

/// What no setting of the stack answers yet.
fn check(settings: &Settings) -> Result<(), Refusal> {
    let lacking = [
        (!settings.dtls, "TLS over streams"),
        (settings.psk.is_none() && !HAS_CERTIFICATES, "certificates"),
        (!settings.allows(DTLS_1_2) && !HAS_DTLS_1_3, "DTLS 1.3"),
        (settings.export.is_some(), "an exporter with a label of the caller's"),
        (settings.send_alert, "an alert of the caller's"),
        (settings.key_update || settings.key_update_before_read, "key update"),
        (settings.expect_hrr || settings.expect_no_hrr, "saying whether there was a HelloRetryRequest"),
        (settings.expect_curve.is_some(), "saying which group was agreed on"),
        (settings.expect_peer_signature_algorithm.is_some(), "saying how the peer signed"),
        (!settings.verify_prefs.is_empty() || !settings.signing_prefs.is_empty(), "a choice of signature schemes"),
        (settings.expect_peer_cert_file.is_some(), "saying which certificate the peer had"),
        (settings.no_ticket, "a choice of tickets"),
    ];
    match lacking.iter().find(|(asked, _)| *asked) {
        Some((_, what)) => Err(unimplemented(what)),
        None => Ok(()),
    }
}

fn psk(settings: &Settings) -> Result<Option<SecretBytes>, Refusal> {
    let too_long = || unimplemented("a pre-shared key of more than 64 bytes");
    settings.psk.as_deref().map(|psk| SecretBytes::new(psk.as_bytes()).ok_or_else(too_long)).transpose()
}

fn versions(settings: &Settings) -> Result<Versions, Refusal> {
    match (settings.allows(DTLS_1_2), settings.allows(DTLS_1_3) && HAS_DTLS_1_3) {
        (true, true) => Ok(Versions::BOTH),
        (true, false) => Ok(Versions::DTLS_1_2),
        (false, true) => Ok(Versions::DTLS_1_3),
        (false, false) => Err(unimplemented("no version at all")),
    }
}

/// Those of the case that we have; all of ours if it does not say.
fn groups(settings: &Settings) -> Result<Vec<Group>, Refusal> {
    if settings.curves.is_empty() {
        return Ok(if HAS_DTLS_1_3 { Group::ALL.to_vec() } else { Group::CLASSICAL.to_vec() });
    }
    let groups: Option<Vec<Group>> = settings.curves.iter().map(|code| Group::from_code(*code)).collect();
    groups.ok_or_else(|| unimplemented("a group that is not spoken"))
}

fn verifier(settings: &Settings) -> Arc<dyn PeerVerifier> {
    let counts = settings.verify_peer || settings.custom_verify || settings.require_any_client_certificate;
    // BoringSSL's two ways to judge a certificate have an alert each.
    let alert = if settings.custom_verify {
        AlertDescription::CERTIFICATE_UNKNOWN
    } else {
        AlertDescription::HANDSHAKE_FAILURE
    };
    Arc::new(Verifier { fails: (settings.verify_fail && counts).then_some(alert) })
}

fn mtu(settings: &Settings) -> usize {
    settings.mtu.unwrap_or(limits::MTU_MAX)
}

fn retransmit_ms(settings: &Settings) -> u64 {
    settings.first_timeout_ms.unwrap_or(FIRST_TIMEOUT_MS)
}

fn unimplemented(what: &str) -> Refusal {
    Refusal::Unimplemented(what.to_owned())
}

/// A configuration that the stack does not take.
fn refused(error: Error) -> Refusal {
    Refusal::Unimplemented(error.to_string())
}

/// Servers run on AWS-LC, devices on RustCrypto.
fn provider(server: bool) -> &'static Provider {
    if server { &AWS_LC } else { &RUSTCRYPTO }
}

fn runner() -> SocketAddr {
    RUNNER.into()
}

fn random(out: &mut [u8]) {
    getrandom::fill(out).expect("the operating system has randomness");
}
