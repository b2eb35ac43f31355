//! Where associations live: small fixed records, found through the slot number in their Connection ID.
//!
//! A record has a hot half, which every datagram touches, and a cold half. Both grow in chunks, so that
//! growing never copies a million sessions.

use alloc::collections::VecDeque;
use alloc::vec::Vec;

use bartizan_crypto::{Random, Secret};

use super::address::PackedAddress;
use super::event::SessionId;
use crate::schedule::{TrafficKey, VERIFY_BYTES};
use crate::{CipherSuite, ConnectionId, Error, Instant, ReplayWindow};

/// Length of the Connection IDs that we issue: config byte, slot, generation.
pub(super) const CID_BYTES: usize = 8;
/// Slots that are allocated together.
const CHUNK: usize = 1024;
/// Generations count in 24 bits.
const GENERATION_MASK: u32 = 0xFF_FFFF;

/// What a slot is used for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Phase {
    Free,
    /// Reserved by a handshake, whose number stands in `principal`.
    Handshaking,
    /// The client's Finished is verified; ours waits until the association is durable.
    AwaitDurable,
    Established,
}

/// The half that every record touches.
pub(super) struct Hot {
    pub read: TrafficKey,
    pub write: TrafficKey,
    /// What we put into records; empty if the peer wants none.
    pub peer_cid: ConnectionId,
    pub remote: PackedAddress,
    pub window: ReplayWindow,
    pub send_next: u64,
    /// First send sequence number that is not leased.
    pub lease: u64,
    pub principal: u64,
    pub last_seen: Instant,
    pub generation: u32,
    pub suite: CipherSuite,
    pub phase: Phase,
    /// The peer's records carry the Connection ID that we issued.
    pub own_cid: bool,
    /// An application record has opened: the peer has our Finished.
    pub used: bool,
    /// LeaseLow was emitted and not answered yet.
    pub lease_asked: bool,
}

const _: () = assert!(size_of::<Hot>() <= 192, "the hot half must stay small");

/// The half that only handshakes, restarts and evidence touch.
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
}

/// All slots.
pub(super) struct Slab {
    hot: Vec<Vec<Hot>>,
    cold: Vec<Vec<Cold>>,
    /// Slots to be used again, oldest first. May name slots that are in use after a restore.
    free: VecDeque<u32>,
    length: u32,
    max: u32,
}

impl Slab {
    pub const fn new(max: u32) -> Self {
        Self { hot: Vec::new(), cold: Vec::new(), free: VecDeque::new(), length: 0, max }
    }

    /// A free slot under a new generation. It stays free until its phase is set.
    pub fn take(&mut self, rng: &mut dyn Random) -> Result<SessionId, Error> {
        while let Some(slot) = self.free.pop_front() {
            if let Some(hot) = self.slot_mut(slot).filter(|hot| hot.phase == Phase::Free) {
                hot.generation = (hot.generation + 1) & GENERATION_MASK;
                let generation = hot.generation;
                return Ok(SessionId { slot, generation });
            }
        }
        let slot = self.length;
        self.grow(rng)?;
        let generation = self.slot_mut(slot).map_or(0, |hot| hot.generation);
        Ok(SessionId { slot, generation })
    }

    /// This very slot, for an association that comes back after a restart.
    pub fn take_at(&mut self, id: SessionId, rng: &mut dyn Random) -> Result<(), Error> {
        if id.slot >= self.max || id.generation > GENERATION_MASK {
            return Err(Error::Misuse("a session outside the configured range"));
        }
        while self.length <= id.slot {
            let slot = self.length;
            self.grow(rng)?;
            if slot != id.slot {
                self.give_back(slot);
            }
        }
        match self.slot_mut(id.slot) {
            Some(hot) if hot.phase == Phase::Free => {
                hot.generation = id.generation;
                Ok(())
            }
            _ => Err(Error::Misuse("the session's slot is taken")),
        }
    }

    /// Wipes the slot; its Connection ID is refused from now on.
    pub fn release(&mut self, id: SessionId) {
        let Some(hot) = self.hot_mut(id) else {
            return;
        };
        *hot = Hot::blank(id.generation);
        if let Some(cold) = self.cold_mut(id) {
            *cold = Cold::blank();
        }
        self.give_back(id.slot);
    }

    /// The record in use under this very name.
    pub fn hot(&self, id: SessionId) -> Option<&Hot> {
        let (chunk, index) = place(id.slot);
        let hot = self.hot.get(chunk)?.get(index)?;
        (hot.generation == id.generation).then_some(hot)
    }

    pub fn hot_mut(&mut self, id: SessionId) -> Option<&mut Hot> {
        self.slot_mut(id.slot).filter(|hot| hot.generation == id.generation)
    }

    pub fn cold(&self, id: SessionId) -> Option<&Cold> {
        self.hot(id)?;
        let (chunk, index) = place(id.slot);
        self.cold.get(chunk)?.get(index)
    }

    pub fn cold_mut(&mut self, id: SessionId) -> Option<&mut Cold> {
        self.hot(id)?;
        let (chunk, index) = place(id.slot);
        self.cold.get_mut(chunk)?.get_mut(index)
    }

    /// All established associations.
    pub fn established(&self) -> impl Iterator<Item = SessionId> {
        let all = self.hot.iter().flatten().zip(0_u32..);
        all.filter(|(hot, _)| hot.phase == Phase::Established)
            .map(|(hot, slot)| SessionId { slot, generation: hot.generation })
    }

