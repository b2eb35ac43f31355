//! Heartbeats: a device says that the start which its last verdict stands on goes on.
//!
//! ```text
//!  heartbeat ─▶ challenge or epoch ─▶ budget ─▶ a good verdict, nothing owed ─▶ reference values as they are now
//!            ─▶ same start, session, firmware ─▶ tag or signature ─▶ Posture::proof_at (durable)
//! ```
//!
//! A heartbeat that is not good says nothing, and the verdict stands as it did: the device is told to bring evidence.

use std::sync::Arc;
use std::sync::atomic::Ordering::Relaxed;

use bartizan_crypto::{AWS_LC, Secret, constant_time_eq};
use bartizan_platform::posture::Machine;
use bartizan_trust::appraisal::reappraise;
use bartizan_trust::challenge::{CHALLENGE_BYTES, binding};
use bartizan_trust::epoch::{EPOCH_BYTES, Epoch};
use bartizan_trust::evidence::Carried;
use bartizan_trust::heartbeat::{self, Expected, Heartbeat, Proof, Standing};
use bartizan_wire::{Attestation, UnixMillis};

use super::App;
use super::attestation::{Refusal, unavailable};
use super::device::Device;
use super::proven::Begun;
use super::references::TypePolicy;
use crate::store::AttesterRow;

/// The name that the key of epoch ids is derived under from the key file's. Unlike the key of challenges it outlives the
/// server: a device that slept over a restart is not asked to begin again.
pub(super) const EPOCH_KEY: &str = "bartizan epochs";

/// An epoch id, and for how long it may be answered.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct EpochId {
    pub id: [u8; EPOCH_BYTES],
    pub fresh_s: u32,
}

impl App {
    /// The id that the device's next heartbeat may answer.
    ///
    /// # Errors
    /// As [`App::challenge`].
    pub async fn epoch(&self, device: &Device) -> Result<EpochId, Refusal> {
        self.noted(device, self.attester(device).await)?;
        let policy = self.noted(device, self.policy_of(device).await)?;
        Ok(self.epoch_id(&policy))
    }

    /// The same, for a device that a heartbeat would help now.
    pub async fn epoch_at_hand(&self, device: &Device) -> Option<EpochId> {
        if !device.can_attest() || !device.state().posture.is_prolonged_by_heartbeats() {
            return None;
        }
        Some(self.epoch_id(&self.policy_of(device).await.ok()?))
    }

    fn epoch_id(&self, policy: &TypePolicy) -> EpochId {
        let now = self.clock.now();
        let epoch = Epoch::at(now, policy.epoch_ms);
        let fresh_s = epoch.answerable_until().since(now) / 1000;
        EpochId { id: epoch.issue(&AWS_LC, &self.epoch_key), fresh_s: u32::try_from(fresh_s).unwrap_or(u32::MAX) }
    }

    /// Prolongs the device's last verdict, durably when it returns.
    pub(super) async fn take_heartbeat(
        &self,
        device: &Arc<Device>,
        exporter: &Secret<32>,
        heartbeat: &Heartbeat<'_>,
    ) -> Result<Attestation, Refusal> {
        let now = self.clock.now();
        let attester = self.attester(device).await?;
        let policy = self.policy_of(device).await?;
        let challenged = self.answered_by(heartbeat, device, &attester, &policy, now)?;
        self.spend_on(device, now)?;
        let verdict_at = {
            let posture = &device.state().posture;
            posture.verdict_at.filter(|_| posture.takes_heartbeat(challenged))
        };
        let verdict_at = verdict_at.ok_or(NOTHING)?;
        let begun = self.begun(device, &attester, verdict_at, now).await?;
        self.still_good(device, &policy, &begun, now).await?;
        let binding = binding(&AWS_LC, exporter, heartbeat.challenge());
        let expected = Expected { nonce: heartbeat.challenge(), challenged, binding: &binding };
        let key = heartbeat::key_of(&AWS_LC, exporter, &begun.hash);
        let proof = match heartbeat.is_tagged() {
            true if !came_through(&begun, exporter) => return Err(Refusal::Evidence("the session is another one")),
            true => Proof::Key(&key),
            false => Proof::Leaf(&begun.leaf),
        };
        let prolonged = begun.standing.prolong(self.verifier, heartbeat, proof, &expected);
        prolonged.map_err(|_| Refusal::Evidence("the heartbeat does not hold"))?;
        self.say(device, now, Machine::Prolonged { challenged }, None);
        let counted = device.state().posture.heartbeat.is_some_and(|last| last.challenged == challenged);
        self.durable().await.map_err(|error| Refusal::Unavailable(error.to_string()))?;
        if !counted {
            return Err(NOTHING);
        }
        self.counts.heartbeats.fetch_add(1, Relaxed);
        Ok(begun.standing.tier())
    }

