//! A datagram that reached the wrong node, on its way to the right one, and the answer on its way back.
//!
//! ```text
//! layout (8) direction (8) shard (16) map version (64) source (152) destination (152) MAC (128) ‖ datagram
//! ```

use alloc::vec::Vec;
use core::net::SocketAddr;

use bartizan_crypto::{Provider, Secret, constant_time_eq};

use crate::codec::Reader;
use crate::server::address::{self, ADDRESS_BYTES};
use crate::{Error, limits};

const LAYOUT: u8 = 1;
const MAC_BYTES: usize = 16;
const HEADER_BYTES: usize = 12 + 2 * ADDRESS_BYTES;
const LABEL: &[u8] = b"bartizan forward";

/// Which way a forwarded datagram goes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Direction {
    /// From a device, to the owner of its session.
    ToOwner,
    /// From the owner, to the node whose address the device wrote to.
    ToDevice,
}

/// What a forwarded datagram carries with it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Envelope {
    pub direction: Direction,
    pub shard: u16,
    /// Version of the map by which the sender found the receiver. An owner that knows an older one asks for a newer
    /// before it decides; one that knows a newer one and does not own the shard drops the datagram. Nobody forwards
    /// what was forwarded.
    pub map_version: u64,
    /// The device's address.
    pub device: SocketAddr,
    /// The address that the device wrote to, from which it is answered.
    pub service: SocketAddr,
}

/// Wraps and unwraps under a key that the nodes of a cluster share.
///
/// The MAC (HMAC-SHA-256, half of it) covers the envelope and the datagram. A replay of the whole is worth what a
/// replay of the device's datagram is: nothing.
pub struct Forwarder {
    provider: &'static Provider,
    key: Secret<32>,
}

impl Forwarder {
    #[must_use]
    pub const fn new(provider: &'static Provider, key: Secret<32>) -> Self {
        Self { provider, key }
    }

    /// The bytes to send to the other node.
    ///
    /// # Errors
    /// `Misuse` if the datagram is longer than any is, `Unavailable` without memory.
    pub fn wrap(&self, envelope: &Envelope, datagram: &[u8]) -> Result<Vec<u8>, Error> {
        if datagram.len() > limits::MTU_MAX {
            return Err(Error::Misuse("longer than a datagram can be"));
        }
        let mut out = Vec::new();
        out.try_reserve_exact(HEADER_BYTES + MAC_BYTES + datagram.len())
            .map_err(|_| Error::Unavailable("no memory for a datagram"))?;
        out.push(LAYOUT);
        out.push(envelope.direction as u8);
        out.extend_from_slice(&envelope.shard.to_be_bytes());
        out.extend_from_slice(&envelope.map_version.to_be_bytes());
        out.extend_from_slice(&address::to_bytes(envelope.device));
        out.extend_from_slice(&address::to_bytes(envelope.service));
        let mac = self.mac(&out, datagram);
        out.extend_from_slice(&mac);
        out.extend_from_slice(datagram);
        Ok(out)
    }

    /// The envelope, and the datagram in it to be handled as if it had come from [`Envelope::device`].
    ///
    /// # Errors
    /// `Malformed` if the bytes are not what [`Self::wrap`] made under this key.
    pub fn unwrap<'b>(&self, bytes: &'b mut [u8]) -> Result<(Envelope, &'b mut [u8]), Error> {
        let short = Error::Malformed("a forwarded datagram ends too early");
        let (header, rest) = bytes.split_at_mut_checked(HEADER_BYTES).ok_or(short)?;
        let (mac, datagram) = rest.split_at_mut_checked(MAC_BYTES).ok_or(short)?;
        if !constant_time_eq(&self.mac(header, datagram), mac) {
            return Err(Error::Malformed("a forwarded datagram that no node of ours sent"));
        }
        Ok((Envelope::read(header)?, datagram))
    }

    fn mac(&self, header: &[u8], datagram: &[u8]) -> [u8; MAC_BYTES] {
        let whole = (self.provider.hmac_sha256)(self.key.expose(), &[LABEL, header, datagram]);
        let mut half = [0; MAC_BYTES];
        half.iter_mut().zip(whole).for_each(|(to, from)| *to = from);
        half
    }
}

impl core::fmt::Debug for Forwarder {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        f.write_str("Forwarder(<hidden>)")
    }
}

impl Envelope {
    fn read(header: &[u8]) -> Result<Self, Error> {
        let mut reader = Reader::new(header);
        let layout = reader.u8()?;
        let direction = match (layout, reader.u8()?) {
            (LAYOUT, 0) => Direction::ToOwner,
            (LAYOUT, 1) => Direction::ToDevice,
            _ => return Err(Error::Malformed("a forwarded datagram of another layout")),
        };
        let (shard, map_version) = (reader.u16()?, reader.u64()?);
        let (device, service) = (address::from_bytes(&reader.array()?), address::from_bytes(&reader.array()?));
        Ok(Self { direction, shard, map_version, device, service })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use bartizan_crypto::RUSTCRYPTO;

    fn envelope() -> Envelope {
        Envelope {
            direction: Direction::ToDevice,
            shard: 7,
            map_version: 3,
            device: "192.0.2.7:1000".parse().unwrap(),
            service: "[2001:db8::1]:5684".parse().unwrap(),
        }
    }

    #[test]
    fn no_bit_may_change_and_no_other_key_opens() {
        let ours = Forwarder::new(&RUSTCRYPTO, Secret::new([1; 32]));
        let theirs = Forwarder::new(&RUSTCRYPTO, Secret::new([2; 32]));
        let wrapped = ours.wrap(&envelope(), b"datagram").unwrap();
        assert_eq!(wrapped.len(), 66 + 8);
        assert_eq!(ours.unwrap(&mut wrapped.clone()).unwrap(), (envelope(), &mut b"datagram".to_vec()[..]));
        assert!(theirs.unwrap(&mut wrapped.clone()).is_err());
        for bit in 0..wrapped.len() * 8 {
            let mut changed = wrapped.clone();
            changed[bit / 8] ^= 1 << (bit % 8);
            assert!(ours.unwrap(&mut changed).is_err(), "{bit}");
        }
        for length in 0..wrapped.len() {
            assert!(ours.unwrap(&mut wrapped[..length].to_vec()).is_err(), "{length}");
        }
        for (length, fits) in [(limits::MTU_MAX, true), (limits::MTU_MAX + 1, false)] {
            assert_eq!(ours.wrap(&envelope(), &alloc::vec![0; length]).is_ok(), fits);
        }
    }
}
