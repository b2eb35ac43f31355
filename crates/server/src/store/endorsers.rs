//! Who may sign reference values.

use bartizan_wire::UnixMillis;
use sqlx::Row;
use sqlx::sqlite::SqliteRow;

use super::error::Error;
use super::operator::{to_i64, to_u64};
use super::tenant::TenantStore;
use crate::limits::ENDORSERS_MAX;

/// Who may sign reference values.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct EndorserRow {
    pub name: String,
    /// SubjectPublicKeyInfo in DER.
    pub key: Vec<u8>,
    pub added: UnixMillis,
    pub added_by: String,
}

impl TenantStore {
    /// By name.
    pub async fn endorsers(&self) -> Result<Vec<EndorserRow>, Error> {
        let select = "SELECT name, key, added, added_by FROM endorsers ORDER BY name";
        let rows = sqlx::query(select).fetch_all(self.db.read()).await?;
        rows.iter().map(endorser_row).collect()
    }

    /// False if there are as many as may be.
    ///
    /// # Errors
    /// `Misuse` if the name or the key is taken.
    pub async fn add_endorser(&self, new: &EndorserRow) -> Result<bool, Error> {
        let mut tx = self.db.begin().await?;
        let named = "SELECT name FROM endorsers WHERE name = ?1 OR key = ?2 ORDER BY key = ?2 DESC";
        let query = sqlx::query_scalar(named).bind(&new.name).bind(&new.key);
        let taken: Option<String> = query.fetch_optional(&mut *tx).await?;
        match taken {
            Some(name) if name == new.name => return Err(Error::Misuse(format!("there is a signer {name:?} already"))),
            Some(name) => return Err(Error::Misuse(format!("this key is that of the signer {name:?}"))),
            None => {}
        }
        let count: u32 = sqlx::query_scalar("SELECT count(*) FROM endorsers").fetch_one(&mut *tx).await?;
        if count >= ENDORSERS_MAX {
            return Ok(false);
        }
        let insert = "INSERT INTO endorsers (name, key, added, added_by) VALUES (?, ?, ?, ?)";
        let query = sqlx::query(insert).bind(&new.name).bind(&new.key).bind(to_i64(new.added.0)).bind(&new.added_by);
        query.execute(&mut *tx).await?;
        tx.commit().await?;
        Ok(true)
    }

    /// False if there is none of this name.
    pub async fn remove_endorser(&self, name: &str) -> Result<bool, Error> {
        let delete = "DELETE FROM endorsers WHERE name = ?";
        Ok(sqlx::query(delete).bind(name).execute(self.db.write()).await?.rows_affected() == 1)
    }
}

fn endorser_row(row: &SqliteRow) -> Result<EndorserRow, Error> {
    Ok(EndorserRow {
        name: row.try_get("name")?,
        key: row.try_get("key")?,
        added: UnixMillis(to_u64(row.try_get("added")?)),
        added_by: row.try_get("added_by")?,
    })
}
