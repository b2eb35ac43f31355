//! Quantiles in small fixed space.

use crate::codec::{Reader, Writer};
use crate::error::Error;

/// Steps per octave of [`Log`].
const STEPS: f32 = 2048.0;

/// A positive number as its binary logarithm in 16 bits: 1 to 2^32, to within 0.02 %.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Log(pub(crate) u16);

impl Log {
    pub(super) fn of(value: f32) -> Self {
        Self::from_octaves(value.max(1.0).log2())
    }

    pub(super) fn from_octaves(octaves: f32) -> Self {
        // The cast saturates, and makes zero of what is not a number.
        Self((octaves * STEPS).round() as u16)
    }

    pub(super) fn octaves(self) -> f32 {
        f32::from(self.0) / STEPS
    }

    pub(super) fn value(self) -> f32 {
        self.octaves().exp2()
    }

    /// Follows the `p`-quantile of a stream: steps up by `p` and down by `1 - p` octaves, less as `seen` grows.
    pub(super) fn follow(&mut self, sample: Self, p: f32, seen: u16) {
        let step = (2.0 / (f32::from(seen) + 1.0)).max(0.03);
        let octaves = match sample.cmp(self) {
            std::cmp::Ordering::Greater => (self.octaves() + step * p).min(sample.octaves()),
            std::cmp::Ordering::Less => (self.octaves() - step * (1.0 - p)).max(sample.octaves()),
            std::cmp::Ordering::Equal => return,
        };
        *self = Self::from_octaves(octaves);
    }
}

/// Bins per octave of [`Histogram`].
const BINS_PER_OCTAVE: f32 = 8.0;
/// Above this many samples all counts are halved: the past fades, and a count fits 16 bits.
const SAMPLES_MAX: u32 = 1 << 15;

/// Counts of samples by logarithm, eight bins to the octave.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Histogram<const BINS: usize> {
    bins: [u16; BINS],
    total: u32,
}

impl<const BINS: usize> Histogram<BINS> {
    pub(super) const fn new() -> Self {
        Self { bins: [0; BINS], total: 0 }
    }

    pub(super) fn add(&mut self, sample: Log) {
        let bin = ((sample.octaves() * BINS_PER_OCTAVE) as usize).min(BINS - 1);
        self.bins[bin] += 1;
        self.total += 1;
        if self.total > SAMPLES_MAX {
            self.halve();
        }
    }

    fn halve(&mut self) {
        self.bins.iter_mut().for_each(|bin| *bin /= 2);
        self.total = self.bins.iter().map(|bin| u32::from(*bin)).sum();
    }

    pub(super) fn samples(&self) -> u32 {
        self.total
    }

    /// The value in octaves below which a share `p` of the samples lies, interpolated within its bin.
    pub(super) fn quantile(&self, p: f32) -> f32 {
        let mut rest = p.clamp(0.0, 1.0) * self.total as f32;
        let mut last = 0.0;
        for (bin, count) in self.bins.iter().enumerate().filter(|(_, count)| **count > 0) {
            let count = f32::from(*count);
            if rest <= count {
                return (bin as f32 + rest / count) / BINS_PER_OCTAVE;
            }
            rest -= count;
            last = (bin as f32 + 1.0) / BINS_PER_OCTAVE;
        }
        last
    }

    pub(super) fn write(&self, to: &mut Writer) {
        let filled = self.bins.iter().filter(|bin| **bin > 0).count();
        to.count(filled);
        for (bin, count) in self.bins.iter().enumerate().filter(|(_, count)| **count > 0) {
            to.u16(bin as u16);
            to.u16(*count);
        }
    }

    pub(super) fn read(from: &mut Reader<'_>) -> Result<Self, Error> {
        let mut histogram = Self::new();
        for _ in 0..from.count()? {
            let (bin, count) = (usize::from(from.u16()?), from.u16()?);
            let slot = histogram.bins.get_mut(bin).ok_or_else(|| from.fault("no such bin"))?;
            if *slot != 0 || count == 0 {
                return Err(from.fault("a bin is given twice or empty"));
            }
            *slot = count;
            histogram.total += u32::from(count);
        }
        if histogram.total > SAMPLES_MAX {
            return Err(from.fault("more samples than a histogram holds"));
        }
        Ok(histogram)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_log_keeps_its_number() {
        for value in [1.0_f32, 1.5, 20.0, 900_000.0, 3_600_000.0, 4.0e9] {
            let back = Log::of(value).value();
            assert!((back / value - 1.0).abs() < 5e-4, "{value} came back as {back}");
        }
        assert_eq!(Log::of(f32::NAN), Log(0));
        assert_eq!(Log::of(-3.0), Log(0));
        assert_eq!(Log::of(f32::INFINITY), Log(u16::MAX));
    }

    #[test]
    fn quantiles_lie_where_the_samples_do() {
        let mut histogram = Histogram::<256>::new();
        for n in 1..=1000_u16 {
            histogram.add(Log::of(f32::from(n)));
        }
        for p in [0.05_f32, 0.5, 0.95] {
            let found = histogram.quantile(p).exp2();
            assert!((found / (1000.0 * p) - 1.0).abs() < 0.1, "p {p}: {found}");
        }
        assert_eq!(Histogram::<256>::new().quantile(0.5), 0.0);
    }

    #[test]
    fn a_full_histogram_fades_and_keeps_its_shape() {
        let mut histogram = Histogram::<64>::new();
        for n in 0..(SAMPLES_MAX * 3) {
            histogram.add(if n % 4 == 0 { Log::of(8.0) } else { Log::of(2.0) });
        }
        assert!(histogram.samples() <= SAMPLES_MAX);
        assert!((histogram.quantile(0.74).exp2() - 2.0).abs() < 0.3);
        assert!(histogram.quantile(0.76).exp2() >= 8.0);
    }

    #[test]
    fn a_followed_quantile_settles() {
        let mut median = Log::of(1.0);
        for n in 0..2000_u16 {
            median.follow(Log::of(1000.0 + f32::from(n * 31 % 201)), 0.5, n);
        }
        assert!((median.value() - 1100.0).abs() < 30.0, "{}", median.value());
    }
}
