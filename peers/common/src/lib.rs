//! What every outside DTLS peer for the interop tests has in common: one command line, one lossy socket that can
//! change its port, and one fact on each line that it prints. A peer brings a [`Peer`] and calls [`run`].
#![allow(
    clippy::disallowed_methods,
    clippy::disallowed_types,
    reason = "programs of their own: they own sockets, the clock and randomness"
)]

mod arguments;
pub mod bench;
mod run;
mod transport;
mod vocabulary;

pub use arguments::{Arguments, from_hex, to_hex};
pub use run::{Facts, Peer, run};
pub use transport::{Loss, Transport};
pub use vocabulary::{Auth, Group, Role, Suite, Version};
