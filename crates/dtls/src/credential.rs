//! Who we are and whom we believe, beyond pre-shared keys: certificates and raw public keys.
//!
//! Certificates are opaque bytes here. A caller's [`PeerVerifier`] says whether a chain is to be believed and which
//! key its leaf holds; this crate checks that the peer has the private half.

use alloc::boxed::Box;
use alloc::sync::Arc;
use alloc::vec::Vec;

use bartizan_crypto::{Provider, PublicShare, Random, Secret, Signature, SignatureAlgorithm};

use crate::{AlertDescription, Error, limits};

/// How a handshake is signed (RFC 8446 section 4.2.3).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum SignatureScheme {
    /// ECDSA on P-256 with SHA-256.
    EcdsaSecp256r1Sha256,
    Ed25519,
}

impl SignatureScheme {
    /// In the order of preference.
    pub const ALL: [Self; 2] = [Self::EcdsaSecp256r1Sha256, Self::Ed25519];

    /// IANA's number.
    #[must_use]
    pub const fn code(self) -> u16 {
        match self {
            Self::EcdsaSecp256r1Sha256 => 0x0403,
            Self::Ed25519 => 0x0807,
        }
    }

    #[must_use]
    pub fn from_code(code: u16) -> Option<Self> {
        Self::ALL.into_iter().find(|scheme| scheme.code() == code)
    }

    pub(crate) const fn algorithm(self, provider: &Provider) -> &SignatureAlgorithm {
        match self {
            Self::EcdsaSecp256r1Sha256 => &provider.ecdsa_p256_sha256,
            Self::Ed25519 => &provider.ed25519,
        }
    }
}

/// What stands in a Certificate message (RFC 7250 section 3). The numbers are IANA's.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[repr(u8)]
pub enum CertificateType {
    X509 = 0,
    /// One SubjectPublicKeyInfo.
    RawPublicKey = 2,
}

impl CertificateType {
    #[must_use]
    pub const fn from_code(code: u8) -> Option<Self> {
        match code {
            0 => Some(Self::X509),
            2 => Some(Self::RawPublicKey),
            _ => None,
        }
    }
}

/// How a peer showed who it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[repr(u8)]
pub enum Authentication {
    /// By a pre-shared key.
    PreSharedKey = 0,
    /// Not at all; its principal is [`Self::NOBODY`].
    Anonymous = 1,
    /// By an X.509 certificate and its private key.
    Certificate = 2,
    /// By a raw public key and its private half.
    RawPublicKey = 3,
}

impl Authentication {
    /// The principal of all peers that have shown nothing.
    pub const NOBODY: u64 = u64::MAX;

    pub(crate) const fn from_code(code: u8) -> Option<Self> {
        match code {
            0 => Some(Self::PreSharedKey),
            1 => Some(Self::Anonymous),
            2 => Some(Self::Certificate),
            3 => Some(Self::RawPublicKey),
            _ => None,
        }
    }

    pub(crate) const fn by(kind: CertificateType) -> Self {
        match kind {
            CertificateType::X509 => Self::Certificate,
            CertificateType::RawPublicKey => Self::RawPublicKey,
        }
    }
}

/// A public key that signatures are checked with.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct PublicKey {
    pub scheme: SignatureScheme,
    /// An uncompressed point, or 32 bytes for Ed25519.
    pub bytes: PublicShare,
}

/// What comes before the key in a SubjectPublicKeyInfo (RFC 5480 section 2, RFC 8410 section 4).
const SPKI_P256: [u8; 26] = [
    0x30, 0x59, 0x30, 0x13, 0x06, 0x07, 0x2a, 0x86, 0x48, 0xce, 0x3d, 0x02, 0x01, 0x06, 0x08, 0x2a, 0x86, 0x48, 0xce,
    0x3d, 0x03, 0x01, 0x07, 0x03, 0x42, 0x00,
];
const SPKI_ED25519: [u8; 12] = [0x30, 0x2a, 0x30, 0x05, 0x06, 0x03, 0x2b, 0x65, 0x70, 0x03, 0x21, 0x00];

