//! Findings and timelines.

use std::net::SocketAddr;

use bartizan_wire::finding::Basis;
use bartizan_wire::{
    DeviceId, DeviceKey, Engine, Expected, Feature, Finding, Severity, Source, Subject, Technique, TypeId, Unit,
    UnixMillis,
};
use sqlx::sqlite::SqliteRow;
use sqlx::{Row, Sqlite, Transaction};

use super::batch::thin_findings;
use super::error::Error;
use super::operator::{to_i64, to_u64};
use super::tenant::{TenantStore, coded};

/// A finding with its number and its words.
#[derive(Clone, Debug, PartialEq)]
pub struct FindingRow {
    pub id: u64,
    pub finding: Finding,
    pub text: String,
    /// The name of the device it is about, or that unauthenticated bytes named.
    pub device: Option<String>,
}

/// One line of a device's history.
#[derive(Clone, Debug, PartialEq)]
pub struct TimelineRow {
    pub id: u64,
    pub at: UnixMillis,
    pub kind: String,
    pub text: String,
    pub finding: Option<FindingRow>,
    pub actor: Option<String>,
}

const FINDING: &str = "f.id AS f_id, f.at AS f_at, f.device AS f_device, f.source, f.claimed, f.engine, f.feature, f.observed, \
     f.low, f.high, f.basis, f.unit, f.score, f.severity, f.technique, f.text AS f_text, d.name AS d_name, d.type AS d_type";

impl TenantStore {
    /// The number of the next finding.
    pub async fn next_finding(&self) -> Result<u64, Error> {
        let last: i64 =
            sqlx::query_scalar("SELECT coalesce(max(id), 0) FROM findings").fetch_one(self.db.read()).await?;
        Ok(to_u64(last) + 1)
    }

    /// Findings before the number `before`, newest first.
    pub async fn findings(&self, before: u64, limit: u32) -> Result<Vec<FindingRow>, Error> {
        let select = sqlx::AssertSqlSafe(format!(
            "SELECT {FINDING} FROM findings f LEFT JOIN devices d ON d.id = coalesce(f.device, f.claimed) \
             WHERE f.id < ? ORDER BY f.id DESC LIMIT ?"
        ));
        let rows = sqlx::query(select).bind(to_i64(before)).bind(limit).fetch_all(self.db.read()).await?;
        rows.iter().map(|row| finding_row(self, row)).collect()
    }

    /// The device's last finding.
    pub async fn last_finding(&self, device: DeviceId) -> Result<Option<FindingRow>, Error> {
        let select = sqlx::AssertSqlSafe(format!(
            "SELECT {FINDING} FROM findings f JOIN devices d ON d.id = f.device \
             WHERE f.device = ? ORDER BY f.id DESC LIMIT 1"
        ));
        let row = sqlx::query(select).bind(to_i64(device.0)).fetch_optional(self.db.read()).await?;
        row.as_ref().map(|row| finding_row(self, row)).transpose()
    }

    /// Lines of a device's history before the number `before`, newest first.
    pub async fn timeline(&self, device: DeviceId, before: u64, limit: u32) -> Result<Vec<TimelineRow>, Error> {
        let select = sqlx::AssertSqlSafe(format!(
            "SELECT e.id, e.at, e.kind, e.text, e.actor, {FINDING} FROM timeline e \
             LEFT JOIN findings f ON f.id = e.finding LEFT JOIN devices d ON d.id = coalesce(f.device, f.claimed) \
             WHERE e.device = ? AND e.id < ? ORDER BY e.id DESC LIMIT ?"
        ));
        let query = sqlx::query(select).bind(to_i64(device.0)).bind(to_i64(before)).bind(limit);
        let rows = query.fetch_all(self.db.read()).await?;
        rows.iter().map(|row| timeline_row(self, row)).collect()
    }
}

