//! Established associations of DTLS 1.3: records in, records out, keys and Connection IDs.

use alloc::vec::Vec;
use core::net::SocketAddr;

use bartizan_crypto::Provider;
use bartizan_wire::event::RecordRejection;
use bartizan_wire::record::ContentType;

use super::super::endpoint::Endpoint;
use super::super::event::{EndpointEvent, HandshakeId, SessionId};
use super::super::slab::Phase;
use crate::alert::Alert;
use crate::v13::Fault;
use crate::v13::ack::Acks;
use crate::v13::established::{self, Established, FIRST_NUMBER, Kept, Request, WORN_OUT, Writing, lease_end};
use crate::v13::messages::{Side, encode_new_connection_id, kind};
use crate::v13::record::{self, ACK, Place, Protection, Sealed, epoch_of, number};
use crate::v13::schedule::EPOCH_HANDSHAKE;
use crate::{AlertDescription, CipherSuite, CloseReason, ConnectionId, Error, Instant, ReplayWindow, limits};

/// What an association of DTLS 1.3 has beyond one of 1.2.
pub(in super::super) struct Session13 {
    pub established: Established,
    /// Which records have been seen; counts epochs, too, as do the next two.
    pub window: ReplayWindow,
    pub send_next: u64,
    /// First number that is not leased.
    pub lease: u64,
    /// The records of the client's last flight, to be acknowledged once the association is durable.
    acks: Acks,
}

impl Session13 {
    /// An association that begins, with so many numbers leased.
    pub fn new(established: Established, acks: Acks, lease: u64) -> Self {
        let (send_next, lease) = (FIRST_NUMBER, lease_end(FIRST_NUMBER, lease));
        //= rfc9147#4.5.1-1
        Self { established, window: ReplayWindow::default(), send_next, lease, acks }
    }

    /// One that comes back after a restart: the window and the lease say which keys were in use.
    pub fn restore(
        provider: &'static Provider,
        suite: CipherSuite,
        kept: Kept,
        window: ReplayWindow,
        lease: u64,
    ) -> Self {
        let lease = lease.max(FIRST_NUMBER);
        let established = established::restore(provider, suite, kept, &window, lease);
        Self { established, window, send_next: lease, lease, acks: Acks::default() }
    }

    /// The keys, and what it takes to send with them.
    fn parts<'s>(
        &'s mut self,
        provider: &'static Provider,
        suite: CipherSuite,
        cid: &'s ConnectionId,
    ) -> (&'s mut Established, Writing<'s>) {
        let writing = Writing { provider, suite, cid, send_next: &mut self.send_next, end: self.lease };
        (&mut self.established, writing)
    }
}

/// What a session is called and where it is, for those who send to it.
struct Way {
    suite: CipherSuite,
    to: SocketAddr,
    cid: ConnectionId,
}

