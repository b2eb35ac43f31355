//! At the door: what becomes of a stranger that asks for a certificate.

use std::sync::Arc;

use bartizan_platform::import::secret::to_hex;
use bartizan_platform::posture::Machine;
use bartizan_wire::finding::Basis;
use bartizan_wire::{
    Access, DeviceId, DeviceKey, Engine, Expected, Feature, Finding, Grade, Lifecycle, Severity, Technique, TenantId,
    Unit, UnixMillis,
};

use crate::app::device::Device;
use crate::app::door::{Applicant, History};
use crate::app::error::Error;
use crate::app::{Actor, App};
use crate::store::{Addition, HistoryRow, NewRow, OrderRow, QueueRow, fill_random};

/// Who acts when nobody does.
const NO_TOUCH: &str = "onboarding";

/// What an order entry leads to.
#[derive(Debug)]
pub enum Joining {
    /// The device is there; it may have its certificate.
    Device(Arc<Device>),
    /// A person has to look.
    Waits,
    /// Nobody waits for it, or a person has refused it.
    Refused,
}

impl App {
    /// What becomes of a stranger that asks for a certificate over the key whose hash is `leaf`.
    pub(in crate::app) async fn join(&self, applicant: &Applicant, leaf: &[u8; 32]) -> Result<Joining, Error> {
        let operator = &self.store.operator;
        if let Some(key) = operator.device_of(&psk_identity(&applicant.identity)).await? {
            let device = self.require_device(key).await?;
            return self.join_again(applicant, &device, leaf).await;
        }
        let now = self.clock.now();
        match operator.order(&applicant.identity).await? {
            Some((tenant, order)) if order.is_open(now) => self.join_as(applicant, tenant, &order).await,
            _ => self.wait(applicant, None, "its make is known, but nobody ordered it").await,
        }
    }

    /// Makes the device that an order entry names. Whatever crashes between: the next knock finds the device.
    async fn join_as(&self, applicant: &Applicant, tenant: TenantId, order: &OrderRow) -> Result<Joining, Error> {
        let open = self.open_tenant(tenant).await?;
        let mut psk = zeroize::Zeroizing::new(vec![0; 32]);
        fill_random(&mut psk); // nobody knows it: the device has a certificate
        let row = NewRow {
            line: 1,
            name: order.name.clone(),
            device_type: order.device_type.clone(),
            identity: psk_identity(&applicant.identity),
            psk,
            endpoint: order.name.clone(),
            attestation_identity: applicant.attester,
        };
        let mut addition =
            Addition::begin(&self.store.operator, &open.store, &self.store.sealer, self.clock.now()).await?;
        addition.add(vec![row]).await?;
        let (id, added) = match addition.commit().await.map_err(Error::from) {
            Ok(done) => done,
            // The name or the secret was taken since: a person has to look.
            Err(Error::Import(bad)) => {
                let why = bad.lines.first().map_or_else(String::new, |bad| format!("ordered, but {}", bad.error));
                return self.wait(applicant, None, &why).await;
            }
            Err(error) => return Err(error),
        };
        open.fleet().add((Lifecycle::Pending, Grade::Normal, Access::Full), added);
        self.store.operator.use_order(&applicant.identity, self.clock.now()).await?;
        self.store.operator.leave_queue(&applicant.identity).await?;
        let device = self.require_device(DeviceKey { tenant, device: id }).await?;
        let by = if order.voucher.is_some() { "its manufacturer's voucher" } else { "an order entry" };
        let actor = Actor(NO_TOUCH.into());
        self.note_by(&device, &actor, "lifecycle", format!("It joined by {by}, with no touch, as {}.", order.shown));
        self.audit(&actor, "onboarding.join", Some(tenant), &device.name, &order.shown).await?;
        Ok(Joining::Device(device))
    }

    /// One that has joined already, or somebody else with its secret.
    async fn join_again(&self, applicant: &Applicant, device: &Arc<Device>, leaf: &[u8; 32]) -> Result<Joining, Error> {
        if device.access() >= Access::Quarantined {
            return Ok(Joining::Refused);
        }
        let known = self.known_history(applicant, device).await?;
        if let Some(why) = second_history(&known, applicant, device, leaf) {
            return self.doubt(applicant, device, why).await;
        }
        let other_key = known.leaf.is_some_and(|known| known != *leaf);
        if other_key {
            let why = "clone or replaced board? It has joined before, and comes back with another operational key";
            return self.wait(applicant, Some(device), why).await;
        }
        Ok(Joining::Device(device.clone()))
    }

    /// What was known when it joined, and what its evidence has shown since.
    async fn known_history(&self, applicant: &Applicant, device: &Device) -> Result<HistoryRow, Error> {
        let mut known = self.store.operator.joined_history(&applicant.identity).await?;
        let attester = device.tenant().store.attester(device.key.device).await?;
        // A person who let it start anew has overridden both.
        if let Some(attester) = attester.filter(|_| known.leaf.is_some())
            && attester.boot_count >= known.boot_count
            && (attester.boot_count.is_some() || attester.boot_seed.is_some())
        {
            (known.boot_count, known.boot_seed) = (attester.boot_count, attester.boot_seed);
        }
        Ok(known)
    }

