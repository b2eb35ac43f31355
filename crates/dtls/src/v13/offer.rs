//! What a ClientHello of DTLS 1.3 offers (RFC 8446 sections 4.1.2 and 4.2, RFC 9147 section 5.3).

use alloc::vec::Vec;

use bartizan_crypto::Provider;
use bartizan_wire::record::DTLS_1_2;

use super::hello::{DTLS_1_3, decode_cookie};
use super::messages::{decode_list, encode_schemes, kind as message};
use super::schedule::{Schedule, verify_data};
use super::transcript::Transcript;
use crate::codec::{Reader, put_u16, put_vec8, put_vec16, u16s};
use crate::credential::CertificateType;
use crate::handshake::extension::{RENEGOTIATION_SCSV, Writer, kind};
use crate::handshake::hello::ClientHello;
use crate::handshake::negotiation;
use crate::hash::{Digest, Hash};
use crate::{CipherSuite, ConnectionId, Error, Group, Versions};

/// PskKeyExchangeMode (RFC 8446 section 4.2.9).
const PSK_KE: u8 = 0;
const PSK_DHE_KE: u8 = 1;

/// Whether the hello offers DTLS 1.3.
pub(crate) fn offers_dtls_1_3(hello: &ClientHello<'_>) -> bool {
    let versions = hello.extensions.body(kind::SUPPORTED_VERSIONS);
    let list = versions.and_then(|body| Reader::new(body).vec8().ok());
    list.is_some_and(|list| u16s(list).any(|version| version == DTLS_1_3))
}

/// A client's offer, as far as it is DTLS 1.3's.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Offer<'a> {
    pub cookie: Option<&'a [u8]>,
    /// A list of u16; empty if the client has no groups.
    groups: &'a [u8],
    /// A list of groups and shares; `None` without the extension.
    shares: Option<&'a [u8]>,
    pub psk: Option<PskOffer<'a>>,
    /// A list of u16: what signatures the client takes.
    schemes: Option<&'a [u8]>,
    /// What the client takes as the server's certificate, and what it may show itself.
    pub server_types: &'a [u8],
    pub client_types: &'a [u8],
    pub connection_id: Option<ConnectionId>,
    /// What we may send (RFC 8449).
    pub record_size_limit: Option<u16>,
}

/// The first pre-shared key that a client offers.
#[derive(Clone, Copy, Debug)]
pub(crate) struct PskOffer<'a> {
    pub identity: &'a [u8],
    pub binder: &'a [u8],
    /// How many bytes at the end of the hello are binders, which no binder signs.
    pub binders_len: usize,
    /// The modes that the client takes.
    pub plain: bool,
    pub ephemeral: bool,
}

impl<'a> Offer<'a> {
    pub fn read(hello: &ClientHello<'a>) -> Result<Self, Error> {
        let extensions = &hello.extensions;
        let list = |kind| extensions.body(kind).map(decode_list).transpose();
        let types = |kind| match extensions.body(kind) {
            Some(body) => read_all(body, Reader::vec8),
            None => Ok(&[CertificateType::X509 as u8][..]),
        };
        // RFC 9147 section 5.3: legacy fields.
        //= rfc9147#5.3-4
        if hello.version != DTLS_1_2 || !hello.cookie.is_empty() || hello.compression != [0] {
            return Err(Error::Misbehaved("a legacy field with a meaning"));
        }
        let shares = match extensions.body(kind::KEY_SHARE) {
            Some(body) => Some(read_all(body, Reader::vec16)?),
            None => None,
        };
        let groups = list(kind::SUPPORTED_GROUPS)?;
        // RFC 8446 section 9.2: neither comes without the other.
        if groups.is_some() != shares.is_some() {
            return Err(Error::Misbehaved("groups without shares, or shares without groups"));
        }
        Ok(Self {
            cookie: extensions.body(kind::COOKIE).map(decode_cookie).transpose()?,
            groups: groups.unwrap_or_default(),
            shares,
            psk: PskOffer::read(hello)?,
            schemes: list(kind::SIGNATURE_ALGORITHMS)?,
            server_types: types(kind::SERVER_CERTIFICATE_TYPE)?,
            client_types: types(kind::CLIENT_CERTIFICATE_TYPE)?,
            connection_id: extensions.connection_id,
            record_size_limit: negotiation::record_size_limit_13(extensions)?,
        })
    }

    pub fn has_group(&self, group: Group) -> bool {
        u16s(self.groups).any(|code| code == group.code())
    }

