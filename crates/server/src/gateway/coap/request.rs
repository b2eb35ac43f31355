//! A request of the device: seen before, refused, answered here, or carried to the upstream.

use bartizan_trust::tpm::CONTENT_FORMAT;
use bartizan_wire::Access;
use bartizan_wire::coap::{Block, Code, MessageView, OptionNumber, Type, content_format};
use bartizan_wire::event::kind_hash;
use bytes::Bytes;

use super::answer::Answer;
use super::seen::{Sight, Waiting};
use super::{Exchange, Peer, Shed, StatusFormat, Step, Turn};
use crate::app::path::Message;
use crate::gateway::attestation::{ATTESTATION_PATH, EPOCH_QUERY};
use crate::gateway::est::{self, Resource};
use crate::gateway::key::KEY_PATH;
use crate::gateway::status::STATUS_PATH;

/// Critical options that we act on ourselves where the upstream does not speak CoAP.
const ENDED_HERE: &[OptionNumber] = &[
    OptionNumber::URI_HOST,
    OptionNumber::URI_PORT,
    OptionNumber::URI_PATH,
    OptionNumber::URI_QUERY,
    OptionNumber::ACCEPT,
    OptionNumber::BLOCK1,
    OptionNumber::BLOCK2,
];

/// Critical options that an upstream that speaks CoAP acts on.
const FORWARDED: &[OptionNumber] = &[
    OptionNumber::URI_HOST,
    OptionNumber::URI_PORT,
    OptionNumber::URI_PATH,
    OptionNumber::URI_QUERY,
    OptionNumber::ACCEPT,
    OptionNumber::BLOCK1,
    OptionNumber::BLOCK2,
    OptionNumber::IF_MATCH,
    OptionNumber::IF_NONE_MATCH,
    OptionNumber::OSCORE,
];

impl Peer {
    pub(super) fn request(&mut self, turn: &mut Turn<'_>, view: &MessageView<'_>, message: &Bytes) {
        if self.is_duplicate(turn, view.message_id()) {
            return;
        }
        let mut waiting = Waiting::new(view.message_id(), view.kind(), view.token(), turn.now);
        let resource = Resource::of(view, turn.applicant);
        let told = match refusal(turn, view, resource) {
            Some((why, answer)) => Err((why, answer)),
            None if let Some(resource) = resource => self.enrol(turn, view, message, &mut waiting, resource),
            None if view.path_is(STATUS_PATH) => self.ask_status(turn, view, &waiting),
            None if view.path_is(ATTESTATION_PATH) => self.attest(turn, view, message, &mut waiting),
            None if view.path_is(KEY_PATH) => self.ask_key(turn, view, message, &mut waiting),
            None => self.carry(turn, view, message, &mut waiting),
        };
        if let Err((why, answer)) = told {
            turn.shed(why);
            if view.kind() == Type::Confirmable || why != Shed::Unsupported {
                self.answer_now(turn, &waiting, answer);
            }
        }
    }

    /// Tells a duplicate what the first was told (RFC 7252 section 4.5).
    pub(super) fn is_duplicate(&mut self, turn: &mut Turn<'_>, message_id: u16) -> bool {
        match self.seen.look(message_id) {
            Sight::New => return false,
            Sight::Waiting(true) => turn.send_empty(Type::Acknowledgement, message_id),
            Sight::Done(reply) if !reply.is_empty() => turn.send(reply.to_vec()),
            Sight::Waiting(false) | Sight::Done(_) => {}
        }
        turn.shed(Shed::Duplicate);
        true
    }

