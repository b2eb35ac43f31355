#![no_std]

extern crate alloc;

mod alert;
mod cid;
mod client;
mod codec;
mod error;
mod handshake;
pub mod limits;
mod record;
mod replay;
mod schedule;
mod server;
mod suite;
mod time;

pub use alert::AlertDescription;
pub use cid::ConnectionId;
pub use client::{ClientConfig, Connection, ConnectionEvent, SavedSession};
pub use error::{CloseReason, Error};
pub use replay::ReplayWindow;
pub use server::{
    Endpoint, EndpointConfig, EndpointEvent, HandshakeId, PskEntry, SessionId, SessionInfo, SessionState, Transmit,
};
pub use suite::CipherSuite;
pub use time::Instant;

// What callers need to name keys and randomness.
pub use bartizan_crypto::{Provider, Random, SecretBytes};
