//! The watchdog: whoever must attest and has no verdict that is young enough is found, in memory or not.
//!
//! ```text
//!  policies ─▶ verifier up? ─▶ devices with the oldest proofs, batch by batch ─▶ Posture::owing ─▶ brake ─▶ hold
//! ```
//!
//! It depends on nothing that devices send. Said twice, nothing happens twice. While evidence cannot be judged, for
//! whatever reason of ours, no deadline passes; afterwards everybody has a whole grace to catch up.

use std::collections::HashMap;
use std::sync::atomic::Ordering::Relaxed;
use std::sync::{Arc, MutexGuard, Weak};
use std::time::Duration;

use bartizan_platform::posture::{Machine, Proof, Schedule};
use bartizan_wire::{Access, Cause, DeviceId, DeviceKey, Grade, TenantId, TypeId, UnixMillis};
use serde::{Deserialize, Serialize};

use super::App;
use super::device::Device;
use super::error::Error;
use super::references::schedule_of;
use super::tenant::Tenant;
use crate::limits::{WATCH_DEVICES_PER_ROUND_MAX, WATCH_EVERY_MS, WATCH_GAP_MS_MAX};
use crate::store::{self, ProofCursor};

/// Real time between two looks at the clock.
const LOOK: Duration = Duration::from_millis(500);
/// Where a tenant's watch is kept.
const WATCH_BLOB: &str = "evidence-watch";
/// Tenants read at a time.
const TENANTS_PER_PAGE: u32 = 100;

/// What a tenant's watchdog remembers.
#[derive(Debug, Default)]
pub(super) struct Watch {
    kept: Kept,
    loaded: bool,
    /// When evidence could not be judged last.
    failed: Option<UnixMillis>,
    /// Types whose devices attest, with their schedules if they have one.
    pub types: HashMap<String, Option<Schedule>>,
    cursors: HashMap<(TypeId, u8), ProofCursor>,
}

/// What of it outlives a restart.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
struct Kept {
    /// The last round that went well.
    round: Option<u64>,
    /// When the last time ended in which nobody could attest.
    excused: Option<u64>,
}

/// Runs until the app is gone or stops.
pub(super) async fn run(app: Weak<App>) {
    let mut looks = tokio::time::interval(LOOK);
    looks.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
    looks.tick().await;
    let mut last = None;
    loop {
        looks.tick().await;
        let Some(app) = app.upgrade().filter(|app| !app.is_stopping()) else { return };
        let now = app.clock.now();
        if last.is_none_or(|last| now.since(last) >= WATCH_EVERY_MS) {
            last = Some(now);
            app.watch(now).await;
        }
    }
}

impl App {
    /// One round over all tenants, open or not.
    pub(super) async fn watch(&self, now: UnixMillis) {
        let mut after = 0;
        loop {
            let page = match self.store.operator.tenants(after, TENANTS_PER_PAGE).await {
                Ok(page) => page,
                Err(error) => return tracing::error!(%error, "the watchdog cannot read the tenants"),
            };
            let Some(last) = page.last() else { return };
            after = last.id.0;
            for row in &page {
                if self.is_stopping() {
                    return;
                }
                self.watch_tenant(row.id, now).await;
            }
        }
    }

    async fn watch_tenant(&self, id: TenantId, now: UnixMillis) {
        let tenant = match self.open_tenant(id).await {
            Ok(tenant) => tenant,
            Err(error) => return tracing::error!(tenant = id.0, %error, "the watchdog cannot open a tenant"),
        };
        if let Err(error) = self.watch_types(&tenant, now).await {
            tenant.verifier_failed(now);
            tracing::error!(tenant = id.0, %error, "evidence cannot be judged; no deadline passes meanwhile");
        }
    }

    async fn watch_types(&self, tenant: &Arc<Tenant>, now: UnixMillis) -> Result<(), Error> {
        let mut types = HashMap::new();
        let mut scheduled = Vec::new();
        for row in tenant.store.attestation_policies().await? {
            let schedule = schedule_of(&row.type_name, &row.policy)?;
            scheduled.extend(schedule.map(|schedule| (row.device_type, schedule)));
            types.insert(row.type_name, schedule);
        }
        tenant.watched().types = types;
        if scheduled.is_empty() {
            return Ok(());
        }
        tenant.references().await?;
        let Some(excused) = self.keep_watch(tenant, now).await? else { return Ok(()) };
        for (device_type, schedule) in scheduled {
            for proof in [Proof::Current, Proof::Owed, Proof::Stale] {
                self.watch_devices(tenant, device_type, proof, &schedule, excused, now).await?;
            }
        }
        Ok(())
    }

    /// Notes the round, durably, before anything is decided in it. `None` while the verifier is down, otherwise when
    /// it was last.
    async fn keep_watch(&self, tenant: &Tenant, now: UnixMillis) -> Result<Option<Option<UnixMillis>>, Error> {
        let loaded = tenant.watched().loaded;
        if !loaded {
            let blob = tenant.store.blob(WATCH_BLOB).await?;
            let kept = blob.map(|blob| serde_json::from_slice(&blob)).transpose();
            let kept = kept.map_err(|_| store::Error::Damaged("evidence watch"))?.unwrap_or_default();
            let mut watch = tenant.watched();
            (watch.kept, watch.loaded) = (kept, true);
        }
        let (kept, down) = tenant.watched().round(now, u64::from(self.clock.scale()));
        let bytes = serde_json::to_vec(&kept).expect("invariant: two numbers serialise");
        tenant.store.keep_blob(WATCH_BLOB, &bytes).await?;
        Ok((!down).then_some(kept.excused.map(UnixMillis)))
    }

