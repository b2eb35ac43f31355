//! What must hold for any events in any order at any time.

use bartizan_pipe::{Judge, JudgeConfig, ProfileConfig, SourceConfig, SourceVerdict, Verdict};
use bartizan_wire::event::{CommandState, Direction, HandshakeFailure, Message, RecordRejection};
use bartizan_wire::{Access, CommandId, DeviceKey, Event, EventKind, Grade, Source, Subject, TypeId, UnixMillis};
use proptest::prelude::*;

fn any_time() -> impl Strategy<Value = UnixMillis> {
    prop_oneof![
        4 => (0..10_000_000_u64).prop_map(|ms| UnixMillis(1_767_225_600_000 + ms)),
        1 => any::<u64>().prop_map(UnixMillis),
        1 => Just(UnixMillis(0)),
        1 => Just(UnixMillis(u64::MAX)),
    ]
}

fn any_device() -> impl Strategy<Value = Subject> {
    (0..3_u32, 0..6_u64, 0..3_u32).prop_map(|(tenant, device, device_type)| Subject::Device {
        key: DeviceKey::new(tenant, device),
        device_type: TypeId(device_type),
    })
}

fn any_source() -> impl Strategy<Value = Subject> {
    (any::<u8>(), proptest::option::of(0..6_u64)).prop_map(|(host, claimed)| Subject::Source {
        source: source(u32::from(host)),
        claimed: claimed.map(|device| DeviceKey::new(0, device)),
    })
}

fn source(host: u32) -> Source {
    Source::of((std::net::Ipv4Addr::from(0x0a00_0000 + host), 4000).into())
}

fn any_kind() -> impl Strategy<Value = EventKind> {
    let message =
        (any::<bool>(), any::<u32>(), any::<u16>(), any::<u32>()).prop_map(|(up, kind, payload_bytes, peer)| {
            EventKind::Message(Message {
                direction: if up { Direction::Up } else { Direction::Down },
                kind,
                payload_bytes,
                peer,
            })
        });
    prop_oneof![
        6 => message,
        1 => Just(EventKind::Established { suite: 0xc0a8, connection_id: true }),
        1 => (0..7_u8).prop_filter_map("code", HandshakeFailure::from_code).prop_map(|reason| EventKind::HandshakeFailed { reason }),
        1 => (0..5_u8).prop_filter_map("code", RecordRejection::from_code).prop_map(|reason| EventKind::RecordRejected { reason }),
        1 => any::<u32>().prop_map(|network| EventKind::Rebound { network }),
        1 => Just(EventKind::Refused { access: Access::Quarantined }),
        1 => Just(EventKind::UpstreamFailed),
        1 => any::<u64>().prop_map(|id| EventKind::Command { id: CommandId(id), state: CommandState::Sent }),
        1 => any::<u32>().prop_map(|endpoint| EventKind::EndpointMismatch { endpoint }),
        1 => any::<bool>().prop_map(|by_peer| EventKind::Closed { by_peer }),
    ]
}

fn events(subject: impl Strategy<Value = Subject>) -> impl Strategy<Value = Vec<Event>> {
    let event = (any_time(), subject, any_kind()).prop_map(|(at, subject, kind)| Event { at, subject, kind });
    proptest::collection::vec(event, 0..400)
}

fn run(judge: &mut Judge, events: &[Event]) -> Vec<Verdict> {
    let mut verdicts = Vec::new();
    for (number, event) in events.iter().enumerate() {
        judge.observe(event, &mut |verdict| verdicts.push(verdict));
        if number % 5 == 0 {
            judge.tick(event.at, &mut |verdict| verdicts.push(verdict));
        }
    }
    verdicts
}

/// Small bounds, so that every one of them is reached.
fn tight() -> JudgeConfig {
    JudgeConfig {
        profile: ProfileConfig { devices_max: 4, types_max: 2, ..ProfileConfig::default() },
        source: SourceConfig { sources_max: 8, ..SourceConfig::default() },
        ..JudgeConfig::default()
    }
}

proptest! {
    #[test]
    fn unauthenticated_events_never_change_a_grade(
        good in events(any_device()),
        bad in events(any_source()),
    ) {
        let mut judge = Judge::new(tight());
        run(&mut judge, &good);
        let keys = || (0..3).flat_map(|tenant| (0..6).map(move |device| DeviceKey::new(tenant, device)));
        let before: Vec<_> = keys().map(|key| (judge.grade(key), judge.profile(key))).collect();
        for event in &bad {
            judge.observe(event, &mut |verdict| {
                assert!(!matches!(verdict, Verdict::Graded { .. }), "{verdict:?}");
            });
        }
        let after: Vec<_> = keys().map(|key| (judge.grade(key), judge.profile(key))).collect();
        prop_assert_eq!(before, after);
    }

    #[test]
    fn verdicts_are_sound_whatever_happens(events in events(prop_oneof![any_device(), any_source()])) {
        let mut judge = Judge::new(tight());
        let mut grades = std::collections::BTreeMap::new();
        for verdict in run(&mut judge, &events) {
            let finding = match verdict {
                Verdict::Finding(finding) => finding,
                Verdict::Graded { device, from, to, because } => {
                    prop_assert_eq!(grades.insert(device, to).unwrap_or(Grade::Normal), from);
                    prop_assert_ne!(from, to);
                    because
                }
                Verdict::SourceLimited { until, because, .. } => {
                    prop_assert!(until >= because.at);
                    because
                }
            };
            prop_assert!((0.0..=1.0).contains(&finding.score));
            prop_assert!(finding.observed.is_finite() && finding.expected.low <= finding.expected.high, "{:?}", finding);
            let outside = finding.observed < finding.expected.low || finding.observed > finding.expected.high;
            prop_assert!(outside, "a finding lies outside its own band: {:?}", finding);
        }
        for (device, grade) in grades {
            prop_assert_eq!(judge.grade(device), grade);
        }
    }

    #[test]
    fn saved_state_comes_back_the_same(events in events(any_device())) {
        let mut judge = Judge::new(JudgeConfig::default());
        run(&mut judge, &events);
        let bytes = judge.save();
        let back = Judge::load(JudgeConfig::default(), &bytes).unwrap();
        prop_assert_eq!(back.save(), bytes);
        for key in (0..3).flat_map(|tenant| (0..6).map(move |device| DeviceKey::new(tenant, device))) {
            prop_assert_eq!(judge.grade(key), back.grade(key));
            prop_assert_eq!(judge.profile(key).is_some(), back.profile(key).is_some());
        }
    }

    #[test]
    fn sources_are_limited_for_a_while_only(events in events(any_source())) {
        let config = tight();
        let mut judge = Judge::new(config);
        run(&mut judge, &events);
        prop_assert!(judge.sources().remembered() <= config.source.sources_max);
        let latest = events.iter().map(|event| event.at).max().unwrap_or_default();
        let later = latest.plus(config.source.limit_longest_ms);
        for host in 0..256 {
            prop_assert_eq!(judge.source_verdict(source(host), later), SourceVerdict::Allow);
        }
    }
}
