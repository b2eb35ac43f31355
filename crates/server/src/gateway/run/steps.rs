//! What the CoAP layer wants done.

use std::sync::Arc;

use bartizan_crypto::Secret;
use bartizan_dtls::{Authentication, SessionId};
use bartizan_wire::event::{Direction, Message as Shape, kind_hash};
use bartizan_wire::{Access, EventKind};
use bytes::Bytes;

use super::super::coap::{Answer, Exchange, Shed, StatusFormat, Step};
use super::super::counters::Dropped;
use super::super::{attestation, est, key, status};
use super::{Done, Run};
use crate::app::joining::Asker;
use crate::app::keys::KeyRequest;
use crate::app::path::{self, Downlink, Message};
use crate::app::{App, Device};
use crate::limits::GATEWAY_IN_FLIGHT_MAX;
use crate::upstream::{Responded, UpstreamDevice};

impl Run {
    pub(super) fn take_steps(&mut self, session: SessionId, device: &Arc<Device>, steps: Vec<Step>) {
        for step in steps {
            match step {
                Step::Send(message) => self.seal(session, &message),
                Step::Submit { exchange, message } => {
                    self.submit(session, device, exchange, message);
                }
                Step::Status { exchange, format } => {
                    self.tell_status(session, device, exchange, format);
                }
                Step::Challenge { exchange } => {
                    let (app, asker) = (Arc::clone(&self.app), Arc::clone(device));
                    let answer = async move { attestation::challenge(&app, &asker).await };
                    self.answer_later(session, device, exchange, answer);
                }
                Step::Epoch { exchange } => {
                    let (app, asker) = (Arc::clone(&self.app), Arc::clone(device));
                    let answer = async move { attestation::epoch(&app, &asker).await };
                    self.answer_later(session, device, exchange, answer);
                }
                Step::Evidence { exchange, evidence } => self.attest(session, device, exchange, evidence),
                Step::Enrol { exchange, request } => {
                    self.enrol(session, device, exchange, request);
                }
                Step::Key { exchange, contribution } => self.hand_out_key(session, device, exchange, contribution),
                Step::Respond { exchange, coap } => self.respond(session, device, exchange, coap),
                Step::Answered { command, code, coap, forwarded } => {
                    self.command_answered(device, command, code, forwarded.then_some(coap))
                }
                Step::Reset { command } => self.command_reset(device, command),
                Step::Shed(why) => self.shed(device, why),
            }
        }
    }

    pub(super) fn seal(&mut self, session: SessionId, message: &[u8]) {
        let now = self.instant();
        if self.endpoint.send(now, session, message).is_err() {
            self.shown.dropped(Dropped::NotSealed);
        }
    }

    fn shed(&self, device: &Device, why: Shed) {
        self.shown.dropped(why.into());
        if why == Shed::Refused {
            let access = device.access();
            self.observe(device, EventKind::Refused { access });
        }
    }

    /// Whether one more task may run; counts it.
    pub(super) fn has_room(&mut self) -> bool {
        let room = self.in_flight < GATEWAY_IN_FLIGHT_MAX;
        if room {
            self.in_flight += 1;
        } else {
            self.shown.dropped(Dropped::UpstreamBusy);
        }
        room
    }

    fn submit(&mut self, session: SessionId, device: &Arc<Device>, exchange: Exchange, message: Message) {
        let (app, sender) = (Arc::clone(&self.app), Arc::clone(device));
        let answer = async move { path::submit(&app, &sender, message).await.into() };
        self.answer_later(session, device, exchange, answer);
    }

    fn tell_status(&mut self, session: SessionId, device: &Arc<Device>, exchange: Exchange, format: StatusFormat) {
        let (app, asker) = (Arc::clone(&self.app), Arc::clone(device));
        let answer = async move { status::of(&app, &asker, format).await };
        self.answer_later(session, device, exchange, answer);
    }

