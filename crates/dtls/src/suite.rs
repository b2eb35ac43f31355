//! The cipher suites, and the two versions that they belong to.

use bartizan_crypto::{Aead, Provider};

use crate::hash::Hash;
use crate::limits;

/// A version of DTLS.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Version {
    /// RFC 6347.
    Dtls12,
    /// RFC 9147.
    Dtls13,
}

impl Version {
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Dtls12 => "DTLS 1.2",
            Self::Dtls13 => "DTLS 1.3",
        }
    }
}

/// The versions that one side speaks.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Versions {
    pub min: Version,
    pub max: Version,
}

impl Versions {
    pub const DTLS_1_2: Self = Self { min: Version::Dtls12, max: Version::Dtls12 };
    pub const DTLS_1_3: Self = Self { min: Version::Dtls13, max: Version::Dtls13 };
    pub const BOTH: Self = Self { min: Version::Dtls12, max: Version::Dtls13 };

    #[must_use]
    pub fn contains(self, version: Version) -> bool {
        (self.min..=self.max).contains(&version)
    }
}

/// How the two sides of a DTLS 1.2 suite come to a secret. DTLS 1.3 suites leave that to extensions.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum KeyExchange {
    /// A pre-shared key alone (RFC 4279 section 2).
    Psk,
    /// A pre-shared key and an ephemeral exchange (RFC 5489).
    EcdhePsk,
    /// An ephemeral exchange that the server signs (RFC 8422).
    EcdheEcdsa,
    /// DTLS 1.3.
    Negotiated,
}

/// What records are protected with.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Cipher {
    Aes128Ccm8,
    Aes128Ccm,
    Aes128Gcm,
    Aes256Gcm,
    ChaCha20Poly1305,
}

//= rfc6347#4.1.2.2-1
/// A TLS cipher suite that this crate speaks.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
#[repr(u16)]
pub enum CipherSuite {
    /// RFC 8446 appendix B.4, as are the next four.
    Aes128GcmSha256 = 0x1301,
    Aes256GcmSha384 = 0x1302,
    Chacha20Poly1305Sha256 = 0x1303,
    Aes128CcmSha256 = 0x1304,
    /// An 8-byte tag: only with the safeguards of RFC 9147 section 4.5.3.
    Aes128Ccm8Sha256 = 0x1305,
    /// RFC 5289.
    EcdheEcdsaAes128GcmSha256 = 0xC02B,
    /// RFC 5289.
    EcdheEcdsaAes256GcmSha384 = 0xC02C,
    /// RFC 7905.
    EcdheEcdsaChacha20Poly1305Sha256 = 0xCCA9,
    /// RFC 7251.
    EcdheEcdsaAes128Ccm = 0xC0AC,
    /// RFC 7251. What RFC 7925 asks constrained devices with certificates to have.
    EcdheEcdsaAes128Ccm8 = 0xC0AE,
    /// RFC 8442.
    EcdhePskAes128GcmSha256 = 0xD001,
    /// RFC 8442.
    EcdhePskAes256GcmSha384 = 0xD002,
    /// RFC 7905.
    EcdhePskChacha20Poly1305Sha256 = 0xCCAC,
    /// RFC 8442.
    EcdhePskAes128CcmSha256 = 0xD005,
    /// RFC 8442.
    EcdhePskAes128Ccm8Sha256 = 0xD003,
    /// RFC 5487.
    PskAes128GcmSha256 = 0x00A8,
    /// RFC 5487.
    PskAes256GcmSha384 = 0x00A9,
    /// RFC 7905.
    PskChacha20Poly1305Sha256 = 0xCCAB,
    /// RFC 6655.
    PskAes128Ccm = 0xC0A4,
    /// RFC 6655. What RFC 7925 asks constrained devices with a pre-shared key to have.
    PskAes128Ccm8 = 0xC0A8,
}

impl CipherSuite {
    /// All of them, in a server's order of preference: forward secrecy first, long tags before short ones.
    pub const ALL: [Self; 20] = [
        Self::Aes128GcmSha256,
        Self::Aes256GcmSha384,
        Self::Chacha20Poly1305Sha256,
        Self::Aes128CcmSha256,
        Self::Aes128Ccm8Sha256,
        Self::EcdheEcdsaAes128GcmSha256,
        Self::EcdheEcdsaAes256GcmSha384,
        Self::EcdheEcdsaChacha20Poly1305Sha256,
        Self::EcdheEcdsaAes128Ccm,
        Self::EcdheEcdsaAes128Ccm8,
        Self::EcdhePskAes128GcmSha256,
        Self::EcdhePskAes256GcmSha384,
        Self::EcdhePskChacha20Poly1305Sha256,
        Self::EcdhePskAes128CcmSha256,
        Self::EcdhePskAes128Ccm8Sha256,
        Self::PskAes128GcmSha256,
        Self::PskAes256GcmSha384,
        Self::PskChacha20Poly1305Sha256,
        Self::PskAes128Ccm,
        Self::PskAes128Ccm8,
    ];

