//! The message codec against the examples of RFC 7252 appendix A, against its own writer, and against
//! bytes that nobody meant.

#![allow(clippy::unwrap_used, reason = "a test that cannot go on says where")]

use bartizan_wire::coap::{Block, Builder, Code, Header, MessageView, OptionNumber, Type, content_format, empty};
use bartizan_wire::limits::{COAP_ECHO_BYTES_MAX, COAP_OPTION_BYTES_MAX, COAP_OPTIONS_MAX, DATAGRAM_BYTES_MAX};
use bartizan_wire::{Error, Malformed, Misuse, Unsupported};
use proptest::collection::vec;
use proptest::prelude::*;

/// RFC 7252 appendix A, figure 16: a confirmable request and its piggybacked response.
#[test]
fn figure_16_is_read_and_written_byte_for_byte() {
    let request = b"\x40\x01\x7d\x34\xbbtemperature";
    let response = b"\x60\x45\x7d\x34\xff22.3 C";

    let view = MessageView::parse(request).unwrap();
    assert_eq!((view.kind(), view.code()), (Type::Confirmable, Code::GET));
    assert_eq!((view.message_id(), view.token()), (0x7d34, &b""[..]));
    assert!(view.path_is(&["temperature"]));

    let view = MessageView::parse(response).unwrap();
    assert_eq!((view.kind(), view.code()), (Type::Acknowledgement, Code::CONTENT));
    assert_eq!(view.payload(), b"22.3 C");

    let mut buffer = [0; 32];
    let written = Builder::new(&mut buffer, Type::Confirmable, Code::GET, 0x7d34, b"").uri_path("temperature").finish();
    assert_eq!(written, Ok(&request[..]));
    let written =
        Builder::new(&mut buffer, Type::Acknowledgement, Code::CONTENT, 0x7d34, b"").payload(b"22.3 C").finish();
    assert_eq!(written, Ok(&response[..]));
}

/// RFC 7252 appendix A, figure 17: the same with a token.
#[test]
fn figure_17_is_read_and_written_byte_for_byte() {
    let request = b"\x41\x01\x7d\x35\x20\xbbtemperature";
    let view = MessageView::parse(request).unwrap();
    assert_eq!(view.token(), b"\x20");
    let mut buffer = [0; 32];
    let written =
        Builder::new(&mut buffer, Type::Confirmable, Code::GET, 0x7d35, b"\x20").target("/temperature").finish();
    assert_eq!(written, Ok(&request[..]));
    assert_eq!(MessageView::parse(b"\x61\x45\x7d\x35\x20\xff22.3 C").unwrap().payload(), b"22.3 C");
}

/// RFC 7252 section 6.4: `coap://198.51.100.1:61616//%2F//?%2F%2F&?%26`.
#[test]
fn the_odd_target_of_section_6_4_survives_both_ways() {
    let text = "//%2F//?//&?%26";
    let mut buffer = [0; 64];
    let bytes = Builder::new(&mut buffer, Type::Confirmable, Code::GET, 1, b"").target(text).finish().unwrap();
    let view = MessageView::parse(bytes).unwrap();
    let path: Vec<_> = view.uri_path().collect();
    let query: Vec<_> = view.uri_query().collect();
    assert_eq!(path, [&b""[..], b"/", b"", b""]);
    assert_eq!(query, [&b"//"[..], b"?&"]);
    assert_eq!(view.target().to_string(), text);
}

/// RFC 7641 appendix A and RFC 7959 section 3: the options of observation and block-wise transfer.
#[test]
fn observe_and_block_options_have_their_types() {
    let mut buffer = [0; 128];
    let bytes = Builder::new(&mut buffer, Type::NonConfirmable, Code::CONTENT, 3, b"t")
        .block2(Block::new(2, true, 2).unwrap())
        .observe(0x0123_4567)
        .size2(4096)
        .max_age(15)
        .content_format(content_format::SENML_CBOR)
        .payload(&[7; 64])
        .finish()
        .unwrap();
    let view = MessageView::parse(bytes).unwrap();
    assert_eq!(view.observe(), Some(0x23_4567));
    assert_eq!(view.block2(), Block::new(2, true, 2));
    assert_eq!(view.block1(), None);
    assert_eq!(view.size2(), Some(4096));
    assert_eq!(view.max_age(), Some(15));
    assert_eq!(view.content_format(), Some(112));
}

