//! Rules of the protocols above DTLS that need no learning.

use bartizan_wire::finding::Basis;
use bartizan_wire::{
    DeviceKey, Engine as Judging, Event, EventKind, Expected, Feature, Finding, Subject, Technique, Unit,
};

use crate::engine::Engine;
use crate::limits::CASES_MAX;
use crate::profile::severity;
use crate::table::{NumberedHasher, Table};

/// An authenticated device registers under LwM2M endpoint names that are not its own.
///
/// One wrong name may be a slip of configuration, so it makes a device suspicious; each further name is less
/// likely to be one, and the third makes it abnormal.
pub struct ProtocolEngine {
    /// The names tried by each device, as bits of their hashes.
    tried: Table<DeviceKey, u64, NumberedHasher>,
}

/// What remains of the benefit of the doubt after each wrong name.
const DOUBT: f32 = 0.4;

impl ProtocolEngine {
    #[must_use]
    pub fn new() -> Self {
        Self { tried: Table::new(CASES_MAX) }
    }
}

impl Default for ProtocolEngine {
    fn default() -> Self {
        Self::new()
    }
}

impl Engine for ProtocolEngine {
    fn observe(&mut self, event: &Event, out: &mut dyn FnMut(Finding)) {
        let (Subject::Device { key, .. }, EventKind::EndpointMismatch { endpoint }) = (event.subject, event.kind)
        else {
            return;
        };
        let tried = self.tried.entry(key, |bits| u64::from(bits.count_ones()), || 0);
        *tried |= 1 << (endpoint.wrapping_mul(0x9e37_79b9) >> 26);
        let names = tried.count_ones();
        let score = 1.0 - DOUBT.powi(names as i32);
        out(Finding {
            at: event.at,
            subject: event.subject,
            engine: Judging::Protocol,
            feature: Feature::EndpointName,
            observed: f64::from(names),
            expected: Expected { low: 0.0, high: 0.0, basis: Basis::Rule },
            unit: Unit::Count,
            score,
            severity: severity(score),
            technique: Some(Technique::ROGUE_MASTER),
        });
    }

    fn pardon(&mut self, device: DeviceKey) {
        self.tried.remove(device);
    }

    fn forget(&mut self, device: DeviceKey) {
        self.tried.remove(device);
    }
}
