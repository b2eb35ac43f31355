//! Requests of ours: sent in turn, answered, deferred, given up.

use bartizan_dtls::Instant;
use bartizan_wire::coap::{Builder, Code, MessageView, Type};

use super::Endpoint;
use super::reliable::{Outbound, Purpose};
use super::requests::{Pending, Phase, Progress, Wish};
use crate::bounded::copy;
use crate::error::Error;
use crate::event::{ClientEvent, Failure, Request, RequestId};
use crate::jitter::doubled;
use crate::limits::{BODY_BYTES_MAX, HOLD_OFF_S_MAX, REQUESTS_MAX, TARGET_BYTES_MAX};

/// First delay after a refusal without Max-Age above it, doubled with each further one.
const HOLD_OFF_MS_MIN: u64 = 2_000;

impl Endpoint {
    /// Sends a request as soon as the transport is open and it is its turn.
    ///
    /// # Errors
    /// `Misuse` if the request cannot be expressed; `Unavailable` above
    /// [`REQUESTS_MAX`] requests.
    pub fn request(&mut self, request: Request) -> Result<RequestId, Error> {
        self.ask(request, Wish::Once)
    }

    /// Asks to be told whenever a resource of the peer changes.
    ///
    /// # Errors
    /// As [`Self::request`].
    pub fn observe(&mut self, path: &str) -> Result<RequestId, Error> {
        self.ask(Request::get(path), Wish::Observe)
    }

    /// Ends an observation, which the peer confirms with a last answer, or drops a request.
    ///
    /// # Errors
    /// `Misuse` if there is no such request.
    pub fn cancel(&mut self, id: RequestId) -> Result<(), Error> {
        let known = self.requests.iter_mut().find(|pending| pending.id == id);
        let pending = known.ok_or(Error::Misuse("no such request"))?;
        if pending.wish == Wish::Observe && pending.phase == Phase::Observing {
            pending.wish = Wish::Forget;
            pending.phase = Phase::Waiting;
            return Ok(());
        }
        self.fail(id, Failure::Cancelled);
        Ok(())
    }

    fn ask(&mut self, request: Request, wish: Wish) -> Result<RequestId, Error> {
        self.check(&request)?;
        if self.requests.len() >= REQUESTS_MAX || self.requests.try_reserve(1).is_err() {
            return Err(Error::Unavailable("too many requests are under way"));
        }
        let id = RequestId(self.take_id());
        let szx = self.block_szx(request.path.len());
        let tokens = [self.take_token(), self.take_token()];
        self.requests.push(Pending::new(id, request, wish, tokens, szx));
        Ok(id)
    }

    /// Takes an observation up again that stood before a sleep.
    pub(super) fn observe_still(&mut self, id: RequestId, path: &str, tokens: [u16; 2]) -> Option<()> {
        let request = Request::get(path);
        self.check(&request).ok()?;
        if self.requests.len() >= REQUESTS_MAX {
            return None;
        }
        self.requests.try_reserve(1).ok()?;
        let mut pending = Pending::new(id, request, Wish::Observe, tokens, self.block_szx(path.len()));
        pending.phase = Phase::Observing;
        self.requests.push(pending);
        Some(())
    }

    fn check(&self, request: &Request) -> Result<(), Error> {
        if !request.method.is_request() {
            return Err(Error::Misuse("the code is not a method"));
        }
        if request.path.len() > TARGET_BYTES_MAX {
            return Err(Error::Misuse("the path is too long"));
        }
        if request.payload.len() > BODY_BYTES_MAX {
            return Err(Error::Misuse("the payload is too large"));
        }
        super::write(|out| Builder::new(out, Type::Confirmable, Code::GET, 0, &[0; 2]).target(&request.path))
            .map(drop)
            .map_err(|_| Error::Misuse("the path cannot be expressed in options"))
    }

    /// A token that no request under way has.
    fn take_token(&mut self) -> u16 {
        loop {
            self.next_token = self.next_token.wrapping_add(1);
            let token = self.next_token.to_be_bytes();
            // Ends: there are far more tokens than requests.
            if !self.requests.iter().any(|pending| pending.has_token(&token)) {
                return self.next_token;
            }
        }
    }

    /// Sends the first request that waits, if it may leave now.
    pub(super) fn send_next_request(&mut self, now: Instant) -> Option<alloc::vec::Vec<u8>> {
        if !self.reliable.has_room() {
            return None;
        }
        let waiting = |pending: &Pending| pending.phase == Phase::Waiting;
        let index = self.requests.iter().position(waiting)?;
        let message_id = self.take_message_id();
        let pending = self.requests.get_mut(index)?;
        if pending.echo.is_empty() {
            pending.echo = core::mem::take(&mut self.echo);
        }
        let purpose = Purpose::Request(pending.id);
        let Ok(bytes) = pending.build(message_id) else {
            let id = pending.id;
            self.fail(id, Failure::TooLarge);
            return None;
        };
        pending.phase = Phase::Out { message_id };
        let confirmable = pending.request.confirmable;
        let outbound = Outbound { purpose, message_id, bytes };
        if confirmable {
            return self.send_confirmable(now, outbound);
        }
        let timeout_ms = self.config.once_timeout_ms;
        Some(self.reliable.send_once(now, outbound, timeout_ms))
    }