#[test]
fn each_way_to_break_the_format_has_its_name() {
    let cases: [(&[u8], Error); 12] = [
        (b"", Error::Malformed(Malformed::Truncated)),
        (b"\x40\x01\x00", Error::Malformed(Malformed::Truncated)),
        (b"\x80\x01\x00\x00", Error::Unsupported(Unsupported::Version)),
        (b"\x49\x01\x00\x00123456789", Error::Malformed(Malformed::TokenLength)),
        (b"\x42\x01\x00\x001", Error::Malformed(Malformed::Truncated)),
        (b"\x41\x00\x00\x001", Error::Malformed(Malformed::EmptyNotEmpty)),
        (b"\x40\x00\x00\x00\xff1", Error::Malformed(Malformed::EmptyNotEmpty)),
        (b"\x40\x20\x00\x00", Error::Unsupported(Unsupported::CodeClass)),
        (b"\x40\x01\x00\x00\xff", Error::Malformed(Malformed::EmptyPayload)),
        (b"\x40\x01\x00\x00\xf0", Error::Malformed(Malformed::OptionNibble)),
        (b"\x40\x01\x00\x00\x0f", Error::Malformed(Malformed::OptionNibble)),
        (b"\x40\x01\x00\x00\xe0\xff\xff", Error::Malformed(Malformed::OptionNumber)),
    ];
    for (bytes, error) in cases {
        assert_eq!(MessageView::parse(bytes).err(), Some(error), "{bytes:02x?}");
    }
}

#[test]
fn a_malformed_confirmable_message_can_still_be_rejected() {
    let bytes = b"\x40\x01\x12\x34\xff";
    assert!(MessageView::parse(bytes).is_err());
    let header = Header::parse(bytes).unwrap();
    assert_eq!(empty(Type::Reset, header.message_id), [0x70, 0, 0x12, 0x34]);
}

#[test]
fn limits_stand_on_both_sides() {
    let with_options = |count: usize| [&b"\x40\x01\x00\x00\xb0"[..], &vec![0; count - 1]].concat();
    assert!(MessageView::parse(&with_options(COAP_OPTIONS_MAX)).is_ok());
    assert_eq!(
        MessageView::parse(&with_options(COAP_OPTIONS_MAX + 1)).err(),
        Some(Error::Unsupported(Unsupported::OptionCount))
    );

    let with_value = |length: usize| {
        let mut bytes = b"\x40\x01\x00\x00\xde\x16".to_vec();
        bytes.extend_from_slice(&u16::try_from(length - 269).unwrap().to_be_bytes());
        bytes.resize(bytes.len() + length, b'a');
        bytes
    };
    assert!(MessageView::parse(&with_value(COAP_OPTION_BYTES_MAX)).is_ok());
    assert_eq!(
        MessageView::parse(&with_value(COAP_OPTION_BYTES_MAX + 1)).err(),
        Some(Error::Unsupported(Unsupported::OptionLength))
    );

    for (length, read) in [(0, false), (1, true), (COAP_ECHO_BYTES_MAX, true), (COAP_ECHO_BYTES_MAX + 1, false)] {
        let head: &[u8] = if length < 13 { &[0xd0 + length as u8, 239] } else { &[0xdd, 239, length as u8 - 13] };
        let bytes = [&b"\x40\x01\x00\x00"[..], head, &vec![b'e'; length]].concat();
        assert_eq!(MessageView::parse(&bytes).unwrap().echo().is_some(), read, "Echo of {length} bytes");
    }

    let mut long = b"\x40\x01\x00\x00\xff".to_vec();
    long.resize(DATAGRAM_BYTES_MAX, 0);
    assert!(MessageView::parse(&long).is_ok());
    long.push(0);
    assert!(MessageView::parse(&long).is_err());
}

#[test]
fn critical_options_are_refused_unless_known_well_formed_and_single() {
    let known = [OptionNumber::URI_PATH, OptionNumber::URI_HOST];
    let unrecognized = |bytes: &[u8]| MessageView::parse(bytes).unwrap().unrecognized_critical(&known);
    // Uri-Host "h", Uri-Path "a", "b": fine.
    assert_eq!(unrecognized(b"\x40\x01\x00\x00\x31h\x81a\x01b"), None);
    // Uri-Host twice, Uri-Host empty, an unknown critical option, an unknown elective one.
    assert_eq!(unrecognized(b"\x40\x01\x00\x00\x31h\x01h"), Some(OptionNumber::URI_HOST));
    assert_eq!(unrecognized(b"\x40\x01\x00\x00\x30"), Some(OptionNumber::URI_HOST));
    assert_eq!(unrecognized(b"\x40\x01\x00\x00\x90"), Some(OptionNumber::OSCORE));
    assert_eq!(unrecognized(b"\x40\x01\x00\x00\xa0"), None);
}

