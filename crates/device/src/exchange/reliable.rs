//! Retransmission of confirmable messages (RFC 7252 section 4.2).

use alloc::vec::Vec;

use bartizan_dtls::Instant;

use crate::bounded::{Queue, copy};
use crate::event::{IncomingId, RequestId};
use crate::jitter::Jitter;
use crate::limits::{NSTART_MAX, OUTBOUND_MAX};

/// What a message of ours is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Purpose {
    Request(RequestId),
    /// A separate response; nobody waits for its fate.
    Response,
    Notification(IncomingId),
}

/// A message and what it is for.
#[derive(Debug)]
pub(super) struct Outbound {
    pub(super) purpose: Purpose,
    pub(super) message_id: u16,
    pub(super) bytes: Vec<u8>,
}

/// Messages that need an acknowledgement, and non-confirmable requests that need an answer: at most
/// NSTART of them are out at once, the others wait.
#[derive(Debug)]
pub(super) struct Reliable {
    waiting: Queue<Outbound>,
    out: Vec<InFlight>,
    nstart: usize,
}

#[derive(Debug)]
struct InFlight {
    outbound: Outbound,
    /// `None` for a non-confirmable message, which is not repeated.
    repeat: Option<Repeat>,
    due: Instant,
}

#[derive(Debug)]
struct Repeat {
    timeout_ms: u64,
    left: u8,
}

/// What became of a message whose time was up.
pub(super) enum Expired {
    Repeat(Vec<u8>),
    GaveUp(Purpose),
}

impl Reliable {
    pub(super) fn new(nstart: usize) -> Self {
        let nstart = nstart.clamp(1, NSTART_MAX);
        Self { waiting: Queue::new(OUTBOUND_MAX), out: Vec::with_capacity(nstart), nstart }
    }

    /// Whether another message may go out.
    pub(super) fn has_room(&self) -> bool {
        self.out.len() < self.nstart
    }

    pub(super) fn is_idle(&self) -> bool {
        self.out.is_empty() && self.waiting.is_empty()
    }

    pub(super) fn enqueue(&mut self, outbound: Outbound) -> Result<(), Outbound> {
        // A newer notification replaces one that has not left yet (RFC 7641 section 4.5.2).
        if let Purpose::Notification(_) = outbound.purpose {
            self.waiting.take(|other| other.purpose == outbound.purpose);
        }
        self.waiting.push(outbound)
    }

    pub(super) fn next_waiting(&mut self) -> Option<Outbound> {
        self.has_room().then(|| self.waiting.pop()).flatten()
    }

    /// Starts the clock of a confirmable message that leaves now, to be repeated `times` times.
    pub(super) fn send_confirmable(
        &mut self,
        now: Instant,
        outbound: Outbound,
        ack_timeout_ms: u64,
        times: u8,
        jitter: &mut Jitter,
    ) -> Option<Vec<u8>> {
        let bytes = copy(&outbound.bytes)?;
        let timeout_ms = jitter.stretch(ack_timeout_ms);
        self.out.push(InFlight {
            outbound,
            repeat: Some(Repeat { timeout_ms, left: times }),
            due: now.plus(timeout_ms),
        });
        Some(bytes)
    }

    /// Starts the clock of a non-confirmable request that leaves now.
    pub(super) fn send_once(&mut self, now: Instant, mut outbound: Outbound, timeout_ms: u64) -> Vec<u8> {
        let bytes = core::mem::take(&mut outbound.bytes);
        self.out.push(InFlight { outbound, repeat: None, due: now.plus(timeout_ms) });
        bytes
    }

    /// An acknowledgement or Reset of this message id came in.
    pub(super) fn settle(&mut self, message_id: u16) -> Option<Purpose> {
        let index = self.out.iter().position(|flight| flight.outbound.message_id == message_id)?;
        Some(self.out.swap_remove(index).outbound.purpose)
    }

    /// The answer to a request came in, or nobody wants it any more.
    pub(super) fn forget(&mut self, purpose: Purpose) {
        self.out.retain(|flight| flight.outbound.purpose != purpose);
        self.waiting.take(|outbound| outbound.purpose == purpose);
    }

    pub(super) fn due(&self) -> Option<Instant> {
        self.out.iter().map(|flight| flight.due).min()
    }

    /// Handles one message whose time is up; to be called until `None`.
    pub(super) fn expire(&mut self, now: Instant) -> Option<Expired> {
        let index = self.out.iter().position(|flight| flight.due <= now)?;
        let flight = self.out.get_mut(index)?;
        if let Some(repeat) = &mut flight.repeat
            && repeat.left > 0
        {
            repeat.left -= 1;
            repeat.timeout_ms = repeat.timeout_ms.saturating_mul(2);
            flight.due = now.plus(repeat.timeout_ms);
            return Some(Expired::Repeat(copy(&flight.outbound.bytes)?));
        }
        let purpose = self.out.swap_remove(index).outbound.purpose;
        Some(Expired::GaveUp(purpose))
    }

    pub(super) fn clear(&mut self) {
        self.waiting.clear();
        self.out.clear();
    }
}
