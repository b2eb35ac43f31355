//! The attestation resource: a device fetches a challenge and brings evidence, whatever its access but blocked.
//!
//! ```text
//! GET  coaps://gateway/.well-known/bartizan/attestation   ─▶ 2.05 the challenge, as it is
//! POST coaps://gateway/.well-known/bartizan/attestation   ─▶ 2.04 the device's standing, as the status resource has it
//!      Content-Format 263, application/eat+cwt                 in CBOR
//! ```
//!
//! 4.03: no identity is registered for the device, or its type has no policy. 4.09: the challenge was another's, is too old or was used; fetch
//! one and try again. 4.15: no evidence of a profile that is judged here. 4.29: too much evidence in a minute. Evidence that is not to be believed is answered 2.04 like
//! any other: the standing says what came of it.

use bartizan_crypto::Secret;
use bartizan_wire::coap::{Code, content_format};
use bytes::Bytes;

use super::coap::{Answer, StatusFormat};
use super::status;
use crate::app::{App, Device, Refusal};
use crate::limits::COAP_RETRY_SECONDS;

/// The path's segments.
pub const ATTESTATION_PATH: &[&str] = &[".well-known", "bartizan", "attestation"];

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

/// What the device's evidence is worth, told as its standing.
pub async fn appraise(app: &App, device: &std::sync::Arc<Device>, exporter: &Secret<32>, evidence: &Bytes) -> Answer {
    if let Err(refusal) = app.attest(device, exporter, evidence).await {
        return refused(&refusal);
    }
    let explanation = app.show_device(device.key).await.map(|view| view.explanation).unwrap_or_default();
    let wanted = status::Wanted::of(device);
    let standing = status::describe(device.access(), &explanation, wanted, StatusFormat::Cbor);
    Answer { code: Code::CHANGED, ..standing }
}

fn refused(refusal: &Refusal) -> Answer {
    let code = match refusal {
        Refusal::Unregistered | Refusal::NoPolicy => Code::FORBIDDEN,
        Refusal::Challenge(_) | Refusal::Chain => Code::CONFLICT,
        Refusal::Format(_) => Code::UNSUPPORTED_CONTENT_FORMAT,
        Refusal::TooMuch => {
            return Answer { max_age: Some(COAP_RETRY_SECONDS), ..Answer::new(Code::TOO_MANY_REQUESTS) };
        }
        Refusal::Unavailable(_) => return Answer::unavailable(),
    };
    Answer { payload: Bytes::from(refusal.to_string()), ..Answer::new(code) }
}
