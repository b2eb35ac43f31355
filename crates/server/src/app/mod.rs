//! The use cases: everything that the gateway, the API and the command line can ask for.

//!
//! ```text
//!  path::submit ─▶ access? ─▶ App::observe ─▶ judge ─▶ grade ─▶ brake ─▶ hold ─▶ Device::access
//!       │                                                                 │
//!       └─▶ upstream                        people: isolate, release ─────┘─▶ behind ─▶ store
//! ```
//!
//! Start with [`App`], [`Device`] and [`path::submit`].

mod admission;
pub mod attestation;
pub mod authorities;
mod behind;
pub mod bus;
pub mod certificates;
pub mod changes;
mod clockwork;
pub mod commands;
pub mod device;
mod devices;
pub mod door;
pub mod enrolment;
pub mod error;
mod gateway_key;
mod heartbeats;
mod holding;
pub mod joining;
mod judging;
pub mod keys;
mod live;
pub mod manifests;
pub mod onboarding;
mod operators;
mod overdue;
pub mod path;
mod proven;
pub mod references;
pub mod registry;
mod reports;
pub mod results;
mod retractions;
mod revocation;
mod tenant;
pub mod trials;
pub mod trusted_keys;
mod upstreams;
pub mod views;
mod words;

#[cfg(test)]
mod tests;

use std::collections::HashMap;
use std::path::PathBuf;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering::Relaxed};
use std::sync::{Arc, Mutex, RwLock, Weak};

use bartizan_crypto::{AWS_LC, Provider, Secret};
use bartizan_pipe::{JudgeConfig, SourceLimiter};
use bartizan_platform::{brake, posture::Policy};
use bartizan_wire::{Access, DeviceKey, TenantId};
use tokio::sync::{broadcast, mpsc};
use zeroize::Zeroizing;

pub use attestation::Refusal;
pub use authorities::CertificateOptions;
pub use bus::{Update, UpdateKind};
pub use certificates::{Admission, CertificateError, Distrust, Enrolled};
pub use commands::{CommandGate, GateVerdict, Issuer, NewCommand, OpenGate, PendingCommand};
pub use device::{Device, SessionFacts};
pub use error::{BadLine, BadLines, Error, Misuse};
pub use heartbeats::EpochId;
pub use keys::{KeyRefusal, NewKey};
pub use registry::{Actor, DeviceFilter, KeptReply, NewDevice, Paging, TenantChange};

use behind::Behind;
use door::Door;
use judging::Sources;
use proven::Proven;
use tenant::Tenant;

use crate::clock::Clock;
use crate::limits::BUS_UPDATES_MAX;
use crate::store::{MasterKey, Store, fill_random};

/// The server's use cases over one data directory. Shared as `Arc<App>`.
pub struct App {
    clock: Clock,
    policy: Policy,
    brake: brake::Config,
    judge: JudgeConfig,
    limited_messages_per_minute: u32,
    gate: Arc<dyn CommandGate>,
    store: Store,
    devices: RwLock<HashMap<DeviceKey, Arc<Device>>>,
    tenants: RwLock<HashMap<TenantId, Arc<Tenant>>>,
    /// Held while a tenant is opened, so that none is opened twice.
    opening: tokio::sync::Mutex<()>,
    sources: Mutex<Sources>,
    behind: Arc<Behind>,
    authorities: authorities::Authorities,
    bus: broadcast::Sender<Update>,
    subscribers: Mutex<Vec<mpsc::UnboundedSender<AccessChange>>>,
    /// To the gateway that carries messages down to devices.
    downlink: Mutex<Option<mpsc::Sender<ToDevice>>>,
    /// Authenticates challenges. Drawn at start: a device that holds an older challenge fetches another.
    challenge_key: Secret<32>,
    door: Arc<Door>,
    result_key: results::ResultKey,
    /// Authenticates epoch ids.
    epoch_key: Secret<32>,
    /// Verifies evidence.
    verifier: &'static Provider,
    proven: Mutex<Proven>,
    counts: Counts,
    stopping: AtomicBool,
    me: Weak<App>,
}

