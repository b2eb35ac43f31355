//! Associations that are there: what they weigh, what a record of any of them costs, and how fast they are written
//! down and read again.

use std::collections::BTreeMap;
use std::io::{Read, Write};
use std::net::SocketAddr;
use std::time::Duration;

use anyhow::{Context, ensure};
use bartizan_crypto::{AWS_LC, at_rest};
use bartizan_dtls::{Endpoint, EndpointEvent, SessionState, measure};

use super::super::measure_apart;
use super::world::{BATCH, Kind, Server, now, random, server_config};
use crate::cpu;
use crate::report::Figure;

/// What the peers are asked for, too.
pub const FEW: u32 = 2_000;
const MANY: u32 = 1_000_000;
const PAYLOAD: [u8; 64] = [7; 64];
/// Records that are opened between two looks at the clock.
const CHUNK: usize = 5_000;
/// States that are sealed together.
const BLOCK: usize = 1_000;

pub fn run() -> anyhow::Result<Vec<Figure>> {
    let bytes = Endpoint::session_bytes();
    let mut figures = vec![
        Figure::new("dtls.idle_session_bytes", bytes.hot as f64, "the hot record: all that a received record touches"),
        Figure::new(
            "dtls.idle_session_cold_bytes",
            bytes.cold as f64,
            "the cold record beside it: exporter, Finished, serial number",
        ),
        Figure::new(
            "dtls.idle_session_rss_bytes",
            measure_apart("job:idle-sessions")?,
            "resident memory of a process that holds 100000 sessions of DTLS 1.2, over their number",
        ),
        Figure::new(
            "dtls.idle_session13_rss_bytes",
            super::super::measure_apart_with("job:idle-sessions", &["1.3"])?,
            "the same for DTLS 1.3, whose traffic secrets and keys lie in a box of their own",
        ),
    ];
    figures.extend(held(MANY)?);
    Ok(figures)
}

/// Makes sessions, and says what one costs.
pub fn hold_idle_sessions(arguments: &[String]) -> anyhow::Result<()> {
    let kind = if arguments.is_empty() { Kind::Psk } else { Kind::Psk13 };
    let count = 100_000;
    let mut server = Server::new(count, kind)?;
    for first in (0..count).step_by(BATCH as usize) {
        server.admit(first, BATCH, kind)?;
    }
    ensure!(server.endpoint.sessions().count() == count as usize, "not all sessions are held");
    println!("{}", cpu::resident_bytes()? as f64 / f64::from(count));
    Ok(())
}

/// What a process of its own says about so many sessions.
fn held(count: u32) -> anyhow::Result<Vec<Figure>> {
    let said = measured(count)?;
    let of = |name: &str| said.get(name).copied().with_context(|| format!("no figure {name}"));
    let rate = of("records_per_s")?;
    let hot_mb = Endpoint::session_bytes().hot as f64 * f64::from(count) / 1e6;
    Ok(vec![
        Figure::new(
            "dtls.million_sessions_rss_mb",
            of("rss_mb")?,
            format!(
                "resident memory of a process with {count} sessions, indexes included; {hot_mb:.0} MB are hot records"
            ),
        ),
        Figure::new("dtls.million_sessions_hot_mb", hot_mb, "hot records of a million sessions"),
        Figure::new(
            "dtls.random_session_records_per_s_core",
            rate,
            format!(
                "records of 64 bytes under AES-128-CCM-8, a random one of {count} sessions each, from the socket to the event"
            ),
        ),
        Figure::new(
            "dtls.ratio_to_bare_crypto",
            rate / of("bare_per_s")?,
            format!(
                "the same over a loop that only decodes the Connection ID, sets up the key and opens: {:.0} a second",
                of("bare_per_s")?
            ),
        ),
        Figure::new(
            "dtls.ratio_to_cache_hot_crypto",
            rate / of("cache_hot_per_s")?,
            format!("the same over opening one record again and again: {:.0} a second", of("cache_hot_per_s")?),
        ),
        Figure::new("dtls.snapshot_million_s", of("snapshot_s")?, "CPU seconds to write all sessions down, sealed"),
        Figure::new("dtls.snapshot_million_mb", of("snapshot_mb")?, "length of that file"),
        Figure::new("dtls.restore_million_s", of("restore_s")?, "CPU seconds to bring them back from it"),
    ])
}

