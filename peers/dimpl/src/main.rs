//! What dimpl costs a server: memory a session, handshakes and records a second of CPU time, with
//! TLS_PSK_WITH_AES_128_CCM_8 and without Connection IDs, which it does not have. Both sides talk through memory;
//! only the server's calls are timed. Prints `NAME VALUE` lines, as the other peers do.
#![allow(
    clippy::disallowed_methods,
    clippy::disallowed_types,
    clippy::unwrap_used,
    reason = "a program of its own: it owns the clock and files"
)]

use std::sync::Arc;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail, ensure};
use bartizan_peer_common::bench::{self, PAYLOAD, RECORDS_PER_SESSION, cpu_time};
use dimpl::{Config, Dtls, Output, PskResolver};

const USAGE: &str = "usage: peer-dimpl bench SESSIONS";

fn main() -> Result<()> {
    let words: Vec<String> = std::env::args().skip(1).collect();
    let [role, sessions] = words.as_slice() else { bail!(USAGE) };
    ensure!(role == "bench", USAGE);
    print!("{}", bench(sessions.parse().context(USAGE)?)?);
    Ok(())
}

fn bench(sessions: usize) -> Result<String> {
    let (server, client) = configurations()?;
    let establish = |spent: &mut Duration| Session::establish(&server, &client, spent);
    bench::run("dimpl-0.9", sessions, establish, Session::read)
}

/// One key for everybody.
struct OneKey;

impl PskResolver for OneKey {
    fn resolve(&self, _: &[u8]) -> Option<Vec<u8>> {
        Some(vec![0x42; 16])
    }
}

fn configurations() -> Result<(Arc<Config>, Arc<Config>)> {
    let key = Arc::new(OneKey);
    let suites = &[dimpl::crypto::Dtls12CipherSuite::PSK_AES128_CCM_8];
    let server = Config::builder()
        .dtls12_cipher_suites(suites)
        .with_psk_server(None, Arc::<OneKey>::clone(&key))
        .build()
        .map_err(|error| anyhow::anyhow!("server: {error:?}"))?;
    let client = Config::builder()
        .dtls12_cipher_suites(suites)
        .with_psk_client(b"meter".to_vec(), key)
        .build()
        .map_err(|error| anyhow::anyhow!("client: {error:?}"))?;
    Ok((Arc::new(server), Arc::new(client)))
}

/// A server's association, and records that wait for it.
struct Session {
    server: Dtls,
    waiting: Vec<Vec<u8>>,
}

impl Session {
    /// A handshake; the client is gone afterwards, but for the records it sealed.
    fn establish(server: &Arc<Config>, client: &Arc<Config>, spent: &mut Duration) -> Result<Self> {
        let now = Instant::now();
        let mut ours = Dtls::new_12_psk(Arc::clone(server), now);
        ours.set_active(false);
        let mut theirs = Dtls::new_12_psk(Arc::clone(client), now);
        theirs.set_active(true);
        let (mut ours_done, mut theirs_done) = (false, false);
        for _ in 0..16 {
            theirs.handle_timeout(Instant::now()).map_err(wrong)?;
            let (up, done) = outputs(&mut theirs);
            theirs_done |= done;
            let before = cpu_time();
            ours.handle_timeout(Instant::now()).map_err(wrong)?;
            for packet in &up {
                ours.handle_packet(packet).map_err(wrong)?;
            }
            let (down, done) = outputs(&mut ours);
            *spent += cpu_time() - before;
            ours_done |= done;
            for packet in &down {
                theirs.handle_packet(packet).map_err(wrong)?;
            }
            if ours_done && theirs_done {
                break;
            }
        }
        ensure!(ours_done && theirs_done, "the handshake does not end");
        let mut waiting = Vec::new();
        for _ in 0..RECORDS_PER_SESSION {
            theirs.send_application_data(&PAYLOAD).map_err(wrong)?;
            waiting.extend(outputs(&mut theirs).0);
        }
        ensure!(waiting.len() == RECORDS_PER_SESSION, "{} datagrams for {RECORDS_PER_SESSION} messages", waiting.len());
        Ok(Self { server: ours, waiting })
    }

    fn read(&mut self) -> Result<()> {
        let Some(packet) = self.waiting.pop() else { bail!("no record waits") };
        self.server.handle_packet(&packet).map_err(wrong)?;
        let mut buffer = [0; 2048];
        loop {
            match self.server.poll_output(&mut buffer) {
                Output::ApplicationData(data) => {
                    ensure!(data == PAYLOAD, "other data");
                    return Ok(());
                }
                Output::Timeout(_) => bail!("the record did not open"),
                _ => {}
            }
        }
    }
}

/// The datagrams to send, and whether the handshake is finished.
fn outputs(dtls: &mut Dtls) -> (Vec<Vec<u8>>, bool) {
    let (mut packets, mut connected) = (Vec::new(), false);
    let mut buffer = [0; 2048];
    loop {
        match dtls.poll_output(&mut buffer) {
            Output::Packet(packet) => packets.push(packet.to_vec()),
            Output::Connected => connected = true,
            Output::Timeout(_) => return (packets, connected),
            _ => {}
        }
    }
}

fn wrong(error: dimpl::Error) -> anyhow::Error {
    anyhow::anyhow!("dimpl: {error:?}")
}
