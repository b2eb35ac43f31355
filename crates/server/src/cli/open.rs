//! From a data directory and a configuration to an open [`App`].

use std::sync::Arc;

use bartizan_platform::{brake, posture::Policy};

use super::error::Failure;
use crate::app::{App, AppOptions, CertificateOptions};
use crate::clock::Clock;
use crate::config::{self, Config, Loaded};
use crate::data_dir::DataDir;

/// The configuration in force: of `file`, or of the data directory.
///
/// # Errors
/// Every fault, a line each.
pub fn config(dir: &DataDir, file: Option<&std::path::Path>) -> Result<Loaded, config::Faults> {
    let named = file.is_some();
    let path = file.map_or_else(|| dir.config(), std::path::Path::to_owned);
    config::load(&path, !named, std::env::vars_os().filter_map(text))
}

/// Opens the databases of `dir`.
///
/// # Errors
/// One line: the key file, a newer database, a disk that fails.
pub async fn app(dir: &DataDir, config: &Config, clock: Clock) -> Result<Arc<App>, Failure> {
    let key = dir.master_key()?;
    let options = AppOptions {
        policy: policy(config),
        brake: brake(config),
        limited_messages_per_minute: narrow(config.policy.limited_messages_per_minute.value()),
        certificates: CertificateOptions {
            days: narrow(config.certificates.days.value()),
            url: config.certificates.url.0.clone(),
        },
        ..AppOptions::new(dir.data(), key, clock)
    };
    Ok(App::open(options).await?)
}

fn policy(config: &Config) -> Policy {
    let keys = &config.policy;
    Policy {
        suspicious: keys.suspicious,
        abnormal: keys.abnormal,
        dwell_ms: keys.dwell_minutes.value() * 60_000,
        probation_ms: keys.probation_minutes.value() * 60_000,
        ..Policy::default()
    }
}

fn brake(config: &Config) -> brake::Config {
    brake::Config {
        share_permille: narrow(config.brake.share_percent.value() * 10),
        floor: narrow(config.brake.floor.value()),
        ..brake::Config::default()
    }
}

/// Bounded by the table of keys, far below this.
fn narrow(value: u64) -> u32 {
    u32::try_from(value).unwrap_or(u32::MAX)
}

fn text((name, value): (std::ffi::OsString, std::ffi::OsString)) -> Option<(String, String)> {
    Some((name.into_string().ok()?, value.into_string().ok()?))
}
