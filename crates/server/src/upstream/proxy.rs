//! An operator's CoAP or LwM2M server, reached from one address and port per device.
//!
//! The origin keeps telling its clients apart by address, as if the gateway were not there: each device has a
//! [`link`] of its own, a socket bound to the address that the [`PortBook`](super::PortBook) keeps for it, with
//! a CoAP message layer ([`endpoint`]) on it. Links open on demand; when there are too many, the one that has
//! been idle longest gives its place.

mod channel;
mod endpoint;
mod link;
mod message;
mod registration;

use std::collections::HashMap;
use std::sync::{Arc, Mutex};
use std::time::Instant;

use bartizan_wire::DeviceKey;
use bartizan_wire::coap::MessageView;
use bytes::Bytes;
use tokio::sync::OnceCell;

use super::counters::add;
use super::{Counters, ProxyConfig, UpstreamContext, UpstreamDevice};
use crate::app::path::{Message, Reply, UpstreamError};
use channel::Security;
use link::Link;
use registration::Registrations;

/// What became of a device's response.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Responded {
    /// It is on its way to the origin.
    Sent,
    /// The origin no longer wants notifications of this observation: the device's should be reset.
    Cancelled,
    /// The origin did not ask.
    NotAsked,
}

/// One tenant's face towards its origin.
pub(super) struct Proxy {
    config: Arc<ProxyConfig>,
    security: Option<Arc<Security>>,
    context: UpstreamContext,
    counters: Arc<Counters>,
    registrations: Registrations,
    /// `None` once drained.
    links: Mutex<Option<Links>>,
}

/// A cell is empty while its link is being opened, so that two messages of one device open one socket.
type Links = HashMap<DeviceKey, Arc<OnceCell<Link>>>;

impl Proxy {
    pub(super) async fn open(
        config: ProxyConfig,
        context: &UpstreamContext,
        counters: &Arc<Counters>,
    ) -> Result<Self, UpstreamError> {
        let security = match &config.secure {
            Some(secure) => Some(Arc::new(Security::read(secure).map_err(UpstreamError::Unavailable)?)),
            None => None,
        };
        Ok(Self {
            config: Arc::new(config),
            security,
            context: context.clone(),
            counters: Arc::clone(counters),
            registrations: Registrations::default(),
            links: Mutex::new(Some(HashMap::new())),
        })
    }

    pub(super) async fn deliver(&self, device: &UpstreamDevice, message: Message) -> Result<Reply, UpstreamError> {
        let coap = message::request(&message)?;
        let view = MessageView::parse(&coap)
            .map_err(|error| UpstreamError::Unavailable(format!("the device's message: {error}")))?;
        if let Some(reply) = message::forward_elsewhere(&view) {
            return Ok(reply);
        }
        self.registrations.check(device, &view)?;
        let cell = self.cell(device.key)?;
        let link = cell.get_or_try_init(|| self.open_link(device)).await;
        let link = link.inspect_err(|_| self.forget(device.key))?;
        let response = link.request(coap.clone()).await;
        let response = response.map_err(|why| self.unavailable(why))?;
        if let Ok(answer) = MessageView::parse(&response) {
            self.registrations.learn(device.key, &view, &answer);
        }
        message::reply(response)
    }

    /// The device's place among the links; if all are taken, that of the longest idle one.
    fn cell(&self, device: DeviceKey) -> Result<Arc<OnceCell<Link>>, UpstreamError> {
        let mut links = self.links.lock().expect("invariant: no panic while the links are held");
        let links = links.as_mut().ok_or_else(|| self.unavailable("the proxy is closed"))?;
        if let Some(cell) = links.get(&device) {
            return Ok(Arc::clone(cell));
        }
        if links.len() >= self.config.sockets_max {
            let idle = longest_idle(links).ok_or_else(|| {
                UpstreamError::Exhausted(format!("all {} sockets to the origin are busy", self.config.sockets_max))
            })?;
            links.remove(&idle);
            add(&self.counters.disconnections);
        }
        Ok(Arc::clone(links.entry(device).or_default()))
    }

    async fn open_link(&self, device: &UpstreamDevice) -> Result<Link, UpstreamError> {
        let local = self.context.ports.assign(device.key, &self.config.pool).await?;
        let security = self.security.as_ref().map(|security| security.channel(device)).transpose();
        let link = Link::open(link::Options {
            device: device.key,
            local,
            target: self.config.target,
            channel: security.map_err(|why| self.unavailable(&why))?,
            limits: self.context.limits.clone(),
            downlink: self.context.downlink.clone(),
            counters: Arc::clone(&self.counters),
        });
        let link = link.await.map_err(|error| self.unavailable(&format!("from {local}: {error}")))?;
        add(&self.counters.connections);
        Ok(link)
    }

    pub(super) async fn respond(&self, device: &UpstreamDevice, coap: Bytes) -> Responded {
        let cell = match &*self.links.lock().expect("invariant: no panic while the links are held") {
            Some(links) => links.get(&device.key).cloned(),
            None => None,
        };
        match cell.as_ref().and_then(|cell| cell.get()) {
            Some(link) => link.respond(coap).await,
            None => Responded::NotAsked,
        }
    }

    pub(super) fn forget(&self, device: DeviceKey) {
        let mut links = self.links.lock().expect("invariant: no panic while the links are held");
        if let Some(link) = links.as_mut().and_then(|links| links.remove(&device))
            && let Some(link) = link.get()
        {
            link.abort();
        }
    }

    pub(super) async fn drain(&self) {
        let links = self.links.lock().expect("invariant: no panic while the links are held").take();
        let deadline = tokio::time::Instant::now() + self.context.limits.answer;
        for cell in links.unwrap_or_default().into_values() {
            if let Some(link) = cell.get() {
                link.finish(deadline).await;
            }
        }
    }

    fn unavailable(&self, why: &str) -> UpstreamError {
        UpstreamError::Unavailable(format!("{}: {why}", self.config.target))
    }
}

fn longest_idle(links: &Links) -> Option<DeviceKey> {
    let now = Instant::now();
    let idle = links.iter().filter_map(|(device, cell)| Some((cell.get()?.idle_since(now)?, *device)));
    idle.min_by_key(|(since, _)| *since).map(|(_, device)| device)
}
