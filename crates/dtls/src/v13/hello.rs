//! ServerHello and HelloRetryRequest of DTLS 1.3 (RFC 8446 sections 4.1.3 and 4.1.4, RFC 9147 section 5.4).

use alloc::vec::Vec;

use bartizan_wire::record::DTLS_1_2;

use crate::codec::{Reader, put_u16, put_vec8, put_vec16};
use crate::handshake::extension::{Extensions, Writer, kind};
use crate::handshake::hello::ServerFields;
use crate::{CipherSuite, ConnectionId, Error, Group};

/// DTLS 1.3 in supported_versions.
pub(crate) const DTLS_1_3: u16 = 0xFEFC;

/// The random that makes a ServerHello a HelloRetryRequest: the SHA-256 of that word (RFC 8446 section 4.1.3).
pub(crate) const RETRY_RANDOM: [u8; 32] = [
    0xCF, 0x21, 0xAD, 0x74, 0xE5, 0x9A, 0x61, 0x11, 0xBE, 0x1D, 0x8C, 0x02, 0x1E, 0x65, 0xB8, 0x91, 0xC2, 0xA2, 0x11,
    0x16, 0x7A, 0xBB, 0x8C, 0x5E, 0x07, 0x9E, 0x09, 0xE2, 0xC8, 0xA8, 0x33, 0x9C,
];

/// What a server of DTLS 1.3 that speaks 1.2 ends its random with (RFC 8446 section 4.1.3).
pub(crate) const DOWNGRADE: [u8; 8] = *b"DOWNGRD\x01";

/// Whether the random says that its sender could have spoken DTLS 1.3.
pub(crate) fn is_downgrade(random: &[u8; 32]) -> bool {
    random.ends_with(&DOWNGRADE)
}

/// Says in a random of DTLS 1.2 that its sender could have spoken DTLS 1.3.
pub(crate) fn mark_downgrade(random: &mut [u8; 32]) {
    random.iter_mut().rev().zip(DOWNGRADE.iter().rev()).for_each(|(to, from)| *to = *from);
}

/// A server's choice.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct ServerHello<'a> {
    pub random: [u8; 32],
    pub suite: u16,
    /// The version is negotiated here; without the extension it is DTLS 1.2.
    pub is_dtls_1_3: bool,
    pub extensions: Extensions<'a>,
}

impl<'a> ServerHello<'a> {
    pub fn decode(body: &'a [u8]) -> Result<Self, Error> {
        let ServerFields { random, session_id, suite, compression, extensions } = ServerFields::decode(body)?;
        let is_dtls_1_3 = match extensions.body(kind::SUPPORTED_VERSIONS) {
            Some(version) if *version == DTLS_1_3.to_be_bytes() => true,
            Some(_) => return Err(Error::Misbehaved("a version that was not offered")),
            None => false,
        };
        // RFC 9147 section 5: no echo, even of what was offered, and nothing to compress.
        if is_dtls_1_3 && (!session_id.is_empty() || compression != 0) {
            return Err(Error::Misbehaved("a session id or a compression that was not offered"));
        }
        Ok(Self { random, suite, is_dtls_1_3, extensions })
    }

    pub fn is_retry(&self) -> bool {
        self.random == RETRY_RANDOM
    }
}

/// The share in a ServerHello.
pub(crate) fn decode_share(body: &[u8]) -> Result<(u16, &[u8]), Error> {
    let mut reader = Reader::new(body);
    let group = reader.u16()?;
    let share = reader.vec16()?;
    reader.finish()?;
    Ok((group, share))
}

/// The cookie in a HelloRetryRequest or a ClientHello (RFC 8446 section 4.2.2).
pub(crate) fn decode_cookie(body: &[u8]) -> Result<&[u8], Error> {
    let mut reader = Reader::new(body);
    let cookie = reader.vec16()?;
    reader.finish()?;
    match cookie {
        [] => Err(Error::Malformed("an empty cookie")),
        cookie => Ok(cookie),
    }
}

