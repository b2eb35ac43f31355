//! Certificates of devices: who has which, which were taken back, and the secrets that ask for the first one.

use bartizan_wire::{DeviceId, UnixMillis};
use sqlx::Row;
use sqlx::sqlite::SqliteRow;

use super::error::Error;
use super::operator::{to_i64, to_u64};
use super::tenant::TenantStore;
use crate::ca::Serial;
use crate::limits::CERTIFICATES_KEPT_MS;

/// A certificate as it is stored.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CertificateRow {
    /// Zero in a new one.
    pub id: u64,
    pub serial: Serial,
    /// Of the operator's file.
    pub authority: u64,
    pub device: DeviceId,
    /// Empty in a new one.
    pub device_name: String,
    pub issued: UnixMillis,
    pub not_before: UnixMillis,
    pub not_after: UnixMillis,
    pub key_hash: [u8; 32],
    pub how: u8,
    /// DER.
    pub certificate: Vec<u8>,
    /// When, and why (CRLReason).
    pub revoked: Option<(UnixMillis, u8)>,
}

/// One that was taken back and would still be valid.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct RevokedRow {
    pub serial: Serial,
    pub authority: u64,
    pub not_after: UnixMillis,
    pub at: UnixMillis,
    pub reason: u8,
}

/// Which certificates; absent filters let everything through.
#[derive(Clone, Debug, Default)]
pub struct CertificateQuery {
    /// Below this number: the newest come first.
    pub before: Option<u64>,
    pub limit: u32,
    pub device: Option<DeviceId>,
    /// Valid after the first and ending before the second, and the newest of their device.
    pub ending: Option<(UnixMillis, UnixMillis)>,
    pub revoked: Option<bool>,
}

/// What came of keeping a new certificate.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kept {
    Yes,
    /// Another device has a certificate for this key.
    KeyOfAnother,
    /// The device got as many as it may get.
    TooMany,
}

const SELECT: &str = "SELECT c.*, d.name FROM certificates c JOIN devices d ON d.id = c.device ";

impl TenantStore {
    /// Keeps a certificate; durable when it returns. At most `max` of one device since `since`.
    pub async fn add_certificate(&self, new: &CertificateRow, max: u32, since: UnixMillis) -> Result<Kept, Error> {
        let mut tx = self.db.begin().await?;
        let others = "SELECT count(*) FROM certificates WHERE key_hash = ? AND device <> ?";
        let query = sqlx::query_scalar(others).bind(&new.key_hash[..]).bind(to_i64(new.device.0));
        let others: i64 = query.fetch_one(&mut *tx).await?;
        if others > 0 {
            return Ok(Kept::KeyOfAnother);
        }
        let recent = "SELECT count(*) FROM certificates WHERE device = ? AND issued > ?";
        let query = sqlx::query_scalar(recent).bind(to_i64(new.device.0)).bind(to_i64(since.0));
        let recent: u32 = query.fetch_one(&mut *tx).await?;
        if recent >= max {
            return Ok(Kept::TooMany);
        }
        let thin = "DELETE FROM certificates WHERE device = ? AND not_after < ?";
        let oldest = new.issued.0.saturating_sub(CERTIFICATES_KEPT_MS);
        sqlx::query(thin).bind(to_i64(new.device.0)).bind(to_i64(oldest)).execute(&mut *tx).await?;
        let insert = "INSERT INTO certificates (serial, authority, device, issued, not_before, not_after, key_hash, how, \
                      certificate) VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?)";
        let query = sqlx::query(insert).bind(&new.serial.0[..]).bind(to_i64(new.authority));
        let query = query.bind(to_i64(new.device.0)).bind(to_i64(new.issued.0)).bind(to_i64(new.not_before.0));
        let query = query.bind(to_i64(new.not_after.0)).bind(&new.key_hash[..]).bind(new.how);
        query.bind(&new.certificate).execute(&mut *tx).await?;
        tx.commit().await?;
        Ok(Kept::Yes)
    }

    pub async fn certificate(&self, serial: Serial) -> Result<Option<CertificateRow>, Error> {
        let select = sqlx::AssertSqlSafe(format!("{SELECT} WHERE c.serial = ?"));
        let row = sqlx::query(select).bind(&serial.0[..]).fetch_optional(self.db.read()).await?;
        row.as_ref().map(certificate_row).transpose()
    }

