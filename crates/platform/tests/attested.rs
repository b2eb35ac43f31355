//! What verdicts on evidence do to a device, by example and by property.
#![allow(clippy::unwrap_used)] // helpers of tests are tests

use bartizan_platform::posture::{Change, Machine, Person, Policy, Posture, Proof, Stage, Verdict};
use bartizan_wire::{Access, Attestation, Cause, Engine, Exit, Grade, UnixMillis};
use proptest::prelude::*;

use Attestation::{Affirming, Contraindicated, Warning};

fn verdict(tier: Attestation, challenged: u64) -> Machine {
    let reason = "its firmware is not the one that was released".into();
    Machine::Appraised(Verdict {
        tier,
        challenged: UnixMillis(challenged),
        reason,
        ceiling: Access::Blocked,
        rekey: false,
    })
}

fn say(posture: &mut Posture, at: u64, says: Machine) -> Vec<Change> {
    posture.by_machine(UnixMillis(at), says, &Policy::default())
}

fn failed() -> Posture {
    let mut posture = Posture::default();
    say(&mut posture, 10, verdict(Contraindicated, 9));
    posture
}

#[test]
fn contradicting_evidence_quarantines_until_evidence_affirms() {
    let posture = failed();
    assert_eq!((posture.access(), posture.attestation), (Access::Quarantined, Contraindicated));
    assert_eq!((posture.holds[0].cause, posture.holds[0].exit), (Cause::Attestation, Exit::Evidence));
    assert_eq!(posture.due(&Policy::default()), None, "no time ends it");
}

#[test]
fn only_a_challenge_from_after_the_failure_leads_out() {
    let mut posture = failed();
    for stale in [8, 10] {
        say(&mut posture, 20, verdict(Affirming, stale));
        assert_eq!(posture.access(), Access::Quarantined, "a challenge of {stale}");
    }
    say(&mut posture, 30, verdict(Affirming, 25));
    assert_eq!((posture.access(), posture.holds[0].stage), (Access::Limited, Stage::Probation));
}

#[test]
fn probation_takes_as_many_verdicts_as_the_policy_asks() {
    let mut posture = failed();
    say(&mut posture, 20, verdict(Affirming, 15));
    say(&mut posture, 30, verdict(Affirming, 19));
    assert_eq!(posture.holds[0].passes, 0, "the challenge is from before the probation");
    say(&mut posture, 40, verdict(Affirming, 35));
    assert_eq!(posture.access(), Access::Limited);
    let changes = say(&mut posture, 50, verdict(Affirming, 45));
    assert!(matches!(changes[..], [Change::Appraised { .. }, Change::Ended(_)]));
    assert_eq!(posture.access(), Access::Full);
}

#[test]
fn a_failure_in_probation_starts_over() {
    let mut posture = failed();
    say(&mut posture, 20, verdict(Affirming, 15));
    say(&mut posture, 30, verdict(Contraindicated, 25));
    assert_eq!((posture.access(), posture.holds.len()), (Access::Quarantined, 1));
    say(&mut posture, 40, verdict(Affirming, 28));
    assert_eq!(posture.access(), Access::Quarantined, "that challenge is from before the second failure");
}

#[test]
fn a_hold_of_one_cause_never_ends_another_s() {
    let mut posture = failed();
    let graded = |to| Machine::Graded { to, engine: Engine::Profile, reason: "loud".into(), ceiling: Access::Blocked };
    say(&mut posture, 11, graded(Grade::Abnormal));
    for at in [20, 30, 40, 50] {
        say(&mut posture, at, verdict(Affirming, at - 1));
    }
    assert_eq!(posture.access(), Access::Quarantined, "affirming evidence does not forgive behaviour");
    let mut posture = failed();
    posture.by_person(UnixMillis(20), "ada", Person::Release).unwrap();
    assert_eq!(posture.access(), Access::Quarantined, "a person does not make firmware good");
    say(&mut posture, 1_000_000_000, Machine::Tick);
    assert_eq!(posture.access(), Access::Quarantined);
}

#[test]
fn the_brake_bounds_what_a_verdict_does() {
    let mut posture = Posture::default();
    assert!(posture.would_isolate_by(Contraindicated, &Policy::default()));
    assert!(!posture.would_isolate_by(Warning, &Policy::default()));
    let spared = Verdict {
        tier: Contraindicated,
        challenged: UnixMillis(1),
        reason: "changed".into(),
        ceiling: Access::Limited,
        rekey: false,
    };
    say(&mut posture, 2, Machine::Appraised(spared));
    assert_eq!(posture.access(), Access::Limited);
    say(&mut posture, 4, verdict(Contraindicated, 3));
    assert_eq!(posture.access(), Access::Quarantined);
    assert!(!posture.would_isolate_by(Contraindicated, &Policy::default()), "it is counted already");
}

proptest! {
    /// Whatever is said, a failure is only ever left by an affirming verdict for a later challenge.
    #[test]
    fn nothing_but_later_evidence_leads_out_of_a_failure(
        says in proptest::collection::vec((0_u8..7, 0_u64..200), 1..40)
    ) {
        let mut posture = failed();
        let mut failed_at = 10;
        let mut affirmed_later = false;
        for (at, (what, challenged)) in (20_u64..).step_by(7).zip(says) {
            let challenged = challenged.min(at - 1);
            match what {
                0 => drop(say(&mut posture, at, Machine::Tick)),
                1 => drop(say(&mut posture, at, Machine::HandshakeFinished)),
                2 => drop(posture.by_person(UnixMillis(at), "ada", Person::Release)),
                3 => drop(say(&mut posture, at, Machine::Owes(Proof::Stale))),
                5 => drop(say(&mut posture, at, Machine::Registered)),
                4 => {
                    say(&mut posture, at, verdict(Contraindicated, challenged));
                    (failed_at, affirmed_later) = (at, false);
                }
                _ => {
                    say(&mut posture, at, verdict(Affirming, challenged));
                    affirmed_later |= challenged > failed_at;
                }
            }
            if !affirmed_later {
                prop_assert!(posture.access() >= Access::Quarantined);
            }
        }
    }
}
