//! A handshake under way.

use alloc::vec::Vec;
use core::net::SocketAddr;

use bartizan_crypto::{KeyPair, Secret};
use bartizan_wire::record::Header;

use super::event::SessionId;
use super::phase::{Path, Phase, Step};
use super::resumption::{PastSession, SessionKey};
use super::table::UnderWay;
use super::terms::Terms;
use crate::handshake::flight::Item;
use crate::handshake::reassembly::Reassembly;
use crate::handshake::timer::Timer;
use crate::handshake::transcript::Transcript;
use crate::hash::Digest;
use crate::schedule::{Keys, Randoms};
use crate::{AlertDescription, Authentication, CipherSuite, ConnectionId, Error, Group, Instant, VerifiedPeer};

pub(super) struct Handshake {
    pub phase: Phase,
    pub path: Path,
    pub terms: Terms,
    /// The session that goes on, or may.
    pub past: Option<PastSession>,
    /// The id under which this session will be remembered.
    pub session_key: Option<SessionKey>,
    /// Whom the client's certificate names; unproven until its CertificateVerify.
    pub peer: Option<VerifiedPeer>,
    pub authentication: Authentication,
    /// Next record number of epoch 1: only a resumed session needs any before it is established.
    pub protected_sequence: u64,
    pub remote: SocketAddr,
    /// The slot reserved for the association.
    pub session: SessionId,
    pub suite: CipherSuite,
    /// Our ephemeral key, until the client's share is there.
    pub exchange: Option<(Group, KeyPair)>,
    pub shared: Option<Secret<32>>,
    pub randoms: Randoms,
    /// The client's Connection ID, if the extension was negotiated; ours is the session's then.
    pub peer_cid: Option<ConnectionId>,
    /// Whether the return routability check was negotiated.
    pub rrc: bool,
    pub reassembly: Reassembly,
    pub transcript: Transcript,
    /// Over all messages up to ClientKeyExchange (RFC 7627 section 3).
    pub session_hash: Digest,
    pub flight: Vec<Item>,
    /// Next message number of ours.
    pub message_sequence: u16,
    /// Next record number of epoch 0.
    pub record_sequence: u64,
    pub timer: Timer,
    pub started: Instant,
    pub expires: Instant,
    pub identity: Option<Vec<u8>>,
    pub principal: Option<u64>,
    /// Which of the principal's keys.
    pub tag: u32,
    pub keys: Option<Keys>,
    /// A protected record that came before its keys.
    pub early: Option<Early>,
    /// Finished records that did not open.
    pub failures: u8,
    /// The last fatal alert in the clear, believed only if silence follows.
    pub alert: Option<AlertDescription>,
}

/// What the client's second hello settles.
pub(super) struct Opening {
    pub remote: SocketAddr,
    pub session: SessionId,
    pub terms: Terms,
    pub past: Option<PastSession>,
    pub randoms: Randoms,
    /// The hello's; our first message has the same.
    pub message_sequence: u16,
    /// The hello's record's; our first record has the same (RFC 6347 section 4.2.1).
    pub record_sequence: u64,
}

/// A record put aside.
pub(super) struct Early {
    pub remote: SocketAddr,
    pub header: Header,
    pub connection_id: ConnectionId,
    pub fragment: Vec<u8>,
}

impl Handshake {
    /// A handshake whose terms are settled; the rest fills in as it goes.
    pub fn new(opening: Opening, timer: Timer, started: Instant, expires: Instant) -> Self {
        let path = opening.terms.path();
        Self {
            phase: match opening.past {
                Some(_) => Phase::Resumption,
                None => path.first(),
            },
            path,
            past: opening.past,
            session_key: None,
            peer: None,
            authentication: match path {
                Path::Psk => Authentication::PreSharedKey,
                _ => Authentication::Anonymous,
            },
            protected_sequence: 0,
            remote: opening.remote,
            session: opening.session,
            suite: opening.terms.suite,
            exchange: None,
            shared: None,
            randoms: opening.randoms,
            peer_cid: opening.terms.peer_cid,
            rrc: opening.terms.rrc,
            terms: opening.terms,
            reassembly: Reassembly::new(opening.message_sequence.saturating_add(1)),
            transcript: Transcript::default(),
            session_hash: Digest::EMPTY,
            flight: Vec::new(),
            message_sequence: opening.message_sequence,
            record_sequence: opening.record_sequence,
            timer,
            started,
            expires,
            identity: None,
            principal: None,
            tag: 0,
            keys: None,
            early: None,
            failures: 0,
            alert: None,
        }
    }

    /// Whether our flight is out and the client's is not complete. In a resumed session ours ends with Finished.
    pub fn awaits_answer(&self) -> bool {
        let resumed = self.past.is_some() && matches!(self.phase, Phase::ChangeCipherSpec | Phase::Finished);
        resumed || self.phase.reads_messages()
    }

    /// The phase after `step`.
    pub fn after(&self, step: Step) -> Result<Phase, Error> {
        self.phase.after(step, self.path).ok_or(Error::Misbehaved("a handshake message out of place"))
    }
}

impl UnderWay for Handshake {
    fn remote(&self) -> SocketAddr {
        self.remote
    }

    fn started(&self) -> Instant {
        self.started
    }

    /// The flight is repeated only while the client has not answered it.
    fn next_wake(&self) -> Instant {
        match self.awaits_answer() {
            true => self.timer.deadline.min(self.expires),
            false => self.expires,
        }
    }
}
