//! An association's keys and epochs after the handshake, from either side (RFC 9147 sections 4.2 and 8).
//!
//! Windows and sequence numbers live with the side that keeps them. They count epoch and sequence number in one number
//! ([`record::number`]), so that a window or a lease from before a restart also says which keys it is about.

use alloc::boxed::Box;
use alloc::vec::Vec;

use bartizan_crypto::Provider;
use bartizan_wire::event::RecordRejection;
use bartizan_wire::record::ContentType;

use super::ack::Acks;
use super::flight::Sealer;
use super::messages::{self, Message, Side, kind};
use super::post::Post;
use super::record::{self, ACK, Place, Protection, Sealed, epoch_of, number, sequence_of};
use super::schedule::{EPOCH_APPLICATION, EPOCH_HANDSHAKE, RecordKey, next_secret};
use super::spares::Spares;
use super::{Fault, ack};
use crate::codec::try_copy;
use crate::hash::Digest;
use crate::key::RecordKeyRef;
use crate::{AlertDescription, CipherSuite, ConnectionId, Error, Instant, ReplayWindow, limits};

/// The keys that every record touches, and their epochs.
#[derive(Clone)]
pub(crate) struct Keys13 {
    pub read: RecordKey,
    pub write: RecordKey,
    pub read_epoch: u16,
    pub write_epoch: u16,
}

/// The traffic secrets that the keys come from and the next ones will.
#[derive(Clone)]
pub(crate) struct Secrets13 {
    pub read: Digest,
    pub write: Digest,
}

/// What an association has beside its keys, its window and its numbers: nothing that a usual record touches.
pub(crate) struct Established {
    pub secrets: Secrets13,
    pub last_flight: Option<Box<LastFlight>>,
    /// The peer may go on to the next epoch: it has announced it.
    pub read_granted: bool,
    /// Since a restart the peer has announced nothing. What it announced before may be forgotten, and the epochs that it
    /// began without data, too: it may be in any that its records' low bits tell apart.
    pub read_unsure: bool,
    /// We may go on to the next epoch: the peer has acknowledged our KeyUpdate.
    pub write_granted: bool,
    pub post: Post,
}

const _: () = assert!(size_of::<Established>() <= 128, "a million idle associations have one of these each");

/// The client's last flight, for as long as it may be repeated because our ACK for it was lost.
pub(crate) struct LastFlight {
    /// Opens repetitions.
    pub secret: Digest,
    /// Which of its records have been opened, so that each is answered once.
    pub window: ReplayWindow,
    /// The records that are to be acknowledged once the association is durable.
    pub acks: Acks,
    /// Until when, data or not.
    pub until: Instant,
}

/// What a record held.
pub(crate) struct Opened<'a> {
    pub number: u64,
    /// Newer than everything before it.
    pub newest: bool,
    pub kind: ContentType,
    pub content: &'a [u8],
}

/// What a message after the handshake asks of the side that has it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Request {
    /// To use these Connection IDs: one of them at once, or when it likes.
    UseConnectionIds { cids: Spares, at_once: bool },
    /// To give out Connection IDs.
    ConnectionIds(u8),
}

/// Those of the keys in use.
#[derive(Clone, Copy)]
pub(crate) struct Epochs {
    pub read: u16,
    pub write: u16,
}

/// What opening takes.
pub(crate) struct Reading<'a> {
    pub provider: &'static Provider,
    pub suite: CipherSuite,
    pub key: RecordKeyRef<'a>,
    pub epoch: u16,
}

/// What sending takes.
pub(crate) struct Writing<'a> {
    pub provider: &'static Provider,
    pub suite: CipherSuite,
    pub key: RecordKeyRef<'a>,
    pub epoch: u16,
    pub cid: &'a ConnectionId,
    /// Most bytes that the peer takes in one record, type included (RFC 8449 section 4).
    pub limit: u16,
    pub send_next: &'a mut u64,
    /// The first number that may not be used.
    pub end: u64,
}

