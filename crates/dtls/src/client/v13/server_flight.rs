//! The server's flight after its hello, and ours in answer (RFC 8446 sections 4.3 and 4.4).

use alloc::vec::Vec;

use bartizan_crypto::constant_time_eq;

use super::association::Association;
use super::handshake::{Handshake, Phase};
use super::hello::unsupported;
use crate::codec::u16s;
use crate::credential::{CertificateType, Credential};
use crate::handshake::extension::kind;
use crate::handshake::negotiation::{self, RecordLimits};
use crate::v13::Fault;
use crate::v13::established::{Established, FIRST_NUMBER, Keys13, Secrets13};
use crate::v13::messages::{self, Side, kind as message, signed_content};
use crate::v13::post::Post;
use crate::v13::schedule::{Schedule, verify_data};
use crate::v13::spares::Spares;
use crate::{AlertDescription, Authentication, Error, ReplayWindow};

/// What EncryptedExtensions may hold: answers, and the server's groups for another time.
const IN_EXTENSIONS: [u16; 5] = [
    kind::SERVER_NAME,
    kind::SUPPORTED_GROUPS,
    kind::SERVER_CERTIFICATE_TYPE,
    kind::CLIENT_CERTIFICATE_TYPE,
    kind::RECORD_SIZE_LIMIT,
];

impl Handshake {
    pub(super) fn on_extensions(&mut self, body: &[u8]) -> Result<(), Fault> {
        let extensions = messages::decode_extensions(body)?;
        let asked = |kind: u16| match kind {
            kind::SERVER_NAME => self.config.server_name.is_some(),
            kind::RECORD_SIZE_LIMIT => self.config.record_size_limit.is_some(),
            _ => true,
        };
        if !extensions.are_among(&IN_EXTENSIONS) || !extensions.iter().all(|(kind, _)| asked(kind)) {
            return Err(unsupported());
        }
        let limit = negotiation::record_size_limit_13(&extensions)?;
        if let (Some(send), Some(receive), Some(keys)) = (limit, self.config.record_size_limit, self.keys.as_mut()) {
            keys.limits = RecordLimits { send, receive, in_the_clear: false };
        }
        if let Some(body) = extensions.body(kind::SERVER_CERTIFICATE_TYPE) {
            self.server_type = chosen_type(body)?;
        }
        if let Some(body) = extensions.body(kind::CLIENT_CERTIFICATE_TYPE) {
            self.client_type = chosen_type(body)?;
        }
        let own = self.config.credential.as_ref().map(|credential| credential.kind);
        let client_fits = self.client_type == CertificateType::X509 || own == Some(self.client_type);
        let both_fit = self.takes_type(self.server_type) && client_fits;
        if !(self.psk || both_fit) {
            let error = Error::Unsupported("no kind of certificate in common");
            return Err(Fault::new(AlertDescription::UNSUPPORTED_CERTIFICATE, error));
        }
        Ok(())
    }

    pub(super) fn on_certificate_request(&mut self, body: &[u8]) -> Result<(), Fault> {
        let request = messages::decode_certificate_request(body)?;
        // RFC 8446 section 4.3.2: empty in the handshake.
        if !request.context.is_empty() {
            return Err(Error::Misbehaved("a CertificateRequest with a context").into());
        }
        let own = self.config.credential.as_ref().map(|credential| credential.signer.scheme().code());
        self.asked = Some(own.is_some_and(|own| u16s(request.schemes).any(|scheme| scheme == own)));
        Ok(())
    }

    pub(super) fn on_certificate(&mut self, body: &[u8]) -> Result<(), Fault> {
        let certificates = messages::decode_certificates(body)?;
        let verifier = self.config.verifier.as_ref().ok_or(Error::Misbehaved("a certificate that nobody wants"))?;
        // RFC 8446 section 4.4.2: the server's is never empty.
        if !certificates.context.is_empty() || certificates.chain.is_empty() {
            return Err(Error::Malformed("no certificate, or one with a context").into());
        }
        self.peer = Some(verifier.verify(self.server_type, &certificates.chain).map_err(Error::Untrusted)?);
        Ok(())
    }

    pub(super) fn on_certificate_verify(&mut self, body: &[u8]) -> Result<(), Fault> {
        let provider = self.config.provider;
        let (scheme, signature) = messages::decode_certificate_verify(body)?;
        let peer = self.peer.as_ref().ok_or(Error::Misbehaved("a signature without a certificate"))?;
        if scheme != peer.key.scheme {
            return Err(Error::Misbehaved("a signature of another kind than the key").into());
        }
        let transcript = self.transcript.hash(provider, self.chosen_suite()?.hash());
        let content = signed_content(Side::Server, transcript.as_slice());
        let verified = (scheme.algorithm(provider).verify)(peer.key.bytes.as_slice(), &content, signature);
        verified.map_err(|_| {
            Fault::new(AlertDescription::DECRYPT_ERROR, Error::Misbehaved("the server's signature does not verify"))
        })
    }

