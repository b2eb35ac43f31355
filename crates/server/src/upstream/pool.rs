//! The addresses and ports that stand for devices in front of an origin.
//!
//! An origin that speaks plain CoAP tells its clients apart by address and port, so a device keeps the one it
//! was given: a [`PortBook`] remembers it across sessions and restarts.

use std::collections::HashMap;
use std::fmt;
use std::future::Future;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::ops::RangeInclusive;
use std::pin::Pin;
use std::sync::Mutex;

use bartizan_wire::DeviceKey;

use crate::app::path::UpstreamError;
use crate::limits;

/// Addresses × ports, in a fixed order. Two configurations with equal pools have equal slots.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Pool {
    ranges: Vec<Range>,
    ports: RangeInclusive<u16>,
}

/// A run of addresses: `first`, and how many; `prefix` is kept to write it as it was read.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Range {
    network: IpAddr,
    prefix: u8,
    first: IpAddr,
    count: u64,
}

impl Pool {
    /// Reads `ADDRESS[/PREFIX],…` of the same family as `target`.
    pub(super) fn parse(text: &str, ports: RangeInclusive<u16>, target: IpAddr) -> Result<Self, String> {
        let ranges = text.split(',').map(Range::parse).collect::<Result<Vec<_>, _>>()?;
        if let Some(other) = ranges.iter().find(|r| r.network.is_ipv4() != target.is_ipv4()) {
            return Err(format!("pool address {} and target {target} are not of one IP version", other.network));
        }
        let pool = Self { ranges, ports };
        if pool.addresses() > limits::PROXY_POOL_ADDRESSES_MAX {
            return Err(format!("a pool has at most {} addresses", limits::PROXY_POOL_ADDRESSES_MAX));
        }
        Ok(pool)
    }

    fn addresses(&self) -> u64 {
        self.ranges.iter().map(|range| range.count).sum()
    }

    /// How many devices fit.
    #[must_use]
    pub fn slots(&self) -> u64 {
        self.addresses() * self.ports.len() as u64
    }

    /// The slot's address and port; slots count from zero and run over addresses first.
    #[must_use]
    pub fn slot(&self, slot: u64) -> Option<SocketAddr> {
        let addresses = self.addresses();
        let (mut index, port) = (slot % addresses, slot / addresses);
        let port = u16::try_from(u64::from(*self.ports.start()) + port).ok()?;
        if port > *self.ports.end() {
            return None;
        }
        for range in &self.ranges {
            if index < range.count {
                return Some(SocketAddr::new(nth(range.first, index), port));
            }
            index -= range.count;
        }
        None
    }

    #[must_use]
    pub fn contains(&self, addr: SocketAddr) -> bool {
        let inside = |range: &Range| offset(range.first, addr.ip()).is_some_and(|n| n < range.count);
        self.ports.contains(&addr.port()) && self.ranges.iter().any(inside)
    }

    /// Every slot once, beginning at one that is particular to the device: in a pool that is not nearly full
    /// the first or second is free.
    pub fn candidates(&self, device: DeviceKey) -> impl Iterator<Item = SocketAddr> + '_ {
        let slots = self.slots();
        let start = device.device.0.wrapping_add(u64::from(device.tenant.0) << 20) % slots;
        (0..slots).filter_map(move |n| self.slot((start + n) % slots))
    }
}

impl Range {
    fn parse(text: &str) -> Result<Self, String> {
        let wrong = || format!("{text:?} is not an address or a network, as in 127.0.1.0/24");
        let (ip, prefix) = text.split_once('/').unwrap_or((text, ""));
        let network: IpAddr = ip.trim().parse().map_err(|_| wrong())?;
        let bits = if network.is_ipv4() { 32 } else { 128 };
        let prefix = if prefix.is_empty() { Ok(bits) } else { prefix.parse::<u8>() };
        let prefix = prefix.ok().filter(|p| *p <= bits).ok_or_else(wrong)?;
        let host_bits = bits - prefix;
        if host_bits > limits::PROXY_POOL_HOST_BITS_MAX {
            return Err(format!("{text} is too large a network for a pool"));
        }
        let total = 1_u64 << host_bits;
        if offset(align(network, host_bits), network) != Some(0) {
            return Err(format!("{text} has bits set behind its prefix"));
        }
        // The network's own and the broadcast address are no hosts (RFC 919), on loopback too.
        let (skip, count) = if network.is_ipv4() && host_bits > 1 { (1, total - 2) } else { (0, total) };
        Ok(Self { network, prefix, first: nth(network, skip), count })
    }
}

fn align(ip: IpAddr, host_bits: u8) -> IpAddr {
    let mask = (1_u128 << host_bits) - 1;
    match ip {
        IpAddr::V4(v4) => IpAddr::V4(Ipv4Addr::from_bits(v4.to_bits() & !(mask as u32))),
        IpAddr::V6(v6) => IpAddr::V6(Ipv6Addr::from_bits(v6.to_bits() & !mask)),
    }
}

