//! Adding devices to two files, all or none, whatever crashes when.
//!
//! The operator's file maps identities to devices, the tenant's file holds the devices. Both transactions are
//! open together; the tenant's commits first, with a marker of the numbers added; the operator's commit then
//! decides; the marker goes last. A marker found at opening is resolved by what the operator's file says: its
//! transaction was atomic, so the identities are there for all of the devices or for none.

use std::collections::HashMap;

use bartizan_platform::import::show_identity;
use bartizan_trust::Identity;
use bartizan_wire::{DeviceId, TypeId, UnixMillis};
use serde_json::{Value, json};
use sqlx::{Row, Sqlite, Transaction};
use zeroize::Zeroizing;

use super::error::Error;
use super::key::{Place, Sealer};
use super::operator::{OperatorStore, to_i64, to_u64};
use super::tenant::TenantStore;
use crate::app::{BadLine, BadLines};
use bartizan_platform::import::secret::to_hex;
use bartizan_platform::limits::IMPORT_BAD_LINES_MAX;

/// A device to be added, checked by itself but not yet against those that exist.
#[derive(Clone, Debug)]
pub struct NewRow {
    /// Of the file it came from; names it in errors.
    pub line: u64,
    pub name: String,
    pub device_type: String,
    pub identity: Vec<u8>,
    pub psk: Zeroizing<Vec<u8>>,
    pub endpoint: String,
    pub attestation_identity: Option<Identity>,
}

/// An addition under way. Dropped at any point it leaves what [`resolve`] puts right.
pub struct Addition<'a> {
    store: &'a TenantStore,
    sealer: &'a Sealer,
    operator: Option<Transaction<'static, Sqlite>>,
    tenant: Option<Transaction<'static, Sqlite>>,
    types: HashMap<String, TypeId>,
    now: UnixMillis,
    first: u64,
    next: u64,
    bad: BadLines,
}

impl<'a> Addition<'a> {
    /// Takes the write locks of both files, the operator's first.
    pub async fn begin(
        operator: &OperatorStore,
        store: &'a TenantStore,
        sealer: &'a Sealer,
        now: UnixMillis,
    ) -> Result<Self, Error> {
        let operator = operator.db.begin().await?;
        let mut tenant = store.db.begin().await?;
        let last = "SELECT coalesce((SELECT seq FROM sqlite_sequence WHERE name = 'devices'), 0)";
        let first = to_u64(sqlx::query_scalar(last).fetch_one(&mut *tenant).await?) + 1;
        let types = HashMap::new();
        Ok(Self {
            store,
            sealer,
            operator: Some(operator),
            tenant: Some(tenant),
            types,
            now,
            first,
            next: first,
            bad: BadLines::default(),
        })
    }

    /// Notes a line that was wrong by itself.
    pub fn reject(&mut self, line: u64, error: String) {
        self.bad.total += 1;
        if self.bad.lines.len() < IMPORT_BAD_LINES_MAX {
            self.bad.lines.push(BadLine { line, error });
        }
    }

    /// Adds some rows; those that collide with existing devices are noted. After the first bad line rows are
    /// only checked.
    pub async fn add(&mut self, rows: Vec<NewRow>) -> Result<(), Error> {
        let checks: Value = rows
            .iter()
            .map(|row| json!([row.line, row.name, row.endpoint, to_hex(&row.identity), attester_of(row)]))
            .collect();
        self.check(&checks.to_string()).await?;
        if self.bad.total > 0 {
            return Ok(());
        }
        let mut values = Vec::with_capacity(rows.len());
        for row in &rows {
            let device_type = self.type_of(&row.device_type).await?;
            values.push(self.value(row, device_type));
        }
        self.insert(&Value::Array(values).to_string()).await
    }

    /// Commits to the tenant's file, with the marker.
    ///
    /// # Errors
    /// `Malformed` with the lines if any was bad; nothing was added then.
    pub async fn commit_tenant(&mut self) -> Result<(), Error> {
        if self.bad.total > 0 {
            let mut bad = std::mem::take(&mut self.bad);
            bad.lines.sort_by_key(|bad| bad.line);
            return Err(Error::Malformed(bad));
        }
        let mut tx = self.tenant.take().expect("invariant: a tenant's part is committed once");
        let marker = "INSERT INTO additions (id, first, last) VALUES (1, ?, ?)";
        sqlx::query(marker).bind(to_i64(self.first)).bind(to_i64(self.next - 1)).execute(&mut *tx).await?;
        Ok(tx.commit().await?)
    }

    /// Commits to the operator's file: from here on the devices exist. Should nothing follow, the next opening
    /// takes the marker away.
    pub async fn commit_identities(&mut self) -> Result<(), Error> {
        let operator = self.operator.take().expect("invariant: the operator's part is committed once");
        Ok(operator.commit().await?)
    }

    /// Everything, in its order. Answers the first device's number and how many were added.
    pub async fn commit(mut self) -> Result<(DeviceId, u64), Error> {
        self.commit_tenant().await?;
        self.commit_identities().await?;
        sqlx::query("DELETE FROM additions").execute(self.store.db.write()).await?;
        Ok((DeviceId(self.first), self.next - self.first))
    }

