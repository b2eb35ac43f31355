//! `bartizan config …`.

use serde::Serialize;

use super::args::{Global, Output};
use super::error::{Failure, Status};
use super::open;
use super::table::table;
use crate::config::Shown;
use crate::data_dir::DataDir;

#[derive(Serialize)]
struct Row<'a> {
    key: &'a str,
    /// As it would be written in the file.
    value: &'a str,
    from: String,
}

/// Says whether the configuration is good; every fault is one line.
///
/// # Errors
/// None: faults are what was looked for.
pub fn check(dir: &DataDir, global: &Global) -> Result<(String, Status), Failure> {
    match open::config(dir, global.config.as_deref()) {
        Ok(loaded) => {
            let written = loaded.values.iter().filter(|shown| shown.origin != crate::config::Origin::Default);
            let line = match written.count() {
                0 => "the configuration is good; every key has its default\n".to_owned(),
                1 => "the configuration is good; 1 key is set\n".to_owned(),
                count => format!("the configuration is good; {count} keys are set\n"),
            };
            Ok((line, Status::Done))
        }
        Err(faults) => Err(Failure { status: Status::Found, ..faults.into() }),
    }
}

/// Every key in force and where its value came from. No key holds a secret, only paths of files that do.
///
/// # Errors
/// Every fault, a line each.
pub fn show(dir: &DataDir, global: &Global) -> Result<String, Failure> {
    let loaded = open::config(dir, global.config.as_deref())?;
    Ok(match global.output {
        Output::Table => people(&loaded.values),
        Output::Json => {
            let rows: Vec<Row<'_>> = loaded.values.iter().map(row).collect();
            let text = serde_json::to_string_pretty(&rows).expect("invariant: text prints");
            format!("{text}\n")
        }
    })
}

fn row(shown: &Shown) -> Row<'_> {
    Row { key: shown.key, value: &shown.value, from: shown.origin.to_string() }
}

fn people(values: &[Shown]) -> String {
    let rows: Vec<Vec<String>> =
        values.iter().map(|it| vec![it.key.into(), it.value.clone(), it.origin.to_string()]).collect();
    table(&["key", "value", "from"], &rows)
}
