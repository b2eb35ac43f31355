//! The client's handshake: what each message leads to.

use alloc::boxed::Box;
use alloc::vec::Vec;

use bartizan_crypto::{Provider, Random, Secret};
use bartizan_wire::record::ContentType;

use super::ClientConfig;
use super::association::Association;
use super::phase::{Path, Phase};
use crate::codec::try_copy;
use crate::handshake::flight::{Item, Packer};
use crate::handshake::message::{self, Kind, Message};
use crate::handshake::negotiation::RecordLimits;
use crate::handshake::reassembly::Reassembly;
use crate::handshake::timer::Timer;
use crate::handshake::transcript::Transcript;
use crate::handshake::{exchange, hello, ticket};
use crate::hash::Hash;
use crate::record;
use crate::schedule::{self, Keys, Randoms, Side};
use crate::v13::offer::Encoded;
use crate::{
    AlertDescription, CertificateType, CipherSuite, ConnectionId, Error, Group, Instant, KeyExchange, VerifiedPeer,
    limits,
};

pub(super) struct Handshake {
    pub phase: Phase,
    pub reassembly: Reassembly,
    pub timer: Timer,
    /// There as soon as the keys are; its Finished is not verified until [`Phase::Done`].
    pub association: Option<Association>,
    /// The last fatal alert in the clear, believed only if silence follows.
    pub alert: Option<AlertDescription>,
    pub(super) config: ClientConfig,
    /// Those of the configuration that we have keys for.
    pub(super) suites: Vec<CipherSuite>,
    pub(super) random: [u8; 32],
    seed: Secret<32>,
    cookie: Vec<u8>,
    pub(super) server_random: [u8; 32],
    pub(super) suite: Option<CipherSuite>,
    pub(super) path: Path,
    pub(super) cids: Option<(ConnectionId, ConnectionId)>,
    pub(super) limits: RecordLimits,
    /// What the server's Certificate holds, and ours.
    pub(super) server_kind: CertificateType,
    pub(super) client_kind: CertificateType,
    pub(super) peer: Option<VerifiedPeer>,
    /// Whether a CertificateRequest came, and whether we can answer it.
    pub(super) asked: Option<bool>,
    pub(super) session_id: Vec<u8>,
    pub(super) ticket_promised: bool,
    pub(super) ticket: Option<Vec<u8>>,
    server_share: Option<(Group, Vec<u8>)>,
    pub(super) keys: Option<Keys>,
    pub(super) transcript: Transcript,
    pub(super) flight: Vec<Item>,
    pub(super) message_sequence: u16,
    record_sequence: u64,
    verify_requests: u8,
    /// The hello, if it offers DTLS 1.3 as well.
    pub(super) template: Option<Encoded>,
}

impl Handshake {
    /// Prepares the first flight; [`Self::transmit`] sends it.
    pub fn new(config: ClientConfig, now: Instant, rng: &mut dyn Random) -> Result<Box<Self>, Error> {
        let mut handshake = Self::begin(config, now, rng);
        handshake.put_hello(&[])?;
        Ok(handshake)
    }

    #[inline(never)] // so that what it builds leaves the stack before a cipher needs it
    fn begin(config: ClientConfig, now: Instant, rng: &mut dyn Random) -> Box<Self> {
        let mut random = [0; 32];
        rng.fill(&mut random);
        let mut seed = Secret::new([0; 32]);
        rng.fill(seed.expose_mut());
        let suites = config.usable_suites();
        let mut reassembly = Reassembly::new(0);
        if suites.iter().any(|suite| Path::of(*suite) == Path::Certified) {
            reassembly.expect_certificates();
        }
        Box::new(Self {
            phase: Phase::Hello,
            reassembly,
            timer: Timer::start(now, config.retransmit_ms),
            association: None,
            alert: None,
            config,
            suites,
            random,
            seed,
            cookie: Vec::new(),
            server_random: [0; 32],
            suite: None,
            path: Path::Psk,
            cids: None,
            limits: RecordLimits::NONE,
            server_kind: CertificateType::X509,
            client_kind: CertificateType::X509,
            peer: None,
            asked: None,
            session_id: Vec::new(),
            ticket_promised: false,
            ticket: None,
            server_share: None,
            keys: None,
            transcript: Transcript::default(),
            flight: Vec::new(),
            message_sequence: 0,
            record_sequence: 0,
            verify_requests: 0,
            template: None,
        })
    }

    /// Goes on from a hello that offered DTLS 1.3 as well and is out already.
    pub fn from_hello(
        config: ClientConfig,
        now: Instant,
        rng: &mut dyn Random,
        random: [u8; 32],
        template: Encoded,
        record_sequence: u64,
    ) -> Result<Box<Self>, Error> {
        let mut handshake = Self::begin(config, now, rng);
        handshake.random = random;
        handshake.record_sequence = record_sequence;
        handshake.template = Some(template);
        handshake.put_hello(&[])?;
        Ok(handshake)
    }

    /// The next record number of epoch 0, for an alert.
    pub const fn next_record_sequence(&mut self) -> u64 {
        let sequence = self.record_sequence;
        self.record_sequence += 1;
        sequence
    }

