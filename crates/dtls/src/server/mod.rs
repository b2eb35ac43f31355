//! A socket's worth of peers.

use alloc::{boxed::Box, vec::Vec};
use core::net::SocketAddr;

use bartizan_crypto::{Provider, Random, SecretBytes};
use bartizan_wire::event::{HandshakeFailure, RecordRejection};

use crate::{AlertDescription, CipherSuite, Error, Instant, ReplayWindow, limits};

/// What a server needs to know.
#[derive(Clone, Debug)]
pub struct EndpointConfig {
    pub provider: &'static Provider,
    /// In the order of preference; the first that the client offers is taken.
    pub suites: Vec<CipherSuite>,
    /// Associations, those being made included.
    pub sessions_max: u32,
    /// Handshakes under way.
    pub handshakes_max: u32,
    /// UDP payload bytes per datagram.
    pub mtu: usize,
    /// First byte of every Connection ID that we issue, so that its format can change.
    pub cid_config: u8,
    /// How many send sequence numbers are leased at a time.
    pub lease: u64,
    /// Refuse clients that do not offer a Connection ID.
    pub require_cid: bool,
    /// First retransmission timeout.
    pub retransmit_ms: u64,
}

impl EndpointConfig {
    #[must_use]
    pub fn new(provider: &'static Provider) -> Self {
        Self {
            provider,
            suites: CipherSuite::ALL.to_vec(),
            sessions_max: 100_000,
            handshakes_max: 4_096,
            mtu: 1200,
            cid_config: 0x01,
            lease: 1024,
            require_cid: false,
            retransmit_ms: limits::RETRANSMIT_MS_INITIAL,
        }
    }
}

/// Names one association for as long as it lives; a later one in the same slot has another generation.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct SessionId {
    pub slot: u32,
    /// 24 bit.
    pub generation: u32,
}

impl SessionId {
    #[must_use]
    pub const fn to_u64(self) -> u64 {
        (self.slot as u64) << 32 | self.generation as u64
    }

    #[must_use]
    pub const fn from_u64(value: u64) -> Self {
        Self {
            slot: (value >> 32) as u32,
            generation: value as u32,
        }
    }
}

/// Names one handshake under way.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct HandshakeId(pub u64);

/// The answer to [`EndpointEvent::PskRequested`].
#[derive(Clone, Debug)]
pub struct PskEntry {
    pub key: SecretBytes,
    /// Whom the key belongs to, in the caller's numbering; comes back in every event.
    pub principal: u64,
}

/// A datagram to send.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Transmit {
    pub to: SocketAddr,
    pub data: Vec<u8>,
}

/// What is known of an association.
#[derive(Clone, Debug)]
pub struct SessionInfo {
    pub principal: u64,
    pub suite: CipherSuite,
    pub remote: SocketAddr,
    /// Whether the peer's records carry a Connection ID.
    pub connection_id: bool,
    /// When the last authentic record came in.
    pub last_seen: Instant,
    /// RFC 5705 keying material, label `EXPORTER-bartizan-session`.
    pub exporter: [u8; 32],
}

/// What happened on an [`Endpoint`].
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum EndpointEvent {
    /// A client names itself; answer with [`Endpoint::provide_psk`].
    PskRequested {
        handshake: HandshakeId,
        remote: SocketAddr,
        identity: Vec<u8>,
    },
    /// The client's Finished is verified. Persist [`Endpoint::state`], then call [`Endpoint::confirm_durable`].
    Establishing { session: SessionId, principal: u64 },
    /// The server's Finished has left.
    Established {
        session: SessionId,
        principal: u64,
        suite: CipherSuite,
        connection_id: bool,
    },
    /// One authentic, non-replayed record's application data. Commit [`Endpoint::window`] durably before acting on it.
    Data {
        session: SessionId,
        principal: u64,
        remote: SocketAddr,
        sequence: u64,
        data: Vec<u8>,
    },
    /// An authentic and newest record came from a new address (RFC 9146 section 6).
    Rebound {
        session: SessionId,
        principal: u64,
        from: SocketAddr,
        to: SocketAddr,
    },
    /// The send-sequence lease runs low: make `upto` durable, then call [`Endpoint::extend_lease`].
    LeaseLow { session: SessionId, upto: u64 },
    /// A handshake came to nothing.
    HandshakeFailed {
        remote: SocketAddr,
        identity: Option<Vec<u8>>,
        principal: Option<u64>,
        reason: HandshakeFailure,
    },
    /// A record was dropped. `claimed` is the principal that its Connection ID or address names.
    Rejected {
        remote: SocketAddr,
        claimed: Option<u64>,
        reason: RecordRejection,
    },
    /// The association is gone.
    Closed {
        session: SessionId,
        principal: u64,
        by_peer: bool,
    },
}

