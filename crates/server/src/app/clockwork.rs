//! What time does: grades fall, holds end, commands expire, rates turn, habits are saved.

use std::sync::Arc;
use std::sync::Weak;
use std::time::Duration;

use bartizan_platform::posture::Machine;
use bartizan_wire::UnixMillis;
use bartizan_wire::event::CommandState;

use super::App;
use super::device::Device;
use super::tenant::Tenant;

/// Real time between two beats.
const BEAT: Duration = Duration::from_millis(250);
const BEATS_PER_SECOND: u64 = 4;
/// Seconds between two savings of what was learnt. A crash loses at most that much learning.
const SAVE_EVERY_S: u64 = 60;

/// Seconds between two writings of counters: when a device was heard last, and how often.
const COUNTERS_EVERY_S: u64 = 5;

/// Runs until the app is gone or stops.
pub(super) async fn run(app: Weak<App>) {
    let mut beats = tokio::time::interval(BEAT);
    beats.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
    for beat in 1_u64.. {
        beats.tick().await;
        let Some(app) = app.upgrade().filter(|app| !app.is_stopping()) else { return };
        app.beat(app.clock.now());
        if beat.is_multiple_of(BEATS_PER_SECOND) {
            app.open_tenants().iter().for_each(|tenant| tenant.rate.rotate());
        }
        if beat.is_multiple_of(BEATS_PER_SECOND * COUNTERS_EVERY_S) {
            app.behind.write_touched();
        }
        if beat.is_multiple_of(BEATS_PER_SECOND * SAVE_EVERY_S) {
            app.save_judges().await;
        }
    }
}

impl App {
    /// Lets `now` come over everything in memory.
    pub(super) fn beat(&self, now: UnixMillis) {
        self.unauthenticated().limited.retain(|_, limited| limited.until > now);
        for tenant in self.open_tenants() {
            tenant.judge().tick(now, &mut |verdict| self.apply(now, &verdict));
            let pinned: Vec<Arc<Device>> = tenant.pinned().values().cloned().collect();
            pinned.iter().for_each(|device| self.age(device, now));
        }
    }

    fn age(&self, device: &Arc<Device>, now: UnixMillis) {
        let due = device.state().posture.due(&self.policy);
        if due.is_some_and(|due| due <= now) {
            self.say(device, now, Machine::Tick, None);
        }
        self.welcome_back(device, now);
        self.expire_commands(device, now);
    }

    /// Saves what every judge has learnt.
    pub(super) async fn save_judges(&self) {
        for tenant in self.open_tenants() {
            if let Err(error) = save_judge(&tenant).await {
                tracing::error!(tenant = tenant.id.0, %error, "what was learnt cannot be saved");
            }
        }
    }

    fn expire_commands(&self, device: &Arc<Device>, now: UnixMillis) {
        let expired: Vec<_> =
            device.state().commands.iter().filter(|command| command.expires <= now).cloned().collect();
        for command in expired {
            let detail = match command.state {
                CommandState::Sent => "sent, but not answered in time",
                CommandState::Held => "not decided in time",
                _ => "the device did not call in time",
            };
            self.expire(device, &command, detail);
        }
    }
}

pub(super) const JUDGE_BLOB: &str = "judge";

async fn save_judge(tenant: &Tenant) -> Result<(), crate::store::Error> {
    let learnt = tenant.judge().save();
    tenant.store.keep_blob(JUDGE_BLOB, &learnt).await
}
