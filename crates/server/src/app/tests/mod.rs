//! The use cases over a real store in a temporary folder, with a log as upstream and a clock moved by hand.

#[cfg(feature = "demo")]
mod attesting;
#[cfg(feature = "demo")]
mod beating;
mod certificates;
mod commands;
mod crash;
mod judging;
mod keys;
mod kill;
mod registry;
mod restart;
mod upstream;

use std::sync::Arc;

use bartizan_platform::brake;
use bartizan_wire::event::{Direction, HandshakeFailure, RecordRejection};
use bartizan_wire::{Access, DeviceKey, Event, EventKind, Source, Subject, TenantId, UnixMillis};
use bytes::Bytes;
use tempfile::TempDir;

use super::path::{Message, Outcome, shape, submit};
use super::views::DeviceView;
use super::*;

const MINUTE: u64 = 60_000;
const HOUR: u64 = 60 * MINUTE;
/// A Monday in 2026.
const START: UnixMillis = UnixMillis(1_795_420_510_042);

/// One installation with one tenant.
struct World {
    app: Arc<App>,
    clock: Clock,
    tenant: TenantId,
    dir: TempDir,
}

fn options(dir: &std::path::Path, clock: &Clock) -> AppOptions {
    AppOptions::new(dir.join("data"), MasterKey::from_bytes([7; 32]), clock.clone())
}

fn ada() -> Actor {
    Actor("ada".into())
}

impl World {
    async fn new() -> Self {
        Self::with(|_| {}).await
    }

    async fn with(change: impl FnOnce(&mut AppOptions)) -> Self {
        let dir = TempDir::new().unwrap();
        let clock = Clock::by_hand(START);
        let mut options = options(dir.path(), &clock);
        change(&mut options);
        let app = App::open(options).await.unwrap();
        let upstream = format!("log:{}", dir.path().join("telemetry.ndjson").display()).parse().unwrap();
        app.add_tenant(&ada(), "water", upstream).await.unwrap();
        let tenant = app.tenant_id("water").await.unwrap();
        Self { app, clock, tenant, dir }
    }

    /// The same installation after an orderly stop.
    async fn restarted(self) -> Self {
        self.app.shutdown().await;
        self.reopened().await
    }

    /// The same installation after a crash: what was not on the disk is gone.
    async fn reopened(self) -> Self {
        let Self { app, clock, tenant, dir } = self;
        drop(app);
        let app = App::open(options(dir.path(), &clock)).await.unwrap();
        Self { app, clock, tenant, dir }
    }

    async fn add(&self, name: &str) -> Arc<Device> {
        let device = NewDevice { name: name.into(), device_type: "water meter".into(), ..NewDevice::default() };
        self.app.add_device(&ada(), self.tenant, device).await.unwrap();
        self.device(name).await
    }

    async fn device(&self, name: &str) -> Arc<Device> {
        let key = self.app.device_key(self.tenant, name).await.unwrap();
        self.app.load_device(key).await.unwrap().unwrap()
    }

    async fn show(&self, device: &Device) -> DeviceView {
        self.app.show_device(device.key).await.unwrap()
    }

    fn event(&self, device: &Device, kind: EventKind) {
        self.app.observe(Event { at: self.clock.now(), subject: device.subject(), kind });
    }

    fn connect(&self, device: &Device) {
        self.event(device, EventKind::Established { suite: 0xC0A8, connection_id: true });
    }

    fn forge(&self, source: &str, claimed: Option<DeviceKey>, kind: EventKind) {
        let source = Source::of(source.parse().unwrap());
        self.app.observe(Event { at: self.clock.now(), subject: Subject::Source { source, claimed }, kind });
    }

    fn report(&self, device: &Device) {
        self.event(device, EventKind::Message(shape(Direction::Up, 2, "/volume", 20, 1)));
    }

    /// Sends until the device is cut off.
    fn flood(&self, device: &Device) {
        for _ in 0..5_000 {
            self.clock.advance(100);
            self.report(device);
            if device.access() >= Access::Limited {
                return;
            }
        }
        panic!("a flood was not noticed");
    }

    async fn send(&self, device: &Arc<Device>) -> Outcome {
        let payload = Bytes::from_static(b"{\"litres\":3}");
        let message =
            Message { code: 2, path: "/volume".into(), content_format: Some(50), payload, coap: None, trusted: None };
        submit(&self.app, device, message).await
    }

    async fn timeline(&self, device: &Device) -> Vec<views::TimelineEntry> {
        self.app.durable().await.unwrap();
        self.app.timeline(device.key, &Paging { cursor: None, limit: 200 }).await.unwrap().items
    }

    fn delivered(&self) -> usize {
        std::fs::read_to_string(self.dir.path().join("telemetry.ndjson")).unwrap_or_default().lines().count()
    }
}

/// Lets `hours` pass, minute by minute, as the running server would.
fn pass(world: &World, hours: u64) {
    for _ in 0..hours * 60 {
        world.clock.advance(MINUTE);
        world.app.beat(world.clock.now());
    }
}
