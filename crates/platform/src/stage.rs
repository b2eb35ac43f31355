//! The life of one hold and of one device, each as a table.

use bartizan_wire::{Access, Lifecycle};

/// How far a hold is from its end. Those of persons stay [`Stage::Held`] until they end.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Stage {
    /// In force at full strength.
    Held,
    /// In force; the grade is back to normal and must stay there for the policy's dwell.
    Dwelling,
    /// At most limited: for the policy's probation, or until it has attested as often as the policy asks.
    Probation,
    /// Over.
    Ended,
}

/// What moves a hold from stage to stage.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Signal {
    /// The grade is suspicious or abnormal; or evidence speaks against the device.
    Worsened,
    /// The grade is normal.
    Calmed,
    /// The dwell has passed.
    DwellOver,
    /// The probation has passed.
    ProbationOver,
    /// Evidence for a challenge from after the hold affirms the device.
    Affirmed,
    /// It has done so as often as the policy asks.
    Proven,
}

/// Every move of a hold. A pair that is not listed changes nothing. Those whose exit is the dwell hear of grades and
/// time only, those whose exit is evidence of verdicts only.
pub const STAGES: &[(Stage, Signal, Stage)] = &[
    (Stage::Held, Signal::Calmed, Stage::Dwelling),
    (Stage::Dwelling, Signal::Worsened, Stage::Held),
    (Stage::Dwelling, Signal::DwellOver, Stage::Probation),
    (Stage::Probation, Signal::Worsened, Stage::Held),
    (Stage::Probation, Signal::ProbationOver, Stage::Ended),
    (Stage::Held, Signal::Affirmed, Stage::Probation),
    (Stage::Probation, Signal::Proven, Stage::Ended),
];

impl Stage {
    pub const ALL: &'static [Self] = &[Self::Held, Self::Dwelling, Self::Probation, Self::Ended];

    /// The stage after `signal`; `None` if it changes nothing.
    #[must_use]
    pub fn after(self, signal: Signal) -> Option<Self> {
        STAGES.iter().find(|(from, on, _)| (*from, *on) == (self, signal)).map(|(_, _, to)| *to)
    }

    /// What is left of a hold's access in this stage.
    #[must_use]
    pub fn weaken(self, access: Access) -> Access {
        match self {
            Self::Held | Self::Dwelling => access,
            Self::Probation => access.min(Access::Limited),
            Self::Ended => Access::Full,
        }
    }

    /// The stable number used in storage.
    #[must_use]
    pub const fn code(self) -> u8 {
        match self {
            Self::Held => 0,
            Self::Dwelling => 1,
            Self::Probation => 2,
            Self::Ended => 3,
        }
    }

    #[must_use]
    pub fn from_code(code: u8) -> Option<Self> {
        Self::ALL.iter().copied().find(|stage| stage.code() == code)
    }
}

/// What moves a device through its life.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum LifeSignal {
    /// A handshake finished: the device proved its key.
    HandshakeFinished,
    /// A person takes it out of service.
    Retired,
}

/// Every move of a lifecycle. Nothing leads out of retirement.
pub const LIVES: &[(Lifecycle, LifeSignal, Lifecycle)] = &[
    (Lifecycle::Pending, LifeSignal::HandshakeFinished, Lifecycle::Active),
    (Lifecycle::Pending, LifeSignal::Retired, Lifecycle::Retired),
    (Lifecycle::Active, LifeSignal::Retired, Lifecycle::Retired),
];

/// The lifecycle after `signal`; `None` if it changes nothing.
#[must_use]
pub fn life_after(life: Lifecycle, signal: LifeSignal) -> Option<Lifecycle> {
    LIVES.iter().find(|(from, on, _)| (*from, *on) == (life, signal)).map(|(_, _, to)| *to)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The tables as a picture, so that a changed edge shows as a changed line.
    #[test]
    fn the_edges_are_these_and_no_others() {
        let edges: Vec<String> = STAGES
            .iter()
            .map(|(from, on, to)| format!("{from:?} -{on:?}-> {to:?}"))
            .chain(LIVES.iter().map(|(from, on, to)| format!("{from:?} -{on:?}-> {to:?}")))
            .collect();
        assert_eq!(
            edges,
            [
                "Held -Calmed-> Dwelling",
                "Dwelling -Worsened-> Held",
                "Dwelling -DwellOver-> Probation",
                "Probation -Worsened-> Held",
                "Probation -ProbationOver-> Ended",
                "Held -Affirmed-> Probation",
                "Probation -Proven-> Ended",
                "Pending -HandshakeFinished-> Active",
                "Pending -Retired-> Retired",
                "Active -Retired-> Retired",
            ]
        );
    }

    #[test]
    fn no_pair_has_two_ways_on() {
        for (index, (from, on, _)) in STAGES.iter().enumerate() {
            assert!(STAGES[index + 1..].iter().all(|(f, o, _)| (f, o) != (from, on)));
        }
    }

    #[test]
    fn stages_keep_their_numbers() {
        for stage in Stage::ALL {
            assert_eq!(Stage::from_code(stage.code()), Some(*stage));
        }
        assert_eq!(Stage::from_code(4), None);
    }

    #[test]
    fn probation_never_lets_more_than_limited_through_nor_makes_a_hold_stricter() {
        for access in Access::ALL {
            let left = Stage::Probation.weaken(*access);
            assert!(left <= Access::Limited && left <= *access);
            assert_eq!(Stage::Held.weaken(*access), *access);
            assert_eq!(Stage::Dwelling.weaken(*access), *access);
        }
    }
}
