//! Deadlines, the watchdog, outages of the verifier, and failures in masses: with the evidence of simulated meters.

use bartizan_crypto::{RUSTCRYPTO, Secret};
use bartizan_device::attest::Carry;
use bartizan_sim::{CHAIN_BYTES, Flash, RELEASES};
use bartizan_trust::challenge::binding;
use bartizan_wire::Attestation;

use super::*;
use crate::app::references::PolicyView;
use crate::demo::firmware;

pub(super) const METER: &str = "water meter";
pub(super) const EXPORTER: Secret<32> = Secret::new([9; 32]);

pub(super) fn random(out: &mut [u8]) {
    getrandom::fill(out).unwrap();
}

pub(super) fn policy(every_hours: Option<u32>, grace_hours: Option<u32>) -> PolicyView {
    let layers = RELEASES.map(|release| release.component.to_owned()).to_vec();
    PolicyView { layers, every_hours, grace_hours, ..PolicyView::default() }
}

/// Meters must attest every two hours, with an hour of grace.
pub(super) async fn released(world: &World) {
    world.app.add_type(&ada(), world.tenant, METER).await.unwrap();
    let terms = PolicyView { every_hours: Some(2), grace_hours: Some(1), ..PolicyView::default() };
    firmware::release(&world.app, &ada(), world.tenant, METER, terms).await.unwrap();
}

pub(super) async fn install(world: &World, name: &str, secret: u8) -> (Arc<Device>, Flash) {
    let device = world.add(name).await;
    world.app.set_identity(&ada(), device.key, &Flash::identity([secret; 32]).to_string()).await.unwrap();
    world.connect(&device);
    (device, Flash::new([secret; 32]))
}

pub(super) async fn attest(world: &World, device: &Arc<Device>, flash: &mut Flash) -> Result<Attestation, Refusal> {
    let challenge = world.app.challenge(device).await?;
    world.clock.advance(1_000);
    let mut chain = [0; CHAIN_BYTES];
    let attester = flash.start(&mut random, &mut chain);
    let mut out = [0; 3_000];
    let bound = binding(&RUSTCRYPTO, &EXPORTER, &challenge);
    let made = attester.evidence(&RUSTCRYPTO, &mut random, &challenge, &bound, Carry::Chain, &mut out).unwrap();
    world.app.attest(device, &EXPORTER, &out[..made]).await
}

/// Lets minutes pass with a round of the watchdog every five.
pub(super) async fn watch(world: &World, minutes: u64) {
    watch_reporting(world, minutes, &[]).await;
}

/// The same, while these go on reporting.
pub(super) async fn watch_reporting(world: &World, minutes: u64, reporting: &[&Device]) {
    for _ in 0..minutes / 5 {
        world.clock.advance(5 * MINUTE);
        reporting.iter().for_each(|device| world.report(device));
        world.app.watch(world.clock.now()).await;
        world.app.durable().await.unwrap(); // these minutes are shorter than the writer behind needs
    }
}

pub(super) async fn texts(world: &World, device: &Device) -> String {
    let lines = world.timeline(device).await;
    lines.iter().map(|line| line.text.as_str()).collect::<Vec<_>>().join("\n")
}

#[tokio::test]
async fn a_device_that_is_never_loaded_is_found() {
    let world = World::new().await;
    released(&world).await;
    let (meter, _) = install(&world, "meter-1", 1).await;
    let name = meter.name.clone();
    let other = world.add("meter-2").await; // without an identity: it owes nothing
    world.connect(&other);
    watch(&world, 115).await;
    drop((meter, other));
    let world = world.restarted().await;
    assert_eq!(world.app.live_count(), 0, "nobody is in memory, no tenant is open");
    watch(&world, 10).await;
    assert_eq!(world.app.counters().evidence_overdue, 1);
    let view = world.show(&*world.device(&name).await).await;
    assert_eq!((view.access.as_str(), view.state.as_str()), ("limited", "stale"), "{}", view.explanation);
    assert_eq!(world.device("meter-2").await.access(), Access::Full);
    watch(&world, 30).await;
    assert_eq!(world.app.counters().evidence_overdue, 1, "it is said once");
}

