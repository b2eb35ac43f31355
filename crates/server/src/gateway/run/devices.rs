//! Which device a principal is, which way its tenant's messages go, and what its access allows.

use std::sync::Arc;
use std::time::{Duration, Instant};

use bartizan_dtls::{AlertDescription, SessionId};
use bartizan_wire::{Access, DeviceKey, TenantId};

use super::super::Enforced;
use super::super::counters::Dropped;
use super::{Done, Run};
use crate::app::door::{NO_TENANT, is_applicant};
use crate::app::{AccessChange, App, Device};
use crate::limits::{GATEWAY_LOADING_MAX, GATEWAY_LOADING_PER_DEVICE_MAX};
use crate::upstream::Upstream;

/// How long the way of a tenant is believed before it is looked up again.
const ROUTE_AGE_MAX: Duration = Duration::from_secs(5);
/// Bits of a principal that number the device.
const DEVICE_BITS: u32 = 40;

/// How a tenant's messages travel.
#[derive(Clone, Copy, Debug)]
pub struct Route {
    transparent: bool,
    since: Instant,
}

impl Route {
    /// Looks the tenant's upstream up. One that cannot be opened is told by every message: 5.03.
    async fn of(app: &App, tenant: TenantId) -> Self {
        let upstream = app.upstream_of(tenant).await;
        Self { transparent: upstream.is_ok_and(|upstream| upstream.speaks_coap()), since: Instant::now() }
    }
}

/// The number that the DTLS layer knows a device by; `None` beyond 2^24 − 1 tenants, for the last
/// number is that of strangers, or 2^40 devices.
pub fn principal_of(key: DeviceKey) -> Option<u64> {
    let fits = key.tenant.0 < NO_TENANT && key.device.0 < 1 << DEVICE_BITS;
    fits.then_some(u64::from(key.tenant.0) << DEVICE_BITS | key.device.0)
}

/// The device that a principal stands for.
pub const fn key_of(principal: u64) -> DeviceKey {
    DeviceKey::new((principal >> DEVICE_BITS) as u32, principal & ((1 << DEVICE_BITS) - 1))
}

impl Run {
    pub(super) fn is_transparent(&self, tenant: TenantId) -> bool {
        let route = self.routes.get(&tenant);
        route.is_some_and(|route| route.transparent)
    }

    /// Takes a message whose replay window is durable.
    pub(super) fn deliver(&mut self, session: SessionId, principal: u64, data: Vec<u8>) {
        if is_applicant(principal) {
            return self.applicant_says(session, principal, data);
        }
        let key = key_of(principal);
        let route = self.routes.get(&key.tenant);
        let stale = route.is_none_or(|route| route.since.elapsed() > ROUTE_AGE_MAX);
        match self.app.device(key) {
            Some(device) if route.is_some() => {
                if stale && !self.loading.contains_key(&principal) {
                    self.load(principal);
                }
                self.device_says(session, &device, data);
            }
            _ => self.deliver_later(session, principal, data),
        }
    }

    fn device_says(&mut self, session: SessionId, device: &Arc<Device>, data: Vec<u8>) {
        let restored = principal_of(device.key).filter(|principal| self.restored.contains(principal));
        if restored.is_some_and(|principal| !self.adopt(principal, device)) {
            return self.shown.dropped(Dropped::NoDevice);
        }
        if device.access() == Access::Blocked {
            self.shown.dropped(Dropped::NoDevice);
            let now = self.instant();
            self.endpoint.close(now, session, AlertDescription::ACCESS_DENIED);
            return;
        }
        self.turn(session, device, |peer, turn| {
            peer.receive(turn, data.into());
        });
        self.offer_commands(session, device);
    }

    /// After a restart the device is loaded first; its messages wait, a few of them.
    fn deliver_later(&mut self, session: SessionId, principal: u64, data: Vec<u8>) {
        if !self.loading.contains_key(&principal) {
            if self.loading.len() >= GATEWAY_LOADING_MAX {
                return self.shown.dropped(Dropped::Loading);
            }
            self.load(principal);
        }
        let waiting = self.loading.entry(principal).or_default();
        if waiting.len() < GATEWAY_LOADING_PER_DEVICE_MAX {
            waiting.push((session, data));
        } else {
            self.shown.dropped(Dropped::Loading);
        }
    }

