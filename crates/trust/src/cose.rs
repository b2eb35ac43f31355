//! COSE_Sign1 and COSE_Mac0 (RFC 9052), as much as evidence needs: one signer, payload within, no external data
//! unless the caller has some. Reading borrows; writing goes into the caller's buffer.

use bartizan_crypto::{Provider, Random, Secret, Signature, constant_time_eq};
use minicbor::encode::write::Cursor;
use minicbor::encode::{Encoder, Write};

use crate::cbor::Strict;
use crate::{Error, PublicKey};

/// ES256 (RFC 9053 section 2.1): ECDSA with SHA-256, here on P-256.
pub const ES256: i64 = -7;
/// EdDSA (RFC 9053 section 2.2), here Ed25519.
pub const EDDSA: i64 = -8;
/// ES384 (RFC 9053 section 2.1): ECDSA with SHA-384, here on P-384.
pub const ES384: i64 = -35;
/// HMAC with SHA-256 and a tag of 32 bytes (RFC 9053 section 3.1).
pub const HMAC_256: i64 = 5;
/// HMAC with SHA-256 and a tag of 8 bytes.
pub const HMAC_256_64: i64 = 4;
/// The last of its HMACs.
pub const HMAC_512: i64 = 7;

const SHAPE: Error = Error::Malformed("not a COSE_Sign1 or COSE_Mac0");

/// Which of the two.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Shape {
    /// Tag 18.
    Sign1,
    /// Tag 17.
    Mac0,
}

impl Shape {
    const fn tag(self) -> u64 {
        match self {
            Self::Sign1 => 18,
            Self::Mac0 => 17,
        }
    }

    const fn context(self) -> &'static str {
        match self {
            Self::Sign1 => "Signature1",
            Self::Mac0 => "MAC0",
        }
    }
}

/// An envelope taken apart, and not verified.
#[derive(Clone, Copy, Debug)]
pub struct Envelope<'a> {
    pub shape: Shape,
    /// As they were signed: the encoded map, or nothing.
    pub protected: &'a [u8],
    pub unprotected: Strict<'a>,
    pub payload: &'a [u8],
    /// Signature or tag.
    pub proof: &'a [u8],
    /// `alg` of the protected headers.
    pub algorithm: i64,
}

impl<'a> Envelope<'a> {
    /// Reads an envelope of this shape, tagged or bare.
    ///
    /// # Errors
    /// `Malformed` if it is none or has no algorithm in its protected headers, `Unsupported` if its critical headers
    /// (RFC 9052 section 3.1) name anything.
    pub fn read(shape: Shape, item: Strict<'a>) -> Result<Self, Error> {
        let mut parts =
            item.untagged(shape.tag()).unwrap_or(item).array().filter(|parts| parts.len() == 4).ok_or(SHAPE)?;
        let mut part = || parts.next().ok_or(SHAPE);
        let (protected, unprotected, payload, proof) = (part()?, part()?, part()?, part()?);
        let bytes = |item: Strict<'a>| item.byte_string().ok_or(SHAPE);
        let protected = bytes(protected)?;
        let headers = Strict::new(protected)?;
        let algorithm =
            headers.under(1).and_then(Strict::int).ok_or(Error::Malformed("a COSE envelope without alg"))?;
        if headers.under(2).is_some() {
            return Err(Error::Unsupported("critical COSE headers"));
        }
        if unprotected.map().is_none() {
            return Err(SHAPE);
        }
        Ok(Self { shape, protected, unprotected, payload: bytes(payload)?, proof: bytes(proof)?, algorithm })
    }

