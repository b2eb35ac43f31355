//! The bounds of the SDK, in one place. A peer cannot make a device hold more than these.

/// Requests of ours that are under way or waiting, observations included.
pub const REQUESTS_MAX: usize = 16;
/// Messages that may be unanswered at once, whatever is configured.
pub const NSTART_MAX: usize = 8;
/// Requests of the gateway that wait for our answer.
pub const INCOMING_MAX: usize = 8;
/// Resources of ours that the gateway observes.
pub const OBSERVERS_MAX: usize = 8;
/// Answers and notifications that wait for their confirmable turn.
pub const OUTBOUND_MAX: usize = 16;
/// Datagrams that are ready to leave.
pub const READY_MAX: usize = 32;
/// Events that the application has not fetched.
pub const EVENTS_MAX: usize = 64;
/// Message ids of the peer that are remembered, to answer a repeated message as the first time.
pub const SEEN_MAX: usize = 16;
/// Bytes of a body, in either direction, that travels in blocks.
pub const BODY_BYTES_MAX: usize = 64 * 1024;
/// Bytes of a request's path and query.
pub const TARGET_BYTES_MAX: usize = 512;
/// Bytes of an answer that is kept over a sleep to answer a repeated message.
pub const SAVED_ANSWER_BYTES_MAX: usize = 128;
/// Answers that are kept over a sleep.
pub const SAVED_ANSWERS_MAX: usize = 4;
/// Longest hold-off that a gateway can ask for with Max-Age, in seconds.
pub const HOLD_OFF_S_MAX: u32 = 24 * 60 * 60;
/// Bytes that a message needs beside its block: header, token, options, and the record around it.
pub const MESSAGE_BYTES_MAX: usize = 1280;
/// Longest configuration descriptor that is made of a component's names and versions.
pub const DESCRIPTOR_BYTES_MAX: usize = 256;
/// Layers of a measured boot: with the root no more certificates than a verifier takes.
pub const LAYERS_MAX: usize = 7;
