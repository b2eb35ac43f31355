//! The SDK that devices link: a CoAP client over DTLS with Connection ID that sleeps between reports and
//! never does a handshake more than it must.
//!
//! The crate does no I/O and reads no clock. The device's main loop owns the socket, the time and the
//! randomness, and moves bytes:
//!
//! ```text
//!  application ── request, respond, notify ──▶ ┌────────┐ ── poll_transmit ──▶ socket
//!              ◀──────────── poll ──────────── │ Client │ ◀───── handle ────── socket
//!                                              └────────┘ ◀─ handle_timeout ── clock
//! ```
//!
//! The smallest meter, its radio in the hands of `exchange_datagrams`:
//!
//! ```no_run
//! use bartizan_device::{Client, ClientEvent, Config, Instant, Request};
//! use bartizan_dtls::{ClientConfig, SecretBytes};
//! # fn exchange_datagrams(client: &mut Client) {}
//! # fn read_flash() -> Vec<u8> { Vec::new() }
//! # fn write_flash(bytes: &[u8]) {}
//!
//! fn report(now: Instant, rng: &mut dyn bartizan_dtls::Random) -> Result<(), bartizan_device::Error> {
//!     let psk = SecretBytes::new(b"sixteen bytes or more of secret!").expect("invariant: 32 bytes");
//!     let config = Config::new(ClientConfig::new(&bartizan_crypto::RUSTCRYPTO, b"meter-7", psk));
//!
//!     let mut client = match Client::wake(config.clone(), &read_flash(), now, rng) {
//!         Ok((client, keep)) => {
//!             write_flash(&keep); // before anything is sent: no sequence number repeats after a crash
//!             client
//!         }
//!         Err(_) => Client::new(config, now, rng)?,
//!     };
//!     client.request(now, Request::post("/meter/volume", 50, br#"{"litres":3}"#))?;
//!     loop {
//!         exchange_datagrams(&mut client); // poll_transmit, handle, handle_timeout
//!         match client.poll() {
//!             Some(ClientEvent::Response { .. } | ClientEvent::Failed { .. }) => break,
//!             _ => {}
//!         }
//!     }
//!     if let Some(asleep) = client.sleep() {
//!         write_flash(&asleep);
//!     }
//!     Ok(())
//! }
//! ```
//!
//! Start at [`Client`]; what it tells is a [`ClientEvent`], what it sends a [`Request`]. A wake-up with a
//! saved association costs one datagram each way. If the gateway does not know the association any more,
//! the client notices, does a full handshake and repeats the request. [`exchange`] is the CoAP half alone.
//!
//! [`enrol`] joins a device to its owner with no touch.
//!
//! [`dice`] makes the device's identity at every start, and [`attest`] the evidence that the platform judges. Both need
//! no heap: boot loaders take them without the feature `client`.
#![no_std]

#[cfg(any(feature = "client", test))]
extern crate alloc;

pub mod attest;
#[cfg(feature = "client")]
mod bounded;
#[cfg(feature = "client")]
mod client;
pub mod dice;
#[cfg(feature = "client")]
pub mod enrol;
#[cfg(feature = "client")]
mod error;
#[cfg(feature = "client")]
mod event;
#[cfg(feature = "client")]
pub mod exchange;
#[cfg(feature = "client")]
mod jitter;
pub mod limits;
pub mod renewal;

#[cfg(feature = "client")]
pub use client::{Asleep, Client, Config, Psk};
#[cfg(feature = "client")]
pub use error::Error;
#[cfg(feature = "client")]
pub use event::{ClientEvent, Command, Failure, IncomingId, Observe, Reply, Request, RequestId};
#[cfg(feature = "client")]
pub use exchange::ExchangeConfig;

// What every caller needs beside.
#[cfg(feature = "client")]
pub use bartizan_dtls::{CipherSuite, ClientConfig, ConnectionId, Instant, Random, SecretBytes, Version, Versions};
#[cfg(feature = "client")]
pub use bartizan_wire::coap::{Code, content_format};
