//! A device whose identity is a TPM: its key is activated, its quotes are judged, a tampered boot isolates it, a
//! repaired one brings it back. The TPM is Debian's software one, with its own tools; the gateway is a real one.
#![allow(
    clippy::disallowed_methods,
    clippy::disallowed_types,
    clippy::unwrap_used,
    reason = "a test owns its sockets, files and clock, and says where it cannot go on"
)]

#[path = "gateway/scene.rs"]
mod scene;
#[path = "../../trust/tests/tpm/software.rs"]
mod software;

use bartizan_crypto::{AWS_LC, RUSTCRYPTO, Secret};
use bartizan_device::{ClientConfig, SecretBytes};
use bartizan_platform::import::secret::to_hex;
use bartizan_server::app::references::{NewReference, PolicyView};
use bartizan_trust::challenge::binding;
use bartizan_trust::tpm::{Activation, CONTENT_FORMAT, Credential, Enrolment, Public};
use bartizan_wire::coap::Code;
use bartizan_wire::{Access, DeviceKey};

use scene::*;
use software::*;

const PATH: &str = "/.well-known/bartizan/attestation";
const GATEWAY: &str = "site gateway";

/// A device with its session and its TPM.
struct Strong {
    key: DeviceKey,
    device: Device,
    tpm: SoftwareTpm,
}

/// What the released firmware measures.
fn stage(version: u8) -> [u8; 32] {
    (AWS_LC.sha256)(&[b"boot loader", &[version]])
}

impl Strong {
    async fn install(scene: &Scene, name: &str) -> Option<Self> {
        let tpm = SoftwareTpm::start()?;
        let (key, psk) = scene.add_of(name, GATEWAY).await;
        let psk = SecretBytes::new(&psk).unwrap();
        let config = ClientConfig { mtu: 1_900, ..ClientConfig::new(&RUSTCRYPTO, name.as_bytes(), psk) };
        let device = Device::connect_with(scene.gateway.local_addr(), config, PATIENCE).await.unwrap();
        let identity = Public::read(&tpm.endorsement).unwrap().identity(&AWS_LC);
        scene.app.set_identity(&ada(), key, &identity.to_string()).await.unwrap();
        tpm.measure(4, &stage(1));
        Some(Self { key, device, tpm })
    }

    async fn challenge(&mut self) -> Vec<u8> {
        let request = self.device.request(Code::GET, PATH, b"");
        let answer = self.device.exchange(&request).await.expect("an answer");
        assert_eq!(answer.code, Code::CONTENT, "{answer:?}");
        answer.payload
    }

    async fn post(&mut self, message: &[u8]) -> Response {
        let request = self.device.request_as(Code::POST, PATH, CONTENT_FORMAT, message);
        self.device.exchange(&request).await.expect("an answer")
    }

    fn binding(&self, challenge: &[u8]) -> [u8; 32] {
        binding(&RUSTCRYPTO, &Secret::new(*self.device.connection.exporter().unwrap()), challenge)
    }

    /// The credential for these keys, if the gateway makes one.
    async fn credential(&mut self, challenge: &[u8], endorsement: &[u8], key: &[u8]) -> Result<Credential, Response> {
        let answer = self.post(&Enrolment::write(challenge, endorsement, key)).await;
        if answer.code == Code::CHANGED { Ok(Credential::read(&answer.payload).unwrap()) } else { Err(answer) }
    }

    async fn enrol(&mut self) -> Response {
        let challenge = self.challenge().await;
        let (endorsement, key) = (self.tpm.endorsement.clone(), self.tpm.key.clone());
        let credential = self.credential(&challenge, &endorsement, &key).await.unwrap();
        let secret = self.tpm.activate(&credential).expect("its TPM opens it");
        self.post(&Activation::write(&challenge, &endorsement, &key, &secret)).await
    }

