//! Our stack, driven over sockets: an endpoint that echoes, and a client that asks.

use std::net::{SocketAddr, UdpSocket};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::JoinHandle;
use std::time::Duration;

use bartizan_crypto::RUSTCRYPTO;
use bartizan_dtls::{
    CipherSuite, ClientConfig, Connection, ConnectionEvent, ConnectionId, Endpoint, EndpointConfig, EndpointEvent,
    Instant, PskEntry, Random, SecretBytes,
};

use super::{Cell, PSK};

struct Os;

impl Random for Os {
    fn fill(&mut self, out: &mut [u8]) {
        getrandom::fill(out).expect("the system has randomness");
    }
}

fn now(start: std::time::Instant) -> Instant {
    Instant::from_millis(start.elapsed().as_millis() as u64)
}

/// What the endpoint saw.
#[derive(Clone, Copy, Debug, Default)]
pub struct Seen {
    pub handshakes: usize,
    pub rebound: usize,
    pub connection_id: bool,
    /// RFC 5705 keying material of the last association.
    pub exporter: [u8; 32],
}

pub struct Server {
    address: SocketAddr,
    stop: Arc<AtomicBool>,
    thread: JoinHandle<Seen>,
}

impl Server {
    pub fn start(suite: CipherSuite) -> Self {
        let socket = UdpSocket::bind("127.0.0.1:0").expect("loopback");
        socket.set_read_timeout(Some(Duration::from_millis(20))).expect("a timeout");
        let address = socket.local_addr().expect("bound");
        let stop = Arc::new(AtomicBool::new(false));
        let thread = std::thread::spawn({
            let stop = stop.clone();
            move || serve(&socket, suite, &stop)
        });
        Self { address, stop, thread }
    }

    pub fn address(&self) -> SocketAddr {
        self.address
    }

    pub fn stop(self) -> Seen {
        self.stop.store(true, Ordering::Relaxed);
        self.thread.join().expect("the endpoint does not panic")
    }
}

fn serve(socket: &UdpSocket, suite: CipherSuite, stop: &AtomicBool) -> Seen {
    let start = std::time::Instant::now();
    let mut config = EndpointConfig::new(&RUSTCRYPTO);
    config.suites = vec![suite];
    config.retransmit_ms = 300;
    let mut endpoint = Endpoint::server(config, Box::new(Os)).expect("a sound configuration");
    let (mut seen, mut buffer) = (Seen::default(), vec![0; 2048]);
    while !stop.load(Ordering::Relaxed) {
        if let Ok((length, from)) = socket.recv_from(&mut buffer) {
            endpoint.handle(now(start), from, &mut buffer[..length]);
        }
        if endpoint.poll_timeout().is_some_and(|due| due <= now(start)) {
            endpoint.handle_timeout(now(start));
        }
        while let Some(event) = endpoint.poll() {
            answer(&mut endpoint, now(start), event, &mut seen);
        }
        while let Some(transmit) = endpoint.poll_transmit() {
            socket.send_to(&transmit.data, transmit.to).expect("loopback takes it");
        }
    }
    seen
}

fn answer(endpoint: &mut Endpoint, now: Instant, event: EndpointEvent, seen: &mut Seen) {
    match event {
        EndpointEvent::PskRequested { handshake, identity, .. } => {
            let known = identity == b"Client_identity";
            let entry = known.then(|| PskEntry { key: SecretBytes::new(&PSK).expect("16 bytes"), principal: 7 });
            endpoint.provide_psk(now, handshake, entry);
        }
        EndpointEvent::Establishing { session, .. } => endpoint.confirm_durable(now, session),
        EndpointEvent::Established { session, connection_id, .. } => {
            seen.handshakes += 1;
            seen.exporter = endpoint.session(session).expect("just established").exporter;
            seen.connection_id = connection_id;
        }
        EndpointEvent::Data { session, data, .. } => endpoint.send(now, session, &data).expect("an open session"),
        EndpointEvent::Rebound { .. } => seen.rebound += 1,
        EndpointEvent::LeaseLow { session, upto } => endpoint.extend_lease(session, upto),
        EndpointEvent::HandshakeFailed { .. } | EndpointEvent::Rejected { .. } | EndpointEvent::Closed { .. } => {}
    }
}

