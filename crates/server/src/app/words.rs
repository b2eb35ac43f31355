//! Views made of what is in memory or stored.

use bartizan_pipe::ProfileView as Profile;
use bartizan_platform::explain;
use bartizan_platform::import::show_identity;
use bartizan_platform::posture::{Hold, Policy, Rekey};
use bartizan_wire::{DeviceKey, Expected, Finding, Subject, UnixMillis};

use super::commands::{Issuer, PendingCommand};
use super::device::{Device, SessionFacts};
use super::keys;
use super::views::*;
use crate::store::{CommandRow, DeviceRow, FindingRow, TenantRow, TimelineRow};

pub(super) fn device_view(device: &Device, policy: &Policy, now: UnixMillis, holds: bool) -> DeviceView {
    let state = device.state();
    let posture = &state.posture;
    DeviceView {
        id: device.key.device.0,
        name: device.name.clone(),
        device_type: device.type_name.clone(),
        identity: show_identity(&state.key.identity),
        key: keys::shown(&state, device.created),
        endpoint: device.endpoints.first().cloned().unwrap_or_default(),
        state: posture.state().into(),
        lifecycle: posture.lifecycle.name().into(),
        attestation: posture.attestation.name().into(),
        grade: posture.grade.name().into(),
        update: posture.update.name().into(),
        access: posture.access().name().into(),
        explanation: explain::posture(posture, policy, now),
        holds: holds.then(|| posture.holds.iter().map(hold_view).collect()),
        created: rfc3339(device.created),
        last_seen: device.last_seen().map(rfc3339),
        session: state.session.as_ref().map(session_view),
        messages: device.messages(),
        untrusted_since: posture.doubted_since.map(|since| rfc3339(since.max(device.created))),
        version: state.version,
    }
}

/// A device that is not in memory: it has no holds, no session and no grade.
pub(super) fn row_view(row: &DeviceRow, policy: &Policy, now: UnixMillis) -> DeviceView {
    DeviceView {
        id: row.id.0,
        name: row.name.clone(),
        device_type: row.type_name.clone(),
        identity: show_identity(&row.identity),
        key: keys::key_view(
            &row.key,
            row.created,
            row.pending_key.as_ref().map(|key| key.made),
            row.key.asked.is_some(),
        ),
        endpoint: row.endpoint.clone(),
        state: row.posture.state().into(),
        lifecycle: row.posture.lifecycle.name().into(),
        attestation: row.posture.attestation.name().into(),
        grade: row.posture.grade.name().into(),
        update: row.posture.update.name().into(),
        access: row.posture.access().name().into(),
        explanation: explain::posture(&row.posture, policy, now),
        holds: None,
        created: rfc3339(row.created),
        last_seen: row.last_seen.map(rfc3339),
        session: None,
        messages: row.messages,
        untrusted_since: row.posture.doubted_since.map(|since| rfc3339(since.max(row.created))),
        version: row.version,
    }
}

fn hold_view(hold: &Hold) -> HoldView {
    HoldView {
        id: hold.id,
        cause: hold.cause.name().into(),
        engine: hold.engine.map(|engine| engine.name().into()),
        since: rfc3339(hold.since),
        exit: hold.exit.name().into(),
        access: hold.effect().name().into(),
        reason: hold.reason.clone(),
        by: hold.by.clone(),
        awaits_key: hold.rekey == Rekey::Awaited,
    }
}

fn session_view(facts: &SessionFacts) -> SessionView {
    SessionView {
        since: rfc3339(facts.since),
        address: facts.address.to_string(),
        connection_id: facts.connection_id,
        version: facts.version.into(),
        suite: facts.suite.into(),
    }
}

