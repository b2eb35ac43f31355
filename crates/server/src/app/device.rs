//! A device in memory.

use std::net::SocketAddr;
use std::sync::atomic::{AtomicBool, AtomicU8, AtomicU64, Ordering::Relaxed};
use std::sync::{Arc, Mutex, MutexGuard};

use bartizan_platform::posture::Posture;
use bartizan_wire::event::CommandState;
use bartizan_wire::{Access, DeviceKey, Subject, TypeId, UnixMillis};

use tokio::sync::Notify;

use super::commands::PendingCommand;
use super::keys::KeyState;
use super::tenant::Tenant;
use crate::store::{DeviceRow, DeviceWrite};
use crate::upstream::UpstreamDevice;

/// One device, shared by all who serve it. The data path reads only [`Device::access`].
pub struct Device {
    pub key: DeviceKey,
    pub name: String,
    pub device_type: TypeId,
    pub type_name: String,
    /// The LwM2M endpoint names that this device may register.
    pub endpoints: Vec<String>,
    pub created: UnixMillis,
    access: AtomicU8,
    /// Zero: never.
    last_seen: AtomicU64,
    messages: AtomicU64,
    /// Whether the counters wait to be written.
    touched: AtomicBool,
    /// Its upstream refused it for want of an address, and the history says so already.
    pub(super) exhausted: AtomicBool,
    can_attest: AtomicBool,
    /// Told when a command was queued.
    commanded: Notify,
    upstream: UpstreamDevice,
    tenant: Arc<Tenant>,
    state: Mutex<State>,
}

/// What changes with a device, under its lock.
#[derive(Debug)]
pub(super) struct State {
    pub posture: Posture,
    pub key: KeyState,
    /// The newest association.
    pub session: Option<SessionFacts>,
    /// Held, queued and sent ones, oldest first.
    pub commands: Vec<PendingCommand>,
    pub allowance: Allowance,
    pub evidence_allowance: Allowance,
    /// When its evidence could last not be judged for a fault of ours that is about it alone.
    pub excused: Option<UnixMillis>,
    pub key_allowance: Allowance,
    /// The association in which it proved last what it runs, by [`keys::session_name`](super::keys::session_name).
    pub proven_in: Option<[u8; 32]>,
    /// The last one of those that were opened with a certificate in which it brought evidence.
    pub certified_in: Option<[u8; 32]>,
    pub version: u64,
    /// The posture has changed since it was last written.
    pub changed: bool,
}

/// What the gateway tells about an association.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SessionFacts {
    pub since: UnixMillis,
    pub address: SocketAddr,
    pub connection_id: bool,
    /// The version of DTLS, as people write it.
    pub version: &'static str,
    /// IANA name of the cipher suite.
    pub suite: &'static str,
}

impl Device {
    pub(super) fn new(row: DeviceRow, commands: Vec<PendingCommand>, tenant: Arc<Tenant>) -> Self {
        let key = DeviceKey { tenant: tenant.id, device: row.id };
        let access = row.posture.access();
        let key_state = KeyState::of(&row);
        let endpoints = vec![row.endpoint];
        let upstream = UpstreamDevice {
            key,
            name: row.name.clone(),
            type_name: row.type_name.clone(),
            endpoint_names: endpoints.clone(),
        };
        let state = State {
            posture: row.posture,
            key: key_state,
            session: None,
            commands,
            allowance: Allowance::default(),
            evidence_allowance: Allowance::default(),
            excused: None,
            key_allowance: Allowance::default(),
            proven_in: None,
            certified_in: None,
            version: row.version,
            changed: false,
        };
        Self {
            key,
            name: row.name,
            device_type: row.device_type,
            type_name: row.type_name,
            endpoints,
            created: row.created,
            access: AtomicU8::new(access.code()),
            last_seen: AtomicU64::new(row.last_seen.map_or(0, |at| at.0)),
            messages: AtomicU64::new(row.messages),
            touched: AtomicBool::new(false),
            exhausted: AtomicBool::new(false),
            can_attest: AtomicBool::new(row.can_attest),
            commanded: Notify::new(),
            upstream,
            tenant,
            state: Mutex::new(state),
        }
    }

    /// What the data path allows: one relaxed load.
    #[must_use]
    pub fn access(&self) -> Access {
        Access::from_code(self.access.load(Relaxed)).unwrap_or(Access::Blocked)
    }

    /// The subject of an authenticated event of this device.
    #[must_use]
    pub const fn subject(&self) -> Subject {
        Subject::Device { key: self.key, device_type: self.device_type }
    }

