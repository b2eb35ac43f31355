//! A tenant in memory: its store, its judge, its brake, its counters.

use std::collections::{HashMap, VecDeque};
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::sync::{Arc, Mutex, MutexGuard, RwLock};

use bartizan_pipe::Judge;
use bartizan_platform::brake::Brake;
use bartizan_trust::reference::ReferenceValues;
use bartizan_wire::{Access, DeviceId, Grade, Lifecycle, TenantId};

use super::device::Device;
use super::overdue::Watch;
use super::upstreams::Slot;
use crate::store::{FleetCount, TenantStore};

/// One tenant whose file is open.
pub(super) struct Tenant {
    pub id: TenantId,
    pub name: String,
    pub store: Arc<TenantStore>,
    pub judge: Mutex<Judge>,
    pub brake: Mutex<Brake>,
    pub fleet: Mutex<Fleet>,
    pub rate: Rate,
    pub counts: Counts,
    pub next_finding: AtomicU64,
    pub upstream: RwLock<Option<Slot>>,
    /// Loaded when they are first asked for.
    pub references: tokio::sync::Mutex<Option<Arc<ReferenceValues>>>,
    /// Who must attest, and whether it could.
    pub watch: Mutex<Watch>,
    /// Held while the upstream is opened or closed.
    pub opening_upstream: tokio::sync::Mutex<()>,
    /// Held while a key of a device is made, used or replaced.
    pub changing_keys: tokio::sync::Mutex<()>,
    /// Devices that time still changes: holds, a grade, commands. They stay in memory.
    pub pinned: Mutex<HashMap<DeviceId, Arc<Device>>>,
}

/// Counters since the server started.
#[derive(Debug, Default)]
pub(super) struct Counts {
    pub messages: AtomicU64,
    pub findings: AtomicU64,
    pub refused: AtomicU64,
    pub sessions: AtomicU64,
}

impl Tenant {
    pub fn judge(&self) -> MutexGuard<'_, Judge> {
        self.judge.lock().expect("invariant: nothing panics while it holds a judge")
    }

    pub fn brake(&self) -> MutexGuard<'_, Brake> {
        self.brake.lock().expect("invariant: nothing panics while it holds a brake")
    }

    pub fn fleet(&self) -> MutexGuard<'_, Fleet> {
        self.fleet.lock().expect("invariant: nothing panics while it holds the fleet's counts")
    }

    pub fn pinned(&self) -> MutexGuard<'_, HashMap<DeviceId, Arc<Device>>> {
        self.pinned.lock().expect("invariant: nothing panics while it holds the pinned devices")
    }

    /// The open upstream, if it is.
    pub fn slot(&self) -> Option<Slot> {
        self.upstream.read().expect("invariant: nothing panics while it holds the upstream").clone()
    }

    /// Puts an open upstream, or none, in the place of the one that is answered.
    pub fn replace_slot(&self, slot: Option<Slot>) -> Option<Slot> {
        let mut kept = self.upstream.write().expect("invariant: nothing panics while it holds the upstream");
        std::mem::replace(&mut *kept, slot)
    }

    pub fn number_finding(&self) -> u64 {
        self.next_finding.fetch_add(1, Relaxed)
    }
}

/// How many devices are in which state; kept along so that a glance at the fleet reads no table.
#[derive(Debug, Default)]
pub(super) struct Fleet(HashMap<(Lifecycle, Grade, Access), u64>);

impl Fleet {
    pub fn new(counts: &[FleetCount]) -> Self {
        Self(counts.iter().map(|count| ((count.lifecycle, count.grade, count.access), count.devices)).collect())
    }

    pub fn add(&mut self, state: (Lifecycle, Grade, Access), devices: u64) {
        *self.0.entry(state).or_default() += devices;
    }

    pub fn shift(&mut self, from: (Lifecycle, Grade, Access), to: (Lifecycle, Grade, Access)) {
        if from != to {
            let left = self.0.entry(from).or_default();
            *left = left.saturating_sub(1);
            self.add(to, 1);
        }
    }

    /// Devices for which `counts` holds.
    pub fn count(&self, counts: impl Fn(Lifecycle, Grade, Access) -> bool) -> u64 {
        self.0
            .iter()
            .filter(|((life, grade, access), _)| counts(*life, *grade, *access))
            .map(|(_, devices)| devices)
            .sum()
    }

    /// Devices in service.
    pub fn in_service(&self) -> u64 {
        self.count(|life, _, _| life != Lifecycle::Retired)
    }
}

/// Messages a second over the last ten seconds of real time.
#[derive(Debug, Default)]
pub(super) struct Rate {
    current: AtomicU64,
    seconds: Mutex<VecDeque<u64>>,
}

impl Rate {
    const SECONDS: usize = 10;

    pub fn count(&self) {
        self.current.fetch_add(1, Relaxed);
    }

    /// Called once a second.
    pub fn rotate(&self) {
        let mut seconds = self.seconds();
        seconds.push_back(self.current.swap(0, Relaxed));
        while seconds.len() > Self::SECONDS {
            seconds.pop_front();
        }
    }

    pub fn per_second(&self) -> f64 {
        let seconds = self.seconds();
        if seconds.is_empty() { 0.0 } else { seconds.iter().sum::<u64>() as f64 / seconds.len() as f64 }
    }

    fn seconds(&self) -> MutexGuard<'_, VecDeque<u64>> {
        self.seconds.lock().expect("invariant: nothing panics while it holds the rate")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_rate_is_that_of_the_last_ten_seconds() {
        let rate = Rate::default();
        assert_eq!(rate.per_second(), 0.0);
        for second in 0..20 {
            (0..second).for_each(|_| rate.count());
            rate.rotate();
        }
        assert_eq!(rate.per_second(), 14.5);
    }

    #[test]
    fn moving_a_device_keeps_the_fleet_s_size() {
        let mut fleet = Fleet::default();
        let (new, bad) =
            ((Lifecycle::Pending, Grade::Normal, Access::Full), (Lifecycle::Active, Grade::Abnormal, Access::Blocked));
        fleet.add(new, 3);
        fleet.shift(new, bad);
        fleet.shift(bad, bad);
        assert_eq!((fleet.in_service(), fleet.count(|_, _, access| access == Access::Blocked)), (3, 1));
    }
}
