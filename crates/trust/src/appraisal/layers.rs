//! Layer by layer: is it the expected component, in the expected mode, with code that somebody vouches for?

use alloc::format;
use alloc::string::String;
use alloc::vec;
use alloc::vec::Vec;

use bartizan_wire::UnixMillis;

use super::reason::{Fault, Reason, date, hex};
use super::vector::Trust;
use super::{LayerPolicy, Policy, Verdict};
use crate::evidence::{Account, Digest, Evidence, Layer, Mode};
use crate::reference::{Class, ReferenceValues, SecurityVersion, Status, Value};

/// What the rules of a layer look at.
pub(super) struct Scene<'a> {
    pub policy: &'a Policy,
    pub references: &'a ReferenceValues,
    pub class: &'a Class,
    pub evidence: &'a Evidence,
    pub now: UnixMillis,
}

/// One layer, where it stands and what is asked of it.
#[derive(Clone, Copy)]
struct Place<'a> {
    scene: &'a Scene<'a>,
    number: usize,
    layer: &'a Layer,
    asked: &'a LayerPolicy,
    /// The least security version; only the last layer has that of the class.
    floor: Option<u64>,
}

pub(super) fn judge(verdict: &mut Verdict, scene: &Scene<'_>) {
    let (asked, layers) = (&scene.policy.layers, &scene.evidence.layers);
    verdict.vector.configuration = Trust::APPROVED;
    if asked.iter().any(|layer| layer.reference) {
        verdict.vector.executables = Trust::APPROVED_AT_BOOT;
    }
    // A policy without layers would affirm anything.
    if asked.len() != layers.len() || asked.is_empty() {
        verdict.add(Reason::of(Fault::LayerCount).seen(layers.len()).wanted(asked.len()));
    }
    let class_floor = scene.policy.security_floor.max(scene.references.floor(scene.class));
    for (number, (asked, layer)) in asked.iter().zip(layers).enumerate() {
        let last = number + 1 == scene.policy.layers.len();
        let floor = asked.security_floor.max(if last { class_floor } else { None });
        let place = Place { scene, number, layer, asked, floor };
        place.reasons().into_iter().for_each(|reason| verdict.add(reason));
    }
    whole(verdict, scene, class_floor);
}

/// The security version that the evidence as a whole claims.
fn whole(verdict: &mut Verdict, scene: &Scene<'_>, floor: Option<u64>) {
    let Some(active) = scene.evidence.security_version else { return };
    if let Some(floor) = floor.filter(|floor| active < *floor) {
        verdict.add(Reason::of(Fault::BelowFloor).seen(active).wanted(format!("at least {floor}")));
    }
    if let Some(own) = scene.evidence.security_floor.filter(|own| active < *own) {
        verdict.add(Reason::of(Fault::BelowOwnFloor).seen(active).wanted(format!("at least {own}")));
    }
}

