//! Our stack behind one face, whichever side it plays.

use std::collections::VecDeque;
use std::net::SocketAddr;
use std::sync::Arc;

use bartizan_crypto::{AWS_LC, Provider, RUSTCRYPTO, SecretBytes};
use bartizan_dtls::{
    AlertDescription, CipherSuite, ClientAuthentication, ClientConfig, ClientResumption, CloseReason, Connection,
    ConnectionEvent, Endpoint, EndpointConfig, EndpointEvent, Error, Group, Instant, PskEntry, ResumableSession,
    Resumption, SessionId, Versions, limits,
};

use crate::credentials::{self, Leaf, Verifier};
use crate::flags::{DTLS_1_2, DTLS_1_3, Refusal, Settings};

/// BoringSSL's first retransmission timeout, which the runner's schedule begins with.
const FIRST_TIMEOUT_MS: u64 = 400;
/// The runner is the only peer of an endpoint, at a port of its own for each connection.
const RUNNER: ([u8; 4], u16) = ([127, 0, 0, 1], 4433);
/// How long BoringSSL lets a session be resumed.
const RESUMPTION_MS: u64 = 2 * 3600 * 1000;

/// What happened.
#[derive(Debug)]
pub enum Seen {
    Connected {
        suite: CipherSuite,
        /// It goes on with the session of an earlier connection.
        resumed: bool,
    },
    Data(Vec<u8>),
    /// A record or message was dropped, and why.
    Dropped(String),
    /// It is over: by the peer's close_notify or ours, or else for this reason.
    Closed(Result<(), String>),
}

/// What the next connection knows of those before it.
#[derive(Default)]
pub struct Past {
    connections: u16,
    session: Option<ResumableSession>,
    /// A server's keys for tickets live as long as its endpoint, which goes on if nothing changes.
    endpoint: Option<(Endpoint, Settings)>,
}

impl Past {
    pub const fn connections(&self) -> u16 {
        self.connections
    }
}

/// One association with the runner.
pub struct Peer {
    side: Side,
    settings: Settings,
    /// The certificate that the runner has shown.
    pub leaf: Leaf,
}

enum Side {
    Client(Box<Connection>),
    Server(Box<Server>),
}

/// An endpoint with at most one session of interest.
struct Server {
    endpoint: Endpoint,
    remote: SocketAddr,
    session: Option<SessionId>,
    resumed: bool,
    psk: Option<SecretBytes>,
    identity: Vec<u8>,
}

impl Peer {
    /// # Errors
    /// What the settings ask of the stack and it does not have.
    pub fn new(settings: &Settings, now: Instant, past: Past) -> Result<Self, Refusal> {
        check(settings)?;
        let leaf = Leaf::default();
        let side = match settings.server {
            true => Side::Server(Box::new(server(settings, past, &leaf)?)),
            false => Side::Client(Box::new(client(settings, now, past, &leaf)?)),
        };
        Ok(Self { side, settings: settings.clone(), leaf })
    }

    pub fn into_past(self, before: u16) -> Past {
        let connections = before + 1;
        match self.side {
            Side::Client(connection) => Past { connections, session: connection.resumable().cloned(), endpoint: None },
            Side::Server(server) => {
                Past { connections, session: None, endpoint: Some((server.endpoint, self.settings)) }
            }
        }
    }

    pub fn handle(&mut self, now: Instant, datagram: &mut [u8]) {
        match &mut self.side {
            Side::Client(connection) => connection.handle(now, datagram),
            Side::Server(server) => server.endpoint.handle(now, server.remote, datagram),
        }
    }

    pub fn handle_timeout(&mut self, now: Instant) {
        match &mut self.side {
            Side::Client(connection) => connection.handle_timeout(now),
            Side::Server(server) => server.endpoint.handle_timeout(now),
        }
    }

    pub fn timeout(&self) -> Option<Instant> {
        match &self.side {
            Side::Client(connection) => connection.poll_timeout(),
            Side::Server(server) => server.endpoint.poll_timeout(),
        }
    }

    pub fn datagram(&mut self, now: Instant) -> Option<Vec<u8>> {
        match &mut self.side {
            Side::Client(connection) => connection.poll_transmit(now),
            Side::Server(server) => server.endpoint.poll_transmit().map(|transmit| transmit.data),
        }
    }