fn nth(ip: IpAddr, n: u64) -> IpAddr {
    match ip {
        IpAddr::V4(v4) => IpAddr::V4(Ipv4Addr::from_bits(v4.to_bits().wrapping_add(n as u32))),
        IpAddr::V6(v6) => IpAddr::V6(Ipv6Addr::from_bits(v6.to_bits().wrapping_add(u128::from(n)))),
    }
}

fn offset(first: IpAddr, ip: IpAddr) -> Option<u64> {
    match (first, ip) {
        (IpAddr::V4(a), IpAddr::V4(b)) => b.to_bits().checked_sub(a.to_bits()).map(u64::from),
        (IpAddr::V6(a), IpAddr::V6(b)) => b.to_bits().checked_sub(a.to_bits()).and_then(|n| u64::try_from(n).ok()),
        _ => None,
    }
}

impl fmt::Display for Pool {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (n, range) in self.ranges.iter().enumerate() {
            let before = if n == 0 { "pool=" } else { "," };
            write!(f, "{before}{}/{}", range.network, range.prefix)?;
        }
        write!(f, "&ports={}-{}", self.ports.start(), self.ports.end())
    }
}

/// A future that a `dyn` trait can return.
pub type BoxFuture<'a, T> = Pin<Box<dyn Future<Output = T> + Send + 'a>>;

/// Remembers which address and port stand for which device, and which device made an LwM2M registration.
pub trait PortBook: Send + Sync {
    /// The address kept for `device` if it still lies in `pool`, else a free one of
    /// [`Pool::candidates`], kept from now on. All taken: [`UpstreamError::Exhausted`].
    fn assign<'a>(&'a self, device: DeviceKey, pool: &'a Pool) -> BoxFuture<'a, Result<SocketAddr, UpstreamError>>;
}

/// A book that forgets at the end of the process, for tests and trials.
#[derive(Default)]
pub struct MemoryPortBook(Mutex<HashMap<DeviceKey, SocketAddr>>);

impl PortBook for MemoryPortBook {
    fn assign<'a>(&'a self, device: DeviceKey, pool: &'a Pool) -> BoxFuture<'a, Result<SocketAddr, UpstreamError>> {
        Box::pin(async move {
            let mut book = self.0.lock().expect("invariant: no panic while the book is held");
            if let Some(kept) = book.get(&device).filter(|kept| pool.contains(**kept)) {
                return Ok(*kept);
            }
            let free = pool.candidates(device).find(|addr| !book.values().any(|taken| taken == addr));
            let addr = free.ok_or_else(|| exhausted(pool))?;
            book.insert(device, addr);
            Ok(addr)
        })
    }
}

/// What a device is told when every address is taken.
#[must_use]
pub fn exhausted(pool: &Pool) -> UpstreamError {
    UpstreamError::Exhausted(format!(
        "all {} addresses of the pool stand for other devices: enlarge pool or ports",
        pool.slots()
    ))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn pool(text: &str, ports: RangeInclusive<u16>) -> Pool {
        Pool::parse(text, ports, "127.0.0.1".parse().unwrap()).unwrap()
    }

    #[test]
    fn slots_are_distinct_and_inside() {
        let pool = pool("127.0.1.0/29,127.0.2.9", 1000..=1002);
        assert_eq!(pool.slots(), 7 * 3);
        let all: std::collections::HashSet<_> = (0..21).map(|n| pool.slot(n).unwrap()).collect();
        assert_eq!(all.len(), 21);
        assert!(all.iter().all(|addr| pool.contains(*addr)));
        assert_eq!(pool.slot(21), None);
        assert!(!pool.contains("127.0.1.0:1000".parse().unwrap()));
        assert!(!pool.contains("127.0.1.7:1000".parse().unwrap()));
        assert!(!pool.contains("127.0.2.9:1003".parse().unwrap()));
    }

    #[test]
    fn wrong_pools_are_refused() {
        let target = "127.0.0.1".parse().unwrap();
        for text in ["", "x", "127.0.0.1/33", "127.0.1.1/24", "::1", "127.0.0.0/8"] {
            assert!(Pool::parse(text, 1..=2, target).is_err(), "{text}");
        }
    }

    #[test]
    fn the_size_is_bounded() {
        let target = "10.0.0.1".parse().unwrap();
        assert!(Pool::parse("10.0.0.0/16", 1..=1, target).is_ok());
        assert!(Pool::parse("10.0.0.0/15", 1..=1, target).is_err());
        assert!(Pool::parse("10.0.0.0/16,10.1.0.0/16", 1..=1, target).is_err());
    }

    #[tokio::test]
    async fn a_book_keeps_addresses_and_refuses_when_full() {
        let (book, pool) = (MemoryPortBook::default(), pool("127.0.1.1", 5000..=5001));
        let [a, b, c] = [1, 2, 3].map(|device| DeviceKey::new(1, device));
        let first = book.assign(a, &pool).await.unwrap();
        assert_ne!(book.assign(b, &pool).await.unwrap(), first);
        assert!(matches!(book.assign(c, &pool).await, Err(UpstreamError::Exhausted(_))));
        assert_eq!(book.assign(a, &pool).await.unwrap(), first);
    }
}
