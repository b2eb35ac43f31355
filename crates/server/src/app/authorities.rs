//! The authorities of tenants: made here, signed by a root elsewhere, believed from their installation to their end.
//!
//! A tenant may have several at a time. The newest that is valid issues; all of them are believed until they end or are
//! distrusted, so that no day comes on which every device must have changed.

use std::collections::HashMap;
use std::sync::{Arc, RwLock};

use bartizan_crypto::AWS_LC;
use bartizan_trust::x509::device;
use bartizan_wire::{TenantId, UnixMillis};
use rustls::pki_types::CertificateDer;
use rustls::pki_types::pem::PemObject;
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use super::admission::{Admission, Believed};
use super::error::{Error, Misuse};
use super::views::rfc3339;
use super::{Actor, App};
use crate::ca::{self, Authority, Key, hierarchy};
use crate::limits::{AUTHORITIES_PEM_BYTES_MAX, AUTHORITIES_PER_TENANT_MAX, ROOTS_PER_TENANT_MAX};
use crate::store::AuthorityRow;

/// How certificates are issued.
#[derive(Clone, Debug)]
pub struct CertificateOptions {
    /// Days that a device's certificate is valid.
    pub days: u32,
    /// Where devices and others reach this server's `/pki`, if certificates are to say so: `http://HOST:PORT`.
    pub url: Option<String>,
}

impl Default for CertificateOptions {
    fn default() -> Self {
        Self { days: 90, url: None }
    }
}

/// Authorities in memory.
#[derive(Default)]
pub(super) struct Authorities {
    pub admission: Arc<Admission>,
    pub options: CertificateOptions,
    pub lists: super::revocation::Lists,
    issuing: RwLock<HashMap<TenantId, Vec<Arc<Issuing>>>>,
}

/// An authority that can sign.
#[derive(Debug)]
pub(super) struct Issuing {
    pub id: u64,
    pub tenant: TenantId,
    pub authority: Authority,
}

impl Authorities {
    pub fn new(options: CertificateOptions) -> Self {
        Self { options, ..Self::default() }
    }

    /// Those of a tenant that are installed and not distrusted, the newest first.
    pub fn of(&self, tenant: TenantId) -> Vec<Arc<Issuing>> {
        let issuing = self.issuing.read().expect("invariant: nothing panics while it holds the authorities");
        issuing.get(&tenant).map(|all| all.iter().rev().cloned().collect()).unwrap_or_default()
    }

    /// The one of this number, of whatever tenant.
    pub fn numbered(&self, id: u64) -> Option<Arc<Issuing>> {
        let issuing = self.issuing.read().expect("invariant: nothing panics while it holds the authorities");
        issuing.values().flatten().find(|issuing| issuing.id == id).cloned()
    }

    /// The tenant, if there is only one with authorities.
    pub fn only_tenant(&self) -> Option<TenantId> {
        let issuing = self.issuing.read().expect("invariant: nothing panics while it holds the authorities");
        let mut tenants = issuing.iter().filter(|(_, all)| !all.is_empty()).map(|(tenant, _)| *tenant);
        tenants.next().filter(|_| tenants.next().is_none())
    }

    fn set(&self, tenant: TenantId, all: Vec<Issuing>) {
        let believed = |issuing: &Issuing| Believed { tenant, certificate: issuing.authority.certificate().to_vec() };
        self.admission.set(tenant, all.iter().map(believed).collect());
        let mut issuing = self.issuing.write().expect("invariant: nothing panics while it holds the authorities");
        issuing.insert(tenant, all.into_iter().map(Arc::new).collect());
    }
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct AuthorityView {
    /// Counts the tenant's authorities.
    pub number: u64,
    /// requested, installed, ended or distrusted.
    pub state: String,
    pub created: String,
    pub not_before: Option<String>,
    pub not_after: Option<String>,
    /// PKCS#10 in PEM: what a root signs.
    pub request: String,
    /// PEM; null until one is installed.
    pub certificate: Option<String>,
}

/// Certificates for an authority, or roots.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct Bundle {
    /// Certificates in PEM, in any order.
    pub certificates: String,
}

