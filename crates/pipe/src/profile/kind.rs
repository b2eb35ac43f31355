//! What is known of a device type.

use bartizan_wire::finding::Basis;

use super::gauge::{Ceiling, GAUGE_COUNT, GAUGES, Gauge, SLACK};
use super::sketch::{Histogram, Log};
use crate::codec::{Reader, Writer};
use crate::config::ProfileConfig;
use crate::error::Error;
use crate::limits::NAMES_PER_TYPE_MAX;

/// Messages before a type has habits at all.
const SETTLED: u32 = 64;
/// Windows after which a ceiling lies half way between the rule and what was learnt; for types that keep a
/// rhythm fewer do.
const DOUBT_RHYTHM: f32 = 16.0;
const DOUBT_IRREGULAR: f32 = 128.0;
/// Intervals (their central 80 %) within this factor are a rhythm.
const RHYTHM_FACTOR: f32 = 2.8;
/// Even the steadiest device is allowed this much over its usual.
const STRETCH_MIN: f32 = 1.1;
/// Devices that used a name before it is the type's.
const SHARED: u16 = 3;
/// The steepest tail assumed: a Pareto tail of exponent 1 / 0.7.
const TAIL_SLOPE_MAX: f32 = 0.7;

/// The habits of a type, learnt from all its devices, from none more than its share.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct TypeProfile {
    messages: u32,
    devices: u32,
    /// Contributions in this epoch; at the limit both halve, and a new epoch begins.
    given: u32,
    epoch: u8,
    peaks: [Histogram<160>; GAUGE_COUNT],
    intervals: Histogram<256>,
    sizes: Histogram<128>,
    pub(super) kinds: Names,
    pub(super) peers: Names,
    learnt: [Learnt; GAUGE_COUNT],
    interval_band: Band,
    size_band: Band,
}

/// What follows from a histogram, and the number of samples it was worked out from: reading a band for every
/// event must not cost a walk over the bins.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
struct Learnt {
    samples: u32,
    high: f32,
    /// How far the tail reaches beyond the usual, as a factor.
    stretch: f32,
}

/// Where most samples lie.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub(super) struct Band {
    pub(super) low: f32,
    pub(super) high: f32,
    pub(super) samples: u32,
}

/// A type gives up this many contributions before the shares are counted afresh.
const EPOCH: u32 = 1 << 16;

impl TypeProfile {
    pub(crate) fn new() -> Self {
        Self {
            messages: 0,
            devices: 0,
            given: 0,
            epoch: 0,
            peaks: [const { Histogram::new() }; GAUGE_COUNT],
            intervals: Histogram::new(),
            sizes: Histogram::new(),
            kinds: Names::default(),
            peers: Names::default(),
            learnt: [Learnt::default(); GAUGE_COUNT],
            interval_band: Band::default(),
            size_band: Band::default(),
        }
    }

    pub(crate) fn worth(&self) -> u64 {
        u64::from(self.messages)
    }

    pub(super) fn is_settled(&self) -> bool {
        self.messages >= SETTLED
    }

    pub(super) fn count_message(&mut self) {
        self.messages = self.messages.saturating_add(1);
    }

    pub(super) fn count_device(&mut self) {
        self.devices = self.devices.saturating_add(1);
    }

    pub(super) fn epoch(&self) -> u8 {
        self.epoch
    }

    /// May a device that has given `given` in this epoch give more?
    pub(super) fn admits(&self, given: u16, config: &ProfileConfig) -> bool {
        // With few devices an eighth for each would leave the type untaught.
        let share = config.device_share_max.max(2.0 / self.devices.max(1) as f32);
        u32::from(given) < SETTLED || f32::from(given) < share * self.given as f32
    }

    pub(super) fn accept(&mut self) {
        self.given += 1;
        if self.given >= EPOCH {
            self.given /= 2;
            self.epoch = self.epoch.wrapping_add(1);
        }
    }

    /// Whether most intervals of all devices are about the same.
    pub(super) fn has_rhythm(&self) -> bool {
        let Band { low, high, samples } = self.interval_band;
        samples >= 32 && high < low * RHYTHM_FACTOR
    }

    pub(super) fn learn_interval(&mut self, ms: u64) {
        self.intervals.add(Log::of(ms as f32));
        self.interval_band.refresh(&self.intervals, 0.1);
    }

