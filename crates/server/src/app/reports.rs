//! What happened and how things stand: summary, findings, timelines, profiles, limited sources, commands.

use std::sync::atomic::Ordering::Relaxed;

use bartizan_wire::{Access, DeviceKey, Grade, Lifecycle, Subject, TenantId};

use super::App;
use super::error::Error;
use super::registry::Paging;
use super::tenant::Tenant;
use super::views::*;
use super::words::{command_view, finding_view, finding_words, named, profile_view, timeline_view};

impl App {
    pub async fn summary(&self, tenant: TenantId) -> Result<Summary, Error> {
        let tenant = self.open_tenant(tenant).await?;
        let now = self.clock.now();
        let sources_limited = self.unauthenticated().limiter.limited(now).count() as u64;
        let brake = self.brake_view(&tenant);
        let fleet = tenant.fleet();
        let graded = |grade| fleet.count(|life, other, _| life != Lifecycle::Retired && other == grade);
        let isolated = |life, access| life != Lifecycle::Retired && access >= Access::Quarantined;
        Ok(Summary {
            at: rfc3339(now),
            devices: fleet.in_service(),
            active: fleet.count(|life, _, _| life == Lifecycle::Active),
            normal: graded(Grade::Normal),
            suspicious: graded(Grade::Suspicious),
            abnormal: graded(Grade::Abnormal),
            isolated: fleet.count(|life, _, access| isolated(life, access)),
            limited: fleet.count(|_, _, access| access == Access::Limited),
            sessions: tenant.counts.sessions.load(Relaxed),
            messages_per_s: tenant.rate.per_second(),
            messages_total: tenant.counts.messages.load(Relaxed),
            findings_total: tenant.counts.findings.load(Relaxed),
            refused_total: tenant.counts.refused.load(Relaxed),
            sources_limited,
            brake,
        })
    }

    pub async fn findings(&self, tenant: TenantId, paging: &Paging) -> Result<Page<FindingView>, Error> {
        let store = self.open_tenant(tenant).await?.store.clone();
        let rows = store.findings(paging.from(u64::MAX)?, paging.items()? + 1).await?;
        paging.page(rows, |row| row.id, finding_view)
    }

    pub async fn timeline(&self, device: DeviceKey, paging: &Paging) -> Result<Page<TimelineEntry>, Error> {
        let device = self.require_device(device).await?;
        let store = &device.tenant().store;
        let rows = store.timeline(device.key.device, paging.from(u64::MAX)?, paging.items()? + 1).await?;
        paging.page(rows, |row| row.id, timeline_view)
    }

    pub async fn profile(&self, device: DeviceKey) -> Result<ProfileView, Error> {
        let device = self.require_device(device).await?;
        let profile = device.tenant().judge().profile(device.key);
        Ok(profile.map_or(ProfileView { features: Vec::new() }, profile_view))
    }

    /// Sources without a valid key that are limited now. A device that they named is told only to its tenant.
    pub async fn sources(&self, tenant: TenantId) -> Result<Page<SourceView>, Error> {
        self.open_tenant(tenant).await?;
        let now = self.clock.now();
        let limited: Vec<_> = {
            let sources = self.unauthenticated();
            sources
                .limited
                .iter()
                .filter(|(_, limited)| limited.until > now)
                .map(|(source, limited)| (*source, limited.clone()))
                .collect()
        };
        let mut items: Vec<SourceView> = Vec::with_capacity(limited.len());
        for (source, limited) in limited {
            let claimed = named(&limited.because).filter(|key| key.tenant == tenant).and_then(|key| self.device(key));
            let text = finding_words(&limited.because, None, claimed.as_ref().map(|device| device.name.as_str()));
            debug_assert!(matches!(limited.because.subject, Subject::Source { .. }));
            let (since, until) = (rfc3339(limited.since), rfc3339(limited.until));
            items.push(SourceView { source: source.ip().to_string(), since, until, text, dropped: limited.dropped });
        }
        items.sort_by(|a, b| b.since.cmp(&a.since).then_with(|| a.source.cmp(&b.source)));
        Ok(Page { items, next_cursor: None })
    }

    pub async fn commands(&self, device: DeviceKey, paging: &Paging) -> Result<Page<CommandView>, Error> {
        let device = self.require_device(device).await?;
        let store = &device.tenant().store;
        let rows = store.commands(device.key.device, paging.from(u64::MAX)?, paging.items()? + 1).await?;
        paging.page(rows, |row| row.command.id.0, command_view)
    }

    fn brake_view(&self, tenant: &Tenant) -> BrakeView {
        let fleet = tenant.fleet().in_service();
        let state = tenant.brake().state(self.clock.now(), fleet);
        BrakeView {
            engaged: state.engaged_since.is_some(),
            used: state.used,
            budget: state.budget,
            spared: state.spared,
            since: state.engaged_since.map(rfc3339),
        }
    }
}