    /// A protected header by its number.
    #[must_use]
    pub fn header(&self, label: i64) -> Option<Strict<'a>> {
        Strict::new(self.protected).ok()?.under(label)
    }

    /// Checks a signature. The key decides over the algorithm; the envelope may only agree.
    ///
    /// # Errors
    /// `Untrusted` if algorithm or signature are another key's, `Unavailable` without memory.
    #[cfg(feature = "verifier")]
    pub fn verify(&self, provider: &Provider, key: &PublicKey, external: &[u8]) -> Result<(), Error> {
        if self.shape != Shape::Sign1 || self.algorithm != algorithm_of(key) {
            return Err(Error::Untrusted("a signature of another algorithm than its key's"));
        }
        const NO_MEMORY: Error = Error::Unavailable("no memory for what was signed");
        let mut signed = alloc::vec::Vec::new();
        let heads = 1 + 1 + self.shape.context().len() + 3 * 9;
        let length =
            [external.len(), self.payload.len(), heads].into_iter().fold(self.protected.len(), usize::saturating_add);
        signed.try_reserve_exact(length).map_err(|_| NO_MEMORY)?;
        put_signed(&mut Encoder::new(&mut signed), self.shape, self.protected, external, self.payload)
            .map_err(|_| NO_MEMORY)?;
        key.verify(provider, &signed, self.proof)
    }

    /// [`Self::verify`] without a heap: `room` holds what was signed, at most the envelope's own bytes and 16 more.
    ///
    /// # Errors
    /// `Untrusted` if algorithm or signature are another key's, `Unavailable` if `room` is too small.
    pub fn verify_within(
        &self,
        provider: &Provider,
        key: &PublicKey,
        external: &[u8],
        room: &mut [u8],
    ) -> Result<(), Error> {
        if self.shape != Shape::Sign1 || self.algorithm != algorithm_of(key) {
            return Err(Error::Untrusted("a signature of another algorithm than its key's"));
        }
        const NO_ROOM: Error = Error::Unavailable("no room for what was signed");
        let mut to = Encoder::new(Cursor::new(room));
        put_signed(&mut to, self.shape, self.protected, external, self.payload).map_err(|_| NO_ROOM)?;
        let length = to.writer().position();
        let room = to.into_writer().into_inner();
        key.verify(provider, room.get(..length).ok_or(NO_ROOM)?, self.proof)
    }

    /// Checks a tag under a MAC key: [`HMAC_256`], or [`HMAC_256_64`].
    ///
    /// # Errors
    /// `Untrusted` if it is not the key's.
    pub fn verify_mac(&self, provider: &Provider, key: &[u8], external: &[u8]) -> Result<(), Error> {
        let length = match (self.shape, self.algorithm) {
            (Shape::Mac0, HMAC_256) => 32,
            (Shape::Mac0, HMAC_256_64) => 8,
            _ => return Err(Error::Untrusted("a MAC of another algorithm than its key's")),
        };
        let tag = mac(provider, key, self.protected, external, self.payload);
        match tag.get(..length).is_some_and(|tag| constant_time_eq(tag, self.proof)) {
            true => Ok(()),
            false => Err(Error::Untrusted("the MAC does not verify")),
        }
    }
}

/// The algorithm that a key signs with.
#[must_use]
pub const fn algorithm_of(key: &PublicKey) -> i64 {
    match key {
        PublicKey::P256(_) => ES256,
        PublicKey::P384(_) => ES384,
        PublicKey::Ed25519(_) => EDDSA,
    }
}

/// What is signed or authenticated: Sig_structure (RFC 9052 section 4.4) or MAC_structure (section 6.3).
///
/// # Errors
/// Those of the place that it is written to.
pub fn put_signed<W: Write>(
    to: &mut Encoder<W>,
    shape: Shape,
    protected: &[u8],
    external: &[u8],
    payload: &[u8],
) -> Result<(), minicbor::encode::Error<W::Error>> {
    to.array(4)?.str(shape.context())?.bytes(protected)?.bytes(external)?.bytes(payload)?;
    Ok(())
}

/// The tag of 32 bytes over a MAC_structure, without a buffer for it.
#[must_use]
pub fn mac(provider: &Provider, key: &[u8], protected: &[u8], external: &[u8], payload: &[u8]) -> [u8; 32] {
    let [front, external_head, payload_head] = [protected.len(), external.len(), payload.len()].map(byte_string_head);
    let parts: [&[u8]; 7] = [
        b"\x84\x64MAC0",
        front.as_slice(),
        protected,
        external_head.as_slice(),
        external,
        payload_head.as_slice(),
        payload,
    ];
    (provider.hmac_sha256)(key, &parts)
}

