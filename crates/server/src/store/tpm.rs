//! Attestation keys of TPMs that were activated, and their clocks.

use bartizan_trust::Identity;
use bartizan_trust::tpm::{Clock, Name};
use bartizan_wire::DeviceId;
use sqlx::Row;
use sqlx::sqlite::{Sqlite, SqliteRow};

use super::attestation::Advance;
use super::error::Error;
use super::operator::{to_i64, to_u64};
use super::tenant::TenantStore;

/// The key that a device's quotes are believed under.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TpmKeyRow {
    pub name: Name,
    /// At the last evidence.
    pub clock: Option<Clock>,
}

impl TenantStore {
    /// The activated key, if the device is still who it was then.
    pub async fn tpm_key(&self, device: DeviceId, identity: &Identity) -> Result<Option<TpmKeyRow>, Error> {
        let select = "SELECT name, resets, restarts, clock_ms FROM tpm_keys WHERE device = ? AND identity = ?";
        let query = sqlx::query(select).bind(to_i64(device.0)).bind(&identity.0[..]);
        query.fetch_optional(self.db.read()).await?.as_ref().map(key_row).transpose()
    }

    /// Believes in a key from now on, in place of any before it; what the TPM's clock said stays. False if the counter
    /// was moved by somebody else.
    pub async fn activate_tpm_key(
        &self,
        device: DeviceId,
        counter: u64,
        identity: &Identity,
        name: &Name,
    ) -> Result<bool, Error> {
        let mut tx = self.db.begin().await?;
        let update = "UPDATE attesters SET counter = counter + 1 WHERE device = ? AND counter = ? AND identity = ?";
        let query = sqlx::query(update).bind(to_i64(device.0)).bind(to_i64(counter)).bind(&identity.0[..]);
        if query.execute(&mut *tx).await?.rows_affected() != 1 {
            return Ok(false);
        }
        let old = "DELETE FROM tpm_keys WHERE device = ? AND identity <> ?";
        sqlx::query(old).bind(to_i64(device.0)).bind(&identity.0[..]).execute(&mut *tx).await?;
        let insert = "INSERT INTO tpm_keys (device, identity, name) VALUES (?1, ?2, ?3) \
                      ON CONFLICT (device) DO UPDATE SET name = ?3";
        let query = sqlx::query(insert).bind(to_i64(device.0)).bind(&identity.0[..]).bind(name.as_slice());
        query.execute(&mut *tx).await?;
        tx.commit().await?;
        Ok(true)
    }

    /// As [`Self::advance_attester`], and the TPM's clock with it; `None` keeps the last one.
    pub async fn advance_tpm(
        &self,
        device: DeviceId,
        counter: u64,
        to: &Advance<'_>,
        clock: Option<&Clock>,
    ) -> Result<bool, Error> {
        let mut tx = self.db.begin().await?;
        let advanced = to.of(device, counter).execute(&mut *tx).await?.rows_affected() == 1;
        if let Some(clock) = clock.filter(|_| advanced) {
            let update = "UPDATE tpm_keys SET resets = ?, restarts = ?, clock_ms = ? WHERE device = ?";
            let query: sqlx::query::Query<'_, Sqlite, _> = sqlx::query(update).bind(clock.resets).bind(clock.restarts);
            query.bind(to_i64(clock.clock_ms)).bind(to_i64(device.0)).execute(&mut *tx).await?;
        }
        tx.commit().await?;
        Ok(advanced)
    }
}

fn key_row(row: &SqliteRow) -> Result<TpmKeyRow, Error> {
    let name: Vec<u8> = row.try_get("name")?;
    let name = Name::from_slice(&name).ok_or(Error::Damaged("name of a TPM's key"))?;
    let clock_ms: Option<i64> = row.try_get("clock_ms")?;
    let clock = clock_ms.map(|clock_ms| {
        let (resets, restarts) = (row.try_get("resets")?, row.try_get("restarts")?);
        Ok::<_, Error>(Clock { clock_ms: to_u64(clock_ms), resets, restarts, safe: true })
    });
    Ok(TpmKeyRow { name, clock: clock.transpose()? })
}
