//! What client and server agree on, from the client's hello alone.

use alloc::vec::Vec;

use bartizan_wire::event::HandshakeFailure;
use bartizan_wire::record::DTLS_1_2;

use super::config::{ClientAuthentication, EndpointConfig};
use super::phase::Path;
use crate::codec::u16s;
use crate::handshake::exchange;
use crate::handshake::extension::kind;
use crate::handshake::hello::ClientHello;
use crate::handshake::negotiation::{self, RecordLimits};
use crate::limits::PLAINTEXT_BYTES_MAX;
use crate::{
    AlertDescription, CertificateType, CipherSuite, ConnectionId, Credential, Error, Group, KeyExchange,
    MaxFragmentLength, Resumption, SignatureScheme,
};

/// What client and server agree on.
pub(super) struct Terms {
    pub suite: CipherSuite,
    pub group: Option<Group>,
    pub peer_cid: Option<ConnectionId>,
    /// The return routability check was negotiated.
    pub rrc: bool,
    pub renegotiation: bool,
    pub point_formats: bool,
    /// What our hello says about certificates, where the client's did.
    pub server_kind: Option<CertificateType>,
    pub says_client_kind: bool,
    /// What the client is asked to show.
    pub client_kind: Option<CertificateType>,
    pub limits: RecordLimits,
    pub record_size_limit: Option<u16>,
    pub max_fragment_length: Option<MaxFragmentLength>,
    /// The client's; said again if its ticket is taken.
    pub session_id: Vec<u8>,
    /// Whether the client knows tickets and we give them.
    pub ticket: bool,
}

impl Terms {
    pub const fn path(&self) -> Path {
        match (self.suite.key_exchange(), self.client_kind) {
            (KeyExchange::EcdheEcdsa, Some(_)) => Path::Asked,
            (KeyExchange::EcdheEcdsa, None) => Path::Unasked,
            _ => Path::Psk,
        }
    }
}

/// Why there are no terms, to the peer and to the operator.
pub(super) struct Refusal(pub AlertDescription, pub HandshakeFailure);

impl Refusal {
    const NO_COMMON_GROUND: Self = Self(AlertDescription::HANDSHAKE_FAILURE, HandshakeFailure::NoCommonGround);
}

impl From<Error> for Refusal {
    fn from(error: Error) -> Self {
        Self(error.alert(), HandshakeFailure::Misbehaved)
    }
}

/// What certificates come to between the two, if they can be used at all.
#[derive(Clone, Copy)]
struct Certificates {
    server_kind: Option<CertificateType>,
    client_kind: Option<CertificateType>,
    says_client_kind: bool,
}

impl EndpointConfig {
    pub(super) fn settle_terms(&self, hello: &ClientHello<'_>) -> Result<Terms, Refusal> {
        // Versions count downwards; a client of DTLS 1.3 says 1.2 here (RFC 9147 section 5.3).
        if hello.version >> 8 != 0xFE || hello.version > DTLS_1_2 {
            return Err(Refusal(AlertDescription::PROTOCOL_VERSION, HandshakeFailure::NoCommonGround));
        }
        // RFC 7627 section 5.3: refuse peers without extended master secret.
        if !hello.extensions.extended_master_secret || !hello.compression.contains(&0) {
            return Err(Refusal::NO_COMMON_GROUND);
        }
        let peer_cid = hello.extensions.connection_id;
        if self.require_cid && peer_cid.is_none() {
            return Err(Refusal::NO_COMMON_GROUND);
        }
        let renegotiation = hello
            .signals_renegotiation()
            .map_err(|_| Refusal(AlertDescription::HANDSHAKE_FAILURE, HandshakeFailure::Misbehaved))?;
        let certificates = self.settle_certificates(hello)?;
        let (suite, group) = self.choose_suite(hello, certificates.is_some()).ok_or(Refusal::NO_COMMON_GROUND)?;
        let certificates = certificates.filter(|_| suite.key_exchange() == KeyExchange::EcdheEcdsa);
        let (limits, record_size_limit, max_fragment_length) = self.settle_record_sizes(hello)?;
        Ok(Terms {
            suite,
            group,
            peer_cid,
            rrc: self.checks_paths(hello),
            renegotiation,
            point_formats: group.is_some() && hello.extensions.point_formats.is_some(),
            server_kind: certificates.and_then(|settled| settled.server_kind),
            says_client_kind: certificates.is_some_and(|settled| settled.says_client_kind),
            client_kind: certificates.and_then(|settled| settled.client_kind),
            limits,
            record_size_limit,
            max_fragment_length,
            session_id: hello.session_id.to_vec(),
            ticket: matches!(self.resumption, Resumption::Tickets { .. })
                && hello.extensions.body(kind::SESSION_TICKET).is_some(),
        })
    }

