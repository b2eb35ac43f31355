//! The tables of what is in memory: tenants that are open, devices that were touched.

use std::collections::HashMap;
use std::net::SocketAddr;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::sync::{Arc, Mutex, RwLock};

use bartizan_pipe::Judge;
use bartizan_platform::brake::Brake;
use bartizan_wire::{DeviceKey, Event, Grade, Source, TenantId};

use super::clockwork::JUDGE_BLOB;
use super::device::{Device, SessionFacts};
use super::error::{Error, Misuse};
use super::holding::needs_time;
use super::tenant::{Counts, Fleet, Rate, Tenant};
use super::{App, Credential};
use crate::limits::DEVICES_LIVE_MAX;
use crate::store::{TenantStore, TimelineWrite};

impl App {
    /// The credential of a PSK identity; `None` if unknown or of a key that was replaced. A blocked or retired device has one whose
    /// `device.access()` is `Blocked`.
    pub async fn credential(&self, identity: &[u8]) -> Result<Option<Credential>, Error> {
        let Some(key) = self.store.operator.device_of(identity).await? else { return Ok(None) };
        let Some(device) = self.load_device(key).await? else { return Ok(None) };
        let found = device.state().key.of_identity(key, identity);
        let Some((number, place, sealed)) = found else { return Ok(None) };
        let psk = self.store.sealer.open(place, &sealed);
        let psk = psk.ok_or_else(|| Error::Unavailable("the stored key of a device is damaged".into()))?;
        Ok(Some(Credential { psk, number, device }))
    }

    /// The device if it is in memory.
    #[must_use]
    pub fn device(&self, key: DeviceKey) -> Option<Arc<Device>> {
        self.devices.read().expect("invariant: nothing panics while it holds the devices").get(&key).cloned()
    }

    /// The device, from storage if need be.
    pub async fn load_device(&self, key: DeviceKey) -> Result<Option<Arc<Device>>, Error> {
        if let Some(device) = self.device(key) {
            return Ok(Some(device));
        }
        let tenant = match self.open_tenant(key.tenant).await {
            Err(Error::Misuse(Misuse::Unknown(_))) => return Ok(None),
            tenant => tenant?,
        };
        self.load_from(&tenant, key).await
    }

    /// As [`App::load_device`], but its absence is the caller's mistake.
    pub(super) async fn require_device(&self, key: DeviceKey) -> Result<Arc<Device>, Error> {
        self.load_device(key).await?.ok_or_else(|| Misuse::Unknown(format!("device {}", key.device.0)).into())
    }

    /// An association of the device stands; it takes the place of an older one.
    pub fn session_opened(&self, device: &Arc<Device>, facts: SessionFacts) {
        self.unauthenticated().limiter.vouch(Source::of(facts.address), facts.since);
        let text = match (facts.version.starts_with("DTLS"), facts.connection_id) {
            (true, true) => format!("Connected from {} with {} with Connection ID.", facts.address, facts.suite),
            (true, false) => format!("Connected from {} with {} without Connection ID.", facts.address, facts.suite),
            (false, _) => format!("Connected from {} by {} with {}.", facts.address, facts.version, facts.suite),
        };
        let before = device.state().session.replace(facts);
        if before.is_none() {
            device.tenant().counts.sessions.fetch_add(1, Relaxed);
        }
        self.note(device, "session", text);
    }

    /// Its peer speaks from another address now.
    pub fn session_moved(&self, device: &Arc<Device>, address: SocketAddr) {
        if let Some(session) = device.state().session.as_mut() {
            session.address = address;
        }
    }

    /// Its last association ended. An association that a newer one replaced is not told.
    pub fn session_closed(&self, device: &Arc<Device>) {
        let closed = device.state().session.take();
        if closed.is_some() {
            device.tenant().counts.sessions.fetch_sub(1, Relaxed);
            self.note(device, "session", "Disconnected.".into());
        }
    }

    /// This association ended, unless another has taken its place already.
    pub fn session_ended(&self, device: &Arc<Device>, facts: &SessionFacts) {
        let current = device.state().session.as_ref() == Some(facts);
        if current {
            self.session_closed(device);
        }
    }

    /// Its stored key cannot be used, so that it cannot connect until it has another one. To be told once: anybody
    /// who knows its identity can ask for the key.
    pub fn key_unusable(&self, device: &Arc<Device>, why: &str) {
        self.note(
            device,
            "session",
            format!("It cannot connect, since its key cannot be used ({why}): replace its key."),
        );
    }

    /// An event of a device that the caller holds.
    pub(super) fn observe_own(&self, device: &Arc<Device>, event: Event) {
        debug_assert_eq!(event.device(), Some(device.key));
        self.observe(event);
    }

    /// A line in the device's history.
    pub(super) fn note(&self, device: &Arc<Device>, kind: &'static str, text: String) {
        let at = self.clock.now();
        let line = TimelineWrite { device: device.key.device, at, kind, text, finding: None, actor: None };
        self.behind.write_line(device.tenant(), line, false);
    }

    pub(super) fn live_count(&self) -> usize {
        self.devices.read().expect("invariant: nothing panics while it holds the devices").len()
    }

