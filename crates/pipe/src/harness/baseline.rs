//! What an engine must beat: one threshold for all.

use std::collections::BTreeMap;

use bartizan_wire::finding::Basis;
use bartizan_wire::{
    DeviceKey, Engine as Name, Event, EventKind, Expected, Feature, Finding, Severity, Subject, Unit, UnixMillis,
};

use crate::engine::Engine;

const WINDOW_MS: u64 = 600_000;

/// Too many messages in ten minutes, the same number for every device, learnt from nothing.
pub struct FixedThreshold {
    messages_max: u32,
    windows: BTreeMap<DeviceKey, (u64, u32)>,
}

impl FixedThreshold {
    #[must_use]
    pub const fn new(messages_max: u32) -> Self {
        Self { messages_max, windows: BTreeMap::new() }
    }
}

impl Engine for FixedThreshold {
    fn observe(&mut self, event: &Event, out: &mut dyn FnMut(Finding)) {
        let (Subject::Device { key, .. }, EventKind::Message(_)) = (event.subject, event.kind) else {
            return;
        };
        let window = event.at.0 / WINDOW_MS;
        let (seen_in, count) = self.windows.entry(key).or_default();
        if *seen_in != window {
            (*seen_in, *count) = (window, 0);
        }
        *count += 1;
        if *count > self.messages_max {
            out(finding(event.at, event.subject, *count, self.messages_max));
        }
    }
}

fn finding(at: UnixMillis, subject: Subject, count: u32, max: u32) -> Finding {
    Finding {
        at,
        subject,
        engine: Name::Profile,
        feature: Feature::MessageRate,
        observed: f64::from(count) * 6.0,
        expected: Expected { low: 0.0, high: f64::from(max) * 6.0, basis: Basis::Rule },
        unit: Unit::PerHour,
        score: 0.9,
        severity: Severity::High,
        technique: None,
    }
}