#[tokio::test]
async fn who_keeps_reporting_without_evidence_is_isolated_and_who_is_silent_is_not() {
    let world = World::new().await;
    released(&world).await;
    let (evader, mut flash) = install(&world, "meter-1", 1).await;
    let (silent, mut other) = install(&world, "meter-2", 2).await;
    assert_eq!(attest(&world, &evader, &mut flash).await, Ok(Attestation::Affirming));
    assert_eq!(attest(&world, &silent, &mut other).await, Ok(Attestation::Affirming));
    watch(&world, 125).await;
    assert_eq!((evader.access(), silent.access()), (Access::Limited, Access::Limited));
    assert!(evader.wants_evidence() && silent.wants_evidence());
    watch_reporting(&world, 65, &[&evader]).await;
    assert_eq!((evader.access(), silent.access()), (Access::Quarantined, Access::Limited));
    let said = texts(&world, &silent).await;
    assert!(said.contains("out of reach"), "{said}");
    watch(&world, 600).await;
    assert_eq!(silent.access(), Access::Limited, "however long it is silent");

    assert_eq!(attest(&world, &evader, &mut flash).await, Ok(Attestation::Affirming));
    assert_eq!((evader.access(), evader.wants_evidence()), (Access::Full, false));
    world.report(&silent);
    world.app.beat(world.clock.now());
    watch_reporting(&world, 55, &[&silent]).await;
    assert_eq!(silent.access(), Access::Limited, "back, it has a grace of its own");
    watch_reporting(&world, 15, &[&silent]).await;
    assert_eq!(silent.access(), Access::Quarantined);
}

#[tokio::test]
async fn an_outage_of_the_verifier_isolates_nobody_admits_nobody_and_stops_the_clock() {
    let world = World::new().await;
    released(&world).await;
    let (good, mut flash) = install(&world, "meter-1", 1).await;
    let (bad, mut changed) = install(&world, "meter-2", 2).await;
    changed.patch_firmware();
    assert_eq!(attest(&world, &bad, &mut changed).await, Ok(Attestation::Contraindicated));
    watch(&world, 100).await;
    let store = good.tenant().store.clone();
    store.set_attestation_policy(METER, "damaged").await.unwrap();
    for flash in [&mut flash, &mut changed] {
        flash.patch_firmware(); // which makes the good one bad, and the bad one good
    }
    for _ in 0..8 {
        watch(&world, 30).await;
        assert!(matches!(attest(&world, &good, &mut flash).await, Err(Refusal::Unavailable(_))));
        assert!(matches!(attest(&world, &bad, &mut changed).await, Err(Refusal::Unavailable(_))));
        world.report(&good);
    }
    assert_eq!((good.access(), bad.access()), (Access::Full, Access::Quarantined), "holds stay, and none is new");
    world.app.set_attestation_policy(&ada(), world.tenant, METER, &policy(Some(2), Some(1))).await.unwrap();
    watch(&world, 55).await;
    assert_eq!(good.access(), Access::Full, "it has a grace to catch up");
    watch(&world, 15).await;
    assert_eq!(good.access(), Access::Limited);
    assert_eq!(attest(&world, &bad, &mut changed).await, Ok(Attestation::Affirming));
    assert_eq!(bad.access(), Access::Limited, "on probation");
}

#[tokio::test]
async fn time_in_which_the_server_did_not_run_is_excused() {
    let world = World::new().await;
    released(&world).await;
    install(&world, "meter-1", 1).await;
    watch(&world, 5).await;
    let world = world.restarted().await;
    world.clock.advance(48 * HOUR);
    watch(&world, 55).await;
    assert_eq!(world.device("meter-1").await.access(), Access::Full);
    watch(&world, 15).await;
    assert_eq!(world.device("meter-1").await.access(), Access::Limited);
}

