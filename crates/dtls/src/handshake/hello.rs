//! ClientHello, ServerHello and HelloVerifyRequest (RFC 6347 section 4.2.1, RFC 5246 section 7.4.1).

use alloc::vec::Vec;

use bartizan_wire::record::{DTLS_1_0, DTLS_1_2};

use super::extension::{Extensions, RENEGOTIATION_SCSV, Writer, kind};
use super::negotiation;
use crate::codec::{Reader, put_u16, put_vec8, put_vec16, u16s};
use crate::{CertificateType, CipherSuite, ConnectionId, Error, Group, KeyExchange, MaxFragmentLength};

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
        let extensions = Extensions::read(&mut reader)?;
        reader.finish()?;
        if session_id.len() > 32 || suites.is_empty() || suites.len() % 2 != 0 {
            return Err(Error::Malformed("a field has an impossible length"));
        }
        Ok(Self { version, random, session_id, cookie, suites, compression, extensions })
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
    /// A session to be resumed, or the echo that says that a ticket was taken.
    pub session_id: &'a [u8],
    /// Empty: asks for one (RFC 5077 section 3.2).
    pub ticket: Option<&'a [u8]>,
    /// What we can show, and what we can judge.
    pub own_kind: Option<CertificateType>,
    pub peer_kinds: &'a [CertificateType],
    pub record_size_limit: Option<u16>,
    pub max_fragment_length: Option<MaxFragmentLength>,
    pub server_name: Option<&'a str>,
}

impl<'a> Offer<'a> {
    /// An offer of nothing but suites.
    pub const fn new(random: &'a [u8; 32], suites: &'a [CipherSuite]) -> Self {
        Self {
            random,
            cookie: &[],
            suites,
            own_cid: None,
            rrc: false,
            groups: &[],
            session_id: &[],
            ticket: None,
            own_kind: None,
            peer_kinds: &[],
            record_size_limit: None,
            max_fragment_length: None,
            server_name: None,
        }
    }

    pub fn encode(&self) -> Vec<u8> {
        let mut out = Vec::new();
        put_u16(&mut out, DTLS_1_2);
        out.extend_from_slice(self.random);
        put_vec8(&mut out, self.session_id);
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
        if self.suites.iter().any(|suite| suite.key_exchange() == KeyExchange::EcdheEcdsa) {
            negotiation::put_signature_schemes(&mut writer);
            negotiation::put_offered_kinds(&mut writer, kind::CLIENT_CERTIFICATE_TYPE, self.own_kind.into_iter());
            let peer_kinds = self.peer_kinds.iter().copied();
            negotiation::put_offered_kinds(&mut writer, kind::SERVER_CERTIFICATE_TYPE, peer_kinds);
        }
        self.record_sizes(&mut writer);
        if let Some(name) = self.server_name {
            negotiation::put_server_name(&mut writer, name);
        }
        if let Some(ticket) = self.ticket {
            writer.put(kind::SESSION_TICKET, ticket);
        }
        writer
    }

    fn record_sizes(&self, writer: &mut Writer) {
        if let Some(limit) = self.record_size_limit {
            negotiation::put_record_size_limit(writer, limit);
        }
        if let Some(length) = self.max_fragment_length {
            negotiation::put_max_fragment_length(writer, length);
        }
    }
}

/// A ServerHello as it stands, whatever version its extensions choose (RFC 5246 section 7.4.1.3, RFC 8446 section
/// 4.1.3).
pub(crate) struct ServerFields<'a> {
    pub random: [u8; 32],
    pub session_id: &'a [u8],
    pub suite: u16,
    pub compression: u8,
    pub extensions: Extensions<'a>,
}

impl<'a> ServerFields<'a> {
    pub fn decode(body: &'a [u8]) -> Result<Self, Error> {
        let mut reader = Reader::new(body);
        let version = reader.u16()?;
        let random = reader.array()?;
        let session_id = reader.vec8()?;
        let suite = reader.u16()?;
        let compression = reader.u8()?;
        let extensions = Extensions::read(&mut reader)?;
        reader.finish()?;
        match (version, session_id.len()) {
            (DTLS_1_2, 0..=32) => Ok(Self { random, session_id, suite, compression, extensions }),
            (DTLS_1_2, _) => Err(Error::Malformed("a session id is too long")),
            _ => Err(Error::ANOTHER_VERSION),
        }
    }
}

/// A server's choice.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct ServerHello<'a> {
    pub random: [u8; 32],
    pub session_id: &'a [u8],
    pub suite: u16,
    pub extensions: Extensions<'a>,
}

