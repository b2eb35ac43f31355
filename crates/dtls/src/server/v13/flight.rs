//! Our flight: ServerHello to Finished (RFC 8446 sections 4.1.3, 4.3 and 4.4).

use alloc::vec::Vec;

use bartizan_crypto::{Secret, SecretBytes, constant_time_eq};
use bartizan_wire::event::HandshakeFailure;

use super::super::endpoint::Endpoint;
use super::super::event::{HandshakeId, PskEntry};
use super::handshake::{Handshake, Step};
use super::terms::Terms;
use crate::credential::CertificateType;
use crate::handshake::extension::{Writer, kind as extension};
use crate::handshake::hello::ClientHello;
use crate::handshake::negotiation;
use crate::v13::Fault;
use crate::v13::established::Secrets13;
use crate::v13::flight::Outgoing;
use crate::v13::hello::Choice;
use crate::v13::messages::{self, Side, kind, signed_content};
use crate::v13::offer::{Offer, binder};
use crate::v13::schedule::{EPOCH_HANDSHAKE, Schedule, verify_data};
use crate::v13::sealer::HandshakeKeys;
use crate::v13::share;
use crate::{AlertDescription, Error, Instant};

impl Endpoint {
    /// Answers the question for a key; `None` carries on with a random one, so that from outside an unknown identity
    /// looks like a wrong key (RFC 8446 section 4.2.11 allows it).
    pub(in super::super) fn provide_psk_13(&mut self, now: Instant, id: HandshakeId, entry: Option<PskEntry>) {
        let mut nobodys = Secret::new([0; 32]);
        self.rng.fill(nobodys.expose_mut());
        let Some(handshake) = self.v13.get_mut(id) else {
            return;
        };
        let Some(next) = handshake.phase.after(Step::PskProvided) else {
            return;
        };
        handshake.principal = entry.as_ref().map(|entry| entry.principal);
        handshake.tag = entry.as_ref().map_or(0, |entry| entry.tag);
        handshake.phase = next;
        let psk = entry.map(|entry| entry.key).or_else(|| SecretBytes::new(nobodys.expose()));
        let reason = match handshake.principal {
            Some(_) => HandshakeFailure::WrongKey,
            None => HandshakeFailure::UnknownIdentity,
        };
        match psk.filter(|psk| self.has_signed(id, psk)) {
            Some(psk) => self.answer_13(now, id, Some(&psk)),
            None => self.fail_handshake_13(id, reason, Some(AlertDescription::DECRYPT_ERROR)),
        }
    }

    /// Whether the hello's binder was made with this key (RFC 8446 section 4.2.11.2).
    fn has_signed(&self, id: HandshakeId, psk: &SecretBytes) -> bool {
        let signed = self.v13.get(id).and_then(|handshake| {
            let hello = ClientHello::decode(&handshake.hello).ok()?;
            let offer = Offer::read(&hello).ok()?.psk?;
            let part = handshake.hello.get(..handshake.hello.len().checked_sub(offer.binders_len)?)?;
            let (provider, hash) = (self.config.provider, offer.hash()?);
            let expected = binder(provider, hash, psk.expose(), &handshake.transcript, handshake.hello.len(), part);
            Some(constant_time_eq(expected.as_slice(), offer.binder))
        });
        signed.unwrap_or(false)
    }

    /// Sends our flight.
    pub(super) fn answer_13(&mut self, now: Instant, id: HandshakeId, psk: Option<&SecretBytes>) {
        // Taken out, so that our source of randomness and our keys are free to be used.
        let Some(mut handshake) = self.v13.remove(id) else {
            return;
        };
        let outcome = self.put_flight_13(&mut handshake, psk);
        handshake.hello = Vec::new();
        handshake.timer.restart(now);
        self.v13.insert(id, handshake);
        match outcome {
            Ok(()) => self.repeat_flight_13(id),
            Err(Fault { alert, error }) => self.fail_handshake_13(id, failure_of(error), Some(alert)),
        }
    }

    fn put_flight_13(&mut self, handshake: &mut Handshake, psk: Option<&SecretBytes>) -> Result<(), Fault> {
        let provider = self.config.provider;
        let terms = handshake.terms.ok_or(Error::Misuse("no terms"))?;
        let hash = terms.suite.hash();
        let (share, shared) = self.answer_share(handshake, &terms)?.unzip();
        let hello = self.server_hello(handshake, &terms, share.as_deref());
        let first = core::mem::take(&mut handshake.hello);
        handshake.transcript.append(kind::CLIENT_HELLO, &first)?;
        put(handshake, kind::SERVER_HELLO, 0, hello)?;
        let mut schedule = Schedule::start(provider, hash, psk.map(SecretBytes::expose));
        schedule.advance(shared.as_ref().map(SecretBytes::expose));
        let transcript = handshake.transcript.hash(provider, hash);
        let read = schedule.derive("c hs traffic", &transcript);
        let write = schedule.derive("s hs traffic", &transcript);
        let peer_cid = terms.peer_cid.unwrap_or_default();
        let base = write.clone();
        let mut keys = HandshakeKeys::new(provider, terms.suite, read, write, peer_cid);
        keys.limits = terms.limits;
        handshake.keys = Some(keys);
        self.put_extensions(handshake, &terms)?;
        if !terms.psk {
            self.put_certificate(handshake, &terms)?;
        }
        let transcript = handshake.transcript.hash(provider, hash);
        let finished = verify_data(provider, hash, &base, &transcript);
        put(handshake, kind::FINISHED, EPOCH_HANDSHAKE, finished.as_slice().to_vec())?;
        schedule.advance(None);
        let transcript = handshake.transcript.hash(provider, hash);
        let secrets = Secrets13 {
            read: schedule.derive("c ap traffic", &transcript),
            write: schedule.derive("s ap traffic", &transcript),
        };
        handshake.secrets = Some((secrets, schedule.exporter(&transcript)));
        Ok(())
    }

