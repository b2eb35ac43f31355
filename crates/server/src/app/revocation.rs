//! What an authority says to others about certificates that were taken back: its list, and answers of OCSP.
//!
//! Nothing here is needed to refuse such a certificate at our own doors: admission knows it from memory.

use std::collections::HashMap;
use std::sync::Arc;

use bartizan_trust::x509::ocsp::OcspRequest;
use bartizan_wire::{TenantId, UnixMillis};

use super::App;
use super::authorities::Issuing;
use super::certificates::DAY_MS;
use super::error::{Error, Misuse};
use crate::ca::{Revoked, Serial, Status, Unanswered, Validity};

/// How long a revocation list is good, and after how long there is a new one anyway.
const LIST_MS: u64 = 7 * DAY_MS;
const LIST_RENEWED_MS: u64 = DAY_MS;
/// How long an answer of OCSP may be kept.
const ANSWER_MS: u64 = DAY_MS;
/// By how much both are dated back, for readers whose clocks are behind.
const SKEW_MS: u64 = 5 * 60_000;

/// The lists that were made last, by authority. Locked while one is made, so that numbers grow with time.
pub(super) type Lists = tokio::sync::Mutex<HashMap<u64, List>>;

/// A list that was made, and when.
pub(super) struct List {
    made: UnixMillis,
    der: Arc<[u8]>,
}

impl App {
    /// The authority's certificate in DER.
    pub fn authority_certificate(&self, authority: u64) -> Result<Vec<u8>, Error> {
        Ok(self.require_authority(authority)?.authority.certificate().to_vec())
    }

    /// The authority's revocation list in DER. It is made anew after each revocation, and once a day.
    pub async fn revocation_list(&self, authority: u64) -> Result<Arc<[u8]>, Error> {
        let issuing = self.require_authority(authority)?;
        let mut lists = self.authorities.lists.lock().await;
        let now = self.clock.now();
        if let Some(list) = lists.get(&authority).filter(|list| now.since(list.made) < LIST_RENEWED_MS) {
            return Ok(list.der.clone());
        }
        let revoked = self.revoked_by(&issuing, now).await?;
        let number = self.store.operator.next_list_number(authority).await?;
        let validity = around(now, LIST_MS);
        let der = issuing.authority.revocation_list(&revoked, number, validity).map_err(unsigned)?;
        let der: Arc<[u8]> = der.into();
        lists.insert(authority, List { made: now, der: der.clone() });
        Ok(der)
    }

    /// The answer (DER) to a request of OCSP. What cannot be answered is said in OCSP's own words.
    pub async fn ocsp(&self, authority: u64, request: &[u8]) -> Result<Vec<u8>, Error> {
        let issuing = self.require_authority(authority)?;
        let Ok(request) = OcspRequest::read(request) else { return Ok(Unanswered::Malformed.to_der()) };
        let mut statuses = Vec::with_capacity(request.ids.len());
        for id in request.ids {
            let status = match issuing.authority.asked(&id) {
                Some(serial) => self.status_of(&issuing, serial).await,
                None => Ok(Status::Unknown),
            };
            match status {
                Ok(status) => statuses.push((id, status)),
                Err(error) => {
                    tracing::warn!(%error, "a question about a certificate could not be answered");
                    return Ok(Unanswered::TryLater.to_der());
                }
            }
        }
        let validity = around(self.clock.now(), ANSWER_MS);
        issuing.authority.answer(&statuses, request.nonce, validity).map_err(unsigned)
    }

    /// The tenant's next list is made anew.
    pub(super) async fn forget_list(&self, authority: u64) {
        self.authorities.lists.lock().await.remove(&authority);
    }

    fn require_authority(&self, authority: u64) -> Result<Arc<Issuing>, Error> {
        let found = self.authorities.numbered(authority);
        found.ok_or_else(|| Misuse::Unknown("such authority".into()).into())
    }

    async fn status_of(&self, issuing: &Issuing, serial: Serial) -> Result<Status, Error> {
        let store = self.open_tenant(issuing.tenant).await?.store.clone();
        let row = store.certificate(serial).await?.filter(|row| row.authority == issuing.id);
        Ok(match row {
            None => Status::Unknown,
            Some(row) => row.revoked.map_or(Status::Good, |(at, reason)| Status::Revoked(at, reason)),
        })
    }

    /// What the authority took back. Each stays on a list beyond its end (RFC 5280 section 3.3).
    async fn revoked_by(&self, issuing: &Issuing, now: UnixMillis) -> Result<Vec<Revoked>, Error> {
        let tenant: TenantId = issuing.tenant;
        let store = self.open_tenant(tenant).await?.store.clone();
        let after = UnixMillis(now.0.saturating_sub(LIST_MS));
        let rows = store.revoked_certificates(after).await?.into_iter().filter(|row| row.authority == issuing.id);
        Ok(rows.map(|row| Revoked { serial: row.serial, at: row.at, reason: row.reason }).collect())
    }
}

fn around(now: UnixMillis, length: u64) -> Validity {
    let not_after = UnixMillis(now.0.saturating_add(length));
    Validity { not_before: UnixMillis(now.0.saturating_sub(SKEW_MS)), not_after }
}

fn unsigned(error: crate::ca::Error) -> Error {
    Error::Unavailable(format!("the authority cannot sign: {error}"))
}
