//! Who is meant: tenants, devices, device types, and the network sources that nothing is known about.

use core::net::{IpAddr, SocketAddr};

/// An operator's tenant. Numbered by the installation, never reused.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct TenantId(pub u32);

/// A device within its tenant. Numbered by the tenant's registry, never reused.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct DeviceId(pub u64);

/// A kind of device within its tenant ("water meter"): devices of one type are expected to behave alike.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct TypeId(pub u32);

/// A queued command, unique within its tenant.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct CommandId(pub u64);

/// One device of one tenant: the key of everything that is decided about it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct DeviceKey {
    pub tenant: TenantId,
    pub device: DeviceId,
}

impl DeviceKey {
    #[must_use]
    pub const fn new(tenant: u32, device: u64) -> Self {
        Self { tenant: TenantId(tenant), device: DeviceId(device) }
    }
}

/// Where unauthenticated bytes came from. IPv6 sources are counted by /64, since one host owns it all;
/// ports are ignored, since a source chooses them freely.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Source(IpAddr);

impl Source {
    /// The source that `addr` belongs to; IPv4-mapped IPv6 addresses count as IPv4.
    #[must_use]
    pub fn of(addr: SocketAddr) -> Self {
        match addr.ip().to_canonical() {
            ip @ IpAddr::V4(_) => Self(ip),
            IpAddr::V6(v6) => Self(IpAddr::V6((v6.to_bits() & !u128::from(u64::MAX)).into())),
        }
    }

    /// The address, with the low 64 bits of an IPv6 address zeroed.
    #[must_use]
    pub const fn ip(self) -> IpAddr {
        self.0
    }
}
