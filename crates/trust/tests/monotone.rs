//! Appraising only ever falls: no withdrawal, prohibition, stricter rule or further fault makes a verdict better.
#![allow(clippy::unwrap_used, reason = "a test that cannot go on says where")]

use bartizan_trust::Identity;
use bartizan_trust::appraisal::{Expected, LayerPolicy, Policy, Verdict, appraise};
use bartizan_trust::evidence::{Digest, Evidence, HashAlgorithm, Layer, Mode, Profile};
use bartizan_trust::reference::{
    Class, Manifest, ManifestTag, ReferenceValues, SecurityVersion, Source, Status, Value,
};
use bartizan_wire::{Attestation, UnixMillis};

mod common;
use common::Xorshift;

const NOW: UnixMillis = UnixMillis(1_000_000);
const DEVICE: Identity = Identity([7; 32]);
const NONCE: [u8; 16] = [1; 16];
const BINDING: [u8; 32] = [2; 32];
const COMPONENTS: [&str; 3] = ["bootloader", "firmware", "application"];
const TAGS: [&str; 4] = ["a", "b", "c", "d"];
const TIERS: [Attestation; 3] = [Attestation::Affirming, Attestation::Warning, Attestation::Contraindicated];

fn class() -> Class {
    Class::new("Acme", "WM-100")
}

fn pick<T: Clone>(random: &mut Xorshift, from: &[T]) -> T {
    from[random.below(from.len())].clone()
}

/// Few enough that values are met, missed and contradicted about as often.
fn digest(random: &mut Xorshift) -> Digest {
    Digest { algorithm: HashAlgorithm::Sha256, bytes: vec![random.below(4) as u8; 32] }
}

fn version(random: &mut Xorshift) -> Option<String> {
    pick(random, &[None, Some("1".into()), Some("2".into()), Some("3".into())])
}

fn value(random: &mut Xorshift, tag: &str) -> Value {
    let numbers =
        [None, Some(SecurityVersion::Exact(1)), Some(SecurityVersion::Exact(2)), Some(SecurityVersion::AtLeast(2))];
    let (manifest, signer) = ("m".to_string(), "s".to_string());
    Value {
        class: class(),
        instance: pick(random, &[None, None, Some(DEVICE), Some(Identity([8; 32]))]),
        component: pick(random, &COMPONENTS).into(),
        version: version(random),
        security_version: pick(random, &numbers),
        digests: vec![digest(random)],
        source: Source::Corim { manifest, tag: tag.into(), tag_version: 1, signer },
        withdrawn: false,
    }
}

fn references(random: &mut Xorshift) -> ReferenceValues {
    let mut store = ReferenceValues::new();
    for tag in TAGS {
        // Those that contradict each other are refused.
        for _ in 0..4 {
            let mut next = store.clone();
            let values = (0..random.below(4)).map(|_| value(random, tag)).collect();
            let tags = vec![ManifestTag { id: tag.into(), version: 1, content: [0; 32], replaces: vec![], values }];
            if next.import(Manifest { id: tag.into(), since: None, signer: "s".into(), tags }).is_ok() {
                store = next;
                break;
            }
        }
    }
    store
}

fn policy(random: &mut Xorshift) -> Policy {
    let layers = COMPONENTS.iter().take(1 + random.below(3));
    let layers =
        layers.map(|component| LayerPolicy { reference: random.below(4) > 0, ..LayerPolicy::known(component) });
    Policy {
        layers: layers.collect(),
        unknown: pick(random, &TIERS),
        debug: pick(random, &TIERS),
        recovery: pick(random, &TIERS),
        not_configured: pick(random, &TIERS),
        security_floor: pick(random, &[None, None, Some(1), Some(2)]),
        require_boot_count: random.below(2) > 0,
        require_binding: random.below(2) > 0,
        age_ms_max: pick(random, &[None, Some(1000)]),
    }
}

fn evidence(random: &mut Xorshift, policy: &Policy) -> Evidence {
    let layers = policy.layers.iter().map(|asked| Layer {
        component: Some(asked.component.clone()),
        version: version(random),
        security_version: pick(random, &[None, Some(1), Some(2)]),
        digests: (0..random.below(3)).map(|_| digest(random)).collect(),
        mode: pick(random, &[Mode::Normal, Mode::Normal, Mode::Debug, Mode::Recovery, Mode::NotConfigured]),
        ..Layer::default()
    });
    Evidence {
        profile: Profile::OpenDiceCbor,
        identity: DEVICE,
        layers: layers.collect(),
        nonce: NONCE.to_vec(),
        binding: pick(random, &[None, Some(BINDING)]),
        boot_count: pick(random, &[None, Some(5), Some(6)]),
        boot_seed: None,
        security_version: pick(random, &[None, Some(1), Some(2)]),
        security_floor: pick(random, &[None, Some(1)]),
    }
}

