//! What client and server share of the handshake protocol (RFC 6347 section 4.2).

pub(crate) mod certificate;
pub(crate) mod exchange;
pub(crate) mod extension;
pub(crate) mod flight;
pub(crate) mod hello;
pub(crate) mod message;
pub(crate) mod negotiation;
pub(crate) mod reassembly;
pub(crate) mod ticket;
pub(crate) mod timer;
pub(crate) mod transcript;
