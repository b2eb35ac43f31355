//! From levels to findings and views: what was expected, on what grounds, and what was seen.

use bartizan_wire::finding::Basis;
use bartizan_wire::{Engine, Expected, Feature, Finding, Severity, Subject, Technique, Unit, UnixMillis};

use super::device::DeviceProfile;
use super::gauge::{self, Ceiling, GAUGES, Gauge, HANDSHAKES, SLACK};
use super::kind::TypeProfile;
use crate::config::ProfileConfig;
use crate::view::{FeatureView, Observation, ProfileView};

/// A size this many times outside the band is odd.
const ODD_FACTOR: f32 = 4.0;
/// Small messages differ by more than a factor without meaning anything.
const ODD_BYTES: f32 = 64.0;
/// One message weighs at most as much as this many.
const ODDNESS_MAX: f32 = 3.0;
/// Gaps between messages that make a pace.
const PACE: usize = 4;
/// A device's own ceiling reaches at most this many times as far as its type's: nobody is walked up for ever.
const OWN_REACH: f32 = 2.0;

/// The highest innocent level of this gauge for this device: the type's, and where the device keeps a rhythm,
/// its own.
pub(super) fn ceiling(gauge: &Gauge, device: &DeviceProfile, kind: &TypeProfile, config: &ProfileConfig) -> Ceiling {
    let shared = kind.ceiling(gauge, config);
    let Some(usual) = device.usual(gauge) else {
        return shared;
    };
    let reach = shared.high * OWN_REACH;
    if device.has_rhythm(kind) {
        let high = (usual * 1.1 + SLACK).min(reach);
        return Ceiling { high, basis: Basis::Device, learnt: true };
    }
    let own = (usual * kind.stretch(gauge) + SLACK).min(reach);
    if own > shared.high {
        return Ceiling { high: own, basis: Basis::Device, learnt: true };
    }
    shared
}

/// The device reports too often: as an interval where it or its type keeps a rhythm, else as a rate.
pub(super) fn too_often(
    at: UnixMillis,
    subject: Subject,
    gauge: &Gauge,
    ratio: f32,
    ceiling: Ceiling,
    device: &DeviceProfile,
    kind: &TypeProfile,
) -> Finding {
    let by_rate = too_many(at, subject, gauge, ratio, ceiling, device, kind);
    let seen = f64::from(recent_interval(device));
    match expected_interval(device, kind).filter(|band| gauge.slot > 0 && seen < band.low) {
        Some(expected) => Finding {
            feature: Feature::ReportInterval,
            observed: seen,
            expected,
            unit: Unit::Milliseconds,
            technique: Some(Technique::SPOOF_REPORTING_MESSAGE),
            ..by_rate
        },
        None => Finding { observed: by_rate.observed.max(recent_rate(gauge, device)), ..by_rate },
    }
}

/// More than the gauge's ceiling.
pub(super) fn too_many(
    at: UnixMillis,
    subject: Subject,
    gauge: &Gauge,
    ratio: f32,
    ceiling: Ceiling,
    device: &DeviceProfile,
    kind: &TypeProfile,
) -> Finding {
    let score = gauge::score(ratio);
    let sizes = (gauge.feature == Feature::PayloadBytes).then(|| size_band(device, kind)).flatten();
    let expected = match sizes {
        Some(band) => band.expected(),
        None => Expected { low: 0.0, high: f64::from(ceiling.high * gauge.per_unit), basis: ceiling.basis },
    };
    Finding {
        at,
        subject,
        engine: Engine::Profile,
        feature: gauge.feature,
        observed: f64::from(ratio * ceiling.high * gauge.per_unit),
        expected,
        unit: gauge.unit,
        score,
        severity: severity(score),
        technique: Some(gauge.technique),
    }
}

/// How bad it is, if it is true.
pub(crate) fn severity(score: f32) -> Severity {
    match score {
        score if score >= 0.95 => Severity::Critical,
        score if score >= 0.85 => Severity::High,
        score if score >= 0.5 => Severity::Medium,
        _ => Severity::Low,
    }
}

/// The band of intervals, if there is a rhythm to be out of.
fn expected_interval(device: &DeviceProfile, kind: &TypeProfile) -> Option<Expected> {
    let band = |low: f32, high: f32, basis| Expected { low: f64::from(low), high: f64::from(high), basis };
    match device.interval_band() {
        Some((low, high)) if device.has_rhythm(kind) => Some(band(low, high, Basis::Device)),
        Some(_) => None,
        None if kind.has_rhythm() => {
            let of_type = kind.interval_band();
            Some(band(of_type.low, of_type.high, Basis::DeviceType))
        }
        None => None,
    }
}

/// The median of the last five intervals in milliseconds.
fn recent_interval(device: &DeviceProfile) -> f32 {
    let mut gaps = [f32::MAX; 5];
    let mut count = 0;
    for ((gap, _), slot) in device.recent().zip(&mut gaps) {
        *slot = gap;
        count += 1;
    }
    gaps[..count].sort_by(f32::total_cmp);
    gaps[..count].get(count / 2).copied().unwrap_or(f32::MAX)
}

