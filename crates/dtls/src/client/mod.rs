//! One peer, from the side that connects.

use alloc::vec::Vec;

use bartizan_crypto::{Provider, Random, SecretBytes};
use bartizan_wire::event::RecordRejection;

use crate::{CipherSuite, CloseReason, ConnectionId, Error, Instant, limits};

/// What a client needs to know before it connects.
#[derive(Clone, Debug)]
pub struct ClientConfig {
    pub provider: &'static Provider,
    /// Offered in this order.
    pub suites: Vec<CipherSuite>,
    /// The PSK identity, in the clear on the wire.
    pub identity: Vec<u8>,
    pub psk: SecretBytes,
    /// `None`: no Connection ID extension. `Some(EMPTY)`: "I can use Connection IDs, send me none".
    pub own_cid: Option<ConnectionId>,
    /// UDP payload bytes per datagram.
    pub mtu: usize,
    /// First retransmission timeout; LPWA networks want 10 s or more (RFC 7925 section 11 says 9 s).
    pub retransmit_ms: u64,
    /// How many send sequence numbers a [`SavedSession`] reserves ahead.
    pub lease: u64,
}

impl ClientConfig {
    /// All suites with forward secrecy last (a device pays for it), Connection IDs on, none wanted back.
    #[must_use]
    pub fn new(provider: &'static Provider, identity: &[u8], psk: SecretBytes) -> Self {
        Self {
            provider,
            suites: CipherSuite::ALL.into_iter().rev().collect(),
            identity: identity.to_vec(),
            psk,
            own_cid: Some(ConnectionId::EMPTY),
            mtu: 1200,
            retransmit_ms: limits::RETRANSMIT_MS_INITIAL,
            lease: 256,
        }
    }
}

/// What happened on a [`Connection`].
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum ConnectionEvent {
    /// The handshake is finished. `peer_cid`: the peer gave us a Connection ID, so our address may change.
    Connected { suite: CipherSuite, peer_cid: bool },
    /// One authentic record's application data.
    Data(Vec<u8>),
    /// The connection is over; nothing follows.
    Closed(CloseReason),
    /// A record was dropped.
    Rejected(RecordRejection),
}

/// A client's association with one server.
pub struct Connection {}

/// An association as a device keeps it over a power cycle.
pub struct SavedSession {}

impl SavedSession {
    #[must_use]
    pub fn to_bytes(&self) -> Vec<u8> {
        todo!()
    }

    /// # Errors
    /// `Malformed` if the bytes are not a saved session of this version.
    pub fn from_bytes(_bytes: &[u8]) -> Result<Self, Error> {
        todo!()
    }
}

impl Connection {
    /// Begins a handshake; the first datagram waits in [`Self::poll_transmit`].
    ///
    /// # Errors
    /// `Misuse` if the configuration cannot work.
    pub fn connect(
        _config: ClientConfig,
        _now: Instant,
        _rng: &mut dyn Random,
    ) -> Result<Self, Error> {
        todo!()
    }

    /// Continues a saved association: no handshake, the next record is application data.
    ///
    /// # Errors
    /// `Misuse` if the configuration cannot work with the saved association.
    pub fn resume(
        _config: ClientConfig,
        _saved: SavedSession,
        _now: Instant,
    ) -> Result<Self, Error> {
        todo!()
    }

    /// Takes in a datagram, which is decrypted in place. The outcome shows in [`Self::poll`].
    pub fn handle(&mut self, _now: Instant, _datagram: &mut [u8]) {
        todo!()
    }

    /// The next datagram to send.
    pub fn poll_transmit(&mut self, _now: Instant) -> Option<Vec<u8>> {
        todo!()
    }

    /// When [`Self::handle_timeout`] wants to be called.
    #[must_use]
    pub fn poll_timeout(&self) -> Option<Instant> {
        todo!()
    }

    pub fn handle_timeout(&mut self, _now: Instant) {
        todo!()
    }

    pub fn poll(&mut self) -> Option<ConnectionEvent> {
        todo!()
    }

    /// Seals `data` into one record.
    ///
    /// # Errors
    /// `Misuse` before the handshake is finished, after the end, or if `data` does not fit the MTU;
    /// `Unavailable` when the saved lease of sequence numbers is used up (save again).
    pub fn send(&mut self, _now: Instant, _data: &[u8]) -> Result<(), Error> {
        todo!()
    }

    /// Says close_notify and ends the connection.
    pub fn close(&mut self, _now: Instant) {
        todo!()
    }

    /// 32 bytes of keying material bound to this handshake (RFC 5705, label `EXPORTER-bartizan-session`).
    #[must_use]
    pub fn exporter(&self) -> Option<&[u8; 32]> {
        todo!()
    }

    /// The association to be kept; afterwards this connection itself may use the reserved sequence numbers.
    pub fn save(&mut self) -> Option<SavedSession> {
        todo!()
    }

    #[must_use]
    pub fn is_connected(&self) -> bool {
        todo!()
    }
}
