//! What comes in, by type and code (RFC 7252 section 4).

use bartizan_dtls::Instant;
use bartizan_wire::coap::{Header, MessageView, Type, empty};

use super::Endpoint;
use super::reliable::Purpose;
use super::seen::Sighting;
use crate::bounded::copy;
use crate::event::Failure;

impl Endpoint {
    /// Takes in one message of the peer.
    pub fn handle(&mut self, now: Instant, message: &[u8]) {
        self.heard = true;
        let Ok(view) = MessageView::parse(message) else {
            self.reject_malformed(message);
            return;
        };
        match view.kind() {
            Type::Acknowledgement if view.code().is_empty() => {
                self.acknowledge(now, view.message_id());
            }
            Type::Acknowledgement => {
                // Piggybacked. An acknowledgement with a method is nonsense and ignored.
                if view.code().is_response() {
                    self.take_answer(now, &view);
                }
            }
            Type::Reset => self.take_reset(view.message_id()),
            Type::Confirmable => self.take_confirmable(now, &view),
            Type::NonConfirmable => self.take_non_confirmable(now, &view),
        }
    }

    fn take_confirmable(&mut self, now: Instant, view: &MessageView<'_>) {
        // An Empty confirmable message is a ping (section 4.3).
        if view.code().is_empty() {
            self.ready.push_over_copy(&empty(Type::Reset, view.message_id()));
            return;
        }
        if self.is_repeated(now, view) {
            return;
        }
        if view.code().is_request() {
            self.serve(now, view);
            return;
        }
        let known = self.take_answer(now, view);
        let kind = if known { Type::Acknowledgement } else { Type::Reset };
        self.answer_at_once(view.message_id(), &empty(kind, view.message_id()));
    }

    fn take_non_confirmable(&mut self, now: Instant, view: &MessageView<'_>) {
        if view.code().is_empty() || self.is_repeated(now, view) {
            return;
        }
        if view.code().is_request() {
            self.serve(now, view);
        } else if !self.take_answer(now, view) {
            // A notification that nobody wants: the Reset ends it (RFC 7641 section 3.6).
            self.answer_at_once(view.message_id(), &empty(Type::Reset, view.message_id()));
        }
    }

    /// Repeats the first answer to a repeated message.
    fn is_repeated(&mut self, now: Instant, view: &MessageView<'_>) -> bool {
        match self.seen.sight(now, view.message_id()) {
            Sighting::First => false,
            Sighting::Repeated(answer) => {
                if let Some(answer) = answer {
                    self.ready.push_over(answer);
                }
                true
            }
        }
    }

    fn take_reset(&mut self, message_id: u16) {
        match self.reliable.settle(message_id) {
            Some(Purpose::Request(id)) => self.fail(id, Failure::Reset),
            Some(Purpose::Notification(id)) => self.lose_observer(id),
            Some(Purpose::Response) => {}
            None => {
                if let Some(id) = self.observers.last_told_in(message_id) {
                    self.lose_observer(id);
                }
            }
        }
    }

    /// A message format error of a confirmable message is told with a Reset (section 4.2).
    fn reject_malformed(&mut self, message: &[u8]) {
        if let Ok(header) = Header::parse(message)
            && header.kind == Type::Confirmable
        {
            self.ready.push_over_copy(&empty(Type::Reset, header.message_id));
        }
    }

    /// Sends the answer to a message and keeps it for its repetitions.
    pub(super) fn answer_at_once(&mut self, message_id: u16, answer: &[u8]) {
        self.seen.answered(message_id, answer);
        self.ready.push_over_copy(answer);
    }
}

impl crate::bounded::Queue<alloc::vec::Vec<u8>> {
    fn push_over_copy(&mut self, message: &[u8]) {
        if let Some(message) = copy(message) {
            self.push_over(message);
        }
    }
}
