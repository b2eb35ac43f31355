//! DTLS 1.2 and 1.3 with Connection ID (RFC 6347, RFC 9146, RFC 9147) for sleeping devices and the gateways they wake
//! up to.
//!
//! Nothing here touches a socket, a clock or a global source of randomness. Datagrams, times and timeouts go in,
//! datagrams and events come out:
//!
//! ```text
//!              handle(now, …, datagram)  ┌────────────┐  poll_transmit() ─▶ datagrams to send
//!   network ──────────────────────────▶  │ Connection │
//!              handle_timeout(now)       │     or     │  poll() ─────────▶ events: connected, data, closed …
//!   clock   ──────────────────────────▶  │  Endpoint  │
//!              send(now, …, data)        └────────────┘  poll_timeout() ─▶ when to come back
//! ```
//!
//! A [`Connection`] is one peer, seen by the client: what a device uses. An [`Endpoint`] is a whole socket, seen by
//! the server: it tells peers apart by Connection ID, or by address for those without one. Either side shows who it
//! is by a pre-shared key, with or without an ephemeral exchange ([`CipherSuite`]), or by a certificate or a raw public
//! key ([`Credential`]), which the other's [`PeerVerifier`] judges.
//!
//! # The smallest client
//!
//! ```
//! # use bartizan_dtls::{ClientConfig, Connection, ConnectionEvent, Instant, SecretBytes, SavedSession, Error};
//! # fn device(now: Instant, rng: &mut dyn bartizan_dtls::Random, send_datagram: &mut dyn FnMut(&[u8]),
//! #     receive_datagram: &mut dyn FnMut() -> Option<Vec<u8>>, flash: &mut Vec<u8>) -> Result<(), Error> {
//! let psk = SecretBytes::new(b"sixteen secret b").expect("at most 64 bytes");
//! let config = ClientConfig::new(&bartizan_crypto::RUSTCRYPTO, b"meter-1", psk);
//! let mut connection = Connection::connect(config.clone(), now, rng)?;
//! while !connection.is_connected() {
//!     while let Some(datagram) = connection.poll_transmit(now) {
//!         send_datagram(&datagram);
//!     }
//!     match receive_datagram() {
//!         Some(mut datagram) => connection.handle(now, &mut datagram),
//!         None => connection.handle_timeout(now), // when poll_timeout() says so
//!     }
//!     while let Some(event) = connection.poll() {
//!         if let ConnectionEvent::Closed(reason) = event {
//!             panic!("no connection: {reason:?}");
//!         }
//!     }
//! }
//! connection.send(now, b"17.5 m3")?;
//!
//! // Before it sleeps, the device writes the association down, and after it wakes continues without a handshake.
//! *flash = connection.save().expect("connected").to_bytes();
//! let saved = SavedSession::from_bytes(flash)?;
//! let mut connection = Connection::resume(config, saved, now)?;
//! *flash = connection.save().expect("connected").to_bytes(); // reserves sequence numbers before any is used
//! connection.send(now, b"17.6 m3")?;
//! # Ok(()) }
//! ```
//!
//! # Versions
//!
//! A server speaks both unless told otherwise ([`EndpointConfig::versions`]). A client speaks DTLS 1.2 until told
//! otherwise ([`ClientConfig::versions`]): one hello for both costs more bytes than one for either. In DTLS 1.3 a client
//! without [`ClientConfig::groups`] uses its pre-shared key alone; with [`Group::X25519MlKem768`] among them the
//! handshake stays secret even from whoever records it and has a quantum computer later. Keys change by
//! [`Connection::update_keys`] and [`Endpoint::update_keys`], and by themselves before a cipher wears out.
//!
//! # What a server answers
//!
//! [`EndpointEvent::PskRequested`] with [`Endpoint::provide_psk`]; [`EndpointEvent::ResumptionRequested`], if resumption
//! is on ([`Resumption`]), with [`Endpoint::provide_resumption`]; [`EndpointEvent::Establishing`] with
//! [`Endpoint::confirm_durable`] once [`Endpoint::state`] is on disk; [`EndpointEvent::LeaseLow`] with
//! [`Endpoint::extend_lease`] once the new lease is. Then a `kill -9` at any moment strands no device, reuses no
//! nonce and, if [`Endpoint::window`] is made durable before data is acted on, delivers no replay.
//!
//! # What it refuses
//!
//! Peers of DTLS 1.2 without extended master secret (RFC 7627), renegotiation, early data, compression, CBC suites, handshake messages over
//! [`limits::HANDSHAKE_MESSAGE_BYTES_MAX`] (certificates: [`limits::CERTIFICATE_MESSAGE_BYTES_MAX`]), ClientHellos in
//! fragments (they could not be answered without state; in DTLS 1.3 those whose first fragment has our cookie are), keys of less than [`limits::PSK_BYTES_MIN`] bytes, and every
//! configuration that could not be secure, with the reason. Nothing is kept for a client before its cookie has come
//! back, and no certificate is sent. Too many records that do not open end an association
//! ([`EndpointConfig::ccm_8_forgeries_max`]).
//!
//! A resumed session is the one exception to *durable before it is believed*: there the server's Finished comes first,
//! and the association becomes durable when the client's has come. A server that dies in between leaves a client that
//! has to begin anew.
//!
//! A device's newest record moves its address, whoever passed it on; but no more than three times its bytes go to a
//! new address before the device is known to be there (RFC 9853), and under [`PathCheck::Enhanced`] the old address
//! is asked, too, so that somebody who passes records on from an address of his own is found out.
//!
//! # Many nodes
//!
//! [`Routes`] say how Connection IDs are made: in the clear, or encrypted under a key that several nodes share, so that
//! each of them knows which shard a datagram is for. See [`route`].
//!
//! # Modules
//!
//! `client` and `server` hold the two state machines, each with its transition table; `handshake` what they
//! share (messages, reassembly, flights, timers); `schedule` derives keys, `record` protects records, `replay`
//! remembers them; `credential` says who we are and whom we believe, `resumption` which sessions go on; [`route`] makes
//! Connection IDs and finds nodes, `rrc` says what may go to a new address. `v13` is DTLS 1.3: a record and a schedule
//! of its own, and what both sides of its handshake share.
#![no_std]