    /// Our share and the secret; `None` with a pre-shared key alone.
    fn answer_share(&mut self, handshake: &Handshake, terms: &Terms) -> Result<Option<(Vec<u8>, SecretBytes)>, Error> {
        let Some(group) = terms.group else {
            return Ok(None);
        };
        let hello = ClientHello::decode(&handshake.hello)?;
        let peer = Offer::read(&hello)?.share(group).ok_or(Error::Misbehaved("no share"))?;
        let answer = share::answer(self.config.provider, group, &mut *self.rng, peer);
        Ok(Some(answer.ok_or(Error::Misbehaved("the client's share is not a valid one"))?))
    }

    fn server_hello(&mut self, handshake: &Handshake, terms: &Terms, share: Option<&[u8]>) -> Vec<u8> {
        let mut random = [0; 32];
        self.rng.fill(&mut random);
        let own_cid = terms.peer_cid.map(|_| self.config.routes.issue(handshake.session, &mut *self.rng));
        let choice = Choice {
            random: &random,
            suite: terms.suite,
            share: terms.group.zip(share),
            psk: terms.psk,
            own_cid: own_cid.as_ref(),
            rrc: terms.rrc,
        };
        choice.encode()
    }

    fn put_extensions(&self, handshake: &mut Handshake, terms: &Terms) -> Result<(), Error> {
        let mut writer = Writer::default();
        let own = self.config.credential.as_ref().map(|credential| credential.kind);
        // RFC 7250 section 4.2: what X.509 leaves unsaid.
        if !terms.psk && own == Some(CertificateType::RawPublicKey) {
            writer.put(extension::SERVER_CERTIFICATE_TYPE, &[CertificateType::RawPublicKey as u8]);
        }
        if terms.client_type == Some(CertificateType::RawPublicKey) {
            writer.put(extension::CLIENT_CERTIFICATE_TYPE, &[CertificateType::RawPublicKey as u8]);
        }
        if terms.says_limit {
            negotiation::put_record_size_limit(&mut writer, terms.limits.receive);
        }
        put(handshake, kind::ENCRYPTED_EXTENSIONS, EPOCH_HANDSHAKE, messages::encode_extensions(writer))
    }

    /// CertificateRequest, if the client is asked; Certificate and CertificateVerify.
    fn put_certificate(&mut self, handshake: &mut Handshake, terms: &Terms) -> Result<(), Error> {
        let provider = self.config.provider;
        let credential = self.config.credential.as_ref().ok_or(Error::Misuse("no credential"))?;
        if terms.client_type.is_some() {
            put(handshake, kind::CERTIFICATE_REQUEST, EPOCH_HANDSHAKE, messages::encode_certificate_request())?;
        }
        let body = messages::encode_certificates(&[], Some(credential));
        put(handshake, kind::CERTIFICATE, EPOCH_HANDSHAKE, body)?;
        let transcript = handshake.transcript.hash(provider, terms.suite.hash());
        let content = signed_content(Side::Server, transcript.as_slice());
        let signature = credential.signer.sign(provider, &mut *self.rng, &content);
        let signature = signature.ok_or(Error::Unavailable("our key cannot sign now"))?;
        let body = messages::encode_certificate_verify(credential.signer.scheme(), signature.as_slice());
        put(handshake, kind::CERTIFICATE_VERIFY, EPOCH_HANDSHAKE, body)
    }

    pub(super) fn repeat_flight_13_if_due(&mut self, now: Instant, id: HandshakeId) {
        let Some(handshake) = self.v13.get_mut(id) else {
            return;
        };
        if handshake.awaits_flight() && handshake.timer.may_answer(now) {
            handshake.timer.answered(now);
            self.repeat_flight_13(id);
        }
    }

    /// Sends what is missing of the flight under fresh record numbers.
    pub(super) fn repeat_flight_13(&mut self, id: HandshakeId) {
        let Some(handshake) = self.v13.get_mut(id) else {
            return;
        };
        let datagrams = handshake.transmit(self.config.provider, self.config.mtu);
        let remote = handshake.remote;
        datagrams.into_iter().for_each(|datagram| self.transmit(remote, datagram));
        self.v13.reschedule(id);
    }
}

pub(super) const fn failure_of(error: Error) -> HandshakeFailure {
    match error {
        Error::Malformed(_) | Error::Misbehaved(_) => HandshakeFailure::Misbehaved,
        Error::Unsupported(_) => HandshakeFailure::NoCommonGround,
        Error::Untrusted(_) => HandshakeFailure::UnknownIdentity,
        Error::Misuse(_) | Error::Unavailable(_) => HandshakeFailure::Overloaded,
    }
}

fn put(handshake: &mut Handshake, kind: u8, epoch: u16, body: Vec<u8>) -> Result<(), Error> {
    handshake.transcript.append(kind, &body)?;
    handshake.flight.push(Outgoing { kind, sequence: handshake.message_sequence, epoch, body });
    handshake.message_sequence = handshake.message_sequence.saturating_add(1);
    Ok(())
}
