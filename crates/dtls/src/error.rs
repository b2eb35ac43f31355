//! Errors by fault, and why associations end.

use core::fmt;

use crate::AlertDescription;

/// What went wrong, by whose fault it was. The text names the thing, in words for a log.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Error {
    /// The bytes are not what the protocol says they are.
    Malformed(&'static str),
    /// The peer broke the protocol's rules with well-formed bytes.
    Misbehaved(&'static str),
    /// The peer is not who it must be: its certificate, key or signature is not to be believed.
    Untrusted(AlertDescription),
    /// No version, suite or extension in common.
    Unsupported(&'static str),
    /// The caller asked for something that cannot be.
    Misuse(&'static str),
    /// A limit was reached; it may work later.
    Unavailable(&'static str),
}

impl Error {
    /// RFC 5246 section 7.2.2: decrypt_error is for a Finished, too.
    pub(crate) const ANOTHER_FINISHED: Self = Self::Misbehaved("the server's Finished does not verify");
    pub(crate) const ANOTHER_VERSION: Self = Self::Unsupported("the server speaks another version");

    /// The alert that tells the peer (RFC 5246 section 7.2.2).
    #[must_use]
    pub fn alert(self) -> AlertDescription {
        match self {
            Self::ANOTHER_VERSION => AlertDescription::PROTOCOL_VERSION,
            Self::ANOTHER_FINISHED => AlertDescription::DECRYPT_ERROR,
            Self::Malformed(_) => AlertDescription::DECODE_ERROR,
            Self::Misbehaved(_) => AlertDescription::ILLEGAL_PARAMETER,
            Self::Untrusted(alert) => alert,
            Self::Unsupported(_) => AlertDescription::HANDSHAKE_FAILURE,
            Self::Misuse(_) | Self::Unavailable(_) => AlertDescription::INTERNAL_ERROR,
        }
    }
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Malformed(what) => write!(f, "malformed: {what}"),
            Self::Misbehaved(what) => write!(f, "peer misbehaved: {what}"),
            Self::Untrusted(alert) => write!(f, "the peer is not to be believed: {alert}"),
            Self::Unsupported(what) => write!(f, "nothing in common: {what}"),
            Self::Misuse(what) => write!(f, "misuse: {what}"),
            Self::Unavailable(what) => write!(f, "unavailable: {what}"),
        }
    }
}

impl core::error::Error for Error {}

/// Why a [`Connection`](crate::Connection) ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum CloseReason {
    /// We closed it.
    Local,
    /// The peer said close_notify.
    Peer,
    /// The peer sent a fatal alert: authenticated, or in the handshake and followed by silence.
    Alert(AlertDescription),
    /// The handshake broke down.
    Failed(Error),
    /// The peer never answered, or never with the right key.
    TimedOut,
    /// So many records failed to open that one of them might soon have been forged (RFC 9147 section 4.5.3).
    Forgeries,
    /// A newer association of the same peer has taken its place.
    Replaced,
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::handshake::hello::ServerHello;

    #[test]
    fn another_version_and_another_finished_have_alerts_of_their_own() {
        let mut hello = [0; 38];
        hello[..2].copy_from_slice(&[0xFE, 0xFF]);
        let refused = ServerHello::decode(&hello).unwrap_err();
        assert_eq!(refused.alert(), AlertDescription::PROTOCOL_VERSION);
        assert_eq!(crate::v13::hello::ServerHello::decode(&hello).unwrap_err(), refused);
        assert_eq!(Error::ANOTHER_FINISHED.alert(), AlertDescription::DECRYPT_ERROR);
        hello[1] = 0xFD;
        assert!(ServerHello::decode(&hello).is_ok());
    }
}
