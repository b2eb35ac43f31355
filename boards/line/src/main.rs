//! Runs a board in an emulator and is the server at the other end of its serial line:
//!
//! ```text
//! bartizan-board-line EMULATOR ARGUMENT…
//! ```
//!
//! The emulator's standard input and output are the line. What the firmware says of itself is printed, a number
//! and a name to each line.
#![allow(clippy::disallowed_methods, reason = "a developer's tool owns processes, threads and randomness")]

mod frame;
mod server;

use std::process::{Child, Command, Stdio};
use std::sync::mpsc::{Receiver, channel};
use std::time::Duration;

use anyhow::{Context, Result, bail, ensure};
use bartizan_crypto::RUSTCRYPTO;
use bartizan_trust::evidence;
use bartizan_wire::UnixMillis;

use crate::frame::Frame;
use crate::server::Server;

/// An emulated handshake takes less than a second.
const SILENCE: Duration = Duration::from_secs(60);

fn main() -> Result<()> {
    let mut arguments = std::env::args().skip(1);
    let emulator = arguments.next().context("usage: bartizan-board-line EMULATOR ARGUMENT…")?;
    let mut board = Command::new(&emulator)
        .args(arguments)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .with_context(|| format!("cannot start {emulator}"))?;
    let outcome = serve(&mut board);
    board.kill()?;
    board.wait()?;
    outcome
}

fn serve(board: &mut Child) -> Result<()> {
    let mut output = board.stdin.take().context("no line to the board")?;
    let frames = listen(board)?;
    let mut server = Server::new()?;
    let mut seed = [0; 32];
    getrandom::fill(&mut seed)?;
    Frame::Seed(seed).write(&mut output)?;
    let mut attested = false;
    loop {
        match frames.recv_timeout(SILENCE).context("the board says nothing")?? {
            Frame::Datagram(mut datagram) => {
                for answer in server.handle(&mut datagram)? {
                    Frame::Datagram(answer).write(&mut output)?;
                }
            }
            Frame::Figure(name, value) => println!("{value} {name}"),
            Frame::Evidence(bytes) => {
                believe(&bytes)?;
                attested = true;
            }
            Frame::Done(succeeded) => {
                ensure!(succeeded, "the firmware failed");
                return if attested { Ok(()) } else { server.check() };
            }
            Frame::Seed(_) => bail!("the board sent a seed"),
        }
    }
}

/// Verifies evidence with its chain, as the platform does.
fn believe(bytes: &[u8]) -> Result<()> {
    let evidence = evidence::open(&RUSTCRYPTO, bytes, &|_| None, UnixMillis(0))?;
    ensure!(evidence.layers.len() == 3 && evidence.boot_count == Some(301), "other evidence than the board's");
    Ok(())
}

/// Reads frames in a thread of its own, so that waiting for one can end.
fn listen(board: &mut Child) -> Result<Receiver<Result<Frame>>> {
    let mut input = board.stdout.take().context("no line from the board")?;
    let (sender, receiver) = channel();
    std::thread::spawn(move || {
        loop {
            let frame = Frame::read(&mut input);
            let last = frame.is_err();
            if sender.send(frame).is_err() || last {
                return;
            }
        }
    });
    Ok(receiver)
}
