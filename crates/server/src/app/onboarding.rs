//! Zero-touch onboarding: who may join as what, who waits for a person, and who joins twice.
//!
//! ```text
//!  stranger at the door ─▶ order entry or voucher? ─▶ device, certificate
//!                            └─ none, but its make is known ─▶ queue ─▶ a person
//!  one that has joined ─▶ the same history? ─▶ another certificate
//!                            └─ no ─▶ both are limited, and a person is called
//! ```
//!
//! A manufacturer proves make, never property. An order entry counts once.

mod join;

use std::io::Read;

use bartizan_crypto::AWS_LC;
use bartizan_platform::import::orders::{Order, Ordered, Orders};
use bartizan_trust::voucher::{self, Voucher};
use bartizan_trust::{Identity, limits as trust_limits};
use bartizan_wire::{DeviceKey, TenantId};
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, SubjectPublicKeyInfoDer};
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use super::door::{key_identity, made_identity, read_anchor};
use super::error::{BadLine, BadLines, Error, Misuse};
use super::registry::check_name;
use super::tenant::Tenant;
use super::views::{Page, rfc3339};
use super::{Actor, App, Paging};
use crate::limits::{MANUFACTURER_PEM_BYTES_MAX, MANUFACTURERS_MAX, ONBOARDING_ORDERS_PER_PIECE};
use crate::store::{HistoryRow, ManufacturerRow, OrderRow, QueueRow, VoucherRow};
use bartizan_platform::import::secret::{from_hex, to_hex};
use bartizan_platform::limits::IMPORT_BAD_LINES_MAX;

pub use join::Joining;

/// A manufacturer's key, or its certificate.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct NewManufacturer {
    /// What order entries, the queue and logs call it.
    #[schema(example = "Acme Meters")]
    pub name: String,
    /// Its certificate or its public key, in PEM, on P-256, P-384 or Ed25519.
    pub pem: String,
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct ManufacturerView {
    pub name: String,
    /// SHA-256 thumbprint (RFC 9679) of the key, in hex.
    pub thumbprint: String,
    pub added: String,
    pub added_by: String,
}

/// A manufacturer's word that a device is ours.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct NewVoucher {
    /// The type of the device that is made.
    #[serde(rename = "type")]
    pub device_type: String,
    /// Its name; absent: the serial number.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub name: Option<String>,
    /// The voucher: a JSON Web Signature as it is, or a COSE_Sign1 in hex after `hex:`.
    pub voucher: String,
}

/// An order entry.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct OrderView {
    pub name: String,
    #[serde(rename = "type")]
    pub device_type: String,
    /// The identity as people read it: a thumbprint, or manufacturer and serial number.
    pub identity: String,
    /// Whether it came with a voucher.
    pub voucher: bool,
    /// When that ends.
    pub expires: Option<String>,
    /// When the device joined.
    pub used: Option<String>,
}

/// A line of the queue.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct QueuedView {
    /// Names the line.
    pub identity: String,
    /// The identity as people read it.
    pub shown: String,
    /// Who vouches for its make; empty if nobody does.
    pub manufacturer: String,
    /// The device that has this identity already.
    pub device: Option<String>,
    /// Why a person has to look.
    pub why: String,
    pub first: String,
    pub last: String,
    /// How often it asked.
    pub knocks: u64,
    pub refused: bool,
}

/// What a person decides about a line of the queue.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct Approval {
    /// The name of the device; it is not asked for where there is a device already.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub name: Option<String>,
    #[serde(default, rename = "type", skip_serializing_if = "Option::is_none")]
    pub device_type: Option<String>,
}

impl App {
    // --- order entries

    /// All entries of a spreadsheet or none. Answers how many.
    pub async fn import_orders<R>(&self, actor: &Actor, tenant: TenantId, csv: R) -> Result<u64, Error>
    where
        R: Read + Send + 'static,
    {
        let open = self.open_tenant(tenant).await?;
        let parsed = tokio::task::spawn_blocking(move || parse(csv)).await;
        let orders = parsed.map_err(|_| Error::Unavailable("the import's reader failed".into()))??;
        let makers = self.store.operator.manufacturers(Some(tenant)).await?;
        let mut bad = BadLines::default();
        let mut rows = Vec::with_capacity(orders.len());
        for order in orders {
            match ordered(&order, &makers) {
                Ok(row) => rows.push((order.line, row)),
                Err(error) => note_bad(&mut bad, order.line, error),
            }
        }
        self.check_orders(&open, &rows, &mut bad).await?;
        if bad.total > 0 {
            return Err(Error::Import(bad));
        }
        let added = self.store.operator.add_orders(tenant, &rows, self.clock.now()).await?;
        self.audit(actor, "onboarding.orders", Some(tenant), &open.name, &format!("{added} order entries")).await?;
        Ok(added)
    }

