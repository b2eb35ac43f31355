//! What both forms of the Open Profile for DICE 2.5 say about a layer, and how they name keys.

use alloc::string::{String, ToString};
use alloc::vec;

use bartizan_crypto::Provider;

use crate::cbor::Strict;
use crate::evidence::{Digest, HashAlgorithm, Mode};
use crate::{Error, Layer, PublicKey, limits};

/// The configuration descriptor of the Android Profile for DICE, which is a CBOR map.
const COMPONENT: i64 = -70_002;
const VERSION: i64 = -70_003;
const RESETTABLE: i64 = -70_004;
const SECURITY_VERSION: i64 = -70_005;

/// The profile's ID_SALT.
const ID_SALT: [u8; 64] = [
    0xDB, 0xDB, 0xAE, 0xBC, 0x80, 0x20, 0xDA, 0x9F, 0xF0, 0xDD, 0x5A, 0x24, 0xC8, 0x3A, 0xA5, 0xA5, 0x42, 0x86, 0xDF,
    0xC2, 0x63, 0x03, 0x1E, 0x32, 0x9B, 0x4D, 0xA1, 0x48, 0x43, 0x06, 0x59, 0xFE, 0x62, 0xCD, 0xB5, 0xB7, 0xE1, 0xE0,
    0x0F, 0xC6, 0x80, 0x30, 0x67, 0x11, 0xEB, 0x44, 0x4A, 0xF7, 0x72, 0x09, 0x35, 0x94, 0x96, 0xFC, 0xFF, 0x1D, 0xB9,
    0x52, 0x0B, 0xA5, 0x1C, 0x7B, 0x29, 0xEA,
];

/// The UDS_ID or CDI_ID of a key in lower-case hexadecimal digits: HKDF-SHA-512 over the key's raw bytes.
#[must_use]
pub fn key_id(provider: &Provider, key: &PublicKey) -> [u8; 40] {
    let raw: &[u8] = match key {
        PublicKey::P256([_, coordinates @ ..]) => coordinates,
        PublicKey::P384([_, coordinates @ ..]) => coordinates,
        PublicKey::Ed25519(bytes) => bytes,
    };
    let extracted = (provider.hmac_sha512)(&ID_SALT, &[raw]);
    let mut expanded = (provider.hmac_sha512)(&extracted, &[b"ID\x01"]);
    expanded[0] &= 0x7F; // a serial number is positive
    let mut out = [0; 40];
    for (to, byte) in out.chunks_exact_mut(2).zip(expanded) {
        to.copy_from_slice(&[byte >> 4, byte & 0xF].map(|digit| if digit < 10 { b'0' + digit } else { b'W' + digit }));
    }
    out
}

/// Which profile's rules the fields follow, by its name in the certificate.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Name {
    Open,
    /// `android.N`.
    Android(u16),
}

impl Name {
    /// # Errors
    /// `Unsupported` if it is another's, whose fields might mean anything.
    pub fn read(name: Option<&str>) -> Result<Self, Error> {
        let Some(name) = name.filter(|name| !name.starts_with("opendice.")) else { return Ok(Self::Open) };
        let number =
            name.strip_prefix("android.").filter(|number| number.starts_with(|first| matches!(first, '1'..='9')));
        number
            .and_then(|number| number.parse().ok())
            .map(Self::Android)
            .ok_or(Error::Unsupported("a DICE profile by a name that is not known"))
    }

    /// No certificate of a chain may follow an older version of the Android profile than the one before it.
    ///
    /// # Errors
    /// `Misbehaved` if it does.
    pub fn follow(&mut self, next: Self) -> Result<(), Error> {
        match (*self, next) {
            (Self::Android(before), Self::Android(after)) if after < before => {
                Err(Error::Misbehaved("a profile that grows older along its chain"))
            }
            _ => {
                *self = next;
                Ok(())
            }
        }
    }
}

/// The inputs of a layer as its certificate states them.
#[derive(Clone, Copy, Debug)]
pub(super) struct Inputs<'a> {
    pub name: Name,
    pub code: &'a [u8],
    pub config: &'a [u8],
    /// Of `config`. Without it `config` itself is the input.
    pub config_hash: Option<&'a [u8]>,
    pub authority: &'a [u8],
    pub mode: Mode,
}

impl Inputs<'_> {
    /// # Errors
    /// `Misbehaved` if the configuration is not the one of its hash, `Malformed` if its map or a hash has another
    /// form, `Unavailable` if a name is too long.
    pub fn layer(&self, provider: &Provider) -> Result<Layer, Error> {
        let code = digest(self.code)?;
        let authority = digest(self.authority)?;
        let config = hashed(provider, code.algorithm, self.config);
        if authority.algorithm != code.algorithm {
            return Err(Error::Misbehaved("inputs that are hashed in different ways"));
        }
        if self.config_hash.is_some_and(|hash| hash != config.bytes) {
            return Err(Error::Misbehaved("a configuration that is not the one of its hash"));
        }
        let mut layer = Layer {
            digests: vec![code],
            config: Some(config),
            authority: Some(authority),
            mode: self.mode,
            ..Layer::default()
        };
        // The Open Profile's other configurations are 64 bytes with a meaning of their own.
        if self.config_hash.is_some() || matches!(self.name, Name::Android(_)) {
            take_names(self.config, &mut layer)?;
        }
        Ok(layer)
    }
}