/// The head of a byte string of up to 65,535 bytes; longer ones are cut by limits long before.
fn byte_string_head(length: usize) -> Head {
    let [.., high, low] = (length as u32).to_be_bytes();
    match length {
        0..=23 => Head { bytes: [0x40 | low, 0, 0], length: 1 },
        24..=255 => Head { bytes: [0x58, low, 0], length: 2 },
        _ => Head { bytes: [0x59, high, low], length: 3 },
    }
}

struct Head {
    bytes: [u8; 3],
    length: usize,
}

impl Head {
    fn as_slice(&self) -> &[u8] {
        self.bytes.get(..self.length).unwrap_or_default()
    }
}

/// A signing key of either algorithm.
pub enum SigningKey<'a> {
    P256(&'a Secret<32>),
    Ed25519(&'a Secret<32>),
}

impl SigningKey<'_> {
    /// See [`algorithm_of`].
    #[must_use]
    pub const fn algorithm(&self) -> i64 {
        match self {
            Self::P256(_) => ES256,
            Self::Ed25519(_) => EDDSA,
        }
    }

    /// # Errors
    /// `Misuse` if the secret is no private key or the provider lacks the algorithm.
    pub fn public(&self, provider: &Provider) -> Result<PublicKey, Error> {
        let share = match self {
            Self::P256(secret) => (provider.ecdsa_p256_sha256.public)(secret),
            Self::Ed25519(secret) => (provider.ed25519.public)(secret),
        };
        let share = share.ok_or(NO_KEY)?;
        match self {
            Self::P256(_) => share.as_slice().try_into().map(PublicKey::P256),
            Self::Ed25519(_) => share.as_slice().try_into().map(PublicKey::Ed25519),
        }
        .map_err(|_| NO_KEY)
    }

    /// 64 bytes, as COSE has them.
    ///
    /// # Errors
    /// As [`Self::public`].
    pub fn sign(&self, provider: &Provider, random: &mut dyn Random, message: &[u8]) -> Result<[u8; 64], Error> {
        let signature = match self {
            Self::P256(secret) => {
                (provider.ecdsa_p256_sha256.sign)(secret, random, message).as_ref().and_then(from_der)
            }
            Self::Ed25519(secret) => {
                (provider.ed25519.sign)(secret, random, message).and_then(|whole| whole.as_slice().try_into().ok())
            }
        };
        signature.ok_or(NO_KEY)
    }
}

const NO_KEY: Error = Error::Misuse("no private key of this algorithm");

/// R and S of 32 bytes each as the DER of RFC 3279 section 2.2.3.
#[must_use]
pub fn to_der(signature: &[u8]) -> Option<Signature> {
    Signature::new(put_der(signature, 32, &mut [0; 72])?)
}

/// R and S of `half` bytes each, at most 48, as that DER in `out`.
pub(crate) fn put_der<'a>(signature: &[u8], half: usize, out: &'a mut [u8]) -> Option<&'a [u8]> {
    let (r, s) = signature.split_at_checked(half).filter(|(_, s)| s.len() == half && half <= 48)?;
    let mut at = 2;
    for number in [r, s] {
        let skipped = number.iter().take(half.checked_sub(1)?).take_while(|byte| **byte == 0).count();
        let number = number.get(skipped..)?;
        let padding = usize::from(number.first()? & 0x80 != 0);
        let head = [2, (number.len() + padding) as u8];
        out.get_mut(at..at + 2)?.copy_from_slice(&head);
        at += 2 + padding;
        out.get_mut(at..at + number.len())?.copy_from_slice(number);
        at += number.len();
    }
    out.get_mut(..2)?.copy_from_slice(&[0x30, (at - 2) as u8]);
    out.get(..at)
}

/// The same backwards. Takes only what [`to_der`] makes.
#[must_use]
pub fn from_der(signature: &Signature) -> Option<[u8; 64]> {
    let mut out = [0; 64];
    let mut rest = signature.as_slice().strip_prefix(&[0x30])?.get(1..)?;
    for place in out.chunks_mut(32) {
        let [2, length, tail @ ..] = rest else { return None };
        let (number, tail) = tail.split_at_checked(usize::from(*length))?;
        let number = number.strip_prefix(&[0]).unwrap_or(number);
        let start = 32_usize.checked_sub(number.len())?;
        place.get_mut(start..)?.copy_from_slice(number);
        rest = tail;
    }
    (to_der(&out)?.as_slice() == signature.as_slice()).then_some(out)
}

