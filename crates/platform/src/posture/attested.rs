//! What verdicts on evidence do to a posture.
//!
//! A failure is a hold of cause *attestation* that only evidence ends: for a challenge from after the hold, through a
//! probation of several affirming verdicts and, where the policy asks for it, another key. Evidence that is owed is a hold of cause *policy* that the next good
//! verdict ends; it neither clears a failure nor becomes one.

use bartizan_wire::{Access, Attestation, Cause, Exit, UnixMillis};

use super::{Change, Policy, Posture, Proof, Rekey, cut};
use crate::stage::{Signal, Stage};

/// How verdicts become holds, and how those end.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct AttestationPolicy {
    /// Access of a device that a verdict warns of.
    pub warning: Access,
    /// Access of a device whose evidence contradicts the reference values.
    pub contraindicated: Access,
    /// Affirming verdicts that a device on probation needs to be free.
    pub passes: u8,
}

impl Default for AttestationPolicy {
    fn default() -> Self {
        Self { warning: Access::Full, contraindicated: Access::Quarantined, passes: 2 }
    }
}

impl AttestationPolicy {
    #[must_use]
    pub const fn access_of(&self, tier: Attestation) -> Access {
        match tier {
            Attestation::None | Attestation::Affirming => Access::Full,
            Attestation::Warning => self.warning,
            Attestation::Contraindicated => self.contraindicated,
        }
    }
}

/// What a verifier found.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Verdict {
    pub tier: Attestation,
    /// When the challenge was issued that the evidence answers.
    pub challenged: UnixMillis,
    /// A plain sentence.
    pub reason: String,
    /// The strictest access that the brake permits now.
    pub ceiling: Access,
    /// A device that failed needs another key before it is free: what it ran may have read the one that it has.
    pub rekey: bool,
}

impl Posture {
    /// Whether a verdict of this tier would isolate the device by `policy` and nothing of it were held yet: what the
    /// brake is asked about.
    #[must_use]
    pub fn would_isolate_by(&self, tier: Attestation, policy: &Policy) -> bool {
        let failed = self.holds.iter().filter(|hold| hold.cause == Cause::Attestation);
        let held = failed.map(super::Hold::effect).max().unwrap_or(Access::Full);
        let wanted = policy.attestation.access_of(tier);
        wanted >= Access::Quarantined && held < wanted
    }

    pub(super) fn appraised(&mut self, now: UnixMillis, verdict: &Verdict, policy: &Policy, changes: &mut Vec<Change>) {
        let from = std::mem::replace(&mut self.attestation, verdict.tier);
        self.verdict_at = Some(now);
        changes.push(Change::Appraised { from, to: verdict.tier });
        match verdict.tier {
            Attestation::None => {}
            Attestation::Affirming => self.affirmed(now, verdict, policy, changes),
            Attestation::Warning | Attestation::Contraindicated => {
                self.contradicted(now, changes);
                let wanted = policy.attestation.access_of(verdict.tier).min(verdict.ceiling);
                self.hold_evidence(now, Cause::Attestation, wanted, &verdict.reason, changes);
            }
        }
        match verdict.tier {
            Attestation::None => {}
            Attestation::Affirming | Attestation::Warning => {
                self.prove(now, verdict.challenged, changes);
                if verdict.tier == Attestation::Affirming {
                    self.proven_at = self.proven_at.max(Some(verdict.challenged));
                }
                self.trust_again(changes);
            }
            Attestation::Contraindicated => self.doubt(changes),
        }
    }

    /// A step on the way out of every failure, if the challenge is from after it.
    fn affirmed(&mut self, now: UnixMillis, verdict: &Verdict, policy: &Policy, changes: &mut Vec<Change>) {
        for hold in self.holds.iter_mut().filter(|hold| hold.cause == Cause::Attestation) {
            if verdict.challenged <= hold.stage_since {
                continue;
            }
            if let Some(stage) = hold.stage.after(Signal::Affirmed) {
                hold.enter(stage, now);
                hold.rekey = hold.rekey.asked(verdict.rekey);
                changes.push(Change::Moved(hold.clone()));
                continue;
            }
            hold.rekey = hold.rekey.asked(verdict.rekey);
            hold.passes = hold.passes.saturating_add(1);
            let free = hold.passes >= policy.attestation.passes && hold.rekey != Rekey::Awaited;
            match hold.stage.after(Signal::Proven).filter(|_| free) {
                Some(stage) => {
                    hold.enter(stage, now);
                    changes.push(Change::Ended(hold.clone()));
                }
                None => changes.push(Change::Moved(hold.clone())),
            }
        }
        self.holds.retain(|hold| hold.stage != Stage::Ended);
    }

    /// Probation is over for every failure.
    fn contradicted(&mut self, now: UnixMillis, changes: &mut Vec<Change>) {
        for hold in self.holds.iter_mut().filter(|hold| hold.cause == Cause::Attestation) {
            if let Some(stage) = hold.stage.after(Signal::Worsened) {
                hold.enter(stage, now);
                changes.push(Change::Moved(hold.clone()));
            }
        }
    }

    /// Places the hold of this cause that evidence ends, or makes the one in force stricter.
    pub(super) fn hold_evidence(
        &mut self,
        now: UnixMillis,
        cause: Cause,
        access: Access,
        reason: &str,
        changes: &mut Vec<Change>,
    ) {
        if access == Access::Full {
            return;
        }
        let found = self.holds.iter_mut().find(|hold| hold.cause == cause && hold.exit == Exit::Evidence);
        match found {
            Some(hold) if hold.access < access => {
                hold.access = access;
                hold.reason = cut(reason);
                hold.enter(Stage::Held, now);
                changes.push(Change::Moved(hold.clone()));
            }
            // What fails again starts over: only a challenge from after the latest failure counts.
            Some(hold) => hold.enter(Stage::Held, now),
            None => {
                let hold = self.new_hold(now, cause, Exit::Evidence, access, reason);
                self.place(hold, changes);
            }
        }
    }

    /// Nothing is owed any more, if the challenge is from after it was.
    fn prove(&mut self, now: UnixMillis, challenged: UnixMillis, changes: &mut Vec<Change>) {
        if self.proof != Proof::Current && self.proof_at.is_some_and(|since| challenged <= since) {
            return;
        }
        (self.proof, self.proof_at) = (Proof::Current, Some(now));
        let ends = |hold: &super::Hold| hold.cause == Cause::Policy && hold.exit == Exit::Evidence;
        let (ended, kept) = std::mem::take(&mut self.holds).into_iter().partition(ends);
        self.holds = kept;
        let ended: Vec<super::Hold> = ended;
        changes.extend(ended.into_iter().map(|hold| Change::Ended(super::Hold { stage: Stage::Ended, ..hold })));
    }
}