impl Place<'_> {
    fn of(&self, fault: Fault) -> Reason {
        Reason::of(fault).at(self.number, &self.asked.component)
    }

    fn reasons(&self) -> Vec<Reason> {
        let mut reasons: Vec<Reason> = self.names().chain(self.mode()).chain(self.surroundings()).collect();
        if self.layer.account == Account::Contradicts {
            reasons.push(self.of(Fault::LogMismatch));
        }
        reasons.extend(self.code());
        reasons
    }

    fn names(&self) -> impl Iterator<Item = Reason> {
        let (layer, asked) = (self.layer, self.asked);
        let other = layer.component.as_ref().filter(|component| **component != asked.component);
        let name = other.map(|seen| self.of(Fault::LayerName).seen(seen).wanted(&asked.component));
        let make = asked.make.as_ref().filter(|make| {
            layer.vendor.as_ref().is_some_and(|vendor| *vendor != make.vendor)
                || layer.model.as_ref().is_some_and(|model| *model != make.model)
        });
        let make = make.map(|make| {
            let [vendor, model] = [&layer.vendor, &layer.model].map(|name| name.as_deref().unwrap_or("(none)"));
            self.of(Fault::ClassMismatch).seen(format!("{vendor} {model}")).wanted(make)
        });
        name.into_iter().chain(make)
    }

    fn mode(&self) -> Option<Reason> {
        let policy = self.scene.policy;
        match self.layer.mode {
            Mode::Normal => None,
            Mode::Debug => self.of(Fault::DebugMode).tier(policy.debug),
            Mode::Recovery => self.of(Fault::RecoveryMode).tier(policy.recovery),
            Mode::NotConfigured => self.of(Fault::NotConfigured).tier(policy.not_configured),
        }
    }

    /// Configuration and authority.
    fn surroundings(&self) -> impl Iterator<Item = Reason> {
        let pairs = [
            (Fault::ConfigMismatch, &self.layer.config, &self.asked.config),
            (Fault::AuthorityMismatch, &self.layer.authority, &self.asked.authority),
        ];
        pairs.into_iter().filter_map(|(fault, seen, asked)| {
            let asked = asked.as_ref().filter(|asked| seen.as_ref() != Some(*asked))?;
            let seen = seen.as_ref().map_or_else(|| String::from("none"), words);
            Some(self.of(fault).seen(seen).wanted(words(asked)))
        })
    }

    /// The reference value that speaks best for the layer decides; if none knows its code, its names do.
    fn code(&self) -> Vec<Reason> {
        self.best().or_else(|| self.by_events()).unwrap_or_else(|| self.unknown())
    }

    fn best(&self) -> Option<Vec<Reason>> {
        let known = self.candidates().map(|value| self.against(value));
        let worst = |reasons: &Vec<Reason>| reasons.iter().map(|reason| reason.tier).max();
        known.min_by_key(|reasons| (worst(reasons), reasons.len()))
    }

    /// A register that nobody vouches for is as good as all that was measured into it. `None` if nothing is known of
    /// that, either.
    fn by_events(&self) -> Option<Vec<Reason>> {
        let Account::Events(events) = &self.layer.account else { return None };
        let mut known = false;
        let mut reasons = Vec::new();
        for (number, event) in events.iter().enumerate() {
            let alone = Layer { digests: vec![event.digest.clone()], mode: self.layer.mode, ..Layer::default() };
            let place = Place { layer: &alone, ..*self };
            match place.best() {
                Some(said) => {
                    known = true;
                    reasons.extend(said);
                }
                None => {
                    let seen = format!("event {number}, {}, {}", event.what, words(&event.digest));
                    let fault = self.asked.reference.then(|| self.of(Fault::UnknownEvent).seen(seen));
                    reasons.extend(fault.and_then(|fault| fault.tier(self.scene.policy.unknown)));
                    let status = place.generation(None);
                    known |= status.is_some();
                    reasons.extend(status);
                }
            }
        }
        known.then_some(reasons)
    }

    /// Values of this very code, withdrawn ones among them.
    fn candidates(&self) -> impl Iterator<Item = &Value> {
        let Scene { references, class, evidence, .. } = self.scene;
        let digests = self.layer.digests.iter();
        let values =
            digests.flat_map(|digest| references.with_digest(class, &self.asked.component, digest, &evidence.identity));
        // Of one code, no algorithm gives two digests.
        values.filter(|value| self.layer.digests.iter().all(|digest| !differs(value, digest)))
    }

    /// What speaks against the layer if this value is the one for it.
    fn against(&self, value: &Value) -> Vec<Reason> {
        let mut reasons = Vec::new();
        if value.withdrawn && self.asked.reference {
            reasons.extend(self.of(Fault::Withdrawn).says(&value.source).tier(self.scene.policy.unknown));
        }
        let versions = (&self.layer.version, &value.version);
        if let (Some(seen), Some(wanted)) = versions
            && seen != wanted
        {
            reasons.push(self.of(Fault::VersionMismatch).seen(seen).wanted(wanted).says(&value.source));
        }
        if let (Some(seen), Some(wanted)) = (self.layer.security_version, value.security_version)
            && !wanted.admits(seen)
        {
            let (SecurityVersion::Exact(least) | SecurityVersion::AtLeast(least)) = wanted;
            let fault = if seen < least { Fault::SecurityVersionLower } else { Fault::SecurityVersionOther };
            reasons.push(self.of(fault).seen(seen).wanted(wanted).says(&value.source));
        }
        reasons.extend(self.below_floor(Some(value)));
        reasons.extend(self.generation(Some(value)));
        reasons
    }

    /// No value has the layer's digest.
    fn unknown(&self) -> Vec<Reason> {
        let Scene { policy, references, class, evidence, .. } = self.scene;
        let seen = self.layer.digests.iter().map(words).collect::<Vec<_>>().join(", ");
        let named = self.layer.version.as_ref();
        let named = named.and_then(|version| {
            let mut values = references.of_version(class, &self.asked.component, version, &evidence.identity);
            values.find(|value| self.is_comparable(value))
        });
        let first = match named {
            Some(value) => {
                let wanted = value.digests.iter().map(words).collect::<Vec<_>>().join(", ");
                Some(self.of(Fault::Tampered).seen(seen).wanted(wanted).says(&value.source))
            }
            None if !self.asked.reference => None,
            None if self.layer.digests.is_empty() => self.of(Fault::NoDigest).tier(policy.unknown),
            None => self.of(Fault::UnknownDigest).seen(seen).tier(policy.unknown),
        };
        first.into_iter().chain(self.below_floor(None)).chain(self.generation(None)).collect()
    }

    /// Whether both were measured by some one algorithm: a value in SHA-256 says nothing of a layer in SHA-512. A layer
    /// that measured nothing is never good.
    fn is_comparable(&self, value: &Value) -> bool {
        let digests = &self.layer.digests;
        digests.is_empty() || digests.iter().any(|digest| differs(value, digest))
    }

    /// What the layer claims and what its reference value knows must both reach the floor.
    fn below_floor(&self, value: Option<&Value>) -> Option<Reason> {
        let floor = self.floor?;
        let known = match value.and_then(|value| value.security_version) {
            Some(SecurityVersion::Exact(exact)) => Some(exact),
            _ => None,
        };
        let lowest = self.layer.security_version.into_iter().chain(known).min();
        let reason = match lowest {
            Some(lowest) if lowest >= floor => return None,
            Some(lowest) => self.of(Fault::BelowFloor).seen(lowest),
            None => self.of(Fault::SecurityVersionMissing),
        };
        Some(reason.wanted(format!("at least {floor}")))
    }

    /// Whether the generation may still run.
    fn generation(&self, value: Option<&Value>) -> Option<Reason> {
        let Scene { references, class, now, .. } = self.scene;
        let digests = self.layer.digests.iter().chain(value.into_iter().flat_map(|value| value.digests.iter()));
        let digests: Vec<Digest> = digests.cloned().collect();
        let versions = [self.layer.version.as_deref(), value.and_then(|value| value.version.as_deref())];
        let component = &self.asked.component;
        let (version, status) = versions
            .map(|version| (version, references.status(class, component, version, &digests, *now)))
            .into_iter()
            .max_by_key(|(_, status)| status.strictness(*now))?;
        let (fault, wanted) = match status {
            Status::Allowed => return None,
            Status::DeprecatedUntil(end) if *now < end => (Fault::Deprecated, Some(end)),
            Status::DeprecatedUntil(end) => (Fault::Forbidden, Some(end)),
            Status::Forbidden => (Fault::Forbidden, None),
        };
        let seen = version.map_or_else(|| self.layer.digests.first().map(words), |version| Some(version.into()));
        let mut reason = self.of(fault);
        // Who forbids it is whoever keeps the store, not the value's issuer.
        (reason.observed, reason.expected) = (seen, wanted.map(|end| format!("another from {} on", date(end))));
        Some(reason)
    }
}

/// Whether a value has another digest of the same algorithm.
fn differs(value: &Value, digest: &Digest) -> bool {
    let mut known = value.digests.iter().filter(|known| known.algorithm == digest.algorithm).peekable();
    known.peek().is_some() && known.all(|known| known.bytes != digest.bytes)
}

/// Enough of a digest to tell it from others; the whole of it stands with the layer.
fn words(digest: &Digest) -> String {
    const SHOWN: usize = 8;
    let front = digest.bytes.get(..SHOWN).unwrap_or(&digest.bytes);
    format!("{} {}\u{2026}", digest.algorithm.name(), hex(front))
}
