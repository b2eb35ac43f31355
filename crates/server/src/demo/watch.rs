//! What the server noticed, asked of it as the console asks.

use std::collections::{BTreeMap, BTreeSet};

use bartizan_wire::{Access, DeviceKey, TenantId, UnixMillis};

use crate::app::views::{DeviceView, FindingView, SourceView};
use crate::app::{App, DeviceFilter, Error, Paging};

/// Everything noticed so far. Times are the server's own.
#[derive(Debug, Default)]
pub(super) struct Watch {
    /// Oldest first.
    pub(super) findings: Vec<FindingView>,
    /// First isolation by machine or person of each device, by name.
    pub(super) isolated: BTreeMap<String, Isolation>,
    /// First limit of each source.
    pub(super) limited: BTreeMap<String, SourceView>,
    /// Devices that were isolated and are not any more, and who let them in.
    pub(super) released: BTreeMap<String, Released>,
    /// Of these, those that came back to full access with another key.
    pub(super) rekeyed: BTreeSet<String>,
    seen: u64,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Isolation {
    pub(super) since: UnixMillis,
    pub(super) access: String,
    /// Why, in the server's words.
    pub(super) explanation: String,
    pub(super) by_machine: bool,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Released {
    ByPerson,
    ByMachine,
}

/// Something to tell.
#[derive(Debug)]
pub(super) enum News {
    Found(FindingView),
    Isolated(String, Isolation),
    Limited(SourceView),
    LetIn(String),
    Rekeyed(String),
}

impl Watch {
    /// Asks for what is new.
    pub(super) async fn look(&mut self, app: &App, tenant: TenantId) -> Result<Vec<News>, Error> {
        let mut news = self.look_at_findings(app, tenant).await?;
        news.extend(self.look_at_sources(app, tenant).await?);
        news.extend(self.look_at_devices(app, tenant).await?);
        Ok(news)
    }

    async fn look_at_findings(&mut self, app: &App, tenant: TenantId) -> Result<Vec<News>, Error> {
        let mut fresh = Vec::new();
        let mut paging = Paging { cursor: None, limit: 200 };
        loop {
            let page = app.findings(tenant, &paging).await?;
            let seen = self.seen;
            let known = page.items.iter().any(|finding| finding.id <= seen);
            fresh.extend(page.items.into_iter().filter(|finding| finding.id > seen));
            paging.cursor = page.next_cursor;
            if known || paging.cursor.is_none() {
                break;
            }
        }
        fresh.reverse();
        self.seen = fresh.last().map_or(self.seen, |finding| finding.id);
        self.findings.extend(fresh.iter().cloned());
        Ok(fresh.into_iter().map(News::Found).collect())
    }

    async fn look_at_sources(&mut self, app: &App, tenant: TenantId) -> Result<Vec<News>, Error> {
        let mut news = Vec::new();
        for source in app.sources(tenant).await?.items {
            if !self.limited.contains_key(&source.source) {
                self.limited.insert(source.source.clone(), source.clone());
                news.push(News::Limited(source));
            }
        }
        Ok(news)
    }

    async fn look_at_devices(&mut self, app: &App, tenant: TenantId) -> Result<Vec<News>, Error> {
        let mut now_isolated = BTreeSet::new();
        let mut news = Vec::new();
        for access in [Access::Quarantined, Access::Blocked] {
            for device in all_devices(app, tenant, access).await? {
                now_isolated.insert(device.name.clone());
                if self.isolated.contains_key(&device.name) {
                    continue;
                }
                let shown = app.show_device(DeviceKey { tenant, device: bartizan_wire::DeviceId(device.id) }).await?;
                if let Some(isolation) = isolation(&shown) {
                    self.isolated.insert(device.name.clone(), isolation.clone());
                    news.push(News::Isolated(device.name, isolation));
                }
            }
        }
        news.extend(self.look_at_releases(&now_isolated));
        news.extend(self.look_at_keys(app, tenant).await?);
        Ok(news)
    }

    /// A device that was isolated and no longer is was let in: by a machine, unless a person said so.
    fn look_at_releases(&mut self, now_isolated: &BTreeSet<String>) -> Vec<News> {
        let gone: Vec<_> = self.isolated.keys().filter(|name| !now_isolated.contains(*name)).cloned().collect();
        let mut news = Vec::new();
        for name in gone {
            if !self.released.contains_key(&name) {
                self.released.insert(name.clone(), Released::ByMachine);
                news.push(News::LetIn(name));
            }
        }
        news
    }

    /// Whom a machine let in, and who is free and has another key than it came with.
    async fn look_at_keys(&mut self, app: &App, tenant: TenantId) -> Result<Vec<News>, Error> {
        let mut news = Vec::new();
        for name in self.released.keys() {
            if self.rekeyed.contains(name) {
                continue;
            }
            let shown = app.show_device(app.device_key(tenant, name).await?).await?;
            if shown.key.number > 0 && Access::from_name(&shown.access) == Some(Access::Full) {
                news.push(News::Rekeyed(name.clone()));
            }
        }
        self.rekeyed.extend(news.iter().filter_map(|news| match news {
            News::Rekeyed(name) => Some(name.clone()),
            _ => None,
        }));
        Ok(news)
    }

    /// A person let a device in.
    pub(super) fn note_release(&mut self, device: &str) {
        self.released.insert(device.to_owned(), Released::ByPerson);
    }
}

async fn all_devices(app: &App, tenant: TenantId, access: Access) -> Result<Vec<DeviceView>, Error> {
    let filter = DeviceFilter { access: Some(access), ..DeviceFilter::default() };
    let (mut devices, mut paging) = (Vec::new(), Paging { cursor: None, limit: 200 });
    loop {
        let page = app.devices(tenant, &filter, &paging).await?;
        devices.extend(page.items);
        if page.next_cursor.is_none() {
            return Ok(devices);
        }
        paging.cursor = page.next_cursor;
    }
}

/// The hold that isolates it; `None` if it was let in between two questions.
fn isolation(device: &DeviceView) -> Option<Isolation> {
    let strict = |access: &str| Access::from_name(access).is_some_and(|access| access >= Access::Quarantined);
    let holds = device.holds.as_deref().unwrap_or_default();
    let hold = holds.iter().filter(|hold| strict(&hold.access)).min_by(|a, b| a.since.cmp(&b.since))?;
    Some(Isolation {
        since: time_of(&hold.since),
        access: device.access.clone(),
        explanation: device.explanation.clone(),
        by_machine: hold.by.is_none(),
    })
}

/// The server's own RFC 3339 back to a point in time.
pub(super) fn time_of(text: &str) -> UnixMillis {
    let at = text.parse::<jiff::Timestamp>().map_or(0, jiff::Timestamp::as_millisecond);
    UnixMillis(u64::try_from(at).unwrap_or(0))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_come_back_as_they_were_told() {
        let at = UnixMillis(1_795_420_510_042);
        assert_eq!(time_of(&crate::app::views::rfc3339(at)), at);
    }

    #[test]
    fn whoever_is_not_isolated_any_more_was_let_in_once() {
        let isolation = Isolation {
            since: UnixMillis(0),
            access: "quarantined".into(),
            explanation: String::new(),
            by_machine: true,
        };
        let mut watch = Watch::default();
        watch.isolated.insert("a".into(), isolation.clone());
        watch.isolated.insert("b".into(), isolation);
        watch.note_release("b");
        assert_eq!(watch.look_at_releases(&BTreeSet::new()).len(), 1);
        assert_eq!(watch.look_at_releases(&BTreeSet::new()).len(), 0);
        assert_eq!(watch.released["a"], Released::ByMachine);
        assert_eq!(watch.released["b"], Released::ByPerson);
    }
}
