//! Attestation results (EAR): ours for those who rely on them, and those of other verifiers that we rely on.
//!
//! ```text
//!  our verdict ─▶ EAR, signed here ─▶ whoever relies on it          (the API; the device as its passport)
//!  evidence ─▶ another verifier ─▶ EAR ─▶ device ─▶ judge_result    (types whose policy names the verifier)
//! ```
//!
//! A result of another verifier counts like evidence: for one challenge, in the session that it was made for, once.

use bartizan_crypto::{AWS_LC, Secret};
use bartizan_platform::posture::Proof;
use bartizan_trust::appraisal::{Trust, Vector};
use bartizan_trust::challenge::{CHALLENGE_BYTES, binding};
use bartizan_trust::cose::SigningKey;
use bartizan_trust::limits::NONCE_BYTES;
use bartizan_trust::result::{Appraisal, Ear, VerifierId, from_base64url, to_base64url};
use bartizan_trust::{Identity, PublicKey};
use bartizan_wire::{Attestation, DeviceKey, UnixMillis};
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};
use utoipa::ToSchema;

use super::App;
use super::attestation::{Refusal, unavailable};
use super::device::Device;
use super::error::{Error, Misuse};
use super::trusted_keys::stored_key;
use super::views::rfc3339;
use crate::limits::RESULT_VALID_MS;
use crate::store::{KeyRole, MasterKey, VerdictRow, fill_random};

/// Results that are passed on as they are: nobody takes them twice for the same claim.
const DEVELOPER: &str = "bartizan.io";
/// What the key of results is derived for. Derived, so that it survives without another file that could be lost.
const PURPOSE: &str = "bartizan attestation results";

/// A device's attestation result, signed.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct ResultView {
    /// affirming, warning or contraindicated.
    pub tier: String,
    /// When nobody shall rely on it any more.
    pub expires: String,
    /// The result as a JWT (application/eat+jwt).
    pub jwt: String,
    /// The same as a CWT (application/eat+cwt), in base64url without padding.
    pub cwt: String,
}

/// Signs attestation results.
pub(super) struct ResultKey(Secret<32>);

impl ResultKey {
    /// Nearly every 32 bytes are a private key on P-256; the first that are one are taken.
    pub fn derive(key: &MasterKey) -> Self {
        let usable = |secret: &Secret<32>| SigningKey::P256(secret).public(&AWS_LC).is_ok();
        let derived = |round: u8| Secret::new(*key.derive(&format!("{PURPOSE} {round}")).expose());
        let found = (1..=8).map(derived).find(usable);
        Self(found.expect("invariant: one of 2^32 values is no key, eight in a row are not met"))
    }

    fn public(&self) -> PublicKey {
        SigningKey::P256(&self.0).public(&AWS_LC).expect("invariant: it was checked when it was derived")
    }
}

impl App {
    /// The keys that results are signed with, as a JWK set (RFC 7517).
    #[must_use]
    pub fn result_keys(&self) -> Value {
        let public = self.result_key.public();
        let kid = public.thumbprint(&AWS_LC).to_string();
        let PublicKey::P256(point) = public else { return json!({ "keys": [] }) };
        let (x, y) = point.get(1..).unwrap_or_default().split_at_checked(32).unwrap_or_default();
        json!({ "keys": [{
            "kty": "EC", "crv": "P-256", "x": to_base64url(x), "y": to_base64url(y),
            "alg": "ES256", "use": "sig", "kid": kid,
        }] })
    }

    /// What relying parties may hold of a device now. `nonce` is theirs (base64url, 8 to 64 bytes), so that they see
    /// that the result was signed for them.
    ///
    /// # Errors
    /// `Misuse` if it cannot attest, has not, or owes evidence by now; `Malformed` for another nonce.
    pub async fn attestation_result(&self, device: DeviceKey, nonce: Option<&str>) -> Result<ResultView, Error> {
        let nonce = nonce.map(checked_nonce).transpose()?;
        let device = self.require_device(device).await?;
        let store = &device.tenant().store;
        let none = |why: &str| Error::from(Misuse::Conflict(format!("{} {why}", device.name)));
        let attester = store.attester(device.key.device).await?;
        let attester = attester.ok_or_else(|| none("cannot attest: no identity is registered for it"))?;
        let verdicts = store.verdicts(device.key.device, 1).await?;
        let verdict = verdicts.first().ok_or_else(|| none("has not attested yet"))?;
        let proof = device.state().posture.proof;
        if verdict.tier != Attestation::Contraindicated && !matches!(proof, Proof::Current | Proof::Owed) {
            return Err(none("has no verdict that is young enough"));
        }
        let policy = device.tenant().attestation_policy(&device.type_name).await?;
        let schedule = policy.as_ref().and_then(|policy| policy.schedule);
        let now = self.clock.now();
        let due = schedule.map_or(u64::MAX, |schedule| verdict.at.0.saturating_add(schedule.every_ms));
        let expires = UnixMillis(due.min(now.0.saturating_add(RESULT_VALID_MS)));
        self.sign_result(&device, &attester.identity, verdict, expires, nonce)
    }

