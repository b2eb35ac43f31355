//! Commands on their way to the device.
//!
//! Token and message id follow from the command's number: a command that is sent again, even after a restart
//! of the server, is recognised by the device, and its answer by us.

use bartizan_wire::coap::{Block, Builder, Code, MessageView, Type};
use bartizan_wire::event::kind_hash;
use bartizan_wire::{Access, CommandId};
use bytes::Bytes;

use super::answer::moved;
use super::seen::{EXCHANGE_LIFETIME_MS, Token};
use super::sent::Purpose;
use super::{Peer, Step, Turn};
use crate::app::PendingCommand;

/// First bytes of the tokens of our own commands.
const TOKEN_PREFIX: [u8; 2] = [0xba, 0x52];
/// Bodies longer than this go in blocks of this many bytes.
const BLOCK_BYTES: usize = 512;

/// A command that left and was not answered yet.
pub struct Command {
    pub id: CommandId,
    token: Token,
    /// When the answer is no longer waited for.
    pub until: u64,
    /// What is left to say when the body goes in blocks.
    blocks: Option<Box<Blocks>>,
}

struct Blocks {
    command: PendingCommand,
    number: u32,
}

impl Peer {
    /// Whether a command may leave now: one at a time (RFC 7252 section 4.7: NSTART is 1).
    #[must_use]
    pub fn takes_command(&self) -> bool {
        self.commands.is_empty()
    }

    /// Sends a command and repeats it while the device may be awake. `false` if it cannot be written as a
    /// CoAP request.
    pub fn command(&mut self, turn: &mut Turn<'_>, command: &PendingCommand) -> bool {
        if turn.access != Access::Full {
            return true; // it stays queued
        }
        let message_id = kind_hash(&[&command.id.0.to_be_bytes()]) as u16;
        let (token, message) = match &command.coap {
            Some(coap) => forwarded(coap, message_id),
            None => own(command, message_id, 0),
        };
        let Some(message) = message else {
            return false;
        };
        let long = command.coap.is_none() && command.payload.len() > BLOCK_BYTES;
        self.commands.push(Command {
            id: command.id,
            token,
            until: turn.now + EXCHANGE_LIFETIME_MS,
            blocks: long.then(|| Box::new(Blocks { command: command.clone(), number: 0 })),
        });
        let purpose = Purpose::Command(command.id);
        self.sent.send(turn, message_id, purpose, message);
        true
    }

    /// Takes a response to a command; `false` if it answers none.
    pub(super) fn answers_command(&mut self, turn: &mut Turn<'_>, view: &MessageView<'_>, message: &Bytes) -> bool {
        let token = Token::new(view.token());
        let known = self.commands.iter().position(|known| known.token == token);
        let id = match known {
            Some(at) => self.commands[at].id,
            // Sent before a restart, or so long ago that we no longer wait.
            None => match own_command(token) {
                Some(id) => id,
                None => return false,
            },
        };
        if view.kind() == Type::Confirmable {
            turn.send_empty(Type::Acknowledgement, view.message_id());
        }
        self.sent.stop(Purpose::Command(id));
        if let Some(at) = known {
            if view.code() == Code::CONTINUE && self.send_next_block(turn, at, view) {
                return true;
            }
            self.commands.remove(at);
        }
        turn.steps.push(Step::Answered {
            command: id,
            code: view.code(),
            coap: message.clone(),
            forwarded: own_command(token).is_none(),
        });
        true
    }

    /// After 2.31 Continue: the next block; `false` if there is none to send.
    fn send_next_block(&mut self, turn: &mut Turn<'_>, at: usize, view: &MessageView<'_>) -> bool {
        let Some(blocks) = &mut self.commands[at].blocks else {
            return false;
        };
        if view.block1().map(Block::num) != Some(blocks.number) {
            return false;
        }
        blocks.number += 1;
        let message_id = self.sent.next_id(turn.shared);
        let (_, message) = own(&blocks.command, message_id, blocks.number);
        let id = blocks.command.id;
        let Some(message) = message else {
            return false;
        };
        self.commands[at].until = turn.now + EXCHANGE_LIFETIME_MS;
        self.sent.send(turn, message_id, Purpose::Command(id), message);
        true
    }

    /// The device sent a Reset for a command.
    pub(super) fn reset_command(&mut self, turn: &mut Turn<'_>, command: CommandId) {
        self.commands.retain(|known| known.id != command);
        turn.steps.push(Step::Reset { command });
    }

    /// Gives up commands that the device does not answer: they wait for its next record.
    pub(super) fn unanswered(&mut self, now: u64, given_up: &[Purpose]) {
        self.commands.retain(|known| known.until > now && !given_up.contains(&Purpose::Command(known.id)));
    }
}

/// The upstream's request under our message id; its token stays, so that the answer finds the way back.
fn forwarded(coap: &[u8], message_id: u16) -> (Token, Option<Vec<u8>>) {
    match MessageView::parse(coap) {
        Ok(view) if view.code().is_request() => {
            (Token::new(view.token()), moved(coap, Type::Confirmable, message_id, view.token()))
        }
        _ => (Token::default(), None),
    }
}

/// A command of our own, or block `number` of it.
fn own(command: &PendingCommand, message_id: u16, number: u32) -> (Token, Option<Vec<u8>>) {
    let token = own_token(command.id);
    let mut buffer = vec![0; 1100 + command.path.len() + BLOCK_BYTES];
    let mut builder = Builder::new(&mut buffer, Type::Confirmable, Code(command.method), message_id, token.as_slice())
        .target(&command.path);
    if let Some(format) = command.content_format {
        builder = builder.content_format(format);
    }
    let length = match part(&command.payload, number) {
        Some((block, payload)) => builder.block1(block).payload(payload).finish(),
        None => builder.payload(&command.payload).finish(),
    };
    let length = length.ok().map(<[u8]>::len);
    let message = length.map(|length| {
        buffer.truncate(length);
        buffer
    });
    (token, message)
}

/// Block `number` of a body that is too long for one message.
fn part(body: &[u8], number: u32) -> Option<(Block, &[u8])> {
    if body.len() <= BLOCK_BYTES {
        return None;
    }
    let start = number as usize * BLOCK_BYTES;
    let end = body.len().min(start + BLOCK_BYTES);
    let block = Block::new(number, end < body.len(), Block::szx_for(BLOCK_BYTES))?;
    Some((block, body.get(start..end)?))
}

fn own_token(command: CommandId) -> Token {
    let [_, _, rest @ ..] = command.0.to_be_bytes();
    Token::new(&[&TOKEN_PREFIX[..], &rest].concat())
}

fn own_command(token: Token) -> Option<CommandId> {
    let bytes: [u8; 8] = token.as_slice().try_into().ok()?;
    let rest = bytes.strip_prefix(&TOKEN_PREFIX)?;
    let number = rest.iter().fold(0, |number, byte| (number << 8) | u64::from(*byte));
    Some(CommandId(number))
}
