//! Measurements: `cargo xtask bench [AREA] [--json FILE] [--markdown FILE]`.
//!
//! Rates are per second of CPU time, not of the clock on the wall, so that a machine shared with others tells
//! the same; ratios compare two rates of one run. Nothing here asserts: tests do not depend on speed.
//!
//! Start at [`report::Figure`]; each area in [`areas`] makes some.

// The bench owns clocks, processes and randomness: measuring is what it is for.
#![allow(clippy::disallowed_methods, clippy::disallowed_types)]

mod areas;
mod cpu;
mod report;

use anyhow::{Context, bail};

use crate::report::Report;

const USAGE: &str = "bartizan-bench [AREA] [--json FILE] [--markdown FILE]\n\n  AREA  dtls, client, energy, pipe, trust or gateway; all if left out";

/// What to do, from the command line.
#[derive(Default)]
struct Options {
    area: Option<String>,
    json: Option<String>,
    markdown: Option<String>,
}

fn main() -> anyhow::Result<()> {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    if let Some((job, rest)) = areas::child_job(&arguments) {
        return job(rest);
    }
    let options = parse(arguments)?;
    let mut report = Report::begin();
    for area in areas::ALL {
        if options.area.as_deref().is_none_or(|name| name == area.name) {
            eprintln!("measuring {} ({})", area.name, area.what);
            report.extend((area.run)().with_context(|| format!("area {}", area.name))?);
        }
    }
    print!("{report}");
    if let Some(file) = &options.json {
        std::fs::write(file, report.json()).with_context(|| format!("cannot write {file}"))?;
    }
    if let Some(file) = &options.markdown {
        let before = std::fs::read_to_string(file).unwrap_or_default();
        std::fs::write(file, report.markdown_over(&before)).with_context(|| format!("cannot write {file}"))?;
    }
    Ok(())
}

fn parse(arguments: Vec<String>) -> anyhow::Result<Options> {
    let mut options = Options::default();
    let mut rest = arguments.into_iter();
    while let Some(argument) = rest.next() {
        match argument.as_str() {
            "--json" => options.json = Some(rest.next().context("--json wants a file")?),
            "--markdown" => options.markdown = Some(rest.next().context("--markdown wants a file")?),
            "-h" | "--help" => bail!("{USAGE}"),
            name if areas::ALL.iter().any(|area| area.name == name) && options.area.is_none() => {
                options.area = Some(argument);
            }
            other => bail!("unknown argument `{other}`\n{USAGE}"),
        }
    }
    Ok(options)
}
