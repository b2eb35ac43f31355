//! Requests for certificates: PKCS#10 (RFC 2986).

use super::{Certificate, Extension, algorithm_of, name};
use crate::der::{self, Reader};
use crate::{Error, PublicKey};

/// 1.2.840.113549.1.9.14: extensions that are asked for (RFC 2985 section 5.4.2).
const EXTENSION_REQUEST: &[u8] = b"\x2A\x86\x48\x86\xF7\x0D\x01\x09\x0E";

/// A request taken apart. Its signature was verified: whoever made it has the private key.
#[derive(Clone, Copy, Debug)]
pub struct Request<'a> {
    /// The encoded name that is asked for; it may be empty.
    pub subject: &'a [u8],
    /// SubjectPublicKeyInfo.
    pub key_info: &'a [u8],
    pub key: PublicKey,
    extensions: &'a [u8],
}

impl<'a> Request<'a> {
    /// # Errors
    /// `Malformed` if the bytes are not one request in DER, `Unsupported` if its key is of another kind, `Untrusted`
    /// if it is not signed with that key.
    pub fn open(provider: &bartizan_crypto::Provider, bytes: &'a [u8]) -> Result<Self, Error> {
        let mut outer = Reader::new(Reader::only(bytes, der::SEQUENCE)?);
        let (signed, algorithm) = (outer.element()?, outer.element()?);
        let signature = der::whole_bytes(outer.take(der::BIT_STRING)?)?;
        outer.end()?;
        let mut inner = Reader::new(signed.value);
        if signed.tag != der::SEQUENCE || inner.take(der::INTEGER)? != [0] {
            return Err(Error::Malformed("no certificate request"));
        }
        let subject = inner.element()?;
        if subject.tag != der::SEQUENCE {
            return Err(Error::Malformed("a certificate request without a name"));
        }
        let key_info = inner.element()?.whole;
        let extensions = requested(inner.optional(0xA0)?.unwrap_or_default())?;
        inner.end()?;
        let key = PublicKey::from_spki(key_info)?;
        if algorithm.whole != algorithm_of(&key) {
            return Err(Error::Untrusted("a signature of another algorithm than its key's"));
        }
        key.verify_der(provider, signed.whole, signature)?;
        Ok(Self { subject: subject.whole, key_info, key, extensions })
    }

    /// Extensions that are asked for, as those of a [`Certificate`].
    pub fn extensions(&self) -> impl Iterator<Item = Result<Extension<'a>, Error>> + use<'a> {
        super::extensions(self.extensions)
    }

    /// Whether it asks for the name and the alternative names of `certificate`, neither more nor less, as a request
    /// that renews must (RFC 7030 section 4.2.2).
    ///
    /// # Errors
    /// `Malformed` if an extension is.
    pub fn renews(&self, certificate: &Certificate<'_>) -> Result<bool, Error> {
        name(&mut Reader::new(certificate.subject))?;
        let wanted = super::extension::alternative_names(self.extensions())?;
        Ok(self.subject == certificate.subject
            && wanted == super::extension::alternative_names(certificate.extensions())?)
    }
}

/// The extensions among the attributes; there is one such attribute at most.
fn requested(attributes: &[u8]) -> Result<&[u8], Error> {
    let mut attributes = Reader::new(attributes);
    let mut found = None;
    while !attributes.is_empty() {
        let mut attribute = Reader::new(attributes.take(der::SEQUENCE)?);
        let (kind, values) = (attribute.take(der::OBJECT)?, attribute.take(der::SET)?);
        attribute.end()?;
        if kind == EXTENSION_REQUEST && found.replace(Reader::only(values, der::SEQUENCE)?).is_some() {
            return Err(Error::Malformed("a certificate request that asks for extensions twice"));
        }
    }
    Ok(found.unwrap_or_default())
}
