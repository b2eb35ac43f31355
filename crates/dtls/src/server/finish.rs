//! From ClientKeyExchange to the server's Finished.

use alloc::vec::Vec;
use core::net::SocketAddr;

use bartizan_crypto::{Secret, SecretBytes, constant_time_eq};
use bartizan_wire::event::{HandshakeFailure, RecordRejection};
use bartizan_wire::record::{ContentType, HEADER_BYTES, Record};

use super::authentication::{Failure, GONE, append};
use super::cold::Rare;
use super::endpoint::Endpoint;
use super::event::{EndpointEvent, HandshakeId, PskEntry, SessionId};
use super::handshake::{Early, Handshake};
use super::phase::{Path, Phase, Step};
use super::resumption::PastSession;
use super::slab::{self, Hot, NewSession};
use crate::alert::Alert;
use crate::codec::{Reader, try_copy};
use crate::handshake::flight::Packer;
use crate::handshake::message::{self, Fragment, Kind, Message};
use crate::handshake::negotiation::RecordLimits;
use crate::handshake::reassembly::Accepted;
use crate::handshake::{exchange, ticket};
use crate::record::{self, Protection};
use crate::rrc;
use crate::schedule::{self, Keys, Side};
use crate::{AlertDescription, Authentication, ConnectionId, Error, Instant, ReplayWindow, Version, limits};

impl Endpoint {
    /// A handshake message in the clear that is no ClientHello.
    pub(super) fn on_plain_fragment(&mut self, remote: SocketAddr, fragment: &Fragment<'_>) {
        let id = self.handshakes.at(remote);
        let Some((id, handshake)) = id.and_then(|id| Some((id, self.handshakes.get_mut(id)?))) else {
            return self.reject_plain();
        };
        //= rfc6347#4.1-2
        //= rfc6347#4.2.2-1
        if handshake.reassembly.is_old(fragment) {
            return;
        }
        if !handshake.phase.reads_messages() {
            return self.reject_plain();
        }
        if handshake.reassembly.accept(fragment) == Accepted::Refused {
            return self.reject_plain();
        }
        while let Some(message) = self.next_message(id) {
            let outcome = match message.kind {
                Kind::Certificate => self.on_certificate(id, &message),
                Kind::ClientKeyExchange => self.on_client_key_exchange(id, &message),
                Kind::CertificateVerify => self.on_certificate_verify(id, &message),
                _ => Err(Error::Misbehaved("a handshake message out of place").into()),
            };
            if let Err(Failure(alert, reason)) = outcome {
                self.fail_handshake(id, reason, Some(alert));
            }
        }
    }

    /// The message that is due, where one in the clear has a place.
    fn next_message(&mut self, id: HandshakeId) -> Option<Message> {
        let handshake = self.handshakes.get_mut(id).filter(|handshake| handshake.phase.reads_messages())?;
        handshake.reassembly.next()
    }

    /// RFC 5246 section 7.1: ChangeCipherSpec counts only after the key exchange, and once.
    pub(super) fn on_change_cipher_spec(&mut self, now: Instant, remote: SocketAddr, body: &[u8]) {
        let id = self.handshakes.at(remote);
        let handshake = id.and_then(|id| self.handshakes.get_mut(id));
        let next = handshake
            .as_ref()
            .and_then(|handshake| handshake.after(Step::ChangeCipherSpec).ok())
            .filter(|_| *body == [1]);
        match (id, handshake, next) {
            (Some(id), Some(handshake), Some(next)) => {
                handshake.phase = next;
                self.retry_early(now, id);
            }
            (_, Some(handshake), None) if handshake.phase == Phase::Finished => {}
            (_, Some(handshake), None) if handshake.phase == Phase::PskOnly => {}
            _ => self.reject_plain(),
        }
    }

