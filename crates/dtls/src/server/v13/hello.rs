//! ClientHello: the HelloRetryRequest with its cookie, and hellos in fragments (RFC 9147 sections 5.1 and 5.5).

use alloc::boxed::Box;
use alloc::vec::Vec;
use core::net::SocketAddr;

use bartizan_wire::event::{HandshakeFailure, RecordRejection};

use super::super::endpoint::Endpoint;
use super::super::event::{EndpointEvent, HandshakeId};
use super::cookie::Cookie;
use super::handshake::{Handshake, Opening, Phase, Step};
use super::terms::{self, Refusal};
use crate::alert::Alert;
use crate::codec::try_copy;
use crate::handshake::hello::ClientHello;
use crate::handshake::message::{Fragment as Fragment12, Kind};
use crate::handshake::timer::Timer;
use crate::v13::flight::{Flight, Outgoing};
use crate::v13::hello::encode_retry;
use crate::v13::messages::{Fragment, kind};
use crate::v13::offer::{Offer, leading_cookie, leading_random, offers_dtls_1_3};
use crate::v13::reassembly::{Accepted, Reassembly};
use crate::v13::sealer::HandshakeSealer;
use crate::v13::transcript::Transcript;
use crate::{AlertDescription, Error, Instant, Version, limits, record};

impl Endpoint {
    /// Deals with a hello that offers DTLS 1.3, or is in fragments, which only DTLS 1.3 can have answered; `false` if
    /// it is one for DTLS 1.2.
    pub(in super::super) fn on_hello_13(
        &mut self,
        now: Instant,
        remote: SocketAddr,
        record_sequence: u64,
        fragment: &Fragment12<'_>,
    ) -> bool {
        if !self.config.versions.contains(Version::Dtls13) {
            return false;
        }
        let Some(body) = fragment.whole() else {
            self.on_hello_fragment(now, remote, record_sequence, fragment);
            return true;
        };
        let Ok(hello) = ClientHello::decode(body) else {
            return false;
        };
        if !offers_dtls_1_3(&hello) {
            let refused = !self.config.versions.contains(Version::Dtls12);
            if refused {
                let refusal = Refusal(AlertDescription::PROTOCOL_VERSION, HandshakeFailure::NoCommonGround);
                self.refuse_hello(remote, record_sequence, refusal);
            }
            return refused;
        }
        self.on_whole_hello(now, remote, record_sequence, fragment.sequence, body, &hello);
        true
    }

    fn on_whole_hello(
        &mut self,
        now: Instant,
        remote: SocketAddr,
        record_sequence: u64,
        sequence: u16,
        body: &[u8],
        hello: &ClientHello<'_>,
    ) {
        let misbehaved = |error: Error| Refusal(error.alert(), HandshakeFailure::Misbehaved);
        let offer = match Offer::read(hello) {
            Ok(offer) => offer,
            Err(error) => return self.refuse_hello(remote, record_sequence, misbehaved(error)),
        };
        let Some(bytes) = offer.cookie else {
            return self.request_retry(now, remote, record_sequence, sequence, body, hello, &offer);
        };
        let Some(cookie) = Cookie::open(bytes, &mut self.cookies, now, &mut *self.rng, remote, &hello.random) else {
            // RFC 9147 section 5.1.
            //= rfc9147#5.1-5
            let alert = Alert::fatal(AlertDescription::ILLEGAL_PARAMETER).encode();
            let record = record::plain(bartizan_wire::record::ContentType::ALERT, record_sequence, &alert);
            self.transmit(remote, record);
            return self.reject(remote, None, RecordRejection::Unexpected);
        };
        if let Some(id) = self.repeated_hello_13(remote, hello) {
            return self.repeat_flight_13_if_due(now, id);
        }
        let id = self.open_handshake_13(now, remote, record_sequence, sequence, cookie, bytes);
        if let Some(id) = id {
            self.on_hello_complete(now, id, body);
        }
    }