    /// The server has said everything: our certificate, if it wants one, and our Finished.
    pub(super) fn on_finished(&mut self, body: &[u8], next: Phase) -> Result<bool, Fault> {
        let provider = self.config.provider;
        let hash = self.chosen_suite()?.hash();
        let keys = self.keys.as_ref().ok_or(Error::Misbehaved("Finished without keys"))?;
        let transcript = self.transcript.hash(provider, hash);
        let expected = verify_data(provider, hash, &keys.read_secret, &transcript);
        if !constant_time_eq(expected.as_slice(), body) {
            let error = Error::ANOTHER_FINISHED;
            return Err(Fault::new(AlertDescription::DECRYPT_ERROR, error));
        }
        self.transcript.append(message::FINISHED, body)?;
        let mut schedule = self.schedule.take().ok_or(Error::Misbehaved("Finished without keys"))?;
        schedule.advance(None);
        let base = keys.write_secret.clone();
        //= rfc9147#7.2-3
        self.flight.clear();
        let association = self.associate(&schedule)?;
        self.put_certificate()?;
        let transcript = self.transcript.hash(provider, hash);
        let finished = verify_data(provider, hash, &base, &transcript);
        self.put(message::FINISHED, Self::PROTECTED, finished.as_slice().to_vec())?;
        self.association = Some(Association {
            established: Established {
                post: Post::new(self.message_sequence, self.reassembly.due()),
                ..association.established
            },
            ..association
        });
        self.phase = next;
        Ok(true)
    }

    /// How the server has shown who it is, and who its verifier says that it is.
    pub(super) fn authentication(&self) -> (Authentication, u64) {
        match &self.peer {
            Some(peer) => (Authentication::by(self.server_type), peer.principal),
            None => (Authentication::PreSharedKey, Authentication::NOBODY),
        }
    }

    /// Keys of everything after the handshake; the transcript reaches to the server's Finished.
    fn associate(&self, schedule: &Schedule) -> Result<Association, Error> {
        let provider = self.config.provider;
        let suite = self.chosen_suite()?;
        let transcript = self.transcript.hash(provider, suite.hash());
        let secrets = Secrets13 {
            read: schedule.derive("s ap traffic", &transcript),
            write: schedule.derive("c ap traffic", &transcript),
        };
        let (own_cid, peer_cid) = self.cids.unzip();
        Ok(Association {
            provider,
            suite,
            own_cid,
            peer_cid: peer_cid.unwrap_or_default(),
            spares: Spares::default(),
            asked: false,
            connection_ids: self.config.connection_ids,
            window: ReplayWindow::default(),
            send_next: FIRST_NUMBER,
            lease: None,
            exporter: schedule.exporter(&transcript),
            limits: self.keys.as_ref().map_or(RecordLimits::NONE_13, |keys| keys.limits),
            keys: Keys13::first(provider, suite, &secrets),
            forgeries: 0,
            established: Established::new(secrets, Post::new(0, 0)),
            mtu: self.config.mtu,
            retransmit_ms: self.config.retransmit_ms,
        })
    }

    /// Certificate and CertificateVerify, if the server asked; an empty chain if we have none that suits it.
    fn put_certificate(&mut self) -> Result<(), Fault> {
        let Some(suits) = self.asked else {
            return Ok(());
        };
        let fits = |credential: &Credential| suits && credential.kind == self.client_type;
        let credential = self.config.credential.clone().filter(fits);
        let body = messages::encode_certificates(&[], credential.as_ref());
        self.put(message::CERTIFICATE, Self::PROTECTED, body)?;
        let Some(credential) = credential else {
            return Ok(());
        };
        let body = self.sign(&credential)?;
        Ok(self.put(message::CERTIFICATE_VERIFY, Self::PROTECTED, body)?)
    }

    fn sign(&mut self, credential: &Credential) -> Result<Vec<u8>, Error> {
        let provider = self.config.provider;
        let transcript = self.transcript.hash(provider, self.chosen_suite()?.hash());
        let content = signed_content(Side::Client, transcript.as_slice());
        let signature = credential.signer.sign(provider, &mut self.rng, &content);
        let signature = signature.ok_or(Error::Unavailable("our key cannot sign now"))?;
        Ok(messages::encode_certificate_verify(credential.signer.scheme(), signature.as_slice()))
    }
}

fn chosen_type(body: &[u8]) -> Result<CertificateType, Error> {
    match *body {
        [code] => {
            CertificateType::from_code(code).ok_or(Error::Misbehaved("a kind of certificate that was not offered"))
        }
        _ => Err(Error::Malformed("a certificate type has the wrong length")),
    }
}
