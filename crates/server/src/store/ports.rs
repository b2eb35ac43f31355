//! Which upstream address belongs to which device: assigned once, kept for good.

use std::collections::{HashMap, HashSet};
use std::net::SocketAddr;
use std::sync::Arc;

use bartizan_wire::DeviceKey;
use sqlx::{Sqlite, Transaction};
use tokio::sync::Mutex;

use super::error::Error;
use super::operator::to_i64;
use super::tenant::TenantStore;
use crate::app::path::UpstreamError;
use crate::upstream::{BoxFuture, Pool, PortBook, exhausted};

/// The book of one tenant. What was asked before is answered from memory.
pub struct Ports {
    store: Arc<TenantStore>,
    known: Mutex<HashMap<DeviceKey, SocketAddr>>,
}

impl Ports {
    #[must_use]
    pub fn new(store: Arc<TenantStore>) -> Self {
        Self { store, known: Mutex::new(HashMap::new()) }
    }

    async fn look_up(&self, device: DeviceKey, pool: &Pool) -> Result<SocketAddr, UpstreamError> {
        let mut known = self.known.lock().await;
        if let Some(kept) = known.get(&device).filter(|kept| pool.contains(**kept)) {
            return Ok(*kept);
        }
        let failed = |error: Error| UpstreamError::Unavailable(error.to_string());
        let kept = self.store.port_of(device).await.map_err(failed)?;
        let address = match kept.filter(|kept| pool.contains(*kept)) {
            Some(kept) => kept,
            None => self.store.take_port(device, pool).await.map_err(failed)?.ok_or_else(|| exhausted(pool))?,
        };
        known.insert(device, address);
        Ok(address)
    }
}

impl PortBook for Ports {
    fn assign<'a>(&'a self, device: DeviceKey, pool: &'a Pool) -> BoxFuture<'a, Result<SocketAddr, UpstreamError>> {
        Box::pin(self.look_up(device, pool))
    }
}

impl TenantStore {
    async fn port_of(&self, device: DeviceKey) -> Result<Option<SocketAddr>, Error> {
        let select = "SELECT address FROM proxy_ports WHERE device = ?";
        let query = sqlx::query_scalar(select).bind(to_i64(device.device.0));
        let address: Option<String> = query.fetch_optional(self.db.read()).await?;
        address.map(|text| text.parse().map_err(|_| Error::Damaged("address"))).transpose()
    }

    /// `None` if every address of the pool belongs to another device.
    async fn take_port(&self, device: DeviceKey, pool: &Pool) -> Result<Option<SocketAddr>, Error> {
        let mut tx = self.db.begin().await?;
        let Some(free) = free_address(&mut tx, device, pool).await? else { return Ok(None) };
        let insert = "INSERT OR REPLACE INTO proxy_ports (device, address) VALUES (?, ?)";
        let query = sqlx::query(insert).bind(to_i64(device.device.0)).bind(free.to_string());
        query.execute(&mut *tx).await?;
        tx.commit().await?;
        Ok(Some(free))
    }
}

/// Asks for a few candidates one by one, and reads the whole book only if the pool is rather full.
async fn free_address(
    tx: &mut Transaction<'static, Sqlite>,
    device: DeviceKey,
    pool: &Pool,
) -> Result<Option<SocketAddr>, Error> {
    for candidate in pool.candidates(device).take(8) {
        let select = "SELECT count(*) FROM proxy_ports WHERE address = ?";
        let taken: i64 = sqlx::query_scalar(select).bind(candidate.to_string()).fetch_one(&mut **tx).await?;
        if taken == 0 {
            return Ok(Some(candidate));
        }
    }
    let taken: Vec<String> = sqlx::query_scalar("SELECT address FROM proxy_ports").fetch_all(&mut **tx).await?;
    let taken: HashSet<SocketAddr> = taken.iter().filter_map(|text| text.parse().ok()).collect();
    Ok(pool.candidates(device).find(|address| !taken.contains(address)))
}
