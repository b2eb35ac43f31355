//! Evidence that is owed: deadlines, graces, silence, outages; and the one word for all of it.
#![allow(clippy::unwrap_used)] // helpers of tests are tests

use bartizan_platform::explain;
use bartizan_platform::posture::{
    Change, Machine, PROOFS, Person, Policy, Posture, Proof, STATES, Schedule, Stage, Verdict,
};
use bartizan_wire::{Access, Attestation, Cause, Engine, Exit, Grade, Lifecycle, UnixMillis, Update};
use proptest::prelude::*;

const EVERY: u64 = 1_000;
const GRACE: u64 = 400;
const SCHEDULE: Schedule = Schedule { every_ms: EVERY, grace_ms: GRACE };

fn say(posture: &mut Posture, at: u64, says: Machine) -> Vec<Change> {
    posture.by_machine(UnixMillis(at), says, &Policy::default())
}

fn verdict(tier: Attestation, challenged: u64) -> Machine {
    Machine::Appraised(Verdict {
        tier,
        challenged: UnixMillis(challenged),
        reason: "failed its attestation".into(),
        ceiling: Access::Blocked,
        rekey: false,
    })
}

/// Connected at 0.
fn device() -> Posture {
    let mut posture = Posture::default();
    say(&mut posture, 0, Machine::HandshakeFinished);
    posture
}

/// What the watchdog does, at `at`, with a device that was heard last at `heard`.
fn watch(posture: &mut Posture, at: u64, heard: u64) -> Option<Proof> {
    let found = posture.owing(UnixMillis(at), Some(UnixMillis(heard)), &SCHEDULE, None);
    if let Some(proof) = found {
        assert!(!say(posture, at, Machine::Owes(proof)).is_empty(), "what is found is a move");
    }
    found
}

#[test]
fn a_deadline_limits_and_reporting_past_the_grace_isolates() {
    let mut posture = device();
    assert_eq!(watch(&mut posture, EVERY - 1, EVERY - 1), None);
    assert_eq!(watch(&mut posture, EVERY, EVERY), Some(Proof::Stale));
    assert_eq!((posture.access(), posture.state()), (Access::Limited, "stale"));
    assert_eq!((posture.holds[0].cause, posture.holds[0].exit), (Cause::Policy, Exit::Evidence));
    assert_eq!(watch(&mut posture, EVERY + GRACE - 1, EVERY + GRACE - 1), None);
    assert_eq!(watch(&mut posture, EVERY + GRACE, EVERY + GRACE - 1), None, "it was not heard past the grace");
    assert_eq!(watch(&mut posture, EVERY + GRACE, EVERY + GRACE), Some(Proof::Evading));
    assert_eq!((posture.access(), posture.holds.len(), posture.state()), (Access::Quarantined, 1, "quarantined"));
    assert_eq!(posture.attestation, Attestation::None, "a timeout is no failure");
    assert_eq!(watch(&mut posture, 1_000_000, 1_000_000), None, "nothing comes after it");
    say(&mut posture, 1_000_010, verdict(Attestation::Affirming, 1_000_001));
    assert_eq!((posture.access(), posture.proof, posture.state()), (Access::Full, Proof::Current, "active"));
    assert_eq!(watch(&mut posture, 1_000_010 + EVERY - 1, 0), None, "the next deadline counts from the verdict");
    assert_eq!(watch(&mut posture, 1_000_010 + EVERY, 0), Some(Proof::Stale));
}

#[test]
fn a_silent_device_is_out_of_reach_and_has_a_whole_grace_when_it_comes_back() {
    let mut posture = device();
    watch(&mut posture, EVERY, 500);
    assert_eq!(watch(&mut posture, EVERY + GRACE, 500), Some(Proof::Unreachable));
    assert_eq!((posture.access(), posture.state()), (Access::Limited, "stale"));
    let words = explain::posture(&posture, &Policy::default(), UnixMillis(EVERY + GRACE));
    assert!(words.contains("silent since"), "{words}");
    assert_eq!(watch(&mut posture, 50_000, 500), None, "silence costs nothing more, however long");
    assert_eq!(watch(&mut posture, 50_010, 50_005), Some(Proof::Stale));
    assert_eq!(watch(&mut posture, 50_010 + GRACE - 1, 50_010 + GRACE - 1), None);
    assert_eq!(watch(&mut posture, 50_010 + GRACE, 50_010 + GRACE), Some(Proof::Evading));
    assert_eq!(posture.holds.len(), 1);
}

#[test]
fn an_outage_of_the_verifier_is_not_held_against_anybody() {
    let mut posture = device();
    let owing = |posture: &Posture, at, heard| {
        posture.owing(UnixMillis(at), Some(UnixMillis(heard)), &SCHEDULE, Some(UnixMillis(5_000)))
    };
    assert_eq!(owing(&posture, 5_000 + GRACE - 1, 5_000), None);
    assert_eq!(owing(&posture, 5_000 + GRACE, 5_000), Some(Proof::Stale));
    watch(&mut posture, EVERY, EVERY);
    assert_eq!(owing(&posture, 5_000 + GRACE - 1, 5_000 + GRACE - 1), None);
    assert_eq!(owing(&posture, 5_000 + GRACE, 5_000 + GRACE), Some(Proof::Evading));
    let early =
        posture.owing(UnixMillis(EVERY + GRACE), Some(UnixMillis(EVERY + GRACE)), &SCHEDULE, Some(UnixMillis(1)));
    assert_eq!(early, Some(Proof::Evading), "an outage of long ago excuses nothing");
}

