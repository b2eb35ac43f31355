//! Use cases of people about devices: add, import, show, isolate, release, retire.

use std::io::Read;
use std::sync::Arc;

use bartizan_platform::import::secret::{check_psk, to_hex};
use bartizan_platform::import::{BadLine, Row, Rows, show_identity};
use bartizan_platform::limits::IDENTITY_BYTES_MAX;
use bartizan_platform::posture::Person;
use bartizan_wire::{Access, DeviceKey, Grade, Lifecycle, TenantId};
use tokio::sync::mpsc;
use zeroize::Zeroizing;

use super::device::Device;
use super::error::{Error, Misuse};
use super::keys::fresh_psk;
use super::registry::{check_name, check_reason};
use super::tenant::Tenant;
use super::views::{DeviceView, NewDeviceView, Page};
use super::words::{device_view, row_view};
use super::{Actor, App, DeviceFilter, NewDevice, Paging};
use crate::limits::IMPORT_CHUNK_ROWS;
use crate::store::{Addition, DeviceQuery, DeviceRow, NewRow, TimelineWrite};

impl App {
    pub async fn devices(
        &self,
        tenant: TenantId,
        filter: &DeviceFilter,
        paging: &Paging,
    ) -> Result<Page<DeviceView>, Error> {
        let query = DeviceQuery {
            after: paging.from(0)?,
            limit: paging.items()? + 1,
            text: filter.q.clone().filter(|text| !text.is_empty()),
            device_type: filter.device_type.clone(),
            grade: filter.grade,
            access: filter.access,
            lifecycle: filter.lifecycle,
        };
        let rows = self.open_tenant(tenant).await?.store.devices(&query).await?;
        paging.page(rows, |row| row.id.0, |row| self.list_view(tenant, row))
    }

    /// The device of this name, or of this number when no device has the name.
    pub async fn device_key(&self, tenant: TenantId, name: &str) -> Result<DeviceKey, Error> {
        let store = self.open_tenant(tenant).await?.store.clone();
        if let Some(device) = store.device_named(name).await? {
            return Ok(DeviceKey { tenant, device });
        }
        let unknown = || Error::from(Misuse::Unknown(format!("device {name:?}")));
        let number: u64 = name.parse().map_err(|_| unknown())?;
        let key = DeviceKey::new(tenant.0, number);
        self.load_device(key).await?.map(|device| device.key).ok_or_else(unknown)
    }

    pub async fn show_device(&self, device: DeviceKey) -> Result<DeviceView, Error> {
        Ok(self.view(&*self.require_device(device).await?))
    }

    pub async fn add_device(&self, actor: &Actor, tenant: TenantId, device: NewDevice) -> Result<NewDeviceView, Error> {
        let row = new_row(device)?;
        let tenant = self.open_tenant(tenant).await?;
        let (name, psk) = (row.name.clone(), to_hex(&row.psk));
        let mut addition =
            Addition::begin(&self.store.operator, &tenant.store, &self.store.sealer, self.clock.now()).await?;
        addition.add(vec![row]).await?;
        let (id, added) = addition.commit().await.map_err(|error| first_line(error.into()))?;
        tenant.fleet().add((Lifecycle::Pending, Grade::Normal, Access::Full), added);
        let device = self.require_device(DeviceKey { tenant: tenant.id, device: id }).await?;
        self.note_by(&device, actor, "lifecycle", "Added; it has not connected yet.".into());
        let identity = show_identity(&device.state().key.identity);
        self.audit(actor, "device.add", Some(tenant.id), &name, &identity).await?;
        Ok(NewDeviceView { device: self.view(&device), psk })
    }

    /// All devices of a CSV file or none; durable when it returns. Answers how many.
    pub async fn import_devices<R>(&self, actor: &Actor, tenant: TenantId, csv: R) -> Result<u64, Error>
    where
        R: Read + Send + 'static,
    {
        let tenant = self.open_tenant(tenant).await?;
        let (chunks, parsed) = mpsc::channel(4);
        let parser = tokio::task::spawn_blocking(move || parse(csv, &chunks));
        let added = self.take_chunks(&tenant, parsed).await;
        parser.await.map_err(|_| Error::Unavailable("the import's reader failed".into()))?;
        let added = added?;
        tenant.fleet().add((Lifecycle::Pending, Grade::Normal, Access::Full), added);
        self.audit(actor, "device.import", Some(tenant.id), &tenant.name, &format!("{added} devices")).await?;
        Ok(added)
    }

    /// Places a person's hold: quarantined, or blocked. Durable when it returns.
    pub async fn isolate(
        &self,
        actor: &Actor,
        device: DeviceKey,
        reason: &str,
        block: bool,
    ) -> Result<DeviceView, Error> {
        check_reason(reason)?;
        let device = self.require_device(device).await?;
        let access = if block { Access::Blocked } else { Access::Quarantined };
        self.decide(&device, actor, Person::Isolate { access, reason: reason.into() }).await?;
        self.audit(actor, "device.isolate", Some(device.key.tenant), &device.name, &format!("{access}: {reason}"))
            .await?;
        Ok(self.view(&device))
    }