    /// When what the heartbeat answers was issued. A challenge of ours or an epoch's id, told by its length.
    fn answered_by(
        &self,
        heartbeat: &Heartbeat<'_>,
        device: &Device,
        attester: &AttesterRow,
        policy: &TypePolicy,
        now: UnixMillis,
    ) -> Result<UnixMillis, Refusal> {
        let nonce = heartbeat.challenge();
        if nonce.len() == EPOCH_BYTES {
            let epoch = Epoch::read(&AWS_LC, &self.epoch_key, nonce, now, policy.epoch_ms);
            return epoch.map(|epoch| epoch.begins()).map_err(|_| Refusal::Challenge("the epoch is over"));
        }
        const _: () = assert!(EPOCH_BYTES != CHALLENGE_BYTES);
        self.issued_to(device, attester, nonce, now).map(|challenge| challenge.issued)
    }

    /// What heartbeats may prolong of the verdict of `at`, from memory or from the evidence that is stored with it.
    async fn begun(
        &self,
        device: &Device,
        attester: &AttesterRow,
        at: UnixMillis,
        now: UnixMillis,
    ) -> Result<Arc<Begun>, Refusal> {
        if let Some(begun) = self.proven().begun(device.key, &attester.identity, at, now) {
            return Ok(begun);
        }
        let rows = device.tenant().store.verdicts(device.key.device, 1).await.map_err(unavailable)?;
        let row = rows.first().filter(|row| row.at == at).ok_or(NOTHING)?;
        let opened = Carried::read(&row.evidence, at).and_then(|carried| {
            let chain = self.chain_of(device.key, attester, &carried, now)?;
            let (name, leaf) = (carried.chain_name(self.verifier), chain.leaf);
            Ok((name, leaf, carried.verify(self.verifier, (*chain).clone())?))
        });
        let (name, leaf, evidence) = opened.map_err(|_| NOTHING)?;
        if !evidence.identity.is(&attester.identity) {
            return Err(NOTHING);
        }
        let standing = Standing::begin(row.tier, &evidence, name, at).ok_or(NOTHING)?;
        let hash = (self.verifier.sha256)(&[&row.evidence]);
        let begun = Arc::new(Begun { at, standing, evidence, hash, leaf });
        self.proven().begin(device.key, &name, begun.clone());
        Ok(begun)
    }

    /// What is known now is held against the evidence again: firmware that was forbidden since is prolonged by nothing.
    async fn still_good(
        &self,
        device: &Device,
        policy: &TypePolicy,
        begun: &Begun,
        now: UnixMillis,
    ) -> Result<(), Refusal> {
        let references = device.tenant().references().await.map_err(unavailable)?;
        let verdict = reappraise(&policy.appraisal, &references, &policy.class, &begun.evidence, now);
        if verdict.tier > begun.standing.tier() {
            return Err(Refusal::Evidence("more is known of the firmware than at the last verdict"));
        }
        Ok(())
    }
}

const NOTHING: Refusal = Refusal::Evidence("there is no verdict that a heartbeat prolongs");

/// Whether the evidence came through the session with this exporter value.
fn came_through(begun: &Begun, exporter: &Secret<32>) -> bool {
    let expected = binding(&AWS_LC, exporter, &begun.evidence.nonce);
    begun.evidence.binding.is_some_and(|binding| constant_time_eq(&binding, &expected))
}
