//! Certificates and raw public keys, seen by the client: whether the server is to be believed, and what we show it.

use alloc::vec::Vec;

use super::handshake::Handshake;
use crate::handshake::certificate::{self, Signed};
use crate::handshake::exchange::{self, SignedParameters};
use crate::handshake::flight::Item;
use crate::handshake::message::Kind;
use crate::optional::CERTIFICATES;
use crate::{AlertDescription, Authentication, CertificateType, Credential, Error};

const NOT_NOW: Error = Error::Unavailable("the private key cannot be used now");

impl Handshake {
    /// The chain is the verifier's business. That the server has the private key shows in its ServerKeyExchange.
    pub(super) fn on_certificate(&mut self, body: &[u8]) -> Result<(), Error> {
        let verifier = self.config.verifier().ok_or(Error::Misbehaved("a certificate that nobody asked for"))?;
        let chain = certificate::decode(self.server_kind, body)?;
        if chain.is_empty() {
            return Err(Error::Untrusted(AlertDescription::BAD_CERTIFICATE));
        }
        self.peer = Some(verifier.verify(self.server_kind, &chain).map_err(Error::Untrusted)?);
        Ok(())
    }

    /// RFC 5246 section 7.4.3: the signature makes the ephemeral share the server's own.
    pub(super) fn check_server_signature(&self, signed: Option<SignedParameters<'_>>) -> Result<(), Error> {
        let (Some(signed), Some(peer), true) = (signed, &self.peer, CERTIFICATES) else {
            return Err(Error::Misbehaved("a key exchange without a signature"));
        };
        let content = exchange::signed_content(&self.randoms(), signed.parameters);
        signed.signed.verify(self.config.provider, &peer.key, &content).map_err(Error::Untrusted)
    }

    pub(super) fn on_certificate_request(&mut self, body: &[u8]) -> Result<(), Error> {
        self.config.verifier().ok_or(Error::Misbehaved("a CertificateRequest that has no place here"))?;
        let own = self.config.credential().filter(|own| own.kind == self.client_kind);
        self.asked = Some(certificate::decode_request(body, own.map(|own| own.signer.scheme()))?);
        Ok(())
    }

    /// Our Certificate, if the server has asked for one; empty if we have none that it takes (RFC 5246 section 7.4.6).
    pub(super) fn put_certificate(&mut self) -> Result<(), Error> {
        if !CERTIFICATES || self.asked.is_none() {
            return Ok(());
        }
        let body = match self.shown_credential() {
            Some(own) => certificate::encode(own.kind, &own.chain),
            None => certificate::encode(CertificateType::X509, &[]),
        };
        let message = self.next_message(Kind::Certificate, &body)?;
        self.flight.push(Item::Plain(message));
        Ok(())
    }

    /// RFC 5246 section 7.4.8: a signature over everything up to here.
    pub(super) fn put_certificate_verify(&mut self) -> Result<(), Error> {
        let Some(own) = self.shown_credential() else {
            return Ok(());
        };
        let signer = own.signer.clone();
        let provider = self.config.provider;
        let signature = signer.sign(provider, &mut self.expand(b"sign"), self.transcript.bytes()).ok_or(NOT_NOW)?;
        let mut body = Vec::new();
        Signed::put(&mut body, signer.scheme(), signature.as_slice());
        let message = self.next_message(Kind::CertificateVerify, &body)?;
        self.flight.push(Item::Plain(message));
        Ok(())
    }

    fn shown_credential(&self) -> Option<&Credential> {
        self.config.credential().filter(|_| self.asked == Some(true))
    }

    /// How the server has shown who it is, and who its verifier says that it is.
    pub(super) fn authentication(&self) -> (Authentication, u64) {
        match (&self.peer, self.resumes()) {
            (Some(peer), _) => (Authentication::by(self.server_kind), peer.principal),
            (None, Some(session)) => (session.authentication, session.principal),
            (None, None) => (Authentication::PreSharedKey, Authentication::NOBODY),
        }
    }
}
