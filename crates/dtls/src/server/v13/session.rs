//! Established associations of DTLS 1.3: records in, records out, keys and Connection IDs.

use alloc::vec::Vec;
use core::net::SocketAddr;

use bartizan_wire::event::RecordRejection;
use bartizan_wire::record::ContentType;

use super::super::endpoint::Endpoint;
use super::super::event::{EndpointEvent, HandshakeId, SessionId};
use super::super::slab::{Hot, Phase};
use crate::alert::Alert;
use crate::handshake::negotiation::RecordLimits;
use crate::limits::RECORD_SIZE_LIMIT_MIN;
use crate::v13::Fault;
use crate::v13::ack::Acks;
use crate::v13::established::{Epochs, Established, Opened, Reading, Request, Writing, is_time_to_evade, lease_end};
use crate::v13::messages::{Side, encode_new_connection_id, kind};
use crate::v13::record::{self, ACK, Place, Protection, Sealed, epoch_of, number, sequence_of};
use crate::v13::schedule::EPOCH_HANDSHAKE;
use crate::{AlertDescription, CloseReason, ConnectionId, Error, Instant, limits};

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
        let Some(hot) = self.slab.hot(session) else {
            return;
        };
        let principal = hot.principal;
        let bytes = record.len();
        let opened = match self.open_13(session, record) {
            Ok(opened) => opened,
            Err(reason) => return self.on_unopened_13(now, session, remote, reason),
        };
        self.accounted = true;
        if epoch_of(opened.number) == EPOCH_HANDSHAKE {
            return self.on_repeated_flight(session, remote, opened.number, opened.kind);
        }
        let Some(hot) = self.slab.hot_mut(session) else {
            return;
        };
        hot.set_last_seen(now);
        let under_way = hot.under_way;
        if opened.kind == ContentType::RETURN_ROUTABILITY_CHECK {
            return self.on_path_message(now, session, remote, bytes, opened.content);
        }
        self.note_arrival(now, session, remote, bytes, opened.newest);
        if under_way && let Some(v13) = self.slab.v13_mut(session) {
            v13.post.wake(now, self.config.retransmit_ms);
        }
        match opened.kind {
            ContentType::APPLICATION_DATA => {
                self.forget_handshake(now, session);
                self.on_data(session, remote, opened.number, opened.content);
            }
            ContentType::ALERT => self.on_alert_13(session, remote, opened.content),
            ContentType::HANDSHAKE => self.on_late_handshake_13(now, session, remote, opened.number, opened.content),
            ACK => self.on_ack_13(session, remote, opened.content),
            _ => self.reject(remote, Some(principal), RecordRejection::Unexpected),
        }
        self.transmit_post(now, session);
    }

    /// Somebody forges records: there may still be time to get away from him.
    fn on_unopened_13(&mut self, now: Instant, session: SessionId, remote: SocketAddr, reason: RecordRejection) {
        self.on_unopened(session, remote, reason);
        let forgeries = self.slab.failed_opens(session);
        let Some(hot) = self.established(session).filter(|_| reason == RecordRejection::Forged) else {
            return;
        };
        let write_epoch = hot.write_epoch;
        let time = is_time_to_evade(forgeries, hot.suite, self.config.ccm_8_forgeries_max);
        if time && self.work_13(session).is_some_and(|v13| v13.evade(write_epoch)) {
            self.transmit_post(now, session);
        }
    }

    /// Opens one record, once. One of the current epoch touches nothing but the hot half, and long keys.
    fn open_13<'r>(&mut self, session: SessionId, record: Sealed<'r>) -> Result<Opened<'r>, RecordRejection> {
        let provider = self.config.provider;
        let gone = RecordRejection::Unexpected;
        let hot = self.slab.hot(session).filter(|hot| hot.is_dtls_1_3()).ok_or(gone)?;
        let (suite, epoch) = (hot.suite, hot.read_epoch);
        let mut window = hot.window_13();
        let inner_len = record.inner_len(provider, suite);
        if inner_len > usize::from(RECORD_SIZE_LIMIT_MIN) && inner_len > usize::from(self.limits_13(session).receive) {
            return Err(RecordRejection::Malformed);
        }
        let (opened, next) = match record.may_be_of(epoch) {
            true => {
                let key = self.slab.read_key(session).ok_or(gone)?;
                (Reading { provider, suite, key, epoch }.open(&mut window, record)?, None)
            }
            false => {
                let v13 = self.slab.v13_mut(session).ok_or(gone)?;
                v13.open_of_another_epoch(provider, suite, epoch, &mut window, record)?
            }
        };
        if let Some(key) = &next {
            self.slab.set_read_key(session, key.as_ref());
        }
        if let Some(hot) = self.slab.hot_mut(session) {
            hot.read_epoch = if next.is_some() { epoch_of(opened.number) } else { epoch };
            hot.set_window_13(window);
        }
        Ok(opened)
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

    /// The client has had time enough to get our ACK. That it sends data proves nothing: it may do so before the ACK,
    /// and repeat its flight because that was lost (RFC 9147 section 5.8.1).
    fn forget_handshake(&mut self, now: Instant, session: SessionId) {
        let passed = |v13: &&mut Established| v13.last_flight.as_ref().is_some_and(|last| now >= last.until);
        if let Some(v13) = self.slab.v13_mut(session).filter(passed) {
            v13.last_flight = None;
        }
    }

    fn acknowledge(&mut self, session: SessionId, number: u64) {
        let mut acks = Acks::default();
        acks.note(number);
        self.send_within(session, ACK, &acks.encode(usize::MAX));
        self.ask_for_lease(session);
    }

    pub(in super::super) fn is_dtls_1_3(&self, session: SessionId) -> bool {
        self.slab.hot(session).is_some_and(Hot::is_dtls_1_3)
    }

    /// The association is durable: the ACK for the client's last flight may leave.
    pub(in super::super) fn send_final_ack(&mut self, session: SessionId) {
        let mtu = self.config.mtu;
        let most = usize::from(self.limits_13(session).send).saturating_sub(1);
        let room = mtu.saturating_sub(self.overhead_13(session)).min(most);
        let last = self.slab.v13_mut(session).and_then(|v13| v13.last_flight.as_mut());
        let Some(last) = last else {
            return;
        };
        let content = core::mem::take(&mut last.acks).encode(room);
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
        let Some(hot) = self.slab.hot(session) else {
            return;
        };
        let epochs = Epochs { read: hot.read_epoch, write: hot.write_epoch };
        let Some(v13) = self.work_13(session) else {
            return;
        };
        let outcome = v13.on_handshake(Side::Server, epochs, content);
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
            Request::UseConnectionIds { .. } if !in_use => {
                Err(Fault::unexpected("a Connection ID where none are in use"))
            }
            Request::ConnectionIds(_) if !given => {
                Err(Fault::unexpected("a request for a Connection ID where none are in use"))
            }
            //= rfc9147#9-1
            Request::UseConnectionIds { mut cids, at_once } => {
                if at_once && let Some(cid) = cids.take() {
                    self.slab.set_peer_cid(session, &cid);
                }
                Ok(())
            }
            Request::ConnectionIds(count) => {
                self.give_connection_ids(session, count, false);
                Ok(())
            }
        }
    }

    fn on_ack_13(&mut self, session: SessionId, remote: SocketAddr, content: &[u8]) {
        let Some(v13) = self.work_13(session) else {
            return;
        };
        match v13.on_ack(content) {
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
        let granted = self.slab.v13(session).is_some_and(|v13| v13.write_granted);
        let next = self.slab.hot(session).and_then(|hot| hot.write_epoch.checked_add(1));
        if let Some(next) = next.filter(|_| granted) {
            self.ask_for(session, lease_end(number(next, 0), count));
        }
    }

    /// Asks for more when half of a lease is used, once.
    pub(in super::super) fn ask_for_lease_13(&mut self, session: SessionId) {
        let count = self.config.lease;
        let Some(hot) = self.slab.hot(session) else {
            return;
        };
        let lease = hot.lease_13();
        if hot.lease().saturating_sub(hot.send_next()) <= count / 2 {
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
        self.begin_epoch(session, epoch_of(upto));
        let Some(hot) = self.slab.hot_mut(session) else {
            return;
        };
        hot.extend_lease_13(upto);
        hot.lease_asked = false;
        if hot.under_way {
            self.ask_for_next_epoch(session);
            self.ask_to_be_kept(session);
        }
    }

    /// On to the next epoch in which we send, if the peer knows of it and this is its number.
    fn begin_epoch(&mut self, session: SessionId, epoch: u16) {
        let provider = self.config.provider;
        let hot = self.slab.hot(session).filter(|hot| hot.write_epoch.checked_add(1) == Some(epoch));
        let Some(suite) = hot.map(|hot| hot.suite) else {
            return;
        };
        let Some(v13) = self.slab.v13_mut(session).filter(|v13| v13.write_granted) else {
            return;
        };
        let key = v13.next_write_key(provider, suite);
        self.slab.set_write_key(session, key.as_ref());
        if let Some(hot) = self.slab.hot_mut(session) {
            hot.write_epoch = epoch;
            hot.set_send_next(0);
            hot.set_lease(0);
        }
    }

    /// What few records have to touch; from now on each looks whether something is under way there, until
    /// [`Self::transmit_post`] finds nothing.
    fn work_13(&mut self, session: SessionId) -> Option<&mut Established> {
        self.slab.hot_mut(session)?.under_way = true;
        self.slab.v13_mut(session)
    }

    /// DTLS 1.3: asks for new keys in the direction in which we send (RFC 9147 section 8). They are used once the peer
    /// has acknowledged it and a lease of numbers under them, which [`EndpointEvent::LeaseLow`] asks for, is durable.
    ///
    /// # Errors
    /// `Misuse` for an unknown session or one of DTLS 1.2; `Unavailable` in the last epoch.
    pub fn update_keys(&mut self, now: Instant, session: SessionId) -> Result<(), Error> {
        let no_session = Error::Misuse("no such session of DTLS 1.3");
        let hot = self.established(session).filter(|hot| hot.is_dtls_1_3()).ok_or(no_session)?;
        let write_epoch = hot.write_epoch;
        self.work_13(session).ok_or(no_session)?.update_keys(write_epoch, false)?;
        self.transmit_post(now, session);
        Ok(())
    }

    /// DTLS 1.3: gives the peer another Connection ID, to be used at once (RFC 9147 section 9). Under
    /// [`Routes`](crate::Routes) that encrypt them nobody can tell from outside that it belongs to the same association; the
    /// earlier ones go on to lead there as well.
    ///
    /// # Errors
    /// `Misuse` for an unknown session, one of DTLS 1.2 or without Connection IDs; `Unavailable` if too much waits.
    pub fn renew_connection_id(&mut self, now: Instant, session: SessionId) -> Result<(), Error> {
        let hot = self.established(session).filter(|hot| hot.is_dtls_1_3() && hot.own_cid);
        hot.ok_or(Error::Misuse("no such session of DTLS 1.3 with a Connection ID"))?;
        if !self.give_connection_ids(session, 1, true) {
            return Err(Error::Unavailable("too many messages wait"));
        }
        self.transmit_post(now, session);
        Ok(())
    }

    /// Queues a NewConnectionId, one at a time. Nothing has to be remembered: they all name the same slot. Routes that do
    /// not encrypt make only one.
    fn give_connection_ids(&mut self, session: SessionId, count: u8, at_once: bool) -> bool {
        let mut cids = Vec::new();
        for _ in 0..count {
            let cid = self.config.routes.issue(session, &mut *self.rng);
            if !cids.contains(&cid) {
                cids.push(cid);
            }
        }
        let body = encode_new_connection_id(&cids, at_once);
        let work = self.work_13(session).filter(|v13| !v13.post.has(kind::NEW_CONNECTION_ID));
        work.is_some_and(|v13| v13.post.queue(kind::NEW_CONNECTION_ID, body))
    }

    /// Before a message leaves whose number nothing else counts, the state has to be kept again; but not while a
    /// lease is, which an older one must not overtake.
    fn ask_to_be_kept(&mut self, session: SessionId) {
        let Some(hot) = self.established(session).filter(|hot| hot.under_way && !hot.lease_asked) else {
            return;
        };
        let principal = hot.principal;
        if self.slab.v13_mut(session).is_some_and(|v13| v13.post.asks_to_be_kept()) {
            self.events.push_back(EndpointEvent::StateChanged { session, principal });
        }
    }

    /// See [`EndpointEvent::StateChanged`].
    pub(in super::super) fn confirm_kept(&mut self, now: Instant, session: SessionId) {
        if let Some(v13) = self.slab.v13_mut(session) {
            v13.post.note_kept();
            self.transmit_post(now, session);
        }
    }

    /// Sends what is due after the handshake, and remembers when to look again.
    pub(in super::super) fn transmit_post(&mut self, now: Instant, session: SessionId) {
        let (mtu, retransmit_ms) = (self.config.mtu, self.config.retransmit_ms);
        let Some(to) = self.slab.hot(session).filter(|hot| hot.under_way).map(|hot| hot.remote.unpack()) else {
            return;
        };
        // Taken out, so that the keys are free to be used.
        let Some(mut v13) = self.slab.cold_mut(session).and_then(|cold| cold.v13.take()) else {
            return;
        };
        let before = v13.post.deadline();
        let send = |writing: &mut Writing<'_>| v13.transmit(now, writing, mtu, retransmit_ms);
        let datagrams = self.write_13(session, send).unwrap_or_default();
        let after = v13.post.deadline();
        if let Some(hot) = self.slab.hot_mut(session) {
            hot.under_way = v13.is_busy();
        }
        if let Some(cold) = self.slab.cold_mut(session) {
            cold.v13 = Some(v13);
        }
        self.posts.change(session, before, after);
        self.ask_to_be_kept(session);
        for datagram in datagrams {
            // What an address may not have yet is repeated when it may.
            if self.allows(session, datagram.len()) {
                self.spend(session, datagram.len());
                self.transmit(to, datagram);
            }
        }
    }

    /// Lets `write` seal records, under numbers that nobody gets again.
    fn write_13<T>(&mut self, session: SessionId, write: impl FnOnce(&mut Writing<'_>) -> T) -> Option<T> {
        let provider = self.config.provider;
        let hot = self.slab.hot(session)?;
        let (suite, epoch, end) = (hot.suite, hot.write_epoch, hot.lease_13());
        let mut send_next = hot.send_next_13();
        let cid = self.slab.peer_cid(session);
        let limit = self.limits_13(session).send;
        let key = self.slab.write_key(session)?;
        let mut writing = Writing { provider, suite, key, epoch, cid: &cid, limit, send_next: &mut send_next, end };
        let written = write(&mut writing);
        self.slab.hot_mut(session)?.set_send_next(sequence_of(send_next));
        Some(written)
    }

    /// A message after the handshake is due to be repeated, or to rest: the peer may be asleep.
    pub(in super::super) fn on_post_timeout(&mut self, now: Instant, session: SessionId) {
        let Some(v13) = self.slab.v13_mut(session) else {
            return;
        };
        let post = &mut v13.post;
        if post.timer().is_some_and(|timer| timer.transmissions >= limits::CLIENT_TRANSMISSIONS_MAX) {
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
        let no_session = Error::Misuse("no such session");
        let hot = self.slab.hot(session).ok_or(no_session)?;
        let (to, send_next, write_epoch) = (hot.remote.unpack(), hot.send_next(), hot.write_epoch);
        if send_next >= limits::RECORDS_PER_KEY {
            self.work_13(session).ok_or(no_session)?.update_keys(write_epoch, false)?;
        }
        let record = self.write_13(session, |writing| writing.seal(Place::Last, content_type, content));
        Ok((to, record.ok_or(no_session)??))
    }

    /// RFC 8449. Few associations have them, and they lie in the cold half.
    pub(in super::super) fn limits_13(&self, session: SessionId) -> RecordLimits {
        let rare = self.slab.cold(session).and_then(|cold| cold.rare.as_ref());
        rare.map(|rare| rare.limits).filter(|limits| *limits != RecordLimits::NONE).unwrap_or(RecordLimits::NONE_13)
    }

    /// How much longer than its content a record to this session is.
    pub(in super::super) fn overhead_13(&self, session: SessionId) -> usize {
        let (Some(hot), Some(key)) = (self.slab.hot(session), self.slab.write_key(session)) else {
            return 0;
        };
        let protection = Protection { provider: self.config.provider, suite: hot.suite, key };
        protection.overhead(&self.slab.peer_cid(session), Place::Last)
    }
}