    //= rfc9147#5.1-s1
    //= rfc9147#5.1-s2
    //= rfc9147#11-s1
    /// RFC 9147 section 5.1: nothing is kept, and the answer is no longer than the hello.
    #[allow(clippy::too_many_arguments, reason = "the parts of one hello")]
    fn request_retry(
        &mut self,
        now: Instant,
        remote: SocketAddr,
        record_sequence: u64,
        sequence: u16,
        body: &[u8],
        hello: &ClientHello<'_>,
        offer: &Offer<'_>,
    ) {
        let terms = match terms::settle(&self.config, hello, offer) {
            Ok(terms) => terms,
            Err(refusal) => return self.refuse_hello(remote, record_sequence, refusal),
        };
        let mut transcript = Transcript::default();
        if transcript.append(kind::CLIENT_HELLO, body).is_err() {
            return self.reject(remote, None, RecordRejection::Unexpected);
        }
        let cookie = Cookie {
            suite: terms.suite,
            group: terms.group.filter(|group| offer.share(*group).is_none()),
            hello: transcript.hash(self.config.provider, terms.suite.hash()),
        };
        let bytes = cookie.seal(&mut self.cookies, now, &mut *self.rng, remote, &hello.random);
        let body = encode_retry(cookie.suite, cookie.group, &bytes);
        let mut flight = Flight::default();
        flight.push(Outgoing { kind: kind::SERVER_HELLO, sequence, epoch: 0, body });
        // The record number is the hello's, since there is no state to count with.
        let mut plain_next = record_sequence;
        let mut sealer = HandshakeSealer { provider: self.config.provider, plain_next: &mut plain_next, keys: None };
        for datagram in flight.transmit(self.config.mtu, &mut sealer) {
            self.transmit(remote, datagram);
        }
    }

    fn refuse_hello(&mut self, remote: SocketAddr, record_sequence: u64, refusal: Refusal) {
        let Refusal(alert, reason) = refusal;
        let alert = Alert::fatal(alert).encode();
        let record = record::plain(bartizan_wire::record::ContentType::ALERT, record_sequence, &alert);
        self.transmit(remote, record);
        self.handshake_failed(remote, None, None, reason);
    }

    /// The first fragment has to hold a valid cookie; without it none is kept.
    fn on_hello_fragment(&mut self, now: Instant, remote: SocketAddr, record_sequence: u64, fragment: &Fragment12<'_>) {
        let fragment = Fragment {
            kind: Kind::ClientHello as u8,
            length: fragment.length,
            sequence: fragment.sequence,
            offset: fragment.offset,
            body: fragment.body,
        };
        let leading = leading_cookie(fragment.body).filter(|_| fragment.offset == 0);
        // Not one of another hello: the client may have begun anew.
        let under_way = self.v13.at(remote).filter(|id| {
            self.v13.get(*id).is_some_and(|handshake| {
                let same = leading.is_none_or(|cookie| cookie == &*handshake.cookie_bytes);
                same && fragment.sequence <= handshake.reassembly.due()
            })
        });
        let id = under_way.or_else(|| {
            let (bytes, random) = (leading?, leading_random(fragment.body)?);
            let cookie = Cookie::open(bytes, &mut self.cookies, now, &mut *self.rng, remote, random)?;
            self.open_handshake_13(now, remote, record_sequence, fragment.sequence, cookie, bytes)
        });
        let Some((id, handshake)) = id.and_then(|id| Some((id, self.v13.get_mut(id)?))) else {
            return self.reject(remote, None, RecordRejection::Unexpected);
        };
        if handshake.phase != Phase::Hello {
            if handshake.reassembly.is_old(&fragment) {
                return self.repeat_flight_13_if_due(now, id);
            }
            return self.reject(remote, None, RecordRejection::Unexpected);
        }
        if handshake.reassembly.accept(&fragment) == Accepted::Refused {
            return self.reject(remote, None, RecordRejection::Unexpected);
        }
        // The record numbers of the fragments are all the client's; ours follow the last.
        handshake.plain_next = handshake.plain_next.max(record_sequence);
        if let Some(message) = handshake.reassembly.next() {
            self.on_hello_complete(now, id, &message.body);
        }
    }

    /// The handshake that this very hello began.
    fn repeated_hello_13(&self, remote: SocketAddr, hello: &ClientHello<'_>) -> Option<HandshakeId> {
        let id = self.v13.at(remote)?;
        (self.v13.get(id)?.random == Some(hello.random)).then_some(id)
    }

