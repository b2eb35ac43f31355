//! What a device with a TPM sends, each message a record of the Conceptual Messages Wrapper (CMW, [`crate::cmw`]).
//!
//! ```text
//! enrolment  [challenge, EK public, AK public]                 ─▶ credential  [object, secret]
//! activation [challenge, EK public, AK public, opened secret]
//! evidence   [challenge, EK public, AK public, quote, signature, [[register, value], …], event log]
//! ```
//!
//! All but the numbers of registers are byte strings with the TPM's own structures; a log may be empty.

use alloc::vec::Vec;

use minicbor::Encoder;

use super::evidence::Carried;
use super::public::Public;
use crate::cbor::{Items, Strict};
use crate::cmw::{Cmw, Kind, Messages, Record};
use crate::{Error, limits};

/// The CoAP Content-Format that all of these come as, among those for experiments (RFC 7252 section 12.3): the wrapper
/// says what they are.
pub const CONTENT_FORMAT: u16 = 65_203;
/// Asks for a credential.
pub const ENROLMENT: &str = "application/vnd.bartizan.tpm-enrolment+cbor";
/// The answer to it.
pub const CHALLENGED_CREDENTIAL: &str = "application/vnd.bartizan.tpm-credential+cbor";
/// Brings what was in it.
pub const ACTIVATION: &str = "application/vnd.bartizan.tpm-activation+cbor";
pub const EVIDENCE: &str = "application/vnd.bartizan.tpm-evidence+cbor";

/// One message, read and not verified.
#[derive(Clone, Debug, PartialEq, Eq)]
#[expect(clippy::large_enum_variant, reason = "one at a time, taken apart where it was read")]
pub enum Message<'a> {
    Enrolment(Enrolment<'a>),
    Activation(Activation<'a>),
    Evidence(Carried<'a>),
}

/// Two keys of one TPM, as it claims.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Enrolment<'a> {
    pub challenge: &'a [u8],
    pub endorsement: Public,
    pub key: Public,
}

/// The same with the secret of the credential that was made for them.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Activation<'a> {
    pub enrolment: Enrolment<'a>,
    pub secret: &'a [u8],
}

impl<'a> Message<'a> {
    /// # Errors
    /// `Unsupported` if it is something else, or of keys that are not read here; else by fault.
    pub fn read(bytes: &'a [u8]) -> Result<Self, Error> {
        if bytes.len() > limits::TPM_EVIDENCE_BYTES_MAX {
            return Err(Error::Unavailable("evidence longer than is taken"));
        }
        let Cmw::Record(record) = Cmw::read(Strict::new(bytes)?)? else {
            return Err(Error::Unsupported("a collection of messages"));
        };
        let read: fn(&mut Parts<'a>) -> Result<Self, Error> = match record.kind {
            Kind::MediaType(ENROLMENT) => |parts| Enrolment::read(parts).map(Self::Enrolment),
            Kind::MediaType(ACTIVATION) => |parts| Activation::read(parts).map(Self::Activation),
            Kind::MediaType(EVIDENCE) => |parts| Carried::read(parts).map(Self::Evidence),
            _ => return Err(Error::Unsupported("a message of another kind than a TPM's")),
        };
        let mut parts = Parts::new(record.value)?;
        let message = read(&mut parts)?;
        parts.end()?;
        Ok(message)
    }

    /// Whether the bytes are said to be evidence, so that whoever sent them has to answer for what is wrong with them.
    #[must_use]
    pub fn is_evidence(bytes: &[u8]) -> bool {
        let cmw = Strict::new(bytes).and_then(Cmw::read);
        matches!(cmw, Ok(Cmw::Record(Record { kind: Kind::MediaType(EVIDENCE), .. })))
    }

    /// Whether the bytes begin as a wrapped message does, not as a COSE_Sign1, which has four parts.
    #[must_use]
    pub fn looks_like(bytes: &[u8]) -> bool {
        matches!(bytes.first(), Some(0x82 | 0x83))
    }
}

