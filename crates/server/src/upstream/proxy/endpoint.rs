//! The CoAP message layer towards the origin, for one device: message ids of our own, retransmission,
//! deduplication, and the pairing of requests with responses in both directions (RFC 7252 section 4 and 5,
//! RFC 7641 for observations). It does no I/O and reads no clock.
//!
//! Tokens, options and payloads pass unchanged: the device has this endpoint for itself, so that its tokens
//! cannot meet another's.

use std::collections::VecDeque;
use std::time::{Duration, Instant};

use bartizan_wire::coap::{self, Header, MessageView, Type};
use bytes::{Bytes, BytesMut};

use super::Responded;
use crate::limits;

/// A token, at most 8 bytes.
type Token = Vec<u8>;

/// What the driver must do next. `T` is the driver's handle on a request.
#[derive(Debug)]
pub(super) enum Output<T> {
    Transmit(Bytes),
    /// The origin's response, or one sentence why there is none.
    Answered(T, Result<Bytes, &'static str>),
}

/// What an incoming datagram was, for counting.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Seen {
    Ours,
    /// A request or notification was handed on.
    Offered,
    /// The same, but nobody could take it now; the origin will repeat it.
    Shed,
    Stray,
}

/// Timers (RFC 7252 section 4.8).
#[derive(Clone, Copy, Debug)]
pub(super) struct Timing {
    /// ACK_TIMEOUT; the first wait lasts up to one and a half times as long.
    pub(super) ack_timeout: Duration,
    /// When a request is given up, acknowledged or not.
    pub(super) answer: Duration,
}

/// MAX_RETRANSMIT.
const RETRANSMISSIONS: u8 = 4;
/// EXCHANGE_LIFETIME: how long a message id of the origin is remembered.
const EXCHANGE_LIFETIME: Duration = Duration::from_secs(247);

pub(super) struct Endpoint<T> {
    timing: Timing,
    random: u64,
    message_id: u16,
    requests: Vec<Request<T>>,
    /// Responses of the device that the origin has not acknowledged yet.
    responses: VecDeque<Response>,
    /// Tokens under which the origin notifies the device.
    observations: VecDeque<Token>,
    /// Requests of the origin that the device may answer.
    asked: VecDeque<Asked>,
    /// Tokens whose notifications the origin reset.
    cancelled: VecDeque<Token>,
    recent: VecDeque<Recent>,
    outputs: VecDeque<Output<T>>,
}

struct Request<T> {
    handle: T,
    message_id: u16,
    token: Token,
    observe: Option<u32>,
    bytes: Bytes,
    /// `None` once acknowledged.
    retry: Option<Retry>,
    deadline: Instant,
}

struct Response {
    message_id: u16,
    token: Token,
    bytes: Bytes,
    retry: Retry,
}

struct Asked {
    token: Token,
    /// The device's answer began an observation: more may follow.
    observed: bool,
}

/// A message of the origin, and what it was answered with.
struct Recent {
    message_id: u16,
    at: Instant,
    reply: Option<[u8; Header::BYTES]>,
}

struct Retry {
    at: Instant,
    wait: Duration,
    left: u8,
}

impl<T> Endpoint<T> {
    pub(super) fn new(timing: Timing, seed: u64) -> Self {
        Self {
            timing,
            random: seed | 1,
            message_id: (seed >> 32) as u16,
            requests: Vec::new(),
            responses: VecDeque::new(),
            observations: VecDeque::new(),
            asked: VecDeque::new(),
            cancelled: VecDeque::new(),
            recent: VecDeque::new(),
            outputs: VecDeque::new(),
        }
    }

    /// Sends a request of the device on, as a confirmable message whatever it came as. Its outcome comes from
    /// [`Endpoint::poll`]; too many at once, or something that is no request, comes back.
    pub(super) fn request(&mut self, now: Instant, message: &[u8], handle: T) -> Result<(), (T, &'static str)> {
        let Some((token, observe)) = request_of(message) else {
            return Err((handle, "the message is not a CoAP request"));
        };
        if self.requests.len() >= limits::PROXY_REQUESTS_PER_DEVICE_MAX {
            return Err((handle, "too many requests of this device are under way"));
        }
        let (message_id, bytes) = self.send(message, Type::Confirmable);
        let retry = Some(self.first_retry(now));
        self.requests.push(Request {
            handle,
            message_id,
            token,
            observe,
            bytes,
            retry,
            deadline: now + self.timing.answer,
        });
        Ok(())
    }

