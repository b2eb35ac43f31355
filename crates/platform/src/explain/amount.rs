//! Numbers with units as people say them.

use bartizan_wire::{Expected, Unit};

const SECOND: f64 = 1_000.0;
const MINUTE: f64 = 60.0 * SECOND;
const HOUR: f64 = 60.0 * MINUTE;
const DAY: f64 = 24.0 * HOUR;

/// A duration in the largest unit of which there are at least two: "72 s", "65 min", "5 h", "3 days".
#[must_use]
pub fn duration(ms: f64) -> String {
    let (size, unit) = scale(ms);
    format!("{} {unit}", number(ms / size))
}

/// How long something has lasted, as coarsely as people ask: "less than a second", "4 min".
#[must_use]
pub fn elapsed(ms: u64) -> String {
    if ms < SECOND as u64 {
        return "less than a second".into();
    }
    let (size, unit) = scale((ms as f64).max(2.0 * SECOND));
    format!("{:.0} {unit}", (ms as f64 / size).floor())
}

/// An observed value: "72 s", "900 bytes", "at 50 an hour".
#[must_use]
pub fn quantity(value: f64, unit: Unit) -> String {
    match unit {
        Unit::Milliseconds => duration(value),
        Unit::Bytes => format!("{} bytes", number(value)),
        Unit::PerHour => format!("at a rate of {} an hour", number(value)),
        Unit::PerMinute => format!("at a rate of {} a minute", number(value)),
        Unit::Count => number(value),
    }
}

/// An expected band: "55 to 65 min", "at most 2 an hour". Both ends are in the same unit.
#[must_use]
pub fn band(expected: &Expected, unit: Unit) -> String {
    let (size, word) = match unit {
        Unit::Milliseconds => scale(if expected.high.is_finite() { expected.high } else { expected.low }),
        Unit::Bytes => (1.0, "bytes"),
        Unit::PerHour => (1.0, "an hour"),
        Unit::PerMinute => (1.0, "a minute"),
        Unit::Count => (1.0, ""),
    };
    let (low, high) = (number(expected.low / size), number(expected.high / size));
    let text = if !expected.high.is_finite() {
        format!("{low} {word} or more")
    } else if low == high {
        format!("{high} {word}")
    } else if expected.low <= 0.0 && unit != Unit::Milliseconds {
        format!("up to {high} {word}")
    } else {
        format!("{low} to {high} {word}")
    };
    text.trim_end().to_owned()
}

fn scale(ms: f64) -> (f64, &'static str) {
    [(DAY, "days"), (HOUR, "h"), (MINUTE, "min"), (SECOND, "s")]
        .into_iter()
        .find(|(size, _)| ms >= 2.0 * size)
        .unwrap_or((1.0, "ms"))
}

/// One digit after the point below ten, none above: nobody reads more. No trailing zero.
fn number(value: f64) -> String {
    match value.abs() {
        size if !size.is_finite() => "very many".into(),
        size if size >= 9.95 => format!("{value:.0}"),
        _ => format!("{value:.1}").trim_end_matches(".0").to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use bartizan_wire::finding::Basis;

    #[test]
    fn what_has_lasted_is_said_coarsely() {
        for (ms, said) in [
            (0, "less than a second"),
            (999, "less than a second"),
            (1_000, "1 s"),
            (119_999, "119 s"),
            (261_000, "4 min"),
            (3 * 86_400_000, "3 days"),
        ] {
            assert_eq!(elapsed(ms), said);
        }
    }

    #[test]
    fn durations_are_said_in_human_units() {
        for (ms, text) in [
            (0.0, "0 ms"),
            (1500.0, "1500 ms"),
            (72_000.0, "72 s"),
            (3_600_000.0, "60 min"),
            (7_200_000.0, "2 h"),
            (259_200_000.0, "3 days"),
        ] {
            assert_eq!(duration(ms), text);
        }
    }

    #[test]
    fn bands_share_one_unit() {
        let expected = |low, high| Expected { low, high, basis: Basis::Device };
        assert_eq!(band(&expected(3_300_000.0, 3_900_000.0), Unit::Milliseconds), "55 to 65 min");
        assert_eq!(band(&expected(0.0, 2.0), Unit::PerHour), "up to 2 an hour");
        assert_eq!(band(&expected(20.0, 20.0), Unit::Bytes), "20 bytes");
        assert_eq!(band(&expected(60_000.0, f64::INFINITY), Unit::Milliseconds), "60 s or more");
        assert_eq!(band(&expected(1.0, 3.0), Unit::Count), "1 to 3");
    }

    #[test]
    fn no_number_is_printed_with_noise() {
        for (value, text) in [
            (0.1 + 0.2, "0.3"),
            (12.345, "12"),
            (4.89, "4.9"),
            (9.96, "10"),
            (1234.5, "1234"),
            (f64::NAN, "very many"),
            (10.0, "10"),
            (100.0, "100"),
        ] {
            assert_eq!(number(value), text);
        }
    }
}
