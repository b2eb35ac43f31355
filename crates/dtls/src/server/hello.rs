//! ClientHello: cookie, terms, and our first flight.

use alloc::boxed::Box;
use core::net::SocketAddr;

use bartizan_wire::event::{HandshakeFailure, RecordRejection};
use bartizan_wire::record::{ContentType, DTLS_1_2};

use super::endpoint::Endpoint;
use super::event::{EndpointEvent, HandshakeId, SessionId};
use super::handshake::{Handshake, Opening};
use super::slab;
use crate::alert::Alert;
use crate::handshake::exchange;
use crate::handshake::flight::{Item, Packer};
use crate::handshake::hello::{self, Choice, ClientHello};
use crate::handshake::message::{self, Fragment, Kind};
use crate::handshake::timer::Timer;
use crate::schedule::Randoms;
use crate::v13::hello::mark_downgrade;
use crate::{AlertDescription, CipherSuite, ConnectionId, Error, Group, Instant, Version, limits, record};

/// What client and server agree on.
struct Terms {
    suite: CipherSuite,
    group: Option<Group>,
    peer_cid: Option<ConnectionId>,
    rrc: bool,
    renegotiation: bool,
    point_formats: bool,
}

/// Why there are no terms, to the peer and to the operator.
struct Refusal(AlertDescription, HandshakeFailure);

impl Refusal {
    const NO_COMMON_GROUND: Self = Self(AlertDescription::HANDSHAKE_FAILURE, HandshakeFailure::NoCommonGround);
}

impl Endpoint {
    /// RFC 6347 section 4.2.1: without a valid cookie the answer is a request, smaller than the hello, and nothing
    /// is kept. A hello in fragments cannot be answered without state and is dropped.
    pub(super) fn on_client_hello(
        &mut self,
        now: Instant,
        remote: SocketAddr,
        record_sequence: u64,
        fragment: &Fragment<'_>,
    ) {
        // Our records are numbered from the hello's on, and no number comes twice.
        if record_sequence > limits::HELLO_SEQUENCE_MAX {
            return self.reject(remote, None, RecordRejection::Unexpected);
        }
        if self.on_hello_13(now, remote, record_sequence, fragment) {
            return;
        }
        let Some(body) = fragment.whole() else {
            return self.reject(remote, None, RecordRejection::Unexpected);
        };
        let Ok(hello) = ClientHello::decode(body) else {
            return self.reject(remote, None, RecordRejection::Malformed);
        };
        //= rfc6347#4.2.1-s4
        //= rfc6347#4.2.1-s5
        //= rfc6347#5-s1
        if !self.cookies.verify(now, &mut *self.rng, remote, &hello) {
            return self.request_cookie(now, remote, record_sequence, fragment.sequence, &hello);
        }
        if let Some(id) = self.repeated_hello(remote, &hello) {
            return self.repeat_flight_if_due(now, id);
        }
        match self.settle_terms(&hello) {
            Ok(terms) => self.begin(now, remote, record_sequence, fragment, &hello, &terms),
            Err(Refusal(alert, reason)) => {
                //= rfc6347#4.2.7-s1
                let alert = Alert::fatal(alert).encode();
                self.transmit(remote, record::plain(ContentType::ALERT, record_sequence, &alert));
                self.handshake_failed(remote, None, None, reason);
            }
        }
    }

    fn request_cookie(
        &mut self,
        now: Instant,
        remote: SocketAddr,
        record_sequence: u64,
        message_sequence: u16,
        hello: &ClientHello<'_>,
    ) {
        let cookie = self.cookies.make(now, &mut *self.rng, remote, hello);
        let body = hello::encode_verify_request(&cookie);
        let request = message::encode(Kind::HelloVerifyRequest, message_sequence, &body);
        //= rfc6347#4.2.1-7
        // The record number is the hello's, since there is no state to count with (section 4.2.1).
        let record = record::plain(ContentType::HANDSHAKE, record_sequence, &request);
        self.transmit(remote, record);
    }

