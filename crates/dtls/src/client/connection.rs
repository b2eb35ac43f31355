//! [`Connection`]: datagrams, timeouts and application data in; datagrams and events out.

use alloc::boxed::Box;
use alloc::collections::VecDeque;
use alloc::vec::Vec;

use bartizan_crypto::Random;
use bartizan_wire::event::RecordRejection;
use bartizan_wire::record::{self as wire, ContentType};

use super::association::Association;
use super::handshake::Handshake;
use super::saved::Saved;
use super::v13;
use super::{ClientConfig, SavedSession};
use crate::alert::Alert;
use crate::handshake::flight::Packer;
use crate::optional::Only13;
use crate::v13::record::is_unified;
use crate::{
    AlertDescription, Authentication, CipherSuite, CloseReason, Error, Instant, ResumableSession, Version, limits,
};

/// What happened on a [`Connection`].
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum ConnectionEvent {
    /// The handshake is finished. `peer_cid`: the peer gave us a Connection ID, so our address may change.
    Connected { suite: CipherSuite, peer_cid: bool },
    /// One authentic record's application data.
    Data(Vec<u8>),
    /// The connection is over; nothing follows.
    Closed(CloseReason),
    /// A record was dropped.
    Rejected(RecordRejection),
}

/// A client's association with one server.
///
/// After every call, send what [`Self::poll_transmit`] has, read what [`Self::poll`] has, and arrange for
/// [`Self::handle_timeout`] to be called at [`Self::poll_timeout`].
pub struct Connection {
    pub(super) state: State,
    mtu: usize,
    lease: u64,
    pub(super) outbox: VecDeque<Vec<u8>>,
    pub(super) events: VecDeque<ConnectionEvent>,
    /// Who the server is, once the handshake is finished.
    pub(super) peer: Option<(Authentication, u64)>,
    pub(super) resumable: Option<ResumableSession>,
    pub(super) resumed: bool,
}

pub(super) enum State {
    Handshaking(Box<Handshake>),
    Connected(Box<Association>),
    Handshaking13(Only13<Box<v13::Handshake>>),
    Connected13(Only13<Box<v13::Association>>),
    Closed,
}

impl Connection {
    /// Begins a handshake; the first datagram waits in [`Self::poll_transmit`].
    ///
    /// # Errors
    /// `Misuse` if the configuration cannot work.
    #[inline(never)] // on small devices its temporaries shall leave the stack before a cipher needs it
    pub fn connect(config: ClientConfig, now: Instant, rng: &mut dyn Random) -> Result<Self, Error> {
        config.check()?;
        let (mtu, lease) = (config.mtu, config.lease);
        let (state, outbox) = match config.versions.contains(Version::Dtls13) {
            true => {
                let mut handshake = Only13::new(|| v13::Handshake::new(config, now, rng))?;
                let outbox = handshake.transmit().into();
                (State::Handshaking13(handshake), outbox)
            }
            false => {
                let mut handshake = Handshake::new(config, now, rng)?;
                let outbox = handshake.transmit().collect();
                (State::Handshaking(handshake), outbox)
            }
        };
        let events = VecDeque::new();
        Ok(Self { state, mtu, lease, outbox, events, peer: None, resumable: None, resumed: false })
    }

    /// Continues a saved association without a handshake.
    ///
    /// Nothing can be sent before [`Self::save`] has reserved new sequence numbers and its result has been
    /// stored: a device that loses power now would otherwise use the same ones again.
    ///
    /// # Errors
    /// `Misuse` if the configuration cannot work or does not allow the saved suite.
    pub fn resume(config: ClientConfig, saved: SavedSession, _now: Instant) -> Result<Self, Error> {
        config.check()?;
        if !config.suites.contains(&saved.suite()) {
            return Err(Error::Misuse("the saved suite is not configured"));
        }
        let state = match saved {
            SavedSession(Saved::V12(saved)) => {
                State::Connected(Box::new(Association::from_saved(config.provider, saved)))
            }
            SavedSession(Saved::V13(saved)) => {
                State::Connected13(saved.map(|saved| Box::new(v13::Association::from_saved(&config, saved))))
            }
        };
        Ok(Self {
            state,
            mtu: config.mtu,
            lease: config.lease,
            outbox: VecDeque::new(),
            events: VecDeque::new(),
            peer: None,
            resumable: None,
            resumed: false,
        })
    }

