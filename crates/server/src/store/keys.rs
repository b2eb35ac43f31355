//! Changing a device's key over two files, whatever crashes when.
//!
//! ```text
//!  hand out   tenant: pending_keys ─▶ operator: second identity ─▶ the device
//!  use        tenant: devices, replaced_keys ─▶ operator: the old identity goes ─▶ old associations end ─▶ replaced_keys
//! ```
//!
//! The tenant's file decides which keys a device has; the operator's file only leads to the device, and an identity
//! there that the device does not have (any more) leads nowhere. So each step alone is enough, and each can be repeated.

use bartizan_wire::{DeviceId, DeviceKey, UnixMillis};
use sqlx::Row;
use sqlx::sqlite::SqliteRow;

use super::error::Error;
use super::operator::{OperatorStore, to_i64, to_u64};
use super::tenant::TenantStore;

/// A key that was handed to its device and not used yet.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PendingKey {
    /// Greater than that of every key that the device had before.
    pub number: u32,
    pub identity: Vec<u8>,
    /// For [`Place::PendingPsk`](super::Place::PendingPsk).
    pub sealed: Vec<u8>,
    pub made: UnixMillis,
    /// Names the association that it was handed out in.
    pub session: [u8; 32],
}

/// What is stored of the key in use.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct KeyFacts {
    pub number: u32,
    /// `None`: with the device.
    pub made: Option<UnixMillis>,
    /// When a person asked for another one.
    pub asked: Option<UnixMillis>,
    /// Until when the device should have taken it.
    pub due: Option<UnixMillis>,
}

impl KeyFacts {
    pub(super) fn of(row: &SqliteRow) -> Result<Self, Error> {
        let time = |column| Ok::<_, Error>(row.try_get::<Option<i64>, _>(column)?.map(|at| UnixMillis(to_u64(at))));
        Ok(Self {
            number: row.try_get("key_number")?,
            made: time("key_made")?,
            asked: time("key_asked")?,
            due: time("key_due")?,
        })
    }
}

impl TenantStore {
    pub async fn pending_key(&self, device: DeviceId) -> Result<Option<PendingKey>, Error> {
        let select = "SELECT number, identity, psk, made, session FROM pending_keys WHERE device = ?";
        let row = sqlx::query(select).bind(to_i64(device.0)).fetch_optional(self.db.read()).await?;
        row.as_ref().map(pending_key).transpose()
    }

    /// Keeps a key that is about to be handed out, in the place of one that was not used.
    pub async fn keep_pending_key(&self, device: DeviceId, key: &PendingKey) -> Result<(), Error> {
        let insert = "INSERT OR REPLACE INTO pending_keys (device, number, identity, psk, made, session) \
                      VALUES (?, ?, ?, ?, ?, ?)";
        let query = sqlx::query(insert).bind(to_i64(device.0)).bind(key.number).bind(&key.identity);
        let query = query.bind(&key.sealed).bind(to_i64(key.made.0)).bind(&key.session[..]);
        query.execute(self.db.write()).await?;
        Ok(())
    }

    /// The device has used its pending key: from here on it has no other. `sealed`: the key for
    /// [`Place::Psk`](super::Place::Psk). The old one is gone from the disk when it returns.
    pub async fn use_pending_key(&self, device: DeviceId, key: &PendingKey, sealed: &[u8]) -> Result<(), Error> {
        let update = "UPDATE devices SET identity = ?2, psk = ?3, key_number = ?4, key_made = ?5, version = version + 1, \
                      key_due = iif(key_asked < ?5, NULL, key_due), key_asked = iif(key_asked < ?5, NULL, key_asked) \
                      WHERE id = ?1";
        let mut tx = self.db.begin().await?;
        let query = sqlx::query(update).bind(to_i64(device.0)).bind(&key.identity).bind(sealed).bind(key.number);
        query.bind(to_i64(key.made.0)).execute(&mut *tx).await?;
        finish_change(&mut tx, device).await?;
        tx.commit().await?;
        self.db.checkpoint().await
    }

