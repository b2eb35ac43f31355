//! The half of an association that only handshakes, restarts and evidence touch, and what few sessions have.

use alloc::boxed::Box;
use alloc::vec::Vec;

use bartizan_crypto::Secret;
use zeroize::{Zeroize, ZeroizeOnDrop};

use super::event::SessionId;
use super::resumption::SessionKey;
use crate::handshake::negotiation::RecordLimits;
use crate::key::RecordKeyRef;
use crate::schedule::VERIFY_BYTES;
use crate::v13::established::Established;
use crate::{Authentication, ConnectionId};

/// See the module.
pub(super) struct Cold {
    pub exporter: Secret<32>,
    /// Our Finished, to be repeated for a client that missed it.
    pub verify_data: [u8; VERIFY_BYTES],
    pub finished_sequence: u16,
    /// Next record number of epoch 0.
    pub plain_sequence: u64,
    /// Rises with each association, over restarts too: of two, the greater is the newer.
    pub serial: u64,
    /// The association of the same principal that this one takes the place of.
    pub replaces: Option<SessionId>,
    /// AES-256 and ChaCha20 only.
    pub(super) long_keys: Option<Box<LongKeys>>,
    pub authentication: Authentication,
    /// The handshake's last word was the client's: there is no Finished to repeat.
    pub resumed: bool,
    /// See [`SessionInfo`](super::SessionInfo).
    pub forward_secret: bool,
    pub rare: Option<Box<Rare>>,
    /// DTLS 1.3 only.
    pub v13: Option<Box<Established>>,
}

const _: () = assert!(size_of::<Cold>() <= 104, "the cold half must stay small, too");

impl Cold {
    pub const fn blank() -> Self {
        Self {
            exporter: Secret::new([0; 32]),
            verify_data: [0; VERIFY_BYTES],
            finished_sequence: 0,
            plain_sequence: 0,
            serial: 0,
            replaces: None,
            long_keys: None,
            authentication: Authentication::PreSharedKey,
            resumed: false,
            forward_secret: false,
            rare: None,
            v13: None,
        }
    }

    pub fn limits(&self) -> RecordLimits {
        self.rare.as_ref().map_or(RecordLimits::NONE, |rare| rare.limits)
    }

    pub fn rare_mut(&mut self) -> &mut Rare {
        self.rare.get_or_insert_with(|| Box::new(Rare::NONE))
    }
}

/// What few associations have.
pub(super) struct Rare {
    /// A peer's Connection ID of more than 8 bytes.
    pub long_peer_cid: ConnectionId,
    pub limits: RecordLimits,
    /// Under which id the session can be resumed.
    pub session_key: Option<SessionKey>,
    /// NewSessionTicket, to be repeated with our Finished until the client has used the association.
    pub ticket: Vec<u8>,
    /// See [`Hot::failed_opens`](super::hot::Hot::failed_opens).
    pub failed_opens_high: u64,
}

impl Rare {
    pub const NONE: Self = Self {
        long_peer_cid: ConnectionId::EMPTY,
        limits: RecordLimits::NONE,
        session_key: None,
        ticket: Vec::new(),
        failed_opens_high: 0,
    };
}

/// Keys of 32 bytes; their IVs lie in the hot half.
#[derive(Zeroize, ZeroizeOnDrop)]
pub(super) struct LongKeys {
    pub read: LongKey,
    pub write: LongKey,
}

impl LongKeys {
    pub const BLANK: Self = Self { read: LongKey::BLANK, write: LongKey::BLANK };
}

#[derive(Zeroize, ZeroizeOnDrop)]
pub(super) struct LongKey {
    key: [u8; 32],
    sn: [u8; 32],
}

impl LongKey {
    const BLANK: Self = Self { key: [0; 32], sn: [0; 32] };

    pub fn set(&mut self, from: RecordKeyRef<'_>) {
        self.zeroize();
        self.key.iter_mut().zip(from.key).for_each(|(to, from)| *to = *from);
        self.sn.iter_mut().zip(from.sn).for_each(|(to, from)| *to = *from);
    }

    pub const fn with_iv<'a>(&'a self, iv: &'a [u8; 12]) -> RecordKeyRef<'a> {
        RecordKeyRef { key: &self.key, iv, sn: &self.sn }
    }
}