#[test]
fn mistakes_of_the_caller_are_told() {
    let fault = |build: fn(Builder<'_>) -> Builder<'_>| {
        let mut buffer = [0; 16];
        let builder = Builder::new(&mut buffer, Type::Confirmable, Code::GET, 1, b"");
        build(builder).finish().err()
    };
    assert_eq!(fault(|b| b), None);
    assert_eq!(fault(|b| b.payload(b"x").uri_path("a")), Some(Error::Misuse(Misuse::OptionAfterPayload)));
    assert_eq!(fault(|b| b.payload(b"x").payload(b"y")), Some(Error::Misuse(Misuse::SecondPayload)));
    assert_eq!(fault(|b| b.payload(&[0; 12])), Some(Error::Misuse(Misuse::NoRoom)));
    assert_eq!(fault(|b| b.payload(&[0; 11])), None);
    assert_eq!(fault(|b| b.uri_path("12345678901")), None);
    assert_eq!(fault(|b| b.uri_path("123456789012")), Some(Error::Misuse(Misuse::NoRoom)));
    assert_eq!(fault(|b| b.target("/%2")), Some(Error::Misuse(Misuse::Target)));
    assert_eq!(fault(|b| b.option(OptionNumber::OBSERVE, &[0; 4])), Some(Error::Misuse(Misuse::OptionLength)));
    assert_eq!(
        Builder::new(&mut [0; 32], Type::Confirmable, Code::GET, 1, &[0; 9]).finish().err(),
        Some(Error::Misuse(Misuse::TokenLength))
    );
    assert_eq!(
        Builder::new(&mut [], Type::Confirmable, Code::GET, 1, &[]).finish().err(),
        Some(Error::Misuse(Misuse::NoRoom))
    );
}

fn any_type() -> impl Strategy<Value = Type> {
    prop_oneof![Just(Type::Confirmable), Just(Type::NonConfirmable), Just(Type::Acknowledgement), Just(Type::Reset),]
}

/// Options of numbers whose definitions do not narrow the length, around every change of form.
fn any_options() -> impl Strategy<Value = Vec<(u16, Vec<u8>)>> {
    let number = prop_oneof![11_u16..12, 100_u16..130, 240_u16..250, 260_u16..290, 300_u16..700, 65_000_u16..=65_535];
    let value = prop_oneof![vec(any::<u8>(), 0..30), vec(any::<u8>(), 250..256)];
    vec((number, value), 0..20)
}

proptest! {
    #[test]
    fn what_is_written_in_any_order_is_read_in_ascending_order(
        kind in any_type(),
        code in prop_oneof![1_u8..32, 64_u8..192],
        message_id in any::<u16>(),
        token in vec(any::<u8>(), 0..=8),
        options in any_options(),
        payload in vec(any::<u8>(), 0..50),
    ) {
        let mut buffer = [0; 8192];
        let mut builder = Builder::new(&mut buffer, kind, Code(code), message_id, &token);
        for (number, value) in &options {
            builder = builder.option(OptionNumber(*number), value);
        }
        let bytes = builder.payload(&payload).finish().unwrap();
        let view = MessageView::parse(bytes).unwrap();
        prop_assert_eq!(view.kind(), kind);
        prop_assert_eq!(view.code(), Code(code));
        prop_assert_eq!(view.message_id(), message_id);
        prop_assert_eq!(view.token(), &token[..]);
        prop_assert_eq!(view.payload(), &payload[..]);
        let mut expected = options.clone();
        expected.sort_by_key(|(number, _)| *number);
        let read: Vec<_> = view.options().map(|o| (o.number.0, o.value.to_vec())).collect();
        prop_assert_eq!(read, expected);
    }

    #[test]
    fn a_target_is_read_back_as_it_was_written(
        path in vec(vec(any::<u8>(), 0..12), 0..5),
        query in vec(vec(any::<u8>(), 0..12), 0..5),
    ) {
        // A single empty segment and no segment at all are both "/" (RFC 7252 section 6.5).
        prop_assume!(path != [b""]);
        let mut first = [0; 512];
        let mut builder = Builder::new(&mut first, Type::Confirmable, Code::GET, 1, b"");
        for segment in &path {
            builder = builder.option(OptionNumber::URI_PATH, segment);
        }
        for part in &query {
            builder = builder.option(OptionNumber::URI_QUERY, part);
        }
        let bytes = builder.finish().unwrap();
        let text = MessageView::parse(bytes).unwrap().target().to_string();
        let mut second = [0; 512];
        let again = Builder::new(&mut second, Type::Confirmable, Code::GET, 1, b"")
            .target(&text)
            .finish()
            .unwrap();
        prop_assert_eq!(again, bytes);
    }

    #[test]
    fn random_bytes_are_read_or_refused(bytes in vec(any::<u8>(), 0..200), header in any::<bool>()) {
        let mut bytes = bytes;
        if header && let Some(first) = bytes.first_mut() {
            *first = 0x40 | (*first & 0x38);
        }
        if let Ok(view) = MessageView::parse(&bytes) {
            // A message that was read is written back to the same bytes if its form was the shortest.
            let mut buffer = [0; 400];
            let mut builder =
                Builder::new(&mut buffer, view.kind(), view.code(), view.message_id(), view.token());
            for option in view.options() {
                builder = builder.option(option.number, option.value);
            }
            if let Ok(written) = builder.payload(view.payload()).finish() {
                prop_assert_eq!(written, &bytes[..]);
            }
        }
    }

    #[test]
    fn a_message_cut_anywhere_is_read_or_refused(options in any_options(), cut in 0.0_f64..1.0) {
        let mut buffer = [0; 8192];
        let mut builder = Builder::new(&mut buffer, Type::Confirmable, Code::PUT, 1, b"tok");
        for (number, value) in &options {
            builder = builder.option(OptionNumber(*number), value);
        }
        let bytes = builder.payload(b"payload").finish().unwrap();
        let cut = &bytes[..(bytes.len() as f64 * cut) as usize];
        if let Ok(view) = MessageView::parse(cut) {
            prop_assert!(view.options().count() <= options.len());
        }
    }
}
