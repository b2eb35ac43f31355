//! Evidence: who this device is and what it runs, said freshly, within one session.

mod seal;

use bartizan_crypto::{Provider, Random, Secret};
use bartizan_trust::eat::{Claims, DICE_PROFILE, Nonce};
use bartizan_trust::{Identity, PublicKey, heartbeat, limits};

use crate::dice::cbor::sign1;
pub use seal::SEALED_EXTRA_BYTES;

use crate::dice::{Cdi, Error, Form, KeyPair};

/// What the last layer attests with. [`measured_boot`](crate::dice::measured_boot) makes it.
pub struct Attester<'c> {
    pub(crate) key: KeyPair,
    pub(crate) cdi: Cdi,
    pub(crate) identity: Identity,
    pub(crate) form: Form,
    pub(crate) chain: &'c [u8],
    pub(crate) reference: [u8; 32],
    pub(crate) ueid: Option<Ueid>,
    pub(crate) boot_count: Option<u64>,
    pub(crate) boot_seed: [u8; 16],
    pub(crate) security_version: Option<u64>,
    pub(crate) security_floor: Option<u64>,
}

/// How evidence names the chain that its key ends.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Carry {
    Chain,
    /// By its hash: enough for a verifier that has seen the chain since this start. One that has not says so, and gets
    /// the chain.
    Reference,
}

/// An unprotected header with one entry, up to its value: `kid`, `x5chain` (RFC 9360), and −70001, our DICE chain.
const KID_32: &[u8] = &[0xA1, 0x04, 0x58, 0x20];
const X5CHAIN: &[u8] = &[0xA1, 0x18, 0x21];
const DICE_CHAIN: &[u8] = &[0xA1, 0x3A, 0x00, 0x01, 0x11, 0x70];

