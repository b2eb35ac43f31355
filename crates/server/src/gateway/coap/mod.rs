//! The CoAP side of an association (RFC 7252, Observe RFC 7641, Block-wise RFC 7959), without I/O.
//!
//! A [`Peer`] exists only while something is unfinished: a request whose duplicate must be recognised, a
//! message of ours that waits for its acknowledgement, a body in parts, a relation. An idle association has
//! none. Messages go in, [`Step`]s come out; what takes time (the upstream, the registry) is a step too and
//! its result is given back by the number of its [`Exchange`].

mod answer;
mod block;
mod command;
mod notify;
mod request;
mod seen;
mod sent;

#[cfg(test)]
mod tests;

use bartizan_wire::coap::{Code, Header, MessageView, Type, empty};
use bartizan_wire::{Access, CommandId};
use bytes::Bytes;

use super::est;
use crate::app::path::Message;

pub use answer::Answer;
pub use block::Bodies;

use block::{Download, Upload};
use command::Command;
use notify::Observer;
use seen::Table;
use sent::Outbox;

/// The number of a request (or notification) whose answer is being made.
pub type Exchange = u64;

/// What the layer wants done, in this order.
#[derive(Debug, PartialEq, Eq)]
pub enum Step {
    /// Send this to the device.
    Send(Vec<u8>),
    /// Carry the message to the upstream; then [`Peer::answer`].
    Submit { exchange: Exchange, message: Message },
    /// Describe the device's own standing; then [`Peer::answer`].
    Status { exchange: Exchange, format: StatusFormat },
    /// Issue a challenge; then [`Peer::answer`].
    Challenge { exchange: Exchange },
    /// Certify, or tell what is asked for beside; then [`Peer::answer`].
    Enrol { exchange: Exchange, request: est::Request },
    /// The device asks for the id of this epoch.
    Epoch { exchange: Exchange },
    /// Appraise what the device attests; then [`Peer::answer`].
    Evidence { exchange: Exchange, evidence: Bytes },
    /// Hand the device another key; then [`Peer::answer`].
    Key { exchange: Exchange, contribution: Bytes },
    /// Carry a response to the upstream that nobody here waits for; then [`Peer::taken`].
    Respond { exchange: Exchange, coap: Bytes },
    /// The device answered a command.
    Answered {
        command: CommandId,
        code: Code,
        coap: Bytes,
        /// The request was the upstream's own: so is the answer.
        forwarded: bool,
    },
    /// The device does not know what the command is: it sent a Reset.
    Reset { command: CommandId },
    /// A message was not carried on, for this reason.
    Shed(Shed),
}

/// The representations of the status resource.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum StatusFormat {
    Json,
    Cbor,
}

/// Why a message was not carried on. Each is counted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Shed {
    Malformed,
    /// A Reset, acknowledgement or response that nothing waits for.
    Stray,
    Duplicate,
    /// 4.03, for lack of access.
    Refused,
    /// 4.02, 4.05, 4.06 or 5.05.
    Unsupported,
    /// 4.08 or 4.13.
    Body,
    /// 5.03, since the device has too many requests under way.
    Busy,
}

/// What all peers of a gateway share.
pub struct Shared {
    exchanges: Exchange,
    pub bodies: Bodies,
    dice: u64,
}

impl Shared {
    /// `seed` scatters message ids and retransmissions; it protects nothing.
    #[must_use]
    pub const fn new(seed: u64) -> Self {
        Self { exchanges: 0, bodies: Bodies::new(), dice: seed | 1 }
    }

    const fn exchange(&mut self) -> Exchange {
        self.exchanges += 1;
        self.exchanges
    }

    /// xorshift64*, of which the high half is good enough for jitter.
    const fn dice(&mut self) -> u32 {
        self.dice ^= self.dice >> 12;
        self.dice ^= self.dice << 25;
        self.dice ^= self.dice >> 27;
        (self.dice.wrapping_mul(0x2545_f491_4f6c_dd1d) >> 32) as u32
    }
}

/// One call into a peer: the time, what holds for its device now, and where steps go.
pub struct Turn<'a> {
    /// Monotonic milliseconds.
    pub now: u64,
    pub access: Access,
    /// The peer is a stranger: it may ask for a certificate, and for nothing else.
    pub applicant: bool,
    /// The upstream speaks CoAP itself: blocks and options pass through.
    pub transparent: bool,
    pub shared: &'a mut Shared,
    pub steps: &'a mut Vec<Step>,
}

