//! Associations over a restart.

use alloc::boxed::Box;
use alloc::vec::Vec;
use core::net::SocketAddr;

use bartizan_crypto::Secret;

use super::endpoint::Endpoint;
use super::event::{SessionBytes, SessionId, SessionInfo};
use super::slab::{Cold, Hot, NewSession, Phase};
use super::v13::window_within;
use crate::codec::{Reader, put_u16, put_vec8};
use crate::handshake::negotiation::RecordLimits;
use crate::record::EPOCH;
use crate::rrc::Path;
use crate::schedule::{TrafficKey, VERIFY_BYTES};
use crate::v13::established::{self, Established, FIRST_NUMBER, Kept};
use crate::v13::record::sequence_of;
use crate::{Authentication, CipherSuite, ConnectionId, Error, Instant, ReplayWindow, Version, limits};

/// The first byte of every state; another layout gets another number.
const VERSION: u8 = 3;
/// Where the version byte says DTLS 1.3.
const VERSION_13: u8 = 2;
/// Without authentication and limits for records: pre-shared keys only.
const VERSION_1: u8 = 1;
/// How far the record numbers of epoch 0 leap over a restart: further than a live handshake ever counts.
const PLAIN_SEQUENCE_LEAP: u64 = 1 << 16;

/// An association as a server's journal keeps it. Holds secrets: seal its bytes.
///
/// Replay window, lease and address change while the association lives and are kept beside it.
#[derive(Clone)]
pub struct SessionState {
    id: SessionId,
    serial: u64,
    principal: u64,
    suite: CipherSuite,
    own_cid: bool,
    rrc: bool,
    peer_cid: ConnectionId,
    read: TrafficKey,
    write: TrafficKey,
    exporter: Secret<32>,
    verify_data: [u8; VERIFY_BYTES],
    finished_sequence: u16,
    plain_sequence: u64,
    /// DTLS 1.3: what keys come from; window and lease count epochs, too.
    v13: Option<Kept>,
    authentication: Authentication,
    resumed: bool,
    forward_secret: bool,
    send_limit: u16,
    receive_limit: u16,
}

impl SessionState {
    #[must_use]
    pub fn to_bytes(&self) -> Vec<u8> {
        let mut out = Vec::with_capacity(200);
        out.push(if self.v13.is_some() { VERSION_13 } else { VERSION });
        out.extend_from_slice(&self.id.slot.to_be_bytes());
        out.extend_from_slice(&self.id.generation.to_be_bytes());
        for number in [self.serial, self.principal, self.plain_sequence] {
            out.extend_from_slice(&number.to_be_bytes());
        }
        put_u16(&mut out, self.suite.code());
        put_u16(&mut out, self.finished_sequence);
        out.push(u8::from(self.own_cid) | u8::from(self.rrc) << 1);
        put_vec8(&mut out, self.peer_cid.as_slice());
        match &self.v13 {
            Some(kept) => kept.encode(|bytes| out.extend_from_slice(bytes)),
            None => {
                out.extend_from_slice(&*self.read.to_bytes());
                out.extend_from_slice(&*self.write.to_bytes());
            }
        }
        out.extend_from_slice(self.exporter.expose());
        out.extend_from_slice(&self.verify_data);
        out.extend_from_slice(&[
            self.authentication as u8,
            u8::from(self.resumed) | u8::from(self.forward_secret) << 1,
        ]);
        put_u16(&mut out, self.send_limit);
        put_u16(&mut out, self.receive_limit);
        out
    }

