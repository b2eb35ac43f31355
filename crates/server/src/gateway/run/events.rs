//! What the DTLS layer reports: into the judge's words, and onto the disk where it must be.

use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;

use bartizan_dtls::{
    AlertDescription, CipherSuite, CloseReason, EndpointEvent, HandshakeId, PathOutcome, PskEntry, SecretBytes,
    SessionId,
};
use bartizan_wire::event::{HandshakeFailure, RecordRejection, kind_hash};
use bartizan_wire::{Access, DeviceKey, Event, EventKind, Source, Subject};

use super::super::counters::{Dropped, count};
use super::super::hold::{Held, record_session};
use super::super::journal::Entry;
use super::devices::{key_of, principal_of};
use super::{Done, Run};
use crate::app::door::is_applicant;
use crate::app::{Credential, Device, SessionFacts};
use crate::limits::{GATEWAY_CREDENTIALS_MAX, GATEWAY_REFUSED_MAX};

const _: () = {
    use bartizan_dtls::limits as dtls;
    use bartizan_platform::limits as import;
    assert!(import::PSK_BYTES_MIN >= dtls::PSK_BYTES_MIN, "DTLS takes every key that an import does");
};

impl Run {
    pub(super) fn dtls_event(&mut self, event: EndpointEvent) {
        match event {
            EndpointEvent::PskRequested { handshake, identity, .. } => self.find_credential(handshake, identity),
            EndpointEvent::Establishing { session, principal, tag } => self.establishing(session, principal, tag),
            EndpointEvent::StateChanged { session, .. } => self.confirm_later(session, Held::Confirm(session)),
            EndpointEvent::Established { session, principal, suite, connection_id } => {
                self.established(session, principal, suite, connection_id)
            }
            EndpointEvent::Data { session, principal, data, .. } => self.data(session, principal, data),
            EndpointEvent::Rebound { session, principal, to, .. } => self.rebound(session, principal, to),
            EndpointEvent::LeaseLow { session, upto } => self.lease_low(session, upto),
            EndpointEvent::HandshakeFailed { remote, identity, principal, reason } => {
                self.handshake_failed(remote, identity.as_deref(), principal, reason)
            }
            EndpointEvent::Rejected { remote, claimed, reason } => self.rejected(remote, claimed, reason),
            EndpointEvent::PathChecked { principal, address, outcome, .. } => {
                self.path_checked(principal, address, outcome)
            }
            // One node alone has one shard, which is never another's.
            EndpointEvent::Misrouted { remote, .. } => {
                self.rejected(remote, None, RecordRejection::UnknownConnectionId)
            }
            EndpointEvent::Closed { session, principal, reason } => self.closed(session, principal, reason),
            // Not configured: a device keeps its association by its Connection ID.
            EndpointEvent::ResumptionRequested { handshake, .. } => {
                let now = self.instant();
                self.endpoint.provide_resumption(now, handshake, false);
            }
            EndpointEvent::Misused { principal, error } => self.key_unusable(principal, error),
        }
    }

    fn find_credential(&mut self, handshake: HandshakeId, identity: Vec<u8>) {
        if self.credentials >= GATEWAY_CREDENTIALS_MAX {
            self.shown.dropped(Dropped::CredentialsBusy);
            let now = self.instant();
            return self.endpoint.provide_psk(now, handshake, None);
        }
        self.credentials += 1;
        let app = Arc::clone(&self.app);
        self.spawn(async move {
            let credential = app.credential(&identity).await;
            Done::Credential { handshake, identity, credential: credential.ok().flatten() }
        });
    }

    /// An unknown identity and a blocked device carry on with a random key: from outside, all three look
    /// like a wrong key.
    pub(super) fn credential_found(
        &mut self,
        handshake: HandshakeId,
        identity: Vec<u8>,
        credential: Option<Credential>,
    ) {
        self.credentials -= 1;
        let entry = credential.and_then(|credential| {
            let key = credential.device.key;
            if credential.device.access() == Access::Blocked {
                if self.refused.len() < GATEWAY_REFUSED_MAX {
                    self.refused.insert(identity, key);
                }
                return None;
            }
            let tag = credential.number;
            Some(PskEntry { key: SecretBytes::new(&credential.psk)?, principal: principal_of(key)?, tag })
        });
        let now = self.instant();
        self.endpoint.provide_psk(now, handshake, entry);
    }

