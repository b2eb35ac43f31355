//! From changed firmware to isolation: one meter after the other attests over DTLS, is changed, starts again, shakes hands
//! and attests with what it runs now. Server and meters in this process, loopback sockets between them.

use std::collections::HashMap;
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use anyhow::{Context, ensure};
use bartizan_crypto::{RUSTCRYPTO, Secret};
use bartizan_device::attest::Carry;
use bartizan_device::{Code, Request, content_format};
use bartizan_server::app::references::PolicyView;
use bartizan_server::app::{AccessChange, Actor};
use bartizan_server::clock::Clock;
use bartizan_server::demo::firmware;
use bartizan_sim::{CHAIN_BYTES, Flash};
use bartizan_trust::challenge::binding;
use bartizan_wire::{Access, DeviceKey};
use tokio::sync::mpsc;

use super::super::gateway::devices::{Device, name, random};
use super::super::gateway::server::{Server, TENANT, TYPE};
use crate::report::Figure;

const METERS: usize = 400;
const PATH: &str = "/.well-known/bartizan/attestation";

pub fn run() -> anyhow::Result<Vec<Figure>> {
    let server = Server::start(METERS, Clock::real())?;
    let isolated = Arc::new(Mutex::new(HashMap::new()));
    let noted = note_isolations(server.app().access_changes(), isolated.clone());
    server.runtime().spawn(noted);
    let meters = server.runtime().block_on(prepare(&server))?;
    let mut sent = Vec::with_capacity(METERS);
    for (number, key) in meters.iter().enumerate() {
        sent.push((*key, tamper(&server, number).with_context(|| format!("meter {number}"))?));
    }
    std::thread::sleep(Duration::from_millis(200)); // for who notes them
    server.stop();
    let isolated = isolated.lock().expect("invariant: nothing panics while it notes isolations");
    let (mut whole, mut judged) = (Vec::new(), Vec::new());
    for (key, sent) in &sent {
        let at = *isolated.get(key).context("a changed meter was not isolated")?;
        let first = sent.first().context("a meter sent nothing")?;
        let last = sent.iter().rev().find(|sent| **sent <= at).context("a meter was isolated before it spoke")?;
        whole.push(at.duration_since(*first).as_secs_f64() * 1000.0);
        judged.push(at.duration_since(*last).as_secs_f64() * 1000.0);
    }
    let whole_of = format!(
        "{METERS} meters one after the other: from the first datagram of a meter with changed firmware, which has to shake hands, to its isolation; in one process with the gateway, the meters' own work counted"
    );
    let judged_of = format!("the same {METERS}: from sending the last datagram of the bad evidence to the isolation");
    Ok(vec![
        Figure::new("trust.tamper_to_isolated_ms_p50", percentile(&mut whole, 50), whole_of.clone()),
        Figure::new("trust.tamper_to_isolated_ms_p99", percentile(&mut whole, 99), whole_of),
        Figure::new("trust.evidence_to_isolated_ms_p50", percentile(&mut judged, 50), judged_of.clone()),
        Figure::new("trust.evidence_to_isolated_ms_p99", percentile(&mut judged, 99), judged_of),
    ])
}

/// Releases the meters' firmware and registers who they are.
async fn prepare(server: &Server) -> anyhow::Result<Vec<DeviceKey>> {
    let (app, actor) = (server.app(), Actor("bench".into()));
    let tenant = app.tenant_id(TENANT).await?;
    firmware::release(app, &actor, tenant, TYPE, PolicyView::default()).await?;
    let mut keys = Vec::with_capacity(METERS);
    for number in 0..METERS {
        let key = app.device_key(tenant, &name(number)).await?;
        app.set_identity(&actor, key, &Flash::identity(secret(number)).to_string()).await?;
        keys.push(key);
    }
    Ok(keys)
}

type Isolations = Arc<Mutex<HashMap<DeviceKey, Instant>>>;

async fn note_isolations(mut changes: mpsc::UnboundedReceiver<AccessChange>, isolated: Isolations) {
    while let Some(change) = changes.recv().await {
        if change.access >= Access::Quarantined {
            let mut isolated = isolated.lock().expect("invariant: nothing panics while it notes isolations");
            isolated.entry(change.device.key).or_insert_with(Instant::now);
        }
    }
}

/// When the meter sent its datagrams after it was changed.
fn tamper(server: &Server, number: usize) -> anyhow::Result<Vec<Instant>> {
    let mut flash = Flash::new(secret(number));
    attest(&mut Device::connect(server.address(), number)?, &mut flash)?;
    flash.patch_firmware();
    let mut changed = Device::connect(server.address(), number)?;
    attest(&mut changed, &mut flash)?;
    Ok(changed.sent)
}

fn attest(device: &mut Device, flash: &mut Flash) -> anyhow::Result<()> {
    let mut chain = [0; CHAIN_BYTES];
    let attester = flash.start(&mut random, &mut chain);
    let (code, challenge) = device.ask(Request::get(PATH))?;
    ensure!(code == Code::CONTENT, "no challenge: {code:?}");
    let exporter = Secret::new(*device.client.exporter().context("a session without an exporter value")?);
    let bond = binding(&RUSTCRYPTO, &exporter, &challenge);
    let mut out = [0; CHAIN_BYTES + 352];
    let made = attester.evidence(&RUSTCRYPTO, &mut random, &challenge, &bond, Carry::Chain, &mut out);
    let made = made.map_err(|error| anyhow::anyhow!("no evidence: {error:?}"))?;
    let (code, _) = device.ask(Request::post(PATH, content_format::EAT_CWT, &out[..made]))?;
    ensure!(code == Code::CHANGED, "the evidence was refused: {code:?}");
    Ok(())
}

fn secret(number: usize) -> [u8; 32] {
    let mut secret = [7; 32];
    secret[..8].copy_from_slice(&(number as u64).to_be_bytes());
    secret
}

fn percentile(millis: &mut [f64], percent: usize) -> f64 {
    millis.sort_by(f64::total_cmp);
    let rank = (millis.len() * percent).div_ceil(100).saturating_sub(1);
    millis.get(rank).copied().unwrap_or(f64::NAN)
}
