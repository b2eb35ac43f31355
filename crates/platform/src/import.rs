//! Operators' spreadsheets of keys.
