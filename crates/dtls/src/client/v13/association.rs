//! A finished association of DTLS 1.3, from the client's side.

use alloc::vec::Vec;

use bartizan_crypto::{Provider, Secret};
use bartizan_wire::event::RecordRejection;
use bartizan_wire::record::ContentType;

use super::super::saved::Saved13;
use crate::v13::Fault;
use crate::v13::established::{self, Established, FIRST_NUMBER, Opened, Request, Writing, lease_end};
use crate::v13::messages::{Side, encode_new_connection_id, kind};
use crate::v13::record::{Place, Sealed};
use crate::{CipherSuite, ConnectionId, Error, Instant, ReplayWindow};

pub(in super::super) struct Association {
    pub provider: &'static Provider,
    pub suite: CipherSuite,
    /// What the peer puts into its records; `None` if it was not negotiated.
    pub own_cid: Option<ConnectionId>,
    /// What we put into ours; empty if the peer wants none.
    pub peer_cid: ConnectionId,
    /// Another that the peer gave us, for the next time we wake: nobody can tell the two apart from outside.
    pub spare_cid: Option<ConnectionId>,
    pub window: ReplayWindow,
    pub send_next: u64,
    /// First number that may not be used. `None` as long as nothing was saved.
    pub lease: Option<u64>,
    pub exporter: Secret<32>,
    pub established: Established,
    pub mtu: usize,
    pub retransmit_ms: u64,
}

impl Association {
    pub fn own_cid_len(&self) -> usize {
        self.own_cid.map_or(0, |cid| cid.len())
    }

    /// Keys, and what it takes to send with them.
    fn parts(&mut self) -> (&mut Established, Writing<'_>) {
        let writing = Writing {
            provider: self.provider,
            suite: self.suite,
            cid: &self.peer_cid,
            send_next: &mut self.send_next,
            end: self.lease.unwrap_or(u64::MAX),
        };
        (&mut self.established, writing)
    }

    pub fn overhead(&self) -> usize {
        let protection = crate::v13::record::Protection {
            provider: self.provider,
            suite: self.suite,
            key: &self.established.keys.write,
        };
        protection.overhead(&self.peer_cid, Place::Last)
    }

    /// Seals one record that ends its datagram.
    pub fn seal(&mut self, kind: ContentType, content: &[u8]) -> Result<Vec<u8>, Error> {
        if self.established.wants_update(self.send_next) {
            self.established.update_keys(false)?;
        }
        let (established, mut writing) = self.parts();
        established.seal(&mut writing, Place::Last, kind, content)
    }

    /// The same into the front of `out`, without a word about new keys; returns the record's length.
    pub fn seal_into(&mut self, kind: ContentType, content: &[u8], out: &mut [u8]) -> Result<usize, Error> {
        let (established, mut writing) = self.parts();
        established.seal_into(&mut writing, Place::Last, kind, content, out)
    }

    /// Opens one record, once.
    pub fn open<'r>(&mut self, record: Sealed<'r>) -> Result<Opened<'r>, RecordRejection> {
        let expected = self.own_cid.unwrap_or_default();
        match record.connection_id() {
            // RFC 9147 section 9: with a Connection ID negotiated, every record carries it.
            None if expected.is_empty() => {}
            Some(cid) if !expected.is_empty() && cid == expected.as_slice() => {}
            Some(_) => return Err(RecordRejection::UnknownConnectionId),
            None => return Err(RecordRejection::Unexpected),
        }
        self.established.open(self.provider, self.suite, &mut self.window, record)
    }

    /// Handshake messages of an opened record, and the ACK for it.
    pub fn on_handshake(&mut self, number: u64, content: &[u8]) -> Result<Option<Vec<u8>>, Fault> {
        let (requests, taken) = self.established.on_handshake(Side::Client, content)?;
        for request in requests {
            self.comply(request)?;
        }
        if !taken {
            return Ok(None);
        }
        let (established, mut writing) = self.parts();
        Ok(established.acknowledge(&mut writing, number).ok())
    }

    fn comply(&mut self, request: Request) -> Result<(), Fault> {
        match request {
            // RFC 9147 section 9: only where Connection IDs are in use.
            //= rfc9147#9-3
            //= rfc9147#9-5
            //= rfc9147#9-7
            //= rfc9147#9-8
            Request::UseConnectionId { .. } if self.peer_cid.is_empty() => {
                Err(Fault::unexpected("a Connection ID where none are in use"))
            }
            Request::ConnectionIds(_) if self.own_cid.unwrap_or_default().is_empty() => {
                Err(Fault::unexpected("a request for a Connection ID where none are in use"))
            }
            //= rfc9147#9-1
            Request::UseConnectionId { cid, at_once: true } => {
                self.peer_cid = cid;
                Ok(())
            }
            Request::UseConnectionId { cid, at_once: false } => {
                self.spare_cid = Some(cid);
                Ok(())
            }
            // Section 9 lets us give fewer than were asked for: ours is one and stays.
            Request::ConnectionIds(_) => {
                self.established.post.queue(kind::NEW_CONNECTION_ID, encode_new_connection_id(&[], false));
                Ok(())
            }
        }
    }

    /// Datagrams with what is due after the handshake.
    pub fn transmit(&mut self, now: Instant) -> Vec<Vec<u8>> {
        let (mtu, retransmit_ms) = (self.mtu, self.retransmit_ms);
        let (established, mut writing) = self.parts();
        established.transmit(now, &mut writing, mtu, retransmit_ms)
    }

    /// Reserves sequence numbers and writes everything down.
    pub fn save(&mut self, lease: u64) -> Saved13 {
        if self.lease.is_some() && self.established.write_granted {
            // The next epoch begins with the numbers that are reserved now.
            self.lease = Some(u64::MAX);
            let (established, mut writing) = self.parts();
            established.advance(&mut writing);
        }
        let end = lease_end(self.send_next, lease.max(1)).max(self.lease.filter(|end| *end != u64::MAX).unwrap_or(0));
        self.lease = Some(end);
        if let Some(cid) = self.spare_cid.take() {
            self.peer_cid = cid;
        }
        self.saved_from(end)
    }

    /// Writes everything down, and reserves nothing: nothing is sent any more before the next waking.
    pub fn put_to_rest(self) -> Saved13 {
        self.saved_from(self.send_next)
    }

    /// How many records can be sent before [`Self::save`] is due; `None` if nothing was ever saved.
    pub fn sends_left(&self) -> Option<u64> {
        self.lease.map(|lease| lease.saturating_sub(self.send_next))
    }

    fn saved_from(&self, lease: u64) -> Saved13 {
        Saved13 {
            suite: self.suite,
            kept: self.established.keep(),
            own_cid: self.own_cid,
            peer_cid: self.peer_cid,
            window: self.window,
            lease,
            exporter: self.exporter.clone(),
        }
    }

    /// Everything below the saved lease may have been used already.
    pub fn from_saved(provider: &'static Provider, saved: Saved13, mtu: usize, retransmit_ms: u64) -> Self {
        let established = established::restore(provider, saved.suite, saved.kept, &saved.window, saved.lease);
        Self {
            provider,
            suite: saved.suite,
            own_cid: saved.own_cid,
            peer_cid: saved.peer_cid,
            spare_cid: None,
            window: saved.window,
            send_next: saved.lease.max(FIRST_NUMBER),
            lease: Some(saved.lease),
            exporter: saved.exporter,
            established,
            mtu,
            retransmit_ms,
        }
    }
}
