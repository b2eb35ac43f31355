//! The client's flight, and what ends a handshake (RFC 8446 section 4.4, RFC 9147 section 5.8).

use alloc::boxed::Box;
use alloc::vec::Vec;
use core::net::SocketAddr;

use bartizan_crypto::{Provider, constant_time_eq};
use bartizan_wire::event::{HandshakeFailure, RecordRejection};
use bartizan_wire::record::ContentType;

use super::super::config::{ClientAuthentication, EndpointConfig};
use super::super::endpoint::Endpoint;
use super::super::event::{EndpointEvent, HandshakeId};
use super::super::slab::{self, NewSession};
use super::flight::failure_of;
use super::handshake::{Handshake, Phase, Step};
use crate::alert::Alert;
use crate::rrc::Path;
use crate::v13::Fault;
use crate::v13::ack;
use crate::v13::established::{Established, Keys13, LastFlight, WORN_OUT};
use crate::v13::messages::{self, Message, Side, kind, signed_content};
use crate::v13::post::Post;
use crate::v13::record::{ACK, Place, Protection, Sealed, number};
use crate::v13::schedule::{EPOCH_APPLICATION, RecordKey, verify_data};
use crate::{AlertDescription, Authentication, Error, Instant, ReplayWindow, limits, record};

impl Endpoint {
    /// A record of epoch 2 for a handshake.
    pub(super) fn on_handshake_record_13(
        &mut self,
        now: Instant,
        id: HandshakeId,
        remote: SocketAddr,
        record: Sealed<'_>,
    ) {
        let provider = self.config.provider;
        let mut worn_out = false;
        let opened = match self.v13.get_mut(id).and_then(|handshake| handshake.keys.as_mut()) {
            Some(keys) => {
                let opened = keys.open(provider, record);
                worn_out = keys.is_worn_out(self.config.ccm_8_forgeries_max);
                opened
            }
            None => Err(RecordRejection::Unexpected),
        };
        match opened {
            Ok((number, ContentType::HANDSHAKE, content)) => {
                self.hear_13(id);
                self.on_client_flight(now, id, remote, number, content);
            }
            Ok((_, ACK, content)) => {
                self.hear_13(id);
                self.on_flight_ack(now, id, remote, content);
            }
            Ok((_, ContentType::ALERT, content)) => match Alert::decode(content) {
                Some(_) => self.fail_handshake_13(id, HandshakeFailure::NoCommonGround, None),
                None => self.reject(remote, None, RecordRejection::Malformed),
            },
            Ok(_) => self.reject(remote, None, RecordRejection::Unexpected),
            Err(reason) => self.reject(remote, None, reason),
        }
        if worn_out {
            self.fail_handshake_13(id, HandshakeFailure::Misbehaved, Some(WORN_OUT));
        }
    }

    /// Whoever speaks under keys has not given up: an alert in the clear was somebody else's.
    fn hear_13(&mut self, id: HandshakeId) {
        self.accounted = true;
        if let Some(handshake) = self.v13.get_mut(id) {
            handshake.alert = None;
        }
    }

    fn on_flight_ack(&mut self, now: Instant, id: HandshakeId, remote: SocketAddr, content: &[u8]) {
        let Some(handshake) = self.v13.get_mut(id) else {
            return;
        };
        match ack::decode(content) {
            Ok(numbers) => {
                let mut any = false;
                let news = handshake.flight.on_ack(numbers.inspect(|_| any = true));
                // The record is protected, so the whole ServerHello has arrived, whatever the list says. Left in front
                // of the rest it would do harm: wolfSSL drops what follows an old record in its datagram.
                handshake.flight.on_epoch(0);
                // RFC 9147 section 7.2: what is missing goes out at once; an empty ACK misses everything.
                if (news || !any) && !handshake.flight.is_acked() && handshake.awaits_flight() {
                    if !any && !handshake.timer.may_answer(now) {
                        return;
                    }
                    handshake.timer.answered(now);
                    self.repeat_flight_13(id);
                }
            }
            Err(_) => self.reject(remote, None, RecordRejection::Malformed),
        }
    }

    fn on_client_flight(&mut self, now: Instant, id: HandshakeId, remote: SocketAddr, number: u64, content: &[u8]) {
        let quarter = self.config.retransmit_ms / 4;
        let Some(handshake) = self.v13.get_mut(id) else {
            return;
        };
        let Ok(taken) = handshake.reassembly.accept_record(content) else {
            let alert = Some(AlertDescription::DECODE_ERROR);
            return self.fail_handshake_13(id, HandshakeFailure::Misbehaved, alert);
        };
        if taken.whole {
            handshake.acks.note(number);
            handshake.ack_at = handshake.ack_at.or(Some(now.plus(quarter)));
        } else {
            self.reject(remote, None, RecordRejection::Unexpected);
        }
        self.v13.reschedule(id);
        while let Some(message) = self.v13.get_mut(id).and_then(|handshake| handshake.reassembly.next()) {
            match self.on_client_message(id, &message) {
                Ok(true) => return self.establish_13(now, id),
                Ok(false) => {}
                Err(Fault { alert, error }) => {
                    let reason = match alert {
                        AlertDescription::DECRYPT_ERROR => HandshakeFailure::WrongKey,
                        _ => failure_of(error),
                    };
                    return self.fail_handshake_13(id, reason, Some(alert));
                }
            }
        }
    }

