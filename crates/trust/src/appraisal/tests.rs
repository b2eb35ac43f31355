use alloc::vec;

use super::*;
use crate::evidence::{HashAlgorithm, Layer, Mode, Profile};
use crate::reference::{SecurityVersion, Source, Status, Value};

const DEVICE: Identity = Identity([7; 32]);
const NONCE: [u8; 16] = [1; 16];
const BINDING: [u8; 32] = [2; 32];
const NOW: UnixMillis = UnixMillis(1_800_000_000_000);

fn sha256(byte: u8) -> Digest {
    Digest { algorithm: HashAlgorithm::Sha256, bytes: vec![byte; 32] }
}

fn class() -> Class {
    Class::new("Acme", "WM-100")
}

fn value(component: &str, version: &str, number: u64, digest: u8) -> Value {
    Value {
        class: class(),
        instance: None,
        component: component.into(),
        version: Some(version.into()),
        security_version: Some(SecurityVersion::Exact(number)),
        digests: vec![sha256(digest)],
        source: Source::Corim {
            manifest: "acme-wm".into(),
            tag: alloc::format!("{component}-{version}"),
            tag_version: 1,
            signer: "Acme release key".into(),
        },
        withdrawn: false,
    }
}

/// A boot loader 1.0, and firmware 2.0 and 2.1.
fn references() -> ReferenceValues {
    let mut references = ReferenceValues::new();
    for value in [value("bootloader", "1.0", 1, 10), value("firmware", "2.0", 5, 20), value("firmware", "2.1", 6, 21)] {
        references.add(value).unwrap();
    }
    references
}

fn policy() -> Policy {
    Policy { layers: vec![LayerPolicy::known("bootloader"), LayerPolicy::known("firmware")], ..Policy::default() }
}

fn layer(component: &str, version: &str, number: u64, digest: u8) -> Layer {
    Layer {
        component: Some(component.into()),
        version: Some(version.into()),
        security_version: Some(number),
        digests: vec![sha256(digest)],
        mode: Mode::Normal,
        ..Layer::default()
    }
}

/// A good device with firmware 2.1.
fn evidence() -> Evidence {
    Evidence {
        profile: Profile::OpenDiceCbor,
        identity: DEVICE,
        layers: vec![layer("bootloader", "1.0", 1, 10), layer("firmware", "2.1", 6, 21)],
        nonce: NONCE.to_vec(),
        binding: Some(BINDING),
        boot_count: Some(9),
        boot_seed: None,
        security_version: Some(6),
        security_floor: Some(5),
    }
}

fn judge_with(policy: &Policy, references: &ReferenceValues, evidence: &Evidence) -> Verdict {
    let expected = Expected {
        class: &class(),
        identity: &DEVICE,
        nonce: &NONCE,
        challenged: UnixMillis(NOW.0 - 1000),
        binding: Some(&BINDING),
        last_boot_count: Some(9),
        last_boot_seed: Some(&[9; 16]),
        now: NOW,
    };
    appraise(policy, references, evidence, &expected)
}

fn judge(evidence: &Evidence) -> Verdict {
    judge_with(&policy(), &references(), evidence)
}

/// Exactly this fault, and the tier.
#[track_caller]
fn only(verdict: &Verdict, fault: Fault, tier: Attestation) {
    let faults: Vec<_> = verdict.reasons.iter().map(|reason| reason.fault).collect();
    assert_eq!((faults, verdict.tier), (vec![fault], tier), "{verdict:?}");
    assert_eq!(verdict.vector.tier(), tier);
}

fn changed(change: impl FnOnce(&mut Evidence)) -> Evidence {
    let mut evidence = evidence();
    change(&mut evidence);
    evidence
}

#[test]
fn a_good_device_is_affirmed_without_a_word_against_it() {
    let verdict = judge(&evidence());
    assert_eq!((verdict.tier, verdict.reasons.len()), (Attestation::Affirming, 0));
    assert_eq!(verdict.vector.tier(), Attestation::Affirming);
    assert_eq!(verdict.vector.executables, Trust::APPROVED_AT_BOOT);
}

#[test]
fn every_claim_of_the_token_has_its_own_reason() {
    use Attestation::Contraindicated;
    let case = |change: fn(&mut Evidence)| judge(&changed(change));
    only(&case(|e| e.identity = Identity([8; 32])), Fault::IdentityMismatch, Contraindicated);
    only(&case(|e| e.nonce = vec![9; 16]), Fault::NonceMismatch, Contraindicated);
    only(&case(|e| e.nonce.truncate(8)), Fault::NonceMismatch, Contraindicated);
    only(&case(|e| e.binding = Some([3; 32])), Fault::BindingMismatch, Contraindicated);
    only(&case(|e| e.binding = None), Fault::BindingMissing, Contraindicated);
    only(&case(|e| e.boot_count = Some(8)), Fault::BootCountBackwards, Contraindicated);
    let another_start = |e: &mut Evidence| (e.boot_count, e.boot_seed) = (Some(9), Some(vec![8; 16]));
    only(&case(another_start), Fault::BootSeedMismatch, Contraindicated);
    only(&case(|e| e.boot_count = None), Fault::BootCountMissing, Contraindicated);
    only(&case(|e| e.security_version = Some(4)), Fault::BelowOwnFloor, Contraindicated);
}

