//! The bounds of this crate. Evidence comes from devices that are suspected: everything has an end.

/// How deep CBOR may nest.
pub const NESTING_MAX: usize = 16;
/// Entries of one CBOR map; duplicates are looked for among them pair by pair.
pub const MAP_ENTRIES_MAX: usize = 128;
/// Longest evidence in bytes: a chain of eight X.509 certificates with a token.
pub const EVIDENCE_BYTES_MAX: usize = 16 * 1024;
/// Longest heartbeat in bytes: a name, a challenge with its binding, a boot seed and a signature.
pub const HEARTBEAT_BYTES_MAX: usize = 384;
/// Certificates of one chain.
pub const CHAIN_MAX: usize = 8;
/// Extensions of one certificate; duplicates are looked for among them pair by pair.
pub const EXTENSIONS_MAX: usize = 24;
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
/// Classes that one store of reference values knows.
pub const CLASSES_MAX: usize = 4096;
/// Reference values of one class.
pub const REFERENCES_MAX: usize = 65_536;
/// Generations of one class that a status is kept for.
pub const GENERATIONS_MAX: usize = 65_536;
/// Tags (CoMID) that one store remembers.
pub const TAGS_MAX: usize = 65_536;
/// Longest signed CoRIM in bytes.
pub const CORIM_BYTES_MAX: usize = 1024 * 1024;
/// Reasons that one verdict gives.
pub const REASONS_MAX: usize = 64;
/// Longest attestation result in bytes.
pub const RESULT_BYTES_MAX: usize = 64 * 1024;
/// Unique entity identifiers in bytes (RFC 9711 section 4.2.1).
pub const UEID_BYTES: core::ops::RangeInclusive<usize> = 7..=33;
/// Boot seeds in bytes; RFC 9711 names no bounds.
pub const BOOT_SEED_BYTES: core::ops::RangeInclusive<usize> = 1..=64;
/// Longest URL of a verification service in bytes.
pub const URL_BYTES_MAX: usize = 256;
/// How deep collections of conceptual messages may nest.
pub const COLLECTION_DEPTH_MAX: usize = 4;
/// Certificates that one request of OCSP may ask about.
pub const OCSP_QUESTIONS_MAX: usize = 16;
/// Longest nonce of such a request, in bytes, with its tag (RFC 9654 section 2.1: 128 without).
pub const OCSP_NONCE_BYTES_MAX: usize = 131;
/// Longest voucher in bytes, in either form: it holds a certificate.
pub const VOUCHER_BYTES_MAX: usize = 8192;
