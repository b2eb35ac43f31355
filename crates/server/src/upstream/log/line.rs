//! One message as one line of JSON.

use bartizan_wire::UnixMillis;
use serde::Serialize;

use super::super::{UpstreamDevice, method_name};
use crate::app::path::Message;
use crate::base64;

#[derive(Serialize)]
struct Line<'a> {
    /// RFC 3339, UTC.
    at: String,
    tenant: &'a str,
    device: &'a str,
    r#type: &'a str,
    method: String,
    path: &'a str,
    content_format: Option<u16>,
    /// Whether the device has proven lately what it runs; absent if it never has.
    #[serde(skip_serializing_if = "Option::is_none")]
    trusted: Option<bool>,
    /// The payload, if it is UTF-8 text.
    #[serde(skip_serializing_if = "Option::is_none")]
    payload: Option<&'a str>,
    /// The payload, if it is not.
    #[serde(skip_serializing_if = "Option::is_none")]
    payload_base64: Option<String>,
}

/// The line with its newline. JSON escapes every newline inside, so a line is a message.
pub(super) fn encode(at: UnixMillis, tenant: &str, device: &UpstreamDevice, message: &Message) -> Vec<u8> {
    let text = std::str::from_utf8(&message.payload).ok();
    let line = Line {
        at: rfc3339(at),
        tenant,
        device: &device.name,
        r#type: &device.type_name,
        method: method_name(message.code),
        path: &message.path,
        content_format: message.content_format,
        trusted: message.trusted,
        payload: text,
        payload_base64: text.is_none().then(|| base64::encode(&message.payload)),
    };
    let mut bytes = serde_json::to_vec(&line).expect("invariant: a struct of strings and numbers is JSON");
    bytes.push(b'\n');
    bytes
}

fn rfc3339(at: UnixMillis) -> String {
    let millis = i64::try_from(at.0).unwrap_or(i64::MAX);
    let at = jiff::Timestamp::from_millisecond(millis).unwrap_or(jiff::Timestamp::MAX);
    format!("{at:.3}")
}

#[cfg(test)]
mod tests {
    use super::*;
    use bartizan_wire::DeviceKey;
    use bytes::Bytes;

    fn line(payload: &'static [u8]) -> String {
        let device = UpstreamDevice {
            key: DeviceKey::new(1, 2),
            name: "meter-7".into(),
            type_name: "water meter".into(),
            endpoint_names: vec![],
        };
        let message = Message {
            code: 2,
            path: "/readings?unit=l".into(),
            content_format: Some(50),
            payload: Bytes::from_static(payload),
            coap: None,
            trusted: None,
        };
        String::from_utf8(encode(UnixMillis(1_700_000_000_123), "city", &device, &message)).unwrap()
    }

    #[test]
    fn text_stands_as_text() {
        assert_eq!(
            line(b"{\"l\":1,\n\"q\":\"\\\"\"}"),
            "{\"at\":\"2023-11-14T22:13:20.123Z\",\"tenant\":\"city\",\"device\":\"meter-7\",\"type\":\"water meter\",\
             \"method\":\"POST\",\"path\":\"/readings?unit=l\",\"content_format\":50,\
             \"payload\":\"{\\\"l\\\":1,\\n\\\"q\\\":\\\"\\\\\\\"\\\"}\"}\n"
        );
    }

    #[test]
    fn bytes_stand_as_base64() {
        assert!(line(&[0xff, 0x00]).ends_with("\"payload_base64\":\"/wA=\"}\n"));
    }
}