    /// Imports refuse such keys; one that is here comes from elsewhere. Told once in the device's history, for
    /// anybody can make this happen; counted each time.
    fn key_unusable(&mut self, principal: u64, error: bartizan_dtls::Error) {
        self.shown.dropped(Dropped::CredentialUnusable);
        let Some(device) = self.app.device(key_of(principal)) else {
            return;
        };
        if self.unusable.len() < GATEWAY_REFUSED_MAX && self.unusable.insert(principal) {
            tracing::warn!(device = %device.name, %error, "a device's key cannot be used");
            self.app.key_unusable(&device, &error.to_string());
        }
    }

    /// Puts the association on the disk, and then lets its message go.
    pub(super) fn confirm_later(&mut self, session: SessionId, held: Held) {
        if self.is_applicants(session) {
            return self.confirm_applicant(session);
        }
        if let (Some(info), Some(lease)) = (self.endpoint.session(session), self.endpoint.lease(session)) {
            record_session(&mut self.journal, &self.endpoint, session, lease, info.remote);
            self.hold.hold(held);
        }
    }

    fn established(&mut self, session: SessionId, principal: u64, suite: CipherSuite, connection_id: bool) {
        count(self.shown.handshakes_of(suite.version()));
        if is_applicant(principal) {
            return self.applicant_established(session, principal);
        }
        if let Some(before) = self.sessions.insert(principal, session)
            && before != session
        {
            self.replaced.insert(principal, before);
        }
        self.restored.remove(&principal);
        self.make_room();
        let Some(device) = self.app.device(key_of(principal)) else {
            // A certificate is believed from memory; who it names is read now, and refused if it is blocked.
            self.restored.insert(principal);
            return self.load_later(principal);
        };
        if device.access() == Access::Blocked {
            let now = self.instant();
            return self.endpoint.close(now, session, AlertDescription::ACCESS_DENIED);
        }
        self.tell_opened(session, &device);
        self.observe(&device, EventKind::Established { suite: suite.code(), connection_id });
        self.app.key_used(&device);
    }

    /// Every association keeps its place until a device that is there needs it: when few are free, the
    /// longest silent ones go, so that handshakes under way find a place. Those devices make a handshake when
    /// they come back.
    fn make_room(&mut self) {
        let taken = self.sessions.len() + self.replaced.len() + self.applicants.len();
        if taken < self.sessions_kept {
            return;
        }
        let seen = |session| self.endpoint.session(session).map(|info| (info.last_seen, session));
        let mut by_age: Vec<_> = self.endpoint.sessions().filter_map(seen).collect();
        let leaving = (taken / 64).max(1).min(by_age.len().saturating_sub(1));
        by_age.select_nth_unstable(leaving);
        let now = self.instant();
        for (_, session) in by_age.into_iter().take(leaving) {
            self.shown.dropped(Dropped::SessionsFull);
            self.endpoint.close(now, session, AlertDescription::CLOSE_NOTIFY);
        }
    }

    pub(super) fn tell_opened(&self, session: SessionId, device: &Arc<Device>) {
        if let Some(info) = self.endpoint.session(session) {
            let facts = SessionFacts {
                since: self.app.clock().now(),
                address: info.remote,
                connection_id: info.connection_id,
                version: info.suite.version().name(),
                suite: info.suite.name(),
            };
            self.app.session_opened(device, facts);
        }
    }

    fn data(&mut self, session: SessionId, principal: u64, data: Vec<u8>) {
        count(&self.shown.records);
        if is_applicant(principal) {
            return self.deliver(session, principal, data);
        }
        self.hold.hold(Held::Data { session, principal, data });
    }

    fn rebound(&mut self, session: SessionId, principal: u64, to: SocketAddr) {
        count(&self.shown.rebindings);
        if is_applicant(principal) {
            return;
        }
        self.journal.record(&Entry::Address { session: session.to_u64(), address: to });
        if let Some(device) = self.app.device(key_of(principal)) {
            self.app.session_moved(&device, to);
            let network = network_of(to);
            self.observe(&device, EventKind::Rebound { network });
        }
    }