    /// Sends a response of the device on: the answer to a request of the origin, or a notification.
    pub(super) fn respond(&mut self, now: Instant, message: &[u8]) -> Responded {
        let Ok(view) = MessageView::parse(message) else {
            return Responded::NotAsked;
        };
        if !view.code().is_response() {
            return Responded::NotAsked;
        }
        if let Some(index) = self.cancelled.iter().position(|token| token == view.token()) {
            self.cancelled.remove(index);
            return Responded::Cancelled;
        }
        let Some(index) = self.asked.iter().position(|asked| asked.token == view.token()) else {
            return Responded::NotAsked;
        };
        let goes_on = view.code().is_success() && view.observe().is_some();
        if goes_on {
            self.asked[index].observed = true;
        } else {
            self.asked.remove(index);
        }
        self.send_response(now, message, &view);
        Responded::Sent
    }

    fn send_response(&mut self, now: Instant, message: &[u8], view: &MessageView<'_>) {
        if view.kind() == Type::NonConfirmable {
            self.send(message, Type::NonConfirmable);
            return;
        }
        let (message_id, bytes) = self.send(message, Type::Confirmable);
        let retry = self.first_retry(now);
        let token = view.token().to_vec();
        push_bounded(
            &mut self.responses,
            limits::PROXY_RESPONSES_PER_DEVICE_MAX,
            Response { message_id, token, bytes, retry },
        );
    }

    /// Handles one datagram of the origin. `offer` takes requests and notifications, or says that it cannot now.
    pub(super) fn handle(&mut self, now: Instant, datagram: &[u8], offer: &mut dyn FnMut(&[u8]) -> bool) -> Seen {
        let Ok(view) = MessageView::parse(datagram) else {
            return self.reject_malformed(datagram);
        };
        if view.code().is_empty() {
            return self.handle_empty(&view);
        }
        if view.kind() == Type::Acknowledgement && view.code().is_response() {
            return self.handle_piggybacked(&view, datagram);
        }
        if matches!(view.kind(), Type::Acknowledgement | Type::Reset) {
            return Seen::Stray;
        }
        if self.repeat_reply(now, view.message_id()) {
            return Seen::Ours;
        }
        if view.code().is_request() {
            self.handle_request(now, &view, datagram, offer)
        } else {
            self.handle_separate(now, &view, datagram, offer)
        }
    }

    fn reject_malformed(&mut self, datagram: &[u8]) -> Seen {
        if let Ok(header) = Header::parse(datagram)
            && header.kind == Type::Confirmable
        {
            self.transmit_empty(Type::Reset, header.message_id);
        }
        Seen::Stray
    }

    fn handle_empty(&mut self, view: &MessageView<'_>) -> Seen {
        match view.kind() {
            Type::Acknowledgement => self.handle_acknowledgement(view.message_id()),
            Type::Reset => self.handle_reset(view.message_id()),
            Type::Confirmable => {
                // A ping (RFC 7252 section 4.3).
                self.transmit_empty(Type::Reset, view.message_id());
                Seen::Ours
            }
            Type::NonConfirmable => Seen::Stray,
        }
    }

    fn handle_acknowledgement(&mut self, message_id: u16) -> Seen {
        if let Some(request) = self.requests.iter_mut().find(|request| request.message_id == message_id) {
            request.retry = None;
            return Seen::Ours;
        }
        let before = self.responses.len();
        self.responses.retain(|response| response.message_id != message_id);
        if self.responses.len() < before { Seen::Ours } else { Seen::Stray }
    }

    fn handle_reset(&mut self, message_id: u16) -> Seen {
        if let Some(index) = self.requests.iter().position(|request| request.message_id == message_id) {
            self.finish(index, Err("the origin reset the exchange"));
            return Seen::Ours;
        }
        let Some(index) = self.responses.iter().position(|response| response.message_id == message_id) else {
            return Seen::Stray;
        };
        if let Some(response) = self.responses.remove(index) {
            self.asked.retain(|asked| asked.token != response.token);
            push_bounded(&mut self.cancelled, limits::PROXY_OBSERVATIONS_PER_DEVICE_MAX, response.token);
        }
        Seen::Ours
    }

