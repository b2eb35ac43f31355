//! Which of its keys a device has shaken hands with. The first handshake with another one makes it the only one, before
//! the association is on the disk and the last message leaves: no crash brings back an association of a key that is
//! not in use, and a device that missed the last message comes again with either key.

use std::sync::Arc;

use bartizan_dtls::{Authentication, SessionId};

use super::super::hold::Held;
use super::super::journal::Entry;
use super::devices::key_of;
use super::{Done, Run};
use crate::app::Device;

impl Run {
    /// The client has proved the key of this number.
    pub(super) fn establishing(&mut self, session: SessionId, principal: u64, number: u32) {
        let Some(info) = self.endpoint.session(session) else {
            return;
        };
        if info.authentication != Authentication::PreSharedKey {
            return self.confirm_later(session, Held::Confirm(session));
        }
        match self.app.device(key_of(principal)) {
            Some(device) if device.key_number() == number => self.confirm_with_key(session, &device, principal, number),
            Some(device) if !device.is_key_pending(number) => self.endpoint.abandon(session),
            _ => self.use_key(session, principal, number),
        }
    }

    fn use_key(&self, session: SessionId, principal: u64, number: u32) {
        let app = Arc::clone(&self.app);
        self.spawn(async move {
            let valid = match app.load_device(key_of(principal)).await {
                Ok(Some(device)) => app.use_key(&device, number).await,
                Ok(None) => Ok(false),
                Err(error) => Err(error),
            };
            if let Err(error) = &valid {
                tracing::warn!(%error, "a device's new key cannot be taken into use; its handshake fails");
            }
            Done::KeyUsed { session, principal, number, valid: valid.unwrap_or(false) }
        });
    }

    pub(super) fn key_used(&mut self, session: SessionId, principal: u64, number: u32, valid: bool) {
        match self.app.device(key_of(principal)).filter(|_| valid) {
            Some(device) => self.confirm_with_key(session, &device, principal, number),
            None => self.endpoint.abandon(session),
        }
    }

    /// What may be left of a replaced key ends in the same group of the journal in which this association begins.
    fn confirm_with_key(&mut self, session: SessionId, device: &Device, principal: u64, number: u32) {
        if device.is_key_replaced() {
            for old in self.sessions_of(principal) {
                self.end(principal, old);
            }
        }
        self.confirm_later(session, Held::ConfirmKey(session, number));
    }

    /// The association is on the disk; its key may have been replaced meanwhile.
    pub(super) fn confirm_key(&mut self, session: SessionId, number: u32) {
        let Some(info) = self.endpoint.session(session) else {
            return;
        };
        let device = self.app.device(key_of(info.principal));
        let Some(device) = device.filter(|device| device.key_number() == number) else {
            self.endpoint.abandon(session);
            return self.journal.record(&Entry::Closed { session: session.to_u64() });
        };
        self.endpoint.confirm_durable(self.instant(), session);
        if device.is_key_replaced() {
            let app = Arc::clone(&self.app);
            tokio::spawn(async move {
                if let Err(error) = app.forget_replaced_key(&device).await {
                    tracing::warn!(%error, "what is left of a replaced key is cleared away later");
                }
            });
        }
    }
}
