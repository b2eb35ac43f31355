//! The operator's own records: tenants, PSK identities, operators, audit, kept replies.

use std::path::Path;

use bartizan_wire::{DeviceId, DeviceKey, TenantId, UnixMillis};
use sqlx::Row;
use sqlx::migrate::Migrator;
use sqlx::sqlite::SqliteRow;
use zeroize::Zeroizing;

use super::error::Error;
use super::key::{Place, Sealer};
use super::sqlite::Database;
use crate::limits::AUDIT_LINES_MAX;

static MIGRATOR: Migrator = sqlx::migrate!("src/store/migrations/operator");
const KEY_CHECK: &[u8] = b"bartizan";

/// `operator.db`.
pub struct OperatorStore {
    pub db: Database,
    sealer: Sealer,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TenantRow {
    pub id: TenantId,
    pub name: String,
    pub upstream: String,
    pub created: UnixMillis,
    pub version: u64,
}

/// One line of the audit.
#[derive(Clone, Copy, Debug)]
pub struct AuditLine<'a> {
    pub at: UnixMillis,
    pub actor: &'a str,
    pub action: &'a str,
    pub tenant: Option<TenantId>,
    pub subject: &'a str,
    pub detail: &'a str,
}

/// A kept reply, opened.
pub struct ReplyRow {
    pub fingerprint: Vec<u8>,
    pub status: u16,
    pub body: Vec<u8>,
}

impl OperatorStore {
    pub async fn open(dir: &Path, sealer: Sealer) -> Result<Self, Error> {
        let db = Database::open(&dir.join("operator.db"), &MIGRATOR).await?;
        let store = Self { db, sealer };
        store.check_key(dir).await?;
        Ok(store)
    }

    pub(super) const fn sealer(&self) -> &Sealer {
        &self.sealer
    }

    /// The first opening leaves a sealed value; every later one must be able to open it.
    async fn check_key(&self, dir: &Path) -> Result<(), Error> {
        let select = "SELECT value FROM meta WHERE key = 'key_check'";
        let kept: Option<Vec<u8>> = sqlx::query_scalar(select).fetch_optional(self.db.write()).await?;
        let Some(kept) = kept else {
            let sealed = self.sealer.seal(Place::KeyCheck, KEY_CHECK);
            let insert = "INSERT INTO meta (key, value) VALUES ('key_check', ?)";
            sqlx::query(insert).bind(sealed).execute(self.db.write()).await?;
            return Ok(());
        };
        let opened = self.sealer.open(Place::KeyCheck, &kept);
        opened.filter(|value| value.as_slice() == KEY_CHECK).map(|_| ()).ok_or_else(|| Error::WrongKey(dir.to_owned()))
    }

    // --- the gateway

    /// The gateway's own key and certificate, as they were kept.
    pub async fn gateway_key(&self) -> Result<Option<Zeroizing<Vec<u8>>>, Error> {
        let select = "SELECT value FROM meta WHERE key = 'gateway_key'";
        let kept: Option<Vec<u8>> = sqlx::query_scalar(select).fetch_optional(self.db.read()).await?;
        let open =
            |sealed: Vec<u8>| self.sealer.open(Place::GatewayKey, &sealed).ok_or(Error::Damaged("gateway's key"));
        kept.map(open).transpose()
    }

    pub async fn keep_gateway_key(&self, key: &[u8]) -> Result<(), Error> {
        let sealed = self.sealer.seal(Place::GatewayKey, key);
        let insert = "INSERT OR REPLACE INTO meta (key, value) VALUES ('gateway_key', ?)";
        sqlx::query(insert).bind(sealed).execute(self.db.write()).await?;
        Ok(())
    }

    // --- tenants

    pub async fn tenants(&self, after: u32, limit: u32) -> Result<Vec<TenantRow>, Error> {
        let select = "SELECT * FROM tenants WHERE id > ? ORDER BY id LIMIT ?";
        let rows = sqlx::query(select).bind(after).bind(limit).fetch_all(self.db.read()).await?;
        rows.iter().map(tenant_row).collect()
    }

    pub async fn tenant(&self, id: TenantId) -> Result<Option<TenantRow>, Error> {
        let row = sqlx::query("SELECT * FROM tenants WHERE id = ?").bind(id.0).fetch_optional(self.db.read()).await?;
        row.as_ref().map(tenant_row).transpose()
    }

    pub async fn tenant_named(&self, name: &str) -> Result<Option<TenantRow>, Error> {
        let row = sqlx::query("SELECT * FROM tenants WHERE name = ?").bind(name).fetch_optional(self.db.read()).await?;
        row.as_ref().map(tenant_row).transpose()
    }

    /// `None` if the name is taken.
    pub async fn add_tenant(&self, name: &str, upstream: &str, at: UnixMillis) -> Result<Option<TenantRow>, Error> {
        let insert = "INSERT INTO tenants (name, upstream, created, version) VALUES (?, ?, ?, 1) \
                      ON CONFLICT DO NOTHING RETURNING *";
        let query = sqlx::query(insert).bind(name).bind(upstream).bind(to_i64(at.0));
        let row = query.fetch_optional(self.db.write()).await?;
        row.as_ref().map(tenant_row).transpose()
    }

    /// `None` if the tenant does not have `if_version` any more.
    pub async fn change_tenant(
        &self,
        id: TenantId,
        upstream: &str,
        if_version: Option<u64>,
    ) -> Result<Option<TenantRow>, Error> {
        let update = "UPDATE tenants SET upstream = ?, version = version + 1 \
                      WHERE id = ? AND version = coalesce(?, version) RETURNING *";
        let query = sqlx::query(update).bind(upstream).bind(id.0).bind(if_version.map(to_i64));
        let row = query.fetch_optional(self.db.write()).await?;
        row.as_ref().map(tenant_row).transpose()
    }

