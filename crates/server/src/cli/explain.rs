//! `bartizan device show`: what a device may do and why, for somebody who knows water works and not ciphers.

use jiff::Timestamp;

use super::table::{facts, table, wrap};
use super::time::{ago, both};
use crate::app::views::{DeviceView, FindingView, HoldView, KeyView, SessionView, TimelineEntry};

/// Columns that the text is wrapped to.
const COLUMNS: usize = 100;
/// Findings and timeline entries that are printed.
const SHOWN: usize = 10;

/// All about one device. `findings` and `timeline` are newest first.
#[must_use]
pub fn device(device: &DeviceView, findings: &[&FindingView], timeline: &[TimelineEntry], now: Timestamp) -> String {
    let mut text = format!("{} · {} · number {}\n\n", device.name, device.device_type, device.id);
    text.push_str(&posture(device, now));
    text.push_str(&holds(device.holds.as_deref().unwrap_or_default(), now));
    text.push_str(&section_of_findings(findings, now));
    text.push_str(&section_of_timeline(timeline, now));
    text.push_str(&advice(device));
    text
}

/// What an access means, in a clause.
#[must_use]
pub fn access(access: &str) -> &str {
    match access {
        "full" => "full: everything passes",
        "limited" => "limited: measurements pass at a reduced rate, commands do not",
        "quarantined" => "quarantined: it can only read why; everything else is refused",
        "blocked" => "blocked: nothing passes, and it cannot connect",
        other => other,
    }
}

fn posture(device: &DeviceView, now: Timestamp) -> String {
    let seen = device.last_seen.as_deref();
    let pairs = [
        ("Access", access(&device.access).to_owned()),
        ("State", device.state.clone()),
        ("Why", device.explanation.clone()),
        ("Behaviour", grade(&device.grade).to_owned()),
        ("Life", life(device, now)),
        ("Last seen", seen.map_or("never".into(), |at| both(at, now))),
        ("Connection", device.session.as_ref().map_or("none".into(), |it| session(it, now))),
        ("Messages", device.messages.to_string()),
        ("Identity", device.identity.clone()),
        ("Key", key(&device.key, now)),
        ("Endpoint", device.endpoint.clone()),
        ("Attestation", attestation(&device.attestation).to_owned()),
        ("Update", device.update.clone()),
    ];
    facts(&pairs, COLUMNS)
}

/// Its age, and whether it is about to be replaced.
fn key(key: &KeyView, now: Timestamp) -> String {
    let made = format!("number {}, made {}", key.number, both(&key.made, now));
    let wanted = match (&key.due, key.wanted) {
        (Some(due), true) => format!("; asked to take another until {}", both(due, now)),
        (None, true) => "; it is to take another".into(),
        (_, false) => String::new(),
    };
    let pending = key.pending_since.as_deref().map_or(String::new(), |since| {
        format!("; another was handed out {}, and waits for its first handshake", both(since, now))
    });
    format!("{made}{wanted}{pending}")
}

fn grade(grade: &str) -> &str {
    match grade {
        "normal" => "normal: like itself and its kind",
        "suspicious" => "suspicious: it does something unusual",
        "abnormal" => "abnormal: it does not behave like itself or its kind",
        other => other,
    }
}

fn life(device: &DeviceView, now: Timestamp) -> String {
    let added = both(&device.created, now);
    match device.lifecycle.as_str() {
        "pending" => format!("pending: added {added}, has never connected"),
        "active" => format!("active: added {added}"),
        "retired" => format!("retired: added {added}, out of service for good"),
        other => other.to_owned(),
    }
}

fn session(session: &SessionView, now: Timestamp) -> String {
    let roaming = match session.connection_id {
        true => "with Connection ID, so it survives a new address",
        false => "without Connection ID",
    };
    let SessionView { address, since, version, suite, .. } = session;
    format!("from {address} since {}, {version}, {suite}, {roaming}", both(since, now))
}

fn attestation(tier: &str) -> &str {
    match tier {
        "none" => "none: it has shown no evidence of its software",
        "affirming" => "affirming: its software is as expected",
        "warning" => "warning: its software is not as recommended",
        "contraindicated" => "contraindicated: its software is not to be trusted",
        other => other,
    }
}

fn holds(holds: &[HoldView], now: Timestamp) -> String {
    if holds.is_empty() {
        return String::new();
    }
    let mut text = String::from("\nHeld back by\n");
    for hold in holds {
        let line = format!("{} {}: {}. {}", since(hold, now), by(hold), hold.reason.trim_end_matches('.'), ends(hold));
        for (number, line) in wrap(&line, COLUMNS - 4).into_iter().enumerate() {
            let lead = if number == 0 { "  - " } else { "    " };
            text.push_str(&format!("{lead}{line}\n"));
        }
    }
    text
}

fn since(hold: &HoldView, now: Timestamp) -> String {
    format!("{}, since {},", hold.access, both(&hold.since, now))
}

fn by(hold: &HoldView) -> String {
    match (&hold.by, hold.cause.as_str()) {
        (Some(person), _) => format!("by {person}"),
        (None, "detection") => "by detection".into(),
        (None, "attestation") => "by attestation".into(),
        (None, "policy") => "by policy".into(),
        (None, cause) => format!("by {cause}"),
    }
}

fn ends(hold: &HoldView) -> &'static str {
    match hold.exit.as_str() {
        "person" => "Only a person ends it.",
        "dwell" => {
            "It ends by itself once the device has behaved normally for long enough, or when a person releases it."
        }
        "evidence" => "It ends when the device shows fresh, good evidence of its software.",
        _ => "",
    }
}

