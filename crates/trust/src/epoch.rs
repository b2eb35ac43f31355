//! Epoch ids (RFC 9334 section 10.3): a nonce that all devices may answer while its epoch and the next one last.
//!
//! For devices that sleep: the id for the next heartbeat comes with the answer to the last one, so that proving to go on
//! costs one exchange. Whoever answers one was there after its epoch began, and no more is known.
//!
//! ```text
//! number of the epoch since 1970 (8) ‖ HMAC-SHA-256(key, label ‖ length in ms ‖ number), the first 16 bytes
//! ```

use bartizan_crypto::{Provider, Secret, constant_time_eq};
use bartizan_wire::UnixMillis;

use crate::Error;

/// Another length than a challenge has.
pub const EPOCH_BYTES: usize = NUMBER_BYTES + MAC_BYTES;
const NUMBER_BYTES: usize = 8;
const MAC_BYTES: usize = 16;
const LABEL: &[u8] = b"bartizan epoch";

/// One epoch.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Epoch {
    number: u64,
    length_ms: u64,
}

impl Epoch {
    /// The one that `now` falls into.
    #[must_use]
    pub const fn at(now: UnixMillis, length_ms: u64) -> Self {
        let number = match now.0.checked_div(length_ms) {
            Some(number) => number,
            None => 0,
        };
        Self { number, length_ms }
    }

    /// When it began: whoever answers its id was there then or later.
    #[must_use]
    pub const fn begins(&self) -> UnixMillis {
        UnixMillis(self.number.saturating_mul(self.length_ms))
    }

    /// Until when its id may be answered: the end of the next epoch.
    #[must_use]
    pub const fn answerable_until(&self) -> UnixMillis {
        UnixMillis(self.number.saturating_add(2).saturating_mul(self.length_ms))
    }

    #[must_use]
    pub fn issue(&self, provider: &Provider, key: &Secret<32>) -> [u8; EPOCH_BYTES] {
        let number = self.number.to_be_bytes();
        let mac = self.mac(provider, key);
        let mut out = [0; EPOCH_BYTES];
        let bytes = number.iter().chain(mac.iter().take(MAC_BYTES));
        out.iter_mut().zip(bytes).for_each(|(to, from)| *to = *from);
        out
    }

    /// Reads the id of the epoch that `now` falls into, or of the one before.
    ///
    /// # Errors
    /// `Untrusted` if it is neither's.
    pub fn read(
        provider: &Provider,
        key: &Secret<32>,
        nonce: &[u8],
        now: UnixMillis,
        length_ms: u64,
    ) -> Result<Self, Error> {
        let foreign = Error::Untrusted("the nonce is no epoch id of ours");
        let (number, tag) = nonce.split_first_chunk::<NUMBER_BYTES>().ok_or(foreign)?;
        let epoch = Self { number: u64::from_be_bytes(*number), length_ms };
        let mac = epoch.mac(provider, key);
        if !constant_time_eq(tag, mac.first_chunk::<MAC_BYTES>().ok_or(foreign)?) {
            return Err(foreign);
        }
        let current = Self::at(now, length_ms).number;
        match current.checked_sub(epoch.number) {
            Some(0 | 1) => Ok(epoch),
            _ => Err(Error::Untrusted("the epoch is over")),
        }
    }

    fn mac(&self, provider: &Provider, key: &Secret<32>) -> [u8; 32] {
        let parts: [&[u8]; 3] = [LABEL, &self.length_ms.to_be_bytes(), &self.number.to_be_bytes()];
        (provider.hmac_sha256)(key.expose(), &parts)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use bartizan_crypto::RUSTCRYPTO;

    const KEY: Secret<32> = Secret::new([3; 32]);
    const HOUR: u64 = 3_600_000;

    fn read(nonce: &[u8], now: u64, length_ms: u64) -> Result<Epoch, Error> {
        Epoch::read(&RUSTCRYPTO, &KEY, nonce, UnixMillis(now), length_ms)
    }

    #[test]
    fn an_id_is_answered_in_its_epoch_and_the_next_one() {
        let epoch = Epoch::at(UnixMillis(7 * HOUR + 5), HOUR);
        let id = epoch.issue(&RUSTCRYPTO, &KEY);
        assert_eq!((epoch.begins().0, epoch.answerable_until().0), (7 * HOUR, 9 * HOUR));
        for now in [7 * HOUR, 8 * HOUR, 9 * HOUR - 1] {
            assert_eq!(read(&id, now, HOUR), Ok(epoch));
        }
        for now in [7 * HOUR - 1, 9 * HOUR, 900 * HOUR, 0] {
            assert!(read(&id, now, HOUR).is_err(), "{now}");
        }
        assert!(read(&id, 8 * HOUR, HOUR + 1).is_err(), "epochs of another length have other ids");
        assert!(read(&id[1..], 8 * HOUR, HOUR).is_err());
        for bit in 0..id.len() * 8 {
            let mut changed = id;
            changed[bit / 8] ^= 1 << (bit % 8);
            assert!(read(&changed, 8 * HOUR, HOUR).is_err(), "bit {bit}");
        }
    }

    #[test]
    fn no_length_and_no_time_overflows() {
        for (now, length_ms) in [(0, 0), (u64::MAX, 0), (u64::MAX, 1), (u64::MAX, u64::MAX)] {
            let epoch = Epoch::at(UnixMillis(now), length_ms);
            assert_eq!(read(&epoch.issue(&RUSTCRYPTO, &KEY), now, length_ms), Ok(epoch));
            assert!(epoch.begins() <= epoch.answerable_until());
        }
    }
}
