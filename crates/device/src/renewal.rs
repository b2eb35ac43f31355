//! When a device renews its certificate: in the last third of its days, and not when all others do.
//!
//! A fleet that was enrolled in one afternoon would otherwise come back in one afternoon, for ever. Every device draws its
//! moment from its own name, so that nobody has to be asked and nothing has to be stored.

/// A certificate's days, in seconds since the Unix epoch, both included.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Days {
    pub not_before: u64,
    pub not_after: u64,
}

impl Days {
    const fn length(self) -> u64 {
        self.not_after.saturating_sub(self.not_before)
    }
}

/// When the device of this name renews: between two thirds and eleven twelfths of the certificate's days. What is left
/// then is for attempts that fail and for devices that sleep.
///
/// `name` is the URI that the certificate names the device by. It need not be secret, nor hard to steer: who steers it
/// renews at another moment.
#[must_use]
pub fn due(days: Days, name: &[u8]) -> u64 {
    let window = days.length() / 4;
    let offset = (u128::from(mixed(name)) * u128::from(window)) >> 64;
    let from = days.not_after.saturating_sub(days.length() / 3);
    from.saturating_add(u64::try_from(offset).unwrap_or(window))
}

/// FNV-1a, and a finaliser that lets every bit count for every other.
fn mixed(name: &[u8]) -> u64 {
    let hash = name
        .iter()
        .fold(0xCBF2_9CE4_8422_2325_u64, |hash, byte| (hash ^ u64::from(*byte)).wrapping_mul(0x0000_0100_0000_01B3));
    let hash = (hash ^ hash >> 33).wrapping_mul(0xFF51_AFD7_ED55_8CCD);
    let hash = (hash ^ hash >> 33).wrapping_mul(0xC4CE_B9FE_1A85_EC53);
    hash ^ hash >> 33
}

#[cfg(test)]
mod tests {
    extern crate std;

    use super::*;
    use std::format;
    use std::vec;

    const DAY: u64 = 86_400;
    const QUARTER: Days = Days { not_before: 1_795_420_510, not_after: 1_795_420_510 + 90 * DAY };

    /// The names of a million devices in a row, as they are given. With 540 hours an hour has 1,852 on average and a
    /// standard deviation of 43: six of them are never seen by chance.
    #[test]
    fn a_million_devices_spread_evenly_over_the_window() {
        let mut hours = vec![0_u32; 540];
        for device in 0..1_000_000 {
            let due = due(QUARTER, format!("urn:bartizan:device:1:{device}").as_bytes());
            let hour = (due - (QUARTER.not_before + 60 * DAY)) / 3600;
            hours[usize::try_from(hour).unwrap()] += 1;
        }
        assert!(hours.iter().all(|count| (1594..2110).contains(count)), "{hours:?}");
    }

    #[test]
    fn it_is_always_within_the_days() {
        for (not_before, length) in [(0, 0), (5, 1), (7, 11), (7, 12), (1000, DAY), (u64::MAX - 5, 5), (0, u64::MAX)] {
            let days = Days { not_before, not_after: not_before + length };
            for device in 0..1000 {
                let name = format!("urn:bartizan:device:7:{device}");
                let due = due(days, name.as_bytes());
                assert!(days.not_before <= due && due <= days.not_after, "{days:?} {device}");
                assert!(due >= days.not_before + length / 3 * 2, "{days:?} {device}");
            }
        }
        let reversed = Days { not_before: 9, not_after: 3 };
        assert_eq!(due(reversed, b"x"), 3);
    }

    #[test]
    fn each_renewal_moves_with_the_certificate_and_devices_differ() {
        let next = Days { not_before: QUARTER.not_before + 70 * DAY, not_after: QUARTER.not_after + 70 * DAY };
        assert_eq!(due(next, b"a") - due(QUARTER, b"a"), 70 * DAY);
        assert_ne!(due(QUARTER, b"a"), due(QUARTER, b"b"));
    }
}
