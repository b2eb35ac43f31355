//! How good is an engine? Seeded worlds with labels, and a scorer.
//!
//! ```text
//!  WorldConfig + seed ─▶ World ─▶ labelled events ─▶ Judge ─▶ verdicts ─▶ Report
//! ```
//!
//! A world is a city of benign devices, some heavy-tailed, with outages, restarts and duplicates; attacks are
//! laid over *existing* devices. Worlds in which an attack could be told by something else than what it is
//! meant to show are refused ([`Shortcut`]): an engine that learns the address of the attacker has learnt
//! nothing. Any [`crate::Engine`] can be scored: give it to [`crate::Judge::bare`].
//!
//! ```
//! use bartizan_pipe::harness::{Attack, AttackKind, Kind, WorldConfig, evaluate};
//! use bartizan_pipe::{Judge, JudgeConfig};
//!
//! let world = WorldConfig { meters: 40, days: 2.0, ..WorldConfig::empty(7) }
//!     .with(Attack::on("hasty meter", AttackKind::Hasten { factor: 50.0 }, Kind::Meter, 1, 30.0));
//! let report = evaluate(&world, Judge::new(JudgeConfig::default()))?;
//! assert!(report.attacks[0].isolated == 1 && report.false_isolations == 0, "{report}");
//! # Ok::<(), bartizan_pipe::harness::Shortcut>(())
//! ```

pub mod attack;
pub mod baseline;
mod benign;
pub mod random;
mod score;
mod world;

pub use attack::{Attack, AttackKind};
pub use baseline::FixedThreshold;
pub use random::Seeded;
pub use score::{AttackScore, Report, evaluate};
pub use world::{Kind, Labelled, Shortcut, World, WorldConfig, refuse_shortcuts};
