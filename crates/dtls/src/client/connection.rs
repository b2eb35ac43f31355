//! [`Connection`]: datagrams, timeouts and application data in; datagrams and events out.

use alloc::boxed::Box;
use alloc::collections::VecDeque;
use alloc::vec::Vec;

use bartizan_crypto::Random;
use bartizan_wire::event::RecordRejection;
use bartizan_wire::record::{self as wire, ContentType, DTLS_1_2, Record};

use super::association::Association;
use super::handshake::{Handshake, Phase};
use super::{ClientConfig, SavedSession};
use crate::alert::Alert;
use crate::codec::{Reader, try_copy};
use crate::handshake::message::{Fragment, Kind};
use crate::handshake::reassembly::Accepted;
use crate::record::{self, EPOCH};
use crate::{AlertDescription, CipherSuite, CloseReason, Error, Instant, limits};

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
    state: State,
    mtu: usize,
    lease: u64,
    outbox: VecDeque<Vec<u8>>,
    events: VecDeque<ConnectionEvent>,
}

enum State {
    Handshaking(Box<Handshake>),
    Connected(Box<Association>),
    Closed,
}

impl Connection {
    /// Begins a handshake; the first datagram waits in [`Self::poll_transmit`].
    ///
    /// # Errors
    /// `Misuse` if the configuration cannot work.
    pub fn connect(config: ClientConfig, now: Instant, rng: &mut dyn Random) -> Result<Self, Error> {
        config.check()?;
        let (mtu, lease) = (config.mtu, config.lease);
        let mut handshake = Box::new(Handshake::new(config, now, rng)?);
        let outbox = handshake.transmit().collect();
        Ok(Self { state: State::Handshaking(handshake), mtu, lease, outbox, events: VecDeque::new() })
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
        let association = Association::from_saved(config.provider, saved);
        Ok(Self {
            state: State::Connected(Box::new(association)),
            mtu: config.mtu,
            lease: config.lease,
            outbox: VecDeque::new(),
            events: VecDeque::new(),
        })
    }

