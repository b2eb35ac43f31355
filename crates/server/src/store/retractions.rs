//! What upstreams are still to be told about reports that they have.

use bartizan_wire::{DeviceId, UnixMillis};
use sqlx::{Row, Sqlite, Transaction};

use super::error::Error;
use super::operator::{to_i64, to_u64};
use super::tenant::TenantStore;

/// Reports came into doubt, or are to be trusted again.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct RetractionWrite {
    pub device: DeviceId,
    pub at: UnixMillis,
    /// From when on reports are not to be trusted.
    pub since: UnixMillis,
    /// Whether those from `at` on are again.
    pub trusted: bool,
}

impl TenantStore {
    /// What was not told yet, by number, oldest first.
    pub async fn retractions(&self, after: u64, limit: u32) -> Result<Vec<(u64, RetractionWrite)>, Error> {
        let select = "SELECT id, device, at, since, trusted FROM retractions WHERE id > ? ORDER BY id LIMIT ?";
        let rows = sqlx::query(select).bind(to_i64(after)).bind(limit).fetch_all(self.db.read()).await?;
        let row = |row: &sqlx::sqlite::SqliteRow| {
            let retraction = RetractionWrite {
                device: DeviceId(to_u64(row.try_get("device")?)),
                at: UnixMillis(to_u64(row.try_get("at")?)),
                since: UnixMillis(to_u64(row.try_get("since")?)),
                trusted: row.try_get("trusted")?,
            };
            Ok((to_u64(row.try_get("id")?), retraction))
        };
        rows.iter().map(row).collect()
    }

    pub async fn retraction_told(&self, id: u64) -> Result<(), Error> {
        sqlx::query("DELETE FROM retractions WHERE id = ?").bind(to_i64(id)).execute(self.db.write()).await?;
        Ok(())
    }
}

pub async fn insert_retraction(
    tx: &mut Transaction<'static, Sqlite>,
    retraction: &RetractionWrite,
) -> Result<(), Error> {
    let insert = "INSERT INTO retractions (device, at, since, trusted) VALUES (?, ?, ?, ?)";
    let query = sqlx::query(insert).bind(to_i64(retraction.device.0)).bind(to_i64(retraction.at.0));
    query.bind(to_i64(retraction.since.0)).bind(retraction.trusted).execute(&mut **tx).await?;
    Ok(())
}
