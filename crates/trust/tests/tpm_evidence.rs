//! Evidence of a TPM, every lie that can be told with it, and every bit of it flipped.
#![allow(clippy::unwrap_used, reason = "a test says where it cannot go on")]

#[path = "tpm/maker.rs"]
mod maker;

use bartizan_crypto::{AWS_LC, Secret};
use bartizan_trust::appraisal::{Expected, Fault, LayerPolicy, Policy, Verdict, appraise};
use bartizan_trust::evidence::{Account, Digest, Evidence, HashAlgorithm};
use bartizan_trust::reference::{Class, ReferenceValues, Source, Value};
use bartizan_trust::tpm::{Carried, Clock, Enrolment, EventLog, Message, Name, Public, Quote, Signature};
use bartizan_trust::{Error, Identity};
use bartizan_wire::{Attestation, UnixMillis};
use maker::*;

fn carried(bytes: &[u8]) -> Result<Carried<'_>, Error> {
    match Message::read(bytes)? {
        Message::Evidence(carried) => Ok(carried),
        other => panic!("{other:?}"),
    }
}

fn open(bytes: &[u8], activated: &Name) -> Result<(Evidence, Clock), Error> {
    carried(bytes)?.verify(&AWS_LC, activated)
}

fn class() -> Class {
    Class::new("Acme", "gateway")
}

fn policy() -> Policy {
    let layers = ["pcr-0", "pcr-4"].map(LayerPolicy::known).to_vec();
    Policy { layers, unknown: Attestation::Contraindicated, ..Policy::default() }
}

fn value(component: &str, version: &str, digest: &[u8]) -> Value {
    Value {
        class: class(),
        instance: None,
        component: component.into(),
        version: Some(version.into()),
        security_version: None,
        digests: vec![Digest { algorithm: HashAlgorithm::Sha256, bytes: digest.to_vec() }],
        source: Source::Measured { by: "ada".into() },
        withdrawn: false,
    }
}

/// What the registers of this TPM hold is good.
fn references(tpm: &Tpm) -> ReferenceValues {
    let mut references = ReferenceValues::new();
    for (number, held) in &tpm.registers {
        references.add(value(&format!("pcr-{number}"), "1", held)).unwrap();
    }
    references
}

fn judge(evidence: &Evidence, references: &ReferenceValues, identity: &Identity) -> Verdict {
    let expected = Expected {
        class: &class(),
        identity,
        nonce: &CHALLENGE,
        challenged: UnixMillis(1_000),
        binding: Some(&BINDING),
        last_boot_count: Some(3),
        last_boot_seed: None,
        now: UnixMillis(2_000),
    };
    appraise(&policy(), references, evidence, &expected)
}

/// The verdict on evidence that comes from the device of `honest`, as a verifier comes to it.
fn verdict(bytes: &[u8], honest: &Tpm, references: &ReferenceValues) -> Attestation {
    match open(bytes, &honest.name()) {
        Err(_) => Attestation::Contraindicated,
        Ok((evidence, _)) => judge(&evidence, references, &honest.endorsement().identity(&AWS_LC)).tier,
    }
}

#[test]
fn a_tpm_says_who_it_is_and_what_was_measured() {
    let tpm = Tpm::new(1);
    let (evidence, clock) = open(&tpm.evidence(), &tpm.name()).unwrap();
    assert_eq!(evidence.identity, tpm.endorsement().identity(&AWS_LC));
    assert_eq!((evidence.boot_count, clock.clock_ms, evidence.binding), (Some(3), 1_000, Some(BINDING)));
    let names: Vec<_> = evidence.layers.iter().map(|layer| layer.component.clone().unwrap()).collect();
    assert_eq!(names, ["pcr-0", "pcr-4"]);
    let Account::Events(events) = &evidence.layers[1].account else { panic!("{:?}", evidence.layers[1].account) };
    assert_eq!(events.iter().map(|event| event.what).collect::<Vec<_>>(), ["boot application"; 2]);
    let verdict = judge(&evidence, &references(&tpm), &evidence.identity);
    assert_eq!((verdict.tier, verdict.reasons.len()), (Attestation::Affirming, 0));
}

