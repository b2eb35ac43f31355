//! Findings, holds and postures in words that a water-works engineer understands.

use bartizan_wire::finding::Basis;
use bartizan_wire::{Access, Cause, Exit, Expected, Feature, Finding, Grade, Lifecycle, Subject, UnixMillis};

use crate::posture::{Hold, Policy, Posture, Proof, Rekey, Stage};

mod amount;

pub use amount::{band, duration, elapsed, quantity};

/// What is known by name around a finding.
#[derive(Clone, Copy, Debug, Default)]
pub struct Names<'a> {
    /// The name of the device's type: "water meter".
    pub device_type: Option<&'a str>,
    /// The network source, as an address.
    pub source: Option<&'a str>,
    /// The device that unauthenticated bytes named.
    pub claimed: Option<&'a str>,
    /// Of how many of its own reports the device's habit was learnt.
    pub learnt_from: Option<u64>,
}

/// The finding as one sentence without its subject's name at the front, e.g. "reported after 72 s; its own habit
/// (learnt from its last 40 reports) is every 55 to 65 min".
#[must_use]
pub fn finding(finding: &Finding, names: &Names) -> String {
    match finding.subject {
        Subject::Device { .. } => format!("{}; {}", seen(finding), expected(finding, names)),
        Subject::Source { .. } => about_source(finding, names),
    }
}

/// What a device did.
fn seen(finding: &Finding) -> String {
    let amount = quantity(finding.observed, finding.unit);
    match finding.feature {
        Feature::ReportInterval if finding.observed > finding.expected.high => format!("was silent for {amount}"),
        Feature::ReportInterval => format!("reported again after {amount}"),
        Feature::MessageRate => format!("sent {} {amount}", plural(finding.observed, "message")),
        Feature::PayloadBytes => format!("sent a message of {amount}"),
        Feature::MessageKind => "sent a kind of message that it has not sent before".into(),
        Feature::Peer => "spoke from a network that it has not used before".into(),
        Feature::EndpointName => "tried to register under the name of another device".into(),
        Feature::HandshakeRate => format!("opened {} {amount}", plural(finding.observed, "new connection")),
        Feature::RefusedRequests => {
            format!("kept sending what is refused: {} {amount}", plural(finding.observed, "request"))
        }
        Feature::Evidence => plural_of(finding.observed, "claim", "of its evidence did not hold"),
        Feature::ReplayedRecords | Feature::ForgedRecords | Feature::FailedHandshakes | Feature::MalformedDatagrams => {
            format!("sent {} {amount} that could not be accepted", plural(finding.observed, "datagram"))
        }
    }
}

/// What was expected of a device, and whose past says so.
fn expected(finding: &Finding, names: &Names) -> String {
    let normal = normal_value(finding.feature, &finding.expected, finding.unit);
    let whose = match (finding.expected.basis, names.learnt_from) {
        (Basis::Device, Some(reports)) if reports > 0 => {
            format!("its own habit (learnt from its last {reports} reports) is")
        }
        (Basis::Device, _) => "its own habit is".into(),
        (Basis::DeviceType, _) => match names.device_type {
            Some(name) => format!("what devices of the type \u{201c}{name}\u{201d} usually do is"),
            None => "what devices of its type usually do is".into(),
        },
        (Basis::Rule, _) => "the rule is".into(),
    };
    format!("{whose} {normal}")
}

fn normal_value(feature: Feature, expected: &Expected, unit: bartizan_wire::Unit) -> String {
    let band = band(expected, unit);
    match feature {
        Feature::ReportInterval => format!("a report every {band}"),
        Feature::MessageKind => "to send only the kinds seen so far".into(),
        Feature::Peer => "to stay on the networks seen so far".into(),
        Feature::Evidence => "that it proves what it runs".into(),
        Feature::EndpointName => "that a device registers only under its own name".into(),
        _ => band,
    }
}

/// Unauthenticated bytes: said of their source, and never against the device that they name.
fn about_source(finding: &Finding, names: &Names) -> String {
    let source = names.source.unwrap_or("a network source");
    let amount = quantity(finding.observed, finding.unit);
    let what = match finding.feature {
        Feature::ReplayedRecords => format!("{} of old records", plural(finding.observed, "copy")),
        Feature::ForgedRecords => plural_of(finding.observed, "record", "that no device has signed"),
        Feature::FailedHandshakes => plural_of(finding.observed, "connection attempt", "without the right key"),
        Feature::MalformedDatagrams => plural_of(finding.observed, "datagram", "that no device would send"),
        _ => plural_of(finding.observed, "datagram", "that proved nothing"),
    };
    let normal = band(&finding.expected, finding.unit);
    let named = names.claimed.map_or(String::new(), |name| {
        format!(" It used the name of \u{201c}{name}\u{201d}, which is not held against that device.")
    });
    format!("{source} sent {what} ({amount}; {normal} is normal); none was accepted.{named}")
}

