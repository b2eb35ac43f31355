//! The sentences, as people read them.
#![allow(clippy::unwrap_used)] // helpers of tests are tests

use std::net::SocketAddr;

use bartizan_platform::explain::{self, Names};
use bartizan_platform::posture::{Machine, Person, Policy, Posture};
use bartizan_wire::finding::Basis;
use bartizan_wire::{
    Access, DeviceKey, Engine, Expected, Feature, Finding, Grade, Severity, Source, Subject, TypeId, Unit, UnixMillis,
};
use proptest::prelude::*;

const HOUR: u64 = 3_600_000;

fn about_device(feature: Feature, observed: f64, unit: Unit, expected: Expected) -> Finding {
    let subject = Subject::Device { key: DeviceKey::new(1, 7), device_type: TypeId(1) };
    Finding {
        at: UnixMillis(0),
        subject,
        engine: Engine::Profile,
        feature,
        observed,
        expected,
        unit,
        score: 0.9,
        severity: Severity::High,
        technique: None,
    }
}

fn about_source(feature: Feature, observed: f64) -> Finding {
    let source = Source::of("192.0.2.9:1".parse::<SocketAddr>().unwrap());
    let expected = Expected { low: 0.0, high: 4.0, basis: Basis::Rule };
    let subject = Subject::Source { source, claimed: Some(DeviceKey::new(1, 7)) };
    Finding { subject, ..about_device(feature, observed, Unit::PerMinute, expected) }
}

fn band(low: f64, high: f64, basis: Basis) -> Expected {
    Expected { low, high, basis }
}

const METER: Names = Names {
    device_type: Some("water meter"),
    source: Some("192.0.2.9"),
    claimed: Some("lock-7"),
    learnt_from: Some(40),
};

#[test]
fn a_meter_that_reports_fifty_times_an_hour() {
    let interval = about_device(
        Feature::ReportInterval,
        72_000.0,
        Unit::Milliseconds,
        band(3_300_000.0, 3_900_000.0, Basis::Device),
    );
    assert_eq!(
        explain::finding(&interval, &METER),
        "reported again after 72 s; its own habit (learnt from its last 40 reports) is a report every 55 to 65 min"
    );
    let rate = about_device(Feature::MessageRate, 50.0, Unit::PerHour, band(0.0, 2.0, Basis::DeviceType));
    assert_eq!(
        explain::finding(&rate, &METER),
        "sent messages at a rate of 50 an hour; what devices of the type “water meter” usually do is up to 2 an hour"
    );
}

#[test]
fn an_impostor_is_not_held_against_the_device_it_names() {
    assert_eq!(
        explain::finding(&about_source(Feature::ReplayedRecords, 30.0), &METER),
        "192.0.2.9 sent copies of old records (at a rate of 30 a minute; at most up to 4 a minute is normal); none was accepted. \
         It used the name of “lock-7”, which is not held against that device."
            .replace("at most up to", "up to")
    );
}

#[test]
fn the_posture_says_why_and_what_ends_it() {
    let (policy, mut posture) = (Policy::default(), Posture::default());
    assert!(explain::posture(&posture, &policy, UnixMillis(0)).contains("never connected"));
    posture.by_machine(UnixMillis(0), Machine::HandshakeFinished, &policy);
    assert_eq!(explain::posture(&posture, &policy, UnixMillis(0)), "Behaves as usual; everything passes.");
    let graded = |to| Machine::Graded {
        to,
        engine: Engine::Profile,
        reason: "reported again after 72 s".into(),
        ceiling: Access::Blocked,
    };
    posture.by_machine(UnixMillis(0), graded(Grade::Abnormal), &policy);
    assert_eq!(
        explain::posture(&posture, &policy, UnixMillis(5 * 60_000)),
        "Isolated for 5 min because it reported again after 72 s. \
         It is let in again, at a limited rate first, once it has behaved normally for 60 min; a person may release it sooner."
    );
    posture.by_machine(UnixMillis(HOUR), graded(Grade::Normal), &policy);
    assert!(explain::posture(&posture, &policy, UnixMillis(HOUR + HOUR / 2)).contains("lasts another 30 min"));
    posture.by_machine(UnixMillis(2 * HOUR), Machine::Tick, &policy);
    assert!(explain::posture(&posture, &policy, UnixMillis(2 * HOUR)).starts_with("Limited for 2 h"));
    let person = Person::Isolate { access: Access::Blocked, reason: "seen opened on site.".into() };
    posture.by_person(UnixMillis(2 * HOUR), "ada", person).unwrap();
    assert_eq!(
        explain::posture(&posture, &policy, UnixMillis(2 * HOUR + 90_000)),
        "Blocked for 90 s by ada: seen opened on site. Only a person ends this."
    );
}

#[test]
fn every_feature_has_a_sentence_with_what_was_seen_and_what_was_expected() {
    for feature in Feature::ALL {
        let finding = about_device(*feature, 50.0, Unit::PerHour, band(1.0, 2.0, Basis::Device));
        let text = explain::finding(&finding, &Names::default());
        assert!(text.contains("; its own habit is "), "{text}");
        let text = explain::finding(&about_source(*feature, 50.0), &Names::default());
        assert!(text.contains("none was accepted"), "{text}");
    }
}

proptest! {
    #[test]
    fn any_number_makes_a_sentence(observed in any::<f64>(), low in any::<f64>(), high in any::<f64>()) {
        for unit in Unit::ALL {
            let finding = about_device(Feature::ReportInterval, observed, *unit, band(low, high, Basis::Device));
            prop_assert!(!explain::finding(&finding, &METER).is_empty());
        }
    }
}
