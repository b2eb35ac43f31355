//! From premaster secret to traffic keys (RFC 5246 section 5 and 8, RFC 7627, RFC 5705).

use bartizan_crypto::{Provider, Secret, SecretBytes};
use zeroize::{Zeroize, ZeroizeOnDrop, Zeroizing};

use crate::CipherSuite;
use crate::hash::{Digest, Hash};
use crate::key::RecordKeyRef;

/// Length of a Finished message's verify_data.
pub(crate) const VERIFY_BYTES: usize = 12;
/// What the exported keying material is for; evidence will be bound to it.
const EXPORTER_LABEL: &str = "EXPORTER-bartizan-session";

/// The randoms of both hellos.
#[derive(Clone, Copy)]
pub(crate) struct Randoms {
    pub client: [u8; 32],
    pub server: [u8; 32],
}

/// What one direction of an association is protected with. Raw: expanded per record.
#[derive(Clone, Zeroize, ZeroizeOnDrop)]
pub(crate) struct TrafficKey {
    key: [u8; 32],
    iv: [u8; 12],
}

impl TrafficKey {
    pub const BYTES: usize = 44;
    pub const BLANK: Self = Self { key: [0; 32], iv: [0; 12] };

    pub const fn as_ref(&self) -> RecordKeyRef<'_> {
        RecordKeyRef { key: &self.key, iv: &self.iv, sn: &[] }
    }

    /// A copy.
    pub fn of(key: RecordKeyRef<'_>) -> Self {
        let mut copy = Self { key: [0; 32], iv: *key.iv };
        copy.key.iter_mut().zip(key.key).for_each(|(to, from)| *to = *from);
        copy
    }

    pub fn to_bytes(&self) -> Zeroizing<[u8; Self::BYTES]> {
        let mut bytes = Zeroizing::new([0; Self::BYTES]);
        let parts = self.key.iter().chain(&self.iv);
        bytes.iter_mut().zip(parts).for_each(|(to, from)| *to = *from);
        bytes
    }

    pub fn from_bytes(bytes: &[u8; Self::BYTES]) -> Self {
        let mut key = Self::BLANK;
        let parts = key.key.iter_mut().chain(&mut key.iv);
        parts.zip(bytes).for_each(|(to, from)| *to = *from);
        key
    }
}

/// Everything that a finished key exchange yields.
pub(crate) struct Keys {
    pub client: TrafficKey,
    pub server: TrafficKey,
    pub exporter: Secret<32>,
    pub master: Secret<48>,
}

/// Both sides of the Finished exchange.
#[derive(Clone, Copy)]
pub(crate) enum Side {
    Client,
    Server,
}

/// Derives all keys. `session_hash` covers the messages up to and including ClientKeyExchange: the extended
/// master secret (RFC 7627 section 4) is not optional here. Without a pre-shared key the shared secret is all
/// (RFC 8422 section 5.10).
pub(crate) fn derive(
    provider: &Provider,
    suite: CipherSuite,
    psk: Option<&SecretBytes>,
    shared: Option<&Secret<32>>,
    randoms: &Randoms,
    session_hash: &Digest,
) -> Keys {
    let (premaster, length) = premaster(psk, shared);
    let premaster = premaster.get(..length).unwrap_or_default();
    let hash = suite.hash();
    let mut master = Secret::new([0; 48]);
    let label = "extended master secret";
    prf(provider, hash, premaster, label, [session_hash.as_slice(), &[]], master.expose_mut());
    expand(provider, suite, master, randoms)
}

/// The keys of a connection under a master secret, be it new or resumed: fresh randoms make them fresh, the exporter
/// too (RFC 5246 section 8.1 and F.1.4).
pub(crate) fn expand(provider: &Provider, suite: CipherSuite, master: Secret<48>, randoms: &Randoms) -> Keys {
    let hash = suite.hash();
    let (client, server) = traffic_keys(provider, suite, &master, randoms);
    let mut exporter = Secret::new([0; 32]);
    let seed: [&[u8]; 2] = [&randoms.client, &randoms.server];
    prf(provider, hash, master.expose(), EXPORTER_LABEL, seed, exporter.expose_mut());
    Keys { client, server, exporter, master }
}

/// RFC 4279 section 2 (PSK: as many zeros as the key is long) and RFC 5489 section 2 (ECDHE: the shared secret).
fn premaster(psk: Option<&SecretBytes>, shared: Option<&Secret<32>>) -> (Zeroizing<[u8; 132]>, usize) {
    let Some(psk) = psk else {
        let mut out = Zeroizing::new([0; 132]);
        let shared = shared.into_iter().flat_map(Secret::expose);
        out.iter_mut().zip(shared).for_each(|(to, from)| *to = *from);
        return (out, 32);
    };
    let zeros = [0; bartizan_crypto::limits::SECRET_BYTES_MAX];
    let psk = psk.expose();
    let other = match shared {
        Some(shared) => shared.expose(),
        None => zeros.get(..psk.len()).unwrap_or_default(),
    };
    let mut out = Zeroizing::new([0; 132]);
    let lengths = [(other.len() as u16).to_be_bytes(), (psk.len() as u16).to_be_bytes()];
    let [first, second] = &lengths;
    let parts = first.iter().chain(other).chain(second).chain(psk);
    out.iter_mut().zip(parts).for_each(|(to, from)| *to = *from);
    (out, 4 + other.len() + psk.len())
}

