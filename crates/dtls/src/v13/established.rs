//! An association's keys and epochs after the handshake, from either side (RFC 9147 sections 4.2 and 8).
//!
//! Windows and sequence numbers live with the side that keeps them. They count epoch and sequence number in one number
//! ([`record::number`]), so that a window or a lease from before a restart also says which keys it is about.

use alloc::vec::Vec;

use bartizan_crypto::Provider;
use bartizan_wire::event::RecordRejection;
use bartizan_wire::record::ContentType;

use super::flight::Sealer;
use super::messages::{self, Message, Side, kind};
use super::post::Post;
use super::record::{self, ACK, Place, Protection, Sealed, epoch_of, number, sequence_of};
use super::schedule::{EPOCH_APPLICATION, EPOCH_HANDSHAKE, RecordKey, next_secret};
use super::{Fault, ack};
use crate::hash::Digest;
use crate::{AlertDescription, CipherSuite, ConnectionId, Error, Instant, ReplayWindow, limits};

/// The keys that every record touches.
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

pub(crate) struct Established {
    pub keys: Keys13,
    pub secrets: Secrets13,
    /// Opens repetitions of the peer's last flight, until it has shown that it needs none.
    pub handshake_read: Option<(RecordKey, Digest)>,
    /// Which of its records have been opened, so that each is answered once.
    pub handshake_window: ReplayWindow,
    /// The peer may go on to the next epoch: it has announced it, or may have before a restart.
    pub read_granted: bool,
    /// We may go on to the next epoch: the peer has acknowledged our KeyUpdate.
    pub write_granted: bool,
    /// Records that did not open under the keys for reading.
    pub forgeries: u64,
    pub post: Post,
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
    /// To use this Connection ID: at once, or when it likes.
    UseConnectionId { cid: ConnectionId, at_once: bool },
    /// To give out Connection IDs.
    ConnectionIds(u8),
}

/// What sending takes beside keys.
pub(crate) struct Writing<'a> {
    pub provider: &'static Provider,
    pub suite: CipherSuite,
    pub cid: &'a ConnectionId,
    pub send_next: &'a mut u64,
    /// The first number that may not be used.
    pub end: u64,
}

impl Established {
    /// Epoch 3, with the application traffic secrets.
    pub fn new(provider: &'static Provider, suite: CipherSuite, secrets: Secrets13, post: Post) -> Self {
        let keys = Keys13 {
            read: RecordKey::derive(provider, suite, &secrets.read),
            write: RecordKey::derive(provider, suite, &secrets.write),
            read_epoch: EPOCH_APPLICATION,
            write_epoch: EPOCH_APPLICATION,
        };
        Self {
            keys,
            secrets,
            handshake_read: None,
            handshake_window: ReplayWindow::default(),
            read_granted: false,
            write_granted: false,
            forgeries: 0,
            post,
        }
    }

