//! What is known of one device, in [`DEVICE_BYTES_MAX`] bytes.

use bartizan_wire::{Grade, TypeId, UnixMillis};

use super::gauge::{GAUGE_COUNT, GAUGES, Gauge, LEVEL_CAP, MESSAGE_GAUGES};
use super::kind::TypeProfile;
use super::sketch::Log;
use crate::codec::{Reader, Writer};
use crate::config::ProfileConfig;
use crate::error::Error;
use crate::limits::{DEVICE_BYTES_MAX, DISORDER_MS_MAX, RECENT_MAX};

/// Messages before a device has habits of its own.
const SETTLED: u16 = 8;
/// Intervals or windows after which its own band counts beside its type's.
const ESTABLISHED: u16 = 32;
/// A rhythm: central 90 % of the intervals within this many octaves; a device whose type keeps none must be
/// stricter to be believed.
const RHYTHM_OCTAVES: f32 = 1.5;
const RHYTHM_ALONE_OCTAVES: f32 = 0.75;
/// Around a band of intervals: followed quantiles waver by so much.
const MARGIN: f32 = 1.02;
/// Most messages that silence, or orders, excuse.
const OWED_MAX: f32 = 64.0;
/// What is owed lapses by a factor of e in this time.
const OWED_MS: f32 = 3_600_000.0;

/// One device's habits and its present.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) struct DeviceProfile {
    /// Time of the newest event.
    last: UnixMillis,
    /// Time of the newest report; zero before the first.
    reported: UnixMillis,
    /// Time of the first event, in minutes: a window that began earlier was not seen whole.
    known_since_min: u32,
    kinds: u64,
    peers: u64,
    levels: [f32; GAUGE_COUNT],
    /// Messages that are excused: missed ones that are caught up with, answers to commands.
    owed: f32,
    mean_interval: f32,
    pub(super) device_type: TypeId,
    windows: [u16; GAUGE_COUNT],
    peaks: [Log; GAUGE_COUNT],
    /// The usual peak (its 95 % quantile) of each message gauge.
    usual: [Log; MESSAGE_GAUGES],
    windows_seen: [u8; MESSAGE_GAUGES],
    interval_low: Log,
    interval_high: Log,
    size_low: Log,
    size_high: Log,
    intervals: u16,
    messages: u16,
    given: u16,
    epoch: u8,
    grade: u8,
    recent: [Recent; RECENT_MAX],
    next: u8,
    filled: u8,
    joined: bool,
}

/// One report: the interval before it, and its size.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
struct Recent {
    gap: Log,
    bytes: u16,
}

const _: () = assert!(size_of::<DeviceProfile>() + size_of::<bartizan_wire::DeviceKey>() <= DEVICE_BYTES_MAX);

impl DeviceProfile {
    pub(crate) fn new(at: UnixMillis, device_type: TypeId) -> Self {
        Self {
            last: at,
            reported: UnixMillis(0),
            known_since_min: (at.0 / 60_000) as u32,
            kinds: 0,
            peers: 0,
            levels: [0.0; GAUGE_COUNT],
            owed: 0.0,
            mean_interval: 0.0,
            device_type,
            windows: [0; GAUGE_COUNT],
            peaks: [Log(0); GAUGE_COUNT],
            usual: [Log(0); MESSAGE_GAUGES],
            windows_seen: [0; MESSAGE_GAUGES],
            interval_low: Log(0),
            interval_high: Log(0),
            size_low: Log(0),
            size_high: Log(0),
            intervals: 0,
            messages: 0,
            given: 0,
            epoch: 0,
            grade: Grade::Normal.code(),
            recent: [Recent::default(); RECENT_MAX],
            next: 0,
            filled: 0,
            joined: false,
        }
    }

    /// The one not heard for longest is the first to be forgotten; one that is held never is before others.
    pub(crate) fn worth(&self) -> u64 {
        if self.grade == Grade::Normal.code() { self.last.0 >> 1 } else { u64::MAX }
    }

    /// Lets all levels fade up to `at`. A small step back is disorder; a large one means the clock was set.
    pub(super) fn advance(&mut self, at: UnixMillis) {
        let passed = at.since(self.last) as f32;
        for (level, gauge) in self.levels.iter_mut().zip(&GAUGES) {
            if *level > 0.0 {
                *level *= (-passed / gauge.tau_ms as f32).exp();
            }
        }
        self.owed *= (-passed / OWED_MS).exp();
        if at > self.last || self.last.since(at) > DISORDER_MS_MAX {
            self.last = at;
        }
    }

