//! The CoAP endpoint of a device, without its transport: whole messages in, whole messages out.
//!
//! [`Client`](crate::Client) runs one over DTLS. It is usable alone, over anything that delivers
//! authenticated messages of one peer. It repeats what is lost, recognises what comes twice, cuts bodies
//! into blocks and joins them, and keeps observations on both sides (RFC 7252, RFC 7641, RFC 7959), and proves that a
//! request is fresh to a peer that asks for it (RFC 9175).

mod asking;
mod blocks;
mod observers;
mod receiving;
mod reliable;
mod requests;
mod saved;
mod seen;
mod serving;

use alloc::string::String;
use alloc::vec::Vec;
use core::fmt::{self, Write as _};

use bartizan_dtls::{Instant, Random};
use bartizan_wire::coap::{Block, Builder, Error as CoapError};

use crate::bounded::{Queue, copy};
use crate::event::ClientEvent;
use crate::jitter::Jitter;
use crate::limits::{EVENTS_MAX, INCOMING_MAX, MESSAGE_BYTES_MAX, READY_MAX};
use blocks::{Assembly, Offered};
use observers::Observers;
use reliable::{Expired, Outbound, Purpose, Reliable};
use requests::{Pending, Phase};
use seen::Seen;
use serving::Incoming;

pub(crate) use saved::{Reader, Writer};

/// Transmission parameters (RFC 7252 section 4.8) and sizes.
#[derive(Clone, Debug)]
pub struct ExchangeConfig {
    /// ACK_TIMEOUT in milliseconds: above the round trip of the network, radio wake-up included.
    pub ack_timeout_ms: u64,
    /// MAX_RETRANSMIT.
    pub retransmit_max: u8,
    /// The same while the peer has not been heard over this association: fewer, because a peer that has
    /// forgotten the association will never answer, and a new handshake is the way out.
    pub retransmit_max_unheard: u8,
    /// NSTART: requests and notifications that may be unanswered at once, up to
    /// [`NSTART_MAX`](crate::limits::NSTART_MAX).
    pub nstart: usize,
    /// How long after its acknowledgement a request waits for its answer, in milliseconds.
    pub answer_timeout_ms: u64,
    /// How long a non-confirmable request waits for its answer, in milliseconds.
    pub once_timeout_ms: u64,
    /// How long a request of the peer waits for `respond` before it is acknowledged alone.
    pub ack_delay_ms: u64,
    /// How often a request is repeated when the peer says that it is busy.
    pub refusals_max: u8,
    /// Largest message in bytes that the transport takes.
    pub message_bytes: usize,
}

impl Default for ExchangeConfig {
    fn default() -> Self {
        Self {
            ack_timeout_ms: 2_000,
            retransmit_max: 4,
            retransmit_max_unheard: 2,
            nstart: 1,
            answer_timeout_ms: 93_000,
            once_timeout_ms: 10_000,
            ack_delay_ms: 1_000,
            refusals_max: 3,
            message_bytes: 1_136,
        }
    }
}

/// One peer's worth of CoAP.
#[derive(Debug)]
pub struct Endpoint {
    config: ExchangeConfig,
    jitter: Jitter,
    next_message_id: u16,
    next_token: u16,
    next_id: u32,
    /// The transport takes messages.
    open: bool,
    /// A message came in over this association.
    heard: bool,
    silent: bool,
    requests: Vec<Pending>,
    /// The Echo value that the peer gave with its last answer, for the next request; empty if it gave none.
    echo: Vec<u8>,
    reliable: Reliable,
    seen: Seen,
    incoming: Queue<Incoming>,
    assembly: Option<Assembly>,
    offered: Option<Offered>,
    observers: Observers,
    ready: Queue<Vec<u8>>,
    events: Queue<ClientEvent>,
}

impl Endpoint {
    /// An endpoint whose transport is not open yet.
    #[must_use]
    pub fn new(config: ExchangeConfig, rng: &mut dyn Random) -> Self {
        let mut jitter = Jitter::seeded(rng);
        let reliable = Reliable::new(config.nstart);
        Self {
            config,
            next_message_id: jitter.next() as u16,
            next_token: jitter.next() as u16,
            jitter,
            next_id: 0,
            open: false,
            heard: false,
            silent: false,
            requests: Vec::new(),
            echo: Vec::new(),
            reliable,
            seen: Seen::new(),
            incoming: Queue::new(INCOMING_MAX),
            assembly: None,
            offered: None,
            observers: Observers::new(),
            ready: Queue::new(READY_MAX),
            events: Queue::new(EVENTS_MAX),
        }
    }

    /// The transport takes messages now. What is under way continues.
    pub fn open(&mut self) {
        self.open = true;
        self.silent = false;
    }

    /// The association is gone, and with it everything that the peer knew: requests begin anew when the
    /// transport opens again, commands cannot be answered any more, observers are lost.
    pub fn close(&mut self) {
        self.open = false;
        self.heard = false;
        self.silent = false;
        self.reliable.clear();
        self.seen.clear();
        self.incoming.clear();
        self.ready.clear();
        self.assembly = None;
        self.offered = None;
        self.echo.clear();
        self.requests.iter_mut().for_each(Pending::restart);
        for observer in self.observers.drain() {
            self.events.push_over(ClientEvent::ObserverGone { observer });
        }
    }

