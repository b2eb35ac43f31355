//! What devices have proven and need not prove twice: chains whose signatures were verified, and verdicts that
//! heartbeats prolong.
//!
//! One place a device: whoever brings chain after chain pushes out his own only. What is not here is proven again, from
//! what is stored or from what the device sends.

use std::collections::HashMap;
use std::sync::{Arc, MutexGuard};

use bartizan_trust::dice::Chain;
use bartizan_trust::evidence::{self, Carried, ChainName};
use bartizan_trust::heartbeat::Standing;
use bartizan_trust::{Evidence, Identity, PublicKey};
use bartizan_wire::{DeviceKey, UnixMillis};

use super::App;
use crate::limits::PROVEN_CHAINS_MAX;
use crate::store::AttesterRow;

/// The chains that were verified lately.
#[derive(Debug)]
pub(super) struct Proven {
    kept: HashMap<DeviceKey, Kept>,
    max: usize,
    /// Counts uses, so that the longest unused are known.
    uses: u64,
}

#[derive(Debug)]
struct Kept {
    name: ChainName,
    chain: Arc<Chain>,
    begun: Option<Arc<Begun>>,
    used: u64,
}

/// A good verdict that heartbeats may prolong.
#[derive(Debug)]
pub(super) struct Begun {
    /// When the verdict was.
    pub at: UnixMillis,
    pub standing: Standing,
    pub evidence: Evidence,
    /// SHA-256 of the evidence as it came.
    pub hash: [u8; 32],
    pub leaf: PublicKey,
}

impl Proven {
    pub fn new(max: usize) -> Self {
        Self { kept: HashMap::new(), max, uses: 0 }
    }

    /// The chain of this name, if this device proved it under this identity and its certificates still hold.
    pub fn chain(
        &mut self,
        device: DeviceKey,
        identity: &Identity,
        name: &ChainName,
        now: UnixMillis,
    ) -> Option<Arc<Chain>> {
        self.valid(device, identity, now).filter(|kept| kept.name == *name).map(|kept| kept.chain.clone())
    }

    /// Keeps a chain whose signatures were verified, in place of the device's last one.
    pub fn keep(&mut self, device: DeviceKey, name: ChainName, chain: Arc<Chain>) {
        if !self.kept.contains_key(&device) {
            self.make_room();
        }
        self.uses += 1;
        self.kept.insert(device, Kept { name, chain, begun: None, used: self.uses });
    }

    /// What heartbeats may prolong of the verdict of `at`.
    pub fn begun(
        &mut self,
        device: DeviceKey,
        identity: &Identity,
        at: UnixMillis,
        now: UnixMillis,
    ) -> Option<Arc<Begun>> {
        self.valid(device, identity, now)?.begun.clone().filter(|begun| begun.at == at)
    }

    /// Keeps it beside its chain, if that is still here.
    pub fn begin(&mut self, device: DeviceKey, name: &ChainName, begun: Arc<Begun>) {
        if let Some(kept) = self.kept.get_mut(&device).filter(|kept| kept.name == *name) {
            kept.begun = Some(begun);
        }
    }

    pub fn forget(&mut self, device: DeviceKey) {
        self.kept.remove(&device);
    }

    fn valid(&mut self, device: DeviceKey, identity: &Identity, now: UnixMillis) -> Option<&Kept> {
        let ended = |kept: &Kept| kept.chain.valid_until.is_some_and(|until| now > until);
        if self.kept.get(&device).is_some_and(ended) {
            self.forget(device);
        }
        self.uses += 1;
        let kept = self.kept.get_mut(&device).filter(|kept| kept.chain.identity.is(identity))?;
        kept.used = self.uses;
        Some(kept)
    }

    /// Drops the longest unused sixteenth when all places are taken.
    fn make_room(&mut self) {
        if self.kept.len() < self.max {
            return;
        }
        let mut by_use: Vec<(u64, DeviceKey)> = self.kept.iter().map(|(device, kept)| (kept.used, *device)).collect();
        let leaving = self.max.div_ceil(16).min(by_use.len());
        if leaving < by_use.len() {
            by_use.select_nth_unstable(leaving);
        }
        by_use.iter().take(leaving).for_each(|(_, device)| self.forget(*device));
    }
}

