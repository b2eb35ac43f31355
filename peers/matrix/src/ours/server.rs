//! An endpoint on a thread of its own that answers every message with itself.

use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::JoinHandle;

use anyhow::{Result, anyhow};
use bartizan_dtls::{CloseReason, Endpoint, EndpointEvent, Instant, PskEntry};

use super::config;
use super::socket::{Clock, Os, Socket};
use crate::{Cell, Credentials, IDENTITY};

/// What the endpoint saw.
#[derive(Clone, Debug, Default)]
pub struct Seen {
    pub handshakes: usize,
    /// IANA's number of the last association's suite.
    pub suite: u16,
    pub rebound: usize,
    /// New keys were sent with, and received (DTLS 1.3).
    pub renewed: [bool; 2],
    pub connection_id: bool,
    /// The peer said close_notify.
    pub closed: bool,
    /// RFC 5705 keying material of the last association.
    pub exporter: [u8; 32],
    /// Why handshakes came to nothing.
    pub failures: Vec<String>,
}

pub struct Server {
    address: SocketAddr,
    stop: Arc<AtomicBool>,
    thread: JoinHandle<Seen>,
}

impl Server {
    /// # Errors
    /// If our side cannot do what the cell asks.
    pub fn start(cell: &Cell, credentials: &Credentials) -> Result<Self> {
        let socket = Socket::bind(cell)?;
        let address = socket.address()?;
        let config = config::server(cell, credentials)?;
        let endpoint = Endpoint::server(config, Box::new(Os)).map_err(|error| anyhow!("{error}"))?;
        let stop = Arc::new(AtomicBool::new(false));
        let thread = std::thread::spawn({
            let (stop, update) = (stop.clone(), cell.update);
            move || serve(socket, endpoint, update, &stop)
        });
        Ok(Self { address, stop, thread })
    }

    #[must_use]
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// # Panics
    /// If the endpoint did.
    #[must_use]
    pub fn stop(self) -> Seen {
        self.stop.store(true, Ordering::Relaxed);
        self.thread.join().expect("the endpoint does not panic")
    }
}

fn serve(mut socket: Socket, mut endpoint: Endpoint, mut update: bool, stop: &AtomicBool) -> Seen {
    let clock = Clock::start();
    let (mut seen, mut buffer) = (Seen::default(), vec![0; 2048]);
    loop {
        let ending = stop.load(Ordering::Relaxed);
        if let Some((datagram, from)) = socket.receive(&mut buffer) {
            endpoint.handle(clock.now(), from, datagram);
        } else if ending {
            seen.renewed = socket.renewed;
            return seen;
        }
        if endpoint.poll_timeout().is_some_and(|due| due <= clock.now()) {
            endpoint.handle_timeout(clock.now());
        }
        while let Some(event) = endpoint.poll() {
            if let EndpointEvent::Data { session, .. } = &event
                && core::mem::take(&mut update)
                && let Err(error) = endpoint.update_keys(clock.now(), *session)
            {
                seen.failures.push(error.to_string());
            }
            answer(&mut endpoint, clock.now(), event, &mut seen);
        }
        while let Some(transmit) = endpoint.poll_transmit() {
            socket.send(transmit.to, &transmit.data);
        }
    }
}

fn answer(endpoint: &mut Endpoint, now: Instant, event: EndpointEvent, seen: &mut Seen) {
    match event {
        EndpointEvent::PskRequested { handshake, identity, .. } => {
            let key = config::psk().ok().filter(|_| identity == IDENTITY.as_bytes());
            endpoint.provide_psk(now, handshake, key.map(|key| PskEntry { key, principal: 7, tag: 0 }));
        }
        EndpointEvent::Establishing { session, .. } | EndpointEvent::StateChanged { session, .. } => {
            endpoint.confirm_durable(now, session);
        }
        EndpointEvent::Established { session, connection_id, suite, .. } => {
            seen.handshakes += 1;
            seen.suite = suite.code();
            seen.exporter = endpoint.session(session).expect("just established").exporter;
            seen.connection_id = connection_id;
        }
        EndpointEvent::Data { session, data, .. } => {
            let _ = endpoint.send(now, session, &data); // the client will miss it and say so
        }
        EndpointEvent::Rebound { .. } => seen.rebound += 1,
        EndpointEvent::LeaseLow { session, upto } => endpoint.extend_lease(session, upto),
        EndpointEvent::HandshakeFailed { reason, .. } => seen.failures.push(format!("{reason:?}")),
        EndpointEvent::Closed { reason, .. } => {
            seen.closed |= matches!(reason, CloseReason::Peer | CloseReason::Alert(_));
        }
        EndpointEvent::ResumptionRequested { handshake, .. } => endpoint.provide_resumption(now, handshake, false),
        EndpointEvent::Misused { error, .. } => seen.failures.push(error.to_string()),
        EndpointEvent::Rejected { .. } | EndpointEvent::Misrouted { .. } | EndpointEvent::PathChecked { .. } => {}
    }
}
