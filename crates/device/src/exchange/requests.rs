//! One request of ours from its first block to its last answer.

use alloc::vec::Vec;

use bartizan_dtls::Instant;
use bartizan_wire::coap::{self, Block, Builder, Code, MessageView, OptionNumber, Type, is_newer};

use super::text;
use crate::bounded::{copy, extend};
use crate::event::{ClientEvent, Failure, Request, RequestId};
use crate::limits::{BODY_BYTES_MAX, HOLD_OFF_S_MAX, TARGET_BYTES_MAX};

/// A request and how far it has come.
#[derive(Debug)]
pub(super) struct Pending {
    pub(super) id: RequestId,
    pub(super) request: Request,
    pub(super) wish: Wish,
    pub(super) phase: Phase,
    /// Names the request, and an observation, to the peer.
    pub(super) token: u16,
    /// Names the fetching of a notification's further blocks, which must not disturb the observation.
    pub(super) block_token: u16,
    /// How often the peer told us to come back later.
    pub(super) refusals: u8,
    /// It has been repeated over a new association already.
    pub(super) revived: bool,
    /// The value with which it proves that it is fresh (RFC 9175 section 2.3); empty if nobody asked for that.
    pub(super) echo: Vec<u8>,
    /// It has been repeated because the peer asked for a fresh one.
    refreshed: bool,
    upload: Upload,
    download: Download,
    /// Sequence number and arrival of the freshest notification.
    freshest: Option<(u32, Instant)>,
}

/// What a request says about observing.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Wish {
    Once,
    Observe,
    Forget,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Phase {
    /// Its next message waits for its turn.
    Waiting,
    /// Its message is out.
    Out { message_id: u16 },
    /// Acknowledged; the answer comes separately, or never.
    Acknowledged { until: Instant },
    /// The peer is busy.
    Deferred { until: Instant },
    /// The observation stands.
    Observing,
}

/// How much of the payload has been taken, and in blocks of which size.
#[derive(Clone, Copy, Debug)]
struct Upload {
    szx: u8,
    offset: usize,
    in_blocks: bool,
}

/// What has come of an answer in blocks.
#[derive(Debug, Default)]
struct Download {
    body: Vec<u8>,
    next: Option<Block>,
    etag: Vec<u8>,
}

/// What an answer means for a request.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Progress {
    /// Another message is needed.
    Again,
    /// The same message is needed again, with the Echo value that came.
    Fresh,
    /// The peer is busy for so many seconds; the answer, should we not want to come back.
    Busy(u32, ClientEvent),
    Done(ClientEvent),
    /// The observation stands; nothing to tell if the notification was stale.
    Observing(Option<ClientEvent>),
    Failed(Failure),
    /// Not an answer to this state; to be ignored.
    Stale,
}

impl Pending {
    pub(super) fn new(id: RequestId, request: Request, wish: Wish, tokens: [u16; 2], szx: u8) -> Self {
        let [token, block_token] = tokens;
        let in_blocks = request.payload.len() > 16 << szx;
        Self {
            id,
            request,
            wish,
            phase: Phase::Waiting,
            token,
            block_token,
            refusals: 0,
            revived: false,
            echo: Vec::new(),
            refreshed: false,
            upload: Upload { szx, offset: 0, in_blocks },
            download: Download::default(),
            freshest: None,
        }
    }

    pub(super) fn has_token(&self, token: &[u8]) -> bool {
        token == self.token.to_be_bytes() || token == self.block_token.to_be_bytes()
    }

    /// Forgets all progress: the request begins anew, perhaps over another association, to which no Echo value of this
    /// one may go (RFC 9175 section 2.3).
    pub(super) fn restart(&mut self) {
        self.echo.clear();
        self.refreshed = false;
        self.upload.offset = 0;
        self.download = Download::default();
        self.freshest = None;
        if !matches!(self.phase, Phase::Deferred { .. }) {
            self.phase = Phase::Waiting;
        }
    }

    /// When something about this request is due without the peer doing anything.
    pub(super) const fn due(&self) -> Option<Instant> {
        match self.phase {
            Phase::Acknowledged { until } | Phase::Deferred { until } => Some(until),
            Phase::Waiting | Phase::Out { .. } | Phase::Observing => None,
        }
    }

