//! How a request is answered: piggybacked, as a message of its own, whole or in parts.

use bartizan_wire::Access;
use bartizan_wire::coap::{Block, Builder, Code, MessageView, OptionNumber, Type, empty};
use bytes::Bytes;

use super::notify::Observer;
use super::seen::Waiting;
use super::sent::Purpose;
use super::{Exchange, Peer, Turn};
use crate::app::path::{Outcome, Reply};
use crate::limits::COAP_RETRY_SECONDS;

/// What a device is told.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Answer {
    pub code: Code,
    pub content_format: Option<u16>,
    /// Seconds: how long it is fresh, or after which to try again.
    pub max_age: Option<u32>,
    pub payload: Bytes,
    /// The origin's own response: its options and payload pass through.
    pub coap: Option<Bytes>,
}

impl Answer {
    #[must_use]
    pub const fn new(code: Code) -> Self {
        Self { code, content_format: None, max_age: None, payload: Bytes::new(), coap: None }
    }

    /// A code with a short diagnostic payload (RFC 7252 section 5.5.2).
    #[must_use]
    pub fn because(code: Code, why: &'static str) -> Self {
        Self { payload: Bytes::from_static(why.as_bytes()), ..Self::new(code) }
    }

    /// 5.03: nothing was accepted; try again.
    #[must_use]
    pub fn unavailable() -> Self {
        Self { max_age: Some(COAP_RETRY_SECONDS), ..Self::new(Code::SERVICE_UNAVAILABLE) }
    }

    /// A limited device sends too much (4.29); any other lack of access is 4.03.
    #[must_use]
    pub fn refused(access: Access) -> Self {
        match access {
            Access::Limited => Self { max_age: Some(COAP_RETRY_SECONDS), ..Self::new(Code::TOO_MANY_REQUESTS) },
            Access::Quarantined => Self::because(Code::FORBIDDEN, "quarantined"),
            Access::Full | Access::Blocked => Self::new(Code::FORBIDDEN),
        }
    }
}

impl From<Outcome> for Answer {
    fn from(outcome: Outcome) -> Self {
        match outcome {
            Outcome::Replied(reply) => reply.into(),
            Outcome::Forbidden(access) => Self::refused(access),
            Outcome::Unavailable => Self::unavailable(),
        }
    }
}

impl From<Reply> for Answer {
    fn from(reply: Reply) -> Self {
        Self {
            code: Code(reply.code),
            content_format: reply.content_format,
            max_age: None,
            payload: reply.payload,
            coap: reply.coap,
        }
    }
}

/// The options of an answer that we make ourselves.
#[derive(Default)]
struct Parts {
    block1: Option<Block>,
    block2: Option<Block>,
    size2: Option<u32>,
}

impl Peer {
    /// Answers the request of `exchange`. One that is no longer remembered is not answered.
    pub fn answer(&mut self, turn: &mut Turn<'_>, exchange: Exchange, answer: Answer) {
        let Some(waiting) = self.seen.waiting(exchange) else {
            return;
        };
        let (kind, message_id) = match (waiting.confirmable, waiting.acknowledged) {
            (true, false) => (Type::Acknowledgement, waiting.message_id),
            (true, true) => (Type::Confirmable, self.sent.next_id(turn.shared)),
            (false, _) => (Type::NonConfirmable, self.sent.next_id(turn.shared)),
        };
        let message = self.response_to(turn, &waiting, kind, message_id, answer);
        self.relate(&waiting, &message);
        self.finish(turn, exchange, kind, message_id, message);
    }

    /// Sends a finished response, and remembers what a duplicate of its request is told.
    fn finish(&mut self, turn: &mut Turn<'_>, exchange: Exchange, kind: Type, message_id: u16, message: Vec<u8>) {
        match kind {
            Type::Confirmable => {
                if let Some(waiting) = self.seen.waiting(exchange) {
                    let again = empty(Type::Acknowledgement, waiting.message_id);
                    self.seen.finish(exchange, &again);
                }
                self.sent.send(turn, message_id, Purpose::Response, message);
            }
            Type::Acknowledgement => {
                self.seen.finish(exchange, &message);
                turn.send(message);
            }
            _ => {
                self.seen.finish(exchange, &[]);
                turn.send(message);
            }
        }
    }

