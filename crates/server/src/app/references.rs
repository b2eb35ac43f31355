//! What devices are held to: reference values of good firmware, and the policy of each device type.

use std::sync::Arc;

use bartizan_platform::posture::Schedule;
use bartizan_trust::appraisal::{LayerPolicy, Policy};
use bartizan_trust::evidence::{Digest, HashAlgorithm};
use bartizan_trust::reference::{Class, ReferenceValues, SecurityVersion, Source, Status, Value};
use bartizan_wire::{Attestation, TenantId, UnixMillis};
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use super::changes::refused;
use super::error::{Error, Misuse};
use super::tenant::Tenant;
use super::views::{ReferenceView, rfc3339};
use super::{Actor, App};
use crate::limits::{ATTEST_HOURS_MAX, EPOCH_MINUTES_DEFAULT, EPOCH_MINUTES_MAX, LAYERS_MAX};
use crate::store;

/// The vendor of types whose policy names none.
const NO_VENDOR: &str = "unnamed";
/// Where a tenant's reference values are kept.
const REFERENCES_BLOB: &str = "reference-values";

/// What devices of one type are held to when they attest.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct PolicyView {
    /// Who makes them, as reference values name it. Absent: nobody in particular.
    pub vendor: Option<String>,
    /// What they are, as reference values name it. Absent: the type's name.
    pub model: Option<String>,
    /// Another verifier that judges them, by the name of its key; its attestation results stand in place of evidence,
    /// and what else this policy says of firmware is not looked at. Absent: this server.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub verifier: Option<String>,
    /// Every layer of their code in the order of boot, as reference values name them. Evidence with more, fewer or
    /// others is not believed. None only where another verifier judges.
    #[serde(default)]
    pub layers: Vec<String>,
    /// Firmware that no reference value knows: affirming, warning (if absent) or contraindicated.
    pub unknown: Option<String>,
    /// A layer in debug mode: contraindicated if absent.
    pub debug: Option<String>,
    /// A layer in recovery mode: warning if absent.
    pub recovery: Option<String>,
    /// The least security version, beside what reference values say.
    pub security_floor: Option<u64>,
    /// Whether a device must count its starts, without which a clone is hard to tell: yes if absent.
    pub require_boot_count: Option<bool>,
    /// Whether a device that failed must take another key before it is free, since what it ran may have read the old
    /// one: yes if absent. Say no for devices that cannot.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub rotate_on_readmission: Option<bool>,
    /// Hours within which a device must have a good verdict. Absent: only what it brings by itself counts.
    pub every_hours: Option<u32>,
    /// Hours that a device may go on reporting, at a limited rate, after it owes evidence: as many again if absent.
    pub grace_hours: Option<u32>,
    /// Minutes that an epoch lasts: devices that sleep may answer its id by a heartbeat until the next one ends. An
    /// hour if absent, or a quarter of `every_hours` if that is less.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub epoch_minutes: Option<u32>,
}

/// The same, ready to use.
#[derive(Clone, Debug)]
pub(super) struct TypePolicy {
    /// Whose results stand in place of evidence.
    pub verifier: Option<String>,
    pub class: Class,
    pub appraisal: Policy,
    pub schedule: Option<Schedule>,
    pub epoch_ms: u64,
    /// See [`PolicyView::rotate_on_readmission`].
    pub rekey: bool,
}

/// One reference value, as a person states it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct NewReference {
    /// The layer, as the policy names it.
    #[schema(example = "firmware")]
    pub component: String,
    #[schema(example = "2.4.1")]
    pub version: String,
    pub security_version: Option<u64>,
    /// In hex: SHA-256, SHA-384 or SHA-512, told by its length.
    pub digest: String,
}

impl PolicyView {
    fn checked(&self, device_type: &str) -> Result<TypePolicy, Error> {
        let least = if self.verifier.is_some() { 0 } else { 1 };
        if !(least..=LAYERS_MAX).contains(&self.layers.len()) {
            return Err(Error::Malformed(format!("a policy names 1 to {LAYERS_MAX} layers")));
        }
        let tier = |name: &str, given: &Option<String>, otherwise| match given {
            None => Ok(otherwise),
            Some(text) => Attestation::from_name(text).filter(|tier| *tier != Attestation::None).ok_or_else(|| {
                Error::Malformed(format!("`{name}` is affirming, warning or contraindicated, not {text:?}"))
            }),
        };
        let strict = Policy::default();
        let schedule = self.schedule()?;
        Ok(TypePolicy {
            verifier: self.verifier.clone(),
            epoch_ms: self.epoch_ms(schedule)?,
            class: Class::new(
                self.vendor.as_deref().unwrap_or(NO_VENDOR),
                self.model.as_deref().unwrap_or(device_type),
            ),
            appraisal: Policy {
                layers: self.layers.iter().map(|layer| LayerPolicy::known(layer)).collect(),
                unknown: tier("unknown", &self.unknown, strict.unknown)?,
                debug: tier("debug", &self.debug, strict.debug)?,
                recovery: tier("recovery", &self.recovery, strict.recovery)?,
                security_floor: self.security_floor,
                require_boot_count: self.require_boot_count.unwrap_or(strict.require_boot_count),
                ..strict
            },
            schedule,
            rekey: self.rotate_on_readmission.unwrap_or(true),
        })
    }