    /// Whether the handshake is complete.
    fn on_client_message(&mut self, id: HandshakeId, message: &Message) -> Result<bool, Fault> {
        const OUT_OF_PLACE: Fault = Fault::unexpected("a handshake message out of place");
        let provider = self.config.provider;
        let handshake = self.v13.get_mut(id).ok_or(Error::Misuse("the handshake is gone"))?;
        let step = match message.kind {
            kind::CERTIFICATE => Step::Certificate,
            kind::CERTIFICATE_VERIFY => Step::CertificateVerify,
            kind::FINISHED => Step::Finished,
            _ => return Err(OUT_OF_PLACE),
        };
        let mut next = handshake.phase.after(step).ok_or(OUT_OF_PLACE)?;
        match step {
            Step::Certificate => {
                let step = on_certificate(&self.config, handshake, &message.body)?;
                next = handshake.phase.after(step).ok_or(OUT_OF_PLACE)?;
            }
            Step::CertificateVerify => on_certificate_verify(provider, handshake, &message.body)?,
            _ => on_finished(provider, handshake, &message.body)?,
        }
        handshake.transcript.append(message.kind, &message.body)?;
        handshake.phase = next;
        Ok(next == Phase::Done)
    }

    /// The client has proved who it is: the association moves into its slot, and waits to become durable. It is at the
    /// address that the cookie came back from, wherever its Finished came from: somebody may have passed that on.
    fn establish_13(&mut self, now: Instant, id: HandshakeId) {
        let provider = self.config.provider;
        let Some(handshake) = self.v13.remove(id) else {
            return;
        };
        let (Some(terms), Some(keys), Some((secrets, exporter))) = (handshake.terms, handshake.keys, handshake.secrets)
        else {
            return self.slab.release(handshake.session);
        };
        let session = handshake.session;
        let authentication = match (terms.client_type, handshake.peer) {
            _ if terms.psk => Authentication::PreSharedKey,
            (Some(kind), Some(_)) => Authentication::by(kind),
            _ => Authentication::Anonymous,
        };
        let principal = match authentication {
            Authentication::Anonymous => Authentication::NOBODY,
            _ => handshake.principal.unwrap_or_default(),
        };
        let post = Post::new(handshake.message_sequence, handshake.reassembly.due());
        let first = Keys13::first(provider, terms.suite, &secrets);
        let mut established = Established::new(secrets, post);
        let until = now.plus(limits::LAST_FLIGHT_MS);
        let last = LastFlight { secret: keys.read_secret.clone(), window: keys.window, acks: handshake.acks, until };
        established.last_flight = Some(Box::new(last));
        self.serial = self.serial.saturating_add(1);
        if let Some(cold) = self.slab.cold_mut(session) {
            cold.exporter = exporter;
            cold.serial = self.serial;
            cold.authentication = authentication;
            cold.forward_secret = terms.group.is_some();
            cold.v13 = Some(Box::new(established));
            if terms.says_limit {
                cold.rare_mut().limits = terms.limits;
            }
        }
        let new = NewSession {
            phase: slab::Phase::AwaitDurable,
            suite: terms.suite,
            principal,
            remote: handshake.remote,
            peer_cid: terms.peer_cid.unwrap_or_default(),
            own_cid: terms.peer_cid.is_some(),
            read: first.read.as_ref(),
            write: first.write.as_ref(),
            read_epoch: first.read_epoch,
            write_epoch: first.write_epoch,
            //= rfc9147#4.5.1-1
            //= rfc9147#4.5.1-1
            window: ReplayWindow::default(),
            send_next: 0,
            lease: self.config.lease,
            last_seen: now,
            rrc: terms.rrc,
            path: Path::VALIDATED,
        };
        self.slab.occupy(session, &new);
        self.events.push_back(EndpointEvent::Establishing { session, principal, tag: handshake.tag });
    }

    /// What the timers bring: an ACK for half a flight, our flight again, the end.
    pub(in super::super) fn on_timeout_13(&mut self, now: Instant, id: HandshakeId) {
        let provider = self.config.provider;
        let mtu = self.config.mtu;
        let Some(handshake) = self.v13.get_mut(id) else {
            return;
        };
        if now >= handshake.expires {
            return self.fail_handshake_13(id, HandshakeFailure::TimedOut, None);
        }
        if handshake.ack_at.is_some_and(|at| now >= at) {
            handshake.ack_at = None;
            let acks = core::mem::take(&mut handshake.acks);
            let ack = handshake.keys.as_mut().and_then(|keys| keys.acknowledge(provider, &acks, mtu));
            handshake.acks = acks;
            let remote = handshake.remote;
            ack.into_iter().for_each(|ack| self.transmit(remote, ack));
            return self.v13.reschedule(id);
        }
        if handshake.alert.is_some() {
            return self.fail_handshake_13(id, HandshakeFailure::NoCommonGround, None);
        }
        handshake.timer.back_off(now);
        self.repeat_flight_13(id);
    }

