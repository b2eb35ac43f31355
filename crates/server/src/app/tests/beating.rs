//! Heartbeats and what is remembered of evidence: which signatures are spared, what is prolonged, and what never is.

use std::cell::Cell;

use bartizan_crypto::{AWS_LC, Provider, RUSTCRYPTO, Secret, SignatureAlgorithm};
use bartizan_device::attest::{Attester, Carry};
use bartizan_sim::{CHAIN_BYTES, Flash};
use bartizan_trust::challenge::binding;
use bartizan_trust::heartbeat;
use bartizan_wire::Attestation;

use super::attesting::*;
use super::*;

thread_local! {
    static VERIFIED: Cell<usize> = const { Cell::new(0) };
}

macro_rules! counted {
    ($algorithm:ident) => {
        SignatureAlgorithm {
            verify: |key, message, signature| {
                VERIFIED.with(|count| count.set(count.get() + 1));
                (AWS_LC.$algorithm.verify)(key, message, signature)
            },
            ..AWS_LC.$algorithm
        }
    };
}

/// Counts the signatures that it verifies.
static COUNTING: Provider =
    Provider { name: "counting", ecdsa_p256_sha256: counted!(ecdsa_p256_sha256), ed25519: counted!(ed25519), ..AWS_LC };

/// Signatures verified while `work` ran.
async fn signatures<T>(work: impl Future<Output = T>) -> (T, usize) {
    VERIFIED.set(0);
    let done = work.await;
    (done, VERIFIED.get())
}

async fn scene() -> (World, Arc<Device>, Flash) {
    let world = World::with(|options| options.verifier = &COUNTING).await;
    released(&world).await;
    let (device, flash) = install(&world, "meter-1", 1).await;
    (world, device, flash)
}

fn evidence(attester: &Attester<'_>, challenge: &[u8], carry: Carry) -> Vec<u8> {
    let mut out = [0; 3_000];
    let bound = binding(&RUSTCRYPTO, &EXPORTER, challenge);
    let made = attester.evidence(&RUSTCRYPTO, &mut random, challenge, &bound, carry, &mut out).unwrap();
    out[..made].to_vec()
}

fn signed(attester: &Attester<'_>, challenge: &[u8], exporter: &Secret<32>) -> Vec<u8> {
    let mut out = [0; 300];
    let bound = binding(&RUSTCRYPTO, exporter, challenge);
    let made = attester.heartbeat(&RUSTCRYPTO, &mut random, challenge, &bound, &mut out).unwrap();
    out[..made].to_vec()
}

fn tagged(attester: &Attester<'_>, challenge: &[u8], exporter: &Secret<32>, evidence: &[u8]) -> Vec<u8> {
    let mut out = [0; 200];
    let key = heartbeat::key(&RUSTCRYPTO, exporter, evidence);
    let made = attester.tagged_heartbeat(&RUSTCRYPTO, &key, challenge, &mut out).unwrap();
    out[..made].to_vec()
}

async fn challenge(world: &World, device: &Device) -> Vec<u8> {
    world.clock.advance(1_000);
    world.app.challenge(device).await.unwrap().to_vec()
}

async fn bring(world: &World, device: &Arc<Device>, bytes: &[u8]) -> Result<Attestation, Refusal> {
    world.clock.advance(20_000); // and a place in the budget of this minute
    world.app.attest(device, &EXPORTER, bytes).await
}

async fn epoch(world: &World, device: &Device) -> Vec<u8> {
    world.app.epoch(device).await.unwrap().id.to_vec()
}

fn proof_at(device: &Device) -> UnixMillis {
    device.state().posture.proof_at.unwrap()
}

async fn verdicts(world: &World, device: &Device) -> usize {
    world.app.show_attestation(device.key).await.unwrap().verdicts.len()
}