    pub fn send(&mut self, now: Instant, data: &[u8]) -> Result<(), Error> {
        match &mut self.side {
            Side::Client(connection) => connection.send(now, data),
            Side::Server(server) => {
                let session = server.session.ok_or(Error::Misuse("not connected"))?;
                server.endpoint.send(now, session, data)
            }
        }
    }

    pub fn close(&mut self, now: Instant) {
        match &mut self.side {
            Side::Client(connection) => connection.close(now),
            Side::Server(server) => {
                if let Some(session) = server.session {
                    server.endpoint.close(now, session, AlertDescription::CLOSE_NOTIFY);
                }
            }
        }
    }

    /// DTLS 1.3: new keys for what we send.
    pub fn update_keys(&mut self, now: Instant) -> Result<(), Error> {
        match &mut self.side {
            Side::Client(connection) => connection.update_keys(now),
            Side::Server(server) => {
                let session = server.session.ok_or(Error::Misuse("not connected"))?;
                server.endpoint.update_keys(now, session)
            }
        }
    }

    /// Answers what the stack asks, and says what happened.
    pub fn poll(&mut self, now: Instant, seen: &mut VecDeque<Seen>) {
        match &mut self.side {
            Side::Client(connection) => {
                while let Some(event) = connection.poll() {
                    seen.push_back(of_client(event, connection.is_resumed()));
                }
            }
            Side::Server(server) => {
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
                let entry = known.map(|key| PskEntry { key, principal: 1, tag: 0 });
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
                Some(Seen::Connected { suite, resumed: self.resumed })
            }
            EndpointEvent::Data { data, .. } => Some(Seen::Data(data)),
            EndpointEvent::Closed { reason, .. } => Some(Seen::Closed(outcome(reason))),
            EndpointEvent::HandshakeFailed { reason, .. } => Some(Seen::Closed(Err(format!("handshake: {reason:?}")))),
            EndpointEvent::Rejected { reason, .. } => Some(Seen::Dropped(format!("{reason:?}"))),
            EndpointEvent::ResumptionRequested { handshake, .. } => {
                self.resumed = true;
                self.endpoint.provide_resumption(now, handshake, true);
                None
            }
            EndpointEvent::Misused { error, .. } => Some(Seen::Closed(Err(error.to_string()))),
            EndpointEvent::Rebound { .. } | EndpointEvent::Misrouted { .. } | EndpointEvent::PathChecked { .. } => None,
        }
    }
}

fn of_client(event: ConnectionEvent, resumed: bool) -> Seen {
    match event {
        ConnectionEvent::Connected { suite, .. } => Seen::Connected { suite, resumed },
        ConnectionEvent::Data(data) => Seen::Data(data),
        ConnectionEvent::Rejected(reason) => Seen::Dropped(format!("{reason:?}")),
        ConnectionEvent::Closed(reason) => Seen::Closed(outcome(reason)),
    }
}

/// Whether an association has ended as it should.
fn outcome(reason: CloseReason) -> Result<(), String> {
    match reason {
        CloseReason::Local | CloseReason::Peer => Ok(()),
        CloseReason::Alert(alert) => Err(format!("received alert {}", alert.0)),
        CloseReason::Failed(error) => Err(format!("{error} (alert {})", error.alert().0)),
        CloseReason::TimedOut => Err("timed out".to_owned()),
        CloseReason::Forgeries => Err("too many forgeries".to_owned()),
        CloseReason::Replaced => Err("replaced".to_owned()),
    }
}

fn server(settings: &Settings, past: Past, leaf: &Leaf) -> Result<Server, Refusal> {
    let endpoint = match past.endpoint {
        Some((endpoint, before)) if before.without_expectations() == settings.without_expectations() => endpoint,
        _ => endpoint(settings, leaf)?,
    };
    let (address, port) = RUNNER;
    Ok(Server {
        endpoint,
        remote: (address, port + past.connections).into(),
        session: None,
        resumed: false,
        psk: psk(settings)?,
        identity: settings.psk_identity.as_bytes().to_vec(),
    })
}

