//! What is held against one device: evidence by feature, and what it amounts to.

use bartizan_wire::finding::Basis;
use bartizan_wire::{
    DeviceKey, Engine, Expected, Feature, Finding, Severity, Subject, Technique, TypeId, Unit, UnixMillis,
};

use super::{Signal, State};
use crate::codec::{Reader, Writer};
use crate::config::GradeConfig;
use crate::error::Error;
use crate::judge::Verdict;
use crate::limits::DISORDER_MS_MAX;

/// What is held against one device.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) struct Case {
    pub(super) state: State,
    /// When `state` was entered.
    pub(super) since: UnixMillis,
    /// Time of the last finding.
    pub(super) renewed: UnixMillis,
    pub(super) evidence: [Evidence; FEATURES],
    /// The finding that weighs most.
    pub(super) because: Finding,
}

/// The best score of one feature when it was last renewed, and what was last said about it.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub(super) struct Evidence {
    pub(super) score: f32,
    pub(super) at: UnixMillis,
    pub(super) reported: Option<(UnixMillis, Severity)>,
}

pub(super) const FEATURES: usize = Feature::ALL.len();

impl Case {
    pub(super) fn new(because: Finding) -> Self {
        Self {
            state: State::Normal,
            since: because.at,
            renewed: because.at,
            evidence: [Evidence::default(); FEATURES],
            because,
        }
    }

    pub(super) fn worth(&self) -> u64 {
        u64::from(self.state.grade().code()) << 48 | (self.because.score * 65_536.0) as u64
    }

    pub(super) fn renew(&mut self, finding: &Finding, config: &GradeConfig) {
        self.correct_clock(finding.at);
        let slot = &mut self.evidence[index(finding.feature)];
        slot.score = finding.score.clamp(0.0, 1.0).max(slot.faded(finding.at, config));
        slot.at = finding.at.max(slot.at);
        self.renewed = self.renewed.max(finding.at);
        let strongest = self.because.score * fade(finding.at.since(self.because.at), config);
        if finding.score >= strongest {
            self.because = *finding;
        }
    }

    pub(super) fn is_news(&self, finding: &Finding, config: &GradeConfig) -> bool {
        match self.evidence[index(finding.feature)].reported {
            None => true,
            Some((at, severity)) => finding.at.since(at) >= config.repeat_ms || finding.severity > severity,
        }
    }

    pub(super) fn note_report(&mut self, finding: &Finding) {
        self.evidence[index(finding.feature)].reported = Some((finding.at, finding.severity));
    }

    /// All evidence at `now` in one number: the best of each group, groups taken as independent.
    pub(super) fn weight(&self, now: UnixMillis, config: &GradeConfig) -> f32 {
        let mut doubt = [1.0_f32; GROUPS];
        for (feature, evidence) in Feature::ALL.iter().zip(&self.evidence) {
            let slot = &mut doubt[group(*feature)];
            *slot = slot.min(1.0 - evidence.faded(now, config));
        }
        1.0 - doubt.iter().product::<f32>()
    }

    pub(super) fn signal(&self, now: UnixMillis, config: &GradeConfig) -> Signal {
        let weight = self.weight(now, config);
        let (leave, dwell) = match self.state {
            State::Abnormal => (config.abnormal_leave, config.abnormal_dwell_ms),
            _ => (config.suspicious_leave, config.suspicious_dwell_ms),
        };
        let quiet = now.since(self.renewed.max(self.since));
        if weight >= config.abnormal_enter {
            Signal::Grave
        } else if weight >= config.suspicious_enter {
            Signal::Elevated
        } else if weight < leave && quiet >= dwell {
            Signal::Calm
        } else {
            Signal::Undecided
        }
    }

    pub(super) fn enter(&mut self, device: DeviceKey, next: State, now: UnixMillis, out: &mut dyn FnMut(Verdict)) {
        if next == self.state {
            return;
        }
        let (from, to) = (self.state.grade(), next.grade());
        self.state = next;
        self.since = now;
        if from != to {
            out(Verdict::Graded { device, from, to, because: self.because });
        }
    }

    /// A clock that was put back would otherwise stop dwell and fading until it has caught up.
    pub(super) fn correct_clock(&mut self, now: UnixMillis) {
        let limit = now.plus(DISORDER_MS_MAX);
        if self.renewed <= limit && self.since <= limit {
            return;
        }
        self.renewed = self.renewed.min(now);
        self.since = self.since.min(now);
        for evidence in &mut self.evidence {
            evidence.at = evidence.at.min(now);
            evidence.reported = None;
        }
    }
}

/// A case is saved without what was reported of it: after a restart it is told again.
impl Case {
    pub(super) fn write(&self, to: &mut Writer) {
        to.u8(self.state as u8);
        to.u64(self.since.0);
        to.u64(self.renewed.0);
        to.count(FEATURES);
        for evidence in &self.evidence {
            to.f32(evidence.score);
            to.u64(evidence.at.0);
        }
        write_finding(&self.because, to);
    }