fn section_of_findings(findings: &[&FindingView], now: Timestamp) -> String {
    if findings.is_empty() {
        return String::new();
    }
    let row = |it: &&FindingView| {
        let technique = it.technique.as_ref().map_or(String::new(), |it| format!(" ({it})"));
        vec![format!("  {}", ago(&it.at, now)), it.severity.clone(), format!("{}{technique}", it.text)]
    };
    let rows: Vec<_> = findings.iter().take(SHOWN).map(row).collect();
    format!("\nWhat was found{}\n{}", of(SHOWN, findings.len()), table(&["  when", "severity", "what"], &rows))
}

fn section_of_timeline(timeline: &[TimelineEntry], now: Timestamp) -> String {
    if timeline.is_empty() {
        return "\nNothing has happened yet.\n".into();
    }
    let row = |it: &TimelineEntry| {
        let actor = it.actor.as_ref().map_or(String::new(), |it| format!(" (by {it})"));
        vec![format!("  {}", ago(&it.at, now)), it.kind.clone(), format!("{}{actor}", it.text)]
    };
    let rows: Vec<_> = timeline.iter().take(SHOWN).map(row).collect();
    format!("\nWhat happened{}\n{}", of(SHOWN, timeline.len()), table(&["  when", "kind", "what"], &rows))
}

fn of(shown: usize, all: usize) -> String {
    match all > shown {
        true => format!(" (the last {shown})"),
        false => String::new(),
    }
}

/// What a person can do about it now.
fn advice(device: &DeviceView) -> String {
    let name = shell(&device.name);
    match (device.lifecycle.as_str(), device.access.as_str()) {
        ("retired", _) => String::new(),
        (_, "full") => format!("\nTo isolate it:  bartizan device isolate {name} --reason \"…\"\n"),
        _ => format!("\nTo let it in again:  bartizan device release {name} --reason \"…\"\n"),
    }
}

/// A name as it has to be typed.
fn shell(name: &str) -> String {
    let plain = |c: char| c.is_alphanumeric() || "-_.:@/".contains(c);
    match !name.is_empty() && name.chars().all(plain) {
        true => name.to_owned(),
        false => format!("'{}'", name.replace('\'', "'\\''")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::app::views::ExpectedView;

    fn now() -> Timestamp {
        "2026-11-23T10:00:00Z".parse().unwrap()
    }

    fn meter() -> DeviceView {
        DeviceView {
            state: "active".into(),
            id: 7,
            name: "meter 7".into(),
            device_type: "water meter".into(),
            identity: "meter-7".into(),
            key: KeyView { number: 1, made: "2026-11-20T10:00:00Z".into(), ..KeyView::default() },
            endpoint: "meter-7".into(),
            lifecycle: "active".into(),
            attestation: "none".into(),
            grade: "abnormal".into(),
            update: "none".into(),
            access: "quarantined".into(),
            explanation: "It reported every 72 s; its own habit is every 55 to 65 min.".into(),
            holds: Some(vec![HoldView {
                id: 1,
                cause: "detection".into(),
                engine: Some("profile".into()),
                since: "2026-11-23T09:57:00Z".into(),
                exit: "dwell".into(),
                access: "quarantined".into(),
                reason: "it reported every 72 s".into(),
                by: None,
                awaits_key: false,
            }]),
            untrusted_since: None,
            created: "2026-11-20T10:00:00Z".into(),
            last_seen: Some("2026-11-23T09:59:30Z".into()),
            session: None,
            messages: 51,
            version: 3,
        }
    }

    fn finding() -> FindingView {
        FindingView {
            id: 1,
            at: "2026-11-23T09:57:00Z".into(),
            device: Some("meter 7".into()),
            source: None,
            claimed: None,
            engine: "profile".into(),
            feature: "report_interval".into(),
            observed: 72_000.0,
            expected: ExpectedView { low: 1.0, high: 2.0, basis: "device".into() },
            unit: "ms".into(),
            score: 0.9,
            severity: "high".into(),
            technique: Some("T0856".into()),
            text: "reported every 72 s; its own habit is every 55 to 65 min".into(),
        }
    }

    /// Without the line breaks that wrapping made.
    fn squeezed(text: &str) -> String {
        text.split_whitespace().collect::<Vec<_>>().join(" ")
    }

    #[test]
    fn a_person_reads_what_why_until_when_and_what_to_do() {
        let finding = finding();
        let text = device(&meter(), &[&finding], &[], now());
        for part in [
            "meter 7 · water meter · number 7",
            "quarantined: it can only read why",
            "its own habit is every 55 to 65 min",
            "since 2026-11-23 09:57:00 UTC (3 min ago)",
            "It ends by itself once",
            "T0856",
            "bartizan device release 'meter 7' --reason",
        ] {
            assert!(squeezed(&text).contains(part), "{part} in\n{text}");
        }
    }

    #[test]
    fn a_person_s_hold_names_the_person_and_is_ended_only_by_one() {
        let mut view = meter();
        let hold = &mut view.holds.as_mut().unwrap()[0];
        (hold.by, hold.exit, hold.cause) = (Some("ada".into()), "person".into(), "person".into());
        let text = device(&view, &[], &[], now());
        assert!(squeezed(&text).contains("by ada: it reported"), "{text}");
        assert!(squeezed(&text).contains("Only a person ends it."), "{text}");
    }
}
