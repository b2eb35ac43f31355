//! The half of an association that every record touches, packed: a million of them is the server's memory.

use zeroize::{Zeroize, ZeroizeOnDrop};

use super::address::PackedAddress;
use crate::key::RecordKeyRef;
use crate::rrc::Path;
use crate::{CipherSuite, ConnectionId, Instant, ReplayWindow, limits};

/// Longest key that lies here; longer ones lie in the cold half.
const KEY_BYTES: usize = 16;
/// Longest peer's Connection ID that lies here.
const PEER_CID_BYTES: usize = 8;

/// What a slot is used for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::server) enum Phase {
    Free,
    /// Reserved by a handshake, whose number stands in `principal`.
    Handshaking,
    /// The client's Finished is verified; ours waits until the association is durable.
    AwaitDurable,
    Established,
}

/// See the module. Numbers of 48 bits are kept in six bytes, behind methods.
pub(in crate::server) struct Hot {
    pub(super) read: HotKey,
    pub(super) write: HotKey,
    window_bits: u64,
    pub principal: u64,
    window_top: U48,
    send_next: U48,
    /// First send sequence number that is not leased.
    lease: U48,
    last_seen: U48,
    pub generation: u32,
    pub suite: CipherSuite,
    /// DTLS 1.2: both are 1. DTLS 1.3: those of the keys in `read` and `write`.
    pub read_epoch: u16,
    pub write_epoch: u16,
    pub remote: PackedAddress,
    peer_cid: [u8; PEER_CID_BYTES],
    pub(super) peer_cid_len: u8,
    pub phase: Phase,
    /// Records that did not open since the last key change, in the last byte of the number; the rest is rare. Not kept
    /// over a restart, which no attacker can bring about.
    pub failed_opens: u8,
    /// The peer's records carry the Connection ID that we issued.
    pub own_cid: bool,
    /// An application record has opened: the peer has our Finished.
    pub used: bool,
    /// The cold half may hold a predecessor, record limits or a ticket: what a record has to look at. Few do.
    pub cold_matters: bool,
    /// LeaseLow was emitted and not answered yet.
    pub lease_asked: bool,
    /// The peer knows the return routability check.
    pub rrc: bool,
    pub path: Path,
    /// DTLS 1.3: a message after the handshake, or our next keys, may be under way in the cold half.
    pub under_way: bool,
    /// The keys are too long to lie here.
    pub(super) keys_elsewhere: bool,
}

/// So that 256 MB hold a million associations with room to spare.
const _: () = assert!(size_of::<Hot>() <= 184, "the hot half must stay small");

impl Hot {
    /// A free slot.
    pub const fn blank(generation: u32) -> Self {
        Self {
            read: HotKey::BLANK,
            write: HotKey::BLANK,
            window_bits: 0,
            principal: 0,
            window_top: U48::ZERO,
            send_next: U48::ZERO,
            lease: U48::ZERO,
            last_seen: U48::ZERO,
            generation,
            suite: CipherSuite::PskAes128Ccm8,
            read_epoch: 0,
            write_epoch: 0,
            remote: PackedAddress::NOWHERE,
            peer_cid: [0; PEER_CID_BYTES],
            peer_cid_len: 0,
            phase: Phase::Free,
            failed_opens: 0,
            own_cid: false,
            used: false,
            cold_matters: false,
            lease_asked: false,
            rrc: false,
            path: Path::VALIDATED,
            under_way: false,
            keys_elsewhere: false,
        }
    }

    pub fn window(&self) -> ReplayWindow {
        ReplayWindow { top: self.window_top.get(), bits: self.window_bits }
    }

    pub fn set_window(&mut self, window: ReplayWindow) {
        self.window_top = U48::new(window.top);
        self.window_bits = window.bits;
    }

    /// Notes the sequence number of an authentic record; returns whether it is the newest.
    pub fn mark(&mut self, sequence: u64) -> bool {
        let mut window = self.window();
        let newest = window.is_newest(sequence);
        window.mark(sequence);
        self.set_window(window);
        newest
    }

    pub fn last_seen(&self) -> Instant {
        Instant::from_millis(self.last_seen.get())
    }

    pub fn set_last_seen(&mut self, now: Instant) {
        self.last_seen = U48::new(now.as_millis());
    }

