//! An association as a device keeps it over a power cycle.

use alloc::vec::Vec;

use bartizan_crypto::Secret;

use crate::codec::{Reader, put_u16, put_vec8};
use crate::handshake::negotiation::RecordLimits;
use crate::schedule::TrafficKey;
use crate::{CipherSuite, ConnectionId, Error, ReplayWindow, limits};

/// The first byte of every saved session; another layout gets another number. (DTLS 1.3 has 2.)
const VERSION: u8 = 3;
/// Without limits for records.
const VERSION_1: u8 = 1;
/// Says "no Connection ID was negotiated" where a length would stand.
const NO_CID: u8 = 0xFF;

/// An association as a device keeps it over a power cycle: at most 224 bytes, keys inside, so it belongs in
/// memory that nobody else reads.
///
/// It names the first send sequence number that has not been reserved; [`Connection::resume`] continues there.
/// Received records are remembered up to the moment of saving.
///
/// [`Connection::resume`]: crate::Connection::resume
#[derive(Clone)]
pub struct SavedSession {
    pub(super) suite: CipherSuite,
    pub(super) read: TrafficKey,
    pub(super) write: TrafficKey,
    pub(super) own_cid: Option<ConnectionId>,
    pub(super) peer_cid: ConnectionId,
    pub(super) window: ReplayWindow,
    pub(super) lease: u64,
    pub(super) exporter: Secret<32>,
    pub(super) send_limit: u16,
    pub(super) receive_limit: u16,
}

impl SavedSession {
    #[must_use]
    pub fn to_bytes(&self) -> Vec<u8> {
        let mut out = Vec::with_capacity(224);
        out.push(VERSION);
        put_u16(&mut out, self.suite.code());
        out.extend_from_slice(&*self.read.to_bytes());
        out.extend_from_slice(&*self.write.to_bytes());
        match &self.own_cid {
            Some(cid) => put_vec8(&mut out, cid.as_slice()),
            None => out.push(NO_CID),
        }
        put_vec8(&mut out, self.peer_cid.as_slice());
        for number in [self.window.top, self.window.bits, self.lease] {
            out.extend_from_slice(&number.to_be_bytes());
        }
        out.extend_from_slice(self.exporter.expose());
        put_u16(&mut out, self.send_limit);
        put_u16(&mut out, self.receive_limit);
        out
    }

    /// # Errors
    /// `Malformed` if the bytes are not a saved session of this version.
    pub fn from_bytes(bytes: &[u8]) -> Result<Self, Error> {
        let mut reader = Reader::new(bytes);
        let version = reader.u8()?;
        if version != VERSION && version != VERSION_1 {
            return Err(Error::Malformed("a saved session of another version"));
        }
        let suite = CipherSuite::from_code(reader.u16()?);
        let mut saved = Self {
            suite: suite.ok_or(Error::Malformed("a saved session of an unknown suite"))?,
            read: TrafficKey::from_bytes(&reader.array()?),
            write: TrafficKey::from_bytes(&reader.array()?),
            own_cid: read_own_cid(&mut reader)?,
            peer_cid: cid_of(reader.vec8()?)?,
            window: ReplayWindow { top: reader.u64()?, bits: reader.u64()? },
            lease: reader.u64()?,
            exporter: Secret::new(reader.array()?),
            send_limit: RecordLimits::NONE.send,
            receive_limit: RecordLimits::NONE.receive,
        };
        if version == VERSION {
            (saved.send_limit, saved.receive_limit) = (reader.u16()?, reader.u16()?);
        }
        reader.finish()?;
        if saved.lease > limits::SEQUENCE_MAX + 1 {
            return Err(Error::Malformed("a sequence number of more than 48 bits"));
        }
        Ok(saved)
    }

    /// The cipher suite, which the next [`ClientConfig`](crate::ClientConfig) must still allow.
    #[must_use]
    pub const fn suite(&self) -> CipherSuite {
        self.suite
    }

    /// Whether the peer gave us a Connection ID, so that our address may have changed since.
    #[must_use]
    pub const fn has_peer_cid(&self) -> bool {
        !self.peer_cid.is_empty()
    }
}

impl core::fmt::Debug for SavedSession {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        write!(f, "SavedSession({}, {:?})", self.suite, self.peer_cid)
    }
}

fn read_own_cid(reader: &mut Reader<'_>) -> Result<Option<ConnectionId>, Error> {
    match reader.rest().first() {
        Some(&NO_CID) => reader.u8().map(|_| None),
        _ => cid_of(reader.vec8()?).map(Some),
    }
}

fn cid_of(bytes: &[u8]) -> Result<ConnectionId, Error> {
    ConnectionId::new(bytes).ok_or(Error::Malformed("a Connection ID is too long"))
}