    /// Sees to it that the type knows of the device, and that shares are counted in the type's epoch.
    pub(super) fn belong(&mut self, device_type: TypeId, kind: &mut TypeProfile) {
        if !self.joined || self.device_type != device_type {
            (self.joined, self.device_type) = (true, device_type);
            (self.given, self.epoch) = (0, kind.epoch());
            kind.count_device();
        }
        if self.epoch != kind.epoch() {
            self.given >>= kind.epoch().wrapping_sub(self.epoch).min(15);
            self.epoch = kind.epoch();
        }
    }

    pub(super) fn graded(&self) -> Grade {
        Grade::from_code(self.grade).unwrap_or(Grade::Normal)
    }

    /// A grade that falls has been paid for by its dwell: what was counted before is not counted again.
    /// While a device is not normal, its windows teach nothing.
    pub(super) fn grade(&mut self, grade: Grade) {
        if grade < self.graded() {
            self.wipe_levels();
        }
        self.grade = grade.code();
        self.peaks = [Log(0); GAUGE_COUNT];
    }

    pub(super) fn wipe_levels(&mut self) {
        self.levels = [0.0; GAUGE_COUNT];
    }

    pub(super) fn level(&self, slot: usize) -> f32 {
        self.levels[slot]
    }

    pub(super) fn raise(&mut self, slot: usize, amount: f32) {
        self.levels[slot] += amount;
    }

    pub(super) fn cap(&mut self, gauge: &Gauge, ceiling: f32) {
        self.levels[gauge.slot] = self.levels[gauge.slot].min(ceiling * LEVEL_CAP);
    }

    /// So many messages are not the device's own doing.
    pub(super) fn owe(&mut self, messages: f32) {
        self.owed = (self.owed + messages).min(OWED_MAX);
    }

    /// Notes a report; says how long after the last one it came, if there was one.
    pub(super) fn report_at(&mut self, at: UnixMillis, bytes: u16) -> Option<u64> {
        let first = self.reported == UnixMillis(0);
        let was_set = self.reported.since(at) > DISORDER_MS_MAX;
        let gap = at.since(self.reported);
        if first || was_set || at > self.reported {
            self.reported = at;
        }
        if first || was_set {
            return None;
        }
        self.recent[usize::from(self.next)] = Recent { gap: Log::of(gap as f32), bytes };
        self.next = (self.next + 1) % RECENT_MAX as u8;
        self.filled = (self.filled + 1).min(RECENT_MAX as u8);
        Some(gap)
    }

    /// Counts a report `gap` after the last, unless it is excused: what was missed in a long silence may be
    /// caught up with.
    pub(super) fn count_report(&mut self, gap: Option<u64>) -> bool {
        if let Some(gap) = gap.filter(|_| self.intervals >= 4) {
            let missed = gap as f32 / self.mean_interval.max(1.0) - 1.0;
            if missed > 1.0 {
                self.owed = self.owed.max(missed.min(OWED_MAX));
            }
        }
        if self.owed >= 1.0 && gap.is_some_and(|gap| (gap as f32) < self.mean_interval) {
            self.owed -= 1.0;
            return false;
        }
        self.levels[..MESSAGE_GAUGES].iter_mut().for_each(|level| *level += 1.0);
        true
    }

    /// Follows the windows of a gauge: the peak of one that is over teaches, clipped at the ceiling.
    pub(super) fn roll(
        &mut self,
        gauge: &Gauge,
        at: UnixMillis,
        ceiling: f32,
        teach: bool,
        kind: &mut TypeProfile,
        config: &ProfileConfig,
    ) {
        let window = gauge.window(at.0);
        let peak = self.peaks[gauge.slot];
        if window != self.windows[gauge.slot] {
            self.windows[gauge.slot] = window;
            self.peaks[gauge.slot] = Log(0);
            if teach && peak != Log(0) && self.is_filled(gauge, at) {
                self.learn_peak(gauge, peak, kind, config);
            }
        }
        if teach {
            // One step up keeps a peak of exactly one apart from none.
            let level = Log::of(self.levels[gauge.slot].min(ceiling)).max(Log(1));
            self.peaks[gauge.slot] = self.peaks[gauge.slot].max(level);
        }
    }