    /// Our first preference that the client offers, with a group if it needs one.
    fn choose_suite(&self, hello: &ClientHello<'_>, certificates: bool) -> Option<(CipherSuite, Option<Group>)> {
        let group = exchange::choose_group(&self.groups, hello.extensions.groups);
        let usable = |suite: &&CipherSuite| match suite.key_exchange() {
            KeyExchange::Psk => true,
            KeyExchange::EcdhePsk => group.is_some(),
            KeyExchange::EcdheEcdsa => certificates && group.is_some(),
            KeyExchange::Negotiated => false,
        };
        let suite = *self.suites.iter().filter(|suite| hello.offers(suite.code())).find(usable)?;
        Some((suite, group.filter(|_| suite.is_ecdhe())))
    }

    /// RFC 7250 section 4.2. `None` if suites with certificates are out of the question.
    fn settle_certificates(&self, hello: &ClientHello<'_>) -> Result<Option<Certificates>, Error> {
        let extensions = &hello.extensions;
        let ours = negotiation::offered_kinds(extensions, kind::SERVER_CERTIFICATE_TYPE)?;
        let theirs = negotiation::offered_kinds(extensions, kind::CLIENT_CERTIFICATE_TYPE)?;
        let fits = |own: &&Credential| ours.contains(&(own.kind as u8)) && takes_key(hello, own.signer.scheme());
        let Some(own) = self.credential.as_ref().filter(fits) else {
            return Ok(None);
        };
        let judged = self.verifier.as_ref().map(|verifier| verifier.kinds()).unwrap_or_default();
        let client_kind = judged.iter().copied().find(|kind| theirs.contains(&(*kind as u8)));
        let client_kind = client_kind.filter(|_| self.client_authentication != ClientAuthentication::None);
        if client_kind.is_none() && self.client_authentication == ClientAuthentication::Required {
            return Ok(None);
        }
        let says_server_kind = extensions.body(kind::SERVER_CERTIFICATE_TYPE).is_some();
        let says_client_kind = extensions.body(kind::CLIENT_CERTIFICATE_TYPE).is_some();
        let server_kind = Some(own.kind).filter(|_| says_server_kind);
        Ok(Some(Certificates { server_kind, client_kind, says_client_kind }))
    }

    //= rfc8449#5-1
    /// RFC 8449 section 5: record_size_limit, and max_fragment_length only without it.
    fn settle_record_sizes(
        &self,
        hello: &ClientHello<'_>,
    ) -> Result<(RecordLimits, Option<u16>, Option<MaxFragmentLength>), Error> {
        let limit = negotiation::record_size_limit(&hello.extensions)?;
        let length = negotiation::max_fragment_length(&hello.extensions)?;
        Ok(match (limit, length) {
            (Some(send), _) => {
                let receive = self.record_size_limit.unwrap_or(PLAINTEXT_BYTES_MAX as u16);
                (RecordLimits { send, receive, in_the_clear: false }, Some(receive), None)
            }
            (None, Some(length)) => {
                let bytes = length.bytes();
                (RecordLimits { send: bytes, receive: bytes, in_the_clear: true }, None, Some(length))
            }
            (None, None) => (RecordLimits::NONE, None, None),
        })
    }
}

/// Whether the client can check signatures of this kind. RFC 8422 section 5.1: the curve of an ECDSA key is among the
/// client's groups, too, if it names any.
fn takes_key(hello: &ClientHello<'_>, scheme: SignatureScheme) -> bool {
    let curve = match scheme {
        SignatureScheme::EcdsaSecp256r1Sha256 => {
            let groups = hello.extensions.groups;
            groups.is_none_or(|groups| u16s(groups).any(|code| code == Group::Secp256r1.code()))
        }
        SignatureScheme::Ed25519 => true,
    };
    curve && negotiation::takes_signatures(&hello.extensions, scheme)
}
