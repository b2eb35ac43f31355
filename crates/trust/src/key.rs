//! Public keys, and the name that a key gives its holder.

use bartizan_crypto::{Provider, constant_time_eq};

use crate::Error;
use crate::cbor::Strict;

/// A public key that evidence, certificates or endorsements are verified with.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum PublicKey {
    /// ECDSA with SHA-256 on P-256: the uncompressed point.
    P256([u8; 65]),
    /// ECDSA with SHA-384 on P-384: the uncompressed point. Only others' hardware has such keys.
    P384([u8; 97]),
    /// Ed25519 (RFC 8032).
    Ed25519([u8; 32]),
}

impl PublicKey {
    /// Checks `signature` over `message` in COSE's form: R and S side by side for ECDSA (RFC 9053 section 2.1).
    ///
    /// # Errors
    /// `Untrusted` if it does not verify.
    pub fn verify(&self, provider: &Provider, message: &[u8], signature: &[u8]) -> Result<(), Error> {
        let half = match self {
            Self::Ed25519(_) => return self.verify_der(provider, message, signature),
            Self::P256(_) => 32,
            Self::P384(_) => 48,
        };
        let mut out = [0; 2 + 2 * (2 + 1 + 48)];
        let der = crate::cose::put_der(signature, half, &mut out).ok_or(Error::Malformed("a signature's length"))?;
        self.verify_der(provider, message, der)
    }

    /// The same for a signature in X.509's form: DER for ECDSA (RFC 3279 section 2.2.3), 64 bytes for Ed25519.
    ///
    /// # Errors
    /// `Untrusted` if it does not verify.
    pub fn verify_der(&self, provider: &Provider, message: &[u8], signature: &[u8]) -> Result<(), Error> {
        let verified = match self {
            Self::P256(key) => (provider.ecdsa_p256_sha256.verify)(key, message, signature),
            Self::P384(key) => (provider.ecdsa_p384_sha384_verify)(key, message, signature),
            Self::Ed25519(key) => (provider.ed25519.verify)(key, message, signature),
        };
        verified.map_err(|_| Error::Untrusted("the signature does not verify"))
    }

    /// Reads a COSE_Key (RFC 9052 section 7) of a public key that may verify. Members that are not known refuse it.
    ///
    /// # Errors
    /// `Misbehaved` if it is for another use or shows a private key, `Unsupported` if it is of another kind,
    /// `Malformed` if a member has another form.
    pub fn from_cose_key(item: Strict<'_>) -> Result<Self, Error> {
        const SHAPE: Error = Error::Malformed("a COSE_Key with a member missing or of another form");
        let (mut kind, mut curve, mut x, mut y, mut algorithm, mut operations) = (None, None, None, None, None, None);
        for (label, value) in item.map().ok_or(SHAPE)? {
            match label.int() {
                Some(KTY) => kind = value.int(),
                Some(CRV) => curve = value.int(),
                Some(X) => x = value.byte_string(),
                Some(Y) => y = Some(value.byte_string().ok_or(Error::Unsupported("a point that is compressed"))?),
                Some(ALG) => algorithm = Some(value.int()),
                Some(OPS) => operations = Some(value),
                Some(KID) => {}
                Some(D) => return Err(Error::Misbehaved("a private key where a public one should be")),
                _ => return Err(Error::Unsupported("a member of a COSE_Key")),
            }
        }
        let x = x.ok_or(SHAPE)?;
        let key = match (kind.ok_or(SHAPE)?, curve.ok_or(SHAPE)?, y) {
            (1, 6, None) => Self::strong_ed25519(x.try_into().map_err(|_| SHAPE)?)?,
            (2, 1, y) => Self::P256(point(&[x, y.ok_or(SHAPE)?]).ok_or(SHAPE)?),
            (2, 2, y) => Self::P384(point(&[x, y.ok_or(SHAPE)?]).ok_or(SHAPE)?),
            _ => return Err(Error::Unsupported("a COSE_Key of another kind")),
        };
        if algorithm.is_some_and(|algorithm| algorithm != Some(crate::cose::algorithm_of(&key))) {
            return Err(Error::Misbehaved("a COSE_Key for another algorithm than its own"));
        }
        let verifies = |ops: Strict<'_>| ops.array().is_some_and(|mut ops| ops.any(|op| op.int() == Some(2)));
        if operations.is_some_and(|operations| !verifies(operations)) {
            return Err(Error::Misbehaved("a COSE_Key that may not verify"));
        }
        Ok(key)
    }