    /// One batch of the type's devices whose proof is `proof` for long enough; the next round goes on behind it.
    async fn watch_devices(
        &self,
        tenant: &Arc<Tenant>,
        device_type: TypeId,
        proof: Proof,
        schedule: &Schedule,
        excused: Option<UnixMillis>,
        now: UnixMillis,
    ) -> Result<(), Error> {
        let wait_ms = if proof == Proof::Current { schedule.every_ms } else { schedule.grace_ms };
        let Some(until) = now.0.checked_sub(wait_ms).map(UnixMillis) else { return Ok(()) };
        let place = (device_type, proof.code());
        let cursor = tenant.watched().cursors.get(&place).copied().unwrap_or(ProofCursor::START);
        let limit = WATCH_DEVICES_PER_ROUND_MAX;
        let found = tenant.store.proven_before(device_type, proof, until, cursor, limit).await?;
        let more = found.len() as u64 >= u64::from(limit);
        let next = found.last().filter(|_| more).map_or(ProofCursor::START, |(cursor, _)| *cursor);
        tenant.watched().cursors.insert(place, next);
        for (ProofCursor { device, .. }, _) in found.iter().filter(|(_, can_attest)| *can_attest) {
            self.watch_device(tenant.id, *device, schedule, excused, now).await?;
        }
        Ok(())
    }

    async fn watch_device(
        &self,
        tenant: TenantId,
        device: DeviceId,
        schedule: &Schedule,
        excused: Option<UnixMillis>,
        now: UnixMillis,
    ) -> Result<(), Error> {
        let Some(device) = self.load_device(DeviceKey { tenant, device }).await? else { return Ok(()) };
        let owing = {
            let state = device.state();
            state.posture.owing(now, device.last_seen(), schedule, excused.max(state.excused))
        };
        match owing {
            None => return Ok(()),
            Some(_) if self.is_damaged(&device, now).await? => return Ok(()),
            // Whom the brake spares stays limited, and is asked about again.
            Some(Proof::Evading) if self.ask_brake(&device, Cause::Policy, now) < Access::Quarantined => return Ok(()),
            Some(proof) => self.say(&device, now, Machine::Owes(proof), None),
        }
        self.counts.evidence_overdue.fetch_add(1, Relaxed);
        Ok(())
    }

    /// Whether evidence of this device could not be judged, whatever it brought: none of its deadlines pass.
    async fn is_damaged(&self, device: &Device, now: UnixMillis) -> Result<bool, Error> {
        match device.tenant().store.attester(device.key.device).await {
            Ok(_) => Ok(false),
            Err(error @ store::Error::Damaged(_)) => {
                device.state().excused = Some(now);
                tracing::error!(device = %device.name, %error, "its evidence cannot be judged; it is not late");
                Ok(true)
            }
            Err(error) => Err(error.into()),
        }
    }

    /// A device that was out of reach and is heard again owes evidence like any other.
    pub(super) fn welcome_back(&self, device: &Arc<Device>, now: UnixMillis) {
        let back = {
            let posture = &device.state().posture;
            posture.proof == Proof::Unreachable && device.last_seen() > posture.proof_at
        };
        if back {
            self.say(device, now, Machine::Owes(Proof::Stale), None);
        }
    }

    /// A device that gives cause is asked for evidence at once, if it can attest.
    pub(super) fn ask_for_evidence(&self, device: &Arc<Device>, grade: Grade, now: UnixMillis) {
        if grade != Grade::Normal
            && device.can_attest()
            && device.tenant().watched().types.contains_key(&device.type_name)
        {
            self.say(device, now, Machine::Owes(Proof::Owed), None);
        }
    }
}

impl Tenant {
    pub(super) fn watched(&self) -> MutexGuard<'_, Watch> {
        self.watch.lock().expect("invariant: nothing panics while it holds a watch")
    }

    /// Evidence could not be judged, and not for a fault of the device.
    pub(super) fn verifier_failed(&self, now: UnixMillis) {
        self.watched().failed = Some(now);
    }
}

impl Watch {
    /// What is kept of a round at `now`, and whether the verifier is down: it failed since the last round. A gap in
    /// the rounds (the server did not run) is an outage like any other.
    fn round(&mut self, now: UnixMillis, scale: u64) -> (Kept, bool) {
        let gap_max = WATCH_GAP_MS_MAX.max(WATCH_EVERY_MS.saturating_mul(scale));
        let down = self.failed.take().is_some();
        let gap = self.kept.round.is_some_and(|round| now.since(UnixMillis(round)) > gap_max);
        if down || gap {
            self.kept.excused = Some(now.0);
        }
        self.kept.round = self.kept.round.max(Some(now.0));
        (self.kept, down)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_outage_excuses_until_its_end() {
        let mut watch = Watch::default();
        let at = |minute: u64| UnixMillis(minute * WATCH_EVERY_MS);
        assert_eq!(watch.round(at(0), 1), (Kept { round: Some(0), excused: None }, false));
        watch.failed = Some(at(0));
        let (kept, down) = watch.round(at(1), 1);
        assert_eq!((kept.excused, down), (Some(at(1).0), true));
        assert_eq!(watch.round(at(2), 1), (Kept { round: Some(at(2).0), excused: Some(at(1).0) }, false));
        assert_eq!(watch.round(at(12), 1).0.excused, Some(at(1).0), "a gap of ten minutes is none");
        assert_eq!(watch.round(at(11), 1).0.round, Some(at(12).0), "a round that was overtaken makes no gap");
        assert_eq!(watch.round(at(23), 1).0.excused, Some(at(23).0));
    }
}
