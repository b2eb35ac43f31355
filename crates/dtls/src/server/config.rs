//! What a server is told.

use alloc::sync::Arc;
use alloc::vec::Vec;

use bartizan_crypto::Provider;

use crate::handshake::extension::kind;
use crate::handshake::hello::ClientHello;
use crate::optional::CERTIFICATES;
use crate::{
    CipherSuite, Credential, Error, Group, KeyExchange, PathCheck, PeerVerifier, Resumption, Routes, Version, Versions,
    limits,
};

/// Whether clients without a pre-shared key must show who they are.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum ClientAuthentication {
    /// They are not asked, and stay anonymous.
    None,
    /// They are asked, and stay anonymous if they have nothing to show. What is shown must be in order.
    Optional,
    /// They are refused if they have nothing to show.
    Required,
}

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
    /// Judges clients' certificates and keys. Without it clients have pre-shared keys or stay anonymous.
    pub verifier: Option<Arc<dyn PeerVerifier>>,
    /// What becomes of clients that have neither a pre-shared key nor a certificate.
    pub client_authentication: ClientAuthentication,
    /// Whether sessions may be resumed, and how; off by default.
    pub resumption: Resumption,
    /// Most bytes that a client may encrypt into one record, if it knows the extension (RFC 8449).
    pub record_size_limit: Option<u16>,
    /// Records that may fail to open before an association with an 8-byte tag is closed:
    /// [`limits::FORGERIES_MAX_CCM_8`], of all senders together.
    ///
    /// Anybody who has seen a Connection ID can send such records, and a source address is no proof of anything, so
    /// counting by address would let an attacker multiply his tries. That makes closing a lever: 128 datagrams cost a
    /// device its association, not its posture. Where that hurts more than a chance of 2^-48 of one forged record,
    /// raise this; where suites with 16-byte tags can be used, which are preferred anyway, there is no lever.
    pub ccm_8_forgeries_max: u16,
    /// Clients sit behind address translators: those without a Connection ID must be refused.
    pub nat: bool,
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
            client_authentication: ClientAuthentication::Required,
            resumption: Resumption::Off,
            record_size_limit: None,
            ccm_8_forgeries_max: limits::FORGERIES_MAX_CCM_8,
            nat: false,
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
        if [Version::Dtls12, Version::Dtls13].into_iter().all(|version| !self.versions.contains(version)) {
            return Err(Error::Misuse("no version, or none that this build has"));
        }
        self.resumption.check()?;
        self.check_security()
    }

    /// What could be configured, but not be secure, or not work.
    fn check_security(&self) -> Result<(), Error> {
        let certified = |suite: &CipherSuite| suite.key_exchange() == KeyExchange::EcdheEcdsa;
        if self.credential.is_none() && self.suites.iter().all(certified) {
            return Err(Error::Misuse("suites with certificates, and no credential to show"));
        }
        if self.credential.is_some() && self.versions.contains(Version::Dtls12) && !CERTIFICATES {
            return Err(Error::Misuse("a credential for DTLS 1.2 in a build without certificates"));
        }
        let asks = self.client_authentication != ClientAuthentication::None;
        if self.credential.is_some() && self.verifier.is_none() && asks {
            return Err(Error::Misuse("a credential without a verifier: anonymous clients must be asked for by name"));
        }
        if self.ccm_8_forgeries_max == 0 {
            return Err(Error::Misuse("no failed opens at all: any datagram would end an association"));
        }
        //= rfc8449#4-2
        //= rfc8449#4-6
        let sizes = limits::RECORD_SIZE_LIMIT_MIN..=limits::PLAINTEXT_BYTES_MAX as u16;
        if self.record_size_limit.is_some_and(|limit| !sizes.contains(&limit)) {
            return Err(Error::Misuse("a record size limit below 64 or beyond 16384"));
        }
        if self.nat && !self.require_cid {
            return Err(Error::Misuse("no Connection IDs behind a NAT: associations would end with their addresses"));
        }
        Ok(())
    }

    /// RFC 9853 section 3: only for a client that offers a Connection ID, too.
    pub(super) fn checks_paths(&self, hello: &ClientHello<'_>) -> bool {
        //= rfc9853#3-2
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
