//! The interop matrix: our stack against every outside DTLS implementation at hand, cell by cell.
//!
//! A [`Cell`] says which peer, version, authentication, cipher suite and group, with or without Connection ID, a
//! changed source port and lost datagrams, and which side is ours. [`cells`] is the whole table. Each cell that no rule
//! of `skips.toml` takes out must pass: handshake, data both ways, the changed port, close. [`run`] runs them and
//! answers a [`Summary`].
//!
//! Our side is driven in this process over loopback sockets (`ours`); the others are programs of their own
//! (`outside`), found beside this one in cargo's target folder, where `cargo xtask test` builds them.
#![allow(
    clippy::disallowed_methods,
    clippy::disallowed_types,
    reason = "test harness: real sockets, processes and a real clock"
)]

mod cell;
mod credentials;
mod meet;
pub mod ours;
mod outside;
mod skips;
mod summary;
mod table;

pub use cell::{Cell, Outside};
pub use credentials::{Credentials, IDENTITY, PSK, PSK_HEX, opposite};
pub use meet::{meet, meet_itself};
pub use outside::program;
pub use skips::{Rule, rules};
pub use summary::{Outcome, Summary, run, run_outside_alone};
pub use table::cells;