    /// Takes in a datagram, which is decrypted in place. The outcome shows in [`Self::poll`].
    pub fn handle(&mut self, now: Instant, datagram: &mut [u8]) {
        let mut rest = datagram;
        for _ in 0..limits::RECORDS_PER_DATAGRAM_MAX {
            if rest.is_empty() || self.events.len() >= limits::EVENTS_MAX {
                return;
            }
            rest = match rest.first() {
                Some(first) if self.speaks_dtls_1_3() && is_unified(*first) => self.on_unified(now, rest),
                _ => match wire::split(rest, self.own_cid_len()) {
                    Ok((record, more)) => {
                        self.on_record(now, record);
                        more
                    }
                    Err(wire::Malformed) => return self.reject(RecordRejection::Malformed),
                },
            };
        }
    }

    const fn speaks_dtls_1_3(&self) -> bool {
        matches!(self.state, State::Handshaking13(_) | State::Connected13(_))
    }

    /// The next datagram to send.
    pub fn poll_transmit(&mut self, _now: Instant) -> Option<Vec<u8>> {
        self.outbox.pop_front()
    }

    /// When [`Self::handle_timeout`] wants to be called.
    #[must_use]
    pub fn poll_timeout(&self) -> Option<Instant> {
        match &self.state {
            State::Handshaking(handshake) => Some(handshake.timer.deadline),
            State::Handshaking13(handshake) => Some(handshake.next_timeout()),
            State::Connected13(association) => association.established.post.deadline(),
            State::Connected(_) | State::Closed => None,
        }
    }

    /// Repeats the flight, or gives up.
    pub fn handle_timeout(&mut self, now: Instant) {
        if self.speaks_dtls_1_3() {
            return self.handle_timeout13(now);
        }
        let State::Handshaking(handshake) = &mut self.state else {
            return;
        };
        if !handshake.timer.is_due(now) {
            return;
        }
        if let Some(alert) = handshake.alert {
            return self.end(CloseReason::Alert(alert));
        }
        if handshake.timer.transmissions >= limits::CLIENT_TRANSMISSIONS_MAX {
            return self.end(CloseReason::TimedOut);
        }
        self.outbox.extend(handshake.transmit());
        handshake.timer.back_off(now);
    }

    pub fn poll(&mut self) -> Option<ConnectionEvent> {
        self.events.pop_front()
    }

    /// Seals `data` into one record.
    ///
    /// # Errors
    /// `Misuse` before the handshake is finished, after the end, or if `data` does not fit the MTU;
    /// `Unavailable` when the saved lease of sequence numbers is used up ([`Self::save`] again).
    pub fn send(&mut self, now: Instant, data: &[u8]) -> Result<(), Error> {
        //= rfc6347#4.1.1-1
        if data.len() > self.send_bytes_max() && self.is_connected() {
            return Err(Error::Misuse("longer than the MTU or the server's record size limit allows"));
        }
        let record = match &mut self.state {
            State::Connected(association) => association.seal(ContentType::APPLICATION_DATA, data)?,
            State::Connected13(_) => return self.send13(now, data),
            _ => return Err(Error::Misuse("not connected")),
        };
        self.outbox.push_back(record);
        Ok(())
    }

