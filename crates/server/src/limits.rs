//! The server's bounds in one place; each part has its own section. What is shed is counted by reason.

// --- app and store

/// Devices held in memory at once; beyond it the longest idle ones without a session are dropped.
pub const DEVICES_LIVE_MAX: usize = 1_000_000;
/// Commands waiting for one device.
pub const COMMANDS_PER_DEVICE_MAX: usize = 16;
/// Longest command payload in bytes.
pub const COMMAND_PAYLOAD_BYTES_MAX: usize = 4096;
/// Longest time a command may wait, in milliseconds: 30 days.
pub const COMMAND_EXPIRY_MS_MAX: u64 = 30 * 24 * 3_600_000;
/// Items on one page of a list.
pub const PAGE_ITEMS_MAX: u32 = 200;
/// Updates a slow subscriber of the bus may fall behind before it loses the oldest.
pub const BUS_UPDATES_MAX: usize = 4096;
/// Longest name of a tenant, type, device or operator, in bytes.
pub const NAME_BYTES_MAX: usize = 128;
/// Longest PSK identity in bytes (RFC 4279 section 5.3 asks for at least 128).
pub const IDENTITY_BYTES_MAX: usize = 128;
/// Longest reason a person gives, in bytes.
pub const REASON_BYTES_MAX: usize = 512;
/// Timeline entries kept per device.
pub const TIMELINE_PER_DEVICE_MAX: u32 = 1_000;
/// Findings kept per tenant.
pub const FINDINGS_PER_TENANT_MAX: u32 = 100_000;
/// Holds in force on one device.
pub const HOLDS_PER_DEVICE_MAX: usize = 16;
