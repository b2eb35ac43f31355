//! What a cell asks of our stack: the one place that learns of new versions, authentications and suites.

use anyhow::{Context, Result, bail};
use bartizan_crypto::RUSTCRYPTO;
use bartizan_dtls::{CipherSuite, ClientConfig, ConnectionId, EndpointConfig, SecretBytes};
use bartizan_peer_common::Version;

use crate::{Cell, IDENTITY, PSK};

/// Datagrams on loopback take no time: what is lost is missed soon.
const RETRANSMIT_MS: u64 = 300;

pub fn server(cell: &Cell) -> Result<EndpointConfig> {
    let mut config = EndpointConfig::new(&RUSTCRYPTO);
    config.suites = vec![suite(cell)?];
    config.retransmit_ms = RETRANSMIT_MS;
    Ok(config)
}

pub fn client(cell: &Cell) -> Result<ClientConfig> {
    let mut config = ClientConfig::new(&RUSTCRYPTO, IDENTITY.as_bytes(), psk()?);
    config.suites = vec![suite(cell)?];
    config.own_cid = if cell.cid { ConnectionId::new(&[9, 8, 7]) } else { None };
    config.retransmit_ms = RETRANSMIT_MS;
    Ok(config)
}

pub fn psk() -> Result<SecretBytes> {
    SecretBytes::new(&PSK).context("a pre-shared key")
}

fn suite(cell: &Cell) -> Result<CipherSuite> {
    if cell.version != Version::Dtls12 || !cell.auth.has_psk() {
        bail!("our side does not do this yet");
    }
    CipherSuite::from_code(cell.code()).context("our side does not have this suite yet")
}
