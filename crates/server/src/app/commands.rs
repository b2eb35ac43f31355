//! Commands to devices: offered, gated, queued, sent, acknowledged or expired.

use std::sync::Arc;

use bartizan_wire::event::CommandState;
use bartizan_wire::{Access, CommandId, DeviceKey, Event, EventKind, Lifecycle, UnixMillis};
use bytes::Bytes;

use super::bus::UpdateKind;
use super::device::Device;
use super::error::{Error, Misuse};
use super::holding::needs_time;
use super::words::{command_view, command_words, issuer_name};
use super::{Actor, App, ToDevice};
use crate::limits::{
    COMMAND_EXPIRY_MS_MAX, COMMAND_PATH_BYTES_MAX, COMMAND_PAYLOAD_BYTES_MAX, COMMANDS_PER_DEVICE_MAX,
};
use crate::store::{CommandRow, TimelineWrite};

/// Who wants the command.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Issuer {
    Person(String),
    /// The tenant's platform behind the proxy, through the downlink that it was given.
    Upstream,
}

/// A command as it is offered.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NewCommand {
    /// The CoAP request code, e.g. 0x02 for POST.
    pub method: u8,
    /// `/a/b?x=y`
    pub path: String,
    pub content_format: Option<u16>,
    pub payload: Bytes,
    /// The CoAP request as the upstream sent it: delivered with its own token, so that its answer finds the way back.
    pub coap: Option<Bytes>,
    pub expires_in_ms: u64,
}

/// A command that waits for its device.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PendingCommand {
    pub id: CommandId,
    pub device: DeviceKey,
    pub state: CommandState,
    pub issuer: Issuer,
    pub method: u8,
    pub path: String,
    pub content_format: Option<u16>,
    pub payload: Bytes,
    pub coap: Option<Bytes>,
    pub created: UnixMillis,
    pub expires: UnixMillis,
}

/// What a gate says about a command.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum GateVerdict {
    Allow,
    /// It waits for a person; says why.
    Hold(String),
    /// It is not sent; says why.
    Refuse(String),
}

/// Judges every command before it is queued.
pub trait CommandGate: Send + Sync + std::fmt::Debug {
    fn judge(&self, device: &Device, command: &PendingCommand) -> GateVerdict;
}

/// The gate that lets everything through.
#[derive(Clone, Copy, Debug, Default)]
pub struct OpenGate;

impl CommandGate for OpenGate {
    fn judge(&self, _device: &Device, _command: &PendingCommand) -> GateVerdict {
        GateVerdict::Allow
    }
}

/// Every move of a command. What is not listed does not happen.
const MOVES: &[(CommandState, CommandState)] = &[
    (CommandState::Held, CommandState::Queued),
    (CommandState::Held, CommandState::Refused),
    (CommandState::Held, CommandState::Expired),
    (CommandState::Queued, CommandState::Sent),
    (CommandState::Queued, CommandState::Refused),
    (CommandState::Queued, CommandState::Expired),
    // It could not be sent after all.
    (CommandState::Sent, CommandState::Queued),
    (CommandState::Sent, CommandState::Acknowledged),
    (CommandState::Sent, CommandState::Refused),
    (CommandState::Sent, CommandState::Expired),
];

const fn is_open(state: CommandState) -> bool {
    matches!(state, CommandState::Held | CommandState::Queued | CommandState::Sent)
}

impl App {
    /// Commands due at the device's next authenticated record, oldest first. Marks nothing; empty while the
    /// device's access is not full.
    #[must_use]
    pub fn next_commands(&self, device: DeviceKey, now: UnixMillis) -> Vec<PendingCommand> {
        let Some(device) = self.device(device).filter(|device| device.access() == Access::Full) else {
            return Vec::new();
        };
        let state = device.state();
        let due = |command: &&PendingCommand| command.state == CommandState::Queued && command.expires > now;
        state.commands.iter().filter(due).cloned().collect()
    }

    /// Offers a command to the gate and queues it. `Misuse::Full` when the device's queue is.
    pub async fn offer_command(
        &self,
        device: DeviceKey,
        issuer: Issuer,
        command: NewCommand,
    ) -> Result<CommandId, Error> {
        let device = self.require_device(device).await?;
        Ok(self.take_command(&device, issuer, command).await?.command.id)
    }

    /// Moves a command to `state`; durable when it returns. A move that the states do not allow is a conflict.
    pub async fn command_state(
        &self,
        device: DeviceKey,
        command: CommandId,
        state: CommandState,
        detail: Option<&str>,
    ) -> Result<(), Error> {
        let device = self.require_device(device).await?;
        self.move_command(&device, command, state, detail, None).await?;
        Ok(())
    }