impl Attester<'_> {
    /// Answers `challenge` with all that this start can say: an untagged COSE_Sign1 over an EAT. Returns the length in
    /// `out`.
    ///
    /// `binding` ties it to the session that will carry it, so that no other device can pass it on as its own. Make it
    /// with [`bartizan_trust::challenge::binding`] from that session's exporter value and no other's.
    ///
    /// # Errors
    /// `Misuse` if the challenge is not of 8 to 64 bytes, `Unavailable` if `out` is too small: the chain and 352
    /// bytes are enough.
    pub fn evidence(
        &self,
        provider: &Provider,
        random: &mut dyn Random,
        challenge: &[u8],
        binding: &[u8; 32],
        carry: Carry,
        out: &mut [u8],
    ) -> Result<usize, Error> {
        let claims = Claims {
            nonce: Some(Nonce { challenge: checked(challenge)?, binding: Some(binding) }),
            profile: Some(DICE_PROFILE),
            ueid: self.ueid.as_ref().map(Ueid::as_slice),
            boot_count: self.boot_count,
            boot_seed: Some(&self.boot_seed),
            security_version: self.security_version,
            security_floor: self.security_floor,
            ..Claims::default()
        };
        self.sign(provider, random, carry, &claims, out)
    }

    /// Says only that this start goes on: challenge, binding and boot count (the boot seed on boards without a count),
    /// under the chain's hash. It prolongs a verdict that full evidence got; see [`bartizan_trust::heartbeat`].
    ///
    /// # Errors
    /// As [`Self::evidence`]; 256 bytes are enough.
    pub fn heartbeat(
        &self,
        provider: &Provider,
        random: &mut dyn Random,
        challenge: &[u8],
        binding: &[u8; 32],
        out: &mut [u8],
    ) -> Result<usize, Error> {
        let nonce = Nonce { challenge: checked(challenge)?, binding: Some(binding) };
        let claims = heartbeat::claims(nonce, self.boot_count, &self.boot_seed);
        self.sign(provider, random, Carry::Reference, &claims, out)
    }

    /// The same under the key that [`heartbeat::key`] makes from the session's exporter value and the evidence that got
    /// the verdict: no signature, and about 55 bytes. Keep that key in memory only.
    ///
    /// # Errors
    /// As [`Self::heartbeat`].
    pub fn tagged_heartbeat(
        &self,
        provider: &Provider,
        key: &Secret<32>,
        challenge: &[u8],
        out: &mut [u8],
    ) -> Result<usize, Error> {
        heartbeat::write(provider, key, checked(challenge)?, self.boot_count, &self.boot_seed, out)
    }

    fn sign(
        &self,
        provider: &Provider,
        random: &mut dyn Random,
        carry: Carry,
        claims: &Claims<'_>,
        out: &mut [u8],
    ) -> Result<usize, Error> {
        let header: [&[u8]; 2] = match (carry, self.form) {
            (Carry::Reference, _) => [KID_32, &self.reference],
            (Carry::Chain, Form::Cbor) => [DICE_CHAIN, self.chain],
            (Carry::Chain, Form::X509 | Form::Tcg) => [X5CHAIN, self.chain],
        };
        sign1(provider, random, &self.key, &header, out, |to| claims.write(to))
    }

    /// Who the device is, over all firmware that it ever runs.
    #[must_use]
    pub const fn identity(&self) -> &Identity {
        &self.identity
    }

    /// The encoded chain, as [`Carry::Chain`] carries it.
    #[must_use]
    pub const fn chain(&self) -> &[u8] {
        self.chain
    }

    /// SHA-256 of [`Self::chain`].
    #[must_use]
    pub const fn reference(&self) -> &[u8; 32] {
        &self.reference
    }

    /// Verifies the evidence of this start; another firmware has another.
    #[must_use]
    pub const fn public_key(&self) -> &PublicKey {
        self.key.public()
    }

    /// What the device shows in a handshake before it has a certificate of its owner: its chain, and the key of its last
    /// layer.
    ///
    /// # Errors
    /// `Misuse` if the chain is not of X.509 certificates, or too long for DTLS.
    #[cfg(feature = "client")]
    pub fn credential(&self) -> Result<bartizan_dtls::Credential, Error> {
        const NO_CHAIN: Error = Error::Misuse("a chain that is not of X.509 certificates");
        if self.form == Form::Cbor {
            return Err(NO_CHAIN);
        }
        let items = bartizan_trust::cbor::Strict::new(self.chain)?.array().ok_or(NO_CHAIN)?;
        let chain = items.map(|item| item.byte_string().map(<[u8]>::to_vec)).collect::<Option<_>>().ok_or(NO_CHAIN)?;
        let signer = alloc::sync::Arc::new(self.key.dtls_key());
        bartizan_dtls::Credential::x509(chain, signer).map_err(|_| Error::Misuse("a chain that is too long for DTLS"))
    }

    /// What this start drew, to tell it from others.
    #[must_use]
    pub const fn boot_seed(&self) -> &[u8; 16] {
        &self.boot_seed
    }

    /// How often the board was started.
    #[must_use]
    pub const fn boot_count(&self) -> Option<u64> {
        self.boot_count
    }

    /// See [`Cdi::session_sealing_key`].
    ///
    /// # Errors
    /// `Misuse` if the provider lacks SHA-512.
    pub fn session_sealing_key(&self, provider: &Provider) -> Result<Secret<32>, Error> {
        self.cdi.session_sealing_key(provider)
    }

    /// See [`Cdi::operational_key`].
    ///
    /// # Errors
    /// `Misuse` if the provider lacks SHA-512.
    pub fn operational_key(&self, provider: &Provider) -> Result<Secret<32>, Error> {
        self.cdi.operational_key(provider)
    }

    /// Gives the secrets to code that this layer starts, and ends its own attesting.
    #[must_use]
    pub fn into_cdi(self) -> Cdi {
        self.cdi
    }
}

fn checked(challenge: &[u8]) -> Result<&[u8], Error> {
    match limits::NONCE_BYTES.contains(&challenge.len()) {
        true => Ok(challenge),
        false => Err(Error::Misuse("a challenge that is not of 8 to 64 bytes")),
    }
}

/// Kept inline: 7 to 33 bytes (RFC 9711 section 4.2.1).
pub(crate) struct Ueid {
    bytes: [u8; 33],
    length: usize,
}

impl Ueid {
    pub(crate) fn new(name: &[u8]) -> Result<Self, Error> {
        const LENGTH: Error = Error::Misuse("a UEID that is not of 7 to 33 bytes");
        let mut ueid = Self { bytes: [0; 33], length: name.len() };
        let fits = limits::UEID_BYTES.contains(&name.len());
        ueid.bytes.get_mut(..name.len()).filter(|_| fits).ok_or(LENGTH)?.copy_from_slice(name);
        Ok(ueid)
    }

    pub(crate) fn as_slice(&self) -> &[u8] {
        self.bytes.get(..self.length).unwrap_or_default()
    }
}
