//! Who can attest, what it is held to, how far its challenges have come, and what was found.

use bartizan_trust::Identity;
use bartizan_wire::{Attestation, DeviceId, Lifecycle, TypeId, UnixMillis};
use sqlx::Row;
use sqlx::query::Query;
use sqlx::sqlite::{Sqlite, SqliteArguments, SqliteRow};

use super::error::Error;
use super::operator::{to_i64, to_u64};
use super::tenant::{TenantStore, coded};
use crate::limits::VERDICTS_PER_DEVICE_MAX;

/// A device that can attest.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AttesterRow {
    pub identity: Identity,
    /// Of the only challenges that are accepted.
    pub counter: u64,
    pub boot_count: Option<u64>,
    pub boot_seed: Option<Vec<u8>>,
    pub chain: Option<Vec<u8>>,
}

/// What evidence that verified moves on.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Advance<'a> {
    pub boot_count: Option<u64>,
    pub boot_seed: Option<&'a [u8]>,
    /// `None` keeps the last one.
    pub chain: Option<&'a [u8]>,
}

impl<'a> Advance<'a> {
    /// Of this device, from `counter` on.
    pub(super) fn of(&self, device: DeviceId, counter: u64) -> Query<'a, Sqlite, SqliteArguments> {
        let update = "UPDATE attesters SET counter = counter + 1, boot_count = ?, boot_seed = ?, \
                      chain = coalesce(?, chain) WHERE device = ? AND counter = ?";
        let query = sqlx::query(update).bind(self.boot_count.map(to_i64)).bind(self.boot_seed).bind(self.chain);
        query.bind(to_i64(device.0)).bind(to_i64(counter))
    }
}

/// One verdict.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct VerdictRow {
    pub at: UnixMillis,
    pub tier: Attestation,
    pub text: String,
    pub details: String,
    pub evidence: Vec<u8>,
}

