//! A UDP socket that loses datagrams on demand and can change its source port.

use std::net::{SocketAddr, UdpSocket};
use std::time::Duration;

use anyhow::{Context, Result};

/// A server that no client comes to ends, whatever became of the test that started it.
const FIRST_DATAGRAM_WAIT: Duration = Duration::from_secs(60);

/// Drops a share of datagrams, the same ones for the same seed.
pub struct Loss {
    percent: u8,
    state: u64,
}

impl Loss {
    #[must_use]
    pub fn new(percent: u8, seed: u64) -> Self {
        Self { percent, state: seed.wrapping_mul(0x9E37_79B9_7F4A_7C15) | 1 }
    }

    /// Whether the next datagram is lost.
    pub fn strikes(&mut self) -> bool {
        // xorshift64
        self.state ^= self.state << 13;
        self.state ^= self.state >> 7;
        self.state ^= self.state << 17;
        self.state % 100 < u64::from(self.percent)
    }
}

/// A UDP socket and whom it talks to.
pub struct Transport {
    socket: UdpSocket,
    /// Whom datagrams go to. A server learns it from the first datagram, and follows it.
    remote: Option<SocketAddr>,
    loss: Loss,
}

impl Transport {
    pub(crate) fn towards(bind: &str, remote: SocketAddr, loss: Loss) -> Result<Self> {
        let socket = UdpSocket::bind(bind).with_context(|| format!("cannot bind {bind}"))?;
        Ok(Self { socket, remote: Some(remote), loss })
    }

    /// Waits for the first datagram, which stays unread.
    pub(crate) fn serving(socket: UdpSocket, loss: Loss) -> Result<Self> {
        socket.set_read_timeout(Some(FIRST_DATAGRAM_WAIT))?;
        let (_, remote) = socket.peek_from(&mut [0; 1]).context("no client came")?;
        Ok(Self { socket, remote: Some(remote), loss })
    }

    pub(crate) fn local_address(&self) -> Result<SocketAddr> {
        Ok(self.socket.local_addr()?)
    }

    #[must_use]
    pub fn remote(&self) -> Option<SocketAddr> {
        self.remote
    }

    /// Goes on from a new source port of the same address, as behind a NAT that forgot.
    pub(crate) fn rebind(&mut self) -> Result<SocketAddr> {
        self.socket = UdpSocket::bind((self.socket.local_addr()?.ip(), 0))?;
        self.local_address()
    }

    /// Bytes taken, or `None` if the socket failed. A lost datagram counts as taken.
    pub fn send(&mut self, datagram: &[u8]) -> Option<usize> {
        if self.loss.strikes() {
            return Some(datagram.len());
        }
        self.socket.send_to(datagram, self.remote?).ok()
    }

    /// The next datagram within `wait`; `None` when none came.
    pub fn receive(&mut self, buffer: &mut [u8], wait: Duration) -> Option<usize> {
        self.socket.set_read_timeout(Some(wait.max(Duration::from_millis(1)))).ok()?;
        loop {
            let (length, from) = self.socket.recv_from(buffer).ok()?;
            if self.loss.strikes() {
                continue;
            }
            self.remote = Some(from);
            return Some(length);
        }
    }
}
