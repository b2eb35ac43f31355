//! When a node may serve a shard: at no moment two of them, whatever the network does.

use alloc::collections::BTreeMap;

use super::map::{NodeId, ShardMap};
use crate::{Error, Instant};

/// Clocks are monotonic and run at the same rate, to within one part in this many.
const DRIFT: u64 = 8;

/// What one node knows about what it may do.
///
/// The coordinator and its nodes keep to this:
///
/// 1. A node serves a shard only under the newest map that it knows, and only until [`ShardMap::lease_ms`] after it
///    *asked* for the lease that it has.
/// 2. Once the coordinator has a new map it grants no lease under an older one.
/// 3. A node that a map makes the owner of a shard waits for as long as the lease of whoever owned it before can
///    still run (and an eighth more, for clocks that differ), counted from when it *learnt* of the map.
///
/// The old owner's last lease was granted before the new map existed, so it ends before the wait does. Nobody needs
/// to reach the old owner, and no clocks are compared.
#[derive(Debug)]
pub struct Fence {
    me: NodeId,
    map: ShardMap,
    lease_until: Option<Instant>,
    /// Our shards, and from when on we may serve them.
    ours: BTreeMap<u16, Instant>,
}

impl Fence {
    /// A node that starts. It does not know who owned its shards before, so it waits for all of them.
    #[must_use]
    pub fn new(me: NodeId, map: ShardMap, now: Instant) -> Self {
        let from = now.plus(wait_ms(&map));
        let ours = map.shards_of(me).map(|shard| (shard, from)).collect();
        Self { me, map, lease_until: None, ours }
    }

    #[must_use]
    pub const fn map(&self) -> &ShardMap {
        &self.map
    }

    /// Takes a newer map. What it takes from this node must not be served from this moment on.
    ///
    /// # Errors
    /// `Misbehaved` for a map older than the one that is known, or another one under the same version.
    pub fn adopt(&mut self, now: Instant, map: ShardMap) -> Result<(), Error> {
        if map.version() < self.map.version() {
            return Err(Error::Misbehaved("a shard map older than ours"));
        }
        if map.version() == self.map.version() {
            let same = map == self.map;
            return same.then_some(()).ok_or(Error::Misbehaved("two shard maps under one version"));
        }
        // A map in between, which we did not see, may have made somebody else the owner for a while.
        let next = self.map.version().checked_add(1) == Some(map.version());
        let wait = wait_ms(&map).max(wait_ms(&self.map));
        let ours = map.shards_of(self.me).map(|shard| {
            let kept = self.ours.get(&shard).copied().filter(|_| next);
            (shard, kept.unwrap_or_else(|| now.plus(wait)))
        });
        self.ours = ours.collect();
        self.map = map;
        Ok(())
    }

    /// The coordinator granted a lease under the map of this version, for which we asked at `asked_at`. Returns
    /// whether it counts.
    pub fn renew(&mut self, asked_at: Instant, version: u64) -> bool {
        if version != self.map.version() {
            return false;
        }
        let until = asked_at.plus(self.map.lease_ms());
        self.lease_until = Some(self.lease_until.map_or(until, |known| known.max(until)));
        true
    }

    /// Until when the shard may be served; `None` if not now. Hand it to
    /// [`Endpoint::serve_until`](crate::Endpoint::serve_until).
    #[must_use]
    pub fn serves_until(&self, now: Instant, shard: u16) -> Option<Instant> {
        let from = *self.ours.get(&shard)?;
        let until = self.lease_until?;
        (from <= now && now < until).then_some(until)
    }
}

fn wait_ms(map: &ShardMap) -> u64 {
    map.lease_ms().saturating_add(map.lease_ms() / DRIFT).saturating_add(1)
}

#[cfg(test)]
mod tests {
    use super::*;
    use alloc::vec::Vec;

    const A: NodeId = NodeId(1);
    const B: NodeId = NodeId(2);
    const LEASE_MS: u64 = 1_000;

