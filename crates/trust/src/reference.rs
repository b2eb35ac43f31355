//! What good firmware looks like: reference values, in memory, by class, component and digest.
//!
//! They are per class, not per device: a million meters of one type share a handful. Values come from a signed CoRIM
//! ([`crate::corim`]) or from an image that was measured here ([`ReferenceValues::add`]). A value that was once there
//! never vanishes: it is superseded by its issuer's next tag, or withdrawn, and what is forbidden stays forbidden,
//! whatever is imported later.

mod codec;
mod types;

use alloc::boxed::Box;
use alloc::collections::BTreeMap;
use alloc::string::{String, ToString};
use alloc::vec::Vec;

use bartizan_wire::UnixMillis;

use crate::evidence::Digest;
use crate::{Identity, limits};

pub(crate) use types::algorithm;
pub use types::{Class, Conflict, Fault, Generation, Manifest, ManifestTag, SecurityVersion, Source, Status, Value};

/// The store of one tenant. Whoever keeps several tenants keeps several of these: a signer speaks for no other.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ReferenceValues {
    classes: BTreeMap<Class, OfClass>,
    /// The newest version of every tag that was imported, by the tag's name.
    tags: BTreeMap<String, Tag>,
    /// When the validity of every imported manifest began, and who signed it.
    manifests: BTreeMap<String, (Option<UnixMillis>, String)>,
}

/// What is known of one class.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
struct OfClass {
    floor: Option<u64>,
    values: Vec<Value>,
    /// Places in `values` by digest.
    index: BTreeMap<Digest, Vec<usize>>,
    /// The same by component and version.
    versions: BTreeMap<(String, String), Vec<usize>>,
    generations: BTreeMap<Generation, Status>,
}

/// An imported tag: what a rollback is told by.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Tag {
    version: u64,
    /// SHA-256 of the tag, so that the same version cannot come with another content.
    content: [u8; 32],
    signer: String,
    revoked: bool,
}

impl ReferenceValues {
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// Takes one value, as when an operator measured an image himself.
    ///
    /// # Errors
    /// See [`Fault`]; nothing changes then.
    pub fn add(&mut self, value: Value) -> Result<(), Fault> {
        value.check()?;
        if !self.classes.contains_key(&value.class) && self.classes.len() >= limits::CLASSES_MAX {
            return Err(Fault::Full("more classes than are kept"));
        }
        match self.classes.get(&value.class).and_then(|class| class.contradiction(&value)) {
            Some(other) => Err(Fault::Conflict(Box::new(Conflict {
                component: value.component.clone(),
                version: value.version.clone().or_else(|| other.version.clone()),
                have: other.source.clone(),
                got: value.source.clone(),
            }))),
            None => self.classes.entry(value.class.clone()).or_default().push(value),
        }
    }

    /// Takes all values of a manifest, and lets go of those of its tags' earlier versions. All or nothing. Answers how
    /// many values are new.
    ///
    /// # Errors
    /// `RolledBack` if the manifest's validity begins before that of the imported one, or if a tag's version is older
    /// than the imported one or equal with another content; `OtherSigner`, `Revoked`; otherwise as [`Self::add`].
    pub fn import(&mut self, manifest: Manifest) -> Result<usize, Fault> {
        let mut next = self.clone();
        next.begin(&manifest.id, manifest.since, &manifest.signer)?;
        let mut count = 0;
        for tag in manifest.tags {
            count += next.import_tag(&manifest.signer, tag)?;
        }
        *self = next;
        Ok(count)
    }

    fn begin(&mut self, id: &str, since: Option<UnixMillis>, signer: &str) -> Result<(), Fault> {
        match self.manifests.get(id) {
            Some((_, owner)) if owner != signer => Err(Fault::OtherSigner(id.to_string(), owner.clone())),
            Some((have, _)) if since < *have => Err(Fault::RolledBack {
                name: id.to_string(),
                have: have.unwrap_or_default().0,
                got: since.unwrap_or_default().0,
            }),
            None if self.manifests.len() >= limits::TAGS_MAX => Err(Fault::Full("more manifests than are kept")),
            _ => {
                self.manifests.insert(id.to_string(), (since, signer.to_string()));
                Ok(())
            }
        }
    }