#[test]
fn every_claim_of_a_layer_has_its_own_reason() {
    use Attestation::{Contraindicated, Warning};
    let case = |change: fn(&mut Layer)| judge(&changed(|e| change(&mut e.layers[1])));
    only(&case(|l| l.component = Some("shell".into())), Fault::LayerName, Contraindicated);
    only(&case(|l| l.mode = Mode::Debug), Fault::DebugMode, Contraindicated);
    only(&case(|l| l.mode = Mode::Recovery), Fault::RecoveryMode, Warning);
    only(&case(|l| l.mode = Mode::NotConfigured), Fault::NotConfigured, Warning);
    only(&case(|l| l.digests = vec![sha256(66)]), Fault::Tampered, Contraindicated);
    only(&case(|l| *l = layer("firmware", "3.0", 9, 66)), Fault::UnknownDigest, Warning);
    only(&case(|l| *l = Layer { digests: vec![], version: None, ..l.clone() }), Fault::NoDigest, Warning);
    only(&case(|l| l.version = Some("2.0".into())), Fault::VersionMismatch, Contraindicated);
    only(&case(|l| l.security_version = Some(5)), Fault::SecurityVersionLower, Contraindicated);
    only(&case(|l| l.security_version = Some(7)), Fault::SecurityVersionOther, Contraindicated);
}

#[test]
fn layers_are_counted_and_stay_in_their_order() {
    assert!(judge(&changed(|e| e.layers.truncate(1))).has(Fault::LayerCount));
    assert!(judge(&changed(|e| e.layers.push(layer("firmware", "2.1", 6, 21)))).has(Fault::LayerCount));
    assert!(judge(&changed(|e| e.layers.reverse())).has(Fault::LayerName));
    let empty = judge_with(&Policy::default(), &references(), &changed(|e| e.layers.clear()));
    only(&empty, Fault::LayerCount, Attestation::Contraindicated);
    // Without names of their own, layers are held to the names of their places.
    let nameless = judge(&changed(|e| e.layers.iter_mut().for_each(|layer| layer.component = None)));
    assert_eq!(nameless.tier, Attestation::Affirming);
}

#[test]
fn several_digests_must_all_be_of_the_known_code() {
    let sha384 = |byte| Digest { algorithm: HashAlgorithm::Sha384, bytes: vec![byte; 48] };
    let mut references = ReferenceValues::new();
    references.add(value("bootloader", "1.0", 1, 10)).unwrap();
    let mut both = value("firmware", "2.1", 6, 21);
    both.digests.push(sha384(21));
    references.add(both).unwrap();
    let with = |digests| judge_with(&policy(), &references, &changed(|e| e.layers[1].digests = digests));
    assert_eq!(with(vec![sha256(21), sha384(21)]).tier, Attestation::Affirming);
    assert_eq!(with(vec![sha384(21)]).tier, Attestation::Affirming);
    assert!(with(vec![sha256(21), sha384(66)]).has(Fault::Tampered));
    assert!(with(vec![sha256(21), sha256(66)]).has(Fault::Tampered));
}

#[test]
fn a_generation_is_allowed_deprecated_and_forbidden() {
    let with = |status, version| {
        let mut references = references();
        references.set_status(&class(), "firmware", version, status).unwrap();
        judge_with(&policy(), &references, &evidence())
    };
    only(&with(Status::Forbidden, "2.1"), Fault::Forbidden, Attestation::Contraindicated);
    only(&with(Status::DeprecatedUntil(UnixMillis(NOW.0 + 1)), "2.1"), Fault::Deprecated, Attestation::Warning);
    only(&with(Status::DeprecatedUntil(NOW), "2.1"), Fault::Forbidden, Attestation::Contraindicated);
    assert_eq!(with(Status::Allowed, "2.1").tier, Attestation::Affirming);
    assert_eq!(with(Status::Forbidden, "2.0").tier, Attestation::Affirming);
}

#[test]
fn the_end_of_a_window_is_a_date() {
    let mut references = references();
    references.set_status(&class(), "firmware", "2.1", Status::DeprecatedUntil(UnixMillis(NOW.0 + 1))).unwrap();
    let text = judge_with(&policy(), &references, &evidence()).reasons[0].to_string();
    assert_eq!(
        text,
        "Layer 1 (firmware): This version is about to be forbidden; the device needs an update (version: seen 2.1, \
         expected another from 2027-01-15 08:00 UTC on)."
    );
}