/// The figures that [`hold_sessions`] prints, by name.
pub fn measured(count: u32) -> anyhow::Result<BTreeMap<String, f64>> {
    let output =
        std::process::Command::new(std::env::current_exe()?).args(["job:sessions", &count.to_string()]).output()?;
    ensure!(output.status.success(), "job:sessions failed: {}", String::from_utf8_lossy(&output.stderr));
    parse(&String::from_utf8(output.stdout)?)
}

/// `NAME VALUE` lines; others are left out.
pub fn parse(text: &str) -> anyhow::Result<BTreeMap<String, f64>> {
    let line = |line: &str| {
        let (name, value) = line.split_once(' ')?;
        Some((name.to_owned(), value.trim().parse().ok()?))
    };
    Ok(text.lines().filter_map(line).collect())
}

/// Makes so many sessions, which have all been used, receives a record of each in random order, and writes them down.
pub fn hold_sessions(arguments: &[String]) -> anyhow::Result<()> {
    let count: u32 = arguments.first().context("how many sessions")?.parse()?;
    let mut server = Server::new(count, Kind::Psk)?;
    let mut records = Vec::with_capacity(count as usize);
    for first in (0..count).step_by(BATCH as usize) {
        for mut client in server.admit(first, BATCH.min(count - first), Kind::Psk)? {
            let mut first = client.record(&PAYLOAD)?;
            server.endpoint.handle(now(), client.address, &mut first);
            records.push((client.address, client.record(&PAYLOAD)?));
        }
        while server.endpoint.poll().is_some() {}
    }
    let of_records: usize = records.capacity() * size_of::<(SocketAddr, Vec<u8>)>()
        + records.iter().map(|(_, record)| record.capacity().next_multiple_of(16) + 16).sum::<usize>();
    println!("rss_mb {}", (cpu::resident_bytes()? as f64 - of_records as f64) / 1e6);
    println!("cache_hot_per_s {}", cache_hot());
    receive(&mut server.endpoint, records)?;
    write_down(server.endpoint, count)
}

/// Half of the records go through the bare loop and half through the endpoint, by turns.
fn receive(endpoint: &mut Endpoint, mut records: Vec<(SocketAddr, Vec<u8>)>) -> anyhow::Result<()> {
    shuffle(&mut records);
    let (mut bare, mut whole) = (Duration::ZERO, Duration::ZERO);
    let (mut bare_count, mut whole_count) = (0_u64, 0_u64);
    let chunk = CHUNK.min(records.len() / 4).max(1);
    for (turn, chunk) in records.chunks_mut(chunk).enumerate() {
        let before = cpu::of_thread();
        if turn % 2 == 0 {
            let opened: usize =
                chunk.iter_mut().map(|(_, record)| usize::from(measure::decode_and_open(endpoint, record))).sum();
            bare += cpu::of_thread() - before;
            bare_count += opened as u64;
            ensure!(opened == chunk.len(), "only {opened} of {} records open", chunk.len());
            continue;
        }
        let mut delivered = 0;
        for (from, record) in chunk.iter_mut() {
            endpoint.handle(now(), *from, record);
            while let Some(event) = endpoint.poll() {
                delivered += usize::from(matches!(event, EndpointEvent::Data { data, .. } if data == PAYLOAD));
            }
        }
        whole += cpu::of_thread() - before;
        whole_count += delivered as u64;
        ensure!(delivered == chunk.len(), "only {delivered} of {} records arrive", chunk.len());
    }
    println!("bare_per_s {}", cpu::per_second(bare_count, bare));
    println!("records_per_s {}", cpu::per_second(whole_count, whole));
    Ok(())
}

