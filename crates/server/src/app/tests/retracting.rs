//! Upstreams hear which reports not to trust, whatever stops meanwhile.

use bartizan_wire::Attestation;

use super::attesting::*;
use super::*;

fn lines(world: &World) -> Vec<serde_json::Value> {
    let text = std::fs::read_to_string(world.dir.path().join("telemetry.ndjson")).unwrap_or_default();
    text.lines().map(|line| serde_json::from_str(line).unwrap()).collect()
}

fn events(world: &World) -> Vec<serde_json::Value> {
    lines(world).into_iter().filter(|line| line.get("event").is_some()).collect()
}

/// Waits until so many events were told.
async fn told(world: &World, count: usize) -> Vec<serde_json::Value> {
    for _ in 0..500 {
        if events(world).len() >= count {
            break;
        }
        tokio::time::sleep(std::time::Duration::from_millis(10)).await;
    }
    let events = events(world);
    assert_eq!(events.len(), count, "{events:?}");
    events
}

#[tokio::test]
async fn a_failure_retracts_what_was_said_since_the_last_proof() {
    let world = World::new().await;
    released(&world).await;
    let (meter, mut flash) = install(&world, "meter-1", 1).await;
    world.send(&meter).await;
    let proven = views::rfc3339(world.clock.now());
    attest(&world, &meter, &mut flash).await.unwrap();
    world.clock.advance(HOUR);
    world.send(&meter).await;
    flash.patch_firmware();
    assert_eq!(attest(&world, &meter, &mut flash).await, Ok(Attestation::Contraindicated));
    let found = views::rfc3339(world.clock.now());
    let events = told(&world, 1).await;
    let expected = serde_json::json!({
        "at": found, "tenant": "water", "device": "meter-1", "type": METER,
        "event": "untrusted", "untrusted_since": proven,
    });
    assert_eq!(events[0], expected);
    assert_eq!(world.show(&meter).await.untrusted_since, Some(proven.clone()));
    assert!(texts(&world, &meter).await.contains("are not to be trusted"));

    flash.restore();
    world.clock.advance(MINUTE);
    assert_eq!(attest(&world, &meter, &mut flash).await, Ok(Attestation::Affirming));
    let repaired = views::rfc3339(world.clock.now());
    let events = told(&world, 2).await;
    assert_eq!((events[1]["event"].as_str(), events[1]["untrusted_since"].as_str()), (Some("trusted"), Some(&*proven)));
    assert_eq!(events[1]["trusted_since"].as_str(), Some(&*repaired));
    assert_eq!(world.show(&meter).await.untrusted_since, None);
    world.send(&meter).await;
    let trusted: Vec<_> = lines(&world).iter().map(|line| line.get("trusted").cloned()).collect();
    let [before, proven, _, _, after] = &trusted[..] else { panic!("{trusted:?}") };
    assert_eq!((before, proven, after), (&None, &Some(true.into()), &Some(true.into())));
}

#[tokio::test]
async fn who_never_proved_anything_is_retracted_from_its_beginning() {
    let world = World::new().await;
    released(&world).await;
    let (meter, mut flash) = install(&world, "meter-1", 1).await;
    world.send(&meter).await;
    flash.patch_firmware();
    attest(&world, &meter, &mut flash).await.unwrap();
    let events = told(&world, 1).await;
    assert_eq!(events[0]["untrusted_since"].as_str(), Some(&*views::rfc3339(meter.created)));
}

#[tokio::test]
async fn an_upstream_that_is_down_is_told_when_it_is_back() {
    let world = World::new().await;
    released(&world).await;
    let (meter, mut flash) = install(&world, "meter-1", 1).await;
    let change = |upstream: &str| TenantChange { upstream: Some(upstream.parse().unwrap()) };
    world.app.change_tenant(&ada(), world.tenant, change("mqtt://127.0.0.1:9"), None).await.unwrap();
    flash.patch_firmware();
    attest(&world, &meter, &mut flash).await.unwrap();
    let tenant = meter.tenant().clone();
    world.app.tell_retractions(&tenant).await;
    assert_eq!(tenant.store.retractions(0, 10).await.unwrap().len(), 1, "it is still to be told");
    drop((meter, tenant));
    let world = world.restarted().await;
    let log = format!("log:{}", world.dir.path().join("telemetry.ndjson").display());
    world.app.change_tenant(&ada(), world.tenant, change(&log), None).await.unwrap();
    watch(&world, 5).await;
    told(&world, 1).await;
    let open = world.app.open_tenant(world.tenant).await.unwrap();
    world.app.tell_retractions(&open).await;
    assert_eq!(open.store.retractions(0, 10).await.unwrap(), [], "and told once");
    assert_eq!(events(&world).len(), 1);
}
