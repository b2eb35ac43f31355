//! Challenges, evidence, verdicts: how a device proves what it runs, and what comes of it.
//!
//! ```text
//!  challenge ─▶ evidence ─▶ budget ─▶ signatures ─▶ counter (durable) ─▶ appraisal ─▶ brake ─▶ hold ─▶ Device::access
//! ```
//!
//! What needs no verdict (an unknown challenge, too much evidence) is refused and changes nothing. Evidence that came
//! through the device's own session and does not hold is held against it.

mod tpm;

use std::sync::Arc;

use bartizan_crypto::{AWS_LC, Secret};
use bartizan_platform::posture::{self, Machine};
use bartizan_trust::appraisal::{self, Expected as Expectation, Fault, Trust, Vector, Verdict};
use bartizan_trust::challenge::{CHALLENGE_BYTES, Challenge, binding};
use bartizan_trust::evidence::{self, Carried};
use bartizan_trust::heartbeat::{Heartbeat, is_tagged};
use bartizan_trust::{Evidence, Identity};
use bartizan_wire::finding::Basis;
use bartizan_wire::{
    Access, Attestation, Cause, DeviceKey, Engine, Expected, Feature, Finding, Severity, Technique, Unit, UnixMillis,
};
use serde::{Deserialize, Serialize};

use super::device::Device;
use super::error::Error;
use super::keys::session_name;
use super::references::TypePolicy;
use super::results::Believed;
use super::views::{AttestationView, LayerView, VerdictView, rfc3339};
use super::{Actor, App};
use crate::limits::{CHALLENGE_AGE_MS_MAX, EVIDENCE_PER_MINUTE_MAX};
use crate::store::{Advance, AttesterRow, VerdictRow};

pub use tpm::Answered;

/// Verdicts that are shown of a device.
const VERDICTS_SHOWN: u32 = 10;