#[test]
fn a_changed_loader_is_named_by_its_event() {
    let good = Tpm::new(1);
    let mut known = references(&good);
    // The stages of register 4 one by one, too: a new loader is then told from the shim that starts it.
    known.add(value("pcr-4", "shim 1", &(AWS_LC.sha256)(&[b"shim 1"]))).unwrap();
    let mut tpm = Tpm::new(1);
    tpm.measure(4, 0x8000_0003, b"a loader that nobody released");
    let (evidence, _) = open(&tpm.evidence(), &tpm.name()).unwrap();
    let verdict = judge(&evidence, &known, &evidence.identity);
    assert_eq!(verdict.tier, Attestation::Contraindicated);
    let said: Vec<_> = verdict.reasons.iter().map(ToString::to_string).collect();
    assert!(said.iter().all(|reason| reason.starts_with("Layer 1 (pcr-4): ")), "{said:?}");
    assert!(said.iter().any(|reason| reason.contains("event 2, boot application, sha-256 ")), "{said:?}");

    known.add(value("pcr-4", "loader 1", &(AWS_LC.sha256)(&[b"loader 1"]))).unwrap();
    known.add(value("pcr-4", "loader 2", &(AWS_LC.sha256)(&[b"a loader that nobody released"]))).unwrap();
    assert_eq!(judge(&evidence, &known, &evidence.identity).tier, Attestation::Affirming, "now somebody did");
}

#[test]
fn a_register_without_a_log_is_judged_by_its_value_alone() {
    let mut tpm = Tpm::new(1);
    tpm.log.clear();
    let (evidence, _) = open(&tpm.evidence(), &tpm.name()).unwrap();
    assert_eq!(evidence.layers[0].account, Account::None);
    assert_eq!(judge(&evidence, &references(&tpm), &evidence.identity).tier, Attestation::Affirming);
    tpm.measure(0, 8, b"more");
    tpm.log.clear();
    let (evidence, _) = open(&tpm.evidence(), &tpm.name()).unwrap();
    let verdict = judge(&evidence, &references(&Tpm::new(1)), &evidence.identity);
    assert!(verdict.has(Fault::UnknownDigest), "{verdict:?}");
}

#[test]
fn registers_other_than_the_quoted_ones_are_refused() {
    let tpm = Tpm::new(1);
    let (quote, signature) = (tpm.quote(&BINDING), tpm.sign(&tpm.quote(&BINDING)));
    let mut other = tpm.clone();
    other.registers[1].1 = vec![3; 32];
    let untrusted = |bytes: &[u8]| matches!(open(bytes, &tpm.name()), Err(Error::Untrusted(_)));
    assert!(untrusted(&other.evidence_of(&quote, &signature)));
    other.registers = tpm.registers[..1].to_vec();
    assert!(untrusted(&other.evidence_of(&quote, &signature)), "one left out");
    other.registers = tpm.registers.iter().rev().cloned().collect();
    assert!(open(&other.evidence_of(&quote, &signature), &tpm.name()).is_err(), "in another order");
}

#[test]
fn a_log_that_does_not_lead_to_its_register_contradicts_it() {
    let good = Tpm::new(1);
    let mut tpm = good.clone();
    let hidden = (AWS_LC.sha256)(&[b"loader 1"]);
    let at = tpm.log.windows(32).position(|bytes| bytes == hidden).unwrap();
    tpm.log[at] ^= 1;
    let (evidence, _) = open(&tpm.evidence(), &tpm.name()).unwrap();
    let verdict = judge(&evidence, &references(&good), &evidence.identity);
    assert!(verdict.has(Fault::LogMismatch) && verdict.tier == Attestation::Contraindicated, "{verdict:?}");
}