    /// A page, the newest first.
    pub async fn certificates(&self, query: &CertificateQuery) -> Result<Vec<CertificateRow>, Error> {
        let select = sqlx::AssertSqlSafe(format!(
            "{SELECT} WHERE (?1 IS NULL OR c.id < ?1) AND (?2 IS NULL OR c.device = ?2) \
             AND (?3 IS NULL OR c.not_after > ?3) AND (?4 IS NULL OR (c.not_after < ?4 AND c.revoked IS NULL \
               AND NOT EXISTS (SELECT 1 FROM certificates n WHERE n.device = c.device AND n.id > c.id \
                               AND n.revoked IS NULL))) \
             AND (?5 IS NULL OR (c.revoked IS NOT NULL) = ?5) ORDER BY c.id DESC LIMIT ?6"
        ));
        let rows = sqlx::query(select)
            .bind(query.before.map(to_i64))
            .bind(query.device.map(|device| to_i64(device.0)))
            .bind(query.ending.map(|(after, _)| to_i64(after.0)))
            .bind(query.ending.map(|(_, before)| to_i64(before.0)))
            .bind(query.revoked)
            .bind(query.limit)
            .fetch_all(self.db.read())
            .await?;
        rows.iter().map(certificate_row).collect()
    }

    /// Takes a certificate back, durably and for good; the first time and reason stay. False if it was before.
    pub async fn revoke_certificate(&self, serial: Serial, at: UnixMillis, reason: u8) -> Result<bool, Error> {
        let update = "UPDATE certificates SET revoked = ?, reason = ? WHERE serial = ? AND revoked IS NULL";
        let query = sqlx::query(update).bind(to_i64(at.0)).bind(reason).bind(&serial.0[..]);
        Ok(query.execute(self.db.write()).await?.rows_affected() == 1)
    }

    /// Those that were taken back and would be valid after `after`.
    pub async fn revoked_certificates(&self, after: UnixMillis) -> Result<Vec<RevokedRow>, Error> {
        let select = "SELECT serial, authority, not_after, revoked, reason FROM certificates \
                      WHERE revoked IS NOT NULL AND not_after >= ?";
        let rows = sqlx::query(select).bind(to_i64(after.0)).fetch_all(self.db.read()).await?;
        rows.iter().map(revoked_row).collect()
    }

    // --- secrets

    /// Keeps the hash of a device's enrolment secret; an older one ends.
    pub async fn keep_enrolment_secret(&self, device: DeviceId, hash: &[u8], expires: UnixMillis) -> Result<(), Error> {
        let insert = "INSERT OR REPLACE INTO enrolment_secrets (device, hash, expires) VALUES (?, ?, ?)";
        sqlx::query(insert).bind(to_i64(device.0)).bind(hash).bind(to_i64(expires.0)).execute(self.db.write()).await?;
        Ok(())
    }

    /// The hash of the device's enrolment secret, if there is one that has not expired.
    pub async fn enrolment_secret(&self, device: DeviceId, now: UnixMillis) -> Result<Option<Vec<u8>>, Error> {
        let select = "SELECT hash FROM enrolment_secrets WHERE device = ? AND expires > ?";
        let query = sqlx::query_scalar(select).bind(to_i64(device.0)).bind(to_i64(now.0));
        Ok(query.fetch_optional(self.db.read()).await?)
    }

    /// Uses a secret up; durable when it returns. False if somebody else did before.
    pub async fn use_enrolment_secret(&self, device: DeviceId, hash: &[u8]) -> Result<bool, Error> {
        let delete = "DELETE FROM enrolment_secrets WHERE device = ? AND hash = ?";
        let query = sqlx::query(delete).bind(to_i64(device.0)).bind(hash);
        Ok(query.execute(self.db.write()).await?.rows_affected() == 1)
    }
}

fn certificate_row(row: &SqliteRow) -> Result<CertificateRow, Error> {
    const DAMAGED: Error = Error::Damaged("certificate");
    let revoked: Option<i64> = row.try_get("revoked")?;
    let reason: Option<u8> = row.try_get("reason")?;
    Ok(CertificateRow {
        id: to_u64(row.try_get("id")?),
        serial: serial(row.try_get("serial")?)?,
        authority: to_u64(row.try_get("authority")?),
        device: DeviceId(to_u64(row.try_get("device")?)),
        device_name: row.try_get("name")?,
        issued: UnixMillis(to_u64(row.try_get("issued")?)),
        not_before: UnixMillis(to_u64(row.try_get("not_before")?)),
        not_after: UnixMillis(to_u64(row.try_get("not_after")?)),
        key_hash: row.try_get::<Vec<u8>, _>("key_hash")?.try_into().map_err(|_| DAMAGED)?,
        how: row.try_get("how")?,
        certificate: row.try_get("certificate")?,
        revoked: revoked.map(|at| (UnixMillis(to_u64(at)), reason.unwrap_or(0))),
    })
}

fn revoked_row(row: &SqliteRow) -> Result<RevokedRow, Error> {
    Ok(RevokedRow {
        serial: serial(row.try_get(0)?)?,
        authority: to_u64(row.try_get(1)?),
        not_after: UnixMillis(to_u64(row.try_get(2)?)),
        at: UnixMillis(to_u64(row.try_get(3)?)),
        reason: row.try_get::<Option<u8>, _>(4)?.unwrap_or(0),
    })
}

fn serial(bytes: Vec<u8>) -> Result<Serial, Error> {
    Serial::read(&bytes).ok_or(Error::Damaged("serial number of a certificate"))
}
