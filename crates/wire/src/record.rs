//! DTLS record headers (RFC 6347 section 4.1, RFC 9146 section 4).
