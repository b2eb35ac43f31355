//! CoAP over DTLS on UDP: the first caller of the message path.

pub mod coap;
pub mod journal;
pub mod status;