    fn attest(&mut self, session: SessionId, device: &Arc<Device>, exchange: Exchange, evidence: Bytes) {
        let Some(info) = self.endpoint.session(session) else {
            return;
        };
        let (app, sender, exporter) = (Arc::clone(&self.app), Arc::clone(device), Secret::new(info.exporter));
        if info.authentication != Authentication::PreSharedKey {
            app.opened_by_certificate(&sender, &exporter);
        }
        let answer = async move { attestation::appraise(&app, &sender, &exporter, &evidence).await };
        self.answer_later(session, device, exchange, answer);
    }

    fn enrol(&mut self, session: SessionId, device: &Arc<Device>, exchange: Exchange, request: est::Request) {
        let (app, asker) = (Arc::clone(&self.app), Asker::Device(Arc::clone(device)));
        let answer = async move { est::answer(&app, &asker, 0, &request).await };
        self.answer_later(session, device, exchange, answer);
    }

    fn hand_out_key(&mut self, session: SessionId, device: &Arc<Device>, exchange: Exchange, contribution: Bytes) {
        let Some(info) = self.endpoint.session(session) else {
            return;
        };
        let forward_secret = info.forward_secret && info.authentication == Authentication::PreSharedKey;
        let (app, asker, exporter) = (Arc::clone(&self.app), Arc::clone(device), Secret::new(info.exporter));
        let answer = async move {
            let request = KeyRequest { exporter: &exporter, forward_secret, contribution: &contribution };
            key::hand_out(&app, &asker, request).await
        };
        self.answer_later(session, device, exchange, answer);
    }

    /// Works `answer` out beside the loop; the device is told 5.03 if too much is under way.
    fn answer_later(
        &mut self,
        session: SessionId,
        device: &Arc<Device>,
        exchange: Exchange,
        answer: impl Future<Output = Answer> + Send + 'static,
    ) {
        if !self.has_room() {
            return self.turn(session, device, |peer, turn| {
                peer.answer(turn, exchange, Answer::unavailable());
            });
        }
        let Some(principal) = super::devices::principal_of(device.key) else {
            return;
        };
        self.spawn(async move { Done::Answered { session, principal, exchange, answer: answer.await } });
    }

    /// A notification of the device, on its way to who asked for it: a message like any other to the judge.
    fn respond(&mut self, session: SessionId, device: &Arc<Device>, exchange: Exchange, coap: Bytes) {
        let Some(principal) = super::devices::principal_of(device.key) else {
            return;
        };
        if !self.has_room() {
            return; // not acknowledged: the device repeats it
        }
        let kind = EventKind::Message(Shape {
            direction: Direction::Up,
            kind: kind_hash(&[b"coap", b"notification"]),
            payload_bytes: u16::try_from(coap.len()).unwrap_or(u16::MAX),
            peer: kind_hash(&[b"upstream"]),
        });
        self.observe(device, kind);
        let (app, device) = (Arc::clone(&self.app), Arc::clone(device));
        self.spawn(async move {
            let wanted = match device.access() {
                Access::Full => hand_over(&app, &device, coap).await,
                _ => false,
            };
            Done::Taken { session, principal, exchange, wanted }
        });
    }

    /// Carries what an upstream sends on its own to the device, awake or not: it may be repeated.
    pub(super) fn notify(&mut self, downlink: &Downlink) {
        let session =
            super::devices::principal_of(downlink.device).and_then(|principal| self.sessions.get(&principal).copied());
        match (session, self.app.device(downlink.device)) {
            (Some(session), Some(device)) => self.turn(session, &device, |peer, turn| {
                peer.notify(turn, &downlink.coap);
            }),
            _ => self.shown.dropped(Dropped::Notification),
        }
    }
}

/// Whether the upstream took a response of the device.
pub(super) async fn hand_over(app: &App, device: &Device, coap: Bytes) -> bool {
    let Ok(upstream) = app.upstream_of(device.key.tenant).await else {
        return false;
    };
    let device = UpstreamDevice {
        key: device.key,
        name: device.name.clone(),
        type_name: device.type_name.clone(),
        endpoint_names: device.endpoints.clone(),
    };
    upstream.respond(&device, coap).await == Responded::Sent
}
