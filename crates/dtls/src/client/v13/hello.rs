//! Our hellos and the server's (RFC 8446 sections 4.1.2 to 4.1.4).

use bartizan_crypto::SecretBytes;

use super::handshake::{Handshake, Phase};
use crate::codec::try_copy;
use crate::credential::CertificateType;
use crate::handshake::extension::kind;
use crate::handshake::message::HEADER_BYTES;
use crate::v13::Fault;
use crate::v13::flight::Outgoing;
use crate::v13::hello::{ServerHello, decode_cookie, decode_share};
use crate::v13::messages::kind as message;
use crate::v13::offer::Hello;
use crate::v13::schedule::Schedule;
use crate::v13::sealer::HandshakeKeys;
use crate::v13::share::Share;
use crate::v13::transcript::Transcript;
use crate::{AlertDescription, CipherSuite, ClientResumption, Error, Group, Version};

/// What a HelloRetryRequest may hold, and a ServerHello.
const IN_RETRY: [u16; 3] = [kind::SUPPORTED_VERSIONS, kind::KEY_SHARE, kind::COOKIE];
const IN_HELLO: [u16; 5] =
    [kind::SUPPORTED_VERSIONS, kind::KEY_SHARE, kind::PRE_SHARED_KEY, kind::CONNECTION_ID, kind::RRC];

/// What a server of DTLS 1.2 usually takes for its cookie.
const COOKIE_BYTES_USUAL: usize = 64;

impl Handshake {
    /// The first hello fits one datagram: a server could not answer a part of it without keeping state. So the share
    /// of the hybrid group, which is longer than that, waits until the server asks for it.
    pub(super) fn put_first_hello(&mut self) -> Result<(), Error> {
        let group = self.config.groups.first().copied().filter(|group| *group != Group::X25519MlKem768);
        self.share = group.map(|group| Share::generate(self.config.provider, group, &mut self.rng));
        self.put_hello(None)?;
        let offers = matches!(self.config.resumption, ClientResumption::Offer(_));
        if offers && !self.hello_fits(COOKIE_BYTES_USUAL) {
            // Its session is too much: a full handshake, then.
            self.config.resumption = ClientResumption::Ask;
            self.transcript = Transcript::default();
            self.message_sequence = 0;
            self.put_hello(None)?;
        }
        match self.hello_fits(0) {
            true => Ok(()),
            false => Err(Error::Misuse("the first hello is longer than the MTU allows")),
        }
    }

    /// Whether the hello fits one datagram, and `more` bytes with it.
    fn hello_fits(&self, more: usize) -> bool {
        let headers = bartizan_wire::record::HEADER_BYTES + HEADER_BYTES;
        self.hello.with_cookie(&[]).len() + headers + more <= self.config.mtu
    }

    //= rfc9147#5.1-3
    fn put_hello(&mut self, cookie: Option<&[u8]>) -> Result<(), Error> {
        let provider = self.config.provider;
        let server_types = self.config.verifier.as_ref().map(|verifier| verifier.kinds()).unwrap_or_default();
        let client_type = self.config.credential.as_ref().map(|credential| credential.kind);
        let client_types = client_type.filter(|_| !server_types.is_empty());
        let suites = |suite: &&CipherSuite| self.config.versions.contains(suite.version());
        let suites: alloc::vec::Vec<_> = self.config.suites.iter().filter(suites).copied().collect();
        let share = self.share.as_ref().map(|share| (share.group, share.public()));
        let psk = self.psk_hash();
        // After a HelloRetryRequest for a suite with another hash, the key has no place (RFC 8446 section 4.1.4).
        let psk = (!self.config.psk.is_empty() && self.suite.is_none_or(|suite| suite.hash() == psk)).then_some(psk);
        let (session_id, ticket) = self.config.resumption.in_hello(&self.random);
        let hello = Hello {
            random: &self.random,
            versions: self.config.versions,
            session_id,
            ticket,
            suites: &suites,
            cookie,
            own_cid: self.config.own_cid.as_ref(),
            rrc: self.config.rrc,
            groups: &self.config.groups,
            share: share.as_ref().map(|(group, share)| (*group, &**share)),
            psk: psk.map(|hash| (&*self.config.identity, hash)),
            server_types,
            client_types: client_types.as_slice(),
            server_name: self.config.server_name.as_deref(),
            record_size_limit: self.config.record_size_limit,
        };
        let encoded = hello.encode(provider, &self.transcript, self.config.psk.expose());
        //= rfc9147#5.1-2
        //= rfc9147#5.3-3
        let body = encoded.with_cookie(&[]);
        self.hello = encoded;
        self.transcript.append(message::CLIENT_HELLO, &body)?;
        self.flight.clear();
        self.flight.push(Outgoing { kind: message::CLIENT_HELLO, sequence: self.message_sequence, epoch: 0, body });
        self.message_sequence += 1;
        Ok(())
    }

