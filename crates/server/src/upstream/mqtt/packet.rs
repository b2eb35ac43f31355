//! The packets of a client that only publishes: MQTT 3.1.1 (OASIS, 2014) and MQTT 5.0 (OASIS, 2019).
//! Section numbers in this file are those of MQTT 5.0.

use bytes::{Buf, BufMut, BytesMut};

use super::Publish;
use crate::limits;

/// Protocol level (section 3.1.2.2).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Version {
    V311 = 4,
    V5 = 5,
}

/// What a broker sends to a client without subscriptions.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Incoming {
    ConnAck {
        reason: u8,
        receive_maximum: Option<u16>,
        packet_bytes_max: Option<u32>,
    },
    /// `reason` is 0 for MQTT 3.1.1.
    PubAck {
        id: u16,
        reason: u8,
    },
    PingResp,
    Disconnect {
        reason: u8,
    },
}

/// CONNECT with a clean start (section 3.1).
pub(super) fn connect(version: Version, client_id: &str, keep_alive_s: u16, login: Option<(&str, &[u8])>) -> BytesMut {
    let mut body = BytesMut::new();
    put_binary(&mut body, b"MQTT");
    body.put_u8(version as u8);
    let clean = 0b10;
    body.put_u8(clean | if login.is_some() { 0b1100_0000 } else { 0 });
    body.put_u16(keep_alive_s);
    put_no_properties(&mut body, version);
    put_binary(&mut body, client_id.as_bytes());
    if let Some((username, password)) = login {
        put_binary(&mut body, username.as_bytes());
        put_binary(&mut body, password);
    }
    let mut packet = BytesMut::with_capacity(body.len() + 5);
    put_header(&mut packet, 0x10, body.len());
    packet.extend_from_slice(&body);
    packet
}

/// Longest properties of a PUBLISH, with their length: `trusted` and `false`.
pub(super) const PROPERTIES_BYTES_MAX: usize = 1 + 1 + 2 + 7 + 2 + 5;

/// PUBLISH at QoS 1 (section 3.3), appended to `out`. With MQTT 5 `trusted` is a user property (section 3.3.2.3.7).
pub(super) fn publish(out: &mut BytesMut, version: Version, id: u16, publish: &Publish) {
    let Publish { topic, payload, trusted, retain, .. } = publish;
    let mut properties = BytesMut::new();
    if let Some(trusted) = trusted {
        properties.put_u8(0x26);
        put_binary(&mut properties, b"trusted");
        put_binary(&mut properties, if *trusted { b"true" } else { b"false" });
    }
    let with = if version == Version::V5 { 1 + properties.len() } else { 0 };
    put_header(out, 0x32 | u8::from(*retain), 2 + topic.len() + 2 + with + payload.len());
    put_binary(out, topic.as_bytes());
    out.put_u16(id);
    if version == Version::V5 {
        out.put_u8(properties.len() as u8);
        out.extend_from_slice(&properties);
    }
    out.extend_from_slice(payload);
}

/// PINGREQ (section 3.12).
pub(super) const PING: &[u8] = &[0xc0, 0];
/// DISCONNECT, normal (section 3.14).
pub(super) const DISCONNECT: &[u8] = &[0xe0, 0];

fn put_no_properties(out: &mut BytesMut, version: Version) {
    if version == Version::V5 {
        out.put_u8(0);
    }
}

/// Strings here are shorter than 65,536 bytes by the limits on topics, names and passwords.
fn put_binary(out: &mut BytesMut, bytes: &[u8]) {
    let length = u16::try_from(bytes.len()).expect("invariant: limits keep every string below 64 KiB");
    out.put_u16(length);
    out.extend_from_slice(bytes);
}

/// Fixed header with a variable byte integer (section 1.5.5).
fn put_header(out: &mut BytesMut, first: u8, mut length: usize) {
    out.put_u8(first);
    loop {
        let low = (length & 0x7f) as u8;
        length >>= 7;
        out.put_u8(if length > 0 { low | 0x80 } else { low });
        if length == 0 {
            return;
        }
    }
}

