//! An association as a device keeps it over a power cycle.

use alloc::vec::Vec;

use bartizan_crypto::Secret;
use zeroize::Zeroizing;

use crate::codec::{Reader, Writer};
use crate::handshake::negotiation::RecordLimits;
use crate::limits::SAVED_SESSION_BYTES_MAX;
use crate::schedule::TrafficKey;
use crate::v13::established::Kept;
use crate::v13::spares::Spares;
use crate::{CipherSuite, ConnectionId, Error, ReplayWindow, Version, limits};

/// The first byte of every saved session; another layout gets another number.
const VERSION: u8 = 3;
/// The layout before record limits, still read.
const VERSION_1: u8 = 1;
/// Says "no Connection ID was negotiated" where a length would stand.
const NO_CID: u8 = 0xFF;

/// Where the version byte says DTLS 1.3.
const VERSION_13: u8 = 4;
/// The layout before spare Connection IDs and record limits, still read.
const VERSION_13_1: u8 = 2;

/// An association as a device keeps it over a power cycle: at most [`SAVED_SESSION_BYTES_MAX`]
/// bytes, keys inside, so it belongs in
/// memory that nobody else reads.
///
/// It names the first send sequence number that has not been reserved; [`Connection::resume`] continues there.
/// Received records are remembered up to the moment of saving.
///
/// [`Connection::resume`]: crate::Connection::resume
#[derive(Clone)]
pub struct SavedSession(pub(super) Saved);

/// What the two versions keep. Inline, so that a device can wake up without a heap.
#[derive(Clone)]
pub(super) enum Saved {
    V12(Saved12),
    V13(Saved13),
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
    pub send_limit: u16,
    pub receive_limit: u16,
}

/// Window and lease count epochs, too; keys come from the secrets again.
#[derive(Clone)]
pub(super) struct Saved13 {
    pub suite: CipherSuite,
    pub kept: Kept,
    pub own_cid: Option<ConnectionId>,
    pub peer_cid: ConnectionId,
    /// As many as fit.
    pub spares: Spares,
    pub window: ReplayWindow,
    pub lease: u64,
    pub exporter: Secret<32>,
    pub send_limit: u16,
    pub receive_limit: u16,
}

impl SavedSession {
    /// At most [`SAVED_SESSION_BYTES_MAX`] bytes.
    #[must_use]
    pub fn to_bytes(&self) -> Vec<u8> {
        let mut bytes = Zeroizing::new([0; SAVED_SESSION_BYTES_MAX]);
        let length = self.write(&mut *bytes).unwrap_or_default();
        bytes.get(..length).unwrap_or_default().to_vec()
    }

    /// The same into the front of `out`; returns how many bytes they are.
    ///
    /// # Errors
    /// `Misuse` if `out` is too short; [`SAVED_SESSION_BYTES_MAX`] are enough for all.
    pub fn write(&self, out: &mut [u8]) -> Result<usize, Error> {
        let mut writer = Writer::new(out);
        match &self.0 {
            Saved::V12(saved) => saved.write(&mut writer)?,
            Saved::V13(saved) => saved.write(&mut writer)?,
        }
        Ok(writer.into_rest().1)
    }