/// A flood that is younger than the gauge's time scale is faster than its level tells: the pace of the last
/// few messages.
fn recent_rate(gauge: &Gauge, device: &DeviceProfile) -> f64 {
    let pace = device.recent().take(PACE).fold((0_u32, 0.0_f32), |(count, span), (gap, _)| (count + 1, span + gap));
    let (count, span) = pace;
    if (count as usize) < PACE || span > gauge.tau_ms as f32 {
        return 0.0;
    }
    f64::from(count) * gauge.tau_ms as f64 / f64::from(span.max(1.0)) * f64::from(gauge.per_unit)
}

/// Payload sizes that are nothing unusual.
#[derive(Clone, Copy)]
pub(super) struct SizeBand {
    low: f32,
    high: f32,
    basis: Basis,
}

/// The sizes of the type, widened by the device's own; `None` until enough was seen.
pub(super) fn size_band(device: &DeviceProfile, kind: &TypeProfile) -> Option<SizeBand> {
    let of_type = kind.size_band();
    let (low, high) = device.size_band()?;
    if of_type.samples < 64 {
        return None;
    }
    let basis = if high > of_type.high { Basis::Device } else { Basis::DeviceType };
    Some(SizeBand { low: low.min(of_type.low), high: high.max(of_type.high), basis })
}

impl SizeBand {
    /// How many odd messages this one counts for: 0 inside the band and its margin.
    pub(super) fn oddness(self, bytes: u16) -> f32 {
        let bytes = f32::from(bytes);
        let above = bytes / (self.high * ODD_FACTOR + ODD_BYTES);
        let below = (self.low / ODD_FACTOR - ODD_BYTES) / bytes.max(1.0);
        let factor = above.max(below);
        if factor <= 1.0 { 0.0 } else { (1.0 + factor.log2()).min(ODDNESS_MAX) }
    }

    pub(super) fn clip(self, bytes: u16) -> u16 {
        let highest = self.high * 2.0 + ODD_BYTES;
        f32::from(bytes).clamp((self.low / 2.0).min(highest), highest) as u16
    }

    fn expected(self) -> Expected {
        Expected { low: f64::from(self.low), high: f64::from(self.high), basis: self.basis }
    }
}

/// What the console shows.
pub(super) fn view(device: &DeviceProfile, kind: &TypeProfile, config: &ProfileConfig) -> ProfileView {
    ProfileView {
        features: vec![
            interval_view(device, kind),
            rate_view(device, kind, config),
            size_view(device, kind),
            handshake_view(device, kind, config),
        ],
    }
}

fn interval_view(device: &DeviceProfile, kind: &TypeProfile) -> FeatureView {
    let of_type = kind.interval_band();
    let (low, high, basis, learnt) = match device.interval_band() {
        Some((low, high)) => (low, high, Basis::Device, true),
        None if of_type.samples >= 32 => (of_type.low, of_type.high, Basis::DeviceType, true),
        None => (0.0, u32::MAX as f32, Basis::Rule, false),
    };
    FeatureView {
        feature: Feature::ReportInterval,
        unit: Unit::Milliseconds,
        expected: Expected { low: f64::from(low), high: f64::from(high), basis },
        learnt,
        recent: observations(device, |gap, _| gap),
    }
}

/// Messages in an hour, told from the ring by the pace of each report.
fn rate_view(device: &DeviceProfile, kind: &TypeProfile, config: &ProfileConfig) -> FeatureView {
    let gauge = &GAUGES[2];
    let Ceiling { high, basis, learnt } = ceiling(gauge, device, kind, config);
    FeatureView {
        feature: Feature::MessageRate,
        unit: Unit::PerHour,
        expected: Expected { low: 0.0, high: f64::from(high), basis },
        learnt,
        recent: observations(device, |gap, _| 3_600_000.0 / gap.max(1.0)),
    }
}

fn size_view(device: &DeviceProfile, kind: &TypeProfile) -> FeatureView {
    let band = size_band(device, kind);
    let rule = Expected { low: 0.0, high: f64::from(u16::MAX), basis: Basis::Rule };
    FeatureView {
        feature: Feature::PayloadBytes,
        unit: Unit::Bytes,
        expected: band.map_or(rule, SizeBand::expected),
        learnt: band.is_some(),
        recent: observations(device, |_, bytes| f32::from(bytes)),
    }
}

fn handshake_view(device: &DeviceProfile, kind: &TypeProfile, config: &ProfileConfig) -> FeatureView {
    let gauge = &GAUGES[HANDSHAKES];
    let Ceiling { high, basis, learnt } = ceiling(gauge, device, kind, config);
    let level = f64::from(device.level(HANDSHAKES));
    FeatureView {
        feature: Feature::HandshakeRate,
        unit: Unit::PerHour,
        expected: Expected { low: 0.0, high: f64::from(high), basis },
        learnt,
        recent: vec![Observation { at: device.reported(), value: level }],
    }
}

/// The ring as a series, oldest first: each report's time follows from the newest one's and the intervals.
fn observations(device: &DeviceProfile, value: impl Fn(f32, u16) -> f32) -> Vec<Observation> {
    let mut at = device.reported().0;
    let mut series: Vec<Observation> = device
        .recent()
        .map(|(gap, bytes)| {
            let observation = Observation { at: UnixMillis(at), value: f64::from(value(gap, bytes)) };
            at = at.saturating_sub(gap as u64);
            observation
        })
        .collect();
    series.reverse();
    series
}
