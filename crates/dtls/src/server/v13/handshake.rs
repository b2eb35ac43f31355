//! A handshake of DTLS 1.3 under way, and what it waits for.

use alloc::vec::Vec;
use core::net::SocketAddr;

use bartizan_crypto::{Provider, Secret};

use super::super::event::SessionId;
use super::super::table::UnderWay;
use super::cookie::Cookie;
use super::terms::Terms;
use crate::credential::VerifiedPeer;
use crate::handshake::timer::Timer;
use crate::v13::ack::Acks;
use crate::v13::established::Secrets13;
use crate::v13::flight::Flight;
use crate::v13::reassembly::Reassembly;
use crate::v13::sealer::{HandshakeKeys, HandshakeSealer};
use crate::v13::transcript::Transcript;
use crate::{AlertDescription, Instant, limits};

/// What the server waits for. Before the cookie it waits for nothing: there is no state.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Phase {
    /// The rest of a hello that came in fragments, the first of them with a valid cookie.
    Hello,
    /// The caller looks up the key.
    Psk,
    Certificate,
    CertificateVerify,
    Finished,
    Done,
}

/// What moves a handshake on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Step {
    /// A hello whose pre-shared key is taken.
    PskHello,
    /// A hello that is answered with a certificate and a question for the client's.
    CertificateHello,
    /// A hello that is answered with a certificate alone.
    UnaskedHello,
    PskProvided,
    Certificate,
    /// A Certificate that says "I have none", where the client may stay anonymous.
    NoCertificate,
    CertificateVerify,
    Finished,
}

impl Phase {
    #[cfg(test)]
    pub const ALL: [Self; 6] =
        [Self::Hello, Self::Psk, Self::Certificate, Self::CertificateVerify, Self::Finished, Self::Done];

    //= rfc9147#5-2
    //= rfc9147#5.2-2
    /// The transition table (RFC 8446 appendix A.2, RFC 9147 figure 6): the phase after `step`, or `None` if it has no
    /// place here. No way leads to the end but through a Finished, and a binder or a signature before it, unless clients
    /// may stay anonymous.
    pub const fn after(self, step: Step) -> Option<Self> {
        match (self, step) {
            (Self::Hello, Step::PskHello) => Some(Self::Psk),
            (Self::Hello, Step::CertificateHello) => Some(Self::Certificate),
            (Self::Certificate, Step::Certificate) => Some(Self::CertificateVerify),
            (Self::Hello, Step::UnaskedHello)
            | (Self::Psk, Step::PskProvided)
            | (Self::Certificate, Step::NoCertificate)
            | (Self::CertificateVerify, Step::CertificateVerify) => Some(Self::Finished),
            (Self::Finished, Step::Finished) => Some(Self::Done),
            _ => None,
        }
    }
}

impl Step {
    #[cfg(test)]
    pub const ALL: [Self; 8] = [
        Self::PskHello,
        Self::CertificateHello,
        Self::UnaskedHello,
        Self::PskProvided,
        Self::Certificate,
        Self::NoCertificate,
        Self::CertificateVerify,
        Self::Finished,
    ];
}

pub(in super::super) struct Handshake {
    pub phase: Phase,
    pub remote: SocketAddr,
    /// The slot reserved for the association.
    pub session: SessionId,
    pub cookie: Cookie,
    /// The cookie as it came, which the HelloRetryRequest was made of.
    pub cookie_bytes: Vec<u8>,
    /// The client's random, once its hello is whole: tells a repetition from a new beginning.
    pub random: Option<[u8; 32]>,
    /// The body of the client's hello, until it is answered.
    pub hello: Vec<u8>,
    pub terms: Option<Terms>,
    pub reassembly: Reassembly,
    pub transcript: Transcript,
    pub keys: Option<HandshakeKeys>,
    /// Of everything after the handshake, and what evidence is bound to.
    pub secrets: Option<(Secrets13, Secret<32>)>,
    pub flight: Flight,
    /// Next message number of ours.
    pub message_sequence: u16,
    /// Next record number of epoch 0.
    pub plain_next: u64,
    /// The records of the client's last flight.
    pub acks: Acks,
    pub ack_at: Option<Instant>,
    pub peer: Option<VerifiedPeer>,
    pub timer: Timer,
    pub started: Instant,
    pub expires: Instant,
    pub identity: Option<Vec<u8>>,
    pub principal: Option<u64>,
    /// Which of the principal's keys.
    pub tag: u32,
    /// The last fatal alert in the clear, believed only if silence follows.
    pub alert: Option<AlertDescription>,
}