    /// Two authenticated histories that cannot both be one device's: neither is let through, and a person is called.
    async fn doubt(&self, applicant: &Applicant, device: &Arc<Device>, why: &str) -> Result<Joining, Error> {
        let now = self.clock.now();
        let text = format!("may have been cloned, or its board replaced: {why}");
        let finding = Finding {
            at: now,
            subject: device.subject(),
            engine: Engine::Verifier,
            feature: Feature::Evidence,
            observed: 2.0,
            expected: Expected { low: 1.0, high: 1.0, basis: Basis::Rule },
            unit: Unit::Count,
            score: 1.0,
            severity: Severity::High,
            technique: Some(Technique::SPOOF_REPORTING_MESSAGE),
        };
        self.find(device, &finding, text.clone());
        self.say(device, now, Machine::TwoHistories { reason: text }, None);
        self.durable().await?;
        tracing::error!(
            tenant = device.key.tenant.0, device = %device.name,
            "two devices prove the same identity: a person must look at the onboarding queue"
        );
        self.wait(applicant, Some(device), &format!("clone or replaced board? {why}")).await
    }

    /// A line in the queue of everybody who knows its make, or of the device's tenant; one for each identity.
    async fn wait(&self, applicant: &Applicant, device: Option<&Arc<Device>>, why: &str) -> Result<Joining, Error> {
        let now = self.clock.now();
        let mut places: Vec<(TenantId, String, Option<DeviceId>)> = match device {
            Some(device) => {
                let maker = applicant.makes.first().map(|(_, name)| name.clone()).unwrap_or_default();
                vec![(device.key.tenant, maker, Some(device.key.device))]
            }
            None => applicant.makes.iter().map(|(tenant, name)| (*tenant, name.clone(), None)).collect(),
        };
        // An order entry that could not be followed is its tenant's business, whoever made the device.
        if places.is_empty()
            && let Some((tenant, order)) = self.store.operator.order(&applicant.identity).await?
            && order.is_open(now)
        {
            places.push((tenant, String::new(), None));
        }
        let mut waits = false;
        for (tenant, manufacturer, device) in places {
            let known = self.store.operator.queued(tenant, &applicant.identity).await?;
            let refused = known.as_ref().is_some_and(|known| known.refused);
            let row = QueueRow {
                identity: applicant.identity,
                shown: applicant.shown.clone(),
                manufacturer,
                attester: applicant.attester.is_some(),
                device,
                why: why.to_owned(),
                first: now,
                last: now,
                knocks: 1,
                refused: false,
            };
            let queued = self.store.operator.knock(tenant, &row).await?;
            if queued && known.is_none() {
                let actor = Actor(NO_TOUCH.into());
                self.audit(&actor, "onboarding.wait", Some(tenant), &row.shown, why).await?;
            }
            waits |= queued && !refused;
        }
        Ok(if waits { Joining::Waits } else { Joining::Refused })
    }

    /// Notes with which key and history a device has got a certificate.
    pub(in crate::app) async fn joined(&self, applicant: &Applicant, leaf: [u8; 32]) -> Result<(), Error> {
        let History { boot_count, boot_seed } =
            applicant.history.clone().unwrap_or(History { boot_count: None, boot_seed: Vec::new() });
        let boot_seed = Some(boot_seed).filter(|seed| !seed.is_empty());
        let row = HistoryRow { leaf: Some(leaf), boot_count, boot_seed };
        Ok(self.store.operator.keep_history(&applicant.identity, &row, self.clock.now()).await?)
    }

    /// Where a stranger belongs, if anybody says so: by its order entry, or because only one tenant knows its make.
    pub(in crate::app) async fn tenant_of(&self, applicant: &Applicant) -> Result<Option<TenantId>, Error> {
        if let Some((tenant, _)) = self.store.operator.order(&applicant.identity).await? {
            return Ok(Some(tenant));
        }
        Ok(match applicant.makes.as_slice() {
            [(tenant, _)] => Some(*tenant),
            _ => None,
        })
    }

    /// The manufacturer's word for a stranger, and whether it has the COSE form.
    pub async fn voucher_of(&self, applicant: &Applicant) -> Result<Option<(Vec<u8>, bool)>, Error> {
        let order = self.store.operator.order(&applicant.identity).await?;
        Ok(order.and_then(|(_, order)| order.voucher).map(|voucher| (voucher.bytes, voucher.compact)))
    }
}

impl OrderRow {
    /// Whether it counts: it was not used, and the voucher it came with has not ended.
    fn is_open(&self, now: UnixMillis) -> bool {
        let ended = self.voucher.as_ref().and_then(|voucher| voucher.expires).is_some_and(|end| end < now);
        self.used.is_none() && !ended
    }
}

/// Why what an applicant says, or does, cannot follow what is known of the device.
fn second_history(known: &HistoryRow, applicant: &Applicant, device: &Device, leaf: &[u8; 32]) -> Option<&'static str> {
    let said = applicant.history.as_ref();
    if let (Some(said), Some(known_count)) = (said, known.boot_count)
        && let Some(count) = said.boot_count
    {
        if count < known_count {
            return Some("it says that it was started less often than is known already");
        }
        let other_seed = known.boot_seed.as_ref().is_some_and(|seed| *seed != said.boot_seed);
        if count == known_count && other_seed {
            return Some("two starts have the same number");
        }
    }
    // What it reported before its chain was looked at may have been itself.
    let reports = device.last_seen().is_some_and(|seen| seen > applicant.since);
    let other_key = known.leaf.is_some_and(|known| known != *leaf);
    (other_key && reports).then_some("it asks for a certificate for another key while the device still reports")
}

/// Devices that join have a PSK identity by which they are found, and a PSK that nobody knows.
fn psk_identity(identity: &[u8; 32]) -> Vec<u8> {
    format!("onboarded:{}", to_hex(identity)).into_bytes()
}
