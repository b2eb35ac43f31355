//! Certificates of devices over a real store: issued, believed, taken back, and authorities that follow one another.

use rcgen::{CertificateParams, KeyPair};

use super::*;
use crate::app::authorities::Bundle;
use crate::app::certificates::{CertificateFilter, Reason};
use crate::ca::{self, Authority, Key, Serial, Validity, hierarchy};

const DAY: u64 = 24 * HOUR;

/// A root in nobody's database.
pub(super) struct Root(Authority);

impl Root {
    pub fn new(now: UnixMillis, days: u64) -> Self {
        let (key, _) = Key::generate().unwrap();
        let validity = Validity { not_before: now, not_after: UnixMillis(now.0 + days * DAY) };
        let root = hierarchy::root("root", &key, &fresh(), validity).unwrap();
        Self(Authority::new(root, key).unwrap())
    }

    fn pem(&self) -> String {
        ca::pem("CERTIFICATE", self.0.certificate())
    }

    /// Gives the tenant another authority.
    pub async fn set_up(&self, world: &World, days: u64) -> u64 {
        let view = world.app.request_authority(&ada(), world.tenant).await.unwrap();
        let signed = self.sign(&view.request, world.clock.now(), days);
        let bundle = Bundle { certificates: format!("{signed}{}", self.pem()) };
        let view = world.app.install_authority(&ada(), world.tenant, &bundle).await.unwrap();
        assert_eq!(view.state, "installed");
        view.number
    }

    fn sign(&self, request: &str, now: UnixMillis, days: u64) -> String {
        let request = der(request);
        let validity = Validity { not_before: now, not_after: UnixMillis(now.0 + days * DAY) };
        ca::pem("CERTIFICATE", &hierarchy::sign(&self.0, &request, &fresh(), validity).unwrap())
    }
}

fn fresh() -> Serial {
    let mut random = [0; 16];
    crate::store::fill_random(&mut random);
    Serial::new(random)
}

fn der(pem: &str) -> Vec<u8> {
    use rustls::pki_types::{CertificateSigningRequestDer, pem::PemObject};
    CertificateSigningRequestDer::from_pem_slice(pem.as_bytes()).unwrap().to_vec()
}

/// A request of a fresh key.
pub(super) fn csr() -> Vec<u8> {
    CertificateParams::default().serialize_request(&KeyPair::generate().unwrap()).unwrap().der().to_vec()
}

impl World {
    async fn certify(&self, device: &Arc<Device>) -> Result<Vec<u8>, CertificateError> {
        self.app.issue_certificate(device, &csr(), Enrolled::Secret).await
    }

    fn admitted(&self, certificate: &[u8]) -> Result<DeviceKey, Distrust> {
        self.app.admission().device_of(&[certificate], self.clock.now()).map(|(device, _)| device)
    }

    async fn serial(&self, device: &Device) -> String {
        let filter = CertificateFilter { device: Some(device.name.clone()), ..CertificateFilter::default() };
        let page = self.app.certificates(self.tenant, &filter, &Paging::default()).await.unwrap();
        page.items.first().unwrap().serial.clone()
    }
}

#[tokio::test]
async fn a_device_s_certificate_is_believed_until_its_end_or_until_it_is_taken_back() {
    let world = World::new().await;
    let (kept, lost) = (world.add("kept").await, world.add("lost").await);
    assert!(matches!(world.certify(&kept).await, Err(CertificateError::NoAuthority)));
    Root::new(world.clock.now(), 3650).set_up(&world, 1000).await;
    let (kept_one, lost_one) = (world.certify(&kept).await.unwrap(), world.certify(&lost).await.unwrap());
    assert_eq!(world.admitted(&kept_one), Ok(kept.key));
    assert_eq!(world.admitted(&lost_one), Ok(lost.key));

    let mut changes = world.app.access_changes();
    let serial = world.serial(&lost).await;
    let view = world.app.revoke_certificate(&ada(), world.tenant, &serial, Reason::KeyCompromise).await.unwrap();
    assert_eq!((view.state.as_str(), view.reason.as_deref()), ("revoked", Some("key_compromise")));
    assert_eq!(world.admitted(&lost_one), Err(Distrust::Revoked));
    let change = changes.recv().await.unwrap();
    assert!(change.close && change.device.key == lost.key, "its association ends");
    assert!(world.app.revoke_certificate(&ada(), world.tenant, &serial, Reason::Superseded).await.is_err());

    let world = world.reopened().await;
    assert_eq!(world.admitted(&lost_one), Err(Distrust::Revoked), "a crash forgets nothing");
    assert_eq!(world.admitted(&kept_one), Ok(kept.key));
    world.clock.advance(91 * DAY);
    assert!(matches!(world.admitted(&kept_one), Err(Distrust::Refused(_))));
}

