//! What came out, in one line for people and one file for programs.

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;

use anyhow::{Context, Result};
use serde_json::{Value, json};

use super::cases::{Case, Disabled};

/// What became of a case in one run.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Outcome {
    Passed,
    Failed,
    /// The shim said that it cannot do that.
    Unimplemented,
    /// Left out.
    Disabled,
}

#[derive(Default)]
pub struct Report {
    total: usize,
    /// In which run how many cases passed only since their open credential is ours.
    adapted: BTreeMap<String, usize>,
    runs: BTreeMap<String, BTreeMap<String, Outcome>>,
    /// Why cases were left out in any run, and which.
    disabled: BTreeMap<String, BTreeSet<String>>,
    /// What the shim lacked, in how many cases of all runs together.
    lacking: BTreeMap<String, usize>,
}

impl Report {
    /// Takes in the runner's results and the shim's reasons of one run.
    pub fn add(
        &mut self,
        credential: &str,
        all: &[Case],
        disabled: &Disabled,
        results: &[u8],
        reasons: &str,
    ) -> Result<()> {
        let results: Value = serde_json::from_slice(results)?;
        let mut outcomes = BTreeMap::new();
        self.total = all.len();
        for case in all {
            let outcome = match disabled.reason(credential, &case.name) {
                Some(reason) => {
                    self.disabled.entry(reason.to_owned()).or_default().insert(case.name.clone());
                    Outcome::Disabled
                }
                None => {
                    outcome(&results["tests"][&case.name]).with_context(|| format!("no result of {}", case.name))?
                }
            };
            if case.adapted && outcome == Outcome::Passed {
                *self.adapted.entry(credential.to_owned()).or_default() += 1;
            }
            outcomes.insert(case.name.clone(), outcome);
        }
        for reason in reasons.lines() {
            *self.lacking.entry(reason.to_owned()).or_default() += 1;
        }
        self.runs.insert(credential.to_owned(), outcomes);
        Ok(())
    }

    /// `N passed, N failed, N not implemented, N disabled` of one run.
    pub fn counts(&self, credential: &str) -> String {
        let count = |outcome: Outcome| self.count(credential, outcome);
        format!(
            "{} passed, {} failed, {} not implemented, {} disabled",
            count(Outcome::Passed),
            count(Outcome::Failed),
            count(Outcome::Unimplemented),
            count(Outcome::Disabled)
        )
    }

    /// Cases that failed in any run.
    pub fn failed(&self) -> Vec<&str> {
        let failed = self.runs.values().flatten().filter(|(_, one)| **one == Outcome::Failed);
        let mut names: Vec<&str> = failed.map(|(name, _)| name.as_str()).collect();
        names.sort_unstable();
        names.dedup();
        names
    }

    pub fn print(&self) {
        for (reason, count) in sorted(&self.lacking) {
            println!("bogo: {count:4} not implemented: {reason}");
        }
        for (reason, count) in sorted(&self.disabled_counts()) {
            println!("bogo: {count:4} disabled: {reason}");
        }
        let (passed, failed) = (self.passed(), self.failed().len());
        println!(
            "bogo: {passed} passed, {failed} failed, {} disabled or not implemented",
            self.total - passed - failed
        );
    }

    pub fn write(&self, file: &Path) -> Result<()> {
        let runs: BTreeMap<&str, Value> = self
            .runs
            .keys()
            .map(|credential| {
                let count = |outcome| self.count(credential, outcome);
                let counts = json!({
                    "passed": count(Outcome::Passed),
                    "passed_with_our_credential": self.adapted.get(credential),
                    "failed": count(Outcome::Failed),
                    "unimplemented": count(Outcome::Unimplemented),
                    "disabled": count(Outcome::Disabled),
                });
                (credential.as_str(), counts)
            })
            .collect();
        let value = json!({
            "dtls.bogo_passed": self.passed(),
            "dtls.bogo_total": self.total,
            "runs": runs,
            "disabled": self.disabled_counts(),
            "unimplemented": self.lacking,
        });
        std::fs::write(file, serde_json::to_string_pretty(&value)? + "\n")?;
        Ok(())
    }

    fn disabled_counts(&self) -> BTreeMap<String, usize> {
        self.disabled.iter().map(|(reason, names)| (reason.clone(), names.len())).collect()
    }

    /// Cases that passed in a run and failed in none.
    fn passed(&self) -> usize {
        let mut best: BTreeMap<&str, Outcome> = BTreeMap::new();
        for (name, outcome) in self.runs.values().flatten() {
            let known = best.entry(name).or_insert(*outcome);
            if *outcome == Outcome::Failed || (*outcome == Outcome::Passed && *known != Outcome::Failed) {
                *known = *outcome;
            }
        }
        best.values().filter(|outcome| **outcome == Outcome::Passed).count()
    }

    fn count(&self, credential: &str, outcome: Outcome) -> usize {
        let outcomes = self.runs.get(credential);
        outcomes.map_or(0, |outcomes| outcomes.values().filter(|one| **one == outcome).count())
    }
}

fn outcome(result: &Value) -> Option<Outcome> {
    match result["actual"].as_str()? {
        "PASS" => Some(Outcome::Passed),
        "SKIP" => Some(Outcome::Unimplemented),
        _ => Some(Outcome::Failed),
    }
}

/// The most frequent first.
fn sorted(counts: &BTreeMap<String, usize>) -> Vec<(&str, usize)> {
    let mut sorted: Vec<(&str, usize)> = counts.iter().map(|(name, count)| (name.as_str(), *count)).collect();
    sorted.sort_by_key(|(_, count)| std::cmp::Reverse(*count));
    sorted
}
