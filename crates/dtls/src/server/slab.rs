//! Where associations live: small fixed records, found through the slot number in their Connection ID.
//!
//! A record has a hot half, which every datagram touches, and a cold half. Both grow in chunks, so that
//! growing never copies a million sessions.

use alloc::boxed::Box;
use alloc::collections::VecDeque;
use alloc::vec::Vec;
use core::net::SocketAddr;

use bartizan_crypto::Random;

use super::address::PackedAddress;
pub(super) use super::cold::Cold;
use super::cold::LongKeys;
use super::event::SessionId;
pub(super) use super::hot::{Hot, Phase};
use crate::key::RecordKeyRef;
use crate::rrc::Path;
use crate::suite::Cipher;
use crate::v13::established::Established;
use crate::{CipherSuite, ConnectionId, Error, Instant, ReplayWindow};

/// Slots that are allocated together.
const CHUNK: usize = 1024;
/// Generations count in 24 bits.
const GENERATION_MASK: u32 = 0xFF_FFFF;

/// An association that moves into its slot.
pub(super) struct NewSession<'a> {
    pub phase: Phase,
    pub suite: CipherSuite,
    pub principal: u64,
    pub remote: SocketAddr,
    /// What we put into records; empty if the peer wants none.
    pub peer_cid: ConnectionId,
    /// The peer's records carry the Connection ID that we issued.
    pub own_cid: bool,
    /// The peer knows the return routability check.
    pub rrc: bool,
    pub path: Path,
    pub read: RecordKeyRef<'a>,
    pub write: RecordKeyRef<'a>,
    /// DTLS 1.2: always 1. DTLS 1.3: numbers and window are those within the epoch.
    pub read_epoch: u16,
    pub write_epoch: u16,
    pub window: ReplayWindow,
    pub send_next: u64,
    pub lease: u64,
    pub last_seen: Instant,
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

    /// Which association of the same principal this one takes the place of.
    pub fn set_replaces(&mut self, id: SessionId, older: Option<SessionId>) {
        if let Some(cold) = self.cold_mut(id) {
            cold.replaces = older;
        }
        if let Some(hot) = self.hot_mut(id).filter(|_| older.is_some()) {
            hot.cold_matters = true;
        }
    }

    /// Moves an association into the slot that was taken for it. What it has in the cold half stays.
    pub fn occupy(&mut self, id: SessionId, new: &NewSession<'_>) {
        let cold_matters = self.cold(id).is_some_and(|cold| cold.replaces.is_some() || cold.rare.is_some());
        let Some(hot) = self.hot_mut(id) else {
            return;
        };
        *hot = Hot::blank(id.generation);
        hot.cold_matters = cold_matters;
        hot.phase = new.phase;
        hot.suite = new.suite;
        hot.principal = new.principal;
        hot.remote = PackedAddress::pack(new.remote);
        hot.own_cid = new.own_cid;
        (hot.rrc, hot.path) = (new.rrc, new.path);
        (hot.read_epoch, hot.write_epoch) = (new.read_epoch, new.write_epoch);
        hot.set_window(new.window);
        hot.set_send_next(new.send_next);
        hot.set_lease(new.lease);
        hot.set_last_seen(new.last_seen);
        self.set_peer_cid(id, &new.peer_cid);
        self.set_keys(id, new.read, new.write);
    }

    /// What opens the peer's records.
    pub fn read_key(&self, id: SessionId) -> Option<RecordKeyRef<'_>> {
        let hot = self.hot(id)?;
        match hot.keys_elsewhere {
            false => Some(hot.read.as_ref()),
            true => Some(self.cold(id)?.long_keys.as_ref()?.read.with_iv(hot.read.iv())),
        }
    }

    /// What seals ours.
    pub fn write_key(&self, id: SessionId) -> Option<RecordKeyRef<'_>> {
        let hot = self.hot(id)?;
        match hot.keys_elsewhere {
            false => Some(hot.write.as_ref()),
            true => Some(self.cold(id)?.long_keys.as_ref()?.write.with_iv(hot.write.iv())),
        }
    }

    /// Puts both keys in place. How much of them counts is the suite's business, which must be set.
    pub fn set_keys(&mut self, id: SessionId, read: RecordKeyRef<'_>, write: RecordKeyRef<'_>) {
        self.set_read_key(id, read);
        self.set_write_key(id, write);
    }

    pub fn set_read_key(&mut self, id: SessionId, read: RecordKeyRef<'_>) {
        if let Some(keys) = self.make_room_for_keys(id) {
            keys.read.set(read);
        }
        if let Some(rare) = self.cold_mut(id).and_then(|cold| cold.rare.as_mut()) {
            rare.failed_opens_high = 0;
        }
        if let Some(hot) = self.hot_mut(id) {
            hot.failed_opens = 0;
            hot.read.set(hot_part(hot.keys_elsewhere, read));
        }
    }

    pub fn set_write_key(&mut self, id: SessionId, write: RecordKeyRef<'_>) {
        if let Some(keys) = self.make_room_for_keys(id) {
            keys.write.set(write);
        }
        if let Some(hot) = self.hot_mut(id) {
            hot.write.set(hot_part(hot.keys_elsewhere, write));
        }
    }

    /// What we put into records; empty if the peer wants none.
    pub fn peer_cid(&self, id: SessionId) -> ConnectionId {
        let short = self.hot(id).and_then(Hot::short_peer_cid);
        let long = || Some(self.cold(id)?.rare.as_ref()?.long_peer_cid);
        short.or_else(long).unwrap_or_default()
    }

    pub fn set_peer_cid(&mut self, id: SessionId, cid: &ConnectionId) {
        let Some(hot) = self.hot_mut(id) else {
            return;
        };
        let kept = hot.set_peer_cid(cid);
        if let Some(cold) = self.cold_mut(id) {
            match (kept, &mut cold.rare) {
                (false, _) => cold.rare_mut().long_peer_cid = *cid,
                (true, Some(rare)) => rare.long_peer_cid = ConnectionId::EMPTY,
                (true, None) => {}
            }
        }
    }

    /// Where the keys of this session lie if its suite has long ones.
    fn make_room_for_keys(&mut self, id: SessionId) -> Option<&mut LongKeys> {
        let hot = self.hot_mut(id)?;
        hot.keys_elsewhere = has_long_keys(hot.suite);
        let elsewhere = hot.keys_elsewhere;
        let cold = self.cold_mut(id)?;
        match elsewhere {
            true => Some(cold.long_keys.get_or_insert_with(|| Box::new(LongKeys::BLANK))),
            false => {
                cold.long_keys = None;
                None
            }
        }
    }

    /// What an association of DTLS 1.3 has beyond one of 1.2.
    pub fn v13(&self, id: SessionId) -> Option<&Established> {
        self.cold(id)?.v13.as_deref()
    }

    pub fn v13_mut(&mut self, id: SessionId) -> Option<&mut Established> {
        self.cold_mut(id)?.v13.as_deref_mut()
    }

    /// Counts a record that did not open; how many there were.
    pub fn count_failed_open(&mut self, id: SessionId) -> u64 {
        let Some(hot) = self.hot_mut(id) else {
            return 0;
        };
        hot.failed_opens = hot.failed_opens.wrapping_add(1);
        let low = u64::from(hot.failed_opens);
        let Some(cold) = self.cold_mut(id) else {
            return low;
        };
        if low == 0 {
            let high = &mut cold.rare_mut().failed_opens_high;
            *high = high.saturating_add(1);
        }
        self.failed_opens(id)
    }

    /// How many records did not open under the key for reading.
    pub fn failed_opens(&self, id: SessionId) -> u64 {
        let low = self.hot(id).map_or(0, |hot| u64::from(hot.failed_opens));
        let rare = self.cold(id).and_then(|cold| cold.rare.as_ref());
        rare.map_or(0, |rare| rare.failed_opens_high).saturating_mul(256).saturating_add(low)
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

/// Whether the suite's keys have 32 bytes.
const fn has_long_keys(suite: CipherSuite) -> bool {
    matches!(suite.cipher(), Cipher::Aes256Gcm | Cipher::ChaCha20Poly1305)
}

/// No part of a long key lies in the hot half.
const fn hot_part(elsewhere: bool, key: RecordKeyRef<'_>) -> RecordKeyRef<'_> {
    match elsewhere {
        true => RecordKeyRef { key: &[], iv: key.iv, sn: &[] },
        false => key,
    }
}

const fn place(slot: u32) -> (usize, usize) {
    (slot as usize / CHUNK, slot as usize % CHUNK)
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

    fn new_session<'a>(suite: CipherSuite, peer_cid: &[u8], read: RecordKeyRef<'a>) -> NewSession<'a> {
        NewSession {
            phase: Phase::Established,
            suite,
            principal: 7,
            remote: "192.0.2.1:5684".parse().unwrap(),
            peer_cid: ConnectionId::new(peer_cid).unwrap(),
            own_cid: true,
            rrc: false,
            path: Path::VALIDATED,
            read,
            write: RecordKeyRef { sn: read.key, ..read },
            read_epoch: 1,
            write_epoch: 1,
            window: ReplayWindow::default(),
            send_next: 0,
            lease: 8,
            last_seen: Instant::default(),
        }
    }

    #[test]
    fn an_idle_session_is_small() {
        assert_eq!((size_of::<Hot>(), size_of::<Cold>()), (184, 104));
    }

    #[test]
    fn every_suite_gets_back_the_keys_it_put_in() {
        let mut slab = Slab::new(1);
        let key: [u8; 32] = core::array::from_fn(|index| index as u8);
        let sn: [u8; 32] = core::array::from_fn(|index| 0x80 | index as u8);
        let read = RecordKeyRef { key: &key, iv: &[9; 12], sn: &sn };
        for suite in CipherSuite::ALL {
            let long = has_long_keys(suite);
            let length = suite.aead(&bartizan_crypto::RUSTCRYPTO).key_len;
            assert_eq!(long, length > 16, "{suite}");
            let id = slab.take(&mut rng).unwrap();
            slab.occupy(id, &new_session(suite, b"12345678", read));
            let (reading, writing) = (slab.read_key(id).unwrap(), slab.write_key(id).unwrap());
            assert_eq!((reading.key(length), reading.sn(length)), (&key[..length], &sn[..length]));
            assert_eq!((writing.key(length), writing.sn(length)), (&key[..length], &key[..length]));
            assert_eq!((reading.iv(), writing.iv()), (&[9; 12], &[9; 12]));
            assert_eq!(slab.cold(id).unwrap().long_keys.is_some(), long);
            slab.release(id);
            assert!(slab.read_key(id).unwrap().key.iter().all(|byte| *byte == 0), "{suite}");
        }
    }

    #[test]
    fn a_key_that_changes_leaves_the_other_direction_alone() {
        let mut slab = Slab::new(1);
        for (suite, length) in [(CipherSuite::Aes128GcmSha256, 16), (CipherSuite::Aes256GcmSha384, 32)] {
            let (old, new) = ([1; 32], [2; 32]);
            let old = RecordKeyRef { key: &old, iv: &[1; 12], sn: &old };
            let new = RecordKeyRef { key: &new, iv: &[2; 12], sn: &new };
            let id = slab.take(&mut rng).unwrap();
            slab.occupy(id, &new_session(suite, b"", old));
            slab.set_read_key(id, new);
            assert_eq!(slab.read_key(id).unwrap().key(length), &[2; 32][..length]);
            assert_eq!(slab.write_key(id).unwrap().key(length), &[1; 32][..length]);
            slab.set_write_key(id, new);
            assert_eq!(slab.write_key(id).unwrap().iv(), &[2; 12]);
            slab.release(id);
        }
    }

    #[test]
    fn connection_ids_of_peers_have_any_length() {
        let mut slab = Slab::new(1);
        let key = RecordKeyRef { key: &[0; 16], iv: &[0; 12], sn: &[] };
        for length in 0..=crate::limits::CONNECTION_ID_BYTES_MAX {
            let cid = &[7; crate::limits::CONNECTION_ID_BYTES_MAX][..length];
            let id = slab.take(&mut rng).unwrap();
            slab.occupy(id, &new_session(CipherSuite::PskAes128Ccm8, cid, key));
            assert_eq!(slab.peer_cid(id).as_slice(), cid);
            let rare = slab.cold(id).unwrap().rare.as_ref();
            assert_eq!(rare.is_some_and(|rare| !rare.long_peer_cid.is_empty()), length > 8);
            slab.release(id);
            assert!(slab.peer_cid(id).is_empty());
        }
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
