//! One peer, from the side that connects.

mod association;
mod authentication;
mod config;
mod connection;
mod handshake;
mod hello;
pub(crate) mod phase;
mod receive;
mod saved;
mod sleeper;
pub(crate) mod v13;

pub use config::ClientConfig;
pub use connection::{Connection, ConnectionEvent};
pub use saved::SavedSession;
pub use sleeper::{Received, Sleeper};
