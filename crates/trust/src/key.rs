//! Public keys, and the name that a key gives its holder.

use bartizan_crypto::{Provider, constant_time_eq};

use crate::Error;

/// A public key that evidence, certificates or endorsements are verified with.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum PublicKey {
    /// ECDSA with SHA-256 on P-256: the uncompressed point.
    P256([u8; 65]),
    /// Ed25519 (RFC 8032).
    Ed25519([u8; 32]),
}

impl PublicKey {
    /// Checks `signature` over `message`: 64 bytes, R and S for ECDSA (RFC 9053 section 2.1).
    ///
    /// # Errors
    /// `Untrusted` if it does not verify.
    pub fn verify(&self, provider: &Provider, message: &[u8], signature: &[u8]) -> Result<(), Error> {
        let verified = match self {
            Self::Ed25519(key) => (provider.ed25519.verify)(key, message, signature),
            Self::P256(key) => {
                let der = crate::cose::to_der(signature).ok_or(Error::Malformed("a signature's length"))?;
                (provider.ecdsa_p256_sha256.verify)(key, message, der.as_slice())
            }
        };
        verified.map_err(|_| Error::Untrusted("the signature does not verify"))
    }

    /// The thumbprint of RFC 9679: SHA-256 over the COSE_Key with its required members only, in their order.
    #[must_use]
    pub fn thumbprint(&self, provider: &Provider) -> Identity {
        Identity(match self {
            Self::P256([_, coordinates @ ..]) => {
                let (x, y) = coordinates.split_at(32);
                (provider.sha256)(&[b"\xA4\x01\x02\x20\x01\x21\x58\x20", x, b"\x22\x58\x20", y])
            }
            Self::Ed25519(key) => (provider.sha256)(&[b"\xA3\x01\x01\x20\x06\x21\x58\x20", key]),
        })
    }
}

/// Who a device is: the thumbprint (RFC 9679) of the public key that its first certificate is signed with, made from
/// its unique device secret. It outlives every change of firmware; leaf keys do not, and name nobody.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Identity(pub [u8; 32]);

impl Identity {
    /// In constant time, though nothing here is secret: the comparison decides over trust.
    #[must_use]
    pub fn is(&self, other: &Self) -> bool {
        constant_time_eq(&self.0, &other.0)
    }

    /// 64 hexadecimal digits of either case.
    #[must_use]
    pub fn from_hex(text: &str) -> Option<Self> {
        let mut out = [0; 32];
        if text.len() != 64 {
            return None;
        }
        for (to, digits) in out.iter_mut().zip(text.as_bytes().chunks(2)) {
            let digits = core::str::from_utf8(digits).ok().filter(|digits| !digits.starts_with('+'))?;
            *to = u8::from_str_radix(digits, 16).ok()?;
        }
        Some(Self(out))
    }
}

impl core::fmt::Display for Identity {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        self.0.iter().try_for_each(|byte| write!(f, "{byte:02x}"))
    }
}

impl core::fmt::Debug for Identity {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        write!(f, "Identity({self})")
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use alloc::string::ToString;
    use bartizan_crypto::RUSTCRYPTO;

    /// The key and the thumbprint of RFC 9679 section 6.
    #[test]
    fn the_thumbprint_of_rfc_9679() {
        let point = "65eda5a12577c2bae829437fe338701a10aaa375e1bb5b5de108de439c08551d\
                     1e52ed75701163f7f9e40ddf9f341b3dc9ba860af7e0ca7ca7e9eecd0084d19c";
        let mut key = [4; 65];
        for (to, digits) in key[1..].iter_mut().zip(point.as_bytes().chunks(2)) {
            *to = u8::from_str_radix(core::str::from_utf8(digits).unwrap(), 16).unwrap();
        }
        let thumbprint = PublicKey::P256(key).thumbprint(&RUSTCRYPTO);
        let expected = "496bd8afadf307e5b08c64b0421bf9dc01528a344a43bda88fadd1669da253ec";
        assert_eq!(thumbprint.to_string(), expected);
        assert_eq!(Identity::from_hex(expected), Some(thumbprint));
        assert_eq!(Identity::from_hex(&expected[1..]), None);
        assert_eq!(Identity::from_hex(&expected.replace("49", "+9")), None);
    }
}
