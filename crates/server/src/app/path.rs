//! The one path of every message, whatever carried it: principal and message, access, event, upstream.

use std::sync::Arc;

use bartizan_wire::{Access, DeviceKey};
use bytes::Bytes;

use super::{App, Device};

/// A request of a device.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Message {
    /// The CoAP code (RFC 7252 section 12.1), e.g. 0x02 for POST.
    pub code: u8,
    /// `/a/b?x=y`
    pub path: String,
    pub content_format: Option<u16>,
    pub payload: Bytes,
    /// The CoAP message as received, when the device spoke CoAP: a CoAP upstream forwards it as it is.
    pub coap: Option<Bytes>,
}

/// The upstream's answer.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Reply {
    pub code: u8,
    pub content_format: Option<u16>,
    pub payload: Bytes,
    pub coap: Option<Bytes>,
}

/// Why an upstream did not accept a message.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum UpstreamError {
    #[error("the upstream is not available: {0}")]
    Unavailable(String),
    /// The message registers an LwM2M endpoint name that is not bound to the device; holds that name.
    #[error("the endpoint name {0:?} is not bound to this device")]
    Refused(String),
    /// A bounded resource (addresses, ports, sockets) is used up; says which.
    #[error("used up: {0}")]
    Exhausted(String),
}

/// What an upstream sends on its own: a request (which becomes a command) or a notification.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Downlink {
    pub device: DeviceKey,
    pub coap: Bytes,
}

/// What became of a message.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Outcome {
    /// The upstream accepted it.
    Replied(Reply),
    /// The device's access does not allow it (4.03), or its endpoint name is not its own.
    Forbidden(Access),
    /// The upstream did not accept it; the device is told 5.03 and may try again.
    Unavailable,
}

/// Carries `message` of `device` to its tenant's upstream, if its access allows.
pub async fn submit(_app: &App, _device: &Arc<Device>, _message: Message) -> Outcome {
    todo!()
}
