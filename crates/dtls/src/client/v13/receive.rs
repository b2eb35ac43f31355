//! What the client makes of records of DTLS 1.3.

use alloc::boxed::Box;

use bartizan_wire::event::RecordRejection;
use bartizan_wire::record::{ContentType, Record};

use super::handshake::{Handshake, Phase};
use crate::alert::Alert;
use crate::client::connection::{Connection, ConnectionEvent, State};
use crate::codec::{Reader, try_copy};
use crate::handshake::timer::Timer;
use crate::v13::established::WORN_OUT;
use crate::v13::messages::{Fragment, Message, kind};
use crate::v13::reassembly::Accepted;
use crate::v13::record::{self, ACK, Sealed};
use crate::v13::schedule::{EPOCH_APPLICATION, EPOCH_HANDSHAKE};
use crate::v13::{Fault, ack, hello};
use crate::{AlertDescription, CloseReason, Error, Instant, limits};

impl Connection {
    /// Repeats a flight, acknowledges half of one, or gives up.
    pub(in crate::client) fn handle_timeout13(&mut self, now: Instant) {
        let State::Handshaking13(handshake) = &mut self.state else {
            return self.on_post_timeout(now);
        };
        if handshake.ack_at.is_some_and(|at| now >= at) {
            self.outbox.extend(handshake.acknowledge());
        }
        if !handshake.timer.is_due(now) {
            return;
        }
        if let Some(alert) = handshake.alert {
            return self.end(CloseReason::Alert(alert));
        }
        if handshake.timer.transmissions >= limits::CLIENT_TRANSMISSIONS_MAX {
            return self.end(CloseReason::TimedOut);
        }
        let datagrams = handshake.repeat(now);
        self.outbox.extend(datagrams);
    }

    /// A message after the handshake is repeated; one that nobody acknowledges is given up, and the keys stay.
    fn on_post_timeout(&mut self, now: Instant) {
        let State::Connected13(association) = &mut self.state else {
            return;
        };
        let post = &association.established.post;
        let spent = |timer: &Timer| timer.is_due(now) && timer.transmissions >= limits::CLIENT_TRANSMISSIONS_MAX;
        if post.timer().is_some_and(spent) {
            return self.end(CloseReason::TimedOut);
        }
        self.transmit_post(now);
    }

