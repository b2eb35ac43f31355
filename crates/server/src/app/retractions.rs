//! Telling upstreams which reports they should not have trusted, and from when on they may again.
//!
//! It is on the disk with the posture that it comes from, and stays there until the upstream took it: told at least
//! once, in order for each device, whatever stops meanwhile.

use std::sync::Arc;

use bartizan_wire::{DeviceKey, TenantId};

use super::App;
use super::error::Error;
use super::tenant::Tenant;
use crate::limits::RETRACTIONS_PER_TURN;
use crate::upstream::Retraction;

impl App {
    /// Something is to be told. It is, in its own time.
    pub(super) fn retract_soon(&self, tenant: TenantId) {
        let Some(app) = self.me.upgrade() else { return };
        tokio::spawn(async move {
            if app.durable().await.is_err() {
                return; // the watchdog comes by
            }
            if let Ok(open) = app.open_tenant(tenant).await {
                app.tell_retractions(&open).await;
            }
        });
    }

    /// Tells the tenant's upstream what it was not told yet. What it does not take now is told in a minute.
    pub(super) async fn tell_retractions(&self, tenant: &Arc<Tenant>) {
        let _one = tenant.retracting.lock().await;
        if let Err(error) = self.tell_all(tenant).await {
            tracing::warn!(tenant = tenant.id.0, %error, "an upstream is still to be told which reports not to trust");
        }
    }

    async fn tell_all(&self, tenant: &Arc<Tenant>) -> Result<(), Error> {
        let mut after = 0;
        loop {
            let rows = tenant.store.retractions(after, RETRACTIONS_PER_TURN).await?;
            let Some((last, _)) = rows.last() else { return Ok(()) };
            after = *last;
            for (id, row) in rows {
                if self.is_stopping() {
                    return Ok(());
                }
                let key = DeviceKey { tenant: tenant.id, device: row.device };
                if let Some(device) = self.load_device(key).await? {
                    let since = row.since.max(device.created);
                    let retraction = Retraction { at: row.at, since, trusted: row.trusted };
                    let slot = self.slot(tenant).await?;
                    let told = slot.upstream.retract(device.upstream(), retraction).await;
                    told.map_err(|error| Error::Unavailable(error.to_string()))?;
                }
                tenant.store.retraction_told(id).await?;
            }
        }
    }
}
