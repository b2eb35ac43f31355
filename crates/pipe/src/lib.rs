//! The judges of behaviour and of sources: which device acts unlike itself and its kind, which network
//! source deserves no work, and why. No I/O, no clock, no randomness: events and their times go in,
//! [`Verdict`]s come out.
//!
//! ```text
//!                     ┌ Subject::Device ─▶ engines ─▶ Finding ─▶ grades ─▶ Verdict::{Finding, Graded}
//!  Event ─▶ Judge ────┤
//!                     └ Subject::Source ─▶ SourceLimiter ──────────────▶ Verdict::{Finding, SourceLimited}
//! ```
//!
//! The two branches never meet: what was not authenticated as a device cannot move that device's grade.
//!
//! ```
//! use bartizan_pipe::{Judge, JudgeConfig, Verdict};
//! use bartizan_wire::{DeviceKey, Event, EventKind, Grade, Subject, TypeId, UnixMillis};
//! use bartizan_wire::event::{Direction, Message};
//!
//! let mut judge = Judge::new(JudgeConfig::default());
//! let lamp = DeviceKey::new(1, 7);
//! for second in 0..120 {
//!     let report = Message { direction: Direction::Up, kind: 1, payload_bytes: 20, peer: 1 };
//!     let event = Event {
//!         at: UnixMillis(second * 100),
//!         subject: Subject::Device { key: lamp, device_type: TypeId(1) },
//!         kind: EventKind::Message(report),
//!     };
//!     judge.observe(&event, &mut |verdict| {
//!         if let Verdict::Graded { to: Grade::Abnormal, because, .. } = verdict {
//!             assert!(because.observed > because.expected.high);
//!         }
//!     });
//! }
//! assert_eq!(judge.grade(lamp), Grade::Abnormal);
//! ```
//!
//! Start at [`Judge`], [`Verdict`] and the seam, [`Engine`]. A new engine is measured with [`harness`].

mod codec;
pub mod config;
pub mod engine;
pub mod error;
pub mod grade;
pub mod harness;
pub mod judge;
pub mod limits;
pub mod profile;
pub mod protocol;
pub mod source;
mod table;
pub mod view;

pub use config::{GradeConfig, JudgeConfig, ProfileConfig, SourceConfig};
pub use engine::Engine;
pub use error::Error;
pub use judge::{Judge, Shed, Verdict};
pub use profile::ProfileEngine;
pub use protocol::ProtocolEngine;
pub use source::{SourceLimiter, SourceVerdict};
pub use view::{FeatureView, Observation, ProfileView};
