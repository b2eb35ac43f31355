//! What a server is told.

use alloc::sync::Arc;
use alloc::vec::Vec;

use bartizan_crypto::Provider;

use crate::handshake::extension::kind;
use crate::handshake::hello::ClientHello;

use crate::{CipherSuite, Credential, Error, Group, PathCheck, PeerVerifier, Routes, Versions, limits};

/// What a server needs to know.
#[derive(Clone)]
pub struct EndpointConfig {
    pub provider: &'static Provider,
    pub versions: Versions,
    /// In the order of preference; the first that the client offers and both sides can use is taken.
    pub suites: Vec<CipherSuite>,
    /// Groups for ephemeral keys, in the order of preference.
    pub groups: Vec<Group>,
    /// Who we are, for clients that do not use a pre-shared key.
    pub credential: Option<Credential>,
    /// Judges clients' certificates and keys. Without it clients have pre-shared keys or are refused.
    pub verifier: Option<Arc<dyn PeerVerifier>>,
    /// Associations, those being made included.
    pub sessions_max: u32,
    /// Handshakes under way.
    pub handshakes_max: u32,
    /// UDP payload bytes per datagram.
    pub mtu: usize,
    /// How Connection IDs are made and read. The default shows slot numbers to everybody on the path: give a key.
    pub routes: Routes,
    /// How many send sequence numbers are leased at a time.
    pub lease: u64,
    /// Refuse clients that do not offer a Connection ID.
    pub require_cid: bool,
    /// When to check that a peer is where its records come from.
    pub path_check: PathCheck,
    /// First retransmission timeout, and how long the answer to a path challenge may take.
    pub retransmit_ms: u64,
}

impl EndpointConfig {
    #[must_use]
    pub fn new(provider: &'static Provider) -> Self {
        Self {
            provider,
            versions: Versions::BOTH,
            suites: CipherSuite::ALL.to_vec(),
            groups: Group::ALL.to_vec(),
            credential: None,
            verifier: None,
            sessions_max: 100_000,
            handshakes_max: 4_096,
            mtu: 1200,
            routes: Routes::plain(),
            lease: 1024,
            require_cid: false,
            path_check: PathCheck::Basic,
            retransmit_ms: limits::RETRANSMIT_MS_INITIAL,
        }
    }

    pub(super) fn check(&self) -> Result<(), Error> {
        if self.suites.is_empty() || self.suites.len() > CipherSuite::ALL.len() {
            return Err(Error::Misuse("no cipher suites, or some twice"));
        }
        if !(1..=limits::SESSIONS_MAX).contains(&self.sessions_max) {
            return Err(Error::Misuse("the number of sessions is out of range"));
        }
        if self.handshakes_max == 0 {
            return Err(Error::Misuse("no handshakes at all"));
        }
        if !(limits::MTU_MIN..=limits::MTU_MAX).contains(&self.mtu) {
            return Err(Error::Misuse("the MTU is out of range"));
        }
        if self.lease == 0 || self.lease > limits::SEQUENCE_MAX {
            return Err(Error::Misuse("the lease is out of range"));
        }
        if self.retransmit_ms == 0 {
            return Err(Error::Misuse("a retransmission timeout of zero"));
        }
        Ok(())
    }

    /// RFC 9853 section 3: only for a client that offers a Connection ID, too.
    pub(super) fn checks_paths(&self, hello: &ClientHello<'_>) -> bool {
        let offered = hello.extensions.body(kind::RRC) == Some(&[]);
        offered && hello.extensions.connection_id.is_some() && self.path_check != PathCheck::Off
    }

    /// How long a handshake may take in all.
    pub(super) const fn handshake_ms(&self) -> u64 {
        self.retransmit_ms.saturating_mul(limits::HANDSHAKE_TIMEOUTS_MAX)
    }
}

impl core::fmt::Debug for EndpointConfig {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        write!(f, "EndpointConfig({:?}, {} suites)", self.versions, self.suites.len())
    }
}