impl Default for Proven {
    fn default() -> Self {
        Self::new(PROVEN_CHAINS_MAX)
    }
}

impl App {
    pub(super) fn proven(&self) -> MutexGuard<'_, Proven> {
        self.proven.lock().expect("invariant: nothing panics while it holds what was proven")
    }

    /// The chain that evidence of the device carries or names. Its signatures are verified unless they were: a chain
    /// that is only named is the device's last one.
    pub(super) fn chain_of(
        &self,
        device: DeviceKey,
        attester: &AttesterRow,
        carried: &Carried<'_>,
        now: UnixMillis,
    ) -> Result<Arc<Chain>, bartizan_trust::Error> {
        let name = carried.chain_name(self.verifier);
        if let Some(chain) = self.proven().chain(device, &attester.identity, &name, now) {
            return Ok(chain);
        }
        let stored = |named: &ChainName| {
            let chain = attester.chain.as_deref().filter(|chain| (self.verifier.sha256)(&[chain]) == *named)?;
            evidence::verify_chain(self.verifier, chain, now).ok()
        };
        let chain = Arc::new(carried.chain(self.verifier, &stored, now)?);
        if chain.identity.is(&attester.identity) {
            self.proven().keep(device, name, chain.clone());
        }
        Ok(chain)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use bartizan_trust::evidence::Profile;

    const NOW: UnixMillis = UnixMillis(1_000);

    fn chain(identity: u8, valid_until: Option<u64>) -> Arc<Chain> {
        Arc::new(Chain {
            profile: Profile::OpenDiceCbor,
            identity: Identity([identity; 32]),
            layers: Vec::new(),
            leaf: PublicKey::Ed25519([1; 32]),
            valid_until: valid_until.map(UnixMillis),
        })
    }

    fn knows(proven: &mut Proven, device: u64, identity: u8, name: u8, now: u64) -> bool {
        proven.chain(DeviceKey::new(1, device), &Identity([identity; 32]), &[name; 32], UnixMillis(now)).is_some()
    }

    #[test]
    fn a_chain_is_believed_of_its_device_and_identity_while_it_is_valid() {
        let mut proven = Proven::new(10);
        proven.keep(DeviceKey::new(1, 7), [9; 32], chain(3, Some(2_000)));
        assert!(knows(&mut proven, 7, 3, 9, NOW.0));
        assert!(!knows(&mut proven, 8, 3, 9, NOW.0), "another device's");
        assert!(!knows(&mut proven, 7, 4, 9, NOW.0), "another identity's");
        assert!(!knows(&mut proven, 7, 3, 8, NOW.0), "another chain");
        assert!(knows(&mut proven, 7, 3, 9, 2_000));
        assert!(!knows(&mut proven, 7, 3, 9, 2_001), "its certificates have ended");
        assert!(!knows(&mut proven, 7, 3, 9, NOW.0), "and it is gone");
    }

    #[test]
    fn places_are_bounded_and_the_longest_unused_go() {
        let mut proven = Proven::new(32);
        for device in 0..32 {
            proven.keep(DeviceKey::new(1, device), [9; 32], chain(3, None));
        }
        assert!(knows(&mut proven, 0, 3, 9, NOW.0));
        proven.keep(DeviceKey::new(1, 31), [8; 32], chain(3, None));
        assert_eq!(proven.kept.len(), 32, "its own place");
        proven.keep(DeviceKey::new(1, 32), [9; 32], chain(3, None));
        assert_eq!(proven.kept.len(), 31);
        for (device, there) in [(0, true), (1, false), (2, false), (3, true), (32, true)] {
            assert_eq!(knows(&mut proven, device, 3, 9, NOW.0), there, "{device}");
        }
        let mut one = Proven::new(1);
        for device in 0..3 {
            one.keep(DeviceKey::new(1, device), [9; 32], chain(3, None));
            assert_eq!(one.kept.len(), 1);
        }
    }
}
