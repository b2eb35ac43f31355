//! What survives a restart: one SQLite file for the operator's records and one per tenant, opened only for it.
//!
//! ```text
//!  operator.db    identity ─▶ tenant, device      tenants, operators, audit, kept replies
//!  tenants/N.db   devices with sealed keys, holds, history, findings, commands, ports, learnt habits
//! ```
//!
//! Start with [`Store`]. Everything it answers with success is on the disk.

mod addition;
mod attestation;
mod authorities;
mod batch;
mod certificates;
mod commands;
mod error;
mod history;
mod key;
mod keys;
mod onboarding;
mod operator;
mod ports;
mod proof;
mod retractions;
mod sqlite;
mod tenant;
mod trusted_keys;

use std::collections::HashMap;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use bartizan_wire::TenantId;
use tokio::sync::Mutex;

pub use addition::{Addition, NewRow};
pub use attestation::{Advance, AttesterRow, EvidenceRow, PolicyRow, VerdictRow};
pub use authorities::AuthorityRow;
pub use batch::{Batch, DeviceWrite, TimelineWrite};
pub use certificates::{CertificateQuery, CertificateRow, Kept, RevokedRow};
pub use commands::CommandRow;
pub use error::Error;
pub use history::{FindingRow, TimelineRow};
pub use key::{MasterKey, Place, Sealer, fill_random};
pub use keys::{KeyFacts, PendingKey};
pub use onboarding::{HistoryRow, ManufacturerRow, OrderRow, QueueRow, VoucherRow};
pub use operator::{AuditLine, OperatorStore, ReplyRow, TenantRow};
pub use ports::Ports;
pub use proof::ProofCursor;
pub use retractions::RetractionWrite;
pub use tenant::{DeviceQuery, DeviceRow, FleetCount, TenantStore};
pub use trusted_keys::{KeyRole, TrustedKeyRow};

/// All databases of one data directory.
pub struct Store {
    dir: PathBuf,
    pub operator: OperatorStore,
    pub sealer: Sealer,
    tenants: Mutex<HashMap<TenantId, Arc<TenantStore>>>,
}

impl Store {
    /// Opens `dir`, which is made if absent.
    pub async fn open(dir: &Path, key: &MasterKey) -> Result<Self, Error> {
        make_private(&dir.join("tenants"))?;
        let sealer = Sealer::new(key);
        let operator = OperatorStore::open(dir, sealer.clone()).await?;
        Ok(Self { dir: dir.to_owned(), operator, sealer, tenants: Mutex::new(HashMap::new()) })
    }

    /// The tenant's file, opened on demand; what a crash left half done over two files is resolved first.
    /// The caller knows that the tenant exists.
    pub async fn tenant(&self, id: TenantId) -> Result<Arc<TenantStore>, Error> {
        let mut tenants = self.tenants.lock().await;
        if let Some(open) = tenants.get(&id) {
            return Ok(open.clone());
        }
        let store = Arc::new(TenantStore::open(&self.dir, id).await?);
        addition::resolve(&self.operator, &store).await?;
        keys::resolve(&self.operator, &store).await?;
        tenants.insert(id, store.clone());
        Ok(store)
    }

    /// A copy of every file into `folder` that fits together: no device is added meanwhile.
    pub async fn backup(&self, folder: &Path) -> Result<(), Error> {
        make_private(&folder.join("tenants"))?;
        let _no_additions = self.operator.db.begin().await?;
        self.operator.db.copy_to(&folder.join("operator.db")).await?;
        let mut after = 0;
        loop {
            let page = self.operator.tenants(after, 100).await?;
            let Some(last) = page.last() else { return Ok(()) };
            after = last.id.0;
            for row in &page {
                let tenant = self.tenant(row.id).await?;
                tenant.db.copy_to(&folder.join(tenant_file(row.id))).await?;
            }
        }
    }

    pub async fn close(&self) {
        for (_, tenant) in self.tenants.lock().await.drain() {
            tenant.db.close().await;
        }
        self.operator.db.close().await;
    }
}

fn tenant_file(id: TenantId) -> PathBuf {
    PathBuf::from("tenants").join(format!("{}.db", id.0))
}

/// Makes a folder that only its owner may enter.
fn make_private(dir: &Path) -> Result<(), Error> {
    use std::os::unix::fs::DirBuilderExt;
    let made = std::fs::DirBuilder::new().recursive(true).mode(0o700).create(dir);
    made.map_err(|cause| Error::Unopened { file: dir.to_owned(), cause: cause.to_string() })
}
