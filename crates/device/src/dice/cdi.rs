//! The secrets, and how each follows from the one before it.

use bartizan_crypto::{Provider, Secret, constant_time_eq};
use zeroize::{Zeroize, Zeroizing};

use super::{Algorithm, Error, Inputs, KeyPair};

/// The unique device secret that hardware gives the first code once.
pub struct Uds(Secret<32>);

impl Uds {
    #[must_use]
    pub const fn new(secret: Secret<32>) -> Self {
        Self(secret)
    }

    /// The device's identity. Its private half signs the first layer's certificate and is then gone.
    ///
    /// # Errors
    /// `Misuse` if the provider lacks SHA-512 or the algorithm.
    pub fn key_pair(&self, provider: &Provider, algorithm: Algorithm) -> Result<KeyPair, Error> {
        KeyPair::derive(provider, algorithm, &self.0)
    }

    /// The secret in the place of both CDIs, as the first layer's are made from it.
    #[must_use]
    pub fn into_cdi(self) -> Cdi {
        Cdi { attest: self.0.clone(), seal: self.0 }
    }
}

/// Compound device identifiers: what one layer holds of the device's secret.
///
/// No copy can be made; whoever derives the next layer's gives up its own.
pub struct Cdi {
    attest: Secret<32>,
    seal: Secret<32>,
}

impl Cdi {
    #[must_use]
    pub const fn new(attest: Secret<32>, seal: Secret<32>) -> Self {
        Self { attest, seal }
    }

    /// The secrets that the code behind `inputs` starts with.
    ///
    /// # Errors
    /// `Misuse` if the provider lacks SHA-512.
    pub fn next(self, provider: &Provider, inputs: &Inputs<'_>) -> Result<Self, Error> {
        let config = inputs.config.measured(provider);
        let mode = [inputs.mode as u8];
        let hidden = inputs.hidden.map_or(&[0; 64], Secret::expose);
        let stable: [&[u8]; 3] = [&inputs.authority, &mode, hidden];
        let [authority, mode, hidden] = stable;
        let attest_salt = Zeroizing::new((provider.sha512)(&[&inputs.code, &config, authority, mode, hidden]));
        let seal_salt = Zeroizing::new((provider.sha512)(&stable));
        Ok(Self {
            attest: kdf(provider, self.attest.expose(), &*attest_salt, b"CDI_Attest")?,
            seal: kdf(provider, self.seal.expose(), &*seal_salt, b"CDI_Seal")?,
        })
    }

    /// The layer's attestation key: any change of what was started, or of how, changes it.
    ///
    /// # Errors
    /// `Misuse` if the provider lacks SHA-512 or the algorithm.
    pub fn key_pair(&self, provider: &Provider, algorithm: Algorithm) -> Result<KeyPair, Error> {
        KeyPair::derive(provider, algorithm, &self.attest)
    }

    /// The key under which this firmware keeps what no other firmware may continue, such as sleeping DTLS associations:
    /// changed firmware must do a handshake and attest.
    ///
    /// # Errors
    /// `Misuse` if the provider lacks SHA-512.
    pub fn session_sealing_key(&self, provider: &Provider) -> Result<Secret<32>, Error> {
        kdf(provider, self.attest.expose(), &[], b"Bartizan session sealing")
    }

    /// The secret that outlives updates signed by the same authority: operational keys are made from it, with
    /// [`KeyPair::from_seed`] or as a PSK. What tampered firmware could read it; rotate what was made from it then.
    ///
    /// # Errors
    /// `Misuse` if the provider lacks SHA-512.
    pub fn operational_key(&self, provider: &Provider) -> Result<Secret<32>, Error> {
        kdf(provider, self.seal.expose(), &[], b"Bartizan operational key")
    }

    /// Leaves the secrets in memory that the next stage knows of, attestation first.
    pub fn leave(self, place: &mut [u8; 64]) {
        let secrets = self.attest.expose().iter().chain(self.seal.expose());
        for (to, from) in place.iter_mut().zip(secrets) {
            *to = *from;
        }
    }

    /// Takes what was left, once: the place is zero afterwards, and there is nothing to take from zeros.
    #[must_use]
    pub fn take(place: &mut [u8; 64]) -> Option<Self> {
        let mut taken = Self::new(Secret::new([0; 32]), Secret::new([0; 32]));
        let Self { attest, seal } = &mut taken;
        for (to, from) in attest.expose_mut().iter_mut().chain(seal.expose_mut()).zip(place.iter()) {
            *to = *from;
        }
        let there = !constant_time_eq(place, &[0; 64]);
        place.zeroize();
        there.then_some(taken)
    }

    /// For known answers. Whatever sees the secrets can be every layer that follows.
    #[must_use]
    pub const fn expose(&self) -> (&Secret<32>, &Secret<32>) {
        (&self.attest, &self.seal)
    }
}

/// HKDF-SHA512 (RFC 5869) with one block of output, of which all lengths used here are a part.
///
/// Refuses a provider whose SHA-512 is the empty place holder of those that have none: every device would have the same
/// keys.
pub(super) fn kdf<const N: usize>(
    provider: &Provider,
    secret: &[u8],
    salt: &[u8],
    label: &[u8],
) -> Result<Secret<N>, Error> {
    const { assert!(N <= 64) };
    let extracted = Zeroizing::new((provider.hmac_sha512)(salt, &[secret]));
    let expanded = Zeroizing::new((provider.hmac_sha512)(&*extracted, &[label, &[1]]));
    if constant_time_eq(&*expanded, &[0; 64]) {
        return Err(Error::Misuse("a provider without SHA-512"));
    }
    let mut out = Secret::new([0; N]);
    for (to, from) in out.expose_mut().iter_mut().zip(expanded.iter()) {
        *to = *from;
    }
    Ok(out)
}
