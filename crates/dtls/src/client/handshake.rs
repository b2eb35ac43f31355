//! The client's handshake: which message may come when, and what it leads to.

use alloc::vec::Vec;

use bartizan_crypto::{Provider, Random, Secret};
use bartizan_wire::record::ContentType;

use super::ClientConfig;
use super::association::Association;
use crate::codec::try_copy;
use crate::handshake::exchange;
use crate::handshake::extension::kind;
use crate::handshake::flight::{Item, Packer};
use crate::handshake::hello::{self, Offer, ServerHello};
use crate::handshake::message::{self, Kind, Message};
use crate::handshake::reassembly::Reassembly;
use crate::handshake::timer::Timer;
use crate::handshake::transcript::Transcript;
use crate::hash::Hash;
use crate::schedule::{self, Keys, Randoms, Side};
use crate::v13::hello::is_downgrade;
use crate::v13::offer::Encoded;
use crate::{AlertDescription, CipherSuite, ConnectionId, Error, Group, Instant, Version, limits};

use kind::{CONNECTION_ID, EC_POINT_FORMATS, EXTENDED_MASTER_SECRET, RENEGOTIATION_INFO, RRC};

/// What a ServerHello may answer.
const OFFERED: [u16; 5] = [EXTENDED_MASTER_SECRET, CONNECTION_ID, RENEGOTIATION_INFO, EC_POINT_FORMATS, RRC];

/// What the client waits for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Phase {
    Hello,
    KeyExchange,
    HelloDone,
    ChangeCipherSpec,
    Finished,
    Done,
}

impl Phase {
    /// The transition table (RFC 6347 figure 1, RFC 4279 section 2): the phase after `message`, or `None` if it has
    /// no place here. `ecdhe` makes ServerKeyExchange, which plain PSK may leave out, a must.
    pub const fn after(self, message: Kind, ecdhe: bool) -> Option<Self> {
        match (self, message) {
            (Self::Hello, Kind::HelloVerifyRequest) => Some(Self::Hello),
            (Self::Hello, Kind::ServerHello) => Some(Self::KeyExchange),
            (Self::KeyExchange, Kind::ServerKeyExchange) => Some(Self::HelloDone),
            (Self::KeyExchange, Kind::ServerHelloDone) if !ecdhe => Some(Self::ChangeCipherSpec),
            (Self::HelloDone, Kind::ServerHelloDone) => Some(Self::ChangeCipherSpec),
            (Self::Finished, Kind::Finished) => Some(Self::Done),
            _ => None,
        }
    }
}

pub(super) struct Handshake {
    pub phase: Phase,
    pub reassembly: Reassembly,
    pub timer: Timer,
    /// There as soon as the keys are; its Finished is not verified until [`Phase::Done`].
    pub association: Option<Association>,
    /// The last fatal alert in the clear, believed only if silence follows.
    pub alert: Option<AlertDescription>,
    config: ClientConfig,
    random: [u8; 32],
    seed: Secret<32>,
    cookie: Vec<u8>,
    server_random: [u8; 32],
    suite: Option<CipherSuite>,
    cids: Option<(ConnectionId, ConnectionId)>,
    server_share: Option<(Group, Vec<u8>)>,
    keys: Option<Keys>,
    transcript: Transcript,
    flight: Vec<Item>,
    message_sequence: u16,
    record_sequence: u64,
    verify_requests: u8,
    /// The hello, if it offers DTLS 1.3 as well.
    template: Option<Encoded>,
}

