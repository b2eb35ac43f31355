//! CoAP over DTLS on UDP: the first caller of the message path.
//!
//! ```text
//!            ┌──────────────────────── one task ────────────────────────┐
//!  UDP ────▶ │ source limit ▶ dtls::Endpoint ▶ journal (durable) ▶ coap │ ──▶ app::path ──▶ upstream
//!      ◀──── │ ◀── sealed records ◀── answers, commands, notifications  │ ◀── outcomes
//!            └──────────────────────────────────────────────────────────┘
//! ```
//!
//! [`Gateway::start`] binds the socket and restores the associations; the [`GatewayHandle`] tells what goes on
//! and ends it. Three promises hold at any `kill -9`: a device's Finished leaves only after its association is
//! on disk, a message goes upstream only after the replay window that contains it is, and no sequence number
//! is used that was not leased on disk. A copy of that disk promises nothing: no association comes back from one.
//! The path of a message asks one question of its device, an atomic load ([`crate::app::Device::access`]), so
//! isolation holds from the instant it is decided.

pub mod attestation;
mod cbor;
pub mod coap;
mod counters;
pub mod est;
mod hold;
pub mod journal;
pub mod key;
mod run;
mod socket;
pub mod status;

use std::net::SocketAddr;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::{Duration, Instant};

use bartizan_dtls::{PathCheck, Versions};
use bartizan_wire::{Access, DeviceKey};
use tokio::sync::mpsc;
use tokio::task::JoinHandle;

pub use counters::{Dropped, GatewayCounters};
pub use run::principal_of;

use crate::app::{App, Error};
use crate::limits::JOURNAL_FILE_BYTES_MIN;
use crate::store::MasterKey;
use counters::Shown;
use journal::{Disk, Folder};
use run::{Control, Run};

/// What a [`Gateway`] is made with.
#[derive(Clone, Debug)]
pub struct GatewayOptions {
    /// UDP address to listen on; port 0 takes any.
    pub listen: SocketAddr,
    /// Where the associations are kept (`data/sessions`); made if absent.
    pub sessions_dir: PathBuf,
    /// The journal is sealed under a key derived from this one.
    pub key: MasterKey,
    pub sessions_max: u32,
    pub handshakes_max: u32,
    pub versions: Versions,
    /// Send sequence numbers leased at a time: how many are skipped after a crash.
    pub lease: u64,
    /// Refuse devices without Connection ID.
    pub require_cid: bool,
    /// When a device is asked whether it is at its new address.
    pub path_check: PathCheck,
    /// How long after its last record a device counts as awake, in milliseconds. LPWA networks release a
    /// radio connection after 10 to 20 s of silence; a command queued later waits for the next record.
    pub awake_ms: u64,
    /// The session journal is not rewritten before it has this many bytes.
    pub journal_bytes_min: u64,
}

impl GatewayOptions {
    /// The shipped defaults.
    #[must_use]
    pub fn new(listen: SocketAddr, sessions_dir: impl Into<PathBuf>, key: MasterKey) -> Self {
        Self {
            listen,
            sessions_dir: sessions_dir.into(),
            key,
            sessions_max: 1_000_000,
            handshakes_max: 4_096,
            versions: Versions::BOTH,
            lease: 1_024,
            require_cid: false,
            path_check: PathCheck::Basic,
            awake_ms: 10_000,
            journal_bytes_min: JOURNAL_FILE_BYTES_MIN,
        }
    }
}

/// The data path's server side.
pub struct Gateway;

impl Gateway {
    /// Binds the socket, restores the associations that were on disk, and serves until
    /// [`GatewayHandle::drain`].
    ///
    /// # Errors
    /// `Unavailable` with one clear sentence: the port is in use, the journal is damaged, sealed under
    /// another key, or cannot be written.
    pub async fn start(app: Arc<App>, options: GatewayOptions) -> Result<GatewayHandle, Error> {
        let folder = Folder::open(&options.sessions_dir).map_err(|error| {
            let path = options.sessions_dir.display();
            Error::Unavailable(format!("the folder for sessions {path}: {error}"))
        })?;
        Self::start_on(app, options, folder).await
    }

    /// [`Self::start`] with the journal on another disk than the folder of the options.
    ///
    /// # Errors
    /// As [`Self::start`].
    pub async fn start_on<D: Disk>(app: Arc<App>, options: GatewayOptions, disk: D) -> Result<GatewayHandle, Error> {
        let (control, controls) = mpsc::channel(4);
        let shown = Arc::new(Shown::default());
        let run = Run::new(app, &options, disk, Arc::clone(&shown)).await?;
        let address = run.local_addr()?;
        let task = tokio::spawn(run.run(controls));
        Ok(GatewayHandle { address, shown, control, task })
    }
}

/// A running gateway.
pub struct GatewayHandle {
    address: SocketAddr,
    shown: Arc<Shown>,
    control: mpsc::Sender<Control>,
    task: JoinHandle<()>,
}

/// A decision that reached the data path: nothing of the device goes upstream any more.
#[derive(Clone, Copy, Debug)]
pub struct Enforced {
    pub device: DeviceKey,
    pub access: Access,
    /// When sessions were closed or observations cancelled. Messages were refused from the decision on.
    pub at: Instant,
}

impl GatewayHandle {
    /// The address that was bound.
    #[must_use]
    pub const fn local_addr(&self) -> SocketAddr {
        self.address
    }

    /// What was counted since the start.
    #[must_use]
    pub fn counters(&self) -> GatewayCounters {
        self.shown.counters()
    }

    /// [`Self::counters`] for somebody who has not the handle.
    pub fn meter(&self) -> impl Fn() -> GatewayCounters + Send + Sync + 'static {
        let shown = Arc::clone(&self.shown);
        move || shown.counters()
    }

    /// Why no messages are delivered now; `None` when they are.
    #[must_use]
    pub fn unready(&self) -> Option<String> {
        self.shown.unready()
    }

    /// [`Self::unready`] for somebody who has not the handle.
    pub fn probe(&self) -> impl Fn() -> Option<String> + Send + Sync + 'static {
        let shown = Arc::clone(&self.shown);
        move || shown.unready()
    }

    /// The last decisions that reached the data path, oldest first.
    #[must_use]
    pub fn enforced(&self) -> Vec<Enforced> {
        self.shown.enforced()
    }

    /// Takes no more datagrams, finishes what is under way as far as `deadline` allows, syncs the journal and
    /// ends. Associations stay: devices go on with the next server without a handshake.
    pub async fn drain(self, deadline: Duration) {
        if self.control.send(Control::Drain).await.is_ok() {
            let mut task = self.task;
            if tokio::time::timeout(deadline, &mut task).await.is_err() {
                task.abort();
                let _ = task.await; // until its journal is closed
            }
        }
    }
}
