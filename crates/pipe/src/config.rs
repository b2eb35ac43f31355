//! What an operator may set, with the defaults that are shipped and that every test and the demo use.

use crate::limits;

/// Everything about the judge that can be set.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct JudgeConfig {
    pub profile: ProfileConfig,
    pub grade: GradeConfig,
    pub source: SourceConfig,
}

/// How habits are learnt and when they are left.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct ProfileConfig {
    /// Devices kept at once; beyond it the longest unseen one is forgotten, and counted.
    pub devices_max: usize,
    /// Device types kept at once.
    pub types_max: usize,
    /// Before a type is learnt: messages in one minute that are nothing unusual. Longer windows follow from it.
    /// At the default, one message a second is suspicious at most, and so has the chance to be learnt.
    pub messages_per_minute_max: f32,
    /// How rare a window of innocent traffic must be, by its type's own tail, to lie outside the band.
    pub tail_probability: f32,
    /// Most of a type's baseline that may come from one device, once the type has many.
    pub device_share_max: f32,
}

impl Default for ProfileConfig {
    fn default() -> Self {
        Self {
            devices_max: limits::DEVICES_MAX,
            types_max: limits::TYPES_MAX,
            messages_per_minute_max: 25.0,
            tail_probability: 1e-5,
            device_share_max: 0.125,
        }
    }
}

/// When evidence becomes a grade, and when a grade is left. Levels are combined scores in 0..=1.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct GradeConfig {
    pub suspicious_enter: f32,
    pub suspicious_leave: f32,
    pub abnormal_enter: f32,
    pub abnormal_leave: f32,
    /// Evidence halves in this time unless it is renewed.
    pub half_life_ms: u64,
    /// Time without new evidence before a suspicious device is normal again.
    pub suspicious_dwell_ms: u64,
    /// Time without new evidence before an abnormal device is on probation, that is: suspicious.
    pub abnormal_dwell_ms: u64,
    /// A finding like the last one of the same device and feature is not repeated within this time.
    pub repeat_ms: u64,
}

impl Default for GradeConfig {
    fn default() -> Self {
        Self {
            suspicious_enter: 0.5,
            suspicious_leave: 0.25,
            abnormal_enter: 0.85,
            abnormal_leave: 0.4,
            half_life_ms: 10 * 60_000,
            suspicious_dwell_ms: 15 * 60_000,
            abnormal_dwell_ms: 30 * 60_000,
            repeat_ms: 10 * 60_000,
        }
    }
}

/// What an unauthenticated source may do before it is named, and then limited.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct SourceConfig {
    /// Sources remembered at once; beyond it the least suspicious of a few is forgotten, and counted.
    pub sources_max: usize,
    /// Failed handshakes in an hour that are nothing unusual.
    pub failed_handshakes_max: f32,
    pub replayed_records_max: f32,
    pub forged_records_max: f32,
    pub malformed_datagrams_max: f32,
    /// The source is limited at this multiple of the numbers above.
    pub limit_factor: f32,
    /// Length of a first limit; each further one doubles it.
    pub limit_first_ms: u64,
    pub limit_longest_ms: u64,
    /// A source that behaves for this long starts again at the first limit.
    pub forgive_ms: u64,
    /// Findings about sources in one minute; what exceeds it is counted as shed.
    pub findings_per_minute_max: u32,
}

impl Default for SourceConfig {
    fn default() -> Self {
        Self {
            sources_max: limits::SOURCES_MAX,
            failed_handshakes_max: 3.0,
            replayed_records_max: 4.0,
            forged_records_max: 4.0,
            malformed_datagrams_max: 20.0,
            limit_factor: 2.0,
            limit_first_ms: 60_000,
            limit_longest_ms: 3_600_000,
            forgive_ms: 24 * 3_600_000,
            findings_per_minute_max: 120,
        }
    }
}