    /// First send sequence number that is not leased.
    pub fn lease(&self) -> u64 {
        self.lease.get()
    }

    /// The lease ends before the last sequence number of an epoch, which is never used.
    pub fn set_lease(&mut self, upto: u64) {
        self.lease = U48::new(upto);
    }

    pub fn send_next(&self) -> u64 {
        self.send_next.get()
    }

    pub fn set_send_next(&mut self, next: u64) {
        self.send_next = U48::new(next);
    }

    /// A send sequence number that nobody gets again; `None` if the lease is used up.
    pub fn next_sequence(&mut self) -> Option<u64> {
        let sequence = self.send_next.get();
        if sequence >= self.lease.get() {
            return None;
        }
        self.send_next = U48::new(sequence.saturating_add(1));
        Some(sequence)
    }

    /// The peer's Connection ID, if it is short enough to lie here.
    pub(super) fn short_peer_cid(&self) -> Option<ConnectionId> {
        ConnectionId::new(self.peer_cid.get(..usize::from(self.peer_cid_len))?)
    }

    /// Keeps the Connection ID, or only its length if it is too long; returns whether it is kept.
    pub(super) fn set_peer_cid(&mut self, cid: &ConnectionId) -> bool {
        self.peer_cid = [0; PEER_CID_BYTES];
        self.peer_cid_len = cid.len() as u8;
        let place = self.peer_cid.get_mut(..cid.len());
        place.map(|place| place.copy_from_slice(cid.as_slice())).is_some()
    }
}

/// A key of 16 bytes for each purpose. Raw: expanded per record.
#[derive(Zeroize, ZeroizeOnDrop)]
pub(super) struct HotKey {
    key: [u8; KEY_BYTES],
    iv: [u8; 12],
    sn: [u8; KEY_BYTES],
}

impl HotKey {
    const BLANK: Self = Self { key: [0; KEY_BYTES], iv: [0; 12], sn: [0; KEY_BYTES] };

    /// Takes as much as there is room for.
    pub fn set(&mut self, from: RecordKeyRef<'_>) {
        self.zeroize();
        self.key.iter_mut().zip(from.key).for_each(|(to, from)| *to = *from);
        self.iv = *from.iv;
        self.sn.iter_mut().zip(from.sn).for_each(|(to, from)| *to = *from);
    }

    pub const fn iv(&self) -> &[u8; 12] {
        &self.iv
    }

    pub const fn as_ref(&self) -> RecordKeyRef<'_> {
        RecordKeyRef { key: &self.key, iv: &self.iv, sn: &self.sn }
    }
}

/// A number of 48 bits: sequence numbers, and milliseconds for the next 8,900 years.
#[derive(Clone, Copy)]
struct U48([u8; 6]);

impl U48 {
    const ZERO: Self = Self([0; 6]);

    /// Greater numbers become the greatest.
    fn new(value: u64) -> Self {
        let [_, _, bytes @ ..] = value.min(limits::SEQUENCE_MAX).to_be_bytes();
        Self(bytes)
    }

    fn get(self) -> u64 {
        let [a, b, c, d, e, f] = self.0;
        u64::from_be_bytes([0, 0, a, b, c, d, e, f])
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_of_48_bits_stop_at_their_end() {
        for value in [0, 1, 0x0102_0304_0506, limits::SEQUENCE_MAX] {
            assert_eq!(U48::new(value).get(), value);
        }
        assert_eq!(U48::new(limits::SEQUENCE_MAX + 1).get(), limits::SEQUENCE_MAX);
        assert_eq!(U48::new(u64::MAX).get(), limits::SEQUENCE_MAX);
    }

    #[test]
    fn no_sequence_number_comes_twice_or_past_the_lease() {
        let mut hot = Hot::blank(0);
        assert_eq!(hot.next_sequence(), None);
        hot.set_lease(2);
        assert_eq!([hot.next_sequence(), hot.next_sequence(), hot.next_sequence()], [Some(0), Some(1), None]);
        hot.set_send_next(limits::SEQUENCE_MAX - 1);
        hot.set_lease(u64::MAX);
        assert_eq!(hot.next_sequence(), Some(limits::SEQUENCE_MAX - 1));
        assert_eq!(hot.next_sequence(), None);
    }
}
