//! A device in memory.

use std::net::SocketAddr;
use std::sync::atomic::{AtomicU8, Ordering};

use bartizan_wire::{Access, DeviceKey, TypeId, UnixMillis};

/// One device, shared by all who serve it. The data path reads only [`Device::access`].
#[derive(Debug)]
pub struct Device {
    pub key: DeviceKey,
    pub name: String,
    pub device_type: TypeId,
    pub type_name: String,
    /// The LwM2M endpoint names that this device may register.
    pub endpoints: Vec<String>,
    access: AtomicU8,
}

impl Device {
    /// What the data path allows: one relaxed load.
    #[must_use]
    pub fn access(&self) -> Access {
        Access::from_code(self.access.load(Ordering::Relaxed)).unwrap_or(Access::Blocked)
    }
}

/// What the gateway tells about an association.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SessionFacts {
    pub since: UnixMillis,
    pub address: SocketAddr,
    pub connection_id: bool,
    /// IANA name of the cipher suite.
    pub suite: &'static str,
}
