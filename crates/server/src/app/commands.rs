//! Commands to devices: offered, gated, queued, sent, acknowledged or expired.

use bartizan_wire::event::CommandState;
use bartizan_wire::{CommandId, DeviceKey, UnixMillis};
use bytes::Bytes;

/// Who wants the command.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Issuer {
    Person(String),
    /// The tenant's platform behind the proxy, through the downlink that it was given.
    Upstream,
}

/// A command as it is offered.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NewCommand {
    /// The CoAP request code, e.g. 0x02 for POST.
    pub method: u8,
    /// `/a/b?x=y`
    pub path: String,
    pub content_format: Option<u16>,
    pub payload: Bytes,
    /// The CoAP request as the upstream sent it: delivered with its own token, so that its answer finds the way back.
    pub coap: Option<Bytes>,
    pub expires_in_ms: u64,
}

/// A command that waits for its device.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PendingCommand {
    pub id: CommandId,
    pub device: DeviceKey,
    pub state: CommandState,
    pub issuer: Issuer,
    pub method: u8,
    pub path: String,
    pub content_format: Option<u16>,
    pub payload: Bytes,
    pub coap: Option<Bytes>,
    pub created: UnixMillis,
    pub expires: UnixMillis,
}
