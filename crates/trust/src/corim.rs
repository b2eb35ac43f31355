//! Reference values in a signed CoRIM (draft-ietf-rats-corim-11).
//!
//! The `corim` crate decodes; what is believed is decided here. A manifest that says more than is appraised is refused,
//! not read in part: a reference value with a condition left out would vouch for devices that its issuer did not mean.
//!
//! - One COSE_Sign1 (tag 18) around a tagged manifest (501), signed by a configured key, in its validity.
//! - CBOR that reads in one way ([`Strict`]), in the envelope, the manifest and every tag.
//! - CoMIDs only, without profiles that change what words mean. A tag may supplement or replace others of its signer.
//! - Reference triples with vendor, model, a component and digests; version and security version if it has them.
//! - Keys and endorsements that a CoMID also carries are left alone: nothing in it becomes a trust anchor.

use alloc::format;
use alloc::string::{String, ToString};
use alloc::vec::Vec;

use bartizan_crypto::Provider;
use bartizan_wire::UnixMillis;
use corim::document::{TimeCheck, ValidatedDocument, ValidationContext};
use corim::types::comid::ComidTag;
use corim::types::common::{InstanceIdChoice, LinkedTagMap, MeasuredElement, TagIdChoice};
use corim::types::corim::CorimId;
use corim::types::environment::{ClassMap, EnvironmentMap};
use corim::types::measurement::{MeasurementMap, SvnChoice};

use crate::cbor::Strict;
use crate::cose::{Envelope, Shape};
use crate::evidence::Digest;
use crate::reference::{Class, Manifest, ManifestTag, SecurityVersion, Source, Value, algorithm};
use crate::{Error, Identity, PublicKey, limits};

/// A key that may sign for a tenant, under the name that reasons and logs call it by.
#[derive(Clone, Copy, Debug)]
pub struct Signer<'a> {
    pub name: &'a str,
    pub key: PublicKey,
}

const MEDIA_TYPE: &str = "application/rim+cbor";
const TAG_SIGNED: u64 = 18;
const TAG_MANIFEST: u64 = 501;
const TAG_COMID: u64 = 506;
const SUPPLEMENTS: i64 = 0;
const REPLACES: i64 = 1;
const SHAPE: Error = Error::Malformed("no CoRIM");
const CONDITION: Error = Error::Unsupported("a CoRIM that says more than is appraised");

