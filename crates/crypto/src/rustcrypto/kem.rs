//! ML-KEM-768 (FIPS 203).

use ml_kem::ml_kem_768::{DecapsulationKey, EncapsulationKey};
use ml_kem::{Decapsulate, KeyExport};
use zeroize::Zeroize;

use crate::limits::{KEM_CIPHERTEXT_BYTES, KEM_PUBLIC_BYTES};
use crate::{Kem, KemKeyPair, Random, Secret};

/// Also where the AWS-LC provider makes and opens: a seed is all that has to be kept.
pub(crate) const ML_KEM_768: Kem = Kem { generate, encapsulate, decapsulate };

fn generate(random: &mut dyn Random) -> KemKeyPair {
    let mut private = Secret::new([0; 64]);
    random.fill(private.expose_mut());
    let mut public = [0; KEM_PUBLIC_BYTES];
    let key = key_of(&private);
    public.iter_mut().zip(key.encapsulation_key().to_bytes()).for_each(|(to, from)| *to = from);
    KemKeyPair { private, public }
}

fn encapsulate(random: &mut dyn Random, public: &[u8]) -> Option<([u8; KEM_CIPHERTEXT_BYTES], Secret<32>)> {
    // FIPS 203 section 7.2: the modulus check is the decoder's.
    let key = EncapsulationKey::new(public.try_into().ok()?).ok()?;
    let mut message = [0; 32];
    random.fill(&mut message);
    let (ciphertext, mut shared) = key.encapsulate_deterministic(&message.into());
    message.zeroize();
    let secret = Secret::new(shared.into());
    shared.zeroize();
    Some((ciphertext.as_slice().try_into().ok()?, secret))
}

fn decapsulate(private: &Secret<64>, ciphertext: &[u8]) -> Option<Secret<32>> {
    let mut shared = key_of(private).decapsulate(ciphertext.try_into().ok()?);
    let secret = Secret::new(shared.into());
    shared.zeroize();
    Some(secret)
}

fn key_of(private: &Secret<64>) -> DecapsulationKey {
    DecapsulationKey::from_seed((*private.expose()).into())
}
