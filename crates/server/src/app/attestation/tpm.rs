//! Devices with a TPM: which of its keys is believed, and what its quotes are worth.
//!
//! ```text
//!  challenge ─▶ enrolment ─▶ credential ─▶ activation ─▶ key (durable) ┐
//!  challenge ─▶ evidence ─▶ budget ─▶ key ─▶ quote ─▶ counter and clock (durable) ─▶ appraisal ─▶ as all evidence
//! ```
//!
//! A credential is remembered nowhere: its secret is made from the challenge and both keys under the key that
//! challenges are made with, and made again when it comes back.

use std::sync::Arc;

use bartizan_crypto::{AWS_LC, Secret, constant_time_eq};
use bartizan_trust::appraisal;
use bartizan_trust::challenge::{Challenge, binding};
use bartizan_trust::tpm::{Activation, Carried, Credential, Enrolment, Message, Name};
use bartizan_wire::Attestation;

use super::{Expectation, Hearing, Judged, Refusal, USED, unavailable};
use crate::app::device::Device;
use crate::app::{Actor, App};
use crate::store::{Advance, TpmKeyRow, fill_random};

const LABEL: &[u8] = b"bartizan tpm credential";
/// Who a device's own doings are noted as in its timeline.
const ITSELF: &str = "the device";

/// What came of a message of a device with a TPM.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Answered {
    /// For its TPM to open.
    Credential(Vec<u8>),
    /// Its key is believed now.
    Activated,
    Judged(Attestation),
}

impl App {
    /// Takes a message of a device with a TPM, through the device's session. What it answers is on the disk.
    pub async fn hear_tpm(
        &self,
        device: &Arc<Device>,
        exporter: &Secret<32>,
        bytes: &[u8],
    ) -> Result<Answered, Refusal> {
        self.noted(device, self.answer_tpm(device, exporter, bytes).await)
    }

    async fn answer_tpm(&self, device: &Arc<Device>, exporter: &Secret<32>, bytes: &[u8]) -> Result<Answered, Refusal> {
        let hearing = self.hearing(device, exporter, bytes).await?;
        if hearing.policy.verifier.is_some() {
            return Err(Refusal::Format("another verifier judges devices of this type"));
        }
        let message = match Message::read(bytes) {
            Ok(message) => message,
            Err(bartizan_trust::Error::Unsupported(what)) => return Err(Refusal::Format(what)),
            Err(error) if !Message::is_evidence(bytes) => return Err(Refusal::Keys(error)),
            Err(error) => {
                self.spend_on(device, hearing.now)?;
                let judged = Judged::unverified(error, hearing.now);
                return self.apply_verdict(&hearing, judged).await.map(Answered::Judged);
            }
        };
        match message {
            Message::Enrolment(keys) => self.challenge_tpm(&hearing, &keys),
            Message::Activation(activation) => self.activate_tpm(&hearing, &activation).await,
            Message::Evidence(carried) => {
                let challenge = self.answered(&hearing, carried.keys.challenge)?;
                self.spend_on(device, hearing.now)?;
                let judged = self.hear_quote(&hearing, &carried, challenge).await?;
                self.apply_verdict(&hearing, judged).await.map(Answered::Judged)
            }
        }
    }

    /// A credential that only the device's TPM opens, and only for this key.
    fn challenge_tpm(&self, hearing: &Hearing<'_>, keys: &Enrolment<'_>) -> Result<Answered, Refusal> {
        self.answered(hearing, keys.challenge)?;
        own_endorsement_key(hearing, keys)?;
        self.spend_on(hearing.device, hearing.now)?;
        let mut random = |out: &mut [u8]| fill_random(out);
        let (name, secret) = (keys.key.name(&AWS_LC), self.credential_secret(hearing, keys));
        let credential = Credential::make(&AWS_LC, &mut random, &keys.endorsement, &name, &secret);
        credential.map(|credential| Answered::Credential(credential.write())).map_err(Refusal::Keys)
    }