    /// # Errors
    /// `Malformed` if the bytes are not a saved session of this version.
    pub fn from_bytes(bytes: &[u8]) -> Result<Self, Error> {
        let mut reader = Reader::new(bytes);
        let saved = match reader.u8()? {
            version @ (VERSION | VERSION_1) => Saved::V12(Saved12::read(&mut reader, version)?),
            version @ (VERSION_13 | VERSION_13_1) => Saved::V13(Saved13::read(&mut reader, version)?),
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
    fn write(&self, writer: &mut Writer<'_>) -> Result<(), Error> {
        writer.put(&[VERSION])?;
        writer.put(&self.suite.code().to_be_bytes())?;
        writer.put(&*self.read.to_bytes())?;
        writer.put(&*self.write.to_bytes())?;
        put_own_cid(writer, self.own_cid.as_ref())?;
        put_cid(writer, &self.peer_cid)?;
        put_rest(writer, &self.window, self.lease, &self.exporter)?;
        writer.put(&self.send_limit.to_be_bytes())?;
        writer.put(&self.receive_limit.to_be_bytes())
    }

    fn read(reader: &mut Reader<'_>, version: u8) -> Result<Self, Error> {
        let suite = CipherSuite::from_code(reader.u16()?).filter(|suite| suite.version() == Version::Dtls12);
        let mut saved = Self {
            suite: suite.ok_or(Error::Malformed("a saved session of an unknown suite"))?,
            read: TrafficKey::from_bytes(&reader.array()?),
            write: TrafficKey::from_bytes(&reader.array()?),
            own_cid: read_own_cid(reader)?,
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
        match saved.lease > limits::SEQUENCE_MAX + 1 {
            true => Err(Error::Malformed("a sequence number of more than 48 bits")),
            false => Ok(saved),
        }
    }
}

impl Saved13 {
    fn write(&self, writer: &mut Writer<'_>) -> Result<(), Error> {
        writer.put(&[VERSION_13])?;
        writer.put(&self.suite.code().to_be_bytes())?;
        let mut outcome = Ok(());
        self.kept.encode(|bytes| outcome = outcome.and_then(|()| writer.put(bytes)));
        outcome?;
        put_own_cid(writer, self.own_cid.as_ref())?;
        put_cid(writer, &self.peer_cid)?;
        put_rest(writer, &self.window, self.lease, &self.exporter)?;
        writer.put(&self.send_limit.to_be_bytes())?;
        writer.put(&self.receive_limit.to_be_bytes())?;
        for cid in self.spares.iter() {
            if writer.written() + 1 + cid.len() <= SAVED_SESSION_BYTES_MAX {
                put_cid(writer, cid)?;
            }
        }
        Ok(())
    }

    fn read(reader: &mut Reader<'_>, version: u8) -> Result<Self, Error> {
        let suite = CipherSuite::from_code(reader.u16()?).filter(|suite| suite.version() == Version::Dtls13);
        let suite = suite.ok_or(Error::Malformed("a saved session of an unknown suite"))?;
        let mut saved = Self {
            suite,
            kept: Kept::decode(reader, suite)?,
            own_cid: read_own_cid(reader)?,
            peer_cid: cid_of(reader.vec8()?)?,
            window: ReplayWindow { top: reader.u64()?, bits: reader.u64()? },
            lease: reader.u64()?,
            exporter: Secret::new(reader.array()?),
            spares: Spares::default(),
            send_limit: RecordLimits::NONE_13.send,
            receive_limit: RecordLimits::NONE_13.receive,
        };
        if version == VERSION_13 {
            (saved.send_limit, saved.receive_limit) = (reader.u16()?, reader.u16()?);
            while !reader.is_empty() {
                saved.spares.push(cid_of(reader.vec8()?)?);
            }
        }
        Ok(saved)
    }
}

fn put_own_cid(writer: &mut Writer<'_>, cid: Option<&ConnectionId>) -> Result<(), Error> {
    match cid {
        Some(cid) => put_cid(writer, cid),
        None => writer.put(&[NO_CID]),
    }
}

fn put_rest(writer: &mut Writer<'_>, window: &ReplayWindow, lease: u64, exporter: &Secret<32>) -> Result<(), Error> {
    for number in [window.top, window.bits, lease] {
        writer.put(&number.to_be_bytes())?;
    }
    writer.put(exporter.expose())
}

fn put_cid(writer: &mut Writer<'_>, cid: &ConnectionId) -> Result<(), Error> {
    writer.put(&[cid.len() as u8])?;
    writer.put(cid.as_slice())
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

#[cfg(test)]
mod tests {
    use super::*;

    fn saved(suite: CipherSuite, own_cid: &[u8], peer_cid: &[u8]) -> SavedSession {
        SavedSession(Saved::V12(Saved12 {
            suite,
            read: TrafficKey::from_bytes(&[1; TrafficKey::BYTES]),
            write: TrafficKey::from_bytes(&[2; TrafficKey::BYTES]),
            own_cid: ConnectionId::new(own_cid),
            peer_cid: ConnectionId::new(peer_cid).unwrap(),
            window: ReplayWindow { top: u64::MAX >> 16, bits: u64::MAX },
            lease: limits::SEQUENCE_MAX + 1,
            exporter: Secret::new([3; 32]),
            send_limit: 512,
            receive_limit: 1024,
        }))
    }

    #[test]
    fn a_saved_session_fits_where_devices_keep_it() {
        for suite in CipherSuite::PSK_DTLS_1_2 {
            let usual = saved(suite, b"", b"12345678").to_bytes();
            assert_eq!(usual.len(), 161);
            let both = saved(suite, b"12345678", b"12345678").to_bytes();
            assert_eq!(both.len(), 169);
            let most = saved(suite, &[7; limits::CONNECTION_ID_BYTES_MAX], &[8; limits::CONNECTION_ID_BYTES_MAX]);
            let bytes = most.to_bytes();
            assert!(bytes.len() <= SAVED_SESSION_BYTES_MAX, "{}", bytes.len());
            assert_eq!(SavedSession::from_bytes(&bytes).unwrap().to_bytes(), bytes);
            let mut buffer = [0; SAVED_SESSION_BYTES_MAX];
            assert_eq!(most.write(&mut buffer[..bytes.len()]), Ok(bytes.len()));
            assert!(most.write(&mut buffer[..bytes.len() - 1]).is_err());
        }
    }
}