impl Reading<'_> {
    /// Opens one record of the epoch, once.
    pub fn open<'r>(&self, window: &mut ReplayWindow, mut record: Sealed<'r>) -> Result<Opened<'r>, RecordRejection> {
        let reading = Protection { provider: self.provider, suite: self.suite, key: self.key };
        let expected = expected(window, self.epoch);
        let sequence = record.sequence(&reading, expected).ok_or(RecordRejection::Malformed)?;
        let number = number(self.epoch, sequence);
        //= rfc9147#4.5.1-2
        if !window.is_fresh(number) {
            return Err(RecordRejection::Replayed);
        }
        let (kind, content) = record.open(&reading, sequence)?;
        //= rfc9147#4.5.1-3
        let newest = window.is_newest(number);
        window.mark(number);
        Ok(Opened { number, newest, kind, content })
    }
}

impl Writing<'_> {
    /// Seals one record under the next number.
    pub fn seal(&mut self, place: Place, kind: ContentType, content: &[u8]) -> Result<Vec<u8>, Error> {
        let number = self.next_number()?;
        self.protection().seal(self.cid, number, place, kind, content)
    }

    /// The same into the front of `out`; returns the record's length.
    pub fn seal_into(
        &mut self,
        place: Place,
        kind: ContentType,
        content: &[u8],
        out: &mut [u8],
    ) -> Result<usize, Error> {
        let number = self.next_number()?;
        self.protection().seal_into(self.cid, number, place, kind, content, out)
    }

    /// A number is spent even if sealing fails then.
    fn next_number(&mut self) -> Result<u64, Error> {
        let number = *self.send_next;
        if number >= self.end || epoch_of(number) != self.epoch {
            return Err(Error::Unavailable("the leased sequence numbers are used up"));
        }
        //= rfc9147#4.2.1-2
        if sequence_of(number) >= limits::RECORDS_PER_KEY_MAX {
            return Err(Error::Unavailable("the key is used up"));
        }
        *self.send_next += 1;
        Ok(number)
    }

    //= rfc9147#7-4
    //= rfc9147#7-4
    /// An ACK for one record.
    pub fn acknowledge(&mut self, number: u64) -> Result<Vec<u8>, Error> {
        let mut acks = Acks::default();
        acks.note(number);
        self.seal(Place::Last, ACK, &acks.encode(usize::MAX))
    }

    const fn protection(&self) -> Protection<'_> {
        Protection { provider: self.provider, suite: self.suite, key: self.key }
    }
}

impl Sealer for Writing<'_> {
    fn content_max(&self, _: u16) -> usize {
        usize::from(self.limit).saturating_sub(1)
    }

    fn overhead(&self, _: u16) -> usize {
        self.protection().overhead(self.cid, Place::Coalesced)
    }

    fn seal(&mut self, _: u16, content: &[u8]) -> Option<(u64, Vec<u8>)> {
        let number = *self.send_next;
        let record = Self::seal(self, Place::Coalesced, ContentType::HANDSHAKE, content).ok()?;
        Some((number, record))
    }
}

impl Keys13 {
    /// Epoch 3, with the application traffic secrets.
    pub fn first(provider: &'static Provider, suite: CipherSuite, secrets: &Secrets13) -> Self {
        Self {
            read: RecordKey::derive(provider, suite, &secrets.read),
            write: RecordKey::derive(provider, suite, &secrets.write),
            read_epoch: EPOCH_APPLICATION,
            write_epoch: EPOCH_APPLICATION,
        }
    }
}

impl Established {
    pub const fn new(secrets: Secrets13, post: Post) -> Self {
        Self { secrets, last_flight: None, read_granted: false, read_unsure: false, write_granted: false, post }
    }