    /// A person's command.
    pub async fn send_command(
        &self,
        actor: &Actor,
        device: DeviceKey,
        command: NewCommand,
    ) -> Result<super::views::CommandView, Error> {
        let device = self.require_device(device).await?;
        let row = self.take_command(&device, Issuer::Person(actor.0.clone()), command).await?;
        self.audit(actor, "command.send", Some(device.key.tenant), &device.name, &command_words(&row.command)).await?;
        Ok(command_view(&row))
    }

    /// A person's word on a held command.
    pub async fn decide_command(
        &self,
        actor: &Actor,
        device: DeviceKey,
        command: CommandId,
        allow: bool,
        reason: &str,
    ) -> Result<super::views::CommandView, Error> {
        let device = self.require_device(device).await?;
        let held = self.require_command(&device, command).await?;
        if held.command.state != CommandState::Held {
            return Err(Misuse::Conflict(format!("the command is {}, not held", held.command.state)).into());
        }
        let state = if allow { CommandState::Queued } else { CommandState::Refused };
        let row = self.move_command(&device, command, state, Some(reason), Some(actor)).await?;
        let detail = format!("{} {}: {reason}", if allow { "allowed" } else { "refused" }, command_words(&row.command));
        self.audit(actor, "command.decide", Some(device.key.tenant), &device.name, &detail).await?;
        Ok(command_view(&row))
    }

    async fn take_command(
        &self,
        device: &Arc<Device>,
        issuer: Issuer,
        offered: NewCommand,
    ) -> Result<CommandRow, Error> {
        check(&offered)?;
        self.counts.commands_offered.fetch_add(1, std::sync::atomic::Ordering::Relaxed);
        let mut command = self.pending(device, issuer, offered);
        let detail = self.pass_gate(device, &mut command)?;
        // The place in the queue is taken before the disk is asked, so that two offers cannot share the last one.
        self.reserve(device, &command)?;
        let stored = device.tenant().store.add_command(&command).await;
        let row = self.settle(device, command, stored.map_err(Error::from), detail)?;
        if row.detail.is_some() {
            device.tenant().store.move_command(row.command.id, row.command.state, row.detail.as_deref()).await?;
        }
        self.note_command(device, &row, None);
        Ok(row)
    }

    fn pending(&self, device: &Arc<Device>, issuer: Issuer, offered: NewCommand) -> PendingCommand {
        let created = self.clock.now();
        PendingCommand {
            id: CommandId(0),
            device: device.key,
            state: CommandState::Queued,
            issuer,
            method: offered.method,
            path: offered.path,
            content_format: offered.content_format,
            payload: offered.payload,
            coap: offered.coap,
            created,
            expires: created.plus(offered.expires_in_ms),
        }
    }

    /// Asks access and gate; answers what there is to say about the command.
    fn pass_gate(&self, device: &Arc<Device>, command: &mut PendingCommand) -> Result<Option<String>, Error> {
        if device.state().posture.lifecycle == Lifecycle::Retired {
            return Err(Misuse::Conflict("the device is retired".into()).into());
        }
        if device.access() >= Access::Quarantined {
            return Err(Misuse::Conflict(format!("the device is {}: nothing is sent to it", device.access())).into());
        }
        match self.gate.judge(device, command) {
            GateVerdict::Allow => Ok(None),
            GateVerdict::Hold(why) => {
                command.state = CommandState::Held;
                Ok(Some(why))
            }
            GateVerdict::Refuse(why) => {
                command.state = CommandState::Refused;
                Ok(Some(why))
            }
        }
    }

    fn reserve(&self, device: &Arc<Device>, command: &PendingCommand) -> Result<(), Error> {
        if !is_open(command.state) {
            return Ok(());
        }
        let mut state = device.state();
        if state.commands.len() >= COMMANDS_PER_DEVICE_MAX {
            self.counts.commands_shed.fetch_add(1, std::sync::atomic::Ordering::Relaxed);
            return Err(Misuse::Full(format!("{COMMANDS_PER_DEVICE_MAX} commands wait for this device already")).into());
        }
        // Not yet to be sent: it has no number, and the disk does not know it.
        state.commands.push(PendingCommand { state: CommandState::Held, ..command.clone() });
        Ok(())
    }

    /// Gives the reserved place its number, or frees it.
    fn settle(
        &self,
        device: &Arc<Device>,
        command: PendingCommand,
        stored: Result<CommandId, Error>,
        detail: Option<String>,
    ) -> Result<CommandRow, Error> {
        let mut state = device.state();
        let place = state.commands.iter().position(|waiting| waiting.id == CommandId(0));
        let id = match (stored, place) {
            (Ok(id), Some(place)) => {
                state.commands[place] = PendingCommand { id, ..command.clone() };
                state.commands.sort_by_key(|command| command.id);
                id
            }
            (Ok(id), None) => id,
            (Err(error), place) => {
                place.map(|place| state.commands.remove(place));
                return Err(error);
            }
        };
        self.pin(device, true);
        Ok(CommandRow { command: PendingCommand { id, ..command }, detail })
    }

