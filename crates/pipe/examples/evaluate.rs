//! Scores the shipped judge, and a fixed threshold beside it, in simulated cities:
//! `cargo run --release -p bartizan-pipe --example evaluate -- [SEED] [DEVICES] [DAYS]`

use bartizan_pipe::harness::{Attack, AttackKind, FixedThreshold, Kind, WorldConfig, evaluate};
use bartizan_pipe::{Judge, JudgeConfig};

fn main() {
    let mut arguments = std::env::args().skip(1);
    let mut number = |default: f64| arguments.next().and_then(|text| text.parse().ok()).unwrap_or(default);
    let (seed, devices, days) = (number(1.0) as u64, number(2000.0) as usize, number(10.0));
    let city = WorldConfig { sensors: devices / 10, ..WorldConfig::city(seed, devices, days) };
    let starts_h = days * 24.0 * 0.7;
    let attacks = [
        ("lights flood 120/min", AttackKind::Flood { per_minute: 120.0 }, Kind::Light, 10),
        ("lights flood 6/min", AttackKind::Flood { per_minute: 6.0 }, Kind::Light, 10),
        ("locks flood 60/min", AttackKind::Flood { per_minute: 60.0 }, Kind::Lock, 5),
        ("sensors flood 300/min", AttackKind::Flood { per_minute: 300.0 }, Kind::Sensor, 5),
        ("meter 50 times", AttackKind::Hasten { factor: 50.0 }, Kind::Meter, 5),
        ("meter 10 times", AttackKind::Hasten { factor: 10.0 }, Kind::Meter, 5),
        ("meter probes", AttackKind::Probe { per_hour: 30.0 }, Kind::Meter, 5),
        ("light enlarges", AttackKind::Enlarge { factor: 30.0 }, Kind::Light, 5),
        ("meter roams", AttackKind::Roam { per_hour: 60.0 }, Kind::Meter, 5),
        ("light reconnects", AttackKind::Reconnect { per_hour: 240.0 }, Kind::Light, 5),
        ("lock replayed", AttackKind::Replay { per_minute: 60.0 }, Kind::Lock, 1),
        ("impostor knocks", AttackKind::Knock { per_minute: 20.0 }, Kind::Meter, 1),
    ];
    let world = attacks.into_iter().fold(city, |world, (name, kind, victims, devices)| {
        world.with(Attack { lasts_h: 6.0, ..Attack::on(name, kind, victims, devices, starts_h) })
    });
    let shipped = Judge::new(JudgeConfig::default());
    let plain = Judge::bare(JudgeConfig::default()).with_engine(Box::new(FixedThreshold::new(50)));
    for (name, judge) in [("shipped judge", shipped), ("fixed threshold of 50 in 10 minutes", plain)] {
        match evaluate(&world, judge) {
            Ok(report) => {
                println!("{name}\n{report}");
                report.examples.iter().for_each(|example| println!("  {example:?}"));
            }
            Err(shortcut) => println!("refused: {shortcut}"),
        }
    }
}
