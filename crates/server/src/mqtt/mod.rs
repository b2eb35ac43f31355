//! The strong device's door: MQTT 3.1.1 and 5.0 over mutual TLS.
//!
//! ```text
//!  TCP ─▶ TLS: whose certificate? ─▶ CONNECT ─▶ PUBLISH ─▶ app::path ─▶ upstream ─▶ PUBACK
//!                                       └─ subscribed to commands/# ◀─ commands of people
//! ```
//!
//! Who a device is says its certificate and nothing else; client identifiers, names and passwords are not looked at.
//! It is not a broker: a message goes to the tenant's upstream, and no device hears another. What is isolated is cut
//! off at once and does not come in again, since there is nothing here that a quarantined device may do: it attests
//! over CoAP. A message is acknowledged only after the upstream accepted it.

mod answers;
mod codec;
mod connection;
mod counters;

use std::collections::HashMap;
use std::net::SocketAddr;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::sync::{Arc, Mutex, MutexGuard};
use std::time::Duration;

use bartizan_wire::{Access, DeviceKey, Source};
use rustls::ServerConfig;
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{Notify, OwnedSemaphorePermit, Semaphore, mpsc, watch};
use tokio::task::JoinHandle;
use tokio_rustls::TlsAcceptor;

use counters::Counters;
pub use counters::{Counted, Ended};

use crate::api::server::accept;
use crate::app::{AccessChange, App, Error, SourceVerdict};

/// What a [`Door`] is made with.
#[derive(Clone)]
pub struct DoorOptions {
    /// TCP address to listen on; port 0 takes any.
    pub listen: SocketAddr,
    /// Connections at once; what exceeds them waits in the system's queue.
    pub connections_max: usize,
    /// Which demands the certificates of clients ([`crate::device_tls`]).
    pub tls: Arc<ServerConfig>,
}

/// The listener for strong devices.
pub struct Door;

/// Why a connection is cut from this side.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Cut {
    /// The same device connected anew.
    TakenOver,
    /// It is isolated, or has another credential.
    Isolated,
    Stopping,
}

/// What all connections share.
struct Shared {
    app: Arc<App>,
    acceptor: TlsAcceptor,
    /// The one connection of each device.
    lines: Mutex<HashMap<DeviceKey, Line>>,
    /// Told when a connection gave its place up.
    left: Notify,
    next: AtomicU64,
    counters: Counters,
}

struct Line {
    number: u64,
    cut: watch::Sender<Option<Cut>>,
}

/// A running door.
pub struct DoorHandle {
    address: SocketAddr,
    shared: Arc<Shared>,
    stop: watch::Sender<bool>,
    task: JoinHandle<()>,
}

impl Door {
    /// Binds the socket and serves until [`DoorHandle::drain`].
    ///
    /// # Errors
    /// `Unavailable` with one sentence: the port is in use.
    pub async fn start(app: Arc<App>, options: DoorOptions) -> Result<DoorHandle, Error> {
        let told = |error: std::io::Error| Error::Unavailable(format!("MQTT on {}: {error}", options.listen));
        let socket = TcpListener::bind(options.listen).await.map_err(told)?;
        let address = socket.local_addr().map_err(told)?;
        let changes = app.access_changes();
        let shared = Arc::new(Shared {
            app,
            acceptor: TlsAcceptor::from(options.tls),
            lines: Mutex::default(),
            left: Notify::new(),
            next: AtomicU64::new(0),
            counters: Counters::default(),
        });
        let (stop, stopped) = watch::channel(false);
        let slots = Arc::new(Semaphore::new(options.connections_max));
        let task = tokio::spawn(serve(Arc::clone(&shared), socket, slots, changes, stopped));
        Ok(DoorHandle { address, shared, stop, task })
    }
}

async fn serve(
    shared: Arc<Shared>,
    socket: TcpListener,
    slots: Arc<Semaphore>,
    mut changes: mpsc::UnboundedReceiver<AccessChange>,
    mut stopped: watch::Receiver<bool>,
) {
    loop {
        tokio::select! {
            biased; // isolation first
            Some(change) = changes.recv() => {
                if change.close || change.access >= Access::Quarantined {
                    shared.cut(change.device.key, Cut::Isolated);
                }
            }
            () = stopping(&mut stopped) => break,
            (slot, accepted) = accept(&socket, &slots) => match accepted {
                Ok((stream, peer)) => shared.admit(stream, peer, slot),
                // Out of descriptors, most likely: others have to close first.
                Err(_) => tokio::time::sleep(Duration::from_millis(50)).await,
            },
        }
    }
    drop(socket);
    for line in shared.lines().values() {
        line.cut.send_replace(Some(Cut::Stopping));
    }
    while !shared.lines().is_empty() {
        shared.left.notified().await;
    }
}

/// Returns when the door is to close.
async fn stopping(stopped: &mut watch::Receiver<bool>) {
    let _ = stopped.wait_for(|stopped| *stopped).await;
}

impl Shared {
    fn lines(&self) -> MutexGuard<'_, HashMap<DeviceKey, Line>> {
        self.lines.lock().expect("invariant: nothing panics while it holds the connections")
    }

    /// A connection from a source that is limited gets no handshake.
    fn admit(self: &Arc<Self>, stream: TcpStream, peer: SocketAddr, slot: OwnedSemaphorePermit) {
        if self.app.source_verdict(Source::of(peer)) == SourceVerdict::Drop {
            self.counters.ended(Ended::SourceLimited);
            return;
        }
        tokio::spawn(connection::run(Arc::clone(self), stream, peer, slot));
    }

    /// Takes the place of the device's older connection, which ends.
    fn enter(&self, device: DeviceKey) -> (u64, watch::Receiver<Option<Cut>>) {
        let number = self.next.fetch_add(1, Relaxed);
        let (cut, receiver) = watch::channel(None);
        if let Some(before) = self.lines().insert(device, Line { number, cut }) {
            before.cut.send_replace(Some(Cut::TakenOver));
        }
        (number, receiver)
    }

    fn leave(&self, device: DeviceKey, number: u64) {
        let mut lines = self.lines();
        if lines.get(&device).is_some_and(|line| line.number == number) {
            lines.remove(&device);
            self.left.notify_one();
        }
    }

    fn cut(&self, device: DeviceKey, why: Cut) {
        if let Some(line) = self.lines().get(&device) {
            line.cut.send_replace(Some(why));
        }
    }
}

impl DoorHandle {
    /// The address that was bound.
    #[must_use]
    pub const fn local_addr(&self) -> SocketAddr {
        self.address
    }

    /// Connections now, and what was counted since the start.
    pub fn meter(&self) -> impl Fn() -> (usize, Counted) + Send + Sync + 'static {
        let shared = Arc::clone(&self.shared);
        move || (shared.lines().len(), shared.counters.counted())
    }

    /// Takes no more connections, tells those that are open, and ends.
    pub async fn drain(self, deadline: Duration) {
        self.stop.send_replace(true);
        let mut task = self.task;
        if tokio::time::timeout(deadline, &mut task).await.is_err() {
            task.abort();
        }
    }
}
