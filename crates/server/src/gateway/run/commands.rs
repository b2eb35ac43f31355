//! Commands: offered at each authentic record, and their fate back to the registry.

use std::sync::Arc;

use bartizan_dtls::SessionId;
use bartizan_wire::coap::Code;
use bartizan_wire::event::CommandState;
use bartizan_wire::{CommandId, DeviceKey};
use bytes::Bytes;
use tokio::sync::mpsc;

use super::super::counters::Dropped;
use super::steps::hand_over;
use super::{Done, Run};
use crate::app::{App, Device};

/// A change of a command's state, stored in the order it happened.
pub struct CommandChange {
    device: Arc<Device>,
    command: CommandId,
    state: CommandState,
    detail: Option<String>,
    /// The device's answer, for the upstream that asked.
    answer: Option<Bytes>,
}

/// Stores changes one after the other, so that a command never goes back from acknowledged to sent.
pub(super) async fn store_commands(
    app: Arc<App>,
    mut changes: mpsc::Receiver<CommandChange>,
    done: mpsc::Sender<Done>,
) {
    while let Some(change) = changes.recv().await {
        let device = change.device.key;
        if let Some(answer) = change.answer {
            hand_over(&app, &change.device, answer).await;
        }
        let detail = change.detail.as_deref();
        let stored = app.command_state(device, change.command, change.state, detail).await;
        if let Err(error) = stored {
            tracing::warn!(command = change.command.0, %error, "a command's state was not stored");
        }
        if change.state != CommandState::Sent {
            let command = change.command;
            let _ = done.send(Done::CommandStored { device, command }).await;
        }
    }
}

impl Run {
    /// A command was queued: a device that is awake gets it now.
    pub(super) fn offer_to(&mut self, key: DeviceKey) {
        let session = super::devices::principal_of(key).and_then(|principal| self.sessions.get(&principal).copied());
        let (Some(session), Some(device)) = (session, self.app.device(key)) else {
            return;
        };
        let now = self.instant();
        let awake = self.endpoint.session(session).is_some_and(|info| now.since(info.last_seen) < self.awake_ms);
        if awake {
            self.offer_commands(session, &device);
        }
    }

    /// Sends the oldest command that is due, unless one is on its way.
    pub(super) fn offer_commands(&mut self, session: SessionId, device: &Arc<Device>) {
        let busy = self.peers.get(&session).is_some_and(|live| !live.peer.takes_command());
        if busy || self.draining {
            return;
        }
        let due = self.app.next_commands(device.key, self.app.clock().now());
        let settling = &self.settling;
        let next = due.into_iter().find(|command| !settling.contains(&(device.key, command.id)));
        let Some(command) = next else {
            return;
        };
        let mut written = false;
        self.turn(session, device, |peer, turn| {
            written = peer.command(turn, &command);
        });
        match (written, command.state) {
            (true, CommandState::Sent) => {}
            (true, _) => self.change_command(device, command.id, CommandState::Sent, None, None),
            (false, _) => {
                let why = Some("it is no CoAP request".to_owned());
                self.settle_command(device, command.id, CommandState::Refused, why, None);
            }
        }
    }

    pub(super) fn command_answered(
        &mut self,
        device: &Arc<Device>,
        command: CommandId,
        code: Code,
        answer: Option<Bytes>,
    ) {
        let state = match code.is_success() {
            true => CommandState::Acknowledged,
            false => CommandState::Refused,
        };
        let detail = Some(format!("the device answered {code}"));
        self.settle_command(device, command, state, detail, answer);
    }

    pub(super) fn command_reset(&mut self, device: &Arc<Device>, command: CommandId) {
        let detail = Some("the device rejected it".to_owned());
        self.settle_command(device, command, CommandState::Refused, detail, None);
    }

    fn settle_command(
        &mut self,
        device: &Arc<Device>,
        command: CommandId,
        state: CommandState,
        detail: Option<String>,
        answer: Option<Bytes>,
    ) {
        self.settling.insert((device.key, command));
        self.change_command(device, command, state, detail, answer);
    }

    fn change_command(
        &mut self,
        device: &Arc<Device>,
        command: CommandId,
        state: CommandState,
        detail: Option<String>,
        answer: Option<Bytes>,
    ) {
        let change = CommandChange { device: Arc::clone(device), command, state, detail, answer };
        if self.command_changes.try_send(change).is_err() {
            // Its state is found out again: it stays due and the device recognises the repetition.
            self.settling.remove(&(device.key, command));
            self.shown.dropped(Dropped::CommandState);
        }
    }
}