    #[must_use]
    pub fn last_seen(&self) -> Option<UnixMillis> {
        Some(self.last_seen.load(Relaxed)).filter(|at| *at > 0).map(UnixMillis)
    }

    #[must_use]
    pub fn messages(&self) -> u64 {
        self.messages.load(Relaxed)
    }

    /// Whether a command waits for the device's next authenticated record.
    #[must_use]
    pub fn has_commands(&self) -> bool {
        self.access() == Access::Full
            && self.state().commands.iter().any(|command| command.state == CommandState::Queued)
    }

    /// Returns once a command was queued since the last call returned.
    pub async fn commanded(&self) {
        self.commanded.notified().await;
    }

    pub(super) fn tell_commanded(&self) {
        self.commanded.notify_one();
    }

    /// Whether what it reports now is to be trusted. `None`: nothing is known, since it never attested.
    #[must_use]
    pub fn is_trusted(&self) -> Option<bool> {
        self.state().posture.is_trusted()
    }

    /// Whether the device is asked to bring evidence now.
    #[must_use]
    pub fn wants_evidence(&self) -> bool {
        self.can_attest() && self.state().posture.wants_evidence()
    }

    /// Whether an identity is registered that its evidence is held against.
    pub(super) fn can_attest(&self) -> bool {
        self.can_attest.load(Relaxed)
    }

    pub(super) fn set_can_attest(&self) {
        self.can_attest.store(true, Relaxed);
    }

    /// The device as its upstream knows it.
    #[must_use]
    pub const fn upstream(&self) -> &UpstreamDevice {
        &self.upstream
    }

    pub(super) const fn tenant(&self) -> &Arc<Tenant> {
        &self.tenant
    }

    pub(super) fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().expect("invariant: nothing panics while it holds a device")
    }

    pub(super) fn set_access(&self, access: Access) {
        self.access.store(access.code(), Relaxed);
    }

    pub(super) fn count_message(&self) {
        self.messages.fetch_add(1, Relaxed);
    }

    /// Notes that the device was heard. True if its counters were not waiting to be written before.
    pub(super) fn touch(&self, now: UnixMillis) -> bool {
        self.last_seen.fetch_max(now.0, Relaxed);
        !self.touched.load(Relaxed) && !self.touched.swap(true, Relaxed)
    }

    /// The device as it is to be written now.
    pub(super) fn snapshot(&self) -> DeviceWrite {
        self.touched.store(false, Relaxed);
        let mut state = self.state();
        let changed = std::mem::take(&mut state.changed);
        DeviceWrite {
            id: self.key.device,
            access: state.posture.access(),
            posture: state.posture.clone(),
            last_seen: self.last_seen(),
            messages: self.messages(),
            version: state.version,
            changed,
        }
    }
}

impl std::fmt::Debug for Device {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Device")
            .field("key", &self.key)
            .field("name", &self.name)
            .field("access", &self.access())
            .finish_non_exhaustive()
    }
}

/// How much a limited device may still send: a bucket that fills with event time.
#[derive(Debug, Default)]
pub(super) struct Allowance {
    /// In thousandths of a message.
    left: u64,
    filled: Option<UnixMillis>,
}

impl Allowance {
    /// Takes one message, if `per_minute` allows it.
    pub fn take(&mut self, now: UnixMillis, per_minute: u32) -> bool {
        let full = u64::from(per_minute) * 1000;
        let gained = self.filled.map_or(full, |filled| now.since(filled).saturating_mul(u64::from(per_minute)) / 60);
        if gained > 0 {
            self.left = self.left.saturating_add(gained).min(full);
            self.filled = Some(now);
        }
        let passes = self.left >= 1000;
        if passes {
            self.left -= 1000;
        }
        passes
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_limited_device_sends_as_many_as_it_may_a_minute() {
        let mut allowance = Allowance::default();
        let mut passed = |from: u64, to: u64| (from..to).filter(|at| allowance.take(UnixMillis(at * 1000), 6)).count();
        assert_eq!(passed(0, 1), 1);
        assert_eq!(passed(1, 60), 10, "the rest of the first burst, and one each ten seconds");
        assert_eq!(passed(60, 3660), 360);
    }

    #[test]
    fn many_calls_within_a_millisecond_lose_no_time() {
        let mut allowance = Allowance::default();
        let passed = (0..600_000_u64).filter(|at| allowance.take(UnixMillis(at / 10), 6)).count();
        assert_eq!(passed, 6 + 5);
    }
}
