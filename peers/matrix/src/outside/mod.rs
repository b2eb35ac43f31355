//! The outside programs: each is told what a cell asks in its own words, talks, and is asked what it saw.

mod gnutls;
mod openssl;
mod process;
mod purecrypto;
mod stepwise;

use std::net::SocketAddr;
use std::path::PathBuf;

use anyhow::Result;

use crate::{Cell, Credentials, Outside};
use process::Process;

/// What our client and theirs say; it starts with [`MARK`], so that it is told from whatever else a program prints.
/// The port and the keys change after the first; by the third, both sides know.
const MESSAGES: [&str; 3] = ["meter 17.5 m3", "meter 17.6 m3", "meter 17.7 m3"];
const MARK: &str = "meter ";
/// Those that a cell needs.
pub fn messages(cell: &Cell) -> &'static [&'static str] {
    if cell.update { &MESSAGES } else { &MESSAGES[..2] }
}

/// As often as a message is repeated at most.
const TRIES: usize = 40;

/// What an outside program says of its association, as far as it does.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Told {
    /// IANA's name.
    pub suite: Option<String>,
    pub cid: Option<bool>,
    pub group: Option<String>,
    /// 32 bytes, `EXPORTER-bartizan-session`.
    pub exporter: Option<String>,
}

/// A server of theirs, which answers every message with itself; ends when dropped.
pub struct Serving {
    pub address: SocketAddr,
    process: Process,
    read: fn(&[String]) -> Told,
}

impl Serving {
    /// What it says of its association, once there is one.
    pub fn told(&mut self) -> Told {
        (self.read)(self.process.heard())
    }

    /// All that it printed.
    pub fn transcript(&mut self) -> String {
        self.process.heard().join("\n")
    }
}

/// Their client connects to `address`, says a message until it comes back, changes its port if the cell says so, says
/// another, and closes.
pub fn converse(cell: &Cell, credentials: &Credentials, address: SocketAddr) -> Result<Told> {
    match cell.outside {
        Outside::Mbed | Outside::Wolfssl => stepwise::converse(cell, credentials, address),
        Outside::Purecrypto => purecrypto::converse(cell, credentials, address),
        Outside::Openssl => openssl::converse(cell, credentials, address),
        Outside::Gnutls => gnutls::converse(cell, credentials, address),
    }
}

pub fn serve(cell: &Cell, credentials: &Credentials) -> Result<Serving> {
    match cell.outside {
        Outside::Mbed | Outside::Wolfssl => stepwise::serve(cell, credentials),
        Outside::Purecrypto => purecrypto::serve(cell, credentials),
        Outside::Openssl => openssl::serve(cell, credentials),
        Outside::Gnutls => gnutls::serve(cell, credentials),
    }
}

/// Where a program is; `None` if it is nowhere. Built ones are below cargo's target folder, in which this program
/// runs: `TARGET/debug/deps/NAME-HASH` as a test, `TARGET/debug/NAME` otherwise.
#[must_use]
pub fn program(outside: Outside) -> Option<PathBuf> {
    let own = std::env::current_exe().ok()?;
    let profile = own.ancestors().find(|folder| folder.join(".fingerprint").is_dir())?;
    let target = profile.parent()?;
    let path = match outside {
        Outside::Mbed => profile.join("peer-mbed"),
        Outside::Wolfssl => target.join("peers/debug/peer-wolfssl"),
        Outside::Purecrypto => target.join("peers/purecrypto/bin/purecrypto"),
        Outside::Openssl => "/usr/bin/openssl".into(),
        Outside::Gnutls => "/usr/bin/gnutls-cli".into(),
    };
    path.is_file().then_some(path)
}

fn words(words: &[&str]) -> Vec<String> {
    words.iter().map(|word| (*word).to_owned()).collect()
}

/// The rest of the first line that starts with `prefix`.
fn after(lines: &[String], prefix: &str) -> Option<String> {
    lines.iter().find_map(|line| line.trim().strip_prefix(prefix)).map(|rest| rest.trim().to_owned())
}