    /// The handshake that this very hello began.
    fn repeated_hello(&self, remote: SocketAddr, hello: &ClientHello<'_>) -> Option<HandshakeId> {
        let id = self.handshakes.at(remote)?;
        let handshake = self.handshakes.get(id)?;
        (handshake.randoms.client == hello.random).then_some(id)
    }

    fn settle_terms(&self, hello: &ClientHello<'_>) -> Result<Terms, Refusal> {
        // Versions count downwards; a client of DTLS 1.3 says 1.2 here (RFC 9147 section 5.3).
        if hello.version >> 8 != 0xFE || hello.version > DTLS_1_2 {
            return Err(Refusal(AlertDescription::PROTOCOL_VERSION, HandshakeFailure::NoCommonGround));
        }
        // RFC 7627 section 5.3: refuse peers without extended master secret.
        if !hello.extensions.extended_master_secret || !hello.compression.contains(&0) {
            return Err(Refusal::NO_COMMON_GROUND);
        }
        let peer_cid = hello.extensions.connection_id;
        if self.config.require_cid && peer_cid.is_none() {
            return Err(Refusal::NO_COMMON_GROUND);
        }
        let renegotiation = hello
            .signals_renegotiation()
            .map_err(|_| Refusal(AlertDescription::HANDSHAKE_FAILURE, HandshakeFailure::Misbehaved))?;
        let (suite, group) = self.choose_suite(hello).ok_or(Refusal::NO_COMMON_GROUND)?;
        Ok(Terms {
            suite,
            group,
            peer_cid,
            rrc: self.config.checks_paths(hello),
            renegotiation,
            point_formats: group.is_some() && hello.extensions.point_formats.is_some(),
        })
    }

    /// Our first preference that the client offers, with a group if it needs one.
    fn choose_suite(&self, hello: &ClientHello<'_>) -> Option<(CipherSuite, Option<Group>)> {
        let group = exchange::choose_group(&self.config.groups, hello.extensions.groups);
        let usable = |suite: &&CipherSuite| {
            hello.offers(suite.code()) && suite.is_psk() && (!suite.is_ecdhe() || group.is_some())
        };
        let suite = *self.config.suites.iter().find(usable)?;
        Some((suite, group.filter(|_| suite.is_ecdhe())))
    }

    //= rfc6347#4.2.8-1
    //= rfc6347#4.2.8-s1
    /// Reserves a slot and sends ServerHello, ServerKeyExchange (ECDHE only) and ServerHelloDone.
    fn begin(
        &mut self,
        now: Instant,
        remote: SocketAddr,
        record_sequence: u64,
        fragment: &Fragment<'_>,
        hello: &ClientHello<'_>,
        terms: &Terms,
    ) {
        if let Some(old) = self.handshakes.at(remote) {
            self.drop_handshake(old);
        }
        let Ok((id, session)) = self.reserve(now) else {
            return self.handshake_failed(remote, None, None, HandshakeFailure::Overloaded);
        };
        let mut server_random = [0; 32];
        self.rng.fill(&mut server_random);
        if self.config.versions.contains(Version::Dtls13) {
            mark_downgrade(&mut server_random);
        }
        //= rfc6347#4.2.1-8
        let opening = Opening {
            remote,
            session,
            suite: terms.suite,
            randoms: Randoms { client: hello.random, server: server_random },
            peer_cid: terms.peer_cid,
            rrc: terms.rrc,
            message_sequence: fragment.sequence,
            record_sequence,
        };
        let timer = Timer::start(now, self.config.retransmit_ms);
        let expires = now.plus(self.config.handshake_ms());
        let mut handshake = Box::new(Handshake::new(opening, timer, now, expires));
        //= rfc6347#4.2.6-2
        let hello_message = message::encode(Kind::ClientHello, fragment.sequence, fragment.body);
        let outcome = handshake.transcript.append(&hello_message).and_then(|()| self.put_flight(&mut handshake, terms));
        if outcome.is_err() {
            self.slab.release(session);
            return self.handshake_failed(remote, None, None, HandshakeFailure::Overloaded);
        }
        self.handshakes.insert(id, handshake);
        self.repeat_flight(id);
    }

