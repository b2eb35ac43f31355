//! What operators need around the server: health, metrics, logs, signals, backup.
