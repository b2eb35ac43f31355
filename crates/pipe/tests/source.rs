//! Unauthenticated sources: named, limited, forgiven; bounded under any flood; and never at a device's cost.

use std::net::{Ipv4Addr, Ipv6Addr};

use bartizan_pipe::{Judge, JudgeConfig, SourceConfig, SourceLimiter, SourceVerdict, Verdict};
use bartizan_wire::event::{HandshakeFailure, RecordRejection};
use bartizan_wire::{DeviceKey, Event, EventKind, Feature, Grade, Source, Subject, UnixMillis};

const START: u64 = 1_767_225_600_000;

fn source(host: u32) -> Source {
    Source::of((Ipv4Addr::from(host), 5684).into())
}

fn event(at: u64, host: u32, kind: EventKind) -> Event {
    let subject = Subject::Source { source: source(host), claimed: Some(DeviceKey::new(1, 7)) };
    Event { at: UnixMillis(START + at), subject, kind }
}

const REPLAY: EventKind = EventKind::RecordRejected { reason: RecordRejection::Replayed };
const WRONG_KEY: EventKind = EventKind::HandshakeFailed { reason: HandshakeFailure::WrongKey };

fn limiter() -> SourceLimiter {
    SourceLimiter::new(SourceConfig::default())
}

#[test]
fn a_replaying_source_is_named_then_limited_and_the_device_loses_nothing() {
    let mut judge = Judge::new(JudgeConfig::default());
    let mut verdicts = Vec::new();
    for n in 0..9 {
        judge.observe(&event(n * 1000, 1, REPLAY), &mut |verdict| verdicts.push(verdict));
    }
    let [Verdict::Finding(named), Verdict::Finding(_), Verdict::SourceLimited { source: limited, until, because }] =
        verdicts[..]
    else {
        panic!("{verdicts:?}");
    };
    assert_eq!(named.feature, Feature::ReplayedRecords);
    assert!(matches!(named.subject, Subject::Source { claimed: Some(_), .. }));
    assert_eq!(limited, source(1));
    assert!(because.observed >= 8.0 && until == UnixMillis(START + 8_000 + 60_000));
    assert_eq!(judge.source_verdict(source(1), UnixMillis(START + 9_000)), SourceVerdict::Drop);
    assert_eq!(judge.source_verdict(source(2), UnixMillis(START + 9_000)), SourceVerdict::Allow);
    assert_eq!(judge.grade(DeviceKey::new(1, 7)), Grade::Normal);
    assert_eq!(judge.profile(DeviceKey::new(1, 7)), None);
}

#[test]
fn limits_double_and_expire() {
    let mut limiter = limiter();
    let mut lengths = Vec::new();
    let mut at = 0;
    while lengths.len() < 9 {
        at += 1_000;
        limiter.observe(&event(at, 1, WRONG_KEY), &mut |verdict| {
            if let Verdict::SourceLimited { until, .. } = verdict {
                lengths.push((until.0 - START - at) / 60_000);
            }
        });
    }
    assert_eq!(lengths, [1, 2, 4, 8, 16, 32, 60, 60, 60]);
    let later = UnixMillis(START + at + 3_600_000);
    assert_eq!(limiter.verdict(source(1), later), SourceVerdict::Allow);
    assert_eq!(limiter.limited(later).count(), 0);
}

#[test]
fn a_source_that_behaved_for_a_day_starts_again() {
    let mut limiter = limiter();
    let mut lengths = Vec::new();
    for day in [0, 2] {
        for n in 0..8 {
            let at = day * 86_400_000 + n * 1_000;
            limiter.observe(&event(at, 1, WRONG_KEY), &mut |verdict| {
                if let Verdict::SourceLimited { until, .. } = verdict {
                    lengths.push(until.0 - START - at);
                }
            });
        }
    }
    assert_eq!(lengths, [60_000, 60_000]);
}

