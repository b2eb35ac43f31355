//! A finished association, from the client's side: keys, windows, sequence numbers.

use alloc::vec::Vec;

use bartizan_crypto::{Provider, Secret};
use bartizan_wire::event::RecordRejection;
use bartizan_wire::record::{ContentType, Record};

use super::saved::Saved12;
use crate::handshake::negotiation::RecordLimits;
use crate::record::Protection;
use crate::schedule::{Keys, TrafficKey};
use crate::{CipherSuite, ConnectionId, Error, ReplayWindow, limits};

pub(super) struct Association {
    pub provider: &'static Provider,
    pub suite: CipherSuite,
    pub read: TrafficKey,
    pub write: TrafficKey,
    /// What the peer puts into its records; `None` if it was not negotiated.
    pub own_cid: Option<ConnectionId>,
    /// What we put into ours; empty if the peer wants none.
    pub peer_cid: ConnectionId,
    pub window: ReplayWindow,
    pub send_next: u64,
    /// First sequence number that may not be used. `None` as long as nothing was saved.
    pub lease: Option<u64>,
    pub exporter: Secret<32>,
    pub limits: RecordLimits,
    /// Records that failed to open under this key. A saved association begins anew: nobody but us restarts it.
    pub failed_opens: u64,
    /// Ours, where it was the handshake's last.
    pub last_flight: Option<LastFlight>,
}

/// ChangeCipherSpec and Finished, to be repeated for a server that missed them.
pub(super) struct LastFlight {
    pub finished: Vec<u8>,
    pub record_sequence: u64,
}

/// Why a record did not open.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Unopened {
    Rejected(RecordRejection),
    /// Authentic, and longer than was agreed.
    TooLong,
    /// One forgery too many (RFC 9147 section 4.5.3).
    Forgeries,
}

impl From<RecordRejection> for Unopened {
    fn from(reason: RecordRejection) -> Self {
        Self::Rejected(reason)
    }
}

impl Association {
    pub fn new(
        provider: &'static Provider,
        suite: CipherSuite,
        keys: &Keys,
        own_cid: Option<ConnectionId>,
        peer_cid: ConnectionId,
    ) -> Self {
        Self {
            provider,
            suite,
            read: keys.server.clone(),
            write: keys.client.clone(),
            own_cid,
            peer_cid,
            window: ReplayWindow::default(),
            send_next: 0,
            lease: None,
            exporter: keys.exporter.clone(),
            limits: RecordLimits::NONE,
            failed_opens: 0,
            last_flight: None,
        }
    }

    /// Length of the Connection ID in records that carry one.
    pub fn own_cid_len(&self) -> usize {
        self.own_cid.map_or(0, |cid| cid.len())
    }

    pub fn overhead(&self) -> usize {
        self.writing().overhead(&self.peer_cid)
    }

    /// Most content of one record in a datagram of `mtu` bytes.
    pub fn content_bytes_max(&self, mtu: usize) -> usize {
        let inner_type = usize::from(!self.peer_cid.is_empty());
        //= rfc8449#4-1
        let limit = usize::from(self.limits.send).saturating_sub(inner_type);
        mtu.saturating_sub(self.overhead()).min(limit)
    }

    /// Seals one record under the next sequence number.
    pub fn seal(&mut self, content_type: ContentType, content: &[u8]) -> Result<Vec<u8>, Error> {
        let sequence = self.next_sequence()?;
        self.writing().seal(&self.peer_cid, content_type, sequence, content)
    }

    /// The same into the front of `out`; returns the record's length.
    pub fn seal_into(&mut self, content_type: ContentType, content: &[u8], out: &mut [u8]) -> Result<usize, Error> {
        let sequence = self.next_sequence()?;
        self.writing().seal_into(&self.peer_cid, content_type, sequence, content, out)
    }

    /// A number is spent even if sealing fails then.
    fn next_sequence(&mut self) -> Result<u64, Error> {
        let end = self.lease.unwrap_or(limits::SEQUENCE_MAX + 1);
        //= rfc6347#4.1-4
        if self.send_next >= end {
            return Err(Error::Unavailable("the leased sequence numbers are used up"));
        }
        let sequence = self.send_next;
        self.send_next += 1;
        Ok(sequence)
    }