    /// A record of the epoch that the peer has announced, or of the handshake's, in which it repeats its last flight.
    /// If it is the first of the next epoch, that one's key comes back: what was before may be forgotten now
    /// (RFC 9147 section 8).
    pub fn open_of_another_epoch<'r>(
        &mut self,
        provider: &'static Provider,
        suite: CipherSuite,
        epoch: u16,
        window: &mut ReplayWindow,
        record: Sealed<'r>,
    ) -> Result<(Opened<'r>, Option<RecordKey>), RecordRejection> {
        if let Some(next) = self.epoch_ahead(epoch, &record) {
            let (secret, next) = secret_of(provider, suite, self.secrets.read.clone(), epoch, next);
            let key = RecordKey::derive(provider, suite, &secret);
            let reading = Reading { provider, suite, key: key.as_ref(), epoch: next };
            let opened = reading.open(window, record)?;
            //= rfc9147#8-3
            //= rfc9147#8-3
            self.secrets.read = secret;
            self.read_granted = false;
            return Ok((opened, Some(key)));
        }
        let last = self.last_flight.as_mut().ok_or(RecordRejection::Unexpected)?;
        if !record.may_be_of(EPOCH_HANDSHAKE) {
            return Err(RecordRejection::Unexpected);
        }
        let key = RecordKey::derive(provider, suite, &last.secret);
        let reading = Reading { provider, suite, key: key.as_ref(), epoch: EPOCH_HANDSHAKE };
        let opened = reading.open(&mut last.window, record)?;
        Ok((Opened { newest: false, ..opened }, None))
    }

    /// The epoch after `epoch` that a record is of, if the peer may be there; one further than the next only where the
    /// record cannot be of its last flight.
    fn epoch_ahead(&self, epoch: u16, record: &Sealed<'_>) -> Option<u16> {
        let repeated = self.last_flight.is_some() && record.may_be_of(EPOCH_HANDSHAKE);
        let steps = match (self.read_unsure, self.read_granted) {
            (true, _) if !repeated => EPOCHS_TOLD_APART - 1,
            (true, _) | (_, true) => 1,
            (false, false) => 0,
        };
        (1..=steps).filter_map(|step| epoch.checked_add(step)).find(|next| record.may_be_of(*next))
    }

    /// The key of the next epoch in which we send, which begins now.
    pub fn next_write_key(&mut self, provider: &'static Provider, suite: CipherSuite) -> RecordKey {
        self.secrets.write = next_secret(provider, suite.hash(), &self.secrets.write);
        self.write_granted = false;
        RecordKey::derive(provider, suite, &self.secrets.write)
    }

    /// Whether anything is under way that a usual record would have to look at.
    pub const fn is_busy(&self) -> bool {
        self.write_granted || self.post.is_busy()
    }

    /// Asks the peer for new keys, under which the count of forgeries begins anew. Whether something is to be sent.
    pub fn evade(&mut self, write_epoch: u16) -> bool {
        !self.is_updating() && self.update_keys(write_epoch, true).is_ok()
    }

    //= rfc9147#4.5.3-s1
    /// Whether it is time for new keys (RFC 9147 section 4.5.3).
    pub fn wants_update(&self, send_next: u64) -> bool {
        sequence_of(send_next) >= limits::RECORDS_PER_KEY && !self.is_updating()
    }

    //= rfc9147#8-2
    /// Whether our next keys are on their way.
    pub fn is_updating(&self) -> bool {
        self.write_granted || self.post.has(kind::KEY_UPDATE)
    }

    /// Announces new keys (RFC 9147 section 8), once at a time; `request`: the peer is to do the same.
    pub fn update_keys(&mut self, write_epoch: u16, request: bool) -> Result<(), Error> {
        //= rfc9147#4.2.1-3
        //= rfc9147#8-4
        //= rfc9147#8-6
        if write_epoch == u16::MAX {
            return Err(Error::Unavailable("the last epoch"));
        }
        if self.is_updating() {
            return Ok(());
        }
        match self.post.queue(kind::KEY_UPDATE, alloc::vec![u8::from(request)]) {
            true => Ok(()),
            false => Err(Error::Unavailable("too many messages wait")),
        }
    }

    /// Takes in the handshake messages of a record; returns what they ask for, and whether the record is to be
    /// acknowledged.
    pub fn on_handshake(&mut self, side: Side, epochs: Epochs, content: &[u8]) -> Result<(Vec<Request>, bool), Fault> {
        let (messages, taken) = self.post.receive(content)?;
        let mut requests = Vec::new();
        for message in messages {
            requests.extend(self.on_message(side, epochs, &message)?);
        }
        Ok((requests, taken))
    }

    fn on_message(&mut self, side: Side, epochs: Epochs, message: &Message) -> Result<Option<Request>, Fault> {
        match (message.kind, side) {
            (kind::KEY_UPDATE, _) => {
                let request = messages::decode_key_update(&message.body)?;
                //= rfc9147#4.2.1-4
                //= rfc9147#6.1-1
                if epochs.read == u16::MAX {
                    return Err(Error::Unavailable("the last epoch").into());
                }
                self.read_granted = true;
                self.read_unsure = false;
                //= rfc9147#8-s2
                if request && epochs.write != u16::MAX {
                    self.update_keys(epochs.write, false)?;
                }
                Ok(None)
            }
            // Resumption is by Connection ID; a ticket is acknowledged and forgotten.
            (kind::NEW_SESSION_TICKET, Side::Client) => Ok(None),
            (kind::NEW_CONNECTION_ID, _) => {
                let (cids, at_once) = messages::decode_new_connection_id(&message.body)?;
                Ok(Some(Request::UseConnectionIds { cids, at_once }))
            }
            (kind::REQUEST_CONNECTION_ID, _) => {
                let count = messages::decode_request_connection_id(&message.body)?;
                Ok(Some(Request::ConnectionIds(count.min(limits::CONNECTION_IDS_REQUESTED_MAX))))
            }
            // RFC 8446 section 4.6.2: nobody offered authentication after the handshake.
            _ => Err(Fault::unexpected("a handshake message out of place")),
        }
    }

    /// An ACK has come; whether our next keys may be used now.
    pub fn on_ack(&mut self, content: &[u8]) -> Result<bool, Error> {
        let acked = self.post.on_ack(ack::decode(content)?);
        self.write_granted |= acked == Some(kind::KEY_UPDATE);
        Ok(acked == Some(kind::KEY_UPDATE))
    }

    /// Datagrams with what is due after the handshake: the next message, or the last again.
    pub fn transmit(
        &mut self,
        now: Instant,
        writing: &mut Writing<'_>,
        mtu: usize,
        retransmit_ms: u64,
    ) -> Vec<Vec<u8>> {
        let repeat = self.post.is_due(now);
        if !self.post.begin(now, writing.epoch, retransmit_ms) && !repeat {
            return Vec::new();
        }
        self.post.flight().map(|flight| flight.transmit(mtu, writing)).unwrap_or_default()
    }
}