    /// Ends the person's and the detection holds, and forgives the grade. Durable when it returns.
    pub async fn release(&self, actor: &Actor, device: DeviceKey, reason: &str) -> Result<DeviceView, Error> {
        check_reason(reason)?;
        let device = self.require_device(device).await?;
        let now = self.clock.now();
        // The judge first: its old evidence must not isolate the device again behind the person's back. What it
        // says about the pardon is what the person's decision does anyway.
        device.tenant().judge().pardon(device.key, now, &mut |_| {});
        self.decide(&device, actor, Person::Release).await?;
        self.note_by(&device, actor, "release", format!("Released by {}: {reason}", actor.0));
        self.audit(actor, "device.release", Some(device.key.tenant), &device.name, reason).await?;
        self.durable().await?;
        Ok(self.view(&device))
    }

    /// Takes the device out of service for good.
    pub async fn retire(&self, actor: &Actor, device: DeviceKey, reason: &str) -> Result<DeviceView, Error> {
        check_reason(reason)?;
        let device = self.require_device(device).await?;
        self.decide(&device, actor, Person::Retire).await?;
        device.tenant().judge().forget(device.key);
        self.audit(actor, "device.retire", Some(device.key.tenant), &device.name, reason).await?;
        Ok(self.view(&device))
    }

    pub(super) fn view(&self, device: &Device) -> DeviceView {
        device_view(device, &self.policy, self.clock.now(), true)
    }

    /// What is in memory is newer than what is stored.
    fn list_view(&self, tenant: TenantId, row: &DeviceRow) -> DeviceView {
        match self.device(DeviceKey { tenant, device: row.id }) {
            Some(device) => device_view(&device, &self.policy, self.clock.now(), false),
            None => row_view(row, &self.policy, self.clock.now()),
        }
    }

    pub(super) fn note_by(&self, device: &Arc<Device>, actor: &Actor, kind: &'static str, text: String) {
        let at = self.clock.now();
        let line =
            TimelineWrite { device: device.key.device, at, kind, text, finding: None, actor: Some(actor.0.clone()) };
        self.behind.write_line(device.tenant(), line, true);
    }

    async fn take_chunks(&self, tenant: &Arc<Tenant>, mut parsed: mpsc::Receiver<Chunk>) -> Result<u64, Error> {
        let mut addition =
            Addition::begin(&self.store.operator, &tenant.store, &self.store.sealer, self.clock.now()).await?;
        while let Some(chunk) = parsed.recv().await {
            chunk.bad.into_iter().for_each(|bad| addition.reject(bad.line, bad.error));
            addition.add(chunk.rows).await?;
        }
        Ok(addition.commit().await?.1)
    }
}

/// Some lines of an import.
#[derive(Default)]
struct Chunk {
    rows: Vec<NewRow>,
    bad: Vec<BadLine>,
}

/// Runs on a thread of its own, since reading and checking a million lines takes a while.
fn parse(csv: impl Read, chunks: &mpsc::Sender<Chunk>) {
    let mut chunk = Chunk::default();
    match Rows::open(csv) {
        Err(bad) => chunk.bad.push(bad),
        Ok(rows) => {
            for row in rows {
                match row {
                    Ok(row) => chunk.rows.push(imported(row)),
                    Err(bad) => chunk.bad.push(bad),
                }
                if chunk.rows.len() + chunk.bad.len() >= IMPORT_CHUNK_ROWS {
                    // The other side has given up if nobody takes it.
                    if chunks.blocking_send(std::mem::take(&mut chunk)).is_err() {
                        return;
                    }
                }
            }
        }
    }
    _ = chunks.blocking_send(chunk);
}

fn imported(row: Row) -> NewRow {
    let endpoint = row.endpoint.unwrap_or_else(|| row.name.clone());
    NewRow {
        line: row.line,
        name: row.name,
        device_type: row.device_type,
        identity: row.identity,
        psk: row.psk,
        endpoint,
        attestation_identity: row.attestation_identity,
    }
}

fn new_row(device: NewDevice) -> Result<NewRow, Error> {
    check_name("device's name", &device.name)?;
    check_name("type's name", &device.device_type)?;
    let endpoint = device.endpoint.unwrap_or_else(|| device.name.clone());
    check_name("endpoint's name", &endpoint)?;
    let identity = device.identity.unwrap_or_else(|| device.name.clone().into_bytes());
    if identity.is_empty() || identity.len() > IDENTITY_BYTES_MAX {
        return Err(Error::Malformed(format!("an identity has 1 to {IDENTITY_BYTES_MAX} bytes")));
    }
    let psk = device.psk.map_or_else(fresh_psk, Zeroizing::new);
    check_psk(&psk).map_err(Error::Malformed)?;
    let (name, device_type) = (device.name, device.device_type);
    Ok(NewRow { line: 1, name, device_type, identity, psk, endpoint, attestation_identity: None })
}

/// An addition of one device has one line to complain about.
fn first_line(error: Error) -> Error {
    match error {
        Error::Import(bad) => {
            Misuse::Exists(bad.lines.into_iter().next().map_or_else(String::new, |bad| bad.error)).into()
        }
        error => error,
    }
}
