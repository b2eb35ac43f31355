//! The attestation resource: a device fetches a challenge and brings evidence, whatever its access but blocked.
//!
//! ```text
//! GET  coaps://gateway/.well-known/bartizan/attestation        ─▶ 2.05 the challenge, as it is
//! GET  coaps://gateway/.well-known/bartizan/attestation?epoch  ─▶ 2.05 the id of this epoch, for devices that sleep;
//!                                                                 Max-Age: until when a heartbeat may answer it
//! POST coaps://gateway/.well-known/bartizan/attestation        ─▶ 2.04 the device's standing, as the status resource
//!      Content-Format 263, application/eat+cwt                    has it in CBOR
//!      Content-Format 65203, messages of a TPM (docs/tpm.md)    the same, or a credential
//! ```
//!
//! What is posted is evidence or a heartbeat, told apart by what it says: a heartbeat has a nonce and a start, and nothing
//! else.
//!
//! 4.03: no identity is registered for the device, or its type has no policy. 4.09: the challenge was another's, is too old
//! or was used, or a heartbeat prolongs nothing; fetch a challenge and bring evidence. 4.15: no evidence of a profile that
//! is judged here. 4.29: too much in a minute. Evidence that is not to be believed is answered 2.04 like any other: the
//! standing says what came of it.

use bartizan_crypto::Secret;
use bartizan_trust::tpm::{self, Message};
use bartizan_wire::coap::{Code, content_format};
use bytes::Bytes;

use super::coap::{Answer, StatusFormat};
use super::status;
use crate::app::{Answered, App, Device, Refusal};
use crate::limits::COAP_RETRY_SECONDS;

/// The path's segments.
pub const ATTESTATION_PATH: &[&str] = &[".well-known", "bartizan", "attestation"];

/// Asks for the id of the epoch.
pub const EPOCH_QUERY: &[u8] = b"epoch";

/// A challenge for the device.
pub async fn challenge(app: &App, device: &Device) -> Answer {
    match app.challenge(device).await {
        Ok(challenge) => Answer {
            content_format: Some(content_format::OCTET_STREAM),
            max_age: Some(0), // never from a cache
            payload: Bytes::copy_from_slice(&challenge),
            ..Answer::new(Code::CONTENT)
        },
        Err(refusal) => refused(&refusal),
    }
}

/// The id of this epoch.
pub async fn epoch(app: &App, device: &Device) -> Answer {
    match app.epoch(device).await {
        Ok(epoch) => Answer {
            content_format: Some(content_format::OCTET_STREAM),
            max_age: Some(epoch.fresh_s),
            payload: Bytes::copy_from_slice(&epoch.id),
            ..Answer::new(Code::CONTENT)
        },
        Err(refusal) => refused(&refusal),
    }
}

/// What the device's evidence or heartbeat is worth, told as its standing.
pub async fn appraise(app: &App, device: &std::sync::Arc<Device>, exporter: &Secret<32>, evidence: &Bytes) -> Answer {
    if Message::looks_like(evidence) {
        return hear_tpm(app, device, exporter, evidence).await;
    }
    match app.attest(device, exporter, evidence).await {
        Ok(_) => standing(app, device).await,
        Err(refusal) => refused(&refusal),
    }
}

/// A device with a TPM also asks for a credential, and brings what its TPM found in it.
async fn hear_tpm(app: &App, device: &std::sync::Arc<Device>, exporter: &Secret<32>, message: &Bytes) -> Answer {
    match app.hear_tpm(device, exporter, message).await {
        Ok(Answered::Credential(credential)) => Answer {
            content_format: Some(tpm::CONTENT_FORMAT),
            payload: credential.into(),
            ..Answer::new(Code::CHANGED)
        },
        Ok(Answered::Activated | Answered::Judged(_)) => standing(app, device).await,
        Err(refusal) => refused(&refusal),
    }
}

async fn standing(app: &App, device: &Device) -> Answer {
    let standing = status::of(app, device, StatusFormat::Cbor).await;
    Answer { code: Code::CHANGED, ..standing }
}

fn refused(refusal: &Refusal) -> Answer {
    let code = match refusal {
        Refusal::Unregistered | Refusal::NoPolicy | Refusal::NotItsTpm => Code::FORBIDDEN,
        Refusal::Challenge(_) | Refusal::Chain | Refusal::Activation | Refusal::Evidence(_) => Code::CONFLICT,
        Refusal::Keys(_) => Code::BAD_REQUEST,
        Refusal::Format(_) => Code::UNSUPPORTED_CONTENT_FORMAT,
        Refusal::TooMuch => {
            return Answer { max_age: Some(COAP_RETRY_SECONDS), ..Answer::new(Code::TOO_MANY_REQUESTS) };
        }
        Refusal::Unavailable(_) | Refusal::Damaged(_) => return Answer::unavailable(),
    };
    Answer { payload: Bytes::from(refusal.to_string()), ..Answer::new(code) }
}