    /// Replaces the key under the same identity; a pending one is dropped. Both are gone from the disk when it returns.
    pub async fn replace_key(
        &self,
        device: DeviceId,
        number: u32,
        sealed: &[u8],
        made: UnixMillis,
    ) -> Result<(), Error> {
        let update = "UPDATE devices SET psk = ?, key_number = ?, key_made = ?, key_asked = NULL, key_due = NULL, \
                      version = version + 1 WHERE id = ?";
        let mut tx = self.db.begin().await?;
        let query = sqlx::query(update).bind(sealed).bind(number).bind(to_i64(made.0)).bind(to_i64(device.0));
        query.execute(&mut *tx).await?;
        finish_change(&mut tx, device).await?;
        tx.commit().await?;
        self.db.checkpoint().await
    }

    /// A person wants the device to take another key until `due`.
    pub async fn ask_for_key(&self, device: DeviceId, asked: UnixMillis, due: UnixMillis) -> Result<(), Error> {
        let update = "UPDATE devices SET key_asked = ?, key_due = ?, version = version + 1 WHERE id = ?";
        let query = sqlx::query(update).bind(to_i64(asked.0)).bind(to_i64(due.0)).bind(to_i64(device.0));
        query.execute(self.db.write()).await?;
        Ok(())
    }

    /// Whether something of a replaced key may be left.
    pub async fn has_replaced_key(&self, device: DeviceId) -> Result<bool, Error> {
        let select = "SELECT EXISTS (SELECT 1 FROM replaced_keys WHERE device = ?)";
        Ok(sqlx::query_scalar(select).bind(to_i64(device.0)).fetch_one(self.db.read()).await?)
    }

    /// Nothing of the replaced key is left.
    pub async fn forget_replaced_key(&self, device: DeviceId) -> Result<(), Error> {
        let delete = "DELETE FROM replaced_keys WHERE device = ?";
        sqlx::query(delete).bind(to_i64(device.0)).execute(self.db.write()).await?;
        Ok(())
    }
}

/// The key is another one: no other is pending, and something of the old one may be left.
async fn finish_change(tx: &mut sqlx::Transaction<'static, sqlx::Sqlite>, device: DeviceId) -> Result<(), Error> {
    for change in
        ["DELETE FROM pending_keys WHERE device = ?", "INSERT OR IGNORE INTO replaced_keys (device) VALUES (?)"]
    {
        sqlx::query(change).bind(to_i64(device.0)).execute(&mut **tx).await?;
    }
    Ok(())
}

fn pending_key(row: &SqliteRow) -> Result<PendingKey, Error> {
    let session: Vec<u8> = row.try_get("session")?;
    Ok(PendingKey {
        number: row.try_get("number")?,
        identity: row.try_get("identity")?,
        sealed: row.try_get("psk")?,
        made: UnixMillis(to_u64(row.try_get("made")?)),
        session: session.try_into().map_err(|_| Error::Damaged("pending key"))?,
    })
}

impl OperatorStore {
    /// Lets these identities lead to the device, and no others.
    pub async fn set_identities(&self, key: DeviceKey, current: &[u8], pending: Option<&[u8]>) -> Result<(), Error> {
        let mut tx = self.db.begin().await?;
        let delete = "DELETE FROM psk_identities WHERE tenant = ? AND device = ?";
        sqlx::query(delete).bind(key.tenant.0).bind(to_i64(key.device.0)).execute(&mut *tx).await?;
        let insert = "INSERT INTO psk_identities (identity, tenant, device, pending) VALUES (?, ?, ?, ?)";
        for (pending, identity) in [(false, Some(current)), (true, pending)] {
            let Some(identity) = identity else { continue };
            let query = sqlx::query(insert).bind(identity).bind(key.tenant.0).bind(to_i64(key.device.0));
            query.bind(pending).execute(&mut *tx).await?;
        }
        Ok(tx.commit().await?)
    }
}

/// Takes the identities of replaced keys out of the operator's file where a crash left them. Runs before anything else
/// reads the tenant's file.
pub async fn resolve(operator: &OperatorStore, store: &TenantStore) -> Result<(), Error> {
    let select = "SELECT d.id, d.identity, p.identity AS pending FROM replaced_keys r JOIN devices d ON d.id = r.device \
                  LEFT JOIN pending_keys p ON p.device = d.id";
    for row in sqlx::query(select).fetch_all(store.db.write()).await? {
        let key = DeviceKey { tenant: store.id, device: DeviceId(to_u64(row.try_get("id")?)) };
        let (current, pending): (Vec<u8>, Option<Vec<u8>>) = (row.try_get("identity")?, row.try_get("pending")?);
        operator.set_identities(key, &current, pending.as_deref()).await?;
    }
    Ok(())
}
