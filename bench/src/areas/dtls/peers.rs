//! Implementations by others, each in a process of its own, doing the same work in the same run; and the suites of
//! others that ours is tried with.

use std::path::PathBuf;
use std::process::Command;

use anyhow::Context;
use serde_json::Value;

use super::sessions::{FEW, measured, parse};
use crate::report::Figure;

struct Peer {
    name: &'static str,
    program: &'static str,
    session_bytes: &'static str,
    records: &'static str,
    handshakes: &'static str,
}

const PEERS: [Peer; 3] = [
    Peer {
        name: "Mbed TLS 3.6",
        program: "peer-mbed",
        session_bytes: "dtls.mbedtls_session_bytes",
        records: "dtls.mbedtls_records_per_s_core",
        handshakes: "dtls.mbedtls_handshakes_psk_per_s_core",
    },
    Peer {
        name: "wolfSSL",
        program: "peer-wolfssl",
        session_bytes: "dtls.wolfssl_session_bytes",
        records: "dtls.wolfssl_records_per_s_core",
        handshakes: "dtls.wolfssl_handshakes_psk_per_s_core",
    },
    Peer {
        name: "dimpl",
        program: "peer-dimpl",
        session_bytes: "dtls.dimpl_session_bytes",
        records: "dtls.dimpl_records_per_s_core",
        handshakes: "dtls.dimpl_handshakes_psk_per_s_core",
    },
];

pub fn run(ours: &[Figure]) -> anyhow::Result<Vec<Figure>> {
    let mut figures = Vec::new();
    let (mut records, mut handshakes) = (0_f64, 0_f64);
    for peer in &PEERS {
        let Some(said) = ask(peer)? else {
            eprintln!("left out: {} ({} is not built: `cargo xtask bench` does)", peer.name, peer.program);
            continue;
        };
        let of = |name: &str| said.get(name).copied().with_context(|| format!("{}: no {name}", peer.program));
        let what = format!("{}, {FEW} sessions of TLS_PSK_WITH_AES_128_CCM_8 in one process", peer.name);
        figures.push(Figure::new(peer.session_bytes, of("session_bytes")?, format!("{what}: memory of one")));
        figures.push(Figure::new(
            peer.records,
            of("records_per_s")?,
            format!("{what}: records of 64 bytes, a random one each"),
        ));
        figures.push(Figure::new(peer.handshakes, of("handshakes_psk_per_s")?, format!("{what}, without cookie")));
        records = records.max(of("records_per_s")?);
        handshakes = handshakes.max(of("handshakes_psk_per_s")?);
    }
    if records > 0.0 {
        let same = measured(FEW)?.get("records_per_s").copied().context("our records at the same count")?;
        figures.push(Figure::new(
            "dtls.ratio_to_best_peer",
            same / records,
            format!("records a second, {FEW} sessions: ours are {same:.0}, the best peer's {records:.0}"),
        ));
        let ours = ours.iter().find(|figure| figure.name == "dtls.handshakes_psk_per_s_core");
        let ours = ours.context("our handshakes")?.value;
        figures.push(Figure::new(
            "dtls.handshakes_psk_ratio_to_best_peer",
            ours / handshakes,
            "PSK handshakes a second; ours with a cookie, theirs without",
        ));
    }
    figures.extend(interop()?);
    figures.extend(bogo());
    Ok(figures)
}

/// What a peer's `bench` prints; `None` if it is not built.
fn ask(peer: &Peer) -> anyhow::Result<Option<std::collections::BTreeMap<String, f64>>> {
    let Some(program) = find(peer.program) else { return Ok(None) };
    let output = Command::new(&program).args(["bench", &FEW.to_string()]).output()?;
    anyhow::ensure!(output.status.success(), "{}: {}", peer.program, String::from_utf8_lossy(&output.stderr));
    parse(&String::from_utf8(output.stdout)?).map(Some)
}

/// Beside this program, where `cargo build --release` puts them, or in the folder of the one with a workspace of its
/// own.
fn find(program: &str) -> Option<PathBuf> {
    let here = std::env::current_exe().ok()?;
    let folder = here.parent()?;
    let places = [folder.join(program), folder.parent()?.join("peers/release").join(program)];
    places.into_iter().find(|place| place.is_file())
}

/// How the interop matrix stands.
fn interop() -> anyhow::Result<Vec<Figure>> {
    let file = tempfile::NamedTempFile::new()?;
    let cargo = std::env::var("CARGO").unwrap_or_else(|_| "cargo".to_owned());
    let status = Command::new(cargo)
        .args(["run", "--quiet", "--package", "bartizan-peer-matrix", "--", "--json"])
        .arg(file.path())
        .stdout(std::process::Stdio::null())
        .status()?;
    let text = std::fs::read(file.path())?;
    let Ok(measured) = serde_json::from_slice::<Value>(&text) else {
        eprintln!("left out: the interop matrix (it ended with {status})");
        return Ok(Vec::new());
    };
    let names = [
        ("dtls.interop_cells_passed", "cells of the interop matrix that pass (docs/interop.md)"),
        ("dtls.interop_cells_total", "all its cells, skipped ones included, each with its reason"),
    ];
    let of = |(name, what): (&'static str, &str)| Some(Figure::new(name, measured.get(name)?.as_f64()?, what));
    Ok(names.into_iter().filter_map(of).collect())
}

/// How BoringSSL's protocol tests went last: `cargo xtask test --step bogo` runs them.
fn bogo() -> Vec<Figure> {
    let here = std::env::current_exe().unwrap_or_default();
    let target = here.parent().and_then(std::path::Path::parent).map(PathBuf::from).unwrap_or_default();
    let text = std::fs::read(target.join("bogo/result.json")).unwrap_or_default();
    let Ok(measured) = serde_json::from_slice::<Value>(&text) else {
        eprintln!("left out: BoringSSL's tests (`cargo xtask test --step bogo` runs them)");
        return Vec::new();
    };
    let names = [
        ("dtls.bogo_passed", "cases of BoringSSL's protocol tests that pass, credentials substituted for RSA"),
        ("dtls.bogo_total", "all its DTLS cases; peers/bogo/disabled.toml has the reasons for those left out"),
    ];
    let of = |(name, what): (&'static str, &str)| Some(Figure::new(name, measured.get(name)?.as_f64()?, what));
    names.into_iter().filter_map(of).collect()
}