pub struct Client {
    socket: UdpSocket,
    remote: SocketAddr,
    start: std::time::Instant,
    connection: Connection,
    inbox: Vec<Vec<u8>>,
    pub suite: Option<CipherSuite>,
    pub peer_cid: bool,
    pub handshakes: usize,
}

impl Client {
    pub fn connect(remote: SocketAddr, cell: &Cell) -> Self {
        let mut config = ClientConfig::new(&RUSTCRYPTO, b"Client_identity", SecretBytes::new(&PSK).expect("16 bytes"));
        config.suites = vec![cell.suite];
        config.own_cid = cell.cid.then(|| ConnectionId::new(&[9, 8, 7]).expect("3 bytes"));
        config.retransmit_ms = 300;
        let start = std::time::Instant::now();
        let connection = Connection::connect(config, now(start), &mut Os).expect("a sound configuration");
        let mut client = Self {
            socket: bind(),
            remote,
            start,
            connection,
            inbox: Vec::new(),
            suite: None,
            peer_cid: false,
            handshakes: 0,
        };
        client.until(Duration::from_secs(30), |client| client.suite.is_some());
        assert!(client.suite.is_some(), "no handshake within 30 s");
        client
    }

    /// Sends `message` until it comes back.
    pub fn echo(&mut self, message: &[u8], tries: usize) {
        for _ in 0..tries {
            self.connection.send(now(self.start), message).expect("an open connection");
            self.until(Duration::from_millis(1500), |client| client.inbox.iter().any(|got| got == message));
            if self.inbox.iter().any(|got| got == message) {
                return;
            }
        }
        panic!("{message:?} was not answered in {tries} tries");
    }

    /// Sends `message` once.
    pub fn say(&mut self, message: &[u8]) {
        self.connection.send(now(self.start), message).expect("an open connection");
        self.step();
    }

    /// Whether `message` arrives.
    pub fn hears(&mut self, message: &[u8]) -> bool {
        self.until(Duration::from_secs(10), |client| client.inbox.iter().any(|got| got == message));
        self.inbox.iter().any(|got| got == message)
    }

    pub fn rebind(&mut self) {
        self.socket = bind();
    }

    fn until(&mut self, wait: Duration, done: impl Fn(&Self) -> bool) {
        let deadline = std::time::Instant::now() + wait;
        while !done(self) && std::time::Instant::now() < deadline {
            self.step();
        }
    }

    fn step(&mut self) {
        let mut buffer = vec![0; 2048];
        while let Some(datagram) = self.connection.poll_transmit(now(self.start)) {
            self.socket.send_to(&datagram, self.remote).expect("loopback takes it");
        }
        if let Ok(length) = self.socket.recv(&mut buffer) {
            self.connection.handle(now(self.start), &mut buffer[..length]);
        }
        if self.connection.poll_timeout().is_some_and(|due| due <= now(self.start)) {
            self.connection.handle_timeout(now(self.start));
        }
        while let Some(event) = self.connection.poll() {
            self.take(event);
        }
    }

    fn take(&mut self, event: ConnectionEvent) {
        match event {
            ConnectionEvent::Connected { suite, peer_cid } => {
                self.suite = Some(suite);
                self.peer_cid = peer_cid;
                self.handshakes += 1;
            }
            ConnectionEvent::Data(data) => self.inbox.push(data),
            ConnectionEvent::Closed(_) | ConnectionEvent::Rejected(_) => {}
        }
    }
}

fn bind() -> UdpSocket {
    let socket = UdpSocket::bind("127.0.0.1:0").expect("loopback");
    socket.set_read_timeout(Some(Duration::from_millis(20))).expect("a timeout");
    socket
}