impl App {
    /// Makes a key for another issuing authority of the tenant; it lies sealed here and never leaves.
    pub async fn request_authority(&self, actor: &Actor, tenant: TenantId) -> Result<AuthorityView, Error> {
        let name = self.tenant(tenant).await?.name;
        let alive = self.store.operator.authorities(Some(tenant)).await?;
        let now = self.clock.now();
        if alive.iter().filter(|row| is_alive(row, now)).count() >= AUTHORITIES_PER_TENANT_MAX {
            return Err(Misuse::Full(format!("a tenant has at most {AUTHORITIES_PER_TENANT_MAX} authorities")).into());
        }
        let generation = self.store.operator.next_generation(tenant).await?;
        let (key, private) = Key::generate().map_err(failed)?;
        let request = hierarchy::request(&hierarchy::issuing_name(tenant, &name, generation), &key).map_err(failed)?;
        let pair = (private.as_slice(), key.info());
        let row = self.store.operator.add_authority(tenant, generation, pair, &request, now).await?;
        self.audit(actor, "authority.request", Some(tenant), &generation.to_string(), "").await?;
        Ok(view(&row, now))
    }

    /// Installs what a root signed, with the root. From then on the authority is believed, and issues if it is the newest.
    pub async fn install_authority(
        &self,
        actor: &Actor,
        tenant: TenantId,
        bundle: &Bundle,
    ) -> Result<AuthorityView, Error> {
        let mut above = certificates(&bundle.certificates)?;
        let rows = self.store.operator.authorities(Some(tenant)).await?;
        let (at, row) = requested(&above, &rows).ok_or_else(|| {
            Error::Malformed("none of these certificates is for a key of the tenant's authorities".into())
        })?;
        let certificate = above.swap_remove(at);
        let known = self.store.operator.roots(tenant).await?;
        check_roots(&above, &known)?;
        check_authority(&certificate, row, above.iter().chain(&known), self.clock.now())?;
        self.store.operator.install_authority(row, &certificate, &above, self.clock.now()).await?;
        self.load_authorities(Some(tenant)).await?;
        self.audit(actor, "authority.install", Some(tenant), &row.generation.to_string(), "").await?;
        let row = AuthorityRow { certificate: Some(certificate), ..row.clone() };
        Ok(view(&row, self.clock.now()))
    }

    /// Gives the tenant's devices further roots, or roots certified by others (`ca cross-sign`).
    pub async fn add_roots(&self, actor: &Actor, tenant: TenantId, bundle: &Bundle) -> Result<(), Error> {
        let roots = certificates(&bundle.certificates)?;
        check_roots(&roots, &self.store.operator.roots(tenant).await?)?;
        self.store.operator.add_roots(tenant, &roots, self.clock.now()).await?;
        self.audit(actor, "authority.roots", Some(tenant), "", &format!("{} certificates", roots.len())).await
    }

    /// The tenant's authorities, the oldest first.
    pub async fn authorities(&self, tenant: TenantId) -> Result<Vec<AuthorityView>, Error> {
        let now = self.clock.now();
        Ok(self.store.operator.authorities(Some(tenant)).await?.iter().map(|row| view(row, now)).collect())
    }

    /// Believes nothing that this authority issued, from now on and for good.
    pub async fn distrust_authority(&self, actor: &Actor, tenant: TenantId, number: u64) -> Result<(), Error> {
        let rows = self.store.operator.authorities(Some(tenant)).await?;
        let row = rows.iter().find(|row| row.generation == number);
        let row = row.ok_or_else(|| Misuse::Unknown(format!("authority {number}")))?;
        if !self.store.operator.distrust_authority(row.id, self.clock.now()).await? {
            return Err(Misuse::Conflict("the authority is distrusted already".into()).into());
        }
        self.load_authorities(Some(tenant)).await?;
        self.audit(actor, "authority.distrust", Some(tenant), &number.to_string(), "").await
    }

