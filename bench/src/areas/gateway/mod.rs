//! The whole gateway: record in, decrypt, journal, judge, publish to the log upstream, answer. The server runs
//! in this process, its devices in another, over loopback sockets; only this process's CPU time counts.

mod ccm;
pub(super) mod devices;
pub(super) mod server;

use std::io::{BufRead, BufReader};
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use anyhow::{Context, ensure};
use bartizan_server::clock::Clock;
use bartizan_wire::UnixMillis;

pub use devices::{flood, load};

use super::measure_apart_with;
use crate::cpu;
use crate::report::Figure;
use server::Server;

const DEVICES: usize = 256;
const FLOODERS: usize = 200;
const WARM_UP: Duration = Duration::from_secs(2);
const MEASURED: Duration = Duration::from_secs(8);
/// So many event seconds in one real second that devices which never rest report about once an hour.
const SCALE: u32 = 200_000;

pub fn run() -> anyhow::Result<Vec<Figure>> {
    let (messages, record_bytes) = messages_per_second()?;
    let opens = ccm::opens_per_second(record_bytes);
    let closed_ms = finding_to_closed_ms()?;
    Ok(vec![
        Figure::new(
            "gateway.messages_per_s_core",
            messages,
            format!(
                "{DEVICES} devices, confirmable CoAP in records of {record_bytes} bytes, to the log upstream, all threads counted"
            ),
        ),
        Figure::new(
            "gateway.ratio_to_ccm8",
            messages / opens,
            format!("the same over {opens:.0} bare AES-128-CCM-8 openings of such records a second"),
        ),
        Figure::new(
            "pipe.finding_to_closed_ms_p99",
            closed_ms,
            format!(
                "{FLOODERS} floods; from sending the message that gives the device away to its refusal, so an upper bound"
            ),
        ),
    ])
}

/// Messages accepted upstream in a second of CPU time, and the size of their records.
fn messages_per_second() -> anyhow::Result<(f64, usize)> {
    let server = Server::start(DEVICES, Clock::scaled(UnixMillis(1_767_225_600_000), SCALE))?;
    let mut load = Load::start("job:load", server.address(), DEVICES)?;
    let record_bytes = load.read_number()?;
    std::thread::sleep(WARM_UP);
    let (accepted, spent) = (server.accepted(), cpu::of_process());
    std::thread::sleep(MEASURED);
    let (accepted, spent) = (server.accepted() - accepted, cpu::of_process() - spent);
    drop(load);
    ensure!(accepted > 0, "no message arrived");
    ensure!(server.refused() == 0, "devices that report hourly were refused");
    server.stop();
    Ok((cpu::per_second(accepted, spent), record_bytes))
}

fn finding_to_closed_ms() -> anyhow::Result<f64> {
    let server = Server::start(FLOODERS, Clock::real())?;
    let millis = measure_apart_with("job:flood", &[&server.address().to_string(), &FLOODERS.to_string()]);
    server.stop();
    millis
}

/// Another process that plays devices; it ends with this value.
struct Load {
    child: Child,
    said: BufReader<std::process::ChildStdout>,
}

impl Load {
    fn start(job: &str, gateway: std::net::SocketAddr, devices: usize) -> anyhow::Result<Self> {
        let mut child = Command::new(std::env::current_exe()?)
            .args([job, &gateway.to_string(), &devices.to_string()])
            .stdout(Stdio::piped())
            .spawn()
            .context("cannot start the devices")?;
        let said = BufReader::new(child.stdout.take().context("the devices have no output")?);
        Ok(Self { child, said })
    }

    /// Waits for the one line that it prints when all devices are connected.
    fn read_number(&mut self) -> anyhow::Result<usize> {
        let mut line = String::new();
        self.said.read_line(&mut line)?;
        line.trim().parse().with_context(|| format!("the devices said {line:?}"))
    }
}

impl Drop for Load {
    fn drop(&mut self) {
        // It may have ended by itself.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}