    /// An alert: protected once our ChangeCipherSpec is out.
    pub fn seal_alert(&mut self, alert: [u8; 2]) -> Option<Vec<u8>> {
        let protected = self.flight.iter().any(|item| matches!(item, Item::Protected(_)));
        if let Some(association) = self.association.as_mut().filter(|_| protected) {
            return association.seal(ContentType::ALERT, &alert).ok();
        }
        let sequence = self.next_record_sequence();
        Some(record::plain(ContentType::ALERT, sequence, &alert))
    }

    /// Seals or repeats the current flight into datagrams.
    pub fn transmit(&mut self) -> impl Iterator<Item = Vec<u8>> {
        let association = &mut self.association;
        let packer = Packer::new(self.config.mtu, &mut self.record_sequence);
        let mut packer = packer.with_fragments_of(self.limits.clear_bytes_max());
        packer.flight(&self.flight, |message| {
            let association = association.as_mut()?;
            association.seal(ContentType::HANDSHAKE, message).ok()
        });
        packer.finish().into_iter()
    }

    /// Takes in a whole message that is due. `Ok(true)` means that a new flight waits to be sent.
    pub fn on_message(&mut self, message: &Message) -> Result<bool, Error> {
        const OUT_OF_PLACE: Error = Error::Misbehaved("a handshake message out of place");
        // Only the hello says which path the rest takes.
        if self.phase == Phase::Hello && message.kind == Kind::ServerHello {
            self.on_server_hello(&message.body)?;
        }
        let next = self.phase.after(message.kind, self.path, self.ticket_promised).ok_or(OUT_OF_PLACE)?;
        match message.kind {
            Kind::HelloVerifyRequest => return self.on_verify_request(&message.body),
            Kind::ServerHello => {}
            Kind::Certificate => self.on_certificate(&message.body)?,
            Kind::ServerKeyExchange => self.on_server_key_exchange(&message.body)?,
            Kind::CertificateRequest => self.on_certificate_request(&message.body)?,
            Kind::ServerHelloDone => return self.on_server_hello_done(message, next),
            Kind::NewSessionTicket => self.keep_ticket(ticket::decode(&message.body)?)?,
            Kind::Finished => return self.on_finished(message, next),
            _ => return Err(OUT_OF_PLACE),
        }
        self.append(message)?;
        self.phase = next;
        Ok(false)
    }

    /// ChangeCipherSpec counts only where it belongs (RFC 5246 section 7.1).
    pub fn on_change_cipher_spec(&mut self) -> Result<(), Error> {
        match self.phase {
            Phase::ChangeCipherSpec => {
                self.phase = Phase::Finished;
                Ok(())
            }
            _ => Err(Error::Misbehaved("ChangeCipherSpec out of place")),
        }
    }

    /// Whether the peer has nothing more to say in the clear.
    pub const fn awaits_protected(&self) -> bool {
        matches!(self.phase, Phase::ChangeCipherSpec | Phase::Finished)
    }

    //= rfc6347#4.2.1-1
    //= rfc6347#4.2.1-10
    //= rfc6347#4.2.1-s6
    //= rfc6347#5-1
    /// RFC 6347 section 4.2.1: the same hello again, with the cookie; a repeated request changes nothing. The number of rounds is bounded, since
    /// anybody can send such requests.
    pub fn on_verify_request(&mut self, body: &[u8]) -> Result<bool, Error> {
        let cookie = hello::decode_verify_request(body)?;
        if cookie == self.cookie && self.verify_requests > 0 {
            return Ok(false);
        }
        self.verify_requests += 1;
        if self.verify_requests > limits::VERIFY_REQUESTS_MAX {
            return Err(Error::Misbehaved("cookies without end"));
        }
        let cookie = try_copy(cookie).ok_or(Error::Unavailable("no memory for a cookie"))?;
        self.message_sequence += 1;
        self.reassembly.restart(self.message_sequence);
        self.put_hello(&cookie)?;
        self.cookie = cookie;
        Ok(true)
    }

    fn on_server_key_exchange(&mut self, body: &[u8]) -> Result<(), Error> {
        let exchange = exchange::decode_server(self.chosen_suite()?, body)?;
        if self.path == Path::Certified {
            self.check_server_signature(exchange.signed)?;
        }
        let Some(share) = exchange.share else {
            return Ok(());
        };
        if !self.config.groups.contains(&share.group) {
            return Err(Error::Misbehaved("a group that was not offered"));
        }
        let copy = try_copy(share.share).ok_or(Error::Unavailable("no memory for a share"))?;
        self.server_share = Some((share.group, copy));
        Ok(())
    }

