//! The vocabulary: stable names and numbers of every enumeration, addresses of sources, times.

use core::fmt::{self, Write as _};
use core::net::{Ipv6Addr, SocketAddr};

use bartizan_wire::event::{CommandState, Direction, HandshakeFailure, RecordRejection};
use bartizan_wire::finding::Basis;
use bartizan_wire::{
    Access, Attestation, Cause, Engine, Exit, Feature, Grade, Lifecycle, Severity, Source, Technique, Unit, UnixMillis,
    Update,
};

use crate::keep;
use crate::memory::input;

macro_rules! walk {
    ($text:expr, $code:expr, $($name:ident),+) => {
        $(
            keep($name::from_name($text));
            if let Some(value) = $name::from_code($code) {
                keep((value.name(), value.code()));
            }
        )+
    };
}

/// # Safety
/// As [`input`].
#[unsafe(no_mangle)]
pub unsafe extern "C" fn vocabulary(data: *const u8, length: usize, code: u8, number: u16) {
    // SAFETY: as promised.
    let text = core::str::from_utf8(unsafe { input(data, length) }).unwrap_or("");
    walk!(text, code, Access, Attestation, Cause, Exit, Grade, Lifecycle, Update);
    walk!(text, code, CommandState, Direction, HandshakeFailure, RecordRejection);
    walk!(text, code, Basis, Engine, Feature, Severity, Unit);
    keep(write!(Sink, "{}", Technique(number)).is_ok());
}

#[unsafe(no_mangle)]
pub extern "C" fn sources_and_times(high: u64, low: u64, port: u16) {
    let ip = Ipv6Addr::from_bits(u128::from(high) << 64 | u128::from(low));
    keep(Source::of(SocketAddr::new(ip.to_canonical(), port)).ip());
    let (high, low) = (UnixMillis(high), UnixMillis(low));
    keep((high.since(low), high.plus(low.0)));
}

/// Takes text and drops it.
pub struct Sink;

impl fmt::Write for Sink {
    fn write_str(&mut self, text: &str) -> fmt::Result {
        keep(text);
        Ok(())
    }
}
