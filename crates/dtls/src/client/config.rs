//! What a client is told.

use alloc::vec::Vec;

use bartizan_crypto::{Provider, SecretBytes};

use crate::{CipherSuite, ConnectionId, Error, limits};

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
    /// First retransmission timeout; RFC 7925 section 11 advises 9 s, slow LPWA networks want more.
    pub retransmit_ms: u64,
    /// How many send sequence numbers a [`SavedSession`](crate::SavedSession) reserves ahead.
    pub lease: u64,
}

impl ClientConfig {
    /// All suites, the cheap ones first; Connection IDs on, none wanted back.
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

    pub(super) fn check(&self) -> Result<(), Error> {
        if self.suites.is_empty() || self.suites.len() > CipherSuite::ALL.len() {
            return Err(Error::Misuse("between one and four cipher suites"));
        }
        if self.identity.len() > limits::IDENTITY_BYTES_MAX {
            return Err(Error::Misuse("the PSK identity is too long"));
        }
        if self.psk.is_empty() {
            return Err(Error::Misuse("the PSK is empty"));
        }
        if !(limits::MTU_MIN..=limits::MTU_MAX).contains(&self.mtu) {
            return Err(Error::Misuse("the MTU is out of range"));
        }
        if self.retransmit_ms == 0 {
            return Err(Error::Misuse("a retransmission timeout of zero"));
        }
        Ok(())
    }
}
