//! All messages of a handshake, as the Finished messages sign them (RFC 6347 section 4.2.6).
//!
//! Kept as bytes, not as a running hash: a PSK handshake is half a kilobyte, and CertificateVerify signs the bytes,
//! which Ed25519 wants whole.

use alloc::vec::Vec;

use bartizan_crypto::Provider;

use crate::Error;
use crate::hash::{Digest, Hash};
use crate::limits::TRANSCRIPT_BYTES_MAX;

#[derive(Debug, Default)]
pub(crate) struct Transcript(Vec<u8>);

impl Transcript {
    /// Adds a message in one piece, header included.
    pub fn append(&mut self, message: &[u8]) -> Result<(), Error> {
        if self.0.len() + message.len() > TRANSCRIPT_BYTES_MAX {
            return Err(Error::Unavailable("the handshake is too long"));
        }
        self.0.try_reserve(message.len()).map_err(|_| Error::Unavailable("no memory for the handshake"))?;
        self.0.extend_from_slice(message);
        Ok(())
    }

    /// HelloVerifyRequest and the hello before it do not count.
    pub fn clear(&mut self) {
        self.0.clear();
    }

    /// What a CertificateVerify signs (RFC 5246 section 7.4.8).
    pub fn bytes(&self) -> &[u8] {
        &self.0
    }

    pub fn hash(&self, provider: &Provider, hash: Hash) -> Digest {
        hash.digest(provider, &[&self.0])
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn stops_at_its_limit() {
        let mut transcript = Transcript::default();
        assert!(transcript.append(&[0; TRANSCRIPT_BYTES_MAX]).is_ok());
        assert!(transcript.append(&[0]).is_err());
        transcript.clear();
        assert!(transcript.append(&[0]).is_ok());
    }
}
