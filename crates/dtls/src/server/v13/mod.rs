//! DTLS 1.3 from the side of the socket (RFC 9147).

mod cookie;
mod finish;
mod flight;
mod hello;
mod numbers;
mod session;
pub(crate) mod table;
mod terms;

pub(super) use numbers::window_within;
pub(super) use table::Table;