/// A record says no more of its epoch than two bits (RFC 9147 section 4).
const EPOCHS_TOLD_APART: u16 = 4;

/// What the peer's next record is numbered, going by what has been seen.
const fn expected(window: &ReplayWindow, epoch: u16) -> u64 {
    match window.bits != 0 && epoch_of(window.top) == epoch {
        true => sequence_of(window.top) + 1,
        false => 0,
    }
}

//= rfc9147#4.5.3-s2
//= rfc9147#4.5.3-s2
/// Whether somebody has forged so many records that new keys are due, and there is still time for them.
pub(crate) const fn is_time_to_evade(forgeries: u64, suite: CipherSuite, ccm_8: u16) -> bool {
    let quarter = suite.failed_opens_max(ccm_8).div_ceil(4);
    forgeries == 2 * quarter || forgeries == 3 * quarter
}

//= rfc9147#4.5.2-1
/// The last alert of a side that gives up.
pub(crate) const WORN_OUT: AlertDescription = AlertDescription::BAD_RECORD_MAC;

/// The secret and the keys of `epoch`, which is not before the one that `secret` belongs to.
pub(crate) fn secret_of(
    provider: &'static Provider,
    suite: CipherSuite,
    secret: Digest,
    from: u16,
    epoch: u16,
) -> (Digest, u16) {
    let steps = epoch.saturating_sub(from);
    let secret = (0..steps).fold(secret, |secret, _| next_secret(provider, suite.hash(), &secret));
    (secret, from.saturating_add(steps))
}

/// An association from what was kept of it: the keys follow the window and the lease if those went further.
pub(crate) fn restore(
    provider: &'static Provider,
    suite: CipherSuite,
    kept: Kept,
    window: &ReplayWindow,
    lease: u64,
) -> (Established, Keys13) {
    let top = if window.bits == 0 { 0 } else { epoch_of(window.top) };
    let (read, read_epoch) = secret_of(provider, suite, kept.secrets.read, kept.read_epoch, top);
    let (write, write_epoch) = secret_of(provider, suite, kept.secrets.write, kept.write_epoch, epoch_of(lease));
    let sent = kept.send_next.saturating_add(write_epoch.saturating_sub(kept.write_epoch));
    let secrets = Secrets13 { read, write };
    let keys = Keys13 { read_epoch, write_epoch, ..Keys13::first(provider, suite, &secrets) };
    let mut established = Established::new(secrets, Post::resumed(sent, kept.due, kept.next));
    established.read_unsure = true;
    established.last_flight = kept.handshake_read.map(|secret| {
        Box::new(LastFlight {
            secret,
            window: ReplayWindow::default(),
            acks: Acks::default(),
            until: Instant::default(),
        })
    });
    (established, keys)
}

