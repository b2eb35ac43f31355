//! Another key on the way out of a failure, by example and by property.
#![allow(clippy::unwrap_used)] // helpers of tests are tests

use bartizan_platform::explain;
use bartizan_platform::posture::{Change, Machine, Person, Policy, Posture, Rekey, Stage, Verdict};
use bartizan_wire::{Access, Attestation, UnixMillis};
use proptest::prelude::*;

use Attestation::{Affirming, Contraindicated};

fn verdict(tier: Attestation, challenged: u64, rekey: bool) -> Machine {
    let reason = "its firmware is not the one that was released".into();
    Machine::Appraised(Verdict { tier, challenged: UnixMillis(challenged), reason, ceiling: Access::Blocked, rekey })
}

fn say(posture: &mut Posture, at: u64, says: Machine) -> Vec<Change> {
    posture.by_machine(UnixMillis(at), says, &Policy::default())
}

fn rekeyed(posture: &mut Posture, at: u64, made: u64) -> Vec<Change> {
    say(posture, at, Machine::Rekeyed(UnixMillis(made)))
}

/// Failed at 10, affirmed at 20.
fn on_probation() -> Posture {
    let mut posture = Posture::default();
    say(&mut posture, 10, verdict(Contraindicated, 9, true));
    assert_eq!(posture.awaits_key(), None, "what failed is given no key");
    say(&mut posture, 20, verdict(Affirming, 15, true));
    posture
}

#[test]
fn probation_waits_for_a_key_from_after_it_began() {
    let mut posture = on_probation();
    assert_eq!(posture.awaits_key(), Some(UnixMillis(20)));
    let said = explain::posture(&posture, &Policy::default(), UnixMillis(21));
    assert!(said.contains("waits for a new key"), "{said}");
    for at in [30, 40, 50, 60] {
        say(&mut posture, at, verdict(Affirming, at - 5, true));
        assert_eq!(posture.access(), Access::Limited, "however often it proves itself");
    }
    for made in [5, 12, 20] {
        assert!(rekeyed(&mut posture, 61, made).is_empty(), "a key of {made} was within reach");
    }
    assert!(matches!(rekeyed(&mut posture, 62, 21)[..], [Change::Moved(_)]));
    assert_eq!((posture.access(), posture.awaits_key()), (Access::Limited, None));
    say(&mut posture, 70, verdict(Affirming, 65, true));
    assert_eq!(posture.access(), Access::Full);
}

#[test]
fn a_failure_after_the_new_key_asks_for_another() {
    let mut posture = on_probation();
    rekeyed(&mut posture, 22, 21);
    say(&mut posture, 30, verdict(Contraindicated, 25, true));
    assert_eq!((posture.access(), posture.holds[0].rekey), (Access::Quarantined, Rekey::NotAsked));
    say(&mut posture, 40, verdict(Affirming, 35, true));
    assert_eq!(posture.awaits_key(), Some(UnixMillis(40)));
    assert!(rekeyed(&mut posture, 41, 21).is_empty(), "that one was within reach of the second failure");
}

#[test]
fn a_policy_that_does_not_ask_any_more_is_heard_at_the_next_verdict() {
    let mut posture = on_probation();
    say(&mut posture, 30, verdict(Affirming, 25, false));
    assert_eq!((posture.awaits_key(), posture.access()), (None, Access::Limited));
    say(&mut posture, 40, verdict(Affirming, 35, false));
    assert_eq!(posture.access(), Access::Full);
}

#[test]
fn a_key_alone_frees_nobody_and_a_retired_device_takes_none() {
    let mut posture = Posture::default();
    say(&mut posture, 10, verdict(Contraindicated, 9, true));
    assert!(rekeyed(&mut posture, 12, 11).is_empty());
    assert_eq!((posture.access(), posture.holds[0].stage), (Access::Quarantined, Stage::Held));
    let mut posture = on_probation();
    posture.by_person(UnixMillis(21), "ada", Person::Retire).unwrap();
    assert!(rekeyed(&mut posture, 23, 22).is_empty());
}

proptest! {
    /// Whatever is said in whatever order: full access comes back only after a key from after the latest failure.
    #[test]
    fn nobody_comes_back_with_a_key_that_a_failure_could_read(
        says in proptest::collection::vec((0_u8..6, 0_u64..300), 1..60)
    ) {
        let mut posture = on_probation();
        let (mut failed_at, mut newest) = (10, 0);
        for (at, (what, number)) in (27_u64..).step_by(7).zip(says) {
            let earlier = number.min(at - 1);
            match what {
                0 => {
                    say(&mut posture, at, verdict(Contraindicated, earlier, true));
                    failed_at = at;
                }
                1 => drop(say(&mut posture, at, Machine::Tick)),
                2 => drop(posture.by_person(UnixMillis(at), "ada", Person::Release)),
                3 => {
                    rekeyed(&mut posture, at, earlier);
                    newest = newest.max(earlier);
                }
                _ => drop(say(&mut posture, at, verdict(Affirming, at - 1, true))),
            }
            if posture.access() == Access::Full {
                prop_assert!(newest > failed_at);
            }
        }
    }
}
