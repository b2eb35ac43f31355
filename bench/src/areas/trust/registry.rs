//! The server's registry: a spreadsheet of a million devices into a data directory, and appraisals out of it.

use std::fmt::Write;
use std::path::Path;
use std::time::Instant;

use anyhow::{Context, ensure};
use bartizan_device::dice::{Algorithm, Form};
use bartizan_server::app::{Actor, App, AppOptions};
use bartizan_server::clock::Clock;
use bartizan_server::store::{MasterKey, Store};
use bartizan_trust::Identity;
use bartizan_wire::{DeviceId, TenantId};
use tokio::runtime::Runtime;

use super::fleet::{Device, Platform, identity_of, median};
use crate::cpu;
use crate::report::Figure;

const FEW: usize = 10_000;
const MANY: usize = 1_000_000;
/// Rows of the two files that are compared.
const COMPARED: usize = 100_000;
/// Registered devices that attest, spread over the registry.
const ATTESTERS: usize = 512;
const ROUNDS: usize = 5;

pub fn run() -> anyhow::Result<Vec<Figure>> {
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build()?;
    let attesters = Device::several(Form::Cbor, Algorithm::P256, ATTESTERS)?;
    let (few, _) = Registry::import(&runtime, FEW, Some(&attesters))?;
    let (many, [wall_s, cpu_s]) = Registry::import(&runtime, MANY, Some(&attesters))?;
    let platform = Platform::new(FEW)?;
    let mut rounds = Vec::new();
    let mut rates = Vec::new();
    for _ in 0..ROUNDS {
        let (small, large) = (few.pass(&runtime, &platform, &attesters)?, many.pass(&runtime, &platform, &attesters)?);
        rounds.push(large / small);
        rates.push(large);
    }
    Ok(vec![
        Figure::new(
            "trust.import_million_s",
            wall_s,
            format!("a spreadsheet with attestation identities, by the clock on the wall; {cpu_s:.0} s of CPU time"),
        ),
        Figure::new(
            "trust.identity_bytes",
            identity_bytes(&runtime)?,
            format!(
                "database per registered identity, index included: a tenant's file of {COMPARED} devices with identities less one without; none is held in memory"
            ),
        ),
        Figure::new(
            "trust.registered_appraisals_per_s_core",
            median(rates)?,
            format!("CBOR, P-256, each with its row of a registry of {MANY} devices, all threads counted"),
        ),
        Figure::new("trust.registry_flatness_ratio", median(rounds)?, format!("the same over a registry of {FEW}")),
    ])
}

fn identity_bytes(runtime: &Runtime) -> anyhow::Result<f64> {
    let attesters = Some(&[][..]);
    let [with, without] = [attesters, None].map(|attesters| Registry::import(runtime, COMPARED, attesters));
    let (with, without) = (with?.0.file_bytes()?, without?.0.file_bytes()?);
    Ok((with as f64 - without as f64) / COMPARED as f64)
}

/// A data directory with so many devices of one tenant.
struct Registry {
    folder: tempfile::TempDir,
    tenant: TenantId,
    devices: usize,
}

impl Registry {
    /// Answers the seconds it took, too: on the wall, and of CPU time. `None` leaves attestation identities out.
    fn import(runtime: &Runtime, devices: usize, attesters: Option<&[Device]>) -> anyhow::Result<(Self, [f64; 2])> {
        let folder = tempfile::tempdir()?;
        let csv = spreadsheet(devices, attesters)?;
        let upstream = format!("log:{}", folder.path().join("messages.ndjson").display());
        let options = AppOptions::new(data(folder.path()), key(), Clock::real());
        let (tenant, spent) = runtime.block_on(async {
            let app = App::open(options).await.context("cannot open the registry")?;
            let actor = Actor("bench".into());
            let upstream = upstream.parse().map_err(anyhow::Error::msg)?;
            let made = app.add_tenant(&actor, "city", upstream).await?;
            let tenant = app.tenant_id(&made.name).await?;
            let (wall, cpu) = (Instant::now(), cpu::of_process());
            let added = app.import_devices(&actor, tenant, std::io::Cursor::new(csv)).await?;
            let spent = [wall.elapsed().as_secs_f64(), (cpu::of_process() - cpu).as_secs_f64()];
            ensure!(added == devices as u64, "{added} devices were imported");
            app.shutdown().await;
            anyhow::Ok((tenant, spent))
        })?;
        Ok((Self { folder, tenant, devices }, spent))
    }

    /// Appraisals of every attester in a second of CPU time, each with its row.
    fn pass(&self, runtime: &Runtime, platform: &Platform, attesters: &[Device]) -> anyhow::Result<f64> {
        runtime.block_on(async {
            let store = Store::open(&data(self.folder.path()), &key()).await?;
            let tenant = store.tenant(self.tenant).await?;
            let before = cpu::of_process();
            for (number, attester) in attesters.iter().enumerate() {
                let row = (number * self.devices / attesters.len()) as u64;
                let found = tenant.attester(DeviceId(row + 1)).await?.context("a device that is not registered")?;
                platform.believe(number, &found.identity, &attester.full)?;
            }
            let spent = cpu::of_process() - before;
            store.close().await;
            Ok(cpu::per_second(attesters.len() as u64, spent))
        })
    }

    fn file_bytes(&self) -> anyhow::Result<u64> {
        let file = data(self.folder.path()).join("tenants").join(format!("{}.db", self.tenant.0));
        Ok(std::fs::metadata(&file).with_context(|| format!("no {}", file.display()))?.len())
    }
}

fn data(folder: &Path) -> std::path::PathBuf {
    folder.join("data")
}

fn key() -> MasterKey {
    MasterKey::from_bytes([7; 32])
}

/// The attesters are spread evenly over it.
fn spreadsheet(devices: usize, attesters: Option<&[Device]>) -> anyhow::Result<String> {
    let mut csv = String::from("name,type,identity,psk");
    csv += if attesters.is_some() { ",attestation_identity\n" } else { "\n" };
    for row in 0..devices {
        write!(csv, "meter-{row:07},meter,meter-{row:07},{:032x}", 0x0123_4567_89AB_CDEF_u128 << 64 | row as u128)?;
        match attesters {
            Some(attesters) => writeln!(csv, ",{}", identity(row, devices, attesters))?,
            None => csv.push('\n'),
        }
    }
    Ok(csv)
}

fn identity(row: usize, devices: usize, attesters: &[Device]) -> Identity {
    let place = row * attesters.len() / devices;
    // The first row of each stretch.
    let first = |place: usize| place * devices / attesters.len().max(1) == row;
    let attester = [place, place + 1].into_iter().filter(|place| first(*place)).find_map(|place| attesters.get(place));
    attester.map_or_else(|| identity_of(row), |attester| attester.identity)
}
