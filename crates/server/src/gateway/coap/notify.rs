//! Observe (RFC 7641) both ways, and other responses that travel on their own.

use bartizan_wire::Access;
use bartizan_wire::coap::{Builder, Code, MessageView, OptionNumber, Type, empty};
use bytes::Bytes;

use super::answer::moved;
use super::seen::{Token, Waiting};
use super::sent::Purpose;
use super::{Exchange, Peer, Shed, Step, Turn};
use crate::limits::COAP_OBSERVATIONS_PER_DEVICE_MAX;

/// An observation that the device holds at its upstream.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Observer {
    pub token: Token,
}

impl Peer {
    /// A response of the device: to a command, or one that the upstream may be waiting for.
    pub(super) fn response(&mut self, turn: &mut Turn<'_>, view: &MessageView<'_>, message: &Bytes) {
        let asked = match view.kind() {
            Type::Acknowledgement => self.sent.settle(view.message_id()).is_some(),
            _ => true,
        };
        if self.answers_command(turn, view, message) {
            return;
        }
        match (asked, view.kind()) {
            (_, Type::Acknowledgement) => turn.shed(Shed::Stray),
            _ if turn.access != Access::Full => {
                turn.shed(Shed::Refused);
                turn.send_empty(Type::Reset, view.message_id());
            }
            _ => self.carry_response(turn, view, message),
        }
    }

    /// A notification, most likely: the upstream knows whether it asked.
    fn carry_response(&mut self, turn: &mut Turn<'_>, view: &MessageView<'_>, message: &Bytes) {
        if self.is_duplicate(turn, view.message_id()) {
            return;
        }
        if !self.seen.make_room() {
            return turn.shed(Shed::Busy); // not acknowledged: the device repeats it
        }
        let waiting = Waiting::new(view.message_id(), view.kind(), view.token(), turn.now);
        let exchange = turn.shared.exchange();
        self.seen.wait(exchange, waiting, turn.now);
        turn.steps.push(Step::Respond { exchange, coap: message.clone() });
    }

    /// The upstream took the response of `exchange`, or (`wanted` is false) never asked or asks no longer:
    /// then a Reset ends the observation at the device (RFC 7641 section 3.6).
    pub fn taken(&mut self, turn: &mut Turn<'_>, exchange: Exchange, wanted: bool) {
        let Some(waiting) = self.seen.waiting(exchange) else {
            return;
        };
        let told = match (wanted, waiting.confirmable) {
            (true, false) => Vec::new(),
            (true, true) => empty(Type::Acknowledgement, waiting.message_id).to_vec(),
            (false, _) => empty(Type::Reset, waiting.message_id).to_vec(),
        };
        self.seen.finish(exchange, &told);
        if !told.is_empty() && !waiting.acknowledged {
            turn.send(told);
        } else if !wanted {
            turn.shed(Shed::Stray);
        }
    }

    /// Carries a notification of the upstream to the device. A newer one takes the place of one that is
    /// still being repeated (RFC 7641 section 4.5.2). A malformed one is not carried.
    pub fn notify(&mut self, turn: &mut Turn<'_>, coap: &[u8]) {
        let Ok(view) = MessageView::parse(coap) else {
            return turn.shed(Shed::Malformed);
        };
        if !view.code().is_response() || turn.access != Access::Full {
            return turn.shed(Shed::Refused);
        }
        let token = Token::new(view.token());
        let confirmable = view.kind() == Type::Confirmable;
        let kind = match confirmable {
            true => Type::Confirmable,
            false => Type::NonConfirmable,
        };
        let message_id = self.sent.next_id(turn.shared);
        let Some(message) = moved(coap, kind, message_id, view.token()) else {
            return;
        };
        self.note_end(&view, token);
        let purpose = Purpose::Notification(token);
        self.sent.stop(purpose);
        match confirmable {
            true => self.sent.send(turn, message_id, purpose, message),
            false => turn.send(message),
        }
    }

    /// A notification without Observe, or with an error, is the last one (RFC 7641 section 4.2).
    fn note_end(&mut self, view: &MessageView<'_>, token: Token) {
        let goes_on = view.code().is_success() && view.option(OptionNumber::OBSERVE).is_some();
        if !goes_on {
            self.observers.retain(|known| known.token != token);
        }
    }

    pub(super) fn remember_observer(&mut self, observer: Observer) {
        if self.observers.len() >= COAP_OBSERVATIONS_PER_DEVICE_MAX {
            self.observers.remove(0);
        }
        self.observers.push(observer);
    }

    /// The device rejects what we sent: a notification it no longer wants, or a command it does not know.
    pub(super) fn reset(&mut self, turn: &mut Turn<'_>, message_id: u16) {
        match self.sent.settle(message_id) {
            Some(Purpose::Notification(token)) => {
                self.observers.retain(|known| known.token != token);
            }
            Some(Purpose::Command(command)) => self.reset_command(turn, command),
            Some(Purpose::Response) => {}
            None => turn.shed(Shed::Stray),
        }
    }

    /// Tells every observer of this device that it is over.
    pub(super) fn end_observations(&mut self, turn: &mut Turn<'_>) {
        for observer in std::mem::take(&mut self.observers) {
            let message_id = self.sent.next_id(turn.shared);
            let mut buffer = [0; 16];
            let last =
                Builder::new(&mut buffer, Type::NonConfirmable, Code::FORBIDDEN, message_id, observer.token.as_slice());
            let last = last.finish().expect("invariant: 16 bytes hold a header and a token");
            turn.send(last.to_vec());
        }
    }
}
