//! Messages after the handshake: one of ours at a time, repeated until it is acknowledged (RFC 9147 section 5.8.4).

use alloc::collections::VecDeque;
use alloc::vec::Vec;

use super::flight::{Flight, Outgoing};
use super::messages::{Fragment, Message};
use super::reassembly::{Accepted, Reassembly};
use crate::codec::Reader;
use crate::handshake::timer::Timer;
use crate::limits::{POST_HANDSHAKE_BYTES_MAX, POST_HANDSHAKE_QUEUE_MAX};
use crate::{Error, Instant};

/// What is on its way after the handshake, in both directions.
#[derive(Debug)]
pub(crate) struct Post {
    /// Number of our next message.
    pub send_next: u16,
    receiving: Reassembly,
    /// After a restart nobody remembers how far the peer has counted; its records are authentic.
    resync: bool,
    waiting: VecDeque<(u8, Vec<u8>)>,
    flight: Flight,
    /// The kind of the message under way.
    under_way: Option<u8>,
    pub timer: Option<Timer>,
}

impl Post {
    pub const fn new(send_next: u16, due: u16) -> Self {
        Self {
            send_next,
            receiving: Reassembly::new(due, POST_HANDSHAKE_BYTES_MAX),
            resync: false,
            waiting: VecDeque::new(),
            flight: Flight::EMPTY,
            under_way: None,
            timer: None,
        }
    }

    /// The same after a restart.
    pub const fn resumed(send_next: u16, due: u16) -> Self {
        let mut post = Self::new(send_next, due);
        post.resync = true;
        post
    }

    /// Number of the peer's next message.
    pub const fn due(&self) -> u16 {
        self.receiving.due()
    }

    /// Takes in an authentic record's fragments; returns the messages that are whole and due, and whether the record
    /// is to be acknowledged.
    pub fn receive(&mut self, content: &[u8]) -> Result<(Vec<Message>, bool), Error> {
        let mut reader = Reader::new(content);
        let mut messages = Vec::new();
        let mut taken = true;
        while !reader.is_empty() {
            let fragment = Fragment::read(&mut reader)?;
            if core::mem::take(&mut self.resync) && fragment.sequence >= self.due() {
                self.receiving = Reassembly::new(fragment.sequence, POST_HANDSHAKE_BYTES_MAX);
            }
            taken &= self.receiving.accept(&fragment) != Accepted::Refused;
            messages.extend(core::iter::from_fn(|| self.receiving.next()));
        }
        Ok((messages, taken))
    }

    /// Queues a message; `false` if too many wait.
    pub fn queue(&mut self, kind: u8, body: Vec<u8>) -> bool {
        let fits = self.waiting.len() < POST_HANDSHAKE_QUEUE_MAX && self.send_next < u16::MAX;
        if fits {
            self.waiting.push_back((kind, body));
        }
        fits
    }

    /// Whether a message of this kind waits or is under way.
    pub fn has(&self, kind: u8) -> bool {
        self.under_way == Some(kind) || self.waiting.iter().any(|(waiting, _)| *waiting == kind)
    }

    //= rfc9147#5.8.4-1
    //= rfc9147#9-2
    /// The next message is due to be sent for the first time: whether there is one.
    pub fn begin(&mut self, now: Instant, epoch: u16, retransmit_ms: u64) -> bool {
        if self.under_way.is_some() {
            return false;
        }
        let Some((kind, body)) = self.waiting.pop_front() else {
            return false;
        };
        self.flight.clear();
        self.flight.push(Outgoing { kind, sequence: self.send_next, epoch, body });
        self.send_next = self.send_next.saturating_add(1);
        self.under_way = Some(kind);
        self.timer = Some(Timer::start(now, retransmit_ms));
        true
    }

    /// The flight under way, to be sent or repeated.
    pub fn flight(&mut self) -> &mut Flight {
        &mut self.flight
    }

    /// The kind of our message that has just been acknowledged in full.
    pub fn on_ack(&mut self, numbers: impl Iterator<Item = u64>) -> Option<u8> {
        self.flight.on_ack(numbers);
        if !self.flight.is_acked() {
            return None;
        }
        self.flight.clear();
        self.timer = None;
        self.under_way.take()
    }

    /// Nobody acknowledges it: no more repetitions until the peer is heard again. Its number is the next that the peer
    /// expects, so it cannot be forgotten.
    pub const fn rest(&mut self) {
        self.timer = None;
    }

    /// The peer is there: what rests is due at once.
    pub fn wake(&mut self, now: Instant, retransmit_ms: u64) {
        if self.under_way.is_some() && self.timer.is_none() {
            let mut timer = Timer::start(now, retransmit_ms);
            timer.deadline = now;
            self.timer = Some(timer);
        }
    }
}
