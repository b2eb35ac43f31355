//! Established associations: records in, records out, successors.

use alloc::vec::Vec;
use core::net::SocketAddr;

use bartizan_wire::event::RecordRejection;
use bartizan_wire::record::{ContentType, HEADER_BYTES, Record};

use super::endpoint::Endpoint;
use super::event::{EndpointEvent, SessionId};
use super::slab::{Hot, Phase};
use crate::alert::Alert;
use crate::codec::{Reader, try_copy};
use crate::handshake::message::{Fragment, Kind};
use crate::limits::RECORD_SIZE_LIMIT_MIN;
use crate::record::Protection;
use crate::{AlertDescription, Authentication, CloseReason, Error, Instant};

const TOO_LONG: CloseReason = CloseReason::Failed(Error::Misbehaved("a record longer than was agreed"));

impl Endpoint {
    /// A protected record for an established association.
    pub(super) fn on_session_record(
        &mut self,
        now: Instant,
        session: SessionId,
        remote: SocketAddr,
        record: Record<'_>,
    ) {
        let (Some(hot), Some(reading)) = (self.slab.hot(session), self.reading(session)) else {
            return;
        };
        let principal = hot.principal;
        let sequence = record.header.sequence;
        if hot.is_dtls_1_3() {
            return self.reject(remote, Some(principal), RecordRejection::Unexpected);
        }
        let bytes = HEADER_BYTES + record.connection_id.len() + record.fragment.len();
        //= rfc6347#4.1.2.6-2
        //= rfc6347#4.1.2.6-s1
        if !hot.window().is_fresh(sequence) {
            return self.reject(remote, Some(principal), RecordRejection::Replayed);
        }
        let inner_len = reading.inner_len(&record);
        let (kind, content) = match reading.open(record) {
            Ok(opened) => opened,
            //= rfc9146#6-4
            //= rfc6347#4.1.2.1-s1
            //= rfc6347#4.1.2.7-s1
            //= rfc6347#5-s2
            Err(reason) => return self.on_unopened(session, remote, reason),
        };
        let Some(hot) = self.slab.hot_mut(session) else {
            return;
        };
        //= rfc6347#4.1.2.6-5
        let newest = hot.mark(sequence);
        hot.set_last_seen(now);
        let cold_matters = hot.cold_matters;
        self.accounted = true;
        if kind == ContentType::RETURN_ROUTABILITY_CHECK {
            return self.on_path_message(now, session, remote, bytes, content);
        }
        self.note_arrival(now, session, remote, bytes, newest);
        if cold_matters && self.is_too_long(session, inner_len) {
            return self.end(session, AlertDescription::RECORD_OVERFLOW, TOO_LONG);
        }
        match kind {
            ContentType::APPLICATION_DATA => self.on_data(session, remote, sequence, content),
            ContentType::ALERT => self.on_alert(session, remote, content),
            ContentType::HANDSHAKE => self.on_late_handshake(session, remote, content),
            _ => self.reject(remote, Some(principal), RecordRejection::Unexpected),
        }
    }

    /// RFC 8449 section 4: the client has been told.
    fn is_too_long(&self, session: SessionId, inner_len: usize) -> bool {
        let cold = self.slab.cold(session).filter(|_| inner_len > usize::from(RECORD_SIZE_LIMIT_MIN));
        cold.is_some_and(|cold| inner_len > usize::from(cold.limits().receive))
    }

    /// Counts forgeries against the key that they were tried on, whoever sent them: a source address proves nothing
    /// (RFC 9147 section 4.5.3).
    pub(super) fn on_unopened(&mut self, session: SessionId, remote: SocketAddr, reason: RecordRejection) {
        let claimed = self.principal_of(session);
        self.reject(remote, claimed, reason);
        if reason != RecordRejection::Forged {
            return;
        }
        //= rfc9147#4.5.3-1
        let failed = self.slab.count_failed_open(session);
        let most = |hot: &Hot| hot.suite.failed_opens_max(self.config.ccm_8_forgeries_max);
        if self.established(session).is_some_and(|hot| failed >= most(hot)) {
            self.end(session, AlertDescription::BAD_RECORD_MAC, CloseReason::Forgeries);
        }
    }

