//! Who may join: order entries and vouchers, manufacturers, what waits for a person, and histories of who has joined.

use bartizan_wire::{DeviceId, TenantId, UnixMillis};
use serde_json::{Value, json};
use sqlx::Row;
use sqlx::sqlite::SqliteRow;

use super::error::Error;
use super::operator::{OperatorStore, to_i64, to_u64};
use crate::app::{BadLine, BadLines};
use crate::limits::{MANUFACTURERS_MAX, ONBOARDING_ORDERS_PER_PIECE, ONBOARDING_QUEUE_AGE_MS, ONBOARDING_QUEUE_MAX};
use bartizan_platform::import::secret::to_hex;
use bartizan_platform::limits::IMPORT_BAD_LINES_MAX;

/// Somebody who may join, and as what.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct OrderRow {
    pub identity: [u8; 32],
    pub name: String,
    pub device_type: String,
    pub shown: String,
    /// Whether the identity is one that evidence is held against.
    pub attester: bool,
    pub voucher: Option<VoucherRow>,
    pub used: Option<UnixMillis>,
}

/// A voucher as it came.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct VoucherRow {
    pub bytes: Vec<u8>,
    /// Whether it has the COSE form.
    pub compact: bool,
    pub expires: Option<UnixMillis>,
}

/// Who vouches for a make.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ManufacturerRow {
    pub tenant: TenantId,
    pub name: String,
    /// A certificate or a SubjectPublicKeyInfo, in DER.
    pub anchor: Vec<u8>,
    /// Thumbprint of the key.
    pub key: [u8; 32],
    pub added: UnixMillis,
    pub added_by: String,
}

/// What waits for a person.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct QueueRow {
    pub identity: [u8; 32],
    pub shown: String,
    pub manufacturer: String,
    pub attester: bool,
    pub device: Option<DeviceId>,
    pub why: String,
    pub first: UnixMillis,
    pub last: UnixMillis,
    pub knocks: u64,
    pub refused: bool,
}

/// What is known of the history of who has joined.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct HistoryRow {
    /// Hash of the operational key that was certified last.
    pub leaf: Option<[u8; 32]>,
    pub boot_count: Option<u64>,
    pub boot_seed: Option<Vec<u8>>,
}

impl OperatorStore {
    // --- order entries

    pub async fn order(&self, identity: &[u8; 32]) -> Result<Option<(TenantId, OrderRow)>, Error> {
        let select = "SELECT * FROM onboarding_orders WHERE identity = ?";
        let row = sqlx::query(select).bind(&identity[..]).fetch_optional(self.db.read()).await?;
        row.map(|row| Ok((TenantId(row.try_get("tenant")?), order_row(&row)?))).transpose()
    }

    /// The tenant's entries by name, those after `after`.
    pub async fn orders(&self, tenant: TenantId, after: &str, limit: u32) -> Result<Vec<OrderRow>, Error> {
        let select = "SELECT * FROM onboarding_orders WHERE tenant = ? AND name > ? ORDER BY name LIMIT ?";
        let query = sqlx::query(select).bind(tenant.0).bind(after).bind(limit);
        query.fetch_all(self.db.read()).await?.iter().map(order_row).collect()
    }

    /// Adds all entries, each with its line, or none.
    ///
    /// # Errors
    /// `Malformed` with the lines whose identity or name is taken.
    pub async fn add_orders(
        &self,
        tenant: TenantId,
        orders: &[(u64, OrderRow)],
        now: UnixMillis,
    ) -> Result<u64, Error> {
        let (mut tx, mut bad, mut added) = (self.db.begin().await?, BadLines::default(), 0);
        for piece in orders.chunks(ONBOARDING_ORDERS_PER_PIECE) {
            let rows = piece.iter().map(order_value).collect::<Value>().to_string();
            // An identity may be another tenant's: nothing more is said of it.
            let taken = "SELECT r.value ->> 0, r.value ->> 2, o.identity = unhex(r.value ->> 1) FROM json_each(?1) r \
                         JOIN onboarding_orders o ON o.identity = unhex(r.value ->> 1) \
                         OR (o.tenant = ?2 AND o.name = r.value ->> 2)";
            for row in sqlx::query(taken).bind(&rows).bind(tenant.0).fetch_all(&mut *tx).await? {
                let (line, name, identity): (i64, String, bool) = (row.try_get(0)?, row.try_get(1)?, row.try_get(2)?);
                let error = match identity {
                    true => "the identity has an order entry already: two devices would share a secret".into(),
                    false => format!("the name {name:?} has an order entry already"),
                };
                bad.total += 1;
                if bad.lines.len() < IMPORT_BAD_LINES_MAX {
                    bad.lines.push(BadLine { line: to_u64(line), error });
                }
            }
            if bad.total > 0 {
                continue;
            }
            let insert = "INSERT INTO onboarding_orders \
                          (identity, tenant, name, type, shown, attester, added, voucher, compact, expires) \
                          SELECT unhex(value ->> 1), ?2, value ->> 2, value ->> 3, value ->> 4, value ->> 5, ?3, \
                          unhex(value ->> 6), value ->> 7, value ->> 8 FROM json_each(?1)";
            let query = sqlx::query(insert).bind(&rows).bind(tenant.0).bind(to_i64(now.0));
            added += query.execute(&mut *tx).await?.rows_affected();
        }
        if bad.total > 0 {
            bad.lines.sort_by_key(|bad| bad.line);
            return Err(Error::Malformed(bad));
        }
        tx.commit().await?;
        Ok(added)
    }