#[test]
fn who_gave_cause_is_asked_at_once_and_loses_nothing_for_it() {
    let mut posture = device();
    say(&mut posture, 100, verdict(Attestation::Affirming, 50));
    assert!(!posture.wants_evidence());
    say(&mut posture, 200, Machine::Owes(Proof::Owed));
    assert!(posture.wants_evidence());
    assert_eq!((posture.access(), posture.state()), (Access::Full, "active"));
    say(&mut posture, 210, verdict(Attestation::Affirming, 190));
    assert_eq!(posture.proof, Proof::Owed, "that challenge is from before it gave cause");
    assert_eq!(watch(&mut posture, 200 + GRACE - 1, 0), None);
    assert_eq!(watch(&mut posture, 200 + GRACE, 0), Some(Proof::Stale));
    say(&mut posture, 700, verdict(Attestation::Warning, 650));
    assert_eq!((posture.proof, posture.access()), (Proof::Current, Access::Full), "a warning is a verdict, too");
}

#[test]
fn a_failure_is_neither_cleared_by_time_nor_a_good_verdict() {
    let mut posture = device();
    say(&mut posture, 500, verdict(Attestation::Contraindicated, 400));
    assert_eq!(posture.proof_at, Some(UnixMillis(0)), "it proved nothing good");
    watch(&mut posture, EVERY, EVERY);
    watch(&mut posture, EVERY + GRACE, EVERY + GRACE);
    assert_eq!((posture.access(), posture.holds.len()), (Access::Quarantined, 2));
    say(&mut posture, 2_000, verdict(Attestation::Affirming, 1_900));
    assert_eq!((posture.access(), posture.state()), (Access::Limited, "probation"), "the failure has its own way out");
}

#[test]
fn the_time_to_the_first_evidence_starts_with_connection_or_registration_whichever_is_later() {
    let mut posture = Posture::default();
    say(&mut posture, 10, Machine::Registered);
    assert_eq!(posture.owing(UnixMillis(99_999), None, &SCHEDULE, None), None, "it never connected");
    say(&mut posture, 100, Machine::HandshakeFinished);
    say(&mut posture, 150, Machine::HandshakeFinished);
    assert_eq!(posture.proof_at, Some(UnixMillis(100)));
    say(&mut posture, 200, Machine::Registered);
    assert_eq!(posture.owing(UnixMillis(199 + EVERY), None, &SCHEDULE, None), None);
    assert_eq!(posture.owing(UnixMillis(200 + EVERY), None, &SCHEDULE, None), Some(Proof::Stale));
    say(&mut posture, 2_000, Machine::Owes(Proof::Stale));
    say(&mut posture, 2_001, Machine::Registered);
    assert_eq!((posture.proof, posture.access()), (Proof::Stale, Access::Limited), "another identity excuses nothing");
}

#[test]
fn nothing_is_owed_out_of_order_or_twice() {
    for from in Proof::ALL {
        for to in Proof::ALL {
            let mut posture = Posture { proof: *from, ..device() };
            let changed = !say(&mut posture, 5, Machine::Owes(*to)).is_empty();
            assert_eq!(changed, PROOFS.contains(&(*from, *to)), "{from:?} to {to:?}");
            assert!(say(&mut posture, 6, Machine::Owes(*to)).is_empty());
        }
    }
}

fn state(change: impl FnOnce(&mut Posture)) -> &'static str {
    let mut posture = device();
    change(&mut posture);
    posture.state()
}