extern crate alloc;

mod alert;
mod cid;
mod client;
mod codec;
mod credential;
mod error;
#[cfg(any(test, feature = "fuzzing"))]
pub mod fuzzing;
#[cfg(any(test, feature = "fuzzing"))]
pub mod fuzzing13;
mod group;
mod handshake;
mod hash;
mod key;
pub mod limits;
#[cfg(feature = "measure")]
pub mod measure;
#[cfg(feature = "proof")]
pub mod proof;
mod record;
mod replay;
mod resumption;
pub mod route;
mod rrc;
mod schedule;
mod server;
#[cfg(test)]
mod state_machines;
mod suite;
mod time;
mod v13;

pub use alert::AlertDescription;
pub use cid::ConnectionId;
pub use client::{ClientConfig, Connection, ConnectionEvent, Received, SavedSession, Sleeper};
pub use credential::{
    Authentication, CertificateType, Credential, PeerVerifier, PinnedKeys, PublicKey, SignatureScheme, Signer,
    SoftwareKey, VerifiedPeer,
};
pub use error::{CloseReason, Error};
pub use group::Group;
pub use handshake::negotiation::MaxFragmentLength;
pub use replay::ReplayWindow;
pub use resumption::{ClientResumption, ResumableSession, Resumption};
pub use route::{RouteConfig, Routes};
pub use rrc::{PathCheck, PathOutcome};
pub use server::{
    ClientAuthentication, Endpoint, EndpointConfig, EndpointEvent, HandshakeId, PskEntry, SessionBytes, SessionId,
    SessionInfo, SessionState, Transmit,
};
pub use suite::{Cipher, CipherSuite, KeyExchange, Version, Versions};
pub use time::Instant;

// What callers need to name keys and randomness.
pub use bartizan_crypto::{Provider, Random, SecretBytes};
