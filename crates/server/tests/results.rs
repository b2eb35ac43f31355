//! Attestation results: ours, as a relying party reads them, and another verifier's, as a device brings them.
#![allow(
    clippy::disallowed_methods,
    clippy::disallowed_types,
    clippy::unwrap_used,
    reason = "a test owns its sockets, files and clock, and says where it cannot go on"
)]
#![cfg(feature = "demo")]

#[path = "support/corim.rs"]
mod corim;

use std::sync::Arc;

use bartizan_crypto::{AWS_LC, Secret};
use bartizan_server::app::references::PolicyView;
use bartizan_server::app::trusted_keys::{KeyRole, NewTrustedKey};
use bartizan_server::app::{Actor, App, AppOptions, Device, Error, Misuse, NewDevice, Refusal};
use bartizan_server::clock::Clock;
use bartizan_server::store::{MasterKey, fill_random};
use bartizan_trust::appraisal::{Trust, Vector};
use bartizan_trust::challenge::{CHALLENGE_BYTES, binding};
use bartizan_trust::cose::SigningKey;
use bartizan_trust::result::{Appraisal, Ear, VerifierId, from_base64url};
use bartizan_trust::{Identity, PublicKey};
use bartizan_wire::{Access, Attestation, TenantId, UnixMillis};

const METER: &str = "water meter";
const ELSEWHERE: &str = "lab verifier";
const LAB: u8 = 1;
const SOMEBODY: u8 = 2;
const EXPORTER: Secret<32> = Secret::new([9; 32]);
const METER_1: Identity = Identity([7; 32]);

fn ada() -> Actor {
    Actor("ada".into())
}

/// A water works whose meters are judged by a laboratory.
struct Works {
    app: Arc<App>,
    tenant: TenantId,
    meter: Arc<Device>,
    _folder: tempfile::TempDir,
}

impl Works {
    async fn new() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let key = MasterKey::from_bytes([42; 32]);
        let app = App::open(AppOptions::new(folder.path().join("data"), key, Clock::real())).await.unwrap();
        let upstream = format!("log:{}", folder.path().join("log").display());
        app.add_tenant(&ada(), "works", upstream.parse().unwrap()).await.unwrap();
        let tenant = app.tenant_id("works").await.unwrap();
        app.add_type(&ada(), tenant, METER).await.unwrap();
        let policy = PolicyView { verifier: Some(ELSEWHERE.into()), ..PolicyView::default() };
        app.set_attestation_policy(&ada(), tenant, METER, &policy).await.unwrap();
        let new = NewTrustedKey { name: ELSEWHERE.into(), key: corim::pem(LAB) };
        app.add_trusted_key(&ada(), tenant, KeyRole::Verifier, &new).await.unwrap();
        let device = NewDevice { name: "meter-1".into(), device_type: METER.into(), ..NewDevice::default() };
        app.add_device(&ada(), tenant, device).await.unwrap();
        let key = app.device_key(tenant, "meter-1").await.unwrap();
        app.set_identity(&ada(), key, &METER_1.to_string()).await.unwrap();
        let meter = app.load_device(key).await.unwrap().unwrap();
        Self { app, tenant, meter, _folder: folder }
    }

    fn now_s(&self) -> u64 {
        self.app.clock().now().0 / 1000
    }

    /// What the laboratory says of meter 1, for a new challenge in the session.
    async fn result(&self, status: Attestation) -> Ear {
        let challenge = self.app.challenge(&self.meter).await.unwrap();
        let nonce = [&challenge[..], &binding(&AWS_LC, &EXPORTER, &challenge)].concat();
        let vector = Vector { executables: Trust::of(status), ..Vector::default() };
        let identity = Some(METER_1);
        let appraisal = Appraisal { status, vector, policies: Vec::new(), identity, reasons: Vec::new() };
        Ear {
            issued: self.now_s(),
            expires: Some(self.now_s() + 60),
            verifier: VerifierId { developer: "lab.example".into(), build: "1".into() },
            nonce: Some(nonce),
            appraisals: vec![("meter".into(), appraisal)],
        }
    }

    async fn bring(&self, bytes: &[u8]) -> Result<Attestation, Refusal> {
        self.app.attest(&self.meter, &EXPORTER, bytes).await
    }
}

fn jwt(ear: &Ear, by: u8) -> Vec<u8> {
    ear.to_jwt(&AWS_LC, &SigningKey::P256(&Secret::new([by; 32])), &mut fill_random).unwrap().into_bytes()
}

fn cwt(ear: &Ear, by: u8) -> Vec<u8> {
    ear.to_cwt(&AWS_LC, &SigningKey::P256(&Secret::new([by; 32])), &mut fill_random).unwrap()
}

#[tokio::test]
async fn another_verifiers_result_counts_like_evidence_and_once() {
    let works = Works::new().await;
    let good = works.result(Attestation::Affirming).await;
    assert_eq!(works.bring(&jwt(&good, LAB)).await, Ok(Attestation::Affirming));
    assert!(matches!(works.bring(&jwt(&good, LAB)).await, Err(Refusal::Challenge(_))), "a replay");
    let bad = works.result(Attestation::Contraindicated).await;
    assert_eq!(works.bring(&cwt(&bad, LAB)).await, Ok(Attestation::Contraindicated));
    assert_eq!(works.meter.access(), Access::Quarantined);
    let shown = works.app.show_attestation(works.meter.key).await.unwrap();
    let reasons = shown.verdicts[0].reasons.join(" ");
    assert!(reasons.contains("lab verifier says of executables: contraindicated"), "{reasons}");
}

