//! Meters prove over DTLS what they run: who passes, who is isolated, and how one comes back.
#![allow(
    clippy::disallowed_methods,
    clippy::disallowed_types,
    clippy::unwrap_used,
    reason = "a test owns its sockets, files and clock, and says where it cannot go on"
)]
#![cfg(feature = "demo")]

#[path = "gateway/scene.rs"]
mod scene;

use bartizan_crypto::{RUSTCRYPTO, Secret};
use bartizan_device::attest::Carry;
use bartizan_device::{ClientConfig, SecretBytes};
use bartizan_platform::import::secret::to_hex;
use bartizan_server::app::references::PolicyView;
use bartizan_server::demo::firmware;
use bartizan_sim::{CHAIN_BYTES, Flash};
use bartizan_trust::challenge::binding;
use bartizan_trust::heartbeat;
use bartizan_wire::coap::Code;
use bartizan_wire::{Access, DeviceKey};

use scene::*;

const PATH: &str = "/.well-known/bartizan/attestation";
const METER: &str = "water meter";

fn random(out: &mut [u8]) {
    getrandom::fill(out).unwrap();
}

/// States what the released firmware measures as.
async fn release(scene: &Scene) {
    scene.app.add_type(&ada(), scene.tenant, METER).await.unwrap();
    // No epoch ends during a test, unless at midnight.
    let terms = PolicyView { epoch_minutes: Some(24 * 60), ..PolicyView::default() };
    firmware::release(&scene.app, &ada(), scene.tenant, METER, terms).await.unwrap();
}

/// A meter whose evidence fits into one datagram, on loopback.
async fn connect(scene: &Scene, name: &str) -> (DeviceKey, Device) {
    let (key, psk) = scene.add(name).await;
    let psk = SecretBytes::new(&psk).unwrap();
    let config = ClientConfig { mtu: 1_900, ..ClientConfig::new(&RUSTCRYPTO, name.as_bytes(), psk) };
    let device = Device::connect_with(scene.gateway.local_addr(), config, PATIENCE).await;
    (key, device.expect("a handshake"))
}

/// A meter with its session and its flash.
struct Meter {
    key: DeviceKey,
    device: Device,
    flash: Flash,
}

impl Meter {
    async fn install(scene: &Scene, name: &str, secret: u8) -> Self {
        let (key, device) = connect(scene, name).await;
        let identity = Flash::identity([secret; 32]).to_string();
        scene.app.set_identity(&ada(), key, &identity).await.unwrap();
        Self { key, device, flash: Flash::new([secret; 32]) }
    }

    async fn challenge(&mut self) -> Vec<u8> {
        let request = self.device.request(Code::GET, PATH, b"");
        let answer = self.device.exchange(&request).await.expect("an answer");
        assert_eq!(answer.code, Code::CONTENT, "{answer:?}");
        answer.payload
    }

    /// Evidence of a start of its own, bound to its session.
    fn evidence(&mut self, challenge: &[u8]) -> Vec<u8> {
        let exporter = Secret::new(*self.device.connection.exporter().unwrap());
        self.evidence_for(challenge, &binding(&RUSTCRYPTO, &exporter, challenge))
    }

    fn evidence_for(&mut self, challenge: &[u8], binding: &[u8; 32]) -> Vec<u8> {
        let mut chain = [0; CHAIN_BYTES];
        let attester = self.flash.start(&mut random, &mut chain);
        let mut out = [0; 3_000];
        let length = attester.evidence(&RUSTCRYPTO, &mut random, challenge, binding, Carry::Chain, &mut out).unwrap();
        out[..length].to_vec()
    }

    async fn bring(&mut self, evidence: &[u8]) -> Response {
        let request = self.device.request_as(Code::POST, PATH, 263, evidence);
        self.device.exchange(&request).await.expect("an answer")
    }

    async fn attest(&mut self) -> Response {
        let challenge = self.challenge().await;
        let evidence = self.evidence(&challenge);
        self.bring(&evidence).await
    }
}

/// A pre-shared key and its name.
type Psk = (Vec<u8>, Vec<u8>);

