//! The client's handshake: which message may come when, and what is sent.

use alloc::collections::VecDeque;
use alloc::vec::Vec;

use bartizan_crypto::Random;
use bartizan_wire::event::RecordRejection;

use super::super::{ClientConfig, handshake as dtls_1_2};
use super::association::Association;
use crate::credential::{CertificateType, VerifiedPeer};
use crate::handshake::timer::Timer;
use crate::hash::Hash;
use crate::v13::Fault;
use crate::v13::ack::Acks;
use crate::v13::drbg::Drbg;
use crate::v13::flight::{Flight, Outgoing};
use crate::v13::messages::{Message, kind};
use crate::v13::offer::Encoded;
use crate::v13::reassembly::Reassembly;
use crate::v13::record::{Place, Sealed};
use crate::v13::schedule::{EPOCH_HANDSHAKE, Schedule};
use crate::v13::sealer::{HandshakeKeys, HandshakeSealer};
use crate::v13::share::Share;
use crate::v13::transcript::Transcript;
use crate::{AlertDescription, CipherSuite, ConnectionId, Error, Group, Instant, Version, limits};

/// What the client waits for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Phase {
    Hello,
    /// The same, after a HelloRetryRequest.
    Retried,
    Extensions,
    /// CertificateRequest or Certificate.
    Request,
    Certificate,
    CertificateVerify,
    Finished,
    /// The server's flight is complete and ours is out: its ACK.
    Ack,
    Done,
}

/// What moves the handshake on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Step {
    HelloRetryRequest,
    ServerHello,
    EncryptedExtensions,
    CertificateRequest,
    Certificate,
    CertificateVerify,
    Finished,
    Acknowledged,
}

impl Phase {
    #[cfg(test)]
    pub const ALL: [Self; 9] = [
        Self::Hello,
        Self::Retried,
        Self::Extensions,
        Self::Request,
        Self::Certificate,
        Self::CertificateVerify,
        Self::Finished,
        Self::Ack,
        Self::Done,
    ];

    //= rfc9147#5-2
    //= rfc9147#5.1-4
    //= rfc9147#5.1-6
    //= rfc9147#11-1
    /// The transition table (RFC 8446 appendix A.1, RFC 9147 figure 6): the phase after `step`, or `None` if it has no
    /// place here. `psk`: the server took our pre-shared key, and shows no certificate.
    pub const fn after(self, step: Step, psk: bool) -> Option<Self> {
        match (self, step) {
            (Self::Hello, Step::HelloRetryRequest) => Some(Self::Retried),
            (Self::Hello | Self::Retried, Step::ServerHello) => Some(Self::Extensions),
            (Self::Extensions, Step::EncryptedExtensions) if psk => Some(Self::Finished),
            (Self::Extensions, Step::EncryptedExtensions) => Some(Self::Request),
            (Self::Request, Step::CertificateRequest) => Some(Self::Certificate),
            (Self::Request | Self::Certificate, Step::Certificate) => Some(Self::CertificateVerify),
            (Self::CertificateVerify, Step::CertificateVerify) => Some(Self::Finished),
            (Self::Finished, Step::Finished) => Some(Self::Ack),
            (Self::Ack, Step::Acknowledged) => Some(Self::Done),
            _ => None,
        }
    }
}

impl Step {
    #[cfg(test)]
    pub const ALL: [Self; 8] = [
        Self::HelloRetryRequest,
        Self::ServerHello,
        Self::EncryptedExtensions,
        Self::CertificateRequest,
        Self::Certificate,
        Self::CertificateVerify,
        Self::Finished,
        Self::Acknowledged,
    ];
}

