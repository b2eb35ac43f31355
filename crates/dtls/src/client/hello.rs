//! Our hello, and what the server makes of it.

use super::association::Association;
use super::handshake::Handshake;
use super::phase::Path;
use crate::handshake::extension::{Extensions, kind};
use crate::handshake::flight::Item;
use crate::handshake::hello::{Offer, ServerHello};
use crate::handshake::message::{self, Kind};
use crate::handshake::negotiation::{self, RecordLimits};
use crate::resumption::SessionName;
use crate::v13::hello::is_downgrade;
use crate::{CertificateType, CipherSuite, ClientResumption, Error, ResumableSession, Version, schedule};

pub(super) const NOT_OFFERED: Error = Error::Misbehaved("an extension that was not offered");

impl Handshake {
    //= rfc6347#4.2.1-4
    pub(super) fn put_hello(&mut self, cookie: &[u8]) -> Result<(), Error> {
        let config = &self.config;
        let (session_id, ticket) = config.resumption.in_hello(&self.random);
        let offer = Offer {
            cookie,
            own_cid: config.own_cid.as_ref(),
            rrc: config.rrc,
            groups: &config.groups,
            session_id,
            ticket,
            own_kind: config.credential().map(|own| own.kind),
            peer_kinds: config.verifier().map(|verifier| verifier.kinds()).unwrap_or_default(),
            record_size_limit: config.record_size_limit,
            max_fragment_length: config.max_fragment_length,
            server_name: config.server_name.as_deref(),
            ..Offer::new(&self.random, &self.suites)
        };
        let body = match &self.template {
            Some(template) => template.with_cookie(cookie),
            None => offer.encode(),
        };
        let message = message::encode(Kind::ClientHello, self.message_sequence, &body);
        //= rfc6347#4.2.6-2
        self.transcript.clear();
        self.transcript.append(&message)?;
        self.flight.clear();
        self.flight.push(Item::Plain(message));
        Ok(())
    }

    pub(super) fn on_server_hello(&mut self, body: &[u8]) -> Result<(), Error> {
        let hello = ServerHello::decode(body)?;
        // RFC 8446 section 4.1.3: somebody between us has taken DTLS 1.3 away.
        if self.config.versions.contains(Version::Dtls13) && is_downgrade(&hello.random) {
            return Err(Error::Misbehaved("a downgrade to DTLS 1.2"));
        }
        let suite = CipherSuite::from_code(hello.suite)
            .filter(|suite| self.suites.contains(suite))
            .ok_or(Error::Misbehaved("a cipher suite that was not offered"))?;
        let extensions = hello.extensions;
        // RFC 7627 section 5.3: without it, abort. That goes for resumed sessions too, which all have it.
        if !extensions.extended_master_secret {
            return Err(Error::Unsupported("the server has no extended master secret"));
        }
        if !extensions.iter().all(|(kind, body)| self.offered(kind, body, suite)) {
            return Err(NOT_OFFERED);
        }
        if extensions.renegotiation_info.is_some_and(|info| !info.is_empty()) {
            return Err(Error::Misbehaved("a renegotiation without a first handshake"));
        }
        self.settle_connection_ids(&extensions)?;
        self.settle_record_sizes(&extensions)?;
        self.server_kind = negotiation::chosen_kind(&extensions, kind::SERVER_CERTIFICATE_TYPE)?;
        self.client_kind = negotiation::chosen_kind(&extensions, kind::CLIENT_CERTIFICATE_TYPE)?;
        self.server_random = hello.random;
        self.suite = Some(suite);
        self.path = Path::of(suite);
        self.ticket_promised = extensions.body(kind::SESSION_TICKET).is_some();
        self.session_id.clear();
        self.session_id.extend_from_slice(hello.session_id);
        self.settle_resumption(suite)
    }

    /// Whether the server may answer with this extension.
    fn offered(&self, which: u16, body: &[u8], suite: CipherSuite) -> bool {
        let config = &self.config;
        let certified = Path::of(suite) == Path::Certified;
        match which {
            kind::EXTENDED_MASTER_SECRET | kind::RENEGOTIATION_INFO => true,
            kind::EC_POINT_FORMATS => self.suites.iter().any(|suite| suite.is_ecdhe()),
            kind::CONNECTION_ID => config.own_cid.is_some(),
            // RFC 9853 section 3: only beside a Connection ID.
            //= rfc9853#3-3
            kind::RRC => config.rrc && config.own_cid.is_some() && body.is_empty(),
            kind::RECORD_SIZE_LIMIT => config.record_size_limit.is_some(),
            kind::MAX_FRAGMENT_LENGTH => config.max_fragment_length.is_some(),
            kind::SERVER_NAME => config.server_name.is_some(),
            kind::SESSION_TICKET => !matches!(config.resumption, ClientResumption::Off),
            kind::CLIENT_CERTIFICATE_TYPE => {
                let own = config.credential().map(|own| own.kind as u8);
                certified && own.is_some_and(|own| own != 0 && *body == [own])
            }
            kind::SERVER_CERTIFICATE_TYPE => {
                let kinds = config.verifier().map(|verifier| verifier.kinds()).unwrap_or_default();
                let only_x509 = kinds.iter().all(|kind| *kind == CertificateType::X509);
                certified && !only_x509 && kinds.iter().any(|kind| *body == [*kind as u8])
            }
            _ => false,
        }
    }

