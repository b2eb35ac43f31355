//! Messages after the handshake: one of ours at a time, repeated until it is acknowledged (RFC 9147 section 5.8.4).

use alloc::boxed::Box;
use alloc::collections::VecDeque;
use alloc::vec::Vec;

use super::flight::{Flight, Outgoing};
use super::messages::{Fragment, Message, kind};
use super::reassembly::{Accepted, Reassembly};
use crate::codec::Reader;
use crate::handshake::timer::Timer;
use crate::limits::{POST_HANDSHAKE_BYTES_MAX, POST_HANDSHAKE_QUEUE_MAX};
use crate::{Error, Instant};

/// What an idle association has to remember: how far both sides have counted.
#[derive(Debug)]
pub(crate) struct Post {
    /// Number of our next message.
    pub send_next: u16,
    /// Number of the peer's next message.
    due: u16,
    /// After a restart nobody remembers how far the peer has counted; its records are authentic.
    resync: bool,
    work: Option<Box<Work>>,
}

/// What is on its way, in both directions.
#[derive(Debug)]
struct Work {
    receiving: Reassembly,
    waiting: VecDeque<(u8, Vec<u8>)>,
    flight: Flight,
    /// The kind of the message under way.
    under_way: Option<u8>,
    timer: Option<Timer>,
    keeping: Keeping,
}

/// Whether the message that waits longest is kept over a restart.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Keeping {
    Not,
    Asked,
    Kept,
}

/// The kind and the body of a message.
pub(crate) type Kept = (u8, Vec<u8>);

impl Work {
    /// KeyUpdates need not be kept: epochs count them.
    fn has_to_be_kept(&self) -> bool {
        let next = self.waiting.front().filter(|_| self.under_way.is_none());
        self.keeping != Keeping::Kept && next.is_some_and(|(kind, _)| *kind != kind::KEY_UPDATE)
    }
}

impl Post {
    pub const fn new(send_next: u16, due: u16) -> Self {
        Self { send_next, due, resync: false, work: None }
    }

    /// The same after a restart.
    pub fn resumed(send_next: u16, due: u16, next: Option<Kept>) -> Self {
        let mut post = Self { send_next, due, resync: true, work: None };
        if let Some((kind, body)) = next {
            let work = post.work_mut();
            work.waiting.push_back((kind, body));
            work.keeping = Keeping::Kept;
        }
        post
    }

    /// The message that a restart must not forget: its number may be the next that the peer expects.
    pub fn next(&self) -> Option<Kept> {
        let work = self.work.as_ref()?;
        let sent = work.flight.messages().first().filter(|_| work.under_way.is_some());
        let next = match sent {
            Some(message) => (message.kind, message.body.clone()),
            None => work.waiting.front()?.clone(),
        };
        Some(next).filter(|(kind, _)| *kind != kind::KEY_UPDATE)
    }

    /// Whether a message of ours is sent and not acknowledged.
    pub fn is_under_way(&self) -> bool {
        self.work.as_ref().is_some_and(|work| work.under_way.is_some())
    }

    /// Whether the association has to be kept once more before the next message may leave, since its number is counted
    /// nowhere else. Says so once.
    pub fn asks_to_be_kept(&mut self) -> bool {
        let Some(work) = self.work.as_mut().filter(|work| work.has_to_be_kept()) else {
            return false;
        };
        core::mem::replace(&mut work.keeping, Keeping::Asked) == Keeping::Not
    }

    /// The association is kept as it is.
    pub fn note_kept(&mut self) {
        if let Some(work) = self.work.as_mut().filter(|work| work.has_to_be_kept()) {
            work.keeping = Keeping::Kept;
        }
    }

    /// Number of the peer's next message.
    pub const fn due(&self) -> u16 {
        self.due
    }

    /// Whether a message is under way, in either direction.
    pub const fn is_busy(&self) -> bool {
        self.work.is_some()
    }

    /// Takes in an authentic record's fragments; returns the messages that are whole and due, and whether the record
    /// is to be acknowledged.
    pub fn receive(&mut self, content: &[u8]) -> Result<(Vec<Message>, bool), Error> {
        let mut reader = Reader::new(content);
        let mut messages = Vec::new();
        let mut taken = true;
        while !reader.is_empty() {
            let fragment = Fragment::read(&mut reader)?;
            if core::mem::take(&mut self.resync) && fragment.sequence >= self.due {
                self.due = fragment.sequence;
            }
            let due = self.due;
            let receiving = &mut self.work_mut().receiving;
            if receiving.is_empty() {
                *receiving = Reassembly::new(due, POST_HANDSHAKE_BYTES_MAX);
            }
            taken &= receiving.accept(&fragment) != Accepted::Refused;
            messages.extend(core::iter::from_fn(|| receiving.next()));
            self.due = receiving.due();
        }
        self.tidy();
        Ok((messages, taken))
    }

