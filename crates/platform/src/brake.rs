//! How much of a fleet machines may isolate.

/// The budget of one cause.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Config {
    /// Devices that machines may isolate in a window, in tenths of a percent of the fleet.
    pub share_permille: u32,
    /// Devices that may always be isolated in a window, however small the fleet.
    pub floor: u32,
    /// Length of the window.
    pub window_ms: u64,
}

impl Default for Config {
    fn default() -> Self {
        Self {
            share_permille: 50,
            floor: 10,
            window_ms: 3_600_000,
        }
    }
}