    /// The certificates that a device of the tenant needs (RFC 7030 section 4.1.3), in DER: issuing authorities, the
    /// newest first, then roots and roots certified by one another.
    pub async fn ca_certificates(&self, tenant: TenantId) -> Result<Vec<Vec<u8>>, Error> {
        let now = self.clock.now();
        let issuing = self.authorities.of(tenant).into_iter().filter(|issuing| issuing.authority.is_valid(now));
        let mut all: Vec<_> = issuing.map(|issuing| issuing.authority.certificate().to_vec()).collect();
        if all.is_empty() {
            return Err(Misuse::Unknown("authority of this tenant".into()).into());
        }
        all.extend(self.store.operator.roots(tenant).await?);
        Ok(all)
    }

    /// The tenant whose authority it must be when nobody says which: the only one that has any.
    #[must_use]
    pub fn only_certified_tenant(&self) -> Option<TenantId> {
        self.authorities.only_tenant()
    }

    /// Which devices certificates belong to; for whoever terminates TLS or DTLS.
    #[must_use]
    pub fn admission(&self) -> Arc<Admission> {
        Arc::clone(&self.authorities.admission)
    }

    /// Reads the authorities of one tenant, or of all, from the store.
    pub(super) async fn load_authorities(&self, tenant: Option<TenantId>) -> Result<(), Error> {
        let mut tenants: HashMap<TenantId, Vec<Issuing>> = HashMap::new();
        for row in self.store.operator.authorities(tenant).await? {
            let all = tenants.entry(row.tenant).or_default();
            let Some(certificate) = row.certificate.clone().filter(|_| row.distrusted.is_none()) else { continue };
            let key = Key::from_pkcs8(&row.open_key(&self.store.sealer)?).map_err(failed)?;
            let authority = Authority::new(certificate, key).map_err(failed)?;
            let places = self.authorities.options.url.as_ref().map(|url| format!("{url}/pki/{}", row.id));
            all.push(Issuing { id: row.id, tenant: row.tenant, authority: authority.with_places(places) });
        }
        tenants.into_iter().for_each(|(tenant, all)| self.authorities.set(tenant, all));
        Ok(())
    }

    /// Reads what was taken back of all tenants that have authorities.
    pub(super) async fn load_revoked(&self) -> Result<(), Error> {
        let now = self.clock.now();
        let mut tenants: Vec<_> = self.store.operator.authorities(None).await?.iter().map(|row| row.tenant).collect();
        tenants.dedup();
        tenants.sort_unstable();
        tenants.dedup();
        for tenant in tenants {
            for row in self.store.tenant(tenant).await?.revoked_certificates(now).await? {
                self.authorities.admission.revoke(row.serial, row.not_after, now);
            }
        }
        Ok(())
    }
}

/// A failure of our own keys is not the caller's.
fn failed(error: ca::Error) -> Error {
    Error::Unavailable(format!("an authority cannot be used: {error}"))
}

/// The certificates of a bundle in DER.
fn certificates(pem: &str) -> Result<Vec<Vec<u8>>, Error> {
    let wrong = |why: &str| Error::Malformed(format!("certificates come as PEM, BEGIN CERTIFICATE: {why}"));
    if pem.len() > AUTHORITIES_PEM_BYTES_MAX {
        return Err(wrong("this is longer than any"));
    }
    let all = CertificateDer::pem_slice_iter(pem.as_bytes()).collect::<Result<Vec<_>, _>>();
    let all = all.map_err(|_| wrong("this holds a broken one"))?;
    if all.is_empty() {
        return Err(wrong("this holds none"));
    }
    Ok(all.into_iter().map(|certificate| certificate.to_vec()).collect())
}

