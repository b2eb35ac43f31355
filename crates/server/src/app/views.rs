//! What people see: the JSON shapes of the API. Times are RFC 3339 in UTC; enum strings are the `name()`s of
//! `bartizan_wire`.

use bartizan_wire::UnixMillis;
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

/// One page of a list, newest or first item first.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct Page<T> {
    pub items: Vec<T>,
    /// Pass it as `cursor` for the next page; null on the last one.
    pub next_cursor: Option<String>,
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct TenantView {
    pub name: String,
    /// Where its devices' messages go, as it was configured (`log:PATH`, `mqtt://…`, `coap://…`).
    pub upstream: String,
    pub created: String,
    pub devices: u64,
    /// Counts changes; the ETag.
    pub version: u64,
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct TypeView {
    pub name: String,
    pub devices: u64,
}

/// A device. In lists `holds` is absent.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct DeviceView {
    pub id: u64,
    pub name: String,
    #[serde(rename = "type")]
    pub device_type: String,
    /// The PSK identity as text; bytes that are not UTF-8 print as `hex:…`.
    pub identity: String,
    /// The key that the identity names.
    #[serde(default)]
    pub key: KeyView,
    /// The LwM2M endpoint name that this device may register.
    pub endpoint: String,
    /// The whole posture in one word: registered, active, warning, stale, failed, quarantined, repairing, probation,
    /// revoked or retired.
    #[serde(default)]
    pub state: String,
    pub lifecycle: String,
    pub attestation: String,
    pub grade: String,
    pub update: String,
    pub access: String,
    /// Why it has this access, in one or two plain sentences.
    pub explanation: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub holds: Option<Vec<HoldView>>,
    pub created: String,
    pub last_seen: Option<String>,
    pub session: Option<SessionView>,
    /// Messages passed since the device was added.
    pub messages: u64,
    /// Since when its reports are not to be trusted, for its evidence spoke against it or it evades bringing any; null
    /// while they are.
    #[serde(default)]
    pub untrusted_since: Option<String>,
    /// Counts changes by people and of posture; the ETag.
    pub version: u64,
}

/// What is known of a device's key, but the key.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct KeyView {
    /// Each key of the device has another, greater than those before. 0: the one that it came with.
    pub number: u32,
    pub made: String,
    /// Whether the device is to take another one: a person asked, or it cannot come back without.
    pub wanted: bool,
    /// Until when it should have, if a person asked.
    pub due: Option<String>,
    /// Since when it has another one that it has not connected with yet. Absent in lists of devices that are not in
    /// memory.
    pub pending_since: Option<String>,
}

/// A device just made, with its key: the only time that the server shows it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct NewDeviceView {
    #[serde(flatten)]
    pub device: DeviceView,
    /// The PSK in hex.
    pub psk: String,
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct HoldView {
    pub id: u64,
    pub cause: String,
    pub engine: Option<String>,
    pub since: String,
    pub exit: String,
    pub access: String,
    pub reason: String,
    /// The person who placed it; null for a machine.
    pub by: Option<String>,
    /// Whether it waits for another key of the device.
    #[serde(default)]
    pub awaits_key: bool,
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct SessionView {
    pub since: String,
    pub address: String,
    pub connection_id: bool,
    /// `DTLS 1.2` or `DTLS 1.3`.
    pub version: String,
    /// IANA name of the cipher suite.
    pub suite: String,
}

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct FindingView {
    pub id: u64,
    pub at: String,
    /// The device it is about; null when only a source is.
    pub device: Option<String>,
    /// The network source of unauthenticated bytes.
    pub source: Option<String>,
    /// The device that unauthenticated bytes named. It is never held against that device.
    pub claimed: Option<String>,
    pub engine: String,
    pub feature: String,
    pub observed: f64,
    pub expected: ExpectedView,
    pub unit: String,
    pub score: f32,
    pub severity: String,
    pub technique: Option<String>,
    /// The finding as a plain sentence.
    pub text: String,
}

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct ExpectedView {
    pub low: f64,
    pub high: f64,
    pub basis: String,
}

/// One thing in a device's history.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct TimelineEntry {
    pub id: u64,
    pub at: String,
    /// finding, grade, hold, release, access, session, command, key, attestation or lifecycle.
    pub kind: String,
    pub text: String,
    pub finding: Option<FindingView>,
    /// The person who did it; null for a machine or the device itself.
    pub actor: Option<String>,
}