#[test]
fn forbidden_code_is_forbidden_under_every_name_and_without_a_reference_value() {
    let mut references = references();
    references.set_status(&class(), "firmware", "2.1", Status::Forbidden).unwrap();
    let renamed = judge_with(&policy(), &references, &changed(|e| e.layers[1].version = None));
    only(&renamed, Fault::Forbidden, Attestation::Contraindicated);
    references.set_digest_status(&class(), "firmware", sha256(99), Status::Forbidden).unwrap();
    let malware = judge_with(&policy(), &references, &changed(|e| e.layers[1] = layer("firmware", "9", 9, 99)));
    assert!(malware.has(Fault::Forbidden) && malware.has(Fault::UnknownDigest));
}

#[test]
fn nothing_below_the_floor_runs() {
    let mut references = references();
    references.raise_floor(&class(), 6);
    assert_eq!(judge_with(&policy(), &references, &evidence()).tier, Attestation::Affirming);
    references.raise_floor(&class(), 7);
    references.raise_floor(&class(), 3);
    assert_eq!(references.floor(&class()), Some(7));
    let verdict = judge_with(&policy(), &references, &evidence());
    assert!(verdict.reasons.iter().all(|reason| reason.fault == Fault::BelowFloor) && verdict.reasons.len() == 2);
    // The version that the reference value knows counts, whatever the layer claims or leaves out.
    let silent = changed(|e| (e.security_version, e.layers[1].security_version) = (None, None));
    only(&judge_with(&policy(), &references, &silent), Fault::BelowFloor, Attestation::Contraindicated);
    let unknown = changed(|e| {
        e.security_version = None;
        e.layers[1] = Layer { security_version: None, ..layer("firmware", "8", 0, 88) };
    });
    assert!(judge_with(&policy(), &references, &unknown).has(Fault::SecurityVersionMissing));
}

#[test]
fn configuration_authority_and_make_are_held_to_the_policy() {
    let mut policy = policy();
    policy.layers[1].config = Some(sha256(1));
    policy.layers[1].authority = Some(sha256(2));
    policy.layers[1].make = Some(class());
    let with = |change: fn(&mut Layer)| {
        let good = |e: &mut Evidence| {
            let layer = &mut e.layers[1];
            (layer.config, layer.authority) = (Some(sha256(1)), Some(sha256(2)));
            change(layer);
        };
        judge_with(&policy, &references(), &changed(good))
    };
    assert_eq!(with(|_| ()).tier, Attestation::Affirming);
    only(&with(|l| l.config = None), Fault::ConfigMismatch, Attestation::Contraindicated);
    only(&with(|l| l.authority = Some(sha256(3))), Fault::AuthorityMismatch, Attestation::Contraindicated);
    only(&with(|l| l.model = Some("WM-200".into())), Fault::ClassMismatch, Attestation::Contraindicated);
}

#[test]
fn evidence_that_comes_late_is_refused() {
    let policy = Policy { age_ms_max: Some(999), ..policy() };
    only(&judge_with(&policy, &references(), &evidence()), Fault::TooOld, Attestation::Contraindicated);
}

#[test]
fn reasons_are_sentences_that_name_their_source() {
    let verdict = judge(&changed(|e| e.layers[1].digests = vec![sha256(0xAB)]));
    let text = verdict.reasons[0].to_string();
    let (seen, wanted) = ("ab".repeat(8), "15".repeat(8));
    assert_eq!(
        text,
        format!(
            "Layer 1 (firmware): The firmware claims a known version and is not that version: it was changed \
             (digest: seen sha-256 {seen}\u{2026}, expected sha-256 {wanted}\u{2026}, by tag firmware-2.1 version 1 of manifest \
             acme-wm, signed by Acme release key)."
        )
    );
    let count = judge(&changed(|e| e.boot_count = Some(3))).reasons[0].to_string();
    assert!(count.ends_with("(boot count: seen 3, expected at least 9)."), "{count}");
    let forged = judge(&changed(|e| e.layers[1].component = Some("a\u{1b}[2J\u{202E}".into()))).reasons[0].to_string();
    assert!(!forged.contains(['\u{1b}', '\u{202E}']));
    for fault in Fault::ALL {
        assert!(!fault.sentence().ends_with('.') && fault.tier() > Attestation::Affirming);
    }
}

#[test]
fn a_dry_run_says_who_would_fail() {
    let (good, old) = (evidence(), changed(|e| e.layers[1] = layer("firmware", "2.0", 5, 20)));
    let mut references = references();
    references.raise_floor(&class(), 6);
    let (policy, class) = (policy(), class());
    let stored = [("one", &good), ("two", &old)];
    let failing: Vec<_> = would_fail(&policy, &references, &class, stored, NOW).collect();
    assert_eq!(failing.iter().map(|(name, _)| *name).collect::<Vec<_>>(), ["two"]);
    assert!(failing[0].1.has(Fault::BelowFloor) && failing[0].1.vector.instance_identity == Trust::NONE);
}