    /// Reads a SubjectPublicKeyInfo (RFC 5280 section 4.1.2.7) in DER, points uncompressed.
    ///
    /// # Errors
    /// `Unsupported` if it is of another kind, `Malformed` if it is none.
    pub fn from_spki(info: &[u8]) -> Result<Self, Error> {
        use crate::der::{self, Reader};

        /// RFC 5480 section 2.1.1 and RFC 8410 section 3.
        const P256: &[u8] = b"\x06\x07\x2A\x86\x48\xCE\x3D\x02\x01\x06\x08\x2A\x86\x48\xCE\x3D\x03\x01\x07";
        const P384: &[u8] = b"\x06\x07\x2A\x86\x48\xCE\x3D\x02\x01\x06\x05\x2B\x81\x04\x00\x22";
        const ED25519: &[u8] = b"\x06\x03\x2B\x65\x70";
        const SHAPE: Error = Error::Malformed("a public key of another length than its algorithm's");
        let mut parts = Reader::new(Reader::only(info, der::SEQUENCE)?);
        let (algorithm, key) = (parts.take(der::SEQUENCE)?, der::whole_bytes(parts.take(der::BIT_STRING)?)?);
        parts.end()?;
        match algorithm {
            ED25519 => Self::strong_ed25519(key.try_into().map_err(|_| SHAPE)?),
            P256 | P384 => {
                let coordinates = key.strip_prefix(&[4]).ok_or(Error::Unsupported("a point that is compressed"))?;
                if algorithm == P256 {
                    point(&[coordinates]).map(Self::P256)
                } else {
                    point(&[coordinates]).map(Self::P384)
                }
                .ok_or(SHAPE)
            }
            _ => Err(Error::Unsupported("a public key of another kind")),
        }
    }

    /// Refuses the points of small order, under which anybody can sign: not every implementation's verification does.
    fn strong_ed25519(key: [u8; 32]) -> Result<Self, Error> {
        if bartizan_crypto::is_weak_ed25519(&key) {
            return Err(Error::Misbehaved("a key that anybody can sign under"));
        }
        Ok(Self::Ed25519(key))
    }

    /// The thumbprint of RFC 9679: SHA-256 over the COSE_Key with its required members only, in their order.
    #[must_use]
    pub fn thumbprint(&self, provider: &Provider) -> Identity {
        Identity(match self {
            Self::P256([_, coordinates @ ..]) => {
                let (x, y) = coordinates.split_at(32);
                (provider.sha256)(&[b"\xA4\x01\x02\x20\x01\x21\x58\x20", x, b"\x22\x58\x20", y])
            }
            Self::P384([_, coordinates @ ..]) => {
                let (x, y) = coordinates.split_at(48);
                (provider.sha256)(&[b"\xA4\x01\x02\x20\x02\x21\x58\x30", x, b"\x22\x58\x30", y])
            }
            Self::Ed25519(key) => (provider.sha256)(&[b"\xA3\x01\x01\x20\x06\x21\x58\x20", key]),
        })
    }
}

/// Labels of a COSE_Key (RFC 9052 section 7.1 and RFC 9053 section 7).
const KTY: i64 = 1;
const KID: i64 = 2;
const ALG: i64 = 3;
const OPS: i64 = 4;
const CRV: i64 = -1;
const X: i64 = -2;
const Y: i64 = -3;
const D: i64 = -4;

/// An uncompressed point (SEC 1 section 2.3.3) of coordinates, each of half the rest.
fn point<const N: usize>(coordinates: &[&[u8]]) -> Option<[u8; N]> {
    let mut out = [0; N];
    let (first, mut rest) = out.split_first_mut()?;
    *first = 4;
    let each = rest.len() / coordinates.len().max(1);
    for coordinate in coordinates {
        let (place, after) = core::mem::take(&mut rest).split_at_mut_checked(each)?;
        rest = after;
        if coordinate.len() != each {
            return None;
        }
        place.copy_from_slice(coordinate);
    }
    rest.is_empty().then_some(out)
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

    #[test]
    fn weak_keys_are_refused_where_they_are_read() {
        let mut weak = [0; 32];
        assert!(matches!(PublicKey::strong_ed25519(weak), Err(Error::Misbehaved(_))));
        weak[0] = 1;
        assert!(matches!(PublicKey::strong_ed25519(weak), Err(Error::Misbehaved(_))));
        assert!(PublicKey::strong_ed25519([9; 32]).is_ok());
    }
}