    /// Devices that are there already have no order entry: neither of the name, nor with the secret.
    async fn check_orders(&self, tenant: &Tenant, rows: &[(u64, OrderRow)], bad: &mut BadLines) -> Result<(), Error> {
        for piece in rows.chunks(ONBOARDING_ORDERS_PER_PIECE) {
            let asked: Vec<_> = piece
                .iter()
                .map(|(line, row)| (*line, row.name.as_str(), row.attester.then_some(&row.identity)))
                .collect();
            for (line, error) in tenant.store.taken(&asked).await? {
                note_bad(bad, line, error);
            }
        }
        bad.lines.sort_by_key(|bad| bad.line);
        Ok(())
    }

    pub async fn orders(&self, tenant: TenantId, paging: &Paging) -> Result<Page<OrderView>, Error> {
        self.open_tenant(tenant).await?;
        let after = paging.cursor.as_deref().unwrap_or_default();
        let rows = self.store.operator.orders(tenant, after, paging.items()? + 1).await?;
        paging.page(rows, |row| row.name.clone(), order_view)
    }

    /// Takes back an entry that has not been used.
    pub async fn remove_order(&self, actor: &Actor, tenant: TenantId, name: &str) -> Result<(), Error> {
        if !self.store.operator.remove_order(tenant, name).await? {
            return Err(Misuse::Unknown(format!("unused order entry {name:?}")).into());
        }
        self.audit(actor, "onboarding.order_remove", Some(tenant), name, "").await
    }

    /// Takes a manufacturer's voucher: an order entry, single use, whose word is given to the device.
    pub async fn add_voucher(&self, actor: &Actor, tenant: TenantId, new: &NewVoucher) -> Result<OrderView, Error> {
        let open = self.open_tenant(tenant).await?;
        check_name("type's name", &new.device_type)?;
        let makers = self.store.operator.manufacturers(Some(tenant)).await?;
        let row = self.vouched(new, &makers)?;
        check_name("device's name", &row.name)?;
        let rows = [(1, row)];
        let mut bad = BadLines::default();
        self.check_orders(&open, &rows, &mut bad).await?;
        if let Some(bad) = bad.lines.pop() {
            return Err(Misuse::Exists(bad.error).into());
        }
        let [(_, row)] = &rows;
        let added = self.store.operator.add_orders(tenant, &rows, self.clock.now()).await;
        added.map_err(|error| match Error::from(error) {
            Error::Import(bad) => {
                let first = bad.lines.into_iter().next();
                Misuse::Exists(first.map_or_else(String::new, |bad| bad.error)).into()
            }
            other => other,
        })?;
        self.audit(actor, "onboarding.voucher", Some(tenant), &row.name, &row.shown).await?;
        Ok(order_view(row))
    }

    fn vouched(&self, new: &NewVoucher, makers: &[ManufacturerRow]) -> Result<OrderRow, Error> {
        let compact = new.voucher.strip_prefix("hex:").map(|hex| from_hex(hex.trim().as_bytes()));
        let (bytes, compact) = match compact {
            Some(Some(bytes)) => (bytes.to_vec(), true),
            Some(None) => return Err(Error::Malformed("the voucher is not hex after \"hex:\"".into())),
            None => (new.voucher.trim().as_bytes().to_vec(), false),
        };
        let mut refused = bartizan_trust::Error::Untrusted("no manufacturer of this tenant signed it");
        for maker in makers {
            let Some(anchor) = read_anchor(&maker.anchor) else { continue };
            let row = |voucher: &Voucher<'_>| self.order_of(new, maker, voucher, &bytes, compact);
            let read = if compact {
                let mut room = vec![0; trust_limits::VOUCHER_BYTES_MAX];
                Voucher::open(&AWS_LC, &bytes, &anchor.key, &mut room).map(|voucher| row(&voucher))
            } else {
                voucher::json::open(&AWS_LC, &bytes, &anchor.key).map(|owned| row(&owned.voucher()))
            };
            match read {
                Ok(row) => return row,
                Err(bartizan_trust::Error::Untrusted(_)) => {}
                Err(error) => refused = error,
            }
        }
        Err(Error::Untrusted(format!("the voucher: {refused}")))
    }

