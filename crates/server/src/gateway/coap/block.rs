//! Bodies in parts, where the gateway is the end of the blocks (RFC 7959).

use bartizan_wire::coap::{Block, Code, MessageView};
use bytes::Bytes;

use super::answer::Answer;
use super::seen::EXCHANGE_LIFETIME_MS;
use super::{Peer, Turn};
use crate::limits::{COAP_BODIES_BYTES_MAX, COAP_BODY_BYTES_MAX};

/// How much of the shared memory for bodies in parts is in use.
pub struct Bodies {
    bytes: usize,
}

impl Bodies {
    #[must_use]
    pub const fn new() -> Self {
        Self { bytes: 0 }
    }

    /// Bytes of all bodies held.
    #[must_use]
    pub const fn bytes(&self) -> usize {
        self.bytes
    }

    const fn take(&mut self, bytes: usize) -> bool {
        let fits = self.bytes + bytes <= COAP_BODIES_BYTES_MAX;
        if fits {
            self.bytes += bytes;
        }
        fits
    }

    pub(super) const fn give_back(&mut self, bytes: usize) {
        self.bytes = self.bytes.saturating_sub(bytes);
    }
}

impl Default for Bodies {
    fn default() -> Self {
        Self::new()
    }
}

/// A request body that arrives in parts.
pub struct Upload {
    target: u32,
    body: Vec<u8>,
    until: u64,
}

impl Upload {
    pub const fn until(&self) -> u64 {
        self.until
    }

    pub const fn bytes(&self) -> usize {
        self.body.len()
    }
}

/// A response body that leaves in parts.
pub struct Download {
    target: u32,
    answer: Answer,
    until: u64,
}

impl Download {
    pub const fn until(&self) -> u64 {
        self.until
    }

    pub const fn bytes(&self) -> usize {
        self.answer.payload.len()
    }
}

impl Peer {
    /// Adds a request's block to its body. `Ok(Some)` is the whole body; `Ok(None)` asks for more.
    ///
    /// # Errors
    /// What the device is told instead: 4.08 for a block that does not follow, 4.13 for a body that is too
    /// long, 4.00 for a block that breaks the rules, 5.03 when all devices' bodies together are too much.
    pub(super) fn gather(
        &mut self,
        turn: &mut Turn<'_>,
        view: &MessageView<'_>,
        target: u32,
        block: Block,
    ) -> Result<Option<Vec<u8>>, Answer> {
        if block.num() == 0 {
            self.begin_upload(turn, target);
        }
        let gathered = self.add_block(turn, view, target, block);
        if !matches!(gathered, Ok(None)) {
            self.end_upload(turn);
        }
        gathered
    }

    fn add_block(
        &mut self,
        turn: &mut Turn<'_>,
        view: &MessageView<'_>,
        target: u32,
        block: Block,
    ) -> Result<Option<Vec<u8>>, Answer> {
        let payload = view.payload();
        let Some(upload) = self.upload.as_mut().filter(|upload| upload.target == target) else {
            return Err(Answer::because(Code::REQUEST_ENTITY_INCOMPLETE, "start again"));
        };
        if block.offset() != upload.body.len() {
            return Err(Answer::because(Code::REQUEST_ENTITY_INCOMPLETE, "missing block"));
        }
        if payload.len() > block.size() || (block.more() && payload.len() < block.size()) {
            return Err(Answer::because(Code::BAD_REQUEST, "block size"));
        }
        let announced = view.size1().unwrap_or(0) as usize;
        if (upload.body.len() + payload.len()).max(announced) > COAP_BODY_BYTES_MAX {
            return Err(Answer::because(Code::REQUEST_ENTITY_TOO_LARGE, "too long"));
        }
        if !turn.shared.bodies.take(payload.len()) {
            return Err(Answer::unavailable());
        }
        upload.body.extend_from_slice(payload);
        upload.until = turn.now + EXCHANGE_LIFETIME_MS;
        match block.more() {
            true => Ok(None),
            false => Ok(Some(upload.body.clone())),
        }
    }

    fn begin_upload(&mut self, turn: &mut Turn<'_>, target: u32) {
        self.end_upload(turn);
        self.upload = Some(Upload { target, body: Vec::new(), until: turn.now + EXCHANGE_LIFETIME_MS });
    }

    fn end_upload(&mut self, turn: &mut Turn<'_>) {
        if let Some(upload) = self.upload.take() {
            turn.shared.bodies.give_back(upload.bytes());
        }
    }

    /// Keeps a whole body for the requests of its other parts, as far as the shared memory allows: a device
    /// that finds it gone asks the upstream again.
    pub(super) fn keep_download(&mut self, turn: &mut Turn<'_>, target: u32, answer: &Answer, whole: Bytes) {
        if let Some(before) = self.download.take() {
            turn.shared.bodies.give_back(before.bytes());
        }
        if whole.len() > COAP_BODY_BYTES_MAX || !turn.shared.bodies.take(whole.len()) {
            return;
        }
        self.download = Some(Download {
            target,
            answer: Answer { payload: whole, ..answer.clone() },
            until: turn.now + EXCHANGE_LIFETIME_MS,
        });
    }

    /// The kept body that a later part is asked of.
    pub(super) fn kept_download(&self, target: u32, block: Option<Block>) -> Option<Answer> {
        let later = block.is_some_and(|block| block.num() > 0);
        let kept = self.download.as_ref()?;
        (later && kept.target == target).then(|| kept.answer.clone())
    }
}
