//! What an implementation costs a server: memory a session, handshakes and records a second of CPU time.

use std::time::Duration;

use anyhow::{Context, Result, ensure};

/// What each record holds.
pub const PAYLOAD: [u8; 64] = [7; 64];
/// How many records wait for each session.
pub const RECORDS_PER_SESSION: usize = 4;

/// Makes so many sessions, then reads all their records, a random session each time. `establish` adds the server's share
/// of a handshake to the time it is given and leaves [`RECORDS_PER_SESSION`] records with the session; `read` opens one.
/// Returns `NAME VALUE` lines.
///
/// # Errors
/// The first of `establish` or `read`.
pub fn run<S>(
    version: &str,
    sessions: usize,
    mut establish: impl FnMut(&mut Duration) -> Result<S>,
    read: impl FnMut(&mut S) -> Result<()>,
) -> Result<String> {
    ensure!(sessions > 0, "at least one session");
    // The first session pays for what is shared.
    let mut kept = vec![establish(&mut Duration::default())?];
    let before = resident_bytes()?;
    let mut spent = Duration::ZERO;
    for _ in 0..sessions {
        kept.push(establish(&mut spent)?);
    }
    let bytes = resident_bytes()?.saturating_sub(before) as f64 / sessions as f64;
    let handshakes = sessions as f64 / spent.as_secs_f64();
    let records = receive_at_random(&mut kept, read)?;
    Ok(format!(
        "version {version}\nsessions {sessions}\nsession_bytes {bytes:.0}\nhandshakes_psk_per_s {handshakes:.0}\nrecords_per_s {records:.0}\n"
    ))
}

fn receive_at_random<S>(sessions: &mut [S], mut read: impl FnMut(&mut S) -> Result<()>) -> Result<f64> {
    let mut order: Vec<usize> = (0..sessions.len()).cycle().take(sessions.len() * RECORDS_PER_SESSION).collect();
    let mut state = 0x9E37_79B9_7F4A_7C15_u64;
    for at in (1..order.len()).rev() {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        order.swap(at, (state % (at as u64 + 1)) as usize);
    }
    let before = cpu_time();
    for index in &order {
        read(&mut sessions[*index])?;
    }
    Ok(order.len() as f64 / (cpu_time() - before).as_secs_f64())
}

/// CPU time of this thread so far.
#[must_use]
pub fn cpu_time() -> Duration {
    let time = rustix::time::clock_gettime(rustix::time::ClockId::ThreadCPUTime);
    Duration::new(time.tv_sec as u64, time.tv_nsec as u32)
}

fn resident_bytes() -> Result<u64> {
    let statm = std::fs::read_to_string("/proc/self/statm")?;
    let pages: u64 = statm.split_whitespace().nth(1).context("/proc/self/statm has no second field")?.parse()?;
    Ok(pages * 4096)
}