    /// Says a last, authentic word, and forgets the association.
    fn end(&mut self, session: SessionId, alert: AlertDescription, reason: CloseReason) {
        self.send_alert(session, alert);
        self.remove(session, reason);
    }

    /// Whether the record would open, tried on a copy.
    pub(super) fn would_open(&self, session: SessionId, record: &Record<'_>) -> bool {
        let (Some(reading), Some(mut copy)) = (self.reading(session), try_copy(record.fragment)) else {
            return false;
        };
        let copied = Record { header: record.header, connection_id: record.connection_id, fragment: &mut copy };
        reading.open(copied).is_ok()
    }

    pub(super) fn on_data(&mut self, session: SessionId, remote: SocketAddr, sequence: u64, content: &[u8]) {
        let Some(data) = try_copy(content) else {
            return;
        };
        let Some(hot) = self.slab.hot_mut(session) else {
            return;
        };
        let principal = hot.principal;
        if !core::mem::replace(&mut hot.used, true) && hot.cold_matters {
            self.retire_predecessors(session);
            self.forget_ticket(session);
        }
        self.events.push_back(EndpointEvent::Data { session, principal, remote, sequence, data });
        self.ask_for_lease(session);
    }

    /// Whoever sends data has our last flight: it will not be repeated.
    fn forget_ticket(&mut self, session: SessionId) {
        if let Some(rare) = self.slab.cold_mut(session).and_then(|cold| cold.rare.as_mut()) {
            rare.ticket = Vec::new();
        }
    }

    /// An authentic alert. RFC 5246 section 7.2.1: answer close_notify with close_notify.
    fn on_alert(&mut self, session: SessionId, remote: SocketAddr, content: &[u8]) {
        match Alert::decode(content) {
            Some(alert) if alert.description == AlertDescription::CLOSE_NOTIFY => {
                self.end(session, AlertDescription::CLOSE_NOTIFY, CloseReason::Peer);
            }
            Some(alert) if alert.fatal => self.remove(session, CloseReason::Alert(alert.description)),
            Some(_) => {}
            None => {
                let claimed = self.principal_of(session);
                self.reject(remote, claimed, RecordRejection::Malformed);
            }
        }
    }

    /// The client repeats its Finished because ours was lost, or wants to renegotiate, which nobody may
    /// (RFC 5246 section 7.2.2: no_renegotiation is the answer).
    fn on_late_handshake(&mut self, session: SessionId, remote: SocketAddr, content: &[u8]) {
        let kind = Fragment::read(&mut Reader::new(content)).map(|fragment| fragment.kind);
        let used = self.slab.hot(session).is_none_or(|hot| hot.used);
        let used = used || self.slab.cold(session).is_some_and(|cold| cold.resumed);
        match kind {
            //= rfc6347#4.2.4-1
            Ok(Kind::Finished) if !used => self.send_finished(session),
            Ok(Kind::Finished) => {}
            _ => {
                self.send_alert(session, AlertDescription::NO_RENEGOTIATION);
                let claimed = self.principal_of(session);
                self.reject(remote, claimed, RecordRejection::Unexpected);
            }
        }
    }

    /// Seals `data` into one record for the session's newest address. If that is a new one, and `data` is longer than
    /// three times what came from there, it waits until the peer is known to be there: at most
    /// [`limits::PATH_HELD_RECORDS_MAX`](crate::limits) records do. [`EndpointEvent::PathChecked`] says whether it left.
    ///
    /// # Errors
    /// `Misuse` for an unknown session or data that does not fit the MTU, `Unavailable` when the lease is used up:
    /// [`EndpointEvent::LeaseLow`] has asked for more; or when too much waits for an address.
    pub fn send(&mut self, now: Instant, session: SessionId, data: &[u8]) -> Result<(), Error> {
        if self.is_fenced(now) {
            return Err(Error::Unavailable("this shard is another node's by now"));
        }
        if data.len() > self.send_bytes_max(session) {
            return Err(Error::Misuse("no such session, or longer than the MTU allows"));
        }
        let bytes = data.len().saturating_add(self.overhead(session));
        if !self.allows(session, bytes) {
            //= rfc9853#5-1
            return self.hold(now, session, data);
        }
        let sealed = self.seal(session, ContentType::APPLICATION_DATA, data);
        self.ask_for_lease(session);
        let (to, record) = sealed?;
        self.spend(session, bytes);
        self.transmit(to, record);
        self.transmit_post(now, session);
        Ok(())
    }

