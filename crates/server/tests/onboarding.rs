//! Devices join with no touch over DTLS and CoAP: who gets in, who waits, and who is told from another with its secret.
#![allow(
    clippy::disallowed_methods,
    clippy::disallowed_types,
    clippy::unwrap_used,
    reason = "a test owns its sockets, files and clock, and says where it cannot go on"
)]
#![cfg(feature = "demo")]

#[path = "gateway/joining.rs"]
mod joining;
#[path = "gateway/scene.rs"]
mod scene;

use std::sync::Arc;

use bartizan_crypto::{AWS_LC, RUSTCRYPTO, Secret};
use bartizan_device::dice::{Algorithm, KeyPair};
use bartizan_device::enrol::{self, FirstContact, Owner, PinnedDomain};
use bartizan_device::{Code, Request, Versions};
use bartizan_server::app::onboarding::{Approval, NewManufacturer, NewVoucher};
use bartizan_trust::cose::SigningKey;
use bartizan_trust::voucher::{Assertion, Voucher};
use bartizan_wire::{Access, DeviceKey, UnixMillis};

use joining::*;
use scene::*;

#[tokio::test]
async fn a_batch_joins_by_its_order_file_with_no_touch() {
    let scene = joined_scene().await;
    let secrets: Vec<[u8; 32]> = (1..=6).map(|number| [number; 32]).collect();
    order(&scene, &secrets).await;
    for (number, secret) in secrets.iter().enumerate() {
        let versions = if number % 2 == 0 { Versions::DTLS_1_2 } else { Versions::DTLS_1_3 };
        let mut pledge = Pledge::new(*secret, versions);
        let certificate = pledge.join(&scene).await.unwrap();
        // From now on its certificate is who it is.
        let mut link = pledge.operational(&scene, &certificate).await;
        let answer = link.ask(Request::post("/meter/volume", 50, br#"{"litres":3}"#)).await;
        assert_eq!(answer.code, Code::CHANGED, "{answer:?}");
        let view = scene.app.show_device(pledge.key(&scene)).await.unwrap();
        assert_eq!((view.name.as_str(), view.access.as_str()), (name(number).as_str(), "full"));
        assert_eq!(view.device_type, METER);
    }
    assert_eq!(scene.delivered().len(), secrets.len());
    assert!(scene.app.onboarding_queue(scene.tenant).await.unwrap().is_empty());
    let page = scene.app.orders(scene.tenant, &bartizan_server::app::Paging::default()).await.unwrap();
    assert!(page.items.iter().all(|order| order.used.is_some()));
}

#[tokio::test]
async fn a_stranger_reaches_nothing_but_enrolment_and_nobody_waits_for_it() {
    let scene = joined_scene().await;
    let mut pledge = Pledge::new([9; 32], Versions::DTLS_1_2);
    let mut link = pledge.applicant(&scene).await;
    for request in [
        Request::post("/meter/volume", 50, b"{}"),
        Request::get("/.well-known/bartizan/status"),
        Request::get("/.well-known/bartizan/attestation"),
    ] {
        assert_eq!(link.ask(request).await.code, Code::FORBIDDEN);
    }
    let answer = link.ask(enrol::enrolment(&pledge.request())).await;
    assert_eq!(answer.code, Code::FORBIDDEN, "{answer:?}");
    assert!(scene.app.onboarding_queue(scene.tenant).await.unwrap().is_empty(), "anybody can make such a chain");
    assert_eq!(link.ask(Request::get("/.well-known/core")).await.code, Code::CONTENT);
    assert_eq!(link.ask(Request::get("/est/att")).await.code, Code::CONTENT);
    assert!(scene.delivered().is_empty());
    assert_eq!(scene.gateway.counters().records, 6, "all were records of its own");
}

#[tokio::test]
async fn two_devices_with_one_secret_are_limited_and_a_person_is_called() {
    let scene = joined_scene().await;
    order(&scene, &[[1; 32]]).await;
    let mut first = Pledge::new([1; 32], Versions::DTLS_1_2);
    let certificate = first.join(&scene).await.unwrap();
    let mut link = first.operational(&scene, &certificate).await;
    assert_eq!(link.ask(Request::post("/meter/volume", 50, b"{}")).await.code, Code::CHANGED);
    let key = first.key(&scene);

    // Again from another address, with the same start: the answer was lost perhaps.
    assert!(first.enrol(&scene).await.is_ok());
    // After a further start, with its certificate lost.
    first.restart();
    assert!(first.enrol(&scene).await.is_ok());
    assert_eq!(access(&scene, key).await, Access::Full, "never merely for a new address");

    let mut second = Pledge::new([1; 32], Versions::DTLS_1_2);
    assert_eq!(second.enrol(&scene).await, Err(Code::SERVICE_UNAVAILABLE));
    assert_eq!(access(&scene, key).await, Access::Limited);
    let queue = scene.app.onboarding_queue(scene.tenant).await.unwrap();
    let [line] = queue.as_slice() else { panic!("{queue:?}") };
    assert!(line.why.starts_with("clone or replaced board?"), "{line:?}");
    assert_eq!(line.device, Some(name(0)));
    let findings = scene.app.findings(scene.tenant, &bartizan_server::app::Paging::default()).await.unwrap();
    assert!(findings.items.iter().any(|finding| finding.text.contains("cloned")), "{findings:?}");
    // However often it knocks.
    assert_eq!(second.enrol(&scene).await, Err(Code::SERVICE_UNAVAILABLE));
    let queue = scene.app.onboarding_queue(scene.tenant).await.unwrap();
    assert_eq!((queue.len(), queue[0].knocks), (1, 2));

    // A person decides for the second, and releases the device.
    scene.app.approve(&ada(), scene.tenant, &queue[0].identity, &Approval::default()).await.unwrap();
    scene.app.release(&ada(), key, "the board was replaced").await.unwrap();
    assert_eq!(access(&scene, key).await, Access::Full);
    assert!(second.enrol(&scene).await.is_ok());
}

#[tokio::test]
async fn one_secret_twice_in_an_order_file_is_refused_with_its_line() {
    let scene = joined_scene().await;
    let identity = bartizan_sim::Flash::identity([1; 32]);
    let csv = format!("name,type,identity\na,{METER},{identity}\nb,{METER},{identity}\n");
    let refused = scene.app.import_orders(&ada(), scene.tenant, std::io::Cursor::new(csv)).await.unwrap_err();
    let bartizan_server::app::Error::Import(bad) = refused else { panic!("{refused}") };
    assert_eq!((bad.total, bad.lines[0].line), (1, 3));
    // And with that of a device that is there.
    let (key, _) = scene.add("old").await;
    scene.app.set_identity(&ada(), key, &identity.to_string()).await.unwrap();
    let csv = format!("name,type,identity\na,{METER},{identity}\n");
    assert!(scene.app.import_orders(&ada(), scene.tenant, std::io::Cursor::new(csv)).await.is_err());
}

#[tokio::test]
async fn a_make_alone_waits_for_a_person() {
    let scene = joined_scene().await;
    let maker = Maker::new();
    let new = NewManufacturer { name: "Acme".into(), pem: maker.pem() };
    scene.app.add_manufacturer(&ada(), scene.tenant, &new).await.unwrap();
    let mut pledge = maker.made("MX-0815", Versions::DTLS_1_2);
    for knocks in 1..=2 {
        assert_eq!(pledge.enrol(&scene).await, Err(Code::SERVICE_UNAVAILABLE));
        let queue = scene.app.onboarding_queue(scene.tenant).await.unwrap();
        assert_eq!((queue.len(), queue[0].knocks), (1, knocks), "one line, however often it knocks");
        assert_eq!((queue[0].manufacturer.as_str(), queue[0].shown.as_str()), ("Acme", "Acme MX-0815"));
    }
    let line = scene.app.onboarding_queue(scene.tenant).await.unwrap().remove(0);
    scene.app.refuse(&ada(), scene.tenant, &line.identity).await.unwrap();
    assert_eq!(pledge.enrol(&scene).await, Err(Code::FORBIDDEN));
    let approval = Approval { name: Some("m-1".into()), device_type: Some(METER.into()) };
    scene.app.approve(&ada(), scene.tenant, &line.identity, &approval).await.unwrap();
    let certificate = pledge.enrol(&scene).await.unwrap();
    let mut link = pledge.operational(&scene, &certificate).await;
    assert_eq!(link.ask(Request::post("/x", 50, b"{}")).await.code, Code::CHANGED);
    // Another manufacturer's devices are nobody's.
    let mut other = Maker::new().made("MX-0815", Versions::DTLS_1_2);
    assert!(other.try_applicant(&scene).await.is_none());
}

#[tokio::test]
async fn a_voucher_is_believed_by_both_sides_and_counts_once() {
    let scene = joined_scene().await;
    let maker = Maker::new();
    let new = NewManufacturer { name: "Acme".into(), pem: maker.pem() };
    scene.app.add_manufacturer(&ada(), scene.tenant, &new).await.unwrap();
    let gateway = scene.app.gateway_certificate().await.unwrap();
    let bytes = maker.voucher("MX-1", &gateway);
    let hex = bartizan_platform::import::secret::to_hex(&bytes);
    let new = NewVoucher { device_type: METER.into(), name: None, voucher: format!("hex:{hex}") };
    scene.app.add_voucher(&ada(), scene.tenant, &new).await.unwrap();
    assert!(scene.app.add_voucher(&ada(), scene.tenant, &new).await.is_err(), "it counts once");

    // First contact: nobody is believed yet.
    let mut pledge = maker.made("MX-1", Versions::DTLS_1_3);
    let mut link = pledge.applicant_believing(&scene, Arc::new(FirstContact)).await.unwrap();
    let answer = link.ask(enrol::voucher_request()).await;
    assert_eq!((answer.code, answer.format), (Code::CONTENT, Some(18)));
    let public = maker.public();
    let now = UnixMillis(jiff::Timestamp::now().as_millisecond() as u64);
    let owner = Owner { manufacturer: &public, serial_number: "MX-1", nonce: None, now: Some(now) };
    let domain = owner.accept(&RUSTCRYPTO, &answer.payload).unwrap();
    assert_eq!(domain.certificate(), gateway);
    // Second contact: whoever is not the owner is not spoken to.
    assert!(pledge.applicant_believing(&scene, Arc::new(domain)).await.is_some());
    let impostor = maker.certificate("MX-2");
    let other = PinnedDomain::new(&RUSTCRYPTO, &impostor, Some(now)).unwrap();
    assert!(pledge.applicant_believing(&scene, Arc::new(other)).await.is_none());
    let certificate = pledge.enrol(&scene).await.unwrap();
    assert!(!certificate.is_empty());
    let key = scene.app.device_key(scene.tenant, "MX-1").await.unwrap();
    assert_eq!(access(&scene, key).await, Access::Full);
}

#[tokio::test]
async fn isolation_is_the_same_for_certificates_and_a_restart_forgets_no_device_and_every_stranger() {
    let scene = joined_scene().await;
    order(&scene, &[[1; 32], [2; 32]]).await;
    let mut pledge = Pledge::new([1; 32], Versions::DTLS_1_3);
    let certificate = pledge.join(&scene).await.unwrap();
    let mut link = pledge.operational(&scene, &certificate).await;
    let key = pledge.key(&scene);
    let report = || Request::post("/meter/volume", 50, b"{}");
    assert_eq!(link.ask(report()).await.code, Code::CHANGED);
    let mut stranger = Pledge::new([2; 32], Versions::DTLS_1_3);
    let mut strange = stranger.applicant(&scene).await;
    assert_eq!(strange.ask(Request::get("/est/att")).await.code, Code::CONTENT);

    let scene = scene.restart().await;
    assert_eq!(link.ask(report()).await.code, Code::CHANGED);
    assert_eq!(link.handshakes, 1, "resumed from the journal");
    strange.ask(Request::get("/est/att")).await;
    assert_eq!(strange.handshakes, 2, "no stranger comes back from it");

    scene.app.isolate(&ada(), key, "a test", false).await.unwrap();
    assert_eq!(link.ask(report()).await.code, Code::FORBIDDEN);
    let renewal = enrol::renewal(&pledge.request());
    assert_eq!(link.ask(renewal.clone()).await.code, Code::FORBIDDEN, "no certificate for the isolated");
    scene.app.isolate(&ada(), key, "a test", true).await.unwrap();
    assert!(pledge.try_operational(&scene, &certificate).await.is_none(), "refused at the door");
    scene.app.release(&ada(), key, "over").await.unwrap();
    let mut link = pledge.operational(&scene, &certificate).await;
    assert_eq!(link.ask(renewal).await.code, Code::CHANGED);

    let view = scene.app.certificates(scene.tenant, &Default::default(), &Default::default()).await.unwrap();
    let reason = bartizan_server::app::certificates::Reason::KeyCompromise;
    for issued in view.items {
        scene.app.revoke_certificate(&ada(), scene.tenant, &issued.serial, reason).await.unwrap();
    }
    assert!(pledge.try_operational(&scene, &certificate).await.is_none(), "taken back");
}

#[tokio::test]
async fn keys_are_made_here_for_who_cannot() {
    let scene = joined_scene().await;
    order(&scene, &[[1; 32]]).await;
    let mut pledge = Pledge::new([1; 32], Versions::DTLS_1_2);
    let mut link = pledge.applicant(&scene).await;
    let csr = pledge.request();
    for (path, format) in [("/.well-known/est/skg", 281_u16), ("/.well-known/est/skc", 287)] {
        let answer = link.ask(Request::post(path, 286, &csr)).await;
        assert_eq!((answer.code, answer.format), (Code::CHANGED, Some(62)), "{answer:?}");
        let parts = bartizan_trust::cbor::Strict::new(&answer.payload).unwrap();
        let parts: Vec<_> = parts.array().unwrap().collect();
        assert_eq!((parts[0].uint(), parts[2].uint()), (Some(284), Some(u64::from(format))));
        assert!(!parts[1].byte_string().unwrap().is_empty());
    }
}

async fn access(scene: &Scene, key: DeviceKey) -> Access {
    Access::from_name(&scene.app.show_device(key).await.unwrap().access).unwrap()
}

impl Maker {
    fn public(&self) -> bartizan_trust::PublicKey {
        SigningKey::P256(&self.secret).public(&AWS_LC).unwrap()
    }

    /// Its word that a device belongs to whom this certificate is.
    fn voucher(&self, serial: &str, pinned: &[u8]) -> Vec<u8> {
        let now = UnixMillis(jiff::Timestamp::now().as_millisecond() as u64);
        let voucher = Voucher {
            serial_number: serial,
            assertion: Assertion::Verified,
            created: now,
            expires: Some(now.plus(86_400_000)),
            nonce: None,
            pinned_domain_cert: pinned,
            idevid_issuer: None,
        };
        let (mut room, mut out) = (vec![0; 8192], vec![0; 4096]);
        let key = SigningKey::P256(&self.secret);
        let length = voucher.sign(&AWS_LC, &mut random, &key, &mut room, &mut out).unwrap();
        out.truncate(length);
        out
    }
}

#[test]
fn the_key_of_a_device_is_its_own() {
    let pair = KeyPair::from_seed(&RUSTCRYPTO, Algorithm::P256, &Secret::new([3; 32])).unwrap();
    assert!(matches!(pair.public(), bartizan_trust::PublicKey::P256(_)));
}
