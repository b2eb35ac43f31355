//! What the console shows of a device's habits.

use bartizan_wire::{Expected, Feature, Unit, UnixMillis};

/// A device's features against their bands.
#[derive(Clone, Debug, PartialEq)]
pub struct ProfileView {
    pub features: Vec<FeatureView>,
}

/// One feature: what is expected, and what was seen of late.
#[derive(Clone, Debug, PartialEq)]
pub struct FeatureView {
    pub feature: Feature,
    pub unit: Unit,
    pub expected: Expected,
    /// Whether the band was learnt; otherwise it is a rule that holds until enough was seen.
    pub learnt: bool,
    /// Oldest first, at most [`crate::limits::RECENT_MAX`].
    pub recent: Vec<Observation>,
}

#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Observation {
    pub at: UnixMillis,
    /// In the feature's unit.
    pub value: f64,
}