    /// Answers at once, without an exchange.
    pub(super) fn answer_now(&mut self, turn: &mut Turn<'_>, waiting: &Waiting, answer: Answer) {
        let (kind, message_id) = match waiting.confirmable {
            true => (Type::Acknowledgement, waiting.message_id),
            false => (Type::NonConfirmable, self.sent.next_id(turn.shared)),
        };
        let message = self.response_to(turn, waiting, kind, message_id, answer);
        let (asked, again): (_, &[u8]) = match waiting.confirmable {
            true => (Type::Confirmable, &message),
            false => (Type::NonConfirmable, &[]),
        };
        if self.seen.make_room() {
            self.seen.done(waiting.message_id, asked, again, turn.now);
        }
        turn.send(message);
    }

    fn response_to(
        &mut self,
        turn: &mut Turn<'_>,
        waiting: &Waiting,
        kind: Type,
        message_id: u16,
        mut answer: Answer,
    ) -> Vec<u8> {
        let token = waiting.token.as_slice();
        if let Some(coap) = answer.coap.take()
            && let Some(moved) = moved(&coap, kind, message_id, token)
        {
            return moved;
        }
        let mut parts = Parts { block1: waiting.block1, ..Parts::default() };
        if answer.code.is_success() {
            self.slice(turn, waiting, &mut answer, &mut parts);
        }
        encode(kind, message_id, token, &answer, &parts)
    }

    /// Cuts the part out of a body that is asked for, and keeps the body for the others (RFC 7959 section 2.4).
    fn slice(&mut self, turn: &mut Turn<'_>, waiting: &Waiting, answer: &mut Answer, parts: &mut Parts) {
        let asked = waiting.block2;
        let size = asked.map_or(1 << 10, Block::size);
        if answer.payload.len() <= size && asked.is_none_or(|block| block.num() == 0) {
            return;
        }
        let whole = answer.payload.clone();
        let szx = Block::szx_for(size);
        let number = asked.map_or(0, Block::num);
        let start = (number as usize).saturating_mul(size);
        if start >= whole.len() {
            *answer = Answer::because(Code::BAD_REQUEST, "no such block");
            return;
        }
        let end = whole.len().min(start + size);
        answer.payload = whole.slice(start..end);
        parts.block2 = Block::new(number, end < whole.len(), szx);
        parts.size2 = u32::try_from(whole.len()).ok();
        self.keep_download(turn, waiting.target, answer, whole);
    }

    /// Notes the beginning or end of an observation that the origin granted or refused.
    fn relate(&mut self, waiting: &Waiting, message: &[u8]) {
        let Some(observe) = waiting.observe else {
            return;
        };
        self.observers.retain(|known| known.token != waiting.token);
        let granted = MessageView::parse(message)
            .is_ok_and(|view| view.code().is_success() && view.option(OptionNumber::OBSERVE).is_some());
        if observe == bartizan_wire::coap::OBSERVE_REGISTER && granted {
            self.remember_observer(Observer { token: waiting.token });
        }
    }
}

/// A response of the origin under our type, message id and the device's token.
pub fn moved(coap: &[u8], kind: Type, message_id: u16, token: &[u8]) -> Option<Vec<u8>> {
    let view = MessageView::parse(coap).ok()?;
    let behind = coap.get(4 + view.token().len()..)?;
    let mut buffer = [0; 16];
    let head = Builder::new(&mut buffer, kind, view.code(), message_id, token).finish().ok()?;
    Some([head, behind].concat())
}

fn encode(kind: Type, message_id: u16, token: &[u8], answer: &Answer, parts: &Parts) -> Vec<u8> {
    let mut buffer = vec![0; 64 + answer.payload.len()];
    let mut builder = Builder::new(&mut buffer, kind, answer.code, message_id, token);
    if let Some(format) = answer.content_format {
        builder = builder.content_format(format);
    }
    if let Some(seconds) = answer.max_age {
        builder = builder.max_age(seconds);
    }
    if let Some(block) = parts.block2 {
        builder = builder.block2(block);
    }
    if let Some(block) = parts.block1 {
        builder = builder.block1(block);
    }
    if let Some(bytes) = parts.size2 {
        builder = builder.size2(bytes);
    }
    let length = builder
        .payload(&answer.payload)
        .finish()
        .expect("invariant: 64 bytes hold the header and these five options")
        .len();
    buffer.truncate(length);
    buffer
}
