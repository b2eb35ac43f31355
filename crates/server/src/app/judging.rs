//! From events to findings, grades and holds. The first half of the loop, and the brake on it.

use std::collections::HashMap;
use std::sync::atomic::Ordering::Relaxed;
use std::sync::{Arc, Mutex, MutexGuard};

use bartizan_pipe::{SourceLimiter, Verdict};
use bartizan_platform::brake;
use bartizan_platform::posture::Machine;
use bartizan_wire::event::CommandState;
use bartizan_wire::{
    Access, Cause, DeviceKey, Event, EventKind, Finding, Grade, Source, Subject, TenantId, UnixMillis,
};

use super::bus::UpdateKind;
use super::device::Device;
use super::tenant::Tenant;
use super::words::{finding_view, finding_words, named};
use super::{App, SourceVerdict};
use crate::store::{FindingRow, TimelineWrite};

/// What is known of unauthenticated sources.
pub(super) struct Sources {
    pub limiter: SourceLimiter,
    /// Those that are limited, for people.
    pub limited: HashMap<Source, LimitedSource>,
}

#[derive(Clone, Debug)]
pub(super) struct LimitedSource {
    pub since: UnixMillis,
    pub until: UnixMillis,
    pub because: Finding,
    pub dropped: u64,
}

impl App {
    /// Judges an event. Cheap; access changes in memory before it returns and is stored behind.
    pub fn observe(&self, event: Event) {
        match event.subject {
            Subject::Device { key, .. } => self.observe_device(&event, key),
            Subject::Source { .. } => self.observe_source(&event),
        }
    }

    /// Asked before a datagram of a source without an association gets any work.
    #[must_use]
    pub fn source_verdict(&self, source: Source) -> SourceVerdict {
        let mut sources = self.unauthenticated();
        match sources.limiter.verdict(source, self.clock.now()) {
            bartizan_pipe::SourceVerdict::Allow => SourceVerdict::Allow,
            bartizan_pipe::SourceVerdict::Drop => {
                if let Some(limited) = sources.limited.get_mut(&source) {
                    limited.dropped += 1;
                }
                self.counts.sources_dropped.fetch_add(1, Relaxed);
                SourceVerdict::Drop
            }
        }
    }

