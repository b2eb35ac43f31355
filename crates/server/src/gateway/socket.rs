//! The UDP socket: large buffers, many datagrams a turn, and a short queue where the kernel's is full.

use std::collections::VecDeque;
use std::io;
use std::net::SocketAddr;

use bartizan_dtls::Transmit;
use bartizan_wire::limits::DATAGRAM_BYTES_MAX;
use socket2::{Domain, Protocol, Type};
use tokio::net::UdpSocket;

use crate::limits::{GATEWAY_OUTBOX_MAX, GATEWAY_SOCKET_BUFFER_BYTES};

/// What one reading gives.
pub enum Received<'a> {
    Datagram(SocketAddr, &'a mut [u8]),
    /// Longer than any record.
    TooLong,
}

/// A bound socket.
pub struct Socket {
    socket: UdpSocket,
    buffer: Box<[u8]>,
    outbox: VecDeque<Transmit>,
}

impl Socket {
    /// Binds to `listen`. An IPv6 wildcard also takes IPv4.
    ///
    /// # Errors
    /// Whatever the system says, most often that the port is in use.
    pub fn bind(listen: SocketAddr) -> io::Result<Self> {
        let socket = socket2::Socket::new(
            Domain::for_address(listen),
            Type::DGRAM.nonblocking().cloexec(),
            Some(Protocol::UDP),
        )?;
        if listen.is_ipv6() {
            socket.set_only_v6(false)?;
        }
        // The kernel may grant less; a burst beyond it is lost and repeated by the devices.
        let _ = socket.set_recv_buffer_size(GATEWAY_SOCKET_BUFFER_BYTES);
        let _ = socket.set_send_buffer_size(GATEWAY_SOCKET_BUFFER_BYTES);
        socket.bind(&listen.into())?;
        Ok(Self {
            socket: UdpSocket::from_std(socket.into())?,
            buffer: vec![0; DATAGRAM_BYTES_MAX + 1].into(),
            outbox: VecDeque::new(),
        })
    }

    pub fn local_addr(&self) -> io::Result<SocketAddr> {
        self.socket.local_addr()
    }

    /// Waits until something can be read, or written if something waits to be.
    pub async fn ready(&self, read: bool) {
        let write = !self.outbox.is_empty();
        let _ = match (read, write) {
            (true, false) => self.socket.readable().await,
            (false, true) => self.socket.writable().await,
            (true, true) => tokio::select! {
                readable = self.socket.readable() => readable,
                writable = self.socket.writable() => writable,
            },
            (false, false) => std::future::pending().await,
        };
    }

    /// The next datagram that is here already. A network error that an earlier datagram of ours caused
    /// (ICMP) is skipped.
    pub fn receive(&mut self) -> Option<Received<'_>> {
        let (length, remote) = loop {
            match self.socket.try_recv_from(&mut self.buffer) {
                Ok(received) => break received,
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => return None,
                Err(error) if error.kind() == io::ErrorKind::ConnectionRefused => {}
                Err(_) => return None,
            }
        };
        Some(match self.buffer.get_mut(..length) {
            Some(datagram) if length <= DATAGRAM_BYTES_MAX => Received::Datagram(remote, datagram),
            _ => Received::TooLong,
        })
    }

    /// Sends, or queues while the kernel's buffer is full; `false` if the queue is full too.
    pub fn send(&mut self, transmit: Transmit) -> bool {
        if self.outbox.is_empty() && self.try_send(&transmit) {
            return true;
        }
        let room = self.outbox.len() < GATEWAY_OUTBOX_MAX;
        if room {
            self.outbox.push_back(transmit);
        }
        room
    }

    /// Sends what was queued, as far as the kernel takes it.
    pub fn flush(&mut self) {
        while let Some(transmit) = self.outbox.pop_front() {
            if !self.try_send(&transmit) {
                return self.outbox.push_front(transmit);
            }
        }
    }

    /// `false` if it should be tried again. What the network refuses is gone, as datagrams may be.
    fn try_send(&self, transmit: &Transmit) -> bool {
        match self.socket.try_send_to(&transmit.data, transmit.to) {
            Err(error) => error.kind() != io::ErrorKind::WouldBlock,
            Ok(_) => true,
        }
    }
}
