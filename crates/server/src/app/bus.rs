//! What changed, as it changes: for server-sent events.

use bartizan_wire::TenantId;
use serde::Serialize;

use super::views::{CommandView, DeviceView, FindingView};

/// One change of one tenant.
#[derive(Clone, Debug, PartialEq)]
pub struct Update {
    pub tenant: TenantId,
    pub kind: UpdateKind,
}

/// Serialises as the view alone; [`UpdateKind::name`] is the SSE event type.
#[derive(Clone, Debug, PartialEq, Serialize)]
#[serde(untagged)]
pub enum UpdateKind {
    Finding(FindingView),
    Device(Box<DeviceView>),
    /// With the device's name.
    Command {
        device: String,
        #[serde(flatten)]
        command: CommandView,
    },
}

impl UpdateKind {
    #[must_use]
    pub const fn name(&self) -> &'static str {
        match self {
            Self::Finding(_) => "finding",
            Self::Device(_) => "device",
            Self::Command { .. } => "command",
        }
    }
}
