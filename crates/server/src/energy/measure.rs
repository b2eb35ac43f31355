//! Counts what a scheme puts on the air: client and server exchange datagrams in memory, from one seed.
//!
//! Nothing is estimated. The two state machines are the ones that ship; the network loses nothing, and every flight
//! is written down on its way.

use std::net::SocketAddr;

use bartizan_dtls::{
    ClientConfig, ClientResumption, Connection, ConnectionEvent, Endpoint, EndpointConfig, EndpointEvent, Error,
    Instant, PskEntry, Random,
};
use serde::Serialize;

use super::model::{Load, Traffic};

/// More rounds than any handshake has.
const ROUNDS_MAX: usize = 16;
/// The same for every run, so that every run counts the same.
const SEED: u64 = 0x6261_7274;

/// How a wake-up begins.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Opening {
    /// A handshake from nothing.
    Handshake,
    /// A saved association goes on, from another address than the one it was made at.
    Saved,
    /// A handshake that resumes an earlier session.
    Resumed,
}

/// Datagrams that leave one side together.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Flight {
    /// From the device to the server.
    pub up: bool,
    /// UDP payload bytes of each.
    pub datagrams: Vec<u32>,
}

/// What one wake-up costs on the air: everything until the report is answered.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Measured {
    pub flights: Vec<Flight>,
    /// Of these, what was spent before the report: nothing for an association that goes on.
    pub handshake: Traffic,
    pub wake_up: Traffic,
}

/// Runs one wake-up that reports `payload_up` bytes and is answered with `payload_down`.
///
/// # Errors
/// What the state machines say if they do not come to terms.
pub fn measure(
    client: &ClientConfig,
    server: &EndpointConfig,
    opening: Opening,
    payload_up: usize,
    payload_down: usize,
) -> Result<Measured, Error> {
    let handshake = Wire::shake_hands(client, server)?;
    let mut alone = handshake.traffic();
    let mut wire = match opening {
        Opening::Handshake => Wire::open(client, server)?,
        Opening::Saved => {
            alone = Traffic::default();
            handshake.sleep_and_wake(client)?
        }
        Opening::Resumed => {
            let mut again = handshake.come_back(client)?;
            again.run(None)?;
            alone = again.traffic();
            Wire::shake_hands(client, server)?.come_back(client)?
        }
    };
    wire.answer = vec![0; payload_down];
    wire.run(Some(&vec![0; payload_up]))?;
    if !wire.answered {
        return Err(Error::Misuse("the report was not answered"));
    }
    if (opening == Opening::Resumed) != wire.client.is_resumed() {
        return Err(Error::Misuse("the session was not resumed"));
    }
    Ok(Measured { handshake: alone, wake_up: wire.traffic(), flights: wire.flights })
}

/// The flights of a handshake alone.
///
/// # Errors
/// As [`measure`].
pub fn shake_hands(client: &ClientConfig, server: &EndpointConfig) -> Result<Vec<Flight>, Error> {
    Ok(Wire::shake_hands(client, server)?.flights)
}

/// Both ends, and what went between them.
struct Wire {
    client: Connection,
    server: Endpoint,
    key: PskEntry,
    address: SocketAddr,
    /// What the server answers a report with.
    answer: Vec<u8>,
    answered: bool,
    flights: Vec<Flight>,
}

impl Wire {
    fn open(client: &ClientConfig, server: &EndpointConfig) -> Result<Self, Error> {
        Ok(Self {
            key: PskEntry { key: client.psk.clone(), principal: 1, tag: 0 },
            client: Connection::connect(client.clone(), now(), &mut Seeded(SEED))?,
            server: Endpoint::server(server.clone(), Box::new(Seeded(!SEED)))?,
            address: SocketAddr::from(([192, 0, 2, 1], 40_000)),
            answer: Vec::new(),
            answered: false,
            flights: Vec::new(),
        })
    }

    fn shake_hands(client: &ClientConfig, server: &EndpointConfig) -> Result<Self, Error> {
        let mut wire = Self::open(client, server)?;
        wire.run(None)?;
        if wire.client.is_connected() { Ok(wire) } else { Err(Error::Misuse("the handshake did not end")) }
    }

