//! When what happens, in real time.

use std::time::Duration;

use super::args::DemoArgs;

/// Below this the city has no time to get to know itself.
const SECONDS_MIN: u64 = 45;
const SECONDS_DEFAULT: u64 = 150;
/// Messages a real second that a small machine carries beside everything else.
const MESSAGES_PER_S: u32 = 400;
/// Hundredths of a message that a device of this city sends an hour, on average.
const CENTIMESSAGES_PER_HOUR: u32 = 220;

/// The script's timetable. Offsets count from the city's first breath.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Plan {
    pub devices: u32,
    pub seed: u64,
    /// The city's seconds in one real second.
    pub scale: u32,
    pub seconds: u64,
    /// Devices connect and are learnt until here.
    pub learnt: Duration,
    /// From one attack to the next.
    pub between: Duration,
    /// When the day ends and everybody delivers what is left.
    pub dusk: Duration,
    /// What the person who started it should know.
    pub remarks: Vec<String>,
}

impl Plan {
    #[must_use]
    pub fn of(args: &DemoArgs) -> Self {
        let asked = args.seconds.unwrap_or(SECONDS_DEFAULT);
        let seconds = asked.max(SECONDS_MIN);
        let mut remarks = Vec::new();
        if asked < seconds {
            remarks.push(format!("{asked} s are too few to learn habits and play five attacks: taking {seconds} s."));
        }
        let scale = args.time_scale.unwrap_or_else(|| scale_for(args.devices));
        let part = |percent: u64| Duration::from_millis(seconds * percent * 10);
        let plan = Self {
            devices: args.devices,
            seed: args.seed,
            scale,
            seconds,
            learnt: part(38),
            between: part(10),
            dusk: part(90),
            remarks,
        };
        plan.with_remark_on_habits()
    }

    /// Meters report hourly, and two intervals make a habit.
    fn with_remark_on_habits(mut self) -> Self {
        let learnt_min = self.learnt.as_secs() * u64::from(self.scale) / 60;
        if learnt_min < 120 {
            self.remarks.push(format!(
                "The city has only {learnt_min} minutes of its time to be learnt: expect late detections, or raise --time-scale."
            ));
        }
        self
    }

    /// The city's time that has passed after `real`.
    #[must_use]
    pub fn city_seconds(&self, real: Duration) -> u64 {
        real.as_secs() * u64::from(self.scale)
    }
}

/// As fast as a small machine can follow.
fn scale_for(devices: u32) -> u32 {
    (MESSAGES_PER_S * 3_600 / devices.max(1) * 100 / CENTIMESSAGES_PER_HOUR).clamp(60, 1_000)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn plan(devices: u32, seconds: Option<u64>, time_scale: Option<u32>) -> Plan {
        Plan::of(&DemoArgs {
            headless: true,
            devices,
            seconds,
            seed: 1,
            summary: None,
            time_scale,
            listen: ([127, 0, 0, 1], 0).into(),
        })
    }

    #[test]
    fn too_short_a_script_is_lengthened_and_said() {
        assert_eq!(plan(300, Some(10), None).seconds, SECONDS_MIN);
        assert!(plan(300, Some(10), None).remarks[0].contains("10 s are too few"));
        assert!(plan(300, Some(60), None).remarks.is_empty());
    }

    #[test]
    fn everything_has_its_turn_before_dusk() {
        for seconds in [45, 60, 150, 600] {
            let plan = plan(300, Some(seconds), None);
            assert!(plan.learnt + 5 * plan.between < plan.dusk && plan.dusk < Duration::from_secs(seconds));
        }
    }

    #[test]
    fn larger_cities_live_slower() {
        assert_eq!(plan(100, None, None).scale, 1_000);
        assert_eq!(plan(2_000, None, None).scale, 327);
        assert_eq!(plan(2_000, None, Some(60)).scale, 60);
        assert!(plan(2_000, None, Some(60)).remarks[0].contains("only 57 minutes"));
    }
}