/// A policy as it is stored, with its type.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PolicyRow {
    pub device_type: TypeId,
    pub type_name: String,
    pub policy: String,
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
    pub async fn attester(&self, device: DeviceId) -> Result<Option<AttesterRow>, Error> {
        let select = "SELECT identity, counter, boot_count, boot_seed, chain FROM attesters WHERE device = ?";
        let row = sqlx::query(select).bind(to_i64(device.0)).fetch_optional(self.db.read()).await?;
        row.as_ref().map(attester_row).transpose()
    }

    /// Registers the device's identity, or another one; what was known of the old one is forgotten, but no challenge
    /// of before counts again.
    ///
    /// # Errors
    /// `Misuse` if it is another device's.
    pub async fn register_identity(&self, device: DeviceId, identity: &Identity) -> Result<(), Error> {
        let select = "SELECT count(*) FROM attesters WHERE identity = ? AND device <> ?";
        let mut tx = self.db.begin().await?;
        let query = sqlx::query_scalar(select).bind(&identity.0[..]).bind(to_i64(device.0));
        let taken: i64 = query.fetch_one(&mut *tx).await?;
        if taken > 0 {
            return Err(Error::Misuse(format!(
                "the identity {identity} is another device's: two devices share a secret"
            )));
        }
        let insert = "INSERT INTO attesters (device, identity) VALUES (?1, ?2) ON CONFLICT (device) DO UPDATE \
                      SET identity = ?2, counter = counter + 1, boot_count = NULL, boot_seed = NULL, chain = NULL \
                      WHERE identity <> ?2";
        sqlx::query(insert).bind(to_i64(device.0)).bind(&identity.0[..]).execute(&mut *tx).await?;
        Ok(tx.commit().await?)
    }

    /// Moves the counter on from `counter`, and what else the evidence says; durable when it returns. False if the
    /// counter was moved by somebody else: the challenge has been used.
    pub async fn advance_attester(&self, device: DeviceId, counter: u64, to: &Advance<'_>) -> Result<bool, Error> {
        Ok(to.of(device, counter).execute(self.db.write()).await?.rows_affected() == 1)
    }

    /// Keeps a verdict; the oldest beyond the bound go.
    pub async fn keep_verdict(&self, device: DeviceId, verdict: &VerdictRow) -> Result<(), Error> {
        let mut tx = self.db.begin().await?;
        let insert = "INSERT INTO verdicts (device, at, tier, text, details, evidence) VALUES (?, ?, ?, ?, ?, ?)";
        let query = sqlx::query(insert).bind(to_i64(device.0)).bind(to_i64(verdict.at.0)).bind(verdict.tier.code());
        let query = query.bind(&verdict.text).bind(&verdict.details).bind(&verdict.evidence);
        query.execute(&mut *tx).await?;
        let thin = "DELETE FROM verdicts WHERE device = ?1 AND id <= \
                    (SELECT id FROM verdicts WHERE device = ?1 ORDER BY id DESC LIMIT 1 OFFSET ?2)";
        sqlx::query(thin).bind(to_i64(device.0)).bind(VERDICTS_PER_DEVICE_MAX).execute(&mut *tx).await?;
        Ok(tx.commit().await?)
    }

    /// The latest verdicts, newest first.
    pub async fn verdicts(&self, device: DeviceId, limit: u32) -> Result<Vec<VerdictRow>, Error> {
        let select = "SELECT at, tier, text, details, evidence FROM verdicts WHERE device = ? ORDER BY id DESC LIMIT ?";
        let rows = sqlx::query(select).bind(to_i64(device.0)).bind(limit).fetch_all(self.db.read()).await?;
        rows.iter().map(verdict_row).collect()
    }

    /// The policy of a type, if it has one.
    pub async fn attestation_policy(&self, device_type: &str) -> Result<Option<String>, Error> {
        let select =
            "SELECT p.policy FROM attestation_policies p JOIN device_types t ON t.id = p.type WHERE t.name = ?";
        Ok(sqlx::query_scalar(select).bind(device_type).fetch_optional(self.db.read()).await?)
    }

    /// The policies of all types that have one, by the type's name.
    pub async fn attestation_policies(&self) -> Result<Vec<PolicyRow>, Error> {
        let select = "SELECT p.type, t.name, p.policy FROM attestation_policies p JOIN device_types t ON t.id = p.type \
                      ORDER BY 2";
        let rows = sqlx::query(select).fetch_all(self.db.read()).await?;
        let policy = |row: &SqliteRow| {
            let device_type = TypeId(row.try_get(0)?);
            Ok(PolicyRow { device_type, type_name: row.try_get(1)?, policy: row.try_get(2)? })
        };
        rows.iter().map(policy).collect()
    }

    /// Sets the policy of a type, which must exist; false if it does not.
    pub async fn set_attestation_policy(&self, device_type: &str, policy: &str) -> Result<bool, Error> {
        let insert = "INSERT INTO attestation_policies (type, policy) SELECT id, ?2 FROM device_types WHERE name = ?1 \
                      ON CONFLICT (type) DO UPDATE SET policy = ?2";
        let done = sqlx::query(insert).bind(device_type).bind(policy).execute(self.db.write()).await?;
        Ok(done.rows_affected() == 1)
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

fn attester_row(row: &SqliteRow) -> Result<AttesterRow, Error> {
    Ok(AttesterRow {
        identity: identity_of(row)?,
        counter: to_u64(row.try_get("counter")?),
        boot_count: row.try_get::<Option<i64>, _>("boot_count")?.map(to_u64),
        boot_seed: row.try_get("boot_seed")?,
        chain: row.try_get("chain")?,
    })
}

fn verdict_row(row: &SqliteRow) -> Result<VerdictRow, Error> {
    Ok(VerdictRow {
        at: UnixMillis(to_u64(row.try_get("at")?)),
        tier: coded(row, "tier", Attestation::from_code)?,
        text: row.try_get("text")?,
        details: row.try_get("details")?,
        evidence: row.try_get("evidence")?,
    })
}

fn evidence_row(row: &SqliteRow) -> Result<EvidenceRow, Error> {
    let at: Option<i64> = row.try_get("at")?;
    let evidence: Option<Vec<u8>> = row.try_get("evidence")?;
    Ok(EvidenceRow {
        device: DeviceId(to_u64(row.try_get("id")?)),
        name: row.try_get("name")?,
        type_name: row.try_get("type_name")?,
        identity: identity_of(row)?,
        chain: row.try_get("chain")?,
        last: at.map(|at| UnixMillis(to_u64(at))).zip(evidence),
    })
}

fn identity_of(row: &SqliteRow) -> Result<Identity, Error> {
    let identity: Vec<u8> = row.try_get("identity")?;
    identity.try_into().map(Identity).map_err(|_| Error::Damaged("identity"))
}
