//! What client and server agree on (RFC 8446 section 4.1.1).

use bartizan_wire::event::HandshakeFailure;

use super::super::config::{ClientAuthentication, EndpointConfig};
use crate::credential::CertificateType;
use crate::handshake::hello::ClientHello;
use crate::handshake::negotiation::RecordLimits;
use crate::hash::Hash;
use crate::v13::offer::Offer;
use crate::{AlertDescription, CipherSuite, ConnectionId, Group, Version};

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in super::super) struct Terms {
    pub suite: CipherSuite,
    /// Of the ephemeral exchange; `None` with a pre-shared key alone.
    pub group: Option<Group>,
    /// The pre-shared key is taken.
    pub psk: bool,
    /// What the client is asked to show, if it is asked.
    pub client_type: Option<CertificateType>,
    pub peer_cid: Option<ConnectionId>,
    /// The return routability check was negotiated.
    pub rrc: bool,
    /// RFC 8449: what the client takes, and whether it said so.
    pub limits: RecordLimits,
    pub says_limit: bool,
}

/// Why there are no terms, to the peer and to the operator.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Refusal(pub AlertDescription, pub HandshakeFailure);

const NO_COMMON_GROUND: Refusal = Refusal(AlertDescription::HANDSHAKE_FAILURE, HandshakeFailure::NoCommonGround);

/// The same hello leads to the same terms: the second hello is judged by the cookie's.
pub(super) fn settle(config: &EndpointConfig, hello: &ClientHello<'_>, offer: &Offer<'_>) -> Result<Terms, Refusal> {
    if config.require_cid && offer.connection_id.is_none() {
        return Err(NO_COMMON_GROUND);
    }
    let group = config.groups.iter().copied().find(|group| offer.has_group(*group));
    let by_psk = by_psk(config, hello, offer, group);
    by_psk.or_else(|| by_certificate(config, hello, offer, group)).ok_or(NO_COMMON_GROUND)
}

fn limits(config: &EndpointConfig, offer: &Offer<'_>) -> RecordLimits {
    let none = RecordLimits::NONE_13;
    offer.record_size_limit.map_or(none, |send| RecordLimits {
        send,
        receive: config.record_size_limit.unwrap_or(none.receive),
        in_the_clear: false,
    })
}

fn by_psk(config: &EndpointConfig, hello: &ClientHello<'_>, offer: &Offer<'_>, group: Option<Group>) -> Option<Terms> {
    let psk = offer.psk?;
    let hash = psk.hash()?;
    let group = group.filter(|_| psk.ephemeral);
    if group.is_none() && !psk.plain {
        return None;
    }
    let suite = suite(config, hello, Some(hash))?;
    Some(Terms {
        suite,
        group,
        psk: true,
        client_type: None,
        peer_cid: offer.connection_id,
        rrc: config.checks_paths(hello),
        limits: limits(config, offer),
        says_limit: offer.record_size_limit.is_some(),
    })
}

/// A client that has to show itself, and cannot in a way that we can judge, is refused at once.
fn by_certificate(
    config: &EndpointConfig,
    hello: &ClientHello<'_>,
    offer: &Offer<'_>,
    group: Option<Group>,
) -> Option<Terms> {
    let credential = config.credential.as_ref()?;
    let group = group?;
    let shown = offer.server_types.contains(&(credential.kind as u8));
    if !shown || !offer.takes_scheme(credential.signer.scheme().code()) {
        return None;
    }
    let client_type = client_type(config, offer);
    if client_type.is_none() && config.client_authentication == ClientAuthentication::Required {
        return None;
    }
    let suite = suite(config, hello, None)?;
    Some(Terms {
        suite,
        group: Some(group),
        psk: false,
        client_type,
        peer_cid: offer.connection_id,
        rrc: config.checks_paths(hello),
        limits: limits(config, offer),
        says_limit: offer.record_size_limit.is_some(),
    })
}

/// What the client is asked to show: the first kind that we can judge and it may have.
fn client_type(config: &EndpointConfig, offer: &Offer<'_>) -> Option<CertificateType> {
    let judged = config.verifier.as_ref().map(|verifier| verifier.kinds()).unwrap_or_default();
    let shared = judged.iter().copied().find(|kind| offer.client_types.contains(&(*kind as u8)));
    shared.filter(|_| config.client_authentication != ClientAuthentication::None)
}

/// Our first preference that the client offers, with this hash if it matters.
fn suite(config: &EndpointConfig, hello: &ClientHello<'_>, hash: Option<Hash>) -> Option<CipherSuite> {
    let usable = |suite: &CipherSuite| {
        suite.version() == Version::Dtls13 && hello.offers(suite.code()) && hash.is_none_or(|hash| suite.hash() == hash)
    };
    config.suites.iter().copied().find(usable)
}
