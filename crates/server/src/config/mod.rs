//! One TOML file in which every key is optional, overridden by `BARTIZAN_SECTION__KEY`.
//!
//! Start at [`load`]; the table of keys is in [`keys`].

mod docs;
mod keys;
mod load;
mod setting;

pub use docs::{commented_file, reference};
pub use keys::{Api, Config, Gateway, KEYS, Key, Log, Reload, SECTIONS, Section, Server};
pub use load::{Faults, Loaded, Origin, Shown, load, parse};
pub use setting::{LogFormat, LogLevel, MetricsReader};
