//! Is this device as it should be? Evidence, policy and reference values in; a verdict that explains itself out.
//!
//! Pure: the same arguments give the same verdict, today and in a dispute. Every rule can only make a verdict worse, so
//! a device never gains by a further fault, and no order of rules matters.

mod layers;
mod reason;
mod vector;

use alloc::format;
use alloc::string::{String, ToString};
use alloc::vec::Vec;

use bartizan_crypto::constant_time_eq;
use bartizan_wire::{Attestation, UnixMillis};

use crate::evidence::{Digest, Evidence, Profile};
use crate::reference::{Class, ReferenceValues};
use crate::tpm::Clock;
use crate::{Identity, limits};

pub use reason::{Fault, Reason};
pub use vector::{Trust, Vector};

/// What a class of devices is held to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Policy {
    /// Every layer, in the order of boot. Evidence with more, fewer or others fails: whoever signs with a layer's key
    /// can append layers of his own, and only their number and names tell.
    pub layers: Vec<LayerPolicy>,
    /// Firmware that no reference value knows. It is not tampered firmware, which claims to be a version that it is
    /// not and is always contraindicated.
    pub unknown: Attestation,
    pub debug: Attestation,
    pub recovery: Attestation,
    pub not_configured: Attestation,
    /// The least security version, beside the floor that the reference values carry.
    pub security_floor: Option<u64>,
    /// A device without a boot counter fails; its clones would be hard to tell.
    pub require_boot_count: bool,
    /// Evidence must carry the value of the session that it came over.
    pub require_binding: bool,
    /// From the challenge until the verdict. The verdict itself ages elsewhere.
    pub age_ms_max: Option<u64>,
}

impl Default for Policy {
    /// As strict as a device may be held to without knowing its layers; there are none.
    fn default() -> Self {
        Self {
            layers: Vec::new(),
            unknown: Attestation::Warning,
            debug: Attestation::Contraindicated,
            recovery: Attestation::Warning,
            not_configured: Attestation::Warning,
            security_floor: None,
            require_boot_count: true,
            require_binding: true,
            age_ms_max: Some(5 * 60 * 1000),
        }
    }
}

/// What one layer is held to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LayerPolicy {
    /// As reference values name it; a layer that names itself must say the same.
    pub component: String,
    /// Its digest must be that of a reference value.
    pub reference: bool,
    /// Vendor and model that it must name, if it names any.
    pub make: Option<Class>,
    /// The least security version of this layer. That of the class holds for the last layer, which is the firmware.
    pub security_floor: Option<u64>,
    /// The only configuration it may have started with.
    pub config: Option<Digest>,
    /// The only authority its secure boot may obey.
    pub authority: Option<Digest>,
}

impl LayerPolicy {
    /// A layer whose code must be known.
    #[must_use]
    pub fn known(component: &str) -> Self {
        let (make, security_floor, config, authority) = (None, None, None, None);
        Self { component: component.to_string(), reference: true, make, security_floor, config, authority }
    }
}

/// What the verifier knows of the device and of the session that its evidence came over.
#[derive(Clone, Copy, Debug)]
pub struct Expected<'a> {
    pub class: &'a Class,
    /// As it was registered.
    pub identity: &'a Identity,
    /// The challenge.
    pub nonce: &'a [u8],
    /// When it was issued.
    pub challenged: UnixMillis,
    /// `challenge::binding` of the session; `None` if the session has no such value.
    pub binding: Option<&'a [u8; 32]>,
    /// Of the device's last evidence.
    pub last_boot_count: Option<u64>,
    /// Likewise: random, and the same as long as the count is.
    pub last_boot_seed: Option<&'a [u8]>,
    pub now: UnixMillis,
}

/// The answer.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Verdict {
    pub tier: Attestation,
    pub vector: Vector,
    /// Everything that speaks against the device, the worst first; up to a limit, beyond which it still counts.
    pub reasons: Vec<Reason>,
}

impl Verdict {
    /// Nothing is said against the device yet.
    fn begin() -> Self {
        Self { tier: Attestation::Affirming, vector: Vector::default(), reasons: Vec::new() }
    }

    fn add(&mut self, reason: Reason) {
        self.tier = self.tier.max(reason.tier);
        self.vector.lower(reason.fault, reason.tier);
        self.reasons.push(reason);
    }

    fn end(mut self) -> Self {
        self.reasons.sort_by_key(|reason| core::cmp::Reverse(reason.tier));
        self.reasons.truncate(limits::REASONS_MAX);
        self
    }

    /// With what the clocks of a TPM say beside. A start that is the same to the count is another to the clock.
    #[must_use]
    pub fn with_clock(mut self, seen: &Clock, last: Option<&Clock>) -> Self {
        if let Some(last) = last.filter(|last| !seen.may_follow(last)) {
            let same = seen.resets == last.resets;
            let fault = if same { Fault::BootSeedMismatch } else { Fault::BootCountBackwards };
            let words = |it: &Clock| format!("start {}, waking {}, {} ms", it.resets, it.restarts, it.clock_ms);
            self.add(Reason::of(fault).seen(words(seen)).wanted(format!("what follows {}", words(last))));
        }
        self.end()
    }