    fn handle_piggybacked(&mut self, view: &MessageView<'_>, datagram: &[u8]) -> Seen {
        let ours = |request: &Request<T>| request.message_id == view.message_id() && request.token == view.token();
        match self.requests.iter().position(ours) {
            Some(index) => self.answer(index, view, datagram),
            None => Seen::Stray,
        }
    }

    /// A response in a message of its own: the answer to a request, or a notification.
    fn handle_separate(
        &mut self,
        now: Instant,
        view: &MessageView<'_>,
        datagram: &[u8],
        offer: &mut dyn FnMut(&[u8]) -> bool,
    ) -> Seen {
        if let Some(index) = self.requests.iter().position(|request| request.token == view.token()) {
            self.acknowledge(now, view);
            return self.answer(index, view, datagram);
        }
        if !self.observations.iter().any(|token| token == view.token()) {
            self.transmit_empty(Type::Reset, view.message_id());
            return Seen::Stray;
        }
        if !offer(datagram) {
            return Seen::Shed;
        }
        if !view.code().is_success() || view.observe().is_none() {
            self.observations.retain(|token| token != view.token());
        }
        self.acknowledge(now, view);
        Seen::Offered
    }

    /// A request of the origin to the device. It is acknowledged at once, since a sleeper answers much later.
    fn handle_request(
        &mut self,
        now: Instant,
        view: &MessageView<'_>,
        datagram: &[u8],
        offer: &mut dyn FnMut(&[u8]) -> bool,
    ) -> Seen {
        let observed = |asked: &&Asked| asked.observed;
        if self.asked.iter().filter(observed).count() >= limits::PROXY_ASKED_PER_DEVICE_MAX || !offer(datagram) {
            return Seen::Shed;
        }
        self.asked.retain(|asked| asked.token != view.token());
        if self.asked.len() >= limits::PROXY_ASKED_PER_DEVICE_MAX
            && let Some(oldest) = self.asked.iter().position(|asked| !asked.observed)
        {
            self.asked.remove(oldest);
        }
        self.asked.push_back(Asked { token: view.token().to_vec(), observed: false });
        self.acknowledge(now, view);
        Seen::Offered
    }

    fn answer(&mut self, index: usize, view: &MessageView<'_>, datagram: &[u8]) -> Seen {
        let observes = self.requests[index].observe == Some(coap::OBSERVE_REGISTER);
        let asked_about_observation = self.requests[index].observe.is_some();
        if asked_about_observation {
            self.observations.retain(|token| token != view.token());
        }
        if observes && view.code().is_success() && view.observe().is_some() {
            let token = view.token().to_vec();
            push_bounded(&mut self.observations, limits::PROXY_OBSERVATIONS_PER_DEVICE_MAX, token);
        }
        self.finish(index, Ok(Bytes::copy_from_slice(datagram)));
        Seen::Ours
    }

    fn finish(&mut self, index: usize, outcome: Result<Bytes, &'static str>) {
        let request = self.requests.swap_remove(index);
        self.outputs.push_back(Output::Answered(request.handle, outcome));
    }

    /// Acknowledges a confirmable message, and remembers either kind against repetition.
    fn acknowledge(&mut self, now: Instant, view: &MessageView<'_>) {
        let reply = (view.kind() == Type::Confirmable).then(|| coap::empty(Type::Acknowledgement, view.message_id()));
        if let Some(reply) = reply {
            self.outputs.push_back(Output::Transmit(Bytes::copy_from_slice(&reply)));
        }
        push_bounded(
            &mut self.recent,
            limits::PROXY_RECENT_PER_DEVICE_MAX,
            Recent { message_id: view.message_id(), at: now, reply },
        );
    }

    fn repeat_reply(&mut self, now: Instant, message_id: u16) -> bool {
        self.recent.retain(|recent| now.duration_since(recent.at) < EXCHANGE_LIFETIME);
        let Some(recent) = self.recent.iter().find(|recent| recent.message_id == message_id) else {
            return false;
        };
        if let Some(reply) = recent.reply {
            self.outputs.push_back(Output::Transmit(Bytes::copy_from_slice(&reply)));
        }
        true
    }

