//! Use cases of people about tenants and types, and the words in which all lists are asked for.

use bartizan_wire::{Access, Grade, Lifecycle, TenantId};

use super::App;
use super::error::{Error, Misuse};
use super::views::{Page, TenantView, TypeView};
use super::words::tenant_view;
use crate::limits::{PAGE_ITEMS_DEFAULT, PAGE_ITEMS_MAX, REASON_BYTES_MAX};
use crate::store::TenantRow;
use crate::upstream::UpstreamConfig;

/// The person (or machine credential) who acts; the name goes to audit and history.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Actor(pub String);

/// What may be changed of a tenant.
#[derive(Clone, Debug, Default)]
pub struct TenantChange {
    pub upstream: Option<UpstreamConfig>,
}

/// A device to be added. What is absent is made: identity = name, PSK random, endpoint = name, and the type if
/// there is none of that name.
#[derive(Clone, Debug, Default)]
pub struct NewDevice {
    pub name: String,
    pub device_type: String,
    pub identity: Option<Vec<u8>>,
    pub psk: Option<Vec<u8>>,
    pub endpoint: Option<String>,
}

/// Which devices a list shows; absent filters let everything through.
#[derive(Clone, Debug, Default)]
pub struct DeviceFilter {
    /// Part of the name or identity.
    pub q: Option<String>,
    pub device_type: Option<String>,
    pub grade: Option<Grade>,
    pub access: Option<Access>,
    pub lifecycle: Option<Lifecycle>,
}

/// Where in a list, and how much.
#[derive(Clone, Debug, Default)]
pub struct Paging {
    /// As a page gave it; `Malformed` if it did not.
    pub cursor: Option<String>,
    /// 1 to [`PAGE_ITEMS_MAX`]; 0 means [`PAGE_ITEMS_DEFAULT`].
    pub limit: u32,
}

/// A reply kept for an Idempotency-Key.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct KeptReply {
    pub status: u16,
    pub body: Vec<u8>,
}

impl Paging {
    /// The number to go on from, or `first`.
    pub(super) fn from(&self, first: u64) -> Result<u64, Error> {
        let Some(cursor) = &self.cursor else { return Ok(first) };
        cursor.parse().map_err(|_| Error::Malformed("the cursor is not one that a page gave".into()))
    }

    pub(super) fn items(&self) -> Result<u32, Error> {
        match self.limit {
            0 => Ok(PAGE_ITEMS_DEFAULT),
            limit if limit <= PAGE_ITEMS_MAX => Ok(limit),
            limit => Err(Error::Malformed(format!("a page has at most {PAGE_ITEMS_MAX} items, not {limit}"))),
        }
    }

    /// A page of what was found by asking for one row more than fits.
    pub(super) fn page<R, T, C: ToString>(
        &self,
        mut rows: Vec<R>,
        place: impl Fn(&R) -> C,
        view: impl Fn(&R) -> T,
    ) -> Result<Page<T>, Error> {
        let limit = self.items()? as usize;
        let more = rows.len() > limit;
        rows.truncate(limit);
        let next_cursor = rows.last().filter(|_| more).map(|last| place(last).to_string());
        Ok(Page { items: rows.iter().map(view).collect(), next_cursor })
    }
}

impl App {
    // --- tenants

    pub async fn tenants(&self, paging: &Paging) -> Result<Page<TenantView>, Error> {
        let after = u32::try_from(paging.from(0)?).unwrap_or(u32::MAX);
        let rows = self.store.operator.tenants(after, paging.items()? + 1).await?;
        let mut counted = Vec::with_capacity(rows.len());
        for row in rows {
            let devices = self.store.operator.count_devices(row.id).await?;
            counted.push((row, devices));
        }
        paging.page(counted, |(row, _)| u64::from(row.id.0), |(row, devices)| tenant_view(row, *devices))
    }

    /// The tenant's number; `Misuse::Unknown` if there is none of this name.
    pub async fn tenant_id(&self, name: &str) -> Result<TenantId, Error> {
        let row = self.store.operator.tenant_named(name).await?;
        row.map(|row| row.id).ok_or_else(|| Misuse::Unknown(format!("tenant {name:?}")).into())
    }

    pub async fn tenant(&self, tenant: TenantId) -> Result<TenantView, Error> {
        let row = self.store.operator.tenant(tenant).await?.ok_or_else(|| Misuse::Unknown("such tenant".into()))?;
        self.view_tenant(&row).await
    }

