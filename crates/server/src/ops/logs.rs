//! Logs on standard error: lines for people on a terminal, JSON elsewhere.

use std::io::IsTerminal;

use tracing_subscriber::filter::LevelFilter;
use tracing_subscriber::prelude::*;
use tracing_subscriber::{Registry, fmt, reload};

use crate::config::{Log, LogFormat, LogLevel};

/// Changes the level while the server runs.
#[derive(Clone)]
pub struct LevelSwitch(reload::Handle<LevelFilter, Registry>);

impl LevelSwitch {
    pub fn set(&self, level: LogLevel) {
        // The handle only fails once the subscriber is gone, and with it everything that could be logged.
        let _ = self.0.reload(filter(level));
    }
}

/// Starts logging; the first call of a process wins.
#[must_use]
pub fn start(log: &Log) -> LevelSwitch {
    let (level, handle) = reload::Layer::new(filter(log.level));
    let lines = fmt::layer().with_writer(std::io::stderr);
    let registry = tracing_subscriber::registry().with(level);
    let started = if is_for_people(log.format) {
        let lines = lines.with_ansi(std::io::stderr().is_terminal());
        registry.with(lines.with_target(false)).try_init()
    } else {
        let lines = lines.json().flatten_event(true).with_current_span(false);
        registry.with(lines.with_span_list(false)).try_init()
    };
    // Tests start several servers in one process; they share the first one's logs.
    let _ = started;
    LevelSwitch(handle)
}

fn is_for_people(format: LogFormat) -> bool {
    match format {
        LogFormat::Auto => std::io::stderr().is_terminal(),
        LogFormat::Human => true,
        LogFormat::Json => false,
    }
}

const fn filter(level: LogLevel) -> LevelFilter {
    match level {
        LogLevel::Error => LevelFilter::ERROR,
        LogLevel::Warn => LevelFilter::WARN,
        LogLevel::Info => LevelFilter::INFO,
        LogLevel::Debug => LevelFilter::DEBUG,
        LogLevel::Trace => LevelFilter::TRACE,
    }
}