/// Counters since start that belong to no tenant.
#[derive(Debug, Default)]
struct Counts {
    upstream_failed: AtomicU64,
    commands_offered: AtomicU64,
    commands_shed: AtomicU64,
    ports_exhausted: AtomicU64,
    sources_dropped: AtomicU64,
    evidence_overdue: AtomicU64,
    heartbeats: AtomicU64,
}

/// What an [`App`] is made with.
#[derive(Clone, Debug)]
pub struct AppOptions {
    /// Holds `operator.db` and `tenants/`; made if absent.
    pub data_dir: PathBuf,
    pub key: MasterKey,
    pub clock: Clock,
    pub policy: Policy,
    pub brake: brake::Config,
    pub judge: JudgeConfig,
    pub gate: Arc<dyn CommandGate>,
    /// Messages per minute that a limited device may send.
    pub limited_messages_per_minute: u32,
    pub certificates: CertificateOptions,
    /// Verifies evidence.
    pub verifier: &'static Provider,
}

impl AppOptions {
    /// The shipped defaults.
    #[must_use]
    pub fn new(data_dir: impl Into<PathBuf>, key: MasterKey, clock: Clock) -> Self {
        Self {
            data_dir: data_dir.into(),
            key,
            clock,
            policy: Policy::default(),
            brake: brake::Config::default(),
            judge: JudgeConfig::default(),
            gate: Arc::new(OpenGate),
            limited_messages_per_minute: 6,
            certificates: CertificateOptions::default(),
            verifier: &AWS_LC,
        }
    }
}

/// A device's key, found by its PSK identity.
pub struct Credential {
    pub psk: Zeroizing<Vec<u8>>,
    /// Which of the device's keys it is.
    pub number: u32,
    pub device: Arc<Device>,
}

/// A device's access changed: the gateway closes its sessions (blocked) or cancels its observations (quarantined).
#[derive(Clone, Debug)]
pub struct AccessChange {
    pub device: Arc<Device>,
    pub access: Access,
    /// Its association must end even if the access would allow it (its key was replaced).
    pub close: bool,
}

/// Something for a device, as [`App::to_devices`] gives it to the gateway.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum ToDevice {
    /// A notification of its upstream.
    Notification(path::Downlink),
    /// A command was queued: if the device is awake, it need not wait for its next record. Only a hint;
    /// [`App::next_commands`] says what is due.
    CommandQueued(DeviceKey),
}

/// Whether a datagram of an unknown source gets work.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum SourceVerdict {
    Allow,
    Drop,
}

/// Counters since start, for metrics.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Counters {
    pub messages: u64,
    pub refused: u64,
    pub findings: u64,
    pub upstream_failed: u64,
    pub commands_offered: u64,
    pub commands_shed: u64,
    pub ports_exhausted: u64,
    pub sources_dropped: u64,
    /// Deadlines of evidence that the watchdog found passed, and graces.
    pub evidence_overdue: u64,
    /// Heartbeats that prolonged a verdict.
    pub heartbeats: u64,
    pub devices_live: u64,
    pub sessions: u64,
    /// Changes not yet written by the writer behind.
    pub writes_pending: u64,
    /// Lines of history shed because the writer could not follow.
    pub writes_shed: u64,
}

