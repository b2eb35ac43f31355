//! A client that sends messages and wants them back.

use std::net::SocketAddr;
use std::time::Duration;

use anyhow::{Context, Result, anyhow, bail};
use bartizan_dtls::{CloseReason, Connection, ConnectionEvent};

use super::config;
use super::socket::{Clock, Os, Socket};
use crate::{Cell, Credentials};

const HANDSHAKE_MAX: Duration = Duration::from_secs(60);
/// A message is sent again until it is answered: datagrams may be lost on the way there and back.
const TRIES: usize = 40;
/// The other side repeats what was lost.
const AWHILE: Duration = Duration::from_millis(400);

pub struct Client {
    socket: Socket,
    remote: SocketAddr,
    clock: Clock,
    connection: Connection,
    wait: Duration,
    inbox: Vec<Vec<u8>>,
    closed: Option<CloseReason>,
    /// IANA's number of the suite, once connected.
    pub suite: Option<u16>,
    pub peer_cid: bool,
    pub handshakes: usize,
}

impl Client {
    /// Returns with the handshake done.
    ///
    /// # Errors
    /// If our side cannot do what the cell asks, or the handshake failed.
    pub fn connect(cell: &Cell, credentials: &Credentials, remote: SocketAddr) -> Result<Self> {
        let clock = Clock::start();
        let connection = Connection::connect(config::client(cell, credentials)?, clock.now(), &mut Os);
        let mut client = Self {
            socket: Socket::bind(cell)?,
            remote,
            clock,
            connection: connection.map_err(|error| anyhow!("{error}"))?,
            wait: Duration::from_millis(if cell.loss > 0 { 500 } else { 3000 }),
            inbox: Vec::new(),
            closed: None,
            suite: None,
            peer_cid: false,
            handshakes: 0,
        };
        client.until(HANDSHAKE_MAX, |client| client.suite.is_some() || client.closed.is_some());
        if client.suite.is_none() {
            bail!("no handshake: {:?}", client.closed);
        }
        Ok(client)
    }

    /// Sends `message` until it comes back.
    ///
    /// # Errors
    /// If it never did.
    pub fn echo(&mut self, message: &[u8]) -> Result<()> {
        let arrived = |client: &Self| client.inbox.iter().any(|got| got == message);
        for _ in 0..TRIES {
            self.connection.send(self.clock.now(), message).map_err(|error| anyhow!("{error}: {:?}", self.closed))?;
            self.until(self.wait, |client| arrived(client) || client.closed.is_some());
            if arrived(self) {
                return Ok(());
            }
        }
        bail!("{:?} was not answered in {TRIES} tries", String::from_utf8_lossy(message))
    }

    /// # Errors
    /// If there is no further port.
    pub fn rebind(&mut self) -> Result<()> {
        self.socket.rebind()
    }

    /// # Errors
    /// If it cannot be, as in DTLS 1.2.
    pub fn update_keys(&mut self) -> Result<()> {
        self.connection.update_keys(self.clock.now()).map_err(|error| anyhow!("{error}"))
    }

    /// Goes on talking until both sides send with new keys.
    ///
    /// # Errors
    /// If nothing is answered any more.
    pub fn await_new_keys(&mut self) -> Result<()> {
        for round in 0..TRIES {
            if self.renewed() == [true; 2] {
                break;
            }
            self.until(self.wait.min(AWHILE), |client| client.renewed() == [true; 2]);
            self.echo(format!("meter {round}\n").as_bytes())?;
        }
        Ok(())
    }

    /// Whether new keys were sent with, and received.
    pub fn renewed(&self) -> [bool; 2] {
        self.socket.renewed
    }

    /// # Errors
    /// If the connection is closed.
    pub fn exporter(&self) -> Result<[u8; 32]> {
        self.connection.exporter().copied().context("closed")
    }

    pub fn close(&mut self) {
        self.connection.close(self.clock.now());
        self.step();
    }

    fn until(&mut self, wait: Duration, done: impl Fn(&Self) -> bool) {
        let deadline = std::time::Instant::now() + wait;
        while !done(self) && std::time::Instant::now() < deadline {
            self.step();
        }
    }

    fn step(&mut self) {
        let mut buffer = vec![0; 2048];
        while let Some(datagram) = self.connection.poll_transmit(self.clock.now()) {
            self.socket.send(self.remote, &datagram);
        }
        if let Some((datagram, _)) = self.socket.receive(&mut buffer) {
            self.connection.handle(self.clock.now(), datagram);
        }
        if self.connection.poll_timeout().is_some_and(|due| due <= self.clock.now()) {
            self.connection.handle_timeout(self.clock.now());
        }
        while let Some(event) = self.connection.poll() {
            self.take(event);
        }
    }

    fn take(&mut self, event: ConnectionEvent) {
        match event {
            ConnectionEvent::Connected { suite, peer_cid } => {
                self.suite = Some(suite.code());
                self.peer_cid = peer_cid;
                self.handshakes += 1;
            }
            ConnectionEvent::Data(data) => self.inbox.push(data),
            ConnectionEvent::Closed(reason) => self.closed = Some(reason),
            ConnectionEvent::Rejected(_) => {}
        }
    }
}
