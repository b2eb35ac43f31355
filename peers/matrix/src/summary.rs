//! Running cells side by side, and what came of them.

use core::fmt;
use std::collections::BTreeMap;
use std::sync::Mutex;
use std::sync::atomic::{AtomicUsize, Ordering};

use anyhow::Result;

use crate::outside::program;
use crate::skips::rules;
use crate::{Cell, Credentials, Outside, meet, meet_itself};

/// Cells mostly wait: for datagrams, for each other, for what was lost.
const AT_ONCE: usize = 12;

#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Outcome {
    Passed,
    Failed(String),
    Skipped(String),
}

/// What came of a number of cells.
#[derive(Clone, Debug, Default)]
pub struct Summary {
    pub outcomes: BTreeMap<Cell, Outcome>,
}

/// Runs `cells`, but for those that a rule of `skips.toml` takes out or whose outside program is missing.
///
/// # Errors
/// If the rules cannot be read or no credentials be made.
pub fn run(cells: &[Cell]) -> Result<Summary> {
    let rules = rules()?;
    let skip = |cell: &Cell| rules.iter().find(|rule| rule.takes_out(cell)).map(|rule| rule.reason.clone());
    run_each(cells, skip, meet)
}

/// Has each outside program meet itself as the cell says, without ours: what the table says of it is true.
///
/// # Errors
/// If no credentials can be made.
pub fn run_outside_alone(cells: &[Cell]) -> Result<Summary> {
    run_each(cells, |_| None, meet_itself)
}

fn run_each(
    cells: &[Cell],
    skip: impl Fn(&Cell) -> Option<String> + Sync,
    meet: impl Fn(&Cell, &Credentials) -> Result<()> + Sync,
) -> Result<Summary> {
    let credentials = Credentials::new()?;
    let missing: Vec<Outside> = Outside::ALL.into_iter().filter(|outside| program(*outside).is_none()).collect();
    let (next, summary) = (AtomicUsize::new(0), Mutex::new(Summary::default()));
    std::thread::scope(|scope| {
        for _ in 0..AT_ONCE {
            scope.spawn(|| {
                while let Some(cell) = cells.get(next.fetch_add(1, Ordering::Relaxed)) {
                    let absent = || missing.contains(&cell.outside).then(|| absent(cell.outside));
                    let outcome = match skip(cell).or_else(absent) {
                        Some(reason) => Outcome::Skipped(reason),
                        None => meet(cell, &credentials)
                            .map_or_else(|error| Outcome::Failed(format!("{error:#}")), |()| Outcome::Passed),
                    };
                    summary.lock().expect("no cell panics").outcomes.insert(*cell, outcome);
                }
            });
        }
    });
    Ok(summary.into_inner().expect("no cell panics"))
}

fn absent(outside: Outside) -> String {
    format!("the program of {} is missing: `cargo xtask test` builds or installs it", outside.name())
}

impl Summary {
    #[must_use]
    pub fn passed(&self) -> usize {
        self.count(|outcome| matches!(outcome, Outcome::Passed))
    }

    #[must_use]
    pub fn failed(&self) -> usize {
        self.count(|outcome| matches!(outcome, Outcome::Failed(_)))
    }

    #[must_use]
    pub fn skipped(&self) -> usize {
        self.count(|outcome| matches!(outcome, Outcome::Skipped(_)))
    }

    /// The numbers under the benchmark's names.
    #[must_use]
    pub fn to_json(&self) -> serde_json::Value {
        serde_json::json!({
            "dtls.interop_cells_passed": self.passed(),
            "dtls.interop_cells_failed": self.failed(),
            "dtls.interop_cells_skipped": self.skipped(),
            "dtls.interop_cells_total": self.outcomes.len(),
        })
    }

    fn count(&self, wanted: impl Fn(&Outcome) -> bool) -> usize {
        self.outcomes.values().filter(|outcome| wanted(outcome)).count()
    }
}

/// Failures one by one, reasons for skips with their counts, and the counts of all.
impl fmt::Display for Summary {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut reasons: BTreeMap<&str, usize> = BTreeMap::new();
        for (cell, outcome) in &self.outcomes {
            match outcome {
                Outcome::Failed(error) => writeln!(f, "FAILED {cell}: {error}")?,
                Outcome::Skipped(reason) => *reasons.entry(reason).or_default() += 1,
                Outcome::Passed => {}
            }
        }
        for (reason, count) in reasons {
            writeln!(f, "skipped {count}: {reason}")?;
        }
        write!(f, "cells: {} passed, {} failed, {} skipped", self.passed(), self.failed(), self.skipped())
    }
}
