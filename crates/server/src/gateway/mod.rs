//! CoAP over DTLS on UDP: the first caller of the message path.
