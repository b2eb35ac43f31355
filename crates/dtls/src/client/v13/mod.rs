//! DTLS 1.3 from the side that connects (RFC 9147).

pub(super) mod association;
pub(crate) mod handshake;
mod hello;
mod receive;
mod server_flight;

pub(super) use association::Association;
pub(super) use handshake::Handshake;
