//! Cookies of DTLS 1.3 (RFC 9147 section 5.1, RFC 8446 section 4.2.2): all that a server that keeps nothing needs to
//! know of the first hello.

use alloc::vec::Vec;
use core::net::SocketAddr;

use bartizan_crypto::{Random, constant_time_eq};

use super::super::address::cookie_bytes;
use super::super::cookie::{COOKIE_BYTES, Cookies};
use crate::codec::{Reader, put_u16};
use crate::hash::Digest;
use crate::{CipherSuite, Group, Instant};

/// Tells these cookies from those of DTLS 1.2 under the same secret.
const LABEL: &[u8] = b"DTLS 1.3";

/// What a HelloRetryRequest said.
#[derive(Clone, Debug)]
pub(in super::super) struct Cookie {
    pub suite: CipherSuite,
    /// The group that it asked for.
    pub group: Option<Group>,
    /// The hash of the first hello.
    pub hello: Digest,
}

impl Cookie {
    /// `random` is the client's, which is the same in both hellos: whoever sees a cookie cannot begin another handshake
    /// with it.
    pub fn seal(
        &self,
        cookies: &mut Cookies,
        now: Instant,
        rng: &mut dyn Random,
        remote: SocketAddr,
        random: &[u8; 32],
    ) -> Vec<u8> {
        let mut out = Vec::new();
        put_u16(&mut out, self.suite.code());
        put_u16(&mut out, self.group.map_or(0, Group::code));
        out.extend_from_slice(self.hello.as_slice());
        //= rfc9147#11-2
        let [mac, _] = cookies.macs(now, rng, &[LABEL, &cookie_bytes(remote), random, &out]);
        out.extend_from_slice(&mac);
        out
    }

    /// `None` unless it was made for this address and this random within the last two minutes.
    pub fn open(
        cookie: &[u8],
        cookies: &mut Cookies,
        now: Instant,
        rng: &mut dyn Random,
        remote: SocketAddr,
        random: &[u8; 32],
    ) -> Option<Self> {
        let (content, mac) = cookie.split_last_chunk::<COOKIE_BYTES>()?;
        let macs = cookies.macs(now, rng, &[LABEL, &cookie_bytes(remote), random, content]);
        //= rfc9147#11-3
        if !macs.iter().any(|expected| constant_time_eq(expected, mac)) {
            return None;
        }
        let mut reader = Reader::new(content);
        let suite = CipherSuite::from_code(reader.u16().ok()?)?;
        let group = Group::from_code(reader.u16().ok()?);
        let hello = reader.take(suite.hash().len()).ok()?;
        reader.finish().ok()?;
        Some(Self { suite, group, hello: Digest::of(hello) })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::limits::COOKIE_SECRET_MS;
    use bartizan_crypto::RUSTCRYPTO;

    #[test]
    fn a_cookie_holds_for_its_address_and_its_time() {
        let mut count = 0_u8;
        let mut rng = |out: &mut [u8]| {
            count += 1;
            out.fill(count);
        };
        let mut cookies = Cookies::new(&RUSTCRYPTO, &mut rng);
        let here = "192.0.2.1:1000".parse().unwrap();
        let there = "192.0.2.1:1001".parse().unwrap();
        let suite = CipherSuite::Aes128GcmSha256;
        let cookie = Cookie { suite, group: Some(Group::X25519), hello: Digest::of(&[7; 32]) };
        let sealed = cookie.seal(&mut cookies, Instant::default(), &mut rng, here, &[1; 32]);
        assert_eq!(sealed.len(), crate::limits::COOKIE_13_BYTES + 32);
        let mut open_with = |bytes: &[u8], ms, from, random: &[u8; 32]| {
            Cookie::open(bytes, &mut cookies, Instant::from_millis(ms), &mut rng, from, random)
        };
        assert!(open_with(&sealed, 0, here, &[2; 32]).is_none(), "another hello");
        let mut open = |bytes: &[u8], ms, from| open_with(bytes, ms, from, &[1; 32]);
        let opened = open(&sealed, 0, here).unwrap();
        assert_eq!((opened.suite, opened.group), (suite, Some(Group::X25519)));
        assert_eq!(opened.hello.as_slice(), [7; 32]);
        assert!(open(&sealed, 0, there).is_none());
        for bit in 0..sealed.len() * 8 {
            let mut changed = sealed.clone();
            changed[bit / 8] ^= 1 << (bit % 8);
            assert!(open(&changed, 0, here).is_none());
        }
        assert!(open(&sealed, COOKIE_SECRET_MS, here).is_some());
        assert!(open(&sealed, 2 * COOKIE_SECRET_MS, here).is_none());
    }
}