    /// A heartbeat over the id of the epoch before proves what was up to two epochs ago.
    fn epoch_ms(&self, schedule: Option<Schedule>) -> Result<u64, Error> {
        let most = schedule.map_or(u64::MAX, |schedule| schedule.every_ms / 2);
        match self.epoch_minutes {
            None => Ok((u64::from(EPOCH_MINUTES_DEFAULT) * 60_000).min(most / 2)),
            Some(minutes @ 1..=EPOCH_MINUTES_MAX) if u64::from(minutes) * 60_000 <= most => {
                Ok(u64::from(minutes) * 60_000)
            }
            Some(_) => Err(Error::Malformed(format!(
                "an epoch is 1 to {EPOCH_MINUTES_MAX} minutes long, and at most half of `every_hours`"
            ))),
        }
    }

    fn schedule(&self) -> Result<Option<Schedule>, Error> {
        let ms = |hours: u32| match hours {
            1..=ATTEST_HOURS_MAX => Ok(u64::from(hours) * 3_600_000),
            _ => Err(Error::Malformed(format!("deadlines and graces are 1 to {ATTEST_HOURS_MAX} hours"))),
        };
        match (self.every_hours, self.grace_hours) {
            (None, None) => Ok(None),
            (None, Some(_)) => Err(Error::Malformed("`grace_hours` says nothing without `every_hours`".into())),
            (Some(every), grace) => Ok(Some(Schedule { every_ms: ms(every)?, grace_ms: ms(grace.unwrap_or(every))? })),
        }
    }
}

/// The schedule that a stored policy sets.
pub(super) fn schedule_of(device_type: &str, policy: &str) -> Result<Option<Schedule>, store::Error> {
    Ok(stored(device_type, policy)?.schedule)
}

fn stored(device_type: &str, policy: &str) -> Result<TypePolicy, store::Error> {
    let damaged = || store::Error::Damaged("attestation policy");
    let view: PolicyView = serde_json::from_str(policy).map_err(|_| damaged())?;
    view.checked(device_type).map_err(|_| damaged())
}

impl Tenant {
    /// What good firmware measures as.
    pub(super) async fn references(&self) -> Result<Arc<ReferenceValues>, store::Error> {
        let mut kept = self.references.lock().await;
        self.load_references(&mut kept).await
    }

    async fn load_references(
        &self,
        kept: &mut Option<Arc<ReferenceValues>>,
    ) -> Result<Arc<ReferenceValues>, store::Error> {
        if let Some(references) = kept {
            return Ok(Arc::clone(references));
        }
        let loaded = match self.store.blob(REFERENCES_BLOB).await? {
            None => ReferenceValues::new(),
            Some(bytes) => ReferenceValues::decode(&bytes).map_err(|_| store::Error::Damaged("reference values"))?,
        };
        Ok(Arc::clone(kept.insert(Arc::new(loaded))))
    }

    /// Changes them; durable when it returns. Nothing changes if `change` fails.
    pub(super) async fn change_references<T>(
        &self,
        change: impl FnOnce(&mut ReferenceValues) -> Result<T, Error>,
    ) -> Result<T, Error> {
        let mut kept = self.references.lock().await;
        let mut next = ReferenceValues::clone(&*self.load_references(&mut kept).await?);
        let said = change(&mut next)?;
        // If this is given up half-way, what is stored is read again.
        *kept = None;
        self.store.keep_blob(REFERENCES_BLOB, &next.encode()).await?;
        *kept = Some(Arc::new(next));
        Ok(said)
    }

    pub(super) async fn attestation_policy(&self, device_type: &str) -> Result<Option<TypePolicy>, store::Error> {
        let Some(text) = self.store.attestation_policy(device_type).await? else { return Ok(None) };
        stored(device_type, &text).map(Some)
    }

