//! An engine's judgement of events. A finding always explains itself: which feature, what was expected,
//! what was seen.

use crate::event::Subject;
use crate::posture::coded;
use crate::time::UnixMillis;

/// One judgement. Fixed size and `Copy`; words are made of it where a person reads it.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Finding {
    pub at: UnixMillis,
    /// Only a finding about [`Subject::Device`] may change that device's posture.
    pub subject: Subject,
    pub engine: Engine,
    pub feature: Feature,
    /// What was seen, in `unit`.
    pub observed: f64,
    /// What was expected, in `unit`.
    pub expected: Expected,
    pub unit: Unit,
    /// How far outside the expectation: 0 is nothing unusual, 1 is certain.
    pub score: f32,
    pub severity: Severity,
    /// The ATT&CK for ICS / Enterprise technique that this usually is.
    pub technique: Option<Technique>,
}

/// The band in which the engine expected the feature, both ends included.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Expected {
    pub low: f64,
    pub high: f64,
    /// Whose past the band was learnt from.
    pub basis: Basis,
}

coded! {
    /// Where an expectation comes from.
    Basis {
        /// This device's own history.
        Device = 0 "device",
        /// The history of its device type (cold start).
        DeviceType = 1 "device_type",
        /// A fixed rule of the protocol or the configuration.
        Rule = 2 "rule",
    }
}

coded! {
    /// Which judge spoke.
    Engine {
        /// Per-device and per-type behaviour profiles.
        Profile = 0 "profile",
        /// Limits on unauthenticated traffic of one source.
        Source = 1 "source",
        /// Rules of the protocol and of the registry.
        Protocol = 2 "protocol",
        /// Appraisal of evidence against reference values.
        Verifier = 3 "verifier",
    }
}

coded! {
    /// What was measured.
    Feature {
        /// Time between a device's reports.
        ReportInterval = 0 "report_interval",
        /// Messages in a window.
        MessageRate = 1 "message_rate",
        /// Payload size of a message.
        PayloadBytes = 2 "payload_bytes",
        /// A kind of message never seen from this device or its type.
        MessageKind = 3 "message_kind",
        /// A peer or network never seen from this device.
        Peer = 4 "peer",
        /// Replayed records of one source in a window.
        ReplayedRecords = 5 "replayed_records",
        /// Forged records of one source in a window.
        ForgedRecords = 6 "forged_records",
        /// Failed handshakes of one source in a window.
        FailedHandshakes = 7 "failed_handshakes",
        /// Malformed datagrams of one source in a window.
        MalformedDatagrams = 8 "malformed_datagrams",
        /// An LwM2M endpoint name that is not this device's.
        EndpointName = 9 "endpoint_name",
        /// Handshakes of one device in a window.
        HandshakeRate = 10 "handshake_rate",
        /// Requests refused for lack of access in a window.
        RefusedRequests = 11 "refused_requests",
        /// Claims of evidence that reference values or policy speak against.
        Evidence = 12 "evidence",
    }
}

coded! {
    /// In what the observation and the expectation are counted.
    Unit {
        Milliseconds = 0 "ms",
        Bytes = 1 "bytes",
        /// Things in one hour.
        PerHour = 2 "per_hour",
        /// Things in one minute.
        PerMinute = 3 "per_minute",
        /// Distinct things.
        Count = 4 "count",
    }
}

coded! {
    /// OCSF severity, without its unknown and fatal ends.
    Severity {
        Informational = 1 "informational",
        Low = 2 "low",
        Medium = 3 "medium",
        High = 4 "high",
        Critical = 5 "critical",
    }
}

/// A MITRE ATT&CK technique by its number: `T1498` is `Technique(1498)`, `T0814` is `Technique(814)`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Technique(pub u16);

impl Technique {
    /// Enterprise: network denial of service.
    pub const NETWORK_DENIAL_OF_SERVICE: Self = Self(1498);
    /// Enterprise: brute force.
    pub const BRUTE_FORCE: Self = Self(1110);
    /// Enterprise: adversary in the middle (replayed and forged records).
    pub const ADVERSARY_IN_THE_MIDDLE: Self = Self(1557);
    /// ICS: spoof reporting message.
    pub const SPOOF_REPORTING_MESSAGE: Self = Self(856);
    /// ICS: system firmware.
    pub const SYSTEM_FIRMWARE: Self = Self(857);
    /// ICS: rogue master / unexpected peer.
    pub const ROGUE_MASTER: Self = Self(848);
}

impl core::fmt::Display for Technique {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        write!(f, "T{:04}", self.0)
    }
}