    fn ask_status(
        &mut self,
        turn: &mut Turn<'_>,
        view: &MessageView<'_>,
        waiting: &Waiting,
    ) -> Result<(), (Shed, Answer)> {
        if view.code() != Code::GET {
            let answer = Answer::new(Code::METHOD_NOT_ALLOWED);
            return Err((Shed::Unsupported, answer));
        }
        let format = match view.accept() {
            None | Some(content_format::JSON) => StatusFormat::Json,
            Some(content_format::CBOR) => StatusFormat::Cbor,
            Some(_) => return Err((Shed::Unsupported, Answer::new(Code::NOT_ACCEPTABLE))),
        };
        let waiting = Waiting { block2: view.block2(), target: target_of(view), ..*waiting };
        let exchange = self.begin(turn, waiting)?;
        turn.steps.push(Step::Status { exchange, format });
        Ok(())
    }

    /// GET asks for a challenge, or with the query `epoch` for the id of this epoch; POST brings evidence or a heartbeat.
    fn attest(
        &mut self,
        turn: &mut Turn<'_>,
        view: &MessageView<'_>,
        message: &Bytes,
        waiting: &mut Waiting,
    ) -> Result<(), (Shed, Answer)> {
        let refuse = |code| Err((Shed::Unsupported, Answer::new(code)));
        match view.code() {
            Code::GET => {
                let epoch = view.values(OptionNumber::URI_QUERY).any(|query| query == EPOCH_QUERY);
                let exchange = self.begin(turn, *waiting)?;
                turn.steps.push(if epoch { Step::Epoch { exchange } } else { Step::Challenge { exchange } });
            }
            Code::POST if !matches!(view.content_format(), None | Some(content_format::EAT_CWT | CONTENT_FORMAT)) => {
                return refuse(Code::UNSUPPORTED_CONTENT_FORMAT);
            }
            Code::POST => {
                let step = |exchange, evidence| Step::Evidence { exchange, evidence };
                return self.begin_with_body(turn, view, message, waiting, step);
            }
            _ => return refuse(Code::METHOD_NOT_ALLOWED),
        }
        Ok(())
    }

    /// Asks for a certificate, or what is needed beside.
    fn enrol(
        &mut self,
        turn: &mut Turn<'_>,
        view: &MessageView<'_>,
        message: &Bytes,
        waiting: &mut Waiting,
        resource: Resource,
    ) -> Result<(), (Shed, Answer)> {
        let plain = resource.check(view).map_err(|code| (Shed::Unsupported, Answer::new(code)))?;
        let step = |exchange, body| Step::Enrol { exchange, request: est::Request { resource, body, plain } };
        self.begin_with_body(turn, view, message, waiting, step)
    }

    /// POST asks for another key.
    fn ask_key(
        &mut self,
        turn: &mut Turn<'_>,
        view: &MessageView<'_>,
        message: &Bytes,
        waiting: &mut Waiting,
    ) -> Result<(), (Shed, Answer)> {
        let refuse = |code| Err((Shed::Unsupported, Answer::new(code)));
        if view.code() != Code::POST {
            return refuse(Code::METHOD_NOT_ALLOWED);
        }
        if !matches!(view.content_format(), None | Some(content_format::OCTET_STREAM)) {
            return refuse(Code::UNSUPPORTED_CONTENT_FORMAT);
        }
        let step = |exchange, contribution| Step::Key { exchange, contribution };
        self.begin_with_body(turn, view, message, waiting, step)
    }

    /// Begins an exchange for the step that takes the whole body, once it is there.
    fn begin_with_body(
        &mut self,
        turn: &mut Turn<'_>,
        view: &MessageView<'_>,
        message: &Bytes,
        waiting: &mut Waiting,
        step: impl FnOnce(Exchange, Bytes) -> Step,
    ) -> Result<(), (Shed, Answer)> {
        if let Some(body) = self.whole_body(turn, view, message, waiting)? {
            let exchange = self.begin(turn, *waiting)?;
            turn.steps.push(step(exchange, body));
        }
        Ok(())
    }

