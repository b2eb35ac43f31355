//! The shipped judge in simulated cities: nobody innocent is isolated, and each attack is met and named.
//! Virtual time only. A failure is a seed.

use bartizan_pipe::harness::World;
use bartizan_pipe::harness::{
    Attack, AttackKind, FixedThreshold, Kind, Shortcut, WorldConfig, evaluate, refuse_shortcuts,
};
use bartizan_pipe::{Judge, JudgeConfig};

fn shipped() -> Judge {
    Judge::new(JudgeConfig::default())
}

/// The demo's city with heavy-tailed sensors among it.
fn city(seed: u64, devices: usize, days: f64) -> WorldConfig {
    WorldConfig { sensors: devices / 10, ..WorldConfig::city(seed, devices, days) }
}

#[test]
fn the_innocent_are_left_alone() {
    let report = evaluate(&city(101, 2_000, 8.0), shipped()).unwrap();
    println!("{report}");
    assert!(report.benign_device_days > 15_000.0);
    assert_eq!((report.false_isolations, report.false_suspicions), (0, 0), "{:#?}", report.examples);
}

#[test]
fn the_innocent_are_left_alone_while_nothing_is_known_of_them() {
    for seed in 201..207 {
        let report = evaluate(&city(seed, 600, 0.4), shipped()).unwrap();
        assert_eq!(report.false_isolations, 0, "seed {seed}: {:#?}", report.examples);
        assert!(report.false_suspicions <= 1, "seed {seed}: {:#?}", report.examples);
    }
}

#[test]
fn a_small_fleet_is_left_alone() {
    for seed in 301..306 {
        let report = evaluate(&city(seed, 12, 20.0), shipped()).unwrap();
        assert_eq!(report.false_isolations, 0, "seed {seed}: {:#?}", report.examples);
    }
}

fn attacked(seed: u64) -> WorldConfig {
    let on = |name, kind, victims, devices| Attack { lasts_h: 6.0, ..Attack::on(name, kind, victims, devices, 60.0) };
    city(seed, 300, 4.0)
        .with(on("lights flood", AttackKind::Flood { per_minute: 120.0 }, Kind::Light, 10))
        .with(on("lights flood slowly", AttackKind::Flood { per_minute: 2.0 }, Kind::Light, 10))
        .with(on("a hasty meter", AttackKind::Hasten { factor: 50.0 }, Kind::Meter, 3))
        .with(on("a meter probes", AttackKind::Probe { per_hour: 60.0 }, Kind::Meter, 3))
        .with(on("a light says too much", AttackKind::Enlarge { factor: 30.0 }, Kind::Light, 3))
        .with(on("a meter roams", AttackKind::Roam { per_hour: 120.0 }, Kind::Meter, 3))
        .with(on("a light reconnects", AttackKind::Reconnect { per_hour: 240.0 }, Kind::Light, 3))
        .with(on("a lock is replayed", AttackKind::Replay { per_minute: 60.0 }, Kind::Lock, 1))
        .with(on("an impostor knocks", AttackKind::Knock { per_minute: 20.0 }, Kind::Meter, 1))
}

#[test]
fn every_attack_is_met_and_named() {
    for seed in [1, 2, 3] {
        let report = evaluate(&attacked(seed), shipped()).unwrap();
        println!("seed {seed}\n{report}");
        for attack in &report.attacks {
            let all = (attack.devices, attack.devices, attack.devices);
            assert_eq!((attack.found, attack.isolated, attack.explained), all, "seed {seed}\n{report}");
        }
        let after = |name: &str| {
            let attack = report.attacks.iter().find(|attack| attack.name == name).unwrap();
            (attack.isolated_after_events, attack.isolated_after_ms / 1000)
        };
        assert!(after("lights flood").1 <= 30, "seconds\n{report}");
        assert!(after("a hasty meter").0 <= 12, "reports\n{report}");
        assert!(after("a lock is replayed").0 <= 10 && after("an impostor knocks").0 <= 10, "{report}");
        assert_eq!((report.false_isolations, report.unauthenticated_grades), (0, 0), "{:#?}", report.examples);
    }
}

#[test]
fn a_fixed_threshold_does_worse() {
    let plain = Judge::bare(JudgeConfig::default()).with_engine(Box::new(FixedThreshold::new(50)));
    let report = evaluate(&attacked(1), plain).unwrap();
    let missed = report.attacks.iter().filter(|attack| attack.isolated == 0).count();
    assert!(report.false_isolations > 0 && missed >= 4, "{report}");
}

#[test]
fn equal_seeds_make_equal_reports() {
    let report = || evaluate(&city(5, 60, 1.0), shipped()).unwrap();
    assert_eq!(report(), report());
}

#[test]
fn worlds_with_a_shortcut_are_refused() {
    let too_early = WorldConfig::city(1, 30, 1.0).with(Attack::on(
        "from the first second",
        AttackKind::Flood { per_minute: 60.0 },
        Kind::Meter,
        5,
        0.0,
    ));
    assert!(matches!(
        evaluate(&too_early, shipped()),
        Err(Shortcut::AttackOnlyDevice { .. } | Shortcut::AttackOnlyTime { .. })
    ));

    let flood = Attack::on("flood", AttackKind::Flood { per_minute: 60.0 }, Kind::Meter, 1, 12.0);
    let world = WorldConfig::city(1, 30, 1.0).with(flood.clone());
    let odd = |change: fn(&mut bartizan_wire::event::Message)| {
        World::new(&world).map(move |mut labelled| {
            if let (Some(_), bartizan_wire::EventKind::Message(message)) = (labelled.attack, &mut labelled.event.kind) {
                change(message);
            }
            labelled
        })
    };
    assert_eq!(refuse_shortcuts(std::slice::from_ref(&flood), odd(|_| {})), Ok(()));
    for change in [
        (|message| message.peer = 66) as fn(&mut bartizan_wire::event::Message),
        |message| message.kind = 66,
        |message| message.payload_bytes = 9_999,
    ] {
        let refused = refuse_shortcuts(std::slice::from_ref(&flood), odd(change));
        assert!(matches!(refused, Err(Shortcut::AttackOnlyShape { .. })), "{refused:?}");
    }
    let never = Attack { starts_h: 100.0, ..flood };
    let calm = World::new(&WorldConfig::city(1, 30, 1.0).with(never.clone()));
    let refused = refuse_shortcuts(&[never], calm);
    assert!(matches!(refused, Err(Shortcut::NoAttack { .. })), "{refused:?}");
}