    /// What its TPM found in the credential shows that both keys are in it.
    async fn activate_tpm(&self, hearing: &Hearing<'_>, activation: &Activation<'_>) -> Result<Answered, Refusal> {
        let keys = &activation.enrolment;
        let challenge = self.answered(hearing, keys.challenge)?;
        own_endorsement_key(hearing, keys)?;
        self.spend_on(hearing.device, hearing.now)?;
        if !constant_time_eq(activation.secret, self.credential_secret(hearing, keys).expose()) {
            return Err(Refusal::NotItsTpm);
        }
        let (device, identity, name) = (hearing.device, &hearing.attester.identity, keys.key.name(&AWS_LC));
        let store = &device.tenant().store;
        let stored = store.activate_tpm_key(device.key.device, challenge.counter, identity, &name).await;
        if !stored.map_err(unavailable)? {
            return Err(USED);
        }
        let text = format!("Its TPM has shown that the attestation key {name} is in it.");
        self.note_by(device, &Actor(ITSELF.into()), "key", text);
        Ok(Answered::Activated)
    }

    /// The same for the same challenge, device and keys, until the server starts again.
    fn credential_secret(&self, hearing: &Hearing<'_>, keys: &Enrolment<'_>) -> Secret<32> {
        let (endorsement, key) = (keys.endorsement.name(&AWS_LC), keys.key.name(&AWS_LC));
        let named = super::name_of(hearing.device.key);
        // Each part has its own length.
        let parts = [LABEL, keys.challenge, &named, endorsement.as_slice(), key.as_slice()];
        Secret::new((AWS_LC.hmac_sha256)(self.challenge_key.expose(), &parts))
    }

    /// Verifies and appraises. Before anything comes of it, counter and clock have moved on, durably.
    async fn hear_quote(
        &self,
        hearing: &Hearing<'_>,
        carried: &Carried<'_>,
        challenge: Challenge,
    ) -> Result<Judged, Refusal> {
        let Hearing { device, attester, policy, exporter, .. } = hearing;
        let store = &device.tenant().store;
        let known = store.tpm_key(device.key.device, &attester.identity).await.map_err(unavailable)?;
        let opened = verify(hearing, carried, known.as_ref())?;
        let references = device.tenant().references().await.map_err(unavailable)?;
        let (judged, clock) = match opened {
            Err(error) => (Judged::unverified(error, challenge.issued), None),
            Ok((evidence, clock)) => {
                let bound = binding(&AWS_LC, exporter, carried.keys.challenge);
                let expected = hearing.expects(carried.keys.challenge, challenge, &bound);
                let expected = Expectation { last_boot_seed: None, ..expected }; // a TPM has a clock instead
                let verdict = appraisal::appraise(&policy.appraisal, &references, &evidence, &expected);
                let verdict = verdict.with_clock(&clock, known.as_ref().and_then(|known| known.clock.as_ref()));
                (Judged::of(&verdict, challenge.issued, evidence), Some(clock))
            }
        };
        // A second device under this identity is nothing to measure by later.
        let own = judged.evidence.as_ref().filter(|it| it.identity.is(&attester.identity) && !judged.cloned);
        let boot_count = own.map_or(attester.boot_count, |evidence| evidence.boot_count);
        let (advance, clock) = (Advance { boot_count, ..Advance::default() }, clock.filter(|_| own.is_some()));
        let moved = store.advance_tpm(device.key.device, challenge.counter, &advance, clock.as_ref()).await;
        if moved.map_err(unavailable)? { Ok(judged) } else { Err(USED) }
    }
}

type Opened = Result<(bartizan_trust::Evidence, bartizan_trust::tpm::Clock), bartizan_trust::Error>;

/// A new key of the device's own TPM is to be activated first; what another TPM says is judged as what it is.
fn verify(hearing: &Hearing<'_>, carried: &Carried<'_>, known: Option<&TpmKeyRow>) -> Result<Opened, Refusal> {
    let keys = &carried.keys;
    if !keys.endorsement.identity(&AWS_LC).is(&hearing.attester.identity) {
        return Ok(carried.claimed(&AWS_LC));
    }
    let is_known = |name: &Name| keys.key.name(&AWS_LC).is(name.as_slice());
    match known.filter(|known| is_known(&known.name)) {
        Some(known) => Ok(carried.verify(&AWS_LC, &known.name)),
        None => Err(Refusal::Activation),
    }
}

fn own_endorsement_key(hearing: &Hearing<'_>, keys: &Enrolment<'_>) -> Result<(), Refusal> {
    let own = keys.endorsement.identity(&AWS_LC).is(&hearing.attester.identity);
    if own { Ok(()) } else { Err(Refusal::NotItsTpm) }
}