    fn on_client_key_exchange(&mut self, id: HandshakeId, message: &Message) -> Result<(), Failure> {
        let provider = self.config.provider;
        let handshake = self.handshakes.get_mut(id).ok_or(GONE)?;
        let next = handshake.after(Step::ClientKeyExchange)?;
        let client = exchange::decode_client(handshake.suite, &message.body)?;
        if let (Some((group, pair)), Some(share)) = (handshake.exchange.take(), client.share) {
            let shared = (group.agreement(provider).agree)(&pair.private, share);
            handshake.shared = Some(shared.ok_or(Error::Misbehaved("an invalid key share"))?);
        }
        append(handshake, message)?;
        handshake.session_hash = handshake.transcript.hash(provider, handshake.suite.hash());
        handshake.phase = next;
        if handshake.path != Path::Psk {
            let shared = handshake.shared.take().ok_or(Error::Misbehaved("no key share"))?;
            let (suite, randoms, hash) = (handshake.suite, &handshake.randoms, &handshake.session_hash);
            handshake.keys = Some(schedule::derive(provider, suite, None, Some(&shared), randoms, hash));
            self.handshakes.reschedule(id);
            return Ok(());
        }
        let no_memory = Error::Unavailable("no memory for an identity");
        let identity = try_copy(client.identity).ok_or(no_memory)?;
        handshake.identity = Some(try_copy(client.identity).ok_or(no_memory)?);
        let remote = handshake.remote;
        self.handshakes.reschedule(id);
        self.events.push_back(EndpointEvent::PskRequested { handshake: id, remote, identity });
        Ok(())
    }

    /// Answers [`EndpointEvent::PskRequested`]. `None` carries on with a random key, so that from outside an
    /// unknown identity looks like a wrong key (RFC 4279 section 2 allows it). A key of less than
    /// [`limits::PSK_BYTES_MIN`] bytes counts as none: whoever recorded the handshake could search for it.
    pub fn provide_psk(&mut self, now: Instant, handshake: HandshakeId, entry: Option<PskEntry>) {
        if self.v13.get(handshake).is_some() {
            return self.provide_psk_13(now, handshake, entry);
        }
        let provider = self.config.provider;
        let mut nobodys = Secret::new([0; 32]);
        self.rng.fill(nobodys.expose_mut());
        let Some(state) = self.handshakes.get_mut(handshake) else {
            return;
        };
        let Ok(next) = state.after(Step::PskProvided) else {
            return;
        };
        let short = entry.as_ref().filter(|entry| entry.key.len() < limits::PSK_BYTES_MIN);
        if let Some(PskEntry { principal, .. }) = short {
            let error = Error::Misuse("a PSK of less than 16 bytes");
            self.events.push_back(EndpointEvent::Misused { principal: *principal, error });
        }
        let entry = entry.filter(|entry| entry.key.len() >= limits::PSK_BYTES_MIN);
        state.principal = entry.as_ref().map(|entry| entry.principal);
        state.tag = entry.as_ref().map_or(0, |entry| entry.tag);
        let psk = entry.map(|entry| entry.key).or_else(|| SecretBytes::new(nobodys.expose()));
        let Some(psk) = psk else {
            return;
        };
        let shared = state.shared.take();
        let (suite, randoms, hash) = (state.suite, &state.randoms, &state.session_hash);
        let keys = schedule::derive(provider, suite, Some(&psk), shared.as_ref(), randoms, hash);
        state.keys = Some(keys);
        state.phase = next;
        self.retry_early(now, handshake);
    }

    /// A protected record for a handshake: only the client's Finished has a place here.
    pub(super) fn on_handshake_record(
        &mut self,
        now: Instant,
        id: HandshakeId,
        remote: SocketAddr,
        record: Record<'_>,
    ) {
        let Some(handshake) = self.handshakes.get_mut(id) else {
            return;
        };
        match handshake.phase {
            Phase::Finished => self.on_finished_record(now, id, remote, record),
            Phase::Psk | Phase::PskOnly | Phase::CertificateVerify | Phase::ChangeCipherSpec => {
                handshake.early = put_aside(remote, &record).or(handshake.early.take());
            }
            Phase::Resumption | Phase::Certificate | Phase::KeyExchange | Phase::Done => {
                self.reject(remote, None, RecordRejection::Unexpected);
            }
        }
    }

    fn retry_early(&mut self, now: Instant, id: HandshakeId) {
        let Some(handshake) = self.handshakes.get_mut(id) else {
            return;
        };
        if handshake.phase != Phase::Finished {
            return;
        }
        if let Some(mut early) = handshake.early.take() {
            let record = Record {
                header: early.header,
                connection_id: early.connection_id.as_slice(),
                fragment: &mut early.fragment,
            };
            self.on_finished_record(now, id, early.remote, record);
        }
    }

