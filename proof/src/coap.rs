//! CoAP messages: `bartizan_wire::coap`.

use core::fmt::Write as _;

use bartizan_wire::coap::{
    Block, Builder, Code, Header, MessageView, OptionNumber, Type, decode_uint, empty, is_newer, patch_header,
};

use crate::keep;
use crate::memory::{input, output};
use crate::words::Sink;

/// # Safety
/// As [`input`].
#[unsafe(no_mangle)]
pub unsafe extern "C" fn coap_parse(data: *const u8, length: usize) {
    // SAFETY: as promised.
    let bytes = unsafe { input(data, length) };
    keep(Header::parse(bytes));
    let Ok(view) = MessageView::parse(bytes) else {
        return;
    };
    keep((view.kind(), view.code(), view.message_id(), view.token(), view.payload()));
    keep((view.code().class(), view.code().detail(), view.code().method_name(), view.code().is_response()));
    keep((view.code().is_request(), view.code().is_success(), view.code().is_empty()));
    for option in view.options() {
        keep(option);
        keep((option.number.is_critical(), option.number.is_unsafe_to_forward(), option.number.is_no_cache_key()));
        keep((view.uint(option.number), decode_uint(option.value), Block::parse(option.value)));
        keep(view.unrecognized_critical(&[option.number, OptionNumber::URI_PATH, OptionNumber::BLOCK1]));
    }
    view.uri_path().for_each(keep);
    view.uri_query().for_each(keep);
    keep((view.path_is(&["a", "b"]), view.option(OptionNumber::ETAG), view.values(OptionNumber::ETAG).next()));
    keep((view.content_format(), view.accept(), view.max_age(), view.observe(), view.echo()));
    keep((view.block1(), view.block2(), view.size1(), view.size2()));
    if let Some(block) = view.block1() {
        keep((block.num(), block.more(), block.szx(), block.size(), block.offset(), block.to_uint()));
    }
    keep(write!(Sink, "{}", view.target()).is_ok());
    if let Some(location) = view.location() {
        keep(write!(Sink, "{location}").is_ok());
    }
}

/// # Safety
/// As [`input`] and [`output`].
#[unsafe(no_mangle)]
pub unsafe extern "C" fn coap_build(
    data: *const u8,
    length: usize,
    out: *mut u8,
    out_length: usize,
    number: u16,
    value: u32,
    message_id: u16,
) {
    // SAFETY: as promised.
    let (bytes, out) = unsafe { (input(data, length), output(out, out_length)) };
    let text = core::str::from_utf8(bytes).unwrap_or("");
    let block = Block::new(value, value & 1 == 1, value as u8);
    let mut builder = Builder::new(out, Type::Confirmable, Code(value as u8), message_id, bytes)
        .option(OptionNumber(number), bytes)
        .uint(OptionNumber(number), value)
        .target(text)
        .uri_path(text)
        .uri_query(text)
        .content_format(number)
        .accept(number)
        .max_age(value)
        .observe(value)
        .observe_register(value == 0)
        .size1(value)
        .size2(value);
    if let Some(block) = block {
        builder = builder.block1(block).block2(block);
    }
    keep(builder.payload(bytes).finish());
    keep((Code::from_method_name(text), Code::new(value as u8, message_id as u8)));
}

/// # Safety
/// As [`output`].
#[unsafe(no_mangle)]
pub unsafe extern "C" fn coap_patch_header(data: *mut u8, length: usize, message_id: u16) {
    // SAFETY: as promised.
    let message = unsafe { output(data, length) };
    keep(patch_header(message, Type::NonConfirmable, message_id));
    keep(empty(Type::Reset, message_id));
}

#[unsafe(no_mangle)]
pub extern "C" fn coap_numbers(old: u32, new: u32, elapsed_ms: u64, bytes: usize) {
    keep((is_newer(old, new, elapsed_ms), Block::szx_for(bytes)));
}
