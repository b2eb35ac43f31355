//! `skips.toml`: which cells do not run, and why.

use anyhow::{Context, Result};
use serde::Deserialize;

use crate::cell::Cell;

const FILE: &str = include_str!("../skips.toml");

/// Takes out the cells that have all of the properties that it names.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Rule {
    pub reason: String,
    outside: Option<String>,
    version: Option<String>,
    auth: Option<String>,
    suite: Option<String>,
    group: Option<String>,
    cid: Option<bool>,
    rebind: Option<bool>,
    update: Option<bool>,
    loss: Option<u8>,
    ours: Option<String>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct File {
    #[serde(default)]
    skip: Vec<Rule>,
}

impl Rule {
    #[must_use]
    pub fn takes_out(&self, cell: &Cell) -> bool {
        let named = [
            (&self.outside, cell.outside.name()),
            (&self.version, cell.version.name()),
            (&self.auth, cell.auth.name()),
            (&self.suite, cell.suite.name()),
            (&self.group, cell.group_name()),
            (&self.ours, cell.ours.name()),
        ];
        named.iter().all(|(wanted, actual)| wanted.as_deref().is_none_or(|wanted| wanted == *actual))
            && self.cid.is_none_or(|cid| cid == cell.cid)
            && self.rebind.is_none_or(|rebind| rebind == cell.rebind)
            && self.update.is_none_or(|update| update == cell.update)
            && self.loss.is_none_or(|loss| loss == cell.loss)
    }
}

/// The checked-in rules, the first of which that fits a cell gives the reason.
///
/// # Errors
/// If the file is not what it should be.
pub fn rules() -> Result<Vec<Rule>> {
    let file: File = toml::from_str(FILE).context("peers/matrix/skips.toml")?;
    Ok(file.skip)
}
