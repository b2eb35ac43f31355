//! Our stack, driven over loopback sockets: an endpoint that echoes, and a client that asks.

mod client;
mod config;
mod server;
mod socket;

pub use client::Client;
pub use server::{Seen, Server};
