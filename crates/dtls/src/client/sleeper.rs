//! A wake-up without a heap: one record out, one record in, back to sleep.

use bartizan_crypto::Provider;
use bartizan_wire::event::RecordRejection;
use bartizan_wire::record::{self as wire, ContentType, DTLS_1_2, Record};
use zeroize::Zeroizing;

use super::SavedSession;
use super::association::{Association, Unopened};
use super::saved::{Saved, Saved12};
use crate::alert::Alert;
use crate::limits::SAVED_SESSION_BYTES_MAX;
use crate::record::EPOCH;
use crate::{AlertDescription, CloseReason, Error, PathChallenge, rrc};

/// RFC 8449 section 4: record_overflow is what such a peer deserves; the association ends without a word.
const TOO_LONG: Error = Error::Misbehaved("a record longer than was agreed");

/// What an authentic record brought.
#[derive(Debug, PartialEq, Eq)]
pub enum Received<'a> {
    /// Application data.
    Data(&'a [u8]),
    /// A warning; the association goes on.
    Warning(AlertDescription),
    /// The server asks whether we are where our records come from, before it sends more to a new address: send what
    /// [`Sleeper::answer`] makes of it, at once.
    PathChallenge(PathChallenge),
    /// The association is over: forget what was saved, and shake hands again.
    Closed(CloseReason),
}

/// A saved association for the length of one wake-up. Nothing here allocates or panics; all buffers are the
/// caller's, so a device that only wakes and sleeps needs no heap.
///
/// A [`Connection`](crate::Connection) makes the association once, and its [`save`](crate::Connection::save) is
/// what this type begins and ends with:
///
/// ```
/// # use bartizan_dtls::{Error, Provider, Received, SavedSession, Sleeper};
/// # struct Flash([u8; 256]);
/// # impl Flash { fn store(&mut self, bytes: &[u8]) -> Result<(), Error> { Ok(()) } }
/// # fn wake_up(provider: &'static Provider, flash: &mut Flash, transmit: &mut dyn FnMut(&[u8]),
/// #     receive: &mut dyn FnMut(&mut [u8]) -> usize) -> Result<(), Error> {
/// let saved = SavedSession::from_bytes(&flash.0)?;
/// let mut sleeper = Sleeper::wake(provider, saved, 4, |bytes| flash.store(bytes))?;
/// let mut buffer = [0; 128];
/// transmit(sleeper.seal(b"17.5 m3", &mut buffer)?);
/// let length = receive(&mut buffer);
/// let mut rest = buffer.get_mut(..length).unwrap_or_default();
/// while let Some(outcome) = sleeper.open(&mut rest) {
///     match outcome {
///         Ok(Received::Data(_answer)) => {} // the server has it
///         Ok(Received::PathChallenge(challenge)) => transmit(sleeper.answer(challenge, &mut [0; 64])?),
///         _ => {}
///     }
/// }
/// sleeper.sleep(|bytes| flash.store(bytes))
/// # }
/// ```
///
/// Associations of DTLS 1.2.
pub struct Sleeper {
    association: Association,
    closed: bool,
}

impl Sleeper {
    /// Takes up a saved association, reserves `lease` send sequence numbers (at least one) and has `store` write the
    /// new bytes over the old ones. Only after that can anything be sealed: a device that loses power later never
    /// uses a number twice.
    ///
    /// # Errors
    /// `Misuse` for an association of DTLS 1.3; what `store` returned, which must be an error if the bytes are not in memory that survives a loss of power.
    #[inline(never)] // so that its temporaries leave the stack before a cipher needs it; so below
    pub fn wake(
        provider: &'static Provider,
        saved: SavedSession,
        lease: u64,
        store: impl FnOnce(&[u8]) -> Result<(), Error>,
    ) -> Result<Self, Error> {
        let Saved::V12(saved) = saved.0 else {
            return Err(Error::Misuse("an association of DTLS 1.3 wakes up as a Connection"));
        };
        let mut sleeper = Self { association: Association::from_saved(provider, saved), closed: false };
        sleeper.reserve(lease, store)?;
        Ok(sleeper)
    }

    /// Reserves more sequence numbers, for a wake-up that turns out longer.
    ///
    /// # Errors
    /// What `store` returned; then nothing more can be sealed than before.
    pub fn reserve(&mut self, lease: u64, store: impl FnOnce(&[u8]) -> Result<(), Error>) -> Result<(), Error> {
        let before = self.association.lease;
        let saved = self.association.save(lease);
        let outcome = keep(saved, store);
        if outcome.is_err() {
            self.association.lease = before;
        }
        outcome
    }

    /// How many records can be sealed before [`Self::reserve`] is due.
    #[must_use]
    pub fn sends_left(&self) -> u64 {
        self.association.sends_left().unwrap_or(0)
    }

    /// How many bytes a record is longer than its content.
    #[must_use]
    pub fn overhead(&self) -> usize {
        self.association.overhead()
    }

