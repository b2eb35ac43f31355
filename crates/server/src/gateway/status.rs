//! The status resource: what a device may do now, why, and when to ask again. It answers at every access but
//! blocked, so that an isolated device can tell isolation from a broken server.
//!
//! `GET coaps://gateway/.well-known/bartizan/status`, as JSON (the default) or CBOR by Accept:
//!
//! ```json
//! {"access":"quarantined","reason":"it reported every 72 s …","retry_after_s":900,"attest":true,"rotate":false}
//! ```
//!
//! `retry_after_s` is 0 while nothing is restricted. `attest` is true when the device should bring evidence now (see the
//! attestation resource): it owes some, or nothing else ends what restricts it. `rotate` is true when it should take
//! another key (see the key resource). `epoch` stands there only for a device that a heartbeat would help: the id that
//! its next one may answer, in hexadecimal digits. The CBOR form has the same text keys, and the id as a byte string.

use bartizan_platform::import::secret::to_hex;
use bartizan_wire::Access;
use bartizan_wire::coap::{Code, content_format};
use serde::Serialize;

use super::cbor;
use super::coap::{Answer, StatusFormat};
use crate::app::{App, Device};

/// The path's segments.
pub const STATUS_PATH: &[&str] = &[".well-known", "bartizan", "status"];
/// When a restricted device should look again, in seconds.
pub const RETRY_AFTER_S: u32 = 900;
/// The reason is cut off here, in bytes: a status fits one datagram.
const REASON_BYTES_MAX: usize = 512;

#[derive(Serialize)]
struct Status<'a> {
    #[serde(skip_serializing_if = "Option::is_none")]
    epoch: Option<String>,
    access: &'static str,
    reason: &'a str,
    retry_after_s: u32,
    attest: bool,
    rotate: bool,
}

/// What a device is told to do by itself.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Wanted {
    /// Bring evidence.
    pub attest: bool,
    /// Take another key.
    pub rotate: bool,
}

impl Wanted {
    #[must_use]
    pub fn of(device: &Device) -> Self {
        Self { attest: device.wants_evidence(), rotate: device.wants_key() }
    }
}

/// The device's own standing, in the words that its operator reads.
pub async fn of(app: &App, device: &Device, format: StatusFormat) -> Answer {
    let explanation = app.show_device(device.key).await.map(|view| view.explanation).unwrap_or_default();
    let epoch = app.epoch_at_hand(device).await.map(|epoch| epoch.id);
    let epoch = epoch.as_ref().map(<[u8; _]>::as_slice);
    describe(device.access(), &explanation, Wanted::of(device), epoch, format)
}

/// Describes a device to itself. `reason` is what an operator reads too; `epoch`: the id that its next heartbeat may
/// answer.
#[must_use]
pub fn describe(access: Access, reason: &str, wanted: Wanted, epoch: Option<&[u8]>, format: StatusFormat) -> Answer {
    let status = Status {
        epoch: epoch.filter(|_| format == StatusFormat::Json).map(to_hex),
        access: access.name(),
        reason: cut(reason),
        retry_after_s: match access {
            Access::Full => 0,
            _ => RETRY_AFTER_S,
        },
        attest: wanted.attest,
        rotate: wanted.rotate,
    };
    let (content_format, payload) = match format {
        StatusFormat::Json => (content_format::JSON, to_json(&status)),
        StatusFormat::Cbor => (content_format::CBOR, to_cbor(&status, epoch)),
    };
    Answer {
        content_format: Some(content_format),
        max_age: Some(0), // never from a cache
        payload: payload.into(),
        ..Answer::new(Code::CONTENT)
    }
}

fn to_json(status: &Status<'_>) -> Vec<u8> {
    serde_json::to_vec(status).expect("invariant: plain fields serialise")
}

/// A map of five or six entries.
fn to_cbor(status: &Status<'_>, epoch: Option<&[u8]>) -> Vec<u8> {
    let mut out = vec![if epoch.is_some() { 0xa6 } else { 0xa5 }];
    if let Some(epoch) = epoch {
        cbor::text(&mut out, "epoch");
        cbor::bytes(&mut out, epoch);
    }
    cbor::text(&mut out, "access");
    cbor::text(&mut out, status.access);
    cbor::text(&mut out, "attest");
    cbor::boolean(&mut out, status.attest);
    cbor::text(&mut out, "reason");
    cbor::text(&mut out, status.reason);
    cbor::text(&mut out, "retry_after_s");
    cbor::unsigned(&mut out, status.retry_after_s);
    cbor::text(&mut out, "rotate");
    cbor::boolean(&mut out, status.rotate);
    out
}

fn cut(text: &str) -> &str {
    let mut end = text.len().min(REASON_BYTES_MAX);
    while !text.is_char_boundary(end) {
        end -= 1;
    }
    &text[..end]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn json_and_cbor_say_the_same() {
        let wanted = Wanted { attest: true, rotate: false };
        let json = describe(Access::Quarantined, "too loud", wanted, None, StatusFormat::Json);
        assert_eq!(
            &json.payload[..],
            br#"{"access":"quarantined","reason":"too loud","retry_after_s":900,"attest":true,"rotate":false}"#
        );
        let cbor = describe(Access::Quarantined, "too loud", wanted, None, StatusFormat::Cbor);
        let expected = [
            &b"\xa5\x66access\x6bquarantined\x66attest\xf5\x66reason\x68too loud\x6dretry_after_s"[..],
            &[0x19, 0x03, 0x84],
            b"\x66rotate\xf4",
        ];
        assert_eq!(&cbor.payload[..], expected.concat());
        assert_eq!(cbor.content_format, Some(60));
    }

    #[test]
    fn an_epoch_id_comes_first_where_there_is_one() {
        let told = |format| describe(Access::Full, "", Wanted::default(), Some(&[0xab, 7]), format).payload;
        assert!(told(StatusFormat::Json).starts_with(br#"{"epoch":"ab07","access":"full""#));
        assert!(told(StatusFormat::Cbor).starts_with(b"\xa6\x65epoch\x42\xab\x07\x66access\x64full"));
    }

    #[test]
    fn a_long_reason_is_cut_between_characters() {
        assert_eq!(cut(&"水".repeat(200)).len(), 510);
        assert_eq!(cut(&"x".repeat(512)).len(), 512);
        assert_eq!(cut(&"x".repeat(513)).len(), 512);
    }
}
