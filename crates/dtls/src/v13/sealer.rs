//! Records of the handshake: in the clear, and under the handshake's keys.

use alloc::vec::Vec;

use bartizan_crypto::Provider;
use bartizan_wire::event::RecordRejection;
use bartizan_wire::record::{ContentType, HEADER_BYTES};

use super::ack::Acks;
use super::flight::Sealer;
use super::record::{ACK, Place, Protection, Sealed, epoch_of, number, sequence_of};
use super::schedule::{EPOCH_HANDSHAKE, RecordKey};
use crate::handshake::negotiation::RecordLimits;
use crate::hash::Digest;
use crate::record::plain;
use crate::{CipherSuite, ConnectionId, ReplayWindow};

/// Both directions of epoch 2.
pub(crate) struct HandshakeKeys {
    pub suite: CipherSuite,
    /// The secrets that the Finished messages are made with, too.
    pub read_secret: Digest,
    pub write_secret: Digest,
    pub read: RecordKey,
    write: RecordKey,
    /// Which records have been opened.
    pub window: ReplayWindow,
    /// Records that did not open.
    forgeries: u64,
    write_next: u64,
    /// What we put into records.
    pub peer_cid: ConnectionId,
    /// What the peer takes, and what it may send.
    pub limits: RecordLimits,
}

impl HandshakeKeys {
    pub fn new(
        provider: &'static Provider,
        suite: CipherSuite,
        read_secret: Digest,
        write_secret: Digest,
        peer_cid: ConnectionId,
    ) -> Self {
        Self {
            suite,
            read: RecordKey::derive(provider, suite, &read_secret),
            write: RecordKey::derive(provider, suite, &write_secret),
            read_secret,
            write_secret,
            window: ReplayWindow::default(),
            forgeries: 0,
            write_next: number(EPOCH_HANDSHAKE, 0),
            peer_cid,
            limits: RecordLimits::NONE_13,
        }
    }

    /// Opens a record of epoch 2, once; its number comes first.
    pub fn open<'r>(
        &mut self,
        provider: &'static Provider,
        mut record: Sealed<'r>,
    ) -> Result<(u64, ContentType, &'r [u8]), RecordRejection> {
        if record.inner_len(provider, self.suite) > usize::from(self.limits.receive) {
            return Err(RecordRejection::Malformed);
        }
        let reading = Protection { provider, suite: self.suite, key: self.read.as_ref() };
        let expected = if self.window.bits == 0 { 0 } else { sequence_of(self.window.top) + 1 };
        let sequence = record.sequence(&reading, expected).ok_or(RecordRejection::Malformed)?;
        let number = number(EPOCH_HANDSHAKE, sequence);
        if !self.window.is_fresh(number) {
            return Err(RecordRejection::Replayed);
        }
        let opened = record.open(&reading, sequence);
        if opened == Err(RecordRejection::Forged) {
            self.forgeries = self.forgeries.saturating_add(1);
        }
        let (kind, content) = opened?;
        self.window.mark(number);
        Ok((number, kind, content))
    }

    /// Whether the keys have seen as many forgeries as their cipher survives, which is `ccm_8` for `CCM_8`.
    pub const fn is_worn_out(&self, ccm_8: u16) -> bool {
        self.forgeries >= self.suite.failed_opens_max(ccm_8)
    }

    /// A record of epoch 2 and its number.
    pub fn seal(
        &mut self,
        provider: &'static Provider,
        place: Place,
        kind: ContentType,
        content: &[u8],
    ) -> Option<(u64, Vec<u8>)> {
        let number = self.write_next;
        if epoch_of(number) != EPOCH_HANDSHAKE {
            return None;
        }
        let writing = Protection { provider, suite: self.suite, key: self.write.as_ref() };
        let record = writing.seal(&self.peer_cid, number, place, kind, content).ok()?;
        self.write_next += 1;
        Some((number, record))
    }

    //= rfc9147#7-3
    /// An ACK, as long as a datagram of `mtu` bytes takes.
    pub fn acknowledge(&mut self, provider: &'static Provider, acks: &Acks, mtu: usize) -> Option<Vec<u8>> {
        let content = acks
            .encode(mtu.saturating_sub(self.overhead(provider)).min(usize::from(self.limits.send).saturating_sub(1)));
        self.seal(provider, Place::Last, ACK, &content).map(|(_, record)| record)
    }

    fn overhead(&self, provider: &'static Provider) -> usize {
        let writing = Protection { provider, suite: self.suite, key: self.write.as_ref() };
        writing.overhead(&self.peer_cid, Place::Coalesced)
    }
}

/// Seals the handshake's flights.
pub(crate) struct HandshakeSealer<'a> {
    pub provider: &'static Provider,
    /// Next record number of epoch 0.
    pub plain_next: &'a mut u64,
    pub keys: Option<&'a mut HandshakeKeys>,
}

impl Sealer for HandshakeSealer<'_> {
    fn content_max(&self, epoch: u16) -> usize {
        match (&self.keys, epoch) {
            (Some(keys), EPOCH_HANDSHAKE) => usize::from(keys.limits.send).saturating_sub(1),
            _ => usize::MAX,
        }
    }

    fn overhead(&self, epoch: u16) -> usize {
        match (&self.keys, epoch) {
            (Some(keys), EPOCH_HANDSHAKE) => keys.overhead(self.provider),
            _ => HEADER_BYTES,
        }
    }

    fn seal(&mut self, epoch: u16, content: &[u8]) -> Option<(u64, Vec<u8>)> {
        if epoch == EPOCH_HANDSHAKE {
            let keys = self.keys.as_mut()?;
            return keys.seal(self.provider, Place::Coalesced, ContentType::HANDSHAKE, content);
        }
        let number = *self.plain_next;
        *self.plain_next += 1;
        Some((number, plain(ContentType::HANDSHAKE, number, content)))
    }
}