    /// Opens one record, once.
    pub fn open<'r>(&mut self, record: Record<'r>) -> Result<(ContentType, &'r [u8]), Unopened> {
        let sequence = record.header.sequence;
        self.check_connection_id(&record)?;
        //= rfc6347#4.1.2.6-2
        //= rfc6347#4.1.2.6-s1
        if !self.window.is_fresh(sequence) {
            return Err(Unopened::Rejected(RecordRejection::Replayed));
        }
        let reading = Protection { provider: self.provider, suite: self.suite, key: self.read.as_ref() };
        let inner_len = reading.inner_len(&record);
        let opened = match reading.open(record) {
            Err(RecordRejection::Forged) => return Err(self.on_forgery()),
            opened => opened?,
        };
        //= rfc6347#4.1.2.6-5
        self.window.mark(sequence);
        match inner_len > usize::from(self.limits.receive) {
            true => Err(Unopened::TooLong),
            false => Ok(opened),
        }
    }

    fn on_forgery(&mut self) -> Unopened {
        self.failed_opens = self.failed_opens.saturating_add(1);
        match self.failed_opens >= self.suite.failed_opens_max(limits::FORGERIES_MAX_CCM_8) {
            true => Unopened::Forgeries,
            false => Unopened::Rejected(RecordRejection::Forged),
        }
    }

    //= rfc9146#3-5
    //= rfc9146#3-6
    /// RFC 9146 section 3: once a non-empty Connection ID is negotiated, every protected record carries it.
    fn check_connection_id(&self, record: &Record<'_>) -> Result<(), RecordRejection> {
        let expected = self.own_cid.unwrap_or_default();
        let carries_one = record.header.content_type == ContentType::TLS12_CID;
        if carries_one == expected.is_empty() {
            return Err(RecordRejection::Unexpected);
        }
        match record.connection_id == expected.as_slice() {
            true => Ok(()),
            false => Err(RecordRejection::UnknownConnectionId),
        }
    }

    const fn writing(&self) -> Protection<'_> {
        Protection { provider: self.provider, suite: self.suite, key: self.write.as_ref() }
    }

    /// Reserves sequence numbers and writes everything down.
    pub fn save(&mut self, lease: u64) -> Saved12 {
        let end = self.send_next.saturating_add(lease.max(1));
        let end = end.min(limits::SEQUENCE_MAX + 1).max(self.lease.unwrap_or(0));
        self.lease = Some(end);
        self.saved_from(end)
    }

    /// Writes everything down, and reserves nothing: nothing is sent any more before the next waking.
    pub fn put_to_rest(self) -> Saved12 {
        self.saved_from(self.send_next)
    }

    fn saved_from(&self, lease: u64) -> Saved12 {
        Saved12 {
            suite: self.suite,
            read: self.read.clone(),
            write: self.write.clone(),
            own_cid: self.own_cid,
            peer_cid: self.peer_cid,
            window: self.window,
            lease,
            exporter: self.exporter.clone(),
            send_limit: self.limits.send,
            receive_limit: self.limits.receive,
        }
    }

    /// How many records can be sent before [`Self::save`] is due; `None` if nothing was ever saved.
    pub fn sends_left(&self) -> Option<u64> {
        self.lease.map(|lease| lease.saturating_sub(self.send_next))
    }

    /// Everything below the saved lease may have been used already.
    pub fn from_saved(provider: &'static Provider, saved: Saved12) -> Self {
        Self {
            provider,
            suite: saved.suite,
            read: saved.read,
            write: saved.write,
            own_cid: saved.own_cid,
            peer_cid: saved.peer_cid,
            window: saved.window,
            send_next: saved.lease,
            lease: Some(saved.lease),
            exporter: saved.exporter,
            limits: RecordLimits { send: saved.send_limit, receive: saved.receive_limit, in_the_clear: false },
            failed_opens: 0,
            last_flight: None,
        }
    }
}
