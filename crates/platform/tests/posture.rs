//! What holds do, by example and by property.
#![allow(clippy::unwrap_used)] // helpers of tests are tests

use bartizan_platform::posture::{Change, Hold, Machine, Person, Policy, Posture, Retired, Stage};
use bartizan_wire::{Access, Cause, Engine, Exit, Grade, Lifecycle, UnixMillis};
use proptest::prelude::*;

const HOUR: u64 = 3_600_000;

fn graded(to: Grade) -> Machine {
    graded_under(to, Access::Blocked)
}

fn graded_under(to: Grade, ceiling: Access) -> Machine {
    Machine::Graded { to, engine: Engine::Profile, reason: "it reported every 72 s".into(), ceiling }
}

fn isolate(access: Access) -> Person {
    Person::Isolate { access, reason: "looks wrong".into() }
}

fn say(posture: &mut Posture, at: u64, says: Machine) -> Vec<Change> {
    posture.by_machine(UnixMillis(at), says, &Policy::default())
}

fn decide(posture: &mut Posture, at: u64, person: Person) -> Vec<Change> {
    posture.by_person(UnixMillis(at), "ada", person).unwrap()
}

#[test]
fn a_new_device_is_pending_and_free() {
    let posture = Posture::default();
    assert_eq!((posture.lifecycle, posture.access()), (Lifecycle::Pending, Access::Full));
}

#[test]
fn the_first_handshake_activates_and_later_ones_change_nothing() {
    let mut posture = Posture::default();
    assert_eq!(say(&mut posture, 1, Machine::HandshakeFinished), [Change::Lifecycle(Lifecycle::Active)]);
    assert!(say(&mut posture, 2, Machine::HandshakeFinished).is_empty());
}

#[test]
fn abnormal_is_quarantined_and_suspicious_is_not() {
    let mut posture = Posture::default();
    say(&mut posture, 1, graded(Grade::Suspicious));
    assert_eq!((posture.access(), posture.holds.len()), (Access::Full, 0));
    say(&mut posture, 2, graded(Grade::Abnormal));
    assert_eq!((posture.access(), posture.holds.len()), (Access::Quarantined, 1));
    assert_eq!(posture.holds[0].exit, Exit::Dwell);
    say(&mut posture, 3, graded(Grade::Suspicious));
    assert_eq!(posture.access(), Access::Quarantined, "a hold ends only by its exit");
}

#[test]
fn readmission_takes_the_dwell_and_then_the_probation() {
    let mut posture = Posture::default();
    say(&mut posture, 0, graded(Grade::Abnormal));
    say(&mut posture, HOUR, graded(Grade::Normal));
    assert_eq!(posture.due(&Policy::default()), Some(UnixMillis(2 * HOUR)));
    say(&mut posture, 2 * HOUR - 1, Machine::Tick);
    assert_eq!(posture.access(), Access::Quarantined);
    say(&mut posture, 2 * HOUR, Machine::Tick);
    assert_eq!(posture.access(), Access::Limited);
    say(&mut posture, 3 * HOUR - 1, Machine::Tick);
    assert_eq!(posture.access(), Access::Limited);
    let changes = say(&mut posture, 3 * HOUR, Machine::Tick);
    assert!(matches!(changes[..], [Change::Ended(_)]));
    assert_eq!((posture.access(), posture.holds.len()), (Access::Full, 0));
}

#[test]
fn a_late_tick_ends_what_was_due_long_ago() {
    let mut posture = Posture::default();
    say(&mut posture, 0, graded(Grade::Abnormal));
    say(&mut posture, 0, graded(Grade::Normal));
    assert_eq!(say(&mut posture, 100 * HOUR, Machine::Tick).len(), 2);
    assert_eq!(posture.access(), Access::Full);
}

#[test]
fn a_relapse_on_probation_restores_the_hold_and_restarts_the_dwell() {
    let mut posture = Posture::default();
    say(&mut posture, 0, graded(Grade::Abnormal));
    say(&mut posture, 0, graded(Grade::Normal));
    say(&mut posture, HOUR, Machine::Tick);
    assert_eq!(posture.access(), Access::Limited);
    say(&mut posture, HOUR + 1, graded(Grade::Suspicious));
    assert_eq!((posture.access(), posture.holds[0].stage), (Access::Quarantined, Stage::Held));
    say(&mut posture, 2 * HOUR, graded(Grade::Normal));
    assert_eq!(posture.due(&Policy::default()), Some(UnixMillis(3 * HOUR)));
}

#[test]
fn under_the_brake_an_abnormal_device_is_limited_and_isolated_once_there_is_room() {
    let mut posture = Posture::default();
    let policy = Policy::default();
    assert!(posture.would_isolate(Grade::Abnormal, Engine::Profile, &policy));
    say(&mut posture, 1, graded_under(Grade::Abnormal, Access::Limited));
    assert_eq!(posture.access(), Access::Limited);
    assert!(posture.would_isolate(Grade::Abnormal, Engine::Profile, &policy));
    say(&mut posture, 2, graded(Grade::Abnormal));
    assert_eq!((posture.access(), posture.holds.len()), (Access::Quarantined, 1));
    assert!(!posture.would_isolate(Grade::Abnormal, Engine::Profile, &policy));
}

#[test]
fn a_person_ends_both_kinds_of_hold_and_forgives_the_grade() {
    let mut posture = Posture::default();
    say(&mut posture, 1, graded(Grade::Abnormal));
    decide(&mut posture, 2, isolate(Access::Blocked));
    assert_eq!(posture.access(), Access::Blocked);
    let changes = decide(&mut posture, 3, Person::Release);
    assert_eq!(changes.iter().filter(|change| matches!(change, Change::Ended(_))).count(), 2);
    assert_eq!((posture.access(), posture.grade), (Access::Full, Grade::Normal));
}

