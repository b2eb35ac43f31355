//! A loopback socket that loses datagrams in both directions, and what else our side needs of the system.

use std::net::{SocketAddr, UdpSocket};
use std::time::Duration;

use anyhow::Result;
use bartizan_dtls::{Instant, Random};
use bartizan_peer_common::Loss;

use crate::Cell;

/// How long one receive waits, and with it how late a timeout may be noticed.
const TICK: Duration = Duration::from_millis(10);

pub struct Socket {
    socket: UdpSocket,
    loss: Loss,
    /// Whether keys of DTLS 1.3 after the first were sent with, and received.
    pub renewed: [bool; 2],
}

impl Socket {
    pub fn bind(cell: &Cell) -> Result<Self> {
        Ok(Self { socket: bind()?, loss: Loss::new(cell.loss, cell.seed()), renewed: [false; 2] })
    }

    /// Goes on from a new port.
    pub fn rebind(&mut self) -> Result<()> {
        self.socket = bind()?;
        Ok(())
    }

    pub fn address(&self) -> Result<SocketAddr> {
        Ok(self.socket.local_addr()?)
    }

    pub fn send(&mut self, to: SocketAddr, datagram: &[u8]) {
        self.renewed[0] |= has_new_keys(datagram);
        if !self.loss.strikes() {
            let _ = self.socket.send_to(datagram, to); // as lost as on any other network
        }
    }

    /// The next datagram, if one comes within a tick and is not lost.
    pub fn receive<'b>(&mut self, buffer: &'b mut [u8]) -> Option<(&'b mut [u8], SocketAddr)> {
        let (length, from) = self.socket.recv_from(buffer).ok()?;
        if self.loss.strikes() {
            return None;
        }
        self.renewed[1] |= has_new_keys(&buffer[..length]);
        Some((&mut buffer[..length], from))
    }
}

/// The first epoch with application data is 3, and the header of a record has the last two bits of its own (RFC 9147
/// section 4): epoch 4.
fn has_new_keys(datagram: &[u8]) -> bool {
    datagram.first().is_some_and(|first| first & 0b1110_0011 == 0b0010_0000)
}

fn bind() -> Result<UdpSocket> {
    let socket = UdpSocket::bind("127.0.0.1:0")?;
    socket.set_read_timeout(Some(TICK))?;
    Ok(socket)
}

#[derive(Clone, Copy)]
pub struct Clock(std::time::Instant);

impl Clock {
    pub fn start() -> Self {
        Self(std::time::Instant::now())
    }

    pub fn now(self) -> Instant {
        Instant::from_millis(self.0.elapsed().as_millis() as u64)
    }
}

pub struct Os;

impl Random for Os {
    fn fill(&mut self, out: &mut [u8]) {
        getrandom::fill(out).expect("the system has randomness");
    }
}
