//! Gauges: counts of one thing that fade over one time scale.

use crate::config::ProfileConfig;
use bartizan_wire::finding::Basis;
use bartizan_wire::{Feature, Technique, Unit};

/// A count that fades by a factor of e in `tau_ms`, so that its level is about the number in that time.
pub(super) struct Gauge {
    /// Where its level stands in a device's profile.
    pub(super) slot: usize,
    pub(super) feature: Feature,
    pub(super) tau_ms: u64,
    /// Turns a level into `unit`.
    pub(super) per_unit: f32,
    pub(super) unit: Unit,
    /// The ceiling until something is learnt; for message gauges, in multiples of `messages_per_minute_max`.
    pub(super) rule: f32,
    pub(super) technique: Technique,
}

/// The highest innocent level.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) struct Ceiling {
    pub(super) high: f32,
    pub(super) basis: Basis,
    pub(super) learnt: bool,
}

pub(super) const GAUGE_COUNT: usize = 9;
pub(super) const MESSAGE_GAUGES: usize = 4;
pub(super) const HANDSHAKES: usize = 4;
pub(super) const REFUSED: usize = 5;
pub(super) const NEW_KINDS: usize = 6;
pub(super) const NEW_PEERS: usize = 7;
pub(super) const ODD_SIZES: usize = 8;

/// Level over ceiling from which a finding is made (score 0.3, below any grade).
pub(super) const REPORT_RATIO: f32 = 1.2;
/// Levels are kept below this multiple of the ceiling, so that a flood fades as fast as it is forgiven.
pub(super) const LEVEL_CAP: f32 = 8.0;
/// Added to every learnt ceiling: a duplicate, a retransmission, a report on demand.
pub(super) const SLACK: f32 = 1.5;

pub(super) static GAUGES: [Gauge; GAUGE_COUNT] = [
    message_gauge(0, 60_000, Unit::PerMinute, 1.0, 1.0),
    message_gauge(1, 600_000, Unit::PerHour, 6.0, 10.0),
    message_gauge(2, 3_600_000, Unit::PerHour, 1.0, 60.0),
    message_gauge(3, 6 * 3_600_000, Unit::PerHour, 1.0 / 6.0, 350.0),
    gauge(HANDSHAKES, Feature::HandshakeRate, 3_600_000, Unit::PerHour, 20.0),
    gauge(REFUSED, Feature::RefusedRequests, 3_600_000, Unit::PerHour, 60.0),
    gauge(NEW_KINDS, Feature::MessageKind, 3_600_000, Unit::Count, 2.5),
    gauge(NEW_PEERS, Feature::Peer, 6 * 3_600_000, Unit::Count, 16.0),
    gauge(ODD_SIZES, Feature::PayloadBytes, 3_600_000, Unit::Bytes, 2.5),
];

const fn message_gauge(slot: usize, tau_ms: u64, unit: Unit, per_unit: f32, rule: f32) -> Gauge {
    let technique = Technique::NETWORK_DENIAL_OF_SERVICE;
    Gauge { slot, feature: Feature::MessageRate, tau_ms, per_unit, unit, rule, technique }
}

const fn gauge(slot: usize, feature: Feature, tau_ms: u64, unit: Unit, rule: f32) -> Gauge {
    let technique = match feature {
        Feature::HandshakeRate | Feature::RefusedRequests => Technique::NETWORK_DENIAL_OF_SERVICE,
        Feature::Peer => Technique::ROGUE_MASTER,
        _ => Technique::SPOOF_REPORTING_MESSAGE,
    };
    Gauge { slot, feature, tau_ms, per_unit: 1.0, unit, rule, technique }
}

/// The gauges of how often a device sends, shortest first.
pub(super) fn messages() -> impl Iterator<Item = &'static Gauge> {
    GAUGES[..MESSAGE_GAUGES].iter()
}

impl Gauge {
    pub(super) fn counts_messages(&self) -> bool {
        self.slot < MESSAGE_GAUGES
    }

    /// The ceiling until something is learnt.
    pub(super) fn rule(&self, config: &ProfileConfig) -> f32 {
        let scale = if self.counts_messages() { config.messages_per_minute_max.max(1.0) } else { 1.0 };
        self.rule * scale
    }

    /// The message gauge of the next shorter time scale.
    pub(super) fn shorter(&self) -> Option<&'static Self> {
        if self.counts_messages() { GAUGES.get(self.slot.checked_sub(1)?) } else { None }
    }

    /// The window of this gauge that `at_ms` falls into; only its low bits, enough to see a change.
    pub(super) fn window(&self, at_ms: u64) -> u16 {
        (at_ms / self.tau_ms) as u16
    }
}

/// How sure it is that a level this many times its ceiling is no chance: 0 at the ceiling, 0.5 at 1.4 times,
/// 0.85 at 2.6 times.
pub(super) fn score(ratio: f32) -> f32 {
    if ratio > 1.0 { 1.0 - 1.0 / (ratio * ratio) } else { 0.0 }
}