    async fn move_command(
        &self,
        device: &Arc<Device>,
        id: CommandId,
        to: CommandState,
        detail: Option<&str>,
        actor: Option<&Actor>,
    ) -> Result<CommandRow, Error> {
        let mut row = self.require_command(device, id).await?;
        if row.command.state == to {
            return Ok(row);
        }
        let moved = self.move_in_memory(device, id, to);
        let from = moved.unwrap_or(row.command.state);
        if !MOVES.contains(&(from, to)) {
            return Err(Misuse::Conflict(format!("a command that is {from} cannot become {to}")).into());
        }
        device.tenant().store.move_command(id, to, detail).await?;
        row.command.state = to;
        row.detail = detail.map(str::to_owned).or(row.detail);
        self.note_command(device, &row, actor);
        Ok(row)
    }

    /// Answers the state that the command had. Nothing happens if it may not move so.
    fn move_in_memory(&self, device: &Arc<Device>, id: CommandId, to: CommandState) -> Option<CommandState> {
        let mut state = device.state();
        let place = state.commands.iter().position(|command| command.id == id)?;
        let from = state.commands[place].state;
        if MOVES.contains(&(from, to)) {
            state.commands[place].state = to;
            if !is_open(to) {
                state.commands.remove(place);
                self.pin(device, needs_time(&state.posture) || !state.commands.is_empty());
            }
        }
        Some(from)
    }

    /// Ends a command whose time is over; the disk hears of it behind.
    pub(super) fn expire(&self, device: &Arc<Device>, command: &PendingCommand, detail: &'static str) {
        if command.id == CommandId(0) || self.move_in_memory(device, command.id, CommandState::Expired).is_none() {
            return;
        }
        let command = PendingCommand { state: CommandState::Expired, ..command.clone() };
        self.note_command(device, &CommandRow { command: command.clone(), detail: Some(detail.into()) }, None);
        let store = device.tenant().store.clone();
        tokio::spawn(async move {
            if let Err(error) = store.move_command(command.id, CommandState::Expired, Some(detail)).await {
                tracing::warn!(%error, "an expired command could not be marked; it is when its device is loaded next");
            }
        });
    }

    /// Every change of a command is an event, a line of history, and news.
    fn note_command(&self, device: &Arc<Device>, row: &CommandRow, actor: Option<&Actor>) {
        let (command, at) = (&row.command, self.clock.now());
        let text = match &row.detail {
            Some(detail) => format!("Command {} is {}: {detail}.", command_words(command), command.state),
            None => {
                format!("Command {} of {} is {}.", command_words(command), issuer_name(&command.issuer), command.state)
            }
        };
        let actor = actor.map(|actor| actor.0.clone()).or_else(|| match (&command.issuer, command.state) {
            (Issuer::Person(name), CommandState::Queued | CommandState::Held) => Some(name.clone()),
            _ => None,
        });
        let line = TimelineWrite { device: device.key.device, at, kind: "command", text, finding: None, actor };
        self.behind.write_line(device.tenant(), line, false);
        let view = || UpdateKind::Command { device: device.name.clone(), command: command_view(row) };
        self.publish(device.key.tenant, view);
        if command.state == CommandState::Queued {
            device.tell_commanded();
            self.to_device(ToDevice::CommandQueued(device.key));
        }
        let kind = EventKind::Command { id: command.id, state: command.state };
        self.observe_own(device, Event { at, subject: device.subject(), kind });
    }

    async fn require_command(&self, device: &Arc<Device>, id: CommandId) -> Result<CommandRow, Error> {
        let row = device.tenant().store.command(device.key.device, id).await?;
        row.ok_or_else(|| Misuse::Unknown(format!("command {} of this device", id.0)).into())
    }
}

fn check(offered: &NewCommand) -> Result<(), Error> {
    if !offered.path.starts_with('/') || offered.path.len() > COMMAND_PATH_BYTES_MAX {
        return Err(Error::Malformed(format!("a path begins with / and has at most {COMMAND_PATH_BYTES_MAX} bytes")));
    }
    if offered.payload.len() > COMMAND_PAYLOAD_BYTES_MAX {
        return Err(Error::Malformed(format!(
            "the payload has {} bytes; at most {COMMAND_PAYLOAD_BYTES_MAX} are allowed",
            offered.payload.len()
        )));
    }
    if offered.expires_in_ms == 0 || offered.expires_in_ms > COMMAND_EXPIRY_MS_MAX {
        return Err(Error::Malformed("a command waits between a millisecond and 30 days".into()));
    }
    Ok(())
}