    /// The central 80 % of the intervals between reports, in milliseconds.
    pub(super) fn interval_band(&self) -> Band {
        self.interval_band
    }

    pub(super) fn learn_size(&mut self, bytes: u16) {
        self.sizes.add(Log::of(f32::from(bytes)));
        self.size_band.refresh(&self.sizes, 0.005);
    }

    /// All but the rarest payload sizes, in bytes.
    pub(super) fn size_band(&self) -> Band {
        self.size_band
    }

    /// The highest level of one window of one device.
    pub(super) fn learn_peak(&mut self, gauge: &Gauge, peak: Log, config: &ProfileConfig) {
        self.peaks[gauge.slot].add(peak);
        if is_stale(self.learnt[gauge.slot].samples, self.peaks[gauge.slot].samples()) {
            self.work_out(gauge, config);
        }
    }

    /// The highest innocent level of a device of this type. The shipped rule gives way as windows are seen.
    fn work_out(&mut self, gauge: &Gauge, config: &ProfileConfig) {
        let peaks = &self.peaks[gauge.slot];
        let samples = peaks.samples();
        if samples == 0 {
            return;
        }
        let seen = extrapolate(peaks, config.tail_probability) + SLACK;
        let weight = self.doubt() / (self.doubt() + samples as f32);
        self.learnt[gauge.slot] = Learnt {
            samples,
            high: seen * (self.rule(gauge, config) / seen).powf(weight),
            stretch: (seen / peaks.quantile(0.95).exp2()).max(STRETCH_MIN),
        };
    }

    fn doubt(&self) -> f32 {
        if self.has_rhythm() { DOUBT_RHYTHM } else { DOUBT_IRREGULAR }
    }

    /// What holds until a gauge is learnt. A pace that is known to be a habit on a short time scale may be
    /// kept up on the next longer one.
    fn rule(&self, gauge: &Gauge, config: &ProfileConfig) -> f32 {
        let shipped = gauge.rule(config);
        let Some(shorter) = gauge.shorter() else {
            return shipped;
        };
        let pace = self.ceiling(shorter, config).high / shorter.tau_ms as f32;
        shipped.max(pace * gauge.tau_ms as f32)
    }

    pub(super) fn ceiling(&self, gauge: &Gauge, config: &ProfileConfig) -> Ceiling {
        let Learnt { samples, high, .. } = self.learnt[gauge.slot];
        let learnt = samples as f32 >= self.doubt();
        let by_rule = |high| Ceiling { high, basis: Basis::Rule, learnt };
        if samples == 0 {
            return by_rule(self.rule(gauge, config));
        }
        // The rare gauges have rules that hold for all; there, learning only makes room.
        if !gauge.counts_messages() && high <= gauge.rule(config) {
            return by_rule(gauge.rule(config));
        }
        Ceiling { high, basis: if learnt { Basis::DeviceType } else { Basis::Rule }, learnt }
    }

    /// Whether so many windows were seen that suspicious devices have nothing more to teach.
    pub(super) fn is_firm(&self, gauge: &Gauge) -> bool {
        self.learnt[gauge.slot].samples as f32 >= 8.0 * self.doubt()
    }

    pub(super) fn stretch(&self, gauge: &Gauge) -> f32 {
        self.learnt[gauge.slot].stretch.max(STRETCH_MIN)
    }

    pub(crate) fn write(&self, to: &mut Writer) {
        to.u32(self.messages);
        to.u32(self.devices);
        to.u32(self.given);
        to.u8(self.epoch);
        self.peaks.iter().for_each(|peaks| peaks.write(to));
        self.intervals.write(to);
        self.sizes.write(to);
        self.kinds.write(to);
        self.peers.write(to);
    }

    pub(crate) fn read(from: &mut Reader<'_>, config: &ProfileConfig) -> Result<Self, Error> {
        let mut profile = Self::new();
        profile.messages = from.u32()?;
        profile.devices = from.u32()?;
        profile.given = from.u32()?.min(EPOCH - 1);
        profile.epoch = from.u8()?;
        for slot in 0..GAUGE_COUNT {
            profile.peaks[slot] = Histogram::read(from)?;
        }
        profile.intervals = Histogram::read(from)?;
        profile.sizes = Histogram::read(from)?;
        profile.kinds = Names::read(from)?;
        profile.peers = Names::read(from)?;
        profile.interval_band.refresh(&profile.intervals, 0.1);
        profile.size_band.refresh(&profile.sizes, 0.005);
        for gauge in &GAUGES {
            profile.work_out(gauge, config);
        }
        Ok(profile)
    }
}

