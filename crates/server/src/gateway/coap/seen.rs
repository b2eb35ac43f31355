//! Which requests were seen, and what they were answered (RFC 7252 section 4.5).

use std::collections::VecDeque;

use bartizan_wire::coap::{Block, Type};

use super::{Exchange, Turn};
use crate::limits::COAP_SEEN_PER_DEVICE_MAX;

/// RFC 7252 section 4.8.2: how long a confirmable message may be repeated.
pub const EXCHANGE_LIFETIME_MS: u64 = 247_000;
/// RFC 7252 section 4.8.2: how long a non-confirmable message may be repeated.
pub const NON_LIFETIME_MS: u64 = 145_000;
/// How long the upstream may take before the device gets an empty acknowledgement, so that it does not
/// repeat itself: less than ACK_TIMEOUT (2 s) and a round trip of a slow network.
pub const PIGGYBACK_MS: u64 = 1_000;

/// A token, at most eight bytes.
#[derive(Clone, Copy, Default, PartialEq, Eq, Debug)]
pub struct Token {
    bytes: [u8; 8],
    length: u8,
}

impl Token {
    /// Anything beyond eight bytes is cut off; the codec accepts no longer ones.
    pub fn new(token: &[u8]) -> Self {
        let mut bytes = [0; 8];
        let length = token.len().min(8);
        bytes[..length].copy_from_slice(&token[..length]);
        Self { bytes, length: length as u8 }
    }

    pub fn as_slice(&self) -> &[u8] {
        &self.bytes[..usize::from(self.length)]
    }
}

/// A request whose answer is being made.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Waiting {
    pub message_id: u16,
    pub confirmable: bool,
    /// An empty acknowledgement has left: the answer goes as a message of its own.
    pub acknowledged: bool,
    pub ack_due: u64,
    pub token: Token,
    /// A hash of method and target: the body that later blocks belong to.
    pub target: u32,
    /// The last block of the request's body, echoed in the answer.
    pub block1: Option<Block>,
    /// The part of the answer that is asked for.
    pub block2: Option<Block>,
    pub observe: Option<u32>,
}

impl Waiting {
    pub fn new(message_id: u16, kind: Type, token: &[u8], now: u64) -> Self {
        Self {
            message_id,
            confirmable: kind == Type::Confirmable,
            acknowledged: false,
            ack_due: now + PIGGYBACK_MS,
            token: Token::new(token),
            target: 0,
            block1: None,
            block2: None,
            observe: None,
        }
    }
}

struct Seen {
    message_id: u16,
    until: u64,
    state: State,
}

enum State {
    Waiting(Exchange, Box<Waiting>),
    /// What a duplicate is told; nothing if empty.
    Done(Box<[u8]>),
}

/// The requests of one device that may still be repeated, oldest first.
#[derive(Default)]
pub struct Table(VecDeque<Seen>);

/// What a message id stands for.
pub enum Sight<'a> {
    New,
    /// Being answered; `true` if it should be acknowledged again.
    Waiting(bool),
    Done(&'a [u8]),
}

impl Table {
    pub fn look(&self, message_id: u16) -> Sight<'_> {
        match self.0.iter().find(|seen| seen.message_id == message_id) {
            None => Sight::New,
            Some(seen) => match &seen.state {
                State::Waiting(_, waiting) => Sight::Waiting(waiting.acknowledged),
                State::Done(reply) => Sight::Done(reply),
            },
        }
    }

    /// Whether one more request can be remembered: the oldest finished one makes room.
    pub fn make_room(&mut self) -> bool {
        if self.0.len() < COAP_SEEN_PER_DEVICE_MAX {
            return true;
        }
        let finished = |seen: &Seen| matches!(seen.state, State::Done(_));
        match self.0.iter().position(finished) {
            Some(oldest) => self.0.remove(oldest).is_some(),
            None => false,
        }
    }

    pub fn wait(&mut self, exchange: Exchange, waiting: Waiting, now: u64) {
        self.0.push_back(Seen {
            message_id: waiting.message_id,
            until: now + lifetime(waiting.confirmable),
            state: State::Waiting(exchange, Box::new(waiting)),
        });
    }

    pub fn done(&mut self, message_id: u16, kind: Type, reply: &[u8], now: u64) {
        self.0.push_back(Seen {
            message_id,
            until: now + lifetime(kind == Type::Confirmable),
            state: State::Done(reply.into()),
        });
    }

    /// The request that `exchange` answers, if it was not forgotten.
    pub fn waiting(&self, exchange: Exchange) -> Option<Waiting> {
        self.0.iter().find_map(|seen| match &seen.state {
            State::Waiting(number, waiting) if *number == exchange => Some(**waiting),
            _ => None,
        })
    }

    /// The request of `exchange` was answered: duplicates are told `reply`.
    pub fn finish(&mut self, exchange: Exchange, reply: &[u8]) {
        let waits = |seen: &&mut Seen| matches!(seen.state, State::Waiting(n, _) if n == exchange);
        if let Some(seen) = self.0.iter_mut().find(waits) {
            seen.state = State::Done(reply.into());
        }
    }

    /// Sends the empty acknowledgements that are due.
    pub fn acknowledge_waiting(&mut self, turn: &mut Turn<'_>) {
        for seen in &mut self.0 {
            if let State::Waiting(_, waiting) = &mut seen.state
                && waiting.confirmable
                && !waiting.acknowledged
                && waiting.ack_due <= turn.now
            {
                waiting.acknowledged = true;
                turn.send_empty(Type::Acknowledgement, waiting.message_id);
            }
        }
    }

    pub fn forget(&mut self, now: u64) {
        self.0.retain(|seen| seen.until > now);
    }

    pub fn is_waiting(&self) -> bool {
        self.0.iter().any(|seen| matches!(seen.state, State::Waiting(..)))
    }

    pub fn due(&self) -> Option<u64> {
        self.0.iter().map(Seen::due).min()
    }
}

impl Seen {
    fn due(&self) -> u64 {
        match &self.state {
            State::Waiting(_, waiting) if waiting.confirmable && !waiting.acknowledged => {
                waiting.ack_due.min(self.until)
            }
            _ => self.until,
        }
    }
}

const fn lifetime(confirmable: bool) -> u64 {
    match confirmable {
        true => EXCHANGE_LIFETIME_MS,
        false => NON_LIFETIME_MS,
    }
}