    fn settle_connection_ids(&mut self, extensions: &Extensions<'_>) -> Result<(), Error> {
        self.cids = match (self.config.own_cid, extensions.connection_id) {
            (Some(own), Some(peer)) => Some((own, peer)),
            (None, Some(_)) => return Err(NOT_OFFERED),
            // Without it the server could not tell us from others.
            (_, None) if extensions.body(kind::CONNECTION_ID).is_some() => {
                return Err(Error::Unsupported("the server's Connection ID is too long for us"));
            }
            (_, None) => None,
        };
        if extensions.body(kind::RRC).is_some() && self.cids.is_none() {
            return Err(NOT_OFFERED);
        }
        let routed = self.cids.is_some_and(|(_, peer)| !peer.is_empty());
        match self.config.nat && !routed {
            true => Err(Error::Unsupported("no Connection ID for a client behind a NAT")),
            false => Ok(()),
        }
    }

    /// RFC 8449 section 5: of both extensions only the newer may be answered.
    fn settle_record_sizes(&mut self, extensions: &Extensions<'_>) -> Result<(), Error> {
        let limit = negotiation::record_size_limit(extensions)?;
        let length = negotiation::max_fragment_length(extensions)?;
        self.limits = match (limit, length) {
            //= rfc8449#5-2
            //= rfc8449#5-s1
            (Some(_), Some(_)) => return Err(Error::Misbehaved("two limits for one record")),
            (Some(send), None) => {
                RecordLimits { send, receive: self.config.record_size_limit.unwrap_or(send), in_the_clear: false }
            }
            (None, Some(length)) if Some(length) != self.config.max_fragment_length => {
                return Err(Error::Misbehaved("another fragment length than was asked for"));
            }
            (None, Some(length)) => RecordLimits { send: length.bytes(), receive: length.bytes(), in_the_clear: true },
            (None, None) => RecordLimits::NONE,
        };
        Ok(())
    }

    /// RFC 5246 section 7.4.1.3: the id that we have sent, sent back, means that the session goes on.
    fn settle_resumption(&mut self, suite: CipherSuite) -> Result<(), Error> {
        let ClientResumption::Offer(session) = &self.config.resumption else {
            return Ok(());
        };
        let (offered, _) = self.config.resumption.in_hello(&self.random);
        if self.session_id != offered {
            return Ok(());
        }
        if session.suite != suite {
            return Err(Error::Misbehaved("a session is resumed with another suite"));
        }
        let provider = self.config.provider;
        let keys = schedule::expand(provider, suite, session.master.clone(), &self.randoms());
        self.association = Some(self.associate(suite, &keys));
        self.keys = Some(keys);
        self.path = Path::Resumed;
        Ok(())
    }

    pub(super) fn associate(&self, suite: CipherSuite, keys: &schedule::Keys) -> Association {
        let (own_cid, peer_cid) = self.cids.unzip();
        let mut association =
            Association::new(self.config.provider, suite, keys, own_cid, peer_cid.unwrap_or_default());
        association.limits = self.limits;
        association
    }

    /// The session that goes on.
    pub(super) fn resumes(&self) -> Option<&ResumableSession> {
        match &self.config.resumption {
            ClientResumption::Offer(session) if self.path == Path::Resumed => Some(session),
            _ => None,
        }
    }

    /// What can be resumed another time.
    pub(super) fn resumable(&self) -> Option<ResumableSession> {
        if matches!(self.config.resumption, ClientResumption::Off) {
            return None;
        }
        let ticket = self.ticket.as_ref().filter(|ticket| !ticket.is_empty());
        let name = match (ticket, self.resumes()) {
            (Some(ticket), _) => SessionName::Ticket(ticket.clone()),
            (None, Some(session)) => session.name.clone(),
            (None, None) if !self.session_id.is_empty() => SessionName::Id(self.session_id.clone()),
            (None, None) => return None,
        };
        let (authentication, principal) = self.authentication();
        let master = self.keys.as_ref()?.master.clone();
        Some(ResumableSession { suite: self.suite?, master, name, authentication, principal })
    }

    pub(super) fn keep_ticket(&mut self, ticket: &[u8]) -> Result<(), Error> {
        self.ticket = Some(crate::codec::try_copy(ticket).ok_or(Error::Unavailable("no memory for a ticket"))?);
        Ok(())
    }
}