/// Why evidence led to no verdict.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Refusal {
    #[error("no attestation identity is registered for this device")]
    Unregistered,
    #[error("there is no attestation policy for devices of this type")]
    NoPolicy,
    /// Says what is wrong with it.
    #[error("fetch a new challenge: {0}")]
    Challenge(&'static str),
    #[error("send the certificates too: the chain that the evidence names is not known")]
    Chain,
    #[error("have this attestation key activated first: nothing shows that it is in the device's TPM")]
    Activation,
    #[error("not of the TPM whose endorsement key is registered for this device")]
    NotItsTpm,
    #[error("no credential is made for these keys: {0}")]
    Keys(bartizan_trust::Error),
    #[error("not evidence that is judged here: {0}")]
    Format(&'static str),
    /// The heartbeat says nothing. Says why.
    #[error("bring evidence: {0}")]
    Evidence(&'static str),
    #[error("too much evidence in a minute")]
    TooMuch,
    /// Of this device alone.
    #[error("what is stored of this device cannot be read: {0}")]
    Damaged(String),
    #[error("the verifier is not available: {0}")]
    Unavailable(String),
}

/// Somebody else was faster, or it is a replay.
pub(super) const USED: Refusal = Refusal::Challenge("this one was used already");

impl App {
    /// A challenge for the device. It costs nothing to issue; only the first answer under the device's counter counts.
    pub async fn challenge(&self, device: &Device) -> Result<[u8; CHALLENGE_BYTES], Refusal> {
        let attester = self.noted(device, self.attester(device).await)?;
        let challenge = Challenge { counter: attester.counter, issued: self.clock.now() };
        Ok(challenge.issue(&AWS_LC, &self.challenge_key, &name_of(device.key)))
    }

    /// Appraises what the device brought through its session, and applies the verdict; or prolongs the last one, if it
    /// is a heartbeat. Everything is on the disk when it returns.
    pub async fn attest(
        &self,
        device: &Arc<Device>,
        exporter: &Secret<32>,
        evidence: &[u8],
    ) -> Result<Attestation, Refusal> {
        let answer = match Heartbeat::read(evidence) {
            Ok(heartbeat) => self.take_heartbeat(device, exporter, &heartbeat).await,
            Err(_) if is_tagged(evidence) => Err(Refusal::Format("a heartbeat that says more or less than that")),
            Err(_) => self.judge_evidence(device, exporter, evidence).await,
        };
        self.noted(device, answer)
    }

    /// What we could not judge for a fault of ours is not held against anybody: no deadline passes meanwhile.
    pub(super) fn noted<T>(&self, device: &Device, answer: Result<T, Refusal>) -> Result<T, Refusal> {
        match &answer {
            Err(Refusal::Unavailable(_)) => device.tenant().verifier_failed(self.clock.now()),
            Err(Refusal::Damaged(_)) => device.state().excused = Some(self.clock.now()),
            _ => {}
        }
        answer
    }

    async fn hearing<'a>(
        &self,
        device: &'a Arc<Device>,
        exporter: &'a Secret<32>,
        bytes: &'a [u8],
    ) -> Result<Hearing<'a>, Refusal> {
        let attester = self.attester(device).await?;
        let policy = self.policy_of(device).await?;
        Ok(Hearing { device, attester, policy, exporter, bytes, now: self.clock.now() })
    }

    async fn judge_evidence(
        &self,
        device: &Arc<Device>,
        exporter: &Secret<32>,
        evidence: &[u8],
    ) -> Result<Attestation, Refusal> {
        let hearing = self.hearing(device, exporter, evidence).await?;
        if let Some(verifier) = &hearing.policy.verifier {
            let judged = self.judge_result(&hearing, verifier).await?;
            return self.apply_verdict(&hearing, judged).await;
        }
        let judged = match Carried::read(evidence, hearing.now) {
            Ok(carried) => {
                let challenge = self.answered(&hearing, carried.nonce().challenge)?;
                self.spend_on(device, hearing.now)?;
                self.hear(&hearing, &carried, challenge).await?
            }
            // Something else than evidence for this resource speaks neither for nor against the device.
            Err(bartizan_trust::Error::Unsupported(what)) => return Err(Refusal::Format(what)),
            Err(error) => {
                self.spend_on(device, hearing.now)?;
                Judged::unverified(error, hearing.now)
            }
        };
        self.apply_verdict(&hearing, judged).await
    }

    /// What another verifier found, in place of evidence. It counts once, as evidence does.
    async fn judge_result(&self, hearing: &Hearing<'_>, verifier: &str) -> Result<Judged, Refusal> {
        let Hearing { device, attester, exporter, bytes, now, .. } = hearing;
        self.spend_on(device, *now)?;
        let believed = match device.read_result(verifier, &attester.identity, exporter, bytes, *now).await? {
            Ok(believed) => believed,
            Err(error) => return Ok(Judged::unverified(error, *now)),
        };
        let challenge = self.answered(hearing, &believed.challenge)?;
        if believed.tier == Attestation::None {
            return Err(Refusal::Format("an attestation result that says nothing"));
        }
        let unchanged =
            Advance { boot_count: attester.boot_count, boot_seed: attester.boot_seed.as_deref(), chain: None };
        advance(device, challenge, &unchanged).await?;
        let Believed { tier, reasons, .. } = believed;
        let challenged = challenge.issued;
        Ok(Judged { tier, vector: Vector::default(), reasons, challenged, evidence: None, cloned: false })
    }

    /// The challenge that evidence answers, before any signature is looked at.
    fn answered(&self, hearing: &Hearing<'_>, nonce: &[u8]) -> Result<Challenge, Refusal> {
        let challenge = self.issued_to(hearing.device, &hearing.attester, nonce, hearing.now)?;
        let beaten = hearing.device.state().posture.heartbeat.is_some_and(|last| challenge.issued <= last.challenged);
        if beaten { Err(USED) } else { Ok(challenge) }
    }

    /// The device's challenge of this nonce, if its counter has not moved on.
    pub(super) fn issued_to(
        &self,
        device: &Device,
        attester: &AttesterRow,
        nonce: &[u8],
        now: UnixMillis,
    ) -> Result<Challenge, Refusal> {
        let named = name_of(device.key);
        let challenge = Challenge::read(&AWS_LC, &self.challenge_key, &named, nonce, now, CHALLENGE_AGE_MS_MAX)
            .map_err(|_| Refusal::Challenge("this one is not this device's, or too old"))?;
        if challenge.counter == attester.counter { Ok(challenge) } else { Err(USED) }
    }

    /// One of the verdicts that a device may ask for in a minute.
    pub(super) fn spend_on(&self, device: &Device, now: UnixMillis) -> Result<(), Refusal> {
        let spent = device.state().evidence_allowance.take(now, EVIDENCE_PER_MINUTE_MAX);
        if spent { Ok(()) } else { Err(Refusal::TooMuch) }
    }

    /// Verifies and appraises. Before anything comes of it the counter has moved on, durably.
    async fn hear(
        &self,
        hearing: &Hearing<'_>,
        carried: &Carried<'_>,
        challenge: Challenge,
    ) -> Result<Judged, Refusal> {
        let Hearing { device, attester, policy, exporter, .. } = hearing;
        let opened = match self.open_evidence(hearing, carried) {
            Err(evidence::UNKNOWN_CHAIN) => return Err(Refusal::Chain),
            opened => opened,
        };
        let references = device.tenant().references().await.map_err(unavailable)?;
        let judged = match opened {
            Err(error) => Judged::unverified(error, challenge.issued),
            Ok(evidence) => {
                let bound = binding(&AWS_LC, exporter, &evidence.nonce);
                let expected = hearing.expects(carried.nonce().challenge, challenge, &bound);
                let verdict = appraisal::appraise(&policy.appraisal, &references, &evidence, &expected);
                Judged::of(&verdict, challenge.issued, evidence)
            }
        };
        // What another identity says of itself, or a second device under this one, is nothing to measure by later.
        let own = |evidence: &&Evidence| evidence.identity.is(&attester.identity) && !judged.cloned;
        let advance = match judged.evidence.as_ref().filter(own) {
            Some(evidence) => Advance {
                boot_count: evidence.boot_count,
                boot_seed: evidence.boot_seed.as_deref(),
                chain: carried.chain_item(),
            },
            None => Advance { boot_count: attester.boot_count, boot_seed: attester.boot_seed.as_deref(), chain: None },
        };
        self::advance(device, challenge, &advance).await?;
        Ok(judged)
    }

    /// What a verdict does: history, hold and access, and the verdict with its evidence on the disk. A device is
    /// isolated before its verdict is written, and admitted after.
    async fn apply_verdict(&self, hearing: &Hearing<'_>, judged: Judged) -> Result<Attestation, Refusal> {
        let (device, now) = (hearing.device, hearing.now);
        let tier = judged.tier;
        let text = judged.text();
        if tier == Attestation::Contraindicated {
            self.find_against(device, &judged, &text, now);
        }
        let details = serde_json::to_string(&judged.details()).expect("invariant: plain fields serialise");
        let row = VerdictRow { at: now, tier, text: text.clone(), details, evidence: hearing.bytes.to_vec() };
        let keep = || device.tenant().store.keep_verdict(device.key.device, &row);
        if tier != Attestation::Contraindicated {
            keep().await.map_err(unavailable)?;
        }
        let wants = device.state().posture.would_isolate_by(tier, &self.policy);
        let ceiling = if wants { self.ask_brake(device, Cause::Attestation, now) } else { Access::Blocked };
        let by_certificate = device.state().certified_in == Some(session_name(hearing.exporter));
        if tier == Attestation::Affirming && hearing.policy.rekey && by_certificate {
            self.void_key(device).await.map_err(|error| Refusal::Unavailable(error.to_string()))?;
        }
        let rekey = hearing.policy.rekey && !by_certificate;
        let verdict = posture::Verdict { tier, challenged: judged.challenged, reason: text, ceiling, rekey };
        device.state().proven_in = match tier {
            Attestation::Affirming | Attestation::Warning => Some(session_name(hearing.exporter)),
            Attestation::None | Attestation::Contraindicated => None,
        };
        self.say(device, now, Machine::Appraised(verdict), None);
        if tier == Attestation::Contraindicated {
            keep().await.map_err(unavailable)?;
        }
        self.durable().await.map_err(|error| Refusal::Unavailable(error.to_string()))?;
        Ok(tier)
    }

    /// Evidence that speaks against its device is a finding like any other, and stands in the same lists.
    fn find_against(&self, device: &Arc<Device>, judged: &Judged, text: &str, now: UnixMillis) {
        let finding = Finding {
            at: now,
            subject: device.subject(),
            engine: Engine::Verifier,
            feature: Feature::Evidence,
            observed: judged.reasons.len() as f64,
            expected: Expected { low: 0.0, high: 0.0, basis: Basis::Rule },
            unit: Unit::Count,
            score: 1.0,
            severity: Severity::High,
            technique: Some(Technique::SYSTEM_FIRMWARE),
        };
        self.find(device, &finding, text.to_owned());
    }

    /// Verifies chain and token.
    fn open_evidence(&self, hearing: &Hearing<'_>, carried: &Carried<'_>) -> Result<Evidence, bartizan_trust::Error> {
        let chain = self.chain_of(hearing.device.key, &hearing.attester, carried, hearing.now)?;
        carried.verify(self.verifier, (*chain).clone())
    }

    pub(super) async fn attester(&self, device: &Device) -> Result<AttesterRow, Refusal> {
        match device.tenant().store.attester(device.key.device).await {
            Ok(found) => found.ok_or(Refusal::Unregistered),
            Err(error @ crate::store::Error::Damaged(_)) => Err(Refusal::Damaged(error.to_string())),
            Err(error) => Err(unavailable(error)),
        }
    }

    pub(super) async fn policy_of(&self, device: &Device) -> Result<TypePolicy, Refusal> {
        let policy = device.tenant().attestation_policy(&device.type_name).await.map_err(unavailable)?;
        policy.ok_or(Refusal::NoPolicy)
    }

    // --- people

    /// Registers who the device is: the thumbprint of the key that its first certificate is signed with.
    pub async fn set_identity(&self, actor: &Actor, device: DeviceKey, identity: &str) -> Result<(), Error> {
        let parsed = Identity::from_hex(identity)
            .ok_or_else(|| Error::Malformed("an attestation identity has 64 hexadecimal digits".into()))?;
        let device = self.require_device(device).await?;
        device.tenant().store.register_identity(device.key.device, &parsed).await?;
        self.proven().forget(device.key);
        device.set_can_attest();
        self.say(&device, self.clock.now(), Machine::Registered, Some(actor));
        self.note_by(&device, actor, "key", format!("Its attestation identity is {parsed}."));
        self.audit(actor, "device.identity", Some(device.key.tenant), &device.name, identity).await
    }

    /// What is known of a device's attestation.
    pub async fn show_attestation(&self, device: DeviceKey) -> Result<AttestationView, Error> {
        let device = self.require_device(device).await?;
        let store = &device.tenant().store;
        let attester = store.attester(device.key.device).await?;
        let tpm_key = match &attester {
            Some(attester) => store.tpm_key(device.key.device, &attester.identity).await?,
            None => None,
        };
        let verdicts = store.verdicts(device.key.device, VERDICTS_SHOWN).await?;
        let policy = device.tenant().attestation_policy(&device.type_name).await?;
        let posture = device.state().posture.clone();
        let due = policy.and_then(|policy| posture.due_by(&policy.schedule?)).filter(|_| attester.is_some());
        Ok(AttestationView {
            tier: posture.attestation.name().into(),
            at: posture.verdict_at.map(rfc3339),
            proof: posture.proof.name().into(),
            proof_at: posture.proof_at.map(rfc3339),
            heartbeat_at: posture.heartbeat.map(|last| rfc3339(last.at)),
            due: due.map(rfc3339),
            untrusted_since: posture.doubted_since.map(|since| rfc3339(since.max(device.created))),
            identity: attester.as_ref().map(|attester| attester.identity.to_string()),
            boot_count: attester.as_ref().and_then(|attester| attester.boot_count),
            tpm_key: tpm_key.map(|key| key.name.to_string()),
            verdicts: verdicts.iter().map(verdict_view).collect(),
        })
    }
}

