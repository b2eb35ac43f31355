//! The bounds of everything this crate keeps, in one place. Tests stand on both sides of each.

/// Devices with a profile, by default.
pub const DEVICES_MAX: usize = 1 << 20;
/// Bytes kept of one device's profile, its recent observations included.
pub const DEVICE_BYTES_MAX: usize = 256;
/// Recent observations kept of one device.
pub const RECENT_MAX: usize = 16;
/// Device types with a baseline, by default.
pub const TYPES_MAX: usize = 1024;
/// Message kinds and peers known of one type.
pub const NAMES_PER_TYPE_MAX: usize = 64;
/// Devices with open evidence at once; beyond it the one with the least is closed, and counted.
pub const CASES_MAX: usize = 1 << 17;
/// Unauthenticated sources remembered at once, by default.
pub const SOURCES_MAX: usize = 1 << 16;
/// A step back in time up to this is disorder of arrival; beyond it the clock was set.
pub const DISORDER_MS_MAX: u64 = 60_000;