    /// Takes in a datagram, which is decrypted in place. The outcome shows in [`Self::poll`].
    pub fn handle(&mut self, now: Instant, datagram: &mut [u8]) {
        let mut rest = datagram;
        for _ in 0..limits::RECORDS_PER_DATAGRAM_MAX {
            if rest.is_empty() || self.events.len() >= limits::EVENTS_MAX {
                return;
            }
            match wire::split(rest, self.own_cid_len()) {
                Ok((record, more)) => {
                    self.on_record(now, record);
                    rest = more;
                }
                Err(wire::Malformed) => return self.reject(RecordRejection::Malformed),
            }
        }
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
            State::Connected(_) | State::Closed => None,
        }
    }

    /// Repeats the flight, or gives up.
    pub fn handle_timeout(&mut self, now: Instant) {
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
    pub fn send(&mut self, _now: Instant, data: &[u8]) -> Result<(), Error> {
        let State::Connected(association) = &mut self.state else {
            return Err(Error::Misuse("not connected"));
        };
        if data.len() + association.overhead() > self.mtu {
            return Err(Error::Misuse("longer than the MTU allows"));
        }
        let record = association.seal(ContentType::APPLICATION_DATA, data)?;
        self.outbox.push_back(record);
        Ok(())
    }

    /// The longest `data` that [`Self::send`] takes; zero while not connected.
    #[must_use]
    pub fn send_bytes_max(&self) -> usize {
        match &self.state {
            State::Connected(association) => self.mtu.saturating_sub(association.overhead()),
            State::Handshaking(_) | State::Closed => 0,
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
            State::Handshaking(_) | State::Closed => None,
        }
    }

    /// The association to be kept. From then on this connection, too, uses only the sequence numbers that the
    /// saved value reserves, until it is saved again.
    pub fn save(&mut self) -> Option<SavedSession> {
        match &mut self.state {
            State::Connected(association) => Some(association.save(self.lease)),
            State::Handshaking(_) | State::Closed => None,
        }
    }

    /// How many records can be sent before [`Self::save`] is due; `None` if nothing was ever saved.
    #[must_use]
    pub fn sends_left(&self) -> Option<u64> {
        match &self.state {
            State::Connected(association) => association.lease.map(|lease| lease.saturating_sub(association.send_next)),
            State::Handshaking(_) | State::Closed => None,
        }
    }

    #[must_use]
    pub const fn is_connected(&self) -> bool {
        matches!(self.state, State::Connected(_))
    }

    #[must_use]
    pub const fn is_closed(&self) -> bool {
        matches!(self.state, State::Closed)
    }

    fn own_cid_len(&self) -> usize {
        match &self.state {
            State::Handshaking(handshake) => handshake.association.as_ref().map_or(0, Association::own_cid_len),
            State::Connected(association) => association.own_cid_len(),
            State::Closed => 0,
        }
    }

    fn on_record(&mut self, now: Instant, record: Record<'_>) {
        match record.header.epoch {
            0 => self.on_plain(now, &record),
            EPOCH if record.header.version == DTLS_1_2 => self.on_protected(now, record),
            _ => self.reject(RecordRejection::Unexpected),
        }
    }

    /// Epoch 0: the handshake up to ChangeCipherSpec, and nothing else. Once connected, nothing at all.
    fn on_plain(&mut self, now: Instant, record: &Record<'_>) {
        let State::Handshaking(handshake) = &mut self.state else {
            return self.reject(RecordRejection::Unexpected);
        };
        match record.header.content_type {
            ContentType::HANDSHAKE => self.on_fragments(now, record.fragment),
            ContentType::CHANGE_CIPHER_SPEC if *record.fragment == [1] => {
                if handshake.on_change_cipher_spec().is_err() {
                    self.reject(RecordRejection::Unexpected);
                }
            }
            ContentType::ALERT => match Alert::decode(record.fragment) {
                Some(alert) if alert.fatal => handshake.alert = Some(alert.description),
                Some(_) => {}
                None => self.reject(RecordRejection::Malformed),
            },
            _ => self.reject(RecordRejection::Unexpected),
        }
    }

    fn on_fragments(&mut self, now: Instant, fragments: &[u8]) {
        let mut reader = Reader::new(fragments);
        while !reader.is_empty() {
            let State::Handshaking(handshake) = &mut self.state else {
                return;
            };
            let Ok(fragment) = Fragment::read(&mut reader) else {
                return self.reject(RecordRejection::Malformed);
            };
            // A stateless server may number its request as it likes.
            if fragment.kind == Kind::HelloVerifyRequest {
                self.on_verify_request(now, &fragment);
                continue;
            }
            if handshake.awaits_protected() && !handshake.reassembly.is_old(&fragment) {
                self.reject(RecordRejection::Unexpected);
                continue;
            }
            match handshake.reassembly.accept(&fragment) {
                Accepted::Kept => self.advance(now),
                Accepted::Old => self.on_repetition(now, fragment.kind),
                Accepted::Refused => self.reject(RecordRejection::Unexpected),
            }
        }
    }

    fn on_verify_request(&mut self, now: Instant, fragment: &Fragment<'_>) {
        let State::Handshaking(handshake) = &mut self.state else {
            return;
        };
        let Some(body) = fragment.whole().filter(|_| handshake.phase == Phase::Hello) else {
            return self.reject(RecordRejection::Unexpected);
        };
        let outcome = handshake.on_verify_request(body);
        self.conclude(now, outcome);
    }

    /// Deals with all messages that are complete and due.
    fn advance(&mut self, now: Instant) {
        while let State::Handshaking(handshake) = &mut self.state {
            let Some(message) = handshake.reassembly.next() else {
                return;
            };
            let outcome = handshake.on_message(&message);
            self.conclude(now, outcome);
        }
    }

    fn conclude(&mut self, now: Instant, outcome: Result<bool, Error>) {
        let State::Handshaking(handshake) = &mut self.state else {
            return;
        };
        match outcome {
            Ok(new_flight) => {
                handshake.alert = None;
                if new_flight {
                    self.outbox.extend(handshake.transmit());
                    handshake.timer.restart(now);
                }
            }
            Err(error) => {
                self.say_goodbye(error.alert());
                self.end(CloseReason::Failed(error));
            }
        }
    }

    /// The server repeats its flight: it has not seen ours (RFC 6347 section 4.2.4).
    fn on_repetition(&mut self, now: Instant, kind: Kind) {
        let State::Handshaking(handshake) = &mut self.state else {
            return;
        };
        if kind == Kind::ServerHelloDone && handshake.timer.may_answer(now) {
            self.outbox.extend(handshake.transmit());
            handshake.timer.answered(now);
        }
    }

    fn on_protected(&mut self, now: Instant, record: Record<'_>) {
        let opened = match &mut self.state {
            State::Handshaking(handshake) => match &mut handshake.association {
                Some(association) => association.open(record),
                None => Err(RecordRejection::Unexpected),
            },
            State::Connected(association) => association.open(record),
            State::Closed => Err(RecordRejection::Unexpected),
        };
        match opened {
            Ok((ContentType::APPLICATION_DATA, data)) => self.on_data(data),
            Ok((ContentType::ALERT, alert)) => self.on_alert(alert),
            Ok((ContentType::HANDSHAKE, message)) => self.on_protected_handshake(now, message),
            Ok(_) => self.reject(RecordRejection::Unexpected),
            Err(rejection) => self.reject(rejection),
        }
    }

    fn on_data(&mut self, data: &[u8]) {
        match (&self.state, try_copy(data)) {
            (State::Connected(_), Some(data)) => self.events.push_back(ConnectionEvent::Data(data)),
            _ => self.reject(RecordRejection::Unexpected),
        }
    }

    /// An authentic alert. RFC 5246 section 7.2.1: answer close_notify with close_notify.
    fn on_alert(&mut self, fragment: &[u8]) {
        match Alert::decode(fragment) {
            Some(alert) if alert.description == AlertDescription::CLOSE_NOTIFY => {
                self.say_goodbye(AlertDescription::CLOSE_NOTIFY);
                self.end(CloseReason::Peer);
            }
            Some(alert) if alert.fatal => self.end(CloseReason::Alert(alert.description)),
            Some(_) => {}
            None => self.reject(RecordRejection::Malformed),
        }
    }

    /// The server's Finished; later, a repetition of it or the wish to renegotiate.
    fn on_protected_handshake(&mut self, now: Instant, message: &[u8]) {
        let fragment = Fragment::read(&mut Reader::new(message));
        match (&mut self.state, fragment) {
            (State::Handshaking(handshake), Ok(fragment)) => {
                if handshake.phase != Phase::Finished || fragment.kind != Kind::Finished {
                    return self.reject(RecordRejection::Unexpected);
                }
                handshake.reassembly.accept(&fragment);
                self.finish(now);
            }
            (State::Connected(_), Ok(fragment)) => match fragment.kind {
                Kind::Finished => {}
                // RFC 5246 section 7.4.1.1 lets a client decline.
                Kind::HelloRequest => self.say_goodbye(AlertDescription::NO_RENEGOTIATION),
                _ => self.reject(RecordRejection::Unexpected),
            },
            _ => self.reject(RecordRejection::Malformed),
        }
    }

    fn finish(&mut self, now: Instant) {
        let State::Handshaking(handshake) = &mut self.state else {
            return;
        };
        let Some(message) = handshake.reassembly.next() else {
            return;
        };
        let outcome = handshake.on_message(&message);
        if outcome.is_ok()
            && let Some(association) = handshake.association.take()
        {
            self.events.push_back(ConnectionEvent::Connected {
                suite: association.suite,
                peer_cid: !association.peer_cid.is_empty(),
            });
            self.state = State::Connected(Box::new(association));
            return;
        }
        self.conclude(now, outcome);
    }

    /// Sends an alert: protected when connected, in the clear during the handshake.
    fn say_goodbye(&mut self, description: AlertDescription) {
        let alert = Alert::of(description).encode();
        let record = match &mut self.state {
            State::Connected(association) => association.seal(ContentType::ALERT, &alert).ok(),
            State::Handshaking(handshake) => {
                let sequence = handshake.next_record_sequence();
                Some(record::plain(ContentType::ALERT, sequence, &alert))
            }
            State::Closed => None,
        };
        self.outbox.extend(record);
    }

    fn end(&mut self, reason: CloseReason) {
        if !self.is_closed() {
            self.state = State::Closed;
            self.events.push_back(ConnectionEvent::Closed(reason));
        }
    }

    fn reject(&mut self, reason: RecordRejection) {
        self.events.push_back(ConnectionEvent::Rejected(reason));
    }
}

impl core::fmt::Debug for Connection {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        let state = match self.state {
            State::Handshaking(_) => "handshaking",
            State::Connected(_) => "connected",
            State::Closed => "closed",
        };
        write!(f, "Connection({state})")
    }
}
