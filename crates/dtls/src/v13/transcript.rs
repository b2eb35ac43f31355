//! All messages of a handshake as TLS would have framed them (RFC 9147 section 5.2).
//!
//! Kept as bytes, since hashes of providers cannot be forked.

use alloc::vec::Vec;

use bartizan_crypto::Provider;

use super::messages::kind;
use crate::Error;
use crate::codec::put_u24;
use crate::hash::{Digest, Hash};
use crate::limits::TRANSCRIPT_13_BYTES_MAX;

#[derive(Debug, Default)]
pub(crate) struct Transcript(Vec<u8>);

impl Transcript {
    /// Adds a message: a header of four bytes and the body.
    pub fn append(&mut self, kind: u8, body: &[u8]) -> Result<(), Error> {
        let length = self.0.len().saturating_add(body.len()).saturating_add(4);
        if length > TRANSCRIPT_13_BYTES_MAX {
            return Err(Error::Unavailable("the handshake is too long"));
        }
        self.0.try_reserve(body.len() + 4).map_err(|_| Error::Unavailable("no memory for the handshake"))?;
        self.0.push(kind);
        put_u24(&mut self.0, body.len());
        self.0.extend_from_slice(body);
        Ok(())
    }

    /// RFC 8446 section 4.4.1: before a HelloRetryRequest the first hello counts as its hash.
    pub fn retry(&mut self, first: &Digest) -> Result<(), Error> {
        self.0.clear();
        self.append(kind::MESSAGE_HASH, first.as_slice())
    }

    pub fn hash(&self, provider: &Provider, hash: Hash) -> Digest {
        hash.digest(provider, &[&self.0])
    }

    /// With a message that is not whole: what binders sign.
    pub fn hash_with(&self, provider: &Provider, hash: Hash, kind: u8, length: usize, part: &[u8]) -> Digest {
        let [.., a, b, c] = (length as u32).to_be_bytes();
        hash.digest(provider, &[&self.0, &[kind, a, b, c], part])
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn stops_at_its_limit() {
        let mut transcript = Transcript::default();
        assert!(transcript.append(1, &[0; TRANSCRIPT_13_BYTES_MAX - 4]).is_ok());
        assert!(transcript.append(1, &[]).is_err());
        assert!(transcript.retry(&Digest::EMPTY).is_ok());
        assert!(transcript.append(1, &[]).is_ok());
    }
}