    /// The server has said everything: Certificate (if asked), ClientKeyExchange, CertificateVerify (if shown),
    /// ChangeCipherSpec, Finished.
    fn on_server_hello_done(&mut self, message: &Message, next: Phase) -> Result<bool, Error> {
        if !message.body.is_empty() {
            return Err(Error::Malformed("a ServerHelloDone with content"));
        }
        self.append(message)?;
        let suite = self.chosen_suite()?;
        self.flight.clear();
        self.put_certificate()?;
        let (own_share, shared) = self.agree()?;
        let identity = Some(&*self.config.identity).filter(|_| suite.is_psk());
        let body = exchange::encode_client(identity, own_share.as_deref());
        let exchange = self.next_message(Kind::ClientKeyExchange, &body)?;
        self.flight.push(Item::Plain(exchange));
        let keys = schedule::derive(
            self.config.provider,
            suite,
            Some(&self.config.psk).filter(|_| suite.key_exchange() != KeyExchange::EcdheEcdsa),
            shared.as_ref(),
            &self.randoms(),
            &self.transcript.hash(self.config.provider, suite.hash()),
        );
        self.put_certificate_verify()?;
        self.put_finished(&keys)?;
        self.association = Some(self.associate(suite, &keys));
        self.keys = Some(keys);
        self.phase = next;
        Ok(true)
    }

    fn put_finished(&mut self, keys: &Keys) -> Result<(), Error> {
        let verify_data = self.verify_data(keys, Side::Client);
        let finished = self.next_message(Kind::Finished, &verify_data)?;
        self.flight.extend([Item::ChangeCipherSpec, Item::Protected(finished)]);
        Ok(())
    }

    /// RFC 5246 section 7.4.9. That the record opened says the same, but the rule is the rule. In a resumed session
    /// the last word is ours (RFC 5246 figure 2): `Ok(true)`.
    fn on_finished(&mut self, message: &Message, next: Phase) -> Result<bool, Error> {
        let keys = self.keys.take().ok_or(Error::Misbehaved("Finished without keys"))?;
        let expected = self.verify_data(&keys, Side::Server);
        if !bartizan_crypto::constant_time_eq(&expected, &message.body) {
            return Err(Error::ANOTHER_FINISHED);
        }
        self.append(message)?;
        self.phase = next;
        let resumed = self.path == Path::Resumed;
        if resumed {
            self.flight.clear();
            self.put_finished(&keys)?;
        }
        self.keys = Some(keys);
        Ok(resumed)
    }

    /// The last flight, for a server that has not seen it (RFC 6347 section 4.2.4).
    pub fn last_flight(&mut self) -> Option<super::association::LastFlight> {
        let finished = self.flight.iter().find_map(|item| match item {
            Item::Protected(finished) => try_copy(finished),
            _ => None,
        });
        let record_sequence = self.record_sequence;
        finished.map(|finished| super::association::LastFlight { finished, record_sequence })
    }

    /// Our share and the shared secret of an ECDHE suite.
    fn agree(&self) -> Result<(Option<Vec<u8>>, Option<Secret<32>>), Error> {
        let Some((group, peer)) = &self.server_share else {
            return Ok((None, None));
        };
        let provider = self.config.provider;
        let agreement = group.agreement(provider);
        let pair = (agreement.generate)(&mut self.expand(b"ecdhe"));
        let shared =
            (agreement.agree)(&pair.private, peer).ok_or(Error::Misbehaved("the server's share is not a valid one"))?;
        Ok((Some(pair.public.as_slice().to_vec()), Some(shared)))
    }

    fn verify_data(&self, keys: &Keys, side: Side) -> [u8; schedule::VERIFY_BYTES] {
        let provider = self.config.provider;
        let hash = self.suite.map_or(Hash::Sha256, CipherSuite::hash);
        schedule::verify_data(provider, hash, &keys.master, side, &self.transcript.hash(provider, hash))
    }

    pub(super) const fn randoms(&self) -> Randoms {
        Randoms { client: self.random, server: self.server_random }
    }

    /// Randomness for a purpose, from what was drawn when the caller's source was at hand.
    pub(super) const fn expand(&self, purpose: &'static [u8]) -> Expand<'_> {
        Expand { provider: self.config.provider, seed: &self.seed, purpose, counter: 0 }
    }

    fn chosen_suite(&self) -> Result<CipherSuite, Error> {
        self.suite.ok_or(Error::Misbehaved("no suite was chosen"))
    }

    /// Encodes a message of ours and adds it to the transcript.
    pub(super) fn next_message(&mut self, kind: Kind, body: &[u8]) -> Result<Vec<u8>, Error> {
        self.message_sequence += 1;
        let message = message::encode(kind, self.message_sequence, body);
        self.transcript.append(&message)?;
        Ok(message)
    }

    fn append(&mut self, message: &Message) -> Result<(), Error> {
        let bytes = message::encode(message.kind, message.sequence, &message.body);
        self.transcript.append(&bytes)
    }
}

/// Randomness for a key that is made later than the caller's source was at hand.
pub(super) struct Expand<'a> {
    provider: &'static Provider,
    seed: &'a Secret<32>,
    purpose: &'static [u8],
    counter: u64,
}

impl Random for Expand<'_> {
    fn fill(&mut self, out: &mut [u8]) {
        for chunk in out.chunks_mut(32) {
            let counter = self.counter.to_be_bytes();
            let block = (self.provider.hmac_sha256)(self.seed.expose(), &[self.purpose, &counter]);
            chunk.iter_mut().zip(block).for_each(|(to, from)| *to = from);
            self.counter += 1;
        }
    }
}