impl Band {
    fn refresh<const BINS: usize>(&mut self, from: &Histogram<BINS>, tail: f32) {
        if is_stale(self.samples, from.samples()) {
            self.low = from.quantile(tail).exp2();
            self.high = from.quantile(1.0 - tail).exp2();
            self.samples = from.samples();
        }
    }
}

/// Is something worked out from `then` samples out of date now that there are `now`?
fn is_stale(then: u32, now: u32) -> bool {
    now < then || now >= then + (then / 16).max(1)
}

/// The level that innocent windows exceed with probability `target`, beyond what was seen: the log-log slope
/// of the upper tail goes on. A rhythm has no slope; bursts have one, and get room by it.
fn extrapolate(peaks: &Histogram<160>, target: f32) -> f32 {
    let samples = peaks.samples() as f32;
    let rare = (2.0 / samples).clamp(0.001, 0.1);
    let common = (rare * 32.0).min(0.25);
    let high = peaks.quantile(1.0 - rare);
    let reach = (rare / common).log2().abs();
    let slope = ((high - peaks.quantile(1.0 - common)) / reach).clamp(0.0, TAIL_SLOPE_MAX);
    let beyond = (rare / target.clamp(1e-9, 0.1)).log2().max(0.0);
    (high + slope * beyond).exp2()
}

/// A small set of hashed names (kinds, peers), each with the number of devices that used it.
#[derive(Clone, Debug, Default, PartialEq)]
pub(crate) struct Names {
    entries: Vec<(u32, u16)>,
}

impl Names {
    pub(super) fn knows(&self, name: u32) -> bool {
        self.entries.iter().any(|(known, devices)| *known == name && *devices >= SHARED)
    }

    /// One more device uses `name`. A full set replaces a name of a single device, if it has one.
    pub(super) fn add(&mut self, name: u32) {
        if let Some((_, devices)) = self.entries.iter_mut().find(|(known, _)| *known == name) {
            *devices = devices.saturating_add(1);
        } else if self.entries.len() < NAMES_PER_TYPE_MAX {
            self.entries.push((name, 1));
        } else if let Some(entry) = self.entries.iter_mut().find(|(_, devices)| *devices == 1) {
            *entry = (name, 1);
        }
    }

    fn write(&self, to: &mut Writer) {
        to.count(self.entries.len());
        for (name, devices) in &self.entries {
            to.u32(*name);
            to.u16(*devices);
        }
    }

    fn read(from: &mut Reader<'_>) -> Result<Self, Error> {
        let count = from.count()?;
        if count > NAMES_PER_TYPE_MAX {
            return Err(from.fault("more names than a type keeps"));
        }
        let mut entries = Vec::with_capacity(count);
        for _ in 0..count {
            entries.push((from.u32()?, from.u16()?));
        }
        Ok(Self { entries })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_bounded_and_shared_ones_stay() {
        let mut names = Names::default();
        for _ in 0..SHARED {
            names.add(7);
        }
        for name in 100..(100 + 2 * NAMES_PER_TYPE_MAX as u32) {
            names.add(name);
        }
        assert_eq!(names.entries.len(), NAMES_PER_TYPE_MAX);
        assert!(names.knows(7));
        assert!(!names.knows(100));
    }

    #[test]
    fn a_tail_is_followed_where_there_is_one() {
        let (mut steady, mut bursts) = (Histogram::new(), Histogram::new());
        for n in 1..=4096_u16 {
            steady.add(Log::of(1.0));
            bursts.add(Log::of((4096.0 / f32::from(n)).powf(0.5)));
        }
        assert!(extrapolate(&steady, 1e-5) < 1.2);
        let reach = extrapolate(&bursts, 1e-5);
        assert!((100.0..1000.0).contains(&reach), "a Pareto tail of exponent 2 reaches 316 at 1e-5, not {reach}");
    }

    #[test]
    fn no_device_teaches_more_than_its_share() {
        let mut kind = TypeProfile::new();
        let config = ProfileConfig::default();
        (0..100).for_each(|_| kind.count_device());
        (0..10_000).for_each(|_| kind.accept());
        assert!(kind.admits(1249, &config));
        assert!(!kind.admits(1250, &config));
    }
}