impl Meter {
    async fn key_in_use(&self, scene: &Scene) -> Psk {
        let identity = scene.app.show_device(self.key).await.unwrap().identity.into_bytes();
        let psk = scene.app.credential(&identity).await.unwrap().unwrap().psk.to_vec();
        (identity, psk)
    }

    async fn ask_for_key(&mut self) -> Response {
        let request = self.device.request_as(Code::POST, "/.well-known/bartizan/key", 42, b"");
        self.device.exchange(&request).await.expect("an answer")
    }
}

/// `{"identity": bytes, "key": bytes}`.
fn key_in(answer: &Response) -> Psk {
    assert_eq!(answer.code, Code::CHANGED, "{answer:?}");
    let rest = answer.payload.strip_prefix(b"\xa2\x68identity\x58\x18").unwrap();
    let (identity, rest) = rest.split_at(24);
    (identity.to_vec(), rest.strip_prefix(b"\x63key\x58\x20").unwrap().to_vec())
}

async fn with_key(scene: &Scene, (identity, psk): &Psk) -> Device {
    let config =
        ClientConfig { mtu: 1_900, ..ClientConfig::new(&RUSTCRYPTO, identity, SecretBytes::new(psk).unwrap()) };
    Device::connect_with(scene.gateway.local_addr(), config, PATIENCE).await.expect("a handshake")
}

/// Whether a standing in CBOR says `"rotate": true`.
fn asks_for_key(standing: &Response) -> bool {
    standing.payload.windows(8).any(|bytes| bytes == b"\x66rotate\xf5")
}

async fn access(scene: &Scene, meter: &Meter) -> Access {
    let view = scene.app.show_device(meter.key).await.unwrap();
    Access::from_name(&view.access).unwrap()
}

/// Whether a standing in CBOR says `"attest": true`.
fn asks_for_evidence(standing: &Response) -> bool {
    standing.payload.windows(8).any(|bytes| bytes == b"\x66attest\xf5")
}

async fn tier(scene: &Scene, meter: &Meter) -> String {
    scene.app.show_attestation(meter.key).await.unwrap().tier
}

#[tokio::test]
async fn a_meter_that_runs_what_was_released_is_affirmed() {
    let scene = Scene::new().await;
    release(&scene).await;
    let mut meter = Meter::install(&scene, "meter-1", 1).await;
    let answer = meter.attest().await;
    assert_eq!(answer.code, Code::CHANGED);
    assert!(answer.payload.windows(4).any(|bytes| bytes == b"full"), "{:?}", answer.payload);
    let shown = scene.app.show_attestation(meter.key).await.unwrap();
    assert_eq!((shown.tier.as_str(), shown.boot_count), ("affirming", Some(1)));
    let components: Vec<_> = shown.verdicts[0].layers.iter().map(|layer| layer.component.clone().unwrap()).collect();
    assert_eq!(components, ["bootloader", "firmware"]);
    assert!(shown.verdicts[0].reasons.is_empty());
}