/// An association as a server's journal keeps it. Holds secrets: seal its bytes.
pub struct SessionState {}

impl SessionState {
    #[must_use]
    pub fn to_bytes(&self) -> Vec<u8> {
        todo!()
    }

    /// # Errors
    /// `Malformed` if the bytes are not a session state of this version.
    pub fn from_bytes(_bytes: &[u8]) -> Result<Self, Error> {
        todo!()
    }

    #[must_use]
    pub fn id(&self) -> SessionId {
        todo!()
    }

    #[must_use]
    pub fn principal(&self) -> u64 {
        todo!()
    }
}

/// All associations behind one socket.
pub struct Endpoint {}

impl Endpoint {
    /// # Errors
    /// `Misuse` if the configuration cannot work.
    pub fn server(_config: EndpointConfig, _rng: Box<dyn Random + Send>) -> Result<Self, Error> {
        todo!()
    }

    /// Takes in a datagram, which is decrypted in place.
    pub fn handle(&mut self, _now: Instant, _remote: SocketAddr, _datagram: &mut [u8]) {
        todo!()
    }

    pub fn poll(&mut self) -> Option<EndpointEvent> {
        todo!()
    }

    pub fn poll_transmit(&mut self) -> Option<Transmit> {
        todo!()
    }

    #[must_use]
    pub fn poll_timeout(&self) -> Option<Instant> {
        todo!()
    }

    pub fn handle_timeout(&mut self, _now: Instant) {
        todo!()
    }

    /// Answers [`EndpointEvent::PskRequested`]. `None` carries on with a random key, so that from outside an
    /// unknown identity looks like a wrong key.
    pub fn provide_psk(
        &mut self,
        _now: Instant,
        _handshake: HandshakeId,
        _entry: Option<PskEntry>,
    ) {
        todo!()
    }

    /// The association is on disk: the server's Finished may leave.
    pub fn confirm_durable(&mut self, _now: Instant, _session: SessionId) {
        todo!()
    }

    /// The association could not be made durable: no Finished leaves, the slot is free again.
    pub fn abandon(&mut self, _session: SessionId) {
        todo!()
    }

    /// Sequence numbers below `upto` are leased durably.
    pub fn extend_lease(&mut self, _session: SessionId, _upto: u64) {
        todo!()
    }

    /// Seals `data` into one record for the session's newest address.
    ///
    /// # Errors
    /// `Misuse` for an unknown session or data that does not fit the MTU, `Unavailable` when the lease is used up.
    pub fn send(&mut self, _now: Instant, _session: SessionId, _data: &[u8]) -> Result<(), Error> {
        todo!()
    }

    /// Tells the peer why, and frees the slot. Emits [`EndpointEvent::Closed`].
    pub fn close(&mut self, _now: Instant, _session: SessionId, _why: AlertDescription) {
        todo!()
    }

    #[must_use]
    pub fn session(&self, _session: SessionId) -> Option<SessionInfo> {
        todo!()
    }

    /// What to persist of an association.
    #[must_use]
    pub fn state(&self, _session: SessionId) -> Option<SessionState> {
        todo!()
    }

    #[must_use]
    pub fn window(&self, _session: SessionId) -> Option<ReplayWindow> {
        todo!()
    }

    /// First sequence number that is not leased.
    #[must_use]
    pub fn lease(&self, _session: SessionId) -> Option<u64> {
        todo!()
    }

    pub fn sessions(&self) -> impl Iterator<Item = SessionId> {
        core::iter::empty()
    }

    /// Brings an association back after a restart. Sending continues at `lease`, which must not be less than
    /// what was leased before; nothing can be sent until [`Self::extend_lease`].
    ///
    /// # Errors
    /// `Misuse` if the slot is taken or outside the configuration, `Unavailable` if there is no memory.
    pub fn restore(
        &mut self,
        _state: SessionState,
        _window: ReplayWindow,
        _lease: u64,
        _remote: SocketAddr,
    ) -> Result<SessionId, Error> {
        todo!()
    }
}