    /// Queues a message; `false` if too many wait.
    pub fn queue(&mut self, kind: u8, body: Vec<u8>) -> bool {
        let waiting = self.work.as_ref().map_or(0, |work| work.waiting.len());
        let fits = waiting < POST_HANDSHAKE_QUEUE_MAX && self.send_next < u16::MAX;
        if fits {
            self.work_mut().waiting.push_back((kind, body));
        }
        fits
    }

    /// Whether a message of this kind waits or is under way.
    pub fn has(&self, kind: u8) -> bool {
        self.work.as_ref().is_some_and(|work| {
            work.under_way == Some(kind) || work.waiting.iter().any(|(waiting, _)| *waiting == kind)
        })
    }

    //= rfc9147#5.8.4-1
    //= rfc9147#9-2
    /// The next message is due to be sent for the first time: whether there is one.
    pub fn begin(&mut self, now: Instant, epoch: u16, retransmit_ms: u64) -> bool {
        let sequence = self.send_next;
        let ready = |work: &&mut Box<Work>| work.under_way.is_none() && !work.has_to_be_kept();
        let Some(work) = self.work.as_mut().filter(ready) else {
            return false;
        };
        let Some((kind, body)) = work.waiting.pop_front() else {
            return false;
        };
        work.flight.clear();
        work.flight.push(Outgoing { kind, sequence, epoch, body });
        work.under_way = Some(kind);
        work.keeping = Keeping::Not;
        work.timer = Some(Timer::start(now, retransmit_ms));
        self.send_next = sequence.saturating_add(1);
        true
    }

    /// The flight under way, to be sent or repeated.
    pub fn flight(&mut self) -> Option<&mut Flight> {
        self.work.as_mut().map(|work| &mut work.flight)
    }

    /// The kind of our message that has just been acknowledged in full.
    pub fn on_ack(&mut self, numbers: impl Iterator<Item = u64>) -> Option<u8> {
        let work = self.work.as_mut()?;
        work.flight.on_ack(numbers);
        if !work.flight.is_acked() {
            return None;
        }
        work.flight.clear();
        work.timer = None;
        let acked = work.under_way.take();
        self.tidy();
        acked
    }

    /// When the message under way is to be repeated.
    pub fn timer(&self) -> Option<&Timer> {
        self.work.as_ref()?.timer.as_ref()
    }

    pub fn deadline(&self) -> Option<Instant> {
        self.timer().map(|timer| timer.deadline)
    }

    /// Whether the message under way is due to be repeated now.
    pub fn is_due(&mut self, now: Instant) -> bool {
        let timer = self.work.as_mut().and_then(|work| work.timer.as_mut()).filter(|timer| timer.is_due(now));
        timer.map(|timer| timer.back_off(now)).is_some()
    }

    /// Nobody acknowledges it: no more repetitions until the peer is heard again. Its number is the next that the peer
    /// expects, so it cannot be forgotten.
    pub fn rest(&mut self) {
        if let Some(work) = &mut self.work {
            work.timer = None;
        }
    }

    /// The peer is there: what rests is due at once.
    pub fn wake(&mut self, now: Instant, retransmit_ms: u64) {
        let resting = |work: &&mut Box<Work>| work.under_way.is_some() && work.timer.is_none();
        if let Some(work) = self.work.as_mut().filter(resting) {
            let mut timer = Timer::start(now, retransmit_ms);
            timer.deadline = now;
            work.timer = Some(timer);
        }
    }

    fn work_mut(&mut self) -> &mut Work {
        let due = self.due;
        self.work.get_or_insert_with(|| {
            Box::new(Work {
                receiving: Reassembly::new(due, POST_HANDSHAKE_BYTES_MAX),
                waiting: VecDeque::new(),
                flight: Flight::EMPTY,
                under_way: None,
                timer: None,
                keeping: Keeping::Not,
            })
        })
    }

    /// Gives the memory back once nothing is under way.
    fn tidy(&mut self) {
        let idle = |work: &Work| work.receiving.is_empty() && work.waiting.is_empty() && work.under_way.is_none();
        if self.work.as_deref().is_some_and(idle) {
            self.work = None;
        }
    }
}