    /// Uses an entry up. False if somebody was faster.
    pub async fn use_order(&self, identity: &[u8; 32], now: UnixMillis) -> Result<bool, Error> {
        let update = "UPDATE onboarding_orders SET used = ? WHERE identity = ? AND used IS NULL";
        let query = sqlx::query(update).bind(to_i64(now.0)).bind(&identity[..]);
        Ok(query.execute(self.db.write()).await?.rows_affected() == 1)
    }

    /// Takes an entry back that has not been used.
    pub async fn remove_order(&self, tenant: TenantId, name: &str) -> Result<bool, Error> {
        let delete = "DELETE FROM onboarding_orders WHERE tenant = ? AND name = ? AND used IS NULL";
        Ok(sqlx::query(delete).bind(tenant.0).bind(name).execute(self.db.write()).await?.rows_affected() == 1)
    }

    // --- manufacturers

    /// Of one tenant, or of all.
    pub async fn manufacturers(&self, tenant: Option<TenantId>) -> Result<Vec<ManufacturerRow>, Error> {
        let select = "SELECT * FROM manufacturers WHERE ?1 IS NULL OR tenant = ?1 ORDER BY tenant, name";
        let rows = sqlx::query(select).bind(tenant.map(|tenant| tenant.0)).fetch_all(self.db.read()).await?;
        rows.iter().map(manufacturer_row).collect()
    }

    /// False if there are as many as may be.
    ///
    /// # Errors
    /// `Misuse` if the tenant has the name or the key already.
    pub async fn add_manufacturer(&self, new: &ManufacturerRow) -> Result<bool, Error> {
        let mut tx = self.db.begin().await?;
        let named = "SELECT name FROM manufacturers WHERE tenant = ?1 AND (name = ?2 OR key = ?3)";
        let query = sqlx::query_scalar(named).bind(new.tenant.0).bind(&new.name).bind(&new.key[..]);
        let taken: Option<String> = query.fetch_optional(&mut *tx).await?;
        if let Some(name) = taken {
            return Err(Error::Misuse(format!("there is a manufacturer {name:?} of this name or key already")));
        }
        let count: u32 = sqlx::query_scalar("SELECT count(*) FROM manufacturers").fetch_one(&mut *tx).await?;
        if count >= MANUFACTURERS_MAX {
            return Ok(false);
        }
        let insert = "INSERT INTO manufacturers (tenant, name, anchor, key, added, added_by) VALUES (?, ?, ?, ?, ?, ?)";
        let query = sqlx::query(insert).bind(new.tenant.0).bind(&new.name).bind(&new.anchor).bind(&new.key[..]);
        query.bind(to_i64(new.added.0)).bind(&new.added_by).execute(&mut *tx).await?;
        tx.commit().await?;
        Ok(true)
    }

    /// False if there is none of this name.
    pub async fn remove_manufacturer(&self, tenant: TenantId, name: &str) -> Result<bool, Error> {
        let delete = "DELETE FROM manufacturers WHERE tenant = ? AND name = ?";
        Ok(sqlx::query(delete).bind(tenant.0).bind(name).execute(self.db.write()).await?.rows_affected() == 1)
    }

    // --- the queue

    /// The tenant's lines, the longest waiting first.
    pub async fn queue(&self, tenant: TenantId) -> Result<Vec<QueueRow>, Error> {
        let select = "SELECT * FROM onboarding_queue WHERE tenant = ? ORDER BY first, identity";
        let rows = sqlx::query(select).bind(tenant.0).fetch_all(self.db.read()).await?;
        rows.iter().map(queue_row).collect()
    }

