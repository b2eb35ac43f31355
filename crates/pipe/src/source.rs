//! Limits on what speaks without being authenticated.
//!
//! A limit is a refusal of *unauthenticated work*: no new handshake is begun, no record without a known
//! association is looked into. It must not be asked about a record that opens under an association. Behind
//! one NAT address live many devices, and one bad sender among them, or one who forges their address, must
//! not cut the others: their associations go on, and each handshake that succeeds from the address
//! ([`SourceLimiter::vouch`]) widens its allowance.

use std::collections::hash_map::RandomState;

use bartizan_wire::event::{HandshakeFailure, RecordRejection};
use bartizan_wire::finding::Basis;
use bartizan_wire::{
    DeviceKey, Engine, Event, EventKind, Expected, Feature, Finding, Severity, Source, Subject, Technique, Unit,
    UnixMillis,
};

use crate::config::SourceConfig;
use crate::judge::Verdict;
use crate::limits::DISORDER_MS_MAX;
use crate::table::Table;

/// Misdeeds are forgotten by a factor of e in this time.
const MEMORY_MS: f32 = 3_600_000.0;
/// A source under the same suspicion is named again after this time.
const REPEAT_MS: u64 = 600_000;
/// Handshakes that succeeded widen the allowance up to this many times.
const VOUCHED_MAX: f32 = 3.0;

/// What the gateway does with an unauthenticated datagram of a source.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum SourceVerdict {
    Allow,
    Drop,
}

/// Counts the misdeeds of unauthenticated sources, names them, and limits them for a while.
///
/// Memory is bounded: under a flood of invented sources the least suspicious are forgotten first, so a
/// limit in force outlives the flood.
pub struct SourceLimiter {
    config: SourceConfig,
    // Addresses are chosen by strangers, so this hash is keyed by the process, not by us.
    sources: Table<Source, Record, RandomState>,
    budget: Budget,
    shed: u64,
}

/// What is remembered of one source.
#[derive(Clone, Copy)]
struct Record {
    at: UnixMillis,
    misdeeds: [f32; MISDEEDS],
    vouched: f32,
    named_at: [UnixMillis; MISDEEDS],
    limited_until: UnixMillis,
    limited_at: UnixMillis,
    strikes: u8,
}

const MISDEEDS: usize = 4;

/// One way of misbehaving: the feature it counts for, and how much one event weighs.
struct Misdeed {
    slot: usize,
    feature: Feature,
    weight: f32,
}

impl SourceLimiter {
    #[must_use]
    pub fn new(config: SourceConfig) -> Self {
        Self { config, sources: Table::new(config.sources_max), budget: Budget::default(), shed: 0 }
    }

    /// Takes one event; those that speak for a device are no business of the limiter.
    pub fn observe(&mut self, event: &Event, out: &mut dyn FnMut(Verdict)) {
        let Subject::Source { source, claimed } = event.subject else {
            return;
        };
        if let Some(misdeed) = Misdeed::of(&event.kind) {
            self.count(event.at, source, claimed, &misdeed, out);
        }
    }

    fn count(
        &mut self,
        now: UnixMillis,
        source: Source,
        claimed: Option<DeviceKey>,
        misdeed: &Misdeed,
        out: &mut dyn FnMut(Verdict),
    ) {
        let record = self.sources.entry(source, Record::worth, || Record::new(now));
        record.advance(now);
        record.misdeeds[misdeed.slot] += misdeed.weight;
        let allowed = allowance(&self.config, misdeed.feature) * (1.0 + record.vouched);
        let seen = record.misdeeds[misdeed.slot];
        if record.is_limited(now, &self.config) || seen <= allowed {
            return;
        }
        let limit = seen >= allowed * self.config.limit_factor;
        if !limit && !record.is_news(misdeed.slot, now) {
            return;
        }
        record.named_at[misdeed.slot] = now;
        let until = limit.then(|| record.limit(misdeed.slot, allowed, now, &self.config));
        let finding = describe(now, Subject::Source { source, claimed }, misdeed.feature, seen, allowed, limit);
        if !self.budget.take(now, self.config.findings_per_minute_max) {
            self.shed += 1;
            return;
        }
        out(Verdict::Finding(finding));
        if let Some(until) = until {
            out(Verdict::SourceLimited { source, until, because: finding });
        }
    }

    /// May this source cost us unauthenticated work at `now`?
    #[must_use]
    pub fn verdict(&self, source: Source, now: UnixMillis) -> SourceVerdict {
        match self.sources.get(source) {
            Some(record) if record.is_limited(now, &self.config) => SourceVerdict::Drop,
            _ => SourceVerdict::Allow,
        }
    }

    /// A device has proved its key from this address, so it is shared with the innocent: it gets more room,
    /// up to four times, until an hour without such proof has passed.
    pub fn vouch(&mut self, source: Source, now: UnixMillis) {
        let record = self.sources.entry(source, Record::worth, || Record::new(now));
        record.advance(now);
        record.vouched = (record.vouched + 1.0).min(VOUCHED_MAX);
    }

    /// Sources limited at `now`, with the end of their limit.
    pub fn limited(&self, now: UnixMillis) -> impl Iterator<Item = (Source, UnixMillis)> + '_ {
        self.sources
            .iter()
            .filter(move |(_, record)| record.is_limited(now, &self.config))
            .map(|(source, record)| (source, record.limited_until))
    }

    /// Sources remembered now.
    #[must_use]
    pub fn remembered(&self) -> usize {
        self.sources.len()
    }

    /// Sources forgotten to make room, so far.
    #[must_use]
    pub fn evicted(&self) -> u64 {
        self.sources.evicted()
    }

    /// Findings not reported because there were too many in one minute, so far. Limits hold all the same.
    #[must_use]
    pub fn shed(&self) -> u64 {
        self.shed
    }
}

