//! How often a TPM started and how long it ran: what tells two copies of one TPM.

use super::reader::Reader;
use crate::Error;

/// TPMS_CLOCK_INFO (Part 2 section 10.11).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Default)]
pub struct Clock {
    /// Milliseconds that it was powered. Only ever rises, but may lose its last steps when power fails.
    pub clock_ms: u64,
    /// Starts of the machine.
    pub resets: u32,
    /// Wakings from sleep since then.
    pub restarts: u32,
    /// Whether no higher `clock_ms` was told before.
    pub safe: bool,
}

/// The most that a TPM may lose of its clock (Part 1 section 36.3.2: it is stored every 2^22 ms or more often).
const LOST_MS_MAX: u64 = 1 << 22;

impl Clock {
    pub(super) fn read(from: &mut Reader<'_>) -> Result<Self, Error> {
        let (clock_ms, resets, restarts) = (from.u64()?, from.u32()?, from.u32()?);
        let safe = match from.u8()? {
            0 => false,
            1 => true,
            _ => return Err(Error::Malformed("a TPM's clock that is neither safe nor not")),
        };
        Ok(Self { clock_ms, resets, restarts, safe })
    }

    /// Whether one TPM can have said `last` and then this.
    #[must_use]
    pub const fn may_follow(&self, last: &Self) -> bool {
        if self.resets != last.resets {
            return self.resets > last.resets && self.clock_ms >= last.clock_ms.saturating_sub(LOST_MS_MAX);
        }
        self.restarts >= last.restarts && self.clock_ms >= last.clock_ms
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_clock_goes_on_within_a_start_and_loses_little_between_two() {
        let at = |clock_ms, resets, restarts| Clock { clock_ms, resets, restarts, safe: true };
        let last = at(10_000_000, 5, 2);
        for next in [last, at(10_000_001, 5, 2), at(10_000_000, 5, 3), at(10_000_000 - LOST_MS_MAX, 6, 0)] {
            assert!(next.may_follow(&last), "{next:?}");
        }
        for next in [at(9_999_999, 5, 2), at(10_000_000, 5, 1), at(20_000_000, 4, 9), at(9_999_999 - LOST_MS_MAX, 6, 0)]
        {
            assert!(!next.may_follow(&last), "{next:?}");
        }
    }
}