    fn on_finished_record(&mut self, now: Instant, id: HandshakeId, remote: SocketAddr, record: Record<'_>) {
        let provider = self.config.provider;
        let Some(handshake) = self.handshakes.get(id) else {
            return;
        };
        let Some(keys) = &handshake.keys else {
            return;
        };
        let reading = Protection { provider, suite: handshake.suite, key: keys.client.as_ref() };
        let sequence = record.header.sequence;
        match reading.open(record) {
            Ok((ContentType::HANDSHAKE, message)) => {
                self.on_finished(now, id, remote, sequence, message);
            }
            Ok((ContentType::ALERT, _)) => {
                self.fail_handshake(id, HandshakeFailure::NoCommonGround, None);
            }
            //= rfc6347#4.2.4-2
            Ok(_) => self.reject(remote, None, RecordRejection::Unexpected),
            Err(_) => self.on_wrong_key(id, remote),
        }
    }

    /// Reported at once, but not given up at once: anybody can write the client's address on a datagram.
    /// What comes from elsewhere, under a Connection ID that anybody can have seen, does not even count.
    fn on_wrong_key(&mut self, id: HandshakeId, remote: SocketAddr) {
        let Some(handshake) = self.handshakes.get_mut(id) else {
            return;
        };
        if handshake.remote != remote {
            return self.reject(remote, None, RecordRejection::Forged);
        }
        handshake.failures += 1;
        if handshake.failures == 1 {
            let reason = failure_of(handshake);
            let (remote, principal) = (handshake.remote, handshake.principal);
            let identity = handshake.identity.clone();
            self.handshake_failed(remote, identity, principal, reason);
        } else if handshake.failures >= limits::FINISHED_FAILURES_MAX {
            //= rfc6347#4.1.2.1-1
            //= rfc6347#4.1.2.7-1
            let alert = Some(AlertDescription::BAD_RECORD_MAC);
            self.fail_handshake(id, HandshakeFailure::WrongKey, alert);
        }
    }

    fn on_finished(&mut self, now: Instant, id: HandshakeId, remote: SocketAddr, sequence: u64, message: &[u8]) {
        let provider = self.config.provider;
        let Some(handshake) = self.handshakes.get_mut(id) else {
            return;
        };
        let message = match take_finished(handshake, message) {
            Some(Some(message)) => message,
            Some(None) => return,
            None => {
                let alert = Some(AlertDescription::UNEXPECTED_MESSAGE);
                return self.fail_handshake(id, HandshakeFailure::Misbehaved, alert);
            }
        };
        let Some(keys) = handshake.keys.take() else {
            return;
        };
        let hash = handshake.transcript.hash(provider, handshake.suite.hash());
        let expected = schedule::verify_data(provider, handshake.suite.hash(), &keys.master, Side::Client, &hash);
        let appended = append(handshake, &message);
        if !constant_time_eq(&expected, &message.body) || appended.is_err() {
            let alert = Some(AlertDescription::DECRYPT_ERROR);
            return self.fail_handshake(id, HandshakeFailure::WrongKey, alert);
        }
        self.establish(now, id, remote, sequence, &keys);
    }

