//! Keys of others that a tenant believes: of who signs reference values, and of other verifiers.

use bartizan_wire::UnixMillis;
use sqlx::sqlite::SqliteRow;
use sqlx::{AssertSqlSafe, Row};

use super::error::Error;
use super::operator::{to_i64, to_u64};
use super::tenant::TenantStore;
use crate::limits::TRUSTED_KEYS_MAX;

/// What a key is believed for. Nobody who may do the one may do the other by that.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum KeyRole {
    /// Signs reference values: an endorser (RFC 9334).
    Signer,
    /// Signs attestation results.
    Verifier,
}

impl KeyRole {
    /// As people call who has such a key.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Signer => "signer",
            Self::Verifier => "verifier",
        }
    }

    const fn table(self) -> &'static str {
        match self {
            Self::Signer => "endorsers",
            Self::Verifier => "verifiers",
        }
    }
}

/// Somebody's key.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TrustedKeyRow {
    pub name: String,
    /// SubjectPublicKeyInfo in DER.
    pub key: Vec<u8>,
    pub added: UnixMillis,
    pub added_by: String,
}

impl TenantStore {
    /// By name.
    pub async fn trusted_keys(&self, role: KeyRole) -> Result<Vec<TrustedKeyRow>, Error> {
        let select = format!("SELECT name, key, added, added_by FROM {} ORDER BY name", role.table());
        let rows = sqlx::query(AssertSqlSafe(select)).fetch_all(self.db.read()).await?;
        rows.iter().map(key_row).collect()
    }

    /// False if there are as many as may be.
    ///
    /// # Errors
    /// `Misuse` if the name or the key is taken.
    pub async fn add_trusted_key(&self, role: KeyRole, new: &TrustedKeyRow) -> Result<bool, Error> {
        let (table, who) = (role.table(), role.name());
        let mut tx = self.db.begin().await?;
        let named = format!("SELECT name FROM {table} WHERE name = ?1 OR key = ?2 ORDER BY key = ?2 DESC");
        let query = sqlx::query_scalar(AssertSqlSafe(named)).bind(&new.name).bind(&new.key);
        let taken: Option<String> = query.fetch_optional(&mut *tx).await?;
        match taken {
            Some(name) if name == new.name => return Err(Error::Misuse(format!("there is a {who} {name:?} already"))),
            Some(name) => return Err(Error::Misuse(format!("this key is that of the {who} {name:?}"))),
            None => {}
        }
        let count = format!("SELECT count(*) FROM {table}");
        let count: u32 = sqlx::query_scalar(AssertSqlSafe(count)).fetch_one(&mut *tx).await?;
        if count >= TRUSTED_KEYS_MAX {
            return Ok(false);
        }
        let insert = format!("INSERT INTO {table} (name, key, added, added_by) VALUES (?, ?, ?, ?)");
        let query = sqlx::query(AssertSqlSafe(insert)).bind(&new.name).bind(&new.key);
        query.bind(to_i64(new.added.0)).bind(&new.added_by).execute(&mut *tx).await?;
        tx.commit().await?;
        Ok(true)
    }

    /// False if there is none of this name.
    pub async fn remove_trusted_key(&self, role: KeyRole, name: &str) -> Result<bool, Error> {
        let delete = format!("DELETE FROM {} WHERE name = ?", role.table());
        let done = sqlx::query(AssertSqlSafe(delete)).bind(name).execute(self.db.write()).await?;
        Ok(done.rows_affected() == 1)
    }
}

fn key_row(row: &SqliteRow) -> Result<TrustedKeyRow, Error> {
    Ok(TrustedKeyRow {
        name: row.try_get("name")?,
        key: row.try_get("key")?,
        added: UnixMillis(to_u64(row.try_get("added")?)),
        added_by: row.try_get("added_by")?,
    })
}
