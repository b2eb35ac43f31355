//! Another key at readmission: firmware that failed may have read the old one, which outlives its repair.
//!
//! A hold that ends by evidence waits for it from the verdict that puts it on probation on: only a key that was made
//! after that was never within reach of what failed. A failure starts over.

use bartizan_wire::{Cause, UnixMillis};

use super::{Change, Posture};

/// Whether a hold waits for another key of its device.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub enum Rekey {
    /// It does not.
    #[default]
    NotAsked,
    /// Until a handshake finishes with a key that was made after probation began.
    Awaited,
    /// There was one.
    Done,
}

impl Rekey {
    pub const ALL: &'static [Self] = &[Self::NotAsked, Self::Awaited, Self::Done];

    /// The stable number used in storage.
    #[must_use]
    pub const fn code(self) -> u8 {
        match self {
            Self::NotAsked => 0,
            Self::Awaited => 1,
            Self::Done => 2,
        }
    }

    #[must_use]
    pub fn from_code(code: u8) -> Option<Self> {
        Self::ALL.iter().copied().find(|rekey| rekey.code() == code)
    }

    /// After a verdict that asks for another key, or does not.
    pub(super) const fn asked(self, rekey: bool) -> Self {
        match (self, rekey) {
            (Self::Done, true) => Self::Done,
            (_, true) => Self::Awaited,
            (_, false) => Self::NotAsked,
        }
    }
}

impl Posture {
    /// If something waits for another key of the device: the key has to be made after this.
    #[must_use]
    pub fn awaits_key(&self) -> Option<UnixMillis> {
        let waiting = self.holds.iter().filter(|hold| hold.rekey == Rekey::Awaited);
        waiting.map(|hold| hold.stage_since).max()
    }

    pub(super) fn rekeyed(&mut self, made: UnixMillis, changes: &mut Vec<Change>) {
        let waiting = |hold: &&mut super::Hold| {
            hold.cause == Cause::Attestation && hold.rekey == Rekey::Awaited && made > hold.stage_since
        };
        for hold in self.holds.iter_mut().filter(waiting) {
            hold.rekey = Rekey::Done;
            changes.push(Change::Moved(hold.clone()));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rekeys_keep_their_numbers() {
        for rekey in Rekey::ALL {
            assert_eq!(Rekey::from_code(rekey.code()), Some(*rekey));
        }
        assert_eq!(Rekey::from_code(3), None);
    }
}
