//! One tenant's file: its types and devices.

use std::path::Path;

use bartizan_platform::posture::{Heartbeat, Hold, Posture, Proof, Rekey, Stage};
use bartizan_wire::{
    Access, Attestation, Cause, DeviceId, Engine, Exit, Grade, Lifecycle, TenantId, TypeId, UnixMillis, Update,
};
use sqlx::Row;
use sqlx::migrate::Migrator;
use sqlx::sqlite::SqliteRow;

use super::error::Error;
use super::keys::{KeyFacts, PendingKey};
use super::operator::{to_i64, to_u64};
use super::sqlite::Database;

static MIGRATOR: Migrator = sqlx::migrate!("src/store/migrations/tenant");

/// `tenants/N.db`.
pub struct TenantStore {
    pub id: TenantId,
    pub db: Database,
}

/// A device as it is stored. `posture.holds` is filled by [`TenantStore::device`] and [`TenantStore::held`] only.
#[derive(Clone, Debug)]
pub struct DeviceRow {
    pub id: DeviceId,
    pub name: String,
    pub device_type: TypeId,
    pub type_name: String,
    pub identity: Vec<u8>,
    pub sealed_psk: Vec<u8>,
    pub key: KeyFacts,
    /// A key that it has not used yet; filled by [`TenantStore::device`] only, as is the next.
    pub pending_key: Option<PendingKey>,
    /// Something of a replaced key may be left.
    pub key_replaced: bool,
    pub endpoint: String,
    /// Whether an identity is registered that its evidence is held against.
    pub can_attest: bool,
    pub posture: Posture,
    pub created: UnixMillis,
    pub last_seen: Option<UnixMillis>,
    pub messages: u64,
    pub version: u64,
}

/// Which devices; absent filters let everything through.
#[derive(Clone, Debug, Default)]
pub struct DeviceQuery {
    pub after: u64,
    pub limit: u32,
    pub text: Option<String>,
    pub device_type: Option<String>,
    pub grade: Option<Grade>,
    pub access: Option<Access>,
    pub lifecycle: Option<Lifecycle>,
}

/// How many devices share these.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct FleetCount {
    pub lifecycle: Lifecycle,
    pub grade: Grade,
    pub access: Access,
    pub devices: u64,
}

const SELECT_DEVICE: &str = "SELECT d.*, t.name AS type_name, \
                             EXISTS (SELECT 1 FROM attesters a WHERE a.device = d.id) AS can_attest \
                             FROM devices d JOIN device_types t ON t.id = d.type ";

impl TenantStore {
    pub async fn open(dir: &Path, id: TenantId) -> Result<Self, Error> {
        let db = Database::open(&dir.join(super::tenant_file(id)), &MIGRATOR).await?;
        Ok(Self { id, db })
    }

    // --- types

    /// The type of this name, made if absent.
    pub async fn add_type(&self, name: &str) -> Result<TypeId, Error> {
        let insert = "INSERT INTO device_types (name) VALUES (?) ON CONFLICT DO NOTHING";
        sqlx::query(insert).bind(name).execute(self.db.write()).await?;
        let select = "SELECT id FROM device_types WHERE name = ?";
        Ok(TypeId(sqlx::query_scalar(select).bind(name).fetch_one(self.db.write()).await?))
    }

    /// Names of types with their numbers of devices, by name.
    pub async fn types(&self) -> Result<Vec<(String, u64)>, Error> {
        let select =
            "SELECT t.name, (SELECT count(*) FROM devices d WHERE d.type = t.id) FROM device_types t ORDER BY 1";
        let rows = sqlx::query(select).fetch_all(self.db.read()).await?;
        rows.iter().map(|row| Ok((row.try_get(0)?, to_u64(row.try_get(1)?)))).collect()
    }

    // --- devices

    pub async fn device(&self, id: DeviceId) -> Result<Option<DeviceRow>, Error> {
        let select = sqlx::AssertSqlSafe(format!("{SELECT_DEVICE} WHERE d.id = ?"));
        let row = sqlx::query(select).bind(to_i64(id.0)).fetch_optional(self.db.read()).await?;
        let Some(mut device) = row.as_ref().map(device_row).transpose()? else { return Ok(None) };
        let holds = "SELECT * FROM holds WHERE device = ? ORDER BY id";
        let rows = sqlx::query(holds).bind(to_i64(id.0)).fetch_all(self.db.read()).await?;
        device.posture.holds = rows.iter().map(hold_row).collect::<Result<_, _>>()?;
        device.pending_key = self.pending_key(id).await?;
        device.key_replaced = self.has_replaced_key(id).await?;
        Ok(Some(device))
    }

    pub async fn device_named(&self, name: &str) -> Result<Option<DeviceId>, Error> {
        let select = "SELECT id FROM devices WHERE name = ?";
        let id: Option<i64> = sqlx::query_scalar(select).bind(name).fetch_optional(self.db.read()).await?;
        Ok(id.map(|id| DeviceId(to_u64(id))))
    }

    /// Devices with holds or a grade: those that machines still owe something.
    pub async fn restricted(&self) -> Result<Vec<DeviceId>, Error> {
        let select = "SELECT id FROM devices WHERE access > 0 UNION SELECT id FROM devices WHERE grade > 0 \
                      UNION SELECT device FROM holds";
        let ids: Vec<i64> = sqlx::query_scalar(select).fetch_all(self.db.read()).await?;
        Ok(ids.into_iter().map(|id| DeviceId(to_u64(id))).collect())
    }