/// Opening one record again and again: key set-up included, everything in the cache.
fn cache_hot() -> f64 {
    let aead = &AWS_LC.aes_128_ccm_8;
    let (key, nonce, aad) = ([1; 16], [2; 12], [3; 31]);
    let mut sealed = [7; PAYLOAD.len() + 1 + 8];
    (aead.seal)(&key, &nonce, &aad, &mut sealed).expect("invariant: the key fits");
    let count = 500_000;
    let before = cpu::of_thread();
    for _ in 0..count {
        let mut record = std::hint::black_box(sealed);
        let _ = std::hint::black_box((aead.open)(&key, &nonce, &aad, &mut record));
    }
    cpu::per_second(count, cpu::of_thread() - before)
}

/// What a start after a planned stop costs: states, windows, leases and addresses, sealed in blocks.
fn write_down(endpoint: Endpoint, count: u32) -> anyhow::Result<()> {
    let key = at_rest::Key::generate(&mut random);
    let mut file = tempfile::tempfile()?;
    let before = cpu::of_thread();
    let mut written = 0_usize;
    let sessions: Vec<_> = endpoint.sessions().collect();
    for block in sessions.chunks(BLOCK) {
        let mut plain = Vec::with_capacity(BLOCK * 256);
        for session in block {
            let state = endpoint.state(*session).context("a state")?.to_bytes();
            let window = endpoint.window(*session).context("a window")?;
            let lease = endpoint.lease(*session).context("a lease")?;
            plain.extend_from_slice(&(state.len() as u16).to_be_bytes());
            plain.extend_from_slice(&state);
            [window.top, window.bits, lease].iter().for_each(|number| plain.extend_from_slice(&number.to_be_bytes()));
        }
        let mut sealed = Vec::new();
        at_rest::seal(&key, &mut random, b"", &plain, &mut sealed);
        file.write_all(&(sealed.len() as u32).to_be_bytes())?;
        file.write_all(&sealed)?;
        written += 4 + sealed.len();
    }
    println!("snapshot_s {}", (cpu::of_thread() - before).as_secs_f64());
    println!("snapshot_mb {}", written as f64 / 1e6);
    drop(endpoint);
    read_again(&key, &mut file, count)
}

fn read_again(key: &at_rest::Key, file: &mut std::fs::File, count: u32) -> anyhow::Result<()> {
    use std::io::Seek as _;
    file.rewind()?;
    let mut endpoint = Endpoint::server(server_config(count)?, Box::new(random)).context("endpoint")?;
    let before = cpu::of_thread();
    let mut length = [0; 4];
    while file.read_exact(&mut length).is_ok() {
        let mut sealed = vec![0; u32::from_be_bytes(length) as usize];
        file.read_exact(&mut sealed)?;
        let plain = at_rest::open(key, b"", &sealed).context("a block does not open")?;
        let mut rest = &plain[..];
        while let Some((length, more)) = rest.split_first_chunk::<2>() {
            let (state, more) = more.split_at(usize::from(u16::from_be_bytes(*length)));
            let (numbers, more) = more.split_at(24);
            let number = |at: usize| u64::from_be_bytes(numbers[at..at + 8].try_into().unwrap_or_default());
            let window = bartizan_dtls::ReplayWindow { top: number(0), bits: number(8) };
            let state = SessionState::from_bytes(state).context("a state")?;
            endpoint.restore(state, window, number(16), SocketAddr::from(([10, 0, 0, 1], 5684))).context("restore")?;
            rest = more;
        }
    }
    println!("restore_s {}", (cpu::of_thread() - before).as_secs_f64());
    ensure!(endpoint.sessions().count() == count as usize, "not all sessions came back");
    Ok(())
}

fn shuffle<T>(items: &mut [T]) {
    let mut state = 0x9E37_79B9_7F4A_7C15_u64;
    for at in (1..items.len()).rev() {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        items.swap(at, (state % (at as u64 + 1)) as usize);
    }
}
