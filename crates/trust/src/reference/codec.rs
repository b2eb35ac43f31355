//! The store as CBOR, to be kept on a disk: arrays in arrays, behind the number of this format.

use alloc::string::{String, ToString};
use alloc::vec::Vec;

use bartizan_wire::UnixMillis;
use minicbor::encode::{Encoder, Error as EncodeError, Write};

use super::types::algorithm;
use super::{Class, Generation, OfClass, ReferenceValues, SecurityVersion, Source, Status, Tag, Value};
use crate::cbor::{Items, Strict};
use crate::evidence::Digest;
use crate::{Error, Identity, limits};

const FORMAT: u64 = 1;
const NULL: &[u8] = &[0xF6];
const BROKEN: Error = Error::Malformed("no stored reference values");

type Written<W> = Result<(), EncodeError<<W as Write>::Error>>;

impl ReferenceValues {
    #[must_use]
    pub fn encode(&self) -> Vec<u8> {
        let mut out = Vec::new();
        // A vector takes everything.
        let _ = put(&mut Encoder::new(&mut out), self);
        out
    }

    /// # Errors
    /// `Malformed` if the bytes are not what [`Self::encode`] wrote, `Unsupported` if a later version wrote them,
    /// `Unavailable` if there are more than are kept.
    pub fn decode(bytes: &[u8]) -> Result<Self, Error> {
        let mut fields = Fields::of(Strict::new(bytes)?, 4)?;
        if fields.uint()? != FORMAT {
            return Err(Error::Unsupported("reference values that a later version stored"));
        }
        let mut store = Self::new();
        // Statuses and floors may name classes beyond the limit on those with values.
        for class in fields.array(usize::MAX)? {
            let (name, class) = class_of(class)?;
            store.classes.insert(name, class);
        }
        for tag in fields.array(limits::TAGS_MAX)? {
            let mut tag = Fields::of(tag, 5)?;
            let (id, version) = (tag.text()?, tag.uint()?);
            let content = tag.bytes()?.try_into().map_err(|_| BROKEN)?;
            let known = Tag { version, content, signer: tag.text()?, revoked: tag.next()?.boolean().ok_or(BROKEN)? };
            store.tags.insert(id, known);
        }
        for manifest in fields.array(limits::TAGS_MAX)? {
            let mut manifest = Fields::of(manifest, 3)?;
            let (id, since) = (manifest.text()?, manifest.optional(|item| item.uint().map(UnixMillis))?);
            store.manifests.insert(id, (since, manifest.text()?));
        }
        Ok(store)
    }
}

fn put<W: Write>(to: &mut Encoder<W>, store: &ReferenceValues) -> Written<W> {
    to.array(4)?.u64(FORMAT)?.array(store.classes.len() as u64)?;
    for (name, class) in &store.classes {
        put_class(to, name, class)?;
    }
    to.array(store.tags.len() as u64)?;
    for (id, tag) in &store.tags {
        to.array(5)?.str(id)?.u64(tag.version)?.bytes(&tag.content)?.str(&tag.signer)?.bool(tag.revoked)?;
    }
    to.array(store.manifests.len() as u64)?;
    for (id, (since, signer)) in &store.manifests {
        to.array(3)?.str(id)?.encode(since.map(|since| since.0))?.str(signer)?;
    }
    Ok(())
}

fn put_class<W: Write>(to: &mut Encoder<W>, name: &Class, class: &OfClass) -> Written<W> {
    to.array(5)?.str(&name.vendor)?.str(&name.model)?.encode(class.floor)?;
    to.array(class.values.len() as u64)?;
    for value in &class.values {
        put_value(to, value)?;
    }
    to.array(class.generations.len() as u64)?;
    for (generation, status) in &class.generations {
        to.array(3)?;
        match generation {
            Generation::Version(component, version) => to.str(component)?.str(version)?,
            Generation::Digest(component, digest) => {
                to.str(component)?;
                put_digest(to, digest)?;
                &mut *to
            }
        };
        match status {
            Status::Allowed => to.u8(0)?,
            Status::Forbidden => to.u8(1)?,
            Status::DeprecatedUntil(end) => to.array(1)?.u64(end.0)?,
        };
    }
    Ok(())
}

fn put_value<W: Write>(to: &mut Encoder<W>, value: &Value) -> Written<W> {
    to.array(7)?;
    match &value.instance {
        Some(Identity(bytes)) => to.bytes(bytes)?,
        None => to.null()?,
    };
    to.str(&value.component)?.encode(value.version.as_deref())?;
    match value.security_version {
        None => to.null()?,
        Some(SecurityVersion::Exact(number)) => to.array(2)?.u8(0)?.u64(number)?,
        Some(SecurityVersion::AtLeast(number)) => to.array(2)?.u8(1)?.u64(number)?,
    };
    to.array(value.digests.len() as u64)?;
    value.digests.iter().try_for_each(|digest| put_digest(to, digest))?;
    match &value.source {
        Source::Corim { manifest, tag, tag_version, signer } => {
            to.array(4)?.str(manifest)?.str(tag)?.u64(*tag_version)?.str(signer)?
        }
        Source::Measured { by } => to.array(1)?.str(by)?,
    };
    to.bool(value.withdrawn)?;
    Ok(())
}

