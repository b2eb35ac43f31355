//! What is measured, area by area.

mod client;
mod dtls;
mod energy;
mod gateway;
mod pipe;
mod trust;

use crate::report::Figure;

/// A part of the system with figures of its own.
pub struct Area {
    pub name: &'static str,
    pub what: &'static str,
    pub run: fn() -> anyhow::Result<Vec<Figure>>,
}

pub const ALL: &[Area] = &[
    Area { name: "dtls", what: "handshakes, sessions, records, beside other implementations", run: dtls::run },
    Area { name: "client", what: "flash, stack and heap of the smallest one", run: client::run },
    Area { name: "energy", what: "what a Connection ID saves a sleeping device", run: energy::run },
    Area { name: "pipe", what: "the judge in a simulated city", run: pipe::run },
    Area { name: "trust", what: "appraisals, beside their signatures and over a million devices", run: trust::run },
    Area { name: "gateway", what: "messages through the whole of it, and how fast it closes", run: gateway::run },
];

/// What a measurement runs in a process of its own, so that nothing else is in its memory.
type Job = fn(&[String]) -> anyhow::Result<()>;

/// The job that this process was started for by another, if it was.
pub fn child_job(arguments: &[String]) -> Option<(Job, &[String])> {
    let (first, rest) = arguments.split_first()?;
    let job: Job = match first.as_str() {
        "job:idle-sessions" => dtls::hold_idle_sessions,
        "job:sessions" => dtls::hold_sessions,
        "job:load" => gateway::load,
        "job:flood" => gateway::flood,
        "job:device-profiles" => pipe::hold_device_profiles,
        _ => return None,
    };
    Some((job, rest))
}

/// Runs `job` in a process of its own and reads the one number that it prints.
fn measure_apart(job: &str) -> anyhow::Result<f64> {
    measure_apart_with(job, &[])
}

fn measure_apart_with(job: &str, arguments: &[&str]) -> anyhow::Result<f64> {
    let output = std::process::Command::new(std::env::current_exe()?).arg(job).args(arguments).output()?;
    if !output.status.success() {
        anyhow::bail!("{job} failed: {}", String::from_utf8_lossy(&output.stderr));
    }
    Ok(String::from_utf8(output.stdout)?.trim().parse()?)
}