    /// Whether the last window's levels had a whole time scale before it to fill: what a device reaches in its
    /// first hour says nothing about how much is usual in six.
    fn is_filled(&self, gauge: &Gauge, at: UnixMillis) -> bool {
        let this_window = at.0 / gauge.tau_ms * gauge.tau_ms;
        u64::from(self.known_since_min) * 60_000 + 2 * gauge.tau_ms <= this_window
    }

    fn learn_peak(&mut self, gauge: &Gauge, peak: Log, kind: &mut TypeProfile, config: &ProfileConfig) {
        if let Some(seen) = self.windows_seen.get_mut(gauge.slot) {
            self.usual[gauge.slot].follow(peak, 0.95, u16::from(*seen));
            *seen = seen.saturating_add(1);
        }
        if kind.admits(self.given, config) {
            kind.learn_peak(gauge, peak, config);
        }
    }

    /// The device's own usual peak, once it is known.
    pub(super) fn usual(&self, gauge: &Gauge) -> Option<f32> {
        let seen = self.windows_seen.get(gauge.slot)?;
        (u16::from(*seen) >= ESTABLISHED).then(|| self.usual[gauge.slot].value())
    }

    pub(super) fn may_give(&self, kind: &TypeProfile, config: &ProfileConfig) -> bool {
        kind.admits(self.given, config)
    }

    /// Contributes once to its type, if its share allows.
    pub(super) fn give(&mut self, kind: &mut TypeProfile, config: &ProfileConfig) -> bool {
        let admitted = kind.admits(self.given, config);
        if admitted {
            self.given = self.given.saturating_add(1);
            kind.accept();
        }
        admitted
    }

    pub(super) fn learn_interval(&mut self, ms: u64) {
        // A month and a half of silence is no interval, but the clock.
        let ms = ms.min(u64::from(u32::MAX));
        let sample = Log::of(ms as f32);
        if self.intervals == 0 {
            (self.interval_low, self.interval_high) = (sample, sample);
            self.mean_interval = ms as f32;
        }
        self.interval_low.follow(sample, 0.05, self.intervals);
        self.interval_high.follow(sample, 0.95, self.intervals);
        self.intervals = self.intervals.saturating_add(1);
        let weight = 1.0 / f32::from(self.intervals.min(64));
        let clipped = (ms as f32).min(self.mean_interval.max(1.0) * 8.0);
        self.mean_interval += (clipped - self.mean_interval) * weight;
    }

    /// The device's own usual intervals in milliseconds, once they are known.
    pub(super) fn interval_band(&self) -> Option<(f32, f32)> {
        let known = self.intervals >= ESTABLISHED;
        known.then(|| (self.interval_low.value() / MARGIN, self.interval_high.value() * MARGIN))
    }

    /// Whether its intervals are so even that a change of them means something.
    pub(super) fn has_rhythm(&self, kind: &TypeProfile) -> bool {
        let spread = self.interval_high.octaves() - self.interval_low.octaves();
        let limit = if kind.has_rhythm() { RHYTHM_OCTAVES } else { RHYTHM_ALONE_OCTAVES };
        self.intervals >= ESTABLISHED && spread < limit
    }

    pub(super) fn learn_size(&mut self, bytes: u16) {
        let sample = Log::of(f32::from(bytes));
        if self.messages == 0 {
            (self.size_low, self.size_high) = (sample, sample);
        }
        self.size_low.follow(sample, 0.02, self.messages);
        self.size_high.follow(sample, 0.98, self.messages);
    }

    pub(super) fn size_band(&self) -> Option<(f32, f32)> {
        let known = self.messages >= SETTLED;
        known.then(|| (self.size_low.value(), self.size_high.value()))
    }

    pub(super) fn count_message(&mut self) {
        self.messages = self.messages.saturating_add(1);
    }

    pub(super) fn is_settled(&self) -> bool {
        self.messages >= SETTLED
    }

    pub(super) fn knows_kind(&self, kind: u32) -> bool {
        self.kinds & bits(kind) == bits(kind)
    }

    pub(super) fn remember_kind(&mut self, kind: u32) {
        self.kinds |= bits(kind);
    }