    /// Loads a device that has not spoken yet.
    pub(super) fn load_later(&mut self, principal: u64) {
        if !self.loading.contains_key(&principal) && self.loading.len() < GATEWAY_LOADING_MAX {
            self.load(principal);
        }
    }

    fn load(&mut self, principal: u64) {
        self.loading.insert(principal, Vec::new());
        let app = Arc::clone(&self.app);
        self.spawn(async move {
            let key = key_of(principal);
            let device = app.load_device(key).await;
            Done::Loaded { principal, route: Some(Route::of(&app, key.tenant).await), device: device.ok().flatten() }
        });
    }

    pub(super) fn loaded(&mut self, principal: u64, device: Option<Arc<Device>>, route: Option<Route>) {
        let mut waiting = Vec::new();
        if let Some(route) = route {
            self.routes.insert(key_of(principal).tenant, route);
            waiting = self.loading.remove(&principal).unwrap_or_default();
        }
        match device {
            Some(device) if self.adopt(principal, &device) => {
                for (session, data) in waiting {
                    self.device_says(session, &device, data);
                }
            }
            // Not acknowledged: the device repeats it, and storage may answer then.
            _ => waiting.iter().for_each(|_| self.shown.dropped(Dropped::NoDevice)),
        }
    }

    /// A device that was restored from the journal is known now: its association shows, or ends. One that may be of a key
    /// that was replaced ends. Whether it may speak.
    fn adopt(&mut self, principal: u64, device: &Arc<Device>) -> bool {
        let Some(session) = self.sessions.get(&principal).copied() else {
            return true;
        };
        let strange = self.restored.contains(&principal) && device.is_key_replaced();
        if device.access() == Access::Blocked || strange {
            self.restored.remove(&principal);
            self.close_all(principal);
            return false;
        }
        if self.restored.remove(&principal) {
            self.tell_opened(session, device);
        }
        true
    }

    /// The access of a device changed: its sessions close, or what it still had under way is taken back.
    pub(super) fn access_changed(&mut self, change: &AccessChange) {
        let device = &change.device;
        let Some(principal) = principal_of(device.key) else {
            return;
        };
        if change.close || change.access == Access::Blocked {
            self.close_all(principal);
        } else if change.access != Access::Full {
            for session in self.sessions_of(principal) {
                if self.peers.contains_key(&session) {
                    self.turn(session, device, |peer, turn| peer.cut_off(turn));
                }
            }
            self.forget_upstream(device.key);
        }
        self.shown.enforce(Enforced { device: device.key, access: change.access, at: Instant::now() });
    }

    fn close_all(&mut self, principal: u64) {
        for session in self.sessions_of(principal) {
            self.end(principal, session);
        }
        self.forget_upstream(key_of(principal));
    }

    /// Ends an association, and what it said that was not carried on yet.
    pub(super) fn end(&mut self, principal: u64, session: SessionId) {
        let now = self.instant();
        self.endpoint.close(now, session, AlertDescription::ACCESS_DENIED);
        self.hold.forget(session);
        if let Some(waiting) = self.loading.get_mut(&principal) {
            waiting.retain(|(of, _)| *of != session);
        }
    }

    pub(super) fn sessions_of(&self, principal: u64) -> impl Iterator<Item = SessionId> + use<> {
        let newest = self.sessions.get(&principal).copied();
        let before = self.replaced.get(&principal).copied();
        newest.into_iter().chain(before)
    }

    /// The upstream no longer hears of the device; its observations end there too.
    fn forget_upstream(&self, device: DeviceKey) {
        let app = Arc::clone(&self.app);
        tokio::spawn(async move {
            let upstream: Result<Arc<Upstream>, _> = app.upstream_of(device.tenant).await;
            if let Ok(upstream) = upstream {
                upstream.forget(device);
            }
        });
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_principal_names_its_device_and_both_have_bounds() {
        for key in [DeviceKey::new(1, 1), DeviceKey::new((1 << 24) - 2, (1 << 40) - 1)] {
            assert_eq!(principal_of(key).map(key_of), Some(key));
        }
        assert_eq!(principal_of(DeviceKey::new((1 << 24) - 1, 1)), None, "a stranger's");
        assert_eq!(principal_of(DeviceKey::new(1 << 24, 1)), None);
        assert_eq!(principal_of(DeviceKey::new(1, 1 << 40)), None);
    }
}