    /// The share of a group, if the client sent one.
    pub fn share(&self, group: Group) -> Option<&'a [u8]> {
        let mut reader = Reader::new(self.shares?);
        loop {
            let code = reader.u16().ok()?;
            let share = reader.vec16().ok()?;
            if code == group.code() {
                return Some(share);
            }
        }
    }

    pub fn takes_scheme(&self, code: u16) -> bool {
        self.schemes.is_some_and(|schemes| u16s(schemes).any(|scheme| scheme == code))
    }
}

impl<'a> PskOffer<'a> {
    fn read(hello: &ClientHello<'a>) -> Result<Option<Self>, Error> {
        let Some(body) = hello.extensions.body(kind::PRE_SHARED_KEY) else {
            return Ok(None);
        };
        // RFC 8446 section 4.2.11: the last extension, since binders sign all before it.
        if hello.extensions.iter().last().is_none_or(|(last, _)| last != kind::PRE_SHARED_KEY) {
            return Err(Error::Misbehaved("pre_shared_key is not the last extension"));
        }
        // Section 4.2.9: never without modes.
        let modes = hello.extensions.body(kind::PSK_KEY_EXCHANGE_MODES);
        let modes = read_all(modes.ok_or(Error::Misbehaved("a pre-shared key without modes"))?, Reader::vec8)?;
        let mut reader = Reader::new(body);
        let mut identities = Reader::new(reader.vec16()?);
        let binders = reader.vec16()?;
        reader.finish()?;
        let identity = identities.vec16()?;
        identities.u32()?;
        let mut count = 1_usize;
        while !identities.is_empty() {
            identities.vec16()?;
            identities.u32()?;
            count += 1;
        }
        let mut list = Reader::new(binders);
        let binder = list.vec8()?;
        for _ in 1..count {
            list.vec8()?;
        }
        list.finish()?;
        Ok(Some(Self {
            identity,
            binder,
            binders_len: binders.len() + 2,
            plain: modes.contains(&PSK_KE),
            ephemeral: modes.contains(&PSK_DHE_KE),
        }))
    }

    /// The hash of the key: external ones are used with SHA-256, unless the binder says otherwise.
    pub fn hash(&self) -> Option<Hash> {
        [Hash::Sha256, Hash::Sha384].into_iter().find(|hash| hash.len() == self.binder.len())
    }
}

fn read_all<'a>(body: &'a [u8], read: impl Fn(&mut Reader<'a>) -> Result<&'a [u8], Error>) -> Result<&'a [u8], Error> {
    let mut reader = Reader::new(body);
    let content = read(&mut reader)?;
    reader.finish()?;
    Ok(content)
}

