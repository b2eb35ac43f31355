//! What `cargo xtask test` runs, in order from the cheapest to the dearest.

use std::time::Instant;

use anyhow::{Result, bail};

use crate::run::{cargo, program, target_dir};
use crate::{bogo, peers, setup, size};

/// One named part of the test run.
struct Step {
    name: &'static str,
    what: &'static str,
    run: fn() -> Result<()>,
}

const STEPS: &[Step] = &[
    Step { name: "format", what: "rustfmt finds nothing to change", run: format },
    Step { name: "rust", what: "every Rust test: units, properties, simulations, interop, end to end", run: rust },
    Step { name: "docs", what: "every example in the documentation", run: docs },
    Step { name: "lint", what: "clippy, with the bans of clippy.toml", run: lint },
    Step { name: "proof", what: "the codecs of the device crates link without a panic path", run: proof },
    Step { name: "size", what: "the smallest client keeps within its flash, stack and heap", run: size::step },
    Step { name: "bogo", what: "BoringSSL's protocol test runner against our DTLS", run: bogo::step },
    Step { name: "web", what: "the console's types and unit tests", run: web },
    Step { name: "browser", what: "the console in Chromium, against a recorded server and a real one", run: browser },
];

pub fn test(may_install: bool, arguments: &[String]) -> Result<()> {
    let chosen = choose(arguments)?;
    if chosen.is_empty() {
        STEPS.iter().for_each(|step| println!("{:8} {}", step.name, step.what));
        return Ok(());
    }
    setup::everything(setup::Scope::Test, may_install)?;
    let failed: Vec<&str> = chosen.iter().filter(|step| !passes(step)).map(|step| step.name).collect();
    println!("\nsteps: {} passed, {} failed", chosen.len() - failed.len(), failed.len());
    if !failed.is_empty() {
        bail!("failed: {}", failed.join(", "));
    }
    Ok(())
}

/// The steps named by `--step NAME`, all of them if none is, none for `--list`.
fn choose(arguments: &[String]) -> Result<Vec<&'static Step>> {
    let mut chosen = Vec::new();
    let mut words = arguments.iter().map(String::as_str);
    while let Some(word) = words.next() {
        let name = match word {
            "--list" => return Ok(Vec::new()),
            "--step" => words.next().unwrap_or(""),
            other => bail!("no option {other:?}: test [--list] [--step NAME]…"),
        };
        let Some(step) = STEPS.iter().find(|step| step.name == name) else {
            bail!("no step {name:?}: `cargo xtask test --list` names them");
        };
        chosen.push(step);
    }
    Ok(if chosen.is_empty() { STEPS.iter().collect() } else { chosen })
}

fn passes(step: &Step) -> bool {
    println!("\n== {}: {}", step.name, step.what);
    let start = Instant::now();
    let outcome = (step.run)();
    let seconds = start.elapsed().as_secs();
    match outcome {
        Ok(()) => println!("== {} passed in {seconds} s", step.name),
        Err(ref error) => println!("== {} FAILED after {seconds} s: {error:#}", step.name),
    }
    outcome.is_ok()
}

fn format() -> Result<()> {
    cargo(&["fmt", "--all", "--check"]).stream()
}

fn lint() -> Result<()> {
    cargo(&["clippy", "--workspace", "--all-targets", "--quiet", "--", "--deny", "warnings"]).stream()?;
    without_defaults()
}

/// What a small device leaves out of the protocol: every combination is a build that somebody has.
fn without_defaults() -> Result<()> {
    for features in ["", "dtls13", "certificates"] {
        let clippy = ["clippy", "--package", "bartizan-dtls", "--lib", "--no-default-features", "--features", features];
        cargo(&clippy).args(&["--quiet", "--", "--deny", "warnings"]).stream()?;
    }
    Ok(())
}

fn rust() -> Result<()> {
    peers::build()?;
    if cargo(&["nextest", "--version"]).succeeds() {
        return cargo(&["nextest", "run", "--workspace", "--no-fail-fast"]).stream();
    }
    cargo(&["test", "--workspace", "--lib", "--bins", "--tests", "--no-fail-fast"]).stream()
}

fn docs() -> Result<()> {
    cargo(&["test", "--workspace", "--doc", "--quiet"]).stream()
}

/// Links the proof, and then a version of it that panics on purpose, which must not link: a proof that cannot
/// fail proves nothing.
fn proof() -> Result<()> {
    let target = target_dir().join("proof");
    let target = target.to_string_lossy();
    let build = ["build", "--release", "--quiet", "--manifest-path", "proof/Cargo.toml", "--target-dir", &target];
    cargo(&build).stream()?;
    let (text, linked) = cargo(&build).args(&["--features", "negative-control"]).output()?;
    if linked || !text.contains("bartizan_panic_path_remains") {
        bail!("the negative control linked, or failed for another reason:\n{text}");
    }
    println!("proof: linked without a panic path; the negative control was refused by the linker");
    Ok(())
}

fn web() -> Result<()> {
    program("npm", &["run", "--silent", "check"]).within("web").stream()?;
    program("npm", &["test", "--silent"]).within("web").stream()
}

fn browser() -> Result<()> {
    cargo(&["build", "--quiet", "--package", "bartizan-server"]).stream()?;
    let binary = target_dir().join("debug").join("bartizan");
    program("npm", &["run", "--silent", "e2e"]).within("web").env("BARTIZAN_BIN", &binary.to_string_lossy()).stream()
}
