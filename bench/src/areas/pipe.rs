//! The judge: what an event and a device cost, and how right it is in a simulated city.

use bartizan_pipe::harness::{Attack, AttackKind, Kind, Report, Seeded, WorldConfig, evaluate};
use bartizan_pipe::{Judge, JudgeConfig};
use bartizan_wire::event::{Direction, Message};
use bartizan_wire::{DeviceKey, Event, EventKind, Subject, TypeId, UnixMillis};

use super::measure_apart;
use crate::cpu;
use crate::report::Figure;

const DEVICES: u64 = 200_000;
const EVENTS: u64 = 2_000_000;

pub fn run() -> anyhow::Result<Vec<Figure>> {
    let (innocent, attacked) = (evaluate(&innocent_city(), judge())?, evaluate(&attacked_city(), judge())?);
    Ok(vec![
        Figure::new(
            "pipe.events_per_s_core",
            events_per_second(),
            format!("all engines, messages of {DEVICES} devices drawn at random"),
        ),
        Figure::new(
            "pipe.device_bytes",
            measure_apart("job:device-profiles")?,
            format!("growth of resident memory by {DEVICES} devices, index included, over their number"),
        ),
        Figure::new(
            "pipe.false_isolations_per_100k_device_days",
            innocent.false_isolations_per_100k_device_days(),
            format!("{:.0} simulated heavy-tailed device-days", innocent.benign_device_days),
        ),
        Figure::new(
            "pipe.explanation_top1_percent",
            explained_percent(&attacked),
            "attacked devices whose first grade names a right feature, simulated",
        ),
    ])
}

fn judge() -> Judge {
    Judge::new(JudgeConfig::default())
}

fn innocent_city() -> WorldConfig {
    WorldConfig { sensors: 300, ..WorldConfig::city(41, 3_000, 40.0) }
}

fn attacked_city() -> WorldConfig {
    let on = |name, kind, victims, devices| Attack { lasts_h: 6.0, ..Attack::on(name, kind, victims, devices, 100.0) };
    WorldConfig { sensors: 60, ..WorldConfig::city(42, 600, 6.0) }
        .with(on("lights flood", AttackKind::Flood { per_minute: 120.0 }, Kind::Light, 20))
        .with(on("hasty meters", AttackKind::Hasten { factor: 50.0 }, Kind::Meter, 20))
        .with(on("large reports", AttackKind::Enlarge { factor: 30.0 }, Kind::Light, 20))
        .with(on("roaming meters", AttackKind::Roam { per_hour: 120.0 }, Kind::Meter, 20))
        .with(on("reconnecting lights", AttackKind::Reconnect { per_hour: 240.0 }, Kind::Light, 20))
}

fn explained_percent(report: &Report) -> f64 {
    let explained: usize = report.attacks.iter().map(|attack| attack.explained).sum();
    let devices: usize = report.attacks.iter().map(|attack| attack.devices).sum();
    explained as f64 * 100.0 / devices.max(1) as f64
}

fn events_per_second() -> f64 {
    let mut judge = judge();
    let mut random = Seeded::new(7);
    let events: Vec<Event> = (0..EVENTS).map(|number| report_of(random.below(DEVICES), number)).collect();
    let mut verdicts = 0_u64;
    // Once to learn the devices, once to measure.
    let mut passes = [0_u64, EVENTS].into_iter().map(|shift| {
        let before = cpu::of_thread();
        for event in &events {
            let at = event.at.plus(shift * GAP_MS);
            judge.observe(&Event { at, ..*event }, &mut |_| verdicts += 1);
        }
        cpu::of_thread() - before
    });
    passes.next();
    passes.next().map_or(0.0, |spent| cpu::per_second(EVENTS, spent))
}

/// Time between events, such that each device speaks about every hour.
const GAP_MS: u64 = 3_600_000 / DEVICES;

fn report_of(device: u64, number: u64) -> Event {
    let message = Message { direction: Direction::Up, kind: 1, payload_bytes: 30, peer: 1 };
    Event {
        at: UnixMillis(1_767_225_600_000 + number * GAP_MS),
        subject: Subject::Device { key: DeviceKey::new(1, device), device_type: TypeId((device % 16) as u32) },
        kind: EventKind::Message(message),
    }
}

/// Learns devices, and says what one costs.
pub fn hold_device_profiles(_: &[String]) -> anyhow::Result<()> {
    let mut judge = judge();
    let before = cpu::resident_bytes()?;
    for number in 0..DEVICES {
        judge.observe(&report_of(number, number), &mut |_| {});
    }
    println!("{}", (cpu::resident_bytes()? - before) as f64 / DEVICES as f64);
    anyhow::ensure!(judge.shed().profiles == 0, "profiles were shed");
    Ok(())
}
