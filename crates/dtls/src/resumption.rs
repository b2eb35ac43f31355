//! Resumption of DTLS 1.2 sessions (RFC 5246 section F.1.4, RFC 5077): a shorter handshake without signatures or
//! pre-shared keys. Off by default: a Connection ID makes it needless for devices that keep their association, and a
//! ticket is 180 bytes on the air.

use alloc::vec::Vec;

use bartizan_crypto::Secret;

use crate::codec::{Reader, put_u16, put_vec8, put_vec16};
use crate::limits::TICKET_BYTES_MAX;
use crate::{Authentication, CipherSuite, Error, limits};

/// What a server lets clients resume. Only sessions with extended master secret exist here, so that a resumed one is
/// bound to its first handshake (RFC 7627 section 5.3).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Resumption {
    Off,
    /// The server remembers up to `sessions_max` sessions in memory, the newest, for `lifetime_ms`.
    SessionIds {
        sessions_max: u32,
        lifetime_ms: u64,
    },
    /// The client keeps the session, sealed under a key of the endpoint that changes every `lifetime_ms` and dies with
    /// it. Who holds that key can read what recorded sessions said: choose a short lifetime.
    Tickets {
        lifetime_ms: u64,
    },
}

impl Resumption {
    pub(crate) fn check(&self) -> Result<(), Error> {
        let lifetime_fits = |ms: u64| (1..=limits::RESUMPTION_MS_MAX).contains(&ms);
        match *self {
            Self::Off => Ok(()),
            Self::SessionIds { sessions_max, .. } if !(1..=limits::SESSION_CACHE_MAX).contains(&sessions_max) => {
                Err(Error::Misuse("the number of sessions to be resumed is out of range"))
            }
            Self::SessionIds { lifetime_ms, .. } | Self::Tickets { lifetime_ms } if !lifetime_fits(lifetime_ms) => {
                Err(Error::Misuse("sessions may be resumed for a day at most: nothing renews their secret"))
            }
            _ => Ok(()),
        }
    }
}

/// What a client does about resumption.
#[derive(Clone, Debug, Default)]
pub enum ClientResumption {
    #[default]
    Off,
    /// Asks for a session that can be resumed: [`Connection::resumable`](crate::Connection::resumable) has it then.
    Ask,
    /// Offers one. If the server does not take it, or speaks DTLS 1.3, the handshake is a full one. Beside DTLS 1.3, one
    /// that does not fit the first datagram is not offered.
    Offer(ResumableSession),
}

impl ClientResumption {
    /// What a hello with this random says about it: its session id, and the content of session_ticket.
    pub(crate) fn in_hello<'a>(&'a self, random: &'a [u8; 32]) -> (&'a [u8], Option<&'a [u8]>) {
        match self {
            Self::Off => (&[], None),
            Self::Ask => (&[], Some(&[])),
            Self::Offer(session) => match &session.name {
                SessionName::Id(id) => (id, Some(&[])),
                // RFC 5077 section 3.4: an id of our making, which the server says again if it takes the ticket.
                SessionName::Ticket(ticket) => (random, Some(ticket)),
            },
        }
    }
}

/// A session that a client may resume. Holds its master secret: whoever reads it can be the client.
#[derive(Clone)]
pub struct ResumableSession {
    pub(crate) suite: CipherSuite,
    pub(crate) master: Secret<48>,
    pub(crate) name: SessionName,
    pub(crate) authentication: Authentication,
    /// Who the server was, if a verifier said so.
    pub(crate) principal: u64,
}

/// How the server finds the session again.
#[derive(Clone)]
pub(crate) enum SessionName {
    Id(Vec<u8>),
    Ticket(Vec<u8>),
}

/// The first byte of a session in bytes.
const VERSION: u8 = 1;

impl ResumableSession {
    #[must_use]
    pub const fn suite(&self) -> CipherSuite {
        self.suite
    }

    /// Up to 1,100 bytes, secrets inside.
    #[must_use]
    pub fn to_bytes(&self) -> Vec<u8> {
        let mut out = Vec::new();
        out.push(VERSION);
        put_u16(&mut out, self.suite.code());
        out.extend_from_slice(self.master.expose());
        out.push(self.authentication as u8);
        out.extend_from_slice(&self.principal.to_be_bytes());
        let (id, ticket): (&[u8], &[u8]) = match &self.name {
            SessionName::Id(id) => (id, &[]),
            SessionName::Ticket(ticket) => (&[], ticket),
        };
        put_vec8(&mut out, id);
        put_vec16(&mut out, ticket);
        out
    }

    /// # Errors
    /// `Malformed` if the bytes are not such a session.
    pub fn from_bytes(bytes: &[u8]) -> Result<Self, Error> {
        const NONE: Error = Error::Malformed("not a session that can be resumed");
        let mut reader = Reader::new(bytes);
        if reader.u8()? != VERSION {
            return Err(NONE);
        }
        let suite = CipherSuite::from_code(reader.u16()?).ok_or(NONE)?;
        let master = Secret::new(reader.array()?);
        let authentication = Authentication::from_code(reader.u8()?).ok_or(NONE)?;
        let principal = reader.u64()?;
        let name = match (reader.vec8()?, reader.vec16()?) {
            (id, []) if (1..=32).contains(&id.len()) => SessionName::Id(id.to_vec()),
            ([], ticket) if (1..=TICKET_BYTES_MAX).contains(&ticket.len()) => SessionName::Ticket(ticket.to_vec()),
            _ => return Err(NONE),
        };
        reader.finish()?;
        Ok(Self { suite, master, name, authentication, principal })
    }
}

impl core::fmt::Debug for ResumableSession {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        write!(f, "ResumableSession({})", self.suite)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sessions_survive_storage() {
        for name in [SessionName::Id([7; 32].to_vec()), SessionName::Ticket([9; 200].to_vec())] {
            let session = ResumableSession {
                suite: CipherSuite::EcdheEcdsaAes128Ccm8,
                master: Secret::new([3; 48]),
                name,
                authentication: Authentication::RawPublicKey,
                principal: 5,
            };
            let bytes = session.to_bytes();
            assert_eq!(ResumableSession::from_bytes(&bytes).unwrap().to_bytes(), bytes);
            for length in 0..bytes.len() {
                assert!(ResumableSession::from_bytes(&bytes[..length]).is_err());
            }
        }
    }

    #[test]
    fn lifetimes_and_numbers_within_bounds_only() {
        for (lifetime_ms, fits) in [(0, false), (1, true), (86_400_000, true), (86_400_001, false)] {
            assert_eq!(Resumption::Tickets { lifetime_ms }.check().is_ok(), fits);
            assert_eq!(Resumption::SessionIds { sessions_max: 1, lifetime_ms }.check().is_ok(), fits);
        }
        for (sessions_max, fits) in [(0, false), (1, true), (1 << 20, true), ((1 << 20) + 1, false)] {
            assert_eq!(Resumption::SessionIds { sessions_max, lifetime_ms: 1 }.check().is_ok(), fits);
        }
    }
}