#[test]
fn a_few_mistakes_are_nothing() {
    let mut limiter = limiter();
    let mut verdicts = 0;
    for hour in 0..48 {
        limiter.observe(&event(hour * 3_600_000, 1, WRONG_KEY), &mut |_| verdicts += 1);
        limiter.observe(&event(hour * 3_600_000, 1, REPLAY), &mut |_| verdicts += 1);
    }
    let lossy = EventKind::HandshakeFailed { reason: HandshakeFailure::TimedOut };
    let ours = EventKind::HandshakeFailed { reason: HandshakeFailure::Overloaded };
    let stranded = EventKind::RecordRejected { reason: RecordRejection::UnknownConnectionId };
    for n in 0..20 {
        limiter.observe(&event(n, 2, lossy), &mut |_| verdicts += 1);
        limiter.observe(&event(n, 2, stranded), &mut |_| verdicts += 1);
    }
    (0..10_000).for_each(|n| limiter.observe(&event(n, 3, ours), &mut |_| verdicts += 1));
    assert_eq!(verdicts, 0);
}

#[test]
fn an_address_that_devices_share_gets_more_room() {
    let until_limited = |vouched: u64| {
        let mut limiter = limiter();
        (0..vouched).for_each(|n| limiter.vouch(source(1), UnixMillis(START + n)));
        (0..1_000)
            .find(|n| {
                limiter.observe(&event(1_000 + n, 1, WRONG_KEY), &mut |_| {});
                limiter.verdict(source(1), UnixMillis(START + 1_000 + n)) == SourceVerdict::Drop
            })
            .unwrap()
    };
    let (alone, shared, crowded) = (until_limited(0), until_limited(2), until_limited(10_000));
    assert!(alone < shared && shared < crowded && crowded < 4 * alone + 5, "{alone} {shared} {crowded}");
}

#[test]
fn a_flood_of_invented_sources_is_bounded_and_frees_nobody() {
    let mut limiter = limiter();
    for n in 0..8 {
        limiter.observe(&event(n, 1, WRONG_KEY), &mut |_| {});
    }
    let now = UnixMillis(START + 1_000);
    assert_eq!(limiter.verdict(source(1), now), SourceVerdict::Drop);
    for n in 0..200_000_u32 {
        limiter.observe(&event(1_000 + u64::from(n / 200), 0x1000_0000 + n, WRONG_KEY), &mut |_| {});
    }
    let max = SourceConfig::default().sources_max;
    assert_eq!(limiter.remembered(), max);
    assert_eq!(limiter.evicted(), 200_001 - max as u64);
    assert_eq!(limiter.verdict(source(1), UnixMillis(START + 2_000)), SourceVerdict::Drop);
}

#[test]
fn findings_about_sources_are_bounded_and_what_is_shed_is_counted() {
    let config = SourceConfig::default();
    let mut limiter = limiter();
    let mut said = 0;
    for n in 0..1_000_u32 {
        for _ in 0..4 {
            limiter.observe(&event(1_000, n, WRONG_KEY), &mut |_| said += 1);
        }
    }
    assert_eq!(said, config.findings_per_minute_max);
    assert_eq!(limiter.shed(), u64::from(1_000 - config.findings_per_minute_max));
    limiter.observe(&event(1_000, 999, WRONG_KEY), &mut |_| {});
    (0..4).for_each(|_| limiter.observe(&event(1_000, 999, WRONG_KEY), &mut |_| {}));
    let drop = limiter.verdict(source(999), UnixMillis(START + 1_001));
    assert_eq!(drop, SourceVerdict::Drop, "a limit holds, said or not");
}

#[test]
fn one_host_is_one_source_whatever_its_port_or_interface_bits() {
    let of = |low: u64, port: u16| {
        let prefix = 0x2001_0db8_0000_0001_u128 << 64;
        Source::of((Ipv6Addr::from(prefix | u128::from(low)), port).into())
    };
    let mut limiter = limiter();
    for n in 0..8_u16 {
        let subject = Subject::Source { source: of(u64::from(n) * 77, n), claimed: None };
        let event = Event { at: UnixMillis(START), subject, kind: WRONG_KEY };
        limiter.observe(&event, &mut |_| {});
    }
    assert_eq!(limiter.verdict(of(123_456, 1), UnixMillis(START + 1)), SourceVerdict::Drop);
}

#[test]
fn a_clock_put_back_limits_nobody_for_years() {
    let mut limiter = limiter();
    (0..8).for_each(|n| limiter.observe(&event(n, 1, WRONG_KEY), &mut |_| {}));
    let years_ago = UnixMillis(START - 3 * 365 * 86_400_000);
    assert_eq!(limiter.verdict(source(1), years_ago), SourceVerdict::Allow);
}
