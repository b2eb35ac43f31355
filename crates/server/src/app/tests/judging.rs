//! From events to access.

use super::*;

#[tokio::test]
async fn a_flood_is_noticed_explained_isolated_and_released() {
    let world = World::new().await;
    let meter = world.add("meter-1").await;
    world.connect(&meter);
    assert!(matches!(world.send(&meter).await, Outcome::Replied(_)));
    let mut changes = world.app.access_changes();
    world.flood(&meter);
    assert_eq!(meter.access(), Access::Quarantined);
    assert_eq!(changes.try_recv().unwrap().access, Access::Quarantined, "the gateway hears of it at once");
    let delivered = world.delivered();
    assert_eq!(world.send(&meter).await, Outcome::Forbidden(Access::Quarantined));
    assert_eq!(world.delivered(), delivered);

    let view = world.show(&meter).await;
    assert!(view.explanation.contains("because it sent messages"), "{}", view.explanation);
    let holds = view.holds.unwrap();
    assert_eq!((holds.len(), holds[0].cause.as_str(), holds[0].by.as_deref()), (1, "detection", None));
    let kinds: Vec<String> = world.timeline(&meter).await.into_iter().map(|line| line.kind).collect();
    for kind in ["finding", "grade", "hold", "access", "lifecycle"] {
        assert!(kinds.iter().any(|found| found == kind), "{kind} is missing in {kinds:?}");
    }

    world.app.release(&ada(), meter.key, "the lamp was mended").await.unwrap();
    assert_eq!(meter.access(), Access::Full);
    assert!(matches!(world.send(&meter).await, Outcome::Replied(_)));
}

#[tokio::test]
async fn unauthenticated_events_never_change_a_posture() {
    let world = World::new().await;
    let meter = world.add("meter-1").await;
    world.connect(&meter);
    let before = world.show(&meter).await;
    for second in 0..2_000 {
        world.clock.advance(1_000);
        let source = format!("192.0.2.{}:{}", second % 3, 1024 + second);
        for reason in RecordRejection::ALL {
            world.forge(&source, Some(meter.key), EventKind::RecordRejected { reason: *reason });
        }
        for reason in HandshakeFailure::ALL {
            world.forge(&source, Some(meter.key), EventKind::HandshakeFailed { reason: *reason });
        }
        // Even events that only an association can have, should a caller ever mislabel them.
        world.forge(&source, Some(meter.key), EventKind::Message(shape(Direction::Up, 2, "/x", 9, 9)));
        world.app.beat(world.clock.now());
    }
    let after = world.show(&meter).await;
    assert_eq!((after.grade, after.access, after.lifecycle), (before.grade, before.access, before.lifecycle));
    assert!(after.holds.unwrap().is_empty());
    assert!(matches!(world.send(&meter).await, Outcome::Replied(_)));

    let source = Source::of("192.0.2.1:1".parse().unwrap());
    assert_eq!(world.app.source_verdict(source), SourceVerdict::Drop, "but the source is limited");
    assert_eq!(world.app.source_verdict(Source::of("198.51.100.1:1".parse().unwrap())), SourceVerdict::Allow);
    let sources = world.app.sources(world.tenant).await.unwrap().items;
    assert_eq!(sources.len(), 3);
    assert!(sources.iter().any(|source| source.dropped > 0) && sources[0].text.contains("meter-1"));
    world.app.durable().await.unwrap();
    let findings = world.app.findings(world.tenant, &Paging::default()).await.unwrap().items;
    assert!(!findings.is_empty());
    assert!(findings.iter().all(|finding| finding.device.is_none() && finding.source.is_some()));
    assert_eq!(findings[0].claimed.as_deref(), Some("meter-1"));
}

#[tokio::test]
async fn a_machine_never_lifts_a_person_s_hold() {
    let world = World::new().await;
    let meter = world.add("meter-1").await;
    world.connect(&meter);
    world.flood(&meter);
    world.app.isolate(&ada(), meter.key, "seen opened on site", true).await.unwrap();
    assert_eq!(meter.access(), Access::Blocked);
    pass(&world, 48);
    assert_eq!(meter.access(), Access::Blocked);
    let view = world.show(&meter).await;
    let holds = view.holds.unwrap();
    assert_eq!(holds.len(), 1, "the detection hold has ended by its own exit: {holds:?}");
    assert_eq!((holds[0].cause.as_str(), holds[0].by.as_deref()), ("person", Some("ada")));
    assert_eq!(view.grade, "normal");
    assert!(view.explanation.contains("Only a person ends this"), "{}", view.explanation);
}