    fn slot_mut(&mut self, slot: u32) -> Option<&mut Hot> {
        let (chunk, index) = place(slot);
        self.hot.get_mut(chunk)?.get_mut(index)
    }

    fn give_back(&mut self, slot: u32) {
        // Without memory for the list the slot is lost until a restart, which is better than a panic.
        if self.free.try_reserve(1).is_ok() {
            self.free.push_back(slot);
        }
    }

    /// Adds one slot. Its generation starts anywhere, so that a Connection ID from before a restart names it only
    /// by chance.
    fn grow(&mut self, rng: &mut dyn Random) -> Result<(), Error> {
        if self.length >= self.max {
            return Err(Error::Unavailable("all sessions are in use"));
        }
        let mut random = [0; 4];
        rng.fill(&mut random);
        let generation = u32::from_be_bytes(random) & GENERATION_MASK;
        let (chunk, _) = place(self.length);
        push(&mut self.hot, chunk, Hot::blank(generation))?;
        push(&mut self.cold, chunk, Cold::blank())?;
        self.length += 1;
        Ok(())
    }
}

fn push<T>(chunks: &mut Vec<Vec<T>>, chunk: usize, value: T) -> Result<(), Error> {
    let no_memory = |_| Error::Unavailable("no memory for another session");
    if chunks.len() == chunk {
        let mut fresh = Vec::new();
        fresh.try_reserve_exact(CHUNK).map_err(no_memory)?;
        chunks.try_reserve(1).map_err(no_memory)?;
        chunks.push(fresh);
    }
    if let Some(chunk) = chunks.get_mut(chunk) {
        chunk.push(value);
    }
    Ok(())
}

const fn place(slot: u32) -> (usize, usize) {
    (slot as usize / CHUNK, slot as usize % CHUNK)
}

impl Hot {
    const fn blank(generation: u32) -> Self {
        Self {
            read: TrafficKey::BLANK,
            write: TrafficKey::BLANK,
            peer_cid: ConnectionId::EMPTY,
            remote: PackedAddress::NOWHERE,
            window: ReplayWindow { top: 0, bits: 0 },
            send_next: 0,
            lease: 0,
            principal: 0,
            last_seen: Instant::from_millis(0),
            generation,
            suite: CipherSuite::PskAes128Ccm8,
            phase: Phase::Free,
            own_cid: false,
            used: false,
            lease_asked: false,
        }
    }
}

impl Cold {
    const fn blank() -> Self {
        Self {
            exporter: Secret::new([0; 32]),
            verify_data: [0; VERIFY_BYTES],
            finished_sequence: 0,
            plain_sequence: 0,
            serial: 0,
            replaces: None,
        }
    }
}

/// The Connection ID of a session.
pub(crate) const fn cid_of(config: u8, id: SessionId) -> [u8; CID_BYTES] {
    let [a, b, c, d] = id.slot.to_be_bytes();
    let [_, e, f, g] = id.generation.to_be_bytes();
    [config, a, b, c, d, e, f, g]
}

/// The session that a Connection ID names, whether or not it exists.
pub(crate) fn session_of(config: u8, cid: &[u8]) -> Option<SessionId> {
    match *cid {
        [first, a, b, c, d, e, f, g] if first == config => {
            Some(SessionId { slot: u32::from_be_bytes([a, b, c, d]), generation: u32::from_be_bytes([0, e, f, g]) })
        }
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn rng(out: &mut [u8]) {
        out.fill(0xFF);
    }

    fn taken(slab: &mut Slab) -> SessionId {
        let id = slab.take(&mut rng).unwrap();
        slab.hot_mut(id).unwrap().phase = Phase::Established;
        id
    }

    #[test]
    fn connection_ids_name_their_session() {
        let id = SessionId { slot: 0x0102_0304, generation: 0x05_0607 };
        assert_eq!(cid_of(9, id), [9, 1, 2, 3, 4, 5, 6, 7]);
        assert_eq!(session_of(9, &cid_of(9, id)), Some(id));
        assert_eq!(session_of(8, &cid_of(9, id)), None);
        assert_eq!(session_of(9, &[9, 1, 2]), None);
    }

    #[test]
    fn a_released_slot_comes_back_under_another_generation() {
        let mut slab = Slab::new(1);
        let first = taken(&mut slab);
        assert!(slab.take(&mut rng).is_err(), "one slot, and it is taken");
        slab.release(first);
        let second = taken(&mut slab);
        assert_eq!(first.slot, second.slot);
        assert_eq!(second.generation, 0, "24 bits wrap around");
        assert!(slab.hot(first).is_none() && slab.hot(second).is_some());
    }

    #[test]
    fn restored_slots_are_not_handed_out_again() {
        let mut slab = Slab::new(5);
        let id = |slot| SessionId { slot, generation: 3 };
        for slot in [3, 1] {
            slab.take_at(id(slot), &mut rng).unwrap();
            slab.hot_mut(id(slot)).unwrap().phase = Phase::Established;
        }
        assert!(slab.take_at(id(1), &mut rng).is_err());
        assert!(slab.take_at(id(5), &mut rng).is_err());
        let mut slots: Vec<u32> = (0..3).map(|_| taken(&mut slab).slot).collect();
        slots.sort_unstable();
        assert_eq!(slots, [0, 2, 4]);
        assert!(slab.take(&mut rng).is_err());
        assert_eq!(slab.established().count(), 5);
    }
}
