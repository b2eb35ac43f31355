//! From shared secrets to traffic keys (RFC 8446 section 7, with the labels of RFC 9147 section 5.9).

use bartizan_crypto::{Provider, Secret};
use zeroize::{Zeroize, ZeroizeOnDrop, Zeroizing};

use crate::CipherSuite;
use crate::hash::{Digest, Hash};
use crate::key::RecordKeyRef;

//= rfc9147#5.9-1
/// RFC 9147 section 5.9: no space at its end, unlike TLS's.
const PREFIX: &[u8] = b"dtls13";
/// What the exported keying material is for; evidence will be bound to it.
const EXPORTER_LABEL: &str = "EXPORTER-bartizan-session";

/// The epochs that every association has (RFC 9147 section 6.1).
pub(crate) const EPOCH_HANDSHAKE: u16 = 2;
pub(crate) const EPOCH_APPLICATION: u16 = 3;

/// What one direction is protected with in one epoch. Raw: expanded per record.
#[derive(Clone, Zeroize, ZeroizeOnDrop)]
pub(crate) struct RecordKey {
    key: [u8; 32],
    iv: [u8; 12],
    sn: [u8; 32],
}

impl RecordKey {
    /// RFC 8446 section 7.3, RFC 9147 section 4.2.3.
    pub fn derive(provider: &Provider, suite: CipherSuite, secret: &Digest) -> Self {
        let hash = suite.hash();
        let length = suite.aead(provider).key_len;
        let mut key = Self { key: [0; 32], iv: [0; 12], sn: [0; 32] };
        let Self { key: cipher, iv, sn } = &mut key;
        expand_label(provider, hash, secret, "key", &[], cipher.get_mut(..length).unwrap_or_default());
        expand_label(provider, hash, secret, "iv", &[], iv);
        expand_label(provider, hash, secret, "sn", &[], sn.get_mut(..length).unwrap_or_default());
        key
    }

    pub const fn as_ref(&self) -> RecordKeyRef<'_> {
        RecordKeyRef { key: &self.key, iv: &self.iv, sn: &self.sn }
    }
}

/// The stage that the schedule has reached: early, handshake or master secret.
pub(crate) struct Schedule {
    provider: &'static Provider,
    hash: Hash,
    secret: Digest,
}

impl Schedule {
    /// The early secret; without a pre-shared key there are zeros in its place.
    pub fn start(provider: &'static Provider, hash: Hash, psk: Option<&[u8]>) -> Self {
        let zeros = Digest::zeros(hash);
        let secret = hash.hmac(provider, zeros.as_slice(), &[psk.unwrap_or(zeros.as_slice())]);
        Self { provider, hash, secret }
    }

    /// On to the next stage; without an input there are zeros in its place.
    pub fn advance(&mut self, input: Option<&[u8]>) {
        let zeros = Digest::zeros(self.hash);
        let salt = self.derive("derived", &self.hash.digest(self.provider, &[]));
        self.secret = self.hash.hmac(self.provider, salt.as_slice(), &[input.unwrap_or(zeros.as_slice())]);
    }

    /// Derive-Secret.
    pub fn derive(&self, label: &str, transcript: &Digest) -> Digest {
        derive(self.provider, self.hash, &self.secret, label, transcript)
    }

    /// What the binders of external pre-shared keys are made with (RFC 8446 section 4.2.11.2).
    pub fn binder_key(&self) -> Digest {
        self.derive("ext binder", &self.hash.digest(self.provider, &[]))
    }

    /// 32 bytes of keying material bound to the handshake up to the server's Finished (RFC 8446 section 7.5).
    pub fn exporter(&self, transcript: &Digest) -> Secret<32> {
        let empty = self.hash.digest(self.provider, &[]);
        let master = self.derive("exp master", transcript);
        let secret = derive(self.provider, self.hash, &master, EXPORTER_LABEL, &empty);
        let mut out = Secret::new([0; 32]);
        expand_label(self.provider, self.hash, &secret, "exporter", empty.as_slice(), out.expose_mut());
        out
    }
}

fn derive(provider: &Provider, hash: Hash, secret: &Digest, label: &str, context: &Digest) -> Digest {
    let mut out = Zeroizing::new([0; crate::hash::DIGEST_BYTES_MAX]);
    let length = hash.len();
    expand_label(provider, hash, secret, label, context.as_slice(), out.get_mut(..length).unwrap_or_default());
    Digest::of(out.get(..length).unwrap_or_default())
}

/// RFC 8446 section 7.2: the traffic secret of the next epoch.
pub(crate) fn next_secret(provider: &Provider, hash: Hash, secret: &Digest) -> Digest {
    derive(provider, hash, secret, "traffic upd", &Digest::EMPTY)
}

/// RFC 8446 section 4.4.4, also for binders.
pub(crate) fn verify_data(provider: &Provider, hash: Hash, base: &Digest, transcript: &Digest) -> Digest {
    let key = derive(provider, hash, base, "finished", &Digest::EMPTY);
    hash.hmac(provider, key.as_slice(), &[transcript.as_slice()])
}

/// HKDF-Expand-Label (RFC 8446 section 7.1).
fn expand_label(provider: &Provider, hash: Hash, secret: &Digest, label: &str, context: &[u8], out: &mut [u8]) {
    let length = (out.len() as u16).to_be_bytes();
    let label_len = [(PREFIX.len() + label.len()) as u8];
    let context_len = [context.len() as u8];
    let mut previous = Digest::EMPTY;
    for (chunk, counter) in out.chunks_mut(hash.len()).zip(1_u8..) {
        let parts: [&[u8]; 8] =
            [previous.as_slice(), &length, &label_len, PREFIX, label.as_bytes(), &context_len, context, &[counter]];
        let block = hash.hmac(provider, secret.as_slice(), &parts);
        chunk.iter_mut().zip(block.as_slice()).for_each(|(to, from)| *to = *from);
        previous = block;
    }
}