#[cfg(test)]
mod tests {
    use super::*;
    use alloc::vec::Vec;
    use bartizan_crypto::{AWS_LC, RUSTCRYPTO};

    fn rng(out: &mut [u8]) {
        out.fill(7);
    }

    fn sealed(key: &SigningKey<'_>, provider: &Provider) -> Vec<u8> {
        let protected = [0xA1, 1, if key.algorithm() == ES256 { 0x26 } else { 0x27 }];
        let mut signed = Vec::new();
        put_signed(&mut Encoder::new(&mut signed), Shape::Sign1, &protected, b"", b"hello").unwrap();
        let proof = key.sign(provider, &mut rng, &signed).unwrap();
        let mut out = Vec::new();
        let mut to = Encoder::new(&mut out);
        to.array(4).unwrap().bytes(&protected).unwrap().map(0).unwrap().bytes(b"hello").unwrap().bytes(&proof).unwrap();
        out
    }

    #[test]
    fn what_is_signed_verifies_and_no_bit_of_it_may_change() {
        let secret = Secret::new([7; 32]);
        for key in [SigningKey::P256(&secret), SigningKey::Ed25519(&secret)] {
            let bytes = sealed(&key, &RUSTCRYPTO);
            let public = key.public(&RUSTCRYPTO).unwrap();
            let verify = |bytes: &[u8]| {
                let envelope = Envelope::read(Shape::Sign1, Strict::new(bytes)?)?;
                envelope.verify(&AWS_LC, &public, b"")
            };
            assert_eq!(verify(&bytes), Ok(()));
            for bit in 0..bytes.len() * 8 {
                let mut changed = bytes.clone();
                changed[bit / 8] ^= 1 << (bit % 8);
                assert!(verify(&changed).is_err(), "bit {bit}");
            }
        }
    }

    #[test]
    fn a_key_decides_over_the_algorithm() {
        let secret = Secret::new([7; 32]);
        let bytes = sealed(&SigningKey::P256(&secret), &RUSTCRYPTO);
        let envelope = Envelope::read(Shape::Sign1, Strict::new(&bytes).unwrap()).unwrap();
        let other = SigningKey::Ed25519(&secret).public(&RUSTCRYPTO).unwrap();
        assert!(matches!(envelope.verify(&AWS_LC, &other, b""), Err(Error::Untrusted(_))));
    }

    #[test]
    fn a_mac_is_one_over_its_structure() {
        for (protected, payload) in [(&[0xA1, 1, 5][..], &[1; 20][..]), (&[0xA1, 1, 4], &[2; 300])] {
            let mut structure = Vec::new();
            put_signed(&mut Encoder::new(&mut structure), Shape::Mac0, protected, &[9; 30], payload).unwrap();
            let expected = (RUSTCRYPTO.hmac_sha256)(b"key", &[&structure]);
            assert_eq!(mac(&RUSTCRYPTO, b"key", protected, &[9; 30], payload), expected);
            let length = if protected[2] == 5 { 32 } else { 8 };
            let mut out = Vec::new();
            let mut to = Encoder::new(&mut out);
            to.array(4).unwrap().bytes(protected).unwrap().map(0).unwrap().bytes(payload).unwrap();
            to.bytes(&expected[..length]).unwrap();
            let envelope = Envelope::read(Shape::Mac0, Strict::new(&out).unwrap()).unwrap();
            assert_eq!(envelope.verify_mac(&AWS_LC, b"key", &[9; 30]), Ok(()));
            assert!(envelope.verify_mac(&AWS_LC, b"kez", &[9; 30]).is_err());
            assert!(envelope.verify_mac(&AWS_LC, b"key", &[8; 30]).is_err());
        }
    }

    #[test]
    fn der_and_back() {
        for (r, s) in [(1_u8, 0x80), (0x7F, 0xFF), (0, 1)] {
            let mut fixed = [0; 64];
            (fixed[31], fixed[32], fixed[0]) = (1, s, r);
            let der = to_der(&fixed).unwrap();
            assert_eq!(from_der(&der), Some(fixed));
        }
        assert!(to_der(&[0; 63]).is_none());
        assert!(from_der(&Signature::new(&[0x30, 0]).unwrap()).is_none());
    }
}
