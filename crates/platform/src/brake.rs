//! How much of a fleet machines may isolate, so that a bad policy or a clever noise cannot cut off a city.

use std::collections::VecDeque;

use bartizan_wire::{Cause, DeviceId, UnixMillis};

use crate::limits::BRAKE_ISOLATIONS_MAX;

/// The budget of each cause.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Config {
    /// Devices that machines may isolate in a window, in thousandths of the fleet.
    pub share_permille: u32,
    /// Devices that may always be isolated in a window, however small the fleet.
    pub floor: u32,
    /// Length of the window.
    pub window_ms: u64,
}

impl Default for Config {
    fn default() -> Self {
        Self { share_permille: 50, floor: 10, window_ms: 3_600_000 }
    }
}

impl Config {
    /// Devices of a fleet of `fleet` that machines may isolate in a window, per cause.
    #[must_use]
    pub fn budget(&self, fleet: u64) -> u64 {
        let share = fleet.saturating_mul(u64::from(self.share_permille)) / 1000;
        share.max(u64::from(self.floor)).min(BRAKE_ISOLATIONS_MAX)
    }
}

/// What a machine's wish to isolate becomes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Verdict {
    Isolate,
    /// The budget is used up: limit the device instead. `call` is true the first time, when a person must be called.
    Spare {
        call: bool,
    },
}

/// One tenant's brake: remembers what machines isolated lately, each cause on its own.
#[derive(Clone, Debug)]
pub struct Brake {
    config: Config,
    lanes: Vec<Lane>,
}

#[derive(Clone, Debug)]
struct Lane {
    cause: Cause,
    isolated: VecDeque<(UnixMillis, DeviceId)>,
    /// Since when devices are spared, and how many were.
    engaged: Option<(UnixMillis, u64)>,
}

/// What a person sees of a brake.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct State {
    /// Since when devices of some cause are spared.
    pub engaged_since: Option<UnixMillis>,
    /// Isolations in the window of the cause that used most.
    pub used: u64,
    pub budget: u64,
    /// Devices limited instead of isolated since it engaged.
    pub spared: u64,
}

impl Brake {
    #[must_use]
    pub fn new(config: Config) -> Self {
        Self { config, lanes: Vec::new() }
    }

    /// A machine wants to isolate `device` for `cause`. A device that was counted in this window is not counted
    /// again, so that a relapse does not eat the budget of others.
    pub fn ask(&mut self, now: UnixMillis, cause: Cause, device: DeviceId, fleet: u64) -> Verdict {
        let (budget, window_ms) = (self.config.budget(fleet), self.config.window_ms);
        let lane = self.lane(cause);
        lane.slide(now, window_ms, budget);
        if lane.isolated.iter().any(|(_, counted)| *counted == device) {
            return Verdict::Isolate;
        }
        if (lane.isolated.len() as u64) < budget {
            lane.isolated.push_back((now, device));
            return Verdict::Isolate;
        }
        let call = lane.engaged.is_none();
        let (since, spared) = lane.engaged.unwrap_or((now, 0));
        lane.engaged = Some((since, spared.saturating_add(1)));
        Verdict::Spare { call }
    }

    #[must_use]
    pub fn state(&mut self, now: UnixMillis, fleet: u64) -> State {
        let (budget, window_ms) = (self.config.budget(fleet), self.config.window_ms);
        let mut state = State { budget, ..State::default() };
        for lane in &mut self.lanes {
            lane.slide(now, window_ms, budget);
            state.used = state.used.max(lane.isolated.len() as u64);
            if let Some((since, spared)) = lane.engaged {
                state.spared += spared;
                state.engaged_since = Some(state.engaged_since.map_or(since, |first| first.min(since)));
            }
        }
        state
    }

    fn lane(&mut self, cause: Cause) -> &mut Lane {
        let index = self.lanes.iter().position(|lane| lane.cause == cause).unwrap_or_else(|| {
            self.lanes.push(Lane { cause, isolated: VecDeque::new(), engaged: None });
            self.lanes.len() - 1
        });
        &mut self.lanes[index]
    }
}

impl Lane {
    /// Forgets what is older than the window; the brake lets go when there is room again.
    fn slide(&mut self, now: UnixMillis, window_ms: u64, budget: u64) {
        while self.isolated.front().is_some_and(|(at, _)| now.since(*at) >= window_ms) {
            self.isolated.pop_front();
        }
        if (self.isolated.len() as u64) < budget {
            self.engaged = None;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    const HOUR: u64 = 3_600_000;

    fn ask(brake: &mut Brake, at: u64, device: u64) -> Verdict {
        brake.ask(UnixMillis(at), Cause::Detection, DeviceId(device), 100)
    }

    #[test]
    fn small_fleets_have_the_floor_and_large_ones_a_share() {
        let config = Config::default();
        assert_eq!([0, 100, 200, 220, 2000].map(|fleet| config.budget(fleet)), [10, 10, 10, 11, 100]);
        assert_eq!(config.budget(u64::MAX), BRAKE_ISOLATIONS_MAX);
    }

    #[test]
    fn beyond_the_budget_devices_are_spared_and_a_person_is_called_once() {
        let mut brake = Brake::new(Config::default());
        for device in 0..10 {
            assert_eq!(ask(&mut brake, 5, device), Verdict::Isolate);
        }
        assert_eq!(ask(&mut brake, 6, 10), Verdict::Spare { call: true });
        assert_eq!(ask(&mut brake, 7, 11), Verdict::Spare { call: false });
        assert_eq!(ask(&mut brake, 8, 3), Verdict::Isolate, "already counted");
        let state = brake.state(UnixMillis(9), 100);
        assert_eq!(state, State { engaged_since: Some(UnixMillis(6)), used: 10, budget: 10, spared: 2 });
    }

    #[test]
    fn it_lets_go_when_the_window_has_passed_and_calls_again_the_next_time() {
        let mut brake = Brake::new(Config::default());
        (0..11).for_each(|device| _ = ask(&mut brake, 0, device));
        assert_eq!(ask(&mut brake, HOUR - 1, 20), Verdict::Spare { call: false });
        assert_eq!(brake.state(UnixMillis(HOUR), 100).engaged_since, None);
        for device in 30..40 {
            assert_eq!(ask(&mut brake, HOUR, device), Verdict::Isolate);
        }
        assert_eq!(ask(&mut brake, HOUR, 40), Verdict::Spare { call: true });
    }

    #[test]
    fn causes_do_not_share_a_budget() {
        let mut brake = Brake::new(Config::default());
        (0..11).for_each(|device| _ = ask(&mut brake, 0, device));
        assert_eq!(brake.ask(UnixMillis(1), Cause::Attestation, DeviceId(50), 100), Verdict::Isolate);
    }

    proptest! {
        #[test]
        fn no_window_ever_holds_more_isolations_than_the_budget(
            asks in prop::collection::vec((0..HOUR / 4, 0..60_u64), 0..200),
        ) {
            let mut brake = Brake::new(Config::default());
            let (mut at, mut first_seen) = (0, Vec::<(u64, u64)>::new());
            for (wait, device) in asks {
                at += wait;
                let counted = first_seen.iter().any(|(then, who)| *who == device && at - then < HOUR);
                if ask(&mut brake, at, device) == Verdict::Isolate && !counted {
                    first_seen.push((at, device));
                }
                let in_window = first_seen.iter().filter(|(then, _)| at - then < HOUR).count();
                prop_assert!(in_window <= 10);
            }
        }
    }
}