    /// A message of ours was acknowledged without an answer.
    pub(super) fn acknowledge(&mut self, now: Instant, message_id: u16) {
        let until = now.plus(self.config.answer_timeout_ms);
        let Some(Purpose::Request(id)) = self.reliable.settle(message_id) else {
            return;
        };
        if let Some(pending) = self.requests.iter_mut().find(|pending| pending.id == id) {
            pending.phase = Phase::Acknowledged { until };
        }
    }

    /// Takes in an answer; `false` if nobody waits for it.
    pub(super) fn take_answer(&mut self, now: Instant, view: &MessageView<'_>) -> bool {
        let ours = |pending: &&mut Pending| pending.has_token(view.token());
        let Some(pending) = self.requests.iter_mut().find(ours) else {
            return false;
        };
        let piggybacked = view.kind() == Type::Acknowledgement;
        let out = Phase::Out { message_id: view.message_id() };
        if piggybacked && pending.phase != out {
            return true;
        }
        let id = pending.id;
        let progress = pending.answer(now, view);
        if progress != Progress::Stale && view.code() != Code::UNAUTHORIZED {
            self.keep_echo(view);
        }
        if progress != Progress::Stale {
            self.reliable.forget(Purpose::Request(id));
            self.advance(now, id, progress);
        }
        true
    }

    /// A value that comes with an answer saves the next request a refusal (RFC 9175 section 2.3).
    fn keep_echo(&mut self, view: &MessageView<'_>) {
        if let Some(echo) = view.echo().and_then(copy) {
            self.echo = echo;
        }
    }

    fn advance(&mut self, now: Instant, id: RequestId, progress: Progress) {
        match progress {
            Progress::Again => self.set_phase(id, Phase::Waiting),
            Progress::Fresh => self.repeat(id),
            Progress::Busy(seconds, response) => self.defer(now, id, seconds, response),
            Progress::Done(response) => self.finish(id, response),
            Progress::Observing(notification) => {
                self.set_phase(id, Phase::Observing);
                if let Some(notification) = notification {
                    self.events.push_over(notification);
                }
            }
            Progress::Failed(failure) => self.fail(id, failure),
            Progress::Stale => {}
        }
    }

    /// Under another token: a late answer to the message that was refused is none to this one.
    fn repeat(&mut self, id: RequestId) {
        let [token, block_token] = [self.take_token(), self.take_token()];
        if let Some(pending) = self.requests.iter_mut().find(|pending| pending.id == id) {
            (pending.token, pending.block_token) = (token, block_token);
            pending.phase = Phase::Waiting;
        }
    }

    /// The peer is busy: come back after the time it asked for, and each device at its own moment.
    fn defer(&mut self, now: Instant, id: RequestId, seconds: u32, response: ClientEvent) {
        let refusals_max = self.config.refusals_max;
        let known = self.requests.iter_mut().find(|pending| pending.id == id);
        let Some(pending) = known.filter(|pending| pending.refusals < refusals_max) else {
            self.finish(id, response);
            return;
        };
        let own = doubled(HOLD_OFF_MS_MIN, pending.refusals, u64::from(HOLD_OFF_S_MAX) * 1000);
        let delay_ms = self.jitter.stretch(own.max(u64::from(seconds) * 1000));
        let until = now.plus(delay_ms);
        pending.refusals = pending.refusals.saturating_add(1);
        pending.restart();
        pending.phase = Phase::Deferred { until };
        self.events.push_over(ClientEvent::Deferred { request: id, until });
    }

    /// Nothing came back. Once, the request is kept for a new association.
    pub(super) fn give_up(&mut self, id: RequestId) {
        let Some(pending) = self.requests.iter_mut().find(|pending| pending.id == id) else {
            return;
        };
        if pending.revived {
            self.fail(id, Failure::TimedOut);
            return;
        }
        pending.revived = true;
        pending.phase = Phase::Waiting;
        self.silent = true;
    }

    pub(super) fn age_requests(&mut self, now: Instant) {
        let mut late = None;
        for pending in &mut self.requests {
            match pending.phase {
                Phase::Deferred { until } if until <= now => pending.phase = Phase::Waiting,
                Phase::Acknowledged { until } if until <= now => late = Some(pending.id),
                _ => {}
            }
        }
        if let Some(id) = late {
            self.fail(id, Failure::TimedOut);
            self.age_requests(now);
        }
    }

    /// Ends every request with the same failure.
    pub fn fail_all(&mut self, reason: Failure) {
        while let Some(id) = self.requests.first().map(|pending| pending.id) {
            self.fail(id, reason);
        }
    }

    pub(super) fn fail(&mut self, id: RequestId, reason: Failure) {
        self.finish(id, ClientEvent::Failed { request: id, reason });
    }

    fn finish(&mut self, id: RequestId, event: ClientEvent) {
        self.reliable.forget(Purpose::Request(id));
        self.requests.retain(|pending| pending.id != id);
        self.events.push_over(event);
    }

    fn set_phase(&mut self, id: RequestId, phase: Phase) {
        if let Some(pending) = self.requests.iter_mut().find(|pending| pending.id == id) {
            pending.phase = phase;
        }
    }
}
