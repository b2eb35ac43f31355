//! Requests of the peer: commands, reads, observations.

use alloc::string::String;
use alloc::vec::Vec;

use bartizan_dtls::Instant;
use bartizan_wire::coap::{
    Block, Builder, Code, MessageView, OBSERVE_DEREGISTER, OBSERVE_REGISTER, OptionNumber, Type, empty,
};

use super::blocks::{Assembled, Assembly, Offered, Piece, cut};
use super::observers::Observer;
use super::reliable::{Outbound, Purpose};
use super::seen::EXCHANGE_LIFETIME_MS;
use super::{Endpoint, text, write};
use crate::bounded::{copy, copy_text};
use crate::error::Error;
use crate::event::{ClientEvent, Command, IncomingId, Observe, Reply};
use crate::limits::{BODY_BYTES_MAX, TARGET_BYTES_MAX};

/// A confirmable notification at least this often (RFC 7641 section 4.5), in milliseconds.
const CONFIRM_MS_MAX: u64 = 24 * 60 * 60 * 1000;
/// What a device with too much to do asks the peer to wait, in seconds.
const BUSY_S: u32 = 30;

/// A request that waits for the application's answer.
#[derive(Debug)]
pub(super) struct Incoming {
    id: IncomingId,
    envelope: Envelope,
    method: Code,
    target: String,
    observe: Option<Observe>,
    /// An Empty acknowledgement has left, so the answer comes separately.
    acknowledged: bool,
    ack_due: Instant,
    expires: Instant,
}

/// What an answer must carry back.
#[derive(Debug)]
struct Envelope {
    confirmable: bool,
    message_id: u16,
    token: Vec<u8>,
    block1: Option<Block>,
    /// Size exponent of the blocks that the peer wants.
    szx: u8,
}

impl Incoming {
    pub(super) const fn due(&self) -> Instant {
        if self.envelope.confirmable && !self.acknowledged { self.ack_due } else { self.expires }
    }
}

/// Critical options that a request to us may carry.
const KNOWN: [OptionNumber; 8] = [
    OptionNumber::URI_HOST,
    OptionNumber::URI_PORT,
    OptionNumber::URI_PATH,
    OptionNumber::URI_QUERY,
    OptionNumber::ACCEPT,
    OptionNumber::BLOCK1,
    OptionNumber::BLOCK2,
    OptionNumber::PROXY_SCHEME,
];

impl Endpoint {
    /// Takes in a request that was not seen before.
    pub(super) fn serve(&mut self, now: Instant, view: &MessageView<'_>) {
        let Some(token) = copy(view.token()) else {
            return;
        };
        let asked = view.block2();
        let own_szx = self.block_szx(0);
        let envelope = Envelope {
            confirmable: view.kind() == Type::Confirmable,
            message_id: view.message_id(),
            token,
            block1: view.block1(),
            szx: asked.map_or(own_szx, |block| block.szx().min(own_szx)),
        };
        if view.unrecognized_critical(&KNOWN).is_some() {
            self.refuse(&envelope, Code::BAD_OPTION);
            return;
        }
        let Some(target) = text(&view.target(), TARGET_BYTES_MAX) else {
            self.refuse(&envelope, Code::BAD_REQUEST);
            return;
        };
        match asked {
            Some(block) if block.num() > 0 => self.continue_offer(now, envelope, view, &target, block),
            _ => self.receive_body(now, envelope, view, target),
        }
    }

    /// A further block of an answer that was given before.
    fn continue_offer(&mut self, now: Instant, envelope: Envelope, view: &MessageView<'_>, target: &str, asked: Block) {
        let message_id = self.answer_id(&envelope);
        let piece = self.offered.as_ref().and_then(|offered| offered.piece(now, (view.code(), target), asked));
        let message = piece.and_then(|piece| envelope.write_piece(message_id, &piece, None));
        match message {
            Some(message) => self.answer_at_once(envelope.message_id, &message),
            None => self.refuse(&envelope, Code::REQUEST_ENTITY_INCOMPLETE),
        }
    }

    /// Joins a body in blocks; a whole request goes to the application.
    fn receive_body(&mut self, now: Instant, envelope: Envelope, view: &MessageView<'_>, target: String) {
        let Some(block) = view.block1() else {
            match copy(view.payload()) {
                Some(payload) => self.command(now, envelope, view, target, payload),
                None => self.refuse(&envelope, Code::SERVICE_UNAVAILABLE),
            }
            return;
        };
        let key = (view.code(), &target[..]);
        match Assembly::take(&mut self.assembly, now, key, block, view.payload()) {
            Assembled::Whole(body) => self.command(now, envelope, view, target, body),
            Assembled::More => self.refuse(&envelope, Code::CONTINUE),
            Assembled::Gap => self.refuse(&envelope, Code::REQUEST_ENTITY_INCOMPLETE),
            Assembled::TooLarge => self.refuse(&envelope, Code::REQUEST_ENTITY_TOO_LARGE),
        }
    }

