//! Tenants' upstreams, opened on demand, and what they send on their own.

use std::sync::{Arc, Weak};

use bartizan_wire::coap::{Builder, Code, MessageView, Type};
use bartizan_wire::{TenantId, event::kind_hash};
use bytes::Bytes;
use tokio::sync::mpsc;

use super::commands::{Issuer, NewCommand};
use super::error::Error;
use super::path::Downlink;
use super::tenant::Tenant;
use super::{App, ToDevice};
use crate::limits::{DOWNLINK_EXPIRY_MS, DOWNLINK_QUEUE_MAX};
use crate::store::Ports;
use crate::upstream::{Upstream, UpstreamConfig, UpstreamContext, UpstreamLimits};

/// An open upstream with what judges know it by.
#[derive(Clone)]
pub(super) struct Slot {
    pub upstream: Arc<Upstream>,
    /// A hash of its address: whom the tenant's devices speak with.
    pub peer: u32,
}

impl App {
    /// The tenant's upstream, opened on demand and kept.
    pub async fn upstream_of(&self, tenant: TenantId) -> Result<Arc<Upstream>, Error> {
        let tenant = self.open_tenant(tenant).await?;
        Ok(self.slot(&tenant).await?.upstream)
    }

    pub(super) async fn slot(&self, tenant: &Arc<Tenant>) -> Result<Slot, Error> {
        if let Some(slot) = tenant.slot() {
            return Ok(slot);
        }
        let _one = tenant.opening_upstream.lock().await;
        if let Some(slot) = tenant.slot() {
            return Ok(slot);
        }
        let slot = self.open_upstream(tenant).await?;
        tenant.replace_slot(Some(slot.clone()));
        Ok(slot)
    }

    async fn open_upstream(&self, tenant: &Arc<Tenant>) -> Result<Slot, Error> {
        let row = self.store.operator.tenant(tenant.id).await?;
        let text = row.ok_or_else(|| Error::Unavailable("the tenant is gone".into()))?.upstream;
        let config: UpstreamConfig = text
            .parse()
            .map_err(|error| Error::Unavailable(format!("the upstream {text:?} cannot be used: {error}")))?;
        let (downlink, received) = mpsc::channel(DOWNLINK_QUEUE_MAX);
        let context = UpstreamContext {
            tenant: tenant.name.clone(),
            clock: self.clock.clone(),
            ports: Arc::new(Ports::new(tenant.store.clone())),
            downlink,
            limits: UpstreamLimits::default(),
        };
        let opened = Upstream::open(config, context).await.map_err(|error| Error::Unavailable(error.to_string()))?;
        tokio::spawn(take_downlinks(self.me.clone(), received));
        Ok(Slot { upstream: Arc::new(opened), peer: kind_hash(&[text.as_bytes()]) })
    }

    /// Closes the tenant's upstream; the next message opens the one that is configured then.
    pub(super) async fn close_upstream(&self, tenant: &Arc<Tenant>) {
        // Held until the old one has let go of its file or addresses, which the next one may need.
        let _one = tenant.opening_upstream.lock().await;
        if let Some(slot) = tenant.replace_slot(None) {
            slot.upstream.drain().await;
        }
    }

    /// What is to be carried down to devices from now on, for the one gateway. While its queue is full,
    /// notifications and hints are lost, as they may be on the way to a sleeping device.
    #[must_use]
    pub fn to_devices(&self) -> mpsc::Receiver<ToDevice> {
        let (sender, receiver) = mpsc::channel(DOWNLINK_QUEUE_MAX);
        *self.downlink.lock().expect("invariant: nothing panics while it holds the downlink") = Some(sender);
        receiver
    }

    pub(super) fn to_device(&self, what: ToDevice) {
        let downlink = self.downlink.lock().expect("invariant: nothing panics while it holds the downlink");
        if let Some(sender) = downlink.as_ref() {
            let _ = sender.try_send(what); // see `to_devices`
        }
    }

    /// A request becomes a command, which passes the gate and waits for its device. A response is a
    /// notification that the device asked for.
    pub(super) async fn take_downlink(&self, downlink: Downlink) {
        if MessageView::parse(&downlink.coap).is_ok_and(|view| view.code().is_response()) {
            return self.to_device(ToDevice::Notification(downlink));
        }
        let Some(command) = command_of(downlink.coap.clone()) else {
            tracing::warn!("an upstream sent what is no CoAP message");
            return;
        };
        if let Err(error) = self.offer_command(downlink.device, Issuer::Upstream, command).await {
            tracing::info!(tenant = downlink.device.tenant.0, device = downlink.device.device.0, %error, "a downlink was not taken");
            self.turn_down(&downlink).await;
        }
    }

    /// Tells the origin that its request does not reach the device now, so that it need not wait for its own timeout.
    async fn turn_down(&self, downlink: &Downlink) {
        let Ok(Some(device)) = self.load_device(downlink.device).await else { return };
        if let (Some(slot), Some(answer)) = (device.tenant().slot(), unavailable_to(&downlink.coap)) {
            slot.upstream.respond(device.upstream(), answer).await;
        }
    }
}

/// Ends when the upstream is closed.
async fn take_downlinks(app: Weak<App>, mut received: mpsc::Receiver<Downlink>) {
    while let Some(downlink) = received.recv().await {
        let Some(app) = app.upgrade() else { return };
        app.take_downlink(downlink).await;
    }
}

/// 5.03 under the request's token.
fn unavailable_to(request: &[u8]) -> Option<Bytes> {
    let view = MessageView::parse(request).ok()?;
    let mut buffer = [0; 16];
    let answer = Builder::new(&mut buffer, Type::Confirmable, Code::SERVICE_UNAVAILABLE, 0, view.token());
    answer.finish().ok().map(Bytes::copy_from_slice)
}

fn command_of(coap: Bytes) -> Option<NewCommand> {
    let view = MessageView::parse(&coap).ok()?;
    let (method, path) = (view.code().0, view.target().to_string());
    let content_format = view.content_format();
    let payload = Bytes::copy_from_slice(view.payload());
    Some(NewCommand { method, path, content_format, payload, coap: Some(coap), expires_in_ms: DOWNLINK_EXPIRY_MS })
}
