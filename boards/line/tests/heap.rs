//! How much heap a client takes, counted on the host beside what the board says of itself: pointers are twice as
//! long here, so a board takes no more.
#![allow(clippy::unwrap_used, reason = "tests")]

use std::alloc::{GlobalAlloc, Layout, System};
use std::cell::Cell;
use std::net::SocketAddr;

use bartizan_crypto::{Provider, RUSTCRYPTO};
use bartizan_dtls::{
    CipherSuite, ClientConfig, Connection, Endpoint, EndpointConfig, EndpointEvent, Instant, PskEntry, Received,
    SavedSession, SecretBytes, Sleeper,
};

/// The client's heap may never hold more.
const HEAP_BYTES_MAX: usize = 4096;

static DEVICE: Provider = RUSTCRYPTO.only_psk_ccm();
const NOW: Instant = Instant::from_millis(1_000);

#[global_allocator]
static COUNTED: Counted = Counted;

struct Counted;

#[derive(Clone, Copy, Default)]
struct Usage {
    counting: bool,
    allocations: usize,
    held: usize,
    peak: usize,
}

thread_local! {
    static USAGE: Cell<Usage> = const { Cell::new(Usage { counting: false, allocations: 0, held: 0, peak: 0 }) };
}

// SAFETY: the system's allocator does the work.
unsafe impl GlobalAlloc for Counted {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        change(|usage| {
            usage.allocations += 1;
            usage.held += layout.size();
            usage.peak = usage.peak.max(usage.held);
        });
        // SAFETY: as the caller promises.
        unsafe { System.alloc(layout) }
    }

    unsafe fn dealloc(&self, piece: *mut u8, layout: Layout) {
        change(|usage| usage.held = usage.held.saturating_sub(layout.size()));
        // SAFETY: as the caller promises.
        unsafe { System.dealloc(piece, layout) }
    }
}

fn change(counted: impl FnOnce(&mut Usage)) {
    let mut usage = USAGE.get();
    if usage.counting {
        counted(&mut usage);
        USAGE.set(usage);
    }
}

/// Counts what `work` takes and gives back.
fn counted<T>(work: impl FnOnce() -> T) -> T {
    USAGE.set(Usage { counting: true, ..USAGE.get() });
    let outcome = work();
    USAGE.set(Usage { counting: false, ..USAGE.get() });
    outcome
}

fn random(out: &mut [u8]) {
    getrandom::fill(out).unwrap();
}

fn psk() -> SecretBytes {
    SecretBytes::new(&[7; 16]).unwrap()
}

fn server() -> Endpoint {
    let config = EndpointConfig { sessions_max: 4, handshakes_max: 4, ..EndpointConfig::new(&RUSTCRYPTO) };
    Endpoint::server(config, Box::new(random)).unwrap()
}

/// What the server answers; it sends data back.
fn answers(server: &mut Endpoint, mut datagram: Vec<u8>) -> Vec<Vec<u8>> {
    server.handle(NOW, SocketAddr::from(([127, 0, 0, 1], 1)), &mut datagram);
    while let Some(event) = server.poll() {
        match event {
            EndpointEvent::PskRequested { handshake, .. } => {
                server.provide_psk(NOW, handshake, Some(PskEntry { key: psk(), principal: 1, tag: 0 }));
            }
            EndpointEvent::Establishing { session, .. } => server.confirm_durable(NOW, session),
            EndpointEvent::Data { session, data, .. } => server.send(NOW, session, &data).unwrap(),
            _ => {}
        }
    }
    std::iter::from_fn(|| server.poll_transmit()).map(|transmit| transmit.data).collect()
}

/// Goes on until neither side has anything to say.
fn settle(connection: &mut Connection, server: &mut Endpoint) {
    while let Some(datagram) = counted(|| connection.poll_transmit(NOW)) {
        for mut answer in answers(server, datagram.clone()) {
            counted(|| {
                connection.handle(NOW, &mut answer);
                while connection.poll().is_some() {}
            });
        }
        counted(|| drop(datagram));
    }
}

#[test]
fn a_handshake_fits_its_buffer_and_a_wake_up_needs_none() {
    let mut server = server();
    let mut connection = counted(|| {
        let config = ClientConfig {
            suites: vec![CipherSuite::PskAes128Ccm8],
            mtu: 512,
            ..ClientConfig::new(&DEVICE, b"meter-1", psk())
        };
        Connection::connect(config, NOW, &mut random).unwrap()
    });
    settle(&mut connection, &mut server);
    assert!(connection.is_connected());
    counted(|| connection.send(NOW, b"17.5 m3").unwrap());
    settle(&mut connection, &mut server);
    let mut flash = [0; bartizan_dtls::limits::SAVED_SESSION_BYTES_MAX];
    let length = counted(|| connection.save().unwrap().write(&mut flash).unwrap());
    counted(|| drop(connection));
    let usage = USAGE.get();
    println!("{} allocations, at most {} bytes at once", usage.allocations, usage.peak);
    assert!(usage.allocations > 0, "nothing was counted");
    assert!(usage.peak <= HEAP_BYTES_MAX, "{} bytes of heap", usage.peak);
    assert_eq!(usage.held, 0, "all of it is given back");

    for day in 0..3 {
        let mut buffer = [0; 128];
        let mut sleeper = counted(|| {
            let saved = SavedSession::from_bytes(&flash[..length]).unwrap();
            Sleeper::wake(&DEVICE, saved, 4, |bytes| Ok(flash[..length].copy_from_slice(bytes))).unwrap()
        });
        let record = counted(|| sleeper.seal(&[day], &mut buffer).unwrap()).to_vec();
        let mut answer = answers(&mut server, record).pop().unwrap();
        counted(|| {
            assert_eq!(sleeper.open(&mut &mut answer[..]), Some(Ok(Received::Data(&[day]))));
            sleeper.sleep(|bytes| Ok(flash[..length].copy_from_slice(bytes))).unwrap();
        });
    }
    assert_eq!(USAGE.get().allocations, usage.allocations, "a wake-up allocates");
}