    fn order_of(
        &self,
        new: &NewVoucher,
        maker: &ManufacturerRow,
        voucher: &Voucher<'_>,
        bytes: &[u8],
        compact: bool,
    ) -> Result<OrderRow, Error> {
        voucher.check_time(self.clock.now()).map_err(|error| Error::Untrusted(format!("the voucher: {error}")))?;
        let who = match Identity::from_hex(voucher.serial_number) {
            Some(key) => Ordered::Key(key),
            None => Ordered::Made { manufacturer: maker.name.clone(), serial_number: voucher.serial_number.to_owned() },
        };
        let name = new.name.clone().unwrap_or_else(|| voucher.serial_number.to_owned());
        let order = Order { line: 1, name, device_type: new.device_type.clone(), who };
        let row = ordered(&order, std::slice::from_ref(maker)).map_err(Error::Malformed)?;
        let voucher = VoucherRow { bytes: bytes.to_vec(), compact, expires: voucher.expires };
        Ok(OrderRow { voucher: Some(voucher), ..row })
    }

    // --- manufacturers

    pub async fn manufacturers(&self, tenant: TenantId) -> Result<Vec<ManufacturerView>, Error> {
        let rows = self.store.operator.manufacturers(Some(tenant)).await?;
        Ok(rows.iter().map(manufacturer_view).collect())
    }

    /// Lets a manufacturer vouch for its make.
    pub async fn add_manufacturer(&self, actor: &Actor, tenant: TenantId, new: &NewManufacturer) -> Result<(), Error> {
        check_name("manufacturer's name", &new.name)?;
        self.open_tenant(tenant).await?;
        let anchor = anchor_of(&new.pem)?;
        let key = read_anchor(&anchor).ok_or_else(no_anchor)?.key.thumbprint(&AWS_LC);
        let row = ManufacturerRow {
            tenant,
            name: new.name.clone(),
            anchor,
            key: key.0,
            added: self.clock.now(),
            added_by: actor.0.clone(),
        };
        if !self.store.operator.add_manufacturer(&row).await? {
            return Err(Misuse::Full(format!("there are at most {MANUFACTURERS_MAX} manufacturers")).into());
        }
        self.door.reload(&self.store.operator).await?;
        self.audit(actor, "manufacturer.add", Some(tenant), &new.name, &key.to_string()).await
    }

    /// Ends that. Devices that have joined stay.
    pub async fn remove_manufacturer(&self, actor: &Actor, tenant: TenantId, name: &str) -> Result<(), Error> {
        if !self.store.operator.remove_manufacturer(tenant, name).await? {
            return Err(Misuse::Unknown(format!("manufacturer {name:?}")).into());
        }
        self.door.reload(&self.store.operator).await?;
        self.audit(actor, "manufacturer.remove", Some(tenant), name, "").await
    }

    // --- the queue

    pub async fn onboarding_queue(&self, tenant: TenantId) -> Result<Vec<QueuedView>, Error> {
        let open = self.open_tenant(tenant).await?;
        let rows = self.store.operator.queue(tenant).await?;
        let mut views = Vec::with_capacity(rows.len());
        for row in rows {
            let device = match row.device {
                Some(id) => open.store.device(id).await?.map(|device| device.name),
                None => None,
            };
            views.push(queued_view(&row, device));
        }
        Ok(views)
    }

    /// Lets a stranger in at its next knock, or the present history of a device be the one.
    pub async fn approve(
        &self,
        actor: &Actor,
        tenant: TenantId,
        identity: &str,
        approval: &Approval,
    ) -> Result<(), Error> {
        let (identity, row) = self.queued(tenant, identity).await?;
        let now = self.clock.now();
        if let Some(device) = row.device {
            self.store.operator.keep_history(&identity, &HistoryRow::default(), now).await?;
            let device = self.require_device(DeviceKey { tenant, device }).await?;
            device.tenant().store.forget_starts(device.key.device).await?;
            let text = "A person let it join anew; what was known of its history is forgotten.";
            self.note_by(&device, actor, "key", text.into());
        } else {
            let (Some(name), Some(device_type)) = (&approval.name, &approval.device_type) else {
                return Err(Error::Malformed("say which name and type the device gets".into()));
            };
            check_name("device's name", name)?;
            check_name("type's name", device_type)?;
            let (name, device_type, shown) = (name.clone(), device_type.clone(), row.shown.clone());
            let order =
                OrderRow { identity, name, device_type, shown, attester: row.attester, voucher: None, used: None };
            let rows = [(1, order)];
            let open = self.open_tenant(tenant).await?;
            let mut bad = BadLines::default();
            self.check_orders(&open, &rows, &mut bad).await?;
            if let Some(bad) = bad.lines.pop() {
                return Err(Misuse::Exists(bad.error).into());
            }
            self.store.operator.add_orders(tenant, &rows, now).await.map_err(|error| match Error::from(error) {
                Error::Import(_) => Misuse::Exists("there is an order entry for this already".into()).into(),
                other => other,
            })?;
        }
        self.store.operator.leave_queue(&identity).await?;
        let detail = approval.name.clone().unwrap_or_default();
        self.audit(actor, "onboarding.approve", Some(tenant), &row.shown, &detail).await
    }