    /// Of every type that has one, by the type's name.
    pub(super) async fn policies(&self) -> Result<Vec<(String, TypePolicy)>, store::Error> {
        let rows = self.store.attestation_policies().await?.into_iter();
        let checked = rows.map(|row| {
            let policy = stored(&row.type_name, &row.policy)?;
            Ok((row.type_name, policy))
        });
        checked.collect()
    }
}

impl App {
    /// Says what devices of a type are held to.
    pub async fn set_attestation_policy(
        &self,
        actor: &Actor,
        tenant: TenantId,
        device_type: &str,
        policy: &PolicyView,
    ) -> Result<(), Error> {
        let schedule = policy.checked(device_type)?.schedule;
        let text = serde_json::to_string(policy).expect("invariant: plain fields serialise");
        let open = self.open_tenant(tenant).await?;
        if !open.store.set_attestation_policy(device_type, &text).await? {
            return Err(Misuse::Unknown(format!("device type {device_type:?}")).into());
        }
        open.watched().types.insert(device_type.into(), schedule);
        self.audit(actor, "attestation.policy", Some(tenant), device_type, &text).await
    }

    pub async fn show_attestation_policy(&self, tenant: TenantId, device_type: &str) -> Result<PolicyView, Error> {
        let text = self.open_tenant(tenant).await?.store.attestation_policy(device_type).await?;
        let text = text.ok_or_else(|| no_policy(device_type))?;
        serde_json::from_str(&text).map_err(|_| store::Error::Damaged("attestation policy").into())
    }

    /// Takes a reference value that a person states. It vouches from now on.
    pub async fn add_reference(
        &self,
        actor: &Actor,
        tenant: TenantId,
        device_type: &str,
        new: &NewReference,
    ) -> Result<(), Error> {
        let open = self.open_tenant(tenant).await?;
        let policy = open.attestation_policy(device_type).await?;
        let policy = policy.ok_or_else(|| no_policy(device_type))?;
        let value = Value {
            class: policy.class,
            instance: None,
            component: new.component.clone(),
            version: Some(new.version.clone()),
            security_version: new.security_version.map(SecurityVersion::Exact),
            digests: vec![digest(&new.digest)?],
            source: Source::Measured { by: actor.0.clone() },
            withdrawn: false,
        };
        open.change_references(|references| references.add(value).map_err(refused)).await?;
        let what = format!("{device_type} {} {}", new.component, new.version);
        self.audit(actor, "reference.add", Some(tenant), &what, &new.digest).await
    }

    /// All reference values of a device type.
    pub async fn reference_values(&self, tenant: TenantId, device_type: &str) -> Result<Vec<ReferenceView>, Error> {
        let open = self.open_tenant(tenant).await?;
        let Some(policy) = open.attestation_policy(device_type).await? else { return Ok(Vec::new()) };
        let references = open.references().await?;
        let now = self.clock.now();
        Ok(references.of_class(&policy.class).map(|value| view(&references, value, device_type, now)).collect())
    }
}

/// The policy of a type among all.
pub(super) fn of_type<'a>(policies: &'a [(String, TypePolicy)], device_type: &str) -> Result<&'a TypePolicy, Error> {
    let found = policies.iter().find(|(name, _)| name == device_type).map(|(_, policy)| policy);
    found.ok_or_else(|| no_policy(device_type).into())
}

fn no_policy(device_type: &str) -> Misuse {
    Misuse::Unknown(format!("attestation policy for {device_type:?}"))
}

fn view(references: &ReferenceValues, value: &Value, device_type: &str, now: UnixMillis) -> ReferenceView {
    let status = references.status(&value.class, &value.component, value.version.as_deref(), &value.digests, now);
    ReferenceView {
        device_type: device_type.into(),
        component: value.component.clone(),
        version: value.version.clone(),
        security_version: value.security_version.map(|version| version.to_string()),
        digests: value.digests.iter().map(ToString::to_string).collect(),
        source: value.source.to_string(),
        status: if value.withdrawn { "withdrawn".into() } else { status.name(now).into() },
        until: match status {
            Status::DeprecatedUntil(end) => Some(rfc3339(end)),
            Status::Allowed | Status::Forbidden => None,
        },
    }
}

fn digest(hex: &str) -> Result<Digest, Error> {
    let bytes = bartizan_platform::import::secret::from_hex(hex.as_bytes());
    let bytes = bytes.ok_or_else(|| Error::Malformed("a digest is written in hexadecimal digits".into()))?;
    let algorithm = match bytes.len() {
        32 => HashAlgorithm::Sha256,
        48 => HashAlgorithm::Sha384,
        64 => HashAlgorithm::Sha512,
        other => return Err(Error::Malformed(format!("a digest has 32, 48 or 64 bytes, not {other}"))),
    };
    Ok(Digest { algorithm, bytes })
}
