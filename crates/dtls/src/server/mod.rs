//! A socket's worth of peers.

pub(crate) mod address;
mod authentication;
mod cold;
mod config;
pub(crate) mod cookie;
mod endpoint;
mod event;
mod finish;
mod handshake;
mod hello;
mod hot;
mod path;
pub(crate) mod phase;
mod resumption;
mod session;
pub(crate) mod slab;
mod state;
mod table;
mod terms;
mod timers;
pub(crate) mod v13;

pub use config::{ClientAuthentication, EndpointConfig};
pub use endpoint::Endpoint;
pub use event::{EndpointEvent, HandshakeId, PskEntry, SessionBytes, SessionId, SessionInfo, Transmit};
pub use state::SessionState;
