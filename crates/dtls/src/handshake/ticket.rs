//! NewSessionTicket (RFC 5077 section 3.3).

use alloc::vec::Vec;

use crate::Error;
use crate::codec::{Reader, put_vec16};
use crate::limits::TICKET_BYTES_MAX;

/// The ticket. An empty one means that the server has changed its mind; its lifetime is a hint that only spares a
/// refusal, so it is not kept.
pub(crate) fn decode(body: &[u8]) -> Result<&[u8], Error> {
    let mut reader = Reader::new(body);
    let _lifetime_s = reader.u32()?;
    let ticket = reader.vec16()?;
    reader.finish()?;
    match ticket.len() {
        0..=TICKET_BYTES_MAX => Ok(ticket),
        _ => Ok(&[]),
    }
}

pub(crate) fn encode(lifetime_ms: u64, ticket: &[u8]) -> Vec<u8> {
    let lifetime_s = u32::try_from(lifetime_ms / 1000).unwrap_or(u32::MAX);
    let mut out = lifetime_s.to_be_bytes().to_vec();
    put_vec16(&mut out, ticket);
    out
}

#[cfg(test)]
mod tests {
    use super::*;
    use alloc::vec;

    #[test]
    fn tickets_read_what_they_write_up_to_their_limit() {
        let bytes = encode(7_000, b"ticket");
        assert_eq!(bytes[..4], [0, 0, 0, 7]);
        assert_eq!(decode(&bytes), Ok(&b"ticket"[..]));
        for length in 0..bytes.len() {
            assert!(decode(&bytes[..length]).is_err());
        }
        let most = vec![1; TICKET_BYTES_MAX];
        assert_eq!(decode(&encode(0, &most)), Ok(&most[..]));
        assert_eq!(decode(&encode(0, &vec![1; TICKET_BYTES_MAX + 1])), Ok(&[][..]), "not kept");
    }
}
