//! Connection IDs as routes: from the first bytes of a record to the node that owns its session, without an index.
//!
//! A *logical shard* is one [`Endpoint`](crate::Endpoint)'s worth of sessions. A node runs one endpoint for each shard
//! that it owns; [`Routes::route_of`] says which one a datagram is for. The endpoint answers a Connection ID of
//! another shard with [`Misrouted`](crate::EndpointEvent::Misrouted), and the caller asks the [`ShardMap`] for the
//! owner and sends the datagram there in an [`Envelope`]. The owner answers from the address that the device wrote
//! to, if it has it too (a shared address), or else sends the answer back through the forwarder, which does: a NAT
//! lets nothing else in.
//!
//! When a node dies, another restores its sessions from its journal into a new endpoint. That two nodes never serve
//! a shard at once is the [`Fence`]'s business; that no nonce comes twice follows from the leases of sequence numbers:
//! the new owner goes on where the last lease ends. Records that the dead node opened and did not journal would
//! be accepted again, so a caller whose journal is a copy that may lag asks again before it does what cannot be
//! done twice (CoAP Echo, RFC 9175).

pub(crate) mod cid;
pub(crate) mod cipher;
mod fence;
mod forward;
mod map;

use alloc::vec::Vec;

use bartizan_crypto::Random;
use bartizan_wire::record::ContentType;

use crate::{ConnectionId, Error, SessionId, limits};
use cid::Format;
pub use cid::{Route, RouteConfig};
pub use fence::Fence;
pub use forward::{Direction, Envelope, Forwarder};
pub use map::{NodeId, ShardMap};

/// How an endpoint makes and reads Connection IDs.
#[derive(Clone)]
pub struct Routes {
    /// The first one makes new Connection IDs. Never empty.
    issuing: Format,
    accepted: Vec<Format>,
    shard: u16,
    clustered: bool,
}

impl Routes {
    /// Connection IDs in the clear: whoever sees one sees how many sessions there are, and which is whose successor.
    #[must_use]
    pub const fn plain() -> Self {
        Self { issuing: Format::Plain, accepted: Vec::new(), shard: 0, clustered: false }
    }

    /// Connection IDs that only the key's holders can read.
    ///
    /// # Errors
    /// `Misuse` if the id or the length of the nonce is out of range.
    pub fn sealed(config: &RouteConfig) -> Result<Self, Error> {
        Ok(Self { issuing: Format::sealed(config)?, ..Self::plain() })
    }

    /// Accepts, besides those that it issues, Connection IDs of this configuration: an older key's, or a coming
    /// one's, so that all nodes know it before the first issues it.
    ///
    /// # Errors
    /// `Misuse` if the configuration is out of range or its id is in use.
    pub fn accepting(mut self, config: &RouteConfig) -> Result<Self, Error> {
        let format = Format::sealed(config)?;
        let id = |format: &Format| format.first() >> 5;
        if self.formats().any(|known| id(known) == id(&format)) {
            return Err(Error::Misuse("two routes with one config id"));
        }
        self.accepted.push(format);
        Ok(self)
    }

    /// Accepts the plain format, too: sessions from before there was a key.
    #[must_use]
    pub fn accepting_plain(mut self) -> Self {
        if self.formats().all(|known| !matches!(known, Format::Plain)) {
            self.accepted.push(Format::Plain);
        }
        self
    }

    /// For one shard of several: Connection IDs of others are reported for forwarding, not as unknown.
    #[must_use]
    pub const fn for_shard(mut self, shard: u16) -> Self {
        self.shard = shard;
        self.clustered = true;
        self
    }

    /// The shard whose sessions these are.
    #[must_use]
    pub const fn shard(&self) -> u16 {
        self.shard
    }

    /// Where a Connection ID leads; `None` if it is not ours.
    #[must_use]
    pub fn decode(&self, cid: &[u8]) -> Option<Route> {
        let first = *cid.first()?;
        let format = self.formats().find(|format| format.first() == first)?;
        format.decode(self.shard, cid)
    }

    /// Where the first record of a datagram leads; `None` if it has no Connection ID of ours.
    #[must_use]
    pub fn route_of(&self, datagram: &[u8]) -> Option<Route> {
        let cid = datagram.get(cid_offset(*datagram.first()?)?..)?;
        let length = self.cid_len(*cid.first()?);
        self.decode(cid.get(..length)?)
    }

    /// The shard that a datagram has to be forwarded to.
    pub(crate) fn elsewhere(&self, datagram: &[u8]) -> Option<u16> {
        if !self.clustered {
            return None;
        }
        let shard = self.route_of(datagram)?.shard;
        (shard != self.shard).then_some(shard)
    }