    async fn attest(&mut self) -> Response {
        let challenge = self.challenge().await;
        let evidence = self.tpm.evidence(&challenge, &self.binding(&challenge), &[]);
        self.post(&evidence).await
    }

    /// Starts anew with this boot loader.
    fn boot(&mut self, loader: u8) {
        self.tpm.restart();
        self.tpm.measure(4, &stage(loader));
    }
}

/// Registers 0, 4 and 7 as a good device has them.
async fn release(scene: &Scene, good: &SoftwareTpm) {
    let (_, registers) = good.quote(b"x", &[0, 4, 7]);
    for (number, value) in registers {
        let (component, version) = (format!("pcr-{number}"), "2026.1".into());
        let new = NewReference { component, version, security_version: None, digest: to_hex(&value) };
        scene.app.add_reference(&ada(), scene.tenant, GATEWAY, &new).await.unwrap();
    }
}

/// A gateway that knows what devices with a TPM are held to.
async fn gateway() -> Scene {
    let scene = Scene::new().await;
    scene.app.add_type(&ada(), scene.tenant, GATEWAY).await.unwrap();
    let policy = PolicyView {
        layers: ["pcr-0", "pcr-4", "pcr-7"].map(String::from).to_vec(),
        unknown: Some("contraindicated".into()),
        rotate_on_readmission: Some(false),
        ..PolicyView::default()
    };
    scene.app.set_attestation_policy(&ada(), scene.tenant, GATEWAY, &policy).await.unwrap();
    scene
}

async fn access(scene: &Scene, strong: &Strong) -> Access {
    Access::from_name(&scene.app.show_device(strong.key).await.unwrap().access).unwrap()
}

async fn last(scene: &Scene, strong: &Strong) -> (String, String) {
    let shown = scene.app.show_attestation(strong.key).await.unwrap();
    (shown.tier, shown.verdicts.first().map(|verdict| verdict.reasons.join(" ")).unwrap_or_default())
}

#[tokio::test]
async fn a_tampered_boot_isolates_and_a_repaired_one_readmits() {
    let scene = gateway().await;
    let Some(mut strong) = Strong::install(&scene, "gateway-1").await else { return };
    release(&scene, &strong.tpm).await;
    assert_eq!(strong.attest().await.code, Code::CONFLICT, "nothing shows yet that the key is in its TPM");
    assert_eq!(strong.enrol().await.code, Code::CHANGED);
    assert_eq!(strong.attest().await.code, Code::CHANGED);
    let shown = scene.app.show_attestation(strong.key).await.unwrap();
    assert_eq!((shown.tier.as_str(), shown.boot_count.is_some()), ("affirming", true));
    assert_eq!(shown.tpm_key, Some(Public::read(&strong.tpm.key).unwrap().name(&AWS_LC).to_string()));

    strong.boot(66);
    strong.attest().await;
    assert_eq!(access(&scene, &strong).await, Access::Quarantined);
    let (tier, reasons) = last(&scene, &strong).await;
    assert_eq!(tier, "contraindicated");
    assert!(reasons.starts_with("Layer 1 (pcr-4): "), "{reasons}");

    let scene = scene.restart().await;
    strong.boot(1);
    for expected in [Access::Limited, Access::Limited, Access::Full] {
        assert_eq!(strong.attest().await.code, Code::CHANGED, "the key is still believed after a restart");
        assert_eq!(access(&scene, &strong).await, expected);
    }
}