/// The mode of a number; what the profile does not define counts as not configured (section "Mode Value Details").
pub(super) const fn mode(number: u64) -> Mode {
    match number {
        1 => Mode::Normal,
        2 => Mode::Debug,
        3 => Mode::Recovery,
        _ => Mode::NotConfigured,
    }
}

/// A digest of the SHA-2 algorithm that its length tells.
///
/// # Errors
/// `Malformed` if there is none with this length.
pub(super) fn digest(bytes: &[u8]) -> Result<Digest, Error> {
    let algorithm = match bytes.len() {
        32 => HashAlgorithm::Sha256,
        48 => HashAlgorithm::Sha384,
        64 => HashAlgorithm::Sha512,
        _ => return Err(Error::Malformed("a hash of no algorithm's length")),
    };
    Ok(Digest { algorithm, bytes: bytes.to_vec() })
}

/// By one of the algorithms that [`digest`] tells by their length.
fn hashed(provider: &Provider, algorithm: HashAlgorithm, bytes: &[u8]) -> Digest {
    let bytes = match algorithm {
        HashAlgorithm::Sha256 => (provider.sha256)(&[bytes]).to_vec(),
        HashAlgorithm::Sha384 => (provider.sha384)(&[bytes]).to_vec(),
        _ => (provider.sha512)(&[bytes]).to_vec(),
    };
    Digest { algorithm, bytes }
}

/// Names and versions out of the descriptor, if it is a map. Any other descriptor is its maker's own.
fn take_names(descriptor: &[u8], layer: &mut Layer) -> Result<(), Error> {
    const SHAPE: Error = Error::Malformed("a configuration with a value of another type");
    let Some(map) = Strict::new(descriptor).ok().filter(|item| item.map().is_some()) else { return Ok(()) };
    if let Some(component) = map.under(COMPONENT) {
        layer.component = Some(short(component.text().ok_or(SHAPE)?)?);
    }
    if let Some(version) = map.under(VERSION) {
        layer.version = Some(match version.text() {
            Some(text) => short(text)?,
            None => version.int().ok_or(SHAPE)?.to_string(),
        });
    }
    if map.under(RESETTABLE).is_some_and(|null| null.bytes() != [0xF6]) {
        return Err(SHAPE);
    }
    if let Some(version) = map.under(SECURITY_VERSION) {
        layer.security_version = Some(version.uint().ok_or(SHAPE)?);
    }
    Ok(())
}

/// # Errors
/// `Unavailable` if it is longer than names may be.
pub(super) fn short(text: &str) -> Result<String, Error> {
    if text.len() > limits::NAME_BYTES_MAX {
        return Err(Error::Unavailable("a name that is longer than is taken"));
    }
    Ok(text.into())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn profiles_have_known_names_and_do_not_grow_older() {
        assert_eq!(Name::read(None), Ok(Name::Open));
        assert_eq!(Name::read(Some("opendice.example")), Ok(Name::Open));
        assert_eq!(Name::read(Some("android.15")), Ok(Name::Android(15)));
        for bad in ["android.", "android.+15", "android.015", "android.70000", "androids.15", "", "other"] {
            assert!(matches!(Name::read(Some(bad)), Err(Error::Unsupported(_))), "{bad}");
        }
        let mut name = Name::Open;
        for next in [Name::Android(14), Name::Android(14), Name::Android(16)] {
            assert_eq!(name.follow(next), Ok(()));
        }
        assert!(matches!(name.follow(Name::Android(15)), Err(Error::Misbehaved(_))));
    }

    #[test]
    fn names_have_a_length_and_values_their_type() {
        let mut layer = Layer::default();
        // {-70002: "fw", -70003: 7, -70004: null, -70005: 9}
        let good =
            b"\xA4\x3A\x00\x01\x11\x71\x62fw\x3A\x00\x01\x11\x72\x07\x3A\x00\x01\x11\x73\xF6\x3A\x00\x01\x11\x74\x09";
        take_names(good, &mut layer).unwrap();
        assert_eq!((layer.component.as_deref(), layer.version.as_deref()), (Some("fw"), Some("7")));
        assert_eq!(layer.security_version, Some(9));
        for bad in
            [&b"\xA1\x3A\x00\x01\x11\x71\x07"[..], b"\xA1\x3A\x00\x01\x11\x73\xF5", b"\xA1\x3A\x00\x01\x11\x74\x20"]
        {
            assert!(matches!(take_names(bad, &mut layer), Err(Error::Malformed(_))), "{bad:02x?}");
        }
        assert_eq!(take_names(b"\xFF\x00", &mut layer), Ok(()));
        let longest = "n".repeat(limits::NAME_BYTES_MAX);
        assert!(short(&longest).is_ok());
        assert!(matches!(short(&(longest + "n")), Err(Error::Unavailable(_))));
    }
}
