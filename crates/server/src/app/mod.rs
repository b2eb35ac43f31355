//! The use cases: everything that the gateway, the API and the command line can ask for.

pub mod bus;
pub mod commands;
pub mod device;
pub mod error;
pub mod path;
pub mod registry;
pub mod views;

use std::path::PathBuf;
use std::sync::Arc;

use bartizan_platform::{brake, posture::Policy};
use bartizan_wire::event::CommandState;
use bartizan_wire::{Access, CommandId, DeviceKey, Event, Source, TenantId, UnixMillis};
use tokio::sync::{broadcast, mpsc};
use zeroize::Zeroizing;

pub use bus::{Update, UpdateKind};
pub use commands::{Issuer, NewCommand, PendingCommand};
pub use device::{Device, SessionFacts};
pub use error::{BadLine, BadLines, Error, Misuse};
pub use registry::{Actor, DeviceFilter, KeptReply, NewDevice, Paging, TenantChange};

use crate::clock::Clock;
use crate::store::MasterKey;
use crate::upstream::Upstream;

/// The server's use cases over one data directory. Shared as `Arc<App>`.
pub struct App {
    clock: Clock,
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
    /// Messages per minute that a limited device may send.
    pub limited_messages_per_minute: u32,
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
            limited_messages_per_minute: 6,
        }
    }
}

/// A device's key, found by its PSK identity.
pub struct Credential {
    pub psk: Zeroizing<Vec<u8>>,
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
    pub devices_live: u64,
    pub sessions: u64,
    /// Changes not yet written by the writer behind.
    pub writes_pending: u64,
}

impl App {
    /// Opens the data directory, applies migrations and resolves what a crash left half done.
    ///
    /// # Errors
    /// `Unavailable` with one clear sentence: wrong key, newer database, unreadable directory.
    pub async fn open(_options: AppOptions) -> Result<Arc<App>, Error> {
        todo!()
    }

    #[must_use]
    pub fn clock(&self) -> &Clock {
        &self.clock
    }

    // --- for the gateway

    /// The credential of a PSK identity; `None` if unknown. A blocked or retired device has one whose
    /// `device.access()` is `Blocked`.
    pub async fn credential(&self, _identity: &[u8]) -> Result<Option<Credential>, Error> {
        todo!()
    }

    /// The device if it is in memory.
    #[must_use]
    pub fn device(&self, _key: DeviceKey) -> Option<Arc<Device>> {
        todo!()
    }

    /// The device, from storage if need be.
    pub async fn load_device(&self, _key: DeviceKey) -> Result<Option<Arc<Device>>, Error> {
        todo!()
    }

    /// Judges an event. Cheap; access changes in memory before it returns and is stored behind.
    pub fn observe(&self, _event: Event) {
        todo!()
    }

    /// Asked before a datagram of a source without an association gets any work.
    #[must_use]
    pub fn source_verdict(&self, _source: Source) -> SourceVerdict {
        todo!()
    }

    /// All access changes from now on.
    #[must_use]
    pub fn access_changes(&self) -> mpsc::UnboundedReceiver<AccessChange> {
        todo!()
    }

    pub fn session_opened(&self, _device: &Arc<Device>, _facts: SessionFacts) {
        todo!()
    }

    pub fn session_moved(&self, _device: &Arc<Device>, _address: std::net::SocketAddr) {
        todo!()
    }

    pub fn session_closed(&self, _device: &Arc<Device>) {
        todo!()
    }

    /// Commands due at the device's next authenticated record, oldest first. Marks nothing; empty while the
    /// device's access is not full.
    #[must_use]
    pub fn next_commands(&self, _device: DeviceKey, _now: UnixMillis) -> Vec<PendingCommand> {
        todo!()
    }

    /// Moves a command to `state`; durable when it returns.
    pub async fn command_state(
        &self,
        _device: DeviceKey,
        _command: CommandId,
        _state: CommandState,
        _detail: Option<&str>,
    ) -> Result<(), Error> {
        todo!()
    }

    /// Offers a command to the gate and queues it. `Misuse::Full` when the device's queue is.
    pub async fn offer_command(
        &self,
        _device: DeviceKey,
        _issuer: Issuer,
        _command: NewCommand,
    ) -> Result<CommandId, Error> {
        todo!()
    }

    /// The tenant's upstream, opened on demand and kept.
    pub async fn upstream_of(&self, _tenant: TenantId) -> Result<Arc<Upstream>, Error> {
        todo!()
    }

    // --- for the API and operations

    /// Everything that changes from now on, all tenants.
    #[must_use]
    pub fn updates(&self) -> broadcast::Receiver<Update> {
        todo!()
    }

    #[must_use]
    pub fn counters(&self) -> Counters {
        todo!()
    }

    /// Reasons why the server is not ready; empty when it is.
    pub async fn unready(&self) -> Vec<String> {
        todo!()
    }

    /// Writes what is pending, saves what was learnt, and closes the files. Nothing may be called after it.
    pub async fn shutdown(&self) {
        todo!()
    }

    /// A consistent copy of the databases into `folder`, which must not hold one.
    pub async fn backup(&self, _folder: &std::path::Path) -> Result<(), Error> {
        todo!()
    }
}