/// What a device has proven of itself.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct AttestationView {
    /// none, affirming, warning or contraindicated: the last verdict.
    pub tier: String,
    /// When that was.
    pub at: Option<String>,
    /// The registered identity: SHA-256 thumbprint (RFC 9679) of the key that its first certificate is signed with.
    pub identity: Option<String>,
    /// Starts that the device has counted, if it counts them. Without it a clone is hard to tell.
    pub boot_count: Option<u64>,
    /// Name of the attestation key that the device's TPM has shown to be in it; absent for devices without a TPM.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub tpm_key: Option<String>,
    /// Whether it has proven lately what it runs: current, owed, stale, unreachable or evading.
    #[serde(default)]
    pub proof: String,
    /// Since when that is so. Of a current proof: how young it is, by its last good verdict or heartbeat.
    #[serde(default)]
    pub proof_at: Option<String>,
    /// When the last heartbeat came that prolonged its verdict.
    #[serde(default)]
    pub heartbeat_at: Option<String>,
    /// By when evidence or a heartbeat is due before something comes of it: it is limited, or with a grace that has
    /// begun isolated. Null: it need not, or nothing further comes of it.
    #[serde(default)]
    pub due: Option<String>,
    /// Since when its reports are not to be trusted; null while they are.
    #[serde(default)]
    pub untrusted_since: Option<String>,
    /// Newest first.
    pub verdicts: Vec<VerdictView>,
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct VerdictView {
    pub at: String,
    pub tier: String,
    /// The verdict as a plain phrase.
    pub text: String,
    /// In the order of boot.
    pub layers: Vec<LayerView>,
    /// Which claims were against the reference values or the policy, one sentence each.
    pub reasons: Vec<String>,
    pub boot_count: Option<u64>,
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct LayerView {
    pub component: Option<String>,
    pub version: Option<String>,
    pub security_version: Option<u64>,
    /// `sha-512:…` and the like.
    pub digests: Vec<String>,
    /// normal, debug, recovery or not configured.
    pub mode: String,
}

impl LayerView {
    #[must_use]
    pub fn of(layer: &bartizan_trust::Layer) -> Self {
        Self {
            component: layer.component.clone(),
            version: layer.version.clone(),
            security_version: layer.security_version,
            digests: layer.digests.iter().map(ToString::to_string).collect(),
            mode: layer.mode.name().into(),
        }
    }
}

/// What good firmware of a device type measures as.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct ReferenceView {
    #[serde(rename = "type")]
    pub device_type: String,
    pub component: String,
    pub version: Option<String>,
    pub security_version: Option<String>,
    pub digests: Vec<String>,
    /// Who says so.
    pub source: String,
    /// allowed, deprecated, forbidden or withdrawn.
    pub status: String,
    /// Of a deprecated version: until when it may run.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub until: Option<String>,
}

/// A device's behaviour: what is expected and what was seen lately.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct ProfileView {
    pub features: Vec<FeatureView>,
}

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct FeatureView {
    pub feature: String,
    pub unit: String,
    pub expected: Option<ExpectedView>,
    /// Whether the device's own history suffices to judge it.
    pub learnt: bool,
    /// Oldest first.
    pub recent: Vec<PointView>,
}

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct PointView {
    pub at: String,
    pub value: f64,
}

/// The fleet at a glance.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct Summary {
    pub at: String,
    pub devices: u64,
    pub active: u64,
    pub normal: u64,
    pub suspicious: u64,
    pub abnormal: u64,
    /// Quarantined or blocked.
    pub isolated: u64,
    pub limited: u64,
    pub sessions: u64,
    /// Over the last ten seconds of real time.
    pub messages_per_s: f64,
    /// Since the server started.
    pub messages_total: u64,
    pub findings_total: u64,
    pub refused_total: u64,
    pub sources_limited: u64,
    pub brake: BrakeView,
}

#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct BrakeView {
    /// True while machines may isolate no more and a person should look.
    pub engaged: bool,
    /// Devices that machines isolated in the window.
    pub used: u64,
    /// Devices that machines may isolate in the window.
    pub budget: u64,
    /// Devices that were limited instead of isolated since it engaged.
    pub spared: u64,
    pub since: Option<String>,
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct CommandView {
    pub id: u64,
    /// The person's name, or `upstream`.
    pub issuer: String,
    pub method: String,
    pub path: String,
    pub state: String,
    pub created: String,
    pub expires: String,
    pub detail: Option<String>,
}

/// A network source whose unauthenticated traffic is limited.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct SourceView {
    pub source: String,
    pub since: String,
    pub until: String,
    /// Why, as a plain sentence.
    pub text: String,
    /// Datagrams dropped unread because of it.
    pub dropped: u64,
}

/// `at` as RFC 3339 in UTC with milliseconds.
#[must_use]
pub fn rfc3339(at: UnixMillis) -> String {
    let millis = i64::try_from(at.0).unwrap_or(i64::MAX);
    jiff::Timestamp::from_millisecond(millis)
        .map_or_else(|_| "9999-12-31T23:59:59.999Z".to_owned(), |time| format!("{time:.3}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_are_utc_with_milliseconds() {
        assert_eq!(rfc3339(UnixMillis(0)), "1970-01-01T00:00:00.000Z");
        assert_eq!(rfc3339(UnixMillis(1_795_420_510_042)), "2026-11-23T07:55:10.042Z");
        assert_eq!(rfc3339(UnixMillis(u64::MAX)), "9999-12-31T23:59:59.999Z");
    }
}
