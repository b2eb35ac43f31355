//! Changes of reference values: the same code makes a change and tries it.

use std::collections::BTreeSet;

use bartizan_trust::reference::{Class, Fault, Manifest, ReferenceValues, Status};
use bartizan_wire::{TenantId, UnixMillis};
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use super::error::{Error, Misuse};
use super::references::{TypePolicy, of_type};
use super::{Actor, App};

/// A change of what devices may run, beside new reference values.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(tag = "change", rename_all = "snake_case", deny_unknown_fields)]
pub enum NewChange {
    /// Whether a version of a layer may run.
    Status {
        #[serde(rename = "type")]
        device_type: String,
        /// The layer, as the policy names it.
        #[schema(example = "firmware")]
        component: String,
        #[schema(example = "2.4.1")]
        version: String,
        /// allowed, deprecated (it runs with a warning until a time, and fails from then on) or forbidden.
        status: String,
        /// Of a deprecated version: until when it may run.
        until: Option<String>,
    },
    /// The least security version of a type. It only rises.
    Floor {
        #[serde(rename = "type")]
        device_type: String,
        security_version: u64,
    },
    /// Takes back what a tag of a manifest vouches for. It cannot come again.
    Revocation { tag: String },
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct ChangeView {
    /// Types of the devices that are held to something else now.
    pub types: Vec<String>,
    /// How many reference values it concerns; a status is also kept for values that are yet to come.
    pub values: u64,
}

/// What a manifest brings.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct ManifestView {
    /// Its own name.
    pub manifest: String,
    pub signer: String,
    /// Values that it added; none if all its tags were known.
    pub values: u64,
    pub tags: Vec<TagView>,
    /// Types whose policy holds devices to its values.
    pub types: Vec<String>,
    /// Vendors and models that no type's policy names: their values are kept, and vouch for no device yet.
    pub unclaimed: Vec<String>,
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct TagView {
    pub tag: String,
    pub version: u64,
    pub values: u64,
}

/// The security version below which nothing of a type may run.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct FloorView {
    /// Absent: none was set here. A policy or a reference value may still ask for one.
    pub security_version: Option<u64>,
}

/// A change that was checked.
pub(super) enum Change {
    Manifest(Manifest),
    Status { class: Class, component: String, version: String, status: Status },
    Floor { class: Class, floor: u64 },
    Revocation { tag: String },
}

impl Change {
    pub fn checked(new: &NewChange, policies: &[(String, TypePolicy)], now: UnixMillis) -> Result<Self, Error> {
        let class = |device_type: &str| of_type(policies, device_type).map(|policy| policy.class.clone());
        Ok(match new {
            NewChange::Status { device_type, component, version, status, until } => Self::Status {
                class: class(device_type)?,
                component: component.clone(),
                version: version.clone(),
                status: parsed(status, until.as_deref(), now)?,
            },
            NewChange::Floor { device_type, security_version } => {
                Self::Floor { class: class(device_type)?, floor: *security_version }
            }
            NewChange::Revocation { tag } => Self::Revocation { tag: tag.clone() },
        })
    }

    /// Makes it, and answers how many values it concerns.
    pub fn make(&self, references: &mut ReferenceValues) -> Result<u64, Error> {
        let count = match self {
            Self::Manifest(manifest) => references.import(manifest.clone()).map_err(refused)?,
            Self::Status { class, component, version, status } => {
                references.set_status(class, component, version, *status).map_err(refused)?;
                let named = |value: &&bartizan_trust::reference::Value| {
                    value.component == *component && value.version.as_ref() == Some(version)
                };
                references.of_class(class).filter(named).count()
            }
            Self::Floor { class, floor } => {
                let now = references.floor(class).filter(|now| now > floor);
                if let Some(now) = now {
                    return Err(Misuse::Conflict(format!("the floor is {now} already, and it only rises")).into());
                }
                references.raise_floor(class, *floor);
                references.of_class(class).count()
            }
            Self::Revocation { tag } => match references.revoke(tag) {
                0 => return Err(Misuse::Unknown(format!("reference value of a tag {tag:?}")).into()),
                count => count,
            },
        };
        Ok(count as u64)
    }

    /// The classes of devices that it may concern, before it is made.
    pub fn classes(&self, references: &ReferenceValues) -> BTreeSet<Class> {
        match self {
            Self::Status { class, .. } | Self::Floor { class, .. } => BTreeSet::from([class.clone()]),
            Self::Revocation { tag } => classes_of(references, &|name| name == tag),
            Self::Manifest(manifest) => {
                let tags = manifest.tags.iter();
                let ended: BTreeSet<&str> =
                    tags.flat_map(|tag| tag.replaces.iter().chain([&tag.id])).map(String::as_str).collect();
                let mut classes = classes_of(references, &|name| ended.contains(name));
                classes.extend(brought(manifest).cloned());
                classes
            }
        }
    }

    fn subject(&self) -> String {
        match self {
            Self::Manifest(manifest) => manifest.id.clone(),
            Self::Status { class, component, version, .. } => format!("{class} {component} {version}"),
            Self::Floor { class, .. } => class.to_string(),
            Self::Revocation { tag } => tag.clone(),
        }
    }
}