    pub(super) fn knows_peer(&self, peer: u32) -> bool {
        self.peers & bits(peer) == bits(peer)
    }

    pub(super) fn remember_peer(&mut self, peer: u32) {
        self.peers |= bits(peer);
    }

    /// Recent reports, newest first: interval in milliseconds and bytes.
    pub(super) fn recent(&self) -> impl Iterator<Item = (f32, u16)> + '_ {
        (1..=self.filled).map(|back| {
            let slot = (self.next + RECENT_MAX as u8 - back) % RECENT_MAX as u8;
            let Recent { gap, bytes } = self.recent[usize::from(slot)];
            (gap.value(), bytes)
        })
    }

    pub(super) fn reported(&self) -> UnixMillis {
        self.reported
    }

    pub(crate) fn write(&self, to: &mut Writer) {
        to.u64(self.last.0);
        to.u64(self.reported.0);
        to.u32(self.known_since_min);
        to.u64(self.kinds);
        to.u64(self.peers);
        self.levels.iter().for_each(|level| to.f32(*level));
        to.f32(self.owed);
        to.f32(self.mean_interval);
        to.u32(self.device_type.0);
        self.windows.iter().for_each(|window| to.u16(*window));
        self.peaks.iter().chain(&self.usual).for_each(|log| to.u16(log.0));
        self.windows_seen.iter().for_each(|seen| to.u8(*seen));
        for log in [self.interval_low, self.interval_high, self.size_low, self.size_high] {
            to.u16(log.0);
        }
        for number in [self.intervals, self.messages, self.given] {
            to.u16(number);
        }
        to.u8(self.epoch);
        to.u8(self.grade);
        for recent in &self.recent {
            to.u16(recent.gap.0);
            to.u16(recent.bytes);
        }
        to.u8(self.next);
        to.u8(self.filled);
        to.u8(u8::from(self.joined));
    }

    pub(crate) fn read(from: &mut Reader<'_>) -> Result<Self, Error> {
        let mut device = Self::new(UnixMillis(from.u64()?), TypeId(0));
        device.reported = UnixMillis(from.u64()?);
        device.known_since_min = from.u32()?;
        device.kinds = from.u64()?;
        device.peers = from.u64()?;
        for level in &mut device.levels {
            *level = from.positive()?;
        }
        device.owed = from.positive()?.min(OWED_MAX);
        device.mean_interval = from.positive()?;
        device.device_type = TypeId(from.u32()?);
        for window in &mut device.windows {
            *window = from.u16()?;
        }
        for log in device.peaks.iter_mut().chain(&mut device.usual) {
            log.0 = from.u16()?;
        }
        for seen in &mut device.windows_seen {
            *seen = from.u8()?;
        }
        device.read_bands(from)?;
        device.read_recent(from)?;
        Ok(device)
    }

    fn read_bands(&mut self, from: &mut Reader<'_>) -> Result<(), Error> {
        let Self { interval_low, interval_high, size_low, size_high, .. } = self;
        for log in [interval_low, interval_high, size_low, size_high] {
            log.0 = from.u16()?;
        }
        self.intervals = from.u16()?;
        self.messages = from.u16()?;
        self.given = from.u16()?;
        self.epoch = from.u8()?;
        self.grade = from.u8()?;
        Grade::from_code(self.grade).ok_or_else(|| from.fault("no such grade"))?;
        Ok(())
    }

    fn read_recent(&mut self, from: &mut Reader<'_>) -> Result<(), Error> {
        for recent in &mut self.recent {
            recent.gap.0 = from.u16()?;
            recent.bytes = from.u16()?;
        }
        self.next = from.u8()?;
        self.filled = from.u8()?;
        if usize::from(self.next) >= RECENT_MAX || usize::from(self.filled) > RECENT_MAX {
            return Err(from.fault("a ring that points outside itself"));
        }
        self.joined = from.u8()? != 0;
        Ok(())
    }
}

/// Two of 64 bits for a hashed name: a device that uses ten names mistakes a new one for a known one once in
/// a dozen times, and never the reverse.
fn bits(name: u32) -> u64 {
    let mixed = u64::from(name).wrapping_mul(0x9e37_79b9_7f4a_7c15);
    1 << (mixed >> 58) | 1 << (mixed >> 52 & 63)
}
