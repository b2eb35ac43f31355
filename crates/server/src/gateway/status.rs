//! The status resource: what a device may do now, why, and when to ask again. It answers at every access but
//! blocked, so that an isolated device can tell isolation from a broken server.
//!
//! `GET coaps://gateway/.well-known/bartizan/status`, as JSON (the default) or CBOR by Accept:
//!
//! ```json
//! {"access":"quarantined","reason":"it reported every 72 s …","retry_after_s":900,"attest":true}
//! ```
//!
//! `retry_after_s` is 0 while nothing is restricted. `attest` is true when the device should bring evidence now (see the
//! attestation resource): it owes some, or nothing else ends what restricts it. `epoch` stands there only for a device
//! that a heartbeat would help: the id that its next one may answer, in hexadecimal digits. The CBOR form has the same
//! text keys, and the id as a byte string.

use bartizan_platform::import::secret::to_hex;
use bartizan_wire::Access;
use bartizan_wire::coap::{Code, content_format};
use serde::Serialize;

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
}

/// The device's own standing, in the words that its operator reads.
pub async fn of(app: &App, device: &Device, format: StatusFormat) -> Answer {
    let explanation = app.show_device(device.key).await.map(|view| view.explanation).unwrap_or_default();
    let epoch = app.epoch_at_hand(device).await.map(|epoch| epoch.id);
    let epoch = epoch.as_ref().map(<[u8; _]>::as_slice);
    describe(device.access(), &explanation, device.wants_evidence(), epoch, format)
}

/// Describes a device to itself. `reason` is what an operator reads too; `attest`: it should bring evidence; `epoch`: the
/// id that its next heartbeat may answer.
#[must_use]
pub fn describe(access: Access, reason: &str, attest: bool, epoch: Option<&[u8]>, format: StatusFormat) -> Answer {
    let status = Status {
        epoch: epoch.filter(|_| format == StatusFormat::Json).map(to_hex),
        access: access.name(),
        reason: cut(reason),
        retry_after_s: match access {
            Access::Full => 0,
            _ => RETRY_AFTER_S,
        },
        attest,
    };
    let (content_format, payload) = match format {
        StatusFormat::Json => (content_format::JSON, json(&status)),
        StatusFormat::Cbor => (content_format::CBOR, cbor(&status, epoch)),
    };
    Answer {
        content_format: Some(content_format),
        max_age: Some(0), // never from a cache
        payload: payload.into(),
        ..Answer::new(Code::CONTENT)
    }
}

fn json(status: &Status<'_>) -> Vec<u8> {
    serde_json::to_vec(status).expect("invariant: plain fields serialise")
}

/// A map of four or five entries (RFC 8949), written by hand: it is all the CBOR that the server speaks to devices.
fn cbor(status: &Status<'_>, epoch: Option<&[u8]>) -> Vec<u8> {
    let mut out = vec![0xa4];
    if let Some(epoch) = epoch {
        out[0] += 1;
        cbor_text(&mut out, "epoch");
        cbor_head(&mut out, 2, epoch.len() as u32);
        out.extend_from_slice(epoch);
    }
    cbor_text(&mut out, "access");
    cbor_text(&mut out, status.access);
    cbor_text(&mut out, "attest");
    out.push(if status.attest { 0xf5 } else { 0xf4 });
    cbor_text(&mut out, "reason");
    cbor_text(&mut out, status.reason);
    cbor_text(&mut out, "retry_after_s");
    cbor_head(&mut out, 0, status.retry_after_s);
    out
}

fn cbor_text(out: &mut Vec<u8>, text: &str) {
    cbor_head(out, 3, text.len() as u32);
    out.extend_from_slice(text.as_bytes());
}

fn cbor_head(out: &mut Vec<u8>, major: u8, number: u32) {
    let major = major << 5;
    match number {
        0..=23 => out.push(major | number as u8),
        24..=0xff => out.extend_from_slice(&[major | 24, number as u8]),
        0x100..=0xffff => {
            out.push(major | 25);
            out.extend_from_slice(&(number as u16).to_be_bytes());
        }
        _ => {
            out.push(major | 26);
            out.extend_from_slice(&number.to_be_bytes());
        }
    }
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
        let json = describe(Access::Quarantined, "too loud", true, None, StatusFormat::Json);
        assert_eq!(
            &json.payload[..],
            br#"{"access":"quarantined","reason":"too loud","retry_after_s":900,"attest":true}"#
        );
        let cbor = describe(Access::Quarantined, "too loud", true, None, StatusFormat::Cbor);
        let expected = [
            &b"\xa4\x66access\x6bquarantined\x66attest\xf5\x66reason\x68too loud\x6dretry_after_s"[..],
            &[0x19, 0x03, 0x84],
        ];
        assert_eq!(&cbor.payload[..], expected.concat());
        assert_eq!(cbor.content_format, Some(60));
    }

    #[test]
    fn an_epoch_id_comes_first_where_there_is_one() {
        let told = |format| describe(Access::Full, "", false, Some(&[0xab, 7]), format).payload;
        assert!(told(StatusFormat::Json).starts_with(br#"{"epoch":"ab07","access":"full""#));
        assert!(told(StatusFormat::Cbor).starts_with(b"\xa5\x65epoch\x42\xab\x07\x66access\x64full"));
    }

    #[test]
    fn numbers_and_lengths_change_their_form_where_rfc_8949_says() {
        let head = |number| {
            let mut out = Vec::new();
            cbor_head(&mut out, 0, number);
            out
        };
        assert_eq!(head(23), [0x17]);
        assert_eq!(head(24), [0x18, 24]);
        assert_eq!(head(255), [0x18, 255]);
        assert_eq!(head(256), [0x19, 1, 0]);
        assert_eq!(head(65_536), [0x1a, 0, 1, 0, 0]);
    }

    #[test]
    fn a_long_reason_is_cut_between_characters() {
        assert_eq!(cut(&"水".repeat(200)).len(), 510);
        assert_eq!(cut(&"x".repeat(512)).len(), 512);
        assert_eq!(cut(&"x".repeat(513)).len(), 512);
    }
}
