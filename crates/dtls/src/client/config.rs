//! What a client is told.

use alloc::string::String;
use alloc::sync::Arc;
use alloc::vec::Vec;

use bartizan_crypto::{Provider, SecretBytes};

use crate::{
    CipherSuite, ClientResumption, ConnectionId, Credential, Error, Group, KeyExchange, MaxFragmentLength,
    PeerVerifier, Version, Versions, limits,
};

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
    /// DTLS 1.3: how many Connection IDs we ask the server for whenever we have none left for the next time we wake
    /// ([`Connection::request_connection_ids`](crate::Connection::request_connection_ids)), so that nobody can tell from
    /// outside that two wake-ups were ours. 0, the default, never asks.
    pub connection_ids: u8,
    /// Offer the return routability check (RFC 9853) where Connection IDs are offered: four bytes in each hello, and a
    /// server may send long answers to a new address after one question.
    pub rrc: bool,
    /// Said to the server in the clear (RFC 6066 section 3), which may choose among certificates by it.
    pub server_name: Option<String>,
    /// Most bytes that the server may encrypt into one record (RFC 8449).
    pub record_size_limit: Option<u16>,
    /// The same for servers that do not know [`Self::record_size_limit`], and for both directions.
    pub max_fragment_length: Option<MaxFragmentLength>,
    /// Resumption of earlier sessions, off by default.
    pub resumption: ClientResumption,
    /// Our address may change without our noticing: connect only to servers that give us a Connection ID.
    pub nat: bool,
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
            connection_ids: 0,
            rrc: true,
            server_name: None,
            record_size_limit: None,
            max_fragment_length: None,
            resumption: ClientResumption::Off,
            nat: false,
            mtu: 1200,
            retransmit_ms: limits::RETRANSMIT_MS_INITIAL,
            lease: 256,
        }
    }

    /// A client without a pre-shared key, for servers whose certificate or raw public key `verifier` believes.
    #[must_use]
    pub fn certified(provider: &'static Provider, verifier: Arc<dyn PeerVerifier>) -> Self {
        Self {
            suites: CipherSuite::ALL
                .into_iter()
                .filter(|suite| suite.key_exchange() == KeyExchange::EcdheEcdsa)
                .collect(),
            verifier: Some(verifier),
            ..Self::new(provider, &[], SecretBytes::EMPTY)
        }
    }

    /// The suites of DTLS 1.2 that we have the keys for.
    pub(super) fn usable_suites(&self) -> Vec<CipherSuite> {
        let has_group = self.groups.iter().any(|group| Group::CLASSICAL.contains(group));
        let usable = |suite: &CipherSuite| match suite.key_exchange() {
            KeyExchange::Psk => !self.psk.is_empty(),
            KeyExchange::EcdhePsk => !self.psk.is_empty() && has_group,
            KeyExchange::EcdheEcdsa => self.verifier.is_some() && has_group,
            KeyExchange::Negotiated => false,
        };
        let allowed = self.versions.contains(Version::Dtls12);
        self.suites.iter().copied().filter(|suite| allowed && usable(suite)).collect()
    }

    /// Whether DTLS 1.3 is configured with a suite and something to prove who the peer is.
    fn can_dtls_1_3(&self) -> bool {
        let has_suite = self.suites.iter().any(|suite| suite.version() == Version::Dtls13);
        let proves = !self.psk.is_empty() || (self.verifier.is_some() && !self.groups.is_empty());
        self.versions.contains(Version::Dtls13) && has_suite && proves
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
        self.check_security()?;
        self.check_hints()?;
        if !(limits::MTU_MIN..=limits::MTU_MAX).contains(&self.mtu) {
            return Err(Error::Misuse("the MTU is out of range"));
        }
        if self.connection_ids > limits::CONNECTION_IDS_REQUESTED_MAX {
            return Err(Error::Misuse("more Connection IDs than a server gives at a time"));
        }
        if self.retransmit_ms == 0 {
            return Err(Error::Misuse("a retransmission timeout of zero"));
        }
        Ok(())
    }

    /// What could be configured, but not be secure.
    fn check_security(&self) -> Result<(), Error> {
        if (1..limits::PSK_BYTES_MIN).contains(&self.psk.len()) {
            return Err(Error::Misuse("a PSK of less than 16 bytes: whoever records a handshake could search for it"));
        }
        if self.credential.is_some() && self.verifier.is_none() {
            return Err(Error::Misuse("a credential without a verifier: it would be shown to anybody at all"));
        }
        if self.usable_suites().is_empty() && !self.can_dtls_1_3() {
            return Err(Error::Misuse("no cipher suite can be used: each wants a PSK, or a verifier and a group"));
        }
        if self.nat && self.own_cid.is_none() {
            return Err(Error::Misuse("no Connection ID behind a NAT: the association would end with the address"));
        }
        Ok(())
    }

    fn check_hints(&self) -> Result<(), Error> {
        //= rfc8449#4-2
        //= rfc8449#4-6
        let sizes = limits::RECORD_SIZE_LIMIT_MIN..=limits::PLAINTEXT_BYTES_MAX as u16;
        if self.record_size_limit.is_some_and(|limit| !sizes.contains(&limit)) {
            return Err(Error::Misuse("a record size limit below 64 or beyond 16384"));
        }
        let bad = |name: &String| name.is_empty() || name.len() > limits::SERVER_NAME_BYTES_MAX || !name.is_ascii();
        if self.server_name.as_ref().is_some_and(bad) {
            return Err(Error::Misuse("a server name that is empty, too long or not in ASCII"));
        }
        if let ClientResumption::Offer(session) = &self.resumption
            && !self.usable_suites().contains(&session.suite())
        {
            return Err(Error::Misuse("the suite of the session to be resumed is not configured"));
        }
        Ok(())
    }
}

impl core::fmt::Debug for ClientConfig {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        write!(f, "ClientConfig({:?}, {} suites)", self.versions, self.suites.len())
    }
}