/// What the first bytes of the client's second hello settle.
pub(in super::super) struct Opening {
    pub remote: SocketAddr,
    pub session: SessionId,
    pub cookie: Cookie,
    pub cookie_bytes: Vec<u8>,
    /// The hello's; our first message has the same.
    pub message_sequence: u16,
    /// The hello's record's; our first record has the same.
    pub plain_next: u64,
}

impl Handshake {
    pub fn new(opening: Opening, timer: Timer, started: Instant, expires: Instant) -> Self {
        Self {
            phase: Phase::Hello,
            remote: opening.remote,
            session: opening.session,
            cookie: opening.cookie,
            cookie_bytes: opening.cookie_bytes,
            random: None,
            hello: Vec::new(),
            terms: None,
            reassembly: Reassembly::new(opening.message_sequence, limits::HELLO_13_BYTES_MAX),
            transcript: Transcript::default(),
            keys: None,
            secrets: None,
            flight: Flight::default(),
            message_sequence: opening.message_sequence,
            plain_next: opening.plain_next,
            acks: Acks::default(),
            ack_at: None,
            peer: None,
            timer,
            started,
            expires,
            identity: None,
            principal: None,
            tag: 0,
            alert: None,
        }
    }

    /// Whether our flight is out and unanswered.
    pub const fn awaits_flight(&self) -> bool {
        matches!(self.phase, Phase::Certificate | Phase::CertificateVerify | Phase::Finished)
    }

    /// Whether the client has spoken under keys. From then on its alerts come under them, too.
    pub fn has_heard_keys(&self) -> bool {
        self.keys.as_ref().is_some_and(|keys| keys.window.bits != 0)
    }

    /// Seals what is missing of the flight into datagrams.
    pub fn transmit(&mut self, provider: &'static Provider, mtu: usize) -> Vec<Vec<u8>> {
        let mut sealer = HandshakeSealer { provider, plain_next: &mut self.plain_next, keys: self.keys.as_mut() };
        self.flight.transmit(mtu, &mut sealer)
    }
}

impl UnderWay for Handshake {
    fn remote(&self) -> SocketAddr {
        self.remote
    }

    fn started(&self) -> Instant {
        self.started
    }

    fn next_wake(&self) -> Instant {
        let wake = match self.awaits_flight() {
            true => self.timer.deadline.min(self.expires),
            false => self.expires,
        };
        self.ack_at.map_or(wake, |at| at.min(wake))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The whole table as text, so that a changed edge is a changed line.
    #[test]
    fn the_transition_table() {
        let mut edges = Vec::new();
        for phase in Phase::ALL {
            for step in Step::ALL {
                if let Some(next) = phase.after(step) {
                    edges.push(alloc::format!("{phase:?} --{step:?}--> {next:?}"));
                }
            }
        }
        let expected = [
            "Hello --PskHello--> Psk",
            "Hello --CertificateHello--> Certificate",
            "Hello --UnaskedHello--> Finished",
            "Psk --PskProvided--> Finished",
            "Certificate --Certificate--> CertificateVerify",
            "Certificate --NoCertificate--> Finished",
            "CertificateVerify --CertificateVerify--> Finished",
            "Finished --Finished--> Done",
        ];
        assert_eq!(edges, expected);
    }
}