#[tokio::test]
async fn a_finding_asks_for_evidence_and_holds_nothing_more() {
    let world = World::with(|options| options.policy.abnormal = Access::Full).await;
    released(&world).await;
    let (meter, mut flash) = install(&world, "meter-1", 1).await;
    assert_eq!(attest(&world, &meter, &mut flash).await, Ok(Attestation::Affirming));
    let stranger = world.add("meter-2").await;
    world.connect(&stranger);
    for device in [&meter, &stranger] {
        for _ in 0..1_000 {
            world.clock.advance(100);
            world.report(device);
        }
        assert_ne!(world.show(device).await.grade, "normal");
    }
    assert!(meter.wants_evidence());
    assert!(!stranger.wants_evidence(), "without an identity there is nothing to bring");
    assert_eq!(meter.access(), Access::Full);
    assert_eq!(attest(&world, &meter, &mut flash).await, Ok(Attestation::Affirming));
    assert!(!meter.wants_evidence());
}

#[tokio::test]
async fn failures_in_masses_are_limited_and_a_person_is_called() {
    let config = brake::Config { floor: 2, ..brake::Config::default() };
    let world = World::with(|options| options.brake = config).await;
    released(&world).await;
    let mut meters = Vec::new();
    for number in 1..=4 {
        let (meter, mut flash) = install(&world, &format!("meter-{number}"), number).await;
        flash.patch_firmware();
        assert_eq!(attest(&world, &meter, &mut flash).await, Ok(Attestation::Contraindicated));
        meters.push(meter);
    }
    let access: Vec<Access> = meters.iter().map(|meter| meter.access()).collect();
    assert_eq!(access, [Access::Quarantined, Access::Quarantined, Access::Limited, Access::Limited]);
    assert_eq!(world.show(&meters[3]).await.state, "failed");
    assert!(texts(&world, &meters[2]).await.contains("a person must look"));
}

#[tokio::test]
async fn evaders_in_masses_are_spared_and_stay_limited() {
    let config = brake::Config { floor: 1, ..brake::Config::default() };
    let world = World::with(|options| options.brake = config).await;
    released(&world).await;
    let (first, _) = install(&world, "meter-1", 1).await;
    let (second, _) = install(&world, "meter-2", 2).await;
    watch_reporting(&world, 200, &[&first, &second]).await;
    let mut access = [first.access(), second.access()];
    access.sort_unstable();
    assert_eq!(access, [Access::Limited, Access::Quarantined]);
}

#[tokio::test]
async fn hours_are_bounded_on_both_sides() {
    let world = World::new().await;
    world.app.add_type(&ada(), world.tenant, METER).await.unwrap();
    for (every, grace, good) in [
        (Some(1), None, true),
        (Some(8_760), Some(8_760), true),
        (Some(0), None, false),
        (Some(8_761), None, false),
        (Some(1), Some(0), false),
        (None, Some(1), false),
    ] {
        let set = world.app.set_attestation_policy(&ada(), world.tenant, METER, &policy(every, grace)).await;
        assert_eq!(set.is_ok(), good, "{every:?} {grace:?}");
    }
}

#[tokio::test]
async fn who_comes_back_with_a_certificate_loses_the_pre_shared_key_instead() {
    let world = World::new().await;
    released(&world).await;
    let (meter, mut flash) = install(&world, "meter-1", 1).await;
    let psk = async || world.app.credential(b"meter-1").await.unwrap().unwrap().psk.to_vec();
    let before = psk().await;
    world.app.opened_by_certificate(&meter, &EXPORTER);
    assert_eq!(attest(&world, &meter, &mut flash).await, Ok(Attestation::Affirming));
    assert_eq!(psk().await, before, "it did not fail");
    flash.patch_firmware();
    assert_eq!(attest(&world, &meter, &mut flash).await, Ok(Attestation::Contraindicated));
    assert_eq!(psk().await, before);
    flash.restore();
    world.clock.advance(MINUTE);
    assert_eq!(attest(&world, &meter, &mut flash).await, Ok(Attestation::Affirming));
    let after = psk().await;
    assert_ne!(after, before, "what failed may have read it");
    for access in [Access::Limited, Access::Full] {
        world.clock.advance(1_000); // a challenge from after the last verdict
        assert_eq!(attest(&world, &meter, &mut flash).await, Ok(Attestation::Affirming));
        assert_eq!(meter.access(), access);
    }
    assert_eq!(psk().await, after, "once for each failure");
    assert!(!meter.is_key_replaced() && !meter.wants_key());
}
