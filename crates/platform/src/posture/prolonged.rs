//! What heartbeats do: they keep a good verdict young.
//!
//! They make none, improve none, end no hold and pay no debt: whoever is restricted for its evidence, or owes some, has
//! to bring evidence.

use bartizan_wire::{Attestation, Exit, Lifecycle, UnixMillis};

use super::{Change, Posture, Proof};

/// A heartbeat that counted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Heartbeat {
    /// When it came.
    pub at: UnixMillis,
    /// When the challenge was issued that it answered, or its epoch began. None for an older one or the same counts.
    pub challenged: UnixMillis,
}

impl Posture {
    /// Whether a heartbeat over a challenge, or an epoch, from then prolongs the last verdict.
    #[must_use]
    pub fn takes_heartbeat(&self, challenged: UnixMillis) -> bool {
        self.is_prolonged_by_heartbeats() && self.heartbeat.is_none_or(|last| challenged > last.challenged)
    }

    /// Whether there is a verdict that heartbeats may prolong, and nothing that only evidence settles.
    #[must_use]
    pub fn is_prolonged_by_heartbeats(&self) -> bool {
        self.lifecycle == Lifecycle::Active
            && matches!(self.attestation, Attestation::Affirming | Attestation::Warning)
            && self.proof == Proof::Current
            && !self.holds.iter().any(|hold| hold.exit == Exit::Evidence)
    }

    pub(super) fn prolonged(&mut self, now: UnixMillis, challenged: UnixMillis, changes: &mut Vec<Change>) {
        if !self.takes_heartbeat(challenged) {
            return;
        }
        self.heartbeat = Some(Heartbeat { at: now, challenged });
        self.proof_at = self.proof_at.max(Some(challenged));
        if self.attestation == Attestation::Affirming {
            self.proven_at = self.proven_at.max(Some(challenged));
        }
        changes.push(Change::Prolonged);
    }
}