    fn path_checked(&mut self, principal: u64, address: SocketAddr, outcome: PathOutcome) {
        count(self.shown.path_checks_of(outcome));
        if outcome == PathOutcome::Refused {
            // Somebody passed a device's record on from an address of his own.
            self.rejected(address, Some(principal), RecordRejection::Replayed);
        }
    }

    fn lease_low(&mut self, session: SessionId, upto: u64) {
        if self.is_applicants(session) {
            return self.endpoint.extend_lease(session, upto);
        }
        self.journal.record(&Entry::Lease { session: session.to_u64(), upto });
        self.hold.hold(Held::Lease(session, upto));
    }

    fn handshake_failed(
        &mut self,
        remote: SocketAddr,
        identity: Option<&[u8]>,
        principal: Option<u64>,
        reason: HandshakeFailure,
    ) {
        let refused = identity.and_then(|identity| self.refused.remove(identity));
        let reason = match refused {
            Some(_) => HandshakeFailure::Refused,
            None => reason,
        };
        self.shown.dropped(reason.into());
        let claimed = refused.or(principal.filter(|principal| !is_applicant(*principal)).map(key_of));
        self.observe_source(remote, claimed, EventKind::HandshakeFailed { reason });
    }

    fn rejected(&mut self, remote: SocketAddr, claimed: Option<u64>, reason: RecordRejection) {
        self.shown.dropped(reason.into());
        let claimed = claimed.filter(|principal| !is_applicant(*principal)).map(key_of);
        self.observe_source(remote, claimed, EventKind::RecordRejected { reason });
    }

    fn closed(&mut self, session: SessionId, principal: u64, reason: CloseReason) {
        if is_applicant(principal) {
            return self.applicant_closed(session, principal);
        }
        if reason == CloseReason::Forgeries {
            count(&self.shown.forgeries);
            let key = key_of(principal);
            let (tenant, device) = (key.tenant.0, key.device.0);
            tracing::warn!(tenant, device, "an association was closed: too many records did not open");
        }
        let by_peer = matches!(reason, CloseReason::Peer | CloseReason::Alert(_));
        self.journal.record(&Entry::Closed { session: session.to_u64() });
        self.drop_peer(session);
        if self.replaced.get(&principal) == Some(&session) {
            self.replaced.remove(&principal); // the newer association carries on
            return;
        }
        if self.sessions.get(&principal) != Some(&session) {
            return;
        }
        match self.replaced.remove(&principal) {
            Some(before) => self.sessions.insert(principal, before),
            None => self.sessions.remove(&principal),
        };
        if let Some(device) = self.app.device(key_of(principal)) {
            self.app.session_closed(&device);
            self.observe(&device, EventKind::Closed { by_peer });
        }
    }

    /// Something authentic of a device.
    pub(super) fn observe(&self, device: &Device, kind: EventKind) {
        self.app.observe(Event {
            at: self.app.clock().now(),
            subject: Subject::Device { key: device.key, device_type: device.device_type },
            kind,
        });
    }

    /// Something that anybody may have sent: never held against the device it names.
    fn observe_source(&self, remote: SocketAddr, claimed: Option<DeviceKey>, kind: EventKind) {
        self.app.observe(Event {
            at: self.app.clock().now(),
            subject: Subject::Source { source: Source::of(remote), claimed },
            kind,
        });
    }
}

/// The /24 (IPv4) or /48 (IPv6) of an address, hashed.
fn network_of(address: SocketAddr) -> u32 {
    match address.ip().to_canonical() {
        IpAddr::V4(ip) => kind_hash(&[&ip.octets()[..3]]),
        IpAddr::V6(ip) => kind_hash(&[&ip.octets()[..6]]),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_network_is_a_24_or_a_48() {
        let network = |text: &str| network_of(text.parse().unwrap());
        assert_eq!(network("192.0.2.1:1"), network("192.0.2.200:9"));
        assert_ne!(network("192.0.2.1:1"), network("192.0.3.1:1"));
        assert_eq!(network("192.0.2.1:1"), network("[::ffff:192.0.2.9]:1"));
        assert_eq!(network("[2001:db8:1:2::1]:1"), network("[2001:db8:1:3::1]:1"));
        assert_ne!(network("[2001:db8:1::1]:1"), network("[2001:db8:2::1]:1"));
    }
}
