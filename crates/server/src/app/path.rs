//! The one path of every message, whatever carried it: principal and message, access, event, upstream.

use std::sync::Arc;
use std::sync::atomic::Ordering::Relaxed;

use bartizan_wire::event::{Direction, Message as Shape, kind_hash};
use bartizan_wire::{Access, DeviceKey, Event, EventKind};
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
    /// Whether what its device reports now is to be trusted: as far as it proved what it runs. `None`: it never did.
    pub trusted: Option<bool>,
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
///
/// The message is judged before it leaves: one that makes its device abnormal does not pass any more.
pub async fn submit(app: &App, device: &Arc<Device>, message: Message) -> Outcome {
    if let Some(access) = refused(app, device) {
        return refuse(app, device, access);
    }
    let slot = match app.slot(device.tenant()).await {
        Ok(slot) => slot,
        Err(error) => return unavailable(app, device, &error.to_string()),
    };
    observe(
        app,
        device,
        EventKind::Message(shape(Direction::Up, message.code, &message.path, message.payload.len(), slot.peer)),
    );
    if device.access() >= Access::Quarantined {
        return refuse(app, device, device.access());
    }
    let message = Message { trusted: device.is_trusted(), ..message };
    match slot.upstream.deliver(device.upstream(), message).await {
        Ok(reply) => accepted(app, device, reply),
        Err(UpstreamError::Refused(endpoint)) => mismatched(app, device, &endpoint),
        Err(UpstreamError::Exhausted(what)) => exhausted(app, device, &what),
        Err(UpstreamError::Unavailable(why)) => unavailable(app, device, &why),
    }
}

/// The shape of a message, as judges see it. `path` counts without its query.
#[must_use]
pub fn shape(direction: Direction, code: u8, path: &str, payload_bytes: usize, peer: u32) -> Shape {
    let resource = path.split('?').next().unwrap_or_default();
    let kind = kind_hash(&[b"coap", &[direction.code(), code], resource.as_bytes()]);
    Shape { direction, kind, payload_bytes: u16::try_from(payload_bytes).unwrap_or(u16::MAX), peer }
}

/// The access that keeps the message out, if any does.
fn refused(app: &App, device: &Device) -> Option<Access> {
    match device.access() {
        Access::Full => None,
        Access::Limited => {
            let passes = device.state().allowance.take(app.clock().now(), app.limited_messages_per_minute);
            (!passes).then_some(Access::Limited)
        }
        access => Some(access),
    }
}

fn refuse(app: &App, device: &Arc<Device>, access: Access) -> Outcome {
    device.tenant().counts.refused.fetch_add(1, Relaxed);
    observe(app, device, EventKind::Refused { access });
    Outcome::Forbidden(access)
}

fn accepted(app: &App, device: &Arc<Device>, reply: Reply) -> Outcome {
    device.count_message();
    let tenant = device.tenant();
    tenant.counts.messages.fetch_add(1, Relaxed);
    tenant.rate.count();
    if device.exhausted.load(Relaxed) && device.exhausted.swap(false, Relaxed) {
        app.note(device, "session", "The upstream has an address for it again.".into());
    }
    Outcome::Replied(reply)
}

/// The name goes to the history; the judge hears its hash.
fn mismatched(app: &App, device: &Arc<Device>, endpoint: &str) -> Outcome {
    device.tenant().counts.refused.fetch_add(1, Relaxed);
    let shown: String = endpoint.chars().take(64).collect();
    app.note(
        device,
        "session",
        format!("It tried to register as {shown:?}, which is not its endpoint name; that was refused."),
    );
    observe(app, device, EventKind::EndpointMismatch { endpoint: kind_hash(&[endpoint.as_bytes()]) });
    Outcome::Forbidden(device.access())
}

fn exhausted(app: &App, device: &Arc<Device>, what: &str) -> Outcome {
    app.counts.ports_exhausted.fetch_add(1, Relaxed);
    if !device.exhausted.swap(true, Relaxed) {
        tracing::error!(
            tenant = device.key.tenant.0,
            device = device.key.device.0,
            what,
            "a device was refused: the upstream has run out"
        );
        app.note(device, "session", format!("Its messages are refused: {what}."));
    }
    observe(app, device, EventKind::UpstreamFailed);
    Outcome::Unavailable
}

fn unavailable(app: &App, device: &Arc<Device>, why: &str) -> Outcome {
    app.counts.upstream_failed.fetch_add(1, Relaxed);
    tracing::debug!(tenant = device.key.tenant.0, why, "an upstream did not accept a message");
    observe(app, device, EventKind::UpstreamFailed);
    Outcome::Unavailable
}

fn observe(app: &App, device: &Arc<Device>, kind: EventKind) {
    app.observe_own(device, Event { at: app.clock().now(), subject: device.subject(), kind });
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_kind_is_method_and_path_but_neither_query_nor_content() {
        let up = |path: &str, bytes| shape(Direction::Up, 2, path, bytes, 0);
        assert_eq!(up("/rd?ep=a", 1).kind, up("/rd?ep=b", 9).kind);
        assert_ne!(up("/rd", 1).kind, up("/rd/1", 1).kind);
        assert_ne!(up("/rd", 1).kind, shape(Direction::Down, 2, "/rd", 1, 0).kind);
        assert_eq!(up("/", 100_000).payload_bytes, u16::MAX);
    }
}
