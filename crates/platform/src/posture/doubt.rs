//! Which reports of a device are worth something to those who bill by them.
//!
//! Firmware that is found bad was bad for some time before: since the last moment at which it was known to be what was
//! released, nothing that it said is to be trusted. A warning is not that knowledge, but nothing against it either. Good evidence ends that for what comes after it, and for nothing before.

use bartizan_wire::{Attestation, Cause, UnixMillis};

use super::{Change, Posture, Stage};

impl Posture {
    /// Whether what it reports now is to be trusted. `None`: nothing is known, since it never attested.
    #[must_use]
    pub fn is_trusted(&self) -> Option<bool> {
        match self.attestation {
            _ if self.doubted_since.is_some() || self.proof.is_overdue() => Some(false),
            Attestation::None => None,
            Attestation::Contraindicated => Some(false),
            Attestation::Affirming | Attestation::Warning => Some(true),
        }
    }

    pub(super) fn doubt(&mut self, changes: &mut Vec<Change>) {
        if self.doubted_since.is_none() {
            let since = self.proven_at.unwrap_or(UnixMillis(0));
            self.doubted_since = Some(since);
            changes.push(Change::Doubted { since });
        }
    }

    /// After a good verdict, unless it is one that leads out of no failure.
    pub(super) fn trust_again(&mut self, changes: &mut Vec<Change>) {
        if self.has_failure() || self.proof.is_overdue() {
            return;
        }
        if let Some(since) = self.doubted_since.take() {
            changes.push(Change::Trusted { since });
        }
    }

    /// Whether its evidence spoke against it and no good evidence for a later challenge followed.
    fn has_failure(&self) -> bool {
        self.holds.iter().any(|hold| hold.cause == Cause::Attestation && hold.stage == Stage::Held)
    }
}
