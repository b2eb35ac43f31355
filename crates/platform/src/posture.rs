//! What a device is believed to be, and what it may therefore do.

use bartizan_wire::Access;

/// How grades become holds, and how holds end.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Policy {
    /// Access of a device graded suspicious.
    pub suspicious: Access,
    /// Access of a device graded abnormal.
    pub abnormal: Access,
    /// How long the grade must stay normal before a detection hold turns into probation.
    pub dwell_ms: u64,
    /// How long a device stays limited after the dwell before it is free.
    pub probation_ms: u64,
}

impl Default for Policy {
    fn default() -> Self {
        Self {
            suspicious: Access::Full,
            abnormal: Access::Quarantined,
            dwell_ms: 3_600_000,
            probation_ms: 3_600_000,
        }
    }
}
