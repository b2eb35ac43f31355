//! The bounds of this crate. Tests stand on both sides of each.

/// Shortest PSK in bytes: 128 bits.
pub const PSK_BYTES_MIN: usize = 16;
/// Longest PSK in bytes (RFC 4279 section 5.3).
pub const PSK_BYTES_MAX: usize = 64;
/// Longest PSK identity in bytes (RFC 4279 section 5.3 asks for at least 128).
pub const IDENTITY_BYTES_MAX: usize = 128;
/// Longest name of a tenant, type, device or endpoint, in bytes.
pub const NAME_BYTES_MAX: usize = 128;
/// Longest reason a person or machine gives for a hold, in bytes; longer ones are cut.
pub const REASON_BYTES_MAX: usize = 512;
/// Most lines of one import, the header not counted.
pub const IMPORT_LINES_MAX: u64 = 1_000_000;
/// Bad lines of one import that are named; all are counted.
pub const IMPORT_BAD_LINES_MAX: usize = 1_000;
/// Isolations one brake remembers, however large the fleet.
pub const BRAKE_ISOLATIONS_MAX: u64 = 100_000;