pub(in super::super) struct Handshake {
    pub phase: Phase,
    pub reassembly: Reassembly,
    pub timer: Timer,
    /// When what has come of a flight is acknowledged.
    pub ack_at: Option<Instant>,
    pub acks: Acks,
    /// There as soon as the server's Finished is verified.
    pub association: Option<Association>,
    /// The last fatal alert in the clear, believed only if silence follows.
    pub alert: Option<AlertDescription>,
    /// Records that came before their keys.
    pub early: VecDeque<Vec<u8>>,
    /// Application data that came before the ACK.
    pub held: Vec<Vec<u8>>,
    pub keys: Option<HandshakeKeys>,
    pub(super) config: ClientConfig,
    pub(super) rng: Drbg,
    pub(super) random: [u8; 32],
    pub(super) hello: Encoded,
    pub(super) share: Option<Share>,
    pub(super) suite: Option<CipherSuite>,
    /// The server took our pre-shared key.
    pub(super) psk: bool,
    pub(super) schedule: Option<Schedule>,
    pub(super) cids: Option<(ConnectionId, ConnectionId)>,
    pub(super) server_type: CertificateType,
    pub(super) client_type: CertificateType,
    pub(super) peer: Option<VerifiedPeer>,
    /// The server wants to know who we are; whether our signature suits it.
    pub(super) asked: Option<bool>,
    pub(super) transcript: Transcript,
    pub(super) flight: Flight,
    pub(super) message_sequence: u16,
    pub(super) plain_next: u64,
}

impl Handshake {
    /// Prepares the first hello; [`Self::transmit`] sends it.
    pub fn new(config: ClientConfig, now: Instant, rng: &mut dyn Random) -> Result<Self, Error> {
        let mut random = [0; 32];
        rng.fill(&mut random);
        let mut handshake = Self {
            phase: Phase::Hello,
            reassembly: Reassembly::new(0, limits::REASSEMBLY_13_BYTES_MAX),
            timer: Timer::start(now, config.retransmit_ms),
            ack_at: None,
            acks: Acks::default(),
            association: None,
            alert: None,
            early: VecDeque::new(),
            held: Vec::new(),
            keys: None,
            rng: Drbg::new(config.provider, rng),
            config,
            random,
            hello: Encoded::default(),
            share: None,
            suite: None,
            psk: false,
            schedule: None,
            cids: None,
            server_type: CertificateType::X509,
            client_type: CertificateType::X509,
            peer: None,
            asked: None,
            transcript: Transcript::default(),
            flight: Flight::default(),
            message_sequence: 0,
            plain_next: 0,
        };
        handshake.put_first_hello()?;
        Ok(handshake)
    }

    pub fn next_plain(&mut self) -> u64 {
        let number = self.plain_next;
        self.plain_next += 1;
        number
    }

    /// The hash of our pre-shared key: SHA-256, unless only suites with SHA-384 are configured.
    pub(super) fn psk_hash(&self) -> Hash {
        let mut suites = self.config.suites.iter().filter(|suite| suite.version() == Version::Dtls13);
        match suites.all(|suite| suite.hash() == Hash::Sha384) {
            true => Hash::Sha384,
            false => Hash::Sha256,
        }
    }

    pub fn own_cid_len(&self) -> usize {
        self.config.own_cid.map_or(0, |cid| cid.len())
    }

    //= rfc9147#9.1-1
    /// Whether the record carries the Connection ID that was negotiated, or none where none was.
    pub fn is_named_by(&self, record: &Sealed<'_>) -> bool {
        let own = self.cids.map(|(own, _)| own).unwrap_or_default();
        match record.connection_id() {
            None => own.is_empty(),
            Some(cid) => !own.is_empty() && cid == own.as_slice(),
        }
    }

    /// Whether DTLS 1.2 would be as welcome.
    pub fn may_fall_back(&self) -> bool {
        self.phase == Phase::Hello && self.config.versions.contains(Version::Dtls12)
    }

    //= rfc9147#5.2-3
    /// The same hello, and what DTLS 1.2 makes of it.
    pub fn continue_as_dtls_1_2(&mut self, now: Instant) -> Result<dtls_1_2::Handshake, Error> {
        let hello = core::mem::take(&mut self.hello);
        let config = self.config.clone();
        dtls_1_2::Handshake::from_hello(config, now, &mut self.rng, self.random, hello, self.plain_next)
    }

