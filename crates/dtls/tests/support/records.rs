//! Records and handshake messages as they stand in datagrams, taken apart and made up.

/// One record of a datagram.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Record {
    pub kind: u8,
    pub version: [u8; 2],
    pub epoch: u16,
    pub sequence: u64,
    pub cid: Vec<u8>,
    pub body: Vec<u8>,
    /// The whole of it.
    pub bytes: Vec<u8>,
}

impl Record {
    /// The type, message number, offset and fragment length of the handshake fragment that a plain record holds.
    pub fn fragment(&self) -> (u8, u16, usize, usize) {
        let number = |at: usize| self.body[at..at + 3].iter().fold(0, |sum, byte| sum << 8 | usize::from(*byte));
        (self.body[0], u16::from_be_bytes([self.body[4], self.body[5]]), number(6), number(9))
    }
}

/// The records of a datagram whose receiver has Connection IDs of `cid_len` bytes.
pub fn split(datagram: &[u8], cid_len: usize) -> Vec<Record> {
    let mut found = Vec::new();
    let mut rest = datagram;
    while !rest.is_empty() {
        let cid_len = if rest[0] == 25 { cid_len } else { 0 };
        let length = usize::from(u16::from_be_bytes([rest[11 + cid_len], rest[12 + cid_len]]));
        let (bytes, more) = rest.split_at(13 + cid_len + length);
        let sequence = bytes[5..11].iter().fold(0, |sum, byte| sum << 8 | u64::from(*byte));
        found.push(Record {
            kind: bytes[0],
            version: [bytes[1], bytes[2]],
            epoch: u16::from_be_bytes([bytes[3], bytes[4]]),
            sequence,
            cid: bytes[11..11 + cid_len].to_vec(),
            body: bytes[13 + cid_len..].to_vec(),
            bytes: bytes.to_vec(),
        });
        rest = more;
    }
    found
}

/// A record of epoch 0.
pub fn plain(kind: u8, sequence: u8, body: &[u8]) -> Vec<u8> {
    let mut record = vec![kind, 0xFE, 0xFD, 0, 0, 0, 0, 0, 0, 0, sequence];
    record.extend_from_slice(&(body.len() as u16).to_be_bytes());
    record.extend_from_slice(body);
    record
}

/// A handshake message in one piece.
pub fn message(kind: u8, number: u8, body: &[u8]) -> Vec<u8> {
    let [.., a, b, c] = (body.len() as u32).to_be_bytes();
    let mut message = vec![kind, a, b, c, 0, number, 0, 0, 0, a, b, c];
    message.extend_from_slice(body);
    message
}

/// A protected record as anybody can make it for a CCM_8 suite where ciphers are arithmetic: any tag of 0x5A opens.
pub fn sealed(cid: &[u8], sequence: u8, kind: u8, content: &[u8]) -> Vec<u8> {
    let inner = usize::from(!cid.is_empty());
    let outer = if cid.is_empty() { kind } else { 25 };
    let mut record = vec![outer, 0xFE, 0xFD, 0, 1, 0, 0, 0, 0, 0, sequence];
    record.extend_from_slice(cid);
    record.extend_from_slice(&((8 + content.len() + inner + 8) as u16).to_be_bytes());
    record.extend_from_slice(&[0, 1, 0, 0, 0, 0, 0, sequence]);
    record.extend_from_slice(content);
    record.extend_from_slice(&vec![kind; inner]);
    record.extend_from_slice(&[0x5A; 8]);
    record
}

/// A ClientHello's body before and after its cookie, and the cookie.
pub fn around_cookie(body: &[u8]) -> (&[u8], &[u8], &[u8]) {
    let at = 2 + 32 + 1 + usize::from(body[34]);
    let length = usize::from(body[at]);
    (&body[..at], &body[at + 1..at + 1 + length], &body[at + 1 + length..])
}