#[tokio::test]
async fn changed_firmware_isolates_and_repair_readmits_by_fresh_evidence_alone() {
    let scene = Scene::new().await;
    release(&scene).await;
    let mut meter = Meter::install(&scene, "meter-1", 1).await;
    meter.attest().await;
    meter.flash.patch_firmware();
    let before = meter.challenge().await;
    let standing = meter.attest().await;
    assert_eq!(standing.code, Code::CHANGED, "the answer is its standing");
    assert!(asks_for_evidence(&standing));
    assert_eq!(access(&scene, &meter).await, Access::Quarantined);
    let status: serde_json::Value = serde_json::from_slice(&meter.device.status().await.payload).unwrap();
    assert_eq!((status["access"].as_str(), status["attest"].as_bool()), (Some("quarantined"), Some(true)));
    assert_eq!(meter.device.post("/meter/volume", "{}").await.code, Code::FORBIDDEN);
    assert!(scene.delivered().is_empty());
    let findings = scene.app.findings(scene.tenant, &Default::default()).await.unwrap();
    assert!(findings.items[0].text.contains("it was changed"), "{}", findings.items[0].text);

    meter.flash.restore();
    let answered = meter.evidence(&before);
    assert_eq!(meter.bring(&answered).await.code, Code::CONFLICT, "a challenge from before the isolation");
    assert_eq!(access(&scene, &meter).await, Access::Quarantined);
    let old = meter.key_in_use(&scene).await;
    assert_eq!(meter.ask_for_key().await.code, Code::FORBIDDEN, "no key before it has proven itself");
    for passes in 0..3 {
        let standing = meter.attest().await;
        assert_eq!(access(&scene, &meter).await, Access::Limited, "{passes} passes, and the old key");
        assert!(asks_for_evidence(&standing) && asks_for_key(&standing));
    }
    let explanation = scene.app.show_device(meter.key).await.unwrap().explanation;
    assert!(explanation.contains("waits for a new key"), "{explanation}");
    let new = key_in(&meter.ask_for_key().await);
    // Whoever stole the old key is in, too, but has not proven what he runs.
    let mut thief = Meter { key: meter.key, device: with_key(&scene, &old).await, flash: Flash::new([9; 32]) };
    assert_eq!(thief.ask_for_key().await.code, Code::CONFLICT);
    meter.device = with_key(&scene, &new).await;
    assert!(thief.device.wait(PATIENCE, |device| device.closed).await, "every older association ends");
    let standing = meter.attest().await;
    assert!(!asks_for_evidence(&standing) && !asks_for_key(&standing));
    assert_eq!(access(&scene, &meter).await, Access::Full);
    assert_eq!(meter.device.post("/meter/volume", "{}").await.code, Code::CHANGED);
}

#[tokio::test]
async fn a_good_meter_cannot_answer_for_a_bad_one() {
    let scene = Scene::new().await;
    release(&scene).await;
    let mut good = Meter::install(&scene, "meter-1", 1).await;
    let mut bad = Meter::install(&scene, "meter-2", 2).await;
    let challenge = bad.challenge().await;
    let exporter = Secret::new(*bad.device.connection.exporter().unwrap());
    // Even if the bad one gave its session's secret away: who signs is not who speaks.
    let relayed = good.evidence_for(&challenge, &binding(&RUSTCRYPTO, &exporter, &challenge));
    bad.bring(&relayed).await;
    assert_eq!(tier(&scene, &bad).await, "contraindicated");
    assert_eq!(tier(&scene, &good).await, "none");
    let own = good.challenge().await;
    let evidence = good.evidence(&own);
    assert_eq!(bad.bring(&evidence).await.code, Code::CONFLICT, "that challenge is another's");
    let elsewhere = bad.challenge().await;
    let unbound = bad.evidence_for(&elsewhere, &[0; 32]);
    bad.bring(&unbound).await;
    let reasons = scene.app.show_attestation(bad.key).await.unwrap().verdicts[0].reasons.join(" ");
    assert!(reasons.contains("another session"), "{reasons}");
}

#[tokio::test]
async fn evidence_counts_once() {
    let scene = Scene::new().await;
    release(&scene).await;
    let mut meter = Meter::install(&scene, "meter-1", 1).await;
    let challenge = meter.challenge().await;
    let evidence = meter.evidence(&challenge);
    assert_eq!(meter.bring(&evidence).await.code, Code::CHANGED);
    meter.flash.patch_firmware();
    assert_eq!(meter.bring(&evidence).await.code, Code::CONFLICT, "replayed");
    assert_eq!(scene.app.show_attestation(meter.key).await.unwrap().verdicts.len(), 1);
}

#[tokio::test]
async fn a_clone_with_as_many_starts_is_told_by_its_start() {
    let scene = Scene::new().await;
    release(&scene).await;
    let mut meter = Meter::install(&scene, "meter-1", 1).await;
    meter.attest().await;
    assert_eq!(access(&scene, &meter).await, Access::Full);
    meter.flash = Flash::new([1; 32]); // its copy, started as often
    meter.attest().await;
    assert_eq!(access(&scene, &meter).await, Access::Quarantined);
    let reasons = scene.app.show_attestation(meter.key).await.unwrap().verdicts[0].reasons.join(" ");
    assert!(reasons.contains("two devices answer"), "{reasons}");
}

