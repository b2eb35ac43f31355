//! What is written behind: one task catches the databases up with memory, in batches.
//!
//! A device waits at most once, however often it changed: what is written is how it is then. Lines of history
//! wait in a bounded queue. Who must know that something is on the disk asks [`Behind::barrier`].

use std::collections::HashMap;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::sync::{Arc, Mutex, MutexGuard};
use std::time::Duration;

use bartizan_wire::{DeviceKey, TenantId};
use tokio::sync::{Notify, oneshot};
use tokio::task::JoinHandle;

use super::device::Device;
use super::tenant::Tenant;
use crate::limits::ENTRIES_PENDING_MAX;
use crate::store::{Batch, FindingRow, RetractionWrite, TimelineWrite};

/// How long changes gather before they are written, unless somebody waits for them.
const GATHER: Duration = Duration::from_millis(20);
/// How long to wait after a failure.
const RETRY: Duration = Duration::from_millis(500);

/// The queue to the writing task.
#[derive(Default)]
pub(super) struct Behind {
    pending: Mutex<Pending>,
    wake: Notify,
    shed: AtomicU64,
    writer: Mutex<Option<JoinHandle<()>>>,
}

#[derive(Default)]
struct Pending {
    devices: HashMap<DeviceKey, Arc<Device>>,
    /// Heard, but not yet to be written.
    touched: Vec<Arc<Device>>,
    entries: HashMap<TenantId, Entries>,
    count: usize,
    waiters: Vec<oneshot::Sender<Result<(), String>>>,
    closed: bool,
}

struct Entries {
    tenant: Arc<Tenant>,
    findings: Vec<FindingRow>,
    timeline: Vec<TimelineWrite>,
    retractions: Vec<RetractionWrite>,
}

impl Behind {
    /// Starts the writing task.
    pub fn start() -> Arc<Self> {
        let behind = Arc::new(Self::default());
        let writer = tokio::spawn(behind.clone().run());
        *behind.writer.lock().expect("invariant: nothing panics while it holds the writer") = Some(writer);
        behind
    }

    /// The device has changed and is to be written.
    pub fn write_device(&self, device: &Arc<Device>) {
        self.pending().devices.entry(device.key).or_insert_with(|| device.clone());
        self.wake.notify_one();
    }

    /// The device was heard: its counters are written with the next [`Behind::write_touched`], since a write for
    /// every message would cost more than the message.
    pub fn touch(&self, device: Arc<Device>) {
        self.pending().touched.push(device);
    }

    /// Lets the counters of all devices that were heard be written.
    pub fn write_touched(&self) {
        let mut pending = self.pending();
        if !pending.touched.is_empty() {
            pending.take_touched();
            drop(pending);
            self.wake.notify_one();
        }
    }

    /// `keep`: it belongs to a change of posture or to a person's act, and is never shed.
    pub fn write_line(&self, tenant: &Arc<Tenant>, line: TimelineWrite, keep: bool) {
        self.push(tenant, keep, |entries| entries.timeline.push(line));
    }

    pub fn write_finding(&self, tenant: &Arc<Tenant>, finding: FindingRow) {
        self.push(tenant, false, |entries| entries.findings.push(finding));
    }

    /// What the tenant's upstream is to be told.
    pub fn write_retraction(&self, tenant: &Arc<Tenant>, retraction: RetractionWrite) {
        self.push(tenant, true, |entries| entries.retractions.push(retraction));
    }

    /// Returns when everything given before is on the disk.
    ///
    /// # Errors
    /// The reason why it could not be written; it stays queued and is tried again.
    pub async fn barrier(&self) -> Result<(), String> {
        let stopping = || Err("the server is stopping".into());
        let (done, written) = oneshot::channel();
        {
            let mut pending = self.pending();
            if pending.closed {
                return stopping();
            }
            pending.waiters.push(done);
        }
        self.wake.notify_one();
        written.await.unwrap_or_else(|_| stopping())
    }

    /// Writes what is left and ends the task.
    pub async fn close(&self) {
        {
            let mut pending = self.pending();
            pending.closed = true;
            pending.take_touched();
        }
        self.wake.notify_one();
        let writer = self.writer.lock().expect("invariant: nothing panics while it holds the writer").take();
        if let Some(writer) = writer {
            _ = writer.await;
        }
    }