impl Handshake {
    /// Prepares the first flight; [`Self::transmit`] sends it.
    pub fn new(config: ClientConfig, now: Instant, rng: &mut dyn Random) -> Result<Self, Error> {
        let mut random = [0; 32];
        rng.fill(&mut random);
        let mut seed = Secret::new([0; 32]);
        rng.fill(seed.expose_mut());
        let mut handshake = Self {
            phase: Phase::Hello,
            reassembly: Reassembly::new(0),
            timer: Timer::start(now, config.retransmit_ms),
            association: None,
            alert: None,
            config,
            random,
            seed,
            cookie: Vec::new(),
            server_random: [0; 32],
            suite: None,
            cids: None,
            server_share: None,
            keys: None,
            transcript: Transcript::default(),
            flight: Vec::new(),
            message_sequence: 0,
            record_sequence: 0,
            verify_requests: 0,
            template: None,
        };
        handshake.put_hello(&[])?;
        Ok(handshake)
    }

    /// Goes on from a hello that offered DTLS 1.3 as well and is out already.
    pub fn from_hello(
        config: ClientConfig,
        now: Instant,
        rng: &mut dyn Random,
        random: [u8; 32],
        template: Encoded,
        record_sequence: u64,
    ) -> Result<Self, Error> {
        let handshake = Self::new(config, now, rng)?;
        let mut handshake = Self { random, record_sequence, template: Some(template), ..handshake };
        handshake.put_hello(&[])?;
        Ok(handshake)
    }

    /// The next record number of epoch 0, for an alert.
    pub const fn next_record_sequence(&mut self) -> u64 {
        let sequence = self.record_sequence;
        self.record_sequence += 1;
        sequence
    }

    fn is_ecdhe(&self) -> bool {
        self.suite.is_some_and(CipherSuite::is_ecdhe)
    }

    /// Seals or repeats the current flight into datagrams.
    pub fn transmit(&mut self) -> impl Iterator<Item = Vec<u8>> {
        let association = &mut self.association;
        let mut packer = Packer::new(self.config.mtu, &mut self.record_sequence);
        packer.flight(&self.flight, |message| {
            let association = association.as_mut()?;
            association.seal(ContentType::HANDSHAKE, message).ok()
        });
        packer.finish().into_iter()
    }

    /// Takes in a whole message that is due. `Ok(true)` means that a new flight waits to be sent.
    pub fn on_message(&mut self, message: &Message) -> Result<bool, Error> {
        let next = self
            .phase
            .after(message.kind, self.is_ecdhe())
            .ok_or(Error::Misbehaved("a handshake message out of place"))?;
        let answer = match message.kind {
            Kind::HelloVerifyRequest => return self.on_verify_request(&message.body),
            Kind::ServerHello => self.on_server_hello(&message.body)?,
            Kind::ServerKeyExchange => self.on_server_key_exchange(&message.body)?,
            Kind::ServerHelloDone => return self.on_server_hello_done(message, next),
            Kind::Finished => return self.on_finished(message, next),
            _ => return Err(Error::Misbehaved("a handshake message out of place")),
        };
        self.append(message)?;
        self.phase = next;
        Ok(answer)
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
        if cookie == self.cookie {
            return Ok(false);
        }
        self.verify_requests += 1;
        if self.verify_requests > limits::VERIFY_REQUESTS_MAX {
            return Err(Error::Misbehaved("cookies without end"));
        }
        let cookie = try_copy(cookie).ok_or(Error::Unavailable("no memory for a cookie"))?;
        self.message_sequence += 1;
        self.reassembly = Reassembly::new(self.message_sequence);
        self.put_hello(&cookie)?;
        self.cookie = cookie;
        Ok(true)
    }

    //= rfc6347#4.2.1-4
    fn put_hello(&mut self, cookie: &[u8]) -> Result<(), Error> {
        let body = match &self.template {
            Some(template) => template.with_cookie(cookie),
            None => self.offer(cookie),
        };
        let message = message::encode(Kind::ClientHello, self.message_sequence, &body);
        //= rfc6347#4.2.6-2
        self.transcript.clear();
        self.transcript.append(&message)?;
        self.flight.clear();
        self.flight.push(Item::Plain(message));
        Ok(())
    }