#[tokio::test]
async fn what_is_no_evidence_of_ours_is_refused_and_not_held_against_anybody() {
    let scene = Scene::new().await;
    release(&scene).await;
    let mut meter = Meter::install(&scene, "meter-1", 1).await;
    for bytes in [&b"\x84\x43\xa1\x01\x05\xa0\x40\x40"[..], b"\x84\x43\xa1\x01\x04\xa0\x41\xa0\x40"] {
        assert_eq!(
            meter.bring(bytes).await.code,
            Code::UNSUPPORTED_CONTENT_FORMAT,
            "no heartbeat that says what it should"
        );
    }
    let challenge = meter.challenge().await;
    let exporter = Secret::new(*meter.device.connection.exporter().unwrap());
    let bond = binding(&RUSTCRYPTO, &exporter, &challenge);
    let mut chain = [0; CHAIN_BYTES];
    let mut out = [0; 400];
    let attester = meter.flash.start(&mut random, &mut chain);
    let length = attester.heartbeat(&RUSTCRYPTO, &mut random, &challenge, &bond, &mut out).unwrap();
    assert_eq!(meter.bring(&out[..length]).await.code, Code::CONFLICT, "a heartbeat with no verdict to prolong");
    assert_eq!((access(&scene, &meter).await, tier(&scene, &meter).await.as_str()), (Access::Full, "none"));
}

/// The epoch id in a standing.
fn epoch_of(standing: &Response) -> Option<Vec<u8>> {
    let at = standing.payload.windows(8).position(|bytes| bytes == b"\x65epoch\x58\x18")? + 8;
    Some(standing.payload[at..at + 24].to_vec())
}

#[tokio::test]
async fn heartbeats_prolong_a_verdict_over_restarts_and_each_brings_the_next_epoch() {
    let scene = Scene::new().await;
    release(&scene).await;
    let mut meter = Meter::install(&scene, "meter-1", 1).await;
    let exporter = Secret::new(*meter.device.connection.exporter().unwrap());
    let mut chain = [0; CHAIN_BYTES];
    let attester = Flash::new([1; 32]).start(&mut random, &mut chain);
    let challenge = meter.challenge().await;
    let mut full = [0; 3_000];
    let bond = binding(&RUSTCRYPTO, &exporter, &challenge);
    let made = attester.evidence(&RUSTCRYPTO, &mut random, &challenge, &bond, Carry::Chain, &mut full).unwrap();
    let key = heartbeat::key(&RUSTCRYPTO, &exporter, &full[..made]);
    let beat = |nonce: &[u8]| {
        let mut out = [0; 200];
        let made = attester.tagged_heartbeat(&RUSTCRYPTO, &key, nonce, &mut out).unwrap();
        out[..made].to_vec()
    };
    let standing = meter.bring(&full[..made]).await;
    let first = epoch_of(&standing).expect("the id comes with the answer to evidence");
    let request = meter.device.request(Code::GET, &format!("{PATH}?epoch"), b"");
    let asked = meter.device.exchange(&request).await.unwrap();
    assert_eq!((asked.code, &asked.payload), (Code::CONTENT, &first), "and by itself");
    let status: serde_json::Value = serde_json::from_slice(&meter.device.status().await.payload).unwrap();
    assert_eq!(status["epoch"].as_str(), Some(to_hex(&first).as_str()), "and with its status");

    let answer = meter.bring(&beat(&first)).await;
    assert_eq!((answer.code, epoch_of(&answer)), (Code::CHANGED, Some(first.clone())));
    let challenge = meter.challenge().await;
    let scene = scene.restart().await;
    assert_eq!(meter.bring(&beat(&challenge)).await.code, Code::CONFLICT, "challenges do not outlive the server");
    assert_eq!(meter.bring(&beat(&first)).await.code, Code::CONFLICT, "and an epoch counts once");
    let challenge = meter.challenge().await;
    assert_eq!(meter.bring(&beat(&challenge)).await.code, Code::CHANGED, "the session and the verdict do");
    assert_eq!(meter.bring(&beat(&challenge)).await.code, Code::CONFLICT, "replayed");
    let shown = scene.app.show_attestation(meter.key).await.unwrap();
    assert_eq!((shown.verdicts.len(), shown.tier.as_str()), (1, "affirming"));
    assert!(shown.heartbeat_at.is_some());

    meter.flash.patch_firmware();
    meter.attest().await;
    let challenge = meter.challenge().await;
    assert_eq!(meter.bring(&beat(&challenge)).await.code, Code::CONFLICT, "no heartbeat leads out of a failure");
    assert_eq!(access(&scene, &meter).await, Access::Quarantined);
}