#[test]
fn a_key_that_was_not_activated_is_not_believed() {
    let (tpm, software) = (Tpm::new(1), Tpm { key: Secret::new([77; 32]), ..Tpm::new(1) });
    // All that can be made up outside of the TPM is right: its public keys, the qualified name, the signature.
    assert!(carried(&software.evidence()).unwrap().claimed(&AWS_LC).is_ok());
    assert!(matches!(open(&software.evidence(), &tpm.name()), Err(Error::Untrusted(_))));
}

#[test]
fn a_key_that_signs_anything_is_no_attestation_key() {
    for bit in [1, 4, 5, 16, 18] {
        let tpm = Tpm { attributes: SIGNING & !(1 << bit), ..Tpm::new(1) };
        assert!(matches!(Message::read(&tpm.evidence()), Err(Error::Misbehaved(_))), "without bit {bit}");
    }
    let both = Tpm { attributes: SIGNING | 1 << 17, ..Tpm::new(1) };
    assert!(Message::read(&both.evidence()).is_err(), "one that also decrypts");
    let signs = Enrolment::write(&CHALLENGE, &public(&both.endorsement, SIGNING), &public(&both.key, SIGNING));
    assert!(matches!(Message::read(&signs), Err(Error::Misbehaved(_))), "an endorsement key that signs");
}

#[test]
fn another_session_another_challenge_and_an_older_start_fail() {
    let tpm = Tpm::new(1);
    let known = references(&tpm);
    let judged = |quote: Vec<u8>| {
        let bytes = tpm.evidence_of(&quote, &tpm.sign(&quote));
        let (evidence, clock) = open(&bytes, &tpm.name()).unwrap();
        (judge(&evidence, &known, &evidence.identity), clock)
    };
    assert!(judged(tpm.quote(&[8; 32])).0.has(Fault::BindingMismatch), "of another session or challenge");
    assert!(judged(tpm.quote(b"")).0.has(Fault::BindingMissing), "bound to nothing");
    let unbound = Policy { require_binding: false, ..policy() };
    let (evidence, _) = open(&tpm.evidence_of(&tpm.quote(b""), &tpm.sign(&tpm.quote(b""))), &tpm.name()).unwrap();
    let expected = Expected {
        class: &class(),
        identity: &evidence.identity,
        nonce: &CHALLENGE,
        challenged: UnixMillis(1_000),
        binding: None,
        last_boot_count: None,
        last_boot_seed: None,
        now: UnixMillis(2_000),
    };
    assert!(appraise(&unbound, &known, &evidence, &expected).has(Fault::BindingMissing), "a quote always is bound");

    let (verdict, clock) = judged(tpm.quote(&BINDING));
    let before = |clock_ms, resets| Clock { clock_ms, resets, ..clock };
    assert_eq!(verdict.clone().with_clock(&clock, Some(&before(900, 3))).tier, Attestation::Affirming);
    let twin = verdict.clone().with_clock(&clock, Some(&before(1_100, 3)));
    assert!(twin.has(Fault::BootSeedMismatch) && twin.tier == Attestation::Contraindicated);
    assert!(verdict.with_clock(&clock, Some(&before(900, 4))).has(Fault::BootCountBackwards));
    let old = Tpm { clock: (1_000, 2, 0), ..tpm.clone() };
    let (evidence, _) = open(&old.evidence(), &tpm.name()).unwrap();
    assert!(judge(&evidence, &known, &evidence.identity).has(Fault::BootCountBackwards));
}

#[test]
fn what_software_signed_is_no_quote() {
    let tpm = Tpm { magic: 0xFF54_4346, ..Tpm::new(1) };
    assert!(matches!(open(&tpm.evidence(), &tpm.name()), Err(Error::Misbehaved(_))));
    let tpm = Tpm::new(1);
    let mut certify = tpm.quote(&BINDING);
    certify[5] = 0x17;
    let signature = tpm.sign(&certify);
    assert!(open(&tpm.evidence_of(&certify, &signature), &tpm.name()).is_err(), "an attestation of another kind");
}

