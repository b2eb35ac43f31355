//! Challenges that cost nothing to issue, and the bond between evidence and the session that carries it.
//!
//! A challenge is not remembered: it holds the device's counter and the time, under a MAC of the verifier. Accepting
//! one moves the counter on, so of all that were issued under one counter only the first that comes back is believed.
//!
//! ```text
//! counter (8) ‖ milliseconds since 1970 (6) ‖ HMAC-SHA-256(key, label ‖ device ‖ counter ‖ time), the first 16 bytes
//! ```

use bartizan_crypto::{Provider, Secret, constant_time_eq};
use bartizan_wire::UnixMillis;

use crate::Error;

/// Within the 8 to 64 bytes of RFC 9711 section 4.1.
pub const CHALLENGE_BYTES: usize = COUNTER_BYTES + TIME_BYTES + MAC_BYTES;
const COUNTER_BYTES: usize = 8;
const TIME_BYTES: usize = 6;
const MAC_BYTES: usize = 16;
const CHALLENGE_LABEL: &[u8] = b"bartizan challenge";
const BINDING_LABEL: &[u8] = b"bartizan evidence";

/// What a challenge says once its MAC holds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Challenge {
    /// The device's counter when it was issued.
    pub counter: u64,
    pub issued: UnixMillis,
}

impl Challenge {
    /// The challenge for this device. `device` is whatever names it at the verifier, always in the same bytes.
    #[must_use]
    pub fn issue(&self, provider: &Provider, key: &Secret<32>, device: &[u8]) -> [u8; CHALLENGE_BYTES] {
        let counter = self.counter.to_be_bytes();
        let [_, _, time @ ..] = self.issued.0.to_be_bytes();
        let mac = mac(provider, key, device, &counter, &time);
        let mut out = [0; CHALLENGE_BYTES];
        let bytes = counter.iter().chain(&time).chain(mac.iter().take(MAC_BYTES));
        out.iter_mut().zip(bytes).for_each(|(to, from)| *to = *from);
        out
    }

    /// Reads a challenge that this verifier issued to this device at most `age_ms_max` ago.
    ///
    /// # Errors
    /// `Untrusted` if it was not, or is too old. Whether its counter is still the device's is the caller's to compare.
    pub fn read(
        provider: &Provider,
        key: &Secret<32>,
        device: &[u8],
        nonce: &[u8],
        now: UnixMillis,
        age_ms_max: u64,
    ) -> Result<Self, Error> {
        let foreign = Error::Untrusted("the nonce is no challenge of ours to this device");
        let (counter, rest) = nonce.split_first_chunk::<COUNTER_BYTES>().ok_or(foreign)?;
        let (time, tag) = rest.split_first_chunk::<TIME_BYTES>().ok_or(foreign)?;
        let expected = mac(provider, key, device, counter, time);
        if !constant_time_eq(tag, expected.first_chunk::<MAC_BYTES>().ok_or(foreign)?) {
            return Err(foreign);
        }
        let [a, b, c, d, e, f] = *time;
        let issued = UnixMillis(u64::from_be_bytes([0, 0, a, b, c, d, e, f]));
        if now.since(issued) > age_ms_max {
            return Err(Error::Untrusted("the challenge is too old"));
        }
        Ok(Self { counter: u64::from_be_bytes(*counter), issued })
    }
}

fn mac(provider: &Provider, key: &Secret<32>, device: &[u8], counter: &[u8], time: &[u8]) -> [u8; 32] {
    // Counter and time have fixed lengths: where the device's name ends is clear.
    (provider.hmac_sha256)(key.expose(), &[CHALLENGE_LABEL, counter, time, device])
}

/// The second nonce of evidence: made from the exporter value of the session that carries it, which nobody but its two
/// ends knows, and from the challenge. A good device's evidence is thereby worth nothing in another's session.
#[must_use]
pub fn binding(provider: &Provider, exporter: &Secret<32>, challenge: &[u8]) -> [u8; 32] {
    (provider.hmac_sha256)(exporter.expose(), &[BINDING_LABEL, challenge])
}

#[cfg(test)]
mod tests {
    use super::*;
    use bartizan_crypto::RUSTCRYPTO;

    const KEY: Secret<32> = Secret::new([3; 32]);
    const ISSUED: Challenge = Challenge { counter: 7, issued: UnixMillis(1_800_000_000_000) };

    fn read(device: &[u8], nonce: &[u8], later_ms: u64) -> Result<Challenge, Error> {
        Challenge::read(&RUSTCRYPTO, &KEY, device, nonce, UnixMillis(ISSUED.issued.0 + later_ms), 1000)
    }

    #[test]
    fn a_challenge_comes_back_within_its_time_and_from_its_device() {
        let nonce = ISSUED.issue(&RUSTCRYPTO, &KEY, b"meter-1");
        assert_eq!(read(b"meter-1", &nonce, 1000), Ok(ISSUED));
        assert!(read(b"meter-1", &nonce, 1001).is_err());
        assert!(read(b"meter-2", &nonce, 0).is_err());
        assert!(read(b"meter-1", &nonce[1..], 0).is_err());
        for bit in 0..nonce.len() * 8 {
            let mut changed = nonce;
            changed[bit / 8] ^= 1 << (bit % 8);
            assert!(read(b"meter-1", &changed, 0).is_err(), "bit {bit}");
        }
    }

    #[test]
    fn a_binding_is_one_session_s_and_one_challenge_s() {
        let of = |exporter, challenge: &[u8]| binding(&RUSTCRYPTO, &Secret::new([exporter; 32]), challenge);
        assert_eq!(of(1, b"a"), of(1, b"a"));
        assert_ne!(of(1, b"a"), of(2, b"a"));
        assert_ne!(of(1, b"a"), of(1, b"b"));
    }
}