/// Takes one whole packet off `input`; `Ok(None)` if more bytes are needed.
pub(super) fn decode(input: &mut BytesMut, version: Version) -> Result<Option<Incoming>, String> {
    let Some((header, length)) = length_of(input)? else {
        return Ok(None);
    };
    if input.len() < header + length {
        return Ok(None);
    }
    let packet = input.split_to(header + length);
    parse(packet[0], &packet[header..], version)
        .map(Some)
        .ok_or_else(|| format!("the broker sent a packet that does not parse (type {})", packet[0] >> 4))
}

/// Length of the fixed header and of what follows it.
fn length_of(input: &[u8]) -> Result<Option<(usize, usize)>, String> {
    let mut length = 0_usize;
    for n in 0..4 {
        let Some(byte) = input.get(1 + n) else {
            return Ok(None);
        };
        length |= usize::from(byte & 0x7f) << (7 * n);
        if byte & 0x80 == 0 {
            return if length <= limits::MQTT_INCOMING_BYTES_MAX {
                Ok(Some((2 + n, length)))
            } else {
                Err(format!("the broker sent a packet of {length} bytes to a client that only publishes"))
            };
        }
    }
    Err("the broker sent a packet length of more than four bytes".into())
}

fn parse(first: u8, mut body: &[u8], version: Version) -> Option<Incoming> {
    match first {
        0x20 => {
            let _session_present = body.try_get_u8().ok()?;
            let reason = body.try_get_u8().ok()?;
            let (receive_maximum, packet_bytes_max) = match version {
                Version::V5 => connack_properties(body)?,
                Version::V311 => (None, None),
            };
            Some(Incoming::ConnAck { reason, receive_maximum, packet_bytes_max })
        }
        0x40 => Some(Incoming::PubAck { id: body.try_get_u16().ok()?, reason: body.try_get_u8().unwrap_or(0) }),
        0xd0 => Some(Incoming::PingResp),
        0xe0 => Some(Incoming::Disconnect { reason: body.try_get_u8().unwrap_or(0) }),
        _ => None,
    }
}

/// Receive Maximum and Maximum Packet Size among the properties of a CONNACK (section 3.2.2.3). An old broker
/// that refuses the version answers in its own format, without properties.
fn connack_properties(mut body: &[u8]) -> Option<(Option<u16>, Option<u32>)> {
    let (mut receive_maximum, mut packet_bytes_max) = (None, None);
    if body.is_empty() {
        return Some((None, None));
    }
    let length = take_varint(&mut body)?;
    let mut properties = body.get(..length)?;
    while let Ok(id) = properties.try_get_u8() {
        match id {
            0x21 => receive_maximum = Some(properties.try_get_u16().ok()?),
            0x27 => packet_bytes_max = Some(properties.try_get_u32().ok()?),
            _ => skip_property(id, &mut properties)?,
        }
    }
    Some((receive_maximum, packet_bytes_max))
}

/// Table 2-4: what a CONNACK's other properties are made of.
fn skip_property(id: u8, properties: &mut &[u8]) -> Option<()> {
    match id {
        0x24 | 0x25 | 0x28 | 0x29 | 0x2a => skip(properties, 1),
        0x13 | 0x22 => skip(properties, 2),
        0x11 => skip(properties, 4),
        0x12 | 0x15 | 0x16 | 0x1a | 0x1c | 0x1f => skip_string(properties),
        0x26 => skip_string(properties).and_then(|()| skip_string(properties)),
        _ => None,
    }
}

fn skip_string(bytes: &mut &[u8]) -> Option<()> {
    let length = bytes.try_get_u16().ok()?;
    skip(bytes, usize::from(length))
}

fn skip(bytes: &mut &[u8], count: usize) -> Option<()> {
    *bytes = bytes.get(count..)?;
    Some(())
}

fn take_varint(bytes: &mut &[u8]) -> Option<usize> {
    let mut value = 0;
    for n in 0..4 {
        let byte = bytes.try_get_u8().ok()?;
        value |= usize::from(byte & 0x7f) << (7 * n);
        if byte & 0x80 == 0 {
            return Some(value);
        }
    }
    None
}

#[cfg(test)]
mod tests {
    use super::*;

    fn decode_all(bytes: &[u8], version: Version) -> Result<Vec<Incoming>, String> {
        let mut input = BytesMut::from(bytes);
        let mut packets = Vec::new();
        while let Some(packet) = decode(&mut input, version)? {
            packets.push(packet);
        }
        Ok(packets)
    }

