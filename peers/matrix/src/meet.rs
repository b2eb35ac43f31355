//! One cell: both sides meet, talk, move and part, and say the same of it.

use anyhow::{Context, Result, ensure};
use bartizan_dtls::CipherSuite;
use bartizan_peer_common::{Role, to_hex};

use crate::ours::{Client, Server};
use crate::outside::{Told, converse, messages, serve};
use crate::{Cell, Credentials};

/// # Errors
/// If anything is not as it should be, with what was said.
pub fn meet(cell: &Cell, credentials: &Credentials) -> Result<()> {
    match cell.ours {
        Role::Server => as_server(cell, credentials),
        Role::Client => as_client(cell, credentials),
    }
}

fn as_server(cell: &Cell, credentials: &Credentials) -> Result<()> {
    let server = Server::start(cell, credentials)?;
    let told = converse(cell, credentials, server.address());
    let seen = server.stop();
    let told = told.with_context(|| format!("our side: {seen:?}"))?;
    ensure!(seen.handshakes == 1, "{} handshakes", seen.handshakes);
    ensure!(seen.suite == cell.code(), "suite {:#06x}", seen.suite);
    ensure!(seen.connection_id == cell.cid, "Connection ID: {}", seen.connection_id);
    ensure!(seen.rebound == usize::from(cell.rebind), "{} changes of address", seen.rebound);
    ensure!(is_renewed(cell, seen.renewed), "new keys sent, received: {:?}", seen.renewed);
    ensure!(seen.closed || cell.loss > 0, "no close_notify");
    agree(cell, &told, &seen.exporter)
}

fn as_client(cell: &Cell, credentials: &Credentials) -> Result<()> {
    let mut serving = serve(cell, credentials)?;
    let outcome = talk(cell, credentials, serving.address);
    let exporter = outcome.with_context(|| format!("their side:\n{}", serving.transcript()))?;
    agree(cell, &serving.told(), &exporter)
}

fn talk(cell: &Cell, credentials: &Credentials, address: core::net::SocketAddr) -> Result<[u8; 32]> {
    let mut client = Client::connect(cell, credentials, address)?;
    let exporter = client.exporter()?;
    for (at, message) in messages(cell).iter().enumerate() {
        if at == 1 && cell.rebind {
            client.rebind()?;
        }
        if at == 1 && cell.update {
            client.update_keys()?;
        }
        // Programs that read lines want whole ones.
        client.echo(format!("{message}\n").as_bytes())?;
    }
    if cell.update && cell.loss == 0 {
        client.await_new_keys()?;
    }
    client.close();
    ensure!(client.handshakes == 1, "{} handshakes", client.handshakes);
    ensure!(client.suite == Some(cell.code()), "suite {:?}", client.suite);
    ensure!(client.peer_cid == cell.cid, "Connection ID: {}", client.peer_cid);
    ensure!(is_renewed(cell, client.renewed()), "new keys sent, received: {:?}", client.renewed());
    Ok(exporter)
}

/// The outside program as client and as server, without ours.
///
/// # Errors
/// If it cannot do what the cell says.
pub fn meet_itself(cell: &Cell, credentials: &Credentials) -> Result<()> {
    let mut serving = serve(cell, credentials)?;
    let client = converse(cell, credentials, serving.address);
    let client = client.with_context(|| format!("its server:\n{}", serving.transcript()))?;
    let server = serving.told();
    ensure!(client.cid.is_none_or(|cid| cid == cell.cid), "the client's Connection ID: {:?}", client.cid);
    let same = |one: &Option<String>, other: &Option<String>| one.is_none() || other.is_none() || one == other;
    ensure!(
        same(&client.suite, &server.suite) && same(&client.exporter, &server.exporter),
        "client: {client:?}, server: {server:?}"
    );
    Ok(())
}

/// Where datagrams get lost, the talk may end before both have changed their keys.
fn is_renewed(cell: &Cell, renewed: [bool; 2]) -> bool {
    renewed == [cell.update; 2] || cell.update && cell.loss > 0
}

/// What the outside program says of the association must be what our side knows of it.
fn agree(cell: &Cell, told: &Told, exporter: &[u8]) -> Result<()> {
    if let (Some(theirs), Some(ours)) = (&told.suite, CipherSuite::from_code(cell.code())) {
        ensure!(theirs == ours.name(), "their suite: {theirs}");
    }
    if let Some(cid) = told.cid {
        ensure!(cid == cell.cid, "their Connection ID: {cid}");
    }
    if let (Some(theirs), Some(ours)) = (&told.group, cell.group) {
        // `secp256r1` and `p256` are one.
        let theirs = theirs.to_lowercase().replace("secp256r1", "p256");
        ensure!(theirs == ours.name(), "their group: {theirs}");
    }
    if let Some(theirs) = &told.exporter {
        ensure!(*theirs == to_hex(exporter), "their exporter: {theirs}, ours: {}", to_hex(exporter));
    }
    Ok(())
}