    /// Sends it away. The line stays until it knocks no more, so that it is not asked about again.
    pub async fn refuse(&self, actor: &Actor, tenant: TenantId, identity: &str) -> Result<(), Error> {
        let (identity, row) = self.queued(tenant, identity).await?;
        self.store.operator.refuse_queued(tenant, &identity).await?;
        self.audit(actor, "onboarding.refuse", Some(tenant), &row.shown, &row.manufacturer).await
    }

    async fn queued(&self, tenant: TenantId, identity: &str) -> Result<([u8; 32], QueueRow), Error> {
        let unknown = || Error::from(Misuse::Unknown("such line in the queue".into()));
        let identity = Identity::from_hex(identity).ok_or_else(unknown)?.0;
        let row = self.store.operator.queued(tenant, &identity).await?.ok_or_else(unknown)?;
        Ok((identity, row))
    }
}

fn parse(csv: impl Read) -> Result<Vec<Order>, Error> {
    let mut bad = BadLines::default();
    let mut orders = Vec::new();
    match Orders::open(csv) {
        Err(line) => note_bad(&mut bad, line.line, line.error),
        Ok(rows) => {
            for row in rows {
                match row {
                    Ok(order) => orders.push(order),
                    Err(line) => note_bad(&mut bad, line.line, line.error),
                }
            }
        }
    }
    if bad.total > 0 { Err(Error::Import(bad)) } else { Ok(orders) }
}

fn note_bad(bad: &mut BadLines, line: u64, error: String) {
    bad.total += 1;
    if bad.lines.len() < IMPORT_BAD_LINES_MAX {
        bad.lines.push(BadLine { line, error });
    }
}

fn ordered(order: &Order, makers: &[ManufacturerRow]) -> Result<OrderRow, String> {
    let (identity, shown, attester) = match &order.who {
        Ordered::Key(key) => (key_identity(key), key.to_string(), true),
        Ordered::Made { manufacturer, serial_number } => {
            let maker = makers.iter().find(|maker| maker.name == *manufacturer);
            let maker = maker.ok_or_else(|| format!("there is no manufacturer {manufacturer:?}"))?;
            let identity = made_identity(&Identity(maker.key), serial_number);
            (identity, format!("{manufacturer} {serial_number}"), false)
        }
    };
    let (name, device_type) = (order.name.clone(), order.device_type.clone());
    Ok(OrderRow { identity, name, device_type, shown, attester, voucher: None, used: None })
}

fn no_anchor() -> Error {
    Error::Malformed(
        "a manufacturer's PEM file holds its certificate, which may certify others, or its public key".into(),
    )
}

fn anchor_of(pem: &str) -> Result<Vec<u8>, Error> {
    if pem.len() > MANUFACTURER_PEM_BYTES_MAX {
        return Err(no_anchor());
    }
    if let Ok(der) = CertificateDer::from_pem_slice(pem.as_bytes()) {
        return Ok(der.to_vec());
    }
    SubjectPublicKeyInfoDer::from_pem_slice(pem.as_bytes()).map(|der| der.to_vec()).map_err(|_| no_anchor())
}

fn order_view(row: &OrderRow) -> OrderView {
    OrderView {
        name: row.name.clone(),
        device_type: row.device_type.clone(),
        identity: row.shown.clone(),
        voucher: row.voucher.is_some(),
        expires: row.voucher.as_ref().and_then(|voucher| voucher.expires).map(rfc3339),
        used: row.used.map(rfc3339),
    }
}

fn manufacturer_view(row: &ManufacturerRow) -> ManufacturerView {
    ManufacturerView {
        name: row.name.clone(),
        thumbprint: to_hex(&row.key),
        added: rfc3339(row.added),
        added_by: row.added_by.clone(),
    }
}

fn queued_view(row: &QueueRow, device: Option<String>) -> QueuedView {
    QueuedView {
        identity: to_hex(&row.identity),
        shown: row.shown.clone(),
        manufacturer: row.manufacturer.clone(),
        device,
        why: row.why.clone(),
        first: rfc3339(row.first),
        last: rfc3339(row.last),
        knocks: row.knocks,
        refused: row.refused,
    }
}
