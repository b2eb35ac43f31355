//! A device's socket, and moving a client's bytes through it in real time.

use std::collections::VecDeque;
use std::io;
use std::net::{IpAddr, SocketAddr};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant as Real};

use bartizan_device::{Client, ClientEvent, Code, Instant, Reply};
use tokio::net::UdpSocket;

use crate::limits::CAPTURED_MAX;
use crate::random::Seeded;

/// Somebody who listens: the last records a device sent.
pub(crate) type Tap = Arc<Mutex<VecDeque<Vec<u8>>>>;

/// A device's way to the gateway.
pub(crate) struct Radio {
    socket: UdpSocket,
    address: IpAddr,
    gateway: SocketAddr,
    origin: Real,
    random: Seeded,
    buffer: Vec<u8>,
    pub(crate) tap: Option<Tap>,
    /// Commands answered so far.
    pub(crate) commands: u64,
}

impl Radio {
    pub(crate) async fn open(address: IpAddr, gateway: SocketAddr, random: Seeded) -> io::Result<Self> {
        Ok(Self {
            socket: open_socket(address, gateway).await?,
            address,
            gateway,
            origin: Real::now(),
            random,
            buffer: vec![0; 2048],
            tap: None,
            commands: 0,
        })
    }

    /// Another port, as behind a NAT that has forgotten us.
    pub(crate) async fn move_away(&mut self) -> io::Result<()> {
        self.socket = open_socket(self.address, self.gateway).await?;
        Ok(())
    }

    pub(crate) fn now(&self) -> Instant {
        Instant::from_millis(self.origin.elapsed().as_millis() as u64)
    }

    pub(crate) fn random(&mut self) -> impl FnMut(&mut [u8]) + '_ {
        |out| self.random.bytes(out)
    }

    pub(crate) async fn send_raw(&self, datagram: &[u8]) {
        // What a full buffer loses, a radio may lose too.
        let _ = self.socket.send(datagram).await;
    }

    /// Moves bytes until `done` says so of an event, or `patience` is over (`None`). Commands of the gateway
    /// are obeyed on the way.
    pub(crate) async fn drive<T>(
        &mut self,
        client: &mut Client,
        patience: Duration,
        mut done: impl FnMut(&ClientEvent) -> Option<T>,
    ) -> Option<T> {
        let deadline = Real::now() + patience;
        loop {
            self.transmit(client).await;
            while let Some(event) = client.poll() {
                if let ClientEvent::Command(command) = &event {
                    self.commands += 1;
                    // A command that cannot be answered any more was answered before.
                    let _ = client.respond(self.now(), command.id, &Reply::new(Code::CHANGED));
                }
                if let Some(result) = done(&event) {
                    self.transmit(client).await;
                    return Some(result);
                }
            }
            self.transmit(client).await;
            if Real::now() >= deadline {
                return None;
            }
            self.wait(client, deadline).await;
        }
    }

    async fn transmit(&mut self, client: &mut Client) {
        while let Some(datagram) = client.poll_transmit(self.now()) {
            self.capture(&datagram);
            self.send_raw(&datagram).await;
        }
    }

    fn capture(&self, datagram: &[u8]) {
        let Some(tap) = self.tap.as_ref().filter(|_| carries_data(datagram)) else { return };
        let mut captured = tap.lock().expect("invariant: no panic while the tap is held");
        if captured.len() >= CAPTURED_MAX {
            captured.pop_front();
        }
        captured.push_back(datagram.to_vec());
    }

    /// Until a datagram arrives, a timer is due, or patience ends.
    async fn wait(&mut self, client: &mut Client, deadline: Real) {
        let timer = client.poll_timeout().map(|at| self.origin + Duration::from_millis(at.as_millis()));
        let until = timer.map_or(deadline, |at| at.min(deadline));
        match tokio::time::timeout_at(until.into(), self.socket.recv(&mut self.buffer)).await {
            Ok(Ok(length)) => {
                let now = self.now();
                client.handle(now, &mut self.buffer[..length]);
            }
            // Nobody listens there yet; the client's timers try again.
            Ok(Err(_)) => tokio::time::sleep(Duration::from_millis(5)).await,
            Err(_) => {
                let (now, random) = (self.now(), &mut self.random);
                client.handle_timeout(now, &mut |out: &mut [u8]| random.bytes(out));
            }
        }
    }
}

/// DTLS 1.2: content types tls12_cid (RFC 9146 section 4) and application_data. DTLS 1.3: the low bits of epoch 3, the
/// first that data has (RFC 9147 sections 4 and 6.1).
fn carries_data(datagram: &[u8]) -> bool {
    let Some(first) = datagram.first() else { return false };
    matches!(first, 25 | 23) || first & 0b1110_0011 == 0b0010_0011
}

async fn open_socket(address: IpAddr, gateway: SocketAddr) -> io::Result<UdpSocket> {
    let socket = UdpSocket::bind((address, 0)).await?;
    socket.connect(gateway).await?;
    Ok(socket)
}
