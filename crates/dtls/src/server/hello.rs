//! ClientHello: cookie, terms, and our first flight.

use alloc::boxed::Box;
use core::net::SocketAddr;

use bartizan_crypto::Random;
use bartizan_wire::event::{HandshakeFailure, RecordRejection};
use bartizan_wire::record::ContentType;

use super::config::EndpointConfig;
use super::endpoint::Endpoint;
use super::event::{EndpointEvent, HandshakeId, SessionId};
use super::handshake::{Handshake, Opening};
use super::phase::{Path, Step};
use super::resumption::SESSION_ID_BYTES;
use super::slab;
use super::terms::{Refusal, Terms};
use crate::alert::Alert;
use crate::handshake::certificate;
use crate::handshake::flight::{Item, Packer};
use crate::handshake::hello::{self, Choice, ClientHello};
use crate::handshake::message::{self, Fragment, Kind};
use crate::handshake::timer::Timer;
use crate::record::Protection;
use crate::schedule::{self, Randoms, Side};
use crate::v13::hello::mark_downgrade;
use crate::{CertificateType, Error, Instant, Resumption, Version, limits, record};

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
        let hello = match ClientHello::decode(body) {
            Ok(hello) => hello,
            Err(error) => {
                // Shorter than the hello, and nothing is kept: nobody is worse off for the answer.
                let alert = Alert::fatal(error.alert()).encode();
                self.transmit(remote, record::plain(ContentType::ALERT, record_sequence, &alert));
                return self.reject(remote, None, RecordRejection::Malformed);
            }
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
        match self.config.settle_terms(&hello) {
            Ok(terms) => self.begin(now, remote, record_sequence, fragment, &hello, terms),
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

    //= rfc6347#4.2.8-1
    //= rfc6347#4.2.8-s1
    /// Reserves a slot and sends our flight, unless the caller has to say first whether a session may go on.
    fn begin(
        &mut self,
        now: Instant,
        remote: SocketAddr,
        record_sequence: u64,
        fragment: &Fragment<'_>,
        hello: &ClientHello<'_>,
        terms: Terms,
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
            terms,
            past: self.past.find(now, hello),
            randoms: Randoms { client: hello.random, server: server_random },
            message_sequence: fragment.sequence,
            record_sequence,
        };
        let timer = Timer::start(now, self.config.retransmit_ms);
        let expires = now.plus(self.config.handshake_ms());
        let mut handshake = Box::new(Handshake::new(opening, timer, now, expires));
        //= rfc6347#4.2.6-2
        let hello_message = message::encode(Kind::ClientHello, fragment.sequence, fragment.body);
        let past = handshake.past.as_ref().map(|past| past.principal);
        let outcome = handshake.transcript.append(&hello_message).and_then(|()| match past {
            Some(_) => Ok(()),
            None => self.config.put_flight(&mut *self.rng, &mut handshake),
        });
        if outcome.is_err() {
            self.slab.release(session);
            return self.handshake_failed(remote, None, None, HandshakeFailure::Overloaded);
        }
        self.handshakes.insert(id, handshake);
        match past {
            Some(principal) => {
                self.events.push_back(EndpointEvent::ResumptionRequested { handshake: id, remote, principal });
            }
            None => self.repeat_flight(id),
        }
    }

    /// Answers [`EndpointEvent::ResumptionRequested`]. If the session may not go on, the handshake becomes a full one:
    /// the client shows again who it is.
    pub fn provide_resumption(&mut self, now: Instant, handshake: HandshakeId, allowed: bool) {
        let Some(state) = self.handshakes.get_mut(handshake) else {
            return;
        };
        let step = match allowed {
            true => Step::ResumptionAllowed,
            false => Step::ResumptionRefused,
        };
        let Ok(next) = state.after(step) else {
            return;
        };
        let outcome = match allowed {
            true => self.config.put_resumed_flight(&mut *self.rng, state),
            false => {
                state.past = None;
                self.config.put_flight(&mut *self.rng, state)
            }
        };
        state.phase = next;
        state.timer.restart(now);
        match outcome {
            Ok(()) => self.repeat_flight(handshake),
            Err(error) => self.fail_handshake(handshake, HandshakeFailure::Overloaded, Some(error.alert())),
        }
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
        self.handshake_id = HandshakeId(self.handshake_id.0.saturating_add(1));
        let id = self.handshake_id;
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
        if handshake.awaits_answer() && handshake.timer.may_answer(now) {
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
        let packer = Packer::new(self.config.mtu, &mut handshake.record_sequence);
        let mut packer = packer.with_fragments_of(handshake.terms.limits.clear_bytes_max());
        let (provider, suite, peer_cid) =
            (self.config.provider, handshake.suite, handshake.peer_cid.unwrap_or_default());
        let (keys, sequence) = (handshake.keys.as_ref(), &mut handshake.protected_sequence);
        packer.flight(&handshake.flight, |message| {
            let writing = Protection { provider, suite, key: keys?.server.as_ref() };
            let number = *sequence;
            *sequence += 1;
            writing.seal(&peer_cid, ContentType::HANDSHAKE, number, message).ok()
        });
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

impl EndpointConfig {
    /// ServerHello, Certificate, ServerKeyExchange, CertificateRequest and ServerHelloDone, as far as the suite has
    /// them.
    fn put_flight(&self, rng: &mut dyn Random, handshake: &mut Handshake) -> Result<(), Error> {
        if matches!(self.resumption, Resumption::SessionIds { .. }) {
            let mut id = [0; SESSION_ID_BYTES];
            rng.fill(&mut id);
            handshake.session_key = Some(id);
        }
        let session_id = handshake.session_key;
        let session_id = session_id.as_ref().map(<[u8; SESSION_ID_BYTES]>::as_slice).unwrap_or_default();
        self.put_hello(rng, handshake, session_id, handshake.terms.ticket)?;
        if handshake.path != Path::Psk {
            let own = self.credential.as_ref().ok_or(Error::Misuse("no credential"))?;
            put_message(handshake, Kind::Certificate, &certificate::encode(own.kind, &own.chain))?;
        }
        if let Some(group) = handshake.terms.group {
            let pair = (group.agreement(self.provider).generate)(rng);
            let body = self.server_key_exchange(rng, handshake, group, &pair)?;
            put_message(handshake, Kind::ServerKeyExchange, &body)?;
            handshake.exchange = Some((group, pair));
        }
        if handshake.path == Path::Asked {
            put_message(handshake, Kind::CertificateRequest, &certificate::encode_request())?;
            handshake.reassembly.expect_certificates();
        }
        put_message(handshake, Kind::ServerHelloDone, &[])
    }

    /// ServerHello, ChangeCipherSpec and Finished: the session goes on (RFC 5246 figure 2).
    fn put_resumed_flight(&self, rng: &mut dyn Random, handshake: &mut Handshake) -> Result<(), Error> {
        let past = handshake.past.as_ref().ok_or(Error::Misuse("no session to go on"))?;
        let (suite, master) = (past.suite, past.master.clone());
        handshake.suite = suite;
        handshake.principal = Some(past.principal);
        handshake.authentication = past.authentication;
        // The client's id again: its session's, or the one that it has sent with a ticket (RFC 5077 section 3.4).
        let session_id = handshake.terms.session_id.clone();
        handshake.session_key = session_id.as_slice().try_into().ok();
        self.put_hello(rng, handshake, &session_id, false)?;
        let keys = schedule::expand(self.provider, suite, master, &handshake.randoms);
        let hash = handshake.transcript.hash(self.provider, suite.hash());
        let verify_data = schedule::verify_data(self.provider, suite.hash(), &keys.master, Side::Server, &hash);
        let finished = message::encode(Kind::Finished, handshake.message_sequence, &verify_data);
        handshake.message_sequence = handshake.message_sequence.saturating_add(1);
        handshake.transcript.append(&finished)?;
        handshake.flight.extend([Item::ChangeCipherSpec, Item::Protected(finished)]);
        handshake.keys = Some(keys);
        Ok(())
    }

    fn put_hello(
        &self,
        rng: &mut dyn Random,
        handshake: &mut Handshake,
        session_id: &[u8],
        ticket: bool,
    ) -> Result<(), Error> {
        let resumed = handshake.past.is_some();
        let terms = &handshake.terms;
        let own_cid = terms.peer_cid.map(|_| self.routes.issue(handshake.session, rng));
        // Nobody shows a certificate in a resumed session (RFC 7250 section 4.2).
        let says = |kind: Option<CertificateType>| kind.filter(|_| !resumed);
        let choice = Choice {
            random: &handshake.randoms.server,
            suite: handshake.suite,
            own_cid: own_cid.as_ref(),
            rrc: terms.rrc,
            renegotiation: terms.renegotiation,
            point_formats: terms.point_formats && !resumed,
            session_id,
            ticket,
            server_kind: says(terms.server_kind),
            client_kind: says(terms.client_kind.filter(|_| terms.says_client_kind)),
            record_size_limit: terms.record_size_limit,
            max_fragment_length: terms.max_fragment_length,
        };
        let body = choice.encode();
        put_message(handshake, Kind::ServerHello, &body)
    }
}

fn put_message(handshake: &mut Handshake, kind: Kind, body: &[u8]) -> Result<(), Error> {
    let message = message::encode(kind, handshake.message_sequence, body);
    handshake.message_sequence = handshake.message_sequence.saturating_add(1);
    handshake.transcript.append(&message)?;
    handshake.flight.push(Item::Plain(message));
    Ok(())
}
