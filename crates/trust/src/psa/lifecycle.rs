//! The security lifecycle of a PSA root of trust.

use crate::evidence::Mode;

/// RFC 9783 section 4.3.1. A minor state of the maker's own is dropped.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Lifecycle {
    Unknown,
    AssemblyAndTest,
    Provisioning,
    Secured,
    /// Debug is open, but not into the root of trust.
    NonRotDebug,
    /// Debug is open into the root of trust itself.
    RecoverableRotDebug,
    Decommissioned,
}

impl Lifecycle {
    /// The major state is in bits 8 to 15.
    #[must_use]
    pub const fn new(claim: u64) -> Option<Self> {
        Some(match claim >> 8 {
            0x00 => Self::Unknown,
            0x10 => Self::AssemblyAndTest,
            0x20 => Self::Provisioning,
            0x30 => Self::Secured,
            0x40 => Self::NonRotDebug,
            0x50 => Self::RecoverableRotDebug,
            0x60 => Self::Decommissioned,
            _ => return None,
        })
    }

    /// In the words of DICE. Only a secured root of trust and one whose debug stays outside of it can be believed at
    /// all (RFC 9783 section 4.3.1): everything else is a device that is not set up, never merely one in debug mode.
    #[must_use]
    pub const fn mode(self) -> Mode {
        match self {
            Self::Secured => Mode::Normal,
            Self::NonRotDebug => Mode::Debug,
            Self::Unknown
            | Self::AssemblyAndTest
            | Self::Provisioning
            | Self::RecoverableRotDebug
            | Self::Decommissioned => Mode::NotConfigured,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn states_and_their_edges() {
        for (claim, expected) in [
            (0, Some(Lifecycle::Unknown)),
            (0xFF, Some(Lifecycle::Unknown)),
            (0x100, None),
            (0xFFF, None),
            (0x10FF, Some(Lifecycle::AssemblyAndTest)),
            (0x2000, Some(Lifecycle::Provisioning)),
            (0x2FFF, None),
            (0x3000, Some(Lifecycle::Secured)),
            (0x30FF, Some(Lifecycle::Secured)),
            (0x3100, None),
            (0x4001, Some(Lifecycle::NonRotDebug)),
            (0x5000, Some(Lifecycle::RecoverableRotDebug)),
            (0x60FF, Some(Lifecycle::Decommissioned)),
            (0x6100, None),
            (0x7000, None),
            (0x1_3000, None),
            (u64::MAX, None),
        ] {
            assert_eq!(Lifecycle::new(claim), expected, "{claim:#x}");
        }
    }

    #[test]
    fn an_open_root_of_trust_is_no_debug_mode() {
        assert_eq!(Lifecycle::Secured.mode(), Mode::Normal);
        assert_eq!(Lifecycle::NonRotDebug.mode(), Mode::Debug);
        assert_eq!(Lifecycle::RecoverableRotDebug.mode(), Mode::NotConfigured);
        assert_eq!(Lifecycle::Decommissioned.mode(), Mode::NotConfigured);
    }
}
