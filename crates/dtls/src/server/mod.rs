//! A socket's worth of peers.

pub(crate) mod address;
mod cold;
mod config;
pub(crate) mod cookie;
mod endpoint;
mod event;
mod finish;
pub(crate) mod handshake;
mod hello;
mod hot;
mod path;
mod session;
pub(crate) mod slab;
mod state;
pub(crate) mod v13;

pub use config::EndpointConfig;
pub use endpoint::Endpoint;
pub use event::{EndpointEvent, HandshakeId, PskEntry, SessionBytes, SessionId, SessionInfo, Transmit};
pub use state::SessionState;