/// What has to be kept of an association.
#[derive(Clone)]
pub(crate) struct Kept {
    pub secrets: Secrets13,
    pub read_epoch: u16,
    pub write_epoch: u16,
    /// Numbers of the next messages. Beside KeyUpdates, which the epoch counts too.
    pub send_next: u16,
    pub due: u16,
    pub handshake_read: Option<Digest>,
    /// Our next message, if it is no KeyUpdate: the peer may have it already.
    pub next: Option<(u8, Vec<u8>)>,
}

/// Flags of what follows.
const HAS_HANDSHAKE_READ: u8 = 1;
const HAS_NEXT: u8 = 2;

impl Established {
    pub fn keep(&self, read_epoch: u16, write_epoch: u16) -> Kept {
        // A message that is not acknowledged yet is repeated under the same number. A KeyUpdate is counted by the epoch
        // once that begins.
        let uncounted = u16::from(self.post.is_under_way()) + u16::from(self.write_granted);
        Kept {
            secrets: self.secrets.clone(),
            read_epoch,
            write_epoch,
            send_next: self.post.send_next.saturating_sub(uncounted),
            due: self.post.due(),
            handshake_read: self.last_flight.as_ref().map(|last| last.secret.clone()),
            next: self.post.next(),
        }
    }
}

impl Kept {
    /// Hands the parts to `put`, one after the other.
    pub fn encode(&self, mut put: impl FnMut(&[u8])) {
        for number in [self.read_epoch, self.write_epoch, self.send_next, self.due] {
            put(&number.to_be_bytes());
        }
        put(self.secrets.read.as_slice());
        put(self.secrets.write.as_slice());
        let next = self.next.as_ref().and_then(|(kind, body)| Some((*kind, u8::try_from(body.len()).ok()?, body)));
        let handshake_read = if self.handshake_read.is_some() { HAS_HANDSHAKE_READ } else { 0 };
        put(&[handshake_read | if next.is_some() { HAS_NEXT } else { 0 }]);
        if let Some(secret) = &self.handshake_read {
            put(secret.as_slice());
        }
        if let Some((kind, length, body)) = next {
            put(&[kind, length]);
            put(body);
        }
    }

    pub fn decode(reader: &mut crate::codec::Reader<'_>, suite: CipherSuite) -> Result<Self, Error> {
        let length = suite.hash().len();
        let (read_epoch, write_epoch) = (reader.u16()?, reader.u16()?);
        let (send_next, due) = (reader.u16()?, reader.u16()?);
        let secrets = Secrets13 { read: Digest::of(reader.take(length)?), write: Digest::of(reader.take(length)?) };
        let flags = reader.u8()?;
        if flags & !(HAS_HANDSHAKE_READ | HAS_NEXT) != 0 {
            return Err(Error::Malformed("an impossible flag"));
        }
        let handshake_read = match flags & HAS_HANDSHAKE_READ {
            0 => None,
            _ => Some(Digest::of(reader.take(length)?)),
        };
        let next = match flags & HAS_NEXT {
            0 => None,
            _ => Some((reader.u8()?, try_copy(reader.vec8()?).ok_or(Error::Unavailable("no memory for a message"))?)),
        };
        if read_epoch < EPOCH_APPLICATION || write_epoch < EPOCH_APPLICATION {
            return Err(Error::Malformed("an epoch of the handshake"));
        }
        Ok(Self { secrets, read_epoch, write_epoch, send_next, due, handshake_read, next })
    }
}

/// First number of the application epoch: where windows and leases begin.
pub(crate) const FIRST_NUMBER: u64 = number(EPOCH_APPLICATION, 0);

/// The end of a lease of `count` numbers from `next`, within the epoch.
pub(crate) const fn lease_end(next: u64, count: u64) -> u64 {
    let last = record::number(epoch_of(next), limits::SEQUENCE_MAX);
    let end = next.saturating_add(count);
    if end > last { last } else { end }
}
