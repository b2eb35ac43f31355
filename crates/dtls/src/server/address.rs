//! Peer addresses: packed for the slab, and indexed for peers without a Connection ID.

use core::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr, SocketAddrV6};

/// A socket address in 23 bytes instead of 32. An IPv4-mapped IPv6 address stays what it is, since a dual-stack
/// socket wants it back that way; the flow label is not kept.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) struct PackedAddress {
    ip: [u8; 16],
    scope: [u8; 4],
    port: [u8; 2],
    is_v4: bool,
}

impl PackedAddress {
    pub const NOWHERE: Self = Self { ip: [0; 16], scope: [0; 4], port: [0; 2], is_v4: false };

    pub fn pack(address: SocketAddr) -> Self {
        let (ip, scope) = match address {
            SocketAddr::V4(v4) => (v4.ip().to_ipv6_mapped().octets(), 0),
            SocketAddr::V6(v6) => (v6.ip().octets(), v6.scope_id()),
        };
        Self { ip, scope: scope.to_be_bytes(), port: address.port().to_be_bytes(), is_v4: address.is_ipv4() }
    }

    pub fn unpack(&self) -> SocketAddr {
        let port = u16::from_be_bytes(self.port);
        if self.is_v4 {
            let [.., a, b, c, d] = self.ip;
            return SocketAddr::new(IpAddr::V4(Ipv4Addr::new(a, b, c, d)), port);
        }
        let scope = u32::from_be_bytes(self.scope);
        SocketAddr::V6(SocketAddrV6::new(Ipv6Addr::from(self.ip), port, 0, scope))
    }
}

/// Length of an address between nodes: kind, IP, port.
pub(crate) const ADDRESS_BYTES: usize = 19;

/// An address for another node; a scope means nothing there.
pub(crate) fn to_bytes(address: SocketAddr) -> [u8; ADDRESS_BYTES] {
    let packed = PackedAddress::pack(address);
    let mut out = [0; ADDRESS_BYTES];
    let kind = [if packed.is_v4 { 4 } else { 6 }];
    let bytes = kind.iter().chain(&packed.ip).chain(&packed.port);
    out.iter_mut().zip(bytes).for_each(|(to, from)| *to = *from);
    out
}

/// What [`to_bytes`] wrote.
pub(crate) fn from_bytes(bytes: &[u8; ADDRESS_BYTES]) -> SocketAddr {
    let [kind, ip @ .., high, low] = *bytes;
    PackedAddress { ip, scope: [0; 4], port: [high, low], is_v4: kind == 4 }.unpack()
}

/// The bytes that a cookie is bound to.
pub(super) fn cookie_bytes(address: SocketAddr) -> [u8; 18] {
    let packed = PackedAddress::pack(address);
    let mut out = [0; 18];
    let bytes = packed.ip.iter().chain(&packed.port);
    out.iter_mut().zip(bytes).for_each(|(to, from)| *to = *from);
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn unpacks_what_it_packed() {
        for text in ["192.0.2.7:5684", "[2001:db8::1]:1", "[::ffff:192.0.2.7]:65535", "[fe80::1%3]:5684"] {
            let address: SocketAddr = text.parse().unwrap();
            assert_eq!(PackedAddress::pack(address).unpack(), address);
            if !text.contains('%') {
                assert_eq!(from_bytes(&to_bytes(address)), address);
            }
        }
    }
}
