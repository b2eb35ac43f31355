//! Who may owe evidence: what the watchdog reads, whether a device is in memory or not.

use bartizan_platform::posture::Proof;
use bartizan_wire::{DeviceId, TypeId, UnixMillis};
use sqlx::Row;

use super::error::Error;
use super::operator::{to_i64, to_u64};
use super::tenant::TenantStore;

/// Where a walk over a type's devices stands: after the device that entered its proof then.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ProofCursor {
    pub at: UnixMillis,
    pub device: DeviceId,
}

impl ProofCursor {
    /// Before all devices.
    pub const START: Self = Self { at: UnixMillis(0), device: DeviceId(0) };
}

impl TenantStore {
    /// Active devices of the type whose proof has been `proof` since `until` or longer, the oldest first, from after
    /// `cursor`; and whether each has an identity that it could attest with.
    pub async fn proven_before(
        &self,
        device_type: TypeId,
        proof: Proof,
        until: UnixMillis,
        cursor: ProofCursor,
        limit: u32,
    ) -> Result<Vec<(ProofCursor, bool)>, Error> {
        let select = "SELECT d.id, d.proof_at, EXISTS (SELECT 1 FROM attesters a WHERE a.device = d.id) FROM devices d \
                      WHERE d.lifecycle = 1 AND d.proof < 3 AND d.type = ?1 AND d.proof = ?2 AND d.proof_at <= ?3 \
                      AND (d.proof_at, d.id) > (?4, ?5) ORDER BY d.proof_at, d.id LIMIT ?6";
        let query = sqlx::query(select).bind(device_type.0).bind(proof.code()).bind(to_i64(until.0));
        let query = query.bind(to_i64(cursor.at.0)).bind(to_i64(cursor.device.0)).bind(limit);
        let rows = query.fetch_all(self.db.read()).await?;
        let found = |row: &sqlx::sqlite::SqliteRow| {
            let device = DeviceId(to_u64(row.try_get(0)?));
            Ok((ProofCursor { at: UnixMillis(to_u64(row.try_get(1)?)), device }, row.try_get(2)?))
        };
        rows.iter().map(found).collect()
    }
}
