//! Certificates of devices: issued, shown, taken back.

use std::sync::Arc;

use bartizan_crypto::AWS_LC;
use bartizan_wire::{Access, Lifecycle, TenantId, UnixMillis};
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

pub use super::admission::{Admission, Distrust};
use super::device::Device;
use super::error::{Error, Misuse};
use super::views::{Page, rfc3339};
use super::{AccessChange, Actor, App, Paging};
use crate::ca::{self, Csr, Serial, Subject, Validity, pem};
use crate::limits::{CERTIFICATE_SKEW_MS, CERTIFICATES_PER_DEVICE_A_DAY_MAX, CSR_BYTES_MAX};
use crate::store::{CertificateQuery, CertificateRow, Kept, fill_random};

pub(super) const DAY_MS: u64 = 86_400_000;

/// How a device came to its certificate.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
pub enum Enrolled {
    /// With its one-time secret.
    Secret = 0,
    /// With the certificate before.
    Renewal = 1,
    /// With what its manufacturer gave it.
    Onboarding = 2,
    /// Over a session under its pre-shared key.
    Session = 3,
}

impl Enrolled {
    const fn name(code: u8) -> &'static str {
        match code {
            0 => "secret",
            1 => "renewal",
            2 => "onboarding",
            3 => "session",
            _ => "unknown",
        }
    }
}

/// Why there is no certificate.
#[derive(Debug, thiserror::Error)]
pub enum CertificateError {
    /// The device may not have one now: it is isolated or retired, or the key is another's.
    #[error("{0}")]
    Refused(String),
    /// The request is broken or asks for what it must not.
    #[error("{0}")]
    Malformed(String),
    /// The device asks too often.
    #[error("the device was issued as many certificates as it may have in a day")]
    TooMany,
    /// The tenant has no authority that is valid now.
    #[error("the tenant has no issuing authority")]
    NoAuthority,
    #[error(transparent)]
    Failed(#[from] Error),
}

impl From<crate::store::Error> for CertificateError {
    fn from(error: crate::store::Error) -> Self {
        Self::Failed(error.into())
    }
}

/// Why a certificate is taken back (CRLReason, RFC 5280 section 5.3.1). None is for a while: that is what holds are for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema, clap::ValueEnum)]
#[serde(rename_all = "snake_case")]
#[repr(u8)]
pub enum Reason {
    Unspecified = 0,
    KeyCompromise = 1,
    AffiliationChanged = 3,
    Superseded = 4,
    CessationOfOperation = 5,
    PrivilegeWithdrawn = 9,
}

impl Reason {
    const fn name(code: u8) -> &'static str {
        match code {
            1 => "key_compromise",
            3 => "affiliation_changed",
            4 => "superseded",
            5 => "cessation_of_operation",
            9 => "privilege_withdrawn",
            _ => "unspecified",
        }
    }
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct CertificateView {
    /// 32 hexadecimal digits.
    pub serial: String,
    pub device: String,
    pub issued: String,
    pub not_before: String,
    pub not_after: String,
    /// valid, expired or revoked.
    pub state: String,
    /// How it was asked for: secret, renewal, onboarding or session.
    pub how: String,
    pub revoked: Option<String>,
    /// Why it was taken back.
    pub reason: Option<String>,
    /// PEM. In lists it is absent.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub certificate: Option<String>,
}

/// Which certificates a list shows; absent filters let everything through.
#[derive(Clone, Debug, Default)]
pub struct CertificateFilter {
    /// The device's name.
    pub device: Option<String>,
    /// Only those in use that end within so many days.
    pub expiring_days: Option<u32>,
    /// Only those that were taken back, or only those that were not.
    pub revoked: Option<bool>,
}

impl App {
    /// Issues a certificate (DER) for the key of a request (PKCS#10 in DER); it is on the disk before it is answered.
    /// That `device` is who asks is for the caller to know. Everything but the key is ours to say.
    ///
    /// # Errors
    /// `Refused` for a quarantined, blocked or retired device.
    pub async fn issue_certificate(
        &self,
        device: &Arc<Device>,
        csr: &[u8],
        how: Enrolled,
    ) -> Result<Vec<u8>, CertificateError> {
        self.certify(device, &open_csr(csr)?, how).await
    }

    /// The same for a request that was opened.
    pub(super) async fn certify(
        &self,
        device: &Arc<Device>,
        csr: &Csr<'_>,
        how: Enrolled,
    ) -> Result<Vec<u8>, CertificateError> {
        check_access(device)?;
        let now = self.clock.now();
        let issuing = self.authorities.of(device.key.tenant).into_iter().find(|all| all.authority.is_valid(now));
        let issuing = issuing.ok_or(CertificateError::NoAuthority)?;
        let not_after = UnixMillis(now.0.saturating_add(u64::from(self.authorities.options.days) * DAY_MS));
        let validity = Validity { not_before: UnixMillis(now.0.saturating_sub(CERTIFICATE_SKEW_MS)), not_after };
        let subject = Subject { device: device.key, name: &device.name };
        let serial = fresh_serial();
        let certificate = issuing.authority.issue(csr, &subject, &serial, validity).map_err(not_issued)?;
        let row = CertificateRow {
            id: 0,
            serial,
            authority: issuing.id,
            device: device.key.device,
            device_name: String::new(),
            issued: now,
            not_before: validity.not_before,
            not_after: not_after.min(issuing.authority.validity().not_after),
            key_hash: (AWS_LC.sha256)(&[csr.key_info()]),
            how: how as u8,
            certificate,
            revoked: None,
        };
        self.keep_certificate(device, row).await
    }

