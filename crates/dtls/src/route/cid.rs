//! The Connection IDs that an endpoint issues, and how it reads them back.
//!
//! ```text
//! plain   01 ‖ slot (32) ‖ generation (24)                                                8 bytes
//! sealed  config id (3) length (5) ‖ E(shard (16) ‖ slot (24) ‖ generation (24) ‖ nonce)  10 to 17 bytes
//! ```
//!
//! A device puts the Connection ID into every record that it ever sends, so each byte of it is paid for in battery.
//! A nonce of one byte makes 10 bytes: two more than in the plain format, about 0.3 % of the energy of a wake-up.
//! What it buys: nobody on the path sees how many sessions there are, which one was set up after which, or that two
//! Connection IDs are the same device's. (One Connection ID over and over is of course the same device's; in
//! DTLS 1.3 it can be given another one.) Whoever makes more than some 2^18 of them under one key can tell the short
//! ones from random bytes, though not whose they are; a nonce of eight bytes makes them one AES block, 17 bytes in
//! all. Shard, slot and generation stand in front, so a load balancer that follows the draft needs to be told a
//! server id of two bytes and the rest as nonce.

use alloc::sync::Arc;

use bartizan_crypto::{Aes128Block, Random, Secret};

use super::cipher;
use crate::{ConnectionId, Error, SessionId};

/// First byte of the plain format, which can be no sealed one's: its length does not fit.
const PLAIN: u8 = 0x01;
const PLAIN_BYTES: usize = 8;
/// Shard, slot, generation.
const FIXED_BYTES: usize = 8;
const NONCE_BYTES_MAX: usize = 8;
/// Config ids: 0 is the plain format's, 7 the draft keeps for Connection IDs that lead nowhere (section 4).
const CONFIG_IDS: core::ops::RangeInclusive<u8> = 1..=6;

/// One way to make Connection IDs: the key, and the number that says which key it is.
#[derive(Clone)]
pub struct RouteConfig {
    /// 1 to 6.
    pub id: u8,
    pub key: Secret<16>,
    /// 1 to 8 bytes behind what leads to the session. The Connection ID has 9 more.
    pub nonce_bytes: usize,
}

impl RouteConfig {
    /// The shortest Connection IDs: 10 bytes.
    #[must_use]
    pub const fn new(id: u8, key: Secret<16>) -> Self {
        Self { id, key, nonce_bytes: 1 }
    }
}

impl core::fmt::Debug for RouteConfig {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        write!(f, "RouteConfig({}, nonces of {} bytes)", self.id, self.nonce_bytes)
    }
}

/// Where a Connection ID leads, whether or not anything is there.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Route {
    pub shard: u16,
    pub session: SessionId,
}

/// A way to make and read Connection IDs, keys expanded.
#[derive(Clone)]
pub(crate) enum Format {
    Plain,
    Sealed { first: u8, key: Arc<Aes128Block>, nonce_bytes: usize },
}

impl Format {
    pub fn sealed(config: &RouteConfig) -> Result<Self, Error> {
        if !CONFIG_IDS.contains(&config.id) {
            return Err(Error::Misuse("a route's config id is not 1 to 6"));
        }
        if !(1..=NONCE_BYTES_MAX).contains(&config.nonce_bytes) {
            return Err(Error::Misuse("a route's nonce does not have 1 to 8 bytes"));
        }
        let length = FIXED_BYTES + config.nonce_bytes;
        let first = config.id << 5 | length as u8;
        Ok(Self::Sealed {
            first,
            key: Arc::new(Aes128Block::new(config.key.expose())),
            nonce_bytes: config.nonce_bytes,
        })
    }

    /// The first byte of all its Connection IDs.
    pub const fn first(&self) -> u8 {
        match self {
            Self::Plain => PLAIN,
            Self::Sealed { first, .. } => *first,
        }
    }

    /// Length of its Connection IDs.
    pub const fn cid_len(&self) -> usize {
        match self {
            Self::Plain => PLAIN_BYTES,
            Self::Sealed { nonce_bytes, .. } => 1 + FIXED_BYTES + *nonce_bytes,
        }
    }

    /// A Connection ID of the session. Sealed ones differ each time, as far as the nonce is long.
    pub fn issue(&self, shard: u16, session: SessionId, rng: &mut dyn Random) -> ConnectionId {
        let [s0, s1, s2, s3] = session.slot.to_be_bytes();
        let [_, g1, g2, g3] = session.generation.to_be_bytes();
        match self {
            Self::Plain => ConnectionId::new(&[PLAIN, s0, s1, s2, s3, g1, g2, g3]).unwrap_or_default(),
            Self::Sealed { first, key, nonce_bytes } => {
                let [h0, h1] = shard.to_be_bytes();
                let mut nonce = [0; NONCE_BYTES_MAX];
                rng.fill(nonce.get_mut(..*nonce_bytes).unwrap_or_default());
                let mut cid = [0; 1 + FIXED_BYTES + NONCE_BYTES_MAX];
                let bytes = [*first, h0, h1, s1, s2, s3, g1, g2, g3].into_iter().chain(nonce);
                cid.iter_mut().zip(bytes).for_each(|(to, from)| *to = from);
                let cid = cid.get_mut(..self.cid_len()).unwrap_or_default();
                cipher::encrypt(key, cid.get_mut(1..).unwrap_or_default());
                ConnectionId::new(cid).unwrap_or_default()
            }
        }
    }

