//! Events and findings in CBOR.

use bartizan_wire::event::{Direction, Message};
use bartizan_wire::finding::Basis;
use bartizan_wire::limits::{EVENT_BYTES_MAX, FINDING_BYTES_MAX};
use bartizan_wire::{
    DeviceKey, Engine, Event, EventKind, Expected, Feature, Finding, Severity, Source, Subject, Technique, TypeId,
    Unit, UnixMillis,
};

/// What is read can be written within its limit and reads the same.
pub fn event_and_finding(bytes: &[u8]) {
    if let Ok(event) = Event::decode(bytes) {
        let mut out = [0; EVENT_BYTES_MAX];
        let written = event.encode(&mut out).expect("the limit is enough");
        assert_eq!(Event::decode(written), Ok(event));
    }
    if let Ok(finding) = Finding::decode(bytes) {
        let mut out = [0; FINDING_BYTES_MAX];
        let written = finding.encode(&mut out).expect("the limit is enough");
        assert_eq!(Finding::decode(written), Ok(finding));
    }
}

#[must_use]
pub fn seeds() -> Vec<Vec<u8>> {
    let at = UnixMillis(1_790_000_000_000);
    let device = Subject::Device { key: DeviceKey::new(1, 1 << 40), device_type: TypeId(3) };
    let source = Source::of("192.0.2.1:9".parse().expect("an address"));
    let source = Subject::Source { source, claimed: Some(DeviceKey::new(1, 2)) };
    let message = Message { direction: Direction::Up, kind: 77, payload_bytes: 900, peer: 5 };
    let kinds = [EventKind::Message(message), EventKind::Closed { by_peer: true }, EventKind::UpstreamFailed];
    let finding = Finding {
        at,
        subject: source,
        engine: Engine::Source,
        feature: Feature::ForgedRecords,
        observed: 72.0,
        expected: Expected { low: 0.0, high: 5.5, basis: Basis::Rule },
        unit: Unit::PerMinute,
        score: 0.9,
        severity: Severity::High,
        technique: Some(Technique::BRUTE_FORCE),
    };
    let mut seeds: Vec<Vec<u8>> = Vec::new();
    for (kind, subject) in kinds.into_iter().zip([device, source, device]) {
        let mut out = [0; EVENT_BYTES_MAX];
        seeds.push(Event { at, subject, kind }.encode(&mut out).expect("the limit is enough").to_vec());
    }
    let mut out = [0; FINDING_BYTES_MAX];
    seeds.push(finding.encode(&mut out).expect("the limit is enough").to_vec());
    seeds
}
