//! Habits: how often, how much, what and with whom a device speaks, learnt from itself and from its type.
//!
//! ```text
//!  event ─▶ gauges (decaying counts at several time scales) ─▶ level / ceiling ─▶ score ─▶ Finding
//!                       │ the peak of each window, while the device is normal
//!                       └─▶ type's histogram ─▶ ceiling (tail extrapolated to `tail_probability`)
//! ```
//!
//! What protects the innocent: a burst after silence is paid for by the messages that were missed; the bands
//! of irregular types stretch with their own tail; an answer to a command is not the device's own doing.
//! What protects the learner: only normal devices teach, no more than the band allows, and no device teaches
//! more than its share.

mod device;
mod explain;
mod gauge;
mod kind;
mod sketch;

use bartizan_wire::event::{Direction, Message};
use bartizan_wire::{DeviceKey, Event, EventKind, Finding, Grade, Subject, TenantId, TypeId, UnixMillis};

pub(crate) use device::DeviceProfile;
pub(crate) use explain::severity;
pub(crate) use kind::TypeProfile;

use crate::codec::{Reader, Writer};
use crate::config::ProfileConfig;
use crate::engine::Engine;
use crate::error::Error;
use crate::table::{NumberedHasher, Table};
use crate::view::ProfileView;
use gauge::{Gauge, HANDSHAKES, NEW_KINDS, NEW_PEERS, ODD_SIZES, REFUSED};

/// A device type is its tenant's.
pub(crate) type TypeKey = (TenantId, TypeId);

/// The engine of per-device and per-type behaviour profiles.
pub struct ProfileEngine {
    config: ProfileConfig,
    devices: Table<DeviceKey, DeviceProfile, NumberedHasher>,
    types: Table<TypeKey, TypeProfile, NumberedHasher>,
}

/// One event with the two profiles that it touches.
struct Scene<'a> {
    at: UnixMillis,
    subject: Subject,
    config: &'a ProfileConfig,
    device: &'a mut DeviceProfile,
    kind: &'a mut TypeProfile,
    out: &'a mut dyn FnMut(Finding),
}

impl Engine for ProfileEngine {
    fn observe(&mut self, event: &Event, out: &mut dyn FnMut(Finding)) {
        let Subject::Device { key, device_type } = event.subject else {
            return;
        };
        let kind = self.types.entry((key.tenant, device_type), TypeProfile::worth, TypeProfile::new);
        let device = self.devices.entry(key, DeviceProfile::worth, || DeviceProfile::new(event.at, device_type));
        device.advance(event.at);
        device.belong(device_type, kind);
        let mut scene = Scene { at: event.at, subject: event.subject, config: &self.config, device, kind, out };
        scene.take(&event.kind);
    }

    fn graded(&mut self, device: DeviceKey, grade: Grade) {
        if let Some(profile) = self.devices.get_mut(device) {
            profile.grade(grade);
        }
    }

    fn pardon(&mut self, device: DeviceKey) {
        if let Some(profile) = self.devices.get_mut(device) {
            profile.grade(Grade::Normal);
            profile.wipe_levels();
        }
    }

    fn forget(&mut self, device: DeviceKey) {
        self.devices.remove(device);
    }
}

impl ProfileEngine {
    #[must_use]
    pub fn new(config: ProfileConfig) -> Self {
        Self { config, devices: Table::new(config.devices_max), types: Table::new(config.types_max) }
    }

    /// A device's habits for a person's eyes.
    #[must_use]
    pub fn view(&self, key: DeviceKey) -> Option<ProfileView> {
        let device = self.devices.get(key)?;
        let unlearnt = TypeProfile::new();
        let kind = self.types.get((key.tenant, device.device_type)).unwrap_or(&unlearnt);
        Some(explain::view(device, kind, &self.config))
    }

    #[must_use]
    pub fn devices(&self) -> usize {
        self.devices.len()
    }

    /// Devices and types forgotten to make room, so far.
    #[must_use]
    pub fn evicted(&self) -> u64 {
        self.devices.evicted() + self.types.evicted()
    }

    pub(crate) fn write(&self, to: &mut Writer) {
        to.count(self.types.len());
        for ((tenant, device_type), kind) in self.types.iter() {
            to.u32(tenant.0);
            to.u32(device_type.0);
            kind.write(to);
        }
        to.count(self.devices.len());
        for (key, device) in self.devices.iter() {
            to.device(key);
            device.write(to);
        }
    }

    pub(crate) fn read(config: ProfileConfig, from: &mut Reader<'_>) -> Result<Self, Error> {
        let mut engine = Self::new(config);
        for _ in 0..from.count()? {
            let key = (TenantId(from.u32()?), TypeId(from.u32()?));
            let kind = TypeProfile::read(from, &config)?;
            *engine.types.entry(key, TypeProfile::worth, TypeProfile::new) = kind;
        }
        for _ in 0..from.count()? {
            let key = from.device()?;
            let device = DeviceProfile::read(from)?;
            *engine.devices.entry(key, DeviceProfile::worth, || device) = device;
        }
        Ok(engine)
    }
}

