//! CoAP messages (RFC 7252) as borrowed views and bounded writers.