impl<'a> ServerHello<'a> {
    pub fn decode(body: &'a [u8]) -> Result<Self, Error> {
        let ServerFields { random, session_id, suite, compression, extensions } = ServerFields::decode(body)?;
        match compression {
            0 => Ok(Self { random, session_id, suite, extensions }),
            _ => Err(Error::Misbehaved("compression was not offered")),
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
    /// Empty unless the session can be resumed, or is.
    pub session_id: &'a [u8],
    /// A NewSessionTicket will follow.
    pub ticket: bool,
    pub server_kind: Option<CertificateType>,
    pub client_kind: Option<CertificateType>,
    pub record_size_limit: Option<u16>,
    pub max_fragment_length: Option<MaxFragmentLength>,
}

impl Choice<'_> {
    pub fn encode(&self) -> Vec<u8> {
        let mut out = Vec::new();
        put_u16(&mut out, DTLS_1_2);
        out.extend_from_slice(self.random);
        put_vec8(&mut out, self.session_id);
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
        let kinds =
            [(kind::SERVER_CERTIFICATE_TYPE, self.server_kind), (kind::CLIENT_CERTIFICATE_TYPE, self.client_kind)];
        for (which, chosen) in kinds {
            if let Some(chosen) = chosen {
                negotiation::put_chosen_kind(&mut writer, which, chosen);
            }
        }
        if let Some(limit) = self.record_size_limit {
            negotiation::put_record_size_limit(&mut writer, limit);
        }
        if let Some(length) = self.max_fragment_length {
            negotiation::put_max_fragment_length(&mut writer, length);
        }
        if self.ticket {
            writer.put(kind::SESSION_TICKET, &[]);
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
            cookie: b"cookie",
            own_cid: Some(&cid),
            rrc: true,
            groups: &Group::ALL,
            session_id: &[6; 32],
            ticket: Some(b"ticket"),
            own_kind: Some(CertificateType::RawPublicKey),
            peer_kinds: &[CertificateType::RawPublicKey, CertificateType::X509],
            record_size_limit: Some(300),
            max_fragment_length: Some(MaxFragmentLength::Bytes512),
            server_name: Some("gateway.example"),
            ..Offer::new(&[7; 32], &CipherSuite::ALL)
        }
        .encode();
        let hello = ClientHello::decode(&body).unwrap();
        assert_eq!((hello.version, hello.cookie), (DTLS_1_2, &b"cookie"[..]));
        assert!(CipherSuite::ALL.iter().all(|suite| hello.offers(suite.code())));
        assert!(hello.signals_renegotiation().unwrap());
        assert_eq!(hello.session_id, [6; 32]);
        assert_eq!(hello.extensions.body(kind::SESSION_TICKET), Some(&b"ticket"[..]));
        assert_eq!(negotiation::record_size_limit(&hello.extensions), Ok(Some(300)));
        let name = hello.extensions.body(kind::SERVER_NAME).unwrap();
        assert_eq!(name, [&[0, 18, 0, 0, 15], &b"gateway.example"[..]].concat());
        assert_eq!(hello.extensions.connection_id, Some(cid));
        assert!((0..body.len()).all(|length| {
            // A hello may end before its extensions; nowhere else.
            let shorter = ClientHello::decode(&body[..length]);
            shorter.is_err() || shorter.is_ok_and(|hello| hello.extensions.iter().next().is_none())
        }));

        let choice = Choice {
            random: &[8; 32],
            suite: CipherSuite::PskAes128Ccm8,
            own_cid: Some(&cid),
            rrc: true,
            renegotiation: true,
            point_formats: false,
            session_id: &[5; 32],
            ticket: true,
            server_kind: Some(CertificateType::RawPublicKey),
            client_kind: None,
            record_size_limit: Some(200),
            max_fragment_length: None,
        };
        let body = choice.encode();
        let hello = ServerHello::decode(&body).unwrap();
        assert_eq!((hello.random, hello.suite, hello.session_id), ([8; 32], 0xC0A8, &[5; 32][..]));
        let which = kind::SERVER_CERTIFICATE_TYPE;
        assert_eq!(negotiation::chosen_kind(&hello.extensions, which), Ok(CertificateType::RawPublicKey));
        assert_eq!(hello.extensions.connection_id, Some(cid));
        assert_eq!(decode_verify_request(&encode_verify_request(b"c")), Ok(&b"c"[..]));
    }
}
