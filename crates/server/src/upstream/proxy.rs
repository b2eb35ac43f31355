//! An operator's CoAP or LwM2M server.

use std::sync::Arc;

use bartizan_wire::DeviceKey;
use bytes::Bytes;

use super::{Counters, ProxyConfig, UpstreamContext, UpstreamDevice};
use crate::app::path::{Message, Reply, UpstreamError};

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

pub(super) struct Proxy;

impl Proxy {
    pub(super) async fn open(_: ProxyConfig, _: &UpstreamContext, _: &Arc<Counters>) -> Result<Self, UpstreamError> {
        Err(UpstreamError::Unavailable("not yet".into()))
    }
    pub(super) async fn deliver(&self, _: &UpstreamDevice, _: Message) -> Result<Reply, UpstreamError> {
        Err(UpstreamError::Unavailable("not yet".into()))
    }
    pub(super) async fn respond(&self, _: &UpstreamDevice, _: Bytes) -> Responded {
        Responded::NotAsked
    }
    pub(super) fn forget(&self, _: DeviceKey) {}
    pub(super) async fn drain(&self) {}
}
