//! A server that is killed at any moment keeps what it has acknowledged.

use std::collections::BTreeMap;
use std::io::{BufRead, BufReader};
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use super::*;

const FOLDER: &str = "BARTIZAN_TEST_KILL_FOLDER";
const ROUND: &str = "BARTIZAN_TEST_KILL_ROUND";

/// The process that is killed; nothing when it is run as a test of its own.
#[tokio::test]
async fn victim() {
    let (Ok(folder), Ok(round)) = (std::env::var(FOLDER), std::env::var(ROUND)) else { return };
    let app = App::open(options(std::path::Path::new(&folder), &Clock::real())).await.unwrap();
    let tenant = app.tenant_id("water").await.unwrap();
    for number in 0.. {
        let name = format!("d{round}-{number}");
        let device = NewDevice { name: name.clone(), device_type: "lock".into(), ..NewDevice::default() };
        app.add_device(&ada(), tenant, device).await.unwrap();
        println!("ack {name} added");
        let key = app.device_key(tenant, &name).await.unwrap();
        app.isolate(&ada(), key, "", false).await.unwrap();
        println!("ack {name} isolated");
        if number % 2 == 0 {
            app.release(&ada(), key, "").await.unwrap();
            println!("ack {name} released");
        }
    }
}

/// What the victim acknowledged before it was killed.
fn kill_one(folder: &std::path::Path, round: u64) -> Vec<(String, String)> {
    let mut victim = Command::new(std::env::current_exe().unwrap())
        .args(["app::tests::kill::victim", "--exact", "--nocapture"])
        .env(FOLDER, folder)
        .env(ROUND, round.to_string())
        .stdout(Stdio::piped())
        .stderr(Stdio::null())
        .spawn()
        .unwrap();
    let mut acknowledged = Vec::new();
    let mut started = None;
    for line in BufReader::new(victim.stdout.take().unwrap()).lines() {
        let line = line.unwrap();
        let Some((name, what)) = line.split_once("ack ").and_then(|(_, ack)| ack.split_once(' ')) else { continue };
        acknowledged.push((name.to_owned(), what.to_owned()));
        let since: &mut Instant = started.get_or_insert_with(Instant::now);
        if since.elapsed() > Duration::from_millis(40 + 61 * round) {
            // SIGKILL; what it still printed is read, since it was acknowledged too.
            victim.kill().unwrap();
        }
    }
    victim.wait().unwrap();
    acknowledged
}

#[tokio::test]
async fn kill_9_loses_no_acknowledged_change() {
    let world = World::new().await;
    world.app.shutdown().await;
    let mut last = BTreeMap::new();
    for round in 0..4 {
        let acknowledged = kill_one(world.dir.path(), round);
        assert!(!acknowledged.is_empty(), "the victim never got anywhere");
        last.extend(acknowledged);
    }
    let app = App::open(options(world.dir.path(), &Clock::real())).await.unwrap();
    for (name, what) in last {
        let found = app.credential(name.as_bytes()).await.unwrap();
        let device = found.unwrap_or_else(|| panic!("{name} was lost")).device;
        let odd = name.ends_with(['1', '3', '5', '7', '9']);
        match what.as_str() {
            "released" => assert_eq!(device.access(), Access::Full, "{name}"),
            "isolated" if odd => assert_eq!(device.access(), Access::Quarantined, "{name}"),
            // The step after the last acknowledged one may or may not have happened.
            _ => {}
        }
    }
}