    // --- identities

    pub async fn device_of(&self, identity: &[u8]) -> Result<Option<DeviceKey>, Error> {
        let select = "SELECT tenant, device FROM psk_identities WHERE identity = ?";
        let row = sqlx::query(select).bind(identity).fetch_optional(self.db.read()).await?;
        row.map(|row| Ok(DeviceKey::new(row.try_get(0)?, to_u64(row.try_get(1)?)))).transpose()
    }

    /// How many devices the tenant has: each has one identity in use, so the tenant's own file stays closed.
    pub async fn count_devices(&self, tenant: TenantId) -> Result<u64, Error> {
        let select = "SELECT count(*) FROM psk_identities WHERE tenant = ? AND pending = 0";
        Ok(to_u64(sqlx::query_scalar(select).bind(tenant.0).fetch_one(self.db.read()).await?))
    }

    /// How many of the tenant's devices `first..=last` have an identity: all or none of one addition.
    pub async fn count_identities(&self, tenant: TenantId, first: DeviceId, last: DeviceId) -> Result<u64, Error> {
        let select = "SELECT count(*) FROM psk_identities WHERE tenant = ? AND device BETWEEN ? AND ? AND pending = 0";
        let query = sqlx::query_scalar(select).bind(tenant.0).bind(to_i64(first.0)).bind(to_i64(last.0));
        Ok(to_u64(query.fetch_one(self.db.read()).await?))
    }

    // --- operators

    pub async fn add_operator(&self, name: &str, token_hash: &[u8], at: UnixMillis) -> Result<(), Error> {
        let insert = "INSERT INTO operators (name, token_hash, created) VALUES (?, ?, ?) \
                      ON CONFLICT (name) DO UPDATE SET token_hash = excluded.token_hash";
        sqlx::query(insert).bind(name).bind(token_hash).bind(to_i64(at.0)).execute(self.db.write()).await?;
        Ok(())
    }

    pub async fn operator_of(&self, token_hash: &[u8]) -> Result<Option<String>, Error> {
        let select = "SELECT name FROM operators WHERE token_hash = ?";
        Ok(sqlx::query_scalar(select).bind(token_hash).fetch_optional(self.db.read()).await?)
    }

    pub async fn audit(&self, line: AuditLine<'_>) -> Result<(), Error> {
        let insert = "INSERT INTO audit (at, actor, action, tenant, subject, detail) VALUES (?, ?, ?, ?, ?, ?)";
        let query = sqlx::query(insert).bind(to_i64(line.at.0)).bind(line.actor).bind(line.action);
        let query = query.bind(line.tenant.map(|tenant| tenant.0)).bind(line.subject).bind(line.detail);
        let id = query.execute(self.db.write()).await?.last_insert_rowid();
        if id % 1024 == 0 {
            let thin = "DELETE FROM audit WHERE id <= ?";
            sqlx::query(thin).bind(id - i64::from(AUDIT_LINES_MAX)).execute(self.db.write()).await?;
        }
        Ok(())
    }

    // --- kept replies

    pub async fn kept_reply(&self, operator: &str, key: &str, since: UnixMillis) -> Result<Option<ReplyRow>, Error> {
        let select = "SELECT fingerprint, status, body FROM idempotency WHERE operator = ? AND key = ? AND at >= ?";
        let query = sqlx::query(select).bind(operator).bind(key).bind(to_i64(since.0));
        let Some(row) = query.fetch_optional(self.db.read()).await? else { return Ok(None) };
        let sealed: Vec<u8> = row.try_get(2)?;
        let body = self.sealer.open(Place::Reply { operator, key }, &sealed).ok_or(Error::Damaged("reply"))?;
        Ok(Some(ReplyRow { fingerprint: row.try_get(0)?, status: row.try_get(1)?, body: body.to_vec() }))
    }

    /// Keeps a reply and drops those older than `since`.
    pub async fn keep_reply(
        &self,
        operator: &str,
        key: &str,
        reply: &ReplyRow,
        at: UnixMillis,
        since: UnixMillis,
    ) -> Result<(), Error> {
        let sealed = self.sealer.seal(Place::Reply { operator, key }, &reply.body);
        let mut tx = self.db.begin().await?;
        sqlx::query("DELETE FROM idempotency WHERE at < ?").bind(to_i64(since.0)).execute(&mut *tx).await?;
        let insert = "INSERT OR REPLACE INTO idempotency (operator, key, fingerprint, status, body, at) VALUES (?, ?, ?, ?, ?, ?)";
        let query = sqlx::query(insert).bind(operator).bind(key).bind(&reply.fingerprint).bind(reply.status);
        query.bind(sealed).bind(to_i64(at.0)).execute(&mut *tx).await?;
        Ok(tx.commit().await?)
    }
}

fn tenant_row(row: &SqliteRow) -> Result<TenantRow, Error> {
    Ok(TenantRow {
        id: TenantId(row.try_get("id")?),
        name: row.try_get("name")?,
        upstream: row.try_get("upstream")?,
        created: UnixMillis(to_u64(row.try_get("created")?)),
        version: to_u64(row.try_get("version")?),
    })
}

/// SQLite's integers are signed; everything stored as one is below 2^63.
pub fn to_i64(value: u64) -> i64 {
    i64::try_from(value).unwrap_or(i64::MAX)
}

pub fn to_u64(value: i64) -> u64 {
    u64::try_from(value).unwrap_or(0)
}
