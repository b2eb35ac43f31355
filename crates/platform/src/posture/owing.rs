//! Evidence that is owed: how old the last good verdict may be, and what comes of it when it is older.
//!
//! Time alone limits and never isolates. A device that goes on reporting and does not attest is isolated after a
//! grace; one that is silent is out of reach, and nothing further comes of it. Only a good verdict ends any of this.

use bartizan_wire::{Access, Cause, Lifecycle, UnixMillis};

use super::{Change, Posture};

/// How often devices of a type must attest.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Schedule {
    /// How old the last good verdict may be.
    pub every_ms: u64,
    /// How long a device that owes evidence may go on without it.
    pub grace_ms: u64,
}

/// Whether a device has proven lately what it runs.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub enum Proof {
    /// It owes nothing.
    #[default]
    Current,
    /// It is asked for evidence before its time, since it gave cause.
    Owed,
    /// It has no good verdict that is young enough.
    Stale,
    /// The same, and it has been silent since.
    Unreachable,
    /// The same, and it keeps reporting without evidence.
    Evading,
}

/// Every move that time and findings make. A good verdict leads back to [`Proof::Current`] from everywhere, and
/// nothing else does.
pub const PROOFS: &[(Proof, Proof)] = &[
    (Proof::Current, Proof::Owed),
    (Proof::Current, Proof::Stale),
    (Proof::Owed, Proof::Stale),
    (Proof::Stale, Proof::Unreachable),
    (Proof::Stale, Proof::Evading),
    (Proof::Unreachable, Proof::Stale),
];

impl Proof {
    pub const ALL: &'static [Self] = &[Self::Current, Self::Owed, Self::Stale, Self::Unreachable, Self::Evading];

    /// The stable number used in storage.
    #[must_use]
    pub const fn code(self) -> u8 {
        match self {
            Self::Current => 0,
            Self::Owed => 1,
            Self::Stale => 2,
            Self::Unreachable => 3,
            Self::Evading => 4,
        }
    }

    /// As the API has it.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Current => "current",
            Self::Owed => "owed",
            Self::Stale => "stale",
            Self::Unreachable => "unreachable",
            Self::Evading => "evading",
        }
    }

    #[must_use]
    pub fn from_code(code: u8) -> Option<Self> {
        Self::ALL.iter().copied().find(|proof| proof.code() == code)
    }

    /// Whether the last good verdict is too old.
    #[must_use]
    pub const fn is_overdue(self) -> bool {
        matches!(self, Self::Stale | Self::Unreachable | Self::Evading)
    }

    /// The access that it leaves, and why, said of the device. Nothing more than before: `None`.
    const fn hold(self) -> Option<(Access, &'static str)> {
        match self {
            Self::Current | Self::Owed | Self::Unreachable => None,
            Self::Stale => Some((Access::Limited, "owes evidence of what it runs: its last good verdict is too old")),
            Self::Evading => Some((Access::Quarantined, "keeps reporting, but does not prove what it runs")),
        }
    }
}

impl Posture {
    /// What time has made of a device that must attest by `schedule` and was heard last at `heard`; `None`: nothing
    /// new. `excused` is when it could last not have attested for want of a verifier: it gets a whole grace from then.
    #[must_use]
    pub fn owing(
        &self,
        now: UnixMillis,
        heard: Option<UnixMillis>,
        schedule: &Schedule,
        excused: Option<UnixMillis>,
    ) -> Option<Proof> {
        let since = self.proof_at.filter(|_| self.lifecycle == Lifecycle::Active)?;
        let pardoned = excused.map_or(UnixMillis(0), |until| until.plus(schedule.grace_ms));
        let due = |ms| since.plus(ms).max(pardoned);
        let heard = heard.unwrap_or(UnixMillis(0));
        match self.proof {
            Proof::Current => (due(schedule.every_ms) <= now).then_some(Proof::Stale),
            Proof::Owed => (due(schedule.grace_ms) <= now).then_some(Proof::Stale),
            Proof::Unreachable => (heard > since).then_some(Proof::Stale),
            Proof::Stale if due(schedule.grace_ms) > now => None,
            Proof::Stale if heard >= due(schedule.grace_ms) => Some(Proof::Evading),
            Proof::Stale => (heard <= since).then_some(Proof::Unreachable),
            Proof::Evading => None,
        }
    }

    /// When something comes of it that the device brings nothing, as long as the verifier is there.
    #[must_use]
    pub fn due_by(&self, schedule: &Schedule) -> Option<UnixMillis> {
        let since = self.proof_at.filter(|_| self.lifecycle == Lifecycle::Active)?;
        match self.proof {
            Proof::Current => Some(since.plus(schedule.every_ms)),
            Proof::Owed | Proof::Stale => Some(since.plus(schedule.grace_ms)),
            Proof::Unreachable | Proof::Evading => None,
        }
    }

    /// Whether the device should bring evidence now: it is owed, or nothing else ends what holds it.
    #[must_use]
    pub fn wants_evidence(&self) -> bool {
        self.lifecycle == Lifecycle::Active
            && (self.proof != Proof::Current
                || self.holds.iter().any(|hold| hold.exit == bartizan_wire::Exit::Evidence))
    }

    /// A move that is not in the table changes nothing, so that saying it again does not either.
    pub(super) fn owes(&mut self, now: UnixMillis, proof: Proof, changes: &mut Vec<Change>) {
        if self.proof_at.is_none() || !PROOFS.contains(&(self.proof, proof)) {
            return;
        }
        (self.proof, self.proof_at) = (proof, Some(now));
        changes.push(Change::Owes(proof));
        if let Some((access, reason)) = proof.hold() {
            self.hold_evidence(now, Cause::Policy, access, reason, changes);
        }
        if proof == Proof::Evading {
            self.doubt(changes);
        }
    }

    /// The time to its first evidence starts, unless it owes some already.
    pub(super) fn starts_to_owe(&mut self, now: UnixMillis, changes: &mut Vec<Change>) {
        if self.lifecycle == Lifecycle::Active && self.proof == Proof::Current {
            self.proof_at = Some(now);
            changes.push(Change::Owes(Proof::Current));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn proofs_keep_their_numbers() {
        for proof in Proof::ALL {
            assert_eq!(Proof::from_code(proof.code()), Some(*proof));
        }
        assert_eq!(Proof::from_code(5), None);
    }

    #[test]
    fn time_never_leads_back_and_isolates_only_by_way_of_a_grace() {
        assert!(PROOFS.iter().all(|(_, to)| *to != Proof::Current));
        assert!(PROOFS.iter().all(|(from, to)| *to != Proof::Evading || *from == Proof::Stale));
        assert!(PROOFS.iter().all(|(from, _)| *from != Proof::Evading));
    }
}