    /// DTLS 1.3: asks for new keys in the direction in which we send (RFC 9147 section 8). They are used once the peer
    /// has acknowledged it and, for a connection that was saved, [`Self::save`] has reserved numbers under them.
    ///
    /// # Errors
    /// `Misuse` before the handshake is finished, after the end, or in DTLS 1.2; `Unavailable` in the last epoch.
    pub fn update_keys(&mut self, now: Instant) -> Result<(), Error> {
        let State::Connected13(association) = &mut self.state else {
            return Err(Error::Misuse("not connected, or not with DTLS 1.3"));
        };
        let write_epoch = association.keys.write_epoch;
        association.established.update_keys(write_epoch, false)?;
        self.transmit_post(now);
        Ok(())
    }

    /// DTLS 1.3: asks the server for Connection IDs to be used later (RFC 9147 section 9), at most
    /// [`limits::CONNECTION_IDS_REQUESTED_MAX`], of which [`limits::CONNECTION_IDS_SPARE_MAX`] are kept, over
    /// [`Self::save`], too. Each [`Self::resume`] uses one. A connection that was saved has to be saved again before the
    /// question leaves, in the same datagram as the next data.
    ///
    /// # Errors
    /// `Misuse` before the handshake is finished, after the end, in DTLS 1.2, for a number out of range, or if the server
    /// gave us no Connection ID; `Unavailable` if too much waits.
    pub fn request_connection_ids(&mut self, now: Instant, count: u8) -> Result<(), Error> {
        let State::Connected13(association) = &mut self.state else {
            return Err(Error::Misuse("not connected, or not with DTLS 1.3"));
        };
        if !(1..=limits::CONNECTION_IDS_REQUESTED_MAX).contains(&count) {
            return Err(Error::Misuse("no Connection IDs, or more than a server gives at a time"));
        }
        association.request_connection_ids(count)?;
        self.transmit_post(now);
        Ok(())
    }

    /// DTLS 1.3: our address has changed, or is about to: goes on under another Connection ID, so that nobody can tell
    /// from outside that it is still us. `false` if there is none left.
    pub fn use_spare_connection_id(&mut self) -> bool {
        match &mut self.state {
            State::Connected13(association) => association.use_spare(),
            _ => false,
        }
    }
    //= rfc9147#4.4-s1
    //= rfc6347#4.1.1.1-s2
    /// The longest `data` that [`Self::send`] takes; zero while not connected.
    #[must_use]
    pub fn send_bytes_max(&self) -> usize {
        match &self.state {
            State::Connected(association) => association.content_bytes_max(self.mtu),
            State::Connected13(association) => association.content_bytes_max(),
            State::Handshaking(_) | State::Handshaking13(_) | State::Closed => 0,
        }
    }

    /// Says close_notify, if anybody listens, and ends the connection.
    pub fn close(&mut self, _now: Instant) {
        self.say_goodbye(AlertDescription::CLOSE_NOTIFY);
        self.end(CloseReason::Local);
    }

    /// 32 bytes of keying material bound to this handshake (RFC 5705, label `EXPORTER-bartizan-session`).
    #[must_use]
    pub fn exporter(&self) -> Option<&[u8; 32]> {
        match &self.state {
            State::Connected(association) => Some(association.exporter.expose()),
            State::Connected13(association) => Some(association.exporter.expose()),
            State::Handshaking(_) | State::Handshaking13(_) | State::Closed => None,
        }
    }

    /// The suite of the association.
    #[must_use]
    pub fn suite(&self) -> Option<CipherSuite> {
        match &self.state {
            State::Connected(association) => Some(association.suite),
            State::Connected13(association) => Some(association.suite),
            State::Handshaking(_) | State::Handshaking13(_) | State::Closed => None,
        }
    }

    /// How the server has shown who it is, and the principal that our [`PeerVerifier`](crate::PeerVerifier) has named
    /// ([`Authentication::NOBODY`] for a pre-shared key). `None` before the handshake is finished, and after
    /// [`Self::resume`]: the device that saved the association knew.
    #[must_use]
    pub const fn peer(&self) -> Option<(Authentication, u64)> {
        self.peer
    }