    /// The device writes its association down, sleeps, and wakes behind another address of its network's.
    fn sleep_and_wake(mut self, client: &ClientConfig) -> Result<Self, Error> {
        let saved = self.client.save().ok_or(Error::Misuse("nothing to save"))?;
        self.client = Connection::resume(client.clone(), saved, now())?;
        self.client.save().ok_or(Error::Misuse("nothing to save"))?;
        self.address.set_port(40_001);
        self.flights.clear();
        Ok(self)
    }

    /// The device has no association any more, but a session that it may resume.
    fn come_back(mut self, client: &ClientConfig) -> Result<Self, Error> {
        let session = self.client.resumable().ok_or(Error::Misuse("nothing to resume"))?.clone();
        let resumption = ClientResumption::Offer(session);
        self.client = Connection::connect(ClientConfig { resumption, ..client.clone() }, now(), &mut Seeded(SEED + 1))?;
        self.address.set_port(40_001);
        self.flights.clear();
        Ok(self)
    }

    /// Lets both sides speak in turn until neither has anything to say; the report leaves as soon as it may.
    fn run(&mut self, mut report: Option<&[u8]>) -> Result<(), Error> {
        for _ in 0..ROUNDS_MAX {
            if self.client.is_connected()
                && let Some(data) = report.take()
            {
                self.client.send(now(), data)?;
            }
            let up: Vec<Vec<u8>> = std::iter::from_fn(|| self.client.poll_transmit(now())).collect();
            if up.is_empty() {
                return Ok(());
            }
            self.record(true, &up);
            let down = self.serve(up)?;
            self.record(false, &down);
            self.receive(down)?;
        }
        Err(Error::Misuse("the handshake has no end"))
    }

    fn serve(&mut self, datagrams: Vec<Vec<u8>>) -> Result<Vec<Vec<u8>>, Error> {
        for mut datagram in datagrams {
            self.server.handle(now(), self.address, &mut datagram);
            while let Some(event) = self.server.poll() {
                match event {
                    EndpointEvent::PskRequested { handshake, .. } => {
                        self.server.provide_psk(now(), handshake, Some(self.key.clone()));
                    }
                    EndpointEvent::ResumptionRequested { handshake, .. } => {
                        self.server.provide_resumption(now(), handshake, true);
                    }
                    EndpointEvent::Establishing { session, .. } => self.server.confirm_durable(now(), session),
                    EndpointEvent::Data { session, .. } => self.server.send(now(), session, &self.answer)?,
                    _ => {}
                }
            }
        }
        Ok(std::iter::from_fn(|| self.server.poll_transmit()).map(|transmit| transmit.data).collect())
    }

    fn receive(&mut self, datagrams: Vec<Vec<u8>>) -> Result<(), Error> {
        for mut datagram in datagrams {
            self.client.handle(now(), &mut datagram);
            while let Some(event) = self.client.poll() {
                match event {
                    ConnectionEvent::Data(_) => self.answered = true,
                    ConnectionEvent::Closed(_) => return Err(Error::Misuse("the two sides have no common ground")),
                    _ => {}
                }
            }
        }
        Ok(())
    }

    fn record(&mut self, up: bool, datagrams: &[Vec<u8>]) {
        if !datagrams.is_empty() {
            let sizes = datagrams.iter().map(|datagram| u32::try_from(datagram.len()).unwrap_or(u32::MAX));
            self.flights.push(Flight { up, datagrams: sizes.collect() });
        }
    }

    fn traffic(&self) -> Traffic {
        let load = |up: bool| {
            let sizes = || self.flights.iter().filter(move |flight| flight.up == up).flat_map(|it| &it.datagrams);
            Load { datagrams: sizes().map(|_| 1).sum(), bytes: sizes().sum() }
        };
        let round_trips = self.flights.iter().filter(|flight| !flight.up).map(|_| 1).sum();
        Traffic { up: load(true), down: load(false), round_trips }
    }
}

/// Time stands still: nothing is lost, so nothing is repeated.
const fn now() -> Instant {
    Instant::from_millis(1_000)
}

/// SplitMix64. Nobody's key comes of it.
struct Seeded(u64);

impl Random for Seeded {
    fn fill(&mut self, out: &mut [u8]) {
        for byte in out {
            self.0 = self.0.wrapping_add(0x9E37_79B9_7F4A_7C15);
            let mut mixed = self.0;
            mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
            mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
            *byte = (mixed >> 56) as u8;
        }
    }
}
