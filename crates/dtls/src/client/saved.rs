//! An association as a device keeps it over a power cycle.

use alloc::boxed::Box;
use alloc::vec::Vec;

use bartizan_crypto::Secret;

use crate::codec::{Reader, put_u16, put_vec8};
use crate::schedule::TrafficKey;
use crate::v13::established::Kept;
use crate::{CipherSuite, ConnectionId, Error, ReplayWindow, Version, limits};

/// The first byte of every saved session; another layout gets another number.
const VERSION: u8 = 1;
/// Says "no Connection ID was negotiated" where a length would stand.
const NO_CID: u8 = 0xFF;

/// Where the version byte says DTLS 1.3.
const VERSION_13: u8 = 2;

/// An association as a device keeps it over a power cycle: at most 220 bytes, keys inside, so it belongs in
/// memory that nobody else reads.
///
/// It names the first send sequence number that has not been reserved; [`Connection::resume`] continues there.
/// Received records are remembered up to the moment of saving.
///
/// [`Connection::resume`]: crate::Connection::resume
#[derive(Clone)]
pub struct SavedSession(pub(super) Saved);

/// What the two versions keep.
#[derive(Clone)]
pub(super) enum Saved {
    V12(Box<Saved12>),
    V13(Box<Saved13>),
}

#[derive(Clone)]
pub(super) struct Saved12 {
    pub suite: CipherSuite,
    pub read: TrafficKey,
    pub write: TrafficKey,
    pub own_cid: Option<ConnectionId>,
    pub peer_cid: ConnectionId,
    pub window: ReplayWindow,
    pub lease: u64,
    pub exporter: Secret<32>,
}

/// Window and lease count epochs, too; keys come from the secrets again.
#[derive(Clone)]
pub(super) struct Saved13 {
    pub suite: CipherSuite,
    pub kept: Kept,
    pub own_cid: Option<ConnectionId>,
    pub peer_cid: ConnectionId,
    pub window: ReplayWindow,
    pub lease: u64,
    pub exporter: Secret<32>,
}

impl SavedSession {
    #[must_use]
    pub fn to_bytes(&self) -> Vec<u8> {
        match &self.0 {
            Saved::V12(saved) => saved.to_bytes(),
            Saved::V13(saved) => saved.to_bytes(),
        }
    }

    /// # Errors
    /// `Malformed` if the bytes are not a saved session of this version.
    pub fn from_bytes(bytes: &[u8]) -> Result<Self, Error> {
        let mut reader = Reader::new(bytes);
        let saved = match reader.u8()? {
            VERSION => Saved::V12(Box::new(Saved12::read(&mut reader)?)),
            VERSION_13 => Saved::V13(Box::new(Saved13::read(&mut reader)?)),
            _ => return Err(Error::Malformed("a saved session of another version")),
        };
        reader.finish()?;
        Ok(Self(saved))
    }

    /// The cipher suite, which the next [`ClientConfig`](crate::ClientConfig) must still allow.
    #[must_use]
    pub const fn suite(&self) -> CipherSuite {
        match &self.0 {
            Saved::V12(saved) => saved.suite,
            Saved::V13(saved) => saved.suite,
        }
    }

    /// Whether the peer gave us a Connection ID, so that our address may have changed since.
    #[must_use]
    pub const fn has_peer_cid(&self) -> bool {
        !self.peer_cid().is_empty()
    }

    const fn peer_cid(&self) -> &ConnectionId {
        match &self.0 {
            Saved::V12(saved) => &saved.peer_cid,
            Saved::V13(saved) => &saved.peer_cid,
        }
    }
}

impl core::fmt::Debug for SavedSession {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        write!(f, "SavedSession({}, {:?})", self.suite(), self.peer_cid())
    }
}

impl Saved12 {
    fn to_bytes(&self) -> Vec<u8> {
        let mut out = Vec::with_capacity(220);
        out.push(VERSION);
        put_u16(&mut out, self.suite.code());
        out.extend_from_slice(&*self.read.to_bytes());
        out.extend_from_slice(&*self.write.to_bytes());
        put_own_cid(&mut out, self.own_cid.as_ref());
        put_vec8(&mut out, self.peer_cid.as_slice());
        for number in [self.window.top, self.window.bits, self.lease] {
            out.extend_from_slice(&number.to_be_bytes());
        }
        out.extend_from_slice(self.exporter.expose());
        out
    }

    fn read(reader: &mut Reader<'_>) -> Result<Self, Error> {
        let suite = CipherSuite::from_code(reader.u16()?).filter(|suite| suite.version() == Version::Dtls12);
        let saved = Self {
            suite: suite.ok_or(Error::Malformed("a saved session of an unknown suite"))?,
            read: TrafficKey::from_bytes(&reader.array()?),
            write: TrafficKey::from_bytes(&reader.array()?),
            own_cid: read_own_cid(reader)?,
            peer_cid: cid_of(reader.vec8()?)?,
            window: ReplayWindow { top: reader.u64()?, bits: reader.u64()? },
            lease: reader.u64()?,
            exporter: Secret::new(reader.array()?),
        };
        match saved.lease > limits::SEQUENCE_MAX + 1 {
            true => Err(Error::Malformed("a sequence number of more than 48 bits")),
            false => Ok(saved),
        }
    }
}

impl Saved13 {
    fn to_bytes(&self) -> Vec<u8> {
        let mut out = Vec::with_capacity(220);
        out.push(VERSION_13);
        put_u16(&mut out, self.suite.code());
        self.kept.encode(&mut out);
        put_own_cid(&mut out, self.own_cid.as_ref());
        put_vec8(&mut out, self.peer_cid.as_slice());
        for number in [self.window.top, self.window.bits, self.lease] {
            out.extend_from_slice(&number.to_be_bytes());
        }
        out.extend_from_slice(self.exporter.expose());
        out
    }

    fn read(reader: &mut Reader<'_>) -> Result<Self, Error> {
        let suite = CipherSuite::from_code(reader.u16()?).filter(|suite| suite.version() == Version::Dtls13);
        let suite = suite.ok_or(Error::Malformed("a saved session of an unknown suite"))?;
        Ok(Self {
            suite,
            kept: Kept::decode(reader, suite)?,
            own_cid: read_own_cid(reader)?,
            peer_cid: cid_of(reader.vec8()?)?,
            window: ReplayWindow { top: reader.u64()?, bits: reader.u64()? },
            lease: reader.u64()?,
            exporter: Secret::new(reader.array()?),
        })
    }
}

fn put_own_cid(out: &mut Vec<u8>, cid: Option<&ConnectionId>) {
    match cid {
        Some(cid) => put_vec8(out, cid.as_slice()),
        None => out.push(NO_CID),
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