impl Misdeed {
    fn of(kind: &EventKind) -> Option<Self> {
        match *kind {
            EventKind::HandshakeFailed { reason } => {
                Some(Self { slot: 0, feature: Feature::FailedHandshakes, weight: handshake_weight(reason)? })
            }
            EventKind::RecordRejected { reason } => Some(Self::of_record(reason)),
            _ => None,
        }
    }

    fn of_record(reason: RecordRejection) -> Self {
        let (slot, feature, weight) = match reason {
            RecordRejection::Replayed => (1, Feature::ReplayedRecords, 1.0),
            RecordRejection::Forged => (2, Feature::ForgedRecords, 1.0),
            RecordRejection::Malformed | RecordRejection::Unexpected => (3, Feature::MalformedDatagrams, 1.0),
            // Innocent devices whose association was lost do this, all at once, and it costs one look-up.
            RecordRejection::UnknownConnectionId => (3, Feature::MalformedDatagrams, 0.1),
        };
        Self { slot, feature, weight }
    }
}

/// How much a failed handshake says about its sender.
fn handshake_weight(reason: HandshakeFailure) -> Option<f32> {
    match reason {
        HandshakeFailure::WrongKey | HandshakeFailure::UnknownIdentity | HandshakeFailure::Misbehaved => Some(1.0),
        HandshakeFailure::NoCommonGround | HandshakeFailure::Refused => Some(0.5),
        // Lossy radio does this to the innocent.
        HandshakeFailure::TimedOut => Some(0.1),
        // That was us.
        HandshakeFailure::Overloaded => None,
    }
}

fn allowance(config: &SourceConfig, feature: Feature) -> f32 {
    match feature {
        Feature::FailedHandshakes => config.failed_handshakes_max,
        Feature::ReplayedRecords => config.replayed_records_max,
        Feature::ForgedRecords => config.forged_records_max,
        _ => config.malformed_datagrams_max,
    }
}

fn describe(at: UnixMillis, subject: Subject, feature: Feature, seen: f32, allowed: f32, limited: bool) -> Finding {
    Finding {
        at,
        subject,
        engine: Engine::Source,
        feature,
        observed: f64::from(seen),
        expected: Expected { low: 0.0, high: f64::from(allowed), basis: Basis::Rule },
        unit: Unit::PerHour,
        score: 1.0 - 0.5 * allowed / seen.max(allowed),
        severity: if limited { Severity::High } else { Severity::Medium },
        technique: technique(feature),
    }
}

fn technique(feature: Feature) -> Option<Technique> {
    match feature {
        Feature::FailedHandshakes => Some(Technique::BRUTE_FORCE),
        Feature::ReplayedRecords | Feature::ForgedRecords => Some(Technique::ADVERSARY_IN_THE_MIDDLE),
        _ => Some(Technique::NETWORK_DENIAL_OF_SERVICE),
    }
}

impl Record {
    fn new(now: UnixMillis) -> Self {
        Self {
            at: now,
            misdeeds: [0.0; MISDEEDS],
            vouched: 0.0,
            named_at: [UnixMillis(0); MISDEEDS],
            limited_until: UnixMillis(0),
            limited_at: UnixMillis(0),
            strikes: 0,
        }
    }

    /// What is lost when this is forgotten: above all a limit, then what was counted.
    fn worth(&self) -> u64 {
        let counted: f32 = self.misdeeds.iter().sum();
        u64::from(self.strikes) << 32 | (counted * 256.0) as u64
    }

    fn advance(&mut self, now: UnixMillis) {
        let fade = (-(now.since(self.at) as f32) / MEMORY_MS).exp();
        self.misdeeds.iter_mut().for_each(|level| *level *= fade);
        self.vouched *= fade;
        if now > self.at || self.at.since(now) > DISORDER_MS_MAX {
            self.at = now;
        }
    }

    fn is_limited(&self, now: UnixMillis, config: &SourceConfig) -> bool {
        // A limit that seems longer than the longest was set before the clock was put back.
        now < self.limited_until && self.limited_until.since(now) <= config.limit_longest_ms
    }

    fn is_news(&self, slot: usize, now: UnixMillis) -> bool {
        let named = self.named_at[slot];
        named == UnixMillis(0) || now.since(named) >= REPEAT_MS
    }

    /// Limits the source, twice as long as last time, and lets it start again from what is allowed.
    fn limit(&mut self, slot: usize, allowed: f32, now: UnixMillis, config: &SourceConfig) -> UnixMillis {
        if now.since(self.limited_at) >= config.forgive_ms {
            self.strikes = 0;
        }
        let length = config.limit_first_ms.saturating_mul(1 << self.strikes.min(20)).min(config.limit_longest_ms);
        self.strikes = self.strikes.saturating_add(1);
        self.limited_at = now;
        self.limited_until = now.plus(length);
        self.misdeeds[slot] = allowed;
        self.limited_until
    }
}

/// So many findings in one minute, whoever causes them.
#[derive(Default)]
struct Budget {
    minute: u64,
    used: u32,
}

impl Budget {
    fn take(&mut self, now: UnixMillis, max: u32) -> bool {
        let minute = now.0 / 60_000;
        if minute != self.minute {
            (self.minute, self.used) = (minute, 0);
        }
        self.used = self.used.saturating_add(1);
        self.used <= max
    }
}