/// Why the device has the access that it has, in one or two sentences.
#[must_use]
pub fn posture(posture: &Posture, policy: &Policy, now: UnixMillis) -> String {
    if posture.lifecycle == Lifecycle::Retired {
        return "Out of service for good; its key is refused.".into();
    }
    let strictest = posture.holds.iter().max_by_key(|hold| (hold.effect(), hold.cause == Cause::Person));
    match strictest {
        Some(held) if is_out_of_reach(posture, held) => {
            format!("{} It has been silent since: nothing further comes of that. {NEXT_EVIDENCE}", why(held, now))
        }
        Some(held) => format!("{} {}", why(held, now), way_out(held, policy, now)),
        None => free(posture).into(),
    }
}

/// The way out for a device that owes evidence.
const NEXT_EVIDENCE: &str = "The next good evidence ends this.";

fn is_out_of_reach(posture: &Posture, strictest: &Hold) -> bool {
    posture.proof == Proof::Unreachable && strictest.cause == Cause::Policy && strictest.exit == Exit::Evidence
}

fn free(posture: &Posture) -> &'static str {
    match (posture.lifecycle, posture.grade) {
        (Lifecycle::Active, Grade::Normal) if posture.proof == Proof::Owed => {
            "Behaves as usual, but gave cause to be asked for evidence of what it runs; everything passes."
        }
        (Lifecycle::Pending, _) => "Known, but it has never connected yet.",
        (_, Grade::Normal) => "Behaves as usual; everything passes.",
        (_, Grade::Suspicious) => "Does something unusual and is being watched; everything still passes.",
        (_, Grade::Abnormal) => "Behaves abnormally, but the policy lets everything pass.",
    }
}

fn why(hold: &Hold, now: UnixMillis) -> String {
    let state = match hold.effect() {
        Access::Full => "Unrestricted",
        Access::Limited => "Limited",
        Access::Quarantined => "Isolated",
        Access::Blocked => "Blocked",
    };
    let since = elapsed(now.since(hold.since));
    match (&hold.by, hold.reason.is_empty()) {
        (Some(person), false) => format!("{state} for {since} by {person}: {}.", trimmed(&hold.reason)),
        (Some(person), true) => format!("{state} for {since} by {person}."),
        (None, _) => format!("{state} for {since} because it {}.", trimmed(&hold.reason)),
    }
}

fn trimmed(reason: &str) -> &str {
    reason.trim_end_matches('.')
}

fn way_out(hold: &Hold, policy: &Policy, now: UnixMillis) -> String {
    let left = |ms: u64| elapsed(ms.saturating_sub(now.since(hold.stage_since)));
    match (hold.cause, hold.stage) {
        (Cause::Person, _) => "Only a person ends this.".into(),
        (Cause::Policy, _) if hold.exit == Exit::Person => "Only a person ends this.".into(),
        (Cause::Detection, Stage::Dwelling) => {
            format!(
                "It behaves normally again; if that lasts another {}, it is let in at a limited rate.",
                left(policy.dwell_ms)
            )
        }
        (Cause::Detection, Stage::Probation) => {
            format!(
                "It is on probation; if it behaves for another {}, everything passes again.",
                left(policy.probation_ms)
            )
        }
        (Cause::Detection, _) => format!(
            "It is let in again, at a limited rate first, once it has behaved normally for {}; a person may release it sooner.",
            duration(policy.dwell_ms as f64)
        ),
        (Cause::Attestation, Stage::Probation) => {
            let left = policy.attestation.passes.saturating_sub(hold.passes).max(1);
            let times = if left == 1 { "once more".into() } else { format!("{left} times more") };
            match hold.rekey {
                Rekey::Awaited => format!(
                    "It has proven good firmware since, and waits for a new key: when it has connected with one and proven itself {times}, everything passes again."
                ),
                Rekey::NotAsked | Rekey::Done => {
                    format!("It has proven good firmware since; when it has done so {times}, everything passes again.")
                }
            }
        }
        (Cause::Attestation, _) => {
            "Only fresh evidence of good firmware ends this, for a challenge from after it was isolated.".into()
        }
        (Cause::Policy, _) if hold.exit == Exit::Evidence => NEXT_EVIDENCE.into(),
        (Cause::Policy, _) => "A change of the policy or a person ends this.".into(),
    }
}

/// "message" for exactly one, "messages" else; the number itself is said by the amount.
fn plural(count: f64, noun: &str) -> String {
    match (count == 1.0, noun.strip_suffix('y')) {
        (true, _) => noun.to_owned(),
        (false, Some(stem)) => format!("{stem}ies"),
        (false, None) => format!("{noun}s"),
    }
}

fn plural_of(count: f64, noun: &str, rest: &str) -> String {
    format!("{} {rest}", plural(count, noun))
}
