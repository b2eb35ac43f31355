//! The cipher suites.

use bartizan_crypto::{Aead, Provider};

/// A TLS cipher suite that this crate speaks. All are PSK suites whose PRF hash is SHA-256.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
#[repr(u16)]
pub enum CipherSuite {
    /// RFC 6655. What constrained devices have.
    PskAes128Ccm8 = 0xC0A8,
    /// RFC 5487.
    PskAes128GcmSha256 = 0x00A8,
    /// RFC 7905. Forward secret.
    EcdhePskChacha20Poly1305Sha256 = 0xCCAC,
    /// RFC 8442. Forward secret.
    EcdhePskAes128Ccm8Sha256 = 0xD003,
}

impl CipherSuite {
    /// All of them, forward secrecy first: a server's default preference.
    pub const ALL: [Self; 4] = [
        Self::EcdhePskChacha20Poly1305Sha256,
        Self::EcdhePskAes128Ccm8Sha256,
        Self::PskAes128GcmSha256,
        Self::PskAes128Ccm8,
    ];

    /// IANA's number.
    #[must_use]
    pub const fn code(self) -> u16 {
        self as u16
    }

    #[must_use]
    pub const fn from_code(code: u16) -> Option<Self> {
        match code {
            0xC0A8 => Some(Self::PskAes128Ccm8),
            0x00A8 => Some(Self::PskAes128GcmSha256),
            0xCCAC => Some(Self::EcdhePskChacha20Poly1305Sha256),
            0xD003 => Some(Self::EcdhePskAes128Ccm8Sha256),
            _ => None,
        }
    }

    /// IANA's name.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::PskAes128Ccm8 => "TLS_PSK_WITH_AES_128_CCM_8",
            Self::PskAes128GcmSha256 => "TLS_PSK_WITH_AES_128_GCM_SHA256",
            Self::EcdhePskChacha20Poly1305Sha256 => "TLS_ECDHE_PSK_WITH_CHACHA20_POLY1305_SHA256",
            Self::EcdhePskAes128Ccm8Sha256 => "TLS_ECDHE_PSK_WITH_AES_128_CCM_8_SHA256",
        }
    }

    /// The cipher that protects records.
    pub(crate) const fn aead(self, provider: &Provider) -> &Aead {
        match self {
            Self::PskAes128Ccm8 | Self::EcdhePskAes128Ccm8Sha256 => &provider.aes_128_ccm_8,
            Self::PskAes128GcmSha256 => &provider.aes_128_gcm,
            Self::EcdhePskChacha20Poly1305Sha256 => &provider.chacha20_poly1305,
        }
    }

    /// Length of the part of the nonce that comes from the key block.
    pub(crate) const fn fixed_iv_len(self) -> usize {
        match self {
            Self::EcdhePskChacha20Poly1305Sha256 => 12,
            _ => 4,
        }
    }

    /// Length of the part of the nonce that stands in each record.
    pub(crate) const fn explicit_nonce_len(self) -> usize {
        match self {
            Self::EcdhePskChacha20Poly1305Sha256 => 0,
            _ => 8,
        }
    }

    /// Whether the handshake agrees on an ephemeral key (RFC 5489).
    #[must_use]
    pub const fn is_ecdhe(self) -> bool {
        matches!(self, Self::EcdhePskChacha20Poly1305Sha256 | Self::EcdhePskAes128Ccm8Sha256)
    }
}

impl core::fmt::Display for CipherSuite {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        f.pad(self.name())
    }
}