    async fn check(&mut self, rows: &str) -> Result<(), Error> {
        let taken = "SELECT r.value ->> 0, d.name = r.value ->> 1, d.endpoint = r.value ->> 2, r.value ->> 1, r.value ->> 2 \
                     FROM json_each(?) r JOIN devices d ON d.name = r.value ->> 1 OR d.endpoint = r.value ->> 2";
        let tenant = self.tenant.as_mut().expect("invariant: the tenant's part is still open");
        for row in sqlx::query(taken).bind(rows).fetch_all(&mut **tenant).await? {
            let (line, name): (i64, bool) = (row.try_get(0)?, row.try_get(1)?);
            let error = if name {
                format!("a device named {:?} exists already", row.try_get::<String, _>(3)?)
            } else {
                format!("the endpoint {:?} belongs to another device", row.try_get::<String, _>(4)?)
            };
            self.reject(to_u64(line), error);
        }
        let taken = "SELECT r.value ->> 0, d.name FROM json_each(?) r JOIN attesters a ON a.identity = unhex(r.value ->> 4) \
                     JOIN devices d ON d.id = a.device";
        let tenant = self.tenant.as_mut().expect("invariant: the tenant's part is still open");
        for row in sqlx::query(taken).bind(rows).fetch_all(&mut **tenant).await? {
            let (line, name): (i64, String) = (row.try_get(0)?, row.try_get(1)?);
            self.reject(to_u64(line), format!("the attestation identity is that of the device {name:?}"));
        }
        let taken = "SELECT r.value ->> 0, i.identity FROM json_each(?) r JOIN psk_identities i ON i.identity = unhex(r.value ->> 3)";
        let operator = self.operator.as_mut().expect("invariant: the operator's part is still open");
        for row in sqlx::query(taken).bind(rows).fetch_all(&mut **operator).await? {
            let (line, identity): (i64, Vec<u8>) = (row.try_get(0)?, row.try_get(1)?);
            // It may be another tenant's: nothing more is said of it.
            self.reject(to_u64(line), format!("the identity {} is taken", show_identity(&identity)));
        }
        Ok(())
    }

    fn value(&mut self, row: &NewRow, device_type: TypeId) -> Value {
        let id = DeviceId(self.next);
        self.next += 1;
        let sealed = self.sealer.seal(Place::Psk(self.store.id, id), &row.psk);
        json!([id.0, row.name, device_type.0, to_hex(&row.identity), to_hex(&sealed), row.endpoint, attester_of(row)])
    }

    async fn insert(&mut self, rows: &str) -> Result<(), Error> {
        let devices = "INSERT INTO devices (id, name, type, identity, psk, endpoint, created) \
                       SELECT value ->> 0, value ->> 1, value ->> 2, unhex(value ->> 3), unhex(value ->> 4), value ->> 5, ? \
                       FROM json_each(?)";
        let tenant = self.tenant.as_mut().expect("invariant: the tenant's part is still open");
        sqlx::query(devices).bind(to_i64(self.now.0)).bind(rows).execute(&mut **tenant).await?;
        let attesters = "INSERT INTO attesters (device, identity) SELECT value ->> 0, unhex(value ->> 6) \
                         FROM json_each(?) WHERE value ->> 6 IS NOT NULL";
        sqlx::query(attesters).bind(rows).execute(&mut **tenant).await?;
        let identities = "INSERT INTO psk_identities (identity, tenant, device) \
                          SELECT unhex(value ->> 3), ?, value ->> 0 FROM json_each(?)";
        let operator = self.operator.as_mut().expect("invariant: the operator's part is still open");
        sqlx::query(identities).bind(self.store.id.0).bind(rows).execute(&mut **operator).await?;
        Ok(())
    }

    /// The type of this name, made if absent: a spreadsheet is often the first thing that names it.
    async fn type_of(&mut self, name: &str) -> Result<TypeId, Error> {
        if let Some(known) = self.types.get(name) {
            return Ok(*known);
        }
        let tenant = self.tenant.as_mut().expect("invariant: the tenant's part is still open");
        let insert = "INSERT INTO device_types (name) VALUES (?) ON CONFLICT DO NOTHING";
        sqlx::query(insert).bind(name).execute(&mut **tenant).await?;
        let select = "SELECT id FROM device_types WHERE name = ?";
        let id = TypeId(sqlx::query_scalar(select).bind(name).fetch_one(&mut **tenant).await?);
        self.types.insert(name.to_owned(), id);
        Ok(id)
    }
}

fn attester_of(row: &NewRow) -> Option<String> {
    row.attestation_identity.map(|identity| identity.to_string())
}

/// Rolls an addition that was cut short forward or back. Runs before anything else reads the tenant's file.
pub async fn resolve(operator: &OperatorStore, store: &TenantStore) -> Result<(), Error> {
    let marker = sqlx::query("SELECT first, last FROM additions").fetch_optional(store.db.write()).await?;
    let Some(marker) = marker else { return Ok(()) };
    let (first, last) = (to_u64(marker.try_get(0)?), to_u64(marker.try_get(1)?));
    let named = operator.count_identities(store.id, DeviceId(first), DeviceId(last)).await?;
    let mut tx = store.db.begin().await?;
    if named == 0 {
        let delete = "DELETE FROM devices WHERE id BETWEEN ? AND ?";
        sqlx::query(delete).bind(to_i64(first)).bind(to_i64(last)).execute(&mut *tx).await?;
    }
    sqlx::query("DELETE FROM additions").execute(&mut *tx).await?;
    Ok(tx.commit().await?)
}
