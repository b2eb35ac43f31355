//! The bounds of every codec in this crate, in one place. Tests stand on both sides of each.

/// Longest UDP payload that is read at all, in bytes: larger ones cannot be a record of RFC 6347.
pub const DATAGRAM_BYTES_MAX: usize = 16_384 + 256 + 13 + 32;
/// Most options of one CoAP message.
pub const COAP_OPTIONS_MAX: usize = 64;
/// Longest CoAP option value in bytes (RFC 7252 table 4: Proxy-Uri).
pub const COAP_OPTION_BYTES_MAX: usize = 1034;
/// Longest CoAP token in bytes (RFC 7252 section 3; extended tokens are refused).
pub const COAP_TOKEN_BYTES_MAX: usize = 8;
/// Longest value of Echo in bytes (RFC 9175 section 2.2.1).
pub const COAP_ECHO_BYTES_MAX: usize = 40;
/// Longest Connection ID in bytes that we accept or issue; RFC 9146 allows 255.
pub const CONNECTION_ID_BYTES_MAX: usize = 20;
/// Longest event in CBOR, in bytes.
pub const EVENT_BYTES_MAX: usize = 64;
/// Longest finding in CBOR, in bytes.
pub const FINDING_BYTES_MAX: usize = 96;
