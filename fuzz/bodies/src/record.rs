//! DTLS record headers.

use bartizan_wire::record::{HEADER_BYTES, split};

/// Cuts a datagram into records, with a Connection ID length taken from its first byte. Records come one
/// behind the other and cover what they say they cover.
pub fn header(bytes: &[u8]) {
    let Some((first, datagram)) = bytes.split_first() else {
        return;
    };
    let connection_id = usize::from(*first % 24);
    let mut datagram = datagram.to_vec();
    let mut rest = &mut datagram[..];
    while !rest.is_empty() {
        let before = rest.len();
        let Ok((record, behind)) = split(rest, connection_id) else {
            return;
        };
        assert_eq!(before - behind.len(), HEADER_BYTES + record.connection_id.len() + record.fragment.len());
        assert!(record.header.sequence < 1 << 48);
        rest = behind;
    }
}

#[must_use]
pub fn seeds() -> Vec<Vec<u8>> {
    let plain = [&[0, 22, 0xfe, 0xfd, 0, 0, 0, 0, 0, 0, 0, 1, 0, 4][..], b"abcd"].concat();
    let with_id = [&[8, 25, 0xfe, 0xfd, 0, 1, 0, 0, 0, 0, 0, 9][..], b"8 bytes!", &[0, 4], b"abcd"].concat();
    let two = [&plain[..], &plain[1..]].concat();
    vec![plain, with_id, two]
}
