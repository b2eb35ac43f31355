//! Certificates and raw public keys, seen by the server: what we show, and whether the client is to be believed.

use alloc::vec::Vec;

use bartizan_crypto::{KeyPair, Random};
use bartizan_wire::event::HandshakeFailure;

use super::config::{ClientAuthentication, EndpointConfig};
use super::endpoint::Endpoint;
use super::event::HandshakeId;
use super::handshake::Handshake;
use super::phase::{Path, Step};
use crate::handshake::certificate::{self, Signed};
use crate::handshake::exchange;
use crate::handshake::message::{self, Message};
use crate::{AlertDescription, Authentication, CertificateType, Error, Group, KeyExchange};

/// Why a handshake fails, to the peer and to the operator.
pub(super) struct Failure(pub AlertDescription, pub HandshakeFailure);

impl From<Error> for Failure {
    fn from(error: Error) -> Self {
        let reason = match error {
            Error::Untrusted(_) => HandshakeFailure::UnknownIdentity,
            Error::Unavailable(_) => HandshakeFailure::Overloaded,
            _ => HandshakeFailure::Misbehaved,
        };
        Self(error.alert(), reason)
    }
}

impl EndpointConfig {
    /// The body of our ServerKeyExchange; signed where we have shown a certificate.
    pub(super) fn server_key_exchange(
        &self,
        rng: &mut dyn Random,
        handshake: &Handshake,
        group: Group,
        pair: &KeyPair,
    ) -> Result<Vec<u8>, Error> {
        let kind = handshake.suite.key_exchange();
        let mut body = exchange::encode_server(kind, group, pair.public.as_slice());
        if kind == KeyExchange::EcdheEcdsa {
            let own = self.credential.as_ref().ok_or(Error::Misuse("no credential"))?;
            let content = exchange::signed_content(&handshake.randoms, &body);
            let signature = own.signer.sign(self.provider, rng, &content);
            let signature = signature.ok_or(Error::Unavailable("the private key cannot be used now"))?;
            Signed::put(&mut body, own.signer.scheme(), signature.as_slice());
        }
        Ok(body)
    }
}

impl Endpoint {
    /// Whom the certificate names. That the client has the private key shows in its CertificateVerify.
    pub(super) fn on_certificate(&mut self, id: HandshakeId, message: &Message) -> Result<(), Failure> {
        let config = &self.config;
        let handshake = self.handshakes.get_mut(id).ok_or(GONE)?;
        let next = handshake.after(Step::Certificate)?;
        let kind = handshake.terms.client_kind.unwrap_or(CertificateType::X509);
        let chain = certificate::decode(kind, &message.body)?;
        if chain.is_empty() {
            if config.client_authentication == ClientAuthentication::Required {
                // RFC 5246 section 7.4.6.
                return Err(Failure(AlertDescription::HANDSHAKE_FAILURE, HandshakeFailure::NoCommonGround));
            }
        } else {
            let verifier = config.verifier.as_ref().ok_or(Error::Misuse("no verifier"))?;
            handshake.peer = Some(verifier.verify(kind, &chain).map_err(Error::Untrusted)?);
            handshake.path = Path::Shown;
            handshake.authentication = Authentication::by(kind);
        }
        append(handshake, message)?;
        handshake.phase = next;
        Ok(())
    }

    /// RFC 5246 section 7.4.8: the client's signature over everything that was said.
    pub(super) fn on_certificate_verify(&mut self, id: HandshakeId, message: &Message) -> Result<(), Failure> {
        let provider = self.config.provider;
        let handshake = self.handshakes.get_mut(id).ok_or(GONE)?;
        let next = handshake.after(Step::CertificateVerify)?;
        let peer = handshake.peer.ok_or(Error::Misbehaved("a signature without a certificate"))?;
        let signed = Signed::decode(&message.body)?;
        // From here on a failure is reported under the name that was claimed.
        handshake.principal = Some(peer.principal);
        signed
            .verify(provider, &peer.key, handshake.transcript.bytes())
            .map_err(|alert| Failure(alert, HandshakeFailure::WrongKey))?;
        append(handshake, message)?;
        handshake.phase = next;
        self.handshakes.reschedule(id);
        Ok(())
    }
}

pub(super) const GONE: Error = Error::Misuse("the handshake is gone");

pub(super) fn append(handshake: &mut Handshake, message: &Message) -> Result<(), Error> {
    let bytes = message::encode(message.kind, message.sequence, &message.body);
    handshake.transcript.append(&bytes)
}
