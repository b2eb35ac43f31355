//! The server as people and programs meet it: the HTTP API in-process, and the binary as it is typed.
#![allow(
    clippy::disallowed_methods,
    clippy::disallowed_types,
    clippy::unwrap_used,
    reason = "a test owns its sockets, files and clock, and says where it cannot go on"
)]

mod api;
mod cli;
#[path = "../support/corim.rs"]
mod corim;
mod references;
mod world;