    fn offer(&self, cookie: &[u8]) -> Vec<u8> {
        let suites = self.config.suites.iter().copied();
        let suites: Vec<_> = suites.filter(|suite| suite.version() == Version::Dtls12).collect();
        Offer {
            random: &self.random,
            cookie,
            suites: &suites,
            own_cid: self.config.own_cid.as_ref(),
            rrc: self.config.rrc,
            groups: &self.config.groups,
        }
        .encode()
    }

    fn on_server_hello(&mut self, body: &[u8]) -> Result<bool, Error> {
        let hello = ServerHello::decode(body)?;
        // RFC 8446 section 4.1.3: somebody between us has taken DTLS 1.3 away.
        if self.config.versions.contains(Version::Dtls13) && is_downgrade(&hello.random) {
            return Err(Error::Misbehaved("a downgrade to DTLS 1.2"));
        }
        let suite = CipherSuite::from_code(hello.suite)
            .filter(|suite| suite.version() == Version::Dtls12 && self.config.suites.contains(suite))
            .ok_or(Error::Misbehaved("a cipher suite that was not offered"))?;
        let extensions = hello.extensions;
        // RFC 7627 section 5.3: without it, abort.
        if !extensions.extended_master_secret {
            return Err(Error::Unsupported("the server has no extended master secret"));
        }
        if !extensions.are_among(&OFFERED) {
            return Err(Error::Misbehaved("an extension that was not offered"));
        }
        if extensions.renegotiation_info.is_some_and(|info| !info.is_empty()) {
            return Err(Error::Misbehaved("a renegotiation without a first handshake"));
        }
        self.cids = match (self.config.own_cid, extensions.connection_id) {
            (Some(own), Some(peer)) => Some((own, peer)),
            (None, Some(_)) => return Err(Error::Misbehaved("an extension that was not offered")),
            (_, None) => None,
        };
        let rrc = extensions.body(RRC);
        if rrc.is_some_and(|body| !self.config.rrc || self.cids.is_none() || !body.is_empty()) {
            return Err(Error::Misbehaved("an extension that was not offered"));
        }
        self.server_random = hello.random;
        self.suite = Some(suite);
        Ok(false)
    }

    fn on_server_key_exchange(&mut self, body: &[u8]) -> Result<bool, Error> {
        let suite = self.chosen_suite()?;
        if let Some(share) = exchange::decode_server(suite, body)? {
            let copy = try_copy(share.share).ok_or(Error::Unavailable("no memory for a share"))?;
            self.server_share = Some((share.group, copy));
        }
        Ok(false)
    }

    /// The server has said everything: ClientKeyExchange, ChangeCipherSpec, Finished.
    fn on_server_hello_done(&mut self, message: &Message, next: Phase) -> Result<bool, Error> {
        if !message.body.is_empty() {
            return Err(Error::Malformed("a ServerHelloDone with content"));
        }
        self.append(message)?;
        let suite = self.chosen_suite()?;
        let (own_share, shared) = self.agree()?;
        let body = exchange::encode_client(&self.config.identity, own_share.as_deref());
        let exchange = self.next_message(Kind::ClientKeyExchange, &body)?;
        let keys = schedule::derive(
            self.config.provider,
            suite,
            &self.config.psk,
            shared.as_ref(),
            &Randoms { client: self.random, server: self.server_random },
            &self.transcript.hash(self.config.provider, suite.hash()),
        );
        let verify_data = self.verify_data(&keys, Side::Client);
        let finished = self.next_message(Kind::Finished, &verify_data)?;
        let (own_cid, peer_cid) = self.cids.unzip();
        self.association =
            Some(Association::new(self.config.provider, suite, &keys, own_cid, peer_cid.unwrap_or_default()));
        self.keys = Some(keys);
        self.flight.clear();
        self.flight.extend([Item::Plain(exchange), Item::ChangeCipherSpec, Item::Protected(finished)]);
        self.phase = next;
        Ok(true)
    }

