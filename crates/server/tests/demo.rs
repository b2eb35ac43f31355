//! The whole loop: a city of real DTLS clients in front of the real server, five attacks, and what became of them.
#![allow(
    clippy::unwrap_used,
    clippy::disallowed_methods,
    clippy::disallowed_types,
    reason = "a test that cannot go on says where, and owns its sockets and files"
)]
#![cfg(feature = "demo")]

use std::io::{BufRead, BufReader};
use std::process::{Command, Stdio};

use bartizan_server::demo::{DemoArgs, run};

#[tokio::test(flavor = "multi_thread")]
async fn five_attacks_are_recognised_and_no_innocent_is_harmed() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("summary.json");
    let args = DemoArgs {
        headless: true,
        devices: 150,
        seconds: Some(50),
        seed: 7,
        summary: Some(file.clone()),
        time_scale: None,
        listen: ([127, 0, 0, 1], 0).into(),
    };
    let summary = run(args).await.unwrap().expect("nobody interrupted it");
    let names: Vec<_> = summary.attacks.iter().map(|attack| attack.name).collect();
    assert_eq!(names, ["meter-firmware", "light-flood", "meter-frequency", "lock-replay", "wrong-key"]);
    for attack in &summary.attacks {
        let (detected, isolated) = (attack.detected_s.expect(attack.name), attack.isolated_s.expect(attack.name));
        assert!(attack.started_s <= detected && detected <= isolated, "{attack:?}");
        assert!(attack.finding.is_some(), "{attack:?}");
    }
    let authenticated: Vec<_> = summary.attacks.iter().map(|attack| attack.authenticated).collect();
    assert_eq!(authenticated, [true, true, true, false, false]);
    assert_eq!(summary.false_isolations, 0, "{summary}");
    assert_eq!(summary.lost_innocent_messages, 0, "{summary}");
    assert!(summary.released >= 1, "{summary}");
    assert_eq!(summary.rekeyed, 1, "the meter that was repaired came back with a new key: {summary}");
    assert!(summary.messages > 1_000, "{summary}");
    let written: serde_json::Value = serde_json::from_slice(&std::fs::read(file).unwrap()).unwrap();
    assert_eq!(written["devices"], 150);
    assert!((30..80).contains(&written["devices_dtls_1_3"].as_u64().unwrap()), "{summary}");
    assert_eq!(written["attacks"].as_array().unwrap().len(), 5);
}

#[test]
fn an_interrupt_ends_the_demo_cleanly_at_any_time() {
    let folder = tempfile::tempdir().unwrap();
    let mut demo = Command::new(env!("CARGO_BIN_EXE_bartizan"))
        .args(["demo", "--devices", "50"])
        .env("TMPDIR", folder.path())
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    let mut lines = BufReader::new(demo.stdout.take().unwrap()).lines().map(Result::unwrap);
    let console = lines.find(|line| line.starts_with("Console: https://")).expect("the console's address");
    assert!(console.contains("/#token=bartizan_"), "{console}");
    lines.find(|line| line.contains("wakes up")).expect("the script's beginning");
    let process = rustix::process::Pid::from_child(&demo);
    rustix::process::kill_process(process, rustix::process::Signal::INT).unwrap();
    assert!(lines.any(|line| line.starts_with("Summary: 50 devices")), "no summary");
    assert!(demo.wait().unwrap().success());
    assert_eq!(std::fs::read_dir(folder.path()).unwrap().count(), 0, "something was left behind");
}