    pub async fn add_tenant(&self, actor: &Actor, name: &str, upstream: UpstreamConfig) -> Result<TenantView, Error> {
        check_tenant_name(name)?;
        let text = upstream.to_string();
        let added = self.store.operator.add_tenant(name, &text, self.clock.now()).await?;
        let row = added.ok_or_else(|| Misuse::Exists(format!("a tenant named {name:?} exists already")))?;
        self.audit(actor, "tenant.add", Some(row.id), name, &text).await?;
        self.view_tenant(&row).await
    }

    /// `if_version`: `Misuse::Stale` unless the tenant still has this version.
    pub async fn change_tenant(
        &self,
        actor: &Actor,
        tenant: TenantId,
        change: TenantChange,
        if_version: Option<u64>,
    ) -> Result<TenantView, Error> {
        let Some(upstream) = change.upstream else { return self.tenant(tenant).await };
        let text = upstream.to_string();
        let changed = self.store.operator.change_tenant(tenant, &text, if_version).await?;
        let row = changed.ok_or(Misuse::Stale)?;
        // What is under way finishes at the old upstream; the next message opens the new one.
        self.close_upstream(&self.open_tenant(tenant).await?).await;
        self.audit(actor, "tenant.change", Some(tenant), &row.name, &text).await?;
        self.view_tenant(&row).await
    }

    async fn view_tenant(&self, row: &TenantRow) -> Result<TenantView, Error> {
        let devices = self.store.operator.count_devices(row.id).await?;
        Ok(tenant_view(row, devices))
    }

    // --- types

    pub async fn types(&self, tenant: TenantId) -> Result<Page<TypeView>, Error> {
        let types = self.open_tenant(tenant).await?.store.types().await?;
        let items = types.into_iter().map(|(name, devices)| TypeView { name, devices }).collect();
        Ok(Page { items, next_cursor: None })
    }

    pub async fn add_type(&self, actor: &Actor, tenant: TenantId, name: &str) -> Result<TypeView, Error> {
        check_name("type's name", name)?;
        let open = self.open_tenant(tenant).await?;
        let known = open.store.types().await?.into_iter().find(|(known, _)| known == name);
        if let Some((name, devices)) = known {
            return Ok(TypeView { name, devices });
        }
        open.store.add_type(name).await?;
        self.audit(actor, "type.add", Some(tenant), name, "").await?;
        Ok(TypeView { name: name.into(), devices: 0 })
    }
}

pub(super) fn check_name(what: &str, name: &str) -> Result<(), Error> {
    bartizan_platform::import::check_name(what, name).map_err(Error::Malformed)
}

pub(super) fn check_reason(reason: &str) -> Result<(), Error> {
    if reason.len() > REASON_BYTES_MAX {
        return Err(Error::Malformed(format!(
            "the reason has {} bytes; at most {REASON_BYTES_MAX} are allowed",
            reason.len()
        )));
    }
    Ok(())
}

/// A tenant's name stands in paths, topics and log lines.
fn check_tenant_name(name: &str) -> Result<(), Error> {
    check_name("tenant's name", name)?;
    let plain = |c: char| c.is_ascii_alphanumeric() || "-_.".contains(c);
    if !name.chars().all(plain) || name.starts_with('.') {
        return Err(Error::Malformed(
            "a tenant's name has only letters, digits, '-', '_' and '.', and does not begin with '.'".into(),
        ));
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pages_end_where_they_should() {
        let paging = Paging { cursor: None, limit: 2 };
        let page = paging.page(vec![5, 6, 7], |n| *n, |n| *n).unwrap();
        assert_eq!((page.items, page.next_cursor), (vec![5, 6], Some("6".into())));
        let page = paging.page(vec![5, 6], |n| *n, |n| *n).unwrap();
        assert_eq!((page.items, page.next_cursor), (vec![5, 6], None));
    }

    #[test]
    fn pages_are_bounded_on_both_sides() {
        let items = |limit| Paging { cursor: None, limit }.items();
        assert_eq!((items(0).unwrap(), items(1).unwrap(), items(200).unwrap()), (50, 1, 200));
        assert!(items(201).is_err());
        assert!(Paging { cursor: Some("x".into()), limit: 0 }.from(0).is_err());
    }

    #[test]
    fn tenants_names_fit_into_paths() {
        assert!(check_tenant_name("water-works_1.north").is_ok());
        for bad in ["", "a b", "a/b", ".hidden", "ä"] {
            assert!(check_tenant_name(bad).is_err(), "{bad}");
        }
    }
}