    /// RFC 8446 section 4.1.4: the same hello again, with what was asked for.
    pub(super) fn on_retry_request(&mut self, body: &[u8], next: Phase) -> Result<bool, Fault> {
        let hello = ServerHello::decode(body)?;
        if !hello.is_dtls_1_3 {
            return Err(Error::Misbehaved("a HelloRetryRequest of another version").into());
        }
        if !hello.extensions.are_among(&IN_RETRY) {
            return Err(unsupported());
        }
        let suite = self.offered_suite(hello.suite)?;
        let asked = match hello.extensions.body(kind::KEY_SHARE) {
            Some(&[high, low]) => Some(self.has_group(u16::from_be_bytes([high, low]))),
            Some(_) => return Err(Error::Malformed("a group has the wrong length").into()),
            None => None,
        };
        let cookie = hello.extensions.body(kind::COOKIE).map(decode_cookie).transpose()?;
        match asked {
            Some(None) => return Err(Error::Misbehaved("a group that was not offered").into()),
            Some(Some(group)) if self.share.as_ref().is_some_and(|share| share.group == group) => {
                return Err(Error::Misbehaved("a share that is there").into());
            }
            Some(Some(group)) => self.share = Some(Share::generate(self.config.provider, group, &mut self.rng)),
            None if cookie.is_none() => return Err(Error::Misbehaved("a HelloRetryRequest for nothing").into()),
            None => {}
        }
        let cookie = cookie.map(|cookie| try_copy(cookie).ok_or(Error::Unavailable("no memory for a cookie")));
        let cookie = cookie.transpose()?;
        self.suite = Some(suite);
        let first = self.transcript.hash(self.config.provider, suite.hash());
        self.transcript.retry(&first)?;
        self.transcript.append(message::SERVER_HELLO, body)?;
        self.put_hello(cookie.as_deref())?;
        self.phase = next;
        Ok(true)
    }

    pub(super) fn on_server_hello(&mut self, body: &[u8], next: Phase) -> Result<bool, Fault> {
        let provider = self.config.provider;
        let hello = ServerHello::decode(body)?;
        if !hello.is_dtls_1_3 {
            return Err(Fault::new(
                AlertDescription::PROTOCOL_VERSION,
                Error::Unsupported("the server has no DTLS 1.3"),
            ));
        }
        if !hello.extensions.are_among(&IN_HELLO) {
            return Err(unsupported());
        }
        let suite = self.offered_suite(hello.suite)?;
        if self.suite.is_some_and(|before| before != suite) {
            return Err(Error::Misbehaved("another suite than in the HelloRetryRequest").into());
        }
        let psk = self.accepted_psk(&hello, suite)?;
        let shared = self.agree(&hello, psk)?;
        self.cids = match (self.config.own_cid, hello.extensions.connection_id) {
            (Some(own), Some(peer)) => Some((own, peer)),
            (None, Some(_)) => return Err(unsupported()),
            // Without it the server could not tell us from others.
            (_, None) if hello.extensions.body(kind::CONNECTION_ID).is_some() => {
                return Err(Error::Unsupported("the server's Connection ID is too long for us").into());
            }
            (_, None) => None,
        };
        // RFC 9853 section 3: an empty answer to our offer, where a Connection ID was negotiated.
        let rrc = hello.extensions.body(kind::RRC);
        if rrc.is_some_and(|body| !self.config.rrc || self.cids.is_none() || !body.is_empty()) {
            return Err(unsupported());
        }
        self.transcript.append(message::SERVER_HELLO, body)?;
        let key = psk.then(|| self.config.psk.expose());
        let mut schedule = Schedule::start(provider, suite.hash(), key);
        schedule.advance(shared.as_ref().map(SecretBytes::expose));
        let transcript = self.transcript.hash(provider, suite.hash());
        let read = schedule.derive("s hs traffic", &transcript);
        let write = schedule.derive("c hs traffic", &transcript);
        let peer_cid = self.cids.map(|(_, peer)| peer).unwrap_or_default();
        self.keys = Some(HandshakeKeys::new(provider, suite, read, write, peer_cid));
        self.schedule = Some(schedule);
        self.suite = Some(suite);
        self.psk = psk;
        self.share = None;
        self.phase = next;
        Ok(false)
    }

    fn offered_suite(&self, code: u16) -> Result<CipherSuite, Error> {
        CipherSuite::from_code(code)
            .filter(|suite| suite.version() == Version::Dtls13 && self.config.suites.contains(suite))
            .ok_or(Error::Misbehaved("a cipher suite that was not offered"))
    }

    fn accepted_psk(&self, hello: &ServerHello<'_>, suite: CipherSuite) -> Result<bool, Fault> {
        match hello.extensions.body(kind::PRE_SHARED_KEY) {
            None if self.config.verifier.is_none() => {
                let error = Error::Unsupported("the server does not take the pre-shared key");
                Err(Fault::new(AlertDescription::HANDSHAKE_FAILURE, error))
            }
            None => Ok(false),
            Some(_) if self.config.psk.is_empty() => Err(unsupported()),
            Some([0, 0]) if suite.hash() == self.psk_hash() => Ok(true),
            Some(_) => Err(Error::Misbehaved("a pre-shared key that was not offered").into()),
        }
    }

    /// The secret of the ephemeral exchange; `None` with a pre-shared key alone, which only clients without groups
    /// offer.
    fn agree(&self, hello: &ServerHello<'_>, psk: bool) -> Result<Option<SecretBytes>, Fault> {
        let Some(body) = hello.extensions.body(kind::KEY_SHARE) else {
            return match psk && self.config.groups.is_empty() {
                true => Ok(None),
                false => Err(Fault::new(AlertDescription::MISSING_EXTENSION, Error::Misbehaved("no share"))),
            };
        };
        let (group, peer) = decode_share(body)?;
        let share = self.share.as_ref().filter(|share| share.group.code() == group);
        let share = share.ok_or(Error::Misbehaved("a share that was not asked for"))?;
        let shared = share.agree(self.config.provider, peer);
        Ok(Some(shared.ok_or(Error::Misbehaved("the server's share is not a valid one"))?))
    }

    /// What certificates the server may show.
    pub(super) fn takes_type(&self, kind: CertificateType) -> bool {
        self.config.verifier.as_ref().is_some_and(|verifier| verifier.kinds().contains(&kind))
    }
}

pub(super) fn unsupported() -> Fault {
    Fault::new(AlertDescription::UNSUPPORTED_EXTENSION, Error::Misbehaved("an extension that was not offered"))
}