    /// Ends a handshake with a reason, and with an alert, if one is named.
    pub(in super::super) fn fail_handshake_13(
        &mut self,
        id: HandshakeId,
        reason: HandshakeFailure,
        alert: Option<AlertDescription>,
    ) {
        let provider = self.config.provider;
        let Some(handshake) = self.drop_handshake_13(id) else {
            return;
        };
        if let Some(record) = alert.and_then(|alert| last_words(provider, &handshake, alert)) {
            self.transmit(handshake.remote, record);
        }
        self.handshake_failed(handshake.remote, handshake.identity, handshake.principal, reason);
    }

    /// Forgets a handshake and frees its slot.
    pub(in super::super) fn drop_handshake_13(&mut self, id: HandshakeId) -> Option<Handshake> {
        let handshake = self.v13.remove(id)?;
        self.slab.release(handshake.session);
        Some(*handshake)
    }
}

/// The one record that follows our flight if the handshake fails. RFC 8446 section 4.4.4: what we send after our Finished
/// is under the application's keys, alerts about the client's flight included. Before it is out the client knows no keys.
fn last_words(provider: &'static Provider, handshake: &Handshake, alert: AlertDescription) -> Option<Vec<u8>> {
    let alert = Alert::of(alert).encode();
    let (Some(keys), Some((secrets, _))) = (&handshake.keys, &handshake.secrets) else {
        return Some(record::plain(ContentType::ALERT, handshake.plain_next, &alert));
    };
    let key = RecordKey::derive(provider, keys.suite, &secrets.write);
    let writing = Protection { provider, suite: keys.suite, key: key.as_ref() };
    let number = number(EPOCH_APPLICATION, 0);
    writing.seal(&keys.peer_cid, number, Place::Last, ContentType::ALERT, &alert).ok()
}

/// Whom the certificate names, and what that is as a step. That the client has the private key shows in its
/// CertificateVerify; one without a certificate sends none (RFC 8446 section 4.4.3).
fn on_certificate(config: &EndpointConfig, handshake: &mut Handshake, body: &[u8]) -> Result<Step, Fault> {
    let certificates = messages::decode_certificates(body)?;
    let kind = handshake.terms.and_then(|terms| terms.client_type);
    let (Some(verifier), Some(kind)) = (&config.verifier, kind) else {
        return Err(Error::Misuse("no verifier").into());
    };
    if !certificates.context.is_empty() {
        return Err(Error::Misbehaved("a certificate for another request").into());
    }
    if certificates.chain.is_empty() {
        if config.client_authentication == ClientAuthentication::Optional {
            return Ok(Step::NoCertificate);
        }
        let error = Error::Unsupported("the client has no certificate");
        return Err(Fault::new(AlertDescription::CERTIFICATE_REQUIRED, error));
    }
    handshake.peer = Some(verifier.verify(kind, &certificates.chain).map_err(Error::Untrusted)?);
    Ok(Step::Certificate)
}

fn on_certificate_verify(provider: &'static Provider, handshake: &mut Handshake, body: &[u8]) -> Result<(), Fault> {
    let (scheme, signature) = messages::decode_certificate_verify(body)?;
    let peer = handshake.peer.ok_or(Error::Misbehaved("a signature without a certificate"))?;
    // From here on a failure is reported under the name that was claimed.
    handshake.principal = Some(peer.principal);
    let terms = handshake.terms.ok_or(Error::Misuse("no terms"))?;
    if scheme != peer.key.scheme {
        return Err(Error::Misbehaved("a signature of another kind than the key").into());
    }
    let transcript = handshake.transcript.hash(provider, terms.suite.hash());
    let content = signed_content(Side::Client, transcript.as_slice());
    let verified = (scheme.algorithm(provider).verify)(peer.key.bytes.as_slice(), &content, signature);
    verified.map_err(|_| {
        Fault::new(AlertDescription::DECRYPT_ERROR, Error::Misbehaved("the client's signature does not verify"))
    })
}

fn on_finished(provider: &'static Provider, handshake: &Handshake, body: &[u8]) -> Result<(), Fault> {
    let keys = handshake.keys.as_ref().ok_or(Error::Misbehaved("Finished without keys"))?;
    let hash = keys.suite.hash();
    let transcript = handshake.transcript.hash(provider, hash);
    let expected = verify_data(provider, hash, &keys.read_secret, &transcript);
    match constant_time_eq(expected.as_slice(), body) {
        true => Ok(()),
        false => {
            let error = Error::Misbehaved("the client's Finished does not verify");
            Err(Fault::new(AlertDescription::DECRYPT_ERROR, error))
        }
    }
}
