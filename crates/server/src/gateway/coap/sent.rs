//! Confirmable messages of ours, repeated until the device has them (RFC 7252 section 4.2).

use bartizan_wire::CommandId;

use super::seen::Token;
use super::{Shared, Turn};
use crate::limits::COAP_SENT_PER_DEVICE_MAX;

/// RFC 7252 section 4.8: ACK_TIMEOUT; the first wait is up to ACK_RANDOM_FACTOR (1.5) times as long.
const ACK_TIMEOUT_MS: u32 = 2_000;
const ACK_RANDOM_MS: u32 = 1_000;
/// RFC 7252 section 4.8: MAX_RETRANSMIT.
const RETRANSMISSIONS_MAX: u8 = 4;

/// What a message was sent for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Purpose {
    Response,
    Notification(Token),
    Command(CommandId),
}

struct Sent {
    message_id: u16,
    purpose: Purpose,
    message: Box<[u8]>,
    next: u64,
    wait_ms: u32,
    tries: u8,
}

/// What waits for its acknowledgement.
#[derive(Default)]
pub struct Outbox {
    waiting: Vec<Sent>,
    /// The message id of the last message of ours; drawn when the first is sent.
    last_id: Option<u16>,
}

impl Outbox {
    /// The next message id. It is not used again while the peer exists, until all others were.
    pub fn next_id(&mut self, shared: &mut Shared) -> u16 {
        let last = self.last_id.unwrap_or_else(|| shared.dice() as u16);
        let next = last.wrapping_add(1);
        self.last_id = Some(next);
        next
    }

    /// Sends a confirmable message now and again until it is settled. The oldest notification or response
    /// gives way when too many wait.
    pub fn send(&mut self, turn: &mut Turn<'_>, message_id: u16, purpose: Purpose, message: Vec<u8>) {
        if self.waiting.len() >= COAP_SENT_PER_DEVICE_MAX {
            self.waiting.remove(0);
        }
        let wait_ms = ACK_TIMEOUT_MS + turn.shared.dice() % ACK_RANDOM_MS;
        self.waiting.push(Sent {
            message_id,
            purpose,
            message: message.as_slice().into(),
            next: turn.now + u64::from(wait_ms),
            wait_ms,
            tries: 0,
        });
        turn.send(message);
    }

    /// The device has (or rejects) message `message_id`: it is not sent again.
    pub fn settle(&mut self, message_id: u16) -> Option<Purpose> {
        let at = self.waiting.iter().position(|sent| sent.message_id == message_id)?;
        Some(self.waiting.remove(at).purpose)
    }

    /// Stops repeating everything that was sent for `purpose`.
    pub fn stop(&mut self, purpose: Purpose) {
        self.waiting.retain(|sent| sent.purpose != purpose);
    }

    /// Sends what is due again; answers what was given up.
    pub fn retransmit(&mut self, turn: &mut Turn<'_>) -> Vec<Purpose> {
        let mut given_up = Vec::new();
        for sent in &mut self.waiting {
            if sent.next > turn.now {
                continue;
            }
            if sent.tries == RETRANSMISSIONS_MAX {
                given_up.push(sent.purpose);
                continue;
            }
            sent.tries += 1;
            sent.wait_ms *= 2;
            sent.next = turn.now + u64::from(sent.wait_ms);
            turn.send(sent.message.to_vec());
        }
        self.waiting.retain(|sent| sent.next > turn.now || sent.tries < RETRANSMISSIONS_MAX);
        given_up
    }

    pub fn clear(&mut self) {
        self.waiting.clear();
    }

    pub fn is_empty(&self) -> bool {
        self.waiting.is_empty()
    }

    pub fn due(&self) -> Option<u64> {
        self.waiting.iter().map(|sent| sent.next).min()
    }
}
