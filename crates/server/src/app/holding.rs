//! Applies what machines and people say to a device: posture, access, history, and who must hear of it.

use std::sync::Arc;

use bartizan_platform::explain::elapsed;
use bartizan_platform::posture::{Change, Hold, Machine, Person, Posture, Proof, Rekey, Stage};
use bartizan_wire::{Access, Grade, Lifecycle, UnixMillis};
use tokio::sync::mpsc;

use super::bus::UpdateKind;
use super::device::Device;
use super::error::{Error, Misuse};
use super::views::rfc3339;
use super::words::device_view;
use super::{AccessChange, Actor, App};
use crate::store::{RetractionWrite, TimelineWrite};

impl App {
    /// All access changes from now on.
    #[must_use]
    pub fn access_changes(&self) -> mpsc::UnboundedReceiver<AccessChange> {
        // Unbounded, since a lost change would leave an isolated device connected; machines are braked and
        // people are slow.
        let (sender, receiver) = mpsc::unbounded_channel();
        self.subscribers.lock().expect("invariant: nothing panics while it holds the subscribers").push(sender);
        receiver
    }

    /// Applies what a machine says about a device.
    pub(super) fn say(&self, device: &Arc<Device>, at: UnixMillis, says: Machine, actor: Option<&Actor>) {
        self.change(device, at, actor, |posture| Ok(posture.by_machine(at, says, &self.policy)))
            .expect("invariant: machines cannot be refused");
    }

    /// Applies what a person decides, and returns when it is on the disk.
    pub(super) async fn decide(&self, device: &Arc<Device>, actor: &Actor, decides: Person) -> Result<(), Error> {
        let now = self.clock.now();
        let refused = |error: bartizan_platform::posture::Retired| Error::from(Misuse::Conflict(error.to_string()));
        self.change(device, now, Some(actor), |posture| posture.by_person(now, &actor.0, decides).map_err(refused))?;
        self.durable().await
    }

    /// Returns when everything so far is on the disk.
    pub(super) async fn durable(&self) -> Result<(), Error> {
        self.behind.barrier().await.map_err(Error::Unavailable)
    }

    fn change(
        &self,
        device: &Arc<Device>,
        at: UnixMillis,
        actor: Option<&Actor>,
        change: impl FnOnce(&mut Posture) -> Result<Vec<Change>, Error>,
    ) -> Result<(), Error> {
        let mut state = device.state();
        let before = tally(&state.posture);
        let changes = change(&mut state.posture)?;
        if changes.is_empty() {
            return Ok(());
        }
        let after = tally(&state.posture);
        state.changed = true;
        // A heartbeat is nothing that a person who changes the device would have to know.
        if changes.iter().any(|change| !matches!(change, Change::Prolonged)) {
            state.version += 1;
        }
        device.set_access(after.2);
        device.tenant().fleet().shift(before, after);
        self.pin(device, needs_time(&state.posture) || !state.commands.is_empty());
        // Under the device's lock, so that histories and subscribers see changes in their order.
        self.record(device, at, actor, &changes, (before.2, after.2));
        drop(state);
        self.behind.write_device(device);
        self.publish(device.key.tenant, || UpdateKind::Device(Box::new(device_view(device, &self.policy, at, true))));
        Ok(())
    }

    fn record(
        &self,
        device: &Arc<Device>,
        at: UnixMillis,
        actor: Option<&Actor>,
        changes: &[Change],
        access: (Access, Access),
    ) {
        let line = |kind, text| TimelineWrite {
            device: device.key.device,
            at,
            kind,
            text,
            finding: None,
            actor: actor.map(|actor| actor.0.clone()),
        };
        for change in changes {
            self.retract(device, at, change);
            let Some((kind, text)) = words(change, at, device.created) else { continue };
            self.behind.write_line(device.tenant(), line(kind, text), true);
        }
        let (from, to) = access;
        if from != to {
            let text = format!("Access changed from {from} to {to}.");
            self.behind.write_line(device.tenant(), line("access", text), true);
            self.announce(&AccessChange { device: device.clone(), access: to, close: false });
        }
    }

    fn retract(&self, device: &Arc<Device>, at: UnixMillis, change: &Change) {
        let (since, trusted) = match change {
            Change::Doubted { since } => (*since, false),
            Change::Trusted { since } => (*since, true),
            _ => return,
        };
        let row = RetractionWrite { device: device.key.device, at, since, trusted };
        self.behind.write_retraction(device.tenant(), row);
        self.retract_soon(device.key.tenant);
    }

