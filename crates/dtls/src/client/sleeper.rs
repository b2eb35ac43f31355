//! A wake-up without a heap: one record out, one record in, back to sleep.

use bartizan_crypto::Provider;
use bartizan_wire::event::RecordRejection;
use bartizan_wire::record::{self as wire, ContentType, DTLS_1_2, Record};
use zeroize::Zeroizing;

use super::association::{Association, Unopened};
use super::saved::Saved;
use super::{SavedSession, v13};
use crate::alert::Alert;
use crate::limits::SAVED_SESSION_BYTES_MAX;
use crate::optional::Only13;
use crate::record::EPOCH;
use crate::v13::record::{self as unified, is_unified};
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
/// An association of DTLS 1.3 allocates once if a message after the handshake was under way when it was saved, and keeps
/// its keys here: messages after the handshake, such as a KeyUpdate or another
/// Connection ID, are refused without an acknowledgement, so the server repeats them until they find a
/// [`Connection`](crate::Connection). A device that sends [`limits::RECORDS_PER_KEY`](crate::limits::RECORDS_PER_KEY)
/// records has to be one for a while.
pub struct Sleeper {
    association: Either,
    closed: bool,
}

#[expect(clippy::large_enum_variant, reason = "there is no heap to put it on")]
enum Either {
    V12(Association),
    V13(Only13<v13::Association>),
}

impl Sleeper {
    /// Takes up a saved association, reserves `lease` send sequence numbers (at least one) and has `store` write the
    /// new bytes over the old ones. Only after that can anything be sealed: a device that loses power later never
    /// uses a number twice.
    ///
    /// # Errors
    /// What `store` returned, which must be an error if the bytes are not in memory that survives a loss of power.
    #[inline(never)] // so that its temporaries leave the stack before a cipher needs it; so below
    pub fn wake(
        provider: &'static Provider,
        saved: SavedSession,
        lease: u64,
        store: impl FnOnce(&[u8]) -> Result<(), Error>,
    ) -> Result<Self, Error> {
        let association = match saved.0 {
            Saved::V12(saved) => Either::V12(Association::from_saved(provider, saved)),
            Saved::V13(saved) => Either::V13(saved.map(|saved| v13::Association::woken(provider, saved))),
        };
        let mut sleeper = Self { association, closed: false };
        sleeper.reserve(lease, store)?;
        Ok(sleeper)
    }

    /// Reserves more sequence numbers, for a wake-up that turns out longer.
    ///
    /// # Errors
    /// What `store` returned; then nothing more can be sealed than before.
    pub fn reserve(&mut self, lease: u64, store: impl FnOnce(&[u8]) -> Result<(), Error>) -> Result<(), Error> {
        match &mut self.association {
            Either::V12(association) => {
                let before = association.lease;
                let outcome = keep(Saved::V12(association.save(lease)), store);
                association.lease = if outcome.is_ok() { association.lease } else { before };
                outcome
            }
            Either::V13(association) => {
                let before = association.lease;
                let saved = association.save(lease);
                let outcome = keep(Saved::V13(association.with(saved)), store);
                association.lease = if outcome.is_ok() { association.lease } else { before };
                outcome
            }
        }
    }

    /// How many records can be sealed before [`Self::reserve`] is due.
    #[must_use]
    pub fn sends_left(&self) -> u64 {
        let left = match &self.association {
            Either::V12(association) => association.sends_left(),
            Either::V13(association) => association.sends_left(),
        };
        left.unwrap_or(0)
    }

    /// How many bytes a record is longer than its content, at most; DTLS 1.3 counts content of less than 7 bytes as 7.
    #[must_use]
    pub fn overhead(&self) -> usize {
        match &self.association {
            Either::V12(association) => association.overhead(),
            Either::V13(association) => association.overhead(),
        }
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
        let length = match &mut self.association {
            Either::V12(association) => association.seal_into(kind, content, buffer),
            Either::V13(association) => association.seal_into(kind, content, buffer),
        }?;
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
        if matches!(&self.association, Either::V13(_)) && is_unified(*bytes.first()?) {
            return Some(self.open13(bytes, datagram));
        }
        let own_cid_len = match &self.association {
            Either::V12(association) => association.own_cid_len(),
            Either::V13(association) => association.own_cid_len(),
        };
        let Ok((record, rest)) = wire::split(bytes, own_cid_len) else {
            return Some(Err(RecordRejection::Malformed));
        };
        *datagram = rest;
        Some(self.open12(record))
    }

    fn open13<'d>(
        &mut self,
        bytes: &'d mut [u8],
        datagram: &mut &'d mut [u8],
    ) -> Result<Received<'d>, RecordRejection> {
        let Either::V13(association) = &mut self.association else {
            return Err(RecordRejection::Unexpected);
        };
        let (record, rest) = unified::split(bytes, association.own_cid_len())?;
        *datagram = rest;
        let opened = match association.open(record) {
            Ok(opened) => opened,
            Err(reason) => {
                let worn_out = association.is_worn_out();
                return if worn_out { Ok(self.end(CloseReason::Forgeries)) } else { Err(reason) };
            }
        };
        match opened.kind {
            ContentType::APPLICATION_DATA => Ok(Received::Data(opened.content)),
            // RFC 8446 section 6: none but these two leave the association be.
            ContentType::ALERT => match Alert::decode(opened.content).ok_or(RecordRejection::Malformed)?.description {
                AlertDescription::CLOSE_NOTIFY => Ok(self.end(CloseReason::Peer)),
                AlertDescription::USER_CANCELED => Ok(Received::Warning(AlertDescription::USER_CANCELED)),
                description => Ok(self.end(CloseReason::Alert(description))),
            },
            ContentType::RETURN_ROUTABILITY_CHECK => on_path_message(opened.content),
            _ => Err(RecordRejection::Unexpected),
        }
    }

    fn open12<'d>(&mut self, record: Record<'d>) -> Result<Received<'d>, RecordRejection> {
        let Either::V12(association) = &mut self.association else {
            return Err(RecordRejection::Unexpected);
        };
        if record.header.epoch != EPOCH || record.header.version != DTLS_1_2 {
            return Err(RecordRejection::Unexpected);
        }
        let opened = match association.open(record) {
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
        match &self.association {
            Either::V12(association) => association.exporter.expose(),
            Either::V13(association) => association.get().exporter.expose(),
        }
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
        let saved = match self.association {
            Either::V12(association) => Saved::V12(association.put_to_rest()),
            Either::V13(association) => Saved::V13(association.map(v13::Association::put_to_rest)),
        };
        keep(saved, store)
    }
}

impl core::fmt::Debug for Sleeper {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        let (suite, peer_cid) = match &self.association {
            Either::V12(association) => (association.suite, association.peer_cid),
            Either::V13(association) => (association.suite, association.peer_cid),
        };
        write!(f, "Sleeper({suite}, {peer_cid:?})")
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
fn keep(saved: Saved, store: impl FnOnce(&[u8]) -> Result<(), Error>) -> Result<(), Error> {
    let mut bytes = Zeroizing::new([0; SAVED_SESSION_BYTES_MAX]);
    let length = SavedSession(saved).write(&mut *bytes)?;
    store(bytes.get(..length).unwrap_or_default())
}