    /// The session that a Connection ID names here.
    pub(crate) fn session_of(&self, cid: &[u8]) -> Option<SessionId> {
        self.decode(cid).filter(|route| route.shard == self.shard).map(|route| route.session)
    }

    /// How long the Connection ID is that begins with this byte. For one that is not ours, some length.
    pub(crate) fn cid_len(&self, first: u8) -> usize {
        let format = self.formats().find(|format| format.first() == first);
        format.unwrap_or(&self.issuing).cid_len()
    }

    /// How long the Connection ID of the datagram's first record is, if it is a DTLS 1.2 record that has one.
    pub(crate) fn cid_len_in(&self, datagram: &[u8]) -> usize {
        self.cid_len(datagram.get(DTLS_1_2_CID_AT).copied().unwrap_or_default())
    }

    /// A new Connection ID for a session.
    pub(crate) fn issue(&self, session: SessionId, rng: &mut dyn Random) -> ConnectionId {
        self.issuing.issue(self.shard, session, rng)
    }

    fn formats(&self) -> impl Iterator<Item = &Format> {
        core::iter::once(&self.issuing).chain(&self.accepted)
    }
}

impl core::fmt::Debug for Routes {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        write!(f, "Routes(shard {}, {} formats)", self.shard, self.formats().count())
    }
}

/// Where the Connection ID stands in a DTLS 1.2 record.
const DTLS_1_2_CID_AT: usize = 11;

/// Where the Connection ID stands in a record that begins with this byte: RFC 9146 section 4, and the C bit of RFC
/// 9147 section 4.
pub(crate) fn cid_offset(first: u8) -> Option<usize> {
    match first {
        first if first == ContentType::TLS12_CID.0 => Some(DTLS_1_2_CID_AT),
        first if first & 0b1111_0000 == 0b0011_0000 => Some(1),
        _ => None,
    }
}

const _: () = assert!(cipher::BLOCK_BYTES_MAX < limits::CONNECTION_ID_BYTES_MAX, "every Connection ID can be held");

#[cfg(test)]
mod tests {
    use super::*;
    use bartizan_crypto::Secret;

    const ID: SessionId = SessionId { slot: 5, generation: 9 };

    fn config(id: u8) -> RouteConfig {
        RouteConfig { nonce_bytes: usize::from(id), ..RouteConfig::new(id, Secret::new([id; 16])) }
    }

    fn rng(out: &mut [u8]) {
        out.fill(3);
    }

    #[test]
    fn keys_rotate_by_config_id() {
        let old = Routes::sealed(&config(1)).unwrap();
        let both = Routes::sealed(&config(2)).unwrap().accepting(&config(1)).unwrap().accepting_plain();
        let new = Routes::sealed(&config(2)).unwrap();
        let cid = |routes: &Routes| routes.issue(ID, &mut rng);
        for known in [&cid(&old), &cid(&both), &cid(&new), &cid(&Routes::plain())] {
            assert_eq!(both.session_of(known.as_slice()), Some(ID));
            assert_eq!(both.cid_len(known.as_slice()[0]), known.len());
        }
        assert_eq!(new.session_of(cid(&old).as_slice()), None);
        assert_eq!(old.session_of(cid(&both).as_slice()), None);
        assert!(both.accepting(&config(1)).is_err());
    }

    #[test]
    fn a_datagram_says_which_shard_it_is_for() {
        let here = Routes::sealed(&config(1)).unwrap().for_shard(1);
        let there = here.clone().for_shard(2);
        let cid = there.issue(ID, &mut rng);
        let v12: Vec<u8> = [25; 11].iter().chain(cid.as_slice()).chain(&[0, 0]).copied().collect();
        let v13: Vec<u8> = [0b0011_1100].iter().chain(cid.as_slice()).copied().collect();
        for datagram in [&v12, &v13] {
            assert_eq!(here.route_of(datagram), Some(Route { shard: 2, session: ID }));
            assert_eq!((here.elsewhere(datagram), there.elsewhere(datagram)), (Some(2), None));
            (0..cid.len()).for_each(|length| assert_eq!(here.route_of(&datagram[..length]), None));
        }
        assert_eq!(Routes::sealed(&config(1)).unwrap().elsewhere(&v12), None, "alone, there is no elsewhere");
        assert_eq!(here.route_of(&[22; 40]), None);
        assert_eq!(here.session_of(cid.as_slice()), None);
    }
}