    /// # Errors
    /// `Malformed` if the bytes are not a session state of this version.
    pub fn from_bytes(bytes: &[u8]) -> Result<Self, Error> {
        let mut reader = Reader::new(bytes);
        let (version, is_first_layout) = match reader.u8()? {
            VERSION => (Version::Dtls12, false),
            VERSION_1 => (Version::Dtls12, true),
            VERSION_13 => (Version::Dtls13, false),
            _ => return Err(Error::Malformed("a session state of another version")),
        };
        let id = SessionId { slot: reader.u32()?, generation: reader.u32()? };
        let (serial, principal) = (reader.u64()?, reader.u64()?);
        let plain_sequence = reader.u64()?;
        let suite = CipherSuite::from_code(reader.u16()?).filter(|suite| suite.version() == version);
        let suite = suite.ok_or(Error::Malformed("a session state of an unknown suite"))?;
        let finished_sequence = reader.u16()?;
        let flags = reader.u8()?;
        let peer_cid = ConnectionId::new(reader.vec8()?);
        let (v13, read, write) = match version {
            Version::Dtls12 => {
                let (read, write) = (reader.array()?, reader.array()?);
                (None, TrafficKey::from_bytes(&read), TrafficKey::from_bytes(&write))
            }
            Version::Dtls13 => {
                let kept = Kept::decode(&mut reader, suite)?;
                (Some(kept), TrafficKey::BLANK, TrafficKey::BLANK)
            }
        };
        let mut state = Self {
            id,
            serial,
            principal,
            suite,
            own_cid: flags & 1 != 0,
            rrc: flags & 2 != 0,
            peer_cid: peer_cid.ok_or(Error::Malformed("a Connection ID is too long"))?,
            read,
            write,
            exporter: Secret::new(reader.array()?),
            verify_data: reader.array()?,
            finished_sequence,
            plain_sequence,
            v13,
            authentication: Authentication::PreSharedKey,
            resumed: false,
            forward_secret: suite.is_ecdhe(),
            send_limit: RecordLimits::NONE.send,
            receive_limit: RecordLimits::NONE.receive,
        };
        if !is_first_layout {
            let authentication = Authentication::from_code(reader.u8()?);
            state.authentication = authentication.ok_or(Error::Malformed("an unknown authentication"))?;
            let flags = reader.u8()?;
            state.resumed = flags & 1 != 0;
            state.forward_secret |= flags & 2 != 0;
            (state.send_limit, state.receive_limit) = (reader.u16()?, reader.u16()?);
        }
        reader.finish()?;
        if plain_sequence > limits::SEQUENCE_MAX {
            return Err(Error::Malformed("a sequence number of more than 48 bits"));
        }
        Ok(state)
    }

    #[must_use]
    pub const fn id(&self) -> SessionId {
        self.id
    }

    #[must_use]
    pub const fn principal(&self) -> u64 {
        self.principal
    }
}

impl core::fmt::Debug for SessionState {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        write!(f, "SessionState({:?}, principal {})", self.id, self.principal)
    }
}

impl Endpoint {
    /// What is known of an association: from [`EndpointEvent::Establishing`](crate::EndpointEvent) on.
    #[must_use]
    pub fn session(&self, session: SessionId) -> Option<SessionInfo> {
        let hot = self.live(session)?;
        let cold = self.slab.cold(session)?;
        Some(SessionInfo {
            principal: hot.principal,
            authentication: cold.authentication,
            suite: hot.suite,
            remote: hot.remote.unpack(),
            connection_id: hot.own_cid,
            last_seen: hot.last_seen(),
            forward_secret: cold.forward_secret,
            exporter: *cold.exporter.expose(),
        })
    }

    /// What to persist of an association: from [`EndpointEvent::Establishing`](crate::EndpointEvent) on.
    #[must_use]
    pub fn state(&self, session: SessionId) -> Option<SessionState> {
        let hot = self.live(session)?;
        let cold = self.slab.cold(session)?;
        Some(SessionState {
            id: session,
            serial: cold.serial,
            principal: hot.principal,
            suite: hot.suite,
            own_cid: hot.own_cid,
            rrc: hot.rrc,
            peer_cid: self.slab.peer_cid(session),
            read: TrafficKey::of(self.slab.read_key(session)?),
            write: TrafficKey::of(self.slab.write_key(session)?),
            exporter: cold.exporter.clone(),
            verify_data: cold.verify_data,
            finished_sequence: cold.finished_sequence,
            plain_sequence: cold.plain_sequence,
            v13: cold.v13.as_ref().map(|v13| v13.keep(hot.read_epoch, hot.write_epoch)),
            authentication: cold.authentication,
            resumed: cold.resumed,
            forward_secret: cold.forward_secret,
            send_limit: cold.limits().send,
            receive_limit: cold.limits().receive,
        })
    }

    /// Which records have been seen.
    #[must_use]
    pub fn window(&self, session: SessionId) -> Option<ReplayWindow> {
        self.live(session).map(|hot| if hot.is_dtls_1_3() { hot.window_13() } else { hot.window() })
    }

    /// First send sequence number that is not leased.
    #[must_use]
    pub fn lease(&self, session: SessionId) -> Option<u64> {
        self.live(session).map(|hot| if hot.is_dtls_1_3() { hot.lease_13() } else { hot.lease() })
    }