/// What a client puts into its hello.
pub(crate) struct Hello<'a> {
    pub random: &'a [u8; 32],
    pub versions: Versions,
    /// A session of DTLS 1.2 to be resumed, and the content of session_ticket; only where 1.2 is spoken, too.
    pub session_id: &'a [u8],
    pub ticket: Option<&'a [u8]>,
    pub suites: &'a [CipherSuite],
    pub cookie: Option<&'a [u8]>,
    pub own_cid: Option<&'a ConnectionId>,
    /// Offer the return routability check, if there is a Connection ID.
    pub rrc: bool,
    pub groups: &'a [Group],
    pub share: Option<(Group, &'a [u8])>,
    /// The identity and the hash of a pre-shared key.
    pub psk: Option<(&'a [u8], Hash)>,
    /// Certificates are taken; of which types, and which types we can show.
    pub server_types: &'a [CertificateType],
    pub client_types: &'a [CertificateType],
    pub server_name: Option<&'a str>,
    pub record_size_limit: Option<u16>,
}

/// A hello in two parts, between which DTLS 1.2 puts its cookie.
#[derive(Clone, Debug, Default)]
pub(crate) struct Encoded {
    pub before: Vec<u8>,
    pub after: Vec<u8>,
}

impl Encoded {
    /// The body with this legacy cookie.
    pub fn with_cookie(&self, cookie: &[u8]) -> Vec<u8> {
        let mut out = Vec::with_capacity(self.before.len() + 1 + cookie.len() + self.after.len());
        out.extend_from_slice(&self.before);
        put_vec8(&mut out, cookie);
        out.extend_from_slice(&self.after);
        out
    }
}

impl Hello<'_> {
    /// Encodes the hello and signs it with the pre-shared key; `transcript` is what came before it.
    pub fn encode(&self, provider: &'static Provider, transcript: &Transcript, psk: &[u8]) -> Encoded {
        let mut before = Vec::new();
        //= rfc9147#5.3-1
        put_u16(&mut before, DTLS_1_2);
        before.extend_from_slice(self.random);
        //= rfc9147#5.3-2
        put_vec8(&mut before, if self.speaks_dtls_1_2() { self.session_id } else { &[] });
        let mut after = Vec::new();
        let mut suites = Vec::new();
        self.suites.iter().for_each(|suite| put_u16(&mut suites, suite.code()));
        if self.speaks_dtls_1_2() {
            put_u16(&mut suites, RENEGOTIATION_SCSV);
        }
        put_vec16(&mut after, &suites);
        put_vec8(&mut after, &[0]);
        self.extensions().finish(&mut after);
        let mut encoded = Encoded { before, after };
        if let Some((_, hash)) = self.psk {
            let body = encoded.with_cookie(&[]);
            let signed = body.len().saturating_sub(3 + hash.len());
            let part = body.get(..signed).unwrap_or_default();
            let binder = binder(provider, hash, psk, transcript, body.len(), part);
            let space = encoded.after.iter_mut().rev().zip(binder.as_slice().iter().rev());
            space.for_each(|(to, from)| *to = *from);
        }
        encoded
    }

    fn speaks_dtls_1_2(&self) -> bool {
        self.versions.contains(crate::Version::Dtls12)
    }

    fn extensions(&self) -> Writer {
        let mut writer = Writer::default();
        // First, so that a server can judge a hello in fragments by the first of them.
        //= rfc9147#5.1-1
        if let Some(cookie) = self.cookie {
            let mut body = Vec::new();
            put_vec16(&mut body, cookie);
            writer.put(kind::COOKIE, &body);
        }
        match self.speaks_dtls_1_2() {
            true => writer.put(kind::SUPPORTED_VERSIONS, &[4, 0xFE, 0xFC, 0xFE, 0xFD]),
            false => writer.put(kind::SUPPORTED_VERSIONS, &[2, 0xFE, 0xFC]),
        }
        if let Some(cid) = self.own_cid {
            writer.connection_id(cid);
            //= rfc9853#3-1
            if self.rrc {
                writer.put(kind::RRC, &[]);
            }
        }
        if self.speaks_dtls_1_2() {
            writer.extended_master_secret();
            if let Some(ticket) = self.ticket {
                writer.put(kind::SESSION_TICKET, ticket);
            }
        }
        if !self.groups.is_empty() {
            writer.groups(self.groups.iter().copied());
            self.put_share(&mut writer);
            if self.speaks_dtls_1_2() {
                writer.point_formats();
            }
        }
        self.put_certificates(&mut writer);
        if let Some(name) = self.server_name {
            negotiation::put_server_name(&mut writer, name);
        }
        if let Some(limit) = self.record_size_limit {
            negotiation::put_record_size_limit(&mut writer, limit);
        }
        self.put_psk(&mut writer);
        writer
    }

    fn put_share(&self, writer: &mut Writer) {
        let mut list = Vec::new();
        if let Some((group, share)) = self.share {
            put_u16(&mut list, group.code());
            put_vec16(&mut list, share);
        }
        let mut body = Vec::new();
        put_vec16(&mut body, &list);
        writer.put(kind::KEY_SHARE, &body);
    }

    fn put_certificates(&self, writer: &mut Writer) {
        if self.server_types.is_empty() {
            return;
        }
        writer.put(kind::SIGNATURE_ALGORITHMS, &encode_schemes());
        // RFC 7250 section 4.1: left out where X.509 is all there is.
        let both =
            [(kind::SERVER_CERTIFICATE_TYPE, self.server_types), (kind::CLIENT_CERTIFICATE_TYPE, self.client_types)];
        for (kind, types) in both.into_iter().filter(|(_, types)| !matches!(types, [] | [CertificateType::X509])) {
            let mut body = Vec::new();
            let codes: Vec<u8> = types.iter().map(|each| *each as u8).collect();
            put_vec8(&mut body, &codes);
            writer.put(kind, &body);
        }
    }

    /// The binder's place stays empty.
    fn put_psk(&self, writer: &mut Writer) {
        let Some((identity, hash)) = self.psk else {
            return;
        };
        let mode = if self.groups.is_empty() { PSK_KE } else { PSK_DHE_KE };
        writer.put(kind::PSK_KEY_EXCHANGE_MODES, &[1, mode]);
        let mut identities = Vec::new();
        put_vec16(&mut identities, identity);
        identities.extend_from_slice(&[0; 4]);
        let mut binders = Vec::new();
        put_vec8(&mut binders, Digest::zeros(hash).as_slice());
        let mut body = Vec::new();
        put_vec16(&mut body, &identities);
        put_vec16(&mut body, &binders);
        writer.put(kind::PRE_SHARED_KEY, &body);
    }
}

