//! The private key of an authority, wherever it lives.

use std::sync::Arc;

use bartizan_crypto::AWS_LC;
use bartizan_trust::PublicKey;
use rcgen::{KeyPair, SigningKey};
use zeroize::Zeroizing;

use super::Error;

/// A key that signs. The private half is behind `SigningKey`: here in memory, or in a token.
#[derive(Clone)]
pub struct Key {
    signer: Arc<dyn SigningKey + Send + Sync>,
    public: PublicKey,
    info: Vec<u8>,
}

impl Key {
    /// A fresh key on P-256, and its private half as PKCS#8 in DER, to be sealed.
    ///
    /// # Errors
    /// `Key` if none can be made.
    pub fn generate() -> Result<(Self, Zeroizing<Vec<u8>>), Error> {
        let pair = KeyPair::generate()?;
        let private = Zeroizing::new(pair.serialize_der());
        Ok((Self::elsewhere(Arc::new(pair))?, private))
    }

    /// # Errors
    /// `Key` if the bytes are no PKCS#8 of a key on P-256 or P-384 or of Ed25519.
    pub fn from_pkcs8(private: &[u8]) -> Result<Self, Error> {
        Self::elsewhere(Arc::new(KeyPair::try_from(private)?))
    }

    /// A key that somebody else keeps.
    ///
    /// # Errors
    /// `Refused` if it is of another kind than ours.
    pub fn elsewhere(signer: Arc<dyn SigningKey + Send + Sync>) -> Result<Self, Error> {
        let info = signer.subject_public_key_info();
        Ok(Self { public: PublicKey::from_spki(&info)?, signer, info })
    }

    /// SubjectPublicKeyInfo in DER.
    #[must_use]
    pub fn info(&self) -> &[u8] {
        &self.info
    }

    #[must_use]
    pub const fn public(&self) -> &PublicKey {
        &self.public
    }

    /// A signature in X.509's form. It is verified before it is handed out: a fault while signing must not show the key.
    pub(super) fn sign(&self, bytes: &[u8]) -> Result<Vec<u8>, Error> {
        let signature = self.signer.sign(bytes)?;
        self.public.verify_der(&AWS_LC, bytes, &signature)?;
        Ok(signature)
    }
}

impl std::fmt::Debug for Key {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Key").field("public", &self.public).finish_non_exhaustive()
    }
}