    /// Seals what is missing of the current flight into datagrams.
    pub fn transmit(&mut self) -> Vec<Vec<u8>> {
        let mut sealer = HandshakeSealer {
            provider: self.config.provider,
            plain_next: &mut self.plain_next,
            keys: self.keys.as_mut(),
        };
        self.flight.transmit(self.config.mtu, &mut sealer)
    }

    /// What the timer brings: the flight again, or what has come of the server's.
    pub fn repeat(&mut self, now: Instant) -> Vec<Vec<u8>> {
        self.timer.back_off(now);
        match self.phase {
            Phase::Hello | Phase::Retried | Phase::Ack | Phase::Done => self.transmit(),
            _ => self.acknowledge().into_iter().collect(),
        }
    }

    /// An ACK for the part of the server's flight that is here; an empty one asks for all of it.
    pub fn acknowledge(&mut self) -> Option<Vec<u8>> {
        self.ack_at = None;
        let keys = self.keys.as_mut()?;
        keys.acknowledge(self.config.provider, &self.acks, self.config.mtu)
    }

    pub fn next_timeout(&self) -> Instant {
        self.ack_at.map_or(self.timer.deadline, |at| at.min(self.timer.deadline))
    }

    //= rfc9147#7.1-1
    //= rfc9147#7.1-s1
    /// A record of epoch 2 has brought something of an unfinished flight (RFC 9147 section 7.1).
    pub fn note_record(&mut self, now: Instant, number: u64) {
        self.acks.note(number);
        self.ack_at = self.ack_at.or(Some(now.plus(self.config.retransmit_ms / 4)));
    }

    /// Puts a record aside until its keys are there.
    pub fn put_aside(&mut self, record: &Sealed<'_>) -> Result<(), RecordRejection> {
        let bytes: usize = self.early.iter().map(Vec::len).sum();
        let fits = self.early.len() < limits::EARLY_RECORDS_MAX
            && bytes.saturating_add(record.bytes().len()) <= limits::EARLY_RECORDS_BYTES_MAX;
        let copy = crate::codec::try_copy(record.bytes()).filter(|_| fits);
        self.early.push_back(copy.ok_or(RecordRejection::Unexpected)?);
        Ok(())
    }

    /// Takes in a whole message that is due. `Ok(true)` means that a new flight waits to be sent.
    pub fn on_message(&mut self, message: &Message) -> Result<bool, Fault> {
        let step = self.step_of(message).ok_or(Fault::unexpected("a handshake message out of place"))?;
        let next = self.phase.after(step, self.psk);
        let next = next.ok_or(Fault::unexpected("a handshake message out of place"))?;
        let (kind, body) = (message.kind, &*message.body);
        match step {
            Step::HelloRetryRequest => return self.on_retry_request(body, next),
            Step::ServerHello => return self.on_server_hello(body, next),
            Step::EncryptedExtensions => self.on_extensions(body)?,
            Step::CertificateRequest => self.on_certificate_request(body)?,
            Step::Certificate => self.on_certificate(body)?,
            Step::CertificateVerify => self.on_certificate_verify(body)?,
            Step::Finished => return self.on_finished(body, next),
            Step::Acknowledged => return Ok(false),
        }
        self.transcript.append(kind, body)?;
        self.phase = next;
        Ok(false)
    }

    fn step_of(&self, message: &Message) -> Option<Step> {
        match message.kind {
            kind::SERVER_HELLO => {
                let retry = crate::v13::hello::ServerHello::decode(&message.body).is_ok_and(|hello| hello.is_retry());
                Some(if retry { Step::HelloRetryRequest } else { Step::ServerHello })
            }
            kind::ENCRYPTED_EXTENSIONS => Some(Step::EncryptedExtensions),
            kind::CERTIFICATE_REQUEST => Some(Step::CertificateRequest),
            kind::CERTIFICATE => Some(Step::Certificate),
            kind::CERTIFICATE_VERIFY => Some(Step::CertificateVerify),
            kind::FINISHED => Some(Step::Finished),
            _ => None,
        }
    }