fn put_digest<W: Write>(to: &mut Encoder<W>, digest: &Digest) -> Written<W> {
    to.array(2)?.u8(digest.algorithm as u8)?.bytes(&digest.bytes)?;
    Ok(())
}

/// The elements of an array, one after the other.
struct Fields<'a>(Items<'a>);

impl<'a> Fields<'a> {
    fn of(item: Strict<'a>, count: u64) -> Result<Self, Error> {
        item.array().filter(|items| items.len() == count).map(Self).ok_or(BROKEN)
    }

    fn next(&mut self) -> Result<Strict<'a>, Error> {
        self.0.next().ok_or(BROKEN)
    }

    fn uint(&mut self) -> Result<u64, Error> {
        self.next()?.uint().ok_or(BROKEN)
    }

    fn bytes(&mut self) -> Result<&'a [u8], Error> {
        self.next()?.byte_string().ok_or(BROKEN)
    }

    fn text(&mut self) -> Result<String, Error> {
        let text = self.next()?.text().filter(|text| text.len() <= limits::NAME_BYTES_MAX);
        text.map(ToString::to_string).ok_or(BROKEN)
    }

    fn array(&mut self, most: usize) -> Result<Items<'a>, Error> {
        let items = self.next()?.array().ok_or(BROKEN)?;
        match items.len() <= most as u64 {
            true => Ok(items),
            false => Err(Error::Unavailable("more reference values than are kept")),
        }
    }

    fn optional<T>(&mut self, read: impl FnOnce(Strict<'a>) -> Option<T>) -> Result<Option<T>, Error> {
        let item = self.next()?;
        if item.bytes() == NULL { Ok(None) } else { read(item).map(Some).ok_or(BROKEN) }
    }
}

fn class_of(item: Strict<'_>) -> Result<(Class, OfClass), Error> {
    let mut fields = Fields::of(item, 5)?;
    let name = Class { vendor: fields.text()?, model: fields.text()? };
    let mut class = OfClass { floor: fields.optional(Strict::uint)?, ..OfClass::default() };
    for value in fields.array(limits::REFERENCES_MAX)? {
        let value = value_of(value, &name)?;
        value.check().and_then(|()| class.push(value)).map_err(|_| BROKEN)?;
    }
    for generation in fields.array(limits::GENERATIONS_MAX)? {
        let mut fields = Fields::of(generation, 3)?;
        let component = fields.text()?;
        let what = fields.next()?;
        let generation = match what.text() {
            Some(version) => Generation::Version(component, version.to_string()),
            None => Generation::Digest(component, digest_of(what)?),
        };
        let status = fields.next()?;
        let status = match status.uint() {
            Some(0) => Status::Allowed,
            Some(1) => Status::Forbidden,
            Some(_) => return Err(BROKEN),
            None => Status::DeprecatedUntil(UnixMillis(Fields::of(status, 1)?.uint()?)),
        };
        class.generations.insert(generation, status);
    }
    Ok((name, class))
}

fn value_of(item: Strict<'_>, class: &Class) -> Result<Value, Error> {
    let mut fields = Fields::of(item, 7)?;
    let instance = fields.optional(|item| item.byte_string()?.try_into().ok().map(Identity))?;
    let (component, version) = (fields.text()?, fields.optional(|item| item.text().map(ToString::to_string))?);
    let security_version = fields.optional(|item| {
        let mut parts = Fields::of(item, 2).ok()?;
        match (parts.uint().ok()?, parts.uint().ok()?) {
            (0, number) => Some(SecurityVersion::Exact(number)),
            (1, number) => Some(SecurityVersion::AtLeast(number)),
            _ => None,
        }
    })?;
    let digests = fields.array(limits::DIGESTS_MAX)?.map(digest_of).collect::<Result<_, _>>()?;
    let source = fields.next()?;
    let source = match Fields::of(source, 4) {
        Ok(mut parts) => {
            let (manifest, tag) = (parts.text()?, parts.text()?);
            Source::Corim { manifest, tag, tag_version: parts.uint()?, signer: parts.text()? }
        }
        Err(_) => Source::Measured { by: Fields::of(source, 1)?.text()? },
    };
    let withdrawn = fields.next()?.boolean().ok_or(BROKEN)?;
    let class = class.clone();
    Ok(Value { class, instance, component, version, security_version, digests, source, withdrawn })
}

fn digest_of(item: Strict<'_>) -> Result<Digest, Error> {
    let mut fields = Fields::of(item, 2)?;
    let algorithm = algorithm(fields.uint()?).ok_or(BROKEN)?;
    let bytes = fields.bytes()?;
    (bytes.len() == algorithm.length()).then(|| Digest { algorithm, bytes: bytes.to_vec() }).ok_or(BROKEN)
}