#[test]
fn a_state_is_the_first_row_that_holds() {
    let words: Vec<_> = STATES.iter().map(|(word, _)| *word).collect();
    let all = [
        "retired",
        "revoked",
        "repairing",
        "quarantined",
        "registered",
        "probation",
        "failed",
        "stale",
        "warning",
        "active",
    ];
    assert_eq!(words, all);
    let graded = |to, ceiling| Machine::Graded { to, engine: Engine::Profile, reason: "loud".into(), ceiling };
    let appraised = |tier, ceiling| {
        Machine::Appraised(Verdict { tier, challenged: UnixMillis(5), reason: "failed".into(), ceiling, rekey: false })
    };
    let isolate = |access| Person::Isolate { access, reason: String::new() };
    assert_eq!(Posture::default().state(), "registered");
    assert_eq!(state(|_| {}), "active");
    assert_eq!(state(|p| drop(say(p, 9, appraised(Attestation::Warning, Access::Blocked)))), "warning");
    assert_eq!(state(|p| drop(say(p, 9, graded(Grade::Suspicious, Access::Blocked)))), "warning");
    assert_eq!(state(|p| drop(say(p, 9, graded(Grade::Abnormal, Access::Limited)))), "warning", "spared");
    assert_eq!(state(|p| drop(say(p, 9, graded(Grade::Abnormal, Access::Blocked)))), "quarantined");
    assert_eq!(state(|p| drop(say(p, 9, appraised(Attestation::Contraindicated, Access::Limited)))), "failed");
    assert_eq!(state(|p| drop(say(p, 9, appraised(Attestation::Contraindicated, Access::Blocked)))), "quarantined");
    let repairing = |p: &mut Posture| {
        say(p, 9, appraised(Attestation::Contraindicated, Access::Blocked));
        p.update = Update::Installing;
    };
    assert_eq!(state(repairing), "repairing");
    assert_eq!(state(|p| p.update = Update::Installing), "active", "an update alone is no repair");
    assert_eq!(state(|p| drop(p.by_person(UnixMillis(9), "ada", isolate(Access::Quarantined)))), "quarantined");
    assert_eq!(state(|p| drop(p.by_person(UnixMillis(9), "ada", isolate(Access::Blocked)))), "revoked");
    assert_eq!(state(|p| drop(p.by_person(UnixMillis(9), "ada", Person::Retire))), "retired");
}

/// Anything that can be said, by number.
fn say_any(posture: &mut Posture, at: u64, what: u8, challenged: u64) {
    let challenged = challenged.min(at.saturating_sub(1));
    let graded = |to| Machine::Graded { to, engine: Engine::Profile, reason: String::new(), ceiling: Access::Blocked };
    match what {
        0 => drop(say(posture, at, Machine::Tick)),
        1 => drop(say(posture, at, Machine::HandshakeFinished)),
        2 => drop(say(posture, at, Machine::Registered)),
        3 => drop(posture.by_person(UnixMillis(at), "ada", Person::Release)),
        4 => drop(say(posture, at, graded(Grade::Abnormal))),
        5 => drop(say(posture, at, graded(Grade::Normal))),
        6 => drop(say(posture, at, verdict(Attestation::Contraindicated, challenged))),
        7 => drop(say(posture, at, verdict(Attestation::Affirming, challenged))),
        8 => drop(say(posture, at, verdict(Attestation::Warning, challenged))),
        9 => drop(watch(posture, at, challenged)),
        10 => drop(watch(posture, at, at)),
        _ => drop(say(posture, at, Machine::Owes(Proof::Owed))),
    }
}

fn owed_hold(posture: &Posture) -> Option<Access> {
    posture.holds.iter().find(|hold| hold.cause == Cause::Policy).map(|hold| hold.access)
}

proptest! {
    /// Whatever is said, a device that owes evidence is limited until a good verdict for a later challenge, and time
    /// alone neither isolates, nor makes a failure, nor ends one.
    #[test]
    fn only_later_good_evidence_ends_what_is_owed(
        says in proptest::collection::vec((0_u8..12, 1_u64..600, 0_u64..20_000), 1..60)
    ) {
        let mut posture = device();
        let mut at = 0;
        for (what, step, challenged) in says {
            at += step;
            let before = posture.clone();
            say_any(&mut posture, at, what, challenged);
            prop_assert_eq!(owed_hold(&posture).is_some(), posture.proof.is_overdue());
            if before.proof.is_overdue() && !posture.proof.is_overdue() {
                prop_assert!(what == 7 || what == 8);
                prop_assert!(Some(UnixMillis(challenged.min(at - 1))) > before.proof_at);
            }
            if (9..=11).contains(&what) {
                prop_assert_eq!(posture.attestation, before.attestation);
                prop_assert!(posture.access() >= before.access());
                let failures = |p: &Posture| p.holds.iter().filter(|hold| hold.cause == Cause::Attestation).count();
                prop_assert_eq!(failures(&posture), failures(&before));
            }
            if posture.proof == Proof::Evading && before.proof != Proof::Evading {
                prop_assert_eq!(before.proof, Proof::Stale);
                prop_assert!(before.proof_at.unwrap().plus(GRACE) <= UnixMillis(at));
            }
            if posture.proof != Proof::Evading {
                prop_assert!(owed_hold(&posture) <= Some(Access::Limited));
            }
        }
    }

    /// The word agrees with what the data path does.
    #[test]
    fn the_state_never_contradicts_the_access(
        says in proptest::collection::vec((0_u8..12, 1_u64..600, 0_u64..20_000), 0..60)
    ) {
        let mut posture = device();
        let mut at = 0;
        for (what, step, challenged) in says {
            at += step;
            say_any(&mut posture, at, what, challenged);
            let state = posture.state();
            prop_assert_eq!(posture.lifecycle, Lifecycle::Active);
            prop_assert_eq!(["quarantined", "repairing"].contains(&state), posture.access() == Access::Quarantined);
            if state == "active" {
                prop_assert_eq!(posture.access(), Access::Full);
                prop_assert!(!posture.proof.is_overdue());
                prop_assert!(posture.holds.iter().all(|hold| hold.stage != Stage::Probation));
            }
        }
    }
}