    async fn keep_certificate(&self, device: &Arc<Device>, row: CertificateRow) -> Result<Vec<u8>, CertificateError> {
        let yesterday = UnixMillis(row.issued.0.saturating_sub(DAY_MS));
        let store = &device.tenant().store;
        match store.add_certificate(&row, CERTIFICATES_PER_DEVICE_A_DAY_MAX, yesterday).await? {
            Kept::Yes => {}
            Kept::KeyOfAnother => {
                self.note(device, "certificate", "It asked for a certificate with another device's key.".into());
                return Err(CertificateError::Refused("the key is another device's".into()));
            }
            Kept::TooMany => return Err(CertificateError::TooMany),
        }
        // Whoever was isolated meanwhile does not get it.
        check_access(device)?;
        let how = Enrolled::name(row.how);
        let text = format!("Certificate {} issued ({how}), good until {}.", row.serial, rfc3339(row.not_after));
        self.note(device, "certificate", text);
        Ok(row.certificate)
    }

    /// Certificates of a tenant's devices, the newest first.
    pub async fn certificates(
        &self,
        tenant: TenantId,
        filter: &CertificateFilter,
        paging: &Paging,
    ) -> Result<Page<CertificateView>, Error> {
        let store = self.open_tenant(tenant).await?.store.clone();
        let now = self.clock.now();
        let device = match &filter.device {
            Some(name) => Some(self.device_key(tenant, name).await?.device),
            None => None,
        };
        let ending = |days: u32| (now, UnixMillis(now.0.saturating_add(u64::from(days).saturating_mul(DAY_MS))));
        let query = CertificateQuery {
            before: Some(paging.from(u64::MAX)?),
            limit: paging.items()? + 1,
            device,
            ending: filter.expiring_days.map(ending),
            revoked: filter.revoked,
        };
        paging.page(store.certificates(&query).await?, |row| row.id, |row| view(row, now, false))
    }

    pub async fn certificate(&self, tenant: TenantId, serial: &str) -> Result<CertificateView, Error> {
        let row = self.require_certificate(tenant, serial).await?;
        Ok(view(&row, self.clock.now(), true))
    }

    /// Takes a certificate back for good. It is refused from now on, and the device's association is closed.
    pub async fn revoke_certificate(
        &self,
        actor: &Actor,
        tenant: TenantId,
        serial: &str,
        reason: Reason,
    ) -> Result<CertificateView, Error> {
        let row = self.require_certificate(tenant, serial).await?;
        let now = self.clock.now();
        let open = self.open_tenant(tenant).await?;
        if !open.store.revoke_certificate(row.serial, now, reason as u8).await? {
            return Err(Misuse::Conflict("the certificate was taken back already".into()).into());
        }
        self.authorities.admission.revoke(row.serial, row.not_after, now);
        self.forget_list(row.authority).await;
        let key = bartizan_wire::DeviceKey { tenant, device: row.device };
        let device = self.require_device(key).await?;
        let text = format!("Certificate {} was taken back: {}.", row.serial, Reason::name(reason as u8));
        self.note_by(&device, actor, "certificate", text);
        self.announce(&AccessChange { device: device.clone(), access: device.access(), close: true });
        let detail = format!("{}: {}", device.name, Reason::name(reason as u8));
        self.audit(actor, "certificate.revoke", Some(tenant), &row.serial.to_string(), &detail).await?;
        self.certificate(tenant, serial).await
    }

    async fn require_certificate(&self, tenant: TenantId, serial: &str) -> Result<CertificateRow, Error> {
        let store = self.open_tenant(tenant).await?.store.clone();
        let unknown = || Misuse::Unknown(format!("certificate {serial:?}"));
        let serial = Serial::from_hex(serial).ok_or_else(unknown)?;
        Ok(store.certificate(serial).await?.ok_or_else(unknown)?)
    }
}

/// Reads a request (PKCS#10 in DER): whoever made it has the private key.
pub(super) fn open_csr(der: &[u8]) -> Result<Csr<'_>, CertificateError> {
    if der.len() > CSR_BYTES_MAX {
        return Err(CertificateError::Malformed("the request is longer than any".into()));
    }
    Csr::open(der).map_err(|error| CertificateError::Malformed(error.to_string()))
}

/// Who may have a certificate.
fn check_access(device: &Device) -> Result<(), CertificateError> {
    let refused = |why: &str| Err(CertificateError::Refused(format!("the device is {why}")));
    if device.state().posture.lifecycle == Lifecycle::Retired {
        return refused("retired");
    }
    match device.access() {
        Access::Full | Access::Limited => Ok(()),
        access @ (Access::Quarantined | Access::Blocked) => refused(access.name()),
    }
}

fn fresh_serial() -> Serial {
    let mut random = [0; 16];
    fill_random(&mut random);
    Serial::new(random)
}

fn not_issued(error: ca::Error) -> CertificateError {
    match error {
        ca::Error::NotValid => CertificateError::NoAuthority,
        error => Error::Unavailable(format!("the authority cannot sign: {error}")).into(),
    }
}

fn view(row: &CertificateRow, now: UnixMillis, whole: bool) -> CertificateView {
    let state = match row.revoked {
        Some(_) => "revoked",
        None if row.not_after < now => "expired",
        None => "valid",
    };
    CertificateView {
        serial: row.serial.to_string(),
        device: row.device_name.clone(),
        issued: rfc3339(row.issued),
        not_before: rfc3339(row.not_before),
        not_after: rfc3339(row.not_after),
        state: state.into(),
        how: Enrolled::name(row.how).into(),
        revoked: row.revoked.map(|(at, _)| rfc3339(at)),
        reason: row.revoked.map(|(_, reason)| Reason::name(reason).into()),
        certificate: whole.then(|| pem("CERTIFICATE", &row.certificate)),
    }
}