/// Which of the certificates is for which of the tenant's authorities, by its key.
fn requested<'a>(certificates: &[Vec<u8>], rows: &'a [AuthorityRow]) -> Option<(usize, &'a AuthorityRow)> {
    certificates.iter().enumerate().find_map(|(at, certificate)| {
        let key_info = bartizan_trust::x509::Certificate::read(certificate).ok()?.key_info;
        Some((at, rows.iter().find(|row| row.key_info == key_info)?))
    })
}

/// An issuing authority has the name and key that were asked for, none below it, and one of `above` over it.
fn check_authority<'a>(
    certificate: &[u8],
    row: &AuthorityRow,
    above: impl Iterator<Item = &'a Vec<u8>>,
    now: UnixMillis,
) -> Result<(), Error> {
    let wrong = |why: &str| Error::Untrusted(format!("the authority's certificate is not accepted: {why}"));
    let read = device::Authority::read(certificate).map_err(|error| wrong(&error.to_string()))?;
    let request = bartizan_trust::x509::Request::open(&AWS_LC, &row.request);
    if request.is_ok_and(|request| request.subject != read.certificate.subject) {
        return Err(wrong("it has another name than was asked for"));
    }
    if read.path_length != Some(0) {
        return Err(wrong("its path length must be 0"));
    }
    if read.certificate.not_after < bartizan_trust::x509::Second((now.0 / 1000) as i64) {
        return Err(wrong("it has ended"));
    }
    if row.distrusted.is_some() {
        return Err(wrong("this authority is distrusted"));
    }
    let mut above = above.filter_map(|issuer| device::Authority::read(issuer).ok());
    if !above.any(|issuer| read.issued_by(&AWS_LC, &issuer).is_ok()) {
        return Err(wrong("the root that signed it must come with it"));
    }
    Ok(())
}

/// Each is an authority signed by itself, or by another of them or of those known.
fn check_roots(roots: &[Vec<u8>], known: &[Vec<u8>]) -> Result<(), Error> {
    if roots.len() + known.len() > ROOTS_PER_TENANT_MAX {
        return Err(Misuse::Full(format!("a tenant has at most {ROOTS_PER_TENANT_MAX} roots")).into());
    }
    let read = |bytes| device::Authority::read(bytes).ok();
    let all: Vec<_> = roots.iter().chain(known).filter_map(|bytes| read(bytes)).collect();
    for root in roots {
        let signed = read(root).is_some_and(|root| all.iter().any(|issuer| root.issued_by(&AWS_LC, issuer).is_ok()));
        if !signed {
            return Err(Error::Untrusted("a certificate that is not of a root, or not signed by one of these".into()));
        }
    }
    Ok(())
}

fn is_alive(row: &AuthorityRow, now: UnixMillis) -> bool {
    row.distrusted.is_none() && end_of(row).is_none_or(|(_, end)| end >= now)
}

/// From when to when the authority is valid, once it is installed.
fn end_of(row: &AuthorityRow) -> Option<(UnixMillis, UnixMillis)> {
    let read = bartizan_trust::x509::Certificate::read(row.certificate.as_deref()?).ok()?;
    let millis = |at: bartizan_trust::x509::Second| UnixMillis(u64::try_from(at.0).unwrap_or(0).saturating_mul(1000));
    Some((millis(read.not_before), millis(read.not_after)))
}

fn view(row: &AuthorityRow, now: UnixMillis) -> AuthorityView {
    let days = end_of(row);
    let state = match days {
        _ if row.distrusted.is_some() => "distrusted",
        None => "requested",
        Some((_, end)) if end < now => "ended",
        Some(_) => "installed",
    };
    AuthorityView {
        number: row.generation,
        state: state.into(),
        created: rfc3339(row.created),
        not_before: days.map(|(from, _)| rfc3339(from)),
        not_after: days.map(|(_, to)| rfc3339(to)),
        request: ca::pem("CERTIFICATE REQUEST", &row.request),
        certificate: row.certificate.as_deref().map(|der| ca::pem("CERTIFICATE", der)),
    }
}
