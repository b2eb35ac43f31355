//! What protects the records of one direction and epoch, whoever keeps it.

/// Keys by reference, so that record protection does not care where they lie.
#[derive(Clone, Copy)]
pub(crate) struct RecordKeyRef<'a> {
    /// As long as the suite's key, or longer: the suite uses the first bytes.
    pub key: &'a [u8],
    pub iv: &'a [u8; 12],
    /// DTLS 1.3: what hides sequence numbers (RFC 9147 section 4.2.3). Empty or zeros in DTLS 1.2.
    pub sn: &'a [u8],
}

impl<'a> RecordKeyRef<'a> {
    /// The first bytes of the key; none if there are fewer.
    pub fn key(&self, length: usize) -> &'a [u8] {
        self.key.get(..length).unwrap_or_default()
    }

    pub const fn iv(&self) -> &'a [u8; 12] {
        self.iv
    }

    /// The first bytes of the key that hides sequence numbers; none if there are fewer.
    pub fn sn(&self, length: usize) -> &'a [u8] {
        self.sn.get(..length).unwrap_or_default()
    }
    /// RFC 8446 section 5.3: the IV with the padded sequence number on top.
    pub fn nonce(&self, sequence: u64) -> [u8; 12] {
        let mut nonce = *self.iv;
        let tail = nonce.iter_mut().skip(4).zip(sequence.to_be_bytes());
        tail.for_each(|(to, from)| *to ^= from);
        nonce
    }
}