    /// Those of DTLS 1.2 with a pre-shared key, in the same order.
    pub const PSK_DTLS_1_2: [Self; 10] = [
        Self::EcdhePskAes128GcmSha256,
        Self::EcdhePskAes256GcmSha384,
        Self::EcdhePskChacha20Poly1305Sha256,
        Self::EcdhePskAes128CcmSha256,
        Self::EcdhePskAes128Ccm8Sha256,
        Self::PskAes128GcmSha256,
        Self::PskAes256GcmSha384,
        Self::PskChacha20Poly1305Sha256,
        Self::PskAes128Ccm,
        Self::PskAes128Ccm8,
    ];

    /// IANA's number.
    #[must_use]
    pub const fn code(self) -> u16 {
        self as u16
    }

    #[must_use]
    pub fn from_code(code: u16) -> Option<Self> {
        Self::ALL.into_iter().find(|suite| suite.code() == code)
    }

    /// IANA's name.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Aes128GcmSha256 => "TLS_AES_128_GCM_SHA256",
            Self::Aes256GcmSha384 => "TLS_AES_256_GCM_SHA384",
            Self::Chacha20Poly1305Sha256 => "TLS_CHACHA20_POLY1305_SHA256",
            Self::Aes128CcmSha256 => "TLS_AES_128_CCM_SHA256",
            Self::Aes128Ccm8Sha256 => "TLS_AES_128_CCM_8_SHA256",
            Self::EcdheEcdsaAes128GcmSha256 => "TLS_ECDHE_ECDSA_WITH_AES_128_GCM_SHA256",
            Self::EcdheEcdsaAes256GcmSha384 => "TLS_ECDHE_ECDSA_WITH_AES_256_GCM_SHA384",
            Self::EcdheEcdsaChacha20Poly1305Sha256 => "TLS_ECDHE_ECDSA_WITH_CHACHA20_POLY1305_SHA256",
            Self::EcdheEcdsaAes128Ccm => "TLS_ECDHE_ECDSA_WITH_AES_128_CCM",
            Self::EcdheEcdsaAes128Ccm8 => "TLS_ECDHE_ECDSA_WITH_AES_128_CCM_8",
            Self::EcdhePskAes128GcmSha256 => "TLS_ECDHE_PSK_WITH_AES_128_GCM_SHA256",
            Self::EcdhePskAes256GcmSha384 => "TLS_ECDHE_PSK_WITH_AES_256_GCM_SHA384",
            Self::EcdhePskChacha20Poly1305Sha256 => "TLS_ECDHE_PSK_WITH_CHACHA20_POLY1305_SHA256",
            Self::EcdhePskAes128CcmSha256 => "TLS_ECDHE_PSK_WITH_AES_128_CCM_SHA256",
            Self::EcdhePskAes128Ccm8Sha256 => "TLS_ECDHE_PSK_WITH_AES_128_CCM_8_SHA256",
            Self::PskAes128GcmSha256 => "TLS_PSK_WITH_AES_128_GCM_SHA256",
            Self::PskAes256GcmSha384 => "TLS_PSK_WITH_AES_256_GCM_SHA384",
            Self::PskChacha20Poly1305Sha256 => "TLS_PSK_WITH_CHACHA20_POLY1305_SHA256",
            Self::PskAes128Ccm => "TLS_PSK_WITH_AES_128_CCM",
            Self::PskAes128Ccm8 => "TLS_PSK_WITH_AES_128_CCM_8",
        }
    }

    #[must_use]
    pub const fn version(self) -> Version {
        match self.key_exchange() {
            KeyExchange::Negotiated => Version::Dtls13,
            _ => Version::Dtls12,
        }
    }

    #[must_use]
    pub const fn key_exchange(self) -> KeyExchange {
        match self {
            Self::Aes128GcmSha256
            | Self::Aes256GcmSha384
            | Self::Chacha20Poly1305Sha256
            | Self::Aes128CcmSha256
            | Self::Aes128Ccm8Sha256 => KeyExchange::Negotiated,
            Self::EcdheEcdsaAes128GcmSha256
            | Self::EcdheEcdsaAes256GcmSha384
            | Self::EcdheEcdsaChacha20Poly1305Sha256
            | Self::EcdheEcdsaAes128Ccm
            | Self::EcdheEcdsaAes128Ccm8 => KeyExchange::EcdheEcdsa,
            Self::EcdhePskAes128GcmSha256
            | Self::EcdhePskAes256GcmSha384
            | Self::EcdhePskChacha20Poly1305Sha256
            | Self::EcdhePskAes128CcmSha256
            | Self::EcdhePskAes128Ccm8Sha256 => KeyExchange::EcdhePsk,
            Self::PskAes128GcmSha256
            | Self::PskAes256GcmSha384
            | Self::PskChacha20Poly1305Sha256
            | Self::PskAes128Ccm
            | Self::PskAes128Ccm8 => KeyExchange::Psk,
        }
    }

    #[must_use]
    pub const fn cipher(self) -> Cipher {
        match self {
            Self::Aes128Ccm8Sha256
            | Self::EcdheEcdsaAes128Ccm8
            | Self::EcdhePskAes128Ccm8Sha256
            | Self::PskAes128Ccm8 => Cipher::Aes128Ccm8,
            Self::Aes128CcmSha256 | Self::EcdheEcdsaAes128Ccm | Self::EcdhePskAes128CcmSha256 | Self::PskAes128Ccm => {
                Cipher::Aes128Ccm
            }
            Self::Aes128GcmSha256
            | Self::EcdheEcdsaAes128GcmSha256
            | Self::EcdhePskAes128GcmSha256
            | Self::PskAes128GcmSha256 => Cipher::Aes128Gcm,
            Self::Aes256GcmSha384
            | Self::EcdheEcdsaAes256GcmSha384
            | Self::EcdhePskAes256GcmSha384
            | Self::PskAes256GcmSha384 => Cipher::Aes256Gcm,
            Self::Chacha20Poly1305Sha256
            | Self::EcdheEcdsaChacha20Poly1305Sha256
            | Self::EcdhePskChacha20Poly1305Sha256
            | Self::PskChacha20Poly1305Sha256 => Cipher::ChaCha20Poly1305,
        }
    }

    /// The hash of the key schedule and of the transcript.
    pub(crate) const fn hash(self) -> Hash {
        match self.cipher() {
            Cipher::Aes256Gcm => Hash::Sha384,
            _ => Hash::Sha256,
        }
    }

    /// The cipher that protects records.
    pub(crate) const fn aead(self, provider: &Provider) -> &Aead {
        match self.cipher() {
            Cipher::Aes128Ccm8 => &provider.aes_128_ccm_8,
            Cipher::Aes128Ccm => &provider.aes_128_ccm,
            Cipher::Aes128Gcm => &provider.aes_128_gcm,
            Cipher::Aes256Gcm => &provider.aes_256_gcm,
            Cipher::ChaCha20Poly1305 => &provider.chacha20_poly1305,
        }
    }

    //= rfc9147#4.5.3-2
    //= rfc9147#4.5.3-3
    /// Failed opens under one key before the association is closed (RFC 9147 section 4.5.3). DTLS 1.2 has no such
    /// rule, but the same ciphers. `ccm_8` is the limit for tags of 8 bytes.
    pub(crate) const fn failed_opens_max(self, ccm_8: u16) -> u64 {
        match self.cipher() {
            Cipher::Aes128Ccm8 => ccm_8 as u64,
            Cipher::Aes128Ccm => limits::FORGERIES_MAX_CCM,
            Cipher::Aes128Gcm | Cipher::Aes256Gcm | Cipher::ChaCha20Poly1305 => limits::FORGERIES_MAX,
        }
    }

    /// DTLS 1.2: length of the part of the nonce that comes from the key block.
    pub(crate) const fn fixed_iv_len(self) -> usize {
        12 - self.explicit_nonce_len()
    }

    /// DTLS 1.2: length of the part of the nonce that stands in each record.
    pub(crate) const fn explicit_nonce_len(self) -> usize {
        match self.cipher() {
            Cipher::ChaCha20Poly1305 => 0,
            _ => 8,
        }
    }

    /// DTLS 1.2: whether the handshake agrees on an ephemeral key.
    #[must_use]
    pub const fn is_ecdhe(self) -> bool {
        matches!(self.key_exchange(), KeyExchange::EcdhePsk | KeyExchange::EcdheEcdsa)
    }

    /// DTLS 1.2: whether the client names a pre-shared key.
    #[must_use]
    pub const fn is_psk(self) -> bool {
        matches!(self.key_exchange(), KeyExchange::Psk | KeyExchange::EcdhePsk)
    }
}