impl PublicKey {
    /// Reads a SubjectPublicKeyInfo in DER. Only the two algorithms of [`SignatureScheme`] have a place here, whose
    /// encodings are fixed but for the key itself.
    #[must_use]
    pub fn from_spki(spki: &[u8]) -> Option<Self> {
        let known: [(&[u8], usize, SignatureScheme); 2] =
            [(&SPKI_P256, 65, SignatureScheme::EcdsaSecp256r1Sha256), (&SPKI_ED25519, 32, SignatureScheme::Ed25519)];
        known.into_iter().find_map(|(prefix, length, scheme)| {
            let key = spki.strip_prefix(prefix).filter(|key| key.len() == length)?;
            Some(Self { scheme, bytes: PublicShare::new(key) })
        })
    }

    /// As a SubjectPublicKeyInfo in DER: what a raw public key is on the wire.
    #[must_use]
    pub fn to_spki(&self) -> Vec<u8> {
        let prefix: &[u8] = match self.scheme {
            SignatureScheme::EcdsaSecp256r1Sha256 => &SPKI_P256,
            SignatureScheme::Ed25519 => &SPKI_ED25519,
        };
        [prefix, self.bytes.as_slice()].concat()
    }
}

/// A private key, wherever it lives.
pub trait Signer: Send + Sync {
    fn scheme(&self) -> SignatureScheme;

    /// Signs `message`; `None` if the key cannot be used now.
    fn sign(&self, provider: &Provider, random: &mut dyn Random, message: &[u8]) -> Option<Signature>;
}

/// A private key in memory.
pub struct SoftwareKey {
    scheme: SignatureScheme,
    private: Secret<32>,
}

impl SoftwareKey {
    /// `private` is a P-256 scalar or an Ed25519 seed.
    #[must_use]
    pub const fn new(scheme: SignatureScheme, private: Secret<32>) -> Self {
        Self { scheme, private }
    }

    /// The public half; `None` if this is no private key.
    #[must_use]
    pub fn public(&self, provider: &Provider) -> Option<PublicKey> {
        let bytes = (self.scheme.algorithm(provider).public)(&self.private)?;
        Some(PublicKey { scheme: self.scheme, bytes })
    }
}

impl Signer for SoftwareKey {
    fn scheme(&self) -> SignatureScheme {
        self.scheme
    }

    fn sign(&self, provider: &Provider, random: &mut dyn Random, message: &[u8]) -> Option<Signature> {
        (self.scheme.algorithm(provider).sign)(&self.private, random, message)
    }
}

/// What we show a peer that asks who we are, and the key that proves it.
#[derive(Clone)]
pub struct Credential {
    pub(crate) kind: CertificateType,
    /// DER, the leaf first; a single SubjectPublicKeyInfo for a raw public key.
    pub(crate) chain: Vec<Vec<u8>>,
    pub(crate) signer: Arc<dyn Signer>,
}

impl Credential {
    /// A certificate chain in DER, leaf first, without its root.
    ///
    /// # Errors
    /// `Misuse` if the chain is empty or longer than the limits.
    pub fn x509(chain: Vec<Vec<u8>>, signer: Arc<dyn Signer>) -> Result<Self, Error> {
        let bytes: usize = chain.iter().map(Vec::len).sum();
        let fits = (1..=limits::CERTIFICATES_MAX).contains(&chain.len()) && bytes <= limits::CHAIN_BYTES_MAX;
        if !fits || chain.iter().any(Vec::is_empty) {
            return Err(Error::Misuse("a certificate chain that is empty or too long"));
        }
        Ok(Self { kind: CertificateType::X509, chain, signer })
    }