#[tokio::test]
async fn a_result_of_nobody_known_about_another_or_for_another_session_speaks_against_its_bringer() {
    for case in 0..5 {
        let works = Works::new().await;
        let mut ear = works.result(Attestation::Affirming).await;
        let mut by = LAB;
        match case {
            0 => by = SOMEBODY,
            1 => ear.appraisals[0].1.identity = Some(Identity([8; 32])),
            2 => ear.appraisals[0].1.identity = None,
            3 => ear.nonce.as_mut().unwrap()[40] ^= 1,
            _ => ear.expires = Some(ear.issued - 1),
        }
        assert_eq!(works.bring(&jwt(&ear, by)).await, Ok(Attestation::Contraindicated), "case {case}");
        assert_eq!(works.meter.access(), Access::Quarantined, "case {case}");
    }
}

#[tokio::test]
async fn a_result_that_says_nothing_or_answers_nothing_changes_nothing() {
    let works = Works::new().await;
    let nothing = works.result(Attestation::None).await;
    assert!(matches!(works.bring(&jwt(&nothing, LAB)).await, Err(Refusal::Format(_))));
    let mut old = works.result(Attestation::Affirming).await;
    let invented = [3; CHALLENGE_BYTES];
    old.nonce = Some([&invented[..], &binding(&AWS_LC, &EXPORTER, &invented)].concat());
    assert!(matches!(works.bring(&jwt(&old, LAB)).await, Err(Refusal::Challenge(_))));
    assert_eq!(works.meter.access(), Access::Full);
    let shown = works.app.show_attestation(works.meter.key).await.unwrap();
    assert_eq!((shown.tier.as_str(), shown.verdicts.len()), ("none", 0));
}

#[tokio::test]
async fn nobody_is_blamed_for_a_verifier_whose_key_was_taken_away() {
    let works = Works::new().await;
    let good = works.result(Attestation::Affirming).await;
    works.app.remove_trusted_key(&ada(), works.tenant, KeyRole::Verifier, ELSEWHERE).await.unwrap();
    assert!(matches!(works.bring(&jwt(&good, LAB)).await, Err(Refusal::Unavailable(_))));
    assert_eq!(works.meter.access(), Access::Full);
    // Who may sign reference values may not judge devices by that.
    let new = NewTrustedKey { name: ELSEWHERE.into(), key: corim::pem(LAB) };
    works.app.add_trusted_key(&ada(), works.tenant, KeyRole::Signer, &new).await.unwrap();
    assert!(matches!(works.bring(&jwt(&good, LAB)).await, Err(Refusal::Unavailable(_))));
}

/// The key of our results, as a relying party takes it from the JWK set.
fn published(app: &App) -> PublicKey {
    let keys = app.result_keys();
    let part = |name: &str| from_base64url(keys["keys"][0][name].as_str().unwrap()).unwrap();
    PublicKey::P256([vec![4], part("x"), part("y")].concat().try_into().unwrap())
}

#[tokio::test]
async fn relying_parties_get_a_signed_result_while_the_verdict_stands() {
    let works = Works::new().await;
    let before = works.app.attestation_result(works.meter.key, None).await;
    assert!(matches!(before, Err(Error::Misuse(Misuse::Conflict(_)))), "{before:?}");
    let warned = works.result(Attestation::Warning).await;
    assert_eq!(works.bring(&jwt(&warned, LAB)).await, Ok(Attestation::Warning));
    let result = works.app.attestation_result(works.meter.key, Some("bm9uY2Utb2YtdGhlaXJz")).await.unwrap();
    let (key, now) = (published(&works.app), UnixMillis(works.now_s() * 1000));
    let read = Ear::from_jwt(&AWS_LC, &result.jwt, &key, now).unwrap();
    assert_eq!(read, Ear::from_cwt(&AWS_LC, &from_base64url(&result.cwt).unwrap(), &key, now).unwrap());
    let (name, appraisal) = &read.appraisals[0];
    assert_eq!((name.as_str(), appraisal.tier(), appraisal.identity), ("meter-1", Attestation::Warning, Some(METER_1)));
    assert_eq!(appraisal.reasons.len(), 1, "{:?}", appraisal.reasons);
    assert_eq!(read.nonce.as_deref(), Some(&b"nonce-of-theirs"[..]));
    for bad in ["", "c2hvcnQ", "not base64!", &"A".repeat(90)] {
        let refused = works.app.attestation_result(works.meter.key, Some(bad)).await;
        assert!(matches!(refused, Err(Error::Malformed(_))), "{bad}");
    }
    let later = UnixMillis(now.0 + 2 * 3_600_000);
    assert!(Ear::from_jwt(&AWS_LC, &result.jwt, &key, later).is_err(), "it does not last");
}
