//! What an application asks of the gateway, what it is asked, and what it is told.

use alloc::string::String;
use alloc::vec::Vec;

use bartizan_dtls::{CipherSuite, CloseReason, Instant};
use bartizan_wire::coap::Code;

use crate::client::Psk;

/// A request to the gateway.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Request {
    pub method: Code,
    /// Path and query: `/meter/volume?unit=l`, percent-encoded where needed.
    pub path: String,
    pub content_format: Option<u16>,
    /// Up to [`BODY_BYTES_MAX`](crate::limits::BODY_BYTES_MAX); larger than a block, it travels in blocks.
    pub payload: Vec<u8>,
    /// Repeated until acknowledged; otherwise sent once, and a lost answer is a [`Failure::TimedOut`].
    pub confirmable: bool,
}

impl Request {
    /// A confirmable POST: the usual report.
    #[must_use]
    pub fn post(path: &str, content_format: u16, payload: &[u8]) -> Self {
        Self {
            method: Code::POST,
            path: path.into(),
            content_format: Some(content_format),
            payload: payload.into(),
            confirmable: true,
        }
    }

    /// A confirmable GET.
    #[must_use]
    pub fn get(path: &str) -> Self {
        Self { method: Code::GET, path: path.into(), content_format: None, payload: Vec::new(), confirmable: true }
    }
}

/// Names a request of ours in the events about it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct RequestId(pub(crate) u32);

/// Names a request of the gateway, and the observation that it may have begun.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct IncomingId(pub(crate) u32);

/// What the application is told. [`ClientEvent::Response`] or [`ClientEvent::Failed`] is the last word on
/// every request.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum ClientEvent {
    /// The association stands. `connection_id`: our address may change without a new handshake.
    Connected { suite: CipherSuite, connection_id: bool },
    /// The gateway's final answer.
    Response {
        request: RequestId,
        code: Code,
        content_format: Option<u16>,
        payload: Vec<u8>,
        /// Location-Path and Location-Query as text, as an LwM2M registration returns it.
        location: Option<String>,
        /// Max-Age in seconds, if it was said.
        max_age: Option<u32>,
    },
    /// A fresh value of a resource that we observe; more will come.
    Notification { request: RequestId, code: Code, content_format: Option<u16>, payload: Vec<u8> },
    /// The gateway asks something of the device; answer with `respond`.
    Command(Command),
    /// The gateway no longer wants to hear about a resource of ours.
    ObserverGone { observer: IncomingId },
    /// The gateway is busy; the request is repeated by itself at `until`.
    Deferred { request: RequestId, until: Instant },
    /// There will be no answer.
    Failed { request: RequestId, reason: Failure },
    /// Another pre-shared key. Store it, then [`Client::use_key`](crate::Client::use_key).
    NewKey { request: RequestId, key: Psk },
    /// A handshake with the new key has come to its end: the old one is good no more, and may be erased.
    KeyProven,
    /// The association ended. With `retry_at`, a new handshake is begun then.
    Disconnected { reason: CloseReason, retry_at: Option<Instant> },
}

/// A request of the gateway: a downlink command, a read, or the wish to observe.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Command {
    pub id: IncomingId,
    pub method: Code,
    /// Path and query as text, percent-encoded.
    pub path: String,
    pub content_format: Option<u16>,
    pub accept: Option<u16>,
    pub payload: Vec<u8>,
    pub observe: Option<Observe>,
}

/// What a GET of the gateway says about observing (RFC 7641 section 2).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Observe {
    /// Answered with success, the observation stands and `notify` may be called.
    Register,
    Deregister,
}

/// An answer to a command, or a notification.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Reply {
    pub code: Code,
    pub content_format: Option<u16>,
    pub payload: Vec<u8>,
}

impl Reply {
    #[must_use]
    pub const fn new(code: Code) -> Self {
        Self { code, content_format: None, payload: Vec::new() }
    }

    /// 2.05 with a payload.
    #[must_use]
    pub fn content(content_format: u16, payload: &[u8]) -> Self {
        Self { code: Code::CONTENT, content_format: Some(content_format), payload: payload.into() }
    }
}

/// Why a request will have no answer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Failure {
    /// No answer after all repetitions, also not over a new association.
    TimedOut,
    /// The gateway rejected the message with a Reset.
    Reset,
    /// The answer breaks a rule: an unknown critical option, blocks that do not fit together.
    Misbehaved,
    /// The answer is larger than the device takes.
    TooLarge,
    /// No association could be made.
    Unreachable,
    /// The application cancelled it.
    Cancelled,
}
