//! DTLS: `bartizan_wire::record`, and what `bartizan_dtls::proof` opens.

use core::net::{Ipv6Addr, SocketAddr};

use bartizan_crypto::Provider;
use bartizan_dtls::{CipherSuite, ConnectionId, Instant, ReplayWindow, proof};
use bartizan_wire::record::{self, ContentType, Header};

use crate::keep;
use crate::memory::{input, output};

/// # Safety
/// As [`output`].
#[unsafe(no_mangle)]
pub unsafe extern "C" fn record_headers(data: *mut u8, length: usize, cid_len: usize) {
    // SAFETY: as promised.
    let mut datagram = unsafe { output(data, length) };
    while let Ok((record, rest)) = record::split(datagram, cid_len) {
        keep(record.header.content_type.is_known());
        keep((record.header, record.header.encode(record.fragment.len() as u16), record.connection_id.len()));
        keep(record.fragment.len());
        datagram = rest;
    }
    keep(Header { content_type: ContentType(length as u8), version: 0, epoch: 1, sequence: 2 }.sequence_bytes());
}

#[unsafe(no_mangle)]
pub extern "C" fn replay_window(top: u64, bits: u64, sequence: u64) {
    let mut window = ReplayWindow { top, bits };
    keep((window.is_fresh(sequence), window.is_newest(sequence)));
    window.mark(sequence);
    keep(window);
}

/// # Safety
/// As [`input`].
#[unsafe(no_mangle)]
pub unsafe extern "C" fn dtls_messages(data: *const u8, length: usize, suite: u16, config: u8) {
    // SAFETY: as promised.
    let bytes = unsafe { input(data, length) };
    proof::handshake_messages(bytes, suite);
    proof::exchanges_and_alerts(bytes, suite);
    proof::messages_13(bytes, suite);
    proof::stored(bytes, config);
    if let Some(cid) = ConnectionId::new(bytes) {
        keep((cid.as_slice().len(), cid.is_empty()));
    }
}

#[unsafe(no_mangle)]
pub extern "C" fn dtls_transitions(phase: u8, step: u8, message: u8, path: u8, ticket: bool) {
    proof::transitions(phase, step, message, path, ticket);
}

/// # Safety
/// As [`output`]; `provider` is valid for ever, `key` for the call.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn dtls_open(
    provider: *const Provider,
    key: *const [u8; 44],
    data: *mut u8,
    length: usize,
    cid_len: usize,
    suite: u16,
) {
    // SAFETY: as promised.
    let (provider, key, datagram) = unsafe { (&*provider, &*key, output(data, length)) };
    if let Some(suite) = CipherSuite::from_code(suite) {
        proof::open_records(provider, suite, key, datagram, cid_len);
        proof::open_records_13(provider, suite, key, datagram, cid_len);
    }
}

/// # Safety
/// As [`input`] for `saved`, as [`output`] for the other two; `provider` is valid for ever.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn dtls_wake_up(
    provider: *const Provider,
    saved: *const u8,
    saved_len: usize,
    buffer: *mut u8,
    buffer_len: usize,
    datagram: *mut u8,
    datagram_len: usize,
) {
    // SAFETY: as promised.
    let (provider, saved) = unsafe { (&*provider, input(saved, saved_len)) };
    // SAFETY: as promised.
    let (buffer, datagram) = unsafe { (output(buffer, buffer_len), output(datagram, datagram_len)) };
    proof::wake_up(provider, saved, saved, buffer, datagram);
}

/// # Safety
/// As [`input`]; `provider` is valid for ever, `secrets` for the call; `fill` writes what it is told to.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn dtls_secrets(
    provider: *const Provider,
    secrets: *const [[u8; 32]; 2],
    data: *const u8,
    length: usize,
    suite: u16,
    now: u64,
    fill: extern "C" fn(*mut u8, usize),
) {
    // SAFETY: as promised.
    let (provider, [shared, hash], bytes) = unsafe { (&*provider, &*secrets, input(data, length)) };
    if let Some(suite) = CipherSuite::from_code(suite) {
        proof::key_schedule(provider, suite, bytes, shared, hash);
    }
    let mut rng = |out: &mut [u8]| fill(out.as_mut_ptr(), out.len());
    let remote = SocketAddr::new(Ipv6Addr::from_bits(u128::from(now)).to_canonical(), suite);
    proof::cookies(provider, &mut rng, Instant::from_millis(now), remote, bytes);
}

#[unsafe(no_mangle)]
pub extern "C" fn dtls_timers(now: u64, later: u64, initial_ms: u64) {
    let (now, later) = (Instant::from_millis(now), Instant::from_millis(later));
    keep((later.since(now), now.plus(initial_ms)));
    proof::timers(now, later, initial_ms);
}
