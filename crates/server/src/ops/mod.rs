//! What operators need around the server: health, metrics, logs, signals, backup.

pub mod backup;
mod health;
pub mod logs;
mod metrics;
pub mod notify;

pub use health::Health;
pub use metrics::Metrics;