/// What a server puts into its hello.
pub(crate) struct Choice<'a> {
    pub random: &'a [u8; 32],
    pub suite: CipherSuite,
    pub share: Option<(Group, &'a [u8])>,
    /// The first pre-shared key that was offered is taken.
    pub psk: bool,
    pub own_cid: Option<&'a ConnectionId>,
    /// Whether the return routability check is negotiated: RFC 9853 section 3 has the answer here, in the clear.
    pub rrc: bool,
}

impl Choice<'_> {
    pub fn encode(&self) -> Vec<u8> {
        let mut writer = Writer::default();
        writer.put(kind::SUPPORTED_VERSIONS, &DTLS_1_3.to_be_bytes());
        if let Some((group, share)) = self.share {
            let mut body = Vec::new();
            put_u16(&mut body, group.code());
            put_vec16(&mut body, share);
            writer.put(kind::KEY_SHARE, &body);
        }
        if self.psk {
            writer.put(kind::PRE_SHARED_KEY, &[0, 0]);
        }
        if let Some(cid) = self.own_cid {
            writer.connection_id(cid);
        }
        if self.rrc {
            writer.put(kind::RRC, &[]);
        }
        encode(self.random, self.suite, writer)
    }
}

/// A HelloRetryRequest; the same input gives the same bytes, so that a server need not remember what it said.
pub(crate) fn encode_retry(suite: CipherSuite, group: Option<Group>, cookie: &[u8]) -> Vec<u8> {
    let mut writer = Writer::default();
    writer.put(kind::SUPPORTED_VERSIONS, &DTLS_1_3.to_be_bytes());
    if let Some(group) = group {
        writer.put(kind::KEY_SHARE, &group.code().to_be_bytes());
    }
    let mut body = Vec::new();
    put_vec16(&mut body, cookie);
    writer.put(kind::COOKIE, &body);
    encode(&RETRY_RANDOM, suite, writer)
}

fn encode(random: &[u8; 32], suite: CipherSuite, extensions: Writer) -> Vec<u8> {
    let mut out = Vec::new();
    put_u16(&mut out, DTLS_1_2);
    out.extend_from_slice(random);
    // RFC 9147 section 5: a server of DTLS does not echo the session id.
    //= rfc9147#5-1
    put_vec8(&mut out, &[]);
    put_u16(&mut out, suite.code());
    out.push(0);
    extensions.finish(&mut out);
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn hellos_read_what_they_write() {
        let cid = ConnectionId::new(b"1234").unwrap();
        let choice = Choice {
            random: &[7; 32],
            suite: CipherSuite::Aes128CcmSha256,
            share: Some((Group::X25519, &[9; 32])),
            psk: true,
            own_cid: Some(&cid),
            rrc: true,
        };
        let body = choice.encode();
        let hello = ServerHello::decode(&body).unwrap();
        assert!(hello.is_dtls_1_3 && !hello.is_retry());
        assert_eq!((hello.random, hello.suite), ([7; 32], 0x1304));
        assert_eq!(hello.extensions.connection_id, Some(cid));
        let share = decode_share(hello.extensions.body(kind::KEY_SHARE).unwrap()).unwrap();
        assert_eq!(share, (29, &[9; 32][..]));
        for length in 0..body.len() {
            // A hello may end before its extensions, and is one of DTLS 1.2 then.
            let shorter = ServerHello::decode(&body[..length]);
            assert!(shorter.is_err() || shorter.is_ok_and(|hello| !hello.is_dtls_1_3));
        }
        // A session id between the random and the suite.
        let echo = [&body[..34], &[1, 9], &body[35..]].concat();
        assert!(ServerHello::decode(&echo).is_err());
        let body = encode_retry(CipherSuite::Aes128CcmSha256, Some(Group::X25519MlKem768), b"cookie");
        let hello = ServerHello::decode(&body).unwrap();
        assert!(hello.is_retry());
        assert_eq!(decode_cookie(hello.extensions.body(kind::COOKIE).unwrap()), Ok(&b"cookie"[..]));
        assert_eq!(hello.extensions.body(kind::KEY_SHARE), Some(&[0x11, 0xEC][..]));
    }
}