    /// A raw public key (RFC 7250).
    ///
    /// # Errors
    /// `Misuse` if the key cannot sign under its scheme.
    pub fn raw_public_key(public: PublicKey, signer: Arc<dyn Signer>) -> Result<Self, Error> {
        if public.scheme != signer.scheme() {
            return Err(Error::Misuse("the public key and the private key are of different kinds"));
        }
        Ok(Self { kind: CertificateType::RawPublicKey, chain: alloc::vec![public.to_spki()], signer })
    }
}

impl core::fmt::Debug for Credential {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        write!(f, "Credential({:?}, {:?})", self.kind, self.signer.scheme())
    }
}

/// A peer whose certificate or key is believed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct VerifiedPeer {
    /// Who it is, in the caller's numbering; comes back in every event.
    pub principal: u64,
    /// The leaf's key.
    pub key: PublicKey,
}

/// Says whether what a peer shows is to be believed.
pub trait PeerVerifier: Send + Sync {
    /// `chain` is what the peer sent: certificates in DER, leaf first, or one SubjectPublicKeyInfo. Never empty.
    ///
    /// # Errors
    /// The alert for the peer, such as [`AlertDescription::UNKNOWN_CA`] or [`AlertDescription::BAD_CERTIFICATE`].
    fn verify(&self, kind: CertificateType, chain: &[&[u8]]) -> Result<VerifiedPeer, AlertDescription>;

    /// The kinds it can judge, in the order of preference.
    fn kinds(&self) -> &[CertificateType];
}

/// Believes raw public keys that were told beforehand, and nothing else.
pub struct PinnedKeys(Box<[(PublicKey, u64)]>);

impl PinnedKeys {
    /// Each key with the principal whose it is.
    #[must_use]
    pub fn new(keys: impl IntoIterator<Item = (PublicKey, u64)>) -> Self {
        Self(keys.into_iter().collect())
    }
}

impl PeerVerifier for PinnedKeys {
    fn verify(&self, kind: CertificateType, chain: &[&[u8]]) -> Result<VerifiedPeer, AlertDescription> {
        let ([spki], CertificateType::RawPublicKey) = (chain, kind) else {
            return Err(AlertDescription::UNSUPPORTED_CERTIFICATE);
        };
        let shown = PublicKey::from_spki(spki).ok_or(AlertDescription::UNSUPPORTED_CERTIFICATE)?;
        let known = self.0.iter().find(|(key, _)| *key == shown);
        known
            .map(|(key, principal)| VerifiedPeer { principal: *principal, key: *key })
            .ok_or(AlertDescription::UNKNOWN_CA)
    }

    fn kinds(&self) -> &[CertificateType] {
        &[CertificateType::RawPublicKey]
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use bartizan_crypto::RUSTCRYPTO;

    #[test]
    fn keys_survive_their_wire_form_and_others_are_not_read() {
        for scheme in SignatureScheme::ALL {
            let key = SoftwareKey::new(scheme, Secret::new([7; 32])).public(&RUSTCRYPTO).unwrap();
            let spki = key.to_spki();
            assert_eq!(PublicKey::from_spki(&spki), Some(key));
            assert_eq!(PublicKey::from_spki(&spki[1..]), None);
            assert_eq!(PublicKey::from_spki(&[&spki[..], &[0]].concat()), None);
        }
    }

    #[test]
    fn pinned_keys_are_believed_and_no_others() {
        let key_of =
            |byte| SoftwareKey::new(SignatureScheme::Ed25519, Secret::new([byte; 32])).public(&RUSTCRYPTO).unwrap();
        let pinned = PinnedKeys::new([(key_of(1), 11), (key_of(2), 22)]);
        let kind = CertificateType::RawPublicKey;
        assert_eq!(pinned.verify(kind, &[&key_of(2).to_spki()]).unwrap().principal, 22);
        assert_eq!(pinned.verify(kind, &[&key_of(3).to_spki()]), Err(AlertDescription::UNKNOWN_CA));
        assert!(pinned.verify(CertificateType::X509, &[&key_of(2).to_spki()]).is_err());
    }
}