#[test]
fn a_release_does_not_end_what_only_evidence_may_end() {
    let mut posture = Posture::default();
    decide(&mut posture, 1, isolate(Access::Quarantined));
    let person = posture.holds[0].clone();
    posture.holds.push(Hold { id: 9, cause: Cause::Attestation, exit: Exit::Evidence, by: None, ..person });
    decide(&mut posture, 2, Person::Release);
    assert_eq!((posture.access(), posture.holds.len()), (Access::Quarantined, 1));
    assert_eq!(posture.holds[0].cause, Cause::Attestation);
}

#[test]
fn a_second_decision_replaces_the_first() {
    let mut posture = Posture::default();
    decide(&mut posture, 1, isolate(Access::Blocked));
    decide(&mut posture, 2, isolate(Access::Quarantined));
    assert_eq!((posture.access(), posture.holds.len()), (Access::Quarantined, 1));
    assert_eq!(posture.holds[0].id, 2, "numbers are not reused");
}

#[test]
fn retirement_is_final() {
    let mut posture = Posture::default();
    decide(&mut posture, 1, Person::Retire);
    assert_eq!(posture.access(), Access::Blocked);
    assert!(say(&mut posture, 2, Machine::HandshakeFinished).is_empty());
    assert_eq!(posture.by_person(UnixMillis(3), "ada", Person::Release), Err(Retired));
    assert_eq!(posture.lifecycle, Lifecycle::Retired);
}

#[test]
fn long_reasons_are_cut_between_characters() {
    let mut posture = Posture::default();
    decide(&mut posture, 1, Person::Isolate { access: Access::Quarantined, reason: "é".repeat(400) });
    assert_eq!(posture.holds[0].reason, "é".repeat(256));
}

fn machine() -> impl Strategy<Value = Machine> {
    let grade = prop::sample::select(Grade::ALL);
    let ceiling = prop::sample::select(Access::ALL);
    let engine = prop::sample::select(Engine::ALL);
    prop_oneof![
        Just(Machine::HandshakeFinished),
        Just(Machine::Tick),
        (grade, engine, ceiling).prop_map(|(to, engine, ceiling)| Machine::Graded {
            to,
            engine,
            reason: "r".into(),
            ceiling
        }),
    ]
}

fn says() -> impl Strategy<Value = Vec<(u64, Machine)>> {
    prop::collection::vec((0..3 * HOUR, machine()), 0..60)
}

fn play(posture: &mut Posture, mut at: u64, says: Vec<(u64, Machine)>) {
    for (wait, word) in says {
        at += wait;
        let before = posture.access();
        let changes = say(posture, at, word);
        assert!(before == posture.access() || !changes.is_empty(), "no silent change of access");
        let ids: std::collections::BTreeSet<_> = posture.holds.iter().map(|hold| hold.id).collect();
        assert_eq!(ids.len(), posture.holds.len());
        assert!(posture.holds.len() <= 1 + Engine::ALL.len());
    }
}

proptest! {
    #[test]
    fn no_sequence_of_machine_words_lifts_or_weakens_a_persons_hold(
        before in says(), after in says(), block in any::<bool>(),
    ) {
        let mut posture = Posture::default();
        play(&mut posture, 0, before);
        let access = if block { Access::Blocked } else { Access::Quarantined };
        decide(&mut posture, 1_000 * HOUR, isolate(access));
        let held = posture.holds.iter().find(|hold| hold.cause == Cause::Person).cloned();
        play(&mut posture, 1_000 * HOUR, after);
        prop_assert_eq!(posture.holds.iter().find(|hold| hold.cause == Cause::Person).cloned(), held);
        prop_assert!(posture.access() >= access);
    }

    #[test]
    fn a_detection_hold_never_ends_sooner_than_dwell_and_probation_after_the_last_bad_grade(words in says()) {
        let mut posture = Posture::default();
        let policy = Policy::default();
        let (mut at, mut bad_at) = (0, 0);
        for (wait, word) in words {
            at += wait;
            if matches!(&word, Machine::Graded { to, .. } if *to != Grade::Normal) {
                bad_at = at;
            }
            let ended = say(&mut posture, at, word).iter().any(|change| matches!(change, Change::Ended(_)));
            prop_assert!(!ended || at >= bad_at + policy.dwell_ms + policy.probation_ms);
        }
    }

    #[test]
    fn calm_and_time_always_lead_back_to_full_access(words in says()) {
        let mut posture = Posture::default();
        play(&mut posture, 0, words);
        let late = 1_000 * HOUR;
        say(&mut posture, late, graded(Grade::Normal));
        say(&mut posture, late + 2 * HOUR, Machine::Tick);
        prop_assert_eq!(posture.access(), Access::Full);
    }
}

#[test]
fn two_histories_limit_a_device_until_a_person_says_which() {
    let policy = Policy::default();
    let mut posture = Posture::default();
    let doubt = || Machine::TwoHistories { reason: "may have been cloned".into() };
    assert!(!posture.by_machine(UnixMillis(1), doubt(), &policy).is_empty());
    assert_eq!(posture.access(), Access::Limited);
    assert!(posture.by_machine(UnixMillis(2), doubt(), &policy).is_empty(), "once is enough");
    posture.by_machine(UnixMillis(u64::MAX / 2), Machine::Tick, &policy);
    assert_eq!(posture.access(), Access::Limited, "no time ends it");
    posture.by_person(UnixMillis(3), "ada", Person::Release).unwrap();
    assert_eq!(posture.access(), Access::Full);
}