    fn import_tag(&mut self, signer: &str, tag: ManifestTag) -> Result<usize, Fault> {
        match self.tags.get(&tag.id) {
            Some(Tag { revoked: true, .. }) => return Err(Fault::Revoked(tag.id)),
            // Whoever may sign for a tag is settled by its first version.
            Some(known) if known.signer != signer => return Err(Fault::OtherSigner(tag.id, known.signer.clone())),
            Some(known) if (known.version, known.content) == (tag.version, tag.content) => return Ok(0),
            Some(known) if known.version >= tag.version => {
                return Err(Fault::RolledBack { name: tag.id, have: known.version, got: tag.version });
            }
            None if self.tags.len() >= limits::TAGS_MAX => return Err(Fault::Full("more tags than are kept")),
            _ => {}
        }
        self.remove(&tag.id);
        tag.replaces.iter().try_for_each(|replaced| self.replace(replaced, signer))?;
        let count = tag.values.len();
        tag.values.into_iter().try_for_each(|value| self.add(value))?;
        let known = Tag { version: tag.version, content: tag.content, signer: signer.to_string(), revoked: false };
        self.tags.insert(tag.id, known);
        Ok(count)
    }

    fn remove(&mut self, tag: &str) {
        self.classes.values_mut().for_each(|class| class.remove(tag));
    }

    /// Ends a tag, known or not, in favour of another of its signer.
    fn replace(&mut self, tag: &str, signer: &str) -> Result<(), Fault> {
        let full = self.tags.len() >= limits::TAGS_MAX;
        match self.tags.get_mut(tag) {
            Some(known) if known.signer != signer => {
                return Err(Fault::OtherSigner(tag.to_string(), known.signer.clone()));
            }
            Some(known) => known.revoked = true,
            None if full => return Err(Fault::Full("more tags than are kept")),
            None => {
                let ended = Tag { version: 0, content: [0; 32], signer: signer.to_string(), revoked: true };
                self.tags.insert(tag.to_string(), ended);
            }
        }
        self.remove(tag);
        Ok(())
    }

    /// Takes back what a tag vouched for: its values match nothing any more, but a device that claims one of their
    /// versions with other code is still told from unknown firmware. The tag cannot come again in any version.
    pub fn revoke(&mut self, tag: &str) -> usize {
        let Some(known) = self.tags.get_mut(tag) else { return 0 };
        known.revoked = true;
        let values = self.classes.values_mut().flat_map(|class| class.values.iter_mut());
        values.filter(|value| value.source.tag() == Some(tag)).map(|value| value.withdrawn = true).count()
    }

    /// Opens, limits or ends a generation of a component. To forbid a version also forbids its digests, under any name
    /// that they may come with later; what is forbidden is only allowed again by saying so.
    ///
    /// # Errors
    /// `Full` if no more are kept.
    pub fn set_status(&mut self, class: &Class, component: &str, version: &str, status: Status) -> Result<(), Fault> {
        let values = self.of_class(class).filter(|value| value.names(component, version));
        let digests = values.flat_map(|value| value.digests.iter().cloned());
        let digests = digests.map(|digest| Generation::Digest(component.to_string(), digest));
        let named = Generation::Version(component.to_string(), version.to_string());
        let generations: Vec<_> = digests.chain([named]).collect();
        generations.into_iter().try_for_each(|generation| self.set(class, generation, status))
    }

    /// The same for one digest, whether a reference value has it or not: known bad firmware.
    ///
    /// # Errors
    /// `Full` if no more are kept.
    pub fn set_digest_status(
        &mut self,
        class: &Class,
        component: &str,
        digest: Digest,
        status: Status,
    ) -> Result<(), Fault> {
        self.set(class, Generation::Digest(component.to_string(), digest), status)
    }

    fn set(&mut self, class: &Class, generation: Generation, status: Status) -> Result<(), Fault> {
        let class = self.classes.entry(class.clone()).or_default();
        if class.generations.len() >= limits::GENERATIONS_MAX && !class.generations.contains_key(&generation) {
            return Err(Fault::Full("more generations of one class than are kept"));
        }
        class.generations.insert(generation, status);
        Ok(())
    }

    /// The least security version that any device of the class may run. It only rises.
    pub fn raise_floor(&mut self, class: &Class, floor: u64) {
        let class = self.classes.entry(class.clone()).or_default();
        class.floor = class.floor.max(Some(floor));
    }

    #[must_use]
    pub fn floor(&self, class: &Class) -> Option<u64> {
        self.classes.get(class)?.floor
    }