    /// Devices and lines that wait, and lines that were shed.
    pub fn counts(&self) -> (u64, u64) {
        let pending = self.pending();
        ((pending.devices.len() + pending.count) as u64, self.shed.load(Relaxed))
    }

    fn push(&self, tenant: &Arc<Tenant>, keep: bool, add: impl FnOnce(&mut Entries)) {
        let mut pending = self.pending();
        if pending.count >= ENTRIES_PENDING_MAX && !keep {
            self.shed.fetch_add(1, Relaxed);
            return;
        }
        pending.count += 1;
        add(pending.entries_of(tenant));
        drop(pending);
        self.wake.notify_one();
    }

    fn pending(&self) -> MutexGuard<'_, Pending> {
        self.pending.lock().expect("invariant: nothing panics while it holds the queue")
    }

    async fn run(self: Arc<Self>) {
        loop {
            self.wake.notified().await;
            if !self.pending().is_urgent() {
                tokio::time::sleep(GATHER).await;
            }
            let (taken, closed) = {
                let mut pending = self.pending();
                let closed = pending.closed;
                let touched = std::mem::take(&mut pending.touched);
                (std::mem::replace(&mut *pending, Pending { closed, touched, ..Pending::default() }), closed)
            };
            let failed = self.write(taken).await;
            if closed && !failed {
                return;
            }
            if failed {
                tokio::time::sleep(RETRY).await;
                if closed {
                    tracing::error!("what was pending at the end could not be written");
                    return;
                }
            }
        }
    }

    /// Writes tenant by tenant; what fails is queued again. True if anything failed.
    async fn write(&self, taken: Pending) -> bool {
        let waiters = taken.waiters;
        let mut failure = None;
        for (tenant, devices, batch) in batches(taken.devices, taken.entries) {
            if let Err(error) = tenant.store.write_batch(&batch).await {
                tracing::error!(tenant = tenant.id.0, %error, "changes cannot be written; they are kept and tried again");
                failure = Some(error.to_string());
                self.put_back(&tenant, devices, batch);
            }
        }
        let failed = failure.is_some();
        let outcome = failure.map_or(Ok(()), Err);
        for waiter in waiters {
            _ = waiter.send(outcome.clone());
        }
        failed
    }

    fn put_back(&self, tenant: &Arc<Tenant>, devices: Vec<Arc<Device>>, batch: Batch) {
        for (device, write) in devices.iter().zip(&batch.devices) {
            device.state().changed |= write.changed;
        }
        let mut pending = self.pending();
        for device in devices {
            pending.devices.entry(device.key).or_insert(device);
        }
        pending.count += batch.findings.len() + batch.timeline.len() + batch.retractions.len();
        let entries = pending.entries_of(tenant);
        entries.findings.splice(0..0, batch.findings);
        entries.timeline.splice(0..0, batch.timeline);
        entries.retractions.splice(0..0, batch.retractions);
        drop(pending);
        self.wake.notify_one();
    }
}

impl Pending {
    fn is_urgent(&self) -> bool {
        self.closed || !self.waiters.is_empty()
    }

    fn take_touched(&mut self) {
        for device in std::mem::take(&mut self.touched) {
            self.devices.entry(device.key).or_insert(device);
        }
    }

    fn entries_of(&mut self, tenant: &Arc<Tenant>) -> &mut Entries {
        let empty =
            || Entries { tenant: tenant.clone(), findings: Vec::new(), timeline: Vec::new(), retractions: Vec::new() };
        self.entries.entry(tenant.id).or_insert_with(empty)
    }
}

type Work = (Arc<Tenant>, Vec<Arc<Device>>, Batch);

fn batches(devices: HashMap<DeviceKey, Arc<Device>>, entries: HashMap<TenantId, Entries>) -> Vec<Work> {
    let mut work: HashMap<TenantId, Work> = HashMap::new();
    for (id, entries) in entries {
        let Entries { tenant, findings, timeline, retractions } = entries;
        work.insert(id, (tenant, Vec::new(), Batch { devices: Vec::new(), findings, timeline, retractions }));
    }
    for device in devices.into_values() {
        let empty = || (device.tenant().clone(), Vec::new(), Batch::default());
        let (_, kept, batch) = work.entry(device.key.tenant).or_insert_with(empty);
        batch.devices.push(device.snapshot());
        kept.push(device);
    }
    work.into_values().collect()
}