    /// The example of MQTT 3.1.1 figure 3.6, with our flags, and its MQTT 5 form.
    #[test]
    fn connect_has_the_form_of_the_standard() {
        assert_eq!(
            &connect(Version::V311, "c", 10, Some(("u", b"p")))[..],
            b"\x10\x13\x00\x04MQTT\x04\xc2\x00\x0a\x00\x01c\x00\x01u\x00\x01p"
        );
        assert_eq!(&connect(Version::V5, "c", 10, None)[..], b"\x10\x0e\x00\x04MQTT\x05\x02\x00\x0a\x00\x00\x01c");
    }

    #[test]
    fn publish_has_the_form_of_the_standard() {
        let write = |version, payload: &[u8], trusted, retain| {
            let (topic, payload) = ("a/b".to_owned(), bytes::Bytes::copy_from_slice(payload));
            let answer = tokio::sync::oneshot::channel().0;
            let mut out = BytesMut::new();
            publish(&mut out, version, 10, &Publish { topic, payload, trusted, retain, answer });
            out.to_vec()
        };
        assert_eq!(write(Version::V311, b"xy", None, false), b"\x32\x09\x00\x03a/b\x00\x0axy");
        assert_eq!(&write(Version::V5, &[0; 200], None, false)[..11], b"\x32\xd0\x01\x00\x03a/b\x00\x0a\x00");
        assert_eq!(
            write(Version::V5, b"xy", Some(false), true),
            b"\x33\x1b\x00\x03a/b\x00\x0a\x11\x26\x00\x07trusted\x00\x05falsexy"
        );
        assert_eq!(write(Version::V311, b"xy", Some(false), true), b"\x33\x09\x00\x03a/b\x00\x0axy");
    }

    #[test]
    fn answers_are_read_one_by_one() {
        let acks = decode_all(b"\x40\x02\x00\x07\x40\x03\x00\x08\x87\xd0\x00", Version::V5).unwrap();
        assert_eq!(
            acks,
            [Incoming::PubAck { id: 7, reason: 0 }, Incoming::PubAck { id: 8, reason: 0x87 }, Incoming::PingResp]
        );
        assert_eq!(decode_all(b"\x40\x02\x00", Version::V5).unwrap(), []);
    }

    #[test]
    fn the_brokers_limits_are_found_among_its_properties() {
        let properties = b"\x22\x00\x0a\x12\x00\x01i\x26\x00\x01a\x00\x00\x21\x00\x14\x27\x00\x00\x10\x00";
        let mut packet = vec![0x20, 3 + properties.len() as u8, 0, 0, properties.len() as u8];
        packet.extend_from_slice(properties);
        assert_eq!(
            decode_all(&packet, Version::V5).unwrap(),
            [Incoming::ConnAck { reason: 0, receive_maximum: Some(20), packet_bytes_max: Some(4096) }]
        );
    }

    #[test]
    fn a_packet_longer_than_the_bound_is_refused_before_it_arrives() {
        let header = |length: usize| {
            let mut out = BytesMut::new();
            put_header(&mut out, 0x30, length);
            decode_all(&out, Version::V5)
        };
        assert_eq!(header(limits::MQTT_INCOMING_BYTES_MAX).unwrap(), []);
        assert!(header(limits::MQTT_INCOMING_BYTES_MAX + 1).is_err());
        assert!(decode_all(&[0x30, 0xff, 0xff, 0xff, 0xff], Version::V5).is_err());
    }

    /// Every prefix and every one-byte change of a valid exchange is read or refused, never a panic.
    #[test]
    fn broken_packets_do_no_harm() {
        let valid = b"\x20\x09\x00\x00\x06\x21\x00\x14\x12\x00\x00\x40\x03\x00\x08\x87\xe0\x01\x8b";
        for end in 0..valid.len() {
            let _ = decode_all(&valid[..end], Version::V5);
            for value in 0..=255 {
                let mut broken = valid.to_vec();
                broken[end] = value;
                let _ = decode_all(&broken, Version::V5);
                let _ = decode_all(&broken, Version::V311);
            }
        }
    }
}
