//! The one word that people ask for, as a projection of the whole posture.

use bartizan_wire::{Access, Attestation, Cause, Grade, Lifecycle, Update};

use super::{Posture, Stage};

/// Whether the word before it in a row holds of a posture.
type Holds = fn(&Posture) -> bool;

/// Every word and what it is. The first row that holds is the state; the last always does.
pub const STATES: &[(&str, Holds)] = &[
    ("retired", |posture| posture.lifecycle == Lifecycle::Retired),
    ("revoked", |posture| posture.access() == Access::Blocked),
    ("repairing", |posture| is_isolated(posture) && matches!(posture.update, Update::Offered | Update::Installing)),
    ("quarantined", is_isolated),
    ("registered", |posture| posture.lifecycle == Lifecycle::Pending),
    ("probation", |posture| posture.holds.iter().any(|hold| hold.stage == Stage::Probation)),
    ("failed", has_failed),
    ("stale", |posture| posture.proof.is_overdue()),
    ("warning", |posture| {
        posture.attestation == Attestation::Warning
            || posture.grade != Grade::Normal
            || posture.access() == Access::Limited
    }),
    ("active", |_| true),
];

impl Posture {
    /// The device's state in one word.
    #[must_use]
    pub fn state(&self) -> &'static str {
        STATES.iter().find(|(_, holds)| holds(self)).map_or("active", |(word, _)| word)
    }
}

fn is_isolated(posture: &Posture) -> bool {
    posture.access() == Access::Quarantined
}

/// Its evidence speaks against it, yet it is not isolated: the brake or the policy spared it.
fn has_failed(posture: &Posture) -> bool {
    posture.attestation == Attestation::Contraindicated
        || posture
            .holds
            .iter()
            .any(|hold| hold.cause == Cause::Attestation && posture.attestation != Attestation::Warning)
}
