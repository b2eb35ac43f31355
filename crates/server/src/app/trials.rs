//! Dry runs: who would fail, if these were the reference values?
//!
//! A trial judges each device's last evidence again, under what is and under what would be. Nothing changes.

use std::sync::Arc;

use bartizan_crypto::AWS_LC;
use bartizan_trust::Evidence;
use bartizan_trust::appraisal::reappraise;
use bartizan_trust::evidence::{self, ChainName};
use bartizan_trust::reference::ReferenceValues;
use bartizan_trust::tpm::Message;
use bartizan_wire::{Attestation, TenantId, UnixMillis};
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use super::App;
use super::changes::{Change, ManifestView, NewChange, types_of};
use super::error::Error;
use super::references::TypePolicy;
use super::registry::Paging;
use super::tenant::Tenant;
use crate::store::EvidenceRow;

/// What a change would do to devices, page by page.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct TrialView {
    /// What a manifest would bring.
    pub manifest: Option<ManifestView>,
    /// Types of the devices that it concerns.
    pub types: Vec<String>,
    /// Devices of this page: those of these types that have an attestation identity.
    pub looked_at: u64,
    /// Those of them that have not attested yet, or whose last evidence does not verify.
    pub not_judged: u64,
    /// Those that would not be affirmed by their last evidence.
    pub devices: Vec<TrialDeviceView>,
    /// Where the next page begins.
    pub next_cursor: Option<String>,
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct TrialDeviceView {
    pub name: String,
    #[serde(rename = "type")]
    pub device_type: String,
    /// Its last evidence under the present reference values: affirming, warning or contraindicated.
    pub present: String,
    /// The same with the change.
    pub tier: String,
    /// What would speak against it, the worst first.
    pub reasons: Vec<String>,
}

impl App {
    pub async fn try_change(&self, tenant: TenantId, new: &NewChange, paging: &Paging) -> Result<TrialView, Error> {
        let open = self.open_tenant(tenant).await?;
        let policies = open.policies().await?;
        let change = Change::checked(new, &policies, self.clock.now())?;
        self.trial(&open, policies, change, paging).await.map(|(trial, _)| trial)
    }

    pub async fn try_manifest(&self, tenant: TenantId, bytes: Vec<u8>, paging: &Paging) -> Result<TrialView, Error> {
        let open = self.open_tenant(tenant).await?;
        let policies = open.policies().await?;
        let manifest = open.open_manifest(bytes, self.clock.now()).await?;
        let view = ManifestView::of(&manifest, &policies);
        let (trial, values) = self.trial(&open, policies, Change::Manifest(manifest), paging).await?;
        Ok(TrialView { manifest: Some(ManifestView { values, ..view }), ..trial })
    }

    /// Answers also how many values the change concerns.
    async fn trial(
        &self,
        open: &Tenant,
        policies: Vec<(String, TypePolicy)>,
        change: Change,
        paging: &Paging,
    ) -> Result<(TrialView, u64), Error> {
        let present = open.references().await?;
        let mut next = ReferenceValues::clone(&present);
        let values = change.make(&mut next)?;
        let classes = change.classes(&present);
        let types = types_of(&policies, |class| classes.contains(class));
        let names: Vec<&str> = types.iter().map(String::as_str).collect();
        let rows = open.store.last_evidence(&names, paging.from(0)?, paging.items()? + 1).await?;
        let page = paging.page(rows, |row| row.device.0, Clone::clone)?;
        let looked_at = page.items.len() as u64;
        let scene = Scene { policies, present, next, now: self.clock.now() };
        let next_cursor = page.next_cursor;
        let judge = move || page.items.iter().map(|row| scene.judge(row)).collect::<Vec<_>>();
        let judged = tokio::task::spawn_blocking(judge).await;
        let judged = judged.map_err(|_| Error::Unavailable("the evidence could not be judged".into()))?;
        let not_judged = judged.iter().filter(|outcome| outcome.is_none()).count() as u64;
        let devices = judged.into_iter().flatten().flatten().collect();
        Ok((TrialView { manifest: None, types, looked_at, not_judged, devices, next_cursor }, values))
    }
}

/// What evidence is judged under.
struct Scene {
    policies: Vec<(String, TypePolicy)>,
    present: Arc<ReferenceValues>,
    next: ReferenceValues,
    now: UnixMillis,
}

impl Scene {
    /// `None` if there is nothing to judge, an inner `None` if it would be affirmed.
    fn judge(&self, row: &EvidenceRow) -> Option<Option<TrialDeviceView>> {
        let evidence = reopen(row)?;
        let (_, policy) = self.policies.iter().find(|(name, _)| *name == row.type_name)?;
        let verdict = |references: &ReferenceValues| {
            reappraise(&policy.appraisal, references, &policy.class, &evidence, self.now)
        };
        let after = verdict(&self.next);
        let would_fail = after.tier != Attestation::Affirming;
        Some(would_fail.then(|| TrialDeviceView {
            name: row.name.clone(),
            device_type: row.type_name.clone(),
            present: verdict(&self.present).tier.name().into(),
            tier: after.tier.name().into(),
            reasons: after.reasons.iter().map(ToString::to_string).collect(),
        }))
    }
}

/// The last evidence of a device, verified as at the time that it was judged.
fn reopen(row: &EvidenceRow) -> Option<Evidence> {
    let (at, bytes) = row.last.as_ref()?;
    if let Ok(Message::Evidence(carried)) = Message::read(bytes) {
        // Nothing of a key that was not activated is ever kept.
        return carried.claimed(&AWS_LC).ok().map(|(evidence, _)| evidence).filter(|it| it.identity.is(&row.identity));
    }
    let cached = |named: &ChainName| {
        let chain = row.chain.as_deref().filter(|chain| (AWS_LC.sha256)(&[chain]) == *named)?;
        evidence::verify_chain(&AWS_LC, chain, *at).ok()
    };
    let evidence = evidence::open(&AWS_LC, bytes, &cached, *at).ok()?;
    evidence.identity.is(&row.identity).then_some(evidence)
}
