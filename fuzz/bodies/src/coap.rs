//! CoAP messages.

use bartizan_wire::coap::{Builder, Code, Header, MessageView, OptionNumber, Type, patch_header};

/// Reads bytes as a message. One that is read can be written again and reads the same.
pub fn message(bytes: &[u8]) {
    let Ok(view) = MessageView::parse(bytes) else {
        return;
    };
    let header = Header::parse(bytes).expect("a message has a header");
    assert_eq!((header.kind, header.code, header.message_id), (view.kind(), view.code(), view.message_id()));
    let _ = (view.target().to_string(), view.location().map(|location| location.to_string()));
    let _ = (
        view.block1(),
        view.block2(),
        view.observe(),
        view.content_format(),
        view.accept(),
        view.max_age(),
        view.echo(),
    );
    let _ = (view.size1(), view.size2(), view.unrecognized_critical(&[OptionNumber::URI_PATH]));
    write_again(&view);
    move_hop(bytes, &view);
}

/// Options whose length breaks their definition are read but not written.
fn write_again(view: &MessageView<'_>) {
    let mut buffer = vec![0; 32 * 1024];
    let mut builder = Builder::new(&mut buffer, view.kind(), view.code(), view.message_id(), view.token());
    for option in view.options() {
        builder = builder.option(option.number, option.value);
    }
    let Ok(written) = builder.payload(view.payload()).finish() else {
        return;
    };
    let again = MessageView::parse(written).expect("what was written can be read");
    assert_eq!((again.code(), again.token(), again.payload()), (view.code(), view.token(), view.payload()));
    assert!(again.options().eq(view.options()));
}

fn move_hop(bytes: &[u8], view: &MessageView<'_>) {
    let mut moved = bytes.to_vec();
    if patch_header(&mut moved, Type::NonConfirmable, 0x1234).is_err() {
        assert!(view.code().is_empty());
        return;
    }
    let moved = MessageView::parse(&moved).expect("only the header changed");
    assert_eq!((moved.kind(), moved.message_id()), (Type::NonConfirmable, 0x1234));
    assert_eq!((moved.code(), moved.token(), moved.payload()), (view.code(), view.token(), view.payload()));
}

#[must_use]
pub fn seeds() -> Vec<Vec<u8>> {
    let mut buffer = [0; 256];
    let built = Builder::new(&mut buffer, Type::Confirmable, Code::POST, 7, b"token")
        .target("/rd/a%20b?ep=meter&lt=60")
        .content_format(40)
        .observe(9)
        .block1(bartizan_wire::coap::Block::new(3, true, 2).expect("fits"))
        .size1(2000)
        .option(OptionNumber(65000), b"far")
        .payload(b"payload");
    let built = built.finish().expect("fits").to_vec();
    vec![b"\x40\x01\x7d\x34\xbbtemperature".to_vec(), b"\x60\x45\x7d\x34\xff22.3 C".to_vec(), built]
}
