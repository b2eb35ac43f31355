//! Runs the interop matrix, or a part of it.
#![allow(clippy::disallowed_methods, reason = "a developer's program: it prints and writes a file")]

use std::process::ExitCode;

use anyhow::{Context, Result};
use bartizan_peer_matrix::{Cell, cells, run, run_outside_alone};

const USAGE: &str = "\
usage: interop-matrix [--json FILE] [--list] [--alone] [WORD...]

Runs the cells whose names hold every WORD (all of them without), such as `wolfssl 1.3 psk cid`; prints what failed, why
cells were skipped, and the counts. --list prints the names; --alone has the outside programs meet
themselves; --json writes the counts under the benchmark's names.
";

fn main() -> Result<ExitCode> {
    let (mut json, mut list, mut alone, mut words) = (None, false, false, Vec::new());
    let mut arguments = std::env::args().skip(1);
    while let Some(argument) = arguments.next() {
        match argument.as_str() {
            "--help" => {
                print!("{USAGE}");
                return Ok(ExitCode::SUCCESS);
            }
            "--json" => json = Some(arguments.next().context("--json needs a file")?),
            "--list" => list = true,
            "--alone" => alone = true,
            _ => words.push(argument),
        }
    }
    let chosen: Vec<Cell> = cells().into_iter().filter(|cell| is_meant(cell, &words)).collect();
    if list {
        chosen.iter().for_each(|cell| println!("{cell}"));
        return Ok(ExitCode::SUCCESS);
    }
    let summary = if alone { run_outside_alone(&chosen) } else { run(&chosen) }?;
    println!("{summary}");
    if let Some(path) = json {
        std::fs::write(&path, format!("{:#}\n", summary.to_json())).with_context(|| format!("cannot write {path}"))?;
    }
    Ok(if summary.failed() == 0 { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

fn is_meant(cell: &Cell, words: &[String]) -> bool {
    let name = cell.to_string();
    words.iter().all(|word| name.split(' ').any(|part| part == word))
}