    /// The session to be offered the next time ([`ClientResumption`](crate::ClientResumption)), if the server lets it
    /// be resumed.
    #[must_use]
    pub const fn resumable(&self) -> Option<&ResumableSession> {
        self.resumable.as_ref()
    }

    /// Whether the handshake resumed an earlier session.
    #[must_use]
    pub const fn is_resumed(&self) -> bool {
        self.resumed
    }

    /// The association to be kept. From then on this connection, too, uses only the sequence numbers that the
    /// saved value reserves, until it is saved again.
    pub fn save(&mut self) -> Option<SavedSession> {
        match &mut self.state {
            State::Connected(association) => Some(SavedSession(Saved::V12(association.save(self.lease)))),
            State::Connected13(association) => {
                let saved = association.save(self.lease);
                Some(SavedSession(Saved::V13(association.with(saved))))
            }
            State::Handshaking(_) | State::Handshaking13(_) | State::Closed => None,
        }
    }

    /// How many records can be sent before [`Self::save`] is due; `None` if nothing was ever saved.
    #[must_use]
    pub fn sends_left(&self) -> Option<u64> {
        match &self.state {
            State::Connected(association) => association.sends_left(),
            State::Connected13(association) => association.sends_left(),
            State::Handshaking(_) | State::Handshaking13(_) | State::Closed => None,
        }
    }

    #[must_use]
    pub const fn is_connected(&self) -> bool {
        matches!(self.state, State::Connected(_) | State::Connected13(_))
    }

    #[must_use]
    pub const fn is_closed(&self) -> bool {
        matches!(self.state, State::Closed)
    }

    pub(super) fn own_cid_len(&self) -> usize {
        match &self.state {
            State::Handshaking(handshake) => handshake.association.as_ref().map_or(0, Association::own_cid_len),
            State::Connected(association) => association.own_cid_len(),
            State::Handshaking13(handshake) => handshake.own_cid_len(),
            State::Connected13(association) => association.own_cid_len(),
            State::Closed => 0,
        }
    }

    /// Sends an alert, protected once what we send is.
    pub(super) fn say_goodbye(&mut self, description: AlertDescription) {
        let alert = Alert::of(description).encode();
        let record = match &mut self.state {
            State::Connected(association) => association.seal(ContentType::ALERT, &alert).ok(),
            State::Handshaking(handshake) => handshake.seal_alert(alert),
            State::Connected13(association) => association.seal(ContentType::ALERT, &alert).ok(),
            State::Handshaking13(handshake) => handshake.seal_alert(alert),
            State::Closed => None,
        };
        self.outbox.extend(record);
    }

    pub(super) fn end(&mut self, reason: CloseReason) {
        if !self.is_closed() {
            self.state = State::Closed;
            self.events.push_back(ConnectionEvent::Closed(reason));
        }
    }

    /// ChangeCipherSpec and Finished once more: the server has repeated its own, since ours were lost.
    pub(super) fn repeat_last_flight(&mut self) {
        let State::Connected(association) = &mut self.state else {
            return;
        };
        let Some(mut last) = association.last_flight.take() else {
            return;
        };
        if let Ok(finished) = association.seal(ContentType::HANDSHAKE, &last.finished) {
            let mut packer = Packer::new(self.mtu, &mut last.record_sequence);
            packer.change_cipher_spec();
            packer.record(finished);
            self.outbox.extend(packer.finish());
        }
        association.last_flight = Some(last);
    }

    pub(super) fn reject(&mut self, reason: RecordRejection) {
        self.events.push_back(ConnectionEvent::Rejected(reason));
    }
}

impl core::fmt::Debug for Connection {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        let state = match self.state {
            State::Handshaking(_) | State::Handshaking13(_) => "handshaking",
            State::Connected(_) | State::Connected13(_) => "connected",
            State::Closed => "closed",
        };
        write!(f, "Connection({state})")
    }
}
