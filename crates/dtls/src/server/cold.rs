//! The half of an association that only handshakes, restarts and evidence touch, and what few sessions have.

use alloc::boxed::Box;

use bartizan_crypto::Secret;
use zeroize::{Zeroize, ZeroizeOnDrop};

use super::event::SessionId;
use super::v13::Session13;
use crate::ConnectionId;
use crate::key::RecordKeyRef;
use crate::schedule::VERIFY_BYTES;

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
    /// Only a peer's Connection ID of more than 8 bytes.
    pub(super) long_peer_cid: Option<Box<ConnectionId>>,
    /// DTLS 1.3 only.
    pub v13: Option<Box<Session13>>,
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
            long_peer_cid: None,
            v13: None,
        }
    }
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
