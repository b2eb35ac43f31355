//! Bodies larger than a message, on the serving side (RFC 7959).

use alloc::string::String;
use alloc::vec::Vec;

use bartizan_dtls::Instant;
use bartizan_wire::coap::{Block, Code};
use bartizan_wire::event::kind_hash;

use super::seen::EXCHANGE_LIFETIME_MS;
use crate::bounded::{copy, copy_text, extend};
use crate::event::Reply;
use crate::limits::BODY_BYTES_MAX;

/// A request's body that is coming in. One at a time: a device has one peer.
#[derive(Debug)]
pub(super) struct Assembly {
    method: Code,
    target: String,
    body: Vec<u8>,
    at: Instant,
}

/// What a block did to the assembly.
pub(super) enum Assembled {
    /// 2.31: more is awaited.
    More,
    Whole(Vec<u8>),
    /// 4.08: not the block that was awaited.
    Gap,
    /// 4.13: more than we take.
    TooLarge,
}

impl Assembly {
    /// Adds a block to `place`, which a first block begins anew.
    pub(super) fn take(
        place: &mut Option<Self>,
        now: Instant,
        (method, target): (Code, &str),
        block: Block,
        payload: &[u8],
    ) -> Assembled {
        if block.num() == 0 {
            *place = copy_text(target).map(|target| Self { method, target, body: Vec::new(), at: now });
        }
        let same = |known: &&mut Self| {
            known.method == method
                && known.target == target
                && known.body.len() == block.offset()
                && now.since(known.at) < EXCHANGE_LIFETIME_MS
        };
        let Some(known) = place.as_mut().filter(same) else {
            return Assembled::Gap;
        };
        if block.more() && payload.len() != block.size() {
            return Assembled::Gap;
        }
        if !extend(&mut known.body, payload, BODY_BYTES_MAX) {
            *place = None;
            return Assembled::TooLarge;
        }
        known.at = now;
        if block.more() {
            return Assembled::More;
        }
        let whole = core::mem::take(&mut known.body);
        *place = None;
        Assembled::Whole(whole)
    }
}

/// The latest answer that did not fit one message, for the requests of its further blocks.
#[derive(Debug)]
pub(super) struct Offered {
    method: Code,
    target: String,
    reply: Reply,
    at: Instant,
}

/// One block of an offered answer.
pub(super) struct Piece<'a> {
    pub(super) reply: &'a Reply,
    pub(super) payload: &'a [u8],
    pub(super) block: Block,
    pub(super) etag: [u8; 4],
}

impl Offered {
    pub(super) fn new(now: Instant, method: Code, target: &str, reply: &Reply) -> Option<Self> {
        Some(Self {
            method,
            target: copy_text(target)?,
            reply: Reply { code: reply.code, content_format: reply.content_format, payload: copy(&reply.payload)? },
            at: now,
        })
    }

    /// The asked block, if it is one of this answer.
    pub(super) fn piece(&self, now: Instant, (method, target): (Code, &str), asked: Block) -> Option<Piece<'_>> {
        let same = self.method == method && self.target == target && now.since(self.at) < EXCHANGE_LIFETIME_MS;
        same.then(|| cut(&self.reply, asked.num(), asked.szx()))?
    }
}

/// Block `num` of a reply.
pub(super) fn cut(reply: &Reply, num: u32, szx: u8) -> Option<Piece<'_>> {
    let block = Block::new(num, false, szx)?;
    let end = block.offset().saturating_add(block.size());
    let more = end < reply.payload.len();
    let payload = reply.payload.get(block.offset()..end.min(reply.payload.len()))?;
    Some(Piece {
        reply,
        payload,
        block: Block::new(num, more, szx)?,
        // A hash is enough: it only tells a changed body from the one whose blocks are being fetched.
        etag: kind_hash(&[&reply.payload]).to_be_bytes(),
    })
}