    pub(super) fn announce(&self, change: &AccessChange) {
        let mut subscribers =
            self.subscribers.lock().expect("invariant: nothing panics while it holds the subscribers");
        subscribers.retain(|subscriber| subscriber.send(change.clone()).is_ok());
    }

    /// Keeps a device in memory while time still changes something about it.
    pub(super) fn pin(&self, device: &Arc<Device>, pinned: bool) {
        let mut all = device.tenant().pinned();
        if pinned {
            all.entry(device.key.device).or_insert_with(|| device.clone());
        } else {
            all.remove(&device.key.device);
        }
    }
}

pub(super) fn needs_time(posture: &Posture) -> bool {
    posture.grade != Grade::Normal || !posture.holds.is_empty()
}

pub(super) fn tally(posture: &Posture) -> (Lifecycle, Grade, Access) {
    (posture.lifecycle, posture.grade, posture.access())
}

/// Nothing of a heartbeat, of which there are too many.
fn words(change: &Change, now: UnixMillis, created: UnixMillis) -> Option<(&'static str, String)> {
    Some(match change {
        Change::Lifecycle(Lifecycle::Active) => ("lifecycle", "It connected for the first time and is active.".into()),
        Change::Lifecycle(Lifecycle::Retired) => {
            ("lifecycle", "Taken out of service for good; its key is refused from now on.".into())
        }
        Change::Lifecycle(Lifecycle::Pending) => ("lifecycle", "Known, but not connected yet.".into()),
        Change::Graded { from, to } => ("grade", format!("Its behaviour changed from {from} to {to}.")),
        Change::Appraised { from, to } if from == to => ("attestation", format!("It attested: {to} as before.")),
        Change::Appraised { to, .. } => ("attestation", format!("It attested: {to}.")),
        Change::Owes(proof) => ("attestation", owed(*proof).into()),
        Change::Prolonged => return None,
        Change::Doubted { since } => {
            ("attestation", format!("Its reports since {} are not to be trusted.", minute((*since).max(created))))
        }
        Change::Trusted { since } => (
            "attestation",
            format!(
                "What it reports from now on is to be trusted again; what it reported since {} is not.",
                minute((*since).max(created))
            ),
        ),
        Change::Placed(hold) => ("hold", placed(hold)),
        Change::Moved(hold) => ("hold", moved(hold)),
        Change::Ended(hold) => {
            ("release", format!("A hold of {} ended: {}", elapsed(now.since(hold.since)), sentence(&hold.reason)))
        }
    })
}

/// As people read it, in UTC.
fn minute(at: UnixMillis) -> String {
    let text = rfc3339(at);
    format!("{} {} UTC", text.get(..10).unwrap_or_default(), text.get(11..16).unwrap_or_default())
}

const fn owed(proof: Proof) -> &'static str {
    match proof {
        Proof::Current => "From here on it may be asked for evidence of what it runs.",
        Proof::Owed => "It gave cause to be asked for evidence of what it runs.",
        Proof::Stale => "It owes evidence of what it runs, and its grace begins.",
        Proof::Unreachable => {
            "It owes evidence and has been silent since: it is out of reach. Nothing further comes of that."
        }
        Proof::Evading => "It was heard, but brought no evidence all through its grace.",
    }
}

fn placed(hold: &Hold) -> String {
    match (hold.by.is_some(), hold.reason.is_empty()) {
        (true, true) => format!("A person set it to {}.", hold.access),
        (true, false) => format!("A person set it to {}: {}", hold.access, sentence(&hold.reason)),
        (false, _) => format!("Set to {} because it {}", hold.access, sentence(&hold.reason)),
    }
}

fn moved(hold: &Hold) -> String {
    match hold.stage {
        Stage::Held => format!("Set to {} because it {}", hold.access, sentence(&hold.reason)),
        Stage::Dwelling => "It behaves normally again; if that lasts, it is let in at a limited rate.".into(),
        Stage::Probation if hold.rekey == Rekey::Awaited => {
            "On probation: let in at a limited rate; it is to take a new key.".into()
        }
        Stage::Probation => "On probation: let in at a limited rate.".into(),
        Stage::Ended => "The hold is over.".into(),
    }
}

fn sentence(reason: &str) -> String {
    format!("{}.", reason.trim_end_matches('.'))
}