/// RFC 5246 section 6.3; AEAD suites have no MAC keys.
fn traffic_keys(
    provider: &Provider,
    suite: CipherSuite,
    master: &Secret<48>,
    randoms: &Randoms,
) -> (TrafficKey, TrafficKey) {
    let mut block = Zeroizing::new([0; 2 * TrafficKey::BYTES]);
    let seed: [&[u8]; 2] = [&randoms.server, &randoms.client];
    prf(provider, suite.hash(), master.expose(), "key expansion", seed, &mut *block);
    let mut bytes = block.iter().copied();
    let (mut client, mut server) = (TrafficKey::BLANK, TrafficKey::BLANK);
    let key_len = suite.aead(provider).key_len;
    let iv_len = suite.fixed_iv_len();
    let keys = [(&mut client.key, key_len), (&mut server.key, key_len)];
    for (key, length) in keys {
        key.iter_mut().take(length).zip(&mut bytes).for_each(|(to, from)| *to = from);
    }
    let ivs = [(&mut client.iv, iv_len), (&mut server.iv, iv_len)];
    for (iv, length) in ivs {
        iv.iter_mut().take(length).zip(&mut bytes).for_each(|(to, from)| *to = from);
    }
    (client, server)
}

/// RFC 5246 section 7.4.9.
pub(crate) fn verify_data(
    provider: &Provider,
    hash: Hash,
    master: &Secret<48>,
    side: Side,
    transcript_hash: &Digest,
) -> [u8; VERIFY_BYTES] {
    let label = match side {
        Side::Client => "client finished",
        Side::Server => "server finished",
    };
    let mut out = [0; VERIFY_BYTES];
    prf(provider, hash, master.expose(), label, [transcript_hash.as_slice(), &[]], &mut out);
    out
}

/// P_hash (RFC 5246 section 5) with the seed in two parts.
pub(crate) fn prf(provider: &Provider, hash: Hash, secret: &[u8], label: &str, seed: [&[u8]; 2], out: &mut [u8]) {
    let [first, second] = seed;
    let label = label.as_bytes();
    let mut a = hash.hmac(provider, secret, &[label, first, second]);
    for chunk in out.chunks_mut(hash.len()) {
        let block = hash.hmac(provider, secret, &[a.as_slice(), label, first, second]);
        chunk.iter_mut().zip(block.as_slice()).for_each(|(to, from)| *to = *from);
        a = hash.hmac(provider, secret, &[a.as_slice()]);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use bartizan_crypto::RUSTCRYPTO;

    /// A vector that implementers exchanged on the TLS working group's list (P_SHA256, 100 bytes).
    #[test]
    fn prf_matches_the_working_groups_vector() {
        let secret = [0x9b, 0xbe, 0x43, 0x6b, 0xa9, 0x40, 0xf0, 0x17, 0xb1, 0x76, 0x52, 0x84, 0x9a, 0x71, 0xdb, 0x35];
        let seed = [0xa0, 0xba, 0x9f, 0x93, 0x6c, 0xda, 0x31, 0x18, 0x27, 0xa6, 0xf7, 0x96, 0xff, 0xd5, 0x19, 0x8c];
        let expected = [
            0xe3, 0xf2, 0x29, 0xba, 0x72, 0x7b, 0xe1, 0x7b, 0x8d, 0x12, 0x26, 0x20, 0x55, 0x7c, 0xd4, 0x53, 0xc2, 0xaa,
            0xb2, 0x1d, 0x07, 0xc3, 0xd4, 0x95, 0x32, 0x9b, 0x52, 0xd4, 0xe6, 0x1e, 0xdb, 0x5a,
        ];
        let mut out = [0; 100];
        prf(&RUSTCRYPTO, Hash::Sha256, &secret, "test label", [&seed, &[]], &mut out);
        assert_eq!(out[..32], expected);
        assert_eq!(out[96..], [0x87, 0x34, 0x7b, 0x66]);
    }

    #[test]
    fn premasters_have_the_shape_of_their_rfcs() {
        let psk = SecretBytes::new(&[7, 8, 9]).unwrap();
        let (bytes, length) = premaster(Some(&psk), None);
        assert_eq!(bytes[..length], [0, 3, 0, 0, 0, 0, 3, 7, 8, 9]);
        let shared = Secret::new([5; 32]);
        let (bytes, length) = premaster(Some(&psk), Some(&shared));
        assert_eq!(bytes[..2], [0, 32]);
        assert_eq!(bytes[2..34], [5; 32]);
        assert_eq!(bytes[34..length], [0, 3, 7, 8, 9]);
        let (bytes, length) = premaster(None, Some(&shared));
        assert_eq!(bytes[..length], [5; 32]);
    }

    #[test]
    fn traffic_keys_survive_storage() {
        let key = TrafficKey { key: [3; 32], iv: [4; 12] };
        let again = TrafficKey::from_bytes(&key.to_bytes());
        assert_eq!((again.key, again.iv), ([3; 32], [4; 12]));
    }
}