    pub(super) fn open_tenants(&self) -> Vec<Arc<Tenant>> {
        self.tenants.read().expect("invariant: nothing panics while it holds the tenants").values().cloned().collect()
    }

    /// The tenant, its file opened on demand.
    pub(super) async fn open_tenant(&self, id: TenantId) -> Result<Arc<Tenant>, Error> {
        let open = |app: &Self| {
            app.tenants.read().expect("invariant: nothing panics while it holds the tenants").get(&id).cloned()
        };
        if let Some(tenant) = open(self) {
            return Ok(tenant);
        }
        let _one = self.opening.lock().await;
        if let Some(tenant) = open(self) {
            return Ok(tenant);
        }
        let row = self.store.operator.tenant(id).await?.ok_or_else(|| Misuse::Unknown("such tenant".into()))?;
        let store = self.store.tenant(id).await?;
        let tenant = Arc::new(self.tenant_from(row.name, store).await?);
        self.wake_restricted(&tenant).await?;
        self.tenants.write().expect("invariant: nothing panics while it holds the tenants").insert(id, tenant.clone());
        Ok(tenant)
    }

    async fn tenant_from(&self, name: String, store: Arc<TenantStore>) -> Result<Tenant, Error> {
        let judge = self.load_judge(&store).await?;
        Ok(Tenant {
            id: store.id,
            name,
            judge: Mutex::new(judge),
            brake: Mutex::new(Brake::new(self.brake.clone())),
            fleet: Mutex::new(Fleet::new(&store.fleet().await?)),
            rate: Rate::default(),
            counts: Counts::default(),
            next_finding: AtomicU64::new(store.next_finding().await?),
            upstream: RwLock::default(),
            references: tokio::sync::Mutex::default(),
            watch: Mutex::default(),
            opening_upstream: tokio::sync::Mutex::default(),
            changing_keys: tokio::sync::Mutex::default(),
            pinned: Mutex::new(HashMap::new()),
            store,
        })
    }

    /// A judge whose saved state cannot be read starts anew: habits are learnt again, holds are kept elsewhere.
    async fn load_judge(&self, store: &TenantStore) -> Result<Judge, Error> {
        let Some(learnt) = store.blob(JUDGE_BLOB).await? else { return Ok(Judge::new(self.judge)) };
        Ok(Judge::load(self.judge, &learnt).unwrap_or_else(|error| {
            tracing::error!(tenant = store.id.0, %error, "what was learnt cannot be read; it is learnt anew");
            Judge::new(self.judge)
        }))
    }

    /// Loads the devices that time still changes, and tells the judge of grades that it does not remember.
    async fn wake_restricted(&self, tenant: &Arc<Tenant>) -> Result<(), Error> {
        let mut ids = tenant.store.restricted().await?;
        ids.extend(tenant.store.commanded().await?);
        ids.sort_unstable();
        ids.dedup();
        for id in ids {
            let key = DeviceKey { tenant: tenant.id, device: id };
            let Some(device) = self.load_from(tenant, key).await? else { continue };
            let grade = device.state().posture.grade;
            if grade != Grade::Normal && tenant.judge().grade(key) != grade {
                self.reinstate(tenant, &device, grade).await?;
            }
        }
        Ok(())
    }

    async fn reinstate(&self, tenant: &Arc<Tenant>, device: &Arc<Device>, grade: Grade) -> Result<(), Error> {
        let last = tenant.store.last_finding(device.key.device).await?;
        if let Some(last) = last {
            tenant.judge().reinstate(device.key, grade, last.finding, self.clock.now());
        }
        Ok(())
    }

    async fn load_from(&self, tenant: &Arc<Tenant>, key: DeviceKey) -> Result<Option<Arc<Device>>, Error> {
        let Some(row) = tenant.store.device(key.device).await? else { return Ok(None) };
        let commands = tenant.store.open_commands(key.device).await?;
        let loaded = Arc::new(Device::new(row, commands, tenant.clone()));
        let mut devices = self.devices.write().expect("invariant: nothing panics while it holds the devices");
        make_room(&mut devices, DEVICES_LIVE_MAX);
        // Another caller may have been faster, and its device may have changed already.
        let device = devices.entry(key).or_insert(loaded).clone();
        drop(devices);
        let pinned = {
            let state = device.state();
            needs_time(&state.posture) || !state.commands.is_empty()
        };
        if pinned {
            self.pin(&device, true);
        }
        Ok(Some(device))
    }
}

/// Drops devices that nobody holds (no session, nothing to write, nothing to expire) when the table is full.
pub(super) fn make_room(devices: &mut HashMap<DeviceKey, Arc<Device>>, max: usize) {
    if devices.len() < max {
        return;
    }
    let mut idle: Vec<_> = devices
        .iter()
        .filter(|(_, device)| Arc::strong_count(device) == 1)
        .map(|(key, device)| (device.last_seen(), *key))
        .collect();
    idle.sort_unstable();
    for (_, key) in idle.into_iter().take(max.div_ceil(16)) {
        devices.remove(&key);
    }
}