    /// What one association without long keys or a long Connection ID of the peer costs, in bytes.
    #[must_use]
    pub const fn session_bytes() -> SessionBytes {
        SessionBytes { hot: size_of::<Hot>(), cold: size_of::<Cold>(), dtls_1_3: size_of::<Established>() }
    }

    /// All established associations.
    pub fn sessions(&self) -> impl Iterator<Item = SessionId> {
        self.slab.established()
    }

    /// Brings an association back after a restart. Sending continues at `lease`, which must not be less than
    /// what was ever leased; nothing can be sent until [`Self::extend_lease`].
    ///
    /// # Errors
    /// `Misuse` if the slot is taken or outside the configuration, `Unavailable` if there is no memory.
    pub fn restore(
        &mut self,
        state: SessionState,
        window: ReplayWindow,
        lease: u64,
        remote: SocketAddr,
    ) -> Result<SessionId, Error> {
        let id = state.id;
        self.slab.take_at(id, &mut *self.rng)?;
        let provider = self.config.provider;
        let v13 = state.v13.map(|kept| {
            let (established, keys) =
                established::restore(provider, state.suite, kept, &window, lease.max(FIRST_NUMBER));
            (Box::new(established), keys)
        });
        let (v13, keys) = v13.unzip();
        if let Some(cold) = self.slab.cold_mut(id) {
            cold.v13 = v13;
            cold.exporter = state.exporter;
            cold.verify_data = state.verify_data;
            cold.finished_sequence = state.finished_sequence;
            cold.plain_sequence = state.plain_sequence.saturating_add(PLAIN_SEQUENCE_LEAP);
            cold.serial = state.serial;
            cold.authentication = state.authentication;
            cold.resumed = state.resumed;
            cold.forward_secret = state.forward_secret;
            let limits = RecordLimits { send: state.send_limit, receive: state.receive_limit, in_the_clear: false };
            if limits != RecordLimits::NONE {
                cold.rare_mut().limits = limits;
            }
        }
        let mut restored = NewSession {
            phase: Phase::Established,
            suite: state.suite,
            principal: state.principal,
            remote,
            peer_cid: state.peer_cid,
            own_cid: state.own_cid,
            rrc: state.rrc,
            path: Path::VALIDATED,
            read: state.read.as_ref(),
            write: state.write.as_ref(),
            read_epoch: EPOCH,
            write_epoch: EPOCH,
            window,
            send_next: lease,
            lease,
            last_seen: Instant::default(),
        };
        if let Some(keys) = &keys {
            (restored.read, restored.write) = (keys.read.as_ref(), keys.write.as_ref());
            (restored.read_epoch, restored.write_epoch) = (keys.read_epoch, keys.write_epoch);
            restored.window = window_within(window, keys.read_epoch);
            (restored.send_next, restored.lease) = (sequence_of(lease), sequence_of(lease));
        }
        self.slab.occupy(id, &restored);
        if let Some(hot) = self.slab.hot_mut(id) {
            hot.under_way = keys.is_some();
        }
        self.serial = self.serial.max(state.serial);
        if !state.own_cid {
            self.by_address.insert(remote, id);
        }
        self.link(id, state.principal, state.serial);
        Ok(id)
    }

    /// Puts a restored association in its place among those of the same principal, newest first.
    fn link(&mut self, id: SessionId, principal: u64, serial: u64) {
        if principal == Authentication::NOBODY {
            return;
        }
        let serial_of = |slab: &super::slab::Slab, id| slab.cold(id).map_or(0, |cold| cold.serial);
        let Some(&newest) = self.newest.get(&principal) else {
            self.newest.insert(principal, id);
            return;
        };
        if serial_of(&self.slab, newest) < serial {
            self.newest.insert(principal, id);
            self.slab.set_replaces(id, Some(newest));
            return;
        }
        let mut newer = newest;
        while let Some(next) = self.slab.cold(newer).and_then(|cold| cold.replaces) {
            if serial_of(&self.slab, next) < serial {
                self.slab.set_replaces(id, Some(next));
                break;
            }
            newer = next;
        }
        self.slab.set_replaces(newer, Some(id));
    }

    /// Established, or waiting to become durable.
    fn live(&self, session: SessionId) -> Option<&Hot> {
        let hot = self.slab.hot(session)?;
        matches!(hot.phase, Phase::Established | Phase::AwaitDurable).then_some(hot)
    }
}