    /// Opens one record, once. After too many forgeries there is no telling any more (RFC 9147 section 4.5.3).
    pub fn open<'r>(
        &mut self,
        provider: &'static Provider,
        suite: CipherSuite,
        window: &mut ReplayWindow,
        mut record: Sealed<'r>,
    ) -> Result<Opened<'r>, RecordRejection> {
        let epoch = self.keys.read_epoch;
        if !record.may_be_of(epoch) {
            return self.open_of_another_epoch(provider, suite, window, record);
        }
        let reading = Protection { provider, suite, key: &self.keys.read };
        let expected = expected(window, epoch);
        let sequence = record.sequence(&reading, expected).ok_or(RecordRejection::Malformed)?;
        let number = number(epoch, sequence);
        //= rfc9147#4.5.1-2
        if !window.is_fresh(number) {
            return Err(RecordRejection::Replayed);
        }
        let opened = record.open(&reading, sequence);
        self.conclude(window, number, opened)
    }

    /// The epoch that the peer has announced, or the handshake's, in which it repeats its last flight.
    fn open_of_another_epoch<'r>(
        &mut self,
        provider: &'static Provider,
        suite: CipherSuite,
        window: &mut ReplayWindow,
        mut record: Sealed<'r>,
    ) -> Result<Opened<'r>, RecordRejection> {
        let next = self.keys.read_epoch.checked_add(1).filter(|next| self.read_granted && record.may_be_of(*next));
        if let Some(next) = next {
            let secret = next_secret(provider, suite.hash(), &self.secrets.read);
            let key = RecordKey::derive(provider, suite, &secret);
            let reading = Protection { provider, suite, key: &key };
            let sequence = record.sequence(&reading, 0).ok_or(RecordRejection::Malformed)?;
            let opened = record.open(&reading, sequence);
            let opened = self.conclude(window, number(next, sequence), opened)?;
            // RFC 9147 section 8: what was before may be forgotten now.
            //= rfc9147#8-3
            self.secrets.read = secret;
            self.keys.read = key;
            self.keys.read_epoch = next;
            self.read_granted = false;
            self.forgeries = 0;
            return Ok(opened);
        }
        let (key, _) = self.handshake_read.as_ref().ok_or(RecordRejection::Unexpected)?;
        if !record.may_be_of(EPOCH_HANDSHAKE) {
            return Err(RecordRejection::Unexpected);
        }
        let reading = Protection { provider, suite, key };
        let expected = expected(&self.handshake_window, EPOCH_HANDSHAKE);
        let sequence = record.sequence(&reading, expected).ok_or(RecordRejection::Malformed)?;
        let number = number(EPOCH_HANDSHAKE, sequence);
        if !self.handshake_window.is_fresh(number) {
            return Err(RecordRejection::Replayed);
        }
        let opened = record.open(&reading, sequence);
        let (kind, content) = opened.inspect_err(|reason| self.note_failure(*reason))?;
        self.handshake_window.mark(number);
        Ok(Opened { number, newest: false, kind, content })
    }

    fn conclude<'r>(
        &mut self,
        window: &mut ReplayWindow,
        number: u64,
        opened: Result<(ContentType, &'r [u8]), RecordRejection>,
    ) -> Result<Opened<'r>, RecordRejection> {
        match opened {
            Ok((kind, content)) => {
                //= rfc9147#4.5.1-3
                let newest = window.is_newest(number);
                window.mark(number);
                Ok(Opened { number, newest, kind, content })
            }
            Err(reason) => {
                self.note_failure(reason);
                Err(reason)
            }
        }
    }

    //= rfc9147#4.5.3-1
    fn note_failure(&mut self, reason: RecordRejection) {
        if reason == RecordRejection::Forged {
            self.forgeries = self.forgeries.saturating_add(1);
        }
    }

    /// Whether the association has seen as many forgeries as its cipher survives.
    pub const fn is_worn_out(&self, suite: CipherSuite, ccm_8: u16) -> bool {
        self.forgeries >= suite.failed_opens_max(ccm_8)
    }

    //= rfc9147#4.5.3-s2
    /// Somebody forges records, and there is still time to get away from him: asks the peer for new keys, under which
    /// the count begins anew. Whether something is to be sent.
    pub fn evade(&mut self, suite: CipherSuite, ccm_8: u16) -> bool {
        let quarter = suite.failed_opens_max(ccm_8).div_ceil(4);
        let time = self.forgeries == 2 * quarter || self.forgeries == 3 * quarter;
        time && !self.is_updating() && self.update_keys(true).is_ok()
    }

    /// Seals one record under the next number, in the next epoch if its time has come.
    pub fn seal(
        &mut self,
        writing: &mut Writing<'_>,
        place: Place,
        kind: ContentType,
        content: &[u8],
    ) -> Result<Vec<u8>, Error> {
        let number = self.next_number(writing)?;
        self.protection(writing).seal(writing.cid, number, place, kind, content)
    }

    /// The same into the front of `out`; returns the record's length.
    pub fn seal_into(
        &mut self,
        writing: &mut Writing<'_>,
        place: Place,
        kind: ContentType,
        content: &[u8],
        out: &mut [u8],
    ) -> Result<usize, Error> {
        let number = self.next_number(writing)?;
        self.protection(writing).seal_into(writing.cid, number, place, kind, content, out)
    }

    /// A number is spent even if sealing fails then.
    fn next_number(&mut self, writing: &mut Writing<'_>) -> Result<u64, Error> {
        self.advance(writing);
        let number = *writing.send_next;
        if number >= writing.end || epoch_of(number) != self.keys.write_epoch {
            return Err(Error::Unavailable("the leased sequence numbers are used up"));
        }
        //= rfc9147#4.2.1-2
        if sequence_of(number) >= limits::RECORDS_PER_KEY_MAX {
            return Err(Error::Unavailable("the key is used up"));
        }
        *writing.send_next += 1;
        Ok(number)
    }

    /// On to the next epoch, if the peer knows of it and there are numbers for it.
    pub fn advance(&mut self, writing: &mut Writing<'_>) {
        let Some(next) = self.keys.write_epoch.checked_add(1) else {
            return;
        };
        if !self.write_granted || number(next, 0) >= writing.end {
            return;
        }
        self.secrets.write = next_secret(writing.provider, writing.suite.hash(), &self.secrets.write);
        self.keys.write = RecordKey::derive(writing.provider, writing.suite, &self.secrets.write);
        self.keys.write_epoch = next;
        self.write_granted = false;
        *writing.send_next = number(next, 0);
    }

    const fn protection(&self, writing: &Writing<'_>) -> Protection<'_> {
        Protection { provider: writing.provider, suite: writing.suite, key: &self.keys.write }
    }

    /// How many bytes a record to this peer is longer than its content.
    pub fn overhead(&self, writing: &Writing<'_>, place: Place) -> usize {
        self.protection(writing).overhead(writing.cid, place)
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
    pub fn update_keys(&mut self, request: bool) -> Result<(), Error> {
        //= rfc9147#4.2.1-3
        //= rfc9147#8-4
        //= rfc9147#8-6
        if self.keys.write_epoch == u16::MAX {
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
    pub fn on_handshake(&mut self, side: Side, content: &[u8]) -> Result<(Vec<Request>, bool), Fault> {
        let (messages, taken) = self.post.receive(content)?;
        let mut requests = Vec::new();
        for message in messages {
            requests.extend(self.on_message(side, &message)?);
        }
        Ok((requests, taken))
    }

    fn on_message(&mut self, side: Side, message: &Message) -> Result<Option<Request>, Fault> {
        match (message.kind, side) {
            (kind::KEY_UPDATE, _) => {
                let request = messages::decode_key_update(&message.body)?;
                //= rfc9147#4.2.1-4
                //= rfc9147#6.1-1
                if self.keys.read_epoch == u16::MAX {
                    return Err(Error::Unavailable("the last epoch").into());
                }
                self.read_granted = true;
                //= rfc9147#8-s2
                if request && self.keys.write_epoch != u16::MAX {
                    self.update_keys(false)?;
                }
                Ok(None)
            }
            // Resumption is by Connection ID; a ticket is acknowledged and forgotten.
            (kind::NEW_SESSION_TICKET, Side::Client) => Ok(None),
            (kind::NEW_CONNECTION_ID, _) => {
                let (cid, at_once) = messages::decode_new_connection_id(&message.body)?;
                Ok(cid.map(|cid| Request::UseConnectionId { cid, at_once }))
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

    //= rfc9147#7-4
    /// An ACK for one record.
    pub fn acknowledge(&mut self, writing: &mut Writing<'_>, number: u64) -> Result<Vec<u8>, Error> {
        let mut acks = ack::Acks::default();
        acks.note(number);
        self.seal(writing, Place::Last, ACK, &acks.encode(usize::MAX))
    }

    /// Datagrams with what is due after the handshake: the next message, or the last again.
    pub fn transmit(
        &mut self,
        now: Instant,
        writing: &mut Writing<'_>,
        mtu: usize,
        retransmit_ms: u64,
    ) -> Vec<Vec<u8>> {
        let repeat = self.post.timer.is_some_and(|timer| timer.is_due(now));
        if let Some(timer) = self.post.timer.as_mut().filter(|_| repeat) {
            timer.back_off(now);
        }
        if !self.post.begin(now, self.keys.write_epoch, retransmit_ms) && !repeat {
            return Vec::new();
        }
        let mut flight = core::mem::take(self.post.flight());
        let datagrams = flight.transmit(mtu, &mut Both { established: self, writing });
        *self.post.flight() = flight;
        datagrams
    }
}

/// What the peer's next record is numbered, going by what has been seen.
const fn expected(window: &ReplayWindow, epoch: u16) -> u64 {
    match window.bits != 0 && epoch_of(window.top) == epoch {
        true => sequence_of(window.top) + 1,
        false => 0,
    }
}

struct Both<'a, 'w> {
    established: &'a mut Established,
    writing: &'a mut Writing<'w>,
}

impl Sealer for Both<'_, '_> {
    fn overhead(&self, _: u16) -> usize {
        self.established.overhead(self.writing, Place::Coalesced)
    }

    fn seal(&mut self, _: u16, content: &[u8]) -> Option<(u64, Vec<u8>)> {
        let record = self.established.seal(self.writing, Place::Coalesced, ContentType::HANDSHAKE, content).ok()?;
        Some((*self.writing.send_next - 1, record))
    }
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
) -> Established {
    let top = if window.bits == 0 { 0 } else { epoch_of(window.top) };
    let (read, read_epoch) = secret_of(provider, suite, kept.secrets.read, kept.read_epoch, top);
    let (write, write_epoch) = secret_of(provider, suite, kept.secrets.write, kept.write_epoch, epoch_of(lease));
    let sent = kept.send_next.saturating_add(write_epoch.saturating_sub(kept.write_epoch));
    let mut established = Established::new(provider, suite, Secrets13 { read, write }, Post::resumed(sent, kept.due));
    established.keys.read_epoch = read_epoch;
    established.keys.write_epoch = write_epoch;
    established.read_granted = true;
    established.handshake_read =
        kept.handshake_read.map(|secret| (RecordKey::derive(provider, suite, &secret), secret));
    established
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
}

impl Established {
    pub fn keep(&self) -> Kept {
        // A KeyUpdate that is not acknowledged yet would be repeated under the same number.
        let unfinished = u16::from(self.is_updating() && !self.post_is_waiting());
        Kept {
            secrets: self.secrets.clone(),
            read_epoch: self.keys.read_epoch,
            write_epoch: self.keys.write_epoch,
            send_next: self.post.send_next.saturating_sub(unfinished),
            due: self.post.due(),
            handshake_read: self.handshake_read.as_ref().map(|(_, secret)| secret.clone()),
        }
    }

    fn post_is_waiting(&self) -> bool {
        !self.write_granted && self.post.timer.is_none()
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
        put(&[u8::from(self.handshake_read.is_some())]);
        if let Some(secret) = &self.handshake_read {
            put(secret.as_slice());
        }
    }

    pub fn decode(reader: &mut crate::codec::Reader<'_>, suite: CipherSuite) -> Result<Self, Error> {
        let length = suite.hash().len();
        let (read_epoch, write_epoch) = (reader.u16()?, reader.u16()?);
        let (send_next, due) = (reader.u16()?, reader.u16()?);
        let secrets = Secrets13 { read: Digest::of(reader.take(length)?), write: Digest::of(reader.take(length)?) };
        let handshake_read = match reader.u8()? {
            0 => None,
            1 => Some(Digest::of(reader.take(length)?)),
            _ => return Err(Error::Malformed("an impossible flag")),
        };
        if read_epoch < EPOCH_APPLICATION || write_epoch < EPOCH_APPLICATION {
            return Err(Error::Malformed("an epoch of the handshake"));
        }
        Ok(Self { secrets, read_epoch, write_epoch, send_next, due, handshake_read })
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