impl Scene<'_> {
    fn take(&mut self, event: &EventKind) {
        match *event {
            EventKind::Message(message) => match message.direction {
                Direction::Up => self.report(&message),
                Direction::Down => self.device.owe(1.0),
            },
            EventKind::Refused { .. } => self.refused(),
            EventKind::Established { .. } => self.established(),
            // It will send the same again. Not wholly excused: a flood must show even while the upstream is down.
            EventKind::UpstreamFailed => self.device.owe(0.75),
            EventKind::Rebound { network } => self.meet(network),
            _ => {}
        }
    }

    /// The device sent a message.
    fn report(&mut self, message: &Message) {
        self.rate(Some(message.payload_bytes));
        self.size(message.payload_bytes);
        self.name(message.kind);
        self.meet(message.peer);
        if self.learning() {
            self.device.count_message();
            self.kind.count_message();
        }
    }

    /// A refused request is a message too, but teaches nothing.
    fn refused(&mut self) {
        self.rate(None);
        self.count(REFUSED, 1.0, None);
    }

    /// A device that comes back registers anew; a few messages belong to that.
    fn established(&mut self) {
        self.count(HANDSHAKES, 1.0, None);
        if self.device.level(HANDSHAKES) < 3.0 {
            self.device.owe(4.0);
        }
    }

    /// How often: all message gauges at once, and one finding, about the worst of them.
    fn rate(&mut self, payload_bytes: Option<u16>) {
        let gap = self.device.report_at(self.at, payload_bytes.unwrap_or(0));
        let counted = self.device.count_report(gap);
        let answered = payload_bytes.is_some();
        let mut worst: Option<(&Gauge, f32, gauge::Ceiling)> = None;
        let mut unusual = false;
        for gauge in gauge::messages() {
            let ceiling = explain::ceiling(gauge, self.device, self.kind, self.config);
            self.device.cap(gauge, ceiling.high);
            let ratio = self.device.level(gauge.slot) / ceiling.high;
            unusual |= ratio > 1.0;
            let teach = answered && self.teaches(gauge);
            self.device.roll(gauge, self.at, ceiling.high, teach, self.kind, self.config);
            // What is over is over: only a gap that is itself too short makes the sum evidence.
            let current = gap.is_some_and(|gap| (gap as f32) < gauge.tau_ms as f32 / ceiling.high);
            if counted && current && ratio >= gauge::REPORT_RATIO && worst.is_none_or(|(_, r, _)| ratio > r) {
                worst = Some((gauge, ratio, ceiling));
            }
        }
        if let Some((gauge, ratio, ceiling)) = worst {
            (self.out)(explain::too_often(self.at, self.subject, gauge, ratio, ceiling, self.device, self.kind));
        }
        if let (Some(gap), true) = (gap, answered && self.learning() && counted && !unusual) {
            let admitted = self.device.give(self.kind, self.config);
            self.device.learn_interval(gap);
            if admitted {
                self.kind.learn_interval(gap);
            }
        }
    }

    /// How much: sizes far outside the type's band and the device's own are counted.
    fn size(&mut self, bytes: u16) {
        let band = explain::size_band(self.device, self.kind);
        let oddness = band.map_or(0.0, |band| band.oddness(bytes));
        if oddness > 0.0 {
            self.count(ODD_SIZES, oddness, Some(f64::from(bytes)));
        }
        if self.learning() && self.device.level(ODD_SIZES) <= gauge::GAUGES[ODD_SIZES].rule {
            let clipped = band.map_or(bytes, |band| band.clip(bytes));
            self.device.learn_size(clipped);
            if self.device.may_give(self.kind, self.config) {
                self.kind.learn_size(clipped);
            }
        }
    }

    /// What: kinds of message that neither the device nor its type has used.
    fn name(&mut self, kind: u32) {
        if self.device.knows_kind(kind) {
            return;
        }
        let novel = self.device.is_settled() && self.kind.is_settled() && !self.kind.kinds.knows(kind);
        if novel {
            self.count(NEW_KINDS, 1.0, None);
        }
        if self.learning() && self.device.level(NEW_KINDS) <= gauge::GAUGES[NEW_KINDS].rule {
            self.device.remember_kind(kind);
            self.kind.kinds.add(kind);
        }
    }

    /// With whom: peers and networks that neither the device nor its type has met.
    fn meet(&mut self, peer: u32) {
        if self.device.knows_peer(peer) {
            return;
        }
        if self.device.is_settled() && !self.kind.peers.knows(peer) {
            self.count(NEW_PEERS, 1.0, None);
        }
        if self.learning() {
            self.device.remember_peer(peer);
            self.kind.peers.add(peer);
        }
    }

    /// Raises one of the gauges that stay near zero, and says so if it left its band.
    fn count(&mut self, slot: usize, amount: f32, observed: Option<f64>) {
        let gauge = &gauge::GAUGES[slot];
        let ceiling = explain::ceiling(gauge, self.device, self.kind, self.config);
        self.device.raise(slot, amount);
        self.device.cap(gauge, ceiling.high);
        let teach = self.teaches(gauge);
        self.device.roll(gauge, self.at, ceiling.high, teach, self.kind, self.config);
        let ratio = self.device.level(slot) / ceiling.high;
        if ratio >= gauge::REPORT_RATIO {
            let finding = explain::too_many(self.at, self.subject, gauge, ratio, ceiling, self.device, self.kind);
            (self.out)(Finding { observed: observed.unwrap_or(finding.observed), ..finding });
        }
    }

    /// Only a normal device teaches; but as long as little is known of its type, being busier than the
    /// shipped rule makes it suspicious at most, and it must be able to become known.
    fn teaches(&self, gauge: &Gauge) -> bool {
        match self.device.graded() {
            Grade::Normal => true,
            Grade::Suspicious => !self.kind.is_firm(gauge),
            Grade::Abnormal => false,
        }
    }

    fn learning(&self) -> bool {
        self.teaches(&gauge::GAUGES[0])
    }
}