    #[must_use]
    pub fn has(&self, fault: Fault) -> bool {
        self.reasons.iter().any(|reason| reason.fault == fault)
    }
}

/// Judges evidence that has just arrived.
#[must_use]
pub fn appraise(
    policy: &Policy,
    references: &ReferenceValues,
    evidence: &Evidence,
    expected: &Expected<'_>,
) -> Verdict {
    let mut verdict = Verdict::begin();
    verdict.vector.instance_identity = Trust::APPROVED;
    identity(&mut verdict, evidence, expected.identity);
    freshness(&mut verdict, policy, evidence, expected);
    boots(&mut verdict, policy, evidence, expected);
    let scene = layers::Scene { policy, references, class: expected.class, evidence, now: expected.now };
    layers::judge(&mut verdict, &scene);
    verdict.end()
}

/// What evidence that was stored says under other reference values or another policy: without nonce, session and boot
/// counter, which were judged when it came.
#[must_use]
pub fn reappraise(
    policy: &Policy,
    references: &ReferenceValues,
    class: &Class,
    evidence: &Evidence,
    now: UnixMillis,
) -> Verdict {
    let mut verdict = Verdict::begin();
    layers::judge(&mut verdict, &layers::Scene { policy, references, class, evidence, now });
    verdict.end()
}

/// A dry run: who would not be affirmed if these were the reference values and the policy? `stored` is one class's last
/// evidence of each device, under any name.
pub fn would_fail<'a, D: 'a>(
    policy: &'a Policy,
    references: &'a ReferenceValues,
    class: &'a Class,
    stored: impl IntoIterator<Item = (D, &'a Evidence)> + 'a,
    now: UnixMillis,
) -> impl Iterator<Item = (D, Verdict)> + 'a {
    let judged = stored
        .into_iter()
        .map(move |(device, evidence)| (device, reappraise(policy, references, class, evidence, now)));
    judged.filter(|(_, verdict)| verdict.tier != Attestation::Affirming)
}

fn identity(verdict: &mut Verdict, evidence: &Evidence, registered: &Identity) {
    if !evidence.identity.is(registered) {
        verdict.add(Reason::of(Fault::IdentityMismatch).seen(evidence.identity).wanted(registered));
    }
}

fn freshness(verdict: &mut Verdict, policy: &Policy, evidence: &Evidence, expected: &Expected<'_>) {
    if !limits::NONCE_BYTES.contains(&expected.nonce.len()) || !constant_time_eq(&evidence.nonce, expected.nonce) {
        let reason = Reason::of(Fault::NonceMismatch);
        verdict.add(reason.seen(reason::hex(&evidence.nonce)).wanted(reason::hex(expected.nonce)));
    }
    match (&evidence.binding, expected.binding) {
        (Some(seen), Some(wanted)) if constant_time_eq(seen, wanted) => {}
        // The values are left out: who sees them could bind other evidence to this session.
        (Some(_), Some(_)) => verdict.add(Reason::of(Fault::BindingMismatch)),
        // A quote is tied to its challenge by nothing else.
        _ if policy.require_binding || evidence.profile == Profile::Tpm => {
            verdict.add(Reason::of(Fault::BindingMissing))
        }
        _ => {}
    }
    let age = expected.now.since(expected.challenged);
    if let Some(max) = policy.age_ms_max.filter(|max| age > *max) {
        let reason = Reason::of(Fault::TooOld);
        verdict.add(reason.seen(format!("{} s", age / 1000)).wanted(format!("at most {} s", max / 1000)));
    }
}

/// Two that take turns under one identity are told by starts that cannot be one device's.
fn boots(verdict: &mut Verdict, policy: &Policy, evidence: &Evidence, expected: &Expected<'_>) {
    let seeds = (evidence.boot_seed.as_deref(), expected.last_boot_seed);
    let same_start = evidence.boot_count.is_some() && evidence.boot_count == expected.last_boot_count;
    if let (true, (Some(seed), Some(last))) = (same_start, seeds)
        && seed != last
    {
        verdict.add(Reason::of(Fault::BootSeedMismatch).seen(reason::hex(seed)).wanted(reason::hex(last)));
    }
    match (evidence.boot_count, expected.last_boot_count) {
        (Some(count), Some(last)) if count < last => {
            verdict.add(Reason::of(Fault::BootCountBackwards).seen(count).wanted(format!("at least {last}")));
        }
        (None, Some(last)) => {
            verdict.add(Reason::of(Fault::BootCountMissing).wanted(format!("at least {last}")));
        }
        (None, None) if policy.require_boot_count => verdict.add(Reason::of(Fault::BootCountMissing)),
        _ => {}
    }
}

#[cfg(test)]
mod tests;