    fn command(&mut self, now: Instant, envelope: Envelope, view: &MessageView<'_>, target: String, payload: Vec<u8>) {
        if self.incoming.is_full() || self.events.is_full() {
            self.refuse(&envelope, Code::SERVICE_UNAVAILABLE);
            return;
        }
        let Some(path) = copy_text(&target) else {
            self.refuse(&envelope, Code::SERVICE_UNAVAILABLE);
            return;
        };
        let id = IncomingId(self.take_id());
        let observe = observe_of(view);
        if observe == Some(Observe::Deregister)
            && let Some(observer) = self.observers.with_token(view.token(), &target)
        {
            self.lose_observer(observer);
        }
        let waiting = self.incoming.push(Incoming {
            id,
            envelope,
            method: view.code(),
            target,
            observe,
            acknowledged: false,
            ack_due: now.plus(self.config.ack_delay_ms),
            expires: now.plus(EXCHANGE_LIFETIME_MS),
        });
        if let Err(incoming) = waiting {
            self.refuse(&incoming.envelope, Code::SERVICE_UNAVAILABLE);
            return;
        }
        self.events.push_over(ClientEvent::Command(Command {
            id,
            method: view.code(),
            path,
            content_format: view.content_format(),
            accept: view.accept(),
            payload,
            observe,
        }));
    }

    /// Answers a command.
    ///
    /// # Errors
    /// `Misuse` if there is no such command (any more) or the reply cannot be expressed.
    pub fn respond(&mut self, now: Instant, id: IncomingId, reply: &Reply) -> Result<(), Error> {
        check(reply)?;
        let incoming = self.incoming.take(|incoming| incoming.id == id).ok_or(Error::Misuse("no such command"))?;
        let registers = incoming.observe == Some(Observe::Register) && reply.code.is_success();
        let sequence = if registers { self.add_observer(now, &incoming) } else { None };
        let envelope = &incoming.envelope;
        let piece = self.offer(now, incoming.method, &incoming.target, reply, envelope.szx)?;
        let separate = envelope.confirmable && incoming.acknowledged;
        let message_id = if separate { self.take_message_id() } else { self.answer_id(envelope) };
        let kind = if separate { Type::Confirmable } else { envelope.kind() };
        let message =
            envelope.write(kind, message_id, &piece, sequence).ok_or(Error::Misuse("the reply cannot be expressed"))?;
        if !separate {
            self.answer_at_once(envelope.message_id, &message);
            return Ok(());
        }
        self.reliable
            .enqueue(Outbound { purpose: Purpose::Response, message_id, bytes: message })
            .map_err(|_| Error::Unavailable("too many answers wait"))
    }

    /// Tells an observer the new state of its resource.
    ///
    /// # Errors
    /// `Misuse` if nobody observes (any more) or the reply cannot be expressed.
    pub fn notify(
        &mut self,
        now: Instant,
        observer: IncomingId,
        reply: &Reply,
        confirmable: bool,
    ) -> Result<(), Error> {
        check(reply)?;
        let message_id = self.take_message_id();
        let szx = self.block_szx(0);
        let known = self.observers.find_mut(observer);
        let known = known.ok_or(Error::Misuse("nobody observes"))?;
        let confirmable = confirmable || now.since(known.confirmed) >= CONFIRM_MS_MAX;
        if confirmable {
            known.confirmed = now;
        }
        known.sequence = known.sequence.wrapping_add(1) & 0x00ff_ffff;
        known.message_id = Some(message_id);
        let sequence = known.sequence;
        let envelope = Envelope {
            confirmable,
            message_id,
            token: copy(&known.token).ok_or(Error::Unavailable("memory is short"))?,
            block1: None,
            szx,
        };
        let target = copy_text(&known.target).ok_or(Error::Unavailable("memory is short"))?;
        let piece = self.offer(now, Code::GET, &target, reply, szx)?;
        let kind = if confirmable { Type::Confirmable } else { Type::NonConfirmable };
        let bytes = envelope
            .write(kind, message_id, &piece, Some(sequence))
            .ok_or(Error::Misuse("the reply cannot be expressed"))?;
        if !reply.code.is_success() {
            // An error ends the observation (RFC 7641 section 4.2).
            self.lose_observer(observer);
        }
        if !confirmable {
            self.ready.push_over(bytes);
            return Ok(());
        }
        let purpose = Purpose::Notification(observer);
        self.reliable
            .enqueue(Outbound { purpose, message_id, bytes })
            .map_err(|_| Error::Unavailable("too many notifications wait"))
    }