impl Endpoint {
    /// Takes the first record, which has a unified header, off a datagram.
    pub(in super::super) fn on_unified<'d>(
        &mut self,
        now: Instant,
        remote: SocketAddr,
        datagram: &'d mut [u8],
    ) -> &'d mut [u8] {
        let cid_len = self.config.routes.cid_len(datagram.get(1).copied().unwrap_or_default());
        match record::split(datagram, cid_len) {
            Ok((record, rest)) => {
                let cid = record.connection_id().and_then(ConnectionId::new);
                self.on_sealed(now, remote, record);
                //= rfc9147#4-7
                let others = |next: &[u8]| cid.as_ref().is_none_or(|cid| cid.as_slice() != next);
                match record::leading_cid(rest, cid_len).is_some_and(others) {
                    true => &mut [],
                    false => rest,
                }
            }
            Err(reason) => {
                self.reject(remote, None, reason);
                &mut []
            }
        }
    }

    /// The Connection ID names the slot; a stale generation is refused before any cipher runs.
    fn on_sealed(&mut self, now: Instant, remote: SocketAddr, record: Sealed<'_>) {
        let Some(cid) = record.connection_id() else {
            return self.on_sealed_without_cid(now, remote, record);
        };
        let session = self.config.routes.session_of(cid);
        let found = session.and_then(|session| Some((session, self.slab.hot(session)?)));
        match found {
            Some((session, hot)) if hot.phase == Phase::Established && hot.own_cid => {
                self.on_session_record_13(now, session, remote, record);
            }
            Some((_, hot)) if hot.phase == Phase::Handshaking && self.has_given_cid(HandshakeId(hot.principal)) => {
                let id = HandshakeId(hot.principal);
                self.on_handshake_record_13(now, id, remote, record);
            }
            // The client repeats its Finished while the association becomes durable.
            Some((_, hot)) if hot.phase == Phase::AwaitDurable => self.accounted = true,
            //= rfc9147#9.1-1
            _ => self.reject(remote, None, RecordRejection::UnknownConnectionId),
        }
    }

    fn has_given_cid(&self, id: HandshakeId) -> bool {
        let terms = self.v13.get(id).and_then(|handshake| handshake.terms);
        terms.is_some_and(|terms| terms.peer_cid.is_some())
    }

    //= rfc9147#5.11-1
    /// Peers without a Connection ID are found by address; one that begins anew has a handshake there as well, whose
    /// records say by their epoch what they are.
    fn on_sealed_without_cid(&mut self, now: Instant, remote: SocketAddr, record: Sealed<'_>) {
        let handshake = self.v13.at(remote).filter(|id| {
            let terms = self.v13.get(*id).and_then(|handshake| handshake.terms);
            record.may_be_of(EPOCH_HANDSHAKE) && terms.is_some_and(|terms| terms.peer_cid.is_none())
        });
        match (handshake, self.by_address.get(&remote).copied()) {
            (Some(id), _) => self.on_handshake_record_13(now, id, remote, record),
            (None, Some(session)) => self.on_session_record_13(now, session, remote, record),
            (None, None) => self.reject_plain(),
        }
    }

    fn on_session_record_13(&mut self, now: Instant, session: SessionId, remote: SocketAddr, record: Sealed<'_>) {
        let provider = self.config.provider;
        let Some(hot) = self.slab.hot(session) else {
            return;
        };
        let (principal, suite) = (hot.principal, hot.suite);
        let bytes = record.len();
        let Some(v13) = self.slab.v13_mut(session) else {
            return self.reject(remote, Some(principal), RecordRejection::Unexpected);
        };
        let opened = match v13.established.open(provider, suite, &mut v13.window, record) {
            Ok(opened) => opened,
            Err(reason) => {
                let worn_out = v13.established.is_worn_out(suite, self.config.ccm_8_forgeries_max);
                let evades =
                    reason == RecordRejection::Forged && v13.established.evade(suite, self.config.ccm_8_forgeries_max);
                self.reject(remote, Some(principal), reason);
                if worn_out {
                    self.close(now, session, WORN_OUT);
                } else if evades {
                    self.transmit_post(now, session);
                }
                return;
            }
        };
        self.accounted = true;
        if epoch_of(opened.number) == EPOCH_HANDSHAKE {
            return self.on_repeated_flight(session, remote, opened.number, opened.kind);
        }
        v13.established.post.wake(now, self.config.retransmit_ms);
        if let Some(hot) = self.slab.hot_mut(session) {
            hot.set_last_seen(now);
        }
        if opened.kind == ContentType::RETURN_ROUTABILITY_CHECK {
            return self.on_path_message(now, session, remote, bytes, opened.content);
        }
        self.note_arrival(now, session, remote, bytes, opened.newest);
        match opened.kind {
            ContentType::APPLICATION_DATA => {
                self.forget_handshake(session);
                self.on_data(session, remote, opened.number, opened.content);
            }
            ContentType::ALERT => self.on_alert_13(session, remote, opened.content),
            ContentType::HANDSHAKE => self.on_late_handshake_13(now, session, remote, opened.number, opened.content),
            ACK => self.on_ack_13(session, remote, opened.content),
            _ => self.reject(remote, Some(principal), RecordRejection::Unexpected),
        }
        self.transmit_post(now, session);
    }

    //= rfc9147#5.8.1-1
    //= rfc9147#7.1-2
    /// The client repeats its last flight: the ACK for it was lost (RFC 9147 section 5.8.1). It goes to where the
    /// repetition came from, which is longer: the client may have moved since its cookie.
    fn on_repeated_flight(&mut self, session: SessionId, remote: SocketAddr, number: u64, kind: ContentType) {
        if kind == ContentType::HANDSHAKE {
            let mut acks = Acks::default();
            acks.note(number);
            if let Ok((_, record)) = self.seal_13(session, ACK, &acks.encode(usize::MAX)) {
                self.transmit(remote, record);
            }
            self.ask_for_lease(session);
        }
    }

    /// The client has shown that it has our ACK.
    fn forget_handshake(&mut self, session: SessionId) {
        if let Some(v13) = self.slab.v13_mut(session) {
            v13.established.handshake_read = None;
        }
    }

    fn acknowledge(&mut self, session: SessionId, number: u64) {
        let mut acks = Acks::default();
        acks.note(number);
        self.send_within(session, ACK, &acks.encode(usize::MAX));
        self.ask_for_lease(session);
    }

    fn way(&self, session: SessionId) -> Option<Way> {
        let hot = self.slab.hot(session)?;
        Some(Way { suite: hot.suite, to: hot.remote.unpack(), cid: self.slab.peer_cid(session) })
    }

    pub(in super::super) fn is_dtls_1_3(&self, session: SessionId) -> bool {
        self.slab.v13(session).is_some()
    }

    /// The association is durable: the ACK for the client's last flight may leave.
    pub(in super::super) fn send_final_ack(&mut self, session: SessionId) {
        let mtu = self.config.mtu;
        let room = self.overhead_13(session).map_or(0, |overhead| mtu.saturating_sub(overhead));
        let Some(v13) = self.slab.v13_mut(session) else {
            return;
        };
        let content = v13.acks.encode(room);
        v13.acks.clear();
        if let Ok((to, record)) = self.seal_13(session, ACK, &content) {
            self.transmit(to, record);
        }
    }

    fn on_alert_13(&mut self, session: SessionId, remote: SocketAddr, content: &[u8]) {
        match Alert::decode(content) {
            Some(alert) if alert.description == AlertDescription::CLOSE_NOTIFY => {
                self.send_alert(session, AlertDescription::CLOSE_NOTIFY);
                self.remove(session, CloseReason::Peer);
            }
            Some(alert) if alert.description == AlertDescription::USER_CANCELED => {}
            // RFC 8446 section 6: every other one is fatal, whatever its level says.
            Some(alert) => self.remove(session, CloseReason::Alert(alert.description)),
            None => {
                let claimed = self.principal_of(session);
                self.reject(remote, claimed, RecordRejection::Malformed);
            }
        }
    }

    fn on_late_handshake_13(
        &mut self,
        now: Instant,
        session: SessionId,
        remote: SocketAddr,
        number: u64,
        content: &[u8],
    ) {
        let Some(v13) = self.slab.v13_mut(session) else {
            return;
        };
        let outcome = v13.established.on_handshake(Side::Server, content);
        let outcome = outcome.and_then(|(requests, taken)| {
            requests.into_iter().try_for_each(|request| self.comply(session, request)).map(|()| taken)
        });
        match outcome {
            //= rfc9147#8-1
            //= rfc9147#7-s1
            Ok(true) => self.acknowledge(session, number),
            Ok(false) => {}
            Err(Fault { alert, .. }) => {
                let claimed = self.principal_of(session);
                self.reject(remote, claimed, RecordRejection::Unexpected);
                self.close(now, session, alert);
            }
        }
    }

    fn comply(&mut self, session: SessionId, request: Request) -> Result<(), Fault> {
        let in_use = !self.slab.peer_cid(session).is_empty();
        let given = self.slab.hot(session).is_some_and(|hot| hot.own_cid);
        match request {
            // RFC 9147 section 9: only where Connection IDs are in use.
            //= rfc9147#9-3
            //= rfc9147#9-5
            //= rfc9147#9-7
            //= rfc9147#9-8
            Request::UseConnectionId { .. } if !in_use => {
                Err(Fault::unexpected("a Connection ID where none are in use"))
            }
            Request::ConnectionIds(_) if !given => {
                Err(Fault::unexpected("a request for a Connection ID where none are in use"))
            }
            Request::UseConnectionId { cid, at_once } => {
                if at_once {
                    //= rfc9147#9-1
                    self.slab.set_peer_cid(session, &cid);
                }
                Ok(())
            }
            // Section 9 lets us give fewer than were asked for: a session has one name.
            Request::ConnectionIds(_) => {
                if let Some(v13) = self.slab.v13_mut(session) {
                    v13.established.post.queue(kind::NEW_CONNECTION_ID, encode_new_connection_id(&[], false));
                }
                Ok(())
            }
        }
    }

    fn on_ack_13(&mut self, session: SessionId, remote: SocketAddr, content: &[u8]) {
        let Some(v13) = self.slab.v13_mut(session) else {
            return;
        };
        match v13.established.on_ack(content) {
            Ok(true) => self.ask_for_next_epoch(session),
            Ok(false) => {}
            Err(_) => {
                let claimed = self.principal_of(session);
                self.reject(remote, claimed, RecordRejection::Malformed);
            }
        }
    }

    /// The next epoch begins once its first numbers are leased durably: after a restart it is the lease that tells
    /// which keys are in use.
    fn ask_for_next_epoch(&mut self, session: SessionId) {
        let count = self.config.lease;
        let v13 = self.slab.v13(session).filter(|v13| v13.established.write_granted);
        let next = v13.and_then(|v13| Some((v13.lease, v13.established.keys.write_epoch.checked_add(1)?)));
        let first = next.filter(|(lease, next)| *lease <= number(*next, 0)).map(|(_, next)| number(next, 0));
        if let Some(first) = first {
            self.ask_for(session, lease_end(first, count));
        }
    }

    /// Asks for more when half of a lease is used, once.
    pub(in super::super) fn ask_for_lease_13(&mut self, session: SessionId) {
        let count = self.config.lease;
        let Some(v13) = self.slab.v13(session) else {
            return;
        };
        let (lease, send_next) = (v13.lease, v13.send_next);
        let same_epoch = epoch_of(lease) == epoch_of(send_next);
        if same_epoch && lease.saturating_sub(send_next) <= count / 2 {
            self.ask_for(session, lease_end(lease, count));
        }
    }

    fn ask_for(&mut self, session: SessionId, upto: u64) {
        let Some(hot) = self.slab.hot_mut(session) else {
            return;
        };
        if !core::mem::replace(&mut hot.lease_asked, true) {
            self.events.push_back(EndpointEvent::LeaseLow { session, upto });
        }
    }

    /// Numbers below `upto` are leased durably; where they are of the next epoch, that is where sending goes on.
    pub(in super::super) fn extend_lease_13(&mut self, session: SessionId, upto: u64) {
        if let Some(v13) = self.slab.v13_mut(session) {
            v13.lease = v13.lease.max(upto);
        }
        if let Some(hot) = self.slab.hot_mut(session) {
            hot.lease_asked = false;
        }
        self.ask_for_next_epoch(session);
    }

    /// DTLS 1.3: asks for new keys in the direction in which we send (RFC 9147 section 8). They are used once the peer
    /// has acknowledged it and a lease of numbers under them, which [`EndpointEvent::LeaseLow`] asks for, is durable.
    ///
    /// # Errors
    /// `Misuse` for an unknown session or one of DTLS 1.2; `Unavailable` in the last epoch.
    pub fn update_keys(&mut self, now: Instant, session: SessionId) -> Result<(), Error> {
        let established = self.established(session).is_some();
        let v13 = self.slab.v13_mut(session);
        let v13 = v13.filter(|_| established).ok_or(Error::Misuse("no such session of DTLS 1.3"))?;
        v13.established.update_keys(false)?;
        self.transmit_post(now, session);
        Ok(())
    }

    /// Sends what is due after the handshake, and remembers when to look again.
    pub(in super::super) fn transmit_post(&mut self, now: Instant, session: SessionId) {
        let provider = self.config.provider;
        let (mtu, retransmit_ms) = (self.config.mtu, self.config.retransmit_ms);
        let way = self.way(session);
        let (Some(way), Some(v13)) = (way, self.slab.v13_mut(session)) else {
            return;
        };
        let (established, mut writing) = v13.parts(provider, way.suite, &way.cid);
        let before = established.post.timer.map(|timer| timer.deadline);
        let datagrams = established.transmit(now, &mut writing, mtu, retransmit_ms);
        let after = established.post.timer.map(|timer| timer.deadline);
        if let Some(at) = before {
            self.v13.posts.remove(&(at, session));
        }
        if let Some(at) = after {
            self.v13.posts.insert((at, session));
        }
        for datagram in datagrams {
            // What an address may not have yet is repeated when it may.
            if self.allows(session, datagram.len()) {
                self.spend(session, datagram.len());
                self.transmit(way.to, datagram);
            }
        }
    }

    /// A message after the handshake is due to be repeated, or to rest: the peer may be asleep.
    pub(in super::super) fn on_post_timeout(&mut self, now: Instant, session: SessionId) {
        let Some(v13) = self.slab.v13_mut(session) else {
            return;
        };
        let post = &mut v13.established.post;
        if post.timer.is_some_and(|timer| timer.transmissions >= limits::CLIENT_TRANSMISSIONS_MAX) {
            return post.rest();
        }
        self.transmit_post(now, session);
    }

    /// A record of DTLS 1.3 under the next leased number, and where it goes.
    pub(in super::super) fn seal_13(
        &mut self,
        session: SessionId,
        content_type: ContentType,
        content: &[u8],
    ) -> Result<(SocketAddr, Vec<u8>), Error> {
        let provider = self.config.provider;
        let no_session = Error::Misuse("no such session");
        let way = self.way(session).ok_or(no_session)?;
        let v13 = self.slab.v13_mut(session).ok_or(no_session)?;
        if v13.established.wants_update(v13.send_next) {
            v13.established.update_keys(false)?;
        }
        let (established, mut writing) = v13.parts(provider, way.suite, &way.cid);
        let record = established.seal(&mut writing, Place::Last, content_type, content)?;
        Ok((way.to, record))
    }

    /// How much longer than its content a record to this session is.
    pub(in super::super) fn overhead_13(&self, session: SessionId) -> Option<usize> {
        let suite = self.slab.hot(session)?.suite;
        let key = &self.slab.v13(session)?.established.keys.write;
        let protection = Protection { provider: self.config.provider, suite, key };
        Some(protection.overhead(&self.slab.peer_cid(session), Place::Last))
    }
}
