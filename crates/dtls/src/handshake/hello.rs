//! ClientHello, ServerHello and HelloVerifyRequest (RFC 6347 section 4.2.1, RFC 5246 section 7.4.1).

use alloc::vec::Vec;

use bartizan_wire::record::{DTLS_1_0, DTLS_1_2};

use super::extension::{Extensions, RENEGOTIATION_SCSV, Writer, kind};
use crate::codec::{Reader, put_u16, put_vec8, put_vec16, u16s};
use crate::{CipherSuite, ConnectionId, Error, Group};

/// A client's offer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct ClientHello<'a> {
    pub version: u16,
    pub random: [u8; 32],
    pub session_id: &'a [u8],
    pub cookie: &'a [u8],
    /// A list of u16.
    pub suites: &'a [u8],
    pub compression: &'a [u8],
    pub extensions: Extensions<'a>,
    /// The extensions as they stand, for the cookie.
    pub extension_bytes: &'a [u8],
}

impl<'a> ClientHello<'a> {
    pub fn decode(body: &'a [u8]) -> Result<Self, Error> {
        let mut reader = Reader::new(body);
        let version = reader.u16()?;
        let random = reader.array()?;
        let session_id = reader.vec8()?;
        let cookie = reader.vec8()?;
        let suites = reader.vec16()?;
        let compression = reader.vec8()?;
        let extension_bytes = reader.rest();
        let extensions = Extensions::read(&mut reader)?;
        reader.finish()?;
        if session_id.len() > 32 || suites.is_empty() || suites.len() % 2 != 0 {
            return Err(Error::Malformed("a field has an impossible length"));
        }
        Ok(Self { version, random, session_id, cookie, suites, compression, extensions, extension_bytes })
    }

    pub fn offers(&self, suite: u16) -> bool {
        u16s(self.suites).any(|offered| offered == suite)
    }

    /// RFC 5746 section 3.6: said either way, and never with content in a first handshake.
    pub fn signals_renegotiation(&self) -> Result<bool, Error> {
        match self.extensions.renegotiation_info {
            Some([]) => Ok(true),
            Some(_) => Err(Error::Misbehaved("a renegotiation without a first handshake")),
            None => Ok(self.offers(RENEGOTIATION_SCSV)),
        }
    }
}

/// What a client puts into its hello.
pub(crate) struct Offer<'a> {
    pub random: &'a [u8; 32],
    pub cookie: &'a [u8],
    pub suites: &'a [CipherSuite],
    pub own_cid: Option<&'a ConnectionId>,
    /// Whether to offer the return routability check; only with a Connection ID.
    pub rrc: bool,
    pub groups: &'a [Group],
}

impl Offer<'_> {
    pub fn encode(&self) -> Vec<u8> {
        let mut out = Vec::new();
        put_u16(&mut out, DTLS_1_2);
        out.extend_from_slice(self.random);
        put_vec8(&mut out, &[]);
        put_vec8(&mut out, self.cookie);
        let mut suites = Vec::new();
        let codes = self.suites.iter().map(|suite| suite.code());
        codes.chain([RENEGOTIATION_SCSV]).for_each(|code| put_u16(&mut suites, code));
        put_vec16(&mut out, &suites);
        put_vec8(&mut out, &[0]);
        self.extensions().finish(&mut out);
        out
    }

    fn extensions(&self) -> Writer {
        let mut writer = Writer::default();
        writer.extended_master_secret();
        if let Some(cid) = self.own_cid {
            writer.connection_id(cid);
            if self.rrc {
                writer.put(kind::RRC, &[]);
            }
        }
        if self.suites.iter().any(|suite| suite.is_ecdhe()) {
            writer.groups(self.groups.iter().copied().filter(|group| Group::CLASSICAL.contains(group)));
            writer.point_formats();
        }
        writer
    }
}

/// A server's choice.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct ServerHello<'a> {
    pub random: [u8; 32],
    pub suite: u16,
    pub extensions: Extensions<'a>,
}

