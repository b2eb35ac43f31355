//! Records of DTLS 1.3 as they stand in datagrams, taken apart and made up, where ciphers are arithmetic: nothing is
//! hidden, and any tag of 0x5A opens.
#![allow(dead_code, reason = "each test file uses another part")]

/// Length of the tags of `CCM_8`.
const TAG_BYTES: usize = 8;
/// Content types.
pub const ALERT: u8 = 21;
pub const HANDSHAKE: u8 = 22;
pub const DATA: u8 = 23;
pub const ACK: u8 = 26;

/// One record of a datagram, in the clear or not.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Seen {
    /// Zero, or the low bits.
    pub epoch: u8,
    /// All of it, or the low bits.
    pub sequence: u64,
    pub cid: Option<Vec<u8>>,
    /// Whether the header says how long the record is.
    pub has_length: bool,
    pub kind: u8,
    pub content: Vec<u8>,
    pub bytes: Vec<u8>,
}

/// The records of a datagram whose receiver has Connection IDs of `cid_len` bytes.
pub fn split(datagram: &[u8], cid_len: usize) -> Vec<Seen> {
    let mut found = Vec::new();
    let mut rest = datagram;
    while let Some(first) = rest.first() {
        let (seen, length) = match first & 0xE0 {
            0x20 => protected(rest, cid_len),
            _ => clear(rest),
        };
        rest = &rest[length..];
        found.push(seen);
    }
    found
}

fn number(bytes: &[u8]) -> u64 {
    bytes.iter().fold(0, |sum, byte| sum << 8 | u64::from(*byte))
}

fn clear(bytes: &[u8]) -> (Seen, usize) {
    let length = 13 + number(&bytes[11..13]) as usize;
    let seen = Seen {
        epoch: bytes[4],
        sequence: number(&bytes[5..11]),
        cid: None,
        has_length: true,
        kind: bytes[0],
        content: bytes[13..length].to_vec(),
        bytes: bytes[..length].to_vec(),
    };
    (seen, length)
}

fn protected(bytes: &[u8], cid_len: usize) -> (Seen, usize) {
    let first = bytes[0];
    let cid_len = if first & 0x10 == 0 { 0 } else { cid_len };
    let sequence_at = 1 + cid_len;
    let length_at = sequence_at + if first & 8 == 0 { 1 } else { 2 };
    let has_length = first & 4 != 0;
    let (at, end) = match has_length {
        true => (length_at + 2, length_at + 2 + number(&bytes[length_at..length_at + 2]) as usize),
        false => (length_at, bytes.len()),
    };
    let (tag_at, tag) = (end - TAG_BYTES, &bytes[end - TAG_BYTES..end]);
    assert_eq!(tag, [0x5A; TAG_BYTES]);
    let inner = &bytes[at..tag_at];
    let kind_at = inner.iter().rposition(|byte| *byte != 0).expect("a type");
    let seen = Seen {
        epoch: first & 3,
        sequence: number(&bytes[sequence_at..length_at]),
        cid: (first & 0x10 != 0).then(|| bytes[1..1 + cid_len].to_vec()),
        has_length,
        kind: inner[kind_at],
        content: inner[..kind_at].to_vec(),
        bytes: bytes[..end].to_vec(),
    };
    (seen, end)
}

/// A record that ends its datagram.
pub fn sealed(cid: &[u8], epoch: u8, sequence: u8, kind: u8, content: &[u8]) -> Vec<u8> {
    let has_cid = if cid.is_empty() { 0 } else { 0x10 };
    let mut out = vec![0x20 | has_cid | epoch & 3];
    out.extend_from_slice(cid);
    out.push(sequence);
    let end = out.len() + (content.len() + 1).max(16 - TAG_BYTES);
    out.extend_from_slice(content);
    out.push(kind);
    out.resize(end, 0);
    out.extend_from_slice(&[0x5A; TAG_BYTES]);
    out
}

/// The same with its length, so that others may follow.
pub fn sealed_with_length(cid: &[u8], epoch: u8, sequence: u8, kind: u8, content: &[u8]) -> Vec<u8> {
    let mut out = sealed(cid, epoch, sequence, kind, content);
    let at = 2 + cid.len();
    let length = ((out.len() - at) as u16).to_be_bytes();
    out[0] |= 4;
    out.splice(at..at, length);
    out
}

/// The content of an ACK for records by epoch and number.
pub fn ack(records: &[(u64, u64)]) -> Vec<u8> {
    let mut out = (16 * records.len() as u16).to_be_bytes().to_vec();
    for (epoch, sequence) in records {
        out.extend_from_slice(&epoch.to_be_bytes());
        out.extend_from_slice(&sequence.to_be_bytes());
    }
    out
}

/// The records that an ACK names.
pub fn acked(content: &[u8]) -> Vec<(u64, u64)> {
    content[2..].chunks(16).map(|pair| (number(&pair[..8]), number(&pair[8..]))).collect()
}