    pub(super) fn unauthenticated(&self) -> MutexGuard<'_, Sources> {
        lock_sources(&self.sources)
    }

    fn observe_device(&self, event: &Event, key: DeviceKey) {
        let Some(device) = self.device(key) else {
            tracing::warn!(tenant = key.tenant.0, device = key.device.0, "an event of a device that is not loaded");
            return;
        };
        if was_heard(&event.kind) && device.touch(event.at) {
            self.behind.touch(device.clone());
        }
        if matches!(event.kind, EventKind::Established { .. }) {
            self.say(&device, event.at, Machine::HandshakeFinished, None);
        }
        let tenant = device.tenant().clone();
        // Verdicts are rare; holding the judge while they are applied keeps them in their order.
        let mut judge = tenant.judge();
        judge.observe(event, &mut |verdict| self.apply(event.at, &verdict));
    }

    fn observe_source(&self, event: &Event) {
        let mut said = Vec::new();
        self.unauthenticated().limiter.observe(event, &mut |verdict| said.push(verdict));
        said.iter().for_each(|verdict| self.apply_to_source(verdict));
    }

    /// What a tenant's judge says at `at` about one of its devices. A grade that falls names an old finding, so
    /// the finding's time is not the verdict's.
    pub(super) fn apply(&self, at: UnixMillis, verdict: &Verdict) {
        match verdict {
            Verdict::Finding(finding) => self.note_finding(finding),
            Verdict::Graded { device, to, because, .. } => {
                if let Some(device) = self.device(*device) {
                    self.grade(&device, at, *to, because);
                }
            }
            // A tenant's judge hears of its devices only.
            Verdict::SourceLimited { .. } => {}
        }
    }

    /// What the limiter says about a source: never anything about a device.
    fn apply_to_source(&self, verdict: &Verdict) {
        match verdict {
            Verdict::Finding(finding) => self.note_source(finding),
            Verdict::SourceLimited { source, until, because } => {
                tracing::warn!(source = %source.ip(), "a source without a valid key is limited");
                let fresh = LimitedSource { since: because.at, until: *until, because: *because, dropped: 0 };
                self.unauthenticated()
                    .limited
                    .entry(*source)
                    .and_modify(|limited| limited.until = *until)
                    .or_insert(fresh);
            }
            Verdict::Graded { .. } => {}
        }
    }

    fn note_finding(&self, finding: &Finding) {
        let Some(device) = named(finding).and_then(|key| self.device(key)) else { return };
        self.find(&device, finding, finding_words(finding, Some(&device), None));
        let grade = device.state().posture.grade;
        // A device that the brake spared is asked for again whenever it gives new cause.
        if grade == Grade::Abnormal {
            self.grade(&device, finding.at, grade, finding);
        }
    }

    /// Enters a finding about a device, in these words, into the tenant's list and the device's history.
    pub(super) fn find(&self, device: &Arc<Device>, finding: &Finding, text: String) {
        let id = self.keep_finding(device.tenant(), finding, text.clone(), Some(device.name.clone()));
        self.tell(device, finding.at, "finding", capitalised(&text), Some(id));
    }

    /// Shown to the tenant whose device was named; what named none, to all that are open.
    fn note_source(&self, finding: &Finding) {
        let claimed = named(finding).and_then(|key| self.device(key));
        if let Some(device) = claimed {
            let text = finding_words(finding, None, Some(&device.name));
            let id = self.keep_finding(device.tenant(), finding, text.clone(), Some(device.name.clone()));
            self.tell(&device, finding.at, "finding", text, Some(id));
            return;
        }
        let text = finding_words(finding, None, None);
        for tenant in self.open_tenants() {
            let finding = Finding { subject: without_claim(finding.subject, tenant.id), ..*finding };
            self.keep_finding(&tenant, &finding, text.clone(), None);
        }
    }

    fn keep_finding(&self, tenant: &Arc<Tenant>, finding: &Finding, text: String, device: Option<String>) -> u64 {
        let row = FindingRow { id: tenant.number_finding(), finding: *finding, text, device };
        let id = row.id;
        tenant.counts.findings.fetch_add(1, Relaxed);
        self.publish(tenant.id, || UpdateKind::Finding(finding_view(&row)));
        self.behind.write_finding(tenant, row);
        id
    }

    fn tell(&self, device: &Arc<Device>, at: UnixMillis, kind: &'static str, text: String, finding: Option<u64>) {
        let line = TimelineWrite { device: device.key.device, at, kind, text, finding, actor: None };
        self.behind.write_line(device.tenant(), line, false);
    }

    /// Grades a device, as far as the brake lets machines isolate.
    fn grade(&self, device: &Arc<Device>, at: UnixMillis, to: Grade, because: &Finding) {
        let wants = device.state().posture.would_isolate(to, because.engine, &self.policy);
        let ceiling = if wants { self.ask_brake(device, Cause::Detection, at) } else { Access::Blocked };
        let reason = finding_words(because, Some(device), None);
        let says = Machine::Graded { to, engine: because.engine, reason, ceiling };
        self.say(device, at, says, None);
        self.ask_for_evidence(device, to, at);
    }

    /// The strictest access that the brake permits for this cause now.
    pub(super) fn ask_brake(&self, device: &Arc<Device>, cause: Cause, at: UnixMillis) -> Access {
        let tenant = device.tenant();
        let fleet = tenant.fleet().in_service();
        match tenant.brake().ask(at, cause, device.key.device, fleet) {
            brake::Verdict::Isolate => Access::Blocked,
            brake::Verdict::Spare { call } => {
                if call {
                    self.call_person(device, at);
                }
                Access::Limited
            }
        }
    }

    /// Machines have isolated as much as they may: a person must look.
    fn call_person(&self, device: &Arc<Device>, at: UnixMillis) {
        tracing::error!(
            tenant = device.key.tenant.0,
            "machines have isolated as many devices as they may in an hour; further ones are limited: a person must look"
        );
        let text = "Machines have isolated as many devices of this fleet as they may in an hour. This device and further ones are \
                    limited instead; a person must look at them.";
        self.tell(device, at, "hold", text.into(), None);
    }
}

pub(super) fn lock_sources(sources: &Mutex<Sources>) -> MutexGuard<'_, Sources> {
    sources.lock().expect("invariant: nothing panics while it holds the sources")
}

/// Another tenant's device is not named here.
fn without_claim(subject: Subject, tenant: TenantId) -> Subject {
    match subject {
        Subject::Source { source, claimed } => {
            Subject::Source { source, claimed: claimed.filter(|key| key.tenant == tenant) }
        }
        Subject::Device { .. } => subject,
    }
}

/// "reported …" as a sentence of its own: "It reported …."
fn capitalised(text: &str) -> String {
    format!("It {text}.")
}

/// Whether the device itself did something: what people and we decide says nothing about whether it is alive.
fn was_heard(kind: &EventKind) -> bool {
    match kind {
        EventKind::Command { state, .. } => matches!(state, CommandState::Sent | CommandState::Acknowledged),
        EventKind::Closed { by_peer } => *by_peer,
        _ => true,
    }
}