    //= rfc6347#4.1.1-1
    //= rfc6347#4.1.1.1-s2
    /// The longest `data` that [`Self::send`] takes; zero for an unknown session.
    #[must_use]
    pub fn send_bytes_max(&self, session: SessionId) -> usize {
        let peer_cid = self.slab.peer_cid(session);
        //= rfc8449#4-1
        let most = match self.is_dtls_1_3(session) {
            true => usize::from(self.limits_13(session).send).saturating_sub(1),
            false => {
                let limit = self.slab.cold(session).map_or(0, |cold| usize::from(cold.limits().send));
                limit.saturating_sub(usize::from(!peer_cid.is_empty()))
            }
        };
        let overhead = self.established(session).map(|_| self.overhead(session));
        overhead.map_or(0, |overhead| self.config.mtu.saturating_sub(overhead).min(most))
    }

    /// Tells the peer why, and frees the slot. Emits [`EndpointEvent::Closed`].
    pub fn close(&mut self, now: Instant, session: SessionId, why: AlertDescription) {
        if self.established(session).is_none() || self.is_fenced(now) {
            return;
        }
        if Alert::of(why).fatal {
            self.forget_session(session);
        }
        self.end(session, why, CloseReason::Local);
    }

    /// Sequence numbers below `upto` are leased durably.
    pub fn extend_lease(&mut self, session: SessionId, upto: u64) {
        if self.is_dtls_1_3(session) {
            return self.extend_lease_13(session, upto);
        }
        if let Some(hot) = self.slab.hot_mut(session) {
            hot.set_lease(hot.lease().max(upto));
            hot.lease_asked = false;
        }
    }

    /// A record under the next leased sequence number, and where it goes.
    pub(super) fn seal(
        &mut self,
        session: SessionId,
        content_type: ContentType,
        content: &[u8],
    ) -> Result<(SocketAddr, Vec<u8>), Error> {
        if self.is_dtls_1_3(session) {
            return self.seal_13(session, content_type, content);
        }
        let no_such = Error::Misuse("no such session");
        let hot = self.slab.hot_mut(session).ok_or(no_such)?;
        let to = hot.remote.unpack();
        let used_up = Error::Unavailable("the leased sequence numbers are used up");
        //= rfc6347#4.1-4
        let sequence = hot.next_sequence().ok_or(used_up)?;
        let peer_cid = self.slab.peer_cid(session);
        let writing = self.writing(session).ok_or(no_such)?;
        let record = writing.seal(&peer_cid, content_type, sequence, content)?;
        Ok((to, record))
    }

    /// Asks for more when half of a lease is used, once.
    pub(super) fn ask_for_lease(&mut self, session: SessionId) {
        if self.is_dtls_1_3(session) {
            return self.ask_for_lease_13(session);
        }
        let more = self.config.lease;
        let Some(hot) = self.slab.hot_mut(session) else {
            return;
        };
        let low = hot.lease().saturating_sub(hot.send_next()) <= more / 2;
        if low && !core::mem::replace(&mut hot.lease_asked, true) {
            let upto = hot.lease().saturating_add(more);
            self.events.push_back(EndpointEvent::LeaseLow { session, upto });
        }
    }

    pub(super) fn send_alert(&mut self, session: SessionId, why: AlertDescription) {
        let alert = Alert::of(why).encode();
        self.send_within(session, ContentType::ALERT, &alert);
    }

