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

use std::io::Read;
use std::sync::Arc;

use bartizan_crypto::AWS_LC;
use bartizan_platform::import::orders::{Order, Ordered, Orders};
use bartizan_platform::posture::Machine;
use bartizan_trust::voucher::{self, Voucher};
use bartizan_trust::{Identity, limits as trust_limits};
use bartizan_wire::finding::Basis;
use bartizan_wire::{
    Access, DeviceId, DeviceKey, Engine, Expected, Feature, Finding, Grade, Lifecycle, Severity, Technique, TenantId,
    Unit, UnixMillis,
};
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, SubjectPublicKeyInfoDer};
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use super::device::Device;
use super::door::{Applicant, History, key_identity, made_identity, read_anchor};
use super::error::{BadLine, BadLines, Error, Misuse};
use super::registry::check_name;
use super::tenant::Tenant;
use super::views::{Page, rfc3339};
use super::{Actor, App, Paging};
use crate::limits::{MANUFACTURER_PEM_BYTES_MAX, MANUFACTURERS_MAX, ONBOARDING_ORDERS_PER_PIECE};
use crate::store::{Addition, HistoryRow, ManufacturerRow, NewRow, OrderRow, QueueRow, VoucherRow, fill_random};
use bartizan_platform::import::secret::{from_hex, to_hex};
use bartizan_platform::limits::IMPORT_BAD_LINES_MAX;

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

    // --- at the door

    /// What becomes of a stranger that asks for a certificate over the key whose hash is `leaf`.
    pub(super) async fn join(&self, applicant: &Applicant, leaf: &[u8; 32]) -> Result<Joining, Error> {
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
    pub(super) async fn joined(&self, applicant: &Applicant, leaf: [u8; 32]) -> Result<(), Error> {
        let History { boot_count, boot_seed } =
            applicant.history.clone().unwrap_or(History { boot_count: None, boot_seed: Vec::new() });
        let boot_seed = Some(boot_seed).filter(|seed| !seed.is_empty());
        let row = HistoryRow { leaf: Some(leaf), boot_count, boot_seed };
        Ok(self.store.operator.keep_history(&applicant.identity, &row, self.clock.now()).await?)
    }

    /// Where a stranger belongs, if anybody says so: by its order entry, or because only one tenant knows its make.
    pub(super) async fn tenant_of(&self, applicant: &Applicant) -> Result<Option<TenantId>, Error> {
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
