//! DTLS 1.3 from the side of the socket (RFC 9147).

mod cookie;
mod finish;
mod flight;
pub(crate) mod handshake;
mod hello;
mod numbers;
mod session;
mod terms;

pub(super) use handshake::Handshake;
pub(super) use numbers::window_within;