/// Moves the device's counter on, durably: whoever is second with an answer to this challenge comes too late.
async fn advance(device: &Device, answered: Challenge, to: &Advance<'_>) -> Result<(), Refusal> {
    let store = &device.tenant().store;
    match store.advance_attester(device.key.device, answered.counter, to).await.map_err(unavailable)? {
        true => Ok(()),
        false => Err(USED),
    }
}

/// Evidence that a device brought, and what it is held against.
struct Hearing<'a> {
    device: &'a Arc<Device>,
    attester: AttesterRow,
    policy: TypePolicy,
    exporter: &'a Secret<32>,
    bytes: &'a [u8],
    now: UnixMillis,
}

impl Hearing<'_> {
    /// What evidence for this challenge is held against.
    fn expects<'a>(&'a self, nonce: &'a [u8], answered: Challenge, binding: &'a [u8; 32]) -> Expectation<'a> {
        Expectation {
            class: &self.policy.class,
            identity: &self.attester.identity,
            nonce,
            challenged: answered.issued,
            binding: Some(binding),
            last_boot_count: self.attester.boot_count,
            last_boot_seed: self.attester.boot_seed.as_deref(),
            now: self.now,
        }
    }
}

/// Evidence appraised, or found not to hold.
struct Judged {
    tier: Attestation,
    vector: Vector,
    /// What speaks against the device, the worst first.
    reasons: Vec<String>,
    challenged: UnixMillis,
    evidence: Option<Evidence>,
    /// Its starts cannot all be one device's.
    cloned: bool,
}

