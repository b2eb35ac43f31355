//! Which device a certificate belongs to: asked at every handshake, answered from memory.

use std::collections::HashMap;
use std::sync::{RwLock, RwLockReadGuard, RwLockWriteGuard};

use bartizan_crypto::AWS_LC;
use bartizan_trust::x509::{Certificate, device};
use bartizan_wire::{DeviceKey, TenantId, UnixMillis};

use crate::ca::Serial;

/// The issuing authorities of all tenants and the certificates that were taken back. Shared; never waits for a disk.
#[derive(Debug, Default)]
pub struct Admission(RwLock<State>);

#[derive(Debug, Default)]
struct State {
    /// By the encoded name.
    authorities: HashMap<Vec<u8>, Vec<Believed>>,
    /// Until when they would have been valid.
    revoked: HashMap<Serial, UnixMillis>,
}

/// An authority that speaks for its tenant, and for no other.
#[derive(Clone, Debug)]
pub(super) struct Believed {
    pub tenant: TenantId,
    /// DER.
    pub certificate: Vec<u8>,
}

/// Why a certificate admits nobody.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Distrust {
    /// Not one certificate, or not one of ours: no authority of a tenant is its issuer.
    #[error("the certificate is of no authority that is believed here")]
    Unknown,
    /// It says that one of our authorities issued it, and that is not so, or it is for another use.
    #[error("the certificate is not to be believed: {0}")]
    Refused(bartizan_trust::Error),
    #[error("the certificate was taken back")]
    Revoked,
}

impl Admission {
    /// The device that this chain speaks for, and the key (SubjectPublicKeyInfo in DER) of its leaf. What stands behind
    /// the leaf is not looked at: every authority that may have issued it is known here.
    ///
    /// # Errors
    /// The reason; it is for logs, not for whoever showed the chain.
    pub fn device_of(&self, chain: &[&[u8]], now: UnixMillis) -> Result<(DeviceKey, Vec<u8>), Distrust> {
        let leaf = chain.first().ok_or(Distrust::Unknown)?;
        let leaf = Certificate::read(leaf).map_err(|_| Distrust::Unknown)?;
        let state = self.read();
        let issuers = state.authorities.get(leaf.issuer).ok_or(Distrust::Unknown)?;
        let mut refused = Distrust::Unknown;
        for issuer in issuers {
            match issuer.device_of(&leaf, now) {
                Ok(_) if is_revoked(&state, &leaf) => return Err(Distrust::Revoked),
                Ok(device) => return Ok((device, leaf.key_info.to_vec())),
                Err(error) => refused = Distrust::Refused(error),
            }
        }
        Err(refused)
    }

    /// Puts these in the place of the tenant's authorities.
    pub(super) fn set(&self, tenant: TenantId, authorities: Vec<Believed>) {
        let mut state = self.write();
        state.authorities.retain(|_, believed| {
            believed.retain(|believed| believed.tenant != tenant);
            !believed.is_empty()
        });
        for believed in authorities {
            let Ok(read) = Certificate::read(&believed.certificate) else { continue };
            let name = read.subject.to_vec();
            state.authorities.entry(name).or_default().push(believed);
        }
    }

    /// Believes a certificate no more. It is forgotten after its end, when nobody believes it anyway.
    pub(super) fn revoke(&self, serial: Serial, not_after: UnixMillis, now: UnixMillis) {
        let mut state = self.write();
        if state.revoked.len() == state.revoked.capacity() {
            state.revoked.retain(|_, end| *end >= now);
        }
        state.revoked.insert(serial, not_after);
    }

    fn read(&self) -> RwLockReadGuard<'_, State> {
        self.0.read().expect("invariant: nothing panics while it holds the authorities")
    }

    fn write(&self) -> RwLockWriteGuard<'_, State> {
        self.0.write().expect("invariant: nothing panics while it holds the authorities")
    }
}

impl Believed {
    fn device_of(&self, leaf: &Certificate<'_>, now: UnixMillis) -> Result<DeviceKey, bartizan_trust::Error> {
        let issuer = device::Authority::read(&self.certificate)?;
        issuer.certificate.check_time(now)?;
        let verified = device::verify(&AWS_LC, leaf, &issuer, now)?;
        if verified.device.tenant != self.tenant {
            return Err(bartizan_trust::Error::Misbehaved("an authority that speaks for another tenant's device"));
        }
        Ok(verified.device)
    }
}

/// Whether it was taken back. A number that is none of ours was not issued by us, whoever signed it.
fn is_revoked(state: &State, leaf: &Certificate<'_>) -> bool {
    Serial::read(leaf.serial).is_none_or(|serial| state.revoked.contains_key(&serial))
}