#[tokio::test]
async fn a_chain_that_was_verified_costs_no_signature_again() {
    let (world, device, mut flash) = scene().await;
    let mut chain = [0; CHAIN_BYTES];
    let attester = flash.start(&mut random, &mut chain);
    let bytes = evidence(&attester, &challenge(&world, &device).await, Carry::Chain);
    let (first, verified) = signatures(bring(&world, &device, &bytes)).await;
    assert_eq!((first, verified), (Ok(Attestation::Affirming), 3), "two layers and the token");
    for carry in [Carry::Reference, Carry::Chain] {
        let bytes = evidence(&attester, &challenge(&world, &device).await, carry);
        let (again, verified) = signatures(bring(&world, &device, &bytes)).await;
        assert_eq!((again, verified), (Ok(Attestation::Affirming), 1), "{carry:?}: the token alone");
    }

    world.app.proven().forget(device.key); // evicted
    let bytes = evidence(&attester, &challenge(&world, &device).await, Carry::Reference);
    let (stored, verified) = signatures(bring(&world, &device, &bytes)).await;
    assert_eq!((stored, verified), (Ok(Attestation::Affirming), 3), "the device's last chain is stored");

    // Another identity under the same name: neither memory nor storage vouches for the old chain.
    world.app.set_identity(&ada(), device.key, &Flash::identity([2; 32]).to_string()).await.unwrap();
    let bytes = evidence(&attester, &challenge(&world, &device).await, Carry::Reference);
    let (unknown, verified) = signatures(bring(&world, &device, &bytes)).await;
    assert_eq!((unknown, verified), (Err(Refusal::Chain), 0));
    let bytes = evidence(&attester, &challenge(&world, &device).await, Carry::Chain);
    let (other, verified) = signatures(bring(&world, &device, &bytes)).await;
    assert_eq!((other, verified), (Ok(Attestation::Contraindicated), 3));
    let bytes = evidence(&attester, &challenge(&world, &device).await, Carry::Chain);
    assert_eq!(signatures(bring(&world, &device, &bytes)).await.1, 3, "another's chain is not kept for it");
}

#[tokio::test]
async fn heartbeats_prolong_without_a_signature_and_without_a_verdict() {
    let (world, device, mut flash) = scene().await;
    let mut chain = [0; CHAIN_BYTES];
    let attester = flash.start(&mut random, &mut chain);
    let full = evidence(&attester, &challenge(&world, &device).await, Carry::Chain);
    bring(&world, &device, &full).await.unwrap();
    let before = proof_at(&device);
    watch(&world, 100).await;
    let nonce = challenge(&world, &device).await;
    let issued = world.clock.now();
    let (told, verified) = signatures(bring(&world, &device, &tagged(&attester, &nonce, &EXPORTER, &full))).await;
    assert_eq!((told, verified), (Ok(Attestation::Affirming), 1), "the stored token is verified once");
    assert!(before < issued);
    assert_eq!(proof_at(&device), issued);
    for round in 0..5 {
        watch(&world, 100).await;
        let nonce = challenge(&world, &device).await;
        let (told, verified) = signatures(bring(&world, &device, &tagged(&attester, &nonce, &EXPORTER, &full))).await;
        assert_eq!((told, verified), (Ok(Attestation::Affirming), 0), "round {round}");
        watch(&world, 10).await;
        let nonce = challenge(&world, &device).await;
        let (told, verified) = signatures(bring(&world, &device, &signed(&attester, &nonce, &EXPORTER))).await;
        assert_eq!((told, verified), (Ok(Attestation::Affirming), 1), "round {round}");
    }
    assert_eq!((device.access(), verdicts(&world, &device).await), (Access::Full, 1));
    let timeline = texts(&world, &device).await;
    assert_eq!(timeline.matches("It attested").count(), 1, "{timeline}");
    watch(&world, 130).await;
    assert_eq!(device.access(), Access::Limited, "without them it is late");
    let nonce = challenge(&world, &device).await;
    let late = bring(&world, &device, &tagged(&attester, &nonce, &EXPORTER, &full)).await;
    assert!(matches!(late, Err(Refusal::Evidence(_))), "{late:?}");
    assert_eq!(device.access(), Access::Limited, "and they pay no debt");
}