impl<'a> ServerHello<'a> {
    pub fn decode(body: &'a [u8]) -> Result<Self, Error> {
        let mut reader = Reader::new(body);
        let version = reader.u16()?;
        let random = reader.array()?;
        let session_id = reader.vec8()?;
        let suite = reader.u16()?;
        let compression = reader.u8()?;
        let extensions = Extensions::read(&mut reader)?;
        reader.finish()?;
        match (version, session_id.len(), compression) {
            (DTLS_1_2, 0..=32, 0) => Ok(Self { random, suite, extensions }),
            (DTLS_1_2, 0..=32, _) => Err(Error::Misbehaved("compression was not offered")),
            (DTLS_1_2, ..) => Err(Error::Malformed("a session id is too long")),
            _ => Err(Error::Unsupported("the server speaks another version")),
        }
    }
}

/// What a server puts into its hello.
pub(crate) struct Choice<'a> {
    pub random: &'a [u8; 32],
    pub suite: CipherSuite,
    /// The Connection ID extension, if it was negotiated.
    pub own_cid: Option<&'a ConnectionId>,
    /// Whether the return routability check is negotiated.
    pub rrc: bool,
    pub renegotiation: bool,
    pub point_formats: bool,
}

impl Choice<'_> {
    /// The session id stays empty: nothing can be resumed but through Connection IDs.
    pub fn encode(&self) -> Vec<u8> {
        let mut out = Vec::new();
        put_u16(&mut out, DTLS_1_2);
        out.extend_from_slice(self.random);
        put_vec8(&mut out, &[]);
        put_u16(&mut out, self.suite.code());
        out.push(0);
        let mut writer = Writer::default();
        writer.extended_master_secret();
        if let Some(cid) = self.own_cid {
            writer.connection_id(cid);
        }
        if self.rrc {
            writer.put(kind::RRC, &[]);
        }
        if self.renegotiation {
            writer.renegotiation_info();
        }
        if self.point_formats {
            writer.point_formats();
        }
        writer.finish(&mut out);
        out
    }
}

/// The cookie of a HelloVerifyRequest. Servers say either version in it (RFC 6347 section 4.2.1).
pub(crate) fn decode_verify_request(body: &[u8]) -> Result<&[u8], Error> {
    let mut reader = Reader::new(body);
    let version = reader.u16()?;
    let cookie = reader.vec8()?;
    reader.finish()?;
    //= rfc6347#4.2.1-2
    //= rfc6347#4.2.1-3
    match version {
        DTLS_1_0 | DTLS_1_2 => Ok(cookie),
        _ => Err(Error::Malformed("a HelloVerifyRequest of another version")),
    }
}

//= rfc6347#4.2.1-s1
/// RFC 6347 section 4.2.1: the version is DTLS 1.0, whatever will be negotiated.
pub(crate) fn encode_verify_request(cookie: &[u8]) -> Vec<u8> {
    let mut out = Vec::new();
    put_u16(&mut out, DTLS_1_0);
    put_vec8(&mut out, cookie);
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn hellos_read_what_they_write() {
        let cid = ConnectionId::new(b"1234").unwrap();
        let body = Offer {
            random: &[7; 32],
            cookie: b"cookie",
            suites: &CipherSuite::ALL,
            own_cid: Some(&cid),
            rrc: true,
            groups: &Group::ALL,
        }
        .encode();
        let hello = ClientHello::decode(&body).unwrap();
        assert_eq!((hello.version, hello.cookie), (DTLS_1_2, &b"cookie"[..]));
        assert!(CipherSuite::ALL.iter().all(|suite| hello.offers(suite.code())));
        assert!(hello.signals_renegotiation().unwrap());
        assert_eq!(hello.extensions.connection_id, Some(cid));
        assert!((0..body.len()).all(|length| {
            // A hello may end before its extensions; nowhere else.
            let shorter = ClientHello::decode(&body[..length]);
            shorter.is_err() || shorter.is_ok_and(|hello| hello.extension_bytes.is_empty())
        }));

        let choice = Choice {
            random: &[8; 32],
            suite: CipherSuite::PskAes128Ccm8,
            own_cid: Some(&cid),
            rrc: true,
            renegotiation: true,
            point_formats: false,
        };
        let body = choice.encode();
        let hello = ServerHello::decode(&body).unwrap();
        assert_eq!((hello.random, hello.suite), ([8; 32], 0xC0A8));
        assert_eq!(hello.extensions.connection_id, Some(cid));
        assert_eq!(decode_verify_request(&encode_verify_request(b"c")), Ok(&b"c"[..]));
    }
}