    /// Seals `data` into one record, at the front of `buffer`.
    ///
    /// # Errors
    /// `Misuse` if `buffer` is not [`Self::overhead`] longer than `data`, or the association is closed;
    /// `Unavailable` if the reserved sequence numbers are used up.
    pub fn seal<'b>(&mut self, data: &[u8], buffer: &'b mut [u8]) -> Result<&'b [u8], Error> {
        self.seal_as(ContentType::APPLICATION_DATA, data, buffer)
    }

    /// Seals the answer to a challenge (RFC 9853 section 5.4: one for each, at once, to where it came from).
    ///
    /// # Errors
    /// As [`Self::seal`], for 9 bytes of data.
    pub fn answer<'b>(&mut self, challenge: PathChallenge, buffer: &'b mut [u8]) -> Result<&'b [u8], Error> {
        let response = rrc::Message::Response(challenge.0).encode();
        self.seal_as(ContentType::RETURN_ROUTABILITY_CHECK, &response, buffer)
    }

    /// Seals a close_notify, of our own accord or as the answer to the peer's. Nothing can be sealed after it.
    ///
    /// # Errors
    /// As [`Self::seal`].
    pub fn close<'b>(&mut self, buffer: &'b mut [u8]) -> Result<&'b [u8], Error> {
        let alert = Alert::of(AlertDescription::CLOSE_NOTIFY).encode();
        let was_closed = core::mem::replace(&mut self.closed, false);
        let sealed = self.seal_as(ContentType::ALERT, &alert, buffer);
        self.closed = was_closed || sealed.is_ok();
        sealed
    }

    fn seal_as<'b>(&mut self, kind: ContentType, content: &[u8], buffer: &'b mut [u8]) -> Result<&'b [u8], Error> {
        if self.closed {
            return Err(Error::Misuse("the association is closed"));
        }
        let length = self.association.seal_into(kind, content, buffer)?;
        Ok(buffer.get(..length).unwrap_or_default())
    }

    /// Takes the first record off `datagram` and decrypts it in place; `None` once there is none left. A record
    /// that is refused says nothing about those behind it.
    ///
    /// # Errors
    /// Why the record was dropped.
    pub fn open<'d>(&mut self, datagram: &mut &'d mut [u8]) -> Option<Result<Received<'d>, RecordRejection>> {
        let bytes = core::mem::take(datagram);
        if bytes.is_empty() || self.closed {
            return None;
        }
        let Ok((record, rest)) = wire::split(bytes, self.association.own_cid_len()) else {
            return Some(Err(RecordRejection::Malformed));
        };
        *datagram = rest;
        Some(self.open_record(record))
    }

    fn open_record<'d>(&mut self, record: Record<'d>) -> Result<Received<'d>, RecordRejection> {
        if record.header.epoch != EPOCH || record.header.version != DTLS_1_2 {
            return Err(RecordRejection::Unexpected);
        }
        let opened = match self.association.open(record) {
            Ok(opened) => opened,
            Err(Unopened::Rejected(reason)) => return Err(reason),
            Err(Unopened::TooLong) => return Ok(self.end(CloseReason::Failed(TOO_LONG))),
            Err(Unopened::Forgeries) => return Ok(self.end(CloseReason::Forgeries)),
        };
        match opened {
            (ContentType::APPLICATION_DATA, data) => Ok(Received::Data(data)),
            (ContentType::ALERT, alert) => self.on_alert(alert),
            (ContentType::RETURN_ROUTABILITY_CHECK, message) => on_path_message(message),
            _ => Err(RecordRejection::Unexpected),
        }
    }

    const fn end(&mut self, reason: CloseReason) -> Received<'static> {
        self.closed = true;
        Received::Closed(reason)
    }

    fn on_alert(&mut self, fragment: &[u8]) -> Result<Received<'static>, RecordRejection> {
        let alert = Alert::decode(fragment).ok_or(RecordRejection::Malformed)?;
        let reason = match alert.description {
            AlertDescription::CLOSE_NOTIFY => CloseReason::Peer,
            description if alert.fatal => CloseReason::Alert(description),
            description => return Ok(Received::Warning(description)),
        };
        Ok(self.end(reason))
    }

    /// Whether the association is over, by either side's word.
    #[must_use]
    pub const fn is_closed(&self) -> bool {
        self.closed
    }

    /// 32 bytes of keying material bound to the handshake (RFC 5705, label `EXPORTER-bartizan-session`).
    #[must_use]
    pub const fn exporter(&self) -> &[u8; 32] {
        self.association.exporter.expose()
    }

    /// Has `store` write down what this wake-up received, for the next [`Self::wake`]. A device that skips it, or
    /// loses power before, wakes up all the same, but may accept records of this wake-up once more.
    ///
    /// # Errors
    /// `Misuse` if the association is closed: there is nothing to keep. What `store` returned.
    #[inline(never)]
    pub fn sleep(self, store: impl FnOnce(&[u8]) -> Result<(), Error>) -> Result<(), Error> {
        if self.closed {
            return Err(Error::Misuse("the association is closed"));
        }
        keep(self.association.put_to_rest(), store)
    }
}

impl core::fmt::Debug for Sleeper {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        write!(f, "Sleeper({}, {:?})", self.association.suite, self.association.peer_cid)
    }
}

/// A saved association does not remember whether the check was negotiated: whoever asks is answered. We ask nothing, so
/// nothing else is expected.
fn on_path_message(content: &[u8]) -> Result<Received<'static>, RecordRejection> {
    match rrc::Message::decode(content).ok_or(RecordRejection::Malformed)? {
        rrc::Message::Challenge(cookie) => Ok(Received::PathChallenge(PathChallenge(cookie))),
        _ => Err(RecordRejection::Unexpected),
    }
}

#[inline(never)]
fn keep(saved: Saved12, store: impl FnOnce(&[u8]) -> Result<(), Error>) -> Result<(), Error> {
    let mut bytes = Zeroizing::new([0; SAVED_SESSION_BYTES_MAX]);
    let length = SavedSession(Saved::V12(saved)).write(&mut *bytes)?;
    store(bytes.get(..length).unwrap_or_default())
}
