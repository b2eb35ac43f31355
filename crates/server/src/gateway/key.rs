//! The key resource: a device fetches another pre-shared key over its own association.
//!
//! ```text
//! POST coaps://gateway/.well-known/bartizan/key   ─▶ 2.04 {"identity": bytes, "key": bytes} in CBOR, never from a cache
//!      nothing, or 16 to 64 random bytes of the device (octet-stream), which are mixed into the key
//! ```
//!
//! Repeated in the same association it is answered with the same key, until a handshake has used it. 4.00: too few or too
//! many bytes. 4.03: the association has no ephemeral exchange, or the device is isolated and has not proven itself since.
//! 4.09: attest in this association first. 4.29: too many keys in a minute.

use bartizan_wire::coap::{Code, content_format};
use bytes::Bytes;

use super::cbor;
use super::coap::Answer;
use crate::app::keys::KeyRequest;
use crate::app::{App, Device, KeyRefusal};
use crate::limits::COAP_RETRY_SECONDS;

/// The path's segments.
pub const KEY_PATH: &[&str] = &[".well-known", "bartizan", "key"];

/// Hands the device another key, if it and its association are worth it.
pub async fn hand_out(app: &App, device: &std::sync::Arc<Device>, request: KeyRequest<'_>) -> Answer {
    match app.hand_out_key(device, &request).await {
        Ok(key) => {
            let mut payload = vec![0xa2];
            cbor::text(&mut payload, "identity");
            cbor::bytes(&mut payload, &key.identity);
            cbor::text(&mut payload, "key");
            cbor::bytes(&mut payload, &key.psk);
            Answer {
                content_format: Some(content_format::CBOR),
                max_age: Some(0), // never from a cache
                payload: payload.into(),
                ..Answer::new(Code::CHANGED)
            }
        }
        Err(refusal) => refused(&refusal),
    }
}

fn refused(refusal: &KeyRefusal) -> Answer {
    let code = match refusal {
        KeyRefusal::NotEphemeral | KeyRefusal::Isolated => Code::FORBIDDEN,
        KeyRefusal::Contribution => Code::BAD_REQUEST,
        KeyRefusal::Unproven => Code::CONFLICT,
        KeyRefusal::TooMuch => {
            return Answer { max_age: Some(COAP_RETRY_SECONDS), ..Answer::new(Code::TOO_MANY_REQUESTS) };
        }
        KeyRefusal::Unavailable(_) => return Answer::unavailable(),
    };
    Answer { payload: Bytes::from(refusal.to_string()), ..Answer::new(code) }
}