    fn sign_result(
        &self,
        device: &Device,
        identity: &Identity,
        verdict: &VerdictRow,
        expires: UnixMillis,
        nonce: Option<Vec<u8>>,
    ) -> Result<ResultView, Error> {
        let (vector, reasons) = super::attestation::judged(verdict);
        let ear = Ear {
            issued: self.clock.now().0 / 1000,
            expires: Some(expires.0 / 1000),
            verifier: VerifierId { developer: DEVELOPER.into(), build: env!("CARGO_PKG_VERSION").into() },
            nonce,
            appraisals: vec![(
                device.name.clone(),
                Appraisal {
                    status: verdict.tier,
                    vector,
                    policies: vec![device.type_name.clone()],
                    identity: Some(*identity),
                    reasons,
                },
            )],
        };
        let key = SigningKey::P256(&self.result_key.0);
        let failed = |error: bartizan_trust::Error| Error::Unavailable(format!("the result cannot be signed: {error}"));
        Ok(ResultView {
            tier: ear.tier().name().into(),
            expires: rfc3339(expires),
            jwt: ear.to_jwt(&AWS_LC, &key, &mut fill_random).map_err(failed)?,
            cwt: to_base64url(&ear.to_cwt(&AWS_LC, &key, &mut fill_random).map_err(failed)?),
        })
    }
}

fn checked_nonce(text: &str) -> Result<Vec<u8>, Error> {
    let nonce = from_base64url(text).filter(|nonce| NONCE_BYTES.contains(&nonce.len()));
    nonce.ok_or_else(|| Error::Malformed("a nonce is 8 to 64 bytes in base64url without padding".into()))
}

/// What another verifier said, once it is believed.
pub(super) struct Believed {
    pub tier: Attestation,
    pub reasons: Vec<String>,
    /// What it answers, as the device's challenges are.
    pub challenge: [u8; CHALLENGE_BYTES],
}

impl Device {
    /// Reads a result under the key of the verifier that the type's policy names: signed by it, in force, about this
    /// device alone, and for this session (its nonce is the challenge followed by the binding).
    pub(super) async fn read_result(
        &self,
        verifier: &str,
        identity: &Identity,
        exporter: &Secret<32>,
        bytes: &[u8],
        now: UnixMillis,
    ) -> Result<Result<Believed, bartizan_trust::Error>, Refusal> {
        let rows = self.tenant().store.trusted_keys(KeyRole::Verifier).await.map_err(unavailable)?;
        let row = rows.iter().find(|row| row.name == verifier);
        let row = row.ok_or_else(|| Refusal::Unavailable(format!("no key of the verifier {verifier:?} is known")))?;
        let key = stored_key(row).map_err(unavailable)?;
        Ok(opened(bytes, &key, now).and_then(|ear| believed(verifier, &ear, identity, exporter)))
    }
}

/// A JWT or a CWT; the one is text, which the other never begins with.
fn opened(bytes: &[u8], key: &PublicKey, now: UnixMillis) -> Result<Ear, bartizan_trust::Error> {
    match std::str::from_utf8(bytes) {
        Ok(token) if token.starts_with("ey") => Ear::from_jwt(&AWS_LC, token, key, now),
        _ => Ear::from_cwt(&AWS_LC, bytes, key, now),
    }
}

fn believed(
    verifier: &str,
    ear: &Ear,
    identity: &Identity,
    exporter: &Secret<32>,
) -> Result<Believed, bartizan_trust::Error> {
    use bartizan_trust::Error::Untrusted;
    let nonce = ear.nonce.as_deref().unwrap_or_default();
    let (challenge, bound) =
        nonce.split_first_chunk::<CHALLENGE_BYTES>().ok_or(Untrusted("a result without a nonce"))?;
    if !bartizan_crypto::constant_time_eq(bound, &binding(&AWS_LC, exporter, challenge)) {
        return Err(Untrusted("a result for another session"));
    }
    let named = |appraisal: &Appraisal| appraisal.identity.is_some_and(|named| named.is(identity));
    if !ear.appraisals.iter().all(|(_, appraisal)| named(appraisal)) {
        return Err(Untrusted("a result about another device, or about nobody"));
    }
    let mut reasons: Vec<String> = ear.appraisals.iter().flat_map(|(_, it)| it.reasons.clone()).collect();
    reasons.extend(ear.appraisals.iter().flat_map(|(_, it)| spoken_against(verifier, &it.vector)));
    Ok(Believed { tier: ear.tier(), reasons, challenge: *challenge })
}

/// The claims of a vector that are worse than affirming, in sentences.
fn spoken_against<'a>(verifier: &'a str, vector: &Vector) -> impl Iterator<Item = String> + use<'a> {
    let claims = Vector::NAMES.into_iter().zip(vector.claims());
    claims.filter_map(move |(name, claim): (_, Trust)| {
        let tier = claim.tier();
        let bad = matches!(tier, Attestation::Warning | Attestation::Contraindicated);
        bad.then(|| format!("The verifier {verifier} says of {name}: {} ({}).", tier.name(), claim.0))
    })
}