    /// A client with a valid cookie: from here on there is state.
    fn open_handshake_13(
        &mut self,
        now: Instant,
        remote: SocketAddr,
        record_sequence: u64,
        sequence: u16,
        cookie: Cookie,
        bytes: &[u8],
    ) -> Option<HandshakeId> {
        if let Some(old) = self.v13.at(remote) {
            self.drop_handshake_13(old);
        }
        let cookie_bytes = try_copy(bytes);
        let (Ok((id, session)), Some(cookie_bytes)) = (self.reserve(now), cookie_bytes) else {
            self.handshake_failed(remote, None, None, HandshakeFailure::Overloaded);
            return None;
        };
        let opening =
            Opening { remote, session, cookie, cookie_bytes, message_sequence: sequence, plain_next: record_sequence };
        let timer = Timer::start(now, self.config.retransmit_ms);
        let expires = now.plus(self.config.handshake_ms());
        self.v13.insert(id, Box::new(Handshake::new(opening, timer, now, expires)));
        Some(id)
    }

    /// The whole hello is there, its cookie valid.
    fn on_hello_complete(&mut self, now: Instant, id: HandshakeId, body: &[u8]) {
        let outcome = self.begin_13(id, body);
        match outcome {
            Ok(Some(identity)) => {
                let remote = self.v13.get(id).map(|handshake| handshake.remote);
                self.v13.reschedule(id);
                if let Some(remote) = remote {
                    self.events.push_back(EndpointEvent::PskRequested { handshake: id, remote, identity });
                }
            }
            Ok(None) => self.answer_13(now, id, None),
            Err(Refusal(alert, reason)) => self.fail_handshake_13(id, reason, Some(alert)),
        }
    }

    /// Checks the second hello against the cookie; returns the identity whose key is to be looked up, if there is one.
    fn begin_13(&mut self, id: HandshakeId, body: &[u8]) -> Result<Option<Vec<u8>>, Refusal> {
        let misbehaved = |error: Error| Refusal(error.alert(), HandshakeFailure::Misbehaved);
        let illegal = Refusal(AlertDescription::ILLEGAL_PARAMETER, HandshakeFailure::Misbehaved);
        let overloaded = Refusal(AlertDescription::INTERNAL_ERROR, HandshakeFailure::Overloaded);
        let hello = ClientHello::decode(body).map_err(misbehaved)?;
        let offer = Offer::read(&hello).map_err(misbehaved)?;
        let terms = terms::settle(&self.config, &hello, &offer)?;
        let handshake = self.v13.get_mut(id).ok_or(overloaded)?;
        let cookie = &handshake.cookie;
        // RFC 8446 section 4.1.2: between the hellos nothing changes but what was asked for.
        let share_is_there = terms.group.is_none_or(|group| offer.share(group).is_some());
        let same_group = cookie.group.is_none() || cookie.group == terms.group;
        let same_cookie = offer.cookie == Some(&*handshake.cookie_bytes);
        if cookie.suite != terms.suite || !share_is_there || !same_group || !same_cookie || !offers_dtls_1_3(&hello) {
            return Err(illegal);
        }
        if let Some(psk) = &offer.psk
            && psk.identity.len() > limits::IDENTITY_BYTES_MAX
        {
            return Err(Refusal(AlertDescription::HANDSHAKE_FAILURE, HandshakeFailure::NoCommonGround));
        }
        let step = match terms.client_type {
            _ if terms.psk => Step::PskHello,
            Some(_) => Step::CertificateHello,
            None => Step::UnaskedHello,
        };
        let next = handshake.phase.after(step).ok_or(illegal)?;
        let retry = encode_retry(cookie.suite, cookie.group, &handshake.cookie_bytes);
        let begun = handshake.transcript.retry(&cookie.hello);
        begun.and_then(|()| handshake.transcript.append(kind::SERVER_HELLO, &retry)).map_err(|_| overloaded)?;
        handshake.hello = try_copy(body).ok_or(overloaded)?;
        handshake.random = Some(hello.random);
        handshake.terms = Some(terms);
        handshake.phase = next;
        let due = handshake.message_sequence.saturating_add(1);
        handshake.reassembly = Reassembly::new(due, limits::REASSEMBLY_13_BYTES_MAX);
        let Some(psk) = offer.psk.filter(|_| terms.psk) else {
            return Ok(None);
        };
        handshake.identity = try_copy(psk.identity);
        try_copy(psk.identity).map(Some).ok_or(overloaded)
    }
}