impl core::fmt::Display for CipherSuite {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        f.pad(self.name())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_say_what_a_suite_is_made_of() {
        let psk = CipherSuite::ALL.into_iter().filter(|suite| suite.is_psk());
        assert!(psk.eq(CipherSuite::PSK_DTLS_1_2));
        for suite in CipherSuite::ALL {
            let name = suite.name();
            assert_eq!(CipherSuite::from_code(suite.code()), Some(suite));
            assert_eq!(name.contains("_WITH_"), suite.version() == Version::Dtls12, "{name}");
            assert_eq!(name.contains("ECDHE"), suite.is_ecdhe(), "{name}");
            assert_eq!(name.contains("PSK"), suite.is_psk(), "{name}");
            assert_eq!(name.ends_with("SHA384"), suite.hash() == Hash::Sha384, "{name}");
            let cipher = match suite.cipher() {
                Cipher::Aes128Ccm8 => "AES_128_CCM_8",
                Cipher::Aes128Ccm => "AES_128_CCM",
                Cipher::Aes128Gcm => "AES_128_GCM",
                Cipher::Aes256Gcm => "AES_256_GCM",
                Cipher::ChaCha20Poly1305 => "CHACHA20_POLY1305",
            };
            assert!(name.contains(cipher), "{name}");
            assert_eq!(name.contains("CCM_8"), suite.cipher() == Cipher::Aes128Ccm8, "{name}");
        }
    }
}