    /// Where a Connection ID of this format leads. Plain ones lead to `shard`.
    pub fn decode(&self, shard: u16, cid: &[u8]) -> Option<Route> {
        match self {
            Self::Plain => decode_plain(shard, cid),
            Self::Sealed { first, key, .. } => {
                let (front, block) = cid.split_first()?;
                if front != first || cid.len() != self.cid_len() {
                    return None;
                }
                let mut plain = [0; FIXED_BYTES + NONCE_BYTES_MAX];
                let plain = plain.get_mut(..block.len())?;
                plain.copy_from_slice(block);
                cipher::decrypt(key, plain);
                let [h0, h1, s1, s2, s3, g1, g2, g3] = *plain.first_chunk()?;
                let slot = u32::from_be_bytes([0, s1, s2, s3]);
                let generation = u32::from_be_bytes([0, g1, g2, g3]);
                Some(Route { shard: u16::from_be_bytes([h0, h1]), session: SessionId { slot, generation } })
            }
        }
    }
}

fn decode_plain(shard: u16, cid: &[u8]) -> Option<Route> {
    match *cid {
        // There are no slots beyond 24 bits (limits::SESSIONS_MAX).
        [PLAIN, 0, b, c, d, e, f, g] => {
            let slot = u32::from_be_bytes([0, b, c, d]);
            let generation = u32::from_be_bytes([0, e, f, g]);
            Some(Route { shard, session: SessionId { slot, generation } })
        }
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const ID: SessionId = SessionId { slot: 0x01_0203, generation: 0x05_0607 };

    fn rng(out: &mut [u8]) {
        out.fill(0x5A);
    }

    fn config(id: u8, nonce_bytes: usize) -> RouteConfig {
        RouteConfig { nonce_bytes, ..RouteConfig::new(id, Secret::new([id; 16])) }
    }

    #[test]
    fn every_length_leads_back_to_its_session() {
        for nonce_bytes in 1..=NONCE_BYTES_MAX {
            let format = Format::sealed(&config(3, nonce_bytes)).unwrap();
            let cid = format.issue(0xABCD, ID, &mut rng);
            assert_eq!(cid.len(), 9 + nonce_bytes);
            assert_eq!(cid.as_slice()[0], 3 << 5 | (8 + nonce_bytes as u8));
            assert_eq!(format.decode(0, cid.as_slice()), Some(Route { shard: 0xABCD, session: ID }));
            assert_eq!(format.decode(0, &cid.as_slice()[1..]), None);
            let other = Format::sealed(&config(4, nonce_bytes)).unwrap();
            assert_eq!(other.decode(0, cid.as_slice()), None);
        }
    }

    #[test]
    fn plain_ones_show_their_session() {
        let cid = Format::Plain.issue(7, ID, &mut rng);
        assert_eq!(cid.as_slice(), [1, 0, 1, 2, 3, 5, 6, 7]);
        assert_eq!(Format::Plain.decode(7, cid.as_slice()), Some(Route { shard: 7, session: ID }));
        assert_eq!(Format::Plain.decode(7, &[1, 2, 3]), None);
        assert_eq!(Format::Plain.decode(7, &[1, 1, 1, 2, 3, 5, 6, 7]), None, "a slot that cannot be");
    }

    #[test]
    fn ids_and_nonces_within_bounds_only() {
        for (id, nonce_bytes, fits) in [(0, 1, false), (1, 1, true), (6, 8, true), (7, 8, false)] {
            assert_eq!(Format::sealed(&config(id, nonce_bytes)).is_ok(), fits);
        }
        for (nonce_bytes, fits) in [(0, false), (1, true), (8, true), (9, false)] {
            assert_eq!(Format::sealed(&config(1, nonce_bytes)).is_ok(), fits);
        }
    }

    /// Neighbours in slot, generation or nonce have nothing visible in common.
    #[test]
    fn neighbours_do_not_look_alike() {
        let format = Format::sealed(&config(1, 1)).unwrap();
        let of = |slot, generation, nonce: u8| {
            let mut rng = move |out: &mut [u8]| out.fill(nonce);
            format.issue(1, SessionId { slot, generation }, &mut rng)
        };
        let first = of(1, 1, 1);
        for other in [of(2, 1, 1), of(1, 2, 1), of(1, 1, 2)] {
            let bits = first.as_slice().iter().zip(other.as_slice()).map(|(a, b)| (a ^ b).count_ones());
            assert!((18..=54).contains(&bits.sum::<u32>()), "{first:?} {other:?}");
        }
    }
}