    pub async fn queued(&self, tenant: TenantId, identity: &[u8; 32]) -> Result<Option<QueueRow>, Error> {
        let select = "SELECT * FROM onboarding_queue WHERE tenant = ? AND identity = ?";
        let row = sqlx::query(select).bind(tenant.0).bind(&identity[..]).fetch_optional(self.db.read()).await?;
        row.as_ref().map(queue_row).transpose()
    }

    /// Puts a line into the queue, or counts one more knock. Lines that are too old go first. False if it is full.
    pub async fn knock(&self, tenant: TenantId, row: &QueueRow) -> Result<bool, Error> {
        let mut tx = self.db.begin().await?;
        let old = to_i64(row.last.0.saturating_sub(ONBOARDING_QUEUE_AGE_MS));
        sqlx::query("DELETE FROM onboarding_queue WHERE last < ?").bind(old).execute(&mut *tx).await?;
        let again = "UPDATE onboarding_queue SET last = max(last, ?3), knocks = knocks + 1, why = ?4 \
                     WHERE tenant = ?1 AND identity = ?2";
        let query = sqlx::query(again).bind(tenant.0).bind(&row.identity[..]).bind(to_i64(row.last.0)).bind(&row.why);
        let mut there = query.execute(&mut *tx).await?.rows_affected() == 1;
        let count = "SELECT count(*) FROM onboarding_queue WHERE tenant = ?";
        let count: u32 = sqlx::query_scalar(count).bind(tenant.0).fetch_one(&mut *tx).await?;
        // What is about a device that is there already finds a place in any case: there are as many as devices.
        if !there && (count < ONBOARDING_QUEUE_MAX || row.device.is_some()) {
            let insert = "INSERT INTO onboarding_queue (tenant, identity, shown, manufacturer, attester, device, why, \
                          first, last, knocks) VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, 1)";
            let query = sqlx::query(insert).bind(tenant.0).bind(&row.identity[..]).bind(&row.shown);
            let query = query.bind(&row.manufacturer).bind(row.attester);
            let query = query.bind(row.device.map(|device| to_i64(device.0))).bind(&row.why);
            query.bind(to_i64(row.first.0)).bind(to_i64(row.last.0)).execute(&mut *tx).await?;
            there = true;
        }
        tx.commit().await?;
        Ok(there)
    }

    pub async fn refuse_queued(&self, tenant: TenantId, identity: &[u8; 32]) -> Result<bool, Error> {
        let update = "UPDATE onboarding_queue SET refused = 1 WHERE tenant = ? AND identity = ?";
        let query = sqlx::query(update).bind(tenant.0).bind(&identity[..]);
        Ok(query.execute(self.db.write()).await?.rows_affected() == 1)
    }

    /// Takes the identity's lines out of every queue: it has joined.
    pub async fn leave_queue(&self, identity: &[u8; 32]) -> Result<(), Error> {
        let delete = "DELETE FROM onboarding_queue WHERE identity = ?";
        sqlx::query(delete).bind(&identity[..]).execute(self.db.write()).await?;
        Ok(())
    }

    // --- histories

    pub async fn joined_history(&self, identity: &[u8; 32]) -> Result<HistoryRow, Error> {
        let select = "SELECT leaf, boot_count, boot_seed FROM onboarding_histories WHERE identity = ?";
        let row = sqlx::query(select).bind(&identity[..]).fetch_optional(self.db.read()).await?;
        let Some(row) = row else { return Ok(HistoryRow::default()) };
        let (leaf, count): (Option<Vec<u8>>, Option<i64>) = (row.try_get(0)?, row.try_get(1)?);
        let leaf = leaf.map(|leaf| leaf.try_into().map_err(|_| Error::Damaged("history"))).transpose()?;
        Ok(HistoryRow { leaf, boot_count: count.map(to_u64), boot_seed: row.try_get(2)? })
    }

    pub async fn keep_history(&self, identity: &[u8; 32], row: &HistoryRow, now: UnixMillis) -> Result<(), Error> {
        let insert = "INSERT OR REPLACE INTO onboarding_histories (identity, leaf, boot_count, boot_seed, at) \
                      VALUES (?, ?, ?, ?, ?)";
        let query = sqlx::query(insert).bind(&identity[..]).bind(row.leaf.as_ref().map(|leaf| &leaf[..]));
        let query = query.bind(row.boot_count.map(to_i64)).bind(row.boot_seed.as_deref()).bind(to_i64(now.0));
        query.execute(self.db.write()).await?;
        Ok(())
    }
}