    /// Whether the peer has left a message without any answer, so that it may not know us any more.
    /// The message waits to be repeated over a new association.
    #[must_use]
    pub const fn is_silent(&self) -> bool {
        self.silent
    }

    /// Whether nothing is under way but standing observations: a good moment to sleep.
    #[must_use]
    pub fn is_idle(&self) -> bool {
        let asking = |pending: &Pending| pending.phase != Phase::Observing;
        self.ready.is_empty()
            && self.events.is_empty()
            && self.incoming.is_empty()
            && self.reliable.is_idle()
            && !self.requests.iter().any(asking)
    }

    /// Whether requests wait for an answer or for their turn.
    #[must_use]
    pub fn has_requests(&self) -> bool {
        !self.requests.is_empty()
    }

    /// The next thing to tell the application.
    pub fn poll(&mut self) -> Option<ClientEvent> {
        self.events.pop()
    }

    /// Something to tell that did not come out of a message.
    pub(crate) fn tell(&mut self, event: ClientEvent) {
        self.events.push_over(event);
    }

    /// The next message to send.
    pub fn poll_transmit(&mut self, now: Instant) -> Option<Vec<u8>> {
        if !self.open || self.silent {
            return None;
        }
        if let Some(message) = self.ready.pop() {
            return Some(message);
        }
        if let Some(outbound) = self.reliable.next_waiting() {
            return self.send_confirmable(now, outbound);
        }
        self.send_next_request(now)
    }

    /// When [`Self::handle_timeout`] wants to be called.
    #[must_use]
    pub fn poll_timeout(&self) -> Option<Instant> {
        let requests = self.requests.iter().filter_map(Pending::due);
        let incoming = self.incoming.iter().map(Incoming::due);
        requests.chain(incoming).chain(self.reliable.due()).min()
    }

    /// Repeats, gives up, acknowledges: whatever is due.
    pub fn handle_timeout(&mut self, now: Instant) {
        while let Some(expired) = self.reliable.expire(now) {
            match expired {
                Expired::Repeat(message) => self.ready.push_over(message),
                Expired::GaveUp(Purpose::Request(id)) => self.give_up(id),
                Expired::GaveUp(Purpose::Notification(id)) => self.lose_observer(id),
                Expired::GaveUp(Purpose::Response) => {}
            }
        }
        self.age_requests(now);
        self.age_incoming(now);
    }

    fn send_confirmable(&mut self, now: Instant, outbound: Outbound) -> Option<Vec<u8>> {
        let times = if self.heard { self.config.retransmit_max } else { self.config.retransmit_max_unheard };
        let ack_timeout_ms = self.config.ack_timeout_ms;
        self.reliable.send_confirmable(now, outbound, ack_timeout_ms, times, &mut self.jitter)
    }

    /// Message ids go round; one is used again after 65,536 messages, later than EXCHANGE_LIFETIME allows
    /// at any rate that NSTART admits on a radio.
    const fn take_message_id(&mut self) -> u16 {
        self.next_message_id = self.next_message_id.wrapping_add(1);
        self.next_message_id
    }

    const fn take_id(&mut self) -> u32 {
        self.next_id = self.next_id.wrapping_add(1);
        self.next_id
    }

    /// The largest block that leaves room for a message's header, options and a target of this length.
    fn block_szx(&self, target_bytes: usize) -> u8 {
        let beside = target_bytes.saturating_add(OPTIONS_BYTES);
        Block::szx_for(self.config.message_bytes.saturating_sub(beside))
    }
}

/// Room for header, token and every option but the target; Echo alone may have 43 bytes.
const OPTIONS_BYTES: usize = 72;

/// Writes a message through a buffer on the stack.
fn write(build: impl FnOnce(&mut [u8]) -> Builder<'_>) -> Result<Vec<u8>, CoapError> {
    let mut buffer = [0; MESSAGE_BYTES_MAX];
    let bytes = build(&mut buffer).finish()?;
    copy(bytes).ok_or(CoapError::Misuse(bartizan_wire::Misuse::NoRoom))
}

/// The text of something, unless it is longer than `max` bytes.
fn text(shown: &impl fmt::Display, max: usize) -> Option<String> {
    let mut bounded = BoundedText { text: String::new(), max };
    write!(bounded, "{shown}").ok()?;
    Some(bounded.text)
}

struct BoundedText {
    text: String,
    max: usize,
}

impl fmt::Write for BoundedText {
    fn write_str(&mut self, part: &str) -> fmt::Result {
        let fits = self.text.len().saturating_add(part.len()) <= self.max;
        if !fits || self.text.try_reserve(part.len()).is_err() {
            return Err(fmt::Error);
        }
        self.text.push_str(part);
        Ok(())
    }
}