fn endpoint(settings: &Settings, leaf: &Leaf) -> Result<Endpoint, Refusal> {
    let lifetime_ms = RESUMPTION_MS;
    let config = EndpointConfig {
        versions: versions(settings)?,
        groups: groups(settings)?,
        credential: credentials::own(settings)?,
        verifier: settings.asks_for_certificate().then(|| Arc::new(verifier(settings, leaf)) as _),
        client_authentication: match (settings.require_any_client_certificate, settings.verify_peer) {
            (true, _) => ClientAuthentication::Required,
            (false, true) => ClientAuthentication::Optional,
            (false, false) => ClientAuthentication::None,
        },
        resumption: match settings.no_ticket {
            true => Resumption::SessionIds { sessions_max: 4, lifetime_ms },
            false => Resumption::Tickets { lifetime_ms },
        },
        mtu: mtu(settings),
        retransmit_ms: retransmit_ms(settings),
        ..EndpointConfig::new(provider(true))
    };
    Endpoint::server(config, Box::new(random)).map_err(refused)
}

fn client(settings: &Settings, now: Instant, past: Past, leaf: &Leaf) -> Result<Connection, Refusal> {
    let psk = psk(settings)?;
    let with_psk = psk.is_some();
    let config = ClientConfig {
        versions: versions(settings)?,
        suites: CipherSuite::ALL.to_vec(),
        groups: groups(settings)?,
        credential: credentials::own(settings)?,
        verifier: (!with_psk).then(|| Arc::new(verifier(settings, leaf)) as _),
        // The runner fills extensions of its own into every corner; ours only where the case is about it.
        own_cid: None,
        resumption: match past.session {
            Some(session) if settings.allows(DTLS_1_2) => ClientResumption::Offer(session),
            _ if settings.no_ticket || !settings.allows(DTLS_1_2) => ClientResumption::Off,
            _ => ClientResumption::Ask,
        },
        mtu: mtu(settings),
        retransmit_ms: retransmit_ms(settings),
        ..ClientConfig::new(provider(false), settings.psk_identity.as_bytes(), psk.unwrap_or(SecretBytes::EMPTY))
    };
    Connection::connect(config, now, &mut random).map_err(refused)
}

/// What no setting of the stack answers yet.
fn check(settings: &Settings) -> Result<(), Refusal> {
    let lacking = [
        (!settings.dtls, "TLS over streams"),
        (settings.export.is_some(), "an exporter with a label of the caller's"),
        (settings.send_alert, "an alert of the caller's"),
        (settings.expect_curve.is_some(), "saying which group was agreed on"),
        (!settings.verify_prefs.is_empty() || !settings.signing_prefs.is_empty(), "a choice of signature schemes"),
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
    match (settings.allows(DTLS_1_2), settings.allows(DTLS_1_3)) {
        (true, true) => Ok(Versions::BOTH),
        (true, false) => Ok(Versions::DTLS_1_2),
        (false, true) => Ok(Versions::DTLS_1_3),
        (false, false) => Err(unimplemented("no version at all")),
    }
}

/// Those of the case that we have; all of ours if it does not say.
fn groups(settings: &Settings) -> Result<Vec<Group>, Refusal> {
    if settings.curves.is_empty() {
        return Ok(Group::ALL.to_vec());
    }
    let groups: Option<Vec<Group>> = settings.curves.iter().map(|code| Group::from_code(*code)).collect();
    groups.ok_or_else(|| unimplemented("a group that is not spoken"))
}

fn verifier(settings: &Settings, leaf: &Leaf) -> Verifier {
    let counts = settings.verify_peer || settings.custom_verify || settings.require_any_client_certificate;
    // BoringSSL's two ways to judge a certificate have an alert each.
    let alert = if settings.custom_verify {
        AlertDescription::CERTIFICATE_UNKNOWN
    } else {
        AlertDescription::HANDSHAKE_FAILURE
    };
    Verifier { fails: (settings.verify_fail && counts).then_some(alert), leaf: Arc::clone(leaf) }
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

fn random(out: &mut [u8]) {
    getrandom::fill(out).expect("the operating system has randomness");
}
