//! [`Endpoint`]: one socket's datagrams, sorted to handshakes and associations.

use alloc::boxed::Box;
use alloc::collections::{BTreeMap, VecDeque};
use alloc::vec::Vec;
use core::net::SocketAddr;

use bartizan_crypto::Random;
use bartizan_wire::event::{HandshakeFailure, RecordRejection};
use bartizan_wire::record::{self as wire, ContentType, DTLS_1_2, Record};

use super::config::EndpointConfig;
use super::cookie::Cookies;
use super::event::{EndpointEvent, HandshakeId, SessionId, Transmit};
use super::handshake::Handshake;
use super::path::Paths;
use super::resumption::PastSessions;
use super::slab::{Phase, Slab};
use super::table::Table;
use super::timers::Timers;
use super::v13;
use crate::alert::Alert;
use crate::codec::{Reader, try_copy};
use crate::handshake::message::{Fragment, Kind};
use crate::record::EPOCH;
use crate::v13::record::is_unified;
use crate::{Error, Instant, Routes, Version, limits};

/// All associations behind one socket.
///
/// After every call, send what [`Self::poll_transmit`] has, answer what [`Self::poll`] has, and arrange for
/// [`Self::handle_timeout`] to be called at [`Self::poll_timeout`].
pub struct Endpoint {
    pub(super) config: EndpointConfig,
    pub(super) rng: Box<dyn Random + Send>,
    pub(super) cookies: Cookies,
    pub(super) past: PastSessions,
    pub(super) slab: Slab,
    pub(super) handshakes: Table<Handshake>,
    pub(super) v13: Table<v13::Handshake>,
    /// Of the newest handshake of either version.
    pub(super) handshake_id: HandshakeId,
    /// Associations of DTLS 1.3 with a message after the handshake under way. No more than have been spoken to.
    pub(super) posts: Timers<SessionId>,
    pub(super) paths: Paths,
    /// Established peers without a Connection ID: no more than there are slots.
    pub(super) by_address: BTreeMap<SocketAddr, SessionId>,
    /// The newest association of each principal.
    pub(super) newest: BTreeMap<u64, SessionId>,
    /// Of the newest association of all.
    pub(super) serial: u64,
    pub(super) events: VecDeque<EndpointEvent>,
    outbox: VecDeque<Transmit>,
    /// Whether a record of the current datagram had its place, so that others in it may be leftovers of a repetition.
    pub(super) accounted: bool,
    /// Whether the current datagram held handshake records of epoch 0 that led nowhere.
    leftovers: bool,
    /// Whether anything went to a new address since the current datagram came: what else is in it is no answer to that.
    pub(super) spoken: bool,
    /// See [`Self::serve_until`].
    fence: Option<Instant>,
}

impl Endpoint {
    /// # Errors
    /// `Misuse` if the configuration cannot work.
    pub fn server(config: EndpointConfig, mut rng: Box<dyn Random + Send>) -> Result<Self, Error> {
        config.check()?;
        Ok(Self {
            cookies: Cookies::new(config.provider, &mut *rng),
            past: PastSessions::new(config.provider, config.resumption),
            slab: Slab::new(config.sessions_max),
            rng,
            config,
            handshakes: Table::default(),
            v13: Table::default(),
            handshake_id: HandshakeId(0),
            posts: Timers::default(),
            paths: Paths::default(),
            by_address: BTreeMap::new(),
            newest: BTreeMap::new(),
            serial: 0,
            events: VecDeque::new(),
            outbox: VecDeque::new(),
            accounted: false,
            leftovers: false,
            spoken: false,
            fence: None,
        })
    }

    /// Takes in a datagram, which is decrypted in place. The outcome shows in [`Self::poll`].
    pub fn handle(&mut self, now: Instant, remote: SocketAddr, datagram: &mut [u8]) {
        self.accounted = false;
        self.leftovers = false;
        self.spoken = false;
        if let Some(shard) = self.whose(now, datagram) {
            return self.misrouted(remote, shard, datagram);
        }
        let mut rest = datagram;
        for _ in 0..limits::RECORDS_PER_DATAGRAM_MAX {
            if rest.is_empty() || self.is_backed_up() {
                break;
            }
            rest = match rest.first() {
                //= rfc9147#4.1-2
                //= rfc9147#4.1-3
                Some(first) if self.config.versions.contains(Version::Dtls13) && is_unified(*first) => {
                    self.on_unified(now, remote, rest)
                }
                _ => match wire::split(rest, self.config.routes.cid_len_in(rest)) {
                    Ok((record, more)) => {
                        self.on_record(now, remote, record);
                        more
                    }
                    Err(wire::Malformed) => {
                        self.reject(remote, None, RecordRejection::Malformed);
                        break;
                    }
                },
            };
        }
        // A client that missed our Finished repeats its whole flight; only its protected part still has a place.
        if self.leftovers && !self.accounted {
            self.reject(remote, None, RecordRejection::Unexpected);
        }
    }

