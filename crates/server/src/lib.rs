//! The server `bartizan`: sockets, storage, HTTP API and command line around the crates that decide.
//!
//! ```text
//!  devices ─UDP─▶ gateway ─▶ app ─▶ upstream ─▶ the operator's platform
//!                             │ ▲
//!                       store ◀┘ └── api ◀─HTTPS─ console, command line
//! ```
//!
//! [`app::App`] holds every use case and is what the [`gateway`], the [`api`] and tests start from;
//! [`config`] says what it is made with and [`serve`] runs it all. `api` calls `app`, `app` calls `store`;
//! the API never touches the store.

// Sockets, clocks, files, threads and the system's randomness are this crate's trade.
#![allow(clippy::disallowed_methods, clippy::disallowed_types)]

pub mod api;
pub mod app;
pub mod base64;
pub mod ca;
pub mod cli;
pub mod clock;
pub mod config;
pub mod data_dir;
#[cfg(feature = "demo")]
pub mod demo;
pub mod device_tls;
pub mod energy;
pub mod est;
pub mod gateway;
pub mod limits;
pub mod mqtt;
pub mod ops;
pub mod serve;
pub mod store;
pub mod upstream;