/// What a pre-shared key signs (RFC 8446 section 4.2.11.2): all up to the hello of `length` bytes, without its binders.
pub(crate) fn binder(
    provider: &'static Provider,
    hash: Hash,
    psk: &[u8],
    transcript: &Transcript,
    length: usize,
    part: &[u8],
) -> Digest {
    let key = Schedule::start(provider, hash, Some(psk)).binder_key();
    let signed = transcript.hash_with(provider, hash, message::CLIENT_HELLO, length, part);
    verify_data(provider, hash, &key, &signed)
}

/// The random in a hello of which only the first bytes are there.
pub(crate) fn leading_random(part: &[u8]) -> Option<&[u8; 32]> {
    part.get(2..)?.first_chunk()
}

/// The cookie in a hello of which only the first bytes are there.
pub(crate) fn leading_cookie(part: &[u8]) -> Option<&[u8]> {
    let mut reader = Reader::new(part);
    reader.take(34).ok()?;
    reader.vec8().ok()?;
    reader.vec8().ok()?;
    reader.vec16().ok()?;
    reader.vec8().ok()?;
    reader.u16().ok()?;
    loop {
        let each = reader.u16().ok()?;
        let body = reader.vec16().ok()?;
        if each == kind::COOKIE {
            return decode_cookie(body).ok();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use bartizan_crypto::RUSTCRYPTO;

    fn hello<'a>(cookie: Option<&'a [u8]>) -> Hello<'a> {
        Hello {
            random: &[7; 32],
            versions: Versions::BOTH,
            session_id: &[6; 32],
            ticket: Some(b"ticket"),
            suites: &[CipherSuite::Aes128GcmSha256, CipherSuite::PskAes128Ccm8],
            cookie,
            own_cid: Some(&ConnectionId::EMPTY),
            rrc: true,
            groups: &[Group::X25519MlKem768, Group::X25519],
            share: Some((Group::X25519, &[9; 32])),
            psk: Some((b"meter-1", Hash::Sha256)),
            server_types: &[CertificateType::RawPublicKey],
            client_types: &[],
            server_name: Some("server.example"),
            record_size_limit: Some(512),
        }
    }

    #[test]
    fn offers_read_what_they_write() {
        for cookie in [None, Some(&b"cookie"[..])] {
            let body = hello(cookie).encode(&RUSTCRYPTO, &Transcript::default(), b"key").with_cookie(&[]);
            let decoded = ClientHello::decode(&body).unwrap();
            assert!(offers_dtls_1_3(&decoded));
            assert_eq!(decoded.session_id, [6; 32]);
            assert_eq!(decoded.extensions.body(kind::SESSION_TICKET), Some(&b"ticket"[..]));
            let only_1_3 = Hello { versions: Versions::DTLS_1_3, ..hello(cookie) };
            let only_1_3 = only_1_3.encode(&RUSTCRYPTO, &Transcript::default(), b"key").with_cookie(&[]);
            let only_1_3 = ClientHello::decode(&only_1_3).unwrap();
            assert!(only_1_3.session_id.is_empty() && only_1_3.extensions.body(kind::SESSION_TICKET).is_none());
            let offer = Offer::read(&decoded).unwrap();
            assert_eq!(offer.cookie, cookie);
            assert_eq!(leading_cookie(&body), cookie);
            assert!(offer.has_group(Group::X25519MlKem768) && !offer.has_group(Group::Secp256r1));
            assert_eq!(offer.share(Group::X25519), Some(&[9; 32][..]));
            assert_eq!(offer.share(Group::X25519MlKem768), None);
            assert!(offer.takes_scheme(0x0403) && !offer.takes_scheme(0x0401));
            assert_eq!((offer.server_types, offer.client_types), (&[2][..], &[0][..]));
            assert_eq!(offer.record_size_limit, Some(512));
            let psk = offer.psk.unwrap();
            assert_eq!((psk.identity, psk.plain, psk.ephemeral), (&b"meter-1"[..], false, true));
            let part = &body[..body.len() - psk.binders_len];
            let expected = binder(&RUSTCRYPTO, Hash::Sha256, b"key", &Transcript::default(), body.len(), part);
            assert_eq!(psk.binder, expected.as_slice());
        }
    }

    #[test]
    fn what_must_not_be_is_refused() {
        let body = hello(None).encode(&RUSTCRYPTO, &Transcript::default(), b"key").with_cookie(b"x");
        assert!(Offer::read(&ClientHello::decode(&body).unwrap()).is_err(), "a legacy cookie");
        let mut writer = hello(None).extensions();
        writer.put(0x5A5A, &[]);
        let mut body = alloc::vec![0xFE, 0xFD];
        body.extend_from_slice(&[0; 34]);
        body.extend_from_slice(&[0, 2, 0x13, 1, 1, 0]);
        writer.finish(&mut body);
        assert!(Offer::read(&ClientHello::decode(&body).unwrap()).is_err(), "pre_shared_key is not the last");
    }
}