impl ManifestView {
    pub(super) fn of(manifest: &Manifest, policies: &[(String, TypePolicy)]) -> Self {
        let classes: BTreeSet<&Class> = brought(manifest).collect();
        let claimed: BTreeSet<&Class> = policies.iter().map(|(_, policy)| &policy.class).collect();
        let tags = manifest.tags.iter().map(|tag| TagView {
            tag: tag.id.clone(),
            version: tag.version,
            values: tag.values.len() as u64,
        });
        Self {
            manifest: manifest.id.clone(),
            signer: manifest.signer.clone(),
            values: 0,
            tags: tags.collect(),
            types: types_of(policies, |class| classes.contains(class)),
            unclaimed: classes.difference(&claimed).map(ToString::to_string).collect(),
        }
    }
}

impl App {
    /// Makes a change of what devices may run; it counts from their next evidence on.
    pub async fn change_references(
        &self,
        actor: &Actor,
        tenant: TenantId,
        new: &NewChange,
    ) -> Result<ChangeView, Error> {
        let open = self.open_tenant(tenant).await?;
        let policies = open.policies().await?;
        let change = Change::checked(new, &policies, self.clock.now())?;
        let classes = change.classes(&*open.references().await?);
        let values = open.change_references(|references| change.make(references)).await?;
        let (action, detail) = match new {
            NewChange::Status { status, until, .. } => match until {
                Some(until) => ("reference.status", format!("{status} until {until}")),
                None => ("reference.status", status.clone()),
            },
            NewChange::Floor { security_version, .. } => ("reference.floor", security_version.to_string()),
            NewChange::Revocation { .. } => ("reference.revoke", format!("{values} values")),
        };
        self.audit(actor, action, Some(tenant), &change.subject(), &detail).await?;
        Ok(ChangeView { types: types_of(&policies, |class| classes.contains(class)), values })
    }

    pub async fn security_floor(&self, tenant: TenantId, device_type: &str) -> Result<FloorView, Error> {
        let open = self.open_tenant(tenant).await?;
        let policies = open.policies().await?;
        let class = &of_type(&policies, device_type)?.class;
        Ok(FloorView { security_version: open.references().await?.floor(class) })
    }
}

/// Types of devices of these classes.
pub(super) fn types_of(policies: &[(String, TypePolicy)], of: impl Fn(&Class) -> bool) -> Vec<String> {
    policies.iter().filter(|(_, policy)| of(&policy.class)).map(|(name, _)| name.clone()).collect()
}

fn brought(manifest: &Manifest) -> impl Iterator<Item = &Class> {
    manifest.tags.iter().flat_map(|tag| &tag.values).map(|value| &value.class)
}

/// The classes that tags speak of.
fn classes_of(references: &ReferenceValues, tag: &dyn Fn(&str) -> bool) -> BTreeSet<Class> {
    let spoken = |class: &&Class| references.of_class(class).any(|value| value.source.tag().is_some_and(tag));
    references.classes().filter(spoken).cloned().collect()
}

fn parsed(status: &str, until: Option<&str>, now: UnixMillis) -> Result<Status, Error> {
    match (status, until) {
        ("allowed", None) => Ok(Status::Allowed),
        ("forbidden", None) => Ok(Status::Forbidden),
        ("deprecated", Some(until)) => {
            let end: jiff::Timestamp =
                until.parse().map_err(|_| Error::Malformed(format!("`until` is a time in RFC 3339, not {until:?}")))?;
            let end = UnixMillis(u64::try_from(end.as_millisecond()).unwrap_or(0));
            if end <= now {
                return Err(Error::Malformed("`until` is over: forbid the version instead".into()));
            }
            Ok(Status::DeprecatedUntil(end))
        }
        ("deprecated", None) => Err(Error::Malformed("a deprecated version may run `until` a time".into())),
        ("allowed" | "forbidden", Some(_)) => {
            Err(Error::Malformed("only a deprecated version may run `until` a time".into()))
        }
        _ => Err(Error::Malformed(format!("`status` is allowed, deprecated or forbidden, not {status:?}"))),
    }
}

/// Reference values that the store refuses.
pub(super) fn refused(fault: Fault) -> Error {
    let text = fault.to_string();
    match fault {
        Fault::Conflict(_) | Fault::RolledBack { .. } | Fault::Revoked(_) | Fault::OtherSigner(..) => {
            Misuse::Conflict(text).into()
        }
        Fault::Unusable(_) => Error::Malformed(text),
        Fault::Full(_) => Misuse::Full(text).into(),
        Fault::Document(error) => unbelieved(error),
    }
}

/// A signed document that is not taken.
pub(super) fn unbelieved(error: bartizan_trust::Error) -> Error {
    use bartizan_trust::Error as Trust;
    let text = error.to_string();
    match error {
        Trust::Malformed(_) | Trust::Misuse(_) => Error::Malformed(text),
        Trust::Untrusted(_) | Trust::Misbehaved(_) => Error::Untrusted(text),
        Trust::Unsupported(_) => Error::Unsupported(text),
        Trust::Unavailable(_) => Misuse::Full(text).into(),
    }
}