    /// The server has our last flight, or part of it; whether that ends the handshake.
    pub fn on_ack(&mut self, numbers: impl Iterator<Item = u64>) -> bool {
        self.flight.on_ack(numbers);
        match self.phase.after(Step::Acknowledged, self.psk).filter(|_| self.flight.is_acked()) {
            Some(next) => {
                self.phase = next;
                true
            }
            None => false,
        }
    }

    /// Adds a message of ours to the flight and to the transcript.
    pub(super) fn put(&mut self, kind: u8, epoch: u16, body: Vec<u8>) -> Result<(), Error> {
        self.transcript.append(kind, &body)?;
        self.flight.push(Outgoing { kind, sequence: self.message_sequence, epoch, body });
        self.message_sequence += 1;
        Ok(())
    }

    /// An alert under the best keys there are.
    pub fn seal_alert(&mut self, alert: [u8; 2]) -> Option<Vec<u8>> {
        use bartizan_wire::record::ContentType;
        if let Some(association) = &mut self.association {
            return association.seal(ContentType::ALERT, &alert).ok();
        }
        if let Some(keys) = &mut self.keys {
            let sealed = keys.seal(self.config.provider, Place::Last, ContentType::ALERT, &alert);
            return sealed.map(|(_, record)| record);
        }
        let number = self.next_plain();
        Some(crate::record::plain(ContentType::ALERT, number, &alert))
    }

    pub(super) fn chosen_suite(&self) -> Result<CipherSuite, Error> {
        self.suite.ok_or(Error::Misbehaved("no suite was chosen"))
    }

    /// Groups of ours, in their order.
    pub(super) fn has_group(&self, code: u16) -> Option<Group> {
        self.config.groups.iter().copied().find(|group| group.code() == code)
    }

    /// The epoch of everything after the hellos.
    pub(super) const PROTECTED: u16 = EPOCH_HANDSHAKE;
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The whole table as text, so that a changed edge is a changed line.
    #[test]
    fn the_transition_table() {
        use Phase::{Ack, Certificate, CertificateVerify, Done, Extensions, Finished, Hello, Request, Retried};
        let phases = [Hello, Retried, Extensions, Request, Certificate, CertificateVerify, Finished, Ack, Done];
        let steps = [
            Step::HelloRetryRequest,
            Step::ServerHello,
            Step::EncryptedExtensions,
            Step::CertificateRequest,
            Step::Certificate,
            Step::CertificateVerify,
            Step::Finished,
            Step::Acknowledged,
        ];
        let mut edges = Vec::new();
        for phase in phases {
            for step in steps {
                match (phase.after(step, true), phase.after(step, false)) {
                    (Some(psk), Some(other)) if psk != other => {
                        edges.push(alloc::format!("{phase:?} --{step:?}--> {psk:?} with PSK, {other:?} without"));
                    }
                    (Some(next), Some(_)) => edges.push(alloc::format!("{phase:?} --{step:?}--> {next:?}")),
                    (None, None) => {}
                    uneven => panic!("{phase:?} {step:?} {uneven:?}"),
                }
            }
        }
        let expected = [
            "Hello --HelloRetryRequest--> Retried",
            "Hello --ServerHello--> Extensions",
            "Retried --ServerHello--> Extensions",
            "Extensions --EncryptedExtensions--> Finished with PSK, Request without",
            "Request --CertificateRequest--> Certificate",
            "Request --Certificate--> CertificateVerify",
            "Certificate --Certificate--> CertificateVerify",
            "CertificateVerify --CertificateVerify--> Finished",
            "Finished --Finished--> Ack",
            "Ack --Acknowledged--> Done",
        ];
        assert_eq!(edges, expected);
    }
}
