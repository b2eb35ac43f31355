//! Ephemeral key exchange (RFC 8446 section 4.2.8), also the hybrid of ML-KEM-768 and X25519
//! (draft-ietf-tls-ecdhe-mlkem).

use alloc::boxed::Box;
use alloc::vec::Vec;

use bartizan_crypto::limits::{KEM_CIPHERTEXT_BYTES, KEM_PUBLIC_BYTES};
use bartizan_crypto::{KemKeyPair, KeyPair, Provider, Random, Secret, SecretBytes};

use crate::Group;

/// A client's ephemeral keys.
pub(crate) struct Share {
    pub group: Group,
    pair: KeyPair,
    kem: Option<Box<KemKeyPair>>,
}

impl Share {
    pub fn generate(provider: &Provider, group: Group, rng: &mut dyn Random) -> Self {
        let kem = (group == Group::X25519MlKem768).then(|| generate_kem(provider, rng));
        Self { group, pair: (group.agreement(provider).generate)(rng), kem }
    }

    /// What the server gets.
    pub fn public(&self) -> Vec<u8> {
        let kem = self.kem.as_ref().map(|kem| kem.public.as_slice());
        [kem.unwrap_or_default(), self.pair.public.as_slice()].concat()
    }

    /// The secret that a server's share leads to; `None` if that is not a valid one.
    pub fn agree(&self, provider: &Provider, peer: &[u8]) -> Option<SecretBytes> {
        let agreement = self.group.agreement(provider);
        let Some(kem) = &self.kem else {
            return together(None, &(agreement.agree)(&self.pair.private, peer)?);
        };
        let (ciphertext, peer) = peer.split_at_checked(KEM_CIPHERTEXT_BYTES)?;
        let first = decapsulate(provider, kem, ciphertext)?;
        together(Some(&first), &(agreement.agree)(&self.pair.private, peer)?)
    }
}

/// A server's answer to a client's share, and the secret; `None` if the share is not a valid one.
pub(crate) fn answer(
    provider: &Provider,
    group: Group,
    rng: &mut dyn Random,
    peer: &[u8],
) -> Option<(Vec<u8>, SecretBytes)> {
    let agreement = group.agreement(provider);
    let pair = (agreement.generate)(rng);
    if group != Group::X25519MlKem768 {
        let secret = together(None, &(agreement.agree)(&pair.private, peer)?)?;
        return Some((pair.public.as_slice().to_vec(), secret));
    }
    let (public, peer) = peer.split_at_checked(KEM_PUBLIC_BYTES)?;
    let classical = (agreement.agree)(&pair.private, peer)?;
    let (mut share, first) = encapsulate(provider, rng, public)?;
    share.extend_from_slice(pair.public.as_slice());
    Some((share, together(Some(&first), &classical)?))
}

// ML-KEM's keys and ciphertexts are a kilobyte each, and its mathematics several: out of line, so that only handshakes
// that use it need the stack for it.

#[inline(never)]
fn generate_kem(provider: &Provider, rng: &mut dyn Random) -> Box<KemKeyPair> {
    Box::new((provider.ml_kem_768.generate)(rng))
}

#[inline(never)]
fn encapsulate(provider: &Provider, rng: &mut dyn Random, public: &[u8]) -> Option<(Vec<u8>, Secret<32>)> {
    let (ciphertext, secret) = (provider.ml_kem_768.encapsulate)(rng, public)?;
    Some((ciphertext.to_vec(), secret))
}

#[inline(never)]
fn decapsulate(provider: &Provider, pair: &KemKeyPair, ciphertext: &[u8]) -> Option<Secret<32>> {
    (provider.ml_kem_768.decapsulate)(&pair.private, ciphertext)
}

/// ML-KEM's secret first.
fn together(first: Option<&Secret<32>>, second: &Secret<32>) -> Option<SecretBytes> {
    let mut bytes = zeroize::Zeroizing::new([0; 64]);
    let first = first.map(|first| first.expose().as_slice()).unwrap_or_default();
    let length = first.len() + 32;
    bytes.iter_mut().zip(first.iter().chain(second.expose())).for_each(|(to, from)| *to = *from);
    SecretBytes::new(bytes.get(..length)?)
}

#[cfg(test)]
mod tests {
    use super::*;
    use bartizan_crypto::{AWS_LC, RUSTCRYPTO};

    #[test]
    fn both_sides_agree_in_every_group() {
        let mut count = 0_u8;
        let mut rng = |out: &mut [u8]| {
            for byte in out {
                count = count.wrapping_mul(5).wrapping_add(3);
                *byte = count;
            }
        };
        for group in Group::ALL {
            let share = Share::generate(&RUSTCRYPTO, group, &mut rng);
            let (public, secret) = answer(&AWS_LC, group, &mut rng, &share.public()).unwrap();
            assert!(share.agree(&RUSTCRYPTO, &public).is_some_and(|other| other == secret));
            assert_eq!(secret.len(), if group == Group::X25519MlKem768 { 64 } else { 32 });
            assert!(answer(&AWS_LC, group, &mut rng, &share.public()[1..]).is_none());
            assert!(share.agree(&RUSTCRYPTO, &public[1..]).is_none());
        }
    }
}
