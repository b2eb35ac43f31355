//! From evidence to grades.
//!
//! A finding is evidence of its feature; it fades by half-lives unless renewed, and renewing does not add up:
//! the hundredth message of one burst proves no more than its rate. Features that move together count once
//! (`group` in `case.rs`); independent ones reinforce each other. The combined evidence drives this table:
//!
//! ```text
//!              grave       elevated     calm: below the leave level, and the dwell without evidence is over
//!  Normal      Abnormal    Suspicious   Normal
//!  Suspicious  Abnormal    Suspicious   Normal
//!  Abnormal    Abnormal    Abnormal     Probation
//!  Probation   Abnormal    Abnormal     Normal
//! ```
//!
//! A device on probation is graded suspicious, and less is needed to make it abnormal again.

mod case;

use bartizan_wire::{DeviceKey, Finding, Grade, UnixMillis};

use crate::codec::{Reader, Writer};
use crate::config::GradeConfig;
use crate::error::Error;
use crate::judge::Verdict;
use crate::limits::CASES_MAX;
use crate::table::{NumberedHasher, Table};
use case::Case;

/// Below this, a normal device's evidence is forgotten altogether.
const CLOSED: f32 = 0.02;

/// Everything that is held against devices now. Devices with nothing against them take no space.
pub(crate) struct Grades {
    config: GradeConfig,
    cases: Table<DeviceKey, Case, NumberedHasher>,
}

/// The grade, and whether it is a second chance.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum State {
    Normal,
    Suspicious,
    Abnormal,
    Probation,
}

/// What the evidence says at one moment.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Signal {
    Grave,
    Elevated,
    /// Between the levels, or not for long enough.
    Undecided,
    Calm,
}

impl State {
    pub(crate) const ALL: [Self; 4] = [Self::Normal, Self::Suspicious, Self::Abnormal, Self::Probation];

    pub(crate) const fn grade(self) -> Grade {
        match self {
            Self::Normal => Grade::Normal,
            Self::Suspicious | Self::Probation => Grade::Suspicious,
            Self::Abnormal => Grade::Abnormal,
        }
    }

    const fn next(self, signal: Signal) -> Self {
        match (self, signal) {
            (state, Signal::Undecided) => state,
            (_, Signal::Grave) => Self::Abnormal,
            (Self::Normal | Self::Suspicious, Signal::Elevated) => Self::Suspicious,
            (Self::Abnormal | Self::Probation, Signal::Elevated) => Self::Abnormal,
            (Self::Normal | Self::Suspicious | Self::Probation, Signal::Calm) => Self::Normal,
            (Self::Abnormal, Signal::Calm) => Self::Probation,
        }
    }
}

impl Grades {
    pub(crate) fn new(config: GradeConfig) -> Self {
        Self { config, cases: Table::new(CASES_MAX) }
    }

    pub(crate) fn grade(&self, device: DeviceKey) -> Grade {
        self.cases.get(device).map_or(Grade::Normal, |case| case.state.grade())
    }

    /// Takes one finding about `device`; says it if it is news, and says what it changes.
    pub(crate) fn weigh(&mut self, device: DeviceKey, finding: Finding, out: &mut dyn FnMut(Verdict)) {
        let config = self.config;
        let case = self.cases.entry(device, Case::worth, || Case::new(finding));
        case.renew(&finding, &config);
        let signal = case.signal(finding.at, &config);
        // Evidence never lets a grade fall; only time does.
        let next = if signal == Signal::Calm { case.state } else { case.state.next(signal) };
        let graded = next.grade() != case.state.grade();
        if case.is_news(&finding, &config) || graded {
            case.note_report(&finding);
            out(Verdict::Finding(finding));
        }
        case.enter(device, next, finding.at, out);
    }

    /// Lets time pass.
    pub(crate) fn tick(&mut self, now: UnixMillis, out: &mut dyn FnMut(Verdict)) {
        for (device, case) in self.cases.iter_mut() {
            case.correct_clock(now);
            if case.signal(now, &self.config) == Signal::Calm {
                case.enter(device, case.state.next(Signal::Calm), now, out);
            }
        }
        let config = self.config;
        self.cases.retain(|case| case.state != State::Normal || case.weight(now, &config) > CLOSED);
    }

    pub(crate) fn pardon(&mut self, device: DeviceKey, now: UnixMillis, out: &mut dyn FnMut(Verdict)) {
        if let Some(mut case) = self.cases.remove(device) {
            case.enter(device, State::Normal, now, out);
        }
    }

    pub(crate) fn reinstate(&mut self, device: DeviceKey, grade: Grade, because: Finding, now: UnixMillis) {
        let mut case = Case::new(Finding { at: now, ..because });
        case.state = match grade {
            Grade::Normal => return,
            Grade::Suspicious => State::Suspicious,
            Grade::Abnormal => State::Abnormal,
        };
        case.renew(&Finding { at: now, ..because }, &self.config);
        *self.cases.entry(device, Case::worth, || case) = case;
    }

    pub(crate) fn forget(&mut self, device: DeviceKey) {
        self.cases.remove(device);
    }

    pub(crate) fn write(&self, to: &mut Writer) {
        to.count(self.cases.len());
        for (device, case) in self.cases.iter() {
            to.device(device);
            case.write(to);
        }
    }

    pub(crate) fn read(config: GradeConfig, from: &mut Reader<'_>) -> Result<Self, Error> {
        let mut grades = Self::new(config);
        for _ in 0..from.count()? {
            let device = from.device()?;
            let case = Case::read(device, from)?;
            *grades.cases.entry(device, Case::worth, || case) = case;
        }
        Ok(grades)
    }

    pub(crate) fn evicted(&self) -> u64 {
        self.cases.evicted()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// From the calmest to the gravest.
    const SIGNALS: [Signal; 4] = [Signal::Calm, Signal::Undecided, Signal::Elevated, Signal::Grave];

    #[test]
    fn the_table_is_the_one_documented() {
        use State::{Abnormal as A, Normal as N, Probation as P, Suspicious as S};
        let table = State::ALL.map(|state| SIGNALS.map(|signal| state.next(signal)));
        assert_eq!(table, [[N, N, S, A], [N, S, S, A], [P, A, A, A], [N, P, A, A]]);
    }

    #[test]
    fn graver_evidence_never_makes_a_better_grade() {
        for state in State::ALL {
            let grades = SIGNALS.map(|signal| state.next(signal).grade());
            assert!(grades.is_sorted(), "{state:?}: {grades:?}");
        }
    }
}
