//! What heartbeats do, what they never do, and which reports a failure makes worthless.
#![allow(clippy::unwrap_used)] // helpers of tests are tests

use bartizan_platform::posture::{Change, Heartbeat, Machine, Person, Policy, Posture, Proof, Schedule, Verdict};
use bartizan_wire::{Access, Attestation, UnixMillis};
use proptest::prelude::*;

use Attestation::{Affirming, Contraindicated, Warning};

const SCHEDULE: Schedule = Schedule { every_ms: 1_000, grace_ms: 400 };

fn say(posture: &mut Posture, at: u64, says: Machine) -> Vec<Change> {
    posture.by_machine(UnixMillis(at), says, &Policy::default())
}

fn verdict(tier: Attestation, challenged: u64) -> Machine {
    let reason = "failed its attestation".into();
    Machine::Appraised(Verdict {
        tier,
        challenged: UnixMillis(challenged),
        reason,
        ceiling: Access::Blocked,
        rekey: false,
    })
}

fn heartbeat(challenged: u64) -> Machine {
    Machine::Prolonged { challenged: UnixMillis(challenged) }
}

/// Connected at 0, affirmed at 10.
fn affirmed() -> Posture {
    let mut posture = Posture::default();
    say(&mut posture, 0, Machine::HandshakeFinished);
    say(&mut posture, 10, verdict(Affirming, 9));
    posture
}

#[test]
fn a_heartbeat_moves_the_deadline_to_its_challenge_and_counts_once() {
    let mut posture = affirmed();
    assert_eq!(say(&mut posture, 900, heartbeat(890)), [Change::Prolonged]);
    assert_eq!(posture.heartbeat, Some(Heartbeat { at: UnixMillis(900), challenged: UnixMillis(890) }));
    assert_eq!((posture.proof_at, posture.verdict_at), (Some(UnixMillis(890)), Some(UnixMillis(10))));
    assert_eq!(posture.owing(UnixMillis(1_889), None, &SCHEDULE, None), None);
    assert_eq!(posture.owing(UnixMillis(1_890), None, &SCHEDULE, None), Some(Proof::Stale));
    for again in [890, 889, 0] {
        assert!(say(&mut posture, 950, heartbeat(again)).is_empty(), "{again}");
    }
    assert_eq!(posture.proof_at, Some(UnixMillis(890)));
}

#[test]
fn an_old_epoch_never_makes_a_verdict_older() {
    let mut posture = affirmed();
    say(&mut posture, 20, heartbeat(5));
    assert_eq!((posture.proof_at, posture.proven_at), (Some(UnixMillis(10)), Some(UnixMillis(9))));
}

#[test]
fn who_has_no_good_verdict_or_owes_evidence_gets_nothing_by_heartbeats() {
    let mut never = Posture::default();
    say(&mut never, 0, Machine::HandshakeFinished);
    let mut failed = affirmed();
    say(&mut failed, 20, verdict(Contraindicated, 15));
    let mut on_probation = failed.clone();
    say(&mut on_probation, 30, verdict(Affirming, 25));
    let mut owing = affirmed();
    say(&mut owing, 20, Machine::Owes(Proof::Owed));
    let mut stale = affirmed();
    say(&mut stale, 1_010, Machine::Owes(Proof::Stale));
    let mut retired = affirmed();
    retired.by_person(UnixMillis(20), "ada", Person::Retire).unwrap();
    for mut posture in [never, failed, on_probation, owing, stale, retired] {
        let before = posture.clone();
        assert!(say(&mut posture, 2_000, heartbeat(1_999)).is_empty());
        assert_eq!(posture, before);
    }
}

#[test]
fn a_warning_is_prolonged_and_stays_one() {
    let mut posture = affirmed();
    say(&mut posture, 20, verdict(Warning, 19));
    say(&mut posture, 40, heartbeat(39));
    assert_eq!((posture.attestation, posture.proof_at), (Warning, Some(UnixMillis(39))));
    assert_eq!(posture.proven_at, Some(UnixMillis(9)), "nobody knows that it was what was released");
}