pub(super) fn finding_view(row: &FindingRow) -> FindingView {
    let finding = &row.finding;
    let (device, source, claimed) = match finding.subject {
        Subject::Device { .. } => (row.device.clone(), None, None),
        Subject::Source { source, .. } => (None, Some(source.ip().to_string()), row.device.clone()),
    };
    FindingView {
        id: row.id,
        at: rfc3339(finding.at),
        device,
        source,
        claimed,
        engine: finding.engine.name().into(),
        feature: finding.feature.name().into(),
        observed: finite(finding.observed),
        expected: expected_view(&finding.expected),
        unit: finding.unit.name().into(),
        score: finding.score,
        severity: finding.severity.name().into(),
        technique: finding.technique.map(|technique| technique.to_string()),
        text: row.text.clone(),
    }
}

/// JSON has no infinity and no NaN.
fn finite(value: f64) -> f64 {
    if value.is_nan() { 0.0 } else { value.clamp(f64::MIN, f64::MAX) }
}

fn expected_view(expected: &Expected) -> ExpectedView {
    ExpectedView { low: finite(expected.low), high: finite(expected.high), basis: expected.basis.name().into() }
}

pub(super) fn timeline_view(row: &TimelineRow) -> TimelineEntry {
    TimelineEntry {
        id: row.id,
        at: rfc3339(row.at),
        kind: row.kind.clone(),
        text: row.text.clone(),
        finding: row.finding.as_ref().map(finding_view),
        actor: row.actor.clone(),
    }
}

pub(super) fn profile_view(profile: Profile) -> ProfileView {
    let feature = |view: bartizan_pipe::FeatureView| FeatureView {
        feature: view.feature.name().into(),
        unit: view.unit.name().into(),
        expected: Some(expected_view(&view.expected)),
        learnt: view.learnt,
        recent: view.recent.iter().map(|seen| PointView { at: rfc3339(seen.at), value: finite(seen.value) }).collect(),
    };
    ProfileView { features: profile.features.into_iter().map(feature).collect() }
}

pub(super) fn command_view(row: &CommandRow) -> CommandView {
    let command = &row.command;
    CommandView {
        id: command.id.0,
        issuer: issuer_name(&command.issuer).into(),
        method: method_name(command.method),
        path: command.path.clone(),
        state: command.state.name().into(),
        created: rfc3339(command.created),
        expires: rfc3339(command.expires),
        detail: row.detail.clone(),
    }
}

pub(super) fn issuer_name(issuer: &Issuer) -> &str {
    match issuer {
        Issuer::Person(name) => name,
        Issuer::Upstream => "upstream",
    }
}

/// "POST /3/0/4", or what an upstream sent that is no request.
pub(super) fn command_words(command: &PendingCommand) -> String {
    format!("{} {}", method_name(command.method), command.path)
}

/// The CoAP method's name, or the code where it has none (RFC 7252 section 12.1.1, RFC 8132).
fn method_name(code: u8) -> String {
    let name = bartizan_wire::coap::Code(code).method_name();
    name.map_or_else(|| format!("{}.{:02}", code >> 5, code & 31), str::to_owned)
}

pub(super) fn tenant_view(row: &TenantRow, devices: u64) -> TenantView {
    TenantView {
        name: row.name.clone(),
        upstream: row.upstream.clone(),
        created: rfc3339(row.created),
        devices,
        version: row.version,
    }
}

/// The finding in words. `claimed` is the name of the device that unauthenticated bytes named.
pub(super) fn finding_words(finding: &Finding, device: Option<&Device>, claimed: Option<&str>) -> String {
    let source = match finding.subject {
        Subject::Source { source, .. } => Some(source.ip().to_string()),
        Subject::Device { .. } => None,
    };
    let names = explain::Names {
        device_type: device.map(|device| device.type_name.as_str()),
        source: source.as_deref(),
        claimed,
        learnt_from: None,
    };
    explain::finding(finding, &names)
}

/// The device that the finding is about, or that unauthenticated bytes named.
pub(super) fn named(finding: &Finding) -> Option<DeviceKey> {
    match finding.subject {
        Subject::Device { key, .. } => Some(key),
        Subject::Source { claimed, .. } => claimed,
    }
}