    /// The client has proved its key: the association moves into its slot, and waits to become durable.
    fn establish(&mut self, now: Instant, id: HandshakeId, remote: SocketAddr, sequence: u64, keys: &Keys) {
        let provider = self.config.provider;
        let Some(mut handshake) = self.handshakes.remove(id) else {
            return;
        };
        let session = handshake.session;
        let principal = match handshake.authentication {
            Authentication::Anonymous => Authentication::NOBODY,
            _ => handshake.principal.unwrap_or_default(),
        };
        let ticket = self.remember(now, &mut handshake, principal, keys);
        let hash = handshake.transcript.hash(provider, handshake.suite.hash());
        let mut window = ReplayWindow::default();
        window.mark(sequence);
        self.serial = self.serial.saturating_add(1);
        if let Some(cold) = self.slab.cold_mut(session) {
            cold.exporter = keys.exporter.clone();
            cold.verify_data =
                schedule::verify_data(provider, handshake.suite.hash(), &keys.master, Side::Server, &hash);
            cold.finished_sequence = handshake.message_sequence;
            cold.plain_sequence = handshake.record_sequence;
            cold.serial = self.serial;
            cold.authentication = handshake.authentication;
            cold.resumed = handshake.past.is_some();
            cold.forward_secret = handshake.suite.is_ecdhe();
            let limits = handshake.terms.limits;
            if !ticket.is_empty() || handshake.session_key.is_some() || limits != RecordLimits::NONE {
                let session_key = handshake.session_key;
                *cold.rare_mut() = Rare { limits, session_key, ticket, ..Rare::NONE };
            }
        }
        let new = NewSession {
            phase: slab::Phase::AwaitDurable,
            suite: handshake.suite,
            principal,
            remote,
            peer_cid: handshake.peer_cid.unwrap_or_default(),
            own_cid: handshake.peer_cid.is_some(),
            rrc: handshake.rrc,
            path: path_of(&handshake, remote),
            read: keys.client.as_ref(),
            write: keys.server.as_ref(),
            read_epoch: record::EPOCH,
            write_epoch: record::EPOCH,
            window,
            send_next: handshake.protected_sequence,
            lease: self.config.lease.max(handshake.protected_sequence),
            last_seen: now,
        };
        self.slab.occupy(session, &new);
        self.events.push_back(EndpointEvent::Establishing { session, principal, tag: handshake.tag });
    }

    /// Lets the client resume this session another time: remembers it, or makes the NewSessionTicket that goes before
    /// our Finished. A session that was resumed keeps its name and its age.
    fn remember(&mut self, now: Instant, handshake: &mut Handshake, principal: u64, keys: &Keys) -> Vec<u8> {
        if handshake.past.is_some() {
            return Vec::new();
        }
        let session = PastSession {
            suite: handshake.suite,
            master: keys.master.clone(),
            principal,
            authentication: handshake.authentication,
            since: now,
        };
        if let Some(id) = handshake.session_key {
            self.past.remember(id, session);
            return Vec::new();
        }
        if !handshake.terms.ticket {
            return Vec::new();
        }
        // RFC 5077 section 3.3: it was promised, so without a ticket an empty one goes out.
        let (ticket, lifetime_ms) = self.past.ticket(now, &mut *self.rng, &session).unwrap_or_default();
        let body = ticket::encode(lifetime_ms, &ticket);
        let message = message::encode(Kind::NewSessionTicket, handshake.message_sequence, &body);
        handshake.message_sequence = handshake.message_sequence.saturating_add(1);
        match handshake.transcript.append(&message) {
            Ok(()) => message,
            Err(_) => Vec::new(),
        }
    }

    /// The association is on disk: the server's Finished may leave, or what [`EndpointEvent::StateChanged`] was about. What was the principal's association before
    /// stays until the first record opens on this one.
    pub fn confirm_durable(&mut self, now: Instant, session: SessionId) {
        if self.is_fenced(now) {
            return;
        }
        let Some(hot) = self.slab.hot_mut(session) else {
            return;
        };
        match hot.phase {
            slab::Phase::AwaitDurable => hot.phase = slab::Phase::Established,
            slab::Phase::Established => return self.confirm_kept(now, session),
            slab::Phase::Free | slab::Phase::Handshaking => return,
        }
        let (principal, suite, connection_id) = (hot.principal, hot.suite, hot.own_cid);
        let remote = hot.remote.unpack();
        self.index(session, principal, remote, connection_id);
        let resumed = self.slab.cold(session).is_some_and(|cold| cold.resumed);
        match suite.version() {
            Version::Dtls12 if resumed => {}
            Version::Dtls12 => self.send_finished(session),
            Version::Dtls13 => self.send_final_ack(session),
        }
        self.events.push_back(EndpointEvent::Established { session, principal, suite, connection_id });
    }

