//! DTLS record headers (RFC 6347 section 4.1, RFC 9146 section 4).
//!
//! The gateway, the fuzzers and the protocol itself read the same header with the same code. Nothing here
//! allocates, copies a payload or can panic.

/// Length of a header without a Connection ID.
pub const HEADER_BYTES: usize = 13;
/// DTLS 1.0 as it stands in a record; ClientHellos of DTLS 1.2 clients carry it.
pub const DTLS_1_0: u16 = 0xFEFF;
/// DTLS 1.2 as it stands in a record.
pub const DTLS_1_2: u16 = 0xFEFD;

/// IANA's TLS ContentType.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct ContentType(pub u8);

impl ContentType {
    pub const CHANGE_CIPHER_SPEC: Self = Self(20);
    pub const ALERT: Self = Self(21);
    pub const HANDSHAKE: Self = Self(22);
    pub const APPLICATION_DATA: Self = Self(23);
    /// A protected record with a Connection ID; its real type is encrypted (RFC 9146 section 4).
    pub const TLS12_CID: Self = Self(25);
    /// Always protected (RFC 9853 section 4).
    pub const RETURN_ROUTABILITY_CHECK: Self = Self(27);

    //= rfc9147#4.1-1
    //= rfc9147#4.1-4
    /// Whether this is one of the types that DTLS knows, extensions included.
    #[must_use]
    pub const fn is_known(self) -> bool {
        matches!(self.0, 20..=23 | 25..=27)
    }
}

/// Everything in front of the fragment but its length and the Connection ID.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Header {
    pub content_type: ContentType,
    pub version: u16,
    pub epoch: u16,
    /// 48 bit.
    pub sequence: u64,
}

impl Header {
    /// Epoch and sequence number as the eight bytes that nonces and additional data are made of.
    #[must_use]
    pub const fn sequence_bytes(&self) -> [u8; 8] {
        ((self.epoch as u64) << 48 | self.sequence & 0xFFFF_FFFF_FFFF).to_be_bytes()
    }

    /// The header in front of a fragment of `length` bytes, without a Connection ID in it: the caller puts one
    /// between the first eleven bytes and the length.
    #[must_use]
    pub const fn encode(&self, length: u16) -> [u8; HEADER_BYTES] {
        let [version_high, version_low] = self.version.to_be_bytes();
        let [a, b, c, d, e, f, g, h] = self.sequence_bytes();
        let [high, low] = length.to_be_bytes();
        let kind = self.content_type.0;
        [kind, version_high, version_low, a, b, c, d, e, f, g, h, high, low]
    }
}

/// One record within a datagram.
#[derive(Debug, PartialEq, Eq)]
pub struct Record<'a> {
    pub header: Header,
    /// Empty unless the type is [`ContentType::TLS12_CID`].
    pub connection_id: &'a [u8],
    /// To be decrypted in place.
    pub fragment: &'a mut [u8],
}

/// The bytes are not a record of DTLS 1.0 or 1.2.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Malformed;

/// Cuts the first record off `datagram`. A record of type tls12_cid does not say how long its Connection ID is;
/// its receiver knows, having chosen it.
///
/// # Errors
/// If the datagram ends too early, or type or version are none of DTLS 1.0 and 1.2. The rest of the datagram is
/// then of no use either.
pub fn split(datagram: &mut [u8], connection_id_len: usize) -> Result<(Record<'_>, &mut [u8]), Malformed> {
    let (fixed, rest) = datagram.split_first_chunk_mut::<11>().ok_or(Malformed)?;
    let header = decode(*fixed)?;
    let cid_len = match header.content_type {
        ContentType::TLS12_CID => connection_id_len,
        _ => 0,
    };
    let (connection_id, rest) = rest.split_at_mut_checked(cid_len).ok_or(Malformed)?;
    let (length, rest) = rest.split_first_chunk_mut::<2>().ok_or(Malformed)?;
    let length = usize::from(u16::from_be_bytes(*length));
    let (fragment, rest) = rest.split_at_mut_checked(length).ok_or(Malformed)?;
    let record = Record { header, connection_id, fragment };
    Ok((record, rest))
}

fn decode(fixed: [u8; 11]) -> Result<Header, Malformed> {
    let [kind, v0, v1, e0, e1, s0, s1, s2, s3, s4, s5] = fixed;
    let header = Header {
        content_type: ContentType(kind),
        version: u16::from_be_bytes([v0, v1]),
        epoch: u16::from_be_bytes([e0, e1]),
        sequence: u64::from_be_bytes([0, 0, s0, s1, s2, s3, s4, s5]),
    };
    let known = header.content_type.is_known() && matches!(header.version, DTLS_1_0 | DTLS_1_2);
    if known { Ok(header) } else { Err(Malformed) }
}

#[cfg(test)]
mod tests {
    use super::*;

    const HEADER: Header =
        Header { content_type: ContentType::TLS12_CID, version: DTLS_1_2, epoch: 1, sequence: 0x0102_0304_0506 };

    fn with_cid() -> [u8; 20] {
        let head = HEADER.encode(3);
        let mut bytes = [0; 20];
        bytes[..11].copy_from_slice(&head[..11]);
        bytes[11..15].copy_from_slice(b"cid!");
        bytes[15..17].copy_from_slice(&head[11..]);
        bytes[17..].copy_from_slice(b"abc");
        bytes
    }

    #[test]
    fn reads_what_it_writes() {
        let mut bytes = with_cid();
        let (record, rest) = split(&mut bytes, 4).unwrap();
        assert_eq!(record.header, HEADER);
        assert_eq!(record.connection_id, b"cid!");
        assert_eq!(record.fragment, b"abc");
        assert!(rest.is_empty());
    }

    #[test]
    fn only_cid_records_carry_a_cid() {
        let header = Header { content_type: ContentType::ALERT, ..HEADER };
        let mut bytes = [0; 17];
        bytes[..13].copy_from_slice(&header.encode(2));
        let (record, rest) = split(&mut bytes, 8).unwrap();
        assert_eq!((record.connection_id.len(), record.fragment.len()), (0, 2));
        assert_eq!(rest.len(), 2);
    }

    #[test]
    fn every_truncation_is_malformed() {
        let bytes = with_cid();
        for length in 0..bytes.len() {
            let mut cut = bytes;
            assert_eq!(split(&mut cut[..length], 4), Err(Malformed), "{length}");
        }
    }

    #[test]
    fn other_types_and_versions_are_malformed() {
        for (at, value) in [(0, 19), (0, 24), (0, 28), (1, 3), (2, 0xFC), (2, 0xFE)] {
            let mut bytes = with_cid();
            bytes[at] = value;
            assert_eq!(split(&mut bytes, 4), Err(Malformed), "{at} {value}");
        }
    }
}
