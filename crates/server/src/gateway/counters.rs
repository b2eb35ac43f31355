//! What the gateway counts and shows, fixed in number so that metrics stay bounded.

use std::collections::VecDeque;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Mutex, PoisonError};

use bartizan_dtls::{PathOutcome, Version};
use bartizan_wire::event::{HandshakeFailure, RecordRejection};

use super::Enforced;
use super::coap::Shed;
use crate::limits::GATEWAY_ENFORCED_MAX;

/// Declares the reasons for which something is dropped, with their stable names.
macro_rules! dropped {
    ($($(#[$doc:meta])* $variant:ident $name:literal,)+) => {
        /// Why something was dropped or refused. The names are metric labels.
        #[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
        #[repr(usize)]
        pub enum Dropped { $($(#[$doc])* $variant,)+ }

        impl Dropped {
            pub const ALL: &'static [Self] = &[$(Self::$variant,)+];

            #[must_use]
            pub const fn name(self) -> &'static str {
                match self { $(Self::$variant => $name,)+ }
            }
        }
    };
}

dropped! {
    /// A datagram of a limited source.
    SourceLimited "source_limited",
    /// A datagram longer than any record.
    TooLong "too_long",
    /// The journal cannot keep up or the disk is full.
    JournalBehind "journal_behind",
    /// Too many PSK look-ups under way.
    CredentialsBusy "credentials_busy",
    /// A stored key that DTLS refuses, such as a short one.
    CredentialUnusable "credential_unusable",
    RecordMalformed "record_malformed",
    RecordUnknownConnectionId "record_unknown_connection_id",
    RecordForged "record_forged",
    RecordReplayed "record_replayed",
    RecordUnexpected "record_unexpected",
    HandshakeWrongKey "handshake_wrong_key",
    HandshakeUnknownIdentity "handshake_unknown_identity",
    HandshakeRefused "handshake_refused",
    HandshakeNoCommonGround "handshake_no_common_ground",
    HandshakeMisbehaved "handshake_misbehaved",
    HandshakeTimedOut "handshake_timed_out",
    HandshakeOverloaded "handshake_overloaded",
    CoapMalformed "coap_malformed",
    CoapStray "coap_stray",
    CoapDuplicate "coap_duplicate",
    CoapRefused "coap_refused",
    CoapUnsupported "coap_unsupported",
    CoapBody "coap_body",
    CoapBusy "coap_busy",
    /// Too many messages under way to upstreams: 5.03.
    UpstreamBusy "upstream_busy",
    /// An association that made room for a newer one, as the longest silent of all.
    SessionsFull "sessions_full",
    /// A message of a device that is no longer known or is blocked.
    NoDevice "no_device",
    /// Messages waiting for their device to be loaded.
    Loading "loading",
    /// A record that could not be sealed: too long, or its sequence lease is not durable yet.
    NotSealed "not_sealed",
    /// The socket's send buffer and our queue are full.
    SocketFull "socket_full",
    /// A change of a command's state that found the queue to the registry full.
    CommandState "command_state",
    /// A notification of an upstream to a device without association.
    Notification "notification",
}

impl From<RecordRejection> for Dropped {
    fn from(reason: RecordRejection) -> Self {
        match reason {
            RecordRejection::Malformed => Self::RecordMalformed,
            RecordRejection::UnknownConnectionId => Self::RecordUnknownConnectionId,
            RecordRejection::Forged => Self::RecordForged,
            RecordRejection::Replayed => Self::RecordReplayed,
            RecordRejection::Unexpected => Self::RecordUnexpected,
        }
    }
}

impl From<HandshakeFailure> for Dropped {
    fn from(reason: HandshakeFailure) -> Self {
        match reason {
            HandshakeFailure::WrongKey => Self::HandshakeWrongKey,
            HandshakeFailure::UnknownIdentity => Self::HandshakeUnknownIdentity,
            HandshakeFailure::Refused => Self::HandshakeRefused,
            HandshakeFailure::NoCommonGround => Self::HandshakeNoCommonGround,
            HandshakeFailure::Misbehaved => Self::HandshakeMisbehaved,
            HandshakeFailure::TimedOut => Self::HandshakeTimedOut,
            HandshakeFailure::Overloaded => Self::HandshakeOverloaded,
        }
    }
}

impl From<Shed> for Dropped {
    fn from(why: Shed) -> Self {
        match why {
            Shed::Malformed => Self::CoapMalformed,
            Shed::Stray => Self::CoapStray,
            Shed::Duplicate => Self::CoapDuplicate,
            Shed::Refused => Self::CoapRefused,
            Shed::Unsupported => Self::CoapUnsupported,
            Shed::Body => Self::CoapBody,
            Shed::Busy => Self::CoapBusy,
        }
    }
}

/// A snapshot for metrics. Totals since the start, except where said.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct GatewayCounters {
    pub datagrams_received: u64,
    pub datagrams_sent: u64,
    /// By version, DTLS 1.2 first.
    pub handshakes_by_version: [u64; 2],
    /// All of them.
    pub handshakes: u64,
    /// Authentic records with application data.
    pub records: u64,
    pub rebindings: u64,
    /// Checks of new addresses that are over: validated, refused, unanswered.
    pub path_checks: [u64; 3],
    /// Associations that were closed because too many records did not open.
    pub forgeries: u64,
    /// Groups that the journal made durable.
    pub journal_groups: u64,
    /// Now: associations.
    pub sessions: u64,
    /// Now: associations with unfinished CoAP business.
    pub peers: u64,
    /// Now: messages under way to upstreams.
    pub in_flight: u64,
    /// By reason, in the order of [`Dropped::ALL`].
    pub dropped: Vec<(Dropped, u64)>,
}

/// What the gateway's task shows to others.
#[derive(Default)]
pub struct Shown {
    pub datagrams_received: AtomicU64,
    pub datagrams_sent: AtomicU64,
    handshakes: [AtomicU64; 2],
    pub records: AtomicU64,
    pub rebindings: AtomicU64,
    path_checks: [AtomicU64; 3],
    pub forgeries: AtomicU64,
    pub journal_groups: AtomicU64,
    pub sessions: AtomicU64,
    pub peers: AtomicU64,
    pub in_flight: AtomicU64,
    dropped: [AtomicU64; Dropped::ALL.len()],
    unready: Mutex<Option<String>>,
    enforced: Mutex<VecDeque<Enforced>>,
}

/// Adds one.
pub fn count(counter: &AtomicU64) {
    counter.fetch_add(1, Ordering::Relaxed);
}

impl Shown {
    pub fn dropped(&self, why: Dropped) {
        count(&self.dropped[why as usize]);
    }

    pub const fn handshakes_of(&self, version: Version) -> &AtomicU64 {
        let [dtls_1_2, dtls_1_3] = &self.handshakes;
        match version {
            Version::Dtls12 => dtls_1_2,
            Version::Dtls13 => dtls_1_3,
        }
    }

    pub const fn path_checks_of(&self, outcome: PathOutcome) -> &AtomicU64 {
        let [validated, refused, unanswered] = &self.path_checks;
        match outcome {
            PathOutcome::Validated => validated,
            PathOutcome::Refused => refused,
            PathOutcome::Unanswered => unanswered,
        }
    }

    pub fn counters(&self) -> GatewayCounters {
        let read = |counter: &AtomicU64| counter.load(Ordering::Relaxed);
        let handshakes_by_version = self.handshakes.each_ref().map(read);
        GatewayCounters {
            datagrams_received: read(&self.datagrams_received),
            datagrams_sent: read(&self.datagrams_sent),
            handshakes_by_version,
            handshakes: handshakes_by_version.iter().sum(),
            records: read(&self.records),
            rebindings: read(&self.rebindings),
            path_checks: self.path_checks.each_ref().map(read),
            forgeries: read(&self.forgeries),
            journal_groups: read(&self.journal_groups),
            sessions: read(&self.sessions),
            peers: read(&self.peers),
            in_flight: read(&self.in_flight),
            dropped: Dropped::ALL.iter().map(|why| (*why, read(&self.dropped[*why as usize]))).collect(),
        }
    }

    pub fn set_unready(&self, why: Option<String>) {
        *lock(&self.unready) = why;
    }

    pub fn unready(&self) -> Option<String> {
        lock(&self.unready).clone()
    }

    pub fn enforce(&self, enforced: Enforced) {
        let mut known = lock(&self.enforced);
        if known.len() == GATEWAY_ENFORCED_MAX {
            known.pop_front();
        }
        known.push_back(enforced);
    }

    pub fn enforced(&self) -> Vec<Enforced> {
        lock(&self.enforced).iter().copied().collect()
    }
}

/// These locks guard plain values: one that a panic left behind is as good as any.
fn lock<T>(mutex: &Mutex<T>) -> std::sync::MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

impl GatewayCounters {
    /// How often something was dropped for this reason.
    #[must_use]
    pub fn dropped(&self, why: Dropped) -> u64 {
        self.dropped.iter().find(|(reason, _)| *reason == why).map_or(0, |(_, count)| *count)
    }
}
