//! What a client is told.

use alloc::sync::Arc;
use alloc::vec::Vec;

use bartizan_crypto::{Provider, SecretBytes};

use crate::{CipherSuite, ConnectionId, Credential, Error, Group, PeerVerifier, Versions, limits};

/// What a client needs to know before it connects.
#[derive(Clone)]
pub struct ClientConfig {
    pub provider: &'static Provider,
    /// A hello that offers both costs more bytes than one for DTLS 1.2 or 1.3 alone.
    pub versions: Versions,
    /// Offered in this order; those of other versions than [`Self::versions`] are left out.
    pub suites: Vec<CipherSuite>,
    /// The PSK identity, in the clear on the wire.
    pub identity: Vec<u8>,
    /// Empty if the client has none and believes a certificate or a raw public key instead.
    pub psk: SecretBytes,
    /// Groups for ephemeral keys, in this order. DTLS 1.3 sends a share for the first.
    pub groups: Vec<Group>,
    /// What we show a server that asks who we are.
    pub credential: Option<Credential>,
    /// Judges the server's certificate or key. Without it only pre-shared keys are offered.
    pub verifier: Option<Arc<dyn PeerVerifier>>,
    /// `None`: no Connection ID extension. `Some(EMPTY)`: "I can use Connection IDs, send me none".
    pub own_cid: Option<ConnectionId>,
    /// Offer the return routability check (RFC 9853) where Connection IDs are offered: four bytes in each hello, and a
    /// server may send long answers to a new address after one question.
    pub rrc: bool,
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
            versions: Versions::DTLS_1_2,
            suites: CipherSuite::PSK_DTLS_1_2.into_iter().rev().collect(),
            identity: identity.to_vec(),
            psk,
            groups: Group::CLASSICAL.to_vec(),
            credential: None,
            verifier: None,
            own_cid: Some(ConnectionId::EMPTY),
            rrc: true,
            mtu: 1200,
            retransmit_ms: limits::RETRANSMIT_MS_INITIAL,
            lease: 256,
        }
    }

    pub(super) fn check(&self) -> Result<(), Error> {
        if self.suites.is_empty() || self.suites.len() > CipherSuite::ALL.len() {
            return Err(Error::Misuse("no cipher suites, or some twice"));
        }
        if self.suites.iter().any(|suite| suite.aead(self.provider).is_none()) {
            return Err(Error::Misuse("a suite whose cipher the provider does not have"));
        }
        let ephemeral = self.suites.iter().any(|suite| suite.is_ecdhe());
        if ephemeral && self.groups.iter().any(|group| group.agreement(self.provider).is_none()) {
            return Err(Error::Misuse("a group that the provider does not have"));
        }
        if self.identity.len() > limits::IDENTITY_BYTES_MAX {
            return Err(Error::Misuse("the PSK identity is too long"));
        }
        if self.psk.is_empty() && self.verifier.is_none() {
            return Err(Error::Misuse("the PSK is empty"));
        }
        if !self.suites.iter().any(|suite| self.versions.contains(suite.version())) {
            return Err(Error::Misuse("no cipher suite of a version that is configured"));
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

impl core::fmt::Debug for ClientConfig {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        write!(f, "ClientConfig({:?}, {} suites)", self.versions, self.suites.len())
    }
}
