//! Times as people say them.

use jiff::Timestamp;

/// Reads `90s`, `10m`, `12h` or `7d`.
///
/// # Errors
/// What it should look like.
pub fn parse_duration_s(text: &str) -> Result<u64, String> {
    let wrong = || format!("\"{text}\" is no length of time such as 90s, 10m, 12h or 7d");
    let last = text.char_indices().next_back().ok_or_else(wrong)?;
    let factor = match last.1 {
        's' => 1,
        'm' => 60,
        'h' => 3600,
        'd' => 86_400,
        _ => return Err(wrong()),
    };
    let number: u64 = text[..last.0].parse().map_err(|_| wrong())?;
    number.checked_mul(factor).filter(|seconds| *seconds > 0).ok_or_else(wrong)
}

/// Reads a day (its beginning in UTC) or a time in RFC 3339, and answers the latter.
///
/// # Errors
/// What it should look like.
pub fn parse_moment(text: &str) -> Result<String, String> {
    let wrong = || format!("\"{text}\" is neither a day such as 2027-03-01 nor a time such as 2027-03-01T12:00:00Z");
    let day = || format!("{text}T00:00:00Z").parse();
    let moment: Timestamp = text.parse().or_else(|_| day()).map_err(|_| wrong())?;
    Ok(moment.to_string())
}

/// How long ago `at` (RFC 3339) was, seen from `now`: "3 min ago".
#[must_use]
pub fn ago(at: &str, now: Timestamp) -> String {
    let Ok(at) = at.parse::<Timestamp>() else {
        return at.to_owned();
    };
    let seconds = now.as_second() - at.as_second();
    match seconds {
        ..-1 => absolute_of(at),
        -1..=1 => "now".into(),
        2..120 => format!("{seconds} s ago"),
        120..7200 => format!("{} min ago", seconds / 60),
        7200..172_800 => format!("{} h ago", seconds / 3600),
        _ => format!("{} days ago", seconds / 86_400),
    }
}

/// How long until `at` (RFC 3339), seen from `now`: "in 3 min", or how long ago it was.
#[must_use]
pub fn until(at: &str, now: Timestamp) -> String {
    let Ok(moment) = at.parse::<Timestamp>() else {
        return at.to_owned();
    };
    let seconds = moment.as_second() - now.as_second();
    match seconds {
        ..=1 => ago(at, now),
        2..120 => format!("in {seconds} s"),
        120..7200 => format!("in {} min", seconds / 60),
        7200..172_800 => format!("in {} h", seconds / 3600),
        _ => format!("in {} days", seconds / 86_400),
    }
}

/// `at` (RFC 3339) without its fractions: "2026-11-23 08:12:05 UTC".
#[must_use]
pub fn absolute(at: &str) -> String {
    at.parse().map_or_else(|_| at.to_owned(), absolute_of)
}

fn absolute_of(at: Timestamp) -> String {
    at.strftime("%Y-%m-%d %H:%M:%S UTC").to_string()
}

/// `at` in both ways: "2026-11-23 08:12:05 UTC (3 min ago)".
#[must_use]
pub fn both(at: &str, now: Timestamp) -> String {
    let (absolute, ago) = (absolute(at), ago(at, now));
    if absolute == ago { absolute } else { format!("{absolute} ({ago})") }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_to_come_is_said_ahead() {
        let now: Timestamp = "2026-11-23T10:00:00Z".parse().unwrap();
        assert_eq!(until("2026-11-23T10:00:30Z", now), "in 30 s");
        assert_eq!(until("2026-11-23T13:30:00Z", now), "in 3 h");
        assert_eq!(until("2026-11-23T09:57:00Z", now), "3 min ago");
    }

    #[test]
    fn durations_have_one_unit() {
        for (text, seconds) in [("90s", 90), ("10m", 600), ("12h", 43_200), ("7d", 604_800)] {
            assert_eq!(parse_duration_s(text), Ok(seconds));
        }
        for bad in ["", "s", "5", "0s", "-1h", "5 h", "1w", "99999999999999999999d", "é"] {
            assert!(parse_duration_s(bad).is_err(), "{bad:?}");
        }
    }

    #[test]
    fn a_moment_is_a_day_or_a_time() {
        for (text, moment) in [
            ("2027-03-01", "2027-03-01T00:00:00Z"),
            ("2027-03-01T12:30:00Z", "2027-03-01T12:30:00Z"),
            ("2027-03-01T12:30:00+02:00", "2027-03-01T10:30:00Z"),
        ] {
            assert_eq!(parse_moment(text).as_deref(), Ok(moment));
        }
        for bad in ["", "soon", "2027-02-30", "1.3.2027"] {
            assert!(parse_moment(bad).is_err(), "{bad:?}");
        }
    }

    #[test]
    fn distances_are_coarse() {
        let now: Timestamp = "2026-11-23T10:00:00Z".parse().unwrap();
        for (at, said) in [
            ("2026-11-23T10:00:00.400Z", "now"),
            ("2026-11-23T09:58:30Z", "90 s ago"),
            ("2026-11-23T09:57:00Z", "3 min ago"),
            ("2026-11-23T07:00:00Z", "3 h ago"),
            ("2026-11-20T10:00:00Z", "3 days ago"),
            ("2026-11-23T11:00:00Z", "2026-11-23 11:00:00 UTC"),
            ("nonsense", "nonsense"),
        ] {
            assert_eq!(ago(at, now), said);
        }
        assert_eq!(both("2026-11-23T09:57:00.123Z", now), "2026-11-23 09:57:00 UTC (3 min ago)");
    }
}