    /// Takes the first record, which has a unified header, off a datagram.
    pub(in crate::client) fn on_unified<'d>(&mut self, now: Instant, datagram: &'d mut [u8]) -> &'d mut [u8] {
        match record::split(datagram, self.own_cid_len()) {
            Ok((record, rest)) => {
                self.on_sealed(now, record);
                rest
            }
            Err(reason) => {
                self.reject(reason);
                &mut []
            }
        }
    }

    fn on_sealed(&mut self, now: Instant, record: Sealed<'_>) {
        match &mut self.state {
            State::Connected13(_) => self.on_association_record(now, record),
            State::Handshaking13(handshake) => {
                let handshake = &mut **handshake;
                let epoch_2 = record.may_be_of(EPOCH_HANDSHAKE);
                if !epoch_2 && handshake.association.is_some() {
                    return self.on_association_record(now, record);
                }
                let named_right = handshake.is_named_by(&record);
                let outcome = match &mut handshake.keys {
                    Some(_) if epoch_2 && !named_right => Err(RecordRejection::UnknownConnectionId),
                    Some(keys) if epoch_2 => keys.open(handshake.config.provider, record),
                    _ if epoch_2 || record.may_be_of(EPOCH_APPLICATION) => {
                        let _ = handshake.put_aside(&record).map_err(|reason| self.reject(reason));
                        return;
                    }
                    _ => Err(RecordRejection::Unexpected),
                };
                let worn_out =
                    handshake.keys.as_ref().is_some_and(|keys| keys.is_worn_out(limits::FORGERIES_MAX_CCM_8));
                match outcome {
                    Ok((number, kind, content)) => self.on_handshake_record(now, number, kind, content),
                    Err(reason) => self.reject(reason),
                }
                if worn_out {
                    self.give_up(Fault::new(WORN_OUT, Error::Misbehaved("too many forged records")));
                }
            }
            State::Handshaking(_) | State::Connected(_) | State::Closed => self.reject(RecordRejection::Unexpected),
        }
    }

    /// A record of epoch 2.
    fn on_handshake_record(&mut self, now: Instant, number: u64, kind: ContentType, content: &[u8]) {
        let State::Handshaking13(handshake) = &mut self.state else {
            return;
        };
        // Whoever speaks under keys has not given up: an alert in the clear was somebody else's.
        handshake.alert = None;
        match kind {
            //= rfc9147#7.1-3
            ContentType::HANDSHAKE => self.on_protected_fragments(now, number, content),
            ACK => match ack::decode(content) {
                Ok(numbers) => {
                    if handshake.on_ack(numbers) {
                        self.finish13(now);
                    }
                }
                Err(_) => self.reject(RecordRejection::Malformed),
            },
            ContentType::ALERT => self.on_alert13(content),
            _ => self.reject(RecordRejection::Unexpected),
        }
    }

    fn on_protected_fragments(&mut self, now: Instant, number: u64, content: &[u8]) {
        let State::Handshaking13(handshake) = &mut self.state else {
            return;
        };
        let taken = match handshake.reassembly.accept_record(content) {
            Ok(taken) => taken,
            Err(error) => return self.conclude13(now, Err(error.into())),
        };
        if taken.whole && taken.kept {
            handshake.note_record(now, number);
        }
        if taken.old {
            self.on_repetition13(now);
        }
        if !taken.whole {
            self.reject(RecordRejection::Unexpected);
        }
        self.advance13(now);
    }

    /// The server repeats its flight: it has not seen ours, or not all of it.
    fn on_repetition13(&mut self, now: Instant) {
        let State::Handshaking13(handshake) = &mut self.state else {
            return;
        };
        if handshake.phase == Phase::Ack && handshake.timer.may_answer(now) {
            handshake.timer.answered(now);
            let datagrams = handshake.transmit();
            self.outbox.extend(datagrams);
        }
    }

    /// Deals with all messages that are complete and due.
    fn advance13(&mut self, now: Instant) {
        while let State::Handshaking13(handshake) = &mut self.state {
            let Some(message) = handshake.reassembly.next() else {
                return;
            };
            let outcome = handshake.on_message(&message);
            self.conclude13(now, outcome);
            self.retry_early(now);
        }
    }

    /// Opens what came before its keys.
    fn retry_early(&mut self, now: Instant) {
        let State::Handshaking13(handshake) = &mut self.state else {
            return;
        };
        if handshake.keys.is_none() {
            return;
        }
        let waiting = core::mem::take(&mut handshake.early);
        for mut bytes in waiting {
            let length = self.own_cid_len();
            if let Ok((record, _)) = record::split(&mut bytes, length) {
                self.on_sealed(now, record);
            }
        }
    }

    fn conclude13(&mut self, now: Instant, outcome: Result<bool, Fault>) {
        let State::Handshaking13(handshake) = &mut self.state else {
            return;
        };
        match outcome {
            Ok(new_flight) => {
                handshake.alert = None;
                if new_flight {
                    handshake.acks.clear();
                    handshake.ack_at = None;
                    handshake.timer.restart(now);
                    let datagrams = handshake.transmit();
                    self.outbox.extend(datagrams);
                }
            }
            Err(fault) => self.give_up(fault),
        }
    }

    fn give_up(&mut self, fault: Fault) {
        self.say_goodbye(fault.alert);
        self.end(CloseReason::Failed(fault.error));
    }

    /// The server has our Finished: the association is there.
    fn finish13(&mut self, now: Instant) {
        let State::Handshaking13(handshake) = &mut self.state else {
            return;
        };
        let held = core::mem::take(&mut handshake.held);
        let Some(mut association) = handshake.association.take() else {
            return;
        };
        association.restock();
        self.peer = Some(handshake.authentication());
        self.events.push_back(ConnectionEvent::Connected {
            suite: association.suite,
            peer_cid: !association.peer_cid.is_empty(),
        });
        self.state = State::Connected13(handshake.with(Box::new(association)));
        self.events.extend(held.into_iter().map(ConnectionEvent::Data));
        self.transmit_post(now);
    }

    /// A record of epoch 3 or later.
    fn on_association_record(&mut self, now: Instant, record: Sealed<'_>) {
        let association = match &mut self.state {
            State::Connected13(association) => Some(&mut ***association),
            State::Handshaking13(handshake) => handshake.association.as_mut(),
            _ => None,
        };
        let Some(association) = association else {
            return self.reject(RecordRejection::Unexpected);
        };
        let opened = match association.open(record) {
            Ok(opened) => opened,
            Err(reason) => {
                //= rfc9147#4.5.2-s1
                //= rfc9147#11-s3
                let worn_out = association.is_worn_out();
                let evades = reason == RecordRejection::Forged && association.evade();
                self.reject(reason);
                if worn_out {
                    self.give_up(Fault::new(WORN_OUT, Error::Misbehaved("too many forged records")));
                } else if evades {
                    self.transmit_post(now);
                }
                return;
            }
        };
        match opened.kind {
            ContentType::APPLICATION_DATA => self.on_data13(opened.content),
            ContentType::HANDSHAKE => match association.on_handshake(opened.number, opened.content) {
                Ok(ack) => {
                    self.outbox.extend(ack);
                    self.transmit_post(now);
                }
                Err(fault) => self.give_up(fault),
            },
            ACK => self.on_association_ack(now, opened.content),
            ContentType::ALERT => self.on_alert13(opened.content),
            ContentType::RETURN_ROUTABILITY_CHECK => self.on_path_message(opened.content),
            _ => self.reject(RecordRejection::Unexpected),
        }
    }

    fn on_association_ack(&mut self, now: Instant, content: &[u8]) {
        let outcome = match &mut self.state {
            State::Connected13(association) => association.on_ack(content).map(|()| false),
            State::Handshaking13(handshake) => ack::decode(content).map(|numbers| handshake.on_ack(numbers)),
            _ => return,
        };
        match outcome {
            Ok(true) => self.finish13(now),
            Ok(false) => self.transmit_post(now),
            Err(_) => self.reject(RecordRejection::Malformed),
        }
    }

    fn on_data13(&mut self, data: &[u8]) {
        match (&mut self.state, try_copy(data)) {
            (State::Connected13(_), Some(data)) => self.events.push_back(ConnectionEvent::Data(data)),
            //= rfc9147#5.8.1-2
            (State::Handshaking13(handshake), Some(data)) if handshake.held.len() < limits::EARLY_RECORDS_MAX => {
                handshake.held.push(data);
            }
            _ => self.reject(RecordRejection::Unexpected),
        }
    }

    /// RFC 8446 section 6: every alert ends the association but close_notify's kin, which only says goodbye.
    fn on_alert13(&mut self, content: &[u8]) {
        match Alert::decode(content) {
            Some(alert) if alert.description == AlertDescription::CLOSE_NOTIFY => {
                self.say_goodbye(AlertDescription::CLOSE_NOTIFY);
                //= rfc9147#5.10-1
                self.end(CloseReason::Peer);
            }
            Some(alert) if alert.description == AlertDescription::USER_CANCELED => {}
            Some(alert) => self.end(CloseReason::Alert(alert.description)),
            None => self.reject(RecordRejection::Malformed),
        }
    }

    /// Sends data, in one datagram with what is due after the handshake if both fit.
    pub(in crate::client) fn send13(&mut self, now: Instant, data: &[u8]) -> Result<(), Error> {
        let State::Connected13(association) = &mut self.state else {
            return Err(Error::Misuse("not connected"));
        };
        let mut datagrams = association.transmit(now);
        let sealed = association.seal(ContentType::APPLICATION_DATA, data);
        if let Ok(record) = &sealed {
            match datagrams.last_mut().filter(|last| last.len().saturating_add(record.len()) <= association.mtu) {
                Some(last) => last.extend_from_slice(record),
                None => datagrams.push(record.clone()),
            }
        }
        self.outbox.extend(datagrams);
        self.transmit_post(now);
        sealed.map(|_| ())
    }

    /// Sends what is due after the handshake.
    pub(in crate::client) fn transmit_post(&mut self, now: Instant) {
        if let State::Connected13(association) = &mut self.state {
            let datagrams = association.transmit(now);
            self.outbox.extend(datagrams);
        }
    }

    /// A record in the clear.
    pub(in crate::client) fn on_plain13(&mut self, now: Instant, record: &Record<'_>) {
        let State::Handshaking13(handshake) = &mut self.state else {
            return self.reject(RecordRejection::Unexpected);
        };
        match record.header.content_type {
            ContentType::HANDSHAKE => self.on_plain_fragments(now, record),
            ContentType::ALERT => match Alert::decode(record.fragment) {
                // Once there are keys, a server's alert comes under them.
                Some(alert) if alert.fatal && handshake.keys.is_none() => handshake.alert = Some(alert.description),
                Some(_) => {}
                None => self.reject(RecordRejection::Malformed),
            },
            _ => self.reject(RecordRejection::Unexpected),
        }
    }

    /// HelloRetryRequest and ServerHello; or what only DTLS 1.2 knows, if that is as welcome.
    fn on_plain_fragments(&mut self, now: Instant, record: &Record<'_>) {
        let mut reader = Reader::new(record.fragment);
        while !reader.is_empty() {
            let State::Handshaking13(handshake) = &mut self.state else {
                return;
            };
            let rest = reader.rest();
            let Ok(fragment) = Fragment::read(&mut reader) else {
                return self.reject(RecordRejection::Malformed);
            };
            if fragment.kind == kind::HELLO_VERIFY_REQUEST && handshake.may_fall_back() {
                self.fall_back(now, None);
                return self.on_fragments(now, rest);
            }
            if !matches!(handshake.phase, Phase::Hello | Phase::Retried) || fragment.kind != kind::SERVER_HELLO {
                if !handshake.reassembly.is_old(&fragment) {
                    self.reject(RecordRejection::Unexpected);
                }
                continue;
            }
            if handshake.reassembly.accept(&fragment) == Accepted::Refused {
                self.reject(RecordRejection::Unexpected);
                continue;
            }
            if let Some(message) = chosen_dtls_1_2(handshake) {
                self.fall_back(now, Some(message));
                return self.on_fragments(now, reader.rest());
            }
            self.advance13(now);
        }
    }

    /// The server speaks DTLS 1.2: its handshake goes on from the hello that both versions share.
    #[inline(never)] // two handshakes at a time
    fn fall_back(&mut self, now: Instant, message: Option<Message>) {
        let State::Handshaking13(handshake) = &mut self.state else {
            return;
        };
        let continued = handshake.continue_as_dtls_1_2(now);
        match continued {
            Ok(continued) => {
                self.state = State::Handshaking(continued);
                if let Some(message) = message {
                    self.on_whole_message(now, message.kind, message.sequence, &message.body);
                }
            }
            Err(error) => self.give_up(error.into()),
        }
    }
}

/// A complete ServerHello that chooses DTLS 1.2.
fn chosen_dtls_1_2(handshake: &mut Handshake) -> Option<Message> {
    if !handshake.may_fall_back() {
        return None;
    }
    let is_dtls_1_2 = |body: &[u8]| hello::ServerHello::decode(body).is_ok_and(|hello| !hello.is_dtls_1_3);
    handshake.reassembly.next_if(is_dtls_1_2)
}
