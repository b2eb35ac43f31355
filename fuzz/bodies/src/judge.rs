//! The judge, on any events in any order and on any saved state.

use bartizan_pipe::{Judge, JudgeConfig, Verdict};
use bartizan_wire::event::{Direction, HandshakeFailure, Message, RecordRejection};
use bartizan_wire::limits::FINDING_BYTES_MAX;
use bartizan_wire::{DeviceKey, Event, EventKind, Finding, Source, Subject, TypeId, UnixMillis};

use crate::script::Script;

/// Events of a few devices and sources, with time that jumps both ways. Every finding can be written down (none
/// holds a number that is none), and none against a source speaks for a device.
pub fn events(bytes: &[u8]) {
    let mut script = Script::new(bytes);
    let mut judge = Judge::new(JudgeConfig::default());
    let mut now = UnixMillis(1_790_000_000_000);
    while !script.is_over() {
        now = step(&mut script, now);
        if script.byte() % 16 == 15 {
            judge.tick(now, &mut |verdict| check(&verdict));
            continue;
        }
        let event = event(&mut script, now);
        judge.observe(&event, &mut |verdict| {
            check(&verdict);
            if let Verdict::Graded { device, .. } = verdict {
                assert_eq!(event.device(), Some(device), "only its own authenticated events grade a device");
            }
        });
    }
    let saved = judge.save();
    let loaded = Judge::load(JudgeConfig::default(), &saved);
    assert!(loaded.is_ok(), "what a judge saves can be loaded: {:?}", loaded.err());
}

/// Saved state from a disk: loaded or refused, and what was loaded works.
///
/// The checksum at the end is made right first, since no fuzzer guesses one.
pub fn state(bytes: &[u8]) {
    let body = bytes.get(..bytes.len().saturating_sub(8)).unwrap_or_default();
    let Ok(mut judge) = Judge::load(JudgeConfig::default(), &seal(body)) else {
        return;
    };
    let mut script = Script::new(&bytes[bytes.len() / 2..]);
    let now = UnixMillis(1_790_000_000_000);
    for _ in 0..8 {
        judge.observe(&event(&mut script, now), &mut |verdict| check(&verdict));
    }
    judge.tick(now.plus(3_600_000), &mut |verdict| check(&verdict));
}

/// `body` and its checksum as the format has it (64-bit FNV-1a).
fn seal(body: &[u8]) -> Vec<u8> {
    let sum = body
        .iter()
        .fold(0xcbf2_9ce4_8422_2325_u64, |hash, byte| (hash ^ u64::from(*byte)).wrapping_mul(0x0000_0100_0000_01b3));
    [body, &sum.to_le_bytes()].concat()
}

fn step(script: &mut Script<'_>, now: UnixMillis) -> UnixMillis {
    match script.byte() {
        255 => UnixMillis(now.0.saturating_sub(u64::from(script.short()) * 1000)),
        254 => now.plus(u64::from(script.short()) * 100_000),
        ticks => now.plus(u64::from(ticks) * 250),
    }
}

fn event(script: &mut Script<'_>, at: UnixMillis) -> Event {
    let key = DeviceKey::new(1, u64::from(script.byte() % 4));
    let subject = if script.byte() % 4 == 3 {
        let address = [192, 0, 2, script.byte() % 4];
        Subject::Source {
            source: Source::of((address, 1).into()),
            claimed: (script.byte().is_multiple_of(2)).then_some(key),
        }
    } else {
        Subject::Device { key, device_type: TypeId(u32::from(script.byte() % 2)) }
    };
    let kind = match script.byte() % 8 {
        0 => EventKind::Established { suite: script.short(), connection_id: script.byte().is_multiple_of(2) },
        1 => EventKind::HandshakeFailed { reason: pick(HandshakeFailure::ALL, script) },
        2 => EventKind::RecordRejected { reason: pick(RecordRejection::ALL, script) },
        3 => EventKind::Rebound { network: u32::from(script.byte()) },
        4 => EventKind::EndpointMismatch { endpoint: 1 },
        _ => EventKind::Message(Message {
            direction: pick(Direction::ALL, script),
            kind: u32::from(script.byte() % 8),
            payload_bytes: script.short(),
            peer: u32::from(script.byte() % 4),
        }),
    };
    Event { at, subject, kind }
}

fn pick<T: Copy>(all: &[T], script: &mut Script<'_>) -> T {
    all[usize::from(script.byte()) % all.len()]
}

fn check(verdict: &Verdict) {
    match verdict {
        Verdict::Finding(finding) => write(finding),
        Verdict::Graded { device, because, .. } => {
            write(because);
            assert!(matches!(because.subject, Subject::Device { key, .. } if key == *device));
        }
        Verdict::SourceLimited { because, .. } => {
            write(because);
            assert!(matches!(because.subject, Subject::Source { .. }));
        }
    }
}

fn write(finding: &Finding) {
    let mut out = [0; FINDING_BYTES_MAX];
    let written = finding.encode(&mut out);
    assert!(written.is_ok(), "{finding:?}");
    assert!(finding.score.is_finite() && finding.score >= 0.0, "{finding:?}");
}

/// A steady reporter, a sudden flood, a noisy source.
#[must_use]
pub fn seeds() -> Vec<Vec<u8>> {
    let report = |ticks: u8| [ticks, 0, 1, 0, 0, 7, 0, 1, 0, 20, 1];
    let steady = report(240).repeat(40);
    let flood = [steady.clone(), report(1).repeat(120)].concat();
    let noise = [2_u8, 0, 1, 3, 1, 1, 2, 3].repeat(60);
    vec![steady, flood, noise]
}

/// A judge that has seen something.
#[must_use]
pub fn state_seeds() -> Vec<Vec<u8>> {
    let mut judge = Judge::new(JudgeConfig::default());
    let empty = judge.save();
    let seeds = seeds();
    let mut script = Script::new(&seeds[1]);
    let mut now = UnixMillis(1_790_000_000_000);
    while !script.is_over() {
        now = step(&mut script, now);
        let _ = script.byte();
        judge.observe(&event(&mut script, now), &mut |_| {});
    }
    vec![empty, judge.save()]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_checksum_is_the_formats() {
        for saved in state_seeds() {
            assert_eq!(seal(&saved[..saved.len() - 8]), saved);
        }
    }
}
