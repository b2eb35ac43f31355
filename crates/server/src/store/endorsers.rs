//! Who may sign reference values, and the last evidence that a change of them is tried on.

use bartizan_trust::Identity;
use bartizan_wire::{DeviceId, Lifecycle, UnixMillis};
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

/// A device that can attest, with what it brought last.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct EvidenceRow {
    pub device: DeviceId,
    pub name: String,
    pub type_name: String,
    pub identity: Identity,
    pub chain: Option<Vec<u8>>,
    /// When it was judged, and the evidence.
    pub last: Option<(UnixMillis, Vec<u8>)>,
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

    /// Policies of all types that have one, by the type's name.
    pub async fn attestation_policies(&self) -> Result<Vec<(String, String)>, Error> {
        let select =
            "SELECT t.name, p.policy FROM attestation_policies p JOIN device_types t ON t.id = p.type ORDER BY 1";
        let rows = sqlx::query(select).fetch_all(self.db.read()).await?;
        rows.iter().map(|row| Ok((row.try_get(0)?, row.try_get(1)?))).collect()
    }

    /// A page, by number, of the devices of these types that can attest and are still to do so.
    pub async fn last_evidence(&self, types: &[&str], after: u64, limit: u32) -> Result<Vec<EvidenceRow>, Error> {
        let select = "SELECT d.id, d.name, t.name AS type_name, a.identity, a.chain, v.at, v.evidence \
                      FROM attesters a JOIN devices d ON d.id = a.device JOIN device_types t ON t.id = d.type \
                      LEFT JOIN verdicts v ON v.id = (SELECT max(id) FROM verdicts WHERE device = a.device) \
                      WHERE a.device > ?1 AND d.lifecycle <> ?2 AND t.name IN (SELECT value FROM json_each(?3)) \
                      ORDER BY a.device LIMIT ?4";
        let types = serde_json::to_string(types).expect("invariant: names serialise");
        let query = sqlx::query(select).bind(to_i64(after)).bind(Lifecycle::Retired.code()).bind(types).bind(limit);
        query.fetch_all(self.db.read()).await?.iter().map(evidence_row).collect()
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

fn evidence_row(row: &SqliteRow) -> Result<EvidenceRow, Error> {
    let identity: Vec<u8> = row.try_get("identity")?;
    let at: Option<i64> = row.try_get("at")?;
    let evidence: Option<Vec<u8>> = row.try_get("evidence")?;
    Ok(EvidenceRow {
        device: DeviceId(to_u64(row.try_get("id")?)),
        name: row.try_get("name")?,
        type_name: row.try_get("type_name")?,
        identity: Identity(identity.try_into().map_err(|_| Error::Damaged("identity"))?),
        chain: row.try_get("chain")?,
        last: at.map(|at| UnixMillis(to_u64(at))).zip(evidence),
    })
}