impl App {
    /// Opens the data directory, applies migrations and resolves what a crash left half done.
    ///
    /// # Errors
    /// `Unavailable` with one clear sentence: wrong key, newer database, unreadable directory.
    pub async fn open(options: AppOptions) -> Result<Arc<App>, Error> {
        let store = Store::open(&options.data_dir, &options.key).await?;
        let authorities = authorities::Authorities::new(options.certificates);
        let app = Arc::new_cyclic(|me| App {
            door: Arc::new(Door::new(options.clock.clone(), Arc::clone(&authorities.admission), me.clone())),
            clock: options.clock,
            policy: options.policy,
            brake: options.brake,
            judge: options.judge,
            limited_messages_per_minute: options.limited_messages_per_minute,
            gate: options.gate,
            store,
            devices: RwLock::default(),
            tenants: RwLock::default(),
            opening: tokio::sync::Mutex::default(),
            sources: Mutex::new(Sources { limiter: SourceLimiter::new(options.judge.source), limited: HashMap::new() }),
            behind: Behind::start(),
            authorities,
            bus: broadcast::Sender::new(BUS_UPDATES_MAX),
            subscribers: Mutex::default(),
            downlink: Mutex::default(),
            challenge_key: fresh_key(),
            result_key: results::ResultKey::derive(&options.key),
            epoch_key: Secret::new(*options.key.derive(heartbeats::EPOCH_KEY).expose()),
            verifier: options.verifier,
            proven: Mutex::default(),
            counts: Counts::default(),
            stopping: AtomicBool::new(false),
            me: me.clone(),
        });
        app.load_authorities(None).await?;
        app.load_revoked().await?;
        app.door.reload(&app.store.operator).await?;
        tokio::spawn(clockwork::run(Arc::downgrade(&app)));
        tokio::spawn(overdue::run(Arc::downgrade(&app)));
        Ok(app)
    }

    /// Who is let in by a certificate, and who may ask for one.
    #[must_use]
    pub const fn door(&self) -> &Arc<Door> {
        &self.door
    }

    #[must_use]
    pub fn clock(&self) -> &Clock {
        &self.clock
    }

    /// Everything that changes from now on, all tenants.
    #[must_use]
    pub fn updates(&self) -> broadcast::Receiver<Update> {
        self.bus.subscribe()
    }

    #[must_use]
    pub fn counters(&self) -> Counters {
        let tenants = self.open_tenants();
        let sum = |count: fn(&tenant::Counts) -> &AtomicU64| {
            tenants.iter().map(|tenant| count(&tenant.counts).load(Relaxed)).sum()
        };
        let (writes_pending, writes_shed) = self.behind.counts();
        Counters {
            messages: sum(|counts| &counts.messages),
            refused: sum(|counts| &counts.refused),
            findings: sum(|counts| &counts.findings),
            upstream_failed: self.counts.upstream_failed.load(Relaxed),
            commands_offered: self.counts.commands_offered.load(Relaxed),
            commands_shed: self.counts.commands_shed.load(Relaxed),
            ports_exhausted: self.counts.ports_exhausted.load(Relaxed),
            sources_dropped: self.counts.sources_dropped.load(Relaxed),
            evidence_overdue: self.counts.evidence_overdue.load(Relaxed),
            heartbeats: self.counts.heartbeats.load(Relaxed),
            devices_live: self.live_count() as u64,
            sessions: sum(|counts| &counts.sessions),
            writes_pending,
            writes_shed,
        }
    }

    /// Reasons why the server is not ready; empty when it is.
    pub async fn unready(&self) -> Vec<String> {
        let mut reasons = Vec::new();
        if self.is_stopping() {
            reasons.push("the server is stopping".to_owned());
        }
        if let Err(error) = self.durable().await {
            reasons.push(format!("changes cannot be written: {error}"));
        }
        reasons
    }

    /// Writes what is pending, saves what was learnt, and closes upstreams and files. Nothing may be called after it.
    pub async fn shutdown(&self) {
        self.stopping.store(true, Relaxed);
        for tenant in self.open_tenants() {
            self.close_upstream(&tenant).await;
        }
        self.save_judges().await;
        self.behind.close().await;
        self.store.close().await;
    }

    /// A consistent copy of the databases into `folder`, which must not hold one.
    pub async fn backup(&self, folder: &std::path::Path) -> Result<(), Error> {
        self.durable().await?;
        Ok(self.store.backup(folder).await?)
    }

    fn is_stopping(&self) -> bool {
        self.stopping.load(Relaxed)
    }

    /// Nothing is made for nobody.
    fn publish(&self, tenant: TenantId, kind: impl FnOnce() -> UpdateKind) {
        if self.bus.receiver_count() > 0 {
            _ = self.bus.send(Update { tenant, kind: kind() });
        }
    }
}

fn fresh_key() -> Secret<32> {
    let mut key = Secret::new([0; 32]);
    fill_random(key.expose_mut());
    key
}