#[tokio::test]
async fn a_heartbeat_of_another_start_session_key_or_challenge_prolongs_nothing() {
    let (world, device, mut flash) = scene().await;
    let mut chain = [0; CHAIN_BYTES];
    let attester = flash.start(&mut random, &mut chain);
    let full = evidence(&attester, &challenge(&world, &device).await, Carry::Chain);
    bring(&world, &device, &full).await.unwrap();
    let mut later = [0; CHAIN_BYTES];
    let restarted = flash.start(&mut random, &mut later);
    let elsewhere = Secret::new([8; 32]);
    let nonce = challenge(&world, &device).await;
    let before = proof_at(&device);
    let mut broken = tagged(&attester, &nonce, &EXPORTER, &full);
    *broken.last_mut().unwrap() ^= 1;
    for (what, bytes) in [
        ("another start", tagged(&restarted, &nonce, &EXPORTER, &full)),
        ("another start, signed", signed(&restarted, &nonce, &EXPORTER)),
        ("bound to another session", signed(&attester, &nonce, &elsewhere)),
        ("another evidence's key", tagged(&attester, &nonce, &EXPORTER, b"other evidence")),
        ("another session's key", tagged(&attester, &nonce, &elsewhere, &full)),
        ("a wrong tag", broken),
    ] {
        let told = bring(&world, &device, &bytes).await;
        assert!(matches!(told, Err(Refusal::Evidence(_))), "{what}: {told:?}");
    }
    // Whoever brings the good heartbeat through a session of his own.
    world.clock.advance(20_000);
    let good = tagged(&attester, &nonce, &EXPORTER, &full);
    let through = world.app.attest(&device, &elsewhere, &good).await;
    assert!(matches!(through, Err(Refusal::Evidence(_))), "{through:?}");
    let foreign = bring(&world, &device, &tagged(&attester, &[7; 30], &EXPORTER, &full)).await;
    assert!(matches!(foreign, Err(Refusal::Challenge(_))), "{foreign:?}");
    assert_eq!((proof_at(&device), device.access()), (before, Access::Full), "none was held against it");

    assert_eq!(bring(&world, &device, &good).await, Ok(Attestation::Affirming));
    assert!(bring(&world, &device, &good).await.is_err(), "replayed");
    let evidence = evidence(&attester, &nonce, Carry::Chain);
    assert_eq!(bring(&world, &device, &evidence).await, Err(attestation::USED), "a heartbeat uses its challenge up");
}

#[tokio::test]
async fn heartbeats_clear_nothing_and_end_with_what_is_known_of_the_firmware() {
    let (world, device, mut flash) = scene().await;
    let mut chain = [0; CHAIN_BYTES];
    let attester = flash.start(&mut random, &mut chain);
    let full = evidence(&attester, &challenge(&world, &device).await, Carry::Chain);
    bring(&world, &device, &full).await.unwrap();
    let layers = bartizan_sim::RELEASES;
    let version = layers.last().unwrap().version;
    let forbid = changes::NewChange::Status {
        device_type: METER.into(),
        component: layers.last().unwrap().component.into(),
        version: version.into(),
        status: "forbidden".into(),
        until: None,
    };
    world.app.change_references(&ada(), world.tenant, &forbid).await.unwrap();
    let nonce = challenge(&world, &device).await;
    let told = bring(&world, &device, &tagged(&attester, &nonce, &EXPORTER, &full)).await;
    assert!(matches!(told, Err(Refusal::Evidence(_))), "{told:?}");
    assert_eq!(device.access(), Access::Full, "it is only asked for evidence");
    let again = evidence(&attester, &challenge(&world, &device).await, Carry::Reference);
    assert_eq!(bring(&world, &device, &again).await, Ok(Attestation::Contraindicated));
    for exporter in [&EXPORTER] {
        let nonce = challenge(&world, &device).await;
        for bytes in [tagged(&attester, &nonce, exporter, &again), signed(&attester, &nonce, exporter)] {
            let told = bring(&world, &device, &bytes).await;
            assert!(matches!(told, Err(Refusal::Evidence(_))), "{told:?}");
        }
    }
    assert_eq!(device.access(), Access::Quarantined);
}

#[tokio::test]
async fn a_restart_forgets_no_standing_and_no_heartbeat() {
    let (world, device, mut flash) = scene().await;
    let mut chain = [0; CHAIN_BYTES];
    let attester = flash.start(&mut random, &mut chain);
    let full = evidence(&attester, &challenge(&world, &device).await, Carry::Chain);
    bring(&world, &device, &full).await.unwrap();
    let id = epoch(&world, &device).await;
    watch(&world, 30).await;
    let beat = tagged(&attester, &id, &EXPORTER, &full);
    assert_eq!(bring(&world, &device, &beat).await, Ok(Attestation::Affirming));
    let (at, last) = (proof_at(&device), device.state().posture.heartbeat);
    drop(device);
    let world = world.reopened().await;
    let device = world.device("meter-1").await;
    assert_eq!((proof_at(&device), device.state().posture.heartbeat), (at, last), "it was acknowledged");
    let replayed = bring(&world, &device, &beat).await;
    assert!(matches!(replayed, Err(Refusal::Evidence(_))), "{replayed:?}");
    let nonce = challenge(&world, &device).await;
    assert_eq!(bring(&world, &device, &tagged(&attester, &nonce, &EXPORTER, &full)).await, Ok(Attestation::Affirming));
}