#[tokio::test]
async fn good_conduct_leads_back_through_probation() {
    let world = World::new().await;
    let meter = world.add("meter-1").await;
    world.connect(&meter);
    world.flood(&meter);
    pass(&world, 1);
    assert_eq!(
        meter.access(),
        Access::Quarantined,
        "the dwell begins when the grade is normal again, not with the finding"
    );
    let mut seen = vec![meter.access()];
    for _ in 0..24 {
        pass(&world, 1);
        if seen.last() != Some(&meter.access()) {
            seen.push(meter.access());
        }
    }
    assert_eq!(seen, [Access::Quarantined, Access::Limited, Access::Full]);
    assert!(world.show(&meter).await.holds.unwrap().is_empty());
}

#[tokio::test]
async fn a_limited_device_sends_at_the_reduced_rate() {
    let world = World::with(|options| {
        options.policy.abnormal = Access::Limited;
        options.limited_messages_per_minute = 3;
    })
    .await;
    let meter = world.add("meter-1").await;
    world.connect(&meter);
    world.flood(&meter);
    assert_eq!(meter.access(), Access::Limited);
    let mut passed = 0;
    for _ in 0..10 {
        passed += usize::from(matches!(world.send(&meter).await, Outcome::Replied(_)));
    }
    assert_eq!(passed, 3);
    world.clock.advance(MINUTE);
    assert!(matches!(world.send(&meter).await, Outcome::Replied(_)));
}

#[tokio::test]
async fn the_brake_limits_what_machines_isolate_and_a_person_is_called() {
    let config = brake::Config { floor: 3, ..brake::Config::default() };
    let world = World::with(|options| options.brake = config).await;
    let mut meters = Vec::new();
    for number in 0..5 {
        let meter = world.add(&format!("meter-{number}")).await;
        world.connect(&meter);
        meters.push(meter);
    }
    meters.iter().for_each(|meter| world.flood(meter));
    let access: Vec<Access> = meters.iter().map(|meter| meter.access()).collect();
    assert_eq!(
        access,
        [Access::Quarantined, Access::Quarantined, Access::Quarantined, Access::Limited, Access::Limited]
    );
    let summary = world.app.summary(world.tenant).await.unwrap();
    assert_eq!((summary.isolated, summary.limited, summary.abnormal), (3, 2, 5));
    assert!(summary.brake.engaged && summary.brake.spared >= 2 && summary.brake.budget == 3);
    let called = world.timeline(&meters[3]).await.iter().any(|line| line.text.contains("a person must look"));
    assert!(called);
    // A person is not braked.
    world.app.isolate(&ada(), meters[3].key, "", false).await.unwrap();
    assert_eq!(meters[3].access(), Access::Quarantined);
}

#[tokio::test]
async fn a_device_that_goes_on_after_the_brake_let_go_is_isolated() {
    let config = brake::Config { floor: 1, ..brake::Config::default() };
    let world = World::with(|options| options.brake = config).await;
    let (first, second) = (world.add("meter-1").await, world.add("meter-2").await);
    world.connect(&first);
    world.connect(&second);
    world.flood(&first);
    world.flood(&second);
    assert_eq!((first.access(), second.access()), (Access::Quarantined, Access::Limited));
    for _ in 0..3 * 3600 {
        world.clock.advance(1_000);
        world.report(&second);
    }
    assert_eq!(second.access(), Access::Quarantined);
}

#[tokio::test]
async fn subscribers_see_findings_and_postures() {
    let world = World::new().await;
    let meter = world.add("meter-1").await;
    let mut updates = world.app.updates();
    world.connect(&meter);
    world.flood(&meter);
    let mut names = Vec::new();
    while let Ok(update) = updates.try_recv() {
        assert_eq!(update.tenant, world.tenant);
        names.push(update.kind.name());
    }
    assert!(names.contains(&"finding") && names.contains(&"device"), "{names:?}");
}

#[tokio::test]
async fn a_device_that_only_keeps_its_old_habit_is_readmitted() {
    let world = World::new().await;
    let meter = world.add("meter-1").await;
    world.connect(&meter);
    world.flood(&meter);
    let mut refused = 0;
    for _ in 0..24 {
        pass(&world, 1);
        refused += usize::from(matches!(world.send(&meter).await, Outcome::Forbidden(_)));
    }
    assert!(refused > 0, "it was refused at first");
    assert_eq!(meter.access(), Access::Full, "{}", world.show(&meter).await.explanation);
}

#[tokio::test]
async fn what_a_person_holds_does_not_grow_worse_by_itself() {
    let world = World::new().await;
    let meter = world.add("meter-1").await;
    world.connect(&meter);
    world.app.isolate(&ada(), meter.key, "under repair", false).await.unwrap();
    for _ in 0..48 {
        pass(&world, 1);
        assert_eq!(world.send(&meter).await, Outcome::Forbidden(Access::Quarantined));
    }
    world.app.release(&ada(), meter.key, "repaired").await.unwrap();
    assert_eq!((meter.access(), world.show(&meter).await.grade.as_str()), (Access::Full, "normal"));
    assert!(matches!(world.send(&meter).await, Outcome::Replied(_)));
}