    /// A page of devices by number, without their holds.
    pub async fn devices(&self, query: &DeviceQuery) -> Result<Vec<DeviceRow>, Error> {
        let select = sqlx::AssertSqlSafe(format!(
            "{SELECT_DEVICE} WHERE d.id > ?1 \
             AND (?2 IS NULL OR d.name LIKE ?2 ESCAPE '\\' OR CAST(d.identity AS TEXT) LIKE ?2 ESCAPE '\\') \
             AND (?3 IS NULL OR t.name = ?3) AND (?4 IS NULL OR d.grade = ?4) \
             AND (?5 IS NULL OR d.access = ?5) AND (?6 IS NULL OR d.lifecycle = ?6) \
             ORDER BY d.id LIMIT ?7"
        ));
        let rows = sqlx::query(select)
            .bind(to_i64(query.after))
            .bind(query.text.as_deref().map(pattern))
            .bind(query.device_type.as_deref())
            .bind(query.grade.map(Grade::code))
            .bind(query.access.map(Access::code))
            .bind(query.lifecycle.map(Lifecycle::code))
            .bind(query.limit)
            .fetch_all(self.db.read())
            .await?;
        rows.iter().map(device_row).collect()
    }

    pub async fn fleet(&self) -> Result<Vec<FleetCount>, Error> {
        let select = "SELECT lifecycle, grade, access, count(*) FROM devices GROUP BY 1, 2, 3";
        let rows = sqlx::query(select).fetch_all(self.db.read()).await?;
        let counted = |row: &SqliteRow| {
            Ok(FleetCount {
                lifecycle: coded(row, 0, Lifecycle::from_code)?,
                grade: coded(row, 1, Grade::from_code)?,
                access: coded(row, 2, Access::from_code)?,
                devices: to_u64(row.try_get(3)?),
            })
        };
        rows.iter().map(counted).collect()
    }

    // --- blobs

    pub async fn blob(&self, key: &str) -> Result<Option<Vec<u8>>, Error> {
        let select = "SELECT value FROM blobs WHERE key = ?";
        Ok(sqlx::query_scalar(select).bind(key).fetch_optional(self.db.read()).await?)
    }

    pub async fn keep_blob(&self, key: &str, value: &[u8]) -> Result<(), Error> {
        let insert = "INSERT OR REPLACE INTO blobs (key, value) VALUES (?, ?)";
        sqlx::query(insert).bind(key).bind(value).execute(self.db.write()).await?;
        Ok(())
    }
}

/// `text` anywhere, its own wildcards taken literally.
fn pattern(text: &str) -> String {
    let escaped = text.replace('\\', "\\\\").replace('%', "\\%").replace('_', "\\_");
    format!("%{escaped}%")
}

fn device_row(row: &SqliteRow) -> Result<DeviceRow, Error> {
    Ok(DeviceRow {
        id: DeviceId(to_u64(row.try_get("id")?)),
        name: row.try_get("name")?,
        device_type: TypeId(row.try_get("type")?),
        type_name: row.try_get("type_name")?,
        identity: row.try_get("identity")?,
        sealed_psk: row.try_get("psk")?,
        key: KeyFacts::of(row)?,
        pending_key: None,
        key_replaced: false,
        endpoint: row.try_get("endpoint")?,
        can_attest: row.try_get("can_attest")?,
        posture: Posture {
            lifecycle: coded(row, "lifecycle", Lifecycle::from_code)?,
            attestation: coded(row, "attestation", Attestation::from_code)?,
            verdict_at: moment(row, "verdict_at")?,
            proof: coded(row, "proof", Proof::from_code)?,
            proof_at: moment(row, "proof_at")?,
            heartbeat: moment(row, "heartbeat_at")?
                .zip(moment(row, "heartbeat_for")?)
                .map(|(at, challenged)| Heartbeat { at, challenged }),
            proven_at: moment(row, "proven_at")?,
            doubted_since: moment(row, "doubted_since")?,
            grade: coded(row, "grade", Grade::from_code)?,
            update: coded(row, "update_state", Update::from_code)?,
            holds: Vec::new(),
            next_hold: to_u64(row.try_get("next_hold")?),
        },
        created: UnixMillis(to_u64(row.try_get("created")?)),
        last_seen: moment(row, "last_seen")?,
        messages: to_u64(row.try_get("messages")?),
        version: to_u64(row.try_get("version")?),
    })
}

fn moment(row: &SqliteRow, column: &str) -> Result<Option<UnixMillis>, Error> {
    Ok(row.try_get::<Option<i64>, _>(column)?.map(|at| UnixMillis(to_u64(at))))
}

fn hold_row(row: &SqliteRow) -> Result<Hold, Error> {
    let engine: Option<u8> = row.try_get("engine")?;
    Ok(Hold {
        id: to_u64(row.try_get("id")?),
        cause: coded(row, "cause", Cause::from_code)?,
        engine: engine.map(|code| Engine::from_code(code).ok_or(Error::Damaged("hold"))).transpose()?,
        since: UnixMillis(to_u64(row.try_get("since")?)),
        exit: coded(row, "exit", Exit::from_code)?,
        access: coded(row, "access", Access::from_code)?,
        reason: row.try_get("reason")?,
        by: row.try_get("placed_by")?,
        stage: coded(row, "stage", Stage::from_code)?,
        stage_since: UnixMillis(to_u64(row.try_get("stage_since")?)),
        passes: row.try_get("passes")?,
        rekey: coded(row, "rekey", Rekey::from_code)?,
    })
}

/// An enum by its number; a number that no version writes is damage, not a default.
pub fn coded<T>(
    row: &SqliteRow,
    column: impl sqlx::ColumnIndex<SqliteRow>,
    from: fn(u8) -> Option<T>,
) -> Result<T, Error> {
    from(row.try_get(column)?).ok_or(Error::Damaged("enum"))
}