/// Verifies a signed CoRIM and takes it apart, for `ReferenceValues::import` or for a dry run on a copy of the store.
///
/// # Errors
/// `Untrusted` if no configured signer signed it or its validity is over or has not begun; `Malformed`, `Misbehaved`,
/// `Unsupported` and `Unavailable` for what breaks the rules of this module.
pub fn open(provider: &Provider, bytes: &[u8], signers: &[Signer<'_>], now: UnixMillis) -> Result<Manifest, Error> {
    if bytes.len() > limits::CORIM_BYTES_MAX {
        return Err(Error::Unavailable("a CoRIM that is longer than is taken"));
    }
    let item = Strict::new(bytes)?.untagged(TAG_SIGNED).ok_or(Error::Untrusted("a CoRIM that is not signed"))?;
    let envelope = Envelope::read(Shape::Sign1, item)?;
    if envelope.header(3).and_then(Strict::text) != Some(MEDIA_TYPE) {
        return Err(Error::Malformed("a signed thing of another content type than CoRIM"));
    }
    let mut signers = signers.iter();
    let signer = signers.find(|signer| envelope.verify(provider, &signer.key, b"").is_ok());
    let signer = signer.ok_or(Error::Untrusted("a CoRIM that no configured signer signed"))?;
    let tags = contents(Strict::new(envelope.payload)?)?;
    let document = decode(bytes, now)?;
    let since = begins(&document);
    let manifest = document.payload();
    let id = match &manifest.corim.id {
        CorimId::Text(text) if (1..=limits::NAME_BYTES_MAX).contains(&text.len()) => text.clone(),
        CorimId::Uuid(bytes) => uuid(bytes),
        _ => return Err(CONDITION),
    };
    if tags.len() != manifest.comids.len() {
        return Err(Error::Unsupported("a CoRIM with tags other than CoMIDs"));
    }
    let tags = manifest.comids.iter().zip(tags).map(|(comid, bytes)| {
        let content = (provider.sha256)(&[bytes]);
        tag(comid, content, &id, signer.name)
    });
    let tags = tags.collect::<Result<_, _>>()?;
    Ok(Manifest { since, signer: signer.name.to_string(), tags, id })
}

/// The bytes of every CoMID, after a look at every key of every map that a condition could hide in: the decoder skips
/// those that it does not know.
fn contents(manifest: Strict<'_>) -> Result<Vec<&[u8]>, Error> {
    let manifest = manifest.untagged(TAG_MANIFEST).ok_or(SHAPE)?;
    only(manifest, 0..=5)?;
    if manifest.under(2).is_some() {
        return Err(Error::Unsupported("a CoRIM that depends on others"));
    }
    if manifest.under(3).is_some() {
        return Err(Error::Unsupported("a CoRIM of a profile of its own"));
    }
    let tags = manifest.under(1).and_then(Strict::array).ok_or(SHAPE)?;
    if tags.len() > limits::TAGS_MAX as u64 {
        return Err(Error::Unavailable("a CoRIM with more tags than are kept"));
    }
    tags.map(comid_bytes).collect()
}

fn comid_bytes(tag: Strict<'_>) -> Result<&[u8], Error> {
    let bytes = tag.untagged(TAG_COMID).and_then(Strict::byte_string);
    let bytes = bytes.ok_or(Error::Unsupported("a CoRIM with tags other than CoMIDs"))?;
    let comid = Strict::new(bytes)?;
    only(comid, 0..=4)?;
    for link in comid.under(3).and_then(Strict::array).into_iter().flatten() {
        only(link, 0..=1)?;
    }
    only(comid.under(1).ok_or(SHAPE)?, 0..=1)?;
    let triples = comid.under(4).and_then(|triples| triples.under(0)).and_then(Strict::array);
    triples.ok_or(Error::Misbehaved("a CoMID without reference values"))?.try_for_each(triple)?;
    Ok(bytes)
}

/// Keys of one reference triple.
fn triple(triple: Strict<'_>) -> Result<(), Error> {
    let mut parts = triple.array().ok_or(SHAPE)?;
    let (environment, measurements) = (parts.next().ok_or(SHAPE)?, parts.next().ok_or(SHAPE)?);
    only(environment, 0..=1)?;
    only(environment.under(0).ok_or(Error::Misbehaved("a reference value without a class"))?, 0..=4)?;
    measurements.array().ok_or(SHAPE)?.try_for_each(|measurement| {
        only(measurement, 0..=1)?;
        let values = measurement.under(1).ok_or(SHAPE)?;
        // Version, security version, digests; a name says nothing.
        values.map().ok_or(SHAPE)?.try_for_each(|(key, _)| match key.uint() {
            Some(0..=2 | 11) => Ok(()),
            _ => Err(CONDITION),
        })?;
        values.under(0).map_or(Ok(()), |version| only(version, 0..=1))
    })
}

fn only(map: Strict<'_>, keys: core::ops::RangeInclusive<u64>) -> Result<(), Error> {
    let mut pairs = map.map().ok_or(SHAPE)?;
    match pairs.all(|(key, _)| key.uint().is_some_and(|key| keys.contains(&key))) {
        true => Ok(()),
        false => Err(CONDITION),
    }
}

/// Decodes, with the periods of validity.
fn decode(bytes: &[u8], now: UnixMillis) -> Result<ValidatedDocument, Error> {
    let seconds = i64::try_from(now.0 / 1000).map_err(|_| Error::Misuse("a time beyond all clocks"))?;
    let registry = corim::profile::ProfileRegistry::default();
    let validate = |time| corim::document::validate(bytes, &ValidationContext::new(time, &registry));
    let document = validate(TimeCheck::At(seconds)).map_err(|_| match validate(TimeCheck::Skip) {
        Ok(_) => Error::Untrusted("a CoRIM whose validity is over or has not begun"),
        Err(_) => Error::Malformed("a CoRIM that breaks its draft's rules"),
    })?;
    let header = document.envelope().map(|envelope| envelope.protected()).ok_or(SHAPE)?;
    if !document.coverage().is_complete() || header.payload_hash_alg.is_some() {
        return Err(Error::Unsupported("a CoRIM in a form of earlier drafts, or of a hash"));
    }
    // The decoder looks at both ends of the manifest's validity; of the signature's, both are looked at here.
    let signature = header.corim_meta.as_ref().and_then(|meta| meta.signature_validity.as_ref());
    for validity in [signature, document.payload().corim.rim_validity.as_ref()].into_iter().flatten() {
        let begun = validity.not_before.is_none_or(|begin| begin.epoch_secs() <= seconds);
        if !begun || validity.not_after.epoch_secs() < seconds {
            return Err(Error::Untrusted("a CoRIM whose validity is over or has not begun"));
        }
    }
    Ok(document)
}

/// When the manifest's validity begins, or its signature's.
fn begins(document: &ValidatedDocument) -> Option<UnixMillis> {
    let meta = document.envelope().and_then(|envelope| envelope.protected().corim_meta.as_ref());
    let signature = meta.and_then(|meta| meta.signature_validity.as_ref());
    let validity = document.payload().corim.rim_validity.as_ref();
    let begin = [validity, signature].into_iter().flatten().find_map(|validity| validity.not_before)?;
    u64::try_from(begin.epoch_secs()).ok()?.checked_mul(1000).map(UnixMillis)
}

fn tag(comid: &ComidTag, content: [u8; 32], manifest: &str, signer: &str) -> Result<ManifestTag, Error> {
    let id = name(&comid.tag_identity.tag_id)?;
    let version = comid.tag_identity.tag_version_or_default();
    let (manifest, signer) = (manifest.to_string(), signer.to_string());
    let source = Source::Corim { manifest, tag: id.clone(), tag_version: version, signer };
    let mut values = Vec::new();
    for triple in comid.triples.reference_triples.iter().flatten() {
        for measurement in triple.measurements() {
            values.push(value(triple.environment(), measurement, &source)?);
        }
    }
    let replaces = comid.linked_tags.iter().flatten().filter_map(|link| replaced(link).transpose());
    Ok(ManifestTag { id, version, content, replaces: replaces.collect::<Result<_, _>>()?, values })
}

/// The tag that a link says is replaced by this one; one that is supplemented stays as it is.
fn replaced(link: &LinkedTagMap) -> Result<Option<String>, Error> {
    match link.tag_rel {
        SUPPLEMENTS => Ok(None),
        REPLACES => name(&link.linked_tag_id).map(Some),
        _ => Err(Error::Unsupported("a CoMID that is linked to another tag in an unknown way")),
    }
}

fn name(id: &TagIdChoice) -> Result<String, Error> {
    match id {
        TagIdChoice::Text(text) if (1..=limits::NAME_BYTES_MAX).contains(&text.len()) => Ok(text.clone()),
        TagIdChoice::Uuid(bytes) => Ok(uuid(bytes)),
        _ => Err(Error::Unsupported("a tag whose name is empty or too long")),
    }
}

fn value(environment: &EnvironmentMap, measurement: &MeasurementMap, source: &Source) -> Result<Value, Error> {
    let map = environment.class.as_ref().ok_or(Error::Misbehaved("a reference value without a class"))?;
    let (Some(vendor), Some(model)) = (&map.vendor, &map.model) else {
        return Err(Error::Misbehaved("a class without vendor and model"));
    };
    let security_version = match &measurement.mval.svn {
        None => None,
        Some(SvnChoice::ExactValue(number)) => Some(SecurityVersion::Exact(*number)),
        Some(SvnChoice::MinValue(number)) => Some(SecurityVersion::AtLeast(*number)),
        Some(_) => return Err(CONDITION),
    };
    let value = Value {
        class: Class::new(vendor, model),
        instance: environment.instance.as_ref().map(instance).transpose()?,
        component: component(measurement.mkey.as_ref(), map)?,
        version: measurement.mval.version.as_ref().map(|version| version.version.clone()),
        security_version,
        digests: measurement.mval.digests.iter().flatten().map(digest).collect::<Result<_, _>>()?,
        source: source.clone(),
        withdrawn: false,
    };
    let usable =
        value.check().map_err(|_| Error::Misbehaved("a reference value whose names or digests cannot be used"));
    usable.map(|()| value)
}

/// A device is named by the thumbprint of its identity's key.
fn instance(choice: &InstanceIdChoice) -> Result<Identity, Error> {
    let bytes = match choice {
        InstanceIdChoice::Bytes(bytes) => bytes.as_slice(),
        InstanceIdChoice::KeyThumbprint(digest) if digest.alg().as_int() == Some(1) => digest.value(),
        _ => return Err(Error::Unsupported("a device named by something else than its key's thumbprint")),
    };
    bytes.try_into().map(Identity).map_err(|_| Error::Malformed("a thumbprint of another length"))
}

/// What the measurement is of: its key, or the number of its layer.
fn component(key: Option<&MeasuredElement>, class: &ClassMap) -> Result<String, Error> {
    match (key, class.layer, class.index) {
        (Some(MeasuredElement::Text(text)), ..) => Ok(text.clone()),
        (Some(MeasuredElement::Uint(number)), ..) => Ok(number.to_string()),
        (Some(MeasuredElement::Uuid(bytes)), ..) => Ok(uuid(bytes)),
        (Some(_), ..) => Err(Error::Unsupported("a measurement with a key of another kind")),
        (None, Some(layer), None | Some(0)) => Ok(layer.to_string()),
        (None, Some(layer), Some(index)) => Ok(format!("{layer}.{index}")),
        (None, None, _) => Err(Error::Misbehaved("a reference value that names no component")),
    }
}

fn digest(digest: &corim::types::measurement::Digest) -> Result<Digest, Error> {
    let number = digest.alg().as_int().and_then(|number| u64::try_from(number).ok());
    let algorithm = number.and_then(algorithm).ok_or(Error::Unsupported("a digest by another algorithm"))?;
    Ok(Digest { algorithm, bytes: digest.value().to_vec() })
}

/// In the form of RFC 9562 section 4.
fn uuid(bytes: &[u8; 16]) -> String {
    let mut out = String::with_capacity(36);
    for (place, byte) in bytes.iter().enumerate() {
        if matches!(place, 4 | 6 | 8 | 10) {
            out.push('-');
        }
        out.push_str(&format!("{byte:02x}"));
    }
    out
}