    /// The association could not be made durable: no Finished leaves, the slot is free again.
    pub fn abandon(&mut self, session: SessionId) {
        let waiting = |hot: &&Hot| hot.phase == slab::Phase::AwaitDurable;
        if self.slab.hot(session).filter(waiting).is_some() {
            self.slab.release(session);
        }
    }

    //= rfc6347#4.2.5-1
    /// NewSessionTicket (if promised), ChangeCipherSpec and Finished, the first time and for a client that repeats its
    /// own.
    pub(super) fn send_finished(&mut self, session: SessionId) {
        let Some(cold) = self.slab.cold_mut(session) else {
            return;
        };
        let body = cold.verify_data;
        let finished = message::encode(Kind::Finished, cold.finished_sequence, &body);
        let (mut plain_sequence, limits) = (cold.plain_sequence, cold.limits());
        let ticket = cold.rare.as_ref().and_then(|rare| try_copy(&rare.ticket)).unwrap_or_default();
        let Ok((to, record)) = self.seal(session, ContentType::HANDSHAKE, &finished) else {
            return;
        };
        let packer = Packer::new(self.config.mtu, &mut plain_sequence);
        let mut packer = packer.with_fragments_of(limits.clear_bytes_max());
        packer.message(&ticket);
        packer.change_cipher_spec();
        packer.record(record);
        let datagrams = packer.finish();
        if let Some(cold) = self.slab.cold_mut(session) {
            cold.plain_sequence = plain_sequence;
        }
        for datagram in datagrams {
            self.transmit(to, datagram);
        }
    }

    /// Ends a handshake with a reason, and with an alert in the clear if one is named.
    pub(super) fn fail_handshake(
        &mut self,
        id: HandshakeId,
        reason: HandshakeFailure,
        alert: Option<AlertDescription>,
    ) {
        let Some(handshake) = self.drop_handshake(id) else {
            return;
        };
        if let Some(alert) = alert {
            let alert = Alert::of(alert).encode();
            let record = record::plain(ContentType::ALERT, handshake.record_sequence, &alert);
            self.transmit(handshake.remote, record);
        }
        // A wrong key was reported when it was seen.
        if handshake.failures == 0 {
            let remote = handshake.remote;
            self.handshake_failed(remote, handshake.identity, handshake.principal, reason);
        }
    }

    /// Forgets a handshake and frees its slot.
    pub(super) fn drop_handshake(&mut self, id: HandshakeId) -> Option<Handshake> {
        let handshake = self.handshakes.remove(id)?;
        self.slab.release(handshake.session);
        Some(*handshake)
    }
}

/// The cookie vouches for the address that it came back from. A Finished from another one has few bytes.
fn path_of(handshake: &Handshake, remote: SocketAddr) -> rrc::Path {
    match handshake.remote == remote {
        true => rrc::Path::VALIDATED,
        false => rrc::Path::moved(message::HEADER_BYTES + schedule::VERIFY_BYTES + HEADER_BYTES),
    }
}

/// Without a principal the key was nobody's.
fn failure_of(handshake: &Handshake) -> HandshakeFailure {
    match handshake.principal {
        Some(_) => HandshakeFailure::WrongKey,
        None => HandshakeFailure::UnknownIdentity,
    }
}

fn put_aside(remote: SocketAddr, record: &Record<'_>) -> Option<Early> {
    if record.fragment.len() > limits::EARLY_RECORD_BYTES_MAX {
        return None;
    }
    Some(Early {
        remote,
        header: record.header,
        connection_id: ConnectionId::new(record.connection_id)?,
        fragment: try_copy(record.fragment)?,
    })
}

//= rfc6347#4.2.3-4
/// The Finished that a record completes, or `Some(None)` as long as parts of it are missing; `None` if it holds anything
/// else.
fn take_finished(handshake: &mut Handshake, content: &[u8]) -> Option<Option<Message>> {
    handshake.after(Step::Finished).ok()?;
    let mut reader = Reader::new(content);
    while !reader.is_empty() {
        let fragment = Fragment::read(&mut reader).ok()?;
        let due = handshake.reassembly.is_due(&fragment) && fragment.kind == Kind::Finished;
        let kept = due && handshake.reassembly.accept(&fragment) == Accepted::Kept;
        kept.then_some(())?;
    }
    Some(handshake.reassembly.next())
}
