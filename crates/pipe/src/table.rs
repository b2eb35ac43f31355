//! A bounded table: what is kept per device, type, case or source, with a deterministic order and a way out
//! for the least needed entry when it is full.

use std::collections::HashMap;
use std::hash::{BuildHasher, BuildHasherDefault, Hash, Hasher};

/// Entries that are weighed against each other when one has to go.
const CANDIDATES: usize = 8;

/// A map of at most `capacity` entries. Iteration follows the order of insertion, so equal histories make
/// equal output, whatever the hasher.
pub(crate) struct Table<K, V, S> {
    index: HashMap<K, u32, S>,
    slots: Vec<Option<(K, V)>>,
    free: Vec<u32>,
    hand: usize,
    capacity: usize,
    evicted: u64,
}

impl<K: Copy + Eq + Hash, V, S: BuildHasher + Default> Table<K, V, S> {
    pub(crate) fn new(capacity: usize) -> Self {
        Self {
            index: HashMap::default(),
            slots: Vec::new(),
            free: Vec::new(),
            hand: 0,
            capacity: capacity.clamp(1, u32::MAX as usize),
            evicted: 0,
        }
    }

    pub(crate) fn get(&self, key: K) -> Option<&V> {
        let slot = *self.index.get(&key)?;
        self.slots[slot as usize].as_ref().map(|(_, value)| value)
    }

    pub(crate) fn get_mut(&mut self, key: K) -> Option<&mut V> {
        let slot = *self.index.get(&key)?;
        self.slots[slot as usize].as_mut().map(|(_, value)| value)
    }

    /// The entry of `key`, made if there is none. In a full table the entry of least `worth` among a few
    /// makes room.
    pub(crate) fn entry(&mut self, key: K, worth: impl Fn(&V) -> u64, make: impl FnOnce() -> V) -> &mut V {
        let slot = match self.index.get(&key) {
            Some(&slot) => slot,
            None => self.insert(key, worth, make()),
        };
        let (_, value) = self.slots[slot as usize].as_mut().expect("invariant: an indexed slot is filled");
        value
    }

    fn insert(&mut self, key: K, worth: impl Fn(&V) -> u64, value: V) -> u32 {
        if self.index.len() >= self.capacity {
            self.evict(worth);
        }
        let slot = self.free.pop().unwrap_or_else(|| {
            self.slots.push(None);
            u32::try_from(self.slots.len() - 1).expect("invariant: capacity fits u32")
        });
        self.slots[slot as usize] = Some((key, value));
        self.index.insert(key, slot);
        slot
    }

    fn evict(&mut self, worth: impl Fn(&V) -> u64) {
        let len = self.slots.len();
        let least = (0..CANDIDATES.min(len))
            .map(|step| (self.hand + step) % len)
            .filter_map(|slot| self.slots[slot].as_ref().map(|(key, value)| (worth(value), *key)))
            .min_by_key(|(worth, _)| *worth);
        self.hand = (self.hand + CANDIDATES) % len.max(1);
        if let Some((_, key)) = least {
            self.remove(key);
            self.evicted += 1;
        }
    }

    pub(crate) fn remove(&mut self, key: K) -> Option<V> {
        let slot = self.index.remove(&key)?;
        self.free.push(slot);
        self.slots[slot as usize].take().map(|(_, value)| value)
    }

    pub(crate) fn iter(&self) -> impl Iterator<Item = (K, &V)> {
        self.slots.iter().flatten().map(|(key, value)| (*key, value))
    }

    pub(crate) fn iter_mut(&mut self) -> impl Iterator<Item = (K, &mut V)> {
        self.slots.iter_mut().flatten().map(|(key, value)| (*key, value))
    }

    pub(crate) fn retain(&mut self, keep: impl Fn(&V) -> bool) {
        let gone: Vec<K> = self.iter().filter(|(_, value)| !keep(value)).map(|(key, _)| key).collect();
        for key in gone {
            self.remove(key);
        }
    }

    pub(crate) fn len(&self) -> usize {
        self.index.len()
    }

    /// Entries that had to make room so far.
    pub(crate) fn evicted(&self) -> u64 {
        self.evicted
    }
}

/// For keys that the registry numbers, not an attacker: quick and the same in every run.
pub(crate) type NumberedHasher = BuildHasherDefault<Numbered>;

/// A multiplicative hash.
#[derive(Default)]
pub(crate) struct Numbered(u64);

impl Hasher for Numbered {
    fn finish(&self) -> u64 {
        self.0 ^ (self.0 >> 29)
    }

    fn write(&mut self, bytes: &[u8]) {
        for byte in bytes {
            self.write_u64(u64::from(*byte));
        }
    }

    fn write_u32(&mut self, value: u32) {
        self.write_u64(u64::from(value));
    }

    fn write_u64(&mut self, value: u64) {
        self.0 = (self.0.rotate_left(5) ^ value).wrapping_mul(0x9e37_79b9_7f4a_7c15);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn table(capacity: usize) -> Table<u32, u64, NumberedHasher> {
        Table::new(capacity)
    }

    #[test]
    fn holds_its_capacity_and_not_one_more() {
        let mut table = table(4);
        for key in 0..4 {
            table.entry(key, |v| *v, || u64::from(key) + 10);
        }
        assert_eq!((table.len(), table.evicted()), (4, 0));
        table.entry(4, |v| *v, || 99);
        assert_eq!((table.len(), table.evicted()), (4, 1));
        assert_eq!(table.get(0), None, "the least worthy made room");
        assert_eq!(table.get(4), Some(&99));
    }

    #[test]
    fn a_slot_is_used_again() {
        let mut table = table(8);
        for round in 0..100 {
            table.entry(round, |v| *v, || 1);
            assert_eq!(table.remove(round), Some(1));
        }
        assert_eq!((table.slots.len(), table.len()), (1, 0));
    }

    #[test]
    fn retain_drops_what_is_not_kept() {
        let mut table = table(8);
        for key in 0..8 {
            table.entry(key, |v| *v, || u64::from(key));
        }
        table.retain(|v| *v % 2 == 0);
        assert_eq!(table.iter().map(|(key, _)| key).collect::<Vec<_>>(), [0, 2, 4, 6]);
    }
}
