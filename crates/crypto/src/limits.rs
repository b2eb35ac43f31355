//! The bounds of this crate.

/// Longest pre-shared key in bytes. RFC 4279 section 5.3 asks for at least 64.
pub const SECRET_BYTES_MAX: usize = 64;
/// Longest public share of a key agreement: an uncompressed P-256 point.
pub const PUBLIC_SHARE_BYTES_MAX: usize = 65;
/// Longest signature: ECDSA on P-256 in DER.
pub const SIGNATURE_BYTES_MAX: usize = 72;
/// Length of an ML-KEM-768 public key.
pub const KEM_PUBLIC_BYTES: usize = 1184;
/// Length of an ML-KEM-768 ciphertext.
pub const KEM_CIPHERTEXT_BYTES: usize = 1088;
/// Longest sealed value at rest, in bytes of plaintext.
pub const AT_REST_BYTES_MAX: usize = 64 * 1024 * 1024;
