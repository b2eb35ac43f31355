//! Events and findings over the wire: what is written is read, what was not written so is refused.

#![allow(clippy::unwrap_used, reason = "a test that cannot go on says where")]

use bartizan_wire::event::{CommandState, Direction, HandshakeFailure, Message, RecordRejection};
use bartizan_wire::finding::Basis;
use bartizan_wire::limits::{EVENT_BYTES_MAX, FINDING_BYTES_MAX};
use bartizan_wire::{
    Access, CommandId, DeviceKey, Engine, Error, Event, EventKind, Expected, Feature, Finding, Malformed, Misuse,
    Severity, Source, Subject, Technique, TypeId, Unit, UnixMillis, Unsupported,
};
use proptest::collection::vec;
use proptest::prelude::*;
use proptest::sample::select;

/// The bytes of the schema in `cbor`, by hand: whoever reads them in another language gets the same.
#[test]
fn a_report_is_these_bytes() {
    let event = Event {
        at: UnixMillis(1_700_000_000_000),
        subject: Subject::Device { key: DeviceKey::new(2, 300), device_type: TypeId(7) },
        kind: EventKind::Message(Message { direction: Direction::Up, kind: 0xdead_beef, payload_bytes: 12, peer: 1 }),
    };
    let expected = [
        &[0x84, 0x01, 0x1b, 0x00, 0x00, 0x01, 0x8b, 0xcf, 0xe5, 0x68, 0x00][..],
        &[0x84, 0x00, 0x02, 0x19, 0x01, 0x2c, 0x07],
        &[0x85, 0x04, 0x00, 0x1a, 0xde, 0xad, 0xbe, 0xef, 0x0c, 0x01],
    ]
    .concat();
    assert_eq!(event.encode(&mut [0; EVENT_BYTES_MAX]), Ok(&expected[..]));
    assert_eq!(Event::decode(&expected), Ok(event));
}

#[test]
fn other_shapes_are_refused_by_their_fault() {
    let closed = |version: u8, tail: &[u8]| [&[0x84, version, 0x00, 0x84, 0, 1, 1, 1][..], tail].concat();
    assert!(Event::decode(&closed(1, &[0x82, 0x09, 0xf5])).is_ok());
    let cases = [
        (closed(2, &[0x82, 0x09, 0xf5]), Error::Unsupported(Unsupported::Version)),
        (closed(1, &[0x82, 0x0a, 0xf5]), Error::Unsupported(Unsupported::Code)),
        (closed(1, &[0x82, 0x05, 0x18, 0xff]), Error::Unsupported(Unsupported::Code)),
        (closed(1, &[0x82, 0x09, 0x01]), Error::Malformed(Malformed::Cbor)),
        (closed(1, &[0x81, 0x09]), Error::Malformed(Malformed::Cbor)),
        (closed(1, &[0x9f, 0x09, 0xf5, 0xff]), Error::Malformed(Malformed::Cbor)),
        (closed(1, &[0x82, 0x09, 0xf5, 0x00]), Error::Malformed(Malformed::Trailing)),
        (vec![], Error::Malformed(Malformed::Cbor)),
    ];
    for (bytes, error) in cases {
        assert_eq!(Event::decode(&bytes), Err(error), "{bytes:02x?}");
    }
}

#[test]
fn a_source_is_read_only_as_a_source_is_counted() {
    let from = |address: &[u8]| {
        let head = [0x84, 1, 0, 0x83, 1, 0x40 + address.len() as u8];
        Event::decode(&[&head[..], address, &[0xf6, 0x82, 0x09, 0xf5]].concat())
    };
    assert!(from(&[192, 0, 2, 1]).is_ok());
    let mut v6 = [0x20; 16];
    assert_eq!(from(&v6), Err(Error::Malformed(Malformed::Cbor)), "a host, not its /64");
    v6[8..].fill(0);
    assert!(from(&v6).is_ok());
    assert!(from(&[0; 5]).is_err());
}

#[test]
fn a_finding_without_a_number_is_not_written() {
    let mut finding = Finding {
        at: UnixMillis(0),
        subject: Subject::Device { key: DeviceKey::new(1, 1), device_type: TypeId(1) },
        engine: Engine::Profile,
        feature: Feature::ReportInterval,
        observed: f64::NAN,
        expected: Expected { low: 0.0, high: f64::INFINITY, basis: Basis::Rule },
        unit: Unit::Milliseconds,
        score: 1.0,
        severity: Severity::High,
        technique: None,
    };
    let mut out = [0; FINDING_BYTES_MAX];
    assert_eq!(finding.encode(&mut out), Err(Error::Misuse(Misuse::Range)));
    finding.observed = 1.0;
    assert!(finding.encode(&mut out).is_ok());
    finding.score = f32::NAN;
    assert_eq!(finding.encode(&mut out), Err(Error::Misuse(Misuse::Range)));
}