impl Judged {
    fn of(verdict: &Verdict, challenged: UnixMillis, evidence: Evidence) -> Self {
        let reasons = verdict.reasons.iter().map(ToString::to_string).collect();
        let cloned = verdict.has(Fault::BootCountBackwards) || verdict.has(Fault::BootSeedMismatch);
        Self { tier: verdict.tier, vector: verdict.vector, reasons, challenged, evidence: Some(evidence), cloned }
    }

    /// No claim of it is believed; it came in the device's own session, so the device has to answer for it.
    fn unverified(error: bartizan_trust::Error, now: UnixMillis) -> Self {
        let reasons = vec![format!("The evidence does not hold: {error}.")];
        let vector = Vector { instance_identity: Trust::CONTRAINDICATED, ..Vector::default() };
        let tier = Attestation::Contraindicated;
        Self { tier, vector, reasons, challenged: now, evidence: None, cloned: false }
    }

    /// The verdict as the end of a sentence that begins with the device.
    fn text(&self) -> String {
        let worst = self.reasons.first().map_or("", String::as_str).trim_end_matches('.');
        match self.tier {
            Attestation::Contraindicated => format!("failed its attestation. {worst}"),
            Attestation::Warning => format!("attested with a warning. {worst}"),
            Attestation::Affirming | Attestation::None => "proved that it runs what was released".into(),
        }
    }

