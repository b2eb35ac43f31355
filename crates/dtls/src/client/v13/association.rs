//! A finished association of DTLS 1.3, from the client's side.

use alloc::vec::Vec;

use bartizan_crypto::{Provider, Secret};
use bartizan_wire::event::RecordRejection;
use bartizan_wire::record::ContentType;

use super::super::ClientConfig;
use super::super::saved::Saved13;
use crate::handshake::negotiation::RecordLimits;
use crate::v13::Fault;
use crate::v13::established::{
    self, Epochs, Established, FIRST_NUMBER, Keys13, Opened, Reading, Request, Writing, lease_end,
};
use crate::v13::messages::{Side, encode_new_connection_id, encode_request_connection_id, kind};
use crate::v13::record::{Place, Protection, Sealed, epoch_of, number};
use crate::v13::spares::Spares;
use crate::{CipherSuite, ConnectionId, Error, Instant, ReplayWindow, limits};

pub(in super::super) struct Association {
    pub provider: &'static Provider,
    pub suite: CipherSuite,
    /// What the peer puts into its records; `None` if it was not negotiated.
    pub own_cid: Option<ConnectionId>,
    /// What we put into ours; empty if the peer wants none.
    pub peer_cid: ConnectionId,
    /// Others that the peer gave us, for when we wake or move: nobody can tell from outside that they are the same.
    pub spares: Spares,
    /// We have asked for more.
    pub asked: bool,
    /// How many to ask for once there are none.
    pub connection_ids: u8,
    pub window: ReplayWindow,
    pub send_next: u64,
    /// First number that may not be used. `None` as long as nothing was saved.
    pub lease: Option<u64>,
    pub exporter: Secret<32>,
    pub limits: RecordLimits,
    pub keys: Keys13,
    /// Records that did not open under the key for reading.
    pub forgeries: u64,
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
            key: self.keys.write.as_ref(),
            epoch: self.keys.write_epoch,
            cid: &self.peer_cid,
            limit: self.limits.send,
            send_next: &mut self.send_next,
            end: self.lease.unwrap_or(u64::MAX),
        };
        (&mut self.established, writing)
    }

    /// The longest content of one record.
    pub fn content_bytes_max(&self) -> usize {
        let most = usize::from(self.limits.send).saturating_sub(1);
        self.mtu.saturating_sub(self.overhead()).min(most)
    }

    fn overhead(&self) -> usize {
        let key = self.keys.write.as_ref();
        let protection = Protection { provider: self.provider, suite: self.suite, key };
        protection.overhead(&self.peer_cid, Place::Last)
    }

    /// Seals one record that ends its datagram.
    pub fn seal(&mut self, kind: ContentType, content: &[u8]) -> Result<Vec<u8>, Error> {
        if self.established.wants_update(self.send_next) {
            self.established.update_keys(self.keys.write_epoch, false)?;
        }
        self.parts().1.seal(Place::Last, kind, content)
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
        if record.inner_len(self.provider, self.suite) > usize::from(self.limits.receive) {
            return Err(RecordRejection::Malformed);
        }
        let opened = self.open_in_its_epoch(record);
        //= rfc9147#4.5.3-1
        if opened.as_ref().is_err_and(|reason| *reason == RecordRejection::Forged) {
            self.forgeries = self.forgeries.saturating_add(1);
        }
        opened
    }

    fn open_in_its_epoch<'r>(&mut self, record: Sealed<'r>) -> Result<Opened<'r>, RecordRejection> {
        let (key, epoch) = (self.keys.read.as_ref(), self.keys.read_epoch);
        let reading = Reading { provider: self.provider, suite: self.suite, key, epoch };
        if record.may_be_of(epoch) {
            return reading.open(&mut self.window, record);
        }
        let (provider, suite) = (self.provider, self.suite);
        let opened = self.established.open_of_another_epoch(provider, suite, epoch, &mut self.window, record);
        let (opened, next) = opened?;
        if let Some(key) = next {
            (self.keys.read, self.keys.read_epoch) = (key, epoch_of(opened.number));
            self.forgeries = 0;
        }
        Ok(opened)
    }

    /// Whether as many records did not open as the cipher survives (RFC 9147 section 4.5.3).
    pub const fn is_worn_out(&self) -> bool {
        self.forgeries >= self.suite.failed_opens_max(limits::FORGERIES_MAX_CCM_8)
    }

    /// Asks for new keys if somebody forges records.
    pub fn evade(&mut self) -> bool {
        let time = established::is_time_to_evade(self.forgeries, self.suite, limits::FORGERIES_MAX_CCM_8);
        time && self.established.evade(self.keys.write_epoch)
    }

    const fn epochs(&self) -> Epochs {
        Epochs { read: self.keys.read_epoch, write: self.keys.write_epoch }
    }

    /// An ACK has come.
    pub fn on_ack(&mut self, content: &[u8]) -> Result<(), Error> {
        if self.established.on_ack(content)? && self.lease.is_none() {
            self.advance();
        }
        Ok(())
    }

    /// On to the next epoch in which we send, if the peer knows of it.
    fn advance(&mut self) {
        let next = self.keys.write_epoch.checked_add(1).filter(|_| self.established.write_granted);
        if let Some(next) = next {
            self.keys.write = self.established.next_write_key(self.provider, self.suite);
            self.keys.write_epoch = next;
            self.send_next = number(next, 0);
        }
    }

    /// Handshake messages of an opened record, and the ACK for it.
    pub fn on_handshake(&mut self, number: u64, content: &[u8]) -> Result<Option<Vec<u8>>, Fault> {
        let (requests, taken) = self.established.on_handshake(Side::Client, self.epochs(), content)?;
        for request in requests {
            self.comply(request)?;
        }
        if !taken {
            return Ok(None);
        }
        Ok(self.parts().1.acknowledge(number).ok())
    }

    fn comply(&mut self, request: Request) -> Result<(), Fault> {
        match request {
            // RFC 9147 section 9: only where Connection IDs are in use.
            //= rfc9147#9-3
            //= rfc9147#9-5
            //= rfc9147#9-7
            //= rfc9147#9-8
            Request::UseConnectionIds { .. } if self.peer_cid.is_empty() => {
                Err(Fault::unexpected("a Connection ID where none are in use"))
            }
            Request::ConnectionIds(_) if self.own_cid.unwrap_or_default().is_empty() => {
                Err(Fault::unexpected("a request for a Connection ID where none are in use"))
            }
            //= rfc9147#9-1
            Request::UseConnectionIds { cids, at_once } => {
                self.asked = false;
                if at_once {
                    self.spares = Spares::default();
                }
                // One that is in use already hides nothing.
                cids.iter().filter(|cid| **cid != self.peer_cid).for_each(|cid| self.spares.push(*cid));
                if at_once {
                    self.use_spare();
                }
                Ok(())
            }
            // Section 9 lets us give fewer than were asked for: ours is one and stays.
            Request::ConnectionIds(_) => {
                self.established.post.queue(kind::NEW_CONNECTION_ID, encode_new_connection_id(&[], false));
                Ok(())
            }
        }
    }

    /// Goes on under another Connection ID, if there is one.
    pub fn use_spare(&mut self) -> bool {
        let spare = self.spares.take();
        self.peer_cid = spare.unwrap_or(self.peer_cid);
        spare.is_some()
    }

    /// Asks the peer for Connection IDs, once at a time (RFC 9147 section 9).
    pub fn request_connection_ids(&mut self, count: u8) -> Result<(), Error> {
        if self.peer_cid.is_empty() {
            return Err(Error::Misuse("no Connection IDs are in use"));
        }
        if self.asked || self.established.post.has(kind::REQUEST_CONNECTION_ID) {
            return Ok(());
        }
        let body = encode_request_connection_id(count);
        self.asked = self.established.post.queue(kind::REQUEST_CONNECTION_ID, body);
        match self.asked {
            true => Ok(()),
            false => Err(Error::Unavailable("too many messages wait")),
        }
    }

    /// Asks for more if there are none, and if that is configured.
    pub fn restock(&mut self) {
        if self.connection_ids > 0 && self.spares.is_empty() && !self.peer_cid.is_empty() {
            // If too much waits, the next time will do.
            let _ = self.request_connection_ids(self.connection_ids);
        }
    }

    /// Datagrams with what is due after the handshake.
    pub fn transmit(&mut self, now: Instant) -> Vec<Vec<u8>> {
        let (mtu, retransmit_ms) = (self.mtu, self.retransmit_ms);
        if self.lease.is_none() {
            self.established.post.note_kept();
        }
        let (established, mut writing) = self.parts();
        established.transmit(now, &mut writing, mtu, retransmit_ms)
    }

    /// Reserves sequence numbers and writes everything down.
    pub fn save(&mut self, lease: u64) -> Saved13 {
        // The next epoch begins with the numbers that are reserved now.
        self.advance();
        let end = lease_end(self.send_next, lease.max(1)).max(self.lease.unwrap_or(0));
        self.lease = Some(end);
        let kept = self.established.keep(self.keys.read_epoch, self.keys.write_epoch);
        self.established.post.note_kept();
        Saved13 {
            suite: self.suite,
            kept,
            own_cid: self.own_cid,
            peer_cid: self.peer_cid,
            spares: self.spares,
            window: self.window,
            lease: end,
            exporter: self.exporter.clone(),
            send_limit: self.limits.send,
            receive_limit: self.limits.receive,
        }
    }

    /// Everything below the saved lease may have been used already. We may be somewhere else by now: a spare Connection ID
    /// keeps who watches from seeing that it is us.
    pub fn from_saved(config: &ClientConfig, saved: Saved13) -> Self {
        let provider = config.provider;
        let (established, keys) = established::restore(provider, saved.suite, saved.kept, &saved.window, saved.lease);
        let mut association = Self {
            provider,
            suite: saved.suite,
            own_cid: saved.own_cid,
            peer_cid: saved.peer_cid,
            spares: saved.spares,
            asked: false,
            connection_ids: config.connection_ids,
            window: saved.window,
            send_next: saved.lease.max(FIRST_NUMBER),
            lease: Some(saved.lease),
            exporter: saved.exporter,
            limits: RecordLimits { send: saved.send_limit, receive: saved.receive_limit, in_the_clear: false },
            keys,
            forgeries: 0,
            established,
            mtu: config.mtu,
            retransmit_ms: config.retransmit_ms,
        };
        association.use_spare();
        association.restock();
        association
    }
}
