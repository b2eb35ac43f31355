//! A socket's worth of peers.

mod address;
mod config;
mod cookie;
mod endpoint;
mod event;
mod finish;
mod handshake;
mod hello;
mod session;
mod slab;
mod state;

pub use config::EndpointConfig;
pub use endpoint::Endpoint;
pub use event::{EndpointEvent, HandshakeId, PskEntry, SessionId, SessionInfo, Transmit};
pub use state::SessionState;