fn order_value((line, row): &(u64, OrderRow)) -> Value {
    let voucher = row.voucher.as_ref().map(|voucher| to_hex(&voucher.bytes));
    let compact = row.voucher.as_ref().is_some_and(|voucher| voucher.compact);
    let expires = row.voucher.as_ref().and_then(|voucher| voucher.expires).map(|end| end.0);
    json!([line, to_hex(&row.identity), row.name, row.device_type, row.shown, row.attester, voucher, compact, expires])
}

fn identity_of(row: &SqliteRow, column: &str) -> Result<[u8; 32], Error> {
    let bytes: Vec<u8> = row.try_get(column)?;
    bytes.try_into().map_err(|_| Error::Damaged("identity"))
}

fn order_row(row: &SqliteRow) -> Result<OrderRow, Error> {
    let (voucher, expires): (Option<Vec<u8>>, Option<i64>) = (row.try_get("voucher")?, row.try_get("expires")?);
    let (compact, used): (bool, Option<i64>) = (row.try_get("compact")?, row.try_get("used")?);
    let at = |at: i64| UnixMillis(to_u64(at));
    Ok(OrderRow {
        identity: identity_of(row, "identity")?,
        name: row.try_get("name")?,
        device_type: row.try_get("type")?,
        shown: row.try_get("shown")?,
        attester: row.try_get("attester")?,
        voucher: voucher.map(|bytes| VoucherRow { bytes, compact, expires: expires.map(at) }),
        used: used.map(at),
    })
}

fn manufacturer_row(row: &SqliteRow) -> Result<ManufacturerRow, Error> {
    Ok(ManufacturerRow {
        tenant: TenantId(row.try_get("tenant")?),
        name: row.try_get("name")?,
        anchor: row.try_get("anchor")?,
        key: identity_of(row, "key")?,
        added: UnixMillis(to_u64(row.try_get("added")?)),
        added_by: row.try_get("added_by")?,
    })
}

fn queue_row(row: &SqliteRow) -> Result<QueueRow, Error> {
    Ok(QueueRow {
        identity: identity_of(row, "identity")?,
        shown: row.try_get("shown")?,
        manufacturer: row.try_get("manufacturer")?,
        attester: row.try_get("attester")?,
        device: row.try_get::<Option<i64>, _>("device")?.map(|device| DeviceId(to_u64(device))),
        why: row.try_get("why")?,
        first: UnixMillis(to_u64(row.try_get("first")?)),
        last: UnixMillis(to_u64(row.try_get("last")?)),
        knocks: to_u64(row.try_get("knocks")?),
        refused: row.try_get("refused")?,
    })
}

impl super::TenantStore {
    /// Forgets which starts of a device evidence has shown: a person lets it begin anew.
    pub async fn forget_starts(&self, device: DeviceId) -> Result<(), Error> {
        let update = "UPDATE attesters SET boot_count = NULL, boot_seed = NULL, chain = NULL, counter = counter + 1 \
                      WHERE device = ?";
        sqlx::query(update).bind(to_i64(device.0)).execute(self.db.write()).await?;
        Ok(())
    }

    /// Which of these names and identities devices have already, as (line, what is wrong).
    pub async fn taken(&self, asked: &[(u64, &str, Option<&[u8; 32]>)]) -> Result<Vec<(u64, String)>, Error> {
        let rows: Value = asked
            .iter()
            .map(|(line, name, identity)| json!([line, name, identity.map(|identity| to_hex(identity))]))
            .collect();
        let rows = rows.to_string();
        let named = "SELECT r.value ->> 0, d.name FROM json_each(?) r JOIN devices d \
                     ON d.name = r.value ->> 1 OR d.endpoint = r.value ->> 1";
        let mut taken = Vec::new();
        for row in sqlx::query(named).bind(&rows).fetch_all(self.db.read()).await? {
            let (line, name): (i64, String) = (row.try_get(0)?, row.try_get(1)?);
            taken.push((to_u64(line), format!("a device named {name:?} exists already")));
        }
        let known = "SELECT r.value ->> 0, d.name FROM json_each(?) r JOIN attesters a \
                     ON a.identity = unhex(r.value ->> 2) JOIN devices d ON d.id = a.device";
        for row in sqlx::query(known).bind(&rows).fetch_all(self.db.read()).await? {
            let (line, name): (i64, String) = (row.try_get(0)?, row.try_get(1)?);
            let error = format!("the identity is that of the device {name:?}: two devices would share a secret");
            taken.push((to_u64(line), error));
        }
        Ok(taken)
    }
}