    pub(super) fn read(device: DeviceKey, from: &mut Reader<'_>) -> Result<Self, Error> {
        let state = usize::from(from.u8()?);
        let state = *State::ALL.get(state).ok_or_else(|| from.fault("no such state"))?;
        let (since, renewed) = (from.time()?, from.time()?);
        let mut evidence = [Evidence::default(); FEATURES];
        // A file of a version with fewer features is good; the others have no evidence yet.
        let features = from.count()?;
        if features > FEATURES {
            return Err(from.fault("evidence of unknown features"));
        }
        for slot in &mut evidence[..features] {
            slot.score = from.positive()?.min(1.0);
            slot.at = from.time()?;
        }
        let because = read_finding(device, from)?;
        Ok(Self { state, since, renewed, evidence, because })
    }
}

fn write_finding(finding: &Finding, to: &mut Writer) {
    to.u64(finding.at.0);
    to.u32(match finding.subject {
        Subject::Device { device_type, .. } => device_type.0,
        Subject::Source { .. } => 0,
    });
    for code in [
        finding.engine.code(),
        finding.feature.code(),
        finding.expected.basis.code(),
        finding.unit.code(),
        finding.severity.code(),
    ] {
        to.u8(code);
    }
    for number in [finding.observed, finding.expected.low, finding.expected.high] {
        to.f64(number);
    }
    to.f32(finding.score);
    to.u16(finding.technique.map_or(0, |technique| technique.0));
}

fn read_finding(device: DeviceKey, from: &mut Reader<'_>) -> Result<Finding, Error> {
    let at = from.time()?;
    let device_type = TypeId(from.u32()?);
    let engine = read_code(from, Engine::from_code)?;
    let feature = read_code(from, Feature::from_code)?;
    let basis = read_code(from, Basis::from_code)?;
    let unit = read_code(from, Unit::from_code)?;
    let severity = read_code(from, Severity::from_code)?;
    Ok(Finding {
        at,
        subject: Subject::Device { key: device, device_type },
        engine,
        feature,
        observed: from.finite()?,
        expected: Expected { low: from.finite()?, high: from.finite()?, basis },
        unit,
        score: from.positive()?.min(1.0),
        severity,
        technique: Some(from.u16()?).filter(|number| *number != 0).map(Technique),
    })
}

fn read_code<T>(from: &mut Reader<'_>, decode: impl Fn(u8) -> Option<T>) -> Result<T, Error> {
    decode(from.u8()?).ok_or_else(|| from.fault("no such code"))
}

impl Evidence {
    fn faded(&self, now: UnixMillis, config: &GradeConfig) -> f32 {
        self.score * fade(now.since(self.at), config)
    }
}

fn fade(ms: u64, config: &GradeConfig) -> f32 {
    (-(ms as f32) / config.half_life_ms.max(1) as f32).exp2()
}

const GROUPS: usize = 5;

/// Features in one group show the same thing from several sides.
fn group(feature: Feature) -> usize {
    match feature {
        Feature::ReportInterval | Feature::MessageRate | Feature::RefusedRequests => 0,
        Feature::PayloadBytes | Feature::MessageKind => 1,
        Feature::Peer => 2,
        Feature::HandshakeRate => 3,
        _ => 4,
    }
}

fn index(feature: Feature) -> usize {
    Feature::ALL.iter().position(|other| *other == feature).unwrap_or(0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn features_of_one_group_count_once() {
        let at = UnixMillis(1_000);
        let finding = |feature, score| Finding {
            at,
            subject: Subject::Device { key: DeviceKey::new(1, 1), device_type: TypeId(1) },
            engine: Engine::Profile,
            feature,
            observed: 2.0,
            expected: Expected { low: 0.0, high: 1.0, basis: Basis::Rule },
            unit: Unit::Count,
            score,
            severity: Severity::Low,
            technique: None,
        };
        let config = GradeConfig::default();
        let mut case = Case::new(finding(Feature::MessageRate, 0.4));
        for feature in [Feature::MessageRate, Feature::ReportInterval, Feature::RefusedRequests] {
            case.renew(&finding(feature, 0.4), &config);
        }
        assert!((case.weight(at, &config) - 0.4).abs() < 1e-6);
        case.renew(&finding(Feature::Peer, 0.5), &config);
        assert!((case.weight(at, &config) - 0.7).abs() < 1e-6, "independent ones reinforce each other");
        let later = at.plus(config.half_life_ms);
        assert!((case.weight(later, &config) - 0.4).abs() < 1e-6, "and all fade: 1 - 0.8 * 0.75");
    }
}
