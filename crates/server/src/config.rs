//! The configuration: one TOML file, every key optional.
