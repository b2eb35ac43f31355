//! Issuing authorities of tenants, and the roots above them.

use bartizan_wire::{TenantId, UnixMillis};
use sqlx::Row;
use sqlx::sqlite::SqliteRow;
use zeroize::Zeroizing;

use super::error::Error;
use super::key::{Place, Sealer};
use super::operator::{OperatorStore, to_i64, to_u64};

/// An issuing authority as it is stored.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AuthorityRow {
    pub id: u64,
    pub tenant: TenantId,
    pub generation: u64,
    pub sealed_key: Vec<u8>,
    /// SubjectPublicKeyInfo in DER.
    pub key_info: Vec<u8>,
    /// PKCS#10 in DER.
    pub request: Vec<u8>,
    pub created: UnixMillis,
    pub certificate: Option<Vec<u8>>,
    pub distrusted: Option<UnixMillis>,
}

impl AuthorityRow {
    /// The private key, as PKCS#8 in DER.
    pub fn open_key(&self, sealer: &Sealer) -> Result<Zeroizing<Vec<u8>>, Error> {
        sealer.open(place(self.tenant, &self.key_info), &self.sealed_key).ok_or(Error::Damaged("key of an authority"))
    }
}

/// A sealed key is bound to its tenant and to its public half.
const fn place(tenant: TenantId, key_info: &[u8]) -> Place<'_> {
    Place::AuthorityKey(tenant, key_info)
}

impl OperatorStore {
    /// The generation that the tenant's next authority will have.
    pub async fn next_generation(&self, tenant: TenantId) -> Result<u64, Error> {
        let select = "SELECT coalesce(max(generation), 0) + 1 FROM authorities WHERE tenant = ?";
        Ok(to_u64(sqlx::query_scalar(select).bind(tenant.0).fetch_one(self.db.read()).await?))
    }

    /// Keeps a new authority's key, sealed, and its request.
    ///
    /// # Errors
    /// `Misuse` if the generation is taken meanwhile.
    pub async fn add_authority(
        &self,
        tenant: TenantId,
        generation: u64,
        (private, key_info): (&[u8], &[u8]),
        request: &[u8],
        at: UnixMillis,
    ) -> Result<AuthorityRow, Error> {
        let sealed = self.sealer().seal(place(tenant, key_info), private);
        let insert = "INSERT INTO authorities (tenant, generation, key, key_info, request, created) \
                      VALUES (?, ?, ?, ?, ?, ?) ON CONFLICT DO NOTHING RETURNING *";
        let query = sqlx::query(insert).bind(tenant.0).bind(to_i64(generation)).bind(sealed).bind(key_info);
        let row = query.bind(request).bind(to_i64(at.0)).fetch_optional(self.db.write()).await?;
        let taken = || Error::Misuse("another authority was made at the same time".into());
        authority_row(&row.ok_or_else(taken)?)
    }

    /// All of a tenant, or of everybody, the oldest first.
    pub async fn authorities(&self, tenant: Option<TenantId>) -> Result<Vec<AuthorityRow>, Error> {
        let select = "SELECT * FROM authorities WHERE ?1 IS NULL OR tenant = ?1 ORDER BY id";
        let query = sqlx::query(select).bind(tenant.map(|tenant| tenant.0));
        query.fetch_all(self.db.read()).await?.iter().map(authority_row).collect()
    }

    /// Gives an authority its certificate, and devices what stands above it; all or nothing.
    pub async fn install_authority(
        &self,
        authority: &AuthorityRow,
        certificate: &[u8],
        above: &[Vec<u8>],
        at: UnixMillis,
    ) -> Result<(), Error> {
        let mut tx = self.db.begin().await?;
        let update = "UPDATE authorities SET certificate = ?, installed = ? WHERE id = ?";
        let query = sqlx::query(update).bind(certificate).bind(to_i64(at.0)).bind(to_i64(authority.id));
        query.execute(&mut *tx).await?;
        for root in above {
            let insert = "INSERT INTO roots (tenant, certificate, added) VALUES (?, ?, ?) ON CONFLICT DO NOTHING";
            sqlx::query(insert).bind(authority.tenant.0).bind(root).bind(to_i64(at.0)).execute(&mut *tx).await?;
        }
        Ok(tx.commit().await?)
    }

    /// Gives the tenant's devices another root, or a root certified by another.
    pub async fn add_roots(&self, tenant: TenantId, roots: &[Vec<u8>], at: UnixMillis) -> Result<(), Error> {
        let mut tx = self.db.begin().await?;
        for root in roots {
            let insert = "INSERT INTO roots (tenant, certificate, added) VALUES (?, ?, ?) ON CONFLICT DO NOTHING";
            sqlx::query(insert).bind(tenant.0).bind(root).bind(to_i64(at.0)).execute(&mut *tx).await?;
        }
        Ok(tx.commit().await?)
    }

    /// Roots and certified roots of a tenant, the oldest first, in DER.
    pub async fn roots(&self, tenant: TenantId) -> Result<Vec<Vec<u8>>, Error> {
        let select = "SELECT certificate FROM roots WHERE tenant = ? ORDER BY added, certificate";
        Ok(sqlx::query_scalar(select).bind(tenant.0).fetch_all(self.db.read()).await?)
    }

    /// Ends all trust in an authority, for good. False if there was none to end.
    pub async fn distrust_authority(&self, id: u64, at: UnixMillis) -> Result<bool, Error> {
        let update = "UPDATE authorities SET distrusted = ? WHERE id = ? AND distrusted IS NULL";
        let done = sqlx::query(update).bind(to_i64(at.0)).bind(to_i64(id)).execute(self.db.write()).await?;
        Ok(done.rows_affected() == 1)
    }

    /// The number of the authority's next revocation list: greater than any before, also over restarts.
    pub async fn next_list_number(&self, id: u64) -> Result<u64, Error> {
        let update = "UPDATE authorities SET list_number = list_number + 1 WHERE id = ? RETURNING list_number";
        Ok(to_u64(sqlx::query_scalar(update).bind(to_i64(id)).fetch_one(self.db.write()).await?))
    }
}

fn authority_row(row: &SqliteRow) -> Result<AuthorityRow, Error> {
    Ok(AuthorityRow {
        id: to_u64(row.try_get("id")?),
        tenant: TenantId(row.try_get("tenant")?),
        generation: to_u64(row.try_get("generation")?),
        sealed_key: row.try_get("key")?,
        key_info: row.try_get("key_info")?,
        request: row.try_get("request")?,
        created: UnixMillis(to_u64(row.try_get("created")?)),
        certificate: row.try_get("certificate")?,
        distrusted: row.try_get::<Option<i64>, _>("distrusted")?.map(|at| UnixMillis(to_u64(at))),
    })
}
