//! The rules about devices: what a posture is and what it allows ([`posture`]), how much of a fleet machines may
//! isolate ([`brake`]), how an operator's spreadsheet of keys is read ([`import`]), and how all of it is said in
//! words that a water-works engineer understands ([`explain`]).
//!
//! ```text
//!  Finding ─▶ grade ─▶ Policy ─▶ Brake ─▶ Hold ─▶ Posture ─▶ Access
//!                       person ───────────▲
//! ```
//!
//! Start with [`posture::Posture`]. No I/O, no clock: `now` is an argument.

pub mod brake;
pub mod explain;
pub mod import;
pub mod limits;
pub mod posture;
pub mod stage;
