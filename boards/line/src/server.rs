//! The server: one endpoint that knows one device and sends back what it hears.

use std::net::SocketAddr;

use anyhow::{Context, Result, ensure};
use bartizan_crypto::RUSTCRYPTO;
use bartizan_dtls::{Endpoint, EndpointConfig, EndpointEvent, Instant, PskEntry, SecretBytes};

/// What the firmware holds.
const IDENTITY: &[u8] = b"meter-1";
const PSK: &[u8; 16] = b"an example's key";

pub struct Server {
    endpoint: Endpoint,
    handshakes: usize,
    reports: usize,
}

impl Server {
    pub fn new() -> Result<Self> {
        let random = |out: &mut [u8]| getrandom::fill(out).expect("invariant: the system has randomness");
        let config = EndpointConfig { sessions_max: 4, handshakes_max: 4, ..EndpointConfig::new(&RUSTCRYPTO) };
        let endpoint = Endpoint::server(config, Box::new(random)).context("no endpoint")?;
        Ok(Self { endpoint, handshakes: 0, reports: 0 })
    }

    /// What a datagram of the board's is answered with.
    pub fn handle(&mut self, datagram: &mut [u8]) -> Result<Vec<Vec<u8>>> {
        // A serial line neither loses nor delays: no timer ever ends.
        let now = Instant::from_millis(1_000);
        self.endpoint.handle(now, SocketAddr::from(([127, 0, 0, 1], 5684)), datagram);
        while let Some(event) = self.endpoint.poll() {
            self.answer(now, event)?;
        }
        Ok(std::iter::from_fn(|| self.endpoint.poll_transmit()).map(|transmit| transmit.data).collect())
    }

    fn answer(&mut self, now: Instant, event: EndpointEvent) -> Result<()> {
        match event {
            EndpointEvent::PskRequested { handshake, identity, .. } => {
                let key = SecretBytes::new(PSK).context("the key is too long")?;
                let entry = (identity == IDENTITY).then_some(PskEntry { key, principal: 1, tag: 0 });
                self.endpoint.provide_psk(now, handshake, entry);
            }
            EndpointEvent::Establishing { session, .. } => self.endpoint.confirm_durable(now, session),
            EndpointEvent::Established { .. } => self.handshakes += 1,
            EndpointEvent::Data { session, data, .. } => {
                self.reports += 1;
                self.endpoint.send(now, session, &data)?;
            }
            _ => {}
        }
        Ok(())
    }

    /// That the firmware did what it is for.
    pub fn check(&self) -> Result<()> {
        ensure!(self.handshakes == 1, "{} handshakes instead of one", self.handshakes);
        ensure!(self.reports > 1, "no report over a saved association");
        Ok(())
    }
}