fn judge(policy: &Policy, references: &ReferenceValues, evidence: &Evidence) -> Verdict {
    let (class, identity, nonce, binding) = (&class(), &DEVICE, &NONCE, Some(&BINDING));
    let expected = Expected {
        class,
        identity,
        nonce,
        challenged: UnixMillis(NOW.0 - 500),
        binding,
        last_boot_count: Some(5),
        last_boot_seed: None,
        now: NOW,
    };
    appraise(policy, references, evidence, &expected)
}

/// Something that knows less or allows less.
fn stricter(random: &mut Xorshift, policy: &mut Policy, references: &mut ReferenceValues) {
    let (component, version) = (pick(random, &COMPONENTS), pick(random, &["1", "2", "3"]));
    let worse = |tier: &mut Attestation| *tier = (*tier).max(Attestation::Warning);
    match random.below(9) {
        0 => drop(references.revoke(pick(random, &TAGS))),
        1 => references.set_status(&class(), component, version, Status::Forbidden).unwrap(),
        2 => references.set_digest_status(&class(), component, digest(random), Status::Forbidden).unwrap(),
        3 => references.raise_floor(&class(), random.below(4) as u64),
        4 => worse(&mut policy.unknown),
        5 => worse(&mut policy.debug),
        6 => (policy.require_binding, policy.require_boot_count) = (true, true),
        7 => policy.age_ms_max = Some(100),
        _ => policy.layers.iter_mut().for_each(|layer| layer.reference = true),
    }
}

/// Something that no good device does.
fn faulty(random: &mut Xorshift, evidence: &mut Evidence) {
    match random.below(8) {
        0 => evidence.identity = Identity([9; 32]),
        1 => evidence.nonce = vec![9; 16],
        2 => evidence.binding = Some([9; 32]),
        3 => evidence.boot_count = Some(4),
        4 => evidence.layers.push(Layer::default()),
        5 => drop(evidence.layers.pop()),
        6 => evidence.layers.iter_mut().for_each(|layer| layer.component = Some("other".into())),
        _ => {
            // A layer that was in order is no better for being debugged.
            let normal = evidence.layers.iter_mut().find(|layer| layer.mode == Mode::Normal);
            normal.into_iter().for_each(|layer| layer.mode = Mode::Debug);
        }
    }
}

#[test]
fn no_withdrawal_prohibition_or_stricter_rule_improves_a_verdict() {
    let (mut affirming, mut fell) = (0, 0);
    for seed in 1..6_000 {
        let mut random = Xorshift(seed * 0x9E37_79B9);
        let (mut policy, mut references) = (policy(&mut random), references(&mut random));
        let evidence = evidence(&mut random, &policy);
        let mut before = judge(&policy, &references, &evidence).tier;
        affirming += u32::from(before == Attestation::Affirming);
        for _ in 0..4 {
            stricter(&mut random, &mut policy, &mut references);
            let after = judge(&policy, &references, &evidence);
            assert!(after.tier >= before, "seed {seed}: {before} became {}", after.tier);
            fell += u32::from(after.tier > before);
            before = after.tier;
        }
    }
    // The test means nothing if it never sees a good device or a fall.
    assert!(affirming > 30 && fell > 300, "{affirming} {fell}");
}

#[test]
fn no_further_fault_improves_a_verdict_and_the_reasons_agree_with_it() {
    for seed in 1..6_000 {
        let mut random = Xorshift(seed * 0x9E37_79B9);
        let (policy, references) = (policy(&mut random), references(&mut random));
        let mut evidence = evidence(&mut random, &policy);
        let before = judge(&policy, &references, &evidence);
        let worst = before.reasons.iter().map(|reason| reason.tier).max().unwrap_or(Attestation::Affirming);
        assert_eq!((before.tier, before.vector.tier()), (worst, worst), "seed {seed}");
        let popped = evidence.layers.len();
        faulty(&mut random, &mut evidence);
        let after = judge(&policy, &references, &evidence);
        assert!(after.tier >= before.tier, "seed {seed}: {} became {}", before.tier, after.tier);
        assert!(evidence.layers.len() == popped || after.tier == Attestation::Contraindicated);
    }
}

#[test]
fn a_good_device_with_one_changed_bit_of_code_is_never_affirmed() {
    let mut seen = 0;
    for seed in 1..6_000 {
        let mut random = Xorshift(seed * 0x9E37_79B9);
        let (mut policy, references) = (policy(&mut random), references(&mut random));
        policy.unknown = policy.unknown.max(Attestation::Warning);
        policy.layers.iter_mut().for_each(|layer| layer.reference = true);
        let mut evidence = evidence(&mut random, &policy);
        if judge(&policy, &references, &evidence).tier != Attestation::Affirming {
            continue;
        }
        seen += 1;
        let layer = random.below(evidence.layers.len());
        let (byte, bit) = (random.below(32), random.below(8));
        evidence.layers[layer].digests[0].bytes[byte] ^= 1 << bit;
        assert!(judge(&policy, &references, &evidence).tier > Attestation::Affirming, "seed {seed}");
    }
    assert!(seen > 5, "{seen}");
}
