//! What goes in and out of an [`Endpoint`](super::Endpoint) besides datagrams.

use alloc::vec::Vec;
use core::net::SocketAddr;

use bartizan_crypto::SecretBytes;
use bartizan_wire::event::{HandshakeFailure, RecordRejection};

use crate::{Authentication, CipherSuite, CloseReason, Error, Instant, PathOutcome};

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
        Self { slot: (value >> 32) as u32, generation: value as u32 }
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
    /// Which of the principal's keys it is, in the caller's numbering; comes back when the client has proved it.
    pub tag: u32,
}

/// A datagram to send.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Transmit {
    pub to: SocketAddr,
    pub data: Vec<u8>,
}

/// The memory of one idle association: an entry in each of two tables. (An index by principal comes on top.)
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct SessionBytes {
    /// What every record touches.
    pub hot: usize,
    /// What only handshakes, restarts and evidence touch.
    pub cold: usize,
    /// DTLS 1.3 alone, on top: what the next keys come from, and how far messages were counted.
    pub dtls_1_3: usize,
}

/// What is known of an association.
#[derive(Clone)]
pub struct SessionInfo {
    /// [`Authentication::NOBODY`] for anonymous clients.
    pub principal: u64,
    /// How the client has shown who it is.
    pub authentication: Authentication,
    pub suite: CipherSuite,
    pub remote: SocketAddr,
    /// Whether the peer's records carry a Connection ID.
    pub connection_id: bool,
    /// When the last authentic record came in.
    pub last_seen: Instant,
    /// Whether its keys come from an ephemeral exchange too: who learns a pre-shared key later cannot read it.
    pub forward_secret: bool,
    /// RFC 5705 keying material, label `EXPORTER-bartizan-session`.
    pub exporter: [u8; 32],
}

impl core::fmt::Debug for SessionInfo {
    /// Without the exporter, to which evidence is bound.
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        f.debug_struct("SessionInfo")
            .field("principal", &self.principal)
            .field("authentication", &self.authentication)
            .field("suite", &self.suite)
            .field("remote", &self.remote)
            .field("connection_id", &self.connection_id)
            .field("last_seen", &self.last_seen)
            .field("forward_secret", &self.forward_secret)
            .finish_non_exhaustive()
    }
}

/// What happened on an [`Endpoint`](super::Endpoint).
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum EndpointEvent {
    /// A client names itself; answer with [`Endpoint::provide_psk`](super::Endpoint::provide_psk).
    PskRequested { handshake: HandshakeId, remote: SocketAddr, identity: Vec<u8> },
    /// A client offers to resume a session of `principal`; answer with
    /// [`Endpoint::provide_resumption`](super::Endpoint::provide_resumption): not for one that is gone, or must show anew who it is.
    ResumptionRequested { handshake: HandshakeId, remote: SocketAddr, principal: u64 },
    /// The client's Finished is verified. Persist [`Endpoint::state`](super::Endpoint::state), then call [`Endpoint::confirm_durable`](super::Endpoint::confirm_durable).
    /// `tag` is that of the [`PskEntry`]; 0 without one.
    Establishing { session: SessionId, principal: u64, tag: u32 },
    /// The server's Finished has left.
    Established { session: SessionId, principal: u64, suite: CipherSuite, connection_id: bool },
    /// One authentic, non-replayed record's application data. Commit [`Endpoint::window`](super::Endpoint::window) durably before acting on it.
    Data { session: SessionId, principal: u64, remote: SocketAddr, sequence: u64, data: Vec<u8> },
    /// An authentic and newest record came from a new address (RFC 9146 section 6).
    Rebound { session: SessionId, principal: u64, from: SocketAddr, to: SocketAddr },
    /// A check of a peer's new address is over. `Refused` is an attack that was found out.
    PathChecked { session: SessionId, principal: u64, address: SocketAddr, outcome: PathOutcome },
    /// The send-sequence lease runs low: make `upto` durable, then call [`Endpoint::extend_lease`](super::Endpoint::extend_lease).
    LeaseLow { session: SessionId, upto: u64 },
    /// DTLS 1.3: a message waits that a restart must not forget. Persist [`Endpoint::state`](super::Endpoint::state)
    /// again, beside the window, the lease and the address that are known, then call
    /// [`Endpoint::confirm_durable`](super::Endpoint::confirm_durable). No lease is being asked for at that moment.
    StateChanged { session: SessionId, principal: u64 },
    /// A handshake came to nothing.
    HandshakeFailed { remote: SocketAddr, identity: Option<Vec<u8>>, principal: Option<u64>, reason: HandshakeFailure },
    /// A record was dropped. `claimed` is the principal that its Connection ID or address names.
    Rejected { remote: SocketAddr, claimed: Option<u64>, reason: RecordRejection },
    /// A datagram of another shard's session, or of ours when we must not serve it any more: to be forwarded to the
    /// owner ([`route`](crate::route)).
    Misrouted { remote: SocketAddr, shard: u16, datagram: Vec<u8> },
    /// The association is gone.
    Closed { session: SessionId, principal: u64, reason: CloseReason },
    /// The caller gave an answer that cannot be used, such as a short key for this principal.
    Misused { principal: u64, error: Error },
}
