//! What the client makes of records: plaintext during the handshake, protected ones ever after.

use alloc::boxed::Box;

use bartizan_wire::event::RecordRejection;
use bartizan_wire::record::{ContentType, DTLS_1_2, Record};

use super::association::Unopened;
use super::connection::{Connection, ConnectionEvent, State};
use super::hello::NOT_OFFERED;
use super::phase::Phase;
use crate::alert::Alert;
use crate::codec::{Reader, try_copy};
use crate::handshake::message::{Fragment, Kind};
use crate::handshake::reassembly::Accepted;
use crate::record::EPOCH;
use crate::{AlertDescription, CloseReason, Error, Instant, rrc};

impl Connection {
    pub(super) fn on_record(&mut self, now: Instant, record: Record<'_>) {
        match record.header.epoch {
            0 if matches!(self.state, State::Handshaking13(_)) => self.on_plain13(now, &record),
            0 => self.on_plain(now, &record),
            EPOCH if record.header.version == DTLS_1_2 => self.on_protected(now, record),
            _ => self.reject(RecordRejection::Unexpected),
        }
    }

    //= rfc6347#4.1-s1
    /// Epoch 0: the handshake up to ChangeCipherSpec, and nothing else. Once connected, nothing at all.
    fn on_plain(&mut self, now: Instant, record: &Record<'_>) {
        let State::Handshaking(handshake) = &mut self.state else {
            return self.reject(RecordRejection::Unexpected);
        };
        let limits = handshake.limits;
        if limits.in_the_clear && record.fragment.len() > usize::from(limits.receive) {
            return self.reject(RecordRejection::Malformed);
        }
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

    pub(super) fn on_fragments(&mut self, now: Instant, fragments: &[u8]) {
        let mut reader = Reader::new(fragments);
        while !reader.is_empty() {
            let State::Handshaking(handshake) = &mut self.state else {
                return;
            };
            let Ok(fragment) = Fragment::read(&mut reader) else {
                return self.reject(RecordRejection::Malformed);
            };
            // RFC 5246 section 7.4.1.1: nothing to be said to it now.
            if fragment.kind == Kind::HelloRequest {
                continue;
            }
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

    /// A message that was put together elsewhere.
    pub(super) fn on_whole_message(&mut self, now: Instant, kind: u8, sequence: u16, body: &[u8]) {
        let State::Handshaking(handshake) = &mut self.state else {
            return;
        };
        let Some(kind) = Kind::from_code(kind) else {
            return self.reject(RecordRejection::Unexpected);
        };
        handshake.reassembly.accept(&Fragment { kind, length: body.len(), sequence, offset: 0, body });
        self.advance(now);
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
                self.say_goodbye(alert_of(error));
                self.end(CloseReason::Failed(error));
            }
        }
    }

    //= rfc6347#4.1-2
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
                None => Err(Unopened::Rejected(RecordRejection::Unexpected)),
            },
            State::Connected(association) => association.open(record),
            State::Handshaking13(_) | State::Connected13(_) | State::Closed => {
                Err(Unopened::Rejected(RecordRejection::Unexpected))
            }
        };
        match opened {
            Ok((ContentType::APPLICATION_DATA, data)) => self.on_data(data),
            Ok((ContentType::ALERT, alert)) => self.on_alert(alert),
            Ok((ContentType::HANDSHAKE, message)) => self.on_protected_handshake(now, message),
            Ok((ContentType::RETURN_ROUTABILITY_CHECK, message)) => self.on_path_message(message),
            Ok(_) => self.reject(RecordRejection::Unexpected),
            //= rfc6347#4.1.2.1-s1
            //= rfc6347#4.1.2.7-s1
            //= rfc6347#5-s2
            Err(Unopened::Rejected(rejection)) => self.reject(rejection),
            //= rfc8449#4-5
            Err(Unopened::TooLong) => {
                self.say_goodbye(AlertDescription::RECORD_OVERFLOW);
                self.end(CloseReason::Failed(Error::Misbehaved("a record longer than was agreed")));
            }
            Err(Unopened::Forgeries) => {
                self.reject(RecordRejection::Forged);
                self.say_goodbye(AlertDescription::BAD_RECORD_MAC);
                self.end(CloseReason::Forgeries);
            }
        }
    }

    //= rfc6347#4.2.4-2
    fn on_data(&mut self, data: &[u8]) {
        match (&mut self.state, try_copy(data)) {
            (State::Connected(association), Some(data)) => {
                // Whoever sends data has our Finished.
                association.last_flight = None;
                self.events.push_back(ConnectionEvent::Data(data));
            }
            _ => self.reject(RecordRejection::Unexpected),
        }
    }

    /// RFC 9853 section 5.4: each challenge has one response, at once. Only a server with which the check was negotiated
    /// asks; a saved association does not remember it, so whoever asks is answered. We have no path but this one, so
    /// we drop none, and no questions of our own.
    pub(super) fn on_path_message(&mut self, content: &[u8]) {
        match rrc::Message::decode(content) {
            Some(rrc::Message::Challenge(cookie)) => {
                let response = rrc::Message::Response(cookie).encode();
                let sealed = match &mut self.state {
                    State::Connected(association) => association.seal(ContentType::RETURN_ROUTABILITY_CHECK, &response),
                    State::Connected13(association) => {
                        association.seal(ContentType::RETURN_ROUTABILITY_CHECK, &response)
                    }
                    State::Handshaking(_) | State::Handshaking13(_) | State::Closed => {
                        return self.reject(RecordRejection::Unexpected);
                    }
                };
                self.outbox.extend(sealed.ok());
            }
            Some(_) => {}
            None => self.reject(RecordRejection::Malformed),
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
                Kind::Finished => self.repeat_last_flight(),
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
        if outcome == Ok(true) {
            self.outbox.extend(handshake.transmit());
        }
        if let Ok(last_word) = outcome
            && let Some(mut association) = handshake.association.take()
        {
            association.last_flight = handshake.last_flight().filter(|_| last_word);
            self.peer = Some(handshake.authentication());
            self.resumable = handshake.resumable();
            self.resumed = last_word;
            self.events.push_back(ConnectionEvent::Connected {
                suite: association.suite,
                peer_cid: !association.peer_cid.is_empty(),
            });
            self.state = State::Connected(Box::new(association));
            return;
        }
        self.conclude(now, outcome);
    }
}

/// RFC 5246 section 7.4.1.4 has an alert of its own for extensions that nobody asked for.
fn alert_of(error: Error) -> AlertDescription {
    match error {
        NOT_OFFERED => AlertDescription::UNSUPPORTED_EXTENSION,
        error => error.alert(),
    }
}