    /// The shard that a datagram is for, if we must not serve it.
    fn whose(&self, now: Instant, datagram: &[u8]) -> Option<u16> {
        let fenced = self.is_fenced(now).then(|| self.config.routes.shard());
        self.config.routes.elsewhere(datagram).or(fenced)
    }

    fn misrouted(&mut self, remote: SocketAddr, shard: u16, datagram: &[u8]) {
        if let Some(datagram) = try_copy(datagram).filter(|_| !self.is_backed_up()) {
            self.events.push_back(EndpointEvent::Misrouted { remote, shard, datagram });
        }
    }

    /// One shard of several may be served until then ([`Fence`](crate::route::Fence)): from that moment on nothing
    /// is opened or sealed. `None`, which is the default, sets no end.
    pub const fn serve_until(&mut self, until: Option<Instant>) {
        self.fence = until;
    }

    pub(super) fn is_fenced(&self, now: Instant) -> bool {
        self.fence.is_some_and(|until| now >= until)
    }

    /// Other keys for Connection IDs from now on. Those that were issued lead here as long as `routes` accepts them.
    ///
    /// # Errors
    /// `Misuse` if they are for another shard.
    pub fn set_routes(&mut self, routes: Routes) -> Result<(), Error> {
        if routes.shard() != self.config.routes.shard() {
            return Err(Error::Misuse("routes for another shard"));
        }
        self.config.routes = routes;
        Ok(())
    }

    /// The next thing that happened.
    pub fn poll(&mut self) -> Option<EndpointEvent> {
        self.events.pop_front()
    }

    /// The next datagram to send.
    pub fn poll_transmit(&mut self) -> Option<Transmit> {
        self.outbox.pop_front()
    }

    /// When [`Self::handle_timeout`] wants to be called.
    #[must_use]
    pub fn poll_timeout(&self) -> Option<Instant> {
        let handshakes = [self.handshakes.next_timeout(), self.v13.next_timeout()];
        let sessions = [self.posts.next_timeout(), self.paths.next_timeout()];
        handshakes.into_iter().chain(sessions).flatten().min().filter(|due| !self.is_fenced(*due))
    }

    /// Repeats flights and gives up handshakes; goes on with checks of addresses.
    pub fn handle_timeout(&mut self, now: Instant) {
        if self.is_fenced(now) {
            return;
        }
        while let Some(id) = self.handshakes.due(now) {
            self.on_timeout(now, id);
        }
        while let Some(id) = self.v13.due(now) {
            self.on_timeout_13(now, id);
        }
        while let Some(session) = self.posts.take_due(now) {
            self.on_post_timeout(now, session);
        }
        self.check_paths(now);
    }

    /// Handshakes under way.
    #[must_use]
    pub fn handshakes(&self) -> usize {
        self.handshakes.len() + self.v13.len()
    }

    fn on_timeout(&mut self, now: Instant, id: HandshakeId) {
        let Some(handshake) = self.handshakes.get_mut(id) else {
            return;
        };
        if now >= handshake.expires {
            return self.fail_handshake(id, HandshakeFailure::TimedOut, None);
        }
        if handshake.alert.is_some() {
            return self.fail_handshake(id, HandshakeFailure::NoCommonGround, None);
        }
        handshake.timer.back_off(now);
        self.repeat_flight(id);
    }

    fn on_record(&mut self, now: Instant, remote: SocketAddr, record: Record<'_>) {
        let header = record.header;
        match (header.epoch, header.content_type) {
            (EPOCH, _) if header.version != DTLS_1_2 => {
                self.reject(remote, None, RecordRejection::Unexpected);
            }
            (EPOCH, ContentType::TLS12_CID) => self.on_record_with_cid(now, remote, record),
            (EPOCH, _) => self.on_record_without_cid(now, remote, record),
            (0, ContentType::HANDSHAKE) => self.on_plain_handshake(now, remote, &record),
            (0, ContentType::CHANGE_CIPHER_SPEC) => {
                self.on_change_cipher_spec(now, remote, record.fragment);
            }
            (0, ContentType::ALERT) => self.on_plain_alert(remote, record.fragment),
            //= rfc6347#4.1-s1
            _ => self.reject(remote, None, RecordRejection::Unexpected),
        }
    }