    /// The values that vouch for a digest of a component, for this device: those of its class, and those that name it.
    pub fn find<'a>(
        &'a self,
        class: &Class,
        component: &'a str,
        digest: &Digest,
        device: &'a Identity,
    ) -> impl Iterator<Item = &'a Value> {
        self.with_digest(class, component, digest, device).filter(|value| !value.withdrawn)
    }

    /// As [`Self::find`], withdrawn ones among them.
    pub(crate) fn with_digest<'a>(
        &'a self,
        class: &Class,
        component: &'a str,
        digest: &Digest,
        device: &'a Identity,
    ) -> impl Iterator<Item = &'a Value> {
        let values = self.classes.get(class).map(|class| class.at(class.index.get(digest)));
        values.into_iter().flatten().filter(move |value| value.component == component && value.covers(device))
    }

    /// The values of a version of a component, withdrawn ones among them.
    pub fn of_version<'a>(
        &'a self,
        class: &Class,
        component: &str,
        version: &str,
        device: &'a Identity,
    ) -> impl Iterator<Item = &'a Value> {
        let place = (component.to_string(), version.to_string());
        let values = self.classes.get(class).map(|class| class.at(class.versions.get(&place)));
        values.into_iter().flatten().filter(move |value| value.covers(device))
    }

    /// All values of a class.
    pub fn of_class<'a>(&'a self, class: &Class) -> impl Iterator<Item = &'a Value> {
        self.classes.get(class).into_iter().flat_map(|class| class.values.iter())
    }

    /// The classes that something is known of.
    pub fn classes(&self) -> impl Iterator<Item = &Class> {
        self.classes.keys()
    }

    /// How many values there are, withdrawn ones not counted.
    #[must_use]
    pub fn len(&self) -> usize {
        let values = self.classes.values().flat_map(|class| class.values.iter());
        values.filter(|value| !value.withdrawn).count()
    }

    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// The strictest status at `now` of a version or of any of these digests.
    #[must_use]
    pub fn status(
        &self,
        class: &Class,
        component: &str,
        version: Option<&str>,
        digests: &[Digest],
        now: UnixMillis,
    ) -> Status {
        let known = self.classes.get(class).filter(|class| !class.generations.is_empty());
        let Some(class) = known else { return Status::Allowed };
        let named = version.map(|version| Generation::Version(component.to_string(), version.to_string()));
        let digests = digests.iter().map(|digest| Generation::Digest(component.to_string(), digest.clone()));
        let found = named.into_iter().chain(digests).filter_map(|generation| class.generations.get(&generation));
        found.copied().max_by_key(|status| status.strictness(now)).unwrap_or(Status::Allowed)
    }
}

impl OfClass {
    fn push(&mut self, value: Value) -> Result<(), Fault> {
        if self.values.len() >= limits::REFERENCES_MAX {
            return Err(Fault::Full("more reference values of one class than are kept"));
        }
        let place = self.values.len();
        for digest in &value.digests {
            self.index.entry(digest.clone()).or_default().push(place);
        }
        if let Some(version) = &value.version {
            self.versions.entry((value.component.clone(), version.clone())).or_default().push(place);
        }
        self.values.push(value);
        Ok(())
    }

    /// Lets go of a tag's values, for its next version.
    fn remove(&mut self, tag: &str) {
        if !self.values.iter().any(|value| value.source.tag() == Some(tag)) {
            return;
        }
        let kept = core::mem::take(&mut self.values);
        self.index.clear();
        self.versions.clear();
        for value in kept.into_iter().filter(|value| value.source.tag() != Some(tag)) {
            // There were more before.
            let _ = self.push(value);
        }
    }

    /// A value that cannot be true beside this one.
    fn contradiction(&self, value: &Value) -> Option<&Value> {
        let version = value.version.clone().map(|version| (value.component.clone(), version));
        let by_version = version.and_then(|version| self.versions.get(&version));
        let by_digest = value.digests.iter().filter_map(|digest| self.index.get(digest));
        let mut known = by_version.into_iter().chain(by_digest).flatten().filter_map(|place| self.values.get(*place));
        known.find(|other| !other.withdrawn && other.contradicts(value))
    }

    fn at<'a>(&'a self, places: Option<&'a Vec<usize>>) -> impl Iterator<Item = &'a Value> {
        places.into_iter().flatten().filter_map(|place| self.values.get(*place))
    }
}

#[cfg(test)]
mod tests;
