//! Which message may come when.

use crate::handshake::message::Kind;
use crate::{CipherSuite, KeyExchange};

/// What kind of handshake the ServerHello has made it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Path {
    /// A pre-shared key alone.
    Psk,
    /// A pre-shared key and an ephemeral exchange.
    EcdhePsk,
    /// A server with a certificate or a raw public key.
    Certified,
    /// An earlier session goes on (RFC 5246 figure 2).
    Resumed,
}

impl Path {
    #[cfg(any(test, feature = "proof"))]
    pub const ALL: [Self; 4] = [Self::Psk, Self::EcdhePsk, Self::Certified, Self::Resumed];

    pub const fn of(suite: CipherSuite) -> Self {
        match suite.key_exchange() {
            KeyExchange::EcdheEcdsa => Self::Certified,
            KeyExchange::EcdhePsk => Self::EcdhePsk,
            KeyExchange::Psk | KeyExchange::Negotiated => Self::Psk,
        }
    }
}

/// What the client waits for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Phase {
    Hello,
    Certificate,
    KeyExchange,
    /// CertificateRequest, which may be left out.
    Request,
    HelloDone,
    /// A NewSessionTicket that the ServerHello has promised.
    Ticket,
    ChangeCipherSpec,
    Finished,
    Done,
}

impl Phase {
    #[cfg(any(test, feature = "proof"))]
    pub const ALL: [Self; 9] = [
        Self::Hello,
        Self::Certificate,
        Self::KeyExchange,
        Self::Request,
        Self::HelloDone,
        Self::Ticket,
        Self::ChangeCipherSpec,
        Self::Finished,
        Self::Done,
    ];

    /// The transition table (RFC 6347 figures 1 and 2, RFC 4279 section 2, RFC 8422 section 2, RFC 5077 section 3.1):
    /// the phase after `message`, or `None` if it has no place here. Only plain PSK may leave ServerKeyExchange out.
    pub const fn after(self, message: Kind, path: Path, ticket: bool) -> Option<Self> {
        match (self, message, path) {
            (Self::Hello, Kind::HelloVerifyRequest, _) => Some(Self::Hello),
            (Self::Hello, Kind::ServerHello, Path::Resumed) => Some(Self::before_finished(ticket)),
            (Self::Hello, Kind::ServerHello, Path::Certified) => Some(Self::Certificate),
            (Self::Hello, Kind::ServerHello, Path::Psk | Path::EcdhePsk) => Some(Self::KeyExchange),
            (Self::Certificate, Kind::Certificate, Path::Certified) => Some(Self::KeyExchange),
            (Self::KeyExchange, Kind::ServerKeyExchange, Path::Certified) => Some(Self::Request),
            (Self::KeyExchange, Kind::ServerKeyExchange, Path::Psk | Path::EcdhePsk) => Some(Self::HelloDone),
            (Self::Request, Kind::CertificateRequest, Path::Certified) => Some(Self::HelloDone),
            (Self::KeyExchange, Kind::ServerHelloDone, Path::Psk)
            | (Self::Request, Kind::ServerHelloDone, Path::Certified)
            | (Self::HelloDone, Kind::ServerHelloDone, Path::Psk | Path::EcdhePsk | Path::Certified) => {
                Some(Self::before_finished(ticket))
            }
            (Self::Ticket, Kind::NewSessionTicket, _) => Some(Self::ChangeCipherSpec),
            (Self::Finished, Kind::Finished, _) => Some(Self::Done),
            _ => None,
        }
    }

    const fn before_finished(ticket: bool) -> Self {
        match ticket {
            true => Self::Ticket,
            false => Self::ChangeCipherSpec,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use alloc::string::String;
    use alloc::vec::Vec;

    /// The whole table as text, so that a changed edge is a changed line.
    #[test]
    fn the_transition_table() {
        let edges = |path: Path, ticket: bool| -> Vec<String> {
            let kinds = || (0..=u8::MAX).filter_map(Kind::from_code);
            let all = Phase::ALL.into_iter().flat_map(|phase| kinds().map(move |kind| (phase, kind)));
            let edge = |(phase, kind): (Phase, Kind)| {
                let next = phase.after(kind, path, ticket)?;
                Some(alloc::format!("{phase:?} {kind:?} {next:?}"))
            };
            all.filter_map(edge).filter(|edge| !edge.starts_with("Hello HelloVerifyRequest")).collect()
        };
        let end = ["Ticket NewSessionTicket ChangeCipherSpec", "Finished Finished Done"];
        let psk = [
            "Hello ServerHello KeyExchange",
            "KeyExchange ServerKeyExchange HelloDone",
            "KeyExchange ServerHelloDone ChangeCipherSpec",
            "HelloDone ServerHelloDone ChangeCipherSpec",
        ];
        assert_eq!(edges(Path::Psk, false), [&psk[..], &end].concat());
        let ecdhe_psk = [
            "Hello ServerHello KeyExchange",
            "KeyExchange ServerKeyExchange HelloDone",
            "HelloDone ServerHelloDone ChangeCipherSpec",
        ];
        assert_eq!(edges(Path::EcdhePsk, false), [&ecdhe_psk[..], &end].concat());
        let certified = [
            "Hello ServerHello Certificate",
            "Certificate Certificate KeyExchange",
            "KeyExchange ServerKeyExchange Request",
            "Request CertificateRequest HelloDone",
            "Request ServerHelloDone ChangeCipherSpec",
            "HelloDone ServerHelloDone ChangeCipherSpec",
        ];
        assert_eq!(edges(Path::Certified, false), [&certified[..], &end].concat());
        assert_eq!(edges(Path::Resumed, false), [&["Hello ServerHello ChangeCipherSpec"][..], &end].concat());
        // A promised ticket comes between, and changes nothing else.
        for path in Path::ALL {
            let with_ticket = edges(path, true).into_iter();
            let without = edges(path, false);
            let expected = without.iter().map(|edge| match edge.starts_with("Ticket") {
                true => edge.clone(),
                false => edge
                    .replace("HelloDone ChangeCipherSpec", "HelloDone Ticket")
                    .replace("ServerHello ChangeCipherSpec", "ServerHello Ticket"),
            });
            assert!(with_ticket.eq(expected), "{path:?}");
        }
        for phase in Phase::ALL {
            for path in Path::ALL {
                let again = phase.after(Kind::HelloVerifyRequest, path, false);
                assert_eq!(again.is_some(), phase == Phase::Hello);
            }
        }
    }
}