    fn details(&self) -> Details {
        let layers = self.evidence.iter().flat_map(|evidence| &evidence.layers).map(LayerView::of).collect();
        let boot_count = self.evidence.as_ref().and_then(|evidence| evidence.boot_count);
        let vector = self.vector.claims().map(|claim| claim.0);
        Details { layers, reasons: self.reasons.clone(), boot_count, vector }
    }
}

/// What of a verdict is stored for people.
#[derive(Serialize, Deserialize)]
struct Details {
    layers: Vec<LayerView>,
    reasons: Vec<String>,
    boot_count: Option<u64>,
    /// The claims of AR4SI; older verdicts have none.
    #[serde(default)]
    vector: [i8; 8],
}

/// What a stored verdict says in an attestation result.
pub(super) fn judged(row: &VerdictRow) -> (Vector, Vec<String>) {
    let details: Option<Details> = serde_json::from_str(&row.details).ok();
    details.map_or_else(Default::default, |it| (Vector::from_claims(it.vector.map(Trust)), it.reasons))
}

fn verdict_view(row: &VerdictRow) -> VerdictView {
    let details: Option<Details> = serde_json::from_str(&row.details).ok();
    let (layers, reasons, boot_count) =
        details.map_or_else(Default::default, |it| (it.layers, it.reasons, it.boot_count));
    VerdictView {
        at: rfc3339(row.at),
        tier: row.tier.name().into(),
        text: row.text.clone(),
        layers,
        reasons,
        boot_count,
    }
}

/// What names a device in its challenges.
fn name_of(device: DeviceKey) -> [u8; 12] {
    let mut out = [0; 12];
    out[..4].copy_from_slice(&device.tenant.0.to_be_bytes());
    out[4..].copy_from_slice(&device.device.0.to_be_bytes());
    out
}

pub(super) fn unavailable(error: crate::store::Error) -> Refusal {
    Refusal::Unavailable(Error::from(error).to_string())
}