    /// Enters a new association into the indexes, beside the one it will replace.
    pub(super) fn index(&mut self, session: SessionId, principal: u64, remote: SocketAddr, connection_id: bool) {
        //= rfc9147#5.11-2
        //= rfc6347#4.2.8-2
        if !connection_id && let Some(old) = self.by_address.insert(remote, session) {
            // Nothing leads to it any more, unless it waits to be replaced.
            if self.principal_of(old) != Some(principal) {
                self.remove(old, CloseReason::Replaced);
            }
        }
        // Nobody in particular has no earlier association.
        if principal == Authentication::NOBODY {
            return;
        }
        let Some(old) = self.newest.insert(principal, session) else {
            return;
        };
        // One that was never used is the same peer's earlier attempt.
        let unused = self.established(old).is_some_and(|hot| !hot.used);
        let predecessor = match unused {
            true => self.slab.cold_mut(old).and_then(|cold| cold.replaces.take()),
            false => Some(old),
        };
        self.slab.set_replaces(session, predecessor);
        if unused {
            self.remove(old, CloseReason::Replaced);
        }
    }

    /// The first record has opened on `session`: what it replaces is closed.
    fn retire_predecessors(&mut self, session: SessionId) {
        let mut next = self.slab.cold_mut(session).and_then(|cold| cold.replaces.take());
        while let Some(old) = next {
            next = self.slab.cold_mut(old).and_then(|cold| cold.replaces.take());
            self.remove(old, CloseReason::Replaced);
        }
    }

    /// Takes an association out of everything. Emits [`EndpointEvent::Closed`].
    pub(super) fn remove(&mut self, session: SessionId, reason: CloseReason) {
        let Some(hot) = self.established(session) else {
            return;
        };
        let (principal, remote) = (hot.principal, hot.remote.unpack());
        if self.by_address.get(&remote) == Some(&session) {
            self.by_address.remove(&remote);
        }
        if self.newest.get(&principal) == Some(&session) {
            let older = self.slab.cold(session).and_then(|cold| cold.replaces);
            match older.filter(|older| self.established(*older).is_some()) {
                Some(older) => self.newest.insert(principal, older),
                None => self.newest.remove(&principal),
            };
        }
        // RFC 5246 section 7.2.2: a failed session is not resumed.
        if !matches!(reason, CloseReason::Local | CloseReason::Peer | CloseReason::Replaced) {
            self.forget_session(session);
        }
        self.slab.release(session);
        self.paths.close(session);
        self.events.push_back(EndpointEvent::Closed { session, principal, reason });
    }

    fn forget_session(&mut self, session: SessionId) {
        let rare = self.slab.cold(session).and_then(|cold| cold.rare.as_ref());
        if let Some(id) = rare.and_then(|rare| rare.session_key) {
            self.past.forget(&id);
        }
    }

    pub(super) fn established(&self, session: SessionId) -> Option<&Hot> {
        let hot = self.slab.hot(session)?;
        (hot.phase == Phase::Established).then_some(hot)
    }

    pub(super) fn principal_of(&self, session: SessionId) -> Option<u64> {
        self.established(session).map(|hot| hot.principal)
    }

    /// How much longer a record of ours is than its content; zero for an unknown session.
    pub(super) fn overhead(&self, session: SessionId) -> usize {
        if self.is_dtls_1_3(session) {
            return self.overhead_13(session);
        }
        let cid = self.slab.peer_cid(session);
        self.writing(session).map_or(0, |writing| writing.overhead(&cid))
    }

    fn reading(&self, session: SessionId) -> Option<Protection<'_>> {
        let suite = self.slab.hot(session)?.suite;
        Some(Protection { provider: self.config.provider, suite, key: self.slab.read_key(session)? })
    }

    #[cfg(feature = "measure")]
    pub(crate) fn cid_len_in(&self, datagram: &[u8]) -> usize {
        self.config.routes.cid_len_in(datagram)
    }

    #[cfg(feature = "measure")]
    pub(crate) fn reading_of(&self, cid: &[u8]) -> Option<Protection<'_>> {
        self.reading(self.config.routes.session_of(cid)?)
    }

    fn writing(&self, session: SessionId) -> Option<Protection<'_>> {
        let suite = self.slab.hot(session)?.suite;
        Some(Protection { provider: self.config.provider, suite, key: self.slab.write_key(session)? })
    }
}