    /// Writes the next message.
    pub(super) fn build(&self, message_id: u16) -> Result<Vec<u8>, coap::Error> {
        let kind = if self.request.confirmable { Type::Confirmable } else { Type::NonConfirmable };
        let fetches_notification = self.download.next.is_some() && self.wish == Wish::Observe;
        let token = if fetches_notification { self.block_token } else { self.token };
        super::write(|out| {
            let builder = Builder::new(out, kind, self.request.method, message_id, &token.to_be_bytes())
                .target(&self.request.path);
            let builder = match self.echo.as_slice() {
                [] => builder,
                echo => builder.option(OptionNumber::ECHO, echo),
            };
            match self.download.next {
                Some(block) => builder.block2(block),
                None => self.build_body(builder),
            }
        })
    }

    /// The options and payload of a message that is not the fetching of a block.
    fn build_body<'a>(&self, mut builder: Builder<'a>) -> Builder<'a> {
        builder = match self.wish {
            Wish::Once => builder,
            Wish::Observe => builder.observe_register(true),
            Wish::Forget => builder.observe_register(false),
        };
        if let Some(format) = self.request.content_format {
            builder = builder.content_format(format);
        }
        let payload = &self.request.payload[..];
        if !self.upload.in_blocks {
            return builder.payload(payload);
        }
        let Some(block) = self.upload.block(payload.len()) else {
            return builder;
        };
        if block.num() == 0 {
            builder = builder.size1(u32::try_from(payload.len()).unwrap_or(u32::MAX));
        }
        let end = block.offset().saturating_add(block.size()).min(payload.len());
        builder.block1(block).payload(payload.get(block.offset()..end).unwrap_or(&[]))
    }

    /// Takes in an answer whose token is ours.
    pub(super) fn answer(&mut self, now: Instant, view: &MessageView<'_>) -> Progress {
        let known = [OptionNumber::BLOCK1, OptionNumber::BLOCK2];
        if view.unrecognized_critical(&known).is_some() {
            return Progress::Failed(Failure::Misbehaved);
        }
        if view.code() == Code::CONTINUE {
            return self.continue_upload(view);
        }
        if view.code() == Code::UNAUTHORIZED && self.refresh(view) {
            return Progress::Fresh;
        }
        if view.code() == Code::REQUEST_ENTITY_TOO_LARGE && self.shrink_blocks(view) {
            return Progress::Again;
        }
        if let Some(sequence) = view.observe().filter(|_| view.code().is_success())
            && self.wish == Wish::Observe
        {
            return self.notice(now, sequence, view);
        }
        match self.gather(view) {
            Gathered::More => Progress::Again,
            Gathered::Whole(payload) => self.conclude(view, payload),
            Gathered::Failed(failure) => Progress::Failed(failure),
            Gathered::Stale => Progress::Stale,
        }
    }

    /// 4.01 with an Echo value: the peer acts on the message only if it comes again with that value, which shows that it
    /// is fresh (RFC 9175 section 2.3). Once: who asks again and again is told no to.
    fn refresh(&mut self, view: &MessageView<'_>) -> bool {
        let Some(echo) = view.echo().filter(|_| !self.refreshed).and_then(copy) else {
            return false;
        };
        self.refreshed = true;
        self.echo = echo;
        true
    }

    /// 2.31: the next block of the payload, perhaps smaller (RFC 7959 section 2.3).
    fn continue_upload(&mut self, view: &MessageView<'_>) -> Progress {
        let length = self.request.payload.len();
        let (Some(sent), Some(taken)) = (self.upload.block(length), view.block1()) else {
            return Progress::Failed(Failure::Misbehaved);
        };
        if !self.upload.in_blocks || !sent.more() || taken.num() != sent.num() {
            return Progress::Stale;
        }
        self.upload.offset = sent.offset().saturating_add(sent.size());
        self.upload.szx = self.upload.szx.min(taken.szx());
        Progress::Again
    }

    /// 4.13 at the first block with a smaller size: begin again with that (RFC 7959 section 2.9.3).
    fn shrink_blocks(&mut self, view: &MessageView<'_>) -> bool {
        let Some(wanted) = view.block1() else {
            return false;
        };
        let smaller = !self.upload.in_blocks || wanted.szx() < self.upload.szx;
        if self.upload.offset > 0 || !smaller || self.request.payload.len() <= wanted.size() {
            return false;
        }
        self.upload.szx = wanted.szx();
        self.upload.in_blocks = true;
        true
    }

    /// A notification, or the first answer to a registration (RFC 7641 section 3.2).
    fn notice(&mut self, now: Instant, sequence: u32, view: &MessageView<'_>) -> Progress {
        let stale = self.freshest.is_some_and(|(old, at)| !is_newer(old, sequence, now.since(at)));
        if stale {
            return Progress::Observing(None);
        }
        self.freshest = Some((sequence, now));
        self.echo.clear();
        self.refreshed = false;
        self.download = Download::default();
        match self.gather(view) {
            Gathered::More => Progress::Again,
            Gathered::Whole(payload) => Progress::Observing(Some(self.notification(view, payload))),
            Gathered::Failed(failure) => Progress::Failed(failure),
            Gathered::Stale => Progress::Observing(None),
        }
    }

    fn notification(&self, view: &MessageView<'_>, payload: Vec<u8>) -> ClientEvent {
        ClientEvent::Notification {
            request: self.id,
            code: view.code(),
            content_format: view.content_format(),
            payload,
        }
    }

    /// The whole answer is there.
    fn conclude(&self, view: &MessageView<'_>, payload: Vec<u8>) -> Progress {
        let of_notification = view.token() == self.block_token.to_be_bytes();
        if self.wish == Wish::Observe && of_notification && view.code().is_success() {
            return Progress::Observing(Some(self.notification(view, payload)));
        }
        let response = ClientEvent::Response {
            request: self.id,
            code: view.code(),
            content_format: view.content_format(),
            payload,
            location: view.location().and_then(|location| text(&location, TARGET_BYTES_MAX)),
            max_age: view.max_age(),
        };
        match view.code() {
            Code::SERVICE_UNAVAILABLE | Code::TOO_MANY_REQUESTS => {
                // RFC 7252 section 5.10.5: the default of Max-Age is 60 s.
                let seconds = view.max_age().unwrap_or(60).min(HOLD_OFF_S_MAX);
                Progress::Busy(seconds, response)
            }
            _ => Progress::Done(response),
        }
    }

    /// Adds the payload to what came before (RFC 7959 section 2.4).
    fn gather(&mut self, view: &MessageView<'_>) -> Gathered {
        let Some(block) = view.block2() else {
            self.download = Download::default();
            return copy(view.payload()).map_or(Gathered::Failed(Failure::TooLarge), Gathered::Whole);
        };
        let etag = view.option(OptionNumber::ETAG).unwrap_or(&[]);
        if block.offset() != self.download.body.len() {
            return Gathered::Stale;
        }
        if block.num() == 0 {
            self.download.etag = copy(etag).unwrap_or_default();
        } else if self.download.etag != etag {
            // The resource changed under our hands.
            return Gathered::Failed(Failure::Misbehaved);
        }
        let whole_block = !block.more() || view.payload().len() == block.size();
        if !whole_block {
            return Gathered::Failed(Failure::Misbehaved);
        }
        if !extend(&mut self.download.body, view.payload(), BODY_BYTES_MAX) {
            return Gathered::Failed(Failure::TooLarge);
        }
        if !block.more() {
            return Gathered::Whole(core::mem::take(&mut self.download).body);
        }
        self.download.next = Block::new(block.num().saturating_add(1), false, block.szx());
        match self.download.next {
            Some(_) => Gathered::More,
            None => Gathered::Failed(Failure::TooLarge),
        }
    }
}

enum Gathered {
    More,
    Whole(Vec<u8>),
    Failed(Failure),
    /// A block that we have, or that is not its turn.
    Stale,
}

impl Upload {
    /// The block to be sent now.
    fn block(&self, length: usize) -> Option<Block> {
        let num = u32::try_from(self.offset >> (self.szx + 4)).ok()?;
        let more = self.offset.saturating_add(16 << self.szx) < length;
        Block::new(num, more, self.szx)
    }
}
