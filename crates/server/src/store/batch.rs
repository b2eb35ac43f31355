//! What is written behind: postures as they are now, and what happened on the way.

use bartizan_platform::posture::{Hold, Posture};
use bartizan_wire::{Access, DeviceId, UnixMillis};
use sqlx::{Sqlite, Transaction};

use super::error::Error;
use super::history::{FindingRow, insert_finding};
use super::operator::to_i64;
use super::tenant::TenantStore;
use crate::limits::{FINDINGS_PER_TENANT_MAX, TIMELINE_PER_DEVICE_MAX};

/// What one tenant's file has to catch up with, in one transaction.
#[derive(Debug, Default)]
pub struct Batch {
    pub devices: Vec<DeviceWrite>,
    pub findings: Vec<FindingRow>,
    pub timeline: Vec<TimelineWrite>,
}

/// A device as it is now.
#[derive(Clone, Debug)]
pub struct DeviceWrite {
    pub id: DeviceId,
    pub posture: Posture,
    pub access: Access,
    pub last_seen: Option<UnixMillis>,
    pub messages: u64,
    pub version: u64,
    /// Whether the posture has changed since it was last written; otherwise only the counters have.
    pub changed: bool,
}

/// One line of a device's history.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TimelineWrite {
    pub device: DeviceId,
    pub at: UnixMillis,
    pub kind: &'static str,
    pub text: String,
    pub finding: Option<u64>,
    pub actor: Option<String>,
}

impl Batch {
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.devices.is_empty() && self.findings.is_empty() && self.timeline.is_empty()
    }
}

impl TenantStore {
    pub async fn write_batch(&self, batch: &Batch) -> Result<(), Error> {
        let mut tx = self.db.begin().await?;
        for device in &batch.devices {
            write_device(&mut tx, device).await?;
        }
        for finding in &batch.findings {
            insert_finding(&mut tx, finding).await?;
        }
        for entry in &batch.timeline {
            insert_entry(&mut tx, entry).await?;
        }
        Ok(tx.commit().await?)
    }
}

async fn write_device(tx: &mut Transaction<'static, Sqlite>, device: &DeviceWrite) -> Result<(), Error> {
    let id = to_i64(device.id.0);
    let counters = "UPDATE devices SET last_seen = ?, messages = ? WHERE id = ?";
    let query = sqlx::query(counters).bind(device.last_seen.map(|at| to_i64(at.0))).bind(to_i64(device.messages));
    query.bind(id).execute(&mut **tx).await?;
    if !device.changed {
        return Ok(());
    }
    let posture = &device.posture;
    let update = "UPDATE devices SET lifecycle = ?, attestation = ?, grade = ?, update_state = ?, access = ?, \
                  next_hold = ?, verdict_at = ?, proof = ?, proof_at = ?, heartbeat_at = ?, heartbeat_for = ?, \
                  proven_at = ?, doubted_since = ?, version = ? WHERE id = ?";
    let query = sqlx::query(update).bind(posture.lifecycle.code()).bind(posture.attestation.code());
    let query = query.bind(posture.grade.code()).bind(posture.update.code()).bind(device.access.code());
    let query = query.bind(to_i64(posture.next_hold)).bind(posture.verdict_at.map(|at| to_i64(at.0)));
    let query = query.bind(posture.proof.code()).bind(posture.proof_at.map(|at| to_i64(at.0)));
    let query = query.bind(posture.heartbeat.map(|last| to_i64(last.at.0)));
    let query = query.bind(posture.heartbeat.map(|last| to_i64(last.challenged.0)));
    let query = query.bind(posture.proven_at.map(|at| to_i64(at.0)));
    let query = query.bind(posture.doubted_since.map(|since| to_i64(since.0)));
    query.bind(to_i64(device.version)).bind(id).execute(&mut **tx).await?;
    sqlx::query("DELETE FROM holds WHERE device = ?").bind(id).execute(&mut **tx).await?;
    for hold in &posture.holds {
        insert_hold(tx, id, hold).await?;
    }
    Ok(())
}

async fn insert_hold(tx: &mut Transaction<'static, Sqlite>, device: i64, hold: &Hold) -> Result<(), Error> {
    let insert = "INSERT INTO holds (device, id, cause, engine, since, exit, access, reason, placed_by, stage, stage_since, passes, rekey) \
                  VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)";
    let query = sqlx::query(insert).bind(device).bind(to_i64(hold.id)).bind(hold.cause.code());
    let query = query.bind(hold.engine.map(|engine| engine.code())).bind(to_i64(hold.since.0)).bind(hold.exit.code());
    let query = query.bind(hold.access.code()).bind(&hold.reason).bind(hold.by.as_deref());
    let query = query.bind(hold.stage.code()).bind(to_i64(hold.stage_since.0)).bind(hold.passes);
    query.bind(hold.rekey.code()).execute(&mut **tx).await?;
    Ok(())
}

/// Each 64th line thins out its device's history, so that it stays within its bound by little.
async fn insert_entry(tx: &mut Transaction<'static, Sqlite>, entry: &TimelineWrite) -> Result<(), Error> {
    let insert = "INSERT INTO timeline (device, at, kind, text, finding, actor) VALUES (?, ?, ?, ?, ?, ?)";
    let query = sqlx::query(insert).bind(to_i64(entry.device.0)).bind(to_i64(entry.at.0)).bind(entry.kind);
    let query = query.bind(&entry.text).bind(entry.finding.map(to_i64)).bind(entry.actor.as_deref());
    let id = query.execute(&mut **tx).await?.last_insert_rowid();
    if id % 64 == 0 {
        let thin = "DELETE FROM timeline WHERE device = ?1 AND id <= \
                    (SELECT id FROM timeline WHERE device = ?1 ORDER BY id DESC LIMIT 1 OFFSET ?2)";
        sqlx::query(thin).bind(to_i64(entry.device.0)).bind(TIMELINE_PER_DEVICE_MAX).execute(&mut **tx).await?;
    }
    Ok(())
}

/// Findings of a tenant are numbered without gaps, so the oldest beyond the bound are known by number.
pub async fn thin_findings(tx: &mut Transaction<'static, Sqlite>, newest: u64) -> Result<(), Error> {
    let oldest = newest.saturating_sub(u64::from(FINDINGS_PER_TENANT_MAX));
    sqlx::query("DELETE FROM findings WHERE id <= ?").bind(to_i64(oldest)).execute(&mut **tx).await?;
    Ok(())
}
