//! What every handler shares.

use std::sync::{Arc, RwLock};
use std::time::Duration;

use tokio::sync::Semaphore;

use super::auth::{Failures, Sessions};
use super::idempotency::InFlight;
use crate::app::App;
use crate::config::{Config, MetricsReader};
use crate::ops::{Health, Metrics};

/// The API's own state around the [`App`].
pub struct Api {
    pub app: Arc<App>,
    pub health: Arc<Health>,
    pub metrics: Arc<Metrics>,
    pub options: ApiOptions,
    pub(super) sessions: Sessions,
    pub(super) failures: Failures,
    pub(super) in_flight: InFlight,
    pub(super) requests: Arc<Semaphore>,
    pub(super) streams: Arc<Semaphore>,
    live: RwLock<Live>,
}

/// Handlers take the state in this form.
pub type Shared = axum::extract::State<Arc<Api>>;

/// Bounds that hold until the next start.
#[derive(Clone, Debug)]
pub struct ApiOptions {
    pub request_timeout: Duration,
    pub body_bytes_max: usize,
    pub import_bytes_max: u64,
    pub requests_max: usize,
    pub event_streams_max: usize,
    /// Where `POST /backups` puts a backup.
    pub backup_dir: std::path::PathBuf,
}

/// What a reload changes.
#[derive(Clone, Copy, Debug)]
pub struct Live {
    pub auth_failures_per_minute: u64,
    pub session: Duration,
    pub metrics: MetricsReader,
}

impl ApiOptions {
    #[must_use]
    pub fn from_config(config: &Config, data_dir: &std::path::Path) -> Self {
        let api = &config.api;
        Self {
            request_timeout: Duration::from_secs(api.request_timeout_s.value()),
            body_bytes_max: api.body_kib_max.count() * 1024,
            import_bytes_max: api.import_mib_max.value() * 1024 * 1024,
            requests_max: api.requests_max.count(),
            event_streams_max: api.event_streams_max.count(),
            backup_dir: absolute(&data_dir.join("backups")),
        }
    }
}

/// Whoever is told this path may be somewhere else.
fn absolute(path: &std::path::Path) -> std::path::PathBuf {
    std::path::absolute(path).unwrap_or_else(|_| path.to_owned())
}

impl Live {
    #[must_use]
    pub fn from_config(config: &Config) -> Self {
        let api = &config.api;
        Self {
            auth_failures_per_minute: api.auth_failures_per_minute.value(),
            session: Duration::from_secs(api.session_hours.value() * 3600),
            metrics: api.metrics,
        }
    }
}

impl Api {
    #[must_use]
    pub fn new(
        app: Arc<App>,
        health: Arc<Health>,
        metrics: Arc<Metrics>,
        options: ApiOptions,
        live: Live,
    ) -> Arc<Self> {
        Arc::new(Self {
            requests: Arc::new(Semaphore::new(options.requests_max)),
            streams: Arc::new(Semaphore::new(options.event_streams_max)),
            app,
            health,
            metrics,
            options,
            sessions: Sessions::default(),
            failures: Failures::default(),
            in_flight: InFlight::default(),
            live: RwLock::new(live),
        })
    }

    /// What may change while the server runs, as it is now.
    #[must_use]
    pub fn live(&self) -> Live {
        *self.live.read().expect("invariant: no panic under this lock")
    }

    /// Takes over what a reloaded configuration changes.
    pub fn reload(&self, live: Live) {
        *self.live.write().expect("invariant: no panic under this lock") = live;
    }
}
