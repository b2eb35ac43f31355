//! Something happened to one subject, at one time.
//!
//! The type enforces the rule that matters most: an event speaks for a device only if its bytes were
//! authenticated as that device's ([`Subject::Device`]). Everything else belongs to the network source that
//! sent it ([`Subject::Source`]) and can never change a device's posture.

use crate::id::{CommandId, DeviceKey, Source, TypeId};
use crate::posture::{Access, coded};
use crate::time::UnixMillis;

/// One thing that happened. Fixed size and `Copy`: it is made for every datagram.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Event {
    pub at: UnixMillis,
    pub subject: Subject,
    pub kind: EventKind,
}

impl Event {
    /// The device this event speaks for; `None` unless its bytes were authenticated.
    #[must_use]
    pub const fn device(&self) -> Option<DeviceKey> {
        match self.subject {
            Subject::Device { key, .. } => Some(key),
            Subject::Source { .. } => None,
        }
    }
}

/// Whom an event is about.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Subject {
    /// An opened, non-replayed record, a finished handshake, or verified evidence of this device.
    Device { key: DeviceKey, device_type: TypeId },
    /// Unauthenticated bytes. `claimed` is the device they *name* (by PSK identity or Connection ID), which
    /// may be shown to a person but never held against the device.
    Source { source: Source, claimed: Option<DeviceKey> },
}

/// What happened.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum EventKind {
    /// A handshake finished. `suite` is the IANA number.
    Established { suite: u16, connection_id: bool },
    /// A handshake failed before the peer proved its key.
    HandshakeFailed { reason: HandshakeFailure },
    /// A record was not accepted.
    RecordRejected { reason: RecordRejection },
    /// An authentic, newest record came from a new address. `network` is a hash of the /24 (IPv4) or /48.
    Rebound { network: u32 },
    /// An application message passed between device and upstream.
    Message(Message),
    /// A request was refused because of the device's access.
    Refused { access: Access },
    /// The upstream did not accept a message; the device was told 5.03.
    UpstreamFailed,
    /// A command changed state.
    Command { id: CommandId, state: CommandState },
    /// An LwM2M registration named an endpoint that is not bound to the authenticated device.
    /// `endpoint` is a hash of the name; the name itself goes to the history.
    EndpointMismatch { endpoint: u32 },
    /// The association ended. `by_peer` tells a close_notify of the device from our own decision.
    Closed { by_peer: bool },
}

/// One application message as the judges see it: its shape, never its content.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Message {
    pub direction: Direction,
    /// What kind of message: a hash of transport, method and path. Equal kinds have equal hashes.
    pub kind: u32,
    /// Application payload in bytes.
    pub payload_bytes: u16,
    /// With whom the device speaks: a hash of the upstream's or the network's address.
    pub peer: u32,
}

coded! {
    /// Seen from the device.
    Direction {
        Up = 0 "up",
        Down = 1 "down",
    }
}

coded! {
    HandshakeFailure {
        /// The Finished message or its record did not verify: the peer holds another key.
        WrongKey = 0 "wrong_key",
        /// No device has this PSK identity.
        UnknownIdentity = 1 "unknown_identity",
        /// The device is blocked or retired.
        Refused = 2 "refused",
        /// No cipher suite, version or extension in common.
        NoCommonGround = 3 "no_common_ground",
        /// Messages in an order or shape that the protocol forbids.
        Misbehaved = 4 "misbehaved",
        /// The peer went silent.
        TimedOut = 5 "timed_out",
        /// A limit was reached; the peer may try again.
        Overloaded = 6 "overloaded",
    }
}

coded! {
    RecordRejection {
        /// Not a DTLS record at all.
        Malformed = 0 "malformed",
        /// The Connection ID leads to no association.
        UnknownConnectionId = 1 "unknown_connection_id",
        /// The authentication tag does not match.
        Forged = 2 "forged",
        /// Seen before, or older than the replay window.
        Replayed = 3 "replayed",
        /// Well-formed, but not acceptable in this state (other epoch, plaintext after Finished, renegotiation).
        Unexpected = 4 "unexpected",
    }
}

coded! {
    /// A command's way to a sleeping device.
    CommandState {
        /// The gate holds it until a person decides.
        Held = 0 "held",
        Queued = 1 "queued",
        Sent = 2 "sent",
        Acknowledged = 3 "acknowledged",
        Expired = 4 "expired",
        /// The gate or the device refused it.
        Refused = 5 "refused",
    }
}

/// A 32-bit FNV-1a hash over parts, each closed by a separator, for [`Message::kind`] and [`Message::peer`].
/// It groups equal things; it protects nothing.
#[must_use]
pub fn kind_hash(parts: &[&[u8]]) -> u32 {
    let mut hash = 0x811c_9dc5_u32;
    for part in parts {
        for byte in part.iter().chain(core::iter::once(&0xff)) {
            hash = (hash ^ u32::from(*byte)).wrapping_mul(0x0100_0193);
        }
    }
    hash
}
