//! The bounds of a city.

use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};

/// Most devices: each has its own loopback address.
pub const DEVICES_MAX: usize = 200_000;
/// Reports a device keeps for a better time; beyond it the oldest is lost.
pub const BACKLOG_MAX: usize = 64;
/// How often a report is tried.
pub const ATTEMPTS_MAX: u8 = 6;
/// Records an eavesdropper keeps of one device.
pub const CAPTURED_MAX: usize = 64;

/// Asks for as many open files as the system allows; every device has a socket. Returns how many there are.
#[must_use]
pub fn raise_open_files() -> u64 {
    let limit = getrlimit(Resource::Nofile);
    let raised = Rlimit { current: limit.maximum, maximum: limit.maximum };
    // Not allowed: then what there is must do, and the caller sees the number.
    let _ = setrlimit(Resource::Nofile, raised);
    getrlimit(Resource::Nofile).current.unwrap_or(u64::MAX)
}