impl<'a> Enrolment<'a> {
    pub(super) fn read(parts: &mut Parts<'a>) -> Result<Self, Error> {
        let challenge = parts.bytes()?;
        if !limits::NONCE_BYTES.contains(&challenge.len()) {
            return Err(Error::Malformed("a challenge that is too short or too long"));
        }
        let (endorsement, key) = (Public::read(parts.bytes()?)?, Public::read(parts.bytes()?)?);
        endorsement.check_endorsement_key()?;
        key.check_attestation_key()?;
        Ok(Self { challenge, endorsement, key })
    }

    /// Asks for a credential. The keys as their TPM gives them (TPMT_PUBLIC).
    #[must_use]
    pub fn write(challenge: &[u8], endorsement: &[u8], key: &[u8]) -> Vec<u8> {
        wrapped(ENROLMENT, &[challenge, endorsement, key])
    }
}

impl<'a> Activation<'a> {
    fn read(parts: &mut Parts<'a>) -> Result<Self, Error> {
        Ok(Self { enrolment: Enrolment::read(parts)?, secret: parts.bytes()? })
    }

    /// Brings the secret of the credential.
    #[must_use]
    pub fn write(challenge: &[u8], endorsement: &[u8], key: &[u8], secret: &[u8]) -> Vec<u8> {
        wrapped(ACTIVATION, &[challenge, endorsement, key, secret])
    }
}

impl super::Credential {
    /// The answer to an enrolment.
    #[must_use]
    pub fn write(&self) -> Vec<u8> {
        wrapped(CHALLENGED_CREDENTIAL, &[&self.object, &self.secret])
    }

    /// What [`Self::write`] wrote.
    ///
    /// # Errors
    /// `Malformed` if it is none.
    pub fn read(bytes: &[u8]) -> Result<Self, Error> {
        match Cmw::read(Strict::new(bytes)?)? {
            Cmw::Record(Record { kind: Kind::MediaType(CHALLENGED_CREDENTIAL), value, .. }) => {
                let mut parts = Parts::new(value)?;
                let (object, secret) = (parts.bytes()?.to_vec(), parts.bytes()?.to_vec());
                parts.end()?;
                Ok(Self { object, secret })
            }
            _ => Err(Error::Unsupported("a message that is no credential")),
        }
    }
}

/// The parts of one message, in their order.
pub(super) struct Parts<'a>(Items<'a>);

const SHAPE: Error = Error::Malformed("a TPM message with a part missing, too much, or of another form");

impl<'a> Parts<'a> {
    fn new(value: &'a [u8]) -> Result<Self, Error> {
        Strict::new(value)?.array().map(Self).ok_or(SHAPE)
    }

    pub fn bytes(&mut self) -> Result<&'a [u8], Error> {
        self.0.next().and_then(Strict::byte_string).ok_or(SHAPE)
    }

    pub fn array(&mut self) -> Result<Items<'a>, Error> {
        self.0.next().and_then(Strict::array).ok_or(SHAPE)
    }

    const fn end(&self) -> Result<(), Error> {
        if self.0.is_empty() { Ok(()) } else { Err(SHAPE) }
    }
}

fn wrapped(kind: &str, parts: &[&[u8]]) -> Vec<u8> {
    let mut value = Vec::new();
    let mut to = Encoder::new(&mut value);
    let mut written = to.array(parts.len() as u64).map(|_| ());
    for part in parts {
        written = written.and_then(|()| to.bytes(part).map(|_| ()));
    }
    written.expect("invariant: a vector takes everything");
    wrap(kind, &value)
}

pub(super) fn wrap(kind: &str, value: &[u8]) -> Vec<u8> {
    let messages = (kind == EVIDENCE).then_some(Messages::EVIDENCE);
    let record = Record { kind: Kind::MediaType(kind), value, messages };
    let mut out = Vec::new();
    record.write(&mut Encoder::new(&mut out)).expect("invariant: a vector takes everything, and these are media types");
    out
}
