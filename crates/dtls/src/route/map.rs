//! Which node owns which shard.

use alloc::vec::Vec;

use crate::codec::{Reader, put_u16};
use crate::{Error, limits};

/// Names a node of a cluster.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct NodeId(pub u32);

/// The first byte of every map; another layout gets another number.
const LAYOUT: u8 = 1;
const NO_MEMORY: Error = Error::Unavailable("no memory for a shard map");

/// Which node owns which shard, as the cluster's coordinator decided. Of two maps the one with the greater version
/// is true. A value: whoever keeps it keeps it with its version.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ShardMap {
    version: u64,
    lease_ms: u64,
    /// Sorted by shard.
    owners: Vec<(u16, NodeId)>,
}

impl ShardMap {
    /// `lease_ms`: how long a node may serve after it last asked the coordinator. Shards that are not named have no
    /// owner.
    ///
    /// # Errors
    /// `Misuse` for more than [`limits::SHARDS_MAX`] shards, one shard twice, or no lease.
    pub fn new(version: u64, lease_ms: u64, owners: &[(u16, NodeId)]) -> Result<Self, Error> {
        if owners.len() > limits::SHARDS_MAX || lease_ms == 0 {
            return Err(Error::Misuse("too many shards, or no lease"));
        }
        let mut sorted = Vec::new();
        sorted.try_reserve_exact(owners.len()).map_err(|_| NO_MEMORY)?;
        sorted.extend_from_slice(owners);
        sorted.sort_unstable();
        let twice = sorted.iter().zip(sorted.iter().skip(1)).any(|((one, _), (other, _))| one == other);
        match twice {
            true => Err(Error::Misuse("a shard has two owners")),
            false => Ok(Self { version, lease_ms, owners: sorted }),
        }
    }

    #[must_use]
    pub const fn version(&self) -> u64 {
        self.version
    }

    #[must_use]
    pub const fn lease_ms(&self) -> u64 {
        self.lease_ms
    }

    #[must_use]
    pub fn owner(&self, shard: u16) -> Option<NodeId> {
        let at = self.owners.binary_search_by_key(&shard, |(shard, _)| *shard).ok()?;
        self.owners.get(at).map(|(_, node)| *node)
    }

    /// The shards of one node.
    pub fn shards_of(&self, node: NodeId) -> impl Iterator<Item = u16> {
        self.owners.iter().filter(move |(_, owner)| *owner == node).map(|(shard, _)| *shard)
    }

    #[must_use]
    pub fn to_bytes(&self) -> Vec<u8> {
        let mut out = Vec::with_capacity(19 + self.owners.len() * 6);
        out.push(LAYOUT);
        out.extend_from_slice(&self.version.to_be_bytes());
        out.extend_from_slice(&self.lease_ms.to_be_bytes());
        put_u16(&mut out, self.owners.len() as u16);
        for (shard, node) in &self.owners {
            put_u16(&mut out, *shard);
            out.extend_from_slice(&node.0.to_be_bytes());
        }
        out
    }

    /// # Errors
    /// `Malformed` if the bytes are not a map of this layout, otherwise as [`Self::new`].
    pub fn from_bytes(bytes: &[u8]) -> Result<Self, Error> {
        let mut reader = Reader::new(bytes);
        if reader.u8()? != LAYOUT {
            return Err(Error::Malformed("a shard map of another layout"));
        }
        let (version, lease_ms, count) = (reader.u64()?, reader.u64()?, reader.u16()?);
        let mut owners = Vec::new();
        for _ in 0..usize::from(count).min(limits::SHARDS_MAX + 1) {
            owners.try_reserve(1).map_err(|_| NO_MEMORY)?;
            owners.push((reader.u16()?, NodeId(reader.u32()?)));
        }
        let map = Self::new(version, lease_ms, &owners)?;
        reader.finish()?;
        Ok(map)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn maps_read_what_they_write() {
        let map = ShardMap::new(7, 5_000, &[(9, NodeId(2)), (1, NodeId(1)), (4, NodeId(2))]).unwrap();
        let bytes = map.to_bytes();
        assert_eq!(ShardMap::from_bytes(&bytes).unwrap(), map);
        assert_eq!((map.owner(9), map.owner(1), map.owner(2)), (Some(NodeId(2)), Some(NodeId(1)), None));
        assert!(map.shards_of(NodeId(2)).eq([4, 9]));
        assert!((0..bytes.len()).all(|length| ShardMap::from_bytes(&bytes[..length]).is_err()));
    }

    #[test]
    fn one_owner_and_a_bounded_number_of_shards() {
        assert!(ShardMap::new(1, 1, &[(3, NodeId(1)), (3, NodeId(2))]).is_err());
        assert!(ShardMap::new(1, 0, &[]).is_err());
        for (count, fits) in [(limits::SHARDS_MAX, true), (limits::SHARDS_MAX + 1, false)] {
            let owners: Vec<_> = (0..count).map(|shard| (shard as u16, NodeId(1))).collect();
            assert_eq!(ShardMap::new(1, 1, &owners).is_ok(), fits);
        }
    }
}