#[tokio::test]
async fn one_heartbeat_an_epoch_and_only_in_it_or_the_next() {
    let (world, device, mut flash) = scene().await;
    let mut chain = [0; CHAIN_BYTES];
    let attester = flash.start(&mut random, &mut chain);
    let full = evidence(&attester, &challenge(&world, &device).await, Carry::Chain);
    bring(&world, &device, &full).await.unwrap();
    let beat = |id: &[u8]| tagged(&attester, id, &EXPORTER, &full);
    // Two hours' deadline: epochs of half an hour.
    let first = epoch(&world, &device).await;
    assert_eq!(bring(&world, &device, &beat(&first)).await, Ok(Attestation::Affirming));
    let again = bring(&world, &device, &beat(&first)).await;
    assert!(matches!(again, Err(Refusal::Evidence(_))), "{again:?}");
    watch(&world, 35).await;
    let second = epoch(&world, &device).await;
    assert_ne!(first, second);
    assert_eq!(world.app.epoch_at_hand(&device).await.map(|epoch| epoch.id.to_vec()), Some(second.clone()));
    watch(&world, 25).await;
    assert_eq!(bring(&world, &device, &beat(&second)).await, Ok(Attestation::Affirming), "in the epoch after it");
    assert!(proof_at(&device) < world.clock.now(), "it proves that it was there when its epoch began");
    let third = epoch(&world, &device).await;
    watch(&world, 65).await;
    let over = bring(&world, &device, &beat(&third)).await;
    assert!(matches!(over, Err(Refusal::Challenge(_))), "{over:?}");
    // An epoch prolongs, and lets nobody in.
    watch(&world, 120).await;
    assert_eq!(device.access(), Access::Limited);
    let now = epoch(&world, &device).await;
    let told = bring(&world, &device, &beat(&now)).await;
    assert!(matches!(told, Err(Refusal::Evidence(_))), "{told:?}");
    assert_eq!((device.access(), world.app.epoch_at_hand(&device).await), (Access::Limited, None));
}

#[tokio::test]
async fn heartbeats_are_budgeted_like_evidence() {
    let (world, device, mut flash) = scene().await;
    let mut chain = [0; CHAIN_BYTES];
    let attester = flash.start(&mut random, &mut chain);
    let full = evidence(&attester, &challenge(&world, &device).await, Carry::Chain);
    bring(&world, &device, &full).await.unwrap();
    let mut told = Vec::new();
    for _ in 0..9 {
        world.clock.advance(1);
        let nonce = world.app.challenge(&device).await.unwrap();
        told.push(world.app.attest(&device, &EXPORTER, &tagged(&attester, &nonce, &EXPORTER, &full)).await);
    }
    assert!(told.iter().take(5).all(Result::is_ok), "{told:?}");
    assert_eq!(told.last(), Some(&Err(Refusal::TooMuch)));
}

#[tokio::test]
async fn the_length_of_epochs_is_bounded_on_both_sides() {
    let world = World::new().await;
    world.app.add_type(&ada(), world.tenant, METER).await.unwrap();
    for (every, epoch_minutes, good) in [
        (None, Some(1), true),
        (None, Some(24 * 60), true),
        (None, Some(0), false),
        (None, Some(24 * 60 + 1), false),
        (Some(1), None, true),
        (Some(1), Some(30), true),
        (Some(1), Some(31), false),
    ] {
        let policy = references::PolicyView { epoch_minutes, ..policy(every, None) };
        let set = world.app.set_attestation_policy(&ada(), world.tenant, METER, &policy).await;
        assert_eq!(set.is_ok(), good, "{every:?} {epoch_minutes:?}");
    }
}

#[tokio::test]
async fn what_is_damaged_of_one_device_excuses_that_device_alone() {
    let (world, broken, mut flash) = scene().await;
    let (other, mut its_flash) = install(&world, "meter-2", 2).await;
    assert_eq!(attest(&world, &broken, &mut flash).await, Ok(Attestation::Affirming));
    assert_eq!(attest(&world, &other, &mut its_flash).await, Ok(Attestation::Affirming));
    let damage = "UPDATE attesters SET identity = x'00' WHERE device = ?";
    let store = &broken.tenant().store;
    damage_row(store, damage, broken.key.device.0).await;
    for _ in 0..30 {
        watch_reporting(&world, 10, &[&broken, &other]).await;
        assert!(matches!(world.app.challenge(&broken).await, Err(Refusal::Damaged(_))));
    }
    assert_eq!(broken.access(), Access::Full, "nobody could judge it");
    assert_eq!(other.access(), Access::Quarantined, "and this one reported on without evidence");
}

async fn damage_row(store: &crate::store::TenantStore, statement: &'static str, device: u64) {
    let device = i64::try_from(device).unwrap();
    sqlx::query(statement).bind(device).execute(store.db.write()).await.unwrap();
}
