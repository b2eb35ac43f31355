//! The bounds of this crate. Evidence comes from devices that are suspected: everything has an end.

/// How deep CBOR may nest.
pub const NESTING_MAX: usize = 16;
/// Entries of one CBOR map; duplicates are looked for among them pair by pair.
pub const MAP_ENTRIES_MAX: usize = 128;
/// Longest evidence in bytes: a chain of eight X.509 certificates with a token.
pub const EVIDENCE_BYTES_MAX: usize = 16 * 1024;
/// Certificates of one chain.
pub const CHAIN_MAX: usize = 8;
/// Layers of one device: each certificate of a chain may hold several (MultiTcbInfo).
pub const LAYERS_MAX: usize = 16;
/// Digests of one layer.
pub const DIGESTS_MAX: usize = 8;
/// Longest name (vendor, model, component, version) in bytes.
pub const NAME_BYTES_MAX: usize = 128;
/// Longest digest in bytes: SHA-512.
pub const DIGEST_BYTES_MAX: usize = 64;
/// Nonces in bytes (RFC 9711 section 4.1: 8 to 64).
pub const NONCE_BYTES: core::ops::RangeInclusive<usize> = 8..=64;