#[test]
fn a_failure_makes_worthless_what_was_said_since_the_last_proof() {
    let mut posture = affirmed();
    assert_eq!(posture.is_trusted(), Some(true));
    say(&mut posture, 500, heartbeat(490));
    let changes = say(&mut posture, 600, verdict(Contraindicated, 590));
    assert!(changes.contains(&Change::Doubted { since: UnixMillis(490) }), "{changes:?}");
    assert_eq!(posture.is_trusted(), Some(false));
    let changes = say(&mut posture, 700, verdict(Contraindicated, 690));
    assert!(!changes.iter().any(|change| matches!(change, Change::Doubted { .. })), "it is said once");
    say(&mut posture, 710, verdict(Affirming, 700));
    assert_eq!(posture.is_trusted(), Some(false), "that challenge is from before the last failure");
    let changes = say(&mut posture, 720, verdict(Affirming, 715));
    assert!(changes.contains(&Change::Trusted { since: UnixMillis(490) }), "{changes:?}");
    assert_eq!((posture.is_trusted(), posture.access()), (Some(true), Access::Limited), "on probation, and proven");
    say(&mut posture, 730, verdict(Warning, 725));
    assert_eq!(posture.doubted_since, None, "a warning is no failure");
}

#[test]
fn who_never_proved_anything_is_not_believed_from_the_first_report_on() {
    let mut posture = Posture::default();
    say(&mut posture, 5, Machine::HandshakeFinished);
    assert_eq!(posture.is_trusted(), None);
    let changes = say(&mut posture, 600, verdict(Contraindicated, 590));
    assert!(changes.contains(&Change::Doubted { since: UnixMillis(0) }));
}

#[test]
fn evading_makes_reports_worthless_and_any_good_evidence_ends_it() {
    for tier in [Affirming, Warning] {
        let mut posture = affirmed();
        say(&mut posture, 1_010, Machine::Owes(Proof::Stale));
        assert_eq!((posture.is_trusted(), posture.doubted_since), (Some(false), None), "late, but not evading");
        let changes = say(&mut posture, 1_500, Machine::Owes(Proof::Evading));
        assert!(changes.contains(&Change::Doubted { since: UnixMillis(9) }));
        say(&mut posture, 1_600, verdict(tier, 1_590));
        assert_eq!(posture.is_trusted(), Some(true));
    }
}

proptest! {
    /// Whatever else is said: with heartbeats left out, a device has the same access, verdict, grade and holds.
    #[test]
    fn heartbeats_change_nothing_but_how_old_a_proof_is(
        says in proptest::collection::vec((0_u8..8, 0_u64..400), 1..40)
    ) {
        let (mut with, mut without) = (affirmed(), affirmed());
        for (at, (what, challenged)) in (20_u64..).step_by(7).zip(says) {
            let challenged = challenged.min(at - 1);
            let machine = match what {
                0 => Machine::Owes(Proof::Owed),
                1 => Machine::Owes(Proof::Stale),
                2 => Machine::Owes(Proof::Evading),
                3 => verdict(Contraindicated, challenged),
                4 => verdict(Warning, challenged),
                5 => verdict(Affirming, challenged),
                _ => {
                    say(&mut with, at, heartbeat(challenged));
                    continue;
                }
            };
            say(&mut with, at, machine.clone());
            say(&mut without, at, machine);
            prop_assert_eq!(with.access(), without.access());
            prop_assert_eq!((with.attestation, with.proof, &with.holds), (without.attestation, without.proof, &without.holds));
            prop_assert_eq!(with.is_trusted(), without.is_trusted());
            prop_assert!(with.proof_at >= without.proof_at);
            prop_assert!(with.proven_at >= without.proven_at);
        }
    }
}