    /// The first block of a reply; the whole is kept if it has more.
    fn offer<'r>(
        &mut self,
        now: Instant,
        method: Code,
        target: &str,
        reply: &'r Reply,
        szx: u8,
    ) -> Result<Piece<'r>, Error> {
        let piece = cut(reply, 0, szx).ok_or(Error::Misuse("the reply cannot be cut"))?;
        if piece.block.more() {
            self.offered = Offered::new(now, method, target, reply);
        }
        Ok(piece)
    }

    fn add_observer(&mut self, now: Instant, incoming: &Incoming) -> Option<u32> {
        let observer = Observer {
            id: incoming.id,
            token: copy(&incoming.envelope.token)?,
            target: copy_text(&incoming.target)?,
            sequence: 0,
            message_id: None,
            confirmed: now,
        };
        let replaced = self.observers.add(observer).ok()?;
        if let Some(observer) = replaced {
            self.events.push_over(ClientEvent::ObserverGone { observer });
        }
        let known = self.observers.find_mut(incoming.id)?;
        known.sequence = known.sequence.wrapping_add(1) & 0x00ff_ffff;
        Some(known.sequence)
    }

    pub(super) fn lose_observer(&mut self, observer: IncomingId) {
        self.reliable.forget(Purpose::Notification(observer));
        if self.observers.remove(observer) {
            self.events.push_over(ClientEvent::ObserverGone { observer });
        }
    }

    /// Acknowledges what the application has not answered in time, and forgets what it never answered.
    pub(super) fn age_incoming(&mut self, now: Instant) {
        while self.incoming.take(|incoming| incoming.expires <= now).is_some() {}
        let late = |incoming: &Incoming| incoming.due() <= now;
        while let Some(incoming) = self.incoming.find_mut(late) {
            incoming.acknowledged = true;
            let message_id = incoming.envelope.message_id;
            self.answer_at_once(message_id, &empty(Type::Acknowledgement, message_id));
        }
    }

    /// Answers at once with a code alone; 2.31 is one of these, too.
    fn refuse(&mut self, envelope: &Envelope, code: Code) {
        let message_id = self.answer_id(envelope);
        if let Some(message) = envelope.write_code(message_id, code) {
            self.answer_at_once(envelope.message_id, &message);
        }
    }

    /// A piggybacked answer has the message id of its request, any other one its own.
    const fn answer_id(&mut self, envelope: &Envelope) -> u16 {
        if envelope.confirmable { envelope.message_id } else { self.take_message_id() }
    }
}

/// What a GET says about observing; other methods and values say nothing (RFC 7641 section 2).
fn observe_of(view: &MessageView<'_>) -> Option<Observe> {
    match (view.code(), view.observe()) {
        (Code::GET, Some(OBSERVE_REGISTER)) => Some(Observe::Register),
        (Code::GET, Some(OBSERVE_DEREGISTER)) => Some(Observe::Deregister),
        _ => None,
    }
}

fn check(reply: &Reply) -> Result<(), Error> {
    if !reply.code.is_response() {
        return Err(Error::Misuse("the code is not a response"));
    }
    if reply.payload.len() > BODY_BYTES_MAX {
        return Err(Error::Misuse("the payload is too large"));
    }
    Ok(())
}

impl Envelope {
    /// The type of an answer that leaves at once.
    const fn kind(&self) -> Type {
        if self.confirmable { Type::Acknowledgement } else { Type::NonConfirmable }
    }

    fn write_piece(&self, message_id: u16, piece: &Piece<'_>, observe: Option<u32>) -> Option<Vec<u8>> {
        self.write(self.kind(), message_id, piece, observe)
    }

    fn write(&self, kind: Type, message_id: u16, piece: &Piece<'_>, observe: Option<u32>) -> Option<Vec<u8>> {
        write(|out| {
            let mut builder = Builder::new(out, kind, piece.reply.code, message_id, &self.token);
            if let Some(format) = piece.reply.content_format {
                builder = builder.content_format(format);
            }
            if let Some(sequence) = observe {
                builder = builder.observe(sequence);
            }
            if let Some(block) = self.block1 {
                builder = builder.block1(block);
            }
            if piece.block.more() || piece.block.num() > 0 {
                builder = builder.block2(piece.block).option(OptionNumber::ETAG, &piece.etag);
            }
            builder.payload(piece.payload)
        })
        .ok()
    }

    fn write_code(&self, message_id: u16, code: Code) -> Option<Vec<u8>> {
        write(|out| {
            let mut builder = Builder::new(out, self.kind(), code, message_id, &self.token);
            if let Some(block) = self.block1.filter(|_| code != Code::BAD_OPTION) {
                builder = builder.block1(block);
            }
            match code {
                Code::SERVICE_UNAVAILABLE => builder.max_age(BUSY_S),
                Code::REQUEST_ENTITY_TOO_LARGE => builder.size1(BODY_BYTES_MAX as u32),
                _ => builder,
            }
        })
        .ok()
    }
}