#[tokio::test]
async fn bytes_that_do_not_verify_are_held_against_who_brought_them() {
    let scene = Scene::new().await;
    release(&scene).await;
    let mut meter = Meter::install(&scene, "meter-1", 1).await;
    let challenge = meter.challenge().await;
    let mut evidence = meter.evidence(&challenge);
    *evidence.last_mut().unwrap() ^= 1;
    meter.bring(&evidence).await;
    assert_eq!(access(&scene, &meter).await, Access::Quarantined);
}

#[tokio::test]
async fn who_is_not_registered_or_has_no_policy_is_refused_and_nothing_more() {
    let scene = Scene::new().await;
    let (key, device) = connect(&scene, "meter-1").await;
    let mut meter = Meter { key, device, flash: Flash::new([1; 32]) };
    let request = meter.device.request(Code::GET, PATH, b"");
    assert_eq!(meter.device.exchange(&request).await.unwrap().code, Code::FORBIDDEN);
    scene.app.set_identity(&ada(), key, &Flash::identity([1; 32]).to_string()).await.unwrap();
    assert_eq!(meter.attest().await.code, Code::FORBIDDEN, "no policy");
    assert_eq!(access(&scene, &meter).await, Access::Full);
    let (other, _) = scene.add("meter-2").await;
    let shared = scene.app.set_identity(&ada(), other, &Flash::identity([1; 32]).to_string()).await;
    assert!(shared.unwrap_err().to_string().contains("share a secret"));
}

#[tokio::test]
async fn a_flood_of_evidence_is_cut_off_before_any_signature_is_looked_at() {
    let scene = Scene::new().await;
    release(&scene).await;
    let mut meter = Meter::install(&scene, "meter-1", 1).await;
    let mut codes = Vec::new();
    for _ in 0..9 {
        codes.push(meter.bring(b"\x00").await.code);
    }
    assert_eq!(codes[..6], [Code::CHANGED; 6]);
    assert!(codes[6..].contains(&Code::TOO_MANY_REQUESTS), "{codes:?}");
}

#[tokio::test]
async fn a_restart_forgets_no_failure_no_start_and_no_session() {
    let scene = Scene::new().await;
    release(&scene).await;
    let mut meter = Meter::install(&scene, "meter-1", 1).await;
    for _ in 0..3 {
        meter.attest().await;
    }
    let old = meter.challenge().await;
    let scene = scene.restart().await;
    let answered = meter.evidence(&old);
    assert_eq!(meter.bring(&answered).await.code, Code::CONFLICT, "challenges do not outlive the server");
    assert_eq!(meter.attest().await.code, Code::CHANGED, "the session does, with its exporter value");
    assert_eq!(tier(&scene, &meter).await, "affirming");
    meter.flash = Flash::new([1; 32]); // a copy of it, whose starts begin anew
    meter.attest().await;
    assert_eq!(access(&scene, &meter).await, Access::Quarantined);
    let scene = scene.restart().await;
    assert_eq!(access(&scene, &meter).await, Access::Quarantined);
    let reasons = scene.app.show_attestation(meter.key).await.unwrap().verdicts[0].reasons.join(" ");
    assert!(reasons.contains("clone"), "{reasons}");
}
