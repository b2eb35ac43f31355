//! Groups for ephemeral keys.

use bartizan_crypto::{KeyAgreement, Provider};

/// A group for ephemeral keys (IANA's TLS Supported Groups).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Group {
    /// ML-KEM-768 and X25519 together, DTLS 1.3 only: secret as long as either holds.
    X25519MlKem768,
    X25519,
    Secp256r1,
}

impl Group {
    /// In the order of preference.
    pub const ALL: [Self; 3] = [Self::X25519MlKem768, Self::X25519, Self::Secp256r1];
    /// Those that DTLS 1.2 can use.
    pub const CLASSICAL: [Self; 2] = [Self::X25519, Self::Secp256r1];

    /// IANA's number.
    #[must_use]
    pub const fn code(self) -> u16 {
        match self {
            Self::X25519MlKem768 => 0x11EC,
            Self::X25519 => 29,
            Self::Secp256r1 => 23,
        }
    }

    #[must_use]
    pub fn from_code(code: u16) -> Option<Self> {
        Self::ALL.into_iter().find(|group| group.code() == code)
    }

    /// The Diffie-Hellman part.
    pub(crate) const fn agreement(self, provider: &Provider) -> &KeyAgreement {
        match self {
            Self::X25519MlKem768 | Self::X25519 => &provider.x25519,
            Self::Secp256r1 => &provider.secp256r1,
        }
    }
}