/// Of a good device nothing can get better; of a bad one nothing may.
#[test]
fn no_flipped_bit_improves_a_verdict() {
    let good = Tpm::new(1);
    let known = references(&good);
    let mut bad = Tpm::new(1);
    bad.measure(4, 0x8000_0003, b"a loader that nobody released");
    assert_eq!(verdict(&good.evidence(), &good, &known), Attestation::Affirming);
    let evidence = bad.evidence();
    assert_eq!(verdict(&evidence, &bad, &known), Attestation::Contraindicated);
    for at in 0..evidence.len() * 8 {
        let mut flipped = evidence.clone();
        flipped[at / 8] ^= 1 << (at % 8);
        assert_eq!(verdict(&flipped, &bad, &known), Attestation::Contraindicated, "bit {at}");
    }
    // What the TPM signed, its signature and the keys: not one bit of them may be another.
    let evidence = good.evidence();
    let fixed = [good.quote(&BINDING), public(&good.key, SIGNING), public(&good.endorsement, STORAGE)];
    for part in fixed {
        let start = evidence.windows(part.len()).position(|bytes| bytes == part).unwrap();
        for at in start * 8..(start + part.len()) * 8 {
            let mut flipped = evidence.clone();
            flipped[at / 8] ^= 1 << (at % 8);
            assert_eq!(verdict(&flipped, &good, &known), Attestation::Contraindicated, "bit {at}");
        }
    }
}

#[test]
fn logs_have_an_end_and_one_digest_of_each_bank() {
    use bartizan_trust::limits::{TPM_EVENTS_MAX, TPM_LOG_BYTES_MAX};
    use bartizan_trust::tpm::Bank;
    let log = |events: usize| [header(), event(0, 1, &[1; 32], b"").repeat(events)].concat();
    // The shortest events fill the longest log before they are too many.
    let most = (TPM_LOG_BYTES_MAX - header().len()) / event(0, 1, &[1; 32], b"").len();
    assert!(most < TPM_EVENTS_MAX);
    assert!(EventLog::read(&log(most), Bank::Sha256).is_ok());
    assert!(matches!(EventLog::read(&log(most + 1), Bank::Sha256), Err(Error::Unavailable(_))));
    assert!(matches!(EventLog::read(&log(1), Bank::Sha384), Err(Error::Unsupported(_))));
    for end in 0..log(2).len() {
        let whole = [header().len(), log(1).len()].contains(&end);
        assert_eq!(EventLog::read(&log(2)[..end], Bank::Sha256).is_ok(), whole, "{end}");
    }
}

#[test]
fn random_bytes_are_nothing() {
    let mut state = 0x1234_5678_9ABC_DEF0u64;
    let mut next = || {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        state
    };
    let seeds = [Tpm::new(1).evidence(), Tpm::new(1).log, Tpm::new(1).quote(&BINDING)];
    for round in 0..20_000 {
        let mut bytes = seeds[round % seeds.len()].clone();
        for _ in 0..1 + next() % 4 {
            let at = next() as usize % bytes.len();
            bytes[at] = next() as u8;
        }
        bytes.truncate(next() as usize % (bytes.len() + 1));
        if let Ok(Message::Evidence(carried)) = Message::read(&bytes) {
            let _ = carried.claimed(&AWS_LC);
        }
        let _ = EventLog::read(&bytes, bartizan_trust::tpm::Bank::Sha256).map(|log| log.replay(&AWS_LC, 0));
        let _ = (Quote::read(&bytes).is_ok(), Public::read(&bytes).is_ok(), Signature::read(&bytes).is_ok());
    }
}