    fn carry(
        &mut self,
        turn: &mut Turn<'_>,
        view: &MessageView<'_>,
        message: &Bytes,
        waiting: &mut Waiting,
    ) -> Result<(), (Shed, Answer)> {
        waiting.observe = view.observe().filter(|_| turn.transparent);
        let payload = if turn.transparent {
            message.slice_ref(view.payload())
        } else {
            match self.whole_body(turn, view, message, waiting)? {
                Some(body) => body,
                None => return Ok(()),
            }
        };
        let exchange = self.begin(turn, *waiting)?;
        let message = Message {
            code: view.code().0,
            path: view.target().to_string(),
            content_format: view.content_format(),
            payload,
            coap: Some(message.clone()),
            trusted: None,
        };
        turn.steps.push(Step::Submit { exchange, message });
        Ok(())
    }

    /// The request's whole body; `None` if this part was answered here.
    fn whole_body(
        &mut self,
        turn: &mut Turn<'_>,
        view: &MessageView<'_>,
        message: &Bytes,
        waiting: &mut Waiting,
    ) -> Result<Option<Bytes>, (Shed, Answer)> {
        waiting.target = target_of(view);
        waiting.block2 = view.block2();
        if let Some(kept) = self.kept_download(waiting.target, waiting.block2) {
            self.answer_now(turn, waiting, kept);
            return Ok(None);
        }
        let Some(block) = view.block1() else {
            return Ok(Some(message.slice_ref(view.payload())));
        };
        waiting.block1 = Some(block);
        match self.gather(turn, view, waiting.target, block) {
            Ok(Some(body)) => Ok(Some(body.into())),
            Ok(None) => {
                self.answer_now(turn, waiting, Answer::new(Code::CONTINUE));
                Ok(None)
            }
            Err(answer) => Err((Shed::Body, answer)),
        }
    }

    /// Remembers that the request is being answered.
    fn begin(&mut self, turn: &mut Turn<'_>, waiting: Waiting) -> Result<super::Exchange, (Shed, Answer)> {
        if !self.seen.make_room() {
            return Err((Shed::Busy, Answer::unavailable()));
        }
        let exchange = turn.shared.exchange();
        self.seen.wait(exchange, waiting, turn.now);
        Ok(exchange)
    }
}

/// Why a request goes no further, and what the device is told.
fn refusal(turn: &Turn<'_>, view: &MessageView<'_>, resource: Option<Resource>) -> Option<(Shed, Answer)> {
    if turn.applicant && resource.is_none() {
        return Some((Shed::Refused, Answer::because(Code::FORBIDDEN, "enrol first")));
    }
    let always_answered = [STATUS_PATH, ATTESTATION_PATH, KEY_PATH].iter().any(|path| view.path_is(path));
    if turn.access >= Access::Quarantined && !always_answered {
        return Some((Shed::Refused, Answer::refused(turn.access)));
    }
    let proxy = [OptionNumber::PROXY_URI, OptionNumber::PROXY_SCHEME];
    if proxy.iter().any(|number| view.option(*number).is_some()) {
        let answer = Answer::new(Code::PROXYING_NOT_SUPPORTED);
        return Some((Shed::Unsupported, answer));
    }
    let known = match turn.transparent && !always_answered && resource.is_none() {
        true => FORWARDED,
        false => ENDED_HERE,
    };
    let broken = |number| view.option(number).is_some_and(|value| Block::parse(value).is_none());
    let refused =
        view.unrecognized_critical(known).is_some() || broken(OptionNumber::BLOCK1) || broken(OptionNumber::BLOCK2);
    refused.then(|| {
        let answer = Answer::because(Code::BAD_OPTION, "critical option");
        (Shed::Unsupported, answer)
    })
}

/// Which body a block belongs to: method, target and Request-Tag (RFC 9175 section 3.3).
fn target_of(view: &MessageView<'_>) -> u32 {
    let method = [view.code().0];
    let target = view.target().to_string();
    let tags: Vec<&[u8]> = view.values(OptionNumber::REQUEST_TAG).collect();
    let parts = [&method[..], target.as_bytes()];
    kind_hash(&[&parts[..], &tags].concat())
}