    /// The origin cannot be reached at all: everything under way ends.
    pub(super) fn fail(&mut self, why: &'static str) {
        while !self.requests.is_empty() {
            self.finish(0, Err(why));
        }
        self.responses.clear();
    }

    pub(super) fn poll(&mut self) -> Option<Output<T>> {
        self.outputs.pop_front()
    }

    pub(super) fn next_timeout(&self) -> Option<Instant> {
        let requests = self.requests.iter().flat_map(|request| {
            let retry = request.retry.as_ref().map(|retry| retry.at);
            [retry, Some(request.deadline)]
        });
        let responses = self.responses.iter().map(|response| Some(response.retry.at));
        requests.chain(responses).flatten().min()
    }

    pub(super) fn handle_timeout(&mut self, now: Instant) {
        for index in (0..self.requests.len()).rev() {
            let request = &mut self.requests[index];
            if request.deadline <= now {
                self.finish(index, Err("the origin did not answer in time"));
            } else if let Some(retry) = request.retry.as_mut().filter(|retry| retry.at <= now) {
                if retry.spend(now) {
                    let again = request.bytes.clone();
                    self.outputs.push_back(Output::Transmit(again));
                } else {
                    self.finish(index, Err("the origin does not acknowledge"));
                }
            }
        }
        let outputs = &mut self.outputs;
        self.responses.retain_mut(|response| {
            if response.retry.at > now {
                return true;
            }
            let again = response.retry.spend(now);
            if again {
                outputs.push_back(Output::Transmit(response.bytes.clone()));
            }
            again
        });
    }

    /// Requests and responses under way.
    pub(super) fn under_way(&self) -> usize {
        self.requests.len() + self.responses.len()
    }

    /// Things that need the socket to stay open: what is under way, and observations in both directions.
    pub(super) fn attached(&self) -> usize {
        let observed = self.asked.iter().filter(|asked| asked.observed).count();
        self.under_way() + self.observations.len() + observed
    }

    fn send(&mut self, message: &[u8], kind: Type) -> (u16, Bytes) {
        self.message_id = self.message_id.wrapping_add(1);
        let mut bytes = BytesMut::from(message);
        coap::patch_header(&mut bytes, kind, self.message_id)
            .expect("invariant: the message was parsed and is not empty");
        let bytes = bytes.freeze();
        self.outputs.push_back(Output::Transmit(bytes.clone()));
        (self.message_id, bytes)
    }

    fn transmit_empty(&mut self, kind: Type, message_id: u16) {
        let empty = coap::empty(kind, message_id);
        self.outputs.push_back(Output::Transmit(Bytes::copy_from_slice(&empty)));
    }

    /// The first wait is ACK_TIMEOUT times 1 to ACK_RANDOM_FACTOR (1.5).
    fn first_retry(&mut self, now: Instant) -> Retry {
        // xorshift64: spreads retransmissions, protects nothing.
        self.random ^= self.random << 13;
        self.random ^= self.random >> 7;
        self.random ^= self.random << 17;
        let wait = self.timing.ack_timeout.mul_f64(1.0 + (self.random >> 32) as f64 / f64::from(u32::MAX) / 2.0);
        Retry { at: now + wait, wait, left: RETRANSMISSIONS }
    }
}

impl Retry {
    /// Doubles the wait and tells whether to send again; `false`: given up.
    fn spend(&mut self, now: Instant) -> bool {
        if self.left == 0 {
            return false;
        }
        self.left -= 1;
        self.wait *= 2;
        self.at = now + self.wait;
        true
    }
}

fn request_of(message: &[u8]) -> Option<(Token, Option<u32>)> {
    let view = MessageView::parse(message).ok()?;
    view.code().is_request().then(|| (view.token().to_vec(), view.observe()))
}

fn push_bounded<T>(queue: &mut VecDeque<T>, bound: usize, item: T) {
    if queue.len() >= bound {
        queue.pop_front();
    }
    queue.push_back(item);
}

#[cfg(test)]
#[path = "endpoint_tests.rs"]
mod tests;