    /// The Connection ID names the slot; a stale generation is refused before any cipher runs.
    fn on_record_with_cid(&mut self, now: Instant, remote: SocketAddr, record: Record<'_>) {
        let session = self.config.routes.session_of(record.connection_id);
        let found = session.and_then(|session| Some((session, self.slab.hot(session)?)));
        match found {
            Some((session, hot)) if hot.phase == Phase::Established && hot.own_cid => {
                self.on_session_record(now, session, remote, record);
            }
            Some((_, hot)) if hot.phase == Phase::Handshaking => {
                let id = HandshakeId(hot.principal);
                self.on_handshake_record(now, id, remote, record);
            }
            // The client repeats its Finished while the association becomes durable.
            Some((_, hot)) if hot.phase == Phase::AwaitDurable => self.accounted = true,
            _ => self.reject(remote, None, RecordRejection::UnknownConnectionId),
        }
    }

    //= rfc9146#3-5
    //= rfc9146#3-6
    /// Peers without a Connection ID are found by address. One that begins anew from the same address has an
    /// association and a handshake there at the same time.
    fn on_record_without_cid(&mut self, now: Instant, remote: SocketAddr, record: Record<'_>) {
        let session = self.by_address.get(&remote).copied();
        let handshake = self.handshakes.at(remote).filter(|id| {
            let handshake = self.handshakes.get(*id);
            handshake.is_some_and(|handshake| handshake.peer_cid.is_none())
        });
        match (session, handshake) {
            (Some(session), None) => self.on_session_record(now, session, remote, record),
            (Some(session), Some(_)) if self.would_open(session, &record) => {
                self.on_session_record(now, session, remote, record);
            }
            (_, Some(id)) => self.on_handshake_record(now, id, remote, record),
            (None, None) => self.leftovers = true,
        }
    }

    fn on_plain_handshake(&mut self, now: Instant, remote: SocketAddr, record: &Record<'_>) {
        if self.is_too_long_in_the_clear(remote, record.fragment.len()) {
            return self.reject(remote, None, RecordRejection::Malformed);
        }
        let mut reader = Reader::new(record.fragment);
        while !reader.is_empty() {
            match Fragment::read(&mut reader) {
                Ok(fragment) if fragment.kind == Kind::ClientHello => {
                    // Anything behind a hello could only be guessing our answer.
                    return self.on_client_hello(now, remote, record.header.sequence, &fragment);
                }
                Ok(fragment) => self.on_plain_fragment(remote, &fragment),
                Err(Error::Malformed(_)) => {
                    return self.reject(remote, None, RecordRejection::Malformed);
                }
                Err(_) => self.reject_plain(),
            }
        }
    }

    /// RFC 6066 section 4. Nothing vouches for the record, so it is dropped without a word.
    fn is_too_long_in_the_clear(&self, remote: SocketAddr, length: usize) -> bool {
        let handshake = self.handshakes.at(remote).and_then(|id| self.handshakes.get(id));
        let limits = handshake.map(|handshake| handshake.terms.limits);
        limits.is_some_and(|limits| limits.in_the_clear && length > usize::from(limits.receive))
    }

    /// Nothing vouches for an alert in the clear: it only shortens the wait of a silent handshake.
    fn on_plain_alert(&mut self, remote: SocketAddr, fragment: &[u8]) {
        let alert = Alert::decode(fragment);
        if let (Some(alert), Some(id)) = (alert, self.v13.at(remote)) {
            let handshake = self.v13.get_mut(id);
            if let Some(handshake) = handshake.filter(|handshake| alert.fatal && !handshake.has_heard_keys()) {
                handshake.alert = Some(alert.description);
            }
            return;
        }
        let id = self.handshakes.at(remote);
        let handshake = id.and_then(|id| self.handshakes.get_mut(id));
        match (alert, handshake) {
            (Some(alert), Some(handshake)) if alert.fatal => {
                handshake.alert = Some(alert.description);
            }
            (Some(_), Some(_)) => {}
            (Some(_), None) => self.leftovers = true,
            (None, _) => self.reject(remote, None, RecordRejection::Malformed),
        }
    }

    pub(super) fn transmit(&mut self, to: SocketAddr, data: Vec<u8>) {
        self.outbox.push_back(Transmit { to, data });
    }

    pub(super) fn reject(&mut self, remote: SocketAddr, claimed: Option<u64>, reason: RecordRejection) {
        self.events.push_back(EndpointEvent::Rejected { remote, claimed, reason });
    }

    /// A handshake record of epoch 0 without a place, reported once for its datagram, if at all.
    pub(super) const fn reject_plain(&mut self) {
        self.leftovers = true;
    }

    /// The caller does not keep up: more datagrams would only cost memory.
    fn is_backed_up(&self) -> bool {
        self.events.len() >= limits::EVENTS_MAX || self.outbox.len() >= limits::EVENTS_MAX
    }
}

impl core::fmt::Debug for Endpoint {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        let handshakes = self.handshakes.len();
        write!(f, "Endpoint({handshakes} handshakes under way)")
    }
}