impl Turn<'_> {
    fn send(&mut self, message: Vec<u8>) {
        self.steps.push(Step::Send(message));
    }

    fn send_empty(&mut self, kind: Type, message_id: u16) {
        self.send(empty(kind, message_id).to_vec());
    }

    fn shed(&mut self, why: Shed) {
        self.steps.push(Step::Shed(why));
    }
}

/// The unfinished business with one device.
#[derive(Default)]
pub struct Peer {
    seen: Table,
    sent: Outbox,
    commands: Vec<Command>,
    upload: Option<Upload>,
    download: Option<Download>,
    observers: Vec<Observer>,
}

impl Peer {
    /// Takes a message of the device.
    pub fn receive(&mut self, turn: &mut Turn<'_>, message: Bytes) {
        let Ok(view) = MessageView::parse(&message) else {
            return reject(turn, &message);
        };
        match (view.kind(), view.code()) {
            (Type::Confirmable, Code::EMPTY) => turn.send_empty(Type::Reset, view.message_id()), // ping
            (Type::Acknowledgement, Code::EMPTY) => self.acknowledged(turn, view.message_id()),
            (Type::Reset, Code::EMPTY) => self.reset(turn, view.message_id()),
            (Type::Confirmable | Type::NonConfirmable, code) if code.is_request() => {
                self.request(turn, &view, &message);
            }
            (kind, code) if code.is_response() && kind != Type::Reset => {
                self.response(turn, &view, &message);
            }
            _ => turn.shed(Shed::Malformed),
        }
    }

    /// The time for something came; see [`Peer::due`].
    pub fn handle_timeout(&mut self, turn: &mut Turn<'_>) {
        self.seen.acknowledge_waiting(turn);
        self.seen.forget(turn.now);
        let gone = self.sent.retransmit(turn);
        self.unanswered(turn.now, &gone);
        self.forget_bodies(turn);
    }

    /// When [`Peer::handle_timeout`] should be called next, in monotonic milliseconds.
    #[must_use]
    pub fn due(&self) -> Option<u64> {
        [
            self.seen.due(),
            self.sent.due(),
            self.commands.iter().map(|command| command.until).min(),
            self.upload.as_ref().map(Upload::until),
            self.download.as_ref().map(Download::until),
        ]
        .into_iter()
        .flatten()
        .min()
    }

    /// Nothing is unfinished: the peer may go.
    #[must_use]
    pub fn is_idle(&self) -> bool {
        self.due().is_none() && self.observers.is_empty()
    }

    /// Nothing but the memory of finished requests is left.
    #[must_use]
    pub fn is_settled(&self) -> bool {
        !self.seen.is_waiting()
            && self.sent.is_empty()
            && self.commands.is_empty()
            && self.observers.is_empty()
            && self.upload.is_none()
    }

    /// The device may no longer use its upstream: observations end with a final 4.03, bodies in parts and
    /// commands on their way are given up.
    pub fn cut_off(&mut self, turn: &mut Turn<'_>) {
        self.end_observations(turn);
        self.sent.clear();
        self.commands.clear();
        self.drop_bodies(turn);
    }

    /// Gives back what the peer holds of shared bounds. Call it before a peer is dropped unfinished.
    pub fn release(&mut self, shared: &mut Shared) {
        for body in
            [self.upload.take().map(|upload| upload.bytes()), self.download.take().map(|download| download.bytes())]
                .into_iter()
                .flatten()
        {
            shared.bodies.give_back(body);
        }
    }

    fn drop_bodies(&mut self, turn: &mut Turn<'_>) {
        self.release(turn.shared);
    }

    fn forget_bodies(&mut self, turn: &mut Turn<'_>) {
        if let Some(upload) = self.upload.take_if(|upload| upload.until() <= turn.now) {
            turn.shared.bodies.give_back(upload.bytes());
        }
        if let Some(download) = self.download.take_if(|down| down.until() <= turn.now) {
            turn.shared.bodies.give_back(download.bytes());
        }
    }

    /// An empty acknowledgement: what we sent has arrived.
    fn acknowledged(&mut self, turn: &mut Turn<'_>, message_id: u16) {
        if self.sent.settle(message_id).is_none() {
            turn.shed(Shed::Stray);
        }
    }
}

/// A message that is not well-formed: a confirmable one is rejected with a Reset, any other ignored
/// (RFC 7252 sections 4.2 and 4.3).
fn reject(turn: &mut Turn<'_>, message: &[u8]) {
    turn.shed(Shed::Malformed);
    if let Ok(header) = Header::parse(message)
        && header.kind == Type::Confirmable
    {
        turn.send_empty(Type::Reset, header.message_id);
    }
}