    /// RFC 5246 section 7.4.9. That the record opened says the same, but the rule is the rule.
    fn on_finished(&mut self, message: &Message, next: Phase) -> Result<bool, Error> {
        let keys = self.keys.as_ref().ok_or(Error::Misbehaved("Finished without keys"))?;
        let expected = self.verify_data(keys, Side::Server);
        if !bartizan_crypto::constant_time_eq(&expected, &message.body) {
            return Err(Error::Misbehaved("the server's Finished does not verify"));
        }
        self.phase = next;
        Ok(false)
    }

    /// Our share and the shared secret of an ECDHE suite.
    fn agree(&self) -> Result<(Option<Vec<u8>>, Option<Secret<32>>), Error> {
        let Some((group, peer)) = &self.server_share else {
            return Ok((None, None));
        };
        let provider = self.config.provider;
        let agreement = group.agreement(provider);
        let mut random = Expand { provider, seed: &self.seed, counter: 0 };
        let pair = (agreement.generate)(&mut random);
        let shared =
            (agreement.agree)(&pair.private, peer).ok_or(Error::Misbehaved("the server's share is not a valid one"))?;
        Ok((Some(pair.public.as_slice().to_vec()), Some(shared)))
    }

    fn verify_data(&self, keys: &Keys, side: Side) -> [u8; schedule::VERIFY_BYTES] {
        let provider = self.config.provider;
        let hash = self.suite.map_or(Hash::Sha256, CipherSuite::hash);
        schedule::verify_data(provider, hash, &keys.master, side, &self.transcript.hash(provider, hash))
    }

    fn chosen_suite(&self) -> Result<CipherSuite, Error> {
        self.suite.ok_or(Error::Misbehaved("no suite was chosen"))
    }

    /// Encodes a message of ours and adds it to the transcript.
    fn next_message(&mut self, kind: Kind, body: &[u8]) -> Result<Vec<u8>, Error> {
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
struct Expand<'a> {
    provider: &'static Provider,
    seed: &'a Secret<32>,
    counter: u64,
}

impl Random for Expand<'_> {
    fn fill(&mut self, out: &mut [u8]) {
        for chunk in out.chunks_mut(32) {
            let counter = self.counter.to_be_bytes();
            let block = (self.provider.hmac_sha256)(self.seed.expose(), &[b"ecdhe", &counter]);
            chunk.iter_mut().zip(block).for_each(|(to, from)| *to = from);
            self.counter += 1;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The whole table as text, so that a changed edge is a changed line.
    #[test]
    fn the_transition_table() {
        let phases =
            [Phase::Hello, Phase::KeyExchange, Phase::HelloDone, Phase::ChangeCipherSpec, Phase::Finished, Phase::Done];
        let mut edges = Vec::new();
        for phase in phases {
            for code in 0..=u8::MAX {
                let Some(kind) = Kind::from_code(code) else {
                    continue;
                };
                for ecdhe in [false, true] {
                    if let Some(next) = phase.after(kind, ecdhe) {
                        edges.push(alloc::format!("{phase:?} {kind:?} {ecdhe} {next:?}"));
                    }
                }
            }
        }
        let expected = [
            "Hello ServerHello false KeyExchange",
            "Hello ServerHello true KeyExchange",
            "Hello HelloVerifyRequest false Hello",
            "Hello HelloVerifyRequest true Hello",
            "KeyExchange ServerKeyExchange false HelloDone",
            "KeyExchange ServerKeyExchange true HelloDone",
            "KeyExchange ServerHelloDone false ChangeCipherSpec",
            "HelloDone ServerHelloDone false ChangeCipherSpec",
            "HelloDone ServerHelloDone true ChangeCipherSpec",
            "Finished Finished false Done",
            "Finished Finished true Done",
        ];
        assert_eq!(edges, expected);
    }
}