#[tokio::test]
async fn who_is_isolated_or_retired_gets_no_certificate() {
    let world = World::new().await;
    Root::new(world.clock.now(), 3650).set_up(&world, 1000).await;
    let device = world.add("meter").await;
    world.app.isolate(&ada(), device.key, "odd", false).await.unwrap();
    assert!(matches!(world.certify(&device).await, Err(CertificateError::Refused(_))));
    world.app.release(&ada(), device.key, "fine").await.unwrap();
    world.certify(&device).await.unwrap();
    world.app.retire(&ada(), device.key, "sold").await.unwrap();
    assert!(matches!(world.certify(&device).await, Err(CertificateError::Refused(_))));
}

#[tokio::test]
async fn one_key_is_one_device_s_and_a_day_has_so_many_certificates() {
    let world = World::new().await;
    Root::new(world.clock.now(), 3650).set_up(&world, 1000).await;
    let (first, second, csr) = (world.add("first").await, world.add("second").await, csr());
    for _ in 0..crate::limits::CERTIFICATES_PER_DEVICE_A_DAY_MAX {
        world.app.issue_certificate(&first, &csr, Enrolled::Secret).await.unwrap();
    }
    let more = world.app.issue_certificate(&first, &csr, Enrolled::Secret).await;
    assert!(matches!(more, Err(CertificateError::TooMany)));
    let stolen = world.app.issue_certificate(&second, &csr, Enrolled::Secret).await;
    assert!(matches!(stolen, Err(CertificateError::Refused(_))));
}

#[tokio::test]
async fn an_authority_speaks_for_its_own_tenant_alone() {
    let world = World::new().await;
    let root = Root::new(world.clock.now(), 3650);
    root.set_up(&world, 1000).await;
    let device = world.add("meter").await;
    let authority = world.app.authorities.of(world.tenant).remove(0);
    let der = csr();
    let csr = ca::Csr::open(&der).unwrap();
    let validity = Validity { not_before: START, not_after: UnixMillis(START.0 + DAY) };
    for (tenant, good) in [(world.tenant.0, true), (world.tenant.0 + 1, false)] {
        let key = DeviceKey::new(tenant, device.key.device.0);
        let subject = ca::Subject { device: key, name: "meter" };
        let forged = authority.authority.issue(&csr, &subject, &fresh(), validity).unwrap();
        assert_eq!(world.admitted(&forged).is_ok(), good);
    }
}

#[tokio::test]
async fn only_what_was_asked_for_and_signed_by_a_root_is_installed() {
    let world = World::new().await;
    let (root, other) = (Root::new(world.clock.now(), 3650), Root::new(world.clock.now(), 3650));
    let view = world.app.request_authority(&ada(), world.tenant).await.unwrap();
    let now = world.clock.now();
    let signed = root.sign(&view.request, now, 100);
    let (key, _) = Key::generate().unwrap();
    let renamed = hierarchy::request(&hierarchy::issuing_name(world.tenant, "water", 9), &key).unwrap();
    let foreign = root.sign(&ca::pem("CERTIFICATE REQUEST", &renamed), now, 100);
    for bundle in [
        String::new(),
        signed.clone(),
        format!("{signed}{}", other.pem()),
        format!("{foreign}{}", root.pem()),
        root.pem(),
        format!("{signed}-----BEGIN CERTIFICATE-----\n!!!!\n-----END CERTIFICATE-----\n"),
    ] {
        let installed = world.app.install_authority(&ada(), world.tenant, &Bundle { certificates: bundle }).await;
        assert!(installed.is_err());
    }
    assert!(world.app.ca_certificates(world.tenant).await.is_err());
    let bundle = Bundle { certificates: format!("{}{signed}", root.pem()) };
    world.app.install_authority(&ada(), world.tenant, &bundle).await.unwrap();
    assert_eq!(world.app.ca_certificates(world.tenant).await.unwrap().len(), 2);
}

