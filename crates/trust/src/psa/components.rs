//! Software components (RFC 9783 section 4.4.1).

use alloc::vec::Vec;

use super::{is_hash, values};
use crate::cbor::Strict;
use crate::evidence::{Digest, HashAlgorithm};
use crate::{Error, limits};

/// One piece of software that the root of trust loaded.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Component<'a> {
    /// Its role, such as `BL`, `PRoT`, `ARoT` or `App`; `…_CONFIG` is the configuration of that role.
    pub kind: Option<&'a str>,
    pub value: &'a [u8],
    pub version: Option<&'a str>,
    /// Names who signed it: mostly the hash of a key.
    pub signer: &'a [u8],
    /// How `value` was made: said in the token, or what its length means.
    pub algorithm: HashAlgorithm,
}

pub(super) fn read(list: Strict<'_>) -> Result<Vec<Component<'_>>, Error> {
    let list = list.array().ok_or(Error::Malformed("PSA software components that are no list"))?;
    let count = usize::try_from(list.len()).ok().filter(|count| *count <= limits::LAYERS_MAX);
    let count = count.ok_or(Error::Unavailable("more PSA software components than are taken"))?;
    if count == 0 {
        return Err(Error::Misbehaved("an empty list of PSA software components"));
    }
    let mut components = Vec::new();
    components.try_reserve_exact(count).map_err(|_| super::NO_MEMORY)?;
    for item in list {
        components.push(Component::read(item)?);
    }
    Ok(components)
}

impl<'a> Component<'a> {
    fn read(item: Strict<'a>) -> Result<Self, Error> {
        let [kind, value, version, signer, description] = values(item, &[Some(1), Some(2), Some(4), Some(5), Some(6)]);
        let hash = |item: Option<Strict<'a>>| item.and_then(Strict::byte_string).filter(|hash| is_hash(hash));
        let value = hash(value).ok_or(Error::Misbehaved("a PSA measurement that is missing or no hash"))?;
        let description = name(description)?;
        Ok(Self {
            kind: name(kind)?,
            value,
            version: name(version)?,
            signer: hash(signer).ok_or(Error::Misbehaved("a PSA signer id that is missing or no hash"))?,
            algorithm: description.map_or(Ok(by_length(value)), |description| named(description, value))?,
        })
    }

    pub(super) fn measurement(&self) -> Digest {
        Digest { algorithm: self.algorithm, bytes: self.value.to_vec() }
    }

    pub(super) fn signer(&self) -> Digest {
        Digest { algorithm: by_length(self.signer), bytes: self.signer.to_vec() }
    }
}

fn name(item: Option<Strict<'_>>) -> Result<Option<&str>, Error> {
    let Some(name) = item else { return Ok(None) };
    let name = name.text().filter(|name| name.len() <= limits::NAME_BYTES_MAX);
    name.map(Some).ok_or(Error::Misbehaved("a PSA component's text that is none or too long"))
}

fn by_length(hash: &[u8]) -> HashAlgorithm {
    match hash.len() {
        48 => HashAlgorithm::Sha384,
        64 => HashAlgorithm::Sha512,
        _ => HashAlgorithm::Sha256,
    }
}

/// The names of RFC 6920 section 9.4, and those without a dash and in capitals that TF-M writes.
fn named(description: &str, value: &[u8]) -> Result<HashAlgorithm, Error> {
    let is = |name: &str| {
        let letters = name.bytes().filter(|byte| *byte != b'-');
        description.bytes().filter(|byte| *byte != b'-').map(|byte| byte.to_ascii_lowercase()).eq(letters)
    };
    let (algorithm, length) = match () {
        () if is("sha-256") => (HashAlgorithm::Sha256, 32),
        () if is("sha-384") => (HashAlgorithm::Sha384, 48),
        () if is("sha-512") => (HashAlgorithm::Sha512, 64),
        () if is("sha3-256") => (HashAlgorithm::Sha3_256, 32),
        () if is("sha3-384") => (HashAlgorithm::Sha3_384, 48),
        () if is("sha3-512") => (HashAlgorithm::Sha3_512, 64),
        () => return Err(Error::Unsupported("a PSA measurement by a hash that is not ours")),
    };
    if value.len() == length {
        Ok(algorithm)
    } else {
        Err(Error::Misbehaved("a PSA measurement of another length than its hash's"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn hashes_by_name() {
        for name in ["sha-256", "SHA256", "Sha-256"] {
            assert_eq!(named(name, &[0; 32]), Ok(HashAlgorithm::Sha256), "{name}");
        }
        assert_eq!(named("sha-512", &[0; 64]), Ok(HashAlgorithm::Sha512));
        assert!(matches!(named("sha-512", &[0; 32]), Err(Error::Misbehaved(_))));
        assert_eq!(named("sha3-384", &[0; 48]), Ok(HashAlgorithm::Sha3_384));
        assert!(matches!(named("sha3-384", &[0; 32]), Err(Error::Misbehaved(_))));
        assert!(matches!(named("blake2s-256", &[0; 32]), Err(Error::Unsupported(_))));
        assert!(matches!(named("", &[0; 32]), Err(Error::Unsupported(_))));
    }
}
