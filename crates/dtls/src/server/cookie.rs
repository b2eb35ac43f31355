//! Stateless cookies (RFC 6347 section 4.2.1): proof that a client receives at the address it writes from.

use core::net::SocketAddr;

use bartizan_crypto::{Provider, Random, Secret, constant_time_eq};

use super::address::cookie_bytes;
use crate::Instant;
use crate::handshake::hello::ClientHello;
use crate::limits::COOKIE_SECRET_MS;

/// Half an HMAC: 128 bits against an attacker who has two minutes, and 16 bytes less on the air.
/// (More than 32 bytes some clients do not take.)
pub(super) const COOKIE_BYTES: usize = 16;

/// The secret in use and the one before it.
pub(crate) struct Cookies {
    provider: &'static Provider,
    current: Secret<32>,
    previous: Secret<32>,
    since: Option<Instant>,
}

impl Cookies {
    pub fn new(provider: &'static Provider, rng: &mut dyn Random) -> Self {
        let mut cookies = Self { provider, current: Secret::new([0; 32]), previous: Secret::new([0; 32]), since: None };
        rng.fill(cookies.current.expose_mut());
        rng.fill(cookies.previous.expose_mut());
        cookies
    }

    /// The cookie for this client at this address.
    pub fn make(
        &mut self,
        now: Instant,
        rng: &mut dyn Random,
        remote: SocketAddr,
        hello: &ClientHello<'_>,
    ) -> [u8; COOKIE_BYTES] {
        self.rotate(now, rng);
        self.with(&self.current, remote, hello)
    }

    /// Whether the hello carries a cookie that was made for it within the last two minutes.
    pub fn verify(&mut self, now: Instant, rng: &mut dyn Random, remote: SocketAddr, hello: &ClientHello<'_>) -> bool {
        if hello.cookie.len() != COOKIE_BYTES {
            return false;
        }
        self.rotate(now, rng);
        [&self.current, &self.previous]
            .into_iter()
            .any(|secret| constant_time_eq(&self.with(secret, remote, hello), hello.cookie))
    }

    /// MACs under the secret in use and the one before it.
    pub fn macs(&mut self, now: Instant, rng: &mut dyn Random, parts: &[&[u8]]) -> [[u8; COOKIE_BYTES]; 2] {
        self.rotate(now, rng);
        [&self.current, &self.previous].map(|secret| {
            let mac = (self.provider.hmac_sha256)(secret.expose(), parts);
            let mut cookie = [0; COOKIE_BYTES];
            cookie.iter_mut().zip(mac).for_each(|(to, from)| *to = from);
            cookie
        })
    }

    fn rotate(&mut self, now: Instant, rng: &mut dyn Random) {
        let since = *self.since.get_or_insert(now);
        let age = now.since(since);
        if age < COOKIE_SECRET_MS {
            return;
        }
        core::mem::swap(&mut self.current, &mut self.previous);
        rng.fill(self.current.expose_mut());
        if age >= 2 * COOKIE_SECRET_MS {
            rng.fill(self.previous.expose_mut());
        }
        self.since = Some(now);
    }

    //= rfc6347#4.2.1-s2
    //= rfc6347#4.2.1-s3
    /// Everything that the client must not change between its two hellos: RFC 6347 section 4.2.1 has no extensions
    /// among it, and wolfSSL sends them in another order the second time.
    fn with(&self, secret: &Secret<32>, remote: SocketAddr, hello: &ClientHello<'_>) -> [u8; COOKIE_BYTES] {
        let lengths = [
            hello.session_id.len() as u8,
            hello.compression.len() as u8,
            (hello.suites.len() >> 8) as u8,
            hello.suites.len() as u8,
        ];
        let parts: [&[u8]; 7] = [
            &cookie_bytes(remote),
            &hello.version.to_be_bytes(),
            &hello.random,
            &lengths,
            hello.session_id,
            hello.compression,
            hello.suites,
        ];
        let mac = (self.provider.hmac_sha256)(secret.expose(), &parts);
        let mut cookie = [0; COOKIE_BYTES];
        cookie.iter_mut().zip(mac).for_each(|(to, from)| *to = from);
        cookie
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::CipherSuite;
    use crate::handshake::hello::Offer;
    use alloc::vec::Vec;
    use bartizan_crypto::RUSTCRYPTO;

    const HERE: &str = "192.0.2.1:1000";

    fn hello(random: u8, cookie: &[u8]) -> Vec<u8> {
        Offer { cookie, ..Offer::new(&[random; 32], &CipherSuite::ALL) }.encode()
    }

    fn rng() -> impl FnMut(&mut [u8]) {
        let mut next = 0_u8;
        move |out: &mut [u8]| {
            next += 1;
            out.fill(next);
        }
    }

    fn verifies(cookies: &mut Cookies, ms: u64, from: &str, hello: &[u8]) -> bool {
        let hello = ClientHello::decode(hello).unwrap();
        let mut rng = |out: &mut [u8]| out.fill(0x80 ^ (ms / 1_000) as u8);
        cookies.verify(Instant::from_millis(ms), &mut rng, from.parse().unwrap(), &hello)
    }

    //= test rfc6347#4.2.1-s2
    #[test]
    fn a_cookie_holds_for_its_address_its_hello_and_its_time() {
        let mut cookies = Cookies::new(&RUSTCRYPTO, &mut rng());
        let first = hello(1, b"");
        let decoded = ClientHello::decode(&first).unwrap();
        let here = HERE.parse().unwrap();
        let mut source = rng();
        let cookie = cookies.make(Instant::default(), &mut source, here, &decoded);
        assert!(verifies(&mut cookies, 0, HERE, &hello(1, &cookie)));
        assert!(!verifies(&mut cookies, 0, "192.0.2.1:1001", &hello(1, &cookie)));
        assert!(!verifies(&mut cookies, 0, "192.0.2.2:1000", &hello(1, &cookie)));
        assert!(!verifies(&mut cookies, 0, HERE, &hello(2, &cookie)));
        assert!(!verifies(&mut cookies, 0, HERE, &hello(1, &cookie[1..])));
        assert!(verifies(&mut cookies, COOKIE_SECRET_MS, HERE, &hello(1, &cookie)));
        assert!(!verifies(&mut cookies, 2 * COOKIE_SECRET_MS, HERE, &hello(1, &cookie)));
    }
}