/// Old authority, new authority under the same root, then a new root: whoever enrolled under any of them stays believed.
#[tokio::test]
async fn no_day_comes_on_which_a_whole_fleet_must_have_changed() {
    let world = World::new().await;
    let old_root = Root::new(world.clock.now(), 3650);
    old_root.set_up(&world, 400).await;
    let mut fleet = Vec::new();
    for name in ["first", "second"] {
        let device = world.add(name).await;
        fleet.push((device.key, world.certify(&device).await.unwrap()));
    }
    world.clock.advance(30 * DAY);
    old_root.set_up(&world, 400).await;
    let device = world.add("third").await;
    fleet.push((device.key, world.certify(&device).await.unwrap()));
    world.clock.advance(30 * DAY);

    let new_root = Root::new(world.clock.now(), 3650);
    new_root.set_up(&world, 400).await;
    let crossed = [
        hierarchy::cross_sign(&old_root.0, new_root.0.certificate(), &fresh()).unwrap(),
        hierarchy::cross_sign(&new_root.0, old_root.0.certificate(), &fresh()).unwrap(),
    ];
    let certificates = crossed.iter().map(|der| ca::pem("CERTIFICATE", der)).collect();
    world.app.add_roots(&ada(), world.tenant, &Bundle { certificates }).await.unwrap();
    let device = world.add("fourth").await;
    fleet.push((device.key, world.certify(&device).await.unwrap()));
    for (key, certificate) in &fleet {
        assert_eq!(world.admitted(certificate), Ok(*key));
    }
    let given = world.app.ca_certificates(world.tenant).await.unwrap();
    assert_eq!(given.len(), 3 + 2 + 2, "three authorities, two roots, each certified by the other");

    let world = world.reopened().await;
    for (key, certificate) in &fleet {
        assert_eq!(world.admitted(certificate), Ok(*key), "after a crash, too");
    }
    world.app.distrust_authority(&ada(), world.tenant, 1).await.unwrap();
    let believed: Vec<_> = fleet.iter().map(|(_, certificate)| world.admitted(certificate).is_ok()).collect();
    assert_eq!(believed, [false, false, true, true]);
}

#[tokio::test]
async fn an_enrolment_secret_works_once_and_for_its_device() {
    let world = World::new().await;
    let (device, other) = (world.add("meter").await, world.add("other").await);
    let secret = world.app.make_enrolment_secret(&ada(), device.key, 24).await.unwrap();
    let newer = world.app.make_enrolment_secret(&ada(), device.key, 24).await.unwrap();
    let found = |user: String, password: String| {
        let app = world.app.clone();
        async move { app.device_with_secret(&user, &password).await.unwrap().map(|device| device.key) }
    };
    assert_eq!(found(secret.user.clone(), secret.password).await, None, "a newer one takes its place");
    assert_eq!(found(newer.user.clone(), newer.password.clone()).await, Some(device.key));
    let others = format!("{}.{}", other.key.tenant.0, other.key.device.0);
    for user in [others, "1.999".into(), "9.1".into(), "x".into(), String::new()] {
        assert_eq!(found(user, newer.password.clone()).await, None);
    }
    assert!(world.app.use_enrolment_secret(&device, &newer.password).await.unwrap());
    assert!(!world.app.use_enrolment_secret(&device, &newer.password).await.unwrap());
    assert_eq!(found(newer.user, newer.password).await, None);
    let late = world.app.make_enrolment_secret(&ada(), device.key, 1).await.unwrap();
    world.clock.advance(HOUR);
    assert_eq!(found(late.user, late.password).await, None, "an hour is over");
}
