//! The server's half of DTLS, without sockets: clients and server exchange datagrams in memory, and only the server's
//! CPU time counts. Other implementations do the same work beside it, each in a process of its own.

mod bare;
mod handshakes;
mod peers;
mod sessions;
mod world;

pub use sessions::{hold_idle_sessions, hold_sessions};

use crate::report::Figure;

pub fn run() -> anyhow::Result<Vec<Figure>> {
    let mut figures = handshakes::run()?;
    figures.extend(sessions::run()?);
    figures.extend(peers::run(&figures)?);
    Ok(figures)
}
