//! What client and server share of DTLS 1.3 (RFC 9147).

pub(crate) mod ack;
pub(crate) mod drbg;
pub(crate) mod established;
pub(crate) mod flight;
pub(crate) mod hello;
#[cfg(test)]
mod known_answers;
#[cfg(test)]
mod last_epoch;
pub(crate) mod messages;
pub(crate) mod offer;
pub(crate) mod post;
pub(crate) mod reassembly;
pub(crate) mod record;
pub(crate) mod schedule;
pub(crate) mod sealer;
pub(crate) mod share;
pub(crate) mod spares;
pub(crate) mod transcript;

use crate::{AlertDescription, Error};

/// What ends a handshake or an association, and what the peer is told.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Fault {
    pub error: Error,
    pub alert: AlertDescription,
}

impl From<Error> for Fault {
    fn from(error: Error) -> Self {
        Self { error, alert: error.alert() }
    }
}

impl Fault {
    pub const fn new(alert: AlertDescription, error: Error) -> Self {
        Self { error, alert }
    }

    pub const fn unexpected(what: &'static str) -> Self {
        Self::new(AlertDescription::UNEXPECTED_MESSAGE, Error::Misbehaved(what))
    }
}