    fn put_flight(&mut self, handshake: &mut Handshake, terms: &Terms) -> Result<(), Error> {
        let own_cid = self.config.routes.issue(handshake.session, &mut *self.rng);
        let own_cid = terms.peer_cid.map(|_| own_cid);
        let choice = Choice {
            random: &handshake.randoms.server,
            suite: terms.suite,
            own_cid: own_cid.as_ref(),
            rrc: terms.rrc,
            renegotiation: terms.renegotiation,
            point_formats: terms.point_formats,
        };
        put_message(handshake, Kind::ServerHello, &choice.encode())?;
        if let Some(group) = terms.group {
            let agreement = group.agreement(self.config.provider);
            let pair = (agreement.generate)(&mut *self.rng);
            let body = exchange::encode_server(group, pair.public.as_slice());
            put_message(handshake, Kind::ServerKeyExchange, &body)?;
            handshake.exchange = Some((group, pair));
        }
        put_message(handshake, Kind::ServerHelloDone, &[])
    }

    /// A number and a slot for a new handshake, displacing the oldest if the table is full.
    pub(super) fn reserve(&mut self, now: Instant) -> Result<(HandshakeId, SessionId), Error> {
        if self.handshakes() >= self.config.handshakes_max as usize {
            let both = [self.handshakes.displaceable(now), self.v13.displaceable(now)];
            let oldest = both.into_iter().flatten().min().ok_or(Error::Unavailable("too many handshakes"))?;
            self.fail_handshake(oldest, HandshakeFailure::Overloaded, None);
            self.fail_handshake_13(oldest, HandshakeFailure::Overloaded, None);
        }
        let session = self.slab.take(&mut *self.rng)?;
        let id = self.handshakes.next_id();
        let hot = self.slab.hot_mut(session);
        let hot = hot.ok_or(Error::Unavailable("the slot is gone"))?;
        hot.phase = slab::Phase::Handshaking;
        hot.principal = id.0;
        Ok((id, session))
    }

    fn repeat_flight_if_due(&mut self, now: Instant, id: HandshakeId) {
        let Some(handshake) = self.handshakes.get_mut(id) else {
            return;
        };
        if handshake.phase == super::handshake::Phase::KeyExchange && handshake.timer.may_answer(now) {
            handshake.timer.answered(now);
            self.repeat_flight(id);
        }
    }

    //= rfc6347#4.2.1-9
    /// Sends the flight under fresh record numbers.
    pub(super) fn repeat_flight(&mut self, id: HandshakeId) {
        let Some(handshake) = self.handshakes.get_mut(id) else {
            return;
        };
        let mut packer = Packer::new(self.config.mtu, &mut handshake.record_sequence);
        packer.flight(&handshake.flight, |_| None);
        let datagrams = packer.finish();
        let remote = handshake.remote;
        for datagram in datagrams {
            self.transmit(remote, datagram);
        }
        self.handshakes.reschedule(id);
    }

    pub(super) fn handshake_failed(
        &mut self,
        remote: SocketAddr,
        identity: Option<alloc::vec::Vec<u8>>,
        principal: Option<u64>,
        reason: HandshakeFailure,
    ) {
        self.events.push_back(EndpointEvent::HandshakeFailed { remote, identity, principal, reason });
    }
}

fn put_message(handshake: &mut Handshake, kind: Kind, body: &[u8]) -> Result<(), Error> {
    let message = message::encode(kind, handshake.message_sequence, body);
    handshake.message_sequence = handshake.message_sequence.saturating_add(1);
    handshake.transcript.append(&message)?;
    handshake.flight.push(Item::Plain(message));
    Ok(())
}