#[tokio::test]
async fn a_key_of_another_tpm_is_never_activated() {
    let scene = gateway().await;
    let Some(mut strong) = Strong::install(&scene, "gateway-1").await else { return };
    let Some(stolen) = SoftwareTpm::start() else { return };
    release(&scene, &strong.tpm).await;
    let challenge = strong.challenge().await;
    // The registered endorsement key, and a key that an attacker has elsewhere.
    let endorsement = strong.tpm.endorsement.clone();
    let credential = strong.credential(&challenge, &endorsement, &stolen.key).await.unwrap();
    assert_eq!(strong.tpm.activate(&credential), None, "its TPM has no such key");
    assert_eq!(stolen.activate(&credential), None, "the other one has not the endorsement key");
    let guess = Activation::write(&challenge, &endorsement, &stolen.key, &[0; 32]);
    assert_eq!(strong.post(&guess).await.code, Code::FORBIDDEN);
    // Another endorsement key than the registered one gets no credential at all.
    let foreign = strong.credential(&challenge, &stolen.endorsement, &stolen.key).await.unwrap_err();
    assert_eq!(foreign.code, Code::FORBIDDEN);
    // What was in the credential of one key says nothing of another.
    let own = strong.tpm.key.clone();
    let credential = strong.credential(&challenge, &endorsement, &own).await.unwrap();
    let secret = strong.tpm.activate(&credential).unwrap();
    let swapped = Activation::write(&challenge, &endorsement, &stolen.key, &secret);
    assert_eq!(strong.post(&swapped).await.code, Code::FORBIDDEN);
    assert_eq!(strong.post(&Activation::write(&challenge, &endorsement, &own, &secret)).await.code, Code::CHANGED);
    let replayed = Activation::write(&challenge, &endorsement, &own, &secret);
    assert_eq!(strong.post(&replayed).await.code, Code::CONFLICT, "it counts once");
    assert_eq!(scene.app.show_attestation(strong.key).await.unwrap().verdicts.len(), 0);
}

#[tokio::test]
async fn a_key_that_signs_what_software_gives_it_is_refused_as_an_attestation_key() {
    let scene = gateway().await;
    let Some(mut strong) = Strong::install(&scene, "gateway-1").await else { return };
    strong.tpm.make_key(UNRESTRICTED);
    let challenge = strong.challenge().await;
    let (endorsement, key) = (strong.tpm.endorsement.clone(), strong.tpm.key.clone());
    let refused = strong.credential(&challenge, &endorsement, &key).await.unwrap_err();
    assert_eq!(refused.code, Code::BAD_REQUEST);
    assert!(refused.text().contains("restricted to signing"), "{}", refused.text());
    assert_eq!(access(&scene, &strong).await, Access::Full, "asking is no failure");
    assert_eq!(scene.app.show_attestation(strong.key).await.unwrap().tpm_key, None);
}

#[tokio::test]
async fn quotes_are_neither_replayed_nor_relayed() {
    let scene = gateway().await;
    let Some(mut bad) = Strong::install(&scene, "gateway-1").await else { return };
    let Some(mut good) = Strong::install(&scene, "gateway-2").await else { return };
    release(&scene, &good.tpm).await;
    assert_eq!((bad.enrol().await.code, good.enrol().await.code), (Code::CHANGED, Code::CHANGED));
    let challenge = good.challenge().await;
    let evidence = good.tpm.evidence(&challenge, &good.binding(&challenge), &[]);
    assert_eq!(good.post(&evidence).await.code, Code::CHANGED);
    assert_eq!(good.post(&evidence).await.code, Code::CONFLICT, "replayed");
    assert_eq!(bad.post(&evidence).await.code, Code::CONFLICT, "that challenge is another's");

    let challenge = bad.challenge().await;
    let elsewhere = bad.tpm.evidence(&challenge, &good.binding(&challenge), &[]);
    bad.post(&elsewhere).await;
    assert!(last(&scene, &bad).await.1.contains("another session"), "{:?}", last(&scene, &bad).await);

    // A good device's TPM answers for a bad one, even with the bad one's session in its hands.
    let challenge = bad.challenge().await;
    let relayed = good.tpm.evidence(&challenge, &bad.binding(&challenge), &[]);
    bad.post(&relayed).await;
    assert!(last(&scene, &bad).await.1.contains("not the registered device"), "{:?}", last(&scene, &bad).await);
    assert_eq!((last(&scene, &good).await.0.as_str(), access(&scene, &good).await), ("affirming", Access::Full));
}
