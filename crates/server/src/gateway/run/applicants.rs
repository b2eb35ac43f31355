//! Associations of strangers: they may ask for a certificate, last minutes, and are never written down.

use std::sync::Arc;

use bartizan_dtls::{AlertDescription, SessionId};
use bartizan_wire::Access;

use super::super::coap::{Answer, Exchange, Peer, Shed, Step, Turn};
use super::super::counters::Dropped;
use super::super::est;
use super::{Done, Live, Run};
use crate::app::door::is_applicant;
use crate::app::joining::Asker;

impl Run {
    pub(super) fn is_applicants(&self, session: SessionId) -> bool {
        self.endpoint.session(session).is_some_and(|info| is_applicant(info.principal))
    }

    /// There is nothing to make durable: no restart brings it back.
    pub(super) fn confirm_applicant(&mut self, session: SessionId) {
        let now = self.instant();
        self.endpoint.confirm_durable(now, session);
    }

    /// Those whose time is over make room.
    pub(super) fn applicant_established(&mut self, session: SessionId, principal: u64) {
        self.app.door().proven(principal);
        let now = self.instant();
        let over = |other: &u64| self.app.door().applicant(*other).is_none();
        let closing: Vec<_> = self.applicants.iter().filter(|(_, other)| over(other)).map(|(key, _)| *key).collect();
        for closing in closing.into_iter().filter(|closing| *closing != session) {
            self.applicants.remove(&closing);
            self.drop_peer(closing);
            self.endpoint.close(now, closing, AlertDescription::CLOSE_NOTIFY);
        }
        self.applicants.insert(session, principal);
    }

    pub(super) fn applicant_closed(&mut self, session: SessionId, principal: u64) {
        self.drop_peer(session);
        self.applicants.remove(&session);
        self.app.door().forget(principal);
    }

    pub(super) fn applicant_says(&mut self, session: SessionId, principal: u64, data: Vec<u8>) {
        if self.app.door().applicant(principal).is_none() {
            let now = self.instant();
            return self.endpoint.close(now, session, AlertDescription::CLOSE_NOTIFY);
        }
        self.applicant_turn(session, principal, |peer, turn| peer.receive(turn, data.into()));
    }

    pub(super) fn applicant_turn(
        &mut self,
        session: SessionId,
        principal: u64,
        act: impl FnOnce(&mut Peer, &mut Turn<'_>),
    ) {
        let mut steps = Vec::new();
        let mut live =
            self.peers.remove(&session).unwrap_or_else(|| Box::new(Live { peer: Peer::default(), scheduled: None }));
        let mut turn = Turn {
            now: self.now(),
            access: Access::Full,
            applicant: true,
            transparent: false,
            shared: &mut self.shared,
            steps: &mut steps,
        };
        act(&mut live.peer, &mut turn);
        self.keep(session, live);
        for step in steps {
            match step {
                Step::Send(message) => self.seal(session, &message),
                Step::Enrol { exchange, request } => self.applicant_asks(session, principal, exchange, request),
                Step::Shed(why) => self.shown.dropped(why.into()),
                // It asks for nothing else, and is asked for nothing.
                _ => self.shown.dropped(Shed::Unsupported.into()),
            }
        }
    }

    fn applicant_asks(&mut self, session: SessionId, principal: u64, exchange: Exchange, request: est::Request) {
        let Some(applicant) = self.app.door().applicant(principal) else {
            return self.shown.dropped(Dropped::NoDevice);
        };
        let answer = if !self.app.door().spend(principal) {
            Some(Answer::refused(Access::Limited))
        } else if !self.has_room() {
            Some(Answer::unavailable())
        } else {
            None
        };
        if let Some(answer) = answer {
            return self.applicant_turn(session, principal, |peer, turn| peer.answer(turn, exchange, answer));
        }
        let (app, asker) = (Arc::clone(&self.app), Asker::Stranger(Box::new(applicant)));
        self.spawn(async move {
            let answer = est::answer(&app, &asker, principal, &request).await;
            Done::Answered { session, principal, exchange, answer }
        });
    }
}