    /// What is on its way: when it arrives, to whom, the map or the lease and when it was asked for.
    type Flying = (u64, usize, Result<ShardMap, (Instant, u64)>);

    fn at(ms: u64) -> Instant {
        Instant::from_millis(ms)
    }

    fn map(version: u64, owner: NodeId) -> ShardMap {
        ShardMap::new(version, LEASE_MS, &[(7, owner)]).unwrap()
    }

    #[test]
    fn nothing_is_served_without_a_lease_or_before_the_wait() {
        let mut fence = Fence::new(A, map(1, A), at(0));
        assert_eq!(fence.serves_until(at(5_000), 7), None);
        assert!(fence.renew(at(900), 1));
        assert_eq!(fence.serves_until(at(1_000), 7), None, "whoever was it before may still be");
        assert_eq!(fence.serves_until(at(1_126), 7), Some(at(1_900)));
        assert_eq!(fence.serves_until(at(1_899), 7), Some(at(1_900)));
        assert_eq!(fence.serves_until(at(1_900), 7), None);
        assert_eq!(fence.serves_until(at(1_500), 8), None);
        assert!(!fence.renew(at(1_500), 0), "a lease under an older map");
    }

    #[test]
    fn older_maps_are_refused_and_a_gap_costs_the_wait() {
        let mut fence = Fence::new(A, map(5, A), at(0));
        fence.renew(at(9_000), 5);
        assert!(fence.adopt(at(9_000), map(4, A)).is_err());
        assert!(fence.adopt(at(9_000), map(5, B)).is_err());
        assert!(fence.adopt(at(9_000), map(5, A)).is_ok());
        fence.adopt(at(9_000), map(6, A)).unwrap();
        assert!(fence.serves_until(at(9_001), 7).is_some(), "it was ours all the time");
        fence.adopt(at(9_001), map(8, A)).unwrap();
        assert!(fence.serves_until(at(9_002), 7).is_none(), "map 7 may have made it B's");
        fence.adopt(at(9_002), map(9, B)).unwrap();
        assert!(fence.serves_until(at(9_003), 7).is_none());
    }

    /// A coordinator, two nodes whose clocks differ in origin and a little in rate, and messages that are lost or
    /// late: at no moment do both serve.
    #[test]
    fn never_two_owners_at_once() {
        let mut served = [0_u32; 2];
        for seed in 1..200_u64 {
            let mut state = seed;
            let mut below = |end: u64| {
                state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
                (state >> 33) % end
            };
            let clock = [|real: u64| at(500 + real), |real: u64| at(90_000 + real + real / 20)];
            let mut newest = map(1, A);
            let mut fences = [Fence::new(A, map(1, A), clock[0](0)), Fence::new(B, map(1, A), clock[1](0))];
            let mut flying: Vec<Flying> = Vec::new();
            for real in 0..20_000 {
                if below(2_500) == 0 {
                    newest = map(newest.version() + 1, if below(2) == 0 { A } else { B });
                    (0..2).for_each(|node| flying.push((real + below(3_000), node, Ok(newest.clone()))));
                }
                for node in 0..2 {
                    // The request is answered at once, under the newest map only; the answer takes its time.
                    if below(300) == 0 && fences[node].map().version() == newest.version() {
                        let lease = (clock[node](real), newest.version());
                        flying.push((real + below(800), node, Err(lease)));
                    }
                }
                let (due, later) = flying.into_iter().partition(|(when, ..)| *when <= real);
                flying = later;
                let due: Vec<_> = due;
                for (_, node, what) in due {
                    match what {
                        Ok(map) => drop(fences[node].adopt(clock[node](real), map)),
                        Err((asked, version)) => drop(fences[node].renew(asked, version)),
                    }
                }
                let serving = [0, 1].map(|node| fences[node].serves_until(clock[node](real), 7).is_some());
                assert_ne!(serving, [true, true], "seed {seed} at {real}");
                served[0] += u32::from(serving[0]);
                served[1] += u32::from(serving[1]);
            }
        }
        assert!(served.iter().all(|count| *count > 100_000), "{served:?}");
    }
}
