//! What the command line says when something fails: one line, and perhaps what to do about it.

use std::fmt;

use crate::app;
use crate::data_dir;

/// A failed verb. The exit status tells programs what the line tells people.
#[derive(Debug)]
pub struct Failure {
    pub line: String,
    pub hint: Option<String>,
    pub status: Status,
}

/// The exit status of the process.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Status {
    Done = 0,
    Failed = 1,
    Usage = 2,
    /// Something was looked at and found wanting: bad lines, bad keys.
    Found = 3,
}

impl From<Status> for std::process::ExitCode {
    fn from(status: Status) -> Self {
        (status as u8).into()
    }
}

impl Failure {
    #[must_use]
    pub fn new(line: impl Into<String>) -> Self {
        Self { line: line.into(), hint: None, status: Status::Failed }
    }

    #[must_use]
    pub fn usage(line: impl Into<String>) -> Self {
        Self { status: Status::Usage, ..Self::new(line) }
    }

    #[must_use]
    pub fn hint(mut self, hint: impl Into<String>) -> Self {
        self.hint = Some(hint.into());
        self
    }
}

impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for line in self.line.lines() {
            writeln!(f, "bartizan: {line}")?;
        }
        match &self.hint {
            Some(hint) => writeln!(f, "  hint: {hint}"),
            None => Ok(()),
        }
    }
}

impl From<data_dir::Error> for Failure {
    fn from(error: data_dir::Error) -> Self {
        let hint = error.hint();
        Self { hint, ..Self::new(error.to_string()) }
    }
}

impl From<app::Error> for Failure {
    fn from(error: app::Error) -> Self {
        Self::new(error.to_string())
    }
}

impl From<crate::config::Faults> for Failure {
    fn from(faults: crate::config::Faults) -> Self {
        Self::new(faults.to_string())
    }
}
