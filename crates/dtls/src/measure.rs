//! A door for `bench/`: the least that a received record can cost, to measure the rest against. No product enables
//! the feature that opens it.

use bartizan_wire::record as wire;

use crate::Endpoint;

/// Decodes the Connection ID, sets up the session's key and opens the record, and nothing else: no replay check, no
/// event. Whether it opened.
pub fn decode_and_open(endpoint: &Endpoint, datagram: &mut [u8]) -> bool {
    endpoint.decode_and_open(datagram).unwrap_or(false)
}

impl Endpoint {
    fn decode_and_open(&self, datagram: &mut [u8]) -> Option<bool> {
        let cid_len = self.cid_len_in(datagram);
        let (record, _) = wire::split(datagram, cid_len).ok()?;
        let reading = self.reading_of(record.connection_id)?;
        Some(reading.open(record).is_ok())
    }
}
