//! What the firmware does: shake hands once, and from then on wake up, report and go back to sleep.

use bartizan_crypto::{Provider, RUSTCRYPTO};
use bartizan_dtls::Error;

#[cfg(feature = "handshake")]
pub use first_time::first_time;
#[cfg(feature = "wake")]
pub use wake_up::wake_up;

/// Only what a pre-shared key and AES-CCM need: the linker leaves the rest out.
static DEVICE: Provider = RUSTCRYPTO.only_psk_ccm();

const REPORT: &[u8] = b"17.5 m3";
const ANSWER_MS: u64 = 10_000;
const SILENCE: Error = Error::Unavailable("no answer");

#[cfg(feature = "handshake")]
mod first_time {
    use alloc::vec;

    use bartizan_crypto::{Random, SecretBytes};
    use bartizan_dtls::{CipherSuite, ClientConfig, Connection, ConnectionEvent, Error, Instant};

    use super::{ANSWER_MS, DEVICE, REPORT, SILENCE};
    use crate::flash::Flash;
    use crate::line::{DATAGRAM, Line};

    /// Examples; a device has its own.
    const IDENTITY: &[u8] = b"meter-1";
    const PSK: &[u8; 16] = b"an example's key";

    /// A whole handshake, one report over it, and the association in flash. `buffer` takes what is received.
    #[inline(never)]
    pub fn first_time(
        line: &mut Line,
        flash: &mut Flash,
        buffer: &mut [u8],
        random: &mut dyn Random,
    ) -> Result<(), Error> {
        let psk = SecretBytes::new(PSK).ok_or(Error::Misuse("the key is too long"))?;
        let config = ClientConfig {
            suites: vec![CipherSuite::PskAes128Ccm8],
            mtu: buffer.len(),
            ..ClientConfig::new(&DEVICE, IDENTITY, psk)
        };
        let mut connection = Connection::connect(config, now(line), random)?;
        while !connection.is_connected() {
            turn(&mut connection, line, buffer)?;
        }
        connection.send(now(line), REPORT)?;
        while turn(&mut connection, line, buffer)? != REPORT.len() {}
        let saved = connection.save().ok_or(Error::Misuse("not connected"))?;
        flash.store_with(|bytes| saved.write(bytes))
    }

    /// Sends what waits, then handles one datagram or timeout; returns how much data it brought.
    fn turn(connection: &mut Connection, line: &mut Line, buffer: &mut [u8]) -> Result<usize, Error> {
        while let Some(datagram) = connection.poll_transmit(now(line)) {
            line.send(DATAGRAM, &[&datagram]);
        }
        let deadline_ms = connection.poll_timeout().map_or(line.now_ms() + ANSWER_MS, Instant::as_millis);
        match line.receive(DATAGRAM, buffer, deadline_ms) {
            Some(datagram) => connection.handle(now(line), datagram),
            None if connection.is_connected() => return Err(SILENCE),
            None => connection.handle_timeout(now(line)),
        }
        let mut received = 0;
        while let Some(event) = connection.poll() {
            match event {
                ConnectionEvent::Data(data) => received += data.len(),
                ConnectionEvent::Closed(_) => return Err(Error::Unavailable("the handshake failed")),
                _ => {}
            }
        }
        Ok(received)
    }

    fn now(line: &Line) -> Instant {
        Instant::from_millis(line.now_ms())
    }
}

#[cfg(feature = "wake")]
mod wake_up {
    use bartizan_dtls::{Error, Received, SavedSession, Sleeper};

    use super::{ANSWER_MS, DEVICE, REPORT, SILENCE};
    use crate::flash::Flash;
    use crate::line::{DATAGRAM, Line};

    /// One report and its answer, from flash to flash, without a heap.
    #[inline(never)]
    pub fn wake_up(line: &mut Line, flash: &mut Flash, buffer: &mut [u8]) -> Result<(), Error> {
        let saved = SavedSession::from_bytes(flash.bytes())?;
        let mut sleeper = Sleeper::wake(&DEVICE, saved, 4, |bytes| flash.store(bytes))?;
        line.send(DATAGRAM, &[sleeper.seal(REPORT, buffer)?]);
        let deadline_ms = line.now_ms() + ANSWER_MS;
        let mut datagram = line.receive(DATAGRAM, buffer, deadline_ms).ok_or(SILENCE)?;
        let mut answered = false;
        while let Some(outcome) = sleeper.open(&mut datagram) {
            answered |= outcome == Ok(Received::Data(REPORT));
        }
        if !answered {
            return Err(SILENCE);
        }
        sleeper.sleep(|bytes| flash.store(bytes))
    }
}