fn any_key() -> impl Strategy<Value = DeviceKey> {
    (any::<u32>(), any::<u64>()).prop_map(|(tenant, device)| DeviceKey::new(tenant, device))
}

fn any_subject() -> impl Strategy<Value = Subject> {
    prop_oneof![
        (any_key(), any::<u32>()).prop_map(|(key, kind)| Subject::Device { key, device_type: TypeId(kind) }),
        (any::<std::net::SocketAddr>(), proptest::option::of(any_key()))
            .prop_map(|(addr, claimed)| Subject::Source { source: Source::of(addr), claimed }),
    ]
}

fn any_kind() -> impl Strategy<Value = EventKind> {
    prop_oneof![
        (any::<u16>(), any::<bool>())
            .prop_map(|(suite, connection_id)| EventKind::Established { suite, connection_id }),
        select(HandshakeFailure::ALL).prop_map(|reason| EventKind::HandshakeFailed { reason }),
        select(RecordRejection::ALL).prop_map(|reason| EventKind::RecordRejected { reason }),
        any::<u32>().prop_map(|network| EventKind::Rebound { network }),
        (select(Direction::ALL), any::<u32>(), any::<u16>(), any::<u32>()).prop_map(
            |(direction, kind, payload_bytes, peer)| {
                EventKind::Message(Message { direction, kind, payload_bytes, peer })
            }
        ),
        select(Access::ALL).prop_map(|access| EventKind::Refused { access }),
        Just(EventKind::UpstreamFailed),
        (any::<u64>(), select(CommandState::ALL))
            .prop_map(|(id, state)| EventKind::Command { id: CommandId(id), state }),
        any::<u32>().prop_map(|endpoint| EventKind::EndpointMismatch { endpoint }),
        any::<bool>().prop_map(|by_peer| EventKind::Closed { by_peer }),
    ]
}

fn any_number() -> impl Strategy<Value = f64> {
    prop_oneof![any::<i32>().prop_map(f64::from), Just(f64::INFINITY), Just(f64::NEG_INFINITY), 0.0..1e12]
}

fn any_finding() -> impl Strategy<Value = Finding> {
    let judged = (select(Engine::ALL), select(Feature::ALL), select(Unit::ALL), select(Severity::ALL));
    let seen = (any_number(), any_number(), any_number(), select(Basis::ALL), 0.0_f32..1.0);
    (any::<u64>(), any_subject(), judged, seen, proptest::option::of(any::<u16>())).prop_map(
        |(at, subject, (engine, feature, unit, severity), (observed, low, high, basis, score), technique)| Finding {
            at: UnixMillis(at),
            subject,
            engine,
            feature,
            observed,
            expected: Expected { low, high, basis },
            unit,
            score,
            severity,
            technique: technique.map(Technique),
        },
    )
}

proptest! {
    #[test]
    fn an_event_is_read_as_it_was_written(at in any::<u64>(), subject in any_subject(), kind in any_kind()) {
        let event = Event { at: UnixMillis(at), subject, kind };
        let mut out = [0; EVENT_BYTES_MAX];
        let bytes = event.encode(&mut out).unwrap();
        prop_assert_eq!(Event::decode(bytes), Ok(event));
        for cut in 0..bytes.len() {
            prop_assert!(Event::decode(&bytes[..cut]).is_err());
            let mut short = vec![0; cut];
            prop_assert_eq!(event.encode(&mut short), Err(Error::Misuse(Misuse::NoRoom)));
        }
    }

    #[test]
    fn a_finding_is_read_as_it_was_written(finding in any_finding()) {
        let mut out = [0; FINDING_BYTES_MAX];
        let bytes = finding.encode(&mut out).unwrap();
        prop_assert_eq!(Finding::decode(bytes), Ok(finding));
        for cut in 0..bytes.len() {
            prop_assert!(Finding::decode(&bytes[..cut]).is_err());
        }
    }

    #[test]
    fn random_bytes_are_read_or_refused(bytes in vec(any::<u8>(), 0..120)) {
        let _ = Event::decode(&bytes);
        let _ = Finding::decode(&bytes);
    }
}