pub async fn insert_finding(tx: &mut Transaction<'static, Sqlite>, row: &FindingRow) -> Result<(), Error> {
    let finding = &row.finding;
    let (device, source, claimed) = match finding.subject {
        Subject::Device { key, .. } => (Some(key.device), None, None),
        Subject::Source { source, claimed } => (None, Some(source.ip().to_string()), claimed.map(|key| key.device)),
    };
    let insert = "INSERT INTO findings (id, at, device, source, claimed, engine, feature, observed, low, high, basis, \
                  unit, score, severity, technique, text) VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)";
    let query = sqlx::query(insert).bind(to_i64(row.id)).bind(to_i64(finding.at.0));
    let query = query.bind(device.map(|id| to_i64(id.0))).bind(source).bind(claimed.map(|id| to_i64(id.0)));
    let query = query.bind(finding.engine.code()).bind(finding.feature.code()).bind(stored(finding.observed));
    let query = query
        .bind(stored(finding.expected.low))
        .bind(stored(finding.expected.high))
        .bind(finding.expected.basis.code());
    let query = query.bind(finding.unit.code()).bind(stored(f64::from(finding.score))).bind(finding.severity.code());
    query.bind(finding.technique.map(|technique| technique.0)).bind(&row.text).execute(&mut **tx).await?;
    if row.id.is_multiple_of(256) {
        thin_findings(tx, row.id).await?;
    }
    Ok(())
}

/// SQLite stores NaN as NULL, and JSON knows no infinity.
fn stored(value: f64) -> f64 {
    if value.is_nan() { 0.0 } else { value.clamp(f64::MIN, f64::MAX) }
}

fn timeline_row(store: &TenantStore, row: &SqliteRow) -> Result<TimelineRow, Error> {
    let finding: Option<i64> = row.try_get("f_id")?;
    Ok(TimelineRow {
        id: to_u64(row.try_get("id")?),
        at: UnixMillis(to_u64(row.try_get("at")?)),
        kind: row.try_get("kind")?,
        text: row.try_get("text")?,
        finding: finding.map(|_| finding_row(store, row)).transpose()?,
        actor: row.try_get("actor")?,
    })
}

fn finding_row(store: &TenantStore, row: &SqliteRow) -> Result<FindingRow, Error> {
    let technique: Option<u16> = row.try_get("technique")?;
    let finding = Finding {
        at: UnixMillis(to_u64(row.try_get("f_at")?)),
        subject: subject(store, row)?,
        engine: coded(row, "engine", Engine::from_code)?,
        feature: coded(row, "feature", Feature::from_code)?,
        observed: row.try_get("observed")?,
        expected: Expected {
            low: row.try_get("low")?,
            high: row.try_get("high")?,
            basis: coded(row, "basis", Basis::from_code)?,
        },
        unit: coded(row, "unit", Unit::from_code)?,
        score: row.try_get::<f64, _>("score")? as f32,
        severity: coded(row, "severity", Severity::from_code)?,
        technique: technique.map(Technique),
    };
    let id = to_u64(row.try_get("f_id")?);
    Ok(FindingRow { id, finding, text: row.try_get("f_text")?, device: row.try_get("d_name")? })
}

fn subject(store: &TenantStore, row: &SqliteRow) -> Result<Subject, Error> {
    let key = |id: i64| DeviceKey { tenant: store.id, device: DeviceId(to_u64(id)) };
    if let Some(device) = row.try_get::<Option<i64>, _>("f_device")? {
        let device_type = TypeId(row.try_get::<Option<u32>, _>("d_type")?.unwrap_or(0));
        return Ok(Subject::Device { key: key(device), device_type });
    }
    let source: String = row.try_get("source")?;
    let ip = source.parse().map_err(|_| Error::Damaged("source"))?;
    let claimed = row.try_get::<Option<i64>, _>("claimed")?.map(key);
    Ok(Subject::Source { source: Source::of(SocketAddr::new(ip, 0)), claimed })
}
